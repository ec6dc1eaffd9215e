package bot

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	tests := []struct {
		line   string
		words  []string
		reason string
	}{
		{"", nil, ""},
		{"  status ", []string{"status"}, ""},
		{"plan cart@v1.2.0  redis to production", []string{"plan", "cart@v1.2.0", "redis", "to", "production"}, ""},
		{"reject 12 because the load test failed", []string{"reject", "12"}, "the load test failed"},
		{"reject 12 BECAUSE of it, because of it", []string{"reject", "12"}, "of it, because of it"},
		{"reject 12 because", []string{"reject", "12"}, ""},
		{`status "my cart"`, []string{"status", "my cart"}, ""},
		{"status “my cart” 'b c'", []string{"status", "my cart", "b c"}, ""},
		{`status "because" it`, []string{"status", "because", "it"}, ""},
		{"note 1 it's late", []string{"note", "1", "it's", "late"}, ""},
		{`status "cart`, []string{"status", `"cart`}, ""},
		{`status "a"b`, []string{"status", `"a"b`}, ""},
		{"status\x1b[31m\tcart\r\n", []string{"status", "[31m", "cart"}, ""},
		{"status\u202e cart\u00a0x", []string{"status", "cart", "x"}, ""},
		{"status \xff", []string{"status", "\uFFFD"}, ""},
		{"/muster plan all to staging", []string{"plan", "all", "to", "staging"}, ""},
		{"@Muster: why 1", []string{"why", "1"}, ""},
		{"muster", nil, ""},
		{"muster muster note 1 muster said so", []string{"note", "1", "muster", "said", "so"}, ""},
		{`"muster" status`, []string{"muster", "status"}, ""},
	}
	for _, test := range tests {
		p, err := parse(test.line)
		if err != nil {
			t.Errorf("%q: %v", test.line, err)
			continue
		}
		if got := texts(p); !slices.Equal(got, test.words) || p.reason != test.reason {
			t.Errorf("%q is %q because %q, want %q because %q", test.line, got, p.reason, test.words, test.reason)
		}
	}
	if _, err := parse(strings.Repeat("x", MaxLine+1)); err == nil {
		t.Error("a line of any length is taken")
	}
}

func texts(p phrase) []string {
	var all []string
	for _, w := range p.words {
		all = append(all, w.text)
	}
	return all
}

func TestCorrectedLine(t *testing.T) {
	p, err := parse(`skip 11 "deploy:cart" yes because "yes" is said`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.with(p.words[1], "1"), `skip 1 "deploy:cart" because "yes" is said`; got != want {
		t.Errorf("corrected it is %q, want %q", got, want)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"cart", "checkout", "card-service", "redis-cart", "production", "staging"}
	tests := []struct {
		word string
		want []string
	}{
		{"crt", []string{"cart"}},
		{"CART", []string{"cart"}},
		{"prod", []string{"production"}},
		{"redis", []string{"redis-cart"}},
		{"checkuot", []string{"checkout"}},
		{"xyz", nil},
		{"x", nil},
		{"", nil},
		{strings.Repeat("a", 5000), nil},
	}
	for _, test := range tests {
		if got := nearest(test.word, known); !slices.Equal(got, test.want) {
			t.Errorf("nearest %q is %q, want %q", shortened(test.word, 20), got, test.want)
		}
	}
}

func TestMoment(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 25, 15, 30, 0, 0, berlin) // a Wednesday
	tests := map[string]string{
		"2h":               "2026-11-25 17:30",
		"1h30m":            "2026-11-25 17:00",
		"3d":               "2026-11-28 15:30",
		"18:00":            "2026-11-25 18:00",
		"9:00":             "2026-11-26 09:00",
		"15:30":            "2026-11-26 15:30",
		"2026-11-30":       "2026-11-30 00:00",
		"2026-11-30 12:15": "2026-11-30 12:15",
		"today 18:00":      "2026-11-25 18:00",
		"tomorrow":         "2026-11-26 00:00",
		"Tomorrow 9:00":    "2026-11-26 09:00",
		"monday 9:00":      "2026-11-30 09:00",
		"mon":              "2026-11-30 00:00",
		"wednesday 9:00":   "2026-12-02 09:00",
		"wed 18:00":        "2026-11-25 18:00",
		"":                 "",
		"soon":             "",
		"-2h":              "",
		"0d":               "",
		"9999h":            "",
		"monday noon":      "",
		"25:00":            "",
		"2026-13-01":       "",
		"a b c":            "",
	}
	for words, want := range tests {
		got := ""
		if m, err := moment(strings.Fields(words), now); err == nil {
			got = m.Format("2006-01-02 15:04")
		}
		if got != want {
			t.Errorf("%q is %q, want %q", words, got, want)
		}
	}
	// Summer time ends in the night to 25 October: a time of day stays one.
	before := time.Date(2026, 10, 24, 12, 0, 0, 0, berlin)
	if m, err := moment([]string{"tomorrow", "9:00"}, before); err != nil || m.Hour() != 9 || m.Sub(before) != 22*time.Hour {
		t.Errorf("tomorrow 9:00 is %v, %v", m, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, cmd := range commands() {
		for _, line := range cmd.examples {
			f.Add(line)
		}
		for _, line := range cmd.usage {
			f.Add(line)
		}
	}
	f.Add(`a "b c" 'd' “e f” because "g"`)
	f.Add("\"a ‘b’ \x00\u200d because")
	now := time.Date(2026, 11, 25, 15, 30, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, line string) {
		p, err := parse(line)
		if err != nil {
			return
		}
		if !utf8.ValidString(p.line) {
			t.Fatalf("%q is not text", p.line)
		}
		for _, w := range p.words {
			if w.at < 0 || w.end > len(p.line) || w.at >= w.end || !strings.Contains(p.line[w.at:w.end], w.text) {
				t.Fatalf("%q: word %q is not at %d to %d", p.line, w.text, w.at, w.end)
			}
		}
		printed := p.String()
		if len(printed) > MaxLine { // invalid bytes become longer
			return
		}
		again, err := parse(printed)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(texts(p), texts(again)) || p.because != again.because || p.reason != again.reason {
			t.Fatalf("%q is printed as %q, which is %q because %q", line, printed, texts(again), again.reason)
		}
		a := args{again.words}
		a.number()
		a.takeLast(yes)
		a.until("to")
		_, _ = moment(texts(p), now)
		nearest(line, []string{"cart", "production"})
	})
}
