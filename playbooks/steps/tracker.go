package steps

import (
	"context"
	"time"

	"github.com/muster-release/muster/playbooks"
)

// Issue is the release issue as it ought to look. Everything is plain text.
type Issue struct {
	Run         string // marks the issue, so that it can be found again
	Title       string
	Description string // how things stand, a sentence or a fact a line
	Status      string // "planned", "waiting", "deploying", "held", "released", "failed", "aborted", "rolled back"
	Fields      map[string]string
	Plan        string // the plan in words, preformatted
	// Digest is that of the plan: somebody who moves the issue answers to what it shows.
	Digest      string
	Environment string
	Modules     []IssueModule
	// Over says that nothing changes any more: a version that was made for the release is
	// released then, if it was, and says so if it was not.
	Over bool
}

// IssueModule is a module of the release.
type IssueModule struct {
	Name    string
	Version string
	From    string             // empty: it was not there
	Changes *playbooks.Changes `json:",omitempty"`
}

// Comment is an entry below an issue. Marker identifies it for ever.
type Comment struct {
	Marker string // run/seq
	Text   string
	Code   string // preformatted, below Text; empty: nothing
}

// Tracker keeps release issues. After an error without Permanent() or
// RetryAfter() a write may have happened: Find or Commented before repeating it.
type Tracker interface {
	// Find looks for the issue that carries the mark of run, which somebody may have tried to
	// create at the time tried. A tracker whose index lags answers an error with RetryAfter()
	// until the index would know it. Where two are found, the other is put away.
	Find(ctx context.Context, run string, tried time.Time) (key string, found bool, err error)
	// Create makes the issue. With an error it may return a key as well: then the issue is there, and
	// Update does what is missing.
	Create(ctx context.Context, i Issue) (key string, err error)
	// Update makes the issue look like i.
	Update(ctx context.Context, key string, i Issue) error
	Comment(ctx context.Context, key string, c Comment) error
	// Commented reports whether a comment with that marker is there.
	Commented(ctx context.Context, key, marker string) (bool, error)
}
