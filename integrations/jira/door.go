package jira

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
)

// Receiver takes what people say in comments. When Receive returns nil the event is
// durable. An event with an ID that is known already is the same event. An error that is
// Permanent says that it can never be taken.
type Receiver interface {
	Receive(ctx context.Context, e chat.Event) error
}

const (
	// mostBody is how large a webhook may be. Jira Cloud's are up to 25 MB by its documentation, of which
	// comments and descriptions of 32 KB are the largest parts that are usual; what is beyond is found
	// by looking.
	mostBody = 4 << 20
	// takeTime is the longest until what a webhook brings is durable.
	takeTime = 8 * time.Second
)

// Handler takes what Jira delivers: POST /jira/webhook. A delivery that is not signed with
// Options.WebhookSecret is refused with 401 before anything in it is read; without a secret all are.
//
// It is answered with 204 when all of it is durable, or when it means nothing to Muster; with 503 when
// it could not be written down, and Jira Cloud sends it again. What can never be taken is answered with
// 400 or 422, which Jira does not repeat.
//
// Chat takes comments that begin with /muster; nil: nobody does.
func (j *Jira) Handler(intake events.Intake, chat Receiver) http.Handler {
	if j.o.WebhookSecret == "" {
		j.log.Error("jira: there is no webhook secret, so everything that Jira delivers is refused: enter one where the webhook is registered, and in the configuration")
	}
	mux := http.NewServeMux()
	mux.Handle("POST /jira/webhook", &door{j: j, intake: intake, chat: chat})
	return mux
}

// door is where webhooks come in.
type door struct {
	j      *Jira
	intake events.Intake
	chat   Receiver
	logged atomic.Int64 // when a refusal was logged last, in Unix seconds
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > mostBody {
		d.tooLarge(w)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		d.tooLarge(w)
		return
	case err != nil:
		http.Error(w, "not complete", http.StatusBadRequest)
		return
	case !signed(d.j.o.WebhookSecret, r.Header.Get("X-Hub-Signature"), body):
		d.refused("its signature is not the one of the webhook secret")
		http.Error(w, "not signed", http.StatusUnauthorized)
		return
	}
	// Jira going away does not undo what happened.
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(r.Context()), takeTime, fmt.Errorf("jira: not durable within %v", takeTime))
	defer cancel()
	log := d.j.log.With("delivery", ident(r.Header.Get("X-Atlassian-Webhook-Identifier")))
	all, err := d.j.decode(body, r.Header.Get("X-Atlassian-Webhook-Identifier"), time.Now())
	if err != nil {
		log.Warn("a webhook was not taken, and is not asked for again", "error", err)
		http.Error(w, "not as documented", http.StatusBadRequest)
		return
	}
	d.answer(w, log, d.take(ctx, all))
}

// take makes durable what a delivery brings. It may be repeated.
func (d *door) take(ctx context.Context, all delivery) error {
	if len(all.events) > 0 {
		if err := d.intake.Take(ctx, all.events...); err != nil {
			return err
		}
	}
	if all.command != nil && d.chat != nil {
		return d.chat.Receive(ctx, *all.command)
	}
	return nil
}

func (d *door) answer(w http.ResponseWriter, log *slog.Logger, err error) {
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case isPermanent(err):
		log.Error("a webhook can never be taken", "error", err)
		http.Error(w, "not taken", http.StatusUnprocessableEntity)
	default:
		log.Error("a webhook could not be written down; Jira Cloud sends it again", "error", err)
		http.Error(w, "not saved", http.StatusServiceUnavailable)
	}
}

func (d *door) tooLarge(w http.ResponseWriter) {
	d.refused(fmt.Sprintf("it is larger than %d MiB", mostBody>>20))
	w.Header().Set("Connection", "close")
	http.Error(w, "too large", http.StatusRequestEntityTooLarge)
}

// refused logs a refusal, not more than one a minute: anybody can cause them.
func (d *door) refused(why string) {
	now, last := time.Now().Unix(), d.logged.Load()
	if now-last >= 60 && d.logged.CompareAndSwap(last, now) {
		d.j.log.Warn("a webhook was refused; others within a minute are not mentioned", "why", why)
	}
}

// signed reports whether body was signed with secret, as
// https://developer.atlassian.com/cloud/jira/platform/webhooks/#secure-admin-webhooks says: the header
// names the method, which is HMAC with SHA-256, and then the sum in hexadecimal.
func signed(secret, header string, body []byte) bool {
	method, given, _ := strings.Cut(header, "=")
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	sum, err := hex.DecodeString(given)
	return hmac.Equal(mac.Sum(nil), sum) && err == nil && secret != "" && strings.EqualFold(method, "sha256")
}
