package jira

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/muster-release/muster/integrations/calls"
	"github.com/muster-release/muster/playbooks/steps"
)

// transition is a way from an issue's status to another that is open to this account now.
type transition struct {
	ID     string                 `json:"id"`
	Name   string                 `json:"name"`
	To     status                 `json:"to"`
	Fields map[string]screenField `json:"fields"`
}

// screenField is a field that a transition asks for.
type screenField struct {
	field
	Required bool              `json:"required"`
	Default  bool              `json:"hasDefaultValue"`
	Allowed  []json.RawMessage `json:"allowedValues"`
}

// transitions are those that are open now, with the fields of their screens.
func (j *Jira) transitions(ctx context.Context, key string) ([]transition, error) {
	var answer struct {
		Transitions []transition `json:"transitions"`
	}
	err := j.get(ctx, "read the transitions of "+key, at("issue", key, "transitions"), url.Values{"expand": {"transitions.fields"}}, &answer)
	for _, t := range answer.Transitions {
		for id, f := range t.Fields {
			f.ID = id
			t.Fields[id] = f
		}
	}
	return answer.Transitions, err
}

// named finds the transition of a name, or else one that leads to a status of that name.
func named(all []transition, name string) *transition {
	for i := range all {
		if strings.EqualFold(all[i].Name, name) {
			return &all[i]
		}
	}
	return leadingTo(all, name)
}

// route are the moves to where a release stands. An issue that was made late, when the release had been
// under way already, comes there by the way that the others went.
func (j *Jira) route(status string) []string {
	moves := j.form.moves[status]
	if len(moves) == 0 || status != "released" && status != "rolled back" {
		return moves
	}
	var route []string
	for _, name := range j.form.moves["deploying"] {
		if !contains(moves, name) {
			route = append(route, name)
		}
	}
	return append(route, moves...)
}

// follow moves the issue to where the release stands. What it is about to do is kept in the
// issue first, so that a transition that is named by its own name and whose answer was lost is
// known to be done.
//
// Two moves are left alone: a person's, to the statuses that answer an approval, for as long as the release
// waits; and where edits are respected any to another status, after the issue was once where it belongs.
func (j *Jira) follow(ctx context.Context, s *sight, i *steps.Issue) error {
	names := j.route(i.Status)
	if len(names) == 0 {
		return nil
	}
	is, last := s.issue.status().Name, len(names)-1
	if (i.Status == "waiting" || i.Status == "planned") && (strings.EqualFold(is, j.o.ApproveStatus) || strings.EqualFold(is, j.o.RejectStatus)) {
		return nil
	}
	done := -1 // which of names was reached
	for n, name := range names {
		if strings.EqualFold(is, name) {
			done = n
		}
	}
	if move := s.kept.Move; move.For == i.Status && move.Hop <= last {
		switch {
		case strings.EqualFold(is, move.To):
			done = max(done, move.Hop)
		case strings.EqualFold(is, move.From):
		case j.o.Edits == EditsRespect && move.Hop == last:
			return nil
		}
	}
	for done < last {
		all, err := j.transitions(ctx, s.issue.Key)
		if err != nil {
			return err
		}
		next := done
		var t *transition
		for n := last; n > done && t == nil; n-- {
			t, next = named(all, names[n]), n
		}
		if t == nil {
			return j.noWay(s.issue.Key, is, names[done+1:], i.Status, all)
		}
		s.kept.Move = keptMove{For: i.Status, From: is, To: t.To.Name, Hop: next}
		if err := j.keep(ctx, s); err != nil {
			return err
		}
		if err := j.take(ctx, s, t, i.Status); err != nil {
			return err
		}
		is, done = t.To.Name, next
	}
	return nil
}

// noWay says that a transition is missing, and what there is.
func (j *Jira) noWay(key, is string, names []string, status string, all []transition) error {
	var open []string
	for _, t := range all {
		open = append(open, fmt.Sprintf("%q to %q", t.Name, t.To.Name))
	}
	there := "there is none for this account"
	if len(open) > 0 {
		there = "there are " + strings.Join(open, ", ")
	}
	return refuse("issue %s is %q, and no transition for a release that is %s leads to %s: %s. Change the workflow, or name others under transitions",
		key, is, status, quoted(names), calls.Clip(there, mostWords))
}

// take makes a transition, with the fields that it asks for.
func (j *Jira) take(ctx context.Context, s *sight, t *transition, status string) error {
	fields, lacking, err := j.screen(s, t, status)
	if err != nil {
		return err
	}
	body := map[string]any{"transition": map[string]any{"id": t.ID}}
	if len(fields) > 0 {
		body["fields"] = fields
	}
	what := fmt.Sprintf("move %s to %q", s.issue.Key, t.To.Name)
	err = j.post(ctx, what, at("issue", s.issue.Key, "transitions"), body, nil)
	if isPermanent(err) && len(lacking) > 0 {
		return fmt.Errorf("%w: the transition %q wants %s: name a value under transitionFields", err, t.Name, strings.Join(lacking, ", "))
	}
	return err
}

// screen is what a transition is given: what the configuration names, the resolution that fits, and
// the release's version. Lacking are fields that it wants and that nobody named; they may have a value
// already.
func (j *Jira) screen(s *sight, t *transition, status string) (fields map[string]any, lacking []string, err error) {
	fields = map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(t.Fields)) {
		f := t.Fields[id]
		if text, given := j.screenText(f); given {
			if fields[id], err = j.value(f.field, text); err != nil {
				return nil, nil, err
			}
			continue
		}
		switch {
		case !f.Required:
		case id == "resolution" && len(f.Allowed) > 0:
			fields[id] = map[string]any{"id": pickResolution(f.Allowed, status).ID}
		case id == "fixVersions" && s.version != nil:
			fields[id] = []any{map[string]any{"id": s.version.ID}}
		case !f.Default:
			lacking = append(lacking, fmt.Sprintf("%q", f.Name))
		}
	}
	return fields, lacking, nil
}

// screenText is what the configuration gives a field.
func (j *Jira) screenText(f screenField) (string, bool) {
	for name, text := range j.o.TransitionFields {
		if name == f.ID || strings.EqualFold(name, f.Name) {
			return text, true
		}
	}
	return "", false
}

type resolution struct{ ID, Name string }

// pickResolution picks the one that says best how it ended; their names are each Jira's own.
func pickResolution(allowed []json.RawMessage, status string) resolution {
	good := []string{"Released", "Done", "Fixed", "Resolved"}
	switch status {
	case "aborted", "failed", "rolled back":
		good = []string{status, "Cancelled", "Canceled", "Won't Do", "Won't Fix", "Declined"}
	case "duplicate":
		good = []string{"Duplicate", "Won't Do", "Won't Fix"}
	}
	var all []resolution
	for _, raw := range allowed {
		var r resolution
		if json.Unmarshal(raw, &r) == nil && r.ID != "" {
			all = append(all, r)
		}
	}
	for _, name := range good {
		if at := slices.IndexFunc(all, func(r resolution) bool { return strings.EqualFold(r.Name, name) }); at >= 0 {
			return all[at]
		}
	}
	if len(all) == 0 {
		return resolution{}
	}
	return all[0]
}
