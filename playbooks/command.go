package playbooks

import (
	"fmt"
	"strings"
	"time"
)

// CommandKind says what somebody wants of a run or an environment.
type CommandKind string

const (
	CommandStart     CommandKind = "start"
	CommandApprove   CommandKind = "approve"
	CommandUnapprove CommandKind = "unapprove"
	CommandReject    CommandKind = "reject"
	CommandPause     CommandKind = "pause"
	CommandResume    CommandKind = "resume"
	CommandAbort     CommandKind = "abort"
	CommandRetry     CommandKind = "retry"
	CommandSkip      CommandKind = "skip"
	CommandConfirm   CommandKind = "confirm"
	CommandRollback  CommandKind = "rollback"
	CommandAnnotate  CommandKind = "annotate"
	CommandFreeze    CommandKind = "freeze"
	CommandUnfreeze  CommandKind = "unfreeze"
)

// Command is one wish of one person. By is established by the door it came
// through, never taken from what the person wrote.
type Command struct {
	Kind        CommandKind
	Run         string // all but start, freeze, unfreeze
	Environment string // start, freeze, unfreeze
	By          string // a person's id in the catalog
	Via         string
	Rule        string // the rule or train that spoke for By; empty: the person did
	Cause       string // identifies the delivery; empty: none
	Step        string // retry, skip, confirm; approve, reject: empty means whatever is asked
	Module      string // freeze, unfreeze of a module
	// Digest is what the person saw: the playbook's digest for start, approve and
	// reject. An answer to another playbook is refused.
	Digest   Digest
	Outcome  Outcome   // confirm: Succeeded or Failed
	Reason   string    // reject, skip, freeze, override
	Until    time.Time // freeze
	Override bool      // start in spite of a freeze; needs VerbOverride and a Reason
}

// Refusal is a command that was decided against, or could not be carried out.
// It is an error for people: Rule names the rule, Message says what happened
// and what state things are in, Who could do it instead, Try is what to type.
type Refusal struct {
	Rule    string
	Message string
	Who     []string
	Try     []string
}

// Error puts everything into one line.
func (r *Refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (rule: %s)", r.Message, r.Rule)
	if len(r.Who) > 0 {
		fmt.Fprintf(&b, "; could do it: %s", strings.Join(r.Who, ", "))
	}
	if len(r.Try) > 0 {
		fmt.Fprintf(&b, "; try: %s", strings.Join(r.Try, " | "))
	}
	return b.String()
}

// Permanent reports that the same command will be refused again.
func (r *Refusal) Permanent() bool { return true }
