package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const serveConfig = `
server:
  world: local
  tokens:
    - {person: ann, token: "file:ann-token"}
environments:
  - name: production
    approvals: none
people:
  - {id: ann, name: Ann}
groups:
  - {name: team, members: [ann]}
access:
  - {who: [team], role: admin}
modules:
  - {name: redis, version: v7.2.0}
`

// server is a `serve` that runs in this process.
type server struct {
	t      *testing.T
	config string
	data   string
	url    string
	reload chan os.Signal
	stop   func() error
	log    *syncBuffer
}

// syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newServer(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, config: filepath.Join(dir, "muster.yaml"), data: filepath.Join(dir, "data"), reload: make(chan os.Signal), log: new(syncBuffer)}
	s.write(serveConfig)
	if err := os.WriteFile(filepath.Join(dir, "ann-token"), []byte("correct-horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) write(config string) {
	s.t.Helper()
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	bound := make(chan net.Addr, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, s.log, serveOptions{config: s.config, data: s.data, listen: "127.0.0.1:0", listening: func(a net.Addr) { bound <- a }}, s.reload)
	}()
	select {
	case a := <-bound:
		s.url = "http://" + a.String()
	case err := <-ended:
		cancel()
		s.t.Fatalf("serve: %v\n%s", err, s.log)
	}
	s.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	s.t.Cleanup(func() { _ = s.stop() })
}

// get returns the status and body of an address.
func (s *server) get(path string) (int, string) {
	s.t.Helper()
	return s.do(http.MethodGet, path, "")
}

// say sends a line as ann.
func (s *server) say(line string) string {
	s.t.Helper()
	_, body := s.do(http.MethodPost, "/api/v1/commands", line)
	return body
}

func (s *server) do(method, path, body string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer correct-horse")
	r.Header.Set("Content-Type", "text/plain")
	r.Header.Set("Accept", "text/plain")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// eventually waits until an answer contains words.
func (s *server) eventually(ask func() string, words string) {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		answer := ask()
		if strings.Contains(answer, words) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("never heard %q, but:\n%s\nlog:\n%s", words, answer, s.log)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *server) expect(got, words string) {
	s.t.Helper()
	if !strings.Contains(got, words) {
		s.t.Errorf("%q is not in:\n%s", words, got)
	}
}

// A server is asked for a release, stopped in the middle of it, and goes on.
func TestServe(t *testing.T) {
	s := newServer(t)
	s.start()
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := s.get(path); status != http.StatusOK {
			t.Errorf("%s = %d %s", path, status, body)
		}
	}
	s.expect(s.say("release redis to production"), "Run 1")
	s.expect(s.log.String(), "nothing real is touched")
	_, metrics := s.get("/metrics")
	s.expect(metrics, "muster_open_runs{")
	s.expect(metrics, "muster_build_info{")
	s.expect(metrics, "muster_report_lag_seconds")
	if err := s.stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	s.expect(s.log.String(), "every run goes on with the next start")

	s.start()
	s.eventually(func() string { return s.say("history") }, "succeeded")
	if status, _ := s.get("/readyz"); status != http.StatusOK {
		t.Errorf("/readyz = %d", status)
	}
}

// A second server on the same data, or the same port, is told who is there.
func TestServeTwice(t *testing.T) {
	s := newServer(t)
	s.start()
	err := serve(t.Context(), io.Discard, serveOptions{config: s.config, data: s.data, listen: "127.0.0.1:0"}, nil)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("this very process, %d", os.Getpid())) {
		t.Errorf("same data: %v", err)
	}
	address := strings.TrimPrefix(s.url, "http://")
	err = serve(t.Context(), io.Discard, serveOptions{config: s.config, data: t.TempDir(), listen: address}, nil)
	want := "serve: the address " + address + " is in use by another program: stop that one, or choose another with --listen"
	if err == nil || err.Error() != want {
		t.Errorf("same port: %v\nwant %s", err, want)
	}
}

// A bad configuration is reported and changes nothing; a good one counts at once.
func TestReload(t *testing.T) {
	s := newServer(t)
	s.start()
	s.write(strings.Replace(serveConfig, "version:", "verison:", 1))
	s.reload <- syscall.SIGHUP
	s.eventually(s.log.String, "the old one stays in force")
	s.expect(s.log.String(), "unknown key")
	answer := s.say("catalog reload")
	s.expect(answer, "was not reloaded")
	s.expect(answer, "verison")
	s.expect(s.say("catalog"), "redis")

	s.write(serveConfig + "  - {name: cart, version: v1.1.0, needs: [redis]}\n")
	s.expect(s.say("catalog reload"), "2 modules")
	s.expect(s.say("plan all to production"), "cart")

	s.write(strings.Replace(serveConfig, "file:ann-token", "file:other-token", 1))
	if err := os.WriteFile(filepath.Join(filepath.Dir(s.config), "other-token"), []byte("battery-staple"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.reload <- syscall.SIGHUP
	s.eventually(func() string { return s.say("catalog") }, "a token is needed")
}

// Outside systems that are not configured do not exist, and that is said.
func TestServeWithoutAWorld(t *testing.T) {
	s := newServer(t)
	s.write(strings.Replace(serveConfig, "  world: local\n", "", 1))
	s.start()
	s.expect(s.log.String(), "no deployer is configured")
	s.expect(s.say("plan all to production"), "redis")
	s.say("release redis to production")
	s.eventually(func() string { return s.say("why 1") }, "is configured")
}
