package discover

import (
	"cmp"
	"slices"
	"strings"

	"github.com/muster-release/muster/playbooks"
)

// Change is an edge that was found otherwise than the catalog has it.
type Change struct {
	Before Edge `json:"before"` // as the catalog has it
	Found  Edge `json:"found"`
}

// Difference is what was found against what the catalog has, each part by module and need.
type Difference struct {
	// New, Changed and Gone are what Needs changes in the catalog: of needs that were discovered
	// earlier, and new ones. A line that only moved is no change.
	New     []Edge   `json:"new,omitempty"`
	Changed []Change `json:"changed,omitempty"`
	Gone    []Edge   `json:"gone,omitempty"`
	// Differs are needs that somebody declared otherwise than they were found, and DeclaredOnly
	// those that nothing was found for. Both stay as they are declared.
	Differs      []Change `json:"differs,omitempty"`
	DeclaredOnly []Edge   `json:"declaredOnly,omitempty"`
	// Kept are needs discovered earlier that nobody can say anything about now, because a project
	// was not looked at, or not all of it could be read.
	Kept []Edge `json:"kept,omitempty"`
	// Circles are those that the new needs would close.
	Circles [][]string `json:"circles,omitempty"`
	// Needs are all discovered needs from now on.
	Needs []Edge `json:"needs"`
}

// Any reports whether the catalog's needs are to be changed.
func (d *Difference) Any() bool { return len(d.New)+len(d.Changed)+len(d.Gone) > 0 }

type pair struct{ module, needs string }

// Compare holds what was found against the catalog that Run was given.
func (r *Result) Compare() *Difference {
	d := new(Difference)
	found := make(map[edgeKey]Edge)
	pairs := make(map[pair][]Edge)
	for _, e := range r.Edges {
		found[edgeKey{e.Module, e.Needs, e.Kind}] = e
		p := pair{e.Module, e.Needs}
		pairs[p] = append(pairs[p], e)
	}
	declared := make(map[pair]bool)
	earlier := make(map[edgeKey]bool)
	for i := range r.catalog.Modules {
		m := &r.catalog.Modules[i]
		for _, n := range m.Needs {
			if p := (pair{m.Name, n.Module}); n.Source == "" && !declared[p] {
				declared[p] = true
				r.declared(d, m, n.Module, pairs[p])
			}
		}
		for _, n := range m.Needs {
			if n.Source != "" && !declared[pair{m.Name, n.Module}] {
				e := edgeOf(m.Name, n)
				key := edgeKey{e.Module, e.Needs, e.Kind}
				earlier[key] = true
				now, ok := found[key]
				r.discovered(d, e, now, ok)
			}
		}
	}
	for _, e := range r.Edges {
		if !declared[pair{e.Module, e.Needs}] && !earlier[edgeKey{e.Module, e.Needs, e.Kind}] {
			d.New = append(d.New, e)
			d.Needs = append(d.Needs, e)
		}
	}
	for _, edges := range [][]Edge{d.New, d.Gone, d.DeclaredOnly, d.Kept, d.Needs} {
		slices.SortFunc(edges, compareEdges)
	}
	for _, changes := range [][]Change{d.Changed, d.Differs} {
		slices.SortStableFunc(changes, func(a, b Change) int {
			return cmp.Or(compareEdges(a.Before, b.Before), compareEdges(a.Found, b.Found))
		})
	}
	d.Circles = r.circles(d.Needs)
	return d
}

func compareEdges(a, b Edge) int {
	return cmp.Or(strings.Compare(a.Module, b.Module), strings.Compare(a.Needs, b.Needs), strings.Compare(string(a.Kind), string(b.Kind)))
}

func edgeOf(module string, n playbooks.Need) Edge {
	return Edge{Module: module, Needs: n.Module, Kind: cmp.Or(n.Kind, playbooks.NeedDeploy), Constraint: n.Constraint, Reason: n.Reason, Source: n.Source}
}

// declared compares what somebody declared of a module's need with what was found of it.
func (r *Result) declared(d *Difference, m *playbooks.Module, needs string, found []Edge) {
	var own []Edge
	for _, n := range m.Needs {
		if n.Source == "" && n.Module == needs {
			own = append(own, edgeOf(m.Name, n))
		}
	}
	if len(found) == 0 {
		if r.certain(m.Name, needs) {
			d.DeclaredOnly = append(d.DeclaredOnly, own...)
		}
		return
	}
	for _, e := range found {
		at := slices.IndexFunc(own, func(o Edge) bool { return o.Kind == e.Kind })
		switch {
		case at < 0:
			d.Differs = append(d.Differs, Change{own[0], e})
		case own[at].Constraint != e.Constraint:
			d.Differs = append(d.Differs, Change{own[at], e})
		}
	}
}

// discovered compares a need that was discovered earlier with what is found now.
func (r *Result) discovered(d *Difference, before, now Edge, found bool) {
	switch {
	case found && (before.Constraint != now.Constraint || before.Reason != now.Reason):
		d.Changed = append(d.Changed, Change{before, now})
		d.Needs = append(d.Needs, now)
	case found:
		d.Needs = append(d.Needs, now)
	case r.certain(before.Module, before.Needs):
		d.Gone = append(d.Gone, before)
	default:
		d.Kept = append(d.Kept, before)
		d.Needs = append(d.Needs, before)
	}
}

// certain reports whether a need would have been found if it was there: nothing of either module
// is missing.
func (r *Result) certain(module, needs string) bool { return r.whole[module] && r.whole[needs] }

// circles are those that the catalog has with these needs and had not before.
func (r *Result) circles(needs []Edge) [][]string {
	after := *r.catalog
	after.Modules = slices.Clone(r.catalog.Modules)
	at := make(map[string]int)
	for i := range after.Modules {
		m := &after.Modules[i]
		at[m.Name] = i
		m.Needs = slices.DeleteFunc(slices.Clone(m.Needs), func(n playbooks.Need) bool { return n.Source != "" })
	}
	for _, e := range needs {
		m := &after.Modules[at[e.Module]]
		m.Needs = append(m.Needs, playbooks.Need{Module: e.Needs, Kind: e.Kind})
	}
	before := playbooks.Cycles(r.catalog)
	return slices.DeleteFunc(playbooks.Cycles(&after), func(cycle []string) bool {
		return slices.ContainsFunc(before, func(known []string) bool { return slices.Equal(known, cycle) })
	})
}
