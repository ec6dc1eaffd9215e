package playbooks_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/playbooks"
)

// needs builds the needs of a module from "name", "name>=1.0" and "~name" (build).
func needs(words ...string) []playbooks.Need {
	var list []playbooks.Need
	for _, w := range words {
		n := playbooks.Need{Kind: playbooks.NeedDeploy}
		if strings.HasPrefix(w, "~") {
			n.Kind, w = playbooks.NeedBuild, w[1:]
		}
		if i := strings.IndexAny(w, "<>="); i > 0 {
			w, n.Constraint = w[:i], w[i:]
		}
		n.Module = w
		list = append(list, n)
	}
	return list
}

// shop is a small catalog with two environments; production has two targets.
func shop() *playbooks.Catalog {
	return &playbooks.Catalog{
		Environments: []playbooks.Environment{
			{Name: "staging", Approvals: &playbooks.ApprovalPolicy{None: true}},
			{Name: "production", Targets: []string{"eu", "us"}, Limit: 4, Channels: []string{"#releases"},
				Approvals: &playbooks.ApprovalPolicy{Distinct: true, ExcludeRequester: true,
					Rules: []playbooks.ApprovalRule{{Group: "release-managers", Count: 1}, {Group: "payments", Count: 2}}}},
		},
		Modules: []playbooks.Module{
			{Name: "frontend", Version: "v3.0.0", Needs: needs("cart>=1.0", "ads")},
			{Name: "cart", Version: "v1.1.0", Needs: []playbooks.Need{
				{Module: "redis", Kind: playbooks.NeedDeploy, Constraint: ">=7.0", Reason: "keeps the carts"},
				{Module: "protocol", Kind: playbooks.NeedBuild},
			}, Deploy: map[string]playbooks.Delivery{"production": {
				Artifact:  "registry/cart:{version}",
				Strategy:  playbooks.Strategy{Kind: playbooks.Canary, Stages: []playbooks.CanaryStage{{Share: 10, Bake: 10 * time.Minute}}},
				Gates:     []playbooks.Gate{{Kind: "soak", Soak: 2 * time.Hour}},
				Migration: &playbooks.Job{Irreversible: true},
				Tests:     []playbooks.Job{{Name: "smoke"}},
			}}},
			{Name: "redis", Version: "v7.2.0"},
			{Name: "ads", Version: "v0.9.0"},
			{Name: "protocol", Version: "v2.0.0", Deploy: map[string]playbooks.Delivery{"": {Publish: &playbooks.Job{}}}},
			{Name: "reports", Version: "v1.0.0", Needs: needs("frontend", "redis")},
		},
	}
}

// live lists versions as "module=version", for every target of an environment.
func live(environment string, targets []string, versions ...string) []playbooks.Live {
	var list []playbooks.Live
	for _, v := range versions {
		module, version, _ := strings.Cut(v, "=")
		for _, t := range targets {
			list = append(list, playbooks.Live{Place: playbooks.Place{Environment: environment, Target: t, Module: module}, Version: version, Healthy: true})
		}
	}
	return list
}

func request(words ...string) playbooks.Request {
	req := playbooks.Request{Environment: "production"}
	for _, w := range words {
		name, version, _ := strings.Cut(w, "@")
		req.Modules = append(req.Modules, playbooks.ModuleRef{Name: name, Version: version})
	}
	return req
}

func TestSmallThingsStaySmall(t *testing.T) {
	c := &playbooks.Catalog{
		Cycles:       playbooks.ReleaseTogether,
		Environments: []playbooks.Environment{{Name: "production"}},
		Modules: []playbooks.Module{
			{Name: "cart", Version: "v1.1.0", Needs: needs("redis")},
			{Name: "redis", Version: "v7.2.0"},
		},
	}
	for _, req := range []playbooks.Request{everything, request("cart", "redis")} {
		pb := mustCompile(t, c, req, playbooks.Facts{})
		if len(pb.Warnings) != 1 || pb.Warnings[0].Code != "no-approvals" {
			t.Errorf("want the one warning that nobody is asked, have %v", pb.Warnings)
		}
		inspect(t, c, pb)
	}
}

func TestProblems(t *testing.T) {
	twoTargets := []string{"eu", "us"}
	tests := []struct {
		name   string
		change func(*playbooks.Catalog, *playbooks.Facts)
		req    playbooks.Request
		want   []string // "code module: part of the message [offer …]"
	}{
		{"all at once", nil, request("cartt", "frontned", "ads@v1", "ads@v2", "zzzzzzzzz"), []string{
			"unknown-module cartt: no module \"cartt\" [cart]",
			"unknown-module frontned: frontned [frontend]",
			"two-versions ads: v1 and v2 [ads@v1 ads@v2]",
			"unknown-module zzzzzzzzz: no module []",
		}},
		{"environment", nil, playbooks.Request{Environment: "produktion", Modules: []playbooks.ModuleRef{{Name: "crat"}}}, []string{
			"unknown-environment : \"produktion\" [production]", "unknown-module crat: crat [cart]"}},
		{"the beginning of a name", nil, playbooks.Request{Environment: "prod", Modules: []playbooks.ModuleRef{{Name: "front"}}}, []string{
			"unknown-environment : \"prod\" [production]", "unknown-module front: front [frontend]"}},
		{"no environment", nil, playbooks.Request{All: true}, []string{"unknown-environment : no environment is named; there are staging and production []"}},
		{"nothing named", nil, request(), []string{"nothing-to-release : no module is named [--all]"}},
		{"constraint in release", nil, request("cart", "redis@v6.2.0"), []string{"constraint cart: cart needs redis >=7.0, but v6.2.0 is in this release [redis@v7.2.0]"}},
		{"constraint live", func(_ *playbooks.Catalog, f *playbooks.Facts) {
			f.Known = []string{"production"}
			f.Live = live("production", twoTargets, "redis=v6.2.0", "protocol=v2.0.0")
		}, request("cart"), []string{"constraint cart: v6.2.0 is live in production [redis@v7.2.0]"}},
		{"pre-release", nil, request("cart", "redis@v8.0.0-rc1"), []string{"constraint cart: (a pre-release satisfies only a constraint that names one) [redis@v7.2.0]"}},
		{"no semantic version", nil, request("cart", "redis@nightly"), []string{"constraint cart: (which is not a semantic version) [redis@v7.2.0]"}},
		{"missing, and what that misses", func(_ *playbooks.Catalog, f *playbooks.Facts) { f.Known = []string{"production"} }, request("frontend"), []string{
			"missing-prerequisite ads: frontend needs ads, which is not live in production and not part of this release [ads@v0.9.0]",
			"missing-prerequisite cart: frontend needs cart [cart@v1.1.0]",
			"missing-prerequisite protocol: cart needs protocol [protocol@v2.0.0]",
			"missing-prerequisite redis: cart needs redis [redis@v7.2.0]",
		}},
		{"missing at one target", func(_ *playbooks.Catalog, f *playbooks.Facts) {
			f.Known = []string{"production"}
			f.Live = append(live("production", twoTargets, "protocol=v2.0.0"), live("production", twoTargets[:1], "redis=v7.2.0")...)
		}, request("cart"), []string{"missing-prerequisite redis: production (us) [redis@v7.2.0]"}},
		{"ambiguous before", func(c *playbooks.Catalog, f *playbooks.Facts) {
			c.Environments[0].Targets = []string{"a", "b"}
			f.Known = []string{"staging"}
			f.Live = append(live("staging", []string{"a"}, "ads=v1.0.0"), live("staging", []string{"b"}, "ads=v1.1.0")...)
		}, request("ads"), []string{"ambiguous-version ads: v1.0.0 and v1.1.0 [ads@v1.0.0 ads@v1.1.0]"}},
		{"no version", func(c *playbooks.Catalog, _ *playbooks.Facts) { c.Modules[3].Version = "" }, request("ads"),
			[]string{"no-version ads: no version of ads [ads@VERSION]"}},
		{"not delivered", func(c *playbooks.Catalog, _ *playbooks.Facts) {
			c.Modules[3].Deploy = map[string]playbooks.Delivery{"": {Targets: []string{"mars"}}}
		}, request("ads"), []string{"not-delivered ads: mars []"}},
		{"cycle", func(c *playbooks.Catalog, _ *playbooks.Facts) {
			c.Modules[2].Needs = needs("frontend")
			c.Modules[3].Needs = needs("frontend")
		}, playbooks.Request{Environment: "production", All: true}, []string{"cycle ads: ads → frontend → ads []"}},
		{"cycle through others", func(c *playbooks.Catalog, _ *playbooks.Facts) { c.Modules[2].Needs = needs("frontend") },
			request("redis", "frontend"), []string{"cycle frontend: frontend → cart → redis → frontend []"}},
		{"needs itself", func(c *playbooks.Catalog, _ *playbooks.Facts) { c.Modules[3].Needs = needs("ads") },
			request("ads"), []string{"cycle ads: ads → ads []"}},
		{"bad catalog", func(c *playbooks.Catalog, _ *playbooks.Facts) {
			c.Modules[3].Needs = needs("nobody")
			c.Modules = append(c.Modules, playbooks.Module{Name: "redis"})
		}, request("ads"), []string{"duplicate-module redis: two modules []", "unknown-need ads: \"nobody\" []"}},
		{"nothing new", func(_ *playbooks.Catalog, f *playbooks.Facts) {
			f.Known = []string{"production"}
			f.Live = live("production", twoTargets, "frontend=v3.0.0", "cart=v1.1.0", "redis=v7.2.0", "ads=v0.9.0", "protocol=v2.0.0", "reports=v1.0.0")
		}, playbooks.Request{Environment: "production", All: true}, []string{"nothing-to-release : 6 modules live already []"}},
		{"names that collide", func(c *playbooks.Catalog, _ *playbooks.Facts) {
			c.Environments[1].Targets = []string{"x", "b@x"}
			c.Modules = []playbooks.Module{{Name: "a", Version: "v1"}, {Name: "a@b", Version: "v1"}}
		}, playbooks.Request{Environment: "production", All: true}, []string{"ambiguous-name : two steps have the ID []"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, facts := shop(), playbooks.Facts{}
			if test.change != nil {
				test.change(c, &facts)
			}
			_, err := playbooks.Compile(c, test.req, facts)
			var plan *playbooks.PlanError
			if !errors.As(err, &plan) {
				t.Fatalf("want a PlanError, have %v", err)
			}
			if len(plan.Problems) != len(test.want) {
				t.Fatalf("want %d problems, have %v", len(test.want), err)
			}
			for i, want := range test.want {
				head, rest, _ := strings.Cut(want, ": ")
				part, offer, _ := strings.Cut(rest, " [")
				p := plan.Problems[i]
				if head != p.Code+" "+p.Module || !strings.Contains(p.Message, part) || offer != fmt.Sprint(p.Offer)[1:] {
					t.Errorf("want %s\nhave %s %s: %s %v", want, p.Code, p.Module, p.Message, p.Offer)
				}
				if !strings.Contains(err.Error(), p.String()) {
					t.Errorf("%q is not in the error", p)
				}
			}
		})
	}
}

func TestVersions(t *testing.T) {
	c := shop()
	facts := playbooks.Facts{Known: []string{"staging"}, Live: live("staging", []string{""}, "ads=v1.5.0")}
	pb := mustCompile(t, c, request("ads", "redis", "cart@v1.2.0", "protocol"), facts)
	var have []string
	for _, m := range pb.Modules {
		have = append(have, m.Name+" "+m.Version+" "+m.Source)
	}
	want := []string{"ads v1.5.0 live in staging", "cart v1.2.0 asked for", "protocol v2.0.0 catalog", "redis v7.2.0 catalog"}
	if !slices.Equal(have, want) {
		t.Errorf("have %q\nwant %q", have, want)
	}
	for i := range pb.Steps {
		if s := &pb.Steps[i]; s.Module == "cart" && s.Kind == playbooks.StepPromote && s.Artifact != "registry/cart:v1.2.0" {
			t.Errorf("%s delivers %q", s.ID, s.Artifact)
		}
	}
}

func TestAllLeavesOut(t *testing.T) {
	c := shop()
	c.Modules[5].Version = ""
	c.Modules[3].Deploy = map[string]playbooks.Delivery{"": {Targets: []string{"mars"}}}
	c.Modules[0].Needs = needs("cart")
	facts := playbooks.Facts{Known: []string{"production"}, Live: append(live("production", []string{"eu", "us"}, "redis=v7.2.0", "protocol=v1.9.0", "reports=v1"),
		live("production", []string{"eu"}, "cart=v1.1.0")...)}
	pb := mustCompile(t, c, everything, facts)
	if have := fmt.Sprint(pb.Waves); have != "[[protocol] [cart] [frontend]]" {
		t.Errorf("waves %s", have)
	}
	var skipped []string
	for _, s := range pb.Skipped {
		skipped = append(skipped, s.Module+" "+s.Cause)
	}
	if want := []string{"ads not-delivered", "redis unchanged", "reports no-version"}; !slices.Equal(skipped, want) {
		t.Errorf("skipped %q, want %q", skipped, want)
	}
}

func TestWarnings(t *testing.T) {
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	both := []string{"eu", "us"}
	c := shop()
	c.Modules[5].Needs = needs("frontend", "redis<7.2")
	facts := playbooks.Facts{
		At:    at,
		Known: []string{"production", "staging"},
		Live: slices.Concat(live("staging", []string{""}, "cart=v1.1.0", "redis=v7.3.0"), live("production", both, "cart=v1.2.0", "protocol=v2.0.0", "reports=v1.0.0", "ads=v1"),
			live("production", both[:1], "redis=v7.0.0"), live("production", both[1:], "redis=v7.1.0")),
		Released: live("production", both, "cart=v1.0.0"),
		Freezes: []playbooks.Freeze{
			{Environment: "production", Until: at.Add(time.Hour), By: "ana", Reason: "year end"},
			{Module: "cart", By: "bo", Until: at.Add(-time.Hour)},
			{Environment: "staging", By: "cy"},
		},
		Locks:  []playbooks.Lock{{Place: playbooks.Place{Environment: "production", Target: "us", Module: "cart"}, Run: "r7"}},
		Builds: []playbooks.BuildState{{Module: "cart", Version: "v1.1.0", State: "running", Config: "b"}},
	}
	for i := range facts.Live {
		if l := &facts.Live[i]; l.Module == "cart" {
			l.Config = "a"
		}
		if l := &facts.Live[i]; l.Module == "protocol" {
			l.Healthy, l.Message = false, "no endpoints"
		}
	}
	pb := mustCompile(t, c, request("cart", "redis@v7.2.0", "ads@v1"), facts)
	want := []string{
		"frozen : production is frozen until 2026-03-02 13:00 UTC by ana: year end",
		"locked cart: run r7 has cart in production at us",
		"irreversible cart: the migration of cart to v1.1.0 cannot be undone",
		"build cart: the build of cart v1.1.0 is running",
		"constraint reports: reports is not part of this release and needs redis <7.2, which v7.2.0 is not",
		"downgrade cart: cart goes back from v1.2.0",
		"unhealthy protocol: protocol is not healthy in production at eu, and cart needs it: no endpoints",
		"drift ads: ads was never live in staging",
		"drift cart: cart has v1.2.0 in production at eu, but Muster released v1.0.0",
		"drift cart: production at us",
		"drift redis: eu has redis v7.0.0 and us has redis v7.1.0",
		"drift redis: staging has v7.3.0 of redis, not v7.2.0",
		"config-changed cart: the configuration of cart changes with v1.1.0",
		"unchanged ads: ads v1 is live already",
		"impact : 2 modules need what changes here and stay as they are: frontend (ads and cart) and reports (redis)",
	}
	if len(pb.Warnings) != len(want) {
		t.Fatalf("have %q", pb.Warnings)
	}
	for i, w := range pb.Warnings {
		head, part, _ := strings.Cut(want[i], ": ")
		if head != w.Code+" "+w.Module || !strings.Contains(w.Message, part) {
			t.Errorf("want %s\nhave %s %s: %s", want[i], w.Code, w.Module, w.Message)
		}
	}

	offline := mustCompile(t, c, request("cart", "frontend"), playbooks.Facts{})
	count := 0
	for _, w := range offline.Warnings {
		if w.Code == "unknown-live" {
			count++
		}
	}
	if count != 1 {
		t.Errorf("offline: %d warnings of what is not known", count)
	}
}

func TestNeedsThroughOthers(t *testing.T) {
	c := &playbooks.Catalog{Environments: []playbooks.Environment{{Name: "production"}}, Modules: []playbooks.Module{
		{Name: "a", Version: "v1", Needs: needs("b")}, {Name: "b", Version: "v1", Needs: needs("c")}, {Name: "c", Version: "v1"},
	}}
	pb := mustCompile(t, c, request("a", "c"), playbooks.Facts{})
	want := playbooks.Edge{Step: "verify:c", Reason: "a needs c through b, not part of this release"}
	if !slices.Contains(pb.Step("deploy:a").Needs, want) {
		t.Errorf("have %v", pb.Step("deploy:a").Needs)
	}
	inspect(t, c, pb)
}

// TestNoDeadlock has needs across targets in the wrong order: each alone would
// make two targets wait for each other.
func TestNoDeadlock(t *testing.T) {
	c := &playbooks.Catalog{Environments: []playbooks.Environment{{Name: "production", Targets: []string{"eu", "us"}}}, Modules: []playbooks.Module{
		{Name: "everywhere", Version: "v1", Needs: needs("central", "~library")},
		{Name: "central", Version: "v1", Deploy: map[string]playbooks.Delivery{"": {Targets: []string{"us"}}}},
		{Name: "library", Version: "v1", Deploy: map[string]playbooks.Delivery{"": {Publish: &playbooks.Job{}}}},
		{Name: "tool", Version: "v1", Deploy: map[string]playbooks.Delivery{"": {Publish: &playbooks.Job{}}}},
	}}
	pb := mustCompile(t, c, everything, playbooks.Facts{})
	inspect(t, c, pb)
	before := ancestors(pb, false)
	for step, earlier := range map[string]string{
		"deploy:everywhere@eu": "verify:central@us",
		"target:eu":            "verify:central@us",
		"publish:library":      "verify:library@eu",
		"publish:tool":         "verify:tool@us",
		"deploy:tool@us":       "target:eu",
	} {
		if !before[step][earlier] {
			t.Errorf("%s does not wait for %s", step, earlier)
		}
	}
	if before["publish:library"]["verify:library@us"] {
		t.Error("what library is needed for at eu waits for us")
	}
}

func TestLongChainAndRing(t *testing.T) {
	const n = 10_000
	c := &playbooks.Catalog{Environments: []playbooks.Environment{{Name: "production"}}}
	for i := range n {
		m := playbooks.Module{Name: fmt.Sprintf("m%05d", i), Version: "v1"}
		if i > 0 {
			m.Needs = needs(fmt.Sprintf("m%05d", i-1))
		}
		c.Modules = append(c.Modules, m)
	}
	if pb := mustCompile(t, c, everything, playbooks.Facts{}); len(pb.Waves) != n {
		t.Errorf("%d waves", len(pb.Waves))
	}
	pb := mustCompile(t, c, request("m00000", "m09999"), playbooks.Facts{})
	if len(pb.Waves) != 2 {
		t.Errorf("%d waves", len(pb.Waves))
	}
	c.Modules[0].Needs = needs("m09999")
	if _, err := playbooks.Compile(c, everything, playbooks.Facts{}); err == nil || len(err.Error()) > 2000 {
		t.Errorf("have %.3000v", err)
	}
	c.Cycles = playbooks.ReleaseTogether
	if pb := mustCompile(t, c, everything, playbooks.Facts{}); len(pb.Waves) != 1 || len(pb.Groups[0]) != n {
		t.Errorf("%d waves", len(pb.Waves))
	}
}

func TestCycles(t *testing.T) {
	c := &playbooks.Catalog{Modules: []playbooks.Module{
		{Name: "a", Needs: needs("b", "c")}, {Name: "b", Needs: needs("c")}, {Name: "c", Needs: needs("a")},
		{Name: "x", Needs: needs("x")}, {Name: "y", Needs: []playbooks.Need{{Module: "y", Kind: playbooks.NeedTest}}},
	}}
	if have := fmt.Sprint(playbooks.Cycles(c)); have != "[[a c a] [x x]]" {
		t.Errorf("have %s", have)
	}
}

func TestImpact(t *testing.T) {
	have := playbooks.Impact(shop(), []string{"redis", "unheard-of"})
	if want := "[{cart [redis]} {reports [redis]} {frontend []}]"; fmt.Sprint(have) != want {
		t.Errorf("have %v, want %s", have, want)
	}
}

func TestPriorities(t *testing.T) {
	c := shop()
	c.Modules[3].Deploy = map[string]playbooks.Delivery{"": {Estimate: time.Hour}}
	pb := mustCompile(t, c, request("ads", "redis"), playbooks.Facts{})
	have := pb.Priorities()
	of := func(id string) time.Duration {
		return have[slices.IndexFunc(pb.Steps, func(s playbooks.Step) bool { return s.ID == id })]
	}
	if of("deploy:ads@eu") <= of("deploy:redis@eu") || of("deploy:ads@eu") < 2*time.Hour || of("notify") != 0 {
		t.Errorf("ads %s, redis %s, notify %s", of("deploy:ads@eu"), of("deploy:redis@eu"), of("notify"))
	}
	for i := range pb.Steps {
		for _, e := range pb.Steps[i].Needs {
			if of(e.Step) < have[i] {
				t.Errorf("%s has less than %s", e.Step, pb.Steps[i].ID)
			}
		}
	}
}

func TestShuffledCatalogGivesSamePlan(t *testing.T) {
	for _, file := range graphFiles(t) {
		c := graphCatalog(t, file)
		want := encode(t, mustCompile(t, c, everything, playbooks.Facts{}))
		r := rand.New(rand.NewPCG(7, 7))
		for range 3 {
			r.Shuffle(len(c.Modules), func(i, j int) { c.Modules[i], c.Modules[j] = c.Modules[j], c.Modules[i] })
			for _, m := range c.Modules {
				r.Shuffle(len(m.Needs), func(i, j int) { m.Needs[i], m.Needs[j] = m.Needs[j], m.Needs[i] })
			}
			if encode(t, mustCompile(t, c, everything, playbooks.Facts{})) != want {
				t.Fatalf("%s: another order gives another playbook", file)
			}
		}
	}
}

// TestBuiltLibraryIsEnough has a build need that was never deployed, but that
// the forge has.
func TestBuiltLibraryIsEnough(t *testing.T) {
	facts := playbooks.Facts{Known: []string{"production"}, Live: live("production", []string{"eu", "us"}, "redis=v7.2.0")}
	if _, err := playbooks.Compile(shop(), request("cart"), facts); err == nil {
		t.Error("a library that is nowhere is not missed")
	}
	facts.Builds = []playbooks.BuildState{{Module: "protocol", Version: "v1.0.0", State: "passed"}}
	pb := mustCompile(t, shop(), request("cart"), facts)
	if from := pb.Modules[0].From; len(from) != 2 || from[0] != (playbooks.From{Target: "eu"}) {
		t.Errorf("cart comes from %v", from)
	}
}
