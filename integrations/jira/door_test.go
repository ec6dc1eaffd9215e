package jira_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/integrations/jira"
	"github.com/muster-release/muster/integrations/jira/jirafake"
)

const hookSecret = "hook-s3cret"

// desk takes what comes in, each event once, by its ID.
type desk struct {
	mu       sync.Mutex
	err      error // of the intake
	chatErr  error
	offered  int // events, the same one again as often as it comes
	events   []events.Event
	commands []chat.Event
}

func (d *desk) Take(ctx context.Context, all ...events.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.offered += len(all)
	for _, e := range all {
		if d.err != nil {
			return d.err
		}
		if !slices.ContainsFunc(d.events, func(o events.Event) bool { return o.ID == e.ID }) {
			d.events = append(d.events, e)
		}
	}
	return nil
}

func (d *desk) Receive(ctx context.Context, e chat.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.offered++
	if d.chatErr == nil && !slices.ContainsFunc(d.commands, func(o chat.Event) bool { return o.ID == e.ID }) {
		d.commands = append(d.commands, e)
	}
	return d.chatErr
}

func (d *desk) took() ([]events.Event, []chat.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.events), slices.Clone(d.commands)
}

func sign(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// deliver delivers a webhook with a signature, and returns the status of the answer.
func deliver(h http.Handler, body string, change ...func(*http.Request)) int {
	r := httptest.NewRequest(http.MethodPost, "/jira/webhook", strings.NewReader(body))
	r.Header.Set("X-Hub-Signature", sign(hookSecret, body))
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func identified(id string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("X-Atlassian-Webhook-Identifier", id) }
}

// offline is a Jira that makes no calls.
func offline(t testing.TB, change ...func(*jira.Options)) *jira.Jira {
	t.Helper()
	o := jira.Options{
		URL: "https://jira.example/ctx", Email: "muster@example.com", Token: "t", Project: "REL", IssueType: "Release", WebhookSecret: hookSecret,
		HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			t.Errorf("a call was made: %s %s", r.Method, r.URL)
			return nil, errors.New("no calls here")
		})},
	}
	for _, f := range change {
		f(&o)
	}
	j, err := jira.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWhoMayDeliver(t *testing.T) {
	body := text(t, updated(nil, moved("a", "Ready for release")))
	header := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("X-Hub-Signature", value) }
	}
	mac := strings.TrimPrefix(sign(hookSecret, body), "sha256=")
	for _, one := range []struct {
		name   string
		secret string
		header string
		want   int
	}{
		{"signed", hookSecret, "sha256=" + mac, 204},
		{"in capitals", hookSecret, "SHA256=" + strings.ToUpper(mac), 204},
		{"with another secret", hookSecret, sign("other", body), 401},
		{"something else signed", hookSecret, sign(hookSecret, body+" "), 401},
		{"in part", hookSecret, "sha256=" + mac[:20], 401},
		{"without a method", hookSecret, mac, 401},
		{"with another method", hookSecret, "sha1=" + mac, 401},
		{"not at all", hookSecret, "", 401},
		{"no secret is configured", "", sign("", body), 401},
	} {
		t.Run(one.name, func(t *testing.T) {
			d := &desk{}
			code := deliver(offline(t, func(o *jira.Options) { o.WebhookSecret = one.secret }).Handler(d, d), body, header(one.header))
			if code != one.want || (len(d.events) == 1) != (one.want == 204) {
				t.Errorf("answered with %d, and %d events came in", code, len(d.events))
			}
		})
	}
}

func TestWhatADeliveryIsAnswered(t *testing.T) {
	move, command := text(t, updated(nil, moved("a", "b"))), text(t, commented("/muster plan", nil))
	for _, one := range []struct {
		name string
		body string
		desk *desk
		want int
	}{
		{"what could not be written down", move, &desk{err: errors.New("disk full")}, 503},
		{"what can never be taken", move, &desk{err: final{}}, 422},
		{"a command that could not be written down", command, &desk{chatErr: errors.New("disk full")}, 503},
		{"a command that can never be taken", command, &desk{chatErr: fmt.Errorf("receive: %w", final{})}, 422},
		{"no JSON", `{"webhookEvent": `, &desk{}, 400},
		{"another form", `[]`, &desk{}, 400},
		{"nothing that happened", `{}`, &desk{}, 400},
		{"fields of another form", `{"webhookEvent": "jira:issue_updated", "issue": {"key": "ABC-7", "fields": {"labels": 3, "status": [], "project": "x"}}, "changelog": {"id": 7, "items": []}}`, &desk{}, 204},
		{"an event without its thing", `{"webhookEvent": "jira:version_released"}`, &desk{}, 204},
		{"too large", `{"webhookEvent": "x", "y": "` + strings.Repeat("y", 5<<20) + `"}`, &desk{}, 413},
	} {
		t.Run(one.name, func(t *testing.T) {
			whenWritten(t, func(t *testing.T) {
				if code := deliver(offline(t).Handler(one.desk, one.desk), one.body); code != one.want {
					t.Errorf("answered with %d, not %d", code, one.want)
				}
			})
		})
	}
	whenWritten(t, func(t *testing.T) {
		if code := deliver(offline(t).Handler(&desk{}, nil), command); code != http.StatusNoContent {
			t.Errorf("without a chat a command is answered with %d", code)
		}
	})
}

type final struct{}

func (final) Error() string   { return "never" }
func (final) Permanent() bool { return true }

// What the fake delivers arrives whatever happens to it on its way.
func TestDeliveriesOnTheirWay(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		d := &desk{}
		h := s.tracker(func(o *jira.Options) { o.WebhookSecret = hookSecret }).Handler(d, d)
		s.AddWebhook(jirafake.Webhook{URL: "https://muster.example/jira/webhook", Secret: hookSecret, Send: func(r *http.Request) (int, error) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code, nil
		}})
		s.SetTreatment(func(x jirafake.Delivery) jirafake.Treatment { return jirafake.Treatment{Copies: 1, Swap: x.N%3 == 0} })
		story := s.story("ABC", "Carts")
		s.must(s.Move("ann", story.Key, "In Progress", nil))
		s.must(s.SetLabel("ann", story.Key, "hot", true))
		_, err := s.Comment("ann", story.Key, "/muster plan to staging")
		s.must(err)
		_, err = s.Comment("ann", story.Key, "not for you")
		s.must(err)
		v, err := s.AddVersion("ABC", "1.4")
		s.must(err)
		s.must(s.ReleaseVersion("ABC", "1.4"))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		s.must(s.Settle(ctx))
		took, commands := d.took()
		var kinds []string
		for _, e := range took {
			kinds = append(kinds, string(e.Kind))
			if e.Kind == events.VersionReleased && e.Fields["versionID"] != v.ID {
				t.Errorf("another version is released: %+v", e)
			}
		}
		slices.Sort(kinds)
		if !slices.Equal(kinds, []string{"issue-labelled", "issue-moved", "version-released"}) {
			t.Errorf("came in as %+v", took)
		}
		if len(commands) != 1 || commands[0].Text != "plan to staging" || commands[0].From == "" || commands[0].Channel != story.Key {
			t.Errorf("commands came in as %+v", commands)
		}
	})
}
