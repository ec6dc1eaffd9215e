package gitlabfake

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// release: docs.gitlab.com/api/releases
type release struct {
	id          int64
	tag         string
	name        string
	description string
	commit      *commit
	author      *user
	created     time.Time
	released    time.Time
	links       []*releaseLink
}

// releaseLink: docs.gitlab.com/api/releases/links
type releaseLink struct {
	id              int64
	name, url, kind string
}

func (p *project) release(tagName string) *release {
	for _, r := range p.releases {
		if r.tag == tagName {
			return r
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (s *Server) releaseURL(p *project, r *release) string {
	return s.base + "/" + p.Path + "/-/releases/" + r.tag
}

func linkJSON(l *releaseLink) object {
	return object{"id": l.id, "name": l.name, "url": l.url, "direct_asset_url": l.url, "link_type": l.kind, "external": true}
}

func (q *request) releaseJSON(r *release) object {
	links := []any{}
	for _, l := range r.links {
		links = append(links, linkJSON(l))
	}
	url := q.s.releaseURL(q.project, r)
	return object{
		"tag_name": r.tag, "name": cmp.Or(r.name, r.tag), "description": r.description, "created_at": stamp(r.created), "released_at": stamp(r.released),
		"upcoming_release": r.released.After(time.Now()), "author": q.s.basic(r.author), "commit": q.commitJSON(r.commit), "milestones": []any{},
		"commit_path": "/" + q.project.Path + "/-/commit/" + r.commit.id, "tag_path": "/" + q.project.Path + "/-/tags/" + r.tag,
		"assets": object{"count": len(links), "links": links, "sources": []any{}}, "evidences": []any{},
		"_links": object{"self": url, "edit_url": url + "/edit"},
	}
}

func (q *request) listReleases() (any, *problem) {
	found := slices.Clone(q.project.releases)
	slices.SortStableFunc(found, func(a, b *release) int {
		c := a.released.Compare(b.released)
		if q.str("order_by") == "created_at" {
			c = a.created.Compare(b.created)
		}
		return q.latestFirst(cmp.Or(c, cmp.Compare(a.id, b.id)))
	})
	var all []any
	for _, r := range found {
		in, p := q.between("updated", r.created)
		if p != nil {
			return nil, p
		}
		if in {
			all = append(all, q.releaseJSON(r))
		}
	}
	return q.pages(all)
}

func (q *request) theRelease() (*release, *problem) {
	if r := q.project.release(q.param("tag")); r != nil {
		return r, nil
	}
	return nil, notFound("")
}

func (q *request) getRelease(r *release) (any, *problem) {
	return q.releaseJSON(r), nil
}

func (q *request) latestRelease() (any, *problem) {
	var last *release
	for _, r := range q.project.releases {
		if last == nil || r.released.After(last.released) {
			last = r
		}
	}
	if last == nil {
		return nil, notFound("")
	}
	return q.releaseJSON(last), nil
}

func (q *request) createRelease() (any, *problem) {
	name := q.str("tag_name")
	if name == "" {
		return nil, missing("tag_name")
	}
	if q.project.release(name) != nil {
		return nil, refuse(http.StatusConflict, "Release already exists")
	}
	links, p := q.assets()
	if p != nil {
		return nil, p
	}
	at, p := q.moment("released_at")
	if p != nil {
		return nil, p
	}
	if q.project.guard(name, true) > q.project.level(q.user) {
		return nil, forbidden()
	}
	t := q.project.tags[name]
	if t == nil {
		if q.str("ref") == "" {
			return nil, refuse(http.StatusUnprocessableEntity, "Ref is not specified")
		}
		if t, p = q.makeTag(name, q.str("ref"), q.str("tag_message")); p != nil {
			return nil, p
		}
	}
	now := time.Now()
	if at.IsZero() {
		at = now
	}
	r := &release{
		id: q.s.id("release"), tag: name, name: q.str("name"), description: q.str("description"), commit: t.commit, author: q.user,
		created: now, released: at,
	}
	for _, l := range links {
		l.id = q.s.id("link")
		r.links = append(r.links, l)
	}
	q.project.releases = append(q.project.releases, r)
	q.s.releaseChanged(q.project, r, q.user, "create")
	q.s.touch()
	return q.releaseJSON(r), nil
}

func (q *request) assets() ([]*releaseLink, *problem) {
	assets, _ := q.args["assets"].(map[string]any)
	list, _ := assets["links"].([]any)
	var links []*releaseLink
	for _, one := range list {
		o, _ := one.(map[string]any)
		l := &releaseLink{name: text(o["name"]), url: text(o["url"]), kind: cmp.Or(text(o["link_type"]), "other")}
		if p := checkLink(links, l); p != nil {
			return nil, p
		}
		links = append(links, l)
	}
	return links, nil
}

func checkLink(others []*releaseLink, l *releaseLink) *problem {
	switch {
	case l.name == "":
		return missing("name")
	case l.url == "":
		return missing("url")
	}
	for _, o := range others {
		if o != l && o.name == l.name {
			return refuse(http.StatusBadRequest, object{"name": []string{"has already been taken"}})
		}
		if o != l && o.url == l.url {
			return refuse(http.StatusBadRequest, object{"url": []string{"has already been taken"}})
		}
	}
	return nil
}

func (q *request) updateRelease(r *release) (any, *problem) {
	if q.project.guard(r.tag, true) > q.project.level(q.user) {
		return nil, forbidden()
	}
	if q.has("name") {
		r.name = q.str("name")
	}
	if q.has("description") {
		r.description = q.str("description")
	}
	if at, p := q.moment("released_at"); p != nil {
		return nil, p
	} else if !at.IsZero() {
		r.released = at
	}
	q.s.releaseChanged(q.project, r, q.user, "update")
	q.s.touch()
	return q.releaseJSON(r), nil
}

func (q *request) deleteRelease(r *release) (any, *problem) {
	q.project.releases = slices.DeleteFunc(q.project.releases, func(one *release) bool { return one == r })
	q.s.releaseChanged(q.project, r, q.user, "delete")
	q.status = http.StatusOK
	return q.releaseJSON(r), nil
}

func (q *request) listLinks(r *release) (any, *problem) {
	var all []any
	for _, l := range r.links {
		all = append(all, linkJSON(l))
	}
	return q.pages(all)
}

func (q *request) createLink(r *release) (any, *problem) {
	l := &releaseLink{name: q.str("name"), url: q.str("url"), kind: cmp.Or(q.str("link_type"), "other")}
	if p := checkLink(r.links, l); p != nil {
		return nil, p
	}
	l.id = q.s.id("link")
	r.links = append(r.links, l)
	return linkJSON(l), nil
}

func (q *request) theLink() (*release, *releaseLink, *problem) {
	r, p := q.theRelease()
	if p != nil {
		return nil, nil, p
	}
	for _, l := range r.links {
		if strconv.FormatInt(l.id, 10) == q.param("link") {
			return r, l, nil
		}
	}
	return nil, nil, notFound("")
}

func (q *request) getLink() (any, *problem) {
	_, l, p := q.theLink()
	if p != nil {
		return nil, p
	}
	return linkJSON(l), nil
}

func (q *request) updateLink() (any, *problem) {
	r, l, p := q.theLink()
	if p != nil {
		return nil, p
	}
	changed := releaseLink{l.id, cmp.Or(q.str("name"), l.name), cmp.Or(q.str("url"), l.url), cmp.Or(q.str("link_type"), l.kind)}
	others := slices.DeleteFunc(slices.Clone(r.links), func(one *releaseLink) bool { return one == l })
	if p := checkLink(others, &changed); p != nil {
		return nil, p
	}
	*l = changed
	return linkJSON(l), nil
}

func (q *request) deleteLink() (any, *problem) {
	r, l, p := q.theLink()
	if p != nil {
		return nil, p
	}
	r.links = slices.DeleteFunc(r.links, func(one *releaseLink) bool { return one == l })
	q.status = http.StatusOK
	return linkJSON(l), nil
}
