package gitlabfake

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// commitStatus is what somebody outside says of a commit: docs.gitlab.com/api/commits#commit-status
type commitStatus struct {
	id          int64
	pipeline    *pipeline
	name        string
	ref         string
	status      string
	target      string
	description string
	coverage    float64
	author      *user
	created     time.Time
	started     time.Time
	finished    time.Time
	retried     bool
}

func (q *request) statusJSON(st *commitStatus) object {
	o := object{
		"id": st.id, "sha": st.pipeline.commit.id, "ref": st.ref, "status": st.status, "name": st.name, "target_url": orNull(st.target),
		"description": orNull(st.description), "created_at": stamp(st.created), "started_at": stamp(st.started), "finished_at": stamp(st.finished),
		"allow_failure": false, "coverage": nil, "author": q.s.basic(st.author), "pipeline_id": st.pipeline.id,
	}
	if st.coverage > 0 {
		o["coverage"] = st.coverage
	}
	return o
}

// listStatuses lists statuses of a commit, jobs of its pipelines included.
func (q *request) listStatuses(c *commit) (any, *problem) {
	type line struct {
		id   int64
		json object
	}
	var found []line
	keep := func(name, ref, stage string, pl *pipeline, retried bool) bool {
		return (!retried || q.flag("all")) && (!q.has("name") || q.str("name") == name) && (!q.has("ref") || q.str("ref") == ref) &&
			(!q.has("stage") || q.str("stage") == stage) && (!q.has("pipeline_id") || q.num("pipeline_id", 0) == pl.id)
	}
	for _, pl := range q.project.pipelines {
		if pl.commit != c {
			continue
		}
		for _, st := range pl.statuses {
			if keep(st.name, st.ref, "external", pl, st.retried) {
				found = append(found, line{st.id, q.statusJSON(st)})
			}
		}
		for _, j := range pl.jobs {
			if keep(j.Name, pl.ref, j.Stage, pl, j.retried) {
				found = append(found, line{j.id, object{
					"id": j.id, "sha": c.id, "ref": pl.ref, "status": j.status, "name": j.Name, "target_url": q.s.jobURL(j), "description": nil,
					"created_at": stamp(j.created), "started_at": stamp(j.started), "finished_at": stamp(j.finished), "allow_failure": j.AllowFailure,
					"coverage": nil, "author": q.s.basic(j.user), "pipeline_id": pl.id,
				}})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b line) int {
		if q.str("sort") == "desc" {
			return cmp.Compare(b.id, a.id)
		}
		return cmp.Compare(a.id, b.id)
	})
	var all []any
	for _, l := range found {
		all = append(all, l.json)
	}
	return q.pages(all)
}

// setStatus puts a status on the newest pipeline of the commit, or makes an external one for
// it. A status that is not over yet goes on; repeating what it is already is refused, as
// GitLab's state machine does.
func (q *request) setStatus() (any, *problem) {
	c := q.project.commits[q.param("sha")] // only whole IDs are taken here
	if c == nil {
		return nil, notFound("Commit")
	}
	state := q.str("state")
	events := map[string]string{"pending": "enqueue", "running": "run", "success": "success", "failed": "drop", "canceled": "cancel", "skipped": "skip"}
	if state == "" {
		return nil, missing("state")
	}
	if events[state] == "" {
		return nil, &problem{http.StatusBadRequest, object{"error": "state does not have a valid value"}}
	}
	name := cmp.Or(q.str("name"), q.str("context"), "default")
	ref := q.str("ref")
	if ref == "" {
		for _, b := range append([]string{q.project.DefaultBranch}, sortedKeys(q.project.branches)...) {
			if slices.Contains(history(q.project.branches[b]), c) {
				ref = b
				break
			}
		}
	}
	if ref == "" {
		return nil, notFound("References for commit")
	}
	_, _, isTag := q.project.lookup(ref)
	if q.project.guard(ref, isTag) > q.project.level(q.user) {
		return nil, forbidden()
	}
	now := time.Now()
	var pl *pipeline
	for _, one := range slices.Backward(q.project.pipelines) {
		if one.commit == c && (q.has("pipeline_id") && one.id == q.num("pipeline_id", 0) || !q.has("pipeline_id") && one.ref == ref) {
			pl = one
			break
		}
	}
	if pl == nil && q.has("pipeline_id") {
		return nil, notFound("Pipeline")
	}
	if pl == nil {
		pl = &pipeline{
			id: q.s.id("pipeline"), iid: q.project.iid("pipeline"), project: q.project, ref: ref, tag: isTag, commit: c, source: "external",
			status: "created", user: q.user, created: now, updated: now,
		}
		q.project.pipelines = append(q.project.pipelines, pl)
	}
	var st *commitStatus
	for _, one := range pl.statuses {
		if one.name == name && one.ref == ref && !one.retried {
			if one.status == "pending" || one.status == "running" {
				st = one
			} else {
				one.retried = true
			}
		}
	}
	if st != nil && (st.status == state || state == "pending") {
		return nil, refuse(http.StatusBadRequest, fmt.Sprintf(
			`Cannot transition status via :%s from :%s (Reason(s): Status cannot transition via "%s")`, events[state], st.status, events[state]))
	}
	if st == nil {
		st = &commitStatus{id: q.s.id("job"), pipeline: pl, name: name, ref: ref, author: q.user, created: now}
		pl.statuses = append(pl.statuses, st)
		q.project.statuses = append(q.project.statuses, st)
	}
	st.status = state
	if state == "running" {
		st.started = now
	}
	if ended(state) {
		st.finished = now
	}
	if q.has("target_url") {
		st.target = q.str("target_url")
	}
	if q.has("description") {
		st.description = q.str("description")
	}
	if v, is := q.args["coverage"].(float64); is {
		st.coverage = v
	}
	pl.updated = now
	q.s.settleStatus(pl, now)
	q.s.touch()
	return q.statusJSON(st), nil
}
