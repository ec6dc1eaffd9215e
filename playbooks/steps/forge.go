package steps

import (
	"context"
	"time"

	"github.com/muster-release/muster/playbooks"
)

// ChangesQuery asks what is new in a module's version.
type ChangesQuery struct {
	Module *playbooks.Module
	// From and To are builds. Where From has neither version nor commit, nothing was there
	// before. Of a build whose commit is not known the version's tag is taken.
	From, To playbooks.BuildState
}

// Historian knows what happened to a module's code between two versions. Its
// method has no effect. What cannot be found out is said in Changes.Unknown.
type Historian interface {
	Changes(ctx context.Context, q ChangesQuery) (playbooks.Changes, error)
}

// Storyteller knows the tracker's issues. Its method has no effect.
type Storyteller interface {
	// Stories returns a story for each key, in the order of the keys; one that the tracker
	// does not know has no status.
	Stories(ctx context.Context, keys []string) ([]playbooks.Story, error)
	// StoryKeys finds the keys of issues that a text names, each once.
	StoryKeys(text string) []string
}

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

// Tagger names commits in the forge: the runner of StepTag. Start with a tag that
// is there already, on that very commit, has succeeded; on another commit it is refused.
type Tagger = Runner
