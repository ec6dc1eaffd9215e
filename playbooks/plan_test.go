package playbooks_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/playbooks"
)

// graphCatalog reads a real dependency graph as a catalog with one environment.
func graphCatalog(t testing.TB, file string) *playbooks.Catalog {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var graph struct {
		Modules []struct {
			Name  string
			Needs []string
		}
	}
	if err := json.Unmarshal(raw, &graph); err != nil {
		t.Fatal(err)
	}
	c := &playbooks.Catalog{Cycles: playbooks.ReleaseTogether, Environments: []playbooks.Environment{{Name: "production"}}}
	for _, m := range graph.Modules {
		module := playbooks.Module{Name: m.Name, Version: "v1.0.0"}
		for _, n := range m.Needs {
			module.Needs = append(module.Needs, playbooks.Need{Module: n, Kind: playbooks.NeedDeploy})
		}
		c.Modules = append(c.Modules, module)
	}
	return c
}

func graphFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/graphs/*.json")
	if err != nil || len(files) != 5 {
		t.Fatalf("want 5 graphs, have %v (%v)", files, err)
	}
	return files
}

func mustCompile(t testing.TB, c *playbooks.Catalog, req playbooks.Request, facts playbooks.Facts) *playbooks.Playbook {
	t.Helper()
	pb, err := playbooks.Compile(c, req, facts)
	if err != nil {
		t.Fatal(err)
	}
	return pb
}

var everything = playbooks.Request{Environment: "production", All: true}

func TestRealGraphs(t *testing.T) {
	waves := map[string]int{"jupyterlab": 16, "microservices-online-boutique": 5, "microservices-otel-demo": 3,
		"microservices-otel-demo-startorder": 6, "otel-collector-core": 12}
	for _, file := range graphFiles(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			c := graphCatalog(t, file)
			pb := mustCompile(t, c, everything, playbooks.Facts{})
			if len(pb.Waves) != waves[name] {
				t.Errorf("%d waves, want %d", len(pb.Waves), waves[name])
			}
			inspect(t, c, pb)
			t.Run("half", func(t *testing.T) {
				req := playbooks.Request{Environment: "production"}
				for i := 0; i < len(c.Modules); i += 2 {
					req.Modules = append(req.Modules, playbooks.ModuleRef{Name: c.Modules[i].Name})
				}
				inspect(t, c, mustCompile(t, c, req, playbooks.Facts{}))
			})
			t.Run("targets", func(t *testing.T) {
				c := graphCatalog(t, file)
				c.Environments[0].Targets = []string{"eu", "us"}
				inspect(t, c, mustCompile(t, c, everything, playbooks.Facts{}))
			})
		})
	}
}

// TestRandomPlans replays one case with -run 'TestRandomPlans/seed=17$'.
func TestRandomPlans(t *testing.T) {
	for seed := range uint64(400) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			c, req := randomCatalog(rand.New(rand.NewPCG(seed, 1)))
			pb := mustCompile(t, c, req, playbooks.Facts{})
			inspect(t, c, pb)
			raw, err := json.Marshal(pb)
			if err != nil {
				t.Fatal(err)
			}
			var back playbooks.Playbook
			if err := json.Unmarshal(raw, &back); err != nil {
				t.Fatal(err)
			}
			if err := back.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func randomCatalog(r *rand.Rand) (*playbooks.Catalog, playbooks.Request) {
	targets := []string{"eu", "us", "ap"}[:r.IntN(4)]
	env := playbooks.Environment{Name: "production", Targets: targets}
	if r.IntN(2) == 0 {
		env.Approvals = &playbooks.ApprovalPolicy{Rules: []playbooks.ApprovalRule{{Group: "sre", Count: 1}}}
	}
	c := &playbooks.Catalog{Cycles: playbooks.ReleaseTogether, Environments: []playbooks.Environment{{Name: "staging"}, env}}
	n := 2 + r.IntN(14)
	density := 1 + r.IntN(3)
	for i := range n {
		m := playbooks.Module{Name: fmt.Sprintf("m%02d", i), Version: "v1.0.0"}
		for range r.IntN(density + 1) {
			to := r.IntN(n)
			if r.IntN(6) > 0 && i > 0 {
				to = r.IntN(i)
			}
			kind := []playbooks.NeedKind{playbooks.NeedDeploy, playbooks.NeedDeploy, playbooks.NeedBuild, playbooks.NeedTest, ""}[r.IntN(5)]
			m.Needs = append(m.Needs, playbooks.Need{Module: fmt.Sprintf("m%02d", to), Kind: kind})
		}
		d := playbooks.Delivery{}
		for _, target := range targets {
			if r.IntN(3) > 0 {
				d.Targets = append(d.Targets, target)
			}
		}
		if r.IntN(3) == 0 {
			d.Publish = &playbooks.Job{}
		}
		if r.IntN(4) == 0 {
			d.Migration = &playbooks.Job{Irreversible: true}
		}
		for range r.IntN(3) {
			d.Tests = append(d.Tests, playbooks.Job{})
		}
		for range r.IntN(3) {
			d.Gates = append(d.Gates, playbooks.Gate{Kind: "soak", Soak: time.Hour})
		}
		if r.IntN(4) == 0 {
			d.Strategy = playbooks.Strategy{Kind: playbooks.Canary, Stages: []playbooks.CanaryStage{{Share: 10, Bake: time.Minute}, {Share: 50, Bake: time.Minute}}}
		}
		m.Deploy = map[string]playbooks.Delivery{"": d}
		c.Modules = append(c.Modules, m)
	}
	req := playbooks.Request{Environment: "production", All: r.IntN(3) == 0}
	for i := range n {
		if !req.All && (r.IntN(2) == 0 || i == 0) {
			req.Modules = append(req.Modules, playbooks.ModuleRef{Name: c.Modules[i].Name})
		}
	}
	return c, req
}

// inspect checks a playbook against its catalog by brute force: with nothing
// of the planner's, and slow.
func inspect(t *testing.T, c *playbooks.Catalog, pb *playbooks.Playbook) {
	t.Helper()
	if err := pb.Check(); err != nil {
		t.Fatal(err)
	}
	var env *playbooks.Environment
	for i := range c.Environments {
		if c.Environments[i].Name == pb.Environment {
			env = &c.Environments[i]
		}
	}
	in := make(map[string]*playbooks.PlannedModule)
	for i := range pb.Modules {
		in[pb.Modules[i].Name] = &pb.Modules[i]
	}
	modules := make(map[string]*playbooks.Module)
	for i := range c.Modules {
		modules[c.Modules[i].Name] = &c.Modules[i]
	}

	// Who needs whom, over however many others.
	reach := make(map[string]map[string]bool)
	for name := range modules {
		seen := make(map[string]bool)
		todo := []string{name}
		for len(todo) > 0 {
			m := todo[0]
			todo = todo[1:]
			for _, n := range modules[m].Needs {
				if n.Kind != playbooks.NeedTest && !seen[n.Module] {
					seen[n.Module] = true
					todo = append(todo, n.Module)
				}
			}
		}
		reach[name] = seen
	}
	mutual := func(a, b string) bool { return reach[a][b] && reach[b][a] }

	// Waves: the longest chain of needs, in which a cycle counts once.
	memo := make(map[string]int)
	var wave func(string) int
	wave = func(m string) int {
		if w, ok := memo[m]; ok {
			return w
		}
		w := 1
		for n := range in {
			if reach[m][n] && !mutual(m, n) {
				w = max(w, wave(n)+1)
			}
		}
		memo[m] = w
		return w
	}
	for name, m := range in {
		if m.Wave != wave(name) || !slices.Contains(pb.Waves[m.Wave-1], name) {
			t.Errorf("%s is in wave %d, want %d", name, m.Wave, wave(name))
		}
	}
	listed := 0
	for _, w := range pb.Waves {
		listed += len(w)
	}
	if listed != len(pb.Modules) {
		t.Errorf("the waves list %d modules of %d", listed, len(pb.Modules))
	}
	groups := make(map[string]int)
	for i, g := range pb.Groups {
		for _, m := range g {
			groups[m] = i + 1
		}
	}
	for a := range in {
		for b := range in {
			if a != b && mutual(a, b) != (groups[a] > 0 && groups[a] == groups[b]) {
				t.Errorf("%s and %s: group %d and %d", a, b, groups[a], groups[b])
			}
		}
	}

	before := ancestors(pb, false)
	resting := ancestors(pb, true)
	must := func(set map[string]map[string]bool, step, earlier string) {
		t.Helper()
		if pb.Step(earlier) == nil {
			t.Errorf("there is no step %s", earlier)
		} else if !set[step][earlier] {
			t.Errorf("%s does not wait for %s", step, earlier)
		}
	}
	targets := func(m string) []string {
		if len(env.Targets) == 0 {
			return []string{""}
		}
		d := modules[m].Deploy[""]
		if len(d.Targets) == 0 {
			return env.Targets
		}
		return d.Targets
	}
	at := func(kind, module, target string) string {
		if target == "" {
			return kind + ":" + module
		}
		return kind + ":" + module + "@" + target
	}
	for i := range pb.Steps {
		s := &pb.Steps[i]
		if s.Reason == "" {
			t.Errorf("%s has no reason", s.ID)
		}
		for _, e := range s.Needs {
			if e.Reason == "" {
				t.Errorf("%s needs %s without a reason", s.ID, e.Step)
			}
		}
		if s.ID != "notify" {
			must(before, "notify", s.ID)
		}
		if !s.Kind.HasEffect() {
			continue
		}
		must(before, s.ID, "preflight")
		if len(pb.Approvals) > 0 {
			must(resting, s.ID, "approve")
			must(before, "lock", "approve")
		}
		if (s.ApprovedBy == "approve") != (len(pb.Approvals) > 0) {
			t.Errorf("%s is approved by %q", s.ID, s.ApprovedBy)
		}
		for k := range modules[s.Module].Deploy[""].Gates {
			gate := "gate:soak:" + s.Module
			if k > 0 {
				gate = fmt.Sprintf("gate:soak-%d:%s", k+1, s.Module)
			}
			must(resting, s.ID, gate)
			must(before, "lock", gate)
		}
		if s.Kind == playbooks.StepPublish {
			must(resting, s.ID, at("verify", s.Module, targets(s.Module)[0]))
			continue
		}
		own := targets(s.Module)
		k := slices.Index(own, s.Target)
		if k > 0 {
			must(resting, s.ID, at("verify", s.Module, own[k-1]))
		}
		for n := range in {
			if !reach[s.Module][n] || n == s.Module {
				continue
			}
			theirs := targets(n)
			where := theirs[len(theirs)-1]
			if slices.Contains(theirs, s.Target) {
				where = s.Target
			}
			verify := at("verify", n, where)
			if mutual(s.Module, n) {
				if where == s.Target && before[s.ID][verify] {
					t.Errorf("%s waits for %s, and they are one group", s.ID, verify)
				}
				continue
			}
			switch direct := directNeed(modules[s.Module], n); {
			case direct == playbooks.NeedBuild && modules[n].Deploy[""].Publish != nil:
				must(resting, s.ID, "publish:"+n)
			case direct != "" || len(env.Targets) < 2:
				must(resting, s.ID, verify)
			case directReach(modules, in, s.Module, n):
				must(resting, s.ID, verify)
			}
		}
	}
	if len(pb.Targets) == 2 && servedAlike(c) {
		for i := range pb.Steps {
			s := &pb.Steps[i]
			if s.Target != pb.Targets[1] || !s.Kind.HasEffect() {
				continue
			}
			for n := range in {
				must(before, s.ID, at("verify", n, pb.Targets[0]))
			}
		}
	}
}

// directNeed is the kind of a module's own need, the strictest if there are
// several: none is empty.
func directNeed(m *playbooks.Module, of string) playbooks.NeedKind {
	found := playbooks.NeedKind("")
	for _, n := range m.Needs {
		switch {
		case n.Module != of || n.Kind == playbooks.NeedTest:
		case n.Kind == playbooks.NeedBuild && found == "":
			found = playbooks.NeedBuild
		case n.Kind != playbooks.NeedBuild:
			found = playbooks.NeedDeploy
		}
	}
	return found
}

// directReach reports whether from needs to through modules outside the release.
func directReach(modules map[string]*playbooks.Module, in map[string]*playbooks.PlannedModule, from, to string) bool {
	seen := make(map[string]bool)
	todo := []string{from}
	for len(todo) > 0 {
		m := todo[0]
		todo = todo[1:]
		for _, n := range modules[m].Needs {
			if n.Kind == playbooks.NeedTest || seen[n.Module] {
				continue
			}
			if n.Module == to && m != from {
				return true
			}
			if in[n.Module] == nil {
				seen[n.Module] = true
				todo = append(todo, n.Module)
			}
		}
	}
	return false
}

// servedAlike reports whether everything goes to all targets, one after another.
func servedAlike(c *playbooks.Catalog) bool {
	return !slices.ContainsFunc(c.Modules, func(m playbooks.Module) bool {
		d := m.Deploy[""]
		return len(d.Targets) > 0 || d.Publish != nil
	})
}

// ancestors are, for each step, all steps that have to be done before it; with
// resting, only those whose content matters to it.
func ancestors(pb *playbooks.Playbook, resting bool) map[string]map[string]bool {
	all := make(map[string]map[string]bool, len(pb.Steps))
	for i := range pb.Steps {
		set := make(map[string]bool)
		for _, e := range pb.Steps[i].Needs {
			if resting && e.Order {
				continue
			}
			set[e.Step] = true
			for s := range all[e.Step] {
				set[s] = true
			}
		}
		all[pb.Steps[i].ID] = set
	}
	return all
}
