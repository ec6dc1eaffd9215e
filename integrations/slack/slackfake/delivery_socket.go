package slackfake

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// maxConnections is how many Socket Mode connections an app may have
// (docs.slack.dev/apis/events-api/using-socket-mode).
const maxConnections = 10

// SocketFault is what goes wrong with a payload on its way through Socket Mode.
type SocketFault struct {
	Delay      time.Duration
	DropBefore bool // the connection is cut instead of sending the payload
	DropAfter  bool // the connection is cut once the payload was sent
}

// SetSocketFault lets f decide from now on what goes wrong with each payload; nil: nothing does.
func (w *Workspace) SetSocketFault(f func(Delivery) SocketFault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sockets.fault = f
}

// Connections returns how many Socket Mode connections are open.
func (w *Workspace) Connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sockets.open)
}

// DropConnections cuts up to n Socket Mode connections without a word, the oldest first.
func (w *Workspace) DropConnections(n int) {
	w.dropSockets(func(*socket) bool { n--; return n >= 0 })
}

// Refresh tells all Socket Mode connections that they will be closed, and closes them after
// a while, asking for new ones.
func (w *Workspace) Refresh(after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sockets.open {
		w.spawn(func() { w.refresh(s, after) })
	}
}

type sockets struct {
	tickets map[string]bool
	open    []*socket
	opened  int
	turn    int
	waiting map[string]*pending // by envelope ID
	fault   func(Delivery) SocketFault
}

func newSockets() sockets {
	return sockets{tickets: map[string]bool{}, waiting: map[string]*pending{}}
}

type socket struct {
	n       int
	conn    *websocket.Conn
	writing sync.Mutex
	gone    chan struct{}
	once    sync.Once
	warned  bool // with the workspace's lock
}

func (s *socket) close() {
	s.once.Do(func() {
		close(s.gone)
		s.conn.Close()
	})
}

func (s *socket) write(v any) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	return s.conn.WriteJSON(v)
}

// pending is a payload that was sent and is not acknowledged.
type pending struct {
	delivery *Delivery
	socket   *socket
	late     bool
	done     chan struct{}
}

func (w *Workspace) connectionsOpen(args) (Object, *problem) {
	ticket := secret(16)
	w.sockets.tickets[ticket] = true
	return Object{"url": "ws" + strings.TrimPrefix(w.base, "http") + "/link/?ticket=" + ticket + "&app_id=" + AppID}, nil
}

func (w *Workspace) serveSocket(rw http.ResponseWriter, r *http.Request) {
	ticket := r.URL.Query().Get("ticket")
	w.mu.Lock()
	valid := w.sockets.tickets[ticket]
	delete(w.sockets.tickets, ticket)
	w.mu.Unlock()
	if !valid {
		http.Error(rw, "invalid ticket", http.StatusUnauthorized)
		return
	}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := up.Upgrade(rw, r, nil)
	if err != nil {
		return
	}
	s := &socket{conn: conn, gone: make(chan struct{})}
	defer s.close()
	w.mu.Lock()
	full := len(w.sockets.open) >= maxConnections
	w.sockets.opened++
	s.n = w.sockets.opened
	closed := w.closed
	count := len(w.sockets.open) + 1
	w.mu.Unlock()
	if closed {
		return
	}
	if full {
		_ = s.write(Object{"type": "disconnect", "reason": "too_many_websockets", "debug_info": Object{"host": "applink-fake"}})
		return
	}
	if s.write(Object{
		"type": "hello", "num_connections": count, "connection_info": Object{"app_id": AppID},
		"debug_info": Object{"host": "applink-fake", "build_number": 1, "approximate_connection_time": int(max(w.opts.ConnectionLife, 0) / time.Second)},
	}) != nil {
		return
	}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.sockets.open = append(w.sockets.open, s)
	w.touch()
	w.spawn(func() { w.keep(s) })
	w.mu.Unlock()
	for {
		_, raw, err := conn.ReadMessage()
		if err != nil {
			break
		}
		w.acknowledge(s, raw)
	}
	s.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sockets.open = slices.DeleteFunc(w.sockets.open, func(other *socket) bool { return other == s })
	for id, p := range w.sockets.waiting {
		if p.socket == s && p.late {
			delete(w.sockets.waiting, id)
		}
	}
	w.touch()
}

// keep pings a connection, and refreshes it when its time has come.
func (w *Workspace) keep(s *socket) {
	ping := time.NewTicker(w.opts.PingInterval)
	defer ping.Stop()
	var end <-chan time.Time
	if life := w.opts.ConnectionLife; life > 0 {
		t := time.NewTimer(max(0, life-w.opts.WarnBefore))
		defer t.Stop()
		end = t.C
	}
	for {
		select {
		case <-s.gone:
			return
		case <-ping.C:
			if s.conn.WriteControl(websocket.PingMessage, []byte("ping"), time.Now().Add(5*time.Second)) != nil {
				s.close()
				return
			}
		case <-end:
			end = nil
			w.mu.Lock()
			w.spawn(func() { w.refresh(s, w.opts.WarnBefore) })
			w.mu.Unlock()
		}
	}
}

func (w *Workspace) refresh(s *socket, after time.Duration) {
	say := func(reason string) {
		_ = s.write(Object{"type": "disconnect", "reason": reason, "debug_info": Object{"host": "applink-fake"}})
	}
	w.mu.Lock()
	s.warned = true
	w.mu.Unlock()
	say("warning")
	t := time.NewTimer(after)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.gone:
		return
	}
	// Nothing new goes to a connection that is about to end; what went there may still be
	// acknowledged for a moment.
	w.forget(s)
	say("refresh_requested")
	t.Reset(100 * time.Millisecond)
	select {
	case <-t.C:
	case <-s.gone:
	}
	s.close()
}

func (w *Workspace) forget(s *socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sockets.open = slices.DeleteFunc(w.sockets.open, func(other *socket) bool { return other == s })
	w.touch()
}

func (w *Workspace) dropSockets(which func(*socket) bool) {
	w.mu.Lock()
	var gone []*socket
	for _, s := range w.sockets.open {
		if which(s) {
			gone = append(gone, s)
		}
	}
	w.mu.Unlock()
	for _, s := range gone {
		w.forget(s)
		s.close()
	}
}

func (w *Workspace) acknowledge(s *socket, raw []byte) {
	var ack struct {
		EnvelopeID string          `json:"envelope_id"`
		Payload    json.RawMessage `json:"payload"`
	}
	if json.Unmarshal(raw, &ack) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.sockets.waiting[ack.EnvelopeID]
	if p == nil || p.socket != s {
		return
	}
	delete(w.sockets.waiting, ack.EnvelopeID)
	d := p.delivery
	d.Latency = time.Since(d.Sent)
	if string(ack.Payload) != "null" {
		d.Ack = string(ack.Payload)
	}
	if p.late {
		d.Late = true
	} else {
		d.Acked = true
		close(p.done)
	}
	w.touch()
}

// sendSocket gives a payload to one connection and waits for its acknowledgement.
func (w *Workspace) sendSocket(kind Kind, payload Object, d *Delivery) {
	id := secret(4) + "-" + secret(2) + "-" + secret(2) + "-" + secret(6)
	envelope := Object{
		"envelope_id": id, "type": string(kind), "payload": payload,
		"accepts_response_payload": kind == Commands || payload["type"] == "view_submission" || payload["type"] == "block_suggestion",
	}
	if kind == Events {
		envelope["retry_attempt"], envelope["retry_reason"] = d.Attempt, ""
		if d.Attempt > 0 {
			envelope["retry_reason"] = strings.TrimPrefix(d.Reason, "http_")
		}
	}
	w.mu.Lock()
	fault := SocketFault{}
	if decide := w.sockets.fault; decide != nil {
		seen := *d
		w.mu.Unlock()
		fault = decide(seen)
		w.mu.Lock()
	}
	s := w.pick()
	if s == nil {
		d.Error = "no connection is open"
		w.mu.Unlock()
		return
	}
	d.Connection = s.n
	p := &pending{delivery: d, socket: s, done: make(chan struct{})}
	w.sockets.waiting[id] = p
	w.mu.Unlock()
	if fault.Delay > 0 {
		w.pause(w.stop, fault.Delay)
	}
	w.settle(d, func(d *Delivery) { d.Sent = time.Now() })
	if fault.DropBefore {
		w.forget(s)
		s.close()
	} else if s.write(envelope) != nil || fault.DropAfter {
		w.forget(s)
		s.close()
	}
	t := time.NewTimer(w.opts.AckTimeout)
	defer t.Stop()
	problem := ""
	select {
	case <-p.done:
	case <-s.gone:
		problem = "the connection went away"
	case <-t.C:
		problem = noAnswer
	case <-w.stop.Done():
		problem = "the workspace was closed"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.Acked {
		return
	}
	d.Error, p.late = problem, true
	if problem != noAnswer {
		delete(w.sockets.waiting, id)
	}
}

// pick takes the connections in turn; those that were told to end come last. Called with
// the lock held.
func (w *Workspace) pick() *socket {
	fresh := slices.DeleteFunc(slices.Clone(w.sockets.open), func(s *socket) bool { return s.warned })
	if len(fresh) == 0 {
		fresh = w.sockets.open
	}
	if len(fresh) == 0 {
		return nil
	}
	w.sockets.turn++
	return fresh[w.sockets.turn%len(fresh)]
}
