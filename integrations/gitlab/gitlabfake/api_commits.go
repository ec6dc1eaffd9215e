package gitlabfake

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

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

func (q *request) getCommit(c *commit) (any, *problem) {
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

func (q *request) commitDiff(c *commit) (any, *problem) {
	var parent *commit
	if len(c.parents) > 0 {
		parent = c.parents[0]
	}
	return q.pages(changes(parent, c))
}

func (q *request) commitRefs(c *commit) (any, *problem) {
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

func (q *request) commitMerges(c *commit) (any, *problem) {
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
