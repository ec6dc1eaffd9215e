package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/muster-release/muster/playbooks"
)

// space owns what spans the runs of one environment. Decisions there are made
// under its lock, one after the other, and are submitted in that order without waiting for
// the disk: each append expects the one before it, so they stand or fall together.
type space struct {
	e    *Engine
	name string

	mu       sync.Mutex
	state    *playbooks.EnvironmentState
	inflight int        // appends that are submitted and not answered
	stale    bool       // state is not what the log says: an append failed, or it was never read
	settled  *sync.Cond // inflight has become 0

	effects map[string]int // by run: steps with an effect that run now
	starved []string       // runs that wait for room, in the order in which they came
}

// space returns the owner of an environment. Its log is read when it is locked
// for the first time.
func (e *Engine) space(name string) *space {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.spaces[name]
	if s == nil {
		s = &space{e: e, name: name, stale: true, effects: make(map[string]int)}
		s.settled = sync.NewCond(&s.mu)
		e.spaces[name] = s
	}
	return s
}

// lock takes the space, with its state as good as the log.
func (s *space) lock(ctx context.Context) error {
	s.mu.Lock()
	for s.stale {
		if s.inflight > 0 {
			s.settled.Wait()
			continue
		}
		state, err := s.e.record.loadEnvironment(ctx, s.name)
		if err != nil {
			s.mu.Unlock()
			return err
		}
		s.state, s.stale = state, false
	}
	return nil
}

func (s *space) unlock() { s.mu.Unlock() }

// apply changes the state ahead of the log. The lock is held.
func (s *space) apply(events []playbooks.Event) error {
	for _, e := range events {
		if err := s.state.Apply(e); err != nil {
			s.stale = true
			return err
		}
	}
	return nil
}

// submit applies events and appends them. The lock is held. Whoever reads the
// answer calls settle with it.
func (s *space) submit(events []playbooks.Event) <-chan error {
	expect := s.state.Len
	if err := s.apply(events); err != nil {
		return answered(err)
	}
	s.inflight++
	return s.e.record.submit(change{env: &environmentAppend{s.name, expect, events}})
}

func answered(err error) <-chan error {
	c := make(chan error, 1)
	c <- err
	return c
}

// settle takes note of the answer to an append that named the environment, and
// returns it.
func (s *space) settle(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inflight--
	if err != nil {
		s.stale = true
	}
	if s.inflight == 0 {
		s.settled.Broadcast()
	}
	return err
}

// append decides nothing: it adds events that are always right.
func (s *space) append(ctx context.Context, events []playbooks.Event) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	answer := s.submit(events)
	s.unlock()
	return s.settle(<-answer)
}

func (s *space) view(ctx context.Context, fn func(*playbooks.EnvironmentState)) error {
	return s.viewErr(ctx, func(env *playbooks.EnvironmentState) error { fn(env); return nil })
}

func (s *space) viewErr(ctx context.Context, fn func(*playbooks.EnvironmentState) error) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	return fn(s.state)
}

// unlimited stands for an environment without a limit.
const unlimited = 1 << 30

// room is how many steps with an effect the run may begin now. While others want
// more too it is one in a turn, and those who came before it are served first. The
// lock is held.
func (s *space) room(run string, limit int, began bool) int {
	if limit <= 0 {
		return unlimited
	}
	for _, n := range s.effects {
		limit -= n
	}
	share := limit
	if slices.ContainsFunc(s.starved, func(other string) bool { return other != run }) {
		share = 1
		if began {
			share = 0
		}
	}
	if at := slices.Index(s.starved, run); at >= 0 {
		limit -= at
	} else {
		limit -= len(s.starved)
	}
	return max(min(limit, share), 0)
}

// account notes, at the end of a turn, whether the run has given room back since
// it had before steps in flight, whether it has begun any, and whether it wants
// more: who has begun one and wants more goes to the end of the line. It returns the
// runs that should look again. The lock is held.
func (s *space) account(run string, before int, began, starved bool) (nudge []string) {
	freed := s.effects[run] < before
	if s.effects[run] == 0 {
		delete(s.effects, run)
	}
	at := slices.Index(s.starved, run)
	if at >= 0 && (began || !starved) {
		s.starved = slices.Delete(s.starved, at, at+1)
		at, freed = -1, true
	}
	if at < 0 && starved {
		s.starved = append(s.starved, run)
	}
	if !freed && !(began && starved) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.starved), func(other string) bool { return other == run })
}

// recount notes what a run has in flight, as the log has it, after it could not
// be saved. Until it can it stands in nobody's way.
func (s *space) recount(run string, effects int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starved = slices.DeleteFunc(s.starved, func(other string) bool { return other == run })
	if effects == 0 {
		delete(s.effects, run)
	} else {
		s.effects[run] = effects
	}
}

// waiting returns the runs that wait for room or for locks.
func (s *space) waiting() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	runs := slices.Clone(s.starved)
	if s.state != nil {
		runs = append(runs, s.queued()...)
	}
	return runs
}

// queued returns the runs that wait for locks. The lock is held.
func (s *space) queued() []string {
	var runs []string
	for _, w := range s.state.Queue {
		runs = append(runs, w.Run)
	}
	return runs
}

func (e *Engine) nudge(runs []string) {
	for _, id := range runs {
		e.mu.Lock()
		r := e.runners[id]
		e.mu.Unlock()
		if r != nil {
			r.post(tick{})
		}
	}
}

// environmentAppend is the environment's part of an append.
type environmentAppend struct {
	name   string
	expect uint64
	events []playbooks.Event
}

func environmentLog(name string) string { return "env/" + name }
