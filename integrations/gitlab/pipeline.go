package gitlab

import (
	"context"
	"fmt"
	"slices"
	"strings"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

const (
	// statusPrefix begins the names of the commit statuses that Muster sets. GitLab counts them into
	// the pipeline of the commit as it counts jobs
	// (https://docs.gitlab.com/ci/ci_cd_for_external_repos/external_commit_statuses/), so they have to be
	// left out where a pipeline is judged: a release would wait for itself otherwise.
	statusPrefix = "muster/"
	// mostParts is how many jobs of one pipeline are looked at.
	mostParts = 1000
	// mostFailures is of how many failing jobs the traces are shown.
	mostFailures = 3
)

// Statuses of pipelines and jobs: https://docs.gitlab.com/api/pipelines/#list-project-pipelines
const (
	statusSuccess   = "success"
	statusFailed    = "failed"
	statusCanceled  = "canceled"
	statusCanceling = "canceling"
	statusSkipped   = "skipped"
	statusManual    = "manual"
	statusCreated   = "created"
	statusRunning   = "running"
	statusPending   = "pending"
)

// standing is how a pipeline stands, apart from what Muster itself said of its commit.
type standing struct {
	status      string // success, failed, canceled, skipped, manual or running
	done, total int    // jobs
	now         []string
}

// ended reports whether a pipeline or job will not go on by itself.
func ended(status string) bool {
	return slices.Contains([]string{statusSuccess, statusFailed, statusCanceled, statusSkipped}, status)
}

func (g *GitLab) readPipeline(ctx context.Context, project string, id int64) (*gl.Pipeline, error) {
	return ask(ctx, g, fmt.Sprintf("read pipeline %d of %q", id, project), func(with ...gl.RequestOptionFunc) (*gl.Pipeline, *gl.Response, error) {
		return g.api.Pipelines.GetPipeline(project, id, with...)
	})
}

// stand finds out how a pipeline stands.
func (g *GitLab) stand(ctx context.Context, project string, p *gl.Pipeline) (standing, error) {
	parts, _, err := pages(ctx, g, mostParts, fmt.Sprintf("list jobs of pipeline %d of %q", p.ID, project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.CommitStatus, *gl.Response, error) {
		// The statuses of its commit are the pipeline's jobs, its child pipelines and what
		// others said of it.
		return g.api.Commits.GetCommitStatuses(project, p.SHA, &gl.GetCommitStatusesOptions{ListOptions: page, PipelineID: gl.Ptr(p.ID)}, with...)
	})
	if err != nil {
		return standing{}, err
	}
	// Older releases of GitLab do not know the filter, and say all that is known of the commit.
	parts = slices.DeleteFunc(parts, func(s *gl.CommitStatus) bool { return s.PipelineID != 0 && s.PipelineID != p.ID })
	return judge(p.Status, parts), nil
}

// judge says how a pipeline stands from what GitLab says of it as a whole, and from its parts.
func judge(whole string, parts []*gl.CommitStatus) standing {
	var s standing
	count := make(map[string]int)
	var manual []string
	for _, p := range parts {
		if strings.HasPrefix(p.Name, statusPrefix) {
			continue
		}
		s.total++
		status := p.Status
		switch {
		case status == statusManual && p.AllowFailure:
			s.total-- // nobody waits for it
			continue
		case status == statusManual:
			manual = append(manual, p.Name)
		case ended(status):
			s.done++
			if p.AllowFailure && status != statusSkipped {
				status = statusSuccess
			}
		case status != statusCreated:
			s.now = append(s.now, p.Name)
		}
		count[status]++
	}
	switch {
	case s.total == 0 && (ended(whole) || whole == statusManual):
		s.status = whole
	case s.total == 0 || len(s.now) > 0:
		s.status = statusRunning
	case len(manual) > 0:
		s.status, s.now = statusManual, manual
	case count[statusCreated] > 0:
		s.status = statusRunning // between two stages
	case count[statusFailed] > 0:
		s.status = statusFailed
	case count[statusCanceled] > 0:
		s.status = statusCanceled
	case count[statusSuccess] > 0:
		s.status = statusSuccess
	default:
		s.status = statusSkipped
	}
	return s
}

// words says how a pipeline stands, for people.
func (s standing) words(id int64) string {
	switch s.status {
	case statusSuccess:
		return fmt.Sprintf("pipeline %d passed", id)
	case statusFailed:
		return fmt.Sprintf("pipeline %d failed", id)
	case statusCanceled:
		return fmt.Sprintf("pipeline %d was canceled", id)
	case statusSkipped:
		return fmt.Sprintf("pipeline %d was skipped: none of its jobs ran", id)
	case statusManual:
		return fmt.Sprintf("pipeline %d waits for somebody to play %s", id, some(s.now))
	}
	text := fmt.Sprintf("pipeline %d: %d of %d jobs done", id, s.done, s.total)
	if len(s.now) > 0 {
		text += ", now " + some(s.now)
	}
	return text
}

// some names a few of many.
func some(names []string) string {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// failures brings the ends of the failing jobs' traces. What cannot be had is said in their place:
// that a pipeline failed is known, and worth reporting without them.
func (g *GitLab) failures(ctx context.Context, project string, pipeline int64) []playbooks.Evidence {
	jobs, _, err := pages(ctx, g, mostParts, fmt.Sprintf("list failed jobs of pipeline %d of %q", pipeline, project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.Job, *gl.Response, error) {
		return g.api.Jobs.ListPipelineJobs(project, pipeline, &gl.ListJobsOptions{ListOptions: page, Scope: &[]gl.BuildStateValue{gl.Failed}}, with...)
	})
	if err != nil {
		return []playbooks.Evidence{{Name: "jobs", Text: strings.TrimPrefix(err.Error(), "gitlab: ")}}
	}
	jobs = slices.DeleteFunc(jobs, func(j *gl.Job) bool { return j.AllowFailure })
	slices.SortFunc(jobs, func(a, b *gl.Job) int { return int(a.ID - b.ID) }) // what failed first
	var all []playbooks.Evidence
	for _, j := range jobs[:min(len(jobs), mostFailures)] {
		all = append(all, g.traceOf(ctx, project, j))
	}
	if len(jobs) > mostFailures {
		all = append(all, playbooks.Evidence{Name: "jobs", Text: fmt.Sprintf("%d more failed", len(jobs)-mostFailures)})
	}
	if len(jobs) > 0 {
		return all
	}
	return g.failedChildren(ctx, project, pipeline)
}

// failedChildren names the pipelines below one that failed without a failing job of its own.
func (g *GitLab) failedChildren(ctx context.Context, project string, pipeline int64) []playbooks.Evidence {
	bridges, _, err := pages(ctx, g, mostParts, fmt.Sprintf("list child pipelines of pipeline %d of %q", pipeline, project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.Bridge, *gl.Response, error) {
		return g.api.Jobs.ListPipelineBridges(project, pipeline, &gl.ListJobsOptions{ListOptions: page}, with...)
	})
	if err != nil {
		return []playbooks.Evidence{{Name: "child pipelines", Text: strings.TrimPrefix(err.Error(), "gitlab: ")}}
	}
	var all []playbooks.Evidence
	for _, b := range bridges {
		if b.Status != statusFailed || b.AllowFailure {
			continue
		}
		e := playbooks.Evidence{Name: b.Name, Text: "its pipeline failed", Link: b.WebURL}
		if b.DownstreamPipeline != nil {
			e.Link = b.DownstreamPipeline.WebURL
		}
		if b.FailureReason != "" {
			e.Text = strings.ReplaceAll(b.FailureReason, "_", " ")
		}
		all = append(all, e)
	}
	return all[:min(len(all), mostFailures)]
}

// traceOf brings the end of a job's trace.
func (g *GitLab) traceOf(ctx context.Context, project string, j *gl.Job) playbooks.Evidence {
	e := playbooks.Evidence{Name: j.Name, Link: j.WebURL}
	text, err := g.trace(ctx, project, j.ID)
	switch {
	case err != nil:
		e.Text = strings.TrimPrefix(err.Error(), "gitlab: ")
	case text == "":
		e.Text = "its trace is empty"
	default:
		e.Text = text
	}
	if j.FailureReason != "" && j.FailureReason != "script_failure" {
		e.Text = strings.ReplaceAll(j.FailureReason, "_", " ") + "\n" + e.Text
	}
	return e
}

// report is how a pipeline that Muster started, or whose job it played, stands.
func (s standing) report(id int64, link string) steps.Report {
	r := steps.Report{
		Phase: steps.Running, Message: s.words(id), Progress: s.done, Total: s.total,
		Evidence: []playbooks.Evidence{{Name: "pipeline", Text: fmt.Sprint(id), Link: link}},
	}
	switch s.status {
	case statusSuccess:
		r.Phase = steps.Succeeded
	case statusFailed, statusCanceled, statusSkipped:
		r.Phase = steps.Failed
	}
	return r
}
