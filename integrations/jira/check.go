package jira

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/muster-release/muster/playbooks/steps"
)

// Check looks whether everything is in place in Jira. It changes nothing. It makes about ten calls, and one
// more for each project of stories.
func (j *Jira) Check(ctx context.Context) []steps.Finding {
	c := &checking{j: j}
	if !c.server(ctx) || !c.account(ctx) {
		return c.found
	}
	if c.project(ctx) {
		c.permissions(ctx)
		c.fields(ctx)
		c.statuses(ctx)
	}
	c.linkType(ctx)
	c.resolutions(ctx)
	c.stories(ctx)
	c.webhook()
	c.people()
	return c.found
}

type checking struct {
	j     *Jira
	kind  string // ID of the type of release issues
	found []steps.Finding
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
		fix = "see that this machine reaches " + c.j.o.URL + " and that the token is good, and try again"
	}
	c.bad(fix, "%s: %s", fmt.Sprintf(format, args...), strings.TrimPrefix(err.Error(), "jira: "))
}

func (c *checking) server(ctx context.Context) bool {
	s, err := c.j.serverInfo(ctx)
	var f *failure
	if errors.As(err, &f) && f.status == http.StatusUnauthorized {
		return true // it is there, and the token is the next thing to be looked at
	}
	if err != nil {
		fix := "see that server.jira.url is where people find Jira, with its context path"
		if c.j.flavor == dataCenter {
			fix += "; for Jira Cloud also server.jira.email is needed"
		}
		c.failed(err, fix, "Jira at %s", c.j.o.URL)
		return false
	}
	if isCloud := s.Deployment == "Cloud"; isCloud != (c.j.flavor == cloud) && s.Deployment != "" {
		fix := "leave server.jira.email out: Data Center wants a personal access token alone"
		if isCloud {
			fix = "add server.jira.email, the address of the account that the API token is of"
		}
		c.bad(fix, "this is Jira %s, and the configuration is for Jira %s", s.Deployment, c.j.flavor)
		return false
	}
	c.good("Jira %s %s at %s", c.j.flavor, s.Version, c.j.o.URL)
	if s.BaseURL != "" && !strings.EqualFold(strings.TrimRight(s.BaseURL, "/"), c.j.o.URL) {
		c.bad("set server.jira.url to the address that people use, or correct the base URL in Jira's general settings", "Jira says that people find it at %s, not at %s", s.BaseURL, c.j.o.URL)
	}
	return true
}

func (c *checking) account(ctx context.Context) bool {
	me, err := c.j.myself(ctx)
	if err != nil {
		fix := "make a new personal access token in the profile of Muster's account, and put it into server.jira.token"
		if c.j.flavor == cloud {
			fix = "make a new API token at id.atlassian.com for the account of server.jira.email, and put it into server.jira.token"
		}
		c.bad(fix, "token: %s", strings.TrimPrefix(err.Error(), "jira: "))
		return false
	}
	c.good("the token is that of %s (%s)", me.Shown, me.handle())
	for _, p := range c.j.withHandle(me.handle()) {
		c.bad("make an account for Muster alone: what it does would be taken for that person's", "the token is that of %s, who is a person of the configuration", p)
	}
	return true
}

func (c *checking) project(ctx context.Context) bool {
	var p struct {
		Name  string
		Types []struct{ ID, Name string } `json:"issueTypes"`
	}
	if err := c.j.get(ctx, "read project "+c.j.o.Project, at("project", c.j.o.Project), nil, &p); err != nil {
		c.failed(err, "set server.jira.project to the key of a project, and give Muster's account the permission Browse Projects there", "project %s", c.j.o.Project)
		return false
	}
	var names []string
	for _, t := range p.Types {
		names = append(names, t.Name)
		if strings.EqualFold(t.Name, c.j.o.IssueType) {
			c.kind = t.ID
		}
	}
	if c.kind == "" {
		c.bad("set server.jira.issueType to one of: "+strings.Join(names, ", "), "project %s has no issue type %q", c.j.o.Project, c.j.o.IssueType)
		return true
	}
	c.good("project %s (%s) has the issue type %q", c.j.o.Project, p.Name, c.j.o.IssueType)
	return true
}

// permission is a permission of a project, by the key that it has in both Jiras, with what it is for.
type permission struct{ key, name, use string }

func (c *checking) needed() []permission {
	all := []permission{
		{"BROWSE_PROJECTS", "Browse Projects", "see its issues"},
		{"CREATE_ISSUES", "Create Issues", "make release issues"},
		{"EDIT_ISSUES", "Edit Issues", "keep them as the release is"},
		{"TRANSITION_ISSUES", "Transition Issues", "move them"},
		{"ADD_COMMENTS", "Add Comments", "write down what happens"},
		{"EDIT_OWN_COMMENTS", "Edit Own Comments", "keep a plan up to date that it shows in a comment"},
		{"LINK_ISSUES", "Link Issues", "link stories"},
	}
	if len(c.j.form.fixVersion) > 0 {
		all = append(all, permission{"ADMINISTER_PROJECTS", "Administer Projects", "make and release the fix version"})
	}
	return all
}

// granted looks whether the account has all of some permissions in a project, and says which it lacks.
func (c *checking) granted(ctx context.Context, project string, all []permission) (granted bool, err error) {
	query := url.Values{"projectKey": {project}}
	if c.j.flavor == cloud {
		keys := make([]string, len(all))
		for n, p := range all {
			keys[n] = p.key
		}
		query.Set("permissions", strings.Join(keys, ","))
	}
	var answer struct {
		Permissions map[string]struct {
			Have bool `json:"havePermission"`
		} `json:"permissions"`
	}
	if err := c.j.get(ctx, "read the permissions in "+project, "mypermissions", query, &answer); err != nil {
		return false, err
	}
	granted = true
	for _, p := range all {
		if !answer.Permissions[p.key].Have {
			granted = false
			c.bad(fmt.Sprintf("grant %q to Muster's account in the permission scheme of %s", p.name, project), "permission %s in %s is missing: Muster needs it to %s", p.key, project, p.use)
		}
	}
	return granted, nil
}

func (c *checking) permissions(ctx context.Context) {
	project, all := c.j.o.Project, c.needed()
	granted, err := c.granted(ctx, project, all)
	if err != nil {
		c.failed(err, "see that the account may see project "+project, "permissions in %s", project)
		return
	}
	if granted {
		c.good("all %d permissions that are needed in %s are granted", len(all), project)
	}
}

func (c *checking) fields(ctx context.Context) {
	names := slices.Sorted(maps.Keys(c.j.form.fields))
	for _, name := range slices.Sorted(maps.Keys(c.j.o.TransitionFields)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		f, err := c.j.fieldNamed(ctx, name)
		switch {
		case err == nil:
			c.good("field %q is there (%s)", name, f.ID)
		default:
			c.failed(err, "name a field by its name or ID under server.jira.fields or transitionFields", "field %q", name)
		}
	}
}

// statuses looks whether what the transitions name is something in the workflow. A name may be that of a transition,
// which no account can list without an issue: then nobody knows.
func (c *checking) statuses(ctx context.Context) {
	var all []struct {
		ID       string
		Name     string
		Statuses []status `json:"statuses"`
	}
	project := c.j.o.Project
	if err := c.j.get(ctx, "list the statuses of "+project, at("project", project, "statuses"), nil, &all); err != nil {
		c.failed(err, "see that the account may see project "+project, "statuses of %s", project)
		return
	}
	var names []string
	for _, t := range all {
		for _, s := range t.Statuses {
			if (c.kind == "" || t.ID == c.kind) && !slices.Contains(names, s.Name) {
				names = append(names, s.Name)
			}
		}
	}
	var unclear []string
	for _, of := range statuses() {
		for _, name := range c.j.form.moves[of] {
			if !contains(names, name) && !slices.Contains(unclear, name) {
				unclear = append(unclear, name)
			}
		}
	}
	switch {
	case len(unclear) > 0 && len(names) > 0:
		c.good("no status of %s is called %s, so that must be the name of a transition, which is not known before an issue is there; the statuses are %s",
			project, quoted(unclear), strings.Join(names, ", "))
	case len(c.j.form.moves) > 0:
		c.good("all statuses that a release issue is moved to are in the workflow of %s", project)
	}
	for _, s := range []struct{ key, name string }{{"approve", c.j.o.ApproveStatus}, {"reject", c.j.o.RejectStatus}} {
		switch {
		case s.name == "":
		case contains(names, s.name):
			c.good("who moves a release issue to %q gives the answer %q", s.name, s.key)
		default:
			c.bad(fmt.Sprintf("set server.jira.%s to one of: %s", s.key, strings.Join(names, ", ")), "project %s has no status %q", project, s.name)
		}
	}
	if c.j.o.ApproveStatus != "" && strings.EqualFold(c.j.o.ApproveStatus, c.j.o.RejectStatus) {
		c.bad("name two different statuses", "server.jira.approve and server.jira.reject are the same status")
	}
}

func quoted(all []string) string { return `"` + strings.Join(all, `" or "`) + `"` }

func (c *checking) linkType(ctx context.Context) {
	name, all, err := c.j.linkKind(ctx, c.j.o.LinkType)
	switch {
	case err != nil:
		c.failed(err, "turn issue linking on in Jira's settings", "link types")
	case name == "":
		c.bad("set server.jira.linkType to one of: "+strings.Join(all, ", "), "there is no link type %q", c.j.o.LinkType)
	default:
		c.good("stories are linked with %q", name)
	}
}

func (c *checking) resolutions(ctx context.Context) {
	var all []json.RawMessage
	err := c.j.get(ctx, "list the resolutions", "resolution", nil, &all)
	switch {
	case err != nil:
		c.failed(err, "see that the account may use Jira", "resolutions")
	case len(all) == 0:
		c.bad("make one in Jira's settings, \"Done\" for instance", "there is no resolution, so that no transition can set one")
	default:
		c.good("a release that ends is resolved as %q, one that was aborted as %q, where a transition asks for it", pickResolution(all, "released").Name, pickResolution(all, "aborted").Name)
	}
}

// stories looks at the projects of stories, where Muster reads and links, and puts issues into versions.
func (c *checking) stories(ctx context.Context) {
	if len(c.j.o.StoryProjects) == 0 {
		c.good("stories are of every project that Muster's account sees")
	}
	for _, project := range c.j.o.StoryProjects {
		if project == c.j.o.Project {
			continue
		}
		granted, err := c.granted(ctx, project, []permission{{"BROWSE_PROJECTS", "Browse Projects", "read stories"}, {"LINK_ISSUES", "Link Issues", "link stories"}})
		if err != nil {
			c.failed(err, "name projects under server.jira.stories.projects by their keys, and give Muster's account Browse Projects there", "project %s", project)
			continue
		}
		if granted {
			c.good("stories of %s can be read and linked", project)
		}
	}
}

// webhook says what this side knows of it: an account without global rights cannot list webhooks.
func (c *checking) webhook() {
	if c.j.o.WebhookSecret == "" {
		c.bad("enter a secret where the webhook is registered in Jira, and the same as server.jira.webhookSecret", "there is no webhook secret, so that everything that Jira delivers is refused")
		return
	}
	c.good("deliveries are taken at /jira/webhook if they are signed with the webhook secret; that Jira has the same secret shows with the first one")
}

// people looks for people who cannot speak in comments.
func (c *checking) people() {
	var without []string
	n := 0
	for _, p := range c.j.people() {
		if p.Handles[System] != "" || c.j.flavor == cloud && p.Email != "" {
			n++
		} else if p.Email != "" {
			without = append(without, p.ID)
		}
	}
	if len(without) > 0 {
		c.bad("give them a handle \"jira\" under people: on Data Center addresses do not count", "people whom Jira cannot know: %s", listed(without))
		return
	}
	c.good("%d people may be known in Jira", n)
}
