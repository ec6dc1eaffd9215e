package gitlabfake

import (
	"maps"
	"slices"
	"time"
)

type pipeline struct {
	id, iid   int64
	project   *project
	def       *Definition
	name      string
	ref       string
	tag       bool
	commit    *commit
	source    string
	status    string
	user      *user
	created   time.Time
	updated   time.Time
	started   time.Time
	finished  time.Time
	variables []Variable
	inputs    map[string]any
	jobs      []*job // retried ones too
	statuses  []*commitStatus
	merge     *merge
}

// Variable is a variable of a pipeline.
type Variable struct{ Key, Value, Type string }

type job struct {
	Job
	id       int64
	pipeline *pipeline
	status   string
	reason   string
	created  time.Time
	queued   time.Time
	started  time.Time
	finished time.Time
	attempt  int
	retried  bool
	user     *user
	deploy   *deployment
}

func (p *pipeline) run() Run {
	r := Run{
		Project: p.project.Path, Pipeline: p.id, Ref: p.ref, Tag: p.tag, SHA: p.commit.id, Source: p.source, User: p.user.Username,
		Variables: map[string]string{}, Inputs: maps.Clone(p.inputs),
	}
	for _, v := range p.variables {
		r.Variables[v.Key] = v.Value
	}
	return r
}

// start makes a pipeline for a ref and lets its first jobs go.
func (s *Server) start(p *project, u *user, source, ref string, isTag bool, c *commit, vars []Variable, given map[string]any) (*pipeline, *problem) {
	if p.Pipeline == nil {
		return nil, base("Missing CI config file")
	}
	inputs, bad := p.Pipeline.inputs(given)
	if bad != nil {
		return nil, bad
	}
	now := time.Now()
	pl := &pipeline{
		project: p, def: p.Pipeline, ref: ref, tag: isTag, commit: c, source: source, status: "created", user: u,
		created: now, updated: now, variables: vars, inputs: inputs,
	}
	run := pl.run()
	pl.name = run.expand(p.Pipeline.Name)
	var chosen []Job
	for _, j := range p.Pipeline.Jobs {
		if j.Stage == "" {
			j.Stage = "test"
		}
		run.Job = j.Name
		if j.Only == nil || j.Only(run) {
			chosen = append(chosen, j)
		}
	}
	if len(chosen) == 0 {
		return nil, base("Pipeline will not run for the selected trigger. The rules configuration prevented any jobs from being added to the pipeline.")
	}
	pl.id, pl.iid = s.id("pipeline"), p.iid("pipeline")
	p.pipelines = append(p.pipelines, pl)
	p.active = now
	s.pipelineChanged(pl, now)
	for _, j := range chosen {
		s.addJob(pl, j, 1, u, now)
	}
	s.process(pl, now)
	return pl, nil
}

func (s *Server) addJob(pl *pipeline, def Job, attempt int, u *user, now time.Time) *job {
	j := &job{Job: def, id: s.id("job"), pipeline: pl, created: now, attempt: attempt, user: u}
	pl.jobs = append(pl.jobs, j)
	pl.project.jobs = append(pl.project.jobs, j)
	s.set(j, "created", now)
	return j
}

// latest are the jobs that no retry replaced.
func (p *pipeline) latest() []*job {
	return slices.DeleteFunc(slices.Clone(p.jobs), func(j *job) bool { return j.retried })
}

func (p *pipeline) stages() []string {
	var all []string
	for _, j := range p.jobs {
		if !slices.Contains(all, j.Stage) {
			all = append(all, j.Stage)
		}
	}
	return all
}

func ended(status string) bool {
	return status == "success" || status == "failed" || status == "canceled" || status == "skipped"
}

// process lets begin what may begin, stage by stage, and works out the pipeline's status.
func (s *Server) process(pl *pipeline, now time.Time) {
	failed := false
	for _, stage := range pl.stages() {
		through := true
		for _, j := range pl.latest() {
			if j.Stage != stage {
				continue
			}
			if j.status == "created" {
				runs := !failed
				switch j.When {
				case "always":
					runs = true
				case "on_failure":
					runs = failed
				}
				switch {
				case !runs:
					s.set(j, "skipped", now)
				case j.When == "manual":
					s.set(j, "manual", now)
				default:
					s.enqueue(j, now)
				}
			}
			if !ended(j.status) && (j.status != "manual" || !j.AllowFailure) {
				through = false
			}
		}
		if !through {
			break
		}
		for _, j := range pl.latest() {
			if j.Stage == stage && (j.status == "failed" || j.status == "canceled") && !j.AllowFailure {
				failed = true
			}
		}
	}
	s.settleStatus(pl, now)
}

// settleStatus gives the pipeline the status that follows from its jobs and from the commit
// statuses that others put on it, which count as jobs do.
func (s *Server) settleStatus(pl *pipeline, now time.Time) {
	type part struct {
		status string
		mayFail,
		manual bool
	}
	var parts []part
	for _, j := range pl.latest() {
		parts = append(parts, part{j.status, j.AllowFailure, j.When == "manual"})
	}
	for _, st := range pl.statuses {
		if !st.retried {
			parts = append(parts, part{status: st.status})
		}
	}
	count := map[string]int{}
	for _, p := range parts {
		status := p.status
		if p.mayFail && (status == "failed" || status == "canceled") {
			status = "success"
		} else if p.mayFail && status == "manual" {
			status = "ignored"
		}
		count[status]++
	}
	only := func(statuses ...string) bool {
		n := 0
		for _, one := range statuses {
			n += count[one]
		}
		return n == len(parts)
	}
	status := "failed"
	switch {
	case only("skipped", "ignored"):
		status = "skipped"
	case only("success", "skipped", "ignored"):
		status = "success"
	case only("created", "ignored"):
		status = "created"
	case only("canceled", "success", "skipped", "ignored"):
		status = "canceled"
	case only("pending", "created", "skipped", "ignored"):
		status = "pending"
	case count["running"]+count["pending"] > 0:
		status = "running"
	case count["manual"] > 0:
		status = "manual"
	case count["created"] > 0:
		status = "running"
	}
	if status == pl.status {
		return
	}
	pl.status, pl.updated = status, now
	if status == "running" && pl.started.IsZero() {
		pl.started = now
	}
	pl.finished = time.Time{}
	if ended(status) {
		pl.finished = now
	}
	s.pipelineChanged(pl, now)
}

// set changes a job's status.
func (s *Server) set(j *job, status string, now time.Time) {
	j.status = status
	switch status {
	case "pending":
		j.queued = now
	case "running":
		j.started = now
	case "success", "failed", "canceled":
		j.finished = now
	}
	j.pipeline.updated = now
	s.jobChanged(j, now)
	s.touch()
}

// enqueue lets a job wait for a runner.
func (s *Server) enqueue(j *job, now time.Time) {
	s.set(j, "pending", now)
	s.agenda.add(now.Add(s.opts.Queue), func(now time.Time) {
		if j.status == "pending" {
			s.begin(j, now)
		}
	})
}

// begin runs a job; what becomes of it is decided now.
func (s *Server) begin(j *job, now time.Time) {
	run := j.pipeline.run()
	run.Job, run.Attempt = j.Name, j.attempt
	if s.decide != nil {
		o := s.decide(run)
		if o.Status != "" {
			j.Fails = o.Status == "failed"
		}
		if o.Reason != "" {
			j.Reason = o.Reason
		}
		if o.Trace != "" {
			j.Trace = o.Trace
		}
		if o.Coverage != 0 {
			j.Coverage = o.Coverage
		}
		if o.Duration != 0 {
			j.Duration = o.Duration
		}
		if o.Tests != nil {
			j.Tests = o.Tests
		}
		if o.Artifacts != nil {
			j.Artifacts = o.Artifacts
		}
		j.Hold = j.Hold || o.Hold
	}
	j.Trace = run.expand(j.Trace)
	artifacts := map[string]string{}
	for name, content := range j.Artifacts {
		artifacts[name] = run.expand(content)
	}
	j.Artifacts = artifacts
	s.set(j, "running", now)
	if j.Environment != "" {
		e := s.needEnvironment(j.pipeline.project, run.expand(j.Environment), now)
		j.deploy = s.addDeployment(j.pipeline.project, e, j.pipeline.ref, j.pipeline.tag, j.pipeline.commit, "running", j.user, j, now)
	}
	s.settleStatus(j.pipeline, now)
	if j.Hold {
		return
	}
	s.agenda.add(now.Add(j.Duration), func(now time.Time) {
		if j.status == "running" {
			status := "success"
			if j.Fails {
				status = "failed"
			}
			s.finish(j, status, now)
		}
	})
}

// finish ends a job and goes on with the pipeline.
func (s *Server) finish(j *job, status string, now time.Time) {
	if status == "failed" {
		j.reason = j.Reason
		if j.reason == "" {
			j.reason = "script_failure"
		}
	}
	s.set(j, status, now)
	if j.deploy != nil {
		s.setDeployment(j.deploy, status, now)
	}
	s.process(j.pipeline, now)
}

// cancel ends what has not ended. With others' statuses nothing happens.
func (s *Server) cancel(pl *pipeline, now time.Time) {
	for _, j := range pl.latest() {
		if !ended(j.status) && j.status != "manual" {
			s.cancelJob(j, now)
		}
	}
	s.settleStatus(pl, now)
}

func (s *Server) cancelJob(j *job, now time.Time) {
	s.set(j, "canceled", now)
	if j.deploy != nil {
		s.setDeployment(j.deploy, "canceled", now)
	}
}

// again replaces a job with a new one that waits for a runner; what was skipped after it
// may begin again.
func (s *Server) again(j *job, u *user, now time.Time) *job {
	j.retried = true
	def := j.Job
	for _, one := range j.pipeline.def.Jobs {
		if one.Name == j.Name {
			def = one
		}
	}
	def.Stage = j.Stage
	next := s.addJob(j.pipeline, def, j.attempt+1, u, now)
	s.enqueue(next, now)
	for _, later := range j.pipeline.latest() {
		if later.status == "skipped" {
			s.set(later, "created", now)
		}
	}
	return next
}
