package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store/mem"
)

// minutes lets every rollout take as long.
func minutes(n int) local.Options {
	return local.Options{Takes: func(steps.Order) time.Duration { return time.Duration(n) * time.Minute }}
}

func TestRunsThatWaitForRoomGoOnAfterARestart(t *testing.T) {
	bubble(t, free(func(c *playbooks.Catalog) { c.Environments[1].Limit = 1 }), minutes(5), func(l *lab) {
		l.live()
		first := l.release("dev", "production", "db@v1.1.0")
		time.Sleep(10 * time.Second)
		second := l.release("dev", "production", "api@v2.1.0")
		time.Sleep(10 * time.Second)
		l.restart()
		l.until(first, done, time.Hour)
		l.until(second, done, time.Hour)
	})
}

func TestQueuedRunsGoOnWhateverBecomesOfTheAppendThatFreesThem(t *testing.T) {
	for _, fault := range []mem.Fault{mem.None, mem.LostAnswer, mem.LostWrite, mem.CrashAfter, mem.CrashBefore} {
		t.Run(fmt.Sprint(fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, free(), minutes(1))
				armed := l.failOnce(fault)
				// The write after the notification is the one that ends the run.
				l.wrap = map[playbooks.StepKind]func(steps.Runner) steps.Runner{
					playbooks.StepNotify: func(r steps.Runner) steps.Runner { return arming{r, armed} },
				}
				l.start()
				defer func() { l.engine.Stop() }()
				first := l.release("dev", "production")
				time.Sleep(10 * time.Second)
				second := l.release("dev", "production", "db@v1.1.0")
				time.Sleep(10 * time.Minute)
				if fault == mem.CrashAfter || fault == mem.CrashBefore {
					l.restart()
				}
				l.until(first, done, time.Hour)
				l.until(second, done, time.Hour)
			})
		})
	}
}

// arming sets a switch once its work has begun.
type arming struct {
	steps.Runner
	armed *atomic.Bool
}

func (a arming) Start(ctx context.Context, o steps.Order) (steps.Report, error) {
	if o.Run == "1" {
		a.armed.Store(true)
	}
	return a.Runner.Start(ctx, o)
}

func TestRoomIsGivenOnThoughSavingFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, free(func(c *playbooks.Catalog) { c.Environments[1].Limit = 1 }), minutes(2))
		full := l.failWhile(mem.DiskFull)
		l.start()
		defer func() { l.engine.Stop() }()
		l.live()
		first := l.release("dev", "production", "db@v1.1.0")
		time.Sleep(time.Second)
		second := l.release("dev", "production", "api@v2.1.0")
		time.Sleep(time.Minute)
		full.Store(true)
		time.Sleep(90 * time.Second) // the first deployment ends in this time
		full.Store(false)
		l.until(first, done, time.Hour)
		l.until(second, done, time.Hour)
	})
}

func TestOrderedRollbackSurvivesARestart(t *testing.T) {
	bubble(t, free(), minutes(3), func(l *lab) {
		l.live()
		run := l.release("dev", "production", "db", "api", "web")
		time.Sleep(4 * time.Minute)
		l.must(playbooks.CommandRollback, "dev", run)
		for range 4 {
			l.restart()
			time.Sleep(time.Second)
		}
		l.until(run, playbooks.StatusWaiting, 10*time.Minute)
		l.must(playbooks.CommandApprove, "dev", run)
		l.until(run, rolledBack, time.Hour)
	})
}

func TestAbortStopsWhatRunsAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, free(), minutes(10))
		armed := l.failOnce(mem.CrashAfter)
		l.start()
		defer func() { l.engine.Stop() }()
		run := l.release("dev", "production")
		time.Sleep(time.Minute)
		armed.Store(true)
		_ = l.do(playbooks.CommandAbort, "dev", run) // it is in the log, and the program dies
		l.restart()
		l.until(run, aborted, time.Minute)
		for _, e := range l.world.Cluster.Journal() {
			if e.Kind == local.EntryStopped {
				return
			}
		}
		t.Error("nobody told the cluster to stop")
	})
}

func TestRollbackWinsOverAbort(t *testing.T) {
	slow := minutes(10)
	slow.Intercept = func(_ context.Context, c local.Call) error {
		if c.Method == "Stop" {
			time.Sleep(5 * time.Second)
		}
		return nil
	}
	bubble(t, free(), slow, func(l *lab) {
		l.live()
		run := l.release("dev", "production", "db", "api", "web")
		time.Sleep(time.Minute)
		l.must(playbooks.CommandAbort, "dev", run)
		l.must(playbooks.CommandRollback, "dev", run)
		l.until(run, playbooks.StatusWaiting, 10*time.Minute)
		l.must(playbooks.CommandApprove, "dev", run)
		l.until(run, rolledBack, time.Hour)
	})
}

// refusing answers every look as a platform does that is too busy.
type refusing struct {
	steps.Runner
	after time.Duration
}

type later struct{ after time.Duration }

func (l later) Error() string             { return "429 too many requests" }
func (l later) RetryAfter() time.Duration { return l.after }

func (r refusing) Look(context.Context, steps.Order) (steps.Report, error) {
	return steps.Report{}, later{r.after}
}

func TestTimeOutsHoldWhenLooksAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, free(), local.Options{})
		l.wrap = map[playbooks.StepKind]func(steps.Runner) steps.Runner{
			playbooks.StepDeploy: func(r steps.Runner) steps.Runner { return refusing{r, time.Minute} },
		}
		l.start()
		defer func() { l.engine.Stop() }()
		run := l.release("dev", "production")
		l.until(run, playbooks.StatusHeld, 20*time.Minute)
		if why := l.why(run); !strings.Contains(why, "confirm "+run+" deploy:db done") {
			t.Errorf("why: %s", why)
		}
	})
}

func TestAbortEndsThoughNothingAnswers(t *testing.T) {
	catalog := free()
	down := errors.New("connection refused")
	broken := false
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, catalog, local.Options{Intercept: func(_ context.Context, c local.Call) error {
			if broken && c.Method == "Live" {
				return down
			}
			return nil
		}})
		l.start()
		defer func() { l.engine.Stop() }()
		pb := l.plan("production")
		broken = true
		run, err := l.engine.Start(t.Context(), playbooks.Command{By: "dev", Digest: pb.Digest})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		l.must(playbooks.CommandAbort, "dev", run)
		l.until(run, aborted, 5*time.Minute)
	})
}

func TestRejectionWhileAGateIsLookedAt(t *testing.T) {
	catalog := shop()
	catalog.Modules[0].Deploy = map[string]playbooks.Delivery{"": {Gates: []playbooks.Gate{{Kind: "pipeline"}}}}
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, catalog, local.Options{Intercept: func(_ context.Context, c local.Call) error {
			if c.Method == "Check" {
				time.Sleep(10 * time.Second)
			}
			return nil
		}})
		var changes atomic.Int64
		l.changed = func(string) { changes.Add(1) }
		l.start()
		defer func() { l.engine.Stop() }()
		run := l.release("dev", "production")
		time.Sleep(time.Second)
		l.must(playbooks.CommandReject, "lea", run, because("no"))
		time.Sleep(time.Minute)
		before := changes.Load()
		time.Sleep(time.Hour)
		if n := changes.Load() - before; n > 0 {
			t.Errorf("a run that is over changed %d times in an hour", n)
		}
	})
}

func TestWideRelease(t *testing.T) {
	catalog := free(func(c *playbooks.Catalog) {
		c.Modules = nil
		for i := range 300 {
			c.Modules = append(c.Modules, playbooks.Module{Name: fmt.Sprintf("m%03d", i), Version: "v1.0.0"})
		}
	})
	bubble(t, catalog, minutes(1), func(l *lab) {
		run := l.release("dev", "production")
		time.Sleep(30 * time.Second)
		l.restart() // now everything is looked at in the same instant
		l.until(run, done, 10*time.Minute)
	})
}

func TestStartWhoseAnswerIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, free(), local.Options{})
		armed := l.failOnce(mem.LostAnswer)
		l.start()
		defer func() { l.engine.Stop() }()
		pb := l.plan("production")
		armed.Store(true)
		run, err := l.engine.Start(t.Context(), playbooks.Command{By: "dev", Digest: pb.Digest})
		if err != nil {
			t.Fatalf("the run is in the store, and start says: %v", err)
		}
		l.until(run, done, 10*time.Minute)
	})
}

// TestLateReplanIsIgnored: a preflight finds that the world has changed, what it
// compiled is saved late, and meanwhile the world has changed back.
func TestLateReplanIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, free(), minutes(5))
		slow := l.failWhile(mem.DiskFull)
		l.start()
		defer func() { l.engine.Stop() }()
		l.live()
		pb := l.plan("production", "db", "api", "web")
		place := playbooks.Place{Environment: "production", Module: "db"}
		by := func(key, version string) {
			if _, err := l.world.Cluster.Start(t.Context(), steps.Order{Key: key, Action: playbooks.StepDeploy, Place: place, Version: version}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(6 * time.Minute)
		}
		by("hand/1", "v0.8.0")
		run, err := l.engine.Start(t.Context(), playbooks.Command{By: "dev", Digest: pb.Digest})
		if err != nil {
			t.Fatal(err)
		}
		slow.Store(true)
		by("hand/2", "v0.9.0")
		slow.Store(false)
		l.until(run, done, time.Hour)
		n := 0
		for _, e := range l.deployed() {
			if e == "deploy db v1.0.0" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("db was deployed %d times", n)
		}
	})
}

// exploding panics where facts are collected.
type exploding struct {
	steps.Deployer
	armed *atomic.Bool
}

func (e exploding) Live(ctx context.Context, p playbooks.Place) (playbooks.Live, error) {
	if e.armed.Load() {
		panic("index out of range")
	}
	return e.Deployer.Live(ctx, p)
}

func TestPanicWhileFactsAreCollected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var armed atomic.Bool
		l := newLab(t, free(), local.Options{})
		l.deployer = exploding{l.world.Cluster, &armed}
		l.start()
		defer func() { l.engine.Stop() }()
		pb := l.plan("production")
		armed.Store(true)
		run, err := l.engine.Start(t.Context(), playbooks.Command{By: "dev", Digest: pb.Digest})
		if err != nil {
			t.Fatal(err)
		}
		l.until(run, playbooks.StatusHeld, time.Hour)
		if why := l.why(run); !strings.Contains(why, "index out of range") {
			t.Errorf("why: %s", why)
		}
	})
}

func TestEnvironmentThatLeftTheCatalog(t *testing.T) {
	bubble(t, free(func(c *playbooks.Catalog) { c.Access[0].Role = playbooks.Admin }), minutes(5), func(l *lab) {
		run := l.release("dev", "production")
		time.Sleep(time.Minute)
		smaller := *l.catalog
		smaller.Environments = smaller.Environments[:1]
		l.engine.SetPolicy(playbooks.NewPolicy(&smaller))
		l.must(playbooks.CommandAbort, "dev", run)
		l.until(run, aborted, time.Minute)
	})
}

// TestStopAndStart stops the engine in the middle of much going on, again and
// again.
func TestStopAndStart(t *testing.T) {
	l := newLab(t, free(func(c *playbooks.Catalog) {
		c.Modules = nil
		for i := range 40 {
			c.Modules = append(c.Modules, playbooks.Module{Name: fmt.Sprintf("m%03d", i), Version: "v1.0.0"})
		}
	}), local.Options{Takes: func(steps.Order) time.Duration { return 20 * time.Millisecond }})
	l.timing = engine.Timing{Poll: time.Millisecond, Backoff: time.Millisecond}
	l.start()
	run := l.release("dev", "production")
	for range 50 {
		time.Sleep(2 * time.Millisecond)
		l.restart()
	}
	l.until(run, done, time.Minute)
	l.engine.Stop()
}

func TestOneDeliveryStartsOneRun(t *testing.T) {
	bubble(t, free(), local.Options{}, func(l *lab) {
		start := playbooks.Command{By: "dev", Digest: l.plan("production").Digest, Cause: "click/1"}
		runs := make(chan string, 8)
		for range cap(runs) {
			go func() {
				run, err := l.engine.Start(context.Background(), start)
				if err != nil {
					t.Error(err)
				}
				runs <- run
			}()
		}
		for range cap(runs) {
			if run := <-runs; run != "1" {
				t.Errorf("the same click started run %s", run)
			}
		}
	})
}

// TestRollbackIsNotForgotten: whatever else people type, what they ordered goes
// back.
func TestRollbackIsNotForgotten(t *testing.T) {
	slow := minutes(10)
	slow.Intercept = func(_ context.Context, c local.Call) error {
		if c.Method == "Stop" {
			time.Sleep(5 * time.Second)
		}
		return nil
	}
	for name, commands := range map[string][]playbooks.CommandKind{
		"pause after":  {playbooks.CommandRollback, playbooks.CommandPause, playbooks.CommandResume},
		"pause before": {playbooks.CommandPause, playbooks.CommandRollback},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, free(), slow, func(l *lab) {
				l.live()
				run := l.release("dev", "production", "db", "api", "web")
				time.Sleep(time.Minute)
				for _, kind := range commands {
					l.must(kind, "dev", run)
				}
				l.until(run, playbooks.StatusWaiting, 10*time.Minute)
				l.must(playbooks.CommandApprove, "dev", run)
				l.until(run, rolledBack, time.Hour)
			})
		})
	}
}

func TestAbortedRollbackCanBeTakenUpAgain(t *testing.T) {
	bubble(t, free(), local.Options{Faults: []local.Fault{{Module: "web", Kind: local.Fail}}}, func(l *lab) {
		l.live()
		run := l.release("dev", "production", "db", "api", "web")
		l.until(run, playbooks.StatusHeld, time.Hour)
		l.must(playbooks.CommandRollback, "dev", run)
		time.Sleep(time.Minute)
		l.must(playbooks.CommandAbort, "dev", run)
		l.until(run, aborted, time.Minute)
		pb, err := l.engine.PlanRollback(l.t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		again, err := l.engine.Start(l.t.Context(), playbooks.Command{By: "dev", Digest: pb.Digest})
		if err != nil {
			t.Fatal(err)
		}
		l.must(playbooks.CommandApprove, "dev", again)
		l.until(again, rolledBack, time.Hour)
	})
}

func TestCanaryGoesBackWhole(t *testing.T) {
	catalog := free(func(c *playbooks.Catalog) {
		c.Modules[0].Deploy = map[string]playbooks.Delivery{"": {Strategy: playbooks.Strategy{
			Kind: playbooks.Canary, Stages: []playbooks.CanaryStage{{Share: 10, Bake: time.Hour}},
		}}}
	})
	bubble(t, catalog, local.Options{}, func(l *lab) {
		l.live()
		run := l.release("dev", "production", "db")
		time.Sleep(10 * time.Minute)
		l.must(playbooks.CommandRollback, "dev", run)
		time.Sleep(time.Minute)
		l.must(playbooks.CommandApprove, "dev", run)
		l.until(run, rolledBack, time.Hour)
		for _, e := range l.world.Cluster.Journal() {
			want := 100
			if e.Action == playbooks.StepCanary {
				want = 10
			}
			if e.Kind == local.EntryStarted && e.Share != want {
				t.Errorf("%s was ordered with a share of %d %%", e.Action, e.Share)
			}
		}
	})
}

func TestLimitHoldsAfterARestart(t *testing.T) {
	bubble(t, free(func(c *playbooks.Catalog) { c.Environments[1].Limit = 1 }), minutes(5), func(l *lab) {
		l.live()
		first := l.release("dev", "production", "db@v1.1.0")
		for range 300 {
			l.must(playbooks.CommandAnnotate, "dev", first, because("a remark makes the log longer"))
		}
		second := l.release("dev", "production", "api@v2.1.0")
		time.Sleep(time.Minute)
		l.restart()
		time.Sleep(time.Minute)
		if got := l.deployed(); len(got) != 1 {
			t.Errorf("under a limit of 1 the cluster does %q", got)
		}
		l.until(first, done, time.Hour)
		l.until(second, done, time.Hour)
	})
}

func TestLostAnswerToAFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, free(), local.Options{})
		armed := l.failOnce(mem.LostAnswer)
		l.start()
		defer func() { l.engine.Stop() }()
		armed.Store(true)
		err := l.engine.Freeze(t.Context(), playbooks.Command{Kind: playbooks.CommandFreeze, Environment: "production", By: "dev", Reason: "sale"})
		if err != nil {
			t.Errorf("the freeze is in the log, and the answer is: %v", err)
		}
	})
}
