package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/muster-release/muster/integrations/calls"
)

const (
	// callTime is the longest that one call may take, logging in included.
	callTime = 10 * time.Second
	// refusedWait is for when nothing was done and nobody says when to come back.
	refusedWait = 30 * time.Second
	// mostAnswer is how large an answer may be. A manifest has 4 MiB at the most
	// (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests), and a page of
	// tags has less.
	mostAnswer = 8 << 20
	// mostWords is how much of a registry's own words an error has.
	mostWords = 300
)

// failure is a call that a registry did not carry out, with what the caller may do about it.
type failure struct {
	text      string
	permanent bool
	gone      bool
}

func (f *failure) Error() string   { return f.text }
func (f *failure) Permanent() bool { return f.permanent }

// Gone reports that what the call is about is not there.
func (f *failure) Gone() bool { return f.gone }

func refuse(format string, args ...any) *failure {
	return &failure{text: fmt.Sprintf("registry: "+format, args...), permanent: true}
}

// later is a call that was refused for now, and certainly without effect.
type later struct {
	text string
	wait time.Duration
}

func (l *later) Error() string             { return l.text }
func (l *later) RetryAfter() time.Duration { return l.wait }

func isGone(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.gone
}

func isPermanent(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.permanent
}

// untouched is an error of a call before anything was changed: if it says neither that it is
// for good nor when to come back, one may come back after a while.
func untouched(err error) error {
	var l *later
	if err == nil || isPermanent(err) || errors.As(err, &l) {
		return err
	}
	return &later{text: err.Error(), wait: refusedWait}
}

// touched is an error of a call after something was changed, so that it is neither refused nor
// without effect, whatever the last call says.
func touched(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.Error())
}

// wire is what all requests go through. It knows what the library forgets in its errors.
type wire struct{ inner http.RoundTripper }

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !isLoopback(r.URL.Hostname()) {
		return nil, &failure{text: fmt.Sprintf("%s would be asked without https", r.URL.Hostname()), permanent: true}
	}
	answer, err := w.inner.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusTooManyRequests {
		answer.Body.Close()
		return nil, &later{text: "too many calls (HTTP 429)", wait: calls.Rest(answer.Header, refusedWait)}
	}
	answer.Body = calls.Limited(answer.Body, mostAnswer)
	return answer, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// call makes one call of the library about something in a repository. What says for errors what
// it is about.
//
// An error has RetryAfter() if nothing was done because it was not the time or the registry was not
// reached, and Permanent() if it refused; Gone() says that what it is about is not there. After any other
// error the call may have been carried out.
func (r *Registry) call(ctx context.Context, host name.Registry, what string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, callTime, fmt.Errorf("no answer within %v", callTime))
	defer cancel()
	err := f(ctx)
	if err == nil {
		return nil
	}
	return r.meaning(ctx, host, "registry: "+what, err)
}

func (r *Registry) meaning(ctx context.Context, host name.Registry, text string, err error) error {
	var wait *later
	var refused *failure
	var said *transport.Error
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	var wrapped *url.Error
	switch {
	case errors.As(err, &wait):
		return &later{text: text + ": " + wait.text, wait: wait.wait}
	case errors.As(err, &said):
		return r.words(host, text, said)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", text, context.Cause(ctx))
	case errors.As(err, &network) && (network.Op == "dial" || network.Op == "proxyconnect"):
		return &later{text: fmt.Sprintf("%s: cannot connect: %v", text, network.Err), wait: refusedWait}
	case errors.As(err, &certificate):
		return &later{text: fmt.Sprintf("%s: %v", text, certificate), wait: refusedWait}
	case errors.As(err, &refused):
		return &failure{text: text + ": " + refused.text, permanent: refused.permanent, gone: refused.gone}
	case errors.As(err, &wrapped):
		err = wrapped.Err // without the address
	}
	first, _, _ := strings.Cut(err.Error(), "\n") // below it may be an answer
	return fmt.Errorf("%s: %s", text, calls.Clip(r.logins.hide(first), mostWords))
}

// words is what a registry's error says. What they mean stands at
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes.
func (r *Registry) words(host name.Registry, text string, said *transport.Error) error {
	f := &failure{}
	known := r.logins[host.RegistryStr()].User != ""
	var words string
	switch said.StatusCode {
	case http.StatusUnauthorized:
		words = "it wants a login: give one under server: registries"
		if known {
			words = "the login is refused"
		}
	case http.StatusForbidden:
		words = "that is not allowed without a login: give one under server: registries"
		if known {
			words = "the login may not do that"
		}
	case http.StatusNotFound:
		words, f.gone = "there is none", true
	}
	f.permanent = said.StatusCode < 500 && said.StatusCode != http.StatusRequestTimeout
	for _, d := range said.Errors {
		if d.Code == transport.TooManyRequestsErrorCode {
			return &later{text: text + ": too many calls", wait: refusedWait}
		}
		if one := strings.Trim(string(d.Code)+": "+strings.Join(strings.Fields(d.Message), " "), ": "); one != "" {
			words = strings.TrimPrefix(words+"; "+one, "; ")
		}
	}
	if words == "" {
		words = strings.ToLower(http.StatusText(said.StatusCode))
	}
	f.text = fmt.Sprintf("%s: %s (HTTP %d)", text, calls.Clip(r.logins.hide(words), mostWords), said.StatusCode)
	return f
}
