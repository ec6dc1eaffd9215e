package jira

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// wiki is the document in the wiki markup of Data Center, as
// https://jira.atlassian.com/secure/WikiRendererHelpAction.jspa?section=all describes it.
func (d document) wiki() string {
	var b strings.Builder
	for i, block := range d {
		if i > 0 {
			b.WriteByte('\n')
		}
		block.wiki(&b)
	}
	return strings.TrimRight(b.String(), "\n")
}

func (p paragraph) wiki(b *strings.Builder) {
	p.line(b, "\n")
	b.WriteByte('\n')
}

// line writes the spans with brk where a line ends.
func (p paragraph) line(b *strings.Builder, brk string) {
	for _, s := range p {
		for i, line := range strings.Split(tidy(s.text), "\n") {
			if i > 0 {
				b.WriteString(brk)
			}
			if line != "" {
				s.wiki(b, line)
			}
		}
	}
}

func (s span) wiki(b *strings.Builder, line string) {
	text := escape(line)
	switch {
	case strings.TrimSpace(line) == "": // markup does not go around blanks
	case s.mono:
		text = "{{" + text + "}}"
	case s.strong:
		text = "{*}" + text + "{*}"
	case s.small:
		text = "{~}" + text + "{~}"
	}
	if link := address(s.link); link != "" {
		text = "[" + text + "|" + linkEscapes.Replace(link) + "]"
	}
	b.WriteString(text)
}

// linkEscapes are the characters that would end an address in a link.
var linkEscapes = strings.NewReplacer(
	"|", "%7C", "[", "%5B", "]", "%5D", "{", "%7B", "}", "%7D", `\`, "%5C", " ", "%20", "!", "%21", "^", "%5E", "~", "%7E", "*", "%2A")

func (h heading) wiki(b *strings.Builder) {
	b.WriteString("h" + strconv.Itoa(h.level) + ". ")
	plain(strings.ReplaceAll(h.text, "\n", " ")).line(b, " ")
	b.WriteByte('\n')
}

func (l bullets) wiki(b *strings.Builder) {
	for _, p := range l {
		b.WriteString("* ")
		p.line(b, ` \\ `)
		b.WriteByte('\n')
	}
}

func (p preformatted) wiki(b *strings.Builder) {
	text := tidy(string(p))
	// Only the mark of its end means anything in there.
	text = codeMark.ReplaceAllString(text, "{\u200b$1")
	b.WriteString("{code:none}\n" + text + "\n{code}\n")
}

var codeMark = regexp.MustCompile(`(?i)\{(code|noformat)`)

func (t table) wiki(b *strings.Builder) {
	for _, h := range t.head {
		b.WriteString("||")
		plain(h).line(b, " ")
	}
	if len(t.head) > 0 {
		b.WriteString("||\n")
	}
	for _, row := range t.rows {
		for _, cell := range row {
			b.WriteByte('|')
			var c strings.Builder
			cell.line(&c, ` \\ `)
			if strings.TrimSpace(c.String()) == "" {
				b.WriteByte(' ') // "||" would be a heading
			}
			b.WriteString(c.String())
		}
		b.WriteString("|\n")
	}
}

var (
	blockMark  = regexp.MustCompile(`^(\s*(?:h[1-6]|bq))\.`)
	entityMark = regexp.MustCompile(`^&#?\w+;`)
	// smileys are the ones with letters and signs in round brackets.
	smileyMark = regexp.MustCompile(`^\((?:y|n|i|x|on|off|!|/|\+|-|\?|\*[rgby]?|flag|flagoff)\)`)
)

// escape makes one line of text stand in markup as it is: nobody is mentioned by it, and nothing is
// formatted, linked, embedded or cut.
func escape(line string) string {
	var b strings.Builder
	before := ' '
	for i, r := range line {
		next, _ := utf8.DecodeRuneInString(line[i+utf8.RuneLen(r):])
		switch r {
		case '&':
			b.WriteRune(r)
			if entityMark.MatchString(line[i:]) {
				b.WriteString("amp;")
			}
		case '\\':
			b.WriteString("&#92;") // two of them would end the line
		case '{', '}', '[', ']', '|', '!', '^', '~':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '*', '_', '-', '+':
			// Within words they mean nothing, except twice.
			if !isWord(before) || !isWord(next) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		case '#':
			if strings.TrimLeft(line[:i], "#*- \t") == "" {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		case '?':
			if before == '?' || next == '?' {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		case '(':
			if smileyMark.MatchString(line[i:]) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		case ':', ';':
			if strings.ContainsRune("()PDpd-|", next) && next != 0 {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
		before = r
	}
	return blockMark.ReplaceAllString(b.String(), "$1&#46;")
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
