package jira

import (
	"context"
	"fmt"

	"github.com/muster-release/muster/bot/events"
)

// Page returns what an issue is about, with the fields that an event of it has, for a line that
// somebody wrote below it.
func (j *Jira) Page(ctx context.Context, key string) (events.Event, error) {
	key = issueKey(key)
	if key == "" {
		return events.Event{}, fmt.Errorf("jira: read issue: %q is no key of an issue", key)
	}
	i, err := j.getIssue(ctx, key, factFields())
	if err != nil {
		return events.Event{}, err
	}
	return events.Event{Source: System, Kind: events.IssueLabelled, Subject: key, Fields: j.fieldsOf(i), Link: j.browse(i.Key)}, nil
}
