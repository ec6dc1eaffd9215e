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

func lookCommands() []command {
	return []command{{
		name: "status", also: []string{"board"}, verb: playbooks.VerbView,
		does:     "what is under way, or how a run, a module or an environment stands",
		usage:    []string{"status [RUN|MODULE|ENV]"},
		examples: []string{"status", "status 12", "status production"},
		run:      (*call).status,
	}, {
		name: "why", verb: playbooks.VerbView,
		does:     "what a run or a step waits for, and who can unblock it",
		usage:    []string{"why [RUN] [STEP]"},
		examples: []string{"why 12", "why 12 deploy:cart"},
		run:      (*call).why,
	}, {
		name: "history", also: []string{"log"}, verb: playbooks.VerbView,
		does:     "the releases so far, or what happened in one",
		usage:    []string{"history [RUN|MODULE|ENV]"},
		examples: []string{"history", "history production", "history 12"},
		run:      (*call).history,
	}}
}

func (c *call) status(ctx context.Context) (chat.Card, error) {
	run, err := c.named(ctx)
	if err != nil {
		return chat.Card{}, err
	}
	if w := c.args.peek(); !c.args.empty() && (run == "" || run == c.line.Run) {
		c.args.next()
		if err := c.noMore(); err != nil {
			return chat.Card{}, err
		}
		return c.statusOfName(ctx, w)
	}
	if err := c.noMore(); err != nil {
		return chat.Card{}, err
	}
	if run == "" {
		return c.overview(ctx)
	}
	var card chat.Card
	err = c.view(ctx, run, func(v engine.View) error {
		card = boardCard(v, c.now.Location(), "")
		return nil
	})
	return card, err
}

func (c *call) statusOfName(ctx context.Context, w word) (chat.Card, error) {
	if env := c.policy.Environment(w.text); env != nil {
		return c.environmentStatus(ctx, env)
	}
	if c.policy.Catalog().Module(w.text) == nil {
		return chat.Card{}, c.misspelt("run, module or environment", w, slices.Concat(c.environments(), c.modules()))
	}
	m, err := c.module(w)
	if err != nil {
		return chat.Card{}, err
	}
	return c.moduleStatus(ctx, m)
}

// overview lists what is under way and what is frozen.
func (c *call) overview(ctx context.Context) (chat.Card, error) {
	names := c.environments()
	if len(names) == 0 {
		return chat.Card{}, c.seesNothing()
	}
	open, err := c.open(ctx)
	if err != nil {
		return chat.Card{}, err
	}
	card := chat.Card{Text: "No release is under way."}
	if len(open) > 0 {
		card.Text = countOf(len(open), "release") + " under way."
		section := chat.Section{}
		for _, o := range open {
			section.Items = append(section.Items, o.item)
			if len(card.Actions) < maxOffers {
				card.Actions = append(card.Actions, buttons("status "+o.run)...)
			}
		}
		section.Items = atMost(section.Items, 15)
		card.Sections = append(card.Sections, section)
	} else {
		card.Actions = buttons("history")
	}
	for _, name := range names {
		items, err := c.freezeItems(ctx, name)
		if err != nil {
			return chat.Card{}, err
		}
		if len(items) > 0 {
			card.Sections = append(card.Sections, chat.Section{Heading: "Frozen in " + name, Items: items})
		}
	}
	return card, nil
}

// seesNothing is the refusal for people who may see nothing anywhere.
func (c *call) seesNothing() error {
	for i := range c.policy.Catalog().Environments {
		if refusal := c.maySeePlace(c.policy.Catalog().Environments[i].Name); refusal != nil {
			return refusal
		}
	}
	return &unclear{text: "The catalog has no environments."}
}

func (c *call) freezeItems(ctx context.Context, environment string) ([]chat.Item, error) {
	freezes, err := c.freezes(ctx, environment)
	var items []chat.Item
	for _, f := range freezes {
		what := f.Module
		if what == "" {
			what = "all of " + environment
		}
		items = append(items, chat.Item{
			Symbol: chat.SymbolWaiting, Text: fmt.Sprintf("%s, %s", what, c.untilWords(f.Until)),
			Detail: fmt.Sprintf("%s: %s", c.policy.Name(f.By), onOneLine(f.Reason)),
		})
	}
	return items, err
}

// environmentStatus says what is under way, queued, frozen and live in an environment.
func (c *call) environmentStatus(ctx context.Context, env *playbooks.Environment) (chat.Card, error) {
	if refusal := c.maySeePlace(env.Name); refusal != nil {
		return chat.Card{}, refusal
	}
	open, err := c.open(ctx)
	if err != nil {
		return chat.Card{}, err
	}
	here := chat.Section{Heading: "Under way"}
	for _, o := range open {
		if strings.HasPrefix(o.item.Text, o.run+" "+env.Name+":") {
			here.Items = append(here.Items, o.item)
		}
	}
	freezes, err := c.freezeItems(ctx, env.Name)
	if err != nil {
		return chat.Card{}, err
	}
	card := chat.Card{Text: env.Name + ": nothing under way"}
	if len(here.Items) > 0 {
		card.Text = fmt.Sprintf("%s: %s under way", env.Name, countOf(len(here.Items), "release"))
	}
	if len(freezes) > 0 {
		card.Text += ", and a freeze"
		card.Tone = chat.Waiting
	}
	card.Text += "."
	if len(here.Items) > 0 {
		card.Sections = append(card.Sections, here)
	}
	if len(freezes) > 0 {
		card.Sections = append(card.Sections, chat.Section{Heading: "Frozen", Items: freezes})
	}
	live := chat.Section{Heading: "Live, as Muster released it"}
	for i := range c.policy.Catalog().Modules {
		m := &c.policy.Catalog().Modules[i]
		if c.maySeePlace(env.Name, m.Name) != nil {
			continue
		}
		text, err := c.liveWords(ctx, env, m)
		if err != nil {
			return chat.Card{}, err
		}
		if text != "" {
			live.Items = append(live.Items, chat.Item{Symbol: chat.SymbolDone, Text: m.Name, Detail: text})
		}
	}
	if len(live.Items) > 0 {
		live.Items = atMost(live.Items, planModules)
		card.Sections = append(card.Sections, live)
	}
	return card, nil
}

// moduleStatus says where a module is live, frozen and being released.
func (c *call) moduleStatus(ctx context.Context, m *playbooks.Module) (chat.Card, error) {
	section := chat.Section{Heading: "Live, as Muster released it"}
	var words []string
	for i := range c.policy.Catalog().Environments {
		env := &c.policy.Catalog().Environments[i]
		if c.maySeePlace(env.Name, m.Name) != nil {
			continue
		}
		text, err := c.liveWords(ctx, env, m)
		if err != nil {
			return chat.Card{}, err
		}
		item := chat.Item{Symbol: chat.SymbolDone, Text: env.Name, Detail: text}
		if text == "" {
			item.Symbol, item.Detail = chat.SymbolPending, "nothing yet"
		}
		words = append(words, env.Name+" has "+item.Detail)
		freezes, err := c.freezes(ctx, env.Name)
		if err != nil {
			return chat.Card{}, err
		}
		for _, f := range freezes {
			if f.Module == m.Name || f.Module == "" {
				item.Symbol = chat.SymbolWaiting
				item.Detail += fmt.Sprintf("; frozen %s: %s", c.untilWords(f.Until), onOneLine(f.Reason))
			}
		}
		section.Items = append(section.Items, item)
	}
	card := chat.Card{Text: fmt.Sprintf("%s: %s.", m.Name, enumerate(words, 4, "and")), Sections: []chat.Section{section}}
	open, err := c.releasing(ctx, m.Name)
	if err != nil {
		return chat.Card{}, err
	}
	if len(open) > 0 {
		under := chat.Section{Heading: "Under way"}
		for _, o := range open {
			under.Items = append(under.Items, o.item)
			card.Actions = append(card.Actions, buttons("status "+o.run)...)
		}
		card.Sections = append(card.Sections, under)
	}
	return card, nil
}

// releasing returns the open runs that a module is part of.
func (c *call) releasing(ctx context.Context, module string) ([]candidate, error) {
	open, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	var with []candidate
	for _, o := range open {
		err := c.view(ctx, o.run, func(v engine.View) error {
			if v.Run.Book.Planned(module) != nil {
				with = append(with, o)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return with[:min(len(with), maxOffers)], nil
}

// liveWords says which versions of a module Muster has released to an
// environment; nothing where it has released none.
func (c *call) liveWords(ctx context.Context, env *playbooks.Environment, m *playbooks.Module) (string, error) {
	var words []string
	err := c.b.o.Engine.Environment(ctx, env.Name, func(state *playbooks.EnvironmentState) {
		for _, place := range c.policy.Catalog().Places(env, m) {
			live, ok := state.Live[place]
			if !ok {
				continue
			}
			version := live.Version
			if version == "" {
				version = "nothing any more"
			}
			words = append(words, strings.TrimSpace(place.Target+" "+version))
		}
	})
	return enumerate(words, 6, "and"), err
}
