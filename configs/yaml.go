package configs

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

type kind uint8

const (
	broken  kind = iota // reported already: whoever reads it keeps silent
	null                // no value at all
	text                // quoted, or plain and neither of the next two
	number              // plain
	boolean             // plain
	list
	mapping
)

// node is a value of a YAML file with its aliases resolved.
type node struct {
	kind  kind
	name  string // the key that it, or the list around it, stands under
	text  string // of a scalar, as it was written
	item  bool   // whether it is in a list
	at    mark
	last  int32 // its last line, for scalars
	size  int   // values in it, itself included
	items []*node
	pairs []pair
}

type pair struct {
	key   string
	at    mark
	value *node
}

// String says what kind of thing n is, without giving away what it says.
func (n *node) String() string {
	switch n.kind {
	case null:
		return "nothing"
	case text:
		return "text"
	case number:
		return "a number"
	case boolean:
		return n.text
	case list:
		return "a list"
	case mapping:
		return "keys with values"
	}
	return "something broken"
}

// maxExpansion is how many values all aliases of a configuration may stand for.
const maxExpansion = 1_000_000

// parsing turns the text of one file into a tree.
type parsing struct {
	*loader
	src     *source
	anchors map[string]*node
}

// document returns the mapping that the file consists of, and nil if it has a
// mistake that leaves nothing to read.
func (p *parsing) document(content string) *node {
	if at, what := unreadable(content); what != "" {
		p.report(p.offset(content, at), "", "%s", what)
		return nil
	}
	file, at, message := parse(content)
	if message != "" {
		place := mark{p.src, max(at.line, 1), max(at.col, 1)}
		p.report(place, p.quoteHint(place), "%s", message)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			body = doc.Body
		}
	}
	if body == nil {
		p.report(mark{src: p.src}, "", "the file is empty")
		return nil
	}
	p.anchors = make(map[string]*node)
	root := p.convert(body, "")
	switch root.kind {
	case mapping:
		return root
	case broken:
	default:
		p.report(mark{p.src, 1, 1}, "", "want keys such as modules and environments, found %s", root)
	}
	return nil
}

// unreadable finds what is no text: broken UTF-8 and control characters.
func unreadable(content string) (at int, what string) {
	for i, r := range content {
		switch {
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(content[i:]); size == 1 {
				return i, "the file is not UTF-8 text"
			}
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			return i, "the file holds a control character, which YAML does not allow"
		}
	}
	return 0, ""
}

func (p *parsing) offset(content string, at int) mark {
	before := newlines.Replace(content[:at])
	line := before[strings.LastIndexByte(before, '\n')+1:]
	return mark{p.src, int32(strings.Count(before, "\n") + 1), int32(utf8.RuneCountInString(line) + 1)}
}

// quoteHint recognizes the values that people forget to quote.
func (p *parsing) quoteHint(at mark) string {
	if int(at.line) > len(p.src.lines) {
		return ""
	}
	line := []rune(p.src.lines[at.line-1])
	rest := string(line[min(int(at.col)-1, len(line)):])
	switch {
	case strings.HasPrefix(rest, "@"):
		return `a name that begins with @ is written in quotes: "@scope/name"`
	case strings.HasPrefix(rest, "{") && strings.HasSuffix(string(line[:at.col-1]), "$"),
		strings.HasPrefix(rest, "${"):
		return `inside { } and [ ] it is written in quotes: "${NAME}"`
	case strings.HasPrefix(rest, "\t"):
		return "indent with spaces"
	}
	return ""
}

// parse runs the YAML parser. On a mistake it returns the place and
// what is wrong.
func parse(content string) (file *ast.File, at mark, message string) {
	defer func() {
		// The parser is not ours, and some broken files make it panic.
		if r := recover(); r != nil {
			file, at, message = nil, mark{}, "this is not YAML that can be understood"
		}
	}()
	tokens, at, message := tokenize(content)
	if message != "" {
		return nil, at, message
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err == nil {
		return file, mark{}, ""
	}
	if syntax, ok := errors.AsType[*yaml.SyntaxError](err); ok && syntax.Token != nil {
		return nil, place(syntax.Token), syntax.Message
	}
	return nil, mark{}, "this is not YAML that can be understood"
}

// place returns a token's line and column, without its source.
func place(tk *token.Token) mark {
	if tk == nil || tk.Position == nil {
		return mark{line: 1, col: 1}
	}
	return mark{line: int32(max(tk.Position.Line, 1)), col: int32(max(tk.Position.Column, 1))}
}

func (p *parsing) mark(n ast.Node) mark {
	m := place(n.GetToken())
	m.src = p.src
	return m
}

// convert makes a tree of what the parser found. Name is the key it stands under.
func (p *parsing) convert(n ast.Node, name string) *node {
	if n == nil {
		return &node{kind: broken, name: name}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return p.mapping(n, n.Values, name)
	case *ast.MappingValueNode:
		return p.mapping(n, []*ast.MappingValueNode{n}, name)
	case *ast.SequenceNode:
		out := &node{kind: list, name: name, at: p.mark(n), size: 1, items: make([]*node, 0, len(n.Values))}
		for _, value := range n.Values {
			item := p.convert(value, name)
			item.item = true
			out.items = append(out.items, item)
			out.size += item.size
		}
		return out
	case *ast.AnchorNode:
		value := p.convert(n.Value, name)
		// Known from here on only, so that nothing contains itself.
		p.anchors[n.Name.GetToken().Value] = value
		named := *value
		return &named
	case *ast.AliasNode:
		return p.alias(n, name)
	case *ast.LiteralNode:
		return p.scalar(n, text, n.Value.Value, name)
	case *ast.StringNode:
		return p.scalar(n, text, n.Value, name)
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return p.scalar(n, number, n.GetToken().Value, name)
	case *ast.BoolNode:
		return p.scalar(n, boolean, n.GetToken().Value, name)
	case *ast.NullNode:
		return p.scalar(n, null, "", name)
	case *ast.TagNode:
		p.report(p.mark(n), "", "YAML tags such as %q are not used here", n.GetToken().Value)
	default:
		p.report(p.mark(n), "", "this kind of YAML is not used here")
	}
	return &node{kind: broken, name: name, at: p.mark(n), size: 1}
}

func (p *parsing) scalar(n ast.Node, k kind, value, name string) *node {
	at := p.mark(n)
	lines := strings.Count(newlines.Replace(strings.TrimSpace(n.GetToken().Origin)), "\n")
	if n, ok := n.(*ast.LiteralNode); ok {
		lines = 1 + strings.Count(newlines.Replace(n.Value.GetToken().Origin), "\n")
	}
	return &node{kind: k, name: name, text: value, at: at, last: at.line + int32(lines), size: 1}
}

// alias returns what stands at the anchor.
func (p *parsing) alias(n *ast.AliasNode, name string) *node {
	at := p.mark(n)
	anchor := n.Value.GetToken().Value
	value, ok := p.anchors[anchor]
	if !ok {
		p.report(at, didYouMean(anchor, keysOf(p.anchors)), "no anchor &%s stands before this alias", anchor)
		return &node{kind: broken, name: name, at: at, size: 1}
	}
	if !p.expand(value, at) {
		return &node{kind: broken, name: name, at: at, size: 1}
	}
	named := *value
	named.name, named.item = name, false
	return &named
}

// expand counts what an alias stands for, and says once when that is too much.
func (p *parsing) expand(value *node, at mark) bool {
	if p.values > maxExpansion {
		return false
	}
	p.values += value.size
	if p.values > maxExpansion {
		p.report(at, "", "the aliases up to here stand for more than %d values", maxExpansion)
		return false
	}
	return true
}

func (p *parsing) mapping(n ast.Node, values []*ast.MappingValueNode, name string) *node {
	out := &node{kind: mapping, name: name, at: p.mark(n), size: 1, pairs: make([]pair, 0, len(values))}
	seen := make(map[string]mark, len(values))
	var merged []*node
	for i, value := range values {
		key, at, ok := p.key(value.Key)
		if i == 0 && at.line > 0 && (at.line < out.at.line || at.line == out.at.line && at.col < out.at.col) {
			out.at = at // a block mapping begins with its first key, the parser says with its colon
		}
		if value.Key.IsMergeKey() {
			from := p.convert(value.Value, "<<")
			merged = append(merged, from)
			continue
		}
		content := p.convert(value.Value, key)
		out.size += content.size
		if !ok {
			continue
		}
		if first, twice := seen[key]; twice {
			p.report(at, "", "key %q stands here twice, first in line %d", key, first.line)
			continue
		}
		seen[key] = at
		out.pairs = append(out.pairs, pair{key, at, content})
	}
	for _, from := range merged {
		p.merge(out, from, seen)
	}
	return out
}

// merge adds the pairs of a merge key, unless their keys are there already.
func (p *parsing) merge(into, from *node, seen map[string]mark) {
	switch from.kind {
	case broken:
	case mapping:
		for _, pair := range from.pairs {
			if _, ok := seen[pair.key]; !ok {
				seen[pair.key] = pair.at
				into.pairs = append(into.pairs, pair)
				into.size += pair.value.size
			}
		}
	case list:
		for _, item := range from.items {
			if item.kind == list {
				p.report(item.at, "", "<< wants keys with values, found a list in a list")
				continue
			}
			p.merge(into, item, seen)
		}
	default:
		p.report(from.at, "", "<< wants keys with values, found %s", from)
	}
}

// key returns a mapping's key and whether it is plain text.
func (p *parsing) key(n ast.MapKeyNode) (string, mark, bool) {
	if explicit, ok := n.(*ast.MappingKeyNode); ok {
		key := p.convert(explicit.Value, "")
		return key.text, key.at, p.isKey(key)
	}
	if n.IsMergeKey() {
		return "<<", p.mark(n), true
	}
	key := p.convert(n, "")
	return key.text, key.at, p.isKey(key)
}

func (p *parsing) isKey(key *node) bool {
	switch key.kind {
	case text, number, boolean:
		return true
	case broken:
	default:
		p.report(key.at, "", "a key is text, found %s", key)
	}
	return false
}
