package gitlabfake

import (
	"cmp"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// merge is a merge request: docs.gitlab.com/api/merge_requests
type merge struct {
	id, iid     int64
	project     *project
	title       string
	description string
	source      string
	target      string
	state       string // opened, closed, merged
	author      *user
	created     time.Time
	updated     time.Time
	merged      time.Time
	closed      time.Time
	mergedBy    *user
	head        *commit // of the source branch
	base        *commit // where it left the target
	mergeCommit *commit
	approvals   []*user
	discussions []*discussion
}

type discussion struct {
	id         string
	individual bool
	notes      []*note
}

type note struct {
	id      int64
	body    string
	author  *user
	created time.Time
	updated time.Time
	system  bool
	kind    string // "", "DiscussionNote"
	solved  bool
}

// commits are those that the merge request brings, newest first.
func (m *merge) commits() []*commit { return ahead(m.base, m.head) }

func (s *Server) mergeURL(m *merge) string {
	return fmt.Sprintf("%s/%s/-/merge_requests/%d", s.base, m.project.Path, m.iid)
}

func (s *Server) addMerge(p *project, by *user, source, target, title, description string) *merge {
	now := time.Now()
	m := &merge{
		id: s.id("merge"), iid: p.iid("merge"), project: p, title: title, description: description, source: source, target: target,
		state: "opened", author: by, created: now, updated: now, head: p.branches[source],
	}
	m.base = mergeBase(p.branches[target], m.head)
	p.merges = append(p.merges, m)
	s.mergeChanged(m, by, "open", nil)
	if p.Pipeline != nil && slices.Contains(p.Pipeline.On, "merge_request") {
		if pl, bad := s.start(p, by, "merge_request_event", fmt.Sprintf("refs/merge-requests/%d/head", m.iid), false, m.head, nil, nil); bad == nil {
			pl.merge = m
		}
	}
	return m
}

// moved tells open merge requests that their source branch stands elsewhere.
func (s *Server) moved(p *project, by *user, branch string) {
	for _, m := range p.merges {
		if m.state == "opened" && m.source == branch && p.branches[branch] != nil && m.head != p.branches[branch] {
			m.head, m.updated = p.branches[branch], time.Now()
			s.mergeChanged(m, by, "update", object{"oldrev": m.base.id})
		}
	}
}

// accept merges with a merge commit. Where both sides changed a file the source's wins.
func (s *Server) accept(m *merge, by *user, message string) {
	p := m.project
	onto := p.branches[m.target]
	m.base = mergeBase(onto, m.head)
	files := maps.Clone(onto.files)
	before := map[string]string{}
	if m.base != nil {
		before = m.base.files
	}
	for name, content := range m.head.files {
		if old, had := before[name]; !had || old != content {
			files[name] = content
		}
	}
	for name := range before {
		if _, has := m.head.files[name]; !has {
			delete(files, name)
		}
	}
	message = cmp.Or(message, fmt.Sprintf("Merge branch '%s' into '%s'\n\n%s\n\nSee merge request %s!%d", m.source, m.target, m.title, p.Path, m.iid))
	now := time.Now()
	m.mergeCommit = p.commit(by, message, []*commit{onto, m.head}, files, now)
	m.state, m.merged, m.updated, m.mergedBy = "merged", now, now, by
	s.pushBranch(p, by, m.target, m.mergeCommit)
	s.mergeChanged(m, by, "merge", nil)
}

func (s *Server) approve(m *merge, by *user) {
	m.approvals = append(m.approvals, by)
	m.updated = time.Now()
	action := "approval"
	if len(m.approvals) >= m.project.Approvals {
		action = "approved"
	}
	s.mergeChanged(m, by, action, nil)
}

// say adds a note; without a discussion it begins one.
func (s *Server) say(m *merge, d *discussion, by *user, body string, individual bool) (*discussion, *note) {
	now := time.Now()
	n := &note{id: s.id("note"), body: body, author: by, created: now, updated: now}
	if d == nil {
		sum := sha1.Sum(fmt.Appendf(nil, "discussion %d", n.id))
		d = &discussion{id: hex.EncodeToString(sum[:]), individual: individual}
		m.discussions = append(m.discussions, d)
	}
	if !individual {
		n.kind = "DiscussionNote"
	}
	d.individual = d.individual && len(d.notes) == 0
	d.notes = append(d.notes, n)
	m.updated = now
	s.noteChanged(m, d, n, by, "create")
	s.touch()
	return d, n
}

func (q *request) mergeJSON(m *merge) object {
	wip := strings.HasPrefix(m.title, "Draft:")
	status := "mergeable"
	switch {
	case m.state != "opened":
		status = "not_open"
	case wip:
		status = "draft_status"
	case len(m.approvals) < m.project.Approvals:
		status = "not_approved"
	}
	notes := 0
	for _, d := range m.discussions {
		notes += len(d.notes)
	}
	o := object{
		"id": m.id, "iid": m.iid, "project_id": m.project.id, "title": m.title, "description": m.description, "state": m.state,
		"created_at": stamp(m.created), "updated_at": stamp(m.updated), "merged_at": stamp(m.merged), "closed_at": stamp(m.closed),
		"merged_by": q.s.basic(m.mergedBy), "merge_user": q.s.basic(m.mergedBy), "closed_by": nil, "source_branch": m.source,
		"target_branch": m.target, "author": q.s.basic(m.author), "assignee": nil, "assignees": []any{}, "reviewers": []any{},
		"source_project_id": m.project.id, "target_project_id": m.project.id, "labels": []string{}, "draft": wip, "work_in_progress": wip,
		"milestone": nil, "merge_when_pipeline_succeeds": false, "merge_status": "can_be_merged", "detailed_merge_status": status,
		"sha": m.head.id, "merge_commit_sha": nil, "squash_commit_sha": nil, "user_notes_count": notes, "web_url": q.s.mergeURL(m),
		"references": object{"short": fmt.Sprintf("!%d", m.iid), "relative": fmt.Sprintf("!%d", m.iid), "full": fmt.Sprintf("%s!%d", m.project.Path, m.iid)},
		"squash":     false, "has_conflicts": false, "blocking_discussions_resolved": true, "upvotes": 0, "downvotes": 0,
	}
	if m.mergeCommit != nil {
		o["merge_commit_sha"] = m.mergeCommit.id
	}
	return o
}

func (q *request) mergeWhole(m *merge) object {
	o := q.mergeJSON(m)
	o["changes_count"] = fmt.Sprint(len(changes(m.base, m.head)))
	o["diff_refs"] = object{"base_sha": m.base.id, "start_sha": m.base.id, "head_sha": m.head.id}
	o["user"] = object{"can_merge": q.project.level(q.user) >= max(Developer, q.project.guard(m.target, false))}
	o["head_pipeline"], o["pipeline"] = nil, nil
	for _, pl := range slices.Backward(q.project.pipelines) {
		if pl.commit == m.head {
			o["head_pipeline"], o["pipeline"] = q.pipelineJSON(pl), q.pipelineInfo(pl)
			break
		}
	}
	return o
}
