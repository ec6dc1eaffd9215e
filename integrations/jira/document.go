package jira

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
)

// document is text with some form, in neither of Jira's two formats yet. All text in it
// is plain: what looks like markup in there is shown as it is.
type document []block

// block is a paragraph, heading, list, table or preformatted text.
type block interface {
	adf() node
	wiki(*strings.Builder)
}

type (
	// paragraph is lines of text; a line feed in a span breaks the line.
	paragraph []span
	heading   struct {
		level int // 1 to 6
		text  string
	}
	bullets      []paragraph
	preformatted string
	// table has rows, and a head of as many cells or none.
	table struct {
		head []string
		rows [][]paragraph
	}
)

// span is a piece of text.
type span struct {
	text   string
	link   string // an address; one that is not http or https makes no link
	strong bool
	mono   bool
	small  bool
}

// plain is a paragraph without form.
func plain(text string) paragraph { return paragraph{{text: text}} }

// paragraphs are those of a text, with empty lines between them.
func paragraphs(text string) document {
	var d document
	for part := range strings.SplitSeq(tidy(text), "\n\n") {
		if part = strings.Trim(part, "\n"); strings.TrimSpace(part) != "" {
			d = append(d, plain(part))
		}
	}
	return d
}

// body is the document as this Jira wants it in a request.
func (j *Jira) body(d document) any {
	if j.flavor == cloud {
		return d.adf()
	}
	return d.wiki()
}

// size is how much of Jira's limit for one text the document takes.
func (j *Jira) size(d document) int {
	if j.flavor == cloud {
		data, _ := json.Marshal(d.adf()) // nodes are text and numbers: it cannot fail
		return len(data)
	}
	return len(d.wiki())
}

// tidy makes line ends the same, and leaves out what no text of a document may have.
func tidy(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7F && r != 0xFFFE && r != 0xFFFF {
			return r
		}
		return -1
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// address returns a link that is safe to show, or nothing.
func address(link string) string {
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return ""
	}
	return u.String()
}

// textOf reads the text of a description or comment as Jira hands it out: a document
// of Cloud, or a string of markup. Each paragraph, cell and line is a line of its own. What is neither is
// empty.
func textOf(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	var text string
	if len(raw) == 0 || json.Unmarshal(raw, &text) == nil {
		return strings.ReplaceAll(text, "\r\n", "\n")
	}
	var n node
	if json.Unmarshal(raw, &n) != nil {
		return ""
	}
	var b strings.Builder
	n.text(&b, 0)
	return strings.TrimRight(b.String(), "\n")
}

// planLine is how a description names the digest of the plan that it shows, on a line of its own, in
// both formats.
const planLine = "Plan: "

var planForm = regexp.MustCompile(`(?m)^` + planLine + `([0-9a-f]{64})\s*$`)

// shownDigest is the digest of the plan that a description shows, as textOf reads it; empty if it
// names none, or different ones.
func shownDigest(description string) string {
	digest := ""
	for _, m := range planForm.FindAllStringSubmatch(description, -1) {
		if digest != "" && digest != m[1] {
			return ""
		}
		digest = m[1]
	}
	return digest
}
