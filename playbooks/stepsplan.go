package playbooks

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parameters that Compile adds to a step's own.
const (
	ParamStrategy = "strategy" // of deploy, canary and promote steps
	ParamShare    = "share"    // of canary and bake steps: percent
	ParamGate     = "gate"     // of gate steps: the gate's kind
	ParamJob      = "job"      // of migrate, test and publish steps: the job's name
	ParamChannels = "channels" // of the notify step: where to, separated by commas
	ParamCommit   = "commit"   // of steps about a version whose build says it: full hash
	ParamDigest   = "digest"   // likewise: of its image, sha256:…
	ParamUntil    = "until"    // of the departure: when, RFC 3339
	ParamWith     = "with"     // of migrate, test and publish steps: what runs the job; none: the default
)

// The steps that a playbook has once.
const (
	stepApprove   = "approve"
	stepLock      = "lock"
	stepPreflight = "preflight"
	stepNotify    = "notify"
	stepDeparture = "gate:departure"
)

// GateDeparture is the kind of the gate that opens at a time: see Request.NotBefore.
const GateDeparture = "departure"

// planSteps writes down the steps of a playbook, each after all that it needs.
//
// People and clocks come first (approve, gates), then the locks, so that
// nothing is locked while somebody thinks, then the preflight. After that each
// module's steps at each target follow. Targets are served one after another:
// a step at the second target waits for all of the first, gathered in the step
// target:FIRST. A place that something at an earlier target needs is served as early
// as that needs it, together with what it needs itself; without this rule the
// two would wait for each other for ever. Call that the place's stage: then no
// step waits for one of a later stage, and within a stage only for modules of an
// earlier wave or the module's own earlier targets, so that there is no cycle.
//
// A module is published after its last target. One that another module of the
// release has a build need for is published as soon as its first target is
// verified, because the other waits for it there.
type planSteps struct {
	*planner
	steps    []Step
	edges    []Edge
	first    []int32 // the edges of step i are edges[first[i]:first[i+1]]
	rested   []bool  // by step: another step waits for it
	text     planText
	approve  int32 // step number, or -1
	prepared int32 // preflight
	policy   []Approval
	agreed   string // why steps wait for the approval

	stages  []int32    // by unit and target
	ready   []int32    // by unit and target: the step that dependants wait for
	last    [][2]int32 // by module: its last steps at its latest target so far, a range
	gates   [][2]int32 // by module: its gate steps, a range
	publish []int32    // by module: the publish step, or -1
	early   []bool     // by module: published after its first target

	strategies map[StrategyKind]map[string]string
}

func newPlanSteps(p *planner, approvals []Approval) *planSteps {
	n := len(p.release)
	s := &planSteps{planner: p, policy: approvals, approve: -1, agreed: "nothing is touched before " + p.environment.Name + " has agreed",
		last: make([][2]int32, n), gates: make([][2]int32, n), publish: make([]int32, n), early: make([]bool, n),
		ready: make([]int32, len(p.units)*len(p.used)), strategies: make(map[StrategyKind]map[string]string)}
	steps := 4 + len(p.targets)
	edges := steps
	for i := range p.release {
		m := &p.release[i]
		d := &m.delivery
		s.publish[i] = -1
		own := 2 + 2*len(d.Strategy.Stages) + len(d.Tests) // and as many edges among them
		if d.Migration != nil {
			own++
		}
		steps += len(d.Gates) + own*len(m.targets)
		edges += 2*len(d.Gates) + (own+3+len(d.Tests)+len(m.needs))*len(m.targets)
		if d.Tag {
			steps, edges = steps+1, edges+1
		}
		if d.Publish != nil {
			steps, edges = steps+1, edges+1+len(d.Tests)
		}
	}
	s.steps, s.rested = make([]Step, 0, steps), make([]bool, 0, steps)
	s.first, s.edges = make([]int32, 0, steps), make([]Edge, 0, edges)
	return s
}

// compile returns all steps, with needs but without digests.
func (s *planSteps) compile() []Step {
	s.people()
	s.schedule()
	s.notify()
	s.first = append(s.first, int32(len(s.edges)))
	for i := range s.steps {
		s.steps[i].Needs = s.edges[s.first[i]:s.first[i+1]:s.first[i+1]]
		sortEdges(s.steps[i].Needs)
		s.steps[i].Needs = slices.CompactFunc(s.steps[i].Needs, func(a, b Edge) bool { return a.Step == b.Step })
	}
	return s.steps
}

// sortEdges sorts by step; of two edges to the same step the one that says more
// comes first.
func sortEdges(edges []Edge) {
	order := func(a, b Edge) int {
		if a.Step != b.Step {
			return strings.Compare(a.Step, b.Step)
		}
		if a.Order != b.Order {
			if b.Order {
				return -1
			}
			return 1
		}
		return 0
	}
	if !slices.IsSortedFunc(edges, order) {
		slices.SortStableFunc(edges, order)
	}
}

// step begins the next step; need then adds what it waits for.
func (s *planSteps) step(step Step) int32 {
	s.first = append(s.first, int32(len(s.edges)))
	s.steps = append(s.steps, step)
	s.rested = append(s.rested, false)
	return int32(len(s.steps) - 1)
}

// need lets the step that was begun last rest on another.
func (s *planSteps) need(on int32, reason string) {
	s.rested[on] = true
	s.edges = append(s.edges, Edge{Step: s.steps[on].ID, Reason: reason})
}

// follow lets the step that was begun last wait for another whose content does
// not matter to it.
func (s *planSteps) follow(after int32, reason string) {
	s.rested[after] = true
	s.edges = append(s.edges, Edge{Step: s.steps[after].ID, Reason: reason, Order: true})
}

// people adds what happens before anything is touched.
func (s *planSteps) people() {
	env := s.environment
	for i := range s.policy {
		s.approve = s.step(Step{ID: stepApprove, Kind: StepApproval,
			Reason: fmt.Sprintf("%s asks %s before anything is touched", env.Name, approvers(&s.policy[i]))})
	}
	for i := range s.release {
		m := &s.release[i]
		s.gates[i][0] = int32(len(s.steps))
		for k := range m.delivery.Gates {
			g := &m.delivery.Gates[k]
			step := Step{
				ID: "gate:" + s.unique(g.Kind, k, func(j int) string { return m.delivery.Gates[j].Kind }) + ":" + m.Name, Kind: StepGate,
				Module: m.Name, Version: m.version, Params: m.built(withParam(g.Params, ParamGate, g.Kind)), Bake: g.Soak,
				Reason: fmt.Sprintf("%s goes to %s only when its gate %s passes", m.Name, env.Name, g.Kind),
			}
			if g.Kind == "soak" {
				where := "the environment before"
				if s.before != nil {
					where = s.before.name
				}
				step.Reason = fmt.Sprintf("%s %s has to have been live in %s for %s", m.Name, m.version, where, planDuration(g.Soak))
			}
			s.step(step)
		}
		s.gates[i][1] = int32(len(s.steps))
	}
	if at := s.request.NotBefore; !at.IsZero() {
		at = at.UTC()
		s.step(Step{ID: stepDeparture, Kind: StepGate, Params: map[string]string{ParamGate: GateDeparture, ParamUntil: at.Format(time.RFC3339)},
			Reason: "leaves at " + at.Format("15:04 MST on Mon 2 Jan") + ", not earlier"})
	}
	waits := int32(len(s.steps))
	places := 0
	for i := range s.release {
		places += len(s.release[i].targets)
	}
	lock := s.step(Step{ID: stepLock, Kind: StepLock,
		Reason: "takes " + planCount(places, "place") + " at once, so that no other release touches them meanwhile"})
	for i := range waits {
		if i == s.approve {
			s.follow(i, "nothing is locked while people are asked")
		} else {
			s.follow(i, "nothing is locked while a gate is closed")
		}
	}
	s.prepared = s.step(Step{ID: stepPreflight, Kind: StepPreflight, Timeout: DefaultTimeout,
		Reason: "looks at the world again: what has changed since the plan was shown is asked again"})
	s.follow(lock, "what was looked at must not change any more")
}

// unique numbers names that a module has more than once.
func (s *planSteps) unique(name string, at int, names func(int) string) string {
	n := 1
	for j := range at {
		if names(j) == name {
			n++
		}
	}
	if n > 1 {
		return name + "-" + strconv.Itoa(n)
	}
	return name
}

// planBlock is what one unit does at one target.
type planBlock struct {
	unit, target, stage, wave, name int32
}

// schedule adds the steps of all modules.
func (s *planSteps) schedule() {
	s.stage()
	blocks := make([]planBlock, 0, len(s.units))
	for u := range s.units {
		for t := range s.used {
			if stage := s.stages[u*len(s.used)+t]; stage >= 0 {
				blocks = append(blocks, planBlock{int32(u), int32(t), stage, s.units[u].wave, s.units[u].members[0]})
			}
		}
	}
	slices.SortFunc(blocks, func(a, b planBlock) int {
		return cmp.Or(cmp.Compare(a.stage, b.stage), cmp.Compare(a.wave, b.wave), cmp.Compare(a.target, b.target), cmp.Compare(a.name, b.name))
	})
	gathered := int32(-1)
	for len(blocks) > 0 {
		stage := blocks[0].stage
		var ends []int32
		for len(blocks) > 0 && blocks[0].stage == stage {
			ends = s.block(blocks[0], gathered, ends)
			blocks = blocks[1:]
		}
		if len(blocks) == 0 {
			return
		}
		target := s.live.targets[stage]
		before := gathered
		gathered = s.step(Step{ID: "target:" + target, Kind: StepGather, Target: target,
			Reason: "all of " + target + " is done before the next target begins"})
		if before >= 0 {
			s.follow(before, "targets are served one after another")
		}
		for _, i := range ends {
			s.follow(i, "the next target waits for all of "+target)
		}
	}
}

// stage finds out when each unit is served at each target: with that target,
// or earlier where something at an earlier target needs it. -1: not at all.
func (s *planSteps) stage() {
	width := len(s.used)
	s.stages = make([]int32, len(s.units)*width)
	for i := range s.stages {
		s.stages[i] = -1
	}
	for i := range s.release {
		m := &s.release[i]
		for _, t := range m.targets {
			s.stages[int(m.unit)*width+int(t)] = t
		}
		for _, n := range m.needs {
			if n.kind() == NeedBuild && s.release[n.to].delivery.Publish != nil {
				s.early[n.to] = true
			}
		}
	}
	if len(s.targets) < 2 {
		return
	}
	for u := len(s.units) - 1; u >= 0; u-- {
		own := s.stages[u*width : (u+1)*width]
		soonest := int32(width)
		for t := width - 1; t >= 0; t-- {
			if own[t] >= 0 {
				soonest = min(soonest, own[t])
				own[t] = soonest
			}
		}
		for _, r := range s.units[u].members {
			m := &s.release[r]
			for _, t := range m.targets {
				for _, n := range m.needs {
					to := &s.release[n.to]
					place := &s.stages[int(to.unit)*width+int(s.served(to, n.kind(), t))]
					*place = min(*place, own[t])
				}
			}
		}
	}
}

// kind is how the need orders; through other modules it is about being live.
func (n *planNeed) kind() NeedKind {
	if n.need == nil {
		return NeedDeploy
	}
	return n.need.kind()
}

// served is the target of to that a dependant at target t waits for: the same
// one, or the last where to never goes there. What is published is waited for
// once, from the first target on.
func (s *planSteps) served(to *planModule, kind NeedKind, t int32) int32 {
	if kind == NeedBuild && to.delivery.Publish != nil {
		return to.targets[0]
	}
	if slices.Contains(to.targets, t) {
		return t
	}
	return to.targets[len(to.targets)-1]
}

// block adds what a unit does at a target, and appends its last steps to ends.
func (s *planSteps) block(b planBlock, gathered int32, ends []int32) []int32 {
	u := &s.units[b.unit]
	at := s.suffix(b.target)
	group := int32(-1)
	if u.group() {
		first := &s.release[u.members[0]]
		group = s.step(Step{ID: "group:" + first.Name + at, Kind: StepGather, Target: s.live.targets[b.target],
			Reason: planCount(len(u.members), "module") + " need each other in a circle and begin together"})
		for _, r := range u.members {
			s.needs(&s.release[r], b.target)
		}
	}
	var verified []int32
	for _, r := range u.members {
		m := &s.release[r]
		if slices.Contains(m.targets, b.target) {
			verified = append(verified, s.module(r, b.target, group, gathered))
			for i := s.last[r][0]; i < s.last[r][1]; i++ {
				ends = append(ends, i)
			}
		}
	}
	done := verified[0]
	if group >= 0 {
		first := &s.release[u.members[0]]
		done = s.step(Step{ID: "group-done:" + first.Name + at, Kind: StepGather, Target: s.live.targets[b.target],
			Reason: "what needs one of the group waits for all of it"})
		for _, i := range verified {
			s.need(i, s.steps[i].Module+" belongs to the group")
		}
		ends = append(ends, done)
	}
	s.ready[int(b.unit)*len(s.used)+int(b.target)] = done
	for _, r := range u.members {
		m := &s.release[r]
		due := m.targets[len(m.targets)-1]
		if s.early[r] {
			due = m.targets[0]
		}
		if m.delivery.Publish != nil && due == b.target {
			s.publication(r, done)
		}
	}
	return ends
}

// suffix is the part of a step's ID that names the target.
func (s *planSteps) suffix(target int32) string {
	if name := s.live.targets[target]; name != "" {
		return "@" + name
	}
	return ""
}

// needs lets the step that was begun last wait for what m needs at a target.
func (s *planSteps) needs(m *planModule, target int32) {
	if !slices.Contains(m.targets, target) {
		return
	}
	for i := range m.needs {
		n := &m.needs[i]
		to := &s.release[n.to]
		where := s.served(to, n.kind(), target)
		if n.kind() == NeedBuild && to.delivery.Publish != nil {
			s.need(s.publish[n.to], s.text.need(m, n, to, ""))
			continue
		}
		elsewhere := ""
		if where != target {
			elsewhere = s.live.targets[where]
		}
		s.need(s.ready[int(to.unit)*len(s.used)+int(where)], s.text.need(m, n, to, elsewhere))
	}
}

// notify ends the playbook.
func (s *planSteps) notify() {
	env := s.environment
	var params map[string]string
	if len(env.Channels) > 0 {
		params = map[string]string{ParamChannels: strings.Join(env.Channels, ",")}
	}
	n := len(s.steps)
	s.step(Step{ID: stepNotify, Kind: StepNotify, Params: params, Timeout: DefaultTimeout, Reason: "tells everybody that the release is complete"})
	for i := range int32(n) {
		if !s.rested[i] {
			s.follow(i, "the release is complete only then")
		}
	}
}

// approvers says who is asked.
func approvers(a *Approval) string {
	who := make([]string, len(a.Rules))
	for i, r := range a.Rules {
		who[i] = fmt.Sprintf("%d of %s", r.Count, r.Group)
	}
	return planList(who, len(who), "and")
}

// withParam returns a copy of params with one more.
func withParam(params map[string]string, key, value string) map[string]string {
	with := make(map[string]string, len(params)+1)
	maps.Copy(with, params)
	with[key] = value
	return with
}

// planDuration writes a duration without units that are zero.
func planDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = text[:len(text)-2]
	}
	if strings.HasSuffix(text, "h0m") {
		text = text[:len(text)-2]
	}
	return text
}
