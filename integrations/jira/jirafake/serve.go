package jirafake

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-release/muster/integrations/accidents"
)

// maxBody is the largest request that is read.
const maxBody = 8 << 20

// answer is what a call is answered with.
type answer = accidents.Answer

func ok(body any) answer      { return answer{Status: http.StatusOK, Body: body} }
func created(b any) answer    { return answer{Status: http.StatusCreated, Body: b} }
func noContent() answer       { return answer{Status: http.StatusNoContent} }
func gone(what string) answer { return fail(http.StatusNotFound, what) }

// fail is an error in Jira's form.
func fail(status int, messages ...string) answer {
	return answer{Status: status, Body: Object{"errorMessages": append([]string{}, messages...), "errors": Object{}}}
}

// wrong is a refusal that names fields.
func wrong(errors map[string]string) answer {
	return answer{Status: http.StatusBadRequest, Body: Object{"errorMessages": []string{}, "errors": errors}}
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

// enter finds out what a request is about, and returns what carries it out. Called with the lock
// held.
func (j *Jira) enter(r *http.Request, c *Call) func() answer {
	path, inside := strings.CutPrefix(r.URL.EscapedPath(), j.prefix)
	sub, inAPI := strings.CutPrefix(path, j.api+"/")
	inAPI = inAPI && inside
	c.Path = path
	var (
		rt     *route
		values map[string]string
		known  bool
	)
	if inAPI {
		if rt, values, known = j.find(r.Method, sub); rt != nil {
			c.Route = rt.method + " " + rt.pattern
		}
	}
	user, authErr := j.authenticate(r.Header.Get("Authorization"))
	if user != nil {
		c.User = user.Name
	}
	return func() answer { return j.carryOut(r, c, rt, known, values, user, authErr, inAPI) }
}

// carryOut does what is asked for. Called with the lock held.
func (j *Jira) carryOut(r *http.Request, c *Call, rt *route, known bool, values map[string]string, user *User, authErr *answer, inAPI bool) answer {
	switch {
	case !inAPI && (c.Path == "/" || c.Path == "") && r.Method == http.MethodGet:
		return j.page()
	case !inAPI && j.cloud && strings.HasPrefix(c.Path, "/rest/api/2/search"):
		return removedSearch(nil)
	case !inAPI || !known:
		return answer{Status: http.StatusNotFound, Body: Object{"message": "null for uri: " + c.Path, "status-code": 404}}
	case rt == nil:
		return answer{Status: http.StatusMethodNotAllowed, Body: Object{"message": "HTTP 405 Method Not Allowed", "status-code": 405}}
	case authErr != nil:
		return *authErr
	case user == nil && !rt.open:
		return unauthorised()
	}
	if wait := j.spent.Admit(user); wait > 0 {
		return tooMany(wait)
	}
	req := &request{user: user, path: values, query: r.URL.Query()}
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			return answer{Status: http.StatusUnsupportedMediaType, Body: Object{"message": "HTTP 415 Unsupported Media Type", "status-code": 415}}
		}
		if len(c.Body) > maxBody {
			return fail(http.StatusRequestEntityTooLarge, "The request is too large.")
		}
		if err := json.Unmarshal([]byte(c.Body), &req.body); err != nil {
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
