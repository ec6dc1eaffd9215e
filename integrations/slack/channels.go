package slack

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	slackgo "github.com/slack-go/slack"
)

type moment = time.Time

// relist is how often the channels are read again for a name that is not among them.
const relist = 30 * time.Second

// Slack's IDs of channels begin with C, G or D.
var channelID = regexp.MustCompile(`^[CGD][A-Z0-9]{2,}$`)

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
	if id != "" {
		return id, nil
	}
	if listed.IsZero() || time.Since(listed) >= relist {
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

// listChannels reads which channels the app is in.
func (w *Workspace) listChannels(ctx context.Context) error {
	found := make(map[string]string)
	for cursor, more := "", true; more; {
		err := w.look(ctx, method("users.conversations", 3), "list the channels that the app is in", func(ctx context.Context) error {
			all, next, err := w.api.GetConversationsForUserContext(ctx, &slackgo.GetConversationsForUserParameters{
				Types: []string{"public_channel", "private_channel"}, ExcludeArchived: true, Limit: 200, Cursor: cursor,
			})
			for _, c := range all {
				found[strings.ToLower(c.Name)] = c.ID
			}
			cursor, more = next, next != ""
			return err
		})
		if err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.channels, w.listed = found, time.Now()
	return nil
}

// direct finds the channel of the direct message with a user.
func (w *Workspace) direct(ctx context.Context, user string) (string, error) {
	w.mu.Lock()
	id := w.directs[user]
	w.mu.Unlock()
	if id != "" {
		return id, nil
	}
	err := w.look(ctx, method("conversations.open", 3), fmt.Sprintf("open the direct message with %q", user), func(ctx context.Context) error {
		c, _, _, err := w.api.OpenConversationContext(ctx, &slackgo.OpenConversationParameters{Users: []string{user}, ReturnIM: true})
		if err == nil {
			id = c.ID
		}
		return err
	})
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.directs[user] = id
	return id, nil
}
