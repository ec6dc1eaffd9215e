package jirafake

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBody is the largest request that is read.
const maxBody = 8 << 20

// answer is what a call is answered with: JSON, or raw text.
type answer struct {
	status int
	body   any
	raw    string
	html   bool
	json   bool // raw is JSON
	header http.Header
}

func ok(body any) answer      { return answer{status: http.StatusOK, body: body} }
func created(b any) answer    { return answer{status: http.StatusCreated, body: b} }
func noContent() answer       { return answer{status: http.StatusNoContent} }
func gone(what string) answer { return fail(http.StatusNotFound, what) }

// fail is an error in Jira's form.
func fail(status int, messages ...string) answer {
	return answer{status: status, body: Object{"errorMessages": append([]string{}, messages...), "errors": Object{}}}
}

// wrong is a refusal that names fields.
func wrong(errors map[string]string) answer {
	return answer{status: http.StatusBadRequest, body: Object{"errorMessages": []string{}, "errors": errors}}
}

// freeze writes the body while the lock is held: it may hold what changes later.
func (a *answer) freeze() {
	if a.body == nil {
		return
	}
	raw, err := json.Marshal(a.body)
	if err != nil {
		panic(fmt.Sprintf("jirafake: an answer that is no JSON: %v", err))
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
		rw.Header().Set("Content-Type", "application/json;charset=UTF-8")
	case a.raw != "":
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	rw.WriteHeader(a.status)
	_, _ = io.WriteString(rw, a.raw)
}

// request is a call on its way. Handlers get it with the lock held.
type request struct {
	user  *User
	path  map[string]string
	query url.Values
	body  any // JSON; nil without a body
}

func (r *request) object() Object {
	o, _ := r.body.(Object)
	return o
}

func (r *request) number(name string, usual int) int {
	if n, err := strconv.Atoi(r.query.Get(name)); err == nil && n >= 0 {
		return n
	}
	return usual
}

// list reads a parameter that may be repeated and may have commas.
func (r *request) list(name string) []string { return split(r.query[name]) }

func split(values []string) []string {
	var all []string
	for _, v := range values {
		for one := range strings.SplitSeq(v, ",") {
			if one = strings.TrimSpace(one); one != "" {
				all = append(all, one)
			}
		}
	}
	return all
}

type route struct {
	method, pattern string
	open            bool // for people who are not logged in
	call            func(*request) answer
}

// match compares a path with a pattern whose parts in braces stand for anything.
func (rt *route) match(parts []string) (map[string]string, bool) {
	want := strings.Split(rt.pattern, "/")[1:]
	if len(want) != len(parts) {
		return nil, false
	}
	values := map[string]string{}
	for i, w := range want {
		if strings.HasPrefix(w, "{") {
			if parts[i] == "" {
				return nil, false
			}
			values[strings.Trim(w, "{}")] = parts[i]
		} else if w != parts[i] {
			return nil, false
		}
	}
	return values, true
}

// table is all of the API; of several patterns that fit the first counts.
func (j *Jira) table() []route {
	t := []route{
		{"GET", "/serverInfo", true, j.getServerInfo}, {"GET", "/myself", false, j.getMyself}, {"GET", "/mypermissions", false, j.getMyPermissions},
		{"GET", "/user", false, j.getUser}, {"GET", "/user/search", false, j.searchUsers}, {"GET", "/user/assignable/search", false, j.searchAssignable},
		{"GET", "/field", false, j.getFields}, {"GET", "/status", false, j.getStatuses}, {"GET", "/status/{status}", false, j.getStatus},
		{"GET", "/statuscategory", false, j.getCategories}, {"GET", "/priority", false, j.getPriorities}, {"GET", "/resolution", false, j.getResolutions},
		{"GET", "/issuetype", false, j.getIssueTypes}, {"GET", "/issueLinkType", false, j.getLinkTypes},
		{"GET", "/project", false, j.getProjects}, {"GET", "/project/{project}", false, j.getProject},
		{"GET", "/project/{project}/components", false, j.getComponents}, {"GET", "/project/{project}/versions", false, j.getVersions},
		{"GET", "/project/{project}/version", false, j.pageVersions}, {"GET", "/project/{project}/statuses", false, j.getProjectStatuses},
		{"POST", "/version", false, j.createVersion}, {"GET", "/version/{version}", false, j.getVersion}, {"PUT", "/version/{version}", false, j.updateVersion},
		{"GET", "/version/{version}/relatedIssueCounts", false, j.relatedIssues}, {"GET", "/version/{version}/unresolvedIssueCount", false, j.unresolvedIssues},
		{"GET", "/issue/createmeta/{project}/issuetypes", false, j.createMetaTypes}, {"GET", "/issue/createmeta/{project}/issuetypes/{type}", false, j.createMetaFields},
		{"POST", "/issue", false, j.createIssue}, {"GET", "/issue/{issue}", false, j.getIssue}, {"PUT", "/issue/{issue}", false, j.editIssue},
		{"DELETE", "/issue/{issue}", false, j.deleteIssue}, {"GET", "/issue/{issue}/editmeta", false, j.editMeta},
		{"GET", "/issue/{issue}/transitions", false, j.getTransitions}, {"POST", "/issue/{issue}/transitions", false, j.doTransition},
		{"PUT", "/issue/{issue}/assignee", false, j.assign},
		{"GET", "/issue/{issue}/comment", false, j.getComments}, {"POST", "/issue/{issue}/comment", false, j.addComment},
		{"GET", "/issue/{issue}/comment/{comment}", false, j.getComment}, {"PUT", "/issue/{issue}/comment/{comment}", false, j.updateComment},
		{"DELETE", "/issue/{issue}/comment/{comment}", false, j.deleteComment},
		{"GET", "/comment/{comment}/properties", false, j.commentProperties}, {"GET", "/comment/{comment}/properties/{key}", false, j.commentProperty},
		{"PUT", "/comment/{comment}/properties/{key}", false, j.setCommentProperty}, {"DELETE", "/comment/{comment}/properties/{key}", false, j.deleteCommentProperty},
		{"GET", "/issue/{issue}/properties", false, j.issueProperties}, {"GET", "/issue/{issue}/properties/{key}", false, j.issueProperty},
		{"PUT", "/issue/{issue}/properties/{key}", false, j.setIssueProperty}, {"DELETE", "/issue/{issue}/properties/{key}", false, j.deleteIssueProperty},
		{"GET", "/issue/{issue}/remotelink", false, j.getRemoteLinks}, {"POST", "/issue/{issue}/remotelink", false, j.putRemoteLink},
		{"DELETE", "/issue/{issue}/remotelink", false, j.deleteRemoteLinkByGlobalID}, {"GET", "/issue/{issue}/remotelink/{link}", false, j.getRemoteLink},
		{"PUT", "/issue/{issue}/remotelink/{link}", false, j.updateRemoteLink}, {"DELETE", "/issue/{issue}/remotelink/{link}", false, j.deleteRemoteLink},
		{"POST", "/issueLink", false, j.createLink}, {"GET", "/issueLink/{link}", false, j.getLink}, {"DELETE", "/issueLink/{link}", false, j.deleteLink},
	}
	if j.cloud {
		return append(t,
			route{"GET", "/search/jql", false, j.searchEnhancedQuery}, route{"POST", "/search/jql", false, j.searchEnhanced},
			route{"POST", "/search/approximate-count", false, j.approximateCount},
			route{"POST", "/issue/bulkfetch", false, j.bulkFetch},
			route{"GET", "/search", false, removedSearch}, route{"POST", "/search", false, removedSearch},
			route{"GET", "/project/search", false, j.pageProjects}, route{"GET", "/priority/search", false, j.pagePriorities},
			route{"GET", "/resolution/search", false, j.pageResolutions}, route{"GET", "/label", false, j.pageLabels},
			route{"GET", "/issue/{issue}/changelog", false, j.pageChangelog},
		)
	}
	return append(t, route{"GET", "/search", false, j.searchQuery}, route{"POST", "/search", false, j.search})
}

// find is the route of a request. A pattern without variables wins.
func (j *Jira) find(method, path string) (found *route, values map[string]string, known bool) {
	var parts []string
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		plain, err := url.PathUnescape(part)
		if err != nil {
			return nil, nil, false
		}
		parts = append(parts, plain)
	}
	for i := range j.routes {
		v, fits := j.routes[i].match(parts)
		if !fits {
			continue
		}
		known = true
		if j.routes[i].method == method && (found == nil || len(v) < len(values)) {
			found, values = &j.routes[i], v
		}
	}
	return found, values, known
}

// serve answers a request, or says how the connection broke.
func (j *Jira) serve(r *http.Request) (answer, error) {
	var raw []byte
	if r.Body != nil {
		var err error
		if raw, err = io.ReadAll(io.LimitReader(r.Body, maxBody+1)); err != nil {
			return answer{}, errDropped
		}
	}
	j.mu.Lock()
	path, inside := strings.CutPrefix(r.URL.EscapedPath(), j.prefix)
	sub, inAPI := strings.CutPrefix(path, j.api+"/")
	var (
		rt     *route
		values map[string]string
		known  bool
	)
	c := Call{N: len(j.calls) + 1, Method: r.Method, Path: path, Query: r.URL.RawQuery, Body: string(raw), Time: time.Now()}
	if inside && inAPI {
		if rt, values, known = j.find(r.Method, sub); rt != nil {
			c.Route = rt.method + " " + rt.pattern
			j.perRoute[c.Route]++
			c.RouteN = j.perRoute[c.Route]
		}
	}
	user, authErr := j.authenticate(r.Header.Get("Authorization"))
	if user != nil {
		c.User = user.Name
	}
	j.calls = append(j.calls, c)
	decide, down := j.fault, j.down || j.closed
	j.mu.Unlock()

	var f Fault
	switch {
	case down:
		f.Kind = Refused
	case decide != nil:
		f = decide(c)
	}
	a, err, goOn := j.before(r.Context(), f)
	if goOn {
		j.mu.Lock()
		a = j.carryOut(r, c, rt, known, values, user, authErr, raw, inside && inAPI)
		a.freeze()
		j.mu.Unlock()
		a, err = j.after(r.Context(), f, a)
	}
	a.freeze()
	j.mu.Lock()
	defer j.mu.Unlock()
	end := &j.calls[c.N-1]
	end.Fault, end.Done = f.Kind, true
	if err == nil {
		end.Status, end.Answer = a.status, a.raw
	}
	return a, err
}

// carryOut does what is asked for. Called with the lock held.
func (j *Jira) carryOut(r *http.Request, c Call, rt *route, known bool, values map[string]string, user *User, authErr *answer, raw []byte, inAPI bool) answer {
	switch {
	case !inAPI && (c.Path == "/" || c.Path == "") && r.Method == http.MethodGet:
		return j.page()
	case !inAPI && j.cloud && strings.HasPrefix(c.Path, "/rest/api/2/search"):
		return removedSearch(nil)
	case !inAPI || !known:
		return answer{status: http.StatusNotFound, body: Object{"message": "null for uri: " + c.Path, "status-code": 404}}
	case rt == nil:
		return answer{status: http.StatusMethodNotAllowed, body: Object{"message": "HTTP 405 Method Not Allowed", "status-code": 405}}
	case authErr != nil:
		return *authErr
	case user == nil && !rt.open:
		return unauthorised()
	}
	if wait := j.admit(user); wait > 0 {
		return tooMany(wait)
	}
	req := &request{user: user, path: values, query: r.URL.Query()}
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			return answer{status: http.StatusUnsupportedMediaType, body: Object{"message": "HTTP 415 Unsupported Media Type", "status-code": 415}}
		}
		if len(raw) > maxBody {
			return fail(http.StatusRequestEntityTooLarge, "The request is too large.")
		}
		if err := json.Unmarshal(raw, &req.body); err != nil {
			return fail(http.StatusBadRequest, "There was an error parsing JSON. Check that your request body is valid.")
		}
	}
	return rt.call(req)
}

func removedSearch(*request) answer {
	return fail(http.StatusGone, "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API. A full migration guideline is available at https://developer.atlassian.com/changelog/#CHANGE-2046")
}

// self is an address of the API. Called with the lock held.
func (j *Jira) self(v view, parts ...string) string {
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return j.base + v.api + "/" + strings.Join(parts, "/")
}

// window cuts a page out of a list and describes it.
func window[T any](all []T, start, most int) []T {
	start = min(start, len(all))
	return slices.Clone(all[start:min(len(all), start+most)])
}

// paged is a page of Cloud's newer resources.
func (j *Jira) paged(r *request, self string, all []any, usual int) answer {
	start, most := r.number("startAt", 0), min(r.number("maxResults", usual), usual)
	values := window(all, start, most)
	if values == nil {
		values = []any{}
	}
	o := Object{"self": self, "startAt": start, "maxResults": most, "total": len(all), "isLast": start+len(values) >= len(all), "values": values}
	if start+len(values) < len(all) {
		o["nextPage"] = fmt.Sprintf("%s?startAt=%d&maxResults=%d", self, start+len(values), most)
	}
	return ok(o)
}
