package jira

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// mostLinks is how many merge requests, and how many stories, an issue is linked to.
const mostLinks = 100

// linkKinds are the names of the types of links between issues that there are. They are read once.
func (j *Jira) linkKinds(ctx context.Context) ([]string, error) {
	j.mu.Lock()
	known := j.kinds
	j.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var answer struct {
		Types []struct {
			Name string `json:"name"`
		} `json:"issueLinkTypes"`
	}
	if err := j.get(ctx, "list the types of links", "issueLinkType", nil, &answer); err != nil {
		return nil, err
	}
	var kinds []string
	for _, t := range answer.Types {
		kinds = append(kinds, t.Name)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kinds = kinds
	return kinds, nil
}

// linkKind finds a type of link, in which case does not matter.
func (j *Jira) linkKind(ctx context.Context, name string) (kind string, all []string, err error) {
	if all, err = j.linkKinds(ctx); err != nil {
		return "", nil, err
	}
	if at := slices.IndexFunc(all, func(k string) bool { return strings.EqualFold(k, name) }); at >= 0 {
		kind = all[at]
	}
	return kind, all, nil
}

// issueLink is a link as an issue shows it.
type issueLink struct {
	Type struct {
		Name string `json:"name"`
	} `json:"type"`
	Inward  struct{ Key string } `json:"inwardIssue"`
	Outward struct{ Key string } `json:"outwardIssue"`
}

// linkedTo reports whether an issue has a link of a type to another, in whatever direction.
func (i *issue) linkedTo(kind, key string) bool {
	var links []issueLink
	i.read("issuelinks", &links)
	return slices.ContainsFunc(links, func(l issueLink) bool {
		return strings.EqualFold(l.Type.Name, kind) && (l.Inward.Key == key || l.Outward.Key == key)
	})
}

// link links an issue to another: "from relates to to".
func (j *Jira) link(ctx context.Context, kind, from, to string) error {
	return j.post(ctx, fmt.Sprintf("link %s to %s", from, to), "issueLink", map[string]any{
		"type": map[string]any{"name": kind}, "inwardIssue": map[string]any{"key": from}, "outwardIssue": map[string]any{"key": to},
	}, nil)
}

// linkStories links the issue to the release's stories. A link that somebody took away again is not
// made a second time.
func (j *Jira) linkStories(ctx context.Context, s *sight, i *steps.Issue) error {
	keys := storiesOf(i)
	keys = slices.DeleteFunc(keys[:min(len(keys), mostLinks)], func(key string) bool {
		return slices.Contains(s.kept.Linked, key) || key == s.issue.Key
	})
	if len(keys) == 0 {
		return nil
	}
	kind, all, err := j.linkKind(ctx, j.o.LinkType)
	if err != nil {
		return err
	}
	if kind == "" {
		return refuse("link to stories: there is no type of link %q; there are %s", j.o.LinkType, strings.Join(all, ", "))
	}
	var wrong problems
	for _, key := range keys {
		if !s.issue.linkedTo(kind, key) {
			if !s.spend() {
				break
			}
			err := j.link(ctx, kind, s.issue.Key, key)
			if wrong.add(err); err != nil && !isPermanent(err) {
				return wrong.with(nil)
			}
			if err != nil {
				continue
			}
		}
		s.kept.Linked = append(s.kept.Linked, key)
	}
	return wrong.with(nil)
}

// requestsOf are the release's merge requests that have an address, each once, with the module that they
// stand at.
func requestsOf(i *steps.Issue) (all []playbooks.MergeRequest, modules []string) {
	seen := map[string]bool{}
	for _, m := range i.Modules {
		if m.Changes == nil {
			continue
		}
		for _, r := range m.Changes.MergeRequests {
			if link := address(r.Link); link != "" && !seen[link] {
				seen[link] = true
				all, modules = append(all, r), append(modules, m.Name)
			}
		}
	}
	n := min(len(all), mostLinks)
	return all[:n], modules[:n]
}

// globalID identifies a merge request's link for ever: Jira replaces a link that has the same one, so that it is
// there once. Jira allows 255 characters.
func globalID(run, link string) string {
	id := "muster/" + run + "/mr/" + link
	if len(id) > 255 {
		d := sha256.Sum256([]byte(link))
		id = "muster/" + run + "/mr/" + hex.EncodeToString(d[:])
	}
	return id
}

// linkRequests links the issue to the release's merge requests.
func (j *Jira) linkRequests(ctx context.Context, s *sight, i *steps.Issue) error {
	requests, modules := requestsOf(i)
	if len(requests) == 0 {
		return nil
	}
	var there []struct {
		GlobalID string `json:"globalId"`
	}
	path := at("issue", s.issue.Key, "remotelink")
	if err := j.get(ctx, "read the links of "+s.issue.Key, path, nil, &there); err != nil {
		return err
	}
	known := map[string]bool{}
	for _, l := range there {
		known[l.GlobalID] = true
	}
	var wrong problems
	for n, r := range requests {
		id := globalID(i.Run, address(r.Link))
		if known[id] {
			continue
		}
		if !s.spend() {
			break
		}
		err := j.post(ctx, fmt.Sprintf("link %s to merge request %d", s.issue.Key, r.Number), path, map[string]any{
			"globalId": id, "relationship": "merge request",
			"object": map[string]any{"url": address(r.Link), "title": oneLine(fmt.Sprintf("!%d %s", r.Number, r.Title), 250), "summary": modules[n]},
		}, nil)
		if wrong.add(err); err != nil && !isPermanent(err) {
			break
		}
	}
	return wrong.with(nil)
}
