package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

const cart = "shop/backend/cart"

// yard is a GitLab with a project, a catalog with a module in it, and Muster beside them, in a bubble.
type yard struct {
	*gitlabfake.Server
	t       *testing.T
	g       *GitLab
	catalog *playbooks.Catalog
	bot     string // Muster's own account

	mu     sync.Mutex
	builds map[string]playbooks.BuildState // by module@version
	live   map[string]string               // by environment/module
	routes map[string]bool                 // that were called
}

// yardOptions change what is usual. Zero fields leave it.
type yardOptions struct {
	server    gitlabfake.Options
	level     gitlabfake.Level // of Muster's account in the group; 0: Maintainer
	pipeline  *gitlabfake.Definition
	params    map[string]string // of the delivery
	module    func(*playbooks.Module)
	record    []string
	transport func(http.RoundTripper) http.RoundTripper
}

// inYard runs a test in a bubble.
func inYard(t *testing.T, o yardOptions, f func(t *testing.T, y *yard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if o.server.URL == "" {
			o.server.URL = "https://git.example.com/sub"
		}
		s, err := gitlabfake.New(o.server)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		y := &yard{Server: s, t: t, builds: map[string]playbooks.BuildState{}, live: map[string]string{}, routes: map[string]bool{}}
		s.AddUser(gitlabfake.User{Username: "ann", Name: "Ann"})
		s.AddUser(gitlabfake.User{Username: "bob", Name: "Bob"})
		s.AddProject(gitlabfake.Project{Path: cart, Pipeline: o.pipeline, Files: map[string]string{"README.md": "# cart\n"}})
		if o.level == 0 {
			o.level = gitlabfake.Maintainer
		}
		token := s.AddBotToken("shop", o.level, gitlabfake.Token{Name: "muster"})
		m := playbooks.Module{
			Name: "cart", Source: cart, Deploy: map[string]playbooks.Delivery{"": {Deployer: System, Params: o.params}},
		}
		if o.module != nil {
			o.module(&m)
		}
		y.catalog = &playbooks.Catalog{
			Environments: []playbooks.Environment{{Name: "staging"}, {Name: "production", Targets: []string{"eu", "us"}}}, Modules: []playbooks.Module{m},
		}
		client := s.Client()
		if o.transport != nil {
			client.Transport = o.transport(client.Transport)
		}
		client.Transport = onlyKnown{y, client.Transport}
		y.g, err = New(Options{
			URL: s.URL(), Token: token, CallsPerMinute: 1_000_000, Catalog: func() *playbooks.Catalog { return y.catalog }, HTTP: client, Build: y.build, Live: y.liveIn,
			VersionOf: y.versionOf, Record: o.record,
		})
		if err != nil {
			t.Fatal(err)
		}
		me, err := y.g.me(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		y.bot = me.Username
		f(t, y)
	})
}

// onlyKnown lets requests through that client-go knows the routes of.
type onlyKnown struct {
	y    *yard
	next http.RoundTripper
}

func (k onlyKnown) RoundTrip(r *http.Request) (*http.Response, error) {
	_, path, isAPI := strings.Cut(r.URL.EscapedPath(), "/sub/api/v4/")
	route, known := gl.MatchRoute(path)
	if !isAPI || !known {
		k.y.t.Errorf("%s %s is no route of GitLab's API", r.Method, r.URL.Path)
	}
	if r.Header.Get("Private-Token") == "" {
		k.y.t.Errorf("%s %s carries no token", r.Method, r.URL.Path)
	}
	k.y.mu.Lock()
	k.y.routes[r.Method+" "+route.String()] = true
	k.y.mu.Unlock()
	return k.next.RoundTrip(r)
}

func (y *yard) build(_ context.Context, module, version string) (playbooks.BuildState, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if b, found := y.builds[module+"@"+version]; found {
		return b, nil
	}
	return playbooks.BuildState{Module: module, Version: version, State: playbooks.BuildMissing}, nil
}

func (y *yard) liveIn(_ context.Context, environment, module string) (string, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.live[environment+"/"+module], nil
}

func (y *yard) versionOf(_ context.Context, module, commit string) (string, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, b := range y.builds {
		if b.Module == module && b.Commit == commit {
			return b.Version, nil
		}
	}
	return "", nil
}

// registered registers a build of cart.
func (y *yard) registered(version, commit, ref string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.builds["cart@"+version] = playbooks.BuildState{Module: "cart", Version: version, State: playbooks.BuildPassed, Commit: commit, Ref: ref}
}

func (y *yard) setLive(environment, version string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.live[environment+"/cart"] = version
}

// push commits a file and returns the commit.
func (y *yard) push(message string, files ...string) string {
	y.t.Helper()
	if len(files) == 0 {
		files = []string{"main.go"}
	}
	all := map[string]string{}
	for _, f := range files {
		all[f] = message + "\n"
	}
	time.Sleep(time.Second) // so that commits have an order in time
	return y.Push(cart, gitlabfake.Commit{Message: message, Files: all, User: "ann"})
}

func (y *yard) module() *playbooks.Module { return &y.catalog.Modules[0] }

// order is an order to deploy a version of cart.
func (y *yard) order(action playbooks.StepKind, version string) steps.Order {
	return steps.Order{
		Key: "instance/12/deploy:cart/1", Run: "12", Step: string(action) + ":cart", Attempt: 1, Action: action, Deployer: System,
		Place: playbooks.Place{Environment: "staging", Module: "cart"}, Version: version, Params: y.module().Deploy[""].Params, Share: 100, StartedAt: time.Now(),
	}
}

// carry does with an order what the engine does, until it is over or nobody knows, and counts
// the attempts that it took.
func (y *yard) carry(r steps.Runner, o steps.Order) (last steps.Report, attempts int, err error) {
	y.t.Helper()
	base := strings.TrimSuffix(o.Key, "1")
	for attempts = 1; attempts <= 5; attempts++ {
		o.Key, o.Attempt, o.StartedAt, o.Status = base+string(rune('0'+attempts)), attempts, time.Now(), nil
		anew := false
		for n := 0; n < 200 && !anew; n++ {
			call := r.Look
			if n == 0 {
				call = r.Start
			}
			ctx, cancel := context.WithTimeout(y.t.Context(), 30*time.Second)
			report, err := call(ctx, o)
			cancel()
			var turn interface{ RetryAfter() time.Duration }
			switch {
			case isPermanent(err), errors.Is(err, steps.ErrCannotLook):
				return report, attempts, err
			case errors.As(err, &turn):
				time.Sleep(turn.RetryAfter())
				anew = n == 0 // it was refused, and without effect
				continue
			case err != nil:
				time.Sleep(5 * time.Second)
				continue
			}
			if report.Status != nil {
				o.Status = report.Status
			}
			anew = report.Phase == steps.Absent
			if !anew && report.Phase != steps.Running {
				return report, attempts, nil
			}
			time.Sleep(max(report.CheckAfter, time.Second))
		}
	}
	return steps.Report{}, attempts, errors.New("it does not end")
}

// writes are the methods that change something.
var writes = []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch}

// accidents are the ways in which a call goes wrong.
var accidents = []gitlabfake.FaultKind{
	gitlabfake.ServerError, gitlabfake.Refused, gitlabfake.Hang, gitlabfake.Limited, gitlabfake.Lost, gitlabfake.LostHang, gitlabfake.LostError,
}

// eachWriteGoesWrong runs a story in a fresh yard for each write that it makes and each way in which one goes
// wrong, and lets check look at what came of it.
func eachWriteGoesWrong(t *testing.T, o yardOptions, story func(y *yard), check func(t *testing.T, y *yard)) {
	t.Helper()
	eachGoesWrong(t, o, writes, story, check)
}

// eachGoesWrong is eachWriteGoesWrong for calls of some methods, nil for all.
func eachGoesWrong(t *testing.T, o yardOptions, methods []string, story func(y *yard), check func(t *testing.T, y *yard)) {
	t.Helper()
	count := 0
	for _, kind := range accidents {
		for n := int64(1); ; n++ {
			happened := false
			t.Run(fmt.Sprintf("%s %d", kind, n), func(t *testing.T) {
				inYard(t, o, func(t *testing.T, y *yard) {
					var seen atomic.Int64
					var hit atomic.Bool
					y.SetFault(func(c gitlabfake.Call) gitlabfake.Fault {
						if (methods == nil || slices.Contains(methods, c.Method)) && seen.Add(1) == n {
							hit.Store(true)
							return gitlabfake.Fault{Kind: kind}
						}
						return gitlabfake.Fault{}
					})
					story(y)
					happened = hit.Load()
					y.SetFault(nil)
					check(t, y)
				})
			})
			if !happened || t.Failed() {
				break
			}
			count++
		}
	}
	if count < len(accidents) {
		t.Errorf("only %d accidents happened", count)
	}
	t.Logf("%d accidents", count)
}

// wantWords checks that a text has all the words in it.
func wantWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q does not say %q", text, w)
		}
	}
}
