package gitlab

import (
	"strings"
	"testing"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/playbooks/steps"
)

func (y *yard) releaseOf(notes string, links ...steps.ForgeLink) steps.ForgeRelease {
	return steps.ForgeRelease{Run: "12", Module: y.module(), Version: "v1.0.0", Notes: notes, Links: links}
}

func TestReleaseIsMadeOnce(t *testing.T) {
	links := []steps.ForgeLink{{Name: "release issue", URL: "https://jira.example.com/REL-1"}, {Name: "Muster", URL: "https://muster.example.com/12"}}
	eachWriteGoesWrong(t, yardOptions{module: inCartFolder}, func(y *yard) {
		y.PushTag(cart, "ann", "cart/v1.0.0", "main", "")
		y.until(func() error { return y.g.Release(y.t.Context(), y.releaseOf("- first", links[0])) })
		for range 2 {
			y.until(func() error { return y.g.Release(y.t.Context(), y.releaseOf("- first\n- second", links...)) })
		}
	}, func(t *testing.T, y *yard) {
		r := y.Releases(cart)
		if len(r) != 1 || r[0].Tag != "cart/v1.0.0" || r[0].Description != notesBegin+"\n- first\n- second\n"+notesEnd || len(r[0].Links) != 2 || r[0].Links["Muster"] != links[1].URL {
			t.Errorf("releases: %+v", r)
		}
	})
}

func TestRelease(t *testing.T) {
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		if err := y.g.Release(t.Context(), y.releaseOf("- notes")); !isPermanent(err) || !strings.Contains(err.Error(), `there is no tag "v1.0.0"`) {
			t.Errorf("without a tag: %v", err)
		}
		y.tagged("v1.0.0")
		r := y.releaseOf("- notes")
		r.Commit = strings.Repeat("d", 40)
		if err := y.g.Release(t.Context(), r); !isPermanent(err) || !strings.Contains(err.Error(), r.Commit) {
			t.Errorf("another commit: %v", err)
		}

		// People made it, with words and a link of their own.
		_, _, err := y.g.api.Releases.CreateRelease(cart, &gl.CreateReleaseOptions{
			TagName: gl.Ptr("v1.0.0"), Name: gl.Ptr("The first"), Description: gl.Ptr("Hello.\n"),
			Assets: &gl.ReleaseAssetsOptions{Links: []*gl.ReleaseAssetLinkOptions{{Name: gl.Ptr("handbook"), URL: gl.Ptr("https://example.com/handbook")}, {Name: gl.Ptr("Muster"), URL: gl.Ptr("https://old.example.com")}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		link := steps.ForgeLink{Name: "Muster", URL: "https://muster.example.com/12"}
		if err := y.g.Release(t.Context(), y.releaseOf("- notes", link)); err != nil {
			t.Fatal(err)
		}
		got := y.Releases(cart)[0]
		if got.Name != "The first" || got.Description != "Hello.\n\n"+notesBegin+"\n- notes\n"+notesEnd || got.Links["handbook"] == "" || got.Links["Muster"] != link.URL || len(got.Links) != 2 {
			t.Errorf("release: %+v", got)
		}
		calls := len(y.Calls())
		if err := y.g.Release(t.Context(), y.releaseOf("- notes", link)); err != nil {
			t.Fatal(err)
		}
		if done := y.Calls()[calls:]; len(done) != 1 || done[0].Method != "GET" {
			t.Errorf("what is as it should be was written again: %+v", done)
		}
	})
}

// TestReleaseRaces lets somebody else make the release in the moment that it is made.
func TestReleaseRaces(t *testing.T) {
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		y.tagged("v1.0.0")
		first := true
		y.SetFault(func(c gitlabfake.Call) gitlabfake.Fault {
			if c.Method == "POST" && first {
				first = false
				_, _, err := y.g.api.Releases.CreateRelease(cart, &gl.CreateReleaseOptions{TagName: gl.Ptr("v1.0.0"), Description: gl.Ptr("Mine.")})
				if err != nil {
					t.Error(err)
				}
			}
			return gitlabfake.Fault{}
		})
		if err := y.g.Release(t.Context(), y.releaseOf("- notes")); err != nil {
			t.Fatal(err)
		}
		if r := y.Releases(cart); len(r) != 1 || !strings.HasPrefix(r[0].Description, "Mine.") || !strings.Contains(r[0].Description, "- notes") {
			t.Errorf("releases: %+v", r)
		}
	})
}

func TestWithNotes(t *testing.T) {
	block := notesBegin + "\nnew\n" + notesEnd
	tests := []struct{ name, description, notes, want string }{
		{"nothing yet", "", "new", block},
		{"blank", " \n", "new\n", block},
		{"people's words", "Hello.\n", "new", "Hello.\n\n" + block},
		{"ours is replaced", "Hello.\n\n" + notesBegin + "\nold\n" + notesEnd + "\nBye.", "new", "Hello.\n\n" + block + "\nBye."},
		{"the end was cut off", "Hello.\n" + notesBegin + "\nold", "new", "Hello.\n" + block},
		{"marks in the notes", "", notesEnd + "new" + notesBegin, block},
		{"marks in the marks", "", "<!-- /muster:" + notesEnd + "notes -->new", block},
	}
	for _, test := range tests {
		got := withNotes(test.description, test.notes)
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		if again := withNotes(got, test.notes); again != got {
			t.Errorf("%s: again %q", test.name, again)
		}
	}
}

func FuzzWithNotes(f *testing.F) {
	f.Add("Hello.\n"+notesBegin+"\nold", "new")
	f.Add(notesEnd+notesBegin, "<!-- /muster:"+notesEnd+"notes -->tail")
	f.Fuzz(func(t *testing.T, description, notes string) {
		got := withNotes(description, notes)
		if again := withNotes(got, notes); again != got {
			t.Errorf("%q becomes %q", got, again)
		}
		if before, _, found := strings.Cut(description, notesBegin); found && !strings.HasPrefix(got, before) {
			t.Errorf("%q lost %q", got, before)
		}
	})
}
