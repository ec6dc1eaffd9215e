package slack

import (
	"context"
	"sync"
	"time"
)

// settle is how long Slack is given to show what an acknowledgement puts in a modal.
const settle = 250 * time.Millisecond

// heldViews are modals that an acknowledgement under way is about to change. An answer that
// is quicker than the acknowledgement would be overwritten by its "wait". The zero
// value is ready; it may be used concurrently.
type heldViews struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

// hold keeps answers off a modal until release is called.
func (h *heldViews) hold(id string) (release func()) {
	done := make(chan struct{})
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = map[string]chan struct{}{}
	}
	h.held[id] = done
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		close(done)
		if h.held[id] == done { // somebody may have sent the form twice
			delete(h.held, id)
		}
	})
}

// wait returns when nothing holds the modal any more, or ctx ends.
func (h *heldViews) wait(ctx context.Context, id string) error {
	for {
		h.mu.Lock()
		done := h.held[id]
		h.mu.Unlock()
		if done == nil {
			return nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
