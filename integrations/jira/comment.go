package jira

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/calls"
)

// Comments are the comments of issues as a chat: a channel is the key of an issue, and the ID of a
// message that of a comment. Threads are not told apart, for comments have none. There are neither
// direct messages nor answers for one person alone; both are refused. Its methods may be called
// concurrently.
type Comments struct{ j *Jira }

var _ chat.Poster = (*Comments)(nil)

// Comments returns the comments of this Jira's issues.
func (j *Jira) Comments() *Comments { return &Comments{j} }

// Post writes a comment. A card that is Lasting takes the place of the comment that its name has on this
// issue already. That is all it looks for: it is Find that knows a Message.Key.
func (c *Comments) Post(ctx context.Context, m chat.Message) (chat.Handle, error) {
	if err := ofIssue(m); err != nil {
		return chat.Handle{}, err
	}
	if name := m.Card.Lasting; name != "" {
		id, found, err := c.j.ownComment(ctx, m.Channel, func(line string) bool { return strings.HasPrefix(markerOf(line), word(name)+" ") })
		if err != nil {
			return chat.Handle{}, err
		}
		if found {
			h := chat.Handle{Channel: m.Channel, ID: id}
			return h, c.Update(ctx, h, m)
		}
	}
	var made comment
	err := c.j.post(ctx, "comment on "+m.Channel, at("issue", m.Channel, "comment"), map[string]any{"body": c.j.body(c.j.card(m))}, &made)
	if err != nil {
		return chat.Handle{}, err
	}
	if made.ID == "" {
		return chat.Handle{}, fmt.Errorf("jira: comment on %s: the answer has no ID", m.Channel)
	}
	return chat.Handle{Channel: m.Channel, ID: made.ID}, nil
}

// Update makes a comment look like m. On Cloud nobody is notified of that; Data Center cannot be told not to.
func (c *Comments) Update(ctx context.Context, h chat.Handle, m chat.Message) error {
	m.Channel = h.Channel
	if err := ofIssue(m); err != nil {
		return err
	}
	var query url.Values
	if c.j.flavor == cloud {
		query = url.Values{"notifyUsers": {"false"}}
	}
	return c.j.put(ctx, "edit a comment on "+h.Channel, at("issue", h.Channel, "comment", h.ID), query, map[string]any{"body": c.j.body(c.j.card(m))})
}

// Find looks for a comment of Muster's own account by the key in its last line.
func (c *Comments) Find(ctx context.Context, m chat.Message) (chat.Handle, bool, error) {
	if ofIssue(m) != nil {
		return chat.Handle{}, false, nil // nothing like that was ever posted
	}
	id, found, err := c.j.ownComment(ctx, m.Channel, func(line string) bool { return markerOf(line) == markerText(m) })
	if err != nil || !found {
		return chat.Handle{}, false, err
	}
	return chat.Handle{Channel: m.Channel, ID: id}, true, nil
}

// ofIssue refuses what is not for everybody who sees an issue.
func ofIssue(m chat.Message) error {
	switch {
	case m.Reply != "":
		return refuse("answer somebody alone: comments are for all who see the issue")
	case m.Channel == "":
		return refuse("send a direct message: there are none")
	case issueKey(m.Channel) == "":
		return refuse("comment on %q: that is no issue", m.Channel)
	}
	return nil
}

// markerText is what identifies a message below its comment: its key, behind the name of what the comment keeps
// saying.
func markerText(m chat.Message) string {
	if m.Card.Lasting != "" {
		return word(m.Card.Lasting) + " " + word(m.Key)
	}
	return word(m.Key)
}

// word is text without blanks and without anything that a reader would not see.
func word(text string) string {
	return strings.ReplaceAll(url.PathEscape(strings.ToValidUTF8(text, "\uFFFD")), "%2F", "/")
}

// markerForm is the last line of what Muster writes, in either markup or in none.
var markerForm = regexp.MustCompile(`^(?:\{~\}|~)?muster (\S+?(?: \S+?)?)(?:\{~\}|~)?$`)

// markerOf is the marker in the last line of a comment that Muster wrote, empty if it has none.
func markerOf(line string) string {
	m := markerForm.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	return escapeMark.ReplaceAllString(m[1], "$1")
}

// card is a message as a document.
func (j *Jira) card(m chat.Message) document {
	c := m.Card.Plain()
	end := document{markerLine(markerText(m))}
	if c.Footer != "" {
		end = append(document{paragraph{{text: oneLine(c.Footer, 500), small: true}}}, end...)
	}
	if lines := actionLines(c.Actions); len(lines) > 0 {
		end = append(lines, end...)
	}
	room := mostText - j.size(end) - 500
	d := headOf(c)
	for n, s := range c.Sections {
		part := j.section(s, room-j.size(d))
		if j.size(d)+j.size(part) > room {
			d = append(d, plain(fmt.Sprintf("Jira has no room for more: %d of %d parts are left out.", len(c.Sections)-n, len(c.Sections))))
			break
		}
		d = append(d, part...)
	}
	return append(d, end...)
}

var toneSigns = map[chat.Tone]string{chat.Good: "✓ ", chat.Waiting: "◔ ", chat.Bad: "✗ "}

func headOf(c chat.Card) document {
	var d document
	if title := oneLine(c.Title, 500); title != "" {
		d = document{paragraph{{text: toneSigns[c.Tone] + title, strong: true}}}
	} else if text := strings.TrimSpace(c.Text); text != "" {
		// Without a title the text is all there is, and speaks for itself.
		d = paragraphs(toneSigns[c.Tone] + calls.Clip(text, mostText/4))
	}
	if p := c.Progress; p != nil {
		words := oneLine(p.Label, 300)
		if p.Total > 0 {
			words = strings.TrimSpace(fmt.Sprintf("%d of %d %s", min(max(p.Done, 0), p.Total), p.Total, words))
		}
		if words != "" {
			d = append(d, plain(words))
		}
	}
	return d
}

// Signs are of the characters that every database of a Data Center takes.
var symbolSigns = map[chat.Symbol]string{
	chat.SymbolDone: "✓", chat.SymbolRunning: "●", chat.SymbolWaiting: "◔", chat.SymbolPending: "○", chat.SymbolFailed: "✗",
	chat.SymbolUnknown: "?", chat.SymbolSkipped: "–", chat.SymbolUndone: "↩", chat.SymbolNone: "",
}

// section is a part of a card; of its list and its excerpt only as much as there is room for.
func (j *Jira) section(s chat.Section, room int) document {
	var d document
	if s.Heading != "" {
		d = append(d, paragraph{{text: oneLine(s.Heading, 300), strong: true}})
	}
	d = append(d, paragraphs(calls.Clip(s.Text, mostText/4))...)
	var facts paragraph
	for _, f := range s.Fields {
		if len(facts) > 0 {
			facts = append(facts, span{text: " · "})
		}
		facts = append(facts, span{text: oneLine(f.Name, 100) + ": ", strong: true}, span{text: oneLine(f.Value, 1000)})
	}
	if len(facts) > 0 {
		d = append(d, facts)
	}
	if lines := j.items(s.Items, room-j.size(d)); len(lines) > 0 {
		d = append(d, lines)
	}
	if code := strings.TrimRight(s.Code, "\n"); code != "" {
		most := max(0, min(room-j.size(d)-500, mostText/2)/2) // a line of code takes up to twice its size in JSON
		if len(code) > most {
			code = strings.ToValidUTF8(code[len(code)-most:], "")
			_, code, _ = strings.Cut(code, "\n")
			code = "…\n" + code
		}
		d = append(d, preformatted(code))
	}
	return d
}

func (j *Jira) items(items []chat.Item, room int) bullets {
	var lines bullets
	used := 0
	for n, i := range items {
		text := oneLine(symbolSigns[i.Symbol]+" "+i.Text, 500)
		var row strings.Builder
		for _, symbol := range i.Row[:min(len(i.Row), 100)] {
			row.WriteString(symbolSigns[symbol])
		}
		if detail := strings.TrimSpace(row.String() + " " + oneLine(i.Detail, 500)); detail != "" {
			text += "  " + detail
		}
		line := plain(text)
		used += j.size(document{bullets{line}})
		if used > room/2 && n > 0 {
			return append(lines, plain(fmt.Sprintf("and %d more", len(items)-n)))
		}
		lines = append(lines, line)
	}
	return lines
}

// actionLines say what to type instead of pressing a button.
func actionLines(actions []chat.Action) document {
	var lines bullets
	for _, a := range actions {
		if a.Command == "" {
			continue
		}
		lines = append(lines, paragraph{{text: oneLine(a.Label, 100) + ": "}, {text: "/muster " + oneLine(a.Command, 500), mono: true}})
	}
	if len(lines) == 0 {
		return nil
	}
	return document{plain("To answer, comment with one of these lines:"), lines}
}
