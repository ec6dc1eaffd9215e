package chat

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Marks stand inside a card's strings. They are Unicode noncharacters, which no text
// of people or of other systems may hold: Plain takes them out where it comes in.
//
//	markOpen kind value markWords words markClose
const (
	markOpen  = '\uFDD0'
	markWords = '\uFDD1'
	markClose = '\uFDD2'
)

// Mention names a person of the catalog. A chat that knows their account there
// mentions them, which may ring; every other reader sees name.
func Mention(person, name string) string {
	return mark('p', person, name)
}

// At names a point in time. A chat that can shows it in the reader's own zone, with the
// day if style is Dated; every other reader sees words.
func At(t time.Time, style TimeStyle, words string) string {
	return mark(rune(style), strconv.FormatInt(t.Unix(), 10), words)
}

// TimeStyle says how much of a time is shown.
type TimeStyle rune

const (
	Clock   TimeStyle = 'c' // 14:03
	Seconds TimeStyle = 's' // 14:03:27
	Dated   TimeStyle = 'd' // 24 Nov 14:03
)

func mark(kind rune, value, words string) string {
	return string([]rune{markOpen, kind}) + Plain(value) + string(markWords) + Plain(words) + string(markClose)
}

// Span is a piece of a string: words, which stand for a person or a time if one of
// these is set.
type Span struct {
	Words  string
	Person string // ID in the catalog
	Time   time.Time
	Style  TimeStyle
}

// Spans takes a string apart at its marks. Marks that are not well formed are left out.
func Spans(s string) []Span {
	var spans []Span
	add := func(span Span) {
		span.Words = dropMarks(span.Words)
		if span.Words != "" || span.Person != "" {
			spans = append(spans, span)
		}
	}
	for {
		before, rest, found := strings.Cut(s, string(markOpen))
		add(Span{Words: before})
		if !found {
			return spans
		}
		inside, after, closed := strings.Cut(rest, string(markClose))
		head, words, divided := strings.Cut(inside, string(markWords))
		if !closed || !divided || strings.ContainsRune(inside, markOpen) || head == "" {
			s = rest
			continue
		}
		span := Span{Words: words}
		switch kind, value := TimeStyle(head[0]), head[1:]; kind {
		case 'p':
			span.Person = value
		case Clock, Seconds, Dated:
			if sec, err := strconv.ParseInt(value, 10, 64); err == nil {
				span.Time, span.Style = time.Unix(sec, 0), kind
			}
		}
		add(span)
		s = after
	}
}

// Plain is a string without marks: what a reader sees who is not served by them. Texts
// of others go through it before they become part of a card.
func Plain(s string) string {
	if !strings.ContainsAny(s, string([]rune{markOpen, markWords, markClose})) {
		return s
	}
	var b strings.Builder
	for _, span := range Spans(s) {
		b.WriteString(span.Words)
	}
	return b.String()
}

// Plain is a card without marks, for readers who are not served by them.
func (c Card) Plain() Card {
	c.Text, c.Title, c.Footer = Plain(c.Text), Plain(c.Title), Plain(c.Footer)
	if c.Progress != nil {
		p := *c.Progress
		p.Label = Plain(p.Label)
		c.Progress = &p
	}
	c.Sections = slices.Clone(c.Sections)
	for i := range c.Sections {
		s := &c.Sections[i]
		s.Heading, s.Text, s.Code = Plain(s.Heading), Plain(s.Text), Plain(s.Code)
		s.Fields, s.Items = slices.Clone(s.Fields), slices.Clone(s.Items)
		for j := range s.Fields {
			s.Fields[j].Name, s.Fields[j].Value = Plain(s.Fields[j].Name), Plain(s.Fields[j].Value)
		}
		for j := range s.Items {
			s.Items[j].Text, s.Items[j].Detail = Plain(s.Items[j].Text), Plain(s.Items[j].Detail)
		}
	}
	c.Actions = slices.Clone(c.Actions)
	for i := range c.Actions {
		a := &c.Actions[i]
		a.Label, a.Command, a.Confirm, a.Ask = Plain(a.Label), Plain(a.Command), Plain(a.Confirm), Plain(a.Ask)
	}
	return c
}

func dropMarks(s string) string {
	return strings.Map(func(r rune) rune {
		if r == markOpen || r == markWords || r == markClose {
			return -1
		}
		return r
	}, s)
}
