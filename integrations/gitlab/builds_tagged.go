package gitlab

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/playbooks"
)

// mostTagged is how many tags are listed of a project, the highest versions first.
const mostTagged = 100

// Tagged lists the versions of a module that its project has tags for, the highest first, at most
// limit. Tags of other modules of the project are left out, and those that name no version.
func (g *GitLab) Tagged(ctx context.Context, module string, limit int) ([]string, error) {
	m, project, err := g.module(module)
	if err != nil {
		return nil, err
	}
	tags, _, err := pages(ctx, g, mostTagged, fmt.Sprintf("list tags of %q", project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.Tag, *gl.Response, error) {
		o := &gl.ListTagsOptions{ListOptions: page, OrderBy: gl.Ptr("updated"), Sort: gl.Ptr("desc")}
		if m.TagPrefix != "" {
			o.Search = gl.Ptr("^" + m.TagPrefix)
		}
		return g.api.Tags.ListTags(project, o, with...)
	})
	if err != nil {
		return nil, err
	}
	modules := g.modulesOf(project)
	var versions []string
	for _, t := range tags {
		version := strings.TrimPrefix(t.Name, m.TagPrefix)
		if slices.Contains(tagModules(modules, t.Name), m) && canonicalOf(version) != "" {
			versions = append(versions, version)
		}
	}
	slices.SortStableFunc(versions, func(a, b string) int { return -semver.Compare(canonicalOf(a), canonicalOf(b)) })
	return versions[:min(len(versions), limit)], nil
}

// canonicalOf is a version as semver compares it, with or without a leading v; empty: it is none.
func canonicalOf(version string) string {
	if !strings.HasPrefix(version, "v") {
		version = "v" + version
	}
	return semver.Canonical(version)
}

// BuildOf returns the build of a version that is tagged, which nobody may have told of: from the
// pipeline of the tag, or else of the commit that it names. Found is false where there is no such tag, or no
// pipeline of it that is over.
func (g *GitLab) BuildOf(ctx context.Context, module, version string) (build playbooks.BuildState, found bool, err error) {
	m, project, err := g.module(module)
	if err != nil {
		return build, false, err
	}
	tag, err := g.findTag(ctx, project, m.TagPrefix+version)
	if err != nil || tag == nil {
		return build, false, err
	}
	for _, ref := range []string{tag.Name, ""} {
		p, err := g.pipelineOf(ctx, project, tag.Commit.ID, ref)
		if err != nil {
			return build, false, err
		}
		if p == nil {
			continue
		}
		all, err := g.BuildsOf(ctx, project, p.ID)
		if err != nil {
			return build, false, err
		}
		for _, b := range all {
			if b.Module == module {
				b.Version = version // a branch's pipeline calls it something else
				return b, true, nil
			}
		}
	}
	return build, false, nil
}
