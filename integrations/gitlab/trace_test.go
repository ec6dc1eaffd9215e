package gitlab

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestTail(t *testing.T) {
	tests := []struct{ name, trace, want string }{
		{"plain", "one\ntwo\n", "one\ntwo"},
		{"nothing", "", ""},
		{"blank lines", "\n\none\n\n\n", "one"},
		{"colours", "\x1b[0KRunning\x1b[0;m\n\x1b[31;1mERROR: exit code 1\x1b[0;m\n", "Running\nERROR: exit code 1"},
		{"sections", "section_start:1560896352:build[collapsed=true]\r\x1b[0KHeader\r\nmake\nsection_end:1560896353:build\r\x1b[0K\ndone", "Header\nmake\ndone"},
		{"progress is written over", "10 %\r50 %\r100 %\nready\r\n", "100 %\nready"},
		{"the runner's time stamps", "2024-05-22T12:43:46.962646Z 00O Running\n2024-05-22T12:43:47.000001Z 01E+bad\n", "Running\nbad"},
		{"a title of a window", "\x1b]0;title\x07text\n", "text"},
		{"what is not UTF-8", "a\xffb\n", "a\uFFFDb"},
		{"what turns text around", "a\u202Eb\x00\n", "ab"},
		{"a long line", strings.Repeat("x", 400), strings.Repeat("x", 299) + "…"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var end tail
			for _, b := range []byte(test.trace) { // in the smallest pieces
				if n, err := end.Write([]byte{b}); n != 1 || err != nil {
					t.Fatal(n, err)
				}
			}
			if got := end.text(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var end tail
	for i := range 100_000 {
		fmt.Fprintf(&end, "line %d\n", i)
	}
	lines := strings.Split(end.text(), "\n")
	if len(lines) != traceLines || lines[0] != "line 99970" || lines[29] != "line 99999" {
		t.Errorf("%d lines, from %q to %q", len(lines), lines[0], lines[len(lines)-1])
	}
	if cap(end.kept) > 4*traceKept {
		t.Errorf("it holds %d bytes", cap(end.kept))
	}
	end = tail{}
	if _, err := end.Write([]byte(strings.Repeat("first\n", traceKept) + "last")); err != nil || !strings.HasSuffix(end.text(), "first\nlast") {
		t.Errorf("one large piece: %q", end.text())
	}
}

func FuzzTail(f *testing.F) {
	f.Add([]byte("\x1b[31mred\x1b[0m\r\nsection_start:1:a\r\x1b[0K"), 3)
	f.Add([]byte("2024-05-22T12:43:46.962646Z 00O \xff\u202e"), 1)
	f.Fuzz(func(t *testing.T, trace []byte, piece int) {
		var end tail
		for rest := trace; len(rest) > 0; {
			n := min(len(rest), max(1, piece))
			if _, err := end.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		text := end.text()
		lines := strings.Split(text, "\n")
		if !utf8.ValidString(text) || len(lines) > traceLines {
			t.Errorf("%d lines: %q", len(lines), text)
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > traceLine || strings.ContainsFunc(line, unicode.IsControl) {
				t.Errorf("line %q", line)
			}
		}
	})
}
