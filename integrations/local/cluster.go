package local

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// Cluster runs modules: it is a steps.Deployer. As a cluster that is told the
// wanted state does, it takes a second order with the same key as the first one
// and does nothing. A rollout that meets a running one in the same place takes
// over, and the one before fails.
type Cluster struct {
	wire   *wire
	config func(module, version string) string

	mu       sync.Mutex
	log      *journal
	rollouts map[string]*work // by key
	places   map[playbooks.Place]*place
}

var _ steps.Deployer = (*Cluster)(nil)

// place is where a module lives: what there was when the newest rollout began,
// and that rollout.
type place struct {
	before  serving
	rollout *work // nil: none yet
}

// serving is what answers requests in a place.
type serving struct {
	version string // empty: nothing
	since   time.Time
	canary  string // a version with a share, empty: none
	share   int
}

func newCluster(w *wire, log *journal, config func(module, version string) string) *Cluster {
	c := &Cluster{wire: w, config: config, log: log, rollouts: map[string]*work{}, places: map[playbooks.Place]*place{}}
	for _, e := range log.entries {
		c.apply(e)
	}
	return c
}

// apply is the only thing that changes the state.
func (c *Cluster) apply(e Entry) {
	switch e.Kind {
	case EntrySeeded:
		c.places[e.Place] = &place{before: serving{version: e.Version, since: e.Since}}
	case EntryStarted:
		p := c.places[e.Place]
		if p == nil {
			p = &place{}
			c.places[e.Place] = p
		}
		p.before = p.at(e.Time)
		if p.rollout != nil {
			cause := fmt.Sprintf("superseded by the %s of %s", e.Action, versionOf(e))
			if e.Action == playbooks.StepRollback {
				cause = "superseded: cancelled by the rollback to " + e.Version
			}
			p.rollout.end(e.Time, cause)
		}
		p.rollout = &work{Entry: e}
		c.rollouts[e.Key] = p.rollout
	case EntryStopped:
		if r := c.rollouts[e.Key]; r != nil {
			r.end(e.Time, "stopped")
		}
	}
}

// record appends e and applies it.
func (c *Cluster) record(e Entry) error {
	e, err := c.log.append(e)
	if err == nil {
		c.apply(e)
	}
	return err
}

// at is what serves at time now.
func (p *place) at(now time.Time) serving {
	s, r := p.before, p.rollout
	if r == nil || r.at(now).phase != steps.Succeeded {
		return s
	}
	if r.Action == playbooks.StepCanary {
		s.canary, s.share = r.Version, r.Share
		return s
	}
	return serving{version: r.Version, since: r.Time.Add(r.Takes)}
}

func versionOf(e Entry) string {
	if e.Version == "" {
		return e.Place.Module
	}
	return e.Version
}

// Seed makes a version live in a place that the cluster knows nothing of yet;
// elsewhere it does nothing, so a world may be seeded each time it is opened.
func (c *Cluster) Seed(p playbooks.Place, version string, since time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.places[p] != nil {
		return nil
	}
	if err := c.record(Entry{Kind: EntrySeeded, Place: p, Version: version, Since: since.UTC()}); err != nil {
		return fmt.Errorf("cluster: seed %q: %w", p.Module, err)
	}
	return nil
}

// Start begins a rollout. See steps.Runner.
func (c *Cluster) Start(ctx context.Context, o steps.Order) (steps.Report, error) {
	return order(ctx, c.wire, "cluster", "Start", o, func() (steps.Report, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		e, err := c.wire.begin(o, rollouts)
		if err != nil {
			return steps.Report{}, err
		}
		if c.rollouts[o.Key] != nil {
			e.Kind, e.Takes, e.Fault = EntryDuplicate, 0, ""
		}
		if err := c.record(e); err != nil {
			return steps.Report{}, err
		}
		return c.rollouts[o.Key].rolloutReport(time.Now()), nil
	})
}

// Look finds a rollout by its key. See steps.Runner.
func (c *Cluster) Look(ctx context.Context, o steps.Order) (steps.Report, error) {
	return order(ctx, c.wire, "cluster", "Look", o, func() (steps.Report, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		r := c.rollouts[o.Key]
		if r == nil {
			return steps.Report{Phase: steps.Absent, Message: "the cluster has never seen this order"}, nil
		}
		return r.rolloutReport(time.Now()), nil
	})
}

// Stop freezes a running rollout: what is new already stays, the old version
// goes on serving. It is not an error if nothing runs.
func (c *Cluster) Stop(ctx context.Context, o steps.Order) error {
	_, err := order(ctx, c.wire, "cluster", "Stop", o, func() (steps.Report, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		r := c.rollouts[o.Key]
		if r == nil || r.at(time.Now()).phase != steps.Running {
			return steps.Report{}, nil
		}
		return steps.Report{}, c.record(Entry{Kind: EntryStopped, Key: o.Key})
	})
	return err
}

// Live says what serves in a place. Until a rollout has succeeded that is the
// version before; what the rollout or canary does stands in the message.
func (c *Cluster) Live(ctx context.Context, at playbooks.Place) (playbooks.Live, error) {
	return call(ctx, c.wire, Call{System: "cluster", Method: "Live", Key: at.Module}, func() (playbooks.Live, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		live := playbooks.Live{Place: at}
		p := c.places[at]
		if p == nil {
			return live, nil
		}
		now := time.Now()
		s := p.at(now)
		live.Version, live.Since, live.Healthy = s.version, s.since, s.version != ""
		if s.version != "" {
			live.Config = c.config(at.Module, s.version)
		}
		if s.canary != "" {
			live.Message = fmt.Sprintf("canary %s has %d %%", s.canary, s.share)
		}
		if r := p.rollout; r != nil {
			c.judge(&live, r, now)
		}
		return live, nil
	})
}

// judge adds what the newest rollout means for a place.
func (c *Cluster) judge(live *playbooks.Live, r *work, now time.Time) {
	st := r.at(now)
	if st.phase != steps.Succeeded {
		live.Message = r.rolloutReport(now).Message
	}
	f := c.wire.fault(r.Place.Module, r.Action)
	isSick := r.Fault == Unhealthy || isForward(r.Action) && f != nil && f.Kind == Unhealthy
	if !isSick || st.done == 0 {
		return
	}
	live.Healthy = false
	if r.Action == playbooks.StepCanary {
		live.Message = fmt.Sprintf("canary %s at %d %%: 7.4 %% of its requests fail with HTTP 503, 0.1 %% before", r.Version, r.Share)
	} else {
		live.Message = fmt.Sprintf("%s is not healthy: HTTP 503 on /healthz of %d of %d replicas", versionOf(r.Entry), st.done, r.Replicas)
	}
}

// rolloutReport says in the cluster's words where a rollout stands.
func (w *work) rolloutReport(now time.Time) steps.Report {
	st := w.at(now)
	r := steps.Report{Phase: st.phase, Progress: st.done, Total: w.Replicas}
	what := versionOf(w.Entry)
	if w.Action == playbooks.StepCanary {
		what = fmt.Sprintf("%s at %d %%", what, w.Share)
	}
	ready := fmt.Sprintf("%d of %d replicas ready", st.done, w.Replicas)
	if w.Action == playbooks.StepRemove {
		ready = fmt.Sprintf("%d of %d replicas removed", st.done, w.Replicas)
	}
	switch {
	case st.phase == steps.Running:
		r.Message = what + ": " + ready
		r.CheckAfter = st.next
	case st.phase == steps.Succeeded:
		r.Message = what + ": " + ready
	case w.cause != "":
		r.Message = fmt.Sprintf("%s: %s, with %s", what, w.cause, ready)
	default:
		r.Message = fmt.Sprintf("%s: no progress, with %s; one container restarts again and again", what, ready)
	}
	if st.phase == steps.Failed && w.Fault != "" {
		r.Evidence = []playbooks.Evidence{w.logs(now)}
	}
	return r
}

// Journal returns what happened to the cluster, oldest first.
func (c *Cluster) Journal() []Entry { return c.log.all() }
