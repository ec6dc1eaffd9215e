package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
)

// runner owns one run that is not over. Whoever wants something of the run posts
// a message; a loop takes them, and ends when there are none left.
type runner struct {
	e      *Engine
	id     string
	space  *space
	before rest // how it waited when the engine was opened

	mu     sync.Mutex
	inbox  []message
	active bool // the loop runs
	wake   *time.Timer
	idle   *time.Timer
	closed bool // the run is over and the runner forgotten

	// What follows belongs to the loop.
	run      *playbooks.Run // nil: not in memory
	rest     rest           // as the store has it
	attempts map[string]*attempt
	trouble  error // why the last append failed
	failures int   // appends that failed in a row
	large    bool  // the last one was too large: one message a turn until it works
}

// message is what can come in for a run.
type message any

type (
	tick    struct{} // look what follows from the state
	command struct {
		cmd   playbooks.Command
		reply chan<- error
	}
	inspect struct {
		fn    func(View) error
		taken *atomic.Bool // set by whoever comes first: the loop, or a caller that gives up
		reply chan<- error
	}
	forget struct{} // nobody asked for a while
	look   struct { // something has happened that may concern what runs for these modules
		modules []string
	}
	adopt struct { // go on with a playbook that was compiled meanwhile
		book    *playbooks.Book
		from    playbooks.Digest // the one it was compiled from
		attempt int              // the preflight's, which found that the world has changed
		back    bool             // it is a rollback
		err     error            // it could not be compiled
	}
)

// post hands in a message. It reports false when the engine has stopped.
func (r *runner) post(m message) bool {
	r.e.mu.Lock()
	stopped := r.e.stopped
	if !stopped {
		r.e.work.Add(1) // before Stop can wait
	}
	r.e.mu.Unlock()
	if stopped {
		return false
	}
	r.mu.Lock()
	r.inbox = append(r.inbox, m)
	start := !r.active
	r.active = true
	r.mu.Unlock()
	if start {
		go func() {
			defer r.e.work.Done()
			r.loop()
		}()
	} else {
		r.e.work.Done()
	}
	return true
}

func (r *runner) sleepUntil(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wake != nil {
		r.wake.Stop()
		r.wake = nil
	}
	if !at.IsZero() && !r.closed {
		r.wake = time.AfterFunc(time.Until(at), func() { r.post(tick{}) })
	}
}

func (r *runner) stopTimers() {
	r.sleepUntil(time.Time{})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.idle != nil {
		r.idle.Stop()
	}
}

// maxBatch is how many messages one turn takes at the most.
const maxBatch = 32

func (r *runner) loop() {
	for {
		r.mu.Lock()
		n := min(len(r.inbox), maxBatch)
		if r.large {
			n = min(n, 1)
		}
		batch := slices.Clone(r.inbox[:n])
		r.inbox = slices.Delete(r.inbox, 0, n)
		if n == 0 {
			r.active = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		r.turn(batch)
	}
}

// putBack returns messages that did not fit into a turn to the front of the inbox.
func (r *runner) putBack(batch []message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inbox = slices.Insert(r.inbox, 0, batch...)
}

// load brings the run into memory. Steps that had started are looked up.
func (r *runner) load(ctx context.Context) error {
	if r.run != nil {
		return nil
	}
	run, err := r.e.record.load(ctx, r.id)
	if err != nil {
		return err
	}
	r.run = run
	if r.attempts == nil {
		r.attempts = make(map[string]*attempt)
	}
	for _, step := range run.RunningSteps() {
		p := run.Progress(step.ID)
		if a := r.attempts[step.ID]; a == nil || a.order.Attempt != p.Attempt {
			a := &attempt{r: r, step: step, order: r.order(step, p), changed: time.Now()}
			r.attempts[step.ID] = a
			a.lookAfter(0)
		}
	}
	if run.Aborting != nil || run.WantsBack {
		r.stopAttempts()
	}
	return nil
}

// stopAttempts asks all running work to end.
func (r *runner) stopAttempts() {
	for _, id := range slices.Sorted(maps.Keys(r.attempts)) {
		r.attempts[id].stop("stopped on request")
	}
}

// turn takes a batch of messages through deciding, saving and acting.
func (r *runner) turn(batch []message) {
	defer func() { r.answerInspections(batch) }()
	if !slices.ContainsFunc(batch, func(m message) bool { _, only := m.(inspect); return !only }) {
		return
	}
	if r.run == nil && !slices.ContainsFunc(batch, func(m message) bool { _, only := m.(look); return !only }) {
		return // nothing runs that could be looked at
	}
	if err := r.load(r.e.ctx); err != nil {
		r.unsaved(batch, err)
		return
	}
	policy := r.e.Policy()
	if err := r.space.lock(r.e.ctx); err != nil {
		r.unsaved(batch, err)
		return
	}
	t := &turn{r: r, run: r.run, space: r.space, policy: policy, now: time.Now(), expect: r.run.Len, spaceLen: r.space.state.Len}
	before := r.space.effects[r.id]
	for i, m := range batch {
		if t.full() {
			r.putBack(batch[i:])
			batch = batch[:i]
			break
		}
		t.take(m)
	}
	t.advance()
	if t.err != nil {
		r.space.stale = true
		r.space.unlock()
		r.unsaved(batch, t.err)
		return
	}
	nudge := r.space.account(r.id, before, t.began(), t.decision.Starved)
	if t.unlocked {
		nudge = append(nudge, r.space.queued()...)
	}
	answer := t.submit()
	r.space.unlock()
	if answer != nil {
		err := <-answer
		if len(t.env) > 0 {
			r.space.settle(err)
		}
		if err != nil {
			r.unsaved(batch, err)
			return
		}
		nudge = append(nudge, r.saved(t)...)
	}
	t.act()
	r.e.nudge(nudge)
	if answer != nil || t.progress {
		r.e.o.Changed(r.id)
	}
}

// answerInspections shows the run as it is when the turn is over, which is as
// the log has it.
func (r *runner) answerInspections(batch []message) {
	for _, m := range batch {
		i, ok := m.(inspect)
		if !ok || !i.taken.CompareAndSwap(false, true) {
			continue
		}
		if err := r.load(r.e.ctx); err != nil {
			i.reply <- err
			continue
		}
		reports := make(map[string]steps.Report, len(r.attempts))
		for id, a := range r.attempts {
			reports[id] = a.report
		}
		if r.run.Quiet() && len(r.attempts) == 0 {
			r.forgetLater()
		}
		i.reply <- r.space.viewErr(r.e.ctx, func(env *playbooks.EnvironmentState) error {
			return i.fn(View{Run: r.run, Environment: env, Policy: r.e.Policy(), Reports: reports, Trouble: r.trouble, Now: time.Now()})
		})
	}
}

// saved ends a time of trouble, and returns the runs that may have missed
// something in it.
func (r *runner) saved(t *turn) (nudge []string) {
	if t.rest != nil {
		r.rest = *t.rest
	}
	if r.trouble != nil {
		r.e.o.Log.Info("saving works again", "run", r.id)
		nudge = r.space.waiting()
	}
	r.trouble, r.failures, r.large = nil, 0, false
	return nudge
}

// unsaved deals with a turn that could not be read or made durable. Memory goes back to what
// the log says; people are told that their command came to nothing, unless the log
// has it after all; outcomes of steps are kept and tried again.
func (r *runner) unsaved(batch []message, err error) {
	if errors.Is(err, store.ErrCorrupt) {
		r.e.o.Log.Error("a run's record cannot be read; it stands still", "run", r.id, "error", err)
	} else {
		r.e.o.Log.Error("a run could not be saved; it stands still until it can", "run", r.id, "error", err)
	}
	r.run = nil
	r.trouble = err
	r.large = errors.Is(err, store.ErrTooLarge)
	wait := r.e.o.Timing.backoff(r.failures)
	r.failures++
	reloaded := r.load(r.e.ctx) == nil
	if reloaded {
		r.space.recount(r.id, r.run.Effects())
	}
	var again []message
	for _, m := range batch {
		switch m := m.(type) {
		case command:
			switch {
			case reloaded && r.run.Caused(m.cmd.Cause):
				m.reply <- nil
			case !reloaded && errors.Is(err, store.ErrUnknown):
				m.reply <- notKnown(err)
			default:
				m.reply <- notSaved(err)
			}
		case outcome:
			again = append(again, m)
		} // what was compiled meanwhile is compiled again, from the world as it is then
	}
	r.e.o.Changed(r.id)
	if reloaded && r.run.Over() {
		// The append that ended the run was stored after all.
		r.end()
		r.e.nudge(r.space.waiting())
		return
	}
	again = append(again, tick{})
	if errors.Is(err, store.ErrClosed) || r.e.ctx.Err() != nil {
		return
	}
	time.AfterFunc(wait, func() {
		for _, m := range again {
			r.post(m)
		}
	})
}

func (r *runner) forgetLater() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.idle != nil {
		r.idle.Stop()
	}
	r.idle = time.AfterFunc(r.e.o.Timing.Idle, func() { r.post(forget{}) })
}

// end forgets a run that is over.
func (r *runner) end() {
	r.e.mu.Lock()
	delete(r.e.runners, r.id)
	r.e.mu.Unlock()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stopTimers()
	for _, a := range r.attempts {
		a.stopTimer()
	}
	clear(r.attempts)
}

// compileRollback compiles and keeps the playbook that undoes the run, off the
// loop, and hands it in.
func (r *runner) compileRollback() {
	m := adopt{from: r.run.Book.Digest, back: true}
	pb, err := playbooks.CompileRollback(r.run)
	if err != nil {
		m.err = err
		r.post(m)
		return
	}
	r.keep(m, pb)
}

// keep stores a playbook that was compiled for the run, and hands it in.
func (r *runner) keep(m adopt, pb *playbooks.Playbook) {
	r.e.spawn(func() {
		catalog, err := r.e.record.catalogOf(r.e.ctx, m.from)
		if err == nil {
			err = r.e.record.savePlanWith(r.e.ctx, pb, catalog)
		}
		if err != nil {
			r.e.o.Log.Error("a playbook could not be kept; it is compiled again", "run", r.id, "error", err)
			time.AfterFunc(r.e.o.Timing.Backoff, func() { r.post(tick{}) })
			return
		}
		m.book = playbooks.NewBook(pb)
		r.post(m)
	})
}

// spawn runs fn in a goroutine that Stop waits for.
func (e *Engine) spawn(fn func()) {
	e.mu.Lock()
	stopped := e.stopped
	if !stopped {
		e.work.Add(1)
	}
	e.mu.Unlock()
	if stopped {
		return
	}
	go func() {
		defer e.work.Done()
		fn()
	}()
}
