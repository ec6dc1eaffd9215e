package bot_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/store"
)

func inRoom(t *testing.T, fn func(t *testing.T, r *room)) {
	t.Helper()
	catalog := catalogOf(t, new(txtar.Archive))
	synctest.Test(t, func(t *testing.T) { fn(t, newRoom(t, catalog)) })
}

// heardIn returns what Muster has answered in a channel, in order.
func (r *room) heardIn(channel string) []string {
	var all []string
	for _, m := range r.world.Chat.Messages(channel) {
		if strings.HasPrefix(m.Key, "answer/") {
			all = append(all, m.Card.Text)
		}
	}
	return all
}

func (r *room) wantAnswers(channel string, n int) []string {
	r.t.Helper()
	synctest.Wait()
	all := r.heardIn(channel)
	if len(all) != n {
		r.t.Fatalf("%d answers in %s, want %d: %q", len(all), channel, n, all)
	}
	return all
}

// refusing fails calls of the chat about answers, so many times.
func (r *room) refusing(method string, times int, after bool, err error) {
	var mu sync.Mutex
	r.setIntercept(func(_ context.Context, c local.Call) error {
		mu.Lock()
		defer mu.Unlock()
		if c.System != "chat" || c.Method != method || !strings.HasPrefix(c.Key, "answer/") || c.After != after || times == 0 {
			return nil
		}
		times--
		return err
	})
}

type later struct{ time.Duration }

func (later) Error() string               { return "too many messages" }
func (l later) RetryAfter() time.Duration { return l.Duration }

type never struct{}

func (never) Error() string   { return "no such channel" }
func (never) Permanent() bool { return true }

func TestAnswerIsPostedOnce(t *testing.T) {
	broken := errors.New("the connection broke")
	tests := []struct {
		name  string
		times int
		after bool
		err   error
		wait  time.Duration // until the answer is there
		want  int
	}{
		{"rate limited", 2, false, later{30 * time.Second}, time.Minute, 1},
		{"not posted, nobody knows", 3, false, broken, 10 * time.Second, 1},
		{"posted, nobody knows", 1, true, broken, 10 * time.Second, 1},
		{"refused for good", 1, false, never{}, time.Hour, 0},
		{"down for too long", -1, false, broken, time.Hour, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inRoom(t, func(t *testing.T, r *room) {
				r.refusing("Post", test.times, test.after, test.err)
				r.say("dan", mainChannel, "", "status")
				time.Sleep(test.wait)
				r.wantAnswers(mainChannel, test.want)
				r.restart()
				time.Sleep(time.Minute)
				r.wantAnswers(mainChannel, test.want)
			})
		})
	}
}

func TestAnswerBelowADeletedMessage(t *testing.T) {
	inRoom(t, func(t *testing.T, r *room) {
		r.say("dan", mainChannel, "", "history")
		root := r.world.Chat.Messages(mainChannel)[0].ID
		synctest.Wait()
		events, err := r.world.Chat.Events("")
		if err != nil {
			t.Fatal(err)
		}
		e := events[0]
		e.ID, e.Thread = "later", root
		if err := r.world.Chat.Delete("@dan", root); err != nil {
			t.Fatal(err)
		}
		if err := r.bot.Receive(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		r.wantAnswers(mainChannel, 2)
	})
}

// TestSlowCommandHoldsNobodyUp plans in one channel while another is answered.
func TestSlowCommandHoldsNobodyUp(t *testing.T) {
	inRoom(t, func(t *testing.T, r *room) {
		r.setIntercept(func(ctx context.Context, c local.Call) error {
			if c.System == "cluster" && c.Method == "Live" && !c.After {
				select {
				case <-time.After(10 * time.Second):
				case <-ctx.Done():
				}
			}
			return nil
		})
		r.say("cleo", "#slow", "", "plan redis to staging")
		r.say("cleo", "#slow", "", "status")
		r.say("dan", "#fast", "", "status")
		r.wantAnswers("#fast", 1)
		r.wantAnswers("#slow", 0)
		time.Sleep(20 * time.Second)
		all := r.wantAnswers("#slow", 2)
		if !strings.HasPrefix(all[0], "Plan ") || !strings.HasPrefix(all[1], "No release") {
			t.Errorf("the answers are out of order: %q", all)
		}
	})
}

// TestInboxAfterACrash leaves lines that nobody has taken up.
func TestInboxAfterACrash(t *testing.T) {
	inRoom(t, func(t *testing.T, r *room) {
		synctest.Wait() // the room's own bot has read its inbox
		logs := store.NewLogs(r.store)
		idle := bot.New(bot.Options{Engine: r.engine, Logs: logs, Chat: r.world.Chat, System: "chat"})
		for i := range 20 {
			e := chat.Event{ID: fmt.Sprint("x", (i*7)%20), From: "@dan", Channel: mainChannel, Text: fmt.Sprintf("catalog nosuch%d", i)}
			if err := idle.Receive(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		r.wantAnswers(mainChannel, 0)
		r.restart()
		for i, text := range r.wantAnswers(mainChannel, 20) {
			if !strings.Contains(text, fmt.Sprintf("\"nosuch%d\"", i)) {
				t.Errorf("answer %d is %q", i, text)
			}
		}
	})
}

func TestInboxForgets(t *testing.T) {
	inRoom(t, func(t *testing.T, r *room) {
		for range 5 {
			r.say("dan", mainChannel, "", "status")
		}
		r.wantAnswers(mainChannel, 5)
		if n := r.letters(); n != 5 {
			t.Errorf("%d letters are kept, want 5", n)
		}
		time.Sleep(23 * time.Hour)
		if err := r.bot.Receive(t.Context(), r.last); err != nil {
			t.Fatal(err)
		}
		r.wantAnswers(mainChannel, 5)
		time.Sleep(3 * time.Hour)
		if n := r.letters(); n != 0 {
			t.Errorf("%d letters are kept after a day", n)
		}
	})
}

func (r *room) letters() (n int) {
	r.t.Helper()
	for _, err := range store.NewLogs(r.store).Keys(r.t.Context(), "bot/inbox/") {
		if err != nil {
			r.t.Fatal(err)
		}
		n++
	}
	return n
}

func TestReceiveRefuses(t *testing.T) {
	inRoom(t, func(t *testing.T, r *room) {
		for _, id := range []string{"", strings.Repeat("x", 1000)} {
			err := r.bot.Receive(t.Context(), chat.Event{ID: id, From: "@dan", Channel: mainChannel, Text: "status"})
			var final interface{ Permanent() bool }
			if !errors.As(err, &final) || !final.Permanent() {
				t.Errorf("an ID of %d bytes: %v", len(id), err)
			}
		}
		r.say("dan", mainChannel, "", "status "+strings.Repeat("x", 1<<20))
		if text := r.wantAnswers(mainChannel, 1)[0]; !strings.Contains(text, "too long") {
			t.Errorf("a long line is answered with %q", text)
		}
	})
}

// TestExecuteAgain carries one delivery out twice.
func TestExecuteAgain(t *testing.T) {
	inRoom(t, func(t *testing.T, r *room) {
		say := func(cause, text string) bot.Answer {
			return r.bot.Execute(t.Context(), bot.Line{By: "ann", From: "ann", Via: "http", Cause: cause, Text: text})
		}
		first, second := say("http/1", "release redis to staging"), say("http/1", "release redis to staging")
		if first.Err != nil || second.Err != nil || first.Card.Text != second.Card.Text {
			t.Errorf("the answers are %q, %v and %q, %v", first.Card.Text, first.Err, second.Card.Text, second.Err)
		}
		for range 2 {
			if a := say("http/2", "freeze staging because of the weekend"); a.Err != nil {
				t.Error(a.Err)
			}
		}
		for range 2 {
			if a := say("http/3", "unfreeze staging"); a.Err != nil {
				t.Error(a.Err)
			}
		}
		if a := say("http/4", "unfreeze staging"); a.Err == nil {
			t.Errorf("a new delivery is %q", a.Card.Text)
		}
		history, err := r.engine.History(t.Context(), 10)
		if err != nil || len(history) != 1 {
			t.Errorf("there are %d runs, %v", len(history), err)
		}
		r.engine.Stop()
		if a := say("http/5", "pause 1"); !errors.Is(a.Err, engine.ErrStopped) {
			t.Errorf("a stopped engine: %v", a.Err)
		}
	})
}

// TestTwoPeopleOneHandle: who claims somebody else's handle gets nobody's rights.
func TestTwoPeopleOneHandle(t *testing.T) {
	inRoom(t, func(t *testing.T, r *room) {
		catalog := *r.catalog
		catalog.People = append(catalog.People[:len(catalog.People):len(catalog.People)],
			playbooks.Person{ID: "zoe", Handles: map[string]string{"chat": "@ann"}})
		r.engine.SetPolicy(playbooks.NewPolicy(&catalog))
		r.say("ann", mainChannel, "", "status")
		if text := r.wantAnswers(mainChannel, 1)[0]; !strings.Contains(text, "I do not know you") {
			t.Errorf("the answer is %q", text)
		}
	})
}

func TestReload(t *testing.T) {
	inRoom(t, func(t *testing.T, r *room) {
		tests := []struct {
			name   string
			reload func(context.Context) (string, error)
			want   string
			failed bool
		}{
			{"good", func(context.Context) (string, error) { return "3 modules", nil }, "The catalog is reloaded. 3 modules", false},
			{"bad", func(context.Context) (string, error) { return "", errors.New("line 3") }, "the old one stays in force", false},
			{"none", nil, "cannot read its configuration again", true},
			{"broken", func(context.Context) (string, error) { panic("a mistake of ours") }, "went wrong inside Muster", true},
		}
		for _, test := range tests {
			b := bot.New(bot.Options{Engine: r.engine, Logs: store.NewLogs(r.store), Chat: r.world.Chat, System: "chat", Reload: test.reload})
			answer := b.Execute(t.Context(), bot.Line{By: "ann", Via: "chat", Text: "catalog reload"})
			if !strings.Contains(answer.Card.Text, test.want) || (answer.Err != nil) != test.failed {
				t.Errorf("%s: %q, %v", test.name, answer.Card.Text, answer.Err)
			}
		}
	})
}
