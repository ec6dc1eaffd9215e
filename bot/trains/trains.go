// Package trains lets releases leave by the clock. At its tick a train collects what its
// modules have ready, starts a release that departs later, and with it asks people for go or
// no-go; until it departs, owners are told what is missing.
//
// A train speaks the command language, by the rights of a person, like everybody else:
// what it starts is a run like any other. Its ticks are durable: each is handled once,
// also when Muster was down at the time, and never twice.
package trains

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
)

// Options are what a Yard needs. All but Builds, Channels and Log are required.
type Options struct {
	Logs *store.Logs
	// Policy returns the rules in force, whose catalog has the trains.
	Policy func() *playbooks.Policy
	// Execute carries out a line: bot.Bot.Execute.
	Execute func(context.Context, bot.Line) bot.Answer
	// StartedBy returns the run that a cause has started, empty if none has.
	StartedBy func(ctx context.Context, cause string) (run string, err error)
	// Waits says what stands between a run and its departure, and whose it is; over says that
	// the run has ended.
	Waits func(ctx context.Context, run string) (waits []playbooks.Wait, over bool, err error)
	// Live says which version of a module is live in an environment; empty: none is.
	Live func(ctx context.Context, environment, module string) (version string, err error)
	// Builds knows what was built. Nil: a train takes what the catalog and the environment before
	// have.
	Builds steps.Builds
	// Say posts a card in a channel, once for each key: bot.Posts.Say.
	Say func(ctx context.Context, key, channel string, card chat.Card) error
	// Channels returns where an environment's releases are told.
	Channels func(environment string) []string
	Log      *slog.Logger
}

// Yard runs all trains of a catalog. Its methods may be called concurrently.
type Yard struct {
	o Options

	mu   sync.Mutex
	kept map[string]*timetable // by train, as the store has it
}

// timetablePrefix is where the yard keeps what it knows of each train.
//
//	trains/<train>    timetable
const timetablePrefix = "trains/"

// timetable is what is remembered of a train. Fields may be added.
type timetable struct {
	// Schedule and Zone are those that Seen belongs to: a train with another schedule begins anew.
	Schedule string `json:"schedule"`
	Zone     string `json:"zone"`
	// Seen is the last tick that was taken up, or when the train was first seen.
	Seen time.Time `json:"seen"`
	// Tick is being handled, or was handled last; nil: there was none yet.
	Tick *tick `json:"tick,omitempty"`
}

// tick is one departure of a train.
type tick struct {
	At      time.Time `json:"at"`
	Departs time.Time `json:"departs"`
	Late    int       `json:"late,omitempty"` // how many ticks before it were missed as well; it is late itself if Missed
	Missed  bool      `json:"missed,omitempty"`
	Stage   stage     `json:"stage"`
	Run     string    `json:"run,omitempty"`
	Said    int       `json:"said,omitempty"` // how many reminders are over
	Why     string    `json:"why,omitempty"`  // why there is no run
	// Left are the modules that stay behind, with a reason for each.
	Left []left `json:"left,omitempty"`
}

type left struct {
	Module string `json:"module"`
	Why    string `json:"why"`
}

// stage is how far a tick is handled.
type stage string

const (
	stageBegun    stage = "begun"    // taken up, nothing was done
	stageBoarding stage = "boarding" // the run is there, and departs later
	stageDone     stage = "done"
)

// soon is how late a tick may be noticed and still be in time.
const soon = 2 * time.Minute

// New returns a yard that is at rest until Run is called.
func New(o Options) *Yard {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Channels == nil {
		o.Channels = func(string) []string { return nil }
	}
	return &Yard{o: o, kept: make(map[string]*timetable)}
}

// lookEvery is how often trains are looked at though nothing is due: the catalog may have changed.
const lookEvery = time.Minute

// again is how long something that went wrong for now rests.
const again = 5 * time.Second

// Run lets trains run until ctx ends. It returns nil then.
func (y *Yard) Run(ctx context.Context) error {
	var retired *playbooks.Catalog // that of which was seen which trains it has not
	for {
		wait := lookEvery
		catalog := y.o.Policy().Catalog()
		if catalog != retired {
			err := y.retire(ctx, catalog)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				y.o.Log.Warn("it could not be noted which trains there are not any more; it is tried again", "error", err)
				wait = again
			default:
				retired = catalog
			}
		}
		for i := range catalog.Trains {
			due, err := y.lookSafely(ctx, &catalog.Trains[i])
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				y.o.Log.Warn("a train could not be looked after; it is tried again", "train", catalog.Trains[i].Name, "error", err)
				wait = min(wait, again)
			case !due.IsZero():
				wait = min(wait, max(time.Until(due), time.Millisecond))
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// lookSafely turns a panic into an error: a tick that is written down comes again, so a mistake of ours must
// not end the program, nor keep other trains from running.
func (y *Yard) lookSafely(ctx context.Context, t *playbooks.Train) (due time.Time, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("trains: panic: %v\n%s", r, debug.Stack())
		}
	}()
	return y.look(ctx, t)
}

// look does what is due for a train, and returns when something is due again; zero: not known.
func (y *Yard) look(ctx context.Context, t *playbooks.Train) (due time.Time, err error) {
	clock, err := newClock(t.Schedule, t.Zone)
	if err != nil {
		return due, err
	}
	table, err := y.table(ctx, t)
	if err != nil {
		return due, err
	}
	for {
		now := time.Now()
		if k := table.Tick; k != nil && k.Stage != stageDone {
			next, err := y.handle(ctx, t, table)
			if err != nil || k.Stage != stageDone {
				return next, err
			}
			continue
		}
		at := clock.next(table.Seen)
		if at.IsZero() || at.After(now) {
			return at, nil
		}
		if err := y.takeUp(ctx, t, table, clock, at, now); err != nil {
			return due, err
		}
	}
}

// takeUp notes the tick that is to be handled, before anything is done about it. Of several that
// were missed it is the last, and the others are counted.
func (y *Yard) takeUp(ctx context.Context, t *playbooks.Train, table *timetable, clock clock, at, now time.Time) error {
	next := *table
	k := &tick{At: at, Stage: stageBegun}
	for later := clock.next(k.At); !later.IsZero() && !later.After(now); later = clock.next(k.At) {
		k.At = later
		k.Late++
	}
	k.Missed = now.Sub(k.At) > soon
	k.Departs = k.At.Add(t.Lead)
	next.Seen, next.Tick = k.At, k
	return y.keep(ctx, t, table, next)
}

// table reads what is remembered of a train. A new one, or one with another schedule, has missed
// nothing.
func (y *Yard) table(ctx context.Context, t *playbooks.Train) (*timetable, error) {
	table, err := y.known(ctx, t.Name)
	if err != nil {
		return nil, err
	}
	if table.Schedule == t.Schedule && table.Zone == t.Zone {
		return table, nil
	}
	next := *table
	next.Schedule, next.Zone, next.Seen = t.Schedule, t.Zone, time.Now()
	return table, y.keep(ctx, t, table, next)
}

// known is the timetable that is kept of a train, an empty one if none is.
func (y *Yard) known(ctx context.Context, train string) (*timetable, error) {
	y.mu.Lock()
	table := y.kept[train]
	y.mu.Unlock()
	if table != nil {
		return table, nil
	}
	table = new(timetable)
	data, err := y.o.Logs.Get(ctx, timetablePrefix+url.PathEscape(train))
	if err != nil {
		return nil, err
	}
	if data != nil {
		if err := json.Unmarshal(data, table); err != nil {
			return nil, fmt.Errorf("trains: %q: %w", train, err)
		}
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	if first := y.kept[train]; first != nil {
		return first, nil
	}
	y.kept[train] = table
	return table, nil
}

// retire lets the trains that a catalog has not begin anew should they come back: what they did not run
// meanwhile nobody has missed.
func (y *Yard) retire(ctx context.Context, c *playbooks.Catalog) error {
	var names []string
	for pair, err := range y.o.Logs.Keys(ctx, timetablePrefix) {
		if err != nil {
			return err
		}
		name, err := url.PathUnescape(strings.TrimPrefix(string(pair.Key), timetablePrefix))
		if err == nil && !slices.ContainsFunc(c.Trains, func(t playbooks.Train) bool { return t.Name == name }) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		table, err := y.known(ctx, name)
		if err != nil {
			return err
		}
		if table.Schedule == "" && table.Zone == "" {
			continue
		}
		next := *table
		next.Schedule, next.Zone = "", ""
		if k := table.Tick; k != nil && k.Stage != stageDone {
			over := *k
			over.Stage, over.Why = stageDone, "the train was taken out of the configuration"
			next.Tick = &over
		}
		if err := y.keep(ctx, &playbooks.Train{Name: name}, table, next); err != nil {
			return err
		}
	}
	return nil
}

// keep makes a timetable durable, and then the one in force.
func (y *Yard) keep(ctx context.Context, t *playbooks.Train, table *timetable, next timetable) error {
	data, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("trains: %q: %w", t.Name, err)
	}
	// What it notes may have happened, so it is finished even when ctx ends meanwhile.
	if err := y.o.Logs.Set(context.WithoutCancel(ctx), store.Set{Key: timetablePrefix + url.PathEscape(t.Name), Value: data}); err != nil {
		return fmt.Errorf("trains: %q: %w", t.Name, err)
	}
	y.mu.Lock()
	*table = next
	y.mu.Unlock()
	return nil
}

// advance notes how far a tick is.
func (y *Yard) advance(ctx context.Context, t *playbooks.Train, table *timetable, change func(*tick)) error {
	next := *table
	k := *table.Tick
	change(&k)
	next.Tick = &k
	return y.keep(ctx, t, table, next)
}

// Trains implements bot.Timetable.
func (y *Yard) Trains(ctx context.Context) ([]bot.Train, error) {
	var all []bot.Train
	catalog := y.o.Policy().Catalog()
	for i := range catalog.Trains {
		t := &catalog.Trains[i]
		clock, err := newClock(t.Schedule, t.Zone)
		if err != nil {
			return nil, err
		}
		table, err := y.known(ctx, t.Name) // it is Run that writes
		if err != nil {
			return nil, err
		}
		y.mu.Lock()
		now := *table
		y.mu.Unlock()
		train := bot.Train{Name: t.Name, Environment: t.Environment, Next: clock.next(time.Now()), Lead: t.Lead}
		if k := now.Tick; k != nil {
			train.Run, train.Last, train.Why = k.Run, k.At, k.Why
			if k.Stage != stageDone {
				train.Departs = k.Departs
			}
			for _, l := range k.Left {
				train.Left = append(train.Left, l.Module+" ("+l.Why+")")
			}
		}
		all = append(all, train)
	}
	return all, nil
}

func cause(t *playbooks.Train, k *tick) string {
	return "train/" + t.Name + "/" + k.At.UTC().Format(time.RFC3339)
}

func (y *Yard) channels(t *playbooks.Train) []string {
	if len(t.Channels) > 0 {
		return t.Channels
	}
	return y.o.Channels(t.Environment)
}

// say tells something in every channel of a train, once for each tick and subject. A channel that
// refuses for good is passed over.
func (y *Yard) say(ctx context.Context, t *playbooks.Train, k *tick, subject string, card chat.Card) error {
	var late error
	for _, channel := range y.channels(t) {
		err := y.o.Say(ctx, cause(t, k)+"/"+subject, channel, card)
		var permanent interface{ Permanent() bool }
		switch {
		case err == nil:
		case errors.As(err, &permanent) && permanent.Permanent():
			y.o.Log.Error("a channel does not take what a train says", "train", t.Name, "channel", channel, "error", err)
		default:
			late = cmp.Or(late, err)
		}
	}
	return late
}
