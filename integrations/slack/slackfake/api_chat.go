package slackfake

import (
	"encoding/json"
	"slices"
	"time"
	"unicode/utf8"
)

// Limits of what a message may hold (docs.slack.dev/reference/methods/chat.postMessage and
// chat.update). Slack cuts a posted text at 40,000 characters; the fake refuses it.
const (
	maxPostText   = 40_000
	maxUpdateText = 4_000
	maxMetadata   = 16_000
)

// content is what a message is made of.
type content struct {
	text        string
	blocks      []Object
	attachments []Object
	metadata    *Metadata
	hasBlocks   bool
	hasAttached bool
	hasMetadata bool
}

func readContent(a args, maxText int) (content, *problem) {
	c := content{text: a["text"], hasBlocks: a["blocks"] != "", hasAttached: a["attachments"] != "", hasMetadata: a["metadata"] != ""}
	if utf8.RuneCountInString(c.text) > maxText {
		return c, fails("msg_too_long")
	}
	if !a.json("blocks", &c.blocks) {
		return c, fails("invalid_blocks_format")
	}
	if !a.json("attachments", &c.attachments) {
		return c, fails("invalid_attachments")
	}
	if c.hasMetadata {
		var m Metadata
		if !a.json("metadata", &m) {
			return c, fails("invalid_metadata_format")
		}
		if len(a["metadata"]) > maxMetadata {
			return c, fails("metadata_too_large")
		}
		if m.Type != "" {
			c.metadata = &m
		} else if len(m.Payload) > 0 {
			return c, fails("invalid_metadata_schema")
		}
	}
	if p := checkMessage(c.blocks, c.attachments); p != nil {
		return c, p
	}
	return c, nil
}

// identify gives blocks and their elements the IDs that the app left out.
func (w *Workspace) identify(blocks []Object) {
	for _, b := range blocks {
		if s, _ := b["block_id"].(string); s == "" {
			b["block_id"] = "b" + secret(3)
		}
		for _, e := range interactive(b) {
			if s, _ := e["action_id"].(string); s == "" {
				e["action_id"] = "a" + secret(3)
			}
		}
	}
}

func (w *Workspace) identifyAll(c content) {
	w.identify(c.blocks)
	for i, a := range c.attachments {
		a["id"] = float64(i + 1)
		w.identify(blocksOf(a))
	}
}

// place finds the channel that the bot may write to. Somebody's user ID stands for the
// direct message with them.
func (w *Workspace) place(channel string) (*Channel, *problem) {
	c := w.find(channel)
	if c == nil {
		if u := w.users[channel]; u != nil && !u.Bot {
			return w.openDM(channel), nil
		}
		return nil, fails("channel_not_found")
	}
	member := slices.Contains(c.Members, BotUser)
	switch {
	case c.Private && !member:
		return nil, fails("channel_not_found")
	case c.Archived:
		return nil, fails("is_archived")
	case !member && !slices.Contains(w.scopes, "chat:write.public"):
		return nil, fails("not_in_channel")
	}
	return c, nil
}

func (w *Workspace) postMessage(a args) (Object, *problem) {
	c, p := w.place(a["channel"])
	if p != nil {
		return nil, p
	}
	body, p := readContent(a, maxPostText)
	if p != nil {
		return nil, p
	}
	if body.text == "" && len(body.blocks) == 0 && len(body.attachments) == 0 {
		return nil, fails("no_text")
	}
	w.identifyAll(body)
	m := w.add(Message{
		Channel: c.ID, ThreadTS: a["thread_ts"], User: BotUser, Bot: true, Text: body.text, Blocks: body.blocks,
		Attachments: body.attachments, Metadata: body.metadata, Broadcast: a["thread_ts"] != "" && a.flag("reply_broadcast"),
	})
	w.echo(m, "", nil)
	return Object{"channel": c.ID, "ts": m.TS, "message": m.object(true)}, nil
}

func (w *Workspace) update(a args) (Object, *problem) {
	c := w.find(a["channel"])
	if c == nil || c.Private && !slices.Contains(c.Members, BotUser) {
		return nil, fails("channel_not_found")
	}
	m := w.message(c.ID, a["ts"])
	switch {
	case m == nil || m.Deleted:
		return nil, fails("message_not_found")
	case !m.Bot:
		return nil, fails("cant_update_message")
	case c.Archived:
		return nil, fails("is_archived")
	}
	body, p := readContent(a, maxUpdateText)
	if p != nil {
		return nil, p
	}
	if body.text == "" && !body.hasBlocks && !body.hasAttached {
		return nil, fails("no_text")
	}
	w.identifyAll(body)
	before := *m
	m.apply(body, a["text"] != "")
	m.Edited, m.Edits, m.Changed = w.stamp(), m.Edits+1, time.Now()
	w.echo(m, "message_changed", &before)
	w.touch()
	return Object{"channel": c.ID, "ts": m.TS, "text": m.Text, "message": m.object(true)}, nil
}

// apply replaces what was given; what was left out stays.
func (m *Message) apply(c content, text bool) {
	if text {
		m.Text = c.text
	}
	if c.hasBlocks {
		m.Blocks = c.blocks
	}
	if c.hasAttached {
		m.Attachments = c.attachments
	}
	if c.hasMetadata {
		m.Metadata = c.metadata
	}
}

func (w *Workspace) postEphemeral(a args) (Object, *problem) {
	c, p := w.place(a["channel"])
	if p != nil {
		return nil, p
	}
	if !slices.Contains(c.Members, a["user"]) {
		return nil, fails("user_not_in_channel")
	}
	body, p := readContent(a, maxPostText)
	if p != nil {
		return nil, p
	}
	if body.text == "" && len(body.blocks) == 0 && len(body.attachments) == 0 {
		return nil, fails("no_text")
	}
	w.identifyAll(body)
	m := w.add(Message{
		Channel: c.ID, ThreadTS: a["thread_ts"], User: BotUser, Bot: true, Text: body.text, Blocks: body.blocks,
		Attachments: body.attachments, EphemeralTo: a["user"],
	})
	return Object{"message_ts": m.TS}, nil
}

func (w *Workspace) deleteMessage(a args) (Object, *problem) {
	c := w.find(a["channel"])
	if c == nil || c.Private && !slices.Contains(c.Members, BotUser) {
		return nil, fails("channel_not_found")
	}
	m := w.message(c.ID, a["ts"])
	if m == nil || m.Deleted {
		return nil, fails("message_not_found")
	}
	if !m.Bot {
		return nil, fails("cant_delete_message")
	}
	before := *m
	w.drop(m)
	w.echo(&before, "message_deleted", &before)
	w.touch()
	return Object{"channel": c.ID, "ts": a["ts"]}, nil
}

// object is a message as Slack writes it.
func (m *Message) object(metadata bool) Object {
	if m.Deleted {
		return Object{
			"type": "message", "subtype": "tombstone", "hidden": true, "user": "USLACKBOT", "text": m.Text, "ts": m.TS,
			"thread_ts": m.TS, "reply_count": m.ReplyCount,
		}
	}
	o := Object{"type": "message", "ts": m.TS, "user": m.User, "text": m.Text}
	if m.Bot {
		o["bot_id"], o["app_id"], o["team"] = BotID, AppID, TeamID
	}
	if len(m.Blocks) > 0 {
		o["blocks"] = m.Blocks
	}
	if len(m.Attachments) > 0 {
		o["attachments"] = m.Attachments
	}
	if m.ThreadTS != "" {
		o["thread_ts"] = m.ThreadTS
		if m.ThreadTS == m.TS {
			o["reply_count"] = m.ReplyCount
		}
	}
	if m.Broadcast {
		o["subtype"] = "thread_broadcast"
	}
	if m.Edited != "" {
		o["edited"] = Object{"user": m.User, "ts": m.Edited}
	}
	if metadata && m.Metadata != nil {
		o["metadata"] = m.Metadata
	}
	return o
}

// clone is a value as JSON would carry it over.
func clone(o Object) Object {
	raw, err := json.Marshal(o)
	if err != nil {
		return Object{}
	}
	var c Object
	if json.Unmarshal(raw, &c) != nil {
		return Object{}
	}
	return c
}
