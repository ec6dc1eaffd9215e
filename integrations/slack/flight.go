package slack

import (
	"context"
	"sync"
)

// flights are questions under way. The zero value is ready.
type flights struct {
	mu    sync.Mutex
	under map[string]*flight
}

type flight struct {
	done  chan struct{}
	value any
	err   error
	left  bool // who asked gave up, which says nothing to the others
}

// alone asks a question unless somebody is just asking it; then it waits for their answer. The
// question ends with the context of who asks it, and nobody waits for longer than their own.
func alone[T any](ctx context.Context, f *flights, key string, ask func() (T, error)) (T, error) {
	for {
		f.mu.Lock()
		if f.under == nil {
			f.under = make(map[string]*flight)
		}
		other := f.under[key]
		if other == nil {
			mine := &flight{done: make(chan struct{}), left: true}
			f.under[key] = mine
			f.mu.Unlock()
			return fly(ctx, f, key, mine, ask)
		}
		f.mu.Unlock()
		select {
		case <-other.done:
			if !other.left {
				value, _ := other.value.(T)
				return value, other.err
			}
		case <-ctx.Done():
			var none T
			return none, context.Cause(ctx)
		}
	}
}

func fly[T any](ctx context.Context, f *flights, key string, mine *flight, ask func() (T, error)) (T, error) {
	defer func() {
		f.mu.Lock()
		delete(f.under, key)
		f.mu.Unlock()
		close(mine.done)
	}()
	value, err := ask()
	mine.value, mine.err, mine.left = value, err, err != nil && ctx.Err() != nil
	return value, err
}
