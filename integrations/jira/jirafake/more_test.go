package jirafake_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/andygrunwald/go-jira"

	"github.com/muster-release/muster/integrations/jira/jirafake"
)

// go-jira's own services speak /rest/api/2, so that they work with Data Center.
func TestGoJiraServices(t *testing.T) {
	w := newWorld(t, jirafake.Options{Flavor: jirafake.DataCenter})
	w.client.Transport = authed{&world{Jira: w.Jira, client: w.Jira.Client()}, w.ann}
	c, err := jira.NewClient(w.client, w.URL())
	w.do(err)
	made, _, err := c.Issue.Create(&jira.Issue{Fields: &jira.IssueFields{
		Project: jira.Project{Key: "REL"}, Type: jira.IssueType{Name: "Task"}, Summary: "by the library", Labels: []string{"x"},
	}})
	w.do(err)
	_, _, err = c.Issue.AddComment(made.Key, &jira.Comment{Body: "hello"})
	w.do(err)
	transitions, _, err := c.Issue.GetTransitions(made.Key)
	w.do(err)
	_, err = c.Issue.DoTransition(made.Key, transitions[0].ID)
	w.do(err)
	found, _, err := c.Issue.Search("labels = x", nil)
	w.do(err)
	if len(found) != 1 || found[0].Fields.Status.Name != "Awaiting Approval" {
		t.Errorf("found %+v", found)
	}
	me, _, err := c.User.GetSelf()
	w.do(err)
	p, _, err := c.Project.Get("REL")
	w.do(err)
	if me.Name != "ann" || p.Versions[1].Name != "1.1" {
		t.Errorf("%q, %+v", me.Name, p.Versions)
	}
}

func TestCustomFields(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for n, kind := range []string{"string", "text", "number", "date", "option", "labels", "any"} {
			w.do(w.AddField(jirafake.CustomField{ID: fmt.Sprintf("customfield_%d", 10060+n), Name: "The " + kind, Type: kind}))
		}
		if w.AddField(jirafake.CustomField{ID: "customfield_10060", Type: "string"}) == nil || w.AddField(jirafake.CustomField{ID: "customfield_1", Type: "dream"}) == nil {
			t.Error("a field was taken twice, or one of no type")
		}
		good := object{
			"customfield_10060": "s", "customfield_10061": w.rich("text"), "customfield_10062": 3.5, "customfield_10063": "2026-01-31", "customfield_10064": object{"value": "red"},
			"customfield_10065": []string{"b", "a"}, "customfield_10066": object{"any": true},
		}
		key := w.create(good)
		got := w.call(200, "GET", "/issue/"+key+"?fields=*all", nil)
		for id, value := range good {
			w.same(got, "fields."+id, value)
		}
		for id, bad := range map[string]any{
			"customfield_10060": 3, "customfield_10061": 3, "customfield_10062": "three", "customfield_10063": "31.1.2026", "customfield_10064": "red", "customfield_10065": []string{"a b"},
		} {
			said := w.call(400, "PUT", "/issue/"+key, object{"fields": object{id: bad}})
			if at(said, "errors").(object)[id] == nil {
				t.Errorf("%s: %v says %v", id, bad, said)
			}
		}
		w.call(204, "PUT", "/issue/"+key, object{"fields": object{"customfield_10064": nil}})
		w.same(w.call(200, "GET", "/issue/"+key, nil), "fields.customfield_10064", nil)
		i, _ := w.Issue(key)
		if last := i.History[len(i.History)-1]; last.Field != "The option" || last.From != "red" || last.To != "" {
			t.Errorf("the last change is %+v", last)
		}
	})
}

func TestRemoteLinksByID(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		key := w.create(nil)
		link := func(global, title string) object {
			return object{"globalId": global, "object": object{"url": "https://x.example", "title": title}}
		}
		id := fmt.Sprint(w.call(201, "POST", "/issue/"+key+"/remotelink", link("a", "one"))["id"])
		w.call(201, "POST", "/issue/"+key+"/remotelink", link("b", "two"))
		w.call(204, "PUT", "/issue/"+key+"/remotelink/"+id, link("a", "three"))
		w.same(w.call(200, "GET", "/issue/"+key+"/remotelink/"+id, nil), "object.title", "three")
		w.call(204, "DELETE", "/issue/"+key+"/remotelink/"+id, nil)
		w.call(404, "GET", "/issue/"+key+"/remotelink/"+id, nil)
		w.call(204, "DELETE", "/issue/"+key+"/remotelink?globalId=b", nil)
		w.call(404, "DELETE", "/issue/"+key+"/remotelink?globalId=b", nil)
		if i, _ := w.Issue(key); len(i.RemoteLinks) != 0 {
			t.Errorf("left are %+v", i.RemoteLinks)
		}
	})
}

func TestParentsAndMovedVersions(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		top := w.create(nil)
		key := w.create(object{"parent": object{"key": top}, "fixVersions": []any{object{"name": "1.0"}}})
		w.same(w.call(200, "GET", "/issue/"+key, nil), "fields.parent.key", top)
		if _, shown := at(w.call(200, "GET", "/issue/"+top, nil), "fields").(object)["parent"]; shown {
			t.Error("an issue without a parent shows one")
		}
		if got := w.keys("parent = " + top); got != key {
			t.Errorf("found %q", got)
		}
		w.call(400, "PUT", "/issue/"+key, object{"fields": object{"parent": object{"key": "REL-99"}}})

		versions := w.Versions("REL")
		w.call(200, "PUT", "/version/"+versions[0].ID, object{"released": true, "moveUnfixedIssuesTo": w.URL() + w.api("/version/"+versions[1].ID)})
		i, _ := w.Issue(key)
		if strings.Join(i.FixVersions, ",") != "1.1" {
			t.Errorf("it is fixed in %q", i.FixVersions)
		}
		if last := i.History[len(i.History)-1]; last.Field != "Fix Version" || last.From != "1.0" || last.To != "1.1" {
			t.Errorf("the last change is %+v", last)
		}
		w.do(w.SetDescription("bob", key, "new\ntext"))
		if i, _ = w.Issue(key); !strings.HasPrefix(i.Description, "new") {
			t.Errorf("it says %q", i.Description)
		}
	})
}

func TestControlRefuses(t *testing.T) {
	w := newWorld(t, jirafake.Options{})
	key := w.create(nil)
	_, addErr := w.AddIssue(jirafake.NewIssue{Project: "NONE", Summary: "x"})
	_, fieldErr := w.AddIssue(jirafake.NewIssue{Project: "REL"})
	_, commentErr := w.Comment("ann", "REL-99", "x")
	_, versionErr := w.AddVersion("REL", "1.0")
	for what, err := range map[string]error{
		"project": addErr, "no summary": fieldErr, "comment": commentErr, "version": versionErr,
		"again":      w.AddProject(jirafake.Project{Key: "REL"}),
		"nowhere":    w.AddProject(jirafake.Project{Key: "X", Workflow: &jirafake.Workflow{Statuses: []jirafake.Status{{Name: "A", Category: "new"}}, Transitions: []jirafake.Step{{Name: "go", To: "B"}}}}),
		"nobody":     w.Move("nobody", key, "Cancel", nil),
		"no field":   w.Move("ann", key, "Cancel", nil),
		"edit":       w.EditField("ann", key, "nonsense", 1),
		"label":      w.SetLabel("ann", key, "a b", true),
		"link":       w.LinkIssues("ann", "Blocks", key, key),
		"release":    w.ReleaseVersion("REL", "9"),
		"redelivery": w.Redeliver(1),
		"base URL":   w.SetBaseURL("nowhere"),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "jirafake: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := jirafake.New(jirafake.Options{Flavor: "server"}); err == nil {
		t.Error("a third flavor")
	}
}

func TestSetIndexLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, jirafake.Options{})
		w.SetIndexLag(time.Hour)
		w.create(object{"labels": []string{"x"}})
		time.Sleep(time.Minute)
		if got := w.keys("labels = x"); got != "" {
			t.Errorf("found %q", got)
		}
		w.SetIndexLag(time.Minute)
		if got := w.keys("labels = x"); got != "REL-1" {
			t.Errorf("found %q", got)
		}
	})
}

func TestConcurrently(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		l := &listener{}
		w.AddWebhook(jirafake.Webhook{URL: "https://muster.example/hook", Send: l.send})
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				for range 5 {
					key := w.create(object{"labels": []string{fmt.Sprintf("run-%d", n)}})
					w.call(201, "POST", "/issue/"+key+"/comment", object{"body": w.rich("x")})
					w.call(201, "PUT", "/issue/"+key+"/properties/a", object{"b": n})
					w.call(200, "GET", "/issue/"+key+"?properties=a", nil)
					w.keys(fmt.Sprintf("labels = run-%d", n))
					w.Issues()
				}
			})
		}
		all.Wait()
		wait(t, w)
		seen := map[string]bool{}
		for _, i := range w.Issues() {
			seen[i.Key] = true
		}
		if len(seen) != 40 {
			t.Errorf("%d keys for 40 issues", len(seen))
		}
	})
}

// Some fields take a permission of their own.
func TestFieldPermissions(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		key := w.create(nil)
		w.do(w.Move("ann", key, "Start release", nil))
		for field, one := range map[string]struct {
			needs jirafake.Permission
			value any
		}{
			"fixVersions": {jirafake.ResolveIssues, []any{object{"name": "1.0"}}},
			"duedate":     {jirafake.ScheduleIssues, "2026-01-31"},
			"assignee":    {jirafake.AssignIssues, nil},
			"reporter":    {jirafake.ModifyReporter, object{"accountId": w.ann.AccountID, "name": "ann"}},
		} {
			body := object{"fields": object{field: one.value}}
			w.callAs(w.bob, 204, "PUT", "/issue/"+key, body)
			w.do(w.Deny("bob", "", one.needs))
			said := w.callAs(w.bob, 400, "PUT", "/issue/"+key, body)
			if text, _ := at(said, "errors").(object)[field].(string); !strings.Contains(text, "cannot be set") {
				t.Errorf("%s: it says %v", field, said)
			}
		}
		if err := w.Move("bob", key, "Release", object{"resolution": object{"name": "Done"}}); err == nil {
			t.Error("bob resolved it without the permission")
		}
		w.do(w.Move("ann", key, "Release", object{"resolution": object{"name": "Done"}}))
	})
}
