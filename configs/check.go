package configs

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-release/muster/playbooks"
)

func quote(s string) string { return strconv.Quote(s) }

// target says what a name must be the name of.
type target uint8

const (
	aModule target = iota
	aNeed          // a module, too
	anEnvironment
	aPerson
	aGroup
	aPersonOrGroup
	anyone // a person, a group or everyone
)

// ref is a name that something else must bear.
type ref struct {
	at   mark
	name string
	to   target
	say  string // what is said with it: `module "cart" needs`
}

// policyAt is an approval policy with the places of its parts.
type policyAt struct {
	policy         *playbooks.ApprovalPolicy
	environment    string
	at             mark
	groups, counts []mark // by rule
}

// targetsAt are targets that an environment must have; without one, all
// environments but those elsewhere.
type targetsAt struct {
	subject     string
	environment string
	elsewhere   map[string]bool
	names       []*node
}

func (d *decoder) refer(n *node, name string, to target, say string) {
	if name != "" {
		d.refs = append(d.refs, ref{n.at, name, to, say})
	}
}

// check looks for what only all files together show. What is missing may stand
// in a file that could not be read, so then nothing is said to be missing.
func (d *decoder) check() {
	d.ambiguous(d.people, d.groups, "is a person and a group: nobody can tell which is meant")
	d.ambiguous(d.modules, d.environments, "is a module and an environment: a freeze could not tell which is meant")
	circular := d.checkGroups()
	if d.partial {
		return
	}
	if d.lacks("environments") {
		d.report(mark{src: d.files[0].src}, "", "there are no environments: where should modules be released to?")
	}
	for _, r := range d.refs {
		d.resolve(r)
	}
	d.checkTargets()
	d.checkSlack()
	d.checkRules()
	d.checkWishes()
	d.checkRights()
	for _, asked := range d.rules {
		d.checkApprovals(asked, circular)
	}
}

// lacks reports whether a section is in no file, or empty in all of them.
func (d *decoder) lacks(key string) bool {
	for _, file := range d.files {
		for _, p := range file.root.pairs {
			if p.key == key && (p.value.kind != list || len(p.value.items) > 0) {
				return false
			}
		}
	}
	return true
}

// maxHints keeps the search for what was meant from taking longer than all the
// rest, in a file where nothing fits.
const maxHints = 50

// resolve reports a name that nothing bears.
func (d *decoder) resolve(r ref) {
	var among []map[string]mark
	var lack string
	switch r.to {
	case aModule:
		among, lack = []map[string]mark{d.modules}, "which is no module"
	case aNeed:
		among, lack = []map[string]mark{d.modules}, "which no module provides"
	case anEnvironment:
		among, lack = []map[string]mark{d.environments}, "which is no environment"
	case aPerson:
		among, lack = []map[string]mark{d.people}, "who is not among the people"
	case aGroup:
		among, lack = []map[string]mark{d.groups}, "which is no group"
	case aPersonOrGroup, anyone:
		among, lack = []map[string]mark{d.people, d.groups}, "which is neither a person nor a group"
	}
	for _, set := range among {
		if _, ok := set[r.name]; ok {
			return
		}
	}
	candidates := keysOf(among...)
	if r.to == anyone {
		if r.name == everyone {
			return
		}
		among = append(among, map[string]mark{everyone: {}})
		candidates = keysOf(among...)
	}
	hint := ""
	if d.hints++; d.hints <= maxHints {
		hint = didYouMean(r.name, candidates)
	}
	d.report(r.at, hint, "%s %q, %s", r.say, r.name, lack)
}

func (d *decoder) ambiguous(a, b map[string]mark, why string) {
	for name, first := range a {
		if second, ok := b[name]; ok {
			d.report(second, "", "%q %s; the other is at %s", name, why, first.position())
		}
	}
}

// checkTargets reports targets that an environment does not have. What is said
// for all environments does not bind those that have no targets.
func (d *decoder) checkTargets() {
	for _, t := range d.targets {
		bound := false
		for i := range d.catalog.Environments {
			e := &d.catalog.Environments[i]
			if t.environment == e.Name || t.environment == "" && len(e.Targets) > 0 {
				bound = true
				if !t.elsewhere[e.Name] {
					d.checkTargetsIn(t, e)
				}
			}
		}
		if !bound && t.environment == "" {
			d.report(t.names[0].at, "", "%s goes to targets, and no environment has any", t.subject)
		}
	}
}

func (d *decoder) checkTargetsIn(t targetsAt, e *playbooks.Environment) {
	for _, n := range t.names {
		if n.text != "" && !slices.Contains(e.Targets, n.text) {
			d.report(n.at, didYouMean(n.text, slices.Values(e.Targets)),
				"%s goes to target %q, which environment %q does not have", t.subject, n.text, e.Name)
		}
	}
}

// checkGroups reports groups that contain each other in a circle, and returns
// all groups of such circles.
func (d *decoder) checkGroups() map[string]bool {
	d.members = make(map[string][]string, len(d.catalog.Groups))
	for _, g := range d.catalog.Groups {
		d.members[g.Name] = append(d.members[g.Name], g.Members...)
	}
	const open, closed = 1, 2
	state := make(map[string]int, len(d.members))
	circular := make(map[string]bool)
	var way []string
	var visit func(string)
	visit = func(name string) {
		if state[name] == closed || d.members[name] == nil {
			return
		}
		if state[name] == open {
			circle := append(slices.Clone(way[slices.Index(way, name):]), name)
			for _, g := range circle {
				circular[g] = true
			}
			d.report(d.groups[circle[len(circle)-2]], "", "groups contain each other in a circle: %s", strings.Join(circle, " → "))
			return
		}
		state[name] = open
		way = append(way, name)
		for _, member := range d.members[name] {
			visit(member)
		}
		way = way[:len(way)-1]
		state[name] = closed
	}
	for _, g := range d.catalog.Groups {
		visit(g.Name)
	}
	return circular
}

// within returns all people of a group and of the groups in it, by ID. In a group that
// is kept in another system may be everybody who can be recognised there.
func (d *decoder) within(group string) []string {
	people := make(map[string]bool)
	seen := map[string]bool{group: true}
	for queue := []string{group}; len(queue) > 0; queue = queue[1:] {
		if in := d.rolls[queue[0]]; in != nil {
			_, slack := in[slackSystem]
			for i := range d.catalog.People {
				if p := &d.catalog.People[i]; p.ID != "" && (p.Email != "" || slack && p.Handles[slackSystem] != "") {
					people[p.ID] = true
				}
			}
		}
		for _, member := range d.members[queue[0]] {
			if _, ok := d.people[member]; ok {
				people[member] = true
			} else if !seen[member] {
				seen[member] = true
				queue = append(queue, member)
			}
		}
	}
	return slices.Sorted(maps.Keys(people))
}

// checkApprovals reports rules that nobody could ever satisfy.
func (d *decoder) checkApprovals(asked policyAt, circular map[string]bool) {
	possible := true
	var votes [][]string // for each vote needed, who could give it
	for i, rule := range asked.policy.Rules {
		if _, ok := d.groups[rule.Group]; !ok || circular[rule.Group] {
			possible = false // and reported already
			continue
		}
		people := d.within(rule.Group)
		switch {
		case len(people) == 0:
			hint := ""
			if in := d.rolls[rule.Group]; in != nil {
				hint = "nobody has a mail address to be recognised by"
				if _, slack := in[slackSystem]; slack {
					hint = "nobody has a handle in Slack or a mail address to be recognised by"
				}
			}
			d.report(asked.groups[i], hint, "environment %q asks %q, a group without people", asked.environment, rule.Group)
			possible = false
		case rule.Count > len(people):
			d.report(asked.counts[i], "", "environment %q asks %d of %q, which has only %s",
				asked.environment, rule.Count, rule.Group, persons(len(people)))
			possible = false
		}
		for range rule.Count {
			votes = append(votes, people)
		}
	}
	if !possible || !asked.policy.Distinct {
		return
	}
	if most := match(votes); most < len(votes) {
		d.report(asked.at, "", "environment %q asks for %d approvals by different people, and its groups have only %s for them",
			asked.environment, len(votes), persons(most))
	}
}

func persons(n int) string {
	if n == 1 {
		return "1 person"
	}
	return strconv.Itoa(n) + " people"
}

// match returns how many votes can be given if nobody gives two: the size of
// the largest matching, found along augmenting paths.
func match(votes [][]string) int {
	givenBy := make(map[string]int)
	var give func(vote int, tried map[string]bool) bool
	give = func(vote int, tried map[string]bool) bool {
		for _, person := range votes[vote] {
			if _, taken := givenBy[person]; !taken {
				givenBy[person] = vote
				return true
			}
		}
		for _, person := range votes[vote] {
			if tried[person] {
				continue
			}
			tried[person] = true
			if give(givenBy[person], tried) {
				givenBy[person] = vote
				return true
			}
		}
		return false
	}
	given := 0
	for vote := range votes {
		if give(vote, make(map[string]bool)) {
			given++
		}
	}
	return given
}
