package slack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	slackgo "github.com/slack-go/slack"
)

// callTime is the longest that one call may take.
const callTime = 10 * time.Second

// failure is a call that came to nothing, with what the caller may do about it.
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
}

func (l *later) Error() string {
	if l.err == nil {
		return fmt.Sprintf("%s: not its turn before %v", l.text, l.wait.Round(time.Millisecond))
	}
	return l.text + ": " + l.err.Error()
}

func (l *later) Unwrap() error             { return l.err }
func (l *later) RetryAfter() time.Duration { return l.wait }

// What Slack's errors mean (https://docs.slack.dev/reference/methods). Those of the first list say
// that something of the call may have been done.
var (
	unsureErrors = []string{"internal_error", "fatal_error", "service_unavailable", "request_timeout", "timeout", "team_added_to_org"}
	laterErrors  = []string{"ratelimited", "rate_limited", "message_limit_exceeded"}
	goneErrors   = []string{"message_not_found", "thread_not_found", "view_not_found", "not_found", "cannot_reply_to_message"}
)

// quota is where a call counts.
type quota struct {
	bucket string
	rate   rate
}

// method is the quota of a method that counts for the workspace as a whole.
func method(name string, tier int) quota { return quota{name, tierRates[tier]} }

// admitted makes one call that the budget has to admit, or says when it will. What is what the
// error is about.
func (w *Workspace) admitted(ctx context.Context, q quota, want want, what string, fn func(context.Context) error) error {
	done, wait := w.budget.ask(q.bucket, q.rate, want)
	if done == nil {
		w.counts.putOff.Add(1)
		return &later{text: "slack: " + what, wait: wait}
	}
	defer done()
	return w.call(ctx, q, what, fn)
}

// look makes one call that reads, when the budget admits it.
func (w *Workspace) look(ctx context.Context, q quota, what string, fn func(context.Context) error) error {
	key := fmt.Sprintf("look %d", w.counts.looks.Add(1))
	for {
		done, wait := w.budget.ask(q.bucket, q.rate, want{key: key})
		if done != nil {
			defer done()
			return w.call(ctx, q, what, fn)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("slack: %s: %w", what, context.Cause(ctx))
		}
	}
}

func (w *Workspace) call(ctx context.Context, q quota, what string, fn func(context.Context) error) error {
	w.counts.calls.Add(1)
	ctx, cancel := context.WithTimeoutCause(ctx, callTime, fmt.Errorf("no answer within %v", callTime))
	defer cancel()
	err := fn(ctx)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("slack: %s: %w", what, context.Cause(ctx))
	}
	return w.meaning(q, what, err)
}

// meaning says by its behaviour what an error of slack-go lets the caller do.
func (w *Workspace) meaning(q quota, what string, err error) error {
	text := "slack: " + what
	var limited *slackgo.RateLimitedError
	var refused slackgo.SlackErrorResponse
	var status slackgo.StatusCodeError
	var dial *net.OpError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &limited):
		w.counts.limited.Add(1)
		wait := max(limited.RetryAfter, time.Second)
		w.budget.block(q.bucket, q.rate, wait)
		return &later{text: text, wait: wait, err: errors.New("Slack wants fewer calls (429)")}
	case errors.As(err, &refused):
		name := refused.Err
		switch {
		case slices.Contains(laterErrors, name):
			w.budget.block(q.bucket, q.rate, time.Second)
			return &later{text: text, wait: time.Second, err: errors.New(name)}
		case slices.Contains(unsureErrors, name):
			return fmt.Errorf("%s: %s", text, name)
		case name == "missing_scope" && refused.Needed != "":
			name = fmt.Sprintf("missing_scope: grant %s to the app, and install it again", refused.Needed)
		case len(refused.ResponseMetadata.Messages) > 0:
			name = fmt.Sprintf("%s %q", name, refused.ResponseMetadata.Messages)
		}
		return &failure{text: text, err: errors.New(name), permanent: true, gone: slices.Contains(goneErrors, refused.Err)}
	case errors.As(err, &status):
		if status.Code >= 400 && status.Code < 500 {
			return &failure{text: text, err: fmt.Errorf("HTTP %d", status.Code), permanent: true}
		}
		return fmt.Errorf("%s: HTTP %d", text, status.Code)
	case errors.As(err, &dial) && dial.Op == "dial":
		return &later{text: text, wait: time.Second, err: fmt.Errorf("cannot connect: %w", dial.Err)}
	}
	return fmt.Errorf("%s: %w", text, err)
}

// slackError is the name of Slack's own error, empty for all others.
func slackError(err error) string {
	var refused slackgo.SlackErrorResponse
	var f *failure
	switch {
	case errors.As(err, &refused):
		return refused.Err
	case errors.As(err, &f):
		return f.err.Error()
	}
	return ""
}
