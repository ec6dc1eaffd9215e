package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// preflight collects the facts once more, now that the locks keep them still,
// and compiles again with the same catalog and the same versions. Where something else
// comes out, the run goes on with that, and what changed is asked again.
//
// It runs outside the loop and touches nothing of the run but what never changes.
func (r *runner) preflight(ctx context.Context, o steps.Order) (steps.Report, error) {
	run, err := r.e.record.load(ctx, r.id)
	if err != nil {
		return steps.Report{}, err
	}
	if frozen, err := r.frozen(ctx, run); frozen != "" || err != nil {
		return steps.Report{Phase: steps.Running, Message: frozen, CheckAfter: 5 * r.e.o.Timing.Poll}, err
	}
	if run.Book.RollbackOf != nil {
		return r.unchanged(ctx, run)
	}
	catalog, err := r.e.record.catalog(ctx, run.Book.Digest)
	if err != nil {
		return steps.Report{}, err
	}
	request := playbooks.Request{Environment: run.Environment, Reason: run.Request.Reason, NotBefore: run.Request.NotBefore}
	for _, m := range run.Book.Modules {
		request.Modules = append(request.Modules, playbooks.ModuleRef{Name: m.Name, Version: m.Version})
	}
	facts, err := r.e.facts(ctx, catalog, request)
	if err != nil {
		return steps.Report{}, err
	}
	pb, err := playbooks.Compile(catalog, request, facts)
	if err != nil {
		return steps.Report{Phase: steps.Failed, Message: "the release cannot be planned any more: " + err.Error()}, nil
	}
	if pb.Digest == run.Book.Digest {
		return steps.Report{Phase: steps.Succeeded, Message: "nothing has changed since the plan"}, nil
	}
	pb.Request = run.Book.Request
	r.e.describe(ctx, catalog, pb)
	r.keep(adopt{from: run.Book.Digest, attempt: o.Attempt}, pb)
	changed := playbooks.Diff(run.Book.Playbook, pb).String()
	return steps.Report{Phase: steps.Running, Message: "the world has changed since the plan:\n" + changed}, nil
}

// frozen says why the run's modules may not be touched now, if so.
func (r *runner) frozen(ctx context.Context, run *playbooks.Run) (string, error) {
	if run.Override != "" || run.Book.RollbackOf != nil {
		return "", nil
	}
	message := ""
	err := r.space.view(ctx, func(env *playbooks.EnvironmentState) {
		for i := range env.Freezes {
			f := &env.Freezes[i]
			if f.Active(time.Now()) && (f.Module == "" || run.Book.Planned(f.Module) != nil) {
				message = fmt.Sprintf("waits: %s is frozen by %s: %s", strings.TrimSpace(f.Module+" "+env.Name), r.e.Policy().Name(f.By), f.Reason)
			}
		}
	})
	return message, err
}

// unchanged checks that what is to go back is still what was released: going
// back over somebody else's newer version would undo their work.
func (r *runner) unchanged(ctx context.Context, run *playbooks.Run) (steps.Report, error) {
	request := playbooks.Request{Environment: run.Environment}
	for _, m := range run.Book.Modules {
		request.Modules = append(request.Modules, playbooks.ModuleRef{Name: m.Name, Version: m.Version})
	}
	facts, err := r.e.facts(ctx, r.e.Policy().Catalog(), request)
	if err != nil {
		return steps.Report{}, err
	}
	var moved []string
	for i := range run.Book.Steps {
		s := &run.Book.Steps[i]
		if s.Kind != playbooks.StepRollback && s.Kind != playbooks.StepRemove {
			continue
		}
		for _, live := range facts.Live {
			if live.Module == s.Module && live.Target == s.Target && live.Environment == run.Environment && live.Version != s.From && live.Version != s.Version {
				moved = append(moved, fmt.Sprintf("%s is at %s, not at %s", s.Module, live.Version, s.From))
			}
		}
	}
	if len(moved) > 0 {
		return steps.Report{Phase: steps.Failed, Message: "somebody has released since: " + strings.Join(moved, ", ")}, nil
	}
	return steps.Report{Phase: steps.Succeeded, Message: "what goes back is what was released"}, nil
}
