package gitlab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/integrations/calls"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

const (
	// sendWithin is how long after an order was written down something is sent for it. What
	// would have to be sent later is refused, and comes as another attempt.
	sendWithin = time.Minute
	// settledAfter is how long after an order was written down nothing of it is under way any
	// more: it was sent within sendWithin, GitLab gives up requests after 60 s
	// (https://docs.gitlab.com/omnibus/settings/puma/#worker-timeout), a request may have waited in front of
	// it for as long, and a replica of its database may be behind.
	settledAfter = sendWithin + 3*time.Minute
	// skew is how far GitLab's clock may be from this machine's.
	skew = time.Minute
)

// settled reports whether nothing that was sent for an order can still take effect, and
// otherwise how long that lasts.
func settled(o steps.Order) (wait time.Duration, yes bool) {
	wait = time.Until(o.StartedAt.Add(settledAfter))
	return wait, wait <= 0
}

// inTime refuses what comes too late to be sent; see settledAfter. Nothing was sent.
func inTime(o steps.Order) error {
	if !o.StartedAt.IsZero() && time.Since(o.StartedAt) > sendWithin {
		return &calls.Later{Text: "gitlab: start " + o.Step, Wait: time.Second, Err: fmt.Errorf("it was to begin %v ago, which is too long to be sure of it", time.Since(o.StartedAt).Round(time.Second))}
	}
	return nil
}

// spot is where a version is in its repository.
type spot struct {
	commit string // full hash
	ref    string // its tag, or else a branch; empty: neither is known
	tag    bool   // ref is a tag
}

// locate finds out which commit a version is. What the caller knows counts, then the registered
// build, then the tag. A tag of that name on another commit is an error that is Permanent, and so is a
// version of which nobody knows the commit.
func (g *GitLab) locate(ctx context.Context, m *playbooks.Module, project, version, commit string) (spot, error) {
	at := spot{commit: commit}
	if version == "" {
		return at, nil
	}
	if g.options.Build != nil {
		build, err := g.options.Build(ctx, m.Name, version)
		if err != nil {
			return spot{}, fmt.Errorf("gitlab: look up the build of %s %s: %w", m.Name, version, err)
		}
		if at.commit == "" {
			at.commit = build.Commit
		}
		if build.Commit == at.commit {
			at.ref = build.Ref
		}
	}
	name := m.TagPrefix + version
	tag, err := g.findTag(ctx, project, name)
	if err != nil {
		return spot{}, err
	}
	switch {
	case tag == nil && at.commit == "":
		return spot{}, refuse("nothing says which commit %s %s is: there is no tag %q in %q, and no build of it is registered", m.Name, version, name, project)
	case tag == nil:
		if at.ref == name {
			at.ref = "" // the tag that it was built for is gone
		}
		return at, nil
	case at.commit != "" && tag.Commit.ID != at.commit:
		return spot{}, refuse("tag %q of %q is on commit %s, and %s %s is commit %s", name, project, tag.Commit.ID, m.Name, version, at.commit)
	}
	return spot{commit: tag.Commit.ID, ref: name, tag: true}, nil
}

// findTag returns a tag, and nil where there is none.
func (g *GitLab) findTag(ctx context.Context, project, name string) (*gl.Tag, error) {
	tag, err := ask(ctx, g, fmt.Sprintf("read tag %q of %q", name, project), func(with ...gl.RequestOptionFunc) (*gl.Tag, *gl.Response, error) {
		return g.api.Tags.GetTag(project, name, with...)
	})
	switch {
	case err == nil && tag.Commit != nil:
		return tag, nil
	case err == nil:
		return nil, refuse("tag %q of %q names no commit", name, project)
	case !isGone(err):
		return nil, err
	}
	// A project that this token does not see is not found either, and is no project without the tag.
	return nil, g.sees(ctx, project)
}

// sees returns an error where the project cannot be seen.
func (g *GitLab) sees(ctx context.Context, project string) error {
	_, err := g.readProject(ctx, project)
	return err
}

func (g *GitLab) readProject(ctx context.Context, project string) (*gl.Project, error) {
	return ask(ctx, g, fmt.Sprintf("read project %q", project), func(with ...gl.RequestOptionFunc) (*gl.Project, *gl.Response, error) {
		return g.api.Projects.GetProject(project, nil, with...)
	})
}

// Tagger returns what names commits after versions: the tag is the module's TagPrefix and the
// version, on the commit of the order's parameter "commit" or else of the registered build.
func (g *GitLab) Tagger() steps.Runner { return tagger{g} }

type tagger struct{ g *GitLab }

func (t tagger) order(o steps.Order) (m *playbooks.Module, project, name string, err error) {
	if m, project, err = t.g.module(o.Place.Module); err != nil {
		return nil, "", "", err
	}
	if o.Version == "" {
		return nil, "", "", refuse("tag %s: the order names no version", m.Name)
	}
	return m, project, m.TagPrefix + o.Version, nil
}

// commit is what is to be tagged.
func (t tagger) commit(ctx context.Context, m *playbooks.Module, o steps.Order) (string, error) {
	if commit := o.Params[playbooks.ParamCommit]; commit != "" {
		return commit, nil
	}
	if t.g.options.Build != nil {
		build, err := t.g.options.Build(ctx, m.Name, o.Version)
		if err != nil {
			return "", fmt.Errorf("gitlab: look up the build of %s %s: %w", m.Name, o.Version, err)
		}
		if build.Commit != "" {
			return build.Commit, nil
		}
	}
	return "", refuse("tag %s %s: nobody knows which commit it is, for no build of it is registered", m.Name, o.Version)
}

// Start implements steps.Runner.
func (t tagger) Start(ctx context.Context, o steps.Order) (steps.Report, error) {
	m, project, name, err := t.order(o)
	if err != nil {
		return steps.Report{}, err
	}
	tag, err := t.g.findTag(ctx, project, name)
	if err != nil {
		return steps.Report{}, unsent(err)
	}
	commit, err := t.commit(ctx, m, o)
	if err != nil && tag != nil && isPermanent(err) {
		return t.report(project, tag), nil // it is tagged, and nothing says that it should be elsewhere
	}
	if err != nil {
		return steps.Report{}, unsent(err)
	}
	if tag != nil {
		return t.compare(project, tag, commit)
	}
	if err := inTime(o); err != nil {
		return steps.Report{}, err
	}
	tag, err = ask(ctx, t.g, fmt.Sprintf("create tag %q in %q", name, project), func(with ...gl.RequestOptionFunc) (*gl.Tag, *gl.Response, error) {
		return t.g.api.Tags.CreateTag(project, &gl.CreateTagOptions{
			TagName: gl.Ptr(name), Ref: gl.Ptr(commit), Message: gl.Ptr(fmt.Sprintf("%s %s, by Muster's run %s", m.Name, o.Version, o.Run)),
		}, with...)
	})
	if isPermanent(err) {
		// Somebody else may have made it meanwhile.
		if there, lookErr := t.g.findTag(ctx, project, name); lookErr == nil && there != nil {
			return t.compare(project, there, commit)
		}
	}
	if err != nil {
		return steps.Report{}, err
	}
	return t.compare(project, tag, commit)
}

// compare holds a tag that is there against the commit that is meant.
func (t tagger) compare(project string, tag *gl.Tag, commit string) (steps.Report, error) {
	if tag.Commit == nil || tag.Commit.ID != commit {
		is := "nothing"
		if tag.Commit != nil {
			is = tag.Commit.ID
		}
		return steps.Report{}, refuse("tag %q of %q is on commit %s already, and is to be on %s", tag.Name, project, is, commit)
	}
	return t.report(project, tag), nil
}

func (t tagger) report(project string, tag *gl.Tag) steps.Report {
	return steps.Report{
		Phase: steps.Succeeded, Message: fmt.Sprintf("%s is on %s", tag.Name, short(tag.Commit.ID)),
		Evidence: []playbooks.Evidence{{Name: "tag", Text: tag.Name + " on " + tag.Commit.ID, Link: t.g.page(project, "tags/"+pathEscape(tag.Name))}},
	}
}

// Look implements steps.Runner.
func (t tagger) Look(ctx context.Context, o steps.Order) (steps.Report, error) {
	m, project, name, err := t.order(o)
	if err != nil {
		return steps.Report{}, err
	}
	tag, err := t.g.findTag(ctx, project, name)
	if err != nil {
		return steps.Report{}, err
	}
	if tag == nil {
		if wait, yes := settled(o); !yes {
			return steps.Report{Phase: steps.Running, Message: name + " is not there yet", CheckAfter: min(wait, 15*time.Second)}, nil
		}
		return steps.Report{Phase: steps.Absent, Message: fmt.Sprintf("there is no tag %s", name)}, nil
	}
	commit, err := t.commit(ctx, m, o)
	if isPermanent(err) {
		return t.report(project, tag), nil
	}
	if err != nil {
		return steps.Report{}, err
	}
	report, err := t.compare(project, tag, commit)
	if err != nil {
		return steps.Report{Phase: steps.Failed, Message: strings.TrimPrefix(err.Error(), "gitlab: ")}, nil
	}
	return report, nil
}

// Stop implements steps.Runner. A tag is made in one call, so there is nothing to stop.
func (t tagger) Stop(context.Context, steps.Order) error { return nil }

// errNoModule is for orders and queries about what the catalog does not have.
var errNoModule = errors.New("the catalog has no such module")

// module finds a module of the catalog and its project.
func (g *GitLab) module(name string) (*playbooks.Module, string, error) {
	m := g.options.Catalog().Module(name)
	if m == nil {
		return nil, "", refuse("find module %q: %w", name, errNoModule)
	}
	project, err := g.projectOf(m)
	return m, project, err
}
