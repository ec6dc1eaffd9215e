// Package registry is Muster's adapter for container registries that speak the OCI distribution
// protocol: it promotes an image between channels, which are tags, by moving a tag to a digest. Nothing
// is pulled or pushed but manifests. It decides nothing.
//
// A module's delivery has the parameters
//
//	image    the repository without a tag, with its host: registry.example/shop/cart
//	channel  the tag that is moved; by default the environment's name, with -TARGET where it has targets
//	from     the tag that a build has; by default {version}
//
// In channel {environment}, {target} and {module} are filled in, in from also {version} and {commit}.
package registry

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// System is the name of the deployer, and of what runs jobs.
const System = "registry"

// Login is an account of a registry. Without a User it asks nobody who they are.
type Login struct {
	Host     string // with the port where it is not 443: registry.example:5000
	User     string
	Password string // or a token
}

// Options are what a Registry needs.
type Options struct {
	// Registries are where Muster logs in. Others are asked without a login.
	Registries []Login
	// Catalog is asked for the image of a module. Nil: there are no modules.
	Catalog func() *playbooks.Catalog
	// VersionOf says which version of a module an image is, by its digest; empty: it does not
	// know. Nil: nobody knows.
	VersionOf func(ctx context.Context, module, digest string) (string, error)
	Transport http.RoundTripper // nil: the library's
	Log       *slog.Logger      // nil: nothing is logged
}

// Registry moves tags in container registries, of whatever host an image names. Its methods may be
// called concurrently, for different tags.
//
// http is spoken to this machine alone, https to all others.
type Registry struct {
	o      Options
	log    *slog.Logger
	wire   *wire
	logins logins
	puller *remote.Puller

	mu   sync.Mutex
	seen map[string]seen // what a tag was, by its full name
}

var (
	_ steps.Deployer = (*Registry)(nil)
	_ steps.Runner   = (*Registry)(nil)
)

// seen is what a tag was when it was looked at.
type seen struct {
	digest  string
	version string    // empty: nobody knows
	since   time.Time // when it was seen to be that first
	asked   time.Time // when somebody was asked for the version
}

// mostSeen bounds what is remembered.
const mostSeen = 10_000

// New returns a Registry. It makes no call yet.
func New(o Options) *Registry {
	if o.Catalog == nil {
		o.Catalog = func() *playbooks.Catalog { return &playbooks.Catalog{} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Transport == nil {
		o.Transport = remote.DefaultTransport
	}
	r := &Registry{o: o, log: o.Log, wire: &wire{o.Transport}, logins: logins{}, seen: make(map[string]seen)}
	for _, l := range o.Registries {
		host := strings.TrimRight(strings.TrimPrefix(l.Host, "https://"), "/")
		if reg, err := name.NewRegistry(host, name.StrictValidation); err == nil {
			host = reg.RegistryStr() // docker.io is index.docker.io
		}
		r.logins[host] = l
	}
	// NewPuller fails for options that contradict each other alone, which these do not.
	r.puller, _ = remote.NewPuller(
		remote.WithTransport(r.wire), remote.WithAuthFromKeychain(r.logins), remote.WithUserAgent("muster"), remote.WithPageSize(tagsOnPage),
		// The engine repeats.
		remote.WithRetryPredicate(func(error) bool { return false }), remote.WithRetryStatusCodes(), remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
	)
	return r
}

// logins are the accounts by host: it is an authn.Keychain.
type logins map[string]Login

func (l logins) Resolve(of authn.Resource) (authn.Authenticator, error) {
	login, ok := l[of.RegistryStr()]
	if !ok || login.User == "" {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(authn.AuthConfig{Username: login.User, Password: login.Password}), nil
}

// hide takes passwords out of what a registry said, in case it repeats them.
func (l logins) hide(words string) string {
	for _, login := range l {
		if login.Password != "" {
			words = strings.ReplaceAll(words, login.Password, "***")
		}
	}
	return words
}

// repository reads the name of an image without a tag.
func repository(image string) (name.Repository, error) {
	repo, err := name.NewRepository(image, name.StrictValidation)
	if err != nil || image == "" {
		return repo, refuse("image %q is no name of a repository with its host, such as registry.example/shop/cart", image)
	}
	return repo, nil
}

// channelOf is the tag that stands for a place.
func channelOf(repo name.Repository, params map[string]string, p playbooks.Place) (name.Tag, error) {
	usual := p.Environment
	if p.Target != "" {
		usual += "-" + p.Target
	}
	given := cmp.Or(params[paramChannel], usual)
	return tagOf(repo, "channel", fill(given, "{environment}", p.Environment, "{target}", p.Target, "{module}", p.Module))
}
