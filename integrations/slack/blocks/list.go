package blocks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-release/muster/bot/chat"
)

// list is lines of markup, some of which may be left out.
type list struct {
	lines  []string
	order  []int // of the lines: which of them is left out first
	hidden int   // so many of order are left out
	code   bool  // the middle goes first, and it is said there
	what   string
}

// maxLines is more lines than a message can show, so that no list takes for ever.
const maxLines = 1000

func newText(lines []string) *list {
	l := &list{what: "line"}
	for _, line := range lines {
		for rest := line; len(l.lines) < 2*maxLines; {
			line, rest = split(rest, maxTextLine)
			if l.lines = append(l.lines, line); rest == "" {
				break
			}
		}
	}
	return l.fromEnd()
}

// fromEnd leaves out the last lines first.
func (l *list) fromEnd() *list {
	l.order = make([]int, len(l.lines))
	for i := range l.order {
		l.order[i] = len(l.lines) - 1 - i
	}
	return l.limited()
}

// limited leaves out what can never be shown.
func (l *list) limited() *list {
	l.hidden = max(0, len(l.lines)-maxLines)
	return l
}

// newCode leaves out the middle first: an excerpt shows how it began and, which matters
// more, how it ended.
func newCode(lines []string) *list {
	l := &list{code: true, what: "line", lines: make([]string, len(lines))}
	for i, line := range lines {
		l.lines[i] = clip(line, maxCodeLine)
	}
	// Of each three lines that stay, two are from the end.
	first, last := 0, len(lines)-1
	for keep := 0; first <= last; keep++ {
		if keep%3 == 2 {
			l.order = append(l.order, first)
			first++
			continue
		}
		l.order = append(l.order, last)
		last--
	}
	slices.Reverse(l.order)
	return l.limited()
}

func newFields(fields []chat.Field, who People) *list {
	l := &list{what: "fact"}
	for _, f := range fields {
		name, value := clip(who.line(f.Name), 100), who.line(f.Value)
		if !visible(value) {
			continue
		}
		if visible(name) {
			value = bold(name+":") + " " + value
		}
		l.lines = append(l.lines, clip(value, maxLine))
	}
	if len(l.lines) == 0 {
		return nil
	}
	return l.fromEnd()
}

var symbolSigns = map[chat.Symbol]string{
	chat.SymbolDone:    "✅",
	chat.SymbolRunning: "🔄",
	chat.SymbolWaiting: "⏳",
	chat.SymbolPending: "⬜",
	chat.SymbolFailed:  "❌",
	chat.SymbolUnknown: "❓",
	chat.SymbolSkipped: "⏭️",
	chat.SymbolUndone:  "↩️",
}

// byImportance are the symbols, those first that people have to see.
var byImportance = []chat.Symbol{
	chat.SymbolFailed, chat.SymbolUnknown, chat.SymbolRunning, chat.SymbolWaiting, chat.SymbolNone,
	chat.SymbolUndone, chat.SymbolPending, chat.SymbolSkipped, chat.SymbolDone,
}

func importance(s chat.Symbol) int {
	if i := slices.Index(byImportance, s); i >= 0 {
		return i
	}
	return slices.Index(byImportance, chat.SymbolNone)
}

func newItems(items []chat.Item, who People, row int) *list {
	l := &list{what: "line"}
	var symbols []chat.Symbol
	for _, item := range items {
		if line := itemLine(item, who, row); line != "" {
			l.lines, symbols = append(l.lines, line), append(symbols, item.Symbol)
		}
	}
	if len(l.lines) == 0 {
		return nil
	}
	l.fromEnd()
	slices.SortStableFunc(l.order, func(a, b int) int { return cmp.Compare(importance(symbols[b]), importance(symbols[a])) })
	return l
}

// itemLine is an item, empty if there is nothing to see of it.
func itemLine(item chat.Item, who People, row int) string {
	sign := symbolSigns[item.Symbol]
	text, detail, states := who.line(item.Text), who.line(item.Detail), rowSigns(item.Row, row)
	if !visible(text) && !visible(detail) && states == "" {
		return ""
	}
	if sign == "" && !strings.HasPrefix(text, ellipsis) {
		sign = "•"
	}
	line := strings.TrimSpace(sign + " " + text)
	separator := " · "
	if states != "" {
		line, separator = line+" "+states, " "
	}
	if visible(detail) {
		line += separator + detail
	}
	return clip(line, max(maxLine, weigh(states)+200))
}

// rowSigns draws the states of many things, each with a sign, or with how many there are
// of each if they are more than most.
func rowSigns(row []chat.Symbol, most int) string {
	var b strings.Builder
	if len(row) <= most {
		for _, s := range row {
			b.WriteString(symbolSigns[s])
		}
		return b.String()
	}
	var counted []string
	for _, s := range byImportance {
		n := 0
		for _, other := range row {
			if other == s {
				n++
			}
		}
		if sign := symbolSigns[s]; n > 0 && sign != "" {
			counted = append(counted, fmt.Sprintf("%s×%d", sign, n))
		}
	}
	return strings.Join(counted, " ")
}

// left are the lines that are left out.
func (l *list) left() map[int]bool {
	left := make(map[int]bool, l.hidden)
	for _, i := range l.order[:l.hidden] {
		left[i] = true
	}
	return left
}

// shown are the lines, and how many there are besides.
func (l *list) shown() []string {
	if l.hidden == 0 {
		return l.lines
	}
	left := l.left()
	var lines []string
	said := false
	for i, line := range l.lines {
		switch {
		case !left[i]:
			lines = append(lines, line)
		case l.code && !said:
			lines = append(lines, leftOut(l.hidden, l.what))
			said = true
		}
	}
	if !said {
		lines = append(lines, leftOut(l.hidden, l.what))
	}
	return lines
}

// weight is how much of a list could be left out.
func (l *list) weight(least int) int {
	n := 0
	for k := l.hidden; k < len(l.order)-least; k++ {
		n += weigh(l.lines[l.order[k]]) + 1
	}
	return n
}

// cut leaves out so much, and at least so many lines stay. It returns how much it left out.
func (l *list) cut(over, least int) int {
	n := 0
	for n < over && l.hidden < len(l.order)-least {
		n += weigh(l.lines[l.order[l.hidden]]) + 1
		l.hidden++
	}
	return n
}
