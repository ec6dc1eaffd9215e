package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// What one configuration may be made of. The largest catalogs known to us have
// some thousand modules and stay below 3 MiB.
const (
	maxFileSize   = 16 << 20
	maxTotalSize  = 64 << 20
	maxFiles      = 10_000
	maxSecretSize = 64 << 10
)

// loader reads files into trees and gathers what is wrong with them.
type loader struct {
	fsys fs.FS
	env  func(string) (string, bool)

	files   []document
	reading []string        // files being read, each included by the one before
	done    map[string]bool // files read or being read
	size    int
	values  int // what aliases stand for, in values
	full    bool
	partial bool // something could not be read
	// rediscovers: what was discovered earlier is read only to be discovered anew.
	rediscovers bool
	found       []problem
}

// document is a file that was read: a mapping at least.
type document struct {
	src  *source
	root *node
}

func (l *loader) report(at mark, hint, format string, args ...any) {
	l.found = append(l.found, problem{at, fmt.Sprintf(format, args...), hint})
}

// unread reports something that should be part of the configuration and is not.
func (l *loader) unread(at mark, format string, args ...any) {
	l.partial = true
	l.report(at, "", format, args...)
}

// root reads what Load was asked for. Unlike anything that goes wrong further
// in, a name that cannot be read at all is an error and not a problem.
func (l *loader) root(name string) error {
	name = path.Clean(name)
	info, err := fs.Stat(l.fsys, name)
	if err != nil {
		return reason(err)
	}
	if !info.IsDir() {
		content, err := l.read(name, maxFileSize)
		if err != nil {
			return reason(err)
		}
		l.parse(name, content)
		return nil
	}
	if _, err := fs.ReadDir(l.fsys, name); err != nil {
		return reason(err)
	}
	l.folder(name, mark{src: &source{name: name}})
	return nil
}

// reason strips what fs.PathError adds, because callers name the file themselves.
func reason(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// read returns the text of a file of up to limit bytes.
func (l *loader) read(name string, limit int) (string, error) {
	f, err := l.fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return "", err
	}
	if len(data) > limit {
		return "", fmt.Errorf("larger than %d KiB", limit>>10)
	}
	return string(data), nil
}

// file reads a file that something at a mark asked for, unless it was read before.
func (l *loader) file(name string, from mark) {
	if l.done[name] || l.full {
		return
	}
	if len(l.files) >= maxFiles || l.size > maxTotalSize {
		l.full = true
		l.unread(from, "the configuration is larger than %d files or %d MiB", maxFiles, maxTotalSize>>20)
		return
	}
	content, err := l.read(name, maxFileSize)
	if err != nil {
		l.done[name] = true
		l.unread(from, "cannot read %q: %v", name, reason(err))
		return
	}
	l.parse(name, content)
}

// parse takes a file in, and then all files that it includes.
func (l *loader) parse(name, content string) {
	l.done[name] = true
	l.size += len(content)
	content = strings.TrimPrefix(content, "\ufeff") // a byte order mark
	src := newSource(name, content)
	p := parsing{loader: l, src: src}
	root := p.document(content)
	l.files = append(l.files, document{src, root})
	if root == nil {
		l.partial = true
		return
	}
	l.reading = append(l.reading, name)
	for _, pair := range root.pairs {
		if pair.key == "include" {
			l.include(name, pair.value)
		}
	}
	l.reading = l.reading[:len(l.reading)-1]
}

func (l *loader) include(by string, n *node) {
	if n.kind == broken {
		return
	}
	if n.kind != list {
		l.unread(n.at, `"include" wants a list of files and folders, found %s`, n)
		return
	}
	for _, item := range n.items {
		if item.kind != text || item.text == "" {
			l.unread(item.at, `"include" wants the path of a file or folder, found %s`, item)
			continue
		}
		name := item.text
		if !path.IsAbs(name) {
			name = path.Join(path.Dir(by), name)
		}
		name = path.Clean(name)
		if strings.ContainsAny(name, "*?[") {
			l.glob(name, item)
			continue
		}
		if at := slices.Index(l.reading, name); at >= 0 {
			l.report(item.at, "", "files include each other in a circle: %s",
				strings.Join(append(slices.Clone(l.reading[at:]), name), " → "))
			continue
		}
		l.path(name, item.at)
	}
}

// path reads a file, or a folder with everything in it.
func (l *loader) path(name string, from mark) {
	info, err := fs.Stat(l.fsys, name)
	switch {
	case err != nil:
		l.unread(from, "cannot read %q: %v", name, reason(err))
	case info.IsDir():
		l.folder(name, from)
	default:
		l.file(name, from)
	}
}

// glob reads what matches a pattern. The file that says so may match as well.
func (l *loader) glob(pattern string, item *node) {
	matches, err := fs.Glob(l.fsys, pattern)
	if err != nil {
		l.unread(item.at, "bad pattern %q: %v", item.text, err)
		return
	}
	if len(matches) == 0 {
		l.unread(item.at, "no file matches %q", item.text)
	}
	for _, name := range matches {
		l.path(name, item.at)
	}
}

func (l *loader) folder(name string, from mark) {
	if l.scan(name, from) == 0 {
		l.unread(from, "folder %q holds no .yaml or .yml file", name)
	}
}

// scan reads all YAML files of a folder and counts them.
func (l *loader) scan(name string, from mark) int {
	entries, err := fs.ReadDir(l.fsys, name)
	if err != nil {
		l.unread(from, "cannot read folder %q: %v", name, reason(err))
		return 1
	}
	count := 0
	for _, entry := range entries {
		inside := path.Join(name, entry.Name())
		ext := path.Ext(entry.Name())
		switch {
		case strings.HasPrefix(entry.Name(), "."):
		case entry.IsDir():
			count += l.scan(inside, from)
		case ext != ".yaml" && ext != ".yml":
		case entry.Type().IsRegular():
			l.file(inside, from)
			count++
		case entry.Type()&fs.ModeSymlink != 0:
			if info, err := fs.Stat(l.fsys, inside); err != nil || info.Mode().IsRegular() {
				l.file(inside, from)
				count++
			}
		}
	}
	return count
}
