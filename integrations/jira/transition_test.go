package jira_test

import (
	"strings"
	"testing"

	"github.com/muster-release/muster/integrations/jira"
	"github.com/muster-release/muster/integrations/jira/jirafake"
)

// careful is a workflow with several ways, whose transitions ask for much.
func careful() *jirafake.Workflow {
	return &jirafake.Workflow{
		Statuses: []jirafake.Status{{Name: "Open", Category: "new"}, {Name: "Ready", Category: "new"}, {Name: "Doing", Category: "indeterminate"}, {Name: "Live", Category: "done"}, {Name: "Off", Category: "done"}},
		Transitions: []jirafake.Step{
			{Name: "Check", From: []string{"Open"}, To: "Ready"},
			{Name: "Begin", From: []string{"Ready"}, To: "Doing"},
			{Name: "Approve", From: []string{"Open", "Doing"}, To: "Ready"},
			{Name: "Finish", From: []string{"Doing"}, To: "Live", Screen: []string{"duedate!", "resolution!", "fixVersions!"}},
			{Name: "Drop", To: "Off", Screen: []string{"priority", "assignee!"}},
		},
	}
}

func TestTransitions(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		for name, tc := range map[string]struct {
			moves  map[string][]string
			fields map[string]string
			is     []string // how the release goes
			want   string
			says   []string // of the last error; nil: there is none
		}{
			"by status":               {moves: map[string][]string{"waiting": {"ready"}}, is: []string{"waiting"}, want: "Ready"},
			"several":                 {moves: map[string][]string{"deploying": {"Check", "Begin"}}, is: []string{"deploying", "deploying"}, want: "Doing"},
			"several, from half way":  {moves: map[string][]string{"waiting": {"Ready"}, "deploying": {"Check", "Begin"}}, is: []string{"waiting", "deploying"}, want: "Doing"},
			"several, as statuses":    {moves: map[string][]string{"deploying": {"Ready", "Doing"}}, is: []string{"deploying"}, want: "Doing"},
			"its name beats a status": {moves: map[string][]string{"waiting": {"Approve"}}, is: []string{"waiting"}, want: "Ready"},
			"required": {
				moves:  map[string][]string{"deploying": {"Ready", "Doing"}, "released": {"Finish"}},
				fields: map[string]string{"Due date": "2026-12-01", "Resolution": "Won't Do"}, is: []string{"deploying", "released"}, want: "Live",
			},
			"a required one is missing": {
				moves: map[string][]string{"deploying": {"Ready", "Doing"}, "released": {"Finish"}}, is: []string{"deploying", "released"}, want: "Doing",
				says: []string{`to "Live"`, "Due date is required", `"Due date"`, "transitionFields"},
			},
			"no way": {
				moves: map[string][]string{"deploying": {"Doing"}}, is: []string{"deploying"}, want: "Open",
				says: []string{`is "Open"`, "deploying", `"Doing"`, `"Check" to "Ready"`},
			},
			"no way by any of several": {
				moves: map[string][]string{"deploying": {"Doing", "Live"}}, is: []string{"deploying"}, want: "Open",
				says: []string{`leads to "Doing" or "Live": there are`},
			},
			"nothing configured": {is: []string{"released"}, want: "Open"},
		} {
			t.Run(name, func(t *testing.T) {
				project := "P" + strings.ToUpper(strings.Map(func(r rune) rune {
					if r < 'a' || r > 'z' {
						return -1
					}
					return r
				}, name))
				s.must(s.AddProject(jirafake.Project{Key: project, Workflow: careful()}))
				j := s.tracker(func(o *jira.Options) { o.Project, o.Transitions, o.TransitionFields = project, tc.moves, tc.fields })
				key, err := j.Create(t.Context(), release("planned"))
				s.must(err)
				for _, status := range tc.is {
					next := release(status)
					next.Title = "It is " + status
					err = j.Update(t.Context(), key, next)
				}
				i := s.issue(key)
				if i.Status != tc.want {
					t.Errorf("the issue is %s, want %s", i.Status, tc.want)
				}
				if i.Summary != "It is "+tc.is[len(tc.is)-1] {
					t.Errorf("what it says was not kept true: %s", i.Summary)
				}
				if tc.says == nil {
					s.must(err)
					return
				}
				if !permanent(err) {
					t.Fatalf("the error is %v, want one for good", err)
				}
				wantAll(t, "the error", err.Error(), tc.says...)
			})
		}
	})
}

// TestMovesThatAnswerStay holds that Muster does not take back a move that answers an approval
// before it is handled.
func TestMovesThatAnswerStay(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j := s.tracker(func(o *jira.Options) {
			o.ApproveStatus, o.RejectStatus = "Releasing", "Cancelled"
			o.Transitions = map[string][]string{"waiting": {"Awaiting Approval"}, "aborted": {"Cancelled"}}
		})
		key, err := j.Create(t.Context(), release("waiting"))
		s.must(err)
		s.must(s.Move("ann", key, "Start release", nil))
		next := release("waiting")
		next.Title = "One is still asked"
		s.must(j.Update(t.Context(), key, next))
		if i := s.issue(key); i.Status != "Releasing" || i.Summary != "One is still asked" {
			t.Errorf("the issue is %s: %s", i.Status, i.Summary)
		}
		s.must(j.Update(t.Context(), key, release("aborted")))
		if i := s.issue(key); i.Status != "Cancelled" || i.Resolution != "Won't Do" {
			t.Errorf("the issue is %s (%s)", i.Status, i.Resolution)
		}
	})
}
