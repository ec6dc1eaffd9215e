package gitlabfake

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// registry is one repository of images of a project: docs.gitlab.com/api/container_registry
type registry struct {
	id      int64
	name    string // below the project; "" for the project's own
	created time.Time
	tags    map[string]image
}

type image struct {
	digest  string
	size    int64
	created time.Time
}

// PushImage puts a tag into a project's container registry, or moves it. The name is below
// the project's path and may be empty; the digest is "sha256:…".
func (s *Server) PushImage(project, name, tagName, digest string) {
	s.enter()
	defer s.leave()
	p := s.mustProject(project)
	var r *registry
	for _, one := range p.registries {
		if one.name == name {
			r = one
		}
	}
	if r == nil {
		r = &registry{id: s.id("registry"), name: name, created: time.Now(), tags: map[string]image{}}
		p.registries = append(p.registries, r)
	}
	r.tags[tagName] = image{digest: digest, size: 1 << 20, created: time.Now()}
	s.touch()
}

func (q *request) registryPath(r *registry) string {
	return strings.ToLower(strings.TrimSuffix(q.project.Path+"/"+r.name, "/"))
}

func (q *request) registryTag(r *registry, name string, whole bool) object {
	where := q.registryPath(r)
	o := object{"name": name, "path": where + ":" + name, "location": q.registryHost() + "/" + where + ":" + name}
	if whole {
		i := r.tags[name]
		o["revision"] = strings.TrimPrefix(i.digest, "sha256:")
		o["short_revision"] = o["revision"].(string)[:min(9, len(o["revision"].(string)))]
		o["digest"], o["created_at"], o["total_size"] = i.digest, stamp(i.created), i.size
	}
	return o
}

func (q *request) registryHost() string {
	_, rest, _ := strings.Cut(q.s.base, "://")
	host, _, _ := strings.Cut(rest, "/")
	name, _, _ := strings.Cut(host, ":")
	return "registry." + name
}

func (q *request) registryJSON(r *registry) object {
	o := object{
		"id": r.id, "name": r.name, "path": q.registryPath(r), "project_id": q.project.id, "location": q.registryHost() + "/" + q.registryPath(r),
		"created_at": stamp(r.created), "cleanup_policy_started_at": nil, "status": nil,
	}
	if q.flag("tags_count") {
		o["tags_count"] = len(r.tags)
	}
	if q.flag("tags") {
		all := []any{}
		for _, name := range sortedKeys(r.tags) {
			all = append(all, q.registryTag(r, name, false))
		}
		o["tags"] = all
	}
	return o
}

func (q *request) listRegistries() (any, *problem) {
	all := slices.Clone(q.project.registries)
	slices.SortFunc(all, func(a, b *registry) int { return cmp.Compare(a.id, b.id) })
	return pagesOf(q, all, q.registryJSON)
}

func (q *request) theRegistry() (*registry, *problem) {
	for _, r := range q.project.registries {
		if strconv.FormatInt(r.id, 10) == q.param("registry") {
			return r, nil
		}
	}
	return nil, notFound("Repository")
}

func (q *request) listRegistryTags(r *registry) (any, *problem) {
	var all []any
	for _, name := range sortedKeys(r.tags) {
		all = append(all, q.registryTag(r, name, false))
	}
	return q.pages(all)
}

func (q *request) getRegistryTag(r *registry) (any, *problem) {
	if _, found := r.tags[q.param("tag")]; !found {
		return nil, notFound("Tag")
	}
	return q.registryTag(r, q.param("tag"), true), nil
}
