package steps

import (
	"context"
	"time"
)

// Page is what people on call are told: that something needs them, that somebody
// has taken it up, that it is over.
type Page struct {
	// Key identifies the incident for ever: pages with one Key are about one incident,
	// however often each of them arrives.
	Key     string
	State   PageState
	Summary string // in a line
	// Severity is "critical", "error", "warning" or "info".
	Severity string
	// Service is the module that it is about, the first of several; empty: none.
	Service string
	Group   string // the environment
	Class   string // why: "unattended", "rollback-failed", "unknown-step"
	Details map[string]string
	Link    string // to the release; empty: there is none
	At      time.Time
}

// PageState is where an incident stands.
type PageState string

const (
	PageTriggered    PageState = "trigger"
	PageAcknowledged PageState = "acknowledge"
	PageResolved     PageState = "resolve"
)

// Pager calls people. Page makes the incident stand where p says; it may be repeated
// after any error.
type Pager interface {
	Page(ctx context.Context, p Page) error
}

// Duty is somebody who is on call.
type Duty struct {
	Name  string
	Email string
	Until time.Time // zero: not known
}

// Rota knows who is on call. Its method has no effect. An error that is Gone
// says that there is no such schedule.
type Rota interface {
	OnCall(ctx context.Context, schedule string) ([]Duty, error)
}
