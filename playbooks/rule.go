package playbooks

import (
	"slices"
	"strings"
)

// Rule makes events of other systems into work.
type Rule struct {
	Name string `json:"name"`
	// Source and Kind say which events it is for: "gitlab" and "tag". An empty Kind is for all.
	Source string `json:"source"`
	Kind   string `json:"kind,omitempty"`
	// Where are the fields that an event must have, by name. A pattern may hold *, which
	// stands for any text, and alternatives behind |; one that begins with ! is for all others.
	Where map[string]string `json:"where,omitempty"`
	Do    RuleAction        `json:"do"`
	To    string            `json:"to,omitempty"` // environment, of plan and release; of hold: empty means everywhere
	// Modules are released; empty: those whose source the event is about.
	Modules []string `json:"modules,omitempty"`
	// As is the person by whose rights it acts. Events of people do not lend their rights to a rule.
	As       string   `json:"as,omitempty"`
	Channels []string `json:"channels,omitempty"` // empty: those of the environment
}

// RuleAction is what follows from an event.
type RuleAction string

const (
	RulePlan    RuleAction = "plan"    // shows a plan in the channels, with a button that releases it
	RuleRelease RuleAction = "release" // starts a release, which asks whom the environment says
	RuleSignal  RuleAction = "signal"  // lets what waits for the modules look again, now
	RuleHold    RuleAction = "hold"    // pauses the releases of the modules, and of what they need
	RuleIgnore  RuleAction = "ignore"  // nothing, and no later rule is asked
)

// Matches reports whether an event with those fields is one that the rule is for.
func (r *Rule) Matches(source, kind string, fields map[string]string) bool {
	if r.Source != source || r.Kind != "" && r.Kind != kind {
		return false
	}
	for name, pattern := range r.Where {
		if !MatchPattern(pattern, fields[name]) {
			return false
		}
	}
	return true
}

// MatchPattern reports whether text is what a pattern of a rule means: see Rule.Where.
// An empty pattern means empty text.
func MatchPattern(pattern, text string) bool {
	if rest, not := strings.CutPrefix(pattern, "!"); not {
		return !MatchPattern(rest, text)
	}
	return slices.ContainsFunc(strings.Split(pattern, "|"), func(p string) bool { return matchStars(p, text) })
}

// matchStars matches one alternative, in time proportional to both lengths' product at worst.
func matchStars(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, last)
}
