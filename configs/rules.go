package configs

import (
	"slices"

	"github.com/muster-release/muster/playbooks"
)

// maxRules is how many rules, and how many trains, there may be. Each event is
// held against every rule.
const maxRules = 1000

// verbs are what whoever a rule acts as must be allowed to do.
var verbs = map[playbooks.RuleAction]playbooks.Verb{
	playbooks.RulePlan: playbooks.VerbView, playbooks.RuleRelease: playbooks.VerbRelease, playbooks.RuleHold: playbooks.VerbOperate,
}

// ruleAt is a rule and the places that speak of it.
type ruleAt struct {
	playbooks.Rule
	at, on mark
}

func (r *ruleAt) subject() string {
	if r.Name == "" {
		return "a rule"
	}
	return "rule " + quote(r.Name)
}

func (d *decoder) eventRulesSection(n *node) {
	for _, item := range d.list(n) {
		if len(d.eventRules) == maxRules {
			d.report(item.at, "", "there are more than %d rules", maxRules)
			return
		}
		d.eventRule(item)
	}
}

func (d *decoder) eventRule(n *node) {
	r := ruleAt{at: n.at}
	var on, where, as *node
	ok := d.object(n, "a rule",
		field{key: "name", decode: func(n *node) {
			if r.Name = d.name(n, "the name of a rule", forCauses); r.Name != "" {
				r.at = n.at
				d.declare(d.ruleNames, "rule", r.Name, n.at)
				d.locate(n.at, "rules", r.Name)
			}
		}},
		field{key: "on", decode: func(n *node) { on = n }},
		field{key: "where", decode: func(n *node) { where = n }},
		field{key: "do", decode: func(n *node) {
			r.Do = choice(d, n, "thing to do", playbooks.RulePlan, playbooks.RuleRelease, playbooks.RuleSignal, playbooks.RuleHold, playbooks.RuleIgnore)
		}},
		field{key: "to", decode: func(n *node) {
			r.To = d.text(n)
			d.refer(n, r.To, anEnvironment, "a rule is for")
		}},
		field{key: "modules", decode: func(n *node) { r.Modules = d.some(n, aModule, "a rule is for") }},
		field{key: "as", decode: func(n *node) {
			as, r.As = n, d.text(n)
			d.refer(n, r.As, aPerson, "a rule acts as")
		}},
		field{key: "channels", decode: func(n *node) {
			r.Channels = d.texts(n)
			d.shownIn = append(d.shownIn, n)
		}},
	)
	if !ok {
		return
	}
	d.require(n, "a rule", "name", "on", "do")
	if on != nil {
		r.on = on.at
		r.Source, r.Kind = d.happening(on)
	}
	if where != nil {
		r.Where = d.where(where, r.Source, r.Kind)
	}
	useless := func(keys ...string) {
		for _, p := range n.pairs {
			if slices.Contains(keys, p.key) {
				d.report(p.at, "", "%s has no use for %q: it does %s", r.subject(), p.key, r.Do)
			}
		}
	}
	switch r.Do {
	case playbooks.RulePlan, playbooks.RuleRelease:
		d.require(n, "a rule that does "+string(r.Do), "to", "as")
		if r.Source != "" && r.Kind == "" {
			d.report(on.at, "name the kind of event", "%s would %s after whatever happens in %s", r.subject(), r.Do, r.Source)
		}
	case playbooks.RuleHold:
		d.require(n, "a rule that does hold", "as")
	case playbooks.RuleSignal:
		useless("to", "as", "channels")
	case playbooks.RuleIgnore:
		useless("to", "as", "channels", "modules")
	}
	if verb, ok := verbs[r.Do]; ok && as != nil {
		d.acting = append(d.acting, acting{as.at, r.subject(), r.As, verb, r.To, r.Modules})
	}
	d.eventRules = append(d.eventRules, r)
	d.catalog.Rules = append(d.catalog.Rules, r.Rule)
}

// checkRules reports rules that nothing happens to: those whose system is not
// configured, and those behind others that take every event that they are for.
func (d *decoder) checkRules() {
	for i := range d.eventRules {
		later := &d.eventRules[i]
		if later.Source == "" {
			continue
		}
		d.wishes = append(d.wishes, wish{later.on, later.Source, later.subject() + " is for what happens in " + later.Source, true})
		for k := range d.eventRules[:i] {
			if earlier := &d.eventRules[k]; earlier.takesAll(later) {
				d.report(later.at, "put it before that one", "%s is never reached: %s at %s takes every event that it is for",
					later.subject(), earlier.subject(), earlier.at.position())
				break
			}
		}
	}
}

// takesAll reports whether every event that a rule is for is one of r's for certain:
// the first rule that fits counts.
func (r *ruleAt) takesAll(later *ruleAt) bool {
	if r.Source != later.Source || r.Kind != "" && r.Kind != later.Kind {
		return false
	}
	for name, pattern := range r.Where {
		if other, ok := later.Where[name]; !ok || other != pattern {
			return false
		}
	}
	return true
}
