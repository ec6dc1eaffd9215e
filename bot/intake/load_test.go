package intake_test

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/builds"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/bot/intake"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/bolt"
)

const loadBriefly = 2 * time.Second

var loadFor = flag.Duration("load", loadBriefly, "for how long TestLoad delivers 1,000 events a second, and holds the time of each against its bound")

// TestLoad delivers events at a rate that does not wait for answers, as a forge does, to an
// intake on a file that is synced, while it handles them. The time of each begins when it was to
// be sent.
func TestLoad(t *testing.T) {
	const rate = 1000
	path := filepath.Join(t.TempDir(), "muster.db")
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	logs := store.NewLogs(s)
	world, err := local.Open("", local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	policy := playbooks.NewPolicy(shop(rule("tags", "gitlab tag", playbooks.RulePlan, "staging")))
	o := intake.Options{
		Logs: logs, Policy: func() *playbooks.Policy { return policy }, Chat: world.Chat, Builds: builds.New(logs),
		Execute: func(context.Context, bot.Line) bot.Answer { return bot.Answer{} },
		Started: func(context.Context, string) (string, error) { return "", nil },
		Runs:    func(context.Context) ([]intake.Run, error) { return nil, nil },
		Sources: map[string]intake.Source{"gitlab": {Origin: new(forge)}},
	}
	in, err := intake.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := in.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	total := int(loadFor.Seconds() * rate)
	times := make([]time.Duration, total)
	padding := strings.Repeat("x", 700)
	var group sync.WaitGroup
	began := time.Now()
	for i := range total {
		due := began.Add(time.Duration(i) * time.Second / rate)
		time.Sleep(time.Until(due))
		group.Go(func() {
			e := pipeline("shop/api", fmt.Sprint("c", i), fmt.Sprint(i))
			e.Subject, e.Fields["message"] = fmt.Sprint("pipeline ", i%500), padding
			if err := in.Take(t.Context(), e); err != nil {
				t.Error(err)
			}
			times[i] = time.Since(due)
		})
	}
	group.Wait()
	took := time.Since(began)
	cancel()
	running.Wait()
	waiting := 0
	for _, err := range logs.Keys(t.Context(), "intake/event/") {
		if err != nil {
			t.Fatal(err)
		}
		waiting++
	}
	slices.Sort(times)
	at := func(share float64) time.Duration {
		return times[int(share*float64(total-1))].Round(10 * time.Microsecond)
	}
	t.Logf("%d events in %v, %d of them handled meanwhile: p50 %v, p95 %v, p99 %v, most %v", total, took.Round(time.Millisecond), total-waiting, at(0.5), at(0.95), at(0.99), at(1))
	// A bound in time is for a machine that does nothing else: -load asks for it.
	if asked := *loadFor != loadBriefly; asked && at(0.99) > 100*time.Millisecond {
		t.Errorf("p99 is %v, want less than 100ms", at(0.99))
	}

	// All of them are there for the next process.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = bolt.Open(path, bolt.Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	known := 0
	for pair, err := range store.NewLogs(s).Keys(t.Context(), "intake/known/gitlab/delivery-") {
		if err != nil {
			t.Fatal(err)
		}
		if len(pair.Value) > 0 {
			known++
		}
	}
	if known != total {
		t.Errorf("%d events are known after a restart, want %d", known, total)
	}
}

var _ events.Intake = (*intake.Intake)(nil)
