package gitlabfake

import (
	"cmp"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"time"
)

// Jobs: docs.gitlab.com/api/jobs

func (s *Server) jobURL(j *job) string {
	return fmt.Sprintf("%s/%s/-/jobs/%d", s.base, j.pipeline.project.Path, j.id)
}

func seconds(from, to time.Time) any {
	if from.IsZero() {
		return nil
	}
	if to.IsZero() {
		to = time.Now()
	}
	return to.Sub(from).Seconds()
}

func (q *request) jobJSON(j *job) object {
	pl := j.pipeline
	o := object{
		"id": j.id, "name": j.Name, "stage": j.Stage, "status": j.status, "ref": pl.ref, "tag": pl.tag, "allow_failure": j.AllowFailure,
		"coverage": nil, "created_at": stamp(j.created), "started_at": stamp(j.started), "finished_at": stamp(j.finished), "erased_at": nil,
		"duration": seconds(j.started, j.finished), "queued_duration": seconds(j.queued, cmp.Or(j.started, j.finished)),
		"user": q.s.basic(j.user), "commit": q.commitJSON(pl.commit), "pipeline": q.pipelineInfo(pl), "web_url": q.s.jobURL(j),
		"project": object{"ci_job_token_scope_enabled": false}, "artifacts": []any{}, "runner": nil, "artifacts_expire_at": nil,
		"archived": false, "tag_list": []string{},
	}
	if j.Coverage > 0 && !j.finished.IsZero() {
		o["coverage"] = j.Coverage
	}
	if j.reason != "" {
		o["failure_reason"] = j.reason
	}
	if len(j.Artifacts) > 0 && !j.finished.IsZero() {
		size := 0
		for _, content := range j.Artifacts {
			size += len(content)
		}
		o["artifacts_file"] = object{"filename": "artifacts.zip", "size": size}
		o["artifacts"] = []any{object{"file_type": "archive", "size": size, "filename": "artifacts.zip", "file_format": "zip"}}
	}
	if !j.started.IsZero() {
		o["runner"] = object{"id": 1, "description": "fake", "ip_address": nil, "active": true, "is_shared": true, "runner_type": "instance_type", "name": "gitlab-runner", "online": true, "status": "online"}
	}
	return o
}

func (q *request) jobPages(jobs []*job) (any, *problem) {
	scope := q.list("scope")
	var all []any
	for _, j := range slices.Backward(jobs) {
		if j.retried && !q.flag("include_retried") && q.param("pipeline") != "" || len(scope) > 0 && !slices.Contains(scope, j.status) {
			continue
		}
		all = append(all, q.jobJSON(j))
	}
	return q.cursors(all, "id", "cursor", func(o any) string { return fmt.Sprint(o.(object)["id"]) })
}

func (q *request) listJobs() (any, *problem) { return q.jobPages(q.project.jobs) }

func (q *request) pipelineJobs(pl *pipeline) (any, *problem) {
	return q.jobPages(pl.jobs)
}

func (q *request) theJob() (*job, *problem) {
	for _, j := range q.project.jobs {
		if strconv.FormatInt(j.id, 10) == q.param("job") {
			return j, nil
		}
	}
	return nil, notFound("")
}

func (q *request) getJob(j *job) (any, *problem) {
	return q.jobJSON(j), nil
}

func (q *request) playJob(j *job) (any, *problem) {
	vars, p := q.variables("job_variables_attributes")
	level := q.project.level(q.user)
	switch {
	case p != nil:
		return nil, p
	case q.project.guard(j.pipeline.ref, j.pipeline.tag) > level:
		return nil, forbidden()
	case len(vars) > 0 && level < q.project.VariablesRole:
		return nil, forbidden()
	case j.status != "manual":
		return nil, refuse(http.StatusBadRequest, "400 Bad request - Unplayable Job")
	}
	now := time.Now()
	j.user = q.user
	q.s.enqueue(j, now)
	for _, later := range j.pipeline.latest() {
		if later.status == "skipped" {
			q.s.set(later, "created", now)
		}
	}
	q.s.process(j.pipeline, now)
	q.status = http.StatusOK
	return q.jobJSON(j), nil
}

func (q *request) cancelOneJob(j *job) (any, *problem) {
	if !ended(j.status) && j.status != "manual" {
		q.s.cancelJob(j, time.Now())
		q.s.process(j.pipeline, time.Now())
	}
	return q.jobJSON(j), nil
}

func (q *request) retryJob(j *job) (any, *problem) {
	if j.retried || !ended(j.status) || j.status == "skipped" {
		return nil, refuse(http.StatusForbidden, "403 Forbidden - Job is not retryable")
	}
	next := q.s.again(j, q.user, time.Now())
	q.s.process(j.pipeline, time.Now())
	return q.jobJSON(next), nil
}

// jobTrace is what the job wrote; while it runs, its beginning.
func (q *request) jobTrace(j *job) (any, *problem) {
	out := ""
	switch {
	case !j.finished.IsZero() && !j.started.IsZero():
		out = "Running with gitlab-runner 18.5.0\n" + j.Trace
		if j.status == "failed" {
			out += "\nERROR: Job failed: exit code 1\n"
		} else if j.status == "success" {
			out += "\nJob succeeded\n"
		}
	case !j.started.IsZero():
		out = "Running with gitlab-runner 18.5.0\n"
	}
	return raw{"text/plain", []byte(out)}, nil
}

func (q *request) jobArtifact(j *job) (any, *problem) {
	return artifact(j, q.param("path"))
}

// refArtifact finds the file in the newest successful pipeline of a ref.
func (q *request) refArtifact() (any, *problem) {
	name := q.str("job")
	if name == "" {
		return nil, missing("job")
	}
	for _, pl := range slices.Backward(q.project.pipelines) {
		if pl.ref != q.param("ref") || pl.status != "success" {
			continue
		}
		for _, j := range pl.latest() {
			if j.Name == name {
				return artifact(j, q.param("path"))
			}
		}
	}
	return nil, notFound("")
}

func artifact(j *job, name string) (any, *problem) {
	content, found := j.Artifacts[path.Clean(name)]
	if !found || j.finished.IsZero() {
		return nil, notFound("")
	}
	return raw{"application/octet-stream", []byte(content)}, nil
}
