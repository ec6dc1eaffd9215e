package intake

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"runtime/debug"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
)

// handle does what follows from an event, and notes that it was done. It is safe to repeat
// after any error, which says that it has to be.
func (in *Intake) handle(ctx context.Context, waiting *entry) (err error) {
	log := in.o.Log.With("source", waiting.source, "event", waiting.number)
	defer func() {
		// What is written down comes again after a crash, so a mistake of ours must not
		// end the program, nor come back for ever.
		if r := recover(); r != nil {
			log.Error("an event could not be handled and is given up", "panic", r, "stack", string(debug.Stack()))
			err = in.finish(ctx, waiting)
		}
	}()
	var e events.Event
	there, err := in.read(ctx, eventKey(waiting.number), &e)
	if err != nil || !there {
		return in.again(ctx, waiting, "an event cannot be read", err)
	}
	log = log.With("id", e.ID, "kind", e.Kind, "subject", e.Subject)
	if !in.matters(&e) {
		if modules := in.About(e); len(modules) > 0 {
			in.o.Signal(modules...)
		}
		log.Debug("an event leads to nothing but a look")
		return in.finish(ctx, waiting, &e)
	}
	now, found, err := in.confirm(ctx, e)
	switch {
	case isPermanent(err):
		log.Warn("what an event hints at cannot be looked up, and is given up", "error", err)
		return in.finish(ctx, waiting)
	case err != nil:
		return in.again(ctx, waiting, "it is not known whether an event is true", unanswered{err})
	case !found:
		log.Debug("an event is not true any more")
		return in.finish(ctx, waiting)
	}
	in.answered(waiting)
	err = in.follow(ctx, now)
	switch {
	case isPermanent(err):
		log.Warn("an event cannot be handled, and is given up", "error", err)
		return in.finish(ctx, waiting)
	case err != nil:
		return in.again(ctx, waiting, "an event could not be handled", err)
	}
	log.Debug("an event was handled", "fact", now.Fact)
	return in.finish(ctx, waiting, &e, &now)
}

// matters reports whether something may follow from an event but a look of what waits, which does no harm
// where the event is not true. Anybody who may comment or push to a branch can make as many others
// as they like, and there are only so many questions that a system answers.
func (in *Intake) matters(e *events.Event) bool {
	catalog := in.o.Policy().Catalog()
	for i := range catalog.Rules {
		if r := &catalog.Rules[i]; r.Source == e.Source && (r.Kind == "" || r.Kind == string(e.Kind)) {
			return true
		}
	}
	switch e.Kind {
	case events.Push, events.Tag, events.Job, events.Deployment, events.Release, events.Note:
		return false
	case events.Pipeline:
		return len(in.about(catalog, e)) > 0
	}
	return true
}

// again logs why an event is handled again. Without an error there is none to handle.
func (in *Intake) again(ctx context.Context, waiting *entry, what string, err error) error {
	if err != nil && ctx.Err() == nil {
		in.o.Log.Warn(what+"; it is tried again", "source", waiting.source, "event", waiting.number, "for", in.failing(waiting).Round(time.Second), "error", err)
	}
	return err
}

// confirm asks the system that an event comes from what is true.
func (in *Intake) confirm(ctx context.Context, e events.Event) (events.Event, bool, error) {
	origin := in.o.Sources[e.Source].Origin
	if origin == nil {
		return e, true, nil
	}
	call, cancel := calling(ctx)
	defer cancel()
	now, found, err := origin.Confirm(call, e)
	if err != nil || !found {
		return e, false, err
	}
	now.ID, now.Source = e.ID, e.Source
	if now.Fact == "" {
		now.Fact = e.Fact
	}
	now, err = limited(now)
	return now, err == nil, err
}

// follow does everything that follows from an event that is true.
func (in *Intake) follow(ctx context.Context, e events.Event) error {
	if err := in.register(ctx, e); err != nil {
		return err
	}
	catalog := in.o.Policy().Catalog()
	modules := in.about(catalog, &e)
	if len(modules) > 0 {
		in.o.Signal(modules...)
	} else {
		in.o.Log.Debug("an event is about no module of the catalog", "source", e.Source, "id", e.ID)
	}
	if e.Kind == events.MergeRequest && in.o.Preview != nil {
		err := in.o.Preview(ctx, e)
		if err != nil && !isPermanent(err) {
			return err
		}
		if err != nil {
			in.o.Log.Warn("the plans on a merge request cannot be kept true", "source", e.Source, "subject", e.Subject, "error", err)
		}
	}
	if e.Kind == events.AlertResolved {
		if err := in.resolved(ctx, e); err != nil {
			return err
		}
	}
	if e.Fields["run"] != "" && (e.Kind == events.IssueMoved || e.Kind == events.IssueLabelled) {
		return in.moved(ctx, e) // a release issue starts no release
	}
	return in.rules(ctx, e, modules)
}

// register keeps the builds that came out of a pipeline.
func (in *Intake) register(ctx context.Context, e events.Event) error {
	built := in.o.Sources[e.Source].Builds
	if built == nil || e.Kind != events.Pipeline {
		return nil
	}
	call, cancel := calling(ctx)
	defer cancel()
	all, err := built(call, e)
	if isPermanent(err) {
		in.o.Log.Warn("the builds of a pipeline cannot be looked up", "source", e.Source, "subject", e.Subject, "error", err)
		return nil
	}
	if err != nil {
		return unanswered{err}
	}
	for _, b := range all {
		if b.State != playbooks.BuildPassed && b.State != playbooks.BuildFailed {
			continue
		}
		if !isVersion(b.Version) {
			in.o.Log.Warn("a build is not registered: its version is none", "module", b.Module, "version", cut(b.Version, 60), "link", b.Link)
			continue
		}
		changed, err := in.o.Builds.Register(ctx, b)
		switch {
		case isPermanent(err):
			in.o.Log.Warn("a build is not registered", "module", b.Module, "version", b.Version, "link", b.Link, "error", err)
		case err != nil:
			return err
		case changed:
			in.o.Log.Info("a build is registered", "module", b.Module, "version", b.Version, "state", b.State, "commit", b.Commit)
		}
	}
	if len(all) > 0 {
		token(in.recall)
	}
	return nil
}

// finish keeps of an event only that it was handled, and of what was found that it need not be
// found by looking.
func (in *Intake) finish(ctx context.Context, done *entry, found ...*events.Event) error {
	tombstone := encode(known{Done: time.Now()})
	sets := []store.Set{{Key: done.key, Value: tombstone}, {Key: eventKey(done.number)}}
	for _, e := range found {
		key := knownKey(done.source, lookID(e.Kind, e.Fact))
		if e.Fact == "" || key == done.key || in.o.Sources[done.source].Origin == nil {
			continue
		}
		// One that was found by looking and waits in a line of its own goes its own way.
		var k known
		if there, err := in.read(ctx, key, &k); err != nil || there && k.Done.IsZero() {
			continue
		}
		sets = append(sets, store.Set{Key: key, Value: tombstone})
	}
	return in.keep(ctx, sets...)
}

// keep writes as one. It is finished even when ctx ends meanwhile: what it notes has happened.
func (in *Intake) keep(ctx context.Context, sets ...store.Set) error {
	return in.o.Logs.Set(context.WithoutCancel(ctx), sets...)
}

// read reports whether something is kept at key.
func (in *Intake) read(ctx context.Context, key string, v any) (bool, error) {
	data, err := in.o.Logs.Get(ctx, key)
	if err != nil || data == nil {
		return false, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("intake: key %q: %w", key, err)
	}
	return true, nil
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("intake: encode %T: %v", v, err)) // plain types of our own
	}
	return data
}

// factKey is the end of the keys that are about a fact.
func factKey(e *events.Event) string {
	return url.PathEscape(e.Source) + "/" + url.PathEscape(string(e.Kind)) + "/" + url.PathEscape(e.Fact)
}
