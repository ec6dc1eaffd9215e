package bot

import (
	"context"
	"fmt"
	"slices"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// Handles is a directory of what the configuration says: Person.Handles.
type Handles struct {
	System string
	Policy func() *playbooks.Policy
}

var _ chat.Directory = Handles{}

// Person implements chat.Directory. A handle that several people claim is nobody's.
func (h Handles) Person(_ context.Context, handle string) (id, why string, err error) {
	people := h.Policy().Catalog().People
	for i := range people {
		if people[i].Handles[h.System] != handle || handle == "" {
			continue
		}
		if id != "" {
			return "", "", nil
		}
		id = people[i].ID
	}
	return id, "", nil
}

// Handle implements chat.Directory.
func (h Handles) Handle(_ context.Context, person string) (string, error) {
	if p := h.Policy().Person(person); p != nil {
		return p.Handles[h.System], nil
	}
	return "", nil
}

// stranger is the answer to somebody who is not in the catalog. It does not say
// what there is to see.
func (c *call) stranger() error {
	if c.line.Stranger != "" {
		return &playbooks.Refusal{Rule: "known-people-only", Message: c.line.Stranger, Who: c.policy.Who(playbooks.VerbReload, "")}
	}
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
	refusal := c.maySeePlace(v.Run.Environment, moduleNames(v.Run.Forward().Book.Playbook)...)
	if refusal != nil && c.isAsked(v.Run.Book.Playbook) {
		return nil
	}
	return refusal
}

// isAsked reports whether the speaker is in a group that has to approve a plan.
func (c *call) isAsked(pb *playbooks.Playbook) bool {
	for _, approval := range pb.Approvals {
		for _, rule := range approval.Rules {
			if rule.Group != "" && c.policy.In(c.line.By, rule.Group) {
				return true
			}
		}
	}
	return false
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
