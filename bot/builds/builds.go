// Package builds is the registry of what was built: which versions of a module there
// are, of which commit, with what result, and what came out.
//
// It is filled from finished pipelines and kept in the store. A version stands for one
// commit: once a build of it has passed, a build of another commit under the same name is
// refused.
package builds

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
)

// The registry's keys in the store. Names are escaped as in the path of a URL.
//
//	builds/<module>            record of the newest build that passed
//	builds/<module>/<version>  record
const prefix = "builds/"

func newestKey(module string) string { return prefix + url.PathEscape(module) }

func buildsOf(module string) string { return newestKey(module) + "/" }

func buildKey(module, version string) string { return buildsOf(module) + url.PathEscape(version) }

// maxUnnamed is how many builds of a module are kept whose version is no tag's but was made
// from a commit. There is one for each merge, so these alone would grow without end.
const maxUnnamed = 200

// maxName is how many bytes the names of a module and of a version may have.
const maxName = 512

// record is a registered build. Fields may be added.
type record struct {
	playbooks.BuildState
	Registered time.Time `json:"registered"`
}

// Registry is what was registered. Its methods may be called concurrently. One process at
// a time registers.
//
// Versions that were made from a commit (v1.4.1-0.20261124181239-abcdef123456) are kept as
// long as they are among the 200 of their module that were registered last; all others are kept
// for good. See Spare.
type Registry struct {
	logs  *store.Logs
	spare func(ctx context.Context, module string) ([]string, error)

	mu      sync.Mutex
	modules map[string]*sync.Mutex // held while builds of that module are registered
}

var _ steps.Builds = (*Registry)(nil)

// New returns the registry that is kept in logs.
func New(logs *store.Logs) *Registry {
	return &Registry{logs: logs, modules: make(map[string]*sync.Mutex)}
}

// Spare names a function that lists the versions of a module that are never forgotten,
// because they are live somewhere. While it answers with an error nothing is forgotten. It is
// called before the registry is used.
func (r *Registry) Spare(versions func(ctx context.Context, module string) ([]string, error)) {
	r.spare = versions
}

// refusal is a build that can not be registered.
type refusal struct{ error }

func (refusal) Permanent() bool { return true }

func (r *Registry) lock(module string) *sync.Mutex {
	r.mu.Lock()
	m := r.modules[module]
	if m == nil {
		m = new(sync.Mutex)
		r.modules[module] = m
	}
	r.mu.Unlock()
	m.Lock()
	return m
}

// Register keeps a finished build, one whose State is passed or failed, and reports
// whether anything is different from before. What is registered already is told apart by At: a
// build that is older than the one that is known changes nothing, so a build that passed does
// not become a failed one because news of an earlier pipeline come late. What a later build
// of the same commit does not say stays as it was.
//
// The error is Permanent where the build cannot be registered: it is not finished, or its version
// has passed as another commit. After any other error it may be registered again.
func (r *Registry) Register(ctx context.Context, b playbooks.BuildState) (changed bool, err error) {
	switch {
	case b.Module == "" || b.Version == "" || len(b.Module) > maxName || len(b.Version) > maxName:
		return false, refusal{fmt.Errorf("builds: register %q %q: a module and a version of at most %d bytes are needed", short(b.Module), short(b.Version), maxName)}
	case b.State != playbooks.BuildPassed && b.State != playbooks.BuildFailed:
		return false, refusal{fmt.Errorf("builds: register %q %q: it is not finished, but %q", b.Module, b.Version, short(b.State))}
	}
	defer r.lock(b.Module).Unlock()
	var known record
	there, err := r.read(ctx, buildKey(b.Module, b.Version), &known)
	if err != nil {
		return false, err
	}
	now := record{BuildState: b, Registered: time.Now()}
	if there {
		if now.BuildState, err = succeed(known.BuildState, b); err != nil {
			return false, err
		}
		if now.BuildState == known.BuildState {
			return false, nil
		}
		now.Registered = known.Registered
	}
	sets, err := r.follow(ctx, now)
	if err != nil {
		return false, err
	}
	data, err := json.Marshal(now)
	if err != nil {
		return false, fmt.Errorf("builds: register %q %q: %w", b.Module, b.Version, err)
	}
	sets = append(sets, store.Set{Key: buildKey(b.Module, b.Version), Value: data})
	if err := r.logs.Set(ctx, sets...); err != nil {
		return false, fmt.Errorf("builds: register %q %q: %w", b.Module, b.Version, err)
	}
	if !there && unnamed(b.Version) {
		return true, r.forget(ctx, b.Module)
	}
	return true, nil
}

// succeed is what is known of a version when one more build of it is told of.
func succeed(known, b playbooks.BuildState) (playbooks.BuildState, error) {
	older := b.At.Before(known.At) || b.At.Equal(known.At) && known.State == playbooks.BuildPassed && b.State != playbooks.BuildPassed
	if known.Commit != "" && b.Commit != "" && known.Commit != b.Commit {
		if known.State == playbooks.BuildPassed {
			return known, refusal{fmt.Errorf("builds: register %q %q: that version was built from commit %s and has passed; commit %s needs a version of its own",
				b.Module, b.Version, short(known.Commit), short(b.Commit))}
		}
		if older {
			return known, nil
		}
		return b, nil
	}
	if older {
		return known, nil
	}
	b.At = b.At.Round(0) // without the monotonic clock, as it is read again
	for now, before := range map[*string]string{
		&b.Config: known.Config, &b.Link: known.Link, &b.Commit: known.Commit, &b.Ref: known.Ref, &b.Image: known.Image,
		&b.Digest: known.Digest, &b.Checksum: known.Checksum, &b.Tests: known.Tests,
	} {
		*now = cmp.Or(*now, before)
	}
	b.Coverage = cmp.Or(b.Coverage, known.Coverage)
	if b.At.Equal(known.At) {
		b.At = known.At // the same time in another zone is no change
	}
	return b, nil
}

// follow returns the write that keeps the newest build that passed in step with b.
func (r *Registry) follow(ctx context.Context, b record) ([]store.Set, error) {
	var newest record
	there, err := r.read(ctx, newestKey(b.Module), &newest)
	if err != nil {
		return nil, err
	}
	switch {
	case b.State == playbooks.BuildPassed && (!there || newest.Version == b.Version || b.compare(&newest) > 0):
		newest = b
	case there && newest.Version == b.Version: // it has passed, and does no more
		all, err := r.all(ctx, b.Module)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(o record) bool { return o.State == playbooks.BuildPassed && o.Version != b.Version })
		if i < 0 {
			return []store.Set{{Key: newestKey(b.Module)}}, nil
		}
		newest = all[i]
	default:
		return nil, nil
	}
	data, err := json.Marshal(newest)
	if err != nil {
		return nil, fmt.Errorf("builds: %q: %w", b.Module, err)
	}
	return []store.Set{{Key: newestKey(b.Module), Value: data}}, nil
}

// forget removes the builds that were made from commits and are too many.
func (r *Registry) forget(ctx context.Context, module string) error {
	all, err := r.all(ctx, module)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(b record) bool { return !unnamed(b.Version) })
	if len(all) <= maxUnnamed {
		return nil
	}
	var newest record
	if _, err := r.read(ctx, newestKey(module), &newest); err != nil {
		return err
	}
	spared := []string{newest.Version}
	if r.spare != nil {
		live, err := r.spare(ctx, module)
		if err != nil {
			return nil // the next build tries again
		}
		spared = append(spared, live...)
	}
	slices.SortFunc(all, func(a, b record) int { return b.Registered.Compare(a.Registered) })
	var sets []store.Set
	for _, b := range all[maxUnnamed:] {
		if !slices.Contains(spared, b.Version) && len(sets) < store.MaxTxnOps {
			sets = append(sets, store.Set{Key: buildKey(module, b.Version)})
		}
	}
	if len(sets) == 0 {
		return nil
	}
	return r.logs.Set(ctx, sets...)
}

// unnamed reports whether a version was made from a commit, and is no tag's.
func unnamed(version string) bool { return module.IsPseudoVersion(canonical(version)) }

// Build returns what is registered of a version; its State is missing where nothing is.
func (r *Registry) Build(ctx context.Context, module, version string) (playbooks.BuildState, error) {
	var b record
	there, err := r.read(ctx, buildKey(module, version), &b)
	if err != nil || !there {
		return playbooks.BuildState{Module: module, Version: version, State: playbooks.BuildMissing}, err
	}
	return b.BuildState, nil
}

// Versions lists what is registered of a module, newest first, limit at the most.
// Semantic versions are in their own order, with or without a v; all others come after them,
// those that were done last first.
func (r *Registry) Versions(ctx context.Context, module string, limit int) ([]playbooks.BuildState, error) {
	all, err := r.all(ctx, module)
	if err != nil {
		return nil, err
	}
	versions := make([]playbooks.BuildState, 0, max(0, min(limit, len(all))))
	for i := range all[:cap(versions)] {
		versions = append(versions, all[i].BuildState)
	}
	return versions, nil
}

// Newest returns the first of Versions that has passed; false: there is none.
func (r *Registry) Newest(ctx context.Context, module string) (playbooks.BuildState, bool, error) {
	var b record
	there, err := r.read(ctx, newestKey(module), &b)
	return b.BuildState, there, err
}

// VersionOf returns the first of Versions that has passed and was built from a commit,
// given as its full hash. Empty: there is none.
func (r *Registry) VersionOf(ctx context.Context, module, commit string) (string, error) {
	return r.find(ctx, module, commit, func(b *playbooks.BuildState) string { return b.Commit })
}

// VersionOfImage is VersionOf by the digest of the image that came out.
func (r *Registry) VersionOfImage(ctx context.Context, module, digest string) (string, error) {
	return r.find(ctx, module, digest, func(b *playbooks.BuildState) string { return b.Digest })
}

func (r *Registry) find(ctx context.Context, module, wanted string, field func(*playbooks.BuildState) string) (string, error) {
	if wanted == "" {
		return "", nil
	}
	all, err := r.all(ctx, module)
	if err != nil {
		return "", err
	}
	for i := range all {
		if all[i].State == playbooks.BuildPassed && field(&all[i].BuildState) == wanted {
			return all[i].Version, nil
		}
	}
	return "", nil
}

// all reads what is registered of a module, newest first.
func (r *Registry) all(ctx context.Context, module string) ([]record, error) {
	var all []record
	for pair, err := range r.logs.Keys(ctx, buildsOf(module)) {
		if err != nil {
			return nil, fmt.Errorf("builds: %q: %w", module, err)
		}
		var b record
		if err := json.Unmarshal(pair.Value, &b); err != nil {
			return nil, fmt.Errorf("builds: key %q: %w", pair.Key, errors.Join(err, store.ErrCorrupt))
		}
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b record) int { return b.compare(&a) })
	return all, nil
}

func (r *Registry) read(ctx context.Context, key string, b *record) (bool, error) {
	data, err := r.logs.Get(ctx, key)
	if err != nil || data == nil {
		return false, err
	}
	if err := json.Unmarshal(data, b); err != nil {
		return false, fmt.Errorf("builds: key %q: %w", key, errors.Join(err, store.ErrCorrupt))
	}
	return true, nil
}

// compare is positive where b is newer than other.
func (b *record) compare(other *record) int {
	mine, theirs := canonical(b.Version), canonical(other.Version)
	return cmp.Or(semver.Compare(mine, theirs), b.done().Compare(other.done()), strings.Compare(b.Version, other.Version))
}

func (b *record) done() time.Time {
	if b.At.IsZero() {
		return b.Registered
	}
	return b.At
}

// canonical is a version as package semver wants it: it has a v, which some tags leave out.
func canonical(version string) string {
	if !strings.HasPrefix(version, "v") {
		return "v" + version
	}
	return version
}

func short(s string) string { return s[:min(len(s), 40)] }
