package main

import (
	"context"
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

func start(t *testing.T, args ...string) *screen {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := &screen{changed: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, append([]string{"--listen", "127.0.0.1:0"}, args...), out) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return out
}

func do(t *testing.T, method, url string, header map[string]string, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(got)
}

func TestRunAlone(t *testing.T) {
	told := make(chan string, 10)
	muster := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		told <- r.Header.Get("X-Hub-Signature") + string(raw)
	}))
	defer muster.Close()
	out := start(t, "--flavor", "datacenter", "--index-lag", "0s", "--webhook", muster.URL+"/jira/webhook")
	page, token := out.find(t, `page +(\S+)`), out.find(t, `access token +(\S+)`)
	auth := map[string]string{"Authorization": "Bearer " + token, "Content-Type": "application/json"}
	status, made := do(t, "POST", page+"/rest/api/2/issue", auth, `{"fields": {"project": {"key": "REL"}, "issuetype": {"name": "Release"}, "summary": "Release 1 to production"}}`)
	if status != 201 || !strings.Contains(made, `"REL-1"`) {
		t.Fatalf("HTTP %d: %s", status, made)
	}
	select {
	case got := <-told:
		if !strings.HasPrefix(got, "sha256=") || !strings.Contains(got, "jira:issue_created") {
			t.Errorf("told %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing was told")
	}
	if status, got := do(t, "GET", page+"/", nil, ""); status != 200 || !strings.Contains(got, "Release 1 to production") || !strings.Contains(got, "Checkout charges twice") {
		t.Errorf("the page is HTTP %d: %s", status, got)
	}
}

func TestSeedFromFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seed.json")
	seed := `{"people": [{"name": "cy", "email": "cy@example.com", "token": "t0ken"}], "projects": [{"key": "OPS", "workflow": "release"}],
		"issues": [{"project": "OPS", "summary": "from a file", "moves": ["Start release"]}]}`
	if err := os.WriteFile(file, []byte(seed), 0o600); err != nil {
		t.Fatal(err)
	}
	out := start(t, "--seed", file)
	page := out.find(t, `page +(\S+)`)
	r, err := http.NewRequest("GET", page+"/rest/api/3/issue/OPS-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("cy@example.com", "t0ken")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if raw, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || !strings.Contains(string(raw), `"Releasing"`) {
		t.Errorf("HTTP %d: %s", resp.StatusCode, raw)
	}
	out.find(t, `API token +t0ken`)
}

func TestRefuses(t *testing.T) {
	for _, args := range [][]string{{"--flavor", "server"}, {"--seed", "/none/of/it"}, {"--listen", "nowhere:x"}} {
		if err := run(t.Context(), append([]string{"--listen", "127.0.0.1:0"}, args...), io.Discard); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
