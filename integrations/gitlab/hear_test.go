package gitlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/playbooks"
)

const signing = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// lateDoor is a receiver of webhooks that is there before Muster is.
type lateDoor struct{ door atomic.Pointer[http.Handler] }

func (l *lateDoor) RoundTrip(r *http.Request) (*http.Response, error) {
	return gitlabfake.Through(*l.door.Load()).RoundTrip(r)
}

// inHearing runs a test in a bubble with a GitLab whose group's hook leads to Muster's door.
func inHearing(t *testing.T, o yardOptions, f func(t *testing.T, y *yard, d *desk)) {
	t.Helper()
	late := &lateDoor{}
	o.server.Hooks = &http.Client{Transport: late}
	inYard(t, o, func(t *testing.T, y *yard) {
		d := &desk{}
		y.g.options.WebhookSecret = "s3cret"
		key, err := signingKey(signing)
		if err != nil {
			t.Fatal(err)
		}
		y.g.signing = [][]byte{key}
		door := y.g.Handler(d, d)
		late.door.Store(&door)
		y.AddMember(cart, "ann", gitlabfake.Developer)
		y.AddHook("shop", gitlabfake.Hook{URL: "https://muster.example/gitlab/webhook", Secret: "s3cret", Signing: signing})
		f(t, y, d)
	})
}

func (y *yard) settle() {
	y.t.Helper()
	if err := y.Settle(y.t.Context()); err != nil {
		y.t.Fatal(err)
	}
}

// wantAnswers checks that every delivery was answered with success.
func (y *yard) wantAnswers() {
	y.t.Helper()
	for _, d := range y.Deliveries() {
		if d.Status/100 != 2 {
			y.t.Errorf("delivery %d of %s was answered with %d, %v", d.N, d.Event, d.Status, d.Err)
		}
	}
}

// ofKind are the events of a kind, in the order in which they were taken.
func ofKind(all []events.Event, kind events.Kind) (some []events.Event) {
	for _, e := range all {
		if e.Kind == kind {
			some = append(some, e)
		}
	}
	return some
}

// factsOf are their facts, sorted.
func factsOf(all []events.Event) (facts []string) {
	for _, e := range all {
		facts = append(facts, e.Fact)
	}
	slices.Sort(facts)
	return slices.Compact(facts)
}

var buildAndDeploy = &gitlabfake.Definition{On: []string{"push", "tag"}, Jobs: []gitlabfake.Job{
	{Name: "unit", Duration: time.Second, Coverage: 81.5, Tests: []gitlabfake.TestCase{{Name: "a"}, {Name: "b", Status: "skipped"}}},
	{Name: "image", Stage: "build", Duration: time.Second, Artifacts: map[string]string{"out/app": "x"}},
	{Name: "deploy", Stage: "deploy", Duration: time.Second, Environment: "staging"},
}}

// A story of GitLab's, as it is told to Muster: each thing once, with what a rule needs of it, and each is
// true when GitLab is asked.
func TestHooks(t *testing.T) {
	inHearing(t, yardOptions{pipeline: buildAndDeploy}, func(t *testing.T, y *yard, d *desk) {
		commit := y.push("Fix the cart\n\nIt was broken.")
		y.PushTag(cart, "ann", "v1.0.0", "main", "First")
		y.Push(cart, gitlabfake.Commit{Branch: "feature", User: "ann", Files: map[string]string{"x": "y"}})
		mr := y.AddMergeRequest(cart, gitlabfake.MergeRequest{Title: "Add x", User: "ann", Source: "feature"})
		y.Comment(cart, mr, "bob", "Looks good", "")
		y.Merge(cart, mr, "ann")
		time.Sleep(time.Minute) // pipelines run
		y.settle()
		y.wantAnswers()
		taken := d.taken()
		has := func(kind events.Kind, fields ...string) events.Event {
			t.Helper()
			for _, e := range ofKind(taken, kind) {
				fits := e.Fields["project"] == cart
				for i := 0; i < len(fields); i += 2 {
					fits = fits && e.Fields[fields[i]] == fields[i+1]
				}
				if fits {
					return e
				}
			}
			t.Errorf("no event %s with %q was taken", kind, fields)
			return events.Event{}
		}
		push := has(events.Push, "branch", "main", "ref", "main", "commit", commit, "message", "Fix the cart")
		if push.Fact != fmt.Sprintf("push %s main %s", cart, commit) || push.From != "ann" || push.Link != "https://git.example.com/sub/"+cart+"/-/commit/"+commit {
			t.Errorf("the push is %+v", push)
		}
		tag := has(events.Tag, "tag", "v1.0.0", "commit", commit)
		if tag.Fact != fmt.Sprintf("tag %s v1.0.0 %s", cart, commit) {
			t.Errorf("the tag is %+v", tag)
		}
		number := fmt.Sprint(mr)
		has(events.MergeRequest, "number", number, "action", "open", "source", "feature", "target", "main", "state", "opened")
		has(events.MergeRequest, "number", number, "action", "merge", "state", "merged")
		note := has(events.Note, "number", number)
		if note.From != "bob" {
			t.Errorf("the comment is %+v", note)
		}
		pipeline := has(events.Pipeline, "ref", "main", "commit", commit, "status", "success", "source", "push")
		has(events.Pipeline, "ref", "v1.0.0", "commit", commit, "status", "success")
		has(events.Job, "name", "unit", "stage", "test", "status", "success", "pipeline", pipeline.Fields["pipeline"])
		has(events.Deployment, "environment", "staging", "status", "success", "commit", commit)
		if n := len(d.said()); n != 0 {
			t.Errorf("%d commands, want none", n)
		}

		// What is true now may be more than what was told.
		for _, e := range taken {
			now, found, err := y.g.Confirm(t.Context(), e)
			if err != nil {
				t.Errorf("confirm %q: %v", e.Fact, err)
				continue
			}
			if gone := e.Kind == events.Push && e.Fields["branch"] == "gone"; !found && !gone {
				t.Errorf("%q is not true", e.Fact)
			}
			if now.ID != e.ID || now.Kind != e.Kind || now.Subject != e.Subject || now.Source != System || !now.At.Equal(e.At) {
				t.Errorf("confirm %+v = %+v, which is another event", e, now)
			}
			switch e.Kind {
			case events.Push:
				if head := y.Head(cart, e.Fields["branch"]); now.Fields["commit"] != head || !strings.HasSuffix(now.Fact, head) {
					t.Errorf("confirm %q = %q, want the head %s", e.Fact, now.Fact, head)
				}
			case events.Pipeline, events.Job, events.Deployment:
				if now.Fields["status"] != "success" {
					t.Errorf("confirm %q = %q, want success", e.Fact, now.Fact)
				}
			case events.MergeRequest:
				if now.Fields["state"] != "merged" {
					t.Errorf("confirm %q = %q, want merged", e.Fact, now.Fact)
				}
			}
			if e.Fields["status"] == "success" && now.Fact != e.Fact {
				t.Errorf("confirm %q = %q, want the same", e.Fact, now.Fact)
			}
		}
	})
}

// Deliveries that come twice, in disorder, or again by hand, change nothing.
func TestHooksDisorder(t *testing.T) {
	inHearing(t, yardOptions{pipeline: buildAndDeploy}, func(t *testing.T, y *yard, d *desk) {
		y.Hold()
		y.push("One")
		y.push("Two")
		y.PushTag(cart, "ann", "v1.0.0", "main", "")
		time.Sleep(time.Minute)
		y.Release(func(all []gitlabfake.Delivery) []gitlabfake.Delivery {
			backwards := slices.Clone(all)
			slices.Reverse(backwards)
			return append(backwards, all...)
		})
		y.settle()
		first := d.taken()
		if len(first) == 0 || len(first) != len(y.Deliveries()) {
			t.Errorf("%d events of %d deliveries were taken", len(first), len(y.Deliveries()))
		}
		for _, one := range y.Deliveries() {
			y.Redeliver(one.N)
		}
		y.settle()
		y.wantAnswers()
		if again := d.taken(); len(again) != len(first) {
			t.Errorf("%d events were taken after each was sent again, want %d", len(again), len(first))
		}
		// A signature is good for minutes.
		time.Sleep(10 * time.Minute)
		y.Redeliver(1)
		y.settle()
		if last := y.Deliveries()[0]; last.Status != http.StatusUnauthorized {
			t.Errorf("a delivery that was signed long ago was answered with %d, want 401", last.Status)
		}
	})
}

// System hooks tell the same, with the same facts.
func TestSystemHooks(t *testing.T) {
	inHearing(t, yardOptions{}, func(t *testing.T, y *yard, d *desk) {
		y.AddHook("", gitlabfake.Hook{URL: "https://muster.example/gitlab/webhook", Secret: "s3cret", Signing: signing})
		y.push("One")
		y.PushTag(cart, "ann", "v1.0.0", "main", "")
		y.Push(cart, gitlabfake.Commit{Branch: "feature", User: "ann", Files: map[string]string{"x": "y"}})
		y.AddMergeRequest(cart, gitlabfake.MergeRequest{Title: "Add x", User: "ann", Source: "feature"})
		y.settle()
		y.wantAnswers()
		taken := d.taken()
		if facts := factsOf(taken); len(facts) != 4 || len(taken) != 8 {
			t.Errorf("facts %q of %d events, want 4 of 8", facts, len(taken))
		}
	})
}

// A hook whose receiver has trouble loses nothing, and is not switched off for what nobody understands.
func TestHooksOutage(t *testing.T) {
	inHearing(t, yardOptions{}, func(t *testing.T, y *yard, d *desk) {
		d.refuses = func() error { return errors.New("disk full") }
		y.push("One")
		y.settle()
		if one := y.Deliveries()[0]; one.Status != http.StatusServiceUnavailable {
			t.Errorf("it was answered with %d, want 503", one.Status)
		}
		d.mu.Lock()
		d.refuses = nil
		d.mu.Unlock()
		y.Redeliver(1)
		y.settle()
		if facts := d.facts(); len(facts) != 1 {
			t.Errorf("facts %q, want one", facts)
		}
	})
}

func TestConfirm(t *testing.T) {
	inYard(t, yardOptions{pipeline: &gitlabfake.Definition{On: []string{"push"}, Jobs: []gitlabfake.Job{{Name: "unit", Hold: true}}}}, func(t *testing.T, y *yard) {
		commit := y.push("One")
		y.PushTag(cart, "ann", "v1", "main", "")
		y.Push(cart, gitlabfake.Commit{Branch: "feature", User: "ann", Files: map[string]string{"x": "y"}})
		deployment := y.Deploy(cart, "ann", "production", "v1", "success")
		later := y.push("Two")
		pipeline := y.Pipelines(cart)[0]
		at := time.Now()
		number := func(n int64) string { return fmt.Sprint(n) }
		tests := []struct {
			name  string
			event events.Event
			found bool
			fact  string
			from  string
		}{
			{"an older push", y.g.pushed(cart, "main", commit, "One", at), true, "push " + cart + " main " + later, ""},
			{"the head", y.g.pushed(cart, "main", later, "Two", at), true, "push " + cart + " main " + later, "eve"},
			{"a push to nothing", y.g.pushed(cart, "", commit, "", at), false, "", ""},
			{"a branch that is gone", y.g.pushed(cart, "gone", commit, "", at), false, "", ""},
			{"a tag", y.g.tagged(cart, "v1", commit, false, at), true, "tag " + cart + " v1 " + commit, "eve"},
			{"a tag on another commit", y.g.tagged(cart, "v1", later, false, at), true, "tag " + cart + " v1 " + commit, "eve"},
			{"a tag of which no commit was told", y.g.tagged(cart, "v1", "", false, at), true, "tag " + cart + " v1 " + commit, "eve"},
			{"a tag that is gone", y.g.tagged(cart, "v2", commit, false, at), false, "", ""},
			{"a tag that was deleted", y.g.tagged(cart, "v2", commit, true, at), true, "tag " + cart + " v2 " + commit + " deleted", "eve"},
			{"a deleted tag that is there again", y.g.tagged(cart, "v1", commit, true, at), false, "", ""},
			{"a pipeline", y.g.piped(cart, pipeline.Pipeline, "x", "y", "success", "z", at), true, "pipeline " + cart + " " + number(pipeline.Pipeline) + " running", "eve"},
			{"a pipeline that is not there", y.g.piped(cart, 4711, "x", "y", "success", "z", at), false, "", ""},
			{"a job", y.g.worked(cart, job{id: pipeline.Jobs[0].ID, status: "success"}, at), true, "job " + cart + " " + number(pipeline.Jobs[0].ID) + " running", "eve"},
			{"a deployment", y.g.deployed(cart, deployment, "x", "y", "z", "running", at), true, "deployment " + cart + " " + number(deployment) + " success", "eve"},
			{"a deployment that is not there", y.g.deployed(cart, 4711, "x", "y", "z", "running", at), false, "", ""},
			{"a merge request that is not there", y.g.merging(cart, merge{number: 4711}, at), false, "", ""},
			{"a release that is not there", y.g.released(cart, "v1", commit, "create", at), false, "", ""},
			{"a release that was deleted", y.g.released(cart, "v1", commit, "delete", at), true, "release " + cart + " v1 delete", "eve"},
			{"a comment that is not there", y.g.noted(place{cart, onMerge, 1}, 1, at), false, "", ""},
		}
		for _, tt := range tests {
			tt.event.ID, tt.event.From = "d1", "eve"
			now, found, err := y.g.Confirm(t.Context(), tt.event)
			if err != nil || found != tt.found {
				t.Errorf("%s: found %v, error %v, want %v", tt.name, found, err, tt.found)
			}
			if found && (now.Fact != tt.fact || now.From != tt.from || now.ID != "d1") {
				t.Errorf("%s: fact %q from %q, want %q from %q", tt.name, now.Fact, now.From, tt.fact, tt.from)
			}
		}
		for _, e := range []events.Event{
			y.g.pushed("shop/hidden", "main", commit, "", at), y.g.tagged("shop/hidden", "v1", commit, true, at), y.g.released("shop/hidden", "v1", commit, "delete", at),
			{Source: System, Kind: events.IssueMoved, Fields: map[string]string{"project": cart}}, {Source: System, Kind: events.Push},
		} {
			if _, found, err := y.g.Confirm(t.Context(), e); found || !isPermanent(err) {
				t.Errorf("confirm %q: found %v, error %v, want one that is permanent", e.Fact, found, err)
			}
		}
		y.SetFault(func(gitlabfake.Call) gitlabfake.Fault { return gitlabfake.Fault{Kind: gitlabfake.ServerError} })
		for _, tt := range tests {
			if tt.event.Kind == events.Push && tt.event.Fields["branch"] == "" {
				continue
			}
			if _, found, err := y.g.Confirm(t.Context(), tt.event); found || err == nil || isPermanent(err) {
				t.Errorf("%s, while GitLab is out of order: found %v, error %v", tt.name, found, err)
			}
		}
	})
}

// What was never delivered is found, with the facts that a delivery would have had.
func TestMissed(t *testing.T) {
	inHearing(t, yardOptions{pipeline: buildAndDeploy}, func(t *testing.T, y *yard, d *desk) {
		const other, quiet = "shop/other", "shop/quiet"
		for _, path := range []string{other, quiet} {
			y.AddProject(gitlabfake.Project{Path: path, DefaultBranch: "trunk"})
			y.catalog.Modules = append(y.catalog.Modules, playbooks.Module{Name: path, Source: "git.example.com/sub/" + path}, playbooks.Module{Name: path + "2", Source: path, Path: "2"})
		}
		y.g.options.Branches = func() []string { return []string{"release", "main", "*"} }
		y.push("Before")
		y.PushTag(cart, "ann", "v0.9.0", "main", "")
		y.settle()
		time.Sleep(time.Hour)
		since := time.Now()
		look := func() []events.Event {
			t.Helper()
			all, err := y.g.Missed(t.Context(), since)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range all {
				if i > 0 && e.At.Before(all[i-1].At) {
					t.Errorf("%q is listed after %q, which came later", e.Fact, all[i-1].Fact)
				}
				if e.Source != System || e.Fields["project"] == "" || e.At.IsZero() {
					t.Errorf("an event lacks something: %+v", e)
				}
			}
			return all
		}
		if all := look(); len(all) != 0 {
			t.Errorf("facts %q while nothing happened", factsOf(all))
		}
		already := len(d.taken())
		y.push("After")
		y.PushTag(cart, "ann", "v1.0.0", "main", "")
		y.Push(other, gitlabfake.Commit{Branch: "release", Message: "Old", Files: map[string]string{"a": "b"}, At: since.Add(-100 * time.Hour)})
		y.PushTag(other, "ann", "v7", "release", "")
		y.Push(cart, gitlabfake.Commit{Branch: "feature", User: "ann", Files: map[string]string{"x": "y"}})
		y.AddMergeRequest(cart, gitlabfake.MergeRequest{Title: "Add x", User: "ann", Source: "feature"})
		time.Sleep(time.Minute)
		y.settle()
		found := factsOf(look())
		told := make(map[string]bool)
		for _, e := range d.taken()[already:] {
			told[e.Fact] = true
		}
		for _, fact := range found {
			if !told[fact] {
				t.Errorf("found was %q, of which no delivery tells", fact)
			}
		}
		// Of each kind that is looked for, all that deliveries told of what is over.
		for _, e := range d.taken()[already:] {
			wanted := e.Kind == events.Tag || e.Kind == events.MergeRequest || e.Kind == events.Push && e.Fields["branch"] != "feature" ||
				e.Kind == events.Pipeline && ended(e.Fields["status"])
			if wanted && !slices.Contains(found, e.Fact) {
				t.Errorf("%q was not found; found were %q", e.Fact, found)
			}
		}
		// A look does not need what another one remembers, but for what GitLab does not date.
		time.Sleep(time.Hour)
		since = time.Now()
		if all := look(); len(all) != 0 {
			t.Errorf("facts %q while nothing happened", factsOf(all))
		}
		for _, call := range y.Calls() {
			if strings.Contains(call.Path, "2") && strings.Contains(call.Route, "/repository/tags") && call.Status == 404 {
				t.Errorf("a project was looked for that is not there: %s", call.Path)
			}
		}
	})
}

// A project that cannot be read stops no other, and is looked at from the same time on when it can be.
func TestMissedFailures(t *testing.T) {
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		const other = "shop/other"
		y.AddProject(gitlabfake.Project{Path: other})
		y.catalog.Modules = append(y.catalog.Modules, playbooks.Module{Name: "other", Source: other})
		time.Sleep(time.Hour)
		since := time.Now()
		commit := y.push("One")
		y.Push(other, gitlabfake.Commit{Message: "Two", Files: map[string]string{"a": "b"}})
		broken := "other"
		y.SetFault(func(c gitlabfake.Call) gitlabfake.Fault {
			if broken != "" && strings.Contains(c.Path, broken) {
				return gitlabfake.Fault{Kind: gitlabfake.ServerError}
			}
			return gitlabfake.Fault{}
		})
		all, err := y.g.Missed(t.Context(), since)
		if want := "push " + cart + " main " + commit; err != nil || len(all) != 1 || all[0].Fact != want {
			t.Errorf("found %q, error %v, want %q", factsOf(all), err, want)
		}
		broken = "projects"
		if all, err := y.g.Missed(t.Context(), since); err == nil || len(all) != 0 || !strings.Contains(err.Error(), "no project of 2") {
			t.Errorf("found %q, error %v, want an error", factsOf(all), err)
		}
		broken = ""
		time.Sleep(time.Hour)
		all, err = y.g.Missed(t.Context(), time.Now())
		if facts := factsOf(all); err != nil || len(facts) != 2 {
			t.Errorf("found %q, error %v, want both", facts, err)
		}
		if all, err := y.g.Missed(t.Context(), time.Now()); err != nil || len(all) != 0 {
			t.Errorf("found %q, error %v, want nothing more", factsOf(all), err)
		}
		// There is no time for anything.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := y.g.Missed(ctx, since); err == nil {
			t.Error("no error although there was no time")
		}
		y.catalog.Modules = nil
		if all, err := y.g.Missed(t.Context(), since); err != nil || len(all) != 0 {
			t.Errorf("without modules: %q, error %v", factsOf(all), err)
		}
	})
}

// talk is a merge request on which people talk to Muster.
func inTalk(t *testing.T, f func(t *testing.T, y *yard, d *desk, channel string, mr int64)) {
	t.Helper()
	inHearing(t, yardOptions{}, func(t *testing.T, y *yard, d *desk) {
		y.Push(cart, gitlabfake.Commit{Branch: "feature", User: "ann", Files: map[string]string{"x": "y"}})
		mr := y.AddMergeRequest(cart, gitlabfake.MergeRequest{Title: "Add x", User: "ann", Source: "feature"})
		y.settle()
		f(t, y, d, fmt.Sprintf("%s!%d", cart, mr), mr)
	})
}

func TestCommandsOnMergeRequests(t *testing.T) {
	inTalk(t, func(t *testing.T, y *yard, d *desk, channel string, mr int64) {
		// A project hook beside the group's: the same comment comes in two deliveries.
		y.AddHook(cart, gitlabfake.Hook{URL: "https://muster.example/gitlab/webhook", Secret: "s3cret", Signing: signing})
		thread := y.Comment(cart, mr, "ann", "/muster plan to staging\nand then\n/MUSTER why", "")
		y.settle()
		y.wantAnswers()
		said := d.said()
		if len(said) != 2 {
			t.Fatalf("%d lines were received, want 2: %+v", len(said), said)
		}
		id := y.Notes(cart, mr)[0].ID
		want := chat.Event{ID: fmt.Sprintf("note %d", id), Time: said[0].Time, From: "ann", Channel: channel, Thread: thread, Text: "plan to staging"}
		if said[0] != want || time.Since(said[0].Time) > time.Minute {
			t.Errorf("received was %+v, want %+v", said[0], want)
		}
		if said[1].Text != "why" || said[1].ID != fmt.Sprintf("note %d line 2", id) || said[1].Thread != thread {
			t.Errorf("received was %+v", said[1])
		}

		// Muster's own comments are nothing to it, whatever they say.
		before := len(d.taken())
		if _, err := y.g.Discussions().Post(t.Context(), chat.Message{Key: "k", Channel: channel, Thread: thread, Card: chat.Card{Text: "Type:\n/muster approve 1"}}); err != nil {
			t.Fatal(err)
		}
		y.Comment(cart, mr, y.bot, "/muster approve 1", thread)
		y.Comment(cart, mr, y.bot, "Done", thread)
		y.settle()
		y.wantAnswers()
		if n := len(d.said()); n != 2 || len(d.taken()) != before {
			t.Errorf("%d lines and %d events were received after Muster's own comments", n, len(d.taken())-before)
		}
	})
}

// Whoever may set up hooks can make them say anything; who has written what, GitLab is asked.
func TestForgedCommands(t *testing.T) {
	inTalk(t, func(t *testing.T, y *yard, d *desk, channel string, mr int64) {
		y.Comment(cart, mr, "bob", "/muster why", "")
		y.settle()
		id := y.Notes(cart, mr)[0].ID
		forged := func(note int64, text string) string {
			return fmt.Sprintf(`{"object_kind":"note","user":{"username":"ann"},"project":{"path_with_namespace":%q},"merge_request":{"iid":%d},
				"object_attributes":{"id":%d,"note":%q,"noteable_type":"MergeRequest","action":"create","discussion_id":"x"}}`, cart, mr, note, text)
		}
		y.g.signing = nil
		door := y.g.Handler(d, d)
		if w := deliver(door, forged(id, "/muster release everything")); w.Code != 204 {
			t.Errorf("status = %d", w.Code)
		}
		if w := deliver(door, forged(4711, "/muster release everything")); w.Code != 204 {
			t.Errorf("status = %d", w.Code)
		}
		if said := d.said(); len(said) != 1 || said[0].From != "bob" || said[0].Text != "why" {
			t.Errorf("received was %+v, want bob's own line alone", said)
		}
		// While GitLab cannot be asked nothing is taken, nor lost.
		y.Comment(cart, mr, "ann", "/muster plan", "")
		y.settle()
		second := y.Notes(cart, mr)[1].ID
		d2 := &desk{}
		y.SetFault(func(gitlabfake.Call) gitlabfake.Fault { return gitlabfake.Fault{Kind: gitlabfake.ServerError} })
		if w := deliver(y.g.Handler(d2, d2), forged(second, "/muster plan")); w.Code != 503 || len(d2.said()) != 0 {
			t.Errorf("status = %d, received %+v, want 503 and nothing", w.Code, d2.said())
		}
		y.SetFault(nil)
		// An old comment is no command any more: the bot may have forgotten that it was carried out.
		time.Sleep(oldComment + time.Minute)
		d3 := &desk{}
		if w := deliver(y.g.Handler(d3, d3), forged(second, "/muster plan")); w.Code != 204 || len(d3.said()) != 0 {
			t.Errorf("status = %d, received %+v, want 204 and nothing", w.Code, d3.said())
		}
		// An edited one is none either.
		y.Comment(cart, mr, "ann", "/muster plan", "")
		y.settle()
		third := y.Notes(cart, mr)[2].ID
		edited := strings.Replace(forged(third, "/muster plan"), `"create"`, `"update"`, 1)
		if w := deliver(y.g.Handler(d3, d3), edited); w.Code != 204 || len(d3.said()) != 0 || len(d3.taken()) != 0 {
			t.Errorf("status = %d, received %+v, want 204 and nothing", w.Code, d3.said())
		}
		// Without a room there are no commands.
		if w := deliver(y.g.Handler(d3, nil), forged(third, "/muster plan")); w.Code != 204 || len(d3.taken()) != 0 {
			t.Errorf("status = %d, taken %+v", w.Code, d3.taken())
		}
		// One that nobody can take does not keep others from being taken.
		d4 := &desk{refuses: func() error { return refuse("too long") }}
		if w := deliver(y.g.Handler(d4, d4), forged(third, "/muster plan")); w.Code != 204 {
			t.Errorf("status = %d, want 204", w.Code)
		}
		d4.refuses = func() error { return errors.New("disk full") }
		if w := deliver(y.g.Handler(d4, d4), forged(third, "/muster plan")); w.Code != 503 {
			t.Errorf("status = %d, want 503", w.Code)
		}
	})
}

func TestDiscussions(t *testing.T) {
	inTalk(t, func(t *testing.T, y *yard, d *desk, channel string, mr int64) {
		p := y.g.Discussions()
		thread := y.Comment(cart, mr, "ann", "/muster plan to staging", "")
		answer := chat.Message{Key: "answer/1", Channel: channel, Thread: thread, Card: chat.Card{Text: "No."}}
		h, err := p.Post(t.Context(), answer)
		if err != nil {
			t.Fatal(err)
		}
		notes := func() (bodies []string) {
			for _, n := range y.Notes(cart, mr) {
				if n.User == y.bot {
					bodies = append(bodies, n.Body)
				}
			}
			return bodies
		}
		if got := notes(); len(got) != 1 || !strings.HasPrefix(got[0], "No.\n") {
			t.Fatalf("notes = %q", got)
		}
		if n := y.Notes(cart, mr)[1]; n.Discussion != thread || h != (chat.Handle{Channel: channel, ID: fmt.Sprint(n.ID)}) {
			t.Errorf("handle %+v of %+v, want one in discussion %s", h, n, thread)
		}

		// A lasting card is kept up to date in one place, whoever asks for it again and where.
		plan := chat.Message{Key: "answer/2", Channel: channel, Thread: thread, Card: chat.Card{Title: "Plan 1", Lasting: "plan/staging"}}
		first, err := p.Post(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		plan.Key, plan.Card.Title, plan.Thread = "answer/3", "Plan 2", ""
		second, err := p.Post(t.Context(), plan)
		if err != nil || second != first {
			t.Errorf("handle %+v, error %v, want the same as %+v", second, err, first)
		}
		other := chat.Message{Key: "answer/4", Channel: channel, Card: chat.Card{Title: "Plan of production", Lasting: "plan/production"}}
		if third, err := p.Post(t.Context(), other); err != nil || third == first {
			t.Errorf("handle %+v, error %v, want another", third, err)
		}
		got := notes()
		if len(got) != 3 || !strings.Contains(got[1], "Plan 2") || !strings.Contains(got[2], "Plan of production") {
			t.Errorf("notes = %q", got)
		}
		if n := y.Notes(cart, mr); n[2].Discussion == thread {
			t.Errorf("a lasting card is an answer in a discussion: %+v", n[2])
		}

		// What somebody else writes is not mistaken for Muster's own.
		y.Comment(cart, mr, "bob", "fake\n\n"+marker{key: encodeMark("answer/9")}.String(), "")
		for _, tt := range []struct {
			key   string
			found bool
		}{{"answer/1", true}, {"answer/2", false}, {"answer/3", true}, {"answer/9", false}} {
			h, found, err := p.Find(t.Context(), chat.Message{Key: tt.key, Channel: channel})
			if err != nil || found != tt.found || found && h.Channel != channel {
				t.Errorf("find %q: %+v, %v, error %v, want %v", tt.key, h, found, err, tt.found)
			}
		}

		answer.Card.Text = "Yes."
		if err := p.Update(t.Context(), h, answer); err != nil || !strings.HasPrefix(notes()[0], "Yes.") {
			t.Errorf("notes = %q, error %v", notes(), err)
		}
		// An answer to a message, by the ID of that.
		if _, err := p.Post(t.Context(), chat.Message{Key: "x", Channel: channel, Thread: h.ID, Card: chat.Card{Text: "More."}}); err != nil {
			t.Error(err)
		}
		if all := y.Notes(cart, mr); !slices.ContainsFunc(all, func(n gitlabfake.Note) bool { return n.Discussion == thread && strings.HasPrefix(n.Body, "More.") }) {
			t.Errorf("the answer is not in the discussion: %+v", all)
		}
		var gone chat.Gone
		if err := p.Update(t.Context(), chat.Handle{Channel: channel, ID: "4711"}, answer); !errors.As(err, &gone) || !gone.Gone() {
			t.Errorf("error %v, want one that says that it is gone", err)
		}
		for _, bad := range []chat.Message{
			{Key: "x", To: "ann", Card: chat.Card{Text: "x"}}, {Key: "x", Channel: "#releases", Card: chat.Card{Text: "x"}},
			{Key: "x", Channel: channel, Reply: "r", Card: chat.Card{Text: "x"}}, {Key: "x", Channel: channel, Thread: "4711", Card: chat.Card{Text: "x"}},
			{Key: "x", Channel: "shop/hidden!1", Card: chat.Card{Text: "x"}},
		} {
			if _, err := p.Post(t.Context(), bad); !isPermanent(err) {
				t.Errorf("post %+v: error %v, want one that is permanent", bad, err)
			}
		}
	})
}

// A post whose answer is lost is found, and a lasting card is there once, whatever happens.
func TestLostPosts(t *testing.T) {
	for _, kind := range accidents {
		inTalk(t, func(t *testing.T, y *yard, d *desk, channel string, mr int64) {
			p := y.g.Discussions()
			thread := y.Comment(cart, mr, "ann", "/muster plan to staging", "")
			for i, m := range []chat.Message{
				{Key: "answer/1", Channel: channel, Thread: thread, Card: chat.Card{Text: "No."}},
				{Key: "answer/2", Channel: channel, Card: chat.Card{Title: "Plan", Lasting: "plan/staging"}},
				{Key: "answer/3", Channel: channel, Card: chat.Card{Title: "Plan again", Lasting: "plan/staging"}},
			} {
				var hit atomic.Bool
				y.SetFault(func(c gitlabfake.Call) gitlabfake.Fault {
					if c.Method != http.MethodGet && !hit.Swap(true) {
						return gitlabfake.Fault{Kind: kind}
					}
					return gitlabfake.Fault{}
				})
				h, err := p.Post(t.Context(), m)
				if err == nil || isPermanent(err) {
					t.Errorf("%s: post %d: error %v", kind, i, err)
				}
				var turn interface{ RetryAfter() time.Duration }
				found := false
				if errors.As(err, &turn) {
					time.Sleep(turn.RetryAfter())
				} else if h, found, err = p.Find(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				if !found {
					if h, err = p.Post(t.Context(), m); err != nil {
						t.Fatalf("%s: post %d again: %v", kind, i, err)
					}
				}
				if h.ID == "" {
					t.Errorf("%s: post %d has no handle", kind, i)
				}
			}
			own := 0
			for _, n := range y.Notes(cart, mr) {
				if n.User == y.bot {
					own++
				}
			}
			if own != 2 {
				t.Errorf("%s: %d comments, want 2", kind, own)
			}
		})
	}
}

// Two at once make one lasting comment.
func TestLastingAtOnce(t *testing.T) {
	inTalk(t, func(t *testing.T, y *yard, d *desk, channel string, mr int64) {
		done := make(chan error)
		for i := range 5 {
			go func() {
				_, err := y.g.Discussions().Post(t.Context(), chat.Message{Key: fmt.Sprint("answer/", i), Channel: channel, Card: chat.Card{Title: "Plan", Lasting: "plan/staging"}})
				done <- err
			}()
		}
		for range 5 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := len(y.Notes(cart, mr)); n != 1 {
			t.Errorf("%d comments, want one", n)
		}
	})
}

// Issues have the same, at their own addresses.
func TestIssueDiscussions(t *testing.T) {
	var calls []string
	var bodies []string
	g := gitlabOf(t, func(r *http.Request) (*http.Response, error) {
		_, path, _ := strings.Cut(r.URL.EscapedPath(), "/api/v4/")
		calls = append(calls, r.Method+" "+path)
		if r.Body != nil {
			body, _ := io.ReadAll(r.Body)
			bodies = append(bodies, string(body))
		}
		response := replied(404, "{}")
		switch {
		case path == "user":
			response = replied(200, `{"id":7,"username":"muster"}`)
		case r.Method == http.MethodGet && strings.HasSuffix(path, "/notes"):
			response = replied(200, `[{"id":3,"body":"x\n\n<!-- muster:k -->","author":{"id":7}}]`)
		case r.Method == http.MethodGet && strings.HasSuffix(path, "/discussions"):
			response = replied(200, `[{"id":"d1","notes":[{"id":3}]}]`)
		case r.Method == http.MethodGet && strings.HasSuffix(path, "/notes/9"):
			response = replied(200, fmt.Sprintf(`{"id":9,"body":"/muster why","author":{"id":8,"username":"ann"},"created_at":%q}`, time.Now().Format(time.RFC3339)))
		case r.Method != http.MethodGet:
			response = replied(201, `{"id":4}`)
		}
		response.Request = r
		return response, nil
	})
	p := g.Discussions()
	const channel = "shop/api#12"
	if h, found, err := p.Find(t.Context(), chat.Message{Key: "k", Channel: channel}); err != nil || !found || h != (chat.Handle{Channel: channel, ID: "3"}) {
		t.Errorf("find: %+v, %v, %v", h, found, err)
	}
	for _, thread := range []string{"", "d1", "3"} {
		if h, err := p.Post(t.Context(), chat.Message{Key: "l", Channel: channel, Thread: thread, Card: chat.Card{Text: "Hello"}}); err != nil || h.ID != "4" {
			t.Errorf("post: %+v, %v", h, err)
		}
	}
	if err := p.Update(t.Context(), chat.Handle{Channel: channel, ID: "3"}, chat.Message{Key: "k", Card: chat.Card{Text: "Hello"}}); err != nil {
		t.Error(err)
	}
	d := &desk{}
	body := `{"object_kind":"note","user":{"username":"ann"},"project":{"path_with_namespace":"shop/api"},"issue":{"iid":12},
		"object_attributes":{"id":9,"note":"/muster why","noteable_type":"Issue","action":"create","discussion_id":"d2"}}`
	if w := deliver(g.Handler(d, d), body); w.Code != 204 {
		t.Errorf("status = %d", w.Code)
	}
	if said := d.said(); len(said) != 1 || said[0].Channel != channel || said[0].Thread != "d2" || said[0].Text != "why" || said[0].From != "ann" {
		t.Errorf("received was %+v", said)
	}
	want := []string{
		"GET user", "GET projects/shop%2Fapi/issues/12/notes",
		"POST projects/shop%2Fapi/issues/12/notes", "POST projects/shop%2Fapi/issues/12/discussions/d1/notes",
		"GET projects/shop%2Fapi/issues/12/discussions", "POST projects/shop%2Fapi/issues/12/discussions/d1/notes",
		"PUT projects/shop%2Fapi/issues/12/notes/3", "GET projects/shop%2Fapi/issues/12/notes/9",
	}
	if !slices.Equal(calls, want) {
		t.Errorf("calls were %q, want %q", calls, want)
	}
	for _, b := range bodies {
		if !strings.Contains(b, "Hello") {
			t.Errorf("a body is %q", b)
		}
	}
}

func TestPerson(t *testing.T) {
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		y.AddUser(gitlabfake.User{Username: "carol", Email: "carol@shop.example"})
		y.AddUser(gitlabfake.User{Username: "dan", Email: "both@shop.example"})
		y.catalog.People = []playbooks.Person{
			{ID: "a", Handles: map[string]string{System: "Ann"}}, {ID: "c", Email: "Carol@Shop.example"},
			{ID: "taken", Email: "ann@example.com"}, {ID: "d1", Email: "both@shop.example"}, {ID: "d2", Email: "both@shop.example"},
			{ID: "gone", Handles: map[string]string{System: "zoe"}}, {ID: "bot", Email: y.bot + "@example.com"},
		}
		for _, tt := range []struct{ handle, id, why string }{
			{"ann", "a", ""}, {"carol", "c", ""}, {"CAROL", "c", ""},
			{"bob", "", `give you the handle "bob" in "gitlab"`}, {"dan", "", "several people"}, {"zoe", "", "does not know your account"},
			{"", "", "does not tell who you are"}, {y.bot, "", "bots of tokens"},
		} {
			id, why, err := y.g.Person(t.Context(), tt.handle)
			if err != nil || id != tt.id || !strings.Contains(why, tt.why) || (why == "") != (tt.why == "") {
				t.Errorf("Person(%q) = %q, %q, %v, want %q, %q", tt.handle, id, why, err, tt.id, tt.why)
			}
		}
		before := len(y.Calls())
		if id, _, _ := y.g.Person(t.Context(), "carol"); id != "c" || len(y.Calls()) != before {
			t.Errorf("GitLab was asked again for %q", id)
		}
		time.Sleep(knowAccount + time.Second)
		y.SetFault(func(gitlabfake.Call) gitlabfake.Fault { return gitlabfake.Fault{Kind: gitlabfake.ServerError} })
		if id, why, err := y.g.Person(t.Context(), "carol"); err == nil {
			t.Errorf("Person = %q, %q while GitLab is out of order, want an error", id, why)
		}
		if h, err := y.g.Handle(t.Context(), "a"); err != nil || h != "Ann" {
			t.Errorf("Handle = %q, %v", h, err)
		}
		if h, err := y.g.Handle(t.Context(), "c"); err != nil || h != "" {
			t.Errorf("Handle = %q, %v", h, err)
		}
	})
}
