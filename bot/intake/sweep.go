package intake

import (
	"context"
	"encoding/json"
	"time"

	"github.com/muster-release/muster/store"
)

const (
	// keepKnown is how long an event that was handled is known. Jira repeats a delivery for up
	// to half an hour (https://developer.atlassian.com/cloud/jira/platform/webhooks/#retry-policy);
	// in GitLab a person may send one again while it is shown there
	// (https://docs.gitlab.com/user/project/integrations/webhooks/).
	keepKnown = 3 * 24 * time.Hour
	// keepDone is how long it is known what a fact led to: longer than anybody looks back.
	keepDone   = 30 * 24 * time.Hour
	keepHeard  = 24 * time.Hour
	sweepEvery = time.Hour
)

// sweepUntil forgets, every now and then until ctx ends, what is not needed any more.
func (in *Intake) sweepUntil(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := in.sweep(ctx); err != nil && ctx.Err() == nil {
			in.o.Log.Warn("old events could not be forgotten", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (in *Intake) sweep(ctx context.Context) error {
	ago := func(t time.Time, age time.Duration) bool { return !t.IsZero() && time.Since(t) > age }
	err := forget(ctx, in.o.Logs, knownPrefix, func(k *known) bool { return ago(k.Done, keepKnown) })
	if err != nil {
		return err
	}
	err = forget(ctx, in.o.Logs, factPrefix, func(d *decision) bool { return ago(d.Done, keepDone) })
	if err != nil {
		return err
	}
	err = forget(ctx, in.o.Logs, firingPrefix, func(f *firing) bool { return ago(f.Heard, keepKnown) })
	if err != nil {
		return err
	}
	err = forget(ctx, in.o.Logs, heardPrefix, func(a *asked) bool { return ago(a.At, keepHeard) })
	if err != nil {
		return err
	}
	return in.posts.Sweep(ctx, keepDone)
}

// forget removes the keys below prefix whose values are old. What cannot be read stays.
func forget[V any](ctx context.Context, logs *store.Logs, prefix string, old func(*V) bool) error {
	var sets []store.Set
	flush := func() error {
		if len(sets) == 0 {
			return nil
		}
		err := logs.Set(ctx, sets...)
		sets = nil
		return err
	}
	for pair, err := range logs.Keys(ctx, prefix) {
		if err != nil {
			return err
		}
		v := new(V)
		if json.Unmarshal(pair.Value, v) != nil || !old(v) {
			continue
		}
		if sets = append(sets, store.Set{Key: string(pair.Key)}); len(sets) == store.MaxTxnOps/2 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}
