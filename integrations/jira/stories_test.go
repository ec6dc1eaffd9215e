package jira_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/jira"
	"github.com/muster-release/muster/integrations/jira/jirafake"
	"github.com/muster-release/muster/playbooks"
)

func TestStoryKeys(t *testing.T) {
	all, some := offline(t), offline(t, func(o *jira.Options) { o.StoryProjects = []string{"ABC", "X_1"} })
	for _, one := range []struct {
		text      string
		all, some []string
	}{
		{"ABC-7 carts keep their items", []string{"ABC-7"}, []string{"ABC-7"}},
		{"feature/ABC-7-carts and bugfix/ABC-8_x", []string{"ABC-7"}, []string{"ABC-7"}},
		{"[ABC-7] (ABC-12), ABC-7: X_1-3.", []string{"ABC-7", "ABC-12", "X_1-3"}, []string{"ABC-7", "ABC-12", "X_1-3"}},
		{"DEF-1 and ABC-2", []string{"DEF-1", "ABC-2"}, []string{"ABC-2"}},
		{"abc-7 xABC-7 ABC-07 ABC-7x ABC- A-1 ABC-0 éABC-7", nil, nil},
		{"ABC-12345678901234567890", nil, nil},
		{"UTF-8", []string{"UTF-8"}, nil},
		{"https://jira.example/ctx/browse/ABC-7 https://other.example/browse/ABC-8", []string{"ABC-7"}, []string{"ABC-7"}},
		{"https://jira.example/other/ABC-9", nil, nil},
		{"Merge branch 'ABC-7-x' into 'main'\n\nCloses ABC-8", []string{"ABC-7", "ABC-8"}, []string{"ABC-7", "ABC-8"}},
		{"", nil, nil},
	} {
		if got := all.StoryKeys(one.text); !slices.Equal(got, one.all) {
			t.Errorf("%q names %q, not %q", one.text, got, one.all)
		}
		if got := some.StoryKeys(one.text); !slices.Equal(got, one.some) {
			t.Errorf("with projects %q names %q, not %q", one.text, got, one.some)
		}
	}
}

func FuzzStoryKeys(f *testing.F) {
	f.Add("feature/ABC-7-carts https://jira.example/ctx/browse/DEF-8")
	f.Add("\xffABC-7\xff")
	j := offline(f)
	f.Fuzz(func(t *testing.T, text string) {
		for _, key := range j.StoryKeys(text) {
			if !strings.Contains(text, key) || !slices.Equal(j.StoryKeys(" "+key+" "), []string{key}) {
				t.Errorf("%q names %q", text, key)
			}
		}
	})
}

func TestStories(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j := s.tracker()
		carts, bug := s.story("ABC", "Carts"), s.story("ABC", "A bug")
		s.must(s.Move("ann", bug.Key, "Done", nil))
		s.must(s.AddProject(jirafake.Project{Key: "SEC"}))
		hidden := s.story("SEC", "Hidden")
		s.must(s.Deny("muster", "SEC", jirafake.Browse))
		keys := []string{bug.Key, "UTF-8", carts.Key, "ABC-999", hidden.Key, "no key", bug.Key}
		got, err := j.Stories(t.Context(), keys)
		s.must(err)
		bug.Status = "Done"
		want := []playbooks.Story{bug, {Key: "UTF-8"}, carts, {Key: "ABC-999"}, {Key: hidden.Key}, {Key: "no key"}, bug}
		if !slices.Equal(got, want) {
			t.Errorf("the stories are %+v, not %+v", got, want)
		}
		if got, err := j.Stories(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("no stories are %+v: %v", got, err)
		}
		s.SetDown(true)
		if _, err := j.Stories(t.Context(), keys); err == nil {
			t.Error("stories are told though Jira does not answer")
		}
	})
}

// What was written a moment ago is known, however far behind the index is.
func TestStoriesDoNotWaitForTheIndex(t *testing.T) {
	for _, flavor := range []jirafake.Flavor{jirafake.Cloud, jirafake.DataCenter} {
		t.Run(string(flavor), func(t *testing.T) {
			s := newSite(t, jirafake.Options{Flavor: flavor, IndexLag: time.Hour})
			story := s.story("ABC", "Carts")
			got, err := s.tracker().Stories(t.Context(), []string{story.Key})
			if err != nil || !slices.Equal(got, []playbooks.Story{story}) {
				t.Errorf("the story is %+v: %v", got, err)
			}
		})
	}
}

func TestManyStoriesAreReadInFewCalls(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		var keys []string
		for n := range 230 {
			keys = append(keys, s.story("ABC", fmt.Sprint(n)).Key)
		}
		j, before := s.tracker(), len(s.Calls())
		got, err := j.Stories(t.Context(), keys)
		s.must(err)
		if len(got) != 230 || got[229].Title != "229" || got[0].Title != "0" {
			t.Errorf("%d stories: %+v", len(got), got[len(got)-1])
		}
		if n := len(s.Calls()) - before; n != 3 {
			t.Errorf("they took %d calls", n)
		}
	})
}
