package bot_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// asks says where copies of requests have buttons.
func (n *newsroom) asks(keyPrefix string) []string {
	var where []string
	for channel, copies := range n.messages(keyPrefix) {
		for _, m := range copies {
			if len(m.Card.Actions) > 0 {
				where = append(where, channel)
			}
		}
	}
	slices.Sort(where)
	return where
}

func (n *newsroom) wantAsks(keyPrefix string, want ...string) {
	n.t.Helper()
	if got := n.asks(keyPrefix); !slices.Equal(got, want) {
		n.t.Errorf("%s has buttons in %q, want %q", keyPrefix, got, want)
	}
}

func inBubble(t *testing.T, play func(t *testing.T, n *newsroom)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		n.must(n.start())
		defer func() { n.end() }()
		play(t, n)
	})
}

func TestRequestIsAskedAndAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T, n *newsroom) {
		run := n.mustRelease("production")
		// Dev asked for it, so somebody else has to agree; Mute has no handle.
		n.wantAsks("request/1/approve/2", "@@lea", "@@lou", "@@quinn", "releases", "shop")
		request := n.one("request/", "releases")
		goldenCard(t, "request-open", request.Card)
		if request.Thread != "" {
			t.Errorf("the request is in the thread %q", request.Thread)
		}
		if id, ok := n.reporters.RunOf(t.Context(), "releases", request.ID); !ok || id != run {
			t.Errorf("RunOf the request says %q, %v", id, ok)
		}

		n.approve(run, "lea")
		n.wantAsks("request/", "@@quinn", "releases", "shop")
		goldenCard(t, "request-half", n.one("request/", "releases").Card)
		goldenCard(t, "request-not-needed", n.one("request/", "@@lou").Card)

		n.approve(run, "quinn")
		n.wantAsks("request/")
		for channel := range n.messages("request/") {
			wantContains(t, "the answered copy in "+channel, drawn(n.one("request/", channel).Card), "Approved: release 1", "Lea approved at 00:00", "Quinn approved at 00:00")
		}
		goldenCard(t, "request-approved", n.one("request/", "releases").Card)
		n.until(run, playbooks.Status(playbooks.Succeeded))
		n.wantAsks("request/")
	})
}

// TestButtonsAreCommands presses what is shown.
func TestButtonsAreCommands(t *testing.T) {
	inBubble(t, func(t *testing.T, n *newsroom) {
		run := n.mustRelease("production")
		var digest playbooks.Digest
		n.must(n.engine.View(t.Context(), run, func(v engine.View) error { digest = v.Run.Book.Digest; return nil }))
		for _, key := range []string{"board/", "request/"} {
			actions := n.one(key, "releases").Card.Actions
			if len(actions) < 2 || actions[0].Command != "approve 1 "+digest.Short() || actions[0].Confirm == "" || actions[1].Command != "reject 1 "+digest.Short()+" because …" || actions[1].Ask == "" {
				t.Errorf("the buttons of %s are %+v", key, actions)
			}
		}
	})
}

func TestRequestEndsWithoutYes(t *testing.T) {
	tests := map[string]struct {
		end  func(n *newsroom, run string)
		want []string
	}{
		"rejected": {
			func(n *newsroom, run string) {
				n.do(playbooks.CommandReject, "quinn", run, because("the tests are red"))
			},
			[]string{"Rejected: release 1", "Quinn rejected it at 00:00: the tests are red"},
		},
		"aborted": {
			func(n *newsroom, run string) { n.do(playbooks.CommandAbort, "dev", run) },
			[]string{"Cancelled: release 1", "Dev aborted the run"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *newsroom) {
				run := n.mustRelease("production")
				n.approve(run, "lea")
				test.end(n, run)
				n.wantAsks("request/")
				n.wantAsks("board/")
				for _, where := range []string{"releases", "shop", "@@lea", "@@lou", "@@quinn"} {
					wantContains(t, where, drawn(n.one("request/", where).Card), append(test.want, "Lea approved")...)
				}
			})
		})
	}
}

// TestLostAnswerIsAskedAgain lets approvals expire, and be taken back, before
// the steps that they are for have begun.
func TestLostAnswerIsAskedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *newsroom) {
		run := n.mustRelease("production")
		n.approve(run, "lea")
		n.do(playbooks.CommandUnapprove, "lea", run)
		n.wantAsks("request/", "@@lea", "@@lou", "@@quinn", "releases", "shop")
		wantContains(t, "the request", drawn(n.one("request/", "releases").Card), "Lea approved at 00:00", "taken back")
		n.approve(run, "lea")
		time.Sleep(61 * time.Minute)
		n.wantAsks("request/", "@@lea", "@@lou", "@@quinn", "releases", "shop")
		wantContains(t, "the request", drawn(n.one("request/", "releases").Card), "expired")

		n.do(playbooks.CommandPause, "lea", run)
		n.approve(run, "lea", "quinn") // approved, but nothing begins
		n.wantAsks("request/")
		n.do(playbooks.CommandUnapprove, "quinn", run)
		copies := n.messages("request/")["releases"]
		if len(copies) != 2 || len(copies[0].Card.Actions) != 0 || len(copies[1].Card.Actions) == 0 || copies[0].Key == copies[1].Key {
			t.Fatalf("the requests are %+v, want the old one without buttons and a new one", copies)
		}
		n.wantAsks("request/", "@@quinn", "releases", "shop")
		wantContains(t, "the old request", drawn(copies[0].Card), "Approved", "taken back")
	})
}

// TestRollbackIsAnotherRequest asks for the way back with what it is.
func TestRollbackIsAnotherRequest(t *testing.T) {
	inBubble(t, func(t *testing.T, n *newsroom) {
		n.world.Inject(local.Fault{Module: "api", Kind: local.Fail})
		run := n.mustRelease("production")
		n.approve(run, "lea", "quinn")
		n.until(run, playbooks.StatusHeld)
		n.do(playbooks.CommandRollback, "lea", run)
		n.wantAsks("request/1/approve/")
		n.wantAsks("request/1/approve-rollback/", "@@dev", "@@lea", "releases", "shop")
		goldenCard(t, "request-rollback", n.one("request/1/approve-rollback", "releases").Card)
		n.do(playbooks.CommandReject, "dev", run, because("we repair it"))
		n.wantAsks("request/")
		wantContains(t, "the request", drawn(n.one("request/1/approve-rollback", "@@lea").Card), "Dev rejected it at 00:00: we repair it")
		wantContains(t, "the thread", strings.Join(n.thread("releases"), "\n"),
			"Deploy api v2.1.0 failed at attempt 1", "Lea wants to roll back", "The rollback begins: api v2.1.0 → v2.0.0 and db v1.1.0 → v1.0.0", "Dev rejected it: we repair it")
	})
}

// TestLateCopyIsRetired loses the answer to the posts of a request, and answers it
// before the reporters can come back: what they posted must not keep its buttons.
func TestLateCopyIsRetired(t *testing.T) {
	inBubble(t, func(t *testing.T, n *newsroom) {
		var lost atomic.Int64
		n.intercept(func(_ context.Context, c local.Call) error {
			if c.Method == "Post" && strings.HasPrefix(c.Key, "request/") && c.After {
				lost.Add(1)
				n.store.Crash()
				return context.Canceled
			}
			return nil
		})
		run := n.mustRelease("production")
		if lost.Load() != 1 {
			t.Fatalf("%d posts were lost", lost.Load())
		}
		n.intercept(unbroken)
		n.end()
		n.store = n.store.Reopen()
		n.must(n.open())
		n.engine.Resume() // reporters are not running
		n.must(n.engine.Do(t.Context(), playbooks.Command{Kind: playbooks.CommandReject, By: "lea", Run: run, Reason: "no"}))
		n.engine.Stop()
		n.wantAsks("request/", "releases")
		n.store = n.store.Reopen()
		n.must(n.start())
		pause()
		n.wantAsks("request/")
		if posted := len(n.messages("request/")); posted != 1 {
			t.Errorf("requests that nobody has to answer were posted in %d places", posted)
		}
	})
}

// TestApprovalOnAPhone keeps a request short.
func TestApprovalOnAPhone(t *testing.T) {
	inBubble(t, func(t *testing.T, n *newsroom) {
		n.mustRelease("production")
		card := n.one("request/", "@@quinn").Card
		if lines := strings.Count(local.Render(card, 40, false), "\n"); lines > 30 {
			t.Errorf("a request of three modules has %d lines on a phone", lines)
		}
		if card.Tone != chat.Waiting || !strings.Contains(card.Text, "approve 1 ") {
			t.Errorf("the notification says %q", card.Text)
		}
	})
}
