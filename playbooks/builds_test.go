package playbooks_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/playbooks"
)

const (
	someCommit  = "3fa2c1d4e5f60718293a4b5c6d7e8f9001122334"
	otherCommit = "99a2c1d4e5f60718293a4b5c6d7e8f9001122334"
	someDigest  = "sha256:0f343b0931126a20f133d67c2b018a3b1b5e6b3a4e1c0b6d3c2e1f0a9b8c7d6e"
)

// bakery is a catalog of one module that is built, tagged and deployed by its digest.
func bakery(change ...func(*playbooks.Catalog)) *playbooks.Catalog {
	c := &playbooks.Catalog{
		Environments: []playbooks.Environment{{Name: "production", Approvals: &playbooks.ApprovalPolicy{Rules: []playbooks.ApprovalRule{{Group: "leads", Count: 1}}}}},
		Modules: []playbooks.Module{{Name: "oven", Source: "bakery/oven", TagPrefix: "oven/", Deploy: map[string]playbooks.Delivery{"": {
			Tag: true, Artifact: "registry/oven@{digest}", Gates: []playbooks.Gate{{Kind: "pipeline"}}, Migration: &playbooks.Job{}, Publish: &playbooks.Job{},
		}}}},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func baked(version, state, commit string) playbooks.Facts {
	b := playbooks.BuildState{Module: "oven", Version: version, State: state, Commit: commit, Digest: someDigest}
	return playbooks.Facts{At: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), Known: []string{"production"}, Builds: []playbooks.BuildState{b}, Newest: []playbooks.BuildState{b}}
}

// TestBuildIsPartOfTheContent lets every step about a version name what it was
// built of, so that an answer to one commit is no answer to another.
func TestBuildIsPartOfTheContent(t *testing.T) {
	one := mustCompile(t, bakery(), request("oven@v1.2.0"), baked("v1.2.0", "passed", someCommit))
	for _, id := range []string{"gate:pipeline:oven", "tag:oven", "migrate:oven", "deploy:oven", "publish:oven"} {
		step := one.Step(id)
		if step == nil {
			t.Fatalf("there is no step %s", id)
		}
		if step.Params["commit"] != someCommit || step.Params["digest"] != someDigest {
			t.Errorf("%s has %v", id, step.Params)
		}
	}
	if got := one.Step("deploy:oven").Artifact; got != "registry/oven@"+someDigest {
		t.Errorf("the artifact is %s", got)
	}
	if tag := one.Step("tag:oven"); tag.ApprovedBy != "approve" || !strings.Contains(tag.Reason, "oven/v1.2.0") {
		t.Errorf("the tag is %+v", tag)
	}
	other := mustCompile(t, bakery(), request("oven@v1.2.0"), baked("v1.2.0", "passed", otherCommit))
	if one.Digest == other.Digest || one.Step("deploy:oven").Merkle == other.Step("deploy:oven").Merkle {
		t.Error("another commit has the same digest")
	}
	again := mustCompile(t, bakery(), request("oven@v1.2.0"), baked("v1.2.0", "passed", someCommit))
	if one.Digest != again.Digest {
		t.Error("the same build has another digest")
	}
}

func TestNewestBuildIsTheVersionWhereNoneIsNamed(t *testing.T) {
	pb := mustCompile(t, bakery(), request("oven"), baked("v1.3.0", "passed", someCommit))
	if m := pb.Modules[0]; m.Version != "v1.3.0" || m.Source != "newest build" {
		t.Errorf("got %s from %s", m.Version, m.Source)
	}
}

func TestVersionNamedAfterACommitGetsNoTag(t *testing.T) {
	pb := mustCompile(t, bakery(), request("oven@v1.3.1-0.20260301090000-3fa2c1d4e5f6"), baked("v1.3.1-0.20260301090000-3fa2c1d4e5f6", "passed", someCommit))
	if pb.Step("tag:oven") != nil {
		t.Error("it is tagged")
	}
	if pb.Warnings[0].Code != "untagged" {
		t.Errorf("the warnings are %v", pb.Warnings)
	}
}

func TestOnlyRegisteredBuildsArePromoted(t *testing.T) {
	strict := bakery(func(c *playbooks.Catalog) {
		c.Environments[0].OnlyRegistered = true
		c.Modules[0].Deploy[""] = playbooks.Delivery{}
		c.Modules = append(c.Modules, playbooks.Module{Name: "redis", Version: "v7"})
	})
	problem := func(facts playbooks.Facts, words ...string) *playbooks.Problem {
		t.Helper()
		_, err := playbooks.Compile(strict, request(words...), facts)
		var plan *playbooks.PlanError
		if err == nil {
			return nil
		}
		if !errors.As(err, &plan) || len(plan.Problems) != 1 || plan.Problems[0].Code != "unregistered" {
			t.Fatalf("got %v", err)
		}
		return &plan.Problems[0]
	}
	for _, state := range []string{"failed", "running", "missing"} {
		if p := problem(baked("v1.2.0", state, ""), "oven@v1.2.0"); p == nil || !strings.Contains(p.Message, "is "+state) {
			t.Errorf("a build that is %s: %v", state, p)
		}
	}
	if p := problem(baked("v1.2.0", "passed", someCommit), "oven@v1.9.0"); p == nil || len(p.Offer) != 1 || p.Offer[0] != "oven@v1.2.0" {
		t.Errorf("a version that nobody registered: %v", p)
	}
	if p := problem(baked("v1.2.0", "passed", someCommit), "oven@v1.2.0", "redis"); p != nil {
		t.Errorf("what is registered, and what has no source: %v", p)
	}
	if p := problem(playbooks.Facts{}, "oven@v1.9.0"); p != nil {
		t.Errorf("offline: %v", p)
	}
}

func TestArtifactThatCannotBeFilledIn(t *testing.T) {
	facts := baked("v1.2.0", "passed", someCommit)
	facts.Builds[0].Digest = ""
	_, err := playbooks.Compile(bakery(), request("oven@v1.2.0"), facts)
	if err == nil || !strings.Contains(err.Error(), "wants {digest}, and no build of v1.2.0 is registered that says it") {
		t.Errorf("got %v", err)
	}
}

// TestDeparture lets people answer at once, and locks nothing before its time.
func TestDeparture(t *testing.T) {
	req := request("oven@v1.2.0")
	req.NotBefore = time.Date(2026, 3, 1, 16, 0, 0, 0, time.FixedZone("", 3600))
	pb := mustCompile(t, bakery(), req, baked("v1.2.0", "passed", someCommit))
	gate := pb.Step("gate:departure")
	if gate == nil || gate.Params["until"] != "2026-03-01T15:00:00Z" || !strings.Contains(gate.Reason, "15:00 UTC on Sun 1 Mar") {
		t.Fatalf("the departure is %+v", gate)
	}
	if len(pb.Step("approve").Needs) != 0 {
		t.Error("people are asked only when it departs")
	}
	waits := false
	for _, edge := range pb.Step("lock").Needs {
		waits = waits || edge.Step == "gate:departure" && edge.Order
	}
	if !waits {
		t.Error("the lock does not wait for the departure")
	}
	at := mustCompile(t, bakery(), request("oven@v1.2.0"), baked("v1.2.0", "passed", someCommit))
	if at.Digest == pb.Digest {
		t.Error("a departure is not part of the plan's digest")
	}
	if at.Step("deploy:oven").Merkle != pb.Step("deploy:oven").Merkle {
		t.Error("another time of departure voids what was agreed on")
	}
}

// TestWayBackIsNotOfTheCommitThatLeaves keeps what the new version was made of out of the
// steps that bring the old one back.
func TestWayBackIsNotOfTheCommitThatLeaves(t *testing.T) {
	c := bakery(func(c *playbooks.Catalog) { c.Environments[0].Approvals = &playbooks.ApprovalPolicy{None: true} })
	facts := baked("v1.2.0", "passed", someCommit)
	facts.Live = []playbooks.Live{{Place: playbooks.Place{Environment: "production", Module: "oven"}, Version: "v1.1.0", Healthy: true}}
	h := newHistory(t, c, mustCompile(t, c, request("oven@v1.2.0"), facts))
	h.settle()
	h.succeed("gate:pipeline:oven")
	h.succeed("preflight")
	h.succeed("tag:oven")
	h.succeed("migrate:oven")
	h.succeed("deploy:oven")
	pb, err := playbooks.CompileRollback(h.run)
	if err != nil {
		t.Fatal(err)
	}
	back := pb.Step("rollback:oven")
	if back == nil || back.Version != "v1.1.0" || back.Params["commit"] != "" || back.Params["digest"] != "" {
		t.Errorf("the way back is %+v", back)
	}
}
