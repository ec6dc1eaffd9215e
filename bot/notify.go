package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
)

// Notifier announces completed releases in their environment's channels: it
// carries out the notify steps of playbooks. It is safe for concurrent use.
type Notifier struct {
	scribe   scribe
	channels func(environment string) []string
}

var _ steps.Runner = (*Notifier)(nil)

// NewNotifier returns a Notifier that posts through to and keeps in logs what it
// has posted. Channels says where an environment's releases are announced when the plan
// does not say; nil: nowhere.
func NewNotifier(to chat.Poster, logs *store.Logs, channels func(environment string) []string) *Notifier {
	if channels == nil {
		channels = func(string) []string { return nil }
	}
	return &Notifier{scribe{notes{logs}, to}, channels}
}

// places are the channels of an order, with the note about each.
func (n *Notifier) places(o steps.Order) (channels []string, key func(string) string) {
	for channel := range strings.SplitSeq(o.Params[playbooks.ParamChannels], ",") {
		if channel != "" && !slices.Contains(channels, channel) {
			channels = append(channels, channel)
		}
	}
	if len(channels) == 0 {
		channels = n.channels(o.Place.Environment)
	}
	return channels, func(channel string) string { return announcePrefix + o.Run + "/" + o.Step + "/" + channel }
}

func announcement(o steps.Order, channel string) chat.Message {
	m := chat.Message{Key: "notify/" + o.Run, Channel: channel, About: o.Run, Urgency: chat.Settled, Card: chat.Card{
		Tone: chat.Good, Text: fmt.Sprintf("Release %s is complete: everything is live and healthy in %s.", o.Run, o.Place.Environment),
	}}
	if strings.HasPrefix(o.Step, "notify-") { // of a rollback
		m.Key += "/" + o.Step
		m.Card = chat.Card{Tone: chat.Waiting, Text: fmt.Sprintf("Run %s went back: %s has again what it had before.", o.Run, o.Place.Environment)}
	}
	return m
}

// How long, and how often, an announcement is tried. Then the release, which is
// complete, is over without it; the board tells the same as soon as it can.
const (
	announceTime     = 5 * time.Minute
	announceAttempts = 6
)

func givesUp(o steps.Order) bool {
	tried := time.Since(o.StartedAt)
	return tried >= announceTime || o.Attempt >= announceAttempts && tried >= announceTime/5
}

func unannounced(channel string, err error) steps.Report {
	return steps.Report{Phase: steps.Succeeded, Message: fmt.Sprintf("not announced everywhere: %s (%v)", channel, err)}
}

// Start implements steps.Runner. A channel that has the announcement does not get
// it again. One that refuses it for good, or does not answer for long, does not
// hold the release up; the report names it.
func (n *Notifier) Start(ctx context.Context, o steps.Order) (steps.Report, error) {
	channels, key := n.places(o)
	var refusals []string
	for _, channel := range channels {
		_, err := n.scribe.show(ctx, key(channel), o.Run, "", announcement(o, channel))
		switch {
		case err == nil:
		case isPermanent(err), givesUp(o):
			refusals = append(refusals, fmt.Sprintf("%s (%v)", channel, err))
		default:
			return steps.Report{}, fmt.Errorf("announce in %q: %w", channel, err)
		}
	}
	r := steps.Report{Phase: steps.Succeeded, Message: "announced in " + strings.Join(channels, ", ")}
	switch {
	case len(channels) == 0:
		r.Message = "there is no channel to announce it in"
	case len(refusals) > 0:
		r.Message = "not announced everywhere: " + strings.Join(refusals, "; ")
	}
	return r, nil
}

// Look implements steps.Runner. What was announced in some channels only is
// absent: Start then tells the others.
func (n *Notifier) Look(ctx context.Context, o steps.Order) (steps.Report, error) {
	channels, key := n.places(o)
	for _, channel := range channels {
		var k kept
		noted, err := n.scribe.read(ctx, key(channel), &k)
		if err == nil && noted && !k.posted() {
			k, err = n.scribe.search(ctx, key(channel), o.Run, k, announcement(o, channel))
		}
		if err != nil && givesUp(o) {
			return unannounced(channel, err), nil
		}
		if err != nil {
			return steps.Report{}, fmt.Errorf("look for the announcement in %q: %w", channel, err)
		}
		if !k.posted() {
			return steps.Report{Phase: steps.Absent, Message: "not announced in " + channel}, nil
		}
	}
	return steps.Report{Phase: steps.Succeeded, Message: "announced in " + strings.Join(channels, ", ")}, nil
}

// Stop implements steps.Runner. There is nothing to stop.
func (n *Notifier) Stop(context.Context, steps.Order) error { return nil }
