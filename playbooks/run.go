package playbooks

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// StepState is where a step stands.
type StepState string

const (
	Pending     StepState = "pending" // the zero StepState is written as Pending
	Running     StepState = "running" // intent recorded; or, of an approval: people were asked
	Done        StepState = "done"
	Failing     StepState = "failed" // for good, or until RetryAt
	Unknown     StepState = "unknown"
	SkippedStep StepState = "skipped"
)

// Progress is what a run remembers of one step.
type Progress struct {
	State    StepState
	Attempt  int
	Key      string
	Since    time.Time // when State began
	Started  time.Time // when the last attempt began
	Message  string
	Status   json.RawMessage
	Evidence []Evidence
	RetryAt  time.Time // of a failed step: it starts again by itself then
	Absent   bool      // of a failed step: the effect never happened
	Absents  int       // failures of that kind in a row
	Failures int       // other failures
	Stalled  bool
	By       string // who skipped or confirmed it
}

// finished reports whether what waits for the step may go on.
func (p *Progress) finished() bool { return p.State == Done || p.State == SkippedStep }

// Grant is one person's yes.
type Grant struct {
	Person string
	Step   string // the approval step
	Digest Digest // the playbook that the person was shown
	At     time.Time
	Until  time.Time
	Via    string
	Ended  string // "taken back" or "expired"; empty while it counts
}

// Note is a remark that a person left in the log.
type Note struct {
	At   time.Time
	By   string
	Text string
}

// Chapter is a playbook that a run has followed before its present one.
type Chapter struct {
	Book  *Book
	Steps []Progress
}

// Halt says who stopped a run and why.
type Halt struct {
	At     time.Time
	By     string
	Rule   string // the rule that did it for By; empty: By did
	Reason string
}

// Run is the fold of a run's log: what has happened so far. Apply alone
// changes it. A Run is not safe for concurrent use.
type Run struct {
	ID          string
	Environment string
	By          string
	Rule        string // the rule or train that started it for By; empty: By did
	Request     Request
	Override    string // reason for starting in spite of a freeze
	Created     time.Time
	Updated     time.Time
	Len         uint64 // events applied
	Book        *Book
	Steps       []Progress // parallel to Book.Steps
	Earlier     []Chapter
	Grants      []Grant
	Paused      *Halt
	Aborting    *Halt
	RollingBack bool // Book undoes an earlier one
	WantsBack   bool // a rollback begins as soon as nothing runs
	Locked      bool
	Queued      bool
	Notes       []Note
	Outcome     Outcome
	Ended       time.Time

	books   Books
	backers backers
	shown   map[Digest]*Book
	causes  map[string]bool
	doubt   map[string]bool // approval steps that have lost an answer since they were decided
	waiting []int32         // by step: how many needs are not finished
	ready   []int32         // pending steps that wait for nothing, most urgent first
	running int             // steps running, approvals not counted
	effects int             // of these, steps with an effect
	open    int             // steps not finished
	failed  int             // steps failed for good, or unknown
	retries int             // steps failed that start again by themselves
}

// NewRun returns the run before its first event. Books finds the playbooks that
// events name.
func NewRun(id string, books Books) *Run {
	return &Run{ID: id, books: books, shown: make(map[Digest]*Book), causes: make(map[string]bool), doubt: make(map[string]bool)}
}

// Over reports whether the run has ended.
func (r *Run) Over() bool { return r.Outcome != "" }

// Caused reports whether an event with that cause is in the log.
func (r *Run) Caused(cause string) bool { return cause != "" && r.causes[cause] }

// Progress returns what the run remembers of a step, and nil for a step that is
// not in its playbook.
func (r *Run) Progress(step string) *Progress {
	if r.Book == nil {
		return nil
	}
	if i, ok := r.Book.index[step]; ok {
		return &r.Steps[i]
	}
	return nil
}

// Counts returns how many steps are finished, and how many there are.
func (r *Run) Counts() (finished, total int) { return len(r.Steps) - r.open, len(r.Steps) }

// Effects returns how many steps with an effect are running.
func (r *Run) Effects() int { return r.effects }

// Quiet reports whether nothing is running: the run waits for a person, a
// clock, a lock, or is over.
func (r *Run) Quiet() bool { return r.running == 0 }

// RunningSteps returns the steps that run now, approvals not among them.
func (r *Run) RunningSteps() []*Step { return r.stepsIn(Running) }

// StuckSteps returns the steps that failed for good or are unknown.
func (r *Run) StuckSteps() []*Step {
	return append(r.stepsIn(Unknown), slices.DeleteFunc(r.stepsIn(Failing), func(s *Step) bool {
		return !r.Progress(s.ID).RetryAt.IsZero()
	})...)
}

func (r *Run) stepsIn(state StepState) []*Step {
	var steps []*Step
	for i := range r.Steps {
		s := &r.Book.Steps[i]
		if r.Steps[i].State == state && s.Kind != StepApproval {
			steps = append(steps, s)
		}
	}
	return steps
}

// Status is a run's state in one word.
type Status string

const (
	StatusWaiting   Status = "waiting for approval"
	StatusGated     Status = "waiting for gates"
	StatusQueued    Status = "queued"
	StatusRunning   Status = "running"
	StatusHeld      Status = "held" // a step failed or is unknown
	StatusPaused    Status = "paused"
	StatusAborting  Status = "aborting"
	StatusReturning Status = "rolling back"
)

// Status says in a word what the run does. A run that is over answers with its
// outcome.
func (r *Run) Status() Status {
	switch {
	case r.Over():
		return Status(r.Outcome)
	case r.Aborting != nil:
		return StatusAborting
	case r.Paused != nil:
		return StatusPaused
	case r.failed > 0 && (r.Book.OnFailure != FinishIndependent || r.running == 0):
		return StatusHeld
	case r.Queued && !r.Locked:
		return StatusQueued
	case len(r.OpenApprovals()) > 0 && r.effects == 0:
		return StatusWaiting
	case r.RollingBack:
		return StatusReturning
	case r.running > 0 && r.effects == 0 && !r.Locked:
		return StatusGated
	}
	return StatusRunning
}

// OpenApprovals returns the approvals that people are asked for now.
func (r *Run) OpenApprovals() []*Approval {
	var open []*Approval
	if r.Book == nil || r.Over() {
		return nil
	}
	for i := range r.Book.Approvals {
		a := &r.Book.Approvals[i]
		if p := r.Progress(a.Step); p != nil && p.State == Running {
			open = append(open, a)
		}
	}
	return open
}

// Forward returns the chapter that is being released: the run's own playbook or,
// while that is rolled back, the one before.
func (r *Run) Forward() Chapter {
	if r.RollingBack && len(r.Earlier) > 0 {
		return r.Earlier[len(r.Earlier)-1]
	}
	return Chapter{r.Book, r.Steps}
}

// covers reports whether the grant is for exactly what step will do.
func (r *Run) covers(g *Grant, step *Step) bool {
	if g.Step != step.ApprovedBy {
		return false
	}
	if g.Digest == r.Book.Digest {
		return true
	}
	shown, ok := r.shown[g.Digest]
	if !ok {
		return false
	}
	was := shown.Lookup(step.ID)
	return was != nil && was.ApprovedBy == step.ApprovedBy && was.Merkle == step.Merkle
}

// begun reports whether an attempt at step was ever made that may have had an effect.
func (p *Progress) begun() bool {
	switch p.State {
	case Pending, "":
		return p.Failures > 0
	case SkippedStep:
		return p.Failures > 0
	case Failing:
		return !p.Absent || p.Failures > 0
	}
	return true
}

// touched returns the indices of steps of the chapter that may have changed the world.
func (c Chapter) touched() []int {
	var touched []int
	for i := range c.Steps {
		if c.Book.Steps[i].Kind.HasEffect() && c.Steps[i].begun() {
			touched = append(touched, i)
		}
	}
	return touched
}

// Touched reports whether the run may have changed anything outside Muster.
func (r *Run) Touched() bool { return len(r.Forward().touched()) > 0 }

// Shown finds the playbook that the run follows or has followed, or that
// somebody approved, by the first digits of its digest.
func (r *Run) Shown(prefix string) (*Book, bool) {
	if prefix == "" {
		return nil, false
	}
	for d, b := range r.shown {
		if strings.HasPrefix(d.String(), prefix) {
			return b, true
		}
	}
	return nil, false
}
