package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

const (
	historyRuns   = 12  // that are listed
	historyDepth  = 200 // that are looked at to find them
	historyEvents = 30  // of one run
)

func (c *call) history(ctx context.Context) (chat.Card, error) {
	run, err := c.named(ctx)
	if err != nil {
		return chat.Card{}, err
	}
	var keep func(engine.Summary) bool
	what := ""
	if w := c.args.peek(); !c.args.empty() && (run == "" || run == c.line.Run) {
		c.args.next()
		run, what = "", w.text
		switch {
		case c.policy.Environment(w.text) != nil:
			keep = func(s engine.Summary) bool { return s.Environment == w.text }
		case c.policy.Catalog().Module(w.text) != nil:
			keep = func(s engine.Summary) bool { return c.released(ctx, s, w.text) }
		default:
			return chat.Card{}, c.misspelt("run, module or environment", w, slices.Concat(c.environments(), c.modules()))
		}
	}
	if err := c.noMore(); err != nil {
		return chat.Card{}, err
	}
	if run != "" {
		return c.events(ctx, run)
	}
	return c.runs(ctx, what, keep)
}

// released reports whether a module was part of a run.
func (c *call) released(ctx context.Context, s engine.Summary, module string) bool {
	if slices.ContainsFunc(s.Modules, func(m string) bool { return strings.HasPrefix(m, module+"@") }) {
		return true
	}
	found := false
	if s.Total > len(s.Modules) {
		err := c.b.o.Engine.View(ctx, s.Run, func(v engine.View) error {
			found = v.Run.Forward().Book.Planned(module) != nil
			return nil
		})
		if err != nil {
			c.b.o.Log.Warn("a run of the history could not be read", "run", s.Run, "error", err)
		}
	}
	return found
}

// runs lists the newest runs that the speaker may see, those of what if that is not empty.
func (c *call) runs(ctx context.Context, what string, keep func(engine.Summary) bool) (chat.Card, error) {
	if len(c.environments()) == 0 {
		return chat.Card{}, c.seesNothing()
	}
	all, err := c.b.o.Engine.History(ctx, historyDepth)
	if err != nil {
		return chat.Card{}, err
	}
	times := calendar{c.now.Location(), c.now}
	section := chat.Section{}
	for _, s := range all {
		if len(section.Items) == historyRuns {
			break
		}
		var modules []string
		for _, m := range s.Modules {
			name, _, _ := strings.Cut(m, "@")
			modules = append(modules, name)
		}
		if c.maySeePlace(s.Environment, modules...) != nil || keep != nil && !keep(s) {
			continue
		}
		section.Items = append(section.Items, summaryItem(s, times, c.policy))
	}
	of := ""
	if what != "" {
		of = " of " + what
	}
	if len(section.Items) == 0 {
		return chat.Card{Text: fmt.Sprintf("There were no releases%s so far.", of)}, nil
	}
	return chat.Card{
		Text:     fmt.Sprintf("The newest releases%s. More about one: history RUN.", of),
		Sections: []chat.Section{section},
	}, nil
}

func summaryItem(s engine.Summary, times calendar, p *playbooks.Policy) chat.Item {
	item := chat.Item{Symbol: chat.SymbolRunning, Detail: fmt.Sprintf("under way since %s, %s", times.clock(s.Created), p.Name(s.By))}
	switch s.Outcome {
	case "":
	case playbooks.Succeeded:
		item.Symbol = chat.SymbolDone
	case playbooks.RolledBack:
		item.Symbol = chat.SymbolUndone
	default:
		item.Symbol = chat.SymbolFailed
	}
	if s.Outcome != "" {
		words := strings.ReplaceAll(string(s.Outcome), "-", " ")
		item.Detail = fmt.Sprintf("%s %s after %s, %s", words, times.clock(s.Ended), briefly(s.Ended.Sub(s.Created)), p.Name(s.By))
	}
	modules := slices.Clone(s.Modules)
	for i := range modules {
		modules[i] = strings.TrimSuffix(strings.Replace(modules[i], "@", " ", 1), " ")
	}
	text := enumerate(modules[:min(len(modules), 2)], 2, "and")
	if s.Total > 2 {
		text = fmt.Sprintf("%s and %d more", strings.Join(modules[:2], ", "), s.Total-2)
	}
	verb := ""
	if s.Rollback {
		verb = "rollback of "
	}
	item.Text = fmt.Sprintf("%s %s: %s%s", s.Run, s.Environment, verb, text)
	return item
}

// events tells what happened in a run, the last of it.
func (c *call) events(ctx context.Context, run string) (chat.Card, error) {
	steps := make(map[string]playbooks.Step)
	var card chat.Card
	err := c.view(ctx, run, func(v engine.View) error {
		card.Text = fmt.Sprintf("%s is %s.", runTitle(v.Run), statusOf(v.Run))
		card.Tone = toneOf(v.Run)
		chapters := append(slices.Clone(v.Run.Earlier), v.Run.Forward(), playbooks.Chapter{Book: v.Run.Book})
		for _, chapter := range chapters {
			for _, s := range chapter.Book.Steps {
				steps[s.ID] = s
			}
		}
		return nil
	})
	if err != nil {
		return chat.Card{}, err
	}
	times := calendar{c.now.Location(), c.now}
	var items []chat.Item
	before := 0
	err = c.b.o.Engine.Events(ctx, run, 1, func(_ uint64, e playbooks.Event) error {
		s, known := steps[e.Step]
		if !known {
			s = playbooks.Step{ID: e.Step}
		}
		if item, tell := c.told(&e, &s); tell {
			item.Text = times.clock(e.Time) + " " + item.Text
			items = append(items, item)
		}
		if len(items) > 2*historyEvents {
			before += len(items) - historyEvents
			items = slices.Clone(items[len(items)-historyEvents:])
		}
		return nil
	})
	if over := len(items) - historyEvents; over > 0 {
		before, items = before+over, items[over:]
	}
	section := chat.Section{Items: items}
	if before > 0 {
		section.Heading = fmt.Sprintf("The last %d of %s", len(items), countOf(before+len(items), "event"))
	}
	card.Sections = append(card.Sections, section)
	return card, err
}

// told puts an event into words, if it is one that people want to read.
func (c *call) told(e *playbooks.Event, s *playbooks.Step) (item chat.Item, tell bool) {
	who, step := bySpeaker(c.policy.Name(e.By), e.Rule), stepWords(s)
	reason := ""
	if e.Reason != "" {
		reason = ": " + onOneLine(e.Reason)
	}
	message := ""
	if e.Message != "" {
		message = ": " + onOneLine(e.Message)
	}
	say := func(symbol chat.Symbol, format string, parts ...any) (chat.Item, bool) {
		return chat.Item{Symbol: symbol, Text: fmt.Sprintf(format, parts...)}, true
	}
	switch e.Type {
	case playbooks.EventCreated:
		if e.Reason != "" {
			return say(chat.SymbolRunning, "%s started it, in spite of a freeze%s", who, reason)
		}
		return say(chat.SymbolRunning, "%s started it with plan %s", who, e.Digest.Short())
	case playbooks.EventStarted:
		if !s.Kind.HasEffect() || e.Attempt == 1 {
			return item, false // how it ends says enough
		}
		return say(chat.SymbolRunning, "%s, attempt %d", step, e.Attempt)
	case playbooks.EventSucceeded:
		switch s.Kind {
		case playbooks.StepGather, playbooks.StepApproval, playbooks.StepLock:
			return item, false
		}
		return say(chat.SymbolDone, "%s: done", step)
	case playbooks.EventFailed:
		return say(chat.SymbolFailed, "%s failed%s", step, message)
	case playbooks.EventUnknown:
		return say(chat.SymbolUnknown, "nobody can tell how it ended: %s%s", step, message)
	case playbooks.EventStalled:
		return say(chat.SymbolUnknown, "no news any more: %s", step)
	case playbooks.EventRetried:
		if e.By == "" {
			return say(chat.SymbolRunning, "again by itself: %s", step)
		}
		return say(chat.SymbolRunning, "%s tries again: %s", who, step)
	case playbooks.EventSkipped:
		return say(chat.SymbolSkipped, "%s skipped %s%s", who, s.ID, reason)
	case playbooks.EventConfirmed:
		return say(chat.SymbolDone, "%s looked: %s %s", who, s.ID, e.Outcome)
	case playbooks.EventAsked:
		return say(chat.SymbolWaiting, "people were asked about plan %s", e.Digest.Short())
	case playbooks.EventApproved:
		return say(chat.SymbolDone, "%s approved plan %s", who, e.Digest.Short())
	case playbooks.EventUnapproved:
		return say(chat.SymbolUndone, "%s took the approval back", who)
	case playbooks.EventRejected:
		return say(chat.SymbolFailed, "%s rejected it%s", who, reason)
	case playbooks.EventExpired:
		return say(chat.SymbolUndone, "the approval of %s ran out", c.policy.Name(e.Person))
	case playbooks.EventPaused:
		return say(chat.SymbolWaiting, "%s paused it%s", who, reason)
	case playbooks.EventResumed:
		return say(chat.SymbolRunning, "%s resumed it%s", who, reason)
	case playbooks.EventAborting:
		if e.Rollback {
			return say(chat.SymbolUndone, "%s wants it back%s", who, reason)
		}
		return say(chat.SymbolFailed, "%s aborted it%s", who, reason)
	case playbooks.EventAdopted:
		if e.Rollback {
			return say(chat.SymbolUndone, "it goes back by plan %s", e.Digest.Short())
		}
		return say(chat.SymbolRunning, "it goes on with plan %s", e.Digest.Short())
	case playbooks.EventAnnotated:
		return say(chat.SymbolNone, "%s noted%s", who, message)
	case playbooks.EventQueued:
		return say(chat.SymbolWaiting, "it queues behind another release")
	case playbooks.EventCompleted:
		if e.Outcome == playbooks.Succeeded {
			return say(chat.SymbolDone, "over: released")
		}
		return say(chat.SymbolFailed, "over: %s", strings.ReplaceAll(string(e.Outcome), "-", " "))
	}
	return item, false
}
