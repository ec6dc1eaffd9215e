package playbooks

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Wait is one thing that stands between a run, or one of its steps, and going on.
type Wait struct {
	Step  string    // what waits, empty for the run as a whole
	For   string    // what it waits for, in words
	Since time.Time // zero: not known
	Until time.Time // when that ends by itself; zero: it does not
	Who   []string  // who can unblock it; empty: nobody needs to do anything
	Words []string  // what they type
}

// String is the whole answer in one sentence.
func (w Wait) String() string {
	var b strings.Builder
	if w.Step != "" {
		b.WriteString(w.Step + ": ")
	}
	b.WriteString(w.For)
	if len(w.Who) > 0 {
		fmt.Fprintf(&b, "; can be unblocked by %s", abridge(w.Who, 6))
	}
	if len(w.Words) > 0 {
		fmt.Fprintf(&b, " with: %s", strings.Join(w.Words, " | "))
	}
	return b.String()
}

// byRule names a rule behind the person it spoke for.
func byRule(rule string) string {
	if rule == "" {
		return ""
	}
	return " (" + rule + ")"
}

// Explain says why a run, or the step of it that is named, does not go on just
// now: every surface asks this one function. A run that is over waits for nothing.
func Explain(r *Run, env *EnvironmentState, p *Policy, step string, now time.Time) []Wait {
	if r.Over() {
		return nil
	}
	x := &explaining{r: r, env: env, p: p, now: now}
	if step != "" {
		if s := r.Book.Lookup(step); s != nil {
			x.step(s, make(map[string]bool))
		}
		return x.waits
	}
	x.run()
	return x.waits
}

type explaining struct {
	r     *Run
	env   *EnvironmentState
	p     *Policy
	now   time.Time
	waits []Wait
}

func (x *explaining) add(w Wait) { x.waits = append(x.waits, w) }

func (x *explaining) who(verb Verb) []string {
	return x.p.who(verb, x.r.Environment, x.r.moduleNames())
}

// run explains what holds the whole run up, then what runs.
func (x *explaining) run() {
	r := x.r
	x.halts()
	for _, s := range r.StuckSteps() {
		x.stuck(s)
	}
	for _, a := range r.OpenApprovals() {
		x.approval(a)
	}
	if r.Queued && !r.Locked {
		x.queue()
	}
	for i := range r.Steps {
		if r.Steps[i].State == Failing && !r.Steps[i].RetryAt.IsZero() {
			x.stuck(&r.Book.Steps[i])
		}
	}
	for _, s := range r.RunningSteps() {
		x.running(s)
	}
	if len(x.waits) > 0 || r.Paused != nil || r.failed > 0 {
		return
	}
	for _, i := range r.ready {
		x.ready(&r.Book.Steps[i])
	}
}

func (x *explaining) halts() {
	r := x.r
	if h := r.Aborting; h != nil {
		x.add(Wait{For: fmt.Sprintf("%s aborted the run; it ends as soon as nothing runs any more", x.p.Name(h.By)), Since: h.At})
	}
	if r.WantsBack {
		x.add(Wait{For: "it goes back as soon as nothing runs any more"})
	}
	if h := r.Paused; h != nil {
		reason := ""
		if h.Reason != "" {
			reason = ": " + h.Reason
		}
		x.add(Wait{For: fmt.Sprintf("%s paused the run%s", x.p.Name(h.By)+byRule(h.Rule), reason), Since: h.At, Who: x.who(VerbOperate), Words: []string{"resume " + r.ID}})
	}
}

// step explains one step; a pending one by the needs that are not finished.
func (x *explaining) step(s *Step, seen map[string]bool) {
	if seen[s.ID] {
		return
	}
	seen[s.ID] = true
	p := x.r.Progress(s.ID)
	switch {
	case p.finished():
	case p.State == Running && s.Kind == StepApproval:
		x.approval(x.r.Book.Approval(s.ID))
	case p.State == Running:
		x.running(s)
	case p.State == Failing || p.State == Unknown:
		x.stuck(s)
	case s.Kind == StepLock && x.r.Queued:
		x.queue()
	case x.r.waiting[x.r.Book.index[s.ID]] > 0:
		for _, e := range s.Needs {
			if need := x.r.Progress(e.Step); !need.finished() {
				x.add(Wait{Step: s.ID, For: fmt.Sprintf("waits for %s, which is %s: %s", e.Step, need.State, e.Reason), Since: x.r.Created})
				x.step(x.r.Book.Lookup(e.Step), seen)
			}
		}
	default:
		x.halts()
		x.ready(s)
		for _, stuck := range x.r.StuckSteps() {
			x.stuck(stuck)
		}
	}
}

func (x *explaining) approval(a *Approval) {
	tally := x.r.Tally(x.p, a, x.now)
	var missing []string
	for _, rule := range tally.Missing {
		group := rule.Group
		if group == "" {
			group = "those who may roll back"
		}
		missing = append(missing, fmt.Sprintf("%d of %s", rule.Count, group))
	}
	w := Wait{
		Step: a.Step, For: "waits for approval by " + strings.Join(missing, " and "),
		Since: x.r.Progress(a.Step).Since, Who: x.p.stillNeeded(x.r, tally),
		Words: []string{"approve " + x.r.ID, fmt.Sprintf("reject %s because REASON", x.r.ID)},
	}
	if len(missing) == 0 {
		w.For, w.Who, w.Words = "approved; it goes on in a moment", nil, nil
	} else if len(w.Who) == 0 {
		w.For += ", and nobody in the catalog may give it"
		w.Words = []string{"abort " + x.r.ID}
	}
	x.add(w)
}

func (x *explaining) stuck(s *Step) {
	p := x.r.Progress(s.ID)
	w := Wait{Step: s.ID, Since: p.Since}
	switch {
	case p.State == Unknown:
		refusal := (&deciding{r: x.r, p: x.p}).unknownFirst(s)
		w.For, w.Who, w.Words = refusal.Message, x.p.who(VerbSkip, x.r.Environment, x.r.modulesOf(s)), refusal.Try
		if p.Message != "" {
			w.For += " (" + p.Message + ")"
		}
	case !p.RetryAt.IsZero():
		w.For, w.Until = fmt.Sprintf("attempt %d failed (%s) and is repeated", p.Attempt, p.Message), p.RetryAt
	default:
		w.For = fmt.Sprintf("failed at attempt %d: %s", p.Attempt, p.Message)
		w.Who = x.p.who(VerbOperate, x.r.Environment, x.r.modulesOf(s))
		w.Words = []string{fmt.Sprintf("retry %s %s", x.r.ID, s.ID)}
		if !x.r.RollingBack && !x.r.WantsBack && x.r.Touched() {
			w.Words = append(w.Words, "rollback "+x.r.ID)
		}
		w.Words = append(w.Words, "abort "+x.r.ID)
		x.add(w)
		x.passOver(s)
		return
	}
	x.add(w)
}

// passOver explains the way past a failed step, which fewer people may take.
func (x *explaining) passOver(s *Step) {
	who := x.p.who(VerbSkip, x.r.Environment, x.r.modulesOf(s))
	if s.Kind == StepPreflight || len(who) == 0 {
		return
	}
	x.add(Wait{
		Step: s.ID, For: "whoever knows better may pass over it", Since: x.r.Progress(s.ID).Since,
		Who: who, Words: []string{fmt.Sprintf("skip %s %s because REASON", x.r.ID, s.ID)},
	})
}

func (x *explaining) running(s *Step) {
	p := x.r.Progress(s.ID)
	w := Wait{Step: s.ID, Since: p.Started, For: "runs"}
	if p.Message != "" {
		w.For = p.Message
	}
	if p.Stalled {
		w.For = "has stopped reporting: " + w.For
		w.Who, w.Words = x.who(VerbAbort), []string{"abort " + x.r.ID}
	}
	switch {
	case s.Bake > 0 && s.Kind == StepBake:
		w.Until = p.Started.Add(s.Bake)
	case s.Timeout > 0:
		w.Until = p.Started.Add(s.Timeout)
	}
	x.add(w)
}

// queue explains a run that waits for locks: its place, and who is before it.
func (x *explaining) queue() {
	at := slices.IndexFunc(x.env.Queue, func(w Waiting) bool { return w.Run == x.r.ID })
	if at < 0 {
		return
	}
	wanted := make(map[Place]bool)
	for _, p := range x.env.Queue[at].Places {
		wanted[p] = true
	}
	var before []string
	note := func(run string, p Place) {
		if wanted[p] && run != x.r.ID && !slices.Contains(before, "run "+run) {
			before = append(before, "run "+run)
		}
	}
	for p, run := range x.env.Locks {
		note(run, p)
	}
	slices.Sort(before)
	for _, w := range x.env.Queue[:at] {
		for _, p := range w.Places {
			note(w.Run, p)
		}
	}
	var words []string
	if len(before) > 0 {
		words = []string{"why " + strings.TrimPrefix(before[0], "run ")}
	}
	x.add(Wait{
		Step: "lock", Since: x.env.Queue[at].Since.Time,
		For:   fmt.Sprintf("is number %d in the queue of %s, behind %s", at+1, x.env.Name, abridge(before, 4)),
		Words: words,
	})
}

// ready explains a step whose needs are finished.
func (x *explaining) ready(s *Step) {
	if !x.r.approved(x.p, s, x.now) {
		x.approval(x.r.Book.Approval(s.ApprovedBy))
		return
	}
	w := Wait{Step: s.ID, Since: x.r.Updated}
	limit := 0
	if e := x.p.Environment(x.r.Environment); e != nil {
		limit = e.Limit
	}
	switch {
	case s.Kind.HasEffect() && limit > 0:
		w.For = fmt.Sprintf("waits for its turn: %s runs %d steps at once at the most", x.r.Environment, limit)
	default:
		w.For = "begins in a moment"
	}
	x.add(w)
}
