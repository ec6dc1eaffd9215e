package slack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/slack/slackfake"
	"github.com/muster-release/muster/playbooks"
)

const botToken = "xoxb-a-token-nobody-may-see"

// serving returns a workspace whose Web API is answer, and what it logs. It runs outside of
// bubbles.
func serving(t *testing.T, answer http.HandlerFunc, people ...playbooks.Person) (*Workspace, *logBook) {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	log := &logBook{}
	return warmed(New(Options{
		BotToken: botToken, APIURL: srv.URL + "/api/", HTTP: srv.Client(), Log: log.logger(),
		People: func() []playbooks.Person { return people },
	})), log
}

// warmed is a workspace that has been there for a while, so that nothing is put off at once.
func warmed(w *Workspace) *Workspace {
	w.budget.began = time.Now().Add(-time.Hour)
	return w
}

// venue is a fake of Slack inside a bubble, and a workspace there.
type venue struct {
	*slackfake.Workspace
	w   *Workspace
	log *logBook
}

// inBubble runs a test inside a bubble, with the fake of Slack.
func inBubble(t *testing.T, o slackfake.Options, people []playbooks.Person, test func(t *testing.T, v *venue)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Network = slackfake.NewNetwork()
		fake, err := slackfake.New(o)
		if err != nil {
			t.Fatal(err)
		}
		client := o.Network.Client()
		v := &venue{Workspace: fake, log: &logBook{}}
		v.w = New(Options{
			BotToken: fake.BotToken(), AppToken: fake.AppToken(), APIURL: fake.APIURL(), HTTP: client, Log: v.log.logger(),
			People: func() []playbooks.Person { return people },
		})
		defer func() {
			client.CloseIdleConnections()
			if err := fake.Close(); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(time.Minute)
		test(t, v)
		if strings.Contains(v.log.String(), fake.BotToken()) {
			t.Error("the token is in the log")
		}
	})
}

// behaviour is what an error lets a caller do.
func behaviour(err error) string {
	var all []string
	var p interface{ Permanent() bool }
	var r interface{ RetryAfter() time.Duration }
	var g chat.Gone
	if errors.As(err, &p) && p.Permanent() {
		all = append(all, "permanent")
	}
	if errors.As(err, &g) && g.Gone() {
		all = append(all, "gone")
	}
	if errors.As(err, &r) {
		all = append(all, "again in "+r.RetryAfter().Round(time.Second).String())
	}
	switch {
	case err == nil:
		return "done"
	case all == nil:
		return "unknown"
	}
	return strings.Join(all, " ")
}

func saying(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func refusing(name string) http.HandlerFunc {
	return saying(http.StatusOK, fmt.Sprintf(`{"ok":false,"error":%q}`, name))
}

func TestErrors(t *testing.T) {
	hangUp := func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   string
		words  string
	}{
		{"done", saying(200, `{"ok":true,"channel":"C123","ts":"1.2"}`), "done", ""},
		{"refused", refusing("not_in_channel"), "permanent", "not_in_channel"},
		{"refused in detail", saying(200, `{"ok":false,"error":"invalid_blocks","response_metadata":{"messages":["[ERROR] too long"]}}`), "permanent", `invalid_blocks ["[ERROR] too long"]`},
		{"without a scope", saying(200, `{"ok":false,"error":"missing_scope","needed":"chat:write","provided":"commands"}`), "permanent", "grant chat:write"},
		{"deleted", refusing("message_not_found"), "permanent gone", "message_not_found"},
		{"thread deleted", refusing("thread_not_found"), "permanent gone", ""},
		{"limited", saying(429, `{"ok":false,"error":"ratelimited"}`, "Retry-After", "17"), "again in 17s", "429"},
		{"limited without saying how long", saying(429, ``), "again in 10s", "429"},
		{"limited by name", refusing("ratelimited"), "again in 10s", "429"},
		{"inside Slack", refusing("internal_error"), "unknown", "internal_error"},
		{"inside Slack, badly", refusing("fatal_error"), "unknown", ""},
		{"unavailable", refusing("service_unavailable"), "unknown", ""},
		{"too slow for Slack", refusing("request_timeout"), "unknown", ""},
		{"migrating", refusing("team_added_to_org"), "unknown", ""},
		{"token refused", refusing("token_revoked"), "unknown", "token_revoked"},
		{"500", saying(500, "<html>"), "unknown", "HTTP 500"},
		{"503", saying(503, ""), "unknown", "HTTP 503"},
		{"413", saying(413, ""), "permanent", "HTTP 413"},
		{"redirected", saying(307, "", "Location", "https://example.com/"), "unknown", "HTTP 307"},
		{"hung up", hangUp, "unknown", "EOF"},
		{"not JSON", saying(200, "<html>"), "unknown", ""},
		{"another text", saying(200, strings.Repeat("no ", 5000), "Content-Type", "text/html"), "unknown", "invalid character"},
		{"half", saying(200, `{"ok":true,"ts":"1.`), "unknown", ""},
		{"no message", saying(200, `{"ok":true}`), "unknown", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, log := serving(t, test.answer)
			_, err := w.Post(t.Context(), chat.Message{Key: "k", Channel: "C123", Card: chat.Card{Text: "words"}})
			if got := behaviour(err); got != test.want {
				t.Fatalf("%v is %s, want %s", err, got, test.want)
			}
			if err == nil {
				return
			}
			if text := err.Error(); !strings.HasPrefix(text, `slack: post "k" in "C123": `) || !strings.Contains(text, test.words) || len(text) > 300 {
				t.Errorf("the error says %q", text)
			}
			if strings.Contains(err.Error()+log.String(), botToken) || strings.Contains(err.Error(), "http://") {
				t.Errorf("a secret or an address is in what is said: %v\n%s", err, log)
			}
		})
	}
}

// What never left may be tried again without looking.
func TestErrorsWithoutConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	for _, reply := range []string{"", "url:http://" + address + "/commands/secret"} {
		w := warmed(New(Options{BotToken: botToken, APIURL: "http://" + address + "/api/"}))
		_, err = w.Post(t.Context(), chat.Message{Key: "k", Channel: "C123", Reply: reply, Card: chat.Card{Text: "words"}})
		if got := behaviour(err); got != "again in 1s" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v is %s", err, got)
		}
	}
}

// Nothing waits for more than the time of a call, and what is not answered by then is unknown.
func TestErrorsOfTime(t *testing.T) {
	inBubble(t, slackfake.Options{}, nil, func(t *testing.T, v *venue) {
		c := v.AddChannel(slackfake.Channel{Name: "releases", Members: []string{slackfake.BotUser}})
		v.SetFault(func(slackfake.Call) slackfake.Fault { return slackfake.Fault{Kind: slackfake.Hang} })
		began := time.Now()
		_, err := v.w.Post(t.Context(), chat.Message{Key: "k", Channel: c, Card: chat.Card{Text: "words"}})
		if got := behaviour(err); got != "unknown" || !strings.Contains(err.Error(), "no answer within 10s") {
			t.Errorf("%v is %s", err, got)
		}
		if waited := time.Since(began); waited != callTime {
			t.Errorf("a call takes %v", waited)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("it is over"))
		defer cancel()
		time.Sleep(2 * time.Second)
		if _, err = v.w.Post(ctx, chat.Message{Key: "k", Channel: c, Card: chat.Card{Text: "words"}}); err == nil || !strings.Contains(err.Error(), "it is over") {
			t.Errorf("the caller's time is over, and the error is %v", err)
		}
	})
}

// While Slack wants no calls of a method there are none, and of other methods there are. Of
// posts it is the channel that counts.
func TestRetryAfter(t *testing.T) {
	inBubble(t, slackfake.Options{}, nil, func(t *testing.T, v *venue) {
		c1 := v.AddChannel(slackfake.Channel{Members: []string{slackfake.BotUser}})
		c2 := v.AddChannel(slackfake.Channel{Members: []string{slackfake.BotUser}})
		m := chat.Message{Key: "k", Channel: c1, Urgency: chat.Urgent, Card: chat.Card{Text: "words"}}
		h, err := v.w.Post(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		limit := map[string]bool{"chat.update": true}
		v.SetFault(func(c slackfake.Call) slackfake.Fault {
			if limit[c.Method] || limit[c.Channel] {
				return slackfake.Fault{Kind: slackfake.Limited, RetryAfter: 20}
			}
			return slackfake.Fault{}
		})
		if got := behaviour(v.w.Update(t.Context(), h, m)); got != "again in 20s" {
			t.Errorf("an update is %s", got)
		}
		delete(limit, "chat.update")
		calls := len(v.Calls())
		time.Sleep(19 * time.Second)
		if got := behaviour(v.w.Update(t.Context(), h, m)); got != "again in 1s" || len(v.Calls()) != calls {
			t.Errorf("an update too early is %s, and %d calls went out", got, len(v.Calls())-calls)
		}
		limit[c1] = true
		if _, err := v.w.Post(t.Context(), m); behaviour(err) != "again in 20s" {
			t.Errorf("a post is %s", behaviour(err))
		}
		m.Channel = c2
		if _, err := v.w.Post(t.Context(), m); err != nil {
			t.Errorf("a post into another channel is %s", behaviour(err))
		}
		delete(limit, c1)
		time.Sleep(1100 * time.Millisecond)
		if err := v.w.Update(t.Context(), h, m); err != nil {
			t.Errorf("an update when the time is over: %v", err)
		}
		s := v.w.Stats()
		if s.Limited != 2 || s.PutOff != 1 || s.Calls["chat.update"] != 2 || s.Calls["chat.postMessage"] != 3 {
			t.Errorf("the numbers are %+v", s)
		}
	})
}

// Ten boards are updated through a Slack that counts, by callers who do as they are told: nothing
// is refused with 429, and nobody waits inside a call.
func TestNever429(t *testing.T) {
	inBubble(t, slackfake.Options{}, nil, func(t *testing.T, v *venue) {
		c := v.AddChannel(slackfake.Channel{Members: []string{slackfake.BotUser}})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		said := make(chan struct{}, 20)
		patient := func(fn func() error) {
			for ctx.Err() == nil {
				began := time.Now()
				err := fn()
				if took := time.Since(began); took > 100*time.Millisecond {
					t.Errorf("a call takes %v", took)
				}
				var l interface{ RetryAfter() time.Duration }
				if err == nil {
					return
				}
				if !errors.As(err, &l) {
					t.Errorf("it is not put off: %v", err)
					return
				}
				sleep(ctx, l.RetryAfter())
			}
		}
		for i := range 10 {
			go func() {
				defer func() { said <- struct{}{} }()
				about := fmt.Sprint(i)
				m := chat.Message{Key: "board/" + about, Channel: c, About: about, Urgency: chat.Urgent}
				var h chat.Handle
				for n := 0; ctx.Err() == nil; n++ {
					m.Card.Text = fmt.Sprint("state ", n)
					patient(func() (err error) {
						if h.ID == "" {
							h, err = v.w.Post(context.WithoutCancel(ctx), m)
							return err
						}
						return v.w.Update(context.WithoutCancel(ctx), h, m)
					})
					m.Urgency = chat.Progressing
					sleep(ctx, 1400*time.Millisecond)
				}
			}()
			go func() {
				defer func() { said <- struct{}{} }()
				for n := 0; ctx.Err() == nil; n++ {
					m := chat.Message{Key: fmt.Sprintf("event/%d/%d", i, n), Channel: c, About: fmt.Sprint(i), Urgency: chat.Settled, Card: chat.Card{Text: "an event"}}
					patient(func() error {
						_, err := v.w.Post(context.WithoutCancel(ctx), m)
						return err
					})
				}
			}()
		}
		for range 20 {
			<-said
		}
		updates, posts := 0, 0
		for _, call := range v.Calls() {
			switch call.Method {
			case "chat.update":
				updates++
			case "chat.postMessage":
				posts++
			}
		}
		if v.Limits() > 0 || v.w.Stats().Limited > 0 {
			t.Errorf("Slack refused %d calls", v.Limits())
		}
		if updates < 5*44 || posts < 5*50 {
			t.Errorf("%d updates and %d posts in five minutes: there was room for more", updates, posts)
		}
	})
}
