package jirafake

import (
	"slices"
	"strconv"
)

// Webhooks show things as /rest/api/2 does, on both flavors.
func hookView() view { return view{api: "/rest/api/2", hook: true} }

// hookIssue is an issue in a webhook; what is told of changes on Cloud leaves comments out.
func (j *Jira) hookIssue(i *issue, comments bool) Object {
	fields := []string{"*all"}
	if !comments {
		fields = append(fields, "-comment")
	}
	o := j.issueJSON(i, hookView(), fields, nil, nil)
	delete(o, "expand")
	return o
}

func (j *Jira) changelogJSON(c change) Object {
	return Object{"id": strconv.Itoa(c.id), "items": j.itemsJSON(c.items, false)}
}

func (j *Jira) issueCreated(u *User, i *issue, c change) {
	j.tell("jira:issue_created", "Primary", Object{
		"issue_event_type_name": "issue_created", "user": j.userJSON(u, hookView()), "issue": j.hookIssue(i, !j.cloud), "changelog": j.changelogJSON(c),
	})
}

func (j *Jira) issueDeleted(u *User, i *issue) {
	body := Object{"user": j.userJSON(u, hookView()), "issue": j.hookIssue(i, true)}
	if !j.cloud {
		body["issue_event_type_name"] = "issue_deleted"
	}
	j.tell("jira:issue_deleted", "Primary", body)
	for _, c := range i.comments {
		j.tell("comment_deleted", "Secondary", j.commentBody(i, c))
	}
}

// issueUpdated tells of a change. A comment alone is an update of the issue on Data Center
// only; both tell of the comment too.
func (j *Jira) issueUpdated(u *User, i *issue, c change, e event) {
	kind := e.kind
	if kind == "" {
		kind = "issue_updated"
		if slices.ContainsFunc(c.items, func(i item) bool { return i.fieldID == "assignee" }) && len(c.items) == 1 {
			kind = "issue_assigned"
		}
	}
	if len(c.items) > 0 || !j.cloud {
		body := Object{"issue_event_type_name": kind, "user": j.userJSON(u, hookView()), "issue": j.hookIssue(i, !j.cloud)}
		if len(c.items) > 0 {
			body["changelog"] = j.changelogJSON(c)
		}
		if e.comment != nil {
			body["comment"] = j.commentJSON(i, e.comment, hookView())
		}
		j.tell("jira:issue_updated", "Primary", body)
	}
	if e.comment != nil {
		j.commentEvent("comment_created", i, e.comment)
	}
}

func (j *Jira) commentEvent(name string, i *issue, c *comment) {
	j.tell(name, "Primary", j.commentBody(i, c))
}

// commentBody is what is told of a comment. Data Center leaves the issue out; its ID is in
// the comment's address.
func (j *Jira) commentBody(i *issue, c *comment) Object {
	o := Object{"comment": j.commentJSON(i, c, hookView())}
	if j.cloud {
		o["issue"] = j.issueJSON(i, hookView(), []string{"summary", "issuetype", "project", "assignee", "priority", "status"}, nil, nil)
		delete(o["issue"].(Object), "expand")
	}
	return o
}

func (j *Jira) versionEvent(name string, n *version) {
	j.tell(name, "Primary", Object{"version": j.versionJSON(n, hookView())})
}
