package jirafake

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxComments is how many comments an issue may have on Cloud; beyond it is HTTP 413
// (support.atlassian.com/jira-cloud-administration/docs/limits).
const maxComments = 5000

type comment struct {
	id         int
	body       any
	by, editor *User
	created    time.Time
	updated    time.Time
	properties map[string]any
}

func (j *Jira) commentJSON(i *issue, c *comment, v view) Object {
	o := Object{
		"self": j.self(v, "issue", strconv.Itoa(i.id), "comment", strconv.Itoa(c.id)), "id": strconv.Itoa(c.id), "author": j.userJSON(c.by, v),
		"updateAuthor": j.userJSON(c.editor, v), "body": v.rich(c.body), "created": stamp(c.created), "updated": stamp(c.updated),
	}
	if j.cloud {
		o["jsdPublic"] = true
	}
	return o
}

// commentAnswer is a comment, with its properties where the request wants them.
func (j *Jira) commentAnswer(r *request, i *issue, c *comment) Object {
	o := j.commentJSON(i, c, j.viewOf(r))
	if slices.Contains(r.list("expand"), "properties") {
		all := []any{}
		for key, value := range c.properties {
			all = append(all, Object{"key": key, "value": value})
		}
		o["properties"] = all
	}
	return o
}

func (j *Jira) getComments(r *request) answer {
	i := j.visible(r.user, r.path["issue"])
	if i == nil {
		return gone(noIssue)
	}
	all := slices.Clone(i.comments)
	if strings.HasPrefix(r.query.Get("orderBy"), "-") {
		slices.Reverse(all)
	}
	start, most := r.number("startAt", 0), r.number("maxResults", 5000)
	if j.cloud {
		most = min(r.number("maxResults", 100), 5000)
	}
	o := Object{"startAt": start, "maxResults": most, "total": len(all)}
	o["comments"] = each(window(all, start, most), func(c *comment) any { return j.commentAnswer(r, i, c) })
	return ok(o)
}

func findComment(i *issue, id string) *comment {
	for _, c := range i.comments {
		if strconv.Itoa(c.id) == id {
			return c
		}
	}
	return nil
}

const noComment = "Can not find a comment for the id: "

// onComment does something with the comment that the path names.
func (j *Jira) onComment(r *request, do func(*issue, *comment) answer) answer {
	i := j.visible(r.user, r.path["issue"])
	if i == nil {
		return gone(noIssue)
	}
	c := findComment(i, r.path["comment"])
	if c == nil {
		return gone(noComment + r.path["comment"] + ".")
	}
	return do(i, c)
}

func (j *Jira) getComment(r *request) answer {
	return j.onComment(r, func(i *issue, c *comment) answer { return ok(j.commentAnswer(r, i, c)) })
}

// readComment reads the body and the properties that a comment is to have.
func (j *Jira) readComment(r *request) (body any, properties map[string]any, wrongs map[string]string) {
	o := r.object()
	if bad := j.checkRich(o["body"]); bad != "" {
		return nil, nil, map[string]string{"comment": bad}
	}
	properties, bad := readProperties(o["properties"])
	if bad != "" {
		return nil, nil, map[string]string{"properties": bad}
	}
	return o["body"], properties, nil
}

func (j *Jira) addComment(r *request) answer {
	i := j.visible(r.user, r.path["issue"])
	switch {
	case i == nil:
		return gone(noIssue)
	case !j.may(r.user, i.project, AddComments):
		return fail(http.StatusBadRequest, "You do not have the permission to comment on this issue.")
	case j.cloud && len(i.comments) >= maxComments:
		return fail(http.StatusRequestEntityTooLarge, "The issue has as many comments as it may have.")
	}
	body, properties, bad := j.readComment(r)
	if bad != nil {
		return wrong(bad)
	}
	return created(j.commentAnswer(r, i, j.newComment(r.user, i, body, properties)))
}

// newComment writes a comment whose body was checked.
func (j *Jira) newComment(u *User, i *issue, body, properties any) *comment {
	now := time.Now()
	c := &comment{id: j.id(), body: body, by: u, editor: u, created: now, updated: now, properties: map[string]any{}}
	switch p := properties.(type) {
	case map[string]any:
		if p != nil {
			c.properties = p
		}
	case []any:
		if read, bad := readProperties(p); bad == "" && read != nil {
			c.properties = read
		}
	}
	next := i.clone()
	next.comments = append(slices.Clone(i.comments), c)
	j.commit(u, i, next, event{kind: "issue_commented", comment: c})
	return c
}

func (j *Jira) updateComment(r *request) answer {
	return j.onComment(r, func(i *issue, c *comment) answer {
		if !j.may(r.user, i.project, EditAll) && !(c.by == r.user && j.may(r.user, i.project, EditOwn)) {
			return fail(http.StatusBadRequest, "You do not have the permission to edit this comment.")
		}
		body, properties, bad := j.readComment(r)
		if bad != nil {
			return wrong(bad)
		}
		for key, value := range properties {
			c.properties[key] = value
		}
		c.body, c.editor, c.updated = body, r.user, time.Now()
		i.updated = c.updated
		j.index(i)
		j.commentEvent("comment_updated", i, c)
		return ok(j.commentAnswer(r, i, c))
	})
}

func (j *Jira) deleteComment(r *request) answer {
	return j.onComment(r, func(i *issue, c *comment) answer {
		if !j.may(r.user, i.project, DeleteAll) && !(c.by == r.user && j.may(r.user, i.project, DeleteOwn)) {
			return fail(http.StatusBadRequest, "You do not have the permission to delete this comment.")
		}
		i.comments = slices.DeleteFunc(slices.Clone(i.comments), func(o *comment) bool { return o == c })
		i.updated = time.Now()
		j.index(i)
		j.commentEvent("comment_deleted", i, c)
		return noContent()
	})
}

// readProperties reads entity properties as [{"key": …, "value": …}].
func readProperties(value any) (map[string]any, string) {
	if value == nil {
		return nil, ""
	}
	all, is := value.([]any)
	if !is {
		return nil, "data was not an array"
	}
	read := map[string]any{}
	for _, one := range all {
		o, _ := one.(Object)
		key, _ := o["key"].(string)
		if bad := checkProperty(key, o["value"]); bad != "" {
			return nil, bad
		}
		read[key] = o["value"]
	}
	return read, ""
}

// checkProperty knows the limits of a property: 255 characters of key, 32,768 of value
// (developer.atlassian.com/cloud/jira/platform/jira-entity-properties).
func checkProperty(key string, value any) string {
	raw, _ := json.Marshal(value)
	switch {
	case key == "" || len(key) > 255:
		return "The property key must have from 1 to 255 characters."
	case len(raw) > 32768:
		return "The property value exceeds 32768 characters."
	}
	return ""
}

// bag is where properties are kept, of an issue or a comment, and where they are found.
type bag struct {
	values map[string]any
	self   []string
	mayset bool
}

func (j *Jira) issueBag(r *request) (*bag, *answer) {
	i := j.visible(r.user, r.path["issue"])
	if i == nil {
		a := gone(noIssue)
		return nil, &a
	}
	return &bag{i.properties, []string{"issue", strconv.Itoa(i.id), "properties"}, j.may(r.user, i.project, EditIssues)}, nil
}

func (j *Jira) commentBag(r *request) (*bag, *answer) {
	for _, i := range j.issues {
		if c := findComment(i, r.path["comment"]); c != nil && j.may(r.user, i.project, Browse) {
			may := j.may(r.user, i.project, EditAll) || c.by == r.user && j.may(r.user, i.project, EditOwn)
			return &bag{c.properties, []string{"comment", strconv.Itoa(c.id), "properties"}, may}, nil
		}
	}
	a := gone(noComment + r.path["comment"] + ".")
	return nil, &a
}

type bagOf func(*request) (*bag, *answer)

func (j *Jira) listProperties(r *request, of bagOf) answer {
	b, bad := of(r)
	if bad != nil {
		return *bad
	}
	keys := []any{}
	for key := range b.values {
		keys = append(keys, Object{"key": key, "self": j.self(j.viewOf(r), append(slices.Clone(b.self), key)...)})
	}
	slices.SortFunc(keys, func(x, y any) int { return strings.Compare(x.(Object)["key"].(string), y.(Object)["key"].(string)) })
	return ok(Object{"keys": keys})
}

func (j *Jira) readProperty(r *request, of bagOf) answer {
	b, bad := of(r)
	if bad != nil {
		return *bad
	}
	value, there := b.values[r.path["key"]]
	if !there {
		return gone("The property with key '" + r.path["key"] + "' does not exist.")
	}
	return ok(Object{"key": r.path["key"], "value": value})
}

func (j *Jira) writeProperty(r *request, of bagOf) answer {
	b, bad := of(r)
	switch {
	case bad != nil:
		return *bad
	case !b.mayset:
		return noPermission("You do not have permission to edit this.")
	}
	key := r.path["key"]
	if problem := checkProperty(key, r.body); problem != "" {
		return fail(http.StatusBadRequest, problem)
	}
	_, there := b.values[key]
	b.values[key] = r.body
	o := Object{"self": j.self(j.viewOf(r), append(slices.Clone(b.self), key)...)}
	if there {
		return ok(o)
	}
	return created(o)
}

func (j *Jira) dropProperty(r *request, of bagOf) answer {
	b, bad := of(r)
	switch {
	case bad != nil:
		return *bad
	case !b.mayset:
		return noPermission("You do not have permission to edit this.")
	}
	if _, there := b.values[r.path["key"]]; !there {
		return gone("The property with key '" + r.path["key"] + "' does not exist.")
	}
	delete(b.values, r.path["key"])
	return noContent()
}

func (j *Jira) issueProperties(r *request) answer     { return j.listProperties(r, j.issueBag) }
func (j *Jira) issueProperty(r *request) answer       { return j.readProperty(r, j.issueBag) }
func (j *Jira) setIssueProperty(r *request) answer    { return j.writeProperty(r, j.issueBag) }
func (j *Jira) deleteIssueProperty(r *request) answer { return j.dropProperty(r, j.issueBag) }

func (j *Jira) commentProperties(r *request) answer     { return j.listProperties(r, j.commentBag) }
func (j *Jira) commentProperty(r *request) answer       { return j.readProperty(r, j.commentBag) }
func (j *Jira) setCommentProperty(r *request) answer    { return j.writeProperty(r, j.commentBag) }
func (j *Jira) deleteCommentProperty(r *request) answer { return j.dropProperty(r, j.commentBag) }
