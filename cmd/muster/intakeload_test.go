package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/web"
	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/store/bolt"
)

var intakeLoad = flag.Duration("intake-load", 2*time.Second, "for how long TestIntakeLoad delivers; with another value than the default p99 is held to its bound")

const (
	intakeRate  = 1000 // deliveries a second
	intakeBound = 100 * time.Millisecond
)

// TestIntakeLoad delivers a thousand webhooks a second over sockets to a Muster whose store is
// one file that is synced. Each is durable before its answer; they are handled meanwhile.
func TestIntakeLoad(t *testing.T) {
	forge, err := gitlabfake.New(gitlabfake.Options{URL: "http://127.0.0.1/git"})
	if err != nil {
		t.Fatal(err)
	}
	defer forge.Close()
	forge.AddProject(gitlabfake.Project{Path: "shop/cart"})
	dir := t.TempDir()
	file := filepath.Join(dir, "muster.yaml")
	if err := os.WriteFile(file, []byte(`
server: {gitlab: {url: "http://127.0.0.1/git", token: "${TOKEN}", webhookSecret: "${HOOK}"}}
environments: [{name: production, approvals: none}]
modules: [{name: cart, source: shop/cart}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{"TOKEN": forge.Token(), "HOOK": storyHook}
	config, err := configs.Load(file, configs.WithEnv(func(name string) (string, bool) { v, ok := secrets[name]; return v, ok }))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s, err := bolt.Open(filepath.Join(dir, storeFile), bolt.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	a, err := newApp(t.Context(), appOptions{Catalog: config.Catalog, Store: s, Server: &config.Server, HTTP: forge.Client(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	a.Start(t.Context())
	defer func() {
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
	}()
	server := httptest.NewServer(web.New(web.Options{
		Ready: a.Ready, Execute: a.bot.Execute, Tokens: func() []web.Token { return nil }, Metrics: a.metrics, Doors: a.doors(), Log: log,
		Render: func(c chat.Card) string { return local.Render(c, plainWidth, false) },
	}))
	defer server.Close()

	total := int(intakeLoad.Seconds() * intakeRate)
	took := make([]time.Duration, total)
	due := make(chan int, total)
	began := time.Now()
	var workers sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var failed sync.Map
	for range 64 {
		workers.Go(func() {
			for n := range due {
				at := began.Add(time.Duration(n) * time.Second / intakeRate)
				time.Sleep(time.Until(at))
				if err := deliverPush(client, server.URL, n); err != nil {
					failed.Store(n, err)
				}
				took[n] = time.Since(at) // from when it was due: waiting for a free worker counts
			}
		})
	}
	for n := range total {
		due <- n
	}
	close(due)
	workers.Wait()
	elapsed := time.Since(began)
	failed.Range(func(n, err any) bool { t.Errorf("delivery %v: %v", n, err); return false })
	durable := 0
	for _, err := range a.logs.Keys(context.Background(), "intake/known/gitlab/") {
		if err != nil {
			t.Fatal(err)
		}
		durable++
	}
	if durable < total {
		t.Errorf("%d of %d deliveries are known", durable, total)
	}
	slices.Sort(took)
	at := func(percent int) time.Duration { return took[min(len(took)-1, len(took)*percent/100)] }
	t.Logf("%d deliveries in %v (%.0f a second): p50 %v, p95 %v, p99 %v, at most %v", total, elapsed.Round(time.Millisecond), float64(total)/elapsed.Seconds(), at(50), at(95), at(99), took[len(took)-1])
	if *intakeLoad != 2*time.Second && at(99) > intakeBound {
		t.Errorf("p99 is %v, want at most %v", at(99), intakeBound)
	}
}

// deliverPush delivers a push as GitLab does.
func deliverPush(client *http.Client, server string, n int) error {
	body := fmt.Sprintf(`{"object_kind":"push","event_name":"push","before":"%040x","after":"%040x","ref":"refs/heads/main","checkout_sha":"%040x",
		"user_username":"ann","project_id":1,"project":{"id":1,"path_with_namespace":"shop/cart","default_branch":"main","web_url":"http://127.0.0.1/git/shop/cart"},
		"commits":[{"id":"%040x","message":"change %d","timestamp":"2026-11-24T12:00:00Z","author":{"name":"Ann","email":"ann@shop.example"}}],"total_commits_count":1}`, n, n+1, n+1, n+1, n)
	r, err := http.NewRequest(http.MethodPost, server+"/gitlab/webhook", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Gitlab-Event", "Push Hook")
	r.Header.Set("X-Gitlab-Token", storyHook)
	r.Header.Set("Idempotency-Key", fmt.Sprintf("load-%d", n))
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode/100 != 2 {
		return errors.Join(err, fmt.Errorf("answered with %d", answer.StatusCode))
	}
	return err
}
