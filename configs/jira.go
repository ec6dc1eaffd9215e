package configs

import (
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// jiraSystem is Jira's name in Person.Handles and in rules.
const jiraSystem = "jira"

// Jira says how to reach a Jira, and what release issues look like there.
//
// A template is text with {run}, {environment}, {digest}, {title}, {status}, {date} and
// {modules}; a brace that is meant is doubled.
type Jira struct {
	// URL is where people find it, a context path included, without a slash at the end.
	URL string
	// Email is of the account that the API token is of, for Jira Cloud. Empty: Token is a
	// personal access token of Jira Data Center.
	Email string
	Token Secret
	// WebhookSecret is what a webhook signs its deliveries with; empty: nothing that is
	// delivered is believed.
	WebhookSecret Secret

	Project   string   // key of the project that release issues are in
	IssueType string   // by name; Task where nothing is said
	Labels    []string // templates
	// Fields are more fields of the release issue, by name or ID: templates.
	Fields map[string]string
	// Transitions say how the issue follows the release: by the release's status (planned,
	// waiting, deploying, held, released, failed, aborted, rolled back) the name of a transition
	// or of the status that it leads to, or several, one after the other. No name has a comma.
	Transitions map[string][]string
	// TransitionFields are what a transition is given that asks for a field, by name or ID.
	TransitionFields map[string]string
	// FixVersion is the name of the version that is made for a release, a template; empty: none.
	FixVersion string
	// LinkType is the name of the link from the release issue to a story; empty: "Relates".
	LinkType string
	// Edits is what becomes of a field that somebody else changed: "repair", the default, or
	// "respect".
	Edits string
	// IndexLag is how long a new issue may be missing from searches, up to an hour; 5 minutes
	// where nothing is said.
	IndexLag time.Duration
	// Approve and Reject are statuses: who moves a release issue there answers to its approval.
	// Empty: no status does.
	Approve, Reject string
	// StoryProjects are the keys of the projects whose issues are stories; empty: all are.
	StoryProjects []string
}

const (
	defaultIssueType = "Task"
	editsRepair      = "repair"
	editsRespect     = "respect"
	defaultIndexLag  = 5 * time.Minute
	maxIndexLag      = time.Hour
)

// issueStatuses are those that a release issue follows: see steps.Issue.
var issueStatuses = []string{"planned", "waiting", "deploying", "held", "released", "failed", "aborted", "rolled back"}

// jiraTemplate are the names that a template of Jira's may ask for.
var jiraTemplate = []string{"{run}", "{environment}", "{digest}", "{title}", "{status}", "{date}", "{modules}"}

// mustersFields are fields of a release issue that Muster fills in by itself.
var mustersFields = []string{
	"summary", "description", "project", "issuetype", "issue type", "labels", "status", "comment",
	"fixversions", "fix version/s", "fix versions", "resolution",
}

func (d *decoder) jira(n *node) {
	s := &Jira{IssueType: defaultIssueType, Edits: editsRepair, IndexLag: defaultIndexLag}
	d.server.Jira = s
	if n.kind != mapping {
		d.hide(n) // it may be one of the secrets
	}
	var at, reject *node
	moves := make(map[string]mark)
	if !d.object(n, "the settings of Jira",
		field{key: "url", decode: func(n *node) { at, s.URL = n, d.site(n, "/rest/", "/browse/", "/secure/") }},
		field{key: "email", decode: func(n *node) { s.Email = d.mail(n, d.setting(n)) }},
		field{key: "token", secret: true, decode: func(n *node) { s.Token = d.key(n) }},
		field{key: "webhookSecret", secret: true, decode: func(n *node) { s.WebhookSecret = d.strong(n) }},
		field{key: "project", decode: func(n *node) { s.Project = d.projectKey(n) }},
		field{key: "issueType", decode: func(n *node) { s.IssueType = d.given(n, d.setting(n)) }},
		field{key: "labels", decode: func(n *node) { s.Labels = d.labels(n) }},
		field{key: "fields", decode: func(n *node) { s.Fields = d.jiraFields(n) }},
		field{key: "transitions", decode: func(n *node) { s.Transitions = d.transitions(n, moves) }},
		field{key: "transitionFields", decode: func(n *node) { s.TransitionFields = d.table(n) }},
		field{key: "fixVersion", decode: func(n *node) { s.FixVersion = d.template(n, jiraTemplate) }},
		field{key: "linkType", decode: func(n *node) { s.LinkType = d.given(n, d.setting(n)) }},
		field{key: "edits", decode: func(n *node) { s.Edits = choice(d, n, "way to treat edits", editsRepair, editsRespect) }},
		field{key: "indexLag", decode: func(n *node) { s.IndexLag = d.between(n, 0, maxIndexLag) }},
		field{key: "approve", decode: func(n *node) { s.Approve = d.given(n, d.setting(n)) }},
		field{key: "reject", decode: func(n *node) { reject, s.Reject = n, d.given(n, d.setting(n)) }},
		field{key: "stories", decode: func(n *node) { s.StoryProjects = d.stories(n) }},
	) {
		return
	}
	d.require(n, "the settings of Jira", "url", "token", "project")
	if s.Email == "" && at != nil && isJiraCloud(s.URL) {
		d.report(at.at, "give email: that of the account that the token is of", "%q is a Jira Cloud, where a token alone opens nothing", s.URL)
	}
	if reject != nil && s.Approve != "" && strings.EqualFold(s.Approve, s.Reject) {
		d.report(reject.at, "", "%q both approves and rejects", s.Reject)
	}
	// Afterwards the approval is over, and a status means nothing any more.
	for _, status := range []string{"planned", "waiting"} {
		for _, name := range s.Transitions[status] {
			if name != "" && (strings.EqualFold(name, s.Approve) || strings.EqualFold(name, s.Reject)) {
				d.report(moves[status], "", "Muster itself would move a release that is %s to %q, and so answer its approval", status, name)
			}
		}
	}
}

// isJiraCloud reports whether an address is one of Atlassian's own.
func isJiraCloud(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return strings.HasSuffix(host, ".atlassian.net") || strings.HasSuffix(host, ".jira.com") || host == "api.atlassian.com"
}

// projectKey reads the key of a project: two letters at least, all of them capitals, then digits and
// underscores as well: https://support.atlassian.com/jira-cloud-administration/docs/change-the-project-key-format/.
func (d *decoder) projectKey(n *node) string {
	value := d.given(n, d.setting(n))
	if value == "" || isProjectKey(value) {
		return value
	}
	hint := ""
	if guess := strings.ToUpper(value); isProjectKey(guess) {
		hint = "did you mean " + quote(guess) + "?"
	} else if key, _, issue := strings.Cut(guess, "-"); issue && isProjectKey(key) {
		hint = "did you mean " + quote(key) + "?"
	}
	d.report(n.at, hint, "%q is no key of a project in Jira: it is what its issues begin with, such as ABC", value)
	return ""
}

func isProjectKey(s string) bool {
	return len(s) >= 2 && len(s) <= 255 && s[0] >= 'A' && s[0] <= 'Z' &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

func (d *decoder) stories(n *node) []string {
	var projects []string
	d.object(n, "the stories", field{key: "projects", decode: func(n *node) {
		for _, item := range d.unique(d.list(n)) {
			if key := d.projectKey(item); key != "" {
				projects = append(projects, key)
			}
		}
		if n.kind == list && len(n.items) == 0 {
			d.report(n.at, "", `"projects" is empty, which would mean all of them: leave it out if that is meant`)
		}
	}})
	return projects
}

// labels reads labels, which have no spaces in Jira.
func (d *decoder) labels(n *node) []string {
	var labels []string
	for _, item := range d.unique(d.list(n)) {
		label := d.template(item, jiraTemplate)
		if strings.ContainsFunc(label, unicode.IsSpace) {
			d.report(item.at, "did you mean "+quote(strings.Join(strings.Fields(label), "-"))+"?", "a label in Jira has no spaces")
		}
		if label != "" {
			labels = append(labels, label)
		}
	}
	return labels
}

func (d *decoder) jiraFields(n *node) map[string]string {
	if n.kind != mapping {
		d.want(n, "the names of fields with values")
		return nil
	}
	fields := make(map[string]string, len(n.pairs))
	for _, p := range n.pairs {
		if slices.Contains(mustersFields, strings.ToLower(p.key)) {
			d.report(p.at, "", "Muster fills in the field %q by itself", p.key)
			continue
		}
		fields[p.key] = d.template(p.value, jiraTemplate)
	}
	return fields
}

// transitions reads by status the names of what leads there, and remembers the place of each.
func (d *decoder) transitions(n *node, at map[string]mark) map[string][]string {
	moves := make(map[string][]string)
	fields := make([]field, len(issueStatuses))
	for i, status := range issueStatuses {
		fields[i] = field{key: status, decode: func(n *node) {
			at[status] = n.at
			items := []*node{n}
			if n.kind == list {
				items = d.unique(n.items)
				if len(items) == 0 {
					d.report(n.at, "", "%q is empty: leave it out if nothing is to be moved", n.name)
				}
			}
			for _, item := range items {
				name := d.given(item, d.text(item))
				if strings.Contains(name, ",") {
					d.report(item.at, "several are written in [ ]", "the name of a transition or status cannot be %q: it contains a comma", name)
				}
				if name != "" {
					moves[status] = append(moves[status], name)
				}
			}
		}}
	}
	d.object(n, "the transitions", fields...)
	return moves
}

// maxGiven is how long a name in another system may be, in characters.
const maxGiven = 255

// given reads a name in another system, as n gives it: text that is not empty.
func (d *decoder) given(n *node, value string) string {
	value = strings.TrimSpace(value)
	_, named := variable(n.text)
	switch {
	case value == "" && n.kind == text && !n.item && !named:
		d.report(n.at, "", "%q is empty", n.name)
	case utf8.RuneCountInString(value) > maxGiven:
		d.report(n.at, "", "%q is longer than %d characters", n.name, maxGiven)
	case strings.ContainsAny(value, "\n\t"):
		d.report(n.at, "", "%q contains the end of a line or a tab", n.name)
	}
	return value
}
