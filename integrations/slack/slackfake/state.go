package slackfake

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// User is somebody in the workspace, or in another one that shares a channel with it.
type User struct {
	ID       string // empty in AddUser: the next free one, U0001 and so on
	Name     string
	RealName string
	Email    string
	Team     string // empty: TeamID
	Bot      bool
	Deleted  bool
}

// Channel is a place for messages.
type Channel struct {
	ID       string // empty in AddChannel: the next free one, C0001 and so on
	Name     string
	Private  bool
	Archived bool
	Members  []string // user IDs; the app's bot is BotUser
	IM       string   // of a direct message with the app: whose it is
}

// Group is a user group, such as @release-managers.
type Group struct {
	ID       string // empty in AddUserGroup: the next free one, S0001 and so on
	Handle   string
	Name     string
	Users    []string
	Disabled bool
}

// Object is a JSON object of Slack's, such as a block. It is never changed once it is stored.
type Object = map[string]any

// Metadata is what an app attaches to its messages.
type Metadata struct {
	Type    string `json:"event_type"`
	Payload Object `json:"event_payload"`
}

// Message is something said in a channel.
type Message struct {
	Channel     string
	TS          string
	ThreadTS    string // the root's TS for a reply, and for a root with replies
	User        string
	Bot         bool // the app posted it
	Text        string
	Blocks      []Object
	Attachments []Object
	Metadata    *Metadata
	Edited      string // TS of the last change, "" if there was none
	Edits       int    // how often it was changed
	Deleted     bool   // it is a root whose replies keep its place: "This message was deleted."
	Broadcast   bool   // a reply that is shown in the channel too
	EphemeralTo string // the only one who sees it
	Posted      time.Time
	Changed     time.Time
	ReplyCount  int
}

// AddUser lets somebody into the workspace and returns their ID.
func (w *Workspace) AddUser(u User) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	u.ID = free(u.ID, "U", w.users)
	u.Team = cmp.Or(u.Team, TeamID)
	u.Name = cmp.Or(u.Name, strings.ToLower(u.ID))
	u.RealName = cmp.Or(u.RealName, u.Name)
	w.users[u.ID] = &u
	w.touch()
	return u.ID
}

// AddChannel makes a channel and returns its ID.
func (w *Workspace) AddChannel(c Channel) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.ID = free(c.ID, "C", w.channels)
	c.Members = slices.Clone(c.Members)
	w.channels[c.ID] = &c
	w.touch()
	return c.ID
}

// AddUserGroup makes a user group and returns its ID.
func (w *Workspace) AddUserGroup(g Group) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	g.ID = free(g.ID, "S", w.groups)
	g.Users = slices.Clone(g.Users)
	w.groups[g.ID] = &g
	w.touch()
	return g.ID
}

// SetUserGroup replaces the members of a user group.
func (w *Workspace) SetUserGroup(id string, users ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if g := w.groups[id]; g != nil {
		g.Users = slices.Clone(users)
	}
	w.touch()
}

// Invite adds people, or the bot, to a channel.
func (w *Workspace) Invite(channel string, users ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.channels[channel]; c != nil {
		for _, u := range users {
			if !slices.Contains(c.Members, u) {
				c.Members = append(c.Members, u)
			}
		}
	}
	w.touch()
}

// Remove takes people, or the bot, out of a channel.
func (w *Workspace) Remove(channel string, users ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.channels[channel]; c != nil {
		c.Members = slices.DeleteFunc(slices.Clone(c.Members), func(u string) bool { return slices.Contains(users, u) })
	}
	w.touch()
}

// Archive closes a channel for new messages.
func (w *Workspace) Archive(channel string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.channels[channel]; c != nil {
		c.Archived = true
	}
	w.touch()
}

// Deactivate takes a person's account away.
func (w *Workspace) Deactivate(user string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if u := w.users[user]; u != nil {
		u.Deleted = true
	}
	w.touch()
}

// Users returns everybody, by ID.
func (w *Workspace) Users() []User {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []User
	for _, id := range slices.Sorted(maps.Keys(w.users)) {
		all = append(all, *w.users[id])
	}
	return all
}

// Channels returns all channels and direct messages, by ID.
func (w *Workspace) Channels() []Channel {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []Channel
	for _, id := range slices.Sorted(maps.Keys(w.channels)) {
		c := *w.channels[id]
		c.Members = slices.Clone(c.Members)
		all = append(all, c)
	}
	return all
}

// DM returns the ID of the direct message between a person and the app, which is
// opened if need be.
func (w *Workspace) DM(user string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.openDM(user).ID
}

func (w *Workspace) openDM(user string) *Channel {
	for _, c := range w.channels {
		if c.IM == user {
			return c
		}
	}
	c := &Channel{ID: free("", "D", w.channels), IM: user, Members: []string{user, BotUser}}
	w.channels[c.ID] = c
	return c
}

// Messages returns what stands in a channel, replies included, oldest first. For a user
// ID it is what stands in that person's direct messages with the app.
func (w *Workspace) Messages(channel string) []Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.find(channel); c != nil {
		channel = c.ID
	}
	all := make([]Message, 0, len(w.messages[channel]))
	for _, m := range w.messages[channel] {
		all = append(all, *m)
	}
	return all
}

// Thread returns a root message and its replies, oldest first.
func (w *Workspace) Thread(channel, ts string) []Message {
	all := w.Messages(channel)
	return slices.DeleteFunc(all, func(m Message) bool { return m.TS != ts && m.ThreadTS != ts })
}

// Message returns a message, also an ephemeral one.
func (w *Workspace) Message(channel, ts string) (Message, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.message(channel, ts); m != nil {
		return *m, true
	}
	for _, m := range w.ephemerals {
		if m.TS == ts && (channel == "" || m.Channel == channel) {
			return *m, true
		}
	}
	return Message{}, false
}

// Ephemerals returns what only a user sees, oldest first.
func (w *Workspace) Ephemerals(user string) []Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []Message
	for _, m := range w.ephemerals {
		if m.EphemeralTo == user {
			all = append(all, *m)
		}
	}
	return all
}

// Changed returns a channel that is closed when something changes next.
func (w *Workspace) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// Wait returns once ok says so; it asks after every change. It gives up when ctx ends.
func (w *Workspace) Wait(ctx context.Context, ok func() bool) error {
	for {
		changed := w.Changed()
		if ok() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("slackfake: wait: %w", context.Cause(ctx))
		}
	}
}

// WaitMessage returns the first message of a channel (or of a user's direct messages, if
// it is a user ID) that fits. It gives up when ctx ends.
func (w *Workspace) WaitMessage(ctx context.Context, channel string, fits func(Message) bool) (Message, error) {
	var found Message
	err := w.Wait(ctx, func() bool {
		all := w.Messages(channel)
		i := slices.IndexFunc(all, fits)
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	})
	return found, err
}

// What follows is called with the lock held.

// touch tells those who wait that something changed.
func (w *Workspace) touch() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// stamp returns a new ts. They rise, and no two are the same.
func (w *Workspace) stamp() string {
	if now := time.Now().Unix(); now > w.lastSec {
		w.lastSec, w.lastMicro = now, 0
	}
	if w.lastMicro += 100; w.lastMicro >= 1e6 {
		w.lastSec, w.lastMicro = w.lastSec+1, 100
	}
	return fmt.Sprintf("%d.%06d", w.lastSec, w.lastMicro)
}

// next returns a number that was not used before.
func (w *Workspace) next() int {
	w.ids++
	return w.ids
}

// free returns want, or the next free ID of a kind.
func free[T any](want, kind string, taken map[string]T) string {
	if want != "" {
		return want
	}
	for n := 1; ; n++ {
		id := fmt.Sprintf("%s%04d", kind, n)
		if _, found := taken[id]; !found {
			return id
		}
	}
}

// find looks a channel up by ID, name or the user it is a direct message with.
func (w *Workspace) find(channel string) *Channel {
	if c := w.channels[channel]; c != nil {
		return c
	}
	for _, c := range w.channels {
		if c.IM != "" && c.IM == channel || c.Name != "" && c.Name == strings.TrimPrefix(channel, "#") {
			return c
		}
	}
	return nil
}

func (w *Workspace) message(channel, ts string) *Message {
	all := w.messages[channel]
	i, found := slices.BinarySearchFunc(all, ts, func(m *Message, ts string) int { return cmp.Compare(micros(m.TS), micros(ts)) })
	if !found || all[i].TS != ts {
		return nil
	}
	return all[i]
}

func (w *Workspace) drop(m *Message) {
	same := func(other *Message) bool { return other == m }
	if m.EphemeralTo != "" {
		w.ephemerals = slices.DeleteFunc(w.ephemerals, same)
		return
	}
	if m.ReplyCount > 0 {
		// A root with replies leaves its place behind, and its thread goes on.
		m.Deleted, m.Text, m.Blocks, m.Attachments, m.Metadata = true, "This message was deleted.", nil, nil, nil
		m.Changed = time.Now()
		return
	}
	w.messages[m.Channel] = slices.DeleteFunc(w.messages[m.Channel], same)
	if m.ThreadTS != "" && m.ThreadTS != m.TS {
		if root := w.message(m.Channel, m.ThreadTS); root != nil {
			if root.ReplyCount--; root.ReplyCount == 0 {
				root.ThreadTS = ""
				if root.Deleted {
					w.drop(root)
				}
			}
		}
	}
}

// add puts a message where it belongs. A reply to a message that is not there any more
// loses its thread: it becomes a message of the channel, and Slack says so only by leaving
// out thread_ts in its answer.
func (w *Workspace) add(m Message) *Message {
	m.TS = w.stamp()
	m.Posted = time.Now()
	m.Changed = m.Posted
	if m.EphemeralTo != "" {
		w.ephemerals = append(w.ephemerals, &m)
		w.touch()
		return &m
	}
	if m.ThreadTS != "" {
		root := w.message(m.Channel, m.ThreadTS)
		if root != nil && root.ThreadTS != "" && root.ThreadTS != root.TS {
			root = w.message(m.Channel, root.ThreadTS)
		}
		if root == nil {
			m.ThreadTS = ""
		} else {
			root.ThreadTS, m.ThreadTS = root.TS, root.TS
			root.ReplyCount++
		}
	}
	w.messages[m.Channel] = append(w.messages[m.Channel], &m)
	w.touch()
	return &m
}
