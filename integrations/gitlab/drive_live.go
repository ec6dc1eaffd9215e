package gitlab

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/playbooks"
)

// environmentOf is what GitLab calls a place of a module.
func environmentOf(m *playbooks.Module, p playbooks.Place) string {
	name := p.Environment
	if p.Target != "" {
		name += "/" + p.Target
	}
	if given := m.In(p.Environment).Params["environment"]; given != "" {
		name = strings.NewReplacer("{environment}", p.Environment, "{target}", p.Target, "{module}", p.Module).Replace(given)
	}
	return name
}

// Live implements steps.Deployer: the latest successful deployment of the environment is what is live
// there. It is healthy unless a later one failed. Of an environment that is not there, was stopped or
// never had a deployment that succeeded, nothing is.
//
// Which version that is says the deployment's tag; if it was for a branch, Options.VersionOf says it
// by the commit, and where nobody knows it the commit's first twelve digits stand for it.
func (d driver) Live(ctx context.Context, p playbooks.Place) (playbooks.Live, error) {
	nothing := playbooks.Live{Place: p}
	m, project, err := d.g.module(p.Module)
	if err != nil {
		return nothing, err
	}
	name := environmentOf(m, p)
	envs, err := ask(ctx, d.g, fmt.Sprintf("find environment %q of %q", name, project), func(with ...gl.RequestOptionFunc) ([]*gl.Environment, *gl.Response, error) {
		return d.g.api.Environments.ListEnvironments(project, &gl.ListEnvironmentsOptions{Name: gl.Ptr(name)}, with...)
	})
	if err != nil {
		return nothing, err
	}
	if len(envs) == 0 || envs[0].State == "stopped" {
		return nothing, nil
	}
	last, err := d.g.newestDeployment(ctx, m, project, name, finishedAt, statusSuccess)
	if err != nil || last == nil {
		return nothing, err
	}
	live := playbooks.Live{Place: p, Healthy: true}
	if live.Version, err = d.deployed(ctx, m, project, p, last); err != nil {
		return nothing, err
	}
	switch {
	case last.Deployable.FinishedAt != nil:
		live.Since = last.Deployable.FinishedAt.UTC()
	case last.UpdatedAt != nil: // it was recorded by a call, and then set to success
		live.Since = last.UpdatedAt.UTC()
	}
	failed, err := d.g.newestDeployment(ctx, m, project, name, "id", statusFailed)
	if err != nil {
		return nothing, err
	}
	if failed != nil && failed.ID > last.ID {
		live.Healthy, live.Message = false, fmt.Sprintf("a later deployment, %d of %s, failed", failed.IID, short(failed.SHA))
	}
	return live, nil
}

// finishedAt is the order in which what is live comes first:
// https://docs.gitlab.com/api/deployments/#list-project-deployments
const finishedAt = "finished_at"

// newestDeployment returns the latest deployment of an environment with a status, nil if there is none. Where
// several modules of a project share the environment, those of the others' tags are left out.
func (g *GitLab) newestDeployment(ctx context.Context, m *playbooks.Module, project, environment, order, status string) (*gl.Deployment, error) {
	o := gl.ListProjectDeploymentsOptions{
		ListOptions: gl.ListOptions{PerPage: deploymentsSeen}, Environment: gl.Ptr(environment), Status: gl.Ptr(status), OrderBy: gl.Ptr(order), Sort: gl.Ptr("desc"),
	}
	if order == finishedAt {
		// Some releases of GitLab sort by this only what is filtered by it.
		o.FinishedBefore = gl.Ptr(time.Now().Add(24 * time.Hour))
	}
	found, err := ask(ctx, g, fmt.Sprintf("list deployments of environment %q of %q", environment, project), func(with ...gl.RequestOptionFunc) ([]*gl.Deployment, *gl.Response, error) {
		return g.api.Deployments.ListProjectDeployments(project, &o, with...)
	})
	if err != nil {
		return nil, err
	}
	modules := g.modulesOf(project)
	for _, d := range found {
		if belongs(m, modules, d) {
			return d, nil
		}
	}
	return nil, nil
}

// belongs reports whether a deployment may be one of the module, among those of its project: for a tag it is
// of those whose tag it is, for a branch of all.
func belongs(m *playbooks.Module, modules []*playbooks.Module, d *gl.Deployment) bool {
	tagged := false
	for _, o := range tagModules(modules, d.Ref) {
		if versioned(o, d) {
			if tagged = true; o.Name == m.Name {
				return true
			}
		}
	}
	return !tagged
}

// versioned reports whether a deployment was for a tag of the module.
func versioned(m *playbooks.Module, d *gl.Deployment) bool {
	version, is := strings.CutPrefix(d.Ref, m.TagPrefix)
	return is && version != "" && (d.Deployable.Tag || numbered.MatchString(version))
}

// numbered is what a tag's version looks like; a branch may be called v2, but hardly v2.0.1.
var numbered = regexp.MustCompile(`^v?\d+\.\d+\.\d+`)

// deployed is the version that a deployment brought.
func (d driver) deployed(ctx context.Context, m *playbooks.Module, project string, p playbooks.Place, of *gl.Deployment) (string, error) {
	if m.In(p.Environment).Params["ref"] != "" && of.Deployable.Pipeline.ID != 0 {
		// What its pipeline runs for is not the version's commit, so it was told the version.
		id := of.Deployable.Pipeline.ID
		vars, err := ask(ctx, d.g, fmt.Sprintf("read variables of pipeline %d of %q", id, project), func(with ...gl.RequestOptionFunc) ([]*gl.PipelineVariable, *gl.Response, error) {
			return d.g.api.Pipelines.GetPipelineVariables(project, id, with...)
		})
		if err != nil && !isPermanent(err) {
			return "", err
		}
		for _, v := range vars {
			if v.Key == versionName && v.Value != "" {
				return v.Value, nil
			}
		}
	}
	if versioned(m, of) {
		return strings.TrimPrefix(of.Ref, m.TagPrefix), nil
	}
	if d.g.options.VersionOf != nil {
		version, err := d.g.options.VersionOf(ctx, m.Name, of.SHA)
		if err != nil {
			return "", fmt.Errorf("gitlab: look up the version of %s that is commit %q: %w", m.Name, short(of.SHA), err)
		}
		if version != "" {
			return version, nil
		}
	}
	return of.SHA[:min(12, len(of.SHA))], nil
}
