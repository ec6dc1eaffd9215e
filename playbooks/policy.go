package playbooks

import (
	"fmt"
	"slices"
	"strings"
)

// DefaultOwnerVerbs is what owners may do with their own modules where an
// environment does not say otherwise.
var DefaultOwnerVerbs = []Verb{VerbView, VerbRelease, VerbOperate, VerbAbort, VerbRollback}

// Everyone stands for every person of the catalog where a list names people.
const Everyone = "everyone"

// Verbs returns what a role allows; an unknown role allows nothing.
func (r Role) Verbs() []Verb {
	switch r {
	case Viewer:
		return []Verb{VerbView}
	case Releaser:
		return []Verb{VerbView, VerbRelease, VerbOperate, VerbAbort, VerbRollback}
	case Operator:
		return []Verb{VerbView, VerbRelease, VerbOperate, VerbAbort, VerbRollback, VerbSkip, VerbFreeze}
	case Admin:
		return Verbs[:]
	}
	return nil
}

// Policy answers who may do what by a catalog. It is immutable and safe for
// concurrent use. Decisions always go by the policy of the newest catalog, also
// for runs that were compiled from an older one.
type Policy struct {
	catalog      *Catalog
	people       map[string]*Person
	members      map[string]map[string]bool // group → people, nested groups resolved
	owners       map[string][]string
	environments map[string]*Environment
}

// NewPolicy reads the people, groups, owners and access rules of c.
func NewPolicy(c *Catalog) *Policy {
	p := &Policy{
		catalog:      c,
		people:       make(map[string]*Person),
		members:      make(map[string]map[string]bool),
		owners:       make(map[string][]string),
		environments: make(map[string]*Environment),
	}
	for i := range c.People {
		p.people[c.People[i].ID] = &c.People[i]
	}
	for i := range c.Modules {
		p.owners[c.Modules[i].Name] = c.Modules[i].Owners
	}
	for i := range c.Environments {
		p.environments[c.Environments[i].Name] = &c.Environments[i]
	}
	groups := make(map[string]*Group)
	for i := range c.Groups {
		groups[c.Groups[i].Name] = &c.Groups[i]
	}
	for name := range groups {
		in := make(map[string]bool)
		p.resolve(groups, name, in, make(map[string]bool))
		p.members[name] = in
	}
	return p
}

func (p *Policy) resolve(groups map[string]*Group, name string, in, seen map[string]bool) {
	if seen[name] {
		return
	}
	seen[name] = true
	for _, m := range groups[name].Members {
		if _, nested := groups[m]; nested {
			p.resolve(groups, m, in, seen)
		} else if _, known := p.people[m]; known {
			in[m] = true
		}
	}
}

// Catalog returns the catalog that the policy was read from.
func (p *Policy) Catalog() *Catalog { return p.catalog }

// Person returns the person with that id, and nil when there is none.
func (p *Policy) Person(id string) *Person { return p.people[id] }

// Name returns how a person is called in messages.
func (p *Policy) Name(id string) string {
	if person := p.people[id]; person != nil && person.Name != "" {
		return person.Name
	}
	if id == "" {
		return "Muster"
	}
	return id
}

// Environment returns the environment with that name, and nil when there is none.
func (p *Policy) Environment(name string) *Environment { return p.environments[name] }

// In reports whether person belongs to group, directly or through other groups.
func (p *Policy) In(person, group string) bool {
	return group == Everyone && p.people[person] != nil || p.members[group][person]
}

// Members returns the people of a group, sorted.
func (p *Policy) Members(group string) []string {
	var people []string
	for id := range p.people {
		if p.In(id, group) {
			people = append(people, id)
		}
	}
	slices.Sort(people)
	return people
}

// is reports whether person is who, or one of the group who.
func (p *Policy) is(person, who string) bool { return person == who || p.In(person, who) }

// May reports whether person may do verb in the environment to every one of
// the modules; no modules means the environment as a whole. The refusal says
// who could. An empty person is nobody and may nothing.
func (p *Policy) May(person string, verb Verb, environment string, modules ...string) *Refusal {
	if p.people[person] == nil {
		return &Refusal{
			Rule:    "known-people-only",
			Message: fmt.Sprintf("%q is nobody in the catalog, so nothing is allowed", person),
			Try:     []string{"add the person to `people:` in the configuration"},
		}
	}
	// What runs in an environment that has gone from the catalog can still be
	// stopped by those whose rights do not depend on it.
	if environment != "" && p.environments[environment] == nil && (verb == VerbRelease || verb == VerbFreeze || verb == VerbView) {
		return p.noEnvironment(environment)
	}
	var missing []string
	if len(modules) == 0 {
		if !p.granted(person, verb, environment, "") {
			missing = append(missing, "")
		}
	}
	for _, m := range modules {
		if !p.granted(person, verb, environment, m) {
			missing = append(missing, m)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	what := "in " + environment
	if environment == "" {
		what = "here"
	}
	if missing[0] != "" {
		what = fmt.Sprintf("%s in %s", abridge(missing, 3), environment)
	}
	return &Refusal{
		Rule:    "may-" + string(verb),
		Message: fmt.Sprintf("%s may not %s %s", p.Name(person), verb.words(), what),
		Who:     p.who(verb, environment, missing),
	}
}

func (p *Policy) noEnvironment(name string) *Refusal {
	return &Refusal{Rule: "known-environment", Message: fmt.Sprintf("there is no environment %q", name), Try: p.environmentNames()}
}

// words is how a sentence says the verb.
func (v Verb) words() string {
	switch v {
	case VerbRollback:
		return "roll back"
	case VerbView:
		return "see"
	}
	return string(v)
}

func (p *Policy) granted(person string, verb Verb, environment, module string) bool {
	for i := range p.catalog.Access {
		a := &p.catalog.Access[i]
		if !slices.Contains(a.Role.Verbs(), verb) ||
			len(a.Environments) > 0 && !slices.Contains(a.Environments, environment) ||
			len(a.Modules) > 0 && !slices.Contains(a.Modules, module) {
			continue
		}
		if slices.ContainsFunc(a.Who, func(who string) bool { return p.is(person, who) }) {
			return true
		}
	}
	if module == "" {
		return false
	}
	verbs := DefaultOwnerVerbs
	if env := p.environments[environment]; env != nil && env.OwnersMay != nil {
		verbs = env.OwnersMay
	}
	return slices.Contains(verbs, verb) &&
		slices.ContainsFunc(p.owners[module], func(who string) bool { return p.is(person, who) })
}

// who lists, by name, the people who may do verb to all of the modules.
func (p *Policy) who(verb Verb, environment string, modules []string) []string {
	var who []string
	for id := range p.people {
		if !slices.ContainsFunc(modules, func(m string) bool { return !p.granted(id, verb, environment, m) }) {
			who = append(who, p.Name(id))
		}
	}
	slices.Sort(who)
	return who
}

// Who returns the names of those who may do verb in the environment as a whole.
func (p *Policy) Who(verb Verb, environment string) []string {
	return p.who(verb, environment, []string{""})
}

func (p *Policy) environmentNames() []string {
	var names []string
	for i := range p.catalog.Environments {
		names = append(names, p.catalog.Environments[i].Name)
	}
	return names
}

// abridge joins names, and counts those beyond most.
func abridge(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
