package slack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
)

// relist is how often the channels are read again for a name that is not among them.
const relist = 30 * time.Second

// Slack's IDs of channels begin with C, G or D.
var channelID = regexp.MustCompile(`^[CGD][A-Z0-9]{2,}$`)

// placeOf is the ID of the channel that a message is for.
func (w *Workspace) placeOf(ctx context.Context, m chat.Message) (string, error) {
	switch {
	case m.Channel != "":
		return w.channel(ctx, m.Channel)
	case m.To != "":
		return w.direct(ctx, m.To)
	}
	return "", &failure{text: fmt.Sprintf("slack: post %q", m.Key), err: errors.New("it is for no channel and for nobody"), permanent: true}
}

// channel finds the ID of a channel by its ID or, as #releases, by its name. Names are found
// among the channels that the app is in.
func (w *Workspace) channel(ctx context.Context, name string) (string, error) {
	if channelID.MatchString(name) {
		return name, nil
	}
	plain := strings.ToLower(strings.TrimPrefix(name, "#"))
	w.mu.Lock()
	id, listed := w.channels[plain], w.listed
	w.mu.Unlock()
	if id == "" && (listed.IsZero() || time.Since(listed) >= relist) {
		if err := w.listChannels(ctx); err != nil {
			return "", err
		}
		w.mu.Lock()
		id = w.channels[plain]
		w.mu.Unlock()
	}
	if id == "" {
		return "", &failure{text: fmt.Sprintf("slack: find channel %q", name), permanent: true,
			err: errors.New("the app is in no channel of that name: type /invite @muster there")}
	}
	return id, nil
}

// listing is a list of channels that is not complete yet.
type listing struct {
	found  map[string]string
	cursor string
}

// listChannels reads which channels the app is in, one caller at a time. A list that the budget
// interrupts is continued by the next.
func (w *Workspace) listChannels(ctx context.Context) error {
	_, err := alone(ctx, &w.flying, "channels", func() (struct{}, error) {
		l := w.listing
		w.listing = listing{}
		if l.found == nil {
			l.found = make(map[string]string)
		}
		for first := true; first || l.cursor != ""; first = false {
			err := w.do(ctx, method("users.conversations", 2), want{key: "list", urgency: chat.Urgent}, "list the channels that the app is in", func(ctx context.Context) error {
				all, next, err := w.api.GetConversationsForUserContext(ctx, &slackgo.GetConversationsForUserParameters{
					Types: []string{"public_channel", "private_channel"}, ExcludeArchived: true, Limit: 999, Cursor: l.cursor,
				})
				if err != nil {
					return err
				}
				for _, c := range all {
					l.found[strings.ToLower(c.Name)] = c.ID
				}
				l.cursor = next
				return nil
			})
			var busy interface{ RetryAfter() time.Duration }
			if errors.As(err, &busy) && l.cursor != "" {
				w.listing = l
			}
			if err != nil {
				return struct{}{}, err
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.channels, w.listed = l.found, time.Now()
		return struct{}{}, nil
	})
	return err
}

// displaced forgets what led to a channel, if an error says that it is not there: another one
// may have its name by now.
func (w *Workspace) displaced(id string, err error) {
	switch code(err) {
	case "channel_not_found", "not_in_channel", "is_archived":
	default:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	gone := func(_, known string) bool { return known == id }
	maps.DeleteFunc(w.channels, gone)
	maps.DeleteFunc(w.directs, gone)
}

// in reports whether a channel was among those that the app is in when they were listed.
func (w *Workspace) in(channel string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(slices.Collect(maps.Values(w.channels)), channel)
}

// direct finds the channel of the direct message with a user.
func (w *Workspace) direct(ctx context.Context, user string) (string, error) {
	w.mu.Lock()
	id := w.directs[user]
	w.mu.Unlock()
	if id != "" {
		return id, nil
	}
	err := w.do(ctx, method("conversations.open", 3), want{key: user, urgency: chat.Urgent}, fmt.Sprintf("open the direct message with %q", user), func(ctx context.Context) error {
		c, _, _, err := w.api.OpenConversationContext(ctx, &slackgo.OpenConversationParameters{Users: []string{user}})
		if err == nil && c != nil {
			id = c.ID
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if id == "" {
		return "", fmt.Errorf("slack: open the direct message with %q: Slack did not say where it is", user)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.directs[user] = id
	return id, nil
}
