package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/web"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
)

// chatSystem is the embedded chat's name in Person.Handles and in events.
const chatSystem = "chat"

// appOptions are what an app is made of. Catalog and Store are required.
type appOptions struct {
	Catalog *playbooks.Catalog
	Store   store.Store
	// World is where modules run, and where people talk. Nil: no outside system
	// is configured, so releases can be planned and stop at their first deployment.
	World  *local.World
	Timing engine.Timing
	Watch  time.Duration // how often what bakes or settles is looked at; 0: the default
	Settle time.Duration // how long a module may take to become healthy; 0: the default
	Pace   time.Duration // least time between two updates of a message; 0: the default
	// Reload reads a configuration again and returns its catalog and a sentence
	// about it. Nil: there is none to read.
	Reload func() (*playbooks.Catalog, string, error)
	Log    *slog.Logger
}

// app is Muster without a front end: the engine, the bot and the reporters,
// wired to each other and to the outside. Use newApp, Start and Stop in that order.
type app struct {
	o         appOptions
	logs      *store.Logs
	engine    *engine.Engine
	bot       *bot.Bot
	reporters *bot.Reporters // nil: there is no chat
	metrics   *prometheus.Registry
	census    *web.Census
	resumed   atomic.Bool
	probe     probe

	stops []func() // in the order of starting; carried out from the last to the first
}

// newApp opens everything and starts nothing. Once it has returned an app, that
// owns the store and the world, and closes them.
func newApp(ctx context.Context, o appOptions) (*app, error) {
	metered := &meteredStore{Store: o.Store}
	a := &app{o: o, logs: store.NewLogs(metered)}
	a.probe.logs = a.logs
	catalog := a.catalog
	ports := steps.Ports{Deployers: map[string]steps.Deployer{}, Gates: map[string]steps.Gater{}, Catalog: catalog, Settle: o.Settle, Watch: o.Watch}
	var poster chat.Poster = silence{}
	var builds steps.Builds
	if w := o.World; w != nil {
		poster, builds = w.Chat, w.Forge
		ports.Deployers[""] = w.Cluster
		ports.Gates["pipeline"] = w.Forge
		ports.Jobs = w.Forge
	}
	ports.Notify = bot.NewNotifier(poster, a.logs, a.channels)
	options := engine.Options{
		Logs: a.logs, Runners: ports.Runners(), Policy: playbooks.NewPolicy(o.Catalog),
		Changed: a.changed, Log: o.Log, Timing: o.Timing,
	}
	if o.World != nil {
		options.Facts = ports.Facts(builds)
	}
	var err error
	if a.engine, err = engine.Open(ctx, options); err != nil {
		return nil, err
	}
	botOptions := bot.Options{
		Engine: a.engine, Logs: a.logs, Chat: poster, System: chatSystem, Builds: builds, Log: o.Log,
	}
	if o.Reload != nil {
		botOptions.Reload = a.Reload
	}
	if o.World != nil {
		a.reporters = bot.NewReporters(bot.ReporterOptions{
			Engine: a.engine, Logs: a.logs, Chat: o.World.Chat, Tracker: o.World.Tracker,
			System: chatSystem, Pace: o.Pace, Log: o.Log,
		})
		botOptions.Threads = a.reporters
	}
	a.bot = bot.New(botOptions)
	a.census = web.NewCensus(a.engine)
	a.metrics = newRegistry(a, metered)
	return a, nil
}

// catalog returns the newest catalog.
func (a *app) catalog() *playbooks.Catalog { return a.engine.Policy().Catalog() }

func (a *app) channels(environment string) []string {
	if e := a.catalog().Environment(environment); e != nil {
		return e.Channels
	}
	return nil
}

func (a *app) changed(run string) {
	a.census.Changed(run)
	if a.reporters != nil {
		a.reporters.Changed(run)
	}
}

func (a *app) lag() float64 {
	if a.reporters == nil {
		return 0
	}
	return a.reporters.Lag().Seconds()
}

// Start lets everything work: first who watches the runs, then the runs, then
// the doors.
func (a *app) Start(ctx context.Context) {
	if a.reporters != nil {
		a.background(ctx, "reporters", a.reporters.Run)
	}
	a.onStop(a.engine.Stop)
	a.engine.Resume()
	a.background(ctx, "bot", a.bot.Run)
	if a.o.World != nil {
		a.background(ctx, "chat", a.listen)
	}
	a.resumed.Store(true)
}

func (a *app) onStop(fn func()) { a.stops = append(a.stops, fn) }

// background runs something until Stop. When it ends earlier by itself, that is
// said: the rest goes on.
func (a *app) background(ctx context.Context, name string, fn func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() {
		if err := fn(ctx); err != nil && ctx.Err() == nil {
			a.o.Log.Error(name+" has ended; restart Muster once the cause is gone", "error", err)
		}
	})
	a.onStop(func() { cancel(); done.Wait() })
}

// Stop ends everything from the doors inwards. Every run can be resumed.
func (a *app) Stop() error {
	a.resumed.Store(false)
	for i := len(a.stops) - 1; i >= 0; i-- {
		a.stops[i]()
	}
	a.stops = nil
	var world error
	if a.o.World != nil {
		world = a.o.World.Close()
	}
	return errors.Join(world, a.o.Store.Close())
}

// heardKey is where the door keeps the last event that the bot has taken.
const heardKey = "muster/heard"

// retryDoor is how long the door waits when an event could not be kept.
const retryDoor = time.Second

// listen is the door of the embedded chat: it hands what people do there to the
// bot, from the first event that the bot has not kept.
func (a *app) listen(ctx context.Context) error {
	last, err := a.logs.Get(ctx, heardKey)
	if err != nil {
		return err
	}
	heard := string(last)
	for {
		events, err := a.o.World.Chat.Wait(ctx, heard)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := a.hear(ctx, e); err != nil {
				return nil // ctx has ended
			}
			heard = e.ID
		}
	}
}

// hear repeats until the bot has kept the event; an event is kept once however
// often it is delivered.
func (a *app) hear(ctx context.Context, e chat.Event) error {
	for {
		err := a.bot.Receive(ctx, e)
		if err == nil {
			err = a.logs.Set(ctx, store.Set{Key: heardKey, Value: []byte(e.ID)})
		}
		if err == nil {
			return nil
		}
		a.o.Log.Warn("what was said could not be kept; it is tried again", "event", e.ID, "error", err)
		select {
		case <-time.After(retryDoor):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Reload reads the configuration again. A bad one leaves the old one in force.
func (a *app) Reload(context.Context) (string, error) {
	catalog, summary, err := a.o.Reload()
	if err != nil {
		return "", err
	}
	a.engine.SetPolicy(playbooks.NewPolicy(catalog))
	return summary, nil
}

// Ready says why commands are not taken just now; nil: they are.
func (a *app) Ready(ctx context.Context) error {
	if !a.resumed.Load() {
		return errors.New("the runs are not resumed yet, or Muster is shutting down")
	}
	return a.probe.check(ctx)
}

// probe finds out, now and then, whether the store can be written.
type probe struct {
	logs *store.Logs

	mu   sync.Mutex
	at   time.Time
	last error
}

const (
	probeEvery = 5 * time.Second
	probeTime  = 3 * time.Second
	probeKey   = "muster/probe"
)

func (p *probe) check(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < probeEvery {
		return p.last
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), probeTime, fmt.Errorf("no answer within %v", probeTime))
	defer cancel()
	p.last = nil
	if err := p.logs.Set(ctx, store.Set{Key: probeKey, Value: []byte(time.Now().UTC().Format(time.RFC3339))}); err != nil {
		p.last = fmt.Errorf("the store cannot be written: %w", err)
	}
	p.at = time.Now()
	return p.last
}

// meteredStore counts what is written.
type meteredStore struct {
	store.Store
	writes, failures atomic.Int64
}

func (s *meteredStore) Update(ctx context.Context, fn func(store.Txn) error) error {
	err := s.Store.Update(ctx, fn)
	s.count(err)
	return err
}

func (s *meteredStore) Submit(fn func(store.Txn) error) <-chan error {
	answer, counted := s.Store.Submit(fn), make(chan error, 1)
	go func() {
		err := <-answer
		s.count(err)
		counted <- err
	}()
	return counted
}

func (s *meteredStore) count(err error) {
	s.writes.Add(1)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		s.failures.Add(1)
	}
}

func newRegistry(a *app, s *meteredStore) *prometheus.Registry {
	r := prometheus.NewRegistry()
	b := thisBuild()
	counter := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value)
	}
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		a.census,
		counter("muster_store_writes_total", "Transactions written to the store, or tried.", func() float64 { return float64(s.writes.Load()) }),
		counter("muster_store_write_failures_total", "Transactions that failed, conflicts not counted.", func() float64 { return float64(s.failures.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "muster_report_lag_seconds",
			Help: "For how long the chat or the tracker has not shown what is known.",
		}, a.lag),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "muster_build_info",
			Help:        "Always 1; the labels say which build this is.",
			ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.Go},
		}, func() float64 { return 1 }),
	)
	return r
}

// silence is the chat where none is configured: nobody hears what is said there.
type silence struct{}

// unheard is the permanent refusal of a chat that does not exist.
type unheard struct{}

func (unheard) Error() string   { return "no chat is configured" }
func (unheard) Permanent() bool { return true }

func (silence) Post(context.Context, chat.Message) (chat.Handle, error) {
	return chat.Handle{}, unheard{}
}

func (silence) Update(context.Context, chat.Handle, chat.Card) error { return unheard{} }

func (silence) Find(context.Context, chat.Message) (chat.Handle, bool, error) {
	return chat.Handle{}, false, nil
}
