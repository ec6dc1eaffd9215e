package bot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
)

// forgePages is what the forge is to show of a run.
type forgePages struct {
	records  []steps.ForgeRecord
	releases []steps.ForgeRelease
}

// forgeShows says what the forge ought to show of a run while it is under way: for each module that
// has a source, where each deployment of it stands. It is pure.
func forgeShows(v engine.View) forgePages {
	var pages forgePages
	r := v.Run
	for _, chapter := range r.Earlier {
		pages.chapter(v, chapter, true)
	}
	pages.chapter(v, playbooks.Chapter{Book: r.Book, Steps: r.Steps}, r.Over())
	return pages
}

// delivers reports whether steps of a kind bring a version to its place.
func delivers(k playbooks.StepKind) bool {
	return k == playbooks.StepDeploy || k == playbooks.StepPromote || k == playbooks.StepRollback
}

// chapter records the deployments of a playbook; over says that no step of it begins any more.
func (f *forgePages) chapter(v engine.View, c playbooks.Chapter, over bool) {
	catalog := v.Policy.Catalog()
	for i := range c.Book.Steps {
		s := &c.Book.Steps[i]
		m := catalog.Module(s.Module)
		if m == nil || m.Source == "" || !delivers(s.Kind) {
			continue
		}
		rec := steps.ForgeRecord{
			Run: v.Run.ID, Module: m, Place: playbooks.Place{Environment: v.Run.Environment, Target: s.Target, Module: s.Module},
			Deployer: s.Deployer, Version: s.Version, Commit: s.Params[playbooks.ParamCommit],
		}
		rec.State, rec.Since = deploymentState(c, s, over, v.Run.Outcome == playbooks.Aborted)
		if rec.State == "" {
			continue
		}
		rec.Text = fmt.Sprintf("%s: %s", stepWords(s), rec.State)
		f.records = append(f.records, rec)
	}
}

// deploymentState is where a deployment stands, by all steps of its module at its target; empty
// where it never began and never will.
func deploymentState(c playbooks.Chapter, deploy *playbooks.Step, over, aborted bool) (state steps.ForgeState, since time.Time) {
	begun, done, failed := false, true, false
	for i := range c.Book.Steps {
		s, p := &c.Book.Steps[i], &c.Steps[i]
		if s.Module != deploy.Module || s.Target != deploy.Target || !s.Kind.HasEffect() && s.Kind != playbooks.StepVerify && s.Kind != playbooks.StepBake ||
			s.Kind == playbooks.StepPublish || s.Kind == playbooks.StepTag {
			continue
		}
		begun = begun || p.Attempt > 0
		done = done && (p.State == playbooks.Done || p.State == playbooks.SkippedStep)
		failed = failed || p.State == playbooks.Unknown || p.State == playbooks.Failing && p.RetryAt.IsZero()
		if p.Since.After(since) {
			since = p.Since
		}
	}
	switch {
	case done:
		return steps.ForgeSuccess, since
	case aborted && begun:
		return steps.ForgeCanceled, since
	case failed:
		return steps.ForgeFailed, since
	case over && begun:
		return steps.ForgeCanceled, since
	case over:
		return "", since
	case begun:
		return steps.ForgeRunning, since
	}
	return steps.ForgePending, since
}

// release adds the releases of modules that have a tag: those that the run has tagged, and in
// the last environment all others as well. Told is what the book brings.
func (f *forgePages) release(p *picture, told *playbooks.Playbook) {
	catalog, book := p.policy.Catalog(), p.forward
	last := len(catalog.Environments) > 0 && catalog.Environments[len(catalog.Environments)-1].Name == p.environment
	notes := playbooks.NewReleaseNotes(told)
	for i := range told.Modules {
		planned := &told.Modules[i]
		m := catalog.Module(planned.Name)
		if m == nil || m.Source == "" || !last && book.Lookup("tag:"+planned.Name) == nil || playbooks.IsPseudoVersion(planned.Version) {
			continue
		}
		var text strings.Builder
		if err := notes.Of(planned.Name).WriteMarkdown(&text); err != nil {
			continue // a Builder takes everything
		}
		rel := steps.ForgeRelease{Run: p.run, Module: m, Version: planned.Version, Notes: text.String()}
		for k := range book.Steps {
			if s := &book.Steps[k]; s.Module == planned.Name && s.Params[playbooks.ParamCommit] != "" {
				rel.Commit = s.Params[playbooks.ParamCommit]
			}
		}
		if c := planned.Changes; c != nil && c.Link != "" {
			rel.Links = append(rel.Links, steps.ForgeLink{Name: "Changes since " + planned.Replaces(), URL: c.Link})
		}
		f.releases = append(f.releases, rel)
	}
}

// reportForge makes the forge's pages look like a run.
func (r *Reporters) reportForge(ctx context.Context, d *desk) (over bool, err error) {
	p, pages, err := lookAt(ctx, r, d.run, forgeShows)
	if err != nil {
		return false, err
	}
	d.ledger.seq, d.atRest = p.len, p.atRest
	if p.outcome == playbooks.Succeeded && p.forward.RollbackOf == nil {
		pages.release(p, withNews(p.forward.Playbook, r.news(ctx, d, p)))
	}
	for _, rec := range pages.records {
		at := forgePrefix + d.run + "/" + strings.Join([]string{rec.Module.Name, rec.Place.Target, rec.Version}, "/")
		seen := rec
		seen.Module = nil // its catalog may change without anything to show
		r.showOnForge(ctx, d, at, seen, func(ctx context.Context) error { return r.o.Forge.Record(ctx, rec) })
	}
	for _, rel := range pages.releases {
		seen := rel
		seen.Module = nil
		r.showOnForge(ctx, d, forgePrefix+d.run+"/"+rel.Module.Name+"/release", seen, func(ctx context.Context) error { return r.o.Forge.Release(ctx, rel) })
	}
	return p.over, nil
}

// showOnForge calls show unless what is noted at a key says that it has shown the same already.
func (r *Reporters) showOnForge(ctx context.Context, d *desk, at string, what any, show func(context.Context) error) {
	data, err := json.Marshal(what)
	if err != nil {
		r.o.Log.Error("what the forge is to show cannot be written down", "run", d.run, "error", err)
		return
	}
	sum := sha256.Sum256(data)
	want := hex.EncodeToString(sum[:8])
	r.attempt(ctx, d, at, chat.Settled, func() error {
		var shown string
		if _, err := r.scribe.read(ctx, at, &shown); err != nil || shown == want {
			return err
		}
		call, cancel := calling(ctx)
		defer cancel()
		if err := show(call); err != nil {
			return err
		}
		return r.scribe.write(ctx, at, want)
	})
}
