package playbooks

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// WriteText writes a playbook for people: the waves, what waits for what and
// why, who will be asked, and what to know before saying yes. It has one line
// for each module, however many there are; everything else is in the JSON.
func WriteText(w io.Writer, pb *Playbook) error {
	t := &textPlan{Writer: bufio.NewWriter(w), pb: pb, wave: make(map[string]int, len(pb.Modules)), group: make(map[string]int)}
	for i := range pb.Modules {
		m := &pb.Modules[i]
		t.wave[m.Name] = m.Wave
		t.nameWidth = min(max(t.nameWidth, utf8.RuneCountInString(m.Name)), 48)
		t.versionWidth = min(max(t.versionWidth, utf8.RuneCountInString(m.Move())), 36)
	}
	for i, names := range pb.Groups {
		for _, name := range names {
			t.group[name] = i + 1
		}
	}
	t.collectNotes()
	t.header()
	t.waves()
	t.people()
	t.leftOut()
	t.warnings()
	fmt.Fprintf(t, "\ndigest %s\n", pb.Digest)
	return t.Flush()
}

type textPlan struct {
	*bufio.Writer
	pb                      *Playbook
	wave                    map[string]int
	group                   map[string]int // number of the cycle, from 1
	notes                   map[string][]string
	nameWidth, versionWidth int
}

func (t *textPlan) header() {
	pb := t.pb
	verb := "Release"
	if pb.RollbackOf != nil {
		verb = "Rollback"
	}
	fmt.Fprintf(t, "%s of %s to %s", verb, planCount(len(pb.Modules), "module"), planClean(pb.Environment))
	if len(pb.Waves) > 1 {
		fmt.Fprintf(t, ", in %d waves", len(pb.Waves))
	}
	if at := pb.Request.NotBefore; !at.IsZero() && pb.RollbackOf == nil {
		fmt.Fprintf(t, ", not before %s", at.UTC().Format("Mon 2 Jan 15:04 MST"))
	}
	facts := []string{"playbook " + pb.Digest.Short(), planCount(len(pb.Steps), "step")}
	if len(pb.Targets) > 0 {
		facts = append(facts, strings.Join(pb.Targets, ", then "))
	}
	if pb.Limit > 0 {
		facts = append(facts, fmt.Sprintf("at most %d at once", pb.Limit))
	}
	switch pb.OnFailure {
	case FinishIndependent:
		facts = append(facts, "a failure stops only what rests on it")
	case RollBack:
		facts = append(facts, "a failure rolls back")
	default:
		facts = append(facts, "a failure holds everything")
	}
	fmt.Fprintf(t, "\n%s\n", planClean(strings.Join(facts, " · ")))
	if pb.Request.Reason != "" {
		fmt.Fprintf(t, "because %s\n", planClean(pb.Request.Reason))
	}
	if len(pb.Waves) > 1 {
		t.WriteString("A module begins when all that it comes after is live and healthy.\n")
	}
}

// collectNotes finds out what is special about the way a module takes.
func (t *textPlan) collectNotes() {
	t.notes = make(map[string][]string)
	note := func(s *Step, text string) {
		if !slices.Contains(t.notes[s.Module], text) {
			t.notes[s.Module] = append(t.notes[s.Module], text)
		}
	}
	for i := range t.pb.Steps {
		s := &t.pb.Steps[i]
		final := ""
		if s.Irreversible {
			final = " that cannot be undone"
		}
		switch s.Kind {
		case StepGate:
			text := "gate " + s.Params[ParamGate]
			if s.Bake > 0 {
				text += " " + planDuration(s.Bake)
			}
			note(s, text)
		case StepTag:
			note(s, "tag")
		case StepMigrate:
			note(s, "migration"+final)
		case StepBake:
			note(s, fmt.Sprintf("canary %s %% for %s", s.Params[ParamShare], planDuration(s.Bake)))
		case StepDeploy, StepPromote:
			if final != "" {
				note(s, "cannot be undone")
			}
		case StepTest:
			note(s, strings.TrimSpace("test "+s.Params[ParamJob])+final)
		case StepPublish:
			note(s, "publish"+final)
		}
	}
}

func (t *textPlan) waves() {
	modules := make([][]*PlannedModule, len(t.pb.Waves))
	for i := range t.pb.Modules {
		if m := &t.pb.Modules[i]; m.Wave > 0 && m.Wave <= len(modules) {
			modules[m.Wave-1] = append(modules[m.Wave-1], m)
		}
	}
	for i, wave := range modules {
		fmt.Fprintf(t, "\nWave %d", i+1)
		if len(wave) > 3 {
			fmt.Fprintf(t, ", %s", planCount(len(wave), "module"))
		}
		t.WriteByte('\n')
		slices.SortStableFunc(wave, func(a, b *PlannedModule) int { return cmp.Compare(t.group[a.Name], t.group[b.Name]) })
		group := 0
		for _, m := range wave {
			indent := "  "
			if now := t.group[m.Name]; now > 0 {
				indent = "  │ "
				if now != group {
					fmt.Fprintf(t, "  ┌ together, because they need each other in a circle\n")
				}
				group = now
			}
			t.module(indent, m)
		}
	}
}

func (t *textPlan) module(indent string, m *PlannedModule) {
	line := indent + pad(planClean(m.Name), t.nameWidth) + "  " + pad(planClean(m.Move()), t.versionWidth)
	if after := t.after(m); after != "" {
		line += "  after " + after
	}
	if notes := t.notes[m.Name]; len(notes) > 0 {
		line += "  [" + planClean(strings.Join(notes, ", ")) + "]"
	}
	t.WriteString(strings.TrimRight(line, " "))
	t.WriteByte('\n')
}

// after names what a module waits for, the latest first: that decides when it
// begins.
func (t *textPlan) after(m *PlannedModule) string {
	var needs []*PlannedNeed
	for i := range m.Needs {
		n := &m.Needs[i]
		if n.Kind == NeedTest || n.Outside || t.wave[n.Module] >= m.Wave || i > 0 && m.Needs[i-1].Module == n.Module {
			continue
		}
		needs = append(needs, n)
	}
	slices.SortStableFunc(needs, func(a, b *PlannedNeed) int { return cmp.Compare(t.wave[b.Module], t.wave[a.Module]) })
	words := make([]string, len(needs))
	for i, n := range needs {
		words[i] = planClean(n.Module)
		if n.Reason != needRule(NeedDeploy, nil) {
			words[i] += " (" + planClean(n.Reason) + ")"
		}
	}
	return planList(words, 3, "and")
}

func (t *textPlan) people() {
	t.WriteByte('\n')
	if len(t.pb.Approvals) == 0 {
		t.WriteString("Asked: nobody\n")
	}
	for i := range t.pb.Approvals {
		a := &t.pb.Approvals[i]
		var terms []string
		if a.Distinct {
			terms = append(terms, "each person counts once")
		}
		if a.ExcludeRequester {
			terms = append(terms, "not whoever requests the release")
		}
		terms = append(terms, "an answer holds for "+planDuration(a.ValidFor))
		fmt.Fprintf(t, "Asked: %s (%s)\n", planClean(approvers(a)), strings.Join(terms, ", "))
	}
}

func (t *textPlan) leftOut() {
	causes := make(map[string][]string)
	var order []string
	for _, s := range t.pb.Skipped {
		if causes[s.Cause] == nil {
			order = append(order, s.Cause)
		}
		causes[s.Cause] = append(causes[s.Cause], s.Module)
	}
	slices.Sort(order)
	for _, cause := range order {
		fmt.Fprintf(t, "Left out, %s: %s\n", strings.ReplaceAll(planClean(cause), "-", " "), planClean(planList(causes[cause], 6, "and")))
	}
}

// warnings writes at most five of each kind; the rest by name.
func (t *textPlan) warnings() {
	const most = 5
	list := t.pb.Warnings
	if len(list) == 0 {
		return
	}
	width := 0
	for _, w := range list {
		width = max(width, len(w.Code))
	}
	t.WriteString("\nBefore you say yes\n")
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].Code == list[0].Code {
			n++
		}
		shown := n
		if n > most+1 {
			shown = most
		}
		code := list[0].Code
		for _, w := range list[:shown] {
			fmt.Fprintf(t, "  %s  %s\n", pad(planClean(code), width), planClean(w.Message))
			code = ""
		}
		if shown < n {
			var names []string
			for _, w := range list[shown:n] {
				if !slices.Contains(names, w.Module) {
					names = append(names, w.Module)
				}
			}
			fmt.Fprintf(t, "  %s  the same for %s\n", pad("", width), planClean(planList(names, most, "and")))
		}
		list = list[n:]
	}
}

// Move says from which version to which the module goes: "v1 → v2". A module
// that a rollback takes away goes to "removed".
func (m *PlannedModule) Move() string {
	to := cmp.Or(m.Version, "removed")
	if len(m.From) == 0 {
		return to
	}
	same := !slices.ContainsFunc(m.From, func(f From) bool { return f.Version != m.From[0].Version })
	if same {
		return cmp.Or(m.From[0].Version, "new") + " → " + to
	}
	parts := make([]string, len(m.From))
	for i, f := range m.From {
		parts[i] = strings.TrimSpace(f.Target + " " + cmp.Or(f.Version, "new"))
	}
	return planList(parts, 3, "and") + " → " + to
}

// Replaces is the version that a module takes the place of; empty: it is new everywhere, or
// that is not known. Targets with different versions are told one after the other.
func (m *PlannedModule) Replaces() string {
	var versions []string
	for _, f := range m.From {
		if f.Version != "" && !slices.Contains(versions, f.Version) {
			versions = append(versions, f.Version)
		}
	}
	return strings.Join(versions, ", ")
}

// pad fills up to width characters.
func pad(s string, width int) string {
	if n := utf8.RuneCountInString(s); n < width {
		return s + strings.Repeat(" ", width-n)
	}
	return s
}

// planClean replaces what would break a line or mislead a terminal.
func planClean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}
