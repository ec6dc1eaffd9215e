// Package web is Muster's HTTP door: whether the server is well, its metrics, and
// a small way in for lines of the command language.
//
//	GET  /healthz            200 while the process serves
//	GET  /readyz             200 when commands are taken, else 503 and why not
//	GET  /metrics            for Prometheus
//	POST /api/v1/commands    a line, by somebody with a token
//
// A line is sent as text/plain, or as application/json in {"line": "..."}, with
// `Authorization: Bearer TOKEN`. The answer is JSON, or plain text for whoever
// accepts only that. A client that may repeat itself sends an Idempotency-Key: the
// same person's same key is the same delivery, however often it arrives. Errors are
// problem details (RFC 9457). What chats and forges deliver goes to their adapters'
// own handlers, see Options.Doors.
package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
)

const (
	maxBody     = 64 << 10
	maxHeader   = 16 << 10
	commandTime = 30 * time.Second // longest that a line may take
	maxKey      = 200              // bytes of an Idempotency-Key
)

// Options are what the handler needs. Ready, Execute, Render, Tokens and Metrics are required.
type Options struct {
	// Ready says why commands are not taken just now; nil: they are. It may be
	// called often and concurrently.
	Ready func(context.Context) error
	// Execute carries out a line.
	Execute func(context.Context, bot.Line) bot.Answer
	// Render draws an answer as plain text.
	Render func(chat.Card) string
	// Tokens returns who may speak. Nobody else may; a reload changes what it returns.
	Tokens  func() []Token
	Metrics prometheus.Gatherer
	// Doors are handlers of others by the beginning of their paths, "/slack/" for instance.
	// They authenticate and limit what comes by themselves.
	Doors map[string]http.Handler
	Log   *slog.Logger
}

// Token lets whoever has Secret speak for a person.
type Token struct{ Person, Secret string }

type handler struct{ o Options }

// New returns the handler. It is safe for concurrent use.
func New(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &handler{o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", h.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4, Timeout: commandTime,
	}))
	mux.HandleFunc("POST /api/v1/commands", h.command)
	for path, allow := range map[string]string{
		"/healthz": "GET, HEAD", "/readyz": "GET, HEAD", "/metrics": "GET, HEAD", "/api/v1/commands": "POST",
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Allow", allow)
			problem{Status: http.StatusMethodNotAllowed, Detail: "only " + allow + " is answered here"}.write(w)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem{Status: http.StatusNotFound, Detail: "there is nothing at this address"}.write(w)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		for path, door := range o.Doors {
			if strings.HasPrefix(r.URL.Path, path) {
				door.ServeHTTP(w, r)
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r)
	})
}

// NewServer returns a server for h that slow or endless requests cannot tie up.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      commandTime + 15*time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, strings.TrimRight(text, "\n")+"\n")
}

func (h *handler) ready(w http.ResponseWriter, r *http.Request) {
	if err := h.o.Ready(r.Context()); err != nil {
		plain(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
		return
	}
	plain(w, http.StatusOK, "ready")
}

// speaker finds who a request speaks for, or says why for nobody. It takes as long
// for a wrong token as for a right one.
func (h *handler) speaker(r *http.Request) (person, refused string) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return "", "a token is needed, as `Authorization: Bearer TOKEN`, that the configuration gives to a person under server: tokens"
	}
	refused = "nobody has this token: the configuration gives tokens to people under server: tokens"
	given := sha256.Sum256([]byte(secret))
	for _, t := range h.o.Tokens() {
		want := sha256.Sum256([]byte(t.Secret))
		if subtle.ConstantTimeCompare(given[:], want[:]) == 1 && t.Secret != "" {
			person, refused = t.Person, ""
		}
	}
	return person, refused
}

func (h *handler) command(w http.ResponseWriter, r *http.Request) {
	person, unknown := h.speaker(r)
	if unknown != "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="muster"`)
		problem{Status: http.StatusUnauthorized, Detail: unknown}.write(w)
		return
	}
	line, refused := readLine(r)
	if refused != nil {
		refused.write(w)
		return
	}
	cause := r.Header.Get("Idempotency-Key")
	if len(cause) > maxKey {
		problem{Status: http.StatusBadRequest, Detail: "the Idempotency-Key is too long"}.write(w)
		return
	}
	if cause != "" {
		cause = "http/" + person + "/" + cause
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), commandTime, errors.New("it takes too long"))
	defer cancel()
	answer := h.o.Execute(ctx, bot.Line{By: person, From: person, Via: "http", Cause: cause, Text: line})
	log := h.o.Log.With("by", person, "line", line)
	if answer.Err != nil {
		log = log.With("error", answer.Err)
	}
	log.Info("command")
	h.answer(w, r, answer)
}

// readLine reads the line of the command language from a request.
func readLine(r *http.Request) (string, *problem) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "text/plain" && kind != "application/json" {
		return "", &problem{Status: http.StatusUnsupportedMediaType, Detail: `say what is sent: -H "Content-Type: text/plain" for a line, or application/json for {"line": "..."}`}
	}
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return "", &problem{Status: http.StatusRequestEntityTooLarge, Detail: "the request is larger than 64 KiB"}
	case err != nil:
		return "", &problem{Status: http.StatusBadRequest, Detail: "the request did not arrive as a whole"}
	}
	line := string(body)
	if kind == "application/json" {
		if line, err = lineOf(body); err != nil {
			return "", &problem{Status: http.StatusBadRequest, Detail: err.Error()}
		}
	}
	if line = strings.TrimSpace(line); line == "" {
		return "", &problem{Status: http.StatusBadRequest, Detail: "the line is empty; try: help"}
	}
	return line, nil
}

// lineOf reads {"line": "..."}. A key that means nothing is a mistake that would
// otherwise go unnoticed.
func lineOf(body []byte) (string, error) {
	var keys map[string]json.RawMessage
	var broken *json.SyntaxError
	err := json.Unmarshal(body, &keys)
	switch {
	case errors.As(err, &broken):
		return "", fmt.Errorf(`the JSON cannot be read, want {"line": "..."}: %w`, err)
	case err != nil:
		return "", errors.New(`want a JSON object, {"line": "..."}`)
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if key != "line" {
			return "", fmt.Errorf(`unknown key %q, want {"line": "..."}`, key)
		}
	}
	var line string
	if text, ok := keys["line"]; ok && json.Unmarshal(text, &line) != nil {
		return "", errors.New(`"line" wants text, as in {"line": "status"}`)
	}
	return line, nil
}
