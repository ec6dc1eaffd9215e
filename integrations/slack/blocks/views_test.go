package blocks_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/slack/blocks"
)

func TestValues(t *testing.T) {
	var state slack.ViewState
	err := json.Unmarshal([]byte(`{"values": {
		"modules": {"value": {"type": "multi_external_select", "selected_options": [{"text": {"type": "plain_text", "text": "api"}, "value": "api"}, {"text": {"type": "plain_text", "text": "db"}, "value": "db"}]}},
		"environment": {"value": {"type": "static_select", "selected_option": {"text": {"type": "plain_text", "text": "staging"}, "value": "staging"}}},
		"why": {"value": {"type": "plain_text_input", "value": "spring sale"}},
		"empty": {"value": {"type": "plain_text_input", "value": null}},
		"none": {"value": {"type": "static_select", "selected_option": null}},
		"other": {"another": {"type": "plain_text_input", "value": "x"}}
	}}`), &state)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"modules": {"api", "db"}, "environment": {"staging"}, "why": {"spring sale"}}
	if got := blocks.Values(&state); !reflect.DeepEqual(got, want) {
		t.Errorf("Values = %v, want %v", got, want)
	}
	if got := blocks.Values(nil); got == nil || len(got) != 0 {
		t.Errorf("Values(nil) = %v", got)
	}
}

func TestOptions(t *testing.T) {
	if data, err := json.Marshal(blocks.Options(nil)); string(data) != "[]" || err != nil {
		t.Errorf("no options are %s, %v", data, err)
	}
	choices := []chat.Choice{{Value: "a"}, {Label: "no value"}, {Value: repeat("v", 151), Label: "too long"}, {Value: "b", Label: repeat("l", 100)}}
	got := blocks.Options(choices)
	if len(got) != 2 || got[0].Text.Text != "a" || got[1].Value != "b" || got[1].Text.Text != repeat("l", 74)+"…" {
		t.Errorf("%+v", got)
	}
	if got := blocks.Options(make160()); len(got) != 100 {
		t.Errorf("%d options, want 100", len(got))
	}
}

func make160() []chat.Choice {
	choices := make([]chat.Choice, 160)
	for i := range choices {
		choices[i] = chat.Choice{Value: "v", Label: "l"}
	}
	return choices
}

// What a static select cannot list can still be typed.
func TestChoicesThatCannotBeListed(t *testing.T) {
	for _, choices := range [][]chat.Choice{nil, make160()} {
		v := blocks.FormView(chat.Form{Name: "f", Inputs: []chat.Input{{Name: "where", Label: "Where", Kind: chat.Choose, Choices: choices}}}, "")
		if e := v.Blocks.BlockSet[0].(*slack.InputBlock).Element.ElementType(); e != slack.METPlainTextInput {
			t.Errorf("%d choices are a %s", len(choices), e)
		}
	}
}

func TestAskView(t *testing.T) {
	v := views["reject"]
	m := blocks.ReadMetadata(v.PrivateMetadata)
	want := blocks.ReadMetadata(place)
	want.Command = "reject 1 0123abcd because …"
	if m != want || v.CallbackID != "ask" || v.Submit.Text != "Reject" || v.Blocks.BlockSet[0].ID() != "words" {
		t.Errorf("%+v, metadata %+v", v, m)
	}
	// Where the line has no room, nothing is asked that would lead nowhere.
	v = blocks.AskView("Reject", "Why?", repeat("x", 3000)+"…", place)
	if v.Submit != nil || v.CallbackID == "ask" {
		t.Errorf("%+v", v)
	}
}

func TestCardView(t *testing.T) {
	v := views["plan-view"]
	if m := blocks.ReadMetadata(v.PrivateMetadata); m.Command != "release 0123abcd" || m.Channel != "C1" || v.Submit.Text != "Release 0123abcd" || v.Title.Text != "Plan 0123abcd" || v.CallbackID != "card" {
		t.Errorf("%+v, metadata %+v", v, m)
	}
	// A submit button cannot ask whether it is meant: Approve stays a button that does.
	v = views["request-view"]
	if m := blocks.ReadMetadata(v.PrivateMetadata); m.Command != "" || v.Submit != nil {
		t.Errorf("%+v, metadata %+v", v, m)
	}
	buttons := v.Blocks.BlockSet[len(v.Blocks.BlockSet)-1].(*slack.ActionBlock).Elements.ElementSet
	if b := buttons[0].(*slack.ButtonBlockElement); len(buttons) != 3 || b.Confirm == nil || b.Value != "approve 1 0123abcd" {
		t.Errorf("%+v", buttons)
	}
	// What does not fit is no button at all, rather than one for another line.
	v = blocks.CardView(chat.Card{Text: "x", Actions: []chat.Action{{Label: "Go", Command: repeat("x", 3000), Style: chat.Good}}}, nil, place)
	if v.Submit != nil || v.PrivateMetadata != place {
		t.Errorf("%+v", v)
	}
}

func TestMetadata(t *testing.T) {
	m := blocks.Metadata{Reply: "url:https://hooks.example/a?b=1&c=<2>", Channel: "C1", Thread: "1.2", Message: "1.3", Command: "why 1", Wait: "…"}
	if got := blocks.ReadMetadata(m.String()); got != m {
		t.Errorf("%+v, want %+v", got, m)
	}
	if got := blocks.ReadMetadata("no JSON"); got != (blocks.Metadata{}) {
		t.Errorf("%+v", got)
	}
	m.Wait = repeat("w", 3000)
	if got := blocks.ReadMetadata(blocks.FormView(releaseForm(), m.String()).PrivateMetadata); got.Reply != m.Reply || got.Wait != "" {
		t.Errorf("without room: %+v", got)
	}
}
