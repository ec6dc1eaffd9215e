package jirafake

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// page is where an enhanced search goes on; it lives for a week.
type page struct {
	user *User
	rest []int
	made time.Time
}

const pageLife = 7 * 24 * time.Hour

// run finds what a query finds, in its order. reconcile are issues that are looked at as
// they are instead of as they were indexed.
func (j *Jira) run(u *User, q *query, reconcile []int) []*issue {
	var found []*issue
	for _, now := range j.sorted() {
		i := j.inIndex(now)
		if slices.Contains(reconcile, now.id) {
			i = now
		}
		if i != nil && j.may(u, i.project, Browse) && (q.where == nil || j.meets(u, q.where, i)) {
			found = append(found, i)
		}
	}
	order := q.order
	if len(order) == 0 {
		order = []sorting{{"created", true}}
	}
	slices.Reverse(found) // newest first among equals
	slices.SortStableFunc(found, func(a, b *issue) int {
		for _, s := range order {
			f := j.searchField(s.field)
			c := 0
			if f.order != nil {
				c = f.order(a, b)
			} else if f.values != nil {
				c = strings.Compare(first(f.values(a)), first(f.values(b)))
			}
			if s.desc {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return found
}

func first(values [][]string) string {
	if len(values) == 0 {
		return ""
	}
	return strings.ToLower(values[0][0])
}

// read parses a query and checks it.
func (j *Jira) readQuery(u *User, jql string) (*query, *answer) {
	refuse := func(why ...string) (*query, *answer) {
		a := fail(http.StatusBadRequest, why...)
		return nil, &a
	}
	q, err := parseJQL(jql)
	if err != nil {
		return refuse(err.Error())
	}
	if j.cloud && q.where == nil {
		return refuse("Unbounded JQL queries are not allowed here. Please add a search restriction to your query.")
	}
	if j.cloud && len(q.order) > 7 {
		return refuse("The orderBy clause can contain a maximum of 7 fields.")
	}
	if bad := j.check(u, q); len(bad) > 0 {
		return refuse(bad...)
	}
	return q, nil
}

func (j *Jira) searchEnhancedQuery(r *request) answer {
	o := Object{"jql": r.query.Get("jql"), "expand": r.query.Get("expand"), "maxResults": float64(r.number("maxResults", 50))}
	lists := map[string][]string{"fields": r.list("fields"), "properties": r.list("properties"), "reconcileIssues": r.list("reconcileIssues")}
	for name, values := range lists {
		all := []any{}
		for _, v := range values {
			if id, err := strconv.ParseFloat(v, 64); name == "reconcileIssues" && err == nil {
				all = append(all, id)
			} else {
				all = append(all, v)
			}
		}
		o[name] = all
	}
	if r.query.Has("nextPageToken") {
		o["nextPageToken"] = r.query.Get("nextPageToken")
	}
	r.body = o
	return j.searchEnhanced(r)
}

func stringsOf(value any) []string {
	var all []string
	values, _ := value.([]any)
	for _, v := range values {
		if s, is := v.(string); is {
			all = append(all, s)
		}
	}
	return split(all)
}

// searchEnhanced is Cloud's search: pages by token, no total, and without fields nothing but IDs.
func (j *Jira) searchEnhanced(r *request) answer {
	o := r.object()
	for name := range o {
		if !slices.Contains([]string{"jql", "nextPageToken", "maxResults", "fields", "expand", "properties", "fieldsByKeys", "failFast", "reconcileIssues"}, name) {
			return fail(http.StatusBadRequest, "Invalid request payload. Refer to the REST API documentation and try again.")
		}
	}
	jql, _ := o["jql"].(string)
	fields, properties := stringsOf(o["fields"]), stringsOf(o["properties"])
	expand, _ := o["expand"].(string)
	most := 50
	if n, is := o["maxResults"].(float64); is {
		most = int(n)
	}
	if most < 1 || most > 5000 {
		return fail(http.StatusBadRequest, "The value of maxResults must be between 1 and 5000.")
	}
	bare := !slices.ContainsFunc(fields, func(f string) bool { return f != "id" && f != "key" })
	if !bare {
		most = min(most, 100)
	}
	var reconcile []int
	ids, _ := o["reconcileIssues"].([]any)
	for _, one := range ids {
		n, _ := one.(float64)
		reconcile = append(reconcile, int(n))
	}
	if len(reconcile) > 50 {
		return fail(http.StatusBadRequest, "reconcileIssues accepts at most 50 IDs.")
	}
	q, bad := j.readQuery(r.user, jql)
	if bad != nil {
		return *bad
	}
	var rest []int
	known := map[int]*issue{}
	found := j.run(r.user, q, reconcile)
	for _, i := range found {
		known[i.id] = i
		rest = append(rest, i.id)
	}
	if token, is := o["nextPageToken"].(string); is && token != "" {
		p := j.pages[token]
		if p == nil || p.user != r.user || time.Since(p.made) > pageLife {
			return fail(http.StatusBadRequest, "The provided next page token is invalid or expired.")
		}
		rest = p.rest
	}
	v := j.viewOf(r)
	issues := []any{}
	for len(rest) > 0 && len(issues) < most {
		id := rest[0]
		rest = rest[1:]
		i := known[id]
		if i == nil { // it is gone, or it changed since the first page
			if j.issues[id] == nil {
				continue
			}
			i = j.issues[id]
		}
		issues = append(issues, j.foundJSON(i, v, fields, split([]string{expand}), properties))
	}
	out := Object{"issues": issues, "isLast": len(rest) == 0}
	if len(rest) > 0 {
		b := make([]byte, 12)
		rand.Read(b)
		token := base64.URLEncoding.EncodeToString(b)
		j.pages[token] = &page{r.user, rest, time.Now()}
		out["nextPageToken"] = token
	}
	return ok(out)
}

// foundJSON is an issue among the results of Cloud's search.
func (j *Jira) foundJSON(i *issue, v view, fields, expand, properties []string) Object {
	if len(fields) == 0 || slices.Equal(fields, []string{"id"}) {
		return Object{"id": strconv.Itoa(i.id)}
	}
	o := j.issueJSON(i, v, fields, expand, properties)
	if len(o["fields"].(Object)) == 0 && !slices.ContainsFunc(fields, func(f string) bool { return f != "id" && f != "key" }) {
		delete(o, "fields")
	}
	return o
}

func (j *Jira) approximateCount(r *request) answer {
	jql, _ := r.object()["jql"].(string)
	q, bad := j.readQuery(r.user, jql)
	if bad != nil {
		return *bad
	}
	return ok(Object{"count": len(j.run(r.user, q, nil))})
}

func (j *Jira) searchQuery(r *request) answer {
	fields := []any{}
	for _, f := range r.list("fields") {
		fields = append(fields, f)
	}
	expand := []any{}
	for _, e := range r.list("expand") {
		expand = append(expand, e)
	}
	r.body = Object{"jql": r.query.Get("jql"), "startAt": float64(r.number("startAt", 0)), "maxResults": float64(r.number("maxResults", 50)), "fields": fields, "expand": expand}
	return j.search(r)
}

// search is Data Center's: pages by number, with a total.
func (j *Jira) search(r *request) answer {
	o := r.object()
	jql, _ := o["jql"].(string)
	start, most := 0, 50
	if n, is := o["startAt"].(float64); is {
		start = max(0, int(n))
	}
	if n, is := o["maxResults"].(float64); is {
		most = int(n)
	}
	most = max(0, min(most, 1000))
	read := j.readQuery
	if validate, is := o["validateQuery"].(bool); is && !validate {
		read = j.readLenient
	}
	q, bad := read(r.user, jql)
	if bad != nil {
		return *bad
	}
	fields := stringsOf(o["fields"])
	if len(fields) == 0 {
		fields = []string{"*navigable"}
	}
	found := j.run(r.user, q, nil)
	issues := each(window(found, start, most), func(i *issue) any {
		return j.issueJSON(i, j.viewOf(r), fields, stringsOf(o["expand"]), stringsOf(o["properties"]))
	})
	return ok(Object{"expand": "names,schema", "startAt": start, "maxResults": most, "total": len(found), "issues": issues})
}

func (j *Jira) pageLabels(r *request) answer {
	seen := map[string]bool{}
	for _, i := range j.issues {
		for _, l := range i.labels {
			seen[l] = true
		}
	}
	all := []any{}
	for l := range seen {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	return j.paged(r, j.self(j.viewOf(r), "label"), all, 1000)
}
