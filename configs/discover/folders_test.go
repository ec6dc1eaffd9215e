package discover_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/muster-release/muster/configs/discover"
	"github.com/muster-release/muster/playbooks"
)

// write makes files below a folder.
func write(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func gitConfig(url string) string {
	return "[core]\n\tbare = false\n[remote \"fork\"]\n\turl = git@git.example:me/fork.git\n[remote \"origin\"]\n\turl = " + url + "\n"
}

func TestFolders(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		"https/.git/config":               gitConfig("https://user:secret@git.example/shop/https.git"),
		"https/go.mod":                    "module git.example/shop/https\n",
		"https/.git/go.mod":               "module no\n",
		"https/vendor/x/go.mod":           "module no\n",
		"deep/er/scp/.git/config":         gitConfig("git@git.example:shop/scp.git"),
		"deep/er/scp/sub/package.json":    "{}",
		"ssh/.git/config":                 gitConfig("ssh://git@git.example:2222/shop/ssh"),
		"clone/.git/config":               gitConfig("/srv/git/clone"),
		"plain/.muster.yaml":              "module: plain\n",
		"main/.git/worktrees/t/commondir": "../..\n",
		"main/.git/config":                gitConfig("https://git.example:8443/forge/shop/main"),
		"tree/.git":                       "gitdir: ../tree-git\n",
		"tree-git/config":                 gitConfig("https://git.example/shop/tree.git"),
		"none/README.md":                  "",
	})
	f := discover.NewFolders()
	names, err := f.Projects(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	want := []string{"clone", "git.example/shop/https", "git.example/shop/scp", "git.example/shop/ssh", "git.example/shop/tree", "git.example:8443/forge/shop/main", "plain"}
	if !slices.Equal(names, want) {
		t.Errorf("projects %q", names)
	}
	files, err := f.Files(t.Context(), "git.example/shop/https", "", []string{"go.mod"})
	if err != nil || !slices.Equal(files, []string{"go.mod"}) {
		t.Errorf("files %q, %v", files, err)
	}

	one, err := discover.NewFolders().Projects(t.Context(), filepath.Join(root, "plain"))
	if err != nil || !slices.Equal(one, []string{"plain"}) {
		t.Errorf("a repository itself: %q, %v", one, err)
	}
	for folder, want := range map[string]string{
		"none":            "it holds no repository",
		"nowhere":         "no such file or directory",
		"none/README.md":  "it is no folder",
		"deep/er/scp/sub": "", // it has a manifest
	} {
		_, err := discover.NewFolders().Projects(t.Context(), filepath.Join(root, filepath.FromSlash(folder)))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", folder, err)
		}
	}
}

// A work tree that was added to a clone is named as the clone is.
func TestWorkTree(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		"main/.git/config":                gitConfig("git@git.example:shop/main.git"),
		"main/.git/worktrees/t/commondir": "../..\n",
		"tree/.git":                       "gitdir: " + filepath.Join(root, "main", ".git", "worktrees", "t") + "\n",
	})
	names, err := discover.NewFolders().Projects(t.Context(), filepath.Join(root, "tree"))
	if err != nil || !slices.Equal(names, []string{"git.example/shop/main"}) {
		t.Errorf("projects %q, %v", names, err)
	}
	if _, err = discover.NewFolders().Projects(t.Context(), root); err == nil || !strings.Contains(err.Error(), "are both git.example/shop/main") {
		t.Errorf("error %v", err)
	}
}

// A repository cannot make us read what is outside it.
func TestFoldersStayInside(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"secret": "module secret\n", "repo/.git/config": "", "repo/sub/x": ""})
	if err := os.Symlink("../secret", filepath.Join(root, "repo", "go.mod")); err != nil {
		t.Fatal(err)
	}
	f := discover.NewFolders()
	if _, err := f.Projects(t.Context(), filepath.Join(root, "repo")); err != nil {
		t.Fatal(err)
	}
	if files, err := f.Files(t.Context(), "repo", "", []string{"go.mod"}); err != nil || len(files) > 0 {
		t.Errorf("files %q, %v", files, err)
	}
	for _, name := range []string{"go.mod", "../secret", "/etc/hostname"} {
		if data, err := f.Read(t.Context(), "repo", "", name); err == nil {
			t.Errorf("%s: %q was read", name, data)
		}
	}
}

// What is checked out here fits the sources of the catalog, with the host before them or without.
func TestRunOverFolders(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		"a/.git/config":    gitConfig("https://git.example/shop/cart.git"),
		"a/go.mod":         "module git.example/shop/cart\n\nrequire git.example/shop/money v1.2.0\n",
		"b/.git/config":    gitConfig("https://git.example/shop/money.git"),
		"b/go.mod":         "module git.example/shop/money\n",
		"shop/ui/go.mod":   "module git.example/shop/ui\n\nrequire git.example/shop/cart v1.0.0\n",
		"shop/ui/.git/x/y": "",
	})
	catalog := &playbooks.Catalog{Modules: []playbooks.Module{{Name: "cart", Source: "git.example/shop/cart"}, {Name: "money", Source: "shop/money"}, {Name: "ui", Source: "git.example/shop/ui"}}}
	r, err := discover.Run(t.Context(), discover.NewFolders(), catalog, discover.Options{Groups: []string{root}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Edges) != 2 || r.Edges[0].String() != "cart needs money >=1.2.0-0 (build, go.mod:3)" || r.Edges[1].String() != "ui needs cart >=1.0.0-0 (build, go.mod:3)" {
		t.Errorf("edges %v, proposals %+v", r.Edges, r.Proposals)
	}
}
