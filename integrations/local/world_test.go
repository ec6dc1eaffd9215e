package local_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// cart is where most tests work.
var cart = playbooks.Place{Environment: "production", Target: "eu", Module: "cart"}

// order makes an order for cart that takes three seconds.
func order(action playbooks.StepKind, key, version string) steps.Order {
	return steps.Order{
		Key: key, Run: "r1", Step: string(action) + ":cart", Attempt: 1, Action: action, Place: cart,
		Version: version, Share: 100, Params: map[string]string{"duration": "3s"},
	}
}

func open(t *testing.T, dir string, opts local.Options) *local.World {
	t.Helper()
	w, err := local.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// check panics on an error that the test does not expect, so that the stack says
// where.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func kinds(entries []local.Entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, string(e.Kind))
	}
	return strings.Join(all, " ")
}

// fill does something in every system.
func fill(t *testing.T, w *local.World) {
	t.Helper()
	ctx := t.Context()
	if err := w.Cluster.Seed(cart, "v1", time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	must(w.Cluster.Start(ctx, order(playbooks.StepDeploy, "k1", "v2")))
	check(w.Forge.SetBuild(playbooks.BuildState{Module: "cart", Version: "v2", State: "passed", Config: "c2"}))
	must(w.Forge.Start(ctx, order(playbooks.StepTest, "k2", "v2")))
	key := must(w.Tracker.Create(ctx, steps.Issue{Run: "r1", Title: "Release r1"}))
	check(w.Tracker.Comment(ctx, key, steps.Comment{Marker: "r1/4", Text: "approved by Ada"}))
	h := must(w.Chat.Post(ctx, chat.Message{Key: "board", Channel: "releases", Card: chat.Card{Text: "r1"}}))
	check(w.Chat.Update(ctx, h, chat.Message{Card: chat.Card{Text: "r1 again"}}))
	must(w.Chat.Say("ada", "releases", h.ID, "approve r1"))
}

func TestReopenedWorldIsAsItWas(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, local.Options{})
	fill(t, w)
	messages, issues := w.Chat.Messages(""), w.Tracker.Issues()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Cluster.Start(t.Context(), order(playbooks.StepDeploy, "late", "v3")); err == nil {
		t.Error("a closed world took an order")
	}

	journals := must(local.ReadJournals(dir))
	for system, c := range map[string]struct {
		entries []local.Entry
		want    string
	}{
		"cluster": {journals.Cluster, "seeded started"},
		"forge":   {journals.Forge, "built started"},
		"tracker": {journals.Tracker, "created commented"},
		"chat":    {journals.Chat, "posted updated said"},
	} {
		if got := kinds(c.entries); got != c.want {
			t.Errorf("journal of the %s is %q, want %q", system, got, c.want)
		}
	}
	if e := journals.Cluster[1]; e.Key != "k1" || e.Attempt != 1 || e.Place != cart || e.Version != "v2" || e.Takes != 3*time.Second {
		t.Errorf("entry of the rollout is %+v", e)
	}

	w = open(t, dir, local.Options{Speed: 50})
	if r := must(w.Cluster.Look(t.Context(), order(playbooks.StepDeploy, "k1", "v2"))); r.Phase != steps.Running {
		t.Errorf("after reopening the rollout is %+v, want it to run on at its own pace", r)
	}
	if got := must(w.Forge.Build(t.Context(), "cart", "v2")); got.State != "passed" || got.Config != "c2" {
		t.Errorf("after reopening the build is %+v", got)
	}
	if got := w.Chat.Messages(""); fmt.Sprint(got) != fmt.Sprint(messages) {
		t.Errorf("after reopening the chat is\n%+v, want\n%+v", got, messages)
	}
	if got := w.Tracker.Issues(); fmt.Sprint(got) != fmt.Sprint(issues) {
		t.Errorf("after reopening the tracker is\n%+v, want\n%+v", got, issues)
	}
	if events := must(w.Chat.Events("")); len(events) != 1 || events[0].Text != "approve r1" {
		t.Errorf("after reopening the events are %+v", events)
	}
}

func TestTornLastLineIsCutOff(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, local.Options{})
	fill(t, w)
	w.Close()
	path := filepath.Join(dir, "cluster.jsonl")
	whole := must(os.ReadFile(path))
	last := whole[strings.LastIndexByte(strings.TrimSuffix(string(whole), "\n"), '\n')+1:]
	for _, torn := range [][]byte{last[:1], last[:len(last)/2], last[:len(last)-1]} {
		check(os.WriteFile(path, append(slices.Clone(whole), torn...), 0o644))
		if j := must(local.ReadJournals(dir)); len(j.Cluster) != 2 {
			t.Errorf("with %d torn bytes the journal has %d entries, want 2", len(torn), len(j.Cluster))
		}
		w = open(t, dir, local.Options{})
		must(w.Cluster.Start(t.Context(), order(playbooks.StepDeploy, "k9", "v9")))
		w.Close()
		if j := must(local.ReadJournals(dir)); len(j.Cluster) != 3 || j.Cluster[2].Key != "k9" {
			t.Errorf("with %d torn bytes the journal went on as %q", len(torn), kinds(j.Cluster))
		}
	}
}

func TestDamageIsRefusedAndLeftAlone(t *testing.T) {
	for name, line := range map[string]string{
		"not JSON":     "{oops\n",
		"unknown kind": `{"seq":1,"time":"2026-03-01T09:00:00Z","kind":"teleported"}` + "\n",
		"missing line": `{"seq":2,"time":"2026-03-01T09:00:00Z","kind":"stopped"}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "forge.jsonl")
			check(os.WriteFile(path, []byte(line), 0o644))
			_, err := local.Open(dir, local.Options{})
			if err == nil || !strings.Contains(err.Error(), "forge.jsonl") || !strings.Contains(err.Error(), "line 1") {
				t.Errorf("Open says %v, want the file and the line", err)
			}
			if got := must(os.ReadFile(path)); string(got) != line {
				t.Errorf("the file was changed to %q", got)
			}
		})
	}
}

func TestWorldBelongsToOneHandle(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, local.Options{})
	_, err := local.Open(dir, local.Options{})
	if err == nil || !strings.Contains(err.Error(), "in use by process "+fmt.Sprint(os.Getpid())) {
		t.Errorf("the second Open says %v, want who has it", err)
	}
	w.Close()
	open(t, dir, local.Options{})
}

func TestOpenRefusesNonsense(t *testing.T) {
	if _, err := local.Open("", local.Options{Speed: -1}); err == nil {
		t.Error("a negative speed was taken")
	}
	file := filepath.Join(t.TempDir(), "file")
	check(os.WriteFile(file, nil, 0o644))
	if _, err := local.Open(file, local.Options{}); err == nil {
		t.Error("a file was taken for a directory")
	}
	if _, err := local.ReadJournals(file); err == nil {
		t.Error("a file was read as a directory of journals")
	}
}

// everyCall makes one call of every port method. It goes on after errors.
func everyCall(ctx context.Context, w *local.World) {
	deploy, test := order(playbooks.StepDeploy, "k1", "v2"), order(playbooks.StepTest, "k2", "v2")
	w.Cluster.Start(ctx, deploy)
	w.Cluster.Look(ctx, deploy)
	w.Cluster.Live(ctx, cart)
	w.Cluster.Stop(ctx, deploy)
	w.Forge.Start(ctx, test)
	w.Forge.Look(ctx, test)
	w.Forge.Stop(ctx, test)
	w.Forge.Build(ctx, "cart", "v2")
	w.Forge.Versions(ctx, "cart", 0)
	w.Forge.Check(ctx, steps.GateQuery{Gate: playbooks.Gate{Kind: "pipeline"}, Module: "cart", Version: "v2"})
	w.Tracker.Create(ctx, steps.Issue{Run: "r1"})
	w.Tracker.Find(ctx, "r1", time.Time{})
	w.Tracker.Update(ctx, "REL-1", steps.Issue{Run: "r1", Title: "x"})
	w.Tracker.Comment(ctx, "REL-1", steps.Comment{Marker: "r1/1"})
	w.Tracker.Commented(ctx, "REL-1", "r1/1")
	w.Chat.Post(ctx, chat.Message{Key: "board", Channel: "releases"})
	w.Chat.Find(ctx, chat.Message{Key: "board", Channel: "releases"})
	w.Chat.Update(ctx, chat.Handle{Channel: "releases", ID: "1"}, chat.Message{Card: chat.Card{Text: "x"}})
}

const portMethods = 18

func TestInterceptSeesEveryCallBeforeAndAfter(t *testing.T) {
	var seen []local.Call
	w := open(t, "", local.Options{Intercept: func(_ context.Context, c local.Call) error {
		seen = append(seen, c)
		return nil
	}})
	everyCall(t.Context(), w)
	if w.Calls() != portMethods || len(seen) != 2*portMethods {
		t.Fatalf("%d calls were seen %d times, want %d and %d", w.Calls(), len(seen), portMethods, 2*portMethods)
	}
	for i, c := range seen {
		if c.N != i/2+1 || c.After != (i%2 == 1) || c.System == "" || c.Method == "" || c.Key == "" {
			t.Errorf("point %d is %+v", i, c)
		}
	}
}

func TestInterceptFailsEachCall(t *testing.T) {
	broken := errors.New("broken")
	count := func(w *local.World) int {
		return len(w.Cluster.Journal()) + len(w.Forge.Journal()) + len(w.Tracker.Journal()) + len(w.Chat.Journal())
	}
	whole := open(t, "", local.Options{})
	everyCall(t.Context(), whole)
	for n := 1; n <= portMethods; n++ {
		for _, after := range []bool{false, true} {
			strike := 0
			w := open(t, "", local.Options{Intercept: func(_ context.Context, c local.Call) error {
				if c.N == n && c.After == after {
					strike++
					return broken
				}
				return nil
			}})
			everyCall(t.Context(), w)
			if strike != 1 {
				t.Errorf("call %d (after %v) was struck %d times", n, after, strike)
			}
			if after && count(w) != count(whole) {
				t.Errorf("call %d failed after its effect: %d entries, want %d", n, count(w), count(whole))
			}
		}
	}
	w := open(t, "", local.Options{Intercept: func(context.Context, local.Call) error { return broken }})
	everyCall(t.Context(), w)
	if count(w) != 0 {
		t.Errorf("calls that failed before their effect left %d entries", count(w))
	}
	_, err := w.Cluster.Look(t.Context(), order(playbooks.StepDeploy, "k1", "v2"))
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), `cluster: Look "k1"`) {
		t.Errorf("the error is %v, want the cause and the call", err)
	}
}

func TestNobodyFindsLaterWhatTheyGaveUpOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, "", local.Options{Intercept: func(_ context.Context, c local.Call) error {
			if c.N == 1 && !c.After {
				time.Sleep(time.Minute) // a network that delivers late, deaf to ctx
			}
			return nil
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		o := order(playbooks.StepDeploy, "k1", "v2")
		if _, err := w.Cluster.Start(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Start says %v", err)
		}
		if r := must(w.Cluster.Look(t.Context(), o)); r.Phase != steps.Absent {
			t.Errorf("Look says %+v, want absent", r)
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		w := open(t, dir, local.Options{Speed: 1000})
		var g sync.WaitGroup
		for i := range 8 {
			g.Go(func() {
				ctx := t.Context()
				o := order(playbooks.StepDeploy, fmt.Sprint("k", i), "v2")
				o.Place.Module = fmt.Sprint("m", i%3)
				must(w.Cluster.Start(ctx, o))
				must(w.Cluster.Look(ctx, o))
				h := must(w.Chat.Post(ctx, chat.Message{Key: fmt.Sprint(i), Channel: "releases"}))
				check(w.Chat.Update(ctx, h, chat.Message{Card: chat.Card{Text: "x"}}))
				must(w.Chat.Say("ada", "releases", "", "status"))
				must(w.Tracker.Create(ctx, steps.Issue{Run: fmt.Sprint(i)}))
				w.Inject(local.Fault{Module: "none", Kind: local.Stuck})
				w.Heal("none")
			})
		}
		g.Wait()
		if n := len(must(w.Chat.Events(""))); n != 8 {
			t.Errorf("%d events, want 8", n)
		}
		if n := len(w.Tracker.Issues()); n != 8 {
			t.Errorf("%d issues, want 8", n)
		}
	}
}

// BenchmarkStart is one rollout begun and looked up in memory, as in a simulation.
func BenchmarkStart(b *testing.B) {
	w := must(local.Open("", local.Options{}))
	for i := 0; b.Loop(); i++ {
		o := order(playbooks.StepDeploy, fmt.Sprint(i), "v2")
		must(w.Cluster.Start(b.Context(), o))
		must(w.Cluster.Look(b.Context(), o))
	}
}
