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
	listen string
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
	s := &server{t: t, config: filepath.Join(dir, "muster.yaml"), data: filepath.Join(dir, "data"), listen: "127.0.0.1:0", reload: make(chan os.Signal), log: new(syncBuffer)}
	s.write(serveConfig)
	if err := os.WriteFile(filepath.Join(dir, "ann-token"), []byte("correct-horse-battery\n"), 0o600); err != nil {
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
		ended <- serve(ctx, s.log, serveOptions{config: s.config, data: s.data, listen: s.listen, listening: func(a net.Addr) { bound <- a }}, s.reload)
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
	r.Header.Set("Authorization", "Bearer correct-horse-battery")
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
	s.expect(s.log.String(), `msg=command by=ann line="release redis to production"`)
	if strings.Contains(s.log.String(), "<nil>") {
		t.Errorf("an error that is none is logged:\n%s", s.log)
	}

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
	if n := strings.Count(s.log.String(), "a mistake in the configuration"); n != 1 || strings.Contains(s.log.String(), `\n`) {
		t.Errorf("%d lines for one mistake, want one:\n%s", n, s.log)
	}
	answer := s.say("catalog reload")
	s.expect(answer, "was not reloaded")
	s.expect(answer, "verison")
	s.expect(s.say("catalog"), "redis")

	s.write(serveConfig + "  - {name: cart, version: v1.1.0, needs: [redis]}\n")
	answer = s.say("catalog reload")
	s.expect(answer, "2 modules")
	if strings.Contains(answer, "restart") {
		t.Errorf("a restart is asked for, and no setting of the server has changed: %s", answer)
	}
	s.expect(s.say("plan all to production"), "cart")

	s.write(strings.Replace(serveConfig, "file:ann-token", "file:other-token", 1))
	if err := os.WriteFile(filepath.Join(filepath.Dir(s.config), "other-token"), []byte("battery-staple-correct"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.reload <- syscall.SIGHUP
	s.eventually(func() string { return s.say("catalog") }, "nobody has this token")
}

// What only a new start can change is named.
func TestReloadWantsRestart(t *testing.T) {
	s := newServer(t)
	s.start()
	s.write(strings.Replace(serveConfig, "world: local", "listen: 127.0.0.1:1\n  world: local", 1))
	s.expect(s.say("catalog reload"), "restart Muster for what has changed in server: listen")
}

// overwrite changes bytes of the store in place, as a bad disk or a bad person would.
func (s *server) overwrite(old, new string) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.data, storeFile), os.O_RDWR, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		s.t.Fatal(err)
	}
	changed := bytes.ReplaceAll(data, []byte(old), []byte(new))
	if len(old) != len(new) || bytes.Equal(changed, data) {
		s.t.Fatalf("%q is not in the store, or longer than %q", old, new)
	}
	if _, err := f.WriteAt(changed, 0); err != nil {
		s.t.Fatal(err)
	}
}

// A server does not go on with logs that are not what was written.
func TestServeDamagedStore(t *testing.T) {
	s := newServer(t)
	s.write(strings.Replace(serveConfig, "approvals: none", "approvals: {rules: [{group: team}]}", 1))
	s.start()
	s.expect(s.say("release redis to production because autumn"), "Run 1")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.overwrite(`"type":"created"`, `"type":"curated"`)
	before, err := os.ReadFile(filepath.Join(s.data, storeFile))
	if err != nil {
		t.Fatal(err)
	}
	err = serve(t.Context(), io.Discard, serveOptions{config: s.config, data: s.data, listen: "127.0.0.1:0"}, nil)
	want := fmt.Sprintf("serve: the log run/1 is not what was written: nothing was changed; restore %s from a backup, and see what is damaged with: muster audit verify --data %s", filepath.Join(s.data, storeFile), s.data)
	if err == nil || err.Error() != want {
		t.Errorf("serve: %v\nwant   %s", err, want)
	}
	if after, err := os.ReadFile(filepath.Join(s.data, storeFile)); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the store was changed, %v", err)
	}
}

// Damage that shows while a server runs is its own fault and nobody else's, and
// takes it out of service.
func TestDamageWhileServing(t *testing.T) {
	s := newServer(t)
	s.start()
	s.expect(s.say("release redis to production"), "Run 1")
	s.eventually(func() string { return s.say("history") }, "succeeded")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.start() // nothing is in memory now
	s.overwrite(`"type":"created"`, `"type":"curated"`)
	if status, body := s.do(http.MethodPost, "/api/v1/commands", "status 1"); status != http.StatusInternalServerError {
		t.Errorf("status 1 = %d %s", status, body)
	}
	if status, body := s.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "restore its data from a backup") {
		t.Errorf("/readyz = %d %s", status, body)
	}
}

// Tokens go over plain HTTP, so listening to other machines is worth a warning.
func TestServeWarnsOfPlainHTTP(t *testing.T) {
	for listen, warned := range map[string]bool{"127.0.0.1:0": false, ":0": true} {
		s := newServer(t)
		s.listen = listen
		s.start()
		if got := strings.Contains(s.log.String(), "plain HTTP"); got != warned {
			t.Errorf("listen %s: warned %t, want %t:\n%s", listen, got, warned, s.log)
		}
	}
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
