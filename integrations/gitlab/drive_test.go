package gitlab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// deploys is a pipeline that deploys: it wants inputs.
func deploys(inputs ...gitlabfake.Input) *gitlabfake.Definition {
	return &gitlabfake.Definition{
		Inputs: append([]gitlabfake.Input{{Name: "where", Default: "nowhere"}, {Name: "action", Default: "start"}, {Name: "SHARE", Default: "100"}}, inputs...),
		Jobs: []gitlabfake.Job{
			{Name: "build", Stage: "build", Duration: 20 * time.Second, Only: starts},
			{Name: "deploy", Stage: "deploy", Duration: 30 * time.Second, Environment: "$[[ inputs.where ]]", Only: starts},
			{Name: "stop", Stage: "deploy", Only: func(r gitlabfake.Run) bool { return !starts(r) }},
		},
	}
}

func starts(r gitlabfake.Run) bool { return r.Inputs["action"] != "stop" }

var where = map[string]string{"inputs.where": "{environment}"}

// started are the pipelines that Muster started.
func (y *yard) started() []gitlabfake.Pipeline {
	var all []gitlabfake.Pipeline
	for _, p := range y.Pipelines(cart) {
		if p.Source == "api" && p.User == y.bot {
			all = append(all, p)
		}
	}
	return all
}

func (y *yard) tagged(version string) string {
	c := y.push("For " + version)
	y.PushTag(cart, "ann", version, c, "")
	return c
}

func TestDeploy(t *testing.T) {
	o := yardOptions{pipeline: deploys(), params: map[string]string{"inputs.where": "{environment}", "vars.WHAT": "{module} {version} {commit} {run} {target}{from}"}}
	inYard(t, o, func(t *testing.T, y *yard) {
		commit := y.tagged("v1.0.0")
		d, order := y.g.Deployer(), y.order(playbooks.StepDeploy, "v1.0.0")
		order.From = "v0.9.0"
		r, err := d.Start(t.Context(), order)
		if err != nil || r.Phase != steps.Running || r.CheckAfter <= 0 || len(r.Status) == 0 {
			t.Fatal(r, err)
		}
		p := y.started()
		if len(p) != 1 || p[0].Ref != "v1.0.0" || !p[0].Tag || p[0].SHA != commit || p[0].Inputs["where"] != "staging" {
			t.Fatalf("started: %+v", p)
		}
		if v := p[0].Variables; v["MUSTER_KEY"] != order.Key || v["WHAT"] != "cart v1.0.0 "+commit+" 12 v0.9.0" {
			t.Errorf("variables: %v", v)
		}
		order.Status = r.Status
		time.Sleep(5 * time.Second)
		if r, err = d.Look(t.Context(), order); err != nil || r.Phase != steps.Running || r.Progress != 0 || r.Total != 2 {
			t.Errorf("while it builds: %+v, %v", r, err)
		}
		wantWords(t, r.Message, "0 of 2 jobs done, now build")
		time.Sleep(30 * time.Second)
		if r, err = d.Look(t.Context(), order); err != nil || r.Progress != 1 {
			t.Errorf("while it deploys: %+v, %v", r, err)
		}
		time.Sleep(time.Minute)
		if r, err = d.Look(t.Context(), order); err != nil || r.Phase != steps.Succeeded {
			t.Errorf("in the end: %+v, %v", r, err)
		}
		if len(r.Evidence) != 1 || !strings.HasSuffix(r.Evidence[0].Link, "/-/pipelines/"+fmt.Sprint(p[0].Pipeline)) {
			t.Errorf("evidence: %+v", r.Evidence)
		}
		live, err := d.Live(t.Context(), order.Place)
		if err != nil || live.Version != "v1.0.0" || !live.Healthy || live.Since.IsZero() || live.Place != order.Place {
			t.Errorf("live: %+v, %v", live, err)
		}
	})
}

func TestDeployFails(t *testing.T) {
	pipeline := deploys()
	pipeline.Jobs[1].Fails, pipeline.Jobs[1].Reason, pipeline.Jobs[1].Trace = true, "runner_system_failure", strings.Repeat("line\n", 50)+"\x1b[31mno room\x1b[0m"
	inYard(t, yardOptions{pipeline: pipeline, params: where}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		r, _, err := y.carry(y.g.Jobs(), y.order(playbooks.StepMigrate, "v1.0.0"))
		if err != nil || r.Phase != steps.Failed || len(r.Evidence) != 2 {
			t.Fatal(r, err)
		}
		e := r.Evidence[1]
		if e.Name != "deploy" || !strings.HasPrefix(e.Text, "runner system failure\nline\n") || !strings.HasSuffix(e.Text, "no room\nERROR: Job failed: exit code 1") || strings.Count(e.Text, "\n") != traceLines {
			t.Errorf("evidence: %+v", e)
		}
	})
}

// TestDeployStartsOnce lets every call of a deployment go wrong in every way.
func TestDeployStartsOnce(t *testing.T) {
	eachGoesWrong(t, yardOptions{pipeline: deploys(), params: where}, nil, func(y *yard) {
		y.tagged("v1.0.0")
		if r, attempts, err := y.carry(y.g.Deployer(), y.order(playbooks.StepDeploy, "v1.0.0")); err != nil || r.Phase != steps.Succeeded {
			y.t.Errorf("after %d attempts: %+v, %v", attempts, r, err)
		}
	}, func(t *testing.T, y *yard) {
		if p := y.started(); len(p) != 1 {
			t.Errorf("%d pipelines: %+v", len(p), p)
		}
		if d := y.Deployments(cart); len(d) != 1 || d[0].Status != "success" {
			t.Errorf("deployments: %+v", d)
		}
	})
}

// TestDeployStartsOnceWithoutVariables does it where the project lets nobody set variables.
func TestDeployStartsOnceWithoutVariables(t *testing.T) {
	for _, named := range []bool{true, false} {
		pipeline := deploys()
		if named {
			pipeline.Inputs = append(pipeline.Inputs, gitlabfake.Input{Name: keyName, Default: ""})
			pipeline.Name = "deploy $[[ inputs.MUSTER_KEY ]]"
		}
		eachWriteGoesWrong(t, yardOptions{pipeline: pipeline, params: where}, func(y *yard) {
			y.Change(cart, func(p *gitlabfake.Project) { p.VariablesRole = gitlabfake.NobodyMay })
			y.tagged("v1.0.0")
			if r, attempts, err := y.carry(y.g.Deployer(), y.order(playbooks.StepDeploy, "v1.0.0")); err != nil || r.Phase != steps.Succeeded {
				y.t.Errorf("after %d attempts: %+v, %v", attempts, r, err)
			}
		}, func(t *testing.T, y *yard) {
			p := y.started()
			if len(p) != 1 || len(p[0].Variables) != 0 || named != strings.Contains(p[0].Name, "instance/12/deploy:cart/") {
				t.Errorf("%d pipelines: %+v", len(p), p)
			}
		})
	}
}

func TestServerWithoutInputs(t *testing.T) {
	o := yardOptions{server: gitlabfake.Options{Version: "16.11.3-ee", NoInputs: true}, pipeline: &gitlabfake.Definition{Jobs: []gitlabfake.Job{{Name: "deploy"}}}, params: where}
	inYard(t, o, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		if _, err := y.g.Deployer().Start(t.Context(), y.order(playbooks.StepCanary, "v1.0.0")); err != nil {
			t.Fatal(err)
		}
		if v := y.started()[0].Variables; v["where"] != "staging" || v["SHARE"] != "100" || v["MUSTER_KEY"] == "" {
			t.Errorf("variables: %v", v)
		}
		y.Change(cart, func(p *gitlabfake.Project) { p.VariablesRole = gitlabfake.NobodyMay })
		_, err := y.g.Deployer().Start(t.Context(), y.order(playbooks.StepDeploy, "v1.0.0"))
		if !isPermanent(err) {
			t.Fatal(err)
		}
		wantWords(t, err.Error(), "where would be variables", "lets this token set none")
	})
}

// TestSettingsAreMended has somebody let variables through as the refusal says.
func TestSettingsAreMended(t *testing.T) {
	inYard(t, yardOptions{pipeline: deploys(), params: map[string]string{"vars.A": "b"}}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		y.Change(cart, func(p *gitlabfake.Project) { p.VariablesRole = gitlabfake.NobodyMay })
		for range 2 {
			if _, err := y.g.Deployer().Start(t.Context(), y.order(playbooks.StepDeploy, "v1.0.0")); !isPermanent(err) || !strings.Contains(err.Error(), "A would be variables") {
				t.Fatal(err)
			}
		}
		y.Change(cart, func(p *gitlabfake.Project) { p.VariablesRole = gitlabfake.Maintainer })
		if _, err := y.g.Deployer().Start(t.Context(), y.order(playbooks.StepDeploy, "v1.0.0")); err != nil || y.started()[0].Variables["A"] != "b" {
			t.Errorf("%v, %+v", err, y.started())
		}
	})
}

// TestInputsHaveTypes is about a pipeline that wants numbers and booleans, which the fake does not know.
func TestInputsHaveTypes(t *testing.T) {
	var sent []string
	strict := func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodPost {
				return next.RoundTrip(r)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			sent = append(sent, string(body))
			r.Body = io.NopCloser(bytes.NewReader(body))
			var wrong []string
			if strings.Contains(string(body), `"count":"3"`) {
				wrong = append(wrong, "`count` input: provided value is not a number")
			}
			if strings.Contains(string(body), `"dry":"true"`) {
				wrong = append(wrong, "`dry` input: provided value is not a boolean")
			}
			if len(wrong) == 0 {
				return next.RoundTrip(r)
			}
			return &http.Response{StatusCode: 400, Header: http.Header{"Content-Type": {"application/json"}}, Request: r, Body: io.NopCloser(strings.NewReader(
				fmt.Sprintf(`{"message":{"base":[%q]}}`, strings.Join(wrong, ", "))))}, nil
		})
	}
	o := yardOptions{
		pipeline: deploys(gitlabfake.Input{Name: "count", Default: 1}, gitlabfake.Input{Name: "dry", Default: false}), transport: strict,
		params: map[string]string{"inputs.count": "3", "inputs.dry": "true", "inputs.where": "eu"},
	}
	inYard(t, o, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		for range 2 {
			if _, err := y.g.Deployer().Start(t.Context(), y.order(playbooks.StepDeploy, "v1.0.0")); err != nil {
				t.Fatal(err)
			}
		}
		if p := y.started(); len(p) != 2 || p[0].Inputs["count"] != 3.0 || p[0].Inputs["dry"] != true || p[0].Inputs["where"] != "eu" {
			t.Errorf("started: %+v", p)
		}
		if len(sent) != 3 {
			t.Errorf("what was learned is not remembered: %q", sent)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRefusedPipelines(t *testing.T) {
	tests := []struct {
		name   string
		params map[string]string
		story  func(y *yard) steps.Order
		words  []string
	}{
		{name: "no tag and no build", story: func(y *yard) steps.Order { return y.order(playbooks.StepDeploy, "v9.9.9") }, words: []string{"nothing says which commit cart v9.9.9 is"}},
		{name: "an input it does not have", params: map[string]string{"inputs.colour": "red"}, story: func(y *yard) steps.Order { y.tagged("v1.0.0"); return y.order(playbooks.StepDeploy, "v1.0.0") }, words: []string{"unknown input arguments: colour"}},
		{name: "variables that nobody may set", params: map[string]string{"vars.A": "b"}, story: func(y *yard) steps.Order {
			y.Change(cart, func(p *gitlabfake.Project) { p.VariablesRole = gitlabfake.NobodyMay })
			y.tagged("v1.0.0")
			return y.order(playbooks.StepDeploy, "v1.0.0")
		}, words: []string{"A would be variables", "Settings, CI/CD, Variables"}},
		{name: "the branch moved on", story: func(y *yard) steps.Order {
			y.registered("v1.0.0", y.push("This"), "main")
			y.push("And that")
			return y.order(playbooks.StepDeploy, "v1.0.0")
		}, words: []string{`branch "main" is at commit`, "tag the version"}},
		{name: "the tag was moved", story: func(y *yard) steps.Order {
			y.tagged("v1.0.0")
			o := y.order(playbooks.StepDeploy, "v1.0.0")
			o.Params = map[string]string{"commit": strings.Repeat("c", 40)}
			return o
		}, words: []string{`tag "v1.0.0"`, "is commit cccc"}},
		{name: "nothing takes it away", story: func(y *yard) steps.Order {
			y.tagged("v1.0.0")
			o := y.order(playbooks.StepRemove, "")
			o.From = "v1.0.0"
			return o
		}, words: []string{"names no remove-job"}},
		{name: "a module that is not there", story: func(y *yard) steps.Order {
			o := y.order(playbooks.StepDeploy, "v1.0.0")
			o.Place.Module = "wheel"
			return o
		}, words: []string{`find module "wheel"`}},
		{name: "a job that is not there", params: map[string]string{"job": "go"}, story: func(y *yard) steps.Order { y.tagged("v1.0.0"); return y.order(playbooks.StepDeploy, "v1.0.0") }, words: []string{`play job "go"`, "no pipeline of commit"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inYard(t, yardOptions{pipeline: deploys(), params: test.params}, func(t *testing.T, y *yard) {
				o := test.story(y)
				_, err := y.g.Deployer().Start(t.Context(), o)
				if !isPermanent(err) || !strings.HasPrefix(err.Error(), "gitlab: ") {
					t.Fatalf("%v", err)
				}
				wantWords(t, err.Error(), test.words...)
				if p := y.started(); len(p) != 0 {
					t.Errorf("started: %+v", p)
				}
				// To a look a refusal says nothing of what was begun.
				o.StartedAt = time.Now().Add(-time.Hour)
				if r, err := y.g.Deployer().Look(t.Context(), o); isPermanent(err) || err == nil && r.Phase != steps.Absent || err != nil && !errors.Is(err, steps.ErrCannotLook) {
					t.Errorf("look: %+v, %v", r, err)
				}
			})
		})
	}
}

// TestBranchMovesOn lets somebody push in the moment that a pipeline is started for the branch.
func TestBranchMovesOn(t *testing.T) {
	inYard(t, yardOptions{pipeline: deploys(), params: where}, func(t *testing.T, y *yard) {
		commit := y.push("This")
		y.registered("v1.0.0", commit, "main")
		y.SetFault(func(c gitlabfake.Call) gitlabfake.Fault {
			if c.Method == http.MethodPost && strings.HasSuffix(c.Route, "/pipeline") {
				y.Push(cart, gitlabfake.Commit{Message: "That"})
				return gitlabfake.Fault{Kind: gitlabfake.Lost}
			}
			return gitlabfake.Fault{}
		})
		r, attempts, err := y.carry(y.g.Deployer(), y.order(playbooks.StepDeploy, "v1.0.0"))
		if err != nil || r.Phase != steps.Failed || attempts != 1 {
			t.Fatal(r, attempts, err)
		}
		wantWords(t, r.Message, "main moved on to", "is canceled")
		if p := y.started(); len(p) != 1 || p[0].Status != "canceled" {
			t.Errorf("started: %+v", p)
		}
	})
}

func TestCanaryPromoteRollbackRemove(t *testing.T) {
	inYard(t, yardOptions{pipeline: deploys(), params: map[string]string{"inputs.where": "staging", "remove-job": "stop"}}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		y.tagged("v2.0.0")
		for i, c := range []struct {
			action                  playbooks.StepKind
			version                 string
			share                   int
			ref, wantShare, action2 string
		}{
			{playbooks.StepCanary, "v2.0.0", 10, "v2.0.0", "10", "start"},
			{playbooks.StepPromote, "v2.0.0", 100, "v2.0.0", "100", "start"},
			{playbooks.StepRollback, "v1.0.0", 100, "v1.0.0", "100", "start"},
			{playbooks.StepRemove, "", 100, "v1.0.0", "100", "stop"},
		} {
			o := y.order(c.action, c.version)
			o.Key, o.Share = fmt.Sprintf("k/%d/1", i), c.share
			if c.action == playbooks.StepRemove {
				o.From = "v1.0.0"
			}
			if r, _, err := y.carry(y.g.Deployer(), o); err != nil || r.Phase != steps.Succeeded {
				t.Fatalf("%s: %+v, %v", c.action, r, err)
			}
			p := y.started()[i]
			if p.Ref != c.ref || p.Inputs["SHARE"] != c.wantShare || p.Inputs["action"] != c.action2 {
				t.Errorf("%s: %+v", c.action, p)
			}
		}
		// A pipeline that does not know how to stop would deploy once more.
		o := y.order(playbooks.StepRemove, "")
		o.Key, o.From, o.Params = "k/9/1", "v1.0.0", map[string]string{"remove-job": "teardown", "inputs.where": "staging"}
		if r, _, err := y.carry(y.g.Deployer(), o); err != nil || r.Phase != steps.Failed || !strings.Contains(r.Message, "job teardown did not run") {
			t.Errorf("remove: %+v, %v", r, err)
		}
	})
}

func TestStop(t *testing.T) {
	for _, known := range []bool{true, false} {
		inYard(t, yardOptions{pipeline: deploys(), params: where}, func(t *testing.T, y *yard) {
			y.tagged("v1.0.0")
			d, o := y.g.Deployer(), y.order(playbooks.StepDeploy, "v1.0.0")
			if err := d.Stop(t.Context(), o); err != nil {
				t.Errorf("there is nothing to stop: %v", err)
			}
			r, err := d.Start(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if known {
				o.Status = r.Status
			}
			time.Sleep(5 * time.Second)
			for range 2 {
				if err := d.Stop(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
			if r, err = d.Look(t.Context(), o); err != nil || r.Phase != steps.Failed {
				t.Errorf("look: %+v, %v", r, err)
			}
			wantWords(t, r.Message, "was canceled")
		})
	}
}

// TestAbsentIsAPromise looks for something of which there is no trace.
func TestAbsentIsAPromise(t *testing.T) {
	inYard(t, yardOptions{pipeline: deploys(), params: where}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		d, o := y.g.Deployer(), y.order(playbooks.StepDeploy, "v1.0.0")
		began := time.Now()
		for {
			r, err := d.Look(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Phase == steps.Absent {
				break
			}
			if r.Phase != steps.Running || r.CheckAfter <= 0 {
				t.Fatalf("%+v", r)
			}
			time.Sleep(r.CheckAfter)
		}
		if waited := time.Since(began); waited < settledAfter || waited > settledAfter+time.Minute {
			t.Errorf("after %v", waited)
		}
		// What would be sent so late that a look might have said that it is absent is not sent.
		_, err := d.Start(t.Context(), o)
		var turn interface{ RetryAfter() time.Duration }
		if !errors.As(err, &turn) || len(y.started()) != 0 {
			t.Errorf("a late start: %v, %+v", err, y.started())
		}
	})
}

// TestPipelinesWithoutKey is about those that cannot be told apart.
func TestPipelinesWithoutKey(t *testing.T) {
	inYard(t, yardOptions{pipeline: deploys(), params: where}, func(t *testing.T, y *yard) {
		y.Change(cart, func(p *gitlabfake.Project) { p.VariablesRole = gitlabfake.NobodyMay })
		y.tagged("v1.0.0")
		d := y.g.Deployer()
		first, second := y.order(playbooks.StepDeploy, "v1.0.0"), y.order(playbooks.StepDeploy, "v1.0.0")
		first.Key, second.Key = "a/1", "b/1"
		if _, err := d.Start(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if r, err := d.Look(t.Context(), second); err != nil || r.Phase != steps.Running || r.Status != nil {
			t.Errorf("what is known to be another's was taken: %+v, %v", r, err)
		}
		if _, err := d.Start(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		y.g.out.claims = recent[string]{} // Muster starts anew
		for _, o := range []steps.Order{first, second} {
			_, err := d.Look(t.Context(), o)
			if !errors.Is(err, steps.ErrCannotLook) {
				t.Fatalf("look: %v", err)
			}
			wantWords(t, err.Error(), "pipelines 1, 2 of "+cart, "MUSTER_KEY", "workflow:name")
		}
	})
}

// TestFoundAfterARestart finds the pipeline among others of the same commit, and though the version was
// tagged since.
func TestFoundAfterARestart(t *testing.T) {
	inYard(t, yardOptions{pipeline: deploys(), params: where}, func(t *testing.T, y *yard) {
		commit := y.push("This")
		y.registered("v1.0.0", commit, "main")
		d, o := y.g.Deployer(), y.order(playbooks.StepDeploy, "v1.0.0")
		other := o
		other.Key = "other/1"
		for _, one := range []steps.Order{other, o} {
			if _, err := d.Start(t.Context(), one); err != nil {
				t.Fatal(err)
			}
		}
		y.PushTag(cart, "ann", "v1.0.0", commit, "")
		y.g.out.claims, y.g.out.ways = recent[string]{}, nil
		time.Sleep(2 * time.Minute)
		r, err := d.Look(t.Context(), o)
		if err != nil || r.Phase != steps.Succeeded || r.Message != "pipeline 2 passed" {
			t.Errorf("look: %+v, %v", r, err)
		}
	})
}

// TestNamedRef drives a pipeline that is not the version's own.
func TestNamedRef(t *testing.T) {
	inYard(t, yardOptions{pipeline: deploys(), params: map[string]string{"ref": "main", "inputs.where": "{environment}"}}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		y.push("Later")
		if r, _, err := y.carry(y.g.Deployer(), y.order(playbooks.StepDeploy, "v1.0.0")); err != nil || r.Phase != steps.Succeeded {
			t.Fatal(r, err)
		}
		if p := y.started(); p[0].Ref != "main" || p[0].Variables[versionName] != "v1.0.0" {
			t.Errorf("started: %+v", p)
		}
		live, err := y.g.Deployer().Live(t.Context(), playbooks.Place{Environment: "staging", Module: "cart"})
		if err != nil || live.Version != "v1.0.0" {
			t.Errorf("live: %+v, %v", live, err)
		}
	})
}
