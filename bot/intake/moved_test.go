package intake_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// TestMovedByHand moves the issue of a release that waits for Ann.
func TestMovedByHand(t *testing.T) {
	tests := []struct {
		name   string
		by, to string
		digest string // "now": that of the run
		run    string
		back   string // why it is moved back; empty: it is not
		status playbooks.Status
	}{
		{name: "approved", by: "ann-account", to: "Approved", digest: "now", run: "1", status: playbooks.Status(playbooks.Succeeded)},
		{name: "in other letters", by: "ann-account", to: "APPROVED", digest: "now", run: "1", status: playbooks.Status(playbooks.Succeeded)},
		{name: "rejected", by: "ann-account", to: "Rejected", digest: "now", run: "1", status: playbooks.Status(playbooks.Rejected)},
		{name: "by somebody who is not asked", by: "bob-account", to: "Approved", digest: "now", run: "1", back: "Bob", status: playbooks.StatusWaiting},
		{name: "rejected by somebody who is not asked", by: "bob-account", to: "Rejected", digest: "now", run: "1", back: "Bob", status: playbooks.StatusWaiting},
		{name: "by a stranger", by: "eve-account", to: "Approved", digest: "now", run: "1", back: "Nothing was answered", status: playbooks.StatusWaiting},
		{name: "by Muster", by: "muster-account", to: "Approved", digest: "now", run: "1", status: playbooks.StatusWaiting},
		{name: "of another plan", by: "ann-account", to: "Approved", digest: strings.Repeat("ab", 32), run: "1", back: "has never shown a plan abababab", status: playbooks.StatusWaiting},
		{name: "without a plan", by: "ann-account", to: "Approved", run: "1", back: "did not show which plan", status: playbooks.StatusWaiting},
		{name: "with words for a plan", by: "ann-account", to: "Approved", digest: "yes because", run: "1", back: "did not show which plan", status: playbooks.StatusWaiting},
		{name: "of a run that there is not", by: "ann-account", to: "Approved", digest: "now", run: "77", back: "77", status: playbooks.StatusWaiting},
		{name: "of no run", by: "ann-account", to: "Approved", digest: "now", run: "1 yes", status: playbooks.StatusWaiting},
		{name: "elsewhere", by: "ann-account", to: "In Progress", digest: "now", run: "1", status: playbooks.StatusWaiting},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// A release issue starts no release, whatever the rules say.
			inHouse(t, shop(rule("any", "jira", playbooks.RuleRelease, "staging")), func(t *testing.T, h *house) {
				h.say("ann", "release db@v2.0.0 to production")
				synctest.Wait()
				digest := tt.digest
				if digest == "now" {
					if err := h.engine.View(t.Context(), "1", func(v engine.View) error { digest = v.Run.Book.Digest.String(); return nil }); err != nil {
						t.Fatal(err)
					}
				}
				e := events.Event{
					ID: "d1", Source: "jira", Kind: events.IssueMoved, Subject: "REL-1", Fact: "REL-1 moved 5", From: tt.by,
					Fields: map[string]string{"issue": "REL-1", "from": "Waiting", "to": tt.to, "run": tt.run, "digest": digest, "components": "db"},
				}
				h.take(e)
				e.ID = "d2"
				h.take(e)
				time.Sleep(time.Minute)
				var status playbooks.Status
				if err := h.engine.View(t.Context(), "1", func(v engine.View) error { status = v.Run.Status(); return nil }); err != nil {
					t.Fatal(err)
				}
				if status != tt.status {
					t.Errorf("run 1 is %s, want %s\n%s", status, tt.status, h.log.String())
				}
				back := h.movedBack()
				if (tt.back != "") != strings.HasPrefix(back, "REL-1 to Waiting: ") || !strings.Contains(back, tt.back) {
					t.Errorf("moved back is %q, want %q", back, tt.back)
				}
				h.wantRuns("db@v2.0.0 to production")
				for _, l := range h.spoken() {
					if l.Via != "jira" || l.Cause != "moved/jira/REL-1 moved 5" {
						t.Errorf("the line is %+v", l)
					}
				}
			})
		})
	}
}
