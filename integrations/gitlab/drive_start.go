package gitlab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

const (
	// keyName is the variable, or input, that says which order a pipeline is for.
	keyName = "MUSTER_KEY"
	// versionName is the variable that says which version a pipeline delivers where that does not
	// follow from what it runs for.
	versionName = "MUSTER_VERSION"
	// wayKept is how long it is remembered what a project lets pipelines be started with.
	wayKept = time.Hour
)

// work is an order, made out.
type work struct {
	steps.Order
	module  *playbooks.Module
	project string
	at      spot   // the version's
	ref     string // what the pipeline runs for
	named   bool   // the configuration names ref, so it need not be the version's commit
	job     string // to play; empty: a new pipeline
	inputs  map[string]string
	vars    map[string]string
}

// work makes out what an order asks for.
func (d driver) work(ctx context.Context, o steps.Order) (*work, error) {
	m, project, err := d.g.module(o.Place.Module)
	if err != nil {
		return nil, err
	}
	w := &work{Order: o, module: m, project: project, inputs: map[string]string{}, vars: map[string]string{}}
	version := o.Version
	if o.Action == playbooks.StepRemove {
		if o.Params["remove-job"] == "" {
			return nil, refuse("remove %s: its delivery names no remove-job, so nothing is known that takes it away", m.Name)
		}
		version = o.From // it is taken away by what brought it
		w.inputs["action"] = "stop"
	}
	if version == "" {
		return nil, refuse("%s %s: the order names no version", o.Action, m.Name)
	}
	if w.at, err = d.g.locate(ctx, m, project, version, o.Params[playbooks.ParamCommit]); err != nil {
		return nil, err
	}
	fill := d.templates(w, version)
	for name, value := range o.Params {
		if input, is := strings.CutPrefix(name, "inputs."); is && input != "" {
			w.inputs[input] = fill.Replace(value)
		} else if variable, is := strings.CutPrefix(name, "vars."); is && variable != "" {
			w.vars[variable] = fill.Replace(value)
		}
	}
	if o.Action == playbooks.StepCanary || o.Action == playbooks.StepPromote {
		w.inputs["SHARE"] = strconv.Itoa(o.Share)
	}
	w.ref, w.job = w.at.ref, fill.Replace(o.Params["job"])
	if ref := o.Params["ref"]; ref != "" {
		w.ref, w.named = fill.Replace(ref), true
	}
	if o.Action == playbooks.StepRemove {
		w.job = "" // that one brings it
	}
	if w.ref == "" && w.job == "" {
		p, err := d.g.readProject(ctx, project)
		if err != nil {
			return nil, err
		}
		w.ref = p.DefaultBranch
	}
	return w, nil
}

func (d driver) templates(w *work, version string) *strings.Replacer {
	o := w.Order
	return strings.NewReplacer("{version}", version, "{from}", o.From, "{commit}", w.at.commit, "{environment}", o.Place.Environment, "{target}", o.Place.Target,
		"{module}", o.Place.Module, "{run}", o.Run, "{artifact}", o.Artifact, "{share}", strconv.Itoa(o.Share))
}

// way is what a project lets pipelines be started with, as its refusals taught.
type way struct {
	noVariables bool              // nobody with this token's role may set variables
	noKey       bool              // there is no input MUSTER_KEY
	kinds       map[string]string // inputs that are not texts: "number", "boolean" or "array"
	learned     time.Time
}

func (d driver) way(project string) way {
	g := d.g
	g.out.mu.Lock()
	defer g.out.mu.Unlock()
	w := g.out.ways[project]
	if time.Since(w.learned) > wayKept {
		return way{}
	}
	w.kinds = maps.Clone(w.kinds)
	return w
}

func (d driver) remember(project string, w way) {
	g := d.g
	g.out.mu.Lock()
	defer g.out.mu.Unlock()
	if g.out.ways == nil {
		g.out.ways = make(map[string]way)
	}
	w.learned = time.Now()
	g.out.ways[project] = w
}

// marked reports whether pipelines that are started this way can be told apart.
func (y way) marked() bool { return !y.noVariables || !y.noKey }

// options is the request that a way makes of the work.
func (w *work) options(y way, hasInputs bool) (*gl.CreatePipelineOptions, error) {
	o := &gl.CreatePipelineOptions{Ref: gl.Ptr(w.ref)}
	vars, inputs := maps.Clone(w.vars), w.inputs
	if !hasInputs {
		maps.Copy(vars, inputs)
		inputs = nil
	}
	if y.noVariables && len(vars) > 0 {
		return nil, refuse("start a pipeline of %q: %s would be variables, and the project lets this token set none; make them inputs, or see the minimum role to use pipeline variables under Settings, CI/CD, Variables",
			w.project, some(slices.Collect(maps.Keys(vars))))
	}
	if !y.noVariables {
		vars[keyName] = w.Key
		if w.named {
			vars[versionName] = w.Version
		}
		var list []*gl.PipelineVariableOptions
		for _, name := range slices.Sorted(maps.Keys(vars)) {
			list = append(list, &gl.PipelineVariableOptions{Key: gl.Ptr(name), Value: gl.Ptr(vars[name])})
		}
		o.Variables = &list
	}
	if hasInputs && (len(inputs) > 0 || y.noVariables && !y.noKey) {
		o.Inputs = make(gl.PipelineInputsOption)
		for name, value := range inputs {
			typed, err := y.typed(name, value)
			if err != nil {
				return nil, refuse("start a pipeline of %q: %v", w.project, err)
			}
			o.Inputs[name] = typed
		}
		if y.noVariables && !y.noKey {
			o.Inputs[keyName] = gl.NewPipelineInputValue(w.Key)
		}
	}
	return o, nil
}

// typed gives an input the type that the pipeline wants: https://docs.gitlab.com/ci/inputs/#input-types
func (y way) typed(name, value string) (gl.PipelineInputValueInterface, error) {
	switch y.kinds[name] {
	case "number":
		if i, err := strconv.ParseInt(value, 10, 64); err == nil {
			return gl.NewPipelineInputValue(i), nil
		}
		f, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("input %s wants a number, not %q", name, value)
		}
		return gl.NewPipelineInputValue(f), nil
	case "boolean":
		b, err := strconv.ParseBool(value)
		if err != nil {
			return nil, fmt.Errorf("input %s wants true or false, not %q", name, value)
		}
		return gl.NewPipelineInputValue(b), nil
	case "array":
		parts := strings.Split(value, ",")
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		return gl.NewPipelineInputValue(parts), nil
	}
	return gl.NewPipelineInputValue(value), nil
}

var (
	wrongKind = regexp.MustCompile("`([^`]+)` input: provided value is not an? (number|boolean|array)")
	unknowns  = regexp.MustCompile(`(?i)unknown input arguments?: ([A-Za-z0-9_, -]+)`)
)

// after is what a refusal teaches: another way that may be let through. The texts are those of
// GitLab's own checks, https://docs.gitlab.com/ci/variables/#restrict-pipeline-variables and
// https://docs.gitlab.com/ci/inputs/. A refused request made no pipeline.
func (y way) after(refusal string) (way, bool) {
	next := y
	next.kinds = maps.Clone(y.kinds)
	learned := false
	if !y.noVariables && strings.Contains(refusal, "Insufficient permissions to set pipeline variables") {
		next.noVariables, learned = true, true
	}
	if m := unknowns.FindStringSubmatch(refusal); m != nil && y.noVariables && !y.noKey {
		for name := range strings.SplitSeq(m[1], ",") {
			if strings.TrimSpace(name) == keyName {
				next.noKey, learned = true, true
			}
		}
	}
	for _, m := range wrongKind.FindAllStringSubmatch(refusal, -1) {
		if next.kinds == nil {
			next.kinds = make(map[string]string)
		}
		if next.kinds[m[1]] == "" {
			next.kinds[m[1]], learned = m[2], true
		}
	}
	return next, learned
}

// hasInputs is what is sent before GitLab is too old for it: it would leave out inputs without a word.
var inputsSince = release{17, 10}

// create starts a new pipeline.
func (d driver) create(ctx context.Context, w *work) (steps.Report, error) {
	hasInputs := true
	if len(w.inputs) > 0 {
		server, err := d.g.server(ctx)
		if err != nil {
			return steps.Report{}, unsent(err)
		}
		hasInputs = !server.before(inputsSince)
	}
	if !w.named && !w.at.tag {
		if err := d.stillThere(ctx, w); err != nil {
			return steps.Report{}, unsent(err)
		}
	}
	y := d.way(w.project)
	remembered := !y.learned.IsZero()
	var p *gl.Pipeline
	for {
		o, err := w.options(y, hasInputs)
		if err != nil && remembered {
			y, remembered = way{}, false // somebody may have changed the project's settings since
			continue
		}
		if err != nil {
			return steps.Report{}, err
		}
		if err := inTime(w.Order); err != nil {
			return steps.Report{}, err
		}
		p, err = ask(ctx, d.g, fmt.Sprintf("start a pipeline for %q of %q", w.ref, w.project), func(with ...gl.RequestOptionFunc) (*gl.Pipeline, *gl.Response, error) {
			return d.g.api.Pipelines.CreatePipeline(w.project, o, with...)
		})
		if err == nil {
			break
		}
		if !isPermanent(err) {
			return steps.Report{}, err
		}
		next, learned := y.after(err.Error()) // each round learns something, and there is little to learn
		if !learned {
			return steps.Report{}, err
		}
		y, remembered = next, false
		d.remember(w.project, y)
	}
	if !remembered {
		d.remember(w.project, y)
	}
	d.g.out.claims.put(claim(w.project, p.ID), w.Key)
	b := begun{Project: w.project, Pipeline: p.ID, Astray: w.astray(p.SHA)}
	if b.Astray != "" {
		// The branch moved on between the look and the call. Where this is not answered, follow
		// cancels it.
		_ = d.g.cancel(ctx, w.project, p.ID)
	}
	return steps.Report{
		Phase: steps.Running, Message: fmt.Sprintf("pipeline %d of %s is started", p.ID, w.project), CheckAfter: followEvery, Status: b.status(),
		Evidence: []playbooks.Evidence{{Name: "pipeline", Text: fmt.Sprint(p.ID), Link: p.WebURL}},
	}, nil
}

// astray returns the commit that a pipeline delivers in the place of the version's, empty if it
// is the right one.
func (w *work) astray(sha string) string {
	if w.named || sha == w.at.commit {
		return ""
	}
	return sha
}

// stillThere makes sure that the branch stands at the version's commit: pipelines run for refs,
// not for commits.
func (d driver) stillThere(ctx context.Context, w *work) error {
	head, err := ask(ctx, d.g, fmt.Sprintf("read branch %q of %q", w.ref, w.project), func(with ...gl.RequestOptionFunc) (*gl.Branch, *gl.Response, error) {
		return d.g.api.Branches.GetBranch(w.project, w.ref, with...)
	})
	if isGone(err) {
		return refuse("start a pipeline of %q: there is no tag %q and no branch %q; tag the version, or name a ref in its delivery", w.project, w.module.TagPrefix+w.Version, w.ref)
	}
	if err != nil {
		return err
	}
	if head.Commit == nil || head.Commit.ID != w.at.commit {
		is := "nothing"
		if head.Commit != nil {
			is = head.Commit.ID
		}
		return refuse("start a pipeline of %q: branch %q is at commit %s by now, and %s %s is commit %s; tag the version, or name a ref in its delivery",
			w.project, w.ref, is, w.module.Name, w.Version, w.at.commit)
	}
	return nil
}

func claim(project string, pipeline int64) string { return fmt.Sprintf("%s#%d", project, pipeline) }

// release is a server's version, as far as it matters.
type release [2]int

func (r release) before(other release) bool { return slices.Compare(r[:], other[:]) < 0 }

func (r release) String() string { return fmt.Sprintf("%d.%d", r[0], r[1]) }

func parseRelease(version string) (release, error) {
	var r release
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return r, errors.New("it is no version")
	}
	for i := range r {
		n, err := strconv.Atoi(parts[i])
		if err != nil || n < 0 {
			return release{}, errors.New("it is no version")
		}
		r[i] = n
	}
	return r, nil
}

// serverKept is how long the server's version is remembered.
const serverKept = time.Hour

// server is the version of the GitLab that is talked to.
func (g *GitLab) server(ctx context.Context) (release, error) {
	g.out.mu.Lock()
	known, asked := g.out.release, g.out.asked
	g.out.mu.Unlock()
	if known != (release{}) && time.Since(asked) < serverKept {
		return known, nil
	}
	meta, err := ask(ctx, g, "read the server's version", func(with ...gl.RequestOptionFunc) (*gl.Metadata, *gl.Response, error) {
		return g.api.Metadata.GetMetadata(with...)
	})
	if err != nil {
		return release{}, err
	}
	r, err := parseRelease(meta.Version)
	if err != nil {
		return release{}, fmt.Errorf("gitlab: read the server's version %q: %w", meta.Version, err)
	}
	g.out.mu.Lock()
	defer g.out.mu.Unlock()
	g.out.release, g.out.asked = r, time.Now()
	return r, nil
}
