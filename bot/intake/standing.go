package intake

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
)

// standEvery is how often is looked at what stands: facts that wait for a build, and alerts
// that fire.
const standEvery = time.Minute

// standing looks at what waits and fires, first what an earlier process has left, until ctx
// ends.
func (in *Intake) standing(ctx context.Context) {
	for {
		wait := standEvery
		if err := in.decideWaiting(ctx); err != nil && ctx.Err() == nil {
			// A chat that takes so many messages a minute says when it is the next one's turn.
			if later, ok := retryAfter(err); ok {
				wait = min(wait, max(later, time.Second))
			} else {
				in.o.Log.Warn("a rule that waited for a build could not be carried out; it is tried again", "error", err)
			}
		}
		if err := in.holdAgain(ctx); err != nil && ctx.Err() == nil {
			in.o.Log.Warn("alerts that fire could not hold every run; it is tried again", "error", err)
		}
		select {
		case <-time.After(wait):
		case <-in.recall:
		case <-ctx.Done():
			return
		}
	}
}

// decideWaiting carries out what waited for builds that are registered now, and gives up what
// has waited too long.
func (in *Intake) decideWaiting(ctx context.Context) error {
	var all []waiting
	for pair, err := range in.o.Logs.Keys(ctx, waitingPrefix) {
		if err != nil {
			return err
		}
		var w waiting
		if err := json.Unmarshal(pair.Value, &w); err != nil {
			in.o.Log.Error("what waits for a build cannot be read", "key", string(pair.Key), "error", err)
			continue
		}
		all = append(all, w)
	}
	var failed error
	for i := range all {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := safely(func() error { return in.decideOne(ctx, all[i]) }); err != nil {
			failed = err
		}
	}
	return failed
}

func (in *Intake) decideOne(ctx context.Context, w waiting) error {
	key := factPrefix + factKey(&w.Event)
	defer in.facts.lock(key)()
	var d decision
	there, err := in.read(ctx, key, &d)
	if err != nil {
		return err
	}
	if !there || d.Rule == nil {
		return in.keep(ctx, store.Set{Key: waitingPrefix + factKey(&w.Event)})
	}
	catalog := in.o.Policy().Catalog()
	if d.Card == nil && !slices.ContainsFunc(catalog.Rules, func(r playbooks.Rule) bool { return r.Name == d.Name && r.Do == d.Rule.Do }) {
		in.o.Log.Info("a rule does nothing: it was taken out of the configuration while it waited", "rule", d.Name, "fact", w.Event.Fact)
		return in.giveUp(ctx, d, w)
	}
	r, err := in.choose(ctx, catalog, d.Rule, &w.Event)
	if err != nil {
		return err
	}
	if r.absent == "" {
		is, err := in.stillTrue(ctx, w.Event)
		if err != nil {
			return err
		}
		if is {
			return in.act(ctx, d, w.Event, r)
		}
		in.o.Log.Info("a rule does nothing: what it waited because of is not true any more", "rule", d.Name, "fact", w.Event.Fact)
		return in.giveUp(ctx, d, w)
	}
	if time.Since(w.Since) < waitForBuild {
		return nil
	}
	in.o.Log.Warn("a rule gives up: there is no build that passed", "rule", d.Name, "build", r.absent, "waited", waitForBuild, "fact", w.Event.Fact)
	card := chat.Card{Tone: chat.Waiting, Text: fmt.Sprintf("By %s. Nothing was done: for %d hours there was no build that passed of %s.", because(d.Rule, &w.Event), int(waitForBuild.Hours()), r.absent)}
	if err := in.tell(ctx, in.channels(d.Rule, d.Rule.To), cause(d.Rule, &w.Event), card, w.Since.Add(waitForBuild)); err != nil {
		return err
	}
	return in.giveUp(ctx, d, w)
}

// stillTrue reports whether an event that has waited is true still: a tag may have been taken back
// meanwhile, or moved, which is another fact.
func (in *Intake) stillTrue(ctx context.Context, e events.Event) (bool, error) {
	now, found, err := in.confirm(ctx, e)
	switch {
	case isPermanent(err):
		return false, nil
	case err != nil || !found:
		return false, err
	}
	return e.Kind != events.Tag || now.Fact == e.Fact, nil
}

// giveUp ends a decision that nothing follows from. The lock of the fact is held.
func (in *Intake) giveUp(ctx context.Context, d decision, w waiting) error {
	done := decision{At: d.At, Name: d.Name, Done: time.Now()}
	return in.keep(ctx, store.Set{Key: factPrefix + factKey(&w.Event), Value: encode(done)}, store.Set{Key: waitingPrefix + factKey(&w.Event)})
}

// safely turns a panic into an error: what is written down comes again, so a mistake of ours
// must not end the program.
func safely(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("intake: panic: %v\n%s", r, debug.Stack())
		}
	}()
	return f()
}
