package jirafake

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Version is a version of a project as a test sees it.
type Version struct {
	ID, Project, Name, Description string
	Released, Archived             bool
	StartDate, ReleaseDate         string // "2026-01-31"; may be empty
}

type version struct {
	id             int
	project        *project
	name           string
	description    string
	released       bool
	archived       bool
	start, release string
}

func (n *version) public() Version {
	return Version{
		ID: strconv.Itoa(n.id), Project: n.project.key, Name: n.name, Description: n.description, Released: n.released, Archived: n.archived,
		StartDate: n.start, ReleaseDate: n.release,
	}
}

func (j *Jira) versionsOf(p *project) []*version {
	var all []*version
	for _, n := range j.versions {
		if n.project == p {
			all = append(all, n)
		}
	}
	return all
}

func (j *Jira) versionJSON(n *version, v view) Object {
	o := Object{
		"self": j.self(v, "version", strconv.Itoa(n.id)), "id": strconv.Itoa(n.id), "name": n.name, "archived": n.archived, "released": n.released,
		"projectId": n.project.id,
	}
	if n.description != "" {
		o["description"] = n.description
	}
	if n.start != "" {
		o["startDate"], o["userStartDate"] = n.start, userDate(n.start)
	}
	if n.release != "" {
		o["releaseDate"], o["userReleaseDate"] = n.release, userDate(n.release)
		o["overdue"] = !n.released && n.release < time.Now().UTC().Format(time.DateOnly)
	}
	return o
}

func userDate(day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return t.Format("02/Jan/06")
}

func (j *Jira) getVersions(r *request) answer {
	p := j.projectOf(r.user, r.path["project"])
	if p == nil {
		return noProject(r)
	}
	return ok(each(j.versionsOf(p), func(n *version) any { return j.versionJSON(n, j.viewOf(r)) }))
}

func (j *Jira) pageVersions(r *request) answer {
	p := j.projectOf(r.user, r.path["project"])
	if p == nil {
		return noProject(r)
	}
	word, states := strings.ToLower(r.query.Get("query")), r.list("status")
	found := slices.DeleteFunc(j.versionsOf(p), func(n *version) bool {
		state := "unreleased"
		if n.archived {
			state = "archived"
		} else if n.released {
			state = "released"
		}
		return !strings.Contains(strings.ToLower(n.name+"\n"+n.description), word) || len(states) > 0 && !slices.Contains(states, state)
	})
	self := j.self(j.viewOf(r), "project", p.key, "version")
	return j.paged(r, self, each(found, func(n *version) any { return j.versionJSON(n, j.viewOf(r)) }), 50)
}

// versionOf finds a version by its ID that somebody may see.
func (j *Jira) versionOf(r *request) *version {
	for _, n := range j.versions {
		if strconv.Itoa(n.id) == r.path["version"] && j.may(r.user, n.project, Browse) {
			return n
		}
	}
	return nil
}

func noVersion(r *request) answer {
	return gone(fmt.Sprintf("Could not find version for id '%s'", r.path["version"]))
}

func (j *Jira) getVersion(r *request) answer {
	n := j.versionOf(r)
	if n == nil {
		return noVersion(r)
	}
	return ok(j.versionJSON(n, j.viewOf(r)))
}

// readVersion takes over what a request says of a version.
func (j *Jira) readVersion(n *version, o Object) *answer {
	errs := map[string]string{}
	text := func(name string, into *string) {
		if value, given := o[name]; given {
			s, is := value.(string)
			if !is && value != nil {
				errs[name] = "data was not a string"
			}
			*into = s
		}
	}
	flag := func(name string, into *bool) {
		if value, given := o[name]; given {
			b, is := value.(bool)
			if !is {
				errs[name] = "data was not a boolean"
			}
			*into = b
		}
	}
	text("name", &n.name)
	text("description", &n.description)
	text("startDate", &n.start)
	text("releaseDate", &n.release)
	flag("released", &n.released)
	flag("archived", &n.archived)
	switch {
	case strings.TrimSpace(n.name) == "":
		errs["name"] = "You must specify a valid version name"
	case len(n.name) > 255:
		errs["name"] = "The version name exceeds 255 characters."
	case slices.ContainsFunc(j.versionsOf(n.project), func(m *version) bool { return m.id != n.id && strings.EqualFold(m.name, n.name) }):
		errs["name"] = "A version with this name already exists in this project."
	}
	for name, day := range map[string]string{"startDate": n.start, "releaseDate": n.release} {
		if _, err := time.Parse(time.DateOnly, day); day != "" && err != nil {
			errs[name] = "The date must be in the format yyyy-MM-dd."
		}
	}
	if n.start != "" && n.release != "" && n.start > n.release {
		errs["startDate"] = "The start date can not be after the release date."
	}
	if len(errs) == 0 {
		return nil
	}
	a := wrong(errs)
	return &a
}

func (j *Jira) createVersion(r *request) answer {
	o := r.object()
	ref, _ := o["project"].(string)
	if id, is := o["projectId"].(float64); is {
		ref = strconv.Itoa(int(id))
	}
	p := j.projectOf(r.user, ref)
	if p == nil {
		return gone("No project could be found with key '" + ref + "'.")
	}
	if !j.may(r.user, p, ManageProject) {
		return j.noVersionRight()
	}
	n := &version{project: p}
	if bad := j.readVersion(n, o); bad != nil {
		return *bad
	}
	n.id = j.id()
	j.versions = append(j.versions, n)
	j.versionEvent("jira:version_created", n)
	return created(j.versionJSON(n, j.viewOf(r)))
}

// noVersionRight is what who may not administer a project hears; Cloud does not say more
// than that there is nothing to be found.
func (j *Jira) noVersionRight() answer {
	if j.cloud {
		return gone("The project does not exist or you do not have permission to edit its versions.")
	}
	return noPermission("You do not have permission to edit the versions of this project.")
}

func (j *Jira) updateVersion(r *request) answer {
	n := j.versionOf(r)
	if n == nil {
		return noVersion(r)
	}
	if !j.may(r.user, n.project, ManageProject) {
		return j.noVersionRight()
	}
	o := r.object()
	next := *n
	if bad := j.readVersion(&next, o); bad != nil {
		return *bad
	}
	if to, is := o["moveUnfixedIssuesTo"].(string); is && next.released {
		id := to[strings.LastIndex(to, "/")+1:]
		at := slices.IndexFunc(j.versionsOf(n.project), func(m *version) bool { return strconv.Itoa(m.id) == id })
		if at < 0 {
			return fail(http.StatusBadRequest, "The version to move issues to could not be found.")
		}
		j.moveUnfixed(r.user, n, j.versionsOf(n.project)[at])
	}
	j.changeVersion(n, next)
	return ok(j.versionJSON(n, j.viewOf(r)))
}

// changeVersion replaces a version and tells who listens.
func (j *Jira) changeVersion(n *version, next version) {
	before := *n
	*n = next
	switch {
	case !before.released && n.released:
		j.versionEvent("jira:version_released", n)
	case before.released && !n.released:
		j.versionEvent("jira:version_unreleased", n)
	case before != *n:
		j.versionEvent("jira:version_updated", n)
	}
}

func (j *Jira) moveUnfixed(u *User, from, to *version) {
	for _, i := range j.sorted() {
		if !slices.Contains(i.fixVersions, from.id) || i.resolution != "" {
			continue
		}
		next := i.clone()
		next.fixVersions = slices.DeleteFunc(next.fixVersions, func(id int) bool { return id == from.id || id == to.id })
		next.fixVersions = append(next.fixVersions, to.id)
		j.commit(u, i, next, event{})
	}
}

func (j *Jira) relatedIssues(r *request) answer {
	n := j.versionOf(r)
	if n == nil {
		return noVersion(r)
	}
	fixed, affected := 0, 0
	for _, i := range j.issues {
		if slices.Contains(i.fixVersions, n.id) {
			fixed++
		}
		if slices.Contains(i.affects, n.id) {
			affected++
		}
	}
	return ok(Object{
		"self": j.self(j.viewOf(r), "version", strconv.Itoa(n.id)), "issuesFixedCount": fixed, "issuesAffectedCount": affected,
		"issueCountWithCustomFieldsShowingVersion": 0, "customFieldUsage": []any{},
	})
}

func (j *Jira) unresolvedIssues(r *request) answer {
	n := j.versionOf(r)
	if n == nil {
		return noVersion(r)
	}
	open, all := 0, 0
	for _, i := range j.issues {
		if slices.Contains(i.fixVersions, n.id) {
			if all++; i.resolution == "" {
				open++
			}
		}
	}
	o := Object{"self": j.self(j.viewOf(r), "version", strconv.Itoa(n.id)), "issuesUnresolvedCount": open}
	if j.cloud {
		o["issuesCount"] = all
	}
	return ok(o)
}
