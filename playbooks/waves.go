package playbooks

import (
	"fmt"
	"math/bits"
	"slices"
)

// planUnit is what goes out as one: a module, or the modules of a cycle that
// are released together. Units are numbered so that a unit's number is higher
// than the numbers of all that it waits for.
type planUnit struct {
	members []int32 // planModule numbers, by name
	wave    int32
	// everywhere says that all members go to all targets of the playbook.
	everywhere bool
}

// group reports whether the unit is a cycle.
func (u *planUnit) group() bool { return len(u.members) > 1 }

// planNeed is a released module's need of another released module.
type planNeed struct {
	to   int32 // planModule
	need *Need // nil: only through modules that are not released
	via  string
}

// arrange finds the units, what each waits for, and the waves. It reports the
// cycles that the catalog's policy does not allow.
func (p *planner) arrange() {
	g := p.graph
	comp, count := g.components()
	members := make([]int32, count) // released members of each component
	for _, m := range p.release {
		members[comp[m.id]]++
	}
	unitOf := make([]int32, count)
	for k := range unitOf {
		unitOf[k] = -1
		if members[k] > 0 {
			unitOf[k] = int32(len(p.units))
			p.units = append(p.units, planUnit{members: make([]int32, 0, members[k])})
		}
	}
	for i := range p.release {
		m := &p.release[i]
		m.unit = unitOf[comp[m.id]]
		u := &p.units[m.unit]
		u.members = append(u.members, int32(i))
	}
	p.checkCycles(comp)
	for i := range p.units {
		u := &p.units[i]
		u.everywhere = true
		for _, r := range u.members {
			u.everywhere = u.everywhere && len(p.release[r].targets) == len(p.targets)
		}
	}
	arena := make([]planNeed, 0, len(g.edges))
	for i := range p.release {
		m := &p.release[i]
		start := len(arena)
		for _, e := range g.of(m.id) {
			if to := p.at[e.to]; to >= 0 && p.release[to].unit != m.unit {
				arena = append(arena, planNeed{to: to, need: g.need(m.id, e)})
			}
		}
		m.needs = arena[start:len(arena):len(arena)]
		m.direct = len(m.needs)
	}
	if len(p.release) < len(g.mods) {
		newPlanDetours(p, comp, unitOf).add()
	}
	for i := range p.units {
		u := &p.units[i]
		u.wave = 1
		for _, r := range u.members {
			for _, n := range p.release[r].needs {
				u.wave = max(u.wave, p.units[p.release[n.to].unit].wave+1)
			}
		}
	}
}

// checkCycles reports each cycle of the release, unless cycles go together. A
// circle that only one module of the release is part of is none: the others
// stay as they are.
func (p *planner) checkCycles(comp []int32) {
	if p.catalog.Cycles == ReleaseTogether {
		return
	}
	for i := range p.units {
		u := &p.units[i]
		first := p.release[u.members[0]].id
		if !u.group() && !slices.ContainsFunc(p.graph.of(first), func(e planEdge) bool { return e.to == first }) {
			continue
		}
		ids := make([]int32, len(u.members))
		for k, r := range u.members {
			ids[k] = p.release[r].id
		}
		cycle := p.graph.shortestCycle(comp, ids)
		message := fmt.Sprintf("modules need each other in a circle: %s", planPath(cycle))
		if n := len(u.members); n > len(cycle)-1 {
			message += fmt.Sprintf(" (the shortest circle among %d modules of this release)", n)
		}
		p.problem("cycle", cycle[0], message+"; take one of these needs away, make it a test need, or set cycles: together")
	}
}

// planDetours finds what released modules need of each other through modules
// that are not released. Of these needs only those are kept that no others
// imply, or a large catalog would give a number of edges that is quadratic.
//
// It works with sets of released modules, as bits in the order of units.
type planDetours struct {
	p      *planner
	comp   []int32
	unitOf []int32
	order  []int32 // bit → module of the release
	bit    []int32 // module of the release → bit
	words  int
	// beyond are, for a component outside the release, the modules that it leads
	// to without passing another one of the release.
	beyond [][]uint64
	// implied are, for a unit, the modules that are live at a target once it is.
	implied [][]uint64
	seen    []int32 // marks of the walk that names a detour
	mark    int32
}

func newPlanDetours(p *planner, comp, unitOf []int32) *planDetours {
	d := &planDetours{
		p: p, comp: comp, unitOf: unitOf,
		bit:     make([]int32, len(p.release)),
		words:   (len(p.release) + 63) / 64,
		beyond:  make([][]uint64, len(unitOf)),
		implied: make([][]uint64, len(p.units)),
		seen:    make([]int32, len(comp)),
	}
	for i := range p.units {
		for _, r := range p.units[i].members {
			d.bit[r] = int32(len(d.order))
			d.order = append(d.order, r)
		}
	}
	return d
}

// add walks the components of the catalog, those that need nothing first.
func (d *planDetours) add() {
	p, g := d.p, d.p.graph
	byComp := make([]int32, len(d.comp))
	for i := range byComp {
		byComp[i] = int32(i)
	}
	slices.SortStableFunc(byComp, func(a, b int32) int { return int(d.comp[a]) - int(d.comp[b]) })
	for len(byComp) > 0 {
		k := d.comp[byComp[0]]
		n := 1
		for n < len(byComp) && d.comp[byComp[n]] == k {
			n++
		}
		members := byComp[:n]
		byComp = byComp[n:]
		var beyond []uint64
		for _, v := range members {
			for _, e := range g.of(v) {
				to := d.comp[e.to]
				switch {
				case to == k || p.at[v] >= 0 && p.at[e.to] >= 0:
				case p.at[e.to] >= 0:
					beyond = d.set(beyond, p.at[e.to])
				case d.unitOf[to] >= 0:
					for _, r := range p.units[d.unitOf[to]].members {
						beyond = d.set(beyond, r)
					}
					beyond = d.join(beyond, d.beyond[to])
				default:
					beyond = d.join(beyond, d.beyond[to])
				}
			}
		}
		d.beyond[k] = beyond
		if u := d.unitOf[k]; u >= 0 {
			d.addTo(u, slices.Clone(beyond))
		}
	}
}

// addTo gives unit u those needs among beyond that its other needs do not imply.
func (d *planDetours) addTo(u int32, beyond []uint64) {
	p := d.p
	unit := &p.units[u]
	var implied []uint64
	// What one member of a cycle needs at its targets implies nothing for
	// a member that goes to others.
	if unit.everywhere || !unit.group() {
		for _, r := range unit.members {
			for _, n := range p.release[r].needs {
				if n.need.kind() == NeedDeploy || p.release[n.to].delivery.Publish == nil {
					implied = d.imply(implied, n.to)
				}
			}
		}
	}
	for w := len(beyond) - 1; w >= 0; w-- {
		for beyond[w] != 0 {
			bit := 63 - bits.LeadingZeros64(beyond[w])
			beyond[w] &^= 1 << bit
			if to := d.order[w*64+bit]; implied == nil || implied[w]&(1<<bit) == 0 {
				if d.addNeed(unit, to) && (unit.everywhere || !unit.group()) {
					implied = d.imply(implied, to)
				}
			}
		}
	}
	if unit.everywhere {
		d.implied[u] = implied
	}
}

// addNeed gives the members of unit that have a detour to a module that need, and
// reports whether there was one. One member is enough where all go to the same places.
func (d *planDetours) addNeed(unit *planUnit, to int32) (added bool) {
	p := d.p
	for _, r := range unit.members {
		via, ok := d.detour(p.release[r].id, to)
		if !ok {
			continue
		}
		added = true
		p.release[r].needs = append(p.release[r].needs, planNeed{to: to, via: via})
		if unit.everywhere {
			break
		}
	}
	return added
}

// imply adds to set what is live at a target once a module is live there.
func (d *planDetours) imply(set []uint64, module int32) []uint64 {
	u := d.p.release[module].unit
	if !d.p.units[u].everywhere {
		return d.set(set, module)
	}
	for _, r := range d.p.units[u].members {
		set = d.set(set, r)
	}
	return d.join(set, d.implied[u])
}

// detour walks from one module to a released one, over modules that are not
// released, and names those.
func (d *planDetours) detour(start, to int32) (via string, ok bool) {
	g, p := d.p.graph, d.p
	d.mark++
	type hop struct{ at, edge int32 }
	walk := []hop{{start, g.first[start]}}
	for len(walk) > 0 {
		top := &walk[len(walk)-1]
		if top.edge == g.first[top.at+1] {
			walk = walk[:len(walk)-1]
			continue
		}
		next := g.edges[top.edge].to
		top.edge++
		switch {
		case p.at[next] == to && len(walk) > 1:
			names := make([]string, 0, len(walk)-1)
			for _, h := range walk[1:] {
				names = append(names, g.name(h.at))
			}
			return planList(names, 3, "and"), true
		case p.at[next] < 0 && d.seen[next] != d.mark && d.leads(next, d.comp[start], to):
			d.seen[next] = d.mark
			walk = append(walk, hop{next, g.first[next]})
		}
	}
	return "", false
}

// leads reports whether a module outside the release can be on the way from
// component own to a released one.
func (d *planDetours) leads(module, own, to int32) bool {
	k := d.comp[module]
	return k == own || d.unitOf[k] == d.p.release[to].unit || d.has(d.beyond[k], d.bit[to])
}

func (d *planDetours) has(set []uint64, bit int32) bool {
	return set != nil && set[bit/64]&(1<<(bit%64)) != 0
}

// set adds a module of the release to a set.
func (d *planDetours) set(set []uint64, module int32) []uint64 {
	if set == nil {
		set = make([]uint64, d.words)
	}
	bit := d.bit[module]
	set[bit/64] |= 1 << (bit % 64)
	return set
}

// join adds another set.
func (d *planDetours) join(set, other []uint64) []uint64 {
	if other == nil {
		return set
	}
	if set == nil {
		return slices.Clone(other)
	}
	for i, w := range other {
		set[i] |= w
	}
	return set
}
