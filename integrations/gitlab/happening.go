package gitlab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/integrations/calls"
)

// What happens in GitLab as events, whichever way it became known: a delivery and a look make the
// same Fact of the same thing. Links are made here, for a delivery can hold any.

// event is what all have. Of is the subject within the project.
func (g *GitLab) event(kind events.Kind, project, of string, at time.Time, fields map[string]string) events.Event {
	fields["project"] = project
	return events.Event{Source: System, Kind: kind, Subject: project + " " + of, At: at.UTC(), Fields: fields, Link: g.home(project)}
}

// mostFact is how long the name of a fact may be, with what is put behind it.
const mostFact = 360

// named is the name of a fact: where names and labels of people make it long, its beginning and a digest.
func named(fact string) string {
	if len(fact) <= mostFact {
		return fact
	}
	sum := sha256.Sum256([]byte(fact))
	return calls.Clip(fact, 200) + " " + hex.EncodeToString(sum[:16])
}

// pushed is a branch that is at a commit.
func (g *GitLab) pushed(project, branch, commit, message string, at time.Time) events.Event {
	e := g.event(events.Push, project, "branch "+branch, at, map[string]string{
		"ref": branch, "branch": branch, "commit": commit, "message": firstLine(message),
	})
	e.Fact = named(fmt.Sprintf("push %s %s %s", project, branch, commit))
	e.Link = g.page(project, "commit/"+commit)
	return e
}

// tagged is a tag that is on a commit, or was and is gone.
func (g *GitLab) tagged(project, tag, commit string, deleted bool, at time.Time) events.Event {
	e := g.event(events.Tag, project, "tag "+tag, at, map[string]string{"ref": tag, "tag": tag, "commit": commit})
	e.Link = g.page(project, "tags/"+pathEscape(tag))
	if commit != "" {
		e.Fact = named(fmt.Sprintf("tag %s %s %s", project, tag, commit))
	}
	if deleted {
		e.Fields["deleted"] = "true"
		e.Link = g.page(project, "tags")
		if e.Fact != "" {
			e.Fact += " deleted"
		}
	}
	return e
}

// merge is a merge request as it stands.
type merge struct {
	number                        int64
	action, source, target, state string
	commit                        string // its head; once it is merged, that which it came to its target in
	labels                        []string
}

// merged is the state of a merge request whose commits are in its target.
const merged = "merged"

// merging is something that happened to a merge request. What it is now is the fact, not what
// was done: the same state is told of by several deliveries.
func (g *GitLab) merging(project string, m merge, at time.Time) events.Event {
	labels := slices.Sorted(slices.Values(m.labels))
	number := strconv.FormatInt(m.number, 10)
	e := g.event(events.MergeRequest, project, "merge request "+number, at, map[string]string{
		"ref": m.source, "number": number, "action": m.action, "source": m.source, "target": m.target, "commit": m.commit,
		"state": m.state, "labels": strings.Join(labels, ","),
	})
	e.Fact = named(fmt.Sprintf("merge-request %s %s %s %s %s", project, number, m.state, m.commit, e.Fields["labels"]))
	e.Link = g.page(project, "merge_requests/"+number)
	return e
}

// piped is a pipeline as it stands.
func (g *GitLab) piped(project string, id int64, ref, commit, status, source string, at time.Time) events.Event {
	number := strconv.FormatInt(id, 10)
	e := g.event(events.Pipeline, project, "pipeline "+number, at, map[string]string{
		"pipeline": number, "ref": ref, "commit": commit, "status": status, "source": source,
	})
	e.Fact = fmt.Sprintf("pipeline %s %s %s", project, number, status)
	e.Link = g.page(project, "pipelines/"+number)
	return e
}

// job is a job as it stands.
type job struct {
	id, pipeline             int64
	name, stage, ref, commit string
	status                   string
}

func (g *GitLab) worked(project string, j job, at time.Time) events.Event {
	number := strconv.FormatInt(j.id, 10)
	pipeline := strconv.FormatInt(j.pipeline, 10)
	e := g.event(events.Job, project, "pipeline "+pipeline, at, map[string]string{
		"job": number, "name": j.name, "stage": j.stage, "pipeline": pipeline, "ref": j.ref, "commit": j.commit, "status": j.status,
	})
	e.Fact = fmt.Sprintf("job %s %s %s", project, number, j.status)
	e.Link = g.page(project, "jobs/"+number)
	return e
}

// deployed is a deployment as it stands.
func (g *GitLab) deployed(project string, id int64, environment, ref, commit, status string, at time.Time) events.Event {
	number := strconv.FormatInt(id, 10)
	e := g.event(events.Deployment, project, "environment "+environment, at, map[string]string{
		"deployment": number, "environment": environment, "ref": ref, "commit": commit, "status": status,
	})
	e.Fact = fmt.Sprintf("deployment %s %s %s", project, number, status)
	e.Link = g.page(project, "environments")
	return e
}

// released is a release of GitLab's: what it shows of a tag.
func (g *GitLab) released(project, tag, commit, action string, at time.Time) events.Event {
	e := g.event(events.Release, project, "release "+tag, at, map[string]string{"ref": tag, "tag": tag, "commit": commit, "action": action})
	e.Fact = named(fmt.Sprintf("release %s %s %s", project, tag, action))
	e.Link = g.page(project, "releases/"+url.PathEscape(tag))
	return e
}

// firstLine is the first line of a message, not longer than a line should be.
func firstLine(message string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	return clip(strings.TrimSpace(line), 200)
}
