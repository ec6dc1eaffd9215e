// Package discover finds out what modules need from the files in which their repositories say
// so already: go.mod, package.json and a repository's own .muster.yaml. Run reads them, over whole groups
// of projects, and maps what is provided and needed to the modules of a catalog; Result.Compare
// shows what is new to it, and Difference.File is the file that tells the catalog.
//
// What somebody declares in the catalog wins over what is found. What lies in folders named
// node_modules, vendor or testdata, or in ones that begin with a dot or an underscore, is passed over.
package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/muster-release/muster/playbooks"
)

// Repositories are where files are read from. Its methods are called concurrently, and only read: an
// error with RetryAfter, or one that is not Permanent, is answered by asking again.
type Repositories interface {
	// Projects returns the paths of all projects in a group and in the groups below it, archived
	// ones left out.
	Projects(ctx context.Context, group string) ([]string, error)
	// Files returns the paths of all files in a project that bear one of these names, whatever
	// their folder. An empty ref is the default branch. An error that is Gone says that there is no
	// such project or ref.
	Files(ctx context.Context, project, ref string, names []string) ([]string, error)
	// Read returns a file.
	Read(ctx context.Context, project, ref, path string) ([]byte, error)
}

// Options say where to look.
type Options struct {
	// Groups are looked through, and Projects looked at. Without either it is the projects that the
	// catalog's modules name as their source.
	Groups   []string
	Projects []string
	Ref      string // a branch, tag or commit; empty: each project's default branch
	// Host stands before projects in the sources of modules, a sub-path included: "git.example/forge".
	// It may be left out there.
	Host string
	// Manifests are the kinds of files to read; nil: all.
	Manifests []Manifest
}

// Problem is something that could not be read or understood, so that needs may be missing.
type Problem struct {
	Project string `json:"project"`
	Message string `json:"message"` // begins with the file and its line, where it is about one
}

// String returns the problem as a person reads it, in one line.
func (p Problem) String() string { return p.Project + ": " + p.Message }

const (
	atOnce = 8 // calls under way at the same time
	// tries is how often one thing is asked for where nobody knows what became of it, and patience
	// how long the forge may put us off in all. It may for a moment only before it has answered
	// anything: then it is more likely that something is wrong with how we ask.
	tries    = 4
	patience = 10 * time.Minute
	moment   = 5 * time.Second
	// mostFiles is how many files of one project are read.
	mostFiles = 2000
)

// Run looks through repositories. What cannot be read is a Problem of the result; the error is
// for when nothing at all could be, or ctx is over. It only reads, and is safe to repeat.
func Run(ctx context.Context, repos Repositories, catalog *playbooks.Catalog, o Options) (*Result, error) {
	if o.Manifests == nil {
		o.Manifests = Manifests()
	}
	s := &search{repos: repos, o: o, byName: make(map[string]Manifest)}
	for _, m := range o.Manifests {
		s.byName[m.Name()] = m
		s.names = append(s.names, m.Name())
	}
	if err := s.list(ctx, catalog); err != nil {
		return nil, err
	}
	if err := s.find(ctx); err != nil {
		return nil, err
	}
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	slices.SortFunc(s.files, func(a, b file) int {
		return cmp.Or(strings.Compare(a.project, b.project), strings.Compare(a.path, b.path))
	})
	r := resolve(catalog, o, s)
	if r.Files == 0 && len(r.Problems) > 0 {
		return nil, fmt.Errorf("discover: nothing could be read: %w", problemsError(r.Problems))
	}
	return r, nil
}

func problemsError(problems []Problem) error {
	if n := len(problems); n > 1 {
		return fmt.Errorf("%s, and %d more", problems[0], n-1)
	}
	return errors.New(problems[0].String())
}

// file is a file that was read.
type file struct {
	project, path string
	found         Found
}

// search is one Run.
type search struct {
	repos  Repositories
	o      Options
	names  []string
	byName map[string]Manifest

	answered atomic.Bool // something, ever

	projects []string
	asked    map[string]bool // projects that were asked for by their own name

	mu       sync.Mutex // guards what follows
	files    []file
	looked   []string // projects whose files are known
	empty    []string // projects of groups without such a ref
	problems []Problem
}

func (s *search) problem(project string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, Problem{project, harmless(err.Error())})
}

// list collects the projects to look at.
func (s *search) list(ctx context.Context, catalog *playbooks.Catalog) error {
	asked := s.o.Projects
	if len(s.o.Groups) == 0 && len(asked) == 0 {
		for i := range catalog.Modules {
			if project := projectOf(catalog.Modules[i].Source, s.o.Host); project != "" {
				asked = append(asked, project)
			}
		}
		if len(asked) == 0 {
			return errors.New("discover: no module of the catalog names its source: say which groups or projects to look at")
		}
	}
	groups := make([][]string, len(s.o.Groups))
	err := parallel(ctx, s.o.Groups, func(i int, group string) {
		var err error
		groups[i], err = patiently(ctx, s, func() ([]string, error) { return s.repos.Projects(ctx, group) })
		if err != nil {
			s.problem(group, fmt.Errorf("cannot be looked through: %w", err))
		}
	})
	seen := make(map[string]bool)
	s.asked = make(map[string]bool)
	add := func(project string) {
		if key := strings.ToLower(project); !seen[key] {
			seen[key] = true
			s.projects = append(s.projects, project)
		}
	}
	for _, project := range asked {
		add(project)
		s.asked[project] = true
	}
	for _, found := range groups {
		for _, project := range found {
			add(project)
		}
	}
	slices.Sort(s.projects)
	return err
}

// find lists the files of all projects.
func (s *search) find(ctx context.Context) error {
	return parallel(ctx, s.projects, func(_ int, project string) {
		paths, err := patiently(ctx, s, func() ([]string, error) { return s.repos.Files(ctx, project, s.o.Ref, s.names) })
		var missing interface{ Gone() bool }
		switch {
		case err != nil && !s.asked[project] && errors.As(err, &missing) && missing.Gone():
			s.mu.Lock()
			s.empty = append(s.empty, project)
			s.mu.Unlock()
			return
		case err != nil:
			s.problem(project, fmt.Errorf("its files cannot be listed: %w", err))
			return
		}
		paths = slices.DeleteFunc(slices.Clone(paths), func(name string) bool { return passedOver(name) || s.byName[path.Base(name)] == nil })
		slices.Sort(paths)
		paths = slices.Compact(paths)
		if len(paths) > mostFiles {
			s.problem(project, fmt.Errorf("%d files say what is needed there, and only the first %d are read", len(paths), mostFiles))
			paths = paths[:mostFiles]
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.looked = append(s.looked, project)
		for _, name := range paths {
			s.files = append(s.files, file{project: project, path: name})
		}
	})
}

// read reads all files, and forgets those that cannot be read.
func (s *search) read(ctx context.Context) error {
	good := make([]bool, len(s.files))
	err := parallel(ctx, s.files, func(i int, f file) {
		data, err := patiently(ctx, s, func() ([]byte, error) { return s.repos.Read(ctx, f.project, s.o.Ref, f.path) })
		if err != nil {
			s.problem(f.project, fmt.Errorf("%s: cannot be read: %w", f.path, err))
			return
		}
		if len(data) > maxManifestSize {
			s.problem(f.project, fmt.Errorf("%s: is larger than %d MiB", f.path, maxManifestSize>>20))
			return
		}
		found, err := s.byName[path.Base(f.path)].Read(f.path, data)
		if err != nil {
			s.problem(f.project, err)
			return
		}
		s.files[i].found, good[i] = found, true
	})
	kept := s.files[:0]
	for i, f := range s.files {
		if good[i] {
			kept = append(kept, f)
		}
	}
	s.files = kept
	return err
}

// parallel calls do for each item, some at a time. The error is that of ctx.
func parallel[T any](ctx context.Context, items []T, do func(i int, item T)) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, item := range items {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			do(i, item)
			return nil
		})
	}
	_ = g.Wait() // nothing fails here
	if ctx.Err() != nil {
		return fmt.Errorf("discover: %w", context.Cause(ctx))
	}
	return nil
}

// patiently asks again where the answer was that it is not our turn, or nobody knows: nothing is
// changed by asking.
func patiently[T any](ctx context.Context, s *search, ask func() (T, error)) (T, error) {
	unknown, waited := 0, time.Duration(0)
	for {
		answer, err := ask()
		if err == nil {
			s.answered.Store(true)
			return answer, nil
		}
		var later interface{ RetryAfter() time.Duration }
		var refused interface{ Permanent() bool }
		var pause time.Duration
		switch {
		case ctx.Err() != nil:
			return answer, err
		case errors.As(err, &later):
			pause = max(later.RetryAfter(), 100*time.Millisecond)
		case errors.As(err, &refused) && refused.Permanent():
			return answer, err
		default:
			unknown++
			pause = time.Second << unknown
		}
		waited += pause
		if unknown == tries || waited > patience || pause > moment && later != nil && !s.answered.Load() {
			return answer, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return answer, err
		}
	}
}

// passedOver reports whether a file lies where others' files lie, or files that are for tests alone.
func passedOver(name string) bool {
	for _, folder := range strings.Split(path.Dir(name), "/") {
		switch {
		case folder == "node_modules", folder == "vendor", folder == "testdata":
			return true
		case folder != "." && (strings.HasPrefix(folder, ".") || strings.HasPrefix(folder, "_")):
			return true
		}
	}
	return false
}
