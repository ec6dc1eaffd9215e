package main

import (
	"context"
	"io"
	"net/http"
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

func do(t *testing.T, method, url, auth, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", auth)
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
	const key = "fedcba9876543210fedcba9876543210"
	ctx, cancel := context.WithCancel(t.Context())
	out := &screen{changed: make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"--listen", "127.0.0.1:0", "--token", "t0ken", "--routing-key", key}, out)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	page, schedule := out.find(t, `page +(\S+)`), out.find(t, `schedule +(\S+)`)
	event := `{"routing_key":"` + key + `","event_action":"trigger","dedup_key":"try","payload":{"summary":"It <burns>","source":"me","severity":"critical"}}`
	if status, got := do(t, "POST", page+"/v2/enqueue", "", event); status != 202 {
		t.Errorf("the event: HTTP %d: %s", status, got)
	}
	if status, got := do(t, "POST", page+"/v2/enqueue", "", strings.Replace(event, key, strings.Repeat("0", 32), 1)); status != 400 {
		t.Errorf("with another key: HTTP %d: %s", status, got)
	}
	if status, got := do(t, "GET", page+"/", "", ""); status != 200 || !strings.Contains(got, "It &lt;burns&gt;") {
		t.Errorf("the page: HTTP %d: %s", status, got)
	}
	if status, got := do(t, "GET", page+"/oncalls?schedule_ids[]="+schedule+"&include[]=users", "Token token=t0ken", ""); status != 200 || !strings.Contains(got, "ann@example.com") || strings.Contains(got, "bob@") {
		t.Errorf("on call: HTTP %d: %s", status, got)
	}
	if status, _ := do(t, "GET", page+"/oncalls", "Token token=other", ""); status != 401 {
		t.Errorf("with another token: HTTP %d", status)
	}
}

func TestRefuses(t *testing.T) {
	for _, args := range [][]string{{"--routing-key", "short"}, {"--listen", "nowhere:x"}} {
		if err := run(t.Context(), append([]string{"--listen", "127.0.0.1:0"}, args...), io.Discard); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
