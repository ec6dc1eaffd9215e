// Package jirafake is a Jira in one process: projects with workflows, issues, versions and
// people on one side, Jira's REST API and its webhooks on the other. An adapter talks to it
// as it does to Jira, tests play the people.
//
// It is written from Atlassian's documentation (developer.atlassian.com/cloud/jira/platform/rest/v3
// and docs.atlassian.com/software/jira/docs/api/REST) and is one of two: Cloud, with
// /rest/api/3, documents (ADF) and API tokens, or DataCenter, with /rest/api/2, wiki markup
// and personal access tokens. Where the documentation leaves something open the fake is the
// stricter one: search answers with what was indexed, an unbounded query is refused, a
// document is counted by its JSON, and anonymous people see nothing.
//
// What it does not do: /rest/api/2 on Cloud (answered with 404, but 410 for the removed
// search), OAuth, Connect and Forge apps, screens and field configurations by issue type,
// issue security, attachments, worklogs, watchers, votes, boards, sprints, filters and
// dashboards, groups and roles beside single permissions, merging or deleting of versions,
// rendered HTML, searching by issue properties, and the registration of webhooks over REST.
package jirafake

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/muster-release/muster/integrations/accidents"
)

// Flavor is which Jira it is.
type Flavor string

// The two that there are.
const (
	Cloud      Flavor = "cloud"
	DataCenter Flavor = "datacenter"
)

// Object is a JSON object.
type Object = map[string]any

// Options says how a Jira behaves. The zero value is a Cloud site without limits whose
// index is up to date at once.
type Options struct {
	Flavor Flavor // "": Cloud
	// BaseURL is where people find it, without a slash at the end; links begin with it, and
	// a path in it is the context path of the API. Empty: "http://jira.fake".
	BaseURL string
	// IndexLag is how long a change takes until search knows of it.
	IndexLag time.Duration
	// HideEmails keeps the addresses of people to themselves, as Cloud does by default.
	HideEmails bool
	// Limit, when set, is how many calls a person may make.
	Limit *Limit
	// Retries are the pauses before a webhook that was not taken is sent again, on Cloud; nil: five
	// of a second and more. Jira waits five to fifteen minutes. Data Center sends once.
	Retries []time.Duration
	// Fault decides what goes wrong with a call; see Jira.SetFault.
	Fault func(Call) Fault
}

// Jira is the fake: an http.Handler with state, which serves the API, and at the root a page of all
// issues. Calls come over an accidents.Line, whose methods are its own. They may be called
// concurrently. In a testing/synctest bubble it works when it was made there.
type Jira struct {
	*wire
	cloud   bool
	api     string // "/rest/api/3"
	retries []time.Duration
	routes  []route
	fields  []*field
	stop    context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup // goroutines of deliveries

	mu         sync.Mutex
	base       string
	prefix     string // path of base
	lag        time.Duration
	hideEmails bool
	closed     bool
	spent      *accidents.Meter[*User]
	lastID     int
	users      []*User
	denied     map[denial]bool
	projects   []*project
	statuses   []*status
	types      []*issueType
	issues     map[int]*issue
	versions   []*version
	components []*component
	links      []*link
	custom     []*field
	pages      map[string]*page
	hooks      []*hook
	deliveries []*Delivery
	treat      func(Delivery) Treatment
	pending    int
	changed    chan struct{}
}

// New starts a Jira without projects and people.
func New(opts Options) (*Jira, error) {
	if opts.Flavor == "" {
		opts.Flavor = Cloud
	}
	if opts.Flavor != Cloud && opts.Flavor != DataCenter {
		return nil, fmt.Errorf("jirafake: flavor %q: neither %q nor %q", opts.Flavor, Cloud, DataCenter)
	}
	if opts.Retries == nil {
		opts.Retries = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}
	}
	j := &Jira{
		cloud: opts.Flavor == Cloud, api: "/rest/api/3", retries: opts.Retries, lag: opts.IndexLag, hideEmails: opts.HideEmails,
		lastID: 10000, spent: accidents.NewMeter[*User](opts.Limit),
		denied: map[denial]bool{}, issues: map[int]*issue{}, pages: map[string]*page{},
		changed: make(chan struct{}),
	}
	if !j.cloud {
		j.api, j.retries = "/rest/api/2", nil
	}
	if opts.BaseURL == "" {
		opts.BaseURL = "http://jira.fake"
	}
	if err := j.SetBaseURL(opts.BaseURL); err != nil {
		return nil, err
	}
	j.fields = systemFields()
	j.routes = j.table()
	j.stop, j.cancel = context.WithCancel(context.Background())
	j.wire = accidents.New(j.stop, accidents.System{
		Lock: &j.mu, MostBody: maxBody, JSON: "application/json;charset=UTF-8", Enter: j.enter, Refuse: refuse,
	}, opts.Fault)
	return j, nil
}

// Close ends what is under way, deliveries included, and waits for it. It may be called twice.
func (j *Jira) Close() {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	j.cancel()
	j.work.Wait()
}

// SetBaseURL says where people find it from now on, as Options.BaseURL does.
func (j *Jira) SetBaseURL(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return fmt.Errorf("jirafake: base URL %q: not an absolute address", base)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.base, j.prefix = strings.TrimSuffix(base, "/"), strings.TrimSuffix(u.Path, "/")
	return nil
}

// URL is where people find it.
func (j *Jira) URL() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.base
}

// SetIndexLag says how long changes take from now on, earlier ones included, until search
// knows of them.
func (j *Jira) SetIndexLag(lag time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lag = lag
}

// id makes a new ID, unique among all things. Called with the lock held.
func (j *Jira) id() int {
	j.lastID++
	return j.lastID
}

// touch wakes who waits for a change. Called with the lock held.
func (j *Jira) touch() {
	close(j.changed)
	j.changed = make(chan struct{})
}
