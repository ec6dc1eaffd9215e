package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/muster-release/muster/integrations/slack"
)

// The app's manifest asks for the scopes that Muster uses, and mentions those that are
// optional behind a #. No more, no less.
func TestManifestScopes(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "configs", "slack-app-manifest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, scopes, found := strings.Cut(string(content), "\n    bot:\n")
	if !found {
		t.Fatal("the manifest has no scopes of a bot")
	}
	scopes, _, _ = strings.Cut(scopes, "\nsettings:")
	listed := make(map[bool][]string) // by whether they are optional
	for _, line := range regexp.MustCompile(`(?m)^      (# )?- ([a-z_.:]+)`).FindAllStringSubmatch(scopes, -1) {
		optional := line[1] != ""
		listed[optional] = append(listed[optional], line[2])
	}
	used := make(map[bool][]string)
	for _, s := range slack.Scopes() {
		used[s.Optional] = append(used[s.Optional], s.Name)
	}
	for _, optional := range []bool{false, true} {
		slices.Sort(listed[optional])
		slices.Sort(used[optional])
		if !slices.Equal(listed[optional], used[optional]) || len(used[optional]) == 0 {
			t.Errorf("optional %v: the manifest has %q, Muster uses %q", optional, listed[optional], used[optional])
		}
	}
}

// The documentation says of every scope what it is for.
func TestDocumentedScopes(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "docs", "slack.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range slack.Scopes() {
		if !regexp.MustCompile("(?m)^\\| .*`" + regexp.QuoteMeta(s.Name) + "`").Match(content) {
			t.Errorf("docs/slack.md has no row for the scope %s", s.Name)
		}
	}
}
