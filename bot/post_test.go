package bot_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/mem"
)

// TestSayOnce repeats what failed until it succeeds, in a new process each time.
func TestSayOnce(t *testing.T) {
	broken := errors.New("the connection broke")
	fault := func(at int, fault mem.Fault) func(int) mem.Fault {
		return func(n int) mem.Fault {
			if n == at {
				return fault
			}
			return mem.None
		}
	}
	never := func(int) mem.Fault { return mem.None }
	tests := []struct {
		name   string
		before func(int) mem.Fault
		chat   func(n int, c local.Call) error
	}{
		{"well", never, nil},
		{"refused twice", never, func(n int, c local.Call) error {
			if n <= 2 && !c.After {
				return later{time.Second}
			}
			return nil
		}},
		{"posted, nobody knows", never, func(n int, c local.Call) error {
			if n == 2 && c.After {
				return broken
			}
			return nil
		}},
		{"not noted that it begins", fault(1, mem.DiskFull), nil},
		{"killed before it is posted", fault(1, mem.CrashAfter), nil},
		{"killed after it was posted", fault(2, mem.CrashBefore), nil},
		{"killed when it was noted", fault(2, mem.CrashAfter), nil},
	}
	for _, tt := range tests {
		calls := 0
		world, err := local.Open("", local.Options{Intercept: func(_ context.Context, c local.Call) error {
			if calls++; tt.chat == nil {
				return nil
			}
			return tt.chat(calls, c)
		}})
		if err != nil {
			t.Fatal(err)
		}
		s := mem.New(mem.Options{Before: tt.before})
		for range 5 {
			_ = bot.NewPosts(store.NewLogs(s), world.Chat).Say(t.Context(), "rule/x/1", "#a", chat.Card{Text: "hello"})
			s = s.Reopen()
		}
		posts := bot.NewPosts(store.NewLogs(s), world.Chat)
		for _, key := range []string{"rule/x/1", "rule/x/2"} {
			for _, channel := range []string{"#a", "#b"} {
				if err := posts.Say(t.Context(), key, channel, chat.Card{Text: "hello"}); err != nil {
					t.Errorf("%s: %v", tt.name, err)
				}
			}
		}
		if a, b := len(world.Chat.Messages("#a")), len(world.Chat.Messages("#b")); a != 2 || b != 2 {
			t.Errorf("%s: %d and %d messages, want 2 in each channel", tt.name, a, b)
		}
	}
}

func TestSaidIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world, err := local.Open("", local.Options{})
		if err != nil {
			t.Fatal(err)
		}
		posts := bot.NewPosts(store.NewLogs(mem.New(mem.Options{})), world.Chat)
		say := func(want int) {
			t.Helper()
			if err := errors.Join(posts.Sweep(t.Context(), time.Hour), posts.Say(t.Context(), "k", "#a", chat.Card{Text: "hello"})); err != nil {
				t.Error(err)
			}
			if n := len(world.Chat.Messages("#a")); n != want {
				t.Errorf("%d messages, want %d", n, want)
			}
		}
		say(1)
		time.Sleep(59 * time.Minute)
		say(1)
		time.Sleep(2 * time.Minute)
		say(2)
	})
}

func TestFinal(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, true},
		{&playbooks.Refusal{Rule: "x"}, true},
		{fmt.Errorf("plan: %w", &playbooks.PlanError{}), true},
		{fmt.Errorf("run 7: %w", engine.ErrNoRun), true},
		{engine.ErrNoPlan, true},
		{engine.ErrStopped, false},
		{fmt.Errorf("%w: disk full", engine.ErrNotSaved), false},
		{errors.New("facts: no answer within 30s"), false},
		{later{time.Second}, false},
	} {
		if got := (bot.Answer{Err: tt.err}).Final(); got != tt.want {
			t.Errorf("%v: %t", tt.err, got)
		}
	}
}
