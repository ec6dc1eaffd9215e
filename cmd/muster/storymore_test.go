package main

import (
	"flag"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/integrations/jira/jirafake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/store/mem"
)

// storyCrash is how far apart the writes are at which the process ends in TestStoryCrashes.
var storyCrash = flag.Int("story-crash", 25, "in the story with crashes, the process ends at every n-th write in turn")

// tell plays the story in a bubble and reports what is wrong in the end.
func tell(t *testing.T, prepare func(*story)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t)
		prepare(s)
		s.start()
		defer s.stop()
		if !s.release() {
			for _, w := range s.wrong() {
				t.Error(w)
			}
		}
	})
}

// TestStoryWithoutWebhooks loses every delivery: all of it is found by looking.
func TestStoryWithoutWebhooks(t *testing.T) {
	tell(t, func(s *story) {
		s.gitlab.Disturb(func(gitlabfake.Delivery) gitlabfake.Disturbance { return gitlabfake.Disturbance{Drop: true} })
		s.jira.SetTreatment(func(jirafake.Delivery) jirafake.Treatment { return jirafake.Treatment{Lose: true} })
	})
}

// TestStoryWithEveryWebhookThrice delivers each three times, late and in disorder.
func TestStoryWithEveryWebhookThrice(t *testing.T) {
	tell(t, func(s *story) {
		n := 0
		s.gitlab.Disturb(func(gitlabfake.Delivery) gitlabfake.Disturbance {
			n++
			return gitlabfake.Disturbance{Copies: 2, Delay: time.Duration(n*7%5) * 10 * time.Second}
		})
		s.jira.SetTreatment(func(d jirafake.Delivery) jirafake.Treatment {
			return jirafake.Treatment{Copies: 2, Delay: time.Duration(d.N*3%4) * 10 * time.Second}
		})
	})
}

// TestStoryWithJiraAway takes Jira away for an hour when the release begins: it costs freshness
// alone. The gate about stories is of Jira, so here there is none.
func TestStoryWithJiraAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t)
		for i := range s.config.Catalog.Modules {
			m := &s.config.Catalog.Modules[i]
			d := m.Deploy[""]
			d.Gates = []playbooks.Gate{{Kind: "pipeline"}}
			m.Deploy = map[string]playbooks.Delivery{"": d}
		}
		s.start()
		defer s.stop()
		if !s.develop() {
			return
		}
		s.jira.SetDown(true)
		s.blind = true
		if a := s.say("ann", "release cart@v1.4.0 web@v2.1.0 to production"); a.Err != nil {
			t.Fatal(a.Err)
		}
		time.Sleep(time.Minute)
		s.say("bob", "approve 1")
		s.wait("it is released without Jira", 30*time.Minute, func() bool {
			status, _ := s.status()
			return status == playbooks.Status(playbooks.Succeeded)
		})
		time.Sleep(time.Hour)
		s.jira.SetDown(false)
		s.wait("Jira shows it afterwards", time.Hour, func() bool { return len(s.wrong()) == 0 })
		for _, w := range s.wrong() {
			t.Error(w)
		}
	})
}

// TestStoryCrashes ends the process at every n-th write in turn, and goes on with a new one.
func TestStoryCrashes(t *testing.T) {
	var counted atomic.Int64
	first := 0
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t)
		s.store = mem.New(mem.Options{Before: func(int) mem.Fault { counted.Add(1); return mem.None }})
		s.start()
		first = int(counted.Load()) + 1
		defer s.stop()
		s.release()
	})
	writes, crashes := int(counted.Load()), 0
	for n := first; n <= writes; n += *storyCrash {
		t.Run(fmt.Sprintf("write-%d", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStory(t)
				crashed := make(chan struct{}, 1)
				s.store = mem.New(mem.Options{Before: func(write int) mem.Fault {
					if write != n {
						return mem.None
					}
					crashed <- struct{}{}
					return mem.CrashAfter
				}})
				s.start()
				again := make(chan struct{})
				go func() { // whoever looks after processes
					defer close(again)
					if _, ok := <-crashed; !ok {
						return
					}
					crashes++
					s.down.Lock()
					defer s.down.Unlock()
					s.kill()
					s.store = s.store.Reopen()
					s.start()
				}()
				if !s.release() {
					for _, w := range s.wrong() {
						t.Error(w)
					}
				}
				close(crashed)
				<-again
				s.stop()
			})
		})
	}
	t.Logf("%d crashes in %d writes", crashes, writes)
	if crashes == 0 {
		t.Error("the process never ended")
	}
}

// TestTagIsReleasedByARule lets a tag begin a release, which names the rule.
func TestTagIsReleasedByARule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t)
		s.config.Catalog.Rules = []playbooks.Rule{{
			Name: "production-on-tag", Source: "gitlab", Kind: string(events.Tag), Where: map[string]string{"tag": "v*"},
			Do: playbooks.RuleRelease, To: "production", As: "robot",
		}}
		s.start()
		defer s.stop()
		if !s.develop() {
			return
		}
		s.gitlab.PushTag("shop/cart", "ann", "v1.4.0", "main", "")
		if !s.wait("a release begins", 10*time.Minute, func() bool { status, _ := s.status(); return status == playbooks.StatusWaiting }) {
			return
		}
		var rule, by string
		s.must(s.app.engine.View(t.Context(), "1", func(v engine.View) error { rule, by = v.Run.Rule, v.Run.By; return nil }))
		if rule != "production-on-tag" || by != "robot" {
			t.Errorf("the run is by %q, rule %q", by, rule)
		}
		if said := s.said(); !strings.Contains(said, "production-on-tag") {
			t.Errorf("the channel hears\n%s\nand nothing of the rule", said)
		}
	})
}

// TestOwnTagsAreNoNews lets Muster tag what it releases while a rule releases what is tagged.
func TestOwnTagsAreNoNews(t *testing.T) {
	for _, lost := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newStory(t)
			s.config.Catalog.Rules = append(s.config.Catalog.Rules, playbooks.Rule{
				Name: "production-on-tag", Source: "gitlab", Kind: string(events.Tag), Do: playbooks.RuleRelease, To: "production", As: "robot",
			})
			if lost {
				s.gitlab.Disturb(func(gitlabfake.Delivery) gitlabfake.Disturbance { return gitlabfake.Disturbance{Drop: true} })
			}
			s.start()
			defer s.stop()
			if !s.release() {
				for _, w := range s.wrong() {
					t.Error(w)
				}
			}
			time.Sleep(time.Hour)
			history, err := s.app.engine.History(t.Context(), 10)
			s.must(err)
			if len(history) != 1 {
				t.Errorf("webhooks lost: %v: there are %d runs", lost, len(history))
			}
		})
	}
}

// TestReleaseIssueMovedByHand is an answer if the person may give it and saw the plan that
// would run; else it is explained, and the issue goes back.
func TestReleaseIssueMovedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t)
		lea := s.jira.AddUser(jirafake.User{Name: "bob", Email: "bob@shop.example"})
		for i := range s.config.Catalog.People {
			if p := &s.config.Catalog.People[i]; p.ID == "bob" {
				p.Handles = map[string]string{"jira": lea.AccountID}
			}
		}
		s.start()
		defer s.stop()
		if !s.develop() {
			return
		}
		s.must(s.jira.Move("ann", "SHOP-1", "Ready for release", nil))
		if !s.wait("the plan stands in the channel", 10*time.Minute, func() bool { return s.plan() != "" }) {
			return
		}
		s.say("ann", "release "+s.plan())
		issue := func() jirafake.Issue {
			for _, i := range s.jira.Issues() {
				if i.Project == "REL" {
					return i
				}
			}
			return jirafake.Issue{}
		}
		if !s.wait("the release issue asks", 10*time.Minute, func() bool { return issue().Status == "Awaiting Approval" }) {
			return
		}
		time.Sleep(time.Minute)
		s.must(s.jira.Move("ann", issue().Key, "Start release", nil))
		if !s.wait("ann's move is taken back", 10*time.Minute, func() bool {
			i := issue()
			return strings.Contains(commentsOf(i), "approve") && i.Status != "Releasing"
		}) {
			t.Logf("the issue is %s:\n%s", issue().Status, commentsOf(issue()))
			return
		}
		if status, _ := s.status(); status != playbooks.StatusWaiting {
			t.Fatalf("after ann's move the run is %s", status)
		}
		s.must(s.jira.Move("bob", issue().Key, "Start release", nil))
		if !s.wait("bob's move approves", 10*time.Minute, func() bool { status, _ := s.status(); return status != playbooks.StatusWaiting }) {
			t.Logf("the issue is %s:\n%s", issue().Status, commentsOf(issue()))
		}
	})
}

func commentsOf(i jirafake.Issue) string {
	var all []string
	for _, c := range i.Comments {
		all = append(all, c.Author+": "+c.Text)
	}
	return strings.Join(all, "\n")
}

// TestPlanOnAMergeRequest answers a command below a merge request with the rights of whoever
// wrote it, and keeps one comment with the plan true as commits come.
func TestPlanOnAMergeRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t)
		s.config.Catalog.Environments[0].OnlyRegistered = false
		s.start()
		defer s.stop()
		s.gitlab.Push("shop/web", gitlabfake.Commit{Branch: "more", Message: "more", User: "ann", Files: map[string]string{"web.go": "package web"}})
		iid := s.gitlab.AddMergeRequest("shop/web", gitlabfake.MergeRequest{Title: "More", User: "ann", Source: "more"})
		s.gitlab.AddUser(gitlabfake.User{Username: "eve"})
		s.gitlab.AddMember("shop", "eve", gitlabfake.Developer)
		time.Sleep(time.Minute)
		s.gitlab.Comment("shop/web", iid, "ann", "/muster plan cart@v1.0.0 web@v2.0.0 to production", "")
		notes := func(part string) (n int) {
			for _, note := range s.gitlab.Notes("shop/web", iid) {
				if strings.Contains(note.Body, part) && !strings.HasPrefix(note.Body, "/muster") {
					n++
				}
			}
			return n
		}
		if !s.wait("the plan stands there", 5*time.Minute, func() bool { return notes("v2.0.0") == 1 }) {
			t.Logf("the notes are %+v", s.gitlab.Notes("shop/web", iid))
			return
		}
		s.gitlab.Comment("shop/web", iid, "ann", "/muster plan web@v2.9.0 cart@v1.0.0 to production", "")
		s.wait("the same comment has the other plan", 5*time.Minute, func() bool { return notes("v2.9.0") == 1 && notes("v2.0.0") == 0 })
		s.gitlab.Comment("shop/web", iid, "eve", "/muster release web@v2.9.0 to production", "")
		s.wait("a stranger is told so", 5*time.Minute, func() bool { return notes("do not know you") >= 1 })
		if runs := s.app.engine.OpenRuns(); len(runs) != 0 {
			t.Errorf("there are runs: %v", runs)
		}
		if t.Failed() {
			t.Logf("the notes are %+v", s.gitlab.Notes("shop/web", iid))
		}
	})
}

// TestVersionFromBeforeIsFound releases a version that was built and tagged before Muster was
// there: nobody has told of its pipeline.
func TestVersionFromBeforeIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t)
		for i := range s.config.Catalog.Modules {
			s.config.Catalog.Modules[i].Needs = nil
			s.config.Catalog.Modules[i].Deploy = map[string]playbooks.Delivery{"": {Deployer: "gitlab"}}
		}
		s.gitlab.Disturb(func(gitlabfake.Delivery) gitlabfake.Disturbance { return gitlabfake.Disturbance{Drop: true} })
		s.gitlab.Push("shop/cart", gitlabfake.Commit{Message: "long ago", User: "ann", Files: map[string]string{"cart.go": "package cart"}})
		time.Sleep(5 * time.Minute)
		s.gitlab.PushTag("shop/cart", "ann", "v1.0.0", "main", "")
		time.Sleep(48 * time.Hour)
		s.start()
		defer s.stop()
		if a := s.say("ann", "versions cart"); a.Err != nil || len(a.Card.Sections) == 0 || !strings.Contains(a.Card.Sections[0].Items[0].Text, "v1.0.0") {
			t.Errorf("versions says %+v, %v", a.Card, a.Err)
		}
		if a := s.say("ann", "release cart@v1.0.0 to production"); a.Err != nil {
			t.Errorf("release: %v", a.Err)
		}
		if a := s.say("ann", "release cart@v1.0.1 to production"); a.Err == nil || !strings.Contains(a.Err.Error(), "only builds that are registered") {
			t.Errorf("release of what was never built: %v", a.Err)
		}
	})
}
