package discover

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// projectOf returns the project that a module's source names, without the forge's host before it.
func projectOf(source, host string) string {
	source = strings.TrimSuffix(strings.Trim(source, "/"), ".git")
	if host == "" {
		return source
	}
	name, _, _ := strings.Cut(host, "/")
	for _, before := range []string{host + "/", name + "/"} {
		if len(source) > len(before) && strings.EqualFold(source[:len(before)], before) {
			return source[len(before):]
		}
	}
	if isHost(source) && strings.Count(source, "/") >= 2 {
		return "" // another forge's
	}
	return source
}

// isHost reports whether the first part of a source looks like a host.
func isHost(source string) bool {
	first, _, found := strings.Cut(source, "/")
	return found && strings.ContainsAny(first, ".:")
}

// sameProject reports whether a source, as projectOf returns it, and a project are the same. Either may
// have a host before it that the other has not.
func sameProject(source, project string) bool {
	if source == "" {
		return false
	}
	cut := func(s string) string { _, rest, _ := strings.Cut(s, "/"); return rest }
	return strings.EqualFold(source, project) ||
		isHost(source) && strings.EqualFold(cut(source), project) ||
		isHost(project) && strings.EqualFold(source, cut(project))
}

// Proposal is a project, or a folder of one, that no module of the catalog comes from.
type Proposal struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	Path   string `json:"path,omitempty"`
	// Named says where a repository gives it that name; empty: it is a guess.
	Named string `json:"named,omitempty"`
	// Known says that the catalog has a module of that name which names no source. What is
	// needed there is only told once it does.
	Known    bool   `json:"known,omitempty"`
	Needs    []Edge `json:"needs,omitempty"`
	NeededBy []Edge `json:"neededBy,omitempty"`
}

// place is a folder that modules come from.
type place struct {
	path    string // empty: the whole project
	modules []string
}

// places are those of one project, those farther down first.
type places struct {
	list []place
	// catalog says that modules of the catalog come from that project.
	catalog bool
}

// at returns the modules that a folder belongs to, and the folder that they come from.
func (p *places) at(folder string) (modules []string, root string) {
	for _, place := range p.list {
		if place.path == "" || folder == place.path || strings.HasPrefix(folder, place.path+"/") {
			return place.modules, place.path
		}
	}
	return nil, ""
}

func (p *places) sort() {
	slices.SortFunc(p.list, func(a, b place) int {
		if d := strings.Count(b.path, "/") - strings.Count(a.path, "/"); d != 0 || a.path == b.path {
			return d
		}
		if a.path == "" || b.path == "" {
			return len(b.path) - len(a.path)
		}
		return strings.Compare(a.path, b.path)
	})
}

func (p *places) exactly(path string) *place {
	for i := range p.list {
		if p.list[i].path == path {
			return &p.list[i]
		}
	}
	return nil
}

// folderOf is the folder of a file; empty: its project's own.
func folderOf(name string) string { return clean(path.Dir(name)) }

// clean returns a folder without the dot for the project's own.
func clean(folder string) string {
	if folder = path.Clean(folder); folder == "." {
		return ""
	}
	return folder
}

// inside reports whether a folder is in its project.
func inside(folder string) bool {
	return folder != ".." && !strings.HasPrefix(folder, "../") && !path.IsAbs(folder)
}

// survey finds out which modules come from where: those of the catalog by their source and path, and
// those that repositories name themselves.
func (r *resolver) survey() {
	for _, project := range r.search.looked {
		p := &places{}
		for i := range r.catalog.Modules {
			m := &r.catalog.Modules[i]
			if !sameProject(projectOf(m.Source, r.o.Host), project) {
				continue
			}
			p.catalog = true
			r.home[m.Name] = home{project, m.Path, m.TagPrefix}
			if known := p.exactly(m.Path); known != nil {
				known.modules = append(known.modules, m.Name)
			} else {
				p.list = append(p.list, place{m.Path, []string{m.Name}})
			}
		}
		r.places[project] = p
	}
	for _, f := range r.search.files {
		if f.found.Module != "" {
			r.named(f)
		}
	}
	for _, f := range r.search.files {
		r.unnamed(f)
	}
	for _, p := range r.places {
		p.sort()
	}
}

// named takes the name that a repository gives to a folder of its own.
func (r *resolver) named(f file) {
	p := r.places[f.project]
	folder := clean(path.Join(folderOf(f.path), f.found.Path))
	at := fmt.Sprintf("%s:%d", f.path, f.found.Line)
	name := f.found.Module
	m := r.catalog.Module(name)
	here := p.exactly(folder)
	switch h, known := r.home[name]; {
	case here != nil && slices.Contains(here.modules, name):
		here.modules = []string{name} // of several that come from here it is this one's file
	case known:
		r.problem(f.project, "%s: it calls itself module %q, which comes from %s", at, name, h)
	case m != nil && m.Source != "":
		r.problem(f.project, "%s: it calls itself module %q, which comes from %s in the catalog", at, name, m.Source)
	case here != nil:
		r.problem(f.project, "%s: it calls itself module %q, and the catalog calls what comes from here %s; the catalog wins", at, name, quoted(here.modules))
	default:
		tags := ""
		if m != nil {
			tags = m.TagPrefix
		}
		p.list = append(p.list, place{folder, []string{name}})
		r.home[name] = home{f.project, folder, tags}
		if m == nil {
			r.proposals[name] = &Proposal{Name: name, Source: f.project, Path: folder, Named: at}
		}
	}
}

// unnamed proposes a module for a project that the catalog does not know, and that has named
// none which a file belongs to.
func (r *resolver) unnamed(f file) {
	p := r.places[f.project]
	if p.catalog || p.exactly("") != nil { // it is known, or proposed already
		return
	}
	p.sort()
	if modules, _ := p.at(folderOf(f.path)); modules != nil || f.found.Module != "" {
		return
	}
	name := r.free(f.project)
	proposal := &Proposal{Name: name, Source: f.project}
	r.proposals[name] = proposal
	if r.catalog.Module(name) != nil {
		proposal.Known = true // perhaps: so nothing found there is said of the catalog's module
		p.list = append(p.list, place{"", nil})
		return
	}
	p.list = append(p.list, place{"", []string{name}})
	r.home[name] = home{f.project, "", ""}
}

// free returns a name for a project that is no other module's: its last part, or else all of them. A
// module of the catalog without a source may be what comes from there.
func (r *resolver) free(project string) string {
	taken := func(name string) bool {
		m := r.catalog.Module(name)
		_, known := r.home[name]
		return known || r.proposals[name] != nil || m != nil && m.Source != ""
	}
	if isHost(project) {
		_, project, _ = strings.Cut(project, "/")
	}
	// What may be in a project's path and not in a module's name.
	project = strings.TrimLeft(strings.NewReplacer("@", "-", " ", "-").Replace(project), "-")
	name := strings.TrimLeft(path.Base(project), "-")
	if name != "" && !taken(name) {
		return name
	}
	name = strings.ReplaceAll(project, "/", "-")
	for taken(name) {
		name += "-2"
	}
	return name
}

// home is where a module comes from.
type home struct {
	project, path, tagPrefix string
}

func (h home) String() string {
	if h.path == "" {
		return h.project
	}
	return h.project + "/" + h.path
}

// numbers reports whether a folder's artifacts have the versions of the module that comes from this
// home. In Go a module in a folder has tags of its own, which begin with that folder
// (https://go.dev/ref/mod#vcs-version).
func (h home) numbers(folder, kind string) bool {
	return folder == h.path && (kind != goKind || strings.TrimSuffix(h.tagPrefix, "/") == folder)
}
