package discover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/muster-release/muster/playbooks"
)

const npmKind = "npm"

// packageJSON reads package.json (https://docs.npmjs.com/cli/configuring-npm/package-json).
//
// What stands under dependencies, optionalDependencies and peerDependencies is a build need, and under
// devDependencies a test need; optional peers are left out. What stands under several is the first of these. A
// range asks for its lowest version at least, for the reason that atLeast gives.
type packageJSON struct{}

func (packageJSON) Name() string { return "package.json" }

// npmTables are the keys under which packages are named, those that count first in front.
var npmTables = []struct {
	key  string
	kind playbooks.NeedKind
}{
	{"dependencies", playbooks.NeedBuild},
	{"optionalDependencies", playbooks.NeedBuild},
	{"peerDependencies", playbooks.NeedBuild},
	{"devDependencies", playbooks.NeedTest},
}

func (packageJSON) Read(name string, data []byte) (Found, error) {
	j := jsonLines{name: name, data: bytes.TrimPrefix(data, []byte("\ufeff"))}
	j.dec = json.NewDecoder(bytes.NewReader(j.data))
	var p struct {
		name     string
		line     int
		private  bool
		tables   [4][]npmDependency
		optional map[string]bool
	}
	if err := j.check(); err != nil {
		return Found{}, err
	}
	err := j.object(func(key string, line int) error {
		switch key {
		case "name":
			p.line = line
			return j.value(&p.name)
		case "private":
			var private any
			err := j.value(&private)
			p.private = private == true || private == "true"
			return err
		case "peerDependenciesMeta":
			meta := make(map[string]struct{ Optional bool })
			err := j.value(&meta)
			p.optional = make(map[string]bool)
			for peer, m := range meta {
				p.optional[peer] = m.Optional
			}
			return err
		}
		for i, table := range npmTables {
			if key == table.key {
				p.tables[i] = nil // of equal keys the last counts
				return j.object(func(key string, line int) error {
					d := npmDependency{name: key, line: line}
					if err := j.value(&d.spec); err != nil {
						return err
					}
					p.tables[i] = append(p.tables[i], d)
					return nil
				})
			}
		}
		return j.value(new(json.RawMessage))
	})
	if err != nil {
		return Found{}, err
	}
	var found Found
	if p.name != "" {
		found.Provides = []Provided{{Artifact: Artifact{npmKind, p.name}, Line: p.line, Private: p.private}}
	}
	seen := make(map[string]bool)
	for i, table := range npmTables {
		last := make(map[string]int) // of equal keys the last counts
		for k, d := range p.tables[i] {
			last[d.name] = k
		}
		for k, d := range p.tables[i] {
			if k != last[d.name] || seen[d.name] || d.name == "" || table.key == "peerDependencies" && p.optional[d.name] {
				continue
			}
			seen[d.name] = true
			found.Needs = append(found.Needs, d.need(table.kind))
		}
	}
	slices.SortStableFunc(found.Needs, func(a, b Need) int { return a.Line - b.Line })
	return found, nil
}

// npmDependency is a line such as "@shop/ui": "^1.2.0".
type npmDependency struct {
	name, spec string
	line       int
}

// need reads what may stand behind a package's name
// (https://docs.npmjs.com/cli/configuring-npm/package-json#dependencies, and the workspaces of Yarn and
// pnpm: https://pnpm.io/workspaces).
func (d npmDependency) need(kind playbooks.NeedKind) Need {
	need := Need{Artifact: Artifact{npmKind, d.name}, Kind: kind, Line: d.line}
	protocol, rest, ok := strings.Cut(strings.TrimSpace(d.spec), ":")
	if !ok {
		if isFolder(d.spec) {
			need.Folder = slashed(d.spec)
		} else {
			need.Constraint = lowest(d.spec)
		}
		return need
	}
	switch protocol {
	case "workspace":
		need.Private = true
		if isFolder(rest) {
			need.Folder = slashed(rest)
		} else if other, _, ok := cutVersion(rest); ok {
			need.Artifact.Name = other
		}
	case "file", "link", "portal":
		if !strings.HasSuffix(rest, ".tgz") && !strings.HasSuffix(rest, ".tar.gz") {
			need.Folder = slashed(rest)
		}
	case "npm": // another package under this name
		other, version, ok := cutVersion(rest)
		switch {
		case ok:
			need.Artifact.Name, need.Constraint = other, lowest(version)
		case plainRange(rest):
			need.Constraint = lowest(rest)
		case rest != "":
			need.Artifact.Name = rest
		}
	}
	return need
}

// isFolder tells a folder from a range and from a repository on GitHub.
func isFolder(spec string) bool {
	return strings.HasPrefix(spec, "./") || strings.HasPrefix(spec, "../") || spec == "." || spec == ".."
}

// cutVersion cuts NAME@VERSION, where NAME may begin with an @ of its own.
func cutVersion(spec string) (name, version string, ok bool) {
	if at := strings.LastIndexByte(spec, '@'); at > 0 {
		return spec[:at], spec[at+1:], true
	}
	return "", "", false
}

// rangeStart finds the lowest version of a range with one lower end
// (https://github.com/npm/node-semver#ranges).
var rangeStart = regexp.MustCompile(`^(?:[~^=]|>=)?\s*v?(\d+(?:\.\d+){0,2}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)((?:\.[xX*])*)(?:\s+(?:-\s+\S+|<=?\s*\S+))?$`)

func plainRange(spec string) bool { return rangeStart.MatchString(strings.TrimSpace(spec)) }

// lowest is the constraint that takes the lowest version of a range and all later ones; "" for any
// version, for names such as "latest", and for ranges with several lower ends.
func lowest(spec string) string {
	m := rangeStart.FindStringSubmatch(strings.TrimSpace(spec))
	if m == nil {
		return ""
	}
	return atLeast(m[1])
}

// jsonLines reads JSON value by value and knows the line of each.
type jsonLines struct {
	name string
	data []byte
	dec  *json.Decoder
	// at and line are the place up to which lines were counted.
	at   int64
	line int
}

// here is the line in which what was read last ends.
func (j *jsonLines) here() int {
	offset := min(j.dec.InputOffset(), int64(len(j.data)))
	j.line += bytes.Count(j.data[j.at:offset], []byte("\n"))
	j.at = offset
	return j.line + 1
}

// check makes sure that all of it is one JSON value: what a decoder that goes token by token says of
// broken JSON has no reliable place.
func (j *jsonLines) check() error {
	err := json.Unmarshal(j.data, new(json.RawMessage))
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return err
	}
	before := j.data[:max(0, min(int(syntax.Offset), len(j.data))-1)] // of the byte that is wrong
	return fmt.Errorf("%s:%d: %w", j.name, 1+bytes.Count(before, []byte("\n")), err)
}

func (j *jsonLines) wrong(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		err = fmt.Errorf("a JSON %s stands where it makes no sense", wrong.Value)
	}
	return fmt.Errorf("%s:%d: %w", j.name, j.here(), err)
}

func (j *jsonLines) value(into any) error {
	if err := j.dec.Decode(into); err != nil {
		return j.wrong(err)
	}
	return nil
}

// object calls member with each key and its line; member reads the value. Where null stands, there
// are none.
func (j *jsonLines) object(member func(key string, line int) error) error {
	open, err := j.dec.Token()
	if err != nil {
		return j.wrong(err)
	}
	if open == nil {
		return nil
	}
	if open != json.Delim('{') {
		return j.wrong(errors.New("want keys with values in { }"))
	}
	for j.dec.More() {
		key, err := j.dec.Token()
		if err != nil {
			return j.wrong(err)
		}
		name, ok := key.(string)
		if !ok {
			return j.wrong(errors.New("want a key in quotes"))
		}
		if err := member(name, j.here()); err != nil {
			return err
		}
	}
	if _, err := j.dec.Token(); err != nil {
		return j.wrong(err)
	}
	return nil
}
