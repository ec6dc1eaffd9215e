package bot_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// facade is a forge's pages: what they show, and how often they were changed.
type facade struct {
	mu       sync.Mutex
	shows    map[string]steps.ForgeState // by "module version"
	releases map[string]string           // module version → notes
	calls    int
	down     bool
}

func (f *facade) Record(_ context.Context, r steps.ForgeRecord) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls++; f.down {
		return errors.New("the forge does not answer")
	}
	f.shows[r.Module.Name+" "+r.Version] = r.State
	return nil
}

func (f *facade) Release(_ context.Context, r steps.ForgeRelease) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.releases[r.Module.Name+" "+r.Version] = r.Notes
	return nil
}

func (f *facade) pages() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for what, state := range f.shows {
		all = append(all, what+" "+string(state))
	}
	for what := range f.releases {
		all = append(all, what+" released")
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func atTheForge(t *testing.T, test func(*testing.T, *newsroom, *facade)) {
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		f := &facade{shows: make(map[string]steps.ForgeState), releases: make(map[string]string)}
		for i := range n.catalog.Modules {
			if m := &n.catalog.Modules[i]; m.Name != "db" { // which others make
				m.Source = "shop/" + m.Name
			}
		}
		n.equip = func(o *bot.ReporterOptions) { o.Forge = f }
		n.must(n.start())
		defer func() { n.end() }()
		test(t, n, f)
	})
}

func TestForgeShowsTheRelease(t *testing.T) {
	atTheForge(t, func(t *testing.T, n *newsroom, f *facade) {
		run := n.mustRelease("production")
		if got, want := f.pages(), "api v2.1.0 pending, web v3.1.0 pending"; got != want {
			t.Errorf("at first the forge shows %q, want %q", got, want)
		}
		n.do(playbooks.CommandApprove, "lea", run)
		f.mu.Lock()
		f.down = true
		f.mu.Unlock()
		n.do(playbooks.CommandApprove, "quinn", run)
		n.until(run, playbooks.Status(playbooks.Succeeded))
		f.mu.Lock()
		f.down = false
		f.mu.Unlock()
		n.restart()
		time.Sleep(2 * time.Minute)
		if got, want := f.pages(), "api v2.1.0 released, api v2.1.0 success, web v3.1.0 released, web v3.1.0 success"; got != want {
			t.Errorf("in the end the forge shows %q, want %q", got, want)
		}
		if notes := f.releases["api v2.1.0"]; !strings.Contains(notes, "## api v2.1.0") || strings.Contains(notes, "web") {
			t.Errorf("the notes are %q", notes)
		}
		f.mu.Lock()
		calls := f.calls
		f.mu.Unlock()
		n.restart()
		time.Sleep(time.Hour)
		if f.calls != calls {
			t.Errorf("%d calls after all was shown", f.calls-calls)
		}
	})
}

func TestForgeShowsTheWayBack(t *testing.T) {
	atTheForge(t, func(t *testing.T, n *newsroom, f *facade) {
		n.world.Inject(local.Fault{Module: "web", Kind: local.Fail})
		run := n.mustRelease("production")
		n.do(playbooks.CommandApprove, "lea", run)
		n.do(playbooks.CommandApprove, "quinn", run)
		n.until(run, playbooks.StatusHeld)
		if got, want := f.pages(), "api v2.1.0 success, web v3.1.0 failed"; got != want {
			t.Errorf("held, the forge shows %q, want %q", got, want)
		}
		n.do(playbooks.CommandRollback, "lea", run)
		n.do(playbooks.CommandApprove, "lea", run)
		n.until(run, playbooks.Status(playbooks.RolledBack))
		time.Sleep(time.Minute)
		if got, want := f.pages(), "api v2.0.0 success, api v2.1.0 success, web v3.1.0 failed"; got != want {
			t.Errorf("after the way back the forge shows %q, want %q", got, want)
		}
	})
}

// TestNewsOfAPlan shows what a module brings in the request, and in the notes.
func TestNewsOfAPlan(t *testing.T) {
	changes := func(n int) *playbooks.Changes {
		c := &playbooks.Changes{Authors: []string{"Ann", "Bob"}, Stories: []playbooks.Story{{Key: "SHOP-1", Title: "Carts survive"}}}
		for i := range n {
			c.Commits = append(c.Commits, playbooks.Commit{ID: fmt.Sprint(i), Title: "tidy"})
		}
		return c
	}
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		n.describe = func(_ context.Context, _ *playbooks.Catalog, pb *playbooks.Playbook) {
			for i := range pb.Modules {
				if pb.Modules[i].Name == "api" {
					pb.Modules[i].Changes = changes(12)
				}
			}
		}
		n.must(n.start())
		defer func() { n.end() }()
		n.mustRelease("production")
		request := drawn(n.one("request/1/", "releases").Card)
		wantContains(t, "the request", strings.Join(strings.Fields(request), " "), "v2.0.0 → v2.1.0: 12 commits by Ann and Bob; SHOP-1")
	})
}
