package configs

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Position is a place in a file. Line and Column count from 1, Column in
// characters; both are 0 where only the file is meant.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String returns file:line:column, as editors understand it.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Problem is one mistake in a configuration.
type Problem struct {
	Position
	Message string `json:"message"`
	// Hint says what was probably meant; mostly it is empty.
	Hint string `json:"hint,omitempty"`
	// Excerpt is the line with a caret below the place, ready to print. What may
	// be a secret is replaced by ***. A line of more than 10,000 bytes has none.
	Excerpt string `json:"excerpt,omitempty"`
}

// String returns the problem as a person reads it, over one or three lines
// without an end of line.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		fmt.Fprintf(&b, "%s: ", p.Position)
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; ")
		b.WriteString(p.Hint)
	}
	if p.Excerpt != "" {
		b.WriteByte('\n')
		b.WriteString(p.Excerpt)
	}
	return b.String()
}

// Errors are all mistakes of a configuration, by file, line and column. There
// is at least one.
type Errors struct {
	Problems []Problem `json:"problems"`
}

// Error returns every problem, each from a line of its own.
func (e *Errors) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problem is a Problem before its excerpt is cut, which waits until all secrets
// of the file are known.
type problem struct {
	at      mark
	message string
	hint    string
}

func newErrors(found []problem) *Errors {
	e := &Errors{Problems: make([]Problem, len(found))}
	for i, p := range found {
		e.Problems[i] = p.render()
	}
	slices.SortStableFunc(e.Problems, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Message, b.Message),
		)
	})
	e.Problems = slices.Compact(e.Problems) // an alias is read once for each use
	return e
}

func (p problem) render() Problem {
	return Problem{
		Position: p.at.position(),
		Message:  p.message,
		Hint:     p.hint,
		Excerpt:  p.at.excerpt(),
	}
}

// mark is a place in a source.
type mark struct {
	src       *source
	line, col int32
}

func (m mark) position() Position {
	if m.src == nil {
		return Position{}
	}
	return Position{File: m.src.name, Line: int(m.line), Column: int(m.col)}
}

// source is the text of one file.
type source struct {
	name   string
	lines  []string
	masked []span
}

// span is a literal secret: from a column of the first line to the end of the last.
type span struct{ line, col, last int32 }

var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

func newSource(name, content string) *source {
	return &source{name: name, lines: strings.Split(newlines.Replace(content), "\n")}
}

// mask keeps a value that may be a secret out of excerpts.
func (s *source) mask(n *node) {
	s.masked = append(s.masked, span{n.at.line, n.at.col, n.last})
}

const (
	excerptWidth = 100    // characters of a line that an excerpt shows at most
	excerptLimit = 10_000 // bytes of a line that is searched for secrets, and shown at all
)

// excerpt returns the line of the mark with a caret below it.
func (m mark) excerpt() string {
	if m.src == nil || m.line < 1 || int(m.line) > len(m.src.lines) || len(m.src.lines[m.line-1]) > excerptLimit {
		return ""
	}
	line := []rune(strings.TrimRightFunc(m.src.visible(m.line), unicode.IsSpace))
	for i, r := range line {
		if !unicode.IsPrint(r) { // a tab would shift the caret, an escape would reach the terminal
			line[i] = ' '
		}
	}
	caret := min(max(int(m.col)-1, 0), len(line))
	before, after := "", ""
	if from := caret - excerptWidth/2; len(line) > excerptWidth && from > 0 {
		line, caret, before = line[from:], caret-from+1, "…"
	}
	if len(line) > excerptWidth {
		line, after = line[:excerptWidth], "…"
	}
	number := fmt.Sprintf("%5d", m.line)
	return fmt.Sprintf("%s | %s%s%s\n%s | %s^",
		number, before, string(line), after,
		strings.Repeat(" ", len(number)), strings.Repeat(" ", caret))
}

// secretKey finds what is written behind a key that sounds like a secret, for
// files that are too broken to know what is one.
var secretKey = regexp.MustCompile(`(?i)(?:token|secret|password|passwd|credential|api[-_]?key|private[-_]?key|routing[-_]?key)s?["']?\s*:\s+(.*)`)

// soundsSecret reports whether secretKey, which is slow, is worth a try.
func soundsSecret(line string) bool {
	line = strings.ToLower(line)
	for _, word := range []string{"token", "secret", "passw", "credential", "key"} {
		if strings.Contains(line, word) {
			return true
		}
	}
	return false
}

// visible returns a line without the secrets in it.
func (s *source) visible(number int32) string {
	line := s.lines[number-1]
	for _, hidden := range s.masked {
		switch {
		case number == hidden.line:
			runes := []rune(line)
			line = string(runes[:min(int(hidden.col)-1, len(runes))]) + redacted
		case hidden.line < number && number <= hidden.last:
			line = redacted
		}
	}
	if !soundsSecret(line) {
		return line
	}
	for start := 0; ; {
		at := secretKey.FindStringSubmatchIndex(line[start:])
		if at == nil {
			return line
		}
		from := start + at[2]
		value := strings.TrimLeft(line[from:], `"'`)
		if value != "" && !strings.ContainsAny(value[:1], "[{&*#") &&
			!strings.HasPrefix(value, "${") && !strings.HasPrefix(value, "file:") {
			return line[:from] + redacted
		}
		start = from
	}
}
