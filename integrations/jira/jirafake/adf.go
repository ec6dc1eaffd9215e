package jirafake

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxText is the longest text of a field or a comment, in characters, and by that of the
// JSON of a document (support.atlassian.com/jira-cloud-administration, field limits; the
// setting jira.text.field.character.limit of Data Center). How Cloud counts a document is
// not documented; counting its JSON is the stricter way.
const maxText = 32767

// checkRich says what is wrong with a rich text: a document on Cloud, a string on Data
// Center.
func (j *Jira) checkRich(value any) string {
	const tooLong = "The entered text is too long. It exceeds the allowed limit of 32,767 characters."
	if !j.cloud {
		s, is := value.(string)
		switch {
		case !is:
			return "Operation value must be a string"
		case utf8.RuneCountInString(s) > maxText:
			return tooLong
		case strings.TrimSpace(s) == "":
			return "Comment body can not be empty!"
		}
		return ""
	}
	doc, is := value.(Object)
	if !is {
		return "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
	}
	if err := checkDocument(doc); err != nil {
		return "INVALID_INPUT"
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return "INVALID_INPUT"
	}
	if utf8.RuneCount(raw) > maxText {
		return "CONTENT_LIMIT_EXCEEDED"
	}
	return ""
}

// Document says what is wrong with a document in the Atlassian Document Format, by the node
// types that the fake knows (developer.atlassian.com/cloud/jira/platform/apis/document/structure).
func Document(doc any) error {
	o, is := doc.(Object)
	if !is {
		return fmt.Errorf("jirafake: document: not an object")
	}
	return checkDocument(o)
}

var (
	blocks = []string{"paragraph", "heading", "bulletList", "orderedList", "table", "codeBlock", "panel", "rule", "blockquote", "expand", "mediaSingle", "mediaGroup", "taskList", "decisionList"}
	inline = []string{"text", "hardBreak", "mention", "inlineCard", "emoji", "status", "date"}
	inItem = []string{"paragraph", "bulletList", "orderedList", "codeBlock", "mediaSingle"}
	inCell = []string{"paragraph", "heading", "bulletList", "orderedList", "codeBlock", "panel", "rule", "blockquote", "mediaSingle", "mediaGroup", "taskList", "decisionList", "nestedExpand"}
)

// node says what a node may hold and what its attributes are.
type node struct {
	holds []string
	some  bool // it must hold something
	attrs map[string]func(any) bool
	needs []string // attributes that it must have
}

func text(v any) bool    { s, is := v.(string); return is && s != "" }
func anyText(v any) bool { _, is := v.(string); return is }
func flag(v any) bool    { _, is := v.(bool); return is }
func list(v any) bool    { _, is := v.([]any); return is }
func one(of ...string) func(any) bool {
	return func(v any) bool { s, is := v.(string); return is && slices.Contains(of, s) }
}
func whole(low, high float64) func(any) bool {
	return func(v any) bool { n, is := v.(float64); return is && n == float64(int(n)) && n >= low && n <= high }
}

type attrs = map[string]func(any) bool

func nodes() map[string]node {
	cell := node{holds: inCell, some: true, attrs: attrs{"background": anyText, "colspan": whole(1, 1000), "rowspan": whole(1, 1000), "colwidth": list, "localId": anyText}}
	return map[string]node{
		"doc":         {holds: blocks},
		"paragraph":   {holds: inline, attrs: attrs{"localId": anyText}},
		"heading":     {holds: inline, attrs: attrs{"level": whole(1, 6), "localId": anyText}, needs: []string{"level"}},
		"bulletList":  {holds: []string{"listItem"}, some: true, attrs: attrs{"localId": anyText}},
		"orderedList": {holds: []string{"listItem"}, some: true, attrs: attrs{"order": whole(0, 1e9), "localId": anyText}},
		"listItem":    {holds: inItem, some: true, attrs: attrs{"localId": anyText}},
		"table": {holds: []string{"tableRow"}, some: true, attrs: attrs{
			"isNumberColumnEnabled": flag, "layout": one("default", "wide", "full-width", "center", "align-start", "align-end"), "width": whole(0, 1e5), "localId": anyText, "displayMode": one("default", "fixed"),
		}},
		"tableRow":    {holds: []string{"tableCell", "tableHeader"}, some: true, attrs: attrs{"localId": anyText}},
		"tableCell":   cell,
		"tableHeader": cell,
		"codeBlock":   {holds: []string{"text"}, attrs: attrs{"language": anyText, "uniqueId": anyText, "localId": anyText}},
		"panel": {holds: []string{"paragraph", "heading", "bulletList", "orderedList", "codeBlock", "rule", "taskList"}, some: true,
			attrs: attrs{"panelType": one("info", "note", "warning", "success", "error", "tip", "custom"), "localId": anyText, "panelIcon": anyText, "panelColor": anyText}, needs: []string{"panelType"}},
		"rule":       {attrs: attrs{"localId": anyText}},
		"blockquote": {holds: []string{"paragraph", "bulletList", "orderedList", "codeBlock"}, some: true, attrs: attrs{"localId": anyText}},
		"expand":     {holds: inCell, some: true, attrs: attrs{"title": anyText, "localId": anyText}},
		"hardBreak":  {attrs: attrs{"text": one("\n"), "localId": anyText}},
		"mention": {attrs: attrs{
			"id": text, "text": anyText, "accessLevel": anyText, "userType": one("DEFAULT", "SPECIAL", "APP"), "localId": anyText,
		}, needs: []string{"id"}},
		"inlineCard": {attrs: attrs{"url": text, "data": func(v any) bool { _, is := v.(Object); return is }, "localId": anyText}},
		"emoji":      {attrs: attrs{"shortName": text, "id": anyText, "text": anyText, "localId": anyText}, needs: []string{"shortName"}},
		"status":     {attrs: attrs{"text": text, "color": one("neutral", "purple", "blue", "red", "yellow", "green"), "localId": anyText, "style": anyText}, needs: []string{"text", "color"}},
		"date":       {attrs: attrs{"timestamp": text, "localId": anyText}, needs: []string{"timestamp"}},
	}
}

func checkDocument(doc Object) error {
	if doc["type"] != "doc" || doc["version"] != float64(1) {
		return fmt.Errorf("jirafake: document: it must be of type doc and version 1")
	}
	if _, is := doc["content"].([]any); !is {
		return fmt.Errorf("jirafake: document: it has no content")
	}
	if err := checkNode(doc, nodes(), "doc"); err != nil {
		return fmt.Errorf("jirafake: document: %w", err)
	}
	return nil
}

func checkNode(o Object, known map[string]node, where string) error {
	name, _ := o["type"].(string)
	if name == "text" {
		return checkLeaf(o, where)
	}
	n, is := known[name]
	if !is {
		return fmt.Errorf("%s: a node of type %q is not known", where, name)
	}
	for key := range o {
		if !slices.Contains([]string{"type", "content", "attrs", "marks"}, key) && (name != "doc" || key != "version") {
			return fmt.Errorf("%s: a node has no %q", where, key)
		}
	}
	if err := checkAttrs(o["attrs"], n, where); err != nil {
		return err
	}
	if name == "inlineCard" {
		a, _ := o["attrs"].(Object)
		if (a["url"] == nil) == (a["data"] == nil) {
			return fmt.Errorf("%s: an inlineCard has either a url or data", where)
		}
	}
	content, is := o["content"].([]any)
	switch {
	case !is && o["content"] != nil:
		return fmt.Errorf("%s: content is not a list", where)
	case len(content) == 0 && n.some:
		return fmt.Errorf("%s: is empty", where)
	case len(content) > 0 && n.holds == nil:
		return fmt.Errorf("%s: holds nothing", where)
	}
	for at, one := range content {
		child, _ := one.(Object)
		kind, _ := child["type"].(string)
		if !slices.Contains(n.holds, kind) {
			return fmt.Errorf("%s: may not hold %q", where, kind)
		}
		if name == "codeBlock" && child["marks"] != nil {
			return fmt.Errorf("%s: text in a codeBlock has no marks", where)
		}
		if name == "listItem" && at == 0 && kind != "paragraph" && kind != "codeBlock" && kind != "mediaSingle" {
			return fmt.Errorf("%s: begins with a list", where)
		}
		if err := checkNode(child, known, where+"/"+kind); err != nil {
			return err
		}
	}
	return nil
}

func checkAttrs(value any, n node, where string) error {
	given, is := value.(Object)
	if value != nil && !is {
		return fmt.Errorf("%s: attrs is not an object", where)
	}
	for name, v := range given {
		fits, known := n.attrs[name]
		if !known || !fits(v) {
			return fmt.Errorf("%s: attribute %q may not be %v", where, name, v)
		}
	}
	for _, name := range n.needs {
		if given[name] == nil {
			return fmt.Errorf("%s: attribute %q is missing", where, name)
		}
	}
	return nil
}

func checkLeaf(o Object, where string) error {
	if !text(o["text"]) {
		return fmt.Errorf("%s: text is empty", where)
	}
	for key := range o {
		if !slices.Contains([]string{"type", "text", "marks"}, key) {
			return fmt.Errorf("%s: text has no %q", where, key)
		}
	}
	marks, is := o["marks"].([]any)
	if !is && o["marks"] != nil {
		return fmt.Errorf("%s: marks is not a list", where)
	}
	seen := map[string]bool{}
	for _, one := range marks {
		m, _ := one.(Object)
		name, _ := m["type"].(string)
		a, _ := m["attrs"].(Object)
		switch {
		case seen[name]:
			return fmt.Errorf("%s: mark %q comes twice", where, name)
		case !slices.Contains([]string{"strong", "em", "code", "strike", "underline", "link", "textColor", "subsup", "backgroundColor"}, name):
			return fmt.Errorf("%s: mark %q is not known", where, name)
		case name == "link" && !text(a["href"]):
			return fmt.Errorf("%s: a link has no href", where)
		case name == "textColor" && !text(a["color"]), name == "subsup" && a["type"] != "sub" && a["type"] != "sup":
			return fmt.Errorf("%s: mark %q lacks an attribute", where, name)
		}
		seen[name] = true
	}
	if seen["code"] && (seen["strong"] || seen["em"] || seen["strike"] || seen["underline"] || seen["textColor"]) {
		return fmt.Errorf("%s: code goes with no mark but link", where)
	}
	return nil
}
