package jirafake

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// mostFetched is how many issues one call hands out.
const mostFetched = 100

// bulkFetch hands out issues by key or ID as they are now, not as they were indexed, in the order of
// their IDs. Those that there are not, or that are hidden, are left out without a word; an issue that was
// moved has its new key.
func (j *Jira) bulkFetch(r *request) answer {
	o := r.object()
	refs := stringsOf(o["issueIdsOrKeys"])
	if len(refs) == 0 {
		return fail(http.StatusBadRequest, "At least one issue ID or key must be provided.")
	}
	if len(refs) > mostFetched {
		return fail(http.StatusBadRequest, "At most 100 issues can be fetched.")
	}
	fields := stringsOf(o["fields"])
	if len(fields) == 0 {
		fields = []string{"*navigable"}
	}
	var found []*issue
	for _, ref := range refs {
		if i := j.visible(r.user, ref); i != nil && !slices.Contains(found, i) {
			found = append(found, i)
		}
	}
	slices.SortFunc(found, func(a, b *issue) int { return cmp.Compare(a.id, b.id) })
	issues := each(found, func(i *issue) any {
		return j.issueJSON(i, j.viewOf(r), fields, stringsOf(o["expand"]), stringsOf(o["properties"]))
	})
	return ok(Object{"issues": issues, "issueErrors": []any{}})
}

// readLenient is readQuery for who says that values that do not exist are to be found nowhere instead of
// being refused: Data Center's validateQuery.
func (j *Jira) readLenient(u *User, jql string) (*query, *answer) {
	q, bad := j.readQuery(u, jql)
	if bad == nil {
		return q, nil
	}
	parsed, err := parseJQL(jql)
	if err != nil {
		return nil, bad
	}
	for _, why := range j.check(u, parsed) {
		if !strings.Contains(why, "does not exist for") {
			return nil, bad
		}
	}
	return parsed, nil
}
