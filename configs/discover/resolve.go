package discover

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-release/muster/playbooks"
)

// Edge is a need of a module, with where it was found.
type Edge struct {
	Module     string             `json:"module"`
	Needs      string             `json:"needs"`
	Kind       playbooks.NeedKind `json:"kind"`
	Constraint string             `json:"constraint,omitempty"`
	Reason     string             `json:"reason,omitempty"`
	// Source are the lines that say so, within the module's project: "go.mod:12"; empty for
	// what somebody declared.
	Source string `json:"source,omitempty"`
}

// String returns the edge as a person reads it: "web needs ui >=1.2.0 (build, go.mod:12)".
func (e Edge) String() string {
	words := e.Module + " needs " + e.Needs
	if e.Constraint != "" {
		words += " " + e.Constraint
	}
	words += " (" + string(e.Kind)
	if e.Source != "" {
		words += ", " + e.Source
	}
	return words + ")"
}

// Result is what was found. It is in the same order each time.
type Result struct {
	Projects int `json:"projects"` // that were looked at
	Files    int `json:"files"`    // that were read
	// Edges are those between modules of the catalog, by module, need and kind.
	Edges []Edge `json:"edges"`
	// Proposals are what could be new modules, by source and path.
	Proposals []Proposal `json:"proposals,omitempty"`
	Problems  []Problem  `json:"problems,omitempty"`
	// Outside counts the needs that no project looked at provides.
	Outside int `json:"outside"`
	// Homeless are files that no module comes from, beside modules of the same project.
	Homeless []string `json:"homeless,omitempty"`
	// Empty are projects of groups that have no such ref.
	Empty []string `json:"empty,omitempty"`

	catalog *playbooks.Catalog
	looked  map[string]bool // modules of the catalog whose project was looked at
	whole   map[string]bool // those of them of which nothing is missing
}

// resolver maps what files say to modules.
type resolver struct {
	catalog *playbooks.Catalog
	o       Options
	search  *search
	result  *Result

	places    map[string]*places // by project
	home      map[string]home    // by module
	proposals map[string]*Proposal
	providers map[Artifact][]provider
	edges     map[edgeKey][]Edge
	clashes   map[Artifact]bool // reported already
}

type edgeKey struct {
	module, needs string
	kind          playbooks.NeedKind
}

// provider is a line that says where an artifact comes from.
type provider struct {
	Provided
	project string
	path    string // of the file
	modules []string
	numbers bool // the artifact has the versions of its module
}

func (p provider) String() string {
	return fmt.Sprintf("%s (%s of %s)", quoted(p.modules), lineOf(p.path, p.Line), p.project)
}

func lineOf(path string, line int) string { return path + ":" + strconv.Itoa(line) }

func quoted(names []string) string {
	words := make([]string, len(names))
	for i, name := range names {
		words[i] = strconv.Quote(name)
	}
	return strings.Join(words, " and ")
}

func (r *resolver) problem(project, format string, args ...any) {
	r.result.Problems = append(r.result.Problems, Problem{project, harmless(fmt.Sprintf(format, args...))})
}

func resolve(catalog *playbooks.Catalog, o Options, s *search) *Result {
	r := &resolver{
		catalog: catalog, o: o, search: s,
		places: make(map[string]*places), home: make(map[string]home), proposals: make(map[string]*Proposal),
		providers: make(map[Artifact][]provider), edges: make(map[edgeKey][]Edge), clashes: make(map[Artifact]bool),
		result: &Result{
			Projects: len(s.looked), Files: len(s.files), Problems: s.problems, Empty: s.empty,
			catalog: catalog, looked: make(map[string]bool), whole: make(map[string]bool),
		},
	}
	slices.Sort(s.looked)
	r.survey()
	for i := range catalog.Modules {
		m := &catalog.Modules[i]
		if h, ok := r.home[m.Name]; ok && r.proposals[m.Name] == nil {
			r.result.looked[m.Name] = true
			r.result.whole[m.Name] = !slices.ContainsFunc(s.problems, func(p Problem) bool { return p.Project == h.project })
		}
	}
	for _, f := range s.files {
		r.provide(f)
	}
	for _, f := range s.files {
		r.need(f)
	}
	r.finish()
	return r.result
}

// rootOf is the folder that a file is about.
func rootOf(f file) string { return clean(path.Join(folderOf(f.path), f.found.Path)) }

func (r *resolver) provide(f file) {
	folder := rootOf(f)
	modules, _ := r.places[f.project].at(folder)
	if len(modules) == 0 {
		if r.places[f.project].catalog {
			r.result.Homeless = append(r.result.Homeless, f.project+": "+f.path)
		}
		return
	}
	for _, p := range f.found.Provides {
		r.providers[p.Artifact] = append(r.providers[p.Artifact], provider{
			Provided: p, project: f.project, path: f.path, modules: modules,
			numbers: p.Own || len(modules) == 1 && r.home[modules[0]].numbers(folder, p.Kind),
		})
	}
}

func (r *resolver) need(f file) {
	modules, _ := r.places[f.project].at(rootOf(f))
	for _, n := range f.found.Needs {
		for _, module := range modules {
			r.needOf(f, module, n)
		}
	}
}

// needOf finds the module that one of ours needs.
func (r *resolver) needOf(f file, module string, n Need) {
	e := Edge{Module: module, Kind: n.Kind, Constraint: n.Constraint, Reason: n.Reason, Source: lineOf(f.path, n.Line)}
	if n.Module != "" {
		if _, ok := r.home[n.Module]; !ok && r.catalog.Module(n.Module) == nil {
			r.unfinished(module)
			r.problem(f.project, "%s: module %q, which is needed here, is neither in the catalog nor among what was found", e.Source, n.Module)
			return
		}
		e.Needs = n.Module
		r.add(e)
		return
	}
	if n.Folder != "" {
		if folder := path.Join(folderOf(f.path), n.Folder); inside(folder) && !path.IsAbs(n.Folder) {
			if passedOver(folder + "/.") { // it is no part of what is released
				r.result.Outside++
				return
			}
			if to, _ := r.places[f.project].at(clean(folder)); len(to) == 1 {
				e.Needs = to[0]
				r.add(e)
				return
			}
		}
	}
	from, clash := r.from(f, module, n)
	switch {
	case clash != nil:
		r.unfinished(module)
		if !r.clashes[n.Artifact] {
			r.clashes[n.Artifact] = true
			r.problem(f.project, "%s: nobody can tell which module provides %s: %s", e.Source, n.Artifact, strings.Join(clash, ", or "))
		}
	case from == nil:
		r.result.Outside++
	default:
		if e.Needs = from.modules[0]; !from.numbers {
			e.Constraint = ""
		}
		r.add(e)
	}
}

// unfinished remembers that a need of a module is not known.
func (r *resolver) unfinished(module string) { r.result.whole[module] = false }

// from finds who provides an artifact: within the same project, or else anywhere. There is no need
// where that is the module itself. Clash names those who provide it, if they are several.
func (r *resolver) from(f file, module string, n Need) (one *provider, clash []string) {
	near := func(p provider) bool { return p.project == f.project }
	far := func(p provider) bool { return !p.Private && !n.Private && p.project != f.project }
	for _, fits := range []func(provider) bool{near, far} {
		names := make(map[string]bool)
		for i, p := range r.providers[n.Artifact] {
			if !fits(p) {
				continue
			}
			if slices.Contains(p.modules, module) {
				return &provider{modules: []string{module}}, nil
			}
			for _, name := range p.modules {
				names[name] = true
			}
			if one == nil || p.numbers && !one.numbers {
				one = &r.providers[n.Artifact][i]
			}
			clash = append(clash, p.String())
		}
		switch {
		case len(names) > 1:
			return nil, clash
		case one != nil:
			return one, nil
		}
	}
	return nil, nil
}

func (r *resolver) add(e Edge) {
	if e.Needs != e.Module {
		key := edgeKey{e.Module, e.Needs, e.Kind}
		r.edges[key] = append(r.edges[key], e)
	}
}

// mostSources is how many lines are named for one edge.
const mostSources = 3

// finish makes one edge of all that say the same, and hands them out.
func (r *resolver) finish() {
	keys := slices.SortedFunc(maps.Keys(r.edges), func(a, b edgeKey) int {
		return cmp.Or(strings.Compare(a.module, b.module), strings.Compare(a.needs, b.needs), strings.Compare(string(a.kind), string(b.kind)))
	})
	for _, key := range keys {
		if key.kind == playbooks.NeedTest && (r.edges[edgeKey{key.module, key.needs, playbooks.NeedBuild}] != nil || r.edges[edgeKey{key.module, key.needs, playbooks.NeedDeploy}] != nil) {
			continue // it is needed anyway
		}
		e := joined(r.edges[key])
		from, to := r.proposals[e.Module], r.proposals[e.Needs]
		if from == nil && to == nil {
			r.result.Edges = append(r.result.Edges, e)
		}
		if from != nil {
			from.Needs = append(from.Needs, e)
		}
		if to != nil {
			to.NeededBy = append(to.NeededBy, e)
		}
	}
	for _, p := range r.proposals {
		r.result.Proposals = append(r.result.Proposals, *p)
	}
	slices.SortFunc(r.result.Proposals, func(a, b Proposal) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Path, b.Path), strings.Compare(a.Name, b.Name))
	})
	slices.SortStableFunc(r.result.Problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Project, b.Project), strings.Compare(a.Message, b.Message))
	})
	slices.Sort(r.result.Empty)
}

// joined is one edge for several lines, in the order of files: all their constraints hold.
func joined(edges []Edge) Edge {
	e := edges[0]
	var sources, constraints []string
	for _, other := range edges {
		if !slices.Contains(sources, other.Source) {
			sources = append(sources, other.Source)
		}
		if other.Constraint != "" && !slices.Contains(constraints, other.Constraint) {
			constraints = append(constraints, other.Constraint)
		}
		e.Reason = cmp.Or(e.Reason, other.Reason)
	}
	if more := len(sources) - mostSources; more > 0 {
		sources = append(sources[:mostSources], fmt.Sprintf("%d more", more))
	}
	e.Source = strings.Join(sources, ", ")
	slices.Sort(constraints)
	e.Constraint = strings.Join(constraints, ", ")
	if strings.Contains(e.Constraint, "||") { // or binds weaker than the comma
		e.Constraint = constraints[0]
	}
	return e
}
