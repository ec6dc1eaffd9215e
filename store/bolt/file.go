package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/muster-release/muster/store"
)

// format is the version of the key layout. A file of a higher one is refused.
const format = 1

var (
	bucket    = []byte("muster")
	formatKey = []byte("f")
)

// checkBelow is the size, in bytes, up to which a file is checked as a whole when
// it is opened. That takes the largest about 10 ms when the file is cached.
const checkBelow = 64 << 20

// A file is looked at in two steps: what the second reads could lie outside of
// one that was cut short.
type depth int

const (
	shallow depth = iota // size and format
	deep                 // free pages, and all others up to checkBelow
)

// openFile opens the file for one process, after a look at it that cannot
// change it.
func openFile(path string, opts Options) (*bolt.DB, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !opts.ReadOnly {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("bolt: create %q: %w", path, err)
		}
	}
	deadline := time.Now().Add(opts.LockTimeout)
	db, err := openChecked(path, shallow, true, deadline)
	if err == nil {
		db.Close()
		db, err = openChecked(path, deep, opts.ReadOnly, deadline)
	}
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("the store %q is in use by %s; stop that first", path, holder(path))
	case errors.Is(err, store.ErrCorrupt):
		return nil, fmt.Errorf("the store %q %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("bolt: open %q: %w", path, err)
	}
	if !opts.ReadOnly {
		writeNote(path)
	}
	return db, nil
}

// openChecked opens a file that exists and looks at what is in it. It writes
// nothing. Bbolt panics over some kinds of damage.
func openChecked(path string, d depth, readOnly bool, deadline time.Time) (db *bolt.DB, err error) {
	var file *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = disorder(fmt.Errorf("%v", p))
		}
		if err != nil && file != nil {
			// When bbolt has closed it, these do nothing.
			unlock(file)
			file.Close()
		}
	}()
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() == 0:
		// Bbolt would take it for a new one, but create never leaves such a file.
		return nil, damaged("it is empty")
	}
	db, err = bolt.Open(path, 0o600, &bolt.Options{
		Timeout:  max(time.Until(deadline), time.Millisecond),
		ReadOnly: readOnly,
		OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag&^os.O_CREATE, perm)
			file = f
			return f, err
		},
		NoStatistics: true,
		// The list of free pages is written with each commit: it is short as long as
		// little is deleted, and without it Open, and each commit that failed, would
		// have to read the whole file.
		NoFreelistSync:  false,
		PreLoadFreelist: d == deep,
		FreelistType:    bolt.FreelistMapType, // the other kind is slow with many free pages
	})
	if err != nil {
		return nil, openError(err)
	}
	if err := inspect(db, file, d); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// openError tells what is wrong with the file from what is wrong with the
// system.
func openError(err error) error {
	var pathErr *fs.PathError
	var errno syscall.Errno
	switch {
	case errors.Is(err, berrors.ErrTimeout), errors.As(err, &pathErr), errors.As(err, &errno):
		return err
	case errors.Is(err, berrors.ErrInvalid):
		return damaged("it is not a bolt file")
	default:
		return disorder(err)
	}
}

// damage is a store.ErrCorrupt in words for whoever opens the file.
type damage struct{ cause string }

func (d damage) Error() string {
	return "is damaged: " + d.cause + "; it was left as it is: restore it from a backup, or name another"
}

func (damage) Unwrap() error { return store.ErrCorrupt }

func damaged(format string, args ...any) error { return damage{fmt.Sprintf(format, args...)} }

// disorder is the damage where bbolt, or check, finds that pages are wrong.
func disorder(err error) error {
	const most = 200
	words := strings.ReplaceAll(err.Error(), "\n", "; ")
	for _, prefix := range []string{"bolt: read: ", store.ErrCorrupt.Error() + ": ", "panic: ", "assertion failed: "} {
		words = strings.TrimPrefix(words, prefix)
	}
	if len(words) > most {
		words = words[:most] + "…"
	}
	return damaged("its pages do not fit together (%s)", words)
}

// inspect refuses what is not a sound file of this format. It may panic.
func inspect(db *bolt.DB, file *os.File, d depth) error {
	tx, err := db.Begin(false)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	// Reading a mapped page after the end of the file is a fault.
	if tx.Size() > info.Size() {
		return damaged("it was cut short: %d of %d bytes are left", info.Size(), tx.Size())
	}
	b := tx.Bucket(bucket)
	if b == nil {
		return damaged("it is a bolt file, but not one of Muster's")
	}
	text := b.Get(formatKey)
	version, err := strconv.Atoi(string(text))
	switch {
	case err != nil || version < 1:
		return damaged("its format is %q", text)
	case version > format:
		return fmt.Errorf("it was written by a newer Muster, in format %d, and this one knows formats up to %d; "+
			"the file was left as it is: use the newer Muster, or name another file", version, format)
	case d == shallow || tx.Size() > checkBelow:
		return nil
	}
	if err := check(context.Background(), tx); err != nil {
		return disorder(err)
	}
	return nil
}

// check reads all keys and pages. Bbolt's own check runs in a goroutine of its
// own, where a page that points outside the file would end the program; so every
// page is visited here first.
func check(ctx context.Context, tx *bolt.Tx) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer guard(&err)
	var last []byte
	b, err := root(tx)
	if err != nil {
		return err
	}
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if bytes.Compare(last, k) >= 0 {
			return fmt.Errorf("%w: keys %q and %q are in the wrong order", store.ErrCorrupt, last, k)
		}
		if len(v) > 0 {
			_ = v[len(v)-1] // a fault when it is outside the file
		}
		last = k
	}
	var errs []error
	for err := range tx.Check() {
		if len(errs) < 5 {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", store.ErrCorrupt, errors.Join(errs...))
	}
	return nil
}

// create makes a file that is whole from the moment at which it has its name,
// and leaves one that somebody else made meanwhile.
func create(path string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if err := tmp.Close(); err != nil {
		return err
	}
	db, err := bolt.Open(tmp.Name(), 0o600, &bolt.Options{NoStatistics: true})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket(bucket)
		if err != nil {
			return err
		}
		return b.Put(formatKey, []byte(strconv.Itoa(format)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a new name in dir durable. Windows has no such call and needs
// none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// The note next to the file names the process that holds it, for the sentence
// that another one gets. It is no lock: whoever has bbolt's lock writes it anew.

func notePath(path string) string { return path + ".pid" }

func noteText() string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	return fmt.Sprintf("%d %s\n", os.Getpid(), host)
}

// writeNote does what it can: a store that can be used but not named is better
// than none.
func writeNote(path string) {
	_ = os.WriteFile(notePath(path), []byte(noteText()), 0o644)
}

func removeNote(path string) {
	if b, err := os.ReadFile(notePath(path)); err == nil && string(b) == noteText() {
		_ = os.Remove(notePath(path))
	}
}

// holder describes the process that holds the file.
func holder(path string) string {
	const unknown = "another process"
	b, err := os.ReadFile(notePath(path))
	if err != nil {
		return unknown
	}
	fields := strings.Fields(string(b))
	if len(fields) != 2 {
		return unknown
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil {
		return unknown
	}
	self := strings.Fields(noteText())
	switch {
	case fields[1] != self[1]:
		return fmt.Sprintf("process %d on host %q", pid, fields[1])
	case fields[0] == self[0]:
		return fmt.Sprintf("this very process, %d", pid)
	}
	process, err := os.FindProcess(pid)
	if err != nil || errors.Is(process.Signal(syscall.Signal(0)), os.ErrProcessDone) {
		return unknown // the note is from an earlier one, which was killed
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(line) == 0 {
		return fmt.Sprintf("process %d", pid)
	}
	command := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
	if len(command) > 200 {
		command = command[:200] + "…"
	}
	return fmt.Sprintf("process %d (%s)", pid, command)
}
