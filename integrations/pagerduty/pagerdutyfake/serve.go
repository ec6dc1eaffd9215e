package pagerdutyfake

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/muster-release/muster/integrations/accidents"
)

// object is a JSON object.
type object = map[string]any

// mostBody is the largest event that is taken: "Events API payloads are limited to 512 KB".
const mostBody = 512 << 10

// answer is what a call is answered with.
type answer = accidents.Answer

// refuse is an error as REST says it; see developer.pagerduty.com/docs/errors.
func refuse(status, code int, message string, details ...string) answer {
	e := object{"message": message, "code": code}
	if len(details) > 0 {
		e["errors"] = details
	}
	return answer{Status: status, Body: object{"error": e}}
}

var notFound = refuse(http.StatusNotFound, 2100, "Not Found")

// enqueue is the route of events.
const enqueue = "POST /v2/enqueue"

// route is one of REST's.
type route struct {
	pattern string
	call    func(p *PagerDuty, id string, q url.Values) answer
}

func routes() []route {
	return []route{
		{"GET /abilities", (*PagerDuty).getAbilities},
		{"GET /users", (*PagerDuty).getUsers},
		{"GET /users/{id}", (*PagerDuty).getUser},
		{"GET /schedules", (*PagerDuty).getSchedules},
		{"GET /schedules/{id}", (*PagerDuty).getSchedule},
		{"GET /schedules/{id}/users", (*PagerDuty).getScheduleUsers},
		{"GET /oncalls", (*PagerDuty).getOnCalls},
	}
}

// find is the route of a request, with the ID in its path.
func find(method, path string) (*route, string) {
	parts := strings.Split(method+" "+strings.TrimSuffix(path, "/"), "/")
next:
	for _, r := range routes() {
		want, id := strings.Split(r.pattern, "/"), ""
		if len(want) != len(parts) {
			continue
		}
		for i, w := range want {
			if w == "{id}" {
				id = parts[i]
			} else if w != parts[i] {
				continue next
			}
		}
		return &r, id
	}
	return nil, ""
}

// enter finds out what a request is about, and returns what carries it out.
func (p *PagerDuty) enter(r *http.Request, c *Call) func() answer {
	to, id := find(r.Method, r.URL.Path)
	switch {
	case r.Method+" "+r.URL.Path == enqueue:
		c.Route = enqueue
		return func() answer { return p.take([]byte(c.Body)) }
	case to != nil:
		c.Route = to.pattern
		return func() answer { return p.rest(r, to, id) }
	case r.Method == http.MethodGet && r.URL.Path == "/":
		return p.page
	}
	return func() answer { return notFound }
}

// rest carries out a call of REST. Called with the lock held.
func (p *PagerDuty) rest(r *http.Request, to *route, id string) answer {
	token, is := strings.CutPrefix(r.Header.Get("Authorization"), "Token token=")
	if !is || p.token == "" || strings.Trim(token, `"`) != p.token {
		return refuse(http.StatusUnauthorized, 2006, "Authentication failed")
	}
	if wait := p.spent.Admit(token); wait > 0 {
		return tooMany(false, max(1, int((wait+time.Second-1)/time.Second)))
	}
	return to.call(p, id, r.URL.Query())
}

// paged cuts a page out of a list; see developer.pagerduty.com/docs/pagination.
func paged(q url.Values, name string, all []object) answer {
	number := func(name string, usual, least, most int) (int, bool) {
		s := q.Get(name)
		if s == "" {
			return usual, true
		}
		n, err := strconv.Atoi(s)
		return n, err == nil && n >= least && n <= most
	}
	limit, good := number("limit", 25, 1, 100)
	offset, also := number("offset", 0, 0, 10_000)
	if !good || !also {
		return refuse(http.StatusBadRequest, 2001, "Invalid Input Provided", "limit and offset are out of bounds")
	}
	var total any
	if q.Get("total") == "true" {
		total = len(all)
	}
	from := min(offset, len(all))
	to := min(len(all), from+limit)
	return answer{Status: http.StatusOK, Body: object{
		name: append([]object{}, all[from:to]...), "limit": limit, "offset": offset, "more": to < len(all), "total": total,
	}}
}
