package gitlab

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// answering puts another answer in the place of the server's for GET requests whose path ends in a text.
func answering(suffix string, status int, body string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, suffix) {
				return next.RoundTrip(r)
			}
			return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Request: r, Body: io.NopCloser(strings.NewReader(body))}, nil
		})
	}
}

// failing is a pipeline of which one job fails.
func failingJob() *gitlabfake.Definition {
	return &gitlabfake.Definition{Jobs: []gitlabfake.Job{{Name: "deploy", Fails: true, Trace: "no room"}}}
}

func TestFailedChildPipeline(t *testing.T) {
	// The fake has no child pipelines, so its job is taken for one.
	bridges := answering("/bridges", 200, `[{"id":3,"name":"child","status":"failed","failure_reason":"downstream_pipeline_creation_failed","web_url":"https://git.example.com/sub/x",
		"downstream_pipeline":{"id":9,"web_url":"https://git.example.com/sub/other/-/pipelines/9"}},{"id":4,"name":"other","status":"success"}]`)
	none := answering("/jobs", 200, `[]`)
	inYard(t, yardOptions{pipeline: failingJob(), transport: func(rt http.RoundTripper) http.RoundTripper { return none(bridges(rt)) }}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		r, _, err := y.carry(y.g.Deployer(), y.order(playbooks.StepDeploy, "v1.0.0"))
		want := playbooks.Evidence{Name: "child", Text: "downstream pipeline creation failed", Link: "https://git.example.com/sub/other/-/pipelines/9"}
		if err != nil || r.Phase != steps.Failed || len(r.Evidence) != 2 || r.Evidence[1] != want {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// TestTraceThatCannotBeRead fails the step all the same.
func TestTraceThatCannotBeRead(t *testing.T) {
	inYard(t, yardOptions{pipeline: failingJob(), transport: answering("/trace", 500, `{"message":"storage is away"}`)}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		r, _, err := y.carry(y.g.Deployer(), y.order(playbooks.StepDeploy, "v1.0.0"))
		if err != nil || r.Phase != steps.Failed || len(r.Evidence) != 2 || !strings.Contains(r.Evidence[1].Text, "storage is away") {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// TestLongTrace reads one that is larger than any other answer may be.
func TestLongTrace(t *testing.T) {
	long := strings.Repeat(strings.Repeat("x", 99)+"\n", mostAnswer/100+1000) + "no room\n"
	inYard(t, yardOptions{pipeline: failingJob(), transport: answering("/trace", 200, long)}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		r, _, err := y.carry(y.g.Deployer(), y.order(playbooks.StepDeploy, "v1.0.0"))
		if err != nil || r.Phase != steps.Failed || !strings.HasSuffix(r.Evidence[1].Text, "\nno room") {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// TestBlockedPipeline waits for a person, in GitLab.
func TestBlockedPipeline(t *testing.T) {
	pipeline := &gitlabfake.Definition{Jobs: []gitlabfake.Job{{Name: "ask", Stage: "ask", When: "manual"}, {Name: "deploy", Stage: "deploy"}}}
	inYard(t, yardOptions{pipeline: pipeline}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		o := y.order(playbooks.StepDeploy, "v1.0.0")
		r, err := y.g.Deployer().Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		o.Status = r.Status
		if r, err = y.g.Deployer().Look(t.Context(), o); err != nil || r.Phase != steps.Running || r.Message != "pipeline 1 waits for somebody to play ask" {
			t.Errorf("%+v, %v", r, err)
		}
		y.PlayJob(1, "ask", "ann")
		time.Sleep(10 * time.Second)
		if r, err = y.g.Deployer().Look(t.Context(), o); err != nil || r.Phase != steps.Succeeded {
			t.Errorf("%+v, %v", r, err)
		}
		o.Status = begun{Project: cart, Pipeline: 99}.status()
		if _, err := y.g.Deployer().Look(t.Context(), o); !errors.Is(err, steps.ErrCannotLook) {
			t.Errorf("a pipeline that was deleted: %v", err)
		}
	})
}

// TestBuildsOutliveAFailedRelease has a release fail, which makes GitLab count the build's pipeline as failed.
func TestBuildsOutliveAFailedRelease(t *testing.T) {
	pipeline := &gitlabfake.Definition{On: []string{"tag"}, Jobs: []gitlabfake.Job{{Name: "build"}}}
	inYard(t, yardOptions{pipeline: pipeline}, func(t *testing.T, y *yard) {
		y.commitTagged("v1.0.0")
		for _, state := range []steps.ForgeState{steps.ForgeRunning, steps.ForgeFailed} {
			if err := y.g.Record(t.Context(), y.recorded(state)); err != nil {
				t.Fatal(err)
			}
		}
		if p := y.Pipelines(cart); len(p) != 1 || p[0].Status != "failed" {
			t.Fatalf("the fake counts it: %+v", p)
		}
		builds, err := y.g.BuildsOf(t.Context(), cart, 1)
		if err != nil || len(builds) != 1 || builds[0].State != playbooks.BuildPassed {
			t.Errorf("builds: %+v, %v", builds, err)
		}
	})
}

// TestOtherPipelinesOfTheCommit asks a GitLab that says all that is known of a commit.
func TestOtherPipelinesOfTheCommit(t *testing.T) {
	unfiltered := func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			query := r.URL.Query()
			query.Del("pipeline_id")
			r = r.Clone(r.Context())
			r.URL.RawQuery = query.Encode()
			return next.RoundTrip(r)
		})
	}
	pipeline := &gitlabfake.Definition{On: []string{"tag"}, Jobs: []gitlabfake.Job{{Name: "deploy"}}}
	inYard(t, yardOptions{pipeline: pipeline, transport: unfiltered}, func(t *testing.T, y *yard) {
		y.Decide(func(r gitlabfake.Run) gitlabfake.Outcome {
			if r.Source == "tag" || r.Source == "push" {
				return gitlabfake.Outcome{Status: "failed"}
			}
			return gitlabfake.Outcome{}
		})
		y.commitTagged("v1.0.0")
		if r, _, err := y.carry(y.g.Deployer(), y.order(playbooks.StepDeploy, "v1.0.0")); err != nil || r.Phase != steps.Succeeded || r.Total != 1 {
			t.Errorf("%+v, %v; %+v", r, err, y.Pipelines(cart))
		}
	})
}

func TestWays(t *testing.T) {
	none, bound, bare := way{}, way{noVariables: true}, way{noVariables: true, noKey: true}
	tests := []struct {
		name    string
		before  way
		refusal string
		want    *way // nil: nothing is learned
	}{
		{"no variables", none, "base: Insufficient permissions to set pipeline variables", &bound},
		{"no variables, known", bound, "base: Insufficient permissions to set pipeline variables", nil},
		{"no key", bound, "base: unknown input arguments: MUSTER_KEY", &bare},
		{"other inputs too", bound, "base: unknown input arguments: colour, MUSTER_KEY", &bare},
		{"other inputs", bound, "base: unknown input arguments: colour", nil},
		{"key was no input", none, "base: unknown input arguments: MUSTER_KEY", nil},
		{"a number", none, "base: `n` input: provided value is not a number (HTTP 400)", &way{kinds: map[string]string{"n": "number"}}},
		{"two types", none, "`n` input: provided value is not a number, `b` input: provided value is not a boolean", &way{kinds: map[string]string{"n": "number", "b": "boolean"}}},
		{"an array", none, "`l` input: provided value is not an array", &way{kinds: map[string]string{"l": "array"}}},
		{"still no number", way{kinds: map[string]string{"n": "number"}}, "`n` input: provided value is not a number", nil},
		{"anything else", none, "base: Reference not found", nil},
	}
	for _, test := range tests {
		got, learned := test.before.after(test.refusal)
		if learned != (test.want != nil) || learned && !reflect.DeepEqual(got, *test.want) {
			t.Errorf("%s: %+v, %v", test.name, got, learned)
		}
	}
	if !none.marked() || !bound.marked() || bare.marked() {
		t.Error("which pipelines can be told apart")
	}
}

func TestTypes(t *testing.T) {
	for _, test := range []struct{ kind, value, want string }{
		{"", "1.10", `"1.10"`}, {"number", "3", "3"}, {"number", "-1.5", "-1.5"}, {"number", "many", ""}, {"boolean", "true", "true"}, {"boolean", "yes", ""}, {"array", "a, b", `["a","b"]`},
	} {
		y := way{kinds: map[string]string{"x": test.kind}}
		value, err := y.typed("x", test.value)
		var got bytes.Buffer
		if err == nil {
			if err := json.NewEncoder(&got).Encode(value); err != nil {
				t.Fatal(err)
			}
		}
		if strings.TrimSpace(got.String()) != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s %q: %s, %v", test.kind, test.value, got.String(), err)
		}
	}
}

func TestKeysInNames(t *testing.T) {
	for _, test := range []struct {
		text, key string
		want      bool
	}{
		{"deploy a/1", "a/1", true}, {"a/1", "a/1", true}, {"(a/1)", "a/1", true}, {"a/10", "a/1", false}, {"x-a/1", "a/1", false}, {"a/10 a/1", "a/1", true}, {"", "a/1", false}, {"any", "", false}, {"aaa", "aa", false},
	} {
		if got := names(test.text, test.key); got != test.want {
			t.Errorf("%q in %q: %v", test.key, test.text, got)
		}
	}
}

func TestParseRelease(t *testing.T) {
	for text, want := range map[string]release{"18.5.0-ee": {18, 5}, "17.10.0-pre": {17, 10}, "16.3": {16, 3}, "17": {}, "": {}, "x.y": {}, "-1.2": {}} {
		if got, err := parseRelease(text); got != want || (err == nil) != (want != release{}) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if !(release{17, 9}).before(inputsSince) || (release{17, 10}).before(inputsSince) || (release{18, 0}).before(inputsSince) {
		t.Error("which releases know inputs")
	}
}
