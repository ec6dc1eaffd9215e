package jirafake_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/muster-release/muster/integrations/jira/jirafake"
)

func TestCreateEditDelete(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.do(w.AddField(jirafake.CustomField{ID: "customfield_10050", Name: "Run", Type: "string"}))
		key := w.create(object{
			"summary": "Release 4711", "description": w.rich("plan of 4711"), "labels": []string{"muster-4711", "train"}, "priority": object{"name": "High"},
			"components": []any{object{"name": "cart"}}, "fixVersions": []any{object{"name": "1.0"}}, "customfield_10050": "4711", "duedate": "2026-03-01",
		})
		got := w.call(200, "GET", "/issue/"+key, nil)
		w.same(got, "key", "REL-1")
		w.same(got, "fields.summary", "Release 4711")
		w.same(got, "fields.status.name", "Planned")
		w.same(got, "fields.status.statusCategory.key", "new")
		w.same(got, "fields.priority.name", "High")
		w.same(got, "fields.labels", []string{"muster-4711", "train"})
		w.same(got, "fields.fixVersions.0.name", "1.0")
		w.same(got, "fields.components.0.name", "cart")
		w.same(got, "fields.customfield_10050", "4711")
		w.same(got, "fields.resolution", nil)
		w.same(got, "fields.description", w.rich("plan of 4711"))
		w.same(got, "fields.reporter.displayName", "Ann Moreau")
		if w.cloud {
			w.same(got, "fields.reporter.accountId", w.ann.AccountID)
			w.same(got, "fields.reporter.name", nil)
		} else {
			w.same(got, "fields.reporter.name", "ann")
			w.same(got, "fields.reporter.accountId", nil)
		}

		w.call(204, "PUT", "/issue/"+key, object{
			"fields": object{"summary": "Release 4711, again"},
			"update": object{"labels": []any{object{"add": "late"}, object{"remove": "train"}}, "fixVersions": []any{object{"add": object{"name": "1.1"}}}},
		})
		got = w.call(200, "GET", "/issue/"+key+"?fields=summary,labels,fixVersions&expand=changelog", nil)
		w.same(got, "fields.labels", []string{"late", "muster-4711"})
		w.same(got, "fields.fixVersions.1.name", "1.1")
		w.same(got, "fields.status", nil)
		w.same(got, "changelog.total", 1)
		w.same(got, "changelog.histories.0.author.displayName", "Ann Moreau")
		var changed []string
		for _, i := range at(got, "changelog.histories.0.items").([]any) {
			changed = append(changed, i.(object)["field"].(string))
		}
		slices.Sort(changed)
		if strings.Join(changed, ",") != "Fix Version,labels,summary" {
			t.Errorf("the history has %q", changed)
		}
		if w.cloud {
			page := w.call(200, "GET", "/issue/"+key+"/changelog", nil)
			w.same(page, "total", 1)
			w.same(page, "values.0.items.0.fieldId", "summary")
			back := w.call(200, "PUT", "/issue/"+key+"?returnIssue=true", object{"fields": object{"summary": "x"}})
			w.same(back, "fields.summary", "x")
		}

		w.call(204, "DELETE", "/issue/"+key, nil)
		w.call(404, "GET", "/issue/"+key, nil)
		if key := w.create(nil); key != "REL-2" {
			t.Errorf("a number was given twice: %s", key)
		}
	})
}

// What is wrong in a request is said field by field, and nothing is done.
func TestCreateRefused(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.do(w.AddProject(jirafake.Project{Key: "STRICT", Required: []string{"components"}, Hidden: []string{"environment"}}))
		base := func(change object) object {
			o := object{"project": object{"key": "REL"}, "issuetype": object{"name": "Release"}, "summary": "s"}
			for k, v := range change {
				if o[k] = v; v == nil {
					delete(o, k)
				}
			}
			return object{"fields": o}
		}
		for _, one := range []struct {
			name  string
			body  object
			field string
			says  string
		}{
			{"no project", base(object{"project": nil}), "project", "valid project"},
			{"unknown project", base(object{"project": object{"key": "NONE"}}), "project", "project is required"},
			{"no type", base(object{"issuetype": nil}), "issuetype", "issue type"},
			{"unknown type", base(object{"issuetype": object{"name": "Dream"}}), "issuetype", "valid issue type"},
			{"no summary", base(object{"summary": nil}), "summary", "summary of the issue"},
			{"long summary", base(object{"summary": strings.Repeat("a", 256)}), "summary", "255"},
			{"two lines", base(object{"summary": "a\nb"}), "summary", "newline"},
			{"unknown field", base(object{"customfield_1": "x"}), "customfield_1", "cannot be set"},
			{"status", base(object{"status": object{"name": "Released"}}), "status", "cannot be set"},
			{"resolution", base(object{"resolution": object{"name": "Done"}}), "resolution", "cannot be set"},
			{"label with a space", base(object{"labels": []string{"a b"}}), "labels", "contains spaces"},
			{"unknown version", base(object{"fixVersions": []any{object{"name": "9"}}}), "fixVersions", "'9' is not valid"},
			{"unknown component", base(object{"components": []any{object{"name": "x"}}}), "components", "not valid"},
			{"component as a string", base(object{"components": []any{"cart"}}), "components", "object"},
			{"unknown priority", base(object{"priority": object{"name": "Now"}}), "priority", "invalid"},
			{"unknown assignee", base(object{"assignee": object{"accountId": "x", "name": "x"}}), "assignee", "cannot be assigned"},
			{"wrong day", base(object{"duedate": "soon"}), "duedate", "date"},
			{"required field", base(object{"project": object{"key": "STRICT"}}), "components", "required"},
			{"hidden field", base(object{"project": object{"key": "STRICT"}, "environment": w.rich("x")}), "environment", "cannot be set"},
			{"long text", base(object{"description": w.rich(strings.Repeat("a", 32768))}), "description", map[bool]string{true: "CONTENT_LIMIT_EXCEEDED", false: "32,767"}[w.cloud]},
			{"the other kind of text", base(object{"description": map[bool]any{true: "text", false: doc("text")}[w.cloud]}), "description", "Operation value must be"},
		} {
			t.Run(one.name, func(t *testing.T) {
				got := w.call(400, "POST", "/issue", one.body)
				if said, _ := at(got, "errors").(object)[one.field].(string); !strings.Contains(said, one.says) {
					t.Errorf("it says %v", got)
				}
			})
		}
		if n := len(w.Issues()); n != 0 {
			t.Errorf("%d issues were made", n)
		}
		key := w.create(nil)
		w.call(400, "PUT", "/issue/"+key, object{"fields": object{"summary": "x", "nonsense": 1}})
		w.call(400, "PUT", "/issue/"+key, object{"fields": object{"labels": []string{"x"}}, "update": object{"labels": []any{object{"add": "y"}}}})
		w.call(400, "PUT", "/issue/"+key, object{"update": object{"summary": []any{object{"add": "y"}}}})
		if i, _ := w.Issue(key); i.Summary != "Release 1" || len(i.Labels) != 0 {
			t.Errorf("a refused edit did something: %+v", i)
		}
	})
}

func TestTransitions(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		key := w.create(nil)
		names := func() string {
			var all []string
			for _, one := range w.call(200, "GET", "/issue/"+key+"/transitions", nil)["transitions"].([]any) {
				all = append(all, one.(object)["name"].(string)+">"+at(one, "to.name").(string))
			}
			return strings.Join(all, ", ")
		}
		id := func(name string) string {
			for _, one := range w.call(200, "GET", "/issue/"+key+"/transitions", nil)["transitions"].([]any) {
				if one.(object)["name"] == name {
					return one.(object)["id"].(string)
				}
			}
			t.Fatalf("no transition %q", name)
			return ""
		}
		if got := names(); got != "Ask for approval>Awaiting Approval, Start release>Releasing, Cancel>Cancelled" {
			t.Errorf("there are %s", got)
		}
		w.call(400, "POST", "/issue/"+key+"/transitions", object{"transition": object{"id": "31"}}) // not from here
		w.call(400, "POST", "/issue/"+key+"/transitions", object{})
		w.call(204, "POST", "/issue/"+key+"/transitions", object{"transition": object{"id": id("Start release")}})
		fields := w.call(200, "GET", "/issue/"+key+"/transitions?expand=transitions.fields&transitionId="+id("Release"), nil)
		w.same(fields, "transitions.0.fields.resolution.required", true)
		w.same(fields, "transitions.0.fields.resolution.allowedValues.0.name", "Done")
		w.same(fields, "transitions.0.fields.fixVersions.required", false)

		got := w.call(400, "POST", "/issue/"+key+"/transitions", object{"transition": object{"id": id("Release")}})
		w.same(got, "errors.resolution", "Resolution is required.")
		w.call(400, "POST", "/issue/"+key+"/transitions", object{"transition": object{"id": id("Release")}, "fields": object{"resolution": object{"name": "Done"}, "summary": "not on the screen"}})
		w.call(204, "POST", "/issue/"+key+"/transitions", object{
			"transition": object{"id": id("Release")}, "fields": object{"resolution": object{"name": "Done"}, "fixVersions": []any{object{"name": "1.0"}}},
			"update": object{"comment": []any{object{"add": object{"body": w.rich("it is out")}}}},
		})
		i, _ := w.Issue(key)
		if i.Status != "Released" || i.Category != "done" || i.Resolution != "Done" || i.FixVersions[0] != "1.0" || i.Comments[0].Text != "it is out" {
			t.Errorf("it is %+v", i)
		}
		w.do(w.Move("bob", key, "Reopen", nil))
		if i, _ = w.Issue(key); i.Status != "Planned" || i.Resolution != "" {
			t.Errorf("reopened, it is %+v", i)
		}
		last := i.History[len(i.History)-1]
		if last.By != "bob" || last.Field != "status" || last.From != "Released" || last.To != "Planned" {
			t.Errorf("the last change is %+v", last)
		}
		if err := w.Move("bob", key, "Release", nil); err == nil || !strings.Contains(err.Error(), "Start release") {
			t.Errorf("a transition that is not there: %v", err)
		}
	})
}

// Conditions hide a transition from who may not make it.
func TestTransitionConditions(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.do(w.AddProject(jirafake.Project{Key: "GATE", Workflow: &jirafake.Workflow{
			Statuses: []jirafake.Status{{Name: "Open", Category: "new"}, {Name: "Approved", Category: "indeterminate"}, {Name: "Closed", Category: "done"}},
			Transitions: []jirafake.Step{
				{Name: "Approve", From: []string{"Open"}, To: "Approved", Only: []string{"bob"}},
				{Name: "Close", To: "Closed", Resolve: "Done", If: func(i jirafake.Issue) bool { return len(i.Labels) > 0 }},
			},
		}}))
		_, err := w.AddIssue(jirafake.NewIssue{Project: "GATE", Summary: "may it?"})
		w.do(err)
		if n := len(w.call(200, "GET", "/issue/GATE-1/transitions", nil)["transitions"].([]any)); n != 0 {
			t.Errorf("ann is offered %d", n)
		}
		w.call(400, "POST", "/issue/GATE-1/transitions", object{"transition": object{"id": "11"}})
		w.callAs(w.bob, 204, "POST", "/issue/GATE-1/transitions", object{"transition": object{"id": "11"}})
		w.do(w.SetLabel("ann", "GATE-1", "ok", true))
		w.do(w.Move("ann", "GATE-1", "Closed", nil))
		if i, _ := w.Issue("GATE-1"); i.Status != "Closed" || i.Resolution != "Done" {
			t.Errorf("it is %+v", i)
		}
		w.do(w.Deny("ann", "GATE", jirafake.Transition))
		if n := len(w.call(200, "GET", "/issue/GATE-1/transitions", nil)["transitions"].([]any)); n != 0 {
			t.Errorf("without the permission %d are offered", n)
		}
	})
}

func TestComments(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		key := w.create(nil)
		id := w.call(201, "POST", "/issue/"+key+"/comment", object{
			"body": w.rich("approved by Ann"), "properties": []any{object{"key": "muster", "value": object{"run": 7}}},
		})["id"].(string)
		for range 4 {
			_, err := w.Comment("bob", key, "me too")
			w.do(err)
		}
		page := w.call(200, "GET", "/issue/"+key+"/comment?startAt=1&maxResults=2", nil)
		w.same(page, "total", 5)
		w.same(page, "startAt", 1)
		if n := len(page["comments"].([]any)); n != 2 {
			t.Errorf("the page has %d", n)
		}
		w.same(page, "comments.0.author.displayName", "Bob Okafor")
		newest := w.call(200, "GET", "/issue/"+key+"/comment?orderBy=-created&maxResults=1", nil)
		if at(newest, "comments.0.id") == id {
			t.Error("the newest is the first")
		}
		w.same(w.call(200, "GET", "/issue/"+key+"/comment?expand=properties", nil), "comments.0.properties.0.value.run", 7)
		w.same(w.call(200, "GET", "/comment/"+id+"/properties/muster", nil), "value.run", 7)
		w.call(200, "PUT", "/comment/"+id+"/properties/muster", object{"run": 8})
		w.call(201, "PUT", "/comment/"+id+"/properties/other", "x")
		bare := w.call(201, "POST", "/issue/"+key+"/comment", object{"body": w.rich("to be removed")})["id"].(string)
		w.call(201, "PUT", "/comment/"+bare+"/properties/late", "y")
		w.call(204, "DELETE", "/issue/"+key+"/comment/"+bare, nil)
		w.same(w.call(200, "GET", "/comment/"+id+"/properties", nil), "keys.1.key", "other")

		w.same(w.call(200, "PUT", "/issue/"+key+"/comment/"+id, object{"body": w.rich("taken back")}), "body", w.rich("taken back"))
		w.same(w.call(200, "GET", "/issue/"+key+"/comment/"+id, nil), "body", w.rich("taken back"))
		w.do(w.Deny("bob", "REL", jirafake.EditAll))
		w.callAs(w.bob, 400, "PUT", "/issue/"+key+"/comment/"+id, object{"body": w.rich("not mine")})
		w.call(400, "POST", "/issue/"+key+"/comment", object{"body": w.rich(strings.Repeat("a", 32768))})
		w.call(400, "POST", "/issue/"+key+"/comment", object{"body": map[bool]any{true: "text", false: doc("x")}[w.cloud]})
		w.call(404, "GET", "/issue/"+key+"/comment/1", nil)
		w.call(204, "DELETE", "/issue/"+key+"/comment/"+id, nil)
		w.same(w.call(200, "GET", "/issue/"+key+"/comment", nil), "total", 4)
	})
}

func TestPropertiesAndLinks(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		key, other := w.create(nil), w.create(nil)
		w.call(404, "GET", "/issue/"+key+"/properties/muster", nil)
		w.call(201, "PUT", "/issue/"+key+"/properties/muster", object{"run": "7", "heads": []string{"a"}})
		w.call(200, "PUT", "/issue/"+key+"/properties/muster", object{"run": "8"})
		w.same(w.call(200, "GET", "/issue/"+key+"/properties/muster", nil), "value.run", "8")
		w.same(w.call(200, "GET", "/issue/"+key+"/properties", nil), "keys.0.key", "muster")
		w.same(w.call(200, "GET", "/issue/"+key+"?properties=muster&fields=summary", nil), "properties.muster.run", "8")
		w.call(400, "PUT", "/issue/"+key+"/properties/big", strings.Repeat("a", 32800))
		w.call(204, "DELETE", "/issue/"+key+"/properties/muster", nil)
		w.call(404, "GET", "/issue/"+key+"/properties/muster", nil)

		// Remote links: one for each global ID.
		remote := func(title string) object {
			return object{"globalId": "system=muster&id=7/cart", "relationship": "released with", "application": object{"type": "muster", "name": "Muster"},
				"object": object{"url": "https://git.example/1", "title": title, "status": object{"resolved": true}}}
		}
		first := w.call(201, "POST", "/issue/"+key+"/remotelink", remote("one"))
		again := w.call(200, "POST", "/issue/"+key+"/remotelink", remote("two"))
		if first["id"] != again["id"] {
			t.Errorf("two links: %v and %v", first, again)
		}
		w.call(201, "POST", "/issue/"+key+"/remotelink", object{"object": object{"url": "https://git.example/2", "title": "without ID"}})
		if n := len(w.call(200, "GET", "/issue/"+key+"/remotelink", nil)["list"].([]any)); n != 2 {
			t.Errorf("%d remote links", n)
		}
		one := w.call(200, "GET", "/issue/"+key+"/remotelink?globalId=system%3Dmuster%26id%3D7%2Fcart", nil)
		w.same(one, "object.title", "two")
		w.same(one, "relationship", "released with")
		w.call(400, "POST", "/issue/"+key+"/remotelink", object{"object": object{"url": "nowhere", "title": "x"}})
		if i, _ := w.Issue(key); i.RemoteLinks[0].Title != "two" || !i.RemoteLinks[0].Resolved {
			t.Errorf("it has %+v", i.RemoteLinks)
		}

		// Issue links: the same twice is one.
		types := w.call(200, "GET", "/issueLinkType", nil)
		w.same(types, "issueLinkTypes.0.outward", "blocks")
		blocks := object{"type": object{"name": "Blocks"}, "inwardIssue": object{"key": key}, "outwardIssue": object{"key": other}}
		w.call(201, "POST", "/issueLink", blocks)
		w.call(201, "POST", "/issueLink", blocks)
		from := w.call(200, "GET", "/issue/"+key+"?fields=issuelinks", nil)
		if n := len(at(from, "fields.issuelinks").([]any)); n != 1 {
			t.Errorf("%d links", n)
		}
		w.same(from, "fields.issuelinks.0.outwardIssue.key", other)
		w.same(w.call(200, "GET", "/issue/"+other+"?fields=issuelinks", nil), "fields.issuelinks.0.inwardIssue.key", key)
		link := at(from, "fields.issuelinks.0.id").(string)
		w.same(w.call(200, "GET", "/issueLink/"+link, nil), "type.inward", "is blocked by")
		w.call(404, "POST", "/issueLink", object{"type": object{"name": "Loves"}, "inwardIssue": object{"key": key}, "outwardIssue": object{"key": other}})
		w.call(404, "POST", "/issueLink", object{"type": object{"name": "Blocks"}, "inwardIssue": object{"key": key}, "outwardIssue": object{"key": "REL-99"}})
		w.call(204, "DELETE", "/issueLink/"+link, nil)
		w.call(204, "PUT", "/issue/"+key, object{"update": object{"issuelinks": []any{object{"add": object{"type": object{"name": "Relates"}, "outwardIssue": object{"key": other}}}}}})
		if i, _ := w.Issue(key); len(i.Links) != 1 || i.Links[0].Target != other || i.Links[0].Outward != "relates to" {
			t.Errorf("it has %+v", i.Links)
		}
	})
}

func TestVersions(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		made := w.call(201, "POST", "/version", object{"name": "2.0", "project": "REL", "description": "train 2", "startDate": "2026-01-01"})
		id := made["id"].(string)
		w.same(made, "released", false)
		w.call(400, "POST", "/version", object{"name": "2.0", "project": "REL"})
		w.call(400, "POST", "/version", object{"name": "", "project": "REL"})
		w.call(404, "POST", "/version", object{"name": "3", "project": "NONE"})
		w.create(object{"fixVersions": []any{object{"id": id}}})
		key := w.create(object{"fixVersions": []any{object{"name": "2.0"}}})
		w.do(w.Move("ann", key, "Cancel", object{"resolution": object{"name": "Won't Do"}}))
		w.same(w.call(200, "GET", "/version/"+id+"/relatedIssueCounts", nil), "issuesFixedCount", 2)
		w.same(w.call(200, "GET", "/version/"+id+"/unresolvedIssueCount", nil), "issuesUnresolvedCount", 1)
		got := w.call(200, "PUT", "/version/"+id, object{"released": true, "releaseDate": "2026-02-01"})
		w.same(got, "released", true)
		w.same(got, "name", "2.0")
		w.same(w.call(200, "GET", "/version/"+id, nil), "releaseDate", "2026-02-01")
		w.call(400, "PUT", "/version/"+id, object{"releaseDate": "2025-01-01"})
		if n := len(w.call(200, "GET", "/project/REL/versions", nil)["list"].([]any)); n != 3 {
			t.Errorf("%d versions", n)
		}
		page := w.call(200, "GET", "/project/REL/version?status=released&maxResults=1", nil)
		w.same(page, "total", 1)
		w.same(page, "values.0.name", "2.0")
		w.do(w.Deny("bob", "REL", jirafake.ManageProject))
		w.callAs(w.bob, map[bool]int{true: 404, false: 403}[w.cloud], "PUT", "/version/"+id, object{"released": false})
		w.do(w.ReleaseVersion("REL", "1.0"))
		if v := w.Versions("REL"); !v[0].Released || v[0].ReleaseDate == "" {
			t.Errorf("it is %+v", v[0])
		}
		w.same(w.call(200, "GET", "/version/"+id, nil), "projectId", at(made, "projectId"))
	})
}

func TestSiteAndProjects(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.same(w.call(200, "GET", "/serverInfo", nil), "deploymentType", map[bool]string{true: "Cloud", false: "Server"}[w.cloud])
		me := w.call(200, "GET", "/myself", nil)
		w.same(me, "displayName", "Ann Moreau")
		w.same(me, "emailAddress", "ann@example.com")
		w.same(w.call(200, "GET", "/project/REL", nil), "components.1.name", "web")
		w.same(w.call(200, "GET", "/project/REL/components", nil), "list.0.name", "cart")
		w.same(w.call(200, "GET", "/project", nil), "list.1.key", "SHOP")
		w.same(w.call(200, "GET", "/project/REL/statuses", nil), "list.0.statuses.3.name", "Released")
		w.same(w.call(200, "GET", "/priority", nil), "list.1.name", "High")
		w.same(w.call(200, "GET", "/resolution", nil), "list.0.name", "Done")
		w.same(w.call(200, "GET", "/statuscategory", nil), "list.2.key", "done")
		w.same(w.call(200, "GET", "/status/Released", nil), "statusCategory.key", "done")
		w.call(200, "GET", "/status", nil)
		w.call(200, "GET", "/issuetype", nil)
		w.call(200, "GET", "/field", nil)
		w.call(404, "GET", "/project/NONE", nil)

		types := w.call(200, "GET", "/issue/createmeta/REL/issuetypes?maxResults=2", nil)
		w.same(types, "total", 5)
		list := map[bool]string{true: "issueTypes", false: "values"}[w.cloud]
		if n := len(types[list].([]any)); n != 2 {
			t.Errorf("the page has %d", n)
		}
		id := at(types, list+".0.id").(string)
		meta := w.call(200, "GET", "/issue/createmeta/REL/issuetypes/"+id+"?maxResults=200", nil)
		required := map[string]bool{}
		for _, f := range meta[map[bool]string{true: "fields", false: "values"}[w.cloud]].([]any) {
			required[f.(object)["fieldId"].(string)] = f.(object)["required"].(bool)
		}
		if !required["summary"] || !required["project"] || required["labels"] {
			t.Errorf("required are %v", required)
		}
		if _, on := required["resolution"]; on {
			t.Error("the resolution is on the screen for creating")
		}
		w.create(nil)
		w.same(w.call(200, "GET", "/issue/REL-1/editmeta", nil), "fields.summary.required", true)
		if w.cloud {
			w.same(w.call(200, "GET", "/project/search?query=rel", nil), "values.0.key", "REL")
			w.call(200, "GET", "/priority/search", nil)
			w.call(200, "GET", "/resolution/search", nil)
			w.create(object{"labels": []string{"b", "a"}})
			w.same(w.call(200, "GET", "/label", nil), "values", []string{"a", "b"})
		}
	})
}

func TestPeopleAndPermissions(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		key := w.create(nil)
		hidden := w.AddUser(jirafake.User{Name: "cy", DisplayName: "Cy Adler", HideEmail: true})
		find := func(word string) int {
			path := "/user/search?query=" + word
			if !w.cloud {
				path = "/user/search?username=" + word
			}
			return len(w.call(200, "GET", path, nil)["list"].([]any))
		}
		if find("mor") != 1 || find("bob@example.com") != 1 || find("cy@example.com") != 0 || find("cy") != 1 || find("zz") != 0 {
			t.Error("people are not found by beginnings of names and shown addresses alone")
		}
		one := "/user?username=cy"
		if w.cloud {
			one = "/user?accountId=" + hidden.AccountID
		}
		got := w.call(200, "GET", one, nil)
		w.same(got, "displayName", "Cy Adler")
		w.same(got, "emailAddress", nil)
		w.call(404, "GET", map[bool]string{true: "/user?accountId=none", false: "/user?username=none"}[w.cloud], nil)

		to := object{"name": "bob"}
		if w.cloud {
			to = object{"accountId": w.bob.AccountID}
		}
		w.call(204, "PUT", "/issue/"+key+"/assignee", to)
		if i, _ := w.Issue(key); i.Assignee != "bob" {
			t.Errorf("it is %q's", i.Assignee)
		}
		w.do(w.Deny("bob", "REL", jirafake.Assignable))
		w.call(400, "PUT", "/issue/"+key+"/assignee", to)
		query := map[bool]string{true: "query", false: "username"}[w.cloud]
		if n := len(w.call(200, "GET", "/user/assignable/search?project=REL&"+query+"=b", nil)["list"].([]any)); n != 0 {
			t.Error("bob is assignable")
		}

		mine := func(u jirafake.User, p jirafake.Permission) any {
			got := w.callAs(u, 200, "GET", "/mypermissions?projectKey=REL&permissions="+string(p), nil)
			return at(got, "permissions."+string(p)+".havePermission")
		}
		for _, one := range []struct {
			may    jirafake.Permission
			status int
			method string
			path   string
			body   any
		}{
			{jirafake.EditIssues, 403, "PUT", "/issue/" + key, object{"fields": object{"summary": "x"}}},
			{jirafake.DeleteIssues, 403, "DELETE", "/issue/" + key, nil},
			{jirafake.AssignIssues, 403, "PUT", "/issue/" + key + "/assignee", to},
			{jirafake.AddComments, 400, "POST", "/issue/" + key + "/comment", object{"body": w.rich("x")}},
			{jirafake.CreateIssues, 403, "POST", "/issue", object{"fields": object{"project": object{"key": "REL"}, "issuetype": object{"name": "Task"}, "summary": "x"}}},
			{jirafake.LinkIssues, 403, "POST", "/issue/" + key + "/remotelink", object{"object": object{"url": "https://x.example", "title": "x"}}},
			{jirafake.Browse, 404, "GET", "/issue/" + key, nil},
		} {
			if mine(w.bob, one.may) != true {
				t.Errorf("%s is not given", one.may)
			}
			w.do(w.Deny("bob", "REL", one.may))
			w.callAs(w.bob, one.status, one.method, one.path, one.body)
			if one.may != jirafake.Browse && mine(w.bob, one.may) != false {
				t.Errorf("%s is given still", one.may)
			}
			w.do(w.Allow("bob", "REL", one.may))
		}

		for _, header := range []string{"", "Basic bm9ib2R5Om5v", "Bearer none", "Basic !"} {
			r, err := w.Request("ann", "GET", w.api("/myself"))
			w.do(err)
			r.Header.Set("Authorization", header)
			resp, err := w.client.Do(r)
			w.do(err)
			resp.Body.Close()
			if resp.StatusCode != 401 {
				t.Errorf("with %q: HTTP %d", header, resp.StatusCode)
			}
		}
		w.do(w.Revoke("ann"))
		w.call(401, "GET", "/myself", nil)
	})
}
