package slackfake

import (
	"net"
	"sync"
	"time"
)

// Call is a request that the app made: of the Web API, or to a response URL. Requests are
// numbered from 1 in the order of their arrival.
type Call struct {
	N       int
	Method  string // "chat.postMessage"; "response_url" for those
	Channel string // ID of the channel, or what stood there instead
	User    string // of calls that name one
	TS      string // of the message or, for a post, of the one that was made
	Thread  string
	Key     string // "key" in the payload of the message's metadata
	Time    time.Time
	Status  int    // HTTP status of the answer; 0: there was none
	Error   string // Slack's error; "" if it was done
	Fault   FaultKind
	Done    bool // the call is over
}

// FaultKind is a way in which a call goes wrong.
type FaultKind string

const (
	NoFault     FaultKind = ""
	ServerError FaultKind = "server-error" // HTTP 500, nothing is done
	Hang        FaultKind = "hang"         // nothing is done or answered until the client gives up
	Refused     FaultKind = "refused"      // the connection is closed, nothing is done
	Lost        FaultKind = "lost"         // it is done, and the connection closed without an answer
	LostHang    FaultKind = "lost-hang"    // it is done, and no answer comes until the client gives up
	Limited     FaultKind = "limited"      // HTTP 429, nothing is done
	Fails       FaultKind = "fails"        // ok: false with Error
)

// Fault is what goes wrong with a call.
type Fault struct {
	Kind       FaultKind
	RetryAfter int           // of Limited, in seconds; 0: 1
	Error      string        // of Fails
	Delay      time.Duration // before anything else
}

// SetFault lets f decide from now on what goes wrong with each call; nil: nothing does. It
// is called without any lock held, concurrently for concurrent calls.
func (w *Workspace) SetFault(f func(Call) Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

// SetDown makes the whole of Slack unreachable, or reachable again: connections are closed
// as they are opened, and those of Socket Mode are cut.
func (w *Workspace) SetDown(down bool) {
	w.listener.set(down)
	if down {
		w.dropSockets(func(*socket) bool { return true })
	}
}

// Calls returns the calls so far, those under way included.
func (w *Workspace) Calls() []Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Call(nil), w.calls...)
}

// Limits returns how many calls were refused with 429 because of a rate limit.
func (w *Workspace) Limits() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.limited
}

// arrive numbers a call and finds out what goes wrong with it.
func (w *Workspace) arrive(c Call) (Call, Fault) {
	w.mu.Lock()
	c.N = len(w.calls) + 1
	c.Time = time.Now()
	w.calls = append(w.calls, c)
	decide := w.fault
	w.mu.Unlock()
	if decide == nil {
		return c, Fault{}
	}
	f := decide(c)
	if f.Kind != NoFault {
		w.mu.Lock()
		w.calls[c.N-1].Fault = f.Kind
		w.mu.Unlock()
	}
	return c, f
}

// over records how a call ended.
func (w *Workspace) over(n, status int, problem, ts string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &w.calls[n-1]
	c.Status, c.Error, c.Done = status, problem, true
	if ts != "" {
		c.TS = ts
	}
	w.touch()
}

// gate is a listener that can be closed for a while.
type gate struct {
	net.Listener
	mu    sync.Mutex
	down  bool
	conns map[net.Conn]bool
}

func newGate(l net.Listener) *gate { return &gate{Listener: l, conns: map[net.Conn]bool{}} }

// Accept closes what comes while the gate is closed.
func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		gc := &gateConn{Conn: c, gate: g}
		g.mu.Lock()
		down := g.down
		if !down {
			g.conns[gc] = true
		}
		g.mu.Unlock()
		if !down {
			return gc, nil
		}
		c.Close()
	}
}

func (g *gate) set(down bool) {
	g.mu.Lock()
	g.down = down
	var open []net.Conn
	if down {
		for c := range g.conns {
			open = append(open, c)
		}
	}
	g.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
}

type gateConn struct {
	net.Conn
	gate *gate
}

func (c *gateConn) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.conns, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
