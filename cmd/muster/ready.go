package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/muster-release/muster/store"
)

// Ready says why commands are not taken just now; nil: they are.
func (a *app) Ready(ctx context.Context) error {
	if !a.resumed.Load() {
		return errors.New("the runs are not resumed yet, or Muster is shutting down")
	}
	if a.store.damaged.Load() {
		return errors.New("something in the store is not what was written; stop Muster and restore its data from a backup")
	}
	return a.probe.check(ctx)
}

// probe finds out, now and then, whether the store can be written.
type probe struct {
	logs *store.Logs

	mu   sync.Mutex
	at   time.Time
	last error
}

const (
	probeEvery = 5 * time.Second
	probeTime  = 3 * time.Second
	probeKey   = "muster/probe"
)

func (p *probe) check(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < probeEvery {
		return p.last
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), probeTime, fmt.Errorf("no answer within %v", probeTime))
	defer cancel()
	p.last = nil
	if err := p.logs.Set(ctx, store.Set{Key: probeKey, Value: []byte(time.Now().UTC().Format(time.RFC3339))}); err != nil {
		p.last = fmt.Errorf("the store cannot be written: %w", err)
	}
	p.at = time.Now()
	return p.last
}
