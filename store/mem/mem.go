// Package mem is a store in memory, for tests: it keeps the whole contract of
// store.Store and can fail the way a disk and a process fail.
//
// It has no goroutines. A transaction is committed by the one who submits it, so
// it is at home in a testing/synctest bubble, and one seed gives one history.
package mem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"syscall"

	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/internal/txn"
)

// ErrCrashed answers every call after a crash, until Reopen.
var ErrCrashed = errors.New("mem: crashed")

// Fault is what becomes of a write.
type Fault int

const (
	None        Fault = iota
	DiskFull          // not stored; the error says so, and is syscall.ENOSPC
	LostAnswer        // stored, but the error wraps store.ErrUnknown
	LostWrite         // not stored, and the error wraps store.ErrUnknown just the same
	CrashBefore       // not stored, the store has crashed
	CrashAfter        // stored, the store has crashed
)

// Options are for New. The zero Options are those of a store without faults.
type Options struct {
	// Before is called before each transaction that writes, and decides what
	// becomes of it. N counts from 1 and goes on after Reopen. Calls never overlap,
	// and must not call the store.
	Before func(n int) Fault
}

// Store is a handle on content in memory.
type Store struct {
	d    *disk
	down error // guarded by d.mu: nil, store.ErrClosed or ErrCrashed
}

// disk is what outlives a crash.
type disk struct {
	mu     sync.Mutex
	root   *node
	writes int
	before func(int) Fault
}

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New(opts Options) *Store {
	return &Store{d: &disk{before: opts.Before}}
}

// Crash ends the store as if its process had been killed: what was committed
// stays, and every later call is answered with ErrCrashed.
func (s *Store) Crash() {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.down = ErrCrashed
}

// Reopen returns a new handle on the content of s, after a crash or Close. An s
// that is still open crashes.
func (s *Store) Reopen() *Store {
	s.Crash()
	return &Store{d: s.d}
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, fn func(store.Reader) error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("mem: view: %w", context.Cause(ctx))
	}
	s.d.mu.Lock()
	root, err := s.d.root, s.down
	s.d.mu.Unlock()
	if err != nil {
		return err
	}
	return fn(&tx{root: root})
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, fn func(store.Txn) error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("mem: update: %w", context.Cause(ctx))
	}
	return s.commit(fn)
}

// Submit implements store.Store. The answer is there when it returns.
func (s *Store) Submit(fn func(store.Txn) error) <-chan error {
	answer := make(chan error, 1)
	answer <- s.commit(fn)
	return answer
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	s.down = store.ErrClosed
	return nil
}

func (s *Store) commit(fn func(store.Txn) error) error {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	t := &tx{root: s.d.root}
	err := txn.Run(fn, t)
	if p := (*txn.PanicError)(nil); errors.As(err, &p) {
		return fmt.Errorf("%w\n%s", err, p.Stack)
	}
	if err != nil {
		return err
	}
	if err := t.size.Err(); err != nil {
		return err
	}
	if t.size.Ops == 0 {
		return nil
	}
	s.d.writes++
	fault := None
	if s.d.before != nil {
		fault = s.d.before(s.d.writes)
	}
	if fault == None || fault == LostAnswer || fault == CrashAfter {
		s.d.root = t.root
	}
	switch fault {
	case DiskFull:
		return fmt.Errorf("mem: write %d: nothing was stored: %w", s.d.writes, syscall.ENOSPC)
	case LostAnswer, LostWrite:
		return fmt.Errorf("mem: write %d: %w", s.d.writes, store.ErrUnknown)
	case CrashBefore, CrashAfter:
		s.down = ErrCrashed
		return fmt.Errorf("mem: write %d: %w: %w", s.d.writes, ErrCrashed, store.ErrUnknown)
	}
	return nil
}

// tx is a transaction: a root of its own.
type tx struct {
	root *node
	size txn.Size
}

func (t *tx) Get(key []byte) ([]byte, error) { return t.root.get(key), nil }

func (t *tx) Scan(from, to []byte) iter.Seq2[store.Pair, error] {
	root := t.root
	return func(yield func(store.Pair, error) bool) { root.scan(from, to, yield) }
}

func (t *tx) Put(key, value []byte) error {
	if err := t.size.Add(key, value); err != nil {
		return err
	}
	t.root = t.root.put(bytes.Clone(key), append([]byte{}, value...))
	return nil
}

func (t *tx) Delete(key []byte) error {
	if err := t.size.Add(key, nil); err != nil {
		return err
	}
	t.root = t.root.remove(key)
	return nil
}
