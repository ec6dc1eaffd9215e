package blocks_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/slack/blocks"
)

// checker holds JSON against what Slack documents (docs.slack.dev/reference/block-kit and
// below). It knows nothing of how the blocks were made.
type checker struct {
	broken []string
	total  int
	ids    map[string]bool
}

type object = map[string]any

func checkLimits(data []byte) []string {
	c := &checker{ids: make(map[string]bool)}
	var o object
	if err := json.Unmarshal(data, &o); err != nil {
		return []string{err.Error()}
	}
	most := 50
	if o["type"] == "modal" {
		most = 100
		c.plain("title", o["title"], 24)
		c.optional("close", o["close"], 24)
		c.optional("submit", o["submit"], 24)
		c.length("private_metadata", str(o["private_metadata"]), 0, 3000)
		c.length("callback_id", str(o["callback_id"]), 0, 255)
	} else {
		c.length("text", str(o["text"]), 1, 4000)
		c.markup("text", str(o["text"]), false)
	}
	all := list(o["blocks"])
	if len(all) == 0 || len(all) > most {
		c.wrong("%d blocks", len(all))
	}
	buttons := 0
	for i, b := range all {
		at := fmt.Sprintf("blocks[%d]", i)
		switch b["type"] {
		case "header":
			c.plain(at, b["text"], 150)
		case "section":
			fields := list(b["fields"])
			if b["text"] == nil && len(fields) == 0 || len(fields) > 10 {
				c.wrong("%s: no text, or %d fields", at, len(fields))
			}
			if b["text"] != nil {
				c.text(at, b["text"], 3000)
			}
			for _, f := range fields {
				c.text(at, f, 2000)
			}
		case "context":
			if n := len(list(b["elements"])); n == 0 || n > 10 {
				c.wrong("%s: %d elements", at, n)
			}
			for _, e := range list(b["elements"]) {
				c.text(at, e, 3000)
			}
		case "actions":
			elements := list(b["elements"])
			if len(elements) == 0 || len(elements) > 25 {
				c.wrong("%s: %d elements", at, len(elements))
			}
			for _, e := range elements {
				buttons++
				c.button(fmt.Sprintf("%s %s", at, e["action_id"]), e)
			}
		case "input":
			c.input(at, b)
		default:
			c.wrong("%s: type %v", at, b["type"])
		}
	}
	if buttons > 25 {
		c.wrong("%d buttons", buttons)
	}
	if c.total > 13_000 && !strings.HasPrefix(str(o["callback_id"]), "form:") {
		c.wrong("%d characters in all", c.total)
	}
	return c.broken
}

func (c *checker) wrong(format string, a ...any) {
	c.broken = append(c.broken, fmt.Sprintf(format, a...))
}

func str(v any) string { s, _ := v.(string); return s }

func list(v any) []object {
	raw, _ := v.([]any)
	all := make([]object, len(raw))
	for i := range raw {
		all[i], _ = raw[i].(object)
	}
	return all
}

func (c *checker) length(at, s string, least, most int) {
	if n := len(utf16.Encode([]rune(s))); n < least || n > most {
		c.wrong("%s: %d characters, not %d to %d", at, n, least, most)
	}
}

func (c *checker) text(at string, v any, most int) {
	o, _ := v.(object)
	s := str(o["text"])
	c.length(at, s, 1, most)
	if strings.TrimSpace(s) == "" {
		c.wrong("%s: blank text", at)
	}
	c.total += len(utf16.Encode([]rune(s)))
	switch o["type"] {
	case "plain_text":
	case "mrkdwn":
		if o["verbatim"] != true {
			c.wrong("%s: not verbatim", at)
		}
		c.markup(at, s, true)
	default:
		c.wrong("%s: type %v", at, o["type"])
	}
}

func (c *checker) plain(at string, v any, most int) {
	o, _ := v.(object)
	if o["type"] != "plain_text" {
		c.wrong("%s: type %v", at, o["type"])
	}
	c.text(at, v, most)
}

func (c *checker) optional(at string, v any, most int) {
	if v != nil {
		c.plain(at, v, most)
	}
}

func (c *checker) button(at string, e object) {
	if e["type"] != "button" {
		c.wrong("%s: type %v", at, e["type"])
	}
	c.plain(at, e["text"], 75)
	c.length(at+" value", str(e["value"]), 1, 2000)
	c.length(at+" action_id", str(e["action_id"]), 1, 255)
	if id := str(e["action_id"]); c.ids[id] {
		c.wrong("%s: action_id %q is used twice", at, id)
	} else {
		c.ids[id] = true
	}
	if o, ok := e["confirm"].(object); ok {
		c.plain(at+" title", o["title"], 100)
		c.text(at+" text", o["text"], 300)
		c.plain(at+" confirm", o["confirm"], 30)
		c.plain(at+" deny", o["deny"], 30)
	}
}

func (c *checker) input(at string, b object) {
	c.length(at+" block_id", str(b["block_id"]), 1, 255)
	c.plain(at+" label", b["label"], 2000)
	c.optional(at+" hint", b["hint"], 2000)
	e, _ := b["element"].(object)
	c.optional(at+" placeholder", e["placeholder"], 150)
	options := list(e["options"])
	if e["type"] == "static_select" && len(options) == 0 || len(options) > 100 {
		c.wrong("%s: %d options", at, len(options))
	}
	for _, o := range options {
		c.plain(at+" option", o["text"], 75)
		c.length(at+" value", str(o["value"]), 1, 150)
	}
}

var (
	tags = regexp.MustCompile(`<@(U0DEV|U0LEA|U0QUINN)>|<!date\^[0-9]+\^[^|<>^]+\|[^<>|]+>`)
	// entity is all that & may begin.
	entity = regexp.MustCompile(`&(amp|lt|gt);`)
)

// markup checks that only people and dates are referred to, and all else is escaped.
func (c *checker) markup(at, s string, mayMention bool) {
	rest := s
	if mayMention {
		rest = tags.ReplaceAllString(s, "")
	}
	if rest = entity.ReplaceAllString(rest, ""); strings.ContainsAny(rest, "<>&") {
		c.wrong("%s: not escaped: %.200q", at, rest)
	}
	if mayMention && strings.Count(s, "```")%2 != 0 {
		c.wrong("%s: a code block does not end", at)
	}
}

// words are texts that somebody may have written: any runes, marks that are whole, broken or
// forged, and more than Slack takes.
type words struct {
	*rand.Rand
	seeds []string
}

func (w *words) text() string {
	pieces := append([]string{"<!channel>", "&amp;", "```", "`", "*", "_", "~x~", ":tada:", ">", "\n", "\n\n", " ", "🟢", "👩‍👩‍👧", "é", "\u200b", "\u202e", "\x00", "\xff", "\uFDD0p", "\uFDD1", "\uFDD2",
		"api", "v1.2.0 → v1.3.0", "|", "^", "<@U1>", chat.Mention("dev", "Dev"), chat.Mention("<!here>", "*X*"), chat.At(noon, chat.Dated, "24 Nov <|>"), chat.At(time.Unix(-5, 0), chat.Clock, "long ago")}, w.seeds...)
	var b strings.Builder
	n := w.IntN(8)
	if w.IntN(6) == 0 {
		n = w.IntN(400)
	}
	for range n {
		piece := pieces[w.IntN(len(pieces))]
		switch w.IntN(60) {
		case 0:
			piece = repeat(piece, w.IntN(4000/(len(piece)+1)+1))
		case 1:
			piece = string(rune(w.IntN(0x110000)))
		}
		b.WriteString(piece)
	}
	return b.String()
}

// some is a number that is mostly small.
func (w *words) some(most int) int {
	if w.IntN(5) == 0 {
		return w.IntN(most + 1)
	}
	return w.IntN(4)
}

func (w *words) symbol() chat.Symbol {
	return [...]chat.Symbol{"", "done", "running", "waiting", "pending", "failed", "unknown", "skipped", "undone", "new one"}[w.IntN(10)]
}

func (w *words) card() chat.Card {
	tones := [...]chat.Tone{chat.Neutral, chat.Good, chat.Waiting, chat.Bad, "other"}
	c := chat.Card{Text: w.text(), Title: w.text(), Footer: w.text(), Tone: tones[w.IntN(5)]}
	if w.IntN(2) == 0 {
		c.Progress = &chat.Progress{Done: w.IntN(400) - 100, Total: w.IntN(300) - 50, Label: w.text()}
	}
	for range w.some(70) {
		s := chat.Section{Heading: w.text(), Text: w.text(), Code: w.text()}
		for range w.some(25) {
			s.Fields = append(s.Fields, chat.Field{Name: w.text(), Value: w.text()})
		}
		for range w.some(60) {
			item := chat.Item{Symbol: w.symbol(), Text: w.text(), Detail: w.text()}
			for range w.some(100) {
				item.Row = append(item.Row, w.symbol())
			}
			s.Items = append(s.Items, item)
		}
		c.Sections = append(c.Sections, s)
	}
	for range w.some(60) {
		a := chat.Action{Label: w.text(), Command: w.text(), Style: tones[w.IntN(5)], Confirm: w.text()}
		if w.IntN(3) == 0 {
			a.Ask = w.text()
		}
		c.Actions = append(c.Actions, a)
	}
	return c
}

func (w *words) form() chat.Form {
	f := chat.Form{Name: "release", Title: w.text(), Submit: w.text(), Wait: w.text()}
	for i := range w.some(20) {
		in := chat.Input{Name: fmt.Sprint("in", i), Label: w.text(), Hint: w.text(), Kind: [...]chat.InputKind{chat.Choose, chat.Search, chat.Words, ""}[w.IntN(4)]}
		for range w.some(150) {
			in.Choices = append(in.Choices, chat.Choice{Value: w.text(), Label: w.text()})
		}
		f.Inputs = append(f.Inputs, in)
	}
	return f
}

// checkCard holds a card, as a message and as a modal, against Slack's limits.
func checkCard(t *testing.T, seed uint64, c chat.Card) {
	t.Helper()
	data := encodeCard(t, c)
	broken := append(checkLimits(data), checkLimits(encode(t, blocks.CardView(c, people, place)))...)
	if len(broken) > 0 {
		t.Fatalf("card of seed %d: %q", seed, broken)
	}
}

func TestLimits(t *testing.T) {
	for seed := range uint64(20) {
		w := &words{Rand: rand.New(rand.NewPCG(seed, 1))}
		checkCard(t, seed, w.card())
		checkForm(t, w)
	}
}

func checkForm(t *testing.T, w *words) {
	t.Helper()
	f := w.form()
	m := blocks.Metadata{Reply: w.text(), Channel: "C1", Wait: w.text()}
	for _, v := range []any{
		blocks.FormView(f, m.String()), blocks.WaitView(w.text(), w.text()), blocks.AskView(w.text(), w.text(), w.text(), m.String()),
	} {
		data := encode(t, v)
		broken := checkLimits(data)
		if len(f.Inputs) == 0 {
			broken = without(broken, "0 blocks")
		}
		if len(broken) > 0 {
			t.Fatalf("view %.200s: %q", data, broken)
		}
	}
}

func without(all []string, one string) []string {
	var rest []string
	for _, s := range all {
		if s != one {
			rest = append(rest, s)
		}
	}
	return rest
}

func FuzzMessage(f *testing.F) {
	f.Add(uint64(1), "*bold* <!channel> `code`")
	f.Add(uint64(2), "\uFDD0pdev\uFDD1Dev\uFDD2")
	f.Add(uint64(3), "```:tada:_&_")
	f.Fuzz(func(t *testing.T, seed uint64, text string) {
		w := &words{Rand: rand.New(rand.NewPCG(seed, 2)), seeds: []string{text}}
		checkCard(t, seed, w.card())
	})
}

var (
	noDate    = regexp.MustCompile(`<!date\^00000000\^\{_\}\|([^>]*)>`)
	unescaped = strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">", "\u00ad", "")
	// other is what is spelled out, or that nobody sees.
	other = regexp.MustCompile(`[^\n -~\pL\pN\pS]`)
	// formatted is what Slack would format: marks that open before a word and close behind one.
	formatted = regexp.MustCompile("(^|[^\\pL\\pN])(\\*\\S(.*\\S)?\\*|_\\S(.*\\S)?_|~\\S(.*\\S)?~|＊\\S(.*\\S)?＊|＿\\S(.*\\S)?＿|～\\S(.*\\S)?～)($|[^\\pL\\pN])|[`｀]|(?m:^\\s*(&gt;|＞))")
)

// What people read is what was said, and nothing in it is formatting.
func FuzzMarkup(f *testing.F) {
	for _, s := range []string{"*bold* _it_ ~s~ `c`", "> q\n>>> q", "a_b_c 2*3 _x", "<!channel> &lt; &", ":+1::tada:", "__init__ ***", "＊太字＊ *a* b*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = other.ReplaceAllString(strings.ToValidUTF8(s, ""), "")
		s = strings.Trim(s, " \n")
		if s == "" || len(s) > 500 {
			t.Skip()
		}
		got := blocks.Message(chat.Card{Title: "x", Sections: []chat.Section{{Text: s}}}, nil).Blocks
		var o struct{ Text struct{ Text string } }
		if err := json.Unmarshal(encode(t, got[1]), &o); err != nil {
			t.Fatal(err)
		}
		if read := unescaped.Replace(noDate.ReplaceAllString(o.Text.Text, "$1")); read != s {
			t.Errorf("%q is read as %q", s, read)
		}
		if found := formatted.FindString(noDate.ReplaceAllString(o.Text.Text, "x")); found != "" {
			t.Errorf("%q in %q is formatted", found, o.Text.Text)
		}
	})
}
