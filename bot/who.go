package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// verbWords says what each verb allows, in the order in which they are listed.
var verbWords = [...]struct {
	verb  playbooks.Verb
	words string
}{
	{playbooks.VerbRelease, "release"},
	{playbooks.VerbOperate, "pause, resume, retry"},
	{playbooks.VerbAbort, "abort"},
	{playbooks.VerbRollback, "roll back"},
	{playbooks.VerbSkip, "skip, confirm"},
	{playbooks.VerbFreeze, "freeze"},
	{playbooks.VerbOverride, "override a freeze"},
	{playbooks.VerbView, "look"},
}

func (c *call) who(ctx context.Context) (chat.Card, error) {
	run, err := c.named(ctx)
	if err != nil {
		return chat.Card{}, err
	}
	w := c.args.next()
	if run != "" && w.text == "" {
		return c.whoIsAsked(ctx, run)
	}
	if w.text == "" {
		return chat.Card{}, c.misused("Who may what? Name an environment, a module, a command or a run.")
	}
	if err := c.noMore(); err != nil {
		return chat.Card{}, err
	}
	if env := c.policy.Environment(w.text); env != nil {
		if refusal := c.maySeePlace(env.Name); refusal != nil {
			return chat.Card{}, refusal
		}
		return c.whoIn(env), nil
	}
	if c.policy.Catalog().Module(w.text) != nil {
		m, err := c.module(w)
		if err != nil {
			return chat.Card{}, err
		}
		return c.whoWith(m), nil
	}
	if cmd := c.b.command(w.text); cmd != nil {
		return c.whoMayCommand(cmd)
	}
	known := slices.Concat(c.environments(), c.modules())
	for _, cmd := range c.b.commands {
		known = append(known, cmd.name)
	}
	u := c.misspelt("environment, module or command", w, known)
	return chat.Card{}, u
}

// whoIsAsked says whose answer a run waits for.
func (c *call) whoIsAsked(ctx context.Context, run string) (chat.Card, error) {
	var card chat.Card
	err := c.view(ctx, run, func(v engine.View) error {
		asked := chat.Section{}
		for _, a := range v.Run.OpenApprovals() {
			open := wantedNow(v, a)
			for i, rule := range open.missing {
				asked.Items = append(asked.Items, chat.Item{
					Symbol: chat.SymbolWaiting, Text: fmt.Sprintf("%d of %s", rule.Count, groupWords(rule.Group)), Detail: orNobody(open.names[i]),
				})
			}
		}
		if len(asked.Items) == 0 {
			card = chat.Card{Text: fmt.Sprintf("Nobody is asked in run %s now; it is %s.", run, statusOf(v.Run))}
		} else {
			card = chat.Card{Text: fmt.Sprintf("Run %s waits for an answer by these.", run), Tone: chat.Waiting, Sections: []chat.Section{asked}}
		}
		card.Actions = buttons("why "+run, "who "+v.Run.Environment)
		return nil
	})
	return card, err
}

// orNobody lists names.
func orNobody(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return enumerate(names, 8, "and")
}

func (c *call) names(group string) []string {
	var names []string
	for _, id := range c.policy.Members(group) {
		names = append(names, c.policy.Name(id))
	}
	return names
}

func (c *call) whoIn(env *playbooks.Environment) chat.Card {
	card := chat.Card{Text: fmt.Sprintf("Nobody is asked before a release to %s.", env.Name)}
	switch {
	case env.Approvals == nil:
		card.Text = fmt.Sprintf("Nothing is released to %s before the configuration says who approves there.", env.Name)
	case len(env.Approvals.Rules) > 0:
		card.Text = fmt.Sprintf("Before a release to %s, %s have to agree.", env.Name, ruleWords(env.Approvals.Rules))
		asked := chat.Section{Heading: "Who is asked"}
		for _, rule := range env.Approvals.Rules {
			asked.Items = append(asked.Items, chat.Item{Text: fmt.Sprintf("%d of %s", rule.Count, groupWords(rule.Group)), Detail: orNobody(c.names(rule.Group))})
		}
		card.Sections = append(card.Sections, asked)
	}
	may := chat.Section{Heading: "Who may do what"}
	for _, v := range verbWords {
		may.Items = append(may.Items, chat.Item{Text: v.words, Detail: orNobody(c.whoMay(v.verb, env.Name))})
	}
	card.Sections = append(card.Sections, may)
	return card
}

func (c *call) askedIn(env *playbooks.Environment) string {
	if env.Approvals == nil || len(env.Approvals.Rules) == 0 {
		return "nobody"
	}
	return ruleWords(env.Approvals.Rules)
}

func (c *call) whoWith(m *playbooks.Module) chat.Card {
	var owners []string
	for _, owner := range m.Owners {
		owners = append(owners, c.policy.Name(owner))
	}
	card := chat.Card{Text: fmt.Sprintf("%s is owned by %s.", m.Name, orNobody(owners))}
	release := chat.Section{Heading: "Who may release it"}
	for i := range c.policy.Catalog().Environments {
		env := &c.policy.Catalog().Environments[i]
		if c.maySeePlace(env.Name, m.Name) == nil {
			release.Items = append(release.Items, chat.Item{
				Text: "to " + env.Name, Detail: fmt.Sprintf("%s; asked: %s", orNobody(c.whoMay(playbooks.VerbRelease, env.Name, m.Name)), c.askedIn(env)),
			})
		}
	}
	card.Sections = append(card.Sections, release)
	return card
}

func (c *call) whoMayCommand(cmd *command) (chat.Card, error) {
	if cmd.verb == "" {
		card := chat.Card{Text: fmt.Sprintf("%s is for %s.", sentence(cmd.name), cmd.access)}
		if strings.HasPrefix(cmd.access, askedPeople) && len(c.environments()) > 0 {
			card.Sections = append(card.Sections, chat.Section{Text: "Who that is: who " + enumerate(c.environments(), 4, "or")})
		}
		return card, nil
	}
	environments := c.environments()
	if len(environments) == 0 {
		return chat.Card{}, c.seesNothing()
	}
	section := chat.Section{}
	for _, name := range environments {
		section.Items = append(section.Items, chat.Item{Text: "in " + name, Detail: orNobody(c.whoMay(cmd.verb, name))})
	}
	return chat.Card{Text: fmt.Sprintf("Who may use %s:", cmd.name), Sections: []chat.Section{section}, Footer: "Owners may have rights for their own modules: who MODULE"}, nil
}
