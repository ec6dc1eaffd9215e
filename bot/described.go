package bot

import (
	"context"
	"time"

	"github.com/muster-release/muster/playbooks"
)

const (
	// describeAgain is how often is asked again what a plan brings, where forge or tracker could not
	// say it when the plan was made; describeRarely, from a while after the end of its run.
	describeAgain  = time.Minute
	describeRarely = 10 * time.Minute
	// describeFor is for how long after the end of a run that is done.
	describeFor = 24 * time.Hour
)

// describeEvery is how long it is until the next question about a run.
func describeEvery(p *picture) time.Duration {
	if p.over && time.Since(p.ended) > describeRarely {
		return describeRarely
	}
	return describeAgain
}

// described is what a desk has found out later of what a plan brings.
type described struct {
	digest  playbooks.Digest
	changes map[string]*playbooks.Changes // by module; those that lack nothing
	asked   time.Time
}

// news is what the modules of a plan bring, by module, as far as that was found out only after
// the plan was made. A plan itself never changes.
func (r *Reporters) news(ctx context.Context, d *desk, p *picture) map[string]*playbooks.Changes {
	if r.o.Describe == nil {
		return nil
	}
	if d.described.digest != p.forward.Digest {
		d.described = described{digest: p.forward.Digest, changes: make(map[string]*playbooks.Changes)}
	}
	found := &d.described
	lacking := &playbooks.Playbook{Environment: p.forward.Environment}
	for i := range p.forward.Modules {
		m := p.forward.Modules[i]
		if m.Changes != nil && m.Changes.Unknown != "" && found.changes[m.Name] == nil {
			m.Changes = nil
			lacking.Modules = append(lacking.Modules, m)
		}
	}
	if len(lacking.Modules) == 0 {
		return found.changes
	}
	if wait := time.Until(found.asked.Add(describeEvery(p))); wait > 0 {
		d.stillLacking(p, wait)
		return found.changes
	}
	found.asked = time.Now()
	call, cancel := calling(ctx)
	defer cancel()
	r.o.Describe(call, p.policy.Catalog(), lacking)
	known := 0
	for i := range lacking.Modules {
		if m := &lacking.Modules[i]; m.Changes != nil && m.Changes.Unknown == "" {
			found.changes[m.Name] = m.Changes
			known++
		}
	}
	if known < len(lacking.Modules) {
		d.stillLacking(p, describeEvery(p))
	}
	return found.changes
}

// stillLacking lets a desk look again, for a while also after its run has ended.
func (d *desk) stillLacking(p *picture, wait time.Duration) {
	if !p.over || time.Since(p.ended) < describeFor {
		d.open = true
		d.wait(time.Now().Add(wait))
	}
}

// withNews is a playbook with what was found out later of what it brings.
func withNews(pb *playbooks.Playbook, news map[string]*playbooks.Changes) *playbooks.Playbook {
	if len(news) == 0 {
		return pb
	}
	told := *pb
	told.Modules = append([]playbooks.PlannedModule(nil), pb.Modules...)
	for i := range told.Modules {
		if c := news[told.Modules[i].Name]; c != nil {
			told.Modules[i].Changes = c
		}
	}
	return &told
}
