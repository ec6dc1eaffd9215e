package jira

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/muster-release/muster/playbooks/steps"
)

// MoveBack gives an issue the status that it had before somebody moved it, and says below it why. The
// comment comes first, once for each move, so that nobody finds an issue moved without a word. An issue
// that is there already stays as it is. Where the workflow has no way back that is said below the
// issue, and the error is Permanent. It is safe to repeat after any error.
func (j *Jira) MoveBack(ctx context.Context, key, status, why string) error {
	i, err := j.withHistory(ctx, key, "status", "project")
	if err != nil {
		return err
	}
	is := i.status().Name
	if strings.EqualFold(is, status) {
		return nil
	}
	all, err := j.transitions(ctx, key)
	if err != nil {
		return err
	}
	t := leadingTo(all, status)
	text := fmt.Sprintf("%s It goes back to %q.", sentence(why), status)
	if t == nil {
		text = fmt.Sprintf("%s Jira's workflow has no way from %q to %q for Muster, so it stays where it is. It counts for nothing there.", sentence(why), is, status)
	}
	if err := j.commentOnce(ctx, key, steps.Comment{Marker: "back/" + i.lastMove(), Text: text}); err != nil {
		return err
	}
	if t == nil {
		return refuse("move %s back: there is no transition from %q to %q for this account", key, is, status)
	}
	return j.take(ctx, &sight{issue: i}, t, "")
}

// leadingTo is a transition to a status, nil if there is none. A name of a transition alone says nothing about
// where it leads.
func leadingTo(all []transition, status string) *transition {
	at := slices.IndexFunc(all, func(t transition) bool { return strings.EqualFold(t.To.Name, status) })
	if at < 0 {
		return nil
	}
	return &all[at]
}

// sentence is text with an end.
func sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" || strings.ContainsRune(".!?", rune(text[len(text)-1])) {
		return text
	}
	return text + "."
}

// withHistory reads an issue with the newest part of its history, which is all of it on Data Center.
func (j *Jira) withHistory(ctx context.Context, key string, fields ...string) (*issue, error) {
	var i issue
	query := url.Values{"fields": {strings.Join(fields, ",")}, "expand": {"changelog"}}
	if err := j.get(ctx, "read issue "+key, at("issue", key), query, &i); err != nil {
		return nil, err
	}
	i.sortHistory()
	return &i, nil
}

// sortHistory puts the oldest entry first: Cloud begins with the newest. Entries are numbered as they come.
func (i *issue) sortHistory() {
	slices.SortStableFunc(i.Changelog.Histories, func(a, b history) int {
		return cmp.Or(a.at().Compare(b.at()), cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	})
}

// lastMove is the ID of the entry of the history in which the issue came to its status; "0" if none
// is known.
func (i *issue) lastMove() string {
	for n := len(i.Changelog.Histories) - 1; n >= 0; n-- {
		h := &i.Changelog.Histories[n]
		if id := ident(string(h.ID)); id != "" && h.of("status") != nil {
			return id
		}
	}
	return "0"
}
