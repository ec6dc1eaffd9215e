package jirafake_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/muster-release/muster/integrations/jira/jirafake"
)

func parse(t *testing.T, s string) any {
	t.Helper()
	var o any
	if err := json.Unmarshal([]byte(s), &o); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return o
}

func TestDocument(t *testing.T) {
	in := func(content string) string { return `{"type": "doc", "version": 1, "content": [` + content + `]}` }
	p := `{"type": "paragraph", "content": [{"type": "text", "text": "a"}]}`
	for _, good := range []string{
		in(``), in(p), in(`{"type": "paragraph"}`), in(`{"type": "rule"}`),
		in(`{"type": "heading", "attrs": {"level": 2}, "content": [{"type": "text", "text": "h"}]}`),
		in(`{"type": "bulletList", "content": [{"type": "listItem", "content": [` + p + `, {"type": "orderedList", "attrs": {"order": 3}, "content": [{"type": "listItem", "content": [` + p + `]}]}]}]}`),
		in(`{"type": "table", "attrs": {"layout": "default", "isNumberColumnEnabled": false}, "content": [{"type": "tableRow", "content": [{"type": "tableHeader", "attrs": {}, "content": [` + p + `]}, {"type": "tableCell", "attrs": {"colspan": 2}, "content": [` + p + `]}]}]}`),
		in(`{"type": "codeBlock", "attrs": {"language": "go"}, "content": [{"type": "text", "text": "x := 1"}]}`),
		in(`{"type": "panel", "attrs": {"panelType": "warning"}, "content": [` + p + `]}`),
		in(`{"type": "paragraph", "content": [{"type": "text", "text": "a", "marks": [{"type": "strong"}, {"type": "em"}, {"type": "link", "attrs": {"href": "https://x"}}]}, {"type": "hardBreak"}, {"type": "text", "text": "c", "marks": [{"type": "code"}]}]}`),
		in(`{"type": "paragraph", "content": [{"type": "mention", "attrs": {"id": "5b", "text": "@ann"}}, {"type": "inlineCard", "attrs": {"url": "https://x"}}, {"type": "emoji", "attrs": {"shortName": ":tada:"}}, {"type": "status", "attrs": {"text": "DONE", "color": "green"}}]}`),
		in(`{"type": "blockquote", "content": [` + p + `]}`), in(`{"type": "expand", "attrs": {"title": "more"}, "content": [` + p + `]}`),
	} {
		if err := jirafake.Document(parse(t, good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, says := range map[string]string{
		`"text"`: "not an object", `{"type": "doc", "content": []}`: "version", `{"type": "doc", "version": 1}`: "no content", `{"type": "doc", "version": 2, "content": []}`: "version",
		in(`{"type": "text", "text": "a"}`):                                    `may not hold "text"`,
		in(`{"type": "paragraph", "content": [{"type": "text", "text": ""}]}`): "text is empty",
		in(`{"type": "paragraph", "content": [` + p + `]}`):                    `may not hold "paragraph"`,
		in(`{"type": "paragraph", "text": "a"}`):                               `has no "text"`,
		in(`{"type": "heading", "content": []}`):                               `"level" is missing`,
		in(`{"type": "heading", "attrs": {"level": 7}}`):                       `may not be 7`,
		in(`{"type": "bulletList", "content": []}`):                            "is empty",
		in(`{"type": "bulletList", "content": [` + p + `]}`):                   `may not hold`,
		in(`{"type": "bulletList", "content": [{"type": "listItem", "content": [{"type": "bulletList", "content": [{"type": "listItem", "content": [` + p + `]}]}]}]}`): "begins with a list",
		in(`{"type": "table", "content": [{"type": "tableRow", "content": [{"type": "tableCell", "content": []}]}]}`):                                                   "is empty",
		in(`{"type": "codeBlock", "content": [{"type": "text", "text": "x", "marks": [{"type": "strong"}]}]}`):                                                          "no marks",
		in(`{"type": "panel", "attrs": {"panelType": "pink"}, "content": [` + p + `]}`):                                                                                 "may not be pink",
		in(`{"type": "rule", "content": [` + p + `]}`):                                                                                                                  "holds nothing",
		in(`{"type": "paragraph", "content": [{"type": "text", "text": "a", "marks": [{"type": "bold"}]}]}`):                                                            `"bold" is not known`,
		in(`{"type": "paragraph", "content": [{"type": "text", "text": "a", "marks": [{"type": "link"}]}]}`):                                                            "no href",
		in(`{"type": "paragraph", "content": [{"type": "text", "text": "a", "marks": [{"type": "code"}, {"type": "em"}]}]}`):                                            "code goes with",
		in(`{"type": "paragraph", "content": [{"type": "mention", "attrs": {}}]}`):                                                                                      `"id" is missing`,
		in(`{"type": "paragraph", "content": [{"type": "inlineCard", "attrs": {}}]}`):                                                                                   "either a url",
		in(`{"type": "carousel"}`): `may not hold "carousel"`,
	} {
		if err := jirafake.Document(parse(t, bad)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, not %q", bad, err, says)
		}
	}
}

// What is written as a document is markup in webhooks and for tests.
func TestMarkup(t *testing.T) {
	w := newWorld(t, jirafake.Options{})
	key := w.create(object{"description": parse(t, `{"type": "doc", "version": 1, "content": [
		{"type": "heading", "attrs": {"level": 2}, "content": [{"type": "text", "text": "Plan"}]},
		{"type": "paragraph", "content": [{"type": "text", "text": "bold", "marks": [{"type": "strong"}]}, {"type": "text", "text": " and "}, {"type": "text", "text": "link", "marks": [{"type": "link", "attrs": {"href": "https://x"}}]}, {"type": "hardBreak"}, {"type": "mention", "attrs": {"id": "5b"}}]},
		{"type": "bulletList", "content": [{"type": "listItem", "content": [{"type": "paragraph", "content": [{"type": "text", "text": "one"}]}, {"type": "bulletList", "content": [{"type": "listItem", "content": [{"type": "paragraph", "content": [{"type": "text", "text": "deep"}]}]}]}]}]},
		{"type": "table", "content": [{"type": "tableRow", "content": [{"type": "tableHeader", "content": [{"type": "paragraph", "content": [{"type": "text", "text": "module"}]}]}]}, {"type": "tableRow", "content": [{"type": "tableCell", "content": [{"type": "paragraph", "content": [{"type": "text", "text": "cart"}]}]}]}]},
		{"type": "codeBlock", "content": [{"type": "text", "text": "x"}]}, {"type": "rule"}
	]}`)})
	want := "h2. Plan\n\n*bold* and [link|https://x]\n[~accountid:5b]\n\n* one\n** deep\n\n||module||\n|cart|\n\n{code}x{code}\n\n----"
	if i, _ := w.Issue(key); i.Description != want {
		t.Errorf("it is\n%q\nnot\n%q", i.Description, want)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add(`{"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": "a", "marks": [{"type": "strong"}]}]}]}`)
	f.Add(`{"type": "doc", "version": 1, "content": [{"type": "table", "content": [{"type": "tableRow", "content": [null]}]}]}`)
	f.Add(`{"type": "doc", "version": 1, "content": [{"type": "paragraph", "attrs": [], "content": {}}]}`)
	f.Fuzz(func(t *testing.T, s string) {
		var o any
		if json.Unmarshal([]byte(s), &o) != nil {
			return
		}
		_ = jirafake.Document(o) // it answers, whatever it is
	})
}
