package engine_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/mem"
)

var (
	seeds = flag.Int("seeds", 200, "how many seeds TestSimulation plays")
	seed  = flag.Uint64("seed", 0, "the one seed that TestSimulation plays; 0: all")
	story = flag.Uint64("story", 2, "the seed that TestEveryPointInTurn plays")
)

// errInjected is what a port call answers that a simulation lets fail.
var errInjected = errors.New("connection reset by peer")

// hit is one fault at one numbered point.
type hit struct {
	write int // the n-th write to the store, or
	call  int // the n-th call of a port
	mem   mem.Fault
	after bool // of a call: after its effect
	crash bool // of a call: the program dies there
}

// simulation is a random story: a catalog, people and accidents, all drawn from
// the seed and from names, never from the order in which things happen to run.
type simulation struct {
	*lab
	seed   uint64
	faults bool   // accidents beside the hit
	fails  string // a module that fails for good
	hit    hit

	mu      sync.Mutex
	writes  int
	calls   int
	seen    map[string]int
	crashes int
	ends    map[playbooks.Outcome]int
	said    map[string]playbooks.Command // approvals that were acknowledged, by cause
}

// draw is a number from 0 to n-1 that depends on the seed and on words alone.
func (s *simulation) draw(n int, words ...any) int {
	h := fnv.New64a()
	fmt.Fprint(h, words...)
	return rand.New(rand.NewPCG(s.seed, h.Sum64())).IntN(n)
}

func (s *simulation) chance(percent int, words ...any) bool {
	return s.draw(100, words...) < percent
}

// story makes the catalog.
func (s *simulation) story() *playbooks.Catalog {
	c := shop()
	c.Cycles = playbooks.ReleaseTogether
	c.Modules = nil
	n := 3 + s.draw(6, "modules")
	for i := range n {
		m := playbooks.Module{Name: fmt.Sprintf("m%d", i), Version: "v1.0.0", Irreversible: s.chance(5, "final", i)}
		for j := range n {
			if j < i && s.chance(30, "need", i, j) || j > i && s.chance(3, "back", i, j) {
				kind := []playbooks.NeedKind{playbooks.NeedDeploy, playbooks.NeedDeploy, playbooks.NeedBuild, playbooks.NeedTest}[s.draw(4, "kind", i, j)]
				m.Needs = append(m.Needs, playbooks.Need{Module: fmt.Sprintf("m%d", j), Kind: kind})
			}
		}
		d := playbooks.Delivery{Retries: s.draw(2, "retries", i)}
		if s.chance(25, "canary", i) {
			d.Strategy = playbooks.Strategy{Kind: playbooks.Canary, Stages: []playbooks.CanaryStage{{Share: 20, Bake: 30 * time.Second}}}
		}
		if s.chance(25, "migrates", i) {
			d.Migration = &playbooks.Job{Irreversible: s.chance(30, "final migration", i)}
		}
		if s.chance(25, "tests", i) {
			d.Tests = []playbooks.Job{{Name: "smoke"}}
		}
		if s.chance(25, "publishes", i) {
			d.Publish = &playbooks.Job{}
		}
		m.Deploy = map[string]playbooks.Delivery{"": d}
		c.Modules = append(c.Modules, m)
	}
	e := &c.Environments[1]
	if s.chance(30, "targets") {
		e.Targets = []string{"eu", "us"}
	}
	e.Limit = s.draw(4, "limit")
	e.OnFailure = []playbooks.OnFailure{playbooks.Hold, playbooks.FinishIndependent, playbooks.RollBack}[s.draw(3, "on failure")]
	e.AutoRollback = s.chance(50, "auto")
	e.Approvals.ValidFor = time.Duration(5+s.draw(60, "valid")) * time.Minute
	c.Access[0].Role = playbooks.Admin
	return c
}

// before decides about a write.
func (s *simulation) before(n int) mem.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = n
	if n == s.hit.write {
		return s.hit.mem
	}
	if s.faults && s.chance(4, "write", n) {
		return []mem.Fault{mem.CrashBefore, mem.CrashAfter, mem.LostAnswer, mem.LostWrite, mem.DiskFull}[s.draw(5, "how", n)]
	}
	return mem.None
}

// intercept decides about a call of a port.
func (s *simulation) intercept(ctx context.Context, c local.Call) error {
	s.mu.Lock()
	if !c.After {
		s.calls++
	}
	// The first part of an order's key is this installation's random name.
	name := fmt.Sprint(c.System, c.Method, c.Key[strings.Index(c.Key, "/")+1:], c.After)
	s.seen[name]++
	name = fmt.Sprint(name, s.seen[name])
	hit := c.N == s.hit.call && c.After == s.hit.after
	s.mu.Unlock()
	switch {
	case hit && s.hit.crash:
		s.store.Crash()
		return errInjected
	case hit:
		return errInjected
	case !s.faults:
	case s.chance(2, "fails", name):
		return errInjected
	case s.chance(1, "hangs", name):
		<-ctx.Done()
		return ctx.Err()
	case s.chance(1, "dies", name):
		s.store.Crash()
		return errInjected
	case s.chance(10, "slow", name):
		time.Sleep(time.Duration(s.draw(20, "how slow", name)) * time.Second)
	}
	return nil
}

// play tells the story to its end and checks it.
func (s *simulation) play(t *testing.T) {
	s.seen, s.said, s.ends = make(map[string]int), make(map[string]playbooks.Command), make(map[playbooks.Outcome]int)
	s.lab = newLab(t, s.story(), local.Options{
		Intercept: s.intercept,
		Takes: func(o steps.Order) time.Duration {
			return time.Duration(1+s.draw(90, "takes", o.Key[12:])) * time.Second
		},
	})
	s.store = mem.New(mem.Options{Before: s.before})
	for i := range s.catalog.Modules {
		m := &s.catalog.Modules[i]
		if s.faults && s.chance(8, "accident", m.Name) {
			kinds := []local.FaultKind{local.Fail, local.Flaky, local.Unhealthy, local.Lost, local.Stuck}
			s.world.Inject(local.Fault{Module: m.Name, Kind: kinds[s.draw(len(kinds), "which", m.Name)]})
		}
		if s.chance(70, "was there", m.Name) {
			for _, p := range s.catalog.Places(&s.catalog.Environments[1], m) {
				if err := s.world.Cluster.Seed(p, "v0.9.0", time.Now().Add(-time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if s.fails != "" {
		s.world.Inject(local.Fault{Module: s.fails, Kind: local.Fail})
		s.catalog.Environments[1].OnFailure = playbooks.RollBack
	}
	s.reopen()
	defer func() { s.engine.Stop() }()
	wanted := 1 + s.draw(2, "releases")
	started := 0
	for tick := 0; tick < 2000; tick++ {
		if s.down() {
			s.crashes++
			s.engine.Stop()
			s.store = s.store.Reopen()
			s.check(t)
			s.reopen()
		}
		if started < wanted {
			if s.begin(started) {
				started++
			}
		} else if len(s.engine.OpenRuns()) == 0 {
			break
		}
		s.people(tick)
		time.Sleep(11 * time.Second)
	}
	if s.down() {
		s.store = s.store.Reopen()
	} else {
		s.endings(t)
	}
	s.check(t)
}

// endings checks that every run is over, or says what it waits for.
func (s *simulation) endings(t *testing.T) {
	runs, err := s.engine.History(context.Background(), 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range runs {
		s.ends[run.Outcome]++
		if run.Outcome == "" && !s.moves(run.Run) {
			t.Errorf("seed %d: run %s is %s, and nobody can do anything about it:\n%s", s.seed, run.Run, s.status(run.Run), s.why(run.Run))
		}
	}
}

// moves reports whether somebody can do something about an open run, or
// something is due by itself. A run in the queue moves when another one does.
func (s *simulation) moves(run string) bool {
	found := false
	if s.status(run) == playbooks.StatusQueued {
		return slices.ContainsFunc(s.engine.OpenRuns(), func(other string) bool {
			return s.status(other) != playbooks.StatusQueued && s.moves(other)
		})
	}
	s.view(run, func(v engine.View) {
		for _, w := range playbooks.Explain(v.Run, v.Environment, v.Policy, "", v.Now) {
			found = found || len(w.Words) > 0 || w.Until.After(v.Now)
		}
	})
	return found
}

func (s *simulation) down() bool {
	err := s.store.View(context.Background(), func(store.Reader) error { return nil })
	return err != nil
}

// reopen starts the engine, over and over where it dies at once.
func (s *simulation) reopen() {
	for {
		err := s.open()
		if err == nil {
			return
		}
		if s.down() {
			s.crashes++
			s.store = s.store.Reopen()
		}
		time.Sleep(time.Second)
	}
}

// begin starts a release; it may have to be tried again.
func (s *simulation) begin(i int) bool {
	ctx := context.Background()
	request := playbooks.Request{Environment: "production"}
	for k := range s.catalog.Modules {
		if i == 0 || s.chance(50, "again", i, k) {
			request.Modules = append(request.Modules, playbooks.ModuleRef{Name: s.catalog.Modules[k].Name, Version: fmt.Sprintf("v1.%d.0", i)})
		}
	}
	pb, err := s.engine.Plan(ctx, request)
	var refused *playbooks.PlanError
	if errors.As(err, &refused) || len(request.Modules) == 0 {
		return true // what it needs is not there: a story without this release
	}
	if err != nil {
		return false
	}
	_, err = s.engine.Start(ctx, playbooks.Command{By: "dev", Digest: pb.Digest, Cause: fmt.Sprint("begin/", i)})
	return err == nil
}

// people look at what is open and do what people do.
func (s *simulation) people(tick int) {
	for _, run := range s.engine.OpenRuns() {
		var commands []playbooks.Command
		err := s.engine.View(context.Background(), run, func(v engine.View) error {
			for _, a := range v.Run.OpenApprovals() {
				commands = append(commands, s.answer(v, a, tick)...)
			}
			switch v.Run.Status() {
			case playbooks.StatusHeld, playbooks.StatusPaused, playbooks.StatusAborting:
				commands = append(commands, s.mend(v, tick)...)
			}
			return nil
		})
		if err != nil {
			continue
		}
		for i, c := range commands {
			c.Run, c.Cause = run, fmt.Sprint("people/", run, "/", tick, "/", i)
			if s.engine.Do(context.Background(), c) == nil && c.Kind == playbooks.CommandApprove {
				s.said[c.Cause] = c
			}
		}
	}
}

func (s *simulation) answer(v engine.View, a *playbooks.Approval, tick int) []playbooks.Command {
	var commands []playbooks.Command
	people := []string{"lea", "quinn"}
	if a.Step == "approve-rollback" {
		people = []string{"dev"}
	}
	for _, who := range people {
		c := playbooks.Command{Kind: playbooks.CommandApprove, By: who, Step: a.Step, Digest: v.Run.Book.Digest}
		switch {
		case s.chance(3, "rejects", who, tick):
			c.Kind, c.Reason = playbooks.CommandReject, "not today"
		case s.chance(5, "thinks twice", who, tick):
			c.Kind = playbooks.CommandUnapprove
		case !s.chance(40, "answers", who, tick):
			continue
		}
		commands = append(commands, c)
	}
	return commands
}

// mend is what an operator does about a run that stands still.
func (s *simulation) mend(v engine.View, tick int) []playbooks.Command {
	if v.Run.Paused != nil {
		return []playbooks.Command{{Kind: playbooks.CommandResume, By: "dev"}}
	}
	for _, step := range v.Run.StuckSteps() {
		p := v.Run.Progress(step.ID)
		if p.State == playbooks.Unknown {
			return []playbooks.Command{{Kind: playbooks.CommandConfirm, By: "dev", Step: step.ID, Outcome: s.truth(p.Key)}}
		}
		switch pick := s.draw(100, "mends", v.Run.ID, step.ID, p.Attempt, tick); {
		case pick < 50:
			return []playbooks.Command{{Kind: playbooks.CommandRetry, By: "dev", Step: step.ID}}
		case pick < 60:
			return []playbooks.Command{{Kind: playbooks.CommandSkip, By: "dev", Step: step.ID, Reason: "by hand"}}
		case pick < 70:
			return []playbooks.Command{{Kind: playbooks.CommandRollback, By: "dev"}}
		case pick < 73:
			return []playbooks.Command{{Kind: playbooks.CommandAbort, By: "dev"}}
		}
	}
	return nil
}

// truth is what a person finds who looks at the system itself.
func (s *simulation) truth(key string) playbooks.Outcome {
	for _, e := range s.effects() {
		if strings.HasSuffix(e.Key, "/"+key) {
			return playbooks.Succeeded
		}
	}
	return playbooks.Failed
}

// effects are all works that were begun, as the systems themselves wrote it down.
func (s *simulation) effects() []local.Entry {
	return append(s.world.Cluster.Journal(), s.world.Forge.Journal()...)
}

func simulate(t *testing.T, s *simulation) *simulation {
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if t.Failed() {
				t.Logf("accident: %+v; replay with: go test ./playbooks/engine -run 'TestSimulation$' -seed %d -count 50 -failfast", s.hit, s.seed)
			}
		}()
		s.play(t)
	})
	return s
}

// TestSimulation plays random stories with accidents at random. Replay one with
// -seed N. The seed fixes the story, the people and the accidents of each call; in
// which order things happen that happen at the same instant is up to the
// runtime, which shuffles timers in a bubble on purpose, so a rare failure may take
// some -count.
func TestSimulation(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that a seed replays
	if *seed != 0 {
		s := simulate(t, &simulation{seed: *seed, faults: true})
		t.Logf("seed %d: %d crashes, %d writes, %d calls", *seed, s.crashes, s.writes, s.calls)
		return
	}
	crashes, writes, calls := 0, 0, 0
	ends := make(map[playbooks.Outcome]int)
	for n := uint64(1); n <= uint64(*seeds); n++ {
		s := simulate(t, &simulation{seed: n, faults: true})
		crashes, writes, calls = crashes+s.crashes, writes+s.writes, calls+s.calls
		for outcome, n := range s.ends {
			ends[outcome] += n
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d seeds, %d crashes, %d writes to the store, %d calls of ports; runs by outcome: %v", *seeds, crashes, writes, calls, ends)
}

// TestEveryPointInTurn plays a release, and a release that fails and is rolled
// back, once for each write and each call in it, with an accident just there and
// nowhere else.
func TestEveryPointInTurn(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for name, fails := range map[string]string{"release": "", "rollback": "m2"} {
		t.Run(name, func(t *testing.T) {
			base := simulate(t, &simulation{seed: *story, fails: fails})
			hits := 0
			play := func(h hit) {
				simulate(t, &simulation{seed: *story, fails: fails, hit: h})
				hits++
			}
			for n := 1; n <= base.writes; n++ {
				for _, f := range []mem.Fault{mem.CrashBefore, mem.CrashAfter, mem.LostAnswer, mem.LostWrite, mem.DiskFull} {
					play(hit{write: n, mem: f})
				}
			}
			for n := 1; n <= base.calls; n++ {
				for _, after := range []bool{false, true} {
					for _, crash := range []bool{false, true} {
						play(hit{call: n, after: after, crash: crash})
					}
				}
			}
			t.Logf("%d accidents at %d writes and %d calls", hits, base.writes, base.calls)
		})
	}
}
