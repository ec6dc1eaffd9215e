package jira

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/muster-release/muster/integrations/calls"
)

const (
	// callTime is the longest that one call may take.
	callTime = 10 * time.Second
	// refusedWait is for when Jira wants fewer calls and does not say when.
	refusedWait = 10 * time.Second
	// mostAnswer is how large an answer may be. A page of 100 issues with their
	// descriptions is about 5 MiB at the most.
	mostAnswer = 16 << 20
	// mostWords is how much of Jira's own words an error has.
	mostWords = 500
)

// failure is a call that Jira refused, with what the caller may do about it.
type failure struct {
	text      string
	status    int // HTTP
	words     string
	fields    map[string]string // what is wrong with which field
	permanent bool
}

func (f *failure) Error() string {
	if f.words == "" {
		return fmt.Sprintf("%s: HTTP %d", f.text, f.status)
	}
	return fmt.Sprintf("%s: %s (HTTP %d)", f.text, f.words, f.status)
}

func (f *failure) Permanent() bool { return f.permanent }

// Gone reports that what the call is about is not there, or hidden from this account.
func (f *failure) Gone() bool { return f.status == http.StatusNotFound }

// refusal is what Muster itself cannot do, without having tried.
type refusal struct{ text string }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf("jira: "+format, args...)} }

func (r *refusal) Error() string   { return r.text }
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

// get asks for something below /rest/api. What says for errors what it is about: "read issue REL-1".
func (j *Jira) get(ctx context.Context, what, path string, query url.Values, out any) error {
	return j.call(ctx, what, http.MethodGet, path, query, nil, out)
}

func (j *Jira) post(ctx context.Context, what, path string, body, out any) error {
	return j.call(ctx, what, http.MethodPost, path, nil, body, out)
}

func (j *Jira) put(ctx context.Context, what, path string, query url.Values, body any) error {
	return j.call(ctx, what, http.MethodPut, path, query, body, nil)
}

// at joins the parts of a path.
func at(parts ...string) string {
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = url.PathEscape(p)
	}
	return strings.Join(escaped, "/")
}

// call makes one call. Every call of the API goes through here, once: nothing is repeated.
// Where out is nil the answer is not looked at.
//
// An error has RetryAfter() if nothing was done because it was not the time or Jira was not
// reached, and Permanent() if Jira refused; Gone() says that what it is about is not there.
// After any other error the call may have been carried out. A token that is refused is among
// these, for it says nothing about what was asked: the same call is good as soon as somebody
// has put in a good one.
func (j *Jira) call(ctx context.Context, what, method, path string, query url.Values, body, out any) error {
	text := "jira: " + what
	ctx, cancel := context.WithTimeoutCause(ctx, callTime, fmt.Errorf("no answer within %v", callTime))
	defer cancel()
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	request, err := j.api.NewRequestWithContext(ctx, method, j.rest()+path, body)
	if err != nil {
		return &refusal{text + ": that cannot be sent"}
	}
	request.Header.Set("Accept", "application/json")
	answer, err := j.api.Do(request, out)
	switch {
	case err == nil:
		return nil
	case answer == nil:
		return calls.Unanswered(ctx, text, refusedWait, err)
	case answer.StatusCode < 300:
		return fmt.Errorf("%s: the answer is not what Jira says", text)
	}
	said, _ := io.ReadAll(answer.Body) // the wire has limited it
	return meaning(text, answer.Response, said)
}

// meaning is an answer that is none of success. What they mean stands at
// https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/#status-codes and
// https://developer.atlassian.com/cloud/jira/platform/rate-limiting/.
func meaning(text string, answer *http.Response, said []byte) error {
	status := answer.StatusCode
	words, fields := wordsOf(said)
	f := &failure{text: text, status: status, words: words, fields: fields}
	switch {
	case status == http.StatusTooManyRequests:
		return &calls.Later{Text: text, Wait: calls.Rest(answer.Header, refusedWait), Err: errors.New("too many calls (HTTP 429)")}
	case status >= 500 || status == http.StatusRequestTimeout:
	case status == http.StatusUnauthorized:
		f.words = "the token is refused"
	case status == http.StatusForbidden && strings.Contains(answer.Header.Get("X-Authentication-Denied-Reason"), "CAPTCHA"):
		f.words = "Jira wants the account to solve a CAPTCHA first: log in with it once"
	case status < 400:
		f.permanent = true
		f.words = "Jira leads elsewhere: see that the URL is right"
		if to, err := url.Parse(answer.Header.Get("Location")); err == nil && to.Host != "" {
			f.words = "Jira leads to " + to.Host + ": see that the URL is right"
		}
	default:
		f.permanent = true
	}
	return f
}

// wordsOf reads what Jira says is wrong: errorMessages for all and errors by field, or message
// where a gate before the API answers.
func wordsOf(said []byte) (string, map[string]string) {
	var e struct {
		Messages []string          `json:"errorMessages"`
		Errors   map[string]string `json:"errors"`
		Message  string            `json:"message"`
	}
	if json.Unmarshal(said, &e) != nil {
		return "", nil
	}
	all := e.Messages
	for _, name := range slices.Sorted(maps.Keys(e.Errors)) {
		all = append(all, name+": "+e.Errors[name])
	}
	if len(all) == 0 && e.Message != "" {
		all = []string{e.Message}
	}
	return oneLine(strings.Join(all, "; "), mostWords), e.Errors
}

// wire makes go-jira's requests. It reads answers to their end, for go-jira leaves some open, and
// not further than is good.
type wire struct{ client *http.Client }

func (w wire) Do(r *http.Request) (*http.Response, error) {
	answer, err := w.client.Do(r)
	if err != nil {
		return nil, err
	}
	if _, err := calls.Whole(answer, mostAnswer); err != nil {
		return nil, err
	}
	return answer, nil
}
