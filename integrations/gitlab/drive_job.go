package gitlab

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// mostPipelines is in how many pipelines of one commit a job is looked for.
const mostPipelines = 20

// jobOf finds the job that an order plays: that of the newest pipeline of the version's commit
// that has one of that name.
func (d driver) jobOf(ctx context.Context, w *work) (*gl.Job, error) {
	o := gl.ListProjectPipelinesOptions{SHA: gl.Ptr(w.at.commit), OrderBy: gl.Ptr("id"), Sort: gl.Ptr("desc")}
	if w.named {
		o.Ref = gl.Ptr(w.ref)
	}
	found, _, err := pages(ctx, d.g, mostPipelines, fmt.Sprintf("list pipelines of commit %q in %q", short(w.at.commit), w.project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.PipelineInfo, *gl.Response, error) {
		o := o
		o.ListOptions.Page, o.ListOptions.PerPage = page.Page, page.PerPage
		return d.g.api.Pipelines.ListProjectPipelines(w.project, &o, with...)
	})
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		jobs, err := d.g.jobsOf(ctx, w.project, p.ID)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(jobs, func(j *gl.Job) bool { return j.Name == w.job }); i >= 0 {
			return jobs[i], nil
		}
	}
	return nil, refuse("play job %q: no pipeline of commit %s in %q has it", w.job, short(w.at.commit), w.project)
}

// play starts the manual job of an order, or starts it again where it has run before.
func (d driver) play(ctx context.Context, w *work) (steps.Report, error) {
	j, err := d.jobOf(ctx, w)
	if err != nil {
		return steps.Report{}, unsent(err)
	}
	vars := maps.Clone(w.vars)
	maps.Copy(vars, w.inputs)
	if err := inTime(w.Order); err != nil {
		return steps.Report{}, err
	}
	switch j.Status {
	case statusManual:
		o := &gl.PlayJobOptions{}
		if len(vars) > 0 {
			var list []*gl.JobVariableOptions
			for _, name := range slices.Sorted(maps.Keys(vars)) {
				list = append(list, &gl.JobVariableOptions{Key: gl.Ptr(name), Value: gl.Ptr(vars[name])})
			}
			o.JobVariablesAttributes = &list
		}
		j, err = ask(ctx, d.g, fmt.Sprintf("play job %q of pipeline %d of %q", j.Name, j.Pipeline.ID, w.project), func(with ...gl.RequestOptionFunc) (*gl.Job, *gl.Response, error) {
			return d.g.api.Jobs.PlayJob(w.project, j.ID, o, with...)
		})
	case statusSuccess, statusFailed, statusCanceled:
		if len(vars) > 0 {
			return steps.Report{}, refuse("play job %q of %q: it has run before, and GitLab takes no variables for a job that runs again", j.Name, w.project)
		}
		j, err = ask(ctx, d.g, fmt.Sprintf("retry job %q of pipeline %d of %q", j.Name, j.Pipeline.ID, w.project), func(with ...gl.RequestOptionFunc) (*gl.Job, *gl.Response, error) {
			return d.g.api.Jobs.RetryJob(w.project, j.ID, with...)
		})
	default:
		who := ""
		if j.User != nil && j.User.Username != "" && j.Status != statusCreated && j.Status != statusSkipped {
			who = ", started by " + j.User.Username
		}
		return steps.Report{}, refuse("play job %q of pipeline %d of %q: it is %s%s", j.Name, j.Pipeline.ID, w.project, j.Status, who)
	}
	if err != nil {
		return steps.Report{}, err
	}
	d.g.out.claims.put(claim(w.project, j.ID)+"/job", w.Key)
	b := begun{Project: w.project, Pipeline: j.Pipeline.ID, Job: j.ID}
	return steps.Report{
		Phase: steps.Running, Message: fmt.Sprintf("job %s of pipeline %d is started", j.Name, j.Pipeline.ID), CheckAfter: followEvery, Status: b.status(),
		Evidence: []playbooks.Evidence{{Name: "job", Text: j.Name, Link: j.WebURL}},
	}, nil
}

// findPlayed looks whether the job of an order was started for it. A job can be played once, and
// one that runs again is a new job, so what counts is who started it, and that it did not end before the order
// was written down.
func (d driver) findPlayed(ctx context.Context, w *work) (begun, bool, error) {
	j, err := d.jobOf(ctx, w)
	if err != nil {
		return begun{}, false, unlookable(err)
	}
	me, err := d.g.me(ctx)
	if err != nil {
		return begun{}, false, unlookable(err)
	}
	key, claimed := d.g.out.claims.get(claim(w.project, j.ID) + "/job")
	switch {
	case claimed && key != w.Key, j.User == nil, j.User.ID != me.ID:
		return begun{}, false, nil
	case j.Status == statusManual, j.Status == statusCreated, j.Status == statusSkipped:
		return begun{}, false, nil
	case j.FinishedAt != nil && j.FinishedAt.Before(w.StartedAt.Add(-skew)):
		return begun{}, false, nil
	}
	return begun{Project: w.project, Pipeline: j.Pipeline.ID, Job: j.ID}, true, nil
}

// followJob says how the job of an order stands.
func (d driver) followJob(ctx context.Context, b begun) (steps.Report, error) {
	j, err := ask(ctx, d.g, fmt.Sprintf("read job %d of %q", b.Job, b.Project), func(with ...gl.RequestOptionFunc) (*gl.Job, *gl.Response, error) {
		return d.g.api.Jobs.GetJob(b.Project, b.Job, with...)
	})
	if isGone(err) {
		return steps.Report{}, fmt.Errorf("%w: job %d of %s is not there any more", steps.ErrCannotLook, b.Job, b.Project)
	}
	if err != nil {
		return steps.Report{}, unlookable(err)
	}
	r := steps.Report{
		Phase: steps.Running, Message: fmt.Sprintf("job %s of pipeline %d is %s", j.Name, j.Pipeline.ID, strings.ReplaceAll(j.Status, "_", " ")), CheckAfter: followEvery,
		Status: b.status(), Evidence: []playbooks.Evidence{{Name: "job", Text: j.Name, Link: j.WebURL}},
	}
	switch j.Status {
	case statusSuccess:
		r.Phase, r.Message = steps.Succeeded, fmt.Sprintf("job %s of pipeline %d passed", j.Name, j.Pipeline.ID)
	case statusFailed:
		r.Phase, r.Message = steps.Failed, fmt.Sprintf("job %s of pipeline %d failed", j.Name, j.Pipeline.ID)
		r.Evidence = []playbooks.Evidence{d.g.traceOf(ctx, b.Project, j)}
	case statusCanceled, statusSkipped:
		r.Phase = steps.Failed
	}
	return r, nil
}
