package gitlab

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/bot/events"
)

var _ events.Origin = (*GitLab)(nil)

// Confirm implements events.Origin. A push becomes that of the branch's head, a tag gets the
// commit that it is on, and all else the state that it has now. Found is false where the
// branch, the tag or the release is gone, and a deletion where it is there again. A project that cannot be
// seen with the token is an error that is Permanent.
func (g *GitLab) Confirm(ctx context.Context, e events.Event) (now events.Event, found bool, err error) {
	project := e.Fields["project"]
	if e.Source != System || project == "" {
		return e, false, refuse("confirm event %q: it names no project of GitLab", e.ID)
	}
	now, err = g.confirm(ctx, project, e)
	switch {
	case isGone(err):
		// A project that this token does not see is not found either, and proves nothing.
		return e, false, g.sees(ctx, project)
	case err != nil:
		return e, false, err
	case now.Kind == "":
		return e, false, nil
	}
	now.ID = e.ID
	if now.Kind != events.Push && now.Kind != events.Note {
		now.From = e.From
	}
	return now, true, nil
}

// confirm returns an event without a kind where what e says is not so.
func (g *GitLab) confirm(ctx context.Context, project string, e events.Event) (events.Event, error) {
	for kind, field := range map[events.Kind]string{events.Push: "branch", events.Tag: "tag", events.Release: "tag"} {
		if e.Kind == kind && e.Fields[field] == "" {
			return events.Event{}, nil
		}
	}
	switch e.Kind {
	case events.Push:
		head, err := g.branch(ctx, project, e.Fields["branch"])
		if err != nil {
			return events.Event{}, err
		}
		now := g.pushed(project, e.Fields["branch"], head.ID, head.Message, e.At)
		if head.ID == e.Fields["commit"] { // otherwise nothing says who pushed what is there now
			now.From = e.From
		}
		return now, nil
	case events.Tag:
		return g.confirmTag(ctx, project, e)
	case events.MergeRequest:
		return g.confirmMerge(ctx, project, e)
	case events.Pipeline:
		p, err := g.readPipeline(ctx, project, number(e, "pipeline"))
		if err != nil {
			return events.Event{}, err
		}
		return g.piped(project, p.ID, p.Ref, p.SHA, p.Status, string(p.Source), e.At), nil
	case events.Job:
		id := number(e, "job")
		j, err := ask(ctx, g, fmt.Sprintf("read job %d of %q", id, project), func(with ...gl.RequestOptionFunc) (*gl.Job, *gl.Response, error) {
			return g.api.Jobs.GetJob(project, id, with...)
		})
		if err != nil {
			return events.Event{}, err
		}
		is := job{id: j.ID, pipeline: j.Pipeline.ID, name: j.Name, stage: j.Stage, ref: j.Ref, commit: j.Pipeline.Sha, status: j.Status}
		return g.worked(project, is, e.At), nil
	case events.Deployment:
		id := number(e, "deployment")
		d, err := ask(ctx, g, fmt.Sprintf("read deployment %d of %q", id, project), func(with ...gl.RequestOptionFunc) (*gl.Deployment, *gl.Response, error) {
			return g.api.Deployments.GetProjectDeployment(project, id, with...)
		})
		if err != nil {
			return events.Event{}, err
		}
		environment := e.Fields["environment"]
		if d.Environment != nil {
			environment = d.Environment.Name
		}
		return g.deployed(project, d.ID, environment, d.Ref, d.SHA, d.Status, e.At), nil
	case events.Release:
		return g.confirmRelease(ctx, project, e)
	case events.Note:
		p, ok := parsePlace(project + "!" + e.Fields["number"])
		if !ok {
			p, ok = parsePlace(project + "#" + e.Fields["issue"])
		}
		if !ok {
			return events.Event{}, nil
		}
		n, err := g.readNoteOf(ctx, p, number(e, "note"))
		if err != nil {
			return events.Event{}, err
		}
		now := g.noted(p, n.ID, e.At)
		now.Fields["ref"], now.Fields["commit"] = e.Fields["ref"], e.Fields["commit"]
		now.From = n.Author.Username
		return now, nil
	}
	return events.Event{}, refuse("confirm event %q: GitLab knows nothing of kind %q", e.ID, e.Kind)
}

func (g *GitLab) branch(ctx context.Context, project, name string) (*gl.Commit, error) {
	b, err := ask(ctx, g, fmt.Sprintf("read branch %q of %q", name, project), func(with ...gl.RequestOptionFunc) (*gl.Branch, *gl.Response, error) {
		return g.api.Branches.GetBranch(project, name, with...)
	})
	switch {
	case err != nil:
		return nil, err
	case b.Commit == nil:
		return nil, fmt.Errorf("gitlab: read branch %q of %q: it names no commit", name, project)
	}
	return b.Commit, nil
}

func (g *GitLab) confirmTag(ctx context.Context, project string, e events.Event) (events.Event, error) {
	name, deleted := e.Fields["tag"], e.Fields["deleted"] == "true"
	tag, err := g.findTag(ctx, project, name)
	if err != nil || deleted != (tag == nil) {
		return events.Event{}, err
	}
	if deleted {
		return g.tagged(project, name, e.Fields["commit"], true, e.At), nil
	}
	return g.tagged(project, name, tag.Commit.ID, false, e.At), nil
}

func (g *GitLab) confirmMerge(ctx context.Context, project string, e events.Event) (events.Event, error) {
	id := number(e, "number")
	m, err := ask(ctx, g, fmt.Sprintf("read merge request %s!%d", project, id), func(with ...gl.RequestOptionFunc) (*gl.MergeRequest, *gl.Response, error) {
		return g.api.MergeRequests.GetMergeRequest(project, id, nil, with...)
	})
	if err != nil {
		return events.Event{}, err
	}
	now := mergeOf(&m.BasicMergeRequest)
	now.action = e.Fields["action"]
	return g.merging(project, now, e.At), nil
}

func mergeOf(m *gl.BasicMergeRequest) merge {
	is := merge{number: m.IID, source: m.SourceBranch, target: m.TargetBranch, state: m.State, commit: m.SHA, labels: m.Labels}
	if m.State == merged {
		is.commit = cmp.Or(m.MergeCommitSHA, m.SquashCommitSHA, m.SHA)
	}
	return is
}

func (g *GitLab) confirmRelease(ctx context.Context, project string, e events.Event) (events.Event, error) {
	name, action := e.Fields["tag"], e.Fields["action"]
	r, err := ask(ctx, g, fmt.Sprintf("read release %q of %q", name, project), func(with ...gl.RequestOptionFunc) (*gl.Release, *gl.Response, error) {
		return g.api.Releases.GetRelease(project, name, with...)
	})
	switch {
	case isGone(err) && action == "delete":
		return g.released(project, name, e.Fields["commit"], action, e.At), g.sees(ctx, project)
	case err != nil || action == "delete":
		return events.Event{}, err
	}
	return g.released(project, name, r.Commit.ID, action, e.At), nil
}

// number reads a field that is a number of GitLab's; nothing has number 0.
func number(e events.Event, field string) int64 {
	n, err := strconv.ParseInt(e.Fields[field], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// noted is a comment that is no command.
func (g *GitLab) noted(p place, id int64, at time.Time) events.Event {
	of, page := "merge request ", "merge_requests/"
	field := "number"
	if p.kind == onIssue {
		of, page, field = "issue ", "issues/", "issue"
	}
	on := strconv.FormatInt(p.number, 10)
	note := strconv.FormatInt(id, 10)
	e := g.event(events.Note, p.project, of+on, at, map[string]string{field: on, "note": note})
	e.Fact = fmt.Sprintf("note %s %s", p, note)
	e.Link = g.page(p.project, page+on) + "#note_" + note
	return e
}
