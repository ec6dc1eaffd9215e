// Package bolt keeps a store in one file of the local disk, with bbolt
// (https://github.com/etcd-io/bbolt).
//
// All writes go through one goroutine, which takes whatever is waiting and
// commits it as one bbolt transaction (group commit): while one commit is being
// synced to the disk, the next gathers. There is no timer, so a lone writer
// waits for nobody.
//
// The file belongs to one process, which bbolt holds with flock. Who it is
// stands in a file next to it, named like it with ".pid" at the end.
//
// A View that begins while a commit is being synced may see it a moment before
// those who wait for it have their answer.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/muster-release/muster/store"
)

// Options are for Open. The zero Options open a file for reading and writing.
type Options struct {
	// LockTimeout is how long Open waits for another process to let go of the
	// file; 0 means a second.
	LockTimeout time.Duration
	// ReadOnly opens an existing file for Views alone, beside other processes
	// that do the same.
	ReadOnly bool
	// Logger is told of failed commits and of panics in transactions; nil means
	// nobody is.
	Logger *slog.Logger
}

// Store is an open file. It implements store.Store.
type Store struct {
	path string
	opts Options
	log  *slog.Logger

	// db is replaced, by the writer and under dbMu, when bbolt has lost its mapping
	// of the file.
	dbMu sync.RWMutex
	db   *bolt.DB

	mu     sync.Mutex
	queue  []*request
	closed bool

	wake chan struct{} // holds one token when there is something to do
	done chan struct{} // closed when the writer has ended

	// unsettled says that a commit failed in a way that leaves open whether it is
	// on the disk. See commit.
	unsettled atomic.Bool

	w writer
}

var _ store.Store = (*Store)(nil)

// errReadOnly answers writes to a store that was opened for reading.
var errReadOnly = errors.New("bolt: opened for reading only")

// Open opens the store in the file at path, which it makes if there is none,
// readable by its owner alone.
//
// A file that is damaged, cut short, of a newer format, or not a store at all is
// refused and left as it is, to the byte. Damage is looked for everywhere in
// files of up to 64 MiB; in larger ones where it would be dangerous to miss,
// and otherwise when it is read (see Check). Such an error wraps store.ErrCorrupt
// when bytes are not what was written.
func Open(path string, opts Options) (*Store, error) {
	if opts.LockTimeout <= 0 {
		opts.LockTimeout = time.Second
	}
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		path: path,
		opts: opts,
		log:  log,
		wake: make(chan struct{}, 1),
		done: make(chan struct{}),
	}
	var err error
	if s.db, err = openFile(path, opts); err != nil {
		return nil, err
	}
	if opts.ReadOnly {
		close(s.done)
		return s, nil
	}
	s.w.commit = (*bolt.Tx).Commit
	go s.write()
	return s, nil
}

// Path returns the path that the store was opened with.
func (s *Store) Path() string { return s.path }

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	s.wakeWriter()
	<-s.done

	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	if !s.opts.ReadOnly {
		removeNote(s.path)
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("bolt: close %q: %w", s.path, err)
	}
	return nil
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, fn func(store.Reader) error) (err error) {
	if ctx.Err() != nil {
		return fmt.Errorf("bolt: view: %w", context.Cause(ctx))
	}
	tx, err := s.beginView(ctx)
	if err != nil {
		return err
	}
	// The file may be cut short while it is mapped, or a sector of it unreadable.
	// That comes as a fault while fn looks at a value; without this it would end
	// the program.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	r := &reader{}
	defer func() {
		r.b = nil
		tx.Rollback()
		p := recover()
		if f, ok := p.(fault); ok {
			err = fmt.Errorf("bolt: view: %w: the file cannot be read: %v", store.ErrCorrupt, f)
		} else if p != nil {
			panic(p)
		}
	}()
	if r.b, err = root(tx); err != nil {
		return err
	}
	return fn(r)
}

// fault is what the runtime panics with for memory that cannot be read.
type fault interface {
	error
	Addr() uintptr
}

// beginView begins a transaction that sees what is certain to be on the disk.
func (s *Store) beginView(ctx context.Context) (*bolt.Tx, error) {
	for settled := false; ; settled = true {
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return nil, store.ErrClosed
		}
		s.dbMu.RLock()
		tx, err := s.db.Begin(false)
		s.dbMu.RUnlock()
		if err == nil && (settled || !s.unsettled.Load()) {
			return tx, nil
		}
		if err == nil {
			tx.Rollback()
		} else if settled || !lostMapping(err) {
			return nil, fmt.Errorf("bolt: view: %w", err)
		}
		// An empty transaction makes the writer put things right, or say why not.
		if err := s.Update(ctx, func(store.Txn) error { return nil }); err != nil {
			return nil, err
		}
	}
}

// lostMapping reports whether err says that the file is not mapped. Bbolt unmaps
// before it maps anew for a larger file, so that is how a failed mmap leaves it.
func lostMapping(err error) bool {
	return errors.Is(err, berrors.ErrInvalidMapping) || errors.Is(err, berrors.ErrDatabaseNotOpen)
}

// Check reads the whole file and says what is wrong with its structure. What
// the records say is for store.Logs.Verify. It holds a view open all the time.
func (s *Store) Check(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("bolt: check: %w", context.Cause(ctx))
	}
	tx, err := s.beginView(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := check(ctx, tx); err != nil {
		return fmt.Errorf("bolt: check %q: %w", s.path, err)
	}
	return nil
}
