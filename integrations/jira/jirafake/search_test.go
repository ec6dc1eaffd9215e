package jirafake_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/jira/jirafake"
)

func TestQueries(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.do(w.AddField(jirafake.CustomField{ID: "customfield_10050", Name: "Run", Type: "string"}))
		w.create(object{"labels": []string{"muster-1", "train"}, "fixVersions": []any{object{"name": "1.0"}}, "priority": object{"name": "High"}, "customfield_10050": "r1"})
		w.create(object{"summary": "Broken cart", "issuetype": object{"name": "Bug"}, "components": []any{object{"name": "cart"}}, "labels": []string{"muster-2"}, "priority": object{"name": "Highest"}})
		w.create(object{"summary": "Carts are nice", "issuetype": object{"name": "Story"}, "description": w.rich("nobody is in doubt"), "fixVersions": []any{object{"name": "1.1"}}})
		w.create(object{"project": object{"key": "SHOP"}, "issuetype": object{"name": "Task"}, "summary": "Sell"})
		w.do(w.Move("ann", "REL-3", "Cancel", object{"resolution": object{"name": "Won't Do"}}))
		w.do(w.EditField("ann", "SHOP-1", "assignee", object{"accountId": w.bob.AccountID, "name": "bob"}))
		w.do(w.LinkIssues("ann", "Blocks", "REL-2", "REL-1"))
		for jql, want := range map[string]string{
			`project = REL ORDER BY key`:                                        "REL-1 REL-2 REL-3",
			`project in (REL, SHOP) ORDER BY key DESC`:                          "SHOP-1 REL-3 REL-2 REL-1",
			`project = "Releases" AND key != REL-1 ORDER BY key`:                "REL-2 REL-3",
			`labels = muster-1`:                                                 "REL-1",
			`project = REL AND labels != muster-1`:                              "REL-2", // not those without labels
			`project = REL AND (labels is EMPTY OR labels not in (muster-1))`:   "REL-3 REL-2",
			`project = REL AND labels is not empty ORDER BY key ASC`:            "REL-1 REL-2",
			`labels in ("muster-1", muster-2) order by priority desc`:           "REL-2 REL-1",
			`labels = nothing-of-it`:                                            "",
			`issuetype in (Bug, Story) and statusCategory != Done`:              "REL-2",
			`type = Story AND status = Cancelled`:                               "REL-3",
			`status in (Planned, "Rolled Back") AND project = REL ORDER BY key`: "REL-1 REL-2",
			`project = REL AND resolution is EMPTY ORDER BY key`:                "REL-1 REL-2",
			`project = REL AND resolution = Unresolved ORDER BY key`:            "REL-1 REL-2",
			`resolution = "Won't Do"`:                                           "REL-3",
			`fixVersion = 1.0`:                                                  "REL-1",
			`fixVersion in unreleasedVersions(REL) ORDER BY key`:                "REL-1 REL-3",
			`component = cart`:                                                  "REL-2",
			`priority > Medium ORDER BY key`:                                    "REL-1 REL-2",
			`priority = Highest`:                                                "REL-2",
			`summary ~ cart`:                                                    "REL-2",
			`summary ~ "cart*" ORDER BY key`:                                    "REL-2 REL-3",
			`summary ~ "\"broken cart\""`:                                       "REL-2",
			`project = REL AND summary !~ cart ORDER BY key`:                    "REL-1 REL-3",
			`text ~ doubt`:                                                             "REL-3",
			`assignee = currentUser()`:                                                 "",
			`assignee in ("` + w.bob.Email + `")`:                                      "SHOP-1",
			`reporter = currentUser() AND assignee is not EMPTY`:                       "SHOP-1",
			`issue in linkedIssues(REL-1)`:                                             "REL-2",
			`issue in linkedIssues("REL-1", "is blocked by")`:                          "REL-2",
			`key in (REL-1, REL-3) ORDER BY key`:                                       "REL-1 REL-3",
			`key >= REL-2 AND project = REL ORDER BY key`:                              "REL-2 REL-3",
			`project = REL AND NOT (type = Bug OR type = Story)`:                       "REL-1",
			`project = REL && ! type = Bug ORDER BY key`:                               "REL-1 REL-3",
			`cf[10050] = r1`:                                                           "REL-1",
			`Run ~ r1`:                                                                 "REL-1",
			`project = REL AND created >= -1h ORDER BY key`:                            "REL-1 REL-2 REL-3",
			`project = REL AND created < "2020-01-01"`:                                 "",
			`project = REL AND resolved is not EMPTY`:                                  "REL-3",
			`project = REL AND type = Bug OR project = SHOP ORDER BY project, created`: "REL-2 SHOP-1",
		} {
			if got := w.keys(jql); got != want {
				t.Errorf("%s finds %q, not %q", jql, got, want)
			}
		}
		for jql, says := range map[string]string{
			`project = NONE`:                  "The value 'NONE' does not exist for the field 'project'",
			`colour = red`:                    "Field 'colour' does not exist",
			`key = REL-99`:                    "An issue with key 'REL-99' does not exist",
			`fixVersion = "7.0"`:              "'7.0' does not exist",
			`status = Dreaming`:               "'Dreaming' does not exist",
			`project = `:                      "Unexpected end",
			`project = REL AND`:               "Unexpected end",
			`(project = REL`:                  "Unexpected end",
			`project REL`:                     "Did not expect 'REL'",
			`project = REL ORDER BY nonsense`: "sort",
			`labels ~ x`:                      "not supported",
			`summary = x`:                     "not supported",
			`labels in x`:                     "needs a list",
			`labels is x`:                     "EMPTY",
			`labels = "x`:                     "not been completed",
			`labels = a@b`:                    "reserved",
			`created > soon`:                  "Date value 'soon'",
			`assignee = nobodyKnows()`:        "JQL function",
		} {
			path := "/search"
			if w.cloud {
				path = "/search/jql"
			}
			got := w.call(400, "POST", path, object{"jql": jql})
			if said, _ := at(got, "errorMessages.0").(string); !strings.Contains(said, says) {
				t.Errorf("%s: it says %v", jql, got)
			}
		}
	})
}

// Cloud's search has pages by token, no total, and nothing but IDs unless asked.
func TestEnhancedSearch(t *testing.T) {
	w := newWorld(t, jirafake.Options{})
	for range 7 {
		w.create(nil)
	}
	got := w.call(200, "POST", "/search/jql", object{"jql": "project = REL ORDER BY key", "maxResults": 3, "fields": []string{"summary"}})
	keys, pages := []string{}, 0
	for {
		pages++
		for _, i := range got["issues"].([]any) {
			keys = append(keys, i.(object)["key"].(string))
		}
		if got["total"] != nil {
			t.Error("there is a total")
		}
		token, more := got["nextPageToken"].(string)
		if more == got["isLast"].(bool) {
			t.Fatalf("a token and the last page, or neither: %v", got)
		}
		if !more {
			break
		}
		w.create(nil) // what is made meanwhile moves nothing
		got = w.call(200, "GET", "/search/jql?fields=summary&maxResults=3&jql="+url.QueryEscape("project = REL ORDER BY key")+"&nextPageToken="+url.QueryEscape(token), nil)
	}
	if pages != 3 || fmt.Sprint(keys) != "[REL-1 REL-2 REL-3 REL-4 REL-5 REL-6 REL-7]" {
		t.Errorf("%d pages: %v", pages, keys)
	}
	bare := w.call(200, "POST", "/search/jql", object{"jql": "project = REL"})
	if i := at(bare, "issues.0").(object); len(i) != 1 || i["id"] == nil {
		t.Errorf("without fields an issue is %v", i)
	}
	w.call(400, "POST", "/search/jql", object{"jql": "ORDER BY key"})
	w.call(400, "POST", "/search/jql", object{"jql": ""})
	w.call(400, "POST", "/search/jql", object{"jql": "project = REL", "nextPageToken": "none"})
	w.same(w.call(200, "POST", "/search/approximate-count", object{"jql": "project = REL"}), "count", 9)

	// Both of the removed ones are gone.
	w.client = w.Client()
	for _, path := range []string{"/rest/api/3/search?jql=project=REL", "/rest/api/2/search?jql=project=REL"} {
		r, err := w.Request("ann", "GET", path)
		w.do(err)
		resp, err := w.client.Do(r)
		w.do(err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusGone {
			t.Errorf("%s: HTTP %d", path, resp.StatusCode)
		}
	}
	w.do(w.Deny("ann", "REL", jirafake.Browse))
	if n := len(w.call(200, "POST", "/search/jql", object{"jql": "key is not empty"})["issues"].([]any)); n != 0 {
		t.Errorf("%d issues are found that may not be seen", n)
	}
}

func TestDataCenterSearch(t *testing.T) {
	w := newWorld(t, jirafake.Options{Flavor: jirafake.DataCenter})
	for range 5 {
		w.create(nil)
	}
	got := w.call(200, "GET", "/search?startAt=3&maxResults=3&fields=status&jql="+url.QueryEscape("project = REL ORDER BY key"), nil)
	w.same(got, "total", 5)
	w.same(got, "startAt", 3)
	w.same(got, "issues.0.key", "REL-4")
	w.same(got, "issues.0.fields.summary", nil)
	w.same(w.call(200, "POST", "/search", object{"jql": ""}), "total", 5)
	w.call(404, "POST", "/search/jql", object{"jql": "project = REL"})
}

// Search learns of a change after the lag, a look by key at once.
func TestIndexLag(t *testing.T) {
	for _, flavor := range []jirafake.Flavor{jirafake.Cloud, jirafake.DataCenter} {
		t.Run(string(flavor), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, jirafake.Options{Flavor: flavor, IndexLag: 30 * time.Second})
				key := w.create(object{"labels": []string{"muster-1"}})
				w.call(200, "GET", "/issue/"+key, nil)
				if got := w.keys("labels = muster-1"); got != "" {
					t.Errorf("at once %q is found", got)
				}
				if flavor == jirafake.Cloud {
					i, _ := w.Issue(key)
					var id int
					fmt.Sscan(i.ID, &id)
					got := w.call(200, "POST", "/search/jql", object{"jql": "labels = muster-1", "reconcileIssues": []int{id}})
					w.same(got, "issues.0.id", i.ID)
				}
				time.Sleep(29 * time.Second)
				if got := w.keys("labels = muster-1"); got != "" {
					t.Errorf("after 29 s %q is found", got)
				}
				time.Sleep(time.Second)
				if got := w.keys("labels = muster-1"); got != key {
					t.Errorf("after 30 s %q is found", got)
				}
				w.do(w.SetLabel("bob", key, "muster-1", false))
				w.do(w.SetLabel("bob", key, "other", true))
				if got := w.keys("labels = muster-1"); got != key {
					t.Errorf("a change is known at once: %q", got)
				}
				time.Sleep(30 * time.Second)
				if got := w.keys("labels = muster-1"); got != "" {
					t.Errorf("a change is not known after 30 s: %q", got)
				}
				if got := w.keys("labels = other"); got != key {
					t.Errorf("a change is not known after 30 s: %q", got)
				}
				w.do(w.DeleteIssue("bob", key))
				if got := w.keys("labels = other"); got != "" {
					t.Errorf("a deleted issue is found: %q", got)
				}
			})
		})
	}
}

// Whatever is asked, there is an answer: what is found, or what is wrong.
func FuzzQuery(f *testing.F) {
	for _, jql := range []string{
		`project = REL AND labels = muster-1 ORDER BY created DESC`, `a in (b, "c\"d") or not (e ~ 'f' && g is not empty)`, `key >= REL-1`, `fixVersion in releasedVersions(REL)`,
		`created > -1w`, `((((`, `resolution is EMPTY order by`, `labels in x`, `due = "2026-01-01"`, `summary ~ "\"a b\""`,
	} {
		f.Add(jql)
	}
	f.Fuzz(func(t *testing.T, jql string) {
		j, err := jirafake.New(jirafake.Options{Flavor: jirafake.DataCenter})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		j.AddUser(jirafake.User{Name: "ann"})
		if err := j.AddProject(jirafake.Project{Key: "REL", Versions: []string{"1"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := j.AddIssue(jirafake.NewIssue{Project: "REL", Summary: "s", Labels: []string{"muster-1"}}); err != nil {
			t.Fatal(err)
		}
		r, err := j.Request("ann", "GET", "/rest/api/2/search?jql="+url.QueryEscape(jql))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := j.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 && resp.StatusCode != 400 {
			t.Errorf("%q: HTTP %d", jql, resp.StatusCode)
		}
	})
}
