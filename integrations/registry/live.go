package registry

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/muster-release/muster/playbooks"
)

const (
	// mostLooked is how many tags are looked at to find out which version a digest is.
	mostLooked = 30
	// askAgain is how long nobody is asked again for a version that nobody knew.
	askAgain = time.Minute
)

// Live implements steps.Deployer: what a place's channel is at. Where there is no such tag, nothing
// is. It is always healthy, for a tag does nothing.
//
// Which version a digest is says what this process put there, then Options.VersionOf, then a tag of the
// repository that looks like a version and is at the same digest, of which at most mostLooked are looked
// at; where nobody knows it, it is the digest itself. A registry does not keep since when a tag is
// where it is: Since is when this process saw it there first, so that a time of soaking is too long
// rather than too short.
func (r *Registry) Live(ctx context.Context, p playbooks.Place) (playbooks.Live, error) {
	live := playbooks.Live{Place: p}
	m := r.o.Catalog().Module(p.Module)
	if m == nil {
		return live, refuse("find module %q: the catalog has no such module", p.Module)
	}
	params := m.In(p.Environment).Params
	repo, err := repository(params[paramImage])
	if err != nil {
		return live, fmt.Errorf("module %q: %w", p.Module, err)
	}
	channel, err := channelOf(repo, params, p)
	if err != nil {
		return live, fmt.Errorf("module %q: %w", p.Module, err)
	}
	digest, err := r.digest(ctx, channel)
	if isGone(err) {
		r.forget(channel)
		return live, nil
	}
	if err != nil {
		return live, err
	}
	was := r.saw(channel, digest)
	if was.version == "" && time.Since(was.asked) >= askAgain {
		version, err := r.versionOf(ctx, repo, params[paramFrom], p, digest)
		if err != nil {
			return live, err
		}
		was = r.named(channel, digest, version)
	}
	live.Version, live.Since, live.Healthy = cmp.Or(was.version, digest), was.since, true
	return live, nil
}

// versionOf finds out which version of a module a digest is, empty if nobody knows.
func (r *Registry) versionOf(ctx context.Context, repo name.Repository, from string, p playbooks.Place, digest string) (string, error) {
	if r.o.VersionOf != nil {
		version, err := r.o.VersionOf(ctx, p.Module, digest)
		if err != nil {
			return "", fmt.Errorf("registry: look up the version of %s that is %s: %w", p.Module, short(digest), err)
		}
		if version != "" {
			return version, nil
		}
	}
	tags, err := r.tags(ctx, repo)
	if err != nil {
		return "", err
	}
	versions, tagOf := versionsOf(tags, from, p, mostLooked)
	for _, version := range versions {
		is, err := r.digest(ctx, repo.Tag(tagOf[version]))
		switch {
		case isGone(err): // deleted meanwhile
		case err != nil:
			return "", err
		case is == digest:
			return version, nil
		}
	}
	return "", nil
}

// saw keeps what a tag is at, and returns what is known of it.
func (r *Registry) saw(tag name.Tag, digest string) seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.seen[tag.String()]
	if s.digest != digest {
		if len(r.seen) >= mostSeen {
			clear(r.seen)
		}
		s = seen{digest: digest, since: time.Now().UTC()}
		r.seen[tag.String()] = s
	}
	return s
}

// named keeps which version the digest is that a tag is at; empty: nobody knows now.
func (r *Registry) named(tag name.Tag, digest, version string) seen {
	s := r.saw(tag, digest)
	s.version, s.asked = version, time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[tag.String()] = s
	return s
}

func (r *Registry) forget(tag name.Tag) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, tag.String())
}
