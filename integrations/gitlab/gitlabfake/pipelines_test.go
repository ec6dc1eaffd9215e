package gitlabfake_test

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
)

func newTestServer(t *testing.T, s *gitlabfake.Server) string {
	t.Helper()
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return web.URL
}

var deploying = gitlabfake.Definition{
	Name:   "Deploy $[[ inputs.version ]]",
	Inputs: []gitlabfake.Input{{Name: "version"}, {Name: "to", Default: "staging", Options: []string{"staging", "production"}}},
	Jobs: []gitlabfake.Job{
		{Name: "build", Stage: "build", Duration: 10 * time.Second, Artifacts: map[string]string{"out/muster-build.json": `{"version":"$[[ inputs.version ]]"}`}},
		{Name: "unit", Duration: 20 * time.Second, Coverage: 81.25, Tests: []gitlabfake.TestCase{
			{Name: "adds", Class: "cart", Time: 1.5}, {Name: "empties", Class: "cart", Status: "failed", Output: "not empty"},
		}},
		{Name: "lint", AllowFailure: true, Fails: true, Duration: 5 * time.Second},
		{Name: "deploy", Stage: "deploy", Environment: "$[[ inputs.to ]]", Duration: 30 * time.Second, Trace: "deploying $MUSTER_KEY"},
		{Name: "undo", Stage: "deploy", When: "manual", AllowFailure: true},
	},
}

func run(t *testing.T, c *gitlab.Client, opts *gitlab.CreatePipelineOptions) *gitlab.Pipeline {
	t.Helper()
	opts.Ref = gitlab.Ptr("main")
	return must[*gitlab.Pipeline](t)(c.Pipelines.CreatePipeline(cart, opts))
}

func jobNamed(t *testing.T, c *gitlab.Client, pipeline int64, name string) *gitlab.Job {
	t.Helper()
	for _, j := range must[[]*gitlab.Job](t)(c.Jobs.ListPipelineJobs(cart, pipeline, nil)) {
		if j.Name == name {
			return j
		}
	}
	t.Fatalf("there is no job %q", name)
	return nil
}

func with(version string) *gitlab.CreatePipelineOptions {
	return &gitlab.CreatePipelineOptions{
		Inputs:    gitlab.PipelineInputsOption{"version": gitlab.NewPipelineInputValue(version)},
		Variables: &[]*gitlab.PipelineVariableOptions{{Key: gitlab.Ptr("MUSTER_KEY"), Value: gitlab.Ptr("k-1")}},
	}
}

func TestPipelineRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := shop(t, gitlabfake.Options{})
		s.Change(cart, func(p *gitlabfake.Project) { p.Pipeline = &deploying })
		pl := run(t, c, with("v1.2.0"))
		if pl.Status != "pending" || pl.Source != "api" || pl.Name != "Deploy v1.2.0" {
			t.Errorf("at first: %+v", pl)
		}
		var seen []string
		for at := 0; at < 70; at++ {
			now := must[*gitlab.Pipeline](t)(c.Pipelines.GetPipeline(cart, pl.ID))
			jobs := must[[]*gitlab.Job](t)(c.Jobs.ListPipelineJobs(cart, pl.ID, nil))
			var line []string
			for _, j := range slices.Backward(jobs) {
				line = append(line, j.Status)
			}
			if l := now.Status + ": " + strings.Join(line, " "); len(seen) == 0 || seen[len(seen)-1] != l {
				seen = append(seen, l)
			}
			time.Sleep(time.Second)
		}
		want := []string{
			"pending: pending created created created created", "running: running created created created created",
			"running: success pending pending created created", "running: success running running created created",
			"running: success running failed created created", "running: success success failed pending manual",
			"running: success success failed running manual", "success: success success failed success manual",
		}
		if !slices.Equal(seen, want) {
			t.Errorf("seen:\n%s", strings.Join(seen, "\n"))
		}
		pl = must[*gitlab.Pipeline](t)(c.Pipelines.GetPipeline(cart, pl.ID))
		if pl.Duration != 62 || pl.Coverage != "81.25" || pl.FinishedAt == nil {
			t.Errorf("at the end: %+v", pl)
		}

		vars := must[[]*gitlab.PipelineVariable](t)(c.Pipelines.GetPipelineVariables(cart, pl.ID))
		if len(vars) != 1 || vars[0].Key != "MUSTER_KEY" || vars[0].Value != "k-1" {
			t.Errorf("variables: %v", vars)
		}
		report := must[*gitlab.PipelineTestReport](t)(c.Pipelines.GetPipelineTestReport(cart, pl.ID))
		if report.TotalCount != 2 || report.FailedCount != 1 || report.TestSuites[0].Name != "unit" || report.TestSuites[0].TestCases[1].Status != "failed" {
			t.Errorf("report: %+v", report)
		}
		summary := must[*gitlab.PipelineTestReportSummary](t)(c.Pipelines.GetPipelineTestReportSummary(cart, pl.ID))
		if summary.Total.Count != 2 || summary.Total.Failed != 1 || summary.TestSuites[0].Name != "unit" {
			t.Errorf("summary: %+v", summary)
		}
		deploy := jobNamed(t, c, pl.ID, "deploy")
		trace, _, err := c.Jobs.GetTraceFile(cart, deploy.ID)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, trace.Len())
		_, _ = trace.Read(text)
		if !strings.Contains(string(text), "deploying k-1\n") || !strings.Contains(string(text), "Job succeeded") {
			t.Errorf("trace: %s", text)
		}
		artifact, _, err := c.Jobs.DownloadSingleArtifactsFile(cart, jobNamed(t, c, pl.ID, "build").ID, "out/muster-build.json")
		if err != nil {
			t.Fatal(err)
		}
		text = make([]byte, 100)
		n, _ := artifact.Read(text)
		if string(text[:n]) != `{"version":"v1.2.0"}` {
			t.Errorf("artifact: %s", text[:n])
		}
		_, _, err = c.Jobs.DownloadSingleArtifactsFile(cart, deploy.ID, "nothing")
		wantStatus(t, err, 404, "")
		deployments := must[[]*gitlab.Deployment](t)(c.Deployments.ListProjectDeployments(cart, &gitlab.ListProjectDeploymentsOptions{
			Environment: gitlab.Ptr("staging"), Status: gitlab.Ptr("success"), OrderBy: gitlab.Ptr("finished_at"), Sort: gitlab.Ptr("desc"),
		}))
		if len(deployments) != 1 || deployments[0].Deployable.ID != deploy.ID || deployments[0].SHA != s.Head(cart, "main") {
			t.Errorf("deployments: %+v", deployments)
		}
		latest := must[*gitlab.Pipeline](t)(c.Pipelines.GetLatestPipeline(cart, nil))
		if latest.ID != pl.ID {
			t.Errorf("latest: %+v", latest)
		}
	})
}

func TestPipelineFailsAndIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := shop(t, gitlabfake.Options{Queue: -1})
		s.Change(cart, func(p *gitlabfake.Project) { p.Pipeline = &deploying })
		s.Decide(func(r gitlabfake.Run) gitlabfake.Outcome {
			if r.Job == "unit" && r.Attempt == 1 && r.Inputs["version"] == "v2" && r.Variables["MUSTER_KEY"] == "k-1" {
				return gitlabfake.Outcome{Status: "failed", Trace: "panic: no cart", Reason: "script_failure"}
			}
			return gitlabfake.Outcome{Hold: r.Job == "deploy"}
		})
		pl := run(t, c, with("v2"))
		time.Sleep(time.Minute)
		if now := must[*gitlab.Pipeline](t)(c.Pipelines.GetPipeline(cart, pl.ID)); now.Status != "failed" {
			t.Errorf("status: %s", now.Status)
		}
		if j := jobNamed(t, c, pl.ID, "unit"); j.FailureReason != "script_failure" {
			t.Errorf("job: %+v", j)
		}
		if j := jobNamed(t, c, pl.ID, "deploy"); j.Status != "skipped" {
			t.Errorf("job: %+v", j)
		}
		must[*gitlab.Pipeline](t)(c.Pipelines.RetryPipelineBuild(cart, pl.ID))
		time.Sleep(time.Hour)
		if now := must[*gitlab.Pipeline](t)(c.Pipelines.GetPipeline(cart, pl.ID)); now.Status != "running" {
			t.Errorf("while the deployment is held: %s", now.Status)
		}
		s.FinishJob(pl.ID, "deploy", "success")
		if now := must[*gitlab.Pipeline](t)(c.Pipelines.GetPipeline(cart, pl.ID)); now.Status != "success" {
			t.Errorf("at the end: %s", now.Status)
		}
		all := must[[]*gitlab.Job](t)(c.Jobs.ListPipelineJobs(cart, pl.ID, &gitlab.ListJobsOptions{IncludeRetried: gitlab.Ptr(true)}))
		if len(all) != 7 {
			t.Errorf("with retried ones there are %d jobs", len(all))
		}

		other := run(t, c, with("v3"))
		must[*gitlab.Job](t)(c.Jobs.CancelJob(cart, jobNamed(t, c, other.ID, "build").ID))
		if now := must[*gitlab.Pipeline](t)(c.Pipelines.GetPipeline(cart, other.ID)); now.Status != "canceled" {
			t.Errorf("after a job was canceled: %s", now.Status)
		}
		third := run(t, c, with("v4"))
		must[*gitlab.Pipeline](t)(c.Pipelines.CancelPipelineBuild(cart, third.ID))
		found := must[[]*gitlab.PipelineInfo](t)(c.Pipelines.ListProjectPipelines(cart, &gitlab.ListProjectPipelinesOptions{Status: gitlab.Ptr(gitlab.Canceled)}))
		if len(found) != 2 || found[0].ID != third.ID || found[1].ID != other.ID {
			t.Errorf("canceled: %v", found)
		}
		since := time.Now()
		time.Sleep(time.Second)
		run(t, c, with("v5"))
		found = must[[]*gitlab.PipelineInfo](t)(c.Pipelines.ListProjectPipelines(cart, &gitlab.ListProjectPipelinesOptions{UpdatedAfter: &since, Name: gitlab.Ptr("Deploy v5")}))
		if len(found) != 1 || found[0].Name != "Deploy v5" {
			t.Errorf("by time and name: %v", found)
		}
	})
}

func TestManualJobBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := shop(t, gitlabfake.Options{})
		s.Change(cart, func(p *gitlabfake.Project) {
			p.Pipeline = &gitlabfake.Definition{On: []string{"tag"}, Jobs: []gitlabfake.Job{
				{Name: "build", Stage: "build"}, {Name: "go", Stage: "ask", When: "manual"}, {Name: "after", Stage: "deploy"},
			}}
		})
		s.PushTag(cart, "", "v1", "main", "")
		time.Sleep(time.Minute)
		found := must[[]*gitlab.PipelineInfo](t)(c.Pipelines.ListProjectPipelines(cart, &gitlab.ListProjectPipelinesOptions{Ref: gitlab.Ptr("v1")}))
		if len(found) != 1 || found[0].Status != "manual" || found[0].Source != "push" {
			t.Fatalf("pipelines: %v", found)
		}
		play := jobNamed(t, c, found[0].ID, "go")
		if played := must[*gitlab.Job](t)(c.Jobs.PlayJob(cart, play.ID, nil)); played.ID != play.ID || played.Status != "pending" {
			t.Errorf("played: %+v", played)
		}
		_, _, err := c.Jobs.PlayJob(cart, play.ID, nil)
		wantStatus(t, err, 400, "Unplayable Job")
		time.Sleep(time.Minute)
		if now := must[*gitlab.Pipeline](t)(c.Pipelines.GetPipeline(cart, found[0].ID)); now.Status != "success" {
			t.Errorf("at the end: %s", now.Status)
		}
	})
}

func TestPipelineIsRefused(t *testing.T) {
	s, c := shop(t, gitlabfake.Options{})
	create := func(c *gitlab.Client, opts *gitlab.CreatePipelineOptions) error {
		if opts.Ref == nil {
			opts.Ref = gitlab.Ptr("main")
		}
		_, _, err := c.Pipelines.CreatePipeline(cart, opts)
		return err
	}
	wantStatus(t, create(c, with("v1")), 400, "Missing CI config file")
	s.Change(cart, func(p *gitlabfake.Project) { p.Pipeline = &deploying })
	wantStatus(t, create(c, &gitlab.CreatePipelineOptions{Ref: gitlab.Ptr("nowhere")}), 400, "Reference not found")
	wantStatus(t, create(c, &gitlab.CreatePipelineOptions{Ref: gitlab.Ptr(s.Head(cart, "main"))}), 400, "Reference not found")
	wantStatus(t, create(c, &gitlab.CreatePipelineOptions{}), 400, "required value has not been provided")
	opts := with("v1")
	opts.Inputs["more"] = gitlab.NewPipelineInputValue("x")
	wantStatus(t, create(c, opts), 400, "unknown input arguments: more")
	opts = with("v1")
	opts.Inputs["to"] = gitlab.NewPipelineInputValue("moon")
	wantStatus(t, create(c, opts), 400, "not in the list of allowed options")
	s.Change(cart, func(p *gitlabfake.Project) { p.VariablesRole = gitlabfake.NobodyMay })
	wantStatus(t, create(c, with("v1")), 400, "Insufficient permissions to set pipeline variables")
	opts = with("v1")
	opts.Variables = nil
	if err := create(c, opts); err != nil {
		t.Error(err)
	}
	project := must[*gitlab.Project](t)(c.Projects.GetProject(cart, nil))
	if project.CIPipelineVariablesMinimumOverrideRole != "no_one_allowed" {
		t.Errorf("role: %s", project.CIPipelineVariablesMinimumOverrideRole)
	}
	dev := client(t, s, s.AddBotToken(cart, gitlabfake.Developer, gitlabfake.Token{}))
	wantStatus(t, create(dev, opts), 400, "You do not have sufficient permission to run a pipeline on 'main'")
	s.Change(cart, func(p *gitlabfake.Project) { p.Protected = map[string]gitlabfake.Level{} })
	if err := create(dev, opts); err != nil {
		t.Error(err)
	}
	pipelines := s.Pipelines(cart)
	_, _, err := dev.Pipelines.GetPipelineVariables(cart, pipelines[0].Pipeline)
	wantStatus(t, err, 403, "")
	must[[]*gitlab.PipelineVariable](t)(dev.Pipelines.GetPipelineVariables(cart, pipelines[1].Pipeline))
}

// A server of old takes no notice of inputs.
func TestServerWithoutInputs(t *testing.T) {
	s, c := shop(t, gitlabfake.Options{NoInputs: true, Version: "16.11.0"})
	s.Change(cart, func(p *gitlabfake.Project) {
		p.Pipeline = &gitlabfake.Definition{Jobs: []gitlabfake.Job{{Name: "deploy", Trace: "$[[ inputs.version ]]"}}}
	})
	run(t, c, with("v1"))
	if got := s.Pipelines(cart)[0]; len(got.Inputs) != 0 || got.Variables["MUSTER_KEY"] != "k-1" {
		t.Errorf("pipeline: %+v", got)
	}
	if v := must[*gitlab.Version](t)(c.Version.GetVersion()); v.Version != "16.11.0" {
		t.Errorf("version: %+v", v)
	}
}

// What is said of a commit counts into its pipeline, and repeating it is refused.
func TestCommitStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := shop(t, gitlabfake.Options{})
		sha := s.Head(cart, "main")
		set := func(state gitlab.BuildStateValue, name string) (*gitlab.CommitStatus, error) {
			st, _, err := c.Commits.SetCommitStatus(cart, sha, &gitlab.SetCommitStatusOptions{
				State: state, Name: &name, TargetURL: gitlab.Ptr("https://muster.example"), Description: gitlab.Ptr("release 1"), Ref: gitlab.Ptr("main"),
			})
			return st, err
		}
		st, err := set(gitlab.Running, "muster")
		if err != nil || st.Status != "running" || st.TargetURL != "https://muster.example" {
			t.Fatalf("status: %+v, %v", st, err)
		}
		external := must[*gitlab.Pipeline](t)(c.Pipelines.GetPipeline(cart, st.PipelineID))
		if external.Source != "external" || external.Status != "running" {
			t.Errorf("external pipeline: %+v", external)
		}
		_, err = set(gitlab.Running, "muster")
		wantStatus(t, err, 400, "Cannot transition status via :run from :running")
		if _, err := set(gitlab.Success, "muster"); err != nil {
			t.Error(err)
		}
		if _, err := set(gitlab.Failed, "muster"); err != nil {
			t.Error(err)
		}
		listed := must[[]*gitlab.CommitStatus](t)(c.Commits.GetCommitStatuses(cart, sha, &gitlab.GetCommitStatusesOptions{Name: gitlab.Ptr("muster")}))
		if len(listed) != 1 || listed[0].Status != "failed" || listed[0].Description != "release 1" {
			t.Errorf("statuses: %+v", listed)
		}

		next := s.Push(cart, gitlabfake.Commit{Files: map[string]string{"a": "a"}})
		s.Change(cart, func(p *gitlabfake.Project) {
			p.Pipeline = &gitlabfake.Definition{Jobs: []gitlabfake.Job{{Name: "unit"}}}
		})
		pl := run(t, c, &gitlab.CreatePipelineOptions{})
		time.Sleep(time.Minute)
		sha = next
		if st, err = set(gitlab.Pending, "muster"); err != nil || st.PipelineID != pl.ID {
			t.Fatalf("status: %+v, %v", st, err)
		}
		if now := must[*gitlab.Pipeline](t)(c.Pipelines.GetPipeline(cart, pl.ID)); now.Status != "running" {
			t.Errorf("a pipeline with a pending status is %s", now.Status)
		}
	})
}
