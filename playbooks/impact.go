package playbooks

import "slices"

// Impacted is a module that depends on something that is released without
// being released itself.
type Impacted struct {
	Module string
	// Needs are the released modules that it needs itself, sorted. None means
	// that it depends on the release only through other modules.
	Needs []string
}

// Impact says who depends on the given modules without being one of them: first
// those that need one of them directly, then the rest, each part by name. Names
// that the catalog does not have are ignored.
func Impact(c *Catalog, released []string) []Impacted {
	g := newPlanGraph(c)
	in := make([]bool, len(g.mods))
	for _, name := range released {
		if i, ok := g.ids[name]; ok {
			in[i] = true
		}
	}
	return g.impact(in)
}

func (g *planGraph) impact(released []bool) []Impacted {
	first, from := g.dependants()
	var queue []int32
	for i, in := range released {
		if in {
			queue = append(queue, int32(i))
		}
	}
	reached := slices.Clone(released)
	for head := 0; head < len(queue); head++ {
		v := queue[head]
		for _, w := range from[first[v]:first[v+1]] {
			if !reached[w] {
				reached[w] = true
				queue = append(queue, w)
			}
		}
	}
	var direct, through []Impacted
	for i := range g.mods {
		if !reached[i] || released[i] {
			continue
		}
		hit := Impacted{Module: g.name(int32(i))}
		for _, e := range g.of(int32(i)) {
			if name := g.name(e.to); released[e.to] && !slices.Contains(hit.Needs, name) {
				hit.Needs = append(hit.Needs, name)
			}
		}
		if hit.Needs != nil {
			direct = append(direct, hit)
		} else {
			through = append(through, hit)
		}
	}
	return append(direct, through...)
}
