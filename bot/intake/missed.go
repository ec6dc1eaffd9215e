package intake

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/store"
)

const (
	// overlap is how far back before the last look the next one begins, because a system may
	// show something later than it happened.
	overlap = 10 * time.Minute
	// longestLook is how far back is looked after Muster was down.
	longestLook = 7 * 24 * time.Hour
	// lookTogether is how many events are taken as one: what is taken stays taken.
	lookTogether = 500
)

// lookUntil asks a system, every now and then until ctx ends, for what was never delivered.
func (in *Intake) lookUntil(ctx context.Context, source string, origin events.Origin) {
	for failures := 0; ; {
		wait := in.o.Every
		if err := safely(func() error { return in.look(ctx, source, origin) }); err != nil {
			if ctx.Err() != nil {
				return
			}
			failures++
			in.o.Log.Warn("it could not be looked whether events were missed; it is tried again", "source", source, "error", err)
			wait = patience(failures, in.o.Every)
			if later, ok := retryAfter(err); ok {
				wait = max(later, time.Second)
			}
		} else {
			failures = 0
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// look takes what a system says has happened since it was last asked. The first time that
// is what happens from now on: nothing that was before Muster came makes a release.
func (in *Intake) look(ctx context.Context, source string, origin events.Origin) error {
	key := cursorPrefix + url.PathEscape(source)
	now := time.Now()
	var last time.Time
	there, err := in.read(ctx, key, &last)
	if err != nil {
		return err
	}
	if !there {
		return in.keep(ctx, store.Set{Key: key, Value: encode(now)}, store.Set{Key: beginPrefix + url.PathEscape(source), Value: encode(now)})
	}
	var begin time.Time
	if _, err := in.read(ctx, beginPrefix+url.PathEscape(source), &begin); err != nil {
		return err
	}
	if last.After(now) {
		last = now // the clock was ahead then, and what happens until that time is not to be missed
	}
	since := last.Add(-overlap)
	if since.Before(begin) {
		since = begin
	}
	if oldest := now.Add(-longestLook); since.Before(oldest) {
		in.o.Log.Warn("what happened before is not looked for", "source", source, "since", oldest, "last", last)
		since = oldest
	}
	call, cancel := context.WithTimeoutCause(ctx, in.o.Every, fmt.Errorf("no answer within %v", in.o.Every))
	defer cancel()
	missed, err := origin.Missed(call, since)
	if err != nil {
		return err
	}
	var all []events.Event
	for _, e := range missed {
		if !e.At.IsZero() && e.At.Before(begin) {
			continue
		}
		e.Source = source
		if e.ID == "" && e.Fact != "" {
			e.ID = lookID(e.Kind, e.Fact)
		}
		e, err := limited(e)
		if err != nil {
			in.o.Log.Warn("something that was missed is left out", "source", source, "error", err)
			continue
		}
		all = append(all, e)
	}
	for some := range slices.Chunk(all, lookTogether) {
		if err := in.Take(ctx, some...); err != nil {
			return err
		}
	}
	return in.keep(ctx, store.Set{Key: key, Value: encode(now)})
}
