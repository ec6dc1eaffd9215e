package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/slack"
	"github.com/muster-release/muster/playbooks"
)

// slackPace is the least time between two updates of a message in Slack: 45 a minute are
// all that a workspace takes, and one release alone should not use them up.
const slackPace = 1500 * time.Millisecond

// slackTalk is a Slack workspace. Client makes its calls; nil: one of its own.
func slackTalk(c *configs.Slack, people func() []playbooks.Person, client *http.Client, log *slog.Logger) *talk {
	w := slack.New(slackOptions(c, people, client, log))
	t := &talk{
		system: slack.System, poster: w, people: w, channels: c.Channels, pace: slackPace,
		roster: w.Members,
	}
	t.stats = func() callStats {
		s := w.Stats()
		return callStats{s.Calls, s.PutOff, s.Limited, s.Waiting}
	}
	if c.AppToken.Reveal() != "" {
		t.listen = func(ctx context.Context, a *app) error { return w.Listen(ctx, t.hostOf(a.bot)) }
	}
	if c.SigningSecret.Reveal() != "" {
		t.doorPath = "/slack/"
		t.door = func(b *bot.Bot) http.Handler { return w.Handler(t.hostOf(b)) }
	}
	return t
}

func (t *talk) hostOf(b *bot.Bot) slack.Host {
	if t.host != nil {
		return t.host(b)
	}
	return b
}

func slackOptions(c *configs.Slack, people func() []playbooks.Person, client *http.Client, log *slog.Logger) slack.Options {
	return slack.Options{
		BotToken: c.BotToken.Reveal(), AppToken: c.AppToken.Reveal(), SigningSecret: c.SigningSecret.Reveal(),
		APIURL: c.APIURL, Connections: c.Connections, People: people, HTTP: client, Log: log,
	}
}
