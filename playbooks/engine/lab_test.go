package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/mem"
)

// lab is an engine with the embedded world around it. Close and start again is
// what a restart of the program is.
type lab struct {
	t       testing.TB
	store   *mem.Store
	world   *local.World
	catalog *playbooks.Catalog
	timing  engine.Timing
	wrap    map[playbooks.StepKind]func(steps.Runner) steps.Runner
	engine  *engine.Engine
	causes  int

	deployer steps.Deployer // nil: the world's cluster
	changed  func(run string)
}

// shop is a small catalog: web needs api, api needs db; two people may approve.
func shop() *playbooks.Catalog {
	return &playbooks.Catalog{
		Environments: []playbooks.Environment{
			{Name: "staging", Approvals: &playbooks.ApprovalPolicy{None: true}},
			{Name: "production", Approvals: &playbooks.ApprovalPolicy{
				Rules:    []playbooks.ApprovalRule{{Group: "leads", Count: 1}, {Group: "qa", Count: 1}},
				Distinct: true, ExcludeRequester: true, ValidFor: time.Hour,
			}},
		},
		Modules: []playbooks.Module{
			{Name: "db", Version: "v1.0.0"},
			{Name: "api", Version: "v2.0.0", Needs: []playbooks.Need{{Module: "db"}}},
			{Name: "web", Version: "v3.0.0", Needs: []playbooks.Need{{Module: "api"}}},
		},
		People: []playbooks.Person{{ID: "dev", Name: "Dev"}, {ID: "lea", Name: "Lea"}, {ID: "quinn", Name: "Quinn"}, {ID: "both", Name: "Both"}, {ID: "eve", Name: "Eve"}},
		Groups: []playbooks.Group{{Name: "leads", Members: []string{"lea", "both"}}, {Name: "qa", Members: []string{"quinn", "both"}}},
		Access: []playbooks.Access{{Who: []string{"dev", "lea"}, Role: playbooks.Operator}, {Who: []string{"quinn", "both"}, Role: playbooks.Viewer}},
	}
}

func newLab(t testing.TB, catalog *playbooks.Catalog, options local.Options) *lab {
	t.Helper()
	world, err := local.Open("", options)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, store: mem.New(mem.Options{}), world: world, catalog: catalog}
	return l
}

func (l *lab) ports() steps.Ports {
	deployer := l.deployer
	if deployer == nil {
		deployer = l.world.Cluster
	}
	return steps.Ports{
		Deployers: map[string]steps.Deployer{"": deployer},
		Gates:     map[string]steps.Gater{"pipeline": l.world.Forge},
		Jobs:      map[string]steps.Runner{"": l.world.Forge},
		Notify:    announced{},
		Catalog:   func() *playbooks.Catalog { return l.catalog },
	}
}

// announced is a notification that always arrives.
type announced struct{}

func (announced) Start(context.Context, steps.Order) (steps.Report, error) {
	return steps.Report{Phase: steps.Succeeded}, nil
}
func (announced) Look(context.Context, steps.Order) (steps.Report, error) {
	return steps.Report{Phase: steps.Succeeded}, nil
}
func (announced) Stop(context.Context, steps.Order) error { return nil }

// failOnce gives the lab a new store. When the switch is on, the next write fails like
// that and turns it off.
func (l *lab) failOnce(fault mem.Fault) *atomic.Bool {
	armed := new(atomic.Bool)
	l.store = mem.New(mem.Options{Before: func(int) mem.Fault {
		if armed.CompareAndSwap(true, false) {
			return fault
		}
		return mem.None
	}})
	return armed
}

// failWhile gives the lab a new store. While the switch is on, every write fails
// like that.
func (l *lab) failWhile(fault mem.Fault) *atomic.Bool {
	on := new(atomic.Bool)
	l.store = mem.New(mem.Options{Before: func(int) mem.Fault {
		if on.Load() {
			return fault
		}
		return mem.None
	}})
	return on
}

// start opens the engine and lets it drive.
func (l *lab) start() *lab {
	l.t.Helper()
	if err := l.open(); err != nil {
		l.t.Fatal(err)
	}
	return l
}

func (l *lab) open() error {
	runners := l.ports().Runners()
	for kind, wrap := range l.wrap {
		runners[kind] = wrap(runners[kind])
	}
	e, err := engine.Open(context.Background(), engine.Options{
		Logs: store.NewLogs(l.store), Runners: runners, Facts: l.ports().Facts(l.world.Forge),
		Policy: playbooks.NewPolicy(l.catalog), Timing: l.timing, Changed: l.changed,
	})
	if err != nil {
		return err
	}
	l.engine = e
	e.Resume()
	return nil
}

// restart kills the engine and starts another on the same store.
func (l *lab) restart() {
	l.t.Helper()
	l.engine.Stop()
	l.store = l.store.Reopen()
	l.start()
}

func (l *lab) plan(environment string, modules ...string) *playbooks.Playbook {
	l.t.Helper()
	request := playbooks.Request{Environment: environment, All: len(modules) == 0}
	for _, m := range modules {
		name, version, _ := strings.Cut(m, "@")
		request.Modules = append(request.Modules, playbooks.ModuleRef{Name: name, Version: version})
	}
	pb, err := l.engine.Plan(l.t.Context(), request)
	if err != nil {
		l.t.Fatal(err)
	}
	return pb
}

func (l *lab) release(by, environment string, modules ...string) string {
	l.t.Helper()
	run, err := l.engine.Start(l.t.Context(), playbooks.Command{Kind: playbooks.CommandStart, By: by, Digest: l.plan(environment, modules...).Digest})
	if err != nil {
		l.t.Fatal(err)
	}
	return run
}

func (l *lab) command(kind playbooks.CommandKind, by, run string) playbooks.Command {
	l.causes++
	return playbooks.Command{Kind: kind, By: by, Run: run, Cause: fmt.Sprintf("test/%d", l.causes)}
}

func (l *lab) do(kind playbooks.CommandKind, by, run string, change ...func(*playbooks.Command)) error {
	l.t.Helper()
	c := l.command(kind, by, run)
	for _, f := range change {
		f(&c)
	}
	return l.engine.Do(l.t.Context(), c)
}

func (l *lab) must(kind playbooks.CommandKind, by, run string, change ...func(*playbooks.Command)) {
	l.t.Helper()
	if err := l.do(kind, by, run, change...); err != nil {
		l.t.Fatalf("%s by %s: %v", kind, by, err)
	}
}

func step(id string) func(*playbooks.Command) {
	return func(c *playbooks.Command) { c.Step = id }
}

func because(reason string) func(*playbooks.Command) {
	return func(c *playbooks.Command) { c.Reason = reason }
}

func (l *lab) status(run string) playbooks.Status {
	l.t.Helper()
	var s playbooks.Status
	l.view(run, func(v engine.View) { s = v.Run.Status() })
	return s
}

func (l *lab) view(run string, fn func(engine.View)) {
	l.t.Helper()
	if err := l.engine.View(l.t.Context(), run, func(v engine.View) error { fn(v); return nil }); err != nil {
		l.t.Fatal(err)
	}
}

// why is what people would be told.
func (l *lab) why(run string) string {
	l.t.Helper()
	text := ""
	l.view(run, func(v engine.View) {
		for _, w := range playbooks.Explain(v.Run, v.Environment, v.Policy, "", v.Now) {
			text += w.String() + "\n"
		}
	})
	return text
}

// until lets time pass until the run has that status.
func (l *lab) until(run string, status playbooks.Status, atMost time.Duration) {
	l.t.Helper()
	for end := time.Now().Add(atMost); l.status(run) != status; {
		if time.Now().After(end) {
			l.t.Fatalf("run %s is %s after %v, want %s:\n%s", run, l.status(run), atMost, status, l.why(run))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// deployed returns the rollouts that the cluster began, in order, as "action
// module version".
func (l *lab) deployed() []string {
	var all []string
	for _, e := range l.world.Cluster.Journal() {
		if e.Kind == local.EntryStarted {
			all = append(all, fmt.Sprintf("%s %s %s", e.Action, e.Place.Module, e.Version))
		}
	}
	return all
}

func (l *lab) wantDeployed(want ...string) {
	l.t.Helper()
	if got := l.deployed(); !slices.Equal(got, want) {
		l.t.Errorf("the cluster did\n%q\nwant\n%q", got, want)
	}
}
