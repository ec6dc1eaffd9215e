package configs

import (
	"slices"

	"github.com/muster-release/muster/playbooks"
)

// acting is something that acts by itself, by the rights of a person.
type acting struct {
	at          mark // where the person is named
	say         string
	as          string
	verb        playbooks.Verb
	environment string // empty: any
	modules     []string
}

// words say what the verb allows, after "may not".
func (a *acting) words() string {
	switch a.verb {
	case playbooks.VerbView:
		return "see releases"
	case playbooks.VerbOperate:
		return "pause releases"
	}
	return "release"
}

// checkRights reports what would be refused each time.
func (d *decoder) checkRights() {
	if len(d.acting) == 0 {
		return
	}
	r := rights{policy: playbooks.NewPolicy(d.catalog), open: d.openGroups(), owners: make(map[string][]string), owning: make(map[string]bool)}
	for i := range d.catalog.Modules {
		r.owners[d.catalog.Modules[i].Name] = d.catalog.Modules[i].Owners
	}
	for i := range d.acting {
		if a := &d.acting[i]; d.known(a) && !r.may(a) {
			where := ""
			if a.environment != "" {
				where = " in " + a.environment
			}
			d.report(a.at, "give the role under access", "%s acts as %q, who may not %s%s", a.say, a.as, a.words(), where)
		}
	}
}

// openGroups are those in which may be anybody, because they, or groups in them, are kept in
// another system.
func (d *decoder) openGroups() map[string]bool {
	within := make(map[string][]string) // groups by what is in them
	for group, members := range d.members {
		for _, member := range members {
			within[member] = append(within[member], group)
		}
	}
	open := make(map[string]bool)
	var queue []string
	for group := range d.rolls {
		open[group] = true
		queue = append(queue, group)
	}
	for ; len(queue) > 0; queue = queue[1:] {
		for _, group := range within[queue[0]] {
			if !open[group] {
				open[group] = true
				queue = append(queue, group)
			}
		}
	}
	return open
}

// known reports whether all names are of something; otherwise that was said already.
func (d *decoder) known(a *acting) bool {
	_, person := d.people[a.as]
	_, environment := d.environments[a.environment]
	return person && (environment || a.environment == "") && !slices.ContainsFunc(a.modules, func(m string) bool {
		_, ok := d.modules[m]
		return !ok
	})
}

// rights answers as playbooks.Policy does, but for groups in which may be anybody, and without
// naming all who could.
type rights struct {
	policy *playbooks.Policy
	open   map[string]bool
	owners map[string][]string // by module
	owning map[string]bool     // whether a person owns a module, as far as that was asked
}

func (r *rights) among(names []string, person string) bool {
	return slices.ContainsFunc(names, func(who string) bool { return who == person || r.open[who] || r.policy.In(person, who) })
}

// may reports whether something is allowed: for all the modules that it names, and where it names none
// for anything that it could be about.
func (r *rights) may(a *acting) bool {
	if len(a.modules) == 0 {
		return r.granted(a, "") || r.owns(a)
	}
	return !slices.ContainsFunc(a.modules, func(module string) bool {
		owned := r.among(r.owners[module], a.as) && r.ownersMay(a)
		return !owned && !r.granted(a, module)
	})
}

// granted reports whether an access gives the right for a module, or, with no name, for any.
func (r *rights) granted(a *acting, module string) bool {
	return slices.ContainsFunc(r.policy.Catalog().Access, func(access playbooks.Access) bool {
		return (a.environment == "" || len(access.Environments) == 0 || slices.Contains(access.Environments, a.environment)) &&
			(module == "" || len(access.Modules) == 0 || slices.Contains(access.Modules, module)) &&
			slices.Contains(access.Role.Verbs(), a.verb) && r.among(access.Who, a.as)
	})
}

func (r *rights) owns(a *acting) bool {
	owns, known := r.owning[a.as]
	if !known {
		owns = slices.ContainsFunc(r.policy.Catalog().Modules, func(m playbooks.Module) bool { return r.among(m.Owners, a.as) })
		r.owning[a.as] = owns
	}
	return owns && r.ownersMay(a)
}

func (r *rights) ownersMay(a *acting) bool {
	return slices.ContainsFunc(r.policy.Catalog().Environments, func(e playbooks.Environment) bool {
		verbs := e.OwnersMay
		if verbs == nil {
			verbs = playbooks.DefaultOwnerVerbs
		}
		return (a.environment == "" || a.environment == e.Name) && slices.Contains(verbs, a.verb)
	})
}
