package mem_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/mem"
	"github.com/muster-release/muster/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t,
		func(*testing.T) store.Store { return mem.New(mem.Options{}) },
		func(_ *testing.T, s store.Store) store.Store { return s.(*mem.Store).Reopen() })
}

func put(s store.Store, key string) error {
	return <-s.Submit(func(tx store.Txn) error { return tx.Put([]byte(key), nil) })
}

func has(t *testing.T, s store.Store, key string) bool {
	t.Helper()
	var found bool
	err := s.View(t.Context(), func(r store.Reader) error {
		v, err := r.Get([]byte(key))
		found = v != nil
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name    string
		fault   mem.Fault
		is      []error
		unknown bool
		stored  bool
		crashed bool
	}{
		{"none", mem.None, nil, false, true, false},
		{"disk full", mem.DiskFull, []error{syscall.ENOSPC}, false, false, false},
		{"answer lost", mem.LostAnswer, nil, true, true, false},
		{"write lost", mem.LostWrite, nil, true, false, false},
		{"crash before", mem.CrashBefore, []error{mem.ErrCrashed}, true, false, true},
		{"crash after", mem.CrashAfter, []error{mem.ErrCrashed}, true, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var numbers []int
			s := mem.New(mem.Options{Before: func(n int) mem.Fault {
				numbers = append(numbers, n)
				if n == 2 {
					return tt.fault
				}
				return mem.None
			}})
			if err := put(s, "1"); err != nil {
				t.Fatal(err)
			}
			// What writes nothing, or fails by itself, is no write.
			if err := <-s.Submit(func(store.Txn) error { return nil }); err != nil {
				t.Fatal(err)
			}
			<-s.Submit(func(tx store.Txn) error { return errors.Join(tx.Put([]byte("x"), nil), errors.New("no")) })

			err := put(s, "2")
			if (err == nil) != (tt.fault == mem.None) || errors.Is(err, store.ErrUnknown) != tt.unknown {
				t.Errorf("got %v, unknown: %t", err, tt.unknown)
			}
			for _, is := range tt.is {
				if !errors.Is(err, is) {
					t.Errorf("got %v, want one that is %v", err, is)
				}
			}
			if err := put(s, "3"); errors.Is(err, mem.ErrCrashed) != tt.crashed {
				t.Errorf("afterwards: %v, crashed: %t", err, tt.crashed)
			}
			dead := s
			if tt.crashed {
				if err := s.View(t.Context(), nil); !errors.Is(err, mem.ErrCrashed) {
					t.Errorf("view: %v, want ErrCrashed", err)
				}
				s = s.Reopen()
				if err := put(s, "3"); err != nil {
					t.Error(err)
				}
				if err := put(dead, "4"); !errors.Is(err, mem.ErrCrashed) {
					t.Errorf("the old handle wrote: %v", err)
				}
			}
			if !has(t, s, "1") || has(t, s, "2") != tt.stored || !has(t, s, "3") || has(t, s, "x") {
				t.Errorf("holds 1: %t, 2: %t, 3: %t", has(t, s, "1"), has(t, s, "2"), has(t, s, "3"))
			}
			if fmt.Sprint(numbers) != "[1 2 3]" {
				t.Errorf("writes were numbered %d", numbers)
			}
		})
	}
}

func TestCrash(t *testing.T) {
	s := mem.New(mem.Options{})
	if err := put(s, "a"); err != nil {
		t.Fatal(err)
	}
	s.Crash()
	if err := put(s, "b"); !errors.Is(err, mem.ErrCrashed) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("got %v, want ErrCrashed alone: it is certain that nothing was stored", err)
	}
	if s = s.Reopen(); !has(t, s, "a") || has(t, s, "b") {
		t.Error("what was stored before the crash is not what is there after")
	}
}

// TestBubble leaves a store open at the end of a bubble, which fails where a
// goroutine is left behind.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := store.NewLogs(mem.New(mem.Options{}))
		if err := <-l.Submit([]store.Append{{Log: "a", Records: [][]byte{[]byte("x")}}}, nil); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	l := store.NewLogs(mem.New(mem.Options{}))
	record := make([]byte, 1024)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a := store.Append{Log: fmt.Sprintf("run/%d", i%500), Expect: uint64(i / 500), Records: [][]byte{record}}
		if err := l.Append(b.Context(), []store.Append{a}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
