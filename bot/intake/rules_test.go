package intake_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store/mem"
)

func TestTagReleases(t *testing.T) {
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging", "tag", "v*")), func(t *testing.T, h *house) {
		h.take(tag("shop/api", "v1.4.0"))
		time.Sleep(time.Minute)
		h.wantRuns("api@v1.4.0 to staging")
		h.take(tag("shop/api", "v1.4.0")) // delivered again
		again := tag("shop/api", "v1.4.0")
		again.ID = "another"
		h.take(again) // and by another hook
		time.Sleep(time.Minute)
		h.restart()
		h.take(tag("shop/api", "v1.4.0"))
		time.Sleep(time.Minute)
		h.wantRuns("api@v1.4.0 to staging")
		h.wantHeard("#staging") // the run's reporters do that
		for _, l := range h.spoken() {
			if l.By != "robot" || l.Via != "gitlab" || l.Rule != "tags" || l.Cause != "rule/tags/tag shop/api v1.4.0" ||
				l.Text != "release api@v1.4.0 to staging because tag v1.4.0 in shop/api by ann" {
				t.Errorf("the line is %+v", l)
			}
		}
	})
}

func TestTagPlans(t *testing.T) {
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RulePlan, "production", "tag", "v*")), func(t *testing.T, h *house) {
		h.take(tag("shop/api", "v1.4.0"))
		h.wantHeard("#production", "By rule tags: tag v1.4.0 in shop/api by ann. Plan ")
		card := h.world.Chat.Messages("#production")[0].Card
		if len(card.Actions) != 1 || !strings.HasPrefix(card.Actions[0].Command, "release ") {
			t.Errorf("the buttons are %+v", card.Actions)
		}
		h.restart()
		again := tag("shop/api", "v1.4.0")
		again.ID = "another"
		h.take(again)
		time.Sleep(time.Hour)
		h.wantHeard("#production", "Plan ")
		h.wantRuns()
	})
}

// What nobody may do is said in the channel, with the reason.
func TestRefusedRelease(t *testing.T) {
	r := rule("tags", "gitlab tag", playbooks.RuleRelease, "staging")
	r.As = "guest"
	r.Channels = []string{"#one", "#two"}
	inHouse(t, shop(r), func(t *testing.T, h *house) {
		h.take(tag("shop/api", "v1.4.0"))
		for _, channel := range r.Channels {
			h.wantHeard(channel, "By rule tags: tag v1.4.0 in shop/api by ann. No: guest may not release api in staging.")
		}
		h.wantHeard("#staging")
		h.wantRuns()
	})
}

func TestModulesOfAnEvent(t *testing.T) {
	project := func(e events.Event, name string) events.Event {
		e.Fields["project"] = name
		return e
	}
	sub := tag("shop/api", "v2.0.0")
	sub.Link = "https://git.example/sub/shop/api/-/tags/v2.0.0"
	other := tag("shop/api", "v2.0.0")
	other.Link = "https://other.example/shop/api/-/tags/v2.0.0"
	tests := []struct {
		name  string
		event events.Event
		want  string // of the line; empty: nothing
	}{
		{"with the host", tag("shop/api", "v2.0.0"), "api@v2.0.0"},
		{"without", tag("shop/db", "v2.0.0"), "db@v2.0.0"},
		{"in other letters", tag("Shop/DB", "v2.0.0"), "db@v2.0.0"},
		{"below a folder of the host", sub, "api@v2.0.0"},
		{"of another host", other, ""},
		{"the end of a path is another project", tag("example/shop/api", "v2.0.0"), ""},
		{"the longest prefix", tag("shop/mono", "web/v2.0.0"), "web@v2.0.0"},
		{"another prefix", tag("shop/mono", "all/v2.0.0"), "\"all@v2.0.0\""},
		{"no prefix", tag("shop/mono", "v2.0.0"), "lib@v2.0.0"},
		{"an unknown project", tag("shop/none", "v2.0.0"), ""},
		{"no project", project(tag("shop/none", "v2.0.0"), ""), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RulePlan, "production")), func(t *testing.T, h *house) {
				h.take(tt.event)
				synctest.Wait()
				got := ""
				for _, l := range h.spoken() {
					got, _, _ = strings.Cut(strings.TrimPrefix(l.Text, "plan "), " to production")
				}
				if got != tt.want {
					t.Errorf("planned is %q, want %q\n%s", got, tt.want, h.log.String())
				}
			})
		})
	}
}

// Nothing that comes from outside becomes a word of a line unless it looks like a version.
func TestHostileWords(t *testing.T) {
	for _, name := range []string{
		"v1 to production override because", "v1\nrelease all to production", "v1 yes", `v1" to production "`, "-rf", "", "v1,", "v1@v2",
		"v" + strings.Repeat("1", 200), "v1\u202e2", "v1\x00", "…",
	} {
		inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging", "tag", "*")), func(t *testing.T, h *house) {
			h.take(tag("shop/api", name))
			time.Sleep(time.Minute)
			if name != "" {
				h.wantLog("no version")
				h.wantRuns()
			}
		})
	}
	// The text of the reason is free, but it is text.
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging")), func(t *testing.T, h *house) {
		e := tag("shop/api", "v1.4.0")
		e.From = "ann\nbecause\x1b[31m \u202e<@U1> override " + strings.Repeat("x", 5000)
		h.take(e)
		time.Sleep(time.Minute)
		h.wantRuns("api@v1.4.0 to staging")
		if text := h.spoken()[0].Text; len(text) > 600 || strings.ContainsAny(text, "\n\x1b\u202e") {
			t.Errorf("the line is %q", text)
		}
	})
}

func TestPrecedence(t *testing.T) {
	catalog := shop(
		rule("drafts", "gitlab tag", playbooks.RuleIgnore, "", "tag", "*-draft"),
		rule("looks", "gitlab tag", playbooks.RuleSignal, "", "project", "shop/db"),
		rule("others", "jira tag", playbooks.RuleRelease, "staging"),
		rule("tags", "gitlab tag", playbooks.RulePlan, "staging", "tag", "v*"),
		rule("late", "gitlab", playbooks.RuleRelease, "staging"),
	)
	inHouse(t, catalog, func(t *testing.T, h *house) {
		deleted := tag("shop/api", "v9.0.0")
		deleted.Fields["deleted"] = "true"
		h.take(tag("shop/api", "v1.4.0-draft"), tag("shop/db", "v2.0.0"), tag("shop/api", "v1.5.0"), deleted)
		time.Sleep(time.Minute)
		h.wantHeard("#staging", "By rule tags: tag v1.5.0")
		h.wantRuns()
		if got := h.signalled(); strings.Count(got, "db") != 2 {
			t.Errorf("signalled are %s, want db for the event and for the rule", got)
		}
	})
}

// A rule about an issue says which modules, or the issue's components do.
func TestIssueMovedPlans(t *testing.T) {
	moved := func(components string) events.Event {
		return events.Event{
			ID: "d" + components, Source: "jira", Kind: events.IssueMoved, Subject: "ABC-7", Fact: "ABC-7 " + components, From: "ann-account",
			Fields: map[string]string{"issue": "ABC-7", "to": "Ready for release", "components": components},
		}
	}
	inHouse(t, shop(rule("ready", "jira issue-moved", playbooks.RulePlan, "production", "to", "Ready for release")), func(t *testing.T, h *house) {
		registered(h, "api", "v1.7.0", "c7")
		h.take(moved("Payments, db"), moved("Unheard of"), moved(""))
		h.wantHeard("#production", "By rule ready: ABC-7 moved to Ready for release by ann-account. Plan ")
		if got := h.spoken()[0].Text; !strings.HasPrefix(got, "plan db api@v1.7.0 to production because") {
			t.Errorf("the line is %q", got)
		}
		if len(h.spoken()) != 1 {
			t.Errorf("%d lines are said", len(h.spoken()))
		}
	})
}

func registered(h *house, module, version, commit string) {
	h.t.Helper()
	_, err := h.registry.Register(h.t.Context(), playbooks.BuildState{Module: module, Version: version, State: playbooks.BuildPassed, Commit: commit, At: time.Now()})
	if err != nil {
		h.t.Fatal(err)
	}
}

// A push waits for the build of its commit.
func TestPushWaitsForItsBuild(t *testing.T) {
	inHouse(t, shop(rule("main", "gitlab push", playbooks.RulePlan, "staging", "branch", "main")), func(t *testing.T, h *house) {
		h.forge.built["1"] = []playbooks.BuildState{{Module: "api", Version: "v1.1.0", State: playbooks.BuildFailed, Commit: "c1", At: time.Now()}}
		h.forge.built["2"] = []playbooks.BuildState{{Module: "api", Version: "v1.2.0", State: playbooks.BuildPassed, Commit: "c2", At: time.Now()}}
		h.take(push("shop/api", "c2"), push("shop/api", "c1"))
		time.Sleep(time.Hour)
		h.wantHeard("#staging")
		h.take(pipeline("shop/api", "c1", "1"))
		h.wantHeard("#staging")
		h.restart()
		h.take(pipeline("shop/api", "c2", "2"))
		h.wantHeard("#staging", "By rule main: push of c2 to main in shop/api by ann. Plan ")
		if got := h.spoken()[0].Text; !strings.HasPrefix(got, "plan api@v1.2.0 to staging ") {
			t.Errorf("the line is %q", got)
		}
		late := pipeline("shop/api", "c2", "2")
		late.ID = "again"
		h.take(late)
		time.Sleep(22 * time.Hour)
		h.wantHeard("#staging", "Plan ")
		if n := h.keys("intake/waiting/"); n != 1 {
			t.Errorf("%d pushes wait, want that of c1", n)
		}
		time.Sleep(2 * time.Hour)
		h.wantLog("a rule gives up")
		if n := h.keys("intake/waiting/"); n != 0 {
			t.Errorf("%d pushes wait still", n)
		}
		// Built at last, after it was given up.
		registered(h, "api", "v1.1.0", "c1")
		time.Sleep(time.Hour)
		h.wantHeard("#staging", "Plan ", "By rule main: push of c1 to main in shop/api by ann. Nothing was done: for 24 hours there was no build that passed of api of commit c1.")
	})
}

// Where nothing is released but what is registered, a tag waits as well.
func TestTagWaitsWhereOnlyBuildsAreReleased(t *testing.T) {
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "strict")), func(t *testing.T, h *house) {
		h.forge.built["1"] = []playbooks.BuildState{{Module: "api", Version: "v1.4.0", State: playbooks.BuildPassed, Commit: "c1", At: time.Now()}}
		h.take(tag("shop/api", "v1.4.0"))
		time.Sleep(time.Hour)
		h.wantRuns()
		h.take(pipeline("shop/api", "c1", "1"))
		time.Sleep(time.Minute)
		h.wantRuns("api@v1.4.0 to strict")
	})
}

// What people told the forge, and then took back, leads to nothing; what is true now counts.
func TestWhatIsTrueNow(t *testing.T) {
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging"), rule("main", "gitlab push", playbooks.RulePlan, "staging")), func(t *testing.T, h *house) {
		registered(h, "api", "v1.8.0", "head")
		h.forge.confirm = func(e events.Event) (events.Event, bool, error) {
			if e.Kind == events.Push {
				return push("shop/api", "head"), true, nil
			}
			return e, false, nil
		}
		h.take(tag("shop/api", "v1.4.0"), push("shop/api", "c2"), push("shop/api", "c1"), push("shop/api", "c3"))
		time.Sleep(time.Minute)
		h.wantRuns()
		h.wantHeard("#staging", "By rule main: push of head to main")
	})
}

func TestOriginIsDown(t *testing.T) {
	for _, down := range []error{errDown, busy{5 * time.Minute}} {
		inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging"), rule("alerts", "alertmanager", playbooks.RuleSignal, "")), func(t *testing.T, h *house) {
			h.forge.set(func() { h.forge.err = down })
			var all []events.Event
			for i := range 500 {
				e := tag("shop/none", fmt.Sprintf("v1.0.%d", i))
				e.Subject = e.ID
				all = append(all, e)
			}
			h.take(append(all, tag("shop/api", "v1.4.0"))...)
			h.take(alert(events.AlertFiring, "db", time.Now(), "a1"))
			synctest.Wait()
			if got := h.signalled(); got == "" {
				t.Error("one system's outage holds up another's events")
			}
			time.Sleep(5 * time.Hour)
			h.wantRuns()
			h.restart()
			time.Sleep(5 * time.Hour)
			h.forge.set(func() {
				if h.forge.confirms > 16*60*10+100 {
					t.Errorf("the origin was asked %d times while it was down", h.forge.confirms)
				}
				h.forge.err = nil
			})
			time.Sleep(10 * time.Minute)
			h.wantRuns("api@v1.4.0 to staging")
			if n := h.keys("intake/event/"); n != 0 {
				t.Errorf("%d events wait", n)
			}
		})
	}
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging")), func(t *testing.T, h *house) {
		h.forge.set(func() { h.forge.err = denied{} })
		h.take(tag("shop/api", "v1.4.0"))
		h.wantLog("is given up")
		if n := h.keys("intake/event/"); n != 0 {
			t.Errorf("%d events wait", n)
		}
	})
}

// A release whose beginning nobody was told of is over when it is asked about.
func TestAnswerIsLost(t *testing.T) {
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging")), func(t *testing.T, h *house) {
		h.executed = func(a *bot.Answer) {
			time.Sleep(time.Minute)
			a.Err = errDown
		}
		h.take(tag("shop/api", "v1.4.0"))
		time.Sleep(time.Hour)
		h.wantRuns("api@v1.4.0 to staging")
		h.wantHeard("#staging")
		if n := len(h.spoken()); n != 1 {
			t.Errorf("%d lines are said, want one", n)
		}
	})
}

func TestChatIsDown(t *testing.T) {
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RulePlan, "staging")), func(t *testing.T, h *house) {
		h.breakChat(busy{20 * time.Minute})
		h.take(tag("shop/api", "v1.4.0"))
		time.Sleep(time.Minute)
		h.wantHeard("#staging")
		h.breakChat(nil)
		time.Sleep(10 * time.Minute)
		h.wantHeard("#staging") // it has not come back before it was told to
		time.Sleep(10 * time.Minute)
		h.wantHeard("#staging", "Plan ")
		if len(h.spoken()) != 1 {
			t.Errorf("it was planned %d times", len(h.spoken()))
		}
	})
}

// TestEveryWriteInTurn crashes at each write of a story in turn, before and after it, and
// delivers again what was not acknowledged, as a forge does: one release, one plan.
func TestEveryWriteInTurn(t *testing.T) {
	catalog := shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging"), rule("main", "gitlab push", playbooks.RulePlan, "production"),
		rule("alerts", "alertmanager alert-firing", playbooks.RuleHold, ""))
	accidents := 0
	for _, fault := range []mem.Fault{mem.CrashBefore, mem.CrashAfter, mem.LostAnswer, mem.DiskFull} {
		for at := 1; ; at++ {
			var hit atomic.Bool
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, catalog)
				h.start()
				defer func() { h.stop() }()
				h.say("ann", "release db@v2.0.0 to production") // it waits for approval
				synctest.Wait()
				first := 0
				f := func(n int) mem.Fault {
					if first == 0 {
						first = n
					}
					if n-first+1 == at {
						hit.Store(true)
						return fault
					}
					return mem.None
				}
				h.fault.Store(&f)
				h.forge.set(func() {
					h.forge.built["2"] = []playbooks.BuildState{{Module: "lib", Version: "v1.2.0", State: playbooks.BuildPassed, Commit: "c2", At: time.Now()}}
				})
				began := time.Now()
				story := []events.Event{tag("shop/api", "v1.4.0"), push("shop/mono", "c2"), pipeline("shop/mono", "c2", "2"), alert(events.AlertFiring, "api", began, "a1")}
				for _, e := range story {
					for h.in.Take(t.Context(), e) != nil {
						synctest.Wait()
						h.restart()
					}
					time.Sleep(10 * time.Second)
					if hit.Load() {
						h.restart()
					}
				}
				time.Sleep(5 * time.Minute)
				h.restart()
				h.fault.Store(nil)
				for _, e := range story {
					e.ID += " by another hook"
					h.take(e)
				}
				time.Sleep(5 * time.Minute)
				h.wantRuns("db@v2.0.0 to production", "api@v1.4.0 to staging")
				h.wantHeard("#production", "By rule main: push of c2 to main")
				if paused, _ := h.view("1"); !strings.HasPrefix(paused, "alert HighErrors fires") {
					t.Errorf("run 1 is paused because %q", paused)
				}
				if n := h.keys("intake/event/") + h.keys("intake/waiting/"); n != 0 {
					t.Errorf("%d events wait", n)
				}
				if t.Failed() {
					t.Fatalf("fault %d at write %d", fault, at)
				}
			})
			if !hit.Load() {
				break
			}
			accidents++
		}
	}
	t.Logf("%d accidents", accidents)
	if accidents < 100 {
		t.Errorf("only %d accidents: the story is not what it was", accidents)
	}
}
