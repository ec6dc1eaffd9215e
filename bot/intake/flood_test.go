package intake_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
)

// What anybody can make happen as often as they like, and that no rule is for, costs no question: there are only so
// many that a system answers. What waits is told all the same.
func TestFloodCostsNoQuestions(t *testing.T) {
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging")), func(t *testing.T, h *house) {
		h.forge.set(func() { h.forge.err = errDown })
		var all []events.Event
		for _, kind := range []events.Kind{events.Note, events.Push, events.Job, events.Deployment, events.Release} {
			for i := range 200 {
				e := push("shop/api", fmt.Sprintf("%s%d", kind, i))
				e.Kind, e.Subject = kind, e.ID
				all = append(all, e)
			}
		}
		for i := range 200 {
			e := pipeline("somebody/else", "c1", fmt.Sprint(i))
			e.Subject = e.ID
			all = append(all, e)
		}
		h.take(all...)
		synctest.Wait()
		if n := h.keys("intake/event/"); n != 0 || h.forge.confirms != 0 {
			t.Errorf("%d events wait, and the forge was asked %d times", n, h.forge.confirms)
		}
		if h.signalled() == "" {
			t.Error("nothing was told to look")
		}
		h.forge.set(func() { h.forge.err = nil })
		h.take(tag("shop/api", "v1.4.0"))
		h.wantRuns("api@v1.4.0 to staging")
	})
}

// A clock that was ahead when it was looked last, and was put right, does not hide what happens until that time.
func TestClockWasAhead(t *testing.T) {
	inHouse(t, shop(), func(t *testing.T, h *house) {
		ahead, err := json.Marshal(time.Now().Add(24 * time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if err := store.NewLogs(h.store).Set(t.Context(), store.Set{Key: "intake/cursor/gitlab", Value: ahead}); err != nil {
			t.Fatal(err)
		}
		h.restart()
		synctest.Wait()
		h.forge.set(func() {
			if len(h.forge.since) == 0 || h.forge.since[len(h.forge.since)-1].After(time.Now()) {
				t.Errorf("looked is from %v, which is to come", h.forge.since)
			}
		})
	})
}
