package playbooks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Compile turns a wish and what is known of the world into a playbook. It is
// pure: the same input gives the same playbook, byte for byte, in whatever order
// the catalog lists its modules. The error is a *PlanError that lists everything
// that is wrong.
func Compile(c *Catalog, req Request, facts Facts) (*Playbook, error) {
	p := &planner{catalog: c, request: req, facts: &facts, graph: newPlanGraph(c), refused: make(map[int32]bool), builds: make(map[ModuleRef]*BuildState, len(facts.Builds)), newest: make(map[string]*BuildState, len(facts.Newest))}
	for i := range facts.Builds {
		b := &facts.Builds[i]
		p.builds[ModuleRef{b.Module, b.Version}] = b
	}
	for i := range facts.Newest {
		if b := &facts.Newest[i]; b.State == BuildPassed {
			p.newest[b.Module] = b
		}
	}
	p.findEnvironment()
	p.choose()
	p.checkNames()
	p.arrange()
	if p.environment != nil {
		p.checkNeeds()
	}
	if len(p.problems) > 0 {
		return nil, p.fail()
	}
	pb := p.playbook()
	if err := pb.seal(); err != nil {
		p.problem("ambiguous-name", "", err.Error())
		return nil, p.fail()
	}
	return pb, nil
}

// planner is one compilation. Modules, targets and units go by number: names
// are looked up once.
type planner struct {
	catalog *Catalog
	request Request
	facts   *Facts
	graph   *planGraph

	environment *Environment // nil: not found, which is a problem
	live        *planLive    // there; nil without an environment
	before      *planLive    // in the environment before; nil: there is none

	builds   map[ModuleRef]*BuildState
	newest   map[string]*BuildState // by module
	release  []planModule
	at       []int32 // by graph number: index into release, or -1
	skipped  []Skipped
	refused  map[int32]bool // asked for, but with a problem of their own
	used     []bool         // by target of the environment: something goes there
	targets  []string       // the names of those
	units    []planUnit
	problems []Problem
	warnings planWarnings
}

// planModule is a module of the release.
type planModule struct {
	*Module
	id       int32 // in the graph
	version  string
	source   string
	build    *BuildState // nil: nothing is known of it
	delivery Delivery
	targets  []int32 // numbers of the environment's targets, rising
	unit     int32
	needs    []planNeed // direct ones first
	direct   int        // how many
}

func (p *planner) problem(code, module, message string, offer ...string) {
	p.problems = append(p.problems, Problem{Code: code, Module: module, Message: message, Offer: offer})
}

func (p *planner) fail() error {
	return &PlanError{Environment: p.request.Environment, Problems: p.problems}
}

func (p *planner) findEnvironment() {
	names := make([]string, len(p.catalog.Environments))
	for i := range p.catalog.Environments {
		env := &p.catalog.Environments[i]
		names[i] = env.Name
		if env.Name != p.request.Environment {
			continue
		}
		p.environment = env
		p.live = p.newLive(env)
		if i > 0 {
			p.before = p.newLive(&p.catalog.Environments[i-1])
		}
		return
	}
	message := fmt.Sprintf("there is no environment %q", p.request.Environment)
	offer := planNearest(p.request.Environment, names)
	if p.request.Environment == "" {
		message = "no environment is named"
	}
	if offer == nil {
		there := "there is "
		if len(names) > 1 {
			there = "there are "
		}
		message += "; " + there + cmp.Or(planList(names, 8, "and"), "none")
	}
	p.problem("unknown-environment", "", message, offer...)
}

// choose finds out which modules are released, and with which versions.
func (p *planner) choose() {
	n := len(p.graph.mods)
	p.at = make([]int32, n)
	asked := make([]string, n)
	in := make([]bool, n)
	for i := range p.at {
		p.at[i] = -1
		in[i] = p.request.All
	}
	var names []string
	for _, ref := range p.request.Modules {
		i, ok := p.graph.ids[ref.Name]
		switch {
		case !ok:
			if names == nil {
				for _, m := range p.graph.mods {
					names = append(names, m.Name)
				}
			}
			p.problem("unknown-module", ref.Name, fmt.Sprintf("there is no module %q in the catalog", ref.Name), planNearest(ref.Name, names)...)
			continue
		case asked[i] != "" && ref.Version != "" && asked[i] != ref.Version:
			p.problem("two-versions", ref.Name, fmt.Sprintf("%s is asked for with two versions, %s and %s", ref.Name, asked[i], ref.Version),
				ref.Name+"@"+asked[i], ref.Name+"@"+ref.Version)
			continue
		}
		in[i] = true
		asked[i] = cmp.Or(ref.Version, asked[i])
	}
	p.release = make([]planModule, 0, n)
	for i, m := range p.graph.mods {
		if in[i] {
			p.chooseModule(planModule{Module: m, id: int32(i), version: asked[i], source: sourceAsked})
		}
	}
	switch {
	case len(p.release) > 0 || len(p.problems) > 0:
	case p.request.All:
		p.problem("nothing-to-release", "", fmt.Sprintf("there is nothing to release: %s", p.whySkipped()))
	default:
		p.problem("nothing-to-release", "", "no module is named", "--all")
	}
	p.useTargets()
}

// sourceAsked says that a version is the one that was asked for.
const sourceAsked = "asked for"

func (p *planner) chooseModule(m planModule) {
	optional := p.request.All && m.version == ""
	if p.environment != nil {
		m.delivery = m.In(p.environment.Name)
		m.targets = p.live.delivered(&m.delivery)
		if len(m.targets) == 0 {
			if optional {
				p.skip(m.Name, "not-delivered", "is delivered to none of the targets of "+p.environment.Name)
				return
			}
			p.problem("not-delivered", m.Name, fmt.Sprintf("%s cannot go to %s: its targets there are %s, and the environment has %s", m.Name,
				p.environment.Name, planList(m.delivery.Targets, 5, "and"), cmp.Or(planList(p.environment.Targets, 8, "and"), "none")))
			p.refused[m.id] = true
			return
		}
	}
	if m.version == "" {
		var candidates []string
		m.version, m.source, candidates = p.findVersion(m.id)
		switch {
		case len(candidates) > 0:
			p.problem("ambiguous-version", m.Name, fmt.Sprintf("%s has several versions in %s: %s", m.Name, p.before.name, planList(candidates, 5, "and")),
				planAt(m.Name, candidates)...)
			p.refused[m.id] = true
			return
		case m.version == "" && optional:
			p.skip(m.Name, "no-version", "the catalog names no version, and none is live in an environment before")
			return
		case m.version == "":
			p.problem("no-version", m.Name, fmt.Sprintf("no version of %s is named: the catalog has none, and none is live in an environment before", m.Name),
				m.Name+"@VERSION")
			p.refused[m.id] = true
			return
		}
	}
	if optional && p.environment != nil && p.live.known && p.live.has(m.id, m.targets, m.version) {
		p.skip(m.Name, "unchanged", m.version+" is live already")
		return
	}
	m.build = p.builds[ModuleRef{m.Name, m.version}]
	p.checkBuild(&m)
	p.at[m.id] = int32(len(p.release))
	p.release = append(p.release, m)
}

// checkBuild refuses a version that has no build it could be promoted with. Offline
// nothing is known of builds, and the plan that is made when it is released says so.
func (p *planner) checkBuild(m *planModule) {
	state := BuildMissing
	if m.build != nil {
		state = cmp.Or(m.build.State, BuildMissing)
	}
	if p.environment == nil || p.facts.At.IsZero() {
		return
	}
	var lacking []string
	for _, has := range [...]struct{ placeholder, value string }{{"{commit}", m.build.commit()}, {"{digest}", m.build.digest()}} {
		if has.value == "" && strings.Contains(m.delivery.Artifact, has.placeholder) {
			lacking = append(lacking, has.placeholder)
		}
	}
	switch {
	case p.environment.OnlyRegistered && m.Source != "" && state != BuildPassed:
		p.problem("unregistered", m.Name, fmt.Sprintf("only builds that are registered and have passed go to %s; that of %s %s is %s", p.environment.Name, m.Name, m.version, state),
			p.offerNewest(m.Name, m.version)...)
		p.refused[m.id] = true
	case len(lacking) > 0:
		p.problem("unregistered", m.Name, fmt.Sprintf("the artifact of %s wants %s, and no build of %s is registered that says it", m.Name, planList(lacking, 2, "and"), m.version),
			p.offerNewest(m.Name, m.version)...)
		p.refused[m.id] = true
	}
}

// offerNewest offers the newest build of a module that passed, unless that is version.
func (p *planner) offerNewest(module, version string) []string {
	if b := p.newest[module]; b != nil && b.Version != version {
		return []string{b.Module + "@" + b.Version}
	}
	return nil
}

// commit is what the build was made of; empty: not known, as of no build.
func (b *BuildState) commit() string {
	if b == nil {
		return ""
	}
	return b.Commit
}

func (b *BuildState) digest() string {
	if b == nil {
		return ""
	}
	return b.Digest
}

func (p *planner) skip(module, cause, detail string) {
	p.skipped = append(p.skipped, Skipped{Module: module, Cause: cause, Detail: detail})
}

func (p *planner) whySkipped() string {
	counts := make(map[string]int)
	for _, s := range p.skipped {
		counts[s.Cause]++
	}
	var parts []string
	for _, cause := range []struct{ code, words string }{
		{"unchanged", "live already"}, {"no-version", "without a version"}, {"not-delivered", "not delivered there"},
	} {
		if n := counts[cause.code]; n > 0 {
			parts = append(parts, planCount(n, "module")+" "+cause.words)
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "the catalog has no modules")
}

// useTargets finds the targets that something goes to. The others are no part of
// the playbook.
func (p *planner) useTargets() {
	if p.live == nil {
		return
	}
	p.used = make([]bool, len(p.live.targets))
	for i := range p.release {
		for _, t := range p.release[i].targets {
			p.used[t] = true
		}
	}
	for t, used := range p.used {
		if used {
			p.targets = append(p.targets, p.live.targets[t])
		}
	}
}

// checkNames reports what a catalog that was checked when it was loaded does
// not have.
func (p *planner) checkNames() {
	for _, name := range p.graph.twice {
		p.problem("duplicate-module", name, fmt.Sprintf("the catalog has two modules of the name %q", name))
	}
	for _, u := range p.graph.unknown {
		if p.at[u.from] >= 0 {
			m := p.graph.name(u.from)
			p.problem("unknown-need", m, fmt.Sprintf("%s needs %q, and there is no such module in the catalog", m, u.name))
		}
	}
}

// playbook writes down what was decided. All checks have passed.
func (p *planner) playbook() *Playbook {
	pb := &Playbook{
		Format:       PlaybookFormat,
		Environment:  p.environment.Name,
		Request:      p.request,
		Modules:      make([]PlannedModule, len(p.release)),
		Skipped:      p.skipped,
		Groups:       [][]string{},
		Approvals:    p.approvals(),
		OnFailure:    cmp.Or(p.environment.OnFailure, Hold),
		AutoRollback: p.environment.AutoRollback,
		Limit:        p.environment.Limit,
	}
	if len(p.environment.Targets) > 0 {
		pb.Targets = p.targets
	}
	needs := 0
	for i := range p.release {
		needs += len(p.release[i].Needs) + len(p.release[i].needs) - p.release[i].direct
	}
	arena := make([]PlannedNeed, 0, needs)
	for i := range p.release {
		m := &p.release[i]
		start := len(arena)
		arena = p.plannedNeeds(arena, m)
		pb.Modules[i] = PlannedModule{
			Name: m.Name, Version: m.version, From: p.from(m), Source: m.source, Owners: m.Owners,
			Wave: int(p.units[m.unit].wave), Needs: arena[start:len(arena):len(arena)],
		}
	}
	waves := int32(0)
	for i := range p.units {
		u := &p.units[i]
		waves = max(waves, u.wave)
		if u.group() {
			group := make([]string, len(u.members))
			for k, r := range u.members {
				group[k] = p.release[r].Name
			}
			pb.Groups = append(pb.Groups, group)
		}
	}
	slices.SortFunc(pb.Groups, slices.Compare)
	pb.Waves = make([][]string, waves)
	for i := range pb.Modules {
		m := &pb.Modules[i]
		pb.Waves[m.Wave-1] = append(pb.Waves[m.Wave-1], m.Name)
	}
	pb.Steps = newPlanSteps(p, pb.Approvals).compile()
	pb.Warnings = p.warn()
	return pb
}

// plannedNeeds appends the needs of m for people, sorted: its own, and those it
// has through modules outside the release.
func (p *planner) plannedNeeds(to []PlannedNeed, m *planModule) []PlannedNeed {
	start := len(to)
	ordering := p.graph.of(m.id)
	for _, e := range ordering {
		n := p.graph.need(m.id, e)
		planned := PlannedNeed{Module: n.Module, Kind: n.kind(), Constraint: n.Constraint, Outside: p.at[e.to] < 0, Reason: n.why()}
		if planned.Reason == "" {
			switch {
			case planned.Outside:
				planned.Reason = "has to be there already"
			case p.release[p.at[e.to]].unit == m.unit:
				planned.Reason = "is released together with it"
			default:
				planned.Reason = needRule(n.kind(), &p.release[p.at[e.to]])
			}
		}
		to = append(to, planned)
	}
	sorted := len(to)
	if len(ordering) < len(m.Needs) {
		for k := range m.Needs {
			if n := &m.Needs[k]; n.kind() == NeedTest {
				id, ok := p.graph.ids[n.Module]
				to = append(to, PlannedNeed{Module: n.Module, Kind: NeedTest, Constraint: n.Constraint,
					Outside: !ok || p.at[id] < 0, Reason: cmp.Or(n.why(), "for its tests only")})
			}
		}
	}
	for _, n := range m.needs[m.direct:] {
		to = append(to, PlannedNeed{Module: p.release[n.to].Name, Kind: NeedDeploy, Reason: "through " + n.via + ", not part of this release"})
	}
	if len(to) > sorted {
		slices.SortStableFunc(to[start:], func(a, b PlannedNeed) int {
			return cmp.Or(strings.Compare(a.Module, b.Module), -cmp.Compare(a.Kind, b.Kind),
				strings.Compare(a.Constraint, b.Constraint), strings.Compare(a.Reason, b.Reason))
		})
	}
	return to
}

// from is what the release replaces; nothing where that is not known.
func (p *planner) from(m *planModule) []From {
	if !p.live.known {
		return nil
	}
	from := make([]From, len(m.targets))
	for k, t := range m.targets {
		from[k] = From{Target: p.live.targets[t], Version: p.live.version(m.id, t)}
	}
	return from
}

// approvals are the questions of the environment's policy; none without rules.
func (p *planner) approvals() []Approval {
	policy := p.environment.Approvals
	if policy == nil || policy.None || len(policy.Rules) == 0 {
		return []Approval{}
	}
	title := planCount(len(p.release), "module")
	if len(p.release) <= 3 {
		var names []string
		for i := range p.release {
			names = append(names, p.release[i].Name+" "+p.release[i].version)
		}
		title = planList(names, 3, "and")
	}
	return []Approval{{
		Step:             stepApprove,
		Title:            fmt.Sprintf("release %s to %s", title, p.environment.Name),
		Rules:            policy.Rules,
		Distinct:         policy.Distinct,
		ExcludeRequester: policy.ExcludeRequester,
		ValidFor:         cmp.Or(policy.ValidFor, DefaultValidFor),
	}}
}
