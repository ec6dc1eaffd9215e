package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
)

// releaseForm is the form that plans a release, and the names of its inputs.
const (
	releaseForm   = "release"
	inputModules  = "modules"
	inputWhere    = "environment"
	inputWhy      = "why"
	everything    = "all"
	maxSuggested  = 50
	maxChoice     = 75 // characters, see chat.Choice
	maxFormReason = 500
)

// formPatience is how long a form waits until it is known who fills it in. The chat wants
// its acknowledgement, and without a form there is still the line.
const formPatience = time.Second

// formFor is who fills in a form, if that is known in time.
func (b *Bot) formFor(ctx context.Context, from string) *call {
	ctx, cancel := context.WithTimeout(ctx, formPatience)
	defer cancel()
	person, _, err := b.o.People.Person(ctx, from)
	if err != nil || person == "" {
		return nil
	}
	return &call{b: b, line: Line{By: person, From: from, Via: b.o.System}, policy: b.o.Engine.Policy()}
}

// Form returns the form that a line opens, in chats that can show forms: that which plans
// a release, for `release` or `plan` without words. It returns nil where the line is to be
// carried out as it is. Nothing is decided by it.
func (b *Bot) Form(ctx context.Context, e chat.Event) *chat.Form {
	p, err := parse(e.Text)
	if err != nil || len(p.words) != 1 || p.because {
		return nil
	}
	if cmd := b.command(p.words[0].text); cmd == nil || cmd.name != "release" && cmd.name != "plan" {
		return nil
	}
	c := b.formFor(ctx, e.From)
	if c == nil {
		return nil // the answer to the line says so
	}
	var choices []chat.Choice
	for _, name := range c.environments() {
		if len(name) <= maxChoice {
			choices = append(choices, chat.Choice{Value: name, Label: name})
		}
	}
	if len(choices) == 0 || len(choices) > 100 {
		return nil
	}
	return &chat.Form{
		Name: releaseForm, Title: "Plan a release", Submit: "Show the plan", Wait: "Planning…",
		Inputs: []chat.Input{
			{Name: inputModules, Label: "Modules", Kind: chat.Search, Hint: "Type a part of a name, or all. For a version that is not the newest, type: release cart@v1.4.0 to production"},
			{Name: inputWhere, Label: "Where to", Kind: chat.Choose, Choices: choices},
			{Name: inputWhy, Label: "Why", Kind: chat.Words, Optional: true, Hint: "Those who approve read it"},
		},
	}
}

// Suggest returns the modules that fit what somebody has typed so far, those that
// begin like that first. Who may not see a module does not find it.
func (b *Bot) Suggest(ctx context.Context, from, form, input, typed string) []chat.Choice {
	if form != releaseForm || input != inputModules {
		return nil
	}
	c := b.formFor(ctx, from)
	if c == nil {
		return nil
	}
	typed = strings.ToLower(strings.TrimSpace(clean(typed)))
	var first, others []chat.Choice
	if strings.HasPrefix(everything, typed) {
		first = append(first, chat.Choice{Value: everything, Label: "all modules"})
	}
	for _, name := range c.modules() {
		choice := chat.Choice{Value: name, Label: name}
		switch lower := strings.ToLower(name); {
		case len(name) > maxChoice:
		case strings.HasPrefix(lower, typed):
			first = append(first, choice)
		case strings.Contains(lower, typed):
			others = append(others, choice)
		}
	}
	found := append(first, others...)
	return found[:min(len(found), maxSuggested)]
}

// Fill turns a form that somebody sent into a line of the command language, or
// says by input what is wrong with it. What the line does, and whether they may, is decided
// when it is carried out.
func (b *Bot) Fill(ctx context.Context, from string, f chat.Filled) (line string, wrong map[string]string) {
	wrong = make(map[string]string)
	if f.Form != releaseForm {
		return "", map[string]string{inputModules: "This form is out of date: close it, and open it again."}
	}
	c := b.formFor(ctx, from)
	if c == nil {
		return "", map[string]string{inputModules: "It cannot be said just now who you are. Try again, or type the line."}
	}
	modules, where := f.Values[inputModules], strings.Join(f.Values[inputWhere], " ")
	switch {
	case len(modules) == 0:
		wrong[inputModules] = "Choose a module, or all."
	case slices.Contains(modules, everything) && len(modules) > 1:
		wrong[inputModules] = "Either all modules, or some: not both."
	}
	known := c.modules()
	for _, name := range modules {
		if name != everything && !slices.Contains(known, name) {
			wrong[inputModules] = fmt.Sprintf("There is no module %q any more.", shortened(clean(name), 60))
		}
	}
	if !slices.Contains(c.environments(), where) {
		wrong[inputWhere] = "Choose an environment."
	} else if len(wrong) == 0 && !slices.Contains(modules, everything) {
		if refusal := c.policy.May(c.line.By, playbooks.VerbView, where, modules...); refusal != nil {
			wrong[inputWhere] = shortened(onOneLine(refusal.Message), 150)
		}
	}
	why := strings.TrimSpace(clean(strings.Join(f.Values[inputWhy], " ")))
	if len(why) > maxFormReason {
		wrong[inputWhy] = fmt.Sprintf("That is too long: %d characters are the most.", maxFormReason)
	}
	if len(wrong) > 0 {
		return "", wrong
	}
	line = "plan " + strings.Join(modules, " ") + " to " + where
	if why != "" {
		line += " because " + why
	}
	if len(line) > MaxLine {
		return "", map[string]string{inputModules: "These are too many at once. Choose all, or fewer."}
	}
	return line, nil
}
