package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/bolt"
	"github.com/muster-release/muster/store/mem"
)

// me is who sits at the demo's terminal.
const me = "you"

// demo is a Muster of its own with a world of its own.
type demo struct {
	flags   demoFlags
	catalog *playbooks.Catalog
	world   *local.World
	app     *app
	channel string // where the release is talked about
	resumed bool   // there was something in --data already
}

// openDemo opens the demo's world and a Muster that works in it, both from
// --data where that is given.
func openDemo(ctx context.Context, f demoFlags) (*demo, error) {
	if !(f.speed > 0 && f.speed <= 100_000) {
		return nil, misuse("demo: --speed %v: want a number above 0", f.speed)
	}
	config, err := configs.LoadFS(configs.Demo(), ".")
	if err != nil {
		return nil, err
	}
	catalog := config.Catalog
	options := local.Options{Speed: f.speed, Takes: takes(catalog)}
	if options.Faults, err = parseFaults(catalog, f.faults); err != nil {
		return nil, err
	}
	if f.killAt != "" {
		if options.Intercept, err = killSelf(f.killAt); err != nil {
			return nil, err
		}
	}
	env := catalog.Environment(f.to)
	if env == nil {
		return nil, misuse("demo: --to %q: there is no such environment; the demo has %s", f.to, environments(catalog))
	}
	d := &demo{flags: f, catalog: paced(catalog, f.speed), channel: env.Channels[0]}
	if err := d.open(ctx, options); err != nil {
		return nil, err
	}
	return d, nil
}

func environments(c *playbooks.Catalog) string {
	names := make([]string, len(c.Environments))
	for i := range c.Environments {
		names[i] = c.Environments[i].Name
	}
	return strings.Join(names, ", ")
}

// open opens store, world and app. The store comes first: its error says which
// process has the folder.
func (d *demo) open(ctx context.Context, options local.Options) (err error) {
	var s store.Store = mem.New(mem.Options{})
	worldDir := ""
	if d.flags.data != "" {
		if err := os.MkdirAll(d.flags.data, 0o755); err != nil {
			return misuse("demo: --data: %w", err)
		}
		if s, err = bolt.Open(filepath.Join(d.flags.data, storeFile), bolt.Options{}); err != nil {
			return err
		}
		worldDir = filepath.Join(d.flags.data, worldFolder)
	}
	defer func() {
		if err != nil {
			if d.world != nil {
				d.world.Close()
			}
			s.Close()
		}
	}()
	if d.world, err = local.Open(worldDir, options); err != nil {
		return err
	}
	d.resumed = len(d.world.Chat.Messages("")) > 0
	if err := d.seed(); err != nil {
		return err
	}
	pace := d.pace
	d.app, err = newApp(ctx, appOptions{
		Catalog: d.catalog, Store: s, World: d.world,
		Timing: engine.Timing{
			Call: max(pace(5*time.Second), time.Second), Poll: max(pace(time.Second), 5*time.Millisecond), Backoff: max(pace(time.Second), 5*time.Millisecond),
		},
		Watch:  max(pace(time.Second), 5*time.Millisecond),
		Settle: max(pace(8*time.Second), time.Second),
		Pace:   max(pace(500*time.Millisecond), 10*time.Millisecond),
		Log:    slog.New(slog.DiscardHandler),
	})
	return err
}

// pace is how long d takes at the demo's speed.
func (d *demo) pace(t time.Duration) time.Duration { return scaled(t, d.flags.speed) }

func scaled(t time.Duration, speed float64) time.Duration {
	return time.Duration(float64(t) / speed)
}

// paced is the catalog for a speed. A timeout is not scaled below what a slow
// disk may need. People are known in the embedded chat by their ids.
func paced(c *playbooks.Catalog, speed float64) *playbooks.Catalog {
	p := *c
	p.Modules = slices.Clone(c.Modules)
	for i := range p.Modules {
		deploy := make(map[string]playbooks.Delivery, len(p.Modules[i].Deploy))
		for env, d := range p.Modules[i].Deploy {
			d.Estimate = scaled(d.Estimate, speed)
			d.Timeout = max(scaled(d.Timeout, speed), 3*time.Second)
			d.Strategy.Stages = slices.Clone(d.Strategy.Stages)
			for k := range d.Strategy.Stages {
				d.Strategy.Stages[k].Bake = scaled(d.Strategy.Stages[k].Bake, speed)
			}
			if d.Migration != nil {
				job := *d.Migration
				job.Timeout = d.Timeout
				d.Migration = &job
			}
			deploy[env] = d
		}
		p.Modules[i].Deploy = deploy
	}
	p.People = slices.Clone(c.People)
	for i := range p.People {
		p.People[i].Handles = map[string]string{localSystem: p.People[i].ID}
	}
	return &p
}

// takes makes the world's work last as long as the catalog estimates.
func takes(c *playbooks.Catalog) func(steps.Order) time.Duration {
	return func(o steps.Order) time.Duration {
		whole := 2 * time.Second
		if m := c.Module(o.Place.Module); m != nil && m.In(o.Place.Environment).Estimate > 0 {
			whole = m.In(o.Place.Environment).Estimate
		}
		if o.Action == playbooks.StepDeploy {
			return whole
		}
		return whole / 2
	}
}

func parseFaults(c *playbooks.Catalog, words []string) ([]local.Fault, error) {
	var faults []local.Fault
	for _, word := range words {
		f, err := local.ParseFault(word)
		if err != nil {
			return nil, misuse("demo: --fault: %w", err)
		}
		if c.Module(f.Module) == nil {
			var names []string
			for i := range c.Modules {
				names = append(names, c.Modules[i].Name)
			}
			return nil, misuse("demo: --fault: there is no module %q; the demo has %s", f.Module, strings.Join(names, ", "))
		}
		faults = append(faults, f)
	}
	return faults, nil
}

// What is live when the demo begins: the environments before the one that is
// released to have the versions of the catalog, it and those after it have the
// ones before, and one service has never been there.
const brandNew = "recommendationservice"

var versionsBefore = map[string]string{"redis-cart": "v7.2.4", "": "v0.10.3"}

func (d *demo) seed() error {
	now := time.Now()
	old := false
	for i := range d.catalog.Environments {
		env := &d.catalog.Environments[i]
		old = old || env.Name == d.flags.to
		for k := range d.catalog.Modules {
			m := &d.catalog.Modules[k]
			before, ok := versionsBefore[m.Name]
			if !ok {
				before = versionsBefore[""]
			}
			version, since := m.Version, now.Add(-time.Duration(3+k%5)*time.Hour)
			if old {
				version, since = before, now.Add(-time.Duration(9+k%7)*24*time.Hour)
			}
			for _, v := range []string{before, m.Version} {
				if err := d.world.Forge.SetBuild(playbooks.BuildState{Module: m.Name, Version: v, State: "passed"}); err != nil {
					return err
				}
			}
			if old && m.Name == brandNew {
				continue
			}
			for _, place := range d.catalog.Places(env, m) {
				if err := d.world.Cluster.Seed(place, version, since); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// killSelf makes the process kill itself at the n-th of certain points: between
// an intent and its effect, between an effect and its recorded outcome, or
// between a post and its saved handle. It is for the test that kills Muster.
func killSelf(where string) (func(context.Context, local.Call) error, error) {
	k, err := newKiller(where, "intent", "effect", "post")
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, c local.Call) error { return k.pass(at(c), 0) }, nil
}

// at names the point of a port call, and is empty for all others.
func at(c local.Call) string {
	works := (c.System == "cluster" || c.System == "forge") && c.Method == "Start"
	posts := c.System == "chat" && c.Method == "Post" || c.System == "tracker" && c.Method == "Create"
	switch {
	case works && !c.After:
		return "intent"
	case works:
		return "effect"
	case posts && c.After:
		return "post"
	}
	return ""
}
