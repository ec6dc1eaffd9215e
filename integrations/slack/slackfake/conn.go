package slackfake

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// stream is one direction of a connection. Unlike one of net.Pipe it has a buffer, as
// sockets have: two ends that both write before they read do not block each other.
type stream struct {
	mu       sync.Mutex
	changed  sync.Cond
	data     bytes.Buffer
	ended    bool // nobody writes any more
	dropped  bool // nobody reads any more
	deadline time.Time
	timer    *time.Timer
}

func newStream() *stream {
	s := new(stream)
	s.changed.L = &s.mu
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.dropped:
			return 0, net.ErrClosed
		case !s.deadline.IsZero() && !time.Now().Before(s.deadline):
			return 0, os.ErrDeadlineExceeded
		case s.data.Len() > 0:
			return s.data.Read(p)
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.dropped: // nobody reads it, and the writer learns of that by reading
		return len(p), nil
	case s.ended:
		return 0, io.ErrClosedPipe
	}
	defer s.changed.Broadcast()
	return s.data.Write(p)
}

// until sets when a read gives up; the zero time is never.
func (s *stream) until(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if !t.IsZero() {
		s.timer = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changed.Broadcast()
		})
	}
	s.changed.Broadcast()
}

func (s *stream) close(reader bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.dropped = s.dropped || reader
	if reader && s.timer != nil {
		s.timer.Stop()
	}
	s.changed.Broadcast()
}

// conn is one end of a connection on a Network. Writes never wait.
type conn struct{ in, out *stream }

func newConns() (here, there net.Conn) {
	x, y := newStream(), newStream()
	return &conn{x, y}, &conn{y, x}
}

func (c *conn) Read(p []byte) (int, error)        { return c.in.read(p) }
func (c *conn) Write(p []byte) (int, error)       { return c.out.write(p) }
func (c *conn) LocalAddr() net.Addr               { return networkAddr("here") }
func (c *conn) RemoteAddr() net.Addr              { return networkAddr("there") }
func (c *conn) SetReadDeadline(t time.Time) error { c.in.until(t); return nil }
func (c *conn) SetWriteDeadline(time.Time) error  { return nil }
func (c *conn) SetDeadline(t time.Time) error     { c.in.until(t); return nil }

func (c *conn) Close() error {
	c.in.close(true)
	c.out.close(false)
	return nil
}
