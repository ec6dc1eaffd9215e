package playbooks

import (
	"fmt"
	"slices"
	"time"
)

// Apply changes the run by one event of its log. It is the only thing that
// does. An error says that the event does not fit, so the log is not one that
// Muster wrote, or a newer Muster wrote it; the run is not to be used any more.
func (r *Run) Apply(e Event) error {
	if err := r.apply(&e); err != nil {
		return fmt.Errorf("run %q, event %d (%s): %w", r.ID, r.Len+1, e.Type, err)
	}
	r.Len++
	r.Updated = e.Time
	if e.Cause != "" {
		r.causes[e.Cause] = true
	}
	return nil
}

func (r *Run) apply(e *Event) error {
	if (e.Type == EventCreated) != (r.Len == 0) {
		return fmt.Errorf("a run begins with %q and has it once", EventCreated)
	}
	if r.Over() && e.Type != EventAnnotated {
		return fmt.Errorf("the run is over: %s", r.Outcome)
	}
	switch e.Type {
	case EventCreated:
		r.Environment, r.By, r.Rule, r.Created, r.Override = e.Environment, e.By, e.Rule, e.Time, e.Reason
		if e.Request != nil {
			r.Request = *e.Request
		}
		return r.adopt(e)
	case EventAdopted:
		return r.adopt(e)
	case EventPaused:
		r.Paused = halt(e)
		if e.By == "" {
			r.WantsBack = false // Muster itself found that it cannot be rolled back
		}
	case EventResumed:
		r.Paused = nil
	case EventAborting:
		if e.Rollback {
			r.WantsBack, r.Aborting, r.Paused = true, nil, nil
		} else {
			r.Aborting, r.WantsBack = halt(e), false
		}
	case EventAnnotated:
		r.Notes = append(r.Notes, Note{At: e.Time, By: e.By, Text: e.Message})
	case EventCompleted:
		if e.Outcome == "" {
			return fmt.Errorf("a run is completed with an outcome")
		}
		r.Outcome, r.Ended, r.Locked, r.Queued = e.Outcome, e.Time, false, false
	default:
		return r.applyStep(e)
	}
	return nil
}

func halt(e *Event) *Halt { return &Halt{At: e.Time, By: e.By, Rule: e.Rule, Reason: e.Reason} }

// applyStep handles the events that are about one step.
func (r *Run) applyStep(e *Event) error {
	i, ok := r.Book.index[e.Step]
	if !ok {
		return fmt.Errorf("the playbook has no step %q", e.Step)
	}
	step, p := &r.Book.Steps[i], &r.Steps[i]
	from := func(states ...StepState) error {
		if slices.Contains(states, p.State) {
			return nil
		}
		return fmt.Errorf("step %q is %s", e.Step, p.State)
	}
	switch e.Type {
	case EventStarted:
		if err := from(Pending); err != nil {
			return err
		}
		if e.Attempt != p.Attempt+1 {
			return fmt.Errorf("step %q: attempt %d follows %d", e.Step, e.Attempt, p.Attempt)
		}
		r.set(i, Running, e)
		p.Attempt, p.Key, p.Started = e.Attempt, e.Key, e.Time
		p.Message, p.Status, p.Evidence, p.Stalled, p.Absent, p.By = "", nil, nil, false, false, ""
	case EventNoted:
		if err := from(Running); err != nil {
			return err
		}
		p.Status, p.Message, p.Stalled = e.Status, e.Message, false
	case EventStalled:
		p.Stalled = true
	case EventSucceeded:
		internal := step.Kind == StepApproval || step.Kind == StepLock || step.Kind == StepGather
		if err := from(Running); err != nil && (!internal || p.State != Pending) {
			return err
		}
		r.set(i, Done, e)
		p.Message, p.Evidence, p.Stalled, p.Absents, p.Failures = e.Message, e.Evidence, false, 0, 0
		delete(r.doubt, e.Step)
		if step.Kind == StepLock {
			r.Locked, r.Queued = true, false
		}
	case EventFailed:
		if err := from(Running); err != nil {
			return err
		}
		p.RetryAt, p.Absent = e.Until, e.Absent
		r.set(i, Failing, e)
		p.Message, p.Evidence, p.Stalled = e.Message, e.Evidence, false
		if e.Absent {
			p.Absents++
		} else {
			p.Absents = 0
			p.Failures++
		}
	case EventUnknown:
		if err := from(Running); err != nil {
			return err
		}
		p.Failures++
		r.set(i, Unknown, e)
		p.Message = e.Message
	case EventRetried:
		if err := from(Failing, Unknown); err != nil {
			return err
		}
		r.set(i, Pending, e)
		if e.By != "" {
			p.Absents = 0
		}
	case EventSkipped:
		if err := from(Pending, Failing); err != nil && (p.State != Running || step.Kind.HasEffect()) {
			return err
		}
		r.set(i, SkippedStep, e)
		p.Message, p.By = e.Reason, e.By
	case EventConfirmed:
		if err := from(Unknown); err != nil {
			return err
		}
		state := Done
		if e.Outcome == Failed {
			state = Failing
			p.RetryAt, p.Absent = e.Until, false
		}
		r.set(i, state, e)
		p.Message, p.By = e.Message, e.By
	case EventQueued:
		r.Queued = true
	case EventAsked, EventApproved, EventUnapproved, EventRejected, EventExpired:
		return r.applyApproval(i, step, e)
	default:
		return fmt.Errorf("unknown type; a newer Muster wrote this log")
	}
	return nil
}

func (r *Run) applyApproval(i int, step *Step, e *Event) error {
	if step.Kind != StepApproval {
		return fmt.Errorf("step %q asks nobody", e.Step)
	}
	switch e.Type {
	case EventAsked:
		delete(r.doubt, e.Step)
		r.set(i, Running, e)
	case EventApproved:
		shown, err := r.book(e.Digest)
		if err != nil {
			return err
		}
		r.shown[e.Digest] = shown
		r.Grants = append(r.Grants, Grant{Person: e.By, Step: e.Step, Digest: e.Digest, At: e.Time, Until: e.Until, Via: e.Via})
	case EventUnapproved:
		r.endGrants(e.Step, "taken back", func(g *Grant) bool { return g.Person == e.By })
	case EventExpired:
		// The person may have answered again since: that answer goes on.
		r.endGrants(e.Step, "expired", func(g *Grant) bool { return g.Person == e.Person && !g.Until.After(e.Time) })
	case EventRejected:
		r.endGrants(e.Step, "rejected", func(*Grant) bool { return true })
		r.set(i, Pending, e)
		r.Steps[i].Message, r.Steps[i].By = e.Reason, e.By
	}
	return nil
}

// endGrants ends the answers at step that match.
func (r *Run) endGrants(step, why string, match func(*Grant) bool) {
	for i := range r.Grants {
		g := &r.Grants[i]
		if g.Ended == "" && g.Step == step && match(g) {
			g.Ended = why
			r.doubt[step] = true
		}
	}
}

func (r *Run) book(d Digest) (*Book, error) {
	if r.Book != nil && r.Book.Digest == d {
		return r.Book, nil
	}
	if b, ok := r.shown[d]; ok {
		return b, nil
	}
	return r.books(d)
}

// adopt makes the run follow the playbook that e names. Steps are matched by
// their ID: one that is done with the same content stays done, a verification only
// if what it rests on is unchanged as well; attempts go on counting.
func (r *Run) adopt(e *Event) error {
	book, err := r.book(e.Digest)
	if err != nil {
		return err
	}
	was := Chapter{r.Book, r.Steps}
	switch {
	case e.Rollback:
		if was.Book == nil {
			return fmt.Errorf("nothing to roll back")
		}
		r.Earlier = append(r.Earlier, was)
		r.RollingBack, r.WantsBack, r.Aborting = true, false, nil
	case r.RollingBack:
		was = r.Earlier[len(r.Earlier)-1]
		r.Earlier = r.Earlier[:len(r.Earlier)-1]
		r.RollingBack = false
	}
	if e.Type == EventCreated {
		r.RollingBack = book.RollbackOf != nil
	}
	steps := make([]Progress, len(book.Steps))
	for i := range book.Steps {
		steps[i] = carry(was, &book.Steps[i], e)
	}
	r.Book, r.Steps = book, steps
	r.shown[book.Digest] = book
	r.recount()
	return nil
}

// carry returns what a step of the adopted playbook takes over from the one before.
func carry(was Chapter, step *Step, e *Event) Progress {
	fresh := Progress{State: Pending, Since: e.Time}
	if was.Book == nil {
		return fresh
	}
	i, ok := was.Book.index[step.ID]
	if !ok {
		return fresh
	}
	old, before := &was.Book.Steps[i], was.Steps[i]
	fresh.Attempt = before.Attempt
	switch {
	case old.Digest != step.Digest, step.Kind == StepApproval:
		return fresh
	case step.Kind == StepPreflight && before.State == Running:
		return fresh
	case step.Kind == StepVerify && old.Merkle != step.Merkle && before.finished():
		return fresh
	}
	return before
}

// recount rebuilds what is derived from the states of all steps.
func (r *Run) recount() {
	b := r.Book
	r.waiting = make([]int32, len(r.Steps))
	r.ready = r.ready[:0]
	r.running, r.effects, r.failed, r.retries, r.open = 0, 0, 0, 0, 0
	for i := range r.Steps {
		r.tally(i, 1)
		for _, need := range b.needs[i] {
			if !r.Steps[need].finished() {
				r.waiting[i]++
			}
		}
		if r.waiting[i] == 0 && r.Steps[i].State == Pending {
			r.ready = append(r.ready, int32(i))
		}
	}
	slices.SortFunc(r.ready, r.urgency)
}

// urgency orders steps: the longest way to the end first.
func (r *Run) urgency(a, b int32) int {
	if pa, pb := r.Book.priority[a], r.Book.priority[b]; pa != pb {
		if pa > pb {
			return -1
		}
		return 1
	}
	return int(a - b)
}

// tally adds a step to the counts, or takes it out with by = -1.
func (r *Run) tally(i, by int) {
	p, kind := &r.Steps[i], r.Book.Steps[i].Kind
	if !p.finished() {
		r.open += by
	}
	switch p.State {
	case Running:
		if kind != StepApproval {
			r.running += by
		}
		if kind.HasEffect() {
			r.effects += by
		}
	case Failing:
		if p.RetryAt.IsZero() {
			r.failed += by
		} else {
			r.retries += by
		}
	case Unknown:
		r.failed += by
	}
}

// set moves a step to a state and keeps the counts.
func (r *Run) set(i int, state StepState, e *Event) {
	p := &r.Steps[i]
	wasFinished, wasReady := p.finished(), p.State == Pending && r.waiting[i] == 0
	next := *p
	next.State, next.Since = state, e.Time
	if state != Failing {
		next.RetryAt = time.Time{}
	}
	r.replace(i, next)
	if isReady := state == Pending && r.waiting[i] == 0; isReady != wasReady {
		r.setReady(int32(i), isReady)
	}
	if p.finished() == wasFinished {
		return
	}
	for _, d := range r.Book.dependents[i] {
		ready := r.waiting[d] == 0
		if p.finished() {
			r.waiting[d]--
		} else {
			r.waiting[d]++
		}
		if now := r.waiting[d] == 0; now != ready && r.Steps[d].State == Pending {
			r.setReady(d, now)
		}
	}
}

func (r *Run) replace(i int, next Progress) {
	r.tally(i, -1)
	r.Steps[i] = next
	r.tally(i, 1)
}

func (r *Run) setReady(i int32, ready bool) {
	at, found := slices.BinarySearchFunc(r.ready, i, r.urgency)
	switch {
	case ready && !found:
		r.ready = slices.Insert(r.ready, at, i)
	case !ready && found:
		r.ready = slices.Delete(r.ready, at, at+1)
	}
}
