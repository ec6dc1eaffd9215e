package configs

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-release/muster/playbooks"
)

// soak is the gate that is a time of Muster's own. All others are asked of the port of
// that name.
const soak = "soak"

// gateKind is a kind of gate that Muster can ask.
type gateKind struct {
	system string // whom it asks; empty: whatever forge there is
	params []gateParam
	// needs are parameters of which it must have one.
	needs   []string
	example string
}

type gateParam struct {
	name string
	read func(*decoder, *node) string
}

// gateKinds are all but soak, by name.
var gateKinds = map[string]gateKind{
	"pipeline": {params: []gateParam{{"ref", (*decoder).word}}},
	"jobs": {system: gitlabSystem, needs: []string{"names"}, example: "jobs: {names: [unit]}",
		params: []gateParam{{"names", (*decoder).words}, {"ref", (*decoder).word}}},
	"tests": {system: gitlabSystem,
		params: []gateParam{{"new", (*decoder).whole}, {"total", (*decoder).whole}, {"ref", (*decoder).word}}},
	"coverage": {system: gitlabSystem, needs: []string{"least", "drop"}, example: "coverage: {least: 80, drop: 1.5}",
		params: []gateParam{{"least", (*decoder).percent}, {"drop", (*decoder).percent}, {"ref", (*decoder).word}}},
	"merge-approvals": {system: gitlabSystem, params: []gateParam{{"count", (*decoder).positive}, {"branch", (*decoder).word}}},
	"latest":          {system: gitlabSystem, params: []gateParam{{"branch", (*decoder).word}}},

	"stories": {system: jiraSystem, params: []gateParam{{"allowed", (*decoder).words}, {"types", (*decoder).words}}},
	"blockers": {system: jiraSystem, needs: []string{"version", "component", "jql"}, example: `blockers: {version: "{version}"}`,
		params: []gateParam{{"version", (*decoder).filled}, {"component", (*decoder).filledWords}, {"jql", (*decoder).query},
			{"project", (*decoder).filledWords}, {"priority", (*decoder).words}}},
	"version-check": {system: jiraSystem, needs: []string{"version"}, example: `version-check: {version: "{version}"}`,
		params: []gateParam{{"version", (*decoder).filled}, {"component", (*decoder).filledWords}, {"types", (*decoder).words},
			{"project", (*decoder).filledWords}}},
}

// gateValues are what the parameters of Jira's gates may ask for.
var gateValues = []string{"{version}", "{module}", "{environment}", "{run}"}

// gate reads a kind alone, `soak: 2h`, a kind with its parameters behind it, or under
// `params`.
func (d *decoder) gate(n *node) playbooks.Gate {
	var gate playbooks.Gate
	var kind, span, params, own *node
	if n.kind != mapping {
		kind = n
	} else {
		fields := []field{
			{key: "kind", decode: func(n *node) { kind = n }},
			{key: soak, decode: func(n *node) { span = n }},
			{key: "params", decode: func(n *node) { params = n }},
		}
		for _, name := range slices.Sorted(maps.Keys(gateKinds)) {
			fields = append(fields, field{key: name, decode: func(n *node) {
				if own != nil {
					d.report(n.at, "", "a gate is of one kind: make two gates of %q and %q", own.name, name)
					return
				}
				own = n
			}})
		}
		known := len(d.found)
		d.object(n, "a gate", fields...)
		if len(d.found) > known && own == nil && kind == nil && span == nil {
			return gate
		}
	}
	if own != nil {
		for _, other := range []*node{kind, span, params} {
			if other != nil {
				d.report(other.at, "", "%q has no place beside %q, which has its parameters behind it", other.name, own.name)
			}
		}
		gate.Kind = own.name
		gate.Params = d.gateParams(own, own.name)
		return d.asks(own, gate)
	}
	if kind != nil {
		gate.Kind = choice(d, kind, "kind of gate", append([]string{soak}, slices.Sorted(maps.Keys(gateKinds))...)...)
	}
	if span != nil {
		gate.Soak = d.duration(span)
	}
	switch {
	case kind == nil && span == nil:
		d.require(n, "a gate", "kind")
	case kind == nil:
		gate.Kind = soak
	case span == nil && gate.Kind == soak:
		d.report(n.at, "write soak: 2h", "a soak gate needs to know how long")
	case span != nil && gate.Kind != soak && gate.Kind != "":
		d.report(span.at, "", "a gate of kind %q does not soak: make two gates of it", gate.Kind)
	}
	switch {
	case gate.Kind == soak:
		if params != nil {
			d.report(n.at, "", "a soak gate takes no params")
		}
	case gate.Kind != "" && params != nil:
		gate.Params = d.gateParams(params, gate.Kind)
	case gate.Kind != "":
		d.lacking(n, gate.Kind)
	}
	return d.asks(n, gate)
}

// asks remembers whom a gate that stands at n asks.
func (d *decoder) asks(n *node, gate playbooks.Gate) playbooks.Gate {
	if system := gateKinds[gate.Kind].system; system != "" {
		d.wish(n, system, "a gate of kind "+quote(gate.Kind)+" asks "+system)
	}
	return gate
}

func (d *decoder) gateParams(n *node, kind string) map[string]string {
	params := make(map[string]string)
	var fields []field
	for _, p := range gateKinds[kind].params {
		fields = append(fields, field{key: p.name, decode: func(n *node) { params[p.name] = p.read(d, n) }})
	}
	known := len(d.found)
	d.object(n, "a gate of kind "+quote(kind), fields...)
	if needs := gateKinds[kind].needs; len(d.found) == known && !slices.ContainsFunc(needs, func(name string) bool { return params[name] != "" }) {
		d.lacking(n, kind)
	}
	if len(params) == 0 {
		return nil
	}
	return params
}

// lacking reports a gate without any of the parameters of which its kind needs one.
func (d *decoder) lacking(n *node, kind string) {
	if k := gateKinds[kind]; len(k.needs) > 0 {
		d.report(n.at, "write "+k.example, "a gate of kind %q needs %s", kind, strings.Join(k.needs, " or "))
	}
}

// What parameters are, as the text that a gate's port reads.

func (d *decoder) word(n *node) string { return d.given(n, d.text(n)) }

func (d *decoder) filled(n *node) string {
	value := d.word(n)
	d.placeholders(n, value, gateValues)
	return value
}

func (d *decoder) filledWords(n *node) string {
	value := d.words(n)
	d.placeholders(n, value, gateValues)
	return value
}

// maxQuery is how long a query may be, in bytes.
const maxQuery = 4000

// ordered finds the end of a query that says in which order it is answered.
var ordered = regexp.MustCompile(`(?i)\border\s+by\s[^"']*$`)

// query reads a query in Jira's language, which only Jira understands.
func (d *decoder) query(n *node) string {
	value := d.text(n)
	switch {
	case value == "" && n.kind == text:
		d.report(n.at, "", "%q is empty", n.name)
	case len(value) > maxQuery:
		d.report(n.at, "", "%q is longer than %d characters", n.name, maxQuery)
	case ordered.MatchString(value):
		d.report(n.at, "leave it out", "%q is a part of a query, which is put in order afterwards", n.name)
	}
	d.placeholders(n, value, gateValues)
	return value
}

// words reads one name or a list of names, and separates them by commas.
func (d *decoder) words(n *node) string {
	if n.kind != list {
		return d.word(n)
	}
	var words []string
	for _, item := range d.unique(n.items) {
		word := d.word(item)
		if strings.Contains(word, ",") {
			d.report(item.at, "", "an entry of %q contains a comma", n.name)
		}
		if word != "" {
			words = append(words, word)
		}
	}
	if len(n.items) == 0 {
		d.report(n.at, "", "%q is empty", n.name)
	}
	return strings.Join(words, ",")
}

func (d *decoder) whole(n *node) string    { return strconv.Itoa(d.count(figure(n))) }
func (d *decoder) positive(n *node) string { return strconv.Itoa(d.integer(figure(n), 1, 100)) }

// percent reads a number from 0 to 100.
func (d *decoder) percent(n *node) string {
	const wants = "a number from 0 to 100"
	n = figure(n)
	if n.kind == text && strings.HasSuffix(n.text, "%") {
		d.report(n.at, "leave the % out", "%q wants %s", n.name, wants)
		return ""
	}
	if n.kind != number {
		d.want(n, wants)
		return ""
	}
	// Written as it is meant: no exponents, no hexadecimal figures.
	value, err := strconv.ParseFloat(n.text, 64)
	if err != nil || value < 0 || value > 100 || strings.Trim(n.text, figures) != "" {
		d.report(n.at, "", "%q wants %s, found %s", n.name, wants, n.text)
		return ""
	}
	return n.text
}

const figures = "0123456789."

// figure takes a number in quotes for a number: as a parameter it becomes text anyway.
func figure(n *node) *node {
	if n.kind != text || n.text == "" || strings.Trim(n.text, figures) != "" {
		return n
	}
	bare := *n
	bare.kind = number
	return &bare
}
