package intake

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/store"
)

// The keys of Previews in the store.
//
//	intake/heard/<system>/<event>               asked: the line of a plan that was asked for
//	intake/preview/<system>/<channel>/<name>    asked: the one that the lasting card answers
const (
	heardPrefix   = "intake/heard/"
	previewPrefix = "intake/preview/"
)

// asked is somebody's line that asks for a plan. Fields may be added.
type asked struct {
	From    string    `json:"from"`
	Channel string    `json:"channel"`
	Thread  string    `json:"thread,omitempty"`
	Text    string    `json:"text"`
	At      time.Time `json:"at"`
}

// Previews keep the plans true that people asked for on merge requests. They stand between
// such a page and the bot that is its own: as its chat.Poster they see which line was
// answered by a card that lasts, and when the merge request gets new commits they ask the
// same line again, with the rights of whoever typed it. They belong to one system, whose places are
// called PROJECT!NUMBER. Methods may be called concurrently.
type Previews struct {
	chat.Poster
	logs    *store.Logs
	system  string
	receive func(context.Context, chat.Event) error
}

var _ chat.Poster = (*Previews)(nil)

// NewPreviews returns the Previews of a system whose pages poster posts on. Receive is that
// of the bot which has the Previews for its chat.
func NewPreviews(logs *store.Logs, system string, poster chat.Poster, receive func(context.Context, chat.Event) error) *Previews {
	return &Previews{Poster: poster, logs: logs, system: system, receive: receive}
}

func (p *Previews) heardKey(id string) string {
	return heardPrefix + url.PathEscape(p.system) + "/" + url.PathEscape(id)
}

func (p *Previews) previewsOf(channel string) string {
	return previewPrefix + url.PathEscape(p.system) + "/" + url.PathEscape(channel) + "/"
}

// Receive takes a line for the bot, and remembers it if it asks for a plan. Errors are
// the bot's, and those of the store, after which the event may be delivered again.
func (p *Previews) Receive(ctx context.Context, e chat.Event) error {
	if e.ID != "" && len(e.ID) <= maxName && len(e.Text) <= maxText && asksForPlan(e.Text) {
		a := asked{From: e.From, Channel: e.Channel, Thread: e.Thread, Text: e.Text, At: time.Now()}
		if err := p.logs.Set(ctx, store.Set{Key: p.heardKey(e.ID), Value: encode(a)}); err != nil {
			return fmt.Errorf("intake: remember a plan: %w", err)
		}
	}
	return p.receive(ctx, e)
}

// asksForPlan reports whether a line begins with the command that shows a plan.
func asksForPlan(text string) bool {
	words := strings.Fields(text)
	if len(words) > 1 && strings.EqualFold(strings.Trim(words[0], "/@:,"), "muster") {
		words = words[1:]
	}
	return len(words) > 1 && strings.EqualFold(words[0], "plan")
}

// Post implements chat.Poster.
func (p *Previews) Post(ctx context.Context, m chat.Message) (chat.Handle, error) {
	m, err := p.follow(ctx, m)
	if err != nil {
		return chat.Handle{}, err
	}
	return p.Poster.Post(ctx, m)
}

// Find implements chat.Poster.
func (p *Previews) Find(ctx context.Context, m chat.Message) (chat.Handle, bool, error) {
	m, err := p.follow(ctx, m)
	if err != nil {
		return chat.Handle{}, false, err
	}
	return p.Poster.Find(ctx, m)
}

// follow remembers the line that a lasting card answers, before it is posted. The answer to a
// line that was asked again goes where the first one is, whatever it says.
func (p *Previews) follow(ctx context.Context, m chat.Message) (chat.Message, error) {
	id, answer := strings.CutPrefix(m.Key, "answer/"+p.system+"/")
	if !answer {
		return m, nil
	}
	if rest, again := strings.CutPrefix(id, againPrefix); again {
		parts := strings.Split(rest, "/")
		if name, err := url.PathUnescape(parts[len(parts)-1]); err == nil && m.Card.Lasting == "" {
			m.Card.Lasting = name
		}
		return m, nil
	}
	if m.Card.Lasting == "" {
		return m, nil
	}
	var a asked
	data, err := p.logs.Get(ctx, p.heardKey(id))
	if err == nil && data != nil {
		err = json.Unmarshal(data, &a)
	}
	if err != nil || data == nil {
		return m, err
	}
	return m, p.logs.Set(ctx,
		store.Set{Key: p.previewsOf(a.Channel) + url.PathEscape(m.Card.Lasting), Value: data},
		store.Set{Key: p.heardKey(id)})
}

// againPrefix begins the IDs of lines that are asked again:
// preview/<channel>/<commit>/<name of the card>.
const againPrefix = "preview/"

// Changed asks the lines of a merge request again when it has other commits, and forgets
// them when it is over. It is safe to repeat: it is Options.Preview.
func (p *Previews) Changed(ctx context.Context, e events.Event) error {
	if e.Source != p.system || e.Kind != events.MergeRequest || e.Fields["number"] == "" {
		return nil
	}
	channel := e.Fields["project"] + "!" + e.Fields["number"]
	over := e.Fields["state"] == "merged" || e.Fields["state"] == "closed"
	var gone []store.Set
	for pair, err := range p.logs.Keys(ctx, p.previewsOf(channel)) {
		if err != nil {
			return err
		}
		if over {
			gone = append(gone, store.Set{Key: string(pair.Key)})
			continue
		}
		var a asked
		if err := json.Unmarshal(pair.Value, &a); err != nil {
			return fmt.Errorf("intake: key %q: %w", pair.Key, err)
		}
		if e.Fields["commit"] == "" {
			continue
		}
		name := strings.TrimPrefix(string(pair.Key), p.previewsOf(channel))
		again := chat.Event{
			ID: againPrefix + url.PathEscape(channel) + "/" + url.PathEscape(e.Fields["commit"]) + "/" + name, Time: time.Now(),
			From: a.From, Channel: a.Channel, Thread: a.Thread, Text: a.Text,
		}
		if err := p.receive(ctx, again); err != nil {
			return err
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return p.logs.Set(ctx, gone[:min(len(gone), store.MaxTxnOps)]...)
}
