package configs

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/muster-release/muster/playbooks"
)

// RepositoryFile is the name of the file in which a repository speaks for itself.
const RepositoryFile = ".muster.yaml"

// Repository is what the file .muster.yaml of a repository, or of a folder in it, says.
type Repository struct {
	// Module is the name of the module that comes from there; empty: that is not said.
	Module string
	// Path is the folder that the module comes from, relative to the file's own; empty: that one.
	Path string
	// Provides are artifacts that come from there, as KIND:NAME: "npm:@shop/ui", "image:shop/cart".
	Provides []string
	Needs    []RepositoryNeed
	// Lines of Module and of each of Provides, from 1.
	ModuleLine   int
	ProvidesLine []int
}

// RepositoryNeed is something that a repository says it needs: a Module or an Artifact.
type RepositoryNeed struct {
	Module     string // the name of a module of the catalog
	Artifact   string // as in Repository.Provides
	Kind       playbooks.NeedKind
	Constraint string // empty takes any version
	Reason     string
	Line       int // from 1
}

// ReadRepository reads a repository's own file as strictly as Load reads a configuration: the
// error is an *Errors with every mistake. Name is what the file is called in it.
func ReadRepository(name string, data []byte) (*Repository, error) {
	l := &loader{env: func(string) (string, bool) { return "", false }, done: make(map[string]bool)}
	r := new(Repository)
	if len(data) > maxFileSize {
		l.report(mark{src: &source{name: name}}, "", "the file is larger than %d MiB", maxFileSize>>20)
	} else {
		content := strings.TrimPrefix(string(data), "\ufeff") // a byte order mark
		p := parsing{loader: l, src: newSource(name, content)}
		if root := p.document(content); root != nil {
			newDecoder(l).repository(root, r)
		}
	}
	if len(l.found) > 0 {
		return nil, newErrors(l.found)
	}
	return r, nil
}

func (d *decoder) repository(n *node, r *Repository) {
	d.object(n, "a repository's own file",
		field{key: "module", decode: func(n *node) {
			r.Module, r.ModuleLine = d.name(n, "the name of a module", forModules), int(n.at.line)
		}},
		field{key: "path", decode: func(n *node) { r.Path = d.relative(n) }},
		field{key: "provides", decode: func(n *node) {
			for _, item := range d.unique(d.list(n)) {
				if artifact := d.artifact(item); artifact != "" {
					r.Provides, r.ProvidesLine = append(r.Provides, artifact), append(r.ProvidesLine, int(item.at.line))
				}
			}
		}},
		field{key: "needs", decode: func(n *node) {
			for _, item := range d.list(n) {
				if need := d.repositoryNeed(item); need.Module != "" || need.Artifact != "" {
					r.Needs = append(r.Needs, need)
				}
			}
		}},
	)
}

func (d *decoder) repositoryNeed(n *node) RepositoryNeed {
	need := RepositoryNeed{Kind: playbooks.NeedDeploy, Line: int(n.at.line)}
	if n.kind != mapping {
		need.Module = d.name(n, "the name of a module", forModules)
		return need
	}
	d.object(n, "a need",
		field{key: "module", decode: func(n *node) { need.Module = d.name(n, "the name of a module", forModules) }},
		field{key: "artifact", decode: func(n *node) { need.Artifact = d.artifact(n) }},
		field{key: "version", decode: func(n *node) { need.Constraint = d.constraint(n) }},
		field{key: "kind", decode: func(n *node) { need.Kind = d.needKind(n) }},
		field{key: "reason", decode: func(n *node) { need.Reason = d.text(n) }},
	)
	if hasKey(n, "module") == hasKey(n, "artifact") {
		d.report(n.at, "", `a need names a module or an artifact, one of the two`)
	}
	return need
}

var artifactForm = regexp.MustCompile(`^[a-z][a-z0-9-]*:.`)

// artifact reads KIND:NAME.
func (d *decoder) artifact(n *node) string {
	value := d.text(n)
	if value == "" && n.kind != text {
		return ""
	}
	if !artifactForm.MatchString(value) || len(value) > 500 || strings.ContainsFunc(value, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		d.report(n.at, "", `%q is no artifact: write KIND:NAME, such as "npm:@shop/ui" or "go:example.com/shop/ui"`, value)
		return ""
	}
	return value
}
