package playbooks

import (
	"fmt"
	"slices"
	"strings"
)

// Change is how one playbook differs from another.
type Change struct {
	From, To    Digest
	Environment [2]string // only where they differ
	Added       []string  // modules, with their version
	Removed     []string
	Versions    []VersionChange
	// Steps by ID. A changed step has other content, or waits for other steps.
	StepsAdded, StepsRemoved, StepsChanged []string
	// AskAgain are the modules for which an approval that was given to the first
	// playbook does not hold in the second.
	AskAgain []string
	// Offline says that one of the two does not know what is live, so that the
	// versions that are replaced were not compared; see DiffPlans.
	Offline bool

	same bool
}

// VersionChange is a module with another version than before.
type VersionChange struct{ Module, From, To string }

// Same reports whether the two playbooks do the same in the same order.
func (c *Change) Same() bool { return c.same }

// DiffPlans is Diff for whoever compares two plans by eye, of which one may have
// been made offline. Where only one of the two knows what is live, every step
// differs by the version that it replaces, and nothing would be learnt: then both are
// compared as if both were made offline.
func DiffPlans(old, new *Playbook) *Change {
	if old.knowsLive() == new.knowsLive() {
		return Diff(old, new)
	}
	a, errOld := old.withoutLive()
	b, errNew := new.withoutLive()
	if errOld != nil || errNew != nil { // they were not sealed
		return Diff(old, new)
	}
	c := Diff(a, b)
	c.From, c.To, c.Offline = old.Digest, new.Digest, true
	return c
}

// knowsLive reports whether the playbook says anywhere what it replaces.
func (pb *Playbook) knowsLive() bool {
	return slices.ContainsFunc(pb.Modules, func(m PlannedModule) bool { return len(m.From) > 0 }) ||
		slices.ContainsFunc(pb.Steps, func(s Step) bool { return s.From != "" })
}

// withoutLive returns the playbook as it would be without that.
func (pb *Playbook) withoutLive() (*Playbook, error) {
	offline := *pb
	offline.Modules, offline.Steps = slices.Clone(pb.Modules), slices.Clone(pb.Steps)
	for i := range offline.Modules {
		offline.Modules[i].From = nil
	}
	for i := range offline.Steps {
		offline.Steps[i].From = ""
	}
	return &offline, offline.seal()
}

// Diff compares two sealed playbooks.
func Diff(old, new *Playbook) *Change {
	c := &Change{From: old.Digest, To: new.Digest, same: old.Digest == new.Digest}
	if old.Environment != new.Environment {
		c.Environment = [2]string{old.Environment, new.Environment}
	}
	c.modules(old, new)
	before := make(map[string]*Step, len(old.Steps))
	for i := range old.Steps {
		before[old.Steps[i].ID] = &old.Steps[i]
	}
	again := make(map[string]bool)
	for i := range new.Steps {
		s := &new.Steps[i]
		was := before[s.ID]
		delete(before, s.ID)
		switch {
		case was == nil:
			c.StepsAdded = append(c.StepsAdded, s.ID)
		case was.Digest != s.Digest || !slices.EqualFunc(was.Needs, s.Needs, func(a, b Edge) bool { return a.Step == b.Step && a.Order == b.Order }):
			c.StepsChanged = append(c.StepsChanged, s.ID)
		}
		if s.ApprovedBy != "" && (was == nil || was.Merkle != s.Merkle || was.ApprovedBy != s.ApprovedBy) {
			again[s.Module] = true
		}
	}
	for i := range old.Steps {
		if id := old.Steps[i].ID; before[id] != nil {
			c.StepsRemoved = append(c.StepsRemoved, id)
		}
	}
	for i := range new.Modules {
		if again[new.Modules[i].Name] {
			c.AskAgain = append(c.AskAgain, new.Modules[i].Name)
		}
	}
	return c
}

// modules compares the two lists, which are sorted by name.
func (c *Change) modules(old, new *Playbook) {
	a, b := old.Modules, new.Modules
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Name < b[0].Name:
			c.Removed = append(c.Removed, a[0].Name+" "+a[0].Version)
			a = a[1:]
		case len(a) == 0 || b[0].Name < a[0].Name:
			c.Added = append(c.Added, b[0].Name+" "+b[0].Version)
			b = b[1:]
		default:
			if a[0].Version != b[0].Version {
				c.Versions = append(c.Versions, VersionChange{a[0].Name, a[0].Version, b[0].Version})
			}
			a, b = a[1:], b[1:]
		}
	}
}

// String is the change for people, one line for each kind of difference.
func (c *Change) String() string {
	const offline = "One of the two does not know what is live, so the versions that are replaced are not compared.\n"
	switch {
	case c.Same() && c.Offline:
		return fmt.Sprintf("no change: playbook %s does what playbook %s does\n%s", c.To.Short(), c.From.Short(), offline)
	case c.Same():
		return "no change: playbook " + c.To.Short() + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "playbook %s → %s\n", c.From.Short(), c.To.Short())
	if c.Offline {
		b.WriteString(offline)
	}
	if c.Environment != [2]string{} {
		fmt.Fprintf(&b, "  to       %s, was to %s\n", planClean(c.Environment[1]), planClean(c.Environment[0]))
	}
	line := func(word string, names []string) {
		if len(names) > 0 {
			fmt.Fprintf(&b, "  %-8s %s\n", word, planClean(planList(names, 8, "and")))
		}
	}
	line("added", c.Added)
	line("removed", c.Removed)
	var versions []string
	for _, v := range c.Versions {
		versions = append(versions, fmt.Sprintf("%s %s → %s", v.Module, v.From, v.To))
	}
	line("version", versions)
	var steps []string
	for _, n := range []struct {
		count int
		word  string
	}{{len(c.StepsAdded), "added"}, {len(c.StepsRemoved), "removed"}, {len(c.StepsChanged), "changed"}} {
		if n.count > 0 {
			steps = append(steps, fmt.Sprintf("%d %s", n.count, n.word))
		}
	}
	line("steps", steps)
	if len(c.AskAgain) > 0 {
		fmt.Fprintf(&b, "  asked    again for %s\n", planClean(planList(c.AskAgain, 8, "and")))
	} else {
		b.WriteString("  asked    nobody again\n")
	}
	return b.String()
}
