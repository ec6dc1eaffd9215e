// Package blocks draws cards and forms with Slack's Block Kit
// (https://docs.slack.dev/reference/block-kit). It is pure: the same card gives the
// same blocks, and nothing is asked of Slack.
//
// Whatever a card holds, what comes out is within Slack's limits, mentions only people of
// the catalog, and formats only what this package formats.
package blocks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
)

// Rendered is a message for Slack.
type Rendered struct {
	// Text is the message in a line, for notifications and screen readers. It mentions
	// nobody: a mention would ring there as well.
	Text   string
	Blocks []slack.Block
}

// Message draws a card. Who may be nil: nobody is mentioned then.
func Message(c chat.Card, who People) Rendered {
	return Rendered{Text: fallback(c), Blocks: draw(c, who, buttons(c.Actions))}
}

// maxFallback keeps the text to what notifications show, and within the 4,000 characters
// that Slack recommends.
const maxFallback = 1000

// fallback is the card in a line.
func fallback(c chat.Card) string {
	candidates := []string{c.Text, c.Title}
	for _, s := range c.Sections {
		candidates = append(candidates, s.Text, s.Heading)
	}
	for _, words := range append(candidates, c.Footer) {
		if words = entities.Replace(plain(words)); visible(words) {
			return clip(words, maxFallback)
		}
	}
	return ellipsis
}

var toneSigns = map[chat.Tone]string{chat.Good: "🟢", chat.Waiting: "🟡", chat.Bad: "🔴"}

// signed puts the sign of a tone before words.
func signed(tone chat.Tone, words string) string {
	return strings.TrimSpace(toneSigns[tone] + " " + words)
}

// draw draws a card with these blocks of buttons. When it is too much for a message it gives
// up, in this order: each symbol of a row, room between the parts, the middle of lists and
// excerpts, whole parts from the end.
func draw(c chat.Card, who People, buttons []slack.Block) []slack.Block {
	d := newSheet(c, who, buttons, rowSizes[0])
	for _, row := range rowSizes[1:] {
		if weight(d.blocks()) <= maxTogether {
			break
		}
		d = newSheet(c, who, buttons, row)
	}
	d.packed = len(d.blocks()) > maxBlocks
	for _, least := range [...]int{4, 1} {
		d.shrink(least)
	}
	for !d.fits() && len(d.parts) > 0 {
		d.parts = d.parts[:len(d.parts)-1]
		d.dropped++
	}
	return d.blocks()
}

// rowSizes are how many symbols a row may have before they are counted instead.
var rowSizes = [...]int{40, 12, 0}

// maxParts is more sections than any message can show.
const maxParts = 200

// sheet is a card, taken apart into what can be left out.
type sheet struct {
	head, tail []slack.Block
	parts      []part
	packed     bool // parts share blocks
	dropped    int  // parts at the end that are left out
}

// part is a section of a card.
type part struct {
	heading           string
	text, items, code *list
	fields            *list
}

// lists are those of a part's lists that are not empty, the least important first.
func (p *part) lists() []*list {
	return slices.DeleteFunc([]*list{p.code, p.items, p.fields, p.text}, func(l *list) bool { return l == nil })
}

func newSheet(c chat.Card, who People, buttons []slack.Block, row int) *sheet {
	d := &sheet{}
	d.title(c, who)
	if p := c.Progress; p != nil {
		if words := progress(*p, who); words != "" {
			d.head = append(d.head, section(words))
		}
	}
	for i, s := range c.Sections {
		if i == maxParts {
			d.dropped = len(c.Sections) - maxParts
			break
		}
		if p := newPart(s, who, row); p.heading != "" || len(p.lists()) > 0 {
			d.parts = append(d.parts, p)
		}
	}
	d.tail = buttons
	if footer := clip(who.line(c.Footer), 600); visible(footer) {
		d.tail = append([]slack.Block{context(footer)}, d.tail...)
	}
	if len(d.head)+len(d.parts)+len(d.tail) == 0 {
		d.head = append(d.head, section(ellipsis))
	}
	return d
}

// title draws what the card is about. Without a title it is its text, in bold where
// more follows.
func (d *sheet) title(c chat.Card, who People) {
	if title := plain(c.Title); visible(title) {
		title = signed(c.Tone, title)
		d.head = append(d.head, slack.NewHeaderBlock(plainText(title, maxHeader)))
		if length(title) > maxHeader {
			d.head = append(d.head, section(clip(literal(title), 1000)))
		}
		return
	}
	lines := who.lines(c.Text)
	if !visible(strings.Join(lines, "")) {
		return
	}
	if first := clip(lines[0], 600); c.Progress != nil || len(c.Sections) > 0 || len(lines) > 1 {
		lines[0] = bold(first)
	}
	lines[0] = signed(c.Tone, lines[0])
	d.head = append(d.head, section(clip(strings.Join(lines, "\n"), 2000)))
}

const barSize = 10

// progress is a bar and its label.
func progress(p chat.Progress, who People) string {
	label := together(clip(who.line(p.Label), 300))
	if p.Total <= 0 {
		if !visible(label) {
			return ""
		}
		return label
	}
	done := min(max(p.Done, 0), p.Total)
	full := int(int64(barSize) * int64(done) / int64(p.Total))
	if full == 0 && done > 0 {
		full = 1 // something is done, and that is to be seen
	}
	bar := strings.Repeat("▰", full) + strings.Repeat("▱", barSize-full)
	return strings.TrimSpace(fmt.Sprintf("%s *%d*\u00a0of\u00a0%d\u00a0%s", bar, done, p.Total, label))
}

// together keeps the words of short phrases between middle dots on a line.
func together(label string) string {
	const between = " · "
	phrases := strings.Split(label, between)
	for i, p := range phrases {
		if length(p) <= 30 && !strings.Contains(p, "<") { // < may begin a reference
			phrases[i] = strings.ReplaceAll(p, " ", "\u00a0")
		}
	}
	return strings.Join(phrases, between)
}

// How much of one line is shown. What is longer is cut, but for texts, which go on in the
// next line.
const (
	maxLine     = 600
	maxTextLine = 1000
	maxCodeLine = 300
)

func newPart(s chat.Section, who People, row int) part {
	p := part{heading: clip(bold(who.line(s.Heading)), maxLine)}
	if visible(s.Text) {
		p.text = newText(who.lines(s.Text))
	}
	p.fields = newFields(s.Fields, who)
	p.items = newItems(s.Items, who, row)
	if visible(s.Code) {
		p.code = newCode(code(s.Code))
	}
	return p
}

// section is a block of markup. It is always shown whole: what people decide about is not
// to be folded away.
func section(text string, fields ...*slack.TextBlockObject) *slack.SectionBlock {
	var t *slack.TextBlockObject
	if text != "" {
		t = markup(text)
	}
	return slack.NewSectionBlock(t, fields, nil, slack.SectionBlockOptionExpand(true))
}

func context(text string) *slack.ContextBlock { return slack.NewContextBlock("", markup(text)) }

func (d *sheet) fits() bool {
	all := d.blocks()
	return len(all) <= maxBlocks && weight(all) <= maxTogether
}

// shrink leaves lines out until the sheet fits, or every list is down to least lines. The
// longest lists lose most.
func (d *sheet) shrink(least int) {
	for !d.fits() {
		over := weight(d.blocks()) - maxTogether
		if over <= 0 {
			d.packed = true
			if len(d.blocks()) <= maxBlocks {
				continue
			}
			over = maxMarkup
		}
		var all []*list
		for i := range d.parts {
			all = append(all, d.parts[i].lists()...)
		}
		slices.SortStableFunc(all, func(a, b *list) int { return b.weight(least) - a.weight(least) })
		cut := 0
		for _, l := range all {
			if cut >= over {
				break
			}
			cut += l.cut(over-cut, least)
		}
		if cut == 0 {
			return
		}
	}
}

func (d *sheet) blocks() []slack.Block {
	c := &column{packed: d.packed, blocks: slices.Clone(d.head)}
	for i := range d.parts {
		c.part(&d.parts[i])
	}
	c.flush()
	if d.dropped > 0 {
		c.blocks = append(c.blocks, context(leftOut(d.dropped, "part")))
	}
	return append(c.blocks, d.tail...)
}

func leftOut(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("… and %d more %s", n, what)
}

// column collects lines into blocks.
type column struct {
	packed bool
	blocks []slack.Block
	lines  []string
	weight int
}

func (c *column) part(p *part) {
	if !c.packed {
		c.flush()
	} else if len(c.lines) > 0 {
		c.line(" ")
	}
	if p.heading != "" {
		c.line(p.heading)
	}
	if p.text != nil {
		c.all(p.text.shown())
	}
	if p.fields != nil {
		c.fields(p.fields.shown())
	}
	if p.items != nil {
		c.all(p.items.shown())
	}
	if p.code != nil {
		c.fence(p.code.shown())
	}
}

func (c *column) all(lines []string) {
	for _, l := range lines {
		c.line(l)
	}
}

func (c *column) line(l string) {
	w := weigh(l) + 1
	if c.weight+w > maxMarkup {
		c.flush()
	}
	c.lines = append(c.lines, l)
	c.weight += w
}

// text takes what was collected.
func (c *column) text() string {
	text := strings.Trim(strings.Join(c.lines, "\n"), " \n")
	c.lines, c.weight = nil, 0
	if !visible(text) {
		return ""
	}
	return text
}

func (c *column) flush() {
	if text := c.text(); text != "" {
		c.blocks = append(c.blocks, section(text))
	}
}

// maxBeside is how long a fact may be to stand beside another one.
const maxBeside = 90

// fields sets facts side by side, and long ones below.
func (c *column) fields(all []string) {
	if c.packed {
		c.all(all)
		return
	}
	var row []*slack.TextBlockObject
	var long []string
	for _, f := range all {
		if weigh(f) > maxBeside {
			long = append(long, f)
			continue
		}
		row = append(row, markup(f))
	}
	for some := range slices.Chunk(row, maxFields) {
		c.blocks = append(c.blocks, section(c.text(), some...))
	}
	c.all(long)
	if len(row) > 0 || len(long) > 0 {
		c.flush()
	}
}

const fence = "```"

// fence sets lines as a code block, or several if one would be too long for a block of
// the message.
func (c *column) fence(lines []string) {
	var some []string
	w := 0
	end := func() {
		if len(some) > 0 {
			c.line(fence + "\n" + strings.Join(some, "\n") + "\n" + fence)
		}
		some, w = nil, 0
	}
	for _, l := range lines {
		if w += weigh(l) + 1; w > maxMarkup-20 {
			end()
			w = weigh(l) + 1
		}
		some = append(some, l)
	}
	end()
}
