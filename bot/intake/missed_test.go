package intake_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
)

// A webhook that never came costs minutes.
func TestMissed(t *testing.T) {
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging")), func(t *testing.T, h *house) {
		h.forge.set(func() { h.forge.missed = []events.Event{tag("shop/api", "v0.9.0")} })
		synctest.Wait()
		h.wantRuns() // what was before Muster came
		lost := tag("shop/api", "v1.4.0")
		lost.ID = ""
		nothing := tag("shop/api", "v1.5.0")
		nothing.ID, nothing.Fact = "", ""
		h.forge.set(func() { h.forge.missed = []events.Event{lost, nothing} })
		time.Sleep(3 * time.Minute)
		h.wantRuns("api@v1.4.0 to staging")
		h.take(tag("shop/api", "v1.4.0")) // it comes after all
		time.Sleep(time.Hour)
		h.restart()
		time.Sleep(time.Hour)
		h.wantRuns("api@v1.4.0 to staging")
	})
}

// What was delivered is not asked about again when it is found by looking.
func TestMissedIsKnown(t *testing.T) {
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging")), func(t *testing.T, h *house) {
		h.take(tag("shop/api", "v1.4.0"))
		synctest.Wait()
		found := tag("shop/api", "v1.4.0")
		found.ID = ""
		h.forge.set(func() { h.forge.missed = []events.Event{found} })
		time.Sleep(time.Hour)
		h.forge.set(func() {
			if h.forge.confirms != 1 {
				t.Errorf("the origin was asked %d times, want once", h.forge.confirms)
			}
		})
	})
}

// It is looked from the last time that it could be, and a little before that.
func TestMissedSince(t *testing.T) {
	inHouse(t, shop(), func(t *testing.T, h *house) {
		h.forge.set(func() {
			if len(h.forge.since) != 0 {
				t.Errorf("at first is looked from %v, want not at all", h.forge.since)
			}
		})
		time.Sleep(35 * time.Minute)
		h.forge.set(func() { h.forge.err = errDown })
		last := time.Now().Add(-time.Minute) // at the 34th minute
		time.Sleep(3 * time.Hour)
		h.restart()
		h.forge.set(func() { h.forge.err, h.forge.since = nil, nil })
		time.Sleep(3 * time.Minute)
		h.forge.set(func() {
			if len(h.forge.since) == 0 || !h.forge.since[0].Equal(last.Add(-10*time.Minute)) {
				t.Errorf("looked is from %v, want ten minutes before %v", h.forge.since, last)
			}
		})
		h.stop()
		h.store = h.store.Reopen()
		time.Sleep(30 * 24 * time.Hour)
		h.forge.set(func() { h.forge.since = nil })
		h.start()
		synctest.Wait()
		h.forge.set(func() {
			if len(h.forge.since) != 1 || time.Since(h.forge.since[0]) != 7*24*time.Hour {
				t.Errorf("after a month is looked from %v", h.forge.since)
			}
		})
	})
}
