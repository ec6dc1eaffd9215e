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
		usage:    []string{"who ENV|MODULE|COMMAND"},
		examples: []string{"who production", "who cart", "who rollback"},
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

// manyVersions is how many versions are listed.
const manyVersions = 10

func (c *call) versions(ctx context.Context) (chat.Card, error) {
	m, err := c.oneModule()
	if err != nil {
		return chat.Card{}, err
	}
	where := make(map[string][]string) // version → places
	var live []string
	for i := range c.policy.Catalog().Environments {
		env := &c.policy.Catalog().Environments[i]
		if c.maySeePlace(env.Name, m.Name) != nil {
			continue
		}
		err := c.b.o.Engine.Environment(ctx, env.Name, func(state *playbooks.EnvironmentState) {
			for _, place := range c.policy.Catalog().Places(env, m) {
				if l, ok := state.Live[place]; ok && l.Version != "" {
					name := strings.TrimSpace(env.Name + " " + place.Target)
					where[l.Version] = append(where[l.Version], name)
					live = append(live, fmt.Sprintf("%s has %s", name, l.Version))
				}
			}
		})
		if err != nil {
			return chat.Card{}, err
		}
	}
	card := chat.Card{Text: m.Name + ": Muster has not released it yet."}
	if len(live) > 0 {
		card.Text = fmt.Sprintf("%s: %s.", m.Name, enumerate(live, 4, "and"))
	}
	if c.b.o.Builds == nil {
		return card, nil
	}
	builds, err := c.b.o.Builds.Versions(ctx, m.Name, manyVersions)
	if err != nil {
		return chat.Card{}, fmt.Errorf("versions of %q: %w", m.Name, err)
	}
	if len(builds) == 0 {
		card.Text += " No builds of it are known."
		return card, nil
	}
	section := chat.Section{Heading: "Built, the newest first"}
	for _, build := range builds {
		item := chat.Item{Symbol: buildSymbol(build.State), Text: build.Version, Detail: build.State}
		if places := where[build.Version]; len(places) > 0 {
			item.Detail += ", live in " + enumerate(places, 4, "and")
		}
		section.Items = append(section.Items, item)
	}
	card.Sections = append(card.Sections, section)
	return card, nil
}

func buildSymbol(state string) chat.Symbol {
	switch state {
	case "passed":
		return chat.SymbolDone
	case "failed":
		return chat.SymbolFailed
	case "running":
		return chat.SymbolRunning
	}
	return chat.SymbolUnknown
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

// reload reads the configuration again. Whoever may is decided by the old one.
func (c *call) reload(ctx context.Context) (chat.Card, error) {
	if refusal := c.policy.May(c.line.By, playbooks.VerbReload, ""); refusal != nil {
		return chat.Card{}, refusal
	}
	if c.b.o.Reload == nil {
		return chat.Card{}, &unclear{text: "This Muster cannot read its configuration again. Start it anew."}
	}
	summary, err := c.b.o.Reload(ctx)
	if err != nil {
		// Not an error of the line: what it says is the answer.
		return chat.Card{
			Text: "The catalog was not reloaded; the old one stays in force.", Tone: chat.Bad,
			Sections: []chat.Section{{Code: shortened(err.Error(), 2000)}},
		}, nil
	}
	return chat.Card{Text: "The catalog is reloaded. " + sentence(summary), Tone: chat.Good}, nil
}
