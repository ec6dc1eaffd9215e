package jira

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/integrations/calls"
)

// Only what Muster uses of a payload is decoded, and each part may be missing: Jira's
// versions differ in what they send.

const (
	// mostItems is how many events one delivery may become.
	mostItems = 50
	// mostIdent is how long an identifier may be that becomes part of an event's.
	mostIdent = 200
	// mostLine is how long a line of the command language may be, in characters.
	mostLine = 12_000
	// oldComment is the age at which a comment is no command any more. The bot knows the commands that it has carried
	// out for a day, and Jira Cloud repeats a delivery for half an hour.
	oldComment = 12 * time.Hour
)

// loose is a short text that some Jiras send as a number.
type loose string

func (l *loose) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) != nil {
		var n json.Number
		if json.Unmarshal(data, &n) == nil {
			text = n.String()
		}
	}
	*l = loose(text)
	return nil
}

// history is an entry of an issue's history.
type history struct {
	ID      loose    `json:"id"`
	Author  account  `json:"author"`
	Created string   `json:"created"`
	Items   []change `json:"items"`
}

// at is when it happened; zero if that cannot be read.
func (h *history) at() time.Time { return timeOf(h.Created) }

// of returns the change of a field, nil if there is none.
func (h *history) of(field string) *change {
	for i := range h.Items {
		if h.Items[i].is(field) {
			return &h.Items[i]
		}
	}
	return nil
}

// change is what became of a field: the IDs of values, and what people see.
type change struct {
	Field   string `json:"field"`
	FieldID string `json:"fieldId"` // of Cloud
	From    loose  `json:"from"`
	To      loose  `json:"to"`
	Was     string `json:"fromString"`
	Is      string `json:"toString"`
}

func (c *change) is(field string) bool {
	return c.FieldID == field || c.FieldID == "" && strings.EqualFold(c.Field, field)
}

// labelsAdded are the labels that a change of labels added. Labels have no blanks.
func (c *change) labelsAdded() []string {
	was := strings.Fields(c.Was)
	return slices.DeleteFunc(strings.Fields(c.Is), func(l string) bool { return slices.Contains(was, l) })
}

// payload is what a webhook brings, as
// https://developer.atlassian.com/cloud/jira/platform/webhooks/ and
// https://developer.atlassian.com/server/jira/platform/webhooks/ describe it.
type payload struct {
	Timestamp loose    `json:"timestamp"` // Unix milliseconds
	Event     string   `json:"webhookEvent"`
	Type      string   `json:"issue_event_type_name"`
	User      account  `json:"user"`
	Issue     *issue   `json:"issue"`
	Changelog *history `json:"changelog"`
	Comment   *comment `json:"comment"`
	Version   *version `json:"version"`
}

// delivery is what a webhook means.
type delivery struct {
	events  []events.Event
	command *chat.Event // nil: none
}

// decode decodes a webhook. ID is how Jira identifies the delivery, empty if it does not.
// What means nothing to Muster is an empty delivery.
func (j *Jira) decode(body []byte, id string, now time.Time) (delivery, error) {
	var d delivery
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		return d, fmt.Errorf("jira: decode webhook: %w", calls.Unquoted(err))
	}
	if p.Event == "" {
		return d, errors.New("jira: decode webhook: it does not say what happened")
	}
	at := now
	if ms, err := strconv.ParseInt(string(p.Timestamp), 10, 64); err == nil && ms > 0 && ms < time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() {
		at = time.UnixMilli(ms).UTC()
	}
	if id = ident(id); id == "" {
		id = p.digest(body)
	}
	switch {
	case p.Event == "jira:version_released":
		if e, told := j.released(&p, id, at); told {
			d.events = append(d.events, e)
		}
	case p.Event == "jira:issue_created":
		d.events = j.createdWith(&p, id, at)
	case p.Event == "jira:issue_updated":
		d.events = j.changed(&p, id, at)
		if p.Type == "issue_commented" {
			d.command = j.command(&p, at, now)
		}
	case p.Event == "comment_created":
		d.command = j.command(&p, at, now)
	}
	return d, nil
}

// digest identifies a delivery that Jira gave no identifier, as Data Center does: by what it is about,
// and where that is not said by all that is in it.
func (p *payload) digest(body []byte) string {
	var about []string
	add := func(name, value string) {
		if value != "" {
			about = append(about, name+"="+value)
		}
	}
	if p.Changelog != nil {
		add("changelog", string(p.Changelog.ID))
	}
	if p.Comment != nil {
		add("comment", p.Comment.ID)
	}
	if p.Version != nil {
		add("version", p.Version.ID)
	}
	if len(about) == 0 {
		sum := sha256.Sum256(body)
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	if p.Issue != nil {
		add("issue", p.Issue.Key)
	}
	sum := sha256.Sum256([]byte(p.Event + "\n" + string(p.Timestamp) + "\n" + strings.Join(about, "\n")))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// changed are the events of a changed issue.
func (j *Jira) changed(p *payload, id string, at time.Time) []events.Event {
	if p.Issue == nil || issueKey(p.Issue.Key) == "" || p.Changelog == nil {
		return nil
	}
	fields := j.fieldsOf(p.Issue)
	return j.happened(p.Issue.Key, fields, p.Changelog, p.User, id, at)
}

// happened are the events of an entry of an issue's history, given what the issue is. IDs of events
// begin with id.
func (j *Jira) happened(key string, fields map[string]string, h *history, from account, id string, at time.Time) []events.Event {
	var all []events.Event
	entry := ident(string(h.ID))
	add := func(kind events.Kind, what string, more map[string]string) {
		e := events.Event{
			ID: id + "/" + what, Source: System, Kind: kind, Subject: key, At: at, From: from.handle(), By: from.Shown, Fields: with(fields, more), Link: j.browse(key),
		}
		if entry != "" {
			e.Fact = string(kind) + " " + key + " " + entry
			if kind == events.IssueLabelled {
				e.Fact += " " + more["label"]
			}
		}
		all = append(all, e)
	}
	for i := range h.Items {
		switch c := &h.Items[i]; {
		case len(all) >= mostItems:
		case c.is("status") && c.Is != "" && c.Was != "": // a new issue was nowhere before
			add(events.IssueMoved, "moved", map[string]string{"from": c.Was, "to": c.Is})
		case c.is("labels") && fields["run"] == "": // on a release issue they are Muster's own
			for _, label := range c.labelsAdded() {
				if len(all) < mostItems && ident(label) != "" {
					add(events.IssueLabelled, "label/"+label, map[string]string{"label": label})
				}
			}
		}
	}
	return all
}

// createdWith are the events of the labels that a new issue has.
func (j *Jira) createdWith(p *payload, id string, at time.Time) []events.Event {
	if p.Issue == nil || issueKey(p.Issue.Key) == "" {
		return nil
	}
	fields := j.fieldsOf(p.Issue)
	var labels []string
	p.Issue.read("labels", &labels)
	return j.bornWith(p.Issue.Key, fields, labels, p.User, id, at)
}

func (j *Jira) bornWith(key string, fields map[string]string, labels []string, from account, id string, at time.Time) []events.Event {
	if fields["run"] != "" {
		return nil
	}
	var all []events.Event
	for _, label := range labels[:min(len(labels), mostItems)] {
		if ident(label) != "" {
			all = append(all, events.Event{
				ID: id + "/label/" + label, Source: System, Kind: events.IssueLabelled, Subject: key, Fact: string(events.IssueLabelled) + " " + key + " created " + label,
				At: at, From: from.handle(), By: from.Shown, Fields: with(fields, map[string]string{"label": label}), Link: j.browse(key),
			})
		}
	}
	return all
}

// fieldsOf are the fields that every event of an issue has. Those of a release issue have the run
// that its label names, and the digest of the plan that it shows.
func (j *Jira) fieldsOf(i *issue) map[string]string {
	var project struct{ Key string }
	var kind struct{ Name string }
	var labels []string
	i.read("project", &project)
	i.read("issuetype", &kind)
	i.read("labels", &labels)
	if project.Key == "" {
		project.Key, _ = keyNumber(i.Key)
	}
	fields := with(nil, map[string]string{
		"issue": i.Key, "project": project.Key, "type": kind.Name, "status": i.status().Name,
		"labels": strings.Join(labels, ","), "components": i.named("components"), "versions": i.named("fixVersions"),
	})
	if run := j.runOf(project.Key, labels); run != "" {
		fields["run"] = run
		if digest := shownDigest(textOf(i.Fields["description"])); digest != "" {
			fields["digest"] = digest
		}
	}
	return fields
}

// named are the names in a list of things that have one, with commas.
func (i *issue) named(field string) string {
	var all []struct{ Name string }
	i.read(field, &all)
	names := make([]string, 0, len(all))
	for _, one := range all {
		names = append(names, one.Name)
	}
	return strings.Join(names, ",")
}

// with is a copy of fields with more of them, which take the place of others of their name. Empty ones are left out.
func with(fields, more map[string]string) map[string]string {
	all := make(map[string]string, len(fields)+len(more))
	for _, some := range []map[string]string{fields, more} {
		for name, value := range some {
			all[name] = strings.ToValidUTF8(value, "\uFFFD")
		}
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

var runForm = regexp.MustCompile(`^[0-9]{1,18}$`)

// runOf is the run whose release issue has those labels, empty if it is none or not clear.
func (j *Jira) runOf(project string, labels []string) string {
	found := ""
	if project != j.o.Project {
		return ""
	}
	for _, l := range labels {
		run, is := strings.CutPrefix(l, j.label(""))
		if !is || !runForm.MatchString(run) {
			continue
		}
		if found != "" && found != run {
			return ""
		}
		found = run
	}
	return found
}

// ownVersion is how the description of a version begins that Muster makes: see versionText.
var ownVersion = regexp.MustCompile(`^Release [0-9]+ to \S`)

// released is the event of a released version. That of a release is no news: it is released because
// the release is over.
func (j *Jira) released(p *payload, id string, at time.Time) (events.Event, bool) {
	v := p.Version
	if v == nil || ident(v.ID) == "" || ownVersion.MatchString(v.Description) {
		return events.Event{}, false
	}
	e := j.versionEvent(v, at)
	e.ID, e.From = id+"/released", p.User.handle()
	e.Fields["projectID"] = ident(string(v.ProjectID))
	return e, true
}

// versionEvent is the event of a released version, without ID and project. A version that is taken back
// and released on another day is another fact.
func (j *Jira) versionEvent(v *version, at time.Time) events.Event {
	return events.Event{
		Source: System, Kind: events.VersionReleased, Subject: "version/" + v.ID, Fact: strings.TrimSpace(string(events.VersionReleased) + " " + v.ID + " " + ident(v.ReleaseDate)), At: at,
		Fields: with(nil, map[string]string{"version": v.Name, "versionID": v.ID, "date": v.ReleaseDate}),
	}
}

// command is a comment that is a line of the command language: it begins with /muster. Data Center
// tells of a comment twice, only once with the issue; by the comment's ID both are the same event.
// What was edited afterwards, what Muster itself wrote, and what was written long before now is none: a signature does
// not say when it was made, so that whoever has seen a delivery could deliver it for ever.
func (j *Jira) command(p *payload, at, now time.Time) *chat.Event {
	c := p.Comment
	if c == nil || p.Issue == nil || issueKey(p.Issue.Key) == "" || ident(c.ID) == "" || c.edited() {
		return nil
	}
	from := ident(c.Author.handle())
	if from == "" || j.isSelf(c.Author) || strings.Contains(markerOf(lastLine(c.Body)), "/") { // all that Muster writes has that
		return nil
	}
	line, is := commandLine(c.Body)
	if !is {
		return nil
	}
	if written := timeOf(c.Created); !written.IsZero() {
		at = written
	}
	if now.Sub(at) > oldComment {
		j.log.Warn("a command is too old to be carried out", "issue", p.Issue.Key, "comment", c.ID, "from", from, "at", at)
		return nil
	}
	return &chat.Event{ID: "comment/" + ident(p.Issue.Key) + "/" + c.ID, Time: at, From: from, Channel: p.Issue.Key, Text: line}
}

// edited reports whether a comment is not as it was written.
func (c *comment) edited() bool {
	made, changed := timeOf(c.Created), timeOf(c.Updated)
	return !made.IsZero() && changed.Sub(made) > time.Second
}

// commandLine is the line of a comment that begins with /muster, without that. Lines below it are the
// person's own.
func commandLine(body json.RawMessage) (string, bool) {
	text := strings.TrimSpace(textOf(body))
	first, _, _ := strings.Cut(text, "\n")
	if raw := bytes.TrimSpace(body); len(raw) > 0 && raw[0] == '"' {
		first = unmarked(first)
	}
	first = strings.Join(strings.Fields(chat.Plain(tidy(first))), " ")
	word, rest, _ := strings.Cut(first, " ")
	if !strings.EqualFold(word, "/muster") {
		return "", false
	}
	if utf8.RuneCountInString(rest) > mostLine {
		rest = string([]rune(rest)[:mostLine+1]) // enough to say that it is too long
	}
	return rest, true
}

var (
	// mentionMark is somebody, linkMark an address with or without words before it or hints behind it,
	// monoMark text as it is typed, and escapeMark a character that would mean something.
	mentionMark = regexp.MustCompile(`\[~(?:accountid:)?([^\]\[|~\s]+)\]`)
	linkMark    = regexp.MustCompile(`\[(?:[^\]\[|]*\|)?((?:https?://|mailto:)[^\]\[|\s]+)(?:\|[^\]\[]*)?\]`)
	monoMark    = regexp.MustCompile(`\{\{(.*?)\}\}`)
	escapeMark  = regexp.MustCompile(`\\([\\{}\[\]|!^~*_\-+#?:;()&@])`)
)

// unmarked is a line of wiki markup as somebody typed it, as far as it is one that may be a command.
func unmarked(line string) string {
	line = mentionMark.ReplaceAllString(line, "@$1")
	line = linkMark.ReplaceAllString(line, "$1")
	line = monoMark.ReplaceAllString(line, "$1")
	return escapeMark.ReplaceAllString(line, "$1")
}

// ident is s if it can be something by which Jira identifies things, and empty otherwise. It becomes
// part of keys and of calls.
func ident(s string) string {
	if len(s) > mostIdent || !utf8.ValidString(s) {
		return ""
	}
	for _, r := range s {
		if r <= ' ' || r == 0x7F || r == utf8.RuneError {
			return ""
		}
	}
	return s
}

// issueKey is s if it is the key of an issue, and empty otherwise.
func issueKey(s string) string {
	if project, _ := keyNumber(s); len(s) > mostIdent || !projectForm.MatchString(project) {
		return ""
	}
	return s
}

// timeOf reads a time as Jira writes it; zero if it is none.
func timeOf(text string) time.Time {
	for _, form := range []string{"2006-01-02T15:04:05.000-0700", time.RFC3339} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
