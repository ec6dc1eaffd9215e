package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/slack/slackfake"
)

// A token that Slack refuses for some minutes, because it was revoked or the app is installed
// again, says nothing about the messages: all of them become true afterwards.
func TestSlackTokenRefusedForAWhile(t *testing.T) {
	for _, code := range []string{"invalid_auth", "token_revoked", "account_inactive"} {
		t.Run(code, func(t *testing.T) {
			inFortBy(t, "http", func(t *testing.T, f *fort) {
				request := f.started("release cart to production")
				board := f.posted("board/1")
				for _, user := range []string{"UANN", "UBOB"} { // from now on it is known who they are
					f.sees(user, func() { f.slash(user, "status 1") }, "Release 1")
				}
				f.fake.SetFault(func(slackfake.Call) slackfake.Fault { return slackfake.Fault{Kind: slackfake.Fails, Error: code} })
				for _, user := range []string{"UANN", "UBOB"} {
					f.deliver(slackfake.Interactive, f.press(user, request, "Approve"))
				}
				f.heard(f.fake.Say("UANN", f.other, "", "@muster why 1"))
				time.Sleep(3 * time.Minute)
				if got := f.events("1"); len(got) != 3 {
					t.Errorf("the log of the run has %q", got)
				}
				f.fake.SetFault(nil)
				time.Sleep(5 * time.Minute)
				if m, _ := f.fake.Message(board.Channel, board.TS); !strings.Contains(m.Text, "released") {
					t.Errorf("the board says: %s\nand the log of the run: %q", m.Text, f.events("1"))
				}
				if m, _ := f.fake.Message(request.Channel, request.TS); len(m.Buttons()) > 0 {
					t.Errorf("the request has buttons still: %s", m.Text)
				}
				for _, words := range []string{"Ann approved run 1", "steps behind"} {
					if all := strings.Join(f.answers("UANN"), "\n"); !strings.Contains(all, words) {
						t.Errorf("ann was not told %q:\n%s", words, all)
					}
				}
			})
		})
	}
}

// Who invites the app into the channel after a release has begun sees it there, though nothing
// else happens in the run.
func TestSlackInvitedLate(t *testing.T) {
	inFortBy(t, "http", func(t *testing.T, f *fort) {
		f.fake.Remove(f.channel, slackfake.BotUser)
		f.slash("UCLEO", "release cart to production")
		time.Sleep(2 * time.Minute)
		f.fake.Invite(f.channel, slackfake.BotUser)
		time.Sleep(15 * time.Minute)
		var keys []string
		for _, m := range f.fake.Messages(f.channel) {
			if m.Metadata != nil {
				keys = append(keys, fmt.Sprint(m.Metadata.Payload["key"]))
			}
		}
		if all := strings.Join(keys, " "); !strings.Contains(all, "board/1") || !strings.Contains(all, "request/1/") {
			t.Errorf("the channel has %q, not the board and the request", all)
		}
	})
}

// That Slack has put a message off often does not make a single failure of it a long rest.
func TestSlackPutOffIsNoFailure(t *testing.T) {
	inFortBy(t, "http", func(t *testing.T, f *fort) {
		request := f.started("release cart to production")
		var mu sync.Mutex
		n := 0
		f.fake.SetFault(func(c slackfake.Call) slackfake.Fault {
			mu.Lock()
			defer mu.Unlock()
			if c.Method != "chat.update" || c.TS != request.TS {
				return slackfake.Fault{}
			}
			switch n++; {
			case n <= 8:
				return slackfake.Fault{Kind: slackfake.Limited, RetryAfter: 1}
			case n == 9:
				return slackfake.Fault{Kind: slackfake.ServerError}
			}
			return slackfake.Fault{}
		})
		f.sees("UANN", func() { f.deliver(slackfake.Interactive, f.press("UANN", request, "Approve")) }, "Ann approved run 1")
		began := time.Now()
		for time.Since(began) < 3*time.Minute {
			if m, _ := f.fake.Message(request.Channel, request.TS); strings.Contains(f.fake.Plain(m), "Ann approved") || strings.Contains(f.fake.Plain(m), "approved at") {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		mu.Lock()
		defer mu.Unlock()
		if took := time.Since(began); n < 10 || took > 40*time.Second {
			t.Errorf("the request shows the answer after %v, in %d attempts", took, n)
		}
	})
}

// A form needs to know who asks for it. While Slack does not say, the line is taken as it
// is, in time, and answered when it is known.
func TestSlackFormWhileNobodyIsKnown(t *testing.T) {
	inFort(t, func(t *testing.T, f *fort) {
		f.fake.SetFault(func(c slackfake.Call) slackfake.Fault {
			if c.Method == "users.info" {
				return slackfake.Fault{Kind: slackfake.Hang}
			}
			return slackfake.Fault{}
		})
		d, err := f.fake.Slash("UDAN", f.channel, "release")
		f.taken(d, err)
		if d.Latency > 2*time.Second || d.Ack != "" {
			t.Errorf("acknowledged after %v with %q", d.Latency, d.Ack)
		}
		f.sees("UDAN", func() { f.fake.SetFault(nil) }, "Where to?")
	})
}

// What somebody says while Slack does not tell who they are waits, and what they say next waits
// behind it: nothing of one person is carried out in another order than it was said in.
func TestSlackOrderOfWhatWaits(t *testing.T) {
	inFort(t, func(t *testing.T, f *fort) {
		f.started("release cart to production")
		f.fake.SetFault(func(c slackfake.Call) slackfake.Fault {
			if c.Method == "users.info" {
				return slackfake.Fault{Kind: slackfake.ServerError}
			}
			return slackfake.Fault{}
		})
		f.heard(f.fake.Say("UANN", f.other, "", "@muster pause 1"))
		time.Sleep(40 * time.Second)
		f.fake.SetFault(nil)
		f.heard(f.fake.Say("UANN", f.other, "", "@muster resume 1"))
		f.slash("UBOB", "status 1") // others do not wait
		time.Sleep(2 * time.Second)
		if len(f.fake.Ephemerals("UBOB")) == 0 {
			t.Error("bob waits for ann")
		}
		time.Sleep(2 * time.Minute)
		want := []string{"cleo created", "ann paused", "ann resumed"}
		if got := f.events("1"); !slices.Equal(got, want) {
			t.Errorf("the log has %q, want %q", got, want)
		}
	})
}

// A user group that Slack says is not there any more has nobody in it. While Slack says
// nothing, those who were in it stay.
func TestSlackUserGroupTakenAway(t *testing.T) {
	inFortBy(t, "http", func(t *testing.T, f *fort) {
		request := f.started("release cart to production")
		f.fake.SetFault(func(c slackfake.Call) slackfake.Fault {
			if strings.HasPrefix(c.Method, "usergroups.") {
				return slackfake.Fault{Kind: slackfake.ServerError}
			}
			return slackfake.Fault{}
		})
		time.Sleep(20 * time.Minute)
		f.sees("UEVE", func() { f.deliver(slackfake.Interactive, f.press("UEVE", request, "Approve")) }, "Eve approved run 1")
		f.fake.SetFault(nil)
		second := f.started("release redis to production")
		f.fake.AddUserGroup(slackfake.Group{ID: f.qa, Handle: "qa", Name: "QA", Users: []string{"UEVE"}, Disabled: true})
		time.Sleep(20 * time.Minute)
		f.nothing(func() {
			f.sees("UEVE", func() { f.deliver(slackfake.Interactive, f.press("UEVE", second, "Approve")) }, "No: ")
		})
	})
}
