package jira

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// node is one of Atlassian's document format, as
// https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/ describes it.
type node struct {
	Type    string         `json:"type"`
	Version int            `json:"version,omitempty"`
	Attrs   map[string]any `json:"attrs,omitempty"`
	Text    string         `json:"text,omitempty"`
	Marks   []mark         `json:"marks,omitempty"`
	Content []node         `json:"content,omitempty"`
}

type mark struct {
	Type  string         `json:"type"`
	Attrs map[string]any `json:"attrs,omitempty"`
}

// adf is the document in Atlassian's format.
func (d document) adf() node {
	n := node{Type: "doc", Version: 1}
	for _, b := range d {
		n.Content = append(n.Content, b.adf())
	}
	if n.Content == nil {
		n.Content = []node{{Type: "paragraph"}}
	}
	return n
}

func (p paragraph) adf() node {
	n := node{Type: "paragraph"}
	for _, s := range p {
		n.Content = append(n.Content, s.adf()...)
	}
	return n
}

func (s span) adf() []node {
	var marks []mark
	if link := address(s.link); link != "" {
		marks = append(marks, mark{"link", map[string]any{"href": link}})
	}
	if s.mono {
		marks = append(marks, mark{Type: "code"}) // goes with link alone
	} else {
		if s.strong {
			marks = append(marks, mark{Type: "strong"})
		}
		if s.small {
			marks = append(marks, mark{"subsup", map[string]any{"type": "sub"}})
		}
	}
	var all []node
	for i, line := range strings.Split(tidy(s.text), "\n") {
		if i > 0 {
			all = append(all, node{Type: "hardBreak"})
		}
		if line != "" {
			all = append(all, node{Type: "text", Text: line, Marks: marks})
		}
	}
	return all
}

func (h heading) adf() node {
	text := strings.ReplaceAll(h.text, "\n", " ")
	return node{Type: "heading", Attrs: map[string]any{"level": h.level}, Content: span{text: text}.adf()}
}

func (l bullets) adf() node {
	n := node{Type: "bulletList"}
	for _, p := range l {
		n.Content = append(n.Content, node{Type: "listItem", Content: []node{p.adf()}})
	}
	return n
}

func (p preformatted) adf() node {
	n := node{Type: "codeBlock"}
	if text := tidy(string(p)); text != "" {
		n.Content = []node{{Type: "text", Text: text}}
	}
	return n
}

func (t table) adf() node {
	n := node{Type: "table"}
	if len(t.head) > 0 {
		head := node{Type: "tableRow"}
		for _, h := range t.head {
			head.Content = append(head.Content, node{Type: "tableHeader", Content: []node{plain(h).adf()}})
		}
		n.Content = append(n.Content, head)
	}
	for _, cells := range t.rows {
		row := node{Type: "tableRow"}
		for _, c := range cells {
			row.Content = append(row.Content, node{Type: "tableCell", Content: []node{c.adf()}})
		}
		n.Content = append(n.Content, row)
	}
	return n
}

// mostDepth is how deep a document may be that is read.
const mostDepth = 50

// text writes the text of what is in a node, each block on lines of its own.
func (n node) text(b *strings.Builder, depth int) {
	if depth > mostDepth {
		return
	}
	switch n.Type {
	case "text":
		b.WriteString(n.Text)
		return
	case "hardBreak":
		b.WriteByte('\n')
		return
	case "mention", "emoji", "status", "inlineCard", "blockCard":
		for _, name := range []string{"text", "url", "shortName"} {
			if s, is := n.Attrs[name].(string); is && s != "" {
				b.WriteString(s)
				return
			}
		}
		return
	}
	for _, c := range n.Content {
		c.text(b, depth+1)
	}
	switch n.Type {
	case "paragraph", "heading", "codeBlock":
		b.WriteByte('\n')
	}
}

// meaningOf is what a description or text says and how, without what Jira adds on its own account: it
// is the same for two that look the same to people.
func meaningOf(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	var text string
	if len(raw) == 0 || json.Unmarshal(raw, &text) == nil {
		return strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), " \n\t")
	}
	var n node
	if json.Unmarshal(raw, &n) != nil {
		return string(raw)
	}
	var b strings.Builder
	n.meaning(&b, 0)
	return b.String()
}

func (n node) meaning(b *strings.Builder, depth int) {
	if depth > mostDepth {
		return
	}
	b.WriteString(n.Type)
	for _, name := range []string{"level", "text", "url", "id"} {
		switch v := n.Attrs[name].(type) {
		case string:
			b.WriteString(" " + name + "=" + strconv.Quote(v))
		case float64, int:
			data, _ := json.Marshal(v)
			b.WriteString(" " + name + "=" + string(data))
		}
	}
	b.WriteByte('(')
	for i := 0; i < len(n.Content); i++ {
		c := n.Content[i]
		if c.Type != "text" {
			c.meaning(b, depth+1)
			b.WriteByte(',')
			continue
		}
		// Pieces that look the same are one, however they were cut.
		looks, text := c.looks(), c.Text
		for i+1 < len(n.Content) && n.Content[i+1].Type == "text" && n.Content[i+1].looks() == looks {
			i++
			text += n.Content[i].Text
		}
		b.WriteString(looks + strconv.Quote(text) + ",")
	}
	b.WriteByte(')')
}

// looks is how a text is shown.
func (n node) looks() string {
	var all []string
	for _, m := range n.Marks {
		one := m.Type
		for _, name := range []string{"href", "type"} {
			if s, is := m.Attrs[name].(string); is {
				one += "=" + strconv.Quote(s)
			}
		}
		all = append(all, one+" ")
	}
	slices.Sort(all)
	return strings.Join(all, "")
}
