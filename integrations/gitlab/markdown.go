package gitlab

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/muster-release/muster/bot/chat"
)

const (
	// mostBody is how much a comment may have, in bytes. GitLab takes a million characters
	// (https://docs.gitlab.com/administration/instance_limits/#size-of-comments-and-descriptions-of-issues-merge-requests-and-epics),
	// people read less.
	mostBody = 60_000
	// mostCode is how much of it an excerpt may have: its end.
	mostCode = 12_000
	// mostLine is how much of a line of it is shown, in runes.
	mostLine = 1000
	// joiner is U+2060, which nobody sees. It stands where something would mean more than it says.
	joiner = "\u2060"
)

// body writes a message as GitLab's Markdown (https://docs.gitlab.com/user/markdown/), with its marker
// in the last line.
func (g *GitLab) body(m chat.Message) string {
	end := ""
	if lines := actionLines(m.Card.Actions); lines != "" {
		end += "\n\n" + lines
	}
	if footer := g.line(m.Card.Footer); footer != "" {
		end += "\n\n<sub>" + footer + "</sub>"
	}
	if len(end) > mostBody/2 {
		end = ""
	}
	end += "\n\n" + markerFor(m).String()
	parts := []string{g.head(m.Card)}
	room := mostBody - len(end) - len(parts[0]) - 200
	for n, s := range m.Card.Sections {
		part := g.section(s, room)
		if room -= len(part) + 2; room < 0 {
			parts = append(parts, fmt.Sprintf("There is no room for more: %d of %d parts are left out.", len(m.Card.Sections)-n, len(m.Card.Sections)))
			break
		}
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "\n\n") + end
}

var toneSigns = map[chat.Tone]string{chat.Good: "✅ ", chat.Waiting: "⏳ ", chat.Bad: "❌ "}

// head is what the card is about: its title or, without one, its text.
func (g *GitLab) head(c chat.Card) string {
	var lines []string
	if title := g.line(c.Title); title != "" {
		lines = []string{toneSigns[c.Tone] + "**" + title + "**"}
	} else if text := g.lines(c.Text, mostBody/4); text != "" {
		lines = []string{toneSigns[c.Tone] + text}
	} else {
		lines = []string{toneSigns[c.Tone] + "…"}
	}
	if p := c.Progress; p != nil {
		words := g.line(p.Label)
		if p.Total > 0 {
			words = strings.TrimSpace(fmt.Sprintf("%s **%d** of %d %s", bar(p.Done, p.Total), min(max(p.Done, 0), p.Total), p.Total, words))
		}
		if words != "" {
			lines = append(lines, words)
		}
	}
	return strings.Join(lines, "\n\n")
}

// bar is progress as ten signs; what is begun is seen.
func bar(done, total int) string {
	const size = 10
	done = min(max(done, 0), total)
	full := int(int64(size) * int64(done) / int64(total))
	if full == 0 && done > 0 {
		full = 1
	}
	return strings.Repeat("▰", full) + strings.Repeat("▱", size-full)
}

var symbolSigns = map[chat.Symbol]string{
	chat.SymbolDone: "✅", chat.SymbolRunning: "🔄", chat.SymbolWaiting: "⏳", chat.SymbolPending: "⬜", chat.SymbolFailed: "❌",
	chat.SymbolUnknown: "❓", chat.SymbolSkipped: "⏭️", chat.SymbolUndone: "↩️",
}

// section is a part of a card; of its list and its excerpt only as much as there is room for.
func (g *GitLab) section(s chat.Section, room int) string {
	var blocks []string
	if heading := g.line(s.Heading); heading != "" {
		blocks = append(blocks, "**"+heading+"**")
	}
	if text := g.lines(s.Text, mostBody/4); text != "" {
		blocks = append(blocks, text)
	}
	var facts []string
	for _, f := range s.Fields {
		facts = append(facts, "**"+g.line(f.Name)+":** "+g.line(f.Value))
	}
	if len(facts) > 0 {
		blocks = append(blocks, strings.Join(facts, " · "))
	}
	used := len(strings.Join(blocks, "\n\n"))
	if list := g.items(s.Items, room-used-100); list != "" {
		blocks = append(blocks, list)
		used += len(list) + 2
	}
	if code := excerpt(s.Code, min(mostCode, room-used-100)); code != "" {
		blocks = append(blocks, code)
	}
	return strings.Join(blocks, "\n\n")
}

func (g *GitLab) items(items []chat.Item, room int) string {
	var b strings.Builder
	for n, i := range items {
		line := strings.TrimSpace(symbolSigns[i.Symbol] + " " + g.line(i.Text))
		var row strings.Builder
		for _, symbol := range i.Row[:min(len(i.Row), 100)] {
			row.WriteString(symbolSigns[symbol])
		}
		if detail := strings.TrimSpace(row.String() + " " + g.line(i.Detail)); detail != "" {
			line += " " + detail
		}
		if b.Len()+len(line) > room {
			fmt.Fprintf(&b, "- and %d more\n", len(items)-n)
			break
		}
		b.WriteString("- " + line + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// actionLines say what to type instead of pressing a button.
func actionLines(actions []chat.Action) string {
	var b strings.Builder
	for _, a := range actions {
		if command := oneLine(a.Command); command != "" {
			fmt.Fprintf(&b, "\n- %s: %s", escape(clip(oneLine(a.Label), 100)), span(commandWord+" "+clip(command, 500)))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "To answer, comment with one of these lines:\n" + b.String()
}

// span is text as code within a line.
func span(text string) string {
	if !strings.Contains(text, "`") {
		return "`" + text + "`"
	}
	return "`" + strings.ReplaceAll(text, "`", "'") + "`"
}

// excerpt is a block of code with the end of a text. GitLab finds quick actions by the lines of a
// comment, and takes the first line that is a fence for the end of the block
// (https://docs.gitlab.com/user/project/quick_actions/), so neither is left as it was.
func excerpt(code string, most int) string {
	code = strings.Trim(strings.ToValidUTF8(chat.Plain(code), "\ufffd"), "\n")
	if strings.TrimSpace(code) == "" || most < 200 {
		return ""
	}
	if len(code) > most {
		code = code[len(code)-most:]
		if _, rest, cut := strings.Cut(code, "\n"); cut {
			code = rest
		}
		code = "…\n" + strings.ToValidUTF8(code, "")
	}
	var b strings.Builder
	for line := range strings.SplitSeq(code, "\n") {
		line = clip(strings.Map(shown, line), mostLine)
		line = strings.ReplaceAll(line, "```", "``"+joiner+"`")
		if rest := strings.TrimLeft(line, " \t"); strings.HasPrefix(rest, "/") {
			line = line[:len(line)-len(rest)] + joiner + rest
		}
		b.WriteString(line + "\n")
	}
	return "```plaintext\n" + b.String() + "```"
}

// shown drops what a terminal would act on.
func shown(r rune) rune {
	switch {
	case r == '\t':
		return r
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
		return -1
	}
	return r
}

// lines is a text of several lines, as GitLab breaks them.
func (g *GitLab) lines(text string, most int) string {
	var all []string
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		all = append(all, g.line(line))
	}
	var b strings.Builder
	for i, line := range all {
		switch {
		case i == 0:
		case line != "" && all[i-1] != "":
			b.WriteString("  \n") // a break within a paragraph
		case line != "":
			b.WriteString("\n\n")
		}
		b.WriteString(line)
	}
	out := b.String()
	if len(out) > most {
		cut := strings.LastIndexByte(out[:most], '\n')
		if cut < 0 {
			cut = most
			for cut > 0 && !utf8.RuneStart(out[cut]) {
				cut--
			}
		}
		out = strings.TrimRight(out[:cut], " \n") + "\n\n…"
	}
	return out
}

// line is text on one line, with people mentioned where their account is known and times in words.
func (g *GitLab) line(text string) string {
	var b strings.Builder
	for _, s := range chat.Spans(clip(text, mostLine)) {
		if handle := g.handleOf(s.Person); s.Person != "" && usernameForm.MatchString(handle) {
			b.WriteString("@" + handle + joiner) // what follows is not part of it
			continue
		}
		if words := inLine(s.Words); strings.TrimSpace(b.String()) != "" {
			b.WriteString(escapeRest(words))
		} else {
			b.WriteString(escape(words))
		}
	}
	return strings.TrimSpace(b.String())
}

// inLine replaces what would end a line, and drops what nobody sees.
func inLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		return shown(r)
	}, strings.ToValidUTF8(text, "\ufffd"))
}

// usernameForm is what usernames look like: https://docs.gitlab.com/user/reserved_names/ and
// https://docs.gitlab.com/user/profile/#change-your-username.
var usernameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// addresses are what may become a link. They end before what hardly belongs to them.
var addresses = regexp.MustCompile("https?://[A-Za-z0-9][^\\s<>\"'`|\\\\^{}\\[\\]]*[^\\s<>\"'`|\\\\^{}\\[\\].,;:!?)(*_~]")

// escape makes text say what it says and no more, at the beginning of a line or anywhere: no markup, HTML,
// mention, reference or quick action comes of it. Addresses become links that show where they lead.
func escape(text string) string {
	if text == "" {
		return ""
	}
	// What means something only at the beginning of a line.
	rest := strings.TrimLeft(text, " ")
	indent := text[:len(text)-len(rest)]
	if rest != "" && strings.ContainsRune("#+=:/-", rune(rest[0])) {
		return indent + `\` + escapeRest(rest)
	}
	if m := numberedItem.FindStringSubmatch(rest); m != nil {
		return indent + m[1] + `\` + escapeRest(rest[len(m[1]):])
	}
	return escapeRest(text)
}

// numberedItem is what makes a numbered list.
var numberedItem = regexp.MustCompile(`^(\d{1,9})[.)](?:\s|$)`)

func escapeRest(text string) string {
	var b strings.Builder
	for {
		at := addresses.FindStringIndex(text)
		if at == nil {
			escapeWords(&b, text)
			return b.String()
		}
		escapeWords(&b, text[:at[0]])
		b.WriteString("<" + text[at[0]:at[1]] + ">")
		text = text[at[1]:]
	}
}

// escapeWords escapes what may stand anywhere. What GitLab looks for only after it has read the Markdown, such as
// mentions, is not helped by a backslash: https://docs.gitlab.com/user/markdown/#gitlab-specific-references
func escapeWords(b *strings.Builder, text string) {
	previous := ' '
	for i, r := range text {
		switch r {
		case '&':
			b.WriteString("&amp;")
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '\\', '`', '*', '_', '[', ']', '{', '}', '|', '~', '$', '^':
			b.WriteRune('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
		next, _ := utf8.DecodeRuneInString(text[i+utf8.RuneLen(r):])
		if strings.ContainsRune("@#!%&~$^", r) && meansMore(r, next) || r == ':' && isWord(next) && !isWord(previous) {
			b.WriteString(joiner)
		}
		previous = r
	}
}

// meansMore reports whether a sign before a rune may be a reference.
func meansMore(sign, next rune) bool {
	return isWord(next) || next == '"' || next == '{' || sign == '@' && next != utf8.RuneError && !unicode.IsSpace(next)
}

func isWord(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)
}
