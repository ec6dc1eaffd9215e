package jira_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/jira"
	"github.com/muster-release/muster/integrations/jira/jirafake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// changed gives the gates a change that names these keys.
func changed(c *playbooks.Changes, keys ...string) func(*jira.Options) {
	if c == nil {
		c = &playbooks.Changes{}
	}
	for _, key := range keys {
		c.Stories = append(c.Stories, playbooks.Story{Key: key, Status: "as it was then"})
	}
	return func(o *jira.Options) {
		o.Changes = func(_ context.Context, environment, module, version string) (playbooks.Changes, error) {
			if environment != "production" || module != "api" || version != "v1.4.0" {
				return playbooks.Changes{}, errors.New("nobody asked for that")
			}
			return *c, nil
		}
	}
}

func check(t *testing.T, j *jira.Jira, kind string, params ...string) steps.GateAnswer {
	t.Helper()
	g := playbooks.Gate{Kind: kind, Params: map[string]string{"gate": kind}}
	for i := 0; i < len(params); i += 2 {
		g.Params[params[i]] = params[i+1]
	}
	a, err := j.Gates()[kind].Check(t.Context(), steps.GateQuery{Gate: g, Run: "12", Environment: "production", Module: "api", Version: "v1.4.0"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// wantAnswer holds an answer against a phase, words of its message, and the keys of its evidence.
func wantAnswer(t *testing.T, s *site, a steps.GateAnswer, phase steps.Phase, evidence []string, words ...string) {
	t.Helper()
	if a.Phase != phase || (a.Phase == steps.Running) != (a.CheckAfter > 0) || len(a.Evidence) != len(evidence) {
		t.Fatalf("the answer is %+v, not %s with %q", a, phase, evidence)
	}
	wantAll(t, "the message", a.Message, words...)
	for i, key := range evidence {
		if e := a.Evidence[i]; e.Name != key || e.Link != s.URL()+"/browse/"+key || e.Text == "" {
			t.Errorf("evidence %d is %+v, not %s", i+1, e, key)
		}
	}
}

func TestTheGateOfStories(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		done, open, epic := s.story("ABC", "Carts"), s.story("ABC", "Header"), s.story("ABC", "Big")
		s.must(s.Move("ann", done.Key, "Done", nil))
		gate := func(c *playbooks.Changes, keys ...string) *jira.Jira {
			return s.tracker(changed(c, keys...), func(o *jira.Options) { o.StoryProjects = []string{"ABC"} })
		}
		wantAnswer(t, s, check(t, gate(nil), "stories"), steps.Succeeded, nil, "no story")
		wantAnswer(t, s, check(t, gate(nil, done.Key, done.Key), "stories"), steps.Succeeded, []string{done.Key}, "1 story, all done")
		wantAnswer(t, s, check(t, gate(nil, done.Key, open.Key), "stories"), steps.Running, []string{open.Key, done.Key}, "1 story of 2 not done yet", open.Key+" (To Do)")
		wantAnswer(t, s, check(t, gate(nil, done.Key, open.Key), "stories", "allowed", "done , TO DO"), steps.Succeeded, []string{done.Key, open.Key}, "2 stories")
		wantAnswer(t, s, check(t, gate(nil, done.Key), "stories", "allowed", "Ready for release"), steps.Running, []string{done.Key}, "not Ready for release yet")
		wantAnswer(t, s, check(t, gate(nil, open.Key), "stories", "types", "Bug"), steps.Succeeded, nil, "no story")
		wantAnswer(t, s, check(t, gate(nil, done.Key, "ABC-999"), "stories"), steps.Failed, []string{done.Key}, "1 story", "ABC-999", "does not know")
		wantAnswer(t, s, check(t, gate(nil, done.Key, "UTF-8"), "stories"), steps.Succeeded, []string{done.Key}, "left out: UTF-8")
		wantAnswer(t, s, check(t, gate(&playbooks.Changes{Unknown: "the forge does not answer"}, done.Key), "stories"), steps.Failed, nil, "the forge does not answer")
		wantAnswer(t, s, check(t, gate(&playbooks.Changes{More: 7}, done.Key), "stories"), steps.Failed, nil, "7 more commits")
		// What opens it is what people do in Jira.
		s.must(s.Move("ann", open.Key, "Done", nil))
		s.must(s.Move("ann", epic.Key, "Done", nil))
		wantAnswer(t, s, check(t, gate(nil, done.Key, open.Key, epic.Key), "stories"), steps.Succeeded, []string{done.Key, open.Key, epic.Key}, "3 stories, all done")
	})
}

func TestAGateNamesTheFirstOfMany(t *testing.T) {
	s := newSite(t, jirafake.Options{})
	var keys []string
	for n := range 40 {
		keys = append(keys, s.story("ABC", fmt.Sprint(n)).Key)
	}
	a := check(t, s.tracker(changed(nil, keys...)), "stories")
	wantAnswer(t, s, a, steps.Running, keys[:8], "40 stories of 40", "and 35 more")
	if len(a.Message) > 200 {
		t.Errorf("the message is %d bytes long: %s", len(a.Message), a.Message)
	}
}

func TestGatesThatCannotTell(t *testing.T) {
	s := newSite(t, jirafake.Options{})
	q := steps.GateQuery{Gate: playbooks.Gate{Kind: "stories"}, Environment: "production", Module: "api", Version: "v1.4.0"}
	if _, err := s.tracker().Gates()["stories"].Check(t.Context(), q); !permanent(err) {
		t.Errorf("without anybody who knows changes: %v", err)
	}
	q.Version = "v2"
	if _, err := s.tracker(changed(nil)).Gates()["stories"].Check(t.Context(), q); err == nil || permanent(err) {
		t.Errorf("changes that cannot be known: %v", err)
	}
	q.Version = "v1.4.0"
	j := s.tracker(changed(nil, "ABC-1"))
	s.SetDown(true)
	if _, err := j.Gates()["stories"].Check(t.Context(), q); err == nil || permanent(err) {
		t.Errorf("Jira does not answer: %v", err)
	}
}

func TestTheGateOfBlockers(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		s.must(s.AddProject(jirafake.Project{Key: "SHOP", Components: []string{"api", "web"}, Versions: []string{"api v1.4.0", "other"}}))
		j := s.tracker(func(o *jira.Options) { o.StoryProjects = []string{"SHOP", "ABC"} })
		add := func(priority, component, version string) string {
			n := jirafake.NewIssue{Project: "SHOP", Type: "Bug", Summary: "Broken", By: "ann", Priority: priority}
			if component != "" {
				n.Components = []string{component}
			}
			if version != "" {
				n.FixVersions = []string{version}
			}
			i, err := s.AddIssue(n)
			s.must(err)
			return i.Key
		}
		add("Low", "api", "api v1.4.0")
		add("Highest", "web", "other")
		wantAnswer(t, s, check(t, j, "blockers", "version", "{module} {version}"), steps.Succeeded, nil, "no open blocker", `"api v1.4.0"`)
		wantAnswer(t, s, check(t, j, "blockers", "component", "{module}"), steps.Succeeded, nil, "component api")
		inVersion, inComponent := add("Highest", "", "api v1.4.0"), add("Highest", "api", "")
		wantAnswer(t, s, check(t, j, "blockers", "version", "API {version}"), steps.Failed, []string{inVersion}, "1 open blocker", inVersion+" (To Do)")
		wantAnswer(t, s, check(t, j, "blockers", "version", "{module} {version}", "component", "api"), steps.Failed, []string{inVersion, inComponent}, "2 open blockers")
		wantAnswer(t, s, check(t, j, "blockers", "component", "api", "priority", "Low"), steps.Failed, []string{"SHOP-1"}, "1 open blocker")
		wantAnswer(t, s, check(t, j, "blockers", "jql", `summary ~ "Broken" AND component = web`), steps.Failed, []string{"SHOP-2"}, "jql")
		s.must(s.Move("ann", inVersion, "Done", nil))
		s.must(s.Move("ann", inComponent, "Done", nil))
		wantAnswer(t, s, check(t, j, "blockers", "version", "{module} {version}", "component", "api"), steps.Succeeded, nil, "no open blocker")

		wantAnswer(t, s, check(t, j, "blockers"), steps.Failed, nil, "neither a version nor a component")
		wantAnswer(t, s, check(t, j, "blockers", "version", "not made yet"), steps.Succeeded, nil, "nobody has made yet")
		wantAnswer(t, s, check(t, j, "blockers", "component", "api, nothing"), steps.Failed, nil, "no component nothing")
		wantAnswer(t, s, check(t, j, "blockers", "component", "api", "priority", "Worst"), steps.Failed, nil, "no priority Worst", "Highest")
		wantAnswer(t, s, check(t, j, "blockers", "jql", "this is no query ("), steps.Failed, nil, "refused")
	})
}

// A tag is somebody's text: it cannot widen what a gate searches for, or end its query.
func TestAVersionIsNoPartOfAQuery(t *testing.T) {
	s := newSite(t, jirafake.Options{})
	_, err := s.AddIssue(jirafake.NewIssue{Project: "ABC", Type: "Bug", Summary: `about v1" OR summary ~ "x`, By: "ann", Priority: "Highest"})
	s.must(err)
	j := s.tracker(func(o *jira.Options) { o.StoryProjects = []string{"ABC"} })
	for _, jql := range []string{`summary ~ "{version}"`, `summary ~ '{version}'`} {
		q := steps.GateQuery{Gate: playbooks.Gate{Kind: "blockers", Params: map[string]string{"jql": jql}}, Environment: "production", Module: "api", Version: `nothing" OR project = "ABC`}
		a, err := j.Gates()["blockers"].Check(t.Context(), q)
		if err != nil || a.Phase != steps.Succeeded {
			t.Errorf("%s: the answer is %+v: %v", jql, a, err)
		}
	}
}

func TestTheGateOfTheVersion(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		s.must(s.AddProject(jirafake.Project{Key: "SHOP", Components: []string{"api", "web"}, Versions: []string{"v1.4.0"}}))
		add := func(kind, component string, version bool) string {
			n := jirafake.NewIssue{Project: "SHOP", Type: kind, Summary: "Carts", By: "ann", Components: []string{component}}
			if version {
				n.FixVersions = []string{"v1.4.0"}
			}
			i, err := s.AddIssue(n)
			s.must(err)
			return i.Key
		}
		both, uncoded, unplanned := add("Story", "api", true), add("Story", "web", true), add("Story", "api", false)
		add("Epic", "api", true)
		elsewhere := s.story("ABC", "Elsewhere").Key
		gate := func(c *playbooks.Changes, keys ...string) *jira.Jira {
			return s.tracker(changed(c, keys...), func(o *jira.Options) { o.StoryProjects = []string{"SHOP"} })
		}
		params := []string{"version", "{version}", "types", "Story, Bug"}
		wantAnswer(t, s, check(t, gate(nil, both, unplanned), "version-check", params...), steps.Failed, []string{uncoded, unplanned},
			"in the version but not in the code: "+uncoded, "in the code but not in the version: "+unplanned)
		wantAnswer(t, s, check(t, gate(nil, both, uncoded), "version-check", params...), steps.Succeeded, []string{both, uncoded}, "the same 2 stories")
		wantAnswer(t, s, check(t, gate(nil, both), "version-check", append(params, "component", "api")...), steps.Succeeded, []string{both}, "the same 1 story")
		wantAnswer(t, s, check(t, gate(nil, both, uncoded, elsewhere), "version-check", params...), steps.Succeeded, []string{both, uncoded}, "the same 2 stories")
		wantAnswer(t, s, check(t, gate(nil, both, uncoded, "SHOP-99"), "version-check", params...), steps.Failed, nil, "SHOP-99", "unknown to Jira")
		a := check(t, gate(nil, both), "version-check", "version", "v1.4.0")
		if a.Phase != steps.Failed || len(a.Evidence) != 2 {
			t.Errorf("with epics the answer is %+v", a)
		}
		wantAnswer(t, s, check(t, gate(nil, both), "version-check"), steps.Failed, nil, "does not name a version")
		wantAnswer(t, s, check(t, gate(nil, both), "version-check", "version", "v9"), steps.Failed, nil, `no version "v9" in SHOP`)
		wantAnswer(t, s, check(t, gate(nil, both), "version-check", "version", "v1.4.0", "component", "x"), steps.Failed, nil, "no component x")
		wantAnswer(t, s, check(t, gate(&playbooks.Changes{Unknown: "no answer"}, both), "version-check", params...), steps.Failed, nil, "no answer")
		s.must(s.EditField("ann", unplanned, "fixVersions", []any{map[string]any{"name": "v1.4.0"}}))
		wantAnswer(t, s, check(t, gate(nil, both, uncoded, unplanned), "version-check", params...), steps.Succeeded, []string{both, uncoded, unplanned}, "the same 3 stories")
	})
}

// What the code has is looked up in the issue itself: the index may not know yet that it was planned.
func TestAStoryThatWasJustPlanned(t *testing.T) {
	s := newSite(t, jirafake.Options{})
	_, err := s.AddVersion("ABC", "v1.4.0")
	s.must(err)
	story := s.story("ABC", "Carts")
	s.SetIndexLag(time.Hour)
	s.must(s.EditField("ann", story.Key, "fixVersions", []any{map[string]any{"name": "v1.4.0"}}))
	a := check(t, s.tracker(changed(nil, story.Key), func(o *jira.Options) { o.StoryProjects = []string{"ABC"} }), "version-check", "version", "v1.4.0")
	wantAnswer(t, s, a, steps.Succeeded, []string{story.Key}, "the same 1 story")
}

// What the index still says is not held against anybody.
func TestWhatWasJustPutRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, jirafake.Options{IndexLag: time.Minute})
		_, err := s.AddVersion("ABC", "v1.4.0")
		s.must(err)
		i, err := s.AddIssue(jirafake.NewIssue{Project: "ABC", Type: "Bug", Summary: "Broken", By: "ann", Priority: "Highest", FixVersions: []string{"v1.4.0"}})
		s.must(err)
		time.Sleep(2 * time.Minute)
		j := s.tracker(changed(nil), func(o *jira.Options) { o.StoryProjects = []string{"ABC"} })
		wantAnswer(t, s, check(t, j, "version-check", "version", "v1.4.0"), steps.Failed, []string{i.Key}, "not in the code")
		wantAnswer(t, s, check(t, j, "blockers", "version", "v1.4.0"), steps.Failed, []string{i.Key}, "1 open blocker")
		s.must(s.Move("ann", i.Key, "Done", nil))
		s.must(s.EditField("ann", i.Key, "fixVersions", []any{}))
		wantAnswer(t, s, check(t, j, "blockers", "version", "v1.4.0"), steps.Succeeded, nil, "no open blocker")
		wantAnswer(t, s, check(t, j, "version-check", "version", "v1.4.0"), steps.Succeeded, nil, "the same 0 stories")
	})
}
