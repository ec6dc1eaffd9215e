package gitlabfake

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Definition says what a project's pipelines are made of, in the place of .gitlab-ci.yml.
// In Name, and in a job's Environment, Trace and Artifacts, $NAME, ${NAME} and
// $[[ inputs.NAME ]] stand for variables and inputs.
type Definition struct {
	Name string // of the pipelines, as workflow:name; may be empty
	// On says what starts a pipeline besides the API: "push" (to a branch), "tag" and
	// "merge_request".
	On     []string
	Inputs []Input
	Jobs   []Job // stages are those of the jobs, in this order
}

// Input is an input that the pipeline declares (docs.gitlab.com/ci/inputs). Others are refused.
type Input struct {
	Name    string
	Default any      // nil: it must be given
	Options []string // nil: anything
}

// Job is a job of a pipeline.
type Job struct {
	Name  string
	Stage string // empty: "test"
	// When is "on_success" (the same as empty), "manual", "always" or "on_failure". A manual
	// job without AllowFailure blocks the pipeline until it was played.
	When         string
	AllowFailure bool
	Only         func(Run) bool // nil: in every pipeline; it must not call the server
	Duration     time.Duration
	Hold         bool   // it runs until FinishJob ends it
	Fails        bool   // instead of success
	Reason       string // why it failed; empty: "script_failure"
	Trace        string
	Coverage     float64 // 0: none
	Tests        []TestCase
	Artifacts    map[string]string // content by path
	Environment  string            // it deploys there
}

// TestCase is one line of a test report.
type TestCase struct {
	Name   string
	Class  string
	Status string // "success" (the same as empty), "failed", "error" or "skipped"
	Time   float64
	Output string
}

// Run is what a pipeline, and a job of it, was started with.
type Run struct {
	Project   string
	Pipeline  int64
	Ref       string
	Tag       bool
	SHA       string
	Source    string // "api", "push", "merge_request_event"
	User      string // username
	Variables map[string]string
	Inputs    map[string]any
	Job       string // "" when the whole pipeline is meant
	Attempt   int    // of the job, from 1
}

// Outcome changes what becomes of a job. Zero fields leave what the definition says.
type Outcome struct {
	Status    string // "success" or "failed"
	Reason    string
	Trace     string
	Coverage  float64
	Duration  time.Duration
	Hold      bool
	Tests     []TestCase
	Artifacts map[string]string
}

// Decide lets f say what becomes of each job that begins from now on; nil: what the
// definition says. It is called with the server's lock held: it must not call the server.
func (s *Server) Decide(f func(Run) Outcome) {
	s.enter()
	defer s.leave()
	s.decide = f
}

var reference = regexp.MustCompile(`\$\[\[\s*inputs\.([A-Za-z0-9_-]+)\s*\]\]|\$\{([A-Za-z0-9_]+)\}|\$([A-Za-z0-9_]+)`)

// expand puts variables and inputs into a text.
func (r Run) expand(s string) string {
	return reference.ReplaceAllStringFunc(s, func(found string) string {
		m := reference.FindStringSubmatch(found)
		if m[1] != "" {
			return text(r.Inputs[m[1]])
		}
		switch name := m[2] + m[3]; name {
		case "CI_COMMIT_SHA":
			return r.SHA
		case "CI_COMMIT_REF_NAME":
			return r.Ref
		case "CI_COMMIT_TAG":
			if r.Tag {
				return r.Ref
			}
			return ""
		case "CI_PROJECT_PATH":
			return r.Project
		default:
			return r.Variables[name]
		}
	})
}

// inputs checks what was given against what is declared.
func (d *Definition) inputs(given map[string]any) (map[string]any, *problem) {
	all := map[string]any{}
	for _, in := range d.Inputs {
		v, found := given[in.Name]
		if !found {
			v = in.Default
		}
		if v == nil {
			return nil, base(fmt.Sprintf("`%s` input: required value has not been provided", in.Name))
		}
		if in.Options != nil && !slices.Contains(in.Options, text(v)) {
			return nil, base(fmt.Sprintf("`%s` input: `%s` cannot be used because it is not in the list of allowed options", in.Name, text(v)))
		}
		all[in.Name] = v
	}
	var unknown []string
	for name := range given {
		if _, found := all[name]; !found {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, base("unknown input arguments: " + strings.Join(unknown, ", "))
	}
	return all, nil
}

// base is how GitLab says why it makes no pipeline.
func base(message string) *problem {
	return refuse(400, object{"base": []string{message}})
}
