package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// attempt follows one attempt at one step, from its durable start to its
// outcome. It belongs to the run's loop; only the port call itself runs outside.
type attempt struct {
	r       *runner
	step    *playbooks.Step
	order   steps.Order
	calling bool // a port call is under way
	timer   *time.Timer
	report  steps.Report
	changed time.Time // when report last said something new
	misses  int       // looks in a row that gave no answer
	halt    string    // why the work is to be stopped; empty: it is not
	halted  time.Time // when the port was asked to stop it
}

// call is which method of a port was called.
type call string

const (
	callStart call = "start"
	callLook  call = "look"
	callStop  call = "stop"
)

// outcome is a port's answer.
type outcome struct {
	a      *attempt
	call   call
	report steps.Report
	err    error
	due    bool // no answer: it is time to look
}

// order describes a step's attempt to its port.
func (r *runner) order(step *playbooks.Step, p *playbooks.Progress) steps.Order {
	o := steps.Order{
		Key: r.e.instance + "/" + p.Key, Run: r.id, Step: step.ID, Attempt: p.Attempt, Action: step.Kind,
		Place: playbooks.Place{Environment: r.run.Environment, Target: step.Target, Module: step.Module},
		From:  step.From, Version: step.Version, Artifact: step.Artifact, Deployer: step.Deployer,
		Params: step.Params, Share: 100, Bake: step.Bake, StartedAt: p.Started, Status: p.Status,
	}
	if step.Kind == playbooks.StepCanary || step.Kind == playbooks.StepBake {
		if share, err := strconv.Atoi(step.Params[playbooks.ParamShare]); err == nil {
			o.Share = share
		}
	}
	return o
}

// begin makes the first call of an attempt whose start is durable.
func (r *runner) begin(e playbooks.Event) {
	p := r.run.Progress(e.Step)
	if p == nil || p.State != playbooks.Running || p.Attempt != e.Attempt {
		return
	}
	step := r.run.Book.Lookup(e.Step)
	a := &attempt{r: r, step: step, order: r.order(step, p), changed: e.Time}
	r.attempts[e.Step] = a
	a.do(callStart)
}

func (a *attempt) stopTimer() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

// lookAfter asks for a look after a time.
func (a *attempt) lookAfter(d time.Duration) {
	a.stopTimer()
	if d <= 0 {
		a.r.post(outcome{a: a, due: true})
		return
	}
	a.timer = time.AfterFunc(d, func() { a.r.post(outcome{a: a, due: true}) })
}

// next makes the call that is due.
func (a *attempt) next() {
	switch {
	case a.calling || a.r.attempts[a.order.Step] != a:
	case a.halt != "" && a.halted.IsZero() && a.step.Kind.HasEffect():
		a.halted = time.Now()
		a.do(callStop)
	default:
		a.do(callLook)
	}
}

// stop asks for the work to end, as soon as a call that is under way has answered.
func (a *attempt) stop(why string) {
	if a.halt == "" {
		a.halt = why
		a.lookAfter(0)
	}
}

// do calls the port outside the loop.
func (a *attempt) do(c call) {
	a.stopTimer()
	a.calling = true
	order, e := a.order, a.r.e
	e.spawn(func() {
		out := outcome{a: a, call: c}
		call := e.port(c, order)
		if a.step.Kind == playbooks.StepPreflight && c != callStop {
			call = func(ctx context.Context) (steps.Report, error) { return a.r.preflight(ctx, order) }
		}
		out.report, out.err = e.guard(order, call)
		a.r.post(out)
	})
}

// broken is a panic in a step.
type broken struct{ value any }

func (b broken) Error() string   { return fmt.Sprintf("the step's code broke: %v", b.value) }
func (b broken) Permanent() bool { return true }

// port returns the call of the port that carries out an order.
func (e *Engine) port(c call, o steps.Order) func(context.Context) (steps.Report, error) {
	return func(ctx context.Context) (report steps.Report, err error) {
		runner := e.o.Runners[o.Action]
		switch {
		case runner == nil:
			return report, broken{fmt.Sprintf("nothing carries out steps of kind %q", o.Action)}
		case c == callStart:
			return runner.Start(ctx, o)
		case c == callLook:
			return runner.Look(ctx, o)
		}
		return report, runner.Stop(ctx, o)
	}
}

// guard makes a call with a time limit. A panic comes back as an error: it
// fails the step, never the program.
func (e *Engine) guard(o steps.Order, call func(context.Context) (steps.Report, error)) (report steps.Report, err error) {
	ctx, cancel := context.WithTimeoutCause(e.ctx, e.o.Timing.Call, fmt.Errorf("no answer within %v", e.o.Timing.Call))
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			e.o.Log.Error("panic in a step", "run", o.Run, "step", o.Step, "module", o.Place.Module, "panic", v, "stack", string(debug.Stack()))
			err = broken{v}
		}
	}()
	report, err = call(ctx)
	switch {
	case err != nil:
	case len(report.Status) > maxStatus:
		err = broken{fmt.Sprintf("it wants to remember %d bytes, and %d are the most", len(report.Status), maxStatus)}
	case len(report.Status) > 0 && !json.Valid(report.Status):
		err = broken{"what it wants to remember is not JSON"}
	}
	if report.Live != nil {
		live := *report.Live
		live.Message, live.Config = clip(live.Message, 2<<10), clip(live.Config, 1<<10)
		report.Live = &live
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return report, err
}

// LostAnswer begins the message of an EventNoted that says that a port was asked to
// begin something, and that nobody knows yet what became of it.
const LostAnswer = "the answer was lost"

// maxStatus is how much a step may ask to be handed back.
const maxStatus = 16 << 10

func permanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

func retryAfter(err error) (time.Duration, bool) {
	var r interface{ RetryAfter() time.Duration }
	if errors.As(err, &r) {
		return r.RetryAfter(), true
	}
	return 0, false
}

// outcome decides what a port's answer, or its silence, means for the step.
func (t *turn) outcome(m outcome) {
	a := m.a
	if t.run.Over() || t.r.attempts[a.order.Step] != a {
		return // of an attempt that is settled
	}
	p := t.run.Progress(a.order.Step)
	if p == nil || p.State != playbooks.Running || p.Attempt != a.order.Attempt {
		delete(t.r.attempts, a.order.Step)
		return
	}
	if m.due {
		t.looks = append(t.looks, a)
		return
	}
	a.calling = false
	switch {
	case m.err == nil && m.call == callStop:
		a.lookAfter(0)
	case m.err == nil:
		a.misses = 0
		t.reported(a, p, m.report)
	case t.r.e.ctx.Err() != nil:
		// The engine stops: whatever the call did is found out after the restart.
	case m.call == callStop:
		t.r.e.o.Log.Warn("stop was refused", "run", t.r.id, "step", a.order.Step, "error", m.err)
		a.lookAfter(t.r.e.o.Timing.Poll)
	default:
		t.erred(a, p, m)
	}
}

// erred handles a call that ended with an error.
func (t *turn) erred(a *attempt, p *playbooks.Progress, m outcome) {
	wait, again := retryAfter(m.err)
	switch {
	case a.halt != "" && !a.step.Kind.HasEffect():
		t.fail(a, p, steps.Report{Message: a.halt}, true, -1)
	case again && m.call == callStart:
		t.fail(a, p, steps.Report{Message: m.err.Error()}, true, wait)
	case again:
		if !t.overdue(a, p) {
			a.lookAfter(t.inTime(a, p, wait))
		}
	case errors.Is(m.err, steps.ErrCannotLook) || permanent(m.err) && m.call == callLook && a.step.Kind.HasEffect():
		t.emit(playbooks.EventUnknown, a, steps.Report{Message: m.err.Error()})
	case permanent(m.err):
		var b broken
		// A refusal had no effect; a panic may have come after it.
		t.fail(a, p, steps.Report{Message: m.err.Error()}, !errors.As(m.err, &b), -1)
	default:
		// Nothing is known of the effect. Look, ever less often, until the time is over.
		if m.call == callStart && a.step.Kind.HasEffect() {
			t.emit(playbooks.EventNoted, a, steps.Report{Status: p.Status, Message: fmt.Sprintf("%s (%v); it is looked up, and nothing is repeated", LostAnswer, m.err)})
		}
		if a.report.Message != m.err.Error() {
			a.report.Message, t.progress = m.err.Error(), true
		}
		if !t.overdue(a, p) {
			a.lookAfter(t.r.e.o.Timing.backoff(a.misses))
			a.misses++
		}
	}
}

// reported handles a call that was answered.
func (t *turn) reported(a *attempt, p *playbooks.Progress, report steps.Report) {
	switch report.Phase {
	case steps.Succeeded:
		t.emit(playbooks.EventSucceeded, a, report)
	case steps.Failed:
		wait := time.Duration(-1)
		if p.Failures < a.step.Retries && a.halt == "" {
			wait = t.r.e.o.Timing.backoff(p.Failures)
		}
		t.fail(a, p, report, false, wait)
	case steps.Absent:
		wait := time.Duration(-1)
		if p.Absents < maxAbsents && a.halt == "" {
			wait = t.r.e.o.Timing.backoff(p.Absents)
		}
		if report.Message == "" {
			report.Message = "it was never begun"
		}
		if wait < 0 && p.Absents > 0 {
			report.Message = fmt.Sprintf("it was sent %d times and never arrived: %s", p.Absents+1, report.Message)
		}
		t.fail(a, p, report, true, wait)
	default:
		t.runs(a, p, report)
	}
}

// runs handles word of work that goes on.
func (t *turn) runs(a *attempt, p *playbooks.Progress, report steps.Report) {
	if a.halt != "" && !a.step.Kind.HasEffect() {
		t.fail(a, p, steps.Report{Message: a.halt}, true, -1)
		return
	}
	news := report.Message != a.report.Message || report.Progress != a.report.Progress || !bytes.Equal(report.Status, p.Status)
	if news {
		a.changed = t.now
		t.progress = true
	}
	a.report = report
	timing := t.r.e.o.Timing
	switch {
	case !bytes.Equal(report.Status, p.Status), news && p.Stalled, news && strings.HasPrefix(p.Message, LostAnswer):
		a.order.Status = report.Status
		t.emit(playbooks.EventNoted, a, report)
	case !news && !p.Stalled && a.step.Kind.HasEffect() && t.now.Sub(a.changed) >= timing.Stall:
		t.emit(playbooks.EventStalled, a, steps.Report{Message: fmt.Sprintf("no news for %v", timing.Stall)})
	}
	if t.overdue(a, p) {
		return
	}
	wait := report.CheckAfter
	if wait <= 0 {
		wait = timing.Poll
	}
	wait = t.inTime(a, p, wait)
	if a.halt != "" {
		wait = min(wait, timing.Poll)
		if a.halted.IsZero() {
			wait = 0 // asked to stop while a call was under way
		}
	}
	a.lookAfter(wait)
}

// inTime shortens a wait so that it ends no later than the step's time.
func (t *turn) inTime(a *attempt, p *playbooks.Progress, wait time.Duration) time.Duration {
	if a.step.Timeout > 0 && a.halt == "" {
		return min(wait, max(p.Started.Add(a.step.Timeout).Sub(t.now), time.Millisecond))
	}
	return wait
}

// overdue deals with a step that has had its time: it is stopped, and when that
// does not end it either, a person has to say how it ended.
func (t *turn) overdue(a *attempt, p *playbooks.Progress) bool {
	if a.step.Timeout > 0 && t.now.Sub(p.Started) >= a.step.Timeout && a.halt == "" {
		late := fmt.Sprintf("not done within %v", a.step.Timeout)
		if a.report.Message != "" {
			late += "; the last word was: " + a.report.Message
		}
		if !a.step.Kind.HasEffect() {
			t.fail(a, p, steps.Report{Message: late, Evidence: a.report.Evidence}, true, -1)
			return true
		}
		a.halt = late
		a.lookAfter(0)
		return true
	}
	if a.halt != "" && !a.halted.IsZero() && t.now.Sub(a.halted) >= t.r.e.o.Timing.Grace {
		t.emit(playbooks.EventUnknown, a, steps.Report{Message: a.halt + "; it was told to stop and did not"})
		return true
	}
	return false
}

// fail records a failure. Again is when the step starts again by itself, or
// negative when it does not.
func (t *turn) fail(a *attempt, p *playbooks.Progress, report steps.Report, absent bool, again time.Duration) {
	if a.halt != "" && report.Message != a.halt {
		report.Message = a.halt + "; " + report.Message
		again = -1
	}
	if absent && p.Absents >= maxAbsents {
		again = -1
	}
	e := t.event(playbooks.EventFailed, a, report)
	e.Absent = absent
	if again >= 0 {
		e.Until = t.now.Add(again)
	}
	t.apply(playbooks.Decision{Run: []playbooks.Event{e}})
}

func (t *turn) emit(kind playbooks.EventType, a *attempt, report steps.Report) {
	d := playbooks.Decision{Run: []playbooks.Event{t.event(kind, a, report)}}
	if kind == playbooks.EventSucceeded && report.Live != nil {
		d.Env = append(d.Env, playbooks.Event{Type: playbooks.EventLive, Time: t.now, Run: t.r.id, Module: a.step.Module, Live: report.Live})
	}
	t.apply(d)
}

func (t *turn) event(kind playbooks.EventType, a *attempt, report steps.Report) playbooks.Event {
	return playbooks.Event{
		Type: kind, Time: t.now, Step: a.order.Step, Module: a.step.Module, Attempt: a.order.Attempt,
		Message: clip(report.Message, 2<<10), Status: report.Status, Evidence: clipAll(report.Evidence),
	}
}

// clip keeps what a port said within bounds; the log is no place for megabytes.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}

func clipAll(evidence []playbooks.Evidence) []playbooks.Evidence {
	if len(evidence) == 0 {
		return nil
	}
	clipped := make([]playbooks.Evidence, 0, min(len(evidence), 8))
	for _, e := range evidence[:min(len(evidence), 8)] {
		clipped = append(clipped, playbooks.Evidence{Name: clip(e.Name, 200), Text: clip(e.Text, 4<<10), Link: clip(e.Link, 1<<10)})
	}
	return clipped
}
