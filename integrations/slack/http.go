package slack

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// maxBody is how large a request may be. Slack's are a few kilobytes; a form with its state may
// have some hundred.
const maxBody = 1 << 20

// Handler takes what Slack sends over HTTP: POST /slack/events, /slack/commands and
// /slack/interactions. A request that Slack did not sign a moment ago is refused with 401
// before anything in it is read; without a signing secret all are.
//
// The answer is written before all is done: a form opens after it. The handler returns
// when all is done.
func (w *Workspace) Handler(host Host) http.Handler {
	if w.o.SigningSecret == "" {
		w.log.Error("slack: there is no signing secret, so everything that comes over HTTP is refused: copy it from the app's Basic Information page")
	}
	return newHandler(w.door(host), w.o.SigningSecret, w.log)
}

func newHandler(d *door, secret string, log *slog.Logger) http.Handler {
	g := &gate{secret: secret, log: log}
	mux := http.NewServeMux()
	mux.Handle("POST /slack/events", g.admit(d.event))
	mux.Handle("POST /slack/commands", g.admit(func(ctx context.Context, body []byte) answer {
		c, err := decodeCommandForm(body, time.Now())
		return d.command(ctx, c, err)
	}))
	mux.Handle("POST /slack/interactions", g.admit(func(ctx context.Context, body []byte) answer {
		payload, err := decodeInteractionForm(body)
		if err != nil {
			log.Warn("slack: an interaction was not taken", "err", err)
			return answer{}
		}
		return d.interaction(ctx, payload)
	}))
	return mux
}

// gate lets in what Slack signed.
type gate struct {
	secret string
	log    *slog.Logger
	logged atomic.Int64 // when a refusal was logged last, in Unix seconds
}

func (g *gate) admit(take func(ctx context.Context, body []byte) answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived := time.Now()
		if r.ContentLength > maxBody {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		case err != nil:
			http.Error(w, "not complete", http.StatusBadRequest)
			return
		}
		why, ok := signed(g.secret, r.Header.Get("X-Slack-Request-Timestamp"), r.Header.Get("X-Slack-Signature"), body, arrived)
		if !ok {
			g.refused(r, why)
			http.Error(w, "not signed by Slack", http.StatusUnauthorized)
			return
		}
		ctx, cancel := context.WithDeadlineCause(context.WithoutCancel(r.Context()), arrived.Add(patience), errLate)
		defer cancel()
		a := take(ctx, body)
		g.write(w, a)
		if a.after != nil {
			// The length is known, so that Slack has all of the answer now.
			_ = http.NewResponseController(w).Flush() // what cannot be flushed goes out in the end
			a.after()
		}
	})
}

func (g *gate) write(w http.ResponseWriter, a answer) {
	status, body := http.StatusOK, []byte(nil)
	if a.again {
		status = http.StatusInternalServerError
	} else if a.body != nil {
		var err error
		if body, err = json.Marshal(a.body); err != nil {
			g.log.Error("slack: an acknowledgement could not be written", "err", err)
			status = http.StatusInternalServerError
		}
		w.Header().Set("Content-Type", "application/json")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		g.log.Warn("slack: an acknowledgement did not reach Slack", "err", err)
	}
}

// refused logs a refusal, not more than one a minute: anybody can cause them.
func (g *gate) refused(r *http.Request, why string) {
	now, last := time.Now().Unix(), g.logged.Load()
	if now-last >= 60 && g.logged.CompareAndSwap(last, now) {
		g.log.Warn("slack: a request was refused; others within a minute are not mentioned", "path", r.URL.Path, "why", why)
	}
}
