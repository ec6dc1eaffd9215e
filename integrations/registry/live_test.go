package registry_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/muster-release/muster/integrations/registry"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

func TestLive(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		production := playbooks.Place{Environment: "production", Module: "cart"}
		var byDigest map[string]string
		r := y.open(func(o *registry.Options) {
			o.VersionOf = func(_ context.Context, module, digest string) (string, error) {
				return byDigest[module+" "+digest], nil
			}
		})
		live := func() playbooks.Live {
			t.Helper()
			l, err := r.Live(t.Context(), production)
			y.must(err)
			if l.Place != production || l.Healthy != (l.Version != "") {
				t.Errorf("live is %+v", l)
			}
			return l
		}
		if l := live(); l.Version != "" || !l.Since.IsZero() {
			t.Errorf("in a repository that is not there live is %+v", l)
		}
		for n := range 40 {
			y.push(fmt.Sprintf("v1.%d.0", n))
		}
		y.push("nightly")
		if l := live(); l.Version != "" {
			t.Errorf("without a tag live is %+v", l)
		}

		// Nobody here put it there: a tag says it.
		y.move("v1.39.0", "production")
		began := time.Now().UTC()
		if l := live(); l.Version != "v1.39.0" || !l.Since.Equal(began) {
			t.Errorf("live is %+v", l)
		}
		y.forget()
		time.Sleep(time.Hour)
		if l := live(); l.Version != "v1.39.0" || !l.Since.Equal(began) || len(y.calls) != 1 {
			t.Errorf("an hour later live is %+v, after %v", l, y.calls)
		}

		// Nobody knows it: the digest itself, and nobody is asked again at once.
		y.move("nightly", "production")
		if l := live(); l.Version != y.at("nightly") || !l.Since.Equal(began.Add(time.Hour)) {
			t.Errorf("live is %+v", l)
		}
		y.forget()
		live()
		if len(y.calls) != 1 {
			t.Errorf("it was asked again: %v", y.calls)
		}
		byDigest = map[string]string{"cart " + y.at("nightly"): "v2.0.0-nightly"}
		time.Sleep(time.Minute)
		if l := live(); l.Version != "v2.0.0-nightly" {
			t.Errorf("what was registered meanwhile is %+v", l)
		}

		// Of many tags the newest thirty alone are looked at.
		y.move("v1.3.0", "production")
		y.forget()
		if l := live(); l.Version != y.at("v1.3.0") || y.count("^HEAD .*/v1") != 30 {
			t.Errorf("live is %+v, after %d looks", l, y.count("^HEAD .*/v1"))
		}

		// What was put there is known at once.
		_, err := r.Start(t.Context(), order(playbooks.StepDeploy, "v1.3.0"))
		y.must(err)
		y.forget()
		if l := live(); l.Version != "v1.3.0" || len(y.calls) != 1 {
			t.Errorf("live is %+v, after %v", l, y.calls)
		}
		y.noLayers()

		for _, place := range []playbooks.Place{{Environment: "production", Module: "nothing"}, {Environment: "production", Module: "broken"}} {
			if _, err := r.Live(t.Context(), place); !isPermanent(err) {
				t.Errorf("%s: the error is %v", place.Module, err)
			}
		}
		for status, permanent := range map[int]bool{403: true, 503: false} {
			y.fault = func(int, *http.Request) fault { return fault{status: status} }
			y.forget()
			if _, err := r.Live(t.Context(), production); err == nil || isPermanent(err) != permanent || len(y.calls) != 1 {
				t.Errorf("HTTP %d: the error is %v, after %d calls", status, err, len(y.calls))
			}
		}
	})
}

// http is spoken to this machine alone.
func TestPlainHTTP(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		asked := 0
		y.fault = func(_ int, r *http.Request) fault {
			asked++
			if r.URL.Scheme != "https" {
				t.Errorf("%s was asked", r.URL)
			}
			return fault{before: errDropped}
		}
		if _, err := y.open().Start(t.Context(), order(playbooks.StepDeploy, "v1.0.0", "image", "10.0.0.7:5000/shop/cart")); err == nil || asked == 0 {
			t.Errorf("the error is %v", err)
		}
	})

	y := newYard(t)
	s := httptest.NewServer(y.handler)
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	ref, err := name.ParseReference(host + "/shop/cart:v1.0.0")
	y.must(err)
	img, err := random.Image(64, 1)
	y.must(err)
	y.must(remote.Write(ref, img))
	r := registry.New(registry.Options{})
	o := order(playbooks.StepDeploy, "v1.0.0", "image", host+"/shop/cart")
	report, err := r.Start(t.Context(), o)
	y.must(err)
	production, err := remote.Head(ref.Context().Tag("production"))
	y.must(err)
	if report.Phase != steps.Succeeded || production.Digest.String() != y.hash(img.Digest()) {
		t.Errorf("the report is %+v, production is %s", report, production.Digest)
	}
}

func TestAnswerTooLarge(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		r := y.open(func(o *registry.Options) { o.Transport = endless{} })
		if _, err := r.Live(t.Context(), playbooks.Place{Environment: "production", Module: "cart"}); err == nil || !strings.Contains(err.Error(), "larger than 8 MiB") {
			t.Errorf("the error is %v", err)
		}
	})
}

// endless is a registry whose lists of tags do not end.
type endless struct{}

func (endless) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	rec.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
	rec.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	rec.Header().Set("Content-Length", "2")
	if strings.HasSuffix(r.URL.Path, "/tags/list") {
		rec.Body.WriteString(`{"tags":["`)
		rec.Body.WriteString(strings.Repeat("x", 9<<20))
	}
	answer := rec.Result()
	answer.Request = r
	return answer, nil
}

func TestCheck(t *testing.T) {
	for _, login := range []string{"basic", "bearer"} {
		inBubble(t, func(t *testing.T, y *yard) {
			y.push("v1.0.0")
			y.login = login
			check := func(r *registry.Registry, want ...string) {
				t.Helper()
				found := r.Check(t.Context())
				if len(found) != len(want) {
					t.Fatalf("it found %d things: %+v", len(found), found)
				}
				for n, f := range found {
					mark := "- "
					if f.OK {
						mark = "+ "
					}
					if f.OK == (f.Fix != "") || !strings.Contains(mark+f.What, want[n]) {
						t.Errorf("it found %+v, want %q", f, want[n])
					}
				}
			}
			check(y.open(), "+ registry.example takes the login", "is no name of a repository", "+ "+image+" has 1 tags")
			check(y.open(func(o *registry.Options) { o.Registries[0].Password = "wr0ng" }), "the login is refused", "is no name of a repository", "the login is refused")
			check(y.open(func(o *registry.Options) { o.Registries[0] = registry.Login{Host: "registry.example"} }), "it wants a login", "is no name of a repository", "it wants a login")
			y.login = ""
			check(y.open(func(o *registry.Options) { o.Registries[0] = registry.Login{Host: "registry.example"} }), "+ registry.example answers without a login", "is no name of a repository", "+ "+image)
			y.fault = func(int, *http.Request) fault { return fault{before: errRefused} }
			check(y.open(), "cannot connect", "is no name of a repository", "cannot connect")
			if n := y.count("^(PUT|POST|PATCH|DELETE) "); n != 0 {
				t.Errorf("%d calls changed something", n)
			}
		})
	}
}
