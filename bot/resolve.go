package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// maxOpen is how many open runs are looked at to find the one that was meant.
const maxOpen = 50

// environment finds the environment that a word names.
func (c *call) environment(w word) (*playbooks.Environment, error) {
	if w.text == "" {
		return nil, c.misused("Which environment? There is %s.", enumerate(c.environments(), 8, "and"))
	}
	if env := c.policy.Environment(w.text); env != nil {
		return env, nil
	}
	return nil, c.misspelt("environment", w, c.environments())
}

// environments returns the names of those the speaker may see.
func (c *call) environments() []string {
	var names []string
	for i := range c.policy.Catalog().Environments {
		if name := c.policy.Catalog().Environments[i].Name; c.maySeePlace(name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// modules returns the names of those the speaker may see anywhere.
func (c *call) modules() []string {
	var names []string
	for i := range c.policy.Catalog().Modules {
		if name := c.policy.Catalog().Modules[i].Name; c.maySeeModule(name) {
			names = append(names, name)
		}
	}
	return names
}

func (c *call) maySeeModule(name string) bool {
	return slices.ContainsFunc(c.policy.Catalog().Environments, func(e playbooks.Environment) bool {
		return c.maySeePlace(e.Name, name) == nil
	})
}

// module finds the module that a word names, if the speaker may see it.
func (c *call) module(w word) (*playbooks.Module, error) {
	m := c.policy.Catalog().Module(w.text)
	if m == nil {
		return nil, c.misspelt("module", w, c.modules())
	}
	if !c.maySeeModule(m.Name) {
		for i := range c.policy.Catalog().Environments {
			if refusal := c.policy.May(c.line.By, playbooks.VerbView, c.policy.Catalog().Environments[i].Name, m.Name); refusal != nil {
				return nil, refusal
			}
		}
	}
	return m, nil
}

// view shows fn a run, if the speaker may see it.
func (c *call) view(ctx context.Context, run string, fn func(engine.View) error) error {
	return c.b.o.Engine.View(ctx, run, func(v engine.View) error {
		if refusal := c.maySee(v); refusal != nil {
			return refusal
		}
		return fn(v)
	})
}

// named returns the run that the next words name, and else the one that the
// line's thread is about. Empty: neither.
func (c *call) named(ctx context.Context) (string, error) {
	w, found := c.args.number()
	if !found {
		return c.line.Run, nil
	}
	err := c.view(ctx, w.text, func(engine.View) error { return nil })
	if errors.Is(err, engine.ErrNoRun) {
		u := c.misspelt("run", w, c.b.o.Engine.OpenRuns())
		u.err = err
		if len(u.try) == 0 {
			u.try = []string{"history"}
		}
		return "", u
	}
	return w.text, err
}

// need returns the run that is named, and asks which one is meant if none is:
// for what must not be done to the wrong one.
func (c *call) need(ctx context.Context) (string, error) {
	run, err := c.named(ctx)
	if run != "" || err != nil {
		return run, err
	}
	open, err := c.open(ctx)
	if err != nil {
		return "", err
	}
	return "", c.which(open)
}

// meant returns the run that is named, or else the only open one that fits. None
// is what is said where several are open and none of them fits.
func (c *call) meant(ctx context.Context, none string, fits func(engine.View) bool) (string, error) {
	run, err := c.named(ctx)
	if run != "" || err != nil {
		return run, err
	}
	open, err := c.open(ctx)
	if err != nil {
		return "", err
	}
	var fitting []candidate
	for _, o := range open {
		err := c.view(ctx, o.run, func(v engine.View) error {
			if fits(v) {
				fitting = append(fitting, o)
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	switch {
	case len(fitting) == 1:
		return fitting[0].run, nil
	case len(fitting) > 1 || len(open) == 0:
		return "", c.which(fitting)
	case len(open) == 1:
		return open[0].run, nil // the rules say why it does not fit
	}
	u := &unclear{text: none}
	for _, o := range open[:min(len(open), maxOffers)] {
		u.items = append(u.items, o.item)
		u.try = append(u.try, "why "+o.run)
	}
	return "", u
}

// candidate is an open run that a line could be about.
type candidate struct {
	run  string
	plan playbooks.Digest
	item chat.Item
}

// open returns the open runs that the speaker may see, the newest first.
func (c *call) open(ctx context.Context) ([]candidate, error) {
	ids := c.b.o.Engine.OpenRuns()
	slices.Reverse(ids)
	var open []candidate
	for _, id := range ids[:min(len(ids), maxOpen)] {
		err := c.view(ctx, id, func(v engine.View) error {
			open = append(open, candidate{id, v.Run.Book.Digest, runItem(v)})
			return nil
		})
		var refusal *playbooks.Refusal
		if err != nil && !errors.As(err, &refusal) {
			return nil, err
		}
	}
	return open, nil
}

// which asks which of several runs is meant.
func (c *call) which(open []candidate) error {
	if len(open) == 0 {
		return nothingUnderWay()
	}
	u := &unclear{text: fmt.Sprintf("Which run? %d are open.", len(open))}
	if len(open) == 1 {
		u.text = "Which run? Say its number."
	}
	verb := c.phrase.words[0]
	for _, o := range open[:min(len(open), maxOffers)] {
		u.items = append(u.items, o.item)
		line := c.phrase.with(verb, verb.text+" "+o.run)
		if c.command.name == "approve" {
			line = fmt.Sprintf("approve %s %s", o.run, o.plan.Short()) // what is listed, and nothing else
		}
		u.try = append(u.try, line)
	}
	return u
}

// nothingUnderWay is the answer to a line that was understood well, and is about a run
// when there is none.
func nothingUnderWay() *playbooks.Refusal {
	return &playbooks.Refusal{Rule: "something-under-way", Message: "nothing is under way, so nothing was changed", Try: []string{"history"}}
}

// runItem is a run in a list.
func runItem(v engine.View) chat.Item {
	done, total := v.Run.Counts()
	return chat.Item{
		Symbol: symbolOf(v.Run),
		Text:   fmt.Sprintf("%s %s: %s", v.Run.ID, v.Run.Environment, moduleMoves(v.Run.Book.Playbook, 2)),
		Detail: fmt.Sprintf("%s, %d of %d steps", statusOf(v.Run), done, total),
	}
}

func symbolOf(r *playbooks.Run) chat.Symbol {
	switch r.Status() {
	case playbooks.Status(playbooks.Succeeded):
		return chat.SymbolDone
	case playbooks.Status(playbooks.RolledBack), playbooks.StatusReturning:
		return chat.SymbolUndone
	case playbooks.StatusRunning:
		return chat.SymbolRunning
	case playbooks.StatusWaiting, playbooks.StatusGated, playbooks.StatusQueued, playbooks.StatusPaused:
		return chat.SymbolWaiting
	}
	return chat.SymbolFailed
}

// step finds the step that a word names: by its ID, or by its module where only
// one of the likely steps is that module's.
func (c *call) step(r *playbooks.Run, w word, likely []*playbooks.Step) (string, error) {
	if s := r.Book.Lookup(w.text); s != nil {
		return s.ID, nil
	}
	var fits []string
	for _, s := range likely {
		if s.Module == w.text {
			fits = append(fits, s.ID)
		}
	}
	if len(fits) == 1 {
		return fits[0], nil
	}
	if len(fits) == 0 {
		for i := range r.Book.Steps {
			if s := &r.Book.Steps[i]; s.Module == w.text {
				fits = append(fits, s.ID)
			}
		}
	}
	if len(fits) > 0 {
		u := &unclear{text: fmt.Sprintf("Which step of %s? %s.", w.text, enumerate(fits, 8, "or"))}
		for _, id := range fits {
			u.try = append(u.try, c.phrase.with(w, id))
		}
		return "", u
	}
	var ids []string
	for i := range r.Book.Steps {
		ids = append(ids, r.Book.Steps[i].ID)
	}
	return "", c.misspelt("step of run "+r.ID+" called", w, ids)
}
