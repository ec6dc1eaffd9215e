package jirafake

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// issue is an issue as it is now. It is changed by commit alone, so that its history and
// the index know of everything.
type issue struct {
	id      int
	num     int
	project *project
	kind    *issueType
	status  *status
	summary string
	rich    map[string]any // description, environment and others: a document or markup
	labels  []string
	fixVersions, affects,
	components []int
	priority   string // ID
	resolution string // ID; empty: unresolved
	assignee, reporter,
	creator *User
	due        string
	parent     int
	custom     map[string]any
	created    time.Time
	updated    time.Time
	resolved   time.Time
	comments   []*comment
	properties map[string]any
	remotes    []*remoteLink
	history    []change
	indexed    []indexed // newest last
}

// indexed is what search knows of an issue when at is past by the index lag.
type indexed struct {
	at   time.Time
	data *issue
}

// change is one entry of the history.
type change struct {
	id    int
	by    *User
	at    time.Time
	items []item
}

// item is one changed field. A nil is JSON's null.
type item struct {
	field, fieldID, kind           string // name, ID, "jira" or "custom"
	from, fromString, to, toString any
}

func (i *issue) key() string { return i.project.key + "-" + strconv.Itoa(i.num) }

func (i *issue) clone() *issue {
	c := *i
	c.labels, c.fixVersions, c.affects, c.components = slices.Clone(i.labels), slices.Clone(i.fixVersions), slices.Clone(i.affects), slices.Clone(i.components)
	c.rich, c.custom, c.indexed = maps.Clone(i.rich), maps.Clone(i.custom), nil
	return &c
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000-0700") }

const noIssue = "Issue does not exist or you do not have permission to see it."

// byRef finds an issue by its key or ID.
func (j *Jira) byRef(ref string) *issue {
	if id, err := strconv.Atoi(ref); err == nil {
		return j.issues[id]
	}
	ref = strings.ToUpper(ref)
	for _, i := range j.issues {
		if i.key() == ref {
			return i
		}
	}
	return nil
}

// visible finds an issue that somebody may see.
func (j *Jira) visible(u *User, ref string) *issue {
	i := j.byRef(ref)
	if i == nil || !j.may(u, i.project, Browse) {
		return nil
	}
	return i
}

// sorted are all issues, oldest first.
func (j *Jira) sorted() []*issue {
	var all []*issue
	for _, id := range slices.Sorted(maps.Keys(j.issues)) {
		all = append(all, j.issues[id])
	}
	return all
}

// event is what a webhook says of a change.
type event struct {
	kind    string // issue_event_type_name; empty: by what was changed
	comment *comment
	extra   []item // changes that are not fields
}

// commit makes next what the issue is, with its history, its place in the index and its
// webhook. It reports whether anything was changed.
func (j *Jira) commit(u *User, i, next *issue, e event) bool {
	items := append(j.diff(i, next), e.extra...)
	if len(items) == 0 && e.comment == nil {
		return false
	}
	next.indexed = i.indexed
	*i = *next
	i.updated = time.Now()
	c := change{id: j.id(), by: u, at: i.updated, items: items}
	if len(items) > 0 {
		i.history = append(slices.Clone(i.history), c)
	}
	j.index(i)
	j.issueUpdated(u, i, c, e)
	return true
}

// index remembers the issue as it is for search, and forgets what is covered by then.
func (j *Jira) index(i *issue) {
	now := time.Now()
	i.indexed = append(i.indexed, indexed{now, i.clone()})
	for len(i.indexed) > 1 && now.Sub(i.indexed[1].at) > max(j.lag, time.Hour) {
		i.indexed = i.indexed[1:]
	}
}

// inIndex is the issue as search knows it; nil: not at all.
func (j *Jira) inIndex(i *issue) *issue {
	for n := len(i.indexed) - 1; n >= 0; n-- {
		if time.Since(i.indexed[n].at) >= j.lag {
			return i.indexed[n].data
		}
	}
	return nil
}

// diff is the history's view of a change.
func (j *Jira) diff(before, after *issue) []item {
	var items []item
	add := func(field, id string, from, fromString, to, toString any) {
		items = append(items, item{field, id, "jira", from, fromString, to, toString})
	}
	text := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	person := func(u *User) (any, any) {
		switch {
		case u == nil:
			return nil, nil
		case j.cloud:
			return u.AccountID, u.DisplayName
		}
		return u.Key, u.DisplayName
	}
	// One that went is shown with one that came, as in a change from one version to another.
	set := func(field, id string, was, is []int, name func(int) string) {
		went := slices.DeleteFunc(slices.Clone(was), func(v int) bool { return slices.Contains(is, v) })
		came := slices.DeleteFunc(slices.Clone(is), func(v int) bool { return slices.Contains(was, v) })
		for n := range max(len(went), len(came)) {
			var from, fromString, to, toString any
			if n < len(went) {
				from, fromString = strconv.Itoa(went[n]), name(went[n])
			}
			if n < len(came) {
				to, toString = strconv.Itoa(came[n]), name(came[n])
			}
			add(field, id, from, fromString, to, toString)
		}
	}
	if before.resolution != after.resolution {
		was, _ := pick(resolutions(), before.resolution)
		is, _ := pick(resolutions(), after.resolution)
		add("resolution", "resolution", text(was.id), text(was.name), text(is.id), text(is.name))
	}
	if before.status != after.status {
		add("status", "status", strconv.Itoa(before.status.id), before.status.name, strconv.Itoa(after.status.id), after.status.name)
	}
	if before.summary != after.summary {
		add("summary", "summary", nil, text(before.summary), nil, text(after.summary))
	}
	for _, name := range slices.Sorted(maps.Keys(j.richOf(before, after))) {
		if was, is := plain(before.rich[name]), plain(after.rich[name]); was != is {
			add(name, name, nil, text(was), nil, text(is))
		}
	}
	if !slices.Equal(before.labels, after.labels) {
		add("labels", "labels", nil, strings.Join(before.labels, " "), nil, strings.Join(after.labels, " "))
	}
	set("Fix Version", "fixVersions", before.fixVersions, after.fixVersions, j.versionName)
	set("Version", "versions", before.affects, after.affects, j.versionName)
	set("Component", "components", before.components, after.components, j.componentName)
	if before.priority != after.priority {
		was, _ := pick(priorities(), before.priority)
		is, _ := pick(priorities(), after.priority)
		add("priority", "priority", text(was.id), text(was.name), text(is.id), text(is.name))
	}
	if before.assignee != after.assignee {
		a, b := person(before.assignee)
		c, d := person(after.assignee)
		add("assignee", "assignee", a, b, c, d)
	}
	if before.reporter != after.reporter {
		a, b := person(before.reporter)
		c, d := person(after.reporter)
		add("reporter", "reporter", a, b, c, d)
	}
	if before.due != after.due {
		add("duedate", "duedate", text(before.due), text(before.due), text(after.due), text(after.due))
	}
	for _, f := range j.custom {
		if was, is := customText(before.custom[f.id]), customText(after.custom[f.id]); was != is {
			items = append(items, item{f.name, f.id, "custom", nil, text(was), nil, text(is)})
		}
	}
	return items
}

func (j *Jira) richOf(issues ...*issue) map[string]bool {
	names := map[string]bool{}
	for _, i := range issues {
		for name := range i.rich {
			names[name] = true
		}
	}
	return names
}

func customText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case Object:
		if s, is := v["value"].(string); is {
			return s
		}
		return plain(v)
	}
	return fmt.Sprint(v)
}

func (j *Jira) versionName(id int) string {
	for _, n := range j.versions {
		if n.id == id {
			return n.name
		}
	}
	return ""
}

func (j *Jira) componentName(id int) string {
	for _, c := range j.components {
		if c.id == id {
			return c.name
		}
	}
	return ""
}

func (j *Jira) itemsJSON(items []item, full bool) []any {
	return each(items, func(i item) any {
		o := Object{"field": i.field, "fieldtype": i.kind, "from": i.from, "fromString": i.fromString, "to": i.to, "toString": i.toString}
		if j.cloud || full {
			o["fieldId"] = i.fieldID
		}
		return o
	})
}

func (j *Jira) changeJSON(c change, v view) Object {
	return Object{"id": strconv.Itoa(c.id), "author": j.userJSON(c.by, v), "created": stamp(c.at), "items": j.itemsJSON(c.items, false)}
}

func (j *Jira) pageChangelog(r *request) answer {
	i := j.visible(r.user, r.path["issue"])
	if i == nil {
		return gone(noIssue)
	}
	return j.paged(r, j.self(j.viewOf(r), "issue", i.key(), "changelog"), each(i.history, func(c change) any { return j.changeJSON(c, j.viewOf(r)) }), 100)
}

// issueJSON writes an issue with the fields that were asked for.
func (j *Jira) issueJSON(i *issue, v view, fields, expand, properties []string) Object {
	o := Object{
		"id": strconv.Itoa(i.id), "key": i.key(), "self": j.self(v, "issue", strconv.Itoa(i.id)),
		"expand": "renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations",
	}
	chosen := Object{}
	names, schemas := Object{}, Object{}
	for _, f := range j.allFields() {
		if f.show == nil || !wanted(f, fields) {
			continue
		}
		value := f.show(j, i, v)
		if f.absent && value == nil {
			continue
		}
		chosen[f.id] = value
		names[f.id], schemas[f.id] = f.name, f.schema
	}
	o["fields"] = chosen
	for _, what := range expand {
		switch what {
		case "names":
			o["names"] = names
		case "schema":
			o["schema"] = schemas
		case "changelog":
			newest := slices.Clone(i.history)
			slices.Reverse(newest)
			o["changelog"] = Object{"startAt": 0, "maxResults": len(newest), "total": len(newest), "histories": each(newest, func(c change) any { return j.changeJSON(c, v) })}
		case "transitions":
			o["transitions"] = each(j.transitionsOf(v.user, i), func(t transition) any { return j.transitionJSON(t, i, v, false) })
		case "editmeta":
			o["editmeta"] = Object{"fields": j.metaFields(i.project, v, editScreen)}
		}
	}
	if len(properties) > 0 {
		o["properties"] = Object{}
		for _, key := range properties {
			for name, value := range i.properties {
				if key == name || key == "*all" {
					o["properties"].(Object)[name] = value
				}
			}
		}
	}
	return o
}

// wanted reads a list of fields as Jira does: names, *all, *navigable, and names with a
// minus before them. An empty list is all.
func wanted(f *field, fields []string) bool {
	if len(fields) == 0 {
		return true
	}
	in := true
	for n, name := range fields {
		if n == 0 {
			in = strings.HasPrefix(name, "-") && !f.wide
		}
		switch {
		case name == "*all", name == f.id, name == "*navigable" && !f.wide:
			in = true
		case name == "-"+f.id:
			in = false
		}
	}
	return in
}

func (j *Jira) getIssue(r *request) answer {
	i := j.visible(r.user, r.path["issue"])
	if i == nil {
		return gone(noIssue)
	}
	return ok(j.issueJSON(i, j.viewOf(r), r.list("fields"), r.list("expand"), r.list("properties")))
}
