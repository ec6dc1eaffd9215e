package jira

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/muster-release/muster/bot/events"
)

var _ events.Origin = (*Jira)(nil)

// mostMissed is how many changed issues are looked at for what was missed.
const mostMissed = 500

// factFields are the fields that an event's are made of.
func factFields() []string {
	return []string{"status", "labels", "components", "fixVersions", "issuetype", "project", "description", "creator", "created"}
}

// Confirm implements events.Origin. A move is true while the issue is where it was moved to, and a label
// while it is there. What Muster did itself with a release issue, and a version that is not released, are not
// found. Run and digest are left as they were shown at the time; an issue that Muster did not make is
// no release issue, whatever its label says.
func (j *Jira) Confirm(ctx context.Context, e events.Event) (events.Event, bool, error) {
	switch e.Kind {
	case events.IssueMoved, events.IssueLabelled:
		return j.confirmIssue(ctx, e)
	case events.VersionReleased:
		return j.confirmVersion(ctx, e)
	}
	return e, true, nil
}

func (j *Jira) confirmIssue(ctx context.Context, e events.Event) (events.Event, bool, error) {
	key := issueKey(cmp.Or(e.Fields["issue"], e.Subject))
	if key == "" {
		return e, false, nil
	}
	i, err := j.getIssue(ctx, key, factFields())
	if isGone(err) {
		return e, false, nil
	}
	if err != nil {
		return e, false, err
	}
	now := j.fieldsOf(i)
	if run := e.Fields["run"]; run != "" || now["run"] != "" {
		me, err := j.myself(ctx)
		if err != nil {
			return e, false, err
		}
		if j.Self(e.From) {
			return e, false, nil // its own doing is no news
		}
		var creator account
		i.read("creator", &creator)
		shown := map[string]string{"run": "", "digest": ""}
		if creator.is(me) {
			shown = map[string]string{"run": run, "digest": e.Fields["digest"]}
		}
		now = with(now, shown)
	}
	switch e.Kind {
	case events.IssueMoved:
		if !strings.EqualFold(now["status"], e.Fields["to"]) {
			return e, false, nil
		}
		now = with(now, map[string]string{"from": e.Fields["from"], "to": now["status"]})
	default:
		var labels []string
		i.read("labels", &labels)
		if now["run"] != "" || !slices.Contains(labels, e.Fields["label"]) {
			return e, false, nil
		}
		now = with(now, map[string]string{"label": e.Fields["label"]})
	}
	e.Fields, e.Link = now, j.browse(i.Key)
	return e, true, nil
}

func (j *Jira) confirmVersion(ctx context.Context, e events.Event) (events.Event, bool, error) {
	id := ident(e.Fields["versionID"])
	if id == "" {
		return e, false, nil
	}
	var v version
	err := j.get(ctx, "read version "+id, at("version", id), nil, &v)
	switch {
	case isGone(err):
		return e, false, nil
	case err != nil:
		return e, false, err
	case !v.isNews():
		return e, false, nil
	}
	fields := j.versionEvent(&v, e.At).Fields
	fields["project"] = e.Fields["project"]
	if fields["project"] == "" {
		var p struct{ Key string }
		if err := j.get(ctx, "read project "+string(v.ProjectID), at("project", string(v.ProjectID)), nil, &p); err != nil {
			return e, false, err
		}
		fields["project"] = p.Key
	}
	e.Fields, e.Link = with(fields, nil), j.versionPage(fields["project"], id)
	return e, true, nil
}

// versionPage is the address of a version for people.
func (j *Jira) versionPage(project, id string) string {
	return j.o.URL + "/" + at("projects", project, "versions", id)
}

// watched are the projects whose versions are looked at: those of stories, and that of release issues.
func (j *Jira) watched() []string {
	all := slices.Clone(j.o.StoryProjects)
	if !slices.Contains(all, j.o.Project) {
		all = append(all, j.o.Project)
	}
	return all
}

// Missed implements events.Origin. It looks at issues that were changed since, in the projects of stories and
// that of release issues; without Options.StoryProjects in all that the account sees. The index may lag, so
// that it looks back further by Options.IndexLag. Of an issue it tells the last move and the labels that are
// true now. A version counts as released on the day that it says, which is all that Jira knows of that;
// versions are looked at in the projects that are named. Comments are not looked for: a command that
// nobody answers is given again.
func (j *Jira) Missed(ctx context.Context, since time.Time) ([]events.Event, error) {
	since = since.Add(-j.o.IndexLag)
	minutes := int(math.Ceil(time.Since(since).Minutes())) + 1
	jql := fmt.Sprintf(`updated >= "-%dm"`, max(minutes, 1))
	if len(j.o.StoryProjects) > 0 {
		jql = "project in (" + quoteAll(j.watched()) + ") AND " + jql
	}
	expand := any("changelog")
	if j.flavor == dataCenter {
		expand = []string{"changelog"}
	}
	// The newest are those that count if there are too many.
	changed, err := j.search(ctx, "search for what was missed", jql+" ORDER BY updated DESC", factFields(), mostMissed, map[string]any{"expand": expand})
	if err != nil {
		return nil, err
	}
	if len(changed) == mostMissed {
		j.log.Warn("more issues were changed than are looked at for events that were missed", "looked at", mostMissed, "since", since)
	}
	var all []events.Event
	for n := range changed {
		all = append(all, j.missedOf(&changed[n], since)...)
	}
	for _, project := range j.watched() {
		versions, err := j.versions(ctx, project)
		if isGone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for n := range versions {
			v := &versions[n]
			day, err := time.Parse(time.DateOnly, v.ReleaseDate)
			// The day may be one of any zone.
			if err != nil || !v.isNews() || day.Before(since.Add(-36*time.Hour)) {
				continue
			}
			e := j.versionEvent(v, day)
			e.Fields["project"], e.Link = project, j.versionPage(project, v.ID)
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b events.Event) int { return a.At.Compare(b.At) })
	return all, nil
}

// missedOf are the events of one issue since a time, as deliveries would have brought them, but for their IDs.
func (j *Jira) missedOf(i *issue, since time.Time) []events.Event {
	if issueKey(i.Key) == "" {
		return nil
	}
	i.sortHistory()
	var all []events.Event
	fields := j.fieldsOf(i)
	var labels []string
	i.read("labels", &labels)
	moved := false
	for n := len(i.Changelog.Histories) - 1; n >= 0; n-- {
		h := &i.Changelog.Histories[n]
		if h.at().Before(since) {
			break
		}
		shown := fields
		if fields["run"] != "" {
			shown = with(fields, map[string]string{"digest": shownDigest(i.describedAt(n))})
		}
		for _, e := range j.happened(i.Key, shown, h, h.Author, "", h.at()) {
			switch {
			case e.Fact == "":
			case e.Kind == events.IssueMoved && !moved && strings.EqualFold(e.Fields["to"], fields["status"]):
				all = append(all, e)
			case e.Kind == events.IssueLabelled && slices.Contains(labels, e.Fields["label"]):
				all = append(all, e)
			}
			moved = moved || e.Kind == events.IssueMoved
		}
	}
	if born := i.created(); !born.Before(since) {
		var creator account
		i.read("creator", &creator)
		first := slices.DeleteFunc(i.firstLabels(labels), func(l string) bool { return !slices.Contains(labels, l) })
		all = append(all, j.bornWith(i.Key, fields, first, creator, "", born)...)
	}
	for n := range all {
		all[n].ID = "" // a delivery would have another
	}
	return all
}

// describedAt is the description as it was at an entry of the history: as the next change of it says that
// it was before, or as it is.
func (i *issue) describedAt(entry int) string {
	for n := entry + 1; n < len(i.Changelog.Histories); n++ {
		if c := i.Changelog.Histories[n].of("description"); c != nil {
			return strings.ReplaceAll(c.Was, "\r\n", "\n")
		}
	}
	return textOf(i.Fields["description"])
}

// firstLabels are the labels with which an issue was made.
func (i *issue) firstLabels(now []string) []string {
	for n := range i.Changelog.Histories {
		if c := i.Changelog.Histories[n].of("labels"); c != nil {
			return strings.Fields(c.Was)
		}
	}
	return slices.Clone(now)
}

// quoteAll is a list of strings of JQL.
func quoteAll(all []string) string {
	quoted := make([]string, len(all))
	for n, one := range all {
		quoted[n] = quote(one)
	}
	return strings.Join(quoted, ", ")
}
