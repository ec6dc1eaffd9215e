package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/pagerduty"
	"github.com/muster-release/muster/integrations/slack"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
)

// rollPrefix is where the members of other systems' groups are kept, so that approvals go
// on after a restart while such a system does not answer.
//
//	muster/members/<user group>       of Slack
//	muster/members/<system>/<group>   of others
const rollPrefix = "muster/members/"

// onDutyFor is how long what is known of who is on call counts while that cannot be read: shifts end, and
// who was on call is not to approve for ever. Other groups stay as they were known.
const onDutyFor = time.Hour

// rollEvery is how old what is known of a group may become while its system answers.
const rollEvery = 2 * time.Minute

// roster returns the people of the catalog in a group of a system, and the accounts in it that
// are nobody's. An error that is Gone says that there is no such group.
type roster func(ctx context.Context, group string) (people, strangers []string, err error)

// rolls are the groups of people that other systems keep: Slack's user groups, and who is
// on call.
type rolls struct {
	systems map[string]roster

	mu    sync.Mutex
	base  *playbooks.Catalog // as the configuration has it
	known map[roll][]string
	read  map[roll]time.Time // when a group was last read, or first seen
}

// roll is a group of a system.
type roll struct{ system, group string }

func (r roll) key() string {
	if r.system == slack.System {
		return rollPrefix + r.group
	}
	return rollPrefix + r.system + "/" + r.group
}

// rollOf is the group that is kept at a key.
func (r *rolls) rollOf(key string) roll {
	name := strings.TrimPrefix(key, rollPrefix)
	if system, group, found := strings.Cut(name, "/"); found && r.systems[system] != nil {
		return roll{system, group}
	}
	return roll{slack.System, name}
}

// policy is that of a catalog with the members that the groups of other systems had when
// they were last asked for.
func (a *app) policy(ctx context.Context, c *playbooks.Catalog) (*playbooks.Policy, error) {
	if len(a.rolls.systems) == 0 {
		return playbooks.NewPolicy(c), nil
	}
	a.rolls.mu.Lock()
	defer a.rolls.mu.Unlock()
	return a.rolls.policy(ctx, a.logs, c)
}

// enforce puts the policy of a catalog in force.
func (a *app) enforce(ctx context.Context, c *playbooks.Catalog) error {
	r := a.rolls
	if len(r.systems) == 0 {
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
		r.known = make(map[roll][]string)
		for pair, err := range logs.Keys(ctx, rollPrefix) {
			if err != nil {
				return nil, err
			}
			var members []string
			if err := json.Unmarshal(pair.Value, &members); err != nil {
				return nil, fmt.Errorf("key %q: %w", pair.Key, err)
			}
			r.known[r.rollOf(string(pair.Key))] = members
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
		members := slices.Clone(g.Members)
		for system, from := range g.From {
			for _, id := range r.known[roll{system, from}] {
				// A name that is not a person's any more could be a group's by now.
				if slices.ContainsFunc(c.People, func(p playbooks.Person) bool { return p.ID == id }) {
					members = append(members, id)
				}
			}
		}
		if len(g.From) > 0 {
			slices.Sort(members)
			g.Members = slices.Compact(members)
		}
	}
	return &enrolled
}

// groups are those that the configuration names, of systems that are configured.
func (r *rolls) groups() []roll {
	r.mu.Lock()
	defer r.mu.Unlock()
	var groups []roll
	for i := range r.base.Groups {
		for system, from := range r.base.Groups[i].From {
			if g := (roll{system, from}); from != "" && r.systems[system] != nil && !slices.Contains(groups, g) {
				groups = append(groups, g)
			}
		}
	}
	slices.SortFunc(groups, func(a, b roll) int { return cmp.Or(cmp.Compare(a.system, b.system), cmp.Compare(a.group, b.group)) })
	return groups
}

// followRolls keeps the groups as their systems have them until ctx ends.
func (a *app) followRolls(ctx context.Context) error {
	ticker := time.NewTicker(rollEvery)
	defer ticker.Stop()
	for {
		for _, group := range a.rolls.groups() {
			err := a.readRoll(ctx, group)
			if err == nil || ctx.Err() != nil {
				continue
			}
			a.o.Log.Warn("a group could not be read; its members stay those that were known", "system", group.system, "group", group.group, "error", err)
			if a.rolls.unread(group) > onDutyFor && group.system == pagerduty.System {
				a.o.Log.Warn("who is on call has not been known for too long, so nobody is", "group", group.group)
				if err := a.enrol(ctx, group, []string{}, nil); err != nil {
					a.o.Log.Warn("that nobody is on call could not be kept", "group", group.group, "error", err)
				}
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *app) readRoll(ctx context.Context, group roll) error {
	r := a.rolls
	members, strangers, err := r.systems[group.system](ctx, group.group)
	var gone chat.Gone
	switch {
	case errors.As(err, &gone) && gone.Gone():
		// Somebody took it away, so that it does not let anybody approve. It may come back.
		a.o.Log.Warn("there is no such group, so nobody is in it", "system", group.system, "group", group.group, "error", err)
		members, strangers = []string{}, nil
	case err != nil:
		return err
	}
	r.mu.Lock()
	r.read[group] = time.Now()
	r.mu.Unlock()
	return a.enrol(ctx, group, members, strangers)
}

// unread is for how long a group could not be read.
func (r *rolls) unread(group roll) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.read[group].IsZero() {
		r.read[group] = time.Now()
	}
	return time.Since(r.read[group])
}

// enrol puts the members of a group in force.
func (a *app) enrol(ctx context.Context, group roll, members, strangers []string) error {
	r := a.rolls
	slices.Sort(members)
	r.mu.Lock()
	defer r.mu.Unlock()
	if was, known := r.known[group]; known && slices.Equal(was, members) {
		return nil
	}
	data, err := json.Marshal(members)
	if err != nil {
		return err
	}
	if err := a.logs.Set(ctx, store.Set{Key: group.key(), Value: data}); err != nil {
		return err
	}
	r.known[group] = members
	a.engine.SetPolicy(playbooks.NewPolicy(r.enrol(r.base)))
	a.o.Log.Info("a group has other members now", "system", group.system, "group", group.group, "people", len(members), "accounts that are nobody's", len(strangers))
	return nil
}
