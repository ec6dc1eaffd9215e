package bot

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// picture is a run at one moment, as far as reports need it. It shares nothing
// with the engine that changes.
type picture struct {
	calendar
	run         string
	environment string
	by          string
	rule        string // that spoke for by; empty: none did
	len         uint64
	over        bool
	outcome     playbooks.Outcome
	ended       time.Time
	ownRollback bool
	touched     bool
	policy      *playbooks.Policy
	forward     *playbooks.Book      // what is, or was, being released
	books       []*playbooks.Book    // the playbooks that it has followed, the present one first
	wanted      map[string]wanted    // by approval step that is open
	since       map[string]time.Time // by module: since when it has the version that it has
	halted      string               // why nobody is asked though an approval is open
	gates       []string             // of a run that is over: what each gate said, with what that rests on
	moving      bool                 // steps with an effect run
	atRest      bool
}

// lookAt takes a picture of a run, and what draw makes of it at the same moment.
func lookAt[T any](ctx context.Context, r *Reporters, run string, draw func(engine.View) T) (*picture, T, error) {
	type look struct {
		p     *picture
		drawn T
	}
	// When ctx ends, View returns while the engine may still be about to look; what
	// comes of that stays in the channel.
	looks := make(chan look, 1)
	err := r.o.Engine.View(ctx, run, func(v engine.View) error {
		looks <- look{r.picture(v), draw(v)}
		return nil
	})
	if err != nil {
		var none T
		return nil, none, err
	}
	l := <-looks
	return l.p, l.drawn, nil
}

func (r *Reporters) picture(v engine.View) *picture {
	run := v.Run
	p := &picture{
		calendar: calendar{r.o.Zone, run.Created}, run: run.ID, environment: run.Environment, by: run.By, rule: run.Rule, len: run.Len,
		over: run.Over(), outcome: run.Outcome, ended: run.Ended, ownRollback: ownRollback(run), touched: run.Touched(),
		policy: v.Policy, forward: run.Forward().Book, books: []*playbooks.Book{run.Book}, wanted: make(map[string]wanted), since: make(map[string]time.Time),
		moving: run.Effects() > 0, atRest: run.Quiet() && v.Trouble == nil,
	}
	if run.Over() {
		p.gates = gateWords(run.Forward())
	}
	for _, chapter := range run.Earlier {
		p.books = append(p.books, chapter.Book)
	}
	if len(run.OpenApprovals()) > 0 {
		for place, live := range v.Environment.Live {
			if live.Since.After(p.since[place.Module]) {
				p.since[place.Module] = live.Since
			}
		}
	}
	for _, a := range run.OpenApprovals() {
		if w := wantedNow(v, a); len(w.missing) > 0 {
			p.wanted[a.Step] = w
		}
	}
	switch {
	case run.Aborting != nil:
		p.halted = fmt.Sprintf("%s aborted the run at %s", v.Policy.Name(run.Aborting.By), p.clock(run.Aborting.At))
	case run.WantsBack:
		p.halted = "The release goes back as soon as nothing runs any more"
	}
	return p
}

// gateWords are what the gates of a release said.
func gateWords(c playbooks.Chapter) []string {
	var all []string
	for i := range c.Book.Steps {
		s, p := &c.Book.Steps[i], &c.Steps[i]
		if s.Kind != playbooks.StepGate || p.Attempt == 0 && p.State != playbooks.SkippedStep {
			continue
		}
		words := fmt.Sprintf("%s: %s", stepWords(s), p.State)
		if message := onOneLine(p.Message); message != "" {
			words += ", " + strings.TrimRight(message, ".")
		}
		for _, e := range p.Evidence {
			what := onOneLine(strings.TrimSpace(e.Name + " " + e.Text))
			if e.Link != "" {
				what += " " + e.Link
			}
			words += "; " + shortened(what, 200)
		}
		all = append(all, words)
	}
	return all
}

// step finds a step of any playbook that the run has followed.
func (p *picture) step(id string) *playbooks.Step {
	for _, b := range p.books {
		if s := b.Lookup(id); s != nil {
			return s
		}
	}
	return nil
}

// asked says what an approval step asks for.
func (p *picture) asked(step string) string {
	for _, b := range p.books {
		if a := b.Approval(step); a != nil {
			return a.Title
		}
	}
	return step
}

// stepWords says what a step does; of one that no playbook has, its ID.
func (p *picture) stepWords(id string) string {
	if s := p.step(id); s != nil {
		return stepWords(s)
	}
	return id
}
