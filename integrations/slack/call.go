package slack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/muster-release/muster/integrations/calls"
)

const (
	// callTime is the longest that one call may take.
	callTime = 10 * time.Second
	// refusedWait is for when Slack wants fewer calls and does not say when.
	refusedWait = 10 * time.Second
	// mostAnswer is how much of an answer is read that is looked at here.
	mostAnswer = 4 << 20
)

// failure is a call that was refused, with what the caller may do about it.
type failure struct {
	text      string
	err       error
	permanent bool
	gone      bool
}

func (f *failure) Error() string   { return f.text + ": " + f.err.Error() }
func (f *failure) Unwrap() error   { return f.err }
func (f *failure) Permanent() bool { return f.permanent }
func (f *failure) Gone() bool      { return f.gone }

// later is a call that was refused for now, and certainly without effect.
type later struct {
	text string
	wait time.Duration
	err  error // nil: it is our own budget
	busy bool  // too many calls, not an outage
}

func (l *later) Error() string {
	if l.err == nil {
		return fmt.Sprintf("%s: not its turn before %v", l.text, l.wait.Round(time.Millisecond))
	}
	return l.text + ": " + l.err.Error()
}

func (l *later) Unwrap() error             { return l.err }
func (l *later) RetryAfter() time.Duration { return l.wait }

// What Slack's errors mean where they mean anything but a refusal for good. They stand with
// each method at https://docs.slack.dev/reference/methods.
var (
	// Something of the call may have been done, or a later one will get through.
	unsureErrors = []string{
		"internal_error", "fatal_error", "service_unavailable", "request_timeout", "timeout", "update_failed",
		"team_added_to_org", "org_login_required", "external_channel_migrating",
	}
	// It is the app that is refused, until somebody has given it a good token or installed it
	// again. That says nothing about the message, which is as true afterwards.
	tokenErrors = []string{
		"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive", "app_uninstalled",
		"team_access_not_granted", "ekm_access_denied",
	}
	busyErrors = []string{"ratelimited", "rate_limited", "message_limit_exceeded"}
	goneErrors = []string{"message_not_found", "thread_not_found", "cannot_reply_to_message", "view_not_found", "not_found", "no_such_subteam"}
)

// quota is where a call counts. Posts count by channel, all else for the workspace.
type quota struct {
	method  string
	channel string
	rate    rate
}

func (q quota) bucket() string { return q.method + " " + q.channel }

// method is the quota of a method of a tier.
func method(name string, tier int) quota { return quota{method: name, rate: tierRates[tier]} }

// do makes one call, if the budget admits it now. Every call of the Web API goes through here.
// What says for errors what it is about.
//
// An error has RetryAfter() if nothing was done, and it is worth while to ask again then,
// with the same want; Permanent() if Slack refused; Gone() if what the call is about is not
// there any more. After any other error the call may have been carried out.
func (w *Workspace) do(ctx context.Context, q quota, want want, what string, fn func(context.Context) error) error {
	text := "slack: " + what
	done, wait := w.budget.ask(q.bucket(), q.rate, want)
	if done == nil {
		w.counts.putOff.Add(1)
		return &later{text: text, wait: wait, busy: true}
	}
	defer done()
	w.counts.call(q.method)
	ctx, cancel := context.WithTimeoutCause(ctx, callTime, fmt.Errorf("no answer within %v", callTime))
	defer cancel()
	err := fn(ctx)
	var limited *slackgo.RateLimitedError
	var refused slackgo.SlackErrorResponse
	var status slackgo.StatusCodeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &limited):
		return w.busy(q, text, limited.RetryAfter)
	case errors.As(err, &status) && status.Code == http.StatusTooManyRequests:
		return w.busy(q, text, refusedWait)
	case errors.As(err, &refused) && slices.Contains(busyErrors, refused.Err):
		return w.busy(q, text, refusedWait)
	case errors.As(err, &refused):
		return meaning(text, refused)
	case errors.As(err, &status) && status.Code >= 400 && status.Code < 500:
		return &failure{text: text, err: fmt.Errorf("HTTP %d", status.Code), permanent: true}
	case errors.As(err, &status):
		return fmt.Errorf("%s: HTTP %d", text, status.Code)
	}
	return unanswered(ctx, text, err)
}

// busy keeps calls away for as long as Slack says.
func (w *Workspace) busy(q quota, text string, wait time.Duration) error {
	w.counts.limited.Add(1)
	wait = max(wait, time.Second)
	w.budget.block(q.bucket(), q.rate, wait)
	return &later{text: text, wait: wait + promiseMargin, err: errors.New("too many calls (429)"), busy: true}
}

// meaning is an error that Slack gave by name.
func meaning(text string, refused slackgo.SlackErrorResponse) error {
	if slices.Contains(unsureErrors, refused.Err) || slices.Contains(tokenErrors, refused.Err) {
		return fmt.Errorf("%s: %w", text, refused)
	}
	f := &failure{text: text, err: refused, permanent: true, gone: slices.Contains(goneErrors, refused.Err)}
	switch {
	case refused.Err == "missing_scope" && refused.Needed != "":
		f.err = fmt.Errorf("%w: grant %s to the app, and install it again", refused, refused.Needed)
	case len(refused.ResponseMetadata.Messages) > 0:
		f.err = fmt.Errorf("%w %q", refused, refused.ResponseMetadata.Messages)
	}
	return f
}

// unanswered is the error of a request that has no answer.
func unanswered(ctx context.Context, text string, err error) error {
	return calls.Unanswered(ctx, text, time.Second, err)
}

// patiently asks again as long as it is the number of calls that is in the way, until
// ctx ends. Nobody who is waited for may call it.
func patiently(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		var l *later
		if !errors.As(err, &l) || !l.busy {
			return err
		}
		if !sleep(ctx, l.wait) {
			return err
		}
	}
}

// wire makes slack-go's requests, and keeps for some what slack-go's types leave out of the
// answer.
type wire struct{ client *http.Client }

type rawKey struct{}

// keepRaw makes the body of the answer to a call that is made with the context end in raw.
func keepRaw(ctx context.Context, raw *[]byte) context.Context {
	return context.WithValue(ctx, rawKey{}, raw)
}

func (w wire) Do(r *http.Request) (*http.Response, error) {
	answer, err := w.client.Do(r)
	raw, _ := r.Context().Value(rawKey{}).(*[]byte)
	if err != nil || raw == nil {
		return answer, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	if err != nil {
		return nil, err
	}
	*raw, answer.Body = body, io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}
