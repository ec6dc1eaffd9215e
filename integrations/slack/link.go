package slack

import (
	"context"
	"encoding/json"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// link is one Socket Mode connection. One goroutine reads it; each payload is taken by
// one of its own, and acknowledged where it came from.
type link struct {
	l    *listener
	conn *websocket.Conn

	up      chan struct{} // closed when Slack has said hello
	leaving chan struct{} // closed when Slack says that it will close; reason is set
	ended   chan struct{} // closed when nothing is read any more; err is set
	reason  string
	err     error

	payloads sync.WaitGroup

	writing sync.Mutex // one writer of messages at a time

	mu   sync.Mutex
	last time.Time // nothing is read after it, if set
}

func newLink(l *listener, conn *websocket.Conn) *link {
	k := &link{l: l, conn: conn, up: make(chan struct{}), leaving: make(chan struct{}), ended: make(chan struct{})}
	conn.SetReadLimit(maxFrame)
	conn.SetPingHandler(func(data string) error {
		k.alive()
		// A pong that cannot be written shows soon, when reading fails.
		_ = conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(writePatience))
		return nil
	})
	conn.SetPongHandler(func(string) error {
		k.alive()
		return nil
	})
	return k
}

// run reads until the connection ends, or ctx does. It returns when all that was read is
// done and acknowledged.
func (k *link) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { k.until(time.Now()) })
	var pings sync.WaitGroup
	pings.Go(k.ping)
	k.alive()
	k.err = k.read(ctx)
	close(k.ended)
	k.payloads.Wait()
	stop()
	// Slack need not hear the goodbye: it closes what does not answer.
	_ = k.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	k.conn.Close()
	pings.Wait()
}

func (k *link) read(ctx context.Context) error {
	for {
		_, frame, err := k.conn.ReadMessage()
		if err != nil {
			return err
		}
		k.alive()
		k.take(ctx, time.Now(), frame)
	}
}

// alive says that there was a sign of life: the next must come before long.
func (k *link) alive() {
	k.mu.Lock()
	defer k.mu.Unlock()
	next := time.Now().Add(k.l.pace.silent)
	if !k.last.IsZero() && k.last.Before(next) {
		next = k.last
	}
	_ = k.conn.SetReadDeadline(next) // fails only on a connection that is closed
}

// until bounds how long the connection is read. It may be called any time.
func (k *link) until(t time.Time) {
	k.mu.Lock()
	if k.last.IsZero() || t.Before(k.last) {
		k.last = t
	}
	k.mu.Unlock()
	k.alive()
}

func (k *link) ping() {
	tick := time.NewTicker(k.l.pace.ping)
	defer tick.Stop()
	for {
		select {
		case <-k.ended:
			return
		case <-tick.C:
			// What cannot be written shows when no pong comes.
			_ = k.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writePatience))
		}
	}
}

// take begins what a frame demands.
func (k *link) take(ctx context.Context, arrived time.Time, frame []byte) {
	e, err := decodeEnvelope(frame)
	if err != nil {
		// Slack would send it again, and it would not be understood then either.
		k.l.log.Warn("slack: a frame was not understood", "err", err, "bytes", len(frame))
		k.acknowledge(e.ID, nil)
		return
	}
	door := k.l.door
	var do func(ctx context.Context) answer
	switch e.Type {
	case "hello":
		k.hello()
		return
	case "disconnect":
		k.leave(e.Reason)
		return
	case "events_api":
		do = func(ctx context.Context) answer { return door.event(ctx, e.Payload) }
	case "slash_commands":
		do = func(ctx context.Context) answer {
			c, err := decodeCommand(e.Payload, time.Now())
			return door.command(ctx, c, err)
		}
	case "interactive":
		do = func(ctx context.Context) answer { return door.interaction(ctx, e.Payload) }
	default:
		k.l.log.Info("slack: a frame of no use was acknowledged", "type", ident(e.Type))
		k.acknowledge(e.ID, nil)
		return
	}
	k.hello() // that it works says as much
	k.l.slots <- struct{}{}
	k.payloads.Go(func() {
		defer func() { <-k.l.slots }()
		defer func() { // as net/http does for the other way in
			if r := recover(); r != nil {
				k.l.log.Error("slack: a payload could not be taken", "type", ident(e.Type), "panic", r, "stack", string(debug.Stack()))
			}
		}()
		// What has been read is done, even when Listen is about to end.
		ctx, cancel := context.WithDeadlineCause(context.WithoutCancel(ctx), arrived.Add(patience), errLate)
		defer cancel()
		a := do(ctx)
		if !a.again {
			k.acknowledge(e.ID, a.body)
		}
		if a.after != nil {
			a.after()
		}
	})
}

func (k *link) hello() {
	select {
	case <-k.up:
	default:
		close(k.up)
		k.l.log.Info("slack: connected")
	}
}

// leave says that Slack is about to close the connection. Payloads may be behind that, so
// reading goes on.
func (k *link) leave(reason string) {
	select {
	case <-k.leaving:
	default:
		k.reason = reason
		close(k.leaving)
		k.l.log.Info("slack: Slack is about to close a connection", "reason", reason)
	}
}

// acknowledge writes an acknowledgement to the connection that the payload came by: Slack
// expects it there.
func (k *link) acknowledge(id string, body any) {
	if id == "" {
		return
	}
	frame, err := json.Marshal(struct {
		ID      string `json:"envelope_id"`
		Payload any    `json:"payload,omitempty"`
	}{id, body})
	if err != nil {
		k.l.log.Error("slack: an acknowledgement could not be written", "err", err)
		return
	}
	k.writing.Lock()
	defer k.writing.Unlock()
	err = errors.Join(k.conn.SetWriteDeadline(time.Now().Add(writePatience)), k.conn.WriteMessage(websocket.TextMessage, frame))
	if err != nil {
		k.l.log.Warn("slack: an acknowledgement did not reach Slack", "err", err)
		k.until(time.Now()) // nothing can be written any more, so nothing should come
	}
}
