package chat

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSpans(t *testing.T) {
	at := time.Unix(1700000000, 0)
	text := "asked by " + Mention("ann", "Ann Moreau") + " at " + At(at, Clock, "14:03") + "."
	want := []Span{{Words: "asked by "}, {Words: "Ann Moreau", Person: "ann"}, {Words: " at "}, {Words: "14:03", Time: at, Style: Clock}, {Words: "."}}
	if got := Spans(text); !slices.Equal(got, want) {
		t.Errorf("Spans = %+v, want %+v", got, want)
	}
	if got := Plain(text); got != "asked by Ann Moreau at 14:03." {
		t.Errorf("Plain = %q", got)
	}
}

// Whatever somebody writes, no mark comes out that Mention or At did not make.
func FuzzPlain(f *testing.F) {
	f.Add("no marks")
	f.Add(Mention("ann", "Ann"))
	f.Add("\uFDD0p\uFDD0pann\uFDD1\uFDD2x\uFDD1Ann\uFDD2")
	f.Add("\uFDD0\uFDD1\uFDD2")
	f.Fuzz(func(t *testing.T, s string) {
		plain := Plain(s)
		if strings.ContainsAny(plain, "\uFDD0\uFDD1\uFDD2") {
			t.Errorf("Plain(%q) = %q still holds marks", s, plain)
		}
		for _, span := range Spans(Mention(s, s) + s) {
			if strings.ContainsAny(span.Words+span.Person, "\uFDD0\uFDD1\uFDD2") {
				t.Errorf("Spans(%q) has %+v", s, span)
			}
		}
	})
}
