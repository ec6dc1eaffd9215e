package pagerdutyfake

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object.
type object = map[string]any

// mostBody is the largest event that is taken: "Events API payloads are limited to 512 KB".
const mostBody = 512 << 10

// answer is what a call is answered with: JSON, or raw text.
type answer struct {
	status int
	body   any
	raw    string
	html   bool
	json   bool // raw is JSON
	header http.Header
}

// refuse is an error as REST says it; see developer.pagerduty.com/docs/errors.
func refuse(status, code int, message string, details ...string) answer {
	e := object{"message": message, "code": code}
	if len(details) > 0 {
		e["errors"] = details
	}
	return answer{status: status, body: object{"error": e}}
}

var notFound = refuse(http.StatusNotFound, 2100, "Not Found")

// freeze writes the body while the lock is held: it may hold what changes later.
func (a *answer) freeze() {
	if a.body == nil {
		return
	}
	raw, err := json.Marshal(a.body)
	if err != nil {
		panic(fmt.Sprintf("pagerdutyfake: an answer that is no JSON: %v", err))
	}
	a.raw, a.json, a.body = string(raw), true, nil
}

func (a *answer) write(rw http.ResponseWriter) {
	for name, values := range a.header {
		rw.Header()[name] = values
	}
	switch {
	case a.html:
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	case a.json:
		rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	case a.raw != "":
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	rw.WriteHeader(a.status)
	_, _ = io.WriteString(rw, a.raw)
}

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

// serve answers a request, or says how the connection broke.
func (p *PagerDuty) serve(r *http.Request) (answer, error) {
	var raw []byte
	if r.Body != nil {
		var err error
		if raw, err = io.ReadAll(io.LimitReader(r.Body, mostBody+1)); err != nil {
			return answer{}, errDropped
		}
	}
	c := Call{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(), Body: string(raw), Time: time.Now()}
	events := r.Method+" "+r.URL.Path == enqueue
	to, id := find(r.Method, r.URL.Path)
	switch {
	case events:
		c.Route = enqueue
	case to != nil:
		c.Route = to.pattern
	}
	p.mu.Lock()
	c.N = len(p.calls) + 1
	if c.Route != "" {
		p.perRoute[c.Route]++
		c.RouteN = p.perRoute[c.Route]
	}
	p.calls = append(p.calls, c)
	decide, down := p.fault, p.down
	p.mu.Unlock()

	var f Fault
	switch {
	case down:
		f.Kind = Refused
	case decide != nil:
		f = decide(c)
	}
	a, err, goOn := p.before(r.Context(), f, events)
	if goOn {
		p.mu.Lock()
		switch {
		case events:
			a = p.take(raw)
		case to != nil:
			a = p.rest(r, to, id)
		case r.Method == http.MethodGet && r.URL.Path == "/":
			a = p.page()
		default:
			a = notFound
		}
		a.freeze()
		p.mu.Unlock()
		a, err = p.after(r.Context(), f, a)
	}
	a.freeze()
	p.mu.Lock()
	defer p.mu.Unlock()
	end := &p.calls[c.N-1]
	end.Fault, end.Done = f.Kind, true
	if err == nil {
		end.Status, end.Answer = a.status, a.raw
	}
	return a, err
}

// rest carries out a call of REST. Called with the lock held.
func (p *PagerDuty) rest(r *http.Request, to *route, id string) answer {
	token, is := strings.CutPrefix(r.Header.Get("Authorization"), "Token token=")
	if !is || p.token == "" || strings.Trim(token, `"`) != p.token {
		return refuse(http.StatusUnauthorized, 2006, "Authentication failed")
	}
	if wait := p.admit(false, token); wait > 0 {
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
	return answer{status: http.StatusOK, body: object{
		name: append([]object{}, all[from:to]...), "limit": limit, "offset": offset, "more": to < len(all), "total": total,
	}}
}
