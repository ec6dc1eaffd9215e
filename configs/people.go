package configs

import (
	"strings"

	"github.com/muster-release/muster/playbooks"
)

// everyone is who `access` may be given to, beside people and groups.
const everyone = "everyone"

// handle is an account in another system.
type handle struct{ system, id string }

func (d *decoder) person(n *node) {
	var p playbooks.Person
	var handles *node
	ok := d.object(n, "a person",
		field{key: "id", decode: func(n *node) {
			if p.ID = d.name(n, "the id of a person", forPlaces); p.ID != "" {
				d.reserved(n, p.ID)
				d.declare(d.people, "person", p.ID, n.at)
				d.locate(n.at, "people", p.ID)
			}
		}},
		field{key: "name", decode: func(n *node) { p.Name = d.text(n) }},
		field{key: "email", decode: func(n *node) { p.Email = d.email(n) }},
		field{key: "handles", decode: func(n *node) { handles = n }},
	)
	if !ok {
		return
	}
	d.require(n, "a person", "id")
	if handles != nil {
		p.Handles = d.table(handles)
		for _, pair := range handles.pairs {
			d.claim(p.ID, pair)
		}
	}
	d.catalog.People = append(d.catalog.People, p)
}

// claim makes sure that an account is one person's alone: who owns it may act
// as that person.
func (d *decoder) claim(person string, p pair) {
	if p.value.text == "" {
		if p.value.kind == text {
			d.report(p.value.at, "", "the handle in %s is empty", p.key)
		}
		return
	}
	h := handle{p.key, p.value.text}
	if other, ok := d.handles[h]; ok && other != person {
		d.report(p.value.at, "", "%q in %s is %s already", h.id, h.system, other)
		return
	}
	d.handles[h] = person
}

func (d *decoder) email(n *node) string { return d.mail(n, d.text(n)) }

// mail reads a mail address, as n gives it.
func (d *decoder) mail(n *node, value string) string {
	user, host, ok := strings.Cut(value, "@")
	if value != "" && (!ok || user == "" || host == "" || strings.ContainsAny(value, " \n\t<>,") || strings.Contains(host, "@")) {
		d.report(n.at, "", "%q is no mail address", value)
	}
	return value
}

func (d *decoder) group(n *node) {
	var g playbooks.Group
	var members, inSlack, onCall *node
	ok := d.object(n, "a group",
		field{key: "name", decode: func(n *node) {
			if g.Name = d.name(n, "the name of a group", forPlaces); g.Name != "" {
				d.reserved(n, g.Name)
				d.declare(d.groups, "group", g.Name, n.at)
				d.locate(n.at, "groups", g.Name)
			}
		}},
		field{key: "members", decode: func(n *node) { members = n }},
		field{key: slackSystem, decode: func(n *node) { inSlack = n }},
		field{key: pagerdutySystem, decode: func(n *node) { onCall = n }},
	)
	if !ok {
		return
	}
	d.require(n, "a group", "name")
	if inSlack == nil && onCall == nil {
		d.require(n, "a group", "members")
	}
	if members != nil {
		g.Members = d.names(members, aPersonOrGroup, "group "+quote(g.Name)+" has the member")
	}
	g.From = make(map[string]string)
	if inSlack != nil {
		d.kept(&g, slackSystem, inSlack, d.usergroup(inSlack))
	}
	if onCall != nil {
		d.kept(&g, pagerdutySystem, onCall, d.schedule(onCall))
	}
	if len(g.From) == 0 {
		g.From = nil
	}
	d.catalog.Groups = append(d.catalog.Groups, g)
}

// kept remembers that members of a group are those of one in another system.
func (d *decoder) kept(g *playbooks.Group, system string, n *node, there string) {
	if g.Name != "" {
		if d.rolls[g.Name] == nil {
			d.rolls[g.Name] = make(map[string]mark)
		}
		d.rolls[g.Name][system] = n.at
	}
	if there != "" {
		g.From[system] = there
	}
}

func (d *decoder) reserved(n *node, name string) {
	if name == everyone {
		d.report(n.at, "", "%q stands for all people, and cannot be the name of some", name)
	}
}

func (d *decoder) access(n *node) {
	var a playbooks.Access
	ok := d.object(n, "an access rule",
		field{key: "who", decode: func(n *node) {
			if a.Who = d.names(n, anyone, "access is given to"); n.kind == list && len(n.items) == 0 {
				d.report(n.at, "", "access is given to nobody here")
			}
		}},
		field{key: "role", decode: func(n *node) {
			a.Role = choice(d, n, "role", playbooks.Viewer, playbooks.Releaser, playbooks.Operator, playbooks.Admin)
		}},
		field{key: "environments", decode: func(n *node) {
			a.Environments = d.some(n, anEnvironment, "access is given for")
		}},
		field{key: "modules", decode: func(n *node) {
			a.Modules = d.some(n, aModule, "access is given for")
		}},
	)
	if !ok {
		return
	}
	d.require(n, "an access rule", "who", "role")
	d.catalog.Access = append(d.catalog.Access, a)
}

// some is names for a list that must not be empty, because no list at all
// stands for everything.
func (d *decoder) some(n *node, to target, say string) []string {
	if n.kind == list && len(n.items) == 0 {
		d.report(n.at, "", "%q is empty, which would mean all of them: leave it out if that is meant", n.name)
	}
	return d.names(n, to, say)
}

// names reads a list of names of things that must exist.
func (d *decoder) names(n *node, to target, say string) []string {
	items := d.unique(d.list(n))
	names := make([]string, 0, len(items))
	for _, item := range items {
		if name := d.text(item); name != "" {
			d.refer(item, name, to, say)
			names = append(names, name)
		}
	}
	return names
}
