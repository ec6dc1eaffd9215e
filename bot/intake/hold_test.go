package intake_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
)

func holds(to string) playbooks.Rule {
	return rule("alerts", "alertmanager", playbooks.RuleHold, to)
}

// An alert holds the release of a module if it is about that, or about what needs it, and
// nothing else.
func TestHolds(t *testing.T) {
	tests := []struct {
		alert string // its label
		to    string
		runs  []string // that are paused
	}{
		{"db", "", []string{"1"}},
		{"api", "", []string{"1", "2"}},      // needs db
		{"frontend", "", []string{"1", "2"}}, // web by its label; it needs both
		{"frontend", "staging", nil},
		{"frontend", "production", []string{"1", "2"}},
		{"lib", "", []string{"3"}},
		{"unheard-of", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.alert+" "+tt.to, func(t *testing.T) {
			inHouse(t, shop(holds(tt.to)), func(t *testing.T, h *house) {
				for _, line := range []string{"release db@v2.0.0 to production", "release api@v2.0.0 to production", "release lib@v2.0.0 to production"} {
					h.say("ann", line)
				}
				h.take(alert(events.AlertFiring, tt.alert, time.Now(), "a1"))
				time.Sleep(time.Second)
				var paused []string
				for _, run := range []string{"1", "2", "3"} {
					if why, _ := h.view(run); why != "" {
						paused = append(paused, run)
						if want := "alert HighErrors fires"; why != want {
							t.Errorf("run %s is paused because %q, want %q", run, why, want)
						}
					}
				}
				if !slices.Equal(paused, tt.runs) {
					t.Errorf("paused are %q, want %q\n%s", paused, tt.runs, h.log.String())
				}
			})
		})
	}
}

// Whoever resumes a run has the last word, until the alert fires anew. What begins while it
// fires is held as well. When it is resolved, what was held is told, and stays held.
func TestHoldsOnce(t *testing.T) {
	inHouse(t, shop(holds("")), func(t *testing.T, h *house) {
		began := time.Now()
		h.say("ann", "release db@v2.0.0 to production")
		h.take(alert(events.AlertFiring, "api", began, "a1"))
		time.Sleep(time.Second)
		h.say("ann", "resume 1")
		h.take(alert(events.AlertFiring, "api", began, "a2"))
		time.Sleep(time.Hour)
		h.restart()
		h.take(alert(events.AlertFiring, "api", began, "a3"))
		time.Sleep(time.Hour)
		if why, _ := h.view("1"); why != "" {
			t.Errorf("run 1 is paused again: %s", why)
		}
		h.say("ann", "release api@v2.0.0 to production")
		time.Sleep(2 * time.Minute)
		if why, _ := h.view("2"); why == "" {
			t.Error("a run that began while the alert fires is not held")
		}
		resolved := alert(events.AlertResolved, "api", began, "r1")
		resolved.At = time.Now()
		h.take(resolved, resolved)
		time.Sleep(time.Second)
		why, notes := h.view("2")
		if want := "alert HighErrors is resolved; this run was held because of it. To go on, type: resume 2"; len(notes) != 1 || notes[0] != want || why == "" {
			t.Errorf("run 2 is told %q, and is paused because %q", notes, why)
		}
		h.say("ann", "resume 2")
		h.take(alert(events.AlertFiring, "api", began, "a4")) // an old one comes late
		time.Sleep(10 * time.Minute)
		if why, _ := h.view("2"); why != "" {
			t.Errorf("old news hold run 2: %s", why)
		}
		h.take(alert(events.AlertFiring, "api", time.Now(), "a5"))
		time.Sleep(time.Second)
		if why, _ := h.view("1"); why == "" {
			t.Error("an alert that fires anew does not hold run 1")
		}
		pauses := 0
		for _, l := range h.spoken() {
			if strings.HasPrefix(l.Text, "pause ") {
				pauses++
			}
		}
		if pauses != 4 {
			t.Errorf("%d lines pause a run, want one for each run and time", pauses)
		}
	})
}

// News that an alert is resolved may come before those that it fires.
func TestResolvedFirst(t *testing.T) {
	inHouse(t, shop(holds("")), func(t *testing.T, h *house) {
		began := time.Now()
		h.say("ann", "release db@v2.0.0 to production")
		time.Sleep(time.Hour)
		resolved := alert(events.AlertResolved, "db", began, "r1")
		resolved.At = time.Now()
		h.take(resolved, alert(events.AlertFiring, "db", began, "a1"))
		time.Sleep(10 * time.Minute)
		if why, _ := h.view("1"); why != "" {
			t.Errorf("run 1 is held: %s", why)
		}
	})
}

// A run that is paused already is held when somebody lets it go on.
func TestHoldsWhatIsResumed(t *testing.T) {
	inHouse(t, shop(holds("")), func(t *testing.T, h *house) {
		h.say("ann", "release db@v2.0.0 to production")
		h.say("ann", "pause 1 because of lunch")
		h.take(alert(events.AlertFiring, "db", time.Now(), "a1"))
		time.Sleep(5 * time.Minute)
		if why, _ := h.view("1"); why != "lunch" {
			t.Errorf("run 1 is paused because of %q", why)
		}
		h.say("ann", "resume 1")
		time.Sleep(2 * time.Minute)
		if why, _ := h.view("1"); !strings.HasPrefix(why, "alert HighErrors") {
			t.Errorf("run 1 is paused because of %q", why)
		}
	})
}

func TestMayNotHold(t *testing.T) {
	r := holds("")
	r.As = "bob"
	inHouse(t, shop(r), func(t *testing.T, h *house) {
		h.say("ann", "release db@v2.0.0 to production")
		h.take(alert(events.AlertFiring, "db", time.Now(), "a1"))
		time.Sleep(time.Hour)
		h.take(alert(events.AlertFiring, "db", time.Now().Add(-time.Hour), "a2"))
		time.Sleep(time.Hour)
		h.wantHeard("#production", "By rule alerts: alert HighErrors fires. No: Bob may not operate db in production.")
		if why, _ := h.view("1"); why != "" {
			t.Errorf("run 1 is paused: %s", why)
		}
	})
}

// Alertmanager's repeats of an alert have one ID. They keep it alive.
func TestRepeatedAlert(t *testing.T) {
	inHouse(t, shop(holds("")), func(t *testing.T, h *house) {
		began := time.Now()
		for range 5 {
			h.take(alert(events.AlertFiring, "db", began, "a1"))
			time.Sleep(4 * time.Hour)
		}
		h.say("ann", "release db@v2.0.0 to production")
		time.Sleep(10 * time.Minute)
		if why, _ := h.view("1"); why == "" {
			t.Error("run 1 is not held though the alert fires still")
		}
		h.say("ann", "resume 1")
		h.take(alert(events.AlertFiring, "db", began, "a1"))
		time.Sleep(10 * time.Minute)
		if why, _ := h.view("1"); why != "" {
			t.Errorf("run 1 is held again: %s", why)
		}
	})
}

// What nobody resolved holds for half a day after it was last heard of.
func TestStaleAlert(t *testing.T) {
	inHouse(t, shop(holds("")), func(t *testing.T, h *house) {
		h.take(alert(events.AlertFiring, "db", time.Now(), "a1"))
		time.Sleep(13 * time.Hour)
		h.say("ann", "release db@v2.0.0 to production")
		time.Sleep(10 * time.Minute)
		if why, _ := h.view("1"); why != "" {
			t.Errorf("run 1 is paused: %s", why)
		}
		time.Sleep(4 * 24 * time.Hour)
		if n := h.keys("intake/firing/"); n != 0 {
			t.Errorf("%d alerts are kept", n)
		}
	})
}
