package playbooks

import "time"

// Request is what a person, or a rule on their behalf, wants released.
type Request struct {
	Environment string      `json:"environment"`
	Modules     []ModuleRef `json:"modules,omitempty"`
	All         bool        `json:"all,omitempty"` // every module whose version is not live already
	Reason      string      `json:"reason,omitempty"`
	// NotBefore is when it may begin at the earliest; people are asked before that. Zero: at once.
	NotBefore time.Time `json:"notBefore,omitzero"`
}

// ModuleRef names a module and, unless it is to be found out, a version.
type ModuleRef struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// Place is where one module lives: an environment and one of its targets.
// Target is empty where the environment has none.
type Place struct {
	Environment string `json:"environment"`
	Target      string `json:"target,omitempty"`
	Module      string `json:"module"`
}

// Live is what runs in a place, as its deployer or Muster's own record says.
type Live struct {
	Place
	Version string    `json:"version,omitempty"` // empty: the module has never been there
	Since   time.Time `json:"since,omitzero"`
	Healthy bool      `json:"healthy"`
	// Config is a digest of the module's configuration there, empty if unknown.
	Config  string `json:"config,omitempty"`
	Message string `json:"message,omitempty"` // why it is not healthy
}

// Facts are what Compile knows of the world. They are collected beforehand;
// zero Facts plan offline: what is live is unknown then, which is not the same
// as nothing being live.
type Facts struct {
	At    time.Time `json:"at,omitzero"`
	Known []string  `json:"known,omitempty"` // environments of which Live is complete
	Live  []Live    `json:"live,omitempty"`
	// Released is what Muster itself last released, where that differs from Live
	// somebody else changed the place: drift.
	Released []Live       `json:"released,omitempty"`
	Freezes  []Freeze     `json:"freezes,omitempty"`
	Locks    []Lock       `json:"locks,omitempty"`
	Builds   []BuildState `json:"builds,omitempty"`
	// Newest are, by module, the newest builds that passed, of modules that the request names
	// without a version.
	Newest []BuildState `json:"newest,omitempty"`
}

// States of a build.
const (
	BuildPassed  = "passed"
	BuildFailed  = "failed"
	BuildRunning = "running"
	BuildMissing = "missing" // there is no such build
)

// BuildState is a build of a module's version, as the forge knows it or as it was
// registered. Fields that nobody knows are empty.
type BuildState struct {
	Module   string    `json:"module"`
	Version  string    `json:"version"`
	State    string    `json:"state"`            // BuildPassed and so on
	Config   string    `json:"config,omitempty"` // digest of the configuration this version carries
	Link     string    `json:"link,omitempty"`
	Commit   string    `json:"commit,omitempty"` // full hash
	Ref      string    `json:"ref,omitempty"`    // branch or tag that it was built from
	At       time.Time `json:"at,omitzero"`      // when it was done
	Image    string    `json:"image,omitempty"`  // name of its image, without tag and digest
	Digest   string    `json:"digest,omitempty"` // of the image: sha256:…
	Checksum string    `json:"checksum,omitempty"`
	Tests    string    `json:"tests,omitempty"`    // result in words: "212 passed, 1 skipped"
	Coverage float64   `json:"coverage,omitempty"` // percent; 0: not measured
}

// Freeze stops releases of a module, or of a whole environment.
// At least one of Environment and Module is set.
type Freeze struct {
	Environment string    `json:"environment,omitempty"`
	Module      string    `json:"module,omitempty"`
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until,omitzero"` // zero: until somebody unfreezes
	By          string    `json:"by"`
	Reason      string    `json:"reason"`
}

// Lock is a place that a run has to itself, or waits for.
type Lock struct {
	Place
	Run string `json:"run"`
}

// Playbook is a compiled release: what happens, in what order and why. It is
// immutable. A stored playbook is never compiled again, it runs as it was
// shown; fields may be added to this type, none may change its meaning.
type Playbook struct {
	Format       int             `json:"format"` // PlaybookFormat
	Digest       Digest          `json:"digest"`
	Environment  string          `json:"environment"`
	Request      Request         `json:"request"`
	Targets      []string        `json:"targets,omitempty"`
	Modules      []PlannedModule `json:"modules"` // by name
	Skipped      []Skipped       `json:"skipped,omitempty"`
	Groups       [][]string      `json:"groups"` // modules of a cycle, released together
	Waves        [][]string      `json:"waves"`  // modules, by the number of waves that must go before
	Steps        []Step          `json:"steps"`  // in an order in which they could run one by one
	Approvals    []Approval      `json:"approvals"`
	Warnings     []Warning       `json:"warnings"`
	OnFailure    OnFailure       `json:"onFailure"`
	AutoRollback bool            `json:"autoRollback,omitempty"`
	Limit        int             `json:"limit,omitempty"`
	// RollbackOf is the digest of the playbook that this one undoes.
	RollbackOf *Digest `json:"rollbackOf,omitempty"`
	// RollbackRun is the number of the run that it undoes. No digest covers it.
	RollbackRun string `json:"rollbackRun,omitempty"`

	index map[string]int32 // step ID → place in Steps; made by Seal and Check
}

// PlaybookFormat is the version of Playbook's encoding that this Muster writes.
const PlaybookFormat = 1

// PlannedModule is a module with the version it gets.
type PlannedModule struct {
	Name    string        `json:"name"`
	Version string        `json:"version"`
	From    []From        `json:"from,omitempty"`   // what it replaces, by target
	Source  string        `json:"source,omitempty"` // why this version: "asked for", "live in staging", "catalog"
	Owners  []string      `json:"owners,omitempty"`
	Wave    int           `json:"wave"` // from 1
	Needs   []PlannedNeed `json:"needs"`
	// Changes are what is new in it; nil: nobody was asked. No digest covers them.
	Changes *Changes `json:"changes,omitempty"`
}

// From is the version that a target had when the playbook was compiled.
type From struct {
	Target  string `json:"target,omitempty"`
	Version string `json:"version,omitempty"` // empty: never been there, or not known
}

// PlannedNeed is an edge between modules of the playbook, or to one outside.
type PlannedNeed struct {
	Module     string   `json:"module"`
	Kind       NeedKind `json:"kind"`
	Reason     string   `json:"reason"`
	Constraint string   `json:"constraint,omitempty"`
	Outside    bool     `json:"outside,omitempty"` // not part of this release
}

// Skipped is a module that `--all` left out, with a cause that programs can
// tell apart: "unchanged", "no-version".
type Skipped struct {
	Module string `json:"module"`
	Cause  string `json:"cause"`
	Detail string `json:"detail"`
}

// StepKind says what a step does.
type StepKind string

const (
	StepApproval  StepKind = "approval"  // waits for people
	StepGate      StepKind = "gate"      // waits until a condition holds
	StepLock      StepKind = "lock"      // takes every place at once, or waits in the queue
	StepPreflight StepKind = "preflight" // collects the facts again, under the locks
	StepGather    StepKind = "gather"    // does nothing; many edges meet here
	StepTag       StepKind = "tag"       // names the commit in the forge after the version
	StepMigrate   StepKind = "migrate"
	StepDeploy    StepKind = "deploy"
	StepCanary    StepKind = "canary"  // the new version gets a share
	StepBake      StepKind = "bake"    // the share stays for a while, under watch
	StepPromote   StepKind = "promote" // the new version gets everything
	StepVerify    StepKind = "verify"  // what runs there is the version, and healthy
	StepTest      StepKind = "test"
	StepPublish   StepKind = "publish"
	StepRollback  StepKind = "rollback" // back to the version before
	StepRemove    StepKind = "remove"   // take away what was not there before
	StepNotify    StepKind = "notify"
)

// HasEffect says whether steps of this kind change the world outside Muster,
// so that they need an approval, a lock and a place below the limit.
func (k StepKind) HasEffect() bool {
	switch k {
	case StepTag, StepMigrate, StepDeploy, StepCanary, StepPromote, StepTest, StepPublish, StepRollback, StepRemove:
		return true
	}
	return false
}

// Step is one thing to do. Its ID is stable: the same work on the same module
// and target has the same ID in every playbook, so that playbooks can be compared.
type Step struct {
	ID     string   `json:"id"` // kind[:detail]:module[@target], or a plain word
	Kind   StepKind `json:"kind"`
	Module string   `json:"module,omitempty"`
	Target string   `json:"target,omitempty"`
	Needs  []Edge   `json:"needs"` // sorted by step
	Reason string   `json:"reason"`
	// Digest is over what the step will do; see docs/architecture.md, Digests.
	Digest Digest `json:"digest"`
	// Merkle adds the Merkle digests of the steps it rests on. Approvals name it.
	Merkle Digest `json:"merkle"`

	From         string            `json:"from,omitempty"`
	Version      string            `json:"version,omitempty"`
	Artifact     string            `json:"artifact,omitempty"`
	Deployer     string            `json:"deployer,omitempty"`
	Params       map[string]string `json:"params,omitempty"` // share, strategy, gate parameters, ...
	Bake         time.Duration     `json:"bake,omitempty"`   // of bake steps; of soak gates: how long
	Irreversible bool              `json:"irreversible,omitempty"`
	ApprovedBy   string            `json:"approvedBy,omitempty"` // the approval step that covers it

	// What follows is not part of any digest.
	Timeout  time.Duration `json:"timeout,omitempty"`
	Retries  int           `json:"retries,omitempty"`
	Estimate time.Duration `json:"estimate,omitempty"`
}

// Edge says that a step waits for another, and why.
type Edge struct {
	Step   string `json:"step"`
	Reason string `json:"reason"`
	// Order marks an edge that only orders: what the step does is the same
	// whatever the other one does, so it is not part of the Merkle digest.
	Order bool `json:"order,omitempty"`
}

// Approval is what a StepApproval asks for.
type Approval struct {
	Step             string         `json:"step"`
	Title            string         `json:"title"` // what is asked, in words
	Rules            []ApprovalRule `json:"rules"`
	Distinct         bool           `json:"distinct"`
	ExcludeRequester bool           `json:"excludeRequester"`
	ValidFor         time.Duration  `json:"validFor"`
}

// Warning is something a person should see before saying yes.
type Warning struct {
	Code    string `json:"code"` // impact, drift, config-changed, frozen, irreversible, no-approvals, downgrade, unknown-live, ...
	Module  string `json:"module,omitempty"`
	Message string `json:"message"`
}
