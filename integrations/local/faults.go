package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// FaultKind is a way in which a rollout or job goes wrong.
type FaultKind string

const (
	Stuck     FaultKind = "stuck"     // it never ends
	Unhealthy FaultKind = "unhealthy" // it ends, but what it brought is not healthy
	Fail      FaultKind = "fail"      // it fails, with log lines that say why
	Flaky     FaultKind = "flaky"     // the first attempt fails, the next one works
	Timeout   FaultKind = "timeout"   // Start hangs until its context ends, and nothing is begun
	Lost      FaultKind = "lost"      // Start begins the work, but its answer is lost
	Down      FaultKind = "down"      // calls are refused for a while, beginning with the first
)

var faultKinds = [...]FaultKind{Stuck, Unhealthy, Fail, Flaky, Timeout, Lost, Down}

// Outage is how long Down refuses calls at normal pace.
const Outage = 5 * time.Second

// Fault is something that goes wrong with a module.
type Fault struct {
	Module string
	// Step is the kind of step that is struck. Empty strikes whatever brings a
	// new version: deploy, canary and promote; the way back works then.
	Step playbooks.StepKind
	Kind FaultKind
}

// ParseFault reads "MODULE=KIND" or "MODULE/STEP=KIND".
func ParseFault(s string) (Fault, error) {
	where, kind, found := strings.Cut(s, "=")
	module, step, hasStep := strings.Cut(where, "/")
	f := Fault{module, playbooks.StepKind(step), FaultKind(kind)}
	switch {
	case !found || module == "":
		return Fault{}, fmt.Errorf("fault %q: want MODULE=KIND such as cart=stuck, where KIND is one of %s", s, list(faultKinds[:]))
	case !slices.Contains(faultKinds[:], f.Kind):
		return Fault{}, fmt.Errorf("fault %q: unknown kind %q, want one of %s", s, kind, list(faultKinds[:]))
	case hasStep && !slices.Contains(rollouts, f.Step) && !slices.Contains(jobs, f.Step):
		return Fault{}, fmt.Errorf("fault %q: steps of kind %q cannot be struck, want one of %s, %s", s, step, list(rollouts), list(jobs))
	}
	return f, nil
}

// String returns what ParseFault reads.
func (f Fault) String() string {
	if f.Step == "" {
		return f.Module + "=" + string(f.Kind)
	}
	return f.Module + "/" + string(f.Step) + "=" + string(f.Kind)
}

func list[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

// isForward reports whether orders of kind k bring a new version.
func isForward(k playbooks.StepKind) bool {
	return k == playbooks.StepDeploy || k == playbooks.StepCanary || k == playbooks.StepPromote
}

// Call is a port call at one of the two points where Options.Intercept sees it.
type Call struct {
	N      int    // from 1, in the order of arrival; the same at both points
	System string // "cluster", "forge", "tracker" or "chat"
	Method string // "Start", "Post", ...
	// Key is what the call is about: the idempotency key of an order, the key of
	// a message, a run, or the key or ID of what is updated.
	Key   string
	After bool // after the effect
}

// String names the call: `cluster: Start "key"`.
func (c Call) String() string { return fmt.Sprintf("%s: %s %q", c.System, c.Method, c.Key) }

// wire is what every port call goes through on its way to a system.
type wire struct {
	opts  Options
	calls atomic.Int64

	mu     sync.Mutex
	faults []*struck
}

// struck is a fault with what is known of it only at run time.
type struck struct {
	Fault
	until time.Time // of Down: when the outage ends; zero before the first call
}

func newWire(opts Options) *wire {
	w := &wire{opts: opts}
	for _, f := range opts.Faults {
		w.inject(f)
	}
	return w
}

func (w *wire) inject(f Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, &struck{Fault: f})
}

func (w *wire) heal(module string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = slices.DeleteFunc(w.faults, func(f *struck) bool { return f.Module == module })
}

// fault finds what strikes orders of a kind for a module.
func (w *wire) fault(module string, kind playbooks.StepKind) *struck {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range slices.Backward(w.faults) {
		if f.Module == module && (f.Step == kind || f.Step == "" && isForward(kind)) {
			return f
		}
	}
	return nil
}

// scaled is how long d takes in this world.
func (w *wire) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) / w.opts.Speed)
}

// outage returns how long f, a Down, still lasts. The first call begins it.
func (w *wire) outage(f *struck) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if f.until.IsZero() {
		f.until = now.Add(w.scaled(Outage))
	}
	return f.until.Sub(now)
}

// call passes a port call to its effect, with whatever goes wrong on the way.
func call[T any](ctx context.Context, w *wire, c Call, effect func() (T, error)) (T, error) {
	var none T
	c.N = int(w.calls.Add(1))
	if err := w.intercept(ctx, c); err != nil {
		return none, fmt.Errorf("%v: %w", c, err)
	}
	if ctx.Err() != nil {
		return none, fmt.Errorf("%v: %w", c, context.Cause(ctx))
	}
	v, err := effect()
	if err == nil {
		c.After = true
		err = w.intercept(ctx, c)
	}
	if err != nil {
		return none, fmt.Errorf("%v: %w", c, err)
	}
	return v, nil
}

func (w *wire) intercept(ctx context.Context, c Call) error {
	if w.opts.Intercept == nil {
		return nil
	}
	return w.opts.Intercept(ctx, c)
}

// order is call for an order, which the faults of its module may strike.
func order(ctx context.Context, w *wire, system, method string, o steps.Order, effect func() (steps.Report, error)) (steps.Report, error) {
	c := Call{System: system, Method: method, Key: o.Key}
	return call(ctx, w, c, func() (steps.Report, error) {
		f := w.fault(o.Place.Module, o.Action)
		if f == nil {
			return effect()
		}
		switch {
		case f.Kind == Down:
			if left := w.outage(f); left > 0 {
				return steps.Report{}, busy{fmt.Errorf("the %s is down", system), left}
			}
		case f.Kind == Timeout && method == "Start":
			<-ctx.Done()
			return steps.Report{}, fmt.Errorf("no answer: %w", context.Cause(ctx))
		}
		r, err := effect()
		if err == nil && f.Kind == Lost && method == "Start" {
			return steps.Report{}, errors.New("the connection broke before the answer came")
		}
		return r, err
	})
}

// lasting is the part of a fault that is decided when work begins and stays
// with it.
func (w *wire) lasting(o steps.Order) FaultKind {
	f := w.fault(o.Place.Module, o.Action)
	switch {
	case f == nil:
		return ""
	case f.Kind == Flaky && o.Attempt <= 1:
		return Fail
	case f.Kind == Stuck || f.Kind == Unhealthy || f.Kind == Fail:
		return f.Kind
	}
	return ""
}

// permanent is a refusal that stays one however often it is tried.
type permanent struct{ error }

func (permanent) Permanent() bool { return true }
func (e permanent) Unwrap() error { return e.error }

func refuse(format string, args ...any) error { return permanent{fmt.Errorf(format, args...)} }

// busy is a refusal for a while.
type busy struct {
	error
	after time.Duration
}

func (e busy) RetryAfter() time.Duration { return e.after }
func (e busy) Unwrap() error             { return e.error }

// gone says that what a call is about is not there any more.
type gone struct{ error }

func (gone) Gone() bool      { return true }
func (gone) Permanent() bool { return true }
func (e gone) Unwrap() error { return e.error }
