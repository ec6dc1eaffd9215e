package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	slackgo "github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/slack/blocks"
)

// metadataType is the event_type in the metadata of every message of Muster's, metadataKey
// where its key is.
const (
	metadataType = "muster_message"
	metadataKey  = "key"
)

// Post implements chat.Poster. A message for a thread whose root somebody deleted is Gone.
func (w *Workspace) Post(ctx context.Context, m chat.Message) (chat.Handle, error) {
	if m.Reply != "" {
		return chat.Handle{}, w.reply(ctx, m)
	}
	channel, err := w.placeOf(ctx, m)
	if err != nil {
		return chat.Handle{}, err
	}
	drawn := blocks.Message(m.Card, w.user)
	options := []slackgo.MsgOption{
		slackgo.MsgOptionText(drawn.Text, false), slackgo.MsgOptionBlocks(drawn.Blocks...),
		slackgo.MsgOptionMetadata(slackgo.SlackMetadata{EventType: metadataType, EventPayload: map[string]any{metadataKey: m.Key}}),
		slackgo.MsgOptionDisableLinkUnfurl(), slackgo.MsgOptionDisableMediaUnfurl(),
	}
	if m.Thread != "" {
		options = append(options, slackgo.MsgOptionTS(m.Thread))
	}
	h := chat.Handle{Channel: channel}
	what := fmt.Sprintf("post %q in %q", m.Key, channel)
	var raw []byte
	err = w.do(ctx, quota{"chat.postMessage", channel, postRate}, want{m.Key, m.About, m.Urgency}, what, func(ctx context.Context) (err error) {
		_, h.ID, err = w.api.PostMessageContext(keepRaw(ctx, &raw), channel, options...)
		if err == nil && h.ID == "" {
			err = errors.New("no message ID came back")
		}
		return err
	})
	if err != nil {
		w.displaced(channel, err)
		return chat.Handle{}, err
	}
	if m.Thread != "" && beside(raw) {
		return w.takeBack(ctx, h, m)
	}
	return h, nil
}

// beside reports whether a message that was meant for a thread was posted outside: that
// becomes of it if the root has been deleted.
func beside(raw []byte) bool {
	var answer struct {
		Message *struct {
			Thread string `json:"thread_ts"`
		}
	}
	return json.Unmarshal(raw, &answer) == nil && answer.Message != nil && answer.Message.Thread == ""
}

// takeBack deletes a message that was posted outside of its thread. If it has to stay, it counts
// as posted, so that it does not stand there twice.
func (w *Workspace) takeBack(ctx context.Context, h chat.Handle, m chat.Message) (chat.Handle, error) {
	err := w.do(ctx, method("chat.delete", 3), want{h.Channel + " " + h.ID, m.About, chat.Urgent}, fmt.Sprintf("delete message %q in %q", h.ID, h.Channel), func(ctx context.Context) error {
		_, _, err := w.api.DeleteMessageContext(ctx, h.Channel, h.ID)
		return err
	})
	var f *failure
	if err != nil && !(errors.As(err, &f) && f.gone) {
		w.log.Warn("slack: a message stands outside of its thread, whose root somebody deleted", "channel", h.Channel, "message", h.ID, "err", err)
		return h, nil
	}
	return chat.Handle{}, &failure{
		text: fmt.Sprintf("slack: post %q in %q", m.Key, h.Channel), permanent: true, gone: true,
		err: fmt.Errorf("thread %q has no root any more", m.Thread),
	}
}

// Update implements chat.Poster.
func (w *Workspace) Update(ctx context.Context, h chat.Handle, m chat.Message) error {
	drawn := blocks.Message(m.Card, w.user)
	q := quota{method: "chat.update", rate: updateRate}
	what := fmt.Sprintf("update message %q in %q", h.ID, h.Channel)
	return w.do(ctx, q, want{h.Channel + " " + h.ID, m.About, m.Urgency}, what, func(ctx context.Context) error {
		_, _, _, err := w.api.UpdateMessageContext(ctx, h.Channel, h.ID, slackgo.MsgOptionText(drawn.Text, false), slackgo.MsgOptionBlocks(drawn.Blocks...))
		return err
	})
}

// How far back Find looks. A channel is read from its newest message, a thread from its oldest.
const (
	channelPage, channelPages = 100, 2
	threadPage, threadPages   = 200, 5
)

// Find implements chat.Poster, by the key in the metadata of our own messages. What is for one
// person alone cannot be found.
//
// In channels it takes the scope channels:history or, in private ones, groups:history. Without it
// nobody can look there, and nothing is found: a message whose answer was lost is then
// posted once more. In direct messages Muster can always look.
func (w *Workspace) Find(ctx context.Context, m chat.Message) (h chat.Handle, found bool, err error) {
	if m.Reply != "" {
		return chat.Handle{}, false, nil
	}
	channel, err := w.placeOf(ctx, m)
	if err != nil {
		return chat.Handle{}, false, err
	}
	self, err := w.identity(ctx)
	if err != nil {
		return chat.Handle{}, false, err
	}
	pages := channelPages
	if m.Thread != "" {
		pages = threadPages
	}
	for cursor := ""; pages > 0; pages-- {
		messages, next, err := w.read(ctx, channel, m, cursor)
		switch {
		case err == nil:
		case code(err) == "missing_scope":
			w.sayBlind(err)
			return chat.Handle{}, false, nil
		case code(err) == "thread_not_found":
			return chat.Handle{}, false, nil
		default:
			w.displaced(channel, err)
			return chat.Handle{}, false, err
		}
		for _, seen := range messages {
			ours := seen.User == self.user || seen.BotID != "" && seen.BotID == self.bot
			if ours && seen.Metadata.EventType == metadataType && seen.Metadata.EventPayload[metadataKey] == m.Key {
				return chat.Handle{Channel: channel, ID: seen.Timestamp}, true, nil
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	return chat.Handle{}, false, nil
}

// read reads a page of a channel, or of the thread that m is for.
func (w *Workspace) read(ctx context.Context, channel string, m chat.Message, cursor string) (messages []slackgo.Message, next string, err error) {
	asks := want{channel + " " + m.Thread + " " + m.Key + " " + cursor, m.About, m.Urgency}
	if m.Thread != "" {
		err = w.do(ctx, method("conversations.replies", 3), asks, fmt.Sprintf("read thread %q in %q", m.Thread, channel), func(ctx context.Context) (err error) {
			messages, _, next, err = w.api.GetConversationRepliesContext(ctx, &slackgo.GetConversationRepliesParameters{
				ChannelID: channel, Timestamp: m.Thread, Cursor: cursor, Limit: threadPage, IncludeAllMetadata: true,
			})
			return err
		})
		return messages, next, err
	}
	err = w.do(ctx, method("conversations.history", 3), asks, fmt.Sprintf("read %q", channel), func(ctx context.Context) error {
		answer, err := w.api.GetConversationHistoryContext(ctx, &slackgo.GetConversationHistoryParameters{
			ChannelID: channel, Cursor: cursor, Limit: channelPage, IncludeAllMetadata: true,
		})
		if err == nil {
			messages, next = answer.Messages, answer.ResponseMetaData.NextCursor
		}
		return err
	})
	return messages, next, err
}

// sayBlind says once that the permission to look is missing; err says which.
func (w *Workspace) sayBlind(err error) {
	w.mu.Lock()
	said := w.blind
	w.blind = true
	w.mu.Unlock()
	if !said {
		w.log.Warn("slack: messages in channels cannot be looked for, so one whose answer was lost may be posted twice", "err", strings.TrimPrefix(err.Error(), "slack: "))
	}
}
