package main

import (
	"context"
	"net/http"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/slack"
)

// talk is a chat that Muster is in, and how it is wired.
type talk struct {
	system   string // its name in Person.Handles and in events
	poster   chat.Poster
	people   chat.Directory // nil: Person.Handles says who is who
	channels []string       // where releases to environments without channels of their own are shown
	pace     time.Duration  // least time between two updates of a message; 0: the default
	// listen hands what people do to the bot until ctx ends. Nil: nothing has to be
	// listened to.
	listen func(ctx context.Context, a *app) error
	// door is where the chat delivers over HTTP, below doorPath; nil: it does not.
	door func(*bot.Bot) http.Handler
	// host stands between Slack and the bot. Nil: nothing does.
	host     func(*bot.Bot) slack.Host
	doorPath string
	stats    func() callStats // nil: nothing is counted
	roster   roster           // who is in the chat's user groups; nil: it has none
}

// localSystem is the embedded chat's name in Person.Handles and in events.
const localSystem = "chat"

// localTalk is the chat of the embedded world.
func localTalk(poster chat.Poster, pace time.Duration) *talk {
	return &talk{system: localSystem, poster: poster, pace: pace, listen: func(ctx context.Context, a *app) error { return a.listenLocal(ctx) }}
}

// noTalk is the chat where none is configured.
func noTalk() *talk { return &talk{system: localSystem, poster: silence{}} }

// signed posts messages under keys that no other installation has: several may talk in one channel,
// and one that begins anew, with run 1, is not to take up what another has said.
type signed struct {
	chat.Poster
	instance string
}

func (s signed) named(m chat.Message) chat.Message {
	m.Key += "@" + s.instance
	return m
}

func (s signed) Post(ctx context.Context, m chat.Message) (chat.Handle, error) {
	return s.Poster.Post(ctx, s.named(m))
}

func (s signed) Update(ctx context.Context, h chat.Handle, m chat.Message) error {
	return s.Poster.Update(ctx, h, s.named(m))
}

func (s signed) Find(ctx context.Context, m chat.Message) (chat.Handle, bool, error) {
	return s.Poster.Find(ctx, s.named(m))
}

// silent reports whether nobody hears what is said.
func (t *talk) silent() bool { _, none := t.poster.(silence); return none }
