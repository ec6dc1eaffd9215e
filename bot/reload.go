package bot

import (
	"context"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
)

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
