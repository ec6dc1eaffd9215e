package slack

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/slack/blocks"
	"github.com/muster-release/muster/integrations/slack/slackfake"
)

func message(key, channel, text string) chat.Message {
	return chat.Message{Key: key, Channel: channel, Urgency: chat.Urgent, Card: chat.Card{Text: text}}
}

// posted posts a message that has to get through, when it is its turn.
func (v *venue) posted(t *testing.T, m chat.Message) chat.Handle {
	t.Helper()
	var h chat.Handle
	if err := patiently(t.Context(), func() (err error) {
		h, err = v.w.Post(t.Context(), m)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return h
}

func (v *venue) count(method string) (n int) {
	for _, c := range v.Calls() {
		if c.Method == method {
			n++
		}
	}
	return n
}

func TestPostUpdateFind(t *testing.T) {
	inBubble(t, slackfake.Options{}, nil, func(t *testing.T, v *venue) {
		ann := v.AddUser(slackfake.User{Name: "ann"})
		public := v.AddChannel(slackfake.Channel{Name: "Releases", Members: []string{slackfake.BotUser, ann}})
		private := v.AddChannel(slackfake.Channel{Name: "secret-releases", Private: true, Members: []string{slackfake.BotUser, ann}})
		for channel, want := range map[string]string{"#releases": public, public: public, "#secret-releases": private, "": v.DM(ann)} {
			m := message("board/1", channel, "Release 1 <!channel>")
			if channel == "" {
				m.To = ann
			}
			h := v.posted(t, m)
			all := v.Messages(want)
			if h.Channel != want || len(all) == 0 || all[len(all)-1].TS != h.ID {
				t.Fatalf("%q: the handle is %+v", channel, h)
			}
			got := all[len(all)-1]
			if got.Metadata == nil || got.Metadata.Type != "muster_message" || got.Metadata.Payload["key"] != "board/1" {
				t.Errorf("%q: the metadata is %+v", channel, got.Metadata)
			}
			if !strings.Contains(got.Text, "Release 1 &lt;!channel&gt;") || len(got.Blocks) == 0 {
				t.Errorf("%q: the message says %q in %d blocks", channel, got.Text, len(got.Blocks))
			}
			m.Card.Text = "Release 1 is done"
			if err := v.w.Update(t.Context(), h, m); err != nil {
				t.Fatal(err)
			}
			if got, _ := v.Message(h.Channel, h.ID); got.Text != "Release 1 is done" || got.Metadata == nil {
				t.Errorf("%q: after an update the message is %+v", channel, got)
			}
			found, ok, err := v.w.Find(t.Context(), m)
			if err != nil || !ok || found != h {
				t.Errorf("%q: found is %+v, %v, %v", channel, found, ok, err)
			}
			m.Key = "board/2"
			if found, ok, err := v.w.Find(t.Context(), m); err != nil || ok {
				t.Errorf("%q: what was never posted is found: %+v, %v", channel, found, err)
			}
			time.Sleep(2 * time.Second)
		}
		if lists, opens := v.count("users.conversations"), v.count("conversations.open"); lists != 1 || opens != 1 {
			t.Errorf("channels were listed %d times, a direct message opened %d times", lists, opens)
		}
	})
}

func TestFind(t *testing.T) {
	inBubble(t, slackfake.Options{NoTiers: true}, nil, func(t *testing.T, v *venue) {
		ann := v.AddUser(slackfake.User{Name: "ann"})
		c := v.AddChannel(slackfake.Channel{Members: []string{slackfake.BotUser, ann}})
		find := func(m chat.Message) (chat.Handle, bool) {
			t.Helper()
			h, found, err := v.w.Find(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			return h, found
		}
		root := v.posted(t, message("root", c, "root"))
		for i := range 120 {
			if _, _, err := v.Say(ann, c, "", fmt.Sprint("noise ", i)); err != nil {
				t.Fatal(err)
			}
		}
		if h, found := find(message("root", c, "")); !found || h != root {
			t.Errorf("behind 120 messages there is %+v, %v", h, found)
		}
		inThread := message("event", c, "event")
		inThread.Thread = root.ID
		for i := range 250 {
			if _, _, err := v.Say(ann, c, root.ID, fmt.Sprint("talk ", i)); err != nil {
				t.Fatal(err)
			}
		}
		event := v.posted(t, inThread)
		if h, found := find(inThread); !found || h != event {
			t.Errorf("in a long thread there is %+v, %v", h, found)
		}
		if _, found := find(message("event", c, "")); found {
			t.Error("a message of a thread is found in the channel")
		}
		inThread.Thread = "1.000100"
		if _, found := find(inThread); found {
			t.Error("something is found in a thread that is not there")
		}
		calls := len(v.Calls())
		private := message("root", c, "")
		private.Reply = "url:" + v.APIURL()
		if _, found := find(private); found || len(v.Calls()) != calls {
			t.Error("what is for one person alone was looked for, or found")
		}
		for i := range 200 {
			if _, _, err := v.Say(ann, c, "", fmt.Sprint("more noise ", i)); err != nil {
				t.Fatal(err)
			}
		}
		if _, found := find(message("root", c, "")); found {
			t.Error("a message behind 320 others is found: Find reads without end")
		}
		v.SetFault(func(c slackfake.Call) slackfake.Fault { return slackfake.Fault{Kind: slackfake.ServerError} })
		if _, found, err := v.w.Find(t.Context(), message("root", c, "")); err == nil || found || isPermanent(err) {
			t.Errorf("while Slack is down Find says %v, %v", found, err)
		}
	})
}

// Somebody else's message is not taken for ours, whatever its metadata says.
func TestFindOurs(t *testing.T) {
	history := `{"ok":true,"messages":[
		{"type":"message","ts":"3.0","user":"U666","bot_id":"B666","metadata":{"event_type":"muster_message","event_payload":{"key":"k"}}},
		{"type":"message","ts":"2.0","user":"U1","bot_id":"B1","metadata":{"event_type":"another","event_payload":{"key":"k"}}},
		{"type":"message","ts":"1.0","user":"U1","bot_id":"B1","metadata":{"event_type":"muster_message","event_payload":{"key":"k"}}}]}`
	w, _ := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "auth.test") {
			saying(200, `{"ok":true,"user_id":"U1","bot_id":"B1","team_id":"T1"}`)(w, r)
			return
		}
		if r.FormValue("include_all_metadata") != "1" && r.FormValue("include_all_metadata") != "true" {
			t.Error("metadata was not asked for")
		}
		saying(200, history)(w, r)
	})
	h, found, err := w.Find(t.Context(), message("k", "C123", ""))
	if err != nil || !found || h.ID != "1.0" {
		t.Errorf("found is %+v, %v, %v", h, found, err)
	}
}

// Without the permission to look nothing is found in channels, which is said once; in direct
// messages it is.
func TestFindWithoutScope(t *testing.T) {
	inBubble(t, slackfake.Options{}, nil, func(t *testing.T, v *venue) {
		var least []string
		for _, s := range Scopes() {
			if !s.Optional {
				least = append(least, s.Name)
			}
		}
		v.Grant(least...)
		ann := v.AddUser(slackfake.User{Name: "ann"})
		c := v.AddChannel(slackfake.Channel{Name: "releases", Members: []string{slackfake.BotUser, ann}})
		m := message("k", "#releases", "words")
		v.posted(t, m)
		for range 3 {
			if h, found, err := v.w.Find(t.Context(), m); err != nil || found {
				t.Errorf("found is %+v, %v, %v", h, found, err)
			}
		}
		m.Thread = v.Messages(c)[0].TS
		if _, found, err := v.w.Find(t.Context(), m); err != nil || found {
			t.Errorf("in a thread found is %v, %v", found, err)
		}
		if log := v.log.String(); strings.Count(log, "may be posted twice") != 1 || !strings.Contains(log, "channels:history") {
			t.Errorf("the log says\n%s", log)
		}
		direct := chat.Message{Key: "k", To: ann, Card: chat.Card{Text: "words"}}
		h := v.posted(t, direct)
		if got, found, err := v.w.Find(t.Context(), direct); err != nil || !found || got != h {
			t.Errorf("in a direct message found is %+v, %v, %v", got, found, err)
		}
	})
}

func TestDeleted(t *testing.T) {
	inBubble(t, slackfake.Options{}, nil, func(t *testing.T, v *venue) {
		ann := v.AddUser(slackfake.User{Name: "ann"})
		c := v.AddChannel(slackfake.Channel{Members: []string{slackfake.BotUser, ann}})
		h := v.posted(t, message("root", c, "root"))
		if err := v.Delete(ann, c, h.ID); err != nil {
			t.Fatal(err)
		}
		if got := behaviour(v.w.Update(t.Context(), h, message("root", c, "new"))); got != "permanent gone" {
			t.Errorf("an update of a deleted message is %s", got)
		}
		event := message("event", c, "event")
		event.Thread = h.ID
		time.Sleep(2 * time.Second)
		if _, err := v.w.Post(t.Context(), event); behaviour(err) != "permanent gone" {
			t.Errorf("a post into the thread of a deleted message is %s", behaviour(err))
		}
		if all := v.Messages(c); len(all) != 0 {
			t.Errorf("what was for the thread stands in the channel: %+v", all)
		}
		// It cannot be taken back: then it counts as posted.
		v.SetFault(func(c slackfake.Call) slackfake.Fault {
			if c.Method == "chat.delete" {
				return slackfake.Fault{Kind: slackfake.ServerError}
			}
			return slackfake.Fault{}
		})
		time.Sleep(2 * time.Second)
		if got, err := v.w.Post(t.Context(), event); err != nil || len(v.Messages(c)) != 1 || v.Messages(c)[0].TS != got.ID {
			t.Errorf("a post that cannot be taken back is %+v, %v", got, err)
		}
	})
}

// A root that was deleted while there were answers keeps its thread.
func TestDeletedRootWithAnswers(t *testing.T) {
	inBubble(t, slackfake.Options{}, nil, func(t *testing.T, v *venue) {
		ann := v.AddUser(slackfake.User{Name: "ann"})
		c := v.AddChannel(slackfake.Channel{Members: []string{slackfake.BotUser, ann}})
		h := v.posted(t, message("root", c, "root"))
		event := message("event", c, "event")
		event.Thread = h.ID
		v.posted(t, event)
		if err := v.Delete(ann, c, h.ID); err != nil {
			t.Fatal(err)
		}
		event.Key = "event 2"
		if got := v.posted(t, event); len(v.Thread(c, h.ID)) != 3 {
			t.Errorf("%+v is not in the thread", got)
		}
	})
}

func TestPlaces(t *testing.T) {
	inBubble(t, slackfake.Options{}, nil, func(t *testing.T, v *venue) {
		post := func(channel string) error {
			t.Helper()
			time.Sleep(2 * time.Second)
			_, err := v.w.Post(t.Context(), message("k", channel, "words"))
			return err
		}
		if err := post("#releases"); behaviour(err) != "permanent" || !strings.Contains(err.Error(), "/invite @muster") {
			t.Errorf("a channel that is not there: %v", err)
		}
		c := v.AddChannel(slackfake.Channel{Name: "releases", Members: []string{slackfake.BotUser}})
		if err := post("#releases"); behaviour(err) != "permanent" || v.count("users.conversations") != 1 {
			t.Errorf("the channels are listed again at once: %v", err)
		}
		time.Sleep(relist)
		if err := post("#releases"); err != nil {
			t.Errorf("after a while the channel is found, but %v", err)
		}
		// The channel is archived, and another gets its name.
		v.Archive(c)
		next := v.AddChannel(slackfake.Channel{Name: "releases", Members: []string{slackfake.BotUser}})
		if err := post("#releases"); behaviour(err) != "permanent" || !strings.Contains(err.Error(), "is_archived") {
			t.Errorf("an archived channel: %v", err)
		}
		time.Sleep(relist)
		if err := post("#releases"); err != nil || len(v.Messages(next)) != 1 {
			t.Errorf("the new channel of that name: %v", err)
		}
		if _, err := v.w.Post(t.Context(), chat.Message{Key: "k", Card: chat.Card{Text: "words"}}); behaviour(err) != "permanent" {
			t.Errorf("a message for nobody is %s", behaviour(err))
		}
		ann := v.AddUser(slackfake.User{Name: "ann", Deleted: true})
		if _, err := v.w.Post(t.Context(), chat.Message{Key: "k", To: ann, Card: chat.Card{Text: "words"}}); behaviour(err) != "permanent" {
			t.Errorf("a message for somebody without an account is %s", behaviour(err))
		}
	})
}

// A list of channels that the budget interrupts is continued, not begun again.
func TestManyChannels(t *testing.T) {
	const pages = 12
	asked := 0
	w, _ := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "users.conversations") {
			saying(200, `{"ok":true,"channel":"C0011","ts":"1.2"}`)(w, r)
			return
		}
		asked++
		page := 0
		_, _ = fmt.Sscanf(r.FormValue("cursor"), "page%d", &page)
		next := ""
		if page < pages-1 {
			next = fmt.Sprintf("page%d", page+1)
		}
		saying(200, fmt.Sprintf(`{"ok":true,"channels":[{"id":"C%04d","name":"channel-%d"}],"response_metadata":{"next_cursor":%q}}`, page, page, next))(w, r)
	})
	for range pages {
		_, err := w.Post(t.Context(), message("k", "#channel-11", "words"))
		if err == nil {
			break
		}
		if !strings.HasPrefix(behaviour(err), "again in ") {
			t.Fatalf("it is %s: %v", behaviour(err), err)
		}
		w.budget.mu.Lock()
		for _, q := range w.budget.buckets {
			q.filled = q.filled.Add(-time.Minute) // the time has passed
		}
		w.budget.mu.Unlock()
	}
	if asked != pages {
		t.Errorf("%d pages were asked for, want %d", asked, pages)
	}
}

func TestReplyToAddress(t *testing.T) {
	var body, path string
	status, answer := http.StatusOK, "ok"
	w, _ := serving(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		body, path = string(data), r.URL.Path
		if r.Header.Get("Authorization") != "" {
			t.Error("the token goes to a response URL")
		}
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	})
	m := message("k", "C123", "for you <alone>")
	m.Reply, m.Thread = "url:"+strings.TrimSuffix(w.o.APIURL, "/api/")+"/commands/T1/secret", "1.2"
	h, err := w.Post(t.Context(), m)
	if err != nil || h != (chat.Handle{}) {
		t.Fatalf("%+v, %v", h, err)
	}
	var got struct {
		Type    string            `json:"response_type"`
		Replace *bool             `json:"replace_original"`
		Text    string            `json:"text"`
		Blocks  []json.RawMessage `json:"blocks"`
		Thread  string            `json:"thread_ts"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || path != "/commands/T1/secret" {
		t.Fatalf("%s gets %s: %v", path, body, err)
	}
	if got.Type != "ephemeral" || got.Replace == nil || *got.Replace || got.Text != "for you &lt;alone&gt;" || len(got.Blocks) == 0 || got.Thread != "1.2" {
		t.Errorf("the answer is %s", body)
	}
	tests := []struct {
		status       int
		answer, want string
	}{
		{404, "used_url", "permanent"},
		{404, `{"ok":false,"error":"expired_url"}`, "permanent"},
		{200, `{"ok":false,"error":"invalid_blocks"}`, "permanent"},
		{200, `{"ok":true}`, "done"},
		{400, "invalid_payload", "permanent"},
		{302, "", "permanent"},
		{429, "", "again in 5s"},
		{500, "", "again in 1s"},
		{503, "", "again in 1s"},
	}
	for _, test := range tests {
		status, answer = test.status, test.answer
		_, err := w.Post(t.Context(), m)
		if got := behaviour(err); got != test.want || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("HTTP %d %s is %s, want %s: %v", test.status, test.answer, got, test.want, err)
		}
	}
	if n := w.Stats().Calls["response_url"]; n != int64(1+len(tests)) {
		t.Errorf("%d calls are counted", n)
	}
}

// Answers go to Slack, whatever came in.
func TestReplyToStrangers(t *testing.T) {
	w := New(Options{APIURL: "https://proxy.example.com/slack/api/"})
	for address, want := range map[string]bool{
		"https://hooks.slack.com/commands/T1/2/3":     true,
		"https://hooks.slack-gov.com/commands/T1/2/3": true,
		"https://proxy.example.com/commands/T1/2/3":   true,
		"http://hooks.slack.com/commands/T1/2/3":      false,
		"http://proxy.example.com/commands/T1/2/3":    false,
		"https://hooks.slack.com.example.org/":        false,
		"https://hooks.slack.com:8443/":               false,
		"https://hooks.slack.com@example.org/":        false,
		"https://me@hooks.slack.com/":                 false,
		"https://169.254.169.254/latest/meta-data":    false,
		"file:///etc/passwd":                          false,
		"//hooks.slack.com/":                          false,
		"https://":                                    false,
		"":                                            false,
		"%":                                           false,
	} {
		if got := w.trusted(address); got != want {
			t.Errorf("%q is trusted: %v", address, got)
		}
		if want {
			continue
		}
		m := message("k", "C123", "words")
		m.Reply = "url:" + address
		if _, err := w.Post(t.Context(), m); behaviour(err) != "permanent" || address != "" && len(address) > 5 && strings.Contains(err.Error(), address) {
			t.Errorf("an answer to %q is %s: %v", address, behaviour(err), err)
		}
	}
	if len(w.Stats().Calls) != 0 {
		t.Errorf("there were calls: %v", w.Stats().Calls)
	}
}

func TestReplyInView(t *testing.T) {
	inBubble(t, slackfake.Options{}, nil, func(t *testing.T, v *venue) {
		ann := v.AddUser(slackfake.User{Name: "ann"})
		c := v.AddChannel(slackfake.Channel{Members: []string{slackfake.BotUser, ann}})
		open := func() string {
			t.Helper()
			payload, err := v.SlashPayload(ann, c, "release")
			if err != nil {
				t.Fatal(err)
			}
			trigger := payload["trigger_id"].(string)
			if err := v.w.openView(t.Context(), trigger, blocks.WaitView("Plan", "Planning…")); err != nil {
				t.Fatal(err)
			}
			if err := v.w.openView(t.Context(), trigger, blocks.WaitView("Plan", "Planning…")); behaviour(err) != "permanent" {
				t.Errorf("a trigger that was used is %s", behaviour(err))
			}
			all := v.Views(ann)
			return all[len(all)-1].ID
		}
		id := open()
		m := chat.Message{Key: "k", Reply: "view:" + id + ` {"channel":"` + c + `"}`, Urgency: chat.Urgent, Card: chat.Card{
			Title: "The plan", Text: "Two modules", Actions: []chat.Action{{Label: "Start", Command: "start 1", Style: chat.Good}},
		}}
		if _, err := v.w.Post(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		view, _ := v.View(id)
		metadata, _ := view.Object["private_metadata"].(string)
		if view.Title() != "The plan" || view.CallbackID != "card" || !strings.Contains(metadata, c) || !strings.Contains(metadata, "start 1") {
			t.Errorf("the modal is %+v with %s", view, metadata)
		}
		if err := v.w.replyText(t.Context(), "view:"+id, "Nothing was done."); err != nil {
			t.Fatal(err)
		}
		if view, _ = v.View(id); !strings.Contains(fmt.Sprint(view.Object), "Nothing was done.") {
			t.Errorf("the modal is %+v", view)
		}
		if _, err := v.CloseView(ann, id); err != nil {
			t.Fatal(err)
		}
		if _, err := v.w.Post(t.Context(), m); behaviour(err) != "permanent gone" {
			t.Errorf("an answer in a modal that was closed is %s", behaviour(err))
		}
	})
}

func TestReplyText(t *testing.T) {
	inBubble(t, slackfake.Options{}, nil, func(t *testing.T, v *venue) {
		ann := v.AddUser(slackfake.User{Name: "ann"})
		c := v.AddChannel(slackfake.Channel{Members: []string{slackfake.BotUser, ann}})
		payload, err := v.SlashPayload(ann, c, "release")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		v.SetFault(func(slackfake.Call) slackfake.Fault {
			if n++; n == 1 {
				return slackfake.Fault{Kind: slackfake.Limited, RetryAfter: 2}
			}
			return slackfake.Fault{}
		})
		if err := v.w.replyText(t.Context(), "url:"+payload["response_url"].(string), "Nothing was done."); err != nil {
			t.Fatal(err)
		}
		if all := v.Ephemerals(ann); len(all) != 1 || !strings.Contains(all[0].Text, "Nothing was done.") || all[0].Channel != c {
			t.Errorf("what they see is %+v", all)
		}
	})
}
