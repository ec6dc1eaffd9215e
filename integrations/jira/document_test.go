package jira

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"
)

// rendered reads markup back the way a renderer does: it returns the text, or what of it would be
// markup.
func rendered(markup string) (text, meant string) {
	var b strings.Builder
	before := ' '
	for i := 0; i < len(markup); {
		rest := markup[i:]
		r, size := utf8.DecodeRuneInString(rest)
		if r == '\\' {
			next, n := utf8.DecodeRuneInString(rest[1:])
			if next == '\\' || n == 0 {
				return "", rest
			}
			b.WriteRune(next)
			before, i = next, i+1+n
			continue
		}
		for entity, plain := range map[string]string{"&#92;": `\`, "&#46;": ".", "&amp;": "&"} {
			if strings.HasPrefix(rest, entity) {
				r, size = rune(plain[0]), len(entity)
			}
		}
		next, _ := utf8.DecodeRuneInString(rest[size:])
		if size == utf8.RuneLen(r) { // not an entity
			switch {
			case strings.ContainsRune("{}[]|!^~", r):
				return "", rest
			case strings.ContainsRune("*_-+", r) && (!isWord(before) || !isWord(next)):
				return "", rest
			case r == '&' && entityMark.MatchString(rest):
				return "", rest
			}
		}
		b.WriteRune(r)
		before, i = r, i+size
	}
	return b.String(), ""
}

func FuzzEscape(f *testing.F) {
	for _, seed := range []string{
		"plain text, with commas.", "[~ann] {color:red}x{color}", "*a* _b_ -c- +d+ ^e^ ~f~ ??g??", `\\ \{ \`, "!http://x/y.png!", "h1. Title", "bq. said",
		"# one", "|| a || b |", ":) (y) (!) ;)", "a&#91;b &amp; &", "a--b---c", "----", "über*alle*", "https://x/y?z=1", "  h3. indented",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(tidy(text), "\n", " ")
		markup := escape(text)
		got, meant := rendered(markup)
		if meant != "" {
			t.Fatalf("%q became %q, where %q means something", text, markup, meant)
		}
		if got != text {
			t.Fatalf("%q became %q, which reads %q", text, markup, got)
		}
		if blockMark.MatchString(markup) || strings.HasPrefix(strings.TrimSpace(markup), "#") {
			t.Fatalf("%q became %q, which begins a block", text, markup)
		}
	})
}

func TestMarkupInText(t *testing.T) {
	for text, want := range map[string]string{
		"payment-service v1.4.0-rc.1": "payment-service v1.4.0-rc.1", "a_b_c": "a_b_c", "x -- y": `x \-\- y`, "[~ann]": `\[\~ann\]`,
		`C:\tmp`: "C:&#92;tmp", "h1. x": "h1&#46; x", "a &lt; b & c": "a &amp;lt; b & c", ":)": `\:)`, "(y) (failed)": `\(y) (failed)`, "https://x/a?b=c": "https://x/a?b=c",
	} {
		if got := escape(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	d := document{paragraph{{text: "a|b]", link: "https://x/y|z]?q={r}"}, {text: "js", link: "javascript:alert(1)"}, {text: "m", mono: true}}}
	if got, want := d.wiki(), `[a\|b\]|https://x/y%7Cz%5D?q=%7Br%7D]js{{m}}`; got != want {
		t.Errorf("links became %q, want %q", got, want)
	}
	if data, _ := json.Marshal(d.adf()); strings.Contains(string(data), "javascript:") {
		t.Errorf("a script is linked: %s", data)
	}
}

// FuzzTextOf reads what Jira hands out, and anybody can put into a description.
func FuzzTextOf(f *testing.F) {
	f.Add(`"Plan: x\r\ny"`)
	f.Add(`{"type":"doc","version":1,"content":[{"type":"paragraph","content":[{"type":"text","text":"Plan: y"},{"type":"hardBreak"},{"type":"mention","attrs":{"text":"@ann"}}]}]}`)
	f.Add(`{"type":"doc","content":[{"type":"table","content":[{"type":"tableRow","content":[{"type":"tableCell","content":[{"type":"paragraph","attrs":{"localId":"x"}}]}]}]}]}`)
	f.Add(`null`)
	f.Add(`[1,2]`)
	f.Add(strings.Repeat(`{"type":"doc","content":[`, 100) + strings.Repeat(`]}`, 100))
	f.Fuzz(func(t *testing.T, raw string) {
		text := textOf(json.RawMessage(raw))
		if strings.Contains(text, "\r\n") {
			t.Errorf("lines end in two ways: %q", text)
		}
		if d := shownDigest(text); d != "" && !strings.Contains(text, planLine+d) {
			t.Errorf("digest %q is not in %q", d, text)
		}
		if meaningOf(json.RawMessage(raw)) != meaningOf(json.RawMessage(" "+raw)) {
			t.Error("blanks around it mean something")
		}
	})
}

func TestShownDigest(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	for text, want := range map[string]string{
		"x\nPlan: " + a + "\ny": a, "Plan: " + a: a, "Plan: " + a + "\nPlan: " + a: a, "Plan: " + a + "\nPlan: " + b: "",
		"my Plan: " + a: "", "Plan: " + a + "b": "", "": "",
	} {
		if got := shownDigest(text); got != want {
			t.Errorf("%q shows %q, want %q", text, got, want)
		}
	}
}

// TestMeaningStaysWhatJiraAdds holds that a document which Jira stored with its own additions is still
// the same, and one that says something else is not.
func TestMeaningStaysWhatJiraAdds(t *testing.T) {
	d := document{
		paragraph{{text: "a\nb", strong: true}}, heading{3, "Plan"}, preformatted("x\ny"), table{rows: [][]paragraph{{plain("1"), {{text: "2", link: "https://x"}}}}},
	}
	sent, _ := json.Marshal(d.adf())
	var stored map[string]any
	if err := json.Unmarshal(sent, &stored); err != nil {
		t.Fatal(err)
	}
	var decorate func(n map[string]any)
	decorate = func(n map[string]any) {
		if n["type"] != "text" && n["type"] != "doc" {
			attrs, _ := n["attrs"].(map[string]any)
			if attrs == nil {
				attrs = map[string]any{}
			}
			attrs["localId"], attrs["layout"] = "7c1", "default"
			n["attrs"] = attrs
		}
		var cut []any
		for _, c := range asList(n["content"]) {
			child := c.(map[string]any)
			if text, is := child["text"].(string); is && len(text) > 1 {
				other := maps.Clone(child)
				child["text"], other["text"] = text[:1], text[1:]
				cut = append(cut, child, other)
				continue
			}
			decorate(child)
			cut = append(cut, child)
		}
		if cut != nil {
			n["content"] = cut
		}
	}
	decorate(stored)
	got, _ := json.Marshal(stored)
	if !says(got, d.adf()) {
		t.Errorf("%s is not what was sent: %s", got, sent)
	}
	for old, changed := range map[string]string{`"\ny"`: `""`, `https://x`: `https://y`, `"level":3`: `"level":2`, `"strong"`: `"em"`} {
		if says([]byte(strings.Replace(string(got), old, changed, 1)), d.adf()) {
			t.Errorf("%s for %s makes no difference", changed, old)
		}
	}
}

func asList(v any) []any { l, _ := v.([]any); return l }
