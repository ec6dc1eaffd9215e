package configs

import (
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/muster-release/muster/playbooks"
)

// decoder makes a Config of the trees of all files. It goes on after every
// mistake, with the zero value where something cannot be used.
type decoder struct {
	*loader
	catalog  *playbooks.Catalog
	server   Server
	defaults deliveries
	standard map[string]playbooks.Delivery // of modules without `deploy`

	modules      map[string]mark
	environments map[string]mark
	people       map[string]mark
	groups       map[string]mark
	handles      map[handle]string // whose they are
	index        map[string]mark

	refs    []ref
	rules   []policyAt
	targets []targetsAt
	members map[string][]string        // of groups
	rolls   map[string]map[string]mark // where groups say that members are in another system, by group and system
	shownIn []*node                    // channels of environments, rules and trains
	hints   int                        // suggestions looked for among all names

	eventRules []ruleAt
	ruleNames  map[string]mark
	trains     map[string]mark
	wishes     []wish
	acting     []acting
	serves     bool // there is a section server
	schedules  bool // the pager can be asked for schedules
}

func newDecoder(l *loader) *decoder {
	return &decoder{
		loader:       l,
		catalog:      &playbooks.Catalog{Cycles: playbooks.RefuseCycles},
		server:       Server{Listen: DefaultListen, Data: DefaultData},
		modules:      make(map[string]mark),
		environments: make(map[string]mark),
		people:       make(map[string]mark),
		groups:       make(map[string]mark),
		handles:      make(map[handle]string),
		rolls:        make(map[string]map[string]mark),
		ruleNames:    make(map[string]mark),
		trains:       make(map[string]mark),
		index:        make(map[string]mark),
	}
}

// section is a key at the top of a file. Later sections may rest on what
// earlier ones said in any file.
type section struct {
	key    string
	once   bool // in all files together
	decode func(*node)
}

func (d *decoder) sections() []section {
	return []section{
		{key: "include", decode: func(*node) {}}, // followed when the file was read
		{key: "name", once: true, decode: func(n *node) { d.catalog.Name = d.text(n) }},
		{key: "cycles", once: true, decode: d.cycles},
		{key: "people", decode: d.each(d.person)},
		{key: "groups", decode: d.each(d.group)},
		{key: "environments", decode: d.each(d.environment)},
		{key: "defaults", once: true, decode: d.defaultsSection},
		{key: "modules", decode: d.each(d.module)},
		{key: "discovered", decode: d.discoveredSection},
		{key: "access", decode: d.each(d.access)},
		{key: "rules", decode: d.eventRulesSection},
		{key: "trains", decode: d.trainsSection},
		{key: "server", once: true, decode: d.serverSection},
	}
}

func (d *decoder) each(decode func(*node)) func(*node) {
	return func(n *node) {
		for _, item := range d.list(n) {
			decode(item)
		}
	}
}

// config reads all sections of all files, and then checks how they fit.
func (d *decoder) config() *Config {
	sections := d.sections()
	first := make([]mark, len(sections))
	for i, s := range sections {
		for _, file := range d.files {
			if file.root == nil {
				continue
			}
			at := slices.IndexFunc(file.root.pairs, func(p pair) bool { return p.key == s.key })
			if at < 0 {
				continue
			}
			p := file.root.pairs[at]
			if s.once && first[i].src != nil {
				d.report(p.at, "", "%q is given twice, first at %s", s.key, first[i].position())
				continue
			}
			first[i] = p.at
			s.decode(p.value)
		}
	}
	config := &Config{Catalog: d.catalog, Server: d.server, index: d.index}
	for _, file := range d.files {
		d.unknownSections(file, sections)
		config.Files = append(config.Files, file.src.name)
	}
	d.check()
	return config
}

func (d *decoder) unknownSections(file document, sections []section) {
	if file.root == nil {
		return
	}
	fields := make([]field, len(sections))
	for i, s := range sections {
		fields[i].key = s.key
	}
	for _, p := range file.root.pairs {
		if !slices.ContainsFunc(sections, func(s section) bool { return s.key == p.key }) {
			d.unknownKey(p, "the configuration", fields)
		}
	}
}

func (d *decoder) cycles(n *node) {
	d.catalog.Cycles = choice(d, n, "way to treat cycles", playbooks.RefuseCycles, playbooks.ReleaseTogether)
}

// require reports the keys that a mapping must have and has not.
func (d *decoder) require(n *node, what string, keys ...string) {
	if n.kind != mapping {
		return
	}
	for _, key := range keys {
		if !hasKey(n, key) {
			d.report(n.at, "", "%q is missing from %s", key, what)
		}
	}
}

func hasKey(n *node, key string) bool {
	return slices.ContainsFunc(n.pairs, func(p pair) bool { return p.key == key })
}

// declare remembers that something bears a name, and reports a second one.
func (d *decoder) declare(in map[string]mark, what, name string, at mark) {
	if first, ok := in[name]; ok {
		d.report(at, "", "%s %q is defined twice, first at %s", what, name, first.position())
		return
	}
	in[name] = at
}

func (d *decoder) locate(at mark, path ...string) {
	key := indexKey(path)
	if _, ok := d.index[key]; !ok {
		d.index[key] = at
	}
}

func (d *decoder) module(n *node) {
	var m playbooks.Module
	var needs, owners, deploy, onCall *node
	var inSource []*node
	ok := d.object(n, "a module",
		field{key: "name", decode: func(n *node) {
			if m.Name = d.name(n, "the name of a module", forModules); m.Name != "" {
				d.declare(d.modules, "module", m.Name, n.at)
				d.locate(n.at, "modules", m.Name)
			}
		}},
		field{key: "description", decode: func(n *node) { m.Description = d.text(n) }},
		field{key: "owners", decode: func(n *node) { owners = n }},
		field{key: "source", decode: func(n *node) { m.Source = d.source(n) }},
		field{key: "path", decode: func(n *node) { m.Path, inSource = d.relative(n), append(inSource, n) }},
		field{key: "tagPrefix", decode: func(n *node) { m.TagPrefix, inSource = d.tagPrefix(n), append(inSource, n) }},
		field{key: "configPaths", decode: func(n *node) { m.ConfigPaths, inSource = d.configPaths(n), append(inSource, n) }},
		field{key: "onCall", decode: func(n *node) { m.OnCall, onCall = d.schedule(n), n }},
		field{key: "version", decode: func(n *node) { m.Version = d.name(n, "a version", forVersions) }},
		field{key: "needs", decode: func(n *node) { needs = n }},
		field{key: "labels", decode: func(n *node) { m.Labels = d.table(n) }},
		field{key: "reversible", decode: func(n *node) { m.Irreversible = !d.flag(n) }},
		field{key: "deploy", decode: func(n *node) { deploy = n }},
	)
	if !ok {
		return
	}
	d.require(n, "a module", "name")
	subject := "a module"
	if m.Name != "" {
		subject = "module " + quote(m.Name)
	}
	if owners != nil {
		m.Owners = d.names(owners, aPersonOrGroup, subject+" is owned by")
	}
	if m.Source == "" && !hasKey(n, "source") {
		for _, in := range inSource {
			d.report(in.at, "", "%q is about the project that %s comes from, and it has no source", in.name, subject)
		}
	}
	if onCall != nil {
		d.wish(onCall, pagerdutySystem, subject+" has people on call")
	}
	if needs != nil {
		m.Needs = d.needs(needs, m.Name, subject)
	}
	m.Deploy = d.standard
	if deploy != nil {
		m.Deploy = combine(d.defaults, d.deliveries(deploy, subject))
	}
	d.catalog.Modules = append(d.catalog.Modules, m)
}

// needs reads what a module needs. Its name comes first, wherever it stands.
func (d *decoder) needs(n *node, module, subject string) []playbooks.Need {
	type edge struct {
		module string
		kind   playbooks.NeedKind
	}
	items := d.list(n)
	needs := make([]playbooks.Need, 0, len(items))
	seen := make(map[edge]bool, len(items))
	for _, item := range items {
		need := playbooks.Need{Kind: playbooks.NeedDeploy}
		at := item
		if item.kind == mapping {
			d.object(item, "a need",
				field{key: "module", decode: func(n *node) { need.Module, at = d.text(n), n }},
				field{key: "version", decode: func(n *node) { need.Constraint = d.constraint(n) }},
				field{key: "kind", decode: func(n *node) { need.Kind = d.needKind(n) }},
				field{key: "reason", decode: func(n *node) { need.Reason = d.text(n) }},
			)
			d.require(item, "a need", "module")
		} else {
			need.Module = d.text(item)
		}
		switch key := (edge{need.Module, need.Kind}); {
		case need.Module == "":
			if at.kind == text {
				d.report(at.at, "", "%s needs a module without a name", subject)
			}
			continue
		case need.Module == module:
			d.report(at.at, "", "%s needs itself", subject)
			continue
		case seen[key]:
			d.report(at.at, "", "%s needs %q twice", subject, need.Module)
			continue
		default:
			seen[key] = true
		}
		d.refer(at, need.Module, aNeed, subject+" needs")
		d.locate(at.at, "modules", module, "needs", need.Module)
		needs = append(needs, need)
	}
	return needs
}

// constraint reads a version constraint, in the language in which the planner
// checks it.
func (d *decoder) constraint(n *node) string {
	value := strings.TrimSpace(d.text(n))
	if value == "" {
		if n.kind == text {
			d.report(n.at, "", "the version constraint is empty: leave it out to take any version")
		}
		return ""
	}
	if _, err := semver.NewConstraint(value); err != nil {
		d.report(n.at, "", `bad version constraint %q: write one such as ">=1.2", "^1.4" or ">=1.2, <2"`, value)
	}
	return value
}

func (d *decoder) environment(n *node) {
	e := playbooks.Environment{OnFailure: playbooks.Hold}
	var approvals *node
	ok := d.object(n, "an environment",
		field{key: "name", decode: func(n *node) {
			if e.Name = d.name(n, "the name of an environment", forPlaces); e.Name != "" {
				d.declare(d.environments, "environment", e.Name, n.at)
				d.locate(n.at, "environments", e.Name)
			}
		}},
		field{key: "description", decode: func(n *node) { e.Description = d.text(n) }},
		field{key: "targets", decode: func(n *node) {
			for _, item := range d.unique(d.list(n)) {
				if target := d.name(item, "the name of a target", forPlaces); target != "" {
					e.Targets = append(e.Targets, target)
				}
			}
		}},
		field{key: "approvals", decode: func(n *node) { approvals = n }},
		field{key: "limit", decode: func(n *node) { e.Limit = d.count(n) }},
		field{key: "onFailure", decode: func(n *node) {
			e.OnFailure = choice(d, n, "onFailure", playbooks.Hold, playbooks.FinishIndependent, playbooks.RollBack)
		}},
		field{key: "autoRollback", decode: func(n *node) { e.AutoRollback = d.flag(n) }},
		field{key: "onlyRegistered", decode: func(n *node) { e.OnlyRegistered = d.flag(n) }},
		field{key: "channels", decode: func(n *node) {
			e.Channels = d.texts(n)
			d.shownIn = append(d.shownIn, n)
		}},
		field{key: "ownersMay", decode: func(n *node) {
			e.OwnersMay = []playbooks.Verb{} // an empty list lets them do nothing
			for _, item := range d.unique(d.list(n)) {
				e.OwnersMay = append(e.OwnersMay, choice(d, item, "verb", playbooks.Verbs[:]...))
			}
		}},
	)
	if !ok {
		return
	}
	d.require(n, "an environment", "name")
	if approvals != nil {
		e.Approvals = d.approvals(approvals, e.Name)
	}
	d.catalog.Environments = append(d.catalog.Environments, e)
}

func (d *decoder) approvals(n *node, environment string) *playbooks.ApprovalPolicy {
	if n.kind == text {
		if n.text == "none" {
			return &playbooks.ApprovalPolicy{None: true}
		}
		d.report(n.at, didYouMean(n.text, slices.Values([]string{"none"})), `"approvals" wants none, or keys with values`)
		return nil
	}
	policy := &playbooks.ApprovalPolicy{Distinct: true, ExcludeRequester: true}
	asked := policyAt{policy: policy, environment: environment, at: n.at}
	ok := d.object(n, "the approvals",
		field{key: "rules", decode: func(n *node) {
			asked.at = n.at
			for _, item := range d.list(n) {
				d.rule(item, &asked)
			}
			if n.kind == list && len(n.items) == 0 {
				d.report(n.at, "", "there are no rules here: write approvals: none to ask nobody")
			}
		}},
		field{key: "distinct", decode: func(n *node) { policy.Distinct = d.flag(n) }},
		field{key: "excludeRequester", decode: func(n *node) { policy.ExcludeRequester = d.flag(n) }},
		field{key: "validFor", decode: func(n *node) { policy.ValidFor = d.duration(n) }},
	)
	if !ok {
		return nil
	}
	d.require(n, "the approvals", "rules")
	d.rules = append(d.rules, asked)
	return policy
}

func (d *decoder) rule(n *node, asked *policyAt) {
	rule := playbooks.ApprovalRule{Count: 1}
	group, count := n, n
	if !d.object(n, "an approval rule",
		field{key: "group", decode: func(n *node) { rule.Group, group = d.text(n), n }},
		field{key: "count", decode: func(n *node) { rule.Count, count = d.integer(n, 1, 100), n }},
	) {
		return
	}
	d.require(n, "an approval rule", "group")
	if rule.Group == "" {
		return
	}
	d.refer(group, rule.Group, aGroup, "environment "+quote(asked.environment)+" asks")
	asked.policy.Rules = append(asked.policy.Rules, rule)
	asked.groups = append(asked.groups, group.at)
	asked.counts = append(asked.counts, count.at)
}
