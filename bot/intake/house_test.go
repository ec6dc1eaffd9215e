package intake_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/builds"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/bot/intake"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/mem"
)

// shop is a catalog of a few modules: web needs api needs db, and lib is by itself.
func shop(rules ...playbooks.Rule) *playbooks.Catalog {
	need := func(name string) []playbooks.Need {
		return []playbooks.Need{{Module: name, Kind: playbooks.NeedDeploy}}
	}
	return &playbooks.Catalog{
		Modules: []playbooks.Module{
			{Name: "db", Source: "shop/db", Version: "v1.0.0"},
			{Name: "api", Source: "git.example/shop/api", Needs: need("db"), Version: "v1.0.0", Labels: map[string]string{"component": "Payments"}},
			{Name: "web", Source: "https://git.example/shop/mono.git", TagPrefix: "web/", Needs: need("api"), Version: "v1.0.0", Labels: map[string]string{"service": "frontend"}},
			{Name: "all", Source: "shop/mono", TagPrefix: "all/", Version: "v1.0.0"},
			{Name: "lib", Source: "shop/mono", Version: "v1.0.0"},
		},
		Environments: []playbooks.Environment{
			{Name: "staging", Approvals: &playbooks.ApprovalPolicy{None: true}, Channels: []string{"#staging"}},
			{Name: "production", Approvals: &playbooks.ApprovalPolicy{Rules: []playbooks.ApprovalRule{{Group: "leads", Count: 1}}}, Channels: []string{"#production"}},
			{Name: "strict", Approvals: &playbooks.ApprovalPolicy{None: true}, Channels: []string{"#strict"}, OnlyRegistered: true},
		},
		People: []playbooks.Person{
			{ID: "robot", Name: "Robot"}, {ID: "guest"},
			{ID: "ann", Name: "Ann", Handles: map[string]string{"jira": "ann-account"}},
			{ID: "bob", Name: "Bob", Handles: map[string]string{"jira": "bob-account"}},
		},
		Groups: []playbooks.Group{{Name: "leads", Members: []string{"ann"}}},
		Access: []playbooks.Access{{Who: []string{"robot", "ann"}, Role: playbooks.Admin}, {Who: []string{"bob"}, Role: playbooks.Viewer}},
		Rules:  rules,
	}
}

func rule(name, on string, do playbooks.RuleAction, to string, where ...string) playbooks.Rule {
	source, kind, _ := strings.Cut(on, " ")
	r := playbooks.Rule{Name: name, Source: source, Kind: kind, Do: do, To: to, As: "robot"}
	for i := 0; i+1 < len(where); i += 2 {
		if r.Where == nil {
			r.Where = make(map[string]string)
		}
		r.Where[where[i]] = where[i+1]
	}
	return r
}

func tag(project, name string) events.Event {
	return events.Event{
		ID: "delivery-" + project + name, Source: "gitlab", Kind: events.Tag, Subject: project, Fact: "tag " + project + " " + name,
		From: "ann", Fields: map[string]string{"project": project, "tag": name, "commit": "c1"}, Link: "https://git.example/" + project + "/-/tags/" + name,
	}
}

func push(project, commit string) events.Event {
	return events.Event{
		ID: "delivery-" + commit, Source: "gitlab", Kind: events.Push, Subject: project, Fact: "push " + project + " " + commit,
		From: "ann", Fields: map[string]string{"project": project, "branch": "main", "commit": commit},
	}
}

func pipeline(project, commit, id string) events.Event {
	return events.Event{
		ID: "delivery-pipeline-" + id, Source: "gitlab", Kind: events.Pipeline, Subject: project + " pipeline", Fact: "pipeline " + id,
		Fields: map[string]string{"project": project, "commit": commit, "pipeline": id, "status": "success"},
	}
}

func alert(kind events.Kind, module string, at time.Time, id string) events.Event {
	return events.Event{
		ID: id, Source: "alertmanager", Kind: kind, Subject: "alert " + module, Fact: "fp-" + module + at.Format(time.RFC3339), At: at,
		Fields: map[string]string{"alert": "HighErrors", "fingerprint": "fp-" + module, "label.service": module},
	}
}

// forge is an origin that tests break.
type forge struct {
	mu       sync.Mutex
	err      error
	confirm  func(events.Event) (events.Event, bool, error)
	missed   []events.Event
	since    []time.Time
	confirms int
	built    map[string][]playbooks.BuildState // by pipeline
}

func (f *forge) Confirm(_ context.Context, e events.Event) (events.Event, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.confirms++
	if f.err != nil {
		return e, false, f.err
	}
	if f.confirm != nil {
		return f.confirm(e)
	}
	return e, true, nil
}

func (f *forge) Missed(_ context.Context, since time.Time) ([]events.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	f.since = append(f.since, since)
	return f.missed, nil
}

func (f *forge) builds(_ context.Context, e events.Event) ([]playbooks.BuildState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.built[e.Fields["pipeline"]], f.err
}

func (f *forge) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// house is Muster with an engine and a bot, in a synctest bubble, and with systems
// around it that survive when it crashes.
type house struct {
	t       *testing.T
	world   *local.World
	store   *mem.Store
	catalog *playbooks.Catalog
	forge   *forge
	backlog int

	engine   *engine.Engine
	registry *builds.Registry
	in       *intake.Intake
	end      func()
	log      syncLog

	mu       sync.Mutex
	chatErr  error
	signals  []string
	back     []string
	lines    []bot.Line
	executed func(*bot.Answer) // what becomes of the answer to a line; nil: nothing
	fault    atomic.Pointer[func(n int) mem.Fault]
}

type syncLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *syncLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *syncLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func inHouse(t *testing.T, catalog *playbooks.Catalog, fn func(t *testing.T, h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, catalog)
		h.start()
		defer func() { h.stop() }()
		fn(t, h)
	})
}

func newHouse(t *testing.T, catalog *playbooks.Catalog) *house {
	h := &house{t: t, catalog: catalog, forge: &forge{built: make(map[string][]playbooks.BuildState)}}
	h.store = mem.New(mem.Options{Before: func(n int) mem.Fault {
		if f := h.fault.Load(); f != nil {
			return (*f)(n)
		}
		return mem.None
	}})
	world, err := local.Open("", local.Options{
		Takes: func(steps.Order) time.Duration { return 2 * time.Second },
		Intercept: func(_ context.Context, c local.Call) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if c.System == "chat" && !c.After {
				return h.chatErr
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.world = world
	for _, env := range catalog.Environments {
		for _, m := range catalog.Modules {
			if err := world.Cluster.Seed(playbooks.Place{Environment: env.Name, Module: m.Name}, "v1.0.0", time.Now()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return h
}

func (h *house) start() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	logs := store.NewLogs(h.store)
	h.registry = builds.New(logs)
	ports := steps.Ports{
		Deployers: map[string]steps.Deployer{"": h.world.Cluster}, Jobs: map[string]steps.Runner{"": h.world.Forge},
		Notify: bot.NewNotifier(h.world.Chat, logs, func(string) []string { return []string{"#ends"} }),
	}
	e, err := engine.Open(ctx, engine.Options{Logs: logs, Runners: ports.Runners(), Facts: ports.Facts(h.registry), Policy: playbooks.NewPolicy(h.catalog)})
	if err != nil {
		h.t.Fatal(err)
	}
	e.Resume()
	h.engine = e
	b := bot.New(bot.Options{Engine: e, Logs: logs, Chat: h.world.Chat, System: "chat", Builds: h.registry, Zone: time.UTC})
	h.in, err = intake.Open(ctx, intake.Options{
		Logs: logs, Policy: e.Policy, Started: e.StartedBy, Chat: h.world.Chat, Builds: h.registry, Backlog: h.backlog,
		Execute: func(ctx context.Context, l bot.Line) bot.Answer {
			h.mu.Lock()
			h.lines = append(h.lines, l)
			executed := h.executed
			h.mu.Unlock()
			answer := b.Execute(ctx, l)
			if executed != nil {
				executed(&answer)
			}
			return answer
		},
		Runs: func(ctx context.Context) ([]intake.Run, error) {
			var all []intake.Run
			for _, id := range e.OpenRuns() {
				err := e.View(ctx, id, func(v engine.View) error {
					run := intake.Run{ID: id, Environment: v.Run.Environment, Paused: v.Run.Paused != nil, Back: v.Run.RollingBack || v.Run.Aborting != nil}
					for _, m := range v.Run.Book.Modules {
						run.Modules = append(run.Modules, m.Name)
					}
					all = append(all, run)
					return nil
				})
				if err != nil {
					return nil, err
				}
			}
			return all, nil
		},
		Signal: func(modules ...string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.signals = append(h.signals, modules...)
		},
		Sources: map[string]intake.Source{
			"gitlab": {Origin: h.forge, Builds: h.forge.builds},
			"jira": {Moves: &intake.Moves{
				Approve: "Approved", Reject: "Rejected", People: bot.Handles{System: "jira", Policy: e.Policy},
				Self: func(account string) bool { return account == "muster-account" },
				MoveBack: func(_ context.Context, issue, status, why string) error {
					h.mu.Lock()
					defer h.mu.Unlock()
					h.back = append(h.back, fmt.Sprintf("%s to %s: %s", issue, status, why))
					return nil
				},
			}},
		},
		Log: slog.New(slog.NewTextHandler(&h.log, nil)),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := h.in.Run(ctx); err != nil {
			h.t.Errorf("Run says %v", err)
		}
	})
	h.end = func() {
		cancel()
		running.Wait()
		e.Stop()
	}
}

// stop kills Muster.
func (h *house) stop() {
	h.store.Crash()
	h.end()
}

func (h *house) restart() {
	h.stop()
	h.store = h.store.Reopen()
	h.start()
}

// spoken are the lines that were executed.
func (h *house) spoken() []bot.Line {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines)
}

func (h *house) movedBack() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.back, "\n")
}

func (h *house) signalled() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.signals, " ")
}

func (h *house) breakChat(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.chatErr = err
}

func (h *house) take(all ...events.Event) {
	h.t.Helper()
	if err := h.in.Take(h.t.Context(), all...); err != nil {
		h.t.Fatal(err)
	}
}

// runs are what the runs that there are have released, oldest first.
func (h *house) runs() []string {
	h.t.Helper()
	history, err := h.engine.History(h.t.Context(), 100)
	if err != nil {
		h.t.Fatal(err)
	}
	var all []string
	for _, s := range slices.Backward(history) {
		all = append(all, strings.Join(s.Modules, " ")+" to "+s.Environment)
	}
	return all
}

func (h *house) wantRuns(want ...string) {
	h.t.Helper()
	synctest.Wait()
	if got := h.runs(); !slices.Equal(got, want) {
		h.t.Errorf("the runs are %q, want %q\n%s", got, want, h.log.String())
	}
}

// heard is what rules have said in a channel.
func (h *house) heard(channel string) []string {
	synctest.Wait()
	var all []string
	for _, m := range h.world.Chat.Messages(channel) {
		if strings.HasPrefix(m.Key, "rule/") {
			all = append(all, m.Card.Text)
		}
	}
	return all
}

// wantHeard compares what was said in a channel with the beginnings of what ought to be.
func (h *house) wantHeard(channel string, want ...string) {
	h.t.Helper()
	got := h.heard(channel)
	fits := len(got) == len(want)
	for i := range got {
		fits = fits && strings.Contains(got[i], want[i])
	}
	if !fits {
		h.t.Errorf("in %s is said %q, want %q\n%s", channel, got, want, h.log.String())
	}
}

func (h *house) wantLog(want string) {
	h.t.Helper()
	synctest.Wait()
	if !strings.Contains(h.log.String(), want) {
		h.t.Errorf("%q is not in the log:\n%s", want, h.log.String())
	}
}

func (h *house) view(run string) (paused string, notes []string) {
	h.t.Helper()
	err := h.engine.View(h.t.Context(), run, func(v engine.View) error {
		if v.Run.Paused != nil {
			paused = v.Run.Paused.Reason
		}
		for _, n := range v.Run.Notes {
			notes = append(notes, n.Text)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return paused, notes
}

func (h *house) keys(prefix string) (n int) {
	h.t.Helper()
	for _, err := range store.NewLogs(h.store).Keys(h.t.Context(), prefix) {
		if err != nil {
			h.t.Fatal(err)
		}
		n++
	}
	return n
}

func (h *house) say(by, text string) {
	h.t.Helper()
	b := bot.New(bot.Options{Engine: h.engine, Logs: store.NewLogs(h.store), Chat: h.world.Chat, System: "chat", Zone: time.UTC})
	if a := b.Execute(h.t.Context(), bot.Line{By: by, Via: "chat", Text: text}); a.Err != nil {
		h.t.Fatalf("%s: %v", text, a.Err)
	}
}

type busy struct{ time.Duration }

func (busy) Error() string               { return "too many requests" }
func (b busy) RetryAfter() time.Duration { return b.Duration }

type denied struct{}

func (denied) Error() string   { return "not found" }
func (denied) Permanent() bool { return true }

var errDown = errors.New("connection refused")

var _ chat.Poster = (*intake.Previews)(nil)
