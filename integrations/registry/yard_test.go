package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	server "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/muster-release/muster/integrations/registry"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

const (
	image    = "registry.example/shop/cart"
	password = "s3cr3t-p4ssw0rd"
)

// yard is a registry in this process, the library's own, behind a RoundTripper that wants a login and
// breaks as it is told.
type yard struct {
	t       *testing.T
	handler http.Handler
	login   string // "", "basic", "bearer"
	fault   func(n int, r *http.Request) fault

	mu      sync.Mutex
	calls   []string // "PUT /v2/shop/cart/manifests/production"
	reached []string // of these, those that the registry carried out
}

// fault is what goes wrong with a call.
type fault struct {
	before error // nothing is done, and the connection breaks
	status int   // nothing is done, and this is the answer
	after  error // it is done, and the connection breaks
	header http.Header
}

var (
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	errDropped = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
)

func newYard(t *testing.T) *yard {
	return &yard{t: t, handler: server.New(server.Logger(log.New(io.Discard, "", 0)))}
}

// inBubble runs a test with a registry.
func inBubble(t *testing.T, f func(t *testing.T, y *yard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newYard(t)) })
}

func (y *yard) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body.Close()
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	y.mu.Lock()
	call := r.Method + " " + r.URL.Path
	y.calls = append(y.calls, call)
	n, decide := len(y.calls), y.fault
	y.mu.Unlock()
	var f fault
	if decide != nil {
		f = decide(n, r)
	}
	rec := httptest.NewRecorder()
	switch {
	case f.before != nil:
		return nil, f.before
	case f.status != 0:
		for name, values := range f.header {
			rec.Header()[name] = values
		}
		rec.WriteHeader(f.status)
	case !y.admits(rec, r):
	default:
		y.mu.Lock()
		y.reached = append(y.reached, call)
		y.mu.Unlock()
		again := r.Clone(r.Context())
		again.Body = io.NopCloser(bytes.NewReader(body))
		y.handler.ServeHTTP(rec, again)
	}
	if f.after != nil {
		return nil, f.after
	}
	answer := rec.Result()
	answer.Request = r
	if r.Method == http.MethodHead {
		answer.Body = http.NoBody
	}
	return answer, nil
}

// admits answers who has not logged in.
func (y *yard) admits(rec *httptest.ResponseRecorder, r *http.Request) bool {
	user, given, basic := r.BasicAuth()
	good := basic && user == "muster" && given == password
	switch {
	case y.login == "":
		return true
	case y.login == "basic" && good:
		return true
	case y.login == "bearer" && r.URL.Host == "auth.example":
		if !good {
			rec.WriteHeader(http.StatusUnauthorized)
			return false
		}
		fmt.Fprintf(rec, `{"token":%q}`, "for "+strings.Join(r.URL.Query()["scope"], " "))
		return false
	case y.login == "bearer" && strings.HasPrefix(r.Header.Get("Authorization"), "Bearer for "):
		if may := r.Header.Get("Authorization"); r.Method == http.MethodPut && !strings.Contains(may, "push") || r.Method == http.MethodDelete && !strings.Contains(may, "delete") {
			rec.WriteHeader(http.StatusForbidden)
			return false
		}
		return true
	}
	rec.Header().Set("WWW-Authenticate", `Basic realm="yard"`)
	if y.login == "bearer" {
		rec.Header().Set("WWW-Authenticate", `Bearer realm="https://auth.example/token",service="yard"`)
	}
	rec.WriteHeader(http.StatusUnauthorized)
	return false
}

// push puts an image under a tag, and returns its digest. Its layers are not there, for nobody asks
// for them.
func (y *yard) push(tag string) string {
	y.t.Helper()
	img, err := random.Image(64, 2)
	y.must(err)
	y.must(remote.Put(y.ref(tag), img, remote.WithTransport(plain{y})))
	return y.hash(img.Digest())
}

// pushIndex puts an image for several platforms under a tag.
func (y *yard) pushIndex(tag string) string {
	y.t.Helper()
	index, err := random.Index(64, 1, 3)
	y.must(err)
	y.must(remote.WriteIndex(y.ref(tag), index, remote.WithTransport(plain{y})))
	return y.hash(index.Digest())
}

// move puts a tag on what another one is at, as somebody else would.
func (y *yard) move(from, to string) {
	y.t.Helper()
	found, err := remote.Get(y.ref(from), remote.WithTransport(plain{y}))
	y.must(err)
	tag, err := name.NewTag(image + ":" + to)
	y.must(err)
	y.must(remote.Tag(tag, found, remote.WithTransport(plain{y})))
}

// kind is the type of the manifest that a tag is at.
func (y *yard) kind(tag string) string {
	y.t.Helper()
	found, err := remote.Head(y.ref(tag), remote.WithTransport(plain{y}))
	y.must(err)
	return string(found.MediaType)
}

// at is the digest that a tag is at, empty if there is no such tag.
func (y *yard) at(tag string) string {
	y.t.Helper()
	found, err := remote.Head(y.ref(tag), remote.WithTransport(plain{y}))
	var said *transport.Error
	if errors.As(err, &said) && said.StatusCode == http.StatusNotFound {
		return ""
	}
	y.must(err)
	return found.Digest.String()
}

// plain reaches the registry without login, faults and the journal.
type plain struct{ y *yard }

func (p plain) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody // as a server has it
	}
	p.y.handler.ServeHTTP(rec, r)
	answer := rec.Result()
	answer.Request = r
	return answer, nil
}

func (y *yard) ref(tag string) name.Reference {
	y.t.Helper()
	ref, err := name.ParseReference(image + ":" + tag)
	y.must(err)
	return ref
}

func (y *yard) hash(h v1.Hash, err error) string {
	y.t.Helper()
	y.must(err)
	return h.String()
}

func (y *yard) must(err error) {
	y.t.Helper()
	if err != nil {
		y.t.Fatal(err)
	}
}

// open is Muster's side; each change the options.
func (y *yard) open(change ...func(*registry.Options)) *registry.Registry {
	o := registry.Options{
		Transport: y, Registries: []registry.Login{{Host: "registry.example", User: "muster", Password: password}},
		Catalog: func() *playbooks.Catalog {
			return &playbooks.Catalog{Modules: []playbooks.Module{
				{Name: "cart", Deploy: map[string]playbooks.Delivery{"": {Deployer: registry.System, Params: map[string]string{"image": image}}}},
				{Name: "broken", Deploy: map[string]playbooks.Delivery{"": {Deployer: registry.System}}},
			}}
		},
	}
	for _, c := range change {
		c(&o)
	}
	return registry.New(o)
}

// order is one that moves production, written down now.
func order(kind playbooks.StepKind, version string, params ...string) steps.Order {
	o := steps.Order{
		Key: "k", Run: "7", Step: string(kind) + ":cart", Attempt: 1, Action: kind, Version: version, Deployer: registry.System,
		Place: playbooks.Place{Environment: "production", Module: "cart"}, Params: map[string]string{"image": image}, StartedAt: time.Now(),
	}
	for i := 0; i < len(params); i += 2 {
		o.Params[params[i]] = params[i+1]
	}
	return o
}

// count is how many calls the registry carried out that fit a pattern.
func (y *yard) count(pattern string) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	fits := regexp.MustCompile(pattern).MatchString
	return len(slices.DeleteFunc(slices.Clone(y.reached), func(call string) bool { return !fits(call) }))
}

// noLayers asserts that nothing but manifests was asked for.
func (y *yard) noLayers() {
	y.t.Helper()
	if n := y.count(`/blobs/`); n != 0 {
		y.t.Errorf("%d calls are about layers", n)
	}
}

func (y *yard) forget() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.calls, y.reached = nil, nil
}

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

func isGone(err error) bool {
	var g interface{ Gone() bool }
	return errors.As(err, &g) && g.Gone()
}

// retryAfter is when to come back, 0 if that is not said.
func retryAfter(err error) time.Duration {
	var r interface{ RetryAfter() time.Duration }
	if errors.As(err, &r) {
		return r.RetryAfter()
	}
	return 0
}

// drive carries out an order as the engine does: after a lost answer it looks, and begins again
// only what was refused for now or never arrived. It returns how often it began.
func drive(ctx context.Context, t *testing.T, r *registry.Registry, o steps.Order) (steps.Report, int) {
	t.Helper()
	for begun := 1; begun < 10; begun++ {
		o.StartedAt, o.Attempt = time.Now(), begun
		report, err := r.Start(ctx, o)
		if wait := retryAfter(err); wait > 0 {
			time.Sleep(wait)
			continue
		}
		if isPermanent(err) {
			t.Fatal(err)
		}
		for err != nil || report.Phase == steps.Running {
			time.Sleep(max(report.CheckAfter, time.Second))
			report, err = r.Look(ctx, o)
			if isPermanent(err) {
				t.Fatal(err)
			}
		}
		if report.Phase != steps.Absent {
			return report, begun
		}
	}
	t.Fatal("it never ended")
	return steps.Report{}, 0
}
