package blocks

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

// Slack's limits: https://docs.slack.dev/reference/block-kit/blocks and the pages below
// it. What the texts of a message may be together is not documented; people were
// refused (msg_blocks_too_long) with 11,300 characters in many blocks and with 13,300 in
// few (https://github.com/slackapi/bolt-js/issues/2867 and 2509), so that each block is taken
// to cost something as well.
const (
	maxBlocks   = 50
	maxMarkup   = 3000
	maxField    = 2000
	maxFields   = 10
	maxHeader   = 150
	maxButtons  = 25
	maxLabel    = 75
	maxValue    = 2000
	maxTogether = 11_000
	blockWeight = 40
)

// Slack does not say what a character is, nor whether an emoji counts as one or as its
// name, under which it is kept. The most that it can be is counted.
const emojiWeight = 24

// weigh is how many characters of a limit markup takes up.
func weigh(markup string) int {
	n := 0
	for _, r := range markup {
		n += utf16.RuneLen(r)
		if isEmoji(r) {
			n += emojiWeight
		}
	}
	return n
}

func isEmoji(r rune) bool {
	return r >= 0x1F000 && r < 0x20000 || r >= 0x2300 && r < 0x2400 || r >= 0x2600 && r < 0x27C0 || r >= 0x2B00 && r < 0x2C00 || r == 0xFE0F
}

// length is the length of plain text in UTF-16, which is never less than in other counts
// of characters.
func length(text string) int {
	n := 0
	for _, r := range text {
		n += utf16.RuneLen(r)
	}
	return n
}

const ellipsis = "…"

// clipPlain cuts plain text short if it is longer than most.
func clipPlain(text string, most int) string {
	if length(text) <= most {
		return text
	}
	n := 0
	for i, r := range text {
		if n += utf16.RuneLen(r); n > most-1 {
			return strings.TrimRight(text[:i], " \u200d") + ellipsis
		}
	}
	return text
}

// clip cuts markup short if it weighs more than most.
func clip(markup string, most int) string {
	if weigh(markup) <= most {
		return markup
	}
	head, _ := split(markup, most-1)
	return strings.TrimRight(head, " \u200d") + ellipsis
}

// split divides markup where its head weighs at most so much: at a space if one is
// near, and never inside an entity or a reference.
func split(markup string, most int) (head, rest string) {
	n, end, space := 0, 0, 0
	for end < len(markup) {
		size := atom(markup[end:])
		if n += weigh(markup[end : end+size]); n > most {
			break
		}
		if markup[end] == ' ' {
			space = end
		}
		end += size
	}
	if end == len(markup) {
		return markup, ""
	}
	if space > end/2 {
		end = space
	}
	return markup[:end], strings.TrimLeft(markup[end:], " ")
}

// atom is the size of the first thing in markup that must not be divided. In what this
// package writes, every < and & begins one.
func atom(markup string) int {
	end := -1
	switch markup[0] {
	case '<':
		end = strings.IndexByte(markup, '>')
	case '&':
		end = strings.IndexByte(markup, ';')
	}
	if end >= 0 {
		return end + 1
	}
	_, size := utf8.DecodeRuneInString(markup)
	return size
}

// weight is what blocks take up of maxTogether.
func weight(blocks []slack.Block) int {
	n := 0
	text := func(t *slack.TextBlockObject) {
		if t != nil {
			n += weigh(t.Text)
		}
	}
	for _, block := range blocks {
		n += blockWeight
		switch b := block.(type) {
		case *slack.HeaderBlock:
			text(b.Text)
		case *slack.SectionBlock:
			text(b.Text)
			for _, f := range b.Fields {
				text(f)
			}
		case *slack.ContextBlock:
			for _, e := range b.ContextElements.Elements {
				if t, ok := e.(*slack.TextBlockObject); ok {
					text(t)
				}
			}
		case *slack.ActionBlock:
			for _, e := range b.Elements.ElementSet {
				if button, ok := e.(*slack.ButtonBlockElement); ok {
					text(button.Text)
					if c := button.Confirm; c != nil {
						for _, t := range []*slack.TextBlockObject{c.Title, c.Text, c.Confirm, c.Deny} {
							text(t)
						}
					}
				}
			}
		}
	}
	return n
}
