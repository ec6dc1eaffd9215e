package jirafake

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// User is somebody with an account. What is empty is made up by AddUser.
type User struct {
	Name        string // login name; tests name people by it on both flavors
	Key         string // Data Center
	AccountID   string // Cloud
	DisplayName string
	Email       string
	App         bool // an app's account, not a person's
	HideEmail   bool // only they see their address
	Inactive    bool
	Token       string // API token (Cloud) or personal access token (Data Center)
	TimeZone    string // empty: "Etc/UTC"
}

// Permission is a project permission by Jira's key.
type Permission string

// The permissions that the fake asks for.
const (
	Browse         Permission = "BROWSE_PROJECTS"
	CreateIssues   Permission = "CREATE_ISSUES"
	EditIssues     Permission = "EDIT_ISSUES"
	Transition     Permission = "TRANSITION_ISSUES"
	AssignIssues   Permission = "ASSIGN_ISSUES"
	Assignable     Permission = "ASSIGNABLE_USER"
	LinkIssues     Permission = "LINK_ISSUES"
	DeleteIssues   Permission = "DELETE_ISSUES"
	AddComments    Permission = "ADD_COMMENTS"
	EditOwn        Permission = "EDIT_OWN_COMMENTS"
	EditAll        Permission = "EDIT_ALL_COMMENTS"
	DeleteOwn      Permission = "DELETE_OWN_COMMENTS"
	DeleteAll      Permission = "DELETE_ALL_COMMENTS"
	ManageProject  Permission = "ADMINISTER_PROJECTS"
	ModifyReporter Permission = "MODIFY_REPORTER"
	ResolveIssues  Permission = "RESOLVE_ISSUES"  // to set resolutions and fix versions
	ScheduleIssues Permission = "SCHEDULE_ISSUES" // to set due dates
)

func projectPermissions() []Permission {
	return []Permission{Browse, CreateIssues, EditIssues, Transition, AssignIssues, Assignable, LinkIssues, DeleteIssues,
		AddComments, EditOwn, EditAll, DeleteOwn, DeleteAll, ManageProject, ModifyReporter, ResolveIssues, ScheduleIssues,
		"CLOSE_ISSUES", "MOVE_ISSUES", "CREATE_ATTACHMENTS", "MANAGE_WATCHERS", "VIEW_VOTERS_AND_WATCHERS", "WORK_ON_ISSUES", "VIEW_DEV_TOOLS"}
}

type denial struct {
	user    *User
	project string
	what    Permission
}

// AddUser adds somebody and returns them with what was made up. They may do everything in
// every project until Deny.
func (j *Jira) AddUser(u User) User {
	j.mu.Lock()
	defer j.mu.Unlock()
	if u.Key == "" {
		u.Key = u.Name
	}
	if u.AccountID == "" {
		u.AccountID = fmt.Sprintf("5b10a2844c20165700e%05d", j.id())
	}
	if u.DisplayName == "" {
		u.DisplayName = u.Name
	}
	if u.Email == "" {
		u.Email = u.Name + "@example.com"
	}
	if u.Token == "" {
		b := make([]byte, 16)
		rand.Read(b)
		u.Token = hex.EncodeToString(b)
	}
	if u.TimeZone == "" {
		u.TimeZone = "Etc/UTC"
	}
	j.users = append(j.users, &u)
	return u
}

// Deny takes permissions in a project from somebody; an empty project is every project.
func (j *Jira) Deny(user, project string, what ...Permission) error {
	return j.permit(user, project, what, true)
}

// Allow gives permissions back that Deny took in the same place.
func (j *Jira) Allow(user, project string, what ...Permission) error {
	return j.permit(user, project, what, false)
}

func (j *Jira) permit(user, project string, what []Permission, deny bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	u, err := j.person(user)
	if err != nil {
		return err
	}
	for _, p := range what {
		if deny {
			j.denied[denial{u, project, p}] = true
		} else {
			delete(j.denied, denial{u, project, p})
		}
	}
	return nil
}

// Revoke makes somebody's token void.
func (j *Jira) Revoke(user string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	u, err := j.person(user)
	if err != nil {
		return err
	}
	u.Token = ""
	return nil
}

func (j *Jira) may(u *User, p *project, what Permission) bool {
	return u != nil && !j.denied[denial{u, p.key, what}] && !j.denied[denial{u, "", what}]
}

// maySet reports whether somebody may set a field that is on the screen
// (support.atlassian.com/jira-cloud-administration/docs/permissions-for-company-managed-projects).
func (j *Jira) maySet(u *User, p *project, f *field) bool {
	needs := map[string]Permission{
		"reporter": ModifyReporter, "assignee": AssignIssues, "fixVersions": ResolveIssues, "resolution": ResolveIssues, "duedate": ScheduleIssues, "issuelinks": LinkIssues,
	}
	what, is := needs[f.id]
	return !is || j.may(u, p, what)
}

// person finds somebody by name, account ID, key or address.
func (j *Jira) person(ref string) (*User, error) {
	for _, u := range j.users {
		if ref != "" && (u.Name == ref || u.AccountID == ref || u.Key == ref || u.Email == ref) {
			return u, nil
		}
	}
	return nil, fmt.Errorf("jirafake: user %q: unknown", ref)
}

// named finds somebody as the API names people: by account ID or by name.
func (j *Jira) named(o Object) *User {
	for _, u := range j.users {
		if id, is := o["accountId"].(string); is && j.cloud && u.AccountID == id || j.cloud && o["id"] == u.AccountID {
			return u
		}
		if !j.cloud && (o["name"] == u.Name || o["name"] == nil && o["key"] == u.Key) {
			return u
		}
	}
	return nil
}

func unauthorised() answer {
	a := fail(http.StatusUnauthorized, "Client must be authenticated to access this resource.")
	a.Header = http.Header{"Www-Authenticate": {`OAuth realm="http%3A%2F%2Fjira.fake"`}}
	return a
}

// authenticate finds who a header names. Nobody without a header; an answer if it is wrong.
func (j *Jira) authenticate(header string) (*User, *answer) {
	if header == "" {
		return nil, nil
	}
	bad := unauthorised()
	bad.Header.Set("X-Seraph-Loginreason", "AUTHENTICATED_FAILED")
	kind, value, _ := strings.Cut(header, " ")
	for _, u := range j.users {
		if u.Token == "" || u.Inactive {
			continue
		}
		if j.cloud && strings.EqualFold(kind, "Basic") {
			if plain, err := base64.StdEncoding.DecodeString(value); err == nil && strings.EqualFold(string(plain), u.Email+":"+u.Token) && strings.HasSuffix(string(plain), u.Token) {
				return u, nil
			}
		}
		if !j.cloud && strings.EqualFold(kind, "Bearer") && value == u.Token {
			return u, nil
		}
	}
	return nil, &bad
}

// view is for whom and for what something is written.
type view struct {
	api  string // "/rest/api/2" or "/rest/api/3"
	user *User
	hook bool // for a webhook
}

func (j *Jira) viewOf(r *request) view { return view{api: j.api, user: r.user} }

func (j *Jira) userJSON(u *User, v view) any {
	if u == nil {
		return nil
	}
	avatars := Object{}
	for _, size := range []int{16, 24, 32, 48} {
		avatars[fmt.Sprintf("%dx%d", size, size)] = fmt.Sprintf("%s/secure/useravatar?size=%d&ownerId=%s", j.base, size, u.Key)
	}
	o := Object{"displayName": u.DisplayName, "active": !u.Inactive, "timeZone": u.TimeZone, "avatarUrls": avatars}
	if j.cloud {
		o["self"], o["accountId"], o["accountType"] = j.base+v.api+"/user?accountId="+u.AccountID, u.AccountID, "atlassian"
		if u.App {
			o["accountType"] = "app"
		}
	} else {
		o["self"], o["name"], o["key"] = j.base+v.api+"/user?username="+u.Name, u.Name, u.Key
	}
	if !j.hideEmails && !u.HideEmail || v.user == u {
		o["emailAddress"] = u.Email
	}
	return o
}

func (j *Jira) getMyself(r *request) answer {
	o := j.userJSON(r.user, j.viewOf(r)).(Object)
	o["locale"], o["expand"] = "en_US", "groups,applicationRoles"
	return ok(o)
}

func (j *Jira) getUser(r *request) answer {
	q := Object{}
	for _, name := range []string{"accountId", "key"} {
		if r.query.Has(name) {
			q[name] = r.query.Get(name)
		}
	}
	if r.query.Has("username") {
		q["name"] = r.query.Get("username")
	}
	if u := j.named(q); u != nil {
		return ok(j.userJSON(u, j.viewOf(r)))
	}
	return gone("Specified user does not exist or you do not have required permissions")
}

// searchUsers looks at the beginnings of words of names, and at addresses that are shown.
func (j *Jira) searchUsers(r *request) answer {
	return j.usersWhere(r, func(*User) bool { return true })
}

func (j *Jira) searchAssignable(r *request) answer {
	name := r.query.Get("project")
	if key := r.query.Get("issueKey"); key != "" {
		i := j.visible(r.user, key)
		if i == nil {
			return gone(noIssue)
		}
		name = i.project.key
	}
	p := j.projectOf(r.user, name)
	if p == nil {
		return gone(fmt.Sprintf("No project could be found with key '%s'.", name))
	}
	return j.usersWhere(r, func(u *User) bool { return j.may(u, p, Assignable) })
}

func (j *Jira) usersWhere(r *request, fits func(*User) bool) answer {
	word := r.query.Get("query")
	if !j.cloud {
		word = r.query.Get("username")
	}
	id := r.query.Get("accountId")
	if word == "" && id == "" && !r.query.Has("query") && !r.query.Has("project") && !r.query.Has("issueKey") {
		return fail(http.StatusBadRequest, "The query, accountId or username parameter is missing.")
	}
	var all []any
	for _, u := range j.users {
		hit := id != "" && u.AccountID == id
		if id == "" {
			words := append(strings.Fields(u.DisplayName), u.DisplayName)
			if !j.cloud {
				words = append(words, u.Name)
			}
			if !j.hideEmails && !u.HideEmail {
				words = append(words, u.Email)
			}
			hit = slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(strings.ToLower(w), strings.ToLower(word)) })
		}
		if hit && !u.Inactive && fits(u) {
			all = append(all, j.userJSON(u, j.viewOf(r)))
		}
	}
	found := window(all, r.number("startAt", 0), min(r.number("maxResults", 50), 1000))
	return ok(append([]any{}, found...))
}

func (j *Jira) getMyPermissions(r *request) answer {
	wanted := r.list("permissions")
	if j.cloud && len(wanted) == 0 {
		return fail(http.StatusBadRequest, "The 'permissions' query parameter is required.")
	}
	known := map[string]bool{"ADMINISTER": false}
	p := j.projectOf(r.user, r.query.Get("projectKey")+r.query.Get("projectId"))
	if key := r.query.Get("issueKey") + r.query.Get("issueId"); key != "" {
		i := j.visible(r.user, key)
		if i == nil {
			return gone(noIssue)
		}
		p = i.project
	} else if p == nil && (r.query.Has("projectKey") || r.query.Has("projectId")) {
		return gone(fmt.Sprintf("No project could be found with key '%s'.", r.query.Get("projectKey")))
	}
	for _, one := range projectPermissions() {
		if known[string(one)] = p != nil && j.may(r.user, p, one); p == nil {
			known[string(one)] = slices.ContainsFunc(j.projects, func(p *project) bool { return j.may(r.user, p, one) })
		}
	}
	if len(wanted) == 0 {
		wanted = slices.Sorted(maps.Keys(known))
	}
	all := Object{}
	for n, key := range wanted {
		have, is := known[key]
		if !is {
			return fail(http.StatusBadRequest, "Unrecognized permission: "+key)
		}
		kind := "PROJECT"
		if key == "ADMINISTER" {
			kind = "GLOBAL"
		}
		all[key] = Object{
			"id": strconv.Itoa(n + 1), "key": key, "name": strings.ReplaceAll(key, "_", " "), "type": kind, "description": "", "havePermission": have,
		}
	}
	return ok(Object{"permissions": all})
}
