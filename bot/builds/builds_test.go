package builds_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-release/muster/bot/builds"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/bolt"
	"github.com/muster-release/muster/store/mem"
)

// onEveryStore runs a test on an empty registry in each kind of store. Reopen returns
// the registry as the next process finds it.
func onEveryStore(t *testing.T, test func(t *testing.T, r *builds.Registry, reopen func() *builds.Registry)) {
	t.Run("mem", func(t *testing.T) {
		s := mem.New(mem.Options{})
		test(t, builds.New(store.NewLogs(s)), func() *builds.Registry {
			s = s.Reopen()
			return builds.New(store.NewLogs(s))
		})
	})
	t.Run("bolt", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "muster.db")
		var s *bolt.Store
		open := func() *builds.Registry {
			var err error
			if s, err = bolt.Open(path, bolt.Options{}); err != nil {
				t.Fatal(err)
			}
			return builds.New(store.NewLogs(s))
		}
		t.Cleanup(func() { s.Close() })
		test(t, open(), func() *builds.Registry {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open()
		})
	})
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const (
	commitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	commitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func passed(version, commit string, at time.Time) playbooks.BuildState {
	return playbooks.BuildState{Module: "cart", Version: version, State: playbooks.BuildPassed, Commit: commit, At: at}
}

func failed(version, commit string, at time.Time) playbooks.BuildState {
	b := passed(version, commit, at)
	b.State = playbooks.BuildFailed
	return b
}

func register(t *testing.T, r *builds.Registry, all ...playbooks.BuildState) {
	t.Helper()
	for _, b := range all {
		if _, err := r.Register(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

func TestRegister(t *testing.T) {
	full := passed("v1.0.0", commitA, noon)
	full.Image, full.Digest, full.Tests, full.Coverage = "registry.example/cart", "sha256:1", "12 passed", 81.5
	later := passed("v1.0.0", commitA, noon.Add(time.Hour))
	merged := full
	merged.At = later.At
	tests := []struct {
		name    string
		before  []playbooks.BuildState
		build   playbooks.BuildState
		changed bool
		refused string
		want    playbooks.BuildState // of v1.0.0
	}{
		{"new", nil, full, true, "", full},
		{"again", []playbooks.BuildState{full}, full, false, "", full},
		{"again in another zone", []playbooks.BuildState{full}, passed("v1.0.0", commitA, noon.In(time.FixedZone("x", 3600))), false, "", full},
		{"older and failed", []playbooks.BuildState{full}, failed("v1.0.0", commitA, noon.Add(-time.Hour)), false, "", full},
		{"failed at the same time", []playbooks.BuildState{full}, failed("v1.0.0", commitA, noon), false, "", full},
		{"later and failed", []playbooks.BuildState{passed("v1.0.0", commitA, noon)}, failed("v1.0.0", commitA, noon.Add(time.Hour)), true, "", failed("v1.0.0", commitA, noon.Add(time.Hour))},
		{"later says less", []playbooks.BuildState{full}, later, true, "", merged},
		{"passed after it failed", []playbooks.BuildState{failed("v1.0.0", commitA, noon)}, later, true, "", later},
		{"passed before it failed", []playbooks.BuildState{failed("v1.0.0", commitA, noon)}, passed("v1.0.0", commitA, noon.Add(-time.Hour)), false, "", failed("v1.0.0", commitA, noon)},
		{"another commit", []playbooks.BuildState{full}, passed("v1.0.0", commitB, noon.Add(time.Hour)), false, "was built from commit aaaa", full},
		{"another commit, which failed", []playbooks.BuildState{full}, failed("v1.0.0", commitB, noon.Add(time.Hour)), false, "needs a version of its own", full},
		{"another commit, of what never passed", []playbooks.BuildState{failed("v1.0.0", commitA, noon)}, passed("v1.0.0", commitB, noon.Add(time.Hour)), true, "", passed("v1.0.0", commitB, noon.Add(time.Hour))},
		{"an older commit, of what never passed", []playbooks.BuildState{failed("v1.0.0", commitA, noon)}, passed("v1.0.0", commitB, noon.Add(-time.Hour)), false, "", failed("v1.0.0", commitA, noon)},
		{"running", nil, playbooks.BuildState{Module: "cart", Version: "v1.0.0", State: playbooks.BuildRunning}, false, "not finished", playbooks.BuildState{Module: "cart", Version: "v1.0.0", State: playbooks.BuildMissing}},
		{"no version", nil, playbooks.BuildState{Module: "cart", State: playbooks.BuildPassed}, false, "are needed", playbooks.BuildState{Module: "cart", Version: "v1.0.0", State: playbooks.BuildMissing}},
		{"a version without end", nil, passed(strings.Repeat("x", 40000), commitA, noon), false, "at most 512 bytes", playbooks.BuildState{Module: "cart", Version: "v1.0.0", State: playbooks.BuildMissing}},
	}
	onEveryStore(t, func(t *testing.T, r *builds.Registry, reopen func() *builds.Registry) {
		for i, tt := range tests {
			// Each has a module of its own, whose name is no simple word.
			name := fmt.Sprintf("group/%d%% cart", i)
			of := func(b playbooks.BuildState) playbooks.BuildState { b.Module = name; return b }
			for _, b := range tt.before {
				register(t, r, of(b))
			}
			changed, err := r.Register(t.Context(), of(tt.build))
			if changed != tt.changed || (err != nil) != (tt.refused != "") {
				t.Errorf("%s: changed is %t, %v", tt.name, changed, err)
			}
			if err != nil && (!strings.Contains(err.Error(), tt.refused) || !isPermanent(err) || len(err.Error()) > 500) {
				t.Errorf("%s: refused with %v", tt.name, err)
			}
		}
		r = reopen()
		for i, tt := range tests {
			name := fmt.Sprintf("group/%d%% cart", i)
			got, err := r.Build(t.Context(), name, "v1.0.0")
			got.Module = "cart"
			if err != nil || !got.At.Equal(tt.want.At) {
				t.Errorf("%s: %+v, %v", tt.name, got, err)
			}
			got.At = tt.want.At
			if got != tt.want {
				t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, tt.want)
			}
		}
	})
}

func TestOrder(t *testing.T) {
	onEveryStore(t, func(t *testing.T, r *builds.Registry, reopen func() *builds.Registry) {
		ctx := t.Context()
		if _, found, err := r.Newest(ctx, "cart"); found || err != nil {
			t.Errorf("the newest of nothing: %t, %v", found, err)
		}
		register(t, r,
			passed("v1.9.0", commitA, noon.Add(9*time.Hour)), // of an older line, but done last
			passed("build-7", commitA, noon.Add(7*time.Hour)),
			passed("build-8", commitA, noon.Add(8*time.Hour)),
			passed("v1.10.0", commitB, noon),
			passed("1.9.5", commitB, noon),
			passed("v1.10.1-0.20261124110000-abcdef123456", commitA, noon),
			failed("v2.0.0", commitA, noon),
			playbooks.BuildState{Module: "cartoon", Version: "v9.0.0", State: playbooks.BuildPassed},
		)
		r = reopen()
		want := []string{"v2.0.0", "v1.10.1-0.20261124110000-abcdef123456", "v1.10.0", "1.9.5", "v1.9.0", "build-8", "build-7"}
		for _, limit := range []int{0, 1, 3, 7, 100} {
			all, err := r.Versions(ctx, "cart", limit)
			var got []string
			for _, b := range all {
				got = append(got, b.Version)
			}
			if err != nil || !slices.Equal(got, want[:min(limit, len(want))]) {
				t.Errorf("limit %d: %q, %v", limit, got, err)
			}
		}
		if b, found, err := r.Newest(ctx, "cart"); !found || err != nil || b.Version != want[1] {
			t.Errorf("the newest is %q, %t, %v", b.Version, found, err)
		}
		for commit, version := range map[string]string{commitA: want[1], commitB: "v1.10.0", "cccc": "", "": ""} {
			if got, err := r.VersionOf(ctx, "cart", commit); got != version || err != nil {
				t.Errorf("commit %q: %q, %v", commit, got, err)
			}
		}
		// A newer pipeline of it failed: it is the newest no more.
		register(t, r, failed(want[1], commitA, noon.Add(time.Hour)))
		if b, _, err := r.Newest(ctx, "cart"); err != nil || b.Version != "v1.10.0" {
			t.Errorf("the newest after it failed is %q, %v", b.Version, err)
		}
		only := playbooks.BuildState{Module: "solo", Version: "v1.0.0", State: playbooks.BuildPassed, At: noon, Digest: "sha256:5"}
		register(t, r, only)
		if got, err := r.VersionOfImage(ctx, "solo", "sha256:5"); got != "v1.0.0" || err != nil {
			t.Errorf("by the image's digest: %q, %v", got, err)
		}
		only.State, only.At = playbooks.BuildFailed, noon.Add(time.Hour)
		register(t, r, only)
		if b, found, err := r.Newest(ctx, "solo"); found || err != nil {
			t.Errorf("the newest where none passes: %+v, %v", b, err)
		}
	})
}

func TestForgets(t *testing.T) {
	r := builds.New(store.NewLogs(mem.New(mem.Options{})))
	live, down := "v1.0.1-0.20261101000000-000000000003", true
	r.Spare(func(_ context.Context, module string) ([]string, error) {
		if down {
			return nil, errors.New("nobody knows what is live")
		}
		return []string{live}, nil
	})
	register(t, r, passed("v0.1.0", commitA, noon), passed("nightly", commitA, noon))
	add := func(from, to int) {
		for i := from; i < to; i++ {
			register(t, r, passed(fmt.Sprintf("v1.0.1-0.20261101%06d-%012d", i, i), "", noon.Add(time.Duration(i)*time.Second)))
		}
	}
	add(0, 230)
	count := func() int {
		all, err := r.Versions(t.Context(), "cart", 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if n := count(); n != 232 {
		t.Errorf("%d are kept while it is not known what is live, want all 232", n)
	}
	live, down = fmt.Sprintf("v1.0.1-0.20261101%06d-%012d", 3, 3), false
	add(230, 240)
	if n := count(); n != 203 {
		t.Errorf("%d are kept, want 200 of commits, one that is live and two that have names", n)
	}
	for version, state := range map[string]string{
		live: playbooks.BuildPassed, "v0.1.0": playbooks.BuildPassed, "nightly": playbooks.BuildPassed,
		"v1.0.1-0.20261101000002-000000000002": playbooks.BuildMissing, "v1.0.1-0.20261101000239-000000000239": playbooks.BuildPassed,
	} {
		if b, err := r.Build(t.Context(), "cart", version); b.State != state || err != nil {
			t.Errorf("%s is %s, %v, want %s", version, b.State, err, state)
		}
	}
}

// Many register the same builds at once: one of them says that something changed.
func TestRegisterTogether(t *testing.T) {
	onEveryStore(t, func(t *testing.T, r *builds.Registry, _ func() *builds.Registry) {
		var mu sync.Mutex
		changes := 0
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for i := range 10 {
					changed, err := r.Register(t.Context(), passed(fmt.Sprintf("v1.%d.0", i), commitA, noon))
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					if changed {
						changes++
					}
					mu.Unlock()
				}
			})
		}
		group.Wait()
		if changes != 10 {
			t.Errorf("%d changes, want 10", changes)
		}
		if b, _, err := r.Newest(t.Context(), "cart"); err != nil || b.Version != "v1.9.0" {
			t.Errorf("the newest is %q, %v", b.Version, err)
		}
	})
}

// Whatever happens to a write, the newest build and the builds themselves agree after
// it was repeated.
func TestFaults(t *testing.T) {
	for _, fault := range []mem.Fault{mem.DiskFull, mem.LostAnswer, mem.LostWrite, mem.CrashBefore, mem.CrashAfter} {
		for at := 1; at <= 3; at++ {
			s := mem.New(mem.Options{Before: func(n int) mem.Fault {
				if n == at {
					return fault
				}
				return mem.None
			}})
			for i := range 3 {
				b := passed(fmt.Sprintf("v1.%d.0", i), commitA, noon)
				if _, err := builds.New(store.NewLogs(s)).Register(t.Context(), b); err == nil {
					continue
				}
				s = s.Reopen()
				if _, err := builds.New(store.NewLogs(s)).Register(t.Context(), b); err != nil {
					t.Error(err)
				}
			}
			r := builds.New(store.NewLogs(s))
			b, found, err := r.Newest(t.Context(), "cart")
			all, _ := r.Versions(t.Context(), "cart", 10)
			if err != nil || !found || b.Version != "v1.2.0" || len(all) != 3 {
				t.Errorf("fault %d at write %d: the newest is %q of %d, %v", fault, at, b.Version, len(all), err)
			}
		}
	}
}
