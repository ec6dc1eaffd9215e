package gitlabfake

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Sizes of pages, and from how many items on GitLab no longer counts them
// (docs.gitlab.com/api/rest#pagination).
const (
	usualPage = 20
	mostPage  = 100
	counted   = 10_000
)

// latestFirst turns a comparison round unless the argument sort says "asc".
func (q *request) latestFirst(c int) int {
	if q.str("sort") != "asc" {
		return -c
	}
	return c
}

// pages cuts the page that was asked for out of a list.
func (q *request) pages(all []any) (any, *problem) { return q.cut(all, true) }

// pagesOf is pages of things as JSON.
func pagesOf[T any](q *request, found []T, json func(T) object) (any, *problem) {
	var all []any
	for _, one := range found {
		all = append(all, json(one))
	}
	return q.pages(all)
}

// cut is pages; without count the totals are left out, as GitLab does for commits.
func (q *request) cut(all []any, count bool) (any, *problem) {
	size := int(q.num("per_page", usualPage))
	if size < 1 {
		return nil, &problem{http.StatusBadRequest, object{"error": "per_page does not have a valid value"}}
	}
	size = min(size, mostPage)
	n := int(q.num("page", 1))
	if n < 1 {
		return nil, &problem{http.StatusBadRequest, object{"error": "page does not have a valid value"}}
	}
	start := min(len(all), (n-1)*size)
	end := min(len(all), start+size)
	last := max(1, (len(all)+size-1)/size)
	h := q.header
	h.Set("X-Page", strconv.Itoa(n))
	h.Set("X-Per-Page", strconv.Itoa(size))
	h.Set("X-Next-Page", "")
	h.Set("X-Prev-Page", "")
	var links []string
	link := func(page int, rel string) {
		links = append(links, q.link(url.Values{"page": {strconv.Itoa(page)}, "per_page": {strconv.Itoa(size)}}, rel))
	}
	if n > 1 {
		h.Set("X-Prev-Page", strconv.Itoa(n-1))
		link(n-1, "prev")
	}
	if end < len(all) {
		h.Set("X-Next-Page", strconv.Itoa(n+1))
		link(n+1, "next")
	}
	link(1, "first")
	if count && len(all) <= counted {
		h.Set("X-Total", strconv.Itoa(len(all)))
		h.Set("X-Total-Pages", strconv.Itoa(last))
		link(last, "last")
	}
	h.Set("Link", strings.Join(links, ", "))
	return filled(all[start:end]), nil
}

// cursors is pages for a list that knows keyset pagination when it is ordered by one
// argument; key is what distinguishes an item, and parameter carries the cursor.
func (q *request) cursors(all []any, order, parameter string, key func(any) string) (any, *problem) {
	if q.str("pagination") != "keyset" {
		return q.pages(all)
	}
	if by := q.str("order_by"); by != "" && by != order {
		return nil, &problem{http.StatusMethodNotAllowed, object{"error": "Keyset pagination is not yet available for this type of request"}}
	}
	size := min(mostPage, max(1, int(q.num("per_page", usualPage))))
	start := 0
	if token := q.str(parameter); token != "" {
		after, err := base64.URLEncoding.DecodeString(token)
		if err != nil {
			return nil, invalid(parameter)
		}
		start = len(all)
		for i, item := range all {
			if key(item) == string(after) {
				start = i + 1
			}
		}
	}
	end := min(len(all), start+size)
	q.header.Set("X-Per-Page", strconv.Itoa(size))
	if end < len(all) {
		next := base64.URLEncoding.EncodeToString([]byte(key(all[end-1])))
		q.header.Set("Link", q.link(url.Values{parameter: {next}, "per_page": {strconv.Itoa(size)}}, "next"))
	}
	return filled(all[start:end]), nil
}

func (q *request) link(changed url.Values, rel string) string {
	query := url.Values{}
	for name, v := range q.query {
		if name != "private_token" {
			query[name] = v
		}
	}
	for name, v := range changed {
		query[name] = v
	}
	path := strings.TrimPrefix(q.r.URL.EscapedPath(), q.s.prefix)
	return fmt.Sprintf(`<%s%s?%s>; rel="%s"`, q.s.base, path, query.Encode(), rel)
}

// filled is a list that is never null.
func filled(list []any) []any {
	if list == nil {
		return []any{}
	}
	return list
}
