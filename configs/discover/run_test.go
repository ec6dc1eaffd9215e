package discover_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/configs/discover"
	"github.com/muster-release/muster/playbooks"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata")

// forge holds files by project and path. A project is the first two parts of a path.
type forge struct {
	projects map[string]map[string]string
	broken   map[string]error // by project or project/path

	mu    sync.Mutex
	calls map[string]int
	now   int // calls under way
	most  int
	pause time.Duration // of each call
}

func newForge() *forge {
	return &forge{projects: make(map[string]map[string]string), broken: make(map[string]error), calls: make(map[string]int)}
}

func (f *forge) put(name, content string) {
	parts := strings.SplitN(name, "/", 3)
	project := parts[0] + "/" + parts[1]
	if f.projects[project] == nil {
		f.projects[project] = make(map[string]string)
	}
	f.projects[project][parts[2]] = content
}

// enter counts a call, and returns what it is to fail with.
func (f *forge) enter(what string) error {
	f.mu.Lock()
	f.calls[what]++
	f.now++
	f.most = max(f.most, f.now)
	err := f.broken[what]
	f.mu.Unlock()
	time.Sleep(f.pause)
	f.mu.Lock()
	f.now--
	f.mu.Unlock()
	return err
}

func (f *forge) Projects(_ context.Context, group string) ([]string, error) {
	if err := f.enter(group); err != nil {
		return nil, err
	}
	var all []string
	for project := range f.projects {
		if strings.HasPrefix(project, group+"/") {
			all = append(all, project)
		}
	}
	return all, nil
}

func (f *forge) Files(_ context.Context, project, ref string, names []string) ([]string, error) {
	if err := f.enter(project); err != nil {
		return nil, err
	}
	files, ok := f.projects[project]
	if !ok || ref != "" && ref != "v1" {
		return nil, gone{fmt.Errorf("no %q at %q", project, ref)}
	}
	var all []string
	for name := range files {
		if slices.Contains(names, path.Base(name)) {
			all = append(all, name)
		}
	}
	return all, nil
}

func (f *forge) Read(_ context.Context, project, _, name string) ([]byte, error) {
	if err := f.enter(project + "/" + name); err != nil {
		return nil, err
	}
	return []byte(f.projects[project][name]), nil
}

type gone struct{ error }

func (gone) Gone() bool      { return true }
func (gone) Permanent() bool { return true }

type later struct{ after time.Duration }

func (later) Error() string               { return "not now" }
func (l later) RetryAfter() time.Duration { return l.after }

// TestGolden looks through the repositories of each archive and compares what a person sees, and the
// file that would be written, with the archive's parts "want" and "file". The part "options" has a line for
// each group, project, ref and host, and "broken" names projects and files that cannot be read.
func TestGolden(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text, written := play(t, archive)
			golden := map[string]string{"want": text, "file": written}
			for i, f := range archive.Files {
				got, ok := golden[f.Name]
				delete(golden, f.Name)
				switch {
				case !ok:
				case *update:
					archive.Files[i].Data = []byte(got)
				case got != string(f.Data):
					t.Errorf("%s: got:\n%s\nwant:\n%s", f.Name, got, f.Data)
				}
			}
			if !*update {
				return
			}
			for _, name := range []string{"want", "file"} {
				if got, ok := golden[name]; ok {
					archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got)})
				}
			}
			if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func play(t *testing.T, archive *txtar.Archive) (text, written string) {
	f := newForge()
	var o discover.Options
	config := fstest.MapFS{}
	for _, file := range archive.Files {
		switch data := string(file.Data); file.Name {
		case "want", "file":
		case "catalog.yaml":
			config["catalog.yaml"] = &fstest.MapFile{Data: file.Data}
		case "options":
			for line := range strings.Lines(data) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
				switch key {
				case "group":
					o.Groups = append(o.Groups, value)
				case "project":
					o.Projects = append(o.Projects, value)
				case "ref":
					o.Ref = value
				case "host":
					o.Host = value
				}
			}
		case "broken":
			for line := range strings.Lines(data) {
				f.broken[strings.TrimSpace(line)] = gone{errors.New("permission denied")}
			}
		default:
			f.put(file.Name, data)
		}
	}
	catalog := load(t, config)
	result, err := discover.Run(t.Context(), f, catalog, o)
	if err != nil {
		return err.Error() + "\n", ""
	}
	d := result.Compare()
	again, err := discover.Run(t.Context(), f, catalog, o)
	if err != nil {
		t.Fatal(err)
	}
	if text = result.Text(d); again.Text(again.Compare()) != text {
		t.Error("the second time something else comes out")
	}
	if len(d.Circles) > 0 {
		return text, string(d.File())
	}
	// What was written is what the catalog says from then on.
	after := config
	after["discovered.yaml"] = &fstest.MapFile{Data: d.File()}
	after["catalog.yaml"] = &fstest.MapFile{Data: append([]byte("include: [discovered.yaml]\n"), withoutDiscovered(string(config["catalog.yaml"].Data))...)}
	settled, err := discover.Run(t.Context(), f, load(t, after), o)
	if err != nil {
		t.Fatal(err)
	}
	if d := settled.Compare(); d.Any() || string(d.File()) != string(after["discovered.yaml"].Data) {
		t.Errorf("what was written is not taken as it was meant:\n%s\nfile: %s", settled.Text(d), d.File())
	}
	return text, string(d.File())
}

// withoutDiscovered cuts off what was discovered earlier: it stands at the end of a catalog.
func withoutDiscovered(catalog string) string {
	before, _, _ := strings.Cut(catalog, "discovered:")
	return before
}

func load(t *testing.T, files fstest.MapFS) *playbooks.Catalog {
	t.Helper()
	config, err := configs.LoadFS(files, "catalog.yaml", configs.ForDiscovery())
	if err != nil {
		t.Fatal(err)
	}
	return config.Catalog
}

// Thousands of projects are looked at a few at a time.
func TestBoundedConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newForge()
		f.pause = time.Second
		for i := range 100 {
			f.put(fmt.Sprintf("shop/p%02d/go.mod", i), fmt.Sprintf("module git.example/shop/p%02d\n", i))
		}
		start := time.Now()
		r, err := discover.Run(t.Context(), f, &playbooks.Catalog{}, discover.Options{Groups: []string{"shop"}})
		if err != nil || len(r.Proposals) != 100 {
			t.Fatalf("%+v, %v", r, err)
		}
		if f.most != 8 {
			t.Errorf("%d calls at the same time", f.most)
		}
		if took := time.Since(start); took != 27*time.Second { // 1 for the group, 13 for lists, 13 for files
			t.Errorf("it took %s", took)
		}
	})
}

// A forge that puts us off is asked again when it said, and one that says nothing a few times.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newForge()
		f.put("shop/cart/go.mod", "module git.example/shop/cart\n")
		f.put("shop/money/go.mod", "module git.example/shop/money\n")
		f.broken["shop/cart/go.mod"] = later{time.Minute}
		time.AfterFunc(90*time.Second, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.broken, "shop/cart/go.mod")
		})
		f.broken["shop/money/go.mod"] = errors.New("connection reset")
		r, err := discover.Run(t.Context(), f, &playbooks.Catalog{}, discover.Options{Groups: []string{"shop"}})
		if err != nil || r.Files != 1 || len(r.Problems) != 1 || r.Problems[0].String() != "shop/money: go.mod: cannot be read: connection reset" {
			t.Fatalf("%+v, %v", r, err)
		}
		if f.calls["shop/cart/go.mod"] != 3 || f.calls["shop/money/go.mod"] != 4 {
			t.Errorf("calls: %v", f.calls)
		}
		f.broken["shop"] = later{time.Hour}
		if _, err := discover.Run(t.Context(), f, &playbooks.Catalog{}, discover.Options{Groups: []string{"shop"}}); err == nil || err.Error() != "discover: nothing could be read: shop: cannot be looked through: not now" {
			t.Errorf("error %v", err)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newForge()
		f.put("shop/cart/go.mod", "module git.example/shop/cart\n")
		f.broken["shop/cart"] = later{time.Minute}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("it takes too long"))
		defer cancel()
		_, err := discover.Run(ctx, f, &playbooks.Catalog{}, discover.Options{Groups: []string{"shop"}})
		if err == nil || err.Error() != "discover: it takes too long" {
			t.Errorf("error %v", err)
		}
	})
}

func TestNothingToLookAt(t *testing.T) {
	_, err := discover.Run(t.Context(), newForge(), &playbooks.Catalog{Modules: []playbooks.Module{{Name: "cart"}}}, discover.Options{})
	if err == nil || !strings.Contains(err.Error(), "no module of the catalog names its source") {
		t.Errorf("error %v", err)
	}
}

// One more kind of file is a small type.
func TestAnotherKind(t *testing.T) {
	f := newForge()
	f.put("shop/cart/needs.txt", "money")
	f.put("shop/money/needs.txt", "")
	catalog := &playbooks.Catalog{Modules: []playbooks.Module{{Name: "cart", Source: "shop/cart"}, {Name: "money", Source: "shop/money"}}}
	r, err := discover.Run(t.Context(), f, catalog, discover.Options{Manifests: []discover.Manifest{words{}}})
	if err != nil || len(r.Edges) != 1 || r.Edges[0].String() != "cart needs money (deploy, needs.txt:1)" {
		t.Errorf("%+v, %v", r, err)
	}
}

type words struct{}

func (words) Name() string { return "needs.txt" }

func (words) Read(_ string, data []byte) (discover.Found, error) {
	var found discover.Found
	for _, word := range strings.Fields(string(data)) {
		found.Needs = append(found.Needs, discover.Need{Module: word, Kind: playbooks.NeedDeploy, Line: 1})
	}
	return found, nil
}
