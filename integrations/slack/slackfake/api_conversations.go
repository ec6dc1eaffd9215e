package slackfake

import (
	"maps"
	"slices"
	"strings"
)

// ofChannel names the scope that reading something of a channel takes, by its kind.
func ofChannel(what string) func(*Workspace, args) string {
	return func(w *Workspace, a args) string {
		c := w.channels[a["channel"]]
		switch {
		case c != nil && c.IM != "":
			return "im:" + what
		case c != nil && c.Private:
			return "groups:" + what
		}
		return "channels:" + what
	}
}

var scopeOfType = map[string]string{
	"public_channel": "channels:read", "private_channel": "groups:read", "im": "im:read", "mpim": "mpim:read",
}

// typesOf are the kinds of conversation that a list is asked for.
func typesOf(a args) []string {
	if a["types"] == "" {
		return []string{"public_channel"}
	}
	return strings.Split(strings.ReplaceAll(a["types"], " ", ""), ",")
}

// ofTypes names the first scope that is missing for a list.
func ofTypes(w *Workspace, a args) string {
	var need string
	for _, t := range typesOf(a) {
		if need = scopeOfType[t]; need != "" && !slices.Contains(w.scopes, need) {
			return need
		}
	}
	return need
}

func (w *Workspace) conversationsOpen(a args) (Object, *problem) {
	if id := a["channel"]; id != "" {
		c := w.channels[id]
		if c == nil || c.IM == "" {
			return nil, fails("channel_not_found")
		}
		return Object{"channel": Object{"id": c.ID}}, nil
	}
	id := a["users"]
	u := w.users[id]
	switch {
	case id == "":
		return nil, fails("users_list_not_supplied")
	case strings.Contains(id, ","):
		return nil, fails("method_not_supported_for_channel_type")
	case u == nil:
		return nil, fails("user_not_found")
	case u.Deleted:
		return nil, fails("user_disabled")
	case u.Bot:
		return nil, fails("cannot_dm_bot")
	}
	known := false
	for _, c := range w.channels {
		known = known || c.IM == id
	}
	c := w.openDM(id)
	return Object{"no_op": known, "already_open": known, "channel": Object{"id": c.ID}}, nil
}

func (w *Workspace) conversationsInfo(a args) (Object, *problem) {
	c := w.visible(a["channel"])
	if c == nil {
		return nil, fails("channel_not_found")
	}
	return Object{"channel": w.channelObject(c)}, nil
}

// visible finds a channel that the bot may know of.
func (w *Workspace) visible(id string) *Channel {
	c := w.channels[id]
	if c != nil && c.Private && !slices.Contains(c.Members, BotUser) {
		return nil
	}
	return c
}

func (w *Workspace) conversationsList(a args) (Object, *problem) {
	return w.listChannels(a, func(*Channel) bool { return true })
}

func (w *Workspace) usersConversations(a args) (Object, *problem) {
	user := a["user"]
	if user == "" {
		user = BotUser
	}
	return w.listChannels(a, func(c *Channel) bool { return slices.Contains(c.Members, user) })
}

func (w *Workspace) listChannels(a args, fits func(*Channel) bool) (Object, *problem) {
	types := typesOf(a)
	for _, t := range types {
		if scopeOfType[t] == "" {
			return nil, fails("invalid_types")
		}
	}
	var all []Object
	for _, id := range slices.Sorted(maps.Keys(w.channels)) {
		c := w.visible(id)
		if c == nil || !fits(c) || c.Archived && a.flag("exclude_archived") {
			continue
		}
		kind := "public_channel"
		switch {
		case c.IM != "":
			kind = "im"
		case c.Private:
			kind = "private_channel"
		}
		if slices.Contains(types, kind) {
			all = append(all, w.channelObject(c))
		}
	}
	some, cursor, p := page(all, a, 100, 999)
	if p != nil {
		return nil, p
	}
	return Object{"channels": orEmpty(some), "response_metadata": Object{"next_cursor": cursor}}, nil
}

func (w *Workspace) channelObject(c *Channel) Object {
	o := Object{
		"id": c.ID, "is_im": c.IM != "", "is_archived": c.Archived, "is_private": c.Private || c.IM != "",
		"is_channel": c.IM == "" && !c.Private, "is_group": c.IM == "" && c.Private, "is_mpim": false, "is_org_shared": false,
		"is_ext_shared": w.shared(c), "is_shared": w.shared(c), "context_team_id": TeamID,
	}
	if c.IM != "" {
		o["user"] = c.IM
		return o
	}
	o["name"], o["name_normalized"] = c.Name, c.Name
	o["is_member"], o["num_members"] = slices.Contains(c.Members, BotUser), len(c.Members)
	return o
}

// shared reports whether people of other workspaces are in a channel.
func (w *Workspace) shared(c *Channel) bool {
	return slices.ContainsFunc(c.Members, func(id string) bool { u := w.users[id]; return u != nil && u.Team != TeamID })
}

// readable finds a channel whose messages the bot may read.
func (w *Workspace) readable(id string) (*Channel, *problem) {
	c := w.visible(id)
	switch {
	case c == nil:
		return nil, fails("channel_not_found")
	case !slices.Contains(c.Members, BotUser):
		return nil, fails("not_in_channel")
	}
	return c, nil
}

// within reports whether a message was written in the time that is asked for.
func within(m *Message, a args) bool {
	at, inclusive := micros(m.TS), a.flag("inclusive")
	if s := a["oldest"]; s != "" && s != "0" {
		if oldest := micros(s); at < oldest || at == oldest && !inclusive {
			return false
		}
	}
	if s := a["latest"]; s != "" && s != "now" {
		if latest := micros(s); at > latest || at == latest && !inclusive {
			return false
		}
	}
	return true
}

// history is newest first; replies are not in it, unless they were sent to the channel too.
func (w *Workspace) history(a args) (Object, *problem) {
	c, p := w.readable(a["channel"])
	if p != nil {
		return nil, p
	}
	var all []*Message
	for _, m := range slices.Backward(w.messages[c.ID]) {
		if within(m, a) && (m.ThreadTS == "" || m.ThreadTS == m.TS || m.Broadcast) {
			all = append(all, m)
		}
	}
	return messagesPage(all, a, 100)
}

// replies is the root and then its replies, oldest first.
func (w *Workspace) replies(a args) (Object, *problem) {
	c, p := w.readable(a["channel"])
	if p != nil {
		return nil, p
	}
	root := w.message(c.ID, a["ts"])
	if root == nil {
		return nil, fails("thread_not_found")
	}
	ts := root.TS
	if root.ThreadTS != "" {
		ts = root.ThreadTS
	}
	var all []*Message
	for _, m := range w.messages[c.ID] {
		if m.TS == ts || m.ThreadTS == ts && within(m, a) {
			all = append(all, m)
		}
	}
	return messagesPage(all, a, 1000)
}

func messagesPage(all []*Message, a args, usual int) (Object, *problem) {
	some, cursor, p := page(all, a, usual, 1000)
	if p != nil {
		return nil, p
	}
	var out []Object
	for _, m := range some {
		out = append(out, m.object(a.flag("include_all_metadata")))
	}
	return Object{"messages": orEmpty(out), "has_more": cursor != "", "response_metadata": Object{"next_cursor": cursor}}, nil
}

func orEmpty(all []Object) []Object {
	if all == nil {
		return []Object{}
	}
	return all
}
