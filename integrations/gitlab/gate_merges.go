package gitlab

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// branch is the release branch of the question: the parameter, or else the default branch.
func (a *asking) branch(ctx context.Context) (string, error) {
	if b := a.Gate.Params["branch"]; b != "" {
		return b, nil
	}
	p, err := a.g.readProject(ctx, a.project)
	if err != nil {
		return "", err
	}
	if p.DefaultBranch == "" {
		return "", refuse("gate %s of %s: project %q has no default branch", a.Gate.Kind, a.Module, a.project)
	}
	return p.DefaultBranch, nil
}

// approvals passes when each merge request since what is live was approved by enough people,
// and nothing came without one.
func (a *asking) approvals(ctx context.Context) (steps.GateAnswer, error) {
	count, given, err := a.number("count")
	if err != nil {
		return steps.GateAnswer{}, err
	}
	if !given {
		count = 1
	}
	branch, err := a.branch(ctx)
	if err != nil {
		return steps.GateAnswer{}, err
	}
	version, from, err := a.live(ctx)
	if isPermanent(err) {
		return no(fmt.Sprintf("%s: since when merge requests count is not known: %s", a.name(), strings.TrimPrefix(err.Error(), "gitlab: "))), nil
	}
	if err != nil {
		return steps.GateAnswer{}, err
	}
	if version == "" {
		return no(fmt.Sprintf("%s: nothing is live in %s yet, so it is not known since when merge requests count", a.name(), a.Environment)), nil
	}
	h := history{g: a.g, project: a.project, path: strings.Trim(a.module.Path, "/"), from: from, to: a.commit}
	compared := playbooks.Evidence{Name: "changes since " + version, Link: a.g.page(a.project, "compare/"+from+"..."+a.commit)}
	commits, more, err := h.commits(ctx)
	if err != nil {
		return steps.GateAnswer{}, err
	}
	compared.Text = fmt.Sprintf("%d commits", len(commits))
	if more || len(commits) > playbooks.MaxChanges {
		return no(fmt.Sprintf("%s: there are more than %d commits since %s, which is live, too many to look at each", a.name(), playbooks.MaxChanges, version), compared), nil
	}
	if len(commits) == 0 {
		return yes(fmt.Sprintf("%s: there is nothing new since %s, which is live", a.name(), version), compared), nil
	}
	byCommit, err := h.mergesByCommit(ctx, commits)
	if err != nil {
		return steps.GateAnswer{}, err
	}
	var merges []*gl.BasicMergeRequest
	var alone []string
	for i, some := range byCommit {
		some = slices.DeleteFunc(some, func(m *gl.BasicMergeRequest) bool { return m.TargetBranch != branch })
		if len(some) == 0 {
			alone = append(alone, short(commits[i].ID))
		}
		for _, m := range some {
			if !slices.ContainsFunc(merges, func(o *gl.BasicMergeRequest) bool { return o.ID == m.ID }) {
				merges = append(merges, m)
			}
		}
	}
	approved, err := a.approvedBy(ctx, merges)
	if err != nil {
		return steps.GateAnswer{}, err
	}
	evidence := []playbooks.Evidence{compared}
	var lacking []string
	for i, m := range merges {
		name := fmt.Sprintf("!%d", m.IID)
		evidence = append(evidence, playbooks.Evidence{Name: name, Text: fmt.Sprintf("approved by %d", approved[i]), Link: m.WebURL})
		if float64(approved[i]) < count {
			lacking = append(lacking, name)
		}
	}
	var wrong []string
	if len(lacking) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s %s fewer than %v approvals", some(lacking), plural(len(lacking), "has", "have"), count))
	}
	if len(alone) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s came to %s without a merge request", some(alone), branch))
	}
	if len(wrong) > 0 {
		return no(fmt.Sprintf("%s: %s", a.name(), strings.Join(wrong, ", and ")), evidence...), nil
	}
	return yes(fmt.Sprintf("%s: each of %d merge requests since %s has at least %v approvals", a.name(), len(merges), version, count), evidence...), nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// approvedBy counts the approvals of each merge request. Approvals are there in every edition:
// https://docs.gitlab.com/api/merge_request_approvals/
func (a *asking) approvedBy(ctx context.Context, merges []*gl.BasicMergeRequest) ([]int, error) {
	all := make([]int, len(merges))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askAtOnce)
	for i, m := range merges {
		group.Go(func() error {
			found, err := ask(ctx, a.g, fmt.Sprintf("read approvals of %s!%d", a.project, m.IID), func(with ...gl.RequestOptionFunc) (*gl.MergeRequestApprovals, *gl.Response, error) {
				return a.g.api.MergeRequestApprovals.GetConfiguration(a.project, m.IID, with...)
			})
			if err == nil {
				all[i] = len(found.ApprovedBy)
			}
			return err
		})
	}
	return all, group.Wait()
}

// latest passes when the commit is on the release branch and nothing of the module came later.
func (a *asking) latest(ctx context.Context) (steps.GateAnswer, error) {
	branch, err := a.branch(ctx)
	if err != nil {
		return steps.GateAnswer{}, err
	}
	link := playbooks.Evidence{Name: branch, Link: a.g.page(a.project, "commits/"+pathEscape(branch))}
	head, err := ask(ctx, a.g, fmt.Sprintf("read branch %q of %q", branch, a.project), func(with ...gl.RequestOptionFunc) (*gl.Branch, *gl.Response, error) {
		return a.g.api.Branches.GetBranch(a.project, branch, with...)
	})
	switch {
	case isGone(err):
		return no(fmt.Sprintf("%s: there is no branch %s in %s", a.name(), branch, a.project)), nil
	case err != nil:
		return steps.GateAnswer{}, err
	case head.Commit == nil:
		return no(fmt.Sprintf("%s: branch %s of %s is empty", a.name(), branch, a.project)), nil
	}
	link.Text = "is at " + short(head.Commit.ID)
	if head.Commit.ID == a.commit {
		return yes(fmt.Sprintf("%s is the latest on %s", a.name(), branch), link), nil
	}
	base, err := ask(ctx, a.g, fmt.Sprintf("find where %q and %q part in %q", branch, short(a.commit), a.project), func(with ...gl.RequestOptionFunc) (*gl.Commit, *gl.Response, error) {
		return a.g.api.Repositories.MergeBase(a.project, &gl.MergeBaseOptions{Ref: &[]string{a.commit, head.Commit.ID}}, with...)
	})
	switch {
	case err != nil && !isGone(err):
		return steps.GateAnswer{}, err
	case err != nil || base.ID != a.commit:
		return no(fmt.Sprintf("%s is not on %s", a.name(), branch), link), nil
	}
	h := history{g: a.g, project: a.project, path: strings.Trim(a.module.Path, "/"), from: a.commit, to: head.Commit.ID}
	later, more, err := h.commits(ctx)
	switch {
	case err != nil:
		return steps.GateAnswer{}, err
	case len(later) == 0:
		return yes(fmt.Sprintf("%s is the latest on %s: what came after it does not touch %s", a.name(), branch, h.path), link), nil
	}
	n := fmt.Sprint(len(later))
	if more {
		n = fmt.Sprintf("more than %d", mostCommits)
	}
	return no(fmt.Sprintf("%s: %s %s came later on %s", a.name(), n, plural(len(later), "commit", "commits"), branch),
		link, playbooks.Evidence{Name: "later", Text: later[0].Title, Link: a.g.page(a.project, "compare/"+a.commit+"..."+head.Commit.ID)}), nil
}
