package playbooks

import (
	"cmp"
	"slices"
	"strings"
)

// planGraph holds a catalog's modules and those of their needs that order a
// release, by number. A module's number is its place among the sorted names,
// so the order in which a catalog lists things leaves no trace in a plan.
type planGraph struct {
	mods  []*Module
	ids   map[string]int32
	first []int32 // the edges of module i are edges[first[i]:first[i+1]]
	edges []planEdge

	twice   []string      // names that the catalog has more than once
	unknown []planUnknown // needs that no module satisfies
}

// planEdge leads from a module to one that it needs.
type planEdge struct {
	to   int32
	need int32 // index into the module's Needs
}

type planUnknown struct {
	from int32
	name string
}

// kind is the need's kind with the default filled in.
func (n *Need) kind() NeedKind {
	if n.Kind == "" {
		return NeedDeploy
	}
	return n.Kind
}

func newPlanGraph(c *Catalog) *planGraph {
	g := &planGraph{mods: make([]*Module, 0, len(c.Modules)), ids: make(map[string]int32, len(c.Modules))}
	needs := 0
	for i := range c.Modules {
		g.mods = append(g.mods, &c.Modules[i])
		needs += len(c.Modules[i].Needs)
	}
	slices.SortFunc(g.mods, func(a, b *Module) int { return strings.Compare(a.Name, b.Name) })
	g.mods = slices.CompactFunc(g.mods, func(a, b *Module) bool {
		if a.Name == b.Name {
			g.twice = append(g.twice, a.Name)
		}
		return a.Name == b.Name
	})
	g.twice = slices.Compact(g.twice)
	for i, m := range g.mods {
		g.ids[m.Name] = int32(i)
	}

	g.first = make([]int32, len(g.mods)+1)
	g.edges = make([]planEdge, 0, needs)
	for i, m := range g.mods {
		for k := range m.Needs {
			n := &m.Needs[k]
			to, ok := g.ids[n.Module]
			switch {
			case !ok:
				g.unknown = append(g.unknown, planUnknown{int32(i), n.Module})
			case n.kind() != NeedTest:
				g.edges = append(g.edges, planEdge{to, int32(k)})
			}
		}
		own := g.edges[g.first[i]:]
		order := func(a, b planEdge) int { return g.compareEdges(m, a, b) }
		if !slices.IsSortedFunc(own, order) {
			slices.SortFunc(own, order)
		}
		g.first[i+1] = int32(len(g.edges))
	}
	return g
}

// compareEdges orders two edges of m: by the module that is needed, a deploy
// need before a build need.
func (g *planGraph) compareEdges(m *Module, a, b planEdge) int {
	if a.to != b.to {
		return cmp.Compare(a.to, b.to)
	}
	x, y := &m.Needs[a.need], &m.Needs[b.need]
	return cmp.Or(
		-strings.Compare(string(x.kind()), string(y.kind())),
		strings.Compare(x.Constraint, y.Constraint),
		strings.Compare(x.why(), y.why()))
}

// of returns the edges of module i.
func (g *planGraph) of(i int32) []planEdge { return g.edges[g.first[i]:g.first[i+1]] }

// need returns what the catalog says of edge e of module i.
func (g *planGraph) need(i int32, e planEdge) *Need { return &g.mods[i].Needs[e.need] }

func (g *planGraph) name(i int32) string { return g.mods[i].Name }

// dependants turns all edges round: for each module, who needs it.
func (g *planGraph) dependants() (first, from []int32) {
	first = make([]int32, len(g.mods)+1)
	for _, e := range g.edges {
		first[e.to+1]++
	}
	for i := range g.mods {
		first[i+1] += first[i]
	}
	from = make([]int32, len(g.edges))
	next := slices.Clone(first)
	for i := range g.mods {
		for _, e := range g.of(int32(i)) {
			from[next[e.to]] = int32(i)
			next[e.to]++
		}
	}
	return first, from
}
