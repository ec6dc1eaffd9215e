package blocks

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
)

// Limits of modals: https://docs.slack.dev/reference/views/modal-views, and of what is
// in them: https://docs.slack.dev/reference/block-kit/block-elements.
const (
	maxTitle    = 24
	maxMetadata = 3000
	maxName     = 2000 // of an input's label, and of its hint
	maxOptions  = 100
	maxOption   = 75
	maxChosen   = 150 // the value of an option
	maxWords    = 1000
)

// Callback IDs say what a modal is.
const (
	callbackForm = "form:" // and the form's name
	callbackAsk  = "ask"
	callbackCard = "card"
)

// inputWords is the input of an ask modal; actionValue is what every input's element is called.
const (
	inputWords  = "words"
	actionValue = "value"
)

// Metadata is what a modal carries about where it came from: its private_metadata, as JSON.
// Fields may be added; what is not known is left out when it is read.
type Metadata struct {
	Reply   string `json:"reply,omitempty"`
	Channel string `json:"channel,omitempty"`
	Thread  string `json:"thread,omitempty"`
	Message string `json:"message,omitempty"`
	Command string `json:"command,omitempty"`
	Wait    string `json:"wait,omitempty"` // of a chat.Form
}

// String is m as JSON. It may be longer than the 3,000 characters that Slack takes.
func (m Metadata) String() string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // it is no HTML, and there is little room
	if err := enc.Encode(m); err != nil {
		panic(err) // strings can always be written
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// ReadMetadata is the opposite of String. It is empty where there is none that can be read.
func ReadMetadata(s string) Metadata {
	var m Metadata
	if json.Unmarshal([]byte(s), &m) != nil {
		return Metadata{}
	}
	return m
}

// withCommand is metadata with a command. It is not ok if there is no room for it.
func withCommand(metadata, command string) (s string, ok bool) {
	m := ReadMetadata(metadata)
	m.Command = strings.ToValidUTF8(chat.Plain(command), "\ufffd")
	s = m.String()
	return s, length(s) <= maxMetadata
}

// fitting is metadata that Slack takes: where there is no room for all, only the place.
func fitting(metadata string) string {
	if length(metadata) <= maxMetadata {
		return metadata
	}
	m := ReadMetadata(metadata)
	m.Wait, m.Command = "", ""
	if s := m.String(); length(s) <= maxMetadata {
		return s
	}
	return ""
}

func modal(callback, title, closing, metadata string, blocks []slack.Block) slack.ModalViewRequest {
	if title = plain(title); !visible(title) {
		title = "Muster"
	}
	return slack.ModalViewRequest{
		Type: slack.VTModal, CallbackID: callback, PrivateMetadata: fitting(metadata),
		Title: plainText(title, maxTitle), Close: plainText(closing, maxTitle),
		Blocks: slack.Blocks{BlockSet: blocks},
	}
}

// submit is what the button says that sends a modal.
func submit(words string) *slack.TextBlockObject {
	if words = plain(words); !visible(words) {
		words = "Send"
	}
	return plainText(words, maxTitle)
}

// FormView is a form as a modal. Metadata comes back with it. The names of its inputs are
// their block IDs: different ones, of at most 255 characters.
func FormView(f chat.Form, metadata string) slack.ModalViewRequest {
	var all []slack.Block
	for _, in := range f.Inputs {
		all = append(all, input(in))
	}
	v := modal(callbackForm+f.Name, f.Title, "Cancel", metadata, all)
	v.Submit = submit(f.Submit)
	return v
}

func input(in chat.Input) *slack.InputBlock {
	label := plain(in.Label)
	if !visible(label) {
		label = ellipsis
	}
	var hint *slack.TextBlockObject
	if visible(plain(in.Hint)) {
		hint = plainText(in.Hint, maxName)
	}
	return slack.NewInputBlock(in.Name, plainText(label, maxName), hint, element(in)).WithOptional(in.Optional)
}

// element is what an input is filled in with. Choices that Slack cannot list are typed.
func element(in chat.Input) slack.BlockElement {
	switch options := Options(in.Choices); {
	case in.Kind == chat.Choose && len(options) > 0 && len(in.Choices) <= maxOptions:
		return slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plainText("Choose", maxOption), actionValue, options...)
	case in.Kind == chat.Search:
		// Without a minimum the first suggestions are there as soon as it is opened.
		return slack.NewOptionsMultiSelectBlockElement(slack.MultiOptTypeExternal, plainText("Search", maxOption), actionValue).WithMinQueryLength(0)
	}
	return slack.NewPlainTextInputBlockElement(nil, actionValue)
}

// Options are choices as options of a select, at most the 100 that Slack takes. It is never
// nil. A choice whose value is empty or too long is none.
func Options(choices []chat.Choice) []*slack.OptionBlockObject {
	options := []*slack.OptionBlockObject{}
	for _, c := range choices {
		if len(options) == maxOptions {
			break
		}
		value := strings.ToValidUTF8(c.Value, "\ufffd")
		if !visible(value) || length(value) > maxChosen {
			continue
		}
		label := plain(c.Label)
		if !visible(label) {
			label = value
		}
		options = append(options, slack.NewOptionBlockObject(value, plainText(label, maxOption), nil))
	}
	return options
}

// WaitView is a modal that says something, and that nothing can be done with but to close it.
func WaitView(title, words string) slack.ModalViewRequest {
	words = literal(words)
	if !visible(words) {
		words = ellipsis
	}
	return modal("", title, "Close", "", []slack.Block{section(clip(words, maxMarkup))})
}

// AskView is the modal behind a button that asks for words. Label and ask are the button's,
// and command, which ends in "…", is what the words complete; it becomes part of the metadata.
func AskView(label, ask, command, metadata string) slack.ModalViewRequest {
	completed, ok := withCommand(metadata, command)
	if !ok {
		return WaitView(label, "This line is too long to be completed here. Type it, with your words at its end:\n"+command)
	}
	if ask = plain(ask); !visible(ask) {
		ask = "In your words"
	}
	in := slack.NewPlainTextInputBlockElement(nil, actionValue)
	in.Multiline, in.MaxLength, in.FocusOnLoad = true, maxWords, true
	v := modal(callbackAsk, label, "Cancel", completed, []slack.Block{
		slack.NewInputBlock(inputWords, plainText(ask, maxName), plainText("Same as typing: "+command, 500), in),
	})
	v.Submit = submit(label)
	return v
}

// CardView is a card as a modal. The first Good action is what its submit button does, unless it
// asks something first, which Slack's submit buttons cannot; its command becomes part of the
// metadata. The others are buttons in it.
func CardView(c chat.Card, who People, metadata string) slack.ModalViewRequest {
	actions, completed, send := c.Actions, metadata, ""
	for i, a := range c.Actions {
		if a.Style != chat.Good || a.Confirm != "" || a.Ask != "" || !visible(a.Command) {
			continue
		}
		if s, ok := withCommand(metadata, a.Command); ok {
			actions, completed, send = without(c.Actions, i), s, labelOf(a)
		}
		break
	}
	v := modal(callbackCard, headline(c), "Close", completed, draw(c, who, buttons(actions)))
	if send != "" {
		v.Submit = submit(send)
	}
	return v
}

// headline is as much of what a card says as fits above a modal, empty if none does.
func headline(c chat.Card) string {
	words := plain(c.Title)
	if !visible(words) {
		words = plain(c.Text)
	}
	for _, end := range []string{". ", ": ", " → "} {
		if length(words) > maxTitle {
			words, _, _ = strings.Cut(words, end)
		}
	}
	if length(words) > maxTitle {
		return ""
	}
	return strings.TrimSuffix(words, ".")
}

// Values are what was filled in, by the name of the input. What is empty is not in it.
func Values(state *slack.ViewState) map[string][]string {
	values := make(map[string][]string)
	if state == nil {
		return values
	}
	for name, elements := range state.Values {
		e, found := elements[actionValue]
		if !found {
			continue
		}
		for _, v := range append([]string{e.Value, e.SelectedOption.Value}, optionValues(e.SelectedOptions)...) {
			if v != "" {
				values[name] = append(values[name], v)
			}
		}
	}
	return values
}

func optionValues(options []slack.OptionBlockObject) []string {
	var values []string
	for _, o := range options {
		values = append(values, o.Value)
	}
	return values
}
