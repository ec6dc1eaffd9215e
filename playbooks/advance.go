package playbooks

import (
	"strconv"
	"time"
)

// Advance decides what follows from the run's state by itself: what may start,
// whom to ask, what is due again, whether the run is over. It is pure. Room is how
// many more steps with an effect the environment has place for.
//
// Apply the events, then call it again until the Decision is empty.
func Advance(r *Run, env *EnvironmentState, p *Policy, now time.Time, room int) Decision {
	a := &advancing{r: r, env: env, p: p, now: now, room: room}
	a.advance()
	return a.d
}

// maxEvents is how many events one Advance decides at the most, so that an
// append stays small; the next call goes on.
const maxEvents = 32

type advancing struct {
	r    *Run
	env  *EnvironmentState
	p    *Policy
	now  time.Time
	room int
	d    Decision
}

func (a *advancing) emit(e Event) {
	e.Time = a.now
	a.d.Run = append(a.d.Run, e)
}

func (a *advancing) wake(at time.Time) {
	if a.d.Wake.IsZero() || at.Before(a.d.Wake) {
		a.d.Wake = at
	}
}

func (a *advancing) advance() {
	r := a.r
	if r.Over() {
		return
	}
	a.expire()
	switch {
	case r.Aborting != nil:
		if r.running == 0 && len(r.stepsIn(Unknown)) == 0 {
			a.d.complete(r, Aborted, a.now)
		}
		return
	case r.WantsBack:
		a.d.Rollback = r.running == 0 && len(r.stepsIn(Unknown)) == 0
		return
	case r.open == 0:
		outcome := Succeeded
		if r.RollingBack {
			outcome = RolledBack
		}
		a.d.complete(r, outcome, a.now)
		return
	}
	held := r.failed > 0 && (r.Book.OnFailure != FinishIndependent || r.RollingBack)
	if held && r.Book.OnFailure == RollBack && !r.RollingBack && r.Paused == nil && r.running == 0 &&
		r.Touched() && len(r.stepsIn(Unknown)) == 0 {
		a.d.Rollback = true
		return
	}
	if r.retries > 0 {
		a.retry()
	}
	a.approvals()
	for _, i := range r.ready {
		if len(a.d.Run) >= maxEvents {
			return
		}
		if step := &r.Book.Steps[i]; step.Kind == StepApproval {
			a.ask(step)
		} else if !held && r.Paused == nil {
			a.begin(step, &r.Steps[i])
		}
	}
}

// expire ends answers that are too old, as long as something waits for them.
func (a *advancing) expire() {
	for i := range a.r.Grants {
		g := &a.r.Grants[i]
		if g.Ended != "" || !a.r.awaits(g.Step) {
			continue
		}
		if a.now.Before(g.Until) {
			a.wake(g.Until)
		} else {
			a.emit(Event{Type: EventExpired, Step: g.Step, Person: g.Person})
		}
	}
}

// awaits reports whether a step that the approval guards has not begun.
func (r *Run) awaits(approval string) bool {
	for _, i := range r.Book.guarded[approval] {
		if r.Steps[i].State == Pending {
			return true
		}
	}
	return false
}

func (a *advancing) retry() {
	for i := range a.r.Steps {
		p := &a.r.Steps[i]
		if p.State != Failing || p.RetryAt.IsZero() || len(a.d.Run) >= maxEvents {
			continue
		}
		if a.now.Before(p.RetryAt) {
			a.wake(p.RetryAt)
		} else {
			a.emit(Event{Type: EventRetried, Step: a.r.Book.Steps[i].ID})
		}
	}
}

// approvals settles what people were asked, and asks again what has lost an answer.
func (a *advancing) approvals() {
	for i := range a.r.Book.Approvals {
		approval := &a.r.Book.Approvals[i]
		progress := a.r.Progress(approval.Step)
		if progress == nil {
			continue
		}
		switch {
		case progress.State == Running:
			if a.r.Tally(a.p, approval, a.now).Complete() {
				a.emit(Event{Type: EventSucceeded, Step: approval.Step, Message: "approved"})
			}
		case progress.State == Done && a.r.doubt[approval.Step] && !a.r.Tally(a.p, approval, a.now).Complete():
			a.emit(Event{Type: EventAsked, Step: approval.Step, Digest: a.r.Book.Digest})
		}
	}
}

// ask begins an approval, or passes over it where the answers of before cover everything.
func (a *advancing) ask(step *Step) {
	if a.r.Paused != nil {
		return
	}
	if a.r.Tally(a.p, a.r.Book.Approval(step.ID), a.now).Complete() {
		a.emit(Event{Type: EventSucceeded, Step: step.ID, Message: "approved before, and unchanged since"})
		return
	}
	a.emit(Event{Type: EventAsked, Step: step.ID, Digest: a.r.Book.Digest})
}

// begin starts a step that waits for nothing, if it may.
func (a *advancing) begin(step *Step, progress *Progress) {
	switch step.Kind {
	case StepGather:
		a.emit(Event{Type: EventSucceeded, Step: step.ID})
		return
	case StepLock:
		a.lock(step)
		return
	}
	if step.Kind.HasEffect() {
		if a.env.Locks[a.r.Book.place(step)] != a.r.ID {
			return
		}
		if a.room <= 0 {
			a.d.Starved = true
			return
		}
		if !a.r.approved(a.p, step, a.now) {
			a.askAgain(step.ApprovedBy)
			return
		}
		a.room--
	}
	attempt := progress.Attempt + 1
	a.emit(Event{
		Type: EventStarted, Step: step.ID, Module: step.Module, Attempt: attempt, Digest: step.Merkle,
		Key: a.r.ID + "/" + step.ID + "/" + strconv.Itoa(attempt),
	})
}

// askAgain asks for an approval that was settled but does not cover a step any
// more: it expired, was taken back, or the people who gave it may not any more.
func (a *advancing) askAgain(approval string) {
	if a.r.Progress(approval).State != Done {
		return
	}
	for i := range a.d.Run {
		if a.d.Run[i].Type == EventAsked && a.d.Run[i].Step == approval {
			return
		}
	}
	a.emit(Event{Type: EventAsked, Step: approval, Digest: a.r.Book.Digest})
}

// lock takes every place at once, or a place in the queue.
func (a *advancing) lock(step *Step) {
	places := a.r.Book.Places()
	if a.env.free(a.r.ID, places) {
		a.d.Env = append(a.d.Env, Event{Type: EventLocked, Time: a.now, Run: a.r.ID, Locks: places})
		a.emit(Event{Type: EventSucceeded, Step: step.ID})
		return
	}
	if !a.r.Queued {
		a.d.Env = append(a.d.Env, Event{Type: EventEnqueued, Time: a.now, Run: a.r.ID, Locks: places})
		a.emit(Event{Type: EventQueued, Step: step.ID})
	}
}
