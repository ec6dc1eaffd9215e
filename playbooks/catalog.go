// Package playbooks is the domain of Muster: what modules there are and what
// they need (Catalog), what is to be released and why in that order (Compile,
// Playbook), what happened so far (Event, Run, Environment), what may happen
// next (Decide) and how to say so to a person (Explain).
//
// Everything here is pure: no I/O, no clock, no goroutine. The same input gives
// the same bytes.
package playbooks

import (
	"cmp"
	"slices"
	"time"
)

// Catalog says which modules exist, where they go and who may send them there.
// It is immutable once it was loaded: a reload makes a new one.
type Catalog struct {
	Name         string        `json:"name,omitempty"`
	Cycles       CyclePolicy   `json:"cycles,omitempty"`
	Modules      []Module      `json:"modules"`
	Environments []Environment `json:"environments"` // in the order of promotion
	People       []Person      `json:"people,omitempty"`
	Groups       []Group       `json:"groups,omitempty"`
	Access       []Access      `json:"access,omitempty"`
	Rules        []Rule        `json:"rules,omitempty"` // the first that fits an event counts
	Trains       []Train       `json:"trains,omitempty"`
}

// CyclePolicy says what to do with modules that need each other in a circle.
type CyclePolicy string

const (
	// RefuseCycles, the default, refuses to plan and names the shortest cycle.
	RefuseCycles CyclePolicy = "refuse"
	// ReleaseTogether releases all modules of a cycle as one group in one wave.
	ReleaseTogether CyclePolicy = "together"
)

// Module is one thing that can be released.
type Module struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Owners      []string `json:"owners,omitempty"` // people or groups
	Source      string   `json:"source,omitempty"` // its project in the forge: "payments/api", with or without the host before it
	Path        string   `json:"path,omitempty"`   // its folder there; empty: the whole project
	// TagPrefix stands before the version in its tags, where a project has several modules: "cart/".
	TagPrefix string `json:"tagPrefix,omitempty"`
	// ConfigPaths are the files and folders of its project whose changes people want to see; a
	// folder ends in "/".
	ConfigPaths []string `json:"configPaths,omitempty"`
	// OnCall is the schedule, in the pager, of those who are called for it.
	OnCall       string            `json:"onCall,omitempty"`
	Version      string            `json:"version,omitempty"`
	Needs        []Need            `json:"needs,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	Irreversible bool              `json:"irreversible,omitempty"` // `reversible: false`
	// Deploy says how the module is delivered to an environment, by the
	// environment's name. The entry "" serves every environment without its own.
	Deploy map[string]Delivery `json:"deploy,omitempty"`
}

// NeedKind says in what way one module needs another.
type NeedKind string

const (
	NeedDeploy NeedKind = "deploy" // must be live and healthy first; the default
	NeedBuild  NeedKind = "build"  // must be published first
	NeedTest   NeedKind = "test"   // never orders anything
)

// Need is one edge of the dependency graph.
type Need struct {
	Module string `json:"module"`
	// Constraint is a version constraint such as ">=1.2, <2"; empty takes any.
	Constraint string   `json:"constraint,omitempty"`
	Kind       NeedKind `json:"kind"`
	Reason     string   `json:"reason,omitempty"`
	// Source is the line that a discovered need was found in, within the module's project:
	// "go.mod:12". A need that somebody declared has none.
	Source string `json:"source,omitempty"`
}

// why is the reason that somebody gave for a need, or else where it was found.
func (n *Need) why() string { return cmp.Or(n.Reason, n.Source) }

// Delivery says how a module gets into an environment.
type Delivery struct {
	Deployer  string            `json:"deployer,omitempty"` // empty takes the default deployer
	Params    map[string]string `json:"params,omitempty"`   // the deployer's own: namespace, chart, ...
	Targets   []string          `json:"targets,omitempty"`  // empty: every target of the environment
	Artifact  string            `json:"artifact,omitempty"` // what is delivered; {version} is replaced
	Strategy  Strategy          `json:"strategy,omitzero"`
	Gates     []Gate            `json:"gates,omitempty"`
	Migration *Job              `json:"migration,omitempty"` // runs before the deployment
	Tests     []Job             `json:"tests,omitempty"`     // run after the verification
	Publish   *Job              `json:"publish,omitempty"`   // runs once, after all targets
	Tag       bool              `json:"tag,omitempty"`       // names the commit after the version before it is deployed
	Timeout   time.Duration     `json:"timeout,omitempty"`   // of the deployment; 0: DefaultTimeout
	Estimate  time.Duration     `json:"estimate,omitempty"`  // how long the deployment takes as a rule
	Retries   int               `json:"retries,omitempty"`   // automatic new attempts after a recorded failure
}

// DefaultTimeout is how long a step may take where nothing else is said.
const DefaultTimeout = 15 * time.Minute

// StrategyKind is a way to replace the old version by the new one.
type StrategyKind string

const (
	Rolling  StrategyKind = "rolling" // the default
	Recreate StrategyKind = "recreate"
	Canary   StrategyKind = "canary"
)

// Strategy is how a deployment replaces what runs.
type Strategy struct {
	Kind   StrategyKind  `json:"kind,omitempty"`
	Stages []CanaryStage `json:"stages,omitempty"` // for Canary, rising shares below 100
}

// CanaryStage gives the new version a share of the traffic or replicas for a time.
type CanaryStage struct {
	Share int           `json:"share"` // percent
	Bake  time.Duration `json:"bake"`
}

// Gate must pass before a module is deployed. Kind "soak" is Muster's own; all
// other kinds are asked of the gate port of that name.
type Gate struct {
	Kind   string            `json:"kind"`
	Soak   time.Duration     `json:"soak,omitempty"` // for "soak": how long live in the environment before
	Params map[string]string `json:"params,omitempty"`
}

// Job is work around a deployment: a migration, a test suite, a publication.
type Job struct {
	Name         string            `json:"name,omitempty"`
	Params       map[string]string `json:"params,omitempty"`
	Timeout      time.Duration     `json:"timeout,omitempty"`
	Irreversible bool              `json:"irreversible,omitempty"`
}

// OnFailure says what a run does when a step has failed for good.
type OnFailure string

const (
	// Hold lets running steps finish and begins nothing new; the default.
	Hold OnFailure = "hold"
	// FinishIndependent goes on with whatever does not rest on the failed step.
	FinishIndependent OnFailure = "finish-independent"
	// RollBack goes back by itself as far as the environment's policy lets it.
	RollBack OnFailure = "roll-back"
)

// Environment is a place modules are released to.
type Environment struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Targets are regions, clusters or tenants, in the order in which they are
	// served. None means that the environment is its own only target.
	Targets []string `json:"targets,omitempty"`
	// Approvals is nil where the configuration says nothing: then nothing can be
	// released there until it does.
	Approvals *ApprovalPolicy `json:"approvals,omitempty"`
	// Limit is how many steps with an effect may run at once; 0 means no limit.
	Limit     int       `json:"limit,omitempty"`
	OnFailure OnFailure `json:"onFailure,omitempty"`
	// AutoRollback starts a rollback without asking, except past irreversible steps.
	AutoRollback bool `json:"autoRollback,omitempty"`
	// OnlyRegistered refuses versions, of modules with a Source, of which no build is registered
	// that passed.
	OnlyRegistered bool     `json:"onlyRegistered,omitempty"`
	Channels       []string `json:"channels,omitempty"` // where releases are announced
	// OwnersMay are the verbs that owners have for their own modules here;
	// nil means DefaultOwnerVerbs.
	OwnersMay []Verb `json:"ownersMay,omitempty"`
}

// ApprovalPolicy says who must agree before anything is touched.
type ApprovalPolicy struct {
	// None is set by `approvals: none`: nobody is asked, on purpose.
	None             bool           `json:"none,omitempty"`
	Rules            []ApprovalRule `json:"rules,omitempty"`
	Distinct         bool           `json:"distinct,omitempty"`         // one person counts for one rule only
	ExcludeRequester bool           `json:"excludeRequester,omitempty"` // two-person rule
	ValidFor         time.Duration  `json:"validFor,omitempty"`         // life of an answer; 0: DefaultValidFor
}

// DefaultValidFor is how long an approval lives where nothing else is said.
const DefaultValidFor = 24 * time.Hour

// ApprovalRule asks Count members of Group.
type ApprovalRule struct {
	Group string `json:"group"`
	Count int    `json:"count"`
}

// Person is somebody who talks to Muster.
type Person struct {
	ID      string            `json:"id"`
	Name    string            `json:"name,omitempty"`
	Email   string            `json:"email,omitempty"`
	Handles map[string]string `json:"handles,omitempty"` // system → the person's id there
}

// Group is a set of people and of other groups.
type Group struct {
	Name    string   `json:"name"`
	Members []string `json:"members"`
	// From names, by system, a group there whose members belong to this one as well.
	// Whoever makes a policy adds them to Members; nothing in this package does.
	From map[string]string `json:"from,omitempty"`
}

// Verb is something a person may be allowed to do. Each command needs one.
type Verb string

const (
	VerbView     Verb = "view" // plan, status, why, history, versions, who, catalog
	VerbRelease  Verb = "release"
	VerbOperate  Verb = "operate" // pause, resume, retry, annotate
	VerbAbort    Verb = "abort"
	VerbSkip     Verb = "skip" // skip a step, confirm an unknown one: acts against the plan
	VerbRollback Verb = "rollback"
	VerbFreeze   Verb = "freeze"
	VerbOverride Verb = "override" // release in spite of a freeze
	VerbReload   Verb = "reload"   // catalog reload
)

// Verbs lists every verb.
var Verbs = [...]Verb{VerbView, VerbRelease, VerbOperate, VerbAbort, VerbSkip, VerbRollback, VerbFreeze, VerbOverride, VerbReload}

// Role is a named set of verbs.
type Role string

const (
	Viewer   Role = "viewer"
	Releaser Role = "releaser" // view, release, operate, abort, rollback
	Operator Role = "operator" // releaser and skip, freeze
	Admin    Role = "admin"    // everything
)

// Access gives people a role for some environments and modules. What no Access
// and no ownership gives is refused.
type Access struct {
	Who          []string `json:"who"` // people, groups, or "everyone"
	Role         Role     `json:"role"`
	Environments []string `json:"environments,omitempty"` // empty: all
	Modules      []string `json:"modules,omitempty"`      // empty: all
}

// Environment returns the environment with that name, and nil when there is none.
func (c *Catalog) Environment(name string) *Environment {
	for i := range c.Environments {
		if c.Environments[i].Name == name {
			return &c.Environments[i]
		}
	}
	return nil
}

// Before returns the environment that releases come from on their way to the
// one named, and nil for the first.
func (c *Catalog) Before(name string) *Environment {
	at := slices.IndexFunc(c.Environments, func(e Environment) bool { return e.Name == name })
	if at <= 0 {
		return nil
	}
	return &c.Environments[at-1]
}

// Module returns the module with that name, and nil when there is none.
func (c *Catalog) Module(name string) *Module {
	for i := range c.Modules {
		if c.Modules[i].Name == name {
			return &c.Modules[i]
		}
	}
	return nil
}

// Places returns where a module lives in an environment, in the order of its targets.
func (c *Catalog) Places(e *Environment, m *Module) []Place {
	if len(e.Targets) == 0 {
		return []Place{{Environment: e.Name, Module: m.Name}}
	}
	only := m.In(e.Name).Targets
	var places []Place
	for _, target := range e.Targets {
		if len(only) == 0 || slices.Contains(only, target) {
			places = append(places, Place{Environment: e.Name, Target: target, Module: m.Name})
		}
	}
	return places
}

// In returns how the module is delivered to an environment.
func (m *Module) In(environment string) Delivery {
	if d, ok := m.Deploy[environment]; ok {
		return d
	}
	return m.Deploy[""]
}

// Compare orders places as locks are taken: by environment, target, module.
func (p Place) Compare(other Place) int {
	return cmp.Or(cmp.Compare(p.Environment, other.Environment), cmp.Compare(p.Target, other.Target), cmp.Compare(p.Module, other.Module))
}
