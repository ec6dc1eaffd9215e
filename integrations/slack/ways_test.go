package slack

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	slackgo "github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
)

const (
	testSecret = "8f742231b10e8888abcd99yyyzzz85a5"
	testWait   = 10 * time.Second
)

// musterSide is Muster behind the door: it remembers what it took, and what was
// shown and told.
type musterSide struct {
	mu      sync.Mutex
	events  []chat.Event
	took    chan chat.Event        // the same, one by one
	failure func(chat.Event) error // nil: everything is taken

	form    func(chat.Event) *chat.Form
	suggest func(from, form, input, typed string) []chat.Choice
	fill    func(from string, f chat.Filled) (string, map[string]string)

	opened  chan openedView
	openErr error
	told    chan toldWords

	held heldViews
	log  *logBook
}

type openedView struct {
	trigger string
	view    slackgo.ModalViewRequest
}

type toldWords struct{ reply, text string }

func newMusterSide() *musterSide {
	return &musterSide{
		took:   make(chan chat.Event, 100),
		opened: make(chan openedView, 10),
		told:   make(chan toldWords, 10),
		log:    &logBook{},
	}
}

func (m *musterSide) Receive(ctx context.Context, e chat.Event) error {
	if m.failure != nil {
		if err := m.failure(e); err != nil {
			return err
		}
	}
	m.mu.Lock()
	m.events = append(m.events, e)
	m.mu.Unlock()
	m.took <- e
	return nil
}

func (m *musterSide) Form(ctx context.Context, e chat.Event) *chat.Form {
	if m.form == nil {
		return nil
	}
	return m.form(e)
}

func (m *musterSide) Suggest(ctx context.Context, from, form, input, typed string) []chat.Choice {
	if m.suggest == nil {
		return nil
	}
	return m.suggest(from, form, input, typed)
}

func (m *musterSide) Fill(ctx context.Context, from string, f chat.Filled) (string, map[string]string) {
	if m.fill == nil {
		return "", map[string]string{"": "no form"}
	}
	return m.fill(from, f)
}

func (m *musterSide) door() *door {
	return &door{
		host: m,
		open: func(ctx context.Context, trigger string, v slackgo.ModalViewRequest) error {
			m.opened <- openedView{trigger, v}
			return m.openErr
		},
		reply: func(ctx context.Context, reply, text string) error {
			m.told <- toldWords{reply, text}
			return nil
		},
		held: &m.held,
		log:  m.log.logger(),
	}
}

func (m *musterSide) taken() []chat.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]chat.Event(nil), m.events...)
}

// logBook keeps a log.
type logBook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// next takes the next value of a channel, or fails.
func next[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(testWait):
		t.Fatalf("there was no %s", what)
		panic("unreachable")
	}
}

// none fails if there is a value already. It is asked when there could be one.
func none[T any](t *testing.T, c <-chan T, what string) {
	t.Helper()
	select {
	case v := <-c:
		t.Errorf("there was a %s: %+v", what, v)
	default:
	}
}

// The kinds of payload, by the names that Socket Mode has for them.
const (
	kindEvent       = "events_api"
	kindCommand     = "slash_commands"
	kindInteraction = "interactive"
)

// sender delivers a payload as Slack does, and returns how it was acknowledged.
type sender func(t *testing.T, kind string, payload []byte) (acknowledged bool, body string)

// bothWays runs a test through both ways in.
func bothWays(t *testing.T, test func(t *testing.T, m *musterSide, send sender)) {
	t.Run("http", func(t *testing.T) {
		m := newMusterSide()
		srv := httptest.NewServer(newHandler(m.door(), testSecret, m.log.logger()))
		defer srv.Close()
		test(t, m, overHTTP(srv))
	})
	t.Run("socket", func(t *testing.T) {
		m := newMusterSide()
		s := startSocket(t, m, 1)
		c := s.accept(t)
		test(t, m, c.send)
	})
}

var testPaths = map[string]string{kindEvent: "/slack/events", kindCommand: "/slack/commands", kindInteraction: "/slack/interactions"}

func overHTTP(srv *httptest.Server) sender {
	return func(t *testing.T, kind string, payload []byte) (bool, string) {
		t.Helper()
		body := string(payload)
		switch kind {
		case kindInteraction:
			body = url.Values{"payload": {body}}.Encode()
		case kindCommand:
			var fields map[string]any
			if err := json.Unmarshal(payload, &fields); err != nil {
				body = "%"
				break
			}
			form := url.Values{}
			for k, v := range fields {
				if s, ok := v.(string); ok {
					form.Set(k, s)
				}
			}
			body = form.Encode()
		}
		status, answer := post(t, srv.URL+testPaths[kind], body, nil)
		switch status {
		case http.StatusOK:
			return true, answer
		case http.StatusInternalServerError:
			return false, answer
		}
		t.Fatalf("POST %s: HTTP %d", testPaths[kind], status)
		return false, ""
	}
}

func sign(secret, ts, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, "v0:"+ts+":"+body)
	return "v0=" + hex.EncodeToString(mac.Sum(nil))
}

func post(t *testing.T, address, body string, change func(*http.Request)) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	ts := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("X-Slack-Request-Timestamp", ts)
	r.Header.Set("X-Slack-Signature", sign(testSecret, ts, body))
	if change != nil {
		change(r)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	answer, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, string(answer)
}

// socketServer is Slack's end of Socket Mode, run by hand.
type socketServer struct {
	*httptest.Server
	listener *listener
	conns    chan *socketConn
	mute     bool // answers no pings
	stop     context.CancelFunc
	done     chan struct{}
}

// socketConn is one connection, seen from Slack.
type socketConn struct {
	conn *websocket.Conn
	acks chan ack
	gone chan struct{} // closed when Muster went away
}

type ack struct {
	ID      string          `json:"envelope_id"`
	Payload json.RawMessage `json:"payload"`
}

var testPace = pace{
	least: 2 * time.Millisecond, most: 20 * time.Millisecond, steady: 100 * time.Millisecond,
	silent: 2 * time.Second, ping: 100 * time.Millisecond, drain: testWait,
}

// startSocket runs a listener against a server. It is ended with the test.
func startSocket(t *testing.T, m *musterSide, connections int, changes ...func(*socketServer)) *socketServer {
	t.Helper()
	s := &socketServer{conns: make(chan *socketConn, 100), done: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	s.listener = &listener{
		door: m.door(),
		open: func(context.Context) (string, error) {
			return "ws" + strings.TrimPrefix(s.URL, "http") + "/link?ticket=secret", nil
		},
		dialer: websocket.DefaultDialer,
		log:    m.log.logger(),
		pace:   testPace,
		slots:  make(chan struct{}, mostPayloads),
	}
	for _, change := range changes {
		change(s)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() {
		defer close(s.done)
		s.listener.listen(ctx, connections)
	}()
	t.Cleanup(func() {
		stop()
		next(t, s.done, "end of Listen")
		s.Close()
	})
	return s
}

func (s *socketServer) serve(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	c := &socketConn{conn: conn, acks: make(chan ack, 100), gone: make(chan struct{})}
	defer close(c.gone)
	if s.mute {
		conn.SetPingHandler(func(string) error { return nil })
	}
	s.conns <- c
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return
		}
		var a ack
		if json.Unmarshal(frame, &a) == nil {
			c.acks <- a
		}
	}
}

// accept waits for a connection and says hello.
func (s *socketServer) accept(t *testing.T) *socketConn {
	t.Helper()
	c := next(t, s.conns, "connection")
	c.write(t, string(samplePayload(t, "043_hello_EnvelopeTest")))
	return c
}

func (c *socketConn) write(t *testing.T, frame string) {
	t.Helper()
	if err := c.conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		t.Fatal(err)
	}
}

func (c *socketConn) envelope(t *testing.T, id, kind string, payload []byte) {
	t.Helper()
	if !json.Valid(payload) {
		payload, _ = json.Marshal(string(payload))
	}
	frame, err := json.Marshal(map[string]any{"envelope_id": id, "type": kind, "payload": json.RawMessage(payload), "accepts_response_payload": kind != kindEvent})
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, string(frame))
}

// send is a sender. That nothing is acknowledged is certain when a later one is.
func (c *socketConn) send(t *testing.T, kind string, payload []byte) (bool, string) {
	t.Helper()
	id := "e" + strconv.FormatInt(time.Now().UnixNano(), 36)
	c.envelope(t, id, kind, payload)
	select {
	case a := <-c.acks:
		if a.ID != id {
			t.Fatalf("acknowledged %q, want %q", a.ID, id)
		}
		return true, string(a.Payload)
	case <-c.gone:
		t.Fatal("the connection ended")
	case <-time.After(unacknowledged):
	}
	return false, ""
}

// unacknowledged is when what was not acknowledged is taken not to be. A test that
// expects an acknowledgement within it fails without one.
const unacknowledged = 4 * time.Second
