package pagerdutyfake

import (
	"net/http"
	"strconv"

	"github.com/muster-release/muster/integrations/accidents"
)

// What goes wrong with calls is the same for all fakes; see package accidents. The Route of a Call is
// "POST /v2/enqueue" or "GET /schedules/{id}/users". Only Limited has a RetryAfter, and says
// nothing of it with 0, which may happen.
type (
	Call      = accidents.Call
	FaultKind = accidents.FaultKind
	Fault     = accidents.Fault
	wire      = accidents.Line
)

// The ways in which a call goes wrong.
const (
	NoFault     = accidents.NoFault
	ServerError = accidents.ServerError
	Unavailable = accidents.Unavailable
	Limited     = accidents.Limited
	Refused     = accidents.Refused
	Hang        = accidents.Hang
	Lost        = accidents.Lost
	LostHang    = accidents.LostHang
	LostError   = accidents.LostError
)

// Limit is a rate limit: so many calls with one key within a window that looks back from now. See
// developer.pagerduty.com/docs/events-api-v2-rate-limits and …/docs/rest-api-rate-limits.
type Limit = accidents.Limit

// tooMany is the answer to a call that is one too many. The events' says not when to come back.
func tooMany(events bool, seconds int) answer {
	a := refuse(http.StatusTooManyRequests, 2020, "Rate Limit Exceeded")
	if events {
		a = answer{Status: http.StatusTooManyRequests, Body: object{"status": "throttle exceeded", "message": "Request Limit Exceeded"}}
	}
	if seconds > 0 && !events {
		a.Header = http.Header{}
		a.Header.Set("Ratelimit-Remaining", "0")
		a.Header.Set("Ratelimit-Reset", strconv.Itoa(seconds))
	}
	return a
}

// ill is how a PagerDuty that is not well answers.
func ill(c Call, f Fault) answer {
	switch f.Kind {
	case ServerError:
		return answer{Status: http.StatusInternalServerError, Body: object{"status": "error", "message": "Internal Server Error"}}
	case Unavailable:
		return answer{Status: http.StatusServiceUnavailable, Raw: "Service Unavailable"}
	}
	a := tooMany(c.Route == enqueue, f.RetryAfter)
	if c.Route == enqueue && f.RetryAfter > 0 {
		a.Header = http.Header{"Retry-After": {strconv.Itoa(f.RetryAfter)}}
	}
	return a
}
