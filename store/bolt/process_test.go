//go:build unix

package bolt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/bolt"
)

// The test binary plays another process when these are in its environment.
const (
	roleVar = "MUSTER_TEST_ROLE"
	pathVar = "MUSTER_TEST_PATH"
)

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		os.Exit(m.Run())
	}
	s, err := bolt.Open(os.Getenv(pathVar), bolt.Options{})
	if err == nil {
		switch role {
		case "append":
			err = appendForever(store.NewLogs(s))
		case "full":
			err = fillDisk(s)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const writers = 8

// appendForever appends from several goroutines and says which appends were
// answered.
func appendForever(l *store.Logs) error {
	var out sync.Mutex
	failed := make(chan error)
	for w := range writers {
		go func() {
			log := fmt.Sprintf("run/%d", w)
			ctx := context.Background()
			h, err := l.Verify(ctx, log)
			for seq := h.Len; err == nil; seq++ {
				data := fmt.Appendf(nil, "%d %s", seq+1, strings.Repeat("x", int(seq%700)))
				if err = l.Append(ctx, []store.Append{{Log: log, Expect: seq, Records: [][]byte{data}}}, nil); err == nil {
					out.Lock()
					fmt.Println(w, seq+1)
					out.Unlock()
				}
			}
			failed <- err
		}()
	}
	return <-failed
}

func child(t *testing.T, role, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-a-flag-to-be-recognised-by")
	cmd.Env = append(os.Environ(), roleVar+"="+role, pathVar+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}

// TestKill kills a process while it appends, several times over, and looks for
// all that it was told is stored.
func TestKill(t *testing.T) {
	path := tempPath(t)
	acked := make([]uint64, writers)
	for round := range 4 {
		cmd, lines := child(t, "append", path)
		for n := 0; lines.Scan(); n++ {
			var w int
			var seq uint64
			if _, err := fmt.Sscan(lines.Text(), &w, &seq); err != nil {
				t.Fatal(err)
			}
			if seq != acked[w]+1 {
				t.Fatalf("writer %d: %d after %d", w, seq, acked[w])
			}
			acked[w] = seq
			if n == 100+50*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()

		s := open(t, path, bolt.Options{})
		l := store.NewLogs(s)
		for w, acked := range acked {
			log := fmt.Sprintf("run/%d", w)
			var seq uint64
			for r, err := range l.Read(t.Context(), log, 1) {
				if err != nil {
					t.Fatal(err)
				}
				seq = r.Seq
				if !strings.HasPrefix(string(r.Data), fmt.Sprint(seq, " ")) {
					t.Errorf("%s: record %d is %q", log, seq, r.Data)
				}
			}
			// One append may have been stored without its answer.
			if seq != acked && seq != acked+1 {
				t.Errorf("%s: %d records, %d were acknowledged", log, seq, acked)
			}
		}
		for w := range acked {
			h, err := l.Head(t.Context(), fmt.Sprintf("run/%d", w))
			if err != nil {
				t.Fatal(err)
			}
			acked[w] = h.Len
		}
		if err := errors.Join(s.Check(t.Context()), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHeldByAnotherProcess(t *testing.T) {
	path := tempPath(t)
	cmd, lines := child(t, "append", path)
	if !lines.Scan() {
		t.Fatal("the other process did not begin")
	}
	for _, readOnly := range []bool{false, true} {
		_, err := bolt.Open(path, bolt.Options{ReadOnly: readOnly, LockTimeout: 100 * time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d", cmd.Process.Pid)) {
			t.Errorf("got %v, want it to name process %d", err, cmd.Process.Pid)
		}
		if _, e := os.Stat("/proc/self/cmdline"); e == nil && !strings.Contains(err.Error(), "-a-flag-to-be-recognised-by") {
			t.Errorf("got %v, want the command line", err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	open(t, path, bolt.Options{})
}

// fillDisk appends until the file may not grow any more, as on a full disk,
// then makes room and goes on.
func fillDisk(s *bolt.Store) error {
	signal.Ignore(syscall.SIGXFSZ)
	l := store.NewLogs(s)
	ctx := context.Background()
	add := func(seq uint64) error {
		return l.Append(ctx, []store.Append{{Log: "a", Expect: seq, Records: [][]byte{make([]byte, 100<<10)}}}, nil)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	room := limit
	limit.Cur = 1 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	var seq uint64
	for ; seq < 100; seq++ {
		if err := add(seq); err == nil {
			continue
		} else if !errors.Is(err, syscall.EFBIG) || errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), "nothing was stored") {
			return fmt.Errorf("append %d on a full disk: %w", seq, err)
		}
		break
	}
	for range 3 {
		if err := add(seq); !errors.Is(err, syscall.EFBIG) {
			return fmt.Errorf("again on a full disk: %w", err)
		}
		if h, err := l.Verify(ctx, "a"); err != nil || h.Len != seq {
			return fmt.Errorf("read on a full disk: %v, %w", h, err)
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &room); err != nil {
		return err
	}
	for range 20 {
		if err := add(seq); err != nil {
			return fmt.Errorf("when there was room again: %w", err)
		}
		seq++
	}
	fmt.Println(seq)
	return s.Close()
}

func TestDiskFull(t *testing.T) {
	path := tempPath(t)
	cmd, lines := child(t, "full", path)
	var want uint64
	if lines.Scan() {
		if _, err := fmt.Sscan(lines.Text(), &want); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if want < 21 {
		t.Errorf("only %d appends: the disk was full from the beginning", want)
	}
	s := open(t, path, bolt.Options{})
	wantLen(t, store.NewLogs(s), "a", want)
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
