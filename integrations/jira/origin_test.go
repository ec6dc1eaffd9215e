package jira_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/integrations/jira"
	"github.com/muster-release/muster/integrations/jira/jirafake"
)

// handle is how events name somebody.
func (s *site) handle(u jirafake.User) string {
	if s.flavor == jirafake.Cloud {
		return u.AccountID
	}
	return u.Name
}

// hooked is Muster's side with a door whose webhooks go to a desk, after what happened in between is lost.
func (s *site) hooked(change ...func(*jira.Options)) (*jira.Jira, *desk) {
	j := s.tracker(append(change, func(o *jira.Options) { o.WebhookSecret = hookSecret })...)
	d := &desk{}
	h := j.Handler(d, d)
	s.AddWebhook(jirafake.Webhook{URL: "https://muster.example/jira/webhook", Secret: hookSecret, Client: inProcess(h)})
	return j, d
}

func (s *site) settle() {
	s.t.Helper()
	s.must(s.Settle(s.t.Context()))
}

func confirm(t *testing.T, j *jira.Jira, e events.Event) (events.Event, bool) {
	t.Helper()
	now, found, err := j.Confirm(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return now, found
}

func TestAMoveIsConfirmedAsLongAsItIsTrue(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j, d := s.hooked()
		story := s.story("ABC", "Carts")
		s.must(s.Move("ann", story.Key, "In Progress", nil))
		s.settle()
		s.must(s.SetLabel("ann", story.Key, "hot", true))
		s.settle()
		took, _ := d.took()
		if len(took) != 2 {
			t.Fatalf("came in as %+v", took)
		}
		move, label := took[0], took[1]
		now, found := confirm(t, j, move)
		if !found || now.Fields["to"] != "In Progress" || now.Fields["from"] != "To Do" || now.Fields["labels"] != "hot" || now.ID != move.ID || now.From != s.handle(s.ann) {
			t.Errorf("confirmed as %v, %+v", found, now)
		}
		if now, found := confirm(t, j, label); !found || now.Fields["label"] != "hot" {
			t.Errorf("the label is confirmed as %v, %+v", found, now)
		}
		s.must(s.Move("ann", story.Key, "To Do", nil))
		s.must(s.SetLabel("ann", story.Key, "hot", false))
		for _, e := range []events.Event{move, label} {
			if now, found := confirm(t, j, e); found {
				t.Errorf("confirmed as %+v after it was taken back", now)
			}
		}
		s.must(s.DeleteIssue("ann", story.Key))
		if _, found := confirm(t, j, move); found {
			t.Error("confirmed after the issue was deleted")
		}
		s.SetDown(true)
		if _, _, err := j.Confirm(t.Context(), move); err == nil {
			t.Error("confirmed though Jira does not answer")
		}
	})
}

func TestAReleasedVersionIsConfirmed(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j, d := s.hooked()
		v, err := s.AddVersion("ABC", "1.4")
		s.must(err)
		s.must(s.ReleaseVersion("ABC", "1.4"))
		s.settle()
		took, _ := d.took()
		if len(took) != 1 {
			t.Fatalf("came in as %+v", took)
		}
		now, found := confirm(t, j, took[0])
		if !found || now.Fields["project"] != "ABC" || now.Fields["version"] != "1.4" || now.Link != s.URL()+"/projects/ABC/versions/"+v.ID {
			t.Errorf("confirmed as %v, %+v", found, now)
		}
		s.must(s.EditVersion("ABC", "1.4", func(v *jirafake.Version) { v.Released = false }))
		if _, found := confirm(t, j, took[0]); found {
			t.Error("confirmed after it was taken back")
		}
		e := took[0]
		e.Fields = map[string]string{"versionID": "99999"}
		if _, found := confirm(t, j, e); found {
			t.Error("a version that there is not is confirmed")
		}
	})
}

// approvable is a workflow in which people answer by moving the release issue.
func approvable() *jirafake.Workflow {
	w := jirafake.ReleaseWorkflow()
	w.Statuses = append(w.Statuses, jirafake.Status{Name: "Approved", Category: "indeterminate"})
	w.Transitions = append(w.Transitions,
		jirafake.Step{Name: "Approve", From: []string{"Awaiting Approval"}, To: "Approved"},
		jirafake.Step{Name: "Ask again", From: []string{"Approved"}, To: "Awaiting Approval"},
	)
	return w
}

// released makes Muster's release issue of run 12 in project GO.
func (s *site) released(j *jira.Jira) string {
	s.t.Helper()
	key, err := j.Create(s.t.Context(), release("waiting"))
	s.must(err)
	return key
}

func inGO(o *jira.Options) { o.Project, o.ApproveStatus = "GO", "Approved" }

func TestAHandMadeMoveOfAReleaseIssue(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		s.must(s.AddProject(jirafake.Project{Key: "GO", Workflow: approvable()}))
		j, d := s.hooked(inGO)
		key := s.released(j)
		s.settle()
		s.must(s.Move("ann", key, "Approve", nil))
		s.settle()
		took, _ := d.took()
		if len(took) != 2 { // Muster's own to Awaiting Approval, and Ann's
			t.Fatalf("came in as %+v", took)
		}
		now, found := confirm(t, j, took[1])
		if !found || now.Fields["run"] != "12" || now.Fields["digest"] != digest || now.Fields["to"] != "Approved" || now.Fields["from"] != "Awaiting Approval" || j.Self(now.From) || now.From != s.handle(s.ann) {
			t.Errorf("confirmed as %v, %+v", found, now)
		}
		if now, found := confirm(t, j, took[0]); found || !j.Self(took[0].From) {
			t.Errorf("Muster's own move is confirmed as %+v", now)
		}

		// The digest is the one that was shown then, also when the look comes later than the next plan.
		other := release("waiting")
		other.Digest = strings.ReplaceAll(digest, "e", "f")
		s.must(j.Update(t.Context(), key, other))
		if now, found := confirm(t, j, took[1]); !found || now.Fields["digest"] != digest {
			t.Errorf("after another plan it is confirmed as %v, %+v", found, now)
		}
		missed, err := j.Missed(t.Context(), time.Now().Add(-time.Minute))
		s.must(err)
		at := slices.IndexFunc(missed, func(e events.Event) bool { return e.Fact == took[1].Fact })
		if at < 0 || missed[at].Fields["digest"] != digest || missed[at].Fields["run"] != "12" || missed[at].From != s.handle(s.ann) {
			t.Errorf("found by looking: %+v", missed)
		}
	})
}

func TestAnIssueThatMusterDidNotMakeIsNoReleaseIssue(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		s.must(s.AddProject(jirafake.Project{Key: "GO", Workflow: approvable()}))
		j, d := s.hooked(inGO)
		fake, err := s.AddIssue(jirafake.NewIssue{Project: "GO", Type: "Release", Summary: "Release 12", By: "ann", Description: "Plan: " + digest, Labels: []string{"muster-12"}})
		s.must(err)
		s.must(s.Move("ann", fake.Key, "Ask for approval", nil))
		s.must(s.Move("ann", fake.Key, "Approve", nil))
		s.settle()
		took, _ := d.took()
		if len(took) != 2 || took[1].Fields["run"] != "12" {
			t.Fatalf("came in as %+v", took)
		}
		if now, found := confirm(t, j, took[1]); !found || now.Fields["run"] != "" || now.Fields["digest"] != "" {
			t.Errorf("confirmed as %v, %+v", found, now)
		}
	})
}

// What was never delivered is found by looking, as the same facts.
func TestWhatWasMissedIsFound(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j, d := s.hooked(func(o *jira.Options) { o.StoryProjects = []string{"ABC"} })
		born, err := s.AddIssue(jirafake.NewIssue{Project: "ABC", Type: "Story", Summary: "Born", By: "ann", Labels: []string{"born", "gone"}})
		s.must(err)
		s.must(s.SetLabel("ann", born.Key, "gone", false))
		s.must(s.SetLabel("ann", born.Key, "hot", true))
		story := s.story("ABC", "Carts")
		s.must(s.Move("ann", story.Key, "Done", nil))
		s.must(s.Move("ann", story.Key, "In Progress", nil))
		_, err = s.AddVersion("ABC", "1.4")
		s.must(err)
		s.must(s.ReleaseVersion("ABC", "1.4"))
		s.settle()
		took, _ := d.took()
		var told []string
		for _, e := range took {
			if _, found := confirm(t, j, e); found {
				told = append(told, e.Fact)
			}
		}
		missed, err := j.Missed(t.Context(), time.Now().Add(-time.Minute))
		s.must(err)
		var found []string
		for _, e := range missed {
			found = append(found, e.Fact)
			now, still := confirm(t, j, e)
			if e.ID != "" || !still || e.Source != "jira" || e.Link == "" || e.Subject == "" || now.Fact != e.Fact {
				t.Errorf("found %+v, confirmed as %v, %+v", e, still, now)
			}
			// What a delivery said is what a look says.
			at := slices.IndexFunc(took, func(o events.Event) bool { return o.Fact == e.Fact })
			if at < 0 {
				continue
			}
			if e.Kind != events.VersionReleased && (took[at].From != e.From || e.At.Sub(took[at].At).Abs() > 2*time.Second) {
				t.Errorf("delivered as %+v, found as %+v", took[at], e)
			}
			then, _ := confirm(t, j, took[at])
			if !maps.Equal(then.Fields, now.Fields) {
				t.Errorf("delivered it is %v, found %v", then.Fields, now.Fields)
			}
		}
		slices.Sort(told)
		slices.Sort(found)
		if len(found) != 4 || !slices.Equal(told, found) {
			t.Errorf("told of %q, found %q", told, found)
		}
		if !slices.IsSortedFunc(missed, func(a, b events.Event) int { return a.At.Compare(b.At) }) {
			t.Errorf("not the oldest first: %+v", missed)
		}
	})
}

func TestALookGoesBackFarEnoughAndNotFurther(t *testing.T) {
	s := newSite(t, jirafake.Options{})
	j := s.tracker()
	story := s.story("ABC", "Carts")
	s.must(s.Move("ann", story.Key, "Done", nil))
	if missed, err := j.Missed(t.Context(), time.Now().Add(4*time.Minute)); err != nil || len(missed) != 1 {
		t.Errorf("within the index lag %d were found: %v", len(missed), err)
	}
	if missed, err := j.Missed(t.Context(), time.Now().Add(10*time.Minute)); err != nil || len(missed) != 0 {
		t.Errorf("later %d were found: %v", len(missed), err)
	}
	s.SetDown(true)
	if _, err := j.Missed(t.Context(), time.Now()); err == nil {
		t.Error("nothing was missed though Jira does not answer")
	}
}
