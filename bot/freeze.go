package bot

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
)

func freezeCommands() []command {
	return []command{{
		name: "freeze", verb: playbooks.VerbFreeze,
		does:     "let nothing new be released, of a module or to an environment",
		usage:    []string{"freeze MODULE|ENV [in ENV] [until TIME] because REASON", "TIME: " + enumerate(momentExamples, len(momentExamples), "or")},
		examples: []string{"freeze production until monday 9:00 because it is the weekend", "freeze cart in production until 2h because of incident 12"},
		run:      (*call).freeze,
	}, {
		name: "unfreeze", also: []string{"thaw"}, verb: playbooks.VerbFreeze,
		does:     "end a freeze",
		usage:    []string{"unfreeze MODULE|ENV [in ENV] [because REASON]"},
		examples: []string{"unfreeze production", "unfreeze cart in production"},
		run:      (*call).unfreeze,
	}}
}

// scope is what a freeze is about.
type scope struct {
	name        word   // as it was typed
	environment string // empty: not said, for a module
	module      string // empty: the environment as a whole
	until       time.Time
}

// scope reads MODULE|ENV [in ENV] [until TIME].
func (c *call) scope() (scope, error) {
	s := scope{name: c.args.next()}
	if s.name.text == "" {
		return s, c.misused("What? Name a module or an environment.")
	}
	if env := c.policy.Environment(s.name.text); env != nil {
		s.environment = env.Name
	} else if m := c.policy.Catalog().Module(s.name.text); m != nil {
		s.module = m.Name
	} else {
		return s, c.misspelt("module or environment", s.name, slices.Concat(c.environments(), c.modules()))
	}
	for !c.args.empty() {
		switch {
		case s.module != "" && c.args.take("in"):
			env, err := c.environment(c.args.next())
			if err != nil {
				return s, err
			}
			s.environment = env.Name
		case c.command.name == "freeze" && (c.args.take("until") || c.args.take("for")):
			until, err := c.moment("Until when?")
			if err != nil {
				return s, err
			}
			s.until = until
		default:
			return s, c.noMore()
		}
	}
	return s, nil
}

// moment reads a time, which is one word or two.
func (c *call) freeze(ctx context.Context) (chat.Card, error) {
	s, err := c.scope()
	if err != nil {
		return chat.Card{}, err
	}
	if c.phrase.why() == "" {
		return chat.Card{}, c.sayWhy("freeze")
	}
	if s.environment == "" {
		if s.environment, err = c.where(s, c.everywhere(), "There are several environments."); err != nil {
			return chat.Card{}, err
		}
	}
	return c.carryOut(ctx, playbooks.Command{
		Kind: playbooks.CommandFreeze, Environment: s.environment, Module: s.module, Until: s.until, Reason: c.phrase.why(),
	})
}

func (c *call) unfreeze(ctx context.Context) (chat.Card, error) {
	s, err := c.scope()
	if err != nil {
		return chat.Card{}, err
	}
	if s.environment == "" {
		var frozen []string
		for _, name := range c.everywhere() {
			freezes, err := c.freezes(ctx, name)
			if err != nil {
				return chat.Card{}, err
			}
			if slices.ContainsFunc(freezes, func(f playbooks.Freeze) bool { return f.Module == s.module }) {
				frozen = append(frozen, name)
			}
		}
		if len(frozen) == 0 {
			return chat.Card{}, &unclear{text: fmt.Sprintf("%s is frozen nowhere. Nothing was changed.", s.module)}
		}
		if s.environment, err = c.where(s, frozen, "It is frozen in several environments."); err != nil {
			return chat.Card{}, err
		}
	}
	return c.carryOut(ctx, playbooks.Command{
		Kind: playbooks.CommandUnfreeze, Environment: s.environment, Module: s.module, Reason: c.phrase.why(),
	})
}

func (c *call) everywhere() []string {
	var names []string
	for i := range c.policy.Catalog().Environments {
		names = append(names, c.policy.Catalog().Environments[i].Name)
	}
	return names
}

// where returns the only environment of several, or asks for it.
func (c *call) where(s scope, names []string, why string) (string, error) {
	if len(names) == 1 {
		return names[0], nil
	}
	u := &unclear{text: fmt.Sprintf("In which environment? %s", why)}
	for _, name := range names {
		u.try = append(u.try, c.phrase.with(s.name, s.module+" in "+name))
	}
	return "", u
}

// freezes returns what is in force in an environment.
func (c *call) freezes(ctx context.Context, environment string) ([]playbooks.Freeze, error) {
	var active []playbooks.Freeze
	err := c.b.o.Engine.Environment(ctx, environment, func(env *playbooks.EnvironmentState) {
		for _, f := range env.Freezes {
			if f.Active(c.now) {
				active = append(active, f)
			}
		}
	})
	return active, err
}

// frozen says what a freeze or its end came to.
func (c *call) frozen(cmd playbooks.Command) chat.Card {
	what, again := cmd.Environment, cmd.Environment
	if cmd.Module != "" {
		what, again = cmd.Module+" in "+cmd.Environment, cmd.Module+" in "+cmd.Environment
	}
	if cmd.Kind == playbooks.CommandUnfreeze {
		return chat.Card{Text: what + " is open again.", Tone: chat.Good}
	}
	return chat.Card{
		Text:    fmt.Sprintf("%s is frozen %s: %s. What has begun goes on.", what, c.untilWords(cmd.Until), onOneLine(cmd.Reason)),
		Tone:    chat.Waiting,
		Actions: buttons("unfreeze " + again),
	}
}

func (c *call) untilWords(t time.Time) string {
	if t.IsZero() {
		return "until somebody unfreezes it"
	}
	t = t.In(c.now.Location())
	if t.Year() != c.now.Year() {
		return "until " + t.Format("2 Jan 2006 15:04 MST")
	}
	return "until " + t.Format("Mon 2 Jan 15:04 MST")
}
