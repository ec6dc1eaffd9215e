// Package accidents is the line into the fakes of HTTP APIs. Each call is numbered, kept in a
// journal, and may go wrong in every way in which a call over a network does: before it had an
// effect, or after. A fake embeds a Line, which makes it an http.Handler, and says what there is at
// the other end: a System.
package accidents

import (
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Call is a request that was made. Requests are numbered from 1 in the order of their arrival.
type Call struct {
	N      int
	Method string
	Path   string // below the fake's base URL
	Query  string
	// Route is method and pattern as the fake writes them: "POST /issue/{issue}/comment". It is
	// empty where there is none.
	Route  string
	RouteN int    // the how manieth of its route
	User   string // who calls, where the fake knows
	Header http.Header
	Body   string
	Time   time.Time
	Status int    // of the answer; 0: there was none
	Answer string // its body
	Fault  FaultKind
	Done   bool // the call is over
}

// FaultKind is a way in which a call goes wrong.
type FaultKind string

// The ways in which a call goes wrong.
const (
	NoFault     FaultKind = ""
	ServerError FaultKind = "server-error" // HTTP 500, nothing is done
	Unavailable FaultKind = "unavailable"  // HTTP 503, nothing is done
	Limited     FaultKind = "limited"      // HTTP 429, nothing is done
	Refused     FaultKind = "refused"      // the connection is refused, nothing is done
	Hang        FaultKind = "hang"         // nothing is done or answered until the client gives up
	Lost        FaultKind = "lost"         // it is done, and the connection breaks without an answer
	LostHang    FaultKind = "lost-hang"    // it is done, and no answer comes until the client gives up
	LostError   FaultKind = "lost-error"   // it is done, and the answer is HTTP 504, from a proxy
)

// Fault is what goes wrong with a call.
type Fault struct {
	Kind FaultKind
	// RetryAfter is after how many seconds to come back, of Limited and Unavailable, where the
	// fake's system says so; 0: what it says by itself, which may be nothing.
	RetryAfter int
	Delay      time.Duration // before anything else
}

// System is what is at the other end of a Line.
type System struct {
	// Lock is held around Enter, around what Enter returned, and while the journal changes.
	Lock *sync.Mutex
	// MostBody is the largest body that is taken, in bytes; of a larger one a byte more is read.
	MostBody int64
	// JSON is the content type of answers in JSON.
	JSON string
	// Enter finds out what a call is about: it may set the Path, Route and User, and returns what
	// carries it out.
	Enter func(*http.Request, *Call) func() Answer
	// Refuse is how the system says ServerError, Unavailable and Limited.
	Refuse func(Call, Fault) Answer
}

// Line takes calls to a System. Its methods may be called concurrently, but not with the lock held.
// In a testing/synctest bubble it works when it was made there.
type Line struct {
	system   System
	stop     context.Context
	fault    func(Call) Fault
	down     bool
	calls    []Call
	perRoute map[string]int
}

// New returns a line on which fault decides what goes wrong; see SetFault. When stop is over, whoever
// hangs in a call is let go, and every connection is refused.
func New(stop context.Context, s System, fault func(Call) Fault) *Line {
	return &Line{system: s, stop: stop, fault: fault, perRoute: map[string]int{}}
}

// SetFault lets f decide from now on what goes wrong with each call; nil: nothing does. It
// is called without any lock held, concurrently for concurrent calls.
func (l *Line) SetFault(f func(Call) Fault) {
	l.system.Lock.Lock()
	defer l.system.Lock.Unlock()
	l.fault = f
}

// FailCall makes one call go wrong: the n-th of those from now on, of all when route is
// empty, else of that route, as Call.Route has it. It replaces what SetFault set.
func (l *Line) FailCall(route string, n int, f Fault) {
	l.system.Lock.Lock()
	defer l.system.Lock.Unlock()
	all, routed := len(l.calls), l.perRoute[route]
	l.fault = func(c Call) Fault {
		if route == "" && c.N == all+n || route != "" && c.Route == route && c.RouteN == routed+n {
			return f
		}
		return Fault{}
	}
}

// Calls returns the calls so far, those under way included.
func (l *Line) Calls() []Call {
	l.system.Lock.Lock()
	defer l.system.Lock.Unlock()
	return append([]Call(nil), l.calls...)
}

// SetDown makes it refuse all connections, or take them again.
func (l *Line) SetDown(down bool) {
	l.system.Lock.Lock()
	defer l.system.Lock.Unlock()
	l.down = down
}

// ServeHTTP carries out a call. A connection that a fault breaks ends with http.ErrAbortHandler.
func (l *Line) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	a, err := l.serve(r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	a.write(rw, l.system.JSON)
}

var (
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	errDropped = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
)

// serve answers a request, or says how the connection broke.
func (l *Line) serve(r *http.Request) (Answer, error) {
	var raw []byte
	if r.Body != nil {
		var err error
		if raw, err = io.ReadAll(io.LimitReader(r.Body, l.system.MostBody+1)); err != nil {
			return Answer{}, errDropped
		}
	}
	c := Call{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(), Body: string(raw), Time: time.Now()}
	l.system.Lock.Lock()
	carryOut := l.system.Enter(r, &c)
	c.N = len(l.calls) + 1
	if c.Route != "" {
		l.perRoute[c.Route]++
		c.RouteN = l.perRoute[c.Route]
	}
	l.calls = append(l.calls, c)
	decide, down := l.fault, l.down || l.stop.Err() != nil
	l.system.Lock.Unlock()

	var f Fault
	switch {
	case down:
		f.Kind = Refused
	case decide != nil:
		f = decide(c)
	}
	a, err := l.play(r.Context(), c, f, carryOut)
	l.system.Lock.Lock()
	defer l.system.Lock.Unlock()
	end := &l.calls[c.N-1]
	end.Fault, end.Done = f.Kind, true
	if err == nil {
		a.freeze()
		end.Status, end.Answer = a.Status, a.Raw
	}
	return a, err
}

// play carries out a call, and what goes wrong before and after that.
func (l *Line) play(ctx context.Context, c Call, f Fault, carryOut func() Answer) (Answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.stop, cancel)()
	if f.Delay > 0 {
		Pause(ctx, f.Delay)
	}
	switch f.Kind {
	case ServerError, Unavailable, Limited:
		return l.system.Refuse(c, f), nil
	case Refused:
		return Answer{}, errRefused
	case Hang:
		Pause(ctx, math.MaxInt64)
		return Answer{}, errDropped
	}
	a := l.finish(carryOut)
	switch f.Kind {
	case LostHang:
		Pause(ctx, math.MaxInt64)
		return Answer{}, errDropped
	case Lost:
		return Answer{}, errDropped
	case LostError:
		return Answer{Status: http.StatusGatewayTimeout, Raw: "Gateway Timeout"}, nil
	}
	return a, nil
}

// finish carries out a call. A fake that panics lets go of the lock, so that it is the panic that is seen.
func (l *Line) finish(carryOut func() Answer) Answer {
	l.system.Lock.Lock()
	defer l.system.Lock.Unlock()
	a := carryOut()
	a.freeze()
	return a
}

// Pause waits, or until ctx is over.
func Pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
