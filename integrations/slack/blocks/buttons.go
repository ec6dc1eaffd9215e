package blocks

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
)

// Action IDs of buttons begin with what a press means.
const (
	actionDo  = "do:"  // the value is a line
	actionAsk = "ask:" // the value is JSON of an asking
)

// asking is what a button knows that asks for words.
type asking struct {
	Command string `json:"command"` // ends in "…", which stands for the words
	Ask     string `json:"ask"`
	Label   string `json:"label"`
}

// Of a confirmation: https://docs.slack.dev/reference/block-kit/composition-objects/confirmation-dialog-object
const (
	maxConfirm      = 300
	maxConfirmLabel = 30
	manyButtons     = 10 // from here on confirmations have to be brief
	maxConfirmBrief = 100
)

// buttons are the actions that can be a button, and words for those that cannot: there are
// more than Slack takes, or the line is too long for one.
func buttons(actions []chat.Action) []slack.Block {
	var all []slack.BlockElement
	var typed []string
	confirm := maxConfirm
	if len(actions) > manyButtons {
		confirm = maxConfirmBrief
	}
	primary := false
	for i, a := range actions {
		if !visible(a.Command) {
			continue
		}
		b := button(i, a, confirm)
		if b == nil || len(all) == maxButtons {
			typed = append(typed, clip(literal(plain(a.Command)), 200))
			continue
		}
		if b.Style == slack.StylePrimary {
			if primary {
				b.Style = slack.StyleDefault
			}
			primary = true
		}
		all = append(all, b)
	}
	var blocks []slack.Block
	if len(all) > 0 {
		blocks = append(blocks, slack.NewActionBlock("", all...))
	}
	if len(typed) > 0 {
		blocks = append(blocks, context(clip("To be typed: "+strings.Join(typed, " | "), 1000)))
	}
	return blocks
}

var buttonStyles = map[chat.Tone]slack.Style{chat.Good: slack.StylePrimary, chat.Bad: slack.StyleDanger}

// button is an action, nil if it cannot be a button.
func button(n int, a chat.Action, confirm int) *slack.ButtonBlockElement {
	id, value := fmt.Sprint(actionDo, n), strings.ToValidUTF8(chat.Plain(a.Command), "\ufffd")
	label := labelOf(a)
	if a.Ask != "" {
		// The default encoding leaves no & and < in it, which Slack sends back as entities.
		data, err := json.Marshal(asking{value, clipPlain(plain(a.Ask), maxConfirm), clipPlain(label, maxLabel)})
		if err != nil {
			return nil
		}
		id, value = fmt.Sprint(actionAsk, n), string(data)
	}
	if length(value) > maxValue {
		return nil
	}
	b := slack.NewButtonBlockElement(id, value, plainText(label, maxLabel)).WithStyle(buttonStyles[a.Style])
	if visible(a.Confirm) && a.Ask == "" {
		b.Confirm = slack.NewConfirmationBlockObject(
			plainText(strings.TrimSuffix(clipPlain(label, maxLabel), "?")+"?", 2*maxLabel),
			plainText(a.Confirm, confirm),
			plainText(label, maxConfirmLabel),
			plainText("Cancel", maxConfirmLabel),
		).WithStyle(b.Style)
	}
	return b
}

// labelOf is what a button says.
func labelOf(a chat.Action) string {
	for _, words := range []string{a.Label, a.Command} {
		if words = plain(words); visible(words) {
			return words
		}
	}
	return ellipsis
}

// without is actions but for one.
func without(actions []chat.Action, i int) []chat.Action {
	return slices.Delete(slices.Clone(actions), i, i+1)
}
