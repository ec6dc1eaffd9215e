package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
)

// Hash is the SHA-256 of a record and of all records before it in its log:
// sha256(previous hash || seq as 8 bytes, big endian || record). The first
// record's previous hash is the SHA-256 of the log's name. A blob's Hash is
// the SHA-256 of its bytes. Its text form is 64 hexadecimal digits.
type Hash [sha256.Size]byte

// String returns all 64 digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) {
	return hex.AppendEncode(make([]byte, 0, 2*len(h)), h[:]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := hex.AppendDecode(nil, text)
	if err != nil || len(b) != len(h) {
		return fmt.Errorf("hash %q: want %d hexadecimal digits", text, 2*len(h))
	}
	*h = Hash(b)
	return nil
}

// Head is the end of a log. The zero Head is that of a log without records.
type Head struct {
	Len  uint64 `json:"len"`
	Hash Hash   `json:"hash"`
}

// Record is one entry of a log. Seq counts from 1.
type Record struct {
	Seq  uint64
	Hash Hash
	Data []byte
}

// Append adds Records to the log named Log, which must have exactly Expect
// records. Without Records it is a condition alone.
type Append struct {
	Log     string
	Expect  uint64
	Records [][]byte
}

// Set is a plain key that is written together with an append. A nil Value
// deletes the key.
type Set struct {
	Key   string
	Value []byte
}

// LogHead is a log's name with its head.
type LogHead struct {
	Log string
	Head
}

// Logs is what the rest of Muster uses of a Store: logs, plain keys and blobs.
// Every method may be called concurrently. What it returns belongs to the caller.
type Logs struct{ s Store }

// NewLogs returns the logs kept in s.
func NewLogs(s Store) *Logs { return &Logs{s} }

// Store returns the store below.
func (l *Logs) Store() Store { return l.s }

// Submit appends to several logs and sets keys as one transaction. The answer
// is nil when stored; it wraps ErrConflict when a log did not have the expected
// length, and ErrUnknown as Store.Update says. Order is that of Store.Submit.
// What the slices hold must not change before the answer is there.
func (l *Logs) Submit(appends []Append, sets []Set) <-chan error {
	if err := checkWrite(appends, sets); err != nil {
		answer := make(chan error, 1)
		answer <- err
		return answer
	}
	return l.s.Submit(func(t Txn) error { return write(t, appends, sets) })
}

// Append is Submit that waits. After an error that wraps ErrUnknown the write
// may still be under way, so the slices are not to be changed even then.
func (l *Logs) Append(ctx context.Context, appends []Append, sets []Set) error {
	if err := checkWrite(appends, sets); err != nil {
		return err
	}
	return l.s.Update(ctx, func(t Txn) error { return write(t, appends, sets) })
}

func checkWrite(appends []Append, sets []Set) error {
	for i, a := range appends {
		if err := checkLog(a.Log); err != nil {
			return fmt.Errorf("store: append: %w", err)
		}
		// Both would be compared with the same head, and the second would write
		// over the first.
		for _, b := range appends[:i] {
			if a.Log == b.Log {
				return fmt.Errorf("store: append: log %q is named twice", a.Log)
			}
		}
	}
	for _, set := range sets {
		if set.Key == "" {
			return errors.New("store: set: empty key")
		}
	}
	return nil
}

// scratch is what one write needs besides its arguments. Writes are the busiest
// path of a store, and they run one after the other.
type scratch struct {
	chain    *chain
	key, val []byte
	heads    []Head
}

var scratches = sync.Pool{New: func() any { return &scratch{chain: newChain()} }}

// write carries out Submit. Every log is compared with what is expected of it
// before anything is written.
func write(t Txn, appends []Append, sets []Set) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.heads = s.heads[:0]
	for _, a := range appends {
		s.key = appendHeadKey(s.key[:0], a.Log)
		h, err := readHead(t, s.key)
		if err != nil {
			return fmt.Errorf("store: append to %q: %w", a.Log, err)
		}
		if h.Len != a.Expect {
			return fmt.Errorf("store: append to %q: it has %d records, not %d: %w", a.Log, h.Len, a.Expect, ErrConflict)
		}
		s.heads = append(s.heads, h)
	}
	for i, a := range appends {
		if err := s.append(t, s.heads[i], a); err != nil {
			return fmt.Errorf("store: append to %q: %w", a.Log, err)
		}
	}
	for _, set := range sets {
		s.key = append(append(s.key[:0], plainPrefix...), set.Key...)
		var err error
		if set.Value == nil {
			err = t.Delete(s.key)
		} else {
			err = t.Put(s.key, set.Value)
		}
		if err != nil {
			return fmt.Errorf("store: set %q: %w", set.Key, err)
		}
	}
	return nil
}

func (s *scratch) append(t Txn, h Head, a Append) error {
	if len(a.Records) == 0 {
		return nil
	}
	if h.Len == 0 {
		h.Hash = seed(a.Log)
	}
	for _, data := range a.Records {
		h.Len++
		h.Hash = s.chain.next(h.Hash, h.Len, data)
		s.key = appendRecordKey(s.key[:0], a.Log, h.Len)
		s.val = append(append(s.val[:0], h.Hash[:]...), data...)
		if err := t.Put(s.key, s.val); err != nil {
			return err
		}
	}
	s.key = appendHeadKey(s.key[:0], a.Log)
	s.val = appendHead(s.val[:0], h)
	return t.Put(s.key, s.val)
}
