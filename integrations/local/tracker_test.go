package local_test

import (
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks/steps"
)

func TestTracker(t *testing.T) {
	w := open(t, "", local.Options{})
	ctx := t.Context()
	if key, found, err := w.Tracker.Find(ctx, "r1", time.Time{}); found || err != nil || key != "" {
		t.Errorf("Find says %q, %v, %v in an empty tracker", key, found, err)
	}
	fields := map[string]string{"fixVersion": "v2"}
	first := must(w.Tracker.Create(ctx, steps.Issue{Run: "r1", Title: "Release r1", Status: "planned", Fields: fields}))
	second := must(w.Tracker.Create(ctx, steps.Issue{Run: "r1", Title: "Release r1", Status: "planned"}))
	if first != "REL-1" || second != "REL-2" {
		t.Errorf("issues are %q and %q, want two", first, second)
	}
	fields["fixVersion"] = "v3" // what the caller does later is not the tracker's
	if key, found, err := w.Tracker.Find(ctx, "r1", time.Time{}); key != first || !found || err != nil {
		t.Errorf("Find says %q, %v, %v; want the first", key, found, err)
	}

	check(w.Tracker.Comment(ctx, first, steps.Comment{Marker: "r1/7", Text: "cart is live"}))
	for marker, want := range map[string]bool{"r1/7": true, "r1/8": false} {
		if got := must(w.Tracker.Commented(ctx, first, marker)); got != want {
			t.Errorf("Commented(%q) = %v", marker, got)
		}
	}
	issue := w.Tracker.Issues()[0]
	if issue.Fields["fixVersion"] != "v2" || len(issue.Comments) != 1 {
		t.Errorf("issue is %+v", issue)
	}
	check(w.Tracker.Update(ctx, first, steps.Issue{Run: "r1", Title: "Release r1", Status: "released"}))
	issue = w.Tracker.Issues()[0]
	if issue.Status != "released" || len(issue.Comments) != 1 || issue.Fields != nil {
		t.Errorf("after the update the issue is %+v", issue)
	}
	_, commented := w.Tracker.Commented(ctx, "REL-9", "r1/7")
	for _, err := range []error{commented, w.Tracker.Update(ctx, "REL-9", steps.Issue{}), w.Tracker.Comment(ctx, "REL-9", steps.Comment{})} {
		if !isPermanent(err) {
			t.Errorf("an issue that there is not answers %v, want a permanent refusal", err)
		}
	}
	if got := kinds(w.Tracker.Journal()); got != "created created commented updated" {
		t.Errorf("journal is %q", got)
	}
}
