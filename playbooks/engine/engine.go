// Package engine drives runs: it keeps their logs, starts what a playbook says
// may start, follows it, and takes commands. Deciding is playbooks'; what is here
// is order, durability and waiting.
//
// Each run has one owner at a time, a loop that exists while there is something to
// do for the run. It takes what has come in, decides, appends the events, and only
// when they are durable calls ports and answers people. A step's outcome and the
// start of the next are one append.
//
// After a crash every step that had started is looked up, never repeated.
package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
)

// Options are what an Engine needs. Logs, Runners and Policy are required.
type Options struct {
	Logs    *store.Logs
	Runners map[playbooks.StepKind]steps.Runner
	// Facts collects what is live and built for a request. The engine adds what it
	// knows itself: freezes, locks and what was released. Nil: nothing is known.
	Facts  func(context.Context, *playbooks.Catalog, playbooks.Request) (playbooks.Facts, error)
	Policy *playbooks.Policy
	// Describe adds to a playbook what people want to know of it and no digest covers: the
	// changes that each module brings. It says so in the playbook where it cannot find out. Nil:
	// nothing is added.
	Describe func(context.Context, *playbooks.Catalog, *playbooks.Playbook)
	// Changed is called after a run or its environment has changed durably, and when a
	// running step reports progress. It must not block nor call the engine.
	Changed func(run string)
	Log     *slog.Logger
	Timing  Timing
}

// Timing says how patient the engine is. Zero fields take the defaults.
type Timing struct {
	Call    time.Duration // longest single call of a port; 30 s
	Poll    time.Duration // between looks where a port does not say; 2 s
	Backoff time.Duration // first wait before something is repeated, doubled each time up to 64 times; 1 s
	Stall   time.Duration // a running step without news for so long is stalled; 5 min
	Grace   time.Duration // how long stopped work may take to end; 30 s
	Idle    time.Duration // a run that waits is forgotten by memory after this time; 1 min
}

func (t Timing) withDefaults() Timing {
	for field, value := range map[*time.Duration]time.Duration{
		&t.Call: 30 * time.Second, &t.Poll: 2 * time.Second, &t.Backoff: time.Second,
		&t.Stall: 5 * time.Minute, &t.Grace: 30 * time.Second, &t.Idle: time.Minute,
	} {
		if *field == 0 {
			*field = value
		}
	}
	return t
}

// backoff is the wait before the n-th repetition, n from 0.
func (t Timing) backoff(n int) time.Duration { return t.Backoff << min(n, 6) }

// maxAbsents is how often a step is begun again by itself when its effect
// turned out never to have happened.
const maxAbsents = 8

var (
	// ErrNoRun says that there is no run with that number.
	ErrNoRun = errors.New("there is no such run")
	// ErrNoPlan says that no stored plan has that digest.
	ErrNoPlan = errors.New("there is no such plan")
	// ErrNotSaved is wrapped by answers to commands that could not be made durable and
	// therefore were not carried out.
	ErrNotSaved = errors.New("could not be saved, so nothing was done")
	// ErrStopped answers commands after the engine has stopped.
	ErrStopped = errors.New("muster is shutting down; nothing was done")
)

// Engine drives all runs of one store. Its methods may be called concurrently.
type Engine struct {
	o        Options
	record   *record
	instance string // makes idempotency keys unique among installations

	mu       sync.Mutex
	policy   *playbooks.Policy
	runners  map[string]*runner       // runs that are not over
	spaces   map[string]*space        // by environment
	next     int                      // number of the next run
	starting map[string]chan struct{} // by cause: a Start is under way
	ctx      context.Context          // of the port calls; ended by Stop
	cancel   context.CancelCauseFunc
	stopped  bool
	work     sync.WaitGroup // loops and port calls
}

// Instance is the name of this installation.
func (e *Engine) Instance() string { return e.instance }

// Open reads what the store knows and returns an engine that is at rest: call
// Resume to make it drive.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Changed == nil {
		o.Changed = func(string) {}
	}
	o.Timing = o.Timing.withDefaults()
	e := &Engine{
		o: o, record: newRecord(o.Logs), policy: o.Policy,
		runners: make(map[string]*runner), spaces: make(map[string]*space), starting: make(map[string]chan struct{}),
	}
	e.ctx, e.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	var err error
	if e.instance, err = Instance(ctx, o.Logs); err != nil {
		return nil, err
	}
	if e.next, err = e.record.lastRun(ctx); err != nil {
		return nil, err
	}
	e.next++
	open, err := e.record.openRuns(ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range open {
		s := e.space(o.Environment)
		e.runners[o.Run] = &runner{e: e, id: o.Run, space: s, before: o.Rest, rest: o.Rest}
		if !o.Rest.Quiet {
			s.effects[o.Run] = unlimited // nobody begins anything before it is known what it does
		}
	}
	return e, nil
}

// Resume starts driving: steps that had begun are looked up, and what waits for
// a time is woken then.
func (e *Engine) Resume() {
	now := time.Now()
	for _, r := range e.all() {
		if r.before.Quiet && (r.before.Wake.IsZero() || now.Before(r.before.Wake)) {
			r.sleepUntil(r.before.Wake)
			continue
		}
		r.post(tick{})
	}
}

// Stop ends all driving and waits for it. Every run can be resumed by another
// Engine on the same store.
func (e *Engine) Stop() {
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	e.cancel(ErrStopped)
	for _, r := range e.all() {
		r.stopTimers()
	}
	e.work.Wait()
}

func (e *Engine) all() []*runner {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*runner, 0, len(e.runners))
	for _, r := range e.runners {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *runner) int { return number(a.id) - number(b.id) })
	return all
}

func number(id string) int {
	n, _ := strconv.Atoi(id)
	return n
}

// Policy returns the rules in force.
func (e *Engine) Policy() *playbooks.Policy {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.policy
}

// SetPolicy puts the rules of a newer catalog in force. Runs that wait are looked
// at again by them.
func (e *Engine) SetPolicy(p *playbooks.Policy) {
	e.mu.Lock()
	e.policy = p
	e.mu.Unlock()
	for _, r := range e.all() {
		r.post(tick{})
	}
}

// Plan collects the facts, compiles a playbook and keeps it, so that Start finds
// it by its digest. Nothing outside is changed. The error is a
// *playbooks.PlanError where the request cannot be planned.
func (e *Engine) Plan(ctx context.Context, request playbooks.Request) (*playbooks.Playbook, error) {
	catalog := e.Policy().Catalog()
	facts, err := e.facts(ctx, catalog, request)
	if err != nil {
		return nil, err
	}
	pb, err := playbooks.Compile(catalog, request, facts)
	if err != nil {
		return nil, err
	}
	e.describe(ctx, catalog, pb)
	return pb, e.record.savePlan(ctx, pb, catalog)
}

// describeTime is how long a plan waits at the most for what people want to know of it.
const describeTime = 20 * time.Second

func (e *Engine) describe(ctx context.Context, catalog *playbooks.Catalog, pb *playbooks.Playbook) {
	if e.o.Describe == nil {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, describeTime, errors.New("finding out what is new took too long"))
	defer cancel()
	e.o.Describe(ctx, catalog, pb)
}

// PlanRollback compiles and keeps the playbook that undoes a run that is over.
func (e *Engine) PlanRollback(ctx context.Context, run string) (*playbooks.Playbook, error) {
	var pb *playbooks.Playbook
	var catalog store.Hash
	err := e.View(ctx, run, func(v View) error {
		if !v.Run.Over() {
			return &playbooks.Refusal{Rule: "run-over", Message: fmt.Sprintf("run %s is not over", run), Try: []string{"rollback " + run}}
		}
		if v.Run.Outcome == playbooks.RolledBack || v.Run.RollingBack && len(v.Run.Earlier) == 0 {
			return &playbooks.Refusal{Rule: "forward-only", Message: fmt.Sprintf("run %s went back itself; plan a release instead", run)}
		}
		var err error
		if pb, err = playbooks.CompileRollback(v.Run); err != nil {
			return err
		}
		catalog, err = e.record.catalogOf(ctx, v.Run.Book.Digest)
		return err
	})
	if err != nil {
		return nil, err
	}
	return pb, e.record.savePlanWith(ctx, pb, catalog)
}

// FindPlan returns the kept plan whose digest begins with prefix, at least 6
// hexadecimal digits. The error wraps ErrNoPlan where there is none, or several.
func (e *Engine) FindPlan(ctx context.Context, prefix string) (*playbooks.Playbook, error) {
	return e.record.findPlan(ctx, prefix)
}

// facts collects what Compile needs to know.
func (e *Engine) facts(ctx context.Context, catalog *playbooks.Catalog, request playbooks.Request) (playbooks.Facts, error) {
	var facts playbooks.Facts
	if e.o.Facts != nil {
		ctx, cancel := context.WithTimeoutCause(ctx, e.o.Timing.Call, errors.New("collecting the facts took too long"))
		defer cancel()
		var err error
		if facts, err = e.o.Facts(ctx, catalog, request); err != nil {
			return facts, fmt.Errorf("facts: %w", err)
		}
	}
	facts.At = time.Now()
	err := e.space(request.Environment).view(ctx, func(env *playbooks.EnvironmentState) {
		facts.Freezes = append(facts.Freezes, env.Freezes...)
		for place, run := range env.Locks {
			facts.Locks = append(facts.Locks, playbooks.Lock{Place: place, Run: run})
		}
		for _, live := range env.Live {
			facts.Released = append(facts.Released, live)
		}
	})
	slices.SortFunc(facts.Locks, func(a, b playbooks.Lock) int { return a.Compare(b.Place) })
	slices.SortFunc(facts.Released, func(a, b playbooks.Live) int { return a.Compare(b.Place) })
	return facts, err
}

// Start makes a kept plan a run, by cmd.Digest, and returns its number. A command
// whose cause has started a run already returns that run. The error is a
// *playbooks.Refusal where rules say no.
func (e *Engine) Start(ctx context.Context, cmd playbooks.Command) (run string, err error) {
	if cmd.Cause != "" {
		done, err := e.alone(ctx, cmd.Cause)
		if err != nil {
			return "", err
		}
		defer done()
		if run, err = e.record.runOf(ctx, cmd.Cause); run != "" || err != nil {
			return run, err
		}
	}
	book, err := e.record.book(ctx, cmd.Digest)
	if err != nil {
		return "", err
	}
	s := e.space(book.Environment)
	policy := e.Policy()
	if err := s.lock(ctx); err != nil {
		return "", err
	}
	decision, err := playbooks.DecideStart(book, s.state, policy, cmd, time.Now())
	if err != nil {
		s.unlock()
		e.refused(s, cmd, err)
		return "", err
	}
	e.mu.Lock()
	if e.stopped {
		e.mu.Unlock()
		s.unlock()
		return "", ErrStopped
	}
	run = strconv.Itoa(e.next)
	e.next++
	e.mu.Unlock()
	answer := e.record.create(run, book, cmd.Cause, decision.Run)
	s.unlock()
	if err := <-answer; err != nil {
		// The answer may have been lost, and the run may be there.
		exists, readErr := e.record.exists(ctx, run)
		switch {
		case readErr != nil:
			return "", fmt.Errorf("it is not known whether run %s was saved; ask for its status before you try again: %w", run, errors.Join(err, readErr))
		case !exists:
			return "", notSaved(err)
		}
	}
	r := &runner{e: e, id: run, space: s}
	e.mu.Lock()
	e.runners[run] = r
	e.mu.Unlock()
	r.post(tick{})
	e.o.Changed(run)
	// The first turn asks the people: whoever started it may answer at once.
	if err := e.View(ctx, run, func(View) error { return nil }); err != nil {
		e.o.Log.Warn("a run was started and has not moved yet", "run", run, "error", err)
	}
	return run, nil
}

// StartedBy returns the run that a delivery has started, empty if it has not.
func (e *Engine) StartedBy(ctx context.Context, cause string) (run string, err error) {
	if cause == "" {
		return "", nil
	}
	return e.record.runOf(ctx, cause)
}

// alone waits until no other Start with that cause is under way.
func (e *Engine) alone(ctx context.Context, cause string) (done func(), err error) {
	for {
		e.mu.Lock()
		other := e.starting[cause]
		if other == nil {
			mine := make(chan struct{})
			e.starting[cause] = mine
			e.mu.Unlock()
			return func() {
				e.mu.Lock()
				delete(e.starting, cause)
				e.mu.Unlock()
				close(mine)
			}, nil
		}
		e.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// causeless gives a command without a cause one of its own, so that the log can
// tell whether it was carried out.
func causeless(cmd playbooks.Command) playbooks.Command {
	if cmd.Cause == "" {
		cmd.Cause = "muster/" + rand.Text()
	}
	return cmd
}

// notKnown is the answer to a command that may have been carried out.
func notKnown(err error) error {
	return fmt.Errorf("it is not known whether that was done; look before you try again: %w", err)
}

func notSaved(err error) error { return fmt.Errorf("%w: %w", ErrNotSaved, err) }

// Do carries out a command on a run. It returns when the command is durable; what
// follows from it may still be under way. The error is a *playbooks.Refusal where rules say
// no, and wraps ErrNotSaved where it could not be kept.
func (e *Engine) Do(ctx context.Context, cmd playbooks.Command) error {
	r, err := e.runner(ctx, cmd.Run)
	if err != nil {
		return err
	}
	if r == nil {
		return e.doEnded(ctx, cmd)
	}
	cmd = causeless(cmd)
	reply := make(chan error, 1)
	if !r.post(command{cmd, reply}) {
		return ErrStopped
	}
	select {
	case err = <-reply:
	case <-ctx.Done():
		return fmt.Errorf("no answer yet, ask for the status: %w", context.Cause(ctx))
	}
	if err != nil {
		e.refused(r.space, cmd, err)
	}
	return err
}

// doEnded decides about a command on a run that is over, which is refused, or
// leaves a remark.
func (e *Engine) doEnded(ctx context.Context, cmd playbooks.Command) error {
	run, err := e.record.load(ctx, cmd.Run)
	if err != nil {
		return err
	}
	decision, err := playbooks.Decide(run, e.Policy(), cmd, time.Now())
	if err != nil || decision.Empty() {
		return err
	}
	if err := <-e.record.submit(change{run: run, expect: run.Len, events: decision.Run}); err != nil {
		if errors.Is(err, store.ErrUnknown) {
			return notKnown(err)
		}
		return notSaved(err)
	}
	e.o.Changed(cmd.Run)
	return nil
}

// refused keeps a refusal in the environment's log, for those who ask later who
// tried what.
func (e *Engine) refused(s *space, cmd playbooks.Command, err error) {
	var refusal *playbooks.Refusal
	if !errors.As(err, &refusal) {
		return
	}
	event := playbooks.Event{
		Type: playbooks.EventRefused, Time: time.Now(), By: cmd.By, Via: cmd.Via, Run: cmd.Run, Step: cmd.Step,
		Digest: cmd.Digest, Message: fmt.Sprintf("%s: %s", cmd.Kind, refusal.Message), Reason: refusal.Rule,
	}
	if err := s.append(e.ctx, []playbooks.Event{event}); err != nil {
		e.o.Log.Warn("a refusal could not be kept", "environment", s.name, "rule", refusal.Rule, "error", err)
	}
}

// Freeze carries out freeze and unfreeze.
func (e *Engine) Freeze(ctx context.Context, cmd playbooks.Command) error {
	policy := e.Policy()
	if policy.Environment(cmd.Environment) == nil {
		return &playbooks.Refusal{Rule: "known-environment", Message: fmt.Sprintf("there is no environment %q", cmd.Environment)}
	}
	cmd = causeless(cmd)
	s := e.space(cmd.Environment)
	if err := s.lock(ctx); err != nil {
		return err
	}
	decision, err := playbooks.DecideFreeze(s.state, policy, cmd, time.Now())
	if err != nil {
		s.unlock()
		e.refused(s, cmd, err)
		return err
	}
	if decision.Empty() {
		s.unlock()
		return nil
	}
	answer := s.submit(decision.Env)
	s.unlock()
	err = s.settle(<-answer)
	if err == nil {
		return nil
	}
	var there bool
	if readErr := s.view(ctx, func(env *playbooks.EnvironmentState) { there = env.Caused(cmd.Cause) }); readErr != nil {
		return notKnown(errors.Join(err, readErr))
	}
	if there {
		return nil
	}
	return notSaved(err)
}

// LookNow lets the steps that run for some modules be looked at at once, for something has
// happened that may concern them. It is a hint: it costs a look, and changes nothing else.
func (e *Engine) LookNow(modules ...string) {
	for _, r := range e.all() {
		r.post(look{modules})
	}
}

// View is what a run looks like at a moment. It is valid during the call alone.
type View struct {
	Run         *playbooks.Run
	Environment *playbooks.EnvironmentState
	Policy      *playbooks.Policy
	Reports     map[string]steps.Report // latest word of running steps, not durable
	Trouble     error                   // why the run cannot be saved just now
	Now         time.Time
}

// View calls fn with the run as it is durably. Fn must not call the engine, and
// never runs after View has returned.
func (e *Engine) View(ctx context.Context, run string, fn func(View) error) error {
	r, err := e.runner(ctx, run)
	if err != nil {
		return err
	}
	if r == nil {
		ended, err := e.record.load(ctx, run)
		if err != nil {
			return err
		}
		return e.space(ended.Environment).viewErr(ctx, func(env *playbooks.EnvironmentState) error {
			return fn(View{Run: ended, Environment: env, Policy: e.Policy(), Now: time.Now()})
		})
	}
	reply, taken := make(chan error, 1), new(atomic.Bool)
	if !r.post(inspect{fn, taken, reply}) {
		return ErrStopped
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		if taken.CompareAndSwap(false, true) {
			return context.Cause(ctx)
		}
		return <-reply // fn has begun
	}
}

// runner returns who owns a run, and nil for a run that is over.
func (e *Engine) runner(ctx context.Context, run string) (*runner, error) {
	e.mu.Lock()
	r := e.runners[run]
	e.mu.Unlock()
	if r != nil {
		return r, nil
	}
	exists, err := e.record.exists(ctx, run)
	if err != nil {
		return nil, err
	}
	if !exists {
		return nil, fmt.Errorf("run %q: %w", run, ErrNoRun)
	}
	return nil, nil
}

// Environment calls fn with what spans the runs of an environment. Fn must not
// call the engine.
func (e *Engine) Environment(ctx context.Context, name string, fn func(*playbooks.EnvironmentState)) error {
	return e.space(name).view(ctx, fn)
}

// OpenRuns returns the numbers of the runs that are not over, oldest first.
func (e *Engine) OpenRuns() []string {
	var ids []string
	for _, r := range e.all() {
		ids = append(ids, r.id)
	}
	return ids
}

// History returns what is known of the newest runs, newest first, at most limit.
func (e *Engine) History(ctx context.Context, limit int) ([]Summary, error) {
	return e.record.history(ctx, limit)
}

// Events calls fn for each event of a run from seq on, 1 being the first.
func (e *Engine) Events(ctx context.Context, run string, seq uint64, fn func(seq uint64, e playbooks.Event) error) error {
	return e.record.events(ctx, runLog(run), seq, fn)
}
