package playbooks

import (
	"fmt"
	"strings"
)

// PlanError lists everything that keeps a request from becoming a playbook.
type PlanError struct {
	Environment string
	Problems    []Problem
}

// Problem is one reason why a plan cannot be made.
type Problem struct {
	// Code tells problems apart for programs: unknown-environment,
	// unknown-module, unknown-need, duplicate-module, two-versions, no-version,
	// ambiguous-version, not-delivered, missing-prerequisite, constraint, cycle,
	// nothing-to-release, ambiguous-name, unregistered.
	Code    string `json:"code"`
	Module  string `json:"module,omitempty"`
	Message string `json:"message"`
	// Offer are words that could be typed instead, or modules to add, most likely first.
	Offer []string `json:"offer,omitempty"`
}

// String is the message with what could be done about it.
func (p Problem) String() string {
	if len(p.Offer) == 0 {
		return p.Message
	}
	words, end := "try", ""
	switch p.Code {
	case "unknown-environment", "unknown-module":
		words, end = "did you mean", "?"
	case "missing-prerequisite":
		words = "add"
	}
	return fmt.Sprintf("%s; %s %s%s", p.Message, words, planList(p.Offer, len(p.Offer), "or"), end)
}

// Error names all problems, each on its own line when there are several.
func (e *PlanError) Error() string {
	var b strings.Builder
	b.WriteString("plan")
	if e.Environment != "" {
		fmt.Fprintf(&b, " for %q", e.Environment)
	}
	if len(e.Problems) == 1 {
		return b.String() + ": " + e.Problems[0].String()
	}
	fmt.Fprintf(&b, ": %d problems", len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  - " + p.String())
	}
	return b.String()
}

// Permanent reports that the same request fails again until it, the catalog
// or the world has changed.
func (e *PlanError) Permanent() bool { return true }

// planNearest returns the word that name was probably meant to be: one that is
// spelt much like it, or else the first few that begin with it.
func planNearest(name string, words []string) []string {
	const most = 3
	best, at := max(2, len(name)/3)+1, -1
	for i, w := range words {
		if d := len(w) - len(name); d >= best || -d >= best {
			continue
		}
		if d := planDistance(name, w); d < best {
			best, at = d, i
		}
	}
	if at >= 0 {
		return words[at : at+1]
	}
	var begun []string
	for _, w := range words {
		if len(name) > 1 && len(begun) < most && strings.HasPrefix(w, name) {
			begun = append(begun, w)
		}
	}
	return begun
}

// planDistance counts the insertions, deletions and replacements of bytes that
// turn a into b.
func planDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// planList writes names as a person would: "a, b and c"; of more than limit
// only the first ones, and how many more there are.
func planList(names []string, limit int, and string) string {
	switch {
	case len(names) == 0:
		return ""
	case len(names) > limit:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:limit], ", "), len(names)-limit)
	case len(names) == 1:
		return names[0]
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " " + and + " " + names[last]
}

// planCount writes a number with its noun.
func planCount(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
