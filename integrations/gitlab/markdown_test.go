package gitlab

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
)

func TestBody(t *testing.T) {
	g := aloneAt(t, func(o *Options) {
		o.Catalog = func() *playbooks.Catalog {
			return &playbooks.Catalog{People: []playbooks.Person{{ID: "ann", Handles: map[string]string{"gitlab": "ann.moreau"}}, {ID: "bob"}, {ID: "eve", Handles: map[string]string{"gitlab": "all and more"}}}}
		}
	})
	m := chat.Message{Key: "answer/gitlab/note 12", Card: chat.Card{
		Text: "unused", Title: "Plan for *staging*", Tone: chat.Waiting, Lasting: "plan/staging",
		Progress: &chat.Progress{Done: 1, Total: 4, Label: "changes"},
		Sections: []chat.Section{
			{Heading: "Wave 1", Text: "asked by " + chat.Mention("ann", "Ann") + ", " + chat.Mention("bob", "Bob") + " and " + chat.Mention("eve", "Eve") + "\nat " + chat.At(time.Unix(0, 0), chat.Clock, "14:03"),
				Fields: []chat.Field{{Name: "issue", Value: "REL-1"}, {Name: "digest", Value: "e8827e18"}},
				Items:  []chat.Item{{Symbol: chat.SymbolDone, Text: "cart v1.2.0", Detail: "after redis"}, {Text: "all", Row: []chat.Symbol{chat.SymbolDone, chat.SymbolPending}}}},
			{Code: "line 1\n/approve\n```\n  /merge\n"},
			{},
		},
		Actions: []chat.Action{{Label: "Release", Command: "release e8827e18"}, {Label: "Reject", Command: "reject 12 because …", Ask: "Why?"}, {Label: "Nothing"}},
		Footer:  "see https://jira.example/browse/REL-1.",
	}}
	want := `⏳ **Plan for \*staging\***

▰▰▱▱▱▱▱▱▱▱ **1** of 4 changes

**Wave 1**

asked by @ann.moreau` + joiner + `, Bob and Eve  
at 14:03

**issue:** REL-1 · **digest:** e8827e18

- ✅ cart v1.2.0 after redis
- all ✅⬜

` + "```plaintext\nline 1\n" + joiner + "/approve\n``" + joiner + "`\n  " + joiner + "/merge\n```" + `

To answer, comment with one of these lines:

- Release: ` + "`/muster release e8827e18`" + `
- Reject: ` + "`/muster reject 12 because …`" + `

<sub>see <https://jira.example/browse/REL-1>.</sub>

<!-- muster:answer/gitlab/note%2012 plan/staging -->`
	if got := g.body(m); got != want {
		t.Errorf("body =\n%s\nwant\n%s", got, want)
	}
	if mark := markerOf(want + "\n"); mark != markerFor(m) {
		t.Errorf("marker = %+v, want %+v", mark, markerFor(m))
	}
	if got, want := g.body(chat.Message{Key: "k", Card: chat.Card{Text: "Done.\n\n\nAll is well.", Tone: chat.Good}}), "✅ Done.\n\nAll is well.\n\n<!-- muster:k -->"; got != want {
		t.Errorf("body = %q, want %q", got, want)
	}
}

func TestEscape(t *testing.T) {
	j := joiner
	tests := []struct{ text, want string }{
		{"plain words, v1.2.0 (2 of 3) - done!", "plain words, v1.2.0 (2 of 3) - done!"},
		{"#12 is bad", `\#` + j + "12 is bad"},
		{"/merge", `\/merge`},
		{"  /merge", `  \/merge`},
		{"# heading", `\# heading`},
		{"- item", `\- item`},
		{"+ item", `\+ item`},
		{"1. item", `1\. item`},
		{"1.2.0 is live", "1.2.0 is live"},
		{"> quote", "&gt; quote"},
		{"=====", `\=====`},
		{"---", `\---`},
		{"::include{file=x}", `\::` + j + `include\{file=x\}`},
		{"@all", "@" + j + "all"},
		{"ask @ann, or a@b.example", "ask @" + j + "ann, or a@" + j + "b.example"},
		{"see #12 !13 ~bug %v1 $5 &7", `see #` + j + `12 !` + j + `13 \~` + j + `bug %` + j + `v1 \$` + j + `5 &amp;` + j + `7`},
		{`~"two words"`, `\~` + j + `"two words"`},
		{"**bold** _it_ `code`", "\\*\\*bold\\*\\* \\_it\\_ \\`code\\`"},
		{"[x](https://evil.example)", `\[x\](<https://evil.example>)`},
		{"![x](javascript:alert(1))", `!\[x\](javascript:alert(1))`},
		{"<img src=x onerror=y>", `&lt;img src=x onerror=y&gt;`},
		{"<!-- muster:k -->", `&lt;!-- muster:k --&gt;`},
		{"a &lt; b", "a &amp;" + j + "lt; b"},
		{"a | b", `a \| b`},
		{`\@all`, `\\@` + j + `all`},
		{"see https://git.example.com/shop/api/-/merge_requests/12#note_3.", "see <https://git.example.com/shop/api/-/merge_requests/12#note_3>."},
		{"https://x.example/a_b*c", "<https://x.example/a_b*c>"},
		{"https://x.example/<script>", "<https://x.example/>&lt;script&gt;"},
		{":tada: at 14:03", `\:` + j + `tada: at 14:03`},
	}
	for _, tt := range tests {
		if got := escape(tt.text); got != tt.want {
			t.Errorf("escape(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

// GitLab's own ways of finding what means more than it says, as far as they are documented: quick actions at
// https://docs.gitlab.com/user/project/quick_actions/, references at https://docs.gitlab.com/user/markdown/.
var (
	quickAction = regexp.MustCompile(`(?m)^[ \t]*/[a-z]`)
	reference   = regexp.MustCompile(`(^|[^\w@/])@[\w]`)
)

// Whatever the strings of a card hold, the comment has no quick action, mentions nobody, ends in its own marker
// and has no HTML but what Muster puts there.
func FuzzBody(f *testing.F) {
	f.Add("x", "y")
	f.Add("/merge\n/approve", "```\n/merge\n```")
	f.Add(" @all", "@all\n\n~~~\n/close")
	f.Add("<!-- muster:x -->", "<sub>\n--> <!-- muster:y -->")
	f.Add("\uFDD0pann\uFDD1\n/merge\uFDD2", "\r/merge\u2028/merge\v/merge")
	f.Add("https://x.example/\n/merge", "a https://x.example/@all b")
	f.Add(strings.Repeat("word ", 20000), strings.Repeat("line\n", 9000))
	g := aloneAt(f, nil)
	f.Fuzz(func(t *testing.T, a, b string) {
		m := chat.Message{Key: a, Card: chat.Card{
			Title: a, Text: b, Footer: a, Progress: &chat.Progress{Done: 1, Total: 2, Label: b},
			Sections: []chat.Section{
				{Heading: b, Text: a, Fields: []chat.Field{{Name: a, Value: b}}, Items: []chat.Item{{Text: b, Detail: a}, {Text: a}}, Code: b},
				{Text: b, Code: a},
			},
			Actions: []chat.Action{{Label: a, Command: b}},
		}}
		for _, withTitle := range []bool{true, false} {
			if !withTitle {
				m.Card.Title = ""
			}
			body := g.body(m)
			if len(body) > mostBody+1000 || !utf8.ValidString(body) {
				t.Errorf("a body of %d bytes, valid %v", len(body), utf8.ValidString(body))
			}
			if found := quickAction.FindString(body); found != "" {
				t.Errorf("a quick action %q in %q", found, body)
			}
			if markerOf(body) != markerFor(m) || strings.Count(withoutCode(body), "<!--") != 1 {
				t.Errorf("another marker than %v in %q", markerFor(m), body)
			}
			if strings.Count(body, "\n```") > 4 {
				t.Errorf("more fences than blocks of code in %q", body)
			}
			text := withoutCode(body)
			if found := reference.FindString(text); found != "" {
				t.Errorf("a mention %q in %q", found, body)
			}
			for _, tag := range html.FindAllString(text, -1) {
				if tag != "<sub>" && tag != "</sub>" && tag != "<!-- muster:" {
					t.Errorf("HTML %q in %q", tag, body)
				}
			}
		}
	})
}

var (
	html  = regexp.MustCompile(`<!-- muster:|<[^>]*>|<`)
	block = regexp.MustCompile("(?s)```plaintext\n.*?\n```")
	spans = regexp.MustCompile("(^|[^\\\\])`[^`\n]*`")
	link  = regexp.MustCompile(`<https?://[^<>\s]*>`)
)

// withoutCode is a comment without its blocks of code, spans of code and links.
func withoutCode(body string) string {
	return link.ReplaceAllString(spans.ReplaceAllString(block.ReplaceAllString(body, ""), "$1"), "")
}

func TestCommands(t *testing.T) {
	tests := []struct {
		name, text string
		want       string // with | between
	}{
		{"one", "/muster plan to staging", "plan to staging"},
		{"any case, blanks around", "  /Muster  plan\t to staging \r\n", "plan\t to staging"},
		{"alone", "/muster", "."},
		{"several", "/muster plan\nLooks good\n/muster release 4f2a91c0\n", "plan|release 4f2a91c0"},
		{"none", "I would /muster plan", ""},
		{"another word", "/mustered plan", ""},
		{"a quote", "> /muster plan", ""},
		{"a block of code", "```sh\n/muster plan\n```\n/muster why", "why"},
		{"a longer fence", "````\n```\n/muster plan\n````\n/muster why", "why"},
		{"tildes", "~~~\n/muster plan\n~~~~", ""},
		{"a fence that does not close", "```\n/muster plan", ""},
		{"code in a line", "```/muster plan```\n/muster why", "why"},
		{"what nobody sees", "/muster\u00a0approve\u200b 12\u202e", "approve 12"},
		{"marks", "/muster approve \uFDD0pann\uFDD1Ann\uFDD2", "approve Ann"},
	}
	for _, tt := range tests {
		got := commands(tt.text)
		for i := range got {
			if got[i] == "" {
				got[i] = "."
			}
		}
		want := strings.ReplaceAll(tt.want, "\t", " ")
		if joined := strings.Join(got, "|"); joined != want {
			t.Errorf("%s: commands(%q) = %q, want %q", tt.name, tt.text, joined, want)
		}
	}
	if n := len(commands(strings.Repeat("/muster why\n", 50))); n != mostCommands {
		t.Errorf("%d commands of one comment, want %d", n, mostCommands)
	}
}

func TestPlace(t *testing.T) {
	for channel, want := range map[string]place{
		"shop/api!12": {"shop/api", onMerge, 12}, "a/b/c#3": {"a/b/c", onIssue, 3},
	} {
		if p, ok := parsePlace(channel); !ok || p != want || p.String() != channel {
			t.Errorf("parsePlace(%q) = %+v, %v, want %+v", channel, p, ok, want)
		}
	}
	for _, channel := range []string{"", "#releases", "shop/api", "shop/api!", "shop/api!0", "shop/api!-1", "shop/api!012", "api!1", "!12", "a/b!1!2", "a/b !3", "a/b!+1"} {
		if p, ok := parsePlace(channel); ok {
			t.Errorf("parsePlace(%q) = %+v, want none", channel, p)
		}
	}
}

func TestMarker(t *testing.T) {
	seen := make(map[string]string)
	for _, key := range []string{"", ".", "a", "a b", "a--b", "a->b", "-->", "a/b/c", "é", "%", "a%20b", "a-b"} {
		m := chat.Message{Key: key, Card: chat.Card{Lasting: "plan/staging"}}
		text := markerFor(m).String()
		if inside := strings.TrimSuffix(strings.TrimPrefix(text, "<!--"), "-->"); strings.Contains(inside, "--") || strings.Contains(inside, ">") {
			t.Errorf("the marker of %q ends too early: %q", key, text)
		}
		if markerOf("x\n"+text) != markerFor(m) {
			t.Errorf("the marker of %q is not found in %q", key, text)
		}
		if other, taken := seen[text]; taken {
			t.Errorf("%q and %q have the same marker", key, other)
		}
		seen[text] = key
	}
	for _, body := range []string{"", "x", "<!-- muster:k -->\nx", "x <!-- muster:k -->", "x -->", "<!-- muster:k"} {
		if mark := markerOf(body); mark != (marker{}) {
			t.Errorf("markerOf(%q) = %+v, want none", body, mark)
		}
	}
}
