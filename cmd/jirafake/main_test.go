package main

import (
	"encoding/base64"
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
	told := make(chan string, 10)
	muster := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		told <- r.Header.Get("X-Hub-Signature") + string(raw)
	}))
	defer muster.Close()
	out := alonetest.Start(t, run, "--flavor", "datacenter", "--index-lag", "0s", "--webhook", muster.URL+"/jira/webhook")
	page, token := out.Find(t, `page +(\S+)`), out.Find(t, `JIRA_TOKEN=(\S+)`)
	auth := map[string]string{"Authorization": "Bearer " + token, "Content-Type": "application/json"}
	status, made := alonetest.Do(t, "POST", page+"/rest/api/2/issue", auth, `{"fields": {"project": {"key": "REL"}, "issuetype": {"name": "Release"}, "summary": "Release 1 to production"}}`)
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
	if status, got := alonetest.Do(t, "GET", page+"/", nil, ""); status != 200 || !strings.Contains(got, "Release 1 to production") || !strings.Contains(got, "Checkout charges twice") {
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
	out := alonetest.Start(t, run, "--seed", file)
	page := out.Find(t, `page +(\S+)`)
	auth := map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("cy@example.com:t0ken"))}
	if status, got := alonetest.Do(t, "GET", page+"/rest/api/3/issue/OPS-1", auth, ""); status != 200 || !strings.Contains(got, `"Releasing"`) {
		t.Errorf("HTTP %d: %s", status, got)
	}
	out.Find(t, `jira: \{url: "http://127.0.0.1:\d+", email: cy@example.com, token: "\$\{JIRA_TOKEN\}", project: OPS\}`)
	out.Find(t, `export JIRA_TOKEN=t0ken`)
}

func TestRefuses(t *testing.T) {
	alonetest.Refuses(t, run, []string{"--flavor", "server"}, []string{"--seed", "/none/of/it"}, []string{"--listen", "nowhere:x"})
}

func TestTakenPort(t *testing.T) { alonetest.Taken(t, run) }
