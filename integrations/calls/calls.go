// Package calls is what adapters do alike with calls over HTTP, whoever answers them: how long to leave a
// system alone, how far to read, what to say where no answer came, and what to remember of one. What a system's own
// answers mean is in its adapter.
//
// Errors have behaviours, which playbooks/steps describes. None of them has an address in it, nor
// anything else of a request.
package calls

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// LongestRest is the longest time that a system is believed it wants to be left alone.
const LongestRest = time.Hour

// Later is a call that was refused for now, and certainly without effect.
type Later struct {
	Text string // what the call is about
	Wait time.Duration
	Err  error // why
}

func (l *Later) Error() string { return l.Text + ": " + l.Err.Error() }
func (l *Later) Unwrap() error { return l.Err }

// RetryAfter is when to come back.
func (l *Later) RetryAfter() time.Duration { return l.Wait }

// Unanswered is the error of a request of ctx that has no answer. It is Later, with wait, where nothing can have
// arrived because there was no connection, and else has no behaviour: nobody knows what became of
// the call.
func Unanswered(ctx context.Context, text string, wait time.Duration, err error) error {
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	var wrapped *url.Error
	switch {
	case errors.As(err, &network) && (network.Op == "dial" || network.Op == "proxyconnect"):
		return &Later{Text: text, Wait: wait, Err: fmt.Errorf("cannot connect: %w", network.Err)}
	case errors.As(err, &certificate):
		return &Later{Text: text, Wait: wait, Err: certificate}
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.As(err, &wrapped):
		err = wrapped.Err
	}
	return fmt.Errorf("%s: %w", text, err)
}

// Rest reads for how long a system wants to be left alone: Retry-After in seconds or as a date, at least a second
// and not longer than LongestRest. Where it does not say so Rest is otherwise. See
// https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3.
func Rest(h http.Header, otherwise time.Duration) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil && seconds >= 0 {
		return Bounded(time.Duration(seconds) * time.Second)
	}
	if when, err := http.ParseTime(value); err == nil {
		return Bounded(time.Until(when))
	}
	return otherwise
}

// Bounded is a rest that a system asks for, within what it is believed.
func Bounded(rest time.Duration) time.Duration {
	return min(max(rest, time.Second), LongestRest)
}

// Limited is a body that ends in an error where it is longer than most bytes.
func Limited(body io.ReadCloser, most int) io.ReadCloser {
	return &limited{body, most, most}
}

type limited struct {
	io.ReadCloser
	left, most int
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p[:min(len(p), l.left+1)])
	if n > l.left {
		return 0, fmt.Errorf("it is larger than %d MiB", l.most>>20)
	}
	l.left -= n
	return n, err
}

// Whole reads an answer to its end and closes it, and puts what it has read in the body's place.
// An answer of more than most bytes is an error.
func Whole(answer *http.Response, most int) ([]byte, error) {
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, int64(most)+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > most:
		return nil, fmt.Errorf("the answer is larger than %d MiB", most>>20)
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

// Clip cuts text to most bytes, between characters, the dots that say so included.
func Clip(text string, most int) string {
	const dots = "…"
	if len(text) <= most {
		return text
	}
	cut := most - len(dots)
	for cut > 0 && text[cut]&0xC0 == 0x80 {
		cut--
	}
	return text[:cut] + dots
}

// Unquoted is an error of encoding/json without what it quotes of what was decoded.
func Unquoted(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON at byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Errorf("field %q is of another type", kind.Field)
	}
	return errors.New("not as documented")
}
