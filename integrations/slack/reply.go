package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/slack/blocks"
)

// reply shows a message to one person, where they typed, pressed or filled in a form.
func (w *Workspace) reply(ctx context.Context, m chat.Message) error {
	if view, ok := strings.CutPrefix(m.Reply, replyView); ok {
		return w.showInView(ctx, view, m.About, m.Card)
	}
	return w.answerTo(ctx, m.Reply, m.Thread, blocks.Message(m.Card, w.user))
}

// replyText tells a person in words what became of what they did, within ctx.
func (w *Workspace) replyText(ctx context.Context, reply, text string) error {
	return patiently(ctx, func() error {
		return w.reply(ctx, chat.Message{Reply: reply, Card: chat.Card{Text: text, Tone: chat.Bad}})
	})
}

// openView opens a modal. The trigger lives for three seconds.
func (w *Workspace) openView(ctx context.Context, triggerID string, v slackgo.ModalViewRequest) error {
	return w.do(ctx, method("views.open", 4), want{key: triggerID, urgency: chat.Urgent}, "open a modal", func(ctx context.Context) error {
		_, err := w.api.OpenViewContext(ctx, triggerID, v)
		return err
	})
}

// showInView shows an answer in the modal that it is for: the ID, and after a space what
// the modal carries.
func (w *Workspace) showInView(ctx context.Context, view, about string, c chat.Card) error {
	id, metadata, _ := strings.Cut(view, " ")
	if err := w.held.wait(ctx, id); err != nil {
		return fmt.Errorf("slack: answer in a modal: %w", err)
	}
	return w.do(ctx, method("views.update", 4), want{id, about, chat.Urgent}, "answer in a modal", func(ctx context.Context) error {
		_, err := w.api.UpdateViewContext(ctx, blocks.CardView(c, w.user, metadata), "", "", id)
		return err
	})
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

// answerTo sends a message to a response URL, which takes five of them within half an hour. The
// URL is a secret for as long as it lives.
func (w *Workspace) answerTo(ctx context.Context, reply, thread string, drawn blocks.Rendered) error {
	const what = "slack: answer a person"
	address, ok := strings.CutPrefix(reply, replyHook)
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
	w.counts.call("response_url")
	answer, err := w.http.Do(request)
	if err != nil {
		return unanswered(ctx, what, err)
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // what is cut off says nothing more
	refused, why := reason(said)
	switch {
	case answer.StatusCode == http.StatusOK && !refused:
		return nil
	case answer.StatusCode == http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		w.counts.limited.Add(1)
		return &later{text: what, wait: max(time.Duration(seconds)*time.Second, time.Second), err: errors.New("too many calls (429)"), busy: true}
	case answer.StatusCode >= 500:
		// Taken to be without effect: to one person alone a second copy does little harm.
		return &later{text: what, wait: time.Second, err: fmt.Errorf("HTTP %d", answer.StatusCode)}
	}
	return &failure{text: what, err: fmt.Errorf("HTTP %d %s", answer.StatusCode, why), permanent: true}
}

// reason is Slack's word for what is wrong, as far as the body of an answer has one. Slack
// says it as JSON or bare.
func reason(body []byte) (refused bool, why string) {
	var answer struct {
		OK    *bool
		Error string
	}
	if json.Unmarshal(body, &answer) != nil {
		return false, ident(strings.TrimSpace(string(body)))
	}
	return answer.OK != nil && !*answer.OK, ident(answer.Error)
}

// trusted reports whether an address is Slack's: answers are sent nowhere else, whatever came
// in with a payload.
func (w *Workspace) trusted(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.Host == "" {
		return false
	}
	if u.Scheme == "https" && (u.Host == "hooks.slack.com" || u.Host == "hooks.slack-gov.com") {
		return true
	}
	api, err := url.Parse(w.o.APIURL)
	return err == nil && u.Scheme == api.Scheme && strings.EqualFold(u.Host, api.Host)
}
