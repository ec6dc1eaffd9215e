// Package jira is Muster's adapter for Jira: it keeps the release issue with its fix
// version, links and comments, knows stories and answers gates about them, and takes in
// what people do in Jira. It decides nothing: what comes in is authenticated, decoded and
// handed on.
//
// It speaks to Jira Cloud (/rest/api/3, documents in Atlassian's format, an API token) and to
// Jira Data Center (/rest/api/2, wiki markup, a personal access token).
//
// Errors follow package steps: one with Permanent() or RetryAfter() had no effect, after any other
// nobody knows, and everything here looks before it writes.
package jira

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/muster-release/muster/playbooks"
)

// System is Jira's name in Person.Handles, in events and in what is said to people.
const System = "jira"

// What becomes of what people change in a release issue: see Options.Edits.
const (
	EditsRepair  = "repair"
	EditsRespect = "respect"
)

// DefaultIndexLag is how long a new issue may be missing from searches. Jira's index lags
// by seconds, rarely by minutes.
const DefaultIndexLag = 5 * time.Minute

// Options are what a Jira needs. URL, Token, Project and IssueType are required.
//
// A template is text with {run}, {environment}, {digest}, {title}, {status}, {date} (of the
// day on which the issue was made, UTC, as 2006-01-02) and {modules} ("api v1.4.0, web v2.1.0");
// a brace that is meant is doubled.
type Options struct {
	// URL is where people find Jira, a context path included.
	URL string
	// Email is of the account that the API token is of, for Cloud. Empty: Token is a personal
	// access token of Data Center.
	Email string
	Token string
	// WebhookSecret authenticates what Jira delivers. Empty: everything is refused.
	WebhookSecret string

	// Instance tells one Muster from others that use the same Jira; it is part of the label that
	// marks a release issue. Letters, digits and dashes; empty: this is the only one.
	Instance  string
	Project   string // key of the project that release issues are in
	IssueType string // name
	Labels    []string
	// Fields are more fields of the release issue, by name or ID: templates.
	Fields map[string]string
	// Transitions say how an issue follows the release: by the status of steps.Issue the name
	// of a transition or of the status it leads to, or several, one after the other. A status
	// that is not named moves nothing.
	Transitions map[string][]string
	// TransitionFields are what a transition is given that requires a field, by its name or ID.
	TransitionFields map[string]string
	// FixVersion is the name of the version that is made for a release, a template. Empty: none.
	FixVersion string
	// LinkType is the name of the link from the release issue to a story; empty: "Relates".
	LinkType string
	// Edits is what becomes of a field that somebody else changed: EditsRepair puts back what
	// Muster says, EditsRespect leaves it. Empty: EditsRepair.
	Edits string
	// IndexLag is how long a new issue may be missing from searches; 0: DefaultIndexLag.
	IndexLag time.Duration

	// ApproveStatus and RejectStatus are statuses: who moves a release issue there answers to its
	// approval. Empty: no status does.
	ApproveStatus, RejectStatus string
	// StoryProjects are the keys of the projects whose issues are stories. Empty: all are.
	StoryProjects []string

	// Changes says what a module's version brings that is not live in an environment, for the
	// gates. Called concurrently. Nil: gates that need it are refused.
	Changes func(ctx context.Context, environment, module, version string) (playbooks.Changes, error)

	// Catalog returns the catalog as it is now. Called often and concurrently. Nil: an empty one.
	Catalog func() *playbooks.Catalog
	// HTTP makes the calls. Nil: a client of its own.
	HTTP *http.Client
	Log  *slog.Logger // nil: nothing is logged
}
