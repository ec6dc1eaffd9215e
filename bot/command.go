package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
)

// command is one word that people can begin a line with.
type command struct {
	name     string
	also     []string // other words for it
	does     string   // in a few words
	usage    []string
	examples []string
	verb     playbooks.Verb // what one must be allowed to; empty: see access
	access   string         // who may, in words, where no verb says it
	run      func(*call, context.Context) (chat.Card, error)
}

// commands returns all commands, in the order in which help lists them.
func commands() []command {
	return slices.Concat(planCommands(), lookCommands(), notesCommands(), dutyCommands(), approveCommands(), operateCommands(), rollbackCommands(),
		freezeCommands(), catalogCommands(), helpCommands())
}

// command finds a command by any of its words, and returns nil where there is none.
func (b *Bot) command(name string) *command {
	name = strings.ToLower(name)
	for i := range b.commands {
		if cmd := &b.commands[i]; cmd.name == name || slices.Contains(cmd.also, name) {
			return cmd
		}
	}
	return nil
}

func (c *call) unknownCommand(w word) error {
	var names []string
	for _, cmd := range c.b.commands {
		names = append(names, cmd.name)
	}
	u := c.misspelt("command", w, names)
	if len(u.try) == 0 {
		u = &unclear{text: fmt.Sprintf("I do not know %q.", shortened(w.text, 60)), try: []string{"help"}}
	}
	return u
}

// misused is the answer to a line that its command cannot read.
func (c *call) misused(format string, parts ...any) error {
	return &unclear{text: fmt.Sprintf(format, parts...), usage: c.command.usage, examples: c.examples(c.command)}
}

// examples are a command's examples with names that the speaker knows. They are
// written for a catalog with a cart, a redis and production.
func (c *call) examples(cmd *command) []string {
	var pairs []string
	rename := func(name string, known []string, at int) {
		if len(known) > 0 && !slices.Contains(known, name) {
			pairs = append(pairs, name, known[min(at, len(known)-1)])
		}
	}
	modules, environments := c.modules(), c.environments()
	rename("cart", modules, 0)
	rename("redis", modules, 1)
	rename("production", environments, len(environments)-1)
	renamed := make([]string, len(cmd.examples))
	for i, line := range cmd.examples {
		renamed[i] = strings.NewReplacer(pairs...).Replace(line)
	}
	return renamed
}

// noMore refuses words that the command has no use for: what was not understood
// is not carried out.
func (c *call) noMore() error {
	if c.args.empty() {
		return nil
	}
	return c.misused("I do not know what %q means here.", shortened(c.args.peek().text, 60))
}

// unclear is a line that means nothing, or could mean several things. Nothing
// was done.
type unclear struct {
	text     string
	items    []chat.Item
	try      []string // whole lines
	usage    []string
	examples []string
	err      error // what it is for programs; nil: a line that was not understood
}

func (u *unclear) Error() string { return u.text }

func (u *unclear) Unwrap() error { return u.err }

// Permanent reports that the same line comes to nothing again.
func (u *unclear) Permanent() bool { return true }
