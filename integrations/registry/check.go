package registry

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/muster-release/muster/playbooks/steps"
)

// Check looks whether the registries take the logins, and whether the images of the modules that a
// registry delivers can be read. It changes nothing, so that it cannot tell whether tags may be moved.
func (r *Registry) Check(ctx context.Context) []steps.Finding {
	var found []steps.Finding
	for _, host := range slices.Sorted(maps.Keys(r.logins)) {
		found = append(found, r.checkLogin(ctx, host))
	}
	for _, image := range r.images() {
		found = append(found, r.checkImage(ctx, image))
	}
	return found
}

// images are the repositories of all modules that a registry delivers, each once.
func (r *Registry) images() []string {
	all := make(map[string]bool)
	c := r.o.Catalog()
	for i := range c.Modules {
		for _, d := range c.Modules[i].Deploy {
			if d.Deployer == System {
				all[d.Params[paramImage]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func (r *Registry) checkLogin(ctx context.Context, host string) steps.Finding {
	reg, err := name.NewRegistry(host, name.StrictValidation)
	if err != nil {
		return steps.Finding{What: fmt.Sprintf("%q is no host of a registry", host), Fix: "give the host alone under server: registries, such as registry.example"}
	}
	err = r.call(ctx, reg, fmt.Sprintf("log in at %q", host), func(ctx context.Context) error {
		auth, err := r.logins.Resolve(reg)
		if err != nil {
			return err
		}
		authorized, err := transport.NewWithContext(ctx, reg, auth, transport.NewUserAgent(r.wire, "muster"), nil)
		if err != nil {
			return err
		}
		base := url.URL{Scheme: reg.Scheme(), Host: reg.RegistryStr(), Path: "/v2/"}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.String(), nil)
		if err != nil {
			return err
		}
		answer, err := (&http.Client{Transport: authorized}).Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		return transport.CheckError(answer, http.StatusOK)
	})
	switch {
	case err == nil && r.logins[host].User == "":
		return steps.Finding{OK: true, What: fmt.Sprintf("%s answers without a login", host)}
	case err == nil:
		return steps.Finding{OK: true, What: fmt.Sprintf("%s takes the login", host)}
	case isPermanent(err):
		return steps.Finding{What: err.Error(), Fix: "put the right user and password under server: registries"}
	}
	return steps.Finding{What: err.Error(), Fix: "see that the registry can be reached from here, and try again"}
}

func (r *Registry) checkImage(ctx context.Context, image string) steps.Finding {
	repo, err := repository(image)
	if err != nil {
		return steps.Finding{What: err.Error(), Fix: "give the module's delivery the parameter image"}
	}
	tags, err := r.tags(ctx, repo)
	switch {
	case err == nil:
		return steps.Finding{OK: true, What: fmt.Sprintf("%s has %d tags; whether they may be moved cannot be tried without moving one", repo, len(tags))}
	case isGone(err):
		return steps.Finding{What: fmt.Sprintf("there is no image %s", repo), Fix: "see that the name is right, and that something was pushed there"}
	case isPermanent(err):
		return steps.Finding{What: err.Error(), Fix: "give the account the right to pull and push there"}
	}
	return steps.Finding{What: err.Error(), Fix: "see that the registry can be reached from here, and try again"}
}
