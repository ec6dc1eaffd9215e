package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// refusal says why a line came to nothing, what state things are in, and what to
// type next. It is the one place that does.
func (c *call) refusal(err error) chat.Card {
	var rule *playbooks.Refusal
	var plan *playbooks.PlanError
	var line *unclear
	switch {
	case errors.As(err, &rule):
		return c.byRule(rule)
	case errors.As(err, &plan):
		return c.unplanned(plan)
	case errors.As(err, &line):
		return c.unclear(line)
	case errors.Is(err, engine.ErrNoPlan):
		return c.unclear(&unclear{text: "There is no such plan, or several begin like that. Nothing was started.", try: []string{"help plan"}})
	case errors.Is(err, engine.ErrNoRun):
		return c.unclear(&unclear{text: "There is no such run.", try: []string{"history"}})
	case errors.Is(err, engine.ErrStopped):
		return chat.Card{Text: "Muster is shutting down. Nothing was done.", Tone: chat.Bad}
	case errors.Is(err, engine.ErrNotSaved):
		return chat.Card{
			Text: "Nothing was done: it could not be saved.", Tone: chat.Bad,
			Sections: []chat.Section{{Text: "Try again in a moment. If it stays like that, Muster's disk needs a look.", Code: shortened(err.Error(), 500)}},
		}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return chat.Card{Text: "That took too long. See what has become of it before you try again.", Tone: chat.Bad, Actions: buttons("status")}
	}
	return chat.Card{
		Text: "That did not work: " + onOneLine(err.Error()) + ".", Tone: chat.Bad,
		Actions: buttons("status"),
	}
}

// byRule shows a refusal: the sentence, the rule, who could, what to type.
func (c *call) byRule(r *playbooks.Refusal) chat.Card {
	text, more, _ := strings.Cut(r.Message, "\n")
	card := chat.Card{Text: "No: " + strings.TrimRight(text, ".:") + ".", Tone: chat.Bad}
	if more != "" {
		card.Sections = append(card.Sections, chat.Section{Code: more})
	}
	fields := []chat.Field{{Name: "rule", Value: r.Rule}}
	switch {
	case len(r.Who) > 0:
		fields = append(fields, chat.Field{Name: "who could", Value: enumerate(r.Who, 6, "or")})
	case strings.HasPrefix(r.Rule, "may-"):
		fields = append(fields, chat.Field{Name: "who could", Value: "nobody in the catalog"})
	}
	card.Sections = append(card.Sections, chat.Section{Fields: fields})
	lines := slices.Clone(r.Try)
	for i := range lines {
		if c.command != nil && c.command.name == "release" {
			lines[i] = strings.Replace(lines[i], "release …", c.phrase.String(), 1)
		}
	}
	c.offer(&card, lines)
	return card
}

// unplanned lists what keeps a request from becoming a plan.
func (c *call) unplanned(e *playbooks.PlanError) chat.Card {
	card := chat.Card{Text: fmt.Sprintf("There is no plan yet: %d things are in the way.", len(e.Problems)), Tone: chat.Bad}
	if len(e.Problems) == 1 {
		card.Text = "There is no plan yet: " + onOneLine(e.Problems[0].String())
		if !strings.HasSuffix(card.Text, "?") {
			card.Text = strings.TrimRight(card.Text, ".") + "."
		}
	} else {
		section := chat.Section{}
		for _, p := range e.Problems {
			section.Items = append(section.Items, chat.Item{Symbol: chat.SymbolFailed, Text: onOneLine(p.String())})
		}
		section.Items = atMost(section.Items, 10)
		card.Sections = append(card.Sections, section)
	}
	c.offer(&card, c.replanned(e))
	return card
}

// replanned returns the line with what was probably meant in place of what was
// typed, and with what is missing added. Where several things could be meant of
// one word, there are several lines.
func (c *call) replanned(e *playbooks.PlanError) []string {
	if c.command == nil || c.command.verb != playbooks.VerbView && c.command.verb != playbooks.VerbRelease {
		return nil
	}
	p := c.phrase
	p.words = slices.Clone(p.words)
	var missing []string
	var lines []string
	for _, problem := range e.Problems {
		if len(problem.Offer) == 0 {
			return nil // one thing that nobody knows how to mend
		}
		if problem.Code == "missing-prerequisite" {
			missing = append(missing, problem.Offer[0])
			continue
		}
		for i, w := range p.words {
			name, version, _ := strings.Cut(w.text, "@")
			if strings.TrimSuffix(name, ",") != problem.Module {
				continue
			}
			for _, offer := range problem.Offer {
				if version != "" && !strings.Contains(offer, "@") {
					offer += "@" + version
				}
				lines = append(lines, p.with(w, offer))
			}
			p.words[i].text = problem.Offer[0]
			if version != "" && !strings.Contains(problem.Offer[0], "@") {
				p.words[i].text += "@" + version
			}
		}
	}
	if len(e.Problems) == 1 && len(missing) == 0 {
		return lines
	}
	for _, name := range missing {
		p.words = slices.Insert(p.words, 2, word{text: name})
	}
	return []string{p.String()}
}

// unclear shows a line that was not understood.
func (c *call) unclear(u *unclear) chat.Card {
	card := chat.Card{Text: u.text}
	if len(u.items) > 0 {
		card.Sections = append(card.Sections, chat.Section{Items: u.items})
	}
	if len(u.usage) > 0 {
		card.Sections = append(card.Sections, chat.Section{Code: strings.Join(u.usage, "\n")})
	}
	if len(u.examples) > 0 {
		card.Sections = append(card.Sections, chat.Section{Text: "For example: " + u.examples[0]})
	}
	c.offer(&card, u.try)
	return card
}

// maxOffers is how many lines are offered as buttons.
const maxOffers = 5

// offer adds what to type next: whole lines as buttons, the rest as words.
func (c *call) offer(card *chat.Card, lines []string) {
	var words []string
	for _, line := range lines {
		if c.complete(line) && len(card.Actions) < maxOffers {
			card.Actions = append(card.Actions, offered(line))
		} else {
			words = append(words, line)
		}
	}
	if len(words) > 0 {
		card.Sections = append(card.Sections, chat.Section{Text: "Type: " + strings.Join(words[:min(len(words), maxOffers)], " | ")})
	}
}

// offered is the button for a line. A yes is asked for twice wherever it stands.
func offered(line string) chat.Action {
	a := chat.Action{Label: shortened(line, 70), Command: line}
	if strings.HasPrefix(line, "approve ") {
		a.Style, a.Confirm = chat.Good, sentence(line)+"?"
	}
	return a
}

// complete reports whether a line can be typed as it stands: it begins with a
// command, and nothing in it waits to be filled in. A yes that does not name the
// plan is never offered: who presses it has seen nothing.
func (c *call) complete(line string) bool {
	p, err := parse(line)
	if err != nil || len(p.words) == 0 || c.b.command(p.words[0].text) == nil || p.because && p.why() == "" ||
		p.words[0].is("approve") && len(p.words) < 3 {
		return false
	}
	for _, w := range p.words {
		if w.text == "…" || len(w.text) > 1 && strings.IndexFunc(w.text, func(r rune) bool { return !unicode.IsUpper(r) }) < 0 {
			return false
		}
	}
	return true
}

// buttons offers lines that can be typed as they stand.
func buttons(lines ...string) []chat.Action {
	var actions []chat.Action
	for _, line := range lines {
		actions = append(actions, chat.Action{Label: line, Command: line})
	}
	return actions
}
