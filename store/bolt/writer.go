package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"

	bolt "go.etcd.io/bbolt"

	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/internal/txn"
)

// Bounds of one commit: beyond them a commit takes so long that it no longer
// pays to share it.
const (
	commitOps   = 8192
	commitBytes = 8 << 20
)

// fillPercent makes fuller pages than bbolt's 50: logs grow at their ends, so
// what a page keeps free for keys in between is mostly wasted.
const fillPercent = 0.9

// request is a transaction on its way.
type request struct {
	fn     func(store.Txn) error
	answer chan error
	err    error
	state  atomic.Int32
}

// A request is waiting until either the writer takes it or Update gives it up.
const (
	waiting = iota
	taken
	givenUp
)

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, fn func(store.Txn) error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("bolt: update: %w", context.Cause(ctx))
	}
	r := s.submit(fn)
	select {
	case err := <-r.answer:
		return err
	case <-ctx.Done():
	}
	if r.state.CompareAndSwap(waiting, givenUp) {
		return fmt.Errorf("bolt: update: %w", context.Cause(ctx))
	}
	select {
	case err := <-r.answer:
		return err
	default:
		return fmt.Errorf("bolt: update: %w: %w", store.ErrUnknown, context.Cause(ctx))
	}
}

// Submit implements store.Store.
func (s *Store) Submit(fn func(store.Txn) error) <-chan error { return s.submit(fn).answer }

func (s *Store) submit(fn func(store.Txn) error) *request {
	r := &request{fn: fn, answer: make(chan error, 1)}
	s.mu.Lock()
	var err error
	switch {
	case s.closed:
		err = store.ErrClosed
	case s.opts.ReadOnly:
		err = errReadOnly
	default:
		s.queue = append(s.queue, r)
	}
	s.mu.Unlock()
	if err != nil {
		r.state.Store(taken)
		r.answer <- err
		return r
	}
	s.wakeWriter()
	return r
}

func (s *Store) wakeWriter() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// writer is the state of the goroutine that writes.
type writer struct {
	t transaction // used again for each request
	// broken is set for good when bbolt panicked over what is in the file, because
	// nobody knows what it would do to it next.
	broken error
	// commit is (*bolt.Tx).Commit, except in tests of what happens when it fails.
	commit func(*bolt.Tx) error
}

// write commits what is submitted until Close.
func (s *Store) write() {
	defer close(s.done)
	debug.SetPanicOnFault(true) // see View
	var batch []*request
	for {
		batch = s.take(batch)
		if len(batch) == 0 {
			return
		}
		for rest := batch; len(rest) > 0; {
			n := s.commit(rest)
			for _, r := range rest[:n] {
				r.answer <- r.err
			}
			rest = rest[n:]
		}
		clear(batch)
	}
}

// take waits for requests and returns all there are, none after Close.
func (s *Store) take(batch []*request) []*request {
	for {
		s.gather()
		s.mu.Lock()
		batch = append(batch[:0], s.queue...)
		clear(s.queue)
		s.queue = s.queue[:0]
		closed := s.closed
		s.mu.Unlock()
		if len(batch) > 0 || closed {
			return batch
		}
		<-s.wake
	}
}

// patience is how often gather gives way without success: some microseconds,
// where a commit takes a millisecond. It is not 1, because another processor may
// be through with its turn before the next request is there.
const patience = 32

// gather gives way for as long as that brings more requests. Those whom the
// last commit answered are about to submit again; without this the first of
// them would get a commit to themselves while the others wait for the next.
func (s *Store) gather() {
	for n, idle := 0, 0; idle < patience; idle++ {
		s.mu.Lock()
		queued := len(s.queue)
		s.mu.Unlock()
		if queued == 0 {
			return
		}
		if queued > n {
			n, idle = queued, 0
		}
		runtime.Gosched()
	}
}

// commit runs requests, in order, and commits what those of them wrote that
// did not fail. It returns how many it took and leaves the answer of each in
// its err.
func (s *Store) commit(batch []*request) int {
	tx, err := s.begin()
	if err != nil {
		for _, r := range batch {
			r.state.CompareAndSwap(waiting, taken)
			r.err = err
		}
		return len(batch)
	}
	t := &s.w.t
	defer t.arena.reset()
	if t.b, err = root(tx); err == nil {
		t.b.FillPercent = fillPercent
	}
	n, ops, bytes := 0, 0, 0
	for err == nil && n < len(batch) && ops < commitOps && bytes < commitBytes {
		r := batch[n]
		n++
		if !r.state.CompareAndSwap(waiting, taken) {
			continue
		}
		if r.err = s.run(t, r.fn); r.err != nil {
			continue
		}
		err = t.apply()
		ops += t.size.Ops
		bytes += t.size.Bytes
	}
	t.b = nil
	switch {
	case err != nil:
		n = len(batch)
		err = s.abort(tx, fmt.Errorf("bolt: write: nothing was stored: %w", err))
	case ops == 0 && !s.unsettled.Load():
		tx.Rollback()
	default:
		err = s.finish(tx)
	}
	if err != nil {
		s.log.Error("commit failed", "file", s.path, "transactions", n, "error", err)
	}
	for _, r := range batch[:n] {
		if r.err == nil {
			r.err = err
		}
	}
	return n
}

// run calls fn with t, emptied.
func (s *Store) run(t *transaction, fn func(store.Txn) error) error {
	t.clear()
	err := txn.Run(fn, t)
	if p := (*txn.PanicError)(nil); errors.As(err, &p) {
		s.log.Error("panic in a transaction", "panic", p.Value, "stack", string(p.Stack))
	}
	if err == nil {
		err = t.size.Err()
	}
	return err
}

// begin begins a bbolt transaction. When the file has lost its mapping, it is
// opened anew.
func (s *Store) begin() (*bolt.Tx, error) {
	if s.w.broken != nil {
		return nil, s.w.broken
	}
	tx, err := s.db.Begin(true)
	if err != nil && lostMapping(err) {
		if err = s.reopen(); err == nil {
			tx, err = s.db.Begin(true)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("bolt: write: nothing was stored: %w", err)
	}
	return tx, nil
}

func (s *Store) reopen() error {
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	s.db.Close()
	db, err := openFile(s.path, s.opts)
	if err != nil {
		return err
	}
	s.db = db
	return nil
}

// finish commits tx. What a failure means depends on how far bbolt came. It
// writes and syncs the data pages, then writes the meta page that makes them
// count, then syncs that. Up to the meta page a failure leaves nothing behind,
// and bbolt goes on with the meta page before. After it, bbolt goes on with the
// new one although that may never reach the disk: the answer is unknown, and no
// View is let in before a later commit has been synced, so that nobody acts on
// something that a power failure could still undo. That later commit stands on
// its own feet: it writes the other meta page, and all data pages it rests on
// were synced before.
func (s *Store) finish(tx *bolt.Tx) error {
	id := tx.ID()
	err := s.callCommit(tx)
	if err == nil {
		s.unsettled.Store(false)
		return nil
	}
	if s.w.broken != nil {
		return err
	}
	look, lookErr := s.db.Begin(false)
	if lookErr == nil {
		defer look.Rollback()
	}
	// A mapping is only lost while space is allocated, before anything is written.
	if lostMapping(lookErr) || lookErr == nil && look.ID() < id {
		return fmt.Errorf("bolt: commit: nothing was stored: %w", withErrno(err))
	}
	s.unsettled.Store(true)
	return fmt.Errorf("bolt: commit: %w: %w", store.ErrUnknown, withErrno(err))
}

func (s *Store) callCommit(tx *bolt.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.abort(tx, fmt.Errorf("bolt: commit: %w: %w: %v", store.ErrUnknown, store.ErrCorrupt, p))
		}
	}()
	return s.w.commit(tx)
}

// abort gives up a transaction in which bbolt failed over the file's content,
// and with it all writing. It returns err.
func (s *Store) abort(tx *bolt.Tx, err error) error {
	s.w.broken = fmt.Errorf("bolt: write: nothing was stored: %w: writing ended for good after: %v", store.ErrCorrupt, err)
	defer func() { recover() }()
	tx.Rollback()
	return err
}

// withErrno makes the cause of a failed commit findable with errors.Is where
// bbolt kept only its text (in grow and allocate of its db.go).
func withErrno(err error) error {
	for _, no := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EIO, syscall.ENOMEM} {
		if !errors.Is(err, no) && strings.HasSuffix(err.Error(), no.Error()) {
			return fmt.Errorf("%w (%w)", err, no)
		}
	}
	return err
}
