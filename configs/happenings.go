package configs

import (
	"maps"
	"slices"
	"strings"
)

// happenings are the kinds of event of each system that tells of some, with the fields
// that an event of that kind has: what package bot/events says of them.
var happenings = map[string]map[string][]string{
	gitlabSystem: {
		"push":          {"project", "ref", "branch", "commit", "message"},
		"tag":           {"project", "ref", "tag", "commit", "deleted"},
		"merge-request": {"project", "ref", "number", "action", "source", "target", "commit", "state", "labels"},
		"pipeline":      {"project", "pipeline", "ref", "commit", "status", "source"},
		"job":           {"project", "job", "name", "stage", "pipeline", "ref", "commit", "status"},
		"deployment":    {"project", "deployment", "environment", "ref", "commit", "status"},
		"release":       {"project", "ref", "tag", "commit", "action"},
		"note":          {"project", "ref", "commit", "number", "issue"},
	},
	jiraSystem: {
		"issue-moved":      {"issue", "project", "type", "status", "from", "to", "labels", "components", "versions", "run", "digest"},
		"issue-labelled":   {"issue", "project", "type", "status", "label", "labels", "components", "versions"},
		"version-released": {"project", "version", "date"},
	},
	alertmanagerSystem: {
		"alert-firing":   {"alert", "severity", "fingerprint", "summary"},
		"alert-resolved": {"alert", "severity", "fingerprint", "summary"},
	},
}

// alertLabel stands before the name of a label that an alert has.
const alertLabel = "label."

// happening reads the events that a rule is for: a system, and mostly a kind of event.
func (d *decoder) happening(n *node) (system, kind string) {
	value := d.text(n)
	words := strings.Fields(value)
	if len(words) == 0 {
		if n.kind == text {
			d.report(n.at, "", "%q is empty", n.name)
		}
		return "", ""
	}
	kinds, known := happenings[words[0]]
	if !known || len(words) > 2 {
		var all []string
		for system, kinds := range happenings {
			all = append(all, system)
			for kind := range kinds {
				all = append(all, system+" "+kind)
				if kind == value {
					d.report(n.at, "did you mean "+quote(system+" "+kind)+"?", "%q names no system before the kind of event", n.name)
					return "", ""
				}
			}
		}
		hint := didYouMean(value, slices.Values(all))
		if hint == "" && !known {
			hint = oneOf(words[0], slices.Sorted(maps.Keys(happenings)))
		}
		d.report(n.at, hint, `%q wants a system and a kind of event such as "gitlab tag", found %q`, n.name, value)
		return "", ""
	}
	if len(words) == 1 {
		return words[0], ""
	}
	if _, ok := kinds[words[1]]; !ok {
		d.report(n.at, oneOf(words[1], slices.Sorted(maps.Keys(kinds))), "unknown kind of event %q of %s", words[1], words[0])
		return "", ""
	}
	return words[0], words[1]
}

// where reads the fields that an event must have. Without a kind, they are those
// of all kinds of the system.
func (d *decoder) where(n *node, system, kind string) map[string]string {
	values := d.table(n)
	if system == "" {
		return values
	}
	var fields []string
	for name, some := range happenings[system] {
		if kind == "" || kind == name {
			fields = append(fields, some...)
		}
	}
	slices.Sort(fields)
	fields = slices.Compact(fields)
	for _, p := range n.pairs {
		d.pattern(p.value)
		if slices.Contains(fields, p.key) {
			continue
		}
		hint := ""
		if system == alertmanagerSystem {
			if label, ok := strings.CutPrefix(p.key, alertLabel); ok && label != "" {
				continue
			}
			if hint = didYouMean(p.key, slices.Values(fields)); hint == "" {
				hint = "an alert's own labels are " + alertLabel + "NAME"
			}
		} else {
			hint = oneOf(p.key, fields)
		}
		what := "an event " + quote(system+" "+kind)
		if kind == "" {
			what = "any event of " + system
		}
		d.report(p.at, hint, "unknown field %q of %s", p.key, what)
	}
	return values
}

// pattern reports what would be a pattern of another language.
func (d *decoder) pattern(n *node) {
	if strings.HasPrefix(strings.TrimPrefix(n.text, "!"), "^") {
		guess := strings.NewReplacer("^", "", "$", "", ".*", "*", `\`, "").Replace(n.text)
		d.report(n.at, "did you mean "+quote(guess)+"?", "%q is compared with %q as it is: only * stands for any text, | for or and ! at the beginning for not", n.name, n.text)
	}
}
