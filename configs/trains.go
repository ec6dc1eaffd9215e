package configs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a catalog means the same on machines that know no time zones

	"github.com/robfig/cron/v3"

	"github.com/muster-release/muster/playbooks"
)

// maxLead is how long after its tick a train may depart.
const maxLead = 7 * 24 * time.Hour

func (d *decoder) trainsSection(n *node) {
	for _, item := range d.list(n) {
		if len(d.catalog.Trains) == maxRules {
			d.report(item.at, "", "there are more than %d trains", maxRules)
			return
		}
		d.train(item)
	}
}

func (d *decoder) train(n *node) {
	t := playbooks.Train{Late: playbooks.LateSkip}
	var remind, as *node
	timed := true // departs is right
	ok := d.object(n, "a train",
		field{key: "name", decode: func(n *node) {
			if t.Name = d.name(n, "the name of a train", forCauses); t.Name != "" {
				d.declare(d.trains, "train", t.Name, n.at)
				d.locate(n.at, "trains", t.Name)
			}
		}},
		field{key: "schedule", decode: func(n *node) { t.Schedule = d.cron(n) }},
		field{key: "zone", decode: func(n *node) { t.Zone = d.zone(n) }},
		field{key: "to", decode: func(n *node) {
			t.Environment = d.text(n)
			d.refer(n, t.Environment, anEnvironment, "a train goes to")
		}},
		field{key: "modules", decode: func(n *node) { t.Modules = d.some(n, aModule, "a train takes") }},
		field{key: "departs", decode: func(n *node) { t.Lead, timed = d.lead(n) }},
		field{key: "remind", decode: func(n *node) { remind = n }},
		field{key: "late", decode: func(n *node) {
			t.Late = choice(d, n, "way to treat a train that is late", playbooks.LateSkip, playbooks.LateRun)
		}},
		field{key: "as", decode: func(n *node) {
			as, t.As = n, d.text(n)
			d.refer(n, t.As, aPerson, "a train is released by")
		}},
		field{key: "channels", decode: func(n *node) {
			t.Channels = d.texts(n)
			d.shownIn = append(d.shownIn, n)
		}},
	)
	if !ok {
		return
	}
	d.require(n, "a train", "name", "schedule", "zone", "to", "as")
	if remind != nil {
		t.Remind = d.remind(remind, t.Lead, timed)
	}
	if as != nil && t.Environment != "" {
		subject := "a train"
		if t.Name != "" {
			subject = "train " + quote(t.Name)
		}
		d.acting = append(d.acting, acting{as.at, subject, t.As, playbooks.VerbRelease, t.Environment, t.Modules})
	}
	d.catalog.Trains = append(d.catalog.Trains, t)
}

// lead reads how long after its tick a train departs, at once or up to a week later,
// and whether that is right.
func (d *decoder) lead(n *node) (time.Duration, bool) {
	span, ok := d.span(n)
	if span > maxLead {
		d.report(n.at, "", "%q is %s, and must be at most %s", n.name, n.text, shortSpan(maxLead))
		return 0, false
	}
	return span, ok
}

// remind reads how long before the departure people are told again, which is after the tick.
func (d *decoder) remind(n *node, lead time.Duration, timed bool) []time.Duration {
	var spans []time.Duration
	for _, item := range d.list(n) {
		known := len(d.found)
		span := d.duration(item)
		switch {
		case len(d.found) > known:
		case timed && lead == 0:
			d.report(item.at, "give departs, such as 2h", "nobody can be reminded of a train that departs at once")
			return nil
		case timed && span >= lead:
			d.report(item.at, "", "a reminder %s before the departure comes too early: the train departs %s after its schedule", item.text, shortSpan(lead))
		case slices.Contains(spans, span):
			d.report(item.at, "", "%q lists %s twice", item.name, item.text)
		default:
			spans = append(spans, span)
		}
	}
	return spans
}

// cronFields are the five fields of a schedule, and what each may be.
var cronFields = [...]struct{ name, wants string }{
	{"minute", "0 to 59"},
	{"hour", "0 to 23"},
	{"day of the month", "1 to 31"},
	{"month", "1 to 12, or JAN to DEC"},
	{"day of the week", "0 to 6, which begins with Sunday, or SUN to SAT"},
}

const (
	cronExample  = `a schedule such as "0 14 * * TUE": minute, hour, day of the month, month, day of the week`
	maxCronField = 200
)

// cronPart is one part of a field. The parser passes over what stands behind a * or is missing.
var cronPart = regexp.MustCompile(`^([*?]|[0-9A-Za-z]{1,9}(-[0-9A-Za-z]{1,9})?)(/[0-9]{1,9})?$`)

// cron reads a schedule in cron's five fields.
func (d *decoder) cron(n *node) string {
	value := strings.TrimSpace(d.text(n))
	if value == "" {
		if n.kind == text {
			d.report(n.at, "", "%q is empty", n.name)
		}
		return ""
	}
	if strings.HasPrefix(value, "TZ=") || strings.HasPrefix(value, "CRON_TZ=") {
		d.report(n.at, "give it as zone", "%q names a time zone by itself", n.name)
		return ""
	}
	if strings.HasPrefix(value, "@") {
		d.report(n.at, cronShort(value), "%q wants %s", n.name, cronExample)
		return ""
	}
	fields := strings.Fields(value)
	if len(fields) != len(cronFields) {
		hint := ""
		if len(fields) == len(cronFields)+1 {
			hint = "leave the seconds out"
		}
		d.report(n.at, hint, "%q wants %s; it has %s", n.name, cronExample, count(len(fields), "field"))
		return ""
	}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	right := true
	for i, f := range fields {
		if !cronField(parser, i, f) {
			right = false
			d.report(n.at, cronHint(i, f), "the %s of %q cannot be %q: it is %s", cronFields[i].name, n.name, shorten(f), cronFields[i].wants)
		}
	}
	if !right {
		return ""
	}
	value = strings.Join(fields, " ")
	schedule, err := parser.Parse(value)
	if err != nil {
		d.report(n.at, "", "%q wants %s", n.name, cronExample)
		return ""
	}
	// Any day: what comes round at all does so within the five years that are searched.
	if schedule.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		d.report(n.at, "", "no day is ever one of %q", value)
		return ""
	}
	return value
}

// cronField reports whether a text can be the field of that number.
func cronField(parser cron.Parser, at int, f string) bool {
	if len(f) > maxCronField {
		return false
	}
	for part := range strings.SplitSeq(f, ",") {
		if !cronPart.MatchString(part) {
			return false
		}
	}
	alone := []string{"*", "*", "*", "*", "*"}
	alone[at] = f
	_, err := parser.Parse(strings.Join(alone, " "))
	return err == nil
}

func cronHint(at int, f string) string {
	if at == 4 && strings.Contains(f, "7") {
		return "Sunday is 0"
	}
	return ""
}

// cronShort is what a schedule of one word, as some crons have them, is in five fields.
func cronShort(value string) string {
	word, _, _ := strings.Cut(value, " ")
	same := map[string]string{
		"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
		"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
	}
	if five := same[strings.ToLower(word)]; five != "" {
		return "write " + quote(five)
	}
	return ""
}

func shorten(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// zone reads a time zone by its IANA name. What the machine has for its own would mean
// something else on the next one.
func (d *decoder) zone(n *node) string {
	value := d.text(n)
	if value == "" {
		if n.kind == text {
			d.report(n.at, "", "%q is empty: write UTC if that is meant", n.name)
		}
		return ""
	}
	if isZone(value) {
		return value
	}
	hint := ""
	for _, guess := range zoneGuesses(value) {
		if isZone(guess) {
			hint = "did you mean " + quote(guess) + "?"
			break
		}
	}
	d.report(n.at, hint, "%q wants a time zone such as Europe/Berlin or UTC, found %q", n.name, shorten(value))
	return ""
}

func isZone(name string) bool {
	if name == "" || name == "Local" || len(name) > 64 {
		return false
	}
	_, err := time.LoadLocation(name)
	return err == nil
}

// zoneGuesses are names of zones that a text may mean: in other letters, or a city alone.
func zoneGuesses(value string) []string {
	if len(value) > 64 {
		return nil
	}
	words := strings.FieldsFunc(strings.ToLower(value), func(r rune) bool { return r == ' ' || r == '_' })
	title := []rune(strings.Join(words, "_"))
	for i, r := range title {
		if i == 0 || strings.ContainsRune("/_-", title[i-1]) {
			title[i] = []rune(strings.ToUpper(string(r)))[0]
		}
	}
	guesses := []string{string(title), strings.ToUpper(value)}
	if !strings.Contains(value, "/") {
		for _, continent := range []string{"Europe", "America", "Asia", "Africa", "Australia", "Pacific", "Atlantic", "Indian"} {
			guesses = append(guesses, continent+"/"+string(title))
		}
	}
	return guesses
}
