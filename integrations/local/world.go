// Package local is an outside world without accounts: a cluster, a forge, a
// tracker and a chat that live in one process. The demo runs on it, and tests
// use it as fakes that behave.
//
// Each system keeps its own append-only journal, apart from Muster's store, and
// its state is the fold of that journal. Nothing ticks: a rollout's progress
// follows from the time it was started, so the world goes on while nobody
// looks, also while Muster is dead.
//
// The systems repeat the habits of the real ones where these matter to a
// coordinator. The cluster takes an order with a known key as the same order. The
// forge, the tracker and the chat do not: asked twice, they run two jobs, open two
// issues and post two messages, and finding the first is up to the caller.
package local

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/muster-release/muster/playbooks/steps"
)

// World is the four systems. Every method of World and of the systems may be
// called concurrently.
type World struct {
	Cluster *Cluster
	Forge   *Forge
	Tracker *Tracker
	Chat    *Chat

	wire     *wire
	journals []*journal
	lock     *os.File // nil in memory
}

// Options says how a world behaves. The zero value is a world at its normal pace
// in which nothing goes wrong.
type Options struct {
	// Speed is how many times faster than normal work goes; 0 means 1. Work that
	// was started under another speed keeps the pace it has.
	Speed float64
	// Takes says how long an order takes at normal pace. Nil takes the order's
	// parameter "duration", or else one to three seconds depending on the module.
	Takes func(o steps.Order) time.Duration
	// Faults are what goes wrong from the start; see World.Inject.
	Faults []Fault
	// Intercept sees every port call twice: before its effect and after it. An
	// error before means that there is no effect; an error after means that there
	// is one, but its answer is lost. It may also wait, until ctx ends at the
	// latest. A call's ctx is looked at once more before the effect: who has
	// given up on a call never finds that it happened later.
	//
	// It is called without any lock held, concurrently for concurrent calls.
	Intercept func(ctx context.Context, c Call) error
}

var systems = [...]string{"cluster", "forge", "tracker", "chat"}

// Open opens the world in dir, which is created if need be; a world belongs to
// one process at a time. An empty dir makes a new world in memory.
//
// The last line of a journal that was torn by a crash is cut off; any other
// damage is an error, and the files are left as they are.
func Open(dir string, opts Options) (*World, error) {
	if opts.Speed == 0 {
		opts.Speed = 1
	}
	if !(opts.Speed > 0) || math.IsInf(opts.Speed, 1) {
		return nil, fmt.Errorf("local: speed %v: want a number above 0", opts.Speed)
	}
	w := &World{wire: newWire(opts)}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("local: open world: %w", err)
		}
		lock, err := lockDir(dir)
		if err != nil {
			return nil, fmt.Errorf("local: open world: %w", err)
		}
		w.lock = lock
	}
	for _, name := range systems {
		j, err := openJournal(dir, name)
		if err != nil {
			w.Close()
			return nil, fmt.Errorf("local: open world: %w", err)
		}
		w.journals = append(w.journals, j)
	}
	w.Forge = newForge(w.wire, w.journals[1])
	w.Cluster = newCluster(w.wire, w.journals[0], w.Forge.config)
	w.Tracker = newTracker(w.wire, w.journals[2])
	w.Chat = newChat(w.wire, w.journals[3])
	return w, nil
}

// Close releases the world's files. What is written to it afterwards is refused.
func (w *World) Close() error {
	var first error
	for _, j := range w.journals {
		if err := j.close(); err != nil && first == nil {
			first = fmt.Errorf("local: close world: %w", err)
		}
	}
	if w.lock != nil {
		if err := w.lock.Close(); err != nil && first == nil {
			first = fmt.Errorf("local: close world: %w", err)
		}
		w.lock = nil
	}
	return first
}

// Calls returns how many port calls there were so far.
func (w *World) Calls() int { return int(w.wire.calls.Load()) }

// Inject makes something go wrong from now on. Of several faults that fit an
// order, the one that was injected last counts.
func (w *World) Inject(f Fault) { w.wire.inject(f) }

// Heal ends all faults of a module. A rollout or job that was struck already
// stays as it is.
func (w *World) Heal(module string) { w.wire.heal(module) }
