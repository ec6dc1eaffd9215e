package gitlabfake

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
)

func (q *request) commitJSON(c *commit) object {
	ids := []string{}
	for _, p := range c.parents {
		ids = append(ids, p.id)
	}
	return object{
		"id": c.id, "short_id": c.id[:8], "title": c.title(), "message": c.message, "author_name": c.name, "author_email": c.email,
		"authored_date": stamp(c.at), "committer_name": c.name, "committer_email": c.email, "committed_date": stamp(c.at),
		"created_at": stamp(c.at), "parent_ids": ids, "trailers": object{}, "extended_trailers": object{},
		"web_url": q.s.base + "/" + q.project.Path + "/-/commit/" + c.id,
	}
}

// Tags: docs.gitlab.com/api/tags

func (q *request) tagJSON(t *tag) object {
	o := object{
		"name": t.name, "message": t.message, "target": t.commit.id, "commit": q.commitJSON(t.commit), "release": nil,
		"protected": q.project.guard(t.name, true) > 0, "created_at": nil,
	}
	if t.message != "" { // an annotated tag is an object of its own
		o["target"], o["created_at"] = blobID("tag "+t.name+t.message+t.commit.id), stamp(t.created)
	}
	if r := q.project.release(t.name); r != nil {
		o["release"] = object{"tag_name": t.name, "description": r.description}
	}
	return o
}

func (q *request) listTags() (any, *problem) {
	word := q.str("search")
	var found []*tag
	for _, t := range q.project.tags {
		begins, isBegin := strings.CutPrefix(word, "^")
		ends, isEnd := strings.CutSuffix(word, "$")
		switch {
		case isBegin && !strings.HasPrefix(t.name, begins), isEnd && !isBegin && !strings.HasSuffix(t.name, ends),
			!isBegin && !isEnd && !strings.Contains(strings.ToLower(t.name), strings.ToLower(word)):
			continue
		}
		found = append(found, t)
	}
	slices.SortFunc(found, func(a, b *tag) int {
		c := 0
		switch q.str("order_by") {
		case "name":
		case "version":
			c = versionOrder(a.name, b.name)
		default:
			c = a.commit.at.Compare(b.commit.at)
		}
		return q.latestFirst(cmp.Or(c, cmp.Compare(a.name, b.name)))
	})
	var all []any
	for _, t := range found {
		all = append(all, q.tagJSON(t))
	}
	return q.cursors(all, "name", "page_token", func(o any) string { return o.(object)["name"].(string) })
}

// versionOrder compares names number by number where both have digits.
func versionOrder(a, b string) int {
	for a != "" && b != "" {
		x, y := leading(a), leading(b)
		if isDigit(x[0]) && isDigit(y[0]) {
			n, m := strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if c := cmp.Or(cmp.Compare(len(n), len(m)), cmp.Compare(n, m)); c != 0 {
				return c
			}
		} else if c := cmp.Compare(x, y); c != 0 {
			return c
		}
		a, b = a[len(x):], b[len(y):]
	}
	return cmp.Compare(len(a), len(b))
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// leading is what a name begins with: digits only, or none.
func leading(s string) string {
	i := 1
	for i < len(s) && isDigit(s[i]) == isDigit(s[0]) {
		i++
	}
	return s[:i]
}

func (q *request) getTag() (any, *problem) {
	t := q.project.tags[q.param("tag")]
	if t == nil {
		return nil, notFound("Tag")
	}
	return q.tagJSON(t), nil
}

func (q *request) createTag() (any, *problem) {
	name, ref := q.str("tag_name"), q.str("ref")
	if name == "" {
		return nil, missing("tag_name")
	}
	if ref == "" {
		return nil, missing("ref")
	}
	t, p := q.makeTag(name, ref, q.str("message"))
	if p != nil {
		return nil, p
	}
	return q.tagJSON(t), nil
}

func (q *request) makeTag(name, ref, message string) (*tag, *problem) {
	c := q.project.resolve(ref)
	switch {
	case q.project.guard(name, true) > q.project.level(q.user):
		return nil, refuse(http.StatusBadRequest, "You are not allowed to create this tag as it is protected.")
	case refIsBad(name):
		return nil, refuse(http.StatusBadRequest, "Tag name invalid")
	case q.project.tags[name] != nil:
		return nil, refuse(http.StatusBadRequest, "Tag "+name+" already exists")
	case c == nil:
		return nil, refuse(http.StatusBadRequest, "Target "+ref+" is invalid")
	}
	return q.s.pushTag(q.project, q.user, name, message, c), nil
}

func (q *request) deleteTag() (any, *problem) {
	t := q.project.tags[q.param("tag")]
	if t == nil {
		return nil, notFound("Tag")
	}
	if q.project.guard(t.name, true) > q.project.level(q.user) {
		return nil, refuse(http.StatusForbidden, "You are not allowed to delete this tag as it is protected.")
	}
	delete(q.project.tags, t.name)
	q.s.tagPushed(q.project, q.user, t, true)
	return nil, nil
}

// Branches: docs.gitlab.com/api/branches

func (q *request) branchJSON(name string) object {
	c := q.project.branches[name]
	need, mine := q.project.guard(name, false), q.project.level(q.user)
	top := q.project.branches[q.project.DefaultBranch]
	return object{
		"name": name, "commit": q.commitJSON(c), "merged": name != q.project.DefaultBranch && slices.Contains(history(top), c),
		"protected": need > 0, "default": name == q.project.DefaultBranch, "developers_can_push": need <= Developer,
		"developers_can_merge": need <= Developer, "can_push": mine >= max(need, Developer),
		"web_url": q.s.base + "/" + q.project.Path + "/-/tree/" + name,
	}
}

func (q *request) listBranches() (any, *problem) {
	var all []any
	for _, name := range slices.Sorted(maps.Keys(q.project.branches)) {
		if strings.Contains(name, strings.Trim(q.str("search"), "^$")) {
			all = append(all, q.branchJSON(name))
		}
	}
	return q.cursors(all, "name", "page_token", func(o any) string { return o.(object)["name"].(string) })
}

func (q *request) getBranch() (any, *problem) {
	if q.project.branches[q.param("branch")] == nil {
		return nil, notFound("Branch")
	}
	return q.branchJSON(q.param("branch")), nil
}

func (q *request) createBranch() (any, *problem) {
	name, ref := q.str("branch"), q.str("ref")
	if name == "" {
		return nil, missing("branch")
	}
	if ref == "" {
		return nil, missing("ref")
	}
	c := q.project.resolve(ref)
	switch {
	case refIsBad(name):
		return nil, refuse(http.StatusBadRequest, "Branch name is invalid")
	case q.project.branches[name] != nil:
		return nil, refuse(http.StatusBadRequest, "Branch already exists")
	case c == nil:
		return nil, refuse(http.StatusBadRequest, "Invalid reference name: "+ref)
	case q.project.guard(name, false) > q.project.level(q.user):
		return nil, refuse(http.StatusBadRequest, "You are not allowed to create protected branches on this project.")
	}
	q.s.pushBranch(q.project, q.user, name, c)
	return q.branchJSON(name), nil
}

func (q *request) deleteBranch() (any, *problem) {
	name := q.param("branch")
	switch {
	case q.project.branches[name] == nil:
		return nil, notFound("Branch")
	case name == q.project.DefaultBranch:
		return nil, refuse(http.StatusBadRequest, "Cannot remove HEAD branch")
	case q.project.guard(name, false) > q.project.level(q.user):
		return nil, refuse(http.StatusMethodNotAllowed, "Protected branch can't be removed")
	}
	q.s.pushBranch(q.project, q.user, name, nil)
	return nil, nil
}
