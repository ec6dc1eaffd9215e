package slackfake

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// HTML is a message roughly as Slack shows it, people by name and dates in UTC. What
// people and apps wrote is escaped.
func (w *Workspace) HTML(m Message) string {
	p := &painter{names: w.names()}
	p.message(m)
	return p.b.String()
}

// painter writes HTML.
type painter struct {
	b     strings.Builder
	names map[string]string
}

func (p *painter) tag(name, class, inner string) {
	fmt.Fprintf(&p.b, `<%s class="%s">%s</%s>`, name, class, inner, name)
}

func (p *painter) message(m Message) {
	class := "message"
	if m.EphemeralTo != "" {
		class += " ephemeral"
	}
	if m.ThreadTS != "" && m.ThreadTS != m.TS {
		class += " reply"
	}
	fmt.Fprintf(&p.b, `<article class="%s"><p class="who">`, class)
	if m.EphemeralTo != "" {
		fmt.Fprintf(&p.b, `<i>Only visible to %s</i><br>`, html.EscapeString(p.name(m.EphemeralTo)))
	}
	fmt.Fprintf(&p.b, `<b>%s</b>`, html.EscapeString(p.name(m.User)))
	if m.Bot {
		p.b.WriteString(` <span class="app">APP</span>`)
	}
	fmt.Fprintf(&p.b, ` <time>%s</time>`, time.UnixMicro(micros(m.TS)).UTC().Format("15:04"))
	if m.Edited != "" && !m.Deleted {
		p.b.WriteString(` <time>(edited)</time>`)
	}
	p.b.WriteString(`</p>`)
	if len(m.Blocks) == 0 && m.Text != "" {
		p.tag("div", "text", p.mrkdwn(m.Text))
	}
	p.blocks(m.Blocks)
	for _, a := range m.Attachments {
		color, _ := a["color"].(string)
		if !hexColor.MatchString(color) {
			color = "#ddd"
		}
		if color[0] != '#' {
			color = "#" + color
		}
		fmt.Fprintf(&p.b, `<div class="attachment" style="border-color:%s">`, color)
		for _, name := range []string{"pretext", "title", "text"} {
			if s, _ := a[name].(string); s != "" {
				p.tag("div", "text", p.mrkdwn(s))
			}
		}
		p.blocks(blocksOf(a))
		p.b.WriteString(`</div>`)
	}
	if m.ReplyCount > 0 {
		p.tag("p", "replies", strconv.Itoa(m.ReplyCount)+" replies")
	}
	p.b.WriteString(`</article>`)
}

var hexColor = regexp.MustCompile(`^#?[0-9a-fA-F]{6}$`)

func (p *painter) name(id string) string {
	if n := p.names[id]; n != "" {
		return n
	}
	return id
}

func (p *painter) blocks(blocks []Object) {
	for _, b := range blocks {
		switch b["type"] {
		case "header":
			p.tag("h2", "header", emoji(html.EscapeString(textOf(b["text"]))))
		case "divider":
			p.b.WriteString("<hr>")
		case "section":
			p.section(b)
		case "context":
			p.b.WriteString(`<div class="context">`)
			for _, e := range objects(b["elements"]) {
				if e["type"] == "image" {
					p.tag("span", "", html.EscapeString(fmt.Sprint(e["alt_text"])))
				} else {
					p.tag("span", "", p.object(e))
				}
			}
			p.b.WriteString(`</div>`)
		case "actions":
			p.b.WriteString(`<div class="actions">`)
			for _, e := range objects(b["elements"]) {
				p.element(e)
			}
			p.b.WriteString(`</div>`)
		case "input":
			p.tag("label", "", html.EscapeString(textOf(b["label"])))
			if e, _ := b["element"].(Object); e != nil {
				p.element(e)
			}
			if hint := textOf(b["hint"]); hint != "" {
				p.tag("div", "context", html.EscapeString(hint))
			}
		case "image":
			p.tag("div", "context", html.EscapeString(fmt.Sprint(b["alt_text"])))
		case "markdown":
			s, _ := b["text"].(string)
			p.tag("pre", "", html.EscapeString(s))
		case "rich_text":
			p.tag("div", "text", html.EscapeString(plainRich(b["elements"], p.names)))
		}
	}
}

func (p *painter) section(b Object) {
	p.b.WriteString(`<div class="section">`)
	if b["text"] != nil {
		p.tag("div", "text", p.object(b["text"]))
	}
	if fields := objects(b["fields"]); len(fields) > 0 {
		p.b.WriteString(`<div class="fields">`)
		for _, f := range fields {
			p.tag("div", "text", p.object(f))
		}
		p.b.WriteString(`</div>`)
	}
	if e, _ := b["accessory"].(Object); e != nil {
		p.element(e)
	}
	p.b.WriteString(`</div>`)
}

func (p *painter) element(e Object) {
	switch e["type"] {
	case "button":
		style, _ := e["style"].(string)
		title := ""
		if c, _ := e["confirm"].(Object); c != nil {
			title = "Asks first: " + textOf(c["text"])
		}
		fmt.Fprintf(&p.b, `<button class="%s" title="%s">%s</button>`, html.EscapeString(style), html.EscapeString(title), emoji(html.EscapeString(textOf(e["text"]))))
	case "image":
		p.tag("span", "", html.EscapeString(fmt.Sprint(e["alt_text"])))
	default:
		p.tag("div", "field", html.EscapeString(strings.Trim(plainElement(e), "<>")))
	}
}

func (p *painter) object(v any) string {
	o, _ := v.(Object)
	if o["type"] == "plain_text" {
		return emoji(strings.ReplaceAll(html.EscapeString(textOf(o)), "\n", "<br>"))
	}
	return p.mrkdwn(textOf(o))
}

// mrkdwn turns Slack's markup into HTML (docs.slack.dev/messaging/formatting-message-text).
func (p *painter) mrkdwn(s string) string {
	var b strings.Builder
	fences := strings.Split(s, "```")
	for i, part := range fences {
		if i%2 == 1 && i < len(fences)-1 {
			b.WriteString("<pre>" + html.EscapeString(plainText(strings.Trim(part, "\n"), p.names)) + "</pre>")
			continue
		}
		if i%2 == 1 {
			part = "```" + part
		}
		b.WriteString(p.inline(part))
	}
	return b.String()
}

var (
	code   = regexp.MustCompile("`([^`\n]+)`")
	styles = []struct {
		mark *regexp.Regexp
		name string
	}{
		{regexp.MustCompile(`(^|[\s(\[>])\*([^*\n]+)\*`), "b"},
		{regexp.MustCompile(`(^|[\s(\[>])_([^_\n]+)_`), "i"},
		{regexp.MustCompile(`(^|[\s(\[>])~([^~\n]+)~`), "s"},
	}
	quote  = regexp.MustCompile(`(?m)^&gt; ?(.*)$\n?`)
	kept   = regexp.MustCompile("\x00(\\d+)\x01")
	colons = regexp.MustCompile(`:[a-z0-9_+-]+:`)
)

// inline keeps what is finished HTML aside while the rest is styled.
func (p *painter) inline(s string) string {
	var done []string
	keep := func(h string) string {
		done = append(done, h)
		return fmt.Sprintf("\x00%d\x01", len(done)-1)
	}
	s = strings.NewReplacer("\x00", "", "\x01", "").Replace(s)
	s = code.ReplaceAllStringFunc(s, func(c string) string {
		return keep("<code>" + html.EscapeString(plainText(strings.Trim(c, "`"), p.names)) + "</code>")
	})
	s = special.ReplaceAllStringFunc(s, func(tag string) string { return keep(p.special(readTag(tag[1 : len(tag)-1]))) })
	s = html.EscapeString(unescaper.Replace(s))
	for _, style := range styles {
		s = style.mark.ReplaceAllString(s, "$1<"+style.name+">$2</"+style.name+">")
	}
	s = quote.ReplaceAllString(s, "<blockquote>$1</blockquote>")
	s = emoji(strings.ReplaceAll(s, "\n", "<br>"))
	// Code may stand inside a link's words, but not the other way round, so twice is enough.
	for range 2 {
		s = kept.ReplaceAllStringFunc(s, func(k string) string {
			n, _ := strconv.Atoi(strings.Trim(k, "\x00\x01"))
			return done[n]
		})
	}
	return s
}

func (p *painter) special(t tag) string {
	switch t.kind {
	case "user", "group":
		return `<span class="mention">@` + html.EscapeString(p.name(t.id)) + `</span>`
	case "channel":
		return `<span class="mention">#` + html.EscapeString(p.name(t.id)) + `</span>`
	case "all":
		return `<span class="all">@` + html.EscapeString(t.id) + `</span>`
	case "date":
		return `<time>` + html.EscapeString(formatDate(t, time.UTC)) + `</time>`
	}
	label := html.EscapeString(unescaper.Replace(t.label))
	address := unescaper.Replace(t.id)
	if !strings.HasPrefix(address, "http://") && !strings.HasPrefix(address, "https://") && !strings.HasPrefix(address, "mailto:") {
		return label
	}
	return `<a rel="noreferrer" href="` + html.EscapeString(address) + `">` + label + `</a>`
}

// emoji draws those that release messages are likely to have; others stay words.
func emoji(s string) string {
	return colons.ReplaceAllStringFunc(s, func(name string) string {
		if drawn, found := drawings[name[1:len(name)-1]]; found {
			return drawn
		}
		return name
	})
}

var drawings = map[string]string{
	"white_check_mark": "✅", "heavy_check_mark": "✔️", "x": "❌", "warning": "⚠️", "rocket": "🚀", "hourglass": "⌛",
	"hourglass_flowing_sand": "⏳", "large_green_circle": "🟢", "large_yellow_circle": "🟡", "large_blue_circle": "🔵",
	"red_circle": "🔴", "white_circle": "⚪", "black_circle": "⚫", "large_orange_circle": "🟠", "no_entry": "⛔", "question": "❓",
	"arrows_counterclockwise": "🔄", "leftwards_arrow_with_hook": "↩️", "double_vertical_bar": "⏸️", "stop_button": "⏹️",
	"lock": "🔒", "bell": "🔔", "raised_hand": "✋", "fast_forward": "⏩", "rewind": "⏪", "heavy_minus_sign": "➖",
}

const style = `body{margin:0 auto;max-width:420px;font:15px/1.45 Lato,system-ui,sans-serif;color:#1d1c1d;background:#fff}
h1{font-size:17px;margin:0;padding:10px 14px;border-bottom:1px solid #ddd;position:sticky;top:0;background:#fff}
article{padding:6px 14px;overflow-wrap:anywhere}.reply{margin-left:24px;border-left:2px solid #ddd}.who{margin:0}
time,.replies{color:#616061;font-size:12px}.text time{font-size:inherit;color:inherit}.replies{color:#1264a3;margin:4px 0}
.app{font-size:10px;background:#ddd;border-radius:2px;padding:1px 3px}.ephemeral{background:#f8f8f8}
.ephemeral i{font-size:12px;color:#616061}.header{font-size:18px;margin:6px 0}.section{margin:6px 0}
.context{color:#616061;font-size:13px;margin:4px 0}.context span{margin-right:6px}
.fields{display:grid;grid-template-columns:1fr 1fr;gap:6px}.actions{display:flex;flex-wrap:wrap;gap:8px;margin:6px 0}
button{font:inherit;font-weight:700;font-size:13px;border:1px solid #bbb;border-radius:4px;background:#fff;color:#1d1c1d;padding:5px 12px;max-width:100%;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
button.primary{background:#007a5a;border-color:#007a5a;color:#fff}button.danger{background:#e01e5a;border-color:#e01e5a;color:#fff}
pre,code{font:12px/1.5 Menlo,monospace;background:#f8f8f8;border:1px solid #ddd;border-radius:3px}pre{padding:8px;white-space:pre-wrap;margin:4px 0}
code{color:#c01343;padding:1px 3px}blockquote{margin:2px 0;padding-left:10px;border-left:4px solid #ddd}
.mention{color:#1264a3;background:#e8f5fa;border-radius:3px;padding:0 2px}.all{background:#f2c744;border-radius:3px;padding:0 2px}
.attachment{border-left:4px solid;padding-left:10px;margin:6px 0}hr{border:0;border-top:1px solid #ddd;margin:8px 0}
.modal{margin:14px;border:1px solid #bbb;border-radius:8px;box-shadow:0 4px 12px #0003;padding:0 14px 12px}.modal h2{font-size:18px}
label{display:block;font-weight:700;margin-top:10px}.field{border:1px solid #868686;border-radius:4px;padding:6px 10px;color:#616061;margin:4px 0}
footer{display:flex;justify-content:flex-end;gap:8px;margin-top:12px}`

// servePage shows channels, what only some see, and modals, on the width of a phone.
func (w *Workspace) servePage(rw http.ResponseWriter, _ *http.Request) {
	p := &painter{names: w.names()}
	fmt.Fprintf(&p.b, `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">`+
		`<meta http-equiv="refresh" content="3"><title>%s</title><style>%s</style></head><body>`, TeamDomain, style)
	var hidden []Message
	for _, u := range w.Users() {
		hidden = append(hidden, w.Ephemerals(u.ID)...)
	}
	for _, c := range w.Channels() {
		name := "#" + c.Name
		if c.IM != "" {
			name = p.name(BotUser) + " and " + p.name(c.IM)
		}
		fmt.Fprintf(&p.b, `<section id="%s"><h1>%s</h1>`, html.EscapeString(c.ID), html.EscapeString(name))
		for _, m := range conversation(w.Messages(c.ID), hidden, c.ID) {
			p.message(m)
		}
		p.b.WriteString(`</section>`)
	}
	for _, u := range w.Users() {
		for _, v := range w.Views(u.ID) {
			p.view(v)
		}
	}
	p.b.WriteString(`</body></html>`)
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = rw.Write([]byte(p.b.String()))
}

// conversation puts replies below their roots.
func conversation(all, hidden []Message, channel string) []Message {
	var rest []Message
	for _, m := range hidden {
		if m.Channel == channel {
			rest = append(rest, m)
		}
	}
	var out []Message
	below := func(root string) {
		for _, list := range [][]Message{all, rest} {
			for _, m := range list {
				if m.ThreadTS == root && m.TS != root {
					out = append(out, m)
				}
			}
		}
	}
	for _, m := range all {
		if m.ThreadTS == "" || m.ThreadTS == m.TS {
			out = append(out, m)
			below(m.TS)
		}
	}
	for _, m := range rest {
		if m.ThreadTS == "" {
			out = append(out, m)
		}
	}
	return out
}

func (p *painter) view(v View) {
	fmt.Fprintf(&p.b, `<section class="modal" id="%s"><h2>%s</h2><p class="context">open for %s</p>`,
		html.EscapeString(v.ID), html.EscapeString(v.Title()), html.EscapeString(p.name(v.User)))
	p.blocks(v.Blocks())
	p.b.WriteString(`<footer>`)
	closing := textOf(v.Object["close"])
	if closing == "" {
		closing = "Cancel"
	}
	p.tag("button", "", html.EscapeString(closing))
	if s := textOf(v.Object["submit"]); s != "" {
		p.tag("button", "primary", html.EscapeString(s))
	}
	p.b.WriteString(`</footer></section>`)
}
