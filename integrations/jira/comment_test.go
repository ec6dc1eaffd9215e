package jira_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/jira/jirafake"
)

func card(text string) chat.Card {
	return chat.Card{
		Text: text, Title: text, Tone: chat.Waiting, Progress: &chat.Progress{Done: 3, Total: 7, Label: "changes · about 17s to go"},
		Sections: []chat.Section{
			{Heading: "Now", Text: "It waits for " + chat.Mention("ann", "Ann Moreau") + ".", Fields: []chat.Field{{Name: "plan", Value: "b5d2c972"}, {Name: "asked by", Value: "[~bob] *x*"}}},
			{Items: []chat.Item{{Symbol: chat.SymbolDone, Text: "Wave 1", Detail: "all 7"}, {Symbol: chat.SymbolFailed, Text: "Wave 2", Row: []chat.Symbol{chat.SymbolDone, chat.SymbolPending}}}},
			{Code: "panic: {code} no\n\tat main\n"},
		},
		Actions: []chat.Action{{Label: "Approve", Command: "approve 12"}, {Label: "Nothing"}},
		Footer:  "Release 12",
	}
}

func TestComments(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		story := s.story("ABC", "Carts")
		c := s.tracker().Comments()
		ctx := t.Context()
		m := chat.Message{Key: "answer/comment/ABC-1/10040:x_y-z", Channel: story.Key, Card: card("Release 12 waits")}
		if _, found, err := c.Find(ctx, m); found || err != nil {
			t.Fatalf("found before it was posted: %v, %v", found, err)
		}
		h, err := c.Post(ctx, m)
		s.must(err)
		got := s.issue(story.Key).Comments
		if len(got) != 1 || got[0].ID != h.ID || h.Channel != story.Key {
			t.Fatalf("posted as %+v: %+v", h, got)
		}
		wantAll(t, "the comment", strings.ReplaceAll(got[0].Text, `\`, ""), "◔ Release 12 waits", "3 of 7 changes", "It waits for Ann Moreau.", "plan: ", "b5d2c972", "✓ Wave 1  all 7", "✗ Wave 2  ✓○", "panic: {", "at main",
			"comment with one of these lines", "Approve: ", "/muster approve 12", "Release 12", "muster answer/comment/ABC-1/10040:x_y-z")
		if strings.Contains(got[0].Text, "\uFDD0") || strings.Contains(got[0].Text, "Nothing") || s.flavor == jirafake.DataCenter && strings.Contains(got[0].Text, "[~bob]") {
			t.Errorf("the comment is %q", got[0].Text)
		}

		found, is, err := c.Find(ctx, m)
		if err != nil || !is || found != h {
			t.Errorf("found as %+v, %v: %v", found, is, err)
		}
		other := m
		other.Key = "answer/comment/ABC-1/1004"
		if _, is, _ := c.Find(ctx, other); is {
			t.Error("another message is found")
		}
		m.Card = card("Release 12 is over")
		s.must(c.Update(ctx, h, m))
		got = s.issue(story.Key).Comments
		if len(got) != 1 || !strings.Contains(got[0].Text, "Release 12 is over") {
			t.Errorf("updated to %+v", got)
		}
		if found, is, err := c.Find(ctx, m); err != nil || !is || found != h {
			t.Errorf("after an update found as %+v, %v: %v", found, is, err)
		}

		var gone chat.Gone
		h.ID = "99999"
		if err := c.Update(ctx, h, m); !errors.As(err, &gone) || !gone.Gone() {
			t.Errorf("a comment that is not there is updated: %v", err)
		}
		for _, bad := range []chat.Message{{Key: "a/b", To: "ann"}, {Key: "a/b", Channel: story.Key, Reply: "x"}, {Key: "a/b", Channel: "../ABC-1"}} {
			if _, err := c.Post(ctx, bad); !permanent(err) {
				t.Errorf("%+v is posted: %v", bad, err)
			}
			if _, found, err := c.Find(ctx, bad); found || err != nil {
				t.Errorf("%+v is found: %v", bad, err)
			}
		}
	})
}

// What keeps being said is one comment, and others beside it stay.
func TestALastingCardIsOneComment(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		story := s.story("ABC", "Carts")
		c, ctx := s.tracker().Comments(), t.Context()
		say := func(key, name, text string) chat.Handle {
			t.Helper()
			m := chat.Message{Key: key, Channel: story.Key, Card: chat.Card{Text: text, Lasting: name}}
			h, err := c.Post(ctx, m)
			s.must(err)
			if found, is, err := c.Find(ctx, m); err != nil || !is || found != h {
				t.Errorf("%s is found as %+v, %v: %v", key, found, is, err)
			}
			return h
		}
		first := say("plan/1", "plan/staging", "First plan")
		say("plan/2", "plan/production", "Of another environment")
		say("plan/3", "", "Said once")
		if second := say("plan/4", "plan/staging", "Second plan"); second != first {
			t.Errorf("posted as %+v, and then as %+v", first, second)
		}
		// Somebody who writes the same is not Muster.
		_, err := s.Comment("ann", story.Key, "mine\n\nmuster plan/else plan/9")
		s.must(err)
		say("plan/9", "plan/else", "Third plan")
		var texts []string
		for _, one := range s.issue(story.Key).Comments {
			texts = append(texts, one.Text)
		}
		if len(texts) != 5 || !strings.Contains(texts[0], "Second plan") || !strings.Contains(texts[1], "another environment") || !strings.Contains(texts[3], "mine") {
			t.Errorf("the comments are %q", texts)
		}
	})
}

func TestACardThatIsTooLong(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		story := s.story("ABC", "Carts")
		long := chat.Card{Title: "Plan", Actions: []chat.Action{{Label: "Release", Command: "release 12"}}, Sections: []chat.Section{{Heading: "Waves"}}}
		for n := range 2000 {
			long.Sections[0].Items = append(long.Sections[0].Items, chat.Item{Text: fmt.Sprintf("module-%d", n), Detail: strings.Repeat("x", 60)})
		}
		long.Sections = append(long.Sections, chat.Section{Code: strings.Repeat("a line of the log with \"quotes\" in it\n", 3000)}, chat.Section{Text: strings.Repeat("word ", 10000)}, chat.Section{Text: strings.Repeat("more ", 10000)})
		m := chat.Message{Key: "answer/1", Channel: story.Key, Card: long}
		_, err := s.tracker().Comments().Post(t.Context(), m)
		s.must(err)
		text := s.issue(story.Key).Comments[0].Text
		wantAll(t, "the comment", text, "module-0", "more", "/muster release 12", "muster answer/1")
	})
}

// What Muster says is no command, also where it repeats one.
func TestMusterDoesNotTalkToItself(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j, d := s.hooked()
		story := s.story("ABC", "Carts")
		_, err := j.Comments().Post(t.Context(), chat.Message{Key: "answer/1", Channel: story.Key, Card: chat.Card{Text: "/muster release everything"}})
		s.must(err)
		_, err = s.Comment("ann", story.Key, "/muster why")
		s.must(err)
		s.settle()
		if _, commands := d.took(); len(commands) != 1 || commands[0].Text != "why" {
			t.Errorf("came in as %+v", commands)
		}
	})
}

func TestACommentWhoseAnswerWasLost(t *testing.T) {
	s := newSite(t, jirafake.Options{})
	story := s.story("ABC", "Carts")
	c := s.tracker().Comments()
	s.SetFault(func(call jirafake.Call) jirafake.Fault {
		if call.Route == "POST /issue/{issue}/comment" && call.RouteN == 1 {
			return jirafake.Fault{Kind: jirafake.Lost}
		}
		return jirafake.Fault{}
	})
	m := chat.Message{Key: "answer/1", Channel: story.Key, Card: chat.Card{Text: "Here it is."}}
	if _, err := c.Post(t.Context(), m); err == nil || permanent(err) {
		t.Fatalf("posted: %v", err)
	}
	if h, found, err := c.Find(t.Context(), m); err != nil || !found || h.ID != s.issue(story.Key).Comments[0].ID {
		t.Errorf("found as %+v, %v: %v", h, found, err)
	}
	if got := s.issue(story.Key).Comments; len(got) != 1 {
		t.Errorf("%d comments are there", len(got))
	}
}
