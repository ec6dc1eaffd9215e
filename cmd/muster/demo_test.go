package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
)

// TestShippedRelease takes the shipped demo from the first line to the end, in the
// bubble's own time. Its people answer just what a release and nothing else is
// expected to ask; any other request fails the test.
func TestShippedRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d, err := openDemo(ctx, demoFlags{to: "production", speed: 1})
		if err != nil {
			t.Fatal(err)
		}
		d.app.Start(ctx)
		defer func() {
			cancel()
			if err := d.app.Stop(); err != nil {
				t.Error(err)
			}
		}()
		say := func(who, line string) {
			t.Helper()
			if _, err := d.world.Chat.Say(who, d.channel, "", line); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		say(me, "release all to production")
		expected := []string{"ann", "bob"} // one of release-managers, one of qa
		begin := time.Now()
		for time.Since(begin) < 2*time.Minute {
			if requests := d.requests(); len(requests) != 1 {
				t.Fatalf("people are asked %q, want one request", requests)
			}
			if len(expected) > 0 {
				say(expected[0], "approve 1")
				expected = expected[1:]
			}
			time.Sleep(time.Second)
		}

		for _, m := range d.catalog.Modules {
			live, err := d.world.Cluster.Live(ctx, playbooks.Place{Environment: "production", Module: m.Name})
			if err != nil || live.Version != m.Version || !live.Healthy {
				t.Errorf("%s: %+v, %v; want %s", m.Name, live, err, m.Version)
			}
		}
		begun := make(map[string]int)
		for _, e := range d.world.Cluster.Journal() {
			if e.Kind == local.EntryStarted {
				begun[e.Step]++
			}
		}
		for step, n := range begun {
			if n != 1 {
				t.Errorf("%s was done %d times", step, n)
			}
		}
		if issues := d.world.Tracker.Issues(); len(issues) != 1 || issues[0].Status != "released" {
			t.Errorf("release issues: %+v", issues)
		}
		boards := slices.DeleteFunc(d.world.Chat.Messages(d.channel), func(m local.Posted) bool { return !strings.HasPrefix(m.Key, "board/") })
		if len(boards) != 1 || !strings.Contains(boards[0].Card.Title, "released") || len(boards[0].Card.Actions) > 1 {
			t.Errorf("boards: %+v", boards)
		}
	})
}

// A release to another environment than the demo's is seen as well, and so is how
// it ends.
func TestOtherEnvironmentIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := openTestDemo(t, demoFlags{to: "production", speed: 1})
		f := feed{chat: d.world.Chat, width: 80}
		var seen strings.Builder
		if err := d.say("release redis-cart to staging"); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			time.Sleep(time.Second)
			news, _ := f.read()
			seen.WriteString(strings.Join(news, ""))
		}
		if !strings.Contains(seen.String(), "Release 1 → staging: released") {
			t.Errorf("it is not seen how the release ended:\n%s", seen.String())
		}
	})
}

// requests are the requests for approval in the channel, by key.
func (d *demo) requests() []string {
	var keys []string
	for _, m := range d.world.Chat.Messages(d.channel) {
		if strings.HasPrefix(m.Key, "request/") {
			keys = append(keys, m.Key)
		}
	}
	return keys
}
