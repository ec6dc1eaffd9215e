// Package events is the port through which Muster hears of what happens in other
// systems: a tag that was pushed, a story that was moved, an alert that fires. It
// knows no vendor, and decides nothing.
//
// An event is a hint. It may come twice, late, out of order or not at all, so what is
// true is asked of the system itself, through an Origin, before anything follows.
package events

import (
	"context"
	"time"
)

// Kind says what sort of thing happened.
type Kind string

// Kinds of event. Which fields each has is said beside it; every event of a forge has
// "project" and most have "ref" and "commit".
const (
	Push         Kind = "push"          // branch, commit, message
	Tag          Kind = "tag"           // tag, commit; "deleted" is "true" where it was taken away
	MergeRequest Kind = "merge-request" // number, action, source, target, commit, state, labels
	Pipeline     Kind = "pipeline"      // pipeline, ref, commit, status, source
	Job          Kind = "job"           // job, name, stage, pipeline, ref, commit, status
	Deployment   Kind = "deployment"    // deployment, environment, ref, commit, status
	Release      Kind = "release"       // tag, action
	Note         Kind = "note"          // comments that are no command of Muster's; number where on a merge request, else issue

	IssueMoved      Kind = "issue-moved"      // issue, project, type, from, to, labels, components, versions; digest: see Event
	IssueLabelled   Kind = "issue-labelled"   // issue, project, type, label, status
	VersionReleased Kind = "version-released" // project, version

	AlertFiring   Kind = "alert-firing"   // alert, severity, fingerprint, summary, and the alert's labels as "label.NAME"
	AlertResolved Kind = "alert-resolved" // as AlertFiring
)

// Event is something that happened outside, as an adapter decoded it.
type Event struct {
	// ID is that of the delivery: the same however often it is delivered, and no other
	// event of that Source has it.
	ID     string
	Source string // the adapter's system: "gitlab", "jira", "alertmanager"
	Kind   Kind
	// Subject is what it is about: events of one subject are handled one after the other.
	Subject string
	// Fact identifies what happened, however Muster came to know of it: by two deliveries, or
	// by looking. The same Fact starts a release once. Empty: nothing can follow from it but
	// a look.
	Fact string
	At   time.Time // when it happened, by the system's clock
	From string    // who did it, as that system knows them; empty: nobody, or not known
	By   string    // the same for people to read; empty: From is that already
	// Fields are what filters compare and templates fill in. Fields "run" and "digest" of an
	// issue are those of the release issue, as it showed them at the time of the event.
	Fields map[string]string
	Link   string
}

// Origin is the system that events come from. Its methods have no effect, and may
// be called concurrently.
type Origin interface {
	// Confirm returns what is true now of what an event hints at, and found false where
	// nothing is: the tag is gone, the issue was moved back. A push becomes that of the
	// branch's head as it is now.
	Confirm(ctx context.Context, e Event) (now Event, found bool, err error)
	// Missed lists what has happened since a time, oldest first, as far as the system can
	// tell; ID and Fact are those that a delivery would have had, or Fact alone. It is called
	// now and then to find what was never delivered.
	Missed(ctx context.Context, since time.Time) ([]Event, error)
}

// Intake takes events. When Take returns nil all of them are durable and may be
// acknowledged. An event that is taken again, with the same ID, is the same event.
type Intake interface {
	Take(ctx context.Context, all ...Event) error
}
