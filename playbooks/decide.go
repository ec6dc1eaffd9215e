package playbooks

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Decision is what follows from a command or from the passing of time: events
// for the run's log and for the environment's, to be stored as one.
type Decision struct {
	Run []Event
	Env []Event
	// Rollback asks for a playbook that undoes the run (see CompileRollback) and
	// an EventAdopted that names it.
	Rollback bool
	// Starved says that a step could begin if the environment had more room.
	Starved bool
	// Wake is when to Advance again though nothing happened; zero means never.
	Wake time.Time
}

// Empty reports whether nothing follows.
func (d *Decision) Empty() bool { return len(d.Run) == 0 && len(d.Env) == 0 && !d.Rollback }

// DecideStart decides whether a playbook may become a run. It is pure. The
// error is a *Refusal.
func DecideStart(book *Book, env *EnvironmentState, p *Policy, cmd Command, now time.Time) (Decision, error) {
	verb := VerbRelease
	if book.RollbackOf != nil {
		verb = VerbRollback
	}
	var modules []string
	for i := range book.Modules {
		modules = append(modules, book.Modules[i].Name)
	}
	if refusal := p.May(cmd.By, verb, book.Environment, modules...); refusal != nil {
		return Decision{}, refusal
	}
	if !cmd.Digest.IsZero() && cmd.Digest != book.Digest {
		return Decision{}, &Refusal{Rule: "as-shown", Message: "that is not the plan that was shown; nothing was started"}
	}
	if len(modules) == 0 {
		return Decision{}, &Refusal{Rule: "something-to-do", Message: "there is nothing to release; nothing was started"}
	}
	if size := lockSize(book.Places()); size > maxLocks {
		return Decision{}, &Refusal{
			Rule:    "one-transaction",
			Message: fmt.Sprintf("%d places at once are too many to lock as one; nothing was started", len(book.Places())),
			Try:     []string{"release fewer modules at a time"},
		}
	}
	e := p.Environment(book.Environment)
	if e == nil {
		return Decision{}, p.noEnvironment(book.Environment)
	}
	if e.Approvals == nil && verb == VerbRelease {
		return Decision{}, &Refusal{
			Rule:    "approvals-decided",
			Message: fmt.Sprintf("environment %q says nothing about approvals, so nothing is released there", e.Name),
			Try:     []string{fmt.Sprintf("in the configuration, give %q approval rules or `approvals: none`", e.Name)},
		}
	}
	reason := ""
	if f := env.frozen(modules, now); f != nil && verb == VerbRelease {
		if !cmd.Override {
			return Decision{}, f.refusal(p, book.Environment)
		}
		if refusal := p.May(cmd.By, VerbOverride, book.Environment, modules...); refusal != nil {
			return Decision{}, refusal
		}
		if cmd.Reason == "" {
			return Decision{}, needsReason("override the freeze")
		}
		reason = cmd.Reason
	}
	request := book.Request
	return Decision{Run: []Event{{
		Type: EventCreated, Time: now, By: cmd.By, Via: cmd.Via, Rule: cmd.Rule, Cause: cmd.Cause,
		Environment: book.Environment, Digest: book.Digest, Request: &request, Reason: reason,
	}}}, nil
}

// Active reports whether the freeze is in force.
func (f *Freeze) Active(now time.Time) bool { return f.Until.IsZero() || now.Before(f.Until) }

func (f *Freeze) refusal(p *Policy, environment string) *Refusal {
	what := environment
	if f.Module != "" {
		what = f.Module + " in " + environment
	}
	until := "until somebody unfreezes it"
	if !f.Until.IsZero() {
		until = "until " + f.Until.UTC().Format("Mon 2 Jan 2006 15:04 MST")
	}
	name := f.Module
	if name == "" {
		name = environment
	}
	return &Refusal{
		Rule:    "freeze",
		Message: fmt.Sprintf("%s is frozen by %s %s: %s", what, p.Name(f.By), until, f.Reason),
		Who:     p.Who(VerbFreeze, environment),
		Try:     []string{"unfreeze " + name, "release … override because REASON"},
	}
}

// maxLocks is how many bytes the places of one release may have, so that taking
// them all is one transaction of the store.
const maxLocks = 900 << 10

func lockSize(places []Place) int {
	size := 0
	for _, p := range places {
		size += len(p.Environment) + len(p.Target) + len(p.Module) + 48 // names of fields
	}
	return size
}

func needsReason(what string) *Refusal {
	return &Refusal{Rule: "reason-required", Message: "to " + what + ", say why", Try: []string{"… because REASON"}}
}

// DecideFreeze decides about freeze and unfreeze. It is pure. The error is a
// *Refusal. A command whose cause is in the log already gives an empty Decision.
func DecideFreeze(env *EnvironmentState, p *Policy, cmd Command, now time.Time) (Decision, error) {
	if cmd.Cause != "" && env.causes[cmd.Cause] {
		return Decision{}, nil
	}
	var modules []string
	if cmd.Module != "" {
		modules = []string{cmd.Module}
	}
	if refusal := p.May(cmd.By, VerbFreeze, env.Name, modules...); refusal != nil {
		return Decision{}, refusal
	}
	event := Event{Time: now, By: cmd.By, Via: cmd.Via, Cause: cmd.Cause, Environment: env.Name, Module: cmd.Module, Reason: cmd.Reason}
	if cmd.Kind == CommandUnfreeze {
		if !slices.ContainsFunc(env.Freezes, func(f Freeze) bool { return f.Module == cmd.Module }) {
			return Decision{}, &Refusal{Rule: "frozen-first", Message: "that is not frozen; nothing was changed"}
		}
		event.Type = EventUnfrozen
		return Decision{Env: []Event{event}}, nil
	}
	if strings.TrimSpace(cmd.Reason) == "" {
		return Decision{}, needsReason("freeze")
	}
	if !cmd.Until.IsZero() && !cmd.Until.After(now) {
		return Decision{}, &Refusal{Rule: "future-only", Message: "the end of the freeze is in the past; nothing was changed"}
	}
	event.Type = EventFrozen
	event.Freeze = &Freeze{Environment: env.Name, Module: cmd.Module, Since: now, Until: cmd.Until, By: cmd.By, Reason: cmd.Reason}
	return Decision{Env: []Event{event}}, nil
}

// Decide decides about a command on a run. It is pure: it changes nothing, and
// the same input gives the same answer. The error is a *Refusal. A command whose
// cause is in the log already gives an empty Decision.
func Decide(r *Run, p *Policy, cmd Command, now time.Time) (Decision, error) {
	if r.Caused(cmd.Cause) {
		return Decision{}, nil
	}
	c := &deciding{r: r, p: p, cmd: cmd, now: now}
	if cmd.Kind == CommandAnnotate {
		return c.annotate()
	}
	if r.Over() {
		refusal := &Refusal{Rule: "run-over", Message: fmt.Sprintf("run %s is over (%s); nothing was changed", r.ID, r.Outcome)}
		if cmd.Kind == CommandRollback {
			refusal.Try = []string{"rollback " + r.ID}
		}
		return Decision{}, refusal
	}
	switch cmd.Kind {
	case CommandApprove:
		return c.approve()
	case CommandUnapprove:
		return c.unapprove()
	case CommandReject:
		return c.reject()
	case CommandPause:
		return c.pause()
	case CommandResume:
		return c.resume()
	case CommandAbort:
		return c.abort()
	case CommandRetry:
		return c.retry()
	case CommandSkip:
		return c.skip()
	case CommandConfirm:
		return c.confirm()
	case CommandRollback:
		return c.rollback()
	}
	return Decision{}, &Refusal{Rule: "known-command", Message: fmt.Sprintf("a run knows no %q", cmd.Kind)}
}

// deciding is one call of Decide.
type deciding struct {
	r   *Run
	p   *Policy
	cmd Command
	now time.Time
}

func (c *deciding) event(t EventType, step string) Event {
	return Event{Type: t, Time: c.now, By: c.cmd.By, Via: c.cmd.Via, Rule: c.cmd.Rule, Cause: c.cmd.Cause, Step: step, Reason: c.cmd.Reason}
}

func (c *deciding) refuse(rule, format string, args ...any) (Decision, error) {
	return Decision{}, &Refusal{Rule: rule, Message: fmt.Sprintf(format, args...)}
}

func (c *deciding) may(verb Verb) *Refusal {
	return c.p.May(c.cmd.By, verb, c.r.Environment, c.r.moduleNames()...)
}

func one(e Event) (Decision, error) { return Decision{Run: []Event{e}}, nil }

// asked finds the open approval that the command answers.
func (c *deciding) asked() (*Approval, error) {
	open := c.r.OpenApprovals()
	for _, a := range open {
		if c.cmd.Step == "" || a.Step == c.cmd.Step {
			return a, nil
		}
	}
	message := fmt.Sprintf("run %s asks for no approval now; it is %s", c.r.ID, c.r.Status())
	if c.cmd.Step != "" && c.r.Book.Approval(c.cmd.Step) == nil {
		message = fmt.Sprintf("run %s has no approval %q", c.r.ID, c.cmd.Step)
	}
	return nil, &Refusal{Rule: "asked-first", Message: message, Try: []string{"why " + c.r.ID}}
}

// current refuses an answer to a playbook that is not the one that would run.
func (c *deciding) current() error {
	if c.cmd.Digest.IsZero() || c.cmd.Digest == c.r.Book.Digest {
		return nil
	}
	message := "the plan changed since that request; your answer was not counted"
	try := []string{"status " + c.r.ID, "approve " + c.r.ID}
	if old, ok := c.r.shown[c.cmd.Digest]; ok {
		message += ". What changed:\n" + Diff(old.Playbook, c.r.Book.Playbook).String()
		// They see what is different, so they may agree to exactly that.
		try[1] += " " + c.r.Book.Digest.Short()
	}
	return &Refusal{Rule: "as-shown", Message: message, Try: try}
}

func (c *deciding) approve() (Decision, error) {
	a, err := c.asked()
	if err != nil {
		return Decision{}, err
	}
	if err := c.current(); err != nil {
		return Decision{}, err
	}
	if refusal := c.p.mayApprove(c.r, a, c.cmd.By); refusal != nil {
		return Decision{}, refusal
	}
	tally := c.r.Tally(c.p, a, c.now)
	if slices.ContainsFunc(tally.Given, func(g Grant) bool { return g.Person == c.cmd.By }) {
		return Decision{}, &Refusal{Rule: "once-each", Message: c.p.Name(c.cmd.By) + " has approved this already", Who: c.p.stillNeeded(c.r, tally)}
	}
	e := c.event(EventApproved, a.Step)
	e.Digest = c.r.Book.Digest
	e.Until = c.now.Add(a.ValidFor)
	if a.ValidFor == 0 {
		e.Until = c.now.Add(DefaultValidFor)
	}
	return one(e)
}

// stillNeeded names the people who could give what is missing.
func (p *Policy) stillNeeded(r *Run, t Tally) []string {
	var names []string
	for _, name := range p.names(r, t.Approval, t.Missing) {
		if !slices.ContainsFunc(t.Given, func(g Grant) bool { return p.Name(g.Person) == name }) {
			names = append(names, name)
		}
	}
	return names
}

func (c *deciding) unapprove() (Decision, error) {
	started := false
	for _, g := range c.r.Grants {
		if g.Person != c.cmd.By || g.Ended != "" || c.cmd.Step != "" && g.Step != c.cmd.Step {
			continue
		}
		for _, i := range c.r.Book.guarded[g.Step] {
			if c.r.Steps[i].State == Pending {
				return one(c.event(EventUnapproved, g.Step))
			}
		}
		started = true
	}
	if started {
		return Decision{}, &Refusal{
			Rule:    "before-it-starts",
			Message: "everything you approved has begun; an approval can be taken back only before",
			Try:     []string{"pause " + c.r.ID, "rollback " + c.r.ID},
		}
	}
	return c.refuse("given-first", "%s has no approval of run %s that could be taken back", c.p.Name(c.cmd.By), c.r.ID)
}

func (c *deciding) reject() (Decision, error) {
	a, err := c.asked()
	if err != nil {
		return Decision{}, err
	}
	if err := c.current(); err != nil {
		return Decision{}, err
	}
	if refusal := c.p.mayApprove(c.r, a, c.cmd.By); refusal != nil && (c.cmd.By != c.r.By || c.p.Person(c.cmd.By) == nil) {
		return Decision{}, refusal
	}
	if strings.TrimSpace(c.cmd.Reason) == "" {
		return Decision{}, needsReason("reject")
	}
	d := Decision{Run: []Event{c.event(EventRejected, a.Step)}}
	follow := Event{Time: c.now, By: c.cmd.By, Reason: "rejected: " + c.cmd.Reason}
	switch {
	case c.r.WantsBack: // it goes back in any case
	case c.r.RollingBack && len(c.r.Earlier) > 0 && len(Chapter{c.r.Book, c.r.Steps}.touched()) == 0:
		follow.Type, follow.Digest = EventAdopted, c.r.Earlier[len(c.r.Earlier)-1].Book.Digest
		halt := follow
		halt.Type, halt.Digest = EventPaused, Digest{}
		d.Run = append(d.Run, follow, halt)
	case c.r.Touched():
		follow.Type = EventPaused
		d.Run = append(d.Run, follow)
	default:
		d.complete(c.r, Rejected, c.now)
	}
	return d, nil
}

// complete ends the run and gives back what it holds.
func (d *Decision) complete(r *Run, outcome Outcome, now time.Time) {
	d.Run = append(d.Run, Event{Type: EventCompleted, Time: now, Outcome: outcome})
	if r.Locked || r.Queued {
		d.Env = append(d.Env, Event{Type: EventUnlocked, Time: now, Run: r.ID})
	}
}

func (c *deciding) annotate() (Decision, error) {
	if refusal := c.may(VerbView); refusal != nil {
		return Decision{}, refusal
	}
	if strings.TrimSpace(c.cmd.Reason) == "" {
		return c.refuse("something-to-say", "an empty remark was not kept")
	}
	e := c.event(EventAnnotated, "")
	e.Message, e.Reason = c.cmd.Reason, ""
	return one(e)
}

func (c *deciding) pause() (Decision, error) {
	if refusal := c.may(VerbOperate); refusal != nil {
		return Decision{}, refusal
	}
	if c.r.Paused != nil {
		return c.refuse("not-paused", "run %s is paused already, by %s", c.r.ID, c.p.Name(c.r.Paused.By))
	}
	return one(c.event(EventPaused, ""))
}

func (c *deciding) resume() (Decision, error) {
	if refusal := c.may(VerbOperate); refusal != nil {
		return Decision{}, refusal
	}
	if c.r.Paused == nil {
		return Decision{}, &Refusal{
			Rule:    "paused-first",
			Message: fmt.Sprintf("run %s is not paused; it is %s", c.r.ID, c.r.Status()),
			Try:     []string{"why " + c.r.ID},
		}
	}
	return one(c.event(EventResumed, ""))
}

func (c *deciding) abort() (Decision, error) {
	if refusal := c.may(VerbAbort); refusal != nil {
		return Decision{}, refusal
	}
	if c.r.Aborting != nil {
		return c.refuse("once", "run %s is being aborted already, by %s", c.r.ID, c.p.Name(c.r.Aborting.By))
	}
	return one(c.event(EventAborting, ""))
}

// step finds the step that the command names, if the person has verb for its
// module, or for all modules where it is nobody's own.
func (c *deciding) step(verb Verb) (*Step, *Progress, error) {
	step := c.r.Book.Lookup(c.cmd.Step)
	if step != nil {
		if refusal := c.p.May(c.cmd.By, verb, c.r.Environment, c.r.modulesOf(step)...); refusal != nil {
			return nil, nil, refusal
		}
	} else if refusal := c.may(verb); refusal != nil {
		return nil, nil, refusal
	}
	if step == nil {
		refusal := &Refusal{Rule: "known-step", Message: fmt.Sprintf("run %s has no step %q", c.r.ID, c.cmd.Step)}
		for _, stuck := range c.r.StuckSteps() {
			refusal.Try = append(refusal.Try, fmt.Sprintf("%s %s %s", c.cmd.Kind, c.r.ID, stuck.ID))
		}
		return nil, nil, refusal
	}
	return step, c.r.Progress(step.ID), nil
}

func (c *deciding) retry() (Decision, error) {
	if c.r.Aborting != nil {
		return c.refuse("not-aborting", "run %s is being aborted; nothing is retried", c.r.ID)
	}
	var d Decision
	if c.cmd.Step == "" {
		if refusal := c.may(VerbOperate); refusal != nil {
			return Decision{}, refusal
		}
		for _, step := range c.r.stepsIn(Failing) {
			if len(d.Run) == maxEvents {
				break // the rest with the next retry
			}
			d.Run = append(d.Run, c.event(EventRetried, step.ID))
		}
		if d.Empty() {
			return c.refuse("failed-first", "no step of run %s has failed; it is %s", c.r.ID, c.r.Status())
		}
		return d, nil
	}
	step, progress, err := c.step(VerbOperate)
	if err != nil {
		return Decision{}, err
	}
	switch progress.State {
	case Failing:
		return one(c.event(EventRetried, step.ID))
	case Unknown:
		return Decision{}, c.unknownFirst(step)
	}
	return c.refuse("failed-first", "step %s has not failed; it is %s", step.ID, progress.State)
}

func (c *deciding) unknownFirst(step *Step) *Refusal {
	return &Refusal{
		Rule:    "unknown-first",
		Message: fmt.Sprintf("nobody can tell whether %s had its effect; look there and say so first", step.ID),
		Who:     c.p.Who(VerbSkip, c.r.Environment),
		Try: []string{
			fmt.Sprintf("confirm %s %s done", c.r.ID, step.ID),
			fmt.Sprintf("confirm %s %s failed", c.r.ID, step.ID),
		},
	}
}

func (c *deciding) skip() (Decision, error) {
	step, progress, err := c.step(VerbSkip)
	if err != nil {
		return Decision{}, err
	}
	switch step.Kind {
	case StepApproval, StepLock, StepPreflight, StepGather:
		return c.refuse("never-skipped", "a step of kind %q cannot be skipped", step.Kind)
	}
	if strings.TrimSpace(c.cmd.Reason) == "" {
		return Decision{}, needsReason("skip a step")
	}
	switch {
	case progress.State == Pending, progress.State == Failing, progress.State == Running && !step.Kind.HasEffect():
		return one(c.event(EventSkipped, step.ID))
	case progress.State == Unknown:
		return Decision{}, c.unknownFirst(step)
	}
	return c.refuse("not-begun", "step %s is %s and cannot be skipped", step.ID, progress.State)
}

func (c *deciding) confirm() (Decision, error) {
	step, progress, err := c.step(VerbSkip)
	if err != nil {
		return Decision{}, err
	}
	if progress.State != Unknown {
		return c.refuse("unknown-only", "step %s is not unknown; it is %s", step.ID, progress.State)
	}
	if c.cmd.Outcome != Succeeded && c.cmd.Outcome != Failed {
		return Decision{}, c.unknownFirst(step)
	}
	e := c.event(EventConfirmed, step.ID)
	e.Outcome = c.cmd.Outcome
	e.Message = fmt.Sprintf("%s says that it %s", c.p.Name(c.cmd.By), c.cmd.Outcome)
	return one(e)
}

func (c *deciding) rollback() (Decision, error) {
	if refusal := c.may(VerbRollback); refusal != nil {
		return Decision{}, refusal
	}
	if c.r.RollingBack || c.r.WantsBack {
		return c.refuse("once", "run %s is being rolled back already", c.r.ID)
	}
	if !c.r.Touched() {
		return Decision{}, &Refusal{
			Rule:    "something-to-undo",
			Message: fmt.Sprintf("run %s has changed nothing yet, so there is nothing to roll back", c.r.ID),
			Try:     []string{"abort " + c.r.ID},
		}
	}
	if unknown := c.r.stepsIn(Unknown); len(unknown) > 0 {
		return Decision{}, c.unknownFirst(unknown[0])
	}
	e := c.event(EventAborting, "")
	e.Rollback = true
	return one(e)
}
