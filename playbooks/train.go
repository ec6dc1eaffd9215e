package playbooks

import "time"

// Train is a release that leaves by the clock.
type Train struct {
	Name string `json:"name"`
	// Schedule is when its candidate is collected, in cron's five fields, by the clock of Zone.
	Schedule    string   `json:"schedule"`
	Zone        string   `json:"zone"` // an IANA name, "Europe/Berlin"
	Environment string   `json:"environment"`
	Modules     []string `json:"modules,omitempty"` // empty: every module that has something new
	// Lead is how long after its tick it departs: until then nothing is touched.
	Lead time.Duration `json:"lead,omitempty"`
	// Remind is how long before the departure owners are told again what is missing.
	Remind []time.Duration `json:"remind,omitempty"`
	// Late is what becomes of a tick that was missed while Muster was down.
	Late LatePolicy `json:"late,omitempty"`
	As   string     `json:"as"` // the person by whose rights it is released
	// Channels hear what is missing; empty: those of the environment.
	Channels []string `json:"channels,omitempty"`
}

// LatePolicy says what to do with a tick that was missed.
type LatePolicy string

const (
	// LateSkip, the default, tells the channels that the train did not run.
	LateSkip LatePolicy = "skip"
	// LateRun lets it run as soon as that is noticed, once however many were missed.
	LateRun LatePolicy = "run"
)
