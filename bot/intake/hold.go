package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
)

// firing is an alert that holds releases until it is resolved, those that begin
// meanwhile included. Fields may be added.
type firing struct {
	Event   events.Event    `json:"event"`
	Rule    *playbooks.Rule `json:"rule,omitempty"`
	Modules []string        `json:"modules,omitempty"`
	Heard   time.Time       `json:"heard"` // when it was last said to fire
	// Runs are those that were held, or could not be: each is held once, so that whoever
	// resumes one has the last word.
	Runs     []string  `json:"runs,omitempty"`
	Held     []string  `json:"held,omitempty"` // those of Runs that were
	Resolved time.Time `json:"resolved,omitzero"`
}

// stale is for how long an alert holds what begins after nobody said any more that it fires.
const stale = 12 * time.Hour

// firingKey is of the alert, whatever has become of it.
func firingKey(e *events.Event) string {
	name := e.Fields["fingerprint"]
	if name == "" {
		name = e.Subject
	}
	return firingPrefix + url.PathEscape(e.Source) + "/" + url.PathEscape(name)
}

// hold pauses the releases of the modules that an event is about, and of what they need.
func (in *Intake) hold(ctx context.Context, rule *playbooks.Rule, e events.Event, modules []string) error {
	if len(rule.Modules) > 0 {
		modules = rule.Modules
	}
	switch {
	case e.Kind == events.AlertResolved:
		return nil // that is over
	case len(modules) == 0:
		in.o.Log.Debug("a rule holds nothing: the event is about no module", "rule", rule.Name, "source", e.Source, "fact", e.Fact)
		return nil
	case e.Kind != events.AlertFiring:
		f := firing{Event: e, Rule: rule, Modules: modules, Heard: time.Now()}
		return in.holdRuns(ctx, &f, func() error { return nil })
	}
	key := firingKey(&e)
	defer in.facts.lock(key)()
	var f firing
	there, err := in.read(ctx, key, &f)
	if err != nil {
		return err
	}
	switch {
	case there && !f.Resolved.IsZero() && !e.At.After(f.Resolved):
		return nil // news that come late: it was resolved since
	case !there || f.Event.Fact != e.Fact || !f.Resolved.IsZero():
		f = firing{}
	}
	f.Event, f.Rule, f.Modules, f.Heard = e, rule, modules, time.Now()
	keep := func() error { return in.keep(ctx, store.Set{Key: key, Value: encode(f)}) }
	if err := keep(); err != nil {
		return err
	}
	return in.holdRuns(ctx, &f, keep)
}

// holdRuns pauses the open runs that f concerns and that were not held because of it. One
// that is paused already is left for later. Keep makes durable what f says.
func (in *Intake) holdRuns(ctx context.Context, f *firing, keep func() error) error {
	runs, err := in.o.Runs(ctx)
	if err != nil {
		return err
	}
	touched := needed(in.o.Policy().Catalog(), f.Modules)
	for _, run := range runs {
		if run.Back || run.Paused || slices.Contains(f.Runs, run.ID) || f.Rule.To != "" && f.Rule.To != run.Environment ||
			!slices.ContainsFunc(run.Modules, func(m string) bool { return touched[m] }) {
			continue
		}
		held, err := in.pause(ctx, f, run)
		if err != nil {
			return err
		}
		f.Runs = append(f.Runs, run.ID)
		if held {
			f.Held = append(f.Held, run.ID)
		}
		if err := keep(); err != nil {
			return err
		}
	}
	return nil
}

// pause pauses a run because of f, and tells the channels where that is refused. Those of
// the run hear from its reporters that it is paused.
func (in *Intake) pause(ctx context.Context, f *firing, run Run) (held bool, err error) {
	rule, e := f.Rule, &f.Event
	key := cause(rule, e) + "/" + run.ID
	answer := in.o.Execute(ctx, spoken(rule, e, key, fmt.Sprintf("pause %s because %s", run.ID, happened(e))))
	var refusal *playbooks.Refusal
	switch {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case answer.Err == nil:
		in.o.Log.Info("a rule holds a run", "rule", rule.Name, "run", run.ID, "fact", e.Fact)
		return true, nil
	case !answer.Final() && in.worthTrying(f.Heard):
		return false, answer.Err
	case errors.As(answer.Err, &refusal) && (refusal.Rule == "run-over" || refusal.Rule == "not-paused"):
		return false, nil
	}
	in.o.Log.Warn("a rule cannot hold a run", "rule", rule.Name, "run", run.ID, "error", answer.Err)
	card := introduced(answer.Card, because(rule, e))
	card.Tone = chat.Bad
	card.Sections = append(card.Sections, chat.Section{Text: fmt.Sprintf("Run %s goes on. To hold it, type: pause %s", run.ID, run.ID)})
	return false, in.tell(ctx, in.channels(rule, run.Environment), key, card, f.Heard)
}

// needed are some modules and all that they need to be built and to run, directly or through
// others: what a release of theirs, or of what they rest on, touches.
func needed(c *playbooks.Catalog, modules []string) map[string]bool {
	touched := make(map[string]bool)
	byName := make(map[string]*playbooks.Module, len(c.Modules))
	for i := range c.Modules {
		byName[c.Modules[i].Name] = &c.Modules[i]
	}
	for todo := slices.Clone(modules); len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		if touched[name] {
			continue
		}
		touched[name] = true
		if m := byName[name]; m != nil {
			for _, need := range m.Needs {
				if need.Kind != playbooks.NeedTest {
					todo = append(todo, need.Module)
				}
			}
		}
	}
	return touched
}

// resolved ends what an alert holds: the runs go on when somebody says so.
func (in *Intake) resolved(ctx context.Context, e events.Event) error {
	key := firingKey(&e)
	defer in.facts.lock(key)()
	var f firing
	there, err := in.read(ctx, key, &f)
	if err != nil || there && (!f.Resolved.IsZero() || e.At.Before(f.Event.At)) {
		return err // that was another time
	}
	if there {
		if err := in.noteResolved(ctx, &f); err != nil {
			return err
		}
	}
	// Kept for a while where nothing fired as well: the news of that may come later.
	return in.keep(ctx, store.Set{Key: key, Value: encode(firing{Event: events.Event{At: f.Event.At, Fact: f.Event.Fact}, Heard: time.Now(), Resolved: e.At})})
}

// noteResolved says below the runs that an alert held that it is resolved.
func (in *Intake) noteResolved(ctx context.Context, f *firing) error {
	if len(f.Held) == 0 {
		return nil
	}
	runs, err := in.o.Runs(ctx)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if !slices.Contains(f.Held, run.ID) {
			continue
		}
		now := f.Event
		now.Kind = events.AlertResolved
		text := fmt.Sprintf("note %s %s; this run was held because of it. To go on, type: resume %s", run.ID, happened(&now), run.ID)
		answer := in.o.Execute(ctx, spoken(f.Rule, &f.Event, cause(f.Rule, &f.Event)+"/"+run.ID+"/resolved", text))
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case answer.Err != nil && !answer.Final():
			return answer.Err
		case answer.Err != nil:
			in.o.Log.Warn("a run cannot be told that an alert is resolved", "run", run.ID, "error", answer.Err)
		}
	}
	return nil
}

// holdAgain holds the runs that have begun since an alert fired.
func (in *Intake) holdAgain(ctx context.Context) error {
	var keys []string
	for pair, err := range in.o.Logs.Keys(ctx, firingPrefix) {
		if err != nil {
			return err
		}
		var f firing
		if err := json.Unmarshal(pair.Value, &f); err != nil {
			in.o.Log.Error("an alert that was kept cannot be read", "key", string(pair.Key), "error", err)
			continue
		}
		if f.Resolved.IsZero() && time.Since(f.Heard) < stale {
			keys = append(keys, string(pair.Key))
		}
	}
	var failed error
	for _, key := range keys {
		if err := safely(func() error { return in.holdOne(ctx, key) }); err != nil {
			failed = err
		}
	}
	return failed
}

func (in *Intake) holdOne(ctx context.Context, key string) error {
	defer in.facts.lock(key)()
	var f firing
	if there, err := in.read(ctx, key, &f); err != nil || !there || !f.Resolved.IsZero() {
		return err
	}
	// The rules that are in force now say what it holds, whatever they said when it began to fire.
	catalog := in.o.Policy().Catalog()
	rule := match(catalog.Rules, &f.Event)
	if rule == nil || rule.Do != playbooks.RuleHold {
		return nil
	}
	f.Rule, f.Modules = rule, rule.Modules
	if len(f.Modules) == 0 {
		f.Modules = in.about(catalog, &f.Event)
	}
	return in.holdRuns(ctx, &f, func() error { return in.keep(ctx, store.Set{Key: key, Value: encode(f)}) })
}
