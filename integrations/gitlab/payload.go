package gitlab

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/muster-release/muster/bot/events"
)

// What GitLab's webhooks carry, as far as it is looked at:
// https://docs.gitlab.com/user/project/integrations/webhook_events/ and, for system hooks,
// https://docs.gitlab.com/administration/system_hooks/. Versions of GitLab differ in what they add, and
// client-go's types refuse a payload as a whole for a field that nobody asks for, so these name what is
// needed alone.

// heading tells what a payload is.
type heading struct {
	ObjectKind string `json:"object_kind"`
	EventName  string `json:"event_name"`
	ofProject
	Repository struct {
		Homepage string `json:"homepage"`
	} `json:"repository"`
	User person `json:"user"`
	// Pushes say it in another way.
	UserUsername string `json:"user_username"`
}

type ofProject struct {
	Project struct {
		Path string `json:"path_with_namespace"`
		Web  string `json:"web_url"`
	} `json:"project"`
}

type person struct {
	Username string `json:"username"`
}

type pushPayload struct {
	Before      string `json:"before"`
	After       string `json:"after"`
	Ref         string `json:"ref"`
	CheckoutSHA string `json:"checkout_sha"`
	Commits     []struct {
		ID      string `json:"id"`
		Message string `json:"message"`
	} `json:"commits"`
	// Changes are those of a push to many branches or tags at once, in system hooks.
	Changes []struct {
		Before string `json:"before"`
		After  string `json:"after"`
		Ref    string `json:"ref"`
	} `json:"changes"`
}

type mergePayload struct {
	Attributes mergeAttributes `json:"object_attributes"`
	Labels     []struct {
		Title string `json:"title"`
	} `json:"labels"`
}

type mergeAttributes struct {
	Number     int64  `json:"iid"`
	Action     string `json:"action"`
	State      string `json:"state"`
	Source     string `json:"source_branch"`
	Target     string `json:"target_branch"`
	UpdatedAt  string `json:"updated_at"`
	MergedIn   string `json:"merge_commit_sha"`
	LastCommit struct {
		ID string `json:"id"`
	} `json:"last_commit"`
}

type pipelinePayload struct {
	Attributes struct {
		ID         int64  `json:"id"`
		Ref        string `json:"ref"`
		SHA        string `json:"sha"`
		Status     string `json:"status"`
		Source     string `json:"source"`
		CreatedAt  string `json:"created_at"`
		FinishedAt string `json:"finished_at"`
	} `json:"object_attributes"`
}

type jobPayload struct {
	ID         int64  `json:"build_id"`
	Name       string `json:"build_name"`
	Stage      string `json:"build_stage"`
	Status     string `json:"build_status"`
	Pipeline   int64  `json:"pipeline_id"`
	Ref        string `json:"ref"`
	SHA        string `json:"sha"`
	StartedAt  string `json:"build_started_at"`
	FinishedAt string `json:"build_finished_at"`
}

type deploymentPayload struct {
	ID          int64  `json:"deployment_id"`
	Status      string `json:"status"`
	Environment string `json:"environment"`
	Ref         string `json:"ref"`
	ShortSHA    string `json:"short_sha"`
	CommitURL   string `json:"commit_url"`
	ChangedAt   string `json:"status_changed_at"`
}

type releasePayload struct {
	Tag        string `json:"tag"`
	Action     string `json:"action"`
	ReleasedAt string `json:"released_at"`
	Commit     struct {
		ID string `json:"id"`
	} `json:"commit"`
}

type notePayload struct {
	Attributes struct {
		ID         int64  `json:"id"`
		Note       string `json:"note"`
		On         string `json:"noteable_type"`
		Discussion string `json:"discussion_id"`
		System     bool   `json:"system"`
		Action     string `json:"action"`
		CreatedAt  string `json:"created_at"`
		UpdatedAt  string `json:"updated_at"`
	} `json:"object_attributes"`
	MergeRequest mergeAttributes `json:"merge_request"`
	Issue        struct {
		Number int64 `json:"iid"`
	} `json:"issue"`
}

// comment is a note on a merge request or an issue that a delivery tells of.
type comment struct {
	id         int64
	place      place
	discussion string
	text       string
	from       string
	edited     bool // it was there before
	event      events.Event
}

// decoded is what a delivery says: events, or a comment.
type decoded struct {
	events  []events.Event
	comment *comment
}

// decode reads a delivery; now is when it came. An error says that it is not what GitLab sends.
// What is of no interest decodes to nothing.
func (g *GitLab) decode(body []byte, now time.Time) (decoded, error) {
	var h heading
	if err := json.Unmarshal(body, &h); err != nil {
		return decoded{}, fmt.Errorf("what was delivered cannot be read: %w", err)
	}
	path := strings.Trim(cmp.Or(h.Project.Path, g.projectAt(h.Project.Web), g.projectAt(h.Repository.Homepage)), "/")
	if path == "" {
		return decoded{}, nil
	}
	from := cmp.Or(h.User.Username, h.UserUsername)
	kind := cmp.Or(h.ObjectKind, h.EventName)
	if h.EventName == "repository_update" {
		kind = h.EventName
	}
	read := readers[kind]
	if read == nil {
		return decoded{}, nil
	}
	d, err := read(g, body, path, now)
	if err != nil {
		return decoded{}, fmt.Errorf("a delivery of kind %q cannot be read: %w", clip(kind, 40), err)
	}
	for i := range d.events {
		d.events[i].From = from
	}
	if d.comment != nil {
		d.comment.from, d.comment.event.From = from, from
	}
	return d, nil
}

// readers read the kinds of delivery that are of interest.
var readers = map[string]func(g *GitLab, body []byte, project string, now time.Time) (decoded, error){
	"push":              (*GitLab).readPush,
	"tag_push":          (*GitLab).readPush,
	"repository_update": (*GitLab).readUpdate,
	"merge_request":     (*GitLab).readMerge,
	"pipeline":          (*GitLab).readPiped,
	"build":             (*GitLab).readJob,
	"job":               (*GitLab).readJob,
	"deployment":        (*GitLab).readDeployment,
	"release":           (*GitLab).readRelease,
	"note":              (*GitLab).readNote,
}

// noCommit is how Git writes that there is none.
func noCommit(sha string) bool { return strings.Trim(sha, "0") == "" }

// readPush reads what GitLab sends of one branch or tag.
func (g *GitLab) readPush(body []byte, project string, now time.Time) (decoded, error) {
	var p pushPayload
	if err := json.Unmarshal(body, &p); err != nil {
		return decoded{}, err
	}
	message := ""
	for _, c := range p.Commits {
		if c.ID == p.After {
			message = c.Message
		}
	}
	// Of an annotated tag, after is the tag itself and checkout_sha the commit.
	commit := p.After
	if strings.HasPrefix(p.Ref, "refs/tags/") {
		commit = p.CheckoutSHA
	}
	return decoded{events: g.changed(project, p.Ref, p.Before, p.After, commit, message, now)}, nil
}

// readUpdate reads what GitLab sends of several branches or tags at once. Which commits the
// tags are on it does not say for certain.
func (g *GitLab) readUpdate(body []byte, project string, now time.Time) (decoded, error) {
	var p pushPayload
	if err := json.Unmarshal(body, &p); err != nil {
		return decoded{}, err
	}
	var d decoded
	for _, c := range p.Changes[:min(len(p.Changes), mostChanges)] {
		commit := c.After
		if strings.HasPrefix(c.Ref, "refs/tags/") {
			commit = ""
		}
		d.events = append(d.events, g.changed(project, c.Ref, c.Before, c.After, commit, "", now)...)
	}
	return d, nil
}

// mostChanges is how many branches and tags of one push are looked at.
const mostChanges = 200

// changed is what a push did to a branch or tag. A branch that was deleted is nothing to anybody.
func (g *GitLab) changed(project, ref, before, after, commit, message string, now time.Time) []events.Event {
	gone := noCommit(after)
	if branch, ok := strings.CutPrefix(ref, "refs/heads/"); ok && branch != "" && !gone && commit != "" {
		return []events.Event{g.pushed(project, branch, commit, message, now)}
	}
	tag, ok := strings.CutPrefix(ref, "refs/tags/")
	if !ok || tag == "" {
		return nil
	}
	if gone {
		return []events.Event{g.tagged(project, tag, before, true, now)}
	}
	return []events.Event{g.tagged(project, tag, commit, false, now)}
}

func (g *GitLab) readMerge(body []byte, project string, now time.Time) (decoded, error) {
	var p mergePayload
	if err := json.Unmarshal(body, &p); err != nil {
		return decoded{}, err
	}
	a := p.Attributes
	if a.Number == 0 {
		return decoded{}, nil
	}
	m := merge{number: a.Number, action: a.Action, source: a.Source, target: a.Target, state: a.State, commit: a.LastCommit.ID}
	if a.State == merged {
		m.commit = cmp.Or(a.MergedIn, m.commit)
	}
	for _, l := range p.Labels {
		m.labels = append(m.labels, l.Title)
	}
	return decoded{events: []events.Event{g.merging(project, m, when(now, a.UpdatedAt))}}, nil
}

func (g *GitLab) readPiped(body []byte, project string, now time.Time) (decoded, error) {
	var p pipelinePayload
	if err := json.Unmarshal(body, &p); err != nil {
		return decoded{}, err
	}
	a := p.Attributes
	if a.ID == 0 {
		return decoded{}, nil
	}
	return decoded{events: []events.Event{g.piped(project, a.ID, a.Ref, a.SHA, a.Status, a.Source, when(now, a.FinishedAt, a.CreatedAt))}}, nil
}

func (g *GitLab) readJob(body []byte, project string, now time.Time) (decoded, error) {
	var p jobPayload
	if err := json.Unmarshal(body, &p); err != nil {
		return decoded{}, err
	}
	if p.ID == 0 {
		return decoded{}, nil
	}
	j := job{id: p.ID, pipeline: p.Pipeline, name: p.Name, stage: p.Stage, ref: p.Ref, commit: p.SHA, status: p.Status}
	return decoded{events: []events.Event{g.worked(project, j, when(now, p.FinishedAt, p.StartedAt))}}, nil
}

func (g *GitLab) readDeployment(body []byte, project string, now time.Time) (decoded, error) {
	var p deploymentPayload
	if err := json.Unmarshal(body, &p); err != nil {
		return decoded{}, err
	}
	if p.ID == 0 {
		return decoded{}, nil
	}
	commit := p.CommitURL[strings.LastIndexByte(p.CommitURL, '/')+1:]
	if !strings.HasPrefix(commit, p.ShortSHA) {
		commit = p.ShortSHA
	}
	return decoded{events: []events.Event{g.deployed(project, p.ID, p.Environment, p.Ref, commit, p.Status, when(now, p.ChangedAt))}}, nil
}

func (g *GitLab) readRelease(body []byte, project string, now time.Time) (decoded, error) {
	var p releasePayload
	if err := json.Unmarshal(body, &p); err != nil {
		return decoded{}, err
	}
	if p.Tag == "" {
		return decoded{}, nil
	}
	at := now // a release can be dated
	if p.Action == "create" {
		at = when(now, p.ReleasedAt)
	}
	return decoded{events: []events.Event{g.released(project, p.Tag, p.Commit.ID, p.Action, at)}}, nil
}

func (g *GitLab) readNote(body []byte, project string, now time.Time) (decoded, error) {
	var p notePayload
	if err := json.Unmarshal(body, &p); err != nil {
		return decoded{}, err
	}
	a := p.Attributes
	if a.System || a.ID == 0 {
		return decoded{}, nil
	}
	c := &comment{id: a.ID, place: place{project: project}, discussion: a.Discussion, text: a.Note}
	switch a.On {
	case "MergeRequest":
		c.place.kind, c.place.number = onMerge, p.MergeRequest.Number
	case "Issue":
		c.place.kind, c.place.number = onIssue, p.Issue.Number
	default:
		return decoded{}, nil // on commits and snippets nobody can be answered
	}
	if c.place.number == 0 {
		return decoded{}, nil
	}
	// GitLab says since 16.0 what was done, and before that sends a note again when it is edited.
	c.edited = a.Action == "update" || a.Action == "" && a.CreatedAt != a.UpdatedAt
	c.event = g.noted(c.place, a.ID, when(now, a.UpdatedAt, a.CreatedAt))
	if c.place.kind == onMerge {
		c.event.Fields["ref"], c.event.Fields["commit"] = p.MergeRequest.Source, p.MergeRequest.LastCommit.ID
	}
	return decoded{comment: c}, nil
}

// layouts are the ways in which GitLab writes times in webhooks.
var layouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05 MST", "2006-01-02 15:04:05 -0700"}

// when is the first of some times that can be read, and now otherwise.
func when(now time.Time, texts ...string) time.Time {
	for _, text := range texts {
		for _, layout := range layouts {
			if t, err := time.Parse(layout, text); err == nil && t.Year() > 2000 {
				return t
			}
		}
	}
	return now
}
