package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/local"
)

// requestKey begins the keys of approval requests.
const requestKey = "request/"

// feed reads the chat as the person at the terminal sees it: every channel, and
// what is said to them directly.
type feed struct {
	chat   *local.Chat
	width  int
	color  bool
	last   int             // ID of the newest message that was read
	boards map[string]bool // IDs of the boards that were live when they were last read
	// ended draws the last state of a board; nil draws it as it is.
	ended func(local.Posted) string
}

// read returns what has come in since the last time, drawn, and the boards of
// the runs that are not over. The last state of a board is among what has come in.
func (f *feed) read() (news []string, boards []local.Posted) {
	if f.boards == nil {
		f.boards = make(map[string]bool)
	}
	for _, m := range f.chat.Messages("") {
		direct := strings.HasPrefix(m.Channel, "@")
		if direct && m.Channel != "@"+me || m.Deleted {
			continue
		}
		id, err := strconv.Atoi(m.ID)
		isNew := err == nil && id > f.last
		if isNew {
			f.last = id
		}
		switch {
		case live(m):
			f.boards[m.ID] = true
			boards = append(boards, m)
		case f.boards[m.ID]:
			delete(f.boards, m.ID)
			if f.ended != nil {
				news = append(news, f.ended(m))
			} else {
				news = append(news, "\n"+local.Render(m.Card, f.width, f.color))
			}
		case isNew && !(strings.HasPrefix(m.Key, requestKey) && direct): // it is in the channel, too
			news = append(news, f.draw(m))
		}
	}
	return news, boards
}

// skip passes over what is in the chat already, but for what is live.
func (f *feed) skip() {
	for _, m := range f.chat.Messages("") {
		if id, err := strconv.Atoi(m.ID); err == nil {
			f.last = id
		}
	}
}

// draw shows a message. Lines of a conversation have an empty line before them,
// remarks in a thread have not.
func (f *feed) draw(m local.Posted) string {
	switch {
	case m.From != "":
		return "\n" + f.spoken(m.From, m.Card.Text)
	case m.Thread != "":
		return f.threaded(m.Card)
	case strings.HasPrefix(m.Key, requestKey):
		return "\n" + local.Render(brief(m.Card), f.width, f.color)
	}
	return "\n" + local.Render(m.Card, f.width, f.color)
}

// threaded shows a remark in a thread.
func (f *feed) threaded(c chat.Card) string {
	lines := strings.SplitAfter(strings.TrimSuffix(local.Render(c, f.width-4, f.color), "\n"), "\n")
	return "  ↳ " + strings.Join(lines, "    ") + "\n"
}

// brief leaves out of an approval request what the plan has just shown.
func brief(c chat.Card) chat.Card {
	var kept []chat.Section
	for _, s := range c.Sections {
		if s.Heading == "Answers" {
			kept = append(kept, s)
		}
	}
	c.Sections = kept
	return c
}

// spoken is a line that a person has said.
func (f *feed) spoken(who, text string) string {
	before := who + " › "
	if f.color {
		before = "\x1b[1;" + voice(who) + "m" + who + " ›\x1b[0m "
	}
	indent := strings.Repeat(" ", len([]rune(who))+3)
	lines := strings.Split(strings.TrimRight(local.Render(chat.Card{Text: text}, f.width-len(indent), false), "\n"), "\n")
	return before + strings.Join(lines, "\n"+indent) + "\n"
}

// voice is the colour in which a name is written.
func voice(who string) string {
	if who == me {
		return "36"
	}
	return "35"
}

// changes says what is different on a board, in lines without a terminal's
// help: nothing while only clocks and counts move.
func changes(before, now chat.Card) string {
	was := make(map[string]chat.Symbol)
	for _, i := range moduleItems(before) {
		was[i.Text] = i.Symbol
	}
	var b strings.Builder
	for _, i := range moduleItems(now) {
		if i.Symbol == was[i.Text] {
			continue
		}
		if word := happened[i.Symbol]; word != "" {
			fmt.Fprintf(&b, "  %-8s %s %s\n", word, i.Text, i.Detail)
		}
	}
	return b.String()
}

var happened = map[chat.Symbol]string{
	chat.SymbolDone:    "live",
	chat.SymbolFailed:  "failed",
	chat.SymbolUnknown: "unknown",
	chat.SymbolSkipped: "skipped",
	chat.SymbolUndone:  "back",
}

// moduleItems are the modules on a board: the sections behind the first wave.
func moduleItems(c chat.Card) []chat.Item {
	var items []chat.Item
	for _, s := range c.Sections {
		if s.Heading != "Now" && s.Heading != "Waiting" {
			items = append(items, s.Items...)
		}
	}
	return items
}
