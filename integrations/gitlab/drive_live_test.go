package gitlab

import (
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/playbooks"
)

func TestLive(t *testing.T) {
	place := playbooks.Place{Environment: "production", Target: "eu", Module: "cart"}
	tests := []struct {
		name    string
		params  map[string]string
		story   func(y *yard)
		version string
		sick    string
	}{
		{name: "never there", story: func(y *yard) {}},
		{name: "never successfully", story: func(y *yard) { y.Deploy(cart, "ann", "production/eu", "v1.0.0", "failed") }},
		{name: "a tag", story: func(y *yard) { y.Deploy(cart, "ann", "production/eu", "v1.0.0", "success") }, version: "v1.0.0"},
		{name: "another target", story: func(y *yard) { y.Deploy(cart, "ann", "production/us", "v1.0.0", "success") }},
		{name: "the latest", story: func(y *yard) {
			y.Deploy(cart, "ann", "production/eu", "v1.0.0", "success")
			time.Sleep(time.Minute)
			y.Deploy(cart, "ann", "production/eu", "v2.0.0", "success")
		}, version: "v2.0.0"},
		{name: "a later one failed", story: func(y *yard) {
			y.Deploy(cart, "ann", "production/eu", "v1.0.0", "success")
			time.Sleep(time.Minute)
			y.Deploy(cart, "ann", "production/eu", "v2.0.0", "failed")
		}, version: "v1.0.0", sick: "a later deployment, 2 of"},
		{name: "an earlier one failed", story: func(y *yard) {
			y.Deploy(cart, "ann", "production/eu", "v2.0.0", "failed")
			time.Sleep(time.Minute)
			y.Deploy(cart, "ann", "production/eu", "v1.0.0", "success")
		}, version: "v1.0.0"},
		{name: "a branch that is a registered build", story: func(y *yard) {
			y.registered("v3.0.0-rc1", y.Head(cart, "main"), "main")
			y.Deploy(cart, "ann", "production/eu", "main", "success")
		}, version: "v3.0.0-rc1"},
		{name: "an environment of another name", params: map[string]string{"environment": "{target}-{environment}/{module}"}, story: func(y *yard) {
			y.Deploy(cart, "ann", "eu-production/cart", "v1.0.0", "success")
		}, version: "v1.0.0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inYard(t, yardOptions{params: test.params}, func(t *testing.T, y *yard) {
				y.tagged("v1.0.0")
				y.tagged("v2.0.0")
				y.push("Later")
				test.story(y)
				live, err := y.g.Deployer().Live(t.Context(), place)
				if err != nil || live.Version != test.version || live.Place != place || live.Version != "" && live.Healthy != (test.sick == "") || !strings.Contains(live.Message, test.sick) {
					t.Errorf("live: %+v, %v", live, err)
				}
			})
		})
	}
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		head := y.push("Unknown")
		y.Deploy(cart, "ann", "production/eu", "main", "success")
		if live, err := y.g.Deployer().Live(t.Context(), place); err != nil || live.Version != head[:12] {
			t.Errorf("a commit that is no version: %+v, %v", live, err)
		}
		envs, _, err := y.g.api.Environments.ListEnvironments(cart, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := y.g.api.Environments.StopEnvironment(cart, envs[0].ID, nil); err != nil {
			t.Fatal(err)
		}
		if live, err := y.g.Deployer().Live(t.Context(), place); err != nil || live.Version != "" {
			t.Errorf("a stopped environment: %+v, %v", live, err)
		}
		y.SetFault(func(gitlabfake.Call) gitlabfake.Fault { return gitlabfake.Fault{Kind: gitlabfake.ServerError} })
		if live, err := y.g.Deployer().Live(t.Context(), place); err == nil {
			t.Errorf("while GitLab is down: %+v", live)
		}
	})
}

// TestLiveOfOneModuleOfMany has two modules of a project in one environment.
func TestLiveOfOneModuleOfMany(t *testing.T) {
	inYard(t, yardOptions{module: inCartFolder}, func(t *testing.T, y *yard) {
		y.catalog.Modules = append(y.catalog.Modules, playbooks.Module{Name: "cartui", Source: cart, TagPrefix: "cart/ui/"}, playbooks.Module{Name: "wheel", Source: cart})
		for _, tag := range []string{"cart/v1.0.0", "cart/ui/v7.0.0", "v3.0.0"} {
			y.PushTag(cart, "ann", tag, "main", "")
			time.Sleep(time.Minute)
			y.Deploy(cart, "ann", "staging", tag, "success")
		}
		time.Sleep(time.Minute)
		y.Deploy(cart, "ann", "staging", "cart/ui/v7.0.0", "failed")
		for module, want := range map[string]string{"cart": "v1.0.0", "cartui": "v7.0.0", "wheel": "v3.0.0"} {
			live, err := y.g.Deployer().Live(t.Context(), playbooks.Place{Environment: "staging", Module: module})
			if err != nil || live.Version != want || live.Healthy != (module != "cartui") {
				t.Errorf("%s: %+v, %v", module, live, err)
			}
		}
	})
}
