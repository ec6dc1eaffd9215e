package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/slack/blocks"
)

// object is a payload under construction.
type object = map[string]any

func encode(tb testing.TB, v any) []byte {
	tb.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// changed is a sample with some of it replaced. A path is separated by dots.
func changed(tb testing.TB, sample []byte, changes object) []byte {
	tb.Helper()
	var o object
	if err := json.Unmarshal(sample, &o); err != nil {
		tb.Fatal(err)
	}
	for path, v := range changes {
		at, keys := o, strings.Split(path, ".")
		for _, key := range keys[:len(keys)-1] {
			inner, ok := at[key].(object)
			if !ok {
				inner = object{}
				at[key] = inner
			}
			at = inner
		}
		at[keys[len(keys)-1]] = v
	}
	return encode(tb, o)
}

func payloadOf(tb testing.TB, name string) []byte {
	tb.Helper()
	var e envelope
	if err := json.Unmarshal(samplePayload(tb, name), &e); err != nil {
		tb.Fatal(err)
	}
	return e.Payload
}

func slashSample(tb testing.TB, text string) []byte {
	return changed(tb, payloadOf(tb, "003_slash_commands_MockSocketMode"), object{"text": text, "command": "/muster"})
}

func mentionSample(tb testing.TB, changes object) []byte {
	return changed(tb, payloadOf(tb, "002_events_api_MockSocketMode"), changes)
}

func pressSample(tb testing.TB, action, value string, changes object) []byte {
	p := changed(tb, payloadOf(tb, "001_interactive_MockSocketMode"), object{
		"actions": []object{{"type": "button", "block_id": "b", "action_id": action, "value": value, "action_ts": "1605853645.582706"}},
	})
	return changed(tb, p, changes)
}

func submitSample(tb testing.TB, callback, metadata string, values map[string]string, changes object) []byte {
	blocks, state := []object{{"type": "section", "block_id": "intro"}}, object{}
	for _, name := range []string{"module", "words"} {
		if v, ok := values[name]; ok {
			blocks = append(blocks, object{"type": "input", "block_id": name})
			state[name] = object{"value": object{"type": "plain_text_input", "action_id": "value", "value": v}}
		}
	}
	p := changed(tb, samplePayload(tb, "028_view_submission_ViewSubmissionTest"), object{
		"view.callback_id": callback, "view.private_metadata": metadata, "view.blocks": blocks, "view.state": object{"values": state},
	})
	return changed(tb, p, changes)
}

var (
	reply   = "url:https://hooks.slack.com/commands/T111/111/xxx"
	replyTo = blocks.Metadata{Reply: reply, Channel: "C7", Thread: "1.000001", Message: "1.000002"}
)

// What people do arrives as the same event whichever way it comes, and what is not for
// Muster is acknowledged.
func TestEvents(t *testing.T) {
	pressed := time.Unix(1605853645, 582706000)
	said := time.Unix(1605853844, 800000)
	for name, c := range map[string]struct {
		kind    string
		payload []byte
		want    *chat.Event
		answer  string
	}{
		"mention": {kindEvent, mentionSample(t, nil),
			&chat.Event{ID: "event/Ev01ERKCFKK9", Time: said, From: "U111", Channel: "C111", Message: "1605853844.000800", Text: "hey"}, ""},
		"mention of before authorizations": {kindEvent, samplePayload(t, "012_event_callback_EventTest"),
			&chat.Event{ID: "event/EvV1KV8BM3", Time: time.Unix(1583636399, 700000), From: "U234", Channel: "C123", Message: "1583636399.000700", Text: "test"}, ""},
		"mention in a thread": {kindEvent, mentionSample(t, object{"event.thread_ts": "1605853000.000100", "event.text": "<@U222> why <http://x.example|x.example>\n"}),
			&chat.Event{ID: "event/Ev01ERKCFKK9", Time: said, From: "U111", Channel: "C111", Thread: "1605853000.000100", Message: "1605853844.000800", Text: "why x.example"}, ""},
		"mention without a word": {kindEvent, mentionSample(t, object{"event.text": "<@U222>"}),
			&chat.Event{ID: "event/Ev01ERKCFKK9", Time: said, From: "U111", Channel: "C111", Message: "1605853844.000800"}, ""},
		"direct message": {kindEvent, mentionSample(t, object{"event.type": "message", "event.channel": "D1", "event.channel_type": "im", "event.text": "status &amp; more"}),
			&chat.Event{ID: "event/Ev01ERKCFKK9", Time: said, From: "U111", Channel: "D1", Text: "status & more"}, ""},
		"direct message with a mention": {kindEvent, mentionSample(t, object{"event.type": "message", "event.channel": "D1", "event.channel_type": "im"}),
			&chat.Event{ID: "event/Ev01ERKCFKK9", Time: said, From: "U111", Channel: "D1", Text: "hey"}, ""},
		"direct message in a thread": {kindEvent, mentionSample(t, object{"event.type": "message", "event.channel": "D1", "event.channel_type": "im", "event.thread_ts": "1.000001"}),
			&chat.Event{ID: "event/Ev01ERKCFKK9", Time: said, From: "U111", Channel: "D1", Thread: "1.000001", Message: "1605853844.000800", Text: "hey"}, ""},
		"mention in a direct message":   {kindEvent, mentionSample(t, object{"event.channel": "D1"}), nil, ""},
		"message in a channel":          {kindEvent, samplePayload(t, "021_event_callback_MessageTest"), nil, ""},
		"message of a bot":              {kindEvent, mentionSample(t, object{"event.bot_id": "B1"}), nil, ""},
		"message of our own":            {kindEvent, mentionSample(t, object{"event.user": "U222"}), nil, ""},
		"message of Slackbot":           {kindEvent, mentionSample(t, object{"event.user": "USLACKBOT"}), nil, ""},
		"edited message":                {kindEvent, mentionSample(t, object{"event.edited": object{"user": "U111", "ts": "1.0"}}), nil, ""},
		"message that changed":          {kindEvent, mentionSample(t, object{"event.type": "message", "event.channel_type": "im", "event.subtype": "message_changed"}), nil, ""},
		"message of nobody":             {kindEvent, mentionSample(t, object{"event.user": ""}), nil, ""},
		"message of a strange somebody": {kindEvent, mentionSample(t, object{"event.user": "U1\nU2"}), nil, ""},
		"message without words":         {kindEvent, mentionSample(t, object{"event.type": "message", "event.channel_type": "im", "event.text": ""}), nil, ""},
		"a novel":                       {kindEvent, mentionSample(t, object{"event.text": strings.Repeat("word ", maxLine)}), nil, ""},
		"another event":                 {kindEvent, mentionSample(t, object{"event": object{"type": "user_change", "user": object{"id": "U1"}}}), nil, ""},
		"too many events":               {kindEvent, encode(t, object{"type": "app_rate_limited", "team_id": "T1"}), nil, ""},
		"event that is none":            {kindEvent, []byte(`{"type":"event_callback"`), nil, ""},
		"event of the wrong shape":      {kindEvent, []byte(`{"type":"event_callback","event":{"type":"app_mention","user":{"id":"U1"}}}`), nil, ""},

		"command": {kindCommand, slashSample(t, " release &amp; <@U2|bob> "),
			&chat.Event{ID: "slash/111.222.xxx", From: "U111", Channel: "C111", Text: "release & @bob", Reply: reply}, ""},
		"command of another name": {kindCommand, payloadOf(t, "slash_commands"),
			&chat.Event{ID: "slash/111.222.xxx", From: "U111", Channel: "C111", Reply: reply}, ""},
		"command of nobody": {kindCommand, changed(t, slashSample(t, "x"), object{"user_id": ""}), nil, wordsUnclear},
		"command, a novel":  {kindCommand, slashSample(t, strings.Repeat("word ", maxLine)), nil, wordsTooLong},
		"no command":        {kindCommand, []byte(`no`), nil, wordsUnclear},

		"button": {kindInteraction, pressSample(t, "do:1", "approve 12 abc", nil),
			&chat.Event{ID: "press/111.222.xxx", Time: pressed, From: "U111", Channel: "C111", Message: "1605853634.000400", Text: "approve 12 abc", Reply: "url:https://hooks.slack.com/actions/T111/111/xxx"}, ""},
		"button in a thread": {kindInteraction, pressSample(t, "do:0", "why 12", object{"message.thread_ts": "1605853000.000100"}),
			&chat.Event{ID: "press/111.222.xxx", Time: pressed, From: "U111", Channel: "C111", Thread: "1605853000.000100", Message: "1605853634.000400", Text: "why 12", Reply: "url:https://hooks.slack.com/actions/T111/111/xxx"}, ""},
		"button above a thread": {kindInteraction, pressSample(t, "do:0", "why 12", object{"message.thread_ts": "1605853634.000400"}),
			&chat.Event{ID: "press/111.222.xxx", Time: pressed, From: "U111", Channel: "C111", Message: "1605853634.000400", Text: "why 12", Reply: "url:https://hooks.slack.com/actions/T111/111/xxx"}, ""},
		"button that only one sees": {kindInteraction, pressSample(t, "do:0", "why 12", object{"message": nil, "container.is_ephemeral": true}),
			&chat.Event{ID: "press/111.222.xxx", Time: pressed, From: "U111", Channel: "C111", Text: "why 12", Reply: "url:https://hooks.slack.com/actions/T111/111/xxx"}, ""},
		"button in a modal": {kindInteraction, pressSample(t, "do:0", "why 12", object{"response_url": "", "channel": nil, "message": nil, "container": object{"type": "view", "view_id": "V1"}, "view": object{"id": "V1", "type": "modal", "private_metadata": replyTo.String()}}),
			&chat.Event{ID: "press/111.222.xxx", Time: pressed, From: "U111", Channel: "C7", Thread: "1.000001", Message: "1.000002", Text: "why 12", Reply: "view:V1"}, ""},
		"buttons of others":          {kindInteraction, payloadOf(t, "001_interactive_MockSocketMode"), nil, ""},
		"button of a function":       {kindInteraction, samplePayload(t, "024_block_actions_RemoteFunctionTest"), nil, ""},
		"button in an attachment":    {kindInteraction, samplePayload(t, "029_block_actions_BlockActionRequestTest"), nil, ""},
		"button on a home tab":       {kindInteraction, samplePayload(t, "008_block_actions_BlockActionTest"), nil, ""},
		"button without a command":   {kindInteraction, pressSample(t, "do:1", "", nil), nil, ""},
		"button of nobody":           {kindInteraction, pressSample(t, "do:1", "approve 12", object{"user": object{"id": ""}}), nil, ""},
		"button that asks nothing":   {kindInteraction, pressSample(t, "ask:1", `{"command":"reject 12"}`, nil), nil, ""},
		"button that asks gibberish": {kindInteraction, pressSample(t, "ask:1", `reject`, nil), nil, ""},
		"no button":                  {kindInteraction, pressSample(t, "do:1", "x", object{"actions": []object{}}), nil, ""},

		"shortcut":         {kindInteraction, payloadOf(t, "interactive_shortcut"), nil, ""},
		"other shortcut":   {kindInteraction, samplePayload(t, "018_shortcut_GlobalShortcutTest"), nil, ""},
		"closed view":      {kindInteraction, samplePayload(t, "027_view_closed_ViewClosedTest"), nil, ""},
		"view of others":   {kindInteraction, samplePayload(t, "028_view_submission_ViewSubmissionTest"), nil, `"clear"`},
		"select of others": {kindInteraction, samplePayload(t, "009_block_suggestion_BlockSuggestionTest"), nil, `{"options":[]}`},
		"dialog of old":    {kindInteraction, encode(t, object{"type": "dialog_submission", "state": "x", "channel": "C1"}), nil, ""},
		"no interaction":   {kindInteraction, []byte(`[]`), nil, ""},

		"words": {kindInteraction, submitSample(t, "ask", blocks.Metadata{Reply: reply, Channel: "C7", Message: "1.000002", Command: "reject 12 …"}.String(), map[string]string{"words": " not\ntoday  "}, nil),
			&chat.Event{ID: "view/V123/1583638467.cd05659d", From: "U123", Channel: "C7", Message: "1.000002", Text: "reject 12 not today", Reply: reply}, `"clear"`},
		"no words":          {kindInteraction, submitSample(t, "ask", blocks.Metadata{Command: "reject 12 …"}.String(), map[string]string{"words": " \n"}, nil), nil, `"errors":{"words"`},
		"words for nothing": {kindInteraction, submitSample(t, "ask", `{`, map[string]string{"words": "no"}, nil), nil, `"errors":{"words"`},
		"card": {kindInteraction, submitSample(t, "card", blocks.Metadata{Reply: reply, Channel: "C7", Thread: "1.000001", Command: "start 12 abc"}.String(), nil, nil),
			&chat.Event{ID: "view/V123/1583638467.cd05659d", From: "U123", Channel: "C7", Thread: "1.000001", Text: "start 12 abc", Reply: reply}, `"clear"`},
		"card of nothing": {kindInteraction, submitSample(t, "card", "", nil, nil), nil, `"clear"`},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, m *musterSide, send sender) {
				began := time.Now()
				acknowledged, body := send(t, c.kind, c.payload)
				if !acknowledged {
					t.Fatal("not acknowledged")
				}
				if c.answer == "" && body != "" || !strings.Contains(body, c.answer) {
					t.Errorf("acknowledged with %q, want %q", body, c.answer)
				}
				events := m.taken()
				if c.want == nil {
					if len(events) > 0 {
						t.Errorf("took %+v", events)
					}
					return
				}
				if len(events) != 1 {
					t.Fatalf("took %+v, want one", events)
				}
				got, want := events[0], *c.want
				if want.Time.IsZero() && !got.Time.Before(began) && !got.Time.After(time.Now()) {
					want.Time = got.Time
				}
				if !got.Time.Equal(want.Time) {
					t.Errorf("time = %v, want %v", got.Time, want.Time)
				}
				got.Time = want.Time
				if got != want {
					t.Errorf("took %+v\nwant %+v", got, want)
				}
			})
		})
	}
}

// Nothing of what people write is logged.
func TestLogsNoContent(t *testing.T) {
	bothWays(t, func(t *testing.T, m *musterSide, send sender) {
		for _, c := range []struct {
			kind    string
			payload []byte
		}{
			{kindEvent, mentionSample(t, object{"event.user": 17, "event.text": "hush"})},
			{kindEvent, mentionSample(t, object{"event.user": "", "event.text": "hush"})},
			{kindCommand, changed(t, slashSample(t, "hush"), object{"user_id": ""})},
			{kindInteraction, pressSample(t, "ask:hush", "hush", object{"user": "hush"})},
			{kindInteraction, submitSample(t, "ask", "hush", map[string]string{"words": "hush"}, nil)},
			{kindInteraction, []byte(`hush`)},
		} {
			send(t, c.kind, c.payload)
		}
		log := m.log.String()
		if strings.Contains(log, "hush") || strings.Contains(log, "hooks.slack.com") {
			t.Errorf("the log holds what was sent:\n%s", log)
		}
		if strings.Count(log, "not taken") < 4 {
			t.Errorf("the log does not say that payloads were not taken:\n%s", log)
		}
	})
}

// However often Slack sends an event, and whichever way, it is the same event.
func TestSameIDEachTime(t *testing.T) {
	ids := map[string]bool{}
	bothWays(t, func(t *testing.T, m *musterSide, send sender) {
		for range 2 {
			send(t, kindEvent, mentionSample(t, nil))
		}
		for _, e := range m.taken() {
			ids[e.ID] = true
		}
		if n := len(m.taken()); n != 2 {
			t.Errorf("took %d", n)
		}
	})
	if len(ids) != 1 {
		t.Errorf("IDs %v, want one", ids)
	}
}

// What has no trigger is known by what is in it.
func TestIDWithoutTrigger(t *testing.T) {
	bothWays(t, func(t *testing.T, m *musterSide, send sender) {
		for _, trigger := range []string{"", strings.Repeat("x", 1000), "a b"} {
			for _, text := range []string{"status", "status", "why"} {
				send(t, kindCommand, changed(t, slashSample(t, text), object{"trigger_id": trigger}))
				send(t, kindInteraction, pressSample(t, "do:0", text, object{"trigger_id": trigger}))
			}
		}
		ids := map[string]int{}
		for _, e := range m.taken() {
			ids[e.ID]++
			if len(e.ID) > 100 {
				t.Errorf("ID %q", e.ID)
			}
		}
		if len(ids) != 12 {
			t.Errorf("IDs %v, want 12 different ones", ids)
		}
	})
}

type permanentError struct{}

func (permanentError) Error() string   { return "never" }
func (permanentError) Permanent() bool { return true }

// What cannot be made durable is asked for again, or else the person is told.
func TestNotSaved(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		words string
		again bool
	}{
		"disk full": {errors.New("disk full"), wordsNotSaved, true},
		"permanent": {fmt.Errorf("no: %w", permanentError{}), wordsNotTaken, false},
		"in doubt":  {fmt.Errorf("append: %w", context.DeadlineExceeded), wordsNotSure, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // that an event is not acknowledged takes a while to see
			bothWays(t, func(t *testing.T, m *musterSide, send sender) {
				m.failure = func(chat.Event) error { return c.err }
				if acknowledged, _ := send(t, kindEvent, mentionSample(t, nil)); acknowledged == c.again {
					t.Errorf("event: acknowledged = %v", acknowledged)
				}
				if ok, body := send(t, kindCommand, slashSample(t, "status")); !ok || !strings.Contains(body, c.words) || !strings.Contains(body, `"ephemeral"`) {
					t.Errorf("command: %v, %s", ok, body)
				}
				if ok, body := send(t, kindInteraction, pressSample(t, "do:0", "status", nil)); !ok || body != "" {
					t.Errorf("button: %v, %s", ok, body)
				}
				if told := next(t, m.told, "word"); told.text != c.words || told.reply != "url:https://hooks.slack.com/actions/T111/111/xxx" {
					t.Errorf("button: told %+v", told)
				}
				if ok, body := send(t, kindInteraction, submitSample(t, "ask", `{"command":"reject 12 …"}`, map[string]string{"words": "no"}, nil)); !ok || !strings.Contains(body, `"errors":{"words":"`+c.words) {
					t.Errorf("words: %v, %s", ok, body)
				}
				if ok, body := send(t, kindInteraction, submitSample(t, "card", `{"command":"start 12"}`, nil, nil)); !ok || !strings.Contains(body, `"update"`) || !strings.Contains(body, c.words) {
					t.Errorf("card: %v, %s", ok, body)
				}
			})
		})
	}
}

// A host that does not heed its deadline does not hold up the acknowledgement.
func TestStuckHost(t *testing.T) {
	for name, heeds := range map[string]bool{"heeds its deadline": true, "does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMusterSide()
				d := m.door()
				release := make(chan struct{})
				d.host = stuckHost{musterSide: m, heeds: heeds, release: release}
				began := time.Now()
				ctx, cancel := context.WithDeadlineCause(t.Context(), began.Add(patience), errLate)
				defer cancel()
				a := d.event(ctx, mentionSample(t, nil))
				if took := time.Since(began); took < patience || took >= 3*time.Second || !a.again {
					t.Errorf("after %v: %+v", took, a)
				}
				began = time.Now()
				ctx, cancel = context.WithDeadlineCause(t.Context(), began.Add(patience), errLate)
				defer cancel()
				c, err := decodeCommand(slashSample(t, "status"), time.Now())
				b := d.command(ctx, c, err)
				if took := time.Since(began); took < patience || took >= 3*time.Second || !strings.Contains(fmt.Sprint(b.body), wordsNotSure) {
					t.Errorf("after %v: %+v", took, b)
				}
				close(release)
				for _, after := range []func(){a.after, b.after} {
					if after != nil {
						after()
					}
				}
			})
		})
	}
}

type stuckHost struct {
	*musterSide
	heeds   bool
	release chan struct{}
}

func (h stuckHost) Receive(ctx context.Context, e chat.Event) error {
	if h.heeds {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	<-h.release
	return nil
}

var releaseForm = chat.Form{Name: "release", Title: "New release", Submit: "Plan", Wait: "Planning …", Inputs: []chat.Input{{Name: "module", Label: "Module", Kind: chat.Search}}}

func formForRelease(e chat.Event) *chat.Form {
	if e.Text == "release" {
		return &releaseForm
	}
	return nil
}

func TestForm(t *testing.T) {
	bothWays(t, func(t *testing.T, m *musterSide, send sender) {
		m.form = formForRelease
		if ok, body := send(t, kindCommand, slashSample(t, "release")); !ok || body != "" {
			t.Errorf("acknowledged: %v, %q", ok, body)
		}
		opened := next(t, m.opened, "form")
		if opened.trigger != "111.222.xxx" || opened.view.CallbackID != "form:release" {
			t.Errorf("opened %+v", opened)
		}
		if n := len(m.taken()); n != 0 {
			t.Errorf("took %d events before the form was sent", n)
		}

		// Options while the person types.
		m.suggest = func(from, form, input, typed string) []chat.Choice {
			all := []chat.Choice{{Value: from + " " + form, Label: input + " " + typed}}
			for range 150 {
				all = append(all, chat.Choice{Value: "v", Label: "l"})
			}
			return all
		}
		search := changed(t, samplePayload(t, "009_block_suggestion_BlockSuggestionTest"), object{"view": object{"id": "V1", "callback_id": "form:release"}, "block_id": "module", "value": "pay"})
		_, body := send(t, kindInteraction, search)
		var found struct {
			Options []struct {
				Value string
				Text  struct{ Text string }
			}
		}
		if err := json.Unmarshal([]byte(body), &found); err != nil || len(found.Options) != 100 {
			t.Fatalf("options: %v, %d of them", err, len(found.Options))
		}
		if o := found.Options[0]; o.Value != "U123 release" || o.Text.Text != "module pay" {
			t.Errorf("option %+v", o)
		}

		// What is wrong is said where it is wrong, and what is wrong elsewhere at the first input.
		m.fill = func(from string, f chat.Filled) (string, map[string]string) {
			if f.Values["module"][0] == "payments" {
				return "release " + f.Values["module"][0], nil
			}
			return "", map[string]string{"module": "There is no such module.", "environment": "Choose one."}
		}
		_, body = send(t, kindInteraction, submitSample(t, "form:release", opened.view.PrivateMetadata, map[string]string{"module": "pay"}, nil))
		if want := `{"response_action":"errors","errors":{"module":"There is no such module. Choose one."}}`; body != want {
			t.Errorf("wrong: %s, want %s", body, want)
		}
		if n := len(m.taken()); n != 0 {
			t.Errorf("took %d events of a form that is not right", n)
		}

		// The answer takes the place of the form.
		_, body = send(t, kindInteraction, submitSample(t, "form:release", opened.view.PrivateMetadata, map[string]string{"module": "payments"}, nil))
		if !strings.Contains(body, `"response_action":"update"`) || !strings.Contains(body, "Planning …") {
			t.Errorf("sent: %s", body)
		}
		if e := next(t, m.took, "event"); e.Text != "release payments" || e.From != "U123" || e.Channel != "C111" || !strings.HasPrefix(e.Reply, "view:V123 {") || e.ID != "view/V123/1583638467.cd05659d" {
			t.Errorf("took %+v", e)
		}
	})
}

// An answer that is quicker than the acknowledgement comes after it, or it would be
// overwritten.
func TestAnswerComesAfterAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMusterSide()
		m.fill = func(from string, f chat.Filled) (string, map[string]string) { return "release", nil }
		for _, err := range []error{nil, errors.New("disk full"), nil} {
			m.failure = func(chat.Event) error { return err }
			a := m.door().interaction(t.Context(), submitSample(t, "form:release", `{"wait":"Planning …"}`, map[string]string{"module": "payments"}, nil))
			answered := make(chan error, 1)
			go func() { answered <- m.held.wait(t.Context(), "V123") }()
			synctest.Wait()
			if err != nil {
				if err := <-answered; err != nil {
					t.Error(err)
				}
				continue
			}
			none(t, answered, "answer before the acknowledgement")
			a.after()
			if err := <-answered; err != nil {
				t.Error(err)
			}
		}
	})
}

// Without words to wait with, the form closes and the answer goes where it was asked for.
func TestFormWithoutWait(t *testing.T) {
	bothWays(t, func(t *testing.T, m *musterSide, send sender) {
		m.form = func(e chat.Event) *chat.Form {
			f := releaseForm
			f.Wait = ""
			return &f
		}
		m.fill = func(from string, f chat.Filled) (string, map[string]string) { return "status", nil }
		send(t, kindInteraction, pressSample(t, "do:3", "release", nil))
		opened := next(t, m.opened, "form")
		_, body := send(t, kindInteraction, submitSample(t, "form:release", opened.view.PrivateMetadata, nil, nil))
		if body != `{"response_action":"clear"}` {
			t.Errorf("sent: %s", body)
		}
		if e := next(t, m.took, "event"); e.Reply != "url:https://hooks.slack.com/actions/T111/111/xxx" || e.Message != "1605853634.000400" || e.Channel != "C111" {
			t.Errorf("took %+v", e)
		}
	})
}

func TestFormThatDoesNotOpen(t *testing.T) {
	bothWays(t, func(t *testing.T, m *musterSide, send sender) {
		m.form, m.openErr = formForRelease, errors.New("slack: open view: expired_trigger_id")
		send(t, kindCommand, slashSample(t, "release"))
		if told := next(t, m.told, "word"); told.reply != reply || told.text != wordsTypeAgain {
			t.Errorf("told %+v", told)
		}
		// Without a trigger nothing can open: the line is carried out as it is.
		next(t, m.opened, "form")
		send(t, kindCommand, changed(t, slashSample(t, "release"), object{"trigger_id": ""}))
		if e := next(t, m.took, "event"); e.Text != "release" {
			t.Errorf("took %+v", e)
		}
		none(t, m.opened, "form")
	})
}

func TestAsk(t *testing.T) {
	bothWays(t, func(t *testing.T, m *musterSide, send sender) {
		send(t, kindInteraction, pressSample(t, "ask:2", `{"command":"reject 12 …","ask":"Why?","label":"Reject"}`, nil))
		opened := next(t, m.opened, "form")
		if opened.view.CallbackID != "ask" || opened.trigger != "111.222.xxx" {
			t.Errorf("opened %+v", opened)
		}
		send(t, kindInteraction, submitSample(t, "ask", opened.view.PrivateMetadata, map[string]string{"words": "too late"}, nil))
		e := next(t, m.took, "event")
		if e.Text != "reject 12 too late" || e.Channel != "C111" || e.Message != "1605853634.000400" || e.Reply != "url:https://hooks.slack.com/actions/T111/111/xxx" {
			t.Errorf("took %+v", e)
		}
		if n := len(m.taken()); n != 1 {
			t.Errorf("took %d events, want the words alone", n)
		}
	})
}
