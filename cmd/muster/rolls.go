package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
)

// rollPrefix is where the members of a chat's user groups are kept, so that approvals go
// on after a restart while the chat does not answer.
const rollPrefix = "muster/members/"

// rollEvery is how old what is known of a user group may become while the chat answers.
const rollEvery = 2 * time.Minute

// rolls are the groups of people that a chat keeps.
type rolls struct {
	system string
	// members returns the people of the catalog in a user group, and the accounts in it
	// that are nobody's. An error that is Gone says that there is no such group.
	members func(ctx context.Context, usergroup string) (people, strangers []string, err error)

	mu    sync.Mutex
	base  *playbooks.Catalog // as the configuration has it
	known map[string][]string
}

// policy is that of a catalog with the members that the chat's user groups had when
// they were last asked for.
func (a *app) policy(ctx context.Context, c *playbooks.Catalog) (*playbooks.Policy, error) {
	if a.talk.rolls == nil {
		return playbooks.NewPolicy(c), nil
	}
	a.talk.rolls.mu.Lock()
	defer a.talk.rolls.mu.Unlock()
	return a.talk.rolls.policy(ctx, a.logs, c)
}

// enforce puts the policy of a catalog in force.
func (a *app) enforce(ctx context.Context, c *playbooks.Catalog) error {
	r := a.talk.rolls
	if r == nil {
		a.engine.SetPolicy(playbooks.NewPolicy(c))
		return nil
	}
	r.mu.Lock() // nobody else makes a policy until this one is in force
	defer r.mu.Unlock()
	policy, err := r.policy(ctx, a.logs, c)
	if err == nil {
		a.engine.SetPolicy(policy)
	}
	return err
}

// policy reads what was known when Muster ended, the first time. The lock is held.
func (r *rolls) policy(ctx context.Context, logs *store.Logs, c *playbooks.Catalog) (*playbooks.Policy, error) {
	if r.known == nil {
		r.known = make(map[string][]string)
		for pair, err := range logs.Keys(ctx, rollPrefix) {
			if err != nil {
				return nil, err
			}
			var members []string
			if err := json.Unmarshal(pair.Value, &members); err != nil {
				return nil, fmt.Errorf("key %q: %w", pair.Key, err)
			}
			r.known[string(pair.Key)[len(rollPrefix):]] = members
		}
	}
	r.base = c
	return playbooks.NewPolicy(r.enrol(c)), nil
}

// enrol returns the catalog with everybody in the groups who is in it. The lock is held.
func (r *rolls) enrol(c *playbooks.Catalog) *playbooks.Catalog {
	enrolled := *c
	enrolled.Groups = slices.Clone(c.Groups)
	for i := range enrolled.Groups {
		g := &enrolled.Groups[i]
		if from := g.From[r.system]; from != "" {
			members := slices.Clone(g.Members)
			for _, id := range r.known[from] {
				// A name that is not a person's any more could be a group's by now.
				if slices.ContainsFunc(c.People, func(p playbooks.Person) bool { return p.ID == id }) {
					members = append(members, id)
				}
			}
			slices.Sort(members)
			g.Members = slices.Compact(members)
		}
	}
	return &enrolled
}

// usergroups are those that the configuration names.
func (r *rolls) usergroups() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make(map[string]bool)
	for i := range r.base.Groups {
		if from := r.base.Groups[i].From[r.system]; from != "" {
			names[from] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// followRolls keeps the groups as the chat has them until ctx ends.
func (a *app) followRolls(ctx context.Context) error {
	ticker := time.NewTicker(rollEvery)
	defer ticker.Stop()
	for {
		for _, usergroup := range a.talk.rolls.usergroups() {
			if err := a.readRoll(ctx, usergroup); err != nil && ctx.Err() == nil {
				a.o.Log.Warn("a user group could not be read; its members stay those that were known", "usergroup", usergroup, "error", err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *app) readRoll(ctx context.Context, usergroup string) error {
	r := a.talk.rolls
	members, strangers, err := r.members(ctx, usergroup)
	var gone chat.Gone
	switch {
	case errors.As(err, &gone) && gone.Gone():
		// Somebody took it away, so that it does not let anybody approve. It may come back.
		a.o.Log.Warn("the chat has no such user group, so nobody is in it", "usergroup", usergroup, "error", err)
		members, strangers = []string{}, nil
	case err != nil:
		return err
	}
	slices.Sort(members)
	r.mu.Lock()
	defer r.mu.Unlock()
	if was, known := r.known[usergroup]; known && slices.Equal(was, members) {
		return nil
	}
	data, err := json.Marshal(members)
	if err != nil {
		return err
	}
	if err := a.logs.Set(ctx, store.Set{Key: rollPrefix + usergroup, Value: data}); err != nil {
		return err
	}
	r.known[usergroup] = members
	a.engine.SetPolicy(playbooks.NewPolicy(r.enrol(r.base)))
	a.o.Log.Info("a user group has other members now", "usergroup", usergroup, "people", len(members), "accounts that are nobody's", len(strangers))
	return nil
}
