package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/store"
)

// saidPrefix is where Posts keep what was said.
//
//	bot/said/<channel>/<key>    said
const saidPrefix = "bot/said/"

// said is written before a message is posted, without a Handle, and then with it.
type said struct {
	At     time.Time   `json:"at"`
	Handle chat.Handle `json:"handle,omitzero"`
}

// Posts say things in channels that nobody there has asked for, each once. Methods may be
// called concurrently, but not with the same key and channel.
type Posts struct{ scribe }

// NewPosts returns Posts that speak through a poster and remember what they have said in logs.
func NewPosts(logs *store.Logs, poster chat.Poster) *Posts {
	return &Posts{scribe{notebook{logs}, poster}}
}

// Say posts a card at the top level of a channel, unless that was done under the same key.
// It may be repeated after any error, which is the chat's: Permanent where it refused for good,
// with RetryAfter where it is to be repeated later.
func (p *Posts) Say(ctx context.Context, key, channel string, card chat.Card) error {
	place := saidPrefix + url.PathEscape(channel) + "/" + url.PathEscape(key)
	m := chat.Message{Key: key, Channel: channel, Urgency: chat.Urgent, Card: card}
	var s said
	begun, err := p.read(ctx, place, &s)
	switch {
	case err != nil:
		return err
	case begun && s.Handle != chat.Handle{}:
		return nil
	case begun:
		call, cancel := calling(ctx)
		h, found, err := p.chat.Find(call, m)
		cancel()
		if err != nil {
			return err
		}
		if found {
			return p.write(ctx, place, said{At: s.At, Handle: h})
		}
	default:
		s.At = time.Now()
		if err := p.write(ctx, place, s); err != nil {
			return err
		}
	}
	call, cancel := calling(ctx)
	defer cancel()
	if s.Handle, err = p.chat.Post(call, m); err != nil {
		return err
	}
	return p.write(ctx, place, s)
}

// Sweep forgets what was said longer ago than age: it would be said again under the same key.
func (p *Posts) Sweep(ctx context.Context, age time.Duration) error {
	var old []string
	for pair, err := range p.logs.Keys(ctx, saidPrefix) {
		if err != nil {
			return err
		}
		var s said
		if err := json.Unmarshal(pair.Value, &s); err != nil {
			return fmt.Errorf("bot: key %q: %w", pair.Key, err)
		}
		if time.Since(s.At) > age {
			old = append(old, string(pair.Key))
		}
	}
	return p.remove(ctx, old...)
}
