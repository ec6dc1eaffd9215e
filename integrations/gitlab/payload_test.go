package gitlab

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/bot/events"
)

// fixtures is the folder with what GitLab sends that client-go is tested with. It comes with the
// module, but not with a vendored copy of it.
func fixtures(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "gitlab.com/gitlab-org/api/client-go/v2").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "testdata")
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "webhooks"))
	}
	switch {
	case err == nil:
		return dir
	case os.Getenv("CI") == "true":
		t.Fatalf("client-go's own fixtures are not there: %v", err)
	}
	t.Skip("client-go's own fixtures are not there")
	return ""
}

func TestDecodeFixtures(t *testing.T) {
	dir := fixtures(t)
	type want struct {
		kind    events.Kind
		subject string
		fact    string
		from    string
		at      string
		link    string
		fields  string // name=value, some of them
	}
	head := "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"
	tests := map[string]want{
		"webhooks/push.json": {events.Push, "mike/diaspora branch master", "push mike/diaspora master " + head, "jsmith", "",
			"/mike/diaspora/-/commit/" + head, "project=mike/diaspora branch=master ref=master commit=" + head + " message=fixed~readme"},
		"webhooks/tag_push.json": {events.Tag, "jsmith/example tag v1.0.0", "tag jsmith/example v1.0.0 82b3d5ae55f7080f1e6022629cdb57bfae7cccc7", "jsmith", "",
			"/jsmith/example/-/tags/v1.0.0", "tag=v1.0.0 ref=v1.0.0 deleted="},
		"webhooks/merge_request.json": {events.MergeRequest, "gitlabhq/gitlab-test merge request 1", "merge-request gitlabhq/gitlab-test 1 opened " + head + " API", "user1", "2013-12-03T17:23:34Z",
			"/gitlabhq/gitlab-test/-/merge_requests/1", "number=1 action=open source=ms-viewport target=master state=opened labels=API commit=" + head},
		"webhooks/service_merge_request.json": {kind: events.MergeRequest, fact: "merge-request test/woodpecker 2 opened 0ab96a10266b95b4b533dcfd98738015fbe70889 "},
		"webhooks/pipeline.json": {events.Pipeline, "gitlab-org/gitlab-test pipeline 31", "pipeline gitlab-org/gitlab-test 31 success", "user1", "2016-08-12T15:26:29Z",
			"/gitlab-org/gitlab-test/-/pipelines/31", "pipeline=31 ref=master status=success source=merge_request_event commit=bcbb5ec396a2c0f828686f14fac9b80b780504f2"},
		"webhooks/job.json": {events.Job, "gitlab-org/gitlab-test pipeline 743121198", "job gitlab-org/gitlab-test 3580121225 success", "jsmithy2", "2023-01-10T13:50:54Z",
			"/gitlab-org/gitlab-test/-/jobs/3580121225", "name=auto_deploy:start stage=coordinated:tag"},
		"webhooks/deployment.json": {events.Deployment, "root/test-deployment-webhooks environment staging", "deployment root/test-deployment-webhooks 15 success", "user1", "2021-04-28T19:50:00Z",
			"/root/test-deployment-webhooks/-/environments", "deployment=15 environment=staging ref=1.0.0 status=success commit=279484c09fbe69ededfced8c1bb6e6d24616b468"},
		"webhooks/release.json": {events.Release, "exm-namespace/example-project release 1.0.0", "release exm-namespace/example-project 1.0.0 create", "", "2021-02-25T21:23:34Z",
			"/exm-namespace/example-project/-/releases/1.0.0", "tag=1.0.0 ref=1.0.0 action=create commit=2626dbdb936782b5c54816b1c6d45b1279303c6d"},
		"webhooks/note_merge_request.json": {events.Note, "gitlab-org/gitlab-test merge request 1", "note gitlab-org/gitlab-test!1 1244", "root", "2015-05-17T18:21:36Z",
			"/gitlab-org/gitlab-test/-/merge_requests/1#note_1244", "number=1 note=1244 ref=master"},
		"webhooks/note_issue.json": {events.Note, "gitlab-org/gitlab-test issue 17", "note gitlab-org/gitlab-test#17 1241", "user1", "2015-05-17T17:06:40Z",
			"/gitlab-org/gitlab-test/-/issues/17#note_1241", "issue=17 note=1241"},
		"systemhooks/push.json":          {kind: events.Push, fields: "project=mike/diaspora branch=master"},
		"systemhooks/tag_push.json":      {kind: events.Tag, fields: "project=jsmith/example tag=v1.0.0"},
		"systemhooks/merge_request.json": {kind: events.MergeRequest, fields: "number=1"},
		// A push to several branches or tags at once.
		"systemhooks/repository_update.json": {events.Push, "", "push jsmith/example master 4045ea7a3df38697b3730a20fb73c8bed8a3e69e", "", "", "", "branch=master"},
	}
	// Not among them: build.json, which names its project by the address of another GitLab alone, and
	// group_merge_request.json, whose "iid " has a blank in its name.
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	g := aloneAt(t, nil)
	seen := 0
	for _, folder := range []string{"webhooks", "systemhooks"} {
		files, err := filepath.Glob(filepath.Join(dir, folder, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			name := folder + "/" + filepath.Base(file)
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d, err := g.decode(body, now)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			all := d.events
			if d.comment != nil {
				all = append(all, d.comment.event)
			}
			w, known := tests[name]
			if !known {
				if len(all) > 0 {
					t.Errorf("%s: events %+v, want none", name, all)
				}
				continue
			}
			seen++
			if len(all) != 1 {
				t.Errorf("%s: %d events, want one", name, len(all))
				continue
			}
			e := all[0]
			if e.Kind != w.kind || e.Source != System || w.subject != "" && e.Subject != w.subject || w.fact != "" && e.Fact != w.fact || w.from != "" && e.From != w.from {
				t.Errorf("%s: event = %+v, want %+v", name, e, w)
			}
			at := w.at
			if at == "" {
				at = e.At.Format(time.RFC3339)
			}
			if e.At.Format(time.RFC3339) != at {
				t.Errorf("%s: at %v, want %s", name, e.At, w.at)
			}
			if w.link != "" && e.Link != "https://git.example.com/sub"+w.link {
				t.Errorf("%s: link = %q, want …%q", name, e.Link, w.link)
			}
			for field := range strings.FieldsSeq(w.fields) {
				key, value, _ := strings.Cut(field, "=")
				if value = strings.ReplaceAll(value, "~", " "); e.Fields[key] != value {
					t.Errorf("%s: field %q = %q, want %q", name, key, e.Fields[key], value)
				}
			}
		}
	}
	if seen != len(tests) {
		t.Errorf("%d fixtures were there of %d", seen, len(tests))
	}
}

func TestDecode(t *testing.T) {
	commit, older := strings.Repeat("a", 40), strings.Repeat("b", 40)
	zero := strings.Repeat("0", 40)
	const shop = `"project":{"path_with_namespace":"shop/api"}`
	tests := []struct {
		name, body string
		facts      []string
	}{
		{"a branch", `{"object_kind":"push",` + shop + `,"ref":"refs/heads/feature/x","before":"` + zero + `","after":"` + commit + `"}`, []string{"push shop/api feature/x " + commit}},
		{"a branch that is gone", `{"object_kind":"push",` + shop + `,"ref":"refs/heads/x","before":"` + older + `","after":"` + zero + `"}`, nil},
		{"a tag that is gone", `{"object_kind":"tag_push",` + shop + `,"ref":"refs/tags/v1","before":"` + older + `","after":"` + zero + `","checkout_sha":null}`, []string{"tag shop/api v1 " + older + " deleted"}},
		{"an annotated tag", `{"object_kind":"tag_push",` + shop + `,"ref":"refs/tags/cart/v1","before":"` + zero + `","after":"` + older + `","checkout_sha":"` + commit + `"}`, []string{"tag shop/api cart/v1 " + commit}},
		{"another ref", `{"object_kind":"push",` + shop + `,"ref":"refs/environments/x","after":"` + commit + `"}`, nil},
		{"several", `{"event_name":"repository_update",` + shop + `,"changes":[{"before":"` + zero + `","after":"` + commit + `","ref":"refs/heads/a"},{"after":"` + older + `","ref":"refs/tags/v2"},{"after":"` + zero + `","ref":"refs/heads/b"}]}`,
			[]string{"push shop/api a " + commit, ""}},
		{"a project by its address", `{"object_kind":"build","build_id":3,"build_status":"failed","pipeline_id":2,"repository":{"homepage":"https://git.example.com/sub/shop/api"}}`, []string{"job shop/api 3 failed"}},
		{"a project of another GitLab", `{"object_kind":"build","build_id":3,"build_status":"failed","repository":{"homepage":"https://gitlab.com/shop/api"}}`, nil},
		{"no project", `{"object_kind":"push","ref":"refs/heads/x","after":"` + commit + `"}`, nil},
		{"labels", `{"object_kind":"merge_request",` + shop + `,"object_attributes":{"iid":4,"state":"opened","action":"update","last_commit":{"id":"` + commit + `"}},"labels":[{"title":"b"},{"title":"a"}]}`,
			[]string{"merge-request shop/api 4 opened " + commit + " a,b"}},
		{"a system's comment", `{"object_kind":"note",` + shop + `,"object_attributes":{"id":1,"note":"added 1 commit","noteable_type":"MergeRequest","system":true},"merge_request":{"iid":4}}`, nil},
		{"a comment on a commit", `{"object_kind":"note",` + shop + `,"object_attributes":{"id":1,"note":"x","noteable_type":"Commit"}}`, nil},
	}
	g := aloneAt(t, nil)
	for _, tt := range tests {
		d, err := g.decode([]byte(tt.body), time.Now())
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		var facts []string
		for _, e := range d.events {
			facts = append(facts, e.Fact)
		}
		if strings.Join(facts, "|") != strings.Join(tt.facts, "|") || len(facts) != len(tt.facts) {
			t.Errorf("%s: facts %q, want %q", tt.name, facts, tt.facts)
		}
	}
}

// Whatever comes, decoding ends, and what comes of it can be kept and names its project.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(pushed))
	f.Add([]byte(`{"object_kind":"note","project":{"path_with_namespace":"a/b"},"object_attributes":{"id":1,"note":"/muster x","noteable_type":"Issue"},"issue":{"iid":2}}`))
	f.Add([]byte(`{"event_name":"repository_update","project":{"path_with_namespace":"a/b"},"changes":[{"ref":"refs/tags/v1","after":"00"}]}`))
	f.Add([]byte(`{"object_kind":"deployment","deployment_id":1,"commit_url":"x","project":{"web_url":"https://git.example.com/sub/a/b"}}`))
	f.Add([]byte(`{"object_kind":"pipeline","object_attributes":{"id":1,"finished_at":"9999-99-99"},"project":{"path_with_namespace":"a/b"}}`))
	g := aloneAt(f, nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		now := time.Now()
		d, err := g.decode(body, now)
		if err != nil {
			return
		}
		all := d.events
		if d.comment != nil {
			all = append(all, d.comment.event)
			if d.comment.place.number == 0 || d.comment.id == 0 {
				t.Errorf("a comment nowhere: %+v", d.comment)
			}
			commands(d.comment.text)
		}
		for _, e := range all {
			if e.Source != System || e.Kind == "" || e.Subject == "" || e.Fields["project"] == "" || e.At.IsZero() || !strings.HasPrefix(e.Link, "https://git.example.com/sub/") {
				t.Errorf("an event that lacks something: %+v", e)
			}
			data, err := json.Marshal(e)
			if err != nil {
				t.Errorf("an event that cannot be kept: %v", err)
			}
			var again events.Event
			if err := json.Unmarshal(data, &again); err != nil || !maps.Equal(again.Fields, e.Fields) {
				t.Errorf("an event that is kept as another: %s: %v", bytes.TrimSpace(data), err)
			}
		}
	})
}
