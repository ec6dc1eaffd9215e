package jirafake

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// edit reads what a request sets into an issue that nobody sees yet.
type edit struct {
	j        *Jira
	user     *User
	issue    *issue
	errs     map[string]string
	comments []Object
	links    []Object
}

// allows says whether a field may be set now.
type allows func(f *field) bool

// read takes over fields and update of a request.
func (e *edit) read(o Object, may allows) {
	fields, _ := o["fields"].(Object)
	update, _ := o["update"].(Object)
	for _, id := range slices.Sorted(maps.Keys(fields)) {
		f := e.j.fieldByID(id)
		switch {
		case f == nil || f.set == nil || !may(f):
			e.errs[id] = fmt.Sprintf(notOnScreen, id)
		case update[id] != nil:
			e.errs[id] = fmt.Sprintf("Field '%s' cannot appear in both 'fields' and 'update'", id)
		default:
			if bad := f.set(e.j, e.issue, fields[id]); bad != "" {
				e.errs[id] = bad
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(update)) {
		f := e.j.fieldByID(id)
		ops, is := update[id].([]any)
		switch {
		case f == nil || !may(f) && id != "comment":
			e.errs[id] = fmt.Sprintf(notOnScreen, id)
		case !is:
			e.errs[id] = "data was not an array"
		default:
			for _, op := range ops {
				if bad := e.operate(f, op); bad != "" {
					e.errs[id] = bad
				}
			}
		}
	}
}

// operate carries out one operation, as {"add": value}.
func (e *edit) operate(f *field, op any) string {
	o, is := op.(Object)
	if !is || len(o) != 1 {
		return "Each operation has exactly one verb."
	}
	for verb, value := range o {
		if !slices.Contains(f.ops, verb) {
			return fmt.Sprintf("Operation '%s' is not supported on the '%s' field.", verb, f.id)
		}
		added, _ := value.(Object)
		switch {
		case f.id == "comment":
			if bad := e.j.checkRich(added["body"]); bad != "" {
				return bad
			}
			e.comments = append(e.comments, added)
		case f.id == "issuelinks":
			if _, _, _, bad := e.j.readLink(e.user, added, e.issue); bad != "" {
				return bad
			}
			e.links = append(e.links, added)
		case verb == "set":
			return f.set(e.j, e.issue, value)
		default:
			return f.change(e.j, e.issue, verb, value)
		}
	}
	return ""
}

// after does what can be done only to an issue that is there: comments and links.
func (e *edit) after(i *issue) {
	for _, c := range e.comments {
		e.j.newComment(e.user, i, c["body"], c["properties"])
	}
	for _, l := range e.links {
		if kind, source, target, bad := e.j.readLink(e.user, l, i); bad == "" {
			e.j.makeLink(e.user, kind, source, target)
		}
	}
}

func (p *project) onScreen(f *field) bool {
	return f.screen && !slices.Contains(p.hidden, f.id)
}

func (j *Jira) createIssue(r *request) answer {
	i, bad := j.create(r.user, r.object())
	if bad != nil {
		return *bad
	}
	v := j.viewOf(r)
	return created(Object{"id": strconv.Itoa(i.id), "key": i.key(), "self": j.self(v, "issue", strconv.Itoa(i.id))})
}

func (j *Jira) create(u *User, o Object) (*issue, *answer) {
	refuse := func(a answer) (*issue, *answer) { return nil, &a }
	fields, _ := o["fields"].(Object)
	named, _ := fields["project"].(Object)
	ref := fmt.Sprint(named["key"])
	if named["key"] == nil {
		ref = fmt.Sprint(named["id"])
	}
	p := j.projectOf(u, ref)
	switch {
	case fields["project"] == nil:
		return refuse(wrong(map[string]string{"project": "Specify a valid project ID or key"}))
	case p == nil:
		return refuse(wrong(map[string]string{"project": "valid project is required"}))
	case !j.may(u, p, CreateIssues):
		return refuse(noPermission("You do not have permission to create issues in this project."))
	}
	initial := p.flow.Initial
	if initial == "" {
		initial = p.flow.Statuses[0].Name
	}
	now := time.Now()
	i := &issue{
		project: p, status: j.statusNamed(initial), priority: "3", reporter: u, creator: u, created: now, updated: now,
		properties: map[string]any{}, custom: map[string]any{}, rich: map[string]any{},
	}
	e := &edit{j: j, user: u, issue: i, errs: map[string]string{}}
	rest := maps.Clone(fields)
	delete(rest, "project")
	e.read(Object{"fields": rest, "update": o["update"]}, func(f *field) bool {
		return f.id == "issuetype" || p.onScreen(f) && j.maySet(u, p, f)
	})
	if i.kind == nil && e.errs["issuetype"] == "" {
		e.errs["issuetype"] = "Specify an issue type"
	}
	if i.summary == "" && e.errs["summary"] == "" {
		e.errs["summary"] = "You must specify a summary of the issue."
	}
	for _, id := range p.required {
		if f := j.fieldByID(id); f != nil && e.errs[id] == "" && empty(f.show(j, i, view{api: j.api})) {
			e.errs[id] = f.name + " is required."
		}
	}
	properties, bad := readProperties(o["properties"])
	if bad != "" {
		e.errs["properties"] = bad
	}
	if len(e.errs) > 0 {
		return refuse(wrong(e.errs))
	}
	maps.Copy(i.properties, properties)
	p.issues++
	i.id, i.num = j.id(), p.issues
	j.issues[i.id] = i
	j.index(i)
	items := j.diff(&issue{status: i.status, project: p, priority: ""}, i)
	items = append(items, item{"Status", "status", "jira", nil, nil, strconv.Itoa(i.status.id), i.status.name})
	j.issueCreated(u, i, change{id: j.id(), by: u, at: now, items: items})
	e.after(i)
	return i, nil
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case []string:
		return len(v) == 0
	}
	return false
}

func (j *Jira) editIssue(r *request) answer {
	i := j.visible(r.user, r.path["issue"])
	switch {
	case i == nil:
		return gone(noIssue)
	case !j.may(r.user, i.project, EditIssues):
		return noPermission("You do not have permission to edit issues in this project.")
	}
	if bad := j.change(r.user, i, r.object()); bad != nil {
		return *bad
	}
	if j.cloud && r.query.Get("returnIssue") == "true" {
		return ok(j.issueJSON(i, j.viewOf(r), nil, r.list("expand"), nil))
	}
	return noContent()
}

func (j *Jira) change(u *User, i *issue, o Object) *answer {
	e := &edit{j: j, user: u, issue: i.clone(), errs: map[string]string{}}
	e.read(o, func(f *field) bool {
		return f.id == "issuetype" || i.project.onScreen(f) && j.maySet(u, i.project, f)
	})
	properties, bad := readProperties(o["properties"])
	if bad != "" {
		e.errs["properties"] = bad
	}
	if len(e.errs) > 0 {
		a := wrong(e.errs)
		return &a
	}
	j.commit(u, i, e.issue, event{})
	maps.Copy(i.properties, properties)
	e.after(i)
	return nil
}

func (j *Jira) deleteIssue(r *request) answer {
	i := j.visible(r.user, r.path["issue"])
	switch {
	case i == nil:
		return gone(noIssue)
	case !j.may(r.user, i.project, DeleteIssues):
		return noPermission("You do not have permission to delete issues in this project.")
	}
	j.remove(r.user, i)
	return noContent()
}

func (j *Jira) remove(u *User, i *issue) {
	delete(j.issues, i.id)
	j.links = slices.DeleteFunc(j.links, func(l *link) bool { return l.source == i.id || l.target == i.id })
	j.issueDeleted(u, i)
}

func (j *Jira) assign(r *request) answer {
	i := j.visible(r.user, r.path["issue"])
	switch {
	case i == nil:
		return gone(noIssue)
	case !j.may(r.user, i.project, AssignIssues):
		return noPermission("You do not have permission to assign issues in this project.")
	}
	o := r.object()
	next := i.clone()
	switch ref := o["accountId"]; {
	case j.cloud && ref == "-1", !j.cloud && o["name"] == "-1": // the project's default: nobody
		next.assignee = nil
	default:
		if bad := j.fieldByID("assignee").set(j, next, o); bad != "" {
			return wrong(map[string]string{"assignee": bad})
		}
	}
	j.commit(r.user, i, next, event{kind: "issue_assigned"})
	return noContent()
}

type transition struct {
	id   string
	step *Step
}

// transitionsOf are those that somebody may make now.
func (j *Jira) transitionsOf(u *User, i *issue) []transition {
	var all []transition
	if !j.may(u, i.project, Transition) {
		return nil
	}
	for n := range i.project.flow.Transitions {
		t := &i.project.flow.Transitions[n]
		switch {
		case len(t.From) > 0 && !slices.Contains(t.From, i.status.name),
			len(t.Only) > 0 && !slices.Contains(t.Only, u.Name),
			t.If != nil && !t.If(j.public(i)):
			continue
		}
		all = append(all, transition{strconv.Itoa(11 + 10*n), t})
	}
	return all
}

// screen are the fields of a transition's screen and whether each must be filled.
func (t *Step) screen() map[string]bool {
	all := map[string]bool{}
	for _, id := range t.Screen {
		name, must := cutMust(id)
		all[name] = must
	}
	return all
}

func cutMust(id string) (string, bool) {
	if n := len(id) - 1; n > 0 && id[n] == '!' {
		return id[:n], true
	}
	return id, false
}

func (j *Jira) transitionJSON(t transition, i *issue, v view, fields bool) Object {
	o := Object{"id": t.id, "name": t.step.Name, "to": j.statusJSON(j.statusNamed(t.step.To), v)}
	if j.cloud {
		o["hasScreen"], o["isGlobal"], o["isInitial"], o["isAvailable"] = len(t.step.Screen) > 0, len(t.step.From) == 0, false, true
		o["isConditional"], o["looped"] = len(t.step.Only) > 0 || t.step.If != nil, false
	}
	if fields {
		all := Object{}
		for id, must := range t.step.screen() {
			if f := j.fieldByID(id); f != nil {
				meta := j.metaField(f, i.project, v)
				meta["required"] = must
				all[id] = meta
			}
		}
		o["fields"] = all
	}
	return o
}

func (j *Jira) getTransitions(r *request) answer {
	i := j.visible(r.user, r.path["issue"])
	if i == nil {
		return gone(noIssue)
	}
	full := slices.Contains(r.list("expand"), "transitions.fields")
	all := []any{}
	for _, t := range j.transitionsOf(r.user, i) {
		if only := r.query.Get("transitionId"); only == "" || only == t.id {
			all = append(all, j.transitionJSON(t, i, j.viewOf(r), full))
		}
	}
	return ok(Object{"expand": "transitions", "transitions": all})
}

func (j *Jira) doTransition(r *request) answer {
	i := j.visible(r.user, r.path["issue"])
	if i == nil {
		return gone(noIssue)
	}
	o := r.object()
	named, _ := o["transition"].(Object)
	if named["id"] == nil {
		return fail(http.StatusBadRequest, "Missing 'transition' identifier")
	}
	for _, t := range j.transitionsOf(r.user, i) {
		if t.id == fmt.Sprint(named["id"]) {
			if bad := j.move(r.user, i, t.step, o); bad != nil {
				return *bad
			}
			return noContent()
		}
	}
	return fail(http.StatusBadRequest, fmt.Sprintf("It seems that you have tried to perform a workflow operation (%v) that is not valid for the current state of this issue (%s).", named["id"], i.key()))
}

// move makes a transition with what the request says of its screen.
func (j *Jira) move(u *User, i *issue, t *Step, o Object) *answer {
	screen := t.screen()
	e := &edit{j: j, user: u, issue: i.clone(), errs: map[string]string{}}
	e.read(o, func(f *field) bool { _, on := screen[f.id]; return on && j.maySet(u, i.project, f) })
	for id, must := range screen {
		if f := j.fieldByID(id); must && f != nil && e.errs[id] == "" && f.show != nil && empty(f.show(j, e.issue, view{api: j.api})) {
			e.errs[id] = f.name + " is required."
		}
	}
	if len(e.errs) > 0 {
		a := wrong(e.errs)
		return &a
	}
	e.issue.status = j.statusNamed(t.To)
	switch t.Resolve {
	case "":
	case "-":
		e.issue.resolution, e.issue.resolved = "", time.Time{}
	default:
		_ = setResolution(j, e.issue, Object{"name": t.Resolve})
	}
	kind := t.Event
	if kind == "" {
		kind = "issue_generic"
	}
	j.commit(u, i, e.issue, event{kind: kind})
	e.after(i)
	return nil
}
