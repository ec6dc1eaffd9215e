package local

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// Forge builds modules and runs jobs for them: it is steps.Builds, the
// steps.Gater of kind "pipeline", and the steps.Runner of migrate, test and
// publish. A job is found by its key, but a second order with the same key is a
// second job.
type Forge struct {
	wire *wire

	mu     sync.Mutex
	log    *journal
	builds map[string][]playbooks.BuildState // by module, oldest first
	jobs   map[string]*work                  // by key, the newest of each
}

var (
	_ steps.Builds = (*Forge)(nil)
	_ steps.Gater  = (*Forge)(nil)
	_ steps.Runner = (*Forge)(nil)
)

func newForge(w *wire, log *journal) *Forge {
	f := &Forge{wire: w, log: log, builds: map[string][]playbooks.BuildState{}, jobs: map[string]*work{}}
	for _, e := range log.entries {
		f.apply(e)
	}
	return f
}

// apply is the only thing that changes the state.
func (f *Forge) apply(e Entry) {
	switch e.Kind {
	case EntryBuilt:
		all := f.builds[e.Build.Module]
		if i := indexBuild(all, e.Build.Version); i >= 0 {
			all[i] = *e.Build
			return
		}
		f.builds[e.Build.Module] = append(all, *e.Build)
	case EntryStarted:
		f.jobs[e.Key] = &work{Entry: e}
	case EntryStopped:
		if j := f.jobs[e.Key]; j != nil {
			j.end(e.Time, "cancelled")
		}
	}
}

// record appends e and applies it.
func (f *Forge) record(e Entry) error {
	e, err := f.log.append(e)
	if err == nil {
		f.apply(e)
	}
	return err
}

func indexBuild(all []playbooks.BuildState, version string) int {
	return slices.IndexFunc(all, func(b playbooks.BuildState) bool { return b.Version == version })
}

// SetBuild says how the pipeline of a version stands. A version that is new to
// the forge becomes the module's newest. Without a link the build gets one.
// Saying again what is known does nothing.
func (f *Forge) SetBuild(b playbooks.BuildState) error {
	if !slices.Contains([]string{"passed", "failed", "running"}, b.State) {
		return fmt.Errorf("forge: set build %q of %q: state %q is not one of passed, failed, running", b.Version, b.Module, b.State)
	}
	if b.Link == "" {
		b.Link = "local://forge/" + b.Module + "/pipelines/" + b.Version
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.builds[b.Module]
	if i := indexBuild(all, b.Version); i >= 0 && all[i] == b {
		return nil
	}
	if err := f.record(Entry{Kind: EntryBuilt, Build: &b}); err != nil {
		return fmt.Errorf("forge: set build %q of %q: %w", b.Version, b.Module, err)
	}
	return nil
}

func (f *Forge) build(module, version string) playbooks.BuildState {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.builds[module]
	if i := indexBuild(all, version); i >= 0 {
		return all[i]
	}
	return playbooks.BuildState{Module: module, Version: version, State: "missing"}
}

// config is the digest of the configuration that a version carries.
func (f *Forge) config(module, version string) string { return f.build(module, version).Config }

// Build implements steps.Builds.
func (f *Forge) Build(ctx context.Context, module, version string) (playbooks.BuildState, error) {
	return call(ctx, f.wire, Call{System: "forge", Method: "Build", Key: module + "@" + version}, func() (playbooks.BuildState, error) {
		return f.build(module, version), nil
	})
}

// Versions implements steps.Builds. A limit of 0 lists all.
func (f *Forge) Versions(ctx context.Context, module string, limit int) ([]playbooks.BuildState, error) {
	return call(ctx, f.wire, Call{System: "forge", Method: "Versions", Key: module}, func() ([]playbooks.BuildState, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		all := slices.Clone(f.builds[module])
		slices.Reverse(all)
		if limit > 0 && len(all) > limit {
			all = all[:limit]
		}
		return all, nil
	})
}

// Check answers for gates of kind "pipeline": the version's pipeline must have
// passed.
func (f *Forge) Check(ctx context.Context, q steps.GateQuery) (steps.GateAnswer, error) {
	return call(ctx, f.wire, Call{System: "forge", Method: "Check", Key: q.Module + "@" + q.Version}, func() (steps.GateAnswer, error) {
		if q.Gate.Kind != "pipeline" {
			return steps.GateAnswer{}, refuse("gates of kind %q are not for the forge, only pipeline", q.Gate.Kind)
		}
		b := f.build(q.Module, q.Version)
		a := steps.GateAnswer{Message: fmt.Sprintf("the pipeline of %s %s has %s", b.Module, b.Version, b.State)}
		switch b.State {
		case "passed":
			a.Phase = steps.Succeeded
		case "running":
			a.Phase = steps.Running
			a.Message = fmt.Sprintf("the pipeline of %s %s is running", b.Module, b.Version)
			a.CheckAfter = f.wire.scaled(time.Second)
		case "failed":
			a.Phase = steps.Failed
		default:
			a.Phase = steps.Failed
			a.Message = fmt.Sprintf("%s %s was never built", b.Module, b.Version)
		}
		if b.Link != "" {
			a.Evidence = []playbooks.Evidence{{Name: "pipeline", Text: b.State, Link: b.Link}}
		}
		return a, nil
	})
}

// Start runs a job. See steps.Runner.
func (f *Forge) Start(ctx context.Context, o steps.Order) (steps.Report, error) {
	return order(ctx, f.wire, "forge", "Start", o, func() (steps.Report, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		e, err := f.wire.begin(o, jobs)
		if err != nil {
			return steps.Report{}, err
		}
		if err := f.record(e); err != nil {
			return steps.Report{}, err
		}
		return f.jobs[o.Key].jobReport(time.Now()), nil
	})
}

// Look finds the newest job with the order's key. See steps.Runner.
func (f *Forge) Look(ctx context.Context, o steps.Order) (steps.Report, error) {
	return order(ctx, f.wire, "forge", "Look", o, func() (steps.Report, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		j := f.jobs[o.Key]
		if j == nil {
			return steps.Report{Phase: steps.Absent, Message: "the forge has no such job"}, nil
		}
		return j.jobReport(time.Now()), nil
	})
}

// Stop cancels a running job. It is not an error if none runs.
func (f *Forge) Stop(ctx context.Context, o steps.Order) error {
	_, err := order(ctx, f.wire, "forge", "Stop", o, func() (steps.Report, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		j := f.jobs[o.Key]
		if j == nil || j.at(time.Now()).phase != steps.Running {
			return steps.Report{}, nil
		}
		return steps.Report{}, f.record(Entry{Kind: EntryStopped, Key: o.Key})
	})
	return err
}

// jobReport says in the forge's words where a job stands.
func (w *work) jobReport(now time.Time) steps.Report {
	st := w.at(now)
	r := steps.Report{Phase: st.phase, Progress: st.done, Total: w.Replicas}
	link := fmt.Sprintf("local://forge/%s/jobs/%d", w.Place.Module, w.Seq)
	what := fmt.Sprintf("%s %s", w.Action, w.Version)
	switch {
	case st.phase == steps.Running:
		r.Message = fmt.Sprintf("%s: %d of %d stages done", what, st.done, w.Replicas)
		r.CheckAfter = st.next
		return r
	case st.phase == steps.Succeeded && w.Fault == Unhealthy:
		r.Phase = steps.Failed
		r.Message = what + ": ended, but its result is not healthy"
		r.Evidence = []playbooks.Evidence{w.logs(now)}
	case st.phase == steps.Succeeded:
		r.Message = what + ": passed"
		r.Evidence = []playbooks.Evidence{{Name: "log", Text: fmt.Sprintf("%d of %d stages passed", st.done, w.Replicas)}}
	case w.cause != "":
		r.Message = fmt.Sprintf("%s: %s after %d of %d stages", what, w.cause, st.done, w.Replicas)
		r.Evidence = []playbooks.Evidence{{Name: "log", Text: r.Message}}
	default:
		r.Message = fmt.Sprintf("%s: failed in stage %d of %d", what, st.done+1, w.Replicas)
		r.Evidence = []playbooks.Evidence{w.logs(now)}
	}
	r.Evidence[0].Link = link
	return r
}

// Journal returns what happened to the forge, oldest first.
func (f *Forge) Journal() []Entry { return f.log.all() }
