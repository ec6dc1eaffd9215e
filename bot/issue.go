package bot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
)

// keptIssue is what is remembered of a run's release issue. It is written before
// the issue is created, without a Key: that says to look for the issue first.
type keptIssue struct {
	Key   string `json:"key,omitempty"`
	Shown string `json:"shown,omitempty"` // digest of what it says
	// Tried is when it was last begun to be created.
	Tried time.Time `json:"tried,omitzero"`
	// Doubt says that it was created although another try before may have made one, too: it
	// is looked for once more.
	Doubt bool `json:"doubt,omitempty"`
}

// planText is a plan in words. It is kept, for a large one takes long to write.
type planText struct {
	digest playbooks.Digest
	text   string
}

func (t *planText) of(pb *playbooks.Playbook) string {
	if t.digest != pb.Digest {
		var b strings.Builder
		if err := playbooks.WriteText(&b, pb); err != nil {
			return "" // a Builder takes everything
		}
		*t = planText{pb.Digest, b.String()}
	}
	return t.text
}

// issueStatus is the run's state in the words of the tracker.
func issueStatus(r *playbooks.Run) string {
	switch s := r.Status(); s {
	case playbooks.StatusWaiting, playbooks.StatusGated, playbooks.StatusQueued:
		return "waiting"
	case playbooks.StatusHeld, playbooks.StatusPaused, playbooks.StatusAborting, playbooks.StatusReturning:
		return "held"
	case playbooks.Status(playbooks.Succeeded):
		return "released"
	case playbooks.Status(playbooks.RolledBack):
		return "rolled back"
	case playbooks.Status(playbooks.Aborted), playbooks.Status(playbooks.Rejected):
		return "aborted"
	case playbooks.Status(playbooks.Failed):
		return "failed"
	}
	return "deploying"
}

// releaseIssue says what the issue of a run ought to look like, but for the plan.
// It tells states, not progress: every change of an issue is mail to those who watch it.
func releaseIssue(v engine.View, zone *time.Location) steps.Issue {
	r := v.Run
	c := calendar{zone, r.Created}
	book := r.Forward().Book
	issue := steps.Issue{
		Run: r.ID, Status: issueStatus(r),
		Title: fmt.Sprintf("%s: %s", runTitle(r), moduleMoves(book.Playbook, 3)),
		Fields: map[string]string{
			"environment": r.Environment, "asked by": bySpeaker(v.Policy.Name(r.By), r.Rule), "began": c.full(r.Created),
			"plan": book.Digest.String(), "modules": strconv.Itoa(len(book.Modules)),
		},
	}
	if r.Over() {
		issue.Fields["ended"], issue.Fields["outcome"] = c.full(r.Ended), string(r.Outcome)
	}
	if reason := r.Request.Reason; reason != "" {
		issue.Fields["because"] = reason
	}
	for name, value := range issue.Fields {
		issue.Fields[name] = chat.Plain(value)
	}
	state := []string{sentence(statusOf(r)) + "."}
	if r.Outcome == playbooks.Rejected {
		state = append(state, rejection(r, v.Policy)+".")
	}
	for _, s := range r.StuckSteps() {
		state = append(state, fmt.Sprintf("%s (%s): %s", s.ID, r.Progress(s.ID).State, onOneLine(r.Progress(s.ID).Message)))
	}
	b := &board{View: v, r: r, calendar: c}
	for _, w := range playbooks.Explain(r, v.Environment, v.Policy, "", v.Now) {
		b.sort(w)
	}
	for _, w := range b.waits[:min(len(b.waits), boardWaits)] {
		if len(w.Who) > 0 || w.Step == "lock" {
			state = append(state, sentence(waitWords(v, w))+".")
		}
	}
	issue.Description = strings.Join(state, "\n")
	issue.Environment, issue.Digest, issue.Over = r.Environment, book.Digest.String(), r.Over()
	for i := range book.Modules {
		m := &book.Modules[i]
		issue.Modules = append(issue.Modules, steps.IssueModule{Name: m.Name, Version: m.Version, From: m.Replaces(), Changes: m.Changes})
	}
	return issue
}

// reportTracker keeps the release issue of a run true, and tells below it what an
// auditor asks for.
func (r *Reporters) reportTracker(ctx context.Context, d *desk) (over bool, err error) {
	p, issue, err := lookAt(ctx, r, d.run, func(v engine.View) steps.Issue { return releaseIssue(v, r.o.Zone) })
	if err != nil {
		return false, err
	}
	issue.Plan = d.plan.of(p.forward.Playbook)
	news := r.news(ctx, d, p)
	for name, changes := range news {
		for i := range issue.Modules {
			if issue.Modules[i].Name == name {
				issue.Modules[i].Changes = changes
			}
		}
	}
	if err := r.read(ctx, d, p.len); err != nil {
		return false, err
	}
	d.atRest = p.atRest
	key := ""
	r.attempt(ctx, d, "issue", chat.Settled, func() (err error) {
		key, err = r.showIssue(ctx, issue)
		return err
	})
	if key != "" {
		r.attempt(ctx, d, "comments", chat.Settled, func() error {
			c, err := r.deliver(ctx, d, r.comments(p, news, key))
			d.ledger.forget(c.Seq)
			return err
		})
	}
	return p.over, nil
}

// showIssue creates the issue once, and makes it say what it ought to. It returns
// its key as soon as that is known. It is safe to repeat after any error.
func (r *Reporters) showIssue(ctx context.Context, issue steps.Issue) (string, error) {
	at := issuePrefix + issue.Run
	var k keptIssue
	noted, err := r.scribe.read(ctx, at, &k)
	if err != nil {
		return "", err
	}
	shown := issueDigest(issue)
	if k.Key == "" {
		if k, err = r.createIssue(ctx, at, k, noted, issue, shown); err != nil {
			return k.Key, err
		}
		// The board names the issue.
		r.chat.agenda.mark(issue.Run, time.Now())
	}
	if k.Doubt {
		if k, err = r.settleIssue(ctx, at, k, issue.Run); err != nil {
			return k.Key, err
		}
	}
	if k.Shown == shown {
		return k.Key, nil
	}
	call, cancel := calling(ctx)
	defer cancel()
	if err := r.o.Tracker.Update(call, k.Key, issue); err != nil {
		return k.Key, err
	}
	k.Shown = shown
	return k.Key, r.scribe.write(ctx, at, k)
}

// createIssue creates the issue. One that may have been created by an earlier try is
// looked for first, for as long as the tracker may not know it yet.
func (r *Reporters) createIssue(ctx context.Context, at string, k keptIssue, begun bool, issue steps.Issue, shown string) (keptIssue, error) {
	call, cancel := calling(ctx)
	defer cancel()
	if begun {
		key, found, err := r.o.Tracker.Find(call, issue.Run, k.Tried)
		if err != nil {
			return k, err
		}
		if found {
			k.Key = key
			return k, r.scribe.write(ctx, at, k)
		}
		k.Doubt = true
	}
	k.Tried = time.Now()
	if err := r.scribe.write(ctx, at, k); err != nil {
		return k, err
	}
	key, err := r.o.Tracker.Create(call, issue)
	if key != "" && err != nil {
		// It is there, and what is missing of it comes with an update.
		k.Key = key
		return k, r.scribe.write(ctx, at, k)
	}
	if refused(err) {
		// Nothing was made, so that the next try need not look for it.
		return k, errors.Join(err, r.scribe.remove(ctx, at))
	}
	if err != nil {
		return k, err
	}
	k.Key, k.Shown = key, shown
	return k, r.scribe.write(ctx, at, k)
}

// settleIssue looks once more for an issue that was created twice perhaps, as soon as the
// tracker would find both. Meanwhile the one that is known is kept true.
func (r *Reporters) settleIssue(ctx context.Context, at string, k keptIssue, run string) (keptIssue, error) {
	call, cancel := calling(ctx)
	defer cancel()
	key, found, err := r.o.Tracker.Find(call, run, k.Tried)
	if _, later := retryAfter(err); later {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	k.Doubt = false
	if found && key != k.Key {
		k.Key, k.Shown = key, ""
	}
	return k, r.scribe.write(ctx, at, k)
}

func issueDigest(i steps.Issue) string {
	data, _ := json.Marshal(i) // strings alone: it cannot fail
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// comments is the journal below the issue.
func (r *Reporters) comments(p *picture, news map[string]*playbooks.Changes, issue string) journal {
	marker := func(item uint64) string { return fmt.Sprintf("%s/%d", p.run, item) }
	return journal{
		key: cursorPrefix + p.run + "/tracker/",
		told: func(ctx context.Context, item uint64) (bool, error) {
			return r.o.Tracker.Commented(ctx, issue, marker(item))
		},
		tell: func(ctx context.Context, item uint64, entries []entry) error {
			var texts, code []string
			for _, e := range entries {
				texts = append(texts, e.text)
				if e.code != "" {
					code = append(code, e.code)
				}
			}
			return r.o.Tracker.Comment(ctx, issue, steps.Comment{
				Marker: marker(item), Text: chat.Plain(strings.Join(texts, "\n\n")), Code: chat.Plain(strings.Join(code, "\n\n")),
			})
		},
		entry: func(ctx context.Context, n notable) (entry, error) { return r.comment(ctx, p, news, n) },
	}
}

// comment tells an event so that it can be evidence: who, when, how, and of what.
func (r *Reporters) comment(ctx context.Context, p *picture, news map[string]*playbooks.Changes, n notable) (entry, error) {
	out, err := r.thread(ctx, p, n)
	if err != nil || out.text == "" {
		return out, err
	}
	e := &n.event
	when := e.Time.UTC().Format("2006-01-02 15:04:05 UTC")
	if e.By != "" {
		when += ", " + e.By
		if e.Via != "" {
			when += " via " + e.Via
		}
		if e.Rule != "" {
			when += ", rule " + e.Rule
		}
	}
	switch e.Type {
	case playbooks.EventStalled, playbooks.EventPaused, playbooks.EventResumed:
		return entry{}, nil // the thread's alone
	case playbooks.EventApproved:
		out.text = fmt.Sprintf("%s approved: %s.\nPlan: %s\nWhen: %s\nCounts until: %s",
			p.policy.Name(e.By), p.asked(e.Step), e.Digest, when, e.Until.UTC().Format("2006-01-02 15:04:05 UTC"))
	case playbooks.EventCompleted:
		return r.finalComment(ctx, p, news, out, e)
	default:
		out.text = fmt.Sprintf("%s.\nWhen: %s", strings.TrimRight(out.text, "."), when)
	}
	return out, nil
}

// finalGates is how many gates the report at the end lists.
const finalGates = 60

// finalComment is the report at the end. It has the head of the run's log, so
// that a log that was cut short afterwards is noticed.
func (r *Reporters) finalComment(ctx context.Context, p *picture, news map[string]*playbooks.Changes, out entry, e *playbooks.Event) (entry, error) {
	head, err := r.o.Logs.Head(ctx, "run/"+p.run)
	if err != nil {
		return out, err
	}
	lines := []string{
		out.text + ".",
		fmt.Sprintf("Began: %s, ended: %s", p.began.UTC().Format("2006-01-02 15:04:05 UTC"), e.Time.UTC().Format("2006-01-02 15:04:05 UTC")),
	}
	if e.Outcome == playbooks.Succeeded {
		lines = append(lines, "Released:")
	} else {
		lines = append(lines, "This was the plan:")
	}
	for i := range p.forward.Modules {
		m := &p.forward.Modules[i]
		lines = append(lines, "- "+m.Name+" "+m.Move())
	}
	if len(p.gates) > 0 {
		lines = append(lines, "Gates:")
		for _, words := range p.gates[:min(len(p.gates), finalGates)] {
			lines = append(lines, "- "+words)
		}
		if more := len(p.gates) - finalGates; more > 0 {
			lines = append(lines, fmt.Sprintf("- … and %d more, in the log", more))
		}
	}
	if e.Outcome == playbooks.Succeeded {
		lines = append(lines, newsLines(playbooks.NewReleaseNotes(withNews(p.forward.Playbook, news)))...)
	}
	lines = append(lines, fmt.Sprintf("Log: %d events, head %s", head.Len, head.Hash))
	out.text = strings.Join(lines, "\n")
	return out, nil
}
