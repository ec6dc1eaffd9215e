package builds_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/builds"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/mem"
)

// shelf is a forge with tags, newest first, and what their pipelines came to.
type shelf struct {
	tags  []string
	calls int
	down  bool
}

func (s *shelf) Tagged(_ context.Context, _ string, limit int) ([]string, error) {
	s.calls++
	if s.down {
		return nil, errors.New("the forge does not answer")
	}
	return s.tags[:min(len(s.tags), limit)], nil
}

func (s *shelf) BuildOf(_ context.Context, module, version string) (playbooks.BuildState, bool, error) {
	s.calls++
	if s.down {
		return playbooks.BuildState{}, false, errors.New("the forge does not answer")
	}
	for i, tag := range s.tags {
		if tag == version {
			return playbooks.BuildState{Module: module, Version: version, State: playbooks.BuildPassed, Commit: "c" + version, At: time.Unix(int64(1000-i), 0)}, true, nil
		}
	}
	return playbooks.BuildState{}, false, nil
}

func TestWhatWasBuiltBeforeIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		forge := &shelf{tags: []string{"v1.3.0", "v1.2.0", "v1.1.0"}, down: true}
		k := builds.NewKnown(builds.New(store.NewLogs(mem.New(mem.Options{}))), forge, slog.New(slog.DiscardHandler))
		state := func(version string) string {
			t.Helper()
			b, err := k.Build(ctx, "cart", version)
			if err != nil {
				t.Fatal(err)
			}
			return b.State
		}
		if got := state("v1.2.0"); got != "missing" {
			t.Errorf("while the forge is down a build is %s", got)
		}
		if all, err := k.Versions(ctx, "cart", 10); err != nil || len(all) != 0 {
			t.Errorf("while the forge is down the versions are %v, %v", all, err)
		}
		forge.down = false
		calls := forge.calls
		if got := state("v1.2.0"); got != "missing" || forge.calls != calls {
			t.Errorf("at once the forge is asked again: %s, %d calls", got, forge.calls-calls)
		}
		time.Sleep(5 * time.Minute)
		if got := state("v1.2.0"); got != "passed" {
			t.Errorf("a build from before is %s", got)
		}
		if got := state("v9.9.9"); got != "missing" {
			t.Errorf("a build that was never made is %s", got)
		}
		calls = forge.calls
		if got := state("v1.2.0"); got != "passed" || forge.calls != calls {
			t.Errorf("what is registered is asked for again: %s, %d calls", got, forge.calls-calls)
		}
		if all, err := k.Versions(ctx, "cart", 10); err != nil || len(all) != 1 || forge.calls != calls {
			t.Errorf("where something is registered the versions are %v, %v, with %d calls", all, err, forge.calls-calls)
		}
		if all, err := k.Versions(ctx, "mail", 10); err != nil || len(all) != 3 || all[0].Version != "v1.3.0" {
			t.Errorf("where nothing is registered the versions are %v, %v", all, err)
		}
	})
}
