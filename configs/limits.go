package configs

import (
	"cmp"
	"errors"
	"io"

	"github.com/goccy/go-yaml/scanner"
	"github.com/goccy/go-yaml/token"
)

// What one file may ask of the parser. It descends one call for each level, and
// for each key of a block mapping, and moves all the rest of the file for each
// value that is missing: without bounds, a small hostile file would overflow
// its stack or keep it busy for hours.
const (
	maxTokens  = 1_000_000
	maxDepth   = 100
	maxKeys    = 1000
	maxMissing = 100
)

// tokenize splits a file into tokens. It refuses, with place and message, what is
// beyond the parser's bounds or more than one document.
func tokenize(content string) (tokens token.Tokens, at mark, message string) {
	if at, ok := tooDense(content); ok {
		return nil, at, tooLarge
	}
	var s scanner.Scanner
	s.Init(content)
	var b bounds
	for {
		some, err := s.Scan()
		if errors.Is(err, io.EOF) {
			return tokens, mark{}, ""
		}
		for _, tk := range some {
			if tk.Type == token.InvalidType {
				return nil, place(tk), cmp.Or(tk.Error, "this is not YAML that can be understood")
			}
			if message := b.add(tk); message != "" {
				return nil, place(tk), message
			}
		}
		tokens.Add(some...)
		if len(tokens) > maxTokens {
			return nil, place(tokens[len(tokens)-1]), tooLarge
		}
	}
}

const tooLarge = "the file holds too much from here on: split it, and include the parts"

// tooDense finds the place in a file from which on there are certainly too many
// tokens. It is quick, where the scanner may make tokens of all of a long line
// before it returns.
func tooDense(content string) (mark, bool) {
	signs, line, start := 0, 1, 0
	for i := range len(content) {
		switch content[i] {
		case '\n':
			line, start = line+1, i+1
		case ',', '[', ']', '{', '}':
			signs++
		case '-', '?', ':', '&', '*', '!':
			if i+1 == len(content) || content[i+1] <= ' ' || content[i] == '&' || content[i] == '*' || content[i] == '!' {
				signs++
			}
		}
		if signs > maxTokens {
			return mark{line: int32(line), col: int32(i - start + 1)}, true
		}
	}
	return mark{}, false
}

// bounds follows a stream of tokens closely enough to know how deep a parser
// goes.
type bounds struct {
	last    *token.Token // but for comments
	key     int          // column of the key before the last colon, outside of flow style
	ended   bool         // the document is over
	blocks  []block      // mappings and lists by indentation
	flows   []flow       // open brackets
	opening int          // anchors and tags in a row
	missing int
}

type block struct{ column, keys int }

type flow struct {
	mapping bool
	colons  int // since the last comma
}

func (b *bounds) add(tk *token.Token) string {
	if tk.Type == token.CommentType {
		return ""
	}
	last := b.last
	b.last = tk
	if last != nil {
		b.count(last, tk)
	}
	if b.ended {
		return "a file holds one YAML document: put the others into files of their own"
	}
	switch tk.Type {
	case token.DirectiveType:
		return "YAML directives are not used here"
	case token.DocumentHeaderType:
		if last != nil {
			return "a file holds one YAML document: put the others into files of their own"
		}
	case token.DocumentEndType:
		b.ended = true
	case token.AnchorType, token.TagType:
		b.opening++
	case token.SequenceStartType, token.MappingStartType:
		b.flows = append(b.flows, flow{mapping: tk.Type == token.MappingStartType})
	case token.SequenceEndType, token.MappingEndType:
		if len(b.flows) > 0 {
			b.flows = b.flows[:len(b.flows)-1]
		}
	case token.CollectEntryType:
		if len(b.flows) > 0 {
			b.flows[len(b.flows)-1].colons = 0
		}
	case token.SequenceEntryType, token.MappingKeyType:
		b.indent(tk.Position.Column, 0)
	case token.MappingValueType:
		if last != nil {
			b.key = last.Position.Column
			b.indent(b.key, 1)
		}
	default:
		if last == nil || last.Type != token.AnchorType {
			b.opening = 0
		}
	}
	return b.verdict()
}

// indent enters the block that begins at a column, and leaves those further in.
func (b *bounds) indent(column, keys int) {
	if n := len(b.flows); n > 0 {
		b.flows[n-1].colons += keys
		return
	}
	for len(b.blocks) > 0 && b.blocks[len(b.blocks)-1].column > column {
		b.blocks = b.blocks[:len(b.blocks)-1]
	}
	if n := len(b.blocks); n > 0 && b.blocks[n-1].column == column {
		b.blocks[n-1].keys += keys
		return
	}
	b.blocks = append(b.blocks, block{column, keys})
}

// count adds to the missing values if none stands between the two tokens.
func (b *bounds) count(last, tk *token.Token) {
	if n := len(b.flows); n > 0 {
		switch tk.Type {
		case token.CollectEntryType, token.MappingEndType, token.SequenceEndType:
			bare := b.flows[n-1].mapping && b.flows[n-1].colons == 0 && last.Type != token.MappingStartType
			if bare || last.Type == token.MappingValueType {
				b.missing++
			}
		}
		return
	}
	if last.Position.Line == tk.Position.Line {
		return
	}
	column := tk.Position.Column
	switch last.Type {
	case token.SequenceEntryType:
		if column <= last.Position.Column {
			b.missing++
		}
	case token.MappingValueType:
		if column < b.key || column == b.key && tk.Type != token.SequenceEntryType {
			b.missing++
		}
	}
}

func (b *bounds) verdict() string {
	colons, keys := 0, 0
	if n := len(b.flows); n > 0 {
		colons = b.flows[n-1].colons
	}
	if n := len(b.blocks); n > 0 {
		keys = b.blocks[n-1].keys
	}
	switch {
	case len(b.blocks)+len(b.flows)+b.opening > maxDepth:
		return "this is nested too deeply"
	case keys > maxKeys || colons > maxKeys:
		return "there are too many keys side by side"
	case b.missing > maxMissing:
		return "too many values are missing"
	}
	return ""
}
