package slackfake

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"
)

// responseURL lets an app answer one interaction, a few times and for a while
// (docs.slack.dev/interactivity/handling-user-interaction#message_responses).
type responseURL struct {
	path     string
	user     string
	channel  string
	original string // TS of the message whose button was pressed
	made     time.Time
	uses     int
}

// answer is what an app sends to a response URL, or in the acknowledgement of a command.
type answer struct {
	Text            string          `json:"text"`
	ResponseType    string          `json:"response_type"`
	ThreadTS        string          `json:"thread_ts"`
	ReplaceOriginal bool            `json:"replace_original"`
	DeleteOriginal  bool            `json:"delete_original"`
	Blocks          json.RawMessage `json:"blocks"`
	Attachments     json.RawMessage `json:"attachments"`
	Metadata        json.RawMessage `json:"metadata"`
}

func (a answer) args() args {
	out := args{"text": a.Text}
	for name, raw := range map[string]json.RawMessage{"blocks": a.Blocks, "attachments": a.Attachments, "metadata": a.Metadata} {
		if len(raw) > 0 && string(raw) != "null" {
			out[name] = string(raw)
		}
	}
	return out
}

// newURL makes a response URL. Called with the lock held.
func (w *Workspace) newURL(kind, user, channel, original string) string {
	u := &responseURL{path: "/" + kind + "/" + TeamID + "/" + secret(6) + "/" + secret(12), user: user, channel: channel, original: original, made: time.Now()}
	w.urls[u.path] = u
	return w.base + u.path
}

func (w *Workspace) serveResponseURL(rw http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	var a answer
	bad := err != nil || json.Unmarshal(raw, &a) != nil
	w.mu.Lock()
	u := w.urls[r.URL.Path]
	w.mu.Unlock()
	c := Call{Method: "response_url", Thread: a.ThreadTS, Key: keyOf(a.args())}
	if u != nil {
		c.Channel, c.User = u.channel, u.user
	}
	c, fault := w.arrive(c)
	if !w.before(rw, r, c, fault) {
		return
	}
	status, p, ts := http.StatusOK, (*problem)(nil), ""
	w.mu.Lock()
	switch {
	case u == nil:
		status, p = http.StatusNotFound, fails("no_service")
	case time.Since(u.made) > w.opts.ResponseURLLife:
		status, p = http.StatusNotFound, fails("expired_url")
	case u.uses >= w.opts.ResponseURLUses:
		status, p = http.StatusNotFound, fails("used_url")
	case bad:
		status, p = http.StatusBadRequest, fails("invalid_payload")
	default:
		if ts, p = w.respond(u, a); p != nil {
			status = http.StatusBadRequest
		} else {
			u.uses++
		}
	}
	w.mu.Unlock()
	if !w.after(r, c, fault, ts) {
		panic(http.ErrAbortHandler)
	}
	if p != nil {
		w.write(rw, c, status, Object{"ok": false, "error": p.code, "response_metadata": Object{"messages": p.messages}}, "")
		return
	}
	w.write(rw, c, status, Object{"ok": true}, ts)
}

// respond carries out an answer. Called with the lock held.
func (w *Workspace) respond(u *responseURL, a answer) (ts string, p *problem) {
	var original *Message
	if u.original != "" {
		original = w.message(u.channel, u.original)
		for _, m := range w.ephemerals {
			if m.TS == u.original {
				original = m
			}
		}
	}
	if a.DeleteOriginal {
		if original == nil {
			return "", fails("message_not_found")
		}
		w.drop(original)
		w.touch()
		return u.original, nil
	}
	body, p := readContent(a.args(), maxPostText)
	if p != nil {
		return "", p
	}
	if len(body.text)+len(body.blocks)+len(body.attachments) == 0 {
		return "", fails("no_text")
	}
	w.identifyAll(body)
	if a.ReplaceOriginal && original != nil {
		body.hasBlocks, body.hasAttached = true, true
		original.apply(body, true)
		original.Edited, original.Edits, original.Changed = w.stamp(), original.Edits+1, time.Now()
		w.touch()
		return original.TS, nil
	}
	m := Message{
		Channel: u.channel, ThreadTS: a.ThreadTS, User: BotUser, Bot: true, Text: body.text, Blocks: body.blocks,
		Attachments: body.attachments, Metadata: body.metadata,
	}
	if a.ResponseType != "in_channel" {
		m.EphemeralTo = u.user
		return w.add(m).TS, nil
	}
	posted := w.add(m)
	w.echo(posted, "", nil)
	return posted.TS, nil
}

// ResponseURLs returns how often each response URL given out for a user was used, oldest first.
func (w *Workspace) ResponseURLs(user string) (uses []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*responseURL
	for _, u := range w.urls {
		if u.user == user {
			all = append(all, u)
		}
	}
	slices.SortFunc(all, func(a, b *responseURL) int { return a.made.Compare(b.made) })
	for _, u := range all {
		uses = append(uses, u.uses)
	}
	return uses
}
