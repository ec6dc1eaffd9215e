package gitlab

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	gl "gitlab.com/gitlab-org/api/client-go/v2"
)

// place is where people talk: a merge request or an issue. Chat channels are called as GitLab calls
// them: "shop/api!12" and "shop/api#12".
type place struct {
	project string
	kind    byte // onMerge or onIssue
	number  int64
}

const (
	onMerge = '!'
	onIssue = '#'
)

func (p place) String() string { return fmt.Sprintf("%s%c%d", p.project, p.kind, p.number) }

// parsePlace reads the name of a channel.
func parsePlace(channel string) (place, bool) {
	at := strings.LastIndexAny(channel, "!#")
	if at <= 0 {
		return place{}, false
	}
	p := place{project: channel[:at], kind: channel[at]}
	var err error
	p.number, err = strconv.ParseInt(channel[at+1:], 10, 64)
	if err != nil || p.number <= 0 || !strings.Contains(p.project, "/") || strings.ContainsAny(p.project, " !#") || p.String() != channel {
		return place{}, false
	}
	return p, true
}

// The notes of merge requests and of issues have the same shape at other addresses.

func (g *GitLab) readNoteOf(ctx context.Context, p place, id int64) (*gl.Note, error) {
	return ask(ctx, g, fmt.Sprintf("read comment %d on %s", id, p), func(with ...gl.RequestOptionFunc) (*gl.Note, *gl.Response, error) {
		if p.kind == onIssue {
			return g.api.Notes.GetIssueNote(p.project, p.number, id, with...)
		}
		return g.api.Notes.GetMergeRequestNote(p.project, p.number, id, with...)
	})
}

// createNote comments on its own, or answers in a discussion.
func (g *GitLab) createNote(ctx context.Context, p place, discussion, body string) (*gl.Note, error) {
	return ask(ctx, g, fmt.Sprintf("comment on %s", p), func(with ...gl.RequestOptionFunc) (*gl.Note, *gl.Response, error) {
		switch {
		case p.kind == onIssue && discussion != "":
			return g.api.Discussions.AddIssueDiscussionNote(p.project, p.number, discussion, &gl.AddIssueDiscussionNoteOptions{Body: gl.Ptr(body)}, with...)
		case p.kind == onIssue:
			return g.api.Notes.CreateIssueNote(p.project, p.number, &gl.CreateIssueNoteOptions{Body: gl.Ptr(body)}, with...)
		case discussion != "":
			return g.api.Discussions.AddMergeRequestDiscussionNote(p.project, p.number, discussion, &gl.AddMergeRequestDiscussionNoteOptions{Body: gl.Ptr(body)}, with...)
		}
		return g.api.Notes.CreateMergeRequestNote(p.project, p.number, &gl.CreateMergeRequestNoteOptions{Body: gl.Ptr(body)}, with...)
	})
}

func (g *GitLab) updateNote(ctx context.Context, p place, id int64, body string) error {
	_, err := ask(ctx, g, fmt.Sprintf("edit comment %d on %s", id, p), func(with ...gl.RequestOptionFunc) (*gl.Note, *gl.Response, error) {
		if p.kind == onIssue {
			return g.api.Notes.UpdateIssueNote(p.project, p.number, id, &gl.UpdateIssueNoteOptions{Body: gl.Ptr(body)}, with...)
		}
		return g.api.Notes.UpdateMergeRequestNote(p.project, p.number, id, &gl.UpdateMergeRequestNoteOptions{Body: gl.Ptr(body)}, with...)
	})
	return err
}

// mostNotes is how many comments of one place are looked through, the newest first.
const mostNotes = 2000

// findNote looks through the comments of a place, the newest first, and returns nil where none fits.
func (g *GitLab) findNote(ctx context.Context, p place, fits func(*gl.Note) bool) (*gl.Note, error) {
	what := fmt.Sprintf("list the comments on %s", p)
	for page := int64(1); page*perPage <= mostNotes; {
		o := gl.ListOptions{Page: page, PerPage: perPage}
		notes, response, err := exchange(ctx, g, what, func(with ...gl.RequestOptionFunc) ([]*gl.Note, *gl.Response, error) {
			order, sort := gl.Ptr("created_at"), gl.Ptr("desc")
			if p.kind == onIssue {
				return g.api.Notes.ListIssueNotes(p.project, p.number, &gl.ListIssueNotesOptions{ListOptions: o, OrderBy: order, Sort: sort}, with...)
			}
			return g.api.Notes.ListMergeRequestNotes(p.project, p.number, &gl.ListMergeRequestNotesOptions{ListOptions: o, OrderBy: order, Sort: sort}, with...)
		})
		if err != nil {
			return nil, err
		}
		for _, n := range notes {
			if fits(n) {
				return n, nil
			}
		}
		if response.NextPage <= page {
			return nil, nil
		}
		page = response.NextPage
	}
	return nil, nil // what is sought is seldom old
}

// discussionOf finds the discussion that a comment is in.
func (g *GitLab) discussionOf(ctx context.Context, p place, id int64) (string, error) {
	what := fmt.Sprintf("find the discussion of comment %d on %s", id, p)
	for page := int64(1); page*perPage <= mostNotes; {
		o := gl.ListOptions{Page: page, PerPage: perPage}
		found, response, err := exchange(ctx, g, what, func(with ...gl.RequestOptionFunc) ([]*gl.Discussion, *gl.Response, error) {
			if p.kind == onIssue {
				return g.api.Discussions.ListIssueDiscussions(p.project, p.number, &gl.ListIssueDiscussionsOptions{ListOptions: o}, with...)
			}
			return g.api.Discussions.ListMergeRequestDiscussions(p.project, p.number, &gl.ListMergeRequestDiscussionsOptions{ListOptions: o}, with...)
		})
		if err != nil {
			return "", err
		}
		for _, d := range found {
			for _, n := range d.Notes {
				if n.ID == id {
					return d.ID, nil
				}
			}
		}
		if response.NextPage <= page {
			break
		}
		page = response.NextPage
	}
	return "", &failure{text: "gitlab: " + what, status: 404, words: "it is not there any more", permanent: true}
}
