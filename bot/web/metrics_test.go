package web_test

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-release/muster/bot/web"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/mem"
)

// A run that waits for its approval is counted as such, and not looked at again
// until it has changed.
func TestCensus(t *testing.T) {
	catalog := &playbooks.Catalog{
		Modules: []playbooks.Module{{Name: "cart", Version: "v1"}},
		Environments: []playbooks.Environment{{Name: "production", Approvals: &playbooks.ApprovalPolicy{
			Rules: []playbooks.ApprovalRule{{Group: "qa", Count: 1}},
		}}},
		People: []playbooks.Person{{ID: "ann"}, {ID: "bob"}},
		Groups: []playbooks.Group{{Name: "qa", Members: []string{"bob"}}},
		Access: []playbooks.Access{{Who: []string{"ann"}, Role: playbooks.Admin}},
	}
	s := mem.New(mem.Options{})
	defer s.Close()
	e, err := engine.Open(t.Context(), engine.Options{
		Logs: store.NewLogs(s), Policy: playbooks.NewPolicy(catalog), Runners: steps.Ports{}.Runners(),
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Resume()
	defer e.Stop()
	runs := &counting{Engine: e}
	census := web.NewCensus(runs)
	if got := gather(t, census); len(got) != 1 || got["muster_approvals_waiting"] != 0 {
		t.Errorf("without a run = %v", got)
	}
	pb, err := e.Plan(t.Context(), playbooks.Request{Environment: "production", All: true})
	if err != nil {
		t.Fatal(err)
	}
	run, err := e.Start(t.Context(), playbooks.Command{Kind: playbooks.CommandStart, Digest: pb.Digest, By: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got := gather(t, census)
		if got["muster_approvals_waiting"] != 1 || got["muster_open_runs waiting for approval"] != 1 || got["muster_open_run_steps pending"] == 0 {
			t.Errorf("with a run that waits = %v", got)
		}
	}
	if runs.views != 1 {
		t.Errorf("the run was looked at %d times, want once", runs.views)
	}
	if err := e.Do(t.Context(), playbooks.Command{Kind: playbooks.CommandAbort, Run: run, By: "ann"}); err != nil {
		t.Fatal(err)
	}
	census.Changed(run)
	if got := gather(t, census); got["muster_approvals_waiting"] != 0 {
		t.Errorf("after the abort = %v", got)
	}
}

// counting counts how often runs are looked at.
type counting struct {
	*engine.Engine
	views int
}

func (c *counting) View(ctx context.Context, run string, fn func(engine.View) error) error {
	c.views++
	return c.Engine.View(ctx, run, fn)
}

// gather returns the values of a collector by name and label.
func gather(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			values[name] = m.GetGauge().GetValue()
		}
	}
	return values
}
