package jira_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/integrations/jira"
)

// object is JSON.
type object = map[string]any

func text(t testing.TB, o object) string {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// updated is a webhook of a changed issue, written after the documentation, with those changes.
func updated(fields object, items ...object) object {
	all := object{
		"summary": "Carts keep their items", "issuetype": object{"name": "Story"}, "project": object{"key": "ABC", "id": "10000"}, "status": object{"name": "Ready for release"},
		"labels": []string{"cart", "hot"}, "components": []object{{"name": "api"}, {"name": "web"}}, "fixVersions": []object{{"name": "1.4", "id": "7"}},
	}
	maps.Copy(all, fields)
	return object{
		"timestamp": 1795514400500, "webhookEvent": "jira:issue_updated", "issue_event_type_name": "issue_generic",
		"user":      object{"accountId": "5b10a2844c20165700ede21g", "displayName": "Ann Moreau", "active": true},
		"issue":     object{"id": "10002", "key": "ABC-7", "fields": all},
		"changelog": object{"id": "10234", "items": items},
	}
}

func moved(from, to string) object {
	return object{"field": "status", "fieldtype": "jira", "fieldId": "status", "from": "3", "fromString": from, "to": "5", "toString": to}
}

func TestWebhooksBecomeEvents(t *testing.T) {
	h := "https://jira.example/ctx/browse/ABC-7"
	common := map[string]string{"issue": "ABC-7", "project": "ABC", "type": "Story", "status": "Ready for release", "labels": "cart,hot", "components": "api,web", "versions": "1.4"}
	with := func(more ...string) map[string]string {
		all := maps.Clone(common)
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return all
	}
	at := time.UnixMilli(1795514400500).UTC()
	labels := func(was, is string) object {
		return object{"field": "labels", "fieldtype": "jira", "fieldId": "labels", "from": nil, "fromString": was, "to": nil, "toString": is}
	}
	for _, one := range []struct {
		name string
		body object
		want []events.Event
	}{
		{"a move", updated(nil, moved("In Progress", "Ready for release")), []events.Event{
			{ID: "h1/moved", Kind: events.IssueMoved, Fact: "issue-moved ABC-7 10234", Fields: with("from", "In Progress", "to", "Ready for release")},
		}},
		{"a move on Data Center, which has no IDs of fields and no account IDs", func() object {
			o := updated(nil, moved("In Progress", "Ready for release"))
			delete(o["changelog"].(object)["items"].([]object)[0], "fieldId")
			o["user"] = object{"name": "5b10a2844c20165700ede21g", "key": "JIRAUSER10100"}
			return o
		}(), []events.Event{{ID: "h1/moved", Kind: events.IssueMoved, Fact: "issue-moved ABC-7 10234", Fields: with("from", "In Progress", "to", "Ready for release")}}},
		{"labels", updated(nil, labels("cart gone", "cart hot now"), object{"field": "summary", "fieldId": "summary", "toString": "x"}), []events.Event{
			{ID: "h1/label/hot", Kind: events.IssueLabelled, Fact: "issue-labelled ABC-7 10234 hot", Fields: with("label", "hot")},
			{ID: "h1/label/now", Kind: events.IssueLabelled, Fact: "issue-labelled ABC-7 10234 now", Fields: with("label", "now")},
		}},
		{"labels that are taken away", updated(nil, labels("cart hot", "cart")), nil},
		{"labels of a new issue", func() object {
			o := updated(nil, object{"field": "Status", "fieldId": "status", "from": nil, "fromString": nil, "to": "1", "toString": "To Do"})
			o["webhookEvent"] = "jira:issue_created"
			return o
		}(), []events.Event{
			{ID: "h1/label/cart", Kind: events.IssueLabelled, Fact: "issue-labelled ABC-7 created cart", Fields: with("label", "cart")},
			{ID: "h1/label/hot", Kind: events.IssueLabelled, Fact: "issue-labelled ABC-7 created hot", Fields: with("label", "hot")},
		}},
		{"a field of another name", updated(nil, object{"field": "status", "fieldtype": "custom", "fieldId": "customfield_1", "fromString": "a", "toString": "b"}), nil},
		{"nothing that matters", updated(nil, object{"field": "summary", "fieldId": "summary", "fromString": "a", "toString": "b"}), nil},
		{"no history", func() object { o := updated(nil); delete(o, "changelog"); return o }(), nil},
		{"another event", func() object { o := updated(nil, moved("a", "b")); o["webhookEvent"] = "jira:issue_deleted"; return o }(), nil},
		{"no key", func() object {
			o := updated(nil, moved("a", "b"))
			o["issue"].(object)["key"] = "../../secrets"
			return o
		}(), nil},
	} {
		t.Run(one.name, func(t *testing.T) {
			d := &desk{}
			door := offline(t).Handler(d, d)
			if code := deliver(door, text(t, one.body), identified("h1")); code != http.StatusNoContent {
				t.Fatalf("answered with %d", code)
			}
			if len(d.events) != len(one.want) {
				t.Fatalf("came in as %+v", d.events)
			}
			for i, want := range one.want {
				got := d.events[i]
				if got.ID != want.ID || got.Kind != want.Kind || got.Fact != want.Fact || got.Source != "jira" || got.Subject != "ABC-7" || !got.At.Equal(at) ||
					got.From != "5b10a2844c20165700ede21g" || got.Link != h || !maps.Equal(got.Fields, want.Fields) {
					t.Errorf("came in as %+v, not %+v", got, want)
				}
			}
		})
	}
}

func TestVersionsThatAreReleased(t *testing.T) {
	body := func(description string) string {
		return text(t, object{"timestamp": 1795514400500, "webhookEvent": "jira:version_released", "version": object{
			"self": "https://jira.example/rest/api/2/version/10010", "id": "10010", "name": "1.4", "description": description, "archived": false, "released": true,
			"projectId": 10000, "releaseDate": "2026-11-24",
		}})
	}
	d := &desk{}
	h := offline(t).Handler(d, d)
	deliver(h, body("Carts"), identified("h2"))
	deliver(h, body("Release 12 to production"), identified("h3")) // Muster's own
	if len(d.events) != 1 {
		t.Fatalf("came in as %+v", d.events)
	}
	e := d.events[0]
	want := map[string]string{"version": "1.4", "versionID": "10010", "projectID": "10000", "date": "2026-11-24"}
	if e.Kind != events.VersionReleased || e.ID != "h2/released" || e.Fact != "version-released 10010 2026-11-24" || e.Subject != "version/10010" || !maps.Equal(e.Fields, want) {
		t.Errorf("came in as %+v", e)
	}
}

func TestAReleaseIssueSaysWhatItShows(t *testing.T) {
	fields := func(project string, description any, labels ...string) object {
		return object{"project": object{"key": project}, "description": description, "labels": labels}
	}
	line := "Plan: " + digest
	document := object{"type": "doc", "version": 1, "content": []object{
		{"type": "paragraph", "content": []object{{"type": "text", "text": "It waits."}}},
		{"type": "paragraph", "content": []object{{"type": "text", "text": line}}},
	}}
	for _, one := range []struct {
		name        string
		fields      object
		run, digest string
	}{
		{"text", fields("REL", "It waits.\r\n\r\n"+line+"\r\nmore", "release", "muster-12"), "12", digest},
		{"a document", fields("REL", document, "muster-12"), "12", digest},
		{"no digest", fields("REL", nil, "muster-12"), "12", ""},
		{"two digests", fields("REL", line+"\n"+strings.ReplaceAll(line, "e88", "e89"), "muster-12"), "12", ""},
		{"within a line", fields("REL", "The "+line, "muster-12"), "12", ""},
		{"another project", fields("ABC", line, "muster-12"), "", ""},
		{"of another Muster", fields("REL", line, "muster-blue-12"), "", ""},
		{"two runs", fields("REL", line, "muster-12", "muster-13"), "", ""},
		{"a duplicate", fields("REL", line, "muster-duplicate"), "", ""},
	} {
		t.Run(one.name, func(t *testing.T) {
			d := &desk{}
			body := updated(one.fields, moved("Awaiting Approval", "Approved"), object{"field": "labels", "fieldId": "labels", "fromString": "", "toString": "fresh"})
			deliver(offline(t).Handler(d, d), text(t, body), identified("h1"))
			if len(d.events) == 0 || d.events[0].Kind != events.IssueMoved || d.events[0].Fields["run"] != one.run || d.events[0].Fields["digest"] != one.digest {
				t.Fatalf("came in as %+v", d.events)
			}
			if labelled := len(d.events) == 2; labelled != (one.run == "") {
				t.Errorf("its labels came in as well: %+v", d.events)
			}
		})
	}
	d := &desk{}
	body := updated(fields("REL", line, "muster-blue-12"), moved("Awaiting Approval", "Approved"))
	deliver(offline(t, func(o *jira.Options) { o.Instance = "blue" }).Handler(d, d), text(t, body))
	if len(d.events) != 1 || d.events[0].Fields["run"] != "12" {
		t.Errorf("with an instance it came in as %+v", d.events)
	}
}

// whenWritten runs a test at the time of the comment that commented delivers: later it would be too old for a command.
func whenWritten(t *testing.T, f func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.UnixMilli(1795514400500)))
		f(t)
	})
}

// commented is a webhook of a new comment.
func commented(body any, more object) object {
	comment := object{
		"id": "10040", "author": object{"accountId": "5b10a2844c20165700ede21g", "displayName": "Ann"}, "body": body,
		"created": "2026-11-24T10:00:00.500+0000", "updated": "2026-11-24T10:00:00.500+0000",
	}
	maps.Copy(comment, more)
	return object{"timestamp": 1795514400500, "webhookEvent": "comment_created", "comment": comment, "issue": object{"id": "10002", "key": "ABC-7", "fields": object{}}}
}

func TestCommentsThatAreCommands(t *testing.T) {
	document := func(line ...object) object {
		return object{"type": "doc", "version": 1, "content": []object{{"type": "paragraph", "content": line}}}
	}
	for _, one := range []struct {
		name string
		body any
		more object
		want string // "-": it is none
	}{
		{"a line", "/muster plan to staging", nil, "plan to staging"},
		{"blanks before it", "\n  /muster   why 12 ", nil, "why 12"},
		{"nothing behind it", "/muster", nil, ""},
		{"in capitals", "/Muster help", nil, "help"},
		{"lines below it", "/muster plan to staging\r\nThanks!\r\n", nil, "plan to staging"},
		{"a word that begins like it", "/musterfrau plan", nil, "-"},
		{"in a sentence", "Say /muster plan to staging", nil, "-"},
		{"something else", "Looks good", nil, "-"},
		{"nothing", "", nil, "-"},
		{"no text at all", nil, nil, "-"},
		{"a form that is none", 12, nil, "-"},
		{"a document", document(object{"type": "text", "text": "/muster approve "}, object{"type": "text", "text": "12", "marks": []object{{"type": "strong"}}}), nil, "approve 12"},
		{"a document with a mention", document(object{"type": "text", "text": "/muster who "}, object{"type": "mention", "attrs": object{"id": "x", "text": "@Ann"}}), nil, "who @Ann"},
		{"a mention", "/muster who [~accountid:557058:ab-cd]", nil, "who @557058:ab-cd"},
		{"a mention on Data Center", "/muster who [~ann]", nil, "who @ann"},
		{"a link", "/muster skip 1 because [https://git.example/x|https://git.example/x|smart-link]", nil, "skip 1 because https://git.example/x"},
		{"a link with words", "/muster skip 1 because [the issue|https://git.example/x]", nil, "skip 1 because https://git.example/x"},
		{"preformatted", "/muster retry {{1 deploy:api}}", nil, "retry 1 deploy:api"},
		{"escaped", `/muster skip 1 because \[x\] is \{fine\} \- really`, nil, "skip 1 because [x] is {fine} - really"},
		{"marks of cards", "/muster skip 1 because \uFDD0pann\uFDD1Ann\uFDD2", nil, "skip 1 because Ann"},
		{"edited", "/muster plan", object{"updated": "2026-11-24T10:05:00.000+0000"}, "-"},
		{"without times", "/muster plan", object{"created": nil, "updated": nil}, "plan"},
		{"by nobody", "/muster plan", object{"author": object{}}, "-"},
		{"what Muster wrote", "/muster plan\n{~}muster answer/x{~}", nil, "-"},
		{"what Muster wrote, on Cloud", "/muster plan\n\n~muster 12/3~", nil, "-"},
		{"a person who speaks of it", "/muster plan\nmuster is fine", nil, "plan"},
	} {
		t.Run(one.name, func(t *testing.T) {
			whenWritten(t, func(t *testing.T) {
				d := &desk{}
				if code := deliver(offline(t).Handler(d, d), text(t, commented(one.body, one.more))); code != http.StatusNoContent {
					t.Fatalf("answered with %d", code)
				}
				if one.want == "-" {
					if len(d.commands)+len(d.events) > 0 {
						t.Errorf("came in as %+v", d.commands)
					}
					return
				}
				if len(d.commands) != 1 {
					t.Fatalf("%d commands came in", len(d.commands))
				}
				c := d.commands[0]
				if c.Text != one.want || c.From != "5b10a2844c20165700ede21g" || c.Channel != "ABC-7" || c.Thread != "" || c.ID != "comment/ABC-7/10040" || c.Time.UnixMilli() != 1795514400500 {
					t.Errorf("came in as %+v", c)
				}
			})
		})
	}
}

// Data Center tells of a comment twice: as an update of the issue, and as a comment without its issue.
func TestACommentOfDataCenterIsOneCommand(t *testing.T) {
	whenWritten(t, func(t *testing.T) {
		d := &desk{}
		h := offline(t).Handler(d, d)
		comment := commented("/muster plan to staging", nil)["comment"]
		update := updated(nil)
		delete(update, "changelog")
		update["issue_event_type_name"], update["comment"] = "issue_commented", comment
		edit := maps.Clone(update)
		edit["issue_event_type_name"] = "issue_comment_edited"
		deliver(h, text(t, edit))
		deliver(h, text(t, object{"timestamp": 1, "webhookEvent": "comment_created", "comment": comment}))
		if len(d.commands) != 0 {
			t.Fatalf("came in as %+v", d.commands)
		}
		deliver(h, text(t, update))
		deliver(h, text(t, update))
		deliver(h, text(t, commented("/muster plan to staging", nil)))
		if len(d.commands) != 1 || d.offered != 3 {
			t.Errorf("came in %d times as %+v", d.offered, d.commands)
		}
	})
}

func TestDeliveriesWithoutIdentifiers(t *testing.T) {
	d := &desk{}
	h := offline(t).Handler(d, d)
	first := updated(nil, moved("In Progress", "Ready for release"))
	deliver(h, text(t, first))
	deliver(h, text(t, first))
	again := updated(nil, moved("In Progress", "Ready for release"))
	again["timestamp"], again["changelog"].(object)["id"] = 1795514500500, "10240"
	deliver(h, text(t, again))
	deliver(h, text(t, first), identified(strings.Repeat("x", 5000))) // what is no identifier is none
	if len(d.events) != 2 || d.offered != 4 || d.events[0].ID == d.events[1].ID || len(d.events[0].ID) > 200 {
		t.Errorf("%d came in as %+v", d.offered, d.events)
	}
}

func TestCapturedWebhooks(t *testing.T) {
	folder := os.Getenv("MUSTER_PAYLOADS")
	if folder == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("MUSTER_PAYLOADS names no captured payloads")
		}
		t.Skip("MUSTER_PAYLOADS names no captured payloads")
	}
	wants := map[string]string{
		"webhook-issue-created.json":                 "issue-labelled test-label by 5c5f880629be9642ba529340",
		"webhook-issue-updated-labels.json":          "issue-labelled sad by 5c5f880629be9642ba529340",
		"webhook-issue-updated-reopened.json":        "issue-moved Done → To Do by 5c5f880629be9642ba529340",
		"webhook-issue-updated-resolved.json":        "issue-moved In Progress → Done by 5c5f880629be9642ba529340",
		"webhook-server-issue-updated-closed.json":   "issue-moved Resolved → Closed by admin",
		"webhook-server-issue-updated-resolved.json": "issue-moved In Progress → Resolved by admin",
	}
	files, err := filepath.Glob(filepath.Join(folder, "jira", "webhooks", "*.json"))
	if err != nil || len(files) < 11 {
		t.Fatalf("%d captured webhooks: %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := &desk{}
		if code := deliver(offline(t).Handler(d, d), string(raw)); code != http.StatusNoContent {
			t.Fatalf("%s: answered with %d", filepath.Base(file), code)
		}
		got := ""
		for _, e := range d.events {
			got += string(e.Kind) + " " + e.Fields["label"]
			if e.Kind == events.IssueMoved {
				got += e.Fields["from"] + " → " + e.Fields["to"]
			}
			got += " by " + e.From
			if e.Fact == "" || e.At.Year() < 2018 || e.Fields["project"] != "TES" || e.Fields["type"] == "" || !strings.HasPrefix(e.Subject, "TES-") {
				t.Errorf("%s: came in as %+v", filepath.Base(file), e)
			}
		}
		if got != wants[filepath.Base(file)] || len(d.commands) != 0 {
			t.Errorf("%s: came in as %q, not %q", filepath.Base(file), got, wants[filepath.Base(file)])
		}
	}
}

// Whatever comes, what is handed on is whole and within bounds.
func FuzzWebhook(f *testing.F) {
	f.Add(text(f, updated(nil, moved("a", "b"), object{"field": "labels", "toString": "x y"})), "h1")
	f.Add(text(f, commented("/muster plan to [~ann]", nil)), "")
	f.Add(text(f, object{"webhookEvent": "jira:version_released", "timestamp": "7", "version": object{"id": "1", "projectId": "x", "name": "\x00"}}), "h 2")
	f.Add(`{"webhookEvent":"comment_created","comment":{"id":"1","author":{"name":"a"},"body":{"type":"doc","content":[{"type":"text","text":"/muster"}]}},"issue":{"key":"A_-1"}}`, "\xff")
	f.Add(`{"webhookEvent":"jira:issue_created","issue":{"key":"AB-1","fields":{"labels":["", "a b", null]}}}`, "")
	f.Fuzz(func(t *testing.T, body, id string) {
		d := &desk{}
		code := deliver(offline(t).Handler(d, d), body, func(r *http.Request) { r.Header["X-Atlassian-Webhook-Identifier"] = []string{id} })
		if code != 204 && code != 400 && code != 413 {
			t.Errorf("answered with %d", code)
		}
		for _, e := range d.events {
			if e.ID == "" || len(e.ID) > 512 || len(e.Fact) > 512 || e.Subject == "" || len(e.Subject) > 512 || e.At.IsZero() || strings.ContainsAny(e.ID+e.Fact, "\n\x00") {
				t.Errorf("came in as %+v", e)
			}
		}
		for _, c := range d.commands {
			if c.ID == "" || len(c.ID) > 512 || c.From == "" || c.Channel == "" || strings.Contains(c.Text, "\n") || c.Time.IsZero() {
				t.Errorf("came in as %+v", c)
			}
		}
	})
}
