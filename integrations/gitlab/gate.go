package gitlab

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// gateWatch is how soon a gate that is not open yet is looked at again; a pipeline's event
// brings the look forward.
const gateWatch = 30 * time.Second

// Gates returns what answers the gates that GitLab knows about, by kind. Data that is missing
// never opens a gate. Their parameters:
//
//	pipeline         ref: of that branch or tag alone
//	jobs             names: the jobs, with commas; ref
//	tests            new: so many tests may fail that do not fail in what is live, 0 if not
//	                 given; total: so many may fail in all; ref
//	coverage         least: percent; drop: so many points less than in what is live are all
//	                 right; ref
//	merge-approvals  count: of each merge request since what is live, 1 if not given; branch: to
//	                 which they were merged, the default branch if not given
//	latest           branch: on which nothing may have come later, the default branch if not given
//
// The pipeline of a commit is its newest one, apart from those that Muster started and from
// child pipelines.
func (g *GitLab) Gates() map[string]steps.Gater {
	return map[string]steps.Gater{
		"pipeline":        gate{g, (*asking).pipeline},
		"jobs":            gate{g, (*asking).jobs},
		"tests":           gate{g, (*asking).tests},
		"coverage":        gate{g, (*asking).coverage},
		"merge-approvals": gate{g, (*asking).approvals},
		"latest":          gate{g, (*asking).latest},
	}
}

type gate struct {
	g      *GitLab
	answer func(*asking, context.Context) (steps.GateAnswer, error)
}

// asking is one question that a gate is asked.
type asking struct {
	steps.GateQuery
	g       *GitLab
	module  *playbooks.Module
	project string
	commit  string
}

// Check implements steps.Gater.
func (t gate) Check(ctx context.Context, q steps.GateQuery) (steps.GateAnswer, error) {
	m, project, err := t.g.module(q.Module)
	if err != nil {
		return steps.GateAnswer{}, err
	}
	at, err := t.g.locate(ctx, m, project, q.Version, q.Gate.Params[playbooks.ParamCommit])
	if isPermanent(err) {
		return no(strings.TrimPrefix(err.Error(), "gitlab: ")), nil
	}
	if err != nil {
		return steps.GateAnswer{}, err
	}
	return t.answer(&asking{GateQuery: q, g: t.g, module: m, project: project, commit: at.commit}, ctx)
}

func yes(text string, evidence ...playbooks.Evidence) steps.GateAnswer {
	return steps.GateAnswer{Phase: steps.Succeeded, Message: text, Evidence: evidence}
}

func no(text string, evidence ...playbooks.Evidence) steps.GateAnswer {
	return steps.GateAnswer{Phase: steps.Failed, Message: text, Evidence: evidence}
}

func notYet(text string, evidence ...playbooks.Evidence) steps.GateAnswer {
	return steps.GateAnswer{Phase: steps.Running, Message: text, CheckAfter: gateWatch, Evidence: evidence}
}

// name is the module and version as people write them.
func (a *asking) name() string { return a.Module + " " + a.Version }

// number reads a parameter; one that cannot be read is an error that is Permanent.
func (a *asking) number(name string) (value float64, given bool, err error) {
	text := a.Gate.Params[name]
	if text == "" {
		return 0, false, nil
	}
	value, err = strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(text, "%")), 64)
	if err != nil || value < 0 || value > 1e9 {
		return 0, false, refuse("gate %s of %s: %q is no number for %s", a.Gate.Kind, a.Module, text, name)
	}
	return value, true, nil
}

// live returns the version of the module that is live in the environment of the question, and
// its commit. Without a version nothing is.
func (a *asking) live(ctx context.Context) (version, commit string, err error) {
	if a.g.options.Live == nil {
		return "", "", refuse("gate %s of %s: nobody knows what is live", a.Gate.Kind, a.Module)
	}
	version, err = a.g.options.Live(ctx, a.Environment, a.Module)
	if err != nil {
		return "", "", fmt.Errorf("gitlab: find out which version of %q is live in %q: %w", a.Module, a.Environment, err)
	}
	if version == "" {
		return "", "", nil
	}
	at, err := a.g.locate(ctx, a.module, a.project, version, "")
	return version, at.commit, err
}

// pipelineOf returns the newest pipeline of a commit, nil if there is none. See Gates for which count.
func (g *GitLab) pipelineOf(ctx context.Context, project, commit, ref string) (*gl.Pipeline, error) {
	o := gl.ListProjectPipelinesOptions{SHA: gl.Ptr(commit), OrderBy: gl.Ptr("id"), Sort: gl.Ptr("desc")}
	if ref != "" {
		o.Ref = gl.Ptr(ref)
	}
	found, _, err := pages(ctx, g, perPage, fmt.Sprintf("list pipelines of commit %q in %q", short(commit), project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.PipelineInfo, *gl.Response, error) {
		o := o
		o.ListOptions.Page, o.ListOptions.PerPage = page.Page, page.PerPage
		return g.api.Pipelines.ListProjectPipelines(project, &o, with...)
	})
	if err != nil {
		return nil, err
	}
	for _, info := range found {
		if info.Source == "external" || info.Source == "parent_pipeline" {
			continue
		}
		p, err := g.readPipeline(ctx, project, info.ID)
		if err != nil {
			return nil, err
		}
		if p.Source == "api" && p.User != nil {
			me, err := g.me(ctx)
			if err != nil {
				return nil, err
			}
			if p.User.ID == me.ID {
				continue
			}
		}
		return p, nil
	}
	return nil, nil
}

// built returns the pipeline of the question's commit and how it stands; without one, an answer.
func (a *asking) built(ctx context.Context) (*gl.Pipeline, standing, *steps.GateAnswer, error) {
	ref := a.Gate.Params["ref"]
	p, err := a.g.pipelineOf(ctx, a.project, a.commit, ref)
	if err != nil {
		return nil, standing{}, nil, err
	}
	if p == nil {
		text := fmt.Sprintf("no pipeline ran for %s, which is commit %s", a.name(), short(a.commit))
		if ref != "" {
			text += " on " + ref
		}
		answer := no(text, playbooks.Evidence{Name: "commit", Text: a.commit, Link: a.g.page(a.project, "commit/"+a.commit)})
		return nil, standing{}, &answer, nil
	}
	if p.Status == statusSuccess {
		return p, standing{status: statusSuccess}, nil, nil
	}
	s, err := a.g.stand(ctx, a.project, p)
	return p, s, nil, err
}

func pipelineEvidence(p *gl.Pipeline, status string) playbooks.Evidence {
	return playbooks.Evidence{Name: fmt.Sprintf("pipeline %d", p.ID), Text: status, Link: p.WebURL}
}

// pipeline passes when the pipeline of that very commit did.
func (a *asking) pipeline(ctx context.Context) (steps.GateAnswer, error) {
	p, s, answer, err := a.built(ctx)
	if answer != nil || err != nil {
		return orNone(answer), err
	}
	text, evidence := fmt.Sprintf("%s: %s", a.name(), s.words(p.ID)), pipelineEvidence(p, s.status)
	switch s.status {
	case statusSuccess:
		return yes(text, evidence), nil
	case statusRunning, statusManual:
		return notYet(text, evidence), nil
	}
	return no(text, append([]playbooks.Evidence{evidence}, a.g.failures(ctx, a.project, p.ID)...)...), nil
}

func orNone(answer *steps.GateAnswer) steps.GateAnswer {
	if answer == nil {
		return steps.GateAnswer{}
	}
	return *answer
}

// jobs passes when the named jobs succeeded, whatever became of the others.
func (a *asking) jobs(ctx context.Context) (steps.GateAnswer, error) {
	var names []string
	for name := range strings.SplitSeq(a.Gate.Params["names"], ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return steps.GateAnswer{}, refuse("gate jobs of %s: it names no jobs", a.Module)
	}
	p, s, answer, err := a.built(ctx)
	if answer != nil || err != nil {
		return orNone(answer), err
	}
	jobs, _, err := pages(ctx, a.g, mostParts, fmt.Sprintf("list jobs of pipeline %d of %q", p.ID, a.project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.Job, *gl.Response, error) {
		return a.g.api.Jobs.ListPipelineJobs(a.project, p.ID, &gl.ListJobsOptions{ListOptions: page}, with...)
	})
	if err != nil {
		return steps.GateAnswer{}, err
	}
	evidence := []playbooks.Evidence{pipelineEvidence(p, s.status)}
	var bad, open []string
	for _, name := range names {
		i := slices.IndexFunc(jobs, func(j *gl.Job) bool { return j.Name == name })
		if i < 0 {
			if ended(s.status) {
				bad = append(bad, fmt.Sprintf("there is no job %q", name))
			} else {
				open = append(open, name)
			}
			continue
		}
		j := jobs[i]
		evidence = append(evidence, playbooks.Evidence{Name: j.Name, Text: j.Status, Link: j.WebURL})
		switch {
		case j.Status == statusSuccess:
		case ended(j.Status) || j.Status == statusManual && ended(s.status):
			bad = append(bad, fmt.Sprintf("job %s is %s", j.Name, j.Status))
		default:
			open = append(open, name)
		}
	}
	switch {
	case len(bad) > 0:
		return no(fmt.Sprintf("%s: %s in pipeline %d", a.name(), strings.Join(bad, ", "), p.ID), evidence...), nil
	case len(open) > 0:
		return notYet(fmt.Sprintf("%s: %s not done yet in pipeline %d", a.name(), strings.Join(open, ", "), p.ID), evidence...), nil
	}
	return yes(fmt.Sprintf("%s: %s passed in pipeline %d", a.name(), strings.Join(names, ", "), p.ID), evidence...), nil
}
