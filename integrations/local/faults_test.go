package local_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

func isPermanent(err error) bool {
	p, ok := errors.AsType[interface {
		error
		Permanent() bool
	}](err)
	return ok && p.Permanent()
}

func TestParseFault(t *testing.T) {
	for in, want := range map[string]local.Fault{
		"cart=stuck":         {Module: "cart", Kind: local.Stuck},
		"cart=lost":          {Module: "cart", Kind: local.Lost},
		"cart/rollback=fail": {Module: "cart", Step: playbooks.StepRollback, Kind: local.Fail},
		"cart/test=flaky":    {Module: "cart", Step: playbooks.StepTest, Kind: local.Flaky},
	} {
		got, err := local.ParseFault(in)
		if err != nil || got != want || got.String() != in {
			t.Errorf("ParseFault(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"":                "want MODULE=KIND such as cart=stuck",
		"cart":            "want MODULE=KIND",
		"=stuck":          "want MODULE=KIND",
		"cart=stuk":       `unknown kind "stuk", want one of stuck, unhealthy, fail, flaky, timeout, lost, down`,
		"cart/bake=stuck": `steps of kind "bake" cannot be struck, want one of deploy,`,
		"cart/=stuck":     `steps of kind ""`,
	} {
		if _, err := local.ParseFault(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseFault(%q) says %v, want %q", in, err, want)
		}
	}
}

// struck opens a world with v1 of cart live and a fault for it.
func struck(t *testing.T, fault string) *local.World {
	w := open(t, "", local.Options{Faults: []local.Fault{must(local.ParseFault(fault))}})
	check(w.Cluster.Seed(cart, "v1", time.Now()))
	return w
}

func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := struck(t, "cart=stuck")
		ctx := t.Context()
		o := order(playbooks.StepDeploy, "k1", "v2")
		must(w.Cluster.Start(ctx, o))
		time.Sleep(24 * time.Hour)
		r := must(w.Cluster.Look(ctx, o))
		wantReport(t, r, steps.Running, "2 of 3 replicas ready")
		if r.CheckAfter <= 0 {
			t.Error("nobody is told when to look again")
		}
		check(w.Cluster.Stop(ctx, o))
		r = must(w.Cluster.Look(ctx, o))
		wantReport(t, r, steps.Failed, "stopped")
		if len(r.Evidence) != 1 {
			t.Error("no logs of what is stuck")
		}
		o = order(playbooks.StepRollback, "k2", "v1")
		must(w.Cluster.Start(ctx, o))
		time.Sleep(3 * time.Second)
		wantReport(t, must(w.Cluster.Look(ctx, o)), steps.Succeeded, "")
	})
}

func TestFailBringsLogsAndStaysInTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := struck(t, "cart=fail")
		o := order(playbooks.StepDeploy, "k1", "v2")
		must(w.Cluster.Start(t.Context(), o))
		w.Heal("cart") // too late for this one
		time.Sleep(time.Hour)
		r := must(w.Cluster.Look(t.Context(), o))
		wantReport(t, r, steps.Failed, "v2: no progress, with 2 of 3")
		if len(r.Evidence) != 1 || !strings.Contains(r.Evidence[0].Text, "exit status 1") || !strings.HasPrefix(r.Evidence[0].Name, "logs of cart-") {
			t.Errorf("evidence is %+v", r.Evidence)
		}
		if again := must(w.Cluster.Look(t.Context(), o)); again.Evidence[0] != r.Evidence[0] {
			t.Error("the logs change each time")
		}
		wantLive(t, w, "v1", true, "no progress")
		o.Key = "k2"
		must(w.Cluster.Start(t.Context(), o))
		time.Sleep(3 * time.Second)
		wantReport(t, must(w.Cluster.Look(t.Context(), o)), steps.Succeeded, "")
	})
}

func TestFlakyFailsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := struck(t, "cart=flaky")
		o := order(playbooks.StepDeploy, "k1", "v2")
		must(w.Cluster.Start(t.Context(), o))
		time.Sleep(3 * time.Second)
		wantReport(t, must(w.Cluster.Look(t.Context(), o)), steps.Failed, "")
		o.Key, o.Attempt = "k2", 2
		must(w.Cluster.Start(t.Context(), o))
		time.Sleep(3 * time.Second)
		wantReport(t, must(w.Cluster.Look(t.Context(), o)), steps.Succeeded, "")
	})
}

func TestUnhealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := struck(t, "cart=unhealthy")
		ctx := t.Context()
		wantLive(t, w, "v1", true, "")
		o := order(playbooks.StepCanary, "k1", "v2")
		o.Share = 10
		must(w.Cluster.Start(ctx, o))
		time.Sleep(3 * time.Second)
		wantReport(t, must(w.Cluster.Look(ctx, o)), steps.Succeeded, "")
		wantLive(t, w, "v1", false, "canary v2 at 10 %")
		must(w.Cluster.Start(ctx, order(playbooks.StepPromote, "k2", "v2")))
		time.Sleep(3 * time.Second)
		wantLive(t, w, "v2", false, "v2 is not healthy: HTTP 503 on /healthz of 3 of 3")
		must(w.Cluster.Start(ctx, order(playbooks.StepRollback, "k3", "v1")))
		time.Sleep(3 * time.Second)
		wantLive(t, w, "v1", true, "")
	})
}

func TestUnhealthyAllOfASudden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, "", local.Options{})
		must(w.Cluster.Start(t.Context(), order(playbooks.StepDeploy, "k1", "v2")))
		time.Sleep(3 * time.Second)
		wantLive(t, w, "v2", true, "")
		w.Inject(local.Fault{Module: "cart", Kind: local.Unhealthy})
		wantLive(t, w, "v2", false, "not healthy")
		w.Heal("cart")
		wantLive(t, w, "v2", true, "")
	})
}

func TestTimeoutHasNoEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := struck(t, "cart=timeout")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("a minute is over"))
		defer cancel()
		o := order(playbooks.StepDeploy, "k1", "v2")
		began := time.Now()
		_, err := w.Cluster.Start(ctx, o)
		if err == nil || !strings.Contains(err.Error(), "a minute is over") || isPermanent(err) {
			t.Errorf("Start says %v", err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("Start hung for %v", took)
		}
		wantReport(t, must(w.Cluster.Look(t.Context(), o)), steps.Absent, "")
	})
}

func TestLostAnswerHasAnEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := struck(t, "cart=lost")
		o := order(playbooks.StepDeploy, "k1", "v2")
		_, err := w.Cluster.Start(t.Context(), o)
		if err == nil || isPermanent(err) {
			t.Errorf("Start says %v, want an error after which nothing is known", err)
		}
		time.Sleep(3 * time.Second)
		wantReport(t, must(w.Cluster.Look(t.Context(), o)), steps.Succeeded, "")
	})
}

func TestDownForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := struck(t, "cart=down")
		o := order(playbooks.StepDeploy, "k1", "v2")
		time.Sleep(time.Hour) // the outage begins with the first call
		for _, wait := range []time.Duration{local.Outage, local.Outage / 2} {
			_, err := w.Cluster.Start(t.Context(), o)
			later, ok := errors.AsType[interface {
				error
				RetryAfter() time.Duration
			}](err)
			if !ok || later.RetryAfter() != wait {
				t.Errorf("Start says %v, want a retry after %v", err, wait)
			}
			time.Sleep(local.Outage / 2)
		}
		must(w.Cluster.Start(t.Context(), o))
		if got := kinds(w.Cluster.Journal()); got != "seeded started" {
			t.Errorf("journal is %q", got)
		}
	})
}

func TestFaultsOfOneKindOfStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := struck(t, "cart/rollback=fail")
		w.Inject(local.Fault{Module: "cart", Step: playbooks.StepMigrate, Kind: local.Fail})
		ctx := t.Context()
		deploy, rollback := order(playbooks.StepDeploy, "k1", "v2"), order(playbooks.StepRollback, "k2", "v1")
		migrate, test := order(playbooks.StepMigrate, "k3", "v2"), order(playbooks.StepTest, "k4", "v2")
		must(w.Cluster.Start(ctx, deploy))
		must(w.Forge.Start(ctx, migrate))
		must(w.Forge.Start(ctx, test))
		time.Sleep(3 * time.Second)
		must(w.Cluster.Start(ctx, rollback))
		time.Sleep(3 * time.Second)
		wantReport(t, must(w.Cluster.Look(ctx, deploy)), steps.Succeeded, "")
		wantReport(t, must(w.Cluster.Look(ctx, rollback)), steps.Failed, "no progress")
		wantReport(t, must(w.Forge.Look(ctx, migrate)), steps.Failed, "failed in stage 3 of 3")
		wantReport(t, must(w.Forge.Look(ctx, test)), steps.Succeeded, "")
	})
}
