package bot

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
)

// calendar writes times as people near a release read them: the clock alone on
// the day on which the release began. A chat that can shows them in the reader's zone.
type calendar struct {
	zone  *time.Location
	began time.Time
}

func (c calendar) clock(t time.Time) string {
	t, began := t.In(c.zone), c.began.In(c.zone)
	if t.YearDay() == began.YearDay() && t.Year() == began.Year() {
		return chat.At(t, chat.Clock, t.Format("15:04"))
	}
	return chat.At(t, chat.Dated, t.Format("2 Jan 15:04"))
}

// second is clock with seconds, for what is about to happen.
func (c calendar) second(t time.Time) string {
	return chat.At(t, chat.Seconds, chat.Plain(c.clock(t))+t.In(c.zone).Format(":05"))
}

// full names the day and the zone as well.
func (c calendar) full(t time.Time) string {
	return chat.At(t, chat.Dated, t.In(c.zone).Format("2 Jan 15:04 MST"))
}

// briefly writes a duration with at most two units: "2m 10s".
func briefly(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	units := []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		text := fmt.Sprintf("%d%s", d/u.size, u.name)
		if i+1 < len(units) && d%u.size >= units[i+1].size {
			text += fmt.Sprintf(" %d%s", d%u.size/units[i+1].size, units[i+1].name)
		}
		return text
	}
	return "0s"
}

// mention names a person so that a chat may ring for them. It is for messages that
// want something of them, or are about what they asked for.
func mention(p *playbooks.Policy, person string) string {
	if p.Person(person) == nil {
		return p.Name(person)
	}
	return chat.Mention(person, p.Name(person))
}

// countOf writes a number with its noun.
func countOf(n int, one string) string { return fmt.Sprintf("%d %s", n, plural(n, one)) }

func plural(n int, one string) string {
	if n == 1 {
		return one
	}
	return one + "s"
}

// enumerate joins words with a conjunction, and counts those beyond most.
func enumerate(words []string, most int, conjunction string) string {
	switch n := len(words); {
	case n == 0:
		return ""
	case n == 1:
		return words[0]
	case n > most:
		return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), n-most)
	default:
		return strings.Join(words[:n-1], ", ") + " " + conjunction + " " + words[n-1]
	}
}

// sentence makes the first letter a capital.
func sentence(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[size:]
}

// shortened keeps the beginning of a text.
func shortened(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// onOneLine is for texts of others that have to fit into a sentence.
func onOneLine(s string) string {
	return shortened(strings.Join(strings.Fields(chat.Plain(s)), " "), 300)
}

// stepWords says what a step does, short enough for a phone.
func stepWords(s *playbooks.Step) string {
	module := s.Module
	if s.Target != "" {
		module += " in " + s.Target
	}
	share := s.Params[playbooks.ParamShare] + " %"
	switch s.Kind {
	case playbooks.StepApproval:
		return "approval"
	case playbooks.StepLock:
		return "locks"
	case playbooks.StepPreflight:
		return "last look before it begins"
	case playbooks.StepNotify:
		return "announcement"
	case playbooks.StepGate:
		if s.Module == "" {
			return "departure"
		}
		return "gate " + s.Params[playbooks.ParamGate] + " of " + module
	case playbooks.StepTag:
		return "tag " + module + " " + s.Version
	case playbooks.StepMigrate:
		return "migrate " + module
	case playbooks.StepDeploy:
		return "deploy " + module + " " + s.Version
	case playbooks.StepCanary:
		return "canary of " + module + " " + s.Version + " at " + share
	case playbooks.StepBake:
		return "watch " + module + " at " + share
	case playbooks.StepPromote:
		return "promote " + module + " " + s.Version
	case playbooks.StepVerify:
		return "verify " + module
	case playbooks.StepTest:
		return "test " + module
	case playbooks.StepPublish:
		return "publish " + module + " " + s.Version
	case playbooks.StepRollback:
		return "roll " + module + " back to " + s.Version
	case playbooks.StepRemove:
		return "remove " + module
	}
	return s.ID
}

// moduleNames are the modules of a playbook.
func moduleNames(pb *playbooks.Playbook) []string {
	names := make([]string, len(pb.Modules))
	for i := range pb.Modules {
		names[i] = pb.Modules[i].Name
	}
	return names
}

// moduleMoves names modules with the versions they get.
func moduleMoves(pb *playbooks.Playbook, most int) string {
	words := make([]string, len(pb.Modules))
	for i := range pb.Modules {
		words[i] = pb.Modules[i].Name + " " + pb.Modules[i].Move()
	}
	return enumerate(words, most, "and")
}

// bySpeaker is a person with the rule or train that spoke for them, if one did.
func bySpeaker(name, rule string) string {
	if rule == "" {
		return name
	}
	return name + " (" + rule + ")"
}

// ruleWords says whom approval rules ask.
func ruleWords(rules []playbooks.ApprovalRule) string {
	words := make([]string, len(rules))
	for i, rule := range rules {
		words[i] = fmt.Sprintf("%d of %s", rule.Count, groupWords(rule.Group))
	}
	return enumerate(words, len(words), "and")
}

func groupWords(group string) string {
	if group == "" {
		return "those who may roll back"
	}
	return group
}

// Bounds of an excerpt: what a phone shows without scrolling for long.
const (
	excerptLines = 12
	excerptRunes = 1500
)

// excerpt is the part of a failure's evidence that helps to see what went wrong:
// the last lines, where the cause mostly stands.
func excerpt(evidence []playbooks.Evidence) string {
	var lines []string
	for _, e := range evidence {
		text := strings.TrimRight(e.Text, "\n")
		if text != "" && !strings.Contains(text, "\n") {
			text = e.Name + ": " + text
		}
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" {
				lines = append(lines, shortened(line, 200))
			}
		}
		if e.Link != "" {
			lines = append(lines, e.Name+": "+e.Link)
		}
	}
	lines = lines[max(0, len(lines)-excerptLines):]
	text := []rune(chat.Plain(strings.Join(lines, "\n")))
	return string(text[max(0, len(text)-excerptRunes):])
}
