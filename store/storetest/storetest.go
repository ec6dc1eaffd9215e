// Package storetest is the one suite that every store passes.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/muster-release/muster/store"
)

// Run tests a kind of store. Open returns an empty one. Reopen returns another
// handle on the content of s, which may be closed already and is not used
// afterwards. Both clean up by themselves.
func Run(t *testing.T, open func(t *testing.T) store.Store, reopen func(t *testing.T, s store.Store) store.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"GetPutDelete", testGetPutDelete},
		{"Scan", testScan},
		{"OwnWrites", testOwnWrites},
		{"ValuesAreCopied", testCopies},
		{"FailureLeavesNothing", testFailure},
		{"Limits", testLimits},
		{"Pipeline", testPipeline},
		{"Concurrency", testConcurrency},
		{"Context", testContext},
		{"Append", testAppend},
		{"AppendConflict", testConflict},
		{"AppendPipeline", testAppendPipeline},
		{"AppendRefused", testAppendRefused},
		{"ReadInPages", testReadPages},
		{"ReadWhileGrowing", testReadGrowing},
		{"List", testList},
		{"PlainKeys", testPlain},
		{"Tampering", testTampering},
		{"Blobs", testBlobs},
		{"BlobTampering", testBlobTampering},
		{"BlobInterrupted", testBlobInterrupted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
	t.Run("Close", func(t *testing.T) { testClose(t, open(t), reopen) })
	t.Run("Reopen", func(t *testing.T) { testReopen(t, open(t), reopen) })
}

func put(t *testing.T, s store.Store, pairs ...string) {
	t.Helper()
	err := s.Update(t.Context(), func(tx store.Txn) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Put([]byte(pairs[i]), []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s store.Store, key string) []byte {
	t.Helper()
	var value []byte
	err := s.View(t.Context(), func(r store.Reader) error {
		v, err := r.Get([]byte(key))
		value = bytes.Clone(v)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func wantValue(t *testing.T, s store.Store, key, want string) {
	t.Helper()
	if got := get(t, s, key); got == nil || string(got) != want {
		t.Errorf("%q is %q, want %q", key, got, want)
	}
}

func wantNone(t *testing.T, s store.Store, key string) {
	t.Helper()
	if got := get(t, s, key); got != nil {
		t.Errorf("%q is %q, want none", key, got)
	}
}

// scan returns "key=value" for each pair, without the store's own format key.
func scan(r store.Reader, from, to []byte) ([]string, error) {
	var got []string
	for p, err := range r.Scan(from, to) {
		if err != nil {
			return got, err
		}
		if string(p.Key) != "f" {
			got = append(got, string(p.Key)+"="+string(p.Value))
		}
	}
	return got, nil
}

func testGetPutDelete(t *testing.T, s store.Store) {
	wantNone(t, s, "t/a")
	put(t, s, "t/a", "1", "t/b", "", "t/b\x00", "zero", "t/\xff", "high")
	wantValue(t, s, "t/a", "1")
	wantValue(t, s, "t/b", "")
	wantValue(t, s, "t/b\x00", "zero")
	wantValue(t, s, "t/\xff", "high")
	wantNone(t, s, "t/")
	put(t, s, "t/a", "2")
	wantValue(t, s, "t/a", "2")
	err := s.Update(t.Context(), func(tx store.Txn) error {
		return errors.Join(tx.Delete([]byte("t/a")), tx.Delete([]byte("t/none")))
	})
	if err != nil {
		t.Fatal(err)
	}
	wantNone(t, s, "t/a")
	wantValue(t, s, "t/b", "")

	broken := errors.New("broken")
	if err := s.View(t.Context(), func(store.Reader) error { return broken }); err != broken {
		t.Errorf("View returned %v, want the function's error as it is", err)
	}
}

func testScan(t *testing.T, s store.Store) {
	put(t, s, "t/b", "2", "t/a", "1", "t/c", "3", "t/c/x", "4", "u", "5", "a", "0")
	tests := []struct {
		name     string
		from, to []byte
		want     string
	}{
		{"all", nil, nil, "a=0 t/a=1 t/b=2 t/c=3 t/c/x=4 u=5"},
		{"empty bounds", []byte{}, nil, "a=0 t/a=1 t/b=2 t/c=3 t/c/x=4 u=5"},
		{"no upper bound", []byte("t/c"), nil, "t/c=3 t/c/x=4 u=5"},
		{"no lower bound", nil, []byte("t/b"), "a=0 t/a=1"},
		{"bounds that are keys", []byte("t/a"), []byte("t/c"), "t/a=1 t/b=2"},
		{"bounds between keys", []byte("t/aa"), []byte("t/cc"), "t/b=2 t/c=3 t/c/x=4"},
		{"nothing between", []byte("t/aa"), []byte("t/ab"), ""},
		{"equal bounds", []byte("t/a"), []byte("t/a"), ""},
		{"upper below lower", []byte("t/c"), []byte("t/a"), ""},
		{"empty upper bound", nil, []byte{}, ""},
		{"after the end", []byte("v"), nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := s.View(t.Context(), func(r store.Reader) error {
				got, err := scan(r, tt.from, tt.to)
				if strings.Join(got, " ") != tt.want {
					t.Errorf("View: got %q, want %q", got, tt.want)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			// The same with a write of one's own, which takes another way.
			err = s.Update(t.Context(), func(tx store.Txn) error {
				if err := tx.Delete([]byte("t/none")); err != nil {
					return err
				}
				got, err := scan(tx, tt.from, tt.to)
				if strings.Join(got, " ") != tt.want {
					t.Errorf("Update: got %q, want %q", got, tt.want)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	// A scan may be left early, and be started again.
	err := s.View(t.Context(), func(r store.Reader) error {
		seq := r.Scan([]byte("t/"), nil)
		for range 2 {
			for p, err := range seq {
				if err != nil || string(p.Key) != "t/a" {
					t.Errorf("first pair is %q, %v", p.Key, err)
				}
				break
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func testOwnWrites(t *testing.T, s store.Store) {
	put(t, s, "t/a", "1", "t/c", "3", "t/e", "5")
	err := s.Update(t.Context(), func(tx store.Txn) error {
		err := errors.Join(
			tx.Put([]byte("t/b"), []byte("2")),
			tx.Put([]byte("t/c"), []byte("first")),
			tx.Put([]byte("t/c"), []byte("second")),
			tx.Delete([]byte("t/e")),
			tx.Put([]byte("t/f"), []byte("6")),
			tx.Put([]byte("t/g"), []byte("7")),
			tx.Delete([]byte("t/g")),
			tx.Put([]byte("t/h"), nil),
		)
		if err != nil {
			return err
		}
		for key, want := range map[string]string{"t/a": "1", "t/b": "2", "t/c": "second", "t/f": "6", "t/h": ""} {
			if got, err := tx.Get([]byte(key)); err != nil || got == nil || string(got) != want {
				t.Errorf("%q is %q, %v, want %q", key, got, err, want)
			}
		}
		for _, key := range []string{"t/e", "t/g", "t/none"} {
			if got, err := tx.Get([]byte(key)); err != nil || got != nil {
				t.Errorf("%q is %q, %v, want none", key, got, err)
			}
		}
		got, err := scan(tx, []byte("t/"), nil)
		if want := "t/a=1 t/b=2 t/c=second t/f=6 t/h="; strings.Join(got, " ") != want {
			t.Errorf("scan gave %q, want %q", got, want)
		}
		// What is written during a scan is not part of it.
		n := 0
		for p, err := range tx.Scan([]byte("t/"), []byte("t/d")) {
			if err != nil {
				return err
			}
			n++
			if err := tx.Put(append(bytes.Clone(p.Key), "-new"...), []byte("new")); err != nil {
				return err
			}
		}
		if n != 3 {
			t.Errorf("the scan yielded %d pairs, want the 3 from before it", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantValue(t, s, "t/c", "second")
	wantValue(t, s, "t/a-new", "new")
	wantNone(t, s, "t/e")
	wantNone(t, s, "t/g")
}

func testCopies(t *testing.T, s store.Store) {
	key, value := []byte("t/a"), []byte("before")
	err := s.Update(t.Context(), func(tx store.Txn) error {
		if err := tx.Put(key, value); err != nil {
			return err
		}
		copy(key, "XXX")
		copy(value, "XXXXXX")
		got, err := tx.Get([]byte("t/a"))
		if string(got) != "before" {
			t.Errorf("the transaction sees %q", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantValue(t, s, "t/a", "before")
	wantNone(t, s, "XXX")
}

func testFailure(t *testing.T, s store.Store) {
	put(t, s, "t/a", "1")
	broken := errors.New("broken")
	write := func(key string, fail func() error) <-chan error {
		return s.Submit(func(tx store.Txn) error {
			if err := errors.Join(tx.Put([]byte(key), []byte("new")), tx.Delete([]byte("t/a"))); err != nil {
				return err
			}
			return fail()
		})
	}
	before := s.Submit(func(tx store.Txn) error { return tx.Put([]byte("t/before"), nil) })
	failed := write("t/failed", func() error { return broken })
	panicked := write("t/panicked", func() error { panic("out of cheese") })
	after := s.Submit(func(tx store.Txn) error {
		if v, err := tx.Get([]byte("t/failed")); err != nil || v != nil {
			return fmt.Errorf("sees %q, %v of one that failed", v, err)
		}
		return tx.Put([]byte("t/after"), nil)
	})
	if err := <-before; err != nil {
		t.Error(err)
	}
	if err := <-failed; err != broken {
		t.Errorf("got %v, want the function's error as it is", err)
	}
	if err := <-panicked; err == nil || !strings.Contains(err.Error(), "out of cheese") {
		t.Errorf("got %v, want the panic's value", err)
	}
	if err := <-after; err != nil {
		t.Error(err)
	}
	wantValue(t, s, "t/a", "1")
	wantNone(t, s, "t/failed")
	wantNone(t, s, "t/panicked")
	wantValue(t, s, "t/before", "")
	wantValue(t, s, "t/after", "")
}

func testLimits(t *testing.T, s store.Store) {
	puts := func(n int, value []byte) func(store.Txn) error {
		return func(tx store.Txn) error {
			for i := range n {
				if err := tx.Put(fmt.Appendf(nil, "t/%03d", i), value); err != nil {
					return err
				}
			}
			return nil
		}
	}
	careless := func(tx store.Txn) error {
		_ = puts(store.MaxTxnOps+1, nil)(tx)
		return nil
	}
	const keyBytes = len("t/000")
	tests := []struct {
		name     string
		fn       func(store.Txn) error
		tooLarge bool
	}{
		{"most operations", puts(store.MaxTxnOps, nil), false},
		{"one operation more", puts(store.MaxTxnOps+1, nil), true},
		{"error passed over", careless, true},
		{"most bytes", puts(1, make([]byte, store.MaxTxnBytes-keyBytes)), false},
		{"one byte more", puts(1, make([]byte, store.MaxTxnBytes-keyBytes+1)), true},
		{"longest key", func(tx store.Txn) error { return tx.Put(make([]byte, 32768), nil) }, false},
		{"longer key", func(tx store.Txn) error { return tx.Put(make([]byte, 32769), nil) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := s.Update(t.Context(), tt.fn)
			if tt.tooLarge != errors.Is(err, store.ErrTooLarge) || !tt.tooLarge && err != nil {
				t.Errorf("got %v, too large: %t", err, tt.tooLarge)
			}
		})
	}
	for name, fn := range map[string]func(store.Txn) error{
		"put":    func(tx store.Txn) error { return tx.Put(nil, []byte("x")) },
		"delete": func(tx store.Txn) error { return tx.Delete(nil) },
	} {
		if err := s.Update(t.Context(), fn); err == nil {
			t.Errorf("%s of an empty key was stored", name)
		}
	}
}

// testPipeline submits a chain in which each transaction depends on the one
// before, without waiting for any.
func testPipeline(t *testing.T, s store.Store) {
	const n = 100
	var answers []<-chan error
	for i := range n {
		answers = append(answers, s.Submit(func(tx store.Txn) error {
			v, err := tx.Get([]byte("t/n"))
			if err != nil {
				return err
			}
			if i > 0 && string(v) != strconv.Itoa(i-1) {
				return fmt.Errorf("link %d sees %q", i, v)
			}
			return tx.Put([]byte("t/n"), []byte(strconv.Itoa(i)))
		}))
	}
	err := s.Update(t.Context(), func(tx store.Txn) error {
		if v, err := tx.Get([]byte("t/n")); err != nil || string(v) != strconv.Itoa(n-1) {
			t.Errorf("an Update after all sees %q, %v", v, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for _, answer := range answers {
		if err := <-answer; err != nil {
			t.Error(err)
		}
	}
	wantValue(t, s, "t/n", strconv.Itoa(n-1))
}

// testConcurrency moves amounts between accounts whose sum is always the same.
func testConcurrency(t *testing.T, s store.Store) {
	const accounts, writers, moves, total = 5, 8, 25, 1000
	key := func(i int) []byte { return fmt.Appendf(nil, "t/account/%d", i%accounts) }
	read := func(r store.Reader, i int) (int, error) {
		v, err := r.Get(key(i))
		if err != nil || v == nil {
			return 0, err
		}
		return strconv.Atoi(string(v))
	}
	put(t, s, string(key(0)), strconv.Itoa(total))

	var moving, reading sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		moving.Go(func() {
			for i := range moves {
				err := s.Update(t.Context(), func(tx store.Txn) error {
					from, to := w+i, w+2*i+1
					a, err := read(tx, from)
					if err != nil {
						return err
					}
					if err := tx.Put(key(from), []byte(strconv.Itoa(a-i))); err != nil {
						return err
					}
					b, err := read(tx, to)
					if err != nil {
						return err
					}
					return tx.Put(key(to), []byte(strconv.Itoa(b+i)))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	sum := func() {
		err := s.View(t.Context(), func(r store.Reader) error {
			sum := 0
			for p, err := range r.Scan([]byte("t/account/"), []byte("t/account0")) {
				if err != nil {
					return err
				}
				n, err := strconv.Atoi(string(p.Value))
				if err != nil {
					return err
				}
				sum += n
			}
			if sum != total {
				t.Errorf("a view sees a sum of %d, want %d", sum, total)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		reading.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					sum()
				}
			}
		})
	}
	moving.Wait()
	close(done)
	reading.Wait()
	sum()
}

func testContext(t *testing.T, s store.Store) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	err := s.Update(ctx, func(tx store.Txn) error { return tx.Put([]byte("t/a"), nil) })
	if !errors.Is(err, cause) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("Update: got %v, want the cause, and nothing unknown about it", err)
	}
	if err := s.View(ctx, func(store.Reader) error { return nil }); !errors.Is(err, cause) {
		t.Errorf("View: got %v, want the cause", err)
	}
	wantNone(t, s, "t/a")
}

func testClose(t *testing.T, s store.Store, reopen func(*testing.T, store.Store) store.Store) {
	const n = 50
	var answers []<-chan error
	for i := range n {
		answers = append(answers, s.Submit(func(tx store.Txn) error {
			return tx.Put(fmt.Appendf(nil, "t/%d", i), nil)
		}))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i, answer := range answers {
		select {
		case err := <-answer:
			if err != nil {
				t.Errorf("submitted before Close: %v", err)
			}
		default:
			t.Fatalf("Close did not wait for transaction %d", i)
		}
	}
	nothing := func(store.Txn) error { t.Error("ran after Close"); return nil }
	for name, err := range map[string]error{
		"Update": s.Update(t.Context(), nothing),
		"Submit": <-s.Submit(nothing),
		"View":   s.View(t.Context(), func(store.Reader) error { t.Error("ran after Close"); return nil }),
		"Close":  s.Close(),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s after Close: got %v, want ErrClosed", name, err)
		}
	}
	s = reopen(t, s)
	for i := range n {
		wantValue(t, s, fmt.Sprintf("t/%d", i), "")
	}
}

func testReopen(t *testing.T, s store.Store, reopen func(*testing.T, store.Store) store.Store) {
	want := map[string]string{}
	for i := range 300 {
		key := fmt.Sprintf("t/%d", i*7919%1000)
		want[key] = strings.Repeat(strconv.Itoa(i), 20)
		put(t, s, key, want[key])
		if i%3 == 0 {
			gone := fmt.Sprintf("t/%d", i/2*7919%1000)
			delete(want, gone)
			if err := s.Update(t.Context(), func(tx store.Txn) error { return tx.Delete([]byte(gone)) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	got := map[string]string{}
	err := s.View(t.Context(), func(r store.Reader) error {
		for p, err := range r.Scan([]byte("t/"), []byte("t0")) {
			if err != nil {
				return err
			}
			got[string(p.Key)] = string(p.Value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("%d keys, want %d: %q", len(got), len(want), slices.Sorted(maps.Keys(got)))
	}
}
