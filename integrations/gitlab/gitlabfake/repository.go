package gitlabfake

import (
	"cmp"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// commit is a commit with the whole tree.
type commit struct {
	id      string
	message string
	name    string // of the author
	email   string
	at      time.Time
	parents []*commit
	files   map[string]string
}

type tag struct {
	name    string
	message string
	commit  *commit
	created time.Time
}

func (c *commit) title() string {
	t, _, _ := strings.Cut(c.message, "\n")
	return t
}

// commit makes a commit; no branch knows it yet.
func (p *project) commit(by *user, message string, parents []*commit, files map[string]string, at time.Time) *commit {
	c := &commit{message: message, name: by.Name, email: by.Email, at: at, parents: parents, files: maps.Clone(files)}
	h := sha1.New()
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00%d\x00%d\x00", p.Path, by.Username, message, at.UnixNano(), len(p.order))
	for _, parent := range parents {
		fmt.Fprintf(h, "%s\x00", parent.id)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s\x00%s\x00", name, blobID(files[name]))
	}
	c.id = hex.EncodeToString(h.Sum(nil))
	p.commits[c.id] = c
	p.order = append(p.order, c)
	return c
}

// blobID is the ID that Git gives a file's content.
func blobID(content string) string {
	sum := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content))
	return hex.EncodeToString(sum[:])
}

var hexID = regexp.MustCompile(`^[0-9a-f]{4,40}$`)

// resolve finds what a ref names: a tag, a branch, a commit or the beginning of its ID.
func (p *project) resolve(ref string) *commit {
	c, _, _ := p.lookup(ref)
	return c
}

// lookup is resolve that tells the short name, and whether it is of a tag.
func (p *project) lookup(ref string) (c *commit, name string, isTag bool) {
	if ref == "" || ref == "HEAD" {
		ref = "refs/heads/" + p.DefaultBranch
	}
	if b, found := strings.CutPrefix(ref, "refs/heads/"); found {
		return p.branches[b], b, false
	}
	if t, found := strings.CutPrefix(ref, "refs/tags/"); found {
		if p.tags[t] == nil {
			return nil, t, true
		}
		return p.tags[t].commit, t, true
	}
	if t := p.tags[ref]; t != nil {
		return t.commit, ref, true
	}
	if b := p.branches[ref]; b != nil {
		return b, ref, false
	}
	if hexID.MatchString(ref) {
		for _, one := range p.order {
			if strings.HasPrefix(one.id, ref) {
				if c != nil {
					return nil, ref, false // ambiguous
				}
				c = one
			}
		}
	}
	return c, ref, false
}

// history is a commit and all before it, newest first; children before their parents.
func history(from ...*commit) []*commit {
	seen := map[*commit]bool{}
	var all []*commit
	var walk func(*commit)
	walk = func(c *commit) {
		if c == nil || seen[c] {
			return
		}
		seen[c] = true
		for _, parent := range c.parents {
			walk(parent)
		}
		all = append(all, c)
	}
	for _, c := range from {
		walk(c)
	}
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b *commit) int { return b.at.Compare(a.at) })
	return all
}

// ahead are the commits of to that from has not, newest first.
func ahead(from, to *commit) []*commit {
	have := map[*commit]bool{}
	for _, c := range history(from) {
		have[c] = true
	}
	return slices.DeleteFunc(history(to), func(c *commit) bool { return have[c] })
}

// mergeBase is the newest commit that both have; nil if there is none.
func mergeBase(a, b *commit) *commit {
	have := map[*commit]bool{}
	for _, c := range history(a) {
		have[c] = true
	}
	for _, c := range history(b) {
		if have[c] {
			return c
		}
	}
	return nil
}

// touches reports whether a commit changed something at or below a path against its first
// parent.
func (c *commit) touches(where string) bool {
	where = strings.Trim(where, "/")
	in := func(name string) bool {
		return where == "" || where == "." || name == where || strings.HasPrefix(name, where+"/")
	}
	var before map[string]string
	if len(c.parents) > 0 {
		before = c.parents[0].files
	}
	for name, content := range c.files {
		if old, had := before[name]; in(name) && (!had || old != content) {
			return true
		}
	}
	for name := range before {
		if _, has := c.files[name]; in(name) && !has {
			return true
		}
	}
	return false
}

// changes compares two trees as GitLab shows it, by path.
func changes(from, to *commit) []any {
	before, after := map[string]string{}, map[string]string{}
	if from != nil {
		before = from.files
	}
	if to != nil {
		after = to.files
	}
	names := map[string]bool{}
	for n := range before {
		names[n] = true
	}
	for n := range after {
		names[n] = true
	}
	var all []any
	for _, n := range slices.Sorted(maps.Keys(names)) {
		old, had := before[n]
		now, has := after[n]
		if had == has && old == now {
			continue
		}
		a, b := "100644", "100644"
		if !had {
			a = "0"
		}
		if !has {
			b = "0"
		}
		all = append(all, object{
			"old_path": n, "new_path": n, "a_mode": a, "b_mode": b, "diff": unified(old, now),
			"new_file": !had, "deleted_file": !has, "renamed_file": false, "generated_file": false, "collapsed": false, "too_large": false,
		})
	}
	return all
}

// unified is a diff with one hunk, which spans from the first line that differs to the last.
func unified(old, now string) string {
	const around = 3
	a, b := lines(old), lines(now)
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	if head == len(a) && head == len(b) {
		return ""
	}
	start, more := max(0, head-around), min(tail, around)
	endA, endB := len(a)-tail, len(b)-tail
	place := func(n, from int) string {
		if n == 0 {
			return fmt.Sprintf("%d,0", from)
		}
		return fmt.Sprintf("%d,%d", from+1, n)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "@@ -%s +%s @@\n", place(endA+more-start, start), place(endB+more-start, start))
	write := func(mark string, part []string) {
		for _, l := range part {
			out.WriteString(mark + l)
			if !strings.HasSuffix(l, "\n") {
				out.WriteString("\n\\ No newline at end of file\n")
			}
		}
	}
	write(" ", a[start:head])
	write("-", a[head:endA])
	write("+", b[head:endB])
	write(" ", a[endA:endA+more])
	return out.String()
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return slices.DeleteFunc(strings.SplitAfter(s, "\n"), func(l string) bool { return l == "" })
}

// entry is one line of a tree.
type entry struct {
	path, id string
	dir      bool
}

// tree lists what is in a folder; nil if there is no such folder.
func (c *commit) tree(folder string, recursive bool) []entry {
	folder = strings.Trim(folder, "/")
	found := map[string]entry{}
	for name, content := range c.files {
		rest := name
		if folder != "" {
			var in bool
			if rest, in = strings.CutPrefix(name, folder+"/"); !in {
				continue
			}
		}
		parts := strings.Split(rest, "/")
		for i := 1; i < len(parts); i++ {
			if i > 1 && !recursive {
				break
			}
			dir := path.Join(folder, strings.Join(parts[:i], "/"))
			found[dir] = entry{path: dir, id: blobID(c.id + dir), dir: true}
		}
		if len(parts) == 1 || recursive {
			found[name] = entry{path: name, id: blobID(content)}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b entry) int {
		if a.dir != b.dir && !recursive {
			if a.dir {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.path, b.path)
	})
}

// matches reports whether a name fits a pattern in which * stands for anything.
func matches(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(name)
}

// guard is the level that a branch or tag needs, 0 if it is not protected.
func (p *project) guard(name string, isTag bool) Level {
	need := Level(0)
	for pattern, level := range p.Protected {
		ofTags, forTags := strings.CutPrefix(pattern, "tag:")
		if forTags == isTag && matches(ofTags, name) {
			need = max(need, level)
		}
	}
	return need
}

var badRef = regexp.MustCompile(`[\x00-\x20~^:?*\[\\\x7f]|\.\.|@\{|//|^[-/.]|[/.]$|\.lock$|^$`)

func refIsBad(name string) bool { return badRef.MatchString(name) }
