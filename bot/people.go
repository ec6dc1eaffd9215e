package bot

import (
	"fmt"
	"slices"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// speaker returns the id of the person with a handle in the bot's system. It is
// empty where nobody has it, and where several claim it.
func (b *Bot) speaker(p *playbooks.Policy, handle string) string {
	id := ""
	people := p.Catalog().People
	for i := range people {
		if people[i].Handles[b.o.System] != handle || handle == "" {
			continue
		}
		if id != "" {
			return ""
		}
		id = people[i].ID
	}
	return id
}

// stranger is the answer to somebody who is not in the catalog. It does not say
// what there is to see.
func (c *call) stranger() error {
	return &playbooks.Refusal{
		Rule: "known-people-only",
		Message: fmt.Sprintf("I do not know you, so nothing is allowed. In the configuration, somebody has to give you the handle %q in %q, and then say: catalog reload",
			shortened(clean(c.line.From), 60), c.line.Via),
		Who: c.policy.Who(playbooks.VerbReload, ""),
	}
}

// maySeePlace reports whether the speaker may see an environment, or any of the
// modules in it; no modules means any at all.
func (c *call) maySeePlace(environment string, modules ...string) *playbooks.Refusal {
	refusal := c.policy.May(c.line.By, playbooks.VerbView, environment)
	if refusal == nil {
		return nil
	}
	if len(modules) == 0 {
		for i := range c.policy.Catalog().Modules {
			modules = append(modules, c.policy.Catalog().Modules[i].Name)
		}
	}
	if slices.ContainsFunc(modules, func(m string) bool {
		return c.policy.May(c.line.By, playbooks.VerbView, environment, m) == nil
	}) {
		return nil
	}
	return refusal
}

// maySee reports whether the speaker may see a run: something of it, or because
// they are asked to approve it.
func (c *call) maySee(v engine.View) *playbooks.Refusal {
	book := v.Run.Forward().Book
	modules := make([]string, len(book.Modules))
	for i := range book.Modules {
		modules[i] = book.Modules[i].Name
	}
	refusal := c.maySeePlace(v.Run.Environment, modules...)
	if refusal == nil {
		return nil
	}
	for _, approval := range v.Run.Book.Approvals {
		for _, rule := range approval.Rules {
			if rule.Group != "" && c.policy.In(c.line.By, rule.Group) {
				return nil
			}
		}
	}
	return refusal
}

// whoMay lists, by name, those who may do verb to all of the modules; no modules
// means the environment as a whole.
func (c *call) whoMay(verb playbooks.Verb, environment string, modules ...string) []string {
	var names []string
	for i := range c.policy.Catalog().People {
		id := c.policy.Catalog().People[i].ID
		if c.policy.May(id, verb, environment, modules...) == nil {
			names = append(names, c.policy.Name(id))
		}
	}
	slices.Sort(names)
	return names
}
