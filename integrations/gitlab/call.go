package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/integrations/calls"
)

const (
	// callTime is the longest that one call may take, the wait for its turn included. GitLab
	// itself ends requests after 60 s; what takes half as long is of no use any more.
	callTime = 30 * time.Second
	// refusedWait is for when GitLab wants fewer calls, or none, and does not say when. Its limits
	// count by the minute.
	refusedWait = time.Minute
	// connectWait is for when GitLab cannot be reached.
	connectWait = 10 * time.Second
	// mostAnswer is how large an answer may be: a page of 100 commits whose messages have
	// 100 kB each, and more.
	mostAnswer = 16 << 20
	// mostWords is how many runes of GitLab's own words an error has.
	mostWords = 500
	// perPage is how many things one page has: https://docs.gitlab.com/api/rest/#pagination
	perPage = 100
)

// failure is a call that GitLab refused, with what the caller may do about it.
type failure struct {
	text      string
	status    int // HTTP
	words     string
	permanent bool
}

func (f *failure) Error() string {
	if f.words == "" {
		return fmt.Sprintf("%s: HTTP %d", f.text, f.status)
	}
	return fmt.Sprintf("%s: %s (HTTP %d)", f.text, f.words, f.status)
}

func (f *failure) Permanent() bool { return f.permanent }

// Gone reports that what the call is about is not there, or hidden from this token.
func (f *failure) Gone() bool { return f.status == http.StatusNotFound }

// refusal is what Muster itself cannot do, without having tried.
type refusal struct{ err error }

// refuse makes an error that is Permanent. The format may have %w.
func refuse(format string, args ...any) error {
	return &refusal{fmt.Errorf("gitlab: "+format, args...)}
}

func (r *refusal) Error() string   { return r.err.Error() }
func (r *refusal) Unwrap() error   { return errors.Unwrap(r.err) }
func (r *refusal) Permanent() bool { return true }

// isGone reports whether what a call was about is not there.
func isGone(err error) bool {
	var g interface{ Gone() bool }
	return errors.As(err, &g) && g.Gone()
}

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// ask makes one call. Every call of the API goes through here, once: nothing is repeated. What
// says for errors what it is about: "read tag \"v1\" of \"shop/api\"". The call takes with.
//
// An error has RetryAfter() if nothing was done because it was not the time, GitLab was not
// reached or the token was refused, which says nothing about what was asked: the same call is good
// as soon as somebody has put in a good one. It is Permanent() if GitLab refused; Gone() says that
// what it is about is not there, or hidden from the token. After any other error the call may
// have been carried out.
func ask[T any](ctx context.Context, g *GitLab, what string, call func(with ...gl.RequestOptionFunc) (T, *gl.Response, error)) (T, error) {
	answer, _, err := exchange(ctx, g, what, call)
	return answer, err
}

// exchange is ask for those who look at the answer's headers.
func exchange[T any](ctx context.Context, g *GitLab, what string, call func(with ...gl.RequestOptionFunc) (T, *gl.Response, error)) (T, *gl.Response, error) {
	text := "gitlab: " + what
	ctx, cancel := context.WithTimeoutCause(ctx, callTime, fmt.Errorf("no answer within %v", callTime))
	defer cancel()
	answer, response, err := call(gl.WithContext(ctx))
	if err == nil {
		return answer, response, nil
	}
	var none T
	return none, response, meaning(ctx, text, response, err)
}

// do is ask for calls that answer nothing.
func do(ctx context.Context, g *GitLab, what string, call func(with ...gl.RequestOptionFunc) (*gl.Response, error)) error {
	_, err := ask(ctx, g, what, func(with ...gl.RequestOptionFunc) (struct{}, *gl.Response, error) {
		response, err := call(with...)
		return struct{}{}, response, err
	})
	return err
}

// pages reads a list page by page until there are most of it, and reports whether GitLab has
// more. With an error it returns what it has.
func pages[T any](ctx context.Context, g *GitLab, most int, what string, call func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]T, *gl.Response, error)) (all []T, more bool, err error) {
	page := gl.ListOptions{Page: 1, PerPage: int64(min(most, perPage))}
	for {
		found, response, err := exchange(ctx, g, what, func(with ...gl.RequestOptionFunc) ([]T, *gl.Response, error) {
			return call(page, with...)
		})
		if err != nil {
			return all, true, err
		}
		all = append(all, found...)
		switch {
		case len(all) > most:
			return all[:most], true, nil
		case response.NextPage <= page.Page: // there is none, or GitLab is confused
			return all, false, nil
		case len(all) == most:
			return all, true, nil
		}
		page.Page = response.NextPage
	}
}

// meaning is the error of a call. What HTTP's codes mean to GitLab stands at
// https://docs.gitlab.com/api/rest/troubleshooting/#status-codes.
func meaning(ctx context.Context, text string, response *gl.Response, err error) error {
	var turn *calls.Later
	var refused *gl.ErrorResponse
	switch {
	case errors.As(err, &turn):
		return &calls.Later{Text: text, Wait: turn.Wait, Err: turn.Err}
	case errors.Is(err, gl.ErrNotFound):
		return &failure{text: text, status: http.StatusNotFound, words: "not there, or not to be seen with this token", permanent: true}
	case errors.As(err, &refused):
	case response != nil && response.StatusCode < 300:
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("%s: the answer cannot be read: %w", text, err)
	default:
		return calls.Unanswered(ctx, text, connectWait, err)
	}
	f := &failure{text: text, status: refused.StatusCode, words: wordsOf(refused)}
	switch status := refused.StatusCode; {
	case status == http.StatusTooManyRequests:
		wait := refusedWait
		if response != nil {
			wait = restOf(response.Header, refusedWait)
		}
		return &calls.Later{Text: text, Wait: wait, Err: errors.New("too many calls (HTTP 429)")}
	case status == http.StatusUnauthorized:
		return &calls.Later{Text: text, Wait: refusedWait, Err: errors.New("the token is refused (HTTP 401)")}
	case status >= 500 || status == http.StatusRequestTimeout:
	case status < 400:
		f.permanent = true
		f.words = "GitLab leads elsewhere: see that the URL is right, and whether the project has moved"
	default:
		f.permanent = true
	}
	return f
}

// wordsOf is what GitLab says is wrong, in a line.
func wordsOf(refused *gl.ErrorResponse) string {
	words := refused.Message
	if strings.HasPrefix(words, "failed to parse unknown error format") {
		return "" // a page for people
	}
	return clip(strings.Join(strings.Fields(words), " "), mostWords)
}

// noLimiter is in the place of client-go's own limiter, which would keep callers waiting for as
// long as it takes: see limits.
type noLimiter struct{}

func (noLimiter) Wait(context.Context) error { return nil }

// redirect follows where GitLab leads: to a project's new address, or to the object storage that has
// a file. Only questions are asked again there, and the token goes nowhere but to GitLab.
func redirect(r *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method != http.MethodGet && first.Method != http.MethodHead || len(via) > 3 {
		return http.ErrUseLastResponse
	}
	if r.URL.Scheme != first.URL.Scheme && r.URL.Scheme != "https" {
		return http.ErrUseLastResponse
	}
	if r.URL.Host != first.URL.Host || r.URL.Scheme != first.URL.Scheme {
		for _, name := range []string{"Private-Token", "Authorization", "Job-Token", "Sudo"} {
			r.Header.Del(name)
		}
	}
	return nil
}

type anySizeKey struct{}

// anySize makes a context for calls whose answer may have any size, because the caller keeps
// only part of it.
func anySize(ctx context.Context) context.Context { return context.WithValue(ctx, anySizeKey{}, true) }

// wire carries client-go's requests out when it is their turn, and reads answers not further
// than is good.
type wire struct {
	transport http.RoundTripper
	limits    *limits
}

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := w.limits.take(r); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	answer, err := w.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	w.limits.learn(r, answer)
	if r.Context().Value(anySizeKey{}) == nil {
		answer.Body = calls.Limited(answer.Body, mostAnswer)
	}
	return answer, nil
}
