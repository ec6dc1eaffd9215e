package playbooks

import (
	"strconv"
	"strings"
	"time"
)

// module adds the steps of one module at one target: migrate, deploy or canary
// stages and promote, verify, tests. It returns the verification, which is what
// dependants wait for.
func (s *planSteps) module(r, target, group, gathered int32) (verify int32) {
	m := &s.release[r]
	d := &m.delivery
	at := m.Name + s.suffix(target)
	step := Step{
		Module: m.Name, Target: s.live.targets[target], Version: m.version, From: s.live.version(m.id, target),
		Artifact: m.artifact(), Deployer: d.Deployer,
	}
	timeout := d.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	before, why := int32(-1), ""
	add := func(next Step, why string) {
		if next.Kind.HasEffect() && s.approve >= 0 {
			next.ApprovedBy = stepApprove
		}
		i := s.step(next)
		if before >= 0 {
			s.need(before, why)
		} else {
			s.begin(r, target, group, gathered)
		}
		before = i
	}

	if d.Tag && target == m.targets[0] && !IsPseudoVersion(m.version) {
		add(Step{ID: "tag:" + m.Name, Kind: StepTag, Module: m.Name, Version: m.version, Params: m.built(nil), Timeout: DefaultTimeout,
			Reason: "names the commit of " + m.Name + " " + m.TagPrefix + m.version + " in the forge"}, "")
		why = "what is deployed is what has the name"
	}
	if d.Migration != nil {
		next := s.job(step, StepMigrate, d.Migration)
		next.ID, next.Reason = "migrate:"+at, "changes the data of "+m.Name+" so that "+m.version+" can work with it"
		add(next, why)
		why = "the data has to be ready"
	}
	step.Irreversible = m.Irreversible
	step.Timeout, step.Retries = timeout, d.Retries
	stages := d.Strategy.Stages
	if d.Strategy.Kind != Canary {
		stages = nil
	}
	step.Estimate = d.Estimate / time.Duration(len(stages)+1)
	params := s.params(m)
	for k, stage := range stages {
		share := s.unique(strconv.Itoa(stage.Share), k, func(j int) string { return strconv.Itoa(stages[j].Share) })
		next := step
		next.Kind, next.ID = StepCanary, "canary-"+share+":"+at
		next.Params = withParam(params, ParamShare, strconv.Itoa(stage.Share))
		next.Reason = "gives " + m.version + " of " + m.Name + " " + strconv.Itoa(stage.Share) + " % of the load"
		add(next, why)
		add(Step{
			ID: "bake-" + share + ":" + at, Kind: StepBake, Module: m.Name, Target: step.Target, Version: m.version, From: step.From, Deployer: d.Deployer,
			Params: map[string]string{ParamShare: strconv.Itoa(stage.Share)}, Bake: stage.Bake, Timeout: stage.Bake + timeout, Estimate: stage.Bake,
			Reason: "watches " + m.Name + " at " + strconv.Itoa(stage.Share) + " % for " + planDuration(stage.Bake),
		}, "what is watched has to be there")
		why = "the smaller share has to hold first"
	}
	next := step
	next.Params = params
	if d.Strategy.Kind == Canary {
		next.Kind, next.ID, next.Reason = StepPromote, "promote:"+at, "gives "+m.version+" of "+m.Name+" the whole load"
	} else {
		next.Kind, next.ID, next.Reason = StepDeploy, "deploy:"+at, s.text.deploy(m, step.From)
	}
	add(next, why)
	add(Step{
		ID: "verify:" + at, Kind: StepVerify, Module: m.Name, Target: step.Target, Version: m.version, From: step.From,
		Deployer: d.Deployer, Timeout: timeout, Reason: "what needs " + m.Name + " waits until it is live and healthy",
	}, "it looks at what was deployed")

	verify = before
	s.last[r] = [2]int32{verify, verify + 1}
	for k := range d.Tests {
		next := s.job(step, StepTest, &d.Tests[k])
		next.ID = jobID("test", s.unique(d.Tests[k].Name, k, func(j int) string { return d.Tests[j].Name })) + ":" + at
		next.Reason = "tries " + m.Name + " out where it is live"
		before = verify
		add(next, "tests run against what is live")
		s.last[r] = [2]int32{verify + 1, before + 1}
	}
	return verify
}

// begin gives a module's first step at a target what it has to wait for. At
// later targets the steps at the one before imply the approval, the gates and
// the preflight.
func (s *planSteps) begin(r, target, group, gathered int32) {
	m := &s.release[r]
	first := target == m.targets[0]
	// In the order in which they end up sorted, as far as that is known.
	if first {
		if s.approve >= 0 {
			s.need(s.approve, s.agreed)
		}
		for i := s.gates[r][0]; i < s.gates[r][1]; i++ {
			s.need(i, s.steps[i].Reason)
		}
	}
	if group >= 0 {
		s.need(group, "the modules of the circle begin together")
	}
	switch {
	case gathered >= 0:
		s.follow(gathered, "targets are served one after another")
	case first:
		s.follow(s.prepared, "the plan has to fit the world as it is under the locks")
	}
	if !first {
		for i := s.last[r][0]; i < s.last[r][1]; i++ {
			s.need(i, m.Name+" has to be well at "+s.steps[i].Target+" first")
		}
	}
	if group < 0 {
		s.needs(m, target)
	}
}

// publication adds a module's publish step. What done is, dependants wait for.
func (s *planSteps) publication(r, done int32) {
	m := &s.release[r]
	step := s.job(Step{Module: m.Name, Version: m.version, Deployer: m.delivery.Deployer,
		Artifact: m.artifact()}, StepPublish, m.delivery.Publish)
	step.ID = "publish:" + m.Name
	step.Reason = "makes " + m.version + " of " + m.Name + " available to others, once it is live everywhere"
	if s.early[r] {
		step.Reason = "makes " + m.version + " of " + m.Name + " available to what is built from it"
	}
	if s.approve >= 0 {
		step.ApprovedBy = stepApprove
	}
	s.publish[r] = s.step(step)
	if s.steps[done].Kind == StepGather {
		s.need(done, "only what works together is published")
	}
	for i := s.last[r][0]; i < s.last[r][1]; i++ {
		s.need(i, "only what works is published")
	}
}

// job fills in a step that carries out a job beside the deployment.
func (s *planSteps) job(step Step, kind StepKind, j *Job) Step {
	step.Kind, step.Params, step.Irreversible, step.Timeout = kind, j.Params, j.Irreversible, j.Timeout
	step.Retries, step.Estimate = 0, 0
	if step.Timeout == 0 {
		step.Timeout = DefaultTimeout
	}
	if j.Name != "" {
		step.Params = withParam(j.Params, ParamJob, j.Name)
	}
	step.Params = s.release[s.at[s.graph.ids[step.Module]]].built(step.Params)
	return step
}

// jobID is the first part of a job step's ID. Jobs without a name are told
// apart by number alone.
func jobID(kind, name string) string {
	if name == "" {
		return kind
	}
	return kind + "-" + strings.TrimPrefix(name, "-")
}

// params are the deployer's parameters with the strategy. Modules without any
// of their own share one map, for a playbook never changes.
func (s *planSteps) params(m *planModule) map[string]string {
	d := &m.delivery
	kind := d.Strategy.Kind
	if kind == "" {
		kind = Rolling
	}
	if len(d.Params) > 0 || m.build.commit() != "" || m.build.digest() != "" {
		return m.built(withParam(d.Params, ParamStrategy, string(kind)))
	}
	if s.strategies[kind] == nil {
		s.strategies[kind] = map[string]string{ParamStrategy: string(kind)}
	}
	return s.strategies[kind]
}

// built adds to params what the build of the version says it was made of, so that an approval
// covers that, too.
func (m *planModule) built(params map[string]string) map[string]string {
	if commit := m.build.commit(); commit != "" {
		params = withParam(params, ParamCommit, commit)
	}
	if digest := m.build.digest(); digest != "" {
		params = withParam(params, ParamDigest, digest)
	}
	return params
}

// artifact is what is delivered, with its version filled in, and what its build says.
func (m *planModule) artifact() string {
	if !strings.Contains(m.delivery.Artifact, "{") {
		return m.delivery.Artifact
	}
	fill := []string{"{version}", m.version}
	if commit := m.build.commit(); commit != "" {
		fill = append(fill, "{commit}", commit)
	}
	if digest := m.build.digest(); digest != "" {
		fill = append(fill, "{digest}", digest)
	}
	return strings.NewReplacer(fill...).Replace(m.delivery.Artifact)
}

// planText writes reasons one after another into large pieces of memory: a
// large playbook has a hundred thousand of them.
type planText struct {
	piece strings.Builder
	start int
}

// write appends to the reason that is being written.
func (t *planText) write(parts ...string) {
	for _, p := range parts {
		t.piece.WriteString(p)
	}
}

// begin makes room for a reason of at most size bytes.
func (t *planText) begin(size int) {
	if t.piece.Cap()-t.piece.Len() < size {
		t.piece = strings.Builder{}
		t.piece.Grow(max(size, 64<<10))
	}
	t.start = t.piece.Len()
}

func (t *planText) end() string { return t.piece.String()[t.start:] }

// need says why m waits for to.
func (t *planText) need(m *planModule, n *planNeed, to *planModule, elsewhere string) string {
	if n.need == nil {
		t.begin(len(m.Name) + len(to.Name) + len(n.via) + 64)
		t.write(m.Name, " needs ", to.Name, " through ", n.via, ", not part of this release")
		return t.end()
	}
	rule, why := needRule(n.need.kind(), to), n.need.why()
	t.begin(len(m.Name) + len(to.Name) + len(n.need.Constraint) + len(why) + len(elsewhere) + len(rule) + 32)
	t.write(m.Name, " needs ", to.Name)
	if n.need.Constraint != "" {
		t.write(" ", n.need.Constraint)
	}
	if elsewhere != "" {
		t.write(" at ", elsewhere)
	}
	t.write(": ", rule)
	if why != "" {
		t.write(" (", why, ")")
	}
	return t.end()
}

// needRule says what has to be true of a module before its dependants begin.
func needRule(kind NeedKind, to *planModule) string {
	switch {
	case kind == NeedBuild && to.delivery.Publish != nil:
		return "must be published first"
	case kind == NeedBuild:
		return "must be released first"
	}
	return "must be live and healthy first"
}

// deploy says what a deployment does.
func (t *planText) deploy(m *planModule, from string) string {
	t.begin(len(m.Name) + len(m.version) + len(from) + 32)
	switch from {
	case "":
		t.write("brings ", m.Name, " ", m.version)
	case m.version:
		t.write("deploys ", m.Name, " ", m.version, " again")
	default:
		t.write("takes ", m.Name, " from ", from, " to ", m.version)
	}
	return t.end()
}
