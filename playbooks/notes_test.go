package playbooks_test

import (
	"strings"
	"testing"

	"github.com/muster-release/muster/playbooks"
)

func notesOf(c *playbooks.Changes) string {
	pb := &playbooks.Playbook{Environment: "production", Modules: []playbooks.PlannedModule{
		{Name: "cart", Version: "v1.4.0", From: []playbooks.From{{Version: "v1.3.0"}}, Changes: c},
	}}
	var b strings.Builder
	if err := playbooks.NewReleaseNotes(pb).WriteMarkdown(&b); err != nil {
		return err.Error()
	}
	return b.String()
}

func TestNotes(t *testing.T) {
	for _, c := range []struct {
		name    string
		changes *playbooks.Changes
		want    string
	}{
		{"nobody was asked", nil, "## cart v1.4.0\n\nSince v1.3.0.\n\nNothing is known of what changed.\n"},
		{"stories, merge requests and kinds", &playbooks.Changes{
			Link: "https://git.example/compare", Authors: []string{"Ann", "Bob"},
			Stories: []playbooks.Story{
				{Key: "SHOP-1", Title: "Carts survive a restart", Type: "Story", Status: "Done", Link: "https://jira.example/SHOP-1"},
				{Key: "SHOP-12", Title: "Totals are wrong", Type: "Bug", Status: "Done"},
				{Key: "SHOP-3", Title: "Prices are net", Type: "Story"},
			},
			MergeRequests: []playbooks.MergeRequest{
				{Number: 7, Title: "SHOP-1: keep carts", Link: "https://git.example/7"},
				{Number: 8, Title: "rounding", Branch: "fix/shop-12-rounding"},
				{Number: 9, Title: "feat(api)!: SHOP-3 net prices"},
				{Number: 10, Title: "fix: a typo"}, {Number: 11, Title: "chore: newer Go"}, {Number: 12, Title: "Tidy up"},
			},
			Commits: []playbooks.Commit{{ID: "3fa2c1d4e5", Title: "is in a merge request"}},
		}, `## cart v1.4.0

[Since v1.3.0](https://git.example/compare).

### Breaking changes

- Prices are net (SHOP-3, \!9)

### Features

- Carts survive a restart ([SHOP-1](https://jira.example/SHOP-1), [\!7](https://git.example/7))

### Fixes

- Totals are wrong (SHOP-12, \!8)
- A typo (\!10)

### Other changes

- Newer Go (\!11)
- Tidy up (\!12)

By Ann and Bob.
`},
		{"commits without merge requests", &playbooks.Changes{
			Stories: []playbooks.Story{{Key: "SHOP-1", Title: "A story"}},
			Commits: []playbooks.Commit{{ID: "3fa2c1d4e5f60718", Title: "fix: one"}, {ID: "99", Title: "SHOP-1 two"}},
			Unknown: "GitLab did not answer",
		}, "## cart v1.4.0\n\nSince v1.3.0.\n\n### Fixes\n\n- One (3fa2c1d4)\n\n### Other changes\n\n- A story (SHOP-1)\n\nGitLab did not answer.\n"},
		{"text of others is text", &playbooks.Changes{MergeRequests: []playbooks.MergeRequest{
			{Number: 1, Title: "@all <script> [x](javascript:1)\n/close", Link: "https://git.example/a b"},
		}}, "## cart v1.4.0\n\nSince v1.3.0.\n\n### Other changes\n\n- \\@all \\<script\\> \\[x\\](javascript\\:1) /close (\\!1)\n"},
	} {
		if got := notesOf(c.changes); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func FuzzNotes(f *testing.F) {
	f.Add("feat(x)!: y", "ABC-1")
	f.Add("fix: ", "")
	f.Add("\xff0", "0")
	f.Fuzz(func(t *testing.T, title, key string) {
		text := notesOf(&playbooks.Changes{
			Stories:       []playbooks.Story{{Key: key, Title: title}},
			MergeRequests: []playbooks.MergeRequest{{Number: 1, Title: title, Branch: key}},
			Commits:       []playbooks.Commit{{ID: key, Title: title}},
		})
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "/") || strings.Contains(line, "<") && !strings.Contains(line, `\<`) {
				t.Errorf("%q is told as %q", title, line)
			}
		}
	})
}
