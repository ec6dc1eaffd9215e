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
	return &Notifier{scribe{notebook{logs}, to}, channels}
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

// announceTime is for how long an announcement is tried. Then the release, which is
// complete, is over without it; the board tells the same as soon as it can.
const announceTime = 5 * time.Minute

func givesUp(o steps.Order) bool {
	return time.Since(o.StartedAt) >= announceTime
}

// Start implements steps.Runner. A channel that has the announcement does not get
// it again. One that refuses it for good, or does not answer for long, does not
// hold the release up; the report names it.
func (n *Notifier) Start(ctx context.Context, o steps.Order) (steps.Report, error) {
	channels, key := n.places(o)
	var refusals []string
	var soonest time.Duration
	for _, channel := range channels {
		_, err := n.scribe.show(ctx, key(channel), o.Run, "", announcement(o, channel))
		switch {
		case err == nil:
		case isPermanent(err), givesUp(o):
			refusals = append(refusals, fmt.Sprintf("%s (%v)", channel, err))
		case putOff(err) > 0:
			if wait := putOff(err); soonest == 0 || wait < soonest {
				soonest = wait
			}
		default:
			return steps.Report{}, fmt.Errorf("announce in %q: %w", channel, err)
		}
	}
	r := steps.Report{Phase: steps.Succeeded, Message: "announced in " + strings.Join(channels, ", ")}
	switch {
	case soonest > 0:
		return steps.Report{Phase: steps.Running, Message: "waits for its turn in the chat", CheckAfter: soonest}, nil
	case len(channels) == 0:
		r.Message = "there is no channel to announce it in"
	case len(refusals) > 0:
		r.Message = "not announced everywhere: " + strings.Join(refusals, "; ")
	}
	return r, nil
}

// putOff is for how long a chat wants to be left alone; 0: it is something else.
func putOff(err error) time.Duration {
	wait, later := retryAfter(err)
	if !later {
		return 0
	}
	return max(wait, time.Millisecond)
}

// Look implements steps.Runner. It announces what is still to be announced: an
// announcement is looked for before it is repeated, so that can be done at any time.
func (n *Notifier) Look(ctx context.Context, o steps.Order) (steps.Report, error) {
	return n.Start(ctx, o)
}

// Stop implements steps.Runner. There is nothing to stop.
func (n *Notifier) Stop(context.Context, steps.Order) error { return nil }
