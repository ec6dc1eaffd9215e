package local_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/local"
)

func isGone(err error) bool {
	g, ok := errors.AsType[interface {
		error
		chat.Gone
	}](err)
	return ok && g.Gone()
}

func TestPostUpdateFind(t *testing.T) {
	w := open(t, "", local.Options{})
	ctx := t.Context()
	board := chat.Message{Key: "board/r1", Channel: "releases", Card: chat.Card{Title: "r1", Sections: []chat.Section{{Text: "a"}}}}
	if _, found, err := w.Chat.Find(ctx, board); found || err != nil {
		t.Errorf("Find says %v, %v in an empty chat", found, err)
	}
	first := must(w.Chat.Post(ctx, board))
	board.Card.Sections[0].Text = "b" // what the caller does later is not the chat's
	second := must(w.Chat.Post(ctx, board))
	if first == second {
		t.Error("posting twice made one message")
	}
	if h, found, err := w.Chat.Find(ctx, board); h != first || !found || err != nil {
		t.Errorf("Find says %v, %v, %v; want the first", h, found, err)
	}
	if _, found, _ := w.Chat.Find(ctx, chat.Message{Key: board.Key, Channel: "other"}); found {
		t.Error("found in a channel where it is not")
	}
	reply := must(w.Chat.Post(ctx, chat.Message{Key: "r1/3", Channel: "releases", Thread: first.ID}))
	direct := must(w.Chat.Post(ctx, chat.Message{Key: "ask", To: "ada"}))
	if h, found, err := w.Chat.Find(ctx, chat.Message{Key: "ask", To: "ada"}); h != direct || !found || err != nil || h.Channel != "@ada" {
		t.Errorf("Find of a direct message says %v, %v, %v", h, found, err)
	}
	check(w.Chat.Update(ctx, second, chat.Message{Card: chat.Card{Title: "r1, new"}}))
	got := w.Chat.Messages("releases")
	if len(got) != 3 || got[0].Card.Sections[0].Text != "a" || got[1].Card.Title != "r1, new" || got[1].Updated.IsZero() ||
		got[2].ID != reply.ID || got[2].Thread != first.ID {
		t.Errorf("the channel is %+v", got)
	}
	if n := len(w.Chat.Messages("")); n != 4 {
		t.Errorf("%d messages in all, want 4", n)
	}

	check(w.Chat.Delete("ada", first.ID))
	if h, found, _ := w.Chat.Find(ctx, board); !found || h != second {
		t.Errorf("Find says %v, %v after the first was deleted", h, found)
	}
	_, inThread := w.Chat.Post(ctx, chat.Message{Key: "r1/4", Channel: "releases", Thread: first.ID})
	for what, err := range map[string]error{
		"update of a deleted message":      w.Chat.Update(ctx, first, chat.Message{Card: chat.Card{}}),
		"update of no message":             w.Chat.Update(ctx, chat.Handle{Channel: "releases", ID: "99"}, chat.Message{Card: chat.Card{}}),
		"update in another channel":        w.Chat.Update(ctx, chat.Handle{Channel: "other", ID: second.ID}, chat.Message{Card: chat.Card{}}),
		"post below a deleted message":     inThread,
		"deleting twice":                   w.Chat.Delete("ada", first.ID),
		"pressing on a deleted message":    errOf(w.Chat.Press("ada", first.ID, "approve")),
		"saying below a message not there": errOf(w.Chat.Say("ada", "releases", "99", "hi")),
	} {
		if !isGone(err) || !isPermanent(err) {
			t.Errorf("%s: %v, want gone", what, err)
		}
	}
	if _, err := w.Chat.Post(ctx, chat.Message{Key: "lost"}); !isPermanent(err) {
		t.Errorf("a message to nobody: %v, want a permanent refusal", err)
	}
}

func errOf[T any](_ T, err error) error { return err }

func TestPeople(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, local.Options{})
	said := must(w.Chat.Say("ada", "releases", "", "plan cart"))
	board := must(w.Chat.Post(t.Context(), chat.Message{Key: "board", Channel: "releases", Thread: said, Card: chat.Card{
		Actions: []chat.Action{{Label: "Approve", Command: "approve r1"}},
	}}))
	byLabel := must(w.Chat.Press("bob", board.ID, "approve"))
	byCommand := must(w.Chat.Press("bob", board.ID, "approve r1"))
	check(w.Chat.Update(t.Context(), board, chat.Message{Card: chat.Card{}}))
	if _, err := w.Chat.Press("bob", board.ID, "approve r1"); err == nil || !strings.Contains(err.Error(), "no such button") {
		t.Errorf("pressing what is not there any more: %v", err)
	}
	w.Close()

	w = open(t, dir, local.Options{})
	events := must(w.Chat.Events(""))
	if len(events) != 3 {
		t.Fatalf("events are %+v, want 3", events)
	}
	if e := events[0]; e.ID != said || e.From != "ada" || e.Text != "plan cart" || e.Message != "" || e.Time.IsZero() {
		t.Errorf("what was said is %+v", e)
	}
	for i, id := range []string{byLabel, byCommand} {
		if e := events[i+1]; e.ID != id || e.From != "bob" || e.Text != "approve r1" || e.Message != board.ID || e.Thread != said || e.Channel != "releases" {
			t.Errorf("what was pressed is %+v", e)
		}
	}
	for after, want := range map[string]int{said: 2, byLabel: 1, byCommand: 0} {
		if got := must(w.Chat.Events(after)); len(got) != want {
			t.Errorf("%d events after %s, want %d", len(got), after, want)
		}
	}
	if _, err := w.Chat.Events("x"); err == nil {
		t.Error("an ID that is none was taken")
	}
	if m := w.Chat.Messages("")[0]; m.From != "ada" || m.Card.Text != "plan cart" || m.ID != said {
		t.Errorf("what was said stands there as %+v", m)
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, "", local.Options{})
		go func() {
			time.Sleep(time.Second)
			must(w.Chat.Post(t.Context(), chat.Message{Key: "k", Channel: "releases"})) // no event
			time.Sleep(time.Second)
			must(w.Chat.Say("ada", "releases", "", "status"))
		}()
		began := time.Now()
		events, err := w.Chat.Wait(t.Context(), "")
		if err != nil || len(events) != 1 || time.Since(began) != 2*time.Second {
			t.Errorf("Wait says %+v, %v after %v", events, err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Chat.Wait(ctx, events[0].ID); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait for nothing says %v", err)
		}
		if _, err := w.Chat.Wait(t.Context(), "x"); err == nil {
			t.Error("Wait took an ID that is none")
		}
	})
}

func TestChanged(t *testing.T) {
	w := open(t, "", local.Options{})
	changed := w.Chat.Changed()
	select {
	case <-changed:
		t.Error("changed before anything happened")
	default:
	}
	must(w.Chat.Say("ada", "releases", "", "status"))
	<-changed
}
