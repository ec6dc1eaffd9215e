package playbooks_test

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/playbooks"
)

func encode(t testing.TB, pb *playbooks.Playbook) string {
	t.Helper()
	raw, err := json.Marshal(pb)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func decode(t testing.TB, raw string) *playbooks.Playbook {
	t.Helper()
	var pb playbooks.Playbook
	if err := json.Unmarshal([]byte(raw), &pb); err != nil {
		t.Fatal(err)
	}
	return &pb
}

// TestDigestsIgnoreWords changes everything that a person only reads.
func TestDigestsIgnoreWords(t *testing.T) {
	c := shop()
	want := mustCompile(t, c, everything, playbooks.Facts{})
	changed := shop()
	for i := range changed.Modules {
		m := &changed.Modules[i]
		m.Description, m.Owners, m.Labels = "other", []string{"somebody"}, map[string]string{"a": "b"}
		for k := range m.Needs {
			m.Needs[k].Reason = "quite another reason"
		}
		for name, d := range m.Deploy {
			d.Estimate, d.Timeout, d.Retries = time.Hour, time.Minute, 3
			m.Deploy[name] = d
		}
	}
	req := everything
	req.Reason = "because"
	have := mustCompile(t, changed, req, playbooks.Facts{Freezes: []playbooks.Freeze{{Environment: "production", By: "ana"}}})
	if have.Digest != want.Digest || encode(t, have) == encode(t, want) {
		t.Error("words and estimates move the digest")
	}
	for i := range have.Steps {
		if have.Steps[i].Digest != want.Steps[i].Digest || have.Steps[i].Merkle != want.Steps[i].Merkle {
			t.Errorf("%s has another digest", have.Steps[i].ID)
		}
	}
}

// TestDigestsFollowContent changes one thing at a time and compares which steps have
// another content and which rest on those with what a search by hand finds.
func TestDigestsFollowContent(t *testing.T) {
	base := mustCompile(t, shop(), everything, playbooks.Facts{})
	tests := []struct {
		name   string
		change func(*playbooks.Catalog)
		direct func(*playbooks.Step) bool // steps whose content changes
	}{
		{"version", func(c *playbooks.Catalog) { c.Modules[2].Version = "v7.2.1" }, func(s *playbooks.Step) bool { return s.Module == "redis" }},
		{"artifact", func(c *playbooks.Catalog) { edit(c, func(d *playbooks.Delivery) { d.Artifact = "other" }) }, func(s *playbooks.Step) bool {
			return s.Module == "cart" && s.Kind.HasEffect()
		}},
		{"bake", func(c *playbooks.Catalog) { edit(c, func(d *playbooks.Delivery) { d.Strategy.Stages[0].Bake++ }) }, func(s *playbooks.Step) bool { return s.Kind == playbooks.StepBake }},
		{"soak", func(c *playbooks.Catalog) { edit(c, func(d *playbooks.Delivery) { d.Gates[0].Soak++ }) }, func(s *playbooks.Step) bool { return s.Kind == playbooks.StepGate }},
		{"reversible", func(c *playbooks.Catalog) { edit(c, func(d *playbooks.Delivery) { d.Migration.Irreversible = false }) }, func(s *playbooks.Step) bool { return s.Kind == playbooks.StepMigrate }},
		{"approvers", func(c *playbooks.Catalog) { c.Environments[1].Approvals.Rules[0].Count++ }, func(s *playbooks.Step) bool { return s.Kind == playbooks.StepApproval }},
		{"channels", func(c *playbooks.Catalog) { c.Environments[1].Channels = nil }, func(s *playbooks.Step) bool { return s.Kind == playbooks.StepNotify }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := shop()
			test.change(c)
			pb := mustCompile(t, c, everything, playbooks.Facts{})
			if pb.Digest == base.Digest {
				t.Error("the playbook has the same digest")
			}
			resting := ancestors(pb, true)
			for i := range pb.Steps {
				s := &pb.Steps[i]
				was := base.Step(s.ID)
				if was == nil {
					t.Fatalf("%s is new", s.ID)
				}
				if (was.Digest != s.Digest) != test.direct(s) {
					t.Errorf("%s: content changed: %t", s.ID, was.Digest != s.Digest)
				}
				rests := test.direct(s)
				for earlier := range resting[s.ID] {
					rests = rests || test.direct(pb.Step(earlier))
				}
				if (was.Merkle != s.Merkle) != rests {
					t.Errorf("%s: Merkle digest changed: %t, rests on the change: %t", s.ID, was.Merkle != s.Merkle, rests)
				}
			}
		})
	}
}

// edit changes how cart gets to production.
func edit(c *playbooks.Catalog, change func(*playbooks.Delivery)) {
	d := c.Modules[1].Deploy["production"]
	change(&d)
	c.Modules[1].Deploy["production"] = d
}

func TestCheckRefuses(t *testing.T) {
	good := encode(t, mustCompile(t, shop(), everything, playbooks.Facts{}))
	if err := decode(t, good).Check(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, want string
		change     func(*playbooks.Playbook)
	}{
		{"format", "reads format 1", func(pb *playbooks.Playbook) { pb.Format = 2 }},
		{"content", `step "deploy:ads@eu" is not what its digest says`, func(pb *playbooks.Playbook) { pb.Step("deploy:ads@eu").Version = "v6.6.6" }},
		{"approvers", `step "approve" is not what its digest says`, func(pb *playbooks.Playbook) { pb.Approvals[0].Rules[0].Count = 0 }},
		{"limit", "is not what its digest", func(pb *playbooks.Playbook) { pb.Limit = 99 }},
		{"order", "which is no step before it", func(pb *playbooks.Playbook) { slices.Reverse(pb.Steps) }},
		{"twice", "two steps have the ID", func(pb *playbooks.Playbook) { pb.Steps = append(pb.Steps, pb.Steps[0]) }},
		{"lost edge", "is not what its digest", func(pb *playbooks.Playbook) {
			s := pb.Step("lock")
			s.Needs = s.Needs[:1]
		}},
		{"unsorted", "are not sorted", func(pb *playbooks.Playbook) { slices.Reverse(pb.Step("lock").Needs) }},
		{"no question", "asks nobody", func(pb *playbooks.Playbook) {
			pb.Approvals = nil
			if err := pb.Seal(); err != nil {
				t.Fatal(err)
			}
		}},
		{"no approval step", "has no approval step", func(pb *playbooks.Playbook) {
			pb.Approvals = append(pb.Approvals, playbooks.Approval{Step: "lock"})
			if err := pb.Seal(); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pb := decode(t, good)
			test.change(pb)
			if err := pb.Check(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("want %q, have %v", test.want, err)
			}
		})
	}
}

func TestDiff(t *testing.T) {
	facts := playbooks.Facts{}
	old := mustCompile(t, shop(), request("redis", "cart", "ads", "protocol"), facts)
	if c := playbooks.Diff(old, decode(t, encode(t, old))); !c.Same() || !strings.HasPrefix(c.String(), "no change") {
		t.Errorf("have %s", c)
	}
	c := shop()
	c.Modules[2].Version = "v7.2.1"
	diff := playbooks.Diff(old, mustCompile(t, c, request("redis", "cart", "protocol", "frontend"), facts))
	want := []string{"added    frontend v3.0.0", "removed  ads v0.9.0", "version  redis v7.2.0 → v7.2.1", "asked    again for cart, frontend and redis"}
	for _, line := range want {
		if !strings.Contains(diff.String(), line+"\n") {
			t.Errorf("%q is not in\n%s", line, diff)
		}
	}
	if !slices.Contains(diff.StepsAdded, "deploy:frontend@us") || !slices.Contains(diff.StepsRemoved, "deploy:ads@eu") || !slices.Contains(diff.StepsChanged, "deploy:redis@eu") {
		t.Errorf("steps %v %v %v", diff.StepsAdded, diff.StepsRemoved, diff.StepsChanged)
	}
}

// A plan made offline differs from one made online in what is replaced, and that is
// not a change that anybody made.
func TestDiffPlansOffline(t *testing.T) {
	c := shop()
	wish := request("redis", "cart", "protocol")
	offline := mustCompile(t, c, wish, playbooks.Facts{})
	online := mustCompile(t, c, wish, playbooks.Facts{Known: []string{"production"}, Live: []playbooks.Live{
		{Place: playbooks.Place{Environment: "production", Target: "eu", Module: "redis"}, Version: "v7.0.0", Healthy: true},
		{Place: playbooks.Place{Environment: "production", Target: "us", Module: "redis"}, Version: "v7.0.0", Healthy: true},
	}})
	if d := playbooks.Diff(online, offline); d.Same() || len(d.StepsChanged) == 0 {
		t.Errorf("Diff sees no change:\n%s", d)
	}
	before := encode(t, online)
	for _, d := range []*playbooks.Change{playbooks.DiffPlans(online, offline), playbooks.DiffPlans(offline, online)} {
		if !d.Same() || !d.Offline || !strings.Contains(d.String(), "does not know what is live") {
			t.Errorf("same %t, offline %t:\n%s", d.Same(), d.Offline, d)
		}
	}
	if before != encode(t, online) {
		t.Error("comparing has changed the playbook")
	}
	c.Modules[2].Version = "v7.2.1"
	d := playbooks.DiffPlans(online, mustCompile(t, c, wish, playbooks.Facts{}))
	for _, line := range []string{"does not know what is live", "version  redis v7.2.0 → v7.2.1", "asked    again for cart and redis"} {
		if !strings.Contains(d.String(), line) {
			t.Errorf("%q is not in\n%s", line, d)
		}
	}
	if d := playbooks.DiffPlans(online, online); !d.Same() || d.Offline {
		t.Errorf("a plan differs from itself:\n%s", d)
	}
}

// FuzzPlaybookJSON: whatever comes in, Check answers, and what it accepts can be used.
func FuzzPlaybookJSON(f *testing.F) {
	f.Add([]byte(encode(f, mustCompile(f, shop(), request("cart", "redis", "protocol"), playbooks.Facts{}))))
	f.Add([]byte(`{"format":1,"steps":[{"id":"a","needs":[{"step":"a"}]}]}`))
	f.Add([]byte(`{"format":1,"modules":[{"name":"a","wave":-3,"needs":[{"module":"a"}]}],"waves":[["b"],null],"groups":[["a"]],"warnings":[{}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var pb playbooks.Playbook
		if json.Unmarshal(raw, &pb) != nil {
			return
		}
		checked := pb.Check() == nil
		if checked {
			for i := range pb.Steps {
				if pb.Step(pb.Steps[i].ID) != &pb.Steps[i] {
					t.Errorf("step %q is not found", pb.Steps[i].ID)
				}
			}
		}
		pb.Priorities()
		_ = playbooks.Diff(&pb, &pb).String()
		_ = playbooks.DiffPlans(&pb, new(playbooks.Playbook)).String()
		for _, write := range writers {
			if err := write(io.Discard, &pb); err != nil {
				t.Error(err)
			}
		}
	})
}
