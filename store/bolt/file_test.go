package bolt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/bolt"
)

func TestNewFile(t *testing.T) {
	path := tempPath(t)
	s := open(t, path, bolt.Options{})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if perm := info.Mode().Perm(); perm != 0o600 {
		t.Errorf("mode is %v, want 0600", perm)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("Close leaves %v, %v, want the store alone", entries, err)
	}
}

// pageSize is bbolt's on most machines; the layout of its pages stands in its
// internal/common/page.go and meta.go.
var pageSize = os.Getpagesize()

// pages returns the offsets of pages with the given flag: 1 branch, 2 leaf, 16
// free list.
func pages(file []byte, flag uint16) []int {
	var at []int
	for i := 2 * pageSize; i < len(file); i += pageSize {
		if binary.LittleEndian.Uint16(file[i+8:]) == flag && binary.LittleEndian.Uint64(file[i:]) == uint64(i/pageSize) {
			at = append(at, i)
		}
	}
	return at
}

// TestDamage opens files that are not what they should be.
func TestDamage(t *testing.T) {
	sound := func() []byte {
		path := tempPath(t)
		s := open(t, path, bolt.Options{})
		l := store.NewLogs(s)
		for i := range 20 {
			appendTo(t, l, "run/1", uint64(10*i), make([]string, 10)...)
			appendTo(t, l, "run/2", uint64(i), strings.Repeat("x", 1000))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return file
	}()
	edit := func(f func(file []byte)) []byte {
		file := bytes.Clone(sound)
		f(file)
		return file
	}
	// everywhere changes all pages of a kind: which of them are in use is bbolt's.
	everywhere := func(flag uint16, f func(page []byte)) []byte {
		return edit(func(file []byte) {
			for _, at := range pages(file, flag) {
				f(file[at : at+pageSize])
			}
		})
	}
	const leaf, branch, freelist = 2, 1, 16
	element := func(page []byte, field int, v uint32) { // of its first element, after 16 bytes of header
		binary.LittleEndian.PutUint32(page[16+4*field:], v)
	}
	other := func(fill func(tx *bbolt.Tx) error) []byte {
		path := tempPath(t)
		db, err := bbolt.Open(path, 0o600, nil)
		if err == nil {
			err = errors.Join(db.Update(fill), db.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	// The page in use that is never a free one is the root of the newer meta page.
	newer := sound[:pageSize]
	if other := sound[pageSize : 2*pageSize]; binary.LittleEndian.Uint64(other[16+48:]) > binary.LittleEndian.Uint64(newer[16+48:]) {
		newer = other
	}
	rootPage, end := newer[16+16:][:8], binary.LittleEndian.Uint64(newer[16+40:])
	format := func(f string) []byte {
		return other(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte("muster"))
			if err != nil {
				return err
			}
			return b.Put([]byte("f"), []byte(f))
		})
	}
	tests := []struct {
		name    string
		file    []byte
		says    string
		corrupt bool
	}{
		{"empty", nil, "empty", true},
		{"text", []byte(strings.Repeat("name: muster\n", 2000)), "not a bolt file", true},
		{"a few bytes", []byte("x"), "not a bolt file", true},
		{"zeros", make([]byte, 1<<16), "", true},
		{"both meta pages gone", edit(func(f []byte) { clear(f[:2*pageSize]) }), "", true},
		{"cut short by one page", sound[:(int(end)-1)*pageSize], "cut short", true},
		{"cut to half", sound[:len(sound)/2], "", true},
		{"cut to the meta pages", sound[:2*pageSize], "cut short", true},
		{"cut within the meta pages", sound[:pageSize+100], "", true},
		{"leaf pages zeroed", everywhere(leaf, func(p []byte) { clear(p) }), "", true},
		{"leaf pages of another kind", everywhere(leaf, func(p []byte) { p[8] = 77 }), "", true},
		{"leaf pages with other numbers", everywhere(leaf, func(p []byte) { p[0] ^= 0x55 }), "", true},
		{"leaf pages with too many keys", everywhere(leaf, func(p []byte) { p[11] = 0xff }), "", true},
		{"keys far outside of the file", everywhere(leaf, func(p []byte) { element(p, 1, 0xfffffff0) }), "", true},
		{"keys of 4 GiB", everywhere(leaf, func(p []byte) { element(p, 2, 0xfffffff0) }), "", true},
		{"values of 4 GiB", everywhere(leaf, func(p []byte) { element(p, 3, 0xfffffff0) }), "", true},
		{"branch pages to nowhere", everywhere(branch, func(p []byte) { element(p, 3, 0xffffff) }), "", true},
		{"free list zeroed", everywhere(freelist, func(p []byte) { clear(p) }), "", true},
		{"free list too long", everywhere(freelist, func(p []byte) { p[10], p[11] = 0xfe, 0xff }), "", true},
		{"free list with pages in use", everywhere(freelist, func(p []byte) { copy(p[16:], rootPage) }), "", true},
		{"another program's bolt file", other(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("grafana"))
			return err
		}), "not one of Muster's", true},
		{"no format", format(""), "format", true},
		{"newer format", format("2"), "newer Muster", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := tempPath(t)
			if err := os.WriteFile(path, tt.file, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, readOnly := range []bool{false, true} {
				s, err := bolt.Open(path, bolt.Options{ReadOnly: readOnly})
				if err == nil {
					s.Close()
					t.Fatal("opened")
				}
				if words := err.Error(); tt.corrupt && (!strings.HasPrefix(words, fmt.Sprintf("the store %q is damaged: ", path)) ||
					strings.Contains(words, "panic") || strings.Contains(words, "bolt: ") || strings.Contains(words, "corrupt") || strings.Contains(words, "\n")) {
					t.Errorf("shows plumbing: %v", err)
				}
				if errors.Is(err, store.ErrCorrupt) != tt.corrupt || !strings.Contains(err.Error(), tt.says) ||
					!strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "left as it is") {
					t.Errorf("got: %v\nwant it to say %q, corrupt: %t", err, tt.says, tt.corrupt)
				}
			}
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(after, tt.file) {
				t.Errorf("the file was changed, %v", err)
			}
			if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
				t.Errorf("something was left beside the file: %v, %v", entries, err)
			}
		})
	}
	t.Run("sound", func(t *testing.T) {
		path := tempPath(t)
		if err := os.WriteFile(path, sound, 0o600); err != nil {
			t.Fatal(err)
		}
		wantLen(t, store.NewLogs(open(t, path, bolt.Options{})), "run/1", 200)
	})
	// What a crash in the middle of a meta page leaves: bbolt goes on with the other.
	t.Run("one meta page torn", func(t *testing.T) {
		path := tempPath(t)
		if err := os.WriteFile(path, edit(func(f []byte) { f[16+48] ^= 1 }), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.NewLogs(open(t, path, bolt.Options{})).Verify(t.Context(), "run/1"); err != nil {
			t.Error(err)
		}
	})
}

// TestFlippedBits opens files in which one byte is wrong. Each is refused and
// untouched, or is opened and then found out by Verify, or was not in use.
func TestFlippedBits(t *testing.T) {
	path := tempPath(t)
	s := open(t, path, bolt.Options{})
	l := store.NewLogs(s)
	for i := range 20 {
		appendTo(t, l, "run/1", uint64(i), fmt.Sprintf("record %d %s", i, strings.Repeat("x", 200)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused, found, unnoticed := 0, 0, 0
	for at := 2 * pageSize; at < len(sound); at += 61 {
		file := bytes.Clone(sound)
		file[at] ^= 0xa5
		path := filepath.Join(t.TempDir(), "muster.db")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := bolt.Open(path, bolt.Options{ReadOnly: true})
		if err != nil {
			if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("byte %d: %v", at, err)
			}
			refused++
			continue
		}
		h, err := store.NewLogs(s).Verify(t.Context(), "run/1")
		switch {
		case errors.Is(err, store.ErrCorrupt):
			found++
		case err != nil:
			t.Errorf("byte %d: %v", at, err)
		case h.Len != 20:
			t.Errorf("byte %d: %d records", at, h.Len)
		default:
			unnoticed++
		}
		s.Close()
	}
	t.Logf("%d refused, %d found by Verify, %d in free space", refused, found, unnoticed)
	if refused == 0 || found == 0 {
		t.Error("the test does not hit what it should")
	}
}

// TestCutShortWhileOpen takes the file away below a store in use: reading it is
// an error, not the end of the program.
func TestCutShortWhileOpen(t *testing.T) {
	path := tempPath(t)
	s := open(t, path, bolt.Options{})
	l := store.NewLogs(s)
	for i := range 50 {
		appendTo(t, l, "a", uint64(i), strings.Repeat("x", 2000))
	}
	if err := os.Truncate(path, int64(2*pageSize)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Verify(t.Context(), "a"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("read: got %v, want store.ErrCorrupt", err)
	}
	for range 2 {
		err := l.Append(t.Context(), []store.Append{{Log: "a", Expect: 50, Records: [][]byte{nil}}}, nil)
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("append: got %v, want store.ErrCorrupt", err)
		}
	}
}

// Readers may share the file, so none of them is named as its holder.
func TestReadOnlyLeavesNoNote(t *testing.T) {
	path := tempPath(t)
	if err := open(t, path, bolt.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	reader := open(t, path, bolt.Options{ReadOnly: true})
	for _, when := range []string{"open", "closed"} {
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(entries) != 1 {
			t.Errorf("%s: %v, %v, want the store alone", when, entries, err)
		}
		if when == "open" {
			if err := reader.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestHeldByThisProcess(t *testing.T) {
	path := tempPath(t)
	open(t, path, bolt.Options{})
	begin := time.Now()
	_, err := bolt.Open(path, bolt.Options{LockTimeout: 100 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by this very process, %d", os.Getpid())) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("waited %v", d)
	}
}
