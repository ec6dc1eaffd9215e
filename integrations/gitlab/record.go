package gitlab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/integrations/calls"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

var _ steps.Forge = (*GitLab)(nil)

const (
	// deploymentsSeen is how many of an environment's latest deployments are looked through.
	deploymentsSeen = 50
	// statusWords is how long the description of a commit status may be, in bytes:
	// https://docs.gitlab.com/api/commits/#set-commit-pipeline-status
	statusWords = 255
)

// Record implements steps.Forge: the status muster/ENVIRONMENT, or muster/ENVIRONMENT/TARGET, of the commit,
// and a deployment in the environment. GitLab makes the environment with its first
// deployment. Where a pipeline's own job has recorded the deployment there is no second one.
//
// The status is put on the pipeline that has it already, so that one pipeline shows the whole
// release, or else on the one that the commit's build ran in.
//
// Environments that Options.Record does not name are not recorded.
func (g *GitLab) Record(ctx context.Context, r steps.ForgeRecord) error {
	if len(g.options.Record) > 0 && !slices.Contains(g.options.Record, r.Place.Environment) {
		return nil
	}
	project, err := g.projectOf(r.Module)
	if err != nil {
		return err
	}
	at, err := g.locate(ctx, r.Module, project, r.Version, r.Commit)
	if err != nil {
		return err
	}
	if at.ref == "" {
		p, err := g.readProject(ctx, project)
		if err != nil {
			return err
		}
		at.ref = p.DefaultBranch
	}
	if err := g.recordStatus(ctx, project, at, r); err != nil {
		return err
	}
	return g.recordDeployment(ctx, project, at, r)
}

func statusName(p playbooks.Place) string {
	name := statusPrefix + p.Environment
	if p.Target != "" {
		name += "/" + p.Target
	}
	return name
}

var states = map[steps.ForgeState]gl.BuildStateValue{
	steps.ForgePending: gl.Pending, steps.ForgeRunning: gl.Running, steps.ForgeSuccess: gl.Success, steps.ForgeFailed: gl.Failed, steps.ForgeCanceled: gl.Canceled,
}

// recordStatus keeps the commit's status.
func (g *GitLab) recordStatus(ctx context.Context, project string, at spot, r steps.ForgeRecord) error {
	state, known := states[r.State]
	if !known {
		return refuse("record %s: %q is no state", r.Module.Name, r.State)
	}
	name := statusName(r.Place)
	latest, err := g.latestStatus(ctx, project, at.commit, name)
	if err != nil {
		return err
	}
	o := &gl.SetCommitStatusOptions{State: state, Name: gl.Ptr(name), Description: gl.Ptr(calls.Clip(r.Text, statusWords))}
	if r.Link != "" {
		o.TargetURL = gl.Ptr(r.Link)
	}
	if latest != nil {
		o.PipelineID, o.Ref = gl.Ptr(latest.PipelineID), gl.Ptr(latest.Ref)
		if latest.Status == string(state) {
			if !ended(latest.Status) {
				return nil // GitLab refuses to set what is the case: there is no such transition
			}
			if latest.Description == *o.Description && latest.TargetURL == r.Link {
				return nil
			}
		}
	} else {
		// Without a pipeline named, GitLab takes the newest of the ref, which may be one that
		// Muster started itself to deploy.
		p, err := g.pipelineOf(ctx, project, at.commit, "")
		if err != nil {
			return err
		}
		o.Ref = gl.Ptr(at.ref)
		if p != nil {
			o.PipelineID, o.Ref = gl.Ptr(p.ID), gl.Ptr(p.Ref)
		}
	}
	err = g.setStatus(ctx, project, at.commit, name, o)
	if isGone(err) && o.PipelineID != nil {
		// The pipeline was archived or deleted meanwhile; GitLab finds another one, or makes one.
		o.PipelineID = nil
		err = g.setStatus(ctx, project, at.commit, name, o)
	}
	if isPermanent(err) && strings.Contains(err.Error(), "Cannot transition") {
		// Somebody else may have set it meanwhile, or it was over: what counts is what it is.
		if latest, lookErr := g.latestStatus(ctx, project, at.commit, name); lookErr == nil && latest != nil && latest.Status == string(state) {
			return nil
		}
	}
	return err
}

func (g *GitLab) setStatus(ctx context.Context, project, commit, name string, o *gl.SetCommitStatusOptions) error {
	what := fmt.Sprintf("set status %q of commit %q in %q", name, short(commit), project)
	_, err := ask(ctx, g, what, func(with ...gl.RequestOptionFunc) (*gl.CommitStatus, *gl.Response, error) {
		return g.api.Commits.SetCommitStatus(project, commit, o, with...)
	})
	if isPermanent(err) && strings.Contains(err.Error(), "is in progress") {
		// GitLab sets one status of a commit after the other, and gives up waiting with a conflict.
		return &calls.Later{Text: "gitlab: " + what, Wait: connectWait, Err: errors.New("GitLab sets another status of the commit (HTTP 409)")}
	}
	return err
}

// latestStatus is the newest status of a name that Muster set, nil if there is none.
func (g *GitLab) latestStatus(ctx context.Context, project, commit, name string) (*gl.CommitStatus, error) {
	all, _, err := pages(ctx, g, mostParts, fmt.Sprintf("list statuses of commit %q in %q", short(commit), project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.CommitStatus, *gl.Response, error) {
		return g.api.Commits.GetCommitStatuses(project, commit, &gl.GetCommitStatusesOptions{ListOptions: page, Name: gl.Ptr(name)}, with...)
	})
	if err != nil {
		return nil, err
	}
	var latest *gl.CommitStatus
	for _, s := range all {
		if s.Name == name && (latest == nil || s.ID > latest.ID) {
			latest = s
		}
	}
	return latest, nil
}

// recordDeployment keeps the deployment in the environment. One that is pending is none yet.
func (g *GitLab) recordDeployment(ctx context.Context, project string, at spot, r steps.ForgeRecord) error {
	if r.State == steps.ForgePending {
		return nil
	}
	if r.Deployer == System && r.State == steps.ForgeRunning {
		return nil // the pipeline's job records it when it begins
	}
	environment := environmentOf(r.Module, r.Place)
	found, err := ask(ctx, g, fmt.Sprintf("list deployments of environment %q of %q", environment, project), func(with ...gl.RequestOptionFunc) ([]*gl.Deployment, *gl.Response, error) {
		return g.api.Deployments.ListProjectDeployments(project, &gl.ListProjectDeploymentsOptions{
			ListOptions: gl.ListOptions{PerPage: deploymentsSeen}, Environment: gl.Ptr(environment), OrderBy: gl.Ptr("id"), Sort: gl.Ptr("desc"),
		}, with...)
	})
	if err != nil {
		return err
	}
	state := string(states[r.State])
	switch d, what := sameDeployment(found, at.commit, state, r.Since); what {
	case there:
		return nil
	case update:
		_, err = ask(ctx, g, fmt.Sprintf("set deployment %d of environment %q of %q to %s", d.IID, environment, project, state), func(with ...gl.RequestOptionFunc) (*gl.Deployment, *gl.Response, error) {
			return g.api.Deployments.UpdateProjectDeployment(project, d.ID, &gl.UpdateProjectDeploymentOptions{Status: gl.Ptr(gl.DeploymentStatusValue(state))}, with...)
		})
		if isPermanent(err) {
			now, lookErr := ask(ctx, g, fmt.Sprintf("read deployment %d of environment %q of %q", d.IID, environment, project), func(with ...gl.RequestOptionFunc) (*gl.Deployment, *gl.Response, error) {
				return g.api.Deployments.GetProjectDeployment(project, d.ID, with...)
			})
			if lookErr == nil && now.Status == state {
				return nil
			}
		}
		return err
	}
	_, err = ask(ctx, g, fmt.Sprintf("record a deployment in environment %q of %q", environment, project), func(with ...gl.RequestOptionFunc) (*gl.Deployment, *gl.Response, error) {
		return g.api.Deployments.CreateProjectDeployment(project, &gl.CreateProjectDeploymentOptions{
			Environment: gl.Ptr(environment), SHA: gl.Ptr(at.commit), Ref: gl.Ptr(at.ref), Tag: gl.Ptr(at.tag), Status: gl.Ptr(gl.DeploymentStatusValue(state)),
		}, with...)
	})
	return err
}

// What is to be done about a deployment.
const (
	there  = "there"
	update = "update"
	create = "create"
)

// sameDeployment finds, among the latest deployments of an environment, the newest first, the one
// that a state of a commit is about, and says what is to be done: nothing, to set its state, or to
// record another one. Since is when the state began, by this machine's clock.
func sameDeployment(latest []*gl.Deployment, commit, state string, since time.Time) (*gl.Deployment, string) {
	for i, d := range latest {
		if d.SHA != commit {
			continue
		}
		var created, updated time.Time
		if d.CreatedAt != nil {
			created, updated = *d.CreatedAt, *d.CreatedAt
		}
		if d.UpdatedAt != nil {
			updated = *d.UpdatedAt
		}
		after := since.Add(-skew)
		switch {
		case d.Deployable.ID != 0:
			// A job recorded it, and only GitLab may change it. It is about this as long as
			// nothing else was deployed since.
			if i == 0 || !updated.Before(after) {
				return d, there
			}
		case !ended(d.Status):
			if d.Status == state {
				return d, there
			}
			return d, update
		case state == statusRunning:
			if !created.Before(after) {
				return d, there // it was recorded for this, and is over
			}
		case d.Status == state && (i == 0 || !updated.Before(after)):
			return d, there
		}
		return nil, create
	}
	return nil, create
}
