package bot

import (
	"context"
	"fmt"
	"strings"

	"github.com/muster-release/muster/bot/chat"
)

func helpCommands() []command {
	return []command{{
		name: "help", also: []string{"?", "commands"}, access: "everybody in the catalog",
		does:     "this list, or more about one command",
		usage:    []string{"help [COMMAND]"},
		examples: []string{"help plan"},
		run:      (*call).help,
	}}
}

func (c *call) help(context.Context) (chat.Card, error) {
	w := c.args.next()
	if w.text == "" {
		card := chat.Card{Text: "What you can say. More about a command: help COMMAND."}
		section := chat.Section{}
		for _, cmd := range c.b.commands {
			section.Items = append(section.Items, chat.Item{Text: cmd.name, Detail: cmd.does})
		}
		card.Sections = append(card.Sections, section)
		card.Footer = "In a run's thread the number of the run can be left out."
		return card, nil
	}
	cmd := c.b.command(w.text)
	if cmd == nil {
		return chat.Card{}, c.unknownCommand(w)
	}
	card := chat.Card{
		Text: fmt.Sprintf("%s: %s.", cmd.name, cmd.does),
		Sections: []chat.Section{
			{Code: strings.Join(cmd.usage, "\n")},
			{Heading: "For example", Code: strings.Join(c.examples(cmd), "\n")},
			{Fields: []chat.Field{{Name: "for", Value: cmd.whoseWords()}}},
		},
		Actions: buttons("who " + cmd.name),
	}
	if len(cmd.also) > 0 {
		card.Sections[2].Fields = append(card.Sections[2].Fields, chat.Field{Name: "also", Value: strings.Join(cmd.also, ", ")})
	}
	return card, nil
}

// whoseWords says who may use the command.
func (cmd *command) whoseWords() string {
	if cmd.verb == "" {
		return cmd.access
	}
	return fmt.Sprintf("whoever may %s", cmd.verb)
}
