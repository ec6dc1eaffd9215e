package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/integrations/slack/slackfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store/bolt"
)

// TestSlackAcknowledges measures, on a real disk and real sockets, how long a click or a command
// waits for its acknowledgement while 100 releases run.
func TestSlackAcknowledges(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	const live = 100
	for _, way := range []string{"socket", "http"} {
		t.Run(way, func(t *testing.T) {
			catalog := fleet(live*2, 1)
			catalog.Environments[0].Approvals = &playbooks.ApprovalPolicy{None: true}
			catalog.Environments[0].Limit = 0
			for i := range catalog.Modules {
				catalog.Modules[i].Needs = nil
			}
			h := newRealSlackHouse(t, catalog, way)
			for i := range live {
				plan, err := h.app.engine.Plan(t.Context(), playbooks.Request{Environment: "env0", Modules: []playbooks.ModuleRef{
					{Name: catalog.Modules[2*i].Name}, {Name: catalog.Modules[2*i+1].Name},
				}})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := h.app.engine.Start(t.Context(), playbooks.Command{Kind: playbooks.CommandStart, By: "rita", Digest: plan.Digest, Cause: fmt.Sprint("test/", i)}); err != nil {
					t.Fatal(err)
				}
			}
			var clicks sync.WaitGroup
			for i := range 300 {
				clicks.Go(func() {
					time.Sleep(time.Duration(i) * 15 * time.Millisecond)
					line := fmt.Sprintf("note %d seen", i%live+1)
					if i%2 == 0 {
						line = fmt.Sprintf("pause %d", i%live+1)
					}
					if _, err := h.fake.Slash("URITA", h.channel("#releases-0"), line); err != nil {
						t.Error(err)
					}
				})
			}
			clicks.Wait()
			var latencies []time.Duration
			for _, d := range h.fake.Deliveries() {
				if !d.Acked {
					t.Errorf("%s was not acknowledged: %s", d.ID, d.Error)
				}
				latencies = append(latencies, d.Latency)
			}
			open := len(h.app.engine.OpenRuns())
			p50, p99 := percentile(latencies, .5), percentile(latencies, .99)
			t.Logf("%d deliveries while %d releases run: acknowledged after p50 %v, p99 %v, at most %v", len(latencies), open, p50, p99, slices.Max(latencies))
			if len(latencies) < 300 || open < live {
				t.Errorf("%d deliveries, %d releases under way", len(latencies), open)
			}
			if p99 > 200*time.Millisecond {
				t.Errorf("acknowledged after %v at p99, want 200ms at most", p99)
			}
		})
	}
}

// newRealSlackHouse is a slackHouse on a disk and on sockets of this machine.
func newRealSlackHouse(t *testing.T, catalog *playbooks.Catalog, way string) *slackHouse {
	h := &slackHouse{t: t}
	var err error
	if h.fake, err = slackfake.New(slackfake.Options{}); err != nil {
		t.Fatal(err)
	}
	h.fake.AddUser(slackfake.User{ID: "URITA", Name: "rita", RealName: "Rita"})
	h.fake.AddChannel(slackfake.Channel{Name: "releases-0", Members: []string{slackfake.BotUser, "URITA"}})
	if h.world, err = local.Open("", local.Options{Takes: func(steps.Order) time.Duration { return time.Hour }}); err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(filepath.Join(t.TempDir(), storeFile), bolt.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	config := &configs.Slack{BotToken: configs.NewSecret(h.fake.BotToken()), APIURL: h.fake.APIURL(), Connections: 2}
	if way == "http" {
		config.SigningSecret = configs.NewSecret(h.fake.SigningSecret())
	} else {
		config.AppToken = configs.NewSecret(h.fake.AppToken())
	}
	log := slog.New(slog.DiscardHandler)
	talk := slackTalk(config, func() []playbooks.Person { return catalog.People }, nil, log)
	if h.app, err = newApp(t.Context(), appOptions{Catalog: catalog, Store: s, World: h.world, Talk: talk, Log: log}); err != nil {
		t.Fatal(err)
	}
	for i := range catalog.Modules {
		m := &catalog.Modules[i]
		if err := h.world.Forge.SetBuild(playbooks.BuildState{Module: m.Name, Version: m.Version, State: "passed"}); err != nil {
			t.Fatal(err)
		}
	}
	h.app.Start(context.Background())
	t.Cleanup(h.close)
	if way == "http" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: h.app.doors()["/slack/"]}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(l) })
		t.Cleanup(func() { _ = server.Close(); serving.Wait() })
		h.fake.DeliverHTTP("http://" + l.Addr().String())
		return h
	}
	for range 100 {
		if h.fake.Connections() > 0 {
			return h
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("no Socket Mode connection was opened")
	return nil
}
