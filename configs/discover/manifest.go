package discover

import (
	"regexp"
	"strings"

	"github.com/muster-release/muster/playbooks"
)

// Artifact is something that is built from one repository and used by others. Two artifacts are
// the same if they are equal.
type Artifact struct {
	Kind string `json:"kind"` // "go", "npm", or what a repository's own file calls it
	Name string `json:"name"` // within its kind: "example.com/shop/ui", "@shop/ui"
}

// String returns KIND:NAME.
func (a Artifact) String() string { return a.Kind + ":" + a.Name }

// Manifest reads one kind of file that says what a folder provides and needs. To discover from
// another kind of file, write another Manifest and add it to Manifests. It is called concurrently.
type Manifest interface {
	// Name is the name that such files have, in whatever folder: "go.mod".
	Name() string
	// Read reads a file. Path is where it lies in its repository, for the error, which says in one
	// line what is wrong in which line of it. Data is any bytes at all.
	Read(path string, data []byte) (Found, error)
}

// Manifests are all kinds of files that are read.
func Manifests() []Manifest { return []Manifest{goMod{}, packageJSON{}, ownFile{}} }

// Found is what a file says.
type Found struct {
	// Module is the name of the module that the file is about, and Path its folder, relative to the
	// file's own. Without a name the file is about the module that the catalog has there.
	Module string
	Path   string
	// Line is the one that names Module, from 1.
	Line     int
	Provides []Provided
	Needs    []Need
}

// Provided is an artifact that a file's folder provides.
type Provided struct {
	Artifact
	Line int // from 1
	// Private artifacts are used within their own repository alone.
	Private bool
	// Own artifacts have the versions of their module, whatever folder they come from.
	Own bool
}

// Need is an artifact or a module that a file's folder needs.
type Need struct {
	Module   string // the name of a module of the catalog, or
	Artifact Artifact
	// Folder is where the artifact is taken from, relative to the file's own; empty: from wherever
	// it is provided.
	Folder string
	// Private needs are met within their own repository, or by nothing of ours.
	Private bool
	Kind    playbooks.NeedKind
	// Constraint is a version constraint as the catalog has them; empty takes any.
	Constraint string
	Reason     string
	Line       int // from 1
}

// maxManifestSize is what one file may hold: the largest package.json and go.mod known to us stay
// below 100 KiB.
const maxManifestSize = 4 << 20

// plainVersion is a semantic version that is written in full, or in its first parts.
var plainVersion = regexp.MustCompile(`^v?(0|[1-9]\d*)(\.(0|[1-9]\d*))?(\.(0|[1-9]\d*))?(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// atLeast is the constraint that takes a version and all later ones, and "" if it is none, or names
// a commit. What is built with a library keeps working when a later one is published, so no
// upper bound is kept. The -0 lets builds between two versions count, which are pre-releases.
func atLeast(version string) string {
	if !plainVersion.MatchString(version) || playbooks.IsPseudoVersion(version) {
		return ""
	}
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "+")
	if !strings.Contains(version, "-") {
		version += strings.Repeat(".0", 2-strings.Count(version, ".")) + "-0"
	}
	return ">=" + version
}
