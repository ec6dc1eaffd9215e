package slack

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
)

func eventWithID(t *testing.T, id string) []byte {
	return mentionSample(t, object{"event_id": id})
}

// A payload right behind the warning is taken and acknowledged where it came from, one
// that is under way as well, and the replacement is there before the old connection goes.
func TestDisconnectLosesNothing(t *testing.T) {
	for _, reason := range []string{"warning", "refresh_requested"} {
		t.Run(reason, func(t *testing.T) {
			m := newMusterSide()
			release := make(chan struct{})
			slow := make(chan struct{})
			m.failure = func(e chat.Event) error {
				if e.ID == "event/slow" {
					close(slow)
					<-release
				}
				return nil
			}
			s := startSocket(t, m, 1)
			old := s.accept(t)
			old.envelope(t, "1", kindEvent, eventWithID(t, "slow"))
			next(t, slow, "event under way")
			old.write(t, `{"type":"disconnect","reason":"`+reason+`","debug_info":{"host":"applink-1"}}`)
			old.envelope(t, "2", kindEvent, eventWithID(t, "behind"))
			if a := next(t, old.acks, "acknowledgement"); a.ID != "2" {
				t.Errorf("acknowledged %q", a.ID)
			}
			young := s.accept(t)
			select {
			case <-old.gone:
				t.Error("the old connection went before its replacement was there")
			default:
			}
			young.envelope(t, "3", kindEvent, eventWithID(t, "new"))
			if a := next(t, young.acks, "acknowledgement"); a.ID != "3" {
				t.Errorf("acknowledged %q", a.ID)
			}
			old.envelope(t, "4", kindEvent, eventWithID(t, "last"))
			if a := next(t, old.acks, "acknowledgement"); a.ID != "4" {
				t.Errorf("acknowledged %q", a.ID)
			}
			close(release)
			if a := next(t, old.acks, "acknowledgement"); a.ID != "1" {
				t.Errorf("acknowledged %q", a.ID)
			}
			old.conn.Close()
			young.envelope(t, "5", kindEvent, eventWithID(t, "newer"))
			if a := next(t, young.acks, "acknowledgement"); a.ID != "5" {
				t.Errorf("acknowledged %q", a.ID)
			}
			none(t, young.acks, "acknowledgement on the wrong connection")
			none(t, s.conns, "third connection")
			if n := len(m.taken()); n != 5 {
				t.Errorf("took %d, want 5", n)
			}
		})
	}
}

// A connection that was replaced and that Slack does not close is left after a while.
func TestOldConnectionIsLeft(t *testing.T) {
	m := newMusterSide()
	s := startSocket(t, m, 1, func(s *socketServer) { s.listener.pace.drain = 50 * time.Millisecond })
	old := s.accept(t)
	old.write(t, `{"type":"disconnect","reason":"warning"}`)
	young := s.accept(t)
	next(t, old.gone, "end of the old connection")
	if ok, _ := young.send(t, kindEvent, eventWithID(t, "x")); !ok {
		t.Error("not acknowledged")
	}
}

// While there is no replacement the old connection is read, however long.
func TestOldConnectionIsReadUntilThereIsAnother(t *testing.T) {
	m := newMusterSide()
	var broken atomic.Bool
	failed := make(chan struct{}, 100)
	s := startSocket(t, m, 1, func(s *socketServer) {
		s.listener.pace.drain = time.Millisecond
		open := s.listener.open
		s.listener.open = func(ctx context.Context) (string, error) {
			if broken.Load() {
				failed <- struct{}{}
				return "", io.ErrUnexpectedEOF
			}
			return open(ctx)
		}
	})
	old := s.accept(t)
	broken.Store(true)
	old.write(t, `{"type":"disconnect","reason":"warning"}`)
	for range 5 {
		next(t, failed, "attempt")
	}
	if ok, _ := old.send(t, kindEvent, eventWithID(t, "x")); !ok {
		t.Error("not acknowledged")
	}
	broken.Store(false)
	s.accept(t)
	next(t, old.gone, "end of the old connection")
}

func TestReconnectAfterDrop(t *testing.T) {
	m := newMusterSide()
	s := startSocket(t, m, 1)
	for i := range 5 {
		c := s.accept(t)
		if ok, _ := c.send(t, kindEvent, eventWithID(t, fmt.Sprint(i))); !ok {
			t.Errorf("connection %d: not acknowledged", i)
		}
		c.conn.Close()
	}
	if n := len(m.taken()); n != 5 {
		t.Errorf("took %d, want 5", n)
	}
}

// A connection on which nothing comes any more is replaced.
func TestSilentConnectionIsReplaced(t *testing.T) {
	m := newMusterSide()
	s := startSocket(t, m, 1, func(s *socketServer) { s.mute, s.listener.pace.silent = true, 200*time.Millisecond })
	silent := s.accept(t)
	next(t, s.conns, "replacement")
	next(t, silent.gone, "end of the silent connection")
}

// One that answers pings is kept, even if nobody says anything.
func TestQuietConnectionIsKept(t *testing.T) {
	m := newMusterSide()
	s := startSocket(t, m, 1, func(s *socketServer) {
		s.listener.pace.silent, s.listener.pace.ping = time.Second, 50*time.Millisecond
	})
	c := s.accept(t)
	time.Sleep(2 * time.Second) // what is tested is that nothing happens in it
	none(t, s.conns, "second connection")
	if ok, _ := c.send(t, kindEvent, eventWithID(t, "x")); !ok {
		t.Error("not acknowledged")
	}
}

// A connection on which Slack does not say hello is no connection.
func TestTooManyConnections(t *testing.T) {
	m := newMusterSide()
	s := startSocket(t, m, 1)
	for range 3 {
		c := next(t, s.conns, "connection")
		c.write(t, `{"type":"disconnect","reason":"too_many_websockets"}`)
		next(t, c.gone, "end of the connection")
	}
	s.accept(t)
	if log := m.log.String(); !strings.Contains(log, "too_many_websockets") {
		t.Errorf("the reason is not in the log:\n%s", log)
	}
}

func TestGarbageFrames(t *testing.T) {
	m := newMusterSide()
	s := startSocket(t, m, 1)
	c := s.accept(t)
	c.write(t, "hush")
	c.write(t, "")
	c.write(t, `[1,2]`)
	c.write(t, `{"type":17,"envelope_id":"a","payload":"hush"}`)
	c.write(t, `{"envelope_id":"b"}`)
	c.write(t, `{"type":"something_new","envelope_id":"c","payload":{}}`)
	c.write(t, `{"type":"events_api","envelope_id":"d"}`)
	c.write(t, `{"type":"events_api","envelope_id":"e","payload":"hush"}`)
	c.write(t, `{"type":"events_api"}`)
	got := map[string]bool{}
	for range 5 {
		got[next(t, c.acks, "acknowledgement").ID] = true
	}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		if !got[id] {
			t.Errorf("%q was not acknowledged", id)
		}
	}
	if ok, _ := c.send(t, kindEvent, eventWithID(t, "x")); !ok {
		t.Error("not acknowledged after garbage")
	}
	none(t, s.conns, "second connection")
	if log := m.log.String(); strings.Contains(log, "hush") {
		t.Errorf("the log holds what was sent:\n%s", log)
	}
}

// A frame that is too large ends its connection alone.
func TestLargeFrame(t *testing.T) {
	m := newMusterSide()
	s := startSocket(t, m, 1)
	c := s.accept(t)
	_ = c.conn.WriteMessage(1, make([]byte, maxFrame+1)) // may fail as the other end closes
	if ok, _ := s.accept(t).send(t, kindEvent, eventWithID(t, "x")); !ok {
		t.Error("not acknowledged")
	}
}

func TestSlowPayloadHoldsUpNobody(t *testing.T) {
	m := newMusterSide()
	release := make(chan struct{})
	m.failure = func(e chat.Event) error {
		if e.ID == "event/slow" {
			<-release
		}
		return nil
	}
	s := startSocket(t, m, 1)
	c := s.accept(t)
	c.envelope(t, "slow", kindEvent, eventWithID(t, "slow"))
	for i := range 20 {
		if ok, _ := c.send(t, kindEvent, eventWithID(t, fmt.Sprint(i))); !ok {
			t.Fatal("not acknowledged")
		}
	}
	close(release)
	if a := next(t, c.acks, "acknowledgement"); a.ID != "slow" {
		t.Errorf("acknowledged %q", a.ID)
	}
}

// Listen ends when what it has read is done and acknowledged.
func TestListenEndsAfterItsPayloads(t *testing.T) {
	m := newMusterSide()
	arrived, release, cancelled := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	s := startSocket(t, m, 2, func(s *socketServer) {
		s.listener.door.host = heldHost{m, func(ctx context.Context) {
			close(arrived)
			<-release
			cancelled <- ctx.Err()
		}}
	})
	c := s.accept(t)
	s.accept(t)
	c.envelope(t, "1", kindCommand, slashSample(t, "status"))
	next(t, arrived, "event")
	s.stop()
	select {
	case <-s.done:
		t.Error("Listen ended with a payload under way")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if err := next(t, cancelled, "end of Receive"); err != nil {
		t.Errorf("Receive was cancelled: %v", err)
	}
	if a := next(t, c.acks, "acknowledgement"); a.ID != "1" || len(a.Payload) > 0 {
		t.Errorf("acknowledged %q with %s", a.ID, a.Payload)
	}
	next(t, s.done, "end of Listen")
	if n := len(m.taken()); n != 1 {
		t.Errorf("took %d", n)
	}
}

// Connections are opened apart from each other, and each gets its own acknowledgements.
func TestConnectionsAreOpenedApart(t *testing.T) {
	m := newMusterSide()
	const apart = 200 * time.Millisecond
	s := startSocket(t, m, 3, func(s *socketServer) { s.listener.pace.apart = apart })
	began := time.Now()
	for i := range 3 {
		c := s.accept(t)
		if up := time.Since(began); up < time.Duration(i)*apart/2 {
			t.Errorf("connection %d opened after %v", i, up)
		}
		if ok, _ := c.send(t, kindEvent, eventWithID(t, fmt.Sprint(i))); !ok {
			t.Errorf("connection %d: not acknowledged", i)
		}
	}
}

func TestBackoff(t *testing.T) {
	l := &listener{pace: slackPace}
	for attempt, least := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		for range 100 {
			if wait := l.backoff(attempt); wait < least*time.Second || wait > time.Minute || wait > 3*least*time.Second/2+time.Nanosecond {
				t.Fatalf("attempt %d: %v", attempt, wait)
			}
		}
	}
	if wait := l.backoff(1000); wait != time.Minute {
		t.Errorf("attempt 1000: %v", wait)
	}
}

// What cannot be connected to is said at once, with what to do; it is never given up, and
// the log never holds the ticket.
func TestListenIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		open func() (string, error)
		want string
	}{
		"wrong token":    {func() (string, error) { return "", slackgo.SlackErrorResponse{Err: "invalid_auth"} }, "xapp-"},
		"missing scope":  {func() (string, error) { return "", slackgo.SlackErrorResponse{Err: "missing_scope"} }, "connections:write"},
		"rate limited":   {func() (string, error) { return "", &slackgo.RateLimitedError{RetryAfter: time.Millisecond} }, "rate limit"},
		"no address":     {func() (string, error) { return "", nil }, "is none"},
		"bad address":    {func() (string, error) { return "wss://x/%zz?ticket=secret", nil }, "is none"},
		"wrong address":  {func() (string, error) { return "https://x.example/?ticket=secret", nil }, "is none"},
		"nobody there":   {func() (string, error) { return "ws://127.0.0.1:1/?ticket=secret", nil }, "127.0.0.1:1"},
		"without a host": {func() (string, error) { return "ws://?ticket=secret", nil }, "connect to"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMusterSide()
			var tries atomic.Int32
			s := startSocket(t, m, 1, func(s *socketServer) {
				open := s.listener.open
				s.listener.open = func(ctx context.Context) (string, error) {
					if tries.Add(1) <= 3 {
						return c.open()
					}
					return open(ctx)
				}
			})
			if ok, _ := s.accept(t).send(t, kindEvent, eventWithID(t, "x")); !ok {
				t.Error("not acknowledged")
			}
			log := m.log.String()
			if !strings.Contains(log, c.want) {
				t.Errorf("the log does not say %q:\n%s", c.want, log)
			}
			if strings.Contains(log, "secret") {
				t.Errorf("the log holds the ticket:\n%s", log)
			}
		})
	}
}

// Listen, from its options on: the app token opens connections, and nothing else does.
func TestListen(t *testing.T) {
	m := newMusterSide()
	s := &socketServer{conns: make(chan *socketConn, 10)}
	mux := http.NewServeMux()
	mux.HandleFunc("/link/", s.serve)
	var srv *httptest.Server
	mux.HandleFunc("POST /api/apps.connections.open", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer xapp-1" {
			io.WriteString(w, `{"ok":false,"error":"invalid_auth"}`)
			return
		}
		fmt.Fprintf(w, `{"ok":true,"url":"wss%s/link/?ticket=secret"}`, strings.TrimPrefix(srv.URL, "https"))
	})
	srv = httptest.NewTLSServer(mux)
	defer srv.Close()
	w := &Workspace{
		o:   Options{BotToken: "xoxb-1", AppToken: "xapp-1", APIURL: srv.URL + "/api/", Connections: 1, HTTP: srv.Client()},
		log: m.log.logger(),
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- w.Listen(ctx, m) }()
	if ok, _ := s.accept(t).send(t, kindEvent, eventWithID(t, "x")); !ok {
		t.Error("not acknowledged")
	}
	stop()
	if err := next(t, ended, "end of Listen"); err != nil {
		t.Errorf("Listen: %v", err)
	}
	if log := m.log.String(); strings.Contains(log, "xapp-1") || strings.Contains(log, "secret") {
		t.Errorf("the log holds secrets:\n%s", log)
	}
	if err := (&Workspace{log: m.log.logger()}).Listen(t.Context(), m); err == nil || !strings.Contains(err.Error(), "connections:write") {
		t.Errorf("without an app token: %v", err)
	}
}
