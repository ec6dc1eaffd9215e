package gitlabfake

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Level is what a member may do (docs.gitlab.com/api/access_requests#valid-access-levels).
type Level int

const (
	Guest      Level = 10
	Reporter   Level = 20
	Developer  Level = 30
	Maintainer Level = 40
	Owner      Level = 50
	admin      Level = 60
)

// User is somebody with an account.
type User struct {
	Username string
	Name     string // empty: the username
	Email    string // empty: the username at example.com
	Admin    bool
	Bot      bool
}

// Token is an access token.
type Token struct {
	Value   string // empty: a random one
	Name    string
	User    string    // username of whose it is; for a token of a project or group a bot is made
	Scopes  []string  // nil: "api"
	Expires time.Time // zero: never
	Revoked bool
}

type user struct {
	User
	id      int64
	created time.Time
}

type token struct {
	Token
	id      int64
	user    *user
	created time.Time
	used    time.Time
}

// AddUser adds somebody and returns their ID.
func (s *Server) AddUser(u User) int64 {
	s.enter()
	defer s.leave()
	return s.addUser(u).id
}

func (s *Server) addUser(u User) *user {
	if u.Name == "" {
		u.Name = u.Username
	}
	if u.Email == "" {
		u.Email = u.Username + "@example.com"
	}
	added := &user{User: u, id: s.id("user"), created: time.Now()}
	s.users = append(s.users, added)
	s.touch()
	return added
}

// AddMember gives somebody a level in a group or project, or another one than before. Level
// 0 takes it away. It panics if the place or the person is not there.
func (s *Server) AddMember(place, username string, level Level) {
	s.enter()
	defer s.leave()
	s.setMember(place, s.mustUser(username), level)
	s.touch()
}

func (s *Server) setMember(place string, u *user, level Level) {
	if p := s.findProject(place); p != nil {
		p.members[u.id] = level
	} else if g := s.findGroup(place); g != nil {
		g.members[u.id] = level
	} else {
		panic(wrong("there is no group or project %q", place))
	}
}

// AddToken adds a personal access token and returns its value.
func (s *Server) AddToken(t Token) string {
	s.enter()
	defer s.leave()
	return s.addToken(t, s.mustUser(t.User))
}

// AddBotToken adds an access token of a group or project, whose bot has a level there, and
// returns its value.
func (s *Server) AddBotToken(place string, level Level, t Token) string {
	s.enter()
	defer s.leave()
	kind, id := "project", int64(0)
	if p := s.findProject(place); p != nil {
		id = p.id
	} else if g := s.findGroup(place); g != nil {
		kind, id = "group", g.id
	}
	if t.Name == "" {
		t.Name = "bot"
	}
	bot := s.addUser(User{Username: fmt.Sprintf("%s_%d_bot_%s", kind, id, secret(4)), Name: t.Name, Bot: true})
	s.setMember(place, bot, level)
	return s.addToken(t, bot)
}

func (s *Server) addToken(t Token, u *user) string {
	if t.Value == "" {
		t.Value = "glpat-" + secret(10)
	}
	if t.Scopes == nil {
		t.Scopes = []string{"api"}
	}
	t.User = u.Username
	s.tokens = append(s.tokens, &token{Token: t, id: s.id("token"), user: u, created: time.Now()})
	return t.Value
}

// Revoke makes a token void.
func (s *Server) Revoke(value string) {
	s.enter()
	defer s.leave()
	for _, t := range s.tokens {
		if t.Value == value {
			t.Revoked = true
		}
	}
}

func (s *Server) findUser(username string) *user {
	for _, u := range s.users {
		if strings.EqualFold(u.Username, strings.TrimPrefix(username, "@")) {
			return u
		}
	}
	return nil
}

func (s *Server) mustUser(username string) *user {
	if username == "" {
		return s.users[0]
	}
	u := s.findUser(username)
	if u == nil {
		panic(wrong("there is no user %q", username))
	}
	return u
}

// level is what somebody may do in a project: the most of what they are there and in each
// group above.
func (p *project) level(u *user) Level {
	if u == nil {
		return 0
	}
	if u.Admin {
		return admin
	}
	return max(p.members[u.id], p.group.level(u))
}

func (g *group) level(u *user) Level {
	if u == nil {
		return 0
	}
	if u.Admin {
		return admin
	}
	most := Level(0)
	for ; g != nil; g = g.parent {
		most = max(most, g.members[u.id])
	}
	return most
}

// open reports whether somebody who is no member sees what has this visibility.
func open(visibility string, u *user) bool {
	return visibility == "public" || visibility == "internal" && u != nil
}

func (t *token) allows(scopes ...string) bool {
	return slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(t.Scopes, s) })
}

func (t *token) lapsed() bool { return !t.Expires.IsZero() && !time.Now().Before(t.Expires) }

// basic is a user as GitLab shows one to others.
func (s *Server) basic(u *user) any {
	if u == nil {
		return nil
	}
	return object{
		"id": u.id, "username": u.Username, "name": u.Name, "state": "active", "locked": false, "avatar_url": nil,
		"web_url": s.base + "/" + u.Username,
	}
}

func (q *request) currentUser() (any, *problem) {
	u := q.user
	o := q.s.basic(u).(object)
	o["email"], o["public_email"], o["created_at"], o["bot"], o["is_admin"] = u.Email, "", stamp(u.created), u.Bot, u.Admin
	return o, nil
}

func (q *request) listUsers() (any, *problem) {
	var found []any
	for _, u := range q.s.users {
		if name := q.str("username"); name != "" && !strings.EqualFold(u.Username, name) {
			continue
		}
		if word := q.str("search"); word != "" && !strings.EqualFold(u.Email, word) &&
			!strings.Contains(strings.ToLower(u.Username+" "+u.Name), strings.ToLower(word)) {
			continue
		}
		found = append(found, q.s.basic(u))
	}
	return q.pages(found)
}

func (q *request) getUser() (any, *problem) {
	for _, u := range q.s.users {
		if fmt.Sprint(u.id) == q.param("user") {
			o := q.s.basic(u).(object)
			o["created_at"], o["bot"], o["public_email"] = stamp(u.created), u.Bot, u.Email
			return o, nil
		}
	}
	return nil, notFound("User")
}

func (q *request) selfToken() (any, *problem) {
	t := q.token
	o := object{
		"id": t.id, "name": t.Name, "revoked": t.Revoked, "created_at": stamp(t.created), "description": "", "scopes": t.Scopes,
		"user_id": t.user.id, "last_used_at": stamp(t.used), "active": true, "expires_at": nil,
	}
	if !t.Expires.IsZero() {
		o["expires_at"] = t.Expires.UTC().Format("2006-01-02")
	}
	return o, nil
}

// members lists who has a level in a project; with all also through groups above.
func (q *request) listMembers() (any, *problem) { return q.memberPages(false) }

func (q *request) listAllMembers() (any, *problem) { return q.memberPages(true) }

func (q *request) memberPages(all bool) (any, *problem) {
	var found []any
	for _, u := range q.s.users {
		level := Level(0)
		switch {
		case q.project != nil && all:
			level = max(q.project.members[u.id], q.project.group.inherited(u))
		case q.project != nil:
			level = q.project.members[u.id]
		case all:
			level = q.group.inherited(u)
		default:
			level = q.group.members[u.id]
		}
		if level > 0 {
			found = append(found, q.s.member(u, level))
		}
	}
	return q.pages(found)
}

func (q *request) getMember() (any, *problem) {
	for _, u := range q.s.users {
		if fmt.Sprint(u.id) != q.param("user") {
			continue
		}
		level := Level(0)
		if q.project != nil {
			level = max(q.project.members[u.id], q.project.group.inherited(u))
		} else {
			level = q.group.inherited(u)
		}
		if level > 0 {
			return q.s.member(u, level), nil
		}
	}
	return nil, notFound("Member")
}

func (g *group) inherited(u *user) Level {
	most := Level(0)
	for ; g != nil; g = g.parent {
		most = max(most, g.members[u.id])
	}
	return most
}

func (s *Server) member(u *user, level Level) object {
	o := s.basic(u).(object)
	o["access_level"], o["created_at"], o["expires_at"], o["email"] = int(level), stamp(u.created), nil, u.Email
	return o
}

// Protected branches and tags: docs.gitlab.com/api/protected_branches and
// docs.gitlab.com/api/protected_tags.

func (q *request) protectedBranches() (any, *problem) {
	return q.protected(false, "push_access_levels", "merge_access_levels")
}

func (q *request) protectedTags() (any, *problem) {
	return q.protected(true, "create_access_levels")
}

func (q *request) protected(tags bool, levels ...string) (any, *problem) {
	var all []any
	for i, pattern := range sortedKeys(q.project.Protected) {
		name, ofTags := strings.CutPrefix(pattern, "tag:")
		if ofTags != tags {
			continue
		}
		least := int(q.project.Protected[pattern])
		if least > int(Owner) {
			least = 0 // no one
		}
		o := object{"id": i + 1, "name": name}
		for _, l := range levels {
			o[l] = []any{object{"id": i + 1, "access_level": least, "user_id": nil, "group_id": nil}}
		}
		all = append(all, o)
	}
	return q.pages(all)
}
