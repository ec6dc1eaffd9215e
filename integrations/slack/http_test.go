package slack

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/bot/chat"
)

func startHTTP(t *testing.T, m *musterSide) *httptest.Server {
	srv := httptest.NewServer(newHandler(m.door(), testSecret, m.log.logger()))
	t.Cleanup(srv.Close)
	return srv
}

// The answer to what is not signed is the same whatever is wrong, and nothing is read.
func TestHandlerRefuses(t *testing.T) {
	m := newMusterSide()
	srv := startHTTP(t, m)
	event := string(mentionSample(t, nil))
	at := func(d time.Duration) func(*http.Request) {
		return func(r *http.Request) {
			ts := strconv.FormatInt(time.Now().Add(d).Unix(), 10)
			r.Header.Set("X-Slack-Request-Timestamp", ts)
			r.Header.Set("X-Slack-Signature", sign(testSecret, ts, event))
		}
	}
	answers := map[string]bool{}
	for name, change := range map[string]func(*http.Request){
		"tampered body":  func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(event+" ")), -1 },
		"replayed later": at(-6 * time.Minute),
		"from later":     at(6 * time.Minute),
		"other time":     func(r *http.Request) { r.Header.Set("X-Slack-Request-Timestamp", "1") },
		"no time":        func(r *http.Request) { r.Header.Del("X-Slack-Request-Timestamp") },
		"no signature":   func(r *http.Request) { r.Header.Del("X-Slack-Signature") },
		"other secret": func(r *http.Request) {
			r.Header.Set("X-Slack-Signature", sign("x", r.Header.Get("X-Slack-Request-Timestamp"), event))
		},
	} {
		for _, path := range testPaths {
			status, body := post(t, srv.URL+path, event, change)
			if status != http.StatusUnauthorized {
				t.Errorf("%s: POST %s: HTTP %d", name, path, status)
			}
			answers[body] = true
		}
	}
	if len(answers) != 1 {
		t.Errorf("answers differ: %v", answers)
	}
	if status, _ := post(t, srv.URL+"/slack/events", event, at(-4*time.Minute)); status != http.StatusOK {
		t.Errorf("4 minutes old: HTTP %d", status)
	}
	if n := len(m.taken()); n != 1 {
		t.Errorf("took %d events, want the one that was signed", n)
	}
	if n := strings.Count(m.log.String(), "refused"); n != 1 {
		t.Errorf("%d refusals were logged within a minute, want 1", n)
	}
}

func TestHandlerWithoutSecret(t *testing.T) {
	m := newMusterSide()
	srv := httptest.NewServer((&Workspace{log: m.log.logger()}).Handler(m))
	defer srv.Close()
	event := string(mentionSample(t, nil))
	status, _ := post(t, srv.URL+"/slack/events", event, func(r *http.Request) {
		r.Header.Set("X-Slack-Signature", sign("", r.Header.Get("X-Slack-Request-Timestamp"), event))
	})
	if status != http.StatusUnauthorized || len(m.taken()) > 0 {
		t.Errorf("HTTP %d, took %d", status, len(m.taken()))
	}
	if !strings.Contains(m.log.String(), "signing secret") {
		t.Error("nothing was said about it")
	}
}

func TestHandlerRefusesLargeBodies(t *testing.T) {
	m := newMusterSide()
	srv := startHTTP(t, m)
	large := strings.Repeat("x", maxBody+1)
	for name, change := range map[string]func(*http.Request){
		"with its length":    nil,
		"without its length": func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(large)), -1 },
		"not signed":         func(r *http.Request) { r.Header.Del("X-Slack-Signature") },
	} {
		if status, _ := post(t, srv.URL+"/slack/events", large, change); status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: HTTP %d", name, status)
		}
	}
	fits := string(mentionSample(t, nil))
	fits += strings.Repeat(" ", maxBody-len(fits))
	if status, _ := post(t, srv.URL+"/slack/events", fits, nil); status != http.StatusOK || len(m.taken()) != 1 {
		t.Errorf("what just fits: HTTP %d, took %d", status, len(m.taken()))
	}
}

func TestHandlerPaths(t *testing.T) {
	m := newMusterSide()
	srv := startHTTP(t, m)
	for path, want := range map[string]int{"/slack/events": 405, "/slack/commands": 405, "/slack/interactions": 405, "/slack/": 404, "/": 404} {
		a, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		if a.StatusCode != want {
			t.Errorf("GET %s: HTTP %d, want %d", path, a.StatusCode, want)
		}
	}
	if status, _ := post(t, srv.URL+"/slack/other", "{}", nil); status != 404 {
		t.Errorf("POST /slack/other: HTTP %d", status)
	}
}

func TestURLVerification(t *testing.T) {
	m := newMusterSide()
	srv := startHTTP(t, m)
	body := `{"token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}`
	if status, answer := post(t, srv.URL+"/slack/events", body, nil); status != 200 || !strings.Contains(answer, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P") {
		t.Errorf("HTTP %d, %s", status, answer)
	}
	status, answer := post(t, srv.URL+"/slack/events", body, func(r *http.Request) { r.Header.Del("X-Slack-Signature") })
	if status != http.StatusUnauthorized || strings.Contains(answer, "3eZbrw") {
		t.Errorf("not signed: HTTP %d, %s", status, answer)
	}
	if status, answer := post(t, srv.URL+"/slack/commands", url.Values{"ssl_check": {"1"}, "token": {"x"}}.Encode(), nil); status != 200 || answer != "" {
		t.Errorf("ssl_check: HTTP %d, %s", status, answer)
	}
}

// A request sent to the wrong address, or of another content, does nothing.
func TestHandlerWrongContent(t *testing.T) {
	m := newMusterSide()
	srv := startHTTP(t, m)
	command, err := url.ParseQuery("user_id=U1&text=status&trigger_id=1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{kindEvent, command.Encode()},
		{kindEvent, ""},
		{kindCommand, string(slashSample(t, "status"))},
		{kindCommand, "user_id=%zz"},
		{kindInteraction, string(pressSample(t, "do:1", "status", nil))},
		{kindInteraction, "payload="},
		{kindInteraction, "payload=%7B"},
	} {
		if status, _ := post(t, srv.URL+testPaths[c[0]], c[1], nil); status != http.StatusOK {
			t.Errorf("POST %s %.30q: HTTP %d", testPaths[c[0]], c[1], status)
		}
	}
	if events := m.taken(); len(events) > 0 {
		t.Errorf("took %+v", events)
	}
}

// The acknowledgement does not wait for the form to open.
func TestHandlerAcknowledgesBeforeItOpens(t *testing.T) {
	m := newMusterSide()
	m.form = formForRelease
	m.opened = make(chan openedView) // holds up who opens
	srv := startHTTP(t, m)
	if ok, body := overHTTP(srv)(t, kindCommand, slashSample(t, "release")); !ok || body != "" {
		t.Errorf("acknowledged: %v, %q", ok, body)
	}
	next(t, m.opened, "form")
}

// Somebody who hangs up does not undo what was asked for.
func TestHandlerSurvivesItsClient(t *testing.T) {
	m := newMusterSide()
	arrived, release, cancelled := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	d := m.door()
	d.host = heldHost{m, func(ctx context.Context) {
		close(arrived)
		<-release
		cancelled <- ctx.Err()
	}}
	hungUp := make(chan struct{})
	h := newHandler(d, testSecret, m.log.logger())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		context.AfterFunc(r.Context(), func() { close(hungUp) })
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()
	ctx, hangUp := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		body := string(mentionSample(t, nil))
		ts := strconv.FormatInt(time.Now().Unix(), 10)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+"/slack/events", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("X-Slack-Request-Timestamp", ts)
		r.Header.Set("X-Slack-Signature", sign(testSecret, ts, body))
		if a, err := http.DefaultClient.Do(r); err == nil {
			a.Body.Close()
			t.Error("the client got an answer before it hung up")
		}
	}()
	next(t, arrived, "event")
	hangUp()
	next(t, ended, "end of the client")
	next(t, hungUp, "end of the connection")
	close(release)
	if err := next(t, cancelled, "end of Receive"); err != nil {
		t.Errorf("Receive was cancelled: %v", err)
	}
}

// heldHost does something before it takes an event.
type heldHost struct {
	*musterSide
	before func(ctx context.Context)
}

func (h heldHost) Receive(ctx context.Context, e chat.Event) error {
	h.before(ctx)
	return h.musterSide.Receive(ctx, e)
}

func TestEventTime(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for ts, want := range map[string]time.Time{
		"1605853844.000800":   time.Unix(1605853844, 800000),
		"1605853844":          time.Unix(1605853844, 0),
		"1605853844.8":        time.Unix(1605853844, 0),
		"":                    now,
		"x.000800":            now,
		"-5":                  now,
		"9223372036854775807": now,
	} {
		if got := timeOf(ts, now); !got.Equal(want) {
			t.Errorf("timeOf(%q) = %v, want %v", ts, got, want)
		}
	}
}
