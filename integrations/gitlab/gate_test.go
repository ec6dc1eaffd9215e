package gitlab

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// check asks a gate about a version of cart on its way to production.
func (y *yard) check(kind, version string, params map[string]string) (steps.GateAnswer, error) {
	y.t.Helper()
	gater := y.g.Gates()[kind]
	if gater == nil {
		y.t.Fatalf("nothing answers gates of kind %q", kind)
	}
	return gater.Check(y.t.Context(), steps.GateQuery{
		Gate: playbooks.Gate{Kind: kind, Params: params}, Run: "12", Environment: "production", Module: "cart", Version: version,
	})
}

// commitTagged pushes a commit, tags it, and lets its pipeline end.
func (y *yard) commitTagged(version string) string {
	y.t.Helper()
	c := y.push("For " + version)
	y.PushTag(cart, "ann", version, c, "")
	time.Sleep(time.Minute)
	return c
}

// outcomes says what becomes of the job "test" of each version, by its tag.
func (y *yard) outcomes(byRef map[string]gitlabfake.Outcome) {
	y.Decide(func(r gitlabfake.Run) gitlabfake.Outcome {
		if r.Job == "test" {
			return byRef[r.Ref]
		}
		return gitlabfake.Outcome{}
	})
}

func failed(names ...string) []gitlabfake.TestCase {
	all := []gitlabfake.TestCase{{Name: "TestFine", Class: "cart"}}
	for _, n := range names {
		all = append(all, gitlabfake.TestCase{Name: n, Class: "cart", Status: "failed"})
	}
	return all
}

// TestGates asks each kind of gate about v2, while v1 is live.
func TestGates(t *testing.T) {
	type outcomes = map[string]gitlabfake.Outcome
	tests := []struct {
		name, kind string
		params     map[string]string
		by         outcomes
		prepare    func(y *yard) // after both versions are there
		want       steps.Phase
		words      []string
	}{
		{name: "green", kind: "pipeline", want: steps.Succeeded, words: []string{"cart v2.0.0: pipeline", "passed"}},
		{name: "red", kind: "pipeline", by: outcomes{"v2.0.0": {Status: "failed", Trace: "boom"}}, want: steps.Failed, words: []string{"failed"}},
		{name: "runs", kind: "pipeline", by: outcomes{"v2.0.0": {Hold: true}}, want: steps.Running, words: []string{"0 of 1 jobs done, now test"}},
		{name: "Muster's own status does not count", kind: "pipeline", prepare: func(y *yard) {
			if err := y.g.Record(y.t.Context(), steps.ForgeRecord{Module: y.module(), Place: playbooks.Place{Environment: "production", Module: "cart"}, Version: "v2.0.0", State: steps.ForgeRunning}); err != nil {
				y.t.Fatal(err)
			}
			if p := y.Pipelines(cart); p[len(p)-1].Status != "running" {
				y.t.Fatalf("the fake counts it: %+v", p)
			}
		}, want: steps.Succeeded, words: []string{"passed"}},
		{name: "Muster's own pipelines do not count", kind: "pipeline", prepare: func(y *yard) {
			y.Decide(func(gitlabfake.Run) gitlabfake.Outcome { return gitlabfake.Outcome{Status: "failed"} })
			if r, _, err := y.carry(y.g.Deployer(), y.order(playbooks.StepDeploy, "v2.0.0")); err != nil || r.Phase != steps.Failed {
				y.t.Fatal(r, err)
			}
		}, want: steps.Succeeded, words: []string{"passed"}},
		{name: "of another ref", kind: "pipeline", params: map[string]string{"ref": "main"}, want: steps.Failed, words: []string{"no pipeline ran for cart v2.0.0", "on main"}},
		{name: "of the commit in the plan", kind: "pipeline", params: map[string]string{"commit": strings.Repeat("b", 40)}, want: steps.Failed, words: []string{`tag "v2.0.0"`, "is commit bbbb"}},

		{name: "jobs", kind: "jobs", params: map[string]string{"names": "test"}, want: steps.Succeeded, words: []string{"test passed in pipeline"}},
		{name: "jobs failed", kind: "jobs", params: map[string]string{"names": "test"}, by: outcomes{"v2.0.0": {Status: "failed"}}, want: steps.Failed, words: []string{"job test is failed"}},
		{name: "jobs run", kind: "jobs", params: map[string]string{"names": "test"}, by: outcomes{"v2.0.0": {Hold: true}}, want: steps.Running, words: []string{"test not done yet"}},
		{name: "no such job", kind: "jobs", params: map[string]string{"names": "test, scan"}, want: steps.Failed, words: []string{`there is no job "scan"`}},

		{name: "all tests pass", kind: "tests", by: outcomes{"v2.0.0": {Tests: failed()}}, want: steps.Succeeded, words: []string{"all 1 tests passed"}},
		{name: "no tests", kind: "tests", want: steps.Failed, words: []string{"reports no tests"}},
		{name: "tests are under way", kind: "tests", by: outcomes{"v2.0.0": {Hold: true}}, want: steps.Running, words: []string{"0 of 1 jobs done"}},
		{name: "a new failure", kind: "tests", by: outcomes{"v1.0.0": {Tests: failed("TestOld")}, "v2.0.0": {Tests: failed("TestOld", "TestNew")}}, want: steps.Failed, words: []string{"2 of 3 tests failed, 1 of them new", "compared with v1.0.0"}},
		{name: "a known failure", kind: "tests", by: outcomes{"v1.0.0": {Tests: failed("TestOld")}, "v2.0.0": {Tests: failed("TestOld")}}, want: steps.Succeeded, words: []string{"0 of them new"}},
		{name: "one may be new", kind: "tests", params: map[string]string{"new": "1"}, by: outcomes{"v1.0.0": {Tests: failed()}, "v2.0.0": {Tests: failed("TestNew")}}, want: steps.Succeeded, words: []string{"1 of them new"}},
		{name: "too many in all", kind: "tests", params: map[string]string{"total": "1"}, by: outcomes{"v2.0.0": {Tests: failed("TestA", "TestB")}}, want: steps.Failed, words: []string{"2 of 3 tests failed, and 1 may"}},
		{name: "not too many in all", kind: "tests", params: map[string]string{"total": "2"}, by: outcomes{"v2.0.0": {Tests: failed("TestA", "TestB")}}, want: steps.Succeeded, words: []string{"2 of 3 tests failed, and 2 may"}},
		{name: "nothing is known of what is live", kind: "tests", by: outcomes{"v2.0.0": {Tests: failed("TestA")}}, want: steps.Failed, words: []string{"1 of them new", "v1.0.0, which is live, has no test report"}},
		{name: "nothing is live", kind: "tests", by: outcomes{"v2.0.0": {Tests: failed("TestA")}}, prepare: func(y *yard) { y.setLive("production", "") }, want: steps.Failed, words: []string{"nothing is live there yet"}},

		{name: "enough covered", kind: "coverage", params: map[string]string{"least": "80"}, by: outcomes{"v2.0.0": {Coverage: 81.5}}, want: steps.Succeeded, words: []string{"81.5 % covered", "at least 80 %"}},
		{name: "too little covered", kind: "coverage", params: map[string]string{"least": "80"}, by: outcomes{"v2.0.0": {Coverage: 79.9}}, want: steps.Failed, words: []string{"79.9 % covered, and 80 % is the least"}},
		{name: "not measured", kind: "coverage", params: map[string]string{"least": "0"}, want: steps.Failed, words: []string{"measured no coverage"}},
		{name: "being measured", kind: "coverage", params: map[string]string{"least": "80"}, by: outcomes{"v2.0.0": {Hold: true}}, want: steps.Running, words: []string{"0 of 1 jobs done"}},
		{name: "no great drop", kind: "coverage", params: map[string]string{"drop": "1.5"}, by: outcomes{"v1.0.0": {Coverage: 83}, "v2.0.0": {Coverage: 81.5}}, want: steps.Succeeded, words: []string{"v1.0.0, which is live, has 83 %"}},
		{name: "a great drop", kind: "coverage", params: map[string]string{"drop": "1.5"}, by: outcomes{"v1.0.0": {Coverage: 83.1}, "v2.0.0": {Coverage: 81.5}}, want: steps.Failed, words: []string{"has 83.1 %, and 1.5 points less are the most"}},
		{name: "what is live was not measured", kind: "coverage", params: map[string]string{"drop": "1.5"}, by: outcomes{"v2.0.0": {Coverage: 81.5}}, want: steps.Failed, words: []string{"measured none to compare with"}},
		{name: "nothing is live to drop from", kind: "coverage", params: map[string]string{"drop": "1.5"}, by: outcomes{"v2.0.0": {Coverage: 81.5}}, prepare: func(y *yard) { y.setLive("production", "") }, want: steps.Succeeded, words: []string{"nothing is live there to compare with"}},

		{name: "latest", kind: "latest", want: steps.Succeeded, words: []string{"cart v2.0.0 is the latest on main"}},
		{name: "not the latest", kind: "latest", prepare: func(y *yard) { y.push("Later") }, want: steps.Failed, words: []string{"1 commit came later on main"}},
		{name: "on no branch", kind: "latest", params: map[string]string{"branch": "release"}, want: steps.Failed, words: []string{"there is no branch release"}},
		{name: "on another branch", kind: "latest", params: map[string]string{"branch": "side"}, prepare: func(y *yard) {
			y.Push(cart, gitlabfake.Commit{Branch: "side", Message: "Aside"})
			y.DeleteTag(cart, "ann", "v2.0.0")
			y.PushTag(cart, "ann", "v2.0.0", y.push("Only on main"), "")
		}, want: steps.Failed, words: []string{"is not on side"}},
	}
	for _, test := range tests {
		t.Run(test.kind+": "+test.name, func(t *testing.T) {
			pipeline := &gitlabfake.Definition{On: []string{"tag"}, Jobs: []gitlabfake.Job{{Name: "test"}}}
			inYard(t, yardOptions{pipeline: pipeline}, func(t *testing.T, y *yard) {
				y.outcomes(test.by)
				y.commitTagged("v1.0.0")
				y.setLive("production", "v1.0.0")
				y.commitTagged("v2.0.0")
				if test.prepare != nil {
					test.prepare(y)
				}
				answer, err := y.check(test.kind, "v2.0.0", test.params)
				if err != nil {
					t.Fatal(err)
				}
				if answer.Phase != test.want {
					t.Errorf("%s: %q", answer.Phase, answer.Message)
				}
				wantWords(t, answer.Message, test.words...)
				if answer.Phase == steps.Running && answer.CheckAfter <= 0 {
					t.Error("nothing says when to look again")
				}
				if len(answer.Evidence) == 0 && !strings.Contains(answer.Message, "tag") && !strings.Contains(answer.Message, "no branch") {
					t.Errorf("there is no evidence: %q", answer.Message)
				}
				for _, e := range answer.Evidence {
					if e.Link == "" && e.Name != "failed" || e.Link != "" && !strings.HasPrefix(e.Link, "https://git.example.com/sub/"+cart+"/-/") {
						t.Errorf("evidence %+v", e)
					}
				}
			})
		})
	}
}

func TestRedGateShowsTheTrace(t *testing.T) {
	pipeline := &gitlabfake.Definition{On: []string{"tag"}, Jobs: []gitlabfake.Job{{Name: "lint", AllowFailure: true, Fails: true, Trace: "unused"}, {Name: "test", Fails: true, Trace: "\x1b[31mboom\x1b[0m"}}}
	inYard(t, yardOptions{pipeline: pipeline}, func(t *testing.T, y *yard) {
		y.commitTagged("v1.0.0")
		answer, err := y.check("pipeline", "v1.0.0", nil)
		if err != nil || len(answer.Evidence) != 2 {
			t.Fatal(answer, err)
		}
		e := answer.Evidence[1]
		if e.Name != "test" || e.Text != "Running with gitlab-runner 18.5.0\nboom\nERROR: Job failed: exit code 1" || !strings.Contains(e.Link, "/-/jobs/") {
			t.Errorf("evidence: %+v", e)
		}
	})
}

func TestApprovalsGate(t *testing.T) {
	tests := []struct {
		name  string
		story func(y *yard)
		count string
		want  steps.Phase
		words []string
	}{
		{name: "all approved", story: func(y *yard) { y.merged("a", "A", "a.go", "ann"); y.merged("b", "B", "b.go", "ann", "bob") }, want: steps.Succeeded, words: []string{"each of 2 merge requests since v1.0.0"}},
		{name: "one not often enough", count: "2", story: func(y *yard) { y.merged("a", "A", "a.go", "ann"); y.merged("b", "B", "b.go", "ann", "bob") }, want: steps.Failed, words: []string{"!1 has fewer than 2 approvals"}},
		{name: "pushed directly", story: func(y *yard) { y.merged("a", "A", "a.go", "ann"); y.push("Quick fix") }, want: steps.Failed, words: []string{"came to main without a merge request"}},
		{name: "nothing new", story: func(y *yard) {}, want: steps.Succeeded, words: []string{"nothing new since v1.0.0"}},
		{name: "nothing is live", story: func(y *yard) { y.setLive("production", "") }, want: steps.Failed, words: []string{"nothing is live in production yet"}},
		{name: "merged elsewhere first", story: func(y *yard) {
			y.Push(cart, gitlabfake.Commit{Branch: "base", Message: "Base"})
			y.Push(cart, gitlabfake.Commit{Branch: "top", Message: "Top", Files: map[string]string{"t.go": "t\n"}})
			iid := y.AddMergeRequest(cart, gitlabfake.MergeRequest{Title: "Top", Source: "top", Target: "base"})
			y.Merge(cart, iid, "ann") // nobody approved it, and it is not to main
			y.push("Past the merge request", "t.go")
		}, want: steps.Failed, words: []string{"without a merge request"}},
		{name: "too many to look at", story: func(y *yard) {
			for i := range playbooks.MaxChanges + 1 {
				y.push(fmt.Sprintf("Change %d", i))
			}
		}, want: steps.Failed, words: []string{"more than 100 commits since v1.0.0"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
				y.PushTag(cart, "ann", "v1.0.0", "main", "")
				y.setLive("production", "v1.0.0")
				test.story(y)
				y.PushTag(cart, "ann", "v2.0.0", "main", "")
				answer, err := y.check("merge-approvals", "v2.0.0", map[string]string{"count": test.count})
				if err != nil || answer.Phase != test.want {
					t.Errorf("%s %q, %v", answer.Phase, answer.Message, err)
				}
				wantWords(t, answer.Message, test.words...)
			})
		})
	}
}

func TestGatesThatAreWrong(t *testing.T) {
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		y.PushTag(cart, "ann", "v1.0.0", "main", "")
		for _, bad := range []struct {
			kind   string
			params map[string]string
			words  string
		}{
			{"jobs", nil, "names no jobs"}, {"coverage", nil, "neither least nor drop"}, {"coverage", map[string]string{"least": "many"}, `"many" is no number`},
			{"tests", map[string]string{"new": "-1"}, `"-1" is no number`}, {"merge-approvals", map[string]string{"count": "two"}, "no number"},
		} {
			if _, err := y.check(bad.kind, "v1.0.0", bad.params); !isPermanent(err) || !strings.Contains(err.Error(), bad.words) {
				t.Errorf("%s %v: %v", bad.kind, bad.params, err)
			}
		}
		if answer, err := y.check("pipeline", "v9.0.0", nil); err != nil || answer.Phase != steps.Failed || !strings.Contains(answer.Message, "nothing says which commit cart v9.0.0 is") {
			t.Errorf("a version that nobody knows: %+v, %v", answer, err)
		}
		y.SetFault(func(gitlabfake.Call) gitlabfake.Fault { return gitlabfake.Fault{Kind: gitlabfake.ServerError} })
		for kind := range y.g.Gates() {
			if answer, err := y.check(kind, "v1.0.0", map[string]string{"least": "1", "names": "test"}); err == nil || isPermanent(err) || answer.Phase != "" {
				t.Errorf("%s while GitLab is down: %+v, %v", kind, answer, err)
			}
		}
	})
}
