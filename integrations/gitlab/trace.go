package gitlab

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	gl "gitlab.com/gitlab-org/api/client-go/v2"
)

const (
	// traceLines is how much of a failing job's trace people get to see.
	traceLines = 30
	// traceLine is the longest line of it, in runes.
	traceLine = 300
	// traceKept is how many bytes of a trace's end are looked at.
	traceKept = 64 << 10
)

// trace returns the end of a job's trace, for people.
func (g *GitLab) trace(ctx context.Context, project string, job int64) (string, error) {
	var end tail
	err := do(anySize(ctx), g, fmt.Sprintf("read the trace of job %d of %q", job, project), func(with ...gl.RequestOptionFunc) (*gl.Response, error) {
		// The client's own GetTraceFile holds the whole of it in memory.
		request, err := g.api.NewRequest(http.MethodGet, fmt.Sprintf("projects/%s/jobs/%d/trace", gl.PathEscape(project), job), nil, with)
		if err != nil {
			return nil, err
		}
		return g.api.Do(request, &end)
	})
	return end.text(), err
}

// tail is a writer that keeps the end of what is written to it. Traces may have hundreds of
// megabytes, and GitLab hands them out whole.
type tail struct {
	kept []byte
	cut  bool // something before it was dropped
}

// Write implements io.Writer. It never fails.
func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if len(p) > traceKept {
		p, t.cut = p[len(p)-traceKept:], true
	}
	if over := len(t.kept) + len(p) - traceKept; over > 0 {
		t.kept, t.cut = append(t.kept[:0], t.kept[over:]...), true
	}
	t.kept = append(t.kept, p...)
	return n, nil
}

var (
	// escapes are the terminal's control sequences of ECMA-48: CSI, OSC, and those of two bytes.
	escapes = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]?`)
	// sections mark what can be folded: https://docs.gitlab.com/ci/jobs/job_logs/#custom-collapsible-sections
	sections = regexp.MustCompile(`section_(?:start|end):\d+:[A-Za-z0-9_.-]+(?:\[[^\]\r\n]*\])?\r?`)
	// stamps begin each line where the runner adds them:
	// https://docs.gitlab.com/ci/jobs/job_logs/#job-log-timestamps
	stamps = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z [0-9a-f]{2}[OE][ +]?`)
)

// text returns the last lines as a person at a terminal would have seen them.
func (t *tail) text() string {
	kept := t.kept
	if t.cut {
		if _, rest, found := bytes.Cut(kept, []byte("\n")); found {
			kept = rest // the first line is not whole
		}
	}
	var lines []string
	for line := range strings.SplitSeq(strings.ToValidUTF8(string(kept), "\uFFFD"), "\n") {
		line = stamps.ReplaceAllString(strings.TrimRight(line, "\r"), "")
		line = sections.ReplaceAllString(escapes.ReplaceAllString(line, ""), "")
		line = strings.TrimRight(line, "\r")
		if i := strings.LastIndexByte(line, '\r'); i >= 0 {
			line = line[i+1:] // it was written over what stood there
		}
		line = strings.Map(func(r rune) rune {
			switch {
			case r == '\t':
				return ' '
			case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
				return -1
			}
			return r
		}, line)
		if line = strings.TrimRight(line, " "); line != "" {
			lines = append(lines, clip(line, traceLine))
		}
	}
	return strings.Join(lines[max(0, len(lines)-traceLines):], "\n")
}

// clip shortens a text to so many runes.
func clip(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
