package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
)

// DefaultPageAfter is how long a release waits for people before it pages, where nothing
// else is said.
const DefaultPageAfter = 15 * time.Minute

// Classes of incident. Each run has one of a class at the most, and that is triggered, taken up and
// over as often as its reason comes and goes.
const (
	pageUnattended     = "unattended"      // it needs a person, and nobody came in time
	pageRollbackFailed = "rollback-failed" // what should go back does not
	pageUnknownStep    = "unknown-step"    // nobody can tell whether a step had its effect
)

var pageClasses = [...]string{pageRollbackFailed, pageUnknownStep, pageUnattended}

// keptPage is what is remembered of an incident that people were told of.
type keptPage struct {
	State steps.PageState `json:"state"`
	Since time.Time       `json:"since"` // when it was triggered
}

// need is why a run needs a person.
type need struct {
	class    string
	severity string
	summary  string
	details  map[string]string
	since    time.Time // for how long; zero: people are called at once
}

// needs are the reasons for which a run wants people called, now or when they have not come in
// time. It is pure.
func needs(v engine.View) []need {
	r := v.Run
	if r.Over() {
		return nil
	}
	var all []need
	add := func(class, severity, format string, args ...any) {
		all = append(all, need{class: class, severity: severity, summary: runTitle(r) + ": " + fmt.Sprintf(format, args...)})
	}
	var failed, unknown []string
	for _, s := range r.StuckSteps() {
		words := fmt.Sprintf("%s (%s)", stepWords(s), onOneLine(r.Progress(s.ID).Message))
		if r.Progress(s.ID).State == playbooks.Unknown {
			unknown = append(unknown, words)
		} else {
			failed = append(failed, words)
		}
	}
	if r.RollingBack && len(failed) > 0 {
		add(pageRollbackFailed, "critical", "the way back failed at %s", enumerate(failed, 2, "and"))
	}
	if len(unknown) > 0 {
		add(pageUnknownStep, "critical", "nobody can tell what became of %s", enumerate(unknown, 2, "and"))
	}
	if wait := oldestNeed(v); wait != nil {
		severity := "error"
		if !r.Touched() {
			severity = "warning" // nothing is half done
		}
		add(pageUnattended, severity, "it waits for %s: %s", enumerate(wait.Who, 3, "or"), onOneLine(strings.TrimRight(wait.For, ".")))
		all[len(all)-1].since = wait.Since
	}
	for i := range all {
		all[i].details = pageDetails(v)
	}
	return all
}

// oldestNeed is what has waited longest for a person, unless somebody stopped the run on
// purpose.
func oldestNeed(v engine.View) *playbooks.Wait {
	if halt := v.Run.Paused; halt != nil && halt.By != "" && halt.Rule == "" {
		return nil
	}
	var oldest *playbooks.Wait
	for _, w := range playbooks.Explain(v.Run, v.Environment, v.Policy, "", v.Now) {
		if len(w.Who) == 0 {
			continue
		}
		if w.Since.IsZero() {
			w.Since = v.Run.Updated
		}
		if oldest == nil || w.Since.Before(oldest.Since) {
			oldest = &w
		}
	}
	return oldest
}

// pageDetails is what somebody wants to know who was called in the night.
func pageDetails(v engine.View) map[string]string {
	r := v.Run
	details := map[string]string{
		"release": r.ID, "environment": r.Environment, "status": statusOf(r), "asked by": bySpeaker(v.Policy.Name(r.By), r.Rule),
		"modules": moduleMoves(r.Forward().Book.Playbook, 8),
	}
	var words []string
	for _, w := range playbooks.Explain(r, v.Environment, v.Policy, "", v.Now) {
		for _, line := range w.Words {
			if !slices.Contains(words, line) {
				words = append(words, line)
			}
		}
	}
	words = append(words, "why "+r.ID)
	details["what to type"] = strings.Join(words[:min(len(words), 6)], " | ")
	for name, value := range details {
		details[name] = chat.Plain(value)
	}
	return details
}

// reportPager keeps the incidents of a run where they are: triggered while it needs somebody,
// acknowledged once somebody has acted, resolved when it does not any more.
func (r *Reporters) reportPager(ctx context.Context, d *desk) (over bool, err error) {
	p, now, err := lookAt(ctx, r, d.run, needs)
	if err != nil {
		return false, err
	}
	if err := r.read(ctx, d, p.len); err != nil {
		return false, err
	}
	d.ledger.forget(p.len) // only who acted last is of interest
	d.atRest = p.atRest
	for _, class := range pageClasses {
		i := slices.IndexFunc(now, func(n need) bool { return n.class == class })
		var wants *need
		if i >= 0 {
			wants = &now[i]
		}
		r.attempt(ctx, d, "page/"+class, chat.Urgent, func() error { return r.keepPage(ctx, d, p, class, wants) })
	}
	return p.over, nil
}

// keepPage makes one incident stand where it should. It is safe to repeat after any error: a
// pager knows an incident by its key.
func (r *Reporters) keepPage(ctx context.Context, d *desk, p *picture, class string, wants *need) error {
	key := pagePrefix + d.run + "/" + class
	var k keptPage
	paged, err := r.scribe.read(ctx, key, &k)
	if err != nil {
		return err
	}
	page := steps.Page{
		Key: r.o.Engine.Instance() + "/" + d.run + "/" + class, Group: p.environment, Class: class, At: time.Now(),
		Service: p.forward.Modules[0].Name,
	}
	if wants != nil {
		page.Summary, page.Severity, page.Details = wants.summary, wants.severity, wants.details
	}
	switch {
	case wants == nil && !paged:
		return nil
	case wants == nil:
		page.State, page.Summary, page.Severity = steps.PageResolved, "it needs nobody any more", "info"
		if err := r.page(ctx, page); err != nil {
			return err
		}
		return r.scribe.remove(ctx, key)
	case paged && (k.State == steps.PageAcknowledged || !d.ledger.acted.After(k.Since)):
		return nil
	case paged:
		page.State = steps.PageAcknowledged
		if err := r.page(ctx, page); err != nil {
			return err
		}
		k.State = steps.PageAcknowledged
		return r.scribe.write(ctx, key, k)
	}
	if !wants.since.IsZero() {
		waited := wants.since
		if d.ledger.acted.After(waited) {
			waited = d.ledger.acted // somebody was there since
		}
		if due := waited.Add(r.o.PageAfter); time.Now().Before(due) {
			d.wait(due)
			return nil
		}
	}
	page.State = steps.PageTriggered
	if err := r.page(ctx, page); err != nil {
		return err
	}
	return r.scribe.write(ctx, key, keptPage{State: steps.PageTriggered, Since: time.Now()})
}

func (r *Reporters) page(ctx context.Context, p steps.Page) error {
	call, cancel := calling(ctx)
	defer cancel()
	return r.o.Pager.Page(call, p)
}
