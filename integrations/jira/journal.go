package jira

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/muster-release/muster/integrations/calls"
	"github.com/muster-release/muster/playbooks/steps"
)

// mostComments is how many comments are looked through; Cloud allows an issue 5,000.
const mostComments = 5000

// markerLine is the last line of a comment of the journal. It is seen by people, and is looked for
// when the answer to the comment was lost: neither Jira can search comments by a property.
func markerLine(marker string) paragraph {
	return paragraph{{text: "muster " + marker, small: true}}
}

// Comment implements steps.Tracker. The same comment twice stands there twice: ask Commented
// before repeating it.
func (j *Jira) Comment(ctx context.Context, key string, c steps.Comment) error {
	d, end := paragraphs(calls.Clip(c.Text, mostText/3)), document{markerLine(c.Marker)}
	if c.Code == "" {
		d = append(d, end...)
	} else {
		d = j.fit(d, c.Code, end, true)
	}
	return j.post(ctx, "comment on "+key, at("issue", key, "comment"), map[string]any{"body": j.body(d)}, nil)
}

// comment is a comment of an issue.
type comment struct {
	ID      string          `json:"id"`
	Author  account         `json:"author"`
	Body    json.RawMessage `json:"body"`
	Created string          `json:"created"`
	Updated string          `json:"updated"`
}

// eachComment goes through the comments of an issue, the newest first, until f says that it has
// seen enough.
func (j *Jira) eachComment(ctx context.Context, key string, f func(comment) (enough bool)) error {
	for start := 0; start < mostComments; {
		var page struct {
			Comments []comment `json:"comments"`
			Total    int       `json:"total"`
		}
		query := url.Values{"startAt": {strconv.Itoa(start)}, "maxResults": {strconv.Itoa(pageSize)}, "orderBy": {"-created"}}
		if err := j.get(ctx, "read the comments of "+key, at("issue", key, "comment"), query, &page); err != nil {
			return err
		}
		for _, c := range page.Comments {
			if f(c) {
				return nil
			}
		}
		start += len(page.Comments)
		if len(page.Comments) == 0 || start >= page.Total {
			return nil
		}
	}
	return nil
}

// Commented implements steps.Tracker. Only comments of Muster's own account count.
func (j *Jira) Commented(ctx context.Context, key, marker string) (bool, error) {
	want := "muster " + marker
	if j.flavor == dataCenter {
		want = document{markerLine(marker)}.wiki()
	}
	_, found, err := j.ownComment(ctx, key, func(line string) bool { return line == want })
	return found, err
}

// commentOnce writes a comment unless it stands there.
func (j *Jira) commentOnce(ctx context.Context, key string, c steps.Comment) error {
	told, err := j.Commented(ctx, key, c.Marker)
	if err != nil || told {
		return err
	}
	return j.Comment(ctx, key, c)
}

// ownComment finds the newest comment of Muster's own account whose last line fits.
func (j *Jira) ownComment(ctx context.Context, key string, fits func(line string) bool) (id string, found bool, err error) {
	me, err := j.myself(ctx)
	if err != nil {
		return "", false, err
	}
	err = j.eachComment(ctx, key, func(c comment) bool {
		if c.Author.is(me) && fits(lastLine(c.Body)) {
			id, found = c.ID, true
		}
		return found
	})
	return id, found, err
}

// lastLine is the last line of a comment that is not empty.
func lastLine(body json.RawMessage) string {
	text := strings.TrimSpace(textOf(body))
	return text[strings.LastIndexByte(text, '\n')+1:]
}
