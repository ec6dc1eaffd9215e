package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/bolt"
)

// What TestKill must have done before it is content.
const (
	killsWanted      = 100
	killsWantedPoint = 20
	mostDemos        = 20
	killSpeed        = "400"
)

// killPoints are where one demo is killed after the other of its starts: at the
// n-th such point since that start. First comes what is posted before anything is
// deployed. After a kill between intent and effect comes one behind an effect, so that
// the release gets on: what never began is begun again by itself a few times only.
var killPoints = []string{
	"post:1", "post:1", "post:2", "post:1", "post:1", "post:1",
	"effect:1", "intent:1", "effect:1", "intent:2", "effect:2", "intent:1", "effect:1", "intent:3", "effect:1",
	"intent:1", "effect:1", "intent:1", "effect:1", "post:1", "post:1",
}

// TestKill kills the real program with SIGKILL, again and again, during demo
// releases on a real disk, and goes on with the same command until each release is
// complete. What the embedded world has noted meanwhile, which knows nothing of Muster's
// store, must then show each deployment once, one board, one issue, and no
// approval asked twice.
func TestKill(t *testing.T) {
	kills := make(map[string]int)
	total, demos := 0, 0
	enough := func() bool {
		return total >= killsWanted && kills["intent"] >= killsWantedPoint && kills["effect"] >= killsWantedPoint && kills["post"] >= killsWantedPoint
	}
	for ; !enough() && demos < mostDemos; demos++ {
		data := t.TempDir()
		for start := 0; ; start++ {
			at := "post:1"
			if start < len(killPoints) {
				at = killPoints[start]
			}
			if !demoUntil(t, data, at) {
				break
			}
			point, _, _ := strings.Cut(at, ":")
			kills[point]++
			total++
		}
		checkWorld(t, data)
	}
	t.Logf("%d kills in %d demo releases: %d between intent and effect, %d between effect and outcome, %d between a post and its saved handle",
		total, demos, kills["intent"], kills["effect"], kills["post"])
	if !enough() {
		t.Error("that is not enough to say that kills do no harm")
	}
}

// demoUntil runs a demo until it kills itself at a point, or is complete.
func demoUntil(t *testing.T, data, at string) (killed bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := muster(ctx, t, "demo", "--auto", "--speed", killSpeed, "--data", data, "--kill-at", at)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		if !strings.Contains(out.String(), "Release 1 is complete.") {
			t.Fatalf("the demo in %s ended well without a complete release:\n%s", data, out.String())
		}
		return false
	case ctx.Err() == nil && errors.As(err, &exit) && exit.ExitCode() == -1: // ended by a signal, and not by the test
		return true
	}
	t.Fatalf("the demo in %s, to be killed at %s: %v\n%s", data, at, err, out.String())
	return false
}

// checkWorld looks at what the world has noted of a complete release.
func checkWorld(t *testing.T, data string) {
	t.Helper()
	world, err := local.ReadJournals(filepath.Join(data, worldFolder))
	if err != nil {
		t.Fatal(err)
	}
	checkWork(t, world)
	checkTalk(t, world.Chat)
	issues := 0
	for _, e := range world.Tracker {
		if e.Kind == local.EntryCreated {
			issues++
		}
	}
	if issues != 1 {
		t.Errorf("%d release issues were opened, want 1", issues)
	}
	checkLogs(t, data)
}

// checkWork finds work that was ordered twice.
func checkWork(t *testing.T, world local.Journals) {
	t.Helper()
	started, deployed := make(map[string]int), make(map[string]int)
	for _, e := range append(world.Cluster, world.Forge...) {
		switch e.Kind {
		case local.EntryStarted:
			if started[e.Key]++; started[e.Key] > 1 {
				t.Errorf("%s was begun %d times", e.Key, started[e.Key])
			}
			deployed[e.Step]++
		case local.EntryDuplicate:
			t.Errorf("%s was ordered again", e.Key)
		}
	}
	if len(deployed) != 15 {
		t.Errorf("%d steps have touched the world, want 15: %v", len(deployed), deployed)
	}
	for step, times := range deployed {
		if times != 1 {
			t.Errorf("step %s has touched the world %d times, and never failed", step, times)
		}
	}
}

// checkTalk finds messages that were posted twice, and questions without an answer.
func checkTalk(t *testing.T, entries []local.Entry) {
	t.Helper()
	posted := make(map[string]int)
	boards, approvals := 0, make(map[string]int)
	cards := make(map[string]local.Entry) // newest state of the requests, by ID
	for _, e := range entries {
		switch e.Kind {
		case local.EntryPosted:
			key := fmt.Sprintf("%s in %q to %q", e.Key, e.Message.Channel, e.Message.To)
			if posted[key]++; posted[key] > 1 {
				t.Errorf("posted %d times: %s", posted[key], key)
			}
			if strings.HasPrefix(e.Key, boardKey("")) {
				boards++
			}
			if strings.HasPrefix(e.Key, requestKey) {
				e.Card = &e.Message.Card
				cards[fmt.Sprint(e.Seq)] = e
			}
		case local.EntryUpdated:
			if asked, ok := cards[e.ID]; ok {
				asked.Card = e.Card
				cards[e.ID] = asked
			}
		case local.EntrySaid:
			if strings.HasPrefix(e.Event.Text, "approve ") {
				approvals[e.Event.From]++
			}
		case local.EntryDeleted:
			t.Errorf("message %s was deleted", e.ID)
		}
	}
	if boards != 1 {
		t.Errorf("%d boards were posted, want 1", boards)
	}
	if len(cards) == 0 {
		t.Error("nobody was asked for an approval")
	}
	for id, asked := range cards {
		if len(asked.Card.Actions) > 0 {
			t.Errorf("the request %s (message %s) still waits for an answer", asked.Key, id)
		}
	}
	for _, who := range []string{"ann", "bob"} {
		if approvals[who] != 1 {
			t.Errorf("%s had to approve %d times, want once", who, approvals[who])
		}
	}
}

// checkLogs verifies the chains, and that the release succeeded without a step
// that nobody could account for.
func checkLogs(t *testing.T, data string) {
	t.Helper()
	s, err := bolt.Open(filepath.Join(data, storeFile), bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	logs := store.NewLogs(s)
	for head, err := range logs.List(t.Context(), "") {
		if err == nil {
			_, err = logs.Verify(t.Context(), head.Log)
		}
		if err != nil {
			t.Error(err)
		}
	}
	for rec, err := range logs.Read(t.Context(), "run/1", 1) {
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(rec.Data, []byte(`"type":"`+string(playbooks.EventUnknown)+`"`)) {
			t.Errorf("nobody could tell what became of a step: %s", rec.Data)
		}
	}
}
