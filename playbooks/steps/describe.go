package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/muster-release/muster/playbooks"
)

// ChangesQuery asks what is new in a module's version.
type ChangesQuery struct {
	Module *playbooks.Module
	// From and To are builds. Where From has neither version nor commit, nothing was there
	// before. Of a build whose commit is not known the version's tag is taken.
	From, To playbooks.BuildState
}

// Historian knows what happened to a module's code between two versions. Its
// method has no effect. What cannot be found out is said in Changes.Unknown.
type Historian interface {
	Changes(ctx context.Context, q ChangesQuery) (playbooks.Changes, error)
}

// Storyteller knows the tracker's issues. Its method has no effect.
type Storyteller interface {
	// Stories returns a story for each key, in the order of the keys; one that the tracker
	// does not know has no status.
	Stories(ctx context.Context, keys []string) ([]playbooks.Story, error)
	// StoryKeys finds the keys of issues that a text names, each once.
	StoryKeys(text string) []string
}

// describeAtOnce is how many modules are asked about at the same time.
const describeAtOnce = 8

// Describe returns what adds to a playbook the changes that each of its modules brings: what
// the forge knows, with the stories of the tracker. It has no effect outside. What cannot be found
// out, or not in the time of ctx, is said in Changes.Unknown. A nil stories leaves them out; a nil builds
// leaves commits to the forge.
func Describe(history Historian, stories Storyteller, builds Builds) func(context.Context, *playbooks.Catalog, *playbooks.Playbook) {
	d := describing{history, stories, builds}
	return func(ctx context.Context, c *playbooks.Catalog, pb *playbooks.Playbook) {
		var group errgroup.Group
		group.SetLimit(describeAtOnce)
		for i := range pb.Modules {
			planned := &pb.Modules[i]
			m := c.Module(planned.Name)
			if m == nil || m.Source == "" || planned.Version == "" {
				continue
			}
			group.Go(func() error {
				changes := new(playbooks.Changes)
				err := patiently(ctx, safely(func() (err error) {
					*changes, err = d.changes(ctx, m, planned)
					return err
				}))
				if err != nil {
					changes.Unknown = fmt.Sprintf("What is new could not be found out: %v", err)
				}
				changes.To = planned.Version
				planned.Changes = changes
				return nil
			})
		}
		_ = group.Wait() // nobody returns an error
	}
}

// patiently calls a look twice more that fails for now: most outages are shorter than a plan may take.
func patiently(ctx context.Context, look func() error) error {
	var refused interface{ Permanent() bool }
	for wait := time.Second; ; wait *= 3 {
		err := look()
		if err == nil || errors.As(err, &refused) && refused.Permanent() || wait > 3*time.Second {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

type describing struct {
	history Historian
	stories Storyteller
	builds  Builds
}

func (d describing) changes(ctx context.Context, m *playbooks.Module, planned *playbooks.PlannedModule) (playbooks.Changes, error) {
	q := ChangesQuery{Module: m, To: d.build(ctx, m.Name, planned.Version)}
	// Targets may have different versions; what is new anywhere is what is new since the first.
	if i := slices.IndexFunc(planned.From, func(f playbooks.From) bool { return f.Version != "" }); i >= 0 {
		q.From = d.build(ctx, m.Name, planned.From[i].Version)
	}
	changes, err := d.history.Changes(ctx, q)
	if err != nil || d.stories == nil {
		return changes, err
	}
	var keys []string
	for _, text := range texts(&changes) {
		for _, key := range d.stories.StoryKeys(text) {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	if len(keys) == 0 {
		return changes, nil
	}
	slices.Sort(keys)
	changes.Stories, err = d.stories.Stories(ctx, keys)
	if err != nil {
		// The changes are known all the same.
		changes.Unknown = fmt.Sprintf("The stories %v could not be read: %v", keys, err)
	}
	return changes, nil
}

// texts are where people name stories.
func texts(c *playbooks.Changes) []string {
	var all []string
	for i := range c.MergeRequests {
		all = append(all, c.MergeRequests[i].Title, c.MergeRequests[i].Branch)
	}
	for i := range c.Commits {
		all = append(all, c.Commits[i].Title)
	}
	return all
}

// build is what is known of a version; its name alone where that is nothing.
func (d describing) build(ctx context.Context, module, version string) playbooks.BuildState {
	if d.builds != nil {
		if b, err := d.builds.Build(ctx, module, version); err == nil && b.State != playbooks.BuildMissing {
			return b
		}
	}
	return playbooks.BuildState{Module: module, Version: version}
}
