package steps

import (
	"context"
	"time"

	"github.com/muster-release/muster/playbooks"
)

// ForgeRecord is what a run does with one module in one place, for the forge's own pages.
type ForgeRecord struct {
	Run    string
	Module *playbooks.Module
	Place  playbooks.Place
	// Deployer is the platform it goes to, as the module's delivery names it.
	Deployer string
	Version  string
	Commit   string // empty: not known, then the version's tag is taken
	State    ForgeState
	Since    time.Time // when State began
	Text     string    // State in a line for people
	Link     string    // to the release; empty: there is none
}

// ForgeState is where a deployment stands.
type ForgeState string

const (
	ForgePending  ForgeState = "pending" // will be deployed
	ForgeRunning  ForgeState = "running"
	ForgeSuccess  ForgeState = "success"
	ForgeFailed   ForgeState = "failed"
	ForgeCanceled ForgeState = "canceled"
)

// ForgeRelease is a module's release as the forge is to show it.
type ForgeRelease struct {
	Run     string
	Module  *playbooks.Module
	Version string
	Commit  string
	Notes   string // Markdown
	Links   []ForgeLink
}

// ForgeLink is a link of a release. No two of one release have the same Name or URL.
type ForgeLink struct{ Name, URL string }

// Forge shows on its own pages what Muster does. Its methods make something look
// like what they are given, look before they create, and may be repeated after any error.
type Forge interface {
	// Record keeps the status of the commit and the deployment in the environment.
	Record(ctx context.Context, r ForgeRecord) error
	// Release keeps the release of a version that is tagged.
	Release(ctx context.Context, r ForgeRelease) error
}
