package gitlab

import (
	"fmt"
	"testing"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
)

// TestMergedIn has a merge request tell the commit that is built once it is merged, and not the head of its branch, of
// which nothing that may be released is ever built. A delivery, the question and a look tell the same.
func TestMergedIn(t *testing.T) {
	inHearing(t, yardOptions{}, func(t *testing.T, y *yard, d *desk) {
		began := time.Now()
		y.Push(cart, gitlabfake.Commit{Branch: "feature", User: "ann", Files: map[string]string{"x": "y"}})
		mr := y.AddMergeRequest(cart, gitlabfake.MergeRequest{Title: "Add x", User: "ann", Source: "feature"})
		y.settle()
		head := y.Head(cart, "feature")
		commit := y.Merge(cart, mr, "ann")
		y.settle()
		if commit == head || commit != y.Head(cart, "main") {
			t.Fatalf("%s was merged as %s, and main is at %s", head, commit, y.Head(cart, "main"))
		}
		told := ofKind(d.taken(), events.MergeRequest)
		last := told[len(told)-1]
		if first := told[0]; first.Fields["commit"] != head || last.Fields["commit"] != commit || last.Fields["state"] != "merged" {
			t.Errorf("told was of %+v and then of %+v", first.Fields, last.Fields)
		}
		now, found, err := y.g.Confirm(t.Context(), last)
		if err != nil || !found || now.Fields["commit"] != commit || now.Fact != last.Fact {
			t.Errorf("confirm = %+v, %v, %v", now, found, err)
		}
		missed, err := y.g.Missed(t.Context(), began.Add(-time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range ofKind(missed, events.MergeRequest) {
			if e.Fields["number"] == fmt.Sprint(mr) && e.Fact != last.Fact {
				t.Errorf("looking finds %q, want %q", e.Fact, last.Fact)
			}
		}
	})
}
