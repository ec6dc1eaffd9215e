package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/web"
	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/integrations/jira/jirafake"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/store/mem"
)

// storyConfig is a shop whose code is in GitLab and whose stories are in Jira: what is ready
// for release goes to production.
const storyConfig = `
server:
  gitlab: {url: "http://127.0.0.1/git", token: "${GITLAB_TOKEN}", webhookSecret: "${HOOK_SECRET}"}
  jira:
    url: "http://127.0.0.2/jira"
    email: muster@shop.example
    token: ${JIRA_TOKEN}
    webhookSecret: ${HOOK_SECRET}
    project: REL
    issueType: Release
    fixVersion: "Release {run}"
    transitions: {waiting: Awaiting Approval, deploying: Releasing, released: Released, "rolled back": Rolled Back, aborted: Cancelled}
    transitionFields: {resolution: Done}
    approve: Releasing
    stories: {projects: [SHOP]}
rules:
  - {name: ready-story, on: jira issue-moved, where: {to: Ready for release}, do: plan, to: production, as: robot}
people:
  - {id: ann, name: Ann, email: ann@shop.example, handles: {chat: "@ann", gitlab: ann}}
  - {id: bob, name: Bob, handles: {chat: "@bob"}}
  - {id: robot, name: Robot}
groups:
  - {name: leads, members: [bob]}
access:
  - {who: [ann, robot], role: releaser}
  - {who: [bob], role: admin}
environments:
  - name: production
    channels: ["#releases"]
    onlyRegistered: true
    approvals: {rules: [{group: leads, count: 1}]}
defaults:
  deployer: gitlab
  tag: true
  gates: [pipeline, {stories: {allowed: [Ready for release, Done]}}]
modules:
  - {name: cart, source: shop/cart}
  - {name: web, source: shop/web, needs: [cart]}
`

// story is Muster between a GitLab and a Jira, with people who talk in the embedded chat. It
// lives in a synctest bubble.
type story struct {
	t      testing.TB
	gitlab *gitlabfake.Server
	jira   *jirafake.Jira
	world  *local.World      // its chat alone
	pager  http.RoundTripper // nil: nobody is called
	// inspected stands between Muster and Jira; nil: nothing does.
	inspected func(http.RoundTripper) http.RoundTripper
	store     *mem.Store
	config    *configs.Config
	app       *app
	door      atomic.Value // http.Handler; GitLab delivers while it is changed
	cancel    context.CancelFunc
	log       *slog.Logger
	down      sync.Mutex // held while there is no process
	blind     bool       // Jira is away while it happens
	typed     int        // how many lines were typed
}

const (
	storyHook = "a-secret-of-both-webhooks"
	storyMark = "http://127.0.0.9"
)

// site sends a call to the system whose address it has.
type site struct{ gitlab, jira, pager http.RoundTripper }

func (s site) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.URL.Hostname() {
	case "127.0.0.1":
		return s.gitlab.RoundTrip(r)
	case "127.0.0.2":
		return s.jira.RoundTrip(r)
	case "127.0.0.3":
		return s.pager.RoundTrip(r)
	}
	return nil, fmt.Errorf("nobody is at %s", r.URL.Host)
}

func (s *story) knock(w http.ResponseWriter, r *http.Request) {
	s.door.Load().(http.Handler).ServeHTTP(w, r)
}

func newStory(t testing.TB) *story {
	t.Helper()
	s := &story{t: t, store: mem.New(mem.Options{}), log: slog.New(slog.DiscardHandler)}
	if testing.Verbose() && os.Getenv("MUSTER_TEST_LOG") != "" {
		s.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	var err error
	deliver := gitlabfake.Through(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.knock(w, r) }))
	s.gitlab, err = gitlabfake.New(gitlabfake.Options{URL: "http://127.0.0.1/git", Hooks: &http.Client{Transport: deliver}, NoAutoDisable: true})
	s.must(err)
	s.gitlab.AddUser(gitlabfake.User{Username: "ann"})
	build := func(version string) *gitlabfake.Definition {
		pushed := func(r gitlabfake.Run) bool { return r.Source == "push" }
		ordered := func(r gitlabfake.Run) bool { return r.Source == "api" }
		return &gitlabfake.Definition{On: []string{"push"}, Jobs: []gitlabfake.Job{
			{Name: "build", Stage: "build", Only: pushed, Duration: 20 * time.Second, Coverage: 81.5, Tests: []gitlabfake.TestCase{{Name: "adds up"}},
				Artifacts: map[string]string{"muster-build.json": `{"version": "` + version + `"}`}},
			{Name: "deploy", Stage: "deploy", Only: ordered, Duration: 30 * time.Second, Environment: "production", Trace: "rolling out"},
		}}
	}
	s.gitlab.AddProject(gitlabfake.Project{Path: "shop/cart", Pipeline: build("v1.4.0")})
	s.gitlab.AddProject(gitlabfake.Project{Path: "shop/web", Pipeline: build("v2.1.0")})
	s.gitlab.AddMember("shop", "ann", gitlabfake.Maintainer)
	token := s.gitlab.AddBotToken("shop", gitlabfake.Maintainer, gitlabfake.Token{Name: "muster"})
	for _, project := range []string{"shop/cart", "shop/web"} {
		s.gitlab.AddHook(project, gitlabfake.Hook{URL: storyMark + "/gitlab/webhook", Secret: storyHook})
	}

	s.jira, err = jirafake.New(jirafake.Options{BaseURL: "http://127.0.0.2/jira", IndexLag: 20 * time.Second})
	s.must(err)
	s.jira.AddUser(jirafake.User{Name: "ann", Email: "ann@shop.example"})
	me := s.jira.AddUser(jirafake.User{Name: "muster", Email: "muster@shop.example"})
	releases := jirafake.ReleaseWorkflow()
	releases.Transitions = append(releases.Transitions, jirafake.Step{Name: "Take back", From: []string{"Releasing"}, To: "Awaiting Approval"})
	s.must(s.jira.AddProject(jirafake.Project{Key: "REL", Types: []string{"Release"}, Workflow: releases}))
	flow := jirafake.DefaultWorkflow()
	flow.Statuses = append(flow.Statuses, jirafake.Status{Name: "Ready for release", Category: "indeterminate"})
	flow.Transitions = append(flow.Transitions, jirafake.Step{Name: "Make ready", To: "Ready for release"})
	s.must(s.jira.AddProject(jirafake.Project{Key: "SHOP", Types: []string{"Story", "Bug"}, Components: []string{"cart", "web"}, Workflow: flow}))
	s.jira.AddWebhook(jirafake.Webhook{URL: storyMark + "/jira/webhook", Secret: storyHook, Client: &http.Client{Transport: deliver}})
	_, err = s.jira.AddIssue(jirafake.NewIssue{Project: "SHOP", Type: "Story", Summary: "Carts survive a restart", By: "ann", Components: []string{"cart", "web"}})
	s.must(err)

	file := filepath.Join(t.TempDir(), "muster.yaml")
	s.must(os.WriteFile(file, []byte(storyConfig), 0o600))
	secrets := map[string]string{"GITLAB_TOKEN": token, "JIRA_TOKEN": me.Token, "HOOK_SECRET": storyHook}
	s.config, err = configs.Load(file, configs.WithEnv(func(name string) (string, bool) { v, ok := secrets[name]; return v, ok }))
	s.must(err)
	s.world, err = local.Open("", local.Options{})
	s.must(err)
	return s
}

func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// start begins a process of Muster.
func (s *story) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tracker := s.jira.Client().Transport
	if s.inspected != nil {
		tracker = s.inspected(tracker)
	}
	a, err := newApp(ctx, appOptions{
		Catalog: s.config.Catalog, Store: s.store, Server: &s.config.Server, Log: s.log,
		HTTP: &http.Client{Transport: site{s.gitlab.Client().Transport, tracker, s.pager}},
		Talk: &talk{system: localSystem, poster: s.world.Chat},
	})
	s.must(err)
	s.app, s.cancel = a, cancel
	s.door.Store(web.New(web.Options{
		Ready: a.Ready, Execute: a.bot.Execute, Tokens: func() []web.Token { return nil }, Metrics: a.metrics, Doors: a.doors(), Log: s.log,
		Render: func(c chat.Card) string { return local.Render(c, plainWidth, false) },
	}))
	a.Start(ctx)
}

func (s *story) stop() {
	s.t.Helper()
	defer s.gitlab.Close()
	defer s.jira.Close()
	s.kill()
}

// kill ends the process of Muster.
func (s *story) kill() {
	s.t.Helper()
	s.cancel()
	if err := s.app.Stop(); err != nil && !errors.Is(err, mem.ErrCrashed) {
		s.t.Errorf("Stop says %v", err)
	}
}

// muster is the process that runs now.
func (s *story) muster() *app {
	s.down.Lock()
	defer s.down.Unlock()
	return s.app
}

// say lets somebody type a line and returns what Muster answers. Of what is no last word, because
// the process ends, the same line finds out.
func (s *story) say(who, line string) bot.Answer {
	s.typed++
	l := bot.Line{By: who, Via: localSystem, Cause: fmt.Sprintf("said/%d", s.typed), Text: line}
	for range 60 {
		if a := s.muster().bot.Execute(context.Background(), l); a.Final() {
			return a
		}
		time.Sleep(time.Second)
	}
	return bot.Answer{Err: fmt.Errorf("no last word about %q", line)}
}

// wait lets time pass, in steps, until something holds.
func (s *story) wait(what string, atMost time.Duration, holds func() bool) bool {
	for range int(atMost / time.Second) {
		if holds() {
			return true
		}
		time.Sleep(time.Second)
	}
	s.t.Errorf("%s: not after %v", what, atMost)
	return false
}

// plan is the digest of the plan that stands in the channel, with a button to release it.
func (s *story) plan() string {
	for _, m := range s.world.Chat.Messages("#releases") {
		for _, action := range m.Card.Actions {
			if digest, ok := strings.CutPrefix(action.Command, "release "); ok {
				return digest
			}
		}
	}
	return ""
}

func (s *story) status() (status playbooks.Status, why string) {
	err := s.muster().engine.View(context.Background(), "1", func(v engine.View) error {
		status = v.Run.Status()
		var waits []string
		for _, w := range playbooks.Explain(v.Run, v.Environment, v.Policy, "", v.Now) {
			waits = append(waits, w.String())
		}
		why = strings.Join(waits, "; ")
		return nil
	})
	if err != nil {
		return "", err.Error()
	}
	return status, why
}

// develop writes a change, reviews and merges it in both projects, and waits for its builds.
func (s *story) develop() bool {
	for _, project := range []string{"shop/cart", "shop/web"} {
		s.gitlab.Push(project, gitlabfake.Commit{Branch: "SHOP-1-keep", Message: "SHOP-1 keep carts", User: "ann", Files: map[string]string{"cart.go": "package cart"}})
		iid := s.gitlab.AddMergeRequest(project, gitlabfake.MergeRequest{Title: "SHOP-1: keep carts", User: "ann", Source: "SHOP-1-keep"})
		s.gitlab.Merge(project, iid, "ann")
	}
	return s.wait("both builds are registered", 10*time.Minute, func() bool {
		for _, build := range [][2]string{{"cart", "v1.4.0"}, {"web", "v2.1.0"}} {
			b, err := s.muster().builds.Build(context.Background(), build[0], build[1])
			if err != nil || b.State != playbooks.BuildPassed {
				return false
			}
		}
		return true
	})
}

// release goes from a story that is ready to what was released: the plan in the channel, the
// button, the approval, and whatever follows from those by itself.
func (s *story) release() bool {
	if !s.develop() {
		return false
	}
	s.must(s.jira.Move("ann", "SHOP-1", "Ready for release", nil))
	if !s.wait("the plan stands in the channel", 10*time.Minute, func() bool { return s.plan() != "" }) {
		return false
	}
	if a := s.say("ann", "release "+s.plan()); a.Err != nil {
		s.t.Errorf("ann cannot release: %v", a.Err)
		return false
	}
	if !s.wait("people are asked", time.Minute, func() bool { status, _ := s.status(); return status == playbooks.StatusWaiting }) {
		return false
	}
	if a := s.say("bob", "approve 1"); a.Err != nil {
		s.t.Errorf("bob cannot approve: %v", a.Err)
		return false
	}
	ended := s.wait("the release is over", 2*time.Hour, func() bool {
		status, _ := s.status()
		if status == playbooks.StatusHeld { // somebody looks, as people do
			s.unblock()
		}
		return status == playbooks.Status(playbooks.Succeeded)
	})
	if !ended {
		status, why := s.status()
		s.t.Errorf("it is %s: %s", status, why)
		return false
	}
	return s.wait("Jira and GitLab show it", 2*time.Hour, func() bool { return len(s.wrong()) == 0 })
}

// unblock does what somebody would do about a step that failed or that nobody knows of: look there,
// and say how it was. Here that is what GitLab has.
func (s *story) unblock() {
	var lines []string
	_ = s.muster().engine.View(context.Background(), "1", func(v engine.View) error {
		for _, step := range v.Run.StuckSteps() {
			if v.Run.Progress(step.ID).State == playbooks.Unknown {
				s.t.Logf("%s is unknown: %s", step.ID, v.Run.Progress(step.ID).Message)
				continue
			}
			lines = append(lines, "retry 1 "+step.ID)
		}
		return nil
	})
	for _, line := range lines {
		s.say("bob", line)
	}
}

// wrong lists what is not as it should be in the end.
func (s *story) wrong() []string {
	var wrong []string
	expect := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	var issues []jirafake.Issue
	for _, i := range s.jira.Issues() {
		if i.Project == "REL" && !slices.Contains(i.Labels, "muster-duplicate") {
			issues = append(issues, i)
		}
	}
	expect(len(issues) == 1, "%d release issues", len(issues))
	if len(issues) == 1 {
		i := issues[0]
		expect(i.Status == "Released", "the release issue is %s", i.Status)
		expect(slices.Equal(i.FixVersions, []string{"Release 1"}), "its fix versions are %v", i.FixVersions)
		expect(strings.Contains(i.Description, "v1.4.0") && strings.Contains(i.Description, "SHOP-1"), "its description is %q", i.Description)
		text := commentsOf(i)
		report := []string{"Gates:", "gate pipeline of cart: done", "New in cart v1.4.0:"}
		if !s.blind { // what is in a comment is not told again when more is known
			report = append(report, "gate stories of web: done", "feature: Carts survive a restart (SHOP-1, !1)")
		}
		for _, part := range report {
			expect(strings.Contains(text, part), "no comment says %q", part)
		}
		marks := make(map[string]int)
		for _, c := range i.Comments {
			for line := range strings.Lines(c.Text) {
				if strings.HasPrefix(line, "muster 1/") {
					marks[strings.TrimSpace(line)]++
				}
			}
		}
		for mark, n := range marks {
			expect(n == 1, "comment %q stands there %d times", mark, n)
		}
		expect(len(marks) >= 1, "the comments are %v", marks)
		links := make(map[string]int)
		for _, l := range i.Links {
			links[l.Source+l.Target]++
		}
		expect(len(links) == 1 && len(i.Links) == 1, "its links are %v", i.Links)
		expect(len(i.RemoteLinks) == 2, "it has %d remote links", len(i.RemoteLinks))
	}
	versions := s.jira.Versions("REL")
	expect(len(versions) == 1 && versions[0].Name == "Release 1" && versions[0].Released, "the versions are %+v", versions)
	for project, version := range map[string]string{"shop/cart": "v1.4.0", "shop/web": "v2.1.0"} {
		expect(slices.Equal(s.gitlab.Tags(project), []string{version}), "the tags of %s are %v", project, s.gitlab.Tags(project))
		ordered := 0
		for _, p := range s.gitlab.Pipelines(project) {
			if p.Source == "api" {
				ordered++
				expect(p.Status == "success", "the pipeline of %s is %s", project, p.Status)
			}
		}
		expect(ordered == 1, "%d pipelines deploy %s", ordered, project)
		releases := s.gitlab.Releases(project)
		expect(len(releases) == 1 && releases[0].Tag == version && strings.Contains(releases[0].Description, "Carts survive a restart"), "the releases of %s are %+v", project, releases)
		live := 0
		for _, d := range s.gitlab.Deployments(project) {
			if d.Environment == "production" && d.Status == "success" {
				live++
			}
		}
		expect(live == 1, "%s has %d deployments in production", project, live)
		told := false
		for _, st := range s.gitlab.Statuses(project) {
			told = told || st.Name == "muster/production" && st.State == "success"
		}
		expect(told, "the commit of %s does not say that it is in production: %+v", project, s.gitlab.Statuses(project))
	}
	return wrong
}
