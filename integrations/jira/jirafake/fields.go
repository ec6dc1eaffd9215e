package jirafake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is one field of issues: what people call it, how it is written and how it is set.
type field struct {
	id, name string
	schema   Object
	custom   bool
	wide     bool // not among the navigable ones
	absent   bool // it is left out where it is empty
	ops      []string
	clauses  []string // names in JQL
	screen   bool     // on the screens for creating and editing
	show     func(*Jira, *issue, view) any
	// set reads a value; the result says what is wrong with it.
	set func(*Jira, *issue, any) string
	// change carries out add and remove; nil: only set.
	change  func(*Jira, *issue, string, any) string
	allowed func(*Jira, *project, view) []any
}

const (
	createScreen = "create"
	editScreen   = "edit"
)

const notOnScreen = "Field '%s' cannot be set. It is not on the appropriate screen, or unknown."

func (j *Jira) allFields() []*field { return append(slices.Clip(j.fields), j.custom...) }

func (j *Jira) fieldByID(id string) *field {
	for _, f := range j.allFields() {
		if f.id == id {
			return f
		}
	}
	return nil
}

// CustomField is a field of a site's own. Type is "string" (a line), "text" (rich text),
// "number", "date", "option", "labels" or "any".
type CustomField struct{ ID, Name, Type string }

// AddField adds a custom field to all projects' screens. The ID is like "customfield_10050".
func (j *Jira) AddField(f CustomField) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	number, err := strconv.Atoi(strings.TrimPrefix(f.ID, "customfield_"))
	if err != nil || j.fieldByID(f.ID) != nil {
		return fmt.Errorf("jirafake: add field %q: not of the form customfield_N, or there is one already", f.ID)
	}
	kinds := map[string][2]string{
		"string": {"string", "textfield"}, "text": {"string", "textarea"}, "number": {"number", "float"}, "date": {"date", "datepicker"},
		"option": {"option", "select"}, "labels": {"array", "labels"}, "any": {"any", "any"},
	}
	kind, known := kinds[f.Type]
	if !known {
		return fmt.Errorf("jirafake: add field %q: type %q: unknown", f.ID, f.Type)
	}
	n := &field{id: f.ID, name: f.Name, custom: true, ops: []string{"set"}, screen: true, clauses: []string{fmt.Sprintf("cf[%d]", number), f.Name}}
	n.schema = Object{"type": kind[0], "custom": "com.atlassian.jira.plugin.system.customfieldtypes:" + kind[1], "customId": number}
	if f.Type == "labels" {
		n.schema["items"] = "string"
	}
	n.show = func(_ *Jira, i *issue, v view) any {
		if f.Type == "text" {
			return v.rich(i.custom[f.ID])
		}
		return i.custom[f.ID]
	}
	n.set = func(j *Jira, i *issue, value any) string {
		if value == nil {
			delete(i.custom, f.ID)
			return ""
		}
		if bad := j.checkCustom(f.Type, value); bad != "" {
			return bad
		}
		if i.custom == nil {
			i.custom = map[string]any{}
		}
		i.custom[f.ID] = value
		return ""
	}
	j.custom = append(j.custom, n)
	return nil
}

func (j *Jira) checkCustom(kind string, value any) string {
	bad := ""
	switch kind {
	case "string":
		s, is := value.(string)
		if !is {
			bad = "Operation value must be a string"
		} else if len(s) > 255 {
			bad = "The entered text is too long. It exceeds the allowed limit of 255 characters."
		}
	case "text":
		return j.checkRich(value)
	case "number":
		if _, is := value.(float64); !is {
			bad = "Operation value must be a number"
		}
	case "date":
		s, _ := value.(string)
		if _, err := time.Parse(time.DateOnly, s); err != nil {
			bad = "Operation value must be a string in the format yyyy-MM-dd"
		}
	case "option":
		if o, is := value.(Object); !is || o["value"] == nil && o["id"] == nil {
			bad = "Specify a valid 'id' or 'name' for the option"
		}
	case "labels":
		_, bad = labelsOf(value)
	}
	return bad
}

// systemFields are the fields that every Jira has, as far as the fake goes.
func systemFields() []*field {
	list := []string{"add", "set", "remove"}
	return []*field{
		{id: "summary", name: "Summary", schema: Object{"type": "string", "system": "summary"}, ops: []string{"set"}, screen: true,
			show: func(_ *Jira, i *issue, _ view) any { return i.summary }, set: setSummary},
		{id: "project", name: "Project", schema: Object{"type": "project", "system": "project"},
			show: func(j *Jira, i *issue, v view) any { return j.projectJSON(i.project, v) }},
		{id: "issuetype", name: "Issue Type", schema: Object{"type": "issuetype", "system": "issuetype"}, ops: []string{},
			show: func(j *Jira, i *issue, v view) any { return j.typeJSON(i.kind, v) }, set: setType},
		{id: "status", name: "Status", schema: Object{"type": "status", "system": "status"},
			show: func(j *Jira, i *issue, v view) any { return j.statusJSON(i.status, v) }},
		{id: "resolution", name: "Resolution", schema: Object{"type": "resolution", "system": "resolution"}, ops: []string{"set"},
			show: func(j *Jira, i *issue, v view) any {
				if c, is := pick(resolutions(), i.resolution); is {
					return j.choiceJSON("resolution", c, v)
				}
				return nil
			}, set: setResolution, allowed: func(j *Jira, _ *project, v view) []any {
				return each(resolutions(), func(c choice) any { return j.choiceJSON("resolution", c, v) })
			}},
		{id: "resolutiondate", name: "Resolved", schema: Object{"type": "datetime", "system": "resolutiondate"},
			show: func(_ *Jira, i *issue, _ view) any {
				if i.resolved.IsZero() {
					return nil
				}
				return stamp(i.resolved)
			}},
		{id: "priority", name: "Priority", schema: Object{"type": "priority", "system": "priority"}, ops: []string{"set"}, screen: true,
			show: func(j *Jira, i *issue, v view) any {
				c, _ := pick(priorities(), i.priority)
				return j.choiceJSON("priority", c, v)
			}, set: setPriority, allowed: func(j *Jira, _ *project, v view) []any {
				return each(priorities(), func(c choice) any { return j.choiceJSON("priority", c, v) })
			}},
		{id: "labels", name: "Labels", schema: Object{"type": "array", "items": "string", "system": "labels"}, ops: list, screen: true,
			show: func(_ *Jira, i *issue, _ view) any { return append([]string{}, i.labels...) }, set: setLabels, change: changeLabels},
		versionField("fixVersions", "Fix versions", []string{"fixVersion"}, func(i *issue) *[]int { return &i.fixVersions }),
		versionField("versions", "Affects versions", []string{"affectedVersion"}, func(i *issue) *[]int { return &i.affects }),
		componentField(),
		richField("description", "Description"), richField("environment", "Environment"),
		personField("assignee", "Assignee", func(i *issue) **User { return &i.assignee }),
		personField("reporter", "Reporter", func(i *issue) **User { return &i.reporter }),
		{id: "creator", name: "Creator", schema: Object{"type": "user", "system": "creator"},
			show: func(j *Jira, i *issue, v view) any { return j.userJSON(i.creator, v) }},
		{id: "created", name: "Created", schema: Object{"type": "datetime", "system": "created"},
			show: func(_ *Jira, i *issue, _ view) any { return stamp(i.created) }},
		{id: "updated", name: "Updated", schema: Object{"type": "datetime", "system": "updated"},
			show: func(_ *Jira, i *issue, _ view) any { return stamp(i.updated) }},
		{id: "duedate", name: "Due date", schema: Object{"type": "date", "system": "duedate"}, ops: []string{"set"}, clauses: []string{"due", "duedate"}, screen: true,
			show: func(_ *Jira, i *issue, _ view) any {
				if i.due == "" {
					return nil
				}
				return i.due
			}, set: setDue},
		{id: "parent", name: "Parent", absent: true, schema: Object{"type": "issuelink", "system": "parent"}, ops: []string{"set"}, screen: true, set: setParent,
			show: func(j *Jira, i *issue, v view) any {
				if p := j.issues[i.parent]; p != nil {
					return j.linkedJSON(p, v)
				}
				return nil
			}},
		{id: "subtasks", name: "Sub-tasks", schema: Object{"type": "array", "items": "issuelinks", "system": "subtasks"},
			show: func(*Jira, *issue, view) any { return []any{} }},
		{id: "issuelinks", name: "Linked Issues", schema: Object{"type": "array", "items": "issuelinks", "system": "issuelinks"}, ops: []string{"add"}, screen: true,
			show: func(j *Jira, i *issue, v view) any { return j.linksJSON(i, v) }},
		{id: "comment", name: "Comment", wide: true, schema: Object{"type": "comments-page", "system": "comment"}, ops: []string{"add"}, screen: true,
			show: func(j *Jira, i *issue, v view) any {
				n := len(i.comments)
				return Object{"comments": each(i.comments, func(c *comment) any { return j.commentJSON(i, c, v) }), "startAt": 0, "maxResults": n, "total": n, "self": j.self(v, "issue", strconv.Itoa(i.id), "comment")}
			}},
		{id: "workratio", name: "Work Ratio", schema: Object{"type": "number", "system": "workratio"},
			show: func(*Jira, *issue, view) any { return -1 }},
	}
}

func richField(id, name string) *field {
	return &field{
		id: id, name: name, schema: Object{"type": "string", "system": id}, ops: []string{"set"}, screen: true,
		show: func(_ *Jira, i *issue, v view) any { return v.rich(i.rich[id]) },
		set: func(j *Jira, i *issue, value any) string {
			if value == nil || value == "" && !j.cloud {
				delete(i.rich, id)
				return ""
			}
			if bad := j.checkRich(value); bad != "" {
				return bad
			}
			if i.rich == nil {
				i.rich = map[string]any{}
			}
			i.rich[id] = value
			return ""
		},
	}
}

func personField(id, name string, of func(*issue) **User) *field {
	return &field{
		id: id, name: name, schema: Object{"type": "user", "system": id}, ops: []string{"set"}, screen: true,
		show: func(j *Jira, i *issue, v view) any { return j.userJSON(*of(i), v) },
		set: func(j *Jira, i *issue, value any) string {
			o, is := value.(Object)
			if value == nil || is && j.cloud && o["accountId"] == nil && o["id"] == nil || is && !j.cloud && o["name"] == nil && o["key"] == nil {
				*of(i) = nil
				return ""
			}
			u := j.named(o)
			switch {
			case !is:
				return "expected Object"
			case u == nil || u.Inactive, id == "assignee" && !j.may(u, i.project, Assignable):
				return fmt.Sprintf("User '%v' cannot be assigned issues.", o["name"])
			}
			*of(i) = u
			return ""
		},
	}
}

// listField is a field of things with IDs and names: versions and components.
func listField(id, name, items string, clauses []string, of func(*issue) *[]int, find func(*Jira, *project, Object) int, missing string) *field {
	read := func(j *Jira, i *issue, value any) (int, string) {
		o, is := value.(Object)
		if !is {
			return 0, "expected an object"
		}
		n := find(j, i.project, o)
		if n == 0 && o["id"] != nil {
			return 0, fmt.Sprintf("%s with id '%v' does not exist.", missing, o["id"])
		} else if n == 0 {
			return 0, fmt.Sprintf("%s name '%v' is not valid", missing, o["name"])
		}
		return n, ""
	}
	return &field{
		id: id, name: name, schema: Object{"type": "array", "items": items, "system": id}, ops: []string{"set", "add", "remove"}, clauses: clauses, screen: true,
		set: func(j *Jira, i *issue, value any) string {
			all, is := value.([]any)
			if !is && value != nil {
				return "data was not an array"
			}
			ids := []int{}
			for _, one := range all {
				n, bad := read(j, i, one)
				if bad != "" {
					return bad
				}
				if !slices.Contains(ids, n) {
					ids = append(ids, n)
				}
			}
			*of(i) = ids
			return ""
		},
		change: func(j *Jira, i *issue, op string, value any) string {
			n, bad := read(j, i, value)
			if bad != "" {
				return bad
			}
			*of(i) = slices.DeleteFunc(*of(i), func(id int) bool { return id == n })
			if op == "add" {
				*of(i) = append(*of(i), n)
			}
			return ""
		},
	}
}

func fits(o Object, id int, name string) bool {
	if o["id"] != nil {
		return fmt.Sprint(o["id"]) == strconv.Itoa(id)
	}
	return o["name"] == name
}

func versionField(id, name string, clauses []string, of func(*issue) *[]int) *field {
	f := listField(id, name, "version", clauses, of, func(j *Jira, p *project, o Object) int {
		for _, n := range j.versionsOf(p) {
			if fits(o, n.id, n.name) {
				return n.id
			}
		}
		return 0
	}, "Version")
	f.show = func(j *Jira, i *issue, v view) any {
		all := []any{}
		for _, id := range *of(i) {
			for _, n := range j.versions {
				if n.id == id {
					o := j.versionJSON(n, v)
					for _, extra := range []string{"projectId", "startDate", "userStartDate", "userReleaseDate", "overdue"} {
						delete(o, extra)
					}
					all = append(all, o)
				}
			}
		}
		return all
	}
	f.allowed = func(j *Jira, p *project, v view) []any {
		return each(j.versionsOf(p), func(n *version) any { return j.versionJSON(n, v) })
	}
	return f
}

func componentField() *field {
	f := listField("components", "Components", "component", []string{"component"}, func(i *issue) *[]int { return &i.components }, func(j *Jira, p *project, o Object) int {
		for _, c := range j.components {
			if c.project == p && fits(o, c.id, c.name) {
				return c.id
			}
		}
		return 0
	}, "Component")
	f.show = func(j *Jira, i *issue, v view) any {
		all := []any{}
		for _, c := range j.components {
			if slices.Contains(i.components, c.id) {
				all = append(all, j.componentJSON(c, v, false))
			}
		}
		return all
	}
	f.allowed = func(j *Jira, p *project, v view) []any { return j.componentsOf(p, v, false) }
	return f
}
