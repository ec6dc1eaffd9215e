// Package alonetest tests programs that run a fake alone, from where an app and a person sit.
package alonetest

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-release/muster/cmd/internal/alone"
)

// patience is how long a test waits for something to be printed.
const patience = 10 * time.Second

// anywhere is a port that is free.
const anywhere = "127.0.0.1:0"

// Start runs a program until the test is over, at a port that is free. The test fails if it ends with
// an error.
func Start(t *testing.T, p alone.Program, args ...string) *Screen {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := NewScreen()
	ended := make(chan error, 1)
	go func() { ended <- p(ctx, append([]string{"--listen", anywhere}, args...), out) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return out
}

// Refuses lets the test fail if a program begins with any of these arguments.
func Refuses(t *testing.T, p alone.Program, all ...[]string) {
	t.Helper()
	for _, args := range all {
		if err := p(t.Context(), append([]string{"--listen", anywhere}, args...), io.Discard); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

// Taken lets the test fail if a program does not say of a port that another one has whose it is, and what to
// do.
func Taken(t *testing.T, p alone.Program) {
	t.Helper()
	other, err := net.Listen("tcp", anywhere)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	address := other.Addr().String()
	want := "the address " + address + " is in use by another program: stop that one, or choose another with --listen"
	if err := p(t.Context(), []string{"--listen", address}, io.Discard); err == nil || !strings.HasSuffix(err.Error(), "fake: "+want) {
		t.Errorf("a port that is taken: %v, want %s", err, want)
	}
}

// Do makes a request and returns the status and the body of the answer.
func Do(t *testing.T, method, url string, header map[string]string, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
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

// Screen is what a program printed.
type Screen struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

// NewScreen returns a screen without anything on it.
func NewScreen() *Screen { return &Screen{changed: make(chan struct{})} }

// Write prints.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { close(s.changed); s.changed = make(chan struct{}) }()
	return s.text.Write(p)
}

// Find waits until something was printed, and returns the last group of the pattern.
func (s *Screen) Find(t *testing.T, pattern string) string {
	t.Helper()
	late := time.After(patience)
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
