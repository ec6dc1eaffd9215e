package bot

import (
	"context"
	"errors"
	"fmt"
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
	c.offer(&card, r.Try)
	return card
}

// unplanned lists what keeps a request from becoming a plan.
func (c *call) unplanned(e *playbooks.PlanError) chat.Card {
	card := chat.Card{Tone: chat.Bad, Text: fmt.Sprintf("There is no plan yet: %s.", strings.TrimRight(onOneLine(firstProblem(e)), "."))}
	var items []chat.Item
	var missing []string
	for _, p := range e.Problems {
		item := chat.Item{Symbol: chat.SymbolFailed, Text: onOneLine(p.Message)}
		switch p.Code {
		case "missing-prerequisite":
			item.Detail = "add " + enumerate(p.Offer, 5, "or")
			missing = append(missing, p.Offer[:min(len(p.Offer), 1)]...)
		case "nothing-to-release":
		default:
			if len(p.Offer) > 0 {
				item.Detail = "try " + enumerate(p.Offer, 5, "or")
			}
		}
		items = append(items, item)
	}
	if len(e.Problems) > 1 {
		card.Text = fmt.Sprintf("There is no plan yet: %d things are in the way.", len(e.Problems))
	}
	if len(items) > 1 || items[0].Detail != "" {
		card.Sections = append(card.Sections, chat.Section{Items: atMost(items, 10)})
	}
	c.offer(&card, c.replanned(e, missing))
	return card
}

func firstProblem(e *playbooks.PlanError) string {
	if len(e.Problems) == 0 {
		return "nobody knows why"
	}
	return e.Problems[0].Message
}

// replanned returns the line with what was missing added, or with what was
// probably meant in place of what was typed.
func (c *call) replanned(e *playbooks.PlanError, missing []string) []string {
	var lines []string
	for _, p := range e.Problems {
		for _, w := range c.phrase.words {
			name, _, _ := strings.Cut(w.text, "@")
			if p.Module == "" || name != p.Module || p.Code == "missing-prerequisite" {
				continue
			}
			for _, offer := range p.Offer[:min(len(p.Offer), maxNear)] {
				if !strings.Contains(offer, "@") {
					offer += strings.TrimPrefix(w.text, name) // the version that was typed
				}
				lines = append(lines, c.phrase.with(w, offer))
			}
		}
	}
	if len(missing) > 0 && len(missing) == len(e.Problems) && len(c.phrase.words) > 1 {
		first := c.phrase.words[1]
		lines = append(lines, c.phrase.with(first, first.text+" "+strings.Join(missing, " ")))
	}
	return lines
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
			card.Actions = append(card.Actions, chat.Action{Label: shortened(line, 70), Command: line})
		} else {
			words = append(words, line)
		}
	}
	if len(words) > 0 {
		card.Sections = append(card.Sections, chat.Section{Text: "What you can do: " + strings.Join(words[:min(len(words), maxOffers)], " | ")})
	}
}

// complete reports whether a line can be typed as it stands: it begins with a
// command, and nothing in it waits to be filled in.
func (c *call) complete(line string) bool {
	p, err := parse(line)
	if err != nil || len(p.words) == 0 || c.b.command(p.words[0].text) == nil || p.because && p.why() == "" {
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
