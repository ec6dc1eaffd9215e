package configs

import (
	"encoding/base64"
	"strings"
)

// gitlabSystem is GitLab's name in Person.Handles, in rules, and as a deployer.
const gitlabSystem = "gitlab"

// GitLab says how to reach a GitLab, and what it may send.
type GitLab struct {
	// URL is where people find it, a sub-path included, without a slash at the end.
	URL   string
	Token Secret // of a project, a group or a user
	// WebhookSecret is what a webhook shows as its secret token; empty: none does.
	WebhookSecret Secret
	// SigningSecret is what a webhook signs its deliveries with: whsec_ and 32 bytes in
	// base64. Empty: none does. Without either secret nothing that is delivered is believed.
	SigningSecret Secret
	// BuildReport is the name of the artifact in which a pipeline says what it built;
	// muster-build.json where nothing is said.
	BuildReport string
	// Record are the environments whose deployments, commit statuses and releases are shown
	// on GitLab's own pages; empty: all.
	Record []string
}

const defaultBuildReport = "muster-build.json"

func (d *decoder) gitlab(n *node) {
	s := &GitLab{BuildReport: defaultBuildReport}
	d.server.GitLab = s
	if n.kind != mapping {
		d.hide(n) // it may be one of the secrets
	}
	if !d.object(n, "the settings of GitLab",
		field{key: "url", decode: func(n *node) { s.URL = d.site(n, "/api/v4/", "/-/") }},
		field{key: "token", secret: true, decode: func(n *node) { s.Token = d.key(n) }},
		field{key: "webhookSecret", secret: true, decode: func(n *node) { s.WebhookSecret = d.strong(n) }},
		field{key: "signingSecret", secret: true, decode: func(n *node) { s.SigningSecret = d.signing(n) }},
		field{key: "buildReport", decode: func(n *node) { s.BuildReport = d.relative(n) }},
		field{key: "record", decode: func(n *node) { s.Record = d.some(n, anEnvironment, "GitLab is told of") }},
	) {
		return
	}
	d.require(n, "the settings of GitLab", "url", "token")
}

// What GitLab makes as a signing token, after Standard Webhooks:
// https://docs.gitlab.com/user/project/integrations/webhooks/ and
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
const (
	signingPrefix = "whsec_"
	signingBytes  = 32
)

// signing reads a secret that signs deliveries.
func (d *decoder) signing(n *node) Secret {
	s := d.key(n)
	value := s.Reveal()
	if value == "" {
		return s
	}
	encoded, ok := strings.CutPrefix(value, signingPrefix)
	if !ok {
		d.report(n.at, "what a webhook shows as its secret token is given as webhookSecret", "%q wants a signing token, which begins with %s", n.name, signingPrefix)
		return s
	}
	if key, err := base64.StdEncoding.DecodeString(encoded); err != nil || len(key) != signingBytes {
		d.report(n.at, "copy it again", "%q wants %s and %d bytes in base64 after it", n.name, signingPrefix, signingBytes)
	}
	return s
}
