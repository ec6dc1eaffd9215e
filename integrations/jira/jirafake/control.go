package jirafake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Issue is an issue as a test sees it.
type Issue struct {
	ID, Key, Project, Type, Summary string
	Status, Category                string // of the status: "new", "indeterminate" or "done"
	Resolution, Priority            string
	Assignee, Reporter              string // names of users
	Labels, FixVersions, Components []string
	Description                     string         // as markup, on both flavors
	Rich                            any            // the description as it was sent
	Fields                          map[string]any // custom fields by ID
	Properties                      map[string]any
	Comments                        []Comment
	Links                           []Link
	RemoteLinks                     []RemoteLink
	History                         []Change
	Created, Updated                time.Time
}

// Comment is a comment of an issue.
type Comment struct {
	ID, Author, Text string // Text is markup
	Body             any    // as it was sent
	Properties       map[string]any
	Created, Updated time.Time
}

// Link is a link from one issue to another: "Source Outward Target", as in "A blocks B".
type Link struct{ ID, Type, Outward, Source, Target string }

// RemoteLink is a link to something outside.
type RemoteLink struct {
	ID                                          int
	GlobalID, Relationship, Title, URL, Summary string
	Resolved                                    bool
}

// Change is one changed field in the history of an issue.
type Change struct {
	By, Field, From, To string
	At                  time.Time
}

// NewIssue is an issue to be made by AddIssue. What is empty has Jira's default.
type NewIssue struct {
	Project, Type, Summary string // an empty type is the project's first
	Description            string // markup; a paragraph on Cloud
	By                     string // empty: the first user
	Assignee, Priority     string
	Labels, FixVersions,
	Components []string
	Fields map[string]any // further fields as the API takes them
}

// AddIssue makes an issue as somebody does in the browser, webhooks included.
func (j *Jira) AddIssue(n NewIssue) (Issue, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	u, err := j.actor(n.By)
	if err != nil {
		return Issue{}, err
	}
	p := j.projectByRef(n.Project)
	if p == nil {
		return Issue{}, fmt.Errorf("jirafake: add issue: project %q: unknown", n.Project)
	}
	if n.Type == "" {
		n.Type = p.types[0].name
	}
	fields := Object{"project": Object{"key": n.Project}, "issuetype": Object{"name": n.Type}, "summary": n.Summary}
	if n.Description != "" {
		fields["description"] = j.richText(n.Description)
	}
	if n.Assignee != "" {
		a, err := j.person(n.Assignee)
		if err != nil {
			return Issue{}, err
		}
		fields["assignee"] = Object{"accountId": a.AccountID, "name": a.Name}
	}
	if n.Priority != "" {
		fields["priority"] = Object{"name": n.Priority}
	}
	names := func(all []string) []any { return each(all, func(s string) any { return Object{"name": s} }) }
	if n.Labels != nil {
		fields["labels"] = each(n.Labels, func(s string) any { return s })
	}
	if n.FixVersions != nil {
		fields["fixVersions"] = names(n.FixVersions)
	}
	if n.Components != nil {
		fields["components"] = names(n.Components)
	}
	for id, value := range n.Fields {
		fields[id] = value
	}
	i, bad := j.create(u, Object{"fields": fields})
	if bad != nil {
		return Issue{}, refused("add issue", bad)
	}
	return j.public(i), nil
}

func refused(what string, a *answer) error {
	said, err := json.Marshal(a.Body)
	if err != nil {
		return fmt.Errorf("jirafake: %s: %w", what, err)
	}
	return fmt.Errorf("jirafake: %s: %s", what, said)
}

// richText is a text as a comment or description: a paragraph for each line on Cloud.
func (j *Jira) richText(s string) any {
	if !j.cloud {
		return s
	}
	content := []any{}
	for l := range strings.SplitSeq(s, "\n") {
		if l != "" {
			content = append(content, Object{"type": "paragraph", "content": []any{Object{"type": "text", "text": l}}})
		}
	}
	return Object{"type": "doc", "version": float64(1), "content": content}
}

// actor is who does something; an empty name is the first user.
func (j *Jira) actor(name string) (*User, error) {
	if name == "" && len(j.users) > 0 {
		return j.users[0], nil
	}
	return j.person(name)
}

// as finds who does something, and with which issue.
func (j *Jira) as(user, key string) (*User, *issue, error) {
	u, err := j.actor(user)
	if err != nil {
		return nil, nil, err
	}
	i := j.byRef(key)
	if i == nil {
		return nil, nil, fmt.Errorf("jirafake: issue %q: unknown", key)
	}
	return u, i, nil
}

// Move makes a transition, found by its name or the status that it leads to, as somebody
// does in the browser. Fields are those of its screen, as the API takes them.
func (j *Jira) Move(user, key, transition string, fields map[string]any) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	u, i, err := j.as(user, key)
	if err != nil {
		return err
	}
	var offered []string
	for _, t := range j.transitionsOf(u, i) {
		if strings.EqualFold(t.step.Name, transition) || strings.EqualFold(t.step.To, transition) {
			if bad := j.move(u, i, t.step, Object{"fields": fields}); bad != nil {
				return refused("move "+key, bad)
			}
			return nil
		}
		offered = append(offered, t.step.Name)
	}
	return fmt.Errorf("jirafake: move %q: no transition %q for %q from %q; there are %q", key, transition, u.Name, i.status.name, offered)
}

// Comment writes a comment as somebody does, and returns its ID.
func (j *Jira) Comment(user, key, text string) (string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	u, i, err := j.as(user, key)
	if err != nil {
		return "", err
	}
	body := j.richText(text)
	if bad := j.checkRich(body); bad != "" {
		return "", fmt.Errorf("jirafake: comment on %q: %s", key, bad)
	}
	return strconv.Itoa(j.newComment(u, i, body, nil).id), nil
}

// EditField sets a field as somebody does; the value is as the API takes it.
func (j *Jira) EditField(user, key, field string, value any) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	u, i, err := j.as(user, key)
	if err != nil {
		return err
	}
	if bad := j.change(u, i, Object{"fields": Object{field: value}}); bad != nil {
		return refused("edit "+key, bad)
	}
	return nil
}

// SetDescription replaces the description with a text.
func (j *Jira) SetDescription(user, key, text string) error {
	return j.EditField(user, key, "description", j.richText(text))
}

// SetLabel puts a label on an issue or takes it away.
func (j *Jira) SetLabel(user, key, label string, on bool) error {
	verb := "remove"
	if on {
		verb = "add"
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	u, i, err := j.as(user, key)
	if err != nil {
		return err
	}
	if bad := j.change(u, i, Object{"update": Object{"labels": []any{Object{verb: label}}}}); bad != nil {
		return refused("label "+key, bad)
	}
	return nil
}

// LinkIssues links two issues: "source blocks target" with the type "Blocks".
func (j *Jira) LinkIssues(user, kind, source, target string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	u, err := j.actor(user)
	if err != nil {
		return err
	}
	t, a, b, bad := j.readLink(u, Object{"type": Object{"name": kind}, "inwardIssue": Object{"key": source}, "outwardIssue": Object{"key": target}}, nil)
	if bad != "" {
		return fmt.Errorf("jirafake: link %q to %q: %s", source, target, bad)
	}
	j.makeLink(u, t, a, b)
	return nil
}

// DeleteIssue deletes an issue as somebody does.
func (j *Jira) DeleteIssue(user, key string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	u, i, err := j.as(user, key)
	if err != nil {
		return err
	}
	j.remove(u, i)
	return nil
}

// AddVersion makes a version as somebody does and returns it.
func (j *Jira) AddVersion(project, name string) (Version, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.projectByRef(project)
	if p == nil {
		return Version{}, fmt.Errorf("jirafake: add version: project %q: unknown", project)
	}
	n := &version{project: p}
	if bad := j.readVersion(n, Object{"name": name}); bad != nil {
		return Version{}, refused("add version", bad)
	}
	n.id = j.id()
	j.versions = append(j.versions, n)
	j.versionEvent("jira:version_created", n)
	return n.public(), nil
}

// ReleaseVersion releases a version today, as somebody does.
func (j *Jira) ReleaseVersion(project, name string) error {
	return j.EditVersion(project, name, func(v *Version) { v.Released, v.ReleaseDate = true, time.Now().UTC().Format(time.DateOnly) })
}

// EditVersion changes a version as somebody does.
func (j *Jira) EditVersion(project, name string, f func(*Version)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, n := range j.versions {
		if n.project.key == project && n.name == name {
			v := n.public()
			f(&v)
			next := *n
			next.name, next.description, next.released, next.archived, next.start, next.release = v.Name, v.Description, v.Released, v.Archived, v.StartDate, v.ReleaseDate
			j.changeVersion(n, next)
			return nil
		}
	}
	return fmt.Errorf("jirafake: version %q of %q: unknown", name, project)
}

// Versions returns the versions of a project.
func (j *Jira) Versions(project string) []Version {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []Version
	for _, n := range j.versions {
		if n.project.key == project {
			all = append(all, n.public())
		}
	}
	return all
}

// Issue finds an issue by key or ID.
func (j *Jira) Issue(key string) (Issue, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := j.byRef(key)
	if i == nil {
		return Issue{}, false
	}
	return j.public(i), true
}

// Issues returns all issues, oldest first.
func (j *Jira) Issues() []Issue {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []Issue
	for _, i := range j.sorted() {
		all = append(all, j.public(i))
	}
	return all
}

// Request is a request with somebody's token, for tests that call the API by hand.
func (j *Jira) Request(user, method, path string) (*http.Request, error) {
	j.mu.Lock()
	u, err := j.actor(user)
	base := j.base
	j.mu.Unlock()
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequest(method, base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("jirafake: request: %w", err)
	}
	if j.cloud {
		r.SetBasicAuth(u.Email, u.Token)
	} else {
		r.Header.Set("Authorization", "Bearer "+u.Token)
	}
	return r, nil
}

func nameOf(u *User) string {
	if u == nil {
		return ""
	}
	return u.Name
}

func shown(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func (j *Jira) public(i *issue) Issue {
	r, _ := pick(resolutions(), i.resolution)
	if i.resolution == "" {
		r = choice{}
	}
	p, _ := pick(priorities(), i.priority)
	o := Issue{
		ID: strconv.Itoa(i.id), Key: i.key(), Project: i.project.key, Type: i.kind.name, Summary: i.summary, Status: i.status.name, Category: i.status.category,
		Resolution: r.name, Priority: p.name, Assignee: nameOf(i.assignee), Reporter: nameOf(i.reporter), Labels: slices.Clone(i.labels),
		Description: plain(i.rich["description"]), Rich: i.rich["description"], Fields: map[string]any{}, Properties: map[string]any{}, Created: i.created, Updated: i.updated,
	}
	for _, id := range i.fixVersions {
		o.FixVersions = append(o.FixVersions, j.versionName(id))
	}
	for _, id := range i.components {
		o.Components = append(o.Components, j.componentName(id))
	}
	for id, value := range i.custom {
		o.Fields[id] = value
	}
	for key, value := range i.properties {
		o.Properties[key] = value
	}
	for _, c := range i.comments {
		properties := map[string]any{}
		for key, value := range c.properties {
			properties[key] = value
		}
		o.Comments = append(o.Comments, Comment{strconv.Itoa(c.id), c.by.Name, plain(c.body), c.body, properties, c.created, c.updated})
	}
	for _, l := range j.links {
		if l.source == i.id || l.target == i.id {
			o.Links = append(o.Links, Link{strconv.Itoa(l.id), l.kind.name, l.kind.outward, j.issues[l.source].key(), j.issues[l.target].key()})
		}
	}
	for _, l := range i.remotes {
		object, _ := l.body["object"].(Object)
		state, _ := object["status"].(Object)
		resolved, _ := state["resolved"].(bool)
		o.RemoteLinks = append(o.RemoteLinks, RemoteLink{l.id, l.global, shown(l.body["relationship"]), shown(object["title"]), shown(object["url"]), shown(object["summary"]), resolved})
	}
	for _, c := range i.history {
		for _, it := range c.items {
			o.History = append(o.History, Change{c.by.Name, it.field, shown(it.fromString), shown(it.toString), c.at})
		}
	}
	return o
}
