package builds

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// Forge knows what was built before anybody told of it. Its methods have no effect.
type Forge interface {
	// BuildOf returns the build of a version that is tagged, and false where there is none.
	BuildOf(ctx context.Context, module, version string) (build playbooks.BuildState, found bool, err error)
	// Tagged lists versions of a module that are tagged, the highest first.
	Tagged(ctx context.Context, module string, limit int) ([]string, error)
}

const (
	// askedAgain is how long it counts that a forge knows nothing of a version or module.
	askedAgain = 5 * time.Minute
	// fewTags is how many tags of a module are looked at of which nothing is registered yet.
	fewTags = 5
	// mostAsked bounds what is remembered of that.
	mostAsked = 10_000
)

// Known is a Registry that asks the forge for versions that were never registered, such as those from
// before Muster was there, and registers what it finds. Its methods may be called concurrently.
type Known struct {
	*Registry
	forge Forge
	log   *slog.Logger

	mu    sync.Mutex
	asked map[playbooks.ModuleRef]time.Time // in vain
}

var _ steps.Builds = (*Known)(nil)

// NewKnown returns a registry with a forge behind it. A forge that does not answer is logged, and
// nothing more is known than what is registered.
func NewKnown(r *Registry, forge Forge, log *slog.Logger) *Known {
	return &Known{Registry: r, forge: forge, log: log, asked: make(map[playbooks.ModuleRef]time.Time)}
}

// Build implements steps.Builds.
func (k *Known) Build(ctx context.Context, module, version string) (playbooks.BuildState, error) {
	b, err := k.Registry.Build(ctx, module, version)
	if err != nil || b.State != playbooks.BuildMissing || !k.ask(playbooks.ModuleRef{Name: module, Version: version}) {
		return b, err
	}
	if k.find(ctx, module, version) {
		return k.Registry.Build(ctx, module, version)
	}
	return b, nil
}

// Versions implements steps.Builds.
func (k *Known) Versions(ctx context.Context, module string, limit int) ([]playbooks.BuildState, error) {
	all, err := k.Registry.Versions(ctx, module, limit)
	if err != nil || len(all) > 0 || !k.ask(playbooks.ModuleRef{Name: module}) {
		return all, err
	}
	tagged, err := k.forge.Tagged(ctx, module, fewTags)
	if err != nil {
		k.log.Debug("the forge could not say which versions there are", "module", module, "error", err)
		return all, nil
	}
	for _, version := range tagged {
		k.find(ctx, module, version)
	}
	return k.Registry.Versions(ctx, module, limit)
}

// find registers what the forge knows of a version, and reports whether it knows something.
func (k *Known) find(ctx context.Context, module, version string) bool {
	b, found, err := k.forge.BuildOf(ctx, module, version)
	if err == nil && found {
		_, err = k.Register(ctx, b)
	}
	if err != nil {
		k.log.Debug("the forge could not say what was built", "module", module, "version", version, "error", err)
		return false
	}
	return found
}

// ask reports whether it is time to ask the forge, and notes that it is asked.
func (k *Known) ask(ref playbooks.ModuleRef) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if now.Sub(k.asked[ref]) < askedAgain {
		return false
	}
	if len(k.asked) >= mostAsked {
		clear(k.asked)
	}
	k.asked[ref] = now
	return true
}
