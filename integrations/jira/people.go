package jira

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
)

var _ chat.Directory = (*Jira)(nil)

// knowAccount is for how long an answer of Jira's about somebody counts.
const knowAccount = 5 * time.Minute

// isSelf reports whether an account is Muster's own, as far as that is known already.
func (j *Jira) isSelf(a account) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return a.is(j.me)
}

// Self reports whether a handle is that of Muster's own account. It is false while Jira has not said
// yet which that is; Confirm asks before it confirms anything about a release issue.
func (j *Jira) Self(handle string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return handle != "" && (handle == j.me.ID || handle == j.me.Name || handle == j.me.Key)
}

// Person implements chat.Directory. An account belongs to whom the configuration gives it: the handle
// is the account ID of Cloud, or the name or key of Data Center. On Cloud it belongs otherwise to who
// has the address that Jira shows for it, which Atlassian has made sure of. On Data Center people may enter
// any address for themselves, so none counts.
func (j *Jira) Person(ctx context.Context, handle string) (id, why string, err error) {
	switch owners := j.withHandle(handle); {
	case handle == "":
		return "", "Jira does not tell who you are, so nothing is allowed", nil
	case j.Self(handle):
		return "", "this is Muster's own account, so nothing is allowed", nil
	case len(owners) > 0:
		id, why = playbooks.Claimed(owners, "account")
		return id, why, nil
	}
	a, err := j.account(ctx, handle)
	if err != nil {
		return "", "", err
	}
	unknown := fmt.Sprintf("I do not know you, so nothing is allowed. In the configuration, somebody has to give you the handle %q in %q", handle, System)
	switch {
	case a == nil:
		return "", "Jira does not know your account any more, so nothing is allowed", nil
	case !a.Active:
		return "", "your account is deactivated, so nothing is allowed", nil
	case j.flavor == dataCenter:
		if owners := j.withHandle(a.Name, a.Key); len(owners) > 0 {
			id, why = playbooks.Claimed(owners, "account")
			return id, why, nil
		}
		return "", unknown + ", and then say: catalog reload", nil
	case a.Kind != "atlassian":
		return "", "apps and customers may do nothing here", nil
	}
	if owners := playbooks.WithAddress(j.people(), System, a.Email); len(owners) > 0 {
		id, why = playbooks.Claimed(owners, "address")
		return id, why, nil
	}
	return "", unknown + ", or the address that you have in Jira, and then say: catalog reload", nil
}

func (j *Jira) people() []playbooks.Person {
	if c := j.o.Catalog(); c != nil {
		return c.People
	}
	return nil
}

// withHandle returns who has an account by the configuration, under one of its names.
func (j *Jira) withHandle(names ...string) []string {
	return playbooks.WithHandle(j.people(), System, func(handle string) bool { return slices.Contains(names, handle) })
}

// account returns what Jira knows of somebody, nil if there is nobody.
func (j *Jira) account(ctx context.Context, handle string) (*account, error) {
	if a, ok := j.accounts.Get(handle); ok {
		return a, nil
	}
	queries := []url.Values{{"accountId": {handle}}}
	if j.flavor == dataCenter {
		queries = []url.Values{{"username": {handle}}, {"key": {handle}}}
	}
	for _, q := range queries {
		var a account
		err := j.get(ctx, fmt.Sprintf("look up account %q", handle), "user", q, &a)
		switch {
		case isPermanent(err):
			continue
		case err != nil:
			return nil, err
		case a.ID != handle && a.Name != handle && a.Key != handle:
			return nil, fmt.Errorf("jira: look up account %q: Jira answers with another one", handle)
		}
		j.accounts.Put(handle, &a, knowAccount)
		return &a, nil
	}
	j.accounts.Put(handle, nil, knowAccount)
	return nil, nil
}

// Handle implements chat.Directory: the account that the configuration gives. Jira is not asked for
// others, for nothing is sent to anybody there.
func (j *Jira) Handle(_ context.Context, person string) (string, error) {
	for _, p := range j.people() {
		if p.ID == person {
			return p.Handles[System], nil
		}
	}
	return "", nil
}
