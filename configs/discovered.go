package configs

import (
	"slices"

	"github.com/muster-release/muster/playbooks"
)

// ForDiscovery passes over what stands under `discovered` and no longer fits the modules,
// instead of calling it a mistake: it is going to be discovered anew.
func ForDiscovery() Option {
	return func(l *loader) { l.rediscovers = true }
}

// discoveredSection adds needs that `muster discover` has found to the modules that have
// them. What a module declares itself wins: a need of the same module that was found is
// passed over, whatever its kind.
func (d *decoder) discoveredSection(n *node) {
	at := make(map[string]int, len(d.catalog.Modules))
	for i := range d.catalog.Modules {
		at[d.catalog.Modules[i].Name] = i
	}
	for _, item := range d.list(n) {
		d.discovered(item, at)
	}
}

func (d *decoder) discovered(n *node, at map[string]int) {
	var module, needs *node
	if !d.object(n, "what was discovered",
		field{key: "module", decode: func(n *node) { module = n }},
		field{key: "needs", decode: func(n *node) { needs = n }},
	) {
		return
	}
	d.require(n, "what was discovered", "module", "needs")
	if module == nil || needs == nil {
		return
	}
	name := d.text(module)
	if name == "" {
		if module.kind == text {
			d.report(module.at, "", "needs were discovered of a module without a name")
		}
		return
	}
	i, known := at[name]
	if !known && d.rediscovers {
		return
	}
	d.refer(module, name, aModule, "needs were discovered of")
	var m playbooks.Module // where the module is unknown, its needs are still read for mistakes
	if known {
		m = d.catalog.Modules[i]
	}
	declared := len(m.Needs)
	for declared > 0 && m.Needs[declared-1].Source != "" {
		declared--
	}
	m.Needs = slices.Clip(m.Needs)
	for _, item := range d.list(needs) {
		need, place := d.discoveredNeed(item)
		same := func(n playbooks.Need) bool { return n.Module == need.Module && n.Kind == need.Kind }
		switch {
		case need.Module == "":
		case need.Module == name:
			d.report(place.at, "", "module %q was discovered to need itself", name)
		case slices.ContainsFunc(m.Needs[declared:], same):
			d.report(place.at, "", "module %q was discovered to need %q twice", name, need.Module)
		case slices.ContainsFunc(m.Needs[:declared], func(n playbooks.Need) bool { return n.Module == need.Module }):
		default:
			if _, ok := at[need.Module]; !ok && d.rediscovers {
				continue
			}
			d.refer(place, need.Module, aNeed, "module "+quote(name)+" was discovered to need")
			d.locate(place.at, "modules", name, "needs", need.Module)
			m.Needs = append(m.Needs, need)
		}
	}
	if known {
		d.catalog.Modules[i].Needs = m.Needs
	}
}

// discoveredNeed reads one need, and returns where its module is named.
func (d *decoder) discoveredNeed(n *node) (playbooks.Need, *node) {
	need, at := playbooks.Need{Kind: playbooks.NeedDeploy}, n
	if !d.object(n, "a discovered need",
		field{key: "module", decode: func(n *node) { need.Module, at = d.text(n), n }},
		field{key: "version", decode: func(n *node) { need.Constraint = d.constraint(n) }},
		field{key: "kind", decode: func(n *node) { need.Kind = d.needKind(n) }},
		field{key: "reason", decode: func(n *node) { need.Reason = d.text(n) }},
		field{key: "source", decode: func(n *node) {
			if need.Source = d.text(n); need.Source == "" && n.kind == text {
				d.report(n.at, "", `"source" is empty: say where the need was found, such as go.mod:12`)
			}
		}},
	) {
		return playbooks.Need{}, at
	}
	d.require(n, "a discovered need", "module", "source")
	if need.Module == "" && at.kind == text {
		d.report(at.at, "", "a module without a name was discovered to be needed")
	}
	return need, at
}

func (d *decoder) needKind(n *node) playbooks.NeedKind {
	return choice(d, n, "kind of need", playbooks.NeedDeploy, playbooks.NeedBuild, playbooks.NeedTest)
}
