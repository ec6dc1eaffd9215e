package gitlabfake_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
)

// receiver takes webhooks and decodes them as the official client does.
type receiver struct {
	t      *testing.T
	mu     sync.Mutex
	status int
	heads  []http.Header
	bodies [][]byte
	events []any
	lines  []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		r.t.Error(err)
	}
	event, err := gitlab.ParseHook(gitlab.HookEventType(req), body)
	if err != nil {
		r.t.Errorf("%s: %v\n%s", req.Header.Get("X-Gitlab-Event"), err, body)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heads, r.bodies, r.events = append(r.heads, req.Header.Clone()), append(r.bodies, body), append(r.events, event)
	r.lines = append(r.lines, describe(event))
	if r.status != 0 {
		w.WriteHeader(r.status)
	}
}

func describe(event any) string {
	switch e := event.(type) {
	case *gitlab.PushEvent:
		return fmt.Sprintf("push %s %d of %s", e.Ref, len(e.Commits), e.Project.PathWithNamespace)
	case *gitlab.TagEvent:
		return "tag " + e.Ref
	case *gitlab.MergeEvent:
		return fmt.Sprintf("merge !%d %s %s", e.ObjectAttributes.IID, e.ObjectAttributes.Action, e.ObjectAttributes.State)
	case *gitlab.MergeCommentEvent:
		return fmt.Sprintf("note !%d %s %s: %s", e.MergeRequest.IID, e.ObjectAttributes.Action, e.User.Username, e.ObjectAttributes.Note)
	case *gitlab.PipelineEvent:
		return "pipeline " + e.ObjectAttributes.Status
	case *gitlab.JobEvent:
		return "job " + e.BuildName + " " + e.BuildStatus
	case *gitlab.DeploymentEvent:
		return "deployment " + e.Environment + " " + e.Status
	case *gitlab.ReleaseEvent:
		return "release " + e.Tag + " " + e.Action
	case *gitlab.PushSystemEvent:
		return "system push " + e.Ref
	case *gitlab.TagPushSystemEvent:
		return "system tag " + e.Ref
	}
	return fmt.Sprintf("%T", event)
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

const (
	signing = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secret  = "s3cret"
)

func hooked(t *testing.T, h gitlabfake.Hook) (*gitlabfake.Server, *gitlab.Client, *receiver) {
	t.Helper()
	r := &receiver{t: t}
	s, c := shop(t, gitlabfake.Options{URL: "https://git.example/sub", Hooks: &http.Client{Transport: gitlabfake.Through(r)}})
	h.URL = "http://muster.example/gitlab/webhook"
	s.AddHook(cart, h)
	s.AddUser(gitlabfake.User{Username: "ann", Name: "Ann"})
	return s, c, r
}

func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, r := hooked(t, gitlabfake.Hook{Secret: secret})
		s.AddHook("", gitlabfake.Hook{URL: "http://muster.example/system"})
		s.AddHook("shop", gitlabfake.Hook{URL: "http://muster.example/group", Events: []string{"releases"}})
		s.Change(cart, func(p *gitlabfake.Project) {
			p.Pipeline = &gitlabfake.Definition{Jobs: []gitlabfake.Job{{Name: "ship", Environment: "production", Duration: time.Second}}}
		})
		s.Push(cart, gitlabfake.Commit{Branch: "feature", User: "ann", Files: map[string]string{"f": "f"}})
		iid := s.AddMergeRequest(cart, gitlabfake.MergeRequest{Source: "feature", User: "ann"})
		s.Comment(cart, iid, "ann", "/muster plan to staging", "")
		s.Approve(cart, iid, "root")
		s.Merge(cart, iid, "root")
		s.PushTag(cart, "ann", "v1", "main", "")
		run(t, c, &gitlab.CreatePipelineOptions{Variables: &[]*gitlab.PipelineVariableOptions{{Key: gitlab.Ptr("A"), Value: gitlab.Ptr("b")}}})
		time.Sleep(time.Minute)
		must[*gitlab.Release](t)(c.Releases.CreateRelease(cart, &gitlab.CreateReleaseOptions{TagName: gitlab.Ptr("v1"), Description: gitlab.Ptr("notes")}))
		if err := s.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"push refs/heads/feature 0 of " + cart, "system push refs/heads/feature", "merge !1 open opened", "merge !1 open opened",
			"note !1 create ann: /muster plan to staging", "merge !1 approved opened", "merge !1 approved opened",
			"push refs/heads/main 2 of " + cart, "system push refs/heads/main", "merge !1 merge merged", "merge !1 merge merged",
			"tag refs/tags/v1", "system tag refs/tags/v1",
			"job ship created", "job ship pending", "pipeline pending", "job ship running", "deployment production running", "pipeline running",
			"job ship success", "deployment production success", "pipeline success", "release v1 create", "release v1 create",
		}
		if got := r.got(); !slices.Equal(got, want) {
			t.Errorf("got:\n%s", strings.Join(got, "\n"))
		}
		keys, events := map[string]bool{}, map[string]int{}
		for _, h := range r.heads {
			keys[h.Get("Idempotency-Key")] = true
			events[h.Get("X-Gitlab-Event-UUID")]++
			if h.Get("X-Gitlab-Instance") != "https://git.example/sub" || !strings.HasPrefix(h.Get("User-Agent"), "GitLab/") || h.Get("X-Gitlab-Webhook-UUID") == "" {
				t.Errorf("headers: %v", h)
			}
		}
		if len(keys) != len(want) || len(events) != 17 {
			t.Errorf("%d keys and %d events of %d deliveries", len(keys), len(events), len(want))
		}
		if r.heads[0].Get("X-Gitlab-Token") != secret || r.heads[1].Get("X-Gitlab-Token") != "" {
			t.Errorf("tokens: %v, %v", r.heads[0], r.heads[1])
		}
		done := r.events[21].(*gitlab.PipelineEvent)
		if done.ObjectAttributes.Source != "api" || done.Builds[0].Name != "ship" || done.Builds[0].Duration != 1 || done.ObjectAttributes.Variables[0].Value != "b" ||
			done.Project.PathWithNamespace != cart || done.ObjectAttributes.Duration != 1 || done.Commit.ID != s.Head(cart, "main") {
			t.Errorf("pipeline: %+v", done)
		}
		pushed := r.events[7].(*gitlab.PushEvent)
		if pushed.After != s.Head(cart, "main") || !slices.Equal(pushed.Commits[0].Added, []string{"f"}) || pushed.UserUsername != "root" {
			t.Errorf("push: %+v", pushed)
		}
	})
}

// The signature is that of the Standard Webhooks specification, with GitLab's headers.
func TestHookIsSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, r := hooked(t, gitlabfake.Hook{Signing: signing})
		s.PushTag(cart, "", "v1", "main", "")
		if err := s.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		h := r.heads[0]
		if h.Get("webhook-id") != h.Get("Idempotency-Key") || h.Get("webhook-timestamp") != fmt.Sprint(time.Now().Unix()) || h.Get("X-Gitlab-Token") != "" {
			t.Errorf("headers: %v", h)
		}
		if want := gitlabfake.Sign(signing, h.Get("webhook-id"), h.Get("webhook-timestamp"), r.bodies[0]); h.Get("webhook-signature") != want {
			t.Errorf("signature %q, want %q", h.Get("webhook-signature"), want)
		}
	})
	// The example of the specification's own libraries.
	got := gitlabfake.Sign(signing, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signature: %s", got)
	}
}

func TestHooksTwiceLateLostAndInDisorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, r := hooked(t, gitlabfake.Hook{Events: []string{"tag_push"}})
		tag := func(names ...string) {
			for _, n := range names {
				s.PushTag(cart, "", n, "main", "")
			}
		}
		expect := func(want ...string) {
			t.Helper()
			if err := s.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := r.got()
			r.lines = nil
			for i := range got {
				got[i] = strings.TrimPrefix(got[i], "tag refs/tags/")
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		s.Disturb(func(d gitlabfake.Delivery) gitlabfake.Disturbance {
			return map[int]gitlabfake.Disturbance{1: {Copies: 1}, 2: {Drop: true}, 3: {Delay: time.Minute}}[d.N]
		})
		tag("a", "b", "c", "d")
		expect("a", "a", "d", "c")
		if r.heads[0].Get("Idempotency-Key") != r.heads[1].Get("Idempotency-Key") {
			t.Errorf("a delivery that comes again has another key")
		}
		s.Disturb(nil)
		s.Hold()
		tag("e", "f", "g")
		expect()
		s.Release(func(held []gitlabfake.Delivery) []gitlabfake.Delivery {
			return []gitlabfake.Delivery{held[2], held[0], held[2]}
		})
		expect("g", "e", "g")
		if all := s.Deliveries(); !all[5].Lost || all[6].Sent != 2 || all[6].Status != 200 {
			t.Errorf("deliveries: %+v", all)
		}
		s.Redeliver(1)
		expect("a")
	})
}

// A hook that fails four times in a row pauses for a minute, then longer.
func TestHookIsSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, r := hooked(t, gitlabfake.Hook{Events: []string{"tag_push"}})
		r.status = 500
		n := 0
		tag := func() int {
			n++
			s.PushTag(cart, "", fmt.Sprintf("v%d", n), "main", "")
			if err := s.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			return len(r.got())
		}
		for i := range 4 {
			if got := tag(); got != i+1 {
				t.Errorf("delivery %d: %d arrived", i+1, got)
			}
		}
		if got := tag(); got != 4 {
			t.Errorf("a hook that is switched off gets deliveries: %d", got)
		}
		hooks := must[[]*gitlab.ProjectHook](t)(c.Projects.ListProjectHooks(cart, nil))
		if len(hooks) != 1 || hooks[0].AlertStatus != "temporarily_disabled" || hooks[0].DisabledUntil == nil {
			t.Errorf("hooks: %+v", hooks[0])
		}
		time.Sleep(time.Minute)
		r.status = 0
		if got := tag(); got != 5 {
			t.Errorf("after a minute: %d", got)
		}
		if hooks = must[[]*gitlab.ProjectHook](t)(c.Projects.ListProjectHooks(cart, nil)); hooks[0].AlertStatus != "executable" {
			t.Errorf("hooks: %+v", hooks[0])
		}
	})
}

func TestHooksThroughTheAPI(t *testing.T) {
	s, c := shop(t, gitlabfake.Options{})
	made := must[*gitlab.ProjectHook](t)(c.Projects.AddProjectHook(cart, &gitlab.AddProjectHookOptions{
		URL: gitlab.Ptr("https://muster.example/gitlab/webhook"), Token: gitlab.Ptr(secret), TagPushEvents: gitlab.Ptr(true),
		PushEvents: gitlab.Ptr(false), PipelineEvents: gitlab.Ptr(true),
	}))
	if made.PushEvents || !made.TagPushEvents || !made.PipelineEvents || made.JobEvents || !made.TokenPresent || made.SigningTokenPresent {
		t.Errorf("hook: %+v", made)
	}
	if b, _ := json.Marshal(made); strings.Contains(string(b), secret) {
		t.Errorf("the secret is shown: %s", b)
	}
	dev := client(t, s, s.AddBotToken(cart, gitlabfake.Developer, gitlabfake.Token{}))
	_, _, err := dev.Projects.ListProjectHooks(cart, nil)
	wantStatus(t, err, 403, "")
	if _, err := c.Projects.DeleteProjectHook(cart, made.ID); err != nil {
		t.Error(err)
	}
	must[*gitlab.GroupHook](t)(c.Groups.AddGroupHook("shop", &gitlab.AddGroupHookOptions{URL: gitlab.Ptr("https://muster.example")}))
	must[*gitlab.Hook](t)(c.SystemHooks.AddHook(&gitlab.AddHookOptions{URL: gitlab.Ptr("https://muster.example")}))
	_, _, err = dev.SystemHooks.ListHooks()
	wantStatus(t, err, 403, "")
}
