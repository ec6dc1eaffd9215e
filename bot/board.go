package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// How much a board shows of a large release before it counts instead.
const (
	boardModules  = 60
	boardWaves    = 30
	boardRunning  = 8
	boardWaits    = 5
	boardFailures = 3
)

// boardCard draws a run as it is now. It is pure. Issue is the key of the
// release issue, empty if there is none (yet).
func boardCard(v engine.View, zone *time.Location, issue string) chat.Card {
	b := &board{View: v, r: v.Run, calendar: calendar{zone, v.Run.Created}, issue: issue}
	for _, w := range playbooks.Explain(v.Run, v.Environment, v.Policy, "", v.Now) {
		b.sort(w)
	}
	b.head()
	b.trouble()
	b.facts()
	b.ending()
	b.failures()
	b.waiting()
	b.running()
	b.modules()
	b.buttons()
	return b.card
}

// board is a board that is being drawn.
type board struct {
	engine.View
	calendar
	r     *playbooks.Run
	issue string
	card  chat.Card
	stuck map[string][]playbooks.Wait // what Explain says of steps that failed or are unknown
	waits []playbooks.Wait            // what it says of the rest, but for steps that simply run
}

func (b *board) sort(w playbooks.Wait) {
	if s := b.r.Book.Lookup(w.Step); s != nil {
		p := b.r.Progress(s.ID)
		switch {
		case p.State == playbooks.Running && !p.Stalled && s.Kind != playbooks.StepApproval:
			return
		case p.State == playbooks.Unknown, p.State == playbooks.Failing && p.RetryAt.IsZero():
			if b.stuck == nil {
				b.stuck = make(map[string][]playbooks.Wait)
			}
			b.stuck[s.ID] = append(b.stuck[s.ID], w)
			return
		}
	}
	b.waits = append(b.waits, w)
}

// runTitle names a run: what it is and where.
func runTitle(r *playbooks.Run) string {
	if ownRollback(r) {
		return fmt.Sprintf("Rollback %s of release %s in %s", r.ID, r.Book.RollbackRun, r.Environment)
	}
	return fmt.Sprintf("Release %s → %s", r.ID, r.Environment)
}

// ownRollback reports whether going back is all that the run is for.
func ownRollback(r *playbooks.Run) bool { return r.RollingBack && len(r.Earlier) == 0 }

var statusWords = map[playbooks.Status]string{
	playbooks.StatusGated:                  "waiting for its gates",
	playbooks.StatusQueued:                 "waiting in the queue",
	playbooks.StatusHeld:                   "stopped, needs a decision",
	playbooks.Status(playbooks.Succeeded):  "released",
	playbooks.Status(playbooks.RolledBack): "rolled back",
}

func statusOf(r *playbooks.Run) string {
	if words, ok := statusWords[r.Status()]; ok {
		return words
	}
	return string(r.Status())
}

func toneOf(r *playbooks.Run) chat.Tone {
	switch r.Status() {
	case playbooks.Status(playbooks.Succeeded):
		return chat.Good
	case playbooks.StatusRunning:
		return chat.Neutral
	case playbooks.StatusWaiting, playbooks.StatusGated, playbooks.StatusQueued, playbooks.StatusPaused, playbooks.StatusReturning,
		playbooks.Status(playbooks.RolledBack):
		return chat.Waiting
	}
	return chat.Bad
}

// effects counts the steps that change something, and those of them that are over.
func effects(r *playbooks.Run) (done, total int) {
	for i := range r.Steps {
		if !r.Book.Steps[i].Kind.HasEffect() {
			continue
		}
		total++
		if s := r.Steps[i].State; s == playbooks.Done || s == playbooks.SkippedStep {
			done++
		}
	}
	return done, total
}

func (b *board) head() {
	done, total := effects(b.r)
	b.card.Title = runTitle(b.r) + ": " + statusOf(b.r)
	b.card.Tone = toneOf(b.r)
	b.card.Progress = &chat.Progress{Done: done, Total: total, Label: plural(total, "change")}
	b.card.Text = fmt.Sprintf("%s, %d of %s", b.card.Title, done, countOf(total, "change"))
	if left := b.left(); left >= time.Second {
		b.card.Progress.Label += " · about " + briefly(left) + " to go"
	}
	if b.Trouble != nil {
		b.card.Tone = chat.Bad
		b.card.Text += ". It cannot be saved just now, so nothing new begins"
	}
	if stuck := b.r.StuckSteps(); len(stuck) > 0 {
		b.card.Text += ". " + b.stuckTitle(stuck[0])
	}
	if len(b.waits) > 0 && len(b.stuck) == 0 {
		b.card.Text += ". " + sentence(waitWords(b.View, b.waits[0]))
		if words := advice(b.waits[0]); words != "" {
			b.card.Text += ". " + words
		}
	}
}

// left estimates how long the run still takes: the longest chain of what is to
// be done. It says nothing where nothing moves, or nobody has estimated one of
// the changes that are left.
func (b *board) left() time.Duration {
	if b.r.Effects() == 0 {
		return 0
	}
	var left time.Duration
	for i, chain := range b.r.Book.Priorities() {
		p, step := &b.r.Steps[i], &b.r.Book.Steps[i]
		switch p.State {
		case playbooks.Done, playbooks.SkippedStep:
			continue
		case playbooks.Running:
			chain -= b.Now.Sub(p.Started)
		}
		if step.Kind.HasEffect() && step.Estimate == 0 {
			return 0
		}
		left = max(left, chain)
	}
	return left
}

func (b *board) section(s chat.Section) { b.card.Sections = append(b.card.Sections, s) }

func (b *board) trouble() {
	if b.Trouble != nil {
		b.section(chat.Section{
			Heading: "Cannot save",
			Text:    fmt.Sprintf("%s. Nothing new begins until it can be saved again; what runs goes on, and nothing is lost.", sentence(onOneLine(b.Trouble.Error()))),
		})
	}
}

func (b *board) facts() {
	r := b.r
	fields := []chat.Field{{Name: "asked by", Value: bySpeaker(mention(b.Policy, r.By), r.Rule)}, {Name: "began", Value: b.full(r.Created)}}
	switch {
	case r.Over():
		fields = append(fields, chat.Field{Name: "took", Value: briefly(r.Ended.Sub(r.Created))})
	case r.Effects() > 0:
		fields = append(fields, chat.Field{Name: "elapsed", Value: briefly(b.Now.Sub(r.Created))})
	}
	fields = append(fields, chat.Field{Name: "plan", Value: r.Book.Digest.Short()})
	if b.issue != "" {
		fields = append(fields, chat.Field{Name: "issue", Value: b.issue})
	}
	if r.Request.Reason != "" {
		fields = append(fields, chat.Field{Name: "because", Value: onOneLine(r.Request.Reason)})
	}
	if r.Override != "" {
		fields = append(fields, chat.Field{Name: "in spite of a freeze", Value: onOneLine(r.Override)})
	}
	b.section(chat.Section{Fields: fields})
}

// ending says how a run ended that did not simply succeed.
func (b *board) ending() {
	r := b.r
	text := ""
	switch r.Outcome {
	case playbooks.Rejected:
		text = rejection(r, b.Policy)
	case playbooks.Aborted:
		text = "It was aborted"
		if h := r.Aborting; h != nil {
			text = fmt.Sprintf("%s aborted it at %s", b.Policy.Name(h.By), b.clock(h.At))
		}
		if r.Touched() {
			text += ". What was deployed by then stays as it is"
		} else {
			text += ". Nothing was changed"
		}
	case playbooks.RolledBack:
		text = "What ran before is live again"
	}
	if text != "" {
		b.section(chat.Section{Text: text + "."})
	}
}

// rejection says who rejected a run and why.
func rejection(r *playbooks.Run, p *playbooks.Policy) string {
	for i := range r.Steps {
		step, s := &r.Book.Steps[i], &r.Steps[i]
		if step.Kind == playbooks.StepApproval && s.By != "" {
			return fmt.Sprintf("%s rejected it: %s. Nothing was changed", p.Name(s.By), strings.TrimRight(onOneLine(s.Message), "."))
		}
	}
	return "It was rejected. Nothing was changed"
}

func (b *board) stuckTitle(s *playbooks.Step) string {
	if b.r.Progress(s.ID).State == playbooks.Unknown {
		return sentence(stepWords(s)) + ": nobody can tell whether it happened"
	}
	return sentence(stepWords(s)) + " failed"
}

// failures shows what stands in the way, with an excerpt of what it rests on.
func (b *board) failures() {
	stuck := b.r.StuckSteps()
	for _, s := range stuck[:min(len(stuck), boardFailures)] {
		p := b.r.Progress(s.ID)
		var text []string
		if p.Message != "" {
			text = append(text, onOneLine(p.Message))
		}
		if words := advice(b.stuck[s.ID]...); words != "" && !b.r.Over() {
			text = append(text, words)
		}
		b.section(chat.Section{Heading: b.stuckTitle(s), Text: strings.Join(text, "\n"), Code: excerpt(p.Evidence)})
	}
	if len(stuck) > boardFailures {
		var ids []string
		for _, s := range stuck[boardFailures:] {
			ids = append(ids, s.ID)
		}
		b.section(chat.Section{Text: "Failed as well: " + enumerate(ids, boardFailures, "and") + "."})
	}
}

func (b *board) waiting() {
	var items []chat.Item
	for _, w := range b.waits {
		item := chat.Item{Symbol: chat.SymbolWaiting, Text: sentence(waitWords(b.View, w)), Detail: advice(w)}
		if !w.Until.IsZero() {
			item.Text += ", at " + b.clock(w.Until)
		}
		items = append(items, item)
	}
	if len(items) > 0 {
		b.section(chat.Section{Heading: "Waiting", Items: atMost(items, boardWaits)})
	}
}

// atMost cuts a list short and says so.
func atMost(items []chat.Item, most int) []chat.Item {
	if len(items) <= most {
		return items
	}
	return append(items[:most:most], chat.Item{Text: fmt.Sprintf("… and %d more", len(items)-most)})
}

func (b *board) running() {
	var items []chat.Item
	for _, s := range b.r.RunningSteps() {
		p := b.r.Progress(s.ID)
		if p.Stalled {
			continue // among what waits
		}
		item := chat.Item{Symbol: chat.SymbolRunning, Text: stepWords(s), Detail: onOneLine(p.Message)}
		if report, ok := b.Reports[s.ID]; ok {
			item.Detail = onOneLine(report.Message)
			if count := fmt.Sprintf("%d of %d", report.Progress, report.Total); report.Total > 0 && !strings.Contains(item.Detail, count) {
				item.Detail = strings.TrimSuffix(count+", "+item.Detail, ", ")
			}
		}
		items = append(items, item)
	}
	if len(items) > 0 {
		b.section(chat.Section{Heading: "Now", Items: atMost(items, boardRunning)})
	}
}

// moduleStates adds up the steps of each module.
func moduleStates(r *playbooks.Run) map[string]chat.Symbol {
	type sum struct{ done, begun, skipped, total, running, waiting, failed, unknown int }
	sums := make(map[string]*sum, len(r.Book.Modules))
	for i := range r.Steps {
		step := &r.Book.Steps[i]
		if step.Module == "" {
			continue
		}
		s := sums[step.Module]
		if s == nil {
			s = new(sum)
			sums[step.Module] = s
		}
		s.total++
		switch r.Steps[i].State {
		case playbooks.Done:
			s.done++
			if step.Kind != playbooks.StepGate { // a gate that is open is no beginning
				s.begun++
			}
		case playbooks.SkippedStep:
			s.skipped++
		case playbooks.Unknown:
			s.unknown++
		case playbooks.Failing:
			if r.Steps[i].RetryAt.IsZero() {
				s.failed++
			} else {
				s.waiting++ // it is tried again by itself
			}
		case playbooks.Running:
			if step.Kind == playbooks.StepGate {
				s.waiting++
			} else {
				s.running++
			}
		}
	}
	done := chat.SymbolDone
	if r.RollingBack {
		done = chat.SymbolUndone
	}
	states := make(map[string]chat.Symbol, len(sums))
	for module, s := range sums {
		state := chat.SymbolPending
		switch {
		case s.unknown > 0:
			state = chat.SymbolUnknown
		case s.failed > 0:
			state = chat.SymbolFailed
		case s.running > 0:
			state = chat.SymbolRunning
		case s.waiting > 0:
			state = chat.SymbolWaiting
		case s.skipped == s.total:
			state = chat.SymbolSkipped
		case s.done+s.skipped == s.total:
			state = done
		case s.begun > 0 && !r.Over() && r.Quiet():
			state = chat.SymbolWaiting
		case s.begun > 0 && !r.Over():
			state = chat.SymbolRunning
		}
		states[module] = state
	}
	return states
}

// modules shows every module in its wave; of a large release, counts.
func (b *board) modules() {
	states := moduleStates(b.r)
	book := b.r.Book
	if len(book.Modules) > boardModules {
		b.section(chat.Section{Heading: countOf(len(book.Modules), "module"), Items: b.waves(states)})
		return
	}
	chain := len(book.Waves) == len(book.Modules) // a heading above each module says nothing
	if b.r.RollingBack && !b.r.Over() && !chain && len(book.Waves) > 1 {
		b.section(chat.Section{Text: "Each module goes back as soon as all that rests on it has, whatever its wave."})
	}
	s := chat.Section{}
	for i, wave := range book.Waves {
		if i == 0 || !chain {
			s = chat.Section{Heading: b.waveHeading(i, chain)}
		}
		for _, name := range wave {
			item := chat.Item{Symbol: states[name], Text: name}
			if m := book.Planned(name); m != nil {
				item.Detail = m.Move()
			}
			s.Items = append(s.Items, item)
		}
		if !chain || i == len(book.Waves)-1 {
			b.section(s)
		}
	}
	if b.r.RollingBack && !ownRollback(b.r) {
		if rest := len(b.r.Forward().Book.Modules) - len(book.Modules); rest > 0 {
			b.section(chat.Section{Text: "Never touched: " + countOf(rest, "other module") + "."})
		}
	}
}

func (b *board) waveHeading(i int, chain bool) string {
	switch only := len(b.r.Book.Waves) == 1; {
	case b.r.RollingBack && (only || chain):
		return "Going back"
	case only:
		return "Modules"
	case chain:
		return "One after the other"
	case b.r.RollingBack:
		return fmt.Sprintf("Going back, wave %d", i+1)
	}
	return fmt.Sprintf("Wave %d", i+1)
}

// symbolWords are the states in the order in which counts name them.
var symbolWords = []struct {
	symbol chat.Symbol
	words  string
}{
	{chat.SymbolFailed, "failed"}, {chat.SymbolUnknown, "unknown"}, {chat.SymbolRunning, "running"}, {chat.SymbolWaiting, "waiting"},
	{chat.SymbolPending, "to come"}, {chat.SymbolSkipped, "skipped"}, {chat.SymbolUndone, "went back"}, {chat.SymbolDone, "done"},
}

// waves has one line for each wave, and one for waves in a row that are all in
// the same state.
func (b *board) waves(states map[string]chat.Symbol) []chat.Item {
	var items []chat.Item
	waves := b.r.Book.Waves
	for i := 0; i < len(waves); {
		counts := make(map[chat.Symbol]int)
		for _, m := range waves[i] {
			counts[states[m]]++
		}
		next := i + 1
		for len(counts) == 1 && next < len(waves) && !slices.ContainsFunc(waves[next], func(m string) bool { return counts[states[m]] == 0 }) {
			counts[states[waves[next][0]]] += len(waves[next])
			next++
		}
		item := chat.Item{Text: fmt.Sprintf("Wave %d", i+1)}
		if len(counts) > 1 {
			for _, m := range waves[i] {
				item.Row = append(item.Row, states[m])
			}
		}
		if next > i+1 {
			item.Text = fmt.Sprintf("Waves %d–%d", i+1, next)
		}
		var parts []string
		for _, s := range symbolWords {
			if n := counts[s.symbol]; n > 0 {
				if item.Symbol == chat.SymbolNone {
					item.Symbol = s.symbol
				}
				parts = append(parts, fmt.Sprintf("%d %s", n, s.words))
			}
		}
		item.Detail = strings.Join(parts, ", ")
		items = append(items, item)
		i = next
	}
	return atMost(items, boardWaves)
}

// buttons offers what the run's state allows. A run that is over has none, so
// that an old board in the channel can do no harm. Abort and rollback are
// commands that ask back themselves; what else must not happen by a slip of the thumb
// has a Confirm.
func (b *board) buttons() {
	r := b.r
	if r.Over() {
		if r.Outcome == playbooks.Succeeded {
			b.card.Footer = "To undo it: rollback " + r.ID
		}
		return
	}
	add := func(a chat.Action) { b.card.Actions = append(b.card.Actions, a) }
	halting := r.Aborting != nil || r.WantsBack
	if open := r.OpenApprovals(); len(open) == 1 && !halting && !r.Tally(b.Policy, open[0], b.Now).Complete() {
		for _, a := range answers(r.ID, r.Book.Playbook, r.Environment) {
			add(a)
		}
	}
	if stuck := r.StuckSteps(); len(stuck) > 0 {
		s := stuck[0]
		if r.Progress(s.ID).State == playbooks.Unknown {
			confirm := "confirm " + r.ID + " " + s.ID
			add(chat.Action{Label: "It happened", Command: confirm + " done", Confirm: "Have you looked? " + sentence(stepWords(s)) + " counts as done then."})
			add(chat.Action{Label: "It did not", Command: confirm + " failed", Confirm: "Have you looked? " + sentence(stepWords(s)) + " counts as failed then."})
		} else {
			add(retryButton(r))
		}
	}
	switch {
	case r.Aborting != nil:
	case r.Paused != nil:
		add(chat.Action{Label: "Resume", Command: "resume " + r.ID, Style: chat.Good})
	case len(r.StuckSteps()) == 0:
		add(chat.Action{Label: "Pause", Command: "pause " + r.ID})
	}
	if r.Touched() && !r.RollingBack && !halting {
		add(chat.Action{Label: "Roll back", Command: "rollback " + r.ID, Style: chat.Bad})
	}
	if r.Aborting == nil {
		add(chat.Action{Label: "Abort", Command: "abort " + r.ID, Style: chat.Bad})
	}
	add(chat.Action{Label: "Why?", Command: "why " + r.ID})
}

// retryButton repeats the step that failed, or all if there are several.
func retryButton(r *playbooks.Run) chat.Action {
	a := chat.Action{Label: "Retry", Command: "retry " + r.ID, Style: chat.Waiting}
	stuck := slices.DeleteFunc(r.StuckSteps(), func(s *playbooks.Step) bool { return r.Progress(s.ID).State == playbooks.Unknown })
	if len(stuck) == 1 {
		a.Command += " " + stuck[0].ID
	}
	return a
}

// boardChannels are where a run is shown: the channels of its environment, and those that
// have a board of it already.
func (r *Reporters) boardChannels(ctx context.Context, run string, p *playbooks.Policy, environment string) ([]string, error) {
	channels := slices.Clone(r.o.Channels)
	if env := p.Environment(environment); env != nil && len(env.Channels) > 0 {
		channels = slices.Clone(env.Channels)
	}
	keys, err := r.scribe.keys(ctx, boardPrefix+run+"/")
	for _, key := range keys {
		if channel := strings.TrimPrefix(key, boardPrefix+run+"/"); !slices.Contains(channels, channel) {
			channels = append(channels, channel)
		}
	}
	return channels, err
}
