package gitlab

import (
	"context"
	"fmt"
	"strings"
	"testing"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// query asks for what lies between two versions of cart.
func (y *yard) query(from, to string) steps.ChangesQuery {
	q := steps.ChangesQuery{Module: y.module(), To: playbooks.BuildState{Module: "cart", Version: to}}
	if from != "" {
		q.From = playbooks.BuildState{Module: "cart", Version: from}
	}
	return q
}

// merged proposes a file on a branch and merges it.
func (y *yard) merged(branch, title, file string, approvers ...string) (iid int64, commit string) {
	y.t.Helper()
	y.Push(cart, gitlabfake.Commit{Branch: branch, Message: title, Files: map[string]string{file: title + "\n"}, User: "bob"})
	iid = y.AddMergeRequest(cart, gitlabfake.MergeRequest{Title: title, Source: branch, User: "bob"})
	for _, who := range approvers {
		y.Approve(cart, iid, who)
	}
	return iid, y.Merge(cart, iid, "ann")
}

func TestChanges(t *testing.T) {
	inYard(t, yardOptions{module: func(m *playbooks.Module) { m.ConfigPaths = []string{"deploy/", "app.yaml"} }}, func(t *testing.T, y *yard) {
		y.Push(cart, gitlabfake.Commit{Message: "Begin", Files: map[string]string{"app.yaml": "a: 1\nb: 2\n", "deploy/old.yaml": "x\n", "deployment": "no\n"}})
		y.PushTag(cart, "ann", "v1.0.0", "main", "")
		y.push("Direct")
		iid, _ := y.merged("feature", "ABC-7 Empty the cart", "cart.go")
		y.AddMergeRequest(cart, gitlabfake.MergeRequest{Title: "Never merged", Source: "feature"})
		y.Push(cart, gitlabfake.Commit{
			Message: "Configure", Files: map[string]string{"app.yaml": "a: 1\nb: 3\nc: 4\n", "deploy/new.yaml": "y\n", "deployment": "yes\n"}, Remove: []string{"deploy/old.yaml"}, User: "ann",
		})
		y.PushTag(cart, "ann", "v1.1.0", "main", "")
		c, err := y.g.Changes(t.Context(), y.query("v1.0.0", "v1.1.0"))
		if err != nil {
			t.Fatal(err)
		}
		var titles []string
		for _, one := range c.Commits {
			titles = append(titles, one.Title)
			if len(one.ID) != 40 || one.At.IsZero() || !strings.HasPrefix(one.Link, "https://git.example.com/sub/"+cart) {
				t.Errorf("commit: %+v", one)
			}
		}
		if got := strings.Join(titles, "|"); got != "Configure|Merge branch 'feature' into 'main'|ABC-7 Empty the cart|Direct" {
			t.Errorf("commits: %s", got)
		}
		if got := strings.Join(c.Authors, "|"); got != "Ann|Bob" {
			t.Errorf("authors: %s", got)
		}
		if len(c.MergeRequests) != 1 || c.MergeRequests[0].Number != int(iid) || c.MergeRequests[0].Branch != "feature" || c.MergeRequests[0].Author != "Bob" {
			t.Errorf("merge requests: %+v", c.MergeRequests)
		}
		var config []string
		for _, f := range c.Config {
			config = append(config, fmt.Sprintf("%s %s +%d -%d", f.Path, f.State, f.Added, f.Removed))
		}
		if got := strings.Join(config, "|"); got != "app.yaml  +2 -1|deploy/new.yaml added +1 -0|deploy/old.yaml removed +0 -1" {
			t.Errorf("configuration: %s", got)
		}
		from, to := y.Head(cart, "v1.0.0"), y.Head(cart, "v1.1.0")
		if c.Link != "https://git.example.com/sub/"+cart+"/-/compare/"+from+"..."+to || c.From != "v1.0.0" || c.To != "v1.1.0" || c.Unknown != "" || c.More != 0 {
			t.Errorf("changes: %+v", c)
		}

		// What lies between two commits is asked for once, whatever the versions are called.
		calls := len(y.Calls())
		y.registered("v1.1.0-rc1", to, "main")
		again, err := y.g.Changes(t.Context(), y.query("v1.0.0", "v1.1.0-rc1"))
		if err != nil || again.To != "v1.1.0-rc1" || len(again.Commits) != 4 {
			t.Errorf("again: %+v, %v", again, err)
		}
		for _, call := range y.Calls()[calls:] {
			if !strings.Contains(call.Route, "/tags/") && call.Route != "/projects/:id" {
				t.Errorf("asked again: %s %s", call.Method, call.Path)
			}
		}
		again.Commits[0].Title = "spoiled"
		if third, err := y.g.Changes(t.Context(), y.query("v1.0.0", "v1.1.0")); err != nil || third.Commits[0].Title != "Configure" {
			t.Errorf("what is remembered was changed: %+v, %v", third.Commits[0], err)
		}
	})
}

func TestChangesOfOneModuleOfMany(t *testing.T) {
	inYard(t, yardOptions{module: func(m *playbooks.Module) { m.Path, m.TagPrefix = "api/", "api/" }}, func(t *testing.T, y *yard) {
		y.PushTag(cart, "ann", "api/v1.0.0", "main", "")
		y.push("Not this one", "web/a.go")
		y.push("This one", "api/a.go")
		y.PushTag(cart, "ann", "api/v1.1.0", "main", "")
		c, err := y.g.Changes(t.Context(), y.query("v1.0.0", "v1.1.0"))
		if err != nil || len(c.Commits) != 1 || c.Commits[0].Title != "This one" {
			t.Errorf("changes: %+v, %v", c, err)
		}
	})
}

func TestChangesWithoutBefore(t *testing.T) {
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		for i := range 30 {
			y.push(fmt.Sprintf("Change %d", i))
		}
		y.PushTag(cart, "ann", "v1.0.0", "main", "")
		c, err := y.g.Changes(t.Context(), y.query("", "v1.0.0"))
		if err != nil || len(c.Commits) != firstCommits || c.Commits[0].Title != "Change 29" || c.Link != "" || c.More != 0 || c.Unknown != "" {
			t.Errorf("%d commits, link %q, unknown %q, %v", len(c.Commits), c.Link, c.Unknown, err)
		}
		same, err := y.g.Changes(t.Context(), y.query("v1.0.0", "v1.0.0"))
		if err != nil || len(same.Commits) != 0 {
			t.Errorf("the same: %+v, %v", same, err)
		}
	})
}

func TestChangesAreCounted(t *testing.T) {
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		y.PushTag(cart, "ann", "v1.0.0", "main", "")
		for i := range 123 {
			y.push(fmt.Sprintf("Change %d", i))
		}
		y.PushTag(cart, "ann", "v1.1.0", "main", "")
		c, err := y.g.Changes(t.Context(), y.query("v1.0.0", "v1.1.0"))
		if err != nil || len(c.Commits) != playbooks.MaxChanges || c.More != 23 || c.Commits[0].Title != "Change 122" {
			t.Errorf("%d commits and %d more, %v", len(c.Commits), c.More, err)
		}
	})
}

func TestChangesThatCannotBeFound(t *testing.T) {
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		y.PushTag(cart, "ann", "v1.0.0", "main", "")
		head := y.push("Next")
		y.PushTag(cart, "ann", "v1.1.0", "main", "")
		c, err := y.g.Changes(t.Context(), y.query("v0.9.0", "v1.0.0"))
		if err != nil {
			t.Fatal(err)
		}
		wantWords(t, c.Unknown, `nothing says which commit cart v0.9.0 is`, `no tag "v0.9.0"`)
		q := y.query("v1.0.0", "v1.1.0")
		q.To.Commit = strings.Repeat("a", 40)
		if c, err = y.g.Changes(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		wantWords(t, c.Unknown, `tag "v1.1.0"`, head, q.To.Commit)

		// Merge requests that GitLab does not tell now are asked for another time.
		y.SetFault(func(call gitlabfake.Call) gitlabfake.Fault {
			if strings.HasSuffix(call.Route, "/merge_requests") {
				return gitlabfake.Fault{Kind: gitlabfake.ServerError}
			}
			return gitlabfake.Fault{}
		})
		if c, err = y.g.Changes(t.Context(), y.query("v1.0.0", "v1.1.0")); err != nil || len(c.Commits) != 1 {
			t.Fatal(c, err)
		}
		wantWords(t, c.Unknown, "not every merge request was found")
		y.SetFault(nil)
		if c, err = y.g.Changes(t.Context(), y.query("v1.0.0", "v1.1.0")); err != nil || c.Unknown != "" {
			t.Errorf("later: %+v, %v", c, err)
		}
		y.SetFault(func(gitlabfake.Call) gitlabfake.Fault { return gitlabfake.Fault{Kind: gitlabfake.ServerError} })
		if _, err := y.g.Changes(context.Background(), y.query("v1.0.0", "v1.1.0")); err == nil || isPermanent(err) {
			t.Errorf("while GitLab is down: %v", err)
		}
	})
}

func TestLines(t *testing.T) {
	tests := []struct {
		name, diff     string
		added, removed int
	}{
		{"nothing", "", 0, 0},
		{"changed", "@@ -1,3 +1,3 @@\n a\n-b\n+c\n d\n", 1, 1},
		{"one line each", "@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n", 1, 1},
		{"headers are no lines", "--- a/x\n+++ b/x\n@@ -0,0 +1,2 @@\n+a\n+b\n", 2, 0},
		{"lines like headers", "@@ -1,2 +1,2 @@ func\n--- a\n-@@ -1 +1 @@\n+++ b\n+\n", 2, 2},
		{"two hunks", "@@ -1,1 +1,2 @@\n a\n+b\n@@ -9,2 +10,1 @@\n c\n-d\n", 1, 1},
		{"cut short", "@@ -1,9 +1,9 @@\n a\n-b", 0, 1},
		{"no diff", "Binary files differ", 0, 0},
	}
	for _, test := range tests {
		if added, removed := lines(test.diff); added != test.added || removed != test.removed {
			t.Errorf("%s: +%d -%d, want +%d -%d", test.name, added, removed, test.added, test.removed)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add("@@ -1,3 +1,3 @@\n a\n-b\n+c\n d\n")
	f.Add("@@ -99999999999999999999 +1 @@\n+")
	f.Fuzz(func(t *testing.T, diff string) {
		if added, removed := lines(diff); added < 0 || removed < 0 || added+removed > strings.Count(diff, "\n")+1 {
			t.Errorf("+%d -%d of %q", added, removed, diff)
		}
	})
}

func TestRecent(t *testing.T) {
	var r recent[int]
	for i := range mostKept + 10 {
		r.put(fmt.Sprint(i), i)
		if _, found := r.get("0"); !found {
			t.Fatalf("what is asked for again and again is forgotten after %d", i)
		}
	}
	if _, found := r.get("1"); found || len(r.byKey) != mostKept || r.order.Len() != mostKept {
		t.Errorf("%d are kept", len(r.byKey))
	}
	r.put("0", 7)
	if v, _ := r.get("0"); v != 7 {
		t.Errorf("it stays %d", v)
	}
}

func TestJudge(t *testing.T) {
	part := func(name, status string, mayFail bool) *gl.CommitStatus {
		return &gl.CommitStatus{Name: name, Status: status, AllowFailure: mayFail}
	}
	tests := []struct {
		name, whole string
		parts       []*gl.CommitStatus
		want, words string
	}{
		{"passed", "success", []*gl.CommitStatus{part("a", "success", false)}, "success", "passed"},
		{"Muster's own status runs", "running", []*gl.CommitStatus{part("a", "success", false), part("muster/production", "running", false)}, "success", "passed"},
		{"Muster's own status failed", "failed", []*gl.CommitStatus{part("a", "success", false), part("muster/staging/eu", "failed", false)}, "success", "passed"},
		{"somebody else's failed", "failed", []*gl.CommitStatus{part("a", "success", false), part("jenkins", "failed", false)}, "failed", "failed"},
		{"may fail", "success", []*gl.CommitStatus{part("a", "success", false), part("lint", "failed", true)}, "success", "passed"},
		{"runs", "running", []*gl.CommitStatus{part("a", "success", false), part("b", "running", false), part("c", "created", false)}, "running", "1 of 3 jobs done, now b"},
		{"failed and goes on", "running", []*gl.CommitStatus{part("a", "failed", false), part("b", "running", false)}, "running", "1 of 2"},
		{"between two stages", "running", []*gl.CommitStatus{part("a", "success", false), part("b", "created", false)}, "running", "1 of 2"},
		{"waits for a person", "manual", []*gl.CommitStatus{part("a", "success", false), part("go", "manual", false), part("b", "created", false)}, "manual", "waits for somebody to play go"},
		{"nobody has to play it", "success", []*gl.CommitStatus{part("a", "success", false), part("go", "manual", true)}, "success", "passed"},
		{"canceled", "canceled", []*gl.CommitStatus{part("a", "canceled", false), part("b", "skipped", false)}, "canceled", "canceled"},
		{"skipped", "skipped", []*gl.CommitStatus{part("a", "skipped", false)}, "skipped", "none of its jobs ran"},
		{"a mistake in its file", "failed", nil, "failed", "failed"},
		{"nothing yet", "created", nil, "running", "0 of 0"},
	}
	for _, test := range tests {
		s := judge(test.whole, test.parts)
		if s.status != test.want || !strings.Contains(s.words(7), test.words) {
			t.Errorf("%s: %s, %q; want %s, %q", test.name, s.status, s.words(7), test.want, test.words)
		}
	}
}
