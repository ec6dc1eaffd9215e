package bot

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// How much an approval request shows.
const (
	requestModules  = 20
	requestWarnings = 6
)

// asking is one time that people were asked to approve something, as the log
// tells it. Asked again, be it of a changed plan or because an answer was lost, it is
// another one.
type asking struct {
	seq     uint64 // of the event that asked
	step    string
	digest  playbooks.Digest
	at      time.Time
	answers []answer
	end     askingEnd // empty while it is open
	ended   time.Time
	by      string // who ended it
	reason  string
}

type askingEnd string

const (
	askingApproved   askingEnd = "approved"
	askingRejected   askingEnd = "rejected"
	askingSuperseded askingEnd = "superseded"
	askingCancelled  askingEnd = "cancelled"
)

// answer is what one person said, or that it does not count any more.
type answer struct {
	by    string
	at    time.Time
	via   string
	until time.Time
	lost  string // why it does not count; empty: it does
}

func (a *asking) close(end askingEnd, e *playbooks.Event, reason string) {
	if a.end == "" {
		a.end, a.ended, a.by, a.reason = end, e.Time, e.By, reason
	}
}

// askings is the fold of a run's log as far as it is about approvals.
type askings struct {
	all     []*asking
	aborter string
}

// last is the latest time that was asked at a step.
func (a *askings) last(step string) *asking {
	for _, asked := range slices.Backward(a.all) {
		if asked.step == step {
			return asked
		}
	}
	return nil
}

func (a *askings) apply(seq uint64, e *playbooks.Event) {
	last := a.last(e.Step)
	switch e.Type {
	case playbooks.EventAsked:
		if last != nil {
			last.close(askingSuperseded, e, "it was asked again")
		}
		a.all = append(a.all, &asking{seq: seq, step: e.Step, digest: e.Digest, at: e.Time})
	case playbooks.EventAborting:
		if !e.Rollback {
			a.aborter = e.By
		}
	case playbooks.EventAdopted:
		reason := "the plan has changed since"
		if e.Rollback {
			reason = "the release goes back"
		}
		for _, asked := range a.all {
			asked.close(askingSuperseded, e, reason)
		}
	case playbooks.EventCompleted:
		end := *e
		end.By = a.aborter
		for _, asked := range a.all {
			asked.close(askingCancelled, &end, "the run is over: "+string(e.Outcome))
		}
	}
	if last == nil {
		return
	}
	switch e.Type {
	case playbooks.EventApproved:
		last.answers = append(last.answers, answer{by: e.By, at: e.Time, via: e.Via, until: e.Until})
	case playbooks.EventUnapproved:
		last.lose(e.By, "taken back")
	case playbooks.EventExpired:
		last.lose(e.Person, "expired")
	case playbooks.EventRejected:
		last.close(askingRejected, e, e.Reason)
	case playbooks.EventSucceeded:
		last.close(askingApproved, e, "")
	}
}

func (a *asking) lose(by, why string) {
	for i := range a.answers {
		if a.answers[i].by == by && a.answers[i].lost == "" {
			a.answers[i].lost = why
		}
	}
}

// answeredBy reports whether person's yes counts.
func (a *asking) answeredBy(person string) bool {
	return slices.ContainsFunc(a.answers, func(ans answer) bool { return ans.by == person && ans.lost == "" })
}

// wanted is who is asked just now at an approval step.
type wanted struct {
	missing []playbooks.ApprovalRule
	names   [][]string // by rule: who could
	ids     [][]string // the same people's ids, in the same order
	people  []string   // ids of all of them
}

// wantedNow finds who could give what is missing. It leaves out those who have
// answered and, where the rules say so, whoever asked for the release.
func wantedNow(v engine.View, a *playbooks.Approval) wanted {
	tally := v.Run.Tally(v.Policy, a, v.Now)
	w := wanted{missing: tally.Missing, names: make([][]string, len(tally.Missing)), ids: make([][]string, len(tally.Missing))}
	modules := moduleNames(v.Run.Forward().Book.Playbook)
	for _, person := range v.Policy.Catalog().People {
		given := slices.ContainsFunc(tally.Given, func(g playbooks.Grant) bool { return g.Person == person.ID })
		if given || a.ExcludeRequester && person.ID == v.Run.By {
			continue
		}
		counts := false
		for i, rule := range tally.Missing {
			if rule.Group == "" && v.Policy.May(person.ID, playbooks.VerbRollback, v.Run.Environment, modules...) == nil ||
				rule.Group != "" && v.Policy.In(person.ID, rule.Group) {
				w.names[i] = append(w.names[i], v.Policy.Name(person.ID))
				w.ids[i] = append(w.ids[i], person.ID)
				counts = true
			}
		}
		if counts {
			w.people = append(w.people, person.ID)
		}
	}
	for i := range w.ids {
		slices.SortFunc(w.ids[i], func(x, y string) int { return cmp.Compare(v.Policy.Name(x), v.Policy.Name(y)) })
		slices.Sort(w.names[i])
	}
	return w
}

// answers are the buttons of a request. An approval names the plan that is
// shown, so that a click on what has changed since does not count. The reason of a rejection
// is for the person to fill in.
func answers(run string, pb *playbooks.Playbook, environment string) []chat.Action {
	what, plan := fmt.Sprintf("release %s to %s", run, environment), pb.Digest.Short()
	if pb.RollbackOf != nil {
		what = fmt.Sprintf("rollback %s in %s", run, environment)
	}
	return []chat.Action{
		{Label: "Approve", Command: "approve " + run + " " + plan, Style: chat.Good, Confirm: fmt.Sprintf("Approve %s, plan %s?", what, plan)},
		{Label: "Reject", Command: "reject " + run + " " + plan + " because …", Style: chat.Bad, Ask: "Why?"},
		{Label: "Show plan", Command: "plan " + plan},
	}
}

// requestCard draws an approval request as it is now. Open has who is wanted, nil
// once nobody is asked any more. For is the person whose own copy it is, empty in a
// channel. It is pure.
func requestCard(p *picture, a *asking, pb *playbooks.Playbook, open *wanted, person string) chat.Card {
	approval := approvalOf(pb, a.step)
	title := fmt.Sprintf("release %s → %s", p.run, p.environment)
	if pb.RollbackOf != nil {
		title = fmt.Sprintf("rollback of release %s in %s", p.run, p.environment)
		if p.ownRollback {
			title = fmt.Sprintf("rollback %s in %s", p.run, p.environment)
		}
	}
	card := chat.Card{}
	switch {
	case a.end == askingApproved:
		card.Title, card.Tone = "Approved: "+title, chat.Good
	case a.end == askingRejected:
		card.Title, card.Tone = "Rejected: "+title, chat.Bad
	case a.end != "":
		card.Title = sentence(string(a.end)) + ": " + title
	case open == nil:
		card.Title = "Not asked any more: " + title
	case person != "" && a.answeredBy(person):
		card.Title = "You approved: " + title
	case person != "" && !slices.Contains(open.people, person):
		card.Title = "Others have answered for you: " + title
	default:
		card.Title, card.Tone = "Approval needed: "+title, chat.Waiting
		card.Actions = answers(p.run, pb, p.environment)
	}
	card.Text = card.Title
	if words := p.endWords(a, open); words != "" {
		card.Text += ". " + words
		card.Sections = append(card.Sections, chat.Section{Text: words + "."})
	}
	what := chat.Section{Heading: "What happens"}
	for i := range pb.Modules {
		m := &pb.Modules[i]
		item := chat.Item{Text: m.Name, Detail: m.Move()}
		if news := newsWords(m.Changes); news != "" {
			item.Detail += ": " + news
		}
		if since := p.since[m.Name]; !since.IsZero() && open != nil {
			item.Detail += ", last changed " + p.clock(since)
		}
		what.Items = append(what.Items, item)
	}
	what.Items = atMost(what.Items, requestModules)
	fields := []chat.Field{{Name: "asked by", Value: p.asker(open)}, {Name: "asked at", Value: p.full(a.at)}, {Name: "plan", Value: pb.Digest.Short()}}
	if approval != nil && approval.ValidFor > 0 && a.end == "" {
		fields = append(fields, chat.Field{Name: "an answer holds for", Value: briefly(approval.ValidFor)})
	}
	if at := pb.Request.NotBefore; !at.IsZero() && pb.RollbackOf == nil {
		fields = append(fields, chat.Field{Name: "leaves at", Value: p.full(at)})
	}
	if reason := pb.Request.Reason; reason != "" {
		fields = append(fields, chat.Field{Name: "because", Value: onOneLine(reason)})
	}
	card.Sections = append(card.Sections, chat.Section{Fields: fields}, what)
	if len(card.Actions) > 0 {
		card.Sections = append(card.Sections, warnings(pb)...)
	}
	card.Sections = append(card.Sections, p.answered(a, open)...)
	if len(card.Actions) > 0 {
		card.Text = fmt.Sprintf("%s. %s asks %s to agree: %s. Type: %s", card.Title, p.policy.Name(p.by), ruleWords(open.missing), moduleMoves(pb, 3), card.Actions[0].Command)
	}
	return card
}

// asker names who asked for the run, and says so if they may agree to it as well.
func (p *picture) asker(open *wanted) string {
	name := bySpeaker(mention(p.policy, p.by), p.rule)
	if open != nil && slices.Contains(open.people, p.by) {
		name += " (may approve it, too)"
	}
	return name
}

func approvalOf(pb *playbooks.Playbook, step string) *playbooks.Approval {
	i := slices.IndexFunc(pb.Approvals, func(a playbooks.Approval) bool { return a.Step == step })
	if i < 0 {
		return nil
	}
	return &pb.Approvals[i]
}

// endWords says who ended a request, how and when; nothing while it is open.
func (p *picture) endWords(a *asking, open *wanted) string {
	at := p.clock(a.ended)
	switch {
	case a.end == askingApproved:
		return "All who were needed had agreed at " + at
	case a.end == askingRejected:
		return fmt.Sprintf("%s rejected it at %s: %s", mention(p.policy, a.by), at, strings.TrimRight(onOneLine(a.reason), "."))
	case a.end == askingCancelled && a.by != "":
		return fmt.Sprintf("%s aborted the run; it ended at %s", mention(p.policy, a.by), at)
	case a.end != "":
		return fmt.Sprintf("At %s: %s", at, a.reason)
	case open == nil:
		return p.halted
	}
	return ""
}

func warnings(pb *playbooks.Playbook) []chat.Section {
	var items []chat.Item
	for _, w := range pb.Warnings {
		items = append(items, chat.Item{Symbol: chat.SymbolWaiting, Text: onOneLine(w.Message)})
	}
	if len(items) == 0 {
		return nil
	}
	return []chat.Section{{Heading: "Before you say yes", Items: atMost(items, requestWarnings)}}
}

// answered shows who has said what, and who is still needed.
func (p *picture) answered(a *asking, open *wanted) []chat.Section {
	var items []chat.Item
	for _, ans := range a.answers {
		item := chat.Item{Symbol: chat.SymbolDone, Text: fmt.Sprintf("%s approved at %s", mention(p.policy, ans.by), p.clock(ans.at))}
		switch {
		case ans.lost != "":
			item.Symbol, item.Detail = chat.SymbolUndone, ans.lost
		case a.end == "":
			item.Detail = "counts until " + p.clock(ans.until)
		}
		items = append(items, item)
	}
	if open != nil && a.end == "" {
		for i, rule := range open.missing {
			var names []string
			for _, id := range open.ids[i] {
				names = append(names, mention(p.policy, id))
			}
			detail := enumerate(names, 8, "or")
			if detail == "" {
				detail = "nobody in the catalog may give it"
			}
			items = append(items, chat.Item{Symbol: chat.SymbolWaiting, Text: fmt.Sprintf("%d of %s", rule.Count, groupWords(rule.Group)), Detail: detail})
		}
	}
	if len(items) == 0 {
		return nil
	}
	return []chat.Section{{Heading: "Answers", Items: items}}
}

// requests keeps every copy of every request true, and makes those that are missing.
func (r *Reporters) requests(ctx context.Context, d *desk, p *picture, channels []string) error {
	prefix := requestPrefix + d.run + "/"
	keys, err := r.scribe.keys(ctx, prefix)
	if err != nil {
		return err
	}
	for _, a := range d.ledger.askings.all {
		var open *wanted
		if w, ok := p.wanted[a.step]; ok && a.end == "" && p.halted == "" {
			open = &w
		}
		own := fmt.Sprintf("%s%d/", prefix, a.seq)
		copies, err := r.copies(ctx, own, keys)
		if err != nil {
			return err
		}
		if open != nil {
			r.addCopies(ctx, d, p, own, copies, channels, open)
		}
		if len(copies) == 0 {
			continue
		}
		pb, err := r.shown(ctx, p, a.digest)
		if err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(copies)) {
			r.requestCopy(ctx, d, key, copies[key], p, a, pb, open)
		}
	}
	return nil
}

// copies reads the copies of a request that were made, or begun.
func (r *Reporters) copies(ctx context.Context, own string, keys []string) (map[string]kept, error) {
	copies := make(map[string]kept)
	for _, key := range keys {
		if !strings.HasPrefix(key, own) {
			continue
		}
		var k kept
		if _, err := r.scribe.read(ctx, key, &k); err != nil {
			return nil, err
		}
		copies[key] = k
	}
	return copies, nil
}

// addCopies adds those that there ought to be: one in each channel, and one for
// each person who is still needed.
func (r *Reporters) addCopies(ctx context.Context, d *desk, p *picture, own string, copies map[string]kept, channels []string, open *wanted) {
	add := func(key string, k kept) {
		if _, there := copies[key]; !there {
			copies[key] = k
		}
	}
	for _, channel := range channels {
		add(own+"in/"+channel, kept{Channel: channel})
	}
	for _, id := range open.people {
		if _, there := copies[own+"to/"+id]; there {
			continue
		}
		r.attempt(ctx, d, "who/"+id, chat.Urgent, func() error {
			call, cancel := calling(ctx)
			defer cancel()
			handle, err := r.o.People.Handle(call, id)
			if err == nil && handle != "" {
				add(own+"to/"+id, kept{To: handle, Person: id})
			}
			return err
		})
	}
}

// requestCopy brings one copy up to date. One that nobody has to answer any more
// is not posted just to say so.
func (r *Reporters) requestCopy(ctx context.Context, d *desk, key string, k kept, p *picture, a *asking, pb *playbooks.Playbook, open *wanted) {
	m := chat.Message{
		Key: fmt.Sprintf("request/%s/%s/%d", p.run, a.step, a.seq), Channel: k.Channel, To: k.To,
		Card: requestCard(p, a, pb, open, k.Person), About: p.run, Urgency: chat.Settled,
	}
	if !k.posted() || k.Channel != "" {
		m.Urgency = chat.Urgent // somebody is asked, or wants to see that their answer counts
	}
	if k.Person != "" && k.posted() && k.Tone == m.Card.Tone && len(m.Card.Actions) > 0 {
		return // they are asked still; what others have answered is in the channel
	}
	now := k
	if r.attempt(ctx, d, key, m.Urgency, func() (err error) {
		if len(m.Card.Actions) == 0 {
			return r.scribe.retire(ctx, key, p.run, k, m)
		}
		now, err = r.scribe.show(ctx, key, p.run, k.Person, m)
		return err
	}) {
		r.fresh(d, key, m.Urgency, now.Shown != k.Shown)
	}
}

// retire is show for a message that is not worth posting any more.
func (s scribe) retire(ctx context.Context, key, run string, k kept, m chat.Message) error {
	if !k.posted() {
		var err error
		if k, err = s.search(ctx, key, run, k, m); err != nil {
			return err
		}
	}
	if !k.posted() {
		return s.remove(ctx, key)
	}
	shown := cardDigest(m.Card)
	if k.Shown == shown {
		return nil
	}
	if err := s.update(ctx, k.Handle, m); err != nil && !isGone(err) {
		return err
	}
	k.Shown, k.Tone = shown, m.Card.Tone
	return s.write(ctx, key, k)
}

// shown finds a playbook that people were shown.
func (r *Reporters) shown(ctx context.Context, p *picture, digest playbooks.Digest) (*playbooks.Playbook, error) {
	for _, book := range p.books {
		if book.Digest == digest {
			return book.Playbook, nil
		}
	}
	return r.o.Engine.FindPlan(ctx, digest.String())
}
