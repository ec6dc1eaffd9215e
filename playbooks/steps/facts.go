package steps

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/muster-release/muster/playbooks"
)

// lookAtOnce is how many places are asked for at the same time.
const lookAtOnce = 16

// Facts asks the deployers what is live in the environment of the request and in
// the one before, for the modules of the request and all that they need, and the builds of the
// versions that may be meant. It has no effect.
func (p Ports) Facts(builds Builds) func(context.Context, *playbooks.Catalog, playbooks.Request) (playbooks.Facts, error) {
	return func(ctx context.Context, c *playbooks.Catalog, request playbooks.Request) (playbooks.Facts, error) {
		var facts playbooks.Facts
		env := c.Environment(request.Environment)
		if env == nil {
			return facts, nil // Compile says so better
		}
		f := &collecting{ports: p, catalog: c, facts: &facts}
		asked := ctx
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(lookAtOnce)
		wanted := wanted(c, request)
		for _, e := range []*playbooks.Environment{env, c.Before(env.Name)} {
			if e == nil {
				continue
			}
			facts.Known = append(facts.Known, e.Name)
			for _, m := range wanted {
				for _, place := range c.Places(e, m) {
					group.Go(safely(func() error { return f.live(ctx, m, place) }))
				}
			}
		}
		if err := group.Wait(); err != nil {
			return playbooks.Facts{}, err
		}
		if builds != nil {
			if err := f.builds(asked, builds, request); err != nil {
				return playbooks.Facts{}, err
			}
		}
		f.sort()
		return facts, nil
	}
}

// safely turns a panic of a port into an error; the group would let it end the program.
func safely(f func() error) func() error {
	return func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = missing{fmt.Errorf("a port broke while it was asked: %v", v)}
			}
		}()
		return f()
	}
}

// wanted returns the modules of the request with everything they need.
func wanted(c *playbooks.Catalog, request playbooks.Request) []*playbooks.Module {
	byName := make(map[string]*playbooks.Module, len(c.Modules))
	for i := range c.Modules {
		byName[c.Modules[i].Name] = &c.Modules[i]
	}
	var names []string
	if request.All {
		for i := range c.Modules {
			names = append(names, c.Modules[i].Name)
		}
	}
	for _, ref := range request.Modules {
		names = append(names, ref.Name)
	}
	seen := make(map[string]bool)
	var modules []*playbooks.Module
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		m := byName[name]
		if m == nil || seen[name] {
			continue
		}
		seen[name] = true
		modules = append(modules, m)
		for _, need := range m.Needs {
			names = append(names, need.Module)
		}
	}
	return modules
}

type collecting struct {
	ports   Ports
	catalog *playbooks.Catalog

	mu    sync.Mutex
	facts *playbooks.Facts
}

func (f *collecting) live(ctx context.Context, m *playbooks.Module, place playbooks.Place) error {
	to, err := deployer(f.ports.Deployers, m.In(place.Environment).Deployer)
	if err != nil {
		return err
	}
	live, err := to.Live(ctx, place)
	if err != nil {
		return err
	}
	live.Place = place
	f.mu.Lock()
	defer f.mu.Unlock()
	f.facts.Live = append(f.facts.Live, live)
	return nil
}

// builds asks for the builds of every version that the request may mean, and for the newest
// one of each module that it names without a version, or with one that has not passed. What is live has to be known by then.
func (f *collecting) builds(ctx context.Context, from Builds, request playbooks.Request) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookAtOnce)
	for _, ref := range f.refs(request) {
		if ref.Version == "" {
			group.Go(safely(func() error { return f.newest(ctx, from, ref.Name) }))
		} else {
			group.Go(safely(func() error { return f.build(ctx, from, ref) }))
		}
	}
	return group.Wait()
}

// refs are the versions that a request may mean, each once: those it names and, for modules
// without one, those live in the environment before and the catalog's. A module for which
// there is none of these has an entry without a version.
func (f *collecting) refs(request playbooks.Request) []playbooks.ModuleRef {
	named := make(map[string]bool)
	var refs []playbooks.ModuleRef
	for _, ref := range request.Modules {
		if ref.Version != "" {
			named[ref.Name] = true
			refs = append(refs, ref)
		}
	}
	live := make(map[string][]playbooks.ModuleRef)
	if before := f.catalog.Before(request.Environment); before != nil {
		for _, l := range f.facts.Live {
			if l.Environment == before.Name && l.Version != "" {
				live[l.Module] = append(live[l.Module], playbooks.ModuleRef{Name: l.Module, Version: l.Version})
			}
		}
	}
	open := func(m *playbooks.Module) {
		switch {
		case named[m.Name]:
			return
		case live[m.Name] != nil:
			refs = append(refs, live[m.Name]...)
		default:
			refs = append(refs, playbooks.ModuleRef{Name: m.Name, Version: m.Version})
		}
		named[m.Name] = true
	}
	for _, ref := range request.Modules {
		if m := f.catalog.Module(ref.Name); m != nil {
			open(m)
		}
	}
	if request.All {
		for i := range f.catalog.Modules {
			open(&f.catalog.Modules[i])
		}
	}
	slices.SortFunc(refs, func(a, b playbooks.ModuleRef) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return slices.Compact(refs)
}

func (f *collecting) build(ctx context.Context, builds Builds, ref playbooks.ModuleRef) error {
	state, err := builds.Build(ctx, ref.Name, ref.Version)
	if err != nil {
		return err
	}
	if state.State != playbooks.BuildPassed { // whoever reads that wants to know what has passed
		if err := f.newest(ctx, builds, ref.Name); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.facts.Builds = append(f.facts.Builds, state)
	return nil
}

// lately is how many of a module's builds are looked through for one that has passed.
const lately = 50

func (f *collecting) newest(ctx context.Context, builds Builds, module string) error {
	all, err := builds.Versions(ctx, module, lately)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(b playbooks.BuildState) bool { return b.State == playbooks.BuildPassed })
	if i < 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.facts.Newest = append(f.facts.Newest, all[i])
	f.facts.Builds = append(f.facts.Builds, all[i])
	return nil
}

// sort makes the facts the same however the answers came in.
func (f *collecting) sort() {
	slices.SortFunc(f.facts.Live, func(a, b playbooks.Live) int { return a.Compare(b.Place) })
	byName := func(a, b playbooks.BuildState) int {
		return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Version, b.Version))
	}
	slices.SortFunc(f.facts.Builds, byName)
	slices.SortFunc(f.facts.Newest, byName)
	f.facts.Builds, f.facts.Newest = slices.Compact(f.facts.Builds), slices.Compact(f.facts.Newest)
}
