package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/builds"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/intake"
	"github.com/muster-release/muster/bot/trains"
	"github.com/muster-release/muster/bot/web"
	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
)

// appOptions are what an app is made of. Catalog and Store are required.
type appOptions struct {
	Catalog *playbooks.Catalog
	Store   store.Store
	// World is where modules run. Nil: no outside system is configured, so releases
	// can be planned and stop at their first deployment.
	World *local.World
	// Server has the outside systems that are configured; nil: none are.
	Server *configs.Server
	// HTTP makes the calls of outside systems; nil: each has a client of its own.
	HTTP *http.Client
	// Talk is where people talk. Nil: in the world, or nowhere if there is none.
	Talk   *talk
	Timing engine.Timing
	Watch  time.Duration // how often what bakes or settles is looked at; 0: the default
	Settle time.Duration // how long a module may take to become healthy; 0: the default
	Pace   time.Duration // least time between two updates of a message; 0: the default
	// Age, when set, is told the age of each message that is brought up to date, beside
	// the metrics.
	Age func(chat.Urgency, time.Duration)
	// Reload reads a configuration again and returns its catalog and a sentence
	// about it. Nil: there is none to read.
	Reload func() (*playbooks.Catalog, string, error)
	Log    *slog.Logger
}

// app is Muster without a front end: the engine, the bot and the reporters,
// wired to each other and to the outside. Use newApp, Start and Stop in that order.
type app struct {
	o          appOptions
	talk       *talk
	rolls      *rolls
	store      *meteredStore
	logs       *store.Logs
	engine     *engine.Engine
	bot        *bot.Bot
	botOptions bot.Options
	reporters  *bot.Reporters // nil: there is nobody to report to
	instance   string         // tells this Muster from others in systems that they share
	poster     chat.Poster    // the talk's, under the name of this instance
	newest     atomic.Int64   // number of the newest run
	ports      steps.Ports
	builds     steps.Builds // nil: nothing is known of builds
	outside    outside
	intake     *intake.Intake // nil: no system delivers events
	yard       *trains.Yard
	ages       ages
	metrics    *prometheus.Registry
	census     *web.Census
	resumed    atomic.Bool
	reloading  sync.Mutex
	probe      probe

	stops []func() // in the order of starting; carried out from the last to the first
}

// newApp opens everything and starts nothing. Once it has returned an app, that
// owns the store and the world, and closes them. Logs that the app would go on
// with and that are damaged are a damagedLogs.
func newApp(ctx context.Context, o appOptions) (*app, error) {
	metered := &meteredStore{Store: o.Store}
	a := &app{o: o, store: metered, logs: store.NewLogs(metered), talk: o.Talk}
	switch {
	case a.talk != nil:
	case o.World != nil:
		a.talk = localTalk(o.World.Chat, o.Pace)
	default:
		a.talk = noTalk()
	}
	a.probe.logs = a.logs
	a.rolls = &rolls{systems: make(map[string]roster), read: make(map[roll]time.Time)}
	if a.talk.roster != nil {
		a.rolls.systems[a.talk.system] = a.talk.roster
	}
	var err error
	if a.instance, err = engine.Instance(ctx, a.logs); err != nil {
		return nil, err
	}
	a.poster = a.talk.poster
	if a.talk.system != localSystem { // which is nobody else's
		a.poster = signed{a.talk.poster, a.instance}
	}
	if err := a.openOutside(o.Server); err != nil {
		return nil, err
	}
	ports := steps.Ports{Deployers: map[string]steps.Deployer{}, Gates: map[string]steps.Gater{}, Jobs: map[string]steps.Runner{}, Catalog: a.catalog, Settle: o.Settle, Watch: o.Watch}
	if w := o.World; w != nil {
		a.builds = w.Forge
		ports.Deployers[""] = w.Cluster
		ports.Gates["pipeline"] = w.Forge
		ports.Jobs[""] = w.Forge
	}
	a.outside.equip(&ports)
	if a.outside.builds != nil {
		a.builds = builds.NewKnown(a.outside.builds, a.outside.gitlab, o.Log)
	}
	a.ports = ports
	ports.Notify = bot.NewNotifier(a.poster, a.logs, a.channels)
	policy, err := a.policy(ctx, o.Catalog)
	if err != nil {
		return nil, err
	}
	options := engine.Options{
		Logs: a.logs, Runners: ports.Runners(), Policy: policy,
		Describe: a.outside.describe, Changed: a.changed, Log: o.Log, Timing: o.Timing,
	}
	if len(ports.Deployers) > 0 {
		options.Facts = ports.Facts(a.builds)
	}
	if a.engine, err = engine.Open(ctx, options); err != nil {
		return nil, err
	}
	if err := verifyLogs(ctx, a.logs, a.engine.OpenRuns()); err != nil {
		return nil, err
	}
	a.botOptions = bot.Options{
		Engine: a.engine, Logs: a.logs, Chat: a.poster, System: a.talk.system, People: a.talk.people, Builds: a.builds, Timetable: timetable{a}, Log: o.Log,
	}
	if o.Reload != nil {
		a.botOptions.Reload = a.Reload
	}
	if p := a.outside.pager; p != nil && o.Server.PagerDuty.Token.Reveal() != "" {
		a.botOptions.Rota = p
	}
	a.ages = newAges()
	if !a.talk.silent() || o.World != nil || a.outside.jira != nil || a.outside.gitlab != nil || a.outside.pager != nil {
		reporters := bot.ReporterOptions{
			Engine: a.engine, Logs: a.logs, Chat: a.poster, System: a.talk.system, People: a.talk.people,
			Channels: a.talk.channels, Pace: a.talk.pace, Age: a.observeAge, Log: o.Log,
		}
		if o.World != nil {
			reporters.Tracker = o.World.Tracker
		}
		a.outside.report(&reporters, o.Server)
		a.reporters = bot.NewReporters(reporters)
		a.botOptions.Threads = a.reporters
	}
	a.bot = bot.New(a.botOptions)
	if err := a.openIntake(ctx); err != nil {
		return nil, err
	}
	a.openYard()
	a.census = web.NewCensus(a.engine)
	a.metrics = newRegistry(a)
	return a, nil
}

// catalog returns the newest catalog.
func (a *app) catalog() *playbooks.Catalog { return a.engine.Policy().Catalog() }

func (a *app) channels(environment string) []string {
	if e := a.catalog().Environment(environment); e != nil && len(e.Channels) > 0 {
		return e.Channels
	}
	return a.talk.channels
}

func (a *app) changed(run string) {
	a.census.Changed(run)
	if number, err := strconv.ParseInt(run, 10, 64); err == nil && a.intake != nil && number > a.newest.Load() {
		a.newest.Store(number)
		a.intake.Recall()
	}
	if a.reporters != nil {
		a.reporters.Changed(run)
	}
}

// doors are where outside systems deliver over HTTP, by the beginning of their paths.
func (a *app) doors() map[string]http.Handler {
	doors := make(map[string]http.Handler)
	if a.talk.door != nil {
		doors[a.talk.doorPath] = a.talk.door(a.bot)
	}
	a.outsideDoors(doors)
	return doors
}

func (a *app) observeAge(u chat.Urgency, age time.Duration) {
	a.ages.observe(u, age)
	if a.o.Age != nil {
		a.o.Age(u, age)
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
	for system, c := range a.outside.comments {
		a.background(ctx, "bot in "+system, c.bot.Run)
	}
	if a.intake != nil {
		a.background(ctx, "events", a.intake.Run)
	}
	a.background(ctx, "trains", a.yard.Run)
	if len(a.rolls.systems) > 0 {
		a.background(ctx, "groups of other systems", a.followRolls)
	}
	if listen := a.talk.listen; listen != nil {
		a.background(ctx, "chat", func(ctx context.Context) error { return listen(ctx, a) })
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

// Reload reads the configuration again. A bad one leaves the old one in force.
func (a *app) Reload(ctx context.Context) (string, error) {
	a.reloading.Lock() // of two, the one that read later is in force
	defer a.reloading.Unlock()
	catalog, summary, err := a.o.Reload()
	if err != nil {
		return "", err
	}
	return summary, a.enforce(ctx, catalog)
}
