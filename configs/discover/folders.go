package discover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Folders are repositories that are checked out on this machine. A folder that holds a .git or a
// manifest is a repository, named after where it was cloned from or else by its path below the folder
// that was looked through. They are read as they are; there is no other ref. Use NewFolders.
type Folders struct {
	manifests []string

	mu   sync.Mutex
	root map[string]string // of repositories, by name
}

// NewFolders returns Folders that have no repository yet: Projects finds them.
func NewFolders() *Folders {
	f := &Folders{root: make(map[string]string)}
	for _, m := range Manifests() {
		f.manifests = append(f.manifests, m.Name())
	}
	return f
}

// folderDepth is how far below a folder repositories are looked for.
const folderDepth = 6

// Projects finds the repositories in a folder: itself, or else those below it. Links are not followed.
func (f *Folders) Projects(ctx context.Context, folder string) ([]string, error) {
	info, err := os.Stat(folder)
	if err != nil {
		return nil, permanent{fmt.Errorf("look through %q: %w", folder, cause(err))}
	}
	if !info.IsDir() {
		return nil, permanent{fmt.Errorf("look through %q: it is no folder", folder)}
	}
	var roots []string
	if err := f.search(ctx, folder, folderDepth, &roots); err != nil {
		return nil, err
	}
	if len(roots) == 0 {
		return nil, permanent{fmt.Errorf("look through %q: it holds no repository: neither .git nor any of %s", folder, strings.Join(f.manifests, ", "))}
	}
	names := make([]string, 0, len(roots))
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, root := range roots {
		name := nameOf(folder, root)
		if other, ok := f.root[name]; ok && !sameFolder(other, root) {
			return nil, permanent{fmt.Errorf("look through %q: %q and %q are both %s", folder, other, root, name)}
		}
		f.root[name] = root
		names = append(names, name)
	}
	return names, nil
}

func sameFolder(a, b string) bool {
	x, err := filepath.Abs(a)
	y, err2 := filepath.Abs(b)
	return err == nil && err2 == nil && x == y
}

func (f *Folders) search(ctx context.Context, folder string, depth int, roots *[]string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return permanent{fmt.Errorf("read folder %q: %w", folder, cause(err))}
	}
	for _, entry := range entries {
		if entry.Name() == ".git" || entry.Type().IsRegular() && slices.Contains(f.manifests, entry.Name()) {
			*roots = append(*roots, folder)
			return nil
		}
	}
	if depth == 0 {
		return nil
	}
	for _, entry := range entries {
		if entry.IsDir() && !passedOver(entry.Name()+"/.") {
			if err := f.search(ctx, filepath.Join(folder, entry.Name()), depth-1, roots); err != nil {
				return err
			}
		}
	}
	return nil
}

// nameOf names a repository after where it was cloned from, or else by its folder.
func nameOf(folder, root string) string {
	if origin := origin(root); origin != "" {
		return origin
	}
	if rel, err := filepath.Rel(folder, root); err == nil && rel != "." {
		return filepath.ToSlash(rel)
	}
	if abs, err := filepath.Abs(root); err == nil {
		return filepath.Base(abs)
	}
	return filepath.Base(root)
}

// origin reads where a checkout was cloned from, as host/path; empty: nobody says. A work tree's .git is a
// file that leads to its folder (https://git-scm.com/docs/gitrepository-layout).
func origin(root string) string {
	config := filepath.Join(root, ".git", "config")
	if info, err := os.Lstat(filepath.Join(root, ".git")); err == nil && info.Mode().IsRegular() {
		data, err := readSome(filepath.Join(root, ".git"))
		dir, ok := strings.CutPrefix(strings.TrimSpace(string(data)), "gitdir: ")
		if err != nil || !ok {
			return ""
		}
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(root, dir)
		}
		config = filepath.Join(dir, "config")
		if common, err := readSome(filepath.Join(dir, "commondir")); err == nil {
			config = filepath.Join(dir, strings.TrimSpace(string(common)), "config")
		}
	}
	data, err := readSome(config)
	if err != nil {
		return ""
	}
	return remote(string(data))
}

// readSome reads a small file.
func readSome(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<20))
}

// remote finds the address of the remote "origin" in a Git configuration
// (https://git-scm.com/docs/git-config#_configuration_file), and returns it as host/path.
func remote(config string) string {
	in := false
	lines := bufio.NewScanner(strings.NewReader(config))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			in = line == `[remote "origin"]`
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if in && ok && strings.EqualFold(strings.TrimSpace(key), "url") {
			return hostAndPath(strings.Trim(strings.TrimSpace(value), `"`))
		}
	}
	return ""
}

// hostAndPath reads https://user@host:1/path.git, ssh://… and user@host:path. Passwords are not
// part of it. A path on this machine has no name that others know.
func hostAndPath(address string) string {
	scheme, rest, isURL := strings.Cut(address, "://")
	if !isURL {
		host, path, ok := strings.Cut(address, ":")
		if !ok || strings.ContainsAny(host, `/\`) || len(host) < 2 {
			return ""
		}
		rest = host + "/" + strings.TrimLeft(path, "/")
	} else if scheme == "file" {
		return ""
	}
	host, path, ok := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		host = host[at+1:]
	}
	if scheme == "ssh" { // its port is not the forge's
		host, _, _ = strings.Cut(host, ":")
	}
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	if !ok || host == "" || path == "" {
		return ""
	}
	return host + "/" + path
}

// Files implements Repositories.
func (f *Folders) Files(ctx context.Context, project, ref string, names []string) ([]string, error) {
	root, err := f.find(project, ref)
	if err != nil {
		return nil, err
	}
	var all []string
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case entry.IsDir() && name != root && passedOver(entry.Name()+"/."):
			return fs.SkipDir
		case entry.Type().IsRegular() && slices.Contains(names, entry.Name()):
			rel, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			all = append(all, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		return nil, permanent{fmt.Errorf("list files of %q: %w", root, cause(err))}
	}
	return all, nil
}

// Read implements Repositories. It reads nothing outside the repository's folder.
func (f *Folders) Read(_ context.Context, project, ref, name string) ([]byte, error) {
	folder, err := f.find(project, ref)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, permanent{cause(err)}
	}
	defer root.Close()
	file, err := root.Open(filepath.FromSlash(path.Clean(name)))
	if err != nil {
		return nil, permanent{cause(err)}
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxManifestSize+1))
	if err != nil {
		return nil, permanent{cause(err)}
	}
	return data, nil
}

func (f *Folders) find(project, ref string) (string, error) {
	if ref != "" {
		return "", permanent{fmt.Errorf("folders are read as they are, not at %q", ref)}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	root, ok := f.root[project]
	if !ok {
		return "", permanent{fmt.Errorf("there is no repository %q among the folders", project)}
	}
	return root, nil
}

// permanent is an error that asking again does not mend.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent reports that there is no use in asking again.
func (permanent) Permanent() bool { return true }

// cause strips what fs.PathError adds where the file is named already.
func cause(err error) error {
	if wrong, ok := errors.AsType[*fs.PathError](err); ok {
		return wrong.Err
	}
	return err
}
