// Package steps holds the kinds of step that a playbook is made of, and the
// ports through which they touch the world.
//
// A port's answer to Start may be lost, so every effect carries an idempotency
// key, and Look finds out by that key what became of it. Adapters never decide
// and never retry: the engine owns both.
//
// Errors cross this border by behaviour. An error with Permanent() bool that
// returns true says that the call was refused and had no effect; one with
// RetryAfter() time.Duration says when to come back, also without effect. After any
// other error nothing is known, and the engine looks before it goes on.
package steps

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/muster-release/muster/playbooks"
)

// Phase is where a piece of work stands.
type Phase string

const (
	Running   Phase = "running"
	Succeeded Phase = "succeeded"
	Failed    Phase = "failed"
	// Absent is an answer to Look alone: there is no trace of the work, so it
	// never began and never will, because a request that is still under way
	// would be refused or ignored by now. A system that cannot promise that
	// answers ErrCannotLook instead.
	Absent Phase = "absent"
)

// ErrCannotLook says that a system cannot tell whether the work was begun. The
// step becomes unknown, and a person decides.
var ErrCannotLook = errors.New("the system cannot tell whether this was begun")

// Order is one attempt at one piece of work.
type Order struct {
	Key       string // idempotency key: the same for Start, Look and Stop of one attempt
	Run       string
	Step      string
	Attempt   int
	Action    playbooks.StepKind
	Place     playbooks.Place
	From      string // version that is live now, empty if none
	Version   string // version to be live; empty for StepRemove
	Artifact  string
	Deployer  string // which platform; empty: the default one
	Params    map[string]string
	Share     int           // percent, for StepCanary and StepBake; 100 otherwise
	Bake      time.Duration // of StepBake and of a soak gate
	StartedAt time.Time
	// Status is what the last Report of this attempt carried, nil before.
	Status json.RawMessage
}

// Report says how a piece of work stands.
type Report struct {
	Phase   Phase
	Message string // one line for people
	// Progress counts what is done of Total, for the board; both 0 if unknown.
	Progress, Total int
	// CheckAfter says when to Look again while Running; 0 leaves it to the engine.
	CheckAfter time.Duration
	// Status is handed back with the next call, also after a restart. A change of
	// Status is made durable, so it is for handles and stages, not for progress.
	Status   json.RawMessage
	Evidence []playbooks.Evidence
	// Live is what the step verified to be live, for the environment's record.
	Live *playbooks.Live
}

// Runner carries out work that takes time. Start returns as soon as the work
// has begun, mostly with a Report that is Running. Look never has an effect.
// Stop asks running work to end and leaves things as they are; Look then tells how
// it ended. Every method may be called concurrently for different orders.
type Runner interface {
	Start(ctx context.Context, o Order) (Report, error)
	Look(ctx context.Context, o Order) (Report, error)
	Stop(ctx context.Context, o Order) error
}

// Deployer is a platform that modules run on. Its orders are the kinds deploy,
// canary, promote, rollback and remove.
type Deployer interface {
	Runner
	// Live says what runs in a place. A module that was never there is a Live
	// without a version, not an error.
	Live(ctx context.Context, p playbooks.Place) (playbooks.Live, error)
}

// GateQuery asks whether a module's version may go to an environment.
type GateQuery struct {
	Gate        playbooks.Gate
	Run         string
	Environment string
	Module      string
	Version     string
}

// GateAnswer is pass (Succeeded), fail (Failed) or not yet (Running), with what
// it rests on.
type GateAnswer struct {
	Phase      Phase
	Message    string
	CheckAfter time.Duration
	Evidence   []playbooks.Evidence
}

// Gater answers for the gates of one kind. Check has no effect.
type Gater interface {
	Check(ctx context.Context, q GateQuery) (GateAnswer, error)
}

// Builds knows which versions of a module were built and what they carry.
type Builds interface {
	// Build reports on one version; State "missing" where there is none.
	Build(ctx context.Context, module, version string) (playbooks.BuildState, error)
	// Versions lists a module's versions, newest first, limit at the most.
	Versions(ctx context.Context, module string, limit int) ([]playbooks.BuildState, error)
}
