package slackfake_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
	"github.com/slack-go/slack/socketmode"

	"github.com/muster-release/muster/integrations/slack/slackfake"
)

func TestHTTPDelivery(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	app := newApp(t, w.Workspace)

	said, d, err := w.Say(w.ann, w.releases, "", "@muster status <now> & then")
	if err != nil || !d.Acked || d.Type != "app_mention" {
		t.Fatalf("delivery = %+v, %v", d, err)
	}
	e, err := slackevents.ParseEvent(json.RawMessage(app.last(t).body), slackevents.OptionNoVerifyToken())
	if err != nil {
		t.Fatal(err)
	}
	mention, ok := e.InnerEvent.Data.(*slackevents.AppMentionEvent)
	if want := "<@" + slackfake.BotUser + "> status &lt;now&gt; &amp; then"; !ok || mention.Text != want || mention.User != w.ann || mention.TimeStamp != said.TS {
		t.Errorf("mention = %+v, want text %q", mention, want)
	}
	if _, d, err := w.Say(w.ann, w.releases, "", "nothing for the app"); err != nil || d.N != 0 {
		t.Errorf("a message without a mention was delivered: %+v, %v", d, err)
	}
	if _, d, err := w.Say(w.ann, "", "", "status"); err != nil || d.Type != "message" || !strings.Contains(app.last(t).body, `"channel_type":"im"`) {
		t.Errorf("direct message: %+v, %v", d, err)
	}

	app.say(http.StatusOK, `{"text":"one moment"}`)
	if d, err = w.Slash(w.ann, w.releases, "/muster status"); err != nil || !d.Acked {
		t.Fatalf("slash command = %+v, %v", d, err)
	}
	form := app.last(t).form
	if form.Get("command") != "/muster" || form.Get("text") != "status" || form.Get("channel_id") != w.releases || form.Get("user_id") != w.ann {
		t.Errorf("command = %v", form)
	}
	if all := w.Ephemerals(w.ann); len(all) != 1 || all[0].Text != "one moment" {
		t.Errorf("answered in the acknowledgement: %+v", all)
	}
	app.say(http.StatusInternalServerError, "")
	if d, err = w.Slash(w.ann, w.releases, "status"); err != nil || d.Acked {
		t.Fatalf("slash command = %+v, %v", d, err)
	}
	if all := w.Ephemerals(w.ann); !strings.Contains(all[len(all)-1].Text, "failed") {
		t.Errorf("the person was not told: %+v", all)
	}
	foreign := w.AddUser(slackfake.User{Name: "eve", Team: slackfake.ForeignTeam})
	w.Invite(w.releases, foreign)
	if _, err := w.Slash(foreign, w.releases, "status"); err == nil {
		t.Error("a user of another workspace used the slash command")
	}
	w.Deactivate(w.bob)
	if _, _, err := w.Say(w.bob, w.releases, "", "hello"); err == nil {
		t.Error("somebody without an account spoke")
	}
}

func TestEventsComeAgain(t *testing.T) {
	ms := time.Millisecond
	w := newWorld(t, slackfake.Options{NoTiers: true, RetryDelays: []time.Duration{ms, ms, ms}})
	app := newApp(t, w.Workspace)
	app.say(http.StatusServiceUnavailable, "")
	if _, d, _ := w.Say(w.ann, w.releases, "", "@muster status"); d.Acked {
		t.Fatalf("delivery = %+v", d)
	}
	if err := w.Wait(within(t), func() bool { return len(app.all()) == 4 }); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for i, g := range app.all() {
		var e struct {
			ID string `json:"event_id"`
		}
		json.Unmarshal([]byte(g.body), &e)
		ids[e.ID] = true
		num := ""
		if i > 0 {
			num = string(rune('0' + i))
		}
		if g.header.Get("X-Slack-Retry-Num") != num || i > 0 && g.header.Get("X-Slack-Retry-Reason") != "http_error" {
			t.Errorf("attempt %d has headers %v", i, g.header)
		}
	}
	if len(ids) != 1 {
		t.Errorf("event IDs = %v, want one", ids)
	}
	// A press is never delivered again.
	_, ts, _ := w.api.PostMessage(w.releases, slack.MsgOptionBlocks(buttons(button("do:0", "go", "Go"))))
	if d, err := w.Press(w.ann, w.releases, ts, "Go"); err != nil || d.Acked {
		t.Fatalf("press = %+v, %v", d, err)
	}
	before := len(app.all())
	app.say(http.StatusOK, "")
	if d, err := w.Redeliver(); err != nil || !d.Acked || d.Attempt != 1 {
		t.Errorf("redelivery = %+v, %v", d, err)
	}
	if all := app.all(); len(all) != before+1 || all[before].path != "/slack/events" {
		t.Errorf("after the redelivery there are %d requests, want %d", len(all), before+1)
	}
}

func TestSlowApp(t *testing.T) {
	w := newWorld(t, slackfake.Options{AckTimeout: 50 * time.Millisecond, RetryDelays: []time.Duration{}})
	app := newApp(t, w.Workspace)
	app.mu.Lock()
	app.answer = func(got) (int, string) { time.Sleep(100 * time.Millisecond); return 200, "" }
	app.mu.Unlock()
	_, d, err := w.Say(w.ann, "", "", "status")
	if err != nil || d.Acked || d.Latency < 50*time.Millisecond || d.Error == "" {
		t.Errorf("delivery = %+v, %v", d, err)
	}
}

func TestPress(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	app := newApp(t, w.Workspace)
	careful := button("do:1", "approve 2", "Approve")
	plain := func(s string) *slack.TextBlockObject { return slack.NewTextBlockObject("plain_text", s, false, false) }
	careful.Confirm = slack.NewConfirmationBlockObject(plain("Sure?"), plain("It goes to production."), plain("Yes"), plain("No"))
	_, ts, err := w.api.PostMessage(w.releases, slack.MsgOptionBlocks(section("go?"), buttons(button("do:0", "approve 1", "Go"), careful)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := w.Press(w.ann, w.releases, ts, "Go")
	if err != nil || !d.Acked {
		t.Fatalf("press = %+v, %v", d, err)
	}
	var cb slack.InteractionCallback
	if err := json.Unmarshal([]byte(app.last(t).form.Get("payload")), &cb); err != nil {
		t.Fatal(err)
	}
	action := cb.ActionCallback.BlockActions[0]
	if cb.Type != slack.InteractionTypeBlockActions || action.ActionID != "do:0" || action.Value != "approve 1" || cb.User.ID != w.ann ||
		cb.Channel.ID != w.releases || cb.Container.MessageTs != ts || cb.Message.Timestamp != ts || cb.TriggerID == "" || d.ID != cb.TriggerID {
		t.Errorf("interaction = %+v", cb)
	}
	if _, err := w.Press(w.ann, w.releases, ts, "Approve"); err == nil {
		t.Error("a button with a dialog was pressed without it")
	}
	if _, err := w.PressConfirmed(w.ann, w.releases, ts, "approve 2"); err != nil {
		t.Error(err)
	}
	stale, err := w.PressPayload(w.bob, w.releases, ts, "Go")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := w.api.UpdateMessage(w.releases, ts, slack.MsgOptionBlocks(section("done"))); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Press(w.ann, w.releases, ts, "Go"); err == nil {
		t.Error("a button was pressed that is gone")
	}
	if d := w.Deliver(slackfake.Interactive, stale); !d.Acked {
		t.Errorf("a press under way when the button went = %+v", d)
	}

	// Response URLs: for that person alone, in place of the message, five times.
	for i, hook := range []*slack.WebhookMessage{
		{Text: "for you"}, {Text: "for all", ResponseType: "in_channel", ThreadTimestamp: ts}, {Text: "instead", ReplaceOriginal: true},
		{Text: "4"}, {Text: "5"},
	} {
		if err := slack.PostWebhook(cb.ResponseURL, hook); err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
	}
	if err := slack.PostWebhook(cb.ResponseURL, &slack.WebhookMessage{Text: "6"}); err == nil {
		t.Error("a response URL was used six times")
	}
	if all := w.Ephemerals(w.ann); len(all) != 3 || all[0].Text != "for you" || len(w.Ephemerals(w.bob)) != 0 {
		t.Errorf("ephemeral messages = %+v", all)
	}
	if all := w.Thread(w.releases, ts); len(all) != 2 || all[0].Text != "instead" || all[1].Text != "for all" {
		t.Errorf("thread = %+v", all)
	}
}

func TestForgeries(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	app := newApp(t, w.Workspace)
	_, ts, _ := w.api.PostMessage(w.releases, slack.MsgOptionBlocks(buttons(button("do:0", "go", "Go"))))
	payload, err := w.PressPayload(w.ann, w.releases, ts, "Go")
	if err != nil {
		t.Fatal(err)
	}
	genuine := w.Sign(slackfake.Interactive, payload, time.Now())
	for range 2 {
		if d, err := w.Send(genuine); err != nil || !d.Acked {
			t.Errorf("genuine request, and its replay: %+v, %v", d, err)
		}
	}
	tampered := genuine
	tampered.Body = []byte(strings.ReplaceAll(string(genuine.Body), w.ann, w.bob))
	old := w.Sign(slackfake.Interactive, payload, time.Now().Add(-10*time.Minute))
	for name, r := range map[string]slackfake.Request{"tampered": tampered, "old": old} {
		if d, err := w.Send(r); err != nil || d.Status != http.StatusUnauthorized {
			t.Errorf("%s request: %+v, %v", name, d, err)
		}
	}
	if n := len(app.all()); n != 2 {
		t.Errorf("%d requests were taken, want 2", n)
	}
	app.mu.Lock()
	app.answer = func(g got) (int, string) {
		var c struct{ Challenge string }
		json.Unmarshal([]byte(g.body), &c)
		return 200, c.Challenge
	}
	app.mu.Unlock()
	if err := w.VerifyURL(); err != nil {
		t.Error(err)
	}
	app.say(200, "no")
	if w.VerifyURL() == nil {
		t.Error("an address that does not know the challenge was taken")
	}
}

// The vector is the example of docs.slack.dev/authentication/verifying-requests-from-slack.
func TestSignature(t *testing.T) {
	body := "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
	got := slackfake.Signature("8f742231b10e8888abcd99yyyzzz85a5", "1531420618", []byte(body))
	if want := "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"; got != want {
		t.Errorf("Signature = %s, want %s", got, want)
	}
}

// listen runs slack-go's Socket Mode client, which acknowledges everything with what answer says.
func listen(t *testing.T, w *world, answer func(socketmode.Event) any) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	c := socketmode.New(w.api)
	running.Go(func() { _ = c.RunContext(ctx) })
	running.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-c.Events:
				if e.Request == nil || e.Request.EnvelopeID == "" {
					continue
				}
				if a := answer(e); a != nil {
					c.Ack(*e.Request, a)
				} else {
					c.Ack(*e.Request)
				}
			}
		}
	})
	if err := w.Wait(within(t), func() bool { return w.Connections() > 0 }); err != nil {
		t.Fatal(err)
	}
}

func TestSocketMode(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	seen := make(chan socketmode.Event, 20)
	listen(t, w, func(e socketmode.Event) any {
		seen <- e
		if e.Type == socketmode.EventTypeSlashCommand {
			return map[string]any{"text": "one moment"}
		}
		return nil
	})
	_, d, err := w.Say(w.ann, w.releases, "", "@muster status")
	if err != nil || !d.Acked || d.Connection != 1 {
		t.Fatalf("delivery = %+v, %v", d, err)
	}
	if e := <-seen; e.Type != socketmode.EventTypeEventsAPI {
		t.Errorf("event = %+v", e)
	}
	if d, err := w.Slash(w.ann, w.releases, "status"); err != nil || !d.Acked {
		t.Fatalf("slash command = %+v, %v", d, err)
	}
	if cmd, ok := (<-seen).Data.(slack.SlashCommand); !ok || cmd.Text != "status" || cmd.ChannelID != w.releases {
		t.Errorf("command = %+v", cmd)
	}
	if all := w.Ephemerals(w.ann); len(all) != 1 || all[0].Text != "one moment" {
		t.Errorf("answered in the acknowledgement: %+v", all)
	}
	_, ts, _ := w.api.PostMessage(w.releases, slack.MsgOptionBlocks(buttons(button("do:0", "go", "Go"))))
	if d, err := w.Press(w.ann, w.releases, ts, "Go"); err != nil || !d.Acked {
		t.Fatalf("press = %+v, %v", d, err)
	}
	if cb, ok := (<-seen).Data.(slack.InteractionCallback); !ok || cb.ActionCallback.BlockActions[0].Value != "go" {
		t.Errorf("interaction = %+v", cb)
	}

	// A refresh is followed by another connection, and nothing is lost.
	w.Refresh(20 * time.Millisecond)
	if err := w.Wait(within(t), func() bool {
		for _, c := range w.Calls() {
			if c.Method == "apps.connections.open" && c.N > 2 {
				return w.Connections() == 1
			}
		}
		return false
	}); err != nil {
		t.Fatal(err)
	}
	if _, d, err := w.Say(w.ann, w.releases, "", "@muster again"); err != nil || !d.Acked && !eventually(t, w, d.ID) {
		t.Errorf("after the refresh: %+v, %v", d, err)
	}
}

// eventually waits until an event is acknowledged.
func eventually(t *testing.T, w *world, id string) bool {
	t.Helper()
	return w.Wait(within(t), func() bool {
		for _, d := range w.Deliveries() {
			if d.ID == id && d.Acked {
				return true
			}
		}
		return false
	}) == nil
}

func TestSocketEventsComeAgain(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true, AckTimeout: 300 * time.Millisecond})
	listen(t, w, func(socketmode.Event) any { return nil })
	w.SetSocketFault(func(d slackfake.Delivery) slackfake.SocketFault {
		return slackfake.SocketFault{DropAfter: d.Attempt == 0}
	})
	_, d, err := w.Say(w.ann, w.releases, "", "@muster status")
	if err != nil {
		t.Fatal(err)
	}
	if !eventually(t, w, d.ID) {
		t.Errorf("the event was lost: %+v", w.Deliveries())
	}
	w.SetSocketFault(nil)
}

// raw opens a connection without slack-go.
func raw(t *testing.T, w *world) (*websocket.Conn, map[string]any) {
	t.Helper()
	_, url, err := w.api.StartSocketModeContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, _, err := websocket.DefaultDialer.Dial(url, nil); err == nil {
		t.Error("a ticket was used twice")
	}
	var first map[string]any
	if err := c.ReadJSON(&first); err != nil {
		t.Fatal(err)
	}
	return c, first
}

func TestSocketAcknowledgements(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true, AckTimeout: 50 * time.Millisecond, RetryDelays: []time.Duration{time.Millisecond}})
	c, hello := raw(t, w)
	if hello["type"] != "hello" || hello["num_connections"] != 1.0 {
		t.Errorf("hello = %v", hello)
	}
	if err := w.Wait(within(t), func() bool { return w.Connections() == 1 }); err != nil {
		t.Fatal(err)
	}
	if _, d, _ := w.Say(w.ann, w.releases, "", "@muster status"); d.Acked || d.Error == "" {
		t.Errorf("delivery = %+v", d)
	}
	var envelopes [2]struct {
		ID      string `json:"envelope_id"`
		Type    string
		Attempt int    `json:"retry_attempt"`
		Reason  string `json:"retry_reason"`
		Payload struct {
			ID string `json:"event_id"`
		}
	}
	for i := range envelopes {
		if err := c.ReadJSON(&envelopes[i]); err != nil {
			t.Fatal(err)
		}
	}
	if first, again := envelopes[0], envelopes[1]; first.Attempt != 0 || again.Attempt != 1 || again.Reason != "timeout" || first.Payload.ID != again.Payload.ID || first.ID == again.ID {
		t.Errorf("envelopes = %+v", envelopes)
	}
	if err := w.Wait(within(t), func() bool { d := w.Deliveries(); return len(d) == 2 && d[1].Over }); err != nil {
		t.Fatal(err)
	}
	c.WriteJSON(map[string]any{"envelope_id": envelopes[0].ID})
	if err := w.Wait(within(t), func() bool { d := w.Deliveries()[0]; return d.Late && !d.Acked }); err != nil {
		t.Errorf("a late acknowledgement is not known as one: %+v", w.Deliveries())
	}
	for range 9 {
		raw(t, w)
	}
	if err := w.Wait(within(t), func() bool { return w.Connections() == 10 }); err != nil {
		t.Fatal(err)
	}
	if _, first := raw(t, w); first["type"] != "disconnect" {
		t.Errorf("connection 11 is greeted with %v", first)
	}
	w.DropConnections(10)
	if d, err := w.Slash(w.ann, w.releases, "status"); err != nil || d.Acked || d.Error == "" {
		t.Errorf("without a connection: %+v, %v", d, err)
	}
}
