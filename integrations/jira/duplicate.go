package jira

import (
	"context"
	"fmt"
	"slices"

	"github.com/muster-release/muster/playbooks/steps"
)

// duplicateLabel takes the place of the label of an issue that was made twice.
const duplicateLabel = "muster-duplicate"

// putAway links an issue that was made twice to the one that stays, says so below it, closes it, and takes
// the label off it, which ends it. Each is looked for first, so that it may be repeated. What Jira
// refuses for good is logged: the issue that stays is as good.
func (j *Jira) putAway(ctx context.Context, double *issue, stays, run string) error {
	for _, do := range []func(context.Context, *issue, string, string) error{j.linkDouble, j.explainDouble, j.closeDouble, j.unlabel} {
		err := do(ctx, double, stays, run)
		if err != nil && !isPermanent(err) {
			return err
		}
		if err != nil {
			j.log.Warn("an issue that was made twice is not put away", "run", run, "issue", double.Key, "stays", stays, "error", err)
		}
	}
	return nil
}

func (j *Jira) linkDouble(ctx context.Context, double *issue, stays, _ string) error {
	kind, all, err := j.linkKind(ctx, "Duplicate")
	if err != nil {
		return err
	}
	if kind == "" && len(all) > 0 {
		kind = all[0]
	}
	if kind == "" || double.linkedTo(kind, stays) {
		return nil
	}
	return j.link(ctx, kind, double.Key, stays)
}

func (j *Jira) explainDouble(ctx context.Context, double *issue, stays, run string) error {
	return j.commentOnce(ctx, double.Key, steps.Comment{
		Marker: run + "/duplicate", Text: fmt.Sprintf("Release %s has two issues, because Jira's answer to the first was lost. It goes on in %s; this one is closed.", run, stays),
	})
}

// closeDouble moves it to a status that is done, however the workflow calls that.
func (j *Jira) closeDouble(ctx context.Context, double *issue, stays, _ string) error {
	if double.status().Category.Key == "done" {
		return nil
	}
	all, err := j.transitions(ctx, double.Key)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(t transition) bool { return t.To.Category.Key != "done" })
	if len(all) == 0 {
		return refuse("close %s: no transition leads to a status that is done", double.Key)
	}
	chosen := &all[0]
	for _, name := range []string{"Duplicate", "Cancelled", "Canceled", "Cancel", "Won't Do", "Closed", "Close"} {
		if t := named(all, name); t != nil {
			chosen = t
			break
		}
	}
	return j.take(ctx, &sight{issue: double}, chosen, "duplicate")
}

func (j *Jira) unlabel(ctx context.Context, double *issue, _, run string) error {
	return j.put(ctx, "take the label off "+double.Key, at("issue", double.Key), nil, map[string]any{
		"update": map[string]any{"labels": []any{map[string]any{"remove": j.label(run)}, map[string]any{"add": duplicateLabel}}},
	})
}
