package intake_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
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
