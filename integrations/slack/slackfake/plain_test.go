package slackfake_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/slack-go/slack"

	"github.com/muster-release/muster/integrations/slack/slackfake"
)

func TestPlainAndHTML(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	blocks := []slack.Block{
		slack.NewHeaderBlock(plain("Release <7>")),
		section("*asked* by <@" + w.ann + "> at <!date^1700000000^{date_short} {time}|then>, see <https://example.com/a?b=1&amp;c=2|the `run`>\n&lt;!channel&gt; &amp; `x &lt; y`"),
		section("```\na *b* &lt;script&gt;\n```"),
		slack.NewDividerBlock(),
		slack.NewContextBlock("", slack.NewTextBlockObject("mrkdwn", "2 of 3", false, false)),
		buttons(button("do:0", "go", "Go"), button("do:1", "no", "No")),
	}
	_, ts, err := w.api.PostMessage(w.releases, slack.MsgOptionText("fallback", false), slack.MsgOptionBlocks(blocks...))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := w.Message(w.releases, ts)
	want := "Release <7>\n*asked* by @ann at Nov 14, 2023 22:13, see the `run`\n<!channel> & `x < y`\n```\na *b* <script>\n```\n----\n2 of 3\n[Go] [No]"
	if got := w.Plain(m); got != want {
		t.Errorf("Plain =\n%s\nwant\n%s", got, want)
	}
	h := w.HTML(m)
	for _, want := range []string{
		"Release &lt;7&gt;", "<b>asked</b>", `<span class="mention">@ann</span>`, "<time>Nov 14, 2023 22:13</time>",
		`href="https://example.com/a?b=1&amp;c=2"`, "&lt;!channel&gt; &amp; <code>x &lt; y</code>", "a *b* &lt;script&gt;", ">Go</button>",
	} {
		if !strings.Contains(h, want) {
			t.Errorf("HTML has no %q:\n%s", want, h)
		}
	}
	if strings.Contains(h, "<script") {
		t.Errorf("HTML lets markup through:\n%s", h)
	}
	resp, err := http.Get(w.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, _ := io.ReadAll(resp.Body)
	if !strings.Contains(string(page), h) {
		t.Error("the page does not show the message")
	}
}

func TestConversation(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	a := newApp(t, w.Workspace)
	_, ts, err := w.api.PostMessage(w.releases, slack.MsgOptionBlocks(section("ready?"), buttons(button("do:0", "go", "Go on"))))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	in := strings.Join([]string{
		"ann #releases> /muster status", w.bob + " #releases/" + ts + "> @muster why", "ann dm> status", "ann presses Go on on " + ts,
		"ann presses Stop on " + ts, "nobody #releases> hello", "page", "ann deletes " + ts,
	}, "\n")
	if err := w.Converse(t.Context(), strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"(slash_commands acknowledged", "(app_mention acknowledged", "(message acknowledged", "(block_actions acknowledged",
		`there is no button "Stop", only [Go on]`, `there is no user "nobody"`, "ready?\n    [Go on]", "below " + ts + " bob\n    @muster why",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the conversation does not say %q:\n%s", want, out.String())
		}
	}
	if n := len(a.all()); n != 4 {
		t.Errorf("the app received %d requests, want 4", n)
	}
}

// Whatever an app writes, no markup of its own reaches the page.
func FuzzHTML(f *testing.F) {
	w, err := slackfake.New(slackfake.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { w.Close() })
	f.Add("*b* _i_ ~s~ `c` ```p``` <@U0001> <!date^1^{date}|x> <javascript:alert(1)|x> &lt;script&gt; :x:")
	f.Add("\x000\x01 `<\x000\x01>` <`|`>")
	f.Add("> <!date^9^|")
	f.Fuzz(func(t *testing.T, s string) {
		m := slackfake.Message{TS: "1.000100", Text: s}
		h := strings.ToLower(w.HTML(m))
		for _, bad := range []string{"<script", "<img", "href=\"javascript", "\x00"} {
			if strings.Contains(h, bad) {
				t.Errorf("HTML(%q) has %q: %s", s, bad, h)
			}
		}
		_ = slackfake.Plain(m)
	})
}
