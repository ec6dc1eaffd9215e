package steps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/muster-release/muster/playbooks"
)

// Ports are the outside systems that steps use. Deployers is required; a step
// of a kind whose port is missing fails with a sentence that says so.
type Ports struct {
	Deployers map[string]Deployer // by name; "" serves modules that name none
	Gates     map[string]Gater    // by kind, "soak" is answered here
	Jobs      map[string]Runner   // migrations, tests, publications, by what runs them; "" is the default
	// Tags names commits in the forge, for StepTag. Start with a tag that is there already, on that very
	// commit, has succeeded; on another commit it is refused.
	Tags   Runner
	Notify Runner // tells the environment's channels
	// Catalog returns the newest catalog; soak gates learn from it which
	// environment comes before which.
	Catalog func() *playbooks.Catalog
	// Settle is how long a deployed module may take to become healthy; 0: 30 s.
	Settle time.Duration
	// Watch is how often something that bakes or soaks is looked at; 0: 5 s.
	Watch time.Duration
}

// Runners returns what carries out each kind of step that is not the engine's own.
func (p Ports) Runners() map[playbooks.StepKind]Runner {
	if p.Settle == 0 {
		p.Settle = 30 * time.Second
	}
	if p.Watch == 0 {
		p.Watch = 5 * time.Second
	}
	deploy, jobs := routing(p.toDeployer), routing(p.toJobs)
	return map[playbooks.StepKind]Runner{
		playbooks.StepDeploy:   deploy,
		playbooks.StepCanary:   deploy,
		playbooks.StepPromote:  deploy,
		playbooks.StepRollback: deploy,
		playbooks.StepRemove:   deploy,
		playbooks.StepVerify:   looking(verifying{p}.look),
		playbooks.StepBake:     looking(baking{p}.look),
		playbooks.StepGate:     looking(gating{p}.look),
		playbooks.StepTag:      orMissing(p.Tags, "tags commits"),
		playbooks.StepMigrate:  jobs,
		playbooks.StepTest:     jobs,
		playbooks.StepPublish:  jobs,
		playbooks.StepNotify:   orMissing(p.Notify, "tells people"),
	}
}

// missing is an order that nothing is configured for.
type missing struct{ error }

func (missing) Permanent() bool { return true }
func (m missing) Unwrap() error { return m.error }

func orMissing(r Runner, what string) Runner {
	if r != nil {
		return r
	}
	return looking(func(context.Context, Order) (Report, error) {
		return Report{}, missing{fmt.Errorf("nothing is configured that %s", what)}
	})
}

// deployer finds who serves a name.
func deployer(all map[string]Deployer, name string) (Deployer, error) {
	if d := all[name]; d != nil {
		return d, nil
	}
	return nil, missing{fmt.Errorf("no deployer %q is configured", name)}
}

// routing sends each order to whoever is to carry it out.
type routing func(Order) (Runner, error)

func (r routing) Start(ctx context.Context, o Order) (Report, error) {
	to, err := r(o)
	if err != nil {
		return Report{}, err
	}
	return to.Start(ctx, o)
}

func (r routing) Look(ctx context.Context, o Order) (Report, error) {
	to, err := r(o)
	if err != nil {
		return Report{}, err
	}
	return to.Look(ctx, o)
}

func (r routing) Stop(ctx context.Context, o Order) error {
	to, err := r(o)
	if err != nil {
		return err
	}
	return to.Stop(ctx, o)
}

// toDeployer sends an order to the platform it names.
func (p Ports) toDeployer(o Order) (Runner, error) { return deployer(p.Deployers, o.Deployer) }

// toJobs sends an order to what runs the job.
func (p Ports) toJobs(o Order) (Runner, error) {
	with := o.Params[playbooks.ParamWith]
	switch to := p.Jobs[with]; {
	case to != nil:
		return to, nil
	case with == "":
		return nil, missing{errors.New("nothing is configured that runs jobs")}
	}
	return nil, missing{fmt.Errorf("nothing is configured that runs jobs with %q", with)}
}

// looking is work without an effect: starting it is looking for the first time,
// and there is nothing to stop.
type looking func(context.Context, Order) (Report, error)

func (l looking) Start(ctx context.Context, o Order) (Report, error) { return l(ctx, o) }
func (l looking) Look(ctx context.Context, o Order) (Report, error)  { return l(ctx, o) }
func (l looking) Stop(context.Context, Order) error                  { return nil }

// verifying waits until the version runs in its place and is healthy.
type verifying struct{ p Ports }

func (v verifying) look(ctx context.Context, o Order) (Report, error) {
	to, err := deployer(v.p.Deployers, o.Deployer)
	if err != nil {
		return Report{}, err
	}
	live, err := to.Live(ctx, o.Place)
	if err != nil {
		return Report{}, err
	}
	r := Report{Phase: Running, CheckAfter: v.p.Watch}
	switch {
	case live.Version != o.Version:
		r.Message = fmt.Sprintf("%s runs there, not %s", orNothing(live.Version), orNothing(o.Version))
	case live.Version != "" && !live.Healthy:
		r.Message = orWord(live.Message, "it is not healthy")
	default:
		live.Place = o.Place
		return Report{Phase: Succeeded, Message: orNothing(live.Version) + " is live and healthy", Live: &live}, nil
	}
	if time.Since(o.StartedAt) >= v.p.Settle {
		r.Phase = Failed
		r.Evidence = []playbooks.Evidence{{Name: "waited", Text: v.p.Settle.String()}}
	}
	return r, nil
}

func orNothing(version string) string { return orWord(version, "nothing") }

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

// baking watches a canary for a time and fails as soon as it is not healthy.
type baking struct{ p Ports }

func (b baking) look(ctx context.Context, o Order) (Report, error) {
	to, err := deployer(b.p.Deployers, o.Deployer)
	if err != nil {
		return Report{}, err
	}
	live, err := to.Live(ctx, o.Place)
	if err != nil {
		return Report{}, err
	}
	left := time.Until(o.StartedAt.Add(o.Bake))
	switch {
	case !live.Healthy && live.Version != "":
		return Report{Phase: Failed, Message: orWord(live.Message, "the canary is not healthy")}, nil
	case left > 0:
		until := o.StartedAt.Add(o.Bake).UTC().Format("15:04:05 MST")
		return Report{Phase: Running, Message: fmt.Sprintf("%d %% until %s", o.Share, until), CheckAfter: min(left, b.p.Watch)}, nil
	}
	return Report{Phase: Succeeded, Message: fmt.Sprintf("healthy at %d %% for %v", o.Share, o.Bake)}, nil
}

// gating asks whether a gate lets the version pass.
type gating struct{ p Ports }

func (g gating) look(ctx context.Context, o Order) (Report, error) {
	kind := o.Params[playbooks.ParamGate]
	switch kind {
	case "soak":
		return g.soak(ctx, o)
	case playbooks.GateDeparture:
		return departure(o)
	}
	gate := g.p.Gates[kind]
	if gate == nil {
		return Report{}, missing{fmt.Errorf("nothing is configured that answers gates of kind %q", kind)}
	}
	answer, err := gate.Check(ctx, GateQuery{
		Gate: playbooks.Gate{Kind: kind, Params: o.Params},
		Run:  o.Run, Environment: o.Place.Environment, Module: o.Place.Module, Version: o.Version,
	})
	return Report{Phase: answer.Phase, Message: answer.Message, CheckAfter: answer.CheckAfter, Evidence: answer.Evidence}, err
}

// departure opens at its time.
func departure(o Order) (Report, error) {
	at, err := time.Parse(time.RFC3339, o.Params[playbooks.ParamUntil])
	if err != nil {
		return Report{}, missing{fmt.Errorf("the time of the departure cannot be read: %w", err)}
	}
	if left := time.Until(at); left > 0 {
		return Report{Phase: Running, CheckAfter: left, Message: "leaves at " + stamp(at)}, nil
	}
	return Report{Phase: Succeeded, Message: "it was time at " + stamp(at)}, nil
}

// soak passes when the version has been live in the environment before, in
// every target there, for as long as the gate says.
func (g gating) soak(ctx context.Context, o Order) (Report, error) {
	catalog := g.p.Catalog()
	before := catalog.Before(o.Place.Environment)
	module := catalog.Module(o.Place.Module)
	if before == nil || module == nil {
		return Report{Phase: Succeeded, Message: "there is no environment before this one"}, nil
	}
	var since time.Time
	for _, place := range catalog.Places(before, module) {
		to, err := deployer(g.p.Deployers, module.In(before.Name).Deployer)
		if err != nil {
			return Report{}, err
		}
		live, err := to.Live(ctx, place)
		if err != nil {
			return Report{}, err
		}
		if live.Version != o.Version {
			return Report{Phase: Running, CheckAfter: g.p.Watch, Message: fmt.Sprintf("%s has %s, not %s", before.Name, orNothing(live.Version), o.Version)}, nil
		}
		if live.Since.After(since) {
			since = live.Since
		}
	}
	done := since.Add(o.Bake)
	if left := time.Until(done); left > 0 {
		return Report{Phase: Running, CheckAfter: left, Message: fmt.Sprintf("live in %s since %s, long enough at %s", before.Name, stamp(since), stamp(done))}, nil
	}
	return Report{Phase: Succeeded, Message: fmt.Sprintf("live in %s since %s", before.Name, stamp(since))}, nil
}

func stamp(t time.Time) string { return t.UTC().Format("2 Jan 15:04 MST") }
