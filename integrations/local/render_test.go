package local_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/local"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func field(name, value string) chat.Field { return chat.Field{Name: name, Value: value} }

func item(symbol chat.Symbol, text, detail string) chat.Item {
	return chat.Item{Symbol: symbol, Text: text, Detail: detail}
}

var cards = map[string]chat.Card{
	"board": {
		Title:    "Release r7 to production",
		Tone:     chat.Neutral,
		Progress: &chat.Progress{Done: 7, Total: 18, Label: "changes · wave 2 of 3 · about 40 s to go"},
		Sections: []chat.Section{
			{Fields: []chat.Field{field("asked by", "Ada"), field("playbook", "3fa2c19d"), field("targets", "eu, us"), field("release issue", "REL-7")}},
			{Heading: "Wave 1", Items: []chat.Item{
				item(chat.SymbolDone, "redis-cart v7.2.0 → v7.4.1", "live and healthy"),
				item(chat.SymbolSkipped, "emailservice v0.10.1", "skipped by Bob: mails go out by hand today, the provider is down until tomorrow"),
			}},
			{Heading: "Wave 2", Items: []chat.Item{
				item(chat.SymbolRunning, "cartservice v1.0.0 → v1.1.0", "2 of 3 replicas ready"),
				item(chat.SymbolFailed, "paymentservice v2.3.0", "no progress, with 2 of 3 replicas ready; one container restarts again and again"),
				item(chat.SymbolUnknown, "shippingservice v1.9.2", "nobody can tell whether it was begun"),
			}},
			{Heading: "Wave 3", Items: []chat.Item{
				item(chat.SymbolPending, "frontend v3.0.0", "waits for cartservice, paymentservice"),
				item(chat.SymbolWaiting, "loadgenerator", "waits for an approval"),
				item(chat.SymbolUndone, "adservice v1.1.0 → v1.0.9", ""),
				item(chat.SymbolNone, "一二三四五 naïve café 👩‍🚀", "wide letters keep the column"),
			}},
		},
		Actions: []chat.Action{
			{Label: "Pause", Command: "pause r7"},
			{Label: "Retry", Command: "retry r7 deploy:paymentservice", Style: chat.Waiting},
			{Label: "Roll back", Command: "rollback r7", Style: chat.Bad, Confirm: "Really?"},
		},
		Footer: "why r7 says what each step waits for",
	},
	"failure": {
		Title: "paymentservice v2.3.0 was not deployed to production, and nothing new begins until somebody decides",
		Tone:  chat.Bad,
		Sections: []chat.Section{
			{Text: "Its rollout made no progress for 3 s.\nWhat serves now: v2.2.7 in all targets."},
			{Heading: "logs of paymentservice-5f0c1", Code: "12:00:01.000 level=info msg=\"starting\" version=v2.3.0\n\n12:00:03.000 level=error msg=\"giving up\" cause=\"dial tcp 10.0.12.7:6379: i/o timeout\"\n"},
		},
		Actions: []chat.Action{{Command: "retry r7 deploy:paymentservice"}, {Command: "rollback r7", Style: chat.Bad}},
	},
	"approval": {
		Title: "Go or no-go for r7?", Tone: chat.Waiting,
		Sections: []chat.Section{{Text: "2 of release-managers and 1 of payments are asked. Bob has approved."}},
		Actions:  []chat.Action{{Command: "approve r7", Style: chat.Good}, {Command: "reject r7 because …", Style: chat.Bad}},
	},
	"done":  {Text: "r7 is live: 12 modules in 28 s.", Tone: chat.Good},
	"plain": {Text: "I know no module \"crat\". Did you mean cart?\n\n    plan --to production cart\n    a line that keeps its indentation when it is broken because it is too long for the terminal"},
	"hostile": {
		Title:    "red \x1b[31malert\x1b[0m\nand a second line",
		Progress: &chat.Progress{Done: 9, Total: 4, Label: "\x07 bell"},
		Sections: []chat.Section{{
			Text:   "clear \x1b[2J, link \x1b]8;;http://evil\x1b\\, c1 \u009b31m, raw \x9b31m, back\r\nspace\b, lone\rreturn",
			Fields: []chat.Field{field("right\u202eto left", "zero\u200bwidth")},
			Items:  []chat.Item{item(chat.SymbolDone, "tab\tbed\n", "detail\x1b[5m"), item("made-up", strings.Repeat("x", 100), "")},
			Code:   "\x1b]0;title\x07",
		}, {Items: []chat.Item{{}}}},
		Actions: []chat.Action{{Command: "approve\x1b[A " + strings.Repeat("y", 90)}},
		Footer:  "\x1bc",
	},
	"nothing": {},
}

func TestRender(t *testing.T) {
	for name, card := range cards {
		for _, width := range []int{80, 40} {
			t.Run(fmt.Sprint(name, width), func(t *testing.T) {
				got := local.Render(card, width, false)
				for l := range strings.Lines(got) {
					if w := ansi.StringWidth(strings.TrimSuffix(l, "\n")); w > width {
						t.Errorf("a line has %d columns, want at most %d: %q", w, width, l)
					}
				}
				if painted := local.Render(card, width, true); trimmed(ansi.Strip(painted)) != got {
					t.Errorf("with colour the text is another one:\n%s", painted)
				}
				golden(t, fmt.Sprintf("%s-%d.txt", name, width), got)
			})
		}
	}
	golden(t, "board-colour.txt", local.Render(cards["board"], 0, true))
}

func trimmed(s string) string {
	var b strings.Builder
	for l := range strings.Lines(s) {
		b.WriteString(strings.TrimRight(l, " \n") + "\n")
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "render", name)
	if *update {
		check(os.MkdirAll(filepath.Dir(path), 0o755))
		check(os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s\n(go test -update writes it anew)", name, got, want)
	}
}

func TestRenderLetsNothingThrough(t *testing.T) {
	for width := range 100 {
		got := local.Render(cards["hostile"], width, false)
		if i := strings.IndexFunc(got, func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\u202e' }); i >= 0 {
			t.Fatalf("width %d: a control character got through: %q", width, got[i:])
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("\x1b[31m \u009b \x9b \u202e ok\r\n\t👩‍🚀")
	f.Fuzz(func(t *testing.T, s string) {
		got := local.Escape(s)
		for _, r := range got {
			if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 {
				t.Errorf("Escape(%q) = %q has %U", s, got, r)
			}
		}
		if ansi.Strip(got) != got {
			t.Errorf("Escape(%q) = %q has a terminal sequence", s, got)
		}
		if local.Escape(got) != got {
			t.Errorf("Escape(%q) = %q is escaped again to %q", s, got, local.Escape(got))
		}
		for l := range strings.Lines(local.Render(chat.Card{Text: s, Sections: []chat.Section{{Text: s, Code: s}}}, 30, false)) {
			if w := ansi.StringWidth(l); w > 30 {
				t.Errorf("Render of %q has a line of %d columns: %q", s, w, l)
			}
		}
	})
}
