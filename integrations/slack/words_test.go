package slack

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestTyped(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"status 12", "status 12"},
		{"  a &amp; b &lt;c&gt;  ", "a & b <c>"},
		{"&amp;lt;", "&lt;"},
		{"see <http://x.example|x.example>", "see x.example"},
		{"see <https://x.example/a?b=1&amp;c=2>", "see https://x.example/a?b=1&c=2"},
		{"to <mailto:a@b.example|a@b.example>", "to a@b.example"},
		{"to <mailto:a@b.example>", "to a@b.example"},
		{"call <tel:+31201234567|020 1234567>", "call 020 1234567"},
		{"in <#C1|general> and <#C2>", "in #general and #C2"},
		{"ask <@U2> or <@U3|bob>", "ask @U2 or @bob"},
		{"<!here> <!subteam^S1|@team> <!subteam^S2> <!date^1392734382^{date}|Feb 18>", "@here @team @S2 Feb 18"},
		{"a <b> c", "a <b> c"},
		{"<", "<"},
		{"<@", "<@"},
		{"<@>", "<@>"},
		{"<<@U1>>", "<@U1>"},
		{"&lt;@U1&gt;", "<@U1>"},
		{"one\ntwo\tthree\u00a0four", "one two three four"},
		{"a\x00b\u200bc", "abc"},
		{"\uFDD0pann\uFDD1Ann\uFDD2", "Ann"},
	} {
		if got := typed(c.text); got != c.want {
			t.Errorf("typed(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

func TestAddressed(t *testing.T) {
	for _, c := range []struct{ text, self, want string }{
		{"<@U1> status", "U1", "status"},
		{"<@U1|muster> status", "U1", "status"},
		{" <@U1>: status", "U1", "status"},
		{"<@U1>, status", "", "status"},
		{"<@U1>", "U1", ""},
		{"<@U2> status", "U1", "@U2 status"},
		{"ask <@U1>", "U1", "ask @U1"},
		{"<@U1", "U1", "<@U1"},
	} {
		if got := typed(addressed(c.text, c.self)); got != c.want {
			t.Errorf("addressed(%q, %q) = %q, want %q", c.text, c.self, got, c.want)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"<@U1> status", "<http://x|y> &amp;amp; <!here|a>", "<<<|>>>", "<#C1|\n>", "\uFDD0p\uFDD1x\uFDD2", "\xff<@\xff>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := typed(addressed(s, ""))
		if !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) || strings.ContainsAny(got, "\uFDD0\uFDD1\uFDD2") {
			t.Errorf("typed(%q) = %q is not a clean line", s, got)
		}
		if got != strings.TrimSpace(got) {
			t.Errorf("typed(%q) = %q has space around it", s, got)
		}
		if !strings.ContainsAny(s, "<&") && len(got) > 3*len(s) {
			t.Errorf("typed(%q) grew to %q", s, got)
		}
	})
}

// Text that opens and never closes takes no longer than other text.
func TestTypedIsLinear(t *testing.T) {
	for _, s := range []string{"<", "<@", "<@U1|", "&lt;<", "<http://x"} {
		long := strings.Repeat(s, maxBody/len(s))
		began := time.Now()
		typed(long)
		typed(long + ">")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%d times %q took %v", maxBody/len(s), s, took)
		}
	}
}
