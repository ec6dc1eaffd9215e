package jira

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/muster-release/muster/integrations/calls"
	"github.com/muster-release/muster/playbooks/steps"
)

var _ steps.Tracker = (*Jira)(nil)

const (
	// lookAgain is the longest to wait for the next search for an issue that the index may not know yet.
	lookAgain = 20 * time.Second
	// skew is by how much Jira's clock may be behind.
	skew = time.Minute
	// mostSummary is Jira's limit for the summary, in characters.
	mostSummary = 255
)

// label marks the release issue of a run. Runs are numbered within one Muster.
func (j *Jira) label(run string) string {
	if j.o.Instance != "" {
		return "muster-" + j.o.Instance + "-" + run
	}
	return "muster-" + run
}

// Find implements steps.Tracker. It searches for the label that the create request sets, and
// believes what it finds only after a look at the issue itself, and only if Muster's own account made it: anybody
// may put a label on an issue. Where none is found, or one that is older
// than tried, it answers with RetryAfter() until Options.IndexLag has passed since tried. Of several the one
// with the lowest number stays: the others are linked to it, explained, closed, and lose the label.
func (j *Jira) Find(ctx context.Context, run string, tried time.Time) (string, bool, error) {
	label := j.label(run)
	jql := "project = " + quote(j.o.Project) + " AND labels = " + quote(label) + " ORDER BY created ASC"
	hits, err := j.search(ctx, "search for the issue of release "+run, jql, []string{"labels"}, 20)
	if err != nil {
		return "", false, err
	}
	var found []*issue
	for _, hit := range hits {
		i, err := j.getIssue(ctx, cmp.Or(hit.Key, hit.ID), []string{"labels", "status", "created", "creator", "issuelinks"})
		if isGone(err) {
			continue // the index remembers it
		}
		if err != nil {
			return "", false, err
		}
		me, err := j.myself(ctx)
		if err != nil {
			return "", false, err
		}
		var creator account
		if i.read("creator", &creator); !creator.is(me) {
			j.log.Warn("an issue has the label of a release, and is none: somebody else made it", "run", run, "issue", i.Key)
			continue
		}
		var labels []string
		if i.read("labels", &labels); slices.Contains(labels, label) && !slices.ContainsFunc(found, func(o *issue) bool { return o.ID == i.ID }) {
			found = append(found, i)
		}
	}
	if wait := time.Until(tried.Add(j.o.IndexLag)); wait > 0 && !slices.ContainsFunc(found, func(i *issue) bool { return !i.created().Before(tried.Add(-skew)) }) {
		return "", false, &calls.Later{
			Text: "jira: search for the issue of release " + run, Wait: min(wait, lookAgain),
			Err: fmt.Errorf("the index may not know it before %s", tried.Add(j.o.IndexLag).UTC().Format(time.TimeOnly)),
		}
	}
	if len(found) == 0 {
		return "", false, nil
	}
	slices.SortFunc(found, func(a, b *issue) int { return cmp.Compare(number(a.Key), number(b.Key)) })
	for _, double := range found[1:] {
		if err := j.putAway(ctx, double, found[0].Key, run); err != nil {
			return "", false, err
		}
	}
	return found[0].Key, true, nil
}

func number(key string) int {
	_, n := keyNumber(key)
	return n
}

// created is when the issue was made, by Jira's clock; zero if it was not asked for.
func (i *issue) created() time.Time {
	var text string
	i.read("created", &text)
	return timeOf(text)
}

// Create implements steps.Tracker. The label and all that the issue says are part of the one request
// that makes it. Then comes what Update does beyond that; where it fails, the key is returned
// together with the error.
func (j *Jira) Create(ctx context.Context, i steps.Issue) (string, error) {
	wishes, lacking := j.wishes(ctx, &i, time.Now())
	if err := lacking.passing(); err != nil {
		return "", err
	}
	k := kept{Run: i.Run, Labels: j.labels(&i, time.Now())}
	fields := map[string]any{
		"project": map[string]any{"key": j.o.Project}, "issuetype": map[string]any{"name": j.o.IssueType}, "labels": k.Labels,
	}
	for _, w := range wishes {
		if w.value != nil {
			fields[w.field.ID] = w.value
			k.wrote(j, w)
		}
	}
	var made struct {
		Key string `json:"key"`
	}
	err := j.sparing(wishes, fields, &lacking, func() error {
		body := map[string]any{"fields": fields, "properties": []any{map[string]any{"key": propertyKey, "value": k}}}
		return j.post(ctx, "make the issue of release "+i.Run, "issue", body, &made)
	})
	if err != nil {
		return "", err
	}
	if made.Key == "" {
		return "", errors.New("jira: make the issue of release " + i.Run + ": the answer has no key")
	}
	return made.Key, j.Update(ctx, made.Key, i) // which tells what is lacking
}

// Update implements steps.Tracker. It writes what differs: first what the issue says, then its version, its
// status, and its links and the stories' version, of these only so many at once that Jira's limit for
// one issue is kept: then it answers with RetryAfter(). What Jira refuses for good keeps nothing else from being
// done, and is told at the end. It is safe to repeat after any error.
func (j *Jira) Update(ctx context.Context, key string, i steps.Issue) error {
	s, err := j.look(ctx, key)
	if err != nil {
		return err
	}
	var all problems
	for _, do := range []func(context.Context, *sight, *steps.Issue) error{
		j.assure, j.mirror, j.follow, j.settle, j.linkRequests, j.linkStories, j.assign,
		func(ctx context.Context, s *sight, _ *steps.Issue) error { return j.keep(ctx, s) },
	} {
		err := do(ctx, s, &i)
		if all.add(err); err != nil && !isPermanent(err) {
			return all.with(nil) // the rest would fail as well
		}
	}
	if s.more {
		all.add(&calls.Later{Text: "jira: update " + key, Wait: linkWait, Err: errors.New("there are more links than are made at once")})
	}
	return all.with(nil)
}

// problems are what went wrong on the way.
type problems []error

func (p *problems) add(err error) {
	if err != nil {
		*p = append(*p, err)
	}
}

// passing is the first that is not for good.
func (p problems) passing() error {
	for _, err := range p {
		if !isPermanent(err) {
			return err
		}
	}
	return nil
}

// with is all of them and err as one error, nil if there are none.
func (p problems) with(err error) error {
	p.add(err)
	switch len(p) {
	case 0:
		return nil
	case 1:
		return p[0]
	}
	return several{p}
}

// several is more than one error. It is for good if all are.
type several struct{ all problems }

func (s several) Error() string   { return errors.Join(s.all...).Error() }
func (s several) Unwrap() []error { return s.all }
func (s several) Permanent() bool { return s.all.passing() == nil }
