package gitlab

import (
	"context"
	"fmt"
	"strings"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
)

var _ chat.Directory = (*GitLab)(nil)

// knowAccount is for how long an answer of GitLab's about somebody counts.
const knowAccount = 5 * time.Minute

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
	// GitLab does not tell usernames apart by their case.
	if owners := playbooks.WithHandle(g.people(), System, func(h string) bool { return strings.EqualFold(h, handle) }); len(owners) > 0 {
		id, why = playbooks.Claimed(owners, "account")
		return id, why, nil
	}
	if user.Bot {
		return "", "the bots of tokens may do nothing here", nil
	}
	if owners := playbooks.WithAddress(g.people(), System, user.PublicEmail); len(owners) > 0 {
		id, why = playbooks.Claimed(owners, "address")
		return id, why, nil
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

func (g *GitLab) people() []playbooks.Person {
	if c := g.options.Catalog(); c != nil {
		return c.People
	}
	return nil
}

// account returns what GitLab knows of somebody, nil if there is nobody.
func (g *GitLab) account(ctx context.Context, username string) (*gl.User, error) {
	key := strings.ToLower(username)
	if user, ok := g.in.accounts.Get(key); ok {
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
		g.in.accounts.Put(key, user, knowAccount)
		return user, nil
	}
	g.in.accounts.Put(key, nil, knowAccount)
	return nil, nil
}
