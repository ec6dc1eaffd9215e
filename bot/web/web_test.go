package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/web"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/store"
)

// door is a handler over a bot that repeats what it is told, and who told it.
type door struct {
	http.Handler
	lines []bot.Line
	err   error // of the next answers
	ready error
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{}
	d.Handler = web.New(web.Options{
		Ready: func(context.Context) error { return d.ready },
		Execute: func(_ context.Context, l bot.Line) bot.Answer {
			d.lines = append(d.lines, l)
			return bot.Answer{Err: d.err, Card: chat.Card{
				Text: "you said: " + l.Text, Tone: chat.Good,
				Sections: []chat.Section{{Heading: "More", Items: []chat.Item{{Symbol: chat.SymbolDone, Text: "cart", Detail: "v1"}}}},
				Actions:  []chat.Action{{Label: "Why?", Command: "why"}},
			}}
		},
		Render:  func(c chat.Card) string { return "drawn: " + c.Text },
		Tokens:  func() []web.Token { return []web.Token{{"ann", "secret-a"}, {"bob", "secret-b"}, {"eve", ""}} },
		Metrics: prometheus.NewRegistry(),
	})
	return d
}

// ask sends a request with headers given as "Name: value".
func (d *door) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

const (
	commands = "/api/v1/commands"
	asAnn    = "Authorization: Bearer secret-a"
	text     = "Content-Type: text/plain"
)

func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		headers    []string
		line       bot.Line
	}{
		{"text", "status 1\n", []string{asAnn, text}, bot.Line{By: "ann", From: "ann", Via: "http", Text: "status 1"}},
		{"charset", "status", []string{asAnn, "Content-Type: text/plain; charset=utf-8"}, bot.Line{By: "ann", From: "ann", Via: "http", Text: "status"}},
		{"json", `{"line": "why 2"}`, []string{"Authorization: bearer secret-b", "Content-Type: application/json", "Idempotency-Key: k7"},
			bot.Line{By: "bob", From: "bob", Via: "http", Cause: "http/bob/k7", Text: "why 2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor(t)
			w := d.ask("POST", commands, tt.body, tt.headers...)
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("answer = %d %s", w.Code, w.Body)
			}
			if len(d.lines) != 1 || d.lines[0] != tt.line {
				t.Errorf("lines = %+v, want %+v", d.lines, tt.line)
			}
			want := fmt.Sprintf(`{"text":"you said: %s","tone":"good","sections":[{"heading":"More","items":[{"symbol":"done","text":"cart","detail":"v1"}]}],"actions":[{"label":"Why?","command":"why"}]}`, tt.line.Text)
			if got := strings.TrimSpace(w.Body.String()); got != want {
				t.Errorf("body = %s\nwant   %s", got, want)
			}
		})
	}
}

func TestPlainAnswer(t *testing.T) {
	d := newDoor(t)
	w := d.ask("POST", commands, "status", asAnn, text, "Accept: text/plain")
	if got := w.Body.String(); w.Code != http.StatusOK || got != "drawn: you said: status\n" {
		t.Errorf("answer = %d %q", w.Code, got)
	}
}

// Nobody who is not known gets as far as the bot.
func TestRefusedAtTheDoor(t *testing.T) {
	for _, tt := range []struct {
		name    string
		status  int
		method  string
		body    string
		headers []string
		says    string
	}{
		{"no token", 401, "POST", "status", []string{text}, `a token is needed`},
		{"wrong token", 401, "POST", "status", []string{text, "Authorization: Bearer secret-c"}, `nobody has this token`},
		{"part of a token", 401, "POST", "status", []string{text, "Authorization: Bearer secret-"}, `nobody has this token`},
		{"empty token", 401, "POST", "status", []string{text, "Authorization: Bearer "}, `a token is needed`},
		{"another scheme", 401, "POST", "status", []string{text, "Authorization: Basic secret-a"}, `a token is needed`},
		{"no type", 415, "POST", "status", []string{asAnn}, `-H "Content-Type: text/plain"`},
		{"a form", 415, "POST", "line=status", []string{asAnn, "Content-Type: application/x-www-form-urlencoded"}, `-H "Content-Type: text/plain"`},
		{"broken JSON", 400, "POST", `{"line": `, []string{asAnn, "Content-Type: application/json"}, `want {"line": "..."}`},
		{"unknown key", 400, "POST", `{"line": "status", "lnie": "x"}`, []string{asAnn, "Content-Type: application/json"}, `unknown key "lnie"`},
		{"another case", 400, "POST", `{"Line": "status"}`, []string{asAnn, "Content-Type: application/json"}, `unknown key "Line"`},
		{"no text", 400, "POST", `{"line": 7}`, []string{asAnn, "Content-Type: application/json"}, `"line" wants text`},
		{"no object", 400, "POST", `["status"]`, []string{asAnn, "Content-Type: application/json"}, "want a JSON object"},
		{"empty", 400, "POST", " \n", []string{asAnn, text}, `try: help`},
		{"too large", 413, "POST", strings.Repeat("x", 64<<10+1), []string{asAnn, text}, `64 KiB`},
		{"endless key", 400, "POST", "status", []string{asAnn, text, "Idempotency-Key: " + strings.Repeat("k", 201)}, `too long`},
		{"wrong method", 405, "GET", "", []string{asAnn}, `POST`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor(t)
			w := d.ask(tt.method, commands, tt.body, tt.headers...)
			var problem struct {
				Title, Detail string
				Status        int
			}
			if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil {
				t.Fatal(err)
			}
			if w.Code != tt.status || problem.Status != tt.status || problem.Title == "" || !strings.Contains(problem.Detail, tt.says) {
				t.Errorf("answer = %d %s, want %d and %s", w.Code, w.Body, tt.status, tt.says)
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("type = %q", got)
			}
			if len(d.lines) > 0 {
				t.Errorf("the bot heard %+v", d.lines)
			}
		})
	}
}

func TestRefusedByTheBot(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
	}{
		{&playbooks.Refusal{Rule: "may-release", Message: "no", Who: []string{"Bob"}, Try: []string{"help"}}, 403},
		{&playbooks.Refusal{Rule: "two-person", Message: "no"}, 409},
		{fmt.Errorf("run 7: %w", engine.ErrNoRun), 404},
		{engine.ErrStopped, 503},
		{fmt.Errorf("%w: full", engine.ErrNotSaved), 503},
		{fmt.Errorf("read log: %w", store.ErrCorrupt), 500},
		{errors.New("what?"), 422},
	} {
		d := newDoor(t)
		d.err = tt.err
		w := d.ask("POST", commands, "release", asAnn, text)
		var problem struct {
			Rule string
			Who  []string
			Card struct{ Text string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil {
			t.Fatal(err)
		}
		if w.Code != tt.status || problem.Card.Text != "you said: release" {
			t.Errorf("%v: answer = %d %s, want %d", tt.err, w.Code, w.Body, tt.status)
		}
		var refusal *playbooks.Refusal
		if errors.As(tt.err, &refusal) && (problem.Rule != refusal.Rule || len(problem.Who) != len(refusal.Who)) {
			t.Errorf("%v: problem = %+v", tt.err, problem)
		}
	}
}

func TestHealth(t *testing.T) {
	d := newDoor(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		if w := d.ask("GET", path, ""); w.Code != http.StatusOK {
			t.Errorf("%s = %d %s", path, w.Code, w.Body)
		}
	}
	d.ready = errors.New("the store cannot be written")
	if w := d.ask("GET", "/readyz", ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "the store cannot be written") {
		t.Errorf("/readyz = %d %s, want 503 and why", w.Code, w.Body)
	}
	if w := d.ask("GET", "/healthz", ""); w.Code != http.StatusOK {
		t.Errorf("/healthz = %d: who is not ready lives all the same", w.Code)
	}
	if w := d.ask("GET", "/secret", ""); w.Code != http.StatusNotFound {
		t.Errorf("/secret = %d", w.Code)
	}
}
