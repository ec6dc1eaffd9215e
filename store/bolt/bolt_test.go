package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"

	bbolt "go.etcd.io/bbolt"

	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/bolt"
	"github.com/muster-release/muster/store/storetest"
)

func open(t testing.TB, path string, opts bolt.Options) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

func tempPath(t testing.TB) string { return filepath.Join(t.TempDir(), "muster.db") }

func TestStore(t *testing.T) {
	storetest.Run(t,
		func(t *testing.T) store.Store { return open(t, tempPath(t), bolt.Options{}) },
		func(t *testing.T, s store.Store) store.Store {
			s.Close()
			return open(t, s.(*bolt.Store).Path(), bolt.Options{})
		})
}

func appendTo(t *testing.T, l *store.Logs, log string, expect uint64, texts ...string) {
	t.Helper()
	a := store.Append{Log: log, Expect: expect}
	for _, text := range texts {
		a.Records = append(a.Records, []byte(text))
	}
	if err := l.Append(t.Context(), []store.Append{a}, nil); err != nil {
		t.Fatal(err)
	}
}

func wantLen(t *testing.T, l *store.Logs, log string, want uint64) {
	t.Helper()
	if h, err := l.Verify(t.Context(), log); err != nil || h.Len != want {
		t.Errorf("log %q has %d records, %v, want %d", log, h.Len, err, want)
	}
}

// TestUpdateStopsWaiting cancels updates whose turn has not come, and whose turn
// has.
func TestUpdateStopsWaiting(t *testing.T) {
	path := tempPath(t)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path, bolt.Options{})
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		release := make(chan struct{})
		running, queued := make(chan error, 1), make(chan error, 1)
		go func() {
			running <- s.Update(ctx, func(tx store.Txn) error {
				<-release
				return tx.Put([]byte("running"), nil)
			})
		}()
		synctest.Wait()
		go func() {
			queued <- s.Update(ctx, func(store.Txn) error {
				t.Error("ran although it was given up before")
				return nil
			})
		}()
		synctest.Wait()
		cancel(cause)
		if err := <-running; !errors.Is(err, store.ErrUnknown) || !errors.Is(err, cause) {
			t.Errorf("the one under way: got %v, want unknown and the cause", err)
		}
		if err := <-queued; errors.Is(err, store.ErrUnknown) || !errors.Is(err, cause) {
			t.Errorf("the one that waits: got %v, want the cause alone", err)
		}
		close(release)
		err := s.Update(t.Context(), func(tx store.Txn) error {
			if v, err := tx.Get([]byte("running")); v == nil {
				t.Errorf("the one under way was not stored: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestGroupCommit counts commits: what gathers during one shares the next.
func TestGroupCommit(t *testing.T) {
	s := open(t, tempPath(t), bolt.Options{})
	l := store.NewLogs(s)
	entered, release := make(chan struct{}), make(chan struct{})
	commits := 0
	s.SetCommit(func(tx *bbolt.Tx) error {
		if commits++; commits == 1 {
			close(entered)
			<-release
		}
		return tx.Commit()
	})
	first := l.Submit([]store.Append{{Log: "a", Records: [][]byte{nil}}}, nil)
	<-entered
	var answers []<-chan error
	for i := range 100 {
		answers = append(answers, l.Submit([]store.Append{{Log: "a", Expect: uint64(i + 1), Records: [][]byte{nil}}}, nil))
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	for _, answer := range answers {
		if err := <-answer; err != nil {
			t.Error(err)
		}
	}
	if commits != 2 {
		t.Errorf("101 appends took %d commits, want 2", commits)
	}
	wantLen(t, l, "a", 101)
}

func TestCommitFails(t *testing.T) {
	diskFull := &os.PathError{Op: "write", Path: "muster.db", Err: syscall.ENOSPC}
	tests := []struct {
		name    string
		commit  func(*bbolt.Tx) error
		is      error
		unknown bool
	}{
		{"before anything is written", func(tx *bbolt.Tx) error {
			return errors.Join(diskFull, tx.Rollback())
		}, syscall.ENOSPC, false},
		{"in words alone", func(tx *bbolt.Tx) error {
			return errors.Join(fmt.Errorf("file sync error: %s", diskFull), tx.Rollback())
		}, syscall.ENOSPC, false},
		{"after the meta page", func(tx *bbolt.Tx) error {
			return errors.Join(tx.Commit(), syscall.EIO)
		}, syscall.EIO, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := tempPath(t)
			s := open(t, path, bolt.Options{})
			l := store.NewLogs(s)
			appendTo(t, l, "a", 0, "1")
			commits := 0
			s.SetCommit(func(tx *bbolt.Tx) error { commits++; return tt.commit(tx) })
			for _, log := range []string{"a", "b"} {
				h, _ := l.Head(t.Context(), log)
				err := l.Append(t.Context(), []store.Append{{Log: log, Expect: h.Len, Records: [][]byte{[]byte("2")}}}, nil)
				if !errors.Is(err, tt.is) || errors.Is(err, store.ErrUnknown) != tt.unknown {
					t.Fatalf("append to %s: got %v, want %v, unknown: %t", log, err, tt.is, tt.unknown)
				}
				if !tt.unknown {
					continue
				}
				// Nobody may read what a power failure could still undo.
				if _, err := l.Head(t.Context(), log); !errors.Is(err, store.ErrUnknown) {
					t.Fatalf("read while nothing can be synced: %v", err)
				}
				break
			}
			s.SetCommit(func(tx *bbolt.Tx) error { commits++; return tx.Commit() })
			failed := commits
			h, err := l.Head(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			if want := uint64(1); !tt.unknown && (h.Len != want || commits != failed) {
				t.Errorf("%d records, want %d", h.Len, want)
			}
			if want := uint64(2); tt.unknown && (h.Len != want || commits != failed+1) {
				t.Errorf("%d records after %d more commits, want %d, made certain by one", h.Len, commits-failed, want)
			}
			appendTo(t, l, "a", h.Len, "3")
			wantLen(t, l, "a", h.Len+1)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, path, bolt.Options{ReadOnly: true})
			wantLen(t, store.NewLogs(s), "a", h.Len+1)
			if err := s.Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMappingIsLost(t *testing.T) {
	s := open(t, tempPath(t), bolt.Options{})
	l := store.NewLogs(s)
	appendTo(t, l, "a", 0, "1")
	if err := s.LoseMapping(); err != nil {
		t.Fatal(err)
	}
	appendTo(t, l, "a", 1, "2")
	if err := s.LoseMapping(); err != nil {
		t.Fatal(err)
	}
	wantLen(t, l, "a", 2)
}

func TestReadOnly(t *testing.T) {
	path := tempPath(t)
	if _, err := bolt.Open(path, bolt.Options{ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	s := open(t, path, bolt.Options{})
	appendTo(t, store.NewLogs(s), "a", 0, "1", "2")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	one, two := open(t, path, bolt.Options{ReadOnly: true}), open(t, path, bolt.Options{ReadOnly: true})
	for _, s := range []*bolt.Store{one, two} {
		wantLen(t, store.NewLogs(s), "a", 2)
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
		if err := store.NewLogs(s).Set(t.Context(), store.Set{Key: "x"}); err == nil || errors.Is(err, store.ErrUnknown) {
			t.Errorf("a write got %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); !errors.Is(err, store.ErrClosed) {
			t.Errorf("closed twice: %v", err)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil || string(before) != string(after) {
		t.Errorf("the file changed: %v", err)
	}
}
