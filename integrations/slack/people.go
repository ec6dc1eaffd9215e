package slack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	slackgo "github.com/slack-go/slack"
	"golang.org/x/sync/singleflight"

	"github.com/muster-release/muster/playbooks"
)

// For how long an answer of Slack's about people counts.
const (
	knowUser  = 5 * time.Minute // also how late it is noticed that somebody was deactivated
	knowEmail = time.Hour
	knowNone  = 5 * time.Minute // that nobody has an address
	knowGroup = time.Minute
)

// directory is what is known of people, in memory.
type directory struct {
	flight *singleflight.Group // one question at a time for the same person

	mu     sync.Mutex
	users  map[string]known[*slackgo.User]
	emails map[string]known[string] // address → user ID, "" for nobody
	groups map[string]known[[]string]
}

type known[T any] struct {
	value T
	until time.Time
}

func newDirectory() directory {
	return directory{
		flight: new(singleflight.Group), users: make(map[string]known[*slackgo.User]),
		emails: make(map[string]known[string]), groups: make(map[string]known[[]string]),
	}
}

// remembered returns a value that still counts.
func remembered[T any](d *directory, m map[string]known[T], key string) (T, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k, ok := m[key]
	return k.value, ok && time.Now().Before(k.until)
}

func remember[T any](d *directory, m map[string]known[T], key string, value T, lasts time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(m) > 10_000 {
		clear(m) // whoever floods us makes us ask again
	}
	m[key] = known[T]{value, time.Now().Add(lasts)}
}

// Person implements chat.Directory. An account belongs to whom the configuration gives it, or
// else to whom it gives the account's confirmed address. Accounts that are deactivated, a bot's,
// or of another workspace are nobody's, and so are guests without a configured account.
func (w *Workspace) Person(ctx context.Context, user string) (id, why string, err error) {
	u, err := w.userInfo(ctx, user)
	if err != nil {
		return "", "", err
	}
	self, err := w.identity(ctx)
	if err != nil {
		return "", "", err
	}
	ours := u != nil && (u.TeamID == self.team || self.enterprise != "" && u.Enterprise.EnterpriseID == self.enterprise)
	switch {
	case u == nil:
		return "", "Slack does not know your account, so nothing is allowed.", nil
	case u.Deleted:
		return "", "your account is deactivated, so nothing is allowed", nil
	case u.IsBot, u.IsWorkflowBot, u.ID == "USLACKBOT":
		return "", "bots may not act here", nil
	case u.IsStranger, !ours:
		return "", "you are of another workspace, so nothing is allowed", nil
	}
	if id, claimed := w.configured(user); claimed {
		if id == "" {
			return "", "several people of the configuration have your account, so nothing is allowed", nil
		}
		return id, "", nil
	}
	address := strings.ToLower(u.Profile.Email)
	nobody := fmt.Sprintf("I do not know you, so nothing is allowed. In the configuration, somebody has to give you the handle %q in %q, or the address that you have in Slack, and then say: catalog reload", user, System)
	switch {
	case address == "" || !u.IsEmailConfirmed:
		return "", nobody, nil
	case u.IsRestricted, u.IsUltraRestricted:
		return "", fmt.Sprintf("guests need a handle of their own: in the configuration, somebody has to give you %q in %q", user, System), nil
	}
	var found []string
	for _, p := range w.o.People() {
		if strings.ToLower(p.Email) == address && p.Handles[System] == "" {
			found = append(found, p.ID)
		}
	}
	switch len(found) {
	case 0:
		return "", nobody, nil
	case 1:
		return found[0], "", nil
	}
	return "", "several people of the configuration have your address, so nothing is allowed", nil
}

// configured finds the person with an account by the configuration; "" if several claim it.
func (w *Workspace) configured(user string) (id string, claimed bool) {
	for _, p := range w.o.People() {
		if p.Handles[System] != user {
			continue
		}
		if claimed {
			return "", true
		}
		id, claimed = p.ID, true
	}
	return id, claimed
}

// userInfo returns a user, nil if there is none.
func (w *Workspace) userInfo(ctx context.Context, user string) (*slackgo.User, error) {
	d := &w.people
	if u, ok := remembered(d, d.users, user); ok {
		return u, nil
	}
	found, err, _ := d.flight.Do("user "+user, func() (any, error) {
		var u *slackgo.User
		err := w.look(ctx, method("users.info", 4), fmt.Sprintf("look up user %q", user), func(ctx context.Context) (err error) {
			u, err = w.api.GetUserInfoContext(ctx, user)
			return err
		})
		if name := slackError(err); name == "user_not_found" || name == "user_not_visible" {
			u, err = nil, nil
		}
		if err == nil {
			remember(d, d.users, user, u, knowUser)
		}
		return u, err
	})
	if err != nil {
		return nil, err
	}
	return found.(*slackgo.User), nil
}

// Handle implements chat.Directory.
func (w *Workspace) Handle(ctx context.Context, person string) (string, error) {
	p := w.person(person)
	if p == nil {
		return "", nil
	}
	if handle := p.Handles[System]; handle != "" || p.Email == "" {
		return handle, nil
	}
	return w.byEmail(ctx, strings.ToLower(p.Email))
}

func (w *Workspace) person(id string) *playbooks.Person {
	people := w.o.People()
	if i := slices.IndexFunc(people, func(p playbooks.Person) bool { return p.ID == id }); i >= 0 {
		return &people[i]
	}
	return nil
}

func (w *Workspace) byEmail(ctx context.Context, address string) (string, error) {
	d := &w.people
	if id, ok := remembered(d, d.emails, address); ok {
		return id, nil
	}
	found, err, _ := d.flight.Do("email "+address, func() (any, error) {
		id, lasts := "", knowEmail
		err := w.look(ctx, method("users.lookupByEmail", 3), "look up somebody by address", func(ctx context.Context) error {
			u, err := w.api.GetUserByEmailContext(ctx, address)
			if err == nil && !u.Deleted && !u.IsBot {
				id = u.ID
			}
			return err
		})
		if slackError(err) == "users_not_found" {
			err = nil
		}
		if id == "" {
			lasts = knowNone
		}
		if err == nil {
			remember(d, d.emails, address, id, lasts)
		}
		return id, err
	})
	if err != nil {
		return "", err
	}
	return found.(string), nil
}

// user is the account of a person as far as it is in memory, for mentions.
func (w *Workspace) user(person string) string {
	p := w.person(person)
	if p == nil {
		return ""
	}
	if handle := p.Handles[System]; handle != "" || p.Email == "" {
		return handle
	}
	id, _ := remembered(&w.people, w.people.emails, strings.ToLower(p.Email))
	return id
}

// Members returns the people of the catalog in a user group, named by its ID or as @qa, and the
// accounts in it that are nobody's.
func (w *Workspace) Members(ctx context.Context, usergroup string) (people, strangers []string, err error) {
	users, err := w.groupUsers(ctx, usergroup)
	if err != nil {
		return nil, nil, err
	}
	for _, user := range users {
		id, _, err := w.Person(ctx, user)
		if err != nil {
			return nil, nil, err
		}
		if id == "" {
			strangers = append(strangers, user)
		} else {
			people = append(people, id)
		}
	}
	return people, strangers, nil
}

func (w *Workspace) groupUsers(ctx context.Context, usergroup string) ([]string, error) {
	d := &w.people
	if users, ok := remembered(d, d.groups, usergroup); ok {
		return users, nil
	}
	id := usergroup
	if handle, named := strings.CutPrefix(usergroup, "@"); named {
		var groups []slackgo.UserGroup
		err := w.look(ctx, method("usergroups.list", 2), "list the user groups", func(ctx context.Context) (err error) {
			groups, err = w.api.GetUserGroupsContext(ctx)
			return err
		})
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(groups, func(g slackgo.UserGroup) bool { return strings.EqualFold(g.Handle, handle) })
		if i < 0 {
			return nil, &failure{text: fmt.Sprintf("slack: find user group %q", usergroup), err: fmt.Errorf("there is none of that handle"), permanent: true}
		}
		id = groups[i].ID
	}
	var users []string
	err := w.look(ctx, method("usergroups.users.list", 2), fmt.Sprintf("list the members of user group %q", usergroup), func(ctx context.Context) (err error) {
		users, err = w.api.GetUserGroupMembersContext(ctx, id)
		return err
	})
	if err == nil {
		remember(d, d.groups, usergroup, users, knowGroup)
	}
	return users, err
}
