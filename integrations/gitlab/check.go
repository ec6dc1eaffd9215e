package gitlab

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// CheckOptions say what Check looks at beside the catalog.
type CheckOptions struct {
	// ServerURL is where GitLab reaches this server, without /gitlab/webhook. Empty: nobody knows,
	// and webhooks are not looked for.
	ServerURL string
}

// oldest is the first GitLab whose lists of pipelines have their names:
// https://docs.gitlab.com/api/pipelines/#list-project-pipelines
var oldest = release{16, 3}

const (
	// soonExpired is how long before its end a token is to be renewed.
	soonExpired = 14 * 24 * time.Hour
	// projectsAtOnce is how many projects are looked at at the same time.
	projectsAtOnce = 4
)

// Check looks whether everything is in place in GitLab for the catalog. It changes nothing there. Where
// GitLab wants fewer calls it waits, as long as ctx lets it.
func (g *GitLab) Check(ctx context.Context, o CheckOptions) []steps.Finding {
	c := &checking{g: g, ctx: ctx, options: o}
	if !c.server() || !c.token() {
		return c.found
	}
	byProject := make(map[string][]*playbooks.Module)
	var projects []string
	catalog := g.options.Catalog()
	for i := range catalog.Modules {
		m := &catalog.Modules[i]
		project := g.project(m.Source)
		if project == "" {
			if usesGitLab(m) {
				c.bad("name the project's path as its source", "module %s is delivered by GitLab, and its source %q is no project of %s", m.Name, m.Source, g.base.Host)
			}
			continue
		}
		if byProject[project] == nil {
			projects = append(projects, project)
		}
		byProject[project] = append(byProject[project], m)
	}
	each := make([]*checking, len(projects))
	var group errgroup.Group
	group.SetLimit(projectsAtOnce)
	for i, project := range projects {
		each[i] = &checking{g: g, ctx: ctx, options: o, self: c.self, release: c.release}
		group.Go(func() error {
			each[i].project(project, byProject[project])
			return nil
		})
	}
	_ = group.Wait() // nothing in it returns an error
	for _, one := range each {
		c.found = append(c.found, one.found...)
	}
	return c.found
}

// usesGitLab reports whether GitLab is to do something for a module.
func usesGitLab(m *playbooks.Module) bool {
	for _, d := range m.Deploy {
		if d.Deployer == System || d.Tag {
			return true
		}
	}
	return false
}

type checking struct {
	g       *GitLab
	ctx     context.Context
	options CheckOptions
	self    *gl.User
	release release
	found   []steps.Finding
}

func (c *checking) good(format string, args ...any) {
	c.found = append(c.found, steps.Finding{OK: true, What: fmt.Sprintf(format, args...)})
}

func (c *checking) bad(fix, format string, args ...any) {
	c.found = append(c.found, steps.Finding{What: fmt.Sprintf(format, args...), Fix: fix})
}

// failed is bad, with what is to be done about an error that has nothing to do with the thing.
func (c *checking) failed(err error, fix, format string, args ...any) {
	if !isPermanent(err) {
		fix = "see that this machine reaches " + c.g.base.String() + " and that the token is good, and try again"
	}
	c.bad(fix, "%s: %s", fmt.Sprintf(format, args...), strings.TrimPrefix(err.Error(), "gitlab: "))
}

// patiently calls f until it does not ask to be called later.
func patiently[T any](ctx context.Context, f func() (T, error)) (T, error) {
	const longest = time.Minute
	for {
		value, err := f()
		var turn interface{ RetryAfter() time.Duration }
		tooMany := errors.Is(err, errOwnLimit) || err != nil && strings.Contains(err.Error(), "HTTP 429")
		if !tooMany || !errors.As(err, &turn) || turn.RetryAfter() > longest {
			return value, err
		}
		timer := time.NewTimer(turn.RetryAfter())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return value, err
		}
	}
}

// server looks at the server's version.
func (c *checking) server() bool {
	release, err := patiently(c.ctx, func() (release, error) { return c.g.server(c.ctx) })
	if err != nil {
		c.failed(err, "see that the URL is that of GitLab, without /api/v4, and that the token has the scope api", "GitLab at %s", c.g.base)
		return false
	}
	c.release = release
	switch {
	case release.before(oldest):
		c.bad(fmt.Sprintf("update GitLab to %v or newer", oldest), "GitLab at %s has version %v, which is too old", c.g.base, release)
	case release.before(inputsSince):
		c.good("GitLab at %s has version %v; it knows no pipeline inputs, so they are sent as variables", c.g.base, release)
	default:
		c.good("GitLab at %s has version %v", c.g.base, release)
	}
	return true
}

// token looks at the token: https://docs.gitlab.com/api/personal_access_tokens/#get-details-on-a-personal-access-token
func (c *checking) token() bool {
	self, err := patiently(c.ctx, func() (*gl.User, error) { return c.g.me(c.ctx) })
	if err != nil {
		c.failed(err, "make a token with the scope api", "token")
		return false
	}
	c.self = self
	t, err := patiently(c.ctx, func() (*gl.PersonalAccessToken, error) {
		return ask(c.ctx, c.g, "read the token's own details", func(with ...gl.RequestOptionFunc) (*gl.PersonalAccessToken, *gl.Response, error) {
			return c.g.api.PersonalAccessTokens.GetSinglePersonalAccessToken(with...)
		})
	})
	if err != nil {
		c.failed(err, "use an access token of a project, a group or a user", "token of %s", self.Username)
		return true
	}
	if !slices.Contains(t.Scopes, "api") {
		c.bad("make another token, with the scope api", "the token of %s has the scopes %s, and may write nothing", self.Username, strings.Join(t.Scopes, ", "))
	} else {
		c.good("the token is that of %s, with the scope api", self.Username)
	}
	if t.ExpiresAt != nil {
		end := time.Time(*t.ExpiresAt)
		if left := time.Until(end); left < soonExpired {
			c.bad("renew it, and put the new one into the configuration", "the token expires on %s", end.Format("2 January 2006"))
		} else {
			c.good("the token lives until %s", end.Format("2 January 2006"))
		}
	}
	return true
}

// wants is what the configuration asks of a project.
type wants struct {
	pipelines bool // Muster starts them
	variables []string
	tags      []string // of modules that are tagged: a tag each, as an example
}

func wantsOf(modules []*playbooks.Module) wants {
	var w wants
	for _, m := range modules {
		tagged := false
		for _, d := range m.Deploy {
			tagged = tagged || d.Tag
			var sets []map[string]string
			if d.Deployer == System {
				sets = append(sets, d.Params)
			}
			for _, job := range append(slices.Clone(d.Tests), jobsOf(d)...) {
				if with := job.Params[playbooks.ParamWith]; with == System || with == "" {
					sets = append(sets, job.Params)
				}
			}
			for _, params := range sets {
				w.pipelines = true
				for name := range params {
					if v, is := strings.CutPrefix(name, "vars."); is {
						w.variables = append(w.variables, v)
					}
				}
			}
		}
		if tagged {
			w.tags = append(w.tags, m.TagPrefix+"v1.2.3")
		}
	}
	slices.Sort(w.variables)
	w.variables = slices.Compact(w.variables)
	return w
}

func jobsOf(d playbooks.Delivery) []playbooks.Job {
	var all []playbooks.Job
	for _, j := range []*playbooks.Job{d.Migration, d.Publish} {
		if j != nil {
			all = append(all, *j)
		}
	}
	return all
}

// project looks at one project of the catalog.
func (c *checking) project(name string, modules []*playbooks.Module) {
	p, err := patiently(c.ctx, func() (*gl.Project, error) { return c.g.readProject(c.ctx, name) })
	if err != nil {
		c.failed(err, "correct the source of "+modules[0].Name+", or add "+c.self.Username+" to the project as a Developer", "project %s", name)
		return
	}
	switch {
	case p.Archived:
		c.bad("unarchive it, or take it out of the catalog", "project %s is archived", name)
		return
	case p.DefaultBranch == "":
		c.bad("push something", "project %s is empty", name)
		return
	}
	level, err := c.level(name)
	if err != nil {
		c.failed(err, "add "+c.self.Username+" to the project as a Developer", "role in project %s", name)
		return
	}
	if level < gl.DeveloperPermissions {
		c.bad("give "+c.self.Username+" the role Developer there: it sets statuses, records deployments and releases, and starts pipelines", "project %s: the role %s is not enough", name, role(level))
		return
	}
	c.good("project %s: %s, default branch %s", name, role(level), p.DefaultBranch)
	w := wantsOf(modules)
	if w.pipelines {
		c.variables(p, level, w.variables)
	}
	for _, tag := range w.tags {
		c.tag(name, level, tag)
	}
	c.hooks(name)
}

// level is the role of the token's account, inherited ones included: https://docs.gitlab.com/api/project_members/
func (c *checking) level(project string) (gl.AccessLevelValue, error) {
	if c.self.IsAdmin {
		return gl.OwnerPermissions, nil
	}
	member, err := patiently(c.ctx, func() (*gl.ProjectMember, error) {
		return ask(c.ctx, c.g, fmt.Sprintf("read the role of %q in %q", c.self.Username, project), func(with ...gl.RequestOptionFunc) (*gl.ProjectMember, *gl.Response, error) {
			return c.g.api.ProjectMembers.GetInheritedProjectMember(project, c.self.ID, with...)
		})
	})
	if isGone(err) {
		return gl.NoPermissions, nil
	}
	if err != nil {
		return 0, err
	}
	return member.AccessLevel, nil
}

func role(level gl.AccessLevelValue) string {
	switch {
	case level >= gl.OwnerPermissions:
		return "Owner"
	case level >= gl.MaintainerPermissions:
		return "Maintainer"
	case level >= gl.DeveloperPermissions:
		return "Developer"
	case level >= gl.ReporterPermissions:
		return "Reporter"
	case level >= gl.GuestPermissions:
		return "Guest"
	}
	return "nobody"
}

// overriders says from which role on pipeline variables may be set:
// https://docs.gitlab.com/ci/variables/#restrict-pipeline-variables
var overriders = map[string]gl.AccessLevelValue{
	gl.CIPipelineVariablesDeveloperRole: gl.DeveloperPermissions, gl.CiPipelineVariablesMaintainerRole: gl.MaintainerPermissions,
	gl.CiPipelineVariablesOwnerRole: gl.OwnerPermissions, gl.CIPipelineVariablesNoOneAllowedRole: gl.AdminPermissions + 1,
}

// variables looks whether pipelines can be given what the configuration says, and be found again.
func (c *checking) variables(p *gl.Project, level gl.AccessLevelValue, wanted []string) {
	const fix = "make these inputs of the pipeline, or see Settings, CI/CD, Variables, minimum role to use pipeline variables"
	setting := p.CIPipelineVariablesMinimumOverrideRole
	least, known := overriders[setting]
	switch {
	case !known:
		c.good("project %s: GitLab does not tell this token who may set pipeline variables; Muster finds out with the first pipeline", p.PathWithNamespace)
	case level >= least:
		c.good("project %s: pipelines can be started with variables", p.PathWithNamespace)
	case len(wanted) > 0:
		c.bad(fix, "project %s: pipelines want the variables %s, and the role %s may set none (%s)", p.PathWithNamespace, some(wanted), role(level), setting)
	case c.release.before(inputsSince):
		c.bad("see Settings, CI/CD, Variables, minimum role to use pipeline variables", "project %s: the role %s may not set pipeline variables (%s), and GitLab %v knows no inputs", p.PathWithNamespace, role(level), setting, c.release)
	default:
		c.good("project %s: the role %s may not set pipeline variables (%s), so pipelines get inputs alone; with an input %s that is part of workflow:name one is found again whatever happens",
			p.PathWithNamespace, role(level), setting, keyName)
	}
}

// tag looks whether versions can be tagged: https://docs.gitlab.com/user/project/protected_tags/
func (c *checking) tag(project string, level gl.AccessLevelValue, name string) {
	type page struct {
		tags []*gl.ProtectedTag
	}
	found, err := patiently(c.ctx, func() (page, error) {
		tags, _, err := pages(c.ctx, c.g, mostParts, fmt.Sprintf("list protected tags of %q", project), func(p gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.ProtectedTag, *gl.Response, error) {
			return c.g.api.ProtectedTags.ListProtectedTags(project, &gl.ListProtectedTagsOptions{ListOptions: p}, with...)
		})
		return page{tags}, err
	})
	if isPermanent(err) {
		c.good("project %s: which tags are protected is for maintainers to see, so it is not known whether %s can be made", project, name)
		return
	}
	if err != nil {
		c.failed(err, "", "protected tags of project %s", project)
		return
	}
	for _, t := range found.tags {
		if !playbooks.MatchPattern(strings.TrimLeft(strings.ReplaceAll(t.Name, "|", ""), "!"), name) {
			continue
		}
		if !slices.ContainsFunc(t.CreateAccessLevels, func(l *gl.TagAccessDescription) bool {
			return l.UserID == c.self.ID || l.UserID == 0 && l.GroupID == 0 && l.DeployKeyID == 0 && l.AccessLevel != gl.NoPermissions && level >= l.AccessLevel || l.GroupID != 0
		}) {
			c.bad("allow "+c.self.Username+" to create them under Settings, Repository, Protected tags", "project %s: tags like %s are protected as %s, and the role %s may not create them", project, name, t.Name, role(level))
			return
		}
	}
	c.good("project %s: tags like %s can be made", project, name)
}

// hook is a webhook of a project or group, as far as it matters.
type hook struct {
	url, state string
	missing    []string
}

// hooks looks for the webhook that brings events here: the project's, or one of a group above it. System
// hooks are not seen with such a token.
func (c *checking) hooks(project string) {
	if c.options.ServerURL == "" {
		return
	}
	address := strings.TrimRight(c.options.ServerURL, "/") + "/gitlab/webhook"
	fix := "add a webhook with the address " + address + " under Settings, Webhooks, with push, tag, comment, merge request, pipeline, job, deployment and release events"
	all, err := patiently(c.ctx, func() ([]hook, error) { return c.projectHooks(project) })
	seen := err == nil
	for group := path.Dir(project); group != "." && group != "/"; group = path.Dir(group) {
		more, err := patiently(c.ctx, func() ([]hook, error) { return c.groupHooks(group) })
		if err == nil {
			all, seen = append(all, more...), true
		}
	}
	i := slices.IndexFunc(all, func(h hook) bool { return strings.TrimRight(h.url, "/") == address })
	switch {
	case i < 0 && !seen && isPermanent(err):
		c.good("project %s: its webhooks are for maintainers to see; without one at %s, events are found by looking, some minutes later", project, address)
	case i < 0 && !seen:
		c.failed(err, fix, "webhooks of project %s", project)
	case i < 0:
		c.bad(fix, "project %s has no webhook with the address %s", project, address)
	case all[i].state != "" && all[i].state != "executable":
		c.bad("see its recent deliveries under Settings, Webhooks, and test it, which enables it again", "the webhook of project %s is %s", project, strings.ReplaceAll(all[i].state, "_", " "))
	case len(all[i].missing) > 0:
		c.bad("tick them under Settings, Webhooks", "the webhook of project %s brings no %s events", project, strings.Join(all[i].missing, ", "))
	default:
		c.good("project %s has its webhook", project)
	}
}

// lacking names the kinds of event that are not delivered, of pairs of a name and whether it is.
func lacking(delivered map[string]bool) []string {
	var all []string
	for name, is := range delivered {
		if !is {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

func (c *checking) projectHooks(project string) ([]hook, error) {
	found, _, err := pages(c.ctx, c.g, mostParts, fmt.Sprintf("list webhooks of %q", project), func(p gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.ProjectHook, *gl.Response, error) {
		return c.g.api.Projects.ListProjectHooks(project, &gl.ListProjectHooksOptions{ListOptions: p}, with...)
	})
	var all []hook
	for _, h := range found {
		all = append(all, hook{h.URL, h.AlertStatus, lacking(map[string]bool{
			"push": h.PushEvents, "tag": h.TagPushEvents, "comment": h.NoteEvents, "merge request": h.MergeRequestsEvents,
			"pipeline": h.PipelineEvents, "job": h.JobEvents, "deployment": h.DeploymentEvents, "release": h.ReleasesEvents,
		})})
	}
	return all, err
}

func (c *checking) groupHooks(group string) ([]hook, error) {
	found, _, err := pages(c.ctx, c.g, mostParts, fmt.Sprintf("list webhooks of group %q", group), func(p gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.GroupHook, *gl.Response, error) {
		return c.g.api.Groups.ListGroupHooks(group, &gl.ListGroupHooksOptions{ListOptions: p}, with...)
	})
	var all []hook
	for _, h := range found {
		all = append(all, hook{h.URL, h.AlertStatus, lacking(map[string]bool{
			"push": h.PushEvents, "tag": h.TagPushEvents, "comment": h.NoteEvents, "merge request": h.MergeRequestsEvents,
			"pipeline": h.PipelineEvents, "job": h.JobEvents, "deployment": h.DeploymentEvents, "release": h.ReleasesEvents,
		})})
	}
	return all, err
}
