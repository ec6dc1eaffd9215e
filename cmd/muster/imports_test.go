package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/muster-release/muster"

type importRule struct {
	packages string
	allowed  []string
	tests    []string
}

// importRules say who may import whom. The first rule whose pattern fits a
// package counts; "..." fits a folder and everything below it. What is allowed are
// packages of ours and of others, besides the standard library. Tests may also use
// testOnly and what the package's rule lists under tests.
var importRules = []importRule{
	// The domain and the store: pure, and strangers to each other.
	{"playbooks", []string{"github.com/Masterminds/semver/v3"}, nil},
	{"playbooks/engine", []string{"playbooks", "playbooks/steps", "store"}, []string{"store/...", "integrations/local", "go.etcd.io/bbolt"}},
	{"playbooks/...", []string{"playbooks", "golang.org/x/sync/errgroup"}, []string{"playbooks/...", "integrations/local"}},
	{"store", nil, []string{"store/..."}},
	{"store/bolt", []string{"store", "store/internal/...", "go.etcd.io/bbolt/..."}, []string{"store/storetest"}},
	{"store/mem", []string{"store", "store/internal/..."}, []string{"store/storetest"}},
	{"store/storetest", []string{"store"}, []string{"store/..."}},
	{"store/internal/...", []string{"store"}, nil},

	// The bot knows the engine and ports, never who is behind them.
	{"bot/chat", nil, nil},
	{"bot/events", nil, nil},
	{"bot/intake", []string{"bot", "bot/builds", "bot/chat", "bot/events", "playbooks", "playbooks/steps", "store"}, []string{"store/...", "integrations/local", "playbooks/engine"}},
	{"bot/builds", []string{"playbooks", "playbooks/steps", "store", "golang.org/x/mod/..."}, []string{"store/..."}},
	{"bot/trains", []string{"bot", "bot/chat", "playbooks", "playbooks/steps", "store", "github.com/robfig/cron/v3"}, []string{"store/...", "integrations/local", "playbooks/engine"}},
	{"bot/web", []string{"bot", "bot/chat", "playbooks", "playbooks/engine", "store", "github.com/prometheus/client_golang/..."}, []string{"playbooks/...", "store/..."}},
	{"bot", []string{"bot/chat", "playbooks", "playbooks/engine", "playbooks/steps", "store", "github.com/agext/levenshtein", "golang.org/x/sync/errgroup"}, []string{"store/...", "integrations/local", "integrations/slack/...", "configs"}},

	{"configs/discover", []string{"configs", "playbooks", "github.com/goccy/go-yaml/...", "golang.org/x/mod/...", "golang.org/x/sync/errgroup"}, nil},
	{"configs", []string{"playbooks", "github.com/robfig/cron/v3", "github.com/goccy/go-yaml/...", "github.com/agext/levenshtein", "github.com/Masterminds/semver/v3"}, nil},

	// What fakes, and the programs that run one alone, are made of; no adapter sees it.
	{"integrations/accidents", nil, nil},
	{"cmd/internal/alone", nil, []string{"cmd/internal/alone/..."}},
	{"cmd/internal/listen", nil, nil},
	{"cmd/internal/alone/alonetest", []string{"cmd/internal/alone"}, nil},

	// An adapter sees ports and plain types, what adapters do alike with calls, and alone its vendor's SDK.
	// Adapters never import each other: a new one gets a rule of its own here.
	{"integrations/calls", nil, nil},
	{"integrations/local", []string{"bot/chat", "playbooks", "playbooks/steps", "github.com/charmbracelet/x/ansi", "golang.org/x/sys/windows"}, nil},
	{"integrations/slack/blocks", []string{"bot/chat", "github.com/slack-go/slack"}, nil},
	{"integrations/slack/slackfake", []string{"github.com/gorilla/websocket"}, []string{"github.com/slack-go/slack/..."}},
	{"integrations/slack", []string{
		"bot/chat", "playbooks", "playbooks/steps", "integrations/calls", "integrations/slack/blocks",
		"github.com/slack-go/slack/...", "github.com/gorilla/websocket", "golang.org/x/sync/...",
	}, []string{"integrations/slack/..."}},
	{"integrations/gitlab/gitlabfake", nil, []string{"gitlab.com/gitlab-org/api/client-go/v2/..."}},
	{"integrations/gitlab", []string{"bot/chat", "bot/events", "playbooks", "playbooks/steps", "integrations/calls", "gitlab.com/gitlab-org/api/client-go/v2/...", "golang.org/x/mod/...", "golang.org/x/sync/..."}, []string{"integrations/gitlab/..."}},
	{"cmd/gitlabfake", []string{"cmd/internal/alone", "cmd/internal/listen", "integrations/gitlab/gitlabfake"}, []string{"cmd/internal/alone/..."}},
	{"integrations/jira/jirafake/openapicheck", []string{"github.com/getkin/kin-openapi/..."}, nil},
	{"integrations/jira/jirafake", []string{"integrations/accidents"}, []string{"github.com/andygrunwald/go-jira", "integrations/jira/jirafake/..."}},
	{"integrations/jira", []string{"bot/chat", "bot/events", "playbooks", "playbooks/steps", "integrations/calls", "github.com/andygrunwald/go-jira", "golang.org/x/sync/..."}, []string{"integrations/jira/..."}},
	{"cmd/jirafake", []string{"cmd/internal/alone", "cmd/internal/listen", "integrations/jira/jirafake"}, []string{"cmd/internal/alone/..."}},
	{"integrations/pagerduty/pagerdutyfake", []string{"integrations/accidents"}, nil},
	{"integrations/pagerduty", []string{"playbooks", "playbooks/steps", "integrations/calls", "github.com/PagerDuty/go-pagerduty"}, []string{"integrations/pagerduty/..."}},
	{"cmd/pagerdutyfake", []string{"cmd/internal/alone", "cmd/internal/listen", "integrations/pagerduty/pagerdutyfake"}, []string{"cmd/internal/alone/..."}},
	{"integrations/alertmanager", []string{"bot/events", "integrations/calls"}, nil},
	{"integrations/registry", []string{"playbooks", "playbooks/steps", "integrations/calls", "github.com/google/go-containerregistry/..."}, nil},
	{"cmd/slackfake", []string{"cmd/internal/alone", "cmd/internal/listen", "integrations/slack/slackfake"}, []string{"cmd/internal/alone/..."}},

	// The only place that sees concrete types.
	{"cmd/muster", []string{
		"bot/...", "cmd/internal/listen", "configs/...", "integrations/...", "playbooks", "playbooks/engine", "playbooks/steps", "store", "store/bolt", "store/mem",
		"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/prometheus/client_golang/...", "github.com/charmbracelet/...", "golang.org/x/term",
	}, nil},
}

// testOnly is what every test may import.
var testOnly = []string{"github.com/rogpeppe/go-internal/..."}

// rooms are names of packages that say nothing about what is inside.
var rooms = []string{"util", "utils", "common", "types", "helpers", "helper", "misc", "base", "shared"}

func TestImports(t *testing.T) {
	root := filepath.Join("..", "..")
	files := token.NewFileSet()
	seen := make(map[string]bool)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		seen[path.Dir(rel)] = true
		checkFile(t, rel, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) < 10 {
		t.Errorf("only %d packages were looked at: is this the root of the project?", len(seen))
	}
}

func checkFile(t *testing.T, name string, f *ast.File) {
	t.Helper()
	pkg := path.Dir(name)
	isTest := strings.HasSuffix(name, "_test.go")
	if slices.Contains(rooms, path.Base(pkg)) || slices.Contains(rooms, f.Name.Name) {
		t.Errorf("%s: a package is named after what it is, not %q", name, f.Name.Name)
	}
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			t.Errorf("%s: has an init function; whoever needs something done calls it", name)
		}
	}
	rule := slices.IndexFunc(importRules, func(r importRule) bool { return fits(r.packages, pkg) })
	if rule < 0 {
		t.Errorf("%s: there is no rule yet for what package %s may import", name, pkg)
		return
	}
	allowed := importRules[rule].allowed
	if isTest {
		allowed = slices.Concat(allowed, importRules[rule].tests, testOnly, []string{pkg})
	}
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(imported, "/")
		if !strings.Contains(first, ".") {
			continue // the standard library
		}
		ours := strings.TrimPrefix(imported, module+"/")
		if !slices.ContainsFunc(allowed, func(pattern string) bool { return fits(pattern, ours) }) {
			t.Errorf("%s: package %s may not import %s", name, pkg, ours)
		}
	}
}

// fits reports whether a package is named by a pattern.
func fits(pattern, pkg string) bool {
	if folder, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == folder || strings.HasPrefix(pkg, folder+"/")
	}
	return pattern == pkg
}

// The rules must say no to what the architecture forbids, or they hold nothing.
func TestImportRulesForbid(t *testing.T) {
	may := func(pkg, imported string) bool {
		for _, r := range importRules {
			if fits(r.packages, pkg) {
				return slices.ContainsFunc(r.allowed, func(p string) bool { return fits(p, imported) })
			}
		}
		return false
	}
	for _, forbidden := range [][2]string{
		{"playbooks", "store"}, {"store", "playbooks"}, {"playbooks", "github.com/goccy/go-yaml"},
		{"playbooks/engine", "integrations/local"}, {"bot", "integrations/local"}, {"bot", "configs"},
		{"bot/web", "integrations/local"}, {"bot/web", "configs"}, {"playbooks/steps", "store"},
		{"integrations/local", "bot"}, {"integrations/local", "store"}, {"integrations/local", "integrations/slack"},
		{"integrations/slack", "bot"}, {"integrations/slack", "playbooks/engine"}, {"integrations/slack", "store"}, {"integrations/slack", "configs"},
		{"integrations/slack", "integrations/local"}, {"integrations/slack", "integrations/slack/slackfake"}, {"integrations/slack/blocks", "playbooks"},
		{"integrations/slack/slackfake", "integrations/slack"}, {"integrations/jira", "integrations/accidents"}, {"bot", "integrations/slack"}, {"bot/chat", "integrations/slack"},
		{"bot", "github.com/slack-go/slack"}, {"integrations/local", "github.com/slack-go/slack"}, {"cmd/muster", "github.com/slack-go/slack"},
		{"playbooks/engine", "go.etcd.io/bbolt"}, {"bot", "go.etcd.io/bbolt"}, {"cmd/muster", "go.etcd.io/bbolt"}, {"configs", "bot"},
	} {
		if may(forbidden[0], forbidden[1]) {
			t.Errorf("%s may import %s", forbidden[0], forbidden[1])
		}
	}
}
