package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

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

// replyAddress begins a Reply that is a response URL; see replyView for the other kind.
const replyAddress = "url:"

// Post implements chat.Poster.
func (w *Workspace) Post(ctx context.Context, m chat.Message) (chat.Handle, error) {
	switch {
	case strings.HasPrefix(m.Reply, replyView):
		return chat.Handle{}, w.showInView(ctx, strings.TrimPrefix(m.Reply, replyView), m.Card)
	case m.Reply != "":
		return chat.Handle{}, w.answerTo(ctx, m.Reply, m.Thread, blocks.Message(m.Card, w.user))
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
	q := quota{"chat.postMessage " + channel, postRate}
	err = w.admitted(ctx, q, want{m.Key, m.About, m.Urgency}, fmt.Sprintf("post %q in %q", m.Key, channel), func(ctx context.Context) (err error) {
		_, h.ID, err = w.api.PostMessageContext(ctx, channel, options...)
		return err
	})
	if err != nil {
		return chat.Handle{}, err
	}
	return h, nil
}

// Update implements chat.Poster.
func (w *Workspace) Update(ctx context.Context, h chat.Handle, m chat.Message) error {
	drawn := blocks.Message(m.Card, w.user)
	return w.admitted(ctx, quota{"chat.update", updateRate}, want{h.Channel + " " + h.ID, m.About, m.Urgency}, fmt.Sprintf("update message %q in %q", h.ID, h.Channel),
		func(ctx context.Context) error {
			_, _, _, err := w.api.UpdateMessageContext(ctx, h.Channel, h.ID, slackgo.MsgOptionText(drawn.Text, false), slackgo.MsgOptionBlocks(drawn.Blocks...))
			return err
		})
}

// placeOf is the ID of the channel that a message is for.
func (w *Workspace) placeOf(ctx context.Context, m chat.Message) (string, error) {
	if m.Channel == "" && m.To != "" {
		return w.direct(ctx, m.To)
	}
	return w.channel(ctx, m.Channel)
}

// How far back Find looks.
const (
	pageSize = 100
	pages    = 3
)

// Find implements chat.Poster, by the key in the metadata of our own messages. What is for one
// person alone cannot be found. In channels it takes the scope channels:history or, in
// private ones, groups:history: without it nothing is found there, so a message whose answer was
// lost is posted once more.
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
	for page, cursor := 0, ""; page < pages; page++ {
		messages, next, err := w.read(ctx, channel, m.Thread, cursor)
		switch {
		case strings.HasPrefix(slackError(err), "missing_scope"):
			w.sayBlind(err)
			return chat.Handle{}, false, nil
		case slackError(err) == "thread_not_found":
			return chat.Handle{}, false, nil
		case err != nil:
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

// read reads a page of a channel, or of a thread in it.
func (w *Workspace) read(ctx context.Context, channel, thread, cursor string) (messages []slackgo.Message, next string, err error) {
	if thread != "" {
		err = w.look(ctx, method("conversations.replies", 3), fmt.Sprintf("read thread %q in %q", thread, channel), func(ctx context.Context) (err error) {
			messages, _, next, err = w.api.GetConversationRepliesContext(ctx, &slackgo.GetConversationRepliesParameters{
				ChannelID: channel, Timestamp: thread, Cursor: cursor, Limit: pageSize, IncludeAllMetadata: true,
			})
			return err
		})
		return messages, next, err
	}
	err = w.look(ctx, method("conversations.history", 3), fmt.Sprintf("read %q", channel), func(ctx context.Context) error {
		answer, err := w.api.GetConversationHistoryContext(ctx, &slackgo.GetConversationHistoryParameters{
			ChannelID: channel, Cursor: cursor, Limit: pageSize, IncludeAllMetadata: true,
		})
		if err == nil {
			messages, next = answer.Messages, answer.ResponseMetaData.NextCursor
		}
		return err
	})
	return messages, next, err
}

func (w *Workspace) sayBlind(err error) {
	w.mu.Lock()
	said := w.blind
	w.blind = true
	w.mu.Unlock()
	if !said {
		w.log.Warn("messages in channels cannot be looked for: one whose answer was lost may be posted twice", "error", err)
	}
}

// openView opens a modal. The trigger lives for three seconds.
func (w *Workspace) openView(ctx context.Context, trigger string, v slackgo.ModalViewRequest) error {
	return w.call(ctx, method("views.open", 4), "open a modal", func(ctx context.Context) error {
		_, err := w.api.OpenViewContext(ctx, trigger, v)
		return err
	})
}

// showInView shows an answer in the modal that it is for: the ID, and after a space what
// the modal carries.
func (w *Workspace) showInView(ctx context.Context, view string, c chat.Card) error {
	id, metadata, _ := strings.Cut(view, " ")
	if err := w.held.wait(ctx, id); err != nil {
		return fmt.Errorf("slack: answer in a modal: %w", err)
	}
	return w.call(ctx, method("views.update", 4), "answer in a modal", func(ctx context.Context) error {
		_, err := w.api.UpdateViewContext(ctx, blocks.CardView(c, w.user, metadata), "", "", id)
		return err
	})
}

// replyText tells a person in words what became of what they did.
func (w *Workspace) replyText(ctx context.Context, reply, text string) error {
	if id, ok := strings.CutPrefix(reply, replyView); ok {
		return w.showInView(ctx, id, chat.Card{Text: text, Tone: chat.Bad})
	}
	return w.answerTo(ctx, reply, "", blocks.Message(chat.Card{Text: text, Tone: chat.Bad}, w.user))
}

// private is the body that a response URL takes
// (https://docs.slack.dev/interactivity/handling-user-interaction#message_responses).
type private struct {
	Type    string          `json:"response_type"`
	Replace bool            `json:"replace_original"`
	Text    string          `json:"text"`
	Blocks  []slackgo.Block `json:"blocks,omitempty"`
	Thread  string          `json:"thread_ts,omitempty"`
}

// answerTo shows a message to one person, where they typed or pressed. The URL is a secret for
// as long as it lives.
func (w *Workspace) answerTo(ctx context.Context, reply, thread string, drawn blocks.Rendered) error {
	const what = "slack: answer a person"
	address, ok := strings.CutPrefix(reply, replyAddress)
	if !ok || !w.trusted(address) {
		return &failure{text: what, err: errors.New("that is no place for an answer"), permanent: true}
	}
	body, err := json.Marshal(private{"ephemeral", false, drawn.Text, drawn.Blocks, thread})
	if err != nil {
		return &failure{text: what, err: err, permanent: true}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, callTime, fmt.Errorf("no answer within %v", callTime))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return &failure{text: what, err: errors.New("that is no place for an answer"), permanent: true}
	}
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	w.counts.calls.Add(1)
	answer, err := w.http.Do(request)
	if err != nil {
		return w.unanswered(ctx, what, err)
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	switch {
	case answer.StatusCode == http.StatusOK:
		return nil
	case answer.StatusCode == http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		w.counts.limited.Add(1)
		return &later{text: what, wait: max(time.Duration(seconds)*time.Second, time.Second), err: errors.New("Slack wants fewer calls (429)")}
	case answer.StatusCode >= 500: // without effect, as far as anybody has seen
		return &later{text: what, wait: time.Second, err: fmt.Errorf("HTTP %d", answer.StatusCode)}
	}
	return &failure{text: what, err: fmt.Errorf("HTTP %d %q", answer.StatusCode, firstWords(string(said))), permanent: true}
}

// unanswered is the error of a request without an answer, without its URL.
func (w *Workspace) unanswered(ctx context.Context, what string, err error) error {
	var dial *net.OpError
	var wrapped *url.Error
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	case errors.As(err, &dial) && dial.Op == "dial":
		return &later{text: what, wait: time.Second, err: fmt.Errorf("cannot connect: %w", dial.Err)}
	case errors.As(err, &wrapped):
		err = wrapped.Err
	}
	return fmt.Errorf("%s: %w", what, err)
}

func firstWords(s string) string {
	if len(s) > 60 {
		s = s[:60]
	}
	return strings.ToValidUTF8(s, "")
}

// trusted reports whether an address is Slack's: answers are sent nowhere else, whatever came
// in with a payload.
func (w *Workspace) trusted(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.Host == "" {
		return false
	}
	if u.Scheme == "https" && (u.Hostname() == "hooks.slack.com" || u.Hostname() == "hooks.slack-gov.com") {
		return true
	}
	api, err := url.Parse(w.o.APIURL)
	return err == nil && u.Scheme == api.Scheme && u.Host == api.Host
}
