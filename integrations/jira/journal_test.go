package jira_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/muster-release/muster/integrations/jira/jirafake"
	"github.com/muster-release/muster/playbooks/steps"
)

func TestJournal(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j := s.tracker()
		key, err := j.Create(t.Context(), release("waiting"))
		s.must(err)
		told := func(marker string, want bool) {
			t.Helper()
			if got, err := j.Commented(t.Context(), key, marker); got != want || err != nil {
				t.Errorf("Commented %s: %v, %v; want %v", marker, got, err, want)
			}
		}
		told("12/4", false)
		s.must(j.Comment(t.Context(), key, steps.Comment{
			Marker: "12/4", Text: "Lea approved: *all* of {code}.\nPlan: " + digest + "\n\nSecond [~ann] paragraph", Code: "a\n{code}\n!x.png!",
		}))
		told("12/4", true)
		told("12/", false)
		told("2/4", false)
		// What somebody else writes is no entry of the journal.
		_, err = s.Comment("ann", key, "muster 12/5")
		s.must(err)
		told("12/5", false)
		// It is found below any number of others.
		for n := range 250 {
			_, err := s.Comment("ann", key, fmt.Sprintf("chat %d", n))
			s.must(err)
		}
		told("12/4", true)
		c := s.issue(key).Comments[0]
		if c.Author != "muster" {
			t.Errorf("%s wrote it", c.Author)
		}
		if s.flavor == jirafake.DataCenter {
			want := "Lea approved: \\*all\\* of \\{code\\}.\nPlan: " + digest + "\n\nSecond \\[\\~ann\\] paragraph\n\n{code:none}\na\n{\u200bcode}\n!x.png!\n{code}\n\n{~}muster 12/4{~}"
			if c.Body != want {
				t.Errorf("it says %q, want %q", c.Body, want)
			}
		} else if err := jirafake.Document(c.Body); err != nil {
			t.Error(err)
		}
	})
}

func TestLongCommentKeepsTheEndOfItsExcerpt(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j := s.tracker()
		key, err := j.Create(t.Context(), release("waiting"))
		s.must(err)
		var code strings.Builder
		for n := range 4000 {
			fmt.Fprintf(&code, "%d: \"quoted\" <b>ü</b>\n", n)
		}
		s.must(j.Comment(t.Context(), key, steps.Comment{Marker: "12/9", Text: strings.Repeat("long \u0000\u0007 words ü ", 3000), Code: code.String()}))
		wantAll(t, "the comment", s.issue(key).Comments[0].Text, "3999:", "The beginning is missing", "muster 12/9")
		if told, err := j.Commented(t.Context(), key, "12/9"); !told || err != nil {
			t.Errorf("Commented: %v, %v", told, err)
		}
	})
}
