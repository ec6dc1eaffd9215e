package playbooks

import "slices"

// Cycles returns one cycle, the shortest, for each set of modules that need
// each other in a circle. A cycle starts and ends with the same module. Needs
// of kind test are no part of any cycle, because they order nothing.
func Cycles(c *Catalog) [][]string {
	g := newPlanGraph(c)
	comp, n := g.components()
	members := make([][]int32, n)
	for i, k := range comp {
		members[k] = append(members[k], int32(i))
	}
	var cycles [][]string
	for _, m := range members {
		if cycle := g.shortestCycle(comp, m); cycle != nil {
			cycles = append(cycles, cycle)
		}
	}
	slices.SortFunc(cycles, slices.Compare)
	return cycles
}

// components numbers the strongly connected components so that a component's
// number is higher than the numbers of all that it needs (Tarjan's algorithm,
// with its own stack: a chain of needs may be as long as the catalog).
func (g *planGraph) components() (comp []int32, count int32) {
	n := len(g.mods)
	comp = make([]int32, n)
	index := make([]int32, n) // 0: not seen yet
	low := make([]int32, n)
	next := make([]int32, n) // the edge to follow when the walk comes back
	open := make([]int32, 0, n)
	walk := make([]int32, 0, n)
	for i := range comp {
		comp[i] = -1
		next[i] = g.first[i]
	}
	seen := int32(0)
	for root := range int32(n) {
		if index[root] != 0 {
			continue
		}
		walk = append(walk, root)
		for len(walk) > 0 {
			v := walk[len(walk)-1]
			if index[v] == 0 {
				seen++
				index[v], low[v] = seen, seen
				open = append(open, v)
			}
			descended := false
			for next[v] < g.first[v+1] {
				w := g.edges[next[v]].to
				if index[w] == 0 {
					walk = append(walk, w)
					descended = true
					break
				}
				if comp[w] < 0 {
					low[v] = min(low[v], low[w])
				}
				next[v]++
			}
			if descended {
				continue
			}
			walk = walk[:len(walk)-1]
			if low[v] < index[v] {
				continue
			}
			for {
				w := open[len(open)-1]
				open = open[:len(open)-1]
				comp[w] = count
				if w == v {
					break
				}
			}
			count++
		}
	}
	return comp, count
}

// shortestCycle finds the shortest cycle that goes through one of the given
// modules, all of one component, or nil.
func (g *planGraph) shortestCycle(comp []int32, through []int32) []string {
	var best []int32
	parent := make(map[int32]int32)
	done := make(map[int32]bool) // every cycle through these has been looked at
	var queue, depth []int32
	for _, start := range through {
		clear(parent)
		queue, depth = append(queue[:0], start), append(depth[:0], 1)
	search:
		for head := 0; head < len(queue); head++ {
			v := queue[head]
			if best != nil && int(depth[head]) >= len(best) {
				break
			}
			for _, e := range g.of(v) {
				if e.to == start {
					best = best[:0]
					for w := v; w != start; w = parent[w] {
						best = append(best, w)
					}
					best = append(best, start)
					slices.Reverse(best)
					break search
				}
				if _, ok := parent[e.to]; ok || done[e.to] || comp[e.to] != comp[start] {
					continue
				}
				parent[e.to] = v
				queue, depth = append(queue, e.to), append(depth, depth[head]+1)
			}
		}
		done[start] = true
		if len(best) == 1 {
			break
		}
	}
	if best == nil {
		return nil
	}
	names := make([]string, 0, len(best)+1)
	for _, v := range best {
		names = append(names, g.name(v))
	}
	return append(names, names[0])
}
