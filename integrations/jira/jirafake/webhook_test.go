package jirafake_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/jira/jirafake"
)

// listener is somebody who is told, and answers what they are asked to.
type listener struct {
	mu     sync.Mutex
	got    []heard
	answer func(n int) (int, error)
}

type heard struct {
	header http.Header
	body   string
	event  object
}

func (l *listener) send(r *http.Request) (int, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, err
	}
	h := heard{header: r.Header, body: string(raw)}
	if err := json.Unmarshal(raw, &h.event); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, h)
	if l.answer != nil {
		return l.answer(len(l.got))
	}
	return 200, nil
}

func (l *listener) events() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, h := range l.got {
		name := h.event["webhookEvent"].(string)
		if kind, is := h.event["issue_event_type_name"].(string); is {
			name += "/" + kind
		}
		all = append(all, name)
	}
	return all
}

func TestWebhooks(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		l := &listener{}
		w.AddWebhook(jirafake.Webhook{URL: "https://muster.example/jira/webhook", Secret: "s3cret", Send: l.send})
		key := w.create(object{"labels": []string{"a"}, "description": w.rich("the plan")})
		w.do(w.SetLabel("bob", key, "b", true))
		w.do(w.Move("bob", key, "Start release", nil))
		w.do(w.EditField("bob", key, "fixVersions", []any{object{"name": "1.0"}}))
		_, err := w.Comment("bob", key, "hm")
		w.do(err)
		_, err = w.AddVersion("REL", "3.0")
		w.do(err)
		w.do(w.EditVersion("REL", "3.0", func(v *jirafake.Version) { v.Description = "x" }))
		w.do(w.ReleaseVersion("REL", "3.0"))
		w.do(w.DeleteIssue("bob", key))
		wait(t, w)
		want := []string{
			"jira:issue_created/issue_created", "jira:issue_updated/issue_updated", "jira:issue_updated/issue_generic", "jira:issue_updated/issue_updated",
			"jira:issue_updated/issue_commented", "comment_created", "jira:version_created", "jira:version_updated", "jira:version_released", "jira:issue_deleted/issue_deleted", "comment_deleted",
		}
		if w.cloud { // a comment is no update there
			want = slices.Delete(want, 4, 5)
			want[8] = "jira:issue_deleted"
		}
		if got := l.events(); !slices.Equal(got, want) {
			t.Fatalf("heard\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		made, labels, moved := l.got[0].event, l.got[1].event, l.got[2].event
		w.same(made, "issue.key", key)
		w.same(made, "issue.fields.description", "the plan") // markup on both
		w.same(made, "user.displayName", "Ann Moreau")
		w.same(labels, "changelog.items.0.field", "labels")
		w.same(labels, "changelog.items.0.fromString", "a")
		w.same(labels, "changelog.items.0.toString", "a b")
		w.same(moved, "changelog.items.0.field", "status")
		w.same(moved, "changelog.items.0.toString", "Releasing")
		w.same(moved, "user.displayName", "Bob Okafor")
		w.same(moved, "issue.fields.status.name", "Releasing")
		self, _ := at(moved, "issue.self").(string)
		if !strings.Contains(self, "/rest/api/2/issue/") {
			t.Errorf("it is at %q", self)
		}
		comment := l.got[slices.Index(want, "comment_created")].event
		w.same(comment, "comment.body", "hm")
		w.same(comment, "comment.author.displayName", "Bob Okafor")
		if w.cloud {
			w.same(comment, "issue.key", key)
			w.same(moved, "user.accountId", w.bob.AccountID)
			w.same(moved, "changelog.items.0.fieldId", "status")
		} else {
			w.same(comment, "issue", nil)
			w.same(moved, "user.name", "bob")
			w.same(moved, "changelog.items.0.fieldId", nil)
		}
		w.same(l.got[slices.Index(want, "jira:version_released")].event, "version.name", "3.0")
		seen := map[string]bool{}
		for _, h := range l.got {
			mac := hmac.New(sha256.New, []byte("s3cret"))
			mac.Write([]byte(h.body))
			if got := h.header.Get("X-Hub-Signature"); got != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
				t.Errorf("it is signed %q", got)
			}
			if (h.header.Get("X-Atlassian-Webhook-Flow") == "") == w.cloud || h.header.Get("X-Atlassian-Webhook-Retry") != "" {
				t.Errorf("the headers are %v", h.header)
			}
			if n, is := h.event["timestamp"].(float64); !is || n < 1e12 {
				t.Errorf("the time is %v", h.event["timestamp"])
			}
			seen[h.header.Get("X-Atlassian-Webhook-Identifier")] = true
		}
		if len(seen) != len(l.got) {
			t.Errorf("%d identifiers for %d", len(seen), len(l.got))
		}
	})
}

// A test says what happens on the way.
func TestDeliveriesOnTheWay(t *testing.T) {
	run := func(t *testing.T, treat func(jirafake.Delivery) jirafake.Treatment, answer func(int) (int, error), want ...string) *listener {
		t.Helper()
		l := &listener{answer: answer}
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, jirafake.Options{})
			w.SetTreatment(treat)
			w.AddWebhook(jirafake.Webhook{URL: "https://muster.example/hook", Events: []string{"jira:issue_created"}, Send: l.send})
			for range 3 {
				w.create(nil)
			}
			wait(t, w)
			var got []string
			for _, h := range l.got {
				got = append(got, at(h.event, "issue.key").(string)+"/"+h.header.Get("X-Atlassian-Webhook-Retry"))
			}
			if !slices.Equal(got, want) {
				t.Errorf("heard %q, not %q", got, want)
			}
			for _, d := range w.Deliveries() {
				if !d.Over {
					t.Errorf("not over: %+v", d)
				}
			}
		})
		return l
	}
	treat := func(n int, t jirafake.Treatment) func(jirafake.Delivery) jirafake.Treatment {
		return func(d jirafake.Delivery) jirafake.Treatment {
			if d.N == n {
				return t
			}
			return jirafake.Treatment{}
		}
	}
	t.Run("plain", func(t *testing.T) { run(t, nil, nil, "REL-1/", "REL-2/", "REL-3/") })
	t.Run("lost", func(t *testing.T) { run(t, treat(2, jirafake.Treatment{Lose: true}), nil, "REL-1/", "REL-3/") })
	t.Run("swapped", func(t *testing.T) {
		run(t, treat(1, jirafake.Treatment{Swap: true}), nil, "REL-2/", "REL-1/", "REL-3/")
	})
	t.Run("swapped at the end", func(t *testing.T) {
		run(t, treat(3, jirafake.Treatment{Swap: true}), nil, "REL-1/", "REL-2/", "REL-3/")
	})
	t.Run("late", func(t *testing.T) {
		run(t, treat(1, jirafake.Treatment{Delay: 10 * time.Second}), nil, "REL-2/", "REL-3/", "REL-1/")
	})
	t.Run("refused for good", func(t *testing.T) {
		run(t, nil, func(int) (int, error) { return 400, nil }, "REL-1/", "REL-2/", "REL-3/")
	})
	t.Run("refused twice", func(t *testing.T) {
		l := run(t, nil, func(n int) (int, error) {
			switch n {
			case 1:
				return 503, nil
			case 4:
				return 0, errors.New("no route")
			}
			return 204, nil
		}, "REL-1/", "REL-2/", "REL-3/", "REL-1/1", "REL-1/2")
		if a, b := l.got[0].header, l.got[4].header; a.Get("X-Atlassian-Webhook-Identifier") != b.Get("X-Atlassian-Webhook-Identifier") {
			t.Error("the identifier of a retry is another")
		}
	})
	t.Run("never taken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, jirafake.Options{})
			l := &listener{answer: func(int) (int, error) { return 500, nil }}
			w.AddWebhook(jirafake.Webhook{URL: "https://muster.example/hook", Events: []string{"jira:issue_created"}, Send: l.send})
			w.create(nil)
			wait(t, w)
			if d := w.Deliveries()[0]; len(l.got) != 6 || d.Attempts != 6 || d.Taken || !d.Over || l.got[5].header.Get("X-Atlassian-Webhook-Retry") != "5" {
				t.Errorf("after %d attempts: %+v", len(l.got), d)
			}
		})
	})
	t.Run("Data Center sends once", func(t *testing.T) {
		w := newWorld(t, jirafake.Options{Flavor: jirafake.DataCenter})
		l := &listener{answer: func(int) (int, error) { return 500, nil }}
		w.AddWebhook(jirafake.Webhook{URL: "https://muster.example/hook", Events: []string{"jira:issue_created"}, Send: l.send})
		w.create(nil)
		wait(t, w)
		if len(l.got) != 1 {
			t.Errorf("%d attempts", len(l.got))
		}
	})
	t.Run("twice", func(t *testing.T) {
		l := &listener{}
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, jirafake.Options{})
			w.SetTreatment(treat(1, jirafake.Treatment{Copies: 2}))
			w.AddWebhook(jirafake.Webhook{URL: "https://muster.example/hook", Events: []string{"jira:issue_created"}, Send: l.send})
			w.create(nil)
			wait(t, w)
			w.do(w.Redeliver(1))
			wait(t, w)
		})
		ids := map[string]int{}
		for _, h := range l.got {
			ids[h.header.Get("X-Atlassian-Webhook-Identifier")]++
		}
		if len(ids) != 1 || len(l.got) != 4 {
			t.Errorf("identifiers %v", ids)
		}
	})
}

func TestWebhookByClient(t *testing.T) {
	l := &listener{}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		status, _ := l.send(r)
		rw.WriteHeader(status)
	}))
	defer s.Close()
	w := newWorld(t, jirafake.Options{})
	w.AddWebhook(jirafake.Webhook{URL: s.URL + "/jira/webhook", Client: s.Client()})
	w.create(nil)
	wait(t, w)
	if d := w.Deliveries(); len(d) != 1 || !d[0].Taken || d[0].Status != 200 || d[0].Attempts != 1 || l.events()[0] != "jira:issue_created/issue_created" {
		t.Errorf("deliveries %+v", d)
	}
}

// Settle says what it waits for, and Close ends it.
func TestSettleGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, jirafake.Options{})
		w.AddWebhook(jirafake.Webhook{URL: "https://muster.example/hook", Send: func(r *http.Request) (int, error) {
			<-r.Context().Done()
			return 0, context.Cause(r.Context())
		}})
		w.create(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.Settle(ctx); err == nil || !strings.Contains(err.Error(), "1 deliveries are not over") {
			t.Errorf("settle: %v", err)
		}
		w.Close()
		if _, _, err := w.raw(t.Context(), w.ann, "GET", "/myself", nil); err == nil {
			t.Error("closed, it answers")
		}
	})
}
