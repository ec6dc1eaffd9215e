package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/integrations/jira/jirafake"
	"github.com/muster-release/muster/integrations/jira/jirafake/openapicheck"
)

// storyStep is how far apart the calls are that go wrong in TestStoryEveryCall; 1: each does.
var storyStep = flag.Int("story-step", 9, "in the story with accidents, every n-th call goes wrong in turn")

// TestStory is the whole of it: a story is moved to Ready for release, the plan stands in the
// channel, people answer, pipelines run, and in the end Jira and GitLab show what is released.
//
// What is said to Jira, and what the fake answers, is held against Atlassian's description where
// MUSTER_JIRA_OPENAPI names it.
func TestStory(t *testing.T) {
	var check *openapicheck.Checker
	if path := os.Getenv("MUSTER_JIRA_OPENAPI"); path != "" {
		var err error
		if check, err = openapicheck.New(path); err != nil {
			t.Fatal(err)
		}
	} else if os.Getenv("CI") == "true" {
		t.Fatal("MUSTER_JIRA_OPENAPI names no file")
	}
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t)
		if check != nil {
			s.inspected = check.Wrap
		}
		s.start()
		defer s.stop()
		if !s.release() {
			for _, w := range s.wrong() {
				t.Error(w)
			}
		}
		if check != nil {
			for _, v := range check.Violations() {
				t.Error(v)
			}
			t.Logf("%d kinds of call of Jira are as described", len(check.Checked()))
		}
		t.Logf("%d calls of GitLab, %d of Jira", len(s.gitlab.Calls()), len(s.jira.Calls()))
		for _, part := range []string{"ready-story"} {
			if !strings.Contains(s.said(), part) {
				t.Errorf("the channel hears\n%s\nand nothing of %q", s.said(), part)
			}
		}
	})
}

// said is everything that stands in the channel.
func (s *story) said() string {
	var all []string
	for _, m := range s.world.Chat.Messages("") {
		all = append(all, m.Card.Title+" "+m.Card.Text)
		for _, section := range m.Card.Sections {
			all = append(all, section.Text)
			for _, f := range section.Fields {
				all = append(all, f.Name+": "+f.Value)
			}
			for _, i := range section.Items {
				all = append(all, i.Text+" "+i.Detail)
			}
		}
	}
	return strings.Join(all, "\n")
}

// TestStoryEveryCall plays the story again and again, and in each the n-th call that leaves Muster
// goes wrong: it fails before it has done anything, or its answer is lost after it has. In the
// end there is one issue, one version, one tag, one pipeline and one release of each module.
func TestStoryEveryCall(t *testing.T) {
	calls := storyCalls(t)
	struck := 0
	for _, lost := range []bool{false, true} {
		for n := 1; n <= calls; n += *storyStep {
			hit := false
			name := fmt.Sprintf("call-%d-fails", n)
			if lost {
				name = fmt.Sprintf("call-%d-lost", n)
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStory(t)
					what := s.strike(n, lost, &hit)
					s.start()
					defer s.stop()
					if !s.release() {
						for _, w := range s.wrong() {
							t.Error(w)
						}
					}
					if t.Failed() {
						t.Logf("struck: %s", what.Load())
					}
				})
			})
			if hit {
				struck++
			}
		}
	}
	t.Logf("%d accidents at %d calls of GitLab and Jira", struck, calls)
	if struck == 0 {
		t.Error("nothing was struck")
	}
}

// storyCalls counts the calls of a story in which nothing goes wrong.
func storyCalls(t *testing.T) (calls int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t)
		s.start()
		defer s.stop()
		s.release()
		calls = len(s.gitlab.Calls()) + len(s.jira.Calls())
	})
	return calls
}

// strike lets the n-th call of both systems together go wrong.
func (s *story) strike(n int, lost bool, hit *bool) *atomic.Value {
	var calls atomic.Int64
	what := new(atomic.Value)
	what.Store("nothing")
	next := func(call string) bool {
		if int(calls.Add(1)) != n {
			return false
		}
		what.Store(call)
		*hit = true
		return true
	}
	s.gitlab.SetFault(func(c gitlabfake.Call) gitlabfake.Fault {
		switch {
		case !next(c.Method + " " + c.Route):
			return gitlabfake.Fault{}
		case lost:
			return gitlabfake.Fault{Kind: gitlabfake.Lost}
		}
		return gitlabfake.Fault{Kind: gitlabfake.ServerError, Status: 503}
	})
	s.jira.SetFault(func(c jirafake.Call) jirafake.Fault {
		switch {
		case !next(c.Method + " " + c.Route):
			return jirafake.Fault{}
		case lost:
			return jirafake.Fault{Kind: jirafake.Lost}
		}
		return jirafake.Fault{Kind: jirafake.Unavailable}
	})
	return what
}
