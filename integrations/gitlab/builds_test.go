package gitlab

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/playbooks"
)

var digest = "sha256:" + strings.Repeat("5", 64)

// builds returns what Muster makes of the newest pipeline of cart for a ref.
func (y *yard) buildsOf(ref string) []playbooks.BuildState {
	y.t.Helper()
	id := int64(0)
	for _, p := range y.Pipelines(cart) {
		if p.Ref == ref {
			id = p.Pipeline
		}
	}
	all, err := y.g.Builds(y.t.Context(), y.g.piped(cart, id, "", "", "", "", time.Now()))
	if err != nil {
		y.t.Fatal(err)
	}
	return all
}

func TestBuilds(t *testing.T) {
	report := ""
	definition := &gitlabfake.Definition{On: []string{"push", "tag", "merge_request"}, Jobs: []gitlabfake.Job{
		{Name: "unit", Duration: time.Second, Coverage: 81.5, Tests: []gitlabfake.TestCase{{Name: "a"}, {Name: "b"}, {Name: "c", Status: "skipped"}}, Artifacts: map[string]string{"junit.xml": "x"}},
		{Name: "image", Stage: "build", Duration: time.Second},
	}}
	o := yardOptions{pipeline: definition}
	inYard(t, o, func(t *testing.T, y *yard) {
		y.Decide(func(r gitlabfake.Run) gitlabfake.Outcome {
			if r.Job == "image" && report != "" {
				return gitlabfake.Outcome{Artifacts: map[string]string{DefaultBuildReport: report}}
			}
			return gitlabfake.Outcome{}
		})
		run := func() { time.Sleep(time.Minute) }
		one := func(all []playbooks.BuildState) playbooks.BuildState {
			t.Helper()
			if len(all) != 1 {
				t.Fatalf("%d builds, want one: %+v", len(all), all)
			}
			return all[0]
		}

		// Before there is any version.
		first := y.push("One")
		if all := y.buildsOf("main"); len(all) != 0 {
			t.Errorf("builds %+v of a pipeline that runs", all)
		}
		run()
		b := one(y.buildsOf("main"))
		stamp := func(commit string) string {
			c, err := ask(t.Context(), y.g, "read commit", func(with ...gl.RequestOptionFunc) (*gl.Commit, *gl.Response, error) {
				return y.g.api.Commits.GetCommit(cart, commit, nil, with...)
			})
			if err != nil {
				t.Fatal(err)
			}
			return c.CommittedDate.UTC().Format("20060102150405") + "-" + commit[:12]
		}
		if want := "v0.0.0-" + stamp(first); b.Version != want {
			t.Errorf("version = %q, want %q", b.Version, want)
		}
		pipeline := y.Pipelines(cart)[0].Pipeline
		want := playbooks.BuildState{
			Module: "cart", Version: b.Version, State: playbooks.BuildPassed, Commit: first, Ref: "main", At: b.At,
			Link: fmt.Sprintf("https://git.example.com/sub/%s/-/pipelines/%d", cart, pipeline), Tests: "2 passed, 1 skipped", Coverage: 81.5,
		}
		if b != want || b.At.IsZero() || time.Since(b.At) > 2*time.Minute {
			t.Errorf("build = %+v, want %+v", b, want)
		}

		// A tag says how it is called.
		report = `{"version":"v9.9.9","image":"registry.example/shop/cart:latest","digest":"` + digest + `","checksum":"sha1:abc"}`
		y.PushTag(cart, "ann", "v1.4.0", "main", "")
		run()
		b = one(y.buildsOf("v1.4.0"))
		if b.Version != "v1.4.0" || b.Ref != "v1.4.0" || b.Commit != first || b.Image != "registry.example/shop/cart" || b.Digest != digest || b.Checksum != "sha1:abc" {
			t.Errorf("build = %+v", b)
		}

		// After a version; that the commit itself is tagged as one later changes nothing.
		report = ""
		second := y.push("Two")
		y.PushTag(cart, "ann", "v2.0.0", "main", "")
		y.PushTag(cart, "ann", "nightly", "main", "")
		run()
		if b = one(y.buildsOf("main")); b.Version != "v1.4.1-0."+stamp(second) {
			t.Errorf("version = %q, want one after v1.4.0", b.Version)
		}
		// A version elsewhere is none before.
		y.Push(cart, gitlabfake.Commit{Branch: "elsewhere", User: "ann", Files: map[string]string{"e": "e"}})
		y.PushTag(cart, "ann", "v7.0.0", "elsewhere", "")
		report = `{"version":"2026.11.24"}`
		third := y.push("Three")
		run()
		if b = one(y.buildsOf("main")); b.Version != "2026.11.24" || b.Commit != third {
			t.Errorf("build = %+v, want the version that the report names", b)
		}
		report = "{"
		fourth := y.push("Four")
		run()
		if b = one(y.buildsOf("main")); b.Version != "v2.0.1-0."+stamp(fourth) {
			t.Errorf("version = %q, want one after v2.0.0", b.Version)
		}
		report = ""

		// What is no build of what is released.
		if all := y.buildsOf("elsewhere"); len(all) != 0 {
			t.Errorf("builds %+v of a branch that nobody releases", all)
		}
		y.g.options.Branches = func() []string { return []string{"elsewhere"} }
		if b = one(y.buildsOf("elsewhere")); b.Ref != "elsewhere" {
			t.Errorf("build = %+v", b)
		}
		mr := y.AddMergeRequest(cart, gitlabfake.MergeRequest{Title: "x", User: "ann", Source: "elsewhere"})
		run()
		if all := y.buildsOf(fmt.Sprintf("refs/merge-requests/%d/head", mr)); len(all) != 0 {
			t.Errorf("builds %+v of a merge request", all)
		}
		if _, err := ask(t.Context(), y.g, "start", func(with ...gl.RequestOptionFunc) (*gl.Pipeline, *gl.Response, error) {
			return y.g.api.Pipelines.CreatePipeline(cart, &gl.CreatePipelineOptions{Ref: gl.Ptr("main")}, with...)
		}); err != nil {
			t.Fatal(err)
		}
		run()
		if all := y.buildsOf("main"); len(all) != 0 {
			t.Errorf("builds %+v of a pipeline that Muster started", all)
		}
		if _, err := y.StartPipeline(cart, "root", "main", nil, nil); err != nil {
			t.Fatal(err)
		}
		run()
		if b = one(y.buildsOf("main")); b.Commit != fourth {
			t.Errorf("build = %+v", b)
		}
		for _, e := range []events.Event{y.g.pushed(cart, "main", fourth, "", time.Now()), y.g.piped("shop/other", 1, "", "", "", "", time.Now())} {
			if all, err := y.g.Builds(t.Context(), e); err != nil || len(all) != 0 {
				t.Errorf("builds %+v of %q, error %v", all, e.Fact, err)
			}
		}

		// One that failed is registered as such, and nothing of it is.
		y.Decide(func(gitlabfake.Run) gitlabfake.Outcome {
			return gitlabfake.Outcome{Status: "failed", Reason: "script_failure"}
		})
		report = `{"version":"v9.9.9"}`
		fifth := y.push("Five")
		run()
		if b = one(y.buildsOf("main")); b.State != playbooks.BuildFailed || b.Version != "v2.0.1-0."+stamp(fifth) || b.Digest != "" {
			t.Errorf("build = %+v, want a failed one", b)
		}
		// While GitLab is out of order nothing is known.
		y.SetFault(func(c gitlabfake.Call) gitlabfake.Fault {
			if strings.HasSuffix(c.Route, "/merge_base") {
				return gitlabfake.Fault{Kind: gitlabfake.ServerError}
			}
			return gitlabfake.Fault{}
		})
		if all, err := y.g.BuildsOf(t.Context(), cart, y.Pipelines(cart)[len(y.Pipelines(cart))-1].Pipeline); err == nil || isPermanent(err) {
			t.Errorf("builds %+v, error %v, want one that says nothing is known", all, err)
		}
	})
}

// Several modules live in one project.
func TestBuildsOfMonorepo(t *testing.T) {
	reports := map[string]string{
		"build-cart": `{"module":"cart","image":"registry.example/cart","digest":"` + digest + `"}`,
		"build-all":  `{"checksum":"abc"}`,
	}
	definition := &gitlabfake.Definition{On: []string{"push", "tag"}, Jobs: []gitlabfake.Job{
		{Name: "build-cart", Artifacts: map[string]string{DefaultBuildReport: reports["build-cart"]}},
		{Name: "build-all", Artifacts: map[string]string{DefaultBuildReport: reports["build-all"]}},
	}}
	inYard(t, yardOptions{pipeline: definition}, func(t *testing.T, y *yard) {
		y.catalog.Modules = []playbooks.Module{
			{Name: "cart", Source: cart, Path: "cart", TagPrefix: "cart/"}, {Name: "pay", Source: cart, Path: "pay", TagPrefix: "pay/"},
			{Name: "docs", Source: cart}, {Name: "other", Source: "shop/other"},
		}
		y.push("One")
		y.PushTag(cart, "ann", "cart/v1.0.0", "main", "")
		y.PushTag(cart, "ann", "v3.0.0", "main", "")
		y.push("Two")
		time.Sleep(time.Minute)
		summary := func(ref string) (all []string) {
			for _, b := range y.buildsOf(ref) {
				version, _, _ := strings.Cut(b.Version, "-")
				all = append(all, fmt.Sprintf("%s@%s %s %s", b.Module, version, b.Image, b.Checksum))
			}
			slices.Sort(all)
			return all
		}
		for ref, want := range map[string][]string{
			"cart/v1.0.0": {"cart@v1.0.0 registry.example/cart "},
			"v3.0.0":      {"docs@v3.0.0  abc"},
			"main":        {"cart@v1.0.1 registry.example/cart ", "docs@v3.0.1  abc", "pay@v0.0.0  abc"},
		} {
			if got := summary(ref); !slices.Equal(got, want) {
				t.Errorf("builds for %q: %q, want %q", ref, got, want)
			}
		}
	})
}

// What a report does not say of the image the project's registry is asked for.
func TestBuildsOfRegistry(t *testing.T) {
	inYard(t, yardOptions{pipeline: &gitlabfake.Definition{On: []string{"tag", "push"}, Jobs: []gitlabfake.Job{{Name: "image"}}}}, func(t *testing.T, y *yard) {
		commit := y.push("One")
		y.PushTag(cart, "ann", "v1.0.0", "main", "")
		time.Sleep(time.Minute)
		image := func(ref string) string {
			all := y.buildsOf(ref)
			if len(all) != 1 {
				t.Fatalf("%d builds", len(all))
			}
			return all[0].Image + "@" + all[0].Digest
		}
		if got := image("v1.0.0"); got != "@" {
			t.Errorf("image = %q, want none", got)
		}
		other := "sha256:" + strings.Repeat("6", 64)
		y.PushImage(cart, "", "latest", other)
		y.PushImage(cart, "", "main", other)
		if got := image("main"); got != "@" {
			t.Errorf("image = %q, want none, for a branch moves on", got)
		}
		y.PushImage(cart, "", "v1.0.0", digest)
		y.PushImage(cart, "", commit[:8], other)
		const where = "registry.git.example.com/shop/backend/cart"
		if got := image("v1.0.0"); got != where+"@"+digest {
			t.Errorf("image = %q", got)
		}
		if got := image("main"); got != where+"@"+other {
			t.Errorf("image = %q", got)
		}
		// With several, it is the one that is called like the module.
		y.PushImage(cart, "tools", "v1.0.0", other)
		if got := image("v1.0.0"); got != "@" {
			t.Errorf("image = %q, want none, for nothing says which it is", got)
		}
		y.PushImage(cart, "cart", "v1.0.0", digest)
		if got := image("v1.0.0"); got != where+"/cart@"+digest {
			t.Errorf("image = %q", got)
		}
	})
}

func TestParseReport(t *testing.T) {
	tests := []struct {
		text string
		want buildReport
		bad  string
	}{
		{text: `{}`},
		{text: `{"version":"v1","image":"a/b","digest":"` + digest + `","checksum":"x","more":1}`, want: buildReport{Version: "v1", Image: "a/b", Digest: digest, Checksum: "x"}},
		{text: `{"image":"host:5000/a/b:v1@` + digest + `"}`, want: buildReport{Image: "host:5000/a/b", Digest: digest}},
		{text: `{"image":"host:5000/a/b:v1"}`, want: buildReport{Image: "host:5000/a/b"}},
		{text: `{"image":"a/b@` + digest + `","digest":"sha256:1"}`, bad: "the report"},
		{text: `{"digest":"sha256:1"}`, bad: "no digest"},
		{text: `{"digest":"` + strings.ToUpper(digest) + `"}`, bad: "no digest"},
		{text: `{"version":"v1 v2"}`, bad: "cannot be a name"},
		{text: `{"version":"` + strings.Repeat("v", 600) + `"}`, bad: "cannot be a name"},
		{text: `{"version":1}`, bad: "cannot unmarshal"},
		{text: `<html>`, bad: "invalid character"},
	}
	for _, tt := range tests {
		got, err := parseReport([]byte(tt.text))
		if tt.bad != "" {
			if err == nil || !strings.Contains(err.Error(), tt.bad) {
				t.Errorf("parseReport(%.80q): error %v, want one that says %q", tt.text, err, tt.bad)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("parseReport(%.80q) = %+v, %v, want %+v", tt.text, got, err, tt.want)
		}
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add([]byte(`{"version":"v1","image":"host:5000/a/b:v1@sha256:0"}`))
	f.Add([]byte(`{"image":":"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseReport(data)
		if err == nil && (r.Digest != "" && !digestForm.MatchString(r.Digest) || strings.ContainsAny(r.Version+r.Image, " \n")) {
			t.Errorf("a report that cannot be: %+v", r)
		}
	})
}

func TestPseudoVersion(t *testing.T) {
	at := time.Date(2026, 11, 24, 18, 12, 39, 0, time.FixedZone("", 3600))
	commit := "abcdef1234567890abcdef1234567890abcdef12"
	for before, want := range map[string]string{
		"":             "v0.0.0-20261124171239-abcdef123456",
		"v1.4.0":       "v1.4.1-0.20261124171239-abcdef123456",
		"1.4.0":        "1.4.1-0.20261124171239-abcdef123456",
		"v2.0.0-rc.1":  "v2.0.0-rc.1.0.20261124171239-abcdef123456",
		"v2.0.9+build": "v2.0.10-0.20261124171239-abcdef123456+build",
	} {
		if got := pseudoVersion(before, at, commit); got != want {
			t.Errorf("pseudoVersion(%q) = %q, want %q", before, got, want)
		}
	}
}
