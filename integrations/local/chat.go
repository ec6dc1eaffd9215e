package local

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/muster-release/muster/bot/chat"
)

// Chat is a place where people and Muster talk. Muster's side is a
// chat.Poster; asked to post twice, it posts two messages. People's side is
// Say, Press and Delete. What people did stays in the journal, so a bot that was
// dead reads on from the last event it kept, with Events or Wait.
type Chat struct {
	wire *wire

	mu       sync.Mutex
	log      *journal
	messages []*Posted // in the order in which they were posted
	byID     map[string]*Posted
	events   []chat.Event  // with rising IDs
	changed  chan struct{} // closed at the next change
}

var _ chat.Poster = (*Chat)(nil)

// Posted is a message as it stands in the chat. Its IDs rise with time.
type Posted struct {
	ID      string
	Key     string // Muster's key for it
	Channel string // a direct message has the channel "@" and the person's handle
	Thread  string // ID of the root message, empty at top level
	From    string // handle of who wrote it, empty for Muster
	Time    time.Time
	Updated time.Time // zero: never
	Card    chat.Card // what a person wrote is its Text
	Deleted bool
}

func newChat(w *wire, log *journal) *Chat {
	c := &Chat{wire: w, log: log, byID: map[string]*Posted{}, changed: make(chan struct{})}
	for _, e := range log.entries {
		c.apply(e)
	}
	return c
}

// apply is the only thing that changes the state.
func (c *Chat) apply(e Entry) {
	id := strconv.Itoa(e.Seq)
	switch e.Kind {
	case EntryPosted:
		m := e.Message
		c.add(&Posted{ID: id, Key: m.Key, Channel: channelOf(*m), Thread: m.Thread, Time: e.Time, Card: m.Card})
	case EntryUpdated:
		if p := c.byID[e.ID]; p != nil {
			p.Card, p.Updated = *e.Card, e.Time
		}
	case EntryDeleted:
		if p := c.byID[e.ID]; p != nil {
			p.Deleted = true
		}
	case EntrySaid:
		v := *e.Event
		c.add(&Posted{ID: id, Channel: v.Channel, Thread: v.Thread, From: v.From, Time: e.Time, Card: chat.Card{Text: v.Text}})
		c.events = append(c.events, v)
	case EntryPressed:
		c.events = append(c.events, *e.Event)
	}
}

func (c *Chat) add(p *Posted) {
	c.messages = append(c.messages, p)
	c.byID[p.ID] = p
}

// record appends e, applies it and wakes who waits for a change.
func (c *Chat) record(e Entry) (Entry, error) {
	e, err := c.log.append(e)
	if err != nil {
		return e, err
	}
	c.apply(e)
	close(c.changed)
	c.changed = make(chan struct{})
	return e, nil
}

// channelOf is where a message goes.
func channelOf(m chat.Message) string {
	if m.Channel == "" && m.To != "" {
		return "@" + m.To
	}
	return m.Channel
}

var (
	errNoMessage = errors.New("there is no such message")
	errDeleted   = errors.New("somebody deleted the message")
)

// find returns a message that can be written to.
func (c *Chat) find(channel, id string) (*Posted, error) {
	p := c.byID[id]
	switch {
	case p == nil || p.Channel != channel:
		return nil, gone{errNoMessage}
	case p.Deleted:
		return nil, gone{errDeleted}
	}
	return p, nil
}

// Post implements chat.Poster.
func (c *Chat) Post(ctx context.Context, m chat.Message) (chat.Handle, error) {
	return call(ctx, c.wire, Call{System: "chat", Method: "Post", Key: m.Key}, func() (chat.Handle, error) {
		channel := channelOf(m)
		if channel == "" {
			return chat.Handle{}, refuse("the message has neither a channel nor a person to go to")
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if m.Thread != "" {
			if _, err := c.find(channel, m.Thread); err != nil {
				return chat.Handle{}, fmt.Errorf("thread %q: %w", m.Thread, err)
			}
		}
		e, err := c.record(Entry{Kind: EntryPosted, Key: m.Key, Message: &m})
		return chat.Handle{Channel: channel, ID: strconv.Itoa(e.Seq)}, err
	})
}

// Update implements chat.Poster. The error for a message that is not there has
// Gone() bool, see chat.Gone.
func (c *Chat) Update(ctx context.Context, h chat.Handle, m chat.Message) error {
	_, err := call(ctx, c.wire, Call{System: "chat", Method: "Update", Key: h.ID}, func() (Entry, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, err := c.find(h.Channel, h.ID); err != nil {
			return Entry{}, err
		}
		return c.record(Entry{Kind: EntryUpdated, ID: h.ID, Card: &m.Card})
	})
	return err
}

// Find implements chat.Poster. Of several messages with the key it finds the
// oldest that is still there.
func (c *Chat) Find(ctx context.Context, m chat.Message) (chat.Handle, bool, error) {
	h, err := call(ctx, c.wire, Call{System: "chat", Method: "Find", Key: m.Key}, func() (chat.Handle, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		channel := channelOf(m)
		for _, p := range c.messages {
			if p.Key == m.Key && p.Channel == channel && p.From == "" && !p.Deleted {
				return chat.Handle{Channel: channel, ID: p.ID}, nil
			}
		}
		return chat.Handle{}, nil
	})
	return h, h != chat.Handle{}, err
}

// Say writes what a person says, at top level or in a thread. It returns the ID
// of the event, which is also the ID of the message that it makes.
func (c *Chat) Say(from, channel, thread, text string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if thread != "" {
		if _, err := c.find(channel, thread); err != nil {
			return "", fmt.Errorf("chat: say in thread %q: %w", thread, err)
		}
	}
	return c.happen(EntrySaid, chat.Event{From: from, Channel: channel, Thread: thread, Text: text})
}

// Press presses a button: the action of a message with that label or command.
// It returns the event's ID. Asking what the action wants confirmed is up to the
// caller.
func (c *Chat) Press(from, message, action string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.byID[message]
	if p == nil {
		return "", fmt.Errorf("chat: press %q: %w", action, gone{errNoMessage})
	}
	if p.Deleted {
		return "", fmt.Errorf("chat: press %q: %w", action, gone{errDeleted})
	}
	for _, a := range p.Card.Actions {
		if a.Command == action || strings.EqualFold(a.Label, action) {
			return c.happen(EntryPressed, chat.Event{From: from, Channel: p.Channel, Thread: p.Thread, Text: a.Command, Message: message})
		}
	}
	return "", fmt.Errorf("chat: press %q: message %q has no such button (any more)", action, message)
}

// happen records what a person did.
func (c *Chat) happen(kind EntryKind, v chat.Event) (string, error) {
	v.ID = strconv.Itoa(c.log.next())
	v.Time = time.Now().UTC()
	if _, err := c.record(Entry{Kind: kind, Time: v.Time, Event: &v}); err != nil {
		return "", fmt.Errorf("chat: %s: %w", kind, err)
	}
	return v.ID, nil
}

// Delete takes a message away, as a person may.
func (c *Chat) Delete(by, message string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.byID[message]
	if p == nil || p.Deleted {
		return fmt.Errorf("chat: delete %q: %w", message, gone{errNoMessage})
	}
	if _, err := c.record(Entry{Kind: EntryDeleted, ID: message, By: by}); err != nil {
		return fmt.Errorf("chat: delete %q: %w", message, err)
	}
	return nil
}

// Events returns what people did after the event with the ID after, oldest
// first; "" returns everything. Who keeps the ID of the last event together with
// what came of it misses none.
func (c *Chat) Events(after string) ([]chat.Event, error) {
	from := 0
	if after != "" {
		n, err := strconv.Atoi(after)
		if err != nil {
			return nil, fmt.Errorf("chat: events after %q: not the ID of an event", after)
		}
		from = n
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := sort.Search(len(c.events), func(i int) bool {
		n, err := strconv.Atoi(c.events[i].ID)
		return err == nil && n > from
	})
	return append([]chat.Event(nil), c.events[i:]...), nil
}

// Wait is Events that waits until there is one, or ctx ends.
func (c *Chat) Wait(ctx context.Context, after string) ([]chat.Event, error) {
	for {
		changed := c.Changed()
		events, err := c.Events(after)
		if err != nil || len(events) > 0 {
			return events, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Changed returns a channel that is closed at the next change of the chat. Who
// takes it before reading what there is misses no change.
func (c *Chat) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// Messages returns what stands in a channel, or in all of them for "", oldest
// first, with threads and deleted messages. The cards must not be changed.
func (c *Chat) Messages(channel string) []Posted {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Posted
	for _, p := range c.messages {
		if channel == "" || p.Channel == channel {
			all = append(all, *p)
		}
	}
	return all
}

// Journal returns what happened in the chat, oldest first.
func (c *Chat) Journal() []Entry { return c.log.all() }
