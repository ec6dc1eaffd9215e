package discover

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/muster-release/muster/playbooks"
)

const goKind = "go"

// goMod reads go.mod (https://go.dev/ref/mod#go-mod-file).
//
// A direct requirement is a build need of at least that version. An indirect one is left out: the code
// does not import it, and whoever does says so in a go.mod of its own. What only the tool directive
// names is a test need: a tool runs while the code is made, and is no part of what is released.
type goMod struct{}

func (goMod) Name() string { return "go.mod" }

func (goMod) Read(name string, data []byte) (Found, error) {
	f, err := modfile.Parse(name, data, nil)
	if err != nil {
		return Found{}, goModError(name, err)
	}
	var found Found
	if f.Module != nil {
		found.Provides = append(found.Provides, Provided{
			Artifact: Artifact{goKind, f.Module.Mod.Path},
			Line:     f.Module.Syntax.Start.Line,
			Private:  !downloadable(f.Module.Mod.Path),
		})
	}
	for _, r := range f.Require {
		kind := playbooks.NeedBuild
		if r.Indirect {
			if !isTool(f, r.Mod.Path) {
				continue
			}
			kind = playbooks.NeedTest
		}
		need := Need{
			Artifact:   Artifact{goKind, r.Mod.Path},
			Private:    !downloadable(r.Mod.Path),
			Kind:       kind,
			Constraint: atLeast(r.Mod.Version),
			Line:       r.Syntax.Start.Line,
		}
		replaced(f, r, &need)
		found.Needs = append(found.Needs, need)
	}
	return found, nil
}

// goModError says what is wrong first, and how many things more.
func goModError(name string, err error) error {
	all, ok := errors.AsType[modfile.ErrorList](err)
	if !ok || len(all) == 0 {
		return err
	}
	first := strings.Join(strings.Fields(all[0].Error()), " ")
	if !strings.HasPrefix(first, name) {
		first = name + ": " + first
	}
	if len(all) > 1 {
		return fmt.Errorf("%s, and %d more", first, len(all)-1)
	}
	return errors.New(first)
}

// downloadable reports whether other repositories can require a module at all: the go command
// downloads only paths whose first part is a domain (https://go.dev/ref/mod#module-path).
func downloadable(module string) bool {
	first, _, _ := strings.Cut(module, "/")
	return strings.Contains(first, ".")
}

// isTool reports whether a tool comes from a required module: from the one with the longest path
// that the tool's begins with.
func isTool(f *modfile.File, module string) bool {
	within := func(pkg, module string) bool { return pkg == module || strings.HasPrefix(pkg, module+"/") }
	return slices.ContainsFunc(f.Tool, func(t *modfile.Tool) bool {
		return within(t.Path, module) && !slices.ContainsFunc(f.Require, func(r *modfile.Require) bool {
			return len(r.Mod.Path) > len(module) && within(t.Path, r.Mod.Path)
		})
	})
}

// replaced turns a need to what is built in its place: another module, or a folder. A replacement
// for that version comes before one for all versions.
func replaced(f *modfile.File, r *modfile.Require, need *Need) {
	var by *modfile.Replace
	for _, candidate := range f.Replace {
		if candidate.Old.Path == r.Mod.Path && (candidate.Old.Version == r.Mod.Version || candidate.Old.Version == "" && by == nil) {
			by = candidate
		}
	}
	switch {
	case by == nil:
	case by.New.Version == "": // only a folder has none
		need.Folder, need.Constraint = slashed(by.New.Path), ""
	default:
		need.Artifact.Name, need.Private = by.New.Path, !downloadable(by.New.Path)
		need.Constraint, need.Line = atLeast(by.New.Version), by.Syntax.Start.Line
	}
}

// slashed cleans the path of a folder. A path from the root stays one, and leads nowhere.
func slashed(folder string) string { return path.Clean(strings.ReplaceAll(folder, `\`, "/")) }
