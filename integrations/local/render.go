package local

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"github.com/muster-release/muster/bot/chat"
)

// SGR parameters, see ECMA-48, 8.3.117.
const (
	bold    = "1"
	dim     = "2"
	red     = "31"
	green   = "32"
	yellow  = "33"
	magenta = "35"
	cyan    = "36"
)

type glyph struct{ sign, style string }

var glyphs = map[chat.Symbol]glyph{
	chat.SymbolDone:    {"✓", green},
	chat.SymbolRunning: {"●", cyan},
	chat.SymbolWaiting: {"◔", yellow},
	chat.SymbolPending: {"○", dim},
	chat.SymbolFailed:  {"✗", red},
	chat.SymbolUnknown: {"?", magenta},
	chat.SymbolSkipped: {"»", dim},
	chat.SymbolUndone:  {"↩", yellow},
}

var tones = map[chat.Tone]glyph{
	chat.Neutral: {"●", cyan},
	chat.Good:    {"✓", green},
	chat.Waiting: {"◔", yellow},
	chat.Bad:     {"✗", red},
}

const (
	minWidth  = 24
	margin    = "  " // of everything below the title
	minDetail = 20   // columns that a detail beside its item needs at least
)

// Render draws a card for a terminal of so many columns, 80 if width is 0 or
// less. Every line ends with a newline and fits into the width. Actions are shown
// as the words to type. Control characters in the card come out as their escaped
// names, so nothing in it can drive the terminal.
func Render(card chat.Card, width int, color bool) string {
	if width <= 0 {
		width = 80
	}
	card = card.Plain()
	s := &sheet{width: max(width, minWidth), color: color}
	s.column = s.detailColumn(card)
	s.title(card)
	if p := card.Progress; p != nil {
		s.progress(*p)
	}
	for i, section := range card.Sections {
		if i > 0 && section.Heading != "" || i == 0 && card.Progress != nil {
			s.line()
		}
		s.section(section)
	}
	if len(card.Actions) > 0 {
		if len(card.Sections) > 0 {
			s.line()
		}
		s.actions(card.Actions)
	}
	if card.Footer != "" {
		s.text(margin, margin, card.Footer, dim)
	}
	return s.b.String()
}

// sheet is what is drawn so far.
type sheet struct {
	b     strings.Builder
	width int
	color bool
	// column is how wide the items' texts are for their details to stand in one
	// column, the same in all sections.
	column int
}

// paint gives text a style, made of SGR parameters.
func (s *sheet) paint(style, text string) string {
	if !s.color || style == "" || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// line ends a line made of painted parts.
func (s *sheet) line(parts ...string) {
	line := strings.Join(parts, "")
	if !s.color {
		line = strings.TrimRight(line, " ")
	}
	s.b.WriteString(line + "\n")
}

// text writes a text that may be wrapped, first and rest before its lines.
func (s *sheet) text(first, rest, text, style string) {
	for i, l := range wrap(Escape(text), s.width-ansi.StringWidth(rest)) {
		before := first
		if i > 0 {
			before = rest
		}
		s.line(before, s.paint(style, l))
	}
}

func (s *sheet) title(card chat.Card) {
	title := oneLine(card.Title)
	if title == "" {
		// Without a title the text is all there is, and speaks for itself.
		if card.Tone == chat.Neutral {
			s.text("", "", card.Text, "")
			return
		}
		title = card.Text
	}
	g := tones[card.Tone]
	s.text(s.paint(g.style, g.sign)+" ", margin, title, bold)
}

func (s *sheet) progress(p chat.Progress) {
	label := oneLine(p.Label)
	if p.Total <= 0 {
		s.text(margin, margin, label, "")
		return
	}
	done := min(max(p.Done, 0), p.Total)
	size := min(24, s.width/3)
	full := size * done / p.Total
	bar := s.paint(green, strings.Repeat("█", full)) + s.paint(dim, strings.Repeat("░", size-full))
	words := strings.TrimSpace(fmt.Sprintf("%d of %d %s", done, p.Total, label))
	first, beside := margin+bar+" ", strings.Repeat(" ", size+3)
	// A label may have several phrases, and each stays on a line if it can.
	const between = " · "
	row := ""
	for phrase := range strings.SplitSeq(words, between) {
		if row != "" && ansi.StringWidth(row+between+phrase) > s.width-len(beside) {
			s.text(first, beside, row, "")
			first, row = beside, phrase
			continue
		}
		row = strings.TrimPrefix(row+between+phrase, between)
	}
	s.text(first, beside, row, "")
}

func (s *sheet) section(c chat.Section) {
	if c.Heading != "" {
		s.text(margin, margin, oneLine(c.Heading), bold)
	}
	if c.Text != "" {
		s.text(margin, margin, c.Text, "")
	}
	s.fields(c.Fields)
	s.items(c.Items)
	if c.Code != "" {
		bar := margin + s.paint(dim, "│") + " "
		for l := range strings.Lines(Escape(c.Code)) {
			for part := range strings.Lines(ansi.Hardwrap(strings.TrimRight(l, "\n"), s.width-4, true) + "\n") {
				s.line(bar, s.paint(dim, strings.TrimRight(part, "\n")))
			}
		}
	}
}

// chip is a short piece that is not broken between lines unless it has to be.
type chip struct{ plain, painted string }

// chips sets pieces side by side.
func (s *sheet) chips(all []chip, gap string) {
	var row strings.Builder
	used := 0
	flush := func() {
		if used > 0 {
			s.line(margin, row.String())
		}
		row.Reset()
		used = 0
	}
	room := s.width - len(margin)
	for _, c := range all {
		w := ansi.StringWidth(c.plain)
		if used > 0 && used+ansi.StringWidth(gap)+w > room {
			flush()
		}
		if w > room {
			s.text(margin, margin+margin, c.plain, "")
			continue
		}
		if used > 0 {
			row.WriteString(gap)
			used += ansi.StringWidth(gap)
		}
		row.WriteString(c.painted)
		used += w
	}
	flush()
}

func (s *sheet) fields(fields []chat.Field) {
	all := make([]chip, len(fields))
	for i, f := range fields {
		name, value := oneLine(f.Name)+": ", oneLine(f.Value)
		all[i] = chip{name + value, s.paint(dim, name) + value}
	}
	s.chips(all, " · ")
}

func (s *sheet) actions(actions []chat.Action) {
	all := make([]chip, len(actions))
	for i, a := range actions {
		words, style := "["+oneLine(a.Command)+"]", tones[a.Style].style
		all[i] = chip{words, s.paint(bold+";"+style, words)}
	}
	s.chips(all, " ")
}

// detailColumn finds the width of the widest text that still leaves room for a
// detail beside it.
func (s *sheet) detailColumn(card chat.Card) int {
	column := 0
	for _, section := range card.Sections {
		for _, i := range section.Items {
			if w := ansi.StringWidth(oneLine(i.Text)); i.Detail != "" && w <= s.width*2/5 {
				column = max(column, w)
			}
		}
	}
	return column
}

func (s *sheet) items(items []chat.Item) {
	for _, i := range items {
		g, known := glyphs[i.Symbol]
		if !known {
			g = glyph{"·", dim}
		}
		s.item(margin+s.paint(g.style, g.sign)+" ", oneLine(i.Text), oneLine(strings.TrimSpace(row(i.Row)+" "+i.Detail)))
	}
}

// row draws the states of many things.
func row(symbols []chat.Symbol) string {
	var b strings.Builder
	for _, symbol := range symbols {
		b.WriteString(glyphs[symbol].sign)
	}
	return b.String()
}

func (s *sheet) item(mark, text, detail string) {
	const indent = margin + margin
	w := ansi.StringWidth(text)
	start := len(indent) + max(w, s.column) + 2
	room := s.width - start
	switch {
	case detail == "":
		s.text(mark, indent, text, "")
	case ansi.StringWidth(detail) <= room || w <= s.column && room >= minDetail:
		s.text(mark+text+strings.Repeat(" ", start-len(indent)-w), strings.Repeat(" ", start), detail, dim)
	default:
		s.text(mark, indent, text, "")
		s.text(indent+margin, indent+margin, detail, dim)
	}
}

// wrap breaks text into lines of at most width columns, between words where it
// can. A line that fits is left as it is, another keeps its indentation.
func wrap(text string, width int) []string {
	width = max(width, 1)
	var lines []string
	for l := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if ansi.StringWidth(l) <= width {
			lines = append(lines, l)
			continue
		}
		indent := l[:len(l)-len(strings.TrimLeft(l, " "))]
		if len(indent) > width/2 {
			indent = ""
		}
		row, used := indent, 0
		for word := range strings.FieldsSeq(l) {
			room := width - len(indent)
			w := ansi.StringWidth(word)
			if used > 0 && used+1+w <= room {
				row += " " + word
				used += 1 + w
				continue
			}
			if used > 0 {
				lines = append(lines, row)
			}
			parts := strings.Split(ansi.Hardwrap(word, room, true), "\n")
			for _, p := range parts[:len(parts)-1] {
				lines = append(lines, indent+p)
			}
			row, used = indent+parts[len(parts)-1], ansi.StringWidth(parts[len(parts)-1])
		}
		lines = append(lines, row)
	}
	return lines
}

// Escape makes text from outside safe for a terminal: control characters,
// characters that turn the direction of writing, and broken UTF-8 are spelled
// out. Newlines stay, tabs become spaces.
func Escape(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == '\n':
			b.WriteRune(r)
		case r == '\t':
			b.WriteString("    ")
		case r == '\r' && strings.HasPrefix(text[i:], "\r\n"):
		case r == utf8.RuneError, r != ' ' && r != zeroWidthJoiner && !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r):
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// zeroWidthJoiner holds the parts of many emoji together.
const zeroWidthJoiner = '\u200d'

// oneLine is Escape for a text that has to stay on a line.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(Escape(text), func(r rune) bool { return r == '\n' }), " ")
}
