// Package alertmanager is Muster's adapter for Prometheus Alertmanager: it takes the alerts that
// Alertmanager's webhook receiver delivers. It decides nothing: what comes in is authenticated,
// decoded and handed on.
//
// It calls Alertmanager for nothing, and so is no events.Origin: an alert is what Alertmanager says of
// it, and what was not taken, or still fires, Alertmanager repeats by itself.
package alertmanager

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/muster-release/muster/bot/events"
)

// System is Alertmanager's name in events and rules.
const System = "alertmanager"

// Options are what an Alertmanager needs: a Token, or a User and a Password, as the receiver's
// http_config has them. Without either everything is refused.
type Options struct {
	Token          string // of the header "Authorization: Bearer …"
	User, Password string
	Log            *slog.Logger // nil: nothing is logged
}

// Alertmanager is where alerts come from. Its methods may be called concurrently.
type Alertmanager struct {
	o      Options
	log    *slog.Logger
	logged atomic.Int64 // when a refusal was logged last, in Unix seconds
}

// New returns an Alertmanager, or says what is wrong with o.
func New(o Options) (*Alertmanager, error) {
	switch {
	case o.Token != "" && (o.User != "" || o.Password != ""):
		return nil, errors.New("alertmanager: there are a token and a user, and only one of both can be asked for")
	case (o.User == "") != (o.Password == ""):
		return nil, errors.New("alertmanager: a user and a password go together")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Alertmanager{o: o, log: o.Log}, nil
}

const (
	// mostBody is how large a delivery may be. An alert is about a kilobyte, and the receiver's max_alerts
	// keeps their number small.
	mostBody = 4 << 20
	// takeTime is the longest until what is delivered is durable.
	takeTime = 8 * time.Second
)

// Handler takes what Alertmanager delivers: POST /alertmanager/webhook. A delivery without the
// right token or password is refused with 401 before anything in it is read.
//
// It is answered with 204 when all alerts in it are durable; with 503 when they could not be written
// down, and Alertmanager sends them again, which it does after 5xx alone. What can never be taken is
// answered with 400 or 422.
func (a *Alertmanager) Handler(intake events.Intake) http.Handler {
	if a.o.Token == "" && a.o.Password == "" {
		a.log.Error("alertmanager: there is neither a token nor a password, so everything that is delivered is refused")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /alertmanager/webhook", func(w http.ResponseWriter, r *http.Request) { a.take(w, r, intake) })
	return mux
}

func (a *Alertmanager) take(w http.ResponseWriter, r *http.Request, intake events.Intake) {
	if !a.admits(r) {
		a.refused(r)
		w.Header().Set("WWW-Authenticate", `Basic realm="muster"`)
		if a.o.User == "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		http.Error(w, "not authorized", http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		a.log.Warn("a delivery of alerts was refused: it is too large; set max_alerts in the receiver's webhook_config", "most", mostBody)
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "not complete", http.StatusBadRequest)
		return
	}
	all, truncated, err := decode(body, time.Now())
	if err != nil {
		a.log.Warn("a delivery of alerts was not taken, and is not asked for again", "error", err)
		http.Error(w, "not as documented", http.StatusBadRequest)
		return
	}
	if truncated > 0 {
		a.log.Warn("Alertmanager left alerts out of a delivery, so nothing follows from these: raise max_alerts in the receiver's webhook_config", "left out", truncated, "delivered", len(all))
	}
	// Alertmanager going away does not undo what happened.
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(r.Context()), takeTime, fmt.Errorf("alertmanager: not durable within %v", takeTime))
	defer cancel()
	if len(all) > 0 {
		err = intake.Take(ctx, all...)
	}
	var permanent interface{ Permanent() bool }
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.As(err, &permanent) && permanent.Permanent():
		a.log.Error("a delivery of alerts can never be taken", "error", err)
		http.Error(w, "not taken", http.StatusUnprocessableEntity)
	default:
		a.log.Error("a delivery of alerts could not be written down; it is sent again", "error", err)
		http.Error(w, "not saved", http.StatusServiceUnavailable)
	}
}

// admits reports whether a request has the token, or the user and the password. How long it takes tells
// nothing about either.
func (a *Alertmanager) admits(r *http.Request) bool {
	if a.o.Token != "" {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		return same(strings.TrimSpace(token), a.o.Token) && strings.EqualFold(scheme, "Bearer")
	}
	user, password, given := r.BasicAuth()
	right := same(user, a.o.User)
	return same(password, a.o.Password) && right && given && a.o.Password != ""
}

func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// refused logs a refusal, not more than one a minute: anybody can cause them.
func (a *Alertmanager) refused(r *http.Request) {
	now, last := time.Now().Unix(), a.logged.Load()
	if now-last >= 60 && a.logged.CompareAndSwap(last, now) {
		a.log.Warn("a delivery of alerts was refused: its token or password is not the one of the configuration; others within a minute are not mentioned", "given", r.Header.Get("Authorization") != "")
	}
}
