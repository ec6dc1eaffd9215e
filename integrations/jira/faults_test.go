package jira_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/jira"
	"github.com/muster-release/muster/integrations/jira/jirafake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// reporter does with a tracker what Muster does: it looks before it repeats a creation or a comment
// whose answer was lost, and repeats updates.
type reporter struct {
	t   *testing.T
	j   *jira.Jira
	key string
}

// until repeats do until it succeeds.
func (r *reporter) until(what string, do func(ctx context.Context) error) {
	r.t.Helper()
	for range 200 {
		ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
		err := do(ctx)
		cancel()
		if err == nil {
			return
		}
		if permanent(err) {
			r.t.Fatalf("%s: refused for good: %v", what, err)
		}
		wait, later := retryAfter(err)
		if !later {
			wait = time.Second
		}
		time.Sleep(wait)
	}
	r.t.Fatalf("%s: not done after 200 tries", what)
}

func (r *reporter) create(i steps.Issue) {
	begun, doubt := time.Time{}, false
	r.until("create", func(ctx context.Context) error {
		if !begun.IsZero() {
			key, found, err := r.j.Find(ctx, i.Run, begun)
			if found {
				r.key = key
			}
			if err != nil || found {
				return err
			}
			doubt = true
		}
		begun = time.Now()
		key, err := r.j.Create(ctx, i)
		if key != "" {
			r.key = key
			return nil
		}
		if _, later := retryAfter(err); later || permanent(err) {
			begun = time.Time{}
		}
		return err
	})
	if doubt {
		r.until("settle", func(ctx context.Context) error {
			key, found, err := r.j.Find(ctx, i.Run, begun)
			if found {
				r.key = key
			}
			return err
		})
	}
}

func (r *reporter) update(i steps.Issue) {
	r.until("update", func(ctx context.Context) error { return r.j.Update(ctx, r.key, i) })
}

func (r *reporter) comment(c steps.Comment) {
	begun := false
	r.until("comment", func(ctx context.Context) error {
		if begun {
			if told, err := r.j.Commented(ctx, r.key, c.Marker); err != nil || told {
				return err
			}
		}
		begun = true
		return r.j.Comment(ctx, r.key, c)
	})
}

// story is a release from its beginning to its end, as its issue sees it.
func (r *reporter) story(stories []playbooks.Story) {
	r.create(release("waiting", stories...))
	r.update(release("waiting", stories...))
	r.comment(steps.Comment{Marker: "12/1", Text: "Lea approved."})
	r.update(release("deploying", stories...))
	r.comment(steps.Comment{Marker: "12/2", Text: "It failed.", Code: "panic: {code} at\n\tmain.go:1"})
	r.update(release("released", stories...))
	r.comment(steps.Comment{Marker: "12/3", Text: "Released."})
}

// TestEveryCallInTurn lets each call of a release go wrong, once before it has an effect and once after.
func TestEveryCallInTurn(t *testing.T) {
	for _, flavor := range []jirafake.Flavor{jirafake.Cloud, jirafake.DataCenter} {
		t.Run(string(flavor), func(t *testing.T) {
			calls := 0
			play := func(t *testing.T, n int, kind jirafake.FaultKind, edits string) {
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t, jirafake.Options{Flavor: flavor, IndexLag: 30 * time.Second})
					stories := []playbooks.Story{s.story("REL", "Faster"), s.story("ABC", "Cart")}
					r := &reporter{t: t, j: s.tracker(func(o *jira.Options) { o.Edits = edits })}
					if n > 0 {
						s.FailCall("", n, jirafake.Fault{Kind: kind})
					}
					r.story(stories)
					calls = len(s.Calls())
					s.wantOneRelease(r.key, stories, fmt.Sprintf("call %d of %d was %s", n, calls, kind))
				})
			}
			for _, edits := range []string{jira.EditsRepair, jira.EditsRespect} {
				play(t, 0, jirafake.NoFault, edits)
				kinds := []jirafake.FaultKind{jirafake.Lost}
				if edits == jira.EditsRepair {
					kinds = append(kinds, jirafake.Unavailable)
				}
				whole := calls
				for n := 1; n <= whole; n++ {
					for _, kind := range kinds {
						play(t, n, kind, edits)
						if t.Failed() {
							return
						}
					}
				}
				t.Logf("edits %s: %d calls, each in turn: one issue, one version, three comments, each link once", edits, whole)
			}
		})
	}
}

// wantOneRelease looks at all that a release leaves in Jira.
func (s *site) wantOneRelease(key string, stories []playbooks.Story, when string) {
	s.t.Helper()
	var releases []jirafake.Issue
	for _, i := range s.Issues() {
		if i.Type == "Release" {
			releases = append(releases, i)
		}
	}
	if len(releases) != 1 || releases[0].Key != key {
		s.t.Fatalf("%s: %d release issues, want one, %s", when, len(releases), key)
	}
	i := releases[0]
	if i.Status != "Released" || i.Resolution != "Done" || !slices.Equal(i.FixVersions, []string{"production 12"}) {
		s.t.Errorf("%s: the issue is %s (%s) in %q", when, i.Status, i.Resolution, i.FixVersions)
	}
	if v := s.Versions("REL"); len(v) != 1 || !v[0].Released {
		s.t.Errorf("%s: the versions are %+v", when, v)
	}
	if len(i.Comments) != 3 {
		s.t.Errorf("%s: the comments are %+v", when, i.Comments)
	}
	if len(i.RemoteLinks) != 2 || len(i.Links) != 2 {
		s.t.Errorf("%s: the links are %+v and %+v", when, i.RemoteLinks, i.Links)
	}
	if on := s.issue(stories[0].Key).FixVersions; !slices.Equal(on, []string{"production 12"}) {
		s.t.Errorf("%s: the story is in %q", when, on)
	}
	moves := 0
	for _, c := range i.History {
		if c.Field == "status" && c.From != "" {
			moves++
		}
	}
	if moves != 3 {
		s.t.Errorf("%s: the issue was moved %d times, want 3: %+v", when, moves, i.History)
	}
}

// TestJiraIsDownForAnHour holds that nothing is lost but freshness.
func TestJiraIsDownForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, jirafake.Options{})
		r := &reporter{t: t, j: s.tracker()}
		stories := []playbooks.Story{s.story("REL", "Faster"), s.story("ABC", "Cart")}
		s.SetDown(true)
		time.AfterFunc(time.Hour, func() { s.SetDown(false) })
		// A reporter is more patient than this one, which tries every ten seconds.
		for range 2 {
			for range 180 {
				if _, err := r.j.Create(t.Context(), release("waiting", stories...)); err == nil || permanent(err) {
					t.Fatalf("while Jira is down: %v", err)
				}
				time.Sleep(10 * time.Second)
			}
		}
		r.story(stories)
		s.wantOneRelease(r.key, stories, "after an hour")
	})
}
