package pagerduty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/muster-release/muster/integrations/calls"
)

const (
	// callTime is the longest that one call may take.
	callTime = 10 * time.Second
	// mostAnswer is how large an answer may be. A page of 100 on-calls is about 200 KiB.
	mostAnswer = 4 << 20
	// mostWords is how much of PagerDuty's own words an error has.
	mostWords = 500

	// eventsWait and restWait are for when PagerDuty wants fewer calls and does not say when. See
	// https://developer.pagerduty.com/docs/events-api-v2-rate-limits (30 seconds apart) and
	// https://developer.pagerduty.com/docs/rest-api-rate-limits (counted by the minute).
	eventsWait = 30 * time.Second
	restWait   = time.Minute
)

// failure is a call that PagerDuty did not carry out, with what the caller may do about it.
type failure struct {
	text      string
	status    int // HTTP; 0: it was not sent
	permanent bool
	gone      bool
}

func (f *failure) Error() string   { return f.text }
func (f *failure) Permanent() bool { return f.permanent }

// Gone reports that what the call is about is not there, or hidden from this token.
func (f *failure) Gone() bool { return f.gone }

// refuse is what cannot be done, without having tried.
func refuse(format string, args ...any) *failure {
	return &failure{text: fmt.Sprintf("pagerduty: "+format, args...), permanent: true}
}

// heard is what came back for a call. The SDK's own errors lack what matters: it forgets headers, the
// reasons of the Events API and what broke a connection, and has the address in its words.
type heard struct {
	status int // 0: nothing came
	header http.Header
	body   []byte
	err    error
}

type heardKey struct{}

// wire makes the SDK's requests, each once, and does not read answers further than is good.
type wire struct{ client *http.Client }

func (w wire) Do(r *http.Request) (*http.Response, error) {
	h, _ := r.Context().Value(heardKey{}).(*heard)
	if h == nil {
		h = &heard{}
	}
	answer, err := w.client.Do(r)
	if err != nil {
		h.err = err
		return nil, err
	}
	if h.body, h.err = calls.Whole(answer, mostAnswer); h.err != nil {
		return nil, h.err
	}
	h.status, h.header = answer.StatusCode, answer.Header
	return answer, nil
}

// call makes one call. Every call of the API goes through here, once: nothing is repeated. What says
// for errors what it is about: "page"; wait is for when PagerDuty does not say when to come back.
//
// An error has RetryAfter() if nothing was done because it was not the time, and Permanent() if
// PagerDuty refused; Gone() says that what it is about is not there. After any other error the call may
// have been carried out. A token that is refused is among these: the same call is good as soon as
// somebody has put in a good one.
func (p *PagerDuty) call(ctx context.Context, what string, wait time.Duration, f func(context.Context) error) error {
	text := "pagerduty: " + what
	ctx, cancel := context.WithTimeoutCause(ctx, callTime, fmt.Errorf("no answer within %v", callTime))
	defer cancel()
	h := &heard{}
	err := f(context.WithValue(ctx, heardKey{}, h))
	switch {
	case err == nil:
		return nil
	case h.err != nil:
		return unanswered(ctx, text, h.err)
	case h.status == 0:
		return &failure{text: text + ": that cannot be sent", permanent: true}
	case h.status < 300:
		return fmt.Errorf("%s: the answer is not what PagerDuty says", text)
	}
	return p.meaning(text, h, wait)
}

// meaning is an answer that is none of success. What they mean stands at
// https://developer.pagerduty.com/docs/events-api-v2-overview#response-codes--retry-logic and
// https://developer.pagerduty.com/docs/errors.
func (p *PagerDuty) meaning(text string, h *heard, wait time.Duration) error {
	words, code := wordsOf(h.body)
	permanent := h.status < 500 && h.status != http.StatusRequestTimeout
	switch h.status {
	case http.StatusTooManyRequests:
		return &calls.Later{Text: text, Wait: rest(h.header, wait), Err: errors.New("too many calls (HTTP 429)")}
	case http.StatusUnauthorized:
		words, permanent = "the token is refused", false
	}
	if h.status < 400 {
		words = "PagerDuty leads elsewhere: see that the URL is right"
	}
	if words != "" {
		text += ": " + p.hide(words)
	}
	return &failure{text: fmt.Sprintf("%s (HTTP %d)", text, h.status), status: h.status, permanent: permanent, gone: h.status == http.StatusNotFound || code == codeNoSchedule}
}

// codeNoSchedule is REST's own code for "Schedule Not Found"; see
// https://developer.pagerduty.com/docs/errors.
const codeNoSchedule = 3004

// hide takes keys out of what PagerDuty said, in case it repeats them.
func (p *PagerDuty) hide(words string) string {
	for _, secret := range []string{p.o.RoutingKey, p.o.Token} {
		if secret != "" {
			words = strings.ReplaceAll(words, secret, "***")
		}
	}
	return words
}

// rest reads when to come back. Where Retry-After is missing, ratelimit-reset has the seconds.
func rest(h http.Header, usual time.Duration) time.Duration {
	if seconds, err := strconv.ParseInt(h.Get("Ratelimit-Reset"), 10, 32); err == nil && seconds >= 0 {
		usual = calls.Bounded(time.Duration(seconds) * time.Second)
	}
	return calls.Rest(h, usual)
}

// wordsOf reads what PagerDuty says is wrong, and REST's code. The Events API has message and errors,
// REST has the same within error; errors may be a list or one text.
func wordsOf(said []byte) (words string, code int) {
	type part struct {
		Message string          `json:"message"`
		Code    int             `json:"code"`
		Errors  json.RawMessage `json:"errors"`
	}
	var e struct {
		part
		Error part `json:"error"`
	}
	if json.Unmarshal(said, &e) != nil {
		return "", 0
	}
	for _, p := range []part{e.part, e.Error} {
		all := []string{p.Message}
		var list []string
		var one string
		switch {
		case json.Unmarshal(p.Errors, &list) == nil:
			all = append(all, list...)
		case json.Unmarshal(p.Errors, &one) == nil:
			all = append(all, one)
		}
		text := strings.Join(strings.Fields(strings.Join(all, "; ")), " ")
		if text = strings.Trim(text, "; "); text != "" {
			return shorten(text, mostWords), e.Error.Code
		}
	}
	return "", e.Error.Code
}

// shorten cuts text to most characters.
func shorten(text string, most int) string {
	count := 0
	cut := 0
	for i := range text {
		if count == most-1 {
			cut = i
		}
		if count++; count > most {
			return text[:cut] + "…"
		}
	}
	return text
}

// unanswered is the error of a request that has no answer, without its URL.
func unanswered(ctx context.Context, text string, err error) error {
	var wrapped *url.Error
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.As(err, &wrapped):
		err = wrapped.Err
	}
	return fmt.Errorf("%s: %w", text, err)
}
