package jira_test

import (
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/jira"
	"github.com/muster-release/muster/integrations/jira/jirafake"
)

// TestLabelOfSomebodyElse has somebody make an issue with the label of a release before Muster makes its own, of
// which the answer is lost: theirs is not taken for it, nor is Muster's put away as its double.
func TestLabelOfSomebodyElse(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j := s.tracker(func(o *jira.Options) { o.IndexLag = time.Nanosecond })
		i := release("waiting")
		theirs, err := s.AddIssue(jirafake.NewIssue{Project: "REL", Type: "Release", Summary: "Not a release", Labels: []string{"muster-" + i.Run}, By: "ann"})
		s.must(err)
		if key, found, err := j.Find(t.Context(), i.Run, time.Now().Add(-time.Hour)); err != nil || found {
			t.Errorf("found is %q, %v, %v, which ann made", key, found, err)
		}
		own, err := j.Create(t.Context(), i)
		s.must(err)
		if key, found, err := j.Find(t.Context(), i.Run, time.Now().Add(-time.Hour)); err != nil || !found || key != own {
			t.Errorf("found is %q, %v, %v, want %q", key, found, err, own)
		}
		if is := s.issue(own).Status; is != "Awaiting Approval" {
			t.Errorf("the issue is %q", is)
		}
		if n := len(s.issue(theirs.Key).Comments); n != 0 {
			t.Errorf("there are %d comments below ann's issue", n)
		}
	})
}
