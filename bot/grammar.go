package bot

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/muster-release/muster/bot/chat"
)

// MaxLine is how many bytes a line of the command language may have that a person types.
const MaxLine = 4 << 10

// phrase is a line taken apart: words, and the reason that follows an unquoted
// "because" up to the end of the line.
type phrase struct {
	line    string // as it was typed, cleaned
	words   []word
	because bool
	reason  string
}

// word is one word of a line. A word in quotes may hold spaces, and is never a
// word of the grammar.
type word struct {
	text  string
	quote rune // that it begins with; 0: none
	at    int  // where it begins in the line
	end   int  // and where it ends
}

// is reports whether w is that word of the grammar.
func (w word) is(keyword string) bool { return w.quote == 0 && strings.EqualFold(w.text, keyword) }

var closing = map[rune]string{'"': `"`, '\'': "'", '“': "”", '‘': "’"}

// parse takes a line apart. Every line that is not too long is a phrase.
func parse(line string) (phrase, error) {
	if len(line) > MaxLine {
		return phrase{}, &unclear{text: fmt.Sprintf("That line is too long: %d bytes are the most. Nothing was done.", MaxLine)}
	}
	return split(line), nil
}

// split is parse for a line of a rule or a train, which is as long as the modules are many that it names.
func split(line string) phrase {
	p := phrase{line: clean(line)}
	for at := 0; at < len(p.line); {
		rest := p.line[at:]
		if rest[0] == ' ' {
			at++
			continue
		}
		w, size := firstWord(rest)
		w.at, w.end = at, at+size
		at = w.end
		if w.is("because") {
			p.because, p.reason = true, strings.TrimSpace(p.line[at:])
			break
		}
		if len(p.words) > 0 || !w.addresses() {
			p.words = append(p.words, w)
		}
	}
	return p
}

// addresses reports whether w, at the beginning of a line, only says whom it is for:
// /muster, @muster or muster, as people are used to from other chats.
func (w word) addresses() bool {
	name := strings.TrimRight(strings.TrimLeft(w.text, "/@"), ":,")
	return w.quote == 0 && strings.EqualFold(name, "muster")
}

// firstWord cuts the first word off a text that begins with one. A quote that
// is not closed before a space or the end is a letter like any other.
func firstWord(s string) (w word, size int) {
	quote, n := utf8.DecodeRuneInString(s)
	if end, ok := closing[quote]; ok {
		if text, after, found := strings.Cut(s[n:], end); found && (after == "" || after[0] == ' ') {
			return word{text: text, quote: quote}, len(s) - len(after)
		}
	}
	text, _, _ := strings.Cut(s, " ")
	return word{text: text}, len(text)
}

// clean replaces what is no text: control characters and all kinds of space
// become a space, marks that turn the direction of writing go.
func clean(line string) string {
	line = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Cf, r) && r != zeroWidthJoiner:
			return -1
		}
		return r
	}, strings.ToValidUTF8(chat.Plain(line), "\uFFFD"))
	return strings.TrimSpace(line)
}

// zeroWidthJoiner holds the parts of many emoji together.
const zeroWidthJoiner = '\u200d'

// String is the line with single spaces; parse gives the same phrase for it.
func (p phrase) String() string {
	var b strings.Builder
	for i, w := range p.words {
		if i > 0 {
			b.WriteByte(' ')
		}
		if w.quote != 0 {
			b.WriteRune(w.quote)
		}
		b.WriteString(w.text)
		b.WriteString(closing[w.quote])
	}
	if p.because {
		if len(p.words) > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strings.TrimSpace("because " + p.reason))
	}
	return b.String()
}

// with is the line with another text in place of w, and without the word that
// confirms: what was meant is for the person to say, and then to confirm.
func (p phrase) with(w word, text string) string {
	var kept []word
	for _, each := range p.words {
		switch {
		case each.at == w.at:
			each.text = text
			kept = append(kept, each)
		case !each.is(yes):
			kept = append(kept, each)
		}
	}
	p.words = kept
	return p.String()
}

// yes confirms what cannot be taken back.
const yes = "yes"

// args are the words that a command has still to read.
type args struct{ words []word }

func (a *args) empty() bool { return len(a.words) == 0 }

// peek returns the next word, or a zero one.
func (a *args) peek() word {
	if a.empty() {
		return word{}
	}
	return a.words[0]
}

func (a *args) next() word {
	w := a.peek()
	if !a.empty() {
		a.words = a.words[1:]
	}
	return w
}

// take reads the next word if it is that word of the grammar.
func (a *args) take(keyword string) bool {
	found := !a.empty() && a.words[0].is(keyword)
	if found {
		a.words = a.words[1:]
	}
	return found
}

// takeLast reads the last word if it is that word of the grammar.
func (a *args) takeLast(keyword string) bool {
	last := len(a.words) - 1
	found := last >= 0 && a.words[last].is(keyword)
	if found {
		a.words = a.words[:last]
	}
	return found
}

// until reads the words up to a word of the grammar, and that word.
func (a *args) until(keyword string) (before []word, found bool) {
	for i, w := range a.words {
		if w.is(keyword) {
			before, a.words = a.words[:i], a.words[i+1:]
			return before, true
		}
	}
	before, a.words = a.words, nil
	return before, false
}

// number reads the number of a run: 12, #12 or run 12.
func (a *args) number() (w word, found bool) {
	if len(a.words) > 1 && a.words[0].is("run") && isNumber(a.words[1].text) {
		a.words = a.words[1:]
	}
	if !isNumber(a.peek().text) {
		return word{}, false
	}
	w = a.next()
	w.text = strings.TrimLeft(strings.TrimPrefix(w.text, "#"), "0")
	return w, true
}

func isNumber(s string) bool {
	s = strings.TrimPrefix(s, "#")
	return s != "" && len(s) <= 10 && strings.Trim(s, "0123456789") == ""
}

// isDigest reports whether s could be the beginning of a plan's digest.
func isDigest(s string) bool {
	return len(s) >= 6 && len(s) <= 64 && strings.Trim(strings.ToLower(s), "0123456789abcdef") == ""
}

// why returns the reason, if the person gave one: what stands in a usage line,
// or on a button that wants to be completed, is none.
func (p phrase) why() string {
	switch p.reason {
	case "…", "...", "REASON":
		return ""
	}
	return strings.TrimPrefix(p.reason, "of ")
}
