package gitlabfake

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// Call is a request that an app made. Requests are numbered from 1 in the order of their
// arrival.
type Call struct {
	N      int
	Nth    int    // counts the calls of this method and route, from 1
	Method string // "POST"
	Route  string // "/projects/:id/repository/tags"; "" for an address that is none of the API's
	Path   string // below /api/v4, as it was sent, escaped
	Query  string
	Body   string
	Token  string // name of the token; "" for none or an unknown one
	Time   time.Time
	Status int // HTTP status of the answer; 0: there was none
	Fault  FaultKind
	Done   bool // the call is over
}

// FaultKind is a way in which a call goes wrong.
type FaultKind string

const (
	NoFault     FaultKind = ""
	ServerError FaultKind = "server-error" // an HTTP status, 500 if none is given; nothing is done
	Limited     FaultKind = "limited"      // HTTP 429 with Retry-After, nothing is done
	Refused     FaultKind = "refused"      // the connection is closed, nothing is done
	Hang        FaultKind = "hang"         // nothing is done or answered until the client gives up
	Lost        FaultKind = "lost"         // it is done, and the connection closed without an answer
	LostHang    FaultKind = "lost-hang"    // it is done, and no answer comes until the client gives up
	LostError   FaultKind = "lost-error"   // it is done, and the answer is an HTTP status, 502 if none is given
)

// Fault is what goes wrong with a call.
type Fault struct {
	Kind       FaultKind
	Status     int           // of ServerError and LostError
	RetryAfter int           // of Limited, in seconds; 0: 1
	Delay      time.Duration // before anything else
}

// SetFault lets f decide from now on what goes wrong with each call; nil: nothing does. It
// is called without any lock held, concurrently for concurrent calls.
func (s *Server) SetFault(f func(Call) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Calls returns the calls so far, those under way included.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// Limits returns how many calls were refused because of the rate limit.
func (s *Server) Limits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limited
}

// SetRateLimit changes how many calls a token may make in a window; 0: as many as it likes.
func (s *Server) SetRateLimit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.RateLimit = n
	clear(s.windows)
}

// arrive numbers a call and finds out what goes wrong with it.
func (s *Server) arrive(c Call) (Call, Fault) {
	s.mu.Lock()
	c.N = len(s.calls) + 1
	key := c.Method + " " + c.Route
	s.nth[key]++
	c.Nth = s.nth[key]
	c.Time = time.Now()
	s.calls = append(s.calls, c)
	decide := s.fault
	s.mu.Unlock()
	if decide == nil {
		return c, Fault{}
	}
	f := decide(c)
	if f.Kind != NoFault {
		s.mu.Lock()
		s.calls[c.N-1].Fault = f.Kind
		s.mu.Unlock()
	}
	return c, f
}

// over records how a call ended.
func (s *Server) over(n, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[n-1].Status, s.calls[n-1].Done = status, true
}

// before carries out the faults that come before the effect. When it returns false the call
// is over.
func (s *Server) before(w http.ResponseWriter, r *http.Request, c Call, f Fault) bool {
	if f.Delay > 0 {
		pause(r.Context(), f.Delay)
	}
	switch f.Kind {
	case ServerError:
		status := f.Status
		if status == 0 {
			status = http.StatusInternalServerError
		}
		s.answer(w, c, status, http.Header{}, object{"message": strconv.Itoa(status) + " " + http.StatusText(status)})
	case Limited:
		s.tooMany(w, c, max(1, f.RetryAfter))
	case Refused:
		s.over(c.N, 0)
		abort(w, syscall.ECONNREFUSED)
	case Hang:
		pause(r.Context(), math.MaxInt64)
		s.over(c.N, 0)
		abort(w, errHangUp)
	default:
		return true
	}
	return false
}

// after carries out the faults that come after the effect. When it returns false the call is
// over.
func (s *Server) after(w http.ResponseWriter, r *http.Request, c Call, f Fault) bool {
	switch f.Kind {
	case Lost:
		s.over(c.N, 0)
		abort(w, errHangUp)
	case LostHang:
		pause(r.Context(), math.MaxInt64)
		s.over(c.N, 0)
		abort(w, errHangUp)
	case LostError:
		status := f.Status
		if status == 0 {
			status = http.StatusBadGateway
		}
		s.over(c.N, status)
		http.Error(w, http.StatusText(status), status)
	default:
		return true
	}
	return false
}

// tooMany is the answer of GitLab's rate limits (docs.gitlab.com/administration/settings/
// user_and_ip_rate_limits).
func (s *Server) tooMany(w http.ResponseWriter, c Call, seconds int) {
	s.over(c.N, http.StatusTooManyRequests)
	h := w.Header()
	h.Set("Retry-After", strconv.Itoa(seconds))
	h.Set("RateLimit-Remaining", "0")
	h.Set("RateLimit-Reset", strconv.FormatInt(time.Now().Unix()+int64(seconds), 10))
	h.Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusTooManyRequests)
	_, _ = io.WriteString(w, "Retry later\n")
}

// errHangUp is what a client sees of a connection that the server closed.
var errHangUp = errors.New("connection closed by the server")

// abort ends a call without an answer. In the same process the client is told why; over a
// socket it sees the connection close.
func abort(w http.ResponseWriter, why error) {
	if told, ok := w.(interface{ abort(error) }); ok {
		told.abort(why)
	}
	panic(http.ErrAbortHandler)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// window counts the calls of one token.
type window struct {
	ends time.Time
	used int
}

// admit counts a call and returns how long its token has to wait; 0: it may be made. Called
// with the lock held.
func (s *Server) admit(token string, h http.Header) time.Duration {
	limit := s.opts.RateLimit
	if limit <= 0 {
		return 0
	}
	now := time.Now()
	w := s.windows[token]
	if w == nil || !now.Before(w.ends) {
		w = &window{ends: now.Add(s.opts.RateWindow)}
		s.windows[token] = w
	}
	if w.used >= limit {
		s.limited++
		return w.ends.Sub(now)
	}
	w.used++
	h.Set("RateLimit-Limit", strconv.Itoa(limit))
	h.Set("RateLimit-Remaining", strconv.Itoa(limit-w.used))
	h.Set("RateLimit-Reset", strconv.FormatInt(w.ends.Unix(), 10))
	return 0
}
