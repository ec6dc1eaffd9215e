package intake_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// TestTwoAnswersWithoutName has two people answer, in deliveries that do not say which entry of the history they are
// about. When they are found by looking both count; before that neither is taken for the other.
func TestTwoAnswersWithoutName(t *testing.T) {
	catalog := shop()
	catalog.Environments[1].Approvals = &playbooks.ApprovalPolicy{Rules: []playbooks.ApprovalRule{{Group: "leads", Count: 2}}}
	catalog.Groups[0].Members = []string{"ann", "bob"}
	inHouse(t, catalog, func(t *testing.T, h *house) {
		h.say("ann", "release db@v2.0.0 to production")
		synctest.Wait()
		view := func() (digest string, status playbooks.Status, said int) {
			t.Helper()
			if err := h.engine.View(t.Context(), "1", func(v engine.View) error {
				digest, status = v.Run.Book.Digest.String(), v.Run.Status()
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return digest, status, len(h.spoken())
		}
		digest, _, _ := view()
		moved := func(id, fact, by string) {
			h.take(events.Event{
				ID: id, Source: "jira", Kind: events.IssueMoved, Subject: "REL-1", Fact: fact, From: by,
				Fields: map[string]string{"issue": "REL-1", "from": "Waiting", "to": "Approved", "run": "1", "digest": digest},
			})
			time.Sleep(time.Second)
		}
		moved("d1", "", "ann-account")
		moved("d2", "", "bob-account")
		if _, status, said := view(); status != playbooks.StatusWaiting || said != 0 {
			t.Errorf("run 1 is %s after %d lines that cannot be told apart", status, said)
		}
		moved("d3", "REL-1 moved 5", "ann-account")
		moved("d4", "REL-1 moved 7", "bob-account")
		time.Sleep(time.Minute)
		if _, status, _ := view(); status != playbooks.Status(playbooks.Succeeded) {
			t.Errorf("run 1 is %s after both have answered\n%s", status, h.log.String())
		}
	})
}
