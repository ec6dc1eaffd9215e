package gitlab

import (
	"context"
	"fmt"
	"slices"
	"strings"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/playbooks/steps"
)

// What stands between these in a release's description is Muster's. GitLab shows no HTML comments.
const (
	notesBegin = "<!-- muster:notes -->"
	notesEnd   = "<!-- /muster:notes -->"
)

// Release implements steps.Forge. What people wrote before or after Muster's part of the
// description stays, and so do links that are not Muster's. A version without its tag is an error that is
// Permanent.
func (g *GitLab) Release(ctx context.Context, r steps.ForgeRelease) error {
	project, err := g.projectOf(r.Module)
	if err != nil {
		return err
	}
	name := r.Module.TagPrefix + r.Version
	there, err := g.findRelease(ctx, project, name)
	if err != nil {
		return err
	}
	if there != nil {
		return g.keepRelease(ctx, project, there, r)
	}
	tag, err := g.findTag(ctx, project, name)
	switch {
	case err != nil:
		return err
	case tag == nil:
		return refuse("release %s %s: there is no tag %q in %q", r.Module.Name, r.Version, name, project)
	case r.Commit != "" && tag.Commit.ID != r.Commit:
		return refuse("release %s %s: tag %q of %q is on commit %s, and the version is commit %s", r.Module.Name, r.Version, name, project, tag.Commit.ID, r.Commit)
	}
	o := &gl.CreateReleaseOptions{Name: gl.Ptr(name), TagName: gl.Ptr(name), Description: gl.Ptr(withNotes("", r.Notes))}
	if len(r.Links) > 0 {
		o.Assets = &gl.ReleaseAssetsOptions{}
		for _, l := range r.Links {
			o.Assets.Links = append(o.Assets.Links, &gl.ReleaseAssetLinkOptions{Name: gl.Ptr(l.Name), URL: gl.Ptr(l.URL)})
		}
	}
	_, err = ask(ctx, g, fmt.Sprintf("create release %q of %q", name, project), func(with ...gl.RequestOptionFunc) (*gl.Release, *gl.Response, error) {
		return g.api.Releases.CreateRelease(project, o, with...)
	})
	if isPermanent(err) { // 409: somebody else made it meanwhile
		if made, lookErr := g.findRelease(ctx, project, name); lookErr == nil && made != nil {
			return g.keepRelease(ctx, project, made, r)
		}
	}
	return err
}

// findRelease returns the release of a tag, nil if there is none.
func (g *GitLab) findRelease(ctx context.Context, project, tag string) (*gl.Release, error) {
	found, err := ask(ctx, g, fmt.Sprintf("read release %q of %q", tag, project), func(with ...gl.RequestOptionFunc) (*gl.Release, *gl.Response, error) {
		return g.api.Releases.GetRelease(project, tag, with...)
	})
	if isGone(err) {
		return nil, g.sees(ctx, project)
	}
	return found, err
}

// keepRelease makes a release that is there look as it should, with nothing sent where it does.
func (g *GitLab) keepRelease(ctx context.Context, project string, there *gl.Release, r steps.ForgeRelease) error {
	if text := withNotes(there.Description, r.Notes); text != there.Description {
		_, err := ask(ctx, g, fmt.Sprintf("update release %q of %q", there.TagName, project), func(with ...gl.RequestOptionFunc) (*gl.Release, *gl.Response, error) {
			return g.api.Releases.UpdateRelease(project, there.TagName, &gl.UpdateReleaseOptions{Name: gl.Ptr(there.Name), Description: gl.Ptr(text)}, with...)
		})
		if err != nil {
			return err
		}
	}
	for _, l := range r.Links {
		if err := g.keepLink(ctx, project, there, l); err != nil {
			return err
		}
	}
	return nil
}

func (g *GitLab) keepLink(ctx context.Context, project string, there *gl.Release, l steps.ForgeLink) error {
	links := there.Assets.Links
	if slices.ContainsFunc(links, func(one *gl.ReleaseLink) bool { return one.URL == l.URL }) {
		return nil // whatever it is called: no two links may have one address
	}
	i := slices.IndexFunc(links, func(one *gl.ReleaseLink) bool { return one.Name == l.Name })
	what := fmt.Sprintf("add link %q to release %q of %q", l.Name, there.TagName, project)
	_, err := ask(ctx, g, what, func(with ...gl.RequestOptionFunc) (*gl.ReleaseLink, *gl.Response, error) {
		if i >= 0 {
			return g.api.ReleaseLinks.UpdateReleaseLink(project, there.TagName, links[i].ID, &gl.UpdateReleaseLinkOptions{URL: gl.Ptr(l.URL)}, with...)
		}
		return g.api.ReleaseLinks.CreateReleaseLink(project, there.TagName, &gl.CreateReleaseLinkOptions{Name: gl.Ptr(l.Name), URL: gl.Ptr(l.URL)}, with...)
	})
	if isPermanent(err) {
		now, lookErr := g.findRelease(ctx, project, there.TagName)
		if lookErr == nil && now != nil && slices.ContainsFunc(now.Assets.Links, func(one *gl.ReleaseLink) bool { return one.URL == l.URL }) {
			return nil
		}
	}
	return err
}

// withNotes puts the notes into a description, in the place of those that are there, or else
// behind everything.
func withNotes(description, notes string) string {
	for strings.Contains(notes, notesBegin) || strings.Contains(notes, notesEnd) { // taking one out may make another
		notes = strings.NewReplacer(notesBegin, "", notesEnd, "").Replace(notes)
	}
	block := notesBegin + "\n" + strings.TrimSpace(notes) + "\n" + notesEnd
	before, rest, begins := strings.Cut(description, notesBegin)
	_, after, ends := strings.Cut(rest, notesEnd)
	switch {
	case begins && ends:
		return before + block + after
	case begins: // somebody cut the end off
		return before + block
	case strings.TrimSpace(description) == "":
		return block
	}
	return strings.TrimRight(description, "\n") + "\n\n" + block
}
