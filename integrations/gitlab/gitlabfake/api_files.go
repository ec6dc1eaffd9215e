package gitlabfake

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"path"
	"slices"
	"strings"
)

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
