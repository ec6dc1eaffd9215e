package jira_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/jira"
	"github.com/muster-release/muster/integrations/jira/jirafake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

var rewrite = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (rewrite with -update):\n%s", file, got)
	}
}

func TestIssueIsMade(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		same, other := s.story("REL", "Faster release"), s.story("ABC", "Keep the cart")
		s.must(s.AddField(jirafake.CustomField{ID: "customfield_10200", Name: "Target", Type: "option"}))
		s.must(s.AddField(jirafake.CustomField{ID: "customfield_10201", Name: "What", Type: "text"}))
		s.must(s.AddField(jirafake.CustomField{ID: "customfield_10202", Name: "Count", Type: "number"}))
		s.must(s.AddField(jirafake.CustomField{ID: "customfield_10203", Name: "Tags", Type: "labels"}))
		j := s.tracker(func(o *jira.Options) {
			o.Instance = "eu"
			o.Fields = map[string]string{"target": "{environment}", "customfield_10201": "{modules}: {title}", "Count": "{run}", "Tags": "a,{environment}"}
		})
		stories := []playbooks.Story{same, other, {Key: "ABC-999", Title: "not known"}}
		key, err := j.Create(t.Context(), release("waiting", stories...))
		s.must(err)
		i := s.issue(key)
		if i.Project != "REL" || i.Type != "Release" || i.Status != "Awaiting Approval" || i.Summary != release("").Title {
			t.Errorf("the issue is %s %s, %s: %s", i.Project, i.Type, i.Status, i.Summary)
		}
		if want := []string{"muster-eu-12", "release", "to-production"}; !slices.Equal(i.Labels, want) {
			t.Errorf("the labels are %q, want %q", i.Labels, want)
		}
		made := s.Calls()[slices.IndexFunc(s.Calls(), func(c jirafake.Call) bool { return c.Route == "POST /issue" })]
		wantAll(t, "the request that makes it", made.Body, "muster-eu-12", "Plan: "+digest)
		option, _ := json.Marshal(i.Fields["customfield_10200"])
		tags, _ := json.Marshal(i.Fields["customfield_10203"])
		if string(option) != `{"value":"production"}` || fmt.Sprint(i.Fields["customfield_10202"]) != "12" || string(tags) != `["a","production"]` {
			t.Errorf("the fields are %v", i.Fields)
		}
		if !slices.Equal(i.FixVersions, []string{"production 12"}) {
			t.Errorf("the fix versions are %q", i.FixVersions)
		}
		if v := s.Versions("REL"); len(v) != 1 || v[0].Released || v[0].Description != "Release 12 to production" {
			t.Errorf("the versions are %+v", v)
		}
		if on := s.issue(same.Key).FixVersions; !slices.Equal(on, []string{"production 12"}) {
			t.Errorf("the story in the project has the versions %q", on)
		}
		if on := s.issue(other.Key).FixVersions; on != nil {
			t.Errorf("the story in another project has the versions %q", on)
		}
		var links []string
		for _, l := range i.Links {
			links = append(links, l.Type+" "+l.Source+" "+l.Target)
		}
		if want := []string{"Relates " + key + " " + same.Key, "Relates " + key + " " + other.Key}; !slices.Equal(links, want) {
			t.Errorf("the links are %q, want %q", links, want)
		}
		if len(i.RemoteLinks) != 2 || i.RemoteLinks[0].GlobalID != "muster/12/mr/https://git.example/shop/api/-/merge_requests/7" || i.RemoteLinks[0].Title != "!7 Carts | keep *their* items" {
			t.Errorf("the links to merge requests are %+v", i.RemoteLinks)
		}
		if s.flavor == jirafake.Cloud {
			var b bytes.Buffer
			rich, _ := json.Marshal(i.Rich)
			s.must(json.Indent(&b, rich, "", " "))
			golden(t, "issue.adf.json", append(b.Bytes(), '\n'))
		} else {
			golden(t, "issue.wiki.txt", []byte(i.Rich.(string)+"\n"))
		}

		// Nothing differs, so nothing is written.
		before := s.posts()
		s.must(j.Update(t.Context(), key, release("waiting", stories...)))
		if after := s.posts(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("an update without a change wrote: before %v, after %v", before, after)
		}
	})
}

func TestIssueFollowsTheRelease(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j := s.tracker()
		key, err := j.Create(t.Context(), release("planned"))
		s.must(err)
		for _, step := range []struct{ status, want, resolution string }{
			{"planned", "Planned", ""}, {"waiting", "Awaiting Approval", ""}, {"deploying", "Releasing", ""}, {"held", "Releasing", ""},
			{"deploying", "Releasing", ""}, {"released", "Released", "Done"}, {"released", "Released", "Done"},
		} {
			s.must(j.Update(t.Context(), key, release(step.status)))
			if i := s.issue(key); i.Status != step.want || i.Resolution != step.resolution {
				t.Errorf("of a release that is %s the issue is %s (%s), want %s (%s)", step.status, i.Status, i.Resolution, step.want, step.resolution)
			}
		}
		v := s.Versions("REL")
		if len(v) != 1 || !v[0].Released || v[0].ReleaseDate != time.Now().UTC().Format(time.DateOnly) {
			t.Errorf("the versions are %+v", v)
		}
		if n := s.posts()["POST /issue/{issue}/transitions"]; n != 3 {
			t.Errorf("%d transitions, want 3", n)
		}
	})
}

func TestVersionOfAReleaseThatWasRolledBack(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j := s.tracker()
		key, err := j.Create(t.Context(), release("deploying"))
		s.must(err)
		s.must(j.Update(t.Context(), key, release("rolled back")))
		if v := s.Versions("REL"); len(v) != 1 || v[0].Released || v[0].Description != "Release 12 to production: rolled back" {
			t.Errorf("the versions are %+v", v)
		}
		if i := s.issue(key); i.Status != "Rolled Back" || i.Resolution != "Won't Do" {
			t.Errorf("the issue is %s (%s)", i.Status, i.Resolution)
		}
		// A release that never got that far has no version.
		aborted := release("aborted")
		aborted.Run = "13"
		_, err = j.Create(t.Context(), aborted)
		s.must(err)
		if v := s.Versions("REL"); len(v) != 1 {
			t.Errorf("the versions are %+v", v)
		}
	})
}

func TestVersionThatIsThere(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		_, err := s.AddVersion("REL", "Production 12")
		s.must(err)
		j := s.tracker()
		key, err := j.Create(t.Context(), release("waiting"))
		s.must(err)
		if v := s.issue(key).FixVersions; !slices.Equal(v, []string{"Production 12"}) || len(s.Versions("REL")) != 1 {
			t.Errorf("the issue is in %q, and there are %+v", v, s.Versions("REL"))
		}
		// One whose name changes is the same; one that somebody describes stays described.
		s.must(s.EditVersion("REL", "Production 12", func(v *jirafake.Version) { v.Name, v.Description = "November", "ours" }))
		s.must(j.Update(t.Context(), key, release("aborted")))
		if v := s.Versions("REL"); len(v) != 1 || v[0].Name != "November" || v[0].Description != "ours" {
			t.Errorf("the versions are %+v", v)
		}
	})
}

func TestVersionWithoutPermission(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		s.must(s.Deny("muster", "REL", jirafake.ManageProject))
		j := s.tracker()
		key, err := j.Create(t.Context(), release("waiting"))
		if key == "" || !permanent(err) {
			t.Fatalf("Create: %q, %v", key, err)
		}
		wantAll(t, "the error", err.Error(), `make version "production 12" in REL`, "Administer Projects")
		if i := s.issue(key); i.Status != "Awaiting Approval" || len(i.RemoteLinks) != 2 {
			t.Errorf("the rest was not done: %s, %+v", i.Status, i.RemoteLinks)
		}
	})
}

func TestFieldsThatCannotBeSet(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		s.must(s.AddProject(jirafake.Project{Key: "SEC", Workflow: jirafake.ReleaseWorkflow(), Hidden: []string{"duedate"}}))
		j := s.tracker(func(o *jira.Options) {
			o.Project = "SEC"
			o.Fields = map[string]string{"Due date": "2026-12-01", "Planet": "Mars"}
		})
		key, err := j.Create(t.Context(), release("waiting"))
		if key == "" || !permanent(err) {
			t.Fatalf("Create: %q, %v", key, err)
		}
		wantAll(t, "the error", err.Error(), `field "Due date"`, `field "Planet": there is none`)
		if i := s.issue(key); i.Status != "Awaiting Approval" || !slices.Contains(i.Labels, "muster-12") {
			t.Errorf("the issue is %s, %q", i.Status, i.Labels)
		}
		held := release("deploying")
		held.Title = "Another"
		if err := j.Update(t.Context(), key, held); !permanent(err) {
			t.Errorf("Update: %v", err)
		}
		if i := s.issue(key); i.Summary != "Another" || i.Status != "Releasing" {
			t.Errorf("the issue is %s: %s", i.Status, i.Summary)
		}
	})
}

func TestEditsAreRepaired(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j := s.tracker()
		key, err := j.Create(t.Context(), release("waiting"))
		s.must(err)
		s.must(s.EditField("ann", key, "summary", "Mine"))
		s.must(s.SetDescription("ann", key, "Plan: "+strings.Repeat("0", 64)))
		s.must(s.SetLabel("ann", key, "urgent", true))
		s.must(s.SetLabel("ann", key, "muster-12", false))
		s.must(s.EditField("ann", key, "fixVersions", []any{}))
		s.must(j.Update(t.Context(), key, release("waiting")))
		i := s.issue(key)
		if i.Summary != release("").Title || !strings.Contains(i.Description, "Plan: "+digest) || strings.Contains(i.Description, "Plan: 000") {
			t.Errorf("the issue is %s\n%s", i.Summary, i.Description)
		}
		if want := []string{"muster-12", "release", "to-production", "urgent"}; !slices.Equal(i.Labels, want) || len(i.FixVersions) != 1 {
			t.Errorf("the labels are %q, the versions %q", i.Labels, i.FixVersions)
		}
		// A label that does not fit any more goes.
		moved := release("waiting")
		moved.Environment = "staging"
		s.must(j.Update(t.Context(), key, moved))
		if want := []string{"muster-12", "release", "to-staging", "urgent"}; !slices.Equal(s.issue(key).Labels, want) {
			t.Errorf("the labels are %q, want %q", s.issue(key).Labels, want)
		}
	})
}

func TestEditsAreRespected(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		s.must(s.AddField(jirafake.CustomField{ID: "customfield_10200", Name: "Target", Type: "option"}))
		j := s.tracker(func(o *jira.Options) {
			o.Edits, o.Fields = jira.EditsRespect, map[string]string{"Target": "{status}"}
		})
		key, err := j.Create(t.Context(), release("planned"))
		s.must(err)
		next := release("waiting")
		next.Title = "Release 12, second"
		s.must(j.Update(t.Context(), key, next))
		s.must(s.EditField("ann", key, "summary", "Mine"))
		s.must(s.EditField("ann", key, "customfield_10200", map[string]any{"value": "moon"}))
		s.must(s.EditField("ann", key, "labels", []any{"mine"}))
		s.must(s.EditField("ann", key, "fixVersions", []any{}))
		for _, status := range []string{"waiting", "deploying"} {
			next := release(status)
			next.Title, next.Description = "Release 12, third", "Now "+status
			s.must(j.Update(t.Context(), key, next))
		}
		i := s.issue(key)
		value, _ := json.Marshal(i.Fields["customfield_10200"])
		if i.Summary != "Mine" || string(value) != `{"value":"moon"}` || !strings.Contains(i.Description, "Now deploying") {
			t.Errorf("the issue is %s, %s\n%s", i.Summary, value, i.Description)
		}
		if !slices.Equal(i.Labels, []string{"mine", "muster-12"}) || i.FixVersions != nil {
			t.Errorf("the labels are %q, the versions %q", i.Labels, i.FixVersions)
		}
		if len(i.Comments) != 2 {
			t.Fatalf("the comments are %+v", i.Comments)
		}
		wantAll(t, "the comment", i.Comments[0].Text, `"Summary"`, "stays as it is")
		// A status that somebody chose stays until the release moves on.
		s.must(s.Move("ann", key, "Cancel", map[string]any{"resolution": map[string]any{"name": "Done"}}))
		s.must(j.Update(t.Context(), key, release("deploying")))
		// An empty field is Muster's again.
		s.must(s.EditField("ann", key, "customfield_10200", nil))
		s.must(j.Update(t.Context(), key, release("deploying")))
		i = s.issue(key)
		if value, _ := json.Marshal(i.Fields["customfield_10200"]); string(value) != `{"value":"deploying"}` {
			t.Errorf("the field is %s", value)
		}
		if i.Status != "Cancelled" {
			t.Errorf("the issue is %s", i.Status)
		}
	})
}

func TestIssueIsFoundByItsLabel(t *testing.T) {
	for _, flavor := range []jirafake.Flavor{jirafake.Cloud, jirafake.DataCenter} {
		t.Run(string(flavor), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, jirafake.Options{Flavor: flavor, IndexLag: 40 * time.Second})
				j := s.tracker()
				tried := time.Now()
				find := func(run string) (string, bool, error) {
					for {
						key, found, err := j.Find(t.Context(), run, tried)
						wait, later := retryAfter(err)
						if !later {
							return key, found, err
						}
						time.Sleep(wait)
					}
				}
				want, err := j.Create(t.Context(), release("waiting"))
				s.must(err)
				if key, found, err := find("12"); key != want || !found || err != nil {
					t.Errorf("Find: %q, %v, %v; want %s", key, found, err, want)
				}
				if took := time.Since(tried); took < 40*time.Second || took > 61*time.Second {
					t.Errorf("found after %v", took)
				}
				if key, found, err := find("1"); found || err != nil {
					t.Errorf("Find what is not there: %q, %v, %v", key, found, err)
				}
				if took := time.Since(tried); took != jira.DefaultIndexLag {
					t.Errorf("it is sure after %v that there is none", took)
				}
				s.must(s.DeleteIssue("ann", want))
				if key, found, err := find("12"); found || err != nil {
					t.Errorf("Find what was deleted: %q, %v, %v", key, found, err)
				}
			})
		})
	}
}

func TestTwoIssuesBecomeOne(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j := s.tracker()
		first, err := j.Create(t.Context(), release("waiting"))
		s.must(err)
		for range 9 {
			_, err := s.AddIssue(jirafake.NewIssue{Project: "REL", Type: "Task", Summary: "another"})
			s.must(err)
		}
		second, err := j.Create(t.Context(), release("waiting"))
		s.must(err)
		for range 2 {
			key, found, err := j.Find(t.Context(), "12", time.Now())
			if key != first || !found || err != nil {
				t.Fatalf("Find: %q, %v, %v; want %s", key, found, err, first)
			}
		}
		double := s.issue(second)
		if double.Category != "done" || double.Resolution != "Duplicate" || slices.Contains(double.Labels, "muster-12") || !slices.Contains(double.Labels, "muster-duplicate") {
			t.Errorf("the other is %s (%s), %q", double.Status, double.Resolution, double.Labels)
		}
		if !slices.ContainsFunc(double.Links, func(l jirafake.Link) bool {
			return l.Type == "Duplicate" && l.Source == second && l.Target == first
		}) {
			t.Errorf("the links are %+v", double.Links)
		}
		if len(double.Comments) != 1 || !strings.Contains(double.Comments[0].Text, "It goes on in "+first) {
			t.Errorf("the comments are %+v", double.Comments)
		}
		if i := s.issue(first); i.Status != "Awaiting Approval" || len(i.Comments) != 0 {
			t.Errorf("the one that stays is %+v", i)
		}
	})
}

func TestLargeReleaseHasRoom(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		big := release("waiting")
		big.Modules = nil
		var plan strings.Builder
		for n := range 300 {
			m := steps.IssueModule{Name: fmt.Sprintf("service-%03d", n), Version: "v1.4.0", From: "v1.3.0", Changes: &playbooks.Changes{}}
			for k := range 3 {
				m.Changes.MergeRequests = append(m.Changes.MergeRequests, playbooks.MergeRequest{Number: k, Title: strings.Repeat("\"<ü>", 20), Link: fmt.Sprintf("https://git.example/service-%03d/-/merge_requests/%d", n, k)})
			}
			big.Modules = append(big.Modules, m)
			fmt.Fprintf(&plan, "  service-%03d  v1.4.0  after %s\n", n, strings.Repeat("x", 200))
		}
		big.Plan = plan.String()
		j := s.tracker()
		key, err := j.Create(t.Context(), big)
		if wait, later := retryAfter(err); key == "" || !later || wait > time.Minute {
			t.Fatalf("Create: %q, %v; want a key, and that there are more links to make", key, err)
		}
		i := s.issue(key)
		wantAll(t, "the description", i.Description, "service-000", "more, in short", "lines are left out", "Plan: "+digest)
		if n := len(i.RemoteLinks); n != 15 {
			t.Errorf("%d links at once", n)
		}
	})
}

func TestLinksAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, jirafake.Options{})
		i := release("waiting")
		for n := range 150 {
			i.Modules[0].Changes.MergeRequests = append(i.Modules[0].Changes.MergeRequests, playbooks.MergeRequest{Number: n, Title: "t", Link: fmt.Sprintf("https://git.example/a/-/merge_requests/%d?%s", n, strings.Repeat("x", 250))})
		}
		for n := range 120 {
			i.Modules[0].Changes.Stories = append(i.Modules[0].Changes.Stories, s.story([]string{"ABC", "REL"}[n%2], "story"))
		}
		j := s.tracker()
		key, err := j.Create(t.Context(), i)
		if _, later := retryAfter(err); !later {
			t.Fatal(err)
		}
		s.must(update(t.Context(), j, key, i))
		got := s.issue(key)
		in := 0
		for _, story := range s.Issues() {
			if story.Type == "Story" && len(story.FixVersions) == 1 {
				in++
			}
		}
		if len(got.RemoteLinks) != 100 || len(got.Links) != 100 || in != 60 {
			t.Errorf("%d links to merge requests, %d to stories, %d stories in the version", len(got.RemoteLinks), len(got.Links), in)
		}
	})
}

func TestVersionThatSomebodyElseMakesMeanwhile(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		s.SetFault(func(c jirafake.Call) jirafake.Fault {
			if c.Route == "POST /version" {
				_, err := s.AddVersion("REL", "production 12")
				s.must(err)
			}
			return jirafake.Fault{}
		})
		key, err := s.tracker().Create(t.Context(), release("waiting"))
		s.must(err)
		if v := s.Versions("REL"); len(v) != 1 || !slices.Equal(s.issue(key).FixVersions, []string{"production 12"}) {
			t.Errorf("the versions are %+v, of the issue %q", v, s.issue(key).FixVersions)
		}
	})
}

// TestNotesThatSomebodyWroteOver holds that nothing depends on what the property of the issue says.
func TestNotesThatSomebodyWroteOver(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j := s.tracker(func(o *jira.Options) {
			o.Transitions = map[string][]string{"deploying": {"Ask for approval", "Releasing"}}
		})
		key, err := j.Create(t.Context(), release("waiting"))
		s.must(err)
		for _, notes := range []string{`{"version":"424242","linked":["ABC-1"],"move":{"for":"deploying","from":"x","to":"y","hop":9}}`, `[1,2]`, `{"labels":"x"}`} {
			path := "/rest/api/2/issue/"
			if s.flavor == jirafake.Cloud {
				path = "/rest/api/3/issue/"
			}
			r, err := s.Request("ann", "PUT", path+key+"/properties/muster")
			s.must(err)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(notes)), int64(len(notes))
			r.Header.Set("Content-Type", "application/json")
			answer, err := s.client.Do(r)
			s.must(err)
			answer.Body.Close()
			if answer.StatusCode > 299 {
				t.Fatalf("HTTP %d", answer.StatusCode)
			}
			s.must(j.Update(t.Context(), key, release("deploying")))
			i := s.issue(key)
			if i.Status != "Releasing" || !slices.Equal(i.FixVersions, []string{"production 12"}) || len(s.Versions("REL")) != 1 {
				t.Errorf("after %s the issue is %s in %q", notes, i.Status, i.FixVersions)
			}
		}
	})
}

func TestIssueThatWasDeleted(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j := s.tracker()
		key, err := j.Create(t.Context(), release("waiting"))
		s.must(err)
		s.must(s.DeleteIssue("ann", key))
		for what, err := range map[string]error{
			"Update": j.Update(t.Context(), key, release("waiting")), "Comment": j.Comment(t.Context(), key, steps.Comment{Marker: "12/1", Text: "x"}),
		} {
			var g interface{ Gone() bool }
			if !permanent(err) || !errors.As(err, &g) || !g.Gone() {
				t.Errorf("%s: %v; want that it is gone", what, err)
			}
		}
	})
}

func TestFieldThatIsMadeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, jirafake.Options{})
		j := s.tracker(func(o *jira.Options) { o.Fields = map[string]string{"Target": "{environment}"} })
		key, err := j.Create(t.Context(), release("waiting"))
		if key == "" || !permanent(err) {
			t.Fatalf("Create: %q, %v", key, err)
		}
		s.must(s.AddField(jirafake.CustomField{ID: "customfield_10200", Name: "Target", Type: "string"}))
		time.Sleep(61 * time.Second)
		s.must(j.Update(t.Context(), key, release("waiting")))
		if got := s.issue(key).Fields["customfield_10200"]; got != "production" {
			t.Errorf("the field is %v", got)
		}
	})
}
