package playbooks

import (
	"encoding/json"
	"time"
)

// EventType names what happened. A type is never given another meaning; a new
// meaning is a new type. A reader that does not know a type refuses the log.
type EventType string

// Events of a run's log.
const (
	EventCreated    EventType = "created"    // first of every run: Digest, Environment, By, Request
	EventStarted    EventType = "started"    // a step's intent: Step, Attempt, Key; durable before any effect
	EventNoted      EventType = "noted"      // a running step reports something worth keeping: Status, Message
	EventSucceeded  EventType = "succeeded"  // Step, Attempt, Message, Evidence
	EventFailed     EventType = "failed"     // Step, Attempt, Message, Absent: whether the effect never happened; Until: when it is tried again by itself
	EventUnknown    EventType = "unknown"    // Step, Attempt, Message: nobody can tell whether the effect happened
	EventStalled    EventType = "stalled"    // Step: a running step has stopped reporting
	EventRetried    EventType = "retried"    // Step: a failed or unknown step may start again
	EventSkipped    EventType = "skipped"    // Step, Reason: goes on as if it had succeeded
	EventConfirmed  EventType = "confirmed"  // Step, Outcome: a person says how an unknown step ended
	EventAsked      EventType = "asked"      // Step, Digest: people were asked to approve what Digest shows
	EventApproved   EventType = "approved"   // Step, Digest (the playbook that was shown), Via, Until
	EventUnapproved EventType = "unapproved" // Step: By takes an approval back
	EventRejected   EventType = "rejected"   // Step, Reason
	EventExpired    EventType = "expired"    // Step, Person: an approval's time is over
	EventPaused     EventType = "paused"
	EventResumed    EventType = "resumed"
	EventAborting   EventType = "aborting"  // running steps are stopped, nothing begins
	EventAdopted    EventType = "adopted"   // Digest: the run goes on with another playbook; Rollback: to undo
	EventAnnotated  EventType = "annotated" // Message
	EventQueued     EventType = "queued"    // Step: waits for locks that others hold
	EventCompleted  EventType = "completed" // Outcome: the run is over
)

// Events of an environment's log.
const (
	EventEnqueued EventType = "enqueued" // Run waits for Locks
	EventLocked   EventType = "locked"   // Run has Locks, all of them
	EventUnlocked EventType = "unlocked" // Run has no locks and no place in the queue any more
	EventFrozen   EventType = "frozen"   // Freeze
	EventUnfrozen EventType = "unfrozen" // Module, or the environment when empty
	EventLive     EventType = "live"     // Live: a run has verified what is live in a place
	EventRefused  EventType = "refused"  // Message, Reason (the rule): a command that came to nothing
)

// Event is one entry of a log. Each type uses the fields that its comment
// names, besides Time and By. Stored as JSON; fields may be added.
type Event struct {
	Type EventType `json:"type"`
	Time time.Time `json:"time"`
	By   string    `json:"by,omitempty"`  // a person's id; empty: Muster itself
	Via  string    `json:"via,omitempty"` // the door it came through: "slack", "http", "gitlab", "clock"
	// Rule names the rule or train that spoke for By; empty: By did.
	Rule string `json:"rule,omitempty"`
	// Cause identifies the delivery (message, click, webhook) that led to the
	// event. A command whose cause is in the log already is not carried out again.
	Cause string `json:"cause,omitempty"`

	Run         string    `json:"run,omitempty"`
	Environment string    `json:"environment,omitempty"`
	Step        string    `json:"step,omitempty"`
	Module      string    `json:"module,omitempty"`
	Attempt     int       `json:"attempt,omitempty"`
	Key         string    `json:"key,omitempty"` // idempotency key of the attempt
	Digest      Digest    `json:"digest,omitzero"`
	Message     string    `json:"message,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	Outcome     Outcome   `json:"outcome,omitempty"`
	Until       time.Time `json:"until,omitzero"`
	Person      string    `json:"person,omitempty"`
	Absent      bool      `json:"absent,omitempty"`
	Rollback    bool      `json:"rollback,omitempty"`

	Status   json.RawMessage `json:"status,omitempty"` // a step's own memory, opaque
	Evidence []Evidence      `json:"evidence,omitempty"`
	Request  *Request        `json:"request,omitempty"`
	Locks    []Place         `json:"locks,omitempty"`
	Freeze   *Freeze         `json:"freeze,omitempty"`
	Live     *Live           `json:"live,omitempty"`
}

// Evidence is what a step's outcome rests on: a figure, a link, an excerpt.
type Evidence struct {
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
	Link string `json:"link,omitempty"`
}

// Outcome says how a run, or a step that a person confirms, ended.
type Outcome string

const (
	Succeeded  Outcome = "succeeded"
	Failed     Outcome = "failed"
	Aborted    Outcome = "aborted"
	Rejected   Outcome = "rejected"
	RolledBack Outcome = "rolled-back"
)
