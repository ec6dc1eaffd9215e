package local_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

func wantReport(t *testing.T, r steps.Report, phase steps.Phase, words string) {
	t.Helper()
	if r.Phase != phase || !strings.Contains(r.Message, words) {
		t.Errorf("report is %s %q, want %s and %q", r.Phase, r.Message, phase, words)
	}
}

func wantLive(t *testing.T, w *local.World, version string, healthy bool, words string) {
	t.Helper()
	l := must(w.Cluster.Live(t.Context(), cart))
	if l.Version != version || l.Healthy != healthy || !strings.Contains(l.Message, words) || l.Place != cart {
		t.Errorf("live is %q, healthy %v, %q; want %q, %v, %q", l.Version, l.Healthy, l.Message, version, healthy, words)
	}
}

func TestRolloutFollowsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, "", local.Options{})
		ctx := t.Context()
		wantLive(t, w, "", false, "")
		since := time.Now().Add(-time.Hour).UTC()
		check(w.Cluster.Seed(cart, "v1", since))
		check(w.Cluster.Seed(cart, "v0", since))
		wantLive(t, w, "v1", true, "")

		o := order(playbooks.StepDeploy, "k1", "v2")
		wantReport(t, must(w.Cluster.Look(ctx, o)), steps.Absent, "never seen")
		began := time.Now()
		r := must(w.Cluster.Start(ctx, o))
		wantReport(t, r, steps.Running, "v2: 0 of 3 replicas ready")
		if r.CheckAfter != time.Second || r.Total != 3 {
			t.Errorf("report is %+v, want a look at the next replica", r)
		}
		time.Sleep(r.CheckAfter)
		wantReport(t, must(w.Cluster.Look(ctx, o)), steps.Running, "1 of 3 replicas ready")
		wantLive(t, w, "v1", true, "v2: 1 of 3")
		time.Sleep(1500 * time.Millisecond)
		r = must(w.Cluster.Look(ctx, o))
		wantReport(t, r, steps.Running, "2 of 3 replicas ready")
		if r.CheckAfter != 500*time.Millisecond || r.Progress != 2 {
			t.Errorf("report is %+v, want a look at the last replica", r)
		}
		time.Sleep(r.CheckAfter)
		wantReport(t, must(w.Cluster.Look(ctx, o)), steps.Succeeded, "3 of 3 replicas ready")
		time.Sleep(time.Hour)
		wantLive(t, w, "v2", true, "")
		if l := must(w.Cluster.Live(ctx, cart)); !l.Since.Equal(began.Add(3 * time.Second)) {
			t.Errorf("live since %v, want the end of the rollout", l.Since)
		}

		o = order(playbooks.StepRemove, "k2", "")
		must(w.Cluster.Start(ctx, o))
		time.Sleep(3 * time.Second)
		wantReport(t, must(w.Cluster.Look(ctx, o)), steps.Succeeded, "cart: 3 of 3 replicas removed")
		wantLive(t, w, "", false, "")
	})
}

func TestWorldGoesOnWhileNobodyHasItOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := open(t, dir, local.Options{Speed: 10})
		o := order(playbooks.StepDeploy, "k1", "v2")
		must(w.Cluster.Start(t.Context(), o))
		w.Close()
		time.Sleep(150 * time.Millisecond)
		w = open(t, dir, local.Options{})
		wantReport(t, must(w.Cluster.Look(t.Context(), o)), steps.Running, "1 of 3")
		w.Close()
		time.Sleep(150 * time.Millisecond)
		w = open(t, dir, local.Options{})
		wantReport(t, must(w.Cluster.Look(t.Context(), o)), steps.Succeeded, "3 of 3")
		wantLive(t, w, "v2", true, "")
	})
}

func TestSameKeyIsTheSameRollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, "", local.Options{})
		o := order(playbooks.StepDeploy, "k1", "v2")
		must(w.Cluster.Start(t.Context(), o))
		time.Sleep(2 * time.Second)
		wantReport(t, must(w.Cluster.Start(t.Context(), o)), steps.Running, "2 of 3")
		time.Sleep(time.Second)
		wantReport(t, must(w.Cluster.Start(t.Context(), o)), steps.Succeeded, "3 of 3")
		if got := kinds(w.Cluster.Journal()); got != "started duplicate duplicate" {
			t.Errorf("journal is %q", got)
		}
	})
}

func TestCanary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, "", local.Options{})
		ctx := t.Context()
		check(w.Cluster.Seed(cart, "v1", time.Now()))
		canary := order(playbooks.StepCanary, "k1", "v2")
		canary.Share, canary.Params["replicas"] = 25, "8"
		must(w.Cluster.Start(ctx, canary))
		time.Sleep(3 * time.Second)
		wantReport(t, must(w.Cluster.Look(ctx, canary)), steps.Succeeded, "v2 at 25 %: 2 of 2 replicas ready")
		wantLive(t, w, "v1", true, "canary v2 has 25 %")

		must(w.Cluster.Start(ctx, order(playbooks.StepPromote, "k2", "v2")))
		time.Sleep(time.Second)
		wantLive(t, w, "v1", true, "v2: 1 of 3")
		time.Sleep(2 * time.Second)
		wantLive(t, w, "v2", true, "")

		canary.Key, canary.Version = "k3", "v3"
		must(w.Cluster.Start(ctx, canary))
		time.Sleep(3 * time.Second)
		must(w.Cluster.Start(ctx, order(playbooks.StepRollback, "k4", "v2")))
		time.Sleep(3 * time.Second)
		wantLive(t, w, "v2", true, "")
		wantReport(t, must(w.Cluster.Look(ctx, canary)), steps.Succeeded, "")
	})
}

func TestLaterRolloutTakesOver(t *testing.T) {
	for _, c := range []struct {
		action playbooks.StepKind
		want   string
	}{
		{playbooks.StepDeploy, "superseded by the deploy of v3"},
		{playbooks.StepRollback, "cancelled by the rollback to v3"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := open(t, "", local.Options{})
			check(w.Cluster.Seed(cart, "v1", time.Now()))
			first, second := order(playbooks.StepDeploy, "k1", "v2"), order(c.action, "k2", "v3")
			must(w.Cluster.Start(t.Context(), first))
			time.Sleep(time.Second)
			must(w.Cluster.Start(t.Context(), second))
			wantReport(t, must(w.Cluster.Look(t.Context(), first)), steps.Failed, c.want)
			time.Sleep(2 * time.Second)
			wantLive(t, w, "v1", true, "v3: 2 of 3")
			time.Sleep(time.Second)
			wantLive(t, w, "v3", true, "")
			wantReport(t, must(w.Cluster.Look(t.Context(), first)), steps.Failed, "1 of 3")
		})
	}
}

func TestStopLeavesTheOldVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, "", local.Options{})
		ctx := t.Context()
		check(w.Cluster.Seed(cart, "v1", time.Now()))
		o := order(playbooks.StepDeploy, "k1", "v2")
		check(w.Cluster.Stop(ctx, o))
		must(w.Cluster.Start(ctx, o))
		time.Sleep(2 * time.Second)
		check(w.Cluster.Stop(ctx, o))
		check(w.Cluster.Stop(ctx, o))
		time.Sleep(time.Hour)
		wantReport(t, must(w.Cluster.Look(ctx, o)), steps.Failed, "v2: stopped, with 2 of 3")
		wantLive(t, w, "v1", true, "stopped")

		o = order(playbooks.StepDeploy, "k2", "v2")
		must(w.Cluster.Start(ctx, o))
		time.Sleep(3 * time.Second)
		check(w.Cluster.Stop(ctx, o))
		wantReport(t, must(w.Cluster.Look(ctx, o)), steps.Succeeded, "")
		if got := kinds(w.Cluster.Journal()); got != "seeded started stopped started" {
			t.Errorf("journal is %q", got)
		}
	})
}

func TestLiveTellsTheConfigurationOfTheBuild(t *testing.T) {
	w := open(t, "", local.Options{})
	check(w.Cluster.Seed(cart, "v1", time.Now()))
	check(w.Forge.SetBuild(playbooks.BuildState{Module: "cart", Version: "v1", State: "passed", Config: "c1"}))
	if l := must(w.Cluster.Live(t.Context(), cart)); l.Config != "c1" {
		t.Errorf("configuration is %q, want that of the build", l.Config)
	}
}

func TestOrdersThatMakeNoSense(t *testing.T) {
	w := open(t, "", local.Options{})
	for name, change := range map[string]func(*steps.Order){
		"only deploy, canary":    func(o *steps.Order) { o.Action = playbooks.StepTest },
		"no key":                 func(o *steps.Order) { o.Key = "" },
		"no version":             func(o *steps.Order) { o.Version = "" },
		"parameter duration":     func(o *steps.Order) { o.Params["duration"] = "soon" },
		"parameter replicas: ":   func(o *steps.Order) { o.Params["replicas"] = "0" },
		"not a number from 1 to": func(o *steps.Order) { o.Params["replicas"] = "many" },
	} {
		o := order(playbooks.StepDeploy, "k1", "v2")
		change(&o)
		_, err := w.Cluster.Start(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), name) || !isPermanent(err) {
			t.Errorf("Start says %v, want a permanent refusal with %q", err, name)
		}
	}
	if n := len(w.Cluster.Journal()); n != 0 {
		t.Errorf("refused orders left %d entries", n)
	}
}

func TestDurations(t *testing.T) {
	for name, c := range map[string]struct {
		opts   local.Options
		params map[string]string
		want   time.Duration // 0: between one and three seconds
	}{
		"by the module":    {local.Options{}, nil, 0},
		"by the parameter": {local.Options{}, map[string]string{"duration": "9s"}, 9 * time.Second},
		"by the options": {local.Options{Takes: func(steps.Order) time.Duration { return time.Minute }},
			map[string]string{"duration": "9s"}, time.Minute},
		"with speed": {local.Options{Speed: 4}, map[string]string{"duration": "8s"}, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t, "", c.opts)
			o := order(playbooks.StepDeploy, "k1", "v2")
			o.Params = c.params
			must(w.Cluster.Start(t.Context(), o))
			got := w.Cluster.Journal()[0].Takes
			if c.want != 0 && got != c.want || c.want == 0 && (got < time.Second || got > 3*time.Second) {
				t.Errorf("takes %v, want %v", got, c.want)
			}
		})
	}
	w := open(t, "", local.Options{Takes: func(steps.Order) time.Duration { return 0 }})
	wantReport(t, must(w.Cluster.Start(t.Context(), order(playbooks.StepDeploy, "k1", "v2"))), steps.Succeeded, "")
}
