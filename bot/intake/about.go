package intake

import (
	"context"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
)

// versionForm is what a version from outside has to look like: it becomes part of a line.
var versionForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+/-]{0,127}$`)

func isVersion(s string) bool { return versionForm.MatchString(s) }

// fromForge reports whether an event is about a project of a forge.
func fromForge(k events.Kind) bool {
	switch k {
	case events.Push, events.Tag, events.MergeRequest, events.Pipeline, events.Job, events.Deployment, events.Release:
		return true
	}
	return false
}

// about names the modules of the catalog that an event is about, in its order.
func (in *Intake) about(c *playbooks.Catalog, e *events.Event) []string {
	var fits func(m *playbooks.Module) bool
	modules := c.Modules
	switch {
	case fromForge(e.Kind):
		modules = in.project(c, e)
		prefix := longestPrefix(modules, e)
		fits = func(m *playbooks.Module) bool {
			return inProject(m, e) && (e.Fields["tag"] == "" || m.TagPrefix == prefix)
		}
	case e.Kind == events.AlertFiring, e.Kind == events.AlertResolved:
		fits = func(m *playbooks.Module) bool {
			return slices.ContainsFunc(in.o.AlertLabels, func(label string) bool {
				value := e.Fields["label."+label]
				return value != "" && (value == m.Name || value == m.Labels[label])
			})
		}
	case e.Fields["components"] != "":
		components := splitList(e.Fields["components"])
		fits = func(m *playbooks.Module) bool {
			return slices.Contains(components, m.Name) || m.Labels["component"] != "" && slices.Contains(components, m.Labels["component"])
		}
	default:
		return nil
	}
	var names []string
	for i := range modules {
		if fits(&modules[i]) {
			names = append(names, modules[i].Name)
		}
	}
	return names
}

// splitList reads names with commas between them.
func splitList(s string) []string {
	names := strings.Split(s, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// index are the modules of a catalog by the last part of their source, so that the many
// events of a forge do not cost a look at each.
type index struct {
	catalog *playbooks.Catalog
	modules map[string][]playbooks.Module
}

// project returns the modules that may be those of an event's project.
func (in *Intake) project(c *playbooks.Catalog, e *events.Event) []playbooks.Module {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.index == nil || in.index.catalog != c {
		in.index = &index{c, make(map[string][]playbooks.Module)}
		for _, m := range c.Modules {
			last := lastPart(m.Source)
			in.index.modules[last] = append(in.index.modules[last], m)
		}
	}
	return in.index.modules[lastPart(e.Fields["project"])]
}

func lastPart(path string) string {
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	return strings.ToLower(path[strings.LastIndexByte(path, '/')+1:])
}

// longestPrefix is the longest TagPrefix of the event's project that its tag begins with.
func longestPrefix(modules []playbooks.Module, e *events.Event) string {
	longest := ""
	for i := range modules {
		m := &modules[i]
		if len(m.TagPrefix) > len(longest) && strings.HasPrefix(e.Fields["tag"], m.TagPrefix) && inProject(m, e) {
			longest = m.TagPrefix
		}
	}
	return longest
}

// inProject reports whether a module's source is the project that an event is about. Before
// the project's path may stand the forge's host, and what the forge has below it.
func inProject(m *playbooks.Module, e *events.Event) bool {
	project := strings.Trim(e.Fields["project"], "/")
	_, source, found := strings.Cut(m.Source, "://")
	if !found {
		source = m.Source
	}
	source = strings.TrimSuffix(strings.Trim(source, "/"), ".git")
	if source == "" || project == "" {
		return false
	}
	if strings.EqualFold(source, project) {
		return true
	}
	before, ok := cutSuffixFold(source, "/"+project)
	if !ok {
		return false
	}
	host, folder, _ := strings.Cut(before, "/")
	link, err := url.Parse(e.Link)
	if err != nil || link.Host == "" {
		return folder == "" && strings.ContainsAny(host, ".:")
	}
	return (strings.EqualFold(host, link.Host) || strings.EqualFold(host, link.Hostname())) &&
		(folder == "" || strings.HasPrefix(link.Path, "/"+folder+"/"))
}

func cutSuffixFold(s, suffix string) (string, bool) {
	at := len(s) - len(suffix)
	if at < 0 || !strings.EqualFold(s[at:], suffix) {
		return s, false
	}
	return s[:at], true
}

// refs are the modules that a rule is about, with their versions.
type refs struct {
	modules []playbooks.ModuleRef
	// absent says which build has to be registered first; empty: none.
	absent string
	// odd says what is no version though it ought to be one; empty: nothing.
	odd string
}

// choose finds out what a rule is to plan or release because of an event: of modules of the
// event's project the version that it names, or the one that was built from its commit; of all others
// the newest build that passed, or none, which leaves the choice to the planner.
func (in *Intake) choose(ctx context.Context, c *playbooks.Catalog, rule *playbooks.Rule, e *events.Event) (refs, error) {
	names := rule.Modules
	if len(names) == 0 {
		names = in.about(c, e)
	}
	prefix := longestPrefix(in.project(c, e), e)
	env := c.Environment(rule.To)
	builds := in.o.Sources[e.Source].Builds != nil
	// What is not merged yet builds nothing that is released.
	open := e.Kind == events.MergeRequest && e.Fields["state"] != "merged"
	var r refs
	unbuilt, built := "", 0
	for _, name := range names {
		m := c.Module(name)
		if m == nil {
			continue
		}
		ref := playbooks.ModuleRef{Name: name}
		own := fromForge(e.Kind) && (inProject(m, e) || m.Source == "")
		switch {
		case own && e.Fields["tag"] != "" && (m.TagPrefix == prefix || m.Source == ""):
			ref.Version = strings.TrimPrefix(e.Fields["tag"], m.TagPrefix)
			if !isVersion(ref.Version) {
				r.odd = ref.Version
				return r, nil
			}
			if env != nil && env.OnlyRegistered && builds {
				b, err := in.o.Builds.Build(ctx, name, ref.Version)
				if err != nil {
					return r, err
				}
				if b.State == playbooks.BuildMissing {
					r.absent = name + "@" + ref.Version
				}
			}
		case own && e.Fields["tag"] == "" && e.Fields["commit"] != "" && builds && m.Source != "" && !open:
			version, err := in.o.Builds.VersionOf(ctx, name, e.Fields["commit"])
			if err != nil {
				return r, err
			}
			if version == "" {
				unbuilt = name + " of commit " + cut(e.Fields["commit"], 12)
				continue
			}
			built++
			ref.Version = version
		default:
			b, found, err := in.o.Builds.Newest(ctx, name)
			if err != nil {
				return r, err
			}
			if found {
				ref.Version = b.Version
			}
		}
		r.modules = append(r.modules, ref)
	}
	// A pipeline builds what it builds: what a commit did not touch is not waited for.
	if unbuilt != "" && built == 0 {
		r.absent = unbuilt
	}
	return r, nil
}

// About names the modules of the catalog that an event is about, in the catalog's order.
func (in *Intake) About(e events.Event) []string { return in.about(in.o.Policy().Catalog(), &e) }
