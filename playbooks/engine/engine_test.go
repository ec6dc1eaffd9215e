package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

const (
	done       = playbooks.Status(playbooks.Succeeded)
	rolledBack = playbooks.Status(playbooks.RolledBack)
	aborted    = playbooks.Status(playbooks.Aborted)
)

// bubble runs a test with an engine on a catalog, in a time of its own.
func bubble(t *testing.T, catalog *playbooks.Catalog, options local.Options, test func(*lab)) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, catalog, options).start()
		defer func() { l.engine.Stop() }()
		test(l)
	})
}

// free is the shop without approvals, live at the version before.
func free(change ...func(*playbooks.Catalog)) *playbooks.Catalog {
	c := shop()
	c.Environments[1].Approvals = &playbooks.ApprovalPolicy{None: true}
	for _, f := range change {
		f(c)
	}
	return c
}

// live makes version v0.9.0 of every module live in production and staging.
func (l *lab) live() {
	l.t.Helper()
	for _, m := range l.catalog.Modules {
		for _, place := range l.catalog.Places(&l.catalog.Environments[1], &m) {
			if err := l.world.Cluster.Seed(place, "v0.9.0", time.Now().Add(-24*time.Hour)); err != nil {
				l.t.Fatal(err)
			}
		}
		place := playbooks.Place{Environment: "staging", Module: m.Name}
		if err := l.world.Cluster.Seed(place, m.Version, time.Now().Add(-24*time.Hour)); err != nil {
			l.t.Fatal(err)
		}
	}
}

// refused checks that an error is a refusal by that rule.
func refused(t testing.TB, err error, rule string) *playbooks.Refusal {
	t.Helper()
	var refusal *playbooks.Refusal
	if !errors.As(err, &refusal) || refusal.Rule != rule {
		t.Fatalf("got %v, want a refusal by rule %s", err, rule)
	}
	return refusal
}

func TestReleaseInOrderOfNeeds(t *testing.T) {
	bubble(t, shop(), local.Options{}, func(l *lab) {
		run := l.release("dev", "production")
		l.until(run, playbooks.StatusWaiting, time.Second)
		l.wantDeployed()
		l.must(playbooks.CommandApprove, "lea", run)
		time.Sleep(time.Minute)
		l.wantDeployed()
		l.must(playbooks.CommandApprove, "quinn", run)
		l.until(run, done, 10*time.Minute)
		l.wantDeployed("deploy db v1.0.0", "deploy api v2.0.0", "deploy web v3.0.0")
	})
}

func TestApprovalRules(t *testing.T) {
	bubble(t, shop(), local.Options{}, func(l *lab) {
		run := l.release("lea", "production")
		l.until(run, playbooks.StatusWaiting, time.Second)
		refused(t, l.do(playbooks.CommandApprove, "lea", run), "two-people")
		refused(t, l.do(playbooks.CommandApprove, "eve", run), "approvers-only")
		refused(t, l.do(playbooks.CommandApprove, "mallory", run), "known-people-only")
		l.must(playbooks.CommandApprove, "both", run)
		refused(t, l.do(playbooks.CommandApprove, "both", run), "once-each")
		time.Sleep(time.Minute)
		l.wantDeployed() // one person in two groups counts once

		l.must(playbooks.CommandUnapprove, "both", run)
		if why := l.why(run); !strings.Contains(why, "1 of leads and 1 of qa") {
			t.Errorf("after an approval was taken back: %s", why)
		}
		l.must(playbooks.CommandApprove, "quinn", run)
		l.must(playbooks.CommandApprove, "both", run) // now stands for the leads
		l.until(run, done, 10*time.Minute)
		refused(t, l.do(playbooks.CommandApprove, "both", run), "run-over")
	})
}

func TestApprovalExpires(t *testing.T) {
	bubble(t, shop(), local.Options{}, func(l *lab) {
		run := l.release("dev", "production")
		l.must(playbooks.CommandApprove, "lea", run)
		time.Sleep(30 * time.Minute)
		l.restart() // the clock of an approval goes on
		time.Sleep(31 * time.Minute)
		l.must(playbooks.CommandApprove, "quinn", run)
		time.Sleep(time.Minute)
		l.wantDeployed()
		if why := l.why(run); !strings.Contains(why, "1 of leads") {
			t.Errorf("after an approval expired: %s", why)
		}
		l.must(playbooks.CommandApprove, "lea", run)
		l.until(run, done, 10*time.Minute)
	})
}

func TestNoStepRunsOnAnOldYes(t *testing.T) {
	catalog := shop()
	catalog.Environments[1].Approvals.ValidFor = 3 * time.Minute
	slow := local.Options{Takes: func(steps.Order) time.Duration { return 4 * time.Minute }}
	bubble(t, catalog, slow, func(l *lab) {
		run := l.release("dev", "production")
		l.must(playbooks.CommandApprove, "lea", run)
		l.must(playbooks.CommandApprove, "quinn", run)
		time.Sleep(10 * time.Minute)
		l.wantDeployed("deploy db v1.0.0") // it began in time; what follows needs a new yes
		l.must(playbooks.CommandApprove, "lea", run)
		l.must(playbooks.CommandApprove, "quinn", run)
		time.Sleep(10 * time.Minute)
		l.wantDeployed("deploy db v1.0.0", "deploy api v2.0.0")
	})
}

func TestReject(t *testing.T) {
	bubble(t, shop(), local.Options{}, func(l *lab) {
		run := l.release("dev", "production")
		time.Sleep(time.Second)
		refused(t, l.do(playbooks.CommandReject, "quinn", run), "reason-required")
		refused(t, l.do(playbooks.CommandReject, "eve", run, because("no")), "approvers-only")
		l.must(playbooks.CommandReject, "quinn", run, because("cart is broken"))
		l.until(run, playbooks.Status(playbooks.Rejected), time.Second)
		l.wantDeployed()
	})
}

func TestPauseAndAbort(t *testing.T) {
	bubble(t, free(), local.Options{}, func(l *lab) {
		run := l.release("dev", "production")
		l.must(playbooks.CommandPause, "dev", run)
		time.Sleep(10 * time.Minute)
		if got := len(l.deployed()); got > 1 {
			t.Errorf("%d rollouts began while the run was paused", got)
		}
		refused(t, l.do(playbooks.CommandPause, "dev", run), "not-paused")
		l.must(playbooks.CommandResume, "dev", run)
		time.Sleep(time.Second)
		l.must(playbooks.CommandAbort, "dev", run)
		l.until(run, aborted, time.Minute)
		n := len(l.deployed())
		time.Sleep(time.Hour)
		if len(l.deployed()) != n {
			t.Error("something began after the run was aborted")
		}
	})
}

func TestFailureHolds(t *testing.T) {
	bubble(t, free(), local.Options{Faults: []local.Fault{{Module: "api", Kind: local.Flaky}}}, func(l *lab) {
		run := l.release("dev", "production")
		l.until(run, playbooks.StatusHeld, 10*time.Minute)
		l.wantDeployed("deploy db v1.0.0", "deploy api v2.0.0")
		why := l.why(run)
		for _, want := range []string{"deploy:api", "retry " + run + " deploy:api", "rollback " + run} {
			if !strings.Contains(why, want) {
				t.Errorf("why does not say %q:\n%s", want, why)
			}
		}
		refused(t, l.do(playbooks.CommandRetry, "dev", run, step("deploy:db")), "failed-first")
		refused(t, l.do(playbooks.CommandRetry, "quinn", run), "may-operate")
		l.must(playbooks.CommandRetry, "dev", run, step("deploy:api"))
		l.until(run, done, 10*time.Minute)
		l.wantDeployed("deploy db v1.0.0", "deploy api v2.0.0", "deploy api v2.0.0", "deploy web v3.0.0")
	})
}

func TestFinishIndependent(t *testing.T) {
	catalog := free(func(c *playbooks.Catalog) {
		c.Environments[1].OnFailure = playbooks.FinishIndependent
		c.Modules = append(c.Modules, playbooks.Module{Name: "docs", Version: "v1.0.0"}, playbooks.Module{Name: "site", Version: "v1.0.0", Needs: []playbooks.Need{{Module: "docs"}}})
	})
	bubble(t, catalog, local.Options{Faults: []local.Fault{{Module: "db", Kind: local.Fail}}}, func(l *lab) {
		run := l.release("dev", "production")
		l.until(run, playbooks.StatusHeld, 10*time.Minute)
		got := l.deployed()
		if !slices.Contains(got, "deploy site v1.0.0") || slices.Contains(got, "deploy api v2.0.0") {
			t.Errorf("the cluster did %q; site does not rest on db, api does", got)
		}
	})
}

func TestAutomaticRetry(t *testing.T) {
	catalog := free(func(c *playbooks.Catalog) {
		c.Modules[1].Deploy = map[string]playbooks.Delivery{"": {Retries: 1}}
	})
	bubble(t, catalog, local.Options{Faults: []local.Fault{{Module: "api", Kind: local.Flaky}}}, func(l *lab) {
		l.until(l.release("dev", "production"), done, 10*time.Minute)
	})
}

func TestSkip(t *testing.T) {
	bubble(t, free(), local.Options{Faults: []local.Fault{{Module: "api", Kind: local.Fail}}}, func(l *lab) {
		run := l.release("dev", "production")
		l.until(run, playbooks.StatusHeld, 10*time.Minute)
		refused(t, l.do(playbooks.CommandSkip, "dev", run, step("deploy:api")), "reason-required")
		refused(t, l.do(playbooks.CommandSkip, "dev", run, step("lock"), because("x")), "never-skipped")
		refused(t, l.do(playbooks.CommandSkip, "dev", run, step("deploy:apo"), because("x")), "known-step")
		l.must(playbooks.CommandSkip, "dev", run, step("deploy:api"), because("done by hand"))
		l.must(playbooks.CommandSkip, "dev", run, step("verify:api"), because("done by hand"))
		l.until(run, done, 10*time.Minute)
	})
}

func TestLostAnswerIsLookedUp(t *testing.T) {
	bubble(t, free(), local.Options{Faults: []local.Fault{{Module: "api", Kind: local.Lost}}}, func(l *lab) {
		l.until(l.release("dev", "production"), done, 10*time.Minute)
		l.wantDeployed("deploy db v1.0.0", "deploy api v2.0.0", "deploy web v3.0.0")
	})
}

func TestHangingCallIsLookedUp(t *testing.T) {
	catalog := free()
	bubble(t, catalog, local.Options{Faults: []local.Fault{{Module: "api", Kind: local.Timeout}}}, func(l *lab) {
		run := l.release("dev", "production")
		time.Sleep(2 * time.Minute)
		l.world.Heal("api")
		l.until(run, done, 30*time.Minute)
		l.wantDeployed("deploy db v1.0.0", "deploy api v2.0.0", "deploy web v3.0.0")
	})
}

func TestTemporaryRefusalIsRepeated(t *testing.T) {
	bubble(t, free(), local.Options{Faults: []local.Fault{{Module: "api", Kind: local.Down}}}, func(l *lab) {
		l.until(l.release("dev", "production"), done, 30*time.Minute)
		l.wantDeployed("deploy db v1.0.0", "deploy api v2.0.0", "deploy web v3.0.0")
	})
}

func TestStuckRolloutIsStoppedInTheEnd(t *testing.T) {
	bubble(t, free(), local.Options{Faults: []local.Fault{{Module: "api", Kind: local.Stuck}}}, func(l *lab) {
		run := l.release("dev", "production")
		time.Sleep(10 * time.Minute)
		if why := l.why(run); !strings.Contains(why, "stopped reporting") {
			t.Errorf("after minutes without progress: %s", why)
		}
		l.until(run, playbooks.StatusHeld, 20*time.Minute)
		if why := l.why(run); !strings.Contains(why, "not done within 15m0s") {
			t.Errorf("after the time-out: %s", why)
		}
	})
}

// blind is a platform that cannot be asked about the past.
type blind struct{ steps.Runner }

func (b blind) Look(ctx context.Context, o steps.Order) (steps.Report, error) {
	return steps.Report{}, steps.ErrCannotLook
}

func TestUnknownIsDecidedByAPerson(t *testing.T) {
	for _, outcome := range []playbooks.Outcome{playbooks.Succeeded, playbooks.Failed} {
		t.Run(string(outcome), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, free(), local.Options{Faults: []local.Fault{{Module: "api", Kind: local.Lost}}})
				l.wrap = map[playbooks.StepKind]func(steps.Runner) steps.Runner{
					playbooks.StepDeploy: func(r steps.Runner) steps.Runner { return blindFor{r, "api"} },
				}
				l.start()
				defer func() { l.engine.Stop() }()
				run := l.release("dev", "production")
				l.until(run, playbooks.StatusHeld, 10*time.Minute)
				refused(t, l.do(playbooks.CommandRetry, "dev", run, step("deploy:api")), "unknown-first")
				refused(t, l.do(playbooks.CommandRollback, "dev", run), "unknown-first")
				l.must(playbooks.CommandConfirm, "dev", run, step("deploy:api"), func(c *playbooks.Command) { c.Outcome = outcome })
				if outcome == playbooks.Succeeded {
					l.until(run, done, 10*time.Minute)
					return
				}
				l.until(run, playbooks.StatusHeld, time.Minute)
				l.must(playbooks.CommandAbort, "dev", run)
				l.until(run, aborted, time.Minute)
			})
		})
	}
}

// blindFor is blind for one module.
type blindFor struct {
	steps.Runner
	module string
}

func (b blindFor) Look(ctx context.Context, o steps.Order) (steps.Report, error) {
	if o.Place.Module == b.module {
		return blind{b.Runner}.Look(ctx, o)
	}
	return b.Runner.Look(ctx, o)
}

// breaking panics.
type breaking struct{ steps.Runner }

func (breaking) Start(context.Context, steps.Order) (steps.Report, error) { panic("nil map") }

func TestPanicFailsTheStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, free(), local.Options{})
		l.wrap = map[playbooks.StepKind]func(steps.Runner) steps.Runner{
			playbooks.StepDeploy: func(r steps.Runner) steps.Runner { return breaking{r} },
		}
		l.start()
		defer func() { l.engine.Stop() }()
		run := l.release("dev", "production")
		l.until(run, playbooks.StatusHeld, 10*time.Minute)
		if why := l.why(run); !strings.Contains(why, "nil map") {
			t.Errorf("why: %s", why)
		}
	})
}

func TestRollback(t *testing.T) {
	bubble(t, free(), local.Options{Faults: []local.Fault{{Module: "web", Kind: local.Fail}}}, func(l *lab) {
		l.live()
		run := l.release("dev", "production", "db", "api", "web")
		l.until(run, playbooks.StatusHeld, 10*time.Minute)
		l.must(playbooks.CommandRollback, "dev", run)
		time.Sleep(time.Minute)
		why := l.why(run)
		for _, want := range []string{"approve-rollback", "approve " + run} {
			if !strings.Contains(why, want) {
				t.Errorf("why does not say %q:\n%s", want, why)
			}
		}
		l.view(run, func(v engine.View) {
			if title := v.Run.Book.Approvals[0].Title; !strings.Contains(title, "db v1.0.0 → v0.9.0") {
				t.Errorf("people are asked %q", title)
			}
		})
		refused(t, l.do(playbooks.CommandApprove, "quinn", run), "approvers-only")
		l.must(playbooks.CommandApprove, "dev", run)
		l.until(run, rolledBack, 10*time.Minute)
		l.wantDeployed("deploy db v1.0.0", "deploy api v2.0.0", "deploy web v3.0.0",
			"rollback web v0.9.0", "rollback api v0.9.0", "rollback db v0.9.0")
	})
}

func TestRollbackRejectedHoldsAgain(t *testing.T) {
	bubble(t, free(), local.Options{Faults: []local.Fault{{Module: "api", Kind: local.Flaky}}}, func(l *lab) {
		l.live()
		run := l.release("dev", "production", "db", "api", "web")
		l.until(run, playbooks.StatusHeld, 10*time.Minute)
		l.must(playbooks.CommandRollback, "dev", run)
		time.Sleep(time.Minute)
		l.must(playbooks.CommandReject, "lea", run, because("we fix it"))
		l.until(run, playbooks.StatusPaused, time.Minute)
		l.must(playbooks.CommandResume, "dev", run)
		l.must(playbooks.CommandRetry, "dev", run)
		l.until(run, done, 10*time.Minute)
	})
}

func TestRollbackThatFailsWaitsForAPerson(t *testing.T) {
	faults := []local.Fault{{Module: "web", Kind: local.Fail}, {Module: "api", Step: playbooks.StepRollback, Kind: local.Flaky}}
	bubble(t, free(), local.Options{Faults: faults}, func(l *lab) {
		l.live()
		run := l.release("dev", "production", "db", "api", "web")
		l.until(run, playbooks.StatusHeld, 10*time.Minute)
		l.must(playbooks.CommandRollback, "dev", run)
		time.Sleep(time.Minute)
		l.must(playbooks.CommandApprove, "dev", run)
		time.Sleep(time.Second)
		l.until(run, playbooks.StatusHeld, 10*time.Minute)
		if why := l.why(run); !strings.Contains(why, "retry "+run+" rollback:api") {
			t.Errorf("a rollback that failed leaves no next step:\n%s", why)
		}
		l.must(playbooks.CommandRetry, "dev", run)
		l.until(run, rolledBack, 10*time.Minute)
	})
}

func TestAutomaticRollback(t *testing.T) {
	catalog := free(func(c *playbooks.Catalog) {
		c.Environments[1].OnFailure, c.Environments[1].AutoRollback = playbooks.RollBack, true
	})
	bubble(t, catalog, local.Options{Faults: []local.Fault{{Module: "web", Kind: local.Fail}}}, func(l *lab) {
		l.live()
		run := l.release("dev", "production", "db", "api", "web")
		l.until(run, rolledBack, 30*time.Minute)
	})
}

func TestRollbackPastTheIrreversibleAsks(t *testing.T) {
	catalog := free(func(c *playbooks.Catalog) {
		c.Environments[1].OnFailure, c.Environments[1].AutoRollback = playbooks.RollBack, true
		c.Modules[0].Deploy = map[string]playbooks.Delivery{"": {Migration: &playbooks.Job{Irreversible: true}}}
	})
	bubble(t, catalog, local.Options{Faults: []local.Fault{{Module: "web", Kind: local.Fail}}}, func(l *lab) {
		l.live()
		run := l.release("dev", "production", "db", "api", "web")
		l.until(run, playbooks.StatusWaiting, 30*time.Minute)
		l.view(run, func(v engine.View) {
			if title := v.Run.Book.Approvals[0].Title; !strings.Contains(title, "migrate:db") {
				t.Errorf("the irreversible step is not named: %q", title)
			}
		})
		l.must(playbooks.CommandApprove, "dev", run)
		l.until(run, rolledBack, 30*time.Minute)
	})
}

func TestRollbackRemovesWhatWasNotThere(t *testing.T) {
	bubble(t, free(), local.Options{Faults: []local.Fault{{Module: "api", Kind: local.Fail}}}, func(l *lab) {
		run := l.release("dev", "production")
		l.until(run, playbooks.StatusHeld, 10*time.Minute)
		l.must(playbooks.CommandRollback, "dev", run)
		time.Sleep(time.Minute)
		l.view(run, func(v engine.View) {
			if title := v.Run.Book.Approvals[0].Title; !strings.Contains(title, "removed: it was not there before") {
				t.Errorf("people are asked %q", title)
			}
		})
		l.must(playbooks.CommandApprove, "dev", run)
		l.until(run, rolledBack, 10*time.Minute)
	})
}

func TestRollbackOfARunThatIsOver(t *testing.T) {
	bubble(t, free(), local.Options{}, func(l *lab) {
		l.live()
		first := l.release("dev", "production", "db", "api", "web")
		l.until(first, done, 10*time.Minute)
		refused(t, l.do(playbooks.CommandRollback, "dev", first), "run-over")
		pb, err := l.engine.PlanRollback(l.t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		run, err := l.engine.Start(l.t.Context(), playbooks.Command{Kind: playbooks.CommandStart, By: "dev", Digest: pb.Digest})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		l.must(playbooks.CommandApprove, "dev", run)
		l.until(run, rolledBack, 10*time.Minute)
		if got := l.deployed()[3:]; !slices.Equal(got, []string{"rollback web v0.9.0", "rollback api v0.9.0", "rollback db v0.9.0"}) {
			t.Errorf("the cluster did %q", got)
		}
		l.until(l.release("dev", "production", "db@v5.0.0"), done, 10*time.Minute)
		again, err := l.engine.Start(l.t.Context(), playbooks.Command{Kind: playbooks.CommandStart, By: "dev", Digest: pb.Digest})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		l.must(playbooks.CommandApprove, "dev", again)
		l.until(again, playbooks.StatusHeld, 10*time.Minute) // what it would undo is not there any more
		if why := l.why(again); !strings.Contains(why, "somebody has released since") {
			t.Errorf("why: %s", why)
		}
	})
}

func TestLocksAndQueue(t *testing.T) {
	bubble(t, free(), local.Options{}, func(l *lab) {
		first := l.release("dev", "production")
		time.Sleep(time.Second)
		second := l.release("dev", "production", "api@v2.1.0", "db@v1.1.0")
		third := l.release("dev", "production", "db@v1.2.0")
		time.Sleep(time.Second)
		if got := l.status(second); got != playbooks.StatusQueued {
			t.Errorf("the second run is %s", got)
		}
		if why := l.why(third); !strings.Contains(why, "number 2 in the queue of production, behind run 1, run 2") {
			t.Errorf("the third run: %s", why)
		}
		l.restart()
		l.until(first, done, 10*time.Minute)
		l.until(second, done, 10*time.Minute)
		l.until(third, done, 10*time.Minute)
	})
}

func TestLimitIsSharedFairly(t *testing.T) {
	catalog := free(func(c *playbooks.Catalog) {
		c.Environments[1].Limit = 2
		c.Modules = nil
		for i := range 12 {
			c.Modules = append(c.Modules, playbooks.Module{Name: fmt.Sprintf("m%02d", i), Version: "v1.0.0"})
		}
	})
	minute := local.Options{Takes: func(steps.Order) time.Duration { return time.Minute }}
	bubble(t, catalog, minute, func(l *lab) {
		a := l.release("dev", "production", "m00", "m01", "m02", "m03", "m04", "m05")
		b := l.release("dev", "production", "m06", "m07", "m08", "m09", "m10", "m11")
		time.Sleep(150 * time.Second)
		mine := func(module string) bool { return module < "m06" }
		var ofA, ofB int
		for _, e := range l.world.Cluster.Journal() {
			if mine(e.Place.Module) {
				ofA++
			} else {
				ofB++
			}
		}
		if ofA < 2 || ofB < 2 {
			t.Errorf("after two and a half minutes one run began %d rollouts and the other %d", ofA, ofB)
		}
		l.until(a, done, 20*time.Minute)
		l.until(b, done, 20*time.Minute)
		running, most := 0, 0
		type edge struct {
			at time.Time
			by int
		}
		var edges []edge
		for _, e := range l.world.Cluster.Journal() {
			edges = append(edges, edge{e.Time, 1}, edge{e.Time.Add(e.Takes), -1})
		}
		slices.SortFunc(edges, func(a, b edge) int {
			if c := a.at.Compare(b.at); c != 0 {
				return c
			}
			return a.by - b.by
		})
		for _, e := range edges {
			running += e.by
			most = max(most, running)
		}
		if most != 2 {
			t.Errorf("%d rollouts at once, the limit is 2", most)
		}
	})
}

func TestWhatChangedIsAskedAgain(t *testing.T) {
	bubble(t, shop(), local.Options{}, func(l *lab) {
		l.live()
		run := l.release("dev", "production", "db", "api", "web")
		// Somebody else changes api behind Muster's back while people think.
		other := steps.Order{
			Key: "by hand", Action: playbooks.StepDeploy, Version: "v1.5.0",
			Place: playbooks.Place{Environment: "production", Module: "api"},
		}
		if _, err := l.world.Cluster.Start(l.t.Context(), other); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		l.must(playbooks.CommandApprove, "lea", run)
		l.must(playbooks.CommandApprove, "quinn", run)
		time.Sleep(10 * time.Minute)
		// db is as it was shown; api and web rest on something else now.
		if got := l.deployed(); !slices.Equal(got, []string{"deploy api v1.5.0"}) && !slices.Equal(got, []string{"deploy api v1.5.0", "deploy db v1.0.0"}) {
			t.Errorf("the cluster did %q", got)
		}
		l.until(run, playbooks.StatusWaiting, time.Minute)
		l.must(playbooks.CommandApprove, "lea", run)
		l.must(playbooks.CommandApprove, "quinn", run)
		l.until(run, done, 10*time.Minute)
	})
}

func TestStaleDigestIsRefused(t *testing.T) {
	bubble(t, shop(), local.Options{}, func(l *lab) {
		run := l.release("dev", "production")
		other := l.plan("production", "db@v7.0.0")
		time.Sleep(time.Second)
		refused(t, l.do(playbooks.CommandApprove, "lea", run, func(c *playbooks.Command) { c.Digest = other.Digest }), "as-shown")
	})
}

func TestFreeze(t *testing.T) {
	bubble(t, free(), local.Options{}, func(l *lab) {
		freeze := playbooks.Command{Kind: playbooks.CommandFreeze, Environment: "production", By: "dev"}
		refused(t, l.engine.Freeze(l.t.Context(), freeze), "reason-required")
		freeze.Reason = "black friday"
		freeze.Until = time.Now().Add(time.Hour)
		if err := l.engine.Freeze(l.t.Context(), freeze); err != nil {
			t.Fatal(err)
		}
		start := playbooks.Command{Kind: playbooks.CommandStart, By: "dev", Digest: l.plan("production").Digest}
		_, err := l.engine.Start(l.t.Context(), start)
		refused(t, err, "freeze")
		start.Override, start.Reason = true, "outage"
		_, err = l.engine.Start(l.t.Context(), start)
		refused(t, err, "may-override")
		time.Sleep(61 * time.Minute)
		l.until(l.release("dev", "production"), done, 10*time.Minute)
	})
}

func TestStartRules(t *testing.T) {
	catalog := free(func(c *playbooks.Catalog) { c.Environments[0].Approvals = nil })
	bubble(t, catalog, local.Options{}, func(l *lab) {
		_, err := l.engine.Start(l.t.Context(), playbooks.Command{By: "dev", Digest: l.plan("staging").Digest})
		refused(t, err, "approvals-decided")
		who := refused(t, func() error {
			_, err := l.engine.Start(l.t.Context(), playbooks.Command{By: "eve", Digest: l.plan("production").Digest})
			return err
		}(), "may-release")
		if !slices.Equal(who.Who, []string{"Dev", "Lea"}) {
			t.Errorf("who could: %q", who.Who)
		}
		start := playbooks.Command{By: "dev", Digest: l.plan("production").Digest, Cause: "click/1"}
		one, err1 := l.engine.Start(l.t.Context(), start)
		two, err2 := l.engine.Start(l.t.Context(), start)
		if err1 != nil || err2 != nil || one != two {
			t.Errorf("the same click started %q (%v) and %q (%v)", one, err1, two, err2)
		}
	})
}

func TestRestartAtEveryMinute(t *testing.T) {
	minute := local.Options{Takes: func(steps.Order) time.Duration { return 100 * time.Second }}
	bubble(t, shop(), minute, func(l *lab) {
		run := l.release("dev", "production")
		l.must(playbooks.CommandApprove, "lea", run)
		l.restart()
		l.must(playbooks.CommandApprove, "quinn", run)
		for range 12 {
			time.Sleep(41 * time.Second)
			l.restart()
		}
		l.until(run, done, time.Minute)
		l.wantDeployed("deploy db v1.0.0", "deploy api v2.0.0", "deploy web v3.0.0")
	})
}

func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, free(), local.Options{})
		full := l.failWhile(mem.DiskFull)
		l.start()
		defer func() { l.engine.Stop() }()
		run := l.release("dev", "production")
		time.Sleep(time.Second)
		began := len(l.deployed())
		full.Store(true)
		time.Sleep(10 * time.Minute)
		if got := len(l.deployed()); got != began {
			t.Errorf("%d rollouts began while nothing could be saved", got-began)
		}
		if err := l.do(playbooks.CommandPause, "dev", run); !errors.Is(err, engine.ErrNotSaved) {
			t.Errorf("pause on a full disk: %v", err)
		}
		l.view(run, func(v engine.View) {
			if v.Trouble == nil {
				t.Error("nobody is told that the disk is full")
			}
		})
		full.Store(false)
		l.until(run, done, 10*time.Minute)
		l.wantDeployed("deploy db v1.0.0", "deploy api v2.0.0", "deploy web v3.0.0")
	})
}

func TestCycleGoesTogetherAndBack(t *testing.T) {
	catalog := free(func(c *playbooks.Catalog) {
		c.Cycles = playbooks.ReleaseTogether
		c.Modules[0].Needs = []playbooks.Need{{Module: "api"}}
	})
	bubble(t, catalog, local.Options{Faults: []local.Fault{{Module: "web", Kind: local.Fail}}}, func(l *lab) {
		l.live()
		run := l.release("dev", "production", "db", "api", "web")
		l.until(run, playbooks.StatusHeld, 10*time.Minute)
		l.must(playbooks.CommandRollback, "dev", run)
		time.Sleep(time.Second)
		l.must(playbooks.CommandApprove, "dev", run)
		l.until(run, rolledBack, 10*time.Minute)
		if got := l.deployed(); got[3] != "rollback web v0.9.0" {
			t.Errorf("the cluster did %q", got)
		}
	})
}

func TestTargetsOneAfterAnother(t *testing.T) {
	catalog := free(func(c *playbooks.Catalog) { c.Environments[1].Targets = []string{"eu", "us"} })
	bubble(t, catalog, local.Options{Faults: []local.Fault{{Module: "web", Kind: local.Fail}}}, func(l *lab) {
		l.live()
		run := l.release("dev", "production", "db", "api")
		l.until(run, done, 20*time.Minute)
		var places []string
		for _, e := range l.world.Cluster.Journal() {
			if e.Kind == local.EntryStarted {
				places = append(places, e.Place.Module+"@"+e.Place.Target)
			}
		}
		if want := []string{"db@eu", "api@eu", "db@us", "api@us"}; !slices.Equal(places, want) {
			t.Errorf("served %q, want %q", places, want)
		}
	})
}

func TestRefusalsAreKept(t *testing.T) {
	bubble(t, shop(), local.Options{}, func(l *lab) {
		run := l.release("dev", "production")
		refused(t, l.do(playbooks.CommandAbort, "eve", run), "may-abort")
		found := false
		for rec, err := range store.NewLogs(l.store).Read(l.t.Context(), "env/production", 1) {
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(rec.Data), `"type":"refused"`) && strings.Contains(string(rec.Data), "may-abort")
		}
		if !found {
			t.Error("the environment's log does not say that eve was refused")
		}
	})
}

// TestLookNow lets a gate that waits be looked at in the moment in which something has
// happened, and leaves alone what runs for others.
func TestLookNow(t *testing.T) {
	catalog := free(func(c *playbooks.Catalog) {
		for i := range c.Modules {
			c.Modules[i].Needs = nil
			c.Modules[i].Deploy = map[string]playbooks.Delivery{"": {Gates: []playbooks.Gate{{Kind: "pipeline"}}}}
		}
	})
	bubble(t, catalog, local.Options{}, func(l *lab) {
		l.live()
		name := catalog.Modules[0].Name
		build := playbooks.BuildState{Module: name, Version: "v9", State: "running"}
		if err := l.world.Forge.SetBuild(build); err != nil {
			l.t.Fatal(err)
		}
		run := l.release("dev", "production", name+"@v9")
		l.until(run, playbooks.StatusGated, time.Second)
		synctest.Wait()
		build.State = "passed"
		if err := l.world.Forge.SetBuild(build); err != nil {
			l.t.Fatal(err)
		}
		gate := func() (state playbooks.StepState) {
			l.view(run, func(v engine.View) { state = v.Run.Progress("gate:pipeline:" + name).State })
			return state
		}
		before := time.Now()
		l.engine.LookNow("another")
		synctest.Wait()
		if got := gate(); got != playbooks.Running {
			l.t.Errorf("what happens to another module makes the gate %s", got)
		}
		l.engine.LookNow(name)
		synctest.Wait()
		if got := gate(); got != playbooks.Done || !time.Now().Equal(before) {
			l.t.Errorf("the gate is %s after %v", got, time.Since(before))
		}
	})
}
