package slackfake

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Plain is a message as lines of text, as a person reads it: buttons as [Label], links as
// their words, dates in UTC. Mentions stay what they are, <@U0001>.
func Plain(m Message) string { return plainMessage(m, nil) }

// Plain is a view as lines of text, with its inputs as (label: what is in it).
func (v View) Plain() string {
	lines := []string{"== " + v.Title() + " =="}
	lines = append(lines, plainBlocks(v.Blocks(), nil)...)
	if s := textOf(v.Object["submit"]); s != "" {
		lines = append(lines, "["+s+"]")
	}
	return strings.Join(lines, "\n")
}

// Plain is Plain with people by name.
func (w *Workspace) Plain(m Message) string { return plainMessage(m, w.names()) }

// names returns what @ and # stand for: names by ID.
func (w *Workspace) names() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := map[string]string{}
	for id, u := range w.users {
		names[id] = u.Name
	}
	for id, c := range w.channels {
		names[id] = c.Name
	}
	for id, g := range w.groups {
		names[id] = g.Handle
	}
	return names
}

// plainMessage shows the text only where there are no blocks, as clients do.
func plainMessage(m Message, names map[string]string) string {
	var lines []string
	if len(m.Blocks) == 0 && m.Text != "" {
		lines = append(lines, plainText(m.Text, names))
	}
	lines = append(lines, plainBlocks(m.Blocks, names)...)
	for _, a := range m.Attachments {
		for _, name := range []string{"pretext", "title", "text"} {
			if s, _ := a[name].(string); s != "" {
				lines = append(lines, plainText(s, names))
			}
		}
		lines = append(lines, plainBlocks(blocksOf(a), names)...)
	}
	return strings.Join(lines, "\n")
}

func plainBlocks(blocks []Object, names map[string]string) []string {
	var lines []string
	say := func(s string) {
		if s != "" {
			lines = append(lines, s)
		}
	}
	for _, b := range blocks {
		switch b["type"] {
		case "header":
			say(textOf(b["text"]))
		case "section":
			say(plainObject(b["text"], names))
			for _, f := range objects(b["fields"]) {
				say(plainObject(f, names))
			}
			if e, _ := b["accessory"].(Object); e != nil {
				say(plainElement(e))
			}
		case "context":
			var parts []string
			for _, e := range objects(b["elements"]) {
				if e["type"] == "image" {
					parts = append(parts, fmt.Sprint(e["alt_text"]))
				} else {
					parts = append(parts, plainObject(e, names))
				}
			}
			say(strings.Join(parts, " "))
		case "actions":
			var parts []string
			for _, e := range objects(b["elements"]) {
				parts = append(parts, plainElement(e))
			}
			say(strings.Join(parts, " "))
		case "input":
			e, _ := b["element"].(Object)
			say("(" + textOf(b["label"]) + ": " + plainElement(e) + ")")
			say(textOf(b["hint"]))
		case "divider":
			say("----")
		case "image":
			say(fmt.Sprint(b["alt_text"]))
		case "markdown":
			s, _ := b["text"].(string)
			say(s)
		case "rich_text":
			say(plainRich(b["elements"], names))
		}
	}
	return lines
}

func plainRich(v any, names map[string]string) string {
	var b strings.Builder
	for _, e := range objects(v) {
		switch {
		case e["type"] == "user":
			b.WriteString(plainText(fmt.Sprintf("<@%v>", e["user_id"]), names))
		case e["elements"] != nil:
			b.WriteString(plainRich(e["elements"], names))
		default:
			s, _ := e["text"].(string)
			b.WriteString(s)
		}
	}
	return b.String()
}

func plainElement(e Object) string {
	switch e["type"] {
	case "button":
		return "[" + textOf(e["text"]) + "]"
	case "image":
		return fmt.Sprint(e["alt_text"])
	case "static_select", "multi_static_select", "radio_buttons", "checkboxes", "overflow":
		var parts []string
		for _, o := range objects(e["options"]) {
			parts = append(parts, textOf(o["text"]))
		}
		return "<" + strings.Join(parts, " | ") + ">"
	}
	s, _ := e["initial_value"].(string)
	if s == "" {
		s = textOf(e["placeholder"])
	}
	return "<" + s + ">"
}

func plainObject(v any, names map[string]string) string {
	o, _ := v.(Object)
	if o["type"] == "plain_text" {
		return textOf(o)
	}
	return plainText(textOf(o), names)
}

// special is what stands between angle brackets in Slack's markup
// (docs.slack.dev/messaging/formatting-message-text).
var special = regexp.MustCompile(`<([^<>]+)>`)

func plainText(s string, names map[string]string) string {
	s = special.ReplaceAllStringFunc(s, func(tag string) string {
		p := readTag(tag[1 : len(tag)-1])
		switch p.kind {
		case "user", "channel", "group":
			name, found := names[p.id]
			if !found {
				return "\x00" + tag[1:len(tag)-1] + "\x01"
			}
			if p.kind == "channel" {
				return "#" + name
			}
			return "@" + name
		case "date":
			return formatDate(p, time.UTC)
		case "all":
			return "\x00!" + p.id + "\x01"
		}
		return p.label
	})
	s = unescaper.Replace(s)
	return strings.NewReplacer("\x00", "<", "\x01", ">").Replace(s)
}

// tag is a piece of markup.
type tag struct {
	kind  string // user, channel, group, date, all, link
	id    string // or the address, or the keyword
	unix  int64
	form  string
	label string
}

func readTag(s string) tag {
	body, label, _ := strings.Cut(s, "|")
	switch {
	case strings.HasPrefix(body, "@"):
		return tag{kind: "user", id: body[1:], label: label}
	case strings.HasPrefix(body, "#"):
		return tag{kind: "channel", id: body[1:], label: label}
	case strings.HasPrefix(body, "!subteam^"):
		return tag{kind: "group", id: strings.TrimPrefix(body, "!subteam^"), label: label}
	case strings.HasPrefix(body, "!date^"):
		parts := strings.SplitN(strings.TrimPrefix(body, "!date^"), "^", 3)
		t := tag{kind: "date", label: label}
		if _, err := fmt.Sscan(parts[0], &t.unix); err == nil && len(parts) > 1 {
			t.form = parts[1]
		}
		return t
	case strings.HasPrefix(body, "!"):
		return tag{kind: "all", id: body[1:], label: label}
	}
	if label == "" {
		label = body
	}
	return tag{kind: "link", id: body, label: label}
}

// formatDate shows a date as a client in a zone does, or the fallback if it cannot.
func formatDate(t tag, in *time.Location) string {
	if t.form == "" {
		return t.label
	}
	if t.form == "{_}" { // no format that clients know: they show the fallback
		return t.label
	}
	at := time.Unix(t.unix, 0).In(in)
	return strings.NewReplacer(
		"{date_num}", at.Format("2006-01-02"), "{date_short_pretty}", at.Format("Jan 2, 2006"), "{date_short}", at.Format("Jan 2, 2006"),
		"{date_long_pretty}", at.Format("Monday, January 2, 2006"), "{date_long}", at.Format("Monday, January 2, 2006"),
		"{date_pretty}", at.Format("January 2, 2006"), "{date}", at.Format("January 2, 2006"),
		"{time_secs}", at.Format("15:04:05"), "{time}", at.Format("15:04"), "{ago}", "some time ago",
	).Replace(t.form)
}
