package bot_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/mem"
)

// newsroom is an engine with reporters, and the embedded world around them.
// Start after stop is what a restart of the program is. It lives in a synctest bubble.
type newsroom struct {
	t         testing.TB
	world     *local.World
	store     *mem.Store
	catalog   *playbooks.Catalog
	engine    *engine.Engine
	reporters *bot.Reporters
	end       func()
	pace      time.Duration
	equip     func(*bot.ReporterOptions) // nil: the world has all that there is
	describe  func(context.Context, *playbooks.Catalog, *playbooks.Playbook)
	wiretap   atomic.Pointer[func(context.Context, local.Call) error]
}

// intercept lets f see every call of the world from now on, and break it.
func (n *newsroom) intercept(f func(context.Context, local.Call) error) { n.wiretap.Store(&f) }

func unbroken(context.Context, local.Call) error { return nil }

// storefront is a small catalog: web needs api, api needs db; two people of two
// groups have to agree.
func storefront() *playbooks.Catalog {
	person := func(id, name string) playbooks.Person {
		return playbooks.Person{ID: id, Name: name, Handles: map[string]string{"local": "@" + id}}
	}
	return &playbooks.Catalog{
		Environments: []playbooks.Environment{
			{Name: "staging", Approvals: &playbooks.ApprovalPolicy{None: true}},
			{Name: "production", Channels: []string{"releases", "shop"}, Approvals: &playbooks.ApprovalPolicy{
				Rules:    []playbooks.ApprovalRule{{Group: "leads", Count: 1}, {Group: "qa", Count: 1}},
				Distinct: true, ExcludeRequester: true, ValidFor: time.Hour,
			}},
		},
		Modules: []playbooks.Module{
			{Name: "db", Version: "v1.1.0"},
			{Name: "api", Version: "v2.1.0", Needs: []playbooks.Need{{Module: "db"}}},
			{Name: "web", Version: "v3.1.0", Needs: []playbooks.Need{{Module: "api"}}},
		},
		People: []playbooks.Person{person("dev", "Dev"), person("lea", "Lea"), person("lou", "Lou"), person("quinn", "Quinn"), {ID: "mute", Name: "Mute"}},
		Groups: []playbooks.Group{{Name: "leads", Members: []string{"lea", "lou", "dev"}}, {Name: "qa", Members: []string{"quinn", "mute"}}},
		Access: []playbooks.Access{{Who: []string{"dev", "lea"}, Role: playbooks.Operator}, {Who: []string{"quinn"}, Role: playbooks.Viewer}},
	}
}

func newNewsroom(t testing.TB, faults ...local.Fault) *newsroom {
	n := &newsroom{t: t, store: mem.New(mem.Options{}), catalog: storefront()}
	n.intercept(unbroken)
	world, err := local.Open("", local.Options{Faults: faults, Intercept: func(ctx context.Context, c local.Call) error {
		return (*n.wiretap.Load())(ctx, c)
	}})
	if err != nil {
		t.Fatal(err)
	}
	n.world = world
	for module, version := range map[string]string{"db": "v1.0.0", "api": "v2.0.0"} {
		place := playbooks.Place{Environment: "production", Module: module}
		if err := world.Cluster.Seed(place, version, time.Now().Add(-24*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// open opens everything; the engine does not drive yet.
func (n *newsroom) open() error {
	logs := store.NewLogs(n.store)
	policy := playbooks.NewPolicy(n.catalog)
	ports := steps.Ports{
		Deployers: map[string]steps.Deployer{"": n.world.Cluster},
		Jobs:      map[string]steps.Runner{"": n.world.Forge},
		Notify:    bot.NewNotifier(n.world.Chat, logs, func(string) []string { return []string{"fallback"} }),
		Catalog:   func() *playbooks.Catalog { return n.catalog },
	}
	var reporters atomic.Pointer[bot.Reporters]
	e, err := engine.Open(context.Background(), engine.Options{
		Logs: logs, Runners: ports.Runners(), Facts: ports.Facts(n.world.Forge), Policy: policy,
		Changed: func(run string) { reporters.Load().Changed(run) }, Describe: n.describe,
	})
	if err != nil {
		return err
	}
	n.engine = e
	options := bot.ReporterOptions{
		Engine: e, Logs: logs, Chat: n.world.Chat, Tracker: n.world.Tracker, System: "local", Channels: []string{"fallback"}, Zone: time.UTC, Pace: n.pace,
	}
	if n.equip != nil {
		n.equip(&options)
	}
	n.reporters = bot.NewReporters(options)
	reporters.Store(n.reporters)
	return nil
}

func (n *newsroom) start() error {
	if err := n.open(); err != nil {
		return err
	}
	n.run()
	return nil
}

// run lets the engine drive and the reporters report.
func (n *newsroom) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.reporters.Run(ctx) }()
	n.end = func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, mem.ErrCrashed) {
			n.t.Errorf("Run says %v", err)
		}
		n.engine.Stop()
	}
	n.engine.Resume()
}

func (n *newsroom) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *newsroom) restart() {
	n.t.Helper()
	n.end()
	n.store = n.store.Reopen()
	n.must(n.start())
}

func (n *newsroom) release(environment string) (string, error) {
	pb, err := n.engine.Plan(context.Background(), playbooks.Request{Environment: environment, All: true, Reason: "spring sale"})
	if err != nil {
		return "", err
	}
	return n.engine.Start(context.Background(), playbooks.Command{Kind: playbooks.CommandStart, By: "dev", Digest: pb.Digest, Cause: "start"})
}

func (n *newsroom) mustRelease(environment string) string {
	n.t.Helper()
	run, err := n.release(environment)
	n.must(err)
	pause()
	return run
}

func (n *newsroom) do(kind playbooks.CommandKind, by, run string, change ...func(*playbooks.Command)) {
	n.t.Helper()
	c := playbooks.Command{Kind: kind, By: by, Run: run, Via: "chat"}
	for _, f := range change {
		f(&c)
	}
	n.must(n.engine.Do(context.Background(), c))
	pause()
}

func because(reason string) func(*playbooks.Command) {
	return func(c *playbooks.Command) { c.Reason = reason }
}

// pause is long enough for what just happened to be reported.
func pause() { time.Sleep(3*time.Second + 11*time.Millisecond) }

func (n *newsroom) status(run string) (s playbooks.Status, err error) {
	err = n.engine.View(context.Background(), run, func(v engine.View) error { s = v.Run.Status(); return nil })
	return s, err
}

func (n *newsroom) until(run string, want playbooks.Status) {
	n.t.Helper()
	for range 3000 {
		s, err := n.status(run)
		n.must(err)
		if s == want {
			pause()
			return
		}
		time.Sleep(997 * time.Millisecond) // the engine looks on the second
	}
	n.t.Fatalf("run %s is not %s in the end; the board says\n%s", run, want, n.board("releases"))
}

// messages are those of Muster's that nobody has deleted, by where they are.
func (n *newsroom) messages(keyPrefix string) map[string][]local.Posted {
	all := make(map[string][]local.Posted)
	for _, m := range n.world.Chat.Messages("") {
		if strings.HasPrefix(m.Key, keyPrefix) && !m.Deleted {
			all[m.Channel] = append(all[m.Channel], m)
		}
	}
	return all
}

func (n *newsroom) one(keyPrefix, channel string) local.Posted {
	n.t.Helper()
	found := n.messages(keyPrefix)[channel]
	if len(found) != 1 {
		n.t.Fatalf("there are %d messages %q in %q, want 1", len(found), keyPrefix, channel)
	}
	return found[0]
}

func drawn(c chat.Card) string { return local.Render(c, 80, false) }

func (n *newsroom) board(channel string) string {
	n.t.Helper()
	return drawn(n.one("board/", channel).Card)
}

// thread is what was told below the board, one message a line.
func (n *newsroom) thread(channel string) []string {
	var lines []string
	for _, m := range n.messages("event/")[channel] {
		lines = append(lines, chat.Plain(m.Card.Text))
	}
	return lines
}

func wantContains(t testing.TB, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s lacks %q:\n%s", what, p, text)
		}
	}
}

// notes are the reporters' keys in the store.
func (n *newsroom) notes() (keys []string, err error) {
	for pair, err := range store.NewLogs(n.store).Keys(context.Background(), "bot/") {
		if err != nil {
			return nil, err
		}
		keys = append(keys, string(pair.Key))
	}
	return keys, nil
}

func TestReleaseIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		n.must(n.start())
		defer func() { n.end() }()
		run := n.mustRelease("production")
		n.do(playbooks.CommandApprove, "lea", run)
		n.do(playbooks.CommandApprove, "quinn", run)
		n.until(run, playbooks.Status(playbooks.Succeeded))

		for _, channel := range []string{"releases", "shop"} {
			board := n.one("board/1", channel)
			if board.Thread != "" || board.Updated.IsZero() || board.Card.Tone != chat.Good || len(board.Card.Actions) != 0 {
				t.Errorf("the board in %s is %+v", channel, board)
			}
			wantContains(t, "the board", drawn(board.Card), "Release 1 → production: released", "3 of 3", "✓ api", "v2.0.0 → v2.1.0", "new → v3.1.0", "issue: REL-1")
			told := n.messages("event/1/")[channel]
			if len(told) != 3 || told[0].Thread != board.ID {
				t.Fatalf("the thread in %s is %+v, want three lines below the board", channel, told)
			}
			want := []string{"Lea approved at 00:00", "Quinn approved at 00:00", "Released after "}
			for i, line := range n.thread(channel) {
				wantContains(t, "the thread", line, want[i])
			}
			if id, ok := n.reporters.RunOf(t.Context(), channel, board.ID); !ok || id != run {
				t.Errorf("RunOf the board in %s says %q, %v", channel, id, ok)
			}
			wantContains(t, "the announcement", n.one("notify/1", channel).Card.Text, "Release 1 is complete")
		}
		if _, ok := n.reporters.RunOf(t.Context(), "releases", "999"); ok {
			t.Error("RunOf found a run for a message that is about none")
		}
		keys, err := n.notes()
		n.must(err)
		for _, key := range keys {
			if !strings.HasPrefix(key, "bot/thread/") && key != "bot/newest" {
				t.Errorf("%s is kept though the reports are final", key)
			}
		}
	})
}

func TestChannelsOfAnEnvironmentWithoutAny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		n.must(n.start())
		defer func() { n.end() }()
		run := n.mustRelease("staging")
		n.until(run, playbooks.Status(playbooks.Succeeded))
		wantContains(t, "the board", n.board("fallback"), "Release 1 → staging: released")
		wantContains(t, "the announcement", n.one("notify/1", "fallback").Card.Text, "live and healthy in staging")
	})
}

// TestReportsAfterTheRunEnded stops the reporters before they have seen a run at
// all: what they have not told they tell after the restart, though it is over.
func TestReportsAfterTheRunEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		n.must(n.start())
		pause()
		n.end()
		n.store = n.store.Reopen()
		n.must(n.open()) // without reporters
		n.engine.Resume()
		run, err := n.release("staging")
		n.must(err)
		n.until(run, playbooks.Status(playbooks.Succeeded))
		n.engine.Stop()
		if len(n.messages("board/")) != 0 {
			t.Fatal("there is a board though nobody reports")
		}
		n.store = n.store.Reopen()
		n.must(n.start())
		defer func() { n.end() }()
		pause()
		wantContains(t, "the board", n.board("fallback"), "Release 1 → staging: released")
		if issues := n.world.Tracker.Issues(); len(issues) != 1 || issues[0].Status != "released" {
			t.Errorf("the issues are %+v", issues)
		}
	})
}

func TestHistoryIsNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		n.must(n.open()) // a store that never had reporters
		n.engine.Resume()
		run, err := n.release("staging")
		n.must(err)
		n.until(run, playbooks.Status(playbooks.Succeeded))
		n.engine.Stop()
		n.store = n.store.Reopen()
		n.must(n.start())
		defer func() { n.end() }()
		pause()
		for channel, posted := range n.messages("") {
			if len(posted) != 1 || posted[0].Key != "notify/1" { // that one is the engine's
				t.Errorf("%d messages in %s about a run of long ago", len(posted), channel)
			}
		}
	})
}

func TestDeletedBoardIsPostedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		n.must(n.start())
		defer func() { n.end() }()
		run := n.mustRelease("production")
		first := n.one("board/1", "releases")
		n.must(n.world.Chat.Delete("@lea", first.ID))
		n.do(playbooks.CommandApprove, "lea", run) // changes the card, and has a line to tell
		second := n.one("board/1", "releases")
		if second.Key != "board/1/2" {
			t.Errorf("the second board has the key %q", second.Key)
		}
		if told := n.messages("event/")["releases"]; len(told) != 1 || told[0].Thread != second.ID {
			t.Errorf("the thread is %+v, want one line below the second board", told)
		}
		for _, board := range []local.Posted{first, second} {
			if id, ok := n.reporters.RunOf(t.Context(), "releases", board.ID); !ok || id != run {
				t.Errorf("RunOf says %q, %v", id, ok)
			}
		}
		n.must(n.world.Chat.Delete("@lea", second.ID))
		n.do(playbooks.CommandAnnotate, "lea", run, because("look at this")) // a line, and no other card
		if third := n.one("board/1", "releases"); third.Key != "board/1/3" || n.thread("releases")[1] != "Lea notes: look at this" {
			t.Errorf("the third board is %+v, the thread %q", third, n.thread("releases"))
		}
	})
}

// TestOutage takes the chat away for twelve minutes.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		n.must(n.start())
		defer func() { n.end() }()
		run := n.mustRelease("production")
		var calls atomic.Int64
		n.intercept(func(_ context.Context, c local.Call) error {
			if c.System == "chat" && !c.After {
				calls.Add(1)
				return errors.New("connection refused")
			}
			return nil
		})
		n.do(playbooks.CommandApprove, "lea", run)
		n.do(playbooks.CommandPause, "lea", run, because("lunch"))
		n.do(playbooks.CommandResume, "lea", run)
		n.do(playbooks.CommandApprove, "quinn", run)
		time.Sleep(time.Minute)
		if done := len(n.world.Cluster.Journal()); done != 2+3 {
			t.Errorf("the cluster has %d entries: the engine waits for the chat", done)
		}
		wantContains(t, "the issue", n.world.Tracker.Issues()[0].Comments[0].Text, "Lea approved")
		time.Sleep(11 * time.Minute)
		if calls.Load() > 400 {
			t.Errorf("%d calls in twelve minutes to a chat that is down", calls.Load())
		}
		n.intercept(unbroken)
		n.until(run, playbooks.Status(playbooks.Succeeded))
		time.Sleep(2 * time.Minute)
		for _, channel := range []string{"releases", "shop"} {
			told := n.thread(channel)
			if len(told) != 1 {
				t.Fatalf("the thread is %q, want one message", told)
			}
			wantContains(t, "the backlog", told[0], "Meanwhile", "Lea approved", "Lea paused the run: lunch", "Quinn approved", "Released")
			wantContains(t, "the board", n.board(channel), "released")
		}
	})
}

// limited is a chat's way to say that it was asked too often.
type limited struct{ error }

func (limited) RetryAfter() time.Duration { return 40 * time.Second }

func TestRateLimitIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		n.must(n.start())
		defer func() { n.end() }()
		run := n.mustRelease("production")
		var mu sync.Mutex
		var times []time.Duration
		began := time.Now()
		board := n.one("board/1", "releases")
		n.intercept(func(_ context.Context, c local.Call) error {
			if c.Method != "Update" || c.Key != board.ID || c.After {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, time.Since(began))
			if len(times) < 3 {
				return limited{errors.New("too many requests")}
			}
			return nil
		})
		n.do(playbooks.CommandApprove, "lea", run)
		n.do(playbooks.CommandPause, "lea", run) // changes meanwhile are no reason to come back sooner
		time.Sleep(5 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(times) != 3 || times[1]-times[0] < 40*time.Second || times[2]-times[1] < 40*time.Second {
			t.Errorf("the board was updated after %v", times)
		}
		wantContains(t, "the board", n.board("releases"), "paused")
	})
}

func TestUpdatesKeepThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		n.must(n.start())
		defer func() { n.end() }()
		run := n.mustRelease("production")
		for range 40 {
			for _, kind := range []playbooks.CommandKind{playbooks.CommandPause, playbooks.CommandResume} {
				n.must(n.engine.Do(t.Context(), playbooks.Command{Kind: kind, By: "lea", Run: run}))
				time.Sleep(50 * time.Millisecond)
			}
		}
		pause()
		board := n.one("board/1", "releases")
		var last time.Time
		for _, e := range n.world.Chat.Journal() {
			if e.Kind != local.EntryUpdated || e.ID != board.ID {
				continue
			}
			if gap := e.Time.Sub(last); gap < time.Second {
				t.Errorf("two updates within %v", gap)
			}
			last = e.Time
		}
		wantContains(t, "the board", drawn(board.Card), "waiting for approval")
		if told := n.thread("releases"); len(told) != 80 {
			t.Errorf("%d lines were told, want each of 80", len(told))
		}
	})
}

func TestTroubleIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		var full atomic.Bool
		n.store = mem.New(mem.Options{Before: func(int) mem.Fault {
			if full.Load() {
				return mem.DiskFull
			}
			return mem.None
		}})
		n.must(n.start())
		defer func() { n.end() }()
		run := n.mustRelease("production")
		full.Store(true)
		if err := n.engine.Do(t.Context(), playbooks.Command{Kind: playbooks.CommandApprove, By: "lea", Run: run}); err == nil {
			t.Fatal("approved on a full disk")
		}
		pause()
		wantContains(t, "the board", n.board("releases"), "Cannot save", "no space left on device", "Nothing new begins")
		full.Store(false)
		n.do(playbooks.CommandApprove, "lea", run)
		time.Sleep(5 * time.Minute)
		if board := n.board("releases"); strings.Contains(board, "Cannot save") {
			t.Errorf("the board says still\n%s", board)
		}
	})
}

var stride = flag.Int("stride", 4, "of all places for a fault, try every n-th")

// sabotage is what goes wrong once in a release.
type sabotage struct {
	call      int  // at which call of chat or tracker, from 1
	write     int  // or at which write to the store
	after     bool // after its effect
	survive   bool // only the answer is lost; otherwise the program dies there
	triggered atomic.Bool
}

func (s *sabotage) String() string {
	return fmt.Sprintf("call %d, write %d, after its effect: %v, survived: %v", s.call, s.write, s.after, s.survive)
}

// TestEverythingOnceWhateverBreaks loses the answer to each call of chat and
// tracker in turn, and kills the program before and after each call and each write.
func TestEverythingOnceWhateverBreaks(t *testing.T) {
	kinds := map[string]func(at int) *sabotage{
		"answer lost":   func(at int) *sabotage { return &sabotage{call: at, after: true, survive: true} },
		"never arrived": func(at int) *sabotage { return &sabotage{call: at, survive: true} },
		"killed before": func(at int) *sabotage { return &sabotage{call: at} },
		"killed after":  func(at int) *sabotage { return &sabotage{call: at, after: true} },
		"not saved":     func(at int) *sabotage { return &sabotage{write: at} },
		"saved":         func(at int) *sabotage { return &sabotage{write: at, after: true} },
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			at := 1
			for ; ; at += *stride {
				s := kind(at)
				synctest.Test(t, func(t *testing.T) { playSabotaged(t, s) })
				if t.Failed() {
					t.Fatal(s)
				}
				if !s.triggered.Load() {
					break
				}
			}
			t.Logf("there are about %d places for it", at)
			if at < 30 {
				t.Errorf("only %d: the test does not see everything", at)
			}
		})
	}
}

// playSabotaged plays a release with a failure and a retry in it.
func playSabotaged(t *testing.T, s *sabotage) {
	n := newNewsroom(t, local.Fault{Module: "api", Kind: local.Flaky})
	n.store = mem.New(mem.Options{Before: func(write int) mem.Fault {
		if write != s.write || !s.triggered.CompareAndSwap(false, true) {
			return mem.None
		}
		if s.after {
			return mem.CrashAfter
		}
		return mem.CrashBefore
	}})
	calls := 0
	var mu sync.Mutex
	n.intercept(func(_ context.Context, c local.Call) error {
		mu.Lock()
		defer mu.Unlock()
		if c.System != "chat" && c.System != "tracker" || c.After != s.after || s.triggered.Load() {
			return nil
		}
		if calls++; calls != s.call {
			return nil
		}
		s.triggered.Store(true)
		if !s.survive {
			n.store.Crash()
		}
		return errors.New("the connection broke")
	})
	if err := n.start(); err != nil {
		n.store = n.store.Reopen()
		n.must(n.start())
	}
	defer func() { n.end() }()
	restarted := s.survive
	for range 3000 {
		if s.triggered.Load() && !restarted {
			restarted = true
			n.restart()
		}
		if over, err := n.push(); over && err == nil && !n.unfinished() {
			break
		}
		time.Sleep(time.Second)
	}
	n.checkOnce()
}

// push does what people do to get the release done, and reports whether it is.
func (n *newsroom) push() (over bool, err error) {
	run := "1"
	if runs, err := n.engine.History(context.Background(), 1); err != nil {
		return false, err
	} else if len(runs) == 0 {
		if run, err = n.release("production"); err != nil {
			return false, err
		}
	}
	command := func(kind playbooks.CommandKind, by string) {
		err = errors.Join(err, n.engine.Do(context.Background(), playbooks.Command{Kind: kind, By: by, Run: run, Via: "chat", Cause: string(kind) + by}))
	}
	s, err := n.status(run)
	switch {
	case err != nil:
	case s == playbooks.StatusWaiting:
		command(playbooks.CommandApprove, "lea")
		command(playbooks.CommandApprove, "quinn")
	case s == playbooks.StatusHeld:
		command(playbooks.CommandRetry, "dev")
	}
	return s == playbooks.Status(playbooks.Succeeded), err
}

func (n *newsroom) unfinished() bool {
	keys, err := n.notes()
	return err != nil || slices.ContainsFunc(keys, func(key string) bool { return strings.HasPrefix(key, "bot/open/") })
}

// checkOnce checks that everything is there, once.
func (n *newsroom) checkOnce() {
	n.t.Helper()
	if n.unfinished() {
		n.t.Error("the reports are not final")
	}
	seen := make(map[string]int)
	for _, m := range n.world.Chat.Messages("") {
		seen[m.Channel+" "+m.Key]++
		if len(m.Card.Actions) > 0 {
			n.t.Errorf("%s in %s has buttons still:\n%s", m.Key, m.Channel, drawn(m.Card))
		}
	}
	issues := n.world.Tracker.Issues()
	if len(issues) != 1 || issues[0].Status != "released" {
		n.t.Fatalf("the issues are %+v, want one that is released", issues)
	}
	for _, c := range issues[0].Comments {
		seen["comment "+c.Marker]++
	}
	for what, times := range seen {
		if times != 1 {
			n.t.Errorf("%s is there %d times", what, times)
		}
	}
	have := slices.Sorted(maps.Keys(seen))
	for _, channel := range []string{"releases", "shop"} {
		for _, key := range []string{"board/1", "notify/1"} {
			if count := count(have, channel+" "+key); count != 1 {
				n.t.Errorf("%d of %s in %s", count, key, channel)
			}
		}
		// None, where everybody had agreed before it could be posted.
		if count := count(have, channel+" request/1/approve/"); count > 1 {
			n.t.Errorf("%d requests in %s", count, channel)
		}
		if got, want := count(have, channel+" event/1/"), n.noteworthy(); got != want {
			n.t.Errorf("%d lines in the thread of %s, want %d: %q", got, channel, want, n.thread(channel))
		}
	}
	if got, want := count(have, "comment 1/"), n.noteworthy(); got != want {
		n.t.Errorf("%d comments, want %d", got, want)
	}
}

// noteworthy counts what there is to tell of run 1.
func (n *newsroom) noteworthy() (events int) {
	n.must(n.engine.Events(context.Background(), "1", 1, func(_ uint64, e playbooks.Event) error {
		switch e.Type {
		case playbooks.EventFailed:
			if !e.Absent || strings.HasPrefix(e.Step, "deploy:") { // the announcement changes nothing
				events++
			}
		case playbooks.EventRetried:
			if e.By != "" {
				events++
			}
		case playbooks.EventApproved, playbooks.EventCompleted:
			events++
		}
		return nil
	}))
	return events
}

func count(keys []string, prefix string) (n int) {
	for _, key := range keys {
		if strings.HasPrefix(key, prefix) {
			n++
		}
	}
	return n
}

// TestReportersStartAndStop starts and stops the reporters while the runs go on.
func TestReportersStartAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		n.must(n.start())
		defer func() { n.end() }()
		run := n.mustRelease("production")
		for i := range 30 {
			n.restart()
			n.must(n.engine.Do(t.Context(), playbooks.Command{Kind: playbooks.CommandAnnotate, By: "lea", Run: run, Reason: fmt.Sprint("note ", i)}))
			time.Sleep(time.Duration(i*137%400) * time.Millisecond)
		}
		time.Sleep(time.Minute)
		if told := n.thread("releases"); len(told) != 30 || told[29] != "Lea notes: note 29" {
			t.Errorf("the thread is %q", told)
		}
		n.one("board/1", "releases")
	})
}
