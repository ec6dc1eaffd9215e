package gitlabfake

import (
	"encoding/json"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBody is the largest request that is read.
const maxBody = 16 << 20

// object is JSON in the making.
type object = map[string]any

// problem is an answer that says no.
type problem struct {
	status int
	body   any
}

func refuse(status int, message any) *problem {
	return &problem{status, object{"message": message}}
}

func notFound(what string) *problem {
	if what != "" {
		what += " "
	}
	return refuse(http.StatusNotFound, "404 "+what+"Not Found")
}

func missing(name string) *problem {
	return &problem{http.StatusBadRequest, object{"error": name + " is missing"}}
}

func invalid(name string) *problem {
	return &problem{http.StatusBadRequest, object{"error": name + " is invalid"}}
}

func forbidden() *problem { return refuse(http.StatusForbidden, "403 Forbidden") }

// need says who may call a route.
type need struct {
	kind  needKind
	level Level
	scope string // one more scope that is enough for it
}

type needKind int

const (
	anybody      needKind = iota
	somebody              // anyone who has a token
	readProject           // members from a level on; everybody where the project is open
	writeProject          // members from a level on
	readGroup
	writeGroup
	onlyAdmin
)

// route is one address of the API. A segment ":name" takes any one segment, "*name" at the
// end all the rest.
type route struct {
	method   string
	path     string
	segments []string
	need     need
	call     func(*request) (any, *problem)
}

// of is a call about one thing that the address names; where find does not find it, that is the answer.
func of[T any](find func(*request) (T, *problem), call func(*request, T) (any, *problem)) func(*request) (any, *problem) {
	return func(q *request) (any, *problem) {
		thing, p := find(q)
		if p != nil {
			return nil, p
		}
		return call(q, thing)
	}
}

func (r route) match(segments []string) (map[string]string, bool) {
	params := map[string]string{}
	for i, want := range r.segments {
		if name, rest := strings.CutPrefix(want, "*"); rest {
			if i >= len(segments) {
				return nil, false
			}
			params[name] = strings.Join(segments[i:], "/")
			return params, true
		}
		if i >= len(segments) {
			return nil, false
		}
		if name, variable := strings.CutPrefix(want, ":"); variable {
			params[name] = segments[i]
		} else if want != segments[i] {
			return nil, false
		}
	}
	return params, len(segments) == len(r.segments)
}

// request is one call that is being answered, with the lock held.
type request struct {
	s       *Server
	r       *http.Request
	params  map[string]string
	query   url.Values
	args    map[string]any // of the query and of the body
	token   *token         // nil: anonymous
	user    *user          // nil: anonymous
	project *project
	group   *group
	status  int // of the answer; 0: what is usual for the method
	header  http.Header
}

// raw is an answer that is no JSON.
type raw struct {
	kind string
	data []byte
}

// ServeHTTP answers the API below /api/v4 of the base path, and shows the state of the
// server at the base path itself.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	escaped := r.URL.EscapedPath()
	inside, found := strings.CutPrefix(escaped, s.prefix)
	if !found || inside != "" && inside[0] != '/' {
		http.NotFound(w, r)
		return
	}
	path, isAPI := strings.CutPrefix(inside, "/api/v4/")
	if !isAPI {
		s.servePage(w, r, inside)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	segments := strings.Split(strings.Trim(path, "/"), "/")
	for i := range segments {
		if plain, err := url.PathUnescape(segments[i]); err == nil {
			segments[i] = plain
		}
	}
	var rt *route
	var params map[string]string
	allowed := false
	for i := range s.routes {
		p, fits := s.routes[i].match(segments)
		if !fits {
			continue
		}
		allowed = true
		if s.routes[i].method == r.Method || s.routes[i].method == http.MethodGet && r.Method == http.MethodHead {
			rt, params = &s.routes[i], p
			break
		}
	}
	call := Call{Method: r.Method, Path: "/" + path, Query: r.URL.RawQuery, Body: string(body)}
	if rt != nil {
		call.Route = "/" + rt.path
	}
	s.mu.Lock()
	t, p := s.authenticate(r)
	s.mu.Unlock()
	if t != nil {
		call.Token = t.Name
	}
	call, fault := s.arrive(call)
	if !s.before(w, r, call, fault) {
		return
	}
	q := &request{s: s, r: r, params: params, query: r.URL.Query(), token: t, header: http.Header{}}
	if t != nil {
		q.user = t.user
	}
	var answer any
	var wait time.Duration
	s.enter()
	switch {
	case p != nil:
	case rt == nil && allowed:
		p = &problem{http.StatusMethodNotAllowed, object{"error": "405 Not Allowed"}}
	case rt == nil:
		p = &problem{http.StatusNotFound, object{"error": "404 Not Found"}}
	default:
		key := ""
		if t != nil {
			key = t.Value
			t.used = time.Now()
		}
		if wait = s.admit(key, q.header); wait > 0 {
			break
		}
		if p = q.readArgs(body); p == nil {
			p = q.authorise(rt)
		}
		if p == nil {
			answer, p = rt.call(q)
		}
	}
	s.leave()
	if wait > 0 {
		s.tooMany(w, call, int(math.Ceil(wait.Seconds())))
		return
	}
	if !s.after(w, r, call, fault) {
		return
	}
	status := q.status
	switch {
	case p != nil:
		status, answer = p.status, p.body
	case status != 0:
	case r.Method == http.MethodPost:
		status = http.StatusCreated
	case r.Method == http.MethodDelete:
		status = http.StatusNoContent
	default:
		status = http.StatusOK
	}
	s.answer(w, call, status, q.header, answer)
}

func (s *Server) answer(w http.ResponseWriter, c Call, status int, header http.Header, answer any) {
	s.over(c.N, status)
	s.opts.Log.Debug("call", "n", c.N, "method", c.Method, "path", c.Path, "status", status)
	h := w.Header()
	for name, values := range header {
		h[name] = values
	}
	h.Set("X-Request-Id", secret(8))
	data, isRaw := answer.(raw)
	switch {
	case status == http.StatusNoContent:
		w.WriteHeader(status)
	case isRaw:
		h.Set("Content-Type", data.kind)
		w.WriteHeader(status)
		_, _ = w.Write(data.data)
	default:
		h.Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer)
	}
}

// authenticate finds the token of a request. None is no problem yet.
func (s *Server) authenticate(r *http.Request) (*token, *problem) {
	value := r.Header.Get("PRIVATE-TOKEN")
	if bearer, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); found {
		value = bearer
	}
	if value == "" {
		value = r.URL.Query().Get("private_token")
	}
	if value == "" {
		return nil, nil
	}
	for _, t := range s.tokens {
		if t.Value != value {
			continue
		}
		switch {
		case t.Revoked:
			return nil, &problem{http.StatusUnauthorized, object{
				"error": "invalid_token", "error_description": "Token was revoked. You have to re-authorize from the user.",
			}}
		case t.lapsed():
			return nil, &problem{http.StatusUnauthorized, object{
				"error": "invalid_token", "error_description": "Token is expired. You can either do re-authorization or token refresh.",
			}}
		}
		return t, nil
	}
	return nil, refuse(http.StatusUnauthorized, "401 Unauthorized")
}

// authorise checks scopes and levels, and finds the project or group of the address. What
// the caller may not see is not found; what they see and may not do is forbidden
// (docs.gitlab.com/api/rest/troubleshooting#status-codes).
func (q *request) authorise(rt *route) *problem {
	reads := rt.method == http.MethodGet
	if q.token != nil && rt.need.scope != "*" {
		enough := []string{"api"}
		if reads {
			enough = append(enough, "read_api")
		}
		if rt.need.scope != "" {
			enough = append(enough, rt.need.scope)
		}
		if !q.token.allows(enough...) {
			return &problem{http.StatusForbidden, object{
				"error":             "insufficient_scope",
				"error_description": "The request requires higher privileges than provided by the access token.",
				"scope":             strings.Join(enough, " "),
			}}
		}
	}
	who := rt.need
	if q.user == nil && who.kind != anybody && who.kind != readProject && who.kind != readGroup {
		return refuse(http.StatusUnauthorized, "401 Unauthorized")
	}
	var level Level
	var visibility string
	switch who.kind {
	case onlyAdmin:
		if !q.user.Admin {
			return forbidden()
		}
		return nil
	case readProject, writeProject:
		q.project = q.s.findProject(q.param("id"))
		if q.project == nil {
			return notFound("Project")
		}
		level, visibility = q.project.level(q.user), q.project.Visibility
		if level == 0 && !open(visibility, q.user) {
			return notFound("Project")
		}
	case readGroup, writeGroup:
		q.group = q.s.findGroup(q.param("id"))
		if q.group == nil {
			return notFound("Group")
		}
		level, visibility = q.group.level(q.user), q.group.Visibility
		if level == 0 && !open(visibility, q.user) && !q.s.seesInside(q.group, q.user) {
			return notFound("Group")
		}
		if who.kind == readGroup {
			return nil
		}
	default:
		return nil
	}
	if who.kind == readProject && open(visibility, q.user) {
		return nil
	}
	if level < who.level {
		return forbidden()
	}
	return nil
}

// readArgs takes the arguments of the query and of the body together.
func (q *request) readArgs(body []byte) *problem {
	q.args = map[string]any{}
	take := func(values url.Values) {
		for name, v := range values {
			if plain, list := strings.CutSuffix(name, "[]"); list {
				q.args[plain] = slices.Concat(q.list(plain), v)
			} else {
				q.args[name] = v[len(v)-1]
			}
		}
	}
	take(q.query)
	if len(body) == 0 {
		return nil
	}
	kind, _, _ := mime.ParseMediaType(q.r.Header.Get("Content-Type"))
	switch kind {
	case "application/json":
		var o map[string]any
		if err := json.Unmarshal(body, &o); err != nil {
			return &problem{http.StatusBadRequest, object{"error": "Problems parsing JSON"}}
		}
		for name, v := range o {
			if v != nil {
				q.args[name] = v
			}
		}
	case "application/x-www-form-urlencoded":
		v, err := url.ParseQuery(string(body))
		if err != nil {
			return &problem{http.StatusBadRequest, object{"error": "Problems parsing the form"}}
		}
		take(v)
	default:
		return &problem{http.StatusUnsupportedMediaType, object{"error": "The provided content-type '" + kind + "' is not supported."}}
	}
	return nil
}

func (q *request) param(name string) string { return q.params[name] }

func (q *request) has(name string) bool { return q.args[name] != nil }

// str is an argument as text, "" without it.
func (q *request) str(name string) string { return text(q.args[name]) }

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case nil:
		return ""
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func (q *request) flag(name string) bool {
	v := q.str(name)
	return v == "true" || v == "1"
}

func (q *request) num(name string, usual int64) int64 {
	if n, err := strconv.ParseInt(q.str(name), 10, 64); err == nil {
		return n
	}
	return usual
}

// list is an argument with several values; one with commas is split.
func (q *request) list(name string) []string {
	switch v := q.args[name].(type) {
	case []string:
		return v
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, text(one))
		}
		return all
	case nil:
		return nil
	default:
		return strings.Split(text(v), ",")
	}
}

// moment is an argument that is a time; zero without it.
func (q *request) moment(name string) (time.Time, *problem) {
	v := q.str(name)
	if v == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02"} {
		if t, err := time.Parse(layout, v); err == nil {
			return t, nil
		}
	}
	return time.Time{}, invalid(name)
}

// between reports whether a time is within the arguments prefix_after and prefix_before.
func (q *request) between(prefix string, t time.Time) (bool, *problem) {
	after, p := q.moment(prefix + "_after")
	if p != nil {
		return false, p
	}
	before, p := q.moment(prefix + "_before")
	if p != nil {
		return false, p
	}
	return (after.IsZero() || t.After(after)) && (before.IsZero() || t.Before(before)), nil
}

// during is between for when a thing was updated and when it was created.
func (q *request) during(updated, created time.Time) (bool, *problem) {
	in, p := q.between("updated", updated)
	if p != nil {
		return false, p
	}
	also, p := q.between("created", created)
	return in && also, p
}

// stamp is a time as GitLab writes it; a zero one is null.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
