package pagerdutyfake

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
	Path   string
	Query  string
	// Route is method and pattern: "POST /v2/enqueue", "GET /schedules/{id}/users". It is empty
	// where there is none.
	Route  string
	RouteN int // the how manieth of its route
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
	// RetryAfter of Limited is what the answer says, in seconds; 0: it says nothing, which may happen.
	RetryAfter int
	Delay      time.Duration // before anything else
}

// SetFault lets f decide from now on what goes wrong with each call; nil: nothing does. It
// is called without any lock held, concurrently for concurrent calls.
func (p *PagerDuty) SetFault(f func(Call) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// FailCall makes one call go wrong: the n-th of those from now on, of all when route is
// empty, else of that route ("POST /v2/enqueue"). It replaces what SetFault set.
func (p *PagerDuty) FailCall(route string, n int, f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all, routed := len(p.calls), p.perRoute[route]
	p.fault = func(c Call) Fault {
		if route == "" && c.N == all+n || route != "" && c.Route == route && c.RouteN == routed+n {
			return f
		}
		return Fault{}
	}
}

// Calls returns the calls so far, those under way included.
func (p *PagerDuty) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Call(nil), p.calls...)
}

// Limit is a rate limit: so many calls with one key within a window that looks back from now. See
// developer.pagerduty.com/docs/events-api-v2-rate-limits and …/docs/rest-api-rate-limits.
type Limit struct {
	Calls  int
	Window time.Duration
}

// admit counts a call and returns how long it has to wait, 0 for not at all. Called with the lock held.
func (p *PagerDuty) admit(events bool, key string) time.Duration {
	limit := p.limits[events]
	if limit == nil {
		return 0
	}
	now := time.Now()
	name := strconv.FormatBool(events) + key
	var recent []time.Time
	for _, t := range p.spent[name] {
		if now.Sub(t) < limit.Window {
			recent = append(recent, t)
		}
	}
	if len(recent) >= limit.Calls {
		p.spent[name] = recent
		if len(recent) == 0 {
			return limit.Window
		}
		return recent[0].Add(limit.Window).Sub(now)
	}
	p.spent[name] = append(recent, now)
	return 0
}

// tooMany is the answer to a call that is one too many. The events' says not when to come back.
func tooMany(events bool, seconds int) answer {
	a := refuse(http.StatusTooManyRequests, 2020, "Rate Limit Exceeded")
	if events {
		a = answer{status: http.StatusTooManyRequests, body: object{"status": "throttle exceeded", "message": "Request Limit Exceeded"}}
	}
	if seconds > 0 && !events {
		a.header = http.Header{}
		a.header.Set("Ratelimit-Remaining", "0")
		a.header.Set("Ratelimit-Reset", strconv.Itoa(seconds))
	}
	return a
}

// before carries out the faults that come before the effect. When ok is false the call is
// over.
func (p *PagerDuty) before(ctx context.Context, f Fault, events bool) (a answer, err error, ok bool) {
	if f.Delay > 0 {
		p.pause(ctx, f.Delay)
	}
	switch f.Kind {
	case ServerError:
		return answer{status: http.StatusInternalServerError, body: object{"status": "error", "message": "Internal Server Error"}}, nil, false
	case Unavailable:
		return answer{status: http.StatusServiceUnavailable, raw: "Service Unavailable"}, nil, false
	case Limited:
		a := tooMany(events, f.RetryAfter)
		if events && f.RetryAfter > 0 {
			a.header = http.Header{"Retry-After": {strconv.Itoa(f.RetryAfter)}}
		}
		return a, nil, false
	case Refused:
		return answer{}, errRefused, false
	case Hang:
		p.pause(ctx, math.MaxInt64)
		return answer{}, errDropped, false
	}
	return answer{}, nil, true
}

// after carries out the faults that come after the effect.
func (p *PagerDuty) after(ctx context.Context, f Fault, a answer) (answer, error) {
	switch f.Kind {
	case LostHang:
		p.pause(ctx, math.MaxInt64)
		return answer{}, errDropped
	case Lost:
		return answer{}, errDropped
	case LostError:
		return answer{status: http.StatusGatewayTimeout, raw: "Gateway Timeout"}, nil
	}
	return a, nil
}

func (p *PagerDuty) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-p.stop.Done():
	}
}
