package gitlab

import (
	"container/list"
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

const (
	// mostCommits is how many commits between two versions are counted.
	mostCommits = 1000
	// firstCommits is how many are shown of a module that was never there before.
	firstCommits = 20
	// mostDiffs is how many files GitLab compares as a rule:
	// https://docs.gitlab.com/administration/diff_limits/
	mostDiffs = 1000
	// mostKept is how many answers are remembered of a kind.
	mostKept = 512
	// askAtOnce is how many calls for one answer are under way at the same time.
	askAtOnce = 6
)

var _ steps.Historian = (*GitLab)(nil)

// Changes implements steps.Historian. What lies between two commits never changes, so an
// answer that lacks nothing is remembered, up to some hundreds of them.
//
// Where the module has a Path, only what touches that folder counts. Nothing was there before:
// then the newest commits are returned, twenty at the most.
func (g *GitLab) Changes(ctx context.Context, q steps.ChangesQuery) (playbooks.Changes, error) {
	changes := playbooks.Changes{From: q.From.Version, To: q.To.Version}
	project, err := g.projectOf(q.Module)
	if err != nil {
		return changes, err
	}
	to, err := g.locate(ctx, q.Module, project, q.To.Version, q.To.Commit)
	var from spot
	if err == nil && (q.From.Version != "" || q.From.Commit != "") {
		from, err = g.locate(ctx, q.Module, project, q.From.Version, q.From.Commit)
	}
	if isPermanent(err) {
		changes.Unknown = strings.TrimPrefix(err.Error(), "gitlab: ")
		return changes, nil
	}
	if err != nil {
		return changes, err
	}
	h := history{g: g, project: project, path: strings.Trim(q.Module.Path, "/"), config: q.Module.ConfigPaths, from: from.commit, to: to.commit}
	found, err := h.changes(ctx)
	found.From, found.To = changes.From, changes.To
	return found, err
}

// history is what lies between two commits of a project.
type history struct {
	g        *GitLab
	project  string
	path     string   // empty: everything
	config   []string // files and folders whose differences are wanted
	from, to string   // full hashes; no from: nothing was there
}

func (h history) key() string {
	return strings.Join(append([]string{h.project, h.path, h.from, h.to}, h.config...), "\x00")
}

// changes collects what is new. Its slices belong to the caller.
func (h history) changes(ctx context.Context) (playbooks.Changes, error) {
	if known, found := h.g.out.histories.get(h.key()); found {
		return copied(known), nil
	}
	var unknown []string
	lacking := func(format string, args ...any) { unknown = append(unknown, fmt.Sprintf(format, args...)) }
	c := playbooks.Changes{}
	if h.from != "" {
		c.Link = h.g.page(h.project, "compare/"+h.from+"..."+h.to)
	}
	if h.from != h.to {
		commits, more, err := h.commits(ctx)
		if err != nil && !isPermanent(err) {
			return c, err
		}
		if err != nil {
			lacking("the commits cannot be listed: %s", strings.TrimPrefix(err.Error(), "gitlab: "))
		}
		if more {
			lacking("there are more than %d commits", mostCommits)
		}
		c.Commits = commits
	}
	c.Authors = authors(c.Commits)
	if h.from != "" {
		c.More = max(0, len(c.Commits)-playbooks.MaxChanges)
	}
	c.Commits = c.Commits[:min(len(c.Commits), playbooks.MaxChanges)]
	merges, err := h.mergeRequests(ctx, c.Commits)
	if err != nil && ctx.Err() != nil {
		return c, err
	}
	passing := err != nil // a look at another time may know more
	if err != nil {
		lacking("not every merge request was found: %s", strings.TrimPrefix(err.Error(), "gitlab: "))
	}
	for _, m := range merges {
		c.MergeRequests = append(c.MergeRequests, mergeRequest(m))
	}
	c.MergeRequests = c.MergeRequests[:min(len(c.MergeRequests), playbooks.MaxChanges)]
	if h.from != "" && h.from != h.to && len(h.config) > 0 {
		note, err := h.configChanges(ctx, &c)
		if err != nil {
			passing = true
			note = "what changed in the configuration cannot be read: " + strings.TrimPrefix(err.Error(), "gitlab: ")
		}
		if note != "" {
			lacking("%s", note)
		}
	}
	c.Unknown = strings.Join(unknown, "; ")
	if !passing {
		h.g.out.histories.put(h.key(), copied(c))
	}
	return c, nil
}

func copied(c playbooks.Changes) playbooks.Changes {
	c.Commits, c.MergeRequests, c.Authors, c.Config = slices.Clone(c.Commits), slices.Clone(c.MergeRequests), slices.Clone(c.Authors), slices.Clone(c.Config)
	return c
}

// commits lists the commits from one to the other, the newest first; more says that there are
// more than are counted. The list of commits takes a range, and a path, and comes in pages, which a
// comparison of the two does not (https://docs.gitlab.com/api/commits/#list-repository-commits).
func (h history) commits(ctx context.Context) (all []playbooks.Commit, more bool, err error) {
	o := gl.ListCommitsOptions{RefName: gl.Ptr(h.to)}
	most := firstCommits
	if h.from != "" {
		o.RefName, most = gl.Ptr(h.from+".."+h.to), mostCommits
	}
	if h.path != "" {
		o.Path = gl.Ptr(h.path)
	}
	o.PerPage = int64(min(most, perPage))
	found, more, err := pages(ctx, h.g, most, fmt.Sprintf("list commits of %q", h.project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.Commit, *gl.Response, error) {
		o := o
		o.Page = page.Page
		return h.g.api.Commits.ListCommits(h.project, &o, with...)
	})
	for _, c := range found {
		one := playbooks.Commit{ID: c.ID, Title: c.Title, Author: c.AuthorName, Link: c.WebURL}
		if c.CommittedDate != nil {
			one.At = c.CommittedDate.UTC()
		}
		all = append(all, one)
	}
	return all, more && h.from != "", err
}

func authors(commits []playbooks.Commit) []string {
	var names []string
	for _, c := range commits {
		if c.Author != "" {
			names = append(names, c.Author)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// mergeRequests finds the merged merge requests that brought the commits in, each once, in the
// order of the commits. With an error it returns those that were found nevertheless.
func (h history) mergeRequests(ctx context.Context, commits []playbooks.Commit) ([]*gl.BasicMergeRequest, error) {
	byCommit, err := h.mergesByCommit(ctx, commits)
	seen := make(map[int64]bool)
	var all []*gl.BasicMergeRequest
	for _, some := range byCommit {
		for _, m := range some {
			if !seen[m.ID] {
				seen[m.ID] = true
				all = append(all, m)
			}
		}
	}
	return all, err
}

// mergesByCommit returns for each commit the merged merge requests it came with.
func (h history) mergesByCommit(ctx context.Context, commits []playbooks.Commit) ([][]*gl.BasicMergeRequest, error) {
	all := make([][]*gl.BasicMergeRequest, len(commits))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askAtOnce)
	for i, c := range commits {
		group.Go(func() error {
			found, err := ask(ctx, h.g, fmt.Sprintf("list merge requests of commit %q in %q", short(c.ID), h.project), func(with ...gl.RequestOptionFunc) ([]*gl.BasicMergeRequest, *gl.Response, error) {
				return h.g.api.Commits.ListMergeRequestsByCommit(h.project, c.ID, with...)
			})
			for _, m := range found {
				if m.State == "merged" {
					all[i] = append(all[i], m)
				}
			}
			return err
		})
	}
	return all, group.Wait()
}

func mergeRequest(m *gl.BasicMergeRequest) playbooks.MergeRequest {
	one := playbooks.MergeRequest{Number: int(m.IID), Title: m.Title, Branch: m.SourceBranch, Labels: slices.Clone([]string(m.Labels)), Link: m.WebURL}
	if m.Author != nil {
		one.Author = m.Author.Name
	}
	return one
}

// configChanges adds the files in the configuration's paths that differ. The note says what is
// missing.
func (h history) configChanges(ctx context.Context, c *playbooks.Changes) (note string, err error) {
	// Straight: what differs between the two, whichever came first and whatever lies between.
	compared, err := ask(ctx, h.g, fmt.Sprintf("compare %q with %q in %q", short(h.from), short(h.to), h.project), func(with ...gl.RequestOptionFunc) (*gl.Compare, *gl.Response, error) {
		return h.g.api.Repositories.Compare(h.project, &gl.CompareOptions{From: gl.Ptr(h.from), To: gl.Ptr(h.to), Straight: gl.Ptr(true)}, with...)
	})
	if err != nil {
		return "", err
	}
	uncounted := 0
	for _, d := range compared.Diffs {
		if !within(h.config, d.NewPath) && !within(h.config, d.OldPath) {
			continue
		}
		change := playbooks.ConfigChange{Path: d.NewPath, Link: h.g.page(h.project, "blob/"+h.to+"/"+pathEscape(d.NewPath))}
		switch {
		case d.NewFile:
			change.State = "added"
		case d.DeletedFile:
			change.State, change.Link = "removed", h.g.page(h.project, "blob/"+h.from+"/"+pathEscape(d.OldPath))
		case d.RenamedFile:
			change.State = "renamed"
		}
		change.Added, change.Removed = lines(d.Diff)
		if d.Diff == "" && change.State == "" {
			uncounted++
		}
		c.Config = append(c.Config, change)
	}
	slices.SortFunc(c.Config, func(a, b playbooks.ConfigChange) int { return strings.Compare(a.Path, b.Path) })
	switch {
	case compared.CompareTimeout:
		return "GitLab did not finish comparing the configuration", nil
	case len(compared.Diffs) >= mostDiffs:
		return fmt.Sprintf("GitLab compared only the first %d files", len(compared.Diffs)), nil
	case uncounted > 0:
		return fmt.Sprintf("the lines of %d configuration files were not counted, for they are large or binary", uncounted), nil
	}
	return "", nil
}

// within reports whether a file is one of paths, or in a folder among them.
func within(paths []string, file string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		p = strings.TrimPrefix(p, "/")
		return file == p || strings.HasSuffix(p, "/") && strings.HasPrefix(file, p)
	})
}

func pathEscape(file string) string {
	parts := strings.Split(file, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

var hunk = regexp.MustCompile(`^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@`)

// lines counts what a unified diff adds and removes. Only what the headers of its hunks
// announce is counted, so lines that begin with +++ are lines like others.
func lines(diff string) (added, removed int) {
	olds, news := 0, 0 // still to come in this hunk
	for line := range strings.SplitSeq(diff, "\n") {
		if olds <= 0 && news <= 0 {
			if m := hunk.FindStringSubmatch(line); m != nil {
				olds, news = announced(m[1]), announced(m[2])
			}
			continue
		}
		switch {
		case strings.HasPrefix(line, "+"):
			added, news = added+1, news-1
		case strings.HasPrefix(line, "-"):
			removed, olds = removed+1, olds-1
		case strings.HasPrefix(line, "\\"): // no newline at the end of the file
		default:
			olds, news = olds-1, news-1
		}
	}
	return added, removed
}

func announced(count string) int {
	if count == "" {
		return 1
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return 0
	}
	return n
}

// short is a commit as people write it.
func short(commit string) string {
	if len(commit) == 40 || len(commit) == 64 {
		return commit[:8]
	}
	return commit
}

// recent remembers the mostKept values that were put, or asked for, last. The zero value holds nothing and is ready.
type recent[V any] struct {
	mu    sync.Mutex
	byKey map[string]*list.Element
	order list.List // of kept, the latest first
}

type kept[V any] struct {
	key   string
	value V
}

func (r *recent[V]) get(key string) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byKey[key]
	if e == nil {
		var none V
		return none, false
	}
	r.order.MoveToFront(e)
	return e.Value.(*kept[V]).value, true
}

func (r *recent[V]) put(key string, value V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.byKey[key]; e != nil {
		e.Value.(*kept[V]).value = value
		r.order.MoveToFront(e)
		return
	}
	if r.byKey == nil {
		r.byKey = make(map[string]*list.Element)
	}
	r.byKey[key] = r.order.PushFront(&kept[V]{key, value})
	for r.order.Len() > mostKept {
		last := r.order.Back()
		delete(r.byKey, last.Value.(*kept[V]).key)
		r.order.Remove(last)
	}
}
