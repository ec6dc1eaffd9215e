package jirafake

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/muster-release/muster/integrations/accidents"
)

// What goes wrong with calls is the same for all fakes; see package accidents. The Path of a Call is
// below the base URL, "/rest/api/3/issue/REL-1", its Route is without the API's version: "POST
// /issue/{issue}/comment". RetryAfter 0 is a second for Limited, and nothing for Unavailable.
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

// Limit is a rate limit: so many calls of one person within a window.
// It answers as developer.atlassian.com/cloud/jira/platform/rate-limiting says.
type Limit = accidents.Limit

// SetLimit replaces the rate limit; nil: there is none.
func (j *Jira) SetLimit(l *Limit) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.spent = accidents.NewMeter[*User](l)
}

func tooMany(wait time.Duration) answer {
	a := fail(http.StatusTooManyRequests, "Rate limit exceeded.")
	seconds := max(1, int(math.Ceil(wait.Seconds())))
	a.Header = http.Header{}
	a.Header.Set("Retry-After", strconv.Itoa(seconds))
	a.Header.Set("X-RateLimit-Remaining", "0")
	a.Header.Set("X-RateLimit-Reset", time.Now().Add(time.Duration(seconds)*time.Second).UTC().Format("2006-01-02T15:04Z"))
	return a
}

// refuse is how a Jira that is not well answers.
func refuse(_ Call, f Fault) answer {
	switch f.Kind {
	case ServerError:
		return fail(http.StatusInternalServerError, "Internal server error")
	case Limited:
		return tooMany(time.Duration(f.RetryAfter) * time.Second)
	}
	a := answer{Status: http.StatusServiceUnavailable, Raw: "Service Unavailable", Header: http.Header{}}
	if f.RetryAfter > 0 {
		a.Header.Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	return a
}
