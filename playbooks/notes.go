package playbooks

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// ReleaseNotes are what a release brings, for people who use what is released: by
// module, and by kind of change.
type ReleaseNotes struct {
	Environment string
	Modules     []ModuleNotes // those with a new version, by name
}

// ModuleNotes is what is new in one module.
type ModuleNotes struct {
	Module  string
	From    string // empty: it is new
	Version string
	Groups  []ChangeGroup // none where nothing is known
	Authors []string
	Link    string // where the two versions are compared
	Unknown string // why something may be missing; empty: nothing is
}

// ChangeGroup are the changes of one kind.
type ChangeGroup struct {
	Kind  ChangeKind
	Notes []ReleaseNote
}

// ChangeKind is a kind of change, in the words of its heading.
type ChangeKind string

// The kinds, in the order in which they are told.
const (
	Breaking    ChangeKind = "Breaking changes"
	Feature     ChangeKind = "Features"
	Fix         ChangeKind = "Fixes"
	OtherChange ChangeKind = "Other changes"
)

var changeKinds = [...]ChangeKind{Breaking, Feature, Fix, OtherChange}

// ReleaseNote is one change: a story with the merge requests that carried it out, or a merge
// request or commit of its own.
type ReleaseNote struct {
	Text string
	// Refs are where it can be read up: keys of stories, numbers of merge requests, commits.
	Refs []ChangeRef
}

// ChangeRef names something with a link to it, or without where there is none.
type ChangeRef struct{ Name, Link string }

// NewReleaseNotes tells what a playbook brings, by the changes that were found when it was made.
func NewReleaseNotes(pb *Playbook) ReleaseNotes {
	n := ReleaseNotes{Environment: pb.Environment}
	for i := range pb.Modules {
		m := &pb.Modules[i]
		of := ModuleNotes{Module: m.Name, From: m.Replaces(), Version: m.Version}
		if m.Changes != nil {
			of.Groups, of.Authors, of.Link, of.Unknown = groupNotes(m.Changes), m.Changes.Authors, m.Changes.Link, m.Changes.Unknown
		}
		n.Modules = append(n.Modules, of)
	}
	return n
}

// Of returns the notes of one module; nothing where it has none.
func (n ReleaseNotes) Of(module string) ReleaseNotes {
	return ReleaseNotes{Environment: n.Environment, Modules: slices.DeleteFunc(slices.Clone(n.Modules), func(m ModuleNotes) bool { return m.Module != module })}
}

// groupNotes makes of each story one note, of each merge request that is about none another, and
// where there is no merge request at all of each commit that is about none.
func groupNotes(c *Changes) []ChangeGroup {
	byKind := make(map[ChangeKind][]ReleaseNote)
	told := make([]bool, len(c.MergeRequests))
	for i := range c.Stories {
		s := &c.Stories[i]
		note := ReleaseNote{Text: cmp.Or(s.Title, s.Key), Refs: []ChangeRef{{s.Key, s.Link}}}
		kind := storyKind(s.Type)
		for k := range c.MergeRequests {
			mr := &c.MergeRequests[k]
			if mentions(mr.Title, s.Key) || mentions(mr.Branch, s.Key) {
				told[k] = true
				note.Refs = append(note.Refs, mr.ref())
				if of, _ := conventional(mr.Title); of == Breaking {
					kind = Breaking
				}
			}
		}
		byKind[kind] = append(byKind[kind], note)
	}
	for k := range c.MergeRequests {
		if mr := &c.MergeRequests[k]; !told[k] {
			kind, text := conventional(mr.Title)
			byKind[kind] = append(byKind[kind], ReleaseNote{Text: text, Refs: []ChangeRef{mr.ref()}})
		}
	}
	if len(c.MergeRequests) == 0 {
		for i := range c.Commits {
			commit := &c.Commits[i]
			if slices.ContainsFunc(c.Stories, func(s Story) bool { return mentions(commit.Title, s.Key) }) {
				continue
			}
			kind, text := conventional(commit.Title)
			byKind[kind] = append(byKind[kind], ReleaseNote{Text: text, Refs: []ChangeRef{{shortCommit(commit.ID), commit.Link}}})
		}
	}
	var groups []ChangeGroup
	for _, kind := range changeKinds {
		if notes := byKind[kind]; notes != nil {
			groups = append(groups, ChangeGroup{kind, notes})
		}
	}
	return groups
}

func (mr *MergeRequest) ref() ChangeRef { return ChangeRef{fmt.Sprintf("!%d", mr.Number), mr.Link} }

func shortCommit(id string) string { return id[:min(len(id), 8)] }

// mentions reports whether a text names a key: ABC-1 is not named in ABC-12.
func mentions(text, key string) bool {
	part := func(b byte) bool { return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' }
	for i := 0; key != "" && i+len(key) <= len(text); i++ {
		end := i + len(key)
		if strings.EqualFold(text[i:end], key) && (i == 0 || !part(text[i-1])) && (end == len(text) || !part(text[end])) {
			return true
		}
	}
	return false
}

// storyKind is the kind of change of an issue of that type. Types have the names that a tracker's
// administrators gave them; these are the ones that Jira comes with.
func storyKind(issueType string) ChangeKind {
	switch strings.ToLower(issueType) {
	case "bug", "defect", "incident":
		return Fix
	case "story", "epic", "feature", "new feature", "improvement":
		return Feature
	}
	return OtherChange
}

// conventionalTitle is how a title begins that tells its kind:
// https://www.conventionalcommits.org/en/v1.0.0/#specification.
var conventionalTitle = regexp.MustCompile(`^([a-zA-Z]+)(?:\([^()]*\))?(!?):\s+(.+)$`)

// conventional takes the kind off a title that has one, and returns the rest as a sentence begins.
func conventional(title string) (ChangeKind, string) {
	title = strings.Join(strings.Fields(title), " ")
	m := conventionalTitle.FindStringSubmatch(title)
	if m == nil {
		return OtherChange, title
	}
	text := []rune(m[3])
	text[0] = unicode.ToUpper(text[0])
	switch {
	case m[2] == "!":
		return Breaking, string(text)
	case strings.EqualFold(m[1], "feat"):
		return Feature, string(text)
	case strings.EqualFold(m[1], "fix"):
		return Fix, string(text)
	}
	return OtherChange, string(text)
}
