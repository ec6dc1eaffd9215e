// Package intake takes events of other systems in, and makes work of them by the
// catalog's rules.
//
// An event is written down before it is acknowledged, and handled afterwards: what it
// hints at is confirmed by the system itself; builds are registered; what waits is told to
// look; and the first rule that fits is carried out, as a line of the command language with the
// rights of the person whom the rule names. Whatever a Fact leads to happens once, however
// often and by whichever way Muster comes to know of it.
package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/builds"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
)

// Options are what an Intake needs. Logs, Policy, Execute, Started, Runs, Chat and Builds
// are required. Its functions may be called concurrently.
type Options struct {
	Logs   *store.Logs
	Policy func() *playbooks.Policy
	// Execute carries out a line: bot.Bot.Execute.
	Execute func(ctx context.Context, l bot.Line) bot.Answer
	// Started returns the run that a cause has started, empty if it has not:
	// engine.Engine.StartedBy.
	Started func(ctx context.Context, cause string) (run string, err error)
	// Runs lists the runs that are not over.
	Runs func(ctx context.Context) ([]Run, error)
	// Settled reports whether a version of a module is live in an environment, or a run that is
	// under way brings it there: no rule asks for that once more. A release that names the commit in
	// the forge is told of as a tag like any other. Nil: nothing is.
	Settled func(ctx context.Context, environment, module, version string) (bool, error)
	// Chat is where the channels of rules are.
	Chat   chat.Poster
	Builds *builds.Registry
	// Signal lets what waits for the modules look again, now: engine.Engine.LookNow. Nil:
	// nothing waits.
	Signal func(modules ...string)
	// Preview is told of every merge request that something happened to: Previews.Changed.
	// Nil: nobody is.
	Preview func(ctx context.Context, e events.Event) error
	// Sources are the systems that events come from, by their names.
	Sources map[string]Source
	// AlertLabels are the labels of an alert that may name a module; nil: module, service, app.
	AlertLabels []string
	// Channels hear what rules come to that name no channels, in environments without any.
	Channels []string
	// Every is how often the systems are asked for what was missed; 0: 2 minutes.
	Every time.Duration
	// Backlog is how many events may wait to be handled; 0: 100,000.
	Backlog int
	Log     *slog.Logger
}

// Source is a system that events come from. Events of a system that is not listed are
// taken for true.
type Source struct {
	// Origin says what is true. Nil: its events are.
	Origin events.Origin
	// Builds returns the builds that came out of the pipeline of an event, none while it is
	// not finished. Nil: its pipelines build nothing.
	Builds func(ctx context.Context, e events.Event) ([]playbooks.BuildState, error)
	// Moves says what it means that a release issue was moved by hand. Nil: nothing.
	Moves *Moves
}

// Moves are how people answer by moving a release issue.
type Moves struct {
	Approve, Reject string // statuses; empty: there is none for that answer
	// People knows who an account of the tracker is.
	People chat.Directory
	// Self reports whether an account is Muster's own.
	Self func(account string) bool
	// MoveBack gives an issue the status that it had, and says why below it. It looks before
	// it does, and may be repeated after any error.
	MoveBack func(ctx context.Context, issue, status, why string) error
}

// Run is a run that is not over.
type Run struct {
	ID          string
	Environment string
	Modules     []string
	Paused      bool
	Back        bool // it is rolling back, or being aborted: nobody wants to hold that
}

// The intake's keys in the store. Names are escaped as in the path of a URL. Previews keep
// some more, see there.
//
//	intake/known/<source>/<event>           known
//	intake/event/<number>                   events.Event, until it is handled; oldest first
//	intake/fact/<source>/<kind>/<fact>      decision
//	intake/waiting/<source>/<kind>/<fact>   waiting: for a build, to be decided again
//	intake/firing/<source>/<alert>          firing
//	intake/cursor/<source>                  time up to which nothing is missed
//	intake/begin/<source>                   time before which nothing is looked for
const (
	knownPrefix   = "intake/known/"
	eventPrefix   = "intake/event/"
	factPrefix    = "intake/fact/"
	waitingPrefix = "intake/waiting/"
	firingPrefix  = "intake/firing/"
	cursorPrefix  = "intake/cursor/"
	beginPrefix   = "intake/begin/"
)

// Intake takes events and handles them. Its methods may be called concurrently; one process at a
// time has the store.
type Intake struct {
	o      Options
	posts  *bot.Posts
	facts  keyed // held while something follows from a fact, or an alert
	opened time.Time

	mu      sync.Mutex
	last    uint64             // number of the newest event
	flights map[string]*flight // by key: events that are being written
	taking  int                // how many of them
	held    map[uint64]bool    // numbers of the events in lines
	lines   map[string]*line   // by source and subject
	sources map[string]*source
	index   *index // of the catalog that was asked last

	wake   chan struct{} // holds a token when a line may have become ready
	recall chan struct{} // … when something that waits for a build may be decided
}

var _ events.Intake = (*Intake)(nil)

const (
	defaultEvery   = 2 * time.Minute
	defaultBacklog = 100_000
)

// Open reads what an earlier process has left to be handled, and returns an intake that
// takes events at once and handles them when Run is called.
func Open(ctx context.Context, o Options) (*Intake, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Signal == nil {
		o.Signal = func(...string) {}
	}
	if o.AlertLabels == nil {
		o.AlertLabels = []string{"module", "service", "app"}
	}
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	if o.Backlog == 0 {
		o.Backlog = defaultBacklog
	}
	in := &Intake{
		o: o, posts: bot.NewPosts(o.Logs, o.Chat), opened: time.Now(),
		flights: make(map[string]*flight), held: make(map[uint64]bool),
		lines: make(map[string]*line), sources: make(map[string]*source),
		wake: make(chan struct{}, 1), recall: make(chan struct{}, 1),
	}
	if err := in.load(ctx); err != nil {
		return nil, fmt.Errorf("intake: open: %w", err)
	}
	return in, nil
}

// Waiting is how many events were taken and are not handled yet.
func (in *Intake) Waiting() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.held)
}

// Recall lets the alerts that fire hold what may have begun just now. It does not block.
func (in *Intake) Recall() { token(in.recall) }

// Run handles what was taken, and looks for what was missed, until ctx ends. It returns nil
// when nothing is under way any more. It is called once at a time.
func (in *Intake) Run(ctx context.Context) error {
	var work sync.WaitGroup
	work.Go(func() { in.dispatch(ctx) })
	work.Go(func() { in.standing(ctx) })
	work.Go(func() { in.sweepUntil(ctx) })
	for name, s := range in.o.Sources {
		if s.Origin != nil {
			work.Go(func() { in.lookUntil(ctx, name, s.Origin) })
		}
	}
	work.Wait()
	return nil
}

// callTime is the longest that one call of another system may take.
const callTime = 30 * time.Second

func calling(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, callTime, fmt.Errorf("no answer within %v", callTime))
}

func isPermanent(err error) bool {
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

// token leaves a token in a channel that has room for one.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// keyed are locks with names.
type keyed struct {
	mu    sync.Mutex
	locks map[string]*namedLock
}

type namedLock struct {
	sync.Mutex
	users int
}

// lock waits for the lock of that name, and returns what gives it back.
func (k *keyed) lock(name string) (unlock func()) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = make(map[string]*namedLock)
	}
	l := k.locks[name]
	if l == nil {
		l = new(namedLock)
		k.locks[name] = l
	}
	l.users++
	k.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.locks, name)
		}
	}
}
