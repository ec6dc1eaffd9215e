package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/integrations/slack/slackfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store/mem"
)

var slackFaults = []slackfake.FaultKind{
	slackfake.ServerError, slackfake.Hang, slackfake.Refused, slackfake.Lost, slackfake.LostHang, slackfake.Limited,
}

// faultPass is a play in which one call to Slack goes wrong.
type faultPass struct {
	// method and nth say which call is struck: they come in another order each time, but
	// for those of one method. Nth 0: none.
	method string
	nth    int
	kind   slackfake.FaultKind

	mu     sync.Mutex
	seen   int // of method
	struck bool

	calls  []slackfake.Call
	result playResult
}

// fault decides what goes wrong with a call.
func (f *faultPass) fault(c slackfake.Call) slackfake.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.Method != f.method {
		return slackfake.Fault{}
	}
	if f.seen++; f.seen != f.nth {
		return slackfake.Fault{}
	}
	f.struck = true
	return slackfake.Fault{Kind: f.kind}
}

// playWith plays in a bubble of its own, where time is free.
func (f *faultPass) playWith(t *testing.T, scopes []string) {
	var log lockedBuffer
	defer func() {
		if t.Failed() {
			t.Logf("call %d of %s was struck by %q; the log:\n%s", f.nth, f.method, f.kind, log.String())
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		network := slackfake.NewNetwork()
		fake, err := slackfake.New(slackfake.Options{Network: network, Scopes: scopes, Fault: f.fault, PingInterval: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := fake.Close(); err != nil {
				t.Error(err)
			}
		}()
		p := newSlackPlay(t, fake)
		config, err := configs.LoadFS(fstest.MapFS{"muster.yaml": {Data: []byte(playCatalog)}}, "muster.yaml")
		if err != nil {
			t.Fatal(err)
		}
		world, err := local.Open("", local.Options{
			Takes:  func(steps.Order) time.Duration { return 2 * time.Second },
			Faults: []local.Fault{{Module: playFails, Kind: local.Fail}},
		})
		if err != nil {
			t.Fatal(err)
		}
		p.heal = func() { world.Heal(playFails) }
		source := configSource{builds: world.Forge}
		if err := source.publish(config.Catalog); err != nil {
			t.Fatal(err)
		}
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		settings := &configs.Slack{
			BotToken: configs.NewSecret(fake.BotToken()), AppToken: configs.NewSecret(fake.AppToken()), APIURL: fake.APIURL(), Connections: 1,
		}
		a, err := newApp(t.Context(), appOptions{
			Catalog: config.Catalog, Store: mem.New(mem.Options{}), World: world, Log: logger,
			Talk: slackTalk(settings, func() []playbooks.Person { return config.Catalog.People }, network.Client(), logger),
		})
		if err != nil {
			t.Fatal(err)
		}
		a.Start(context.Background())
		defer func() {
			if err := a.Stop(); err != nil {
				t.Error(err)
			}
		}()
		p.until("that Muster is there", func() bool { return fake.Connections() > 0 })
		p.play()
		time.Sleep(15 * time.Minute) // for whatever would still be said
		events := eventsOf(t, a)
		f.calls = fake.Calls()
		f.result = p.check(events)
		if f.result.orphans > 0 {
			p.pressOrphans()
			if after := eventsOf(t, a); len(after) != len(events) {
				t.Errorf("a button of a message that nobody knows of did %+v", after[len(events):])
			}
		}
	})
}

// eventsOf is the log of the play's release.
func eventsOf(t *testing.T, a *app) (events []playbooks.Event) {
	t.Helper()
	if err := a.engine.Events(t.Context(), "1", 1, func(_ uint64, e playbooks.Event) error {
		events = append(events, e)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return events
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// slackTally is what many plays together came to.
type slackTally struct {
	mu      sync.Mutex
	passes  int
	calls   int
	missed  int
	kinds   map[slackfake.FaultKind]int
	methods map[string]map[slackfake.FaultKind]int
	playResult
}

// add counts a play.
func (s *slackTally) add(f *faultPass) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passes++
	s.calls += len(f.calls)
	s.boards += f.result.boards
	s.messages += f.result.messages
	s.orphans += f.result.orphans
	s.doubled += f.result.doubled
	if !f.struck {
		s.missed++ // this time there were fewer calls of that method
		return
	}
	s.kinds[f.kind]++
	if s.methods[f.method] == nil {
		s.methods[f.method] = make(map[slackfake.FaultKind]int)
	}
	s.methods[f.method][f.kind]++
}

func (s *slackTally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d passes with %d calls; ", s.passes, s.calls)
	for _, kind := range slackFaults {
		fmt.Fprintf(&b, "%s %d, ", kind, s.kinds[kind])
	}
	fmt.Fprintf(&b, "none because there was no such call %d; second boards %d, other messages twice %d, with buttons that stay %d, private answers twice %d", s.missed, s.boards, s.messages-s.boards, s.orphans, s.doubled)
	for _, method := range slices.Sorted(maps.Keys(s.methods)) {
		fmt.Fprintf(&b, "\n%s %v", method, s.methods[method])
	}
	return b.String()
}

// done reports whether a fault of this kind comes after the call has had its effect.
func done(kind slackfake.FaultKind) bool {
	return kind == slackfake.Lost || kind == slackfake.LostHang
}

var everyFault = flag.Bool("every-fault", false, "strike every call to Slack by every kind of fault")

// faultEach plays once without a fault, and then as often as it takes for each call to be struck
// once, and each method by each kind of fault; with -every-fault, for each call to be struck by
// each kind.
func faultEach(t *testing.T, scopes []string, kinds []slackfake.FaultKind, struck func(method string) bool, check func(*testing.T, *faultPass)) {
	t.Helper()
	var clean faultPass
	clean.playWith(t, scopes)
	if t.Failed() {
		t.FailNow()
	}
	if clean.result != (playResult{}) {
		t.Fatalf("without a fault there is %+v", clean.result)
	}
	t.Logf("without a fault there are %d calls", len(clean.calls))
	tally := &slackTally{kinds: make(map[slackfake.FaultKind]int), methods: make(map[string]map[slackfake.FaultKind]int)}
	t.Run("each", func(t *testing.T) {
		calls, nth := make(map[string]int), make(map[string]int)
		for _, c := range clean.calls {
			calls[c.Method]++
		}
		for _, c := range clean.calls {
			if !struck(c.Method) {
				continue
			}
			nth[c.Method]++
			for i, kind := range kinds {
				n := nth[c.Method] - 1
				if !*everyFault && n%len(kinds) != i && i%calls[c.Method] != n {
					continue
				}
				f := &faultPass{method: c.Method, nth: nth[c.Method], kind: kind}
				t.Run(fmt.Sprintf("%s-%d-%s", f.method, f.nth, kind), func(t *testing.T) {
					t.Parallel()
					f.playWith(t, scopes)
					check(t, f)
					tally.add(f)
				})
			}
		}
	})
	t.Log(tally)
	for method, by := range tally.methods {
		if len(by) != len(kinds) {
			t.Errorf("%s was struck by %v alone", method, by)
		}
	}
}

// mayDouble reports whether the answer to one person alone may come twice: its first answer from
// Slack was lost, and nobody can look for it.
func (f *faultPass) mayDouble() bool { return done(f.kind) && f.method == "response_url" }

func (f *faultPass) checkDoubled(t *testing.T) {
	if n := f.result.doubled; n > 1 || n == 1 && !f.mayDouble() {
		t.Errorf("%d private answers came twice", n)
	}
}

// TestSlackFaults lets one call to Slack go wrong, each in turn, in each way. What people did has its
// effect once, everything is said once, and the release ends.
func TestSlackFaults(t *testing.T) {
	every := func(string) bool { return true }
	faultEach(t, nil, slackFaults, every, func(t *testing.T, f *faultPass) {
		if f.result.messages > 0 || f.result.orphans > 0 {
			t.Errorf("%d messages are there twice, %d of them with buttons", f.result.messages, f.result.orphans)
		}
		f.checkDoubled(t)
	})
}

// TestSlackFaultsBlind is the same for posts where the app may not read channels. It cannot find out
// whether a message is there of which it got no answer: that one message may then be there
// twice, and the first keeps its buttons, which do nothing any more. All else holds.
func TestSlackFaultsBlind(t *testing.T) {
	scopes := slices.DeleteFunc(slackfake.AllScopes(), func(s string) bool { return s == "channels:history" || s == "groups:history" })
	kinds := []slackfake.FaultKind{slackfake.Lost, slackfake.LostHang}
	faultEach(t, scopes, kinds, func(method string) bool { return method == "chat.postMessage" }, func(t *testing.T, f *faultPass) {
		may := 0
		if done(f.kind) {
			may = 1
		}
		if f.result.messages > may || f.result.orphans > may {
			t.Errorf("%d messages are there twice, %d of them with buttons", f.result.messages, f.result.orphans)
		}
		f.checkDoubled(t)
	})
}
