package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/cmd/internal/alone/alonetest"
)

func TestRunAlone(t *testing.T) {
	type arrived struct {
		token string
		body  []byte
	}
	hooks := make(chan arrived, 100)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		hooks <- arrived{r.Header.Get("X-Gitlab-Token"), body}
	}))
	defer app.Close()
	out := alonetest.Start(t, run, "--base-path", "/git", "--token", "t0ken", "--hook", app.URL, "--hook-secret", "s3cret")
	api, page := out.Find(t, `api +(\S+)`), out.Find(t, `page +(\S+)`)
	if !strings.HasSuffix(api, "/git/api/v4") {
		t.Errorf("api: %s", api)
	}
	out.Find(t, `gitlab: \{url: "http://127.0.0.1:\d+/git", token: "\$\{GITLAB_TOKEN\}", webhookSecret: "\$\{GITLAB_WEBHOOK_SECRET\}"\}`)
	out.Find(t, `export GITLAB_TOKEN=t0ken GITLAB_WEBHOOK_SECRET=s3cret`)
	auth := map[string]string{"PRIVATE-TOKEN": "t0ken", "Content-Type": "application/json"}
	if status, got := alonetest.Do(t, "POST", api+"/projects/shop%2Fcart/repository/tags", auth, `{"tag_name":"v1.1.0","ref":"main"}`); status >= 300 || !json.Valid([]byte(got)) {
		t.Fatalf("the tag: HTTP %d: %s", status, got)
	}
	late := time.After(10 * time.Second)
	for found := false; !found; {
		select {
		case got := <-hooks:
			found = bytes.Contains(got.body, []byte(`"ref":"refs/tags/v1.1.0"`))
			if got.token != "s3cret" {
				t.Errorf("token: %q", got.token)
			}
		case <-late:
			t.Fatal("no webhook told of the tag")
		}
	}
	if _, shown := alonetest.Do(t, "GET", page, nil, ""); !strings.Contains(shown, `"v1.1.0"`) || strings.Contains(shown, "t0ken") {
		t.Errorf("the page is\n%s", shown)
	}
}

func TestSeedWithMistakes(t *testing.T) {
	for name, want := range map[string]string{
		`{"Projects":[{"Path":"a/b","Tags":[{"Name":"v1","Ref":"nowhere"}]}]}`: `seed: gitlabfake: "nowhere" cannot be tagged as "v1" in "a/b"`,
		`{"Projets":[]}`: `unknown field "Projets"`,
	} {
		file := filepath.Join(t.TempDir(), "seed.json")
		if err := os.WriteFile(file, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		err := run(t.Context(), []string{"--listen", "127.0.0.1:0", "--seed", file}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestTakenPort(t *testing.T) { alonetest.Taken(t, run) }
