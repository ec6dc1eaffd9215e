package intake_test

import (
	"testing"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
)

// What is taken back while a rule waits for its build is not released when the build is there.
func TestWithdrawnWhileItWaits(t *testing.T) {
	moved := tag("shop/api", "v1.4.0")
	moved.Fact += " on another commit"
	for name, confirm := range map[string]func(events.Event) (events.Event, bool, error){
		"deleted": func(e events.Event) (events.Event, bool, error) { return e, e.Kind != events.Tag, nil },
		"moved": func(e events.Event) (events.Event, bool, error) {
			if e.Kind == events.Tag {
				return moved, true, nil
			}
			return e, true, nil
		},
		"out of sight": func(e events.Event) (events.Event, bool, error) {
			if e.Kind == events.Tag {
				return e, false, denied{}
			}
			return e, true, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "strict")), func(t *testing.T, h *house) {
				h.forge.built["1"] = []playbooks.BuildState{{Module: "api", Version: "v1.4.0", State: playbooks.BuildPassed, Commit: "c1", At: time.Now()}}
				h.take(tag("shop/api", "v1.4.0"))
				time.Sleep(time.Minute)
				h.forge.set(func() { h.forge.confirm = confirm })
				h.take(pipeline("shop/api", "c1", "1"))
				time.Sleep(10 * time.Minute)
				h.wantRuns()
				if n := h.keys("intake/waiting/"); n != 0 {
					t.Errorf("%d tags wait still", n)
				}
			})
		})
	}
	// While the forge does not answer it is not known, and then it is.
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "strict")), func(t *testing.T, h *house) {
		h.take(tag("shop/api", "v1.4.0"))
		time.Sleep(time.Minute)
		registered(h, "api", "v1.4.0", "c1")
		h.forge.set(func() { h.forge.err = errDown })
		time.Sleep(10 * time.Minute)
		h.wantRuns()
		h.forge.set(func() { h.forge.err = nil })
		time.Sleep(2 * time.Minute)
		h.wantRuns("api@v1.4.0 to strict")
	})
}

// What was captured long ago and is delivered again leads to nothing, though it is forgotten what it led to.
func TestLongAgo(t *testing.T) {
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RulePlan, "staging")), func(t *testing.T, h *house) {
		e := tag("shop/api", "v1.4.0")
		e.At = time.Now()
		h.take(e)
		h.wantHeard("#staging", "Plan ")
		time.Sleep(40 * 24 * time.Hour)
		e.ID = "again"
		h.take(e)
		time.Sleep(time.Minute)
		h.wantHeard("#staging", "Plan ")
	})
}

// A rule that was taken out of the configuration holds nothing more, though the alert fires still; one that was changed
// holds what it says now.
func TestRuleOfAnAlertChanges(t *testing.T) {
	inHouse(t, shop(holds("")), func(t *testing.T, h *house) {
		paused := func(run string) string {
			time.Sleep(10 * time.Minute)
			why, _ := h.view(run)
			return why
		}
		h.take(alert(events.AlertFiring, "db", time.Now(), "a1"))
		h.say("ann", "release db@v2.0.0 to production")
		if paused("1") == "" {
			t.Error("run 1 is not held")
		}
		h.say("ann", "abort 1 yes")
		h.engine.SetPolicy(playbooks.NewPolicy(shop()))
		h.say("ann", "release db@v2.0.0 to production")
		if why := paused("2"); why != "" {
			t.Errorf("run 2 is held by a rule that is not there any more: %s", why)
		}
		other := holds("")
		other.Modules = []string{"lib"}
		h.engine.SetPolicy(playbooks.NewPolicy(shop(other)))
		h.say("ann", "release lib@v2.0.0 to production")
		if why := paused("2"); why != "" {
			t.Errorf("run 2 is held, of a module that the rule does not name any more: %s", why)
		}
		if paused("3") == "" {
			t.Error("run 3 is not held, of the module that the rule names now")
		}
	})
}

// A rule that is taken out of the configuration while it waits for a build releases nothing when the build is there.
func TestRuleIsGoneWhileItWaits(t *testing.T) {
	for _, action := range []playbooks.RuleAction{playbooks.RuleRelease, playbooks.RulePlan} {
		inHouse(t, shop(rule("main", "gitlab push", action, "staging")), func(t *testing.T, h *house) {
			h.take(push("shop/api", "c1"))
			time.Sleep(time.Minute)
			h.engine.SetPolicy(playbooks.NewPolicy(shop()))
			registered(h, "api", "v1.2.0", "c1")
			time.Sleep(10 * time.Minute)
			h.wantRuns()
			h.wantHeard("#staging")
			if n := h.keys("intake/waiting/"); n != 0 {
				t.Errorf("%d pushes wait still", n)
			}
		})
	}
}
