package playbooks

import (
	"fmt"
	"slices"
	"strings"
)

// planWarnings collects what a person should see before saying yes.
type planWarnings struct {
	list      []Warning
	unchecked []string // needs outside the release in an environment that is not known
	versions  *planVersions
}

func (w *planWarnings) add(code, module, message string) {
	w.list = append(w.list, Warning{Code: code, Module: module, Message: message})
}

// warningOrder is the order in which warnings are shown: what may stop or hurt
// the release first.
var warningOrder = [...]string{
	"no-approvals", "frozen", "locked", "irreversible", "build", "untagged", "constraint", "downgrade", "unhealthy", "drift",
	"config-changed", "unchanged", "unknown-live", "impact",
}

// warn returns all warnings, by what they are about and then by module.
func (p *planner) warn() []Warning {
	p.warnApprovals()
	p.warnFreezes()
	p.warnLocks()
	released := p.index(p.live, p.facts.Released)
	for i := range p.release {
		m := &p.release[i]
		p.warnModule(m)
		p.warnDrift(m, released)
	}
	if names := p.warnings.unchecked; len(names) > 0 {
		slices.Sort(names)
		names = slices.Compact(names)
		p.warnings.add("unknown-live", "", fmt.Sprintf("what is live in %s is not known here, so nobody has checked that it has %s",
			p.environment.Name, planList(names, 5, "and")))
	}
	if len(p.release) < len(p.graph.mods) {
		p.warnImpact()
	}
	list := p.warnings.list
	slices.SortStableFunc(list, func(a, b Warning) int {
		if a.Code != b.Code {
			return slices.Index(warningOrder[:], a.Code) - slices.Index(warningOrder[:], b.Code)
		}
		return strings.Compare(a.Module, b.Module)
	})
	if list == nil {
		return []Warning{}
	}
	return list
}

func (p *planner) warnApprovals() {
	policy, name := p.environment.Approvals, p.environment.Name
	switch {
	case policy != nil && policy.None:
		p.warnings.add("no-approvals", "", fmt.Sprintf("nobody will be asked: %s says approvals: none", name))
	case policy == nil || len(policy.Rules) == 0:
		p.warnings.add("no-approvals", "", fmt.Sprintf("nobody will be asked: %s has no approval rule, and no release starts there until it has one or says approvals: none", name))
	}
}

func (p *planner) warnFreezes() {
	for _, f := range p.facts.Freezes {
		if f.Environment != "" && f.Environment != p.environment.Name || !p.facts.At.IsZero() && !f.Active(p.facts.At) {
			continue
		}
		what := p.environment.Name
		if f.Module != "" {
			if id, ok := p.graph.ids[f.Module]; !ok || p.at[id] < 0 {
				continue
			}
			what = f.Module
		}
		until := ""
		if !f.Until.IsZero() {
			until = " until " + f.Until.UTC().Format("2006-01-02 15:04 UTC")
		}
		message := fmt.Sprintf("%s is frozen%s by %s", what, until, f.By)
		if f.Reason != "" {
			message += ": " + f.Reason
		}
		p.warnings.add("frozen", f.Module, message)
	}
}

func (p *planner) warnLocks() {
	for _, l := range p.facts.Locks {
		t := slices.Index(p.live.targets, l.Target)
		id, ok := p.graph.ids[l.Module]
		if l.Environment != p.environment.Name || t < 0 || !ok || p.at[id] < 0 {
			continue
		}
		if slices.Contains(p.release[p.at[id]].targets, int32(t)) {
			p.warnings.add("locked", l.Module, fmt.Sprintf("run %s has %s in %s to itself; this release would wait for it", l.Run, l.Module, p.live.place(int32(t))))
		}
	}
}

func (p *planner) warnModule(m *planModule) {
	build := m.build
	switch {
	case m.Irreversible:
		p.warnings.add("irreversible", m.Name, fmt.Sprintf("%s %s cannot be rolled back", m.Name, m.version))
	case m.delivery.Migration != nil && m.delivery.Migration.Irreversible:
		p.warnings.add("irreversible", m.Name, fmt.Sprintf("the migration of %s to %s cannot be undone", m.Name, m.version))
	}
	// What others build is no build of ours, unless somebody asks for it by its version.
	ours := m.Source != "" || m.source == sourceAsked
	if build != nil && build.State != "" && build.State != BuildPassed && (ours || build.State != BuildMissing) {
		p.warnings.add("build", m.Name, fmt.Sprintf("the build of %s %s is %s", m.Name, m.version, build.State))
	}
	if m.delivery.Tag && IsPseudoVersion(m.version) {
		p.warnings.add("untagged", m.Name, fmt.Sprintf("%s %s is named after its commit, so it gets no tag", m.Name, m.version))
	}
	if !p.live.known {
		return
	}
	if p.live.has(m.id, m.targets, m.version) {
		p.warnings.add("unchanged", m.Name, fmt.Sprintf("%s %s is live already and is deployed again", m.Name, m.version))
	}
	lower, changed := false, false
	for _, t := range m.targets {
		live := p.live.get(m.id, t)
		if live == nil || live.Version == "" {
			continue
		}
		if !lower && p.warnings.versions.downgrade(live.Version, m.version) {
			lower = true
			p.warnings.add("downgrade", m.Name, fmt.Sprintf("%s goes back from %s, which is live in %s, to %s", m.Name, live.Version, p.live.place(t), m.version))
		}
		if !changed && build != nil && build.Config != "" && live.Config != "" && build.Config != live.Config {
			changed = true
			p.warnings.add("config-changed", m.Name, fmt.Sprintf("the configuration of %s changes with %s", m.Name, m.version))
		}
	}
}

// warnDrift compares what is live with what was released, the targets with
// each other, and the version with what the environment before has.
func (p *planner) warnDrift(m *planModule, released []*Live) {
	for _, t := range m.targets {
		was := released[int(m.id)*len(p.live.targets)+int(t)]
		if live := p.live.get(m.id, t); was != nil && live != nil && was.Version != live.Version {
			p.warnings.add("drift", m.Name, fmt.Sprintf("%s has %s in %s, but Muster released %s: somebody else has changed it",
				m.Name, orAbsent(live.Version), p.live.place(t), orAbsent(was.Version)))
		}
	}
	if found := p.live.versions(m.id, m.targets); p.live.known && len(found) > 1 {
		p.warnings.add("drift", m.Name, fmt.Sprintf("the targets of %s differ: %s", p.environment.Name, p.perTarget(m)))
	}
	if p.before == nil || !p.before.known {
		return
	}
	d := m.In(p.before.name)
	targets := p.before.delivered(&d)
	found := p.before.versions(m.id, targets)
	switch {
	case len(targets) == 0 || slices.Contains(found, m.version):
		for _, t := range targets {
			if live := p.before.get(m.id, t); live != nil && live.Version == m.version && !live.Healthy {
				p.warnings.add("unhealthy", m.Name, strings.TrimSuffix(fmt.Sprintf("%s %s is not healthy in %s: %s", m.Name, m.version, p.before.place(t), live.Message), ": "))
				return
			}
		}
	case len(found) == 0:
		p.warnings.add("drift", m.Name, fmt.Sprintf("%s was never live in %s", m.Name, p.before.name))
	default:
		p.warnings.add("drift", m.Name, fmt.Sprintf("%s has %s of %s, not %s", p.before.name, planList(found, 3, "and"), m.Name, m.version))
	}
}

func (p *planner) perTarget(m *planModule) string {
	var parts []string
	for _, t := range m.targets {
		parts = append(parts, fmt.Sprintf("%s has %s %s", p.live.targets[t], m.Name, orAbsent(p.live.version(m.id, t))))
	}
	return planList(parts, 6, "and")
}

func orAbsent(version string) string {
	if version == "" {
		return "nothing"
	}
	return version
}

// warnImpact says in one warning who depends on the release without being part
// of it, and in further ones whose constraints it breaks.
func (p *planner) warnImpact() {
	released := make([]bool, len(p.graph.mods))
	for i := range p.release {
		released[p.release[i].id] = true
	}
	for i := range p.graph.mods {
		if released[i] || p.live.known && len(p.live.versions(int32(i), p.live.all)) == 0 {
			continue
		}
		for _, e := range p.graph.of(int32(i)) {
			if !released[e.to] {
				continue
			}
			need, to := p.graph.need(int32(i), e), &p.release[p.at[e.to]]
			if ok, note := p.warnings.versions.satisfies(to.version, need.Constraint); !ok {
				p.warnings.add("constraint", p.graph.name(int32(i)), fmt.Sprintf("%s is not part of this release and needs %s %s, which %s is not%s",
					p.graph.name(int32(i)), to.Name, need.Constraint, to.version, note))
			}
		}
	}
	var direct, through []string
	for _, hit := range p.graph.impact(released) {
		if hit.Needs == nil {
			through = append(through, hit.Module)
		} else {
			direct = append(direct, fmt.Sprintf("%s (%s)", hit.Module, planList(hit.Needs, 2, "and")))
		}
	}
	if len(direct) == 0 {
		return
	}
	verb := "need"
	if len(direct) == 1 {
		verb = "needs"
	}
	message := fmt.Sprintf("%s %s what changes here and stays as it is: %s", planCount(len(direct), "module"), verb, planList(direct, 5, "and"))
	if len(direct) > 1 {
		message = strings.Replace(message, "stays as it is", "stay as they are", 1)
	}
	if len(through) > 0 {
		message += fmt.Sprintf("; through those it reaches %d more: %s", len(through), planList(through, 5, "and"))
	}
	p.warnings.add("impact", "", message)
}
