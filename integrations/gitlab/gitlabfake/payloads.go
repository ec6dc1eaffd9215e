package gitlabfake

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// What hooks are sent: docs.gitlab.com/user/project/integrations/webhook_events and
// docs.gitlab.com/administration/system_hooks.

const nothing = "0000000000000000000000000000000000000000"

// utc is a time as most payloads write it; a zero one is null.
func utc(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func (s *Server) projectHook(p *project) object {
	o := s.projectJSON(p)
	levels := map[string]int{"private": 0, "internal": 10, "public": 20}
	return object{
		"id": p.id, "name": p.Name, "description": p.Description, "web_url": o["web_url"], "avatar_url": nil, "git_ssh_url": o["ssh_url_to_repo"],
		"git_http_url": o["http_url_to_repo"], "namespace": p.group.Name, "visibility_level": levels[p.Visibility], "path_with_namespace": p.Path,
		"default_branch": p.DefaultBranch, "ci_config_path": "", "homepage": o["web_url"], "url": o["ssh_url_to_repo"],
		"ssh_url": o["ssh_url_to_repo"], "http_url": o["http_url_to_repo"],
	}
}

func (s *Server) repositoryHook(p *project) object {
	o := s.projectHook(p)
	return object{
		"name": p.Name, "url": o["url"], "description": p.Description, "homepage": o["homepage"], "git_http_url": o["git_http_url"],
		"git_ssh_url": o["git_ssh_url"], "visibility_level": o["visibility_level"],
	}
}

func userHook(u *user) object {
	return object{"id": u.id, "name": u.Name, "username": u.Username, "avatar_url": "", "email": "[REDACTED]"}
}

func (s *Server) commitHook(p *project, c *commit) object {
	return object{
		"id": c.id, "message": c.message, "title": c.title(), "timestamp": c.at.UTC().Format(time.RFC3339),
		"url": s.base + "/" + p.Path + "/-/commit/" + c.id, "author": object{"name": c.name, "email": c.email},
	}
}

// pushHook is a push or a tag push; shown are at most 20 commits.
func (s *Server) pushHook(p *project, u *user, kind, ref string, before, after *commit, message string) object {
	id := func(c *commit) string {
		if c == nil {
			return nothing
		}
		return c.id
	}
	var between []*commit
	if before != nil && after != nil {
		between = ahead(before, after)
		slices.Reverse(between)
	}
	list := []any{}
	for _, c := range between[max(0, len(between)-20):] {
		o := s.commitHook(p, c)
		added, modified, removed := []string{}, []string{}, []string{}
		var parent *commit
		if len(c.parents) > 0 {
			parent = c.parents[0]
		}
		for _, d := range changes(parent, c) {
			name := d.(object)["new_path"].(string)
			switch {
			case d.(object)["new_file"] == true:
				added = append(added, name)
			case d.(object)["deleted_file"] == true:
				removed = append(removed, name)
			default:
				modified = append(modified, name)
			}
		}
		o["added"], o["modified"], o["removed"] = added, modified, removed
		list = append(list, o)
	}
	o := object{
		"object_kind": kind, "event_name": kind, "before": id(before), "after": id(after), "ref": ref, "checkout_sha": nil, "message": orNull(message),
		"ref_protected": p.guard(strings.TrimPrefix(ref, "refs/heads/"), false) > 0, "user_id": u.id, "user_name": u.Name, "user_username": u.Username,
		"user_email": nil, "user_avatar": "", "project_id": p.id, "project": s.projectHook(p), "repository": s.repositoryHook(p), "commits": list,
		"total_commits_count": len(between), "push_options": object{},
	}
	if after != nil {
		o["checkout_sha"] = after.id
	}
	return o
}

// pushBranch moves a branch, makes it or, with no commit, takes it away; all that follows
// from a push follows.
func (s *Server) pushBranch(p *project, u *user, name string, to *commit) {
	before := p.branches[name]
	if to == nil {
		delete(p.branches, name)
	} else {
		p.branches[name] = to
	}
	p.active = time.Now()
	s.touch()
	s.fire(p, "push", "Push Hook", name, s.pushHook(p, u, "push", "refs/heads/"+name, before, to, ""))
	if to == nil {
		return
	}
	s.moved(p, u, name)
	if p.Pipeline != nil && slices.Contains(p.Pipeline.On, "push") {
		_, _ = s.start(p, u, "push", name, false, to, nil, nil)
	}
}

func (s *Server) pushTag(p *project, u *user, name, message string, c *commit) *tag {
	t := &tag{name: name, message: message, commit: c, created: time.Now()}
	p.tags[name] = t
	p.active = t.created
	s.touch()
	s.tagPushed(p, u, t, false)
	if p.Pipeline != nil && slices.Contains(p.Pipeline.On, "tag") {
		_, _ = s.start(p, u, "push", name, true, c, nil, nil)
	}
	return t
}

func (s *Server) tagPushed(p *project, u *user, t *tag, removed bool) {
	before, after := (*commit)(nil), t.commit
	if removed {
		before, after = after, nil
	}
	s.fire(p, "tag_push", "Tag Push Hook", "", s.pushHook(p, u, "tag_push", "refs/tags/"+t.name, before, after, t.message))
}

func (s *Server) mergeHook(m *merge) object {
	o := object{
		"id": m.id, "iid": m.iid, "title": m.title, "description": m.description, "source_branch": m.source, "target_branch": m.target,
		"source_project_id": m.project.id, "target_project_id": m.project.id, "author_id": m.author.id, "assignee_id": nil, "assignee_ids": []int64{},
		"reviewer_ids": []int64{}, "state": m.state, "merge_status": "can_be_merged", "detailed_merge_status": "mergeable", "created_at": utc(m.created),
		"updated_at": utc(m.updated), "url": s.mergeURL(m), "last_commit": s.commitHook(m.project, m.head), "source": s.projectHook(m.project),
		"target": s.projectHook(m.project), "work_in_progress": strings.HasPrefix(m.title, "Draft:"), "draft": strings.HasPrefix(m.title, "Draft:"),
		"merge_commit_sha": nil, "labels": []any{}, "blocking_discussions_resolved": true, "first_contribution": false, "milestone_id": nil,
		"state_id": map[string]int{"opened": 1, "closed": 2, "merged": 3}[m.state],
	}
	if m.mergeCommit != nil {
		o["merge_commit_sha"] = m.mergeCommit.id
	}
	return o
}

func (s *Server) mergeChanged(m *merge, u *user, action string, more object) {
	attributes := s.mergeHook(m)
	attributes["action"] = action
	changed := object{}
	for name, v := range more {
		if name == "oldrev" {
			attributes["oldrev"] = v
		} else {
			changed[name] = v
		}
	}
	s.touch()
	s.fire(m.project, "merge_requests", "Merge Request Hook", "", object{
		"object_kind": "merge_request", "event_type": "merge_request", "user": userHook(u), "project": s.projectHook(m.project),
		"repository": s.repositoryHook(m.project), "object_attributes": attributes, "labels": []any{}, "changes": changed,
	})
}

func (s *Server) noteChanged(m *merge, d *discussion, n *note, u *user, action string) {
	s.fire(m.project, "note", "Note Hook", "", object{
		"object_kind": "note", "event_type": "note", "user": userHook(u), "project_id": m.project.id, "project": s.projectHook(m.project),
		"repository": s.repositoryHook(m.project), "merge_request": s.mergeHook(m),
		"object_attributes": object{
			"id": n.id, "note": n.body, "description": n.body, "noteable_type": "MergeRequest", "noteable_id": m.id, "author_id": n.author.id,
			"created_at": utc(n.created), "updated_at": utc(n.updated), "project_id": m.project.id, "discussion_id": d.id, "system": n.system,
			"type": orNull(n.kind), "action": action, "internal": false, "attachment": nil, "commit_id": nil, "line_code": "",
			"url": s.mergeURL(m) + "#note_" + text(float64(n.id)),
		},
	})
}

func (s *Server) pipelineChanged(pl *pipeline, now time.Time) {
	s.touch()
	if pl.status == "created" {
		return // GitLab tells of a pipeline when it waits for its first job
	}
	var builds []any
	for _, j := range pl.latest() {
		b := object{
			"id": j.id, "stage": j.Stage, "name": j.Name, "status": j.status, "created_at": utc(j.created), "started_at": utc(j.started),
			"finished_at": utc(j.finished), "duration": nil, "queued_duration": nil, "failure_reason": orNull(j.reason), "when": cmp.Or(j.When, "on_success"),
			"manual": j.When == "manual", "allow_failure": j.AllowFailure, "user": userHook(j.user), "runner": nil,
			"artifacts_file": object{"filename": nil, "size": nil}, "environment": nil,
		}
		if !j.started.IsZero() {
			b["queued_duration"] = j.started.Sub(j.queued).Seconds()
			b["duration"] = cmp.Or(j.finished, now).Sub(j.started).Seconds()
		}
		if j.Environment != "" {
			b["environment"] = object{"name": pl.run().expand(j.Environment), "action": "start", "deployment_tier": "other"}
		}
		builds = append(builds, b)
	}
	vars := []any{}
	for _, v := range pl.variables {
		vars = append(vars, object{"key": v.Key, "value": v.Value})
	}
	before := nothing
	if len(pl.commit.parents) > 0 {
		before = pl.commit.parents[0].id
	}
	attributes := object{
		"id": pl.id, "iid": pl.iid, "name": orNull(pl.name), "ref": pl.ref, "tag": pl.tag, "sha": pl.commit.id, "before_sha": before,
		"source": pl.source, "status": pl.status, "detailed_status": pl.status, "stages": pl.stages(), "created_at": utc(pl.created),
		"finished_at": utc(pl.finished), "duration": nil, "queued_duration": nil, "variables": vars, "url": s.pipelineURL(pl),
	}
	if pl.status == "success" {
		attributes["detailed_status"] = "passed"
	}
	if !pl.started.IsZero() {
		attributes["queued_duration"] = int(pl.started.Sub(pl.created).Seconds())
		if !pl.finished.IsZero() {
			attributes["duration"] = int(pl.finished.Sub(pl.started).Seconds())
		}
	}
	o := object{
		"object_kind": "pipeline", "object_attributes": attributes, "merge_request": nil, "user": userHook(pl.user),
		"project": s.projectHook(pl.project), "commit": s.commitHook(pl.project, pl.commit), "builds": filled(builds),
	}
	if pl.merge != nil {
		o["merge_request"] = s.mergeHook(pl.merge)
	}
	s.fire(pl.project, "pipeline", "Pipeline Hook", "", o)
}

func (s *Server) jobChanged(j *job, now time.Time) {
	pl := j.pipeline
	iso := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t.UTC().Format(time.RFC3339)
	}
	before := nothing
	if len(pl.commit.parents) > 0 {
		before = pl.commit.parents[0].id
	}
	o := object{
		"object_kind": "build", "ref": pl.ref, "tag": pl.tag, "before_sha": before, "sha": pl.commit.id, "retries_count": j.attempt - 1,
		"build_id": j.id, "build_name": j.Name, "build_stage": j.Stage, "build_status": j.status, "build_created_at": utc(j.created),
		"build_started_at": utc(j.started), "build_finished_at": utc(j.finished), "build_created_at_iso": iso(j.created),
		"build_started_at_iso": iso(j.started), "build_finished_at_iso": iso(j.finished), "build_duration": nil, "build_queued_duration": nil,
		"build_allow_failure": j.AllowFailure, "build_failure_reason": cmp.Or(j.reason, "unknown_failure"), "pipeline_id": pl.id, "runner": nil,
		"project_id": pl.project.id, "project_name": strings.ReplaceAll(pl.project.Path, "/", " / "), "user": userHook(j.user),
		"commit": object{
			"id": pl.id, "name": orNull(pl.name), "sha": pl.commit.id, "message": pl.commit.message, "author_name": pl.commit.name,
			"author_email": pl.commit.email, "author_url": "", "status": pl.status, "duration": nil, "started_at": utc(pl.started), "finished_at": utc(pl.finished),
		},
		"repository": s.repositoryHook(pl.project), "project": s.projectHook(pl.project), "environment": nil,
	}
	if !j.started.IsZero() {
		o["build_duration"] = cmp.Or(j.finished, now).Sub(j.started).Seconds()
		o["build_queued_duration"] = j.started.Sub(j.queued).Seconds()
	}
	if j.Environment != "" {
		o["environment"] = object{"name": pl.run().expand(j.Environment), "action": "start", "deployment_tier": "other"}
	}
	s.fire(pl.project, "job", "Job Hook", "", o)
}

// deployChanged tells when a deployment runs and how it ended, not that it was made.
func (s *Server) deployChanged(p *project, d *deployment, now time.Time) {
	if d.status == "created" {
		return
	}
	o := object{
		"object_kind": "deployment", "status": d.status, "status_changed_at": now.UTC().Format("2006-01-02 15:04:05 +0000"), "deployment_id": d.id,
		"deployable_id": nil, "deployable_url": nil, "environment": d.env.name, "environment_tier": d.env.tier, "environment_slug": slug(d.env.name),
		"environment_external_url": orNull(d.env.url), "project": s.projectHook(p), "short_sha": d.commit.id[:8], "user": userHook(d.user),
		"user_url": s.base + "/" + d.user.Username, "commit_url": s.base + "/" + p.Path + "/-/commit/" + d.commit.id, "commit_title": d.commit.title(), "ref": d.ref,
	}
	if d.job != nil {
		o["deployable_id"], o["deployable_url"] = d.job.id, s.jobURL(d.job)
	}
	s.fire(p, "deployment", "Deployment Hook", "", o)
}

func (s *Server) releaseChanged(p *project, r *release, _ *user, action string) {
	links := []any{}
	for _, l := range r.links {
		links = append(links, object{"id": l.id, "external": true, "link_type": l.kind, "name": l.name, "url": l.url})
	}
	s.fire(p, "releases", "Release Hook", "", object{
		"object_kind": "release", "id": r.id, "created_at": utc(r.created), "released_at": utc(r.released), "description": r.description,
		"name": cmp.Or(r.name, r.tag), "tag": r.tag, "project": s.projectHook(p), "url": s.releaseURL(p, r), "action": action,
		"assets": object{"count": len(links), "links": links, "sources": []any{}}, "commit": s.commitHook(p, r.commit),
	})
}
