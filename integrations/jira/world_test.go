package jira_test

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/jira"
	"github.com/muster-release/muster/integrations/jira/jirafake"
	"github.com/muster-release/muster/integrations/jira/jirafake/openapicheck"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// checker holds what is sent to Cloud against Atlassian's own description. It is made once, for that
// takes a second.
var checker = sync.OnceValues(func() (*openapicheck.Checker, error) {
	file := os.Getenv("MUSTER_JIRA_OPENAPI")
	if file == "" {
		return nil, nil
	}
	return openapicheck.New(file)
})

func TestOpenAPI(t *testing.T) {
	if os.Getenv("MUSTER_JIRA_OPENAPI") != "" {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("MUSTER_JIRA_OPENAPI does not name Atlassian's description, so nothing was held against it")
	}
	t.Skip("MUSTER_JIRA_OPENAPI does not name Atlassian's description")
}

// site is a Jira with the projects REL and ABC, where ann and muster have accounts.
type site struct {
	*jirafake.Jira
	t      testing.TB
	flavor jirafake.Flavor
	muster jirafake.User
	ann    jirafake.User
	client *http.Client
}

func newSite(t testing.TB, o jirafake.Options) *site {
	t.Helper()
	o.Flavor = cmp.Or(o.Flavor, jirafake.Cloud)
	o.BaseURL = cmp.Or(o.BaseURL, "https://jira.example/ctx")
	fake, err := jirafake.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	s := &site{Jira: fake, t: t, flavor: o.Flavor, client: fake.Client()}
	s.ann = fake.AddUser(jirafake.User{Name: "ann", DisplayName: "Ann Moreau"})
	s.muster = fake.AddUser(jirafake.User{Name: "muster", DisplayName: "Muster", App: true, Token: "s3cr3t-t0k3n"})
	s.must(fake.AddProject(jirafake.Project{Key: "REL", Workflow: jirafake.ReleaseWorkflow()}))
	s.must(fake.AddProject(jirafake.Project{Key: "ABC"}))
	c, err := checker()
	s.must(err)
	if c != nil && s.flavor == jirafake.Cloud {
		before := len(c.Violations())
		s.client.Transport = c.Wrap(s.client.Transport)
		t.Cleanup(func() {
			for _, v := range c.Violations()[before:] {
				t.Error(v)
			}
		})
	}
	return s
}

// both runs a test on Cloud and on Data Center.
func both(t *testing.T, f func(t *testing.T, s *site)) {
	t.Helper()
	for _, flavor := range []jirafake.Flavor{jirafake.Cloud, jirafake.DataCenter} {
		t.Run(string(flavor), func(t *testing.T) { f(t, newSite(t, jirafake.Options{Flavor: flavor})) })
	}
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// options are those of a Muster that uses what there is.
func (s *site) options() jira.Options {
	o := jira.Options{
		URL: s.URL(), Token: s.muster.Token, Project: "REL", IssueType: "Release", FixVersion: "{environment} {run}", HTTP: s.client,
		Labels: []string{"release", "to-{environment}"},
		Transitions: map[string][]string{
			"waiting": {"Awaiting Approval"}, "deploying": {"Start release"}, "released": {"Released"}, "rolled back": {"roll back"}, "aborted": {"Cancel"},
		},
	}
	if s.flavor == jirafake.Cloud {
		o.Email = s.muster.Email
	}
	return o
}

// tracker is Muster's side; each f changes the options.
func (s *site) tracker(f ...func(*jira.Options)) *jira.Jira {
	s.t.Helper()
	o := s.options()
	for _, change := range f {
		change(&o)
	}
	j, err := jira.New(o)
	s.must(err)
	return j
}

func (s *site) issue(key string) jirafake.Issue {
	s.t.Helper()
	i, found := s.Issue(key)
	if !found {
		s.t.Fatalf("there is no issue %s", key)
	}
	return i
}

// story makes an issue of ABC, or of another project.
func (s *site) story(project, title string) playbooks.Story {
	s.t.Helper()
	i, err := s.AddIssue(jirafake.NewIssue{Project: project, Type: "Story", Summary: title, By: "ann"})
	s.must(err)
	return playbooks.Story{Key: i.Key, Title: title, Type: "Story", Status: i.Status, Link: s.URL() + "/browse/" + i.Key}
}

// posts counts the calls that changed something, by route.
func (s *site) posts() map[string]int {
	n := map[string]int{}
	for _, c := range s.Calls() {
		if c.Method != http.MethodGet && !strings.Contains(c.Route, "/search") {
			n[c.Route]++
		}
	}
	return n
}

const digest = "e8827e185e2771ef8a3d586e1703ee830fffc333e8c9e5fec1f02754b47f5031"

// release is the issue of run 12 with two modules and the stories given to the first.
func release(status string, stories ...playbooks.Story) steps.Issue {
	return steps.Issue{
		Run: "12", Status: status, Environment: "production", Digest: digest,
		Title:       "Release 12 → production: api v1.3.0 → v1.4.0 and web new → v2.1.0",
		Description: "It waits for approval by 1 of leads.\nIt waits for its turn in production/api.",
		Fields:      map[string]string{"environment": "production", "asked by": "Ann Moreau", "began": "24 Nov 10:10 UTC", "plan": digest, "modules": "2", "because": "spring *sale* [~ann] {color:red}"},
		Plan:        "Release of 2 modules to production, in 1 wave\n\n  api  v1.4.0\n  web  v2.1.0  {code} breaks out\n",
		Over:        slices.Contains([]string{"released", "aborted", "failed", "rolled back"}, status),
		Modules: []steps.IssueModule{
			{Name: "api", Version: "v1.4.0", From: "v1.3.0", Changes: &playbooks.Changes{
				From: "v1.3.0", To: "v1.4.0", Stories: stories,
				MergeRequests: []playbooks.MergeRequest{
					{Number: 7, Title: "Carts | keep *their* items", Link: "https://git.example/shop/api/-/merge_requests/7"},
					{Number: 8, Title: "No address", Link: "javascript:alert(1)"},
				},
			}},
			{Name: "web", Version: "v2.1.0", Changes: &playbooks.Changes{To: "v2.1.0", Unknown: "the forge does not answer", MergeRequests: []playbooks.MergeRequest{
				{Number: 3, Title: "Header", Link: "https://git.example/shop/web/-/merge_requests/3"},
			}}},
		},
	}
}

func permanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

func retryAfter(err error) (time.Duration, bool) {
	var r interface{ RetryAfter() time.Duration }
	if errors.As(err, &r) {
		return r.RetryAfter(), true
	}
	return 0, false
}

// update repeats Update for as long as Jira's limits put it off.
func update(ctx context.Context, j *jira.Jira, key string, i steps.Issue) error {
	for {
		err := j.Update(ctx, key, i)
		wait, later := retryAfter(err)
		if !later {
			return err
		}
		time.Sleep(wait)
	}
}

func wantAll(t testing.TB, what, got string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(got, want) {
			t.Errorf("%s is %q, without %q", what, got, want)
		}
	}
}
