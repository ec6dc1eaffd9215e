package trains_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/trains"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/mem"
)

// station is Muster with trains, an engine and the embedded world.
type station struct {
	t       *testing.T
	world   *local.World
	store   *mem.Store
	catalog *playbooks.Catalog
	engine  *engine.Engine
	yard    *trains.Yard
	end     func()

	strike atomic.Pointer[func() mem.Fault] // what becomes of the next write; nil: it is stored

	mu      sync.Mutex
	said    []string
	sayNo   error // what the chat answers
	unknown error // what who is asked for what is live answers
}

// errMistake makes who is asked for what is live panic.
var errMistake = errors.New("a mistake of ours")

func (s *station) liveErr(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unknown = err
}

// depot has a train on Tuesdays at two; in the bubble it is Saturday, 1 January 2000.
func depot(change ...func(*playbooks.Catalog)) *playbooks.Catalog {
	c := &playbooks.Catalog{
		Environments: []playbooks.Environment{{Name: "staging", Approvals: &playbooks.ApprovalPolicy{None: true}}, {Name: "production", Channels: []string{"#releases"},
			Approvals: &playbooks.ApprovalPolicy{Rules: []playbooks.ApprovalRule{{Group: "leads", Count: 1}}}}},
		Modules: []playbooks.Module{
			{Name: "cart", Source: "shop/cart", Owners: []string{"dev"}}, {Name: "mail", Source: "shop/mail", Owners: []string{"dev"}},
			{Name: "web", Source: "shop/web", Owners: []string{"leads"}}, {Name: "redis"},
		},
		People: []playbooks.Person{{ID: "nightly", Name: "Nightly"}, {ID: "lea", Name: "Lea"}, {ID: "dev", Name: "Dev"}},
		Groups: []playbooks.Group{{Name: "leads", Members: []string{"lea"}}},
		Access: []playbooks.Access{{Who: []string{"nightly"}, Role: playbooks.Releaser}, {Who: []string{"lea"}, Role: playbooks.Admin}},
		Trains: []playbooks.Train{{
			Name: "weekly", Schedule: "0 14 * * TUE", Zone: "Europe/Berlin", Environment: "production", As: "nightly",
			Modules: []string{"cart", "mail", "web"}, Lead: 2 * time.Hour, Remind: []time.Duration{15 * time.Minute, time.Hour},
		}},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func newStation(t *testing.T, catalog *playbooks.Catalog) *station {
	world, err := local.Open("", local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &station{t: t, world: world, catalog: catalog}
	s.store = mem.New(mem.Options{Before: func(int) mem.Fault {
		strike := s.strike.Load()
		if strike == nil {
			return mem.None
		}
		return (*strike)()
	}})
	s.build("cart", "v1", "passed")
	s.build("web", "v1", "passed")
	s.live("staging", "cart", "v1")
	s.live("staging", "web", "v1")
	return s
}

func (s *station) build(module, version, state string) {
	s.must(s.world.Forge.SetBuild(playbooks.BuildState{Module: module, Version: version, State: state}))
}

func (s *station) live(environment, module, version string) {
	s.must(s.world.Cluster.Seed(playbooks.Place{Environment: environment, Module: module}, version, time.Now()))
}

func (s *station) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *station) start() {
	logs := store.NewLogs(s.store)
	ports := steps.Ports{
		Deployers: map[string]steps.Deployer{"": s.world.Cluster}, Notify: bot.NewNotifier(s.world.Chat, logs, nil),
		Catalog: func() *playbooks.Catalog { return s.catalog },
	}
	e, err := engine.Open(context.Background(), engine.Options{
		Logs: logs, Runners: ports.Runners(), Facts: ports.Facts(s.world.Forge), Policy: playbooks.NewPolicy(s.catalog),
	})
	s.must(err)
	s.engine = e
	talker := bot.New(bot.Options{Engine: e, Logs: logs, Chat: s.world.Chat, System: "chat", Zone: time.UTC})
	s.yard = trains.New(trains.Options{
		Logs: logs, Policy: e.Policy, Execute: talker.Execute, StartedBy: e.StartedBy, Waits: bot.WaitsOf(e),
		Live: func(ctx context.Context, environment, module string) (string, error) {
			s.mu.Lock()
			err := s.unknown
			s.mu.Unlock()
			if errors.Is(err, errMistake) {
				panic(err)
			}
			if err != nil {
				return "", err
			}
			l, err := s.world.Cluster.Live(ctx, playbooks.Place{Environment: environment, Module: module})
			return l.Version, err
		},
		Builds: s.world.Forge,
		Say: func(_ context.Context, key, channel string, card chat.Card) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.sayNo != nil {
				return s.sayNo
			}
			s.said = append(s.said, channel+" "+strings.Join(strings.Fields(local.Render(card, 200, false)), " "))
			return nil
		},
		Channels: func(environment string) []string { return s.catalog.Environment(environment).Channels },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.yard.Run(ctx) }()
	s.end = func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Run says %v", err)
		}
		e.Stop()
	}
	e.Resume()
}

// down is Muster's absence for a while.
func (s *station) down(d time.Duration) {
	s.end()
	time.Sleep(d)
	s.store = s.store.Reopen()
	s.start()
	time.Sleep(time.Minute)
}

// until lets time pass until the clock in Berlin shows a reading.
func (s *station) until(reading string) {
	s.t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	s.must(err)
	at, err := time.ParseInLocation("2006-01-02 15:04", reading, zone)
	s.must(err)
	time.Sleep(time.Until(at.Add(30 * time.Second)))
}

// hears returns what was said since the last time.
func (s *station) hears() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	said := strings.Join(s.said, "\n")
	s.said = nil
	return said
}

func (s *station) wantHears(parts ...string) {
	s.t.Helper()
	said := s.hears()
	if len(parts) == 0 && said != "" {
		s.t.Errorf("the channels hear\n%s\nwant nothing", said)
	}
	for _, part := range parts {
		if !strings.Contains(said, part) {
			s.t.Errorf("the channels hear\n%s\nand not %q", said, part)
		}
	}
}

func (s *station) runs() (all []string) {
	history, err := s.engine.History(context.Background(), 20)
	s.must(err)
	for _, h := range history {
		all = append(all, fmt.Sprintf("%s by %s", strings.Join(h.Modules, " "), h.By))
	}
	return all
}

func (s *station) live1(module string) string {
	l, err := s.world.Cluster.Live(context.Background(), playbooks.Place{Environment: "production", Module: module})
	s.must(err)
	return l.Version
}

func at(t *testing.T, catalog *playbooks.Catalog, test func(*station)) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t, catalog)
		s.start()
		defer func() { s.end() }()
		test(s)
	})
}

// TestTrain is a train from its tick to the arrival.
func TestTrain(t *testing.T) {
	at(t, depot(), func(s *station) {
		s.build("mail", "v2", "failed")
		s.until("2000-01-04 13:58")
		s.wantHears()
		s.until("2000-01-04 14:00")
		s.wantHears("#releases", "Train weekly is release 1 to production; it departs at Tue 4 Jan 16:00 CET.", "mail it is not in staging: Dev")
		var view string
		s.must(s.engine.View(s.t.Context(), "1", func(v engine.View) error {
			view = fmt.Sprint(v.Run.Rule, " ", v.Run.By, " ", v.Run.Request.Reason, " ", v.Run.Status())
			return nil
		}))
		if view != "train weekly nightly train weekly of 4 January 14:00 CET waiting for approval" {
			s.t.Errorf("the run is %q", view)
		}
		s.until("2000-01-04 14:59")
		s.wantHears()
		s.until("2000-01-04 15:00")
		s.wantHears("Train weekly departs at Tue 4 Jan 16:00 CET, and something is missing.", "Lea", "mail it is not in staging: Dev")
		s.must(s.engine.Do(s.t.Context(), playbooks.Command{Kind: playbooks.CommandApprove, By: "lea", Run: "1"}))
		s.until("2000-01-04 15:45")
		if said := s.hears(); strings.Contains(said, "Lea") || !strings.Contains(said, "mail") {
			s.t.Errorf("the second reminder is %q", said)
		}
		s.until("2000-01-04 15:58")
		if got := s.live1("cart"); got != "" {
			s.t.Errorf("before the departure cart is at %s", got)
		}
		s.until("2000-01-04 16:05")
		if s.live1("cart") != "v1" || s.live1("web") != "v1" || s.live1("mail") != "" {
			s.t.Errorf("after the departure cart is at %q, web at %q, mail at %q", s.live1("cart"), s.live1("web"), s.live1("mail"))
		}
		s.wantHears()
		s.until("2000-01-11 14:00")
		s.wantHears("Train weekly stays where it is: there is nothing new.", "cart nothing new")
		if len(s.runs()) != 1 {
			s.t.Errorf("the runs are %q", s.runs())
		}
	})
}

func TestMissedTrain(t *testing.T) {
	at(t, depot(), func(s *station) {
		s.until("2000-01-04 13:00")
		s.down(15 * 24 * time.Hour)
		s.wantHears("Train weekly did not run 3 times, last at Tue 18 Jan 14:00 CET: Muster was down.", "release … to production")
		s.down(time.Hour)
		s.wantHears()
		if len(s.runs()) != 0 {
			s.t.Errorf("the runs are %q", s.runs())
		}
		s.until("2000-01-25 14:00")
		s.wantHears("Train weekly is release 1 to production")
	})
}

func TestLateTrain(t *testing.T) {
	at(t, depot(func(c *playbooks.Catalog) { c.Trains[0].Late = playbooks.LateRun }), func(s *station) {
		s.until("2000-01-04 13:00")
		s.down(8 * 24 * time.Hour) // Wednesday, the 12th, at one
		s.wantHears("Train weekly is release 1 to production; it departs at Wed 12 Jan 15:00 CET. It is late: Muster was down at Tue 11 Jan 14:00 CET.")
		s.down(time.Minute)
		if len(s.runs()) != 1 {
			s.t.Errorf("the runs are %q", s.runs())
		}
	})
}

// TestAShortAbsenceIsNoDelay lets a restart over the tick go unnoticed.
func TestAShortAbsenceIsNoDelay(t *testing.T) {
	at(t, depot(), func(s *station) {
		s.until("2000-01-04 13:59")
		s.down(time.Minute)
		s.wantHears("Train weekly is release 1 to production; it departs at Tue 4 Jan 16:00 CET.")
	})
}

// TestTrainThatMayNot says why it stays, once.
func TestTrainThatMayNot(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*playbooks.Catalog)
		want   string
	}{
		"without rights": {func(c *playbooks.Catalog) { c.Access = c.Access[1:] }, "Nightly may not release"},
		"with a plan that cannot be": {func(c *playbooks.Catalog) {
			c.Modules[0].Needs = []playbooks.Need{{Module: "redis"}}
		}, "redis"},
	} {
		t.Run(name, func(t *testing.T) {
			at(t, depot(c.change), func(s *station) {
				s.until("2000-01-04 14:00")
				s.wantHears("Train weekly stays where it is: ", c.want)
				s.down(time.Hour)
				s.wantHears()
			})
		})
	}
}

// TestNewestBuildRidesIntoTheFirstEnvironment takes the newest build that passed, and names what
// waits for its build.
func TestNewestBuildRidesIntoTheFirstEnvironment(t *testing.T) {
	at(t, depot(func(c *playbooks.Catalog) {
		c.Trains[0].Environment, c.Trains[0].Modules, c.Trains[0].Channels = "staging", nil, []string{"#dev"}
	}), func(s *station) {
		s.build("cart", "v2", "passed")
		s.build("cart", "v3", "failed")
		s.build("web", "v2", "running")
		s.until("2000-01-04 14:00")
		s.wantHears("#dev", "Train weekly is release 1 to staging", "web the build of v2 is running: Lea")
		if got := s.runs(); len(got) != 1 || got[0] != "cart@v2 by nightly" {
			s.t.Errorf("the runs are %q", got)
		}
	})
}

// TestAnotherScheduleHasMissedNothing begins anew when the configuration changes.
func TestAnotherScheduleHasMissedNothing(t *testing.T) {
	at(t, depot(), func(s *station) {
		s.until("2000-01-04 13:00")
		changed := *s.catalog
		changed.Trains = []playbooks.Train{s.catalog.Trains[0]}
		changed.Trains[0].Schedule = "0 9 * * *"
		s.catalog = &changed
		s.down(time.Minute)
		s.wantHears()
		s.until("2000-01-05 09:00")
		s.wantHears("Train weekly is release 1 to production; it departs at Wed 5 Jan 11:00 CET.")
	})
}

// TestTrainsAcrossCrashes ends the process at each write of a tick in turn, with the chat down
// at first: there is one run, and each thing is said once.
func TestTrainsAcrossCrashes(t *testing.T) {
	crashes := 0
	for n := 1; ; n++ {
		var crashed atomic.Bool
		synctest.Test(t, func(t *testing.T) {
			s := newStation(t, depot(func(c *playbooks.Catalog) { c.Trains[0].Late = playbooks.LateRun }))
			s.start()
			defer func() { s.end() }()
			s.until("2000-01-04 13:59")
			writes := 0
			strike := func() mem.Fault { // calls of it never overlap
				if writes++; writes == n {
					crashed.Store(true)
					return mem.CrashAfter
				}
				return mem.None
			}
			s.strike.Store(&strike)
			s.mu.Lock()
			s.sayNo = errors.New("the chat does not answer")
			s.mu.Unlock()
			time.Sleep(40 * time.Second)
			s.mu.Lock()
			s.sayNo = nil
			s.mu.Unlock()
			time.Sleep(time.Minute)
			if crashed.Load() {
				s.down(time.Second)
			}
			s.until("2000-01-04 14:10")
			if runs := s.runs(); len(runs) != 1 {
				t.Fatalf("after a crash at write %d the runs are %q", n, runs)
			}
			if said := s.hears(); !strings.Contains(said, "Train weekly is release 1 to production") {
				t.Errorf("after a crash at write %d the channels hear %q", n, said)
			}
		})
		if !crashed.Load() {
			break
		}
		crashes++
	}
	if crashes < 4 {
		t.Errorf("only %d writes were struck", crashes)
	}
	t.Logf("%d crashes", crashes)
}
