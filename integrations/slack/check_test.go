package slack

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/slack/slackfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// wrong returns what is to be mended, one a line, and what is well.
func wrong(found []steps.Finding) (bad, good string) {
	for _, f := range found {
		if f.OK {
			good += f.What + "\n"
			continue
		}
		bad += f.What + " -> " + f.Fix + "\n"
	}
	return bad, good
}

func TestCheck(t *testing.T) {
	people := []playbooks.Person{withHandle("ann", "U0001"), {ID: "bob", Email: "bob@example.com"}, {ID: "nightly"}}
	all := CheckOptions{Channels: []string{"#releases", "C0002"}, Groups: []string{"@qa", "S0001"}}
	tests := []struct {
		name  string
		spoil func(v *venue)
		o     CheckOptions
		bad   []string // one in each line
		good  []string
	}{
		{name: "all is well", o: all, good: []string{
			"workspace fake", "all scopes that are needed", "#releases (C0001)", "channel C0002", "user group @qa: ann, bob", "Socket Mode", "all 2 people",
		}},
		{name: "nothing optional", o: CheckOptions{Channels: all.Channels}, spoil: func(v *venue) {
			var least []string
			for _, s := range Scopes() {
				if !s.Optional {
					least = append(least, s.Name)
				}
			}
			v.Grant(least...)
		}, good: []string{"channels:history is not granted, which is all right", "all scopes that are needed"}},
		{name: "scopes are missing", o: all, spoil: func(v *venue) {
			v.Grant("chat:write", "users:read", "channels:read", "groups:read", "im:history", "im:write", "app_mentions:read")
		}, bad: []string{
			"commands", "users:read.email", "usergroups:read", "@qa", "S0001", "bob: look somebody up by address: missing_scope",
		}},
		{name: "no token", o: all, spoil: func(v *venue) { v.Revoke() }, bad: []string{"bot token: ask who the app is: token_revoked -> install the app", "app token"}},
		{name: "not in the channels", o: all, spoil: func(v *venue) {
			v.Remove("C0001", slackfake.BotUser)
			v.Archive("C0002")
		}, bad: []string{"#releases", "C0002: find channel C0002: the app is not in it"}, good: []string{"Socket Mode"}},
		{name: "an empty user group", o: all, spoil: func(v *venue) { v.SetUserGroup("S0001") }, bad: []string{"@qa has nobody in it", "S0001 has nobody in it"}},
		{name: "strangers in a user group", o: all, spoil: func(v *venue) {
			v.AddUser(slackfake.User{ID: "U0009"})
			v.SetUserGroup("S0001", "U0001", "U0009")
		}, good: []string{"@qa: ann; nobody's accounts, which count for nothing: U0009"}},
		{name: "no user group", o: CheckOptions{Groups: []string{"@prod"}}, bad: []string{"@prod"}},
		{name: "people without account", spoil: func(v *venue) {
			v.Deactivate("U0001")
			v.Deactivate("U0002")
		}, bad: []string{"people without an account of their own: bob", "ann (U0001: your account is deactivated"}},
		{name: "Slack is down", o: all, spoil: func(v *venue) { v.SetDown(true) }, bad: []string{"see that this machine reaches", "app token"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, slackfake.Options{}, people, func(t *testing.T, v *venue) {
				v.AddUser(slackfake.User{ID: "U0001"})
				v.AddUser(slackfake.User{ID: "U0002", Email: "bob@example.com"})
				v.AddChannel(slackfake.Channel{Name: "releases", Members: []string{slackfake.BotUser}})
				v.AddChannel(slackfake.Channel{Name: "staging", Private: true, Members: []string{slackfake.BotUser}})
				v.AddUserGroup(slackfake.Group{Handle: "qa", Users: []string{"U0001", "U0002"}})
				if test.spoil != nil {
					test.spoil(v)
				}
				bad, good := wrong(v.w.Check(t.Context(), test.o))
				lines := strings.Split(strings.TrimSuffix(bad, "\n"), "\n")
				if bad == "" {
					lines = nil
				}
				if len(lines) != len(test.bad) {
					t.Errorf("%d things are wrong, want %d:\n%s", len(lines), len(test.bad), bad)
				}
				for i, want := range test.bad {
					if i < len(lines) && (!strings.Contains(lines[i], want) || strings.HasSuffix(lines[i], "-> ")) {
						t.Errorf("it says %q, want %q", lines[i], want)
					}
				}
				for _, want := range test.good {
					if !strings.Contains(good, want) {
						t.Errorf("it does not say %q:\n%s", want, good)
					}
				}
				for _, c := range v.Calls() {
					if strings.HasPrefix(c.Method, "chat.") || c.Method == "conversations.open" {
						t.Errorf("somebody was disturbed by %s", c.Method)
					}
				}
				if strings.Contains(bad, "account of") == strings.Contains(good, "all 2 people have") && strings.Contains(good, "the bot token is") {
					t.Errorf("it is not clear whether people have accounts:\n%s%s", bad, good)
				}
				if strings.Contains(bad+good, v.BotToken()) || strings.Contains(bad+good, v.AppToken()) || v.Limits() > 0 {
					t.Errorf("a token is said, or a limit was reached:\n%s", bad+good)
				}
			})
		})
	}
}

// With many people Check looks at as many as there is time for, and says so.
func TestCheckManyPeople(t *testing.T) {
	var people []playbooks.Person
	for i := range 200 {
		people = append(people, playbooks.Person{ID: fmt.Sprint("p", i), Email: fmt.Sprintf("p%d@example.com", i)})
	}
	inBubble(t, slackfake.Options{}, people, func(t *testing.T, v *venue) {
		for _, p := range people {
			v.AddUser(slackfake.User{Email: p.Email})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		bad, good := wrong(v.w.Check(ctx, CheckOptions{}))
		if bad != "" || !strings.Contains(good, "of 200 people were looked at") || v.Limits() > 0 {
			t.Errorf("it says\n%s%s", bad, good)
		}
	})
}

func TestCheckDelivery(t *testing.T) {
	m := newMusterSide()
	muster := httptest.NewServer(newHandler(m.door(), testSecret, m.log.logger()))
	defer muster.Close()
	another := httptest.NewServer(newHandler(m.door(), "another secret", m.log.logger()))
	defer another.Close()
	page := httptest.NewServer(saying(200, "<html>welcome"))
	defer page.Close()
	moved := httptest.NewServer(http.RedirectHandler(muster.URL+"/slack/events", http.StatusPermanentRedirect))
	defer moved.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	w, _ := serving(t, saying(200, `{"ok":true,"user":"muster","user_id":"U1","team":"fake","team_id":"T1"}`))
	w.o.SigningSecret = testSecret
	for url, want := range map[string]string{
		muster.URL:       "",
		muster.URL + "/": "",
		another.URL:      "the signature was refused",
		page.URL:         "HTTP 200, and not the challenge",
		moved.URL:        "HTTP 308",
		gone.URL:         "nobody answers: cannot connect",
	} {
		c := &checking{w: w}
		c.delivery(t.Context(), url)
		bad, good := wrong(c.found)
		if want == "" && (bad != "" || !strings.Contains(good, "Slack alone can prove")) || want != "" && !strings.Contains(bad, want) {
			t.Errorf("%s: it says\n%s%s", url, bad, good)
		}
		if strings.Contains(bad+good, testSecret) {
			t.Error("the secret is said")
		}
	}
	for _, e := range m.taken() {
		t.Errorf("the question is taken for an event: %+v", e)
	}
}
