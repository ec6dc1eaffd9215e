package bot_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// TestNewsComesInParts has what one module brings found out soon, and what another does a while later.
func TestNewsComesInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		f := &facade{shows: make(map[string]steps.ForgeState), releases: make(map[string]string)}
		for i := range n.catalog.Modules {
			n.catalog.Modules[i].Source = "shop/" + n.catalog.Modules[i].Name
		}
		began := time.Now()
		describe := func(known map[string]time.Duration) func(context.Context, *playbooks.Catalog, *playbooks.Playbook) {
			return func(_ context.Context, _ *playbooks.Catalog, pb *playbooks.Playbook) {
				for i := range pb.Modules {
					m := &pb.Modules[i]
					m.Changes = &playbooks.Changes{To: m.Version, Unknown: "the forge does not answer"}
					if after, ok := known[m.Name]; ok && time.Since(began) > after {
						m.Changes = &playbooks.Changes{To: m.Version, Commits: []playbooks.Commit{{ID: "1", Title: "What is new in " + m.Name}}}
					}
				}
			}
		}
		n.describe = describe(nil)
		n.equip = func(o *bot.ReporterOptions) {
			o.Forge, o.Describe = f, describe(map[string]time.Duration{"api": 0, "db": 0, "web": 20 * time.Minute})
		}
		n.must(n.start())
		defer func() { n.end() }()
		run := n.mustRelease("production")
		n.do(playbooks.CommandApprove, "lea", run)
		n.do(playbooks.CommandApprove, "quinn", run)
		n.until(run, playbooks.Status(playbooks.Succeeded))
		time.Sleep(10 * time.Minute)
		notes := func(module string) string {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.releases[module]
		}
		if got := notes("api v2.1.0"); !strings.Contains(got, "What is new in api") {
			t.Errorf("the notes of api are %q", got)
		}
		time.Sleep(time.Hour)
		if got := notes("web v3.1.0"); !strings.Contains(got, "What is new in web") {
			t.Errorf("an hour later the notes of web are %q", got)
		}
	})
}
