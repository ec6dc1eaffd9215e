package slackfake_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"github.com/muster-release/muster/integrations/slack/slackfake"
)

func plain(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject("plain_text", s, false, false)
}

func modal(title string) slack.ModalViewRequest {
	search := slack.NewOptionsMultiSelectBlockElement(slack.MultiOptTypeExternal, plain("Search"), "value")
	search.MinQueryLength = new(int)
	env := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, nil, "value",
		slack.NewOptionBlockObject("staging", plain("Staging"), nil), slack.NewOptionBlockObject("production", plain("Production"), nil))
	words := slack.NewInputBlock("words", plain("Why"), nil, slack.NewPlainTextInputBlockElement(nil, "value"))
	words.Optional = true
	return slack.ModalViewRequest{
		Type: slack.VTModal, Title: plain(title), Submit: plain("Plan"), CallbackID: "form:release", PrivateMetadata: "{}",
		Blocks: slack.Blocks{BlockSet: []slack.Block{
			slack.NewInputBlock("modules", plain("Modules"), nil, search), slack.NewInputBlock("env", plain("Environment"), nil, env), words,
		}},
	}
}

// trigger is what a slash command gives the app to open a modal with.
func trigger(t *testing.T, w *world, a *app) string {
	t.Helper()
	if _, err := w.Slash(w.ann, w.releases, "release"); err != nil {
		t.Fatal(err)
	}
	return a.last(t).form.Get("trigger_id")
}

func TestModal(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	a := newApp(t, w.Workspace)
	id := trigger(t, w, a)
	opened, err := w.api.OpenView(id, modal("Release"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.api.OpenView(id, modal("Release"))
	wantCode(t, err, "exchanged_trigger_id")
	if all := w.Views(w.ann); len(all) != 1 || all[0].ID != opened.ID || all[0].Title() != "Release" || len(w.Views(w.bob)) != 0 {
		t.Fatalf("views = %+v", all)
	}
	a.say(200, `{"options":[{"text":{"type":"plain_text","text":"Cart"},"value":"cart"}]}`)
	options, _, err := w.Suggest(w.ann, opened.ID, "modules", "ca")
	if err != nil || len(options) != 1 || options[0] != (slackfake.Option{Label: "Cart", Value: "cart"}) {
		t.Fatalf("options = %+v, %v", options, err)
	}
	var cb slack.InteractionCallback
	if err := json.Unmarshal([]byte(a.last(t).form.Get("payload")), &cb); err != nil || cb.Type != slack.InteractionTypeBlockSuggestion || cb.BlockID != "modules" || cb.Value != "ca" || cb.View.CallbackID != "form:release" {
		t.Errorf("suggestion = %+v, %v", cb, err)
	}
	for name, values := range map[string]map[string][]string{
		"nothing":         nil,
		"not offered":     {"modules": {"ledger"}, "env": {"staging"}},
		"unknown input":   {"modules": {"cart"}, "env": {"staging"}, "colour": {"red"}},
		"two for one":     {"modules": {"cart"}, "env": {"staging", "production"}},
		"much too long":   {"modules": {"cart"}, "env": {"staging"}, "words": {strings.Repeat("x", 3001)}},
		"required is out": {"modules": {}, "env": {"staging"}},
	} {
		if _, err := w.Submit(w.ann, opened.ID, values); err == nil {
			t.Errorf("%s: the form was sent", name)
		}
	}
	good := map[string][]string{"modules": {"cart"}, "env": {"staging"}}
	if _, err := w.Submit(w.bob, opened.ID, good); err == nil {
		t.Error("bob sent the form that ann has open")
	}
	a.say(200, `{"response_action":"errors","errors":{"env":"there is a freeze"}}`)
	s, err := w.Submit(w.ann, opened.ID, good)
	if err != nil || s.Action != "errors" || s.Errors["env"] != "there is a freeze" || s.Trouble != "" || s.View.Hash != opened.Hash {
		t.Errorf("submission = %+v, %v", s, err)
	}
	cb = slack.InteractionCallback{}
	if err := json.Unmarshal([]byte(a.last(t).form.Get("payload")), &cb); err != nil {
		t.Fatal(err)
	}
	state := cb.View.State.Values
	if state["modules"]["value"].SelectedOptions[0].Value != "cart" || state["env"]["value"].SelectedOption.Value != "staging" || state["words"]["value"].Value != "" || cb.View.Hash != opened.Hash {
		t.Errorf("state = %+v", state)
	}
	a.say(200, `{"response_action":"update","view":{"type":"modal","title":{"type":"plain_text","text":"Planning"},"blocks":[]}}`)
	if s, err = w.Submit(w.ann, opened.ID, good); err != nil || s.Action != "update" || s.View.Title() != "Planning" || s.View.ID != opened.ID || s.View.Hash == opened.Hash {
		t.Fatalf("submission = %+v, %v", s, err)
	}
	_, err = w.api.UpdateView(modal("Plan"), "", opened.Hash, opened.ID)
	wantCode(t, err, "hash_conflict")
	if _, err = w.api.UpdateView(modal("Plan"), "", s.View.Hash, opened.ID); err != nil {
		t.Fatal(err)
	}
	a.say(500, "")
	if s, err = w.Submit(w.ann, opened.ID, good); err != nil || s.Trouble == "" || len(w.Views(w.ann)) != 1 {
		t.Errorf("an unanswered submission = %+v, %v", s, err)
	}
	a.say(200, "")
	if s, err = w.Submit(w.ann, opened.ID, good); err != nil || s.Trouble != "" || len(w.Views(w.ann)) != 0 {
		t.Errorf("an answered submission = %+v, %v", s, err)
	}
	_, err = w.api.UpdateView(modal("Plan"), "", "", opened.ID)
	wantCode(t, err, "not_found")
}

func TestTriggerExpires(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true, TriggerLife: time.Nanosecond, ResponseURLLife: time.Nanosecond})
	a := newApp(t, w.Workspace)
	_, err := w.api.OpenView(trigger(t, w, a), modal("Release"))
	wantCode(t, err, "expired_trigger_id")
	if err := slack.PostWebhook(a.last(t).form.Get("response_url"), &slack.WebhookMessage{Text: "x"}); err == nil {
		t.Error("an expired response URL was taken")
	}
}

func TestViewLimits(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	a := newApp(t, w.Workspace)
	for name, change := range map[string]func(*slack.ModalViewRequest){
		"title":     func(v *slack.ModalViewRequest) { v.Title = plain(strings.Repeat("x", 25)) },
		"submit":    func(v *slack.ModalViewRequest) { v.Submit = plain(strings.Repeat("x", 25)) },
		"metadata":  func(v *slack.ModalViewRequest) { v.PrivateMetadata = strings.Repeat("x", 3001) },
		"no submit": func(v *slack.ModalViewRequest) { v.Submit = nil },
		"101 blocks": func(v *slack.ModalViewRequest) {
			for range 98 {
				v.Blocks.BlockSet = append(v.Blocks.BlockSet, slack.NewDividerBlock())
			}
		},
		"option": func(v *slack.ModalViewRequest) {
			v.Blocks.BlockSet[1].(*slack.InputBlock).Element.(*slack.SelectBlockElement).Options[0].Value = strings.Repeat("x", 151)
		},
	} {
		v := modal("Release")
		change(&v)
		_, err := w.api.OpenView(trigger(t, w, a), v)
		if err == nil || err.Error() != "invalid_arguments" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
