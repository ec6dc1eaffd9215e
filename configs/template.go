package configs

import (
	"slices"
	"strings"
)

// template reads text with {name}s, which must be among those that are known, in braces.
// A brace that is meant is doubled.
func (d *decoder) template(n *node, known []string) string {
	value := d.text(n)
	if value == "" && n.kind == text && !n.item {
		d.report(n.at, "", "%q is empty", n.name)
	}
	for rest := value; rest != ""; {
		at := strings.IndexAny(rest, "{}")
		if at < 0 {
			break
		}
		rest = rest[at:]
		if len(rest) > 1 && rest[1] == rest[0] {
			rest = rest[2:]
			continue
		}
		end := strings.IndexByte(rest, '}')
		if rest[0] == '}' || end < 0 {
			d.report(n.at, "write it twice if it is meant", "a single %c stands in %q", rest[0], n.name)
			break
		}
		if name := rest[:end+1]; !slices.Contains(known, name) {
			d.report(n.at, oneOf(name, known), "unknown %s in %q", name, n.name)
		}
		rest = rest[end+1:]
	}
	return value
}

// placeholders reports {name}s that were probably meant to be known ones, in text where
// braces may stand for themselves.
func (d *decoder) placeholders(n *node, value string, known []string) {
	for rest := value; ; {
		_, after, ok := strings.Cut(rest, "{")
		if !ok {
			return
		}
		rest = after
		word, _, ok := strings.Cut(rest, "}")
		if !ok || word == "" || strings.ContainsAny(word, " {\"'") {
			continue
		}
		if name := "{" + word + "}"; !slices.Contains(known, name) {
			if hint := didYouMean(name, slices.Values(known)); hint != "" {
				d.report(n.at, hint, "unknown %s in %q", name, n.name)
			}
		}
	}
}
