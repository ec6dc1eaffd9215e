package gitlabfake

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// What people do besides calling the API. Where a project, person, ref or thing that is
// named is not there these methods panic: a test that names it wrongly is wrong. An empty
// username is "root".

// misuse is why a method of this file panics.
type misuse string

func (m misuse) Error() string { return "gitlabfake: " + string(m) }

func wrong(format string, args ...any) misuse { return misuse(fmt.Sprintf(format, args...)) }

// Commit is what somebody pushes.
type Commit struct {
	Branch  string // empty: the default branch; a new one begins at the default branch
	Message string // empty: "Change"
	User    string
	Files   map[string]string // content by path
	Remove  []string
	At      time.Time // when it was made; zero: now
}

// Push commits to a branch, pushes, and returns the commit's ID. Nobody is asked whether
// they may.
func (s *Server) Push(project string, c Commit) string {
	s.enter()
	defer s.leave()
	p := s.mustProject(project)
	u := s.mustUser(c.User)
	branch := cmp.Or(c.Branch, p.DefaultBranch)
	parent := p.branches[branch]
	if parent == nil {
		parent = p.branches[p.DefaultBranch]
	}
	files := maps.Clone(parent.files)
	maps.Copy(files, c.Files)
	for _, name := range c.Remove {
		delete(files, name)
	}
	if c.At.IsZero() {
		c.At = time.Now()
	}
	made := p.commit(u, cmp.Or(c.Message, "Change"), []*commit{parent}, files, c.At)
	s.pushBranch(p, u, branch, made)
	return made.id
}

// PushTag makes a tag at a ref and pushes it; with a message it is annotated.
func (s *Server) PushTag(project, username, name, ref, message string) {
	s.enter()
	defer s.leave()
	p := s.mustProject(project)
	c := p.resolve(ref)
	if c == nil || p.tags[name] != nil {
		panic(wrong("%q cannot be tagged as %q in %q", ref, name, project))
	}
	s.pushTag(p, s.mustUser(username), name, message, c)
}

// DeleteTag takes a tag away.
func (s *Server) DeleteTag(project, username, name string) {
	s.enter()
	defer s.leave()
	p := s.mustProject(project)
	t := p.tags[name]
	if t == nil {
		panic(wrong("there is no tag %q in %q", name, project))
	}
	delete(p.tags, name)
	s.tagPushed(p, s.mustUser(username), t, true)
}

// Head returns the ID of the commit that a ref names, "" if there is none.
func (s *Server) Head(project, ref string) string {
	s.enter()
	defer s.leave()
	if c := s.mustProject(project).resolve(ref); c != nil {
		return c.id
	}
	return ""
}

// File returns a file's content at a ref, and whether it is there.
func (s *Server) File(project, ref, name string) (string, bool) {
	s.enter()
	defer s.leave()
	c := s.mustProject(project).resolve(ref)
	if c == nil {
		return "", false
	}
	content, found := c.files[name]
	return content, found
}

// Tags returns the names of a project's tags, sorted.
func (s *Server) Tags(project string) []string {
	s.enter()
	defer s.leave()
	return sortedKeys(s.mustProject(project).tags)
}

// MergeRequest is what somebody proposes.
type MergeRequest struct {
	Title       string
	Description string
	User        string
	Source      string // branch
	Target      string // empty: the default branch
}

// AddMergeRequest opens a merge request and returns its number in the project.
func (s *Server) AddMergeRequest(project string, m MergeRequest) int64 {
	s.enter()
	defer s.leave()
	p := s.mustProject(project)
	target := cmp.Or(m.Target, p.DefaultBranch)
	if p.branches[m.Source] == nil || p.branches[target] == nil {
		panic(wrong("there is no branch %q or no branch %q in %q", m.Source, target, project))
	}
	return s.addMerge(p, s.mustUser(m.User), m.Source, target, cmp.Or(m.Title, m.Source), m.Description).iid
}

// Approve approves a merge request.
func (s *Server) Approve(project string, iid int64, username string) {
	s.enter()
	defer s.leave()
	if m, u := s.mustMerge(project, iid), s.mustUser(username); !slices.Contains(m.approvals, u) {
		s.approve(m, u)
	}
}

// Merge merges a merge request and returns the ID of the merge commit.
func (s *Server) Merge(project string, iid int64, username string) string {
	s.enter()
	defer s.leave()
	m := s.mustMerge(project, iid)
	if m.state != "opened" {
		panic(wrong("%s!%d is %s", project, iid, m.state))
	}
	s.accept(m, s.mustUser(username), "")
	return m.mergeCommit.id
}

// Comment writes a note on a merge request and returns the ID of its discussion. With a
// discussion it answers there.
func (s *Server) Comment(project string, iid int64, username, body, discussionID string) string {
	s.enter()
	defer s.leave()
	m := s.mustMerge(project, iid)
	var d *discussion
	for _, one := range m.discussions {
		if one.id == discussionID {
			d = one
		}
	}
	if discussionID != "" && d == nil {
		panic(wrong("there is no discussion %q on %s!%d", discussionID, project, iid))
	}
	d, _ = s.say(m, d, s.mustUser(username), body, d == nil)
	return d.id
}

// Note is a note on a merge request.
type Note struct {
	ID         int64
	Discussion string
	User       string
	Body       string
	Edited     bool
}

// Notes returns the notes on a merge request, discussion by discussion.
func (s *Server) Notes(project string, iid int64) []Note {
	s.enter()
	defer s.leave()
	var all []Note
	for _, d := range s.mustMerge(project, iid).discussions {
		for _, n := range d.notes {
			all = append(all, Note{n.id, d.id, n.author.Username, n.body, !n.updated.Equal(n.created)})
		}
	}
	return all
}

func (s *Server) mustMerge(project string, iid int64) *merge {
	for _, m := range s.mustProject(project).merges {
		if m.iid == iid {
			return m
		}
	}
	panic(wrong("there is no merge request %s!%d", project, iid))
}

// StartPipeline starts a pipeline as somebody would from the page, with source "web", and
// returns its ID, or GitLab's reason why there is none.
func (s *Server) StartPipeline(project, username, ref string, variables map[string]string, inputs map[string]any) (int64, error) {
	s.enter()
	defer s.leave()
	p := s.mustProject(project)
	c, name, isTag := p.lookup(ref)
	if c == nil {
		panic(wrong("there is no ref %q in %q", ref, project))
	}
	var vars []Variable
	for _, key := range sortedKeys(variables) {
		vars = append(vars, Variable{key, variables[key], "env_var"})
	}
	pl, bad := s.start(p, s.mustUser(username), "web", name, isTag, c, vars, inputs)
	if bad != nil {
		return 0, fmt.Errorf("gitlabfake: start pipeline of %q: %s", project, text(bad.body))
	}
	return pl.id, nil
}

// FinishJob ends a job that runs or waits for a runner, with "success", "failed" or
// "canceled". The newest job of the pipeline with that name is meant.
func (s *Server) FinishJob(pipelineID int64, name, status string) {
	s.enter()
	defer s.leave()
	j := s.mustJob(pipelineID, name)
	if j.status == "pending" {
		s.begin(j, time.Now())
	}
	if j.status != "running" {
		panic(wrong("job %q of pipeline %d is %s", name, pipelineID, j.status))
	}
	s.finish(j, status, time.Now())
}

// PlayJob plays a manual job, as somebody would from the page.
func (s *Server) PlayJob(pipelineID int64, name, username string) {
	s.enter()
	defer s.leave()
	j := s.mustJob(pipelineID, name)
	if j.status != "manual" {
		panic(wrong("job %q of pipeline %d is %s", name, pipelineID, j.status))
	}
	j.user = s.mustUser(username)
	s.enqueue(j, time.Now())
	s.process(j.pipeline, time.Now())
}

// RetryJob retries a job that ended.
func (s *Server) RetryJob(pipelineID int64, name, username string) {
	s.enter()
	defer s.leave()
	j := s.mustJob(pipelineID, name)
	if !ended(j.status) || j.status == "skipped" {
		panic(wrong("job %q of pipeline %d is %s", name, pipelineID, j.status))
	}
	s.again(j, s.mustUser(username), time.Now())
	s.process(j.pipeline, time.Now())
}

func (s *Server) mustJob(pipelineID int64, name string) *job {
	for _, p := range s.projects {
		for _, j := range slices.Backward(p.jobs) {
			if j.pipeline.id == pipelineID && j.Name == name {
				return j
			}
		}
	}
	panic(wrong("there is no job %q in pipeline %d", name, pipelineID))
}

// Pipeline is a pipeline as it stands.
type Pipeline struct {
	Run
	Name   string
	Status string
	Jobs   []JobState // retried ones too
}

// JobState is a job as it stands.
type JobState struct {
	ID      int64
	Name    string
	Status  string
	Attempt int
}

// Pipelines returns the pipelines of a project, oldest first.
func (s *Server) Pipelines(project string) []Pipeline {
	s.enter()
	defer s.leave()
	var all []Pipeline
	for _, pl := range s.mustProject(project).pipelines {
		one := Pipeline{Run: pl.run(), Name: pl.name, Status: pl.status}
		for _, j := range pl.jobs {
			one.Jobs = append(one.Jobs, JobState{j.id, j.Name, j.status, j.attempt})
		}
		all = append(all, one)
	}
	return all
}

// Release is a release as it stands.
type Release struct {
	Tag, Name, Description, SHA string
	Links                       map[string]string // URL by name
}

// Releases returns the releases of a project in the order they were made.
func (s *Server) Releases(project string) []Release {
	s.enter()
	defer s.leave()
	var all []Release
	for _, r := range s.mustProject(project).releases {
		one := Release{r.tag, r.name, r.description, r.commit.id, map[string]string{}}
		for _, l := range r.links {
			one.Links[l.name] = l.url
		}
		all = append(all, one)
	}
	return all
}

// Deployment is a deployment as it stands.
type Deployment struct {
	ID                            int64
	Environment, Ref, SHA, Status string
	User                          string
	Job                           string // name; "" if it was recorded through the API
}

// Deployments returns the deployments of a project, oldest first.
func (s *Server) Deployments(project string) []Deployment {
	s.enter()
	defer s.leave()
	var all []Deployment
	for _, d := range s.mustProject(project).deploys {
		one := Deployment{d.id, d.env.name, d.ref, d.commit.id, d.status, d.user.Username, ""}
		if d.job != nil {
			one.Job = d.job.Name
		}
		all = append(all, one)
	}
	return all
}

// Deploy records a deployment as if a job had made it: for what is live before a test begins.
func (s *Server) Deploy(project, username, env, ref, status string) int64 {
	s.enter()
	defer s.leave()
	p := s.mustProject(project)
	c, name, isTag := p.lookup(ref)
	if c == nil {
		panic(wrong("there is no ref %q in %q", ref, project))
	}
	now := time.Now()
	return s.addDeployment(p, s.needEnvironment(p, env, now), name, isTag, c, status, s.mustUser(username), nil, now).id
}

// Status is what an app said of a commit.
type Status struct {
	SHA, Ref, Name, State, Target, Description string
	Pipeline                                   int64
}

// Statuses returns what was said of commits through the API, oldest first; of a name only
// the latest.
func (s *Server) Statuses(project string) []Status {
	s.enter()
	defer s.leave()
	var all []Status
	for _, st := range s.mustProject(project).statuses {
		if !st.retried {
			all = append(all, Status{st.pipeline.commit.id, st.ref, st.name, st.status, st.target, st.description, st.pipeline.id})
		}
	}
	return all
}
