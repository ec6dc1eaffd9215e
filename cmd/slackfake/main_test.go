package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
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
	ctx, cancel := context.WithCancel(t.Context())
	keys, typed := io.Pipe()
	out := &screen{changed: make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"--listen", "127.0.0.1:0", "--people", "ann:ann@example.com"}, keys, out)
	}()
	api, token := out.find(t, `api url +(\S+)`), out.find(t, `bot token +(\S+)`)
	resp, err := http.PostForm(api+"chat.postMessage", url.Values{"token": {token}, "channel": {"#releases"}, "text": {"hello <@U0001>"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	out.find(t, `#releases [0-9.]+ muster\n    hello @ann`)
	if _, err := io.WriteString(typed, "U0001 #releases> /muster status\n"); err != nil {
		t.Fatal(err)
	}
	out.find(t, `not acknowledged: no connection is open`)
	if resp, err = http.Get(out.find(t, `page +(\S+)`)); err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !strings.Contains(string(page), `hello <span class="mention">@ann</span>`) {
		t.Errorf("the page is\n%s", page)
	}
	typed.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
