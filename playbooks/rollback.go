package playbooks

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The steps that only a rollback has.
const (
	stepApproveRollback = "approve-rollback"
	stepNotifyRollback  = "notify-rollback"
)

// CompileRollback returns the playbook that undoes what the run has changed so
// far, in the reverse order of dependencies. It is pure. Places whose change cannot be
// undone stay as they are and are named. The error is a *Refusal
// where there is nothing that can go back.
//
// Somebody is asked first, unless the environment rolls back by itself and
// nothing irreversible has happened.
func CompileRollback(r *Run) (*Playbook, error) {
	u := &undoing{run: r, forward: r.Forward(), places: make(map[Place]*undo)}
	u.collect()
	if len(u.places) == 0 {
		return nil, &Refusal{
			Rule:    "something-to-undo",
			Message: fmt.Sprintf("nothing that run %s has changed can be undone", r.ID),
			Try:     []string{"abort " + r.ID},
		}
	}
	return u.compile()
}

// undo is one place that goes back.
type undo struct {
	place    Place
	step     *Step // the forward step that delivers the version
	from, to string
	head     string // ID of the step that goes back
	tail     string // ID of the step that verifies it
}

type undoing struct {
	run      *Run
	forward  Chapter
	places   map[Place]*undo
	final    []string // irreversible steps that have happened
	kept     []string // other effects that are not undone
	playbook *Playbook
}

// collect finds out what has to go back, and what cannot.
func (u *undoing) collect() {
	for _, i := range u.forward.touched() {
		step := &u.forward.Book.Steps[i]
		place := u.forward.Book.place(step)
		if step.Irreversible {
			u.final = append(u.final, step.ID)
		}
		switch step.Kind {
		case StepDeploy, StepCanary, StepPromote:
			if step.Irreversible {
				continue
			}
			suffix := strings.TrimPrefix(placeSuffix(step.Module, step.Target), ":")
			back := &undo{place: place, step: step, from: step.Version, to: step.From, head: "rollback:" + suffix, tail: "verify-back:" + suffix}
			if step.From == "" {
				back.head = "remove:" + suffix
			}
			u.places[place] = back
		case StepMigrate, StepPublish:
			if !step.Irreversible {
				u.kept = append(u.kept, step.ID)
			}
		}
	}
}

func placeSuffix(module, target string) string {
	if target == "" {
		return ":" + module
	}
	return ":" + module + "@" + target
}

func (u *undoing) compile() (*Playbook, error) {
	book := u.forward.Book
	digest := book.Digest
	pb := &Playbook{
		Format: PlaybookFormat, Environment: book.Environment, Request: book.Request, Targets: book.Targets,
		Groups: [][]string{}, Approvals: []Approval{}, Warnings: []Warning{},
		OnFailure: Hold, AutoRollback: book.AutoRollback, Limit: book.Limit, RollbackOf: &digest, RollbackRun: u.run.ID,
	}
	u.playbook = pb
	asks := !book.AutoRollback || len(u.final) > 0
	first := []Edge{{Step: stepLock, Reason: "nobody else may change what goes back", Order: true}}
	lock := Step{ID: stepLock, Kind: StepLock, Reason: "takes every place that goes back at once"}
	if asks {
		pb.Steps = append(pb.Steps, Step{ID: stepApproveRollback, Kind: StepApproval, Needs: []Edge{}, Reason: u.title(), Params: map[string]string{"ask": u.title()}})
		pb.Approvals = append(pb.Approvals, Approval{
			Step: stepApproveRollback, Title: u.title(), Rules: []ApprovalRule{{Count: 1}}, Distinct: true, ValidFor: DefaultValidFor,
		})
		first = append(first, Edge{Step: stepApproveRollback, Reason: "somebody has to agree to go back"})
		lock.Needs = []Edge{{Step: stepApproveRollback, Reason: "no lock is held while people think", Order: true}}
	}
	pb.Steps = append(pb.Steps, lock)
	if u.run.Over() {
		pb.Steps = append(pb.Steps, Step{
			ID: stepPreflight, Kind: StepPreflight, Needs: []Edge{{Step: stepLock, Reason: "nothing may change any more", Order: true}},
			Reason: "what goes back must still be what this run released",
		})
		first = append(first, Edge{Step: stepPreflight, Reason: "only what this run released goes back", Order: true})
	}
	back := u.steps(first, asks)
	pb.Steps = append(pb.Steps, back...)
	notify := Step{ID: stepNotifyRollback, Kind: StepNotify, Reason: "everybody learns that it went back"}
	for i := range back {
		if back[i].Kind == StepVerify {
			notify.Needs = append(notify.Needs, Edge{Step: back[i].ID, Reason: "everything has to be back first", Order: true})
		}
	}
	pb.Steps = append(pb.Steps, notify)
	for i := range pb.Steps {
		slices.SortFunc(pb.Steps[i].Needs, func(a, b Edge) int { return cmp.Compare(a.Step, b.Step) })
	}
	u.describe()
	if err := pb.Seal(); err != nil {
		return nil, fmt.Errorf("rollback of run %q: %w", u.run.ID, err)
	}
	return pb, nil
}

// steps returns the steps back. Every edge of the forward playbook between two
// places is turned round; gathers, and steps that were passed over, keep their place
// between the others.
func (u *undoing) steps(first []Edge, asks bool) []Step {
	approvedBy := ""
	if asks {
		approvedBy = stepApproveRollback
	}
	nodes := make(map[string]*Step)
	var order []string
	add := func(s Step) {
		if nodes[s.ID] == nil {
			nodes[s.ID] = &s
			order = append(order, s.ID)
		}
	}
	forward := u.forward.Book.Steps
	for i := len(forward) - 1; i >= 0; i-- {
		s := &forward[i]
		if back := u.of(s); back != nil {
			verb, reason := StepRollback, fmt.Sprintf("%s goes back from %s to %s", s.Module, orNone(back.from), back.to)
			if back.to == "" {
				verb, reason = StepRemove, fmt.Sprintf("%s was not there before this release, so going back removes it", s.Module)
			}
			add(Step{
				ID: back.head, Kind: verb, Module: s.Module, Target: s.Target, Reason: reason,
				Needs: slices.Clone(first), From: back.from, Version: back.to, Deployer: back.step.Deployer,
				Params: backParams(back.step.Params), ApprovedBy: approvedBy, Timeout: back.step.Timeout, Estimate: back.step.Estimate,
			})
			add(Step{
				ID: back.tail, Kind: StepVerify, Module: s.Module, Target: s.Target, Version: back.to,
				Reason: "what runs there must be what ran before", Deployer: back.step.Deployer, Params: backParams(back.step.Params),
				Needs:   []Edge{{Step: back.head, Reason: "first it goes back, then it is looked at"}},
				Timeout: DefaultTimeout,
			})
		} else if u.through(i) {
			add(Step{ID: "back-" + s.ID, Kind: StepGather, Reason: "what comes after " + s.ID + " goes back before what comes before it"})
		}
	}
	for i := range forward {
		_, later := u.ends(i)
		if later == "" {
			continue
		}
		for _, j := range u.forward.Book.needs[i] {
			earlier, _ := u.ends(int(j))
			if earlier == "" || nodes[earlier] == nil || nodes[later] == nil || u.of(&forward[i]) != nil && u.of(&forward[i]) == u.of(&forward[j]) {
				continue
			}
			node := nodes[earlier]
			if !slices.ContainsFunc(node.Needs, func(e Edge) bool { return e.Step == later }) {
				node.Needs = append(node.Needs, Edge{Step: later, Reason: "rested on it, so it goes back first"})
			}
		}
	}
	steps := make([]Step, 0, len(order))
	for _, id := range order {
		steps = append(steps, *nodes[id])
	}
	return steps
}

// of returns the place that a forward step belongs to, if that goes back.
func (u *undoing) of(s *Step) *undo {
	if s.Module == "" || s.Kind == StepGate || s.Kind == StepPublish {
		return nil
	}
	return u.places[u.forward.Book.place(s)]
}

// through reports whether order passes through a forward step that has nothing
// to undo itself.
func (u *undoing) through(i int) bool {
	s := &u.forward.Book.Steps[i]
	return s.Kind == StepGather || s.Kind == StepPublish || s.Module != "" && s.Kind != StepGate
}

// ends returns the first and the last step back that stand for a forward step.
func (u *undoing) ends(i int) (head, tail string) {
	s := &u.forward.Book.Steps[i]
	if back := u.of(s); back != nil {
		return back.head, back.tail
	}
	if u.through(i) {
		return "back-" + s.ID, "back-" + s.ID
	}
	return "", ""
}

// title says what is asked, with the version that each place returns to.
func (u *undoing) title() string {
	var parts []string
	for _, back := range u.sorted() {
		to := back.to
		if to == "" {
			to = "nothing (removed: it was not there before)"
		}
		parts = append(parts, fmt.Sprintf("%s %s → %s", strings.TrimPrefix(placeSuffix(back.place.Module, back.place.Target), ":"), orNone(back.from), to))
	}
	title := fmt.Sprintf("Roll back run %s: %s", u.run.ID, abridge(parts, 8))
	if len(u.final) > 0 {
		title += fmt.Sprintf(". This goes past what cannot be undone: %s", abridge(u.final, 8))
	}
	return title
}

func (u *undoing) sorted() []*undo {
	all := make([]*undo, 0, len(u.places))
	for _, back := range u.places {
		all = append(all, back)
	}
	slices.SortFunc(all, func(a, b *undo) int {
		return cmp.Or(cmp.Compare(a.place.Target, b.place.Target), cmp.Compare(a.place.Module, b.place.Module))
	})
	return all
}

// describe fills in what people see of the playbook.
func (u *undoing) describe() {
	pb, book := u.playbook, u.forward.Book
	planned := make(map[string]*PlannedModule)
	for _, back := range u.sorted() {
		m := planned[back.place.Module]
		if m == nil {
			m = &PlannedModule{Name: back.place.Module, Version: back.to, Source: "live before run " + u.run.ID, Needs: []PlannedNeed{}}
			planned[m.Name] = m
		}
		m.From = append(m.From, From{Target: back.place.Target, Version: back.from})
	}
	for _, wave := range slices.Backward(book.Waves) {
		back := slices.DeleteFunc(slices.Clone(wave), func(m string) bool { return planned[m] == nil })
		if len(back) == 0 {
			continue
		}
		pb.Waves = append(pb.Waves, back)
		for _, m := range back {
			planned[m].Wave = len(pb.Waves)
		}
	}
	for i := range book.Modules {
		if m := planned[book.Modules[i].Name]; m != nil {
			m.Owners = book.Modules[i].Owners
			pb.Modules = append(pb.Modules, *m)
		}
	}
	for _, id := range u.final {
		pb.Warnings = append(pb.Warnings, Warning{Code: "irreversible", Message: id + " cannot be undone; it stays as it is"})
	}
	for _, id := range u.kept {
		pb.Warnings = append(pb.Warnings, Warning{Code: "not-undone", Message: id + " has run and is not undone"})
	}
}

// backParams returns a step's parameters for the way back: without the share of a canary, for
// what goes back goes back whole, and without what the version that leaves was made of.
func backParams(params map[string]string) map[string]string {
	back := maps.Clone(params)
	for _, forward := range [...]string{ParamShare, ParamCommit, ParamDigest} {
		delete(back, forward)
	}
	return back
}

func orNone(version string) string {
	if version == "" {
		return "nothing"
	}
	return version
}
