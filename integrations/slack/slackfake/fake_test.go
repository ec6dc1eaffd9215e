package slackfake_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slack-go/slack"

	"github.com/muster-release/muster/integrations/slack/slackfake"
)

// world is a workspace with ann and bob in #releases, where the bot is too.
type world struct {
	*slackfake.Workspace
	api      *slack.Client
	ann, bob string
	releases string
}

func newWorld(t *testing.T, opts slackfake.Options) *world {
	t.Helper()
	w, err := slackfake.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	o := &world{Workspace: w, api: slack.New(w.BotToken(), slack.OptionAPIURL(w.APIURL()), slack.OptionAppLevelToken(w.AppToken()))}
	o.ann = w.AddUser(slackfake.User{Name: "ann", RealName: "Ann Moreau", Email: "ann@example.com"})
	o.bob = w.AddUser(slackfake.User{Name: "bob", Email: "bob@example.com"})
	o.releases = w.AddChannel(slackfake.Channel{Name: "releases", Members: []string{o.ann, o.bob, slackfake.BotUser}})
	return o
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// got is a request that the app received.
type got struct {
	path   string
	body   string
	header http.Header
	form   url.Values
}

// app is an app behind HTTP that checks signatures with slack-go and answers what it is told to.
type app struct {
	mu       sync.Mutex
	received []got
	answer   func(got) (int, string)
}

func newApp(t *testing.T, w *slackfake.Workspace) *app {
	a := &app{}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		v, err := slack.NewSecretsVerifier(r.Header, w.SigningSecret())
		if err == nil {
			v.Write(raw)
			err = v.Ensure()
		}
		if err != nil {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		g := got{path: r.URL.Path, body: string(raw), header: r.Header}
		g.form, _ = url.ParseQuery(g.body)
		a.mu.Lock()
		a.received = append(a.received, g)
		answer := a.answer
		a.mu.Unlock()
		if answer == nil {
			return
		}
		status, body := answer(g)
		rw.WriteHeader(status)
		io.WriteString(rw, body)
	}))
	t.Cleanup(s.Close)
	w.DeliverHTTP(s.URL)
	return a
}

func (a *app) all() []got {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.received)
}

func (a *app) last(t *testing.T) got {
	t.Helper()
	all := a.all()
	if len(all) == 0 {
		t.Fatal("the app received nothing")
	}
	return all[len(all)-1]
}

func (a *app) say(status int, body string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = func(got) (int, string) { return status, body }
}

// answered is what the Web API answers.
type answered struct {
	OK       bool
	Error    string
	Metadata struct{ Messages []string } `json:"response_metadata"`
}

// call makes a call that slack-go would not make.
func (w *world) call(t *testing.T, method string, args map[string]any) answered {
	t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.APIURL()+method, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+w.BotToken())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a answered
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a
}

func section(text string) slack.Block {
	return slack.NewSectionBlock(slack.NewTextBlockObject(slack.MarkdownType, text, false, false), nil, nil)
}

func buttons(all ...*slack.ButtonBlockElement) slack.Block {
	var elements []slack.BlockElement
	for _, b := range all {
		elements = append(elements, b)
	}
	return slack.NewActionBlock("actions", elements...)
}

func button(id, value, label string) *slack.ButtonBlockElement {
	return slack.NewButtonBlockElement(id, value, slack.NewTextBlockObject(slack.PlainTextType, label, false, false))
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if err == nil || err.Error() != code {
		t.Errorf("error = %v, want %s", err, code)
	}
}

func TestPostUpdateDelete(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	meta := slack.SlackMetadata{EventType: "muster_message", EventPayload: map[string]any{"key": "k1"}}
	_, ts, err := w.api.PostMessage(w.releases, slack.MsgOptionText("one", false), slack.MsgOptionBlocks(section("*one*"), buttons(button("do:0", "x", "Go"))), slack.MsgOptionMetadata(meta))
	if err != nil {
		t.Fatal(err)
	}
	_, reply, err := w.api.PostMessage("#releases", slack.MsgOptionText("below", false), slack.MsgOptionTS(ts))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err = w.api.UpdateMessage(w.releases, ts, slack.MsgOptionText("two", false), slack.MsgOptionBlocks(section("*two*"))); err != nil {
		t.Fatal(err)
	}
	m, _ := w.Message(w.releases, ts)
	if m.Text != "two" || len(m.Buttons()) != 0 || m.Edits != 1 || m.Metadata == nil || m.Metadata.Payload["key"] != "k1" || m.ReplyCount != 1 {
		t.Errorf("message = %+v", m)
	}
	if got := slackfake.Plain(m); got != "*two*" {
		t.Errorf("Plain = %q", got)
	}
	if all := w.Thread(w.releases, ts); len(all) != 2 || all[1].TS != reply || all[1].ThreadTS != ts {
		t.Errorf("thread = %+v", all)
	}

	h, err := w.api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: w.releases, IncludeAllMetadata: true})
	if err != nil || len(h.Messages) != 1 || h.Messages[0].Metadata.EventPayload["key"] != "k1" {
		t.Errorf("history = %+v, %v", h, err)
	}
	msgs, _, _, err := w.api.GetConversationReplies(&slack.GetConversationRepliesParameters{ChannelID: w.releases, Timestamp: ts, Oldest: ts})
	if err != nil || len(msgs) != 2 || msgs[0].Metadata.EventType != "" {
		t.Errorf("replies = %+v, %v", msgs, err)
	}

	// A deleted root with replies keeps its thread; one without loses it.
	if _, _, err = w.api.DeleteMessage(w.releases, ts); err != nil {
		t.Fatal(err)
	}
	_, _, _, err = w.api.UpdateMessage(w.releases, ts, slack.MsgOptionText("three", false))
	wantCode(t, err, "message_not_found")
	_, _, full, err := w.api.PostMessageWithResponse(w.releases, slack.MsgOptionText("still here", false), slack.MsgOptionTS(ts))
	if err != nil || full.ThreadTimestamp != ts {
		t.Errorf("reply below a tombstone: thread %q, %v", full.ThreadTimestamp, err)
	}
	_, lonely, _ := w.api.PostMessage(w.releases, slack.MsgOptionText("lonely", false))
	if err := w.Delete(w.ann, w.releases, lonely); err != nil {
		t.Fatal(err)
	}
	_, _, full, err = w.api.PostMessageWithResponse(w.releases, slack.MsgOptionText("lost", false), slack.MsgOptionTS(lonely))
	if err != nil || full.ThreadTimestamp != "" {
		t.Errorf("reply below a message that is gone: thread %q, %v", full.ThreadTimestamp, err)
	}
}

func TestErrors(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	hidden := w.AddChannel(slackfake.Channel{Name: "hidden", Private: true})
	open := w.AddChannel(slackfake.Channel{Name: "open"})
	old := w.AddChannel(slackfake.Channel{Name: "old", Members: []string{slackfake.BotUser}, Archived: true})
	post := func(channel string, opts ...slack.MsgOption) error {
		_, _, err := w.api.PostMessage(channel, append([]slack.MsgOption{slack.MsgOptionText("x", false)}, opts...)...)
		return err
	}
	wantCode(t, post("C9999"), "channel_not_found")
	wantCode(t, post(hidden), "channel_not_found")
	wantCode(t, post(open), "not_in_channel")
	wantCode(t, post(old), "is_archived")
	if got := w.call(t, "chat.postMessage", map[string]any{"channel": w.releases}); got.Error != "no_text" {
		t.Errorf("post without text: %+v", got)
	}
	if got := w.call(t, "chat.postMessage", map[string]any{"channel": w.releases, "text": strings.Repeat("x", 40_001)}); got.Error != "msg_too_long" {
		t.Errorf("post of 40,001 characters: %+v", got)
	}
	said, _, err := w.Say(w.ann, w.releases, "", "mine")
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, err = w.api.UpdateMessage(w.releases, said.TS, slack.MsgOptionText("x", false))
	wantCode(t, err, "cant_update_message")
	_, ts, _ := w.api.PostMessage(w.releases, slack.MsgOptionText("x", false))
	_, _, _, err = w.api.UpdateMessage(w.releases, ts, slack.MsgOptionText(strings.Repeat("x", 4001), false))
	wantCode(t, err, "msg_too_long")
	_, err = w.api.GetUserInfo("U9999")
	wantCode(t, err, "user_not_found")
	_, err = w.api.GetUserByEmail("nobody@example.com")
	wantCode(t, err, "users_not_found")
	_, err = w.api.OpenView("1.2.3", slack.ModalViewRequest{Type: "modal", Title: slack.NewTextBlockObject("plain_text", "t", false, false)})
	wantCode(t, err, "invalid_trigger_id")
	_, err = slack.New("xoxb-wrong", slack.OptionAPIURL(w.APIURL())).AuthTest()
	wantCode(t, err, "invalid_auth")

	w.Grant("commands", "users:read")
	err = post(w.releases)
	var e slack.SlackErrorResponse
	if !errors.As(err, &e) || e.Err != "missing_scope" || e.Needed != "chat:write" || e.Provided != "commands,users:read" {
		t.Errorf("without the scope: %+v", err)
	}
	u, err := w.api.GetUserInfo(w.ann)
	if err != nil || u.Profile.Email != "" {
		t.Errorf("user = %+v, %v: an e-mail address without its scope", u, err)
	}
	auth, err := w.api.AuthTest()
	if err != nil || auth.UserID != slackfake.BotUser || auth.Header.Get("X-OAuth-Scopes") != "commands,users:read" {
		t.Errorf("auth.test = %+v, %v", auth, err)
	}
	w.Revoke()
	_, err = w.api.AuthTest()
	wantCode(t, err, "token_revoked")
}

func TestBlockLimits(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	long := func(n int) string { return strings.Repeat("x", n) }
	text := func(s string) map[string]any { return map[string]any{"type": "plain_text", "text": s} }
	md := func(s string) map[string]any { return map[string]any{"type": "mrkdwn", "text": s} }
	sec := func(s string) map[string]any { return map[string]any{"type": "section", "text": md(s)} }
	many := func(n int, o any) (all []any) {
		for range n {
			all = append(all, o)
		}
		return all
	}
	but := func(change func(map[string]any)) map[string]any {
		b := map[string]any{"type": "button", "action_id": "a", "text": text("Go")}
		change(b)
		return map[string]any{"type": "actions", "elements": []any{b}}
	}
	confirm := func(title, body, yes int) map[string]any {
		return but(func(b map[string]any) {
			b["confirm"] = map[string]any{"title": text(long(title)), "text": md(long(body)), "confirm": text(long(yes)), "deny": text("No")}
		})
	}
	for name, c := range map[string]struct {
		blocks []any
		code   string // "" if it is taken
		hint   string
	}{
		"50 blocks":          {many(50, sec("x")), "", ""},
		"51 blocks":          {many(51, sec("x")), "invalid_blocks", "no more than 50 items allowed [json-pointer:/blocks]"},
		"section":            {[]any{sec(long(3000))}, "", ""},
		"long section":       {[]any{sec(long(3001))}, "invalid_blocks", "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"},
		"empty section":      {[]any{sec("")}, "invalid_blocks", "must be more than 0 characters"},
		"13,200 in all":      {many(5, sec(long(2640))), "", ""},
		"more in all":        {append(many(5, sec(long(2640))), sec("x")), "msg_blocks_too_long", ""},
		"header":             {[]any{map[string]any{"type": "header", "text": text(long(150))}}, "", ""},
		"long header":        {[]any{map[string]any{"type": "header", "text": text(long(151))}}, "invalid_blocks", "less than 151"},
		"header in mrkdwn":   {[]any{map[string]any{"type": "header", "text": md("x")}}, "invalid_blocks", "must be plain_text"},
		"10 fields":          {[]any{map[string]any{"type": "section", "fields": many(10, md("x"))}}, "", ""},
		"11 fields":          {[]any{map[string]any{"type": "section", "fields": many(11, md("x"))}}, "invalid_blocks", "no more than 10"},
		"long field":         {[]any{map[string]any{"type": "section", "fields": many(1, md(long(2001)))}}, "invalid_blocks", "less than 2001"},
		"11 in a context":    {[]any{map[string]any{"type": "context", "elements": many(11, md("x"))}}, "invalid_blocks", "no more than 10"},
		"button":             {[]any{but(func(b map[string]any) { b["value"] = long(2000); b["text"] = text(long(75)) })}, "", ""},
		"long label":         {[]any{but(func(b map[string]any) { b["text"] = text(long(76)) })}, "invalid_blocks", "less than 76"},
		"long value":         {[]any{but(func(b map[string]any) { b["value"] = long(2001) })}, "invalid_blocks", "less than 2001"},
		"long action_id":     {[]any{but(func(b map[string]any) { b["action_id"] = long(256) })}, "invalid_blocks", "less than 256"},
		"odd style":          {[]any{but(func(b map[string]any) { b["style"] = "default" })}, "invalid_blocks", "primary, danger"},
		"odd property":       {[]any{but(func(b map[string]any) { b["colour"] = "red" })}, "invalid_blocks", "invalid additional property: colour"},
		"confirm":            {[]any{confirm(100, 300, 30)}, "", ""},
		"confirm title":      {[]any{confirm(101, 300, 30)}, "invalid_blocks", "less than 101"},
		"confirm text":       {[]any{confirm(100, 301, 30)}, "invalid_blocks", "less than 301"},
		"confirm yes":        {[]any{confirm(100, 300, 31)}, "invalid_blocks", "less than 31"},
		"same action_id":     {[]any{map[string]any{"type": "actions", "elements": many(2, map[string]any{"type": "button", "action_id": "a", "text": text("Go")})}}, "invalid_blocks", "already exists"},
		"26 in actions":      {[]any{map[string]any{"type": "actions", "elements": many(26, map[string]any{"type": "button", "text": text("Go")})}}, "invalid_blocks", "no more than 25"},
		"same block_id":      {many(2, map[string]any{"type": "divider", "block_id": "d"}), "invalid_blocks", "already exists"},
		"unknown block":      {[]any{map[string]any{"type": "hologram"}}, "invalid_blocks", "unsupported type: hologram"},
		"no type":            {[]any{map[string]any{}}, "invalid_blocks", "unsupported type"},
		"section of nothing": {[]any{map[string]any{"type": "section"}}, "invalid_blocks", "must define either"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := w.call(t, "chat.postMessage", map[string]any{"channel": w.releases, "text": "x", "blocks": c.blocks})
			if answer.OK != (c.code == "") || answer.Error != c.code || !strings.Contains(strings.Join(answer.Metadata.Messages, "\n"), c.hint) {
				t.Errorf("answer = %+v, want %q with %q", answer, c.code, c.hint)
			}
		})
	}
}

func TestTiers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := slackfake.NewNetwork()
		w := newWorld(t, slackfake.Options{Network: network})
		api := slack.New(w.BotToken(), slack.OptionAPIURL(w.APIURL()), slack.OptionHTTPClient(network.Client()))
		post := func(channel string) error {
			_, _, err := api.PostMessage(channel, slack.MsgOptionText("x", false))
			return err
		}
		if err := post(w.releases); err != nil {
			t.Fatal(err)
		}
		time.Sleep(900 * time.Millisecond)
		var limited *slack.RateLimitedError
		if err := post(w.releases); !errors.As(err, &limited) || limited.RetryAfter != time.Second {
			t.Errorf("second post within a second: %v", err)
		}
		if err := post(w.ann); err != nil {
			t.Errorf("post into another channel: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
		if err := post(w.releases); err != nil {
			t.Errorf("post a second later: %v", err)
		}
		ts := w.Messages(w.releases)[0].TS
		update := func() error {
			_, _, _, err := api.UpdateMessage(w.releases, ts, slack.MsgOptionText("x", false))
			return err
		}
		for i := range 50 {
			if err := update(); err != nil {
				t.Fatalf("update %d: %v", i, err)
			}
		}
		time.Sleep(20 * time.Second)
		if err := update(); !errors.As(err, &limited) || limited.RetryAfter != 40*time.Second {
			t.Errorf("update 51 within a minute: %v", err)
		}
		time.Sleep(limited.RetryAfter)
		if err := update(); err != nil {
			t.Errorf("an update after the wait that was asked for: %v", err)
		}
		if n := w.Limits(); n != 2 {
			t.Errorf("Limits = %d, want 2", n)
		}
		network.Client().CloseIdleConnections()
		w.Close()
	})
}

func TestFaults(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	post := func(f slackfake.Fault, key string) error {
		w.SetFault(func(c slackfake.Call) slackfake.Fault {
			if c.Key != key {
				t.Errorf("fault is asked about %+v", c)
			}
			return f
		})
		defer w.SetFault(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, _, err := w.api.PostMessageContext(ctx, w.releases, slack.MsgOptionText(key, false),
			slack.MsgOptionMetadata(slack.SlackMetadata{EventType: "e", EventPayload: map[string]any{"key": key}}))
		return err
	}
	done := func(key string) bool {
		return slices.ContainsFunc(w.Messages(w.releases), func(m slackfake.Message) bool { return m.Text == key })
	}
	for _, c := range []struct {
		fault slackfake.Fault
		done  bool
	}{
		{slackfake.Fault{Kind: slackfake.ServerError}, false},
		{slackfake.Fault{Kind: slackfake.Hang}, false},
		{slackfake.Fault{Kind: slackfake.Refused}, false},
		{slackfake.Fault{Kind: slackfake.Lost}, true},
		{slackfake.Fault{Kind: slackfake.LostHang}, true},
		{slackfake.Fault{Kind: slackfake.Limited, RetryAfter: 7}, false},
		{slackfake.Fault{Kind: slackfake.Fails, Error: "fatal_error"}, false},
	} {
		key := string(c.fault.Kind)
		err := post(c.fault, key)
		if err == nil || done(key) != c.done {
			t.Errorf("%s: error %v, done %v, want an error and done %v", key, err, done(key), c.done)
		}
		var limited *slack.RateLimitedError
		if c.fault.Kind == slackfake.Limited && (!errors.As(err, &limited) || limited.RetryAfter != 7*time.Second) {
			t.Errorf("limited: %v", err)
		}
	}
	w.SetDown(true)
	if err := post(slackfake.Fault{}, ""); err == nil {
		t.Error("a post while Slack is down worked")
	}
	w.SetDown(false)
	if err := post(slackfake.Fault{}, "up"); err != nil || !done("up") {
		t.Errorf("a post once Slack is back: %v", err)
	}
	if n := w.Limits(); n != 0 {
		t.Errorf("Limits = %d, but no tier was at fault", n)
	}
	for i, c := range w.Calls() {
		if c.N != i+1 || c.Method != "chat.postMessage" {
			t.Errorf("call %d = %+v", i, c)
		}
	}
}
