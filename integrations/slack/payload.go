package slack

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/calls"
	"github.com/muster-release/muster/integrations/slack/blocks"
)

// Only what Muster uses of a payload is decoded, so that what Slack adds or changes
// elsewhere in it cannot make it unreadable.

const (
	maxIdent = 255
	// maxURL is more than any response URL has.
	maxURL = 1000
	// maxLine is more characters than any line has that a person types. Slack sends up to 40,000.
	maxLine = 12_000
)

var (
	errNobody = errors.New("it does not say who did it")
	errLong   = errors.New("its text is too long for a line")
)

// eventPayload is what came through the Events API.
type eventPayload struct {
	challenge string      // of the URL verification
	limited   bool        // Slack holds events back: there are too many
	event     *chat.Event // nil: nothing that is meant for Muster
}

// decodeEvent decodes what the Events API sends: see
// https://docs.slack.dev/apis/events-api. Mentions count in channels, and messages in direct
// messages, where a mention arrives as a message as well.
func decodeEvent(body []byte, now time.Time) (eventPayload, error) {
	var outer struct {
		Type           string          `json:"type"`
		Challenge      string          `json:"challenge"`
		EventID        string          `json:"event_id"`
		EventTime      int64           `json:"event_time"`
		Event          json.RawMessage `json:"event"`
		Authorizations []struct {
			UserID string `json:"user_id"`
			IsBot  bool   `json:"is_bot"`
		} `json:"authorizations"`
		AuthedUsers []string `json:"authed_users"` // before there were authorizations
	}
	if err := json.Unmarshal(body, &outer); err != nil {
		return eventPayload{}, fmt.Errorf("slack: decode event: %w", calls.Unquoted(err))
	}
	switch outer.Type {
	case "url_verification":
		return eventPayload{challenge: outer.Challenge}, nil
	case "app_rate_limited":
		return eventPayload{limited: true}, nil
	case "event_callback":
	default:
		return eventPayload{}, fmt.Errorf("slack: decode event: no type that is known")
	}
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(outer.Event, &kind); err != nil {
		return eventPayload{}, fmt.Errorf("slack: decode event: %w", calls.Unquoted(err))
	}
	if kind.Type != "app_mention" && kind.Type != "message" {
		return eventPayload{}, nil
	}
	var inner struct {
		Subtype     string          `json:"subtype"`
		User        string          `json:"user"`
		BotID       string          `json:"bot_id"`
		Text        string          `json:"text"`
		TS          string          `json:"ts"`
		ThreadTS    string          `json:"thread_ts"`
		Channel     string          `json:"channel"`
		ChannelType string          `json:"channel_type"`
		Hidden      bool            `json:"hidden"`
		Edited      json.RawMessage `json:"edited"`
	}
	if err := json.Unmarshal(outer.Event, &inner); err != nil {
		return eventPayload{}, fmt.Errorf("slack: decode event: %s: %w", kind.Type, calls.Unquoted(err))
	}
	self := ""
	for _, a := range outer.Authorizations {
		if a.IsBot {
			self = a.UserID
		}
	}
	if self == "" && len(outer.Authorizations) == 0 && len(outer.AuthedUsers) == 1 {
		self = outer.AuthedUsers[0]
	}
	// A direct message's channel begins with D; a mention there does not say its type.
	direct := inner.ChannelType == "im" || inner.ChannelType == "" && strings.HasPrefix(inner.Channel, "D")
	switch {
	case inner.Subtype != "", inner.BotID != "", inner.Hidden, len(inner.Edited) > 0 && string(inner.Edited) != "null":
		return eventPayload{}, nil
	case direct != (kind.Type == "message"):
		return eventPayload{}, nil
	case inner.User == "USLACKBOT", inner.User != "" && inner.User == self:
		return eventPayload{}, nil
	case kind.Type == "message" && strings.TrimSpace(inner.Text) == "":
		return eventPayload{}, nil
	}
	e := chat.Event{
		ID:      eventID("event", outer.EventID, body),
		Time:    timeOf(inner.TS, timeOf(strconv.FormatInt(outer.EventTime, 10), now)),
		From:    ident(inner.User),
		Channel: ident(inner.Channel),
		Thread:  ident(inner.ThreadTS),
		Message: ident(inner.TS),
		Text:    typed(addressed(inner.Text, self)),
	}
	if e.Thread == e.Message {
		e.Thread = ""
	}
	if direct && e.Thread == "" {
		e.Message = "" // answers follow there, instead of going into a thread
	}
	if err := lacks(e); err != nil {
		return eventPayload{}, fmt.Errorf("slack: decode event: %s: %w", kind.Type, err)
	}
	return eventPayload{event: &e}, nil
}

// commandPayload is a slash command. Whatever name it was given, all of its text is the line.
type commandPayload struct {
	event   chat.Event
	trigger string
	probe   bool // Slack looks whether the address answers
}

// decodeCommand decodes a slash command as it comes in Socket Mode: see
// https://docs.slack.dev/interactivity/implementing-slash-commands.
func decodeCommand(payload []byte, now time.Time) (commandPayload, error) {
	var p struct {
		UserID      string `json:"user_id"`
		ChannelID   string `json:"channel_id"`
		Text        string `json:"text"`
		ResponseURL string `json:"response_url"`
		TriggerID   string `json:"trigger_id"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return commandPayload{}, fmt.Errorf("slack: decode command: %w", calls.Unquoted(err))
	}
	return newCommand(p.UserID, p.ChannelID, p.Text, p.ResponseURL, p.TriggerID, payload, now)
}

// decodeCommandForm decodes a slash command as it comes over HTTP.
func decodeCommandForm(body []byte, now time.Time) (commandPayload, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return commandPayload{}, errors.New("slack: decode command: not a form")
	}
	if form.Get("ssl_check") == "1" {
		return commandPayload{probe: true}, nil
	}
	return newCommand(form.Get("user_id"), form.Get("channel_id"), form.Get("text"), form.Get("response_url"), form.Get("trigger_id"), body, now)
}

func newCommand(user, channel, text, responseURL, trigger string, payload []byte, now time.Time) (commandPayload, error) {
	c := commandPayload{trigger: ident(trigger), event: chat.Event{
		ID:      eventID("slash", trigger, payload),
		Time:    now,
		From:    ident(user),
		Channel: ident(channel),
		Text:    typed(text),
		Reply:   replyURL(responseURL),
	}}
	if err := lacks(c.event); err != nil {
		return c, fmt.Errorf("slack: decode command: %w", err)
	}
	return c, nil
}

// interactionPayload is a press of a button, a search in a select, or a form that was sent: see
// https://docs.slack.dev/reference/interaction-payloads.
type interactionPayload struct {
	Type string `json:"type"`
	User struct {
		ID string `json:"id"`
	} `json:"user"`
	TriggerID   string `json:"trigger_id"`
	ResponseURL string `json:"response_url"`
	Channel     struct {
		ID string `json:"id"`
	} `json:"channel"`
	Container struct {
		MessageTS   string `json:"message_ts"`
		ThreadTS    string `json:"thread_ts"`
		ChannelID   string `json:"channel_id"`
		IsEphemeral bool   `json:"is_ephemeral"`
	} `json:"container"`
	Message struct {
		TS       string `json:"ts"`
		ThreadTS string `json:"thread_ts"`
	} `json:"message"`
	Actions []struct {
		ActionID string `json:"action_id"`
		Value    string `json:"value"`
		ActionTS string `json:"action_ts"`
	} `json:"actions"`
	View *viewPayload `json:"view"`

	// Of a search.
	BlockID string `json:"block_id"`
	Value   string `json:"value"`

	digest string
}

type viewPayload struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Hash     string `json:"hash"`
	Callback string `json:"callback_id"`
	Metadata string `json:"private_metadata"`
	Title    struct {
		Text string `json:"text"`
	} `json:"title"`
	Blocks []struct {
		Type string `json:"type"`
		ID   string `json:"block_id"`
	} `json:"blocks"`
	State json.RawMessage `json:"state"`
}

// decodeInteraction decodes an interaction. Of one that Muster has no use for it
// decodes the type alone.
func decodeInteraction(payload []byte) (interactionPayload, error) {
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(payload, &kind); err != nil {
		return interactionPayload{}, fmt.Errorf("slack: decode interaction: %w", calls.Unquoted(err))
	}
	switch kind.Type {
	case "":
		return interactionPayload{}, errors.New("slack: decode interaction: no type")
	case "block_actions", "block_suggestion", "view_submission":
	default:
		return interactionPayload{Type: kind.Type}, nil
	}
	var p interactionPayload
	if err := json.Unmarshal(payload, &p); err != nil {
		return interactionPayload{}, fmt.Errorf("slack: decode interaction: %s: %w", kind.Type, calls.Unquoted(err))
	}
	if p.User.ID = ident(p.User.ID); p.User.ID == "" {
		return interactionPayload{}, fmt.Errorf("slack: decode interaction: %s: %w", kind.Type, errNobody)
	}
	p.TriggerID, p.digest = ident(p.TriggerID), digest(payload)
	return p, nil
}

// decodeInteractionForm finds the interaction in what comes over HTTP.
func decodeInteractionForm(body []byte) (payload []byte, err error) {
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("payload") == "" {
		return nil, errors.New("slack: decode interaction: not a form with a payload")
	}
	return []byte(form.Get("payload")), nil
}

// press is the event of a button, all but its line.
func (p interactionPayload) press(now time.Time) chat.Event {
	e := chat.Event{
		ID:      idOr("press", p.TriggerID, p.digest),
		Time:    now,
		From:    p.User.ID,
		Channel: ident(cmp.Or(p.Channel.ID, p.Container.ChannelID)),
		Message: ident(cmp.Or(p.Message.TS, p.Container.MessageTS)),
		Thread:  ident(cmp.Or(p.Message.ThreadTS, p.Container.ThreadTS)),
		Reply:   replyURL(p.ResponseURL),
	}
	if len(p.Actions) > 0 {
		e.Time = timeOf(p.Actions[0].ActionTS, now)
	}
	if e.Thread == e.Message {
		e.Thread = ""
	}
	if p.Container.IsEphemeral {
		e.Message = "" // nobody finds it again by its ts
	}
	if p.View != nil && p.View.Type == "modal" {
		e = p.View.place(e)
		if id := ident(p.View.ID); id != "" {
			e.Reply = replyView + id // that is where the person looks
		}
	}
	return e
}

// submission is the event of a form that was sent, all but its line.
func (p interactionPayload) submission(now time.Time) chat.Event {
	id := ""
	if v, h := ident(p.View.ID), ident(p.View.Hash); v != "" && h != "" {
		id = v + "/" + h
	}
	return p.View.place(chat.Event{ID: idOr("view", id, p.digest), Time: now, From: p.User.ID})
}

// metadataOf is the metadata of a modal that is opened because of e.
func metadataOf(e chat.Event) blocks.Metadata {
	return blocks.Metadata{Reply: e.Reply, Channel: e.Channel, Thread: e.Thread, Message: e.Message}
}

// metadata is what the modal carries, empty where it cannot be read.
func (v viewPayload) metadata() blocks.Metadata { return blocks.ReadMetadata(v.Metadata) }

// place puts e where the modal came from.
func (v viewPayload) place(e chat.Event) chat.Event {
	m := v.metadata()
	e.Channel, e.Thread, e.Message, e.Reply = ident(m.Channel), ident(m.Thread), ident(m.Message), m.Reply
	return e
}

// inputs are the block IDs of the modal's inputs.
func (v viewPayload) inputs() []string {
	var ids []string
	for _, b := range v.Blocks {
		if b.Type == "input" && b.ID != "" {
			ids = append(ids, b.ID)
		}
	}
	return ids
}

// envelope is a frame of Socket Mode: see https://docs.slack.dev/apis/events-api/using-socket-mode.
type envelope struct {
	Type    string          `json:"type"`
	ID      string          `json:"envelope_id"`
	Payload json.RawMessage `json:"payload"`
	Reason  string          `json:"reason"` // of a disconnect
}

// decodeEnvelope decodes a frame. With an error it still returns what could be read, so
// that it can be acknowledged.
func decodeEnvelope(frame []byte) (envelope, error) {
	var e envelope
	err := json.Unmarshal(frame, &e)
	if err == nil && e.Type == "" {
		err = errors.New("no type")
	}
	if err != nil {
		return e, fmt.Errorf("slack: decode envelope: %w", calls.Unquoted(err))
	}
	return e, nil
}

// eventID identifies a delivery by what Slack calls it, or else by what is in it.
func eventID(kind, id string, payload []byte) string {
	if id = ident(id); id != "" {
		return kind + "/" + id
	}
	return kind + "/" + digest(payload)
}

func idOr(kind, id, digest string) string {
	if id == "" {
		id = digest
	}
	return kind + "/" + id
}

func digest(payload []byte) string {
	sum := sha256.Sum256(payload)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// lacks says what an event lacks that Muster cannot do without.
func lacks(e chat.Event) error {
	switch {
	case e.From == "":
		return errNobody
	case utf8.RuneCountInString(e.Text) > maxLine:
		return errLong
	}
	return nil
}

// ident is s if it can be an ID that Slack gives, and empty otherwise. IDs become keys of
// a store and parts of calls.
func ident(s string) string {
	if len(s) > maxIdent {
		return ""
	}
	for _, r := range s {
		if r <= ' ' || r > '~' || r == '"' {
			return ""
		}
	}
	return s
}

const (
	replyHook = "url:"
	replyView = "view:"
)

func replyURL(responseURL string) string {
	if responseURL == "" || len(responseURL) > maxURL {
		return ""
	}
	return replyHook + responseURL
}

// timeOf is the time in a timestamp such as "1605853844.000800", or else now.
func timeOf(ts string, now time.Time) time.Time {
	whole, part, _ := strings.Cut(ts, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	// Later is not a time that can be written down.
	if err != nil || sec <= 0 || sec >= time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC).Unix() {
		return now
	}
	micro, err := strconv.ParseUint(part, 10, 32)
	if err != nil || len(part) != 6 {
		micro = 0
	}
	return time.Unix(sec, int64(micro)*int64(time.Microsecond))
}
