package jira

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-release/muster/playbooks/steps"
)

// version is a version of a project.
type version struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Released    bool   `json:"released"`
	Archived    bool   `json:"archived"`
	ReleaseDate string `json:"releaseDate"`
	ProjectID   loose  `json:"projectId"`
}

// isNews reports whether a version is released, and not because one of Muster's releases is over.
func (v *version) isNews() bool {
	return v.Released && !v.Archived && !ownVersion.MatchString(v.Description)
}

// inVersion reports whether one of the issue's versions has one of the IDs.
func (i *issue) inVersion(ids ...string) bool {
	var on []version
	i.read("fixVersions", &on)
	return slices.ContainsFunc(on, func(v version) bool { return slices.Contains(ids, v.ID) })
}

// versions are all of a project.
func (j *Jira) versions(ctx context.Context, project string) ([]version, error) {
	var all []version
	err := j.get(ctx, "list the versions of "+project, at("project", project, "versions"), nil, &all)
	return all, err
}

// findVersion finds the version of a name; in which case does not matter, for Jira holds them for the same.
func (j *Jira) findVersion(ctx context.Context, project, name string) (*version, error) {
	all, err := j.versions(ctx, project)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if strings.EqualFold(all[i].Name, name) {
			return &all[i], nil
		}
	}
	return nil, nil
}

// versionText is what Muster says of a version that it made.
func versionText(i *steps.Issue) string {
	text := fmt.Sprintf("Release %s to %s", i.Run, i.Environment)
	if i.Over && i.Status != "released" {
		text += ": " + i.Status
	}
	return text
}

// assure finds or makes the version of the release, and remembers it in s. The name is that of the
// day on which the issue was made, so that it does not change. A release that is over
// without success gets none.
func (j *Jira) assure(ctx context.Context, s *sight, i *steps.Issue) error {
	if len(j.form.fixVersion) == 0 {
		return nil
	}
	name := oneLine(j.form.fixVersion.fill(i, s.made), 255)
	var on []version
	s.issue.read("fixVersions", &on)
	for n := range on {
		if on[n].ID == s.kept.Version || s.kept.Version == "" && strings.EqualFold(on[n].Name, name) {
			s.version = &on[n]
			return nil
		}
	}
	if s.kept.Version != "" {
		var v version
		err := j.get(ctx, "read version "+s.kept.Version, at("version", s.kept.Version), nil, &v)
		if err == nil {
			s.version = &v
		}
		if !isGone(err) {
			return err
		}
		s.kept.Version = "" // somebody deleted it
	}
	v, err := j.findVersion(ctx, s.project.Key, name)
	if err != nil {
		return err
	}
	if v == nil && i.Over && i.Status != "released" {
		return nil
	}
	if v == nil {
		if v, err = j.makeVersion(ctx, s, name, versionText(i)); err != nil {
			return err
		}
	}
	s.version = v
	return nil
}

func (j *Jira) makeVersion(ctx context.Context, s *sight, name, text string) (*version, error) {
	id, err := strconv.Atoi(s.project.ID)
	if err != nil {
		return nil, refuse("make version %q: project %s has no ID", name, s.project.Key)
	}
	v := version{Name: name}
	what := fmt.Sprintf("make version %q in %s", name, s.project.Key)
	err = j.post(ctx, what, "version", map[string]any{"name": name, "projectId": id, "description": text}, &v)
	var f *failure
	if errors.As(err, &f) && (f.status == http.StatusBadRequest || f.status == http.StatusConflict) && f.fields["name"] != "" {
		// Somebody, or an earlier call, has made it meanwhile.
		if found, lookErr := j.findVersion(ctx, s.project.Key, name); lookErr != nil || found != nil {
			return found, lookErr
		}
	}
	if errors.As(err, &f) && f.permanent {
		return nil, fmt.Errorf("%w: does the account have the permission Administer Projects there?", err)
	}
	if err != nil {
		return nil, err
	}
	return &v, nil
}

// settle releases the version of a release that succeeded, and says in one of a release that is
// over otherwise what became of it. A description that somebody else wrote stays.
func (j *Jira) settle(ctx context.Context, s *sight, i *steps.Issue) error {
	v := s.version
	if v == nil || v.Archived || v.Released {
		return nil
	}
	change := map[string]any{}
	what := fmt.Sprintf("release version %q", v.Name)
	switch text := versionText(i); {
	case i.Status == "released":
		change["released"], change["releaseDate"] = true, time.Now().UTC().Format(time.DateOnly)
	case i.Over && v.Description != text && (v.Description == "" || strings.HasPrefix(v.Description, fmt.Sprintf("Release %s to %s", i.Run, i.Environment))):
		change["description"] = text
		what = fmt.Sprintf("describe version %q", v.Name)
	default:
		return nil
	}
	return j.put(ctx, what, at("version", v.ID), nil, change)
}

// storiesOf are the keys of the release's stories that the tracker knows, each once, in the order of
// modules.
func storiesOf(i *steps.Issue) []string {
	var keys []string
	for _, m := range i.Modules {
		if m.Changes == nil {
			continue
		}
		for _, story := range m.Changes.Stories {
			if story.Status != "" && !slices.Contains(keys, story.Key) {
				keys = append(keys, story.Key)
			}
		}
	}
	return keys
}

// assign gives the version to the stories of the release that are in its project, a few at a time.
func (j *Jira) assign(ctx context.Context, s *sight, i *steps.Issue) error {
	if s.version == nil || i.Over && i.Status != "released" {
		return nil
	}
	var all problems
	for _, key := range storiesOf(i) {
		if project, _ := keyNumber(key); project != s.project.Key || slices.Contains(s.kept.Stories, key) {
			continue
		}
		if !s.spend() {
			break
		}
		switch err := j.assignOne(ctx, s, key); {
		case isPermanent(err):
			all.add(err)
		case err != nil:
			return all.with(err)
		default:
			s.kept.Stories = append(s.kept.Stories, key)
		}
	}
	return all.with(nil)
}

func (j *Jira) assignOne(ctx context.Context, s *sight, key string) error {
	story, err := j.getIssue(ctx, key, []string{"fixVersions"})
	if err != nil {
		return err
	}
	if story.inVersion(s.version.ID) {
		return nil
	}
	change := map[string]any{"update": map[string]any{"fixVersions": []any{map[string]any{"add": map[string]any{"id": s.version.ID}}}}}
	return j.put(ctx, fmt.Sprintf("put %s into version %q", key, s.version.Name), at("issue", key), nil, change)
}
