package gitlab

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// recorded is what Muster has to say of v1.0.0 in production/eu.
func (y *yard) recorded(state steps.ForgeState) steps.ForgeRecord {
	return steps.ForgeRecord{
		Run: "12", Module: y.module(), Place: playbooks.Place{Environment: "production", Target: "eu", Module: "cart"}, Deployer: "kubernetes", Version: "v1.0.0", State: state,
		Since: time.Now(), Text: "release 12: " + string(state), Link: "https://muster.example.com/12",
	}
}

// until repeats something as a reporter does, until it is done.
func (y *yard) until(f func() error) {
	y.t.Helper()
	for range 20 {
		err := f()
		if err == nil {
			return
		}
		if isPermanent(err) {
			y.t.Errorf("refused: %v", err)
			return
		}
		wait := 5 * time.Second
		var turn interface{ RetryAfter() time.Duration }
		if errors.As(err, &turn) {
			wait = turn.RetryAfter()
		}
		time.Sleep(wait)
	}
	y.t.Error("it does not end")
}

func TestRecordsAreMadeOnce(t *testing.T) {
	eachWriteGoesWrong(t, yardOptions{}, func(y *yard) {
		y.tagged("v1.0.0")
		for _, state := range []steps.ForgeState{steps.ForgePending, steps.ForgeRunning, steps.ForgeSuccess} {
			time.Sleep(10 * time.Second)
			r := y.recorded(state)
			for range 2 { // and once more, for nothing
				y.until(func() error { return y.g.Record(y.t.Context(), r) })
			}
		}
	}, func(t *testing.T, y *yard) {
		s := y.Statuses(cart)
		if len(s) != 1 || s[0].Name != "muster/production/eu" || s[0].State != "success" || s[0].Description != "release 12: success" || s[0].Target != "https://muster.example.com/12" {
			t.Errorf("statuses: %+v", s)
		}
		d := y.Deployments(cart)
		if len(d) != 1 || d[0].Environment != "production/eu" || d[0].Status != "success" || d[0].Ref != "v1.0.0" || d[0].SHA != y.Head(cart, "v1.0.0") {
			t.Errorf("deployments: %+v", d)
		}
	})
}

// TestRecordBesidesPipelines has builds and deployments in pipelines of the same commit.
func TestRecordBesidesPipelines(t *testing.T) {
	pipeline := deploys()
	pipeline.On = []string{"tag"}
	inYard(t, yardOptions{pipeline: pipeline, params: map[string]string{"inputs.where": "{environment}/{target}"}}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		time.Sleep(2 * time.Minute)
		r := y.recorded(steps.ForgeRunning)
		r.Deployer = System
		if err := y.g.Record(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		o := y.order(playbooks.StepDeploy, "v1.0.0")
		o.Place = r.Place
		// The status that runs on the commit does not keep the release waiting for itself.
		if report, _, err := y.carry(y.g.Deployer(), o); err != nil || report.Phase != steps.Succeeded {
			t.Fatal(report, err)
		}
		r = y.recorded(steps.ForgeSuccess)
		r.Deployer = System
		for range 2 {
			if err := y.g.Record(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		s := y.Statuses(cart)
		if len(s) != 1 || s[0].State != "success" || s[0].Pipeline != 1 {
			t.Errorf("statuses: %+v", s)
		}
		var here []gitlabfake.Deployment
		for _, d := range y.Deployments(cart) {
			if d.Environment == "production/eu" {
				here = append(here, d)
			}
		}
		if len(here) != 1 || here[0].Job != "deploy" {
			t.Errorf("deployments: %+v", here)
		}
		for _, p := range y.Pipelines(cart) {
			if p.Status != "success" {
				t.Errorf("pipeline: %+v", p)
			}
		}
	})
}

func TestRecordOfAPipelineWithoutEnvironment(t *testing.T) {
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		for _, state := range []steps.ForgeState{steps.ForgeRunning, steps.ForgeFailed} {
			r := y.recorded(state)
			r.Deployer = System
			if err := y.g.Record(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if d := y.Deployments(cart); len(d) != 1 || d[0].Status != "failed" {
			t.Errorf("deployments: %+v", d)
		}
	})
}

func TestRecordAgainAfterAnother(t *testing.T) {
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		y.tagged("v2.0.0")
		for _, version := range []string{"v1.0.0", "v2.0.0", "v1.0.0"} {
			for _, state := range []steps.ForgeState{steps.ForgeRunning, steps.ForgeSuccess} {
				time.Sleep(5 * time.Minute)
				r := y.recorded(state)
				r.Version = version
				if err := y.g.Record(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
		}
		var got []string
		for _, d := range y.Deployments(cart) {
			got = append(got, d.Ref+" "+d.Status)
		}
		if all := strings.Join(got, ", "); all != "v1.0.0 success, v2.0.0 success, v1.0.0 success" {
			t.Errorf("deployments: %s", all)
		}
	})
}

func TestRecordIsRefused(t *testing.T) {
	inYard(t, yardOptions{record: []string{"production"}}, func(t *testing.T, y *yard) {
		r := y.recorded(steps.ForgeSuccess)
		if err := y.g.Record(t.Context(), r); !isPermanent(err) || !strings.Contains(err.Error(), "nothing says which commit cart v1.0.0 is") {
			t.Errorf("a version that nobody knows: %v", err)
		}
		y.tagged("v1.0.0")
		r.Place.Environment = "staging"
		if err := y.g.Record(t.Context(), r); err != nil || len(y.Statuses(cart)) != 0 {
			t.Errorf("an environment that is not recorded: %v, %+v", err, y.Statuses(cart))
		}
	})
}

func TestSameDeployment(t *testing.T) {
	now := time.Now()
	at := func(ago time.Duration) *time.Time { return gl.Ptr(now.Add(-ago)) }
	one := func(sha, status string, created, updated time.Duration, job int64) *gl.Deployment {
		return &gl.Deployment{SHA: sha, Status: status, CreatedAt: at(created), UpdatedAt: at(updated), Deployable: gl.DeploymentDeployable{ID: job}}
	}
	const h = time.Hour
	tests := []struct {
		name   string
		latest []*gl.Deployment
		state  string
		since  time.Duration // ago
		want   string
	}{
		{"none", nil, "running", 0, create},
		{"another commit", []*gl.Deployment{one("b", "success", h, h, 0)}, "success", 0, create},
		{"it runs", []*gl.Deployment{one("a", "running", h, h, 0)}, "running", h, there},
		{"it ran, and succeeds", []*gl.Deployment{one("a", "running", h, h, 0)}, "success", 0, update},
		{"it succeeded", []*gl.Deployment{one("a", "success", h, h/2, 0)}, "success", h / 2, there},
		{"it succeeded, and is said to run by somebody late", []*gl.Deployment{one("a", "success", h, h/2, 0)}, "running", h, there},
		{"it runs once more", []*gl.Deployment{one("a", "success", h, h/2, 0)}, "running", 0, create},
		{"it failed, and is tried once more", []*gl.Deployment{one("a", "failed", h, h, 0)}, "success", 0, create},
		{"a job did it", []*gl.Deployment{one("a", "success", h, h, 7)}, "success", 0, there},
		{"a job did it long ago, and another commit came since", []*gl.Deployment{one("b", "success", h, h, 0), one("a", "success", 2*h, 2*h, 7)}, "success", 0, create},
		{"it succeeded long ago, and another commit came since", []*gl.Deployment{one("b", "success", h, h, 0), one("a", "success", 2*h, 2*h, 0)}, "success", 0, create},
		{"said late, when another commit came since", []*gl.Deployment{one("b", "running", h, h, 0), one("a", "success", 3*h, 2*h, 0)}, "success", 2 * h, there},
	}
	for _, test := range tests {
		if _, got := sameDeployment(test.latest, "a", test.state, now.Add(-test.since)); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// TestRecordWaitsItsTurn is about what GitLab says while it sets another status, and when the pipeline that had the
// status was archived, neither of which the fake does.
func TestRecordWaitsItsTurn(t *testing.T) {
	refusals := []string{`409 {"message":"Another update to this commit status is in progress"}`, `404 {"message":"404 Pipeline for pipeline_id, sha and ref Not Found"}`}
	busy := func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodPost || !strings.Contains(r.URL.Path, "/statuses/") || len(refusals) == 0 {
				return next.RoundTrip(r)
			}
			code, body, _ := strings.Cut(refusals[0], " ")
			refusals = refusals[1:]
			status, err := strconv.Atoi(code)
			return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Request: r, Body: io.NopCloser(strings.NewReader(body))}, err
		})
	}
	pipeline := &gitlabfake.Definition{On: []string{"tag"}, Jobs: []gitlabfake.Job{{Name: "build"}}}
	inYard(t, yardOptions{pipeline: pipeline, transport: busy}, func(t *testing.T, y *yard) {
		y.commitTagged("v1.0.0")
		var turn interface{ RetryAfter() time.Duration }
		if err := y.g.Record(t.Context(), y.recorded(steps.ForgeRunning)); !errors.As(err, &turn) || isPermanent(err) {
			t.Fatalf("while another status is set: %v", err)
		}
		if err := y.g.Record(t.Context(), y.recorded(steps.ForgeRunning)); err != nil {
			t.Fatal(err)
		}
		if s := y.Statuses(cart); len(s) != 1 || len(refusals) != 0 {
			t.Errorf("statuses: %+v, still %q", s, refusals)
		}
	})
}
