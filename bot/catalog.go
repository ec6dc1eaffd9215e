package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
)

func catalogCommands() []command {
	return []command{{
		name: "versions", verb: playbooks.VerbView,
		does:     "which versions of a module there are, and where they are live",
		usage:    []string{"versions MODULE"},
		examples: []string{"versions cart"},
		run:      (*call).versions,
	}, {
		name: "catalog", also: []string{"modules"}, verb: playbooks.VerbView,
		does:     "what there is to release, and what it needs",
		usage:    []string{"catalog [MODULE]", "catalog reload"},
		examples: []string{"catalog", "catalog cart"},
		run:      (*call).catalog,
	}, {
		name: "who", verb: playbooks.VerbView,
		does:     "who may do what, and who is asked",
		usage:    []string{"who ENV|MODULE|COMMAND|RUN"},
		examples: []string{"who production", "who cart", "who rollback", "who 12"},
		run:      (*call).who,
	}}
}

// oneModule reads the module that is all a command wants to know.
func (c *call) oneModule() (*playbooks.Module, error) {
	w := c.args.next()
	if w.text == "" {
		return nil, c.misused("Which module?")
	}
	if err := c.noMore(); err != nil {
		return nil, err
	}
	return c.module(w)
}

func (c *call) catalog(ctx context.Context) (chat.Card, error) {
	if c.args.empty() {
		return c.catalogCard()
	}
	if len(c.args.words) == 1 && c.args.take("reload") {
		return c.reload(ctx)
	}
	m, err := c.oneModule()
	if err != nil {
		return chat.Card{}, err
	}
	return c.moduleCard(m), nil
}

func (c *call) catalogCard() (chat.Card, error) {
	catalog := c.policy.Catalog()
	names, environments := c.modules(), c.environments()
	if len(environments) == 0 {
		return chat.Card{}, c.seesNothing()
	}
	title := ""
	if catalog.Name != "" {
		title = catalog.Name + ": "
	}
	card := chat.Card{Text: fmt.Sprintf("%s%s, released to %s.", title, countOf(len(names), "module"), enumerate(environments, 6, "then"))}
	section := chat.Section{}
	for _, name := range names {
		m := catalog.Module(name)
		section.Items = append(section.Items, chat.Item{Text: name, Detail: strings.TrimSuffix(onOneLine(m.Description), ".")})
	}
	section.Items = atMost(section.Items, planModules)
	card.Sections = append(card.Sections, section)
	card.Footer = "More about one: catalog MODULE"
	return card, nil
}

func (c *call) moduleCard(m *playbooks.Module) chat.Card {
	text := m.Name
	if m.Description != "" {
		text += ": " + onOneLine(m.Description)
	}
	card := chat.Card{Text: strings.TrimRight(text, ".") + "."}
	var owners []string
	for _, owner := range m.Owners {
		owners = append(owners, c.policy.Name(owner))
	}
	facts := chat.Section{}
	for _, f := range []chat.Field{
		{Name: "owners", Value: enumerate(owners, 6, "and")}, {Name: "version", Value: m.Version}, {Name: "source", Value: m.Source},
	} {
		if f.Value != "" {
			facts.Fields = append(facts.Fields, f)
		}
	}
	if m.Irreversible {
		facts.Fields = append(facts.Fields, chat.Field{Name: "rollback", Value: "not possible"})
	}
	if len(facts.Fields) > 0 {
		card.Sections = append(card.Sections, facts)
	}
	needs := chat.Section{Heading: "Needs"}
	for _, n := range m.Needs {
		item := chat.Item{Text: strings.TrimSpace(n.Module + " " + n.Constraint), Detail: onOneLine(n.Reason)}
		if n.Kind != "" && n.Kind != playbooks.NeedDeploy {
			item.Detail = strings.TrimPrefix(item.Detail+" ("+string(n.Kind)+")", " ")
		}
		needs.Items = append(needs.Items, item)
	}
	var users []string
	for i := range c.policy.Catalog().Modules {
		other := &c.policy.Catalog().Modules[i]
		if slices.ContainsFunc(other.Needs, func(n playbooks.Need) bool { return n.Module == m.Name }) {
			users = append(users, other.Name)
		}
	}
	if len(needs.Items) > 0 {
		needs.Items = atMost(needs.Items, 20)
		card.Sections = append(card.Sections, needs)
	}
	if len(users) > 0 {
		card.Sections = append(card.Sections, chat.Section{Heading: "Needed by", Text: enumerate(users, 12, "and")})
	}
	card.Actions = buttons("versions "+m.Name, "status "+m.Name)
	return card
}
