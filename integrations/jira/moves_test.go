package jira_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/muster-release/muster/integrations/jira/jirafake"
)

// inProcess is a client of a handler.
func inProcess(h http.Handler) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result(), nil
	})}
}

func TestMoveBack(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		s.must(s.AddProject(jirafake.Project{Key: "GO", Workflow: approvable()}))
		j := s.tracker(inGO)
		key := s.released(j)
		const why = "Ann Moreau may not approve this release"
		for round := range 2 {
			s.must(s.Move("ann", key, "Approve", nil))
			for range 2 { // it may be repeated
				s.must(j.MoveBack(t.Context(), key, "Awaiting Approval", why))
			}
			i := s.issue(key)
			if i.Status != "Awaiting Approval" || len(i.Comments) != round+1 {
				t.Fatalf("it is %q with %d comments", i.Status, len(i.Comments))
			}
			wantAll(t, "the comment", i.Comments[round].Text, why+".", "Awaiting Approval")
		}
	})
}

func TestMoveBackWhereThereIsNoWay(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		w := approvable()
		w.Transitions = w.Transitions[:len(w.Transitions)-1]
		s.must(s.AddProject(jirafake.Project{Key: "GO", Workflow: w}))
		j := s.tracker(inGO)
		key := s.released(j)
		s.must(s.Move("ann", key, "Approve", nil))
		for range 2 {
			if err := j.MoveBack(t.Context(), key, "Awaiting Approval", "No."); !permanent(err) {
				t.Fatalf("moved back: %v", err)
			}
		}
		i := s.issue(key)
		if i.Status != "Approved" || len(i.Comments) != 1 {
			t.Fatalf("it is %q with %d comments", i.Status, len(i.Comments))
		}
		wantAll(t, "the comment", i.Comments[0].Text, "no way", "counts for nothing")
	})
}

// Whatever happens to each call in turn, the issue is moved back once and explained once.
func TestMoveBackWithAccidents(t *testing.T) {
	for _, kind := range []jirafake.FaultKind{jirafake.Lost, jirafake.Unavailable} {
		for n := 1; ; n++ {
			s := newSite(t, jirafake.Options{})
			s.must(s.AddProject(jirafake.Project{Key: "GO", Workflow: approvable()}))
			j := s.tracker(inGO)
			key := s.released(j)
			s.must(s.Move("ann", key, "Approve", nil))
			first, hit := len(s.Calls()), false
			s.SetFault(func(c jirafake.Call) jirafake.Fault {
				if c.N == first+n {
					hit = true
					return jirafake.Fault{Kind: kind}
				}
				return jirafake.Fault{}
			})
			err := j.MoveBack(t.Context(), key, "Awaiting Approval", "No.")
			if !hit {
				if err != nil || n < 4 {
					t.Fatalf("%d calls: %v", n-1, err)
				}
				break
			}
			if err == nil {
				t.Fatalf("%s at call %d went unnoticed", kind, n)
			}
			s.must(j.MoveBack(t.Context(), key, "Awaiting Approval", "No."))
			i := s.issue(key)
			moves := 0
			for _, h := range i.History {
				if h.Field == "status" && h.To == "Awaiting Approval" {
					moves++
				}
			}
			if i.Status != "Awaiting Approval" || len(i.Comments) != 1 || moves != 2 {
				t.Errorf("%s at call %d: it is %q with %d comments after %d moves", kind, n, i.Status, len(i.Comments), moves)
			}
		}
	}
}
