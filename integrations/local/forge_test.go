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

func TestBuilds(t *testing.T) {
	w := open(t, "", local.Options{})
	ctx := t.Context()
	for _, b := range []playbooks.BuildState{
		{Module: "cart", Version: "v1", State: "passed", Link: "https://ci.example/1"},
		{Module: "cart", Version: "v2", State: "running"},
		{Module: "cart", Version: "v3", State: "failed"},
		{Module: "cart", Version: "v2", State: "passed"},
		{Module: "cart", Version: "v2", State: "passed"},
	} {
		check(w.Forge.SetBuild(b))
	}
	if err := w.Forge.SetBuild(playbooks.BuildState{Module: "cart", Version: "v4", State: "great"}); err == nil {
		t.Error("a state that there is not was taken")
	}
	if got := kinds(w.Forge.Journal()); got != "built built built built" {
		t.Errorf("journal is %q, want nothing for what was known", got)
	}
	var got []string
	for _, b := range must(w.Forge.Versions(ctx, "cart", 2)) {
		got = append(got, b.Version+" "+b.State)
	}
	if s := strings.Join(got, ", "); s != "v3 failed, v2 passed" {
		t.Errorf("versions are %s", s)
	}
	if n := len(must(w.Forge.Versions(ctx, "cart", 0))); n != 3 {
		t.Errorf("%d versions without a limit, want 3", n)
	}
	if b := must(w.Forge.Build(ctx, "cart", "v9")); b.State != "missing" || b.Link != "" {
		t.Errorf("a version that was never built is %+v", b)
	}
}

func TestPipelineGate(t *testing.T) {
	w := open(t, "", local.Options{})
	for version, state := range map[string]string{"v1": "passed", "v2": "running", "v3": "failed"} {
		check(w.Forge.SetBuild(playbooks.BuildState{Module: "cart", Version: version, State: state}))
	}
	ask := func(kind, version string) (steps.GateAnswer, error) {
		return w.Forge.Check(t.Context(), steps.GateQuery{Gate: playbooks.Gate{Kind: kind}, Module: "cart", Version: version})
	}
	for version, want := range map[string]steps.Phase{"v1": steps.Succeeded, "v2": steps.Running, "v3": steps.Failed, "v4": steps.Failed} {
		a := must(ask("pipeline", version))
		if a.Phase != want || a.Message == "" || (a.CheckAfter > 0) != (want == steps.Running) || (len(a.Evidence) > 0) != (version != "v4") {
			t.Errorf("gate for %s answers %+v, want %s", version, a, want)
		}
	}
	if _, err := ask("weather", "v1"); !isPermanent(err) {
		t.Errorf("another gate answers %v, want a permanent refusal", err)
	}
}

func TestJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, "", local.Options{})
		ctx := t.Context()
		o := order(playbooks.StepTest, "k1", "v2")
		wantReport(t, must(w.Forge.Look(ctx, o)), steps.Absent, "no such job")
		check(w.Forge.Stop(ctx, o))
		r := must(w.Forge.Start(ctx, o))
		wantReport(t, r, steps.Running, "test v2: 0 of 3 stages")
		time.Sleep(r.CheckAfter)
		wantReport(t, must(w.Forge.Look(ctx, o)), steps.Running, "1 of 3")
		time.Sleep(2 * time.Second)
		r = must(w.Forge.Look(ctx, o))
		wantReport(t, r, steps.Succeeded, "passed")
		if len(r.Evidence) != 1 || r.Evidence[0].Link != "local://forge/cart/jobs/1" {
			t.Errorf("evidence is %+v", r.Evidence)
		}

		// The forge does not know that it was asked before.
		must(w.Forge.Start(ctx, o))
		wantReport(t, must(w.Forge.Look(ctx, o)), steps.Running, "0 of 3")
		time.Sleep(time.Second)
		check(w.Forge.Stop(ctx, o))
		time.Sleep(time.Hour)
		wantReport(t, must(w.Forge.Look(ctx, o)), steps.Failed, "cancelled after 1 of 3")
		if got := kinds(w.Forge.Journal()); got != "started started stopped" {
			t.Errorf("journal is %q", got)
		}
		if _, err := w.Forge.Start(ctx, order(playbooks.StepDeploy, "k2", "v2")); !isPermanent(err) {
			t.Errorf("a deployment answers %v, want a permanent refusal", err)
		}
	})
}
