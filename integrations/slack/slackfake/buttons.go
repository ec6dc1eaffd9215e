package slackfake

import (
	"fmt"
	"strings"
)

// Button is a button of a message or a view.
type Button struct {
	Label    string
	Value    string
	ActionID string
	BlockID  string
	URL      string
	Style    string
	Confirm  *Confirm
	// attachment is the number of the attachment it is in, 0 if it is in none.
	attachment int
	element    Object
}

// Confirm is the dialog that stands between a button and what it does.
type Confirm struct{ Title, Text, Yes, No string }

// Buttons returns the message's buttons from top to bottom.
func (m Message) Buttons() []Button {
	all := buttonsIn(m.Blocks, 0)
	for i, a := range m.Attachments {
		all = append(all, buttonsIn(blocksOf(a), i+1)...)
	}
	return all
}

// Buttons returns the view's buttons from top to bottom, without those at its foot.
func (v View) Buttons() []Button { return buttonsIn(v.Blocks(), 0) }

func buttonsIn(blocks []Object, attachment int) []Button {
	var all []Button
	for _, b := range blocks {
		for _, e := range interactive(b) {
			if e["type"] != "button" {
				continue
			}
			button := Button{Label: textOf(e["text"]), attachment: attachment, element: e}
			button.Value, _ = e["value"].(string)
			button.ActionID, _ = e["action_id"].(string)
			button.BlockID, _ = b["block_id"].(string)
			button.URL, _ = e["url"].(string)
			button.Style, _ = e["style"].(string)
			if c, _ := e["confirm"].(Object); c != nil {
				button.Confirm = &Confirm{textOf(c["title"]), textOf(c["text"]), textOf(c["confirm"]), textOf(c["deny"])}
			}
			all = append(all, button)
		}
	}
	return all
}

// pick finds a button by its label, its value or its action ID, in this order.
func pickButton(all []Button, want string) (Button, error) {
	for _, of := range []func(Button) string{
		func(b Button) string { return b.Label }, func(b Button) string { return b.Value }, func(b Button) string { return b.ActionID },
	} {
		var found []Button
		for _, b := range all {
			if of(b) == want {
				found = append(found, b)
			}
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return Button{}, fmt.Errorf("there are %d buttons %q", len(found), want)
		}
	}
	var labels []string
	for _, b := range all {
		labels = append(labels, "["+b.Label+"]")
	}
	return Button{}, fmt.Errorf("there is no button %q, only %s", want, strings.Join(labels, " "))
}

// Press lets somebody press a button, named by its label, value or action ID. It is an
// error if there is no such button (any more), or if Slack would ask first; see
// PressConfirmed.
func (w *Workspace) Press(user, channel, ts, button string) (Delivery, error) {
	return w.press(user, channel, ts, button, false)
}

// PressConfirmed lets somebody press a button and say yes if Slack asks first.
func (w *Workspace) PressConfirmed(user, channel, ts, button string) (Delivery, error) {
	return w.press(user, channel, ts, button, true)
}

func (w *Workspace) press(user, channel, ts, button string, yes bool) (Delivery, error) {
	payload, b, err := w.pressPayload(user, channel, ts, button)
	if err != nil {
		return Delivery{}, err
	}
	if b.Confirm != nil && !yes {
		return Delivery{}, fmt.Errorf("slackfake: press %q: Slack asks first: %q", button, b.Confirm.Text)
	}
	return w.Deliver(Interactive, payload), nil
}

// PressPayload is what pressing a button delivers, dialog or not. Each has a trigger of its
// own. It may be changed, and delivered with Deliver, or with Sign and Send.
func (w *Workspace) PressPayload(user, channel, ts, button string) (Object, error) {
	payload, _, err := w.pressPayload(user, channel, ts, button)
	return payload, err
}

func (w *Workspace) pressPayload(user, channel, ts, button string) (Object, Button, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, u, err := w.person(user, channel)
	if err != nil {
		return nil, Button{}, fmt.Errorf("slackfake: press %q: %w", button, err)
	}
	m := w.message(c.ID, ts)
	for _, e := range w.ephemerals {
		if e.TS == ts && e.EphemeralTo == user && e.Channel == c.ID {
			m = e
		}
	}
	if m == nil {
		return nil, Button{}, fmt.Errorf("slackfake: press %q: %q sees no message %q in %q", button, user, ts, c.ID)
	}
	b, err := pickButton(m.Buttons(), button)
	if err != nil {
		return nil, Button{}, fmt.Errorf("slackfake: press on message %q: %w", ts, err)
	}
	container := Object{"type": "message", "message_ts": m.TS, "channel_id": c.ID, "is_ephemeral": m.EphemeralTo != ""}
	if m.ThreadTS != "" {
		container["thread_ts"] = m.ThreadTS
	}
	if b.attachment > 0 {
		container["type"], container["attachment_id"], container["is_app_unfurl"] = "message_attachment", b.attachment, false
	}
	p := w.interaction("block_actions", u)
	p["container"], p["channel"] = container, Object{"id": c.ID, "name": displayName(c)}
	p["trigger_id"], p["response_url"] = w.trigger(u.ID, ""), w.newURL("actions", u.ID, c.ID, m.TS)
	p["state"], p["actions"] = Object{"values": Object{}}, []Object{actionOf(b)}
	if m.EphemeralTo == "" {
		p["message"] = m.object(true)
	}
	return clone(p), b, nil
}

func actionOf(b Button) Object {
	a := Object{"type": "button", "action_id": b.ActionID, "block_id": b.BlockID, "text": b.element["text"], "action_ts": actionTS()}
	for _, name := range []string{"value", "style", "confirm"} {
		if v, found := b.element[name]; found {
			a[name] = v
		}
	}
	return a
}
