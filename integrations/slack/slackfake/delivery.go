package slackfake

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Kind is one of the three ways in which things reach an app.
type Kind string

const (
	Events      Kind = "events_api"
	Commands    Kind = "slash_commands"
	Interactive Kind = "interactive"
)

// Delivery is one attempt to bring something to the app.
type Delivery struct {
	N       int
	Kind    Kind
	Type    string // "app_mention", "message", "slash_commands", "block_actions", "view_submission" …
	ID      string // event ID, trigger ID or view ID
	Attempt int    // 0 for the first
	Reason  string // why it is made again
	// Connection is the number of the Socket Mode connection it went through, 0 over HTTP.
	Connection int
	Sent       time.Time
	Latency    time.Duration // until the acknowledgement
	Status     int           // of the HTTP answer
	Ack        string        // body of the acknowledgement
	Acked      bool          // in time
	Late       bool          // it came too late; over HTTP Slack has hung up by then
	Error      string        // why there was no acknowledgement
	Over       bool          // it is known how it ended
	final      bool          // the app wants no further attempt: X-Slack-No-Retry
}

// event is what may have to be delivered again.
type event struct {
	kind    string
	id      string
	payload Object
}

// Deliveries returns all deliveries so far.
func (w *Workspace) Deliveries() []Delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]Delivery, 0, len(w.deliveries))
	for _, d := range w.deliveries {
		all = append(all, *d)
	}
	return all
}

// Deliver brings a payload to the app as Slack would, once. Payloads come from
// PressPayload and its like, and may have been changed.
func (w *Workspace) Deliver(kind Kind, payload Object) Delivery {
	return w.attempt(kind, payload, 0, "")
}

// Redeliver delivers the last event once more, as one that was not acknowledged.
func (w *Workspace) Redeliver() (Delivery, error) {
	w.mu.Lock()
	e := w.lastEvent
	w.mu.Unlock()
	if e == nil {
		return Delivery{}, errors.New("slackfake: redeliver: there was no event yet")
	}
	return w.attempt(Events, e.payload, 1, reasonTimeout), nil
}

// Reasons for another attempt (docs.slack.dev/apis/events-api).
const (
	reasonTimeout    = "http_timeout"
	reasonConnection = "connection_failed"
	reasonError      = "http_error"
)

// emit delivers an event and, in the background, delivers it again while it is not
// acknowledged.
func (w *Workspace) emit(e *event) Delivery {
	first := w.attempt(Events, e.payload, 0, "")
	if !first.Acked && !first.final {
		w.begin(func() {
			last := first
			for i, delay := range w.opts.RetryDelays {
				w.pause(w.stop, delay)
				if w.stop.Err() != nil {
					return
				}
				if last = w.attempt(Events, e.payload, i+1, reasonOf(last)); last.Acked || last.final {
					return
				}
			}
		})
	}
	return first
}

func reasonOf(d Delivery) string {
	switch {
	case d.Status != 0:
		return reasonError
	case d.Error == noAnswer:
		return reasonTimeout
	}
	return reasonConnection
}

const noAnswer = "no acknowledgement in time"

// attempt makes one delivery by the way that is set, and waits until it is acknowledged or
// it is too late for that.
func (w *Workspace) attempt(kind Kind, payload Object, n int, reason string) Delivery {
	what, id := describe(kind, payload)
	d := &Delivery{Kind: kind, Type: what, ID: id, Attempt: n, Reason: reason, Sent: time.Now()}
	w.mu.Lock()
	w.deliveries = append(w.deliveries, d)
	d.N = len(w.deliveries)
	app := w.app
	w.mu.Unlock()
	if app != "" {
		w.send(w.signed(kind, payload, time.Now(), n, reason), app, d)
	} else {
		w.sendSocket(kind, payload, d)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	d.Over = true
	w.touch()
	return *d
}

// settle records how a delivery ended.
func (w *Workspace) settle(d *Delivery, f func(*Delivery)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(d)
	w.touch()
}

func describe(kind Kind, payload Object) (what, id string) {
	switch kind {
	case Events:
		inner, _ := payload["event"].(Object)
		what, _ = inner["type"].(string)
		id, _ = payload["event_id"].(string)
	case Commands:
		what = string(Commands)
		id, _ = payload["trigger_id"].(string)
	default:
		what, _ = payload["type"].(string)
		id, _ = payload["trigger_id"].(string)
		if v, _ := payload["view"].(Object); v != nil && what != "block_actions" {
			id, _ = v["id"].(string)
		}
	}
	return what, id
}

// What follows is called with the lock held.

// subscribed reports whether the app gets a bot event; each takes a scope as well.
func (w *Workspace) subscribed(name string) bool {
	scope := map[string]string{
		"app_mention": "app_mentions:read", "message.im": "im:history", "message.channels": "channels:history",
		"message.groups": "groups:history",
	}[name]
	return slices.Contains(w.opts.Events, name) && slices.Contains(w.scopes, scope)
}

func eventOf(c *Channel) (name, kind string) {
	switch {
	case c.IM != "":
		return "message.im", "im"
	case c.Private:
		return "message.groups", "group"
	}
	return "message.channels", "channel"
}

// wrap puts an event into the envelope of the Events API.
func (w *Workspace) wrap(inner Object, channel *Channel) *event {
	id := fmt.Sprintf("Ev%09d", w.next())
	e := &event{kind: inner["type"].(string), id: id, payload: clone(Object{
		"token": "legacy-fixed-value", "team_id": TeamID, "context_team_id": TeamID, "api_app_id": AppID, "event": inner,
		"type": "event_callback", "event_id": id, "event_time": time.Now().Unix(),
		"authorizations": []Object{{
			"enterprise_id": nil, "team_id": TeamID, "user_id": BotUser, "is_bot": true, "is_enterprise_install": false,
		}},
		"is_ext_shared_channel": w.shared(channel),
		"event_context":         fmt.Sprintf("1-%v-%s-%s", inner["type"], TeamID, channel.ID),
	})}
	w.lastEvent = e
	return e
}

// echo tells the app of its own message, or of what became of one, where it asked to hear
// of messages.
func (w *Workspace) echo(m *Message, subtype string, before *Message) {
	c := w.channels[m.Channel]
	name, kind := eventOf(c)
	if !w.subscribed(name) || !slices.Contains(c.Members, BotUser) {
		return
	}
	inner := m.object(false)
	switch subtype {
	case "message_changed":
		inner = Object{
			"type": "message", "subtype": subtype, "message": inner, "previous_message": before.object(false),
			"hidden": true, "ts": w.stamp(),
		}
	case "message_deleted":
		inner = Object{
			"type": "message", "subtype": subtype, "previous_message": before.object(false), "deleted_ts": m.TS,
			"hidden": true, "ts": w.stamp(),
		}
	}
	inner["channel"], inner["channel_type"], inner["event_ts"] = c.ID, kind, inner["ts"]
	last := w.lastEvent
	e := w.wrap(inner, c)
	w.lastEvent = last
	w.spawn(func() { w.emit(e) })
}
