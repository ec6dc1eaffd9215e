package steps

import "context"

// Issue is the release issue as it ought to look. Everything is plain text.
type Issue struct {
	Run         string // marks the issue, so that it can be found again
	Title       string
	Description string
	Status      string // "planned", "waiting", "deploying", "held", "released", "failed", "aborted", "rolled back"
	Fields      map[string]string
}

// Comment is an entry below an issue. Marker identifies it for ever.
type Comment struct {
	Marker string // run/seq
	Text   string
}

// Tracker keeps release issues. After an error without Permanent() or
// RetryAfter() a write may have happened: Find or Commented before repeating it.
type Tracker interface {
	// Find looks for the issue that carries the mark of run.
	Find(ctx context.Context, run string) (key string, found bool, err error)
	Create(ctx context.Context, i Issue) (key string, err error)
	// Update makes the issue look like i.
	Update(ctx context.Context, key string, i Issue) error
	Comment(ctx context.Context, key string, c Comment) error
	// Commented reports whether a comment with that marker is there.
	Commented(ctx context.Context, key, marker string) (bool, error)
}
