package blocks

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
)

// Slack's markup (https://docs.slack.dev/messaging/formatting-message-text) has entities for
// &, < and >, and none for the characters that format. What stands for those is a date that
// cannot be formatted: its fallback is shown, and copied, as it is. They format at the edge
// of a word only, so that snake_case and 2*3 stay as they are.
const (
	formatting = "*_~`＊＿～｀"
	noDate     = "<!date^00000000^{_}|"
	softHyphen = "\u00ad" // before a > that would begin a quotation
	maxRun     = 20       // characters that one fallback holds, so that it can be cut between two
)

// literal is text without markup, shown as it is.
func literal(text string) string {
	runes := []rune(clean(text))
	var b strings.Builder
	lineStart := true
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		switch {
		case isFormatting(r):
			end := i + 1
			for end < len(runes) && end-i < maxRun && isFormatting(runes[end]) && !fences(runes[i:end+1]) {
				end++
			}
			if run := string(runes[i:end]); inert(runes, i, end) {
				b.WriteString(run)
			} else {
				b.WriteString(noDate + run + ">")
			}
			i = end - 1
		case r == ':' && shortcode(runes[i+1:]):
			b.WriteString(noDate + ":>")
		case (r == '>' || r == '＞') && lineStart:
			b.WriteString(softHyphen + entities.Replace(string(r)))
		case r == '&', r == '<', r == '>':
			b.WriteString(entities.Replace(string(r)))
		default:
			b.WriteRune(r)
		}
		lineStart = r == '\n' || lineStart && unicode.IsSpace(r)
	}
	return b.String()
}

var entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func isFormatting(r rune) bool { return strings.ContainsRune(formatting, r) }

// fences reports whether a run ends with what begins a code block: nothing that is inside a
// fallback may look like it.
func fences(run []rune) bool { return strings.HasSuffix(string(run), fence) }

// inert reports whether what stands in runes[from:to] formats nothing: it is one character
// inside a word, or between spaces. Backticks are trusted nowhere.
func inert(runes []rune, from, to int) bool {
	before, after := ' ', ' '
	if from > 0 {
		before = runes[from-1]
	}
	if to < len(runes) {
		after = runes[to]
	}
	if to-from > 1 || strings.ContainsRune("`｀", runes[from]) {
		return false
	}
	return isWord(before) && isWord(after) || unicode.IsSpace(before) && unicode.IsSpace(after)
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// shortcode reports whether what follows a colon makes it the name of an emoji, such
// as :tada:. Two digits, as in a time of day, are none.
func shortcode(after []rune) bool {
	for i, r := range after {
		switch {
		case r == ':':
			name := string(after[:i])
			return i > 0 && (strings.ContainsFunc(name, unicode.IsLetter) || name == "100" || name == "1234" || strings.Trim(name, "+-1") == "")
		case !isWord(r) && !strings.ContainsRune("_-+'", r) || i >= 100:
			return false
		}
	}
	return false
}

// clean spells out what would drive a terminal or turn the direction of writing, and
// repairs broken UTF-8.
func clean(text string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(strings.ReplaceAll(text, "\r\n", "\n"), "\ufffd") {
		switch {
		case r == '\n', r == '\t':
			b.WriteRune(r)
		case r == '\u2028', r == '\u2029':
			b.WriteByte('\n')
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// People returns the Slack user ID of a person of the catalog, "" if it is not known.
type People func(person string) (user string)

// mrkdwn is a card's string in Slack's markup, its marks as mentions and dates.
func (p People) mrkdwn(text string) string {
	var b strings.Builder
	for _, span := range chat.Spans(text) {
		words := literal(span.Words)
		switch {
		case span.Person != "" && p != nil && isUser(p(span.Person)):
			b.WriteString("<@" + p(span.Person) + ">")
		case !span.Time.IsZero() && datable(span.Time) && visible(words):
			b.WriteString(date(span))
		default:
			b.WriteString(words)
		}
	}
	return b.String()
}

// line is mrkdwn on one line.
func (p People) line(text string) string { return p.mrkdwn(oneLine(text)) }

// lines is mrkdwn by line, without the empty ones at both ends.
func (p People) lines(text string) []string {
	return strings.Split(p.mrkdwn(strings.Trim(text, "\n")), "\n")
}

// isUser reports whether s looks like a user ID, and can do no harm as markup.
func isUser(s string) bool {
	return len(s) > 1 && len(s) < 50 && (s[0] == 'U' || s[0] == 'W') && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// datable are times that Slack's clients can show.
func datable(t time.Time) bool { return t.Unix() > 0 && t.Year() < 10_000 }

var inFallback = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "|", "/", "`", "'")

// date shows a time in the reader's own zone.
func date(span chat.Span) string {
	format := "{date_short} {time}"
	switch span.Style {
	case chat.Clock:
		format = "{time}"
	case chat.Seconds:
		format = "{time_secs}"
	}
	fallback := inFallback.Replace(clipPlain(plain(span.Words), 60))
	return fmt.Sprintf("<!date^%d^%s|%s>", span.Time.Unix(), format, fallback)
}

// bold is a line of markup in bold, empty if there is nothing to see in it.
func bold(markup string) string {
	markup = strings.TrimSpace(markup)
	if !visible(markup) {
		return ""
	}
	return "*" + markup + "*"
}

// code is text for a code block, where only the end of the block has a meaning besides
// entities. Marks are their words.
func code(text string) []string {
	text = entities.Replace(clean(chat.Plain(text)))
	for strings.Contains(text, fence) {
		text = strings.ReplaceAll(text, fence, "``\u200b`")
	}
	return strings.Split(strings.Trim(text, "\n"), "\n")
}

// plain is text on one line, for objects that know no markup.
func plain(text string) string {
	return strings.TrimSpace(oneLine(clean(chat.Plain(text))))
}

// plainText is plain as an object of at most so many characters. Names of emoji in it
// stay names.
func plainText(text string, most int) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, clipPlain(plain(text), most), false, false)
}

// oneLine is text with spaces for its line breaks.
func oneLine(text string) string {
	if !strings.ContainsAny(text, "\n\r\u2028\u2029") {
		return text
	}
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("\n\r\u2028\u2029", r) }), " ")
}

// markup is an object in Slack's markup. It is verbatim: @here, #channel and addresses
// that happen to be in it are words.
func markup(text string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, text, false, true)
}

// visible reports whether a reader sees anything of text.
func visible(text string) bool {
	return strings.ContainsFunc(chat.Plain(text), func(r rune) bool {
		return !unicode.IsSpace(r) && !unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Mn, r)
	})
}
