package jirafake

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Project is a project to be added.
type Project struct {
	Key, Name  string
	Lead       string   // a user; empty: the first
	Types      []string // issue types; nil: Task, Bug, Story, Epic, Release
	Components []string
	Versions   []string
	Workflow   *Workflow // nil: DefaultWorkflow
	// Required are fields, by ID, that an issue cannot be created without, beside the summary.
	Required []string
	// Hidden are fields, by ID, that are on none of its screens and cannot be set.
	Hidden []string
}

// Workflow is what issues of a project go through.
type Workflow struct {
	Statuses    []Status
	Initial     string // status of a new issue; empty: the first
	Transitions []Step
}

// Status is a status with its category: "new", "indeterminate" or "done".
type Status struct{ Name, Category string }

// Step is a transition of a workflow.
type Step struct {
	Name string
	From []string // statuses; empty: from every status
	To   string
	// Screen are the fields, by ID, that people are asked for; those with a "!" at the end
	// must be filled. Other fields cannot be set in the transition.
	Screen []string
	// Resolve is the resolution that the transition itself sets, "-" to take it away.
	Resolve string
	// Only names who may make it; empty: everybody with the permission.
	Only []string
	// If is asked whether the transition is there for an issue; nil: always. It may not call
	// the Jira, which is locked meanwhile.
	If func(Issue) bool
	// Event is the webhook's issue_event_type_name; empty: "issue_generic".
	Event string
}

// DefaultWorkflow is Jira's simple one: every status can be reached from every other, and
// done sets the resolution.
func DefaultWorkflow() *Workflow {
	return &Workflow{
		Statuses: []Status{{"To Do", "new"}, {"In Progress", "indeterminate"}, {"Done", "done"}},
		Transitions: []Step{
			{Name: "To Do", To: "To Do", Resolve: "-"}, {Name: "In Progress", To: "In Progress", Resolve: "-"}, {Name: "Done", To: "Done", Resolve: "Done"},
		},
	}
}

// ReleaseWorkflow is one for release issues, with a resolution that must be given at the end.
func ReleaseWorkflow() *Workflow {
	return &Workflow{
		Statuses: []Status{
			{"Planned", "new"}, {"Awaiting Approval", "new"}, {"Releasing", "indeterminate"}, {"Released", "done"}, {"Rolled Back", "done"}, {"Cancelled", "done"},
		},
		Transitions: []Step{
			{Name: "Ask for approval", From: []string{"Planned"}, To: "Awaiting Approval"},
			{Name: "Start release", From: []string{"Planned", "Awaiting Approval"}, To: "Releasing"},
			{Name: "Release", From: []string{"Releasing"}, To: "Released", Screen: []string{"resolution!", "fixVersions"}},
			{Name: "Roll back", From: []string{"Releasing", "Released"}, To: "Rolled Back", Screen: []string{"resolution!"}},
			{Name: "Cancel", From: []string{"Planned", "Awaiting Approval", "Releasing"}, To: "Cancelled", Screen: []string{"resolution!"}},
			{Name: "Reopen", From: []string{"Released", "Rolled Back", "Cancelled"}, To: "Planned", Resolve: "-"},
		},
	}
}

type project struct {
	id       int
	key      string
	name     string
	lead     *User
	types    []*issueType
	flow     *Workflow
	required []string
	hidden   []string
	issues   int // the last number given
}

type issueType struct {
	id   int
	name string
}

type status struct {
	id       int
	name     string
	category string
}

type component struct {
	id      int
	name    string
	project *project
}

type choice struct{ id, name string } // a priority or resolution

func priorities() []choice {
	return []choice{{"1", "Highest"}, {"2", "High"}, {"3", "Medium"}, {"4", "Low"}, {"5", "Lowest"}}
}

func resolutions() []choice {
	return []choice{{"10000", "Done"}, {"10001", "Won't Do"}, {"10002", "Duplicate"}, {"10003", "Cannot Reproduce"}}
}

func pick(from []choice, ref string) (choice, bool) {
	n := slices.IndexFunc(from, func(c choice) bool { return c.id == ref || strings.EqualFold(c.name, ref) })
	if n < 0 {
		return choice{}, false
	}
	return from[n], true
}

// AddProject adds a project.
func (j *Jira) AddProject(p Project) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if p.Key == "" || j.projectByRef(p.Key) != nil {
		return fmt.Errorf("jirafake: add project %q: there is one already, or no key", p.Key)
	}
	if p.Name == "" {
		p.Name = p.Key
	}
	if p.Types == nil {
		p.Types = []string{"Task", "Bug", "Story", "Epic", "Release"}
	}
	if p.Workflow == nil {
		p.Workflow = DefaultWorkflow()
	}
	q := &project{id: j.id(), key: p.Key, name: p.Name, flow: p.Workflow, required: p.Required, hidden: p.Hidden}
	if p.Lead != "" {
		lead, err := j.person(p.Lead)
		if err != nil {
			return fmt.Errorf("jirafake: add project %q: lead: %w", p.Key, err)
		}
		q.lead = lead
	} else if len(j.users) > 0 {
		q.lead = j.users[0]
	}
	if len(q.flow.Statuses) == 0 {
		return fmt.Errorf("jirafake: add project %q: its workflow has no status", p.Key)
	}
	for _, s := range q.flow.Statuses {
		if j.statusNamed(s.Name) == nil {
			j.statuses = append(j.statuses, &status{id: j.id(), name: s.Name, category: s.Category})
		}
	}
	for _, t := range q.flow.Transitions {
		if !slices.ContainsFunc(q.flow.Statuses, func(s Status) bool { return s.Name == t.To }) {
			return fmt.Errorf("jirafake: add project %q: transition %q leads to %q, which is none of its statuses", p.Key, t.Name, t.To)
		}
	}
	for _, name := range p.Types {
		n := slices.IndexFunc(j.types, func(t *issueType) bool { return t.name == name })
		if n < 0 {
			n = len(j.types)
			j.types = append(j.types, &issueType{id: j.id(), name: name})
		}
		q.types = append(q.types, j.types[n])
	}
	for _, name := range p.Components {
		j.components = append(j.components, &component{id: j.id(), name: name, project: q})
	}
	for _, name := range p.Versions {
		j.versions = append(j.versions, &version{id: j.id(), name: name, project: q})
	}
	j.projects = append(j.projects, q)
	return nil
}

func (j *Jira) statusNamed(name string) *status {
	for _, s := range j.statuses {
		if strings.EqualFold(s.name, name) {
			return s
		}
	}
	return nil
}

func (j *Jira) projectByRef(ref string) *project {
	for _, p := range j.projects {
		if p.key == ref || strconv.Itoa(p.id) == ref {
			return p
		}
	}
	return nil
}

// projectOf finds a project that somebody may see.
func (j *Jira) projectOf(u *User, ref string) *project {
	p := j.projectByRef(ref)
	if p == nil || !j.may(u, p, Browse) {
		return nil
	}
	return p
}

func (j *Jira) projectJSON(p *project, v view) Object {
	avatars := Object{}
	for _, size := range []int{16, 24, 32, 48} {
		avatars[fmt.Sprintf("%dx%d", size, size)] = fmt.Sprintf("%s/secure/projectavatar?size=%d&pid=%d", j.base, size, p.id)
	}
	o := Object{"self": j.self(v, "project", strconv.Itoa(p.id)), "id": strconv.Itoa(p.id), "key": p.key, "name": p.name, "projectTypeKey": "software", "avatarUrls": avatars}
	if j.cloud {
		o["simplified"] = false
	}
	return o
}

func (j *Jira) typeJSON(t *issueType, v view) Object {
	o := Object{
		"self": j.self(v, "issuetype", strconv.Itoa(t.id)), "id": strconv.Itoa(t.id), "name": t.name, "description": "", "subtask": false, "avatarId": 10315,
		"iconUrl": j.base + "/secure/viewavatar?size=xsmall&avatarId=10315&avatarType=issuetype",
	}
	if j.cloud {
		o["hierarchyLevel"] = 0
	}
	return o
}

func categoryJSON(base string, v view, key string) Object {
	o := Object{"id": 2, "key": "new", "colorName": "blue-gray", "name": "To Do"}
	switch key {
	case "indeterminate":
		o = Object{"id": 4, "key": key, "colorName": "yellow", "name": "In Progress"}
	case "done":
		o = Object{"id": 3, "key": key, "colorName": "green", "name": "Done"}
	}
	o["self"] = fmt.Sprintf("%s%s/statuscategory/%d", base, v.api, o["id"])
	return o
}

func (j *Jira) statusJSON(s *status, v view) Object {
	return Object{
		"self": j.self(v, "status", strconv.Itoa(s.id)), "id": strconv.Itoa(s.id), "name": s.name, "description": "", "iconUrl": j.base + "/",
		"statusCategory": categoryJSON(j.base, v, s.category),
	}
}

func (j *Jira) componentJSON(c *component, v view, full bool) Object {
	o := Object{"self": j.self(v, "component", strconv.Itoa(c.id)), "id": strconv.Itoa(c.id), "name": c.name}
	if full {
		o["project"], o["projectId"], o["assigneeType"], o["isAssigneeTypeValid"] = c.project.key, c.project.id, "PROJECT_DEFAULT", false
	}
	return o
}

func (j *Jira) choiceJSON(kind string, c choice, v view) Object {
	o := Object{"self": j.self(v, kind, c.id), "id": c.id, "name": c.name}
	if kind == "priority" {
		o["iconUrl"] = j.base + "/images/icons/priorities/" + strings.ToLower(c.name) + ".svg"
	} else {
		o["description"] = ""
	}
	return o
}

func each[T any](all []T, f func(T) any) []any {
	out := make([]any, 0, len(all))
	for _, one := range all {
		out = append(out, f(one))
	}
	return out
}

func (j *Jira) getServerInfo(*request) answer {
	o := Object{
		"baseUrl": j.base, "version": "10.3.5", "versionNumbers": []int{10, 3, 5}, "deploymentType": "Server", "buildNumber": 10030005,
		"buildDate": "2025-04-01T00:00:00.000+0000", "serverTime": stamp(time.Now()), "scmInfo": "f00d", "serverTitle": "Jira",
	}
	if j.cloud {
		o["version"], o["versionNumbers"], o["deploymentType"], o["buildNumber"] = "1001.0.0-SNAPSHOT", []int{1001, 0, 0}, "Cloud", 100284
	}
	return ok(o)
}

func (j *Jira) getStatuses(r *request) answer {
	return ok(each(j.statuses, func(s *status) any { return j.statusJSON(s, j.viewOf(r)) }))
}

func (j *Jira) getStatus(r *request) answer {
	for _, s := range j.statuses {
		if strconv.Itoa(s.id) == r.path["status"] || s.name == r.path["status"] {
			return ok(j.statusJSON(s, j.viewOf(r)))
		}
	}
	return gone("The status was not found.")
}

func (j *Jira) getCategories(r *request) answer {
	return ok(each([]string{"new", "indeterminate", "done"}, func(key string) any { return categoryJSON(j.base, j.viewOf(r), key) }))
}

func (j *Jira) getPriorities(r *request) answer {
	return ok(each(priorities(), func(c choice) any { return j.choiceJSON("priority", c, j.viewOf(r)) }))
}

func (j *Jira) pagePriorities(r *request) answer {
	return j.paged(r, j.self(j.viewOf(r), "priority", "search"), each(priorities(), func(c choice) any { return j.choiceJSON("priority", c, j.viewOf(r)) }), 50)
}

func (j *Jira) getResolutions(r *request) answer {
	return ok(each(resolutions(), func(c choice) any { return j.choiceJSON("resolution", c, j.viewOf(r)) }))
}

func (j *Jira) pageResolutions(r *request) answer {
	return j.paged(r, j.self(j.viewOf(r), "resolution", "search"), each(resolutions(), func(c choice) any { return j.choiceJSON("resolution", c, j.viewOf(r)) }), 50)
}

func (j *Jira) getIssueTypes(r *request) answer {
	return ok(each(j.types, func(t *issueType) any { return j.typeJSON(t, j.viewOf(r)) }))
}

func (j *Jira) seen(u *User) []*project {
	var all []*project
	for _, p := range j.projects {
		if j.may(u, p, Browse) {
			all = append(all, p)
		}
	}
	return all
}

func (j *Jira) getProjects(r *request) answer {
	return ok(each(j.seen(r.user), func(p *project) any { return j.projectJSON(p, j.viewOf(r)) }))
}

func (j *Jira) pageProjects(r *request) answer {
	keys, word := r.list("keys"), strings.ToLower(r.query.Get("query"))
	var found []*project
	for _, p := range j.seen(r.user) {
		if (len(keys) == 0 || slices.Contains(keys, p.key)) && (strings.Contains(strings.ToLower(p.key), word) || strings.Contains(strings.ToLower(p.name), word)) {
			found = append(found, p)
		}
	}
	return j.paged(r, j.self(j.viewOf(r), "project", "search"), each(found, func(p *project) any { return j.projectJSON(p, j.viewOf(r)) }), 50)
}

func noProject(r *request) answer {
	return gone(fmt.Sprintf("No project could be found with key '%s'.", r.path["project"]))
}

func (j *Jira) getProject(r *request) answer {
	p, v := j.projectOf(r.user, r.path["project"]), j.viewOf(r)
	if p == nil {
		return noProject(r)
	}
	o := j.projectJSON(p, v)
	o["description"], o["assigneeType"], o["expand"] = "", "UNASSIGNED", "description,lead,issueTypes,url,projectKeys"
	o["issueTypes"] = each(p.types, func(t *issueType) any { return j.typeJSON(t, v) })
	o["components"] = j.componentsOf(p, v, j.cloud)
	o["versions"] = each(j.versionsOf(p), func(n *version) any { return j.versionJSON(n, v) })
	o["roles"] = Object{}
	if p.lead != nil {
		o["lead"] = j.userJSON(p.lead, v)
	}
	return ok(o)
}

func (j *Jira) componentsOf(p *project, v view, full bool) []any {
	all := []any{}
	for _, c := range j.components {
		if c.project == p {
			all = append(all, j.componentJSON(c, v, full))
		}
	}
	return all
}

func (j *Jira) getComponents(r *request) answer {
	p := j.projectOf(r.user, r.path["project"])
	if p == nil {
		return noProject(r)
	}
	return ok(j.componentsOf(p, j.viewOf(r), true))
}

func (j *Jira) getProjectStatuses(r *request) answer {
	p, v := j.projectOf(r.user, r.path["project"]), j.viewOf(r)
	if p == nil {
		return noProject(r)
	}
	var all []any
	for _, t := range p.types {
		all = append(all, Object{
			"self": j.self(v, "issuetype", strconv.Itoa(t.id)), "id": strconv.Itoa(t.id), "name": t.name, "subtask": false,
			"statuses": each(p.flow.Statuses, func(s Status) any { return j.statusJSON(j.statusNamed(s.Name), v) }),
		})
	}
	return ok(all)
}

// noPermission is the answer to who may see something but not do it.
func noPermission(what string) answer { return fail(http.StatusForbidden, what) }
