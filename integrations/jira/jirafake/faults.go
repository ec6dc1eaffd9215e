package jirafake

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Call is a request that was made. Requests are numbered from 1 in the order of their arrival.
type Call struct {
	N      int
	Method string
	Path   string // below the base URL: "/rest/api/3/issue/REL-1"
	Query  string
	// Route is method and pattern without the API's version: "POST /issue/{issue}/comment".
	// It is empty where there is none.
	Route  string
	RouteN int // the how manieth of its route
	User   string
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
	Kind       FaultKind
	RetryAfter int           // of Limited and Unavailable, in seconds; 0: 1 for Limited, none for Unavailable
	Delay      time.Duration // before anything else
}

// SetFault lets f decide from now on what goes wrong with each call; nil: nothing does. It
// is called without any lock held, concurrently for concurrent calls.
func (j *Jira) SetFault(f func(Call) Fault) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fault = f
}

// FailCall makes one call go wrong: the n-th of those from now on, of all when route is
// empty, else of that route ("POST /issue"). It replaces what SetFault set.
func (j *Jira) FailCall(route string, n int, f Fault) {
	j.mu.Lock()
	defer j.mu.Unlock()
	all, routed := len(j.calls), j.perRoute[route]
	j.fault = func(c Call) Fault {
		if route == "" && c.N == all+n || route != "" && c.Route == route && c.RouteN == routed+n {
			return f
		}
		return Fault{}
	}
}

// Calls returns the calls so far, those under way included.
func (j *Jira) Calls() []Call {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Call(nil), j.calls...)
}

// Limit is a rate limit: so many calls of one person within a window.
// It answers as developer.atlassian.com/cloud/jira/platform/rate-limiting says.
type Limit struct {
	Calls      int
	Window     time.Duration
	RetryAfter time.Duration // 0: until the window has room
}

// SetLimit replaces the rate limit; nil: there is none.
func (j *Jira) SetLimit(l *Limit) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.limit = l
	clear(j.spent)
}

// admit counts a call of a person and returns how long they have to wait, 0 for not at all.
// Called with the lock held.
func (j *Jira) admit(u *User) time.Duration {
	if j.limit == nil {
		return 0
	}
	now := time.Now()
	var recent []time.Time
	for _, t := range j.spent[u] {
		if now.Sub(t) < j.limit.Window {
			recent = append(recent, t)
		}
	}
	if len(recent) >= j.limit.Calls {
		j.spent[u] = recent
		if j.limit.RetryAfter > 0 || len(recent) == 0 {
			return max(time.Second, j.limit.RetryAfter)
		}
		return recent[0].Add(j.limit.Window).Sub(now)
	}
	j.spent[u] = append(recent, now)
	return 0
}

func tooMany(wait time.Duration) answer {
	a := fail(http.StatusTooManyRequests, "Rate limit exceeded.")
	seconds := max(1, int(math.Ceil(wait.Seconds())))
	a.header = http.Header{}
	a.header.Set("Retry-After", strconv.Itoa(seconds))
	a.header.Set("X-RateLimit-Remaining", "0")
	a.header.Set("X-RateLimit-Reset", time.Now().Add(time.Duration(seconds)*time.Second).UTC().Format("2006-01-02T15:04Z"))
	return a
}

// before carries out the faults that come before the effect. When ok is false the call is
// over.
func (j *Jira) before(ctx context.Context, f Fault) (a answer, err error, ok bool) {
	if f.Delay > 0 {
		j.pause(ctx, f.Delay)
	}
	switch f.Kind {
	case ServerError:
		return fail(http.StatusInternalServerError, "Internal server error"), nil, false
	case Unavailable:
		a := answer{status: http.StatusServiceUnavailable, raw: "Service Unavailable", header: http.Header{}}
		if f.RetryAfter > 0 {
			a.header.Set("Retry-After", strconv.Itoa(f.RetryAfter))
		}
		return a, nil, false
	case Limited:
		return tooMany(time.Duration(f.RetryAfter) * time.Second), nil, false
	case Refused:
		return answer{}, errRefused, false
	case Hang:
		j.pause(ctx, math.MaxInt64)
		return answer{}, errDropped, false
	}
	return answer{}, nil, true
}

// after carries out the faults that come after the effect.
func (j *Jira) after(ctx context.Context, f Fault, a answer) (answer, error) {
	switch f.Kind {
	case LostHang:
		j.pause(ctx, math.MaxInt64)
		return answer{}, errDropped
	case Lost:
		return answer{}, errDropped
	case LostError:
		return answer{status: http.StatusGatewayTimeout, raw: "Gateway Timeout"}, nil
	}
	return a, nil
}

func (j *Jira) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-j.stop.Done():
	}
}
