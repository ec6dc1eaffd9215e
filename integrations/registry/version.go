package registry

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/muster-release/muster/playbooks"
)

// Parameters of a delivery and of a job.
const (
	paramImage   = "image"
	paramChannel = "channel"
	paramFrom    = "from"
)

// fill puts values into a template: placeholders and values, in turn. A placeholder whose value is
// empty stays, so that the result is no tag.
func fill(template string, pairs ...string) string {
	var known []string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			known = append(known, pairs[i], pairs[i+1])
		}
	}
	return strings.NewReplacer(known...).Replace(template)
}

// tagForm is what a tag may be. See
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests.
var tagForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// tagOf is a tag of a repository. What says where its name comes from.
func tagOf(repo name.Repository, what, tag string) (name.Tag, error) {
	if !tagForm.MatchString(tag) {
		if missing := placeholderForm.FindString(tag); missing != "" {
			return name.Tag{}, refuse("%s %q is no tag: nobody knows what %s is", what, tag, missing)
		}
		return name.Tag{}, refuse("%s %q is no tag: it is to have letters, digits, dots, dashes and underscores alone, 128 at the most", what, tag)
	}
	return repo.Tag(tag), nil
}

var placeholderForm = regexp.MustCompile(`\{[^{}]*\}`)

// builtTag is the tag that the build of a version has.
func builtTag(repo name.Repository, params map[string]string, p playbooks.Place, version string) (name.Tag, error) {
	return tagOf(repo, "from", fill(cmp.Or(params[paramFrom], "{version}"),
		"{version}", version, "{commit}", params[playbooks.ParamCommit], "{module}", p.Module, "{environment}", p.Environment, "{target}", p.Target))
}

// numbered is what a version looks like.
var numbered = regexp.MustCompile(`^v?\d+(\.\d+)+([.-][0-9A-Za-z._-]*)?$`)

// versionsOf returns the versions whose builds have tags, newest first, at most most of them, each
// with its tag. Where from has something in it that is not known of a tag, there are none.
func versionsOf(tags []string, from string, p playbooks.Place, most int) (versions []string, tagOf map[string]string) {
	before, after, is := strings.Cut(fill(cmp.Or(from, "{version}"), "{module}", p.Module, "{environment}", p.Environment, "{target}", p.Target), "{version}")
	if !is || strings.Contains(before+after, "{") {
		return nil, nil
	}
	tagOf = make(map[string]string)
	for _, tag := range tags {
		version, begins := strings.CutPrefix(tag, before)
		version, ends := strings.CutSuffix(version, after)
		if begins && ends && numbered.MatchString(version) {
			versions = append(versions, version)
			tagOf[version] = tag
		}
	}
	slices.SortFunc(versions, func(a, b string) int { return compareVersions(b, a) })
	return versions[:min(len(versions), most)], tagOf
}

// parts are the numbers of a version, and the words between them.
var parts = regexp.MustCompile(`\d+|[A-Za-z]+`)

// compareVersions orders versions by their numbers. One with more parts comes later if the first
// of these is a number, and earlier if it is a word, as rc is.
func compareVersions(a, b string) int {
	x, y := parts.FindAllString(strings.TrimPrefix(a, "v"), -1), parts.FindAllString(strings.TrimPrefix(b, "v"), -1)
	for i := range min(len(x), len(y)) {
		n, numberX := strconv.ParseUint(x[i], 10, 64)
		m, numberY := strconv.ParseUint(y[i], 10, 64)
		switch {
		case numberX == nil && numberY == nil && n != m:
			return cmp.Compare(n, m)
		case (numberX == nil) != (numberY == nil):
			if numberX == nil {
				return 1
			}
			return -1
		case x[i] != y[i] && numberX != nil:
			return cmp.Compare(x[i], y[i])
		}
	}
	longer := func(rest []string) int {
		if rest[0][0] >= '0' && rest[0][0] <= '9' {
			return 1
		}
		return -1
	}
	switch {
	case len(x) > len(y):
		return longer(x[len(y):])
	case len(y) > len(x):
		return -longer(y[len(x):])
	}
	return cmp.Compare(a, b)
}
