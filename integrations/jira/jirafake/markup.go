package jirafake

import (
	"fmt"
	"strings"
)

// rich writes a rich text for a view: webhooks and /rest/api/2 have markup, /rest/api/3 has
// documents.
func (v view) rich(value any) any {
	if doc, is := value.(Object); is && v.hook {
		return markup(doc)
	}
	return value
}

// plain is a rich text as a string: markup, on both flavors.
func plain(value any) string {
	switch v := value.(type) {
	case Object:
		return markup(v)
	case string:
		return v
	}
	return ""
}

// markup writes a document as wiki markup, roughly as Jira Cloud does for /rest/api/2 and
// webhooks.
func markup(doc Object) string {
	var b strings.Builder
	for _, one := range children(doc) {
		block(&b, one, "")
	}
	return strings.TrimRight(b.String(), "\n")
}

func children(o Object) []Object {
	var all []Object
	content, _ := o["content"].([]any)
	for _, one := range content {
		if c, is := one.(Object); is {
			all = append(all, c)
		}
	}
	return all
}

func attr(o Object, name string) any {
	a, _ := o["attrs"].(Object)
	return a[name]
}

func block(b *strings.Builder, o Object, bullets string) {
	kind, _ := o["type"].(string)
	switch kind {
	case "paragraph":
		fmt.Fprintf(b, "%s\n\n", line(o))
	case "heading":
		fmt.Fprintf(b, "h%v. %s\n\n", attr(o, "level"), line(o))
	case "bulletList", "orderedList":
		mark := bullets + "*"
		if kind == "orderedList" {
			mark = bullets + "#"
		}
		for _, it := range children(o) {
			for n, part := range children(it) {
				switch t := part["type"]; {
				case t == "bulletList" || t == "orderedList":
					block(b, part, mark)
				case n == 0:
					fmt.Fprintf(b, "%s %s\n", mark, line(part))
				default:
					fmt.Fprintf(b, "%s\n", line(part))
				}
			}
		}
		if bullets == "" {
			b.WriteString("\n")
		}
	case "table":
		for _, row := range children(o) {
			end := "|"
			for _, c := range children(row) {
				if end = "|"; c["type"] == "tableHeader" {
					end = "||"
				}
				var inner strings.Builder
				for _, part := range children(c) {
					block(&inner, part, "")
				}
				b.WriteString(end + strings.TrimSpace(inner.String()))
			}
			b.WriteString(end + "\n")
		}
		b.WriteString("\n")
	case "codeBlock":
		language := ""
		if l, is := attr(o, "language").(string); is && l != "" {
			language = ":" + l
		}
		fmt.Fprintf(b, "{code%s}%s{code}\n\n", language, line(o))
	case "panel", "blockquote", "expand":
		open := "{panel}"
		if kind == "blockquote" {
			open = "{quote}"
		}
		b.WriteString(open + "\n")
		for _, part := range children(o) {
			block(b, part, "")
		}
		b.WriteString(open + "\n\n")
	case "rule":
		b.WriteString("----\n\n")
	}
}

func line(o Object) string {
	var b strings.Builder
	for _, c := range children(o) {
		switch c["type"] {
		case "text":
			s, _ := c["text"].(string)
			b.WriteString(marked(s, c))
		case "hardBreak":
			b.WriteString("\n")
		case "mention":
			fmt.Fprintf(&b, "[~accountid:%v]", attr(c, "id"))
		case "inlineCard":
			fmt.Fprintf(&b, "[%v|%v|smart-link]", attr(c, "url"), attr(c, "url"))
		case "emoji":
			fmt.Fprint(&b, attr(c, "shortName"))
		case "status":
			fmt.Fprintf(&b, "*[ %v ]*", attr(c, "text"))
		case "date":
			fmt.Fprint(&b, attr(c, "timestamp"))
		}
	}
	return b.String()
}

func marked(s string, o Object) string {
	marks, _ := o["marks"].([]any)
	for _, one := range marks {
		m, _ := one.(Object)
		switch m["type"] {
		case "strong":
			s = "*" + s + "*"
		case "em":
			s = "_" + s + "_"
		case "code":
			s = "{{" + s + "}}"
		case "strike":
			s = "-" + s + "-"
		case "underline":
			s = "+" + s + "+"
		case "link":
			a, _ := m["attrs"].(Object)
			s = fmt.Sprintf("[%s|%v]", s, a["href"])
		}
	}
	return s
}
