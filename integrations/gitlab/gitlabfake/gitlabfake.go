// Package gitlabfake is a GitLab in one process: groups, projects, repositories, pipelines
// that run, releases and webhooks on one side, GitLab's REST API (v4) on the other. An app
// talks to it as it does to GitLab, tests play the people, the runners and the accidents.
//
// It is written from GitLab's documentation (docs.gitlab.com/api/rest and the page of each
// resource there, docs.gitlab.com/user/project/integrations/webhook_events) and keeps its
// habits where they matter to an app: tokens with scopes and levels, private projects that
// are not found, pages and cursors, statuses that count into pipelines, conflicts, hooks
// that come late, twice or never. Where the documentation leaves something open the fake is
// the stricter one; such choices are said where they are made.
//
// What it does not do: issues, milestones, labels, epics, packages, wikis, snippets, GraphQL,
// Git over HTTP or SSH, OAuth, job tokens, trigger tokens, schedules, includes and real
// .gitlab-ci.yml files (a pipeline is described in Go or in the seed), parallel and child
// pipelines (the list of bridges is empty), protected environments, approval rules beyond a
// number, code owners, merge trains, forks, renames in diffs, merges with conflicts,
// artifacts as archives, avatars, emoji, signatures of tags, confidential notes, and system
// hooks of other events than pushes, tags and merge requests. Nothing outlives the process.
package gitlabfake

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Options says how a server behaves. The zero value is a GitLab at http://gitlab.fake whose
// pipelines wait a second for a runner.
type Options struct {
	// URL is where people and apps find the server; its path is the base path of all
	// addresses, as of an installation under a relative URL. Empty: "http://gitlab.fake".
	URL string
	// Token is the token of the administrator "root", with scope "api". Empty: a random one.
	Token   string
	Version string // empty: "18.5.0-ee"
	// NoInputs makes it a server that does not know pipeline inputs: it ignores them, as
	// GitLab before 17.10 does.
	NoInputs bool
	// Queue is how long a job waits for a runner; 0: a second, negative: not at all.
	Queue time.Duration
	// RateLimit is how many calls a token may make in each RateWindow; 0: as many as it likes.
	RateLimit  int
	RateWindow time.Duration // 0: a minute
	// Hooks carries webhooks out; nil: over the machine's network. With
	// &http.Client{Transport: Through(handler)} they go to a handler in the same process.
	Hooks *http.Client
	// HookTimeout is how long a delivery may take; 0: 10 s.
	HookTimeout time.Duration
	// NoAutoDisable leaves hooks on whatever their receivers answer.
	NoAutoDisable bool
	// Fault decides what goes wrong with a call; see Server.SetFault.
	Fault func(Call) Fault
	Log   *slog.Logger // nil: nothing is logged
}

// Server is the fake. It is an http.Handler, and its methods may be called concurrently. In
// a testing/synctest bubble it must be made inside.
type Server struct {
	opts   Options
	base   string // without a slash at the end
	prefix string // the path of base
	token  string
	routes []route
	hooks  *http.Client

	mu       sync.Mutex
	closed   bool
	changed  chan struct{}
	ids      map[string]int64
	users    []*user
	tokens   []*token
	groups   []*group
	projects []*project
	system   []*hook
	agenda   agenda
	decide   func(Run) Outcome
	fault    func(Call) Fault
	calls    []Call
	nth      map[string]int
	windows  map[string]*window
	limited  int
	outbox   outbox
}

// New makes a server. Nobody but "root" is there.
func New(opts Options) (*Server, error) {
	if opts.URL == "" {
		opts.URL = "http://gitlab.fake"
	}
	u, err := url.Parse(opts.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("gitlabfake: url %q: it needs a scheme and a host", opts.URL)
	}
	if opts.Token == "" {
		opts.Token = "glpat-" + secret(10)
	}
	if opts.Version == "" {
		opts.Version = "18.5.0-ee"
	}
	if opts.Queue == 0 {
		opts.Queue = time.Second
	}
	opts.Queue = max(0, opts.Queue)
	if opts.RateWindow == 0 {
		opts.RateWindow = time.Minute
	}
	if opts.HookTimeout == 0 {
		opts.HookTimeout = 10 * time.Second
	}
	if opts.Hooks == nil {
		opts.Hooks = &http.Client{Transport: &http.Transport{}}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	s := &Server{
		opts: opts, base: strings.TrimSuffix(opts.URL, "/"), prefix: strings.TrimSuffix(u.Path, "/"), token: opts.Token,
		hooks: opts.Hooks, changed: make(chan struct{}), ids: map[string]int64{}, fault: opts.Fault,
		nth: map[string]int{}, windows: map[string]*window{},
	}
	s.routes = routes()
	root := s.addUser(User{Username: "root", Name: "Administrator", Email: "root@gitlab.fake", Admin: true})
	s.tokens = append(s.tokens, &token{id: s.id("token"), Token: Token{Value: opts.Token, Name: "root", Scopes: []string{"api"}}, user: root, created: time.Now()})
	return s, nil
}

// Close stops pipelines and deliveries, and waits for deliveries that are under way.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.agenda.stop()
	s.outbox.stop()
	s.mu.Unlock()
	s.outbox.work.Wait()
	s.hooks.CloseIdleConnections()
}

// URL is where the server is, base path included, without a slash at the end.
func (s *Server) URL() string { return s.base }

// APIURL is the base of the REST API, without a slash at the end.
func (s *Server) APIURL() string { return s.base + "/api/v4" }

// Token is the administrator's token.
func (s *Server) Token() string { return s.token }

// Changed returns a channel that is closed at the next change of anything.
func (s *Server) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// enter takes the lock and lets everything happen that is due.
func (s *Server) enter() {
	s.mu.Lock()
	s.agenda.advance(time.Now())
}

func (s *Server) leave() {
	s.agenda.arm(s)
	s.mu.Unlock()
}

// touch tells who waits that something changed. Called with the lock held.
func (s *Server) touch() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// id counts the IDs of a kind of thing.
func (s *Server) id(kind string) int64 {
	s.ids[kind]++
	return s.ids[kind]
}

func secret(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
