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

// Pipelines: docs.gitlab.com/api/pipelines

func (q *request) pipelineInfo(pl *pipeline) object {
	return object{
		"id": pl.id, "iid": pl.iid, "project_id": pl.project.id, "sha": pl.commit.id, "ref": pl.ref, "status": pl.status, "source": pl.source,
		"name": orNull(pl.name), "created_at": stamp(pl.created), "updated_at": stamp(pl.updated), "web_url": q.s.pipelineURL(pl),
	}
}

func (s *Server) pipelineURL(pl *pipeline) string {
	return fmt.Sprintf("%s/%s/-/pipelines/%d", s.base, pl.project.Path, pl.id)
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (q *request) pipelineJSON(pl *pipeline) object {
	o := q.pipelineInfo(pl)
	o["before_sha"], o["tag"], o["yaml_errors"], o["user"] = strings.Repeat("0", 40), pl.tag, nil, q.s.basic(pl.user)
	if len(pl.commit.parents) > 0 {
		o["before_sha"] = pl.commit.parents[0].id
	}
	o["started_at"], o["finished_at"], o["committed_at"] = stamp(pl.started), stamp(pl.finished), stamp(pl.commit.at)
	o["duration"], o["queued_duration"], o["coverage"] = nil, nil, nil
	if !pl.started.IsZero() {
		o["queued_duration"] = int(pl.started.Sub(pl.created).Seconds())
		if !pl.finished.IsZero() {
			o["duration"] = int(pl.finished.Sub(pl.started).Seconds())
		}
	}
	if c := pl.coverage(); c > 0 {
		o["coverage"] = fmt.Sprintf("%.2f", c)
	}
	o["detailed_status"] = object{
		"icon": "status_" + pl.status, "text": pl.status, "label": pl.status, "group": pl.status, "tooltip": pl.status, "has_details": true,
		"details_path": strings.TrimPrefix(q.s.pipelineURL(pl), q.s.base), "illustration": nil, "favicon": "",
	}
	return o
}

// coverage is the mean of the jobs that have one.
func (p *pipeline) coverage() float64 {
	sum, n := 0.0, 0
	for _, j := range p.latest() {
		if j.Coverage > 0 && !j.finished.IsZero() {
			sum, n = sum+j.Coverage, n+1
		}
	}
	return sum / float64(max(1, n))
}

func (q *request) listPipelines() (any, *problem) {
	var found []*pipeline
	for _, pl := range q.project.pipelines {
		keep := true
		for name, is := range map[string]string{"status": pl.status, "source": pl.source, "ref": pl.ref, "sha": pl.commit.id, "name": pl.name, "username": pl.user.Username} {
			keep = keep && (!q.has(name) || q.str(name) == is)
		}
		switch q.str("scope") {
		case "":
		case "running", "pending":
			keep = keep && pl.status == q.str("scope")
		case "finished":
			keep = keep && ended(pl.status)
		case "branches":
			keep = keep && !pl.tag
		case "tags":
			keep = keep && pl.tag
		default:
			return nil, &problem{http.StatusBadRequest, object{"error": "scope does not have a valid value"}}
		}
		in, p := q.during(pl.updated, pl.created)
		if p != nil {
			return nil, p
		}
		if keep && in {
			found = append(found, pl)
		}
	}
	slices.SortStableFunc(found, func(a, b *pipeline) int {
		c := 0
		switch q.str("order_by") {
		case "status":
			c = cmp.Compare(a.status, b.status)
		case "ref":
			c = cmp.Compare(a.ref, b.ref)
		case "updated_at":
			c = a.updated.Compare(b.updated)
		case "user_id":
			c = cmp.Compare(a.user.id, b.user.id)
		}
		return q.latestFirst(cmp.Or(c, cmp.Compare(a.id, b.id)))
	})
	return pagesOf(q, found, q.pipelineInfo)
}

func (q *request) thePipeline() (*pipeline, *problem) {
	for _, pl := range q.project.pipelines {
		if strconv.FormatInt(pl.id, 10) == q.param("pipeline") {
			return pl, nil
		}
	}
	return nil, notFound("")
}

func (q *request) getPipeline(pl *pipeline) (any, *problem) {
	return q.pipelineJSON(pl), nil
}

// latestPipeline is the newest one of the commit that a ref stands at.
func (q *request) latestPipeline() (any, *problem) {
	c, name, _ := q.project.lookup(q.str("ref"))
	for _, pl := range slices.Backward(q.project.pipelines) {
		if c != nil && pl.commit == c && pl.ref == name {
			return q.pipelineJSON(pl), nil
		}
	}
	return nil, notFound("")
}

func (q *request) createPipeline() (any, *problem) {
	ref := q.str("ref")
	if ref == "" {
		return nil, missing("ref")
	}
	c, name, isTag := q.project.lookup(ref)
	if c == nil || !isTag && q.project.branches[name] == nil {
		return nil, base("Reference not found")
	}
	level := q.project.level(q.user)
	if q.project.guard(name, isTag) > level {
		return nil, base("You do not have sufficient permission to run a pipeline on '" + name + "'. Please select a different branch or contact your administrator for assistance.")
	}
	vars, p := q.variables("variables")
	if p != nil {
		return nil, p
	}
	if len(vars) > 0 && level < q.project.VariablesRole {
		return nil, base("Insufficient permissions to set pipeline variables")
	}
	var given map[string]any
	if q.has("inputs") && !q.s.opts.NoInputs {
		var is bool
		if given, is = q.args["inputs"].(map[string]any); !is {
			return nil, invalid("inputs")
		}
	}
	pl, p := q.s.start(q.project, q.user, "api", name, isTag, c, vars, given)
	if p != nil {
		return nil, p
	}
	return q.pipelineJSON(pl), nil
}

func (q *request) variables(argument string) ([]Variable, *problem) {
	if !q.has(argument) {
		return nil, nil
	}
	list, is := q.args[argument].([]any)
	if !is {
		return nil, invalid(argument)
	}
	var vars []Variable
	for _, one := range list {
		o, _ := one.(map[string]any)
		v := Variable{Key: text(o["key"]), Value: text(o["value"]), Type: text(o["variable_type"])}
		if v.Key == "" {
			return nil, missing(argument + "[0][key]")
		}
		if v.Type == "" {
			v.Type = "env_var"
		}
		vars = append(vars, v)
	}
	return vars, nil
}

// pipelineVariables are for maintainers, and for who started the pipeline.
func (q *request) pipelineVariables(pl *pipeline) (any, *problem) {
	if q.project.level(q.user) < Maintainer && pl.user != q.user {
		return nil, forbidden()
	}
	var all []any
	for _, v := range pl.variables {
		all = append(all, object{"key": v.Key, "value": v.Value, "variable_type": v.Type, "raw": false})
	}
	return q.pages(all)
}

func (q *request) cancelPipeline(pl *pipeline) (any, *problem) {
	q.s.cancel(pl, time.Now())
	q.status = http.StatusOK
	return q.pipelineJSON(pl), nil
}

func (q *request) retryPipeline(pl *pipeline) (any, *problem) {
	for _, j := range pl.latest() {
		if j.status == "failed" || j.status == "canceled" {
			q.s.again(j, q.user, time.Now())
		}
	}
	q.s.process(pl, time.Now())
	return q.pipelineJSON(pl), nil
}

// suites are the test reports of jobs that ended.
func (p *pipeline) suites() []*job {
	return slices.DeleteFunc(p.latest(), func(j *job) bool { return len(j.Tests) == 0 || j.finished.IsZero() })
}

// sums counts the cases of a report.
func sums(jobs ...*job) (total float64, count, success, failed, skipped, broken int) {
	for _, j := range jobs {
		for _, t := range j.Tests {
			total, count = total+t.Time, count+1
			switch t.Status {
			case "failed":
				failed++
			case "skipped":
				skipped++
			case "error":
				broken++
			default:
				success++
			}
		}
	}
	return
}

func (q *request) testReport(pl *pipeline) (any, *problem) {
	count := func(jobs ...*job) object {
		total, n, success, failed, skipped, broken := sums(jobs...)
		return object{
			"total_time": total, "total_count": n, "success_count": success, "failed_count": failed, "skipped_count": skipped, "error_count": broken,
		}
	}
	var suites []any
	for _, j := range pl.suites() {
		var cases []any
		for _, t := range j.Tests {
			cases = append(cases, object{
				"status": cmp.Or(t.Status, "success"), "name": t.Name, "classname": t.Class, "file": nil, "execution_time": t.Time,
				"system_output": orNull(t.Output), "stack_trace": nil, "recent_failures": nil, "attachment_url": nil,
			})
		}
		o := count(j)
		o["name"], o["suite_error"], o["test_cases"] = j.Name, nil, filled(cases)
		suites = append(suites, o)
	}
	o := count(pl.suites()...)
	o["test_suites"] = filled(suites)
	return o, nil
}

func (q *request) testSummary(pl *pipeline) (any, *problem) {
	var suites []any
	for _, j := range pl.suites() {
		total, n, success, failed, skipped, broken := sums(j)
		suites = append(suites, object{
			"name": j.Name, "total_time": total, "total_count": n, "success_count": success, "failed_count": failed, "skipped_count": skipped,
			"error_count": broken, "build_ids": []int64{j.id}, "suite_error": nil,
		})
	}
	total, n, success, failed, skipped, broken := sums(pl.suites()...)
	return object{
		"total":       object{"time": total, "count": n, "success": success, "failed": failed, "skipped": skipped, "error": broken, "suite_error": nil},
		"test_suites": filled(suites),
	}, nil
}

func (q *request) noBridges() (any, *problem) {
	if _, p := q.thePipeline(); p != nil {
		return nil, p
	}
	return q.pages(nil)
}
