package gitlab

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
)

var _ chat.Directory = (*GitLab)(nil)

const (
	// knowAccount is for how long an answer of GitLab's about somebody counts.
	knowAccount = 5 * time.Minute
	// mostAccounts bounds what is remembered.
	mostAccounts = 10_000
)

// accounts are what GitLab has said of people, by username in lower case.
type accounts struct {
	mu    sync.Mutex
	known map[string]knownAccount
}

type knownAccount struct {
	user  *gl.User // nil: there is none
	until time.Time
}

func (a *accounts) get(name string) (*gl.User, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k, ok := a.known[name]
	return k.user, ok && time.Now().Before(k.until)
}

func (a *accounts) put(name string, user *gl.User) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= mostAccounts || a.known == nil {
		a.known = make(map[string]knownAccount)
	}
	a.known[name] = knownAccount{user, time.Now().Add(knowAccount)}
}

// Person implements chat.Directory. An account belongs to whom the configuration gives it, by its
// username. Otherwise it belongs to who has the address that the account shows to all: GitLab lets
// people show none but addresses that they have confirmed
// (https://docs.gitlab.com/user/profile/#set-your-public-email).
func (g *GitLab) Person(ctx context.Context, handle string) (id, why string, err error) {
	if handle == "" {
		return "", "GitLab does not tell who you are, so nothing is allowed", nil
	}
	user, err := g.account(ctx, handle)
	switch {
	case err != nil:
		return "", "", err
	case user == nil:
		return "", "GitLab does not know your account any more, so nothing is allowed", nil
	case user.State != "active":
		return "", "your account is not active, so nothing is allowed", nil
	}
	if owners := g.withHandle(handle); len(owners) > 0 {
		return alone(owners, "account")
	}
	if user.Bot {
		return "", "the bots of tokens may do nothing here", nil
	}
	if owners := g.withAddress(user.PublicEmail); len(owners) > 0 {
		return alone(owners, "address")
	}
	return "", fmt.Sprintf("I do not know you, so nothing is allowed. In the configuration, somebody has to give you the handle %q in %q, or the address that your profile in GitLab shows to all, and then say: catalog reload", handle, System), nil
}

// Handle implements chat.Directory: the username that the configuration gives.
func (g *GitLab) Handle(_ context.Context, person string) (string, error) {
	return g.handleOf(person), nil
}

func (g *GitLab) handleOf(person string) string {
	for _, p := range g.people() {
		if p.ID == person {
			return p.Handles[System]
		}
	}
	return ""
}

// alone is the one of several who claim the same, or why it is nobody.
func alone(owners []string, by string) (id, why string, err error) {
	for _, o := range owners {
		if o != owners[0] {
			return "", fmt.Sprintf("several people of the configuration have your %s, so nothing is allowed", by), nil
		}
	}
	return owners[0], "", nil
}

func (g *GitLab) people() []playbooks.Person {
	if c := g.options.Catalog(); c != nil {
		return c.People
	}
	return nil
}

// withHandle returns who has an account by the configuration. GitLab does not tell usernames
// apart by their case.
func (g *GitLab) withHandle(handle string) (people []string) {
	for _, p := range g.people() {
		if handle != "" && strings.EqualFold(p.Handles[System], handle) {
			people = append(people, p.ID)
		}
	}
	return people
}

// withAddress returns who has an address, and no account by the configuration.
func (g *GitLab) withAddress(address string) (people []string) {
	for _, p := range g.people() {
		if address != "" && p.Handles[System] == "" && strings.EqualFold(p.Email, address) {
			people = append(people, p.ID)
		}
	}
	return people
}

// account returns what GitLab knows of somebody, nil if there is nobody.
func (g *GitLab) account(ctx context.Context, username string) (*gl.User, error) {
	key := strings.ToLower(username)
	if user, ok := g.in.accounts.get(key); ok {
		return user, nil
	}
	found, err := ask(ctx, g, fmt.Sprintf("look up user %q", username), func(with ...gl.RequestOptionFunc) ([]*gl.User, *gl.Response, error) {
		return g.api.Users.ListUsers(&gl.ListUsersOptions{Username: gl.Ptr(username)}, with...)
	})
	if err != nil {
		return nil, err
	}
	for _, user := range found {
		if !strings.EqualFold(user.Username, username) {
			continue
		}
		// Only what is shown of one person has the address.
		user, err = ask(ctx, g, fmt.Sprintf("read user %q", username), func(with ...gl.RequestOptionFunc) (*gl.User, *gl.Response, error) {
			return g.api.Users.GetUser(user.ID, nil, with...)
		})
		if err != nil && !isGone(err) {
			return nil, err
		}
		g.in.accounts.put(key, user)
		return user, nil
	}
	g.in.accounts.put(key, nil)
	return nil, nil
}
