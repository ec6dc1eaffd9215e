package local

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/muster-release/muster/playbooks/steps"
)

// Tracker keeps issues, REL-1 and on. It is a steps.Tracker. Asked to create
// twice, it makes two issues.
type Tracker struct {
	wire *wire

	mu     sync.Mutex
	log    *journal
	issues []TrackedIssue // REL-n is at n-1
}

var _ steps.Tracker = (*Tracker)(nil)

// TrackedIssue is an issue as people see it in the tracker.
type TrackedIssue struct {
	steps.Issue
	Key      string
	Created  time.Time
	Updated  time.Time
	Comments []steps.Comment // oldest first
}

func newTracker(w *wire, log *journal) *Tracker {
	t := &Tracker{wire: w, log: log}
	for _, e := range log.entries {
		t.apply(e)
	}
	return t
}

// apply is the only thing that changes the state.
func (t *Tracker) apply(e Entry) {
	if e.Kind == EntryCreated {
		t.issues = append(t.issues, TrackedIssue{Issue: *e.Issue, Key: e.Key, Created: e.Time, Updated: e.Time})
		return
	}
	i := t.index(e.Key)
	if i < 0 {
		return
	}
	issue := &t.issues[i]
	issue.Updated = e.Time
	switch e.Kind {
	case EntryUpdated:
		issue.Issue = *e.Issue
	case EntryCommented:
		issue.Comments = append(issue.Comments, *e.Comment)
	}
}

// record appends e and applies it.
func (t *Tracker) record(e Entry) error {
	e, err := t.log.append(e)
	if err == nil {
		t.apply(e)
	}
	return err
}

func (t *Tracker) index(key string) int {
	return slices.IndexFunc(t.issues, func(i TrackedIssue) bool { return i.Key == key })
}

// change records e for an issue that must be there.
func (t *Tracker) change(e Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.index(e.Key) < 0 {
		return refuse("there is no such issue")
	}
	return t.record(e)
}

// Find implements steps.Tracker. Of several issues with the mark it finds the
// oldest.
func (t *Tracker) Find(ctx context.Context, run string, _ time.Time) (string, bool, error) {
	key, err := call(ctx, t.wire, Call{System: "tracker", Method: "Find", Key: run}, func() (string, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, i := range t.issues {
			if i.Run == run {
				return i.Key, nil
			}
		}
		return "", nil
	})
	return key, key != "", err
}

// Create implements steps.Tracker.
func (t *Tracker) Create(ctx context.Context, i steps.Issue) (string, error) {
	return call(ctx, t.wire, Call{System: "tracker", Method: "Create", Key: i.Run}, func() (string, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		key := fmt.Sprintf("REL-%d", len(t.issues)+1)
		return key, t.record(Entry{Kind: EntryCreated, Key: key, Run: i.Run, Issue: &i})
	})
}

// Update implements steps.Tracker.
func (t *Tracker) Update(ctx context.Context, key string, i steps.Issue) error {
	_, err := call(ctx, t.wire, Call{System: "tracker", Method: "Update", Key: key}, func() (struct{}, error) {
		return struct{}{}, t.change(Entry{Kind: EntryUpdated, Key: key, Run: i.Run, Issue: &i})
	})
	return err
}

// Comment implements steps.Tracker. The same comment twice stands there twice.
func (t *Tracker) Comment(ctx context.Context, key string, c steps.Comment) error {
	_, err := call(ctx, t.wire, Call{System: "tracker", Method: "Comment", Key: key}, func() (struct{}, error) {
		return struct{}{}, t.change(Entry{Kind: EntryCommented, Key: key, Comment: &c})
	})
	return err
}

// Commented implements steps.Tracker.
func (t *Tracker) Commented(ctx context.Context, key, marker string) (bool, error) {
	return call(ctx, t.wire, Call{System: "tracker", Method: "Commented", Key: key}, func() (bool, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		i := t.index(key)
		if i < 0 {
			return false, refuse("there is no such issue")
		}
		return slices.ContainsFunc(t.issues[i].Comments, func(c steps.Comment) bool { return c.Marker == marker }), nil
	})
}

// Issues returns all issues, oldest first.
func (t *Tracker) Issues() []TrackedIssue {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := slices.Clone(t.issues)
	for i := range all {
		all[i].Comments = slices.Clone(all[i].Comments)
	}
	return all
}

// Journal returns what happened to the tracker, oldest first.
func (t *Tracker) Journal() []Entry { return t.log.all() }
