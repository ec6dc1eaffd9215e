package engine

import (
	"slices"
	"time"

	"github.com/muster-release/muster/playbooks"
)

// turn is one round of decisions on a run. Events are applied to the run and to
// the environment as they are decided, ahead of the disk; when saving them fails, both
// are read again.
type turn struct {
	r        *runner
	run      *playbooks.Run
	space    *space
	policy   *playbooks.Policy
	now      time.Time
	expect   uint64
	spaceLen uint64

	events   []playbooks.Event
	env      []playbooks.Event
	bytes    int                // of what ports said
	decision playbooks.Decision // the last one of advance
	replies  []func()
	looks    []*attempt // attempts to look at again
	rest     *rest
	unlocked bool
	progress bool // something changed that is not durable
	err      error
}

func (t *turn) apply(d playbooks.Decision) {
	for _, e := range d.Run {
		if t.err == nil {
			t.err = t.run.Apply(e)
		}
		t.bytes += len(e.Message) + len(e.Status)
		for _, evidence := range e.Evidence {
			t.bytes += len(evidence.Text) + len(evidence.Link)
		}
	}
	for _, e := range d.Env {
		t.unlocked = t.unlocked || e.Type == playbooks.EventUnlocked
	}
	if t.err == nil {
		t.err = t.space.apply(d.Env)
	}
	t.events = append(t.events, d.Run...)
	t.env = append(t.env, d.Env...)
}

func (t *turn) take(m message) {
	switch m := m.(type) {
	case command:
		d, err := playbooks.Decide(t.run, t.policy, m.cmd, t.now)
		if err == nil {
			t.apply(d)
		}
		t.replies = append(t.replies, func() { m.reply <- err })
	case outcome:
		t.outcome(m)
	case adopt:
		t.adopt(m)
	case look:
		for _, a := range t.r.attempts {
			if a.step.Module == "" || slices.Contains(m.modules, a.step.Module) {
				t.looks = append(t.looks, a)
			}
		}
	case forget:
		if t.run.Quiet() && len(t.r.attempts) == 0 {
			t.replies = append(t.replies, func() { t.r.run = nil })
		}
	}
}

// A turn decides so many events, or events with so many bytes of what ports said,
// before it saves them: an append has to stay within store.MaxTxnOps and
// store.MaxTxnBytes, with what the last message and the last Advance add.
const (
	maxTurn      = 40
	maxTurnBytes = 256 << 10
)

// full reports whether the turn has decided enough.
func (t *turn) full() bool { return len(t.events)+len(t.env) >= maxTurn || t.bytes >= maxTurnBytes }

func (t *turn) advance() {
	limit := 0
	if env := t.policy.Environment(t.run.Environment); env != nil {
		limit = env.Limit
	} else {
		limit = t.run.Book.Limit // the environment is in the catalog no more
	}
	more := false
	for t.err == nil {
		if more = t.full(); more {
			t.replies = append(t.replies, func() { t.r.post(tick{}) })
			break
		}
		t.space.effects[t.run.ID] = t.run.Effects()
		t.decision = playbooks.Advance(t.run, t.space.state, t.policy, t.now, t.space.room(t.run.ID, limit, t.began()))
		if len(t.decision.Run) == 0 && len(t.decision.Env) == 0 {
			break
		}
		t.apply(t.decision)
	}
	t.space.effects[t.run.ID] = t.run.Effects()
	// Quiet runs wait for a person or a clock alone; others are looked at after a restart.
	now := rest{Quiet: t.run.Quiet() && !more && !t.decision.Rollback && !t.decision.Starved && !t.run.WantsBack && (!t.run.Queued || t.run.Locked)}
	if now.Quiet {
		now.Wake = t.decision.Wake
	}
	// In trouble it is written in any case, to find out whether that works again.
	if !t.run.Over() && (now != t.r.rest || t.r.trouble != nil) {
		t.rest = &now
	}
}

// began reports whether the turn starts a step with an effect.
func (t *turn) began() bool {
	return slices.ContainsFunc(t.events, func(e playbooks.Event) bool {
		step := t.run.Book.Lookup(e.Step)
		return e.Type == playbooks.EventStarted && step != nil && step.Kind.HasEffect()
	})
}

// submit hands the events to the store, and returns nil when there are none.
func (t *turn) submit() <-chan error {
	if len(t.events) == 0 && len(t.env) == 0 && t.rest == nil {
		return nil
	}
	c := change{run: t.run, expect: t.expect, events: t.events, rest: t.rest}
	if len(t.env) > 0 {
		t.space.inflight++
		c.env = &environmentAppend{t.space.name, t.spaceLen, t.env}
	}
	return t.r.e.record.submit(c)
}

// act does what was waiting for the events to be durable.
func (t *turn) act() {
	for _, e := range t.events {
		switch e.Type {
		case playbooks.EventStarted:
			t.r.begin(e)
		case playbooks.EventAborting:
			t.r.stopAttempts()
		case playbooks.EventSucceeded, playbooks.EventFailed, playbooks.EventUnknown, playbooks.EventSkipped:
			delete(t.r.attempts, e.Step)
		case playbooks.EventAdopted:
			for id, a := range t.r.attempts {
				if p := t.run.Progress(id); p == nil || p.State != playbooks.Running || p.Attempt != a.order.Attempt {
					delete(t.r.attempts, id)
				}
			}
		}
	}
	for _, a := range t.looks {
		a.next()
	}
	if t.decision.Rollback {
		t.r.compileRollback()
	}
	for _, reply := range t.replies {
		reply()
	}
	if t.run.Over() {
		t.r.end()
		return
	}
	t.r.sleepUntil(t.decision.Wake)
	if t.r.run != nil && t.run.Quiet() && len(t.r.attempts) == 0 {
		t.r.forgetLater()
	}
}

// adopt makes the run go on with another playbook.
func (t *turn) adopt(m adopt) {
	if t.run.Over() || t.run.Book.Digest != m.from {
		return
	}
	if !m.back && (!t.looksAround(m.attempt) || t.run.Effects() > 0) {
		return // it comes too late: another look has settled the matter
	}
	event := playbooks.Event{Time: t.now, Type: playbooks.EventAdopted, Rollback: m.back}
	switch {
	case m.err != nil:
		event.Type, event.Rollback, event.Reason = playbooks.EventPaused, false, m.err.Error()
	case m.back && !t.mayRollBack():
		return
	default:
		event.Digest = m.book.Digest
	}
	t.apply(playbooks.Decision{Run: []playbooks.Event{event}})
}

// looksAround reports whether that attempt at the preflight is still running.
func (t *turn) looksAround(attempt int) bool {
	return slices.ContainsFunc(t.run.RunningSteps(), func(s *playbooks.Step) bool {
		return s.Kind == playbooks.StepPreflight && t.run.Progress(s.ID).Attempt == attempt
	})
}

func (t *turn) mayRollBack() bool {
	return playbooks.Advance(t.run, t.space.state, t.policy, t.now, 0).Rollback
}
