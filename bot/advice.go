package bot

import (
	"strings"
	"time"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// isLastResort reports whether all that a wait offers is to go on without the
// step: that mends nothing, and is for those who know better.
func isLastResort(w playbooks.Wait) bool {
	for _, line := range w.Words {
		if !strings.HasPrefix(line, "skip ") {
			return false
		}
	}
	return len(w.Words) > 0
}

// advice says who types what to unblock something, a line for each wait. The
// last resort comes last, and names only those who may.
func advice(waits ...playbooks.Wait) string {
	var lines []string
	for _, w := range waits {
		if words := typing(w); words != "" && !isLastResort(w) {
			lines = append(lines, words)
		}
	}
	return strings.Join(append(lines, lastResorts(waits)...), "\n")
}

// typing says who types what.
func typing(w playbooks.Wait) string {
	words := strings.Join(w.Words, " | ")
	if len(w.Who) > 0 && words != "" {
		return enumerate(w.Who, 6, "or") + ": " + words
	}
	return words
}

// lastResorts are the lines that pass over a step, each with those who may.
func lastResorts(waits []playbooks.Wait) []string {
	var lines []string
	for _, w := range waits {
		if !isLastResort(w) {
			continue
		}
		line := "Or, if you know better: " + strings.Join(w.Words, " | ")
		if len(w.Who) > 0 {
			line += " (" + enumerate(w.Who, 6, "or") + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

// waitWords is what Explain says, without a capital: what waits in words, and
// the latest word of what runs.
func waitWords(v engine.View, w playbooks.Wait) string {
	s := v.Run.Book.Lookup(w.Step)
	if s == nil {
		return onOneLine(w.For)
	}
	words := stepWords(s)
	p := v.Run.Progress(s.ID)
	switch {
	case s.Kind == playbooks.StepApproval, s.Kind == playbooks.StepLock:
		return "it " + onOneLine(w.For)
	case p.State == playbooks.Running && !p.Stalled:
		latest := p.Message
		if report, ok := v.Reports[s.ID]; ok {
			latest = report.Message
		}
		if latest == "" {
			return words + " " + onOneLine(w.For)
		}
		return words + ": " + strings.TrimPrefix(onOneLine(latest), s.Version+": ") // words have the version
	}
	// Explain speaks of steps by their IDs, which are for commands.
	reason := onOneLine(w.For)
	if p.State == playbooks.Unknown {
		return strings.Replace(reason, s.ID, words, 1)
	}
	for _, need := range s.Needs {
		if on := v.Run.Book.Lookup(need.Step); on != nil {
			reason = strings.Replace(reason, "waits for "+need.Step+",", "waits for "+stepWords(on)+",", 1)
		}
	}
	return words + " " + reason
}

// spanWords says since when something waits and until when, with seconds where
// it is about seconds.
func spanWords(v engine.View, times calendar, w playbooks.Wait) string {
	var parts []string
	if !w.Since.IsZero() {
		waited := v.Now.Sub(w.Since)
		switch {
		case waited < time.Second:
			parts = append(parts, "since just now")
		case waited < time.Minute:
			parts = append(parts, "for "+briefly(waited))
		default:
			parts = append(parts, "since "+times.clock(w.Since)+" ("+briefly(waited)+")")
		}
	}
	if !w.Until.IsZero() {
		until := "until " + times.clock(w.Until)
		if w.Until.Sub(v.Now) < time.Minute {
			until = "until " + times.second(w.Until)
		}
		if s := v.Run.Book.Lookup(w.Step); s != nil && s.Kind != playbooks.StepBake && v.Run.Progress(s.ID).State == playbooks.Running {
			until += " at the latest"
		}
		parts = append(parts, until)
	}
	return strings.Join(parts, ", ")
}
