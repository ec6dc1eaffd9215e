package gitlab

import (
	"net/url"
	"strings"

	"github.com/muster-release/muster/playbooks"
)

// project returns the path of the project that a source names, empty where the source is in no
// project of this GitLab. A source is the path, with or without the host before it, and below the host
// what GitLab has there. A first part with a dot in it is a host if two more come after it: a group
// whose name has a dot, with groups in it, needs the host before it.
func (g *GitLab) project(source string) string {
	_, rest, isURL := strings.Cut(source, "://")
	if !isURL {
		rest = source
	}
	rest = strings.TrimSuffix(strings.Trim(rest, "/"), ".git")
	host, path, found := strings.Cut(rest, "/")
	if !found {
		return "" // every project is in a namespace
	}
	switch {
	case strings.EqualFold(host, g.base.Host), strings.EqualFold(host, g.base.Hostname()):
		folder := strings.Trim(g.base.Path, "/")
		if folder == "" {
			return path
		}
		if within, ok := cutPrefixFold(path, folder+"/"); ok {
			return within
		}
		return path
	case isURL, strings.ContainsRune(host, ':'):
		return "" // another host
	case strings.ContainsRune(host, '.') && strings.ContainsRune(path, '/'):
		return "" // likewise: "github.com/shop/api"
	}
	return rest
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// projectOf returns the path of the project that a module lives in. The error is Permanent.
func (g *GitLab) projectOf(m *playbooks.Module) (string, error) {
	if m.Source == "" {
		return "", refuse("find the project of module %q: the catalog names no source for it", m.Name)
	}
	project := g.project(m.Source)
	if project == "" {
		return "", refuse("find the project of module %q: its source %q is no project of %s", m.Name, m.Source, g.base.Host)
	}
	return project, nil
}

// modulesOf returns the modules of the catalog that live in a project, in the catalog's order.
func (g *GitLab) modulesOf(project string) []*playbooks.Module {
	catalog := g.options.Catalog()
	var all []*playbooks.Module
	for i := range catalog.Modules {
		if m := &catalog.Modules[i]; strings.EqualFold(g.project(m.Source), project) {
			all = append(all, m)
		}
	}
	return all
}

// projects returns the paths of all projects that modules live in, each once, in the catalog's
// order.
func (g *GitLab) projects() []string {
	seen := make(map[string]bool)
	var all []string
	for _, m := range g.options.Catalog().Modules {
		if p := g.project(m.Source); p != "" && !seen[strings.ToLower(p)] {
			seen[strings.ToLower(p)] = true
			all = append(all, p)
		}
	}
	return all
}

// projectAt returns the path of the project whose page has an address, empty if it is not one
// of this GitLab.
func (g *GitLab) projectAt(address string) string {
	u, err := url.Parse(address)
	if err != nil || !strings.EqualFold(u.Host, g.base.Host) {
		return ""
	}
	path, ok := cutPrefixFold(u.Path, g.base.Path+"/")
	if !ok {
		return ""
	}
	path, _, _ = strings.Cut(path, "/-/")
	return strings.Trim(path, "/")
}
