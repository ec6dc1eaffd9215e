package slackfake

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Say lets somebody write a message as they type it: @name becomes a mention, addresses
// become links, and &, < and > are escaped. An empty channel, or the user's own ID, is the
// direct message with the app. If the app is to hear of it, the first attempt to
// tell it is the delivery; otherwise that is zero.
func (w *Workspace) Say(user, channel, threadTS, text string) (Message, Delivery, error) {
	w.mu.Lock()
	c, u, err := w.person(user, channel)
	if err != nil {
		w.mu.Unlock()
		return Message{}, Delivery{}, fmt.Errorf("slackfake: say: %w", err)
	}
	if c.Archived {
		w.mu.Unlock()
		return Message{}, Delivery{}, fmt.Errorf("slackfake: say: %q is archived", c.ID)
	}
	m := w.add(Message{Channel: c.ID, ThreadTS: threadTS, User: user, Text: w.typed(text)})
	name, kind := eventOf(c)
	inner := m.object(false)
	inner["client_msg_id"], inner["team"] = secret(16), u.Team
	inner["blocks"] = richText(m.Text)
	inner["channel"], inner["event_ts"] = c.ID, m.TS
	if u.Team != TeamID {
		inner["user_team"], inner["source_team"] = u.Team, u.Team
	}
	if root := w.message(c.ID, m.ThreadTS); root != nil && root != m {
		inner["parent_user_id"] = root.User
	}
	said := *m
	var events []*event
	member := slices.Contains(c.Members, BotUser)
	if member && c.IM == "" && strings.Contains(m.Text, "<@"+BotUser+">") && w.subscribed("app_mention") {
		mention := clone(inner)
		mention["type"] = "app_mention"
		events = append(events, w.wrap(mention, c))
	}
	if member && w.subscribed(name) {
		inner["channel_type"] = kind
		events = append(events, w.wrap(inner, c))
	}
	w.mu.Unlock()
	if len(events) == 0 {
		return said, Delivery{}, nil
	}
	for _, e := range events[1:] {
		w.begin(func() { w.emit(e) })
	}
	return said, w.emit(events[0]), nil
}

// Slash lets somebody type a slash command: "/muster status", or its words alone. Names
// stay as they are typed, as for a command without should_escape. If the
// app does not acknowledge it in time, they are told so by Slack.
func (w *Workspace) Slash(user, channel, text string) (Delivery, error) {
	payload, err := w.SlashPayload(user, channel, text)
	if err != nil {
		return Delivery{}, err
	}
	d := w.Deliver(Commands, payload)
	w.mu.Lock()
	defer w.mu.Unlock()
	u := &responseURL{user: user, channel: payload["channel_id"].(string)}
	if !d.Acked {
		w.add(Message{Channel: u.channel, User: "USLACKBOT", EphemeralTo: user,
			Text: fmt.Sprintf("%s failed with the error \"dispatch_failed\"", payload["command"])})
		return d, nil
	}
	var a answer
	if json.Unmarshal([]byte(d.Ack), &a) == nil && (a.Text != "" || len(a.Blocks) > 0) {
		_, _ = w.respond(u, a)
	} else if t := strings.TrimSpace(d.Ack); t != "" && t[0] != '{' && t[0] != '"' {
		_, _ = w.respond(u, answer{Text: t})
	}
	return d, nil
}

// SlashPayload is what Slash delivers.
func (w *Workspace) SlashPayload(user, channel, text string) (Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, u, err := w.person(user, channel)
	if err != nil {
		return nil, fmt.Errorf("slackfake: slash command: %w", err)
	}
	if u.Team != TeamID {
		return nil, fmt.Errorf("slackfake: slash command: %q is of another workspace, where the app is not installed", user)
	}
	if !slices.Contains(w.scopes, "commands") {
		return nil, errors.New("slackfake: slash command: the app does not have the scope commands")
	}
	command := w.opts.Command
	if strings.HasPrefix(text, "/") {
		command, text, _ = strings.Cut(text, " ")
	}
	if command != w.opts.Command {
		return nil, fmt.Errorf("slackfake: slash command: %s is not a valid command", command)
	}
	return Object{
		"token": "legacy-fixed-value", "team_id": TeamID, "team_domain": TeamDomain, "channel_id": c.ID,
		"channel_name": displayName(c), "user_id": u.ID, "user_name": u.Name, "command": command,
		"text": escaper.Replace(strings.TrimSpace(text)), "api_app_id": AppID, "is_enterprise_install": "false",
		"response_url": w.newURL("commands", u.ID, c.ID, ""), "trigger_id": w.trigger(u.ID, ""),
	}, nil
}

// Delete lets somebody delete a message, their own or, as an admin may, another's.
func (w *Workspace) Delete(user, channel, ts string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, _, err := w.person(user, channel)
	if err != nil {
		return fmt.Errorf("slackfake: delete message: %w", err)
	}
	m := w.message(c.ID, ts)
	if m == nil || m.Deleted {
		return fmt.Errorf("slackfake: delete message: there is no message %q in %q", ts, c.ID)
	}
	before := *m
	w.drop(m)
	w.echo(&before, "message_deleted", &before)
	w.touch()
	return nil
}

// What follows is called with the lock held.

// person finds somebody who can act, and the channel they act in.
func (w *Workspace) person(user, channel string) (*Channel, *User, error) {
	u := w.users[user]
	switch {
	case u == nil:
		return nil, nil, fmt.Errorf("there is no user %q", user)
	case u.Deleted:
		return nil, nil, fmt.Errorf("%q has no account any more", user)
	case channel == "" || channel == user:
		return w.openDM(user), u, nil
	}
	c := w.find(channel)
	if c == nil {
		return nil, nil, fmt.Errorf("there is no channel %q", channel)
	}
	if !slices.Contains(c.Members, user) {
		return nil, nil, fmt.Errorf("%q is not in %q", user, c.ID)
	}
	return c, u, nil
}

var (
	mentionOrLink = regexp.MustCompile(`<@[UW][A-Z0-9]+>|@[a-z0-9][a-z0-9._-]*|https?://[^\s<>]+|\b[a-z0-9-]+(\.[a-z0-9-]+)*\.(com|io|org|net|dev)\b`)
	escaper       = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
)

// typed is what Slack makes of what was typed.
func (w *Workspace) typed(text string) string {
	var b strings.Builder
	last := 0
	for _, at := range mentionOrLink.FindAllStringIndex(text, -1) {
		b.WriteString(escaper.Replace(text[last:at[0]]))
		word := text[at[0]:at[1]]
		last = at[1]
		switch {
		case strings.HasPrefix(word, "<@"):
			b.WriteString(word)
		case strings.HasPrefix(word, "@"):
			b.WriteString(w.mention(word))
		case strings.Contains(word, "://"):
			b.WriteString("<" + escaper.Replace(word) + ">")
		default:
			b.WriteString("<http://" + word + "|" + word + ">")
		}
	}
	b.WriteString(escaper.Replace(text[last:]))
	return b.String()
}

func (w *Workspace) mention(word string) string {
	for _, u := range w.users {
		if u.Name == word[1:] {
			return "<@" + u.ID + ">"
		}
	}
	return word
}

// richText is a text as clients send it.
func richText(text string) []Object {
	var elements []Object
	for text != "" {
		before, rest, found := strings.Cut(text, "<@")
		if before != "" {
			elements = append(elements, Object{"type": "text", "text": unescaper.Replace(before)})
		}
		if !found {
			break
		}
		id, after, _ := strings.Cut(rest, ">")
		elements = append(elements, Object{"type": "user", "user_id": id})
		text = after
	}
	return []Object{{
		"type": "rich_text", "block_id": "b" + secret(3),
		"elements": []Object{{"type": "rich_text_section", "elements": elements}},
	}}
}

var unescaper = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// displayName is what payloads call a channel.
func displayName(c *Channel) string {
	switch {
	case c.IM != "":
		return "directmessage"
	case c.Private:
		return "privategroup"
	}
	return c.Name
}

func (w *Workspace) userIn(u *User) Object {
	return Object{"id": u.ID, "username": u.Name, "name": u.Name, "team_id": u.Team}
}

func (w *Workspace) interaction(kind string, u *User) Object {
	domain := TeamDomain
	if u.Team != TeamID {
		domain = "elsewhere"
	}
	return Object{
		"type": kind, "user": w.userIn(u), "api_app_id": AppID, "token": "legacy-fixed-value",
		"team": Object{"id": u.Team, "domain": domain}, "enterprise": nil, "is_enterprise_install": false,
	}
}

// actionTS is when somebody did something.
func actionTS() string {
	now := time.Now()
	return fmt.Sprintf("%d.%06d", now.Unix(), now.Nanosecond()/1000)
}
