package gitlabfake

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Group is a group; groups above it are its path's beginning.
type Group struct {
	Path       string // "shop/backend"
	Name       string // empty: the path's last part
	Visibility string // empty: "private"
}

// Project is a project with a repository.
type Project struct {
	Path          string // "shop/backend/cart"; groups that are not there yet are made
	Name          string // empty: the path's last part
	Description   string
	Visibility    string            // "private", "internal" or "public"; empty: "private"
	DefaultBranch string            // empty: "main"
	Files         map[string]string // of the first commit; nil: a README.md
	Pipeline      *Definition       // nil: the project has no CI configuration
	// Protected are branches and tags, as patterns with *, that only those from a level on
	// may push to, create or run pipelines for; a tag's pattern begins with "tag:". Nil: the
	// default branch, from Maintainer on, as GitLab protects it.
	Protected map[string]Level
	// VariablesRole is from which level on pipeline variables may be set: Developer,
	// Maintainer, Owner, or NobodyMay. 0: Developer. (docs.gitlab.com/api/projects,
	// ci_pipeline_variables_minimum_override_role; new namespaces of GitLab.com allow nobody.)
	VariablesRole Level
	// Approvals is how many a merge request needs.
	Approvals int
	Archived  bool
}

// NobodyMay is a role that nobody has.
const NobodyMay Level = 100

type group struct {
	Group
	id      int64
	parent  *group
	members map[int64]Level
	hooks   []*hook
	created time.Time
}

type project struct {
	Project
	id         int64
	group      *group
	members    map[int64]Level
	hooks      []*hook
	created    time.Time
	active     time.Time
	commits    map[string]*commit
	order      []*commit // as they were made
	branches   map[string]*commit
	tags       map[string]*tag
	pipelines  []*pipeline // oldest first
	jobs       []*job      // oldest first
	statuses   []*commitStatus
	merges     []*merge
	envs       []*environment
	deploys    []*deployment
	releases   []*release
	registries []*registry
	iids       map[string]int64
}

func (p *project) iid(kind string) int64 {
	p.iids[kind]++
	return p.iids[kind]
}

// AddGroup adds a group, and those above it, and returns its ID.
func (s *Server) AddGroup(g Group) int64 {
	s.enter()
	defer s.leave()
	return s.addGroup(g).id
}

func (s *Server) addGroup(g Group) *group {
	if g.Visibility == "" {
		g.Visibility = "private"
	}
	var parent *group
	if above := path.Dir(g.Path); above != "." {
		if parent = s.findGroup(above); parent == nil {
			parent = s.addGroup(Group{Path: above, Visibility: g.Visibility})
		}
	}
	if g.Name == "" {
		g.Name = path.Base(g.Path)
	}
	added := &group{Group: g, id: s.id("namespace"), parent: parent, members: map[int64]Level{}, created: time.Now()}
	s.groups = append(s.groups, added)
	s.touch()
	return added
}

// AddProject adds a project with a first commit, and returns its ID.
func (s *Server) AddProject(p Project) int64 {
	s.enter()
	defer s.leave()
	if p.Visibility == "" {
		p.Visibility = "private"
	}
	if p.DefaultBranch == "" {
		p.DefaultBranch = "main"
	}
	if p.Name == "" {
		p.Name = path.Base(p.Path)
	}
	if p.Files == nil {
		p.Files = map[string]string{"README.md": "# " + p.Name + "\n"}
	}
	if p.Protected == nil {
		p.Protected = map[string]Level{p.DefaultBranch: Maintainer}
	}
	if p.VariablesRole == 0 {
		p.VariablesRole = Developer
	}
	above := path.Dir(p.Path)
	if above == "." {
		panic(wrong("the project %q has no group", p.Path))
	}
	g := s.findGroup(above)
	if g == nil {
		g = s.addGroup(Group{Path: above, Visibility: p.Visibility})
	}
	added := &project{
		Project: p, id: s.id("project"), group: g, members: map[int64]Level{}, created: time.Now(), active: time.Now(),
		commits: map[string]*commit{}, branches: map[string]*commit{}, tags: map[string]*tag{}, iids: map[string]int64{},
	}
	first := added.commit(s.users[0], "Initial commit", nil, p.Files, time.Now())
	added.branches[p.DefaultBranch] = first
	s.projects = append(s.projects, added)
	s.touch()
	return added.id
}

// Change changes settings of a project: f gets them and may change Description, Visibility,
// DefaultBranch, Pipeline, Protected, VariablesRole, Approvals and Archived. Pipelines that
// run go on as they began.
func (s *Server) Change(project string, f func(*Project)) {
	s.enter()
	defer s.leave()
	p := s.mustProject(project)
	changed := p.Project
	f(&changed)
	changed.Path, changed.Files = p.Path, p.Files
	p.Project = changed
	s.touch()
}

// findProject finds a project by its ID or path.
func (s *Server) findProject(key string) *project {
	for _, p := range s.projects {
		if strings.EqualFold(p.Path, key) || strconv.FormatInt(p.id, 10) == key {
			return p
		}
	}
	return nil
}

func (s *Server) mustProject(key string) *project {
	p := s.findProject(key)
	if p == nil {
		panic(wrong("there is no project %q", key))
	}
	return p
}

func (s *Server) findGroup(key string) *group {
	for _, g := range s.groups {
		if strings.EqualFold(g.Path, key) || strconv.FormatInt(g.id, 10) == key {
			return g
		}
	}
	return nil
}

// seesInside reports whether somebody is a member of something in a group, which makes the
// group itself visible.
func (s *Server) seesInside(g *group, u *user) bool {
	if u == nil {
		return false
	}
	for _, p := range s.projects {
		if p.group.within(g) && p.level(u) > 0 {
			return true
		}
	}
	for _, below := range s.groups {
		if below.within(g) && below.level(u) > 0 {
			return true
		}
	}
	return false
}

func (g *group) within(above *group) bool {
	for ; g != nil; g = g.parent {
		if g == above {
			return true
		}
	}
	return false
}

func (s *Server) projectJSON(p *project) object {
	web := s.base + "/" + p.Path
	return object{
		"id": p.id, "name": p.Name, "path": path.Base(p.Path), "path_with_namespace": p.Path, "description": p.Description,
		"name_with_namespace": strings.ReplaceAll(p.group.Path, "/", " / ") + " / " + p.Name,
		"default_branch":      p.DefaultBranch, "visibility": p.Visibility, "archived": p.Archived, "empty_repo": false,
		"created_at": stamp(p.created), "last_activity_at": stamp(p.active), "updated_at": stamp(p.active),
		"web_url": web, "readme_url": web + "/-/blob/" + p.DefaultBranch + "/README.md", "http_url_to_repo": web + ".git",
		"ssh_url_to_repo": "git@" + strings.TrimPrefix(strings.TrimPrefix(s.base, "https://"), "http://") + ":" + p.Path + ".git",
		"topics":          []string{}, "tag_list": []string{}, "avatar_url": nil, "forks_count": 0, "star_count": 0,
		"namespace": object{
			"id": p.group.id, "name": p.group.Name, "path": path.Base(p.group.Path), "kind": "group", "full_path": p.group.Path,
			"web_url": s.base + "/groups/" + p.group.Path, "parent_id": p.group.parentID(),
		},
		"jobs_enabled": true, "merge_requests_enabled": true, "builds_access_level": "enabled", "repository_access_level": "enabled",
		"ci_config_path": "", "merge_method": "merge", "container_registry_enabled": true,
		"ci_pipeline_variables_minimum_override_role": role(p.VariablesRole), "restrict_user_defined_variables": p.VariablesRole > Developer,
		"only_allow_merge_if_pipeline_succeeds": false,
	}
}

func role(l Level) string {
	switch {
	case l > Owner:
		return "no_one_allowed"
	case l >= Owner:
		return "owner"
	case l >= Maintainer:
		return "maintainer"
	}
	return "developer"
}

func (g *group) parentID() any {
	if g.parent == nil {
		return nil
	}
	return g.parent.id
}

func (s *Server) groupJSON(g *group) object {
	var names []string
	for up := g; up != nil; up = up.parent {
		names = append(names, up.Name)
	}
	slices.Reverse(names)
	return object{
		"id": g.id, "name": g.Name, "path": path.Base(g.Path), "full_path": g.Path, "full_name": strings.Join(names, " / "),
		"description": "", "visibility": g.Visibility, "parent_id": g.parentID(), "web_url": s.base + "/groups/" + g.Path,
		"avatar_url": nil, "created_at": stamp(g.created), "archived": false,
	}
}

func (q *request) getVersion() (any, *problem) {
	return object{"version": q.s.opts.Version, "revision": "0fa4e0f0d0e"}, nil
}

func (q *request) getMetadata() (any, *problem) {
	return object{
		"version": q.s.opts.Version, "revision": "0fa4e0f0d0e", "enterprise": strings.HasSuffix(q.s.opts.Version, "-ee"),
		"kas": object{"enabled": false, "externalUrl": nil, "version": nil},
	}, nil
}

func (q *request) getProject() (any, *problem) {
	o := q.s.projectJSON(q.project)
	if q.user != nil {
		access := func(l Level) any {
			if l == 0 {
				return nil
			}
			return object{"access_level": int(l), "notification_level": 3}
		}
		o["permissions"] = object{
			"project_access": access(q.project.members[q.user.id]), "group_access": access(q.project.group.inherited(q.user)),
		}
	}
	return o, nil
}

func (q *request) getGroup() (any, *problem) { return q.s.groupJSON(q.group), nil }

func (q *request) listProjects() (any, *problem) {
	return q.projectPages(func(p *project) bool {
		return !q.flag("membership") || q.user != nil && max(p.members[q.user.id], p.group.inherited(q.user)) > 0
	})
}

func (q *request) groupProjects() (any, *problem) {
	return q.projectPages(func(p *project) bool {
		return p.group == q.group || q.flag("include_subgroups") && p.group.within(q.group)
	})
}

func (q *request) projectPages(in func(*project) bool) (any, *problem) {
	least, order, up := Level(q.num("min_access_level", 0)), q.str("order_by"), q.str("sort") == "asc"
	var found []*project
	for _, p := range q.s.projects {
		level := p.level(q.user)
		if !in(p) || level == 0 && !open(p.Visibility, q.user) || least > 0 && level < least {
			continue
		}
		if q.has("archived") && q.flag("archived") != p.Archived || q.str("visibility") != "" && q.str("visibility") != p.Visibility {
			continue
		}
		if word := strings.ToLower(q.str("search")); word != "" && !strings.Contains(strings.ToLower(p.Name+" "+path.Base(p.Path)+" "+p.Path), word) {
			continue
		}
		if p.id <= q.num("id_after", 0) || q.has("id_before") && p.id >= q.num("id_before", 0) {
			continue
		}
		after, bad := q.moment("last_activity_after")
		if bad != nil {
			return nil, bad
		}
		if p.active.Before(after) {
			continue
		}
		found = append(found, p)
	}
	slices.SortStableFunc(found, func(a, b *project) int {
		c := 0
		switch order {
		case "id":
		case "name":
			c = cmp.Compare(a.Name, b.Name)
		case "path":
			c = cmp.Compare(a.Path, b.Path)
		case "last_activity_at", "updated_at":
			c = a.active.Compare(b.active)
		default:
			c = a.created.Compare(b.created)
		}
		if c = cmp.Or(c, cmp.Compare(a.id, b.id)); !up {
			return -c
		}
		return c
	})
	var all []any
	for _, p := range found {
		all = append(all, q.s.projectJSON(p))
	}
	if q.str("pagination") == "keyset" && order != "id" {
		return nil, &problem{405, object{"error": "Keyset pagination is not yet available for this type of request"}}
	}
	return q.cursors(all, "id", "cursor", func(o any) string { return fmt.Sprint(o.(object)["id"]) })
}

func (q *request) listGroups() (any, *problem) {
	return q.groupPages(func(*group) bool { return true })
}

func (q *request) subgroups() (any, *problem) {
	return q.groupPages(func(g *group) bool { return g.parent == q.group })
}

func (q *request) descendants() (any, *problem) {
	return q.groupPages(func(g *group) bool { return g != q.group && g.within(q.group) })
}

func (q *request) groupPages(in func(*group) bool) (any, *problem) {
	var found []*group
	for _, g := range q.s.groups {
		if in(g) && (g.level(q.user) > 0 || open(g.Visibility, q.user) || q.s.seesInside(g, q.user)) &&
			(q.str("search") == "" || strings.Contains(strings.ToLower(g.Path+" "+g.Name), strings.ToLower(q.str("search")))) {
			found = append(found, g)
		}
	}
	slices.SortFunc(found, func(a, b *group) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.id, b.id)) })
	return pagesOf(q, found, q.s.groupJSON)
}

// TopGroups returns the paths of the groups that are in no other.
func (s *Server) TopGroups() []string {
	s.enter()
	defer s.leave()
	var all []string
	for _, g := range s.groups {
		if g.parent == nil {
			all = append(all, g.Path)
		}
	}
	return all
}
