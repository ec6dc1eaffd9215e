package playbooks

import (
	"fmt"
	"slices"
	"strings"
)

// checkNeeds compares what the released modules need with what is released
// and with what is live: version constraints, and prerequisites that are not
// there. Where what is live is not known it notes that, once.
func (p *planner) checkNeeds() {
	c := needsCheck{planner: p, versions: newPlanVersions(), missing: make(map[int32][]string), sick: make(map[int32]bool)}
	p.warnings.versions = c.versions
	for i := range p.release {
		m := &p.release[i]
		for _, e := range p.graph.of(m.id) {
			need := p.graph.need(m.id, e)
			if to := p.at[e.to]; to >= 0 {
				c.inRelease(m, need, &p.release[to])
			} else {
				c.outside(m.Name, m.targets, need, e.to)
			}
		}
	}
	c.reportMissing()
}

type needsCheck struct {
	*planner
	versions *planVersions
	missing  map[int32][]string // who needs what is not there
	queue    []int32            // what is missing, in the order of discovery
	sick     map[int32]bool
}

func (c *needsCheck) inRelease(m *planModule, need *Need, to *planModule) {
	if ok, note := c.versions.satisfies(to.version, need.Constraint); !ok {
		c.unsatisfied(m.Name, need, to.id, to.version+" is in this release"+note)
	}
}

// unsatisfied reports a constraint that does not hold, with versions of the
// needed module that would do.
func (c *needsCheck) unsatisfied(by string, need *Need, id int32, but string) {
	var offer []string
	for _, v := range c.candidates(id) {
		if ok, _ := c.versions.satisfies(v, need.Constraint); ok {
			offer = append(offer, need.Module+"@"+v)
		}
	}
	c.problem("constraint", by, fmt.Sprintf("%s needs %s %s, but %s", by, need.Module, need.Constraint, but), offer...)
}

// outside checks a need of something that is not released.
func (c *needsCheck) outside(by string, targets []int32, need *Need, id int32) {
	if c.refused[id] {
		return
	}
	if !c.live.known {
		c.warnings.unchecked = append(c.warnings.unchecked, need.Module)
		return
	}
	places := c.places(id, targets)
	absent := len(places) == 0
	for _, t := range places {
		live := c.live.get(id, t)
		if live == nil || live.Version == "" {
			absent = true
			continue
		}
		if !live.Healthy && !c.sick[id] {
			c.sick[id] = true
			c.warnings.add("unhealthy", need.Module, strings.TrimSuffix(fmt.Sprintf("%s is not healthy in %s, and %s needs it: %s",
				need.Module, c.live.place(t), by, live.Message), ": "))
		}
	}
	if absent && (need.kind() != NeedBuild || !c.built(need.Module)) {
		if c.missing[id] == nil {
			c.queue = append(c.queue, id)
		}
		if !slices.Contains(c.missing[id], by) {
			c.missing[id] = append(c.missing[id], by)
		}
		return
	}
	for _, v := range c.live.versions(id, places) {
		if ok, note := c.versions.satisfies(v, need.Constraint); !ok {
			c.unsatisfied(by, need, id, v+" is live in "+c.environment.Name+note)
			return
		}
	}
}

// places are the targets where a module has to be for something that goes to
// the given ones: the same, and where it never goes to those, all of its own.
func (c *needsCheck) places(id int32, targets []int32) []int32 {
	d := c.graph.mods[id].In(c.environment.Name)
	own := c.live.delivered(&d)
	var places []int32
	for _, t := range targets {
		if slices.Contains(own, t) {
			places = append(places, t)
		}
	}
	if places == nil {
		return own
	}
	return places
}

// built reports whether the forge has some version of a module.
func (c *needsCheck) built(module string) bool {
	return slices.ContainsFunc(c.facts.Builds, func(b BuildState) bool { return b.Module == module && b.State == "passed" })
}

// candidates are versions that a module could be released with.
func (c *needsCheck) candidates(id int32) []string {
	var found []string
	version, _, several := c.findVersion(id)
	for _, v := range append([]string{version, c.graph.mods[id].Version}, several...) {
		if v != "" && !slices.Contains(found, v) {
			found = append(found, v)
		}
	}
	return found
}

// reportMissing names everything that has to be added, also what the added
// modules need in their turn, so that one correction is enough.
func (c *needsCheck) reportMissing() {
	for head := 0; head < len(c.queue); head++ {
		id := c.queue[head]
		d := c.graph.mods[id].In(c.environment.Name)
		targets := c.live.delivered(&d)
		for _, e := range c.graph.of(id) {
			if c.at[e.to] < 0 {
				c.outside(c.graph.name(id), targets, c.graph.need(id, e), e.to)
			}
		}
	}
	slices.Sort(c.queue)
	for _, id := range c.queue {
		name := c.graph.name(id)
		offer := planAt(name, c.candidates(id))
		if len(offer) == 0 {
			offer = []string{name + "@VERSION"}
		}
		verb := "needs"
		if len(c.missing[id]) > 1 {
			verb = "need"
		}
		c.problem("missing-prerequisite", name, fmt.Sprintf("%s %s %s, which is not live in %s and not part of this release",
			planList(c.missing[id], 3, "and"), verb, name, c.absentFrom(id)), offer...)
	}
}

// absentFrom names the environment, with the targets where only some lack the module.
func (c *needsCheck) absentFrom(id int32) string {
	d := c.graph.mods[id].In(c.environment.Name)
	own := c.live.delivered(&d)
	var absent []string
	for _, t := range own {
		if c.live.version(id, t) == "" {
			absent = append(absent, c.live.targets[t])
		}
	}
	if len(absent) == 0 || len(absent) == len(own) {
		return c.environment.Name
	}
	return fmt.Sprintf("%s (%s)", c.environment.Name, planList(absent, 5, "and"))
}

// place names a target of the environment.
func (l *planLive) place(t int32) string {
	if l.targets[t] == "" {
		return l.name
	}
	return l.name + " at " + l.targets[t]
}

// planPath writes a path through the graph; of a long one its ends.
func planPath(names []string) string {
	const most = 24
	if len(names) <= most {
		return strings.Join(names, " → ")
	}
	return fmt.Sprintf("%s → … %d more … → %s", strings.Join(names[:most-2], " → "), len(names)-most, strings.Join(names[len(names)-2:], " → "))
}
