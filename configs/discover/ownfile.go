package discover

import (
	"errors"
	"fmt"
	"strings"

	"github.com/muster-release/muster/configs"
)

// ownFile reads .muster.yaml, in which a repository says of itself what no other file says.
type ownFile struct{}

func (ownFile) Name() string { return configs.RepositoryFile }

func (ownFile) Read(name string, data []byte) (Found, error) {
	r, err := configs.ReadRepository(name, data)
	if err != nil {
		return Found{}, ownFileError(err)
	}
	found := Found{Module: r.Module, Path: r.Path, Line: r.ModuleLine}
	for i, artifact := range r.Provides {
		found.Provides = append(found.Provides, Provided{Artifact: parseArtifact(artifact), Line: r.ProvidesLine[i], Own: true})
	}
	for _, n := range r.Needs {
		need := Need{Module: n.Module, Kind: n.Kind, Constraint: n.Constraint, Reason: n.Reason, Line: n.Line}
		if n.Artifact != "" {
			need.Artifact = parseArtifact(n.Artifact)
		}
		found.Needs = append(found.Needs, need)
	}
	return found, nil
}

func parseArtifact(s string) Artifact {
	kind, name, _ := strings.Cut(s, ":")
	return Artifact{kind, name}
}

// ownFileError says what is wrong first, in one line, and how many things more.
func ownFileError(err error) error {
	all, ok := errors.AsType[*configs.Errors](err)
	if !ok {
		return err
	}
	first := all.Problems[0]
	first.Excerpt = ""
	if n := len(all.Problems); n > 1 {
		return fmt.Errorf("%s, and %d more", first, n-1)
	}
	return errors.New(first.String())
}
