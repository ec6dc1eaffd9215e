package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// EntryKind says what happened in a system.
type EntryKind string

const (
	// Of the cluster and the forge.

	EntrySeeded    EntryKind = "seeded"    // Place, Version, Since: live from the beginning
	EntryStarted   EntryKind = "started"   // a rollout or job began: Key to Fault
	EntryDuplicate EntryKind = "duplicate" // an order with a known Key; nothing was done
	EntryStopped   EntryKind = "stopped"   // Key
	EntryBuilt     EntryKind = "built"     // Build

	// Of the tracker, with the issue's key as Key.

	EntryCreated   EntryKind = "created"   // Issue
	EntryUpdated   EntryKind = "updated"   // Issue; in the chat ID, Card
	EntryCommented EntryKind = "commented" // Comment

	// Of the chat. The Seq of what was posted or said is its ID.

	EntryPosted  EntryKind = "posted"  // Key, Message
	EntryDeleted EntryKind = "deleted" // ID, By
	EntrySaid    EntryKind = "said"    // Event
	EntryPressed EntryKind = "pressed" // Event
)

var entryKinds = [...]EntryKind{
	EntrySeeded, EntryStarted, EntryDuplicate, EntryStopped, EntryBuilt,
	EntryCreated, EntryUpdated, EntryCommented,
	EntryPosted, EntryDeleted, EntrySaid, EntryPressed,
}

// Entry is one line of a journal. Each kind uses the fields that its comment
// names, besides Seq and Time. Stored as JSON; fields may be added.
type Entry struct {
	Seq  int       `json:"seq"` // from 1
	Time time.Time `json:"time"`
	Kind EntryKind `json:"kind"`

	Key      string             `json:"key,omitempty"`
	Run      string             `json:"run,omitempty"`
	Step     string             `json:"step,omitempty"`
	Attempt  int                `json:"attempt,omitempty"`
	Action   playbooks.StepKind `json:"action,omitempty"`
	Place    playbooks.Place    `json:"place,omitzero"`
	From     string             `json:"from,omitempty"`
	Version  string             `json:"version,omitempty"`
	Share    int                `json:"share,omitempty"` // percent
	Replicas int                `json:"replicas,omitempty"`
	Takes    time.Duration      `json:"takes,omitempty"` // from start to end, in nanoseconds
	Fault    FaultKind          `json:"fault,omitempty"` // stuck, unhealthy or fail

	Since   time.Time             `json:"since,omitzero"`
	Build   *playbooks.BuildState `json:"build,omitempty"`
	Issue   *steps.Issue          `json:"issue,omitempty"`
	Comment *steps.Comment        `json:"comment,omitempty"`
	ID      string                `json:"id,omitempty"`
	By      string                `json:"by,omitempty"`
	Message *chat.Message         `json:"message,omitempty"`
	Card    *chat.Card            `json:"card,omitempty"`
	Event   *chat.Event           `json:"event,omitempty"`
}

// Journals is what happened in each system, oldest first.
type Journals struct {
	Cluster, Forge, Tracker, Chat []Entry
}

// ReadJournals reads the journals in dir without opening the world, also while
// another process has it open. A torn last line is left out, a system without a
// file has no entries.
func ReadJournals(dir string) (Journals, error) {
	var all Journals
	for i, to := range []*[]Entry{&all.Cluster, &all.Forge, &all.Tracker, &all.Chat} {
		entries, _, err := readJournal(journalPath(dir, systems[i]))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Journals{}, fmt.Errorf("local: read journals: %w", err)
		}
		*to = entries
	}
	return all, nil
}

var errClosed = errors.New("the world is closed")

// journal is an append-only list of entries, in a file or in memory alone.
type journal struct {
	mu      sync.Mutex
	file    *os.File // nil: in memory
	size    int64    // of what is known to be whole
	entries []Entry
	err     error // why nothing can be appended any more
}

func journalPath(dir, system string) string { return filepath.Join(dir, system+".jsonl") }

// openJournal opens a system's journal and cuts off a torn last line.
func openJournal(dir, system string) (*journal, error) {
	if dir == "" {
		return &journal{}, nil
	}
	path := journalPath(dir, system)
	entries, size, err := readJournal(path)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isNew {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	j := &journal{file: file, size: size, entries: entries}
	if isNew {
		err = syncDir(dir)
	} else {
		err = file.Truncate(size)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return j, nil
}

// readJournal returns the whole entries of a file and the bytes they take.
func readJournal(path string) ([]Entry, int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, err
	}
	var entries []Entry
	size := 0
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, 0, fmt.Errorf("journal %q, line %d: %w", path, len(entries)+1, err)
		}
		if !slices.Contains(entryKinds[:], e.Kind) || e.Seq != len(entries)+1 {
			return nil, 0, fmt.Errorf("journal %q, line %d: entry %d of kind %q does not belong there; was it written by a newer Muster?",
				path, len(entries)+1, e.Seq, e.Kind)
		}
		entries = append(entries, e)
		size += len(line)
	}
	return entries, int64(size), nil
}

// append makes e durable and returns it as it will be read again, sharing
// nothing with what the caller passed. It sets Seq, and Time unless it is set.
func (j *journal) append(e Entry) (Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return Entry{}, j.err
	}
	e.Seq = len(j.entries) + 1
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	data, err := json.Marshal(e)
	if err != nil {
		return Entry{}, err
	}
	var stored Entry
	if err := json.Unmarshal(data, &stored); err != nil {
		return Entry{}, err
	}
	if err := j.write(append(data, '\n')); err != nil {
		return Entry{}, err
	}
	j.entries = append(j.entries, stored)
	return stored, nil
}

// write adds a line to the file. When it returns an error the line is not
// there, or the journal takes no more.
func (j *journal) write(line []byte) error {
	if j.file == nil {
		return nil
	}
	if _, err := j.file.WriteAt(line, j.size); err != nil {
		if cut := j.file.Truncate(j.size); cut != nil {
			j.err = fmt.Errorf("the journal cannot be written any more: %w", cut)
		}
		return err
	}
	if err := j.file.Sync(); err != nil {
		// What a failed fsync left on disk cannot be found out in this process.
		j.err = fmt.Errorf("the journal cannot be written any more: %w", err)
		return j.err
	}
	j.size += int64(len(line))
	return nil
}

// next is the Seq that the next entry gets, for a caller that is alone in
// appending.
func (j *journal) next() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.entries) + 1
}

// all returns the entries; what they point to must not be changed.
func (j *journal) all() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil || errors.Is(j.err, errClosed) {
		j.err = errClosed
		return nil
	}
	j.err = errClosed
	return j.file.Close()
}
