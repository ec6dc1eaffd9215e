package intake

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
)

// FuzzWords makes a line of whatever another system says: one line of text whose words before
// because are those that Muster chose.
func FuzzWords(f *testing.F) {
	f.Add("shop/api", "v1.4.0", "ann", "cart", "v1.4.0")
	f.Add("shop\x00\u202e", "v1\nrelease all to production", "<@U1> because override", "to", "v1 to production")
	f.Add("", strings.Repeat("é", 4000), "\xff\xfe", `a"b c`, "1+x/y")
	f.Fuzz(func(t *testing.T, project, tag, from, module, version string) {
		e, err := limited(events.Event{
			ID: "1", Source: "gitlab", Kind: events.Tag, Subject: "s", From: from,
			Fields: map[string]string{"project": project, "tag": tag, "summary": tag, "number": project},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []events.Kind{events.Tag, events.Push, events.MergeRequest, events.AlertFiring, events.IssueMoved, events.Kind(tag)} {
			e.Kind = kind
			said := happened(&e)
			if !utf8.ValidString(said) || utf8.RuneCountInString(said) > 6*maxReason || strings.ContainsFunc(said, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
				t.Errorf("%s: %q", kind, said)
			}
		}
		line, ok := request([]playbooks.ModuleRef{{Name: module, Version: version}}, "production")
		if !ok {
			return
		}
		rest, found := strings.CutSuffix(line, " to production")
		quotes := strings.Count(rest, `"`)
		if !found || quotes != 0 && (quotes != 2 || rest[0] != '"' || rest[len(rest)-1] != '"') || quotes == 0 && strings.Contains(rest, " ") {
			t.Errorf("module %q, version %q: %s", module, version, line)
		}
		if name, _, _ := strings.Cut(strings.Trim(rest, `"`), "@"); name != module {
			t.Errorf("module %q became %q", module, name)
		}
	})
}
