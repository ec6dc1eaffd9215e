package slack

import (
	"strings"
	"unicode"

	"github.com/muster-release/muster/bot/chat"
)

// typed is what a person typed, as one line: Slack's markup and escapes of a message's text are
// taken back into the words that the person saw. What is not markup stays as it is.
//
// https://docs.slack.dev/messaging/formatting-message-text: &, < and > are escaped as
// entities; everything between < and > is a reference or a link.
func typed(text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "<")
		unescape.WriteString(&b, before)
		if !found {
			return oneLine(b.String())
		}
		end := strings.IndexAny(rest, "<>")
		if end >= 0 && rest[end] == '>' {
			if words, markup := reference(rest[:end]); markup {
				unescape.WriteString(&b, words)
				text = rest[end+1:]
				continue
			}
		}
		b.WriteByte('<')
		text = rest
	}
}

// unescape does not look again at what it made: "&amp;lt;" is "&lt;".
var unescape = strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">")

// reference is what a person sees of what stands between < and >.
func reference(s string) (words string, markup bool) {
	target, label, labelled := strings.Cut(s, "|")
	sign := ""
	switch {
	case strings.HasPrefix(target, "@"), strings.HasPrefix(target, "#"):
		sign, target = target[:1], target[1:]
		if target == "" {
			return "", false
		}
	case strings.HasPrefix(target, "!"): // !here, !subteam^S012, !date^…
		if target = target[1:]; target == "" {
			return "", false
		}
		kind, value, _ := strings.Cut(target, "^")
		switch {
		case kind == "subteam":
			sign, target = "@", value
		case kind != "date":
			sign = "@"
		}
	case strings.HasPrefix(target, "mailto:"), strings.HasPrefix(target, "tel:"):
		_, target, _ = strings.Cut(target, ":")
	case !strings.Contains(target, "://"):
		return "", false
	}
	if labelled && label != "" {
		target = strings.TrimPrefix(label, sign)
	}
	return sign + target, true
}

// addressed takes away the mention that a message begins with, and what people type
// behind a name. If it is known who Muster is there, others stay mentioned.
func addressed(text, self string) string {
	rest, found := strings.CutPrefix(strings.TrimLeftFunc(text, unicode.IsSpace), "<@")
	mention, rest, closed := strings.Cut(rest, ">")
	id, _, _ := strings.Cut(mention, "|")
	if !found || !closed || id == "" || self != "" && id != self {
		return text
	}
	return strings.TrimLeft(strings.TrimLeftFunc(rest, unicode.IsSpace), ":,")
}

// oneLine is text on one line and without chat's marks. Every kind of space, such as the
// one that some clients put behind a name, is a space.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), r == '\u200b', r == '\ufeff':
			return -1
		}
		return r
	}, strings.ToValidUTF8(chat.Plain(text), "\ufffd"))
	return strings.TrimSpace(text)
}
