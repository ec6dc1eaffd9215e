package bot_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/store"
)

func TestIssueIsKeptTrue(t *testing.T) {
	inBubble(t, func(t *testing.T, n *newsroom) {
		run := n.mustRelease("production")
		issue := func(want string) local.TrackedIssue {
			t.Helper()
			issues := n.world.Tracker.Issues()
			if len(issues) != 1 {
				t.Fatalf("there are %d issues, want 1", len(issues))
			}
			if issues[0].Status != want {
				t.Errorf("the issue is %q, want %q", issues[0].Status, want)
			}
			return issues[0]
		}
		var digest playbooks.Digest
		n.must(n.engine.View(t.Context(), run, func(v engine.View) error { digest = v.Run.Book.Digest; return nil }))
		first := issue("waiting")
		if first.Run != run || first.Title != "Release 1 → production: api v2.0.0 → v2.1.0, db v1.0.0 → v1.1.0 and web new → v3.1.0" {
			t.Errorf("the issue is %+v", first)
		}
		wantContains(t, "the description", first.Description, "It waits for approval by 1 of leads and 1 of qa")
		wantContains(t, "the plan", first.Plan, "Wave 1", digest.String())
		if first.Digest != digest.String() || len(first.Modules) != 3 || first.Modules[0].From != "v2.0.0" || first.Over {
			t.Errorf("the issue shows plan %s, %+v", first.Digest, first.Modules)
		}
		if first.Fields["plan"] != digest.String() || first.Fields["asked by"] != "Dev" || first.Fields["because"] != "spring sale" {
			t.Errorf("the fields are %v", first.Fields)
		}

		n.world.Inject(local.Fault{Module: "web", Kind: local.Fail})
		n.approve(run, "lea", "quinn")
		issue("deploying")
		n.until(run, playbooks.StatusHeld)
		wantContains(t, "the description", issue("held").Description, "deploy:web (failed): ")
		n.do(playbooks.CommandRollback, "lea", run)
		n.approve(run, "lea")
		n.until(run, playbooks.Status(playbooks.RolledBack))
		last := issue("rolled back")
		if last.Fields["outcome"] != "rolled-back" || last.Fields["plan"] != digest.String() {
			t.Errorf("the fields are %v", last.Fields)
		}
		if updates := len(n.world.Tracker.Journal()) - 1 - len(last.Comments); updates > 12 {
			t.Errorf("%d updates of the issue: each is mail to who watches it", updates)
		}

		head, err := store.NewLogs(n.store).Head(t.Context(), "run/"+run)
		n.must(err)
		want := [][]string{
			{"Lea approved: release ", digest.String(), "When: 2000-01-01 00:00:0", "lea via chat", "Counts until: 2000-01-01 01:00:0"},
			{"Quinn approved: ", digest.String(), "quinn via chat"},
			{"Deploy web v3.1.0 failed at attempt 1", "giving up"},
			{"Lea wants to roll back", "lea via chat"},
			{"The rollback begins: "},
			{"Lea approved: Roll back run 1: "},
			{"Rolled back after ", "This was the plan:", "- api v2.0.0 → v2.1.0", head.Hash.String()},
		}
		if len(last.Comments) != len(want) {
			t.Fatalf("the comments are %+v, want %d", last.Comments, len(want))
		}
		for i, parts := range want {
			wantContains(t, "the comment", last.Comments[i].Text+last.Comments[i].Code, parts...)
		}
	})
}

// TestTrackerOutage takes the tracker away for half an hour: the chat does not
// notice, and afterwards there is one issue with everything.
func TestTrackerOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, n *newsroom) {
		n.trackerFails(errors.New("bad gateway"))
		run := n.mustRelease("production")
		n.approve(run, "lea", "quinn")
		n.until(run, playbooks.Status(playbooks.Succeeded))
		wantContains(t, "the board", n.board("releases"), "released")
		time.Sleep(30 * time.Minute)
		n.intercept(unbroken)
		time.Sleep(2 * time.Minute)
		issues := n.world.Tracker.Issues()
		if len(issues) != 1 || issues[0].Status != "released" || len(issues[0].Comments) != 1 {
			t.Fatalf("the issues are %+v, want one with the backlog in one comment", issues)
		}
		wantContains(t, "the comment", issues[0].Comments[0].Text, "Lea approved", "Quinn approved", "Released after")
	})
}

// trackerRefusal is a tracker's no that stays a no.
type trackerRefusal struct{ error }

func (trackerRefusal) Permanent() bool { return true }

// TestRefusedReportsEnd gives up on what is refused for good as soon as the run is over.
func TestRefusedReportsEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, n *newsroom) {
		n.trackerFails(trackerRefusal{errors.New("no such project")})
		run := n.mustRelease("production")
		n.approve(run, "lea", "quinn")
		n.until(run, playbooks.Status(playbooks.Succeeded))
		if n.unfinished() {
			t.Error("the reports of a run that is over wait for a tracker that refuses them")
		}
	})
}

func (n *newsroom) trackerFails(err error) {
	n.intercept(func(_ context.Context, c local.Call) error {
		if c.System == "tracker" && !c.After {
			return err
		}
		return nil
	})
}

// TestWithoutTracker needs none.
func TestWithoutTracker(t *testing.T) {
	inBubble(t, func(t *testing.T, n *newsroom) {
		n.end()
		n.store = n.store.Reopen()
		n.must(n.open())
		logs := store.NewLogs(n.store)
		n.reporters = bot.NewReporters(bot.ReporterOptions{Engine: n.engine, Logs: logs, Chat: n.world.Chat})
		n.run()
		run := n.mustRelease("production")
		n.reporters.Changed(run)
		pause()
		wantContains(t, "the board", n.board("releases"), "waiting for approval")
		if len(n.asks("request/")) != 2 {
			t.Errorf("asked in %q, want the channels: nobody has a handle", n.asks("request/"))
		}
		keys, err := n.notes()
		n.must(err)
		if slices.ContainsFunc(keys, func(key string) bool { return strings.Contains(key, "tracker") }) {
			t.Errorf("there are notes for a tracker: %q", keys)
		}
	})
}
