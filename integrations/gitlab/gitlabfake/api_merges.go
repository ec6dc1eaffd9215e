package gitlabfake

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (q *request) listMerges() (any, *problem) { return q.mergePages(q.project.merges) }

func (q *request) groupMerges() (any, *problem) {
	var all []*merge
	for _, p := range q.s.projects {
		if p.group.within(q.group) && (p.level(q.user) >= Reporter || open(p.Visibility, q.user)) {
			all = append(all, p.merges...)
		}
	}
	return q.mergePages(all)
}

func (q *request) mergePages(all []*merge) (any, *problem) {
	var found []*merge
	for _, m := range all {
		keep := (!q.has("state") || q.str("state") == "all" || q.str("state") == m.state) &&
			(!q.has("source_branch") || q.str("source_branch") == m.source) && (!q.has("target_branch") || q.str("target_branch") == m.target) &&
			(!q.has("author_username") || q.str("author_username") == m.author.Username) &&
			(!q.has("iids") || slices.Contains(q.list("iids"), strconv.FormatInt(m.iid, 10))) &&
			(!q.has("search") || strings.Contains(strings.ToLower(m.title+" "+m.description), strings.ToLower(q.str("search"))))
		in, p := q.during(m.updated, m.created)
		if p != nil {
			return nil, p
		}
		if keep && in {
			found = append(found, m)
		}
	}
	slices.SortStableFunc(found, func(a, b *merge) int {
		c := a.created.Compare(b.created)
		switch q.str("order_by") {
		case "updated_at":
			c = a.updated.Compare(b.updated)
		case "merged_at":
			c = a.merged.Compare(b.merged)
		case "title":
			c = cmp.Compare(a.title, b.title)
		}
		return q.latestFirst(cmp.Or(c, cmp.Compare(a.id, b.id)))
	})
	return pagesOf(q, found, q.mergeJSON)
}

func (q *request) theMerge() (*merge, *problem) {
	for _, m := range q.project.merges {
		if strconv.FormatInt(m.iid, 10) == q.param("merge") {
			return m, nil
		}
	}
	return nil, notFound("")
}

func (q *request) getMerge(m *merge) (any, *problem) {
	return q.mergeWhole(m), nil
}

func (q *request) createMerge() (any, *problem) {
	source, target, title := q.str("source_branch"), q.str("target_branch"), q.str("title")
	for _, name := range []string{"source_branch", "target_branch", "title"} {
		if q.str(name) == "" {
			return nil, missing(name)
		}
	}
	p := q.project
	switch {
	case p.branches[source] == nil:
		return nil, refuse(http.StatusBadRequest, []string{"Source branch \"" + source + "\" does not exist"})
	case p.branches[target] == nil:
		return nil, refuse(http.StatusBadRequest, []string{"Target branch \"" + target + "\" does not exist"})
	case source == target:
		return nil, refuse(http.StatusUnprocessableEntity, []string{"You can't use same project/branch for source and target"})
	}
	for _, m := range p.merges {
		if m.state == "opened" && m.source == source && m.target == target {
			return nil, refuse(http.StatusConflict, []string{fmt.Sprintf("Another open merge request already exists for this source branch: !%d", m.iid)})
		}
	}
	return q.mergeWhole(q.s.addMerge(p, q.user, source, target, title, q.str("description"))), nil
}

func (q *request) updateMerge(m *merge) (any, *problem) {
	action := "update"
	changed := object{}
	if q.has("title") && q.str("title") != m.title {
		changed["title"] = object{"previous": m.title, "current": q.str("title")}
		m.title = q.str("title")
	}
	if q.has("description") && q.str("description") != m.description {
		changed["description"] = object{"previous": m.description, "current": q.str("description")}
		m.description = q.str("description")
	}
	now := time.Now()
	switch q.str("state_event") {
	case "":
	case "close":
		if m.state == "opened" {
			m.state, m.closed, action = "closed", now, "close"
		}
	case "reopen":
		if m.state == "closed" {
			m.state, m.closed, action = "opened", time.Time{}, "reopen"
		}
	default:
		return nil, &problem{http.StatusBadRequest, object{"error": "state_event does not have a valid value"}}
	}
	m.updated = now
	q.s.mergeChanged(m, q.user, action, changed)
	return q.mergeWhole(m), nil
}

func (q *request) acceptMerge(m *merge) (any, *problem) {
	if q.project.level(q.user) < max(Developer, q.project.guard(m.target, false)) {
		return nil, refuse(http.StatusUnauthorized, "401 Unauthorized")
	}
	if m.state != "opened" || strings.HasPrefix(m.title, "Draft:") || len(m.approvals) < m.project.Approvals {
		return nil, refuse(http.StatusMethodNotAllowed, "405 Method Not Allowed")
	}
	if sha := q.str("sha"); sha != "" && sha != m.head.id {
		return nil, refuse(http.StatusConflict, "SHA does not match HEAD of source branch: "+m.head.id)
	}
	q.s.accept(m, q.user, q.str("merge_commit_message"))
	return q.mergeWhole(m), nil
}

func (q *request) mergeCommits(m *merge) (any, *problem) {
	return pagesOf(q, m.commits(), q.commitJSON)
}

func (q *request) mergeDiffs(m *merge) (any, *problem) {
	return q.pages(changes(m.base, m.head))
}

func (q *request) mergePipelines(m *merge) (any, *problem) {
	var all []any
	for _, pl := range slices.Backward(q.project.pipelines) {
		if pl.merge == m || slices.Contains(m.commits(), pl.commit) {
			all = append(all, q.pipelineInfo(pl))
		}
	}
	return q.pages(all)
}

// Approvals: docs.gitlab.com/api/merge_request_approvals

func (q *request) approvalsJSON(m *merge) object {
	by := []any{}
	for _, u := range m.approvals {
		by = append(by, object{"user": q.s.basic(u), "approved_at": stamp(m.updated)})
	}
	left := max(0, m.project.Approvals-len(m.approvals))
	return object{
		"id": m.id, "iid": m.iid, "project_id": m.project.id, "title": m.title, "description": m.description, "state": m.state,
		"created_at": stamp(m.created), "updated_at": stamp(m.updated), "merge_status": "can_be_merged", "approved": left == 0,
		"approvals_required": m.project.Approvals, "approvals_left": left, "approved_by": by, "suggested_approvers": []any{},
		"approvers": []any{}, "approver_groups": []any{}, "user_has_approved": slices.Contains(m.approvals, q.user),
		"user_can_approve":    m.author != q.user && !slices.Contains(m.approvals, q.user) && q.project.level(q.user) >= Developer,
		"approval_rules_left": []any{}, "has_approval_rules": m.project.Approvals > 0, "merge_request_approvers_available": true,
	}
}

func (q *request) getApprovals(m *merge) (any, *problem) {
	return q.approvalsJSON(m), nil
}

func (q *request) approveMerge(m *merge) (any, *problem) {
	if slices.Contains(m.approvals, q.user) || m.author == q.user {
		return nil, refuse(http.StatusUnauthorized, "401 Unauthorized")
	}
	q.s.approve(m, q.user)
	return q.approvalsJSON(m), nil
}

func (q *request) unapproveMerge(m *merge) (any, *problem) {
	if !slices.Contains(m.approvals, q.user) {
		return nil, notFound("")
	}
	m.approvals = slices.DeleteFunc(m.approvals, func(u *user) bool { return u == q.user })
	m.updated = time.Now()
	q.s.mergeChanged(m, q.user, "unapproval", nil)
	return q.approvalsJSON(m), nil
}

// Notes and discussions: docs.gitlab.com/api/notes and docs.gitlab.com/api/discussions

const maxNote = 1_000_000

func (q *request) noteJSON(m *merge, d *discussion, n *note) object {
	return object{
		"id": n.id, "type": orNull(n.kind), "body": n.body, "attachment": nil, "author": q.s.basic(n.author), "created_at": stamp(n.created),
		"updated_at": stamp(n.updated), "system": n.system, "noteable_id": m.id, "noteable_type": "MergeRequest", "project_id": m.project.id,
		"noteable_iid": m.iid, "resolvable": !d.individual, "resolved": n.solved, "resolved_by": nil, "confidential": false, "internal": false,
	}
}

func (q *request) discussionJSON(m *merge, d *discussion) object {
	notes := []any{}
	for _, n := range d.notes {
		notes = append(notes, q.noteJSON(m, d, n))
	}
	return object{"id": d.id, "individual_note": d.individual, "notes": notes}
}

func (q *request) body() (string, *problem) {
	body := q.str("body")
	switch {
	case strings.TrimSpace(body) == "":
		return "", missing("body")
	case len(body) > maxNote:
		return "", refuse(http.StatusBadRequest, object{"note": []string{"is too long (maximum is 1000000 characters)"}})
	}
	return body, nil
}

func (q *request) listNotes(m *merge) (any, *problem) {
	type line struct {
		n    *note
		json object
	}
	var found []line
	for _, d := range m.discussions {
		for _, n := range d.notes {
			found = append(found, line{n, q.noteJSON(m, d, n)})
		}
	}
	slices.SortFunc(found, func(a, b line) int {
		c := a.n.created.Compare(b.n.created)
		if q.str("order_by") == "updated_at" {
			c = a.n.updated.Compare(b.n.updated)
		}
		return q.latestFirst(cmp.Or(c, cmp.Compare(a.n.id, b.n.id)))
	})
	var all []any
	for _, l := range found {
		all = append(all, l.json)
	}
	return q.pages(all)
}

// spot is a discussion, or a note, and where it is.
type spot struct {
	merge      *merge
	discussion *discussion
	note       *note // nil: it is about the discussion
}

// theNote finds the note of the address, within its discussion where that is named.
func (q *request) theNote() (spot, *problem) {
	m, p := q.theMerge()
	if p != nil {
		return spot{}, p
	}
	for _, d := range m.discussions {
		if id := q.param("discussion"); id != "" && id != d.id {
			continue
		}
		for _, n := range d.notes {
			if strconv.FormatInt(n.id, 10) == q.param("note") {
				return spot{m, d, n}, nil
			}
		}
	}
	return spot{}, notFound("Note")
}

func (q *request) getNote(at spot) (any, *problem) {
	m, d, n := at.merge, at.discussion, at.note
	return q.noteJSON(m, d, n), nil
}

func (q *request) createNote(m *merge) (any, *problem) {
	body, p := q.body()
	if p != nil {
		return nil, p
	}
	d, n := q.s.say(m, nil, q.user, body, true)
	return q.noteJSON(m, d, n), nil
}

func (q *request) updateNote(at spot) (any, *problem) {
	m, d, n := at.merge, at.discussion, at.note
	if n.author != q.user && q.project.level(q.user) < Maintainer {
		return nil, forbidden()
	}
	if q.has("body") || !q.has("resolved") {
		body, p := q.body()
		if p != nil {
			return nil, p
		}
		n.body, n.updated, m.updated = body, time.Now(), time.Now()
		q.s.noteChanged(m, d, n, q.user, "update")
	} else {
		n.solved = q.flag("resolved")
	}
	q.s.touch()
	return q.noteJSON(m, d, n), nil
}

func (q *request) deleteNote(at spot) (any, *problem) {
	m, d, n := at.merge, at.discussion, at.note
	if n.author != q.user && q.project.level(q.user) < Maintainer {
		return nil, forbidden()
	}
	d.notes = slices.DeleteFunc(d.notes, func(one *note) bool { return one == n })
	m.discussions = slices.DeleteFunc(m.discussions, func(one *discussion) bool { return len(one.notes) == 0 })
	return nil, nil
}

func (q *request) listDiscussions(m *merge) (any, *problem) {
	var all []any
	for _, d := range m.discussions {
		all = append(all, q.discussionJSON(m, d))
	}
	return q.pages(all)
}

func (q *request) theDiscussion() (spot, *problem) {
	m, p := q.theMerge()
	if p != nil {
		return spot{}, p
	}
	for _, d := range m.discussions {
		if d.id == q.param("discussion") {
			return spot{m, d, nil}, nil
		}
	}
	return spot{}, notFound("Discussion")
}

func (q *request) getDiscussion(at spot) (any, *problem) {
	m, d := at.merge, at.discussion
	return q.discussionJSON(m, d), nil
}

func (q *request) createDiscussion(m *merge) (any, *problem) {
	body, p := q.body()
	if p != nil {
		return nil, p
	}
	d, _ := q.s.say(m, nil, q.user, body, false)
	return q.discussionJSON(m, d), nil
}

// reply turns a single note into a thread, as GitLab does.
func (q *request) reply(at spot) (any, *problem) {
	m, d := at.merge, at.discussion
	body, p := q.body()
	if p != nil {
		return nil, p
	}
	d, n := q.s.say(m, d, q.user, body, false)
	return q.noteJSON(m, d, n), nil
}

// resolve says whether a thread is settled.
func (q *request) resolve(at spot) (any, *problem) {
	m, d := at.merge, at.discussion
	if !q.has("resolved") {
		return nil, missing("resolved")
	}
	for _, n := range d.notes {
		n.solved = q.flag("resolved")
	}
	return q.discussionJSON(m, d), nil
}
