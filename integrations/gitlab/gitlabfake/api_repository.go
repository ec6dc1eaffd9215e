package gitlabfake

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
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
		if c = cmp.Or(c, cmp.Compare(a.name, b.name)); q.str("sort") != "asc" {
			return -c
		}
		return c
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

// Commits: docs.gitlab.com/api/commits

func (q *request) listCommits() (any, *problem) {
	ref := q.str("ref_name")
	var all []*commit
	if from, to, isRange := strings.Cut(ref, ".."); isRange {
		a, b := q.project.resolve(from), q.project.resolve(strings.TrimPrefix(to, "."))
		if a == nil || b == nil {
			return nil, notFound("Commit")
		}
		all = ahead(a, b)
	} else if q.flag("all") {
		all = history(slices.Collect(maps.Values(q.project.branches))...)
	} else {
		c := q.project.resolve(ref)
		if c == nil {
			return nil, notFound("Commit")
		}
		all = history(c)
		if q.flag("first_parent") {
			all = []*commit{c}
			for len(c.parents) > 0 {
				c = c.parents[0]
				all = append(all, c)
			}
		}
	}
	since, p := q.moment("since")
	if p != nil {
		return nil, p
	}
	until, p := q.moment("until")
	if p != nil {
		return nil, p
	}
	where := q.str("path")
	var found []any
	for _, c := range all {
		if c.at.Before(since) || !until.IsZero() && c.at.After(until) || where != "" && !c.touches(where) {
			continue
		}
		if author := strings.ToLower(q.str("author")); author != "" && !strings.Contains(strings.ToLower(c.name+" <"+c.email+">"), author) {
			continue
		}
		found = append(found, q.commitJSON(c))
	}
	return q.cut(found, false)
}

func (q *request) theCommit() (*commit, *problem) {
	if c := q.project.resolve(q.param("sha")); c != nil {
		return c, nil
	}
	return nil, notFound("Commit")
}

func (q *request) getCommit() (any, *problem) {
	c, p := q.theCommit()
	if p != nil {
		return nil, p
	}
	o := q.commitJSON(c)
	o["project_id"] = q.project.id
	o["status"], o["last_pipeline"] = nil, nil
	for _, pl := range slices.Backward(q.project.pipelines) {
		if pl.commit == c {
			o["status"], o["last_pipeline"] = pl.status, q.pipelineInfo(pl)
			break
		}
	}
	var parent *commit
	if len(c.parents) > 0 {
		parent = c.parents[0]
	}
	adds, dels := 0, 0
	for _, d := range changes(parent, c) {
		for l := range strings.SplitSeq(d.(object)["diff"].(string), "\n") {
			if strings.HasPrefix(l, "+") {
				adds++
			} else if strings.HasPrefix(l, "-") {
				dels++
			}
		}
	}
	o["stats"] = object{"additions": adds, "deletions": dels, "total": adds + dels}
	return o, nil
}

func (q *request) commitDiff() (any, *problem) {
	c, p := q.theCommit()
	if p != nil {
		return nil, p
	}
	var parent *commit
	if len(c.parents) > 0 {
		parent = c.parents[0]
	}
	return q.pages(changes(parent, c))
}

func (q *request) commitRefs() (any, *problem) {
	c, p := q.theCommit()
	if p != nil {
		return nil, p
	}
	var all []any
	kind := q.str("type")
	if kind != "tag" {
		for _, name := range slices.Sorted(maps.Keys(q.project.branches)) {
			if slices.Contains(history(q.project.branches[name]), c) {
				all = append(all, object{"type": "branch", "name": name})
			}
		}
	}
	if kind != "branch" {
		for _, name := range slices.Sorted(maps.Keys(q.project.tags)) {
			if slices.Contains(history(q.project.tags[name].commit), c) {
				all = append(all, object{"type": "tag", "name": name})
			}
		}
	}
	return q.pages(all)
}

func (q *request) commitMerges() (any, *problem) {
	c, p := q.theCommit()
	if p != nil {
		return nil, p
	}
	var all []any
	for _, m := range slices.Backward(q.project.merges) {
		if m.mergeCommit == c || m.head == c || slices.Contains(m.commits(), c) {
			if state := q.str("state"); state == "" || state == "all" || state == m.state {
				all = append(all, q.mergeJSON(m))
			}
		}
	}
	return q.pages(all)
}

// createCommit is POST repository/commits with actions.
func (q *request) createCommit() (any, *problem) {
	branch, message := q.str("branch"), q.str("commit_message")
	actions, _ := q.args["actions"].([]any)
	switch {
	case branch == "":
		return nil, missing("branch")
	case message == "":
		return nil, missing("commit_message")
	case q.args["actions"] == nil:
		return nil, missing("actions")
	case q.project.guard(branch, false) > q.project.level(q.user):
		return nil, refuse(http.StatusBadRequest, "You are not allowed to push into this branch")
	case refIsBad(branch):
		return nil, refuse(http.StatusBadRequest, "Branch name is invalid")
	}
	parent := q.project.branches[branch]
	starts := q.str("start_branch")
	if starts == "" {
		starts = q.str("start_sha")
	}
	if starts != "" {
		if parent != nil && !q.flag("force") {
			return nil, refuse(http.StatusBadRequest, "A branch called '"+branch+"' already exists. Switch to that branch in order to make changes")
		}
		parent = q.project.resolve(starts)
	}
	if parent == nil {
		return nil, refuse(http.StatusBadRequest, "You can only create or edit files when you are on a branch")
	}
	files := maps.Clone(parent.files)
	for _, one := range actions {
		a, _ := one.(map[string]any)
		if p := act(files, a); p != nil {
			return nil, p
		}
	}
	by := *q.user
	if v := q.str("author_name"); v != "" {
		by.Name = v
	}
	if v := q.str("author_email"); v != "" {
		by.Email = v
	}
	c := q.project.commit(&by, message, []*commit{parent}, files, time.Now())
	q.s.pushBranch(q.project, q.user, branch, c)
	return q.commitJSON(c), nil
}

func act(files map[string]string, a map[string]any) *problem {
	name, previous := text(a["file_path"]), text(a["previous_path"])
	content := text(a["content"])
	if text(a["encoding"]) == "base64" {
		b, err := base64.StdEncoding.DecodeString(content)
		if err != nil {
			return refuse(http.StatusBadRequest, "invalid base64")
		}
		content = string(b)
	}
	_, there := files[name]
	switch text(a["action"]) {
	case "create":
		if there {
			return refuse(http.StatusBadRequest, "A file with this name already exists")
		}
		files[name] = content
	case "update":
		if !there {
			return refuse(http.StatusBadRequest, "A file with this name doesn't exist")
		}
		files[name] = content
	case "delete":
		if !there {
			return refuse(http.StatusBadRequest, "A file with this name doesn't exist")
		}
		delete(files, name)
	case "move":
		old, had := files[previous]
		if !had {
			return refuse(http.StatusBadRequest, "A file with this name doesn't exist")
		}
		delete(files, previous)
		if a["content"] == nil {
			content = old
		}
		files[name] = content
	case "chmod":
	default:
		return &problem{http.StatusBadRequest, object{"error": "actions[0][action] does not have a valid value"}}
	}
	return nil
}

// Repositories: docs.gitlab.com/api/repositories

func (q *request) compare() (any, *problem) {
	from, to := q.str("from"), q.str("to")
	if from == "" {
		return nil, missing("from")
	}
	if to == "" {
		return nil, missing("to")
	}
	a, b := q.project.resolve(from), q.project.resolve(to)
	if a == nil || b == nil {
		return nil, notFound("Ref")
	}
	between := ahead(a, b)
	slices.Reverse(between)
	var commits []any
	for _, c := range between {
		commits = append(commits, q.commitJSON(c))
	}
	base := a
	if !q.flag("straight") {
		base = mergeBase(a, b)
	}
	var last any
	if len(between) > 0 {
		last = q.commitJSON(b)
	}
	return object{
		"commit": last, "commits": filled(commits), "diffs": filled(changes(base, b)), "compare_timeout": false, "compare_same_ref": a == b,
		"web_url": q.s.base + "/" + q.project.Path + "/-/compare/" + from + "..." + to,
	}, nil
}

func (q *request) mergeBase() (any, *problem) {
	refs := q.list("refs")
	if len(refs) < 2 {
		return nil, refuse(http.StatusBadRequest, "Provide exactly 2 refs")
	}
	a, b := q.project.resolve(refs[0]), q.project.resolve(refs[1])
	if a == nil || b == nil {
		return nil, refuse(http.StatusBadRequest, "Could not find ref: "+strings.Join(refs, ", "))
	}
	base := mergeBase(a, b)
	if base == nil {
		return nil, notFound("Merge Base")
	}
	return q.commitJSON(base), nil
}

func (q *request) listTree() (any, *problem) {
	c := q.project.resolve(q.str("ref"))
	if c == nil {
		return nil, notFound("Tree")
	}
	entries := c.tree(q.str("path"), q.flag("recursive"))
	if len(entries) == 0 && strings.Trim(q.str("path"), "/") != "" {
		return nil, notFound("invalid revision or path")
	}
	var all []any
	for _, e := range entries {
		o := object{"id": e.id, "name": path.Base(e.path), "type": "blob", "path": e.path, "mode": "100644"}
		if e.dir {
			o["type"], o["mode"] = "tree", "040000"
		}
		all = append(all, o)
	}
	return q.cursors(all, "", "page_token", func(o any) string { return o.(object)["path"].(string) })
}

func (q *request) theFile() (name, content string, c *commit, p *problem) {
	ref := q.str("ref")
	if ref == "" {
		ref = "HEAD"
	}
	if c = q.project.resolve(ref); c == nil {
		return "", "", nil, notFound("Commit")
	}
	name = q.param("file")
	content, found := c.files[name]
	if !found {
		return "", "", nil, notFound("File")
	}
	return name, content, c, nil
}

func (q *request) getFile() (any, *problem) {
	name, content, c, p := q.theFile()
	if p != nil {
		return nil, p
	}
	last := c
	for _, one := range history(c) {
		if one.touches(name) {
			last = one
			break
		}
	}
	sum := sha256.Sum256([]byte(content))
	o := object{
		"file_name": path.Base(name), "file_path": name, "size": len(content), "encoding": "base64", "ref": q.str("ref"),
		"content": base64.StdEncoding.EncodeToString([]byte(content)), "content_sha256": hex.EncodeToString(sum[:]),
		"blob_id": blobID(content), "commit_id": c.id, "last_commit_id": last.id, "execute_filemode": false,
	}
	return o, nil
}

func (q *request) rawFile() (any, *problem) {
	_, content, _, p := q.theFile()
	if p != nil {
		return nil, p
	}
	return raw{"text/plain", []byte(content)}, nil
}
