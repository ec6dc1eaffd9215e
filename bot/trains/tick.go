package trains

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
)

// handle takes a tick further, as far as that goes now, and returns when it is due again.
func (y *Yard) handle(ctx context.Context, t *playbooks.Train, table *timetable) (due time.Time, err error) {
	if table.Tick.Stage == stageBegun {
		if table.Tick.Missed && t.Late != playbooks.LateRun {
			return due, y.skip(ctx, t, table)
		}
		if err := y.board(ctx, t, table); err != nil || table.Tick.Stage != stageBoarding {
			return due, err
		}
	}
	return y.remind(ctx, t, table)
}

// skip says that a train did not run, and leaves it at that.
func (y *Yard) skip(ctx context.Context, t *playbooks.Train, table *timetable) error {
	k := table.Tick
	why := "Muster was down"
	text := fmt.Sprintf("Train %s did not run at %s: %s.", t.Name, on(t, k.At), why)
	if k.Late > 0 {
		text = fmt.Sprintf("Train %s did not run %d times, last at %s: %s.", t.Name, k.Late+1, on(t, k.At), why)
	}
	text += fmt.Sprintf(" To release what it would have taken: release … to %s.", t.Environment)
	if err := y.say(ctx, t, k, "skipped", chat.Card{Text: text, Tone: chat.Waiting}); err != nil {
		return err
	}
	return y.advance(ctx, t, table, func(k *tick) { k.Stage, k.Why = stageDone, why })
}

// board collects what the modules have ready and starts the run. The run is found by its
// cause after a crash, whatever is ready by then.
func (y *Yard) board(ctx context.Context, t *playbooks.Train, table *timetable) error {
	k := table.Tick
	run, err := y.o.StartedBy(ctx, cause(t, k))
	if err != nil {
		return err
	}
	if run == "" {
		ready, behind, err := y.collect(ctx, t)
		if err != nil {
			return err
		}
		if err := y.advance(ctx, t, table, func(k *tick) {
			k.Left = behind
			// A train that is late departs as long after it was noticed as it would have, and one that could not
			// be prepared in time as long after it was: people are asked before it leaves.
			if (k.Missed || !k.Departs.After(time.Now())) && !k.Departs.After(time.Now().Add(t.Lead)) {
				k.Departs = time.Now().Add(t.Lead).Truncate(time.Second)
			}
		}); err != nil {
			return err
		}
		k = table.Tick
		if len(ready) == 0 {
			return y.stay(ctx, t, table, "there is nothing new")
		}
		line := fmt.Sprintf("release %s to %s", strings.Join(ready, " "), t.Environment)
		if k.Departs.After(time.Now()) {
			line += " at " + k.Departs.UTC().Format(time.RFC3339)
		}
		line += fmt.Sprintf(" because train %s of %s", t.Name, k.At.Format("2 January 15:04 MST"))
		answer := y.o.Execute(ctx, bot.Line{By: t.As, From: t.As, Via: "clock", Rule: "train " + t.Name, Cause: cause(t, k), Text: line})
		if answer.Err != nil {
			if ctx.Err() != nil || !refused(answer.Err) {
				return answer.Err
			}
			return y.stay(ctx, t, table, strings.TrimRight(chat.Plain(answer.Card.Text), "."))
		}
		if run, err = y.o.StartedBy(ctx, cause(t, k)); err != nil {
			return err
		}
		if run == "" {
			return fmt.Errorf("the release of train %q was started, and cannot be found", t.Name)
		}
	}
	card := chat.Card{Text: fmt.Sprintf("Train %s is release %s to %s; it departs at %s.", t.Name, run, t.Environment, on(t, k.Departs))}
	if !k.Departs.After(time.Now()) {
		card.Text = fmt.Sprintf("Train %s is release %s to %s; it departs as soon as everybody has agreed.", t.Name, run, t.Environment)
	}
	if k.Missed {
		card.Text += fmt.Sprintf(" It is late: Muster was down at %s.", on(t, k.At))
	}
	card.Sections = y.behind(t, k)
	card.Actions = []chat.Action{{Label: "why " + run, Command: "why " + run}}
	if err := y.say(ctx, t, k, "candidate", card); err != nil {
		return err
	}
	return y.advance(ctx, t, table, func(k *tick) { k.Stage, k.Run = stageBoarding, run })
}

// on writes a time for people: each reads it in a zone of their own where the chat can do that,
// and in the train's elsewhere.
func on(t *playbooks.Train, at time.Time) string {
	if zone, err := time.LoadLocation(t.Zone); err == nil {
		at = at.In(zone)
	}
	return chat.At(at, chat.Dated, at.Format("Mon 2 Jan 15:04 MST"))
}

// refused reports whether a line came to nothing for good.
func refused(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// stay ends a tick without a run, and says why.
func (y *Yard) stay(ctx context.Context, t *playbooks.Train, table *timetable, why string) error {
	card := chat.Card{Text: fmt.Sprintf("Train %s stays where it is: %s.", t.Name, why), Sections: y.behind(t, table.Tick)}
	if err := y.say(ctx, t, table.Tick, "stays", card); err != nil {
		return err
	}
	return y.advance(ctx, t, table, func(k *tick) { k.Stage, k.Why = stageDone, why })
}

// behind lists the modules that stay behind, with those who own them.
func (y *Yard) behind(t *playbooks.Train, k *tick) []chat.Section {
	if len(k.Left) == 0 {
		return nil
	}
	section := chat.Section{Heading: "Not on it"}
	policy := y.o.Policy()
	for _, l := range k.Left {
		section.Items = append(section.Items, chat.Item{Symbol: chat.SymbolWaiting, Text: l.Module, Detail: l.Why + owners(policy, l.Module)})
	}
	return []chat.Section{section}
}

// owners names the owners of a module, as an addition to a sentence.
func owners(p *playbooks.Policy, module string) string {
	m := p.Catalog().Module(module)
	if m == nil || len(m.Owners) == 0 {
		return ""
	}
	var names []string
	for _, who := range m.Owners {
		if p.Person(who) != nil {
			names = append(names, chat.Mention(who, p.Name(who)))
			continue
		}
		for _, member := range p.Members(who) {
			names = append(names, chat.Mention(member, p.Name(member)))
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > 6 {
		names = append(names[:6], "others")
	}
	return ": " + strings.Join(names, ", ")
}

// version is what the name of a version may look like in a line.
var version = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+/-]{0,127}$`)

// collect finds out what a train takes, as MODULE@VERSION, and what stays behind and why.
func (y *Yard) collect(ctx context.Context, t *playbooks.Train) (ready []string, behind []left, err error) {
	catalog := y.o.Policy().Catalog()
	named := len(t.Modules) > 0
	for i := range catalog.Modules {
		m := &catalog.Modules[i]
		if named && !slices.Contains(t.Modules, m.Name) {
			continue
		}
		candidate, why, err := y.candidate(ctx, catalog, t, m)
		switch {
		case err != nil:
			return nil, nil, err
		case candidate != "" && !version.MatchString(candidate):
			behind = append(behind, left{m.Name, "its version has a name that is none"})
		case candidate != "":
			ready = append(ready, m.Name+"@"+candidate)
		case named || why != nothingNew:
			behind = append(behind, left{m.Name, why})
		}
	}
	return ready, behind, nil
}

// nothingNew is why a module stays behind that nobody misses.
const nothingNew = "nothing new"

// newest is how many of a module's builds are looked at.
const newest = 20

// candidate is the version of a module that a train takes, or why it takes none: what is live in
// the environment before, or the newest build that passed where there is none; always one that
// is registered, where the module is built, and that is not live already.
func (y *Yard) candidate(ctx context.Context, c *playbooks.Catalog, t *playbooks.Train, m *playbooks.Module) (candidate, why string, err error) {
	live, err := y.o.Live(ctx, t.Environment, m.Name)
	if err != nil {
		return "", "", err
	}
	built := m.Source != "" && y.o.Builds != nil
	var builds []playbooks.BuildState
	if built {
		if builds, err = y.o.Builds.Versions(ctx, m.Name, newest); err != nil {
			return "", "", err
		}
	}
	if before := c.Before(t.Environment); before != nil {
		if candidate, err = y.o.Live(ctx, before.Name, m.Name); err != nil {
			return "", "", err
		}
		if candidate == "" {
			return "", "it is not in " + before.Name, nil
		}
	} else if built {
		for _, b := range builds {
			if b.State == playbooks.BuildPassed {
				candidate = b.Version
				break
			}
		}
		// A newer build that has not passed is what somebody waits for.
		if len(builds) > 0 && builds[0].Version != candidate && (candidate == live || candidate == "") {
			return "", fmt.Sprintf("the build of %s is %s", builds[0].Version, builds[0].State), nil
		}
	} else {
		candidate = m.Version
	}
	switch {
	case candidate == "" && !built:
		return "", nothingNew, nil
	case candidate == "":
		return "", "it was never built", nil
	case candidate == live:
		return "", nothingNew, nil
	case built:
		b, err := y.o.Builds.Build(ctx, m.Name, candidate)
		if err != nil {
			return "", "", err
		}
		if b.State != playbooks.BuildPassed {
			return "", fmt.Sprintf("the build of %s is %s", candidate, b.State), nil
		}
	}
	return candidate, "", nil
}

// remind tells, at the times that the configuration names, what is still missing, and lets the
// train go when it departs: from then on it is a run like any other.
func (y *Yard) remind(ctx context.Context, t *playbooks.Train, table *timetable) (due time.Time, err error) {
	at := slices.Clone(t.Remind)
	slices.SortFunc(at, func(a, b time.Duration) int { return int(b - a) }) // the longest before first
	for {
		k := table.Tick
		now := time.Now()
		if k.Said >= len(at) || !k.Departs.After(now) {
			if k.Departs.After(now) {
				return k.Departs, nil
			}
			return due, y.advance(ctx, t, table, func(k *tick) { k.Stage = stageDone })
		}
		next := k.Departs.Add(-at[k.Said])
		if next.After(now) {
			return next, nil
		}
		// Of several that are due, and of those that were due before the run was there, the last is told.
		if k.Said+1 < len(at) && !k.Departs.Add(-at[k.Said+1]).After(now) {
			if err := y.advance(ctx, t, table, func(k *tick) { k.Said++ }); err != nil {
				return due, err
			}
			continue
		}
		waits, over, err := y.o.Waits(ctx, k.Run)
		if err != nil {
			return due, err
		}
		if over {
			return due, y.advance(ctx, t, table, func(k *tick) { k.Stage = stageDone })
		}
		if card := y.missing(t, k, waits); len(card.Sections) > 0 {
			if err := y.say(ctx, t, k, fmt.Sprintf("reminder/%s", at[k.Said]), card); err != nil {
				return due, err
			}
		}
		if err := y.advance(ctx, t, table, func(k *tick) { k.Said++ }); err != nil {
			return due, err
		}
	}
}

// missing is a reminder: what stands in the way of the departure, and who can move it.
func (y *Yard) missing(t *playbooks.Train, k *tick, waits []playbooks.Wait) chat.Card {
	card := chat.Card{
		Tone:    chat.Waiting,
		Text:    fmt.Sprintf("Train %s departs at %s, and something is missing.", t.Name, on(t, k.Departs)),
		Actions: []chat.Action{{Label: "why " + k.Run, Command: "why " + k.Run}},
	}
	section := chat.Section{Heading: "Missing"}
	for _, w := range waits {
		if w.Step == departureStep {
			continue // which is no news
		}
		item := chat.Item{Symbol: chat.SymbolWaiting, Text: w.For}
		if len(w.Who) > 0 {
			who := w.Who
			if len(who) > 6 {
				who = append(slices.Clone(who[:6]), "others")
			}
			item.Detail = strings.Join(who, ", ")
		}
		section.Items = append(section.Items, item)
	}
	if len(section.Items) > 0 {
		card.Sections = append(card.Sections, section)
	}
	card.Sections = append(card.Sections, y.behind(t, k)...)
	return card
}

// departureStep is the step of a run that opens when it departs.
const departureStep = "gate:departure"
