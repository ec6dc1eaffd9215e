package gitlab

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	gl "gitlab.com/gitlab-org/api/client-go/v2"
)

// GitLab is one GitLab, seen with one token's rights. Its methods may be called concurrently.
type GitLab struct {
	options Options
	api     *gl.Client
	base    *url.URL // where people find it, without a slash at the end
	log     *slog.Logger
	limits  *limits
	counts  counts
	in      incoming // what the half that hears remembers
	out     outgoing // what the half that acts remembers

	signing [][]byte // keys
}

// New returns a GitLab, or says what is wrong with o. It makes no call yet.
func New(o Options) (*GitLab, error) {
	base, err := url.Parse(strings.TrimRight(o.URL, "/"))
	switch {
	case err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http":
		return nil, errors.New("gitlab: the URL is no address that begins with https://")
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("gitlab: the URL is to be an address alone, without account, query and fragment")
	case o.Token == "":
		return nil, errors.New("gitlab: there is no token")
	case o.Catalog == nil:
		return nil, errors.New("gitlab: there is no catalog")
	case o.CallsPerMinute < 0:
		return nil, fmt.Errorf("gitlab: %d calls a minute are not possible", o.CallsPerMinute)
	}
	base.Path = strings.TrimSuffix(base.Path, "/api/v4")
	base.RawPath = ""
	o.BuildReport = cmp.Or(o.BuildReport, DefaultBuildReport)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g := &GitLab{options: o, base: base, log: o.Log, limits: newLimits(cmp.Or(o.CallsPerMinute, defaultRate(base.Hostname()))), in: incoming{lanes: newLanes()}}
	for i, secret := range o.SigningSecrets {
		key, err := signingKey(secret)
		if err != nil {
			return nil, fmt.Errorf("gitlab: signing secret %d: %w", i+1, err)
		}
		g.signing = append(g.signing, key)
	}
	client := &http.Client{}
	if o.HTTP != nil {
		*client = *o.HTTP
	}
	client.CheckRedirect = redirect
	client.Transport = wire{cmp.Or(client.Transport, http.DefaultTransport), g.limits}
	if g.api, err = gl.NewClient(o.Token, gl.WithBaseURL(base.String()), gl.WithHTTPClient(client), gl.WithoutRetries(),
		gl.WithCustomLimiter(noLimiter{}), gl.WithUserAgent("muster"), gl.WithURLWarningLogger(slog.New(slog.DiscardHandler))); err != nil {
		return nil, errors.New("gitlab: the URL is no address")
	}
	return g, nil
}

// signingKey reads a secret as Standard Webhooks write it: whsec_ and the key in base64
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
func signingKey(secret string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, "whsec_")
	if !ok {
		return nil, errors.New("it does not begin with whsec_")
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) < 16 {
		return nil, errors.New("it is not whsec_ and a key in base64")
	}
	return key, nil
}

// page is the address of a page of a project for people; rest is what comes after "/-/".
func (g *GitLab) page(project, rest string) string {
	return g.home(project) + "/-/" + rest
}

// home is the address of a project for people.
func (g *GitLab) home(project string) string {
	return g.base.String() + "/" + pathEscape(project)
}
