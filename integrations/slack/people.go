package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/calls"
	"github.com/muster-release/muster/playbooks"
)

// For how long an answer of Slack's about people counts. Nothing older is used, even while
// Slack does not answer: somebody may have lost their account since.
const (
	knowUser    = 5 * time.Minute
	knowNoUser  = time.Minute
	knowEmail   = time.Hour
	knowNoEmail = 10 * time.Minute
	knowGroup   = time.Minute
)

// directory is what is known of people, in memory.
type directory struct {
	users   calls.Memory[*account] // nil: there is none
	emails  calls.Memory[string]   // address → user ID, "" for nobody
	handles calls.Memory[string]   // of user groups → ID
	groups  calls.Memory[[]string] // ID of a user group → user IDs
}

// account is a user of Slack.
type account struct {
	slackgo.User
	unconfirmed bool // Slack says that the address is not confirmed
}

// readAccount adds to a user what slack-go leaves out: whether something was not said.
func readAccount(u *slackgo.User, raw []byte) *account {
	var answer struct {
		User struct {
			Confirmed *bool `json:"is_email_confirmed"`
		}
	}
	a := &account{User: *u}
	if json.Unmarshal(raw, &answer) == nil && answer.User.Confirmed != nil {
		a.unconfirmed = !*answer.User.Confirmed
	}
	return a
}

// barred says why an account may do nothing here, whoever it belongs to; "" if it may.
func (a *account) barred(self identity) string {
	ours := a.TeamID == self.team || self.enterprise != "" && a.Enterprise.EnterpriseID == self.enterprise
	switch {
	case a.Deleted:
		return "your account is deactivated, so nothing is allowed"
	case a.IsBot, a.IsWorkflowBot, a.IsConnectorBot, a.ID == "USLACKBOT":
		return "bots may do nothing here"
	case a.IsStranger, !ours:
		return "you belong to another workspace, so nothing is allowed"
	case a.IsRestricted, a.IsUltraRestricted:
		return "you are a guest in this workspace, so nothing is allowed"
	}
	return ""
}

// Person implements chat.Directory. An account belongs to whom the configuration gives it, or
// else to whom it gives the account's address. Accounts that are deactivated, a bot's, a
// guest's or of another workspace are nobody's, and so is what several people claim.
func (w *Workspace) Person(ctx context.Context, user string) (id, why string, err error) {
	self, err := w.identity(ctx)
	if err != nil {
		return "", "", err
	}
	a, err := w.account(ctx, user)
	switch {
	case err != nil:
		return "", "", err
	case a == nil:
		return "", "Slack does not tell who you are, so nothing is allowed", nil
	}
	if why := a.barred(self); why != "" {
		return "", why, nil
	}
	id, why = w.owner(a)
	return id, why, nil
}

// owner is the person of the catalog whose account it is.
func (w *Workspace) owner(a *account) (id, why string) {
	owners, by := w.withHandle(a.ID), "account"
	if len(owners) == 0 && a.Profile.Email != "" && !a.unconfirmed {
		owners, by = w.withAddress(a.Profile.Email), "address"
	}
	if len(owners) == 0 {
		return "", fmt.Sprintf("I do not know you, so nothing is allowed. In the configuration, somebody has to give you the handle %q in %q, or the address that you have in Slack, and then say: catalog reload", a.ID, System)
	}
	return playbooks.Claimed(owners, by)
}

// withHandle returns who has an account by the configuration.
func (w *Workspace) withHandle(user string) []string {
	return playbooks.WithHandle(w.o.People(), System, func(handle string) bool { return handle == user })
}

// withAddress returns who has an address, and no account by the configuration.
func (w *Workspace) withAddress(address string) []string {
	return playbooks.WithAddress(w.o.People(), System, address)
}

// account returns what Slack knows of a user, nil if there is none.
func (w *Workspace) account(ctx context.Context, user string) (*account, error) {
	d := &w.people
	if a, ok := d.users.Get(user); ok {
		return a, nil
	}
	return alone(ctx, &w.flying, "user "+user, func() (*account, error) {
		var u *slackgo.User
		var raw []byte
		err := w.do(ctx, method("users.info", 4), want{key: user, urgency: chat.Urgent}, fmt.Sprintf("look up user %q", user), func(ctx context.Context) (err error) {
			u, err = w.api.GetUserInfoContext(keepRaw(ctx, &raw), user)
			return err
		})
		switch {
		case code(err) == "user_not_found", code(err) == "user_not_visible":
			d.users.Put(user, nil, knowNoUser)
			return nil, nil
		case err != nil:
			return nil, err
		case u.ID != user:
			return nil, fmt.Errorf("slack: look up user %q: Slack answers with another one", user)
		}
		a := readAccount(u, raw)
		d.users.Put(user, a, knowUser)
		return a, nil
	})
}

// Handle implements chat.Directory. It is the account that the configuration gives, or the one
// with the person's address, if that may do something here and nobody else claims it.
func (w *Workspace) Handle(ctx context.Context, person string) (string, error) {
	handle, address := w.claim(person)
	if handle != "" || address == "" {
		return handle, nil
	}
	user, err := w.byEmail(ctx, address)
	if err != nil || user == "" || len(w.withHandle(user)) > 0 {
		return "", err
	}
	return user, nil
}

// user is what Handle would return, as far as it is in memory, for mentions.
func (w *Workspace) user(person string) string {
	handle, address := w.claim(person)
	if handle != "" || address == "" {
		return handle
	}
	user, _ := w.people.emails.Get(address)
	if user == "" || len(w.withHandle(user)) > 0 {
		return ""
	}
	return user
}

// claim is how the configuration knows a person: by account, or by an address that is theirs
// alone.
func (w *Workspace) claim(person string) (handle, address string) {
	people := w.o.People()
	i := slices.IndexFunc(people, func(p playbooks.Person) bool { return p.ID == person })
	if i < 0 {
		return "", ""
	}
	p := people[i]
	if p.Handles[System] != "" || p.Email == "" || len(w.withAddress(p.Email)) > 1 {
		return p.Handles[System], ""
	}
	return "", strings.ToLower(p.Email)
}

// byEmail returns the account with an address, "" if there is none that may do something here.
func (w *Workspace) byEmail(ctx context.Context, address string) (string, error) {
	d := &w.people
	if id, ok := d.emails.Get(address); ok {
		return id, nil
	}
	self, err := w.identity(ctx)
	if err != nil {
		return "", err
	}
	return alone(ctx, &w.flying, "email "+address, func() (string, error) {
		var u *slackgo.User
		var raw []byte
		err := w.do(ctx, method("users.lookupByEmail", 3), want{key: address, urgency: chat.Urgent}, "look somebody up by address", func(ctx context.Context) (err error) {
			u, err = w.api.GetUserByEmailContext(keepRaw(ctx, &raw), address)
			return err
		})
		if err != nil && code(err) != "users_not_found" {
			return "", err
		}
		if err == nil {
			a := readAccount(u, raw)
			d.users.Put(a.ID, a, knowUser)
			if a.barred(self) == "" && !a.unconfirmed {
				d.emails.Put(address, a.ID, knowEmail)
				return a.ID, nil
			}
		}
		d.emails.Put(address, "", knowNoEmail)
		return "", nil
	})
}

// membersTime is the longest that Members takes.
const membersTime = 3 * time.Minute

// Members returns the people of the catalog in a user group, which is named by its ID or as
// @handle, and the accounts in it that are nobody's. It waits for its turn: a large group takes
// minutes the first time. It is whole, or an error; one that is Gone says that Slack has no
// such group, or that it is disabled.
func (w *Workspace) Members(ctx context.Context, usergroup string) (people, strangers []string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, membersTime, fmt.Errorf("no answer within %v", membersTime))
	defer cancel()
	var users []string
	err = patiently(ctx, func() (err error) {
		users, err = w.groupUsers(ctx, usergroup)
		return err
	})
	for _, user := range users {
		var id string
		if err == nil {
			err = patiently(ctx, func() (err error) {
				id, _, err = w.Person(ctx, user)
				return err
			})
		}
		if id == "" {
			strangers = append(strangers, user)
		} else {
			people = append(people, id)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return people, strangers, nil
}

// groupUsers returns the accounts in a user group.
func (w *Workspace) groupUsers(ctx context.Context, usergroup string) ([]string, error) {
	d, id := &w.people, usergroup
	if handle, named := strings.CutPrefix(usergroup, "@"); named {
		var err error
		if id, err = w.usergroup(ctx, strings.ToLower(handle)); err != nil {
			return nil, err
		}
	}
	if users, ok := d.groups.Get(id); ok {
		return users, nil
	}
	return alone(ctx, &w.flying, "group "+id, func() (users []string, err error) {
		err = w.do(ctx, method("usergroups.users.list", 2), want{key: id, urgency: chat.Urgent}, fmt.Sprintf("list the members of user group %q", id), func(ctx context.Context) (err error) {
			users, err = w.api.GetUserGroupMembersContext(ctx, id)
			return err
		})
		if err != nil {
			return nil, err
		}
		d.groups.Put(id, users, knowGroup)
		return users, nil
	})
}

// usergroup returns the ID of a user group.
func (w *Workspace) usergroup(ctx context.Context, handle string) (string, error) {
	d := &w.people
	if id, ok := d.handles.Get(handle); ok {
		return id, nil
	}
	_, err := alone(ctx, &w.flying, "groups", func() (struct{}, error) {
		var groups []slackgo.UserGroup
		err := w.do(ctx, method("usergroups.list", 2), want{key: "list", urgency: chat.Urgent}, "list the user groups", func(ctx context.Context) (err error) {
			groups, err = w.api.GetUserGroupsContext(ctx)
			return err
		})
		for _, g := range groups {
			d.handles.Put(strings.ToLower(g.Handle), g.ID, knowGroup)
		}
		return struct{}{}, err
	})
	if err != nil {
		return "", err
	}
	if id, ok := d.handles.Get(handle); ok {
		return id, nil
	}
	return "", &failure{text: fmt.Sprintf("slack: find user group %q", "@"+handle), err: errors.New("there is none of that handle"), permanent: true, gone: true}
}
