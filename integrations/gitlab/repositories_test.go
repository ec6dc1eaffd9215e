package gitlab

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
)

func TestProjects(t *testing.T) {
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		for i := range 120 {
			y.AddProject(gitlabfake.Project{Path: fmt.Sprintf("shop/teams/t%d/p%03d", i%7, i), Archived: i == 5})
		}
		y.AddProject(gitlabfake.Project{Path: "other/secret"})
		all, err := y.g.Repositories().Projects(t.Context(), "shop")
		if err != nil || len(all) != 121 || !slices.IsSortedFunc(all, func(a, b Project) int { return strings.Compare(a.Path, b.Path) }) {
			t.Fatalf("%d projects, %v", len(all), err)
		}
		if i := slices.Index(all, Project{Path: "shop/teams/t5/p005", DefaultBranch: "main", Archived: true}); i < 0 {
			t.Errorf("%+v", all[:9])
		}
		if _, err := y.g.Repositories().Projects(t.Context(), "other"); !isGone(err) {
			t.Errorf("a group that is not to be seen: %v", err)
		}
	})
}

func TestFilesAndRead(t *testing.T) {
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		files := map[string]string{"go.mod": "module cart\n", "web/package.json": "{}", "web/deep/er/go.mod": "module er\n", "go.mod.txt": ""}
		for i := range 250 {
			files[fmt.Sprintf("m/f%03d.go", i)] = "package m\n"
		}
		y.Push(cart, gitlabfake.Commit{Files: files})
		r := y.g.Repositories()
		found, err := r.Files(t.Context(), cart, "main", []string{"go.mod", "package.json", ".muster.yaml"})
		if err != nil || strings.Join(found, " ") != "go.mod web/deep/er/go.mod web/package.json" {
			t.Errorf("files: %q, %v", found, err)
		}
		if _, err := r.Files(t.Context(), cart, "nowhere", nil); !isGone(err) {
			t.Errorf("a ref that is not there: %v", err)
		}
		content, there, err := r.Read(t.Context(), cart, "main", "web/deep/er/go.mod")
		if err != nil || !there || string(content) != "module er\n" {
			t.Errorf("read: %q, %v, %v", content, there, err)
		}
		if _, there, err := r.Read(t.Context(), cart, "main", "web/go.mod"); err != nil || there {
			t.Errorf("what is not there: %v, %v", there, err)
		}
		if _, _, err := r.Read(t.Context(), "shop/backend/other", "main", "go.mod"); !isGone(err) {
			t.Errorf("a project that is not there: %v", err)
		}
	})
}

func TestProposeIsDoneOnce(t *testing.T) {
	eachWriteGoesWrong(t, yardOptions{}, func(y *yard) {
		r := y.g.Repositories()
		for _, content := range []string{"modules: [a]\n", "modules: [a, b]\n", "modules: [a, b]\n"} {
			y.until(func() error {
				url, err := r.Propose(y.t.Context(), cart, "muster/discover", "Update the catalog", "With "+content, "configs/catalog.yaml", []byte(content))
				if err == nil && url != "https://git.example.com/sub/"+cart+"/-/merge_requests/1" {
					y.t.Errorf("url: %s", url)
				}
				return err
			})
		}
	}, func(t *testing.T, y *yard) {
		merges, _, err := y.g.api.MergeRequests.ListProjectMergeRequests(cart, nil)
		if err != nil || len(merges) != 1 || merges[0].Description != "With modules: [a, b]\n" || merges[0].TargetBranch != "main" {
			t.Errorf("merge requests: %+v, %v", merges, err)
		}
		commits, _, err := y.g.api.Commits.ListCommits(cart, &gl.ListCommitsOptions{RefName: gl.Ptr("main..muster/discover")})
		if err != nil || len(commits) != 2 {
			t.Errorf("%d commits, %v", len(commits), err)
		}
		if content, _ := y.File(cart, "muster/discover", "configs/catalog.yaml"); content != "modules: [a, b]\n" {
			t.Errorf("content: %q", content)
		}
	})
}

func TestProposeAgain(t *testing.T) {
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		r := y.g.Repositories()
		propose := func(content string) string {
			t.Helper()
			url, err := r.Propose(t.Context(), cart, "muster/discover", "Update the catalog", "As found.", "catalog.yaml", []byte(content))
			if err != nil {
				t.Fatal(err)
			}
			return url
		}
		propose("one")
		y.Merge(cart, 1, "ann")
		if url := propose("one"); url != "" {
			t.Errorf("there is nothing to propose: %s", url)
		}
		y.push("Meanwhile", "other.go")
		if url := propose("two"); !strings.HasSuffix(url, "/merge_requests/2") {
			t.Errorf("the next one: %s", url)
		}
		if _, found := y.File(cart, "muster/discover", "other.go"); !found {
			t.Error("the branch was not made anew")
		}
		if _, err := r.Propose(t.Context(), cart, "main", "t", "d", "f", nil); !isPermanent(err) {
			t.Errorf("to the default branch itself: %v", err)
		}
	})
}
