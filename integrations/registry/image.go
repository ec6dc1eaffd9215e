package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// digest asks what a tag or digest is, by its headers. Of an image for several platforms it is the digest of the
// index.
func (r *Registry) digest(ctx context.Context, ref name.Reference) (string, error) {
	var found string
	err := r.call(ctx, ref.Context().Registry, fmt.Sprintf("look up %q", ref), func(ctx context.Context) error {
		head, err := r.puller.Head(ctx, ref)
		var said *transport.Error
		var wire *url.Error
		if err != nil && !errors.As(err, &said) && !errors.As(err, &wire) {
			// Some registries leave out of the headers what there should be; the manifest itself says it.
			var whole *remote.Descriptor
			if whole, err = r.puller.Get(ctx, ref); err == nil {
				head = &whole.Descriptor
			}
		}
		if err != nil {
			return err
		}
		found = head.Digest.String()
		return nil
	})
	return found, err
}

// manifest reads the manifest that a digest is of, as it is.
func (r *Registry) manifest(ctx context.Context, ref name.Digest) (*remote.Descriptor, error) {
	var found *remote.Descriptor
	err := r.call(ctx, ref.Registry, fmt.Sprintf("read the manifest %q", ref), func(ctx context.Context) (err error) {
		found, err = r.puller.Get(ctx, ref)
		return err
	})
	return found, err
}

// put puts a tag on a manifest that is in the repository already. It is one request whose body are
// the manifest's own bytes, so that the digest stays what it is. The library would do more than that for
// manifests with a subject.
func (r *Registry) put(ctx context.Context, tag name.Tag, m *remote.Descriptor) error {
	return r.call(ctx, tag.Registry, fmt.Sprintf("put the tag %q", tag), func(ctx context.Context) error {
		return r.send(ctx, tag, http.MethodPut, transport.PushScope, string(m.MediaType), m.Manifest)
	})
}

// remove takes a tag away.
func (r *Registry) remove(ctx context.Context, tag name.Tag) error {
	return r.call(ctx, tag.Registry, fmt.Sprintf("delete the tag %q", tag), func(ctx context.Context) error {
		return r.send(ctx, tag, http.MethodDelete, transport.DeleteScope, "", nil)
	})
}

// send makes a request about a tag that changes something, once it is logged in. See
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints.
func (r *Registry) send(ctx context.Context, tag name.Tag, method, scope, kind string, body []byte) error {
	auth, err := r.logins.Resolve(tag)
	if err != nil {
		return err
	}
	authorized, err := transport.NewWithContext(ctx, tag.Registry, auth, transport.NewUserAgent(r.wire, "muster"), []string{tag.Scope(scope)})
	if err != nil {
		return err
	}
	to := url.URL{Scheme: tag.Scheme(), Host: tag.RegistryStr(), Path: fmt.Sprintf("/v2/%s/manifests/%s", tag.RepositoryStr(), tag.TagStr())}
	request, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	client := http.Client{Transport: authorized, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	err = transport.CheckError(answer, http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent)
	_, _ = io.Copy(io.Discard, answer.Body)
	return err
}

const (
	// tagsOnPage is how many tags are asked for at once, and mostPages how often.
	tagsOnPage = 1000
	mostPages  = 5
)

// tags lists the tags of a repository, or as many as mostPages have.
func (r *Registry) tags(ctx context.Context, repo name.Repository) ([]string, error) {
	what := fmt.Sprintf("list the tags of %q", repo)
	var all []string
	var pages *remote.Lister
	err := r.call(ctx, repo.Registry, what, func(ctx context.Context) (err error) {
		pages, err = r.puller.Lister(ctx, repo)
		return err
	})
	for n := 0; err == nil && pages.HasNext() && n < mostPages; n++ {
		err = r.call(ctx, repo.Registry, what, func(ctx context.Context) error {
			page, err := pages.Next(ctx)
			if err == nil {
				all = append(all, page.Tags...)
			}
			return err
		})
	}
	return all, err
}

// isDigest reports whether text is a digest, as sha256:….
func isDigest(text string) bool {
	_, err := v1.NewHash(text)
	return err == nil && strings.HasPrefix(text, "sha256:")
}

// short is a digest as people read it.
func short(digest string) string {
	const shown = len("sha256:") + 12
	if len(digest) <= shown {
		return digest
	}
	return digest[:shown]
}
