package blocks_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var preview = flag.String("preview", "", "folder to write pages to that show the cards about as Slack does")

// TestPreview draws the golden cards and views as pages, to be looked at: it needs
//
//	go test ./integrations/slack/blocks -run TestPreview -preview DIR
func TestPreview(t *testing.T) {
	dir := cmp.Or(*preview, t.TempDir())
	write := func(name string, data []byte) {
		page, err := drawPage(name, data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".html"), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cards)) {
		write(name, encodeCard(t, cards[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(views)) {
		write(name, encode(t, views[name]))
	}
}

const style = `
body{margin:0;padding:12px;background:#fff;color:#1d1c1d;font:15px/22px Lato,sans-serif}
.msg{display:flex;gap:8px}.who{flex:none;width:36px;height:36px;border-radius:4px;background:#4a154b;color:#fff;text-align:center;line-height:36px;font-weight:900}
.body{min-width:0;flex:1}.name{font-weight:900}.block{margin:8px 0;overflow-wrap:anywhere}h1{font:900 18px/24px Lato;margin:8px 0}
.fields{display:grid;grid-template-columns:1fr 1fr;gap:0 16px}@media(max-width:500px){.fields{grid-template-columns:1fr}}
.context{font-size:12px;line-height:18px;color:#616061}
pre{margin:4px 0;padding:8px;border:1px solid #ddd;border-radius:4px;background:#f8f8f8;font:12px/18px monospace;white-space:pre-wrap;overflow-wrap:anywhere}
.user{color:#1264a3;background:#1d9bd11a;border-radius:3px;padding:0 2px}.date{background:#0001}
button{font:700 13px Lato;height:28px;padding:0 12px;margin:0 8px 6px 0;border:1px solid #bbb;border-radius:4px;background:#fff}
.primary{background:#007a5a;color:#fff;border:0}.danger{background:#e01e5a;color:#fff;border:0}
.modal{border:1px solid #ddd;border-radius:8px;padding:12px;max-width:520px}.modal>h1{font-size:20px}
.input{border:1px solid #888;border-radius:4px;padding:6px 10px;color:#888;margin:4px 0}.label{font-weight:900}.hint{font-size:13px;color:#616061}`

// drawPage is a message or a view as a page.
func drawPage(name string, data []byte) (string, error) {
	var o object
	if err := json.Unmarshal(data, &o); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'><title>%s</title><style>%s</style>", name, style)
	if o["type"] == "modal" {
		fmt.Fprintf(&b, "<div class=modal><h1>%s</h1>", drawText(o["title"]))
	} else {
		b.WriteString("<div class=msg><div class=who>M</div><div class=body><div class=name>Muster</div>")
	}
	for _, block := range list(o["blocks"]) {
		drawBlock(&b, block)
	}
	if o["type"] == "modal" {
		fmt.Fprintf(&b, "<div style='text-align:right'><button>%s</button>", drawText(o["close"]))
		if o["submit"] != nil {
			fmt.Fprintf(&b, "<button class=primary>%s</button>", drawText(o["submit"]))
		}
	}
	return b.String(), nil
}

func drawBlock(b *strings.Builder, block object) {
	switch block["type"] {
	case "header":
		fmt.Fprintf(b, "<h1>%s</h1>", drawText(block["text"]))
	case "section":
		fmt.Fprintf(b, "<div class=block>%s", drawText(block["text"]))
		if fields := list(block["fields"]); len(fields) > 0 {
			b.WriteString("<div class=fields>")
			for _, f := range fields {
				fmt.Fprintf(b, "<div>%s</div>", drawText(f))
			}
			b.WriteString("</div>")
		}
		b.WriteString("</div>")
	case "context":
		b.WriteString("<div class='block context'>")
		for _, e := range list(block["elements"]) {
			b.WriteString(drawText(e))
		}
		b.WriteString("</div>")
	case "actions":
		b.WriteString("<div class=block>")
		for _, e := range list(block["elements"]) {
			fmt.Fprintf(b, "<button class='%s'>%s</button>", str(e["style"]), drawText(e["text"]))
		}
		b.WriteString("</div>")
	case "input":
		e, _ := block["element"].(object)
		optional := ""
		if block["optional"] == true {
			optional = " (optional)"
		}
		fmt.Fprintf(b, "<div class=block><div class=label>%s%s</div><div class=input>%s&nbsp;</div><div class=hint>%s</div></div>",
			drawText(block["label"]), optional, drawText(e["placeholder"]), drawText(block["hint"]))
	}
}

var (
	userTag = regexp.MustCompile(`<@(\w+)>`)
	dateTag = regexp.MustCompile(`<!date\^(\d+)\^([^|]+)\|([^>]*)>`)
	boldTag = regexp.MustCompile(`(?m)(^|\s)\*(\S[^*\n]*?)\*`)
	codeTag = regexp.MustCompile("(?s)```\n?(.*?)\n?```\n?")
)

// drawText is a text object as HTML. What Slack keeps as entities is HTML already.
func drawText(v any) string {
	o, _ := v.(object)
	s := str(o["text"])
	if o["type"] == "plain_text" {
		return html.EscapeString(s)
	}
	var kept []string // drawn already
	keep := func(markup string) string {
		kept = append(kept, markup)
		return fmt.Sprintf("\x00%d\x00", len(kept)-1)
	}
	s = codeTag.ReplaceAllStringFunc(s, func(m string) string { return keep("<pre>" + codeTag.FindStringSubmatch(m)[1] + "</pre>") })
	s = userTag.ReplaceAllStringFunc(s, func(m string) string {
		return keep("<span class=user>@" + userTag.FindStringSubmatch(m)[1] + "</span>")
	})
	s = dateTag.ReplaceAllStringFunc(s, func(m string) string {
		part := dateTag.FindStringSubmatch(m)
		sec, _ := strconv.ParseInt(part[1], 10, 64)
		if sec == 0 {
			return keep(part[3])
		}
		at := time.Unix(sec, 0).UTC()
		return keep(strings.NewReplacer("{time}", at.Format("15:04"), "{time_secs}", at.Format("15:04:05"), "{date_short}", at.Format("Jan 2, 2006")).Replace(part[2]))
	})
	s = boldTag.ReplaceAllString(s, "$1<b>$2</b>")
	s = strings.ReplaceAll(s, "\n", "<br>")
	for i := len(kept) - 1; i >= 0; i-- {
		s = strings.ReplaceAll(s, fmt.Sprintf("\x00%d\x00", i), kept[i])
	}
	return s
}
