// Package gitlab is Muster's adapter for GitLab: it takes in what GitLab's webhooks tell and
// asks GitLab whether it is true, finds what was never delivered, knows what pipelines built,
// talks to people on merge requests and issues, answers for gates, drives pipelines and shows
// releases on GitLab's own pages. It decides nothing.
//
// It works with GitLab.com and with every other GitLab, under a sub-path too. The library is
// gitlab.com/gitlab-org/api/client-go/v2, which github.com/xanzy/go-gitlab has become.
package gitlab

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/muster-release/muster/playbooks"
)

// System is GitLab's name in Person.Handles, in rules, as a deployer and in events.
const System = "gitlab"

// DefaultBuildReport is the artifact in which a pipeline says what it built.
const DefaultBuildReport = "muster-build.json"

// Options are what a GitLab needs. URL, Token and Catalog are required.
type Options struct {
	// URL is where people find it, a sub-path included: "https://example.com/gitlab".
	URL string
	// Token is an access token of a project, a group or a user.
	Token string
	// WebhookSecret is what webhooks show as their secret token; empty: none is looked at.
	WebhookSecret string
	// SigningSecrets are those that deliveries may be signed with, whsec_ and base64: more than
	// one while they are changed. Without a secret of either kind Handler refuses everything.
	SigningSecrets []string
	// BuildReport is the name of the artifact that says what a pipeline built. Empty:
	// DefaultBuildReport.
	BuildReport string
	// CallsPerMinute is how many calls are made at the most; 0: what GitLab allows where nobody
	// has changed it, see docs/gitlab.md.
	CallsPerMinute int

	// Catalog returns the catalog as it is now. Called often and concurrently.
	Catalog func() *playbooks.Catalog
	// Branches returns branches besides the default one whose heads are looked at in each project
	// to find pushes that were never delivered. Called concurrently. Nil: none.
	Branches func() []string

	// Build returns a registered build, with State missing where there is none. Called concurrently.
	// Nil: none is known, and versions are found by their tags.
	Build func(ctx context.Context, module, version string) (playbooks.BuildState, error)
	// VersionOf returns the version of a module that was built from a commit, empty if none is
	// registered. Called concurrently. Nil: none is known.
	VersionOf func(ctx context.Context, module, commit string) (version string, err error)
	// Live returns the version of a module that is live in an environment, empty if none is. Called
	// concurrently. Nil: nothing is known of it.
	Live func(ctx context.Context, environment, module string) (version string, err error)
	// Record are the environments whose deployments, statuses and releases are recorded. Empty: all.
	Record []string

	// HTTP makes the calls. Nil: a client of its own.
	HTTP *http.Client
	Log  *slog.Logger // nil: nothing is logged
}
