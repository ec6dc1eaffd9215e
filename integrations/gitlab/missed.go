package gitlab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/integrations/calls"
)

const (
	// lookAtOnce is how many projects are looked at at the same time.
	lookAtOnce = 4
	// mostFound is how many pipelines, tags and merge requests of a project are looked at, the latest
	// first.
	mostFound = 300
	// mostTags is how many tags are, for these come in no order that is of help.
	mostTags = perPage
	// knowDefault is for how long a project's default branch is known.
	knowDefault = time.Hour
	// longestDue is how far back a project is looked at that could not be for some time.
	longestDue = 7 * 24 * time.Hour
)

// incoming is what the half of GitLab that hears remembers. It is a memory only: whatever is not
// in it is asked for again.
type incoming struct {
	accounts calls.Memory[*gl.User] // by username in lower case; nil: there is none
	lanes    lanes

	mu       sync.Mutex
	projects map[string]*sight
}

// sight is what was seen of a project.
type sight struct {
	branch string    // default
	until  time.Time // when branch is to be asked for again
	// Commits by name; nil: never seen. A branch that was not there has none.
	heads, tags map[string]string
	// tagsFrom is how old the oldest of tags is, where there are more of them. Zero: these are all.
	tagsFrom time.Time
	due      time.Time // since when it has to be looked at, because it could not be; zero: it could
}

func (in *incoming) sight(project string) sight {
	in.mu.Lock()
	defer in.mu.Unlock()
	if s := in.projects[project]; s != nil {
		return *s
	}
	return sight{}
}

func (in *incoming) see(project string, s sight) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.projects == nil {
		in.projects = make(map[string]*sight)
	}
	in.projects[project] = &s
}

// postpone notes that a project is to be looked at from a time on, next time.
func (in *incoming) postpone(project string, since time.Time) {
	s := in.sight(project)
	if s.due.IsZero() || since.Before(s.due) {
		s.due = since
	}
	in.see(project, s)
}

// Missed implements events.Origin: of every project that a module of the catalog lives in, the heads of
// the default branch and of Options.Branches, tags, pipelines that are over, and merge requests.
//
// GitLab does not tell when a branch or a tag came to be where it is. It counts as new if its commit is, if a
// pipeline was started for it since, or if it was elsewhere when it was last looked at. Of comments and
// deployments nothing is found; a comment that was lost is written again by whoever wonders.
//
// A project that cannot be read is logged, and looked at from the same time on when Missed is called next,
// as are those for which there was no time left. Only if none could be read it is an error.
func (g *GitLab) Missed(ctx context.Context, since time.Time) ([]events.Event, error) {
	projects := g.projects()
	slices.SortStableFunc(projects, func(a, b string) int { // those that have waited
		x, y := g.in.sight(a).due, g.in.sight(b).due
		switch {
		case x.IsZero() == y.IsZero():
			return x.Compare(y)
		case x.IsZero():
			return 1
		}
		return -1
	})
	found := make([][]events.Event, len(projects))
	failed := make([]error, len(projects))
	var group errgroup.Group
	group.SetLimit(lookAtOnce)
	for i, project := range projects {
		group.Go(func() error {
			from := since
			if due := g.in.sight(project).due; !due.IsZero() && due.Before(since) {
				from = due
			}
			if oldest := time.Now().Add(-longestDue); from.Before(oldest) && since.After(oldest) {
				from = oldest
			}
			if failed[i] = ctx.Err(); failed[i] == nil {
				found[i], failed[i] = g.missed(unhurried(ctx), project, from)
			}
			if failed[i] != nil {
				g.in.postpone(project, from)
			}
			return nil
		})
	}
	_ = group.Wait()
	var all []events.Event
	failures := 0
	for i, some := range found {
		all = append(all, some...)
		if failed[i] == nil {
			continue
		}
		failures++
		if ctx.Err() == nil {
			g.log.Warn("gitlab: a project could not be looked at for what was missed", "project", projects[i], "error", failed[i])
		}
	}
	if failures > 0 && failures == len(projects) {
		return nil, fmt.Errorf("gitlab: look for what was missed: no project of %d could be read: %w", failures, errors.Join(failed[:min(failures, 3)]...))
	}
	if ctx.Err() != nil && failures > 0 {
		g.log.Warn("gitlab: there was no time to look at every project for what was missed; the others are next", "projects", failures)
	}
	slices.SortStableFunc(all, func(a, b events.Event) int { return a.At.Compare(b.At) })
	return all, nil
}

// missed looks at one project.
func (g *GitLab) missed(ctx context.Context, project string, since time.Time) ([]events.Event, error) {
	saw := g.in.sight(project)
	pipelines, _, err := pages(ctx, g, mostFound, fmt.Sprintf("list pipelines of %q", project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.PipelineInfo, *gl.Response, error) {
		return g.api.Pipelines.ListProjectPipelines(project, &gl.ListProjectPipelinesOptions{
			ListOptions: page, UpdatedAfter: gl.Ptr(since), OrderBy: gl.Ptr("updated_at"), Sort: gl.Ptr("desc"),
		}, with...)
	})
	if err != nil {
		return nil, err
	}
	var all []events.Event
	started := make(map[string]time.Time) // by ref and commit: when a pipeline was, because of a push
	for _, p := range pipelines {
		at := atOr(time.Now(), p.UpdatedAt)
		if created := atOr(at, p.CreatedAt); p.Source == "push" && !created.Before(since) {
			started[p.Ref+" "+p.SHA] = created
		}
		if ended(p.Status) {
			all = append(all, g.piped(project, p.ID, p.Ref, p.SHA, p.Status, p.Source, at))
		}
	}
	v := &view{g: g, project: project, since: since, saw: saw, started: started}
	for _, look := range []func(context.Context) ([]events.Event, error){v.tags, v.heads, v.merges} {
		some, err := look(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	v.saw.due = time.Time{}
	g.in.see(project, v.saw)
	return all, nil
}

// view is one look at a project.
type view struct {
	g       *GitLab
	project string
	since   time.Time
	saw     sight // what was seen before, and then what is seen now
	started map[string]time.Time
}

// news reports whether a ref came to a commit since, and when as far as that is known. Moved says that
// it was elsewhere when it was last looked at.
func (v *view) news(ref, commit string, made time.Time, moved bool) (time.Time, bool) {
	at, pushed := v.started[ref+" "+commit]
	switch {
	case pushed:
		return at, true
	case !made.Before(v.since) && made.Before(time.Now().Add(time.Hour)): // commits may have any date
		return made, true
	case moved:
		return time.Now(), true
	}
	return time.Time{}, false
}

func (v *view) tags(ctx context.Context) (all []events.Event, err error) {
	tags, more, err := pages(ctx, v.g, mostTags, fmt.Sprintf("list tags of %q", v.project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.Tag, *gl.Response, error) {
		return v.g.api.Tags.ListTags(v.project, &gl.ListTagsOptions{ListOptions: page, OrderBy: gl.Ptr("updated"), Sort: gl.Ptr("desc")}, with...)
	})
	if err != nil {
		return nil, err
	}
	seen := make(map[string]string)
	oldest := time.Now()
	for _, t := range tags {
		if t.Commit == nil {
			continue
		}
		seen[t.Name] = t.Commit.ID
		made := atOr(atOr(time.Time{}, t.Commit.CommittedDate), t.CreatedAt)
		oldest = earlier(oldest, made)
		was, known := v.saw.tags[t.Name]
		moved := v.saw.tags != nil && (known && was != t.Commit.ID || !known && made.After(v.saw.tagsFrom))
		if at, is := v.news(t.Name, t.Commit.ID, made, moved); is {
			all = append(all, v.g.tagged(v.project, t.Name, t.Commit.ID, false, at))
		}
	}
	v.saw.tags, v.saw.tagsFrom = seen, time.Time{}
	if more {
		v.saw.tagsFrom = oldest
	}
	return all, nil
}

func (v *view) heads(ctx context.Context) (all []events.Event, err error) {
	if v.saw.branch == "" || time.Now().After(v.saw.until) {
		p, err := v.g.readProject(ctx, v.project)
		if err != nil {
			return nil, err
		}
		v.saw.branch, v.saw.until = p.DefaultBranch, time.Now().Add(knowDefault)
	}
	names := []string{v.saw.branch}
	if v.g.options.Branches != nil {
		names = append(names, v.g.options.Branches()...)
	}
	slices.Sort(names)
	seen := make(map[string]string)
	for _, name := range slices.Compact(names) {
		if name == "" || strings.ContainsAny(name, "*|!") {
			continue
		}
		head, err := v.g.branch(ctx, v.project, name)
		if isGone(err) {
			seen[name] = "" // not every project has every branch
			continue
		}
		if err != nil {
			return nil, err
		}
		seen[name] = head.ID
		was, known := v.saw.heads[name]
		if at, is := v.news(name, head.ID, atOr(time.Time{}, head.CommittedDate), known && was != head.ID); is {
			all = append(all, v.g.pushed(v.project, name, head.ID, head.Message, at))
		}
	}
	v.saw.heads = seen
	return all, nil
}

func (v *view) merges(ctx context.Context) (all []events.Event, err error) {
	found, _, err := pages(ctx, v.g, mostFound, fmt.Sprintf("list merge requests of %q", v.project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.BasicMergeRequest, *gl.Response, error) {
		return v.g.api.MergeRequests.ListProjectMergeRequests(v.project, &gl.ListProjectMergeRequestsOptions{
			ListOptions: page, UpdatedAfter: gl.Ptr(v.since), OrderBy: gl.Ptr("updated_at"), Sort: gl.Ptr("desc"), State: gl.Ptr("all"),
		}, with...)
	})
	if err != nil && isPermanent(err) {
		return nil, nil // a project may have none
	}
	for _, m := range found {
		now := mergeOf(m)
		switch {
		case m.State == "merged":
			now.action = "merge"
		case m.State == "closed":
			now.action = "close"
		case !atOr(time.Time{}, m.CreatedAt).Before(v.since):
			now.action = "open"
		default:
			now.action = "update"
		}
		all = append(all, v.g.merging(v.project, now, atOr(time.Now(), m.UpdatedAt)))
	}
	return all, err
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func atOr(otherwise time.Time, t *time.Time) time.Time {
	if t == nil || t.IsZero() {
		return otherwise
	}
	return *t
}
