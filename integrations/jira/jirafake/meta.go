package jirafake

import (
	"slices"
	"strconv"
)

func (j *Jira) getFields(*request) answer {
	return ok(each(j.allFields(), func(f *field) any {
		clauses := f.clauses
		if clauses == nil {
			clauses = []string{f.id}
		}
		o := Object{"id": f.id, "name": f.name, "custom": f.custom, "orderable": f.screen, "navigable": !f.wide, "searchable": true, "clauseNames": clauses, "schema": f.schema}
		if j.cloud {
			o["key"] = f.id
		}
		return o
	}))
}

// metaField describes a field on a screen.
func (j *Jira) metaField(f *field, p *project, v view) Object {
	o := Object{
		"key": f.id, "name": f.name, "schema": f.schema, "operations": append([]string{}, f.ops...), "hasDefaultValue": f.id == "priority",
		"required": f.id == "summary" || slices.Contains(p.required, f.id),
	}
	if f.allowed != nil {
		o["allowedValues"] = f.allowed(j, p, v)
	}
	if f.id == "priority" {
		c, _ := pick(priorities(), "3")
		o["defaultValue"] = j.choiceJSON("priority", c, v)
	}
	return o
}

func (j *Jira) metaFields(p *project, v view, screen string) Object {
	all := Object{}
	for _, f := range j.allFields() {
		if p.onScreen(f) && (screen != createScreen || f.id != "comment") {
			all[f.id] = j.metaField(f, p, v)
		}
	}
	return all
}

func (j *Jira) editMeta(r *request) answer {
	i := j.visible(r.user, r.path["issue"])
	if i == nil {
		return gone(noIssue)
	}
	if !j.may(r.user, i.project, EditIssues) {
		return ok(Object{"fields": Object{}})
	}
	return ok(Object{"fields": j.metaFields(i.project, j.viewOf(r), editScreen)})
}

// metaPage writes a page of the create metadata; Cloud and Data Center call the list
// differently.
func (j *Jira) metaPage(r *request, name string, all []any) answer {
	start, most := r.number("startAt", 0), min(r.number("maxResults", 50), 200)
	values := append([]any{}, window(all, start, most)...)
	o := Object{"startAt": start, "maxResults": most, "total": len(all)}
	if j.cloud {
		o[name] = values
	} else {
		o["values"], o["isLast"] = values, start+len(values) >= len(all)
	}
	return ok(o)
}

func (j *Jira) createMetaTypes(r *request) answer {
	p, v := j.projectOf(r.user, r.path["project"]), j.viewOf(r)
	if p == nil || !j.may(r.user, p, CreateIssues) {
		return noProject(r)
	}
	return j.metaPage(r, "issueTypes", each(p.types, func(t *issueType) any {
		o := j.typeJSON(t, v)
		delete(o, "avatarId")
		return o
	}))
}

func (j *Jira) createMetaFields(r *request) answer {
	p, v := j.projectOf(r.user, r.path["project"]), j.viewOf(r)
	if p == nil || !j.may(r.user, p, CreateIssues) {
		return noProject(r)
	}
	at := slices.IndexFunc(p.types, func(t *issueType) bool { return strconv.Itoa(t.id) == r.path["type"] })
	if at < 0 {
		return gone("The issue type was not found.")
	}
	var all []any
	add := func(f *field, required bool, allowed []any) {
		o := j.metaField(f, p, v)
		o["fieldId"], o["required"] = f.id, required || o["required"] == true
		if allowed != nil {
			o["allowedValues"] = allowed
		}
		all = append(all, o)
	}
	for _, f := range j.allFields() {
		switch {
		case f.id == "project":
			add(f, true, []any{j.projectJSON(p, v)})
		case f.id == "issuetype":
			add(f, true, []any{j.typeJSON(p.types[at], v)})
		case p.onScreen(f) && f.id != "comment":
			add(f, false, nil)
		}
	}
	return j.metaPage(r, "fields", all)
}
