package main

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
)

// command runs a command line in this process.
func command(args ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	code = run(args, streams{strings.NewReader(""), &stdout, &stderr})
	return code, stdout.String(), stderr.String()
}

// TestDiscoverOnGitLab goes from a group in GitLab to a merge request that updates the catalog, and to
// the next run, which has nothing to say.
func TestDiscoverOnGitLab(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	site := "http://" + server.Listener.Addr().String() + "/git"
	forge, err := gitlabfake.New(gitlabfake.Options{URL: site, Token: "glpat-0123456789abcdef"})
	if err != nil {
		t.Fatal(err)
	}
	defer forge.Close()
	server.Config.Handler = forge
	server.Start()
	defer server.Close()
	for name, requires := range map[string]string{"money": "", "cart": "money v1.2.0", "deep/er/web": "cart v1.0.0", "old": "money v1.0.0"} {
		content := "module gitlab.example/shop/" + name + "\n"
		if requires != "" {
			content += "\nrequire gitlab.example/shop/" + requires + "\n"
		}
		forge.AddProject(gitlabfake.Project{Path: "shop/" + name, Files: map[string]string{"go.mod": content, "sub/README.md": "x"}})
	}
	for i := range 130 { // more than a page
		forge.AddProject(gitlabfake.Project{Path: fmt.Sprintf("shop/many/p%03d", i), Files: map[string]string{"README.md": "x"}})
	}
	forge.AddProject(gitlabfake.Project{Path: "ops/catalog", Files: map[string]string{"muster.yaml": "x"}})

	folder := t.TempDir()
	config := filepath.Join(folder, "muster.yaml")
	write := func(include string) {
		t.Helper()
		content := include + fmt.Sprintf("server:\n  gitlab: {url: %q, token: \"${GITLAB_TOKEN}\"}\n", site) + `
environments: [{name: production}]
modules:
  - {name: web, source: shop/deep/er/web}
  - {name: cart, source: ` + strings.TrimPrefix(site, "http://") + `/shop/cart}
  - {name: money, source: shop/money}
`
		if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	t.Setenv("GITLAB_TOKEN", "glpat-0123456789abcdef")

	code, out, errs := command("discover", "--config", config, "--group", "shop", "--merge-request", "ops/catalog:discovered.yaml", "--check")
	for _, want := range []string{
		"Looked at 134 projects and read 4 files; 3 of the catalog's 3 modules come from there.",
		"+ cart needs money >=1.2.0-0 (build, go.mod:3)",
		"+ web needs cart >=1.0.0-0 (build, go.mod:3)",
		"* {name: old, source: shop/old}  needs money",
		"Proposed: " + site + "/ops/catalog/-/merge_requests/1\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("not said: %s", want)
		}
	}
	if t.Failed() || code != exitDifferent {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	proposed, ok := forge.File("ops/catalog", discoverBranch, "discovered.yaml")
	if !ok || !strings.Contains(proposed, `- {module: money, kind: build, version: ">=1.2.0-0", source: "go.mod:3"}`) {
		t.Fatalf("proposed: %q", proposed)
	}

	// Without --group it is the catalog's projects, and the merge request that is open stays the one.
	code, out, errs = command("discover", "--config", config, "--merge-request", "ops/catalog:discovered.yaml")
	if code != exitOK || !strings.Contains(out, "Looked at 3 projects") || !strings.Contains(out, "/ops/catalog/-/merge_requests/1\n") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}

	forge.Merge("ops/catalog", 1, "root")
	merged, _ := forge.File("ops/catalog", "main", "discovered.yaml")
	if err := os.WriteFile(filepath.Join(folder, "discovered.yaml"), []byte(merged), 0o600); err != nil {
		t.Fatal(err)
	}
	write("include: [discovered.yaml]\n")
	code, out, errs = command("discover", "--config", config, "--merge-request", "ops/catalog:discovered.yaml", "--check")
	if code != exitOK || !strings.Contains(out, "There is nothing to propose.") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}

	// Another ref, in one project.
	code, out, errs = command("discover", "--config", config, "--project", "shop/cart", "--ref", "nowhere")
	if code != exitFailed || !strings.Contains(errs, "shop/cart: its files cannot be listed") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}

	// A forge that refuses is not taken for one that has nothing.
	t.Setenv("GITLAB_TOKEN", "glpat-fedcba9876543210")
	code, out, errs = command("discover", "--config", config, "--group", "shop")
	if code != exitFailed || !strings.Contains(errs, "discover: nothing could be read") || strings.Contains(out+errs, "fedcba") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}
