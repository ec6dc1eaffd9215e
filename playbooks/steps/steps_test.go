package steps_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// town is a catalog with two environments and a world in which it lives.
func town(t *testing.T, options local.Options) (steps.Ports, *local.World) {
	t.Helper()
	world, err := local.Open("", options)
	if err != nil {
		t.Fatal(err)
	}
	catalog := &playbooks.Catalog{
		Environments: []playbooks.Environment{{Name: "staging"}, {Name: "production", Targets: []string{"eu", "us"}}},
		Modules: []playbooks.Module{
			{Name: "cart", Needs: []playbooks.Need{{Module: "redis"}}},
			{Name: "redis", Deploy: map[string]playbooks.Delivery{"production": {Targets: []string{"eu"}}}},
			{Name: "mail"},
		},
	}
	return steps.Ports{
		Deployers: map[string]steps.Deployer{"": world.Cluster},
		Gates:     map[string]steps.Gater{"pipeline": world.Forge},
		Catalog:   func() *playbooks.Catalog { return catalog },
	}, world
}

func start(t *testing.T, p steps.Ports, o steps.Order) (steps.Report, error) {
	t.Helper()
	return p.Runners()[o.Action].Start(t.Context(), o)
}

func TestSoak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ports, world := town(t, local.Options{})
		gate := steps.Order{
			Action: playbooks.StepGate, Place: playbooks.Place{Environment: "production", Module: "cart"}, Version: "v2",
			Params: map[string]string{playbooks.ParamGate: "soak"}, Bake: 2 * time.Hour,
		}
		if r, err := start(t, ports, gate); err != nil || r.Phase != steps.Running || !strings.Contains(r.Message, "staging has nothing, not v2") {
			t.Errorf("before it is in staging: %+v, %v", r, err)
		}
		if err := world.Cluster.Seed(playbooks.Place{Environment: "staging", Module: "cart"}, "v2", time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Minute)
		if r, err := start(t, ports, gate); err != nil || r.Phase != steps.Running || r.CheckAfter != 30*time.Minute {
			t.Errorf("after an hour and a half: %+v, %v", r, err)
		}
		time.Sleep(30 * time.Minute)
		if r, err := start(t, ports, gate); err != nil || r.Phase != steps.Succeeded {
			t.Errorf("after two hours: %+v, %v", r, err)
		}
	})
}

func TestVerifyWaitsAndGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ports, world := town(t, local.Options{})
		place := playbooks.Place{Environment: "staging", Module: "cart"}
		verify := steps.Order{Action: playbooks.StepVerify, Place: place, Version: "v2", StartedAt: time.Now()}
		if r, err := start(t, ports, verify); err != nil || r.Phase != steps.Running {
			t.Errorf("at first: %+v, %v", r, err)
		}
		time.Sleep(30 * time.Second)
		if r, err := start(t, ports, verify); err != nil || r.Phase != steps.Failed || r.Message != "nothing runs there, not v2" {
			t.Errorf("after the time to settle: %+v, %v", r, err)
		}
		if err := world.Cluster.Seed(place, "v2", time.Now()); err != nil {
			t.Fatal(err)
		}
		if r, err := start(t, ports, verify); err != nil || r.Phase != steps.Succeeded || r.Live == nil || r.Live.Version != "v2" {
			t.Errorf("when it is there: %+v, %v", r, err)
		}
	})
}

func TestMissingPortsAreSaid(t *testing.T) {
	ports, _ := town(t, local.Options{})
	for kind, want := range map[playbooks.StepKind]string{
		playbooks.StepTest: "nothing is configured that runs jobs", playbooks.StepNotify: "nothing is configured that tells people",
	} {
		_, err := start(t, ports, steps.Order{Action: kind})
		var permanent interface{ Permanent() bool }
		if err == nil || err.Error() != want || !errors.As(err, &permanent) || !permanent.Permanent() {
			t.Errorf("%s: %v", kind, err)
		}
	}
	_, err := start(t, ports, steps.Order{Action: playbooks.StepDeploy, Deployer: "nomad"})
	if err == nil || err.Error() != `no deployer "nomad" is configured` {
		t.Errorf("an unknown deployer: %v", err)
	}
}

func TestFacts(t *testing.T) {
	ports, world := town(t, local.Options{})
	for _, p := range []playbooks.Place{{Environment: "production", Target: "eu", Module: "redis"}, {Environment: "staging", Module: "cart"}} {
		if err := world.Cluster.Seed(p, "v1", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	facts, err := ports.Facts(world.Forge)(context.Background(), ports.Catalog(), playbooks.Request{
		Environment: "production", Modules: []playbooks.ModuleRef{{Name: "cart", Version: "v2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var places []string
	for _, live := range facts.Live {
		places = append(places, live.Environment+"/"+live.Target+"/"+live.Module+"="+live.Version)
	}
	// All of cart and what it needs, nothing of mail; redis goes to eu alone.
	want := []string{"production/eu/cart=", "production/eu/redis=v1", "production/us/cart=", "staging//cart=v1", "staging//redis="}
	if !slices.Equal(places, want) {
		t.Errorf("live: %q, want %q", places, want)
	}
	if !slices.Equal(facts.Known, []string{"production", "staging"}) || len(facts.Builds) != 1 || facts.Builds[0].State != "missing" {
		t.Errorf("known %q, builds %v", facts.Known, facts.Builds)
	}
}

func TestDepartureOpensAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ports, _ := town(t, local.Options{})
		gate := steps.Order{Action: playbooks.StepGate, Params: map[string]string{
			playbooks.ParamGate: playbooks.GateDeparture, playbooks.ParamUntil: time.Now().Add(time.Hour).Format(time.RFC3339),
		}}
		if r, err := start(t, ports, gate); err != nil || r.Phase != steps.Running || r.CheckAfter != time.Hour {
			t.Errorf("before its time: %+v, %v", r, err)
		}
		time.Sleep(time.Hour)
		if r, err := start(t, ports, gate); err != nil || r.Phase != steps.Succeeded {
			t.Errorf("at its time: %+v, %v", r, err)
		}
	})
}

// TestJobsGoToWhatRunsThem routes by the job's `with`.
func TestJobsGoToWhatRunsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ports, world := town(t, local.Options{})
		order := steps.Order{Key: "k", Action: playbooks.StepPublish, Place: playbooks.Place{Environment: "staging", Module: "mail"}, Version: "v2"}
		if _, err := start(t, ports, order); err == nil || !strings.Contains(err.Error(), "nothing is configured that runs jobs") {
			t.Errorf("without anything that runs jobs: %v", err)
		}
		ports.Jobs = map[string]steps.Runner{"": world.Forge}
		if r, err := start(t, ports, order); err != nil || r.Phase != steps.Running {
			t.Errorf("by default: %+v, %v", r, err)
		}
		order.Params = map[string]string{playbooks.ParamWith: "registry"}
		if _, err := start(t, ports, order); err == nil || !strings.Contains(err.Error(), `runs jobs with "registry"`) {
			t.Errorf("with what is not configured: %v", err)
		}
	})
}

// TestFactsKnowTheBuildsThatAreMeant collects the builds of what is named, of what is live
// before, and the newest where nothing says a version.
func TestFactsKnowTheBuildsThatAreMeant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ports, world := town(t, local.Options{})
		for _, b := range []playbooks.BuildState{
			{Module: "cart", Version: "v1", State: "passed"}, {Module: "cart", Version: "v2", State: "passed"}, {Module: "cart", Version: "v3", State: "failed"},
			{Module: "redis", Version: "v7", State: "passed"}, {Module: "mail", Version: "v5", State: "running"},
		} {
			if err := world.Forge.SetBuild(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := world.Cluster.Seed(playbooks.Place{Environment: "staging", Module: "redis"}, "v7", time.Now()); err != nil {
			t.Fatal(err)
		}
		facts, err := ports.Facts(world.Forge)(t.Context(), ports.Catalog(), playbooks.Request{Environment: "production", Modules: []playbooks.ModuleRef{
			{Name: "cart"}, {Name: "redis"}, {Name: "mail", Version: "v5"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, b := range facts.Builds {
			got = append(got, b.Module+" "+b.Version+" "+b.State)
		}
		if want := []string{"cart v2 passed", "mail v5 running", "redis v7 passed"}; !slices.Equal(got, want) {
			t.Errorf("the builds are %q, want %q", got, want)
		}
		if len(facts.Newest) != 1 || facts.Newest[0].Version != "v2" {
			t.Errorf("the newest are %v", facts.Newest)
		}
	})
}
