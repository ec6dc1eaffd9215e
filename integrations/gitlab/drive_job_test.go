package gitlab

import (
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

func TestPlayJob(t *testing.T) {
	pipeline := &gitlabfake.Definition{On: []string{"tag"}, Jobs: []gitlabfake.Job{
		{Name: "build", Stage: "build"}, {Name: "deploy", Stage: "deploy", When: "manual", AllowFailure: true, Duration: 30 * time.Second, Environment: "staging"},
	}}
	story := func(y *yard) {
		y.tagged("v1.0.0")
		time.Sleep(10 * time.Second)
		if r, attempts, err := y.carry(y.g.Deployer(), y.order(playbooks.StepDeploy, "v1.0.0")); err != nil || r.Phase != steps.Succeeded {
			y.t.Errorf("after %d attempts: %+v, %v", attempts, r, err)
		}
	}
	eachWriteGoesWrong(t, yardOptions{pipeline: pipeline, params: map[string]string{"job": "deploy"}}, story, func(t *testing.T, y *yard) {
		if d := y.Deployments(cart); len(d) != 1 || d[0].Status != "success" || d[0].Job != "deploy" {
			t.Errorf("deployments: %+v", d)
		}
		if p := y.Pipelines(cart); len(p) != 1 || len(p[0].Jobs) != 2 {
			t.Errorf("pipelines: %+v", p)
		}
	})

	inYard(t, yardOptions{pipeline: pipeline, params: map[string]string{"job": "deploy", "vars.COLOUR": "{version}"}}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		o := y.order(playbooks.StepDeploy, "v1.0.0")
		_, err := y.g.Deployer().Start(t.Context(), o)
		if !isPermanent(err) {
			t.Fatal(err)
		}
		wantWords(t, err.Error(), "it is created")
		time.Sleep(10 * time.Second)
		r, err := y.g.Deployer().Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		o.Status = r.Status
		time.Sleep(5 * time.Second)
		if err := y.g.Deployer().Stop(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if r, err = y.g.Deployer().Look(t.Context(), o); err != nil || r.Phase != steps.Failed || r.Message != "job deploy of pipeline 1 is canceled" {
			t.Errorf("look: %+v, %v", r, err)
		}
		// GitLab forgets a job's variables when it runs again.
		if _, err := y.g.Deployer().Start(t.Context(), o); !isPermanent(err) || !strings.Contains(err.Error(), "it has run before") {
			t.Errorf("again: %v", err)
		}
	})
}

// TestPlayedBySomebody is about a job that a person played.
func TestPlayedBySomebody(t *testing.T) {
	pipeline := &gitlabfake.Definition{On: []string{"tag"}, Jobs: []gitlabfake.Job{{Name: "deploy", When: "manual", AllowFailure: true, Hold: true, Trace: "no room"}}}
	inYard(t, yardOptions{pipeline: pipeline, params: map[string]string{"job": "deploy"}}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		y.PlayJob(1, "deploy", "ann")
		o := y.order(playbooks.StepDeploy, "v1.0.0")
		_, err := y.g.Deployer().Start(t.Context(), o)
		if !isPermanent(err) || !strings.Contains(err.Error(), "started by ann") {
			t.Errorf("start: %v", err)
		}
		if r, err := y.g.Deployer().Look(t.Context(), o); err != nil || r.Phase != steps.Running || r.Status != nil {
			t.Errorf("look: %+v, %v", r, err)
		}
		time.Sleep(5 * time.Second)
		y.FinishJob(1, "deploy", "failed")
		time.Sleep(2 * skew)
		o = y.order(playbooks.StepDeploy, "v1.0.0")
		r, err := y.g.Deployer().Start(t.Context(), o) // runs again what failed
		if err != nil {
			t.Fatal(err)
		}
		o.Status = r.Status
		time.Sleep(5 * time.Second)
		y.FinishJob(1, "deploy", "failed")
		if r, err = y.g.Deployer().Look(t.Context(), o); err != nil || r.Phase != steps.Failed || len(r.Evidence) != 1 || !strings.Contains(r.Evidence[0].Text, "no room") {
			t.Errorf("look: %+v, %v", r, err)
		}
		if p := y.Pipelines(cart); len(p) != 1 || len(p[0].Jobs) != 2 {
			t.Errorf("pipelines: %+v", p)
		}
	})
}
