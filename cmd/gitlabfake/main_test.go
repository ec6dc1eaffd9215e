package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// screen is what the program printed.
type screen struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { close(s.changed); s.changed = make(chan struct{}) }()
	return s.text.Write(p)
}

// find waits until something was printed.
func (s *screen) find(t *testing.T, pattern string) string {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		text, changed := s.text.String(), s.changed
		s.mu.Unlock()
		if found := regexp.MustCompile(pattern).FindStringSubmatch(text); found != nil {
			return found[len(found)-1]
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("nothing like %q was printed:\n%s", pattern, text)
		}
	}
}

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
	ctx, cancel := context.WithCancel(t.Context())
	out := &screen{changed: make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"--listen", "127.0.0.1:0", "--base-path", "/git", "--token", "t0ken", "--hook", app.URL, "--hook-secret", "s3cret"}, out)
	}()
	api, page := out.find(t, `api +(\S+)`), out.find(t, `page +(\S+)`)
	if !strings.HasSuffix(api, "/git/api/v4") {
		t.Errorf("api: %s", api)
	}
	out.find(t, `gitlab: \{url: "http://127.0.0.1:\d+/git", token: "t0ken", webhookSecret: "s3cret"\}`)
	call := func(method, path, body string) map[string]any {
		req, err := http.NewRequestWithContext(ctx, method, api+path, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("PRIVATE-TOKEN", "t0ken")
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var got map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode >= 300 {
			t.Fatalf("%s %s: %s, %v, %v", method, path, resp.Status, got, err)
		}
		return got
	}
	call("POST", "/projects/shop%2Fcart/repository/tags", `{"tag_name":"v1.1.0","ref":"main"}`)
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
	resp, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	shown, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !strings.Contains(string(shown), `"v1.1.0"`) || strings.Contains(string(shown), "t0ken") {
		t.Errorf("the page is\n%s", shown)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
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
