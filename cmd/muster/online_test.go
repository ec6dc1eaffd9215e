package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-release/muster/integrations/slack/slackfake"
)

// checkedOnline runs muster check --online against a fake of Slack, with more settings of
// the server, and makes sure that no secret is in what it writes.
func checkedOnline(t *testing.T, w *slackfake.Workspace, server string) (out string, code int) {
	t.Helper()
	t.Setenv("BOT", w.BotToken())
	t.Setenv("APP", w.AppToken())
	t.Setenv("SIGNING", w.SigningSecret())
	path := filepath.Join(t.TempDir(), "muster.yaml")
	config := fmt.Sprintf(`people: [{id: ann, handles: {slack: U0001}}]
groups: [{name: qa, slack: "@qa-team"}]
environments:
  - {name: staging, approvals: none, channels: ["#staging"]}
  - {name: production, approvals: {rules: [{group: qa}]}}
modules: [{name: cart, version: v1.0.0}]
server: {slack: {apiURL: "%s", channels: ["#releases"], botToken: "${BOT}", appToken: "${APP}"%s
`, w.APIURL(), server)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code = run([]string{"check", "--online", "--config", path}, streams{strings.NewReader(""), &stdout, &stderr})
	out = stdout.String() + stderr.String()
	for _, secret := range []string{w.BotToken(), w.AppToken(), w.SigningSecret()} {
		if strings.Contains(out, secret) {
			t.Errorf("a secret is in what is written:\n%s", out)
		}
	}
	return out, code
}

func TestCheckOnline(t *testing.T) {
	w, err := slackfake.New(slackfake.Options{NoTiers: true})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ann := w.AddUser(slackfake.User{ID: "U0001", Name: "ann"})
	w.AddUserGroup(slackfake.Group{Handle: "qa-team", Users: []string{ann}})
	releases := w.AddChannel(slackfake.Channel{Name: "releases", Members: []string{slackfake.BotUser}})
	w.AddChannel(slackfake.Channel{Name: "staging", Members: []string{slackfake.BotUser}})

	out, code := checkedOnline(t, w, "}}")
	if code != exitOK || strings.Contains(out, "✗") || !strings.Contains(out, "is good") || !strings.Contains(out, "Slack is as the configuration has it") {
		t.Errorf("exit code %d, all is well, and it says:\n%s", code, out)
	}
	for _, want := range []string{"#releases", "#staging", "@qa-team"} {
		if !strings.Contains(out, want) {
			t.Errorf("nobody looked at %s:\n%s", want, out)
		}
	}

	w.Remove(releases, slackfake.BotUser)
	out, code = checkedOnline(t, w, "}}")
	if code != exitFailed || strings.Count(out, "✗") != 1 || !strings.Contains(out, "/invite") || !strings.Contains(out, "1 thing to mend") {
		t.Errorf("exit code %d, the bot is not in a channel, and it says:\n%s", code, out)
	}
	w.Invite(releases, slackfake.BotUser)

	w.Grant("chat:write")
	out, code = checkedOnline(t, w, "}}")
	if code != exitFailed || !strings.Contains(out, "im:history") || !strings.Contains(out, "usergroups:read") {
		t.Errorf("exit code %d, scopes are missing, and it says:\n%s", code, out)
	}
	w.Grant(slackfake.AllScopes()...)

	w.Revoke()
	if out, code = checkedOnline(t, w, "}}"); code != exitFailed || !strings.Contains(out, "✗ ") {
		t.Errorf("exit code %d, the token is revoked, and it says:\n%s", code, out)
	}
}

func TestCheckOnlineOverHTTP(t *testing.T) {
	w, err := slackfake.New(slackfake.Options{NoTiers: true})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ann := w.AddUser(slackfake.User{ID: "U0001", Name: "ann"})
	w.AddUserGroup(slackfake.Group{Handle: "qa-team", Users: []string{ann}})
	for _, name := range []string{"releases", "staging"} {
		w.AddChannel(slackfake.Channel{Name: name, Members: []string{slackfake.BotUser}})
	}
	const signing = `, signingSecret: "${SIGNING}"}`
	out, code := checkedOnline(t, w, signing+"}")
	if code != exitFailed || !strings.Contains(out, "server: url") {
		t.Errorf("exit code %d, nobody knows where Slack delivers, and it says:\n%s", code, out)
	}
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Challenge string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.URL.Path != "/slack/events" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(body.Challenge))
	}))
	if out, code = checkedOnline(t, w, signing+", url: "+`"`+door.URL+`"}`); code != exitOK {
		t.Errorf("exit code %d, a server answers there, and it says:\n%s", code, out)
	}
	door.Close()
	if out, code = checkedOnline(t, w, signing+", url: "+`"`+door.URL+`"}`); code != exitFailed || !strings.Contains(out, "muster serve") {
		t.Errorf("exit code %d, nobody answers there, and it says:\n%s", code, out)
	}
}
