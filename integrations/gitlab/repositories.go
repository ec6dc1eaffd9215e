package gitlab

import (
	"context"
	"encoding/base64"
	"fmt"
	"path"
	"slices"
	"strings"

	gl "gitlab.com/gitlab-org/api/client-go/v2"
)

const (
	// mostProjects is how many projects of a group are listed.
	mostProjects = 10_000
	// mostFiles is how many files and folders of one project are looked through.
	mostFiles = 100_000
)

// Repositories is GitLab as a place to find out what modules there are and what they need. Its methods
// may be called concurrently; all but Propose have no effect.
type Repositories struct{ g *GitLab }

// Project is a project of a group.
type Project struct {
	Path          string // "shop/backend/cart"
	DefaultBranch string // empty: its repository is empty
	Archived      bool
}

// Repositories returns GitLab's repositories as this token sees them.
func (g *GitLab) Repositories() Repositories { return Repositories{g} }

// Projects lists the projects of a group and of all groups in it, by path. Projects that are only
// shared with the group are not among them. More than ten thousand are an error.
func (r Repositories) Projects(ctx context.Context, group string) ([]Project, error) {
	found, more, err := pages(ctx, r.g, mostProjects, fmt.Sprintf("list projects of group %q", group), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.Project, *gl.Response, error) {
		o := gl.ListGroupProjectsOptions{ListOptions: page, IncludeSubGroups: gl.Ptr(true), WithShared: gl.Ptr(false), OrderBy: gl.Ptr("id"), Sort: gl.Ptr("asc")}
		return r.g.api.Groups.ListGroupProjects(group, &o, with...)
	})
	if err == nil && more {
		err = refuse("list projects of group %q: it has more than %d", group, mostProjects)
	}
	if err != nil {
		return nil, err
	}
	all := make([]Project, 0, len(found))
	for _, p := range found {
		all = append(all, Project{Path: p.PathWithNamespace, DefaultBranch: p.DefaultBranch, Archived: p.Archived})
	}
	slices.SortFunc(all, func(a, b Project) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

// Files lists the paths, at a ref, of all files that have one of the names, in whatever folder,
// sorted. A repository that is empty has none. One that is larger than a hundred thousand files and folders is
// an error, with what was found until then.
func (r Repositories) Files(ctx context.Context, project, ref string, names []string) ([]string, error) {
	var all []string
	o := &gl.ListTreeOptions{ListOptions: gl.ListOptions{Pagination: "keyset", PerPage: perPage}, Ref: gl.Ptr(ref), Recursive: gl.Ptr(true)}
	next := ""
	for seen := 0; ; {
		found, response, err := exchange(ctx, r.g, fmt.Sprintf("list files of %q at %q", project, ref), func(with ...gl.RequestOptionFunc) ([]*gl.TreeNode, *gl.Response, error) {
			if next != "" {
				with = append(with, gl.WithKeysetPaginationParameters(next))
			}
			return r.g.api.Repositories.ListTree(project, o, with...)
		})
		if isGone(err) && seen == 0 {
			return nil, r.empty(ctx, project, ref, err)
		}
		if err != nil {
			return all, err
		}
		for _, node := range found {
			if node.Type == "blob" && slices.Contains(names, path.Base(node.Path)) {
				all = append(all, node.Path)
			}
		}
		seen += len(found)
		if response.NextLink == "" || response.NextLink == next {
			slices.Sort(all)
			return all, nil
		}
		if seen >= mostFiles {
			slices.Sort(all)
			return all, refuse("list files of %q at %q: there are more than %d", project, ref, mostFiles)
		}
		next = response.NextLink
	}
}

// empty tells a repository without a commit, which is all right, from a ref that is not there.
func (r Repositories) empty(ctx context.Context, project, ref string, gone error) error {
	p, err := r.g.readProject(ctx, project)
	if err != nil {
		return err
	}
	if p.EmptyRepo || p.DefaultBranch == "" {
		return nil
	}
	return gone
}

// Read returns a file at a ref, and found false where there is none.
func (r Repositories) Read(ctx context.Context, project, ref, file string) (content []byte, found bool, err error) {
	content, err = ask(ctx, r.g, fmt.Sprintf("read %q of %q at %q", file, project, ref), func(with ...gl.RequestOptionFunc) ([]byte, *gl.Response, error) {
		return r.g.api.RepositoryFiles.GetRawFile(project, file, &gl.GetRawFileOptions{Ref: gl.Ptr(ref)}, with...)
	})
	if isGone(err) {
		return nil, false, r.g.sees(ctx, project)
	}
	if err != nil {
		return nil, false, err
	}
	return content, true, nil
}

// Propose opens a merge request into the default branch that gives one file a content, or brings the one that is
// open for the branch up to date, and returns its address; empty where the default branch has that
// content already. What is as it should be is left alone, so Propose may be repeated after any error. The branch
// is Muster's own: without an open merge request it is made anew from the default branch.
func (r Repositories) Propose(ctx context.Context, project, branch, title, description, file string, content []byte) (url string, err error) {
	p, err := r.g.readProject(ctx, project)
	if err != nil {
		return "", err
	}
	if p.DefaultBranch == "" || p.DefaultBranch == branch {
		return "", refuse("propose a change of %q: there is no default branch to propose it to, or it is %q itself", project, branch)
	}
	open, err := r.openRequest(ctx, project, branch)
	if err != nil {
		return "", err
	}
	current, there, err := r.Read(ctx, project, p.DefaultBranch, file)
	if err != nil {
		return "", err
	}
	if open == nil && there && string(current) == string(content) {
		return "", nil
	}
	if err := r.commit(ctx, project, branch, p.DefaultBranch, title, file, content, there, open != nil); err != nil {
		return "", err
	}
	if open == nil {
		open, err = r.request(ctx, project, branch, p.DefaultBranch, title, description)
		if err != nil {
			return "", err
		}
	}
	if open.Title != title || open.Description != description {
		_, err := ask(ctx, r.g, fmt.Sprintf("update merge request %s!%d", project, open.IID), func(with ...gl.RequestOptionFunc) (*gl.MergeRequest, *gl.Response, error) {
			return r.g.api.MergeRequests.UpdateMergeRequest(project, open.IID, &gl.UpdateMergeRequestOptions{Title: gl.Ptr(title), Description: gl.Ptr(description)}, with...)
		})
		if err != nil {
			return "", err
		}
	}
	return open.WebURL, nil
}

// openRequest returns the open merge request of a branch, nil if there is none.
func (r Repositories) openRequest(ctx context.Context, project, branch string) (*gl.BasicMergeRequest, error) {
	found, err := ask(ctx, r.g, fmt.Sprintf("list merge requests of branch %q in %q", branch, project), func(with ...gl.RequestOptionFunc) ([]*gl.BasicMergeRequest, *gl.Response, error) {
		return r.g.api.MergeRequests.ListProjectMergeRequests(project, &gl.ListProjectMergeRequestsOptions{State: gl.Ptr("opened"), SourceBranch: gl.Ptr(branch)}, with...)
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

// request opens the merge request of a branch.
func (r Repositories) request(ctx context.Context, project, branch, target, title, description string) (*gl.BasicMergeRequest, error) {
	made, err := ask(ctx, r.g, fmt.Sprintf("open a merge request of branch %q in %q", branch, project), func(with ...gl.RequestOptionFunc) (*gl.MergeRequest, *gl.Response, error) {
		return r.g.api.MergeRequests.CreateMergeRequest(project, &gl.CreateMergeRequestOptions{
			Title: gl.Ptr(title), Description: gl.Ptr(description), SourceBranch: gl.Ptr(branch), TargetBranch: gl.Ptr(target), RemoveSourceBranch: gl.Ptr(true),
		}, with...)
	})
	if isPermanent(err) { // 409: somebody else opened one meanwhile
		if open, lookErr := r.openRequest(ctx, project, branch); lookErr == nil && open != nil {
			return open, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return &made.BasicMergeRequest, nil
}

// commit gives the file its content on the branch, unless it has it.
func (r Repositories) commit(ctx context.Context, project, branch, target, title, file string, content []byte, inTarget, open bool) error {
	_, err := ask(ctx, r.g, fmt.Sprintf("read branch %q of %q", branch, project), func(with ...gl.RequestOptionFunc) (*gl.Branch, *gl.Response, error) {
		return r.g.api.Branches.GetBranch(project, branch, with...)
	})
	exists := err == nil
	if err != nil && !isGone(err) {
		return err
	}
	there := inTarget
	if exists {
		current, found, err := r.Read(ctx, project, branch, file)
		if err != nil {
			return err
		}
		if found && string(current) == string(content) {
			return nil
		}
		if open {
			there = found
		}
	}
	action := gl.FileUpdate
	if !there {
		action = gl.FileCreate
	}
	o := &gl.CreateCommitOptions{Branch: gl.Ptr(branch), CommitMessage: gl.Ptr(title), Actions: []*gl.CommitActionOptions{{
		Action: gl.Ptr(action), FilePath: gl.Ptr(file), Content: gl.Ptr(base64.StdEncoding.EncodeToString(content)), Encoding: gl.Ptr("base64"),
	}}}
	if !exists || !open {
		o.StartBranch = gl.Ptr(target)
	}
	if exists && !open {
		o.Force = gl.Ptr(true) // what an earlier proposal left behind
	}
	_, err = ask(ctx, r.g, fmt.Sprintf("commit %q to branch %q of %q", file, branch, project), func(with ...gl.RequestOptionFunc) (*gl.Commit, *gl.Response, error) {
		return r.g.api.Commits.CreateCommit(project, o, with...)
	})
	return err
}
