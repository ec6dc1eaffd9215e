package blocks_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/slack/blocks"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// message is a Rendered as it goes to chat.postMessage.
type message struct {
	Text   string       `json:"text"`
	Blocks slack.Blocks `json:"blocks"`
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeCard(t *testing.T, c chat.Card) []byte {
	r := blocks.Message(c, people)
	return encode(t, message{r.Text, slack.Blocks{BlockSet: r.Blocks}})
}

func TestGolden(t *testing.T) {
	check := func(name string, got []byte, again any) {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is different now (-update rewrites it):\n%s", file, got)
			}
			for _, broken := range checkLimits(want) {
				t.Error(broken)
			}
			if err := json.Unmarshal(want, again); err != nil {
				t.Fatal(err)
			}
			if back := encode(t, again); !bytes.Equal(back, want) {
				t.Errorf("slack-go reads %s as something else:\n%s", file, back)
			}
		})
	}
	for _, name := range slices.Sorted(maps.Keys(cards)) {
		check(name, encodeCard(t, cards[name]), new(message))
	}
	for _, name := range slices.Sorted(maps.Keys(views)) {
		check(name, encode(t, views[name]), new(slack.ModalViewRequest))
	}
}

func TestButtons(t *testing.T) {
	buttons := func(actions ...chat.Action) []*slack.ButtonBlockElement {
		t.Helper()
		var all []*slack.ButtonBlockElement
		for _, b := range blocks.Message(chat.Card{Title: "x", Actions: actions}, nil).Blocks {
			if a, ok := b.(*slack.ActionBlock); ok {
				for _, e := range a.Elements.ElementSet {
					all = append(all, e.(*slack.ButtonBlockElement))
				}
			}
		}
		return all
	}
	got := buttons(request().Actions...)
	if len(got) != 3 {
		t.Fatalf("%d buttons", len(got))
	}
	approve, reject, show := got[0], got[1], got[2]
	if approve.ActionID != "do:0" || approve.Value != "approve 1 0123abcd" || approve.Style != slack.StylePrimary || approve.Confirm == nil || approve.Confirm.Confirm.Text != "Approve" {
		t.Errorf("approve: %+v", approve)
	}
	var ask struct{ Command, Ask, Label string }
	if err := json.Unmarshal([]byte(reject.Value), &ask); err != nil || reject.ActionID != "ask:1" || ask.Command != "reject 1 0123abcd because …" || ask.Ask != "Why?" || ask.Label != "Reject" {
		t.Errorf("reject: %+v, %v", reject, err)
	}
	if reject.Style != slack.StyleDanger || reject.Confirm != nil || show.Style != slack.StyleDefault || show.ActionID != "do:2" {
		t.Errorf("reject: %+v, show: %+v", reject, show)
	}

	two := buttons(chat.Action{Label: "A", Command: "a", Style: chat.Good}, chat.Action{Label: "B", Command: "b", Style: chat.Good})
	if two[0].Style != slack.StylePrimary || two[1].Style != slack.StyleDefault {
		t.Errorf("styles %q and %q, want one primary", two[0].Style, two[1].Style)
	}
}

// A line is never cut: what is too long for a button, or one too many, is to be typed.
func TestActionsThatAreNoButtons(t *testing.T) {
	actions := []chat.Action{{Label: "long", Command: "skip 1 because " + repeat("x", 2000)}}
	for range 30 {
		actions = append(actions, chat.Action{Label: "why", Command: "why 7"})
	}
	got := string(encodeCard(t, chat.Card{Title: "x", Actions: actions}))
	if n := strings.Count(got, `"value": "why 7"`); n != 25 {
		t.Errorf("%d buttons, want 25", n)
	}
	if !strings.Contains(got, "To be typed: skip 1 because xxx") || !strings.Contains(got, " | why 7") {
		t.Errorf("what is no button is not shown: %s", got)
	}
}

func TestEscaping(t *testing.T) {
	const dated = "<!date^00000000^{_}|"
	for _, c := range []struct{ in, want string }{
		{"a < b && c > d", "a &lt; b &amp;&amp; c &gt; d"},
		{"<!channel> <@U0DEV>", "&lt;!channel&gt; &lt;@U0DEV&gt;"},
		{"&lt;", "&amp;lt;"},
		{"snake_case 2*3", "snake_case 2*3"},
		{"a * b", "a * b"},
		{"*.go", dated + "*>.go"},
		{"__init__", dated + "__>init" + dated + "__>"},
		{"a`b`c", "a" + dated + "`>b" + dated + "`>c"},
		{"> no quotation\n  > here\nbut > here", "\u00ad&gt; no quotation\n  \u00ad&gt; here\nbut &gt; here"},
		{":tada: at 10:00:00 x:100:", dated + ":>tada: at 10:00:00 x" + dated + ":>100:"},
		{"retry 1 deploy:api | abort 1", "retry 1 deploy:api | abort 1"},
		{"@here #general https://x.example", "@here #general https://x.example"},
		{"bad\x00 \x1b[31m\u202e\xff", `bad\x00 \x1b[31m\u202e` + "\ufffd"},
		{chat.Mention("dev", "Dev") + "/" + chat.Mention("mute", "<Mute>"), "<@U0DEV>/&lt;Mute&gt;"},
		{chat.At(noon, chat.Clock, "14:03"), "<!date^1795529007^{time}|14:03>"},
		{chat.At(noon, chat.Seconds, "14:03:27"), "<!date^1795529007^{time_secs}|14:03:27>"},
		{chat.At(noon, chat.Dated, "24|<Nov>"), "<!date^1795529007^{date_short} {time}|24/&lt;Nov&gt;>"},
	} {
		got := blocks.Message(chat.Card{Title: "x", Sections: []chat.Section{{Text: c.in}}}, people).Blocks[1].(*slack.SectionBlock)
		if got.Text.Text != c.want {
			t.Errorf("%q is\n %q, want\n %q", c.in, got.Text.Text, c.want)
		}
		if !got.Text.Verbatim {
			t.Errorf("%q is not verbatim", c.in)
		}
	}
}

// A user ID comes from elsewhere as well.
func TestMentionsOnlyUsers(t *testing.T) {
	for _, id := range []string{"", "!channel", "S123", "U1>x", "u1"} {
		who := func(string) string { return id }
		got := string(encode(t, blocks.Message(chat.Card{Text: chat.Mention("dev", "Dev")}, who).Blocks))
		if strings.Contains(got, "<@") || !strings.Contains(got, `"Dev"`) {
			t.Errorf("user ID %q: %s", id, got)
		}
	}
}

func TestFallback(t *testing.T) {
	for _, c := range []struct {
		card chat.Card
		want string
	}{
		{chat.Card{Text: "by " + chat.Mention("dev", "Dev") + " <!here> & co"}, "by Dev &lt;!here&gt; &amp; co"},
		{chat.Card{Title: "title"}, "title"},
		{chat.Card{Text: " \u200b", Sections: []chat.Section{{}, {Heading: "only this"}}}, "only this"},
		{chat.Card{}, "…"},
	} {
		if got := blocks.Message(c.card, people).Text; got != c.want {
			t.Errorf("%+v is %q, want %q", c.card, got, c.want)
		}
	}
}

// What is too much is cut where it matters least, and it is said.
func TestCutting(t *testing.T) {
	c := failed()
	c.Sections[1].Code = "first line\n" + repeat("in the middle of the excerpt <&>\n", 500) + "last line"
	var items []chat.Item
	for i := range 300 {
		symbol := chat.SymbolDone
		if i == 250 {
			symbol = chat.SymbolFailed
		}
		items = append(items, item(symbol, "module "+repeat("m", 60), "v1"))
	}
	items[250].Text = "the one that failed"
	c.Sections[2].Items = items
	data := encodeCard(t, c)
	for _, broken := range checkLimits(data) {
		t.Error(broken)
	}
	got := string(data)
	for _, want := range []string{
		c.Title, "1*\u00a0of\u00a03\u00a0changes", "Deploy api v2.1.0 failed", "no progress", "retry 1 deploy:api", "rollback 1", "first line", "last line",
		"the one that failed", "more lines\\nin the middle", "v1\\n… and ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing:\n%s", want, got)
		}
	}
}

// Many parts share blocks before any of them is left out.
func TestManyParts(t *testing.T) {
	c := chat.Card{Text: "Plan 1: 90 modules"}
	for range 90 {
		c.Sections = append(c.Sections, chat.Section{Heading: "Wave", Items: []chat.Item{item("pending", "api", "v1 → v2")}})
	}
	data := encodeCard(t, c)
	for _, broken := range checkLimits(data) {
		t.Error(broken)
	}
	if n := strings.Count(string(data), "v1 → v2"); n != 90 {
		t.Errorf("%d of 90 parts are shown", n)
	}
}

func TestLongTitle(t *testing.T) {
	title := repeat("release ", 30) + "failed"
	got := blocks.Message(chat.Card{Title: title, Tone: chat.Bad}, nil).Blocks
	header, whole := got[0].(*slack.HeaderBlock).Text.Text, got[1].(*slack.SectionBlock).Text.Text
	if !strings.HasPrefix(header, "🔴 release") || !strings.HasSuffix(header, "…") || whole != "🔴 "+title {
		t.Errorf("header %q, below it %q", header, whole)
	}
}

func TestRowsAreCounted(t *testing.T) {
	row := slices.Repeat([]chat.Symbol{chat.SymbolDone, chat.SymbolPending}, 50)
	row[3] = chat.SymbolFailed
	got := string(encodeCard(t, chat.Card{Title: "x", Sections: []chat.Section{{Items: []chat.Item{{Symbol: chat.SymbolFailed, Text: "Wave 1", Row: row}}}}}))
	if !strings.Contains(got, "❌ Wave 1 ❌×1 ⬜×49 ✅×50") {
		t.Error(got)
	}
}
