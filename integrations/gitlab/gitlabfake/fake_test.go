package gitlabfake_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
)

const cart = "shop/backend/cart"

func newServer(t *testing.T, opts gitlabfake.Options) *gitlabfake.Server {
	t.Helper()
	s, err := gitlabfake.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// client is GitLab's own, without its retries.
func client(t *testing.T, s *gitlabfake.Server, token string) *gitlab.Client {
	t.Helper()
	c, err := gitlab.NewClient(token, gitlab.WithBaseURL(s.URL()), gitlab.WithHTTPClient(s.Client()), gitlab.WithoutRetries())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func shop(t *testing.T, opts gitlabfake.Options) (*gitlabfake.Server, *gitlab.Client) {
	t.Helper()
	s := newServer(t, opts)
	s.AddProject(gitlabfake.Project{Path: cart, Files: map[string]string{"README.md": "# cart\n", "go.mod": "module cart\n"}})
	return s, client(t, s, s.Token())
}

// must fails the test on an error, and returns the rest.
func must[T any](t *testing.T) func(T, *gitlab.Response, error) T {
	return func(v T, _ *gitlab.Response, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantStatus checks that a call was refused with an HTTP status and words.
func wantStatus(t *testing.T, err error, status int, words string) {
	t.Helper()
	if status == http.StatusNotFound && errors.Is(err, gitlab.ErrNotFound) {
		return // the client keeps no words of these
	}
	var refused *gitlab.ErrorResponse
	if !errors.As(err, &refused) {
		t.Errorf("got %v, want a refusal with status %d", err, status)
		return
	}
	if !refused.HasStatusCode(status) || !strings.Contains(refused.Error(), words) {
		t.Errorf("got %v, want status %d with %q", refused, status, words)
	}
}

func TestTagsCommitsCompare(t *testing.T) {
	s, c := shop(t, gitlabfake.Options{URL: "https://gitlab.example.com/git"})
	first := s.Head(cart, "main")
	s.PushTag(cart, "", "v1.0.0", "main", "")
	second := s.Push(cart, gitlabfake.Commit{Message: "Empty the cart", Files: map[string]string{"cart.go": "package cart\n"}})
	third := s.Push(cart, gitlabfake.Commit{Message: "Docs", Files: map[string]string{"docs/a.md": "a\n"}})

	project := must[*gitlab.Project](t)(c.Projects.GetProject(cart, nil))
	if project.WebURL != "https://gitlab.example.com/git/"+cart || project.DefaultBranch != "main" {
		t.Errorf("project: %s, %s", project.WebURL, project.DefaultBranch)
	}
	tag := must[*gitlab.Tag](t)(c.Tags.CreateTag(project.ID, &gitlab.CreateTagOptions{TagName: gitlab.Ptr("v1.1.0"), Ref: gitlab.Ptr("main"), Message: gitlab.Ptr("by muster")}))
	if tag.Commit.ID != third || tag.Message != "by muster" || tag.Target == third {
		t.Errorf("tag: %+v", tag)
	}
	_, _, err := c.Tags.CreateTag(cart, &gitlab.CreateTagOptions{TagName: gitlab.Ptr("v1.1.0"), Ref: gitlab.Ptr("main")})
	wantStatus(t, err, 400, "Tag v1.1.0 already exists")
	_, _, err = c.Tags.CreateTag(cart, &gitlab.CreateTagOptions{TagName: gitlab.Ptr("v1.2.0"), Ref: gitlab.Ptr("nowhere")})
	wantStatus(t, err, 400, "Target nowhere is invalid")
	_, _, err = c.Tags.GetTag(cart, "v9")
	wantStatus(t, err, 404, "404 Tag Not Found")
	s.PushTag(cart, "", "v1.10.0", "main", "")
	tags := must[[]*gitlab.Tag](t)(c.Tags.ListTags(cart, &gitlab.ListTagsOptions{OrderBy: gitlab.Ptr("version"), Search: gitlab.Ptr("^v1")}))
	if names := tagNames(tags); !slices.Equal(names, []string{"v1.10.0", "v1.1.0", "v1.0.0"}) {
		t.Errorf("tags by version: %v", names)
	}

	commits := must[[]*gitlab.Commit](t)(c.Commits.ListCommits(cart, &gitlab.ListCommitsOptions{RefName: gitlab.Ptr("v1.0.0..v1.1.0")}))
	if len(commits) != 2 || commits[0].ID != third || commits[1].ID != second {
		t.Errorf("commits of the range: %v", commits)
	}
	commits = must[[]*gitlab.Commit](t)(c.Commits.ListCommits(cart, &gitlab.ListCommitsOptions{Path: gitlab.Ptr("docs")}))
	if len(commits) != 1 || commits[0].Title != "Docs" {
		t.Errorf("commits of a path: %v", commits)
	}
	compared := must[*gitlab.Compare](t)(c.Repositories.Compare(cart, &gitlab.CompareOptions{From: gitlab.Ptr("v1.0.0"), To: gitlab.Ptr("v1.1.0")}))
	if len(compared.Commits) != 2 || compared.Commits[0].ID != second || len(compared.Diffs) != 2 || compared.Diffs[0].NewPath != "cart.go" {
		t.Errorf("compare: %+v", compared)
	}
	if want := "@@ -0,0 +1,1 @@\n+package cart\n"; compared.Diffs[0].Diff != want {
		t.Errorf("diff:\n%s", compared.Diffs[0].Diff)
	}
	got := must[*gitlab.Commit](t)(c.Commits.GetCommit(cart, first[:8], nil))
	if got.ID != first || got.Stats.Additions != 2 {
		t.Errorf("commit: %+v", got)
	}
}

func tagNames(tags []*gitlab.Tag) []string {
	var names []string
	for _, one := range tags {
		names = append(names, one.Name)
	}
	return names
}

func TestFilesAndCommitsThroughTheAPI(t *testing.T) {
	s, c := shop(t, gitlabfake.Options{})
	file := must[*gitlab.File](t)(c.RepositoryFiles.GetFile(cart, "go.mod", &gitlab.GetFileOptions{Ref: gitlab.Ptr("main")}))
	if file.Content != "bW9kdWxlIGNhcnQK" || file.LastCommitID != s.Head(cart, "main") {
		t.Errorf("file: %+v", file)
	}
	action := func(kind gitlab.FileActionValue, path, content string) *gitlab.CommitActionOptions {
		return &gitlab.CommitActionOptions{Action: gitlab.Ptr(kind), FilePath: gitlab.Ptr(path), Content: gitlab.Ptr(content)}
	}
	opts := &gitlab.CreateCommitOptions{
		Branch: gitlab.Ptr("muster/catalog"), StartBranch: gitlab.Ptr("main"), CommitMessage: gitlab.Ptr("Update the catalog"),
		Actions: []*gitlab.CommitActionOptions{action(gitlab.FileCreate, "a/b/catalog.yaml", "x\n"), action(gitlab.FileUpdate, "go.mod", "module y\n")},
	}
	must[*gitlab.Commit](t)(c.Commits.CreateCommit(cart, opts))
	_, _, err := c.Commits.CreateCommit(cart, opts)
	wantStatus(t, err, 400, "A branch called 'muster/catalog' already exists")
	raw, _, err := c.RepositoryFiles.GetRawFile(cart, "a/b/catalog.yaml", &gitlab.GetRawFileOptions{Ref: gitlab.Ptr("muster/catalog")})
	if err != nil || string(raw) != "x\n" {
		t.Errorf("raw file: %q, %v", raw, err)
	}
	_, _, err = c.RepositoryFiles.GetRawFile(cart, "a/b/catalog.yaml", &gitlab.GetRawFileOptions{Ref: gitlab.Ptr("main")})
	wantStatus(t, err, 404, "404 File Not Found")

	var names []string
	opt := &gitlab.ListTreeOptions{Ref: gitlab.Ptr("muster/catalog"), Recursive: gitlab.Ptr(true), ListOptions: gitlab.ListOptions{Pagination: "keyset", PerPage: 2}}
	nodes, err := gitlab.ScanAndCollect(func(p gitlab.PaginationOptionFunc) ([]*gitlab.TreeNode, *gitlab.Response, error) {
		return c.Repositories.ListTree(cart, opt, p)
	})
	for _, n := range nodes {
		names = append(names, n.Path)
	}
	if err != nil || !slices.Equal(names, []string{"README.md", "a", "a/b", "a/b/catalog.yaml", "go.mod"}) {
		t.Errorf("tree: %v, %v", names, err)
	}
}

func TestPages(t *testing.T) {
	s, c := shop(t, gitlabfake.Options{URL: "http://127.0.0.1/sub"})
	for i := range 44 {
		s.AddProject(gitlabfake.Project{Path: "shop/many/p" + string(rune('a'+i/26)) + string(rune('a'+i%26))})
	}
	_, resp, err := c.Groups.ListGroupProjects("shop", &gitlab.ListGroupProjectsOptions{IncludeSubGroups: gitlab.Ptr(true), ListOptions: gitlab.ListOptions{PerPage: 20}})
	if err != nil || resp.TotalItems != 45 || resp.TotalPages != 3 || resp.NextPage != 2 {
		t.Errorf("first page: %+v, %v", resp, err)
	}
	if link := resp.Header.Get("Link"); !strings.Contains(link, `<http://127.0.0.1/sub/api/v4/groups/shop/projects?include_subgroups=true&page=2&per_page=20>; rel="next"`) {
		t.Errorf("link: %s", link)
	}
	all, err := gitlab.ScanAndCollect(func(p gitlab.PaginationOptionFunc) ([]*gitlab.Project, *gitlab.Response, error) {
		return c.Groups.ListGroupProjects("shop", &gitlab.ListGroupProjectsOptions{IncludeSubGroups: gitlab.Ptr(true)}, p)
	})
	if err != nil || len(all) != 45 {
		t.Errorf("all pages: %d, %v", len(all), err)
	}
	direct := must[[]*gitlab.Project](t)(c.Groups.ListGroupProjects("shop/backend", nil))
	if len(direct) != 1 || direct[0].PathWithNamespace != cart {
		t.Errorf("one group: %v", direct)
	}
	before := len(s.Calls())
	keyset := &gitlab.ListProjectsOptions{OrderBy: gitlab.Ptr("id"), ListOptions: gitlab.ListOptions{Pagination: "keyset", PerPage: 10}}
	all, err = gitlab.ScanAndCollect(func(p gitlab.PaginationOptionFunc) ([]*gitlab.Project, *gitlab.Response, error) {
		return c.Projects.ListProjects(keyset, p)
	})
	if err != nil || len(all) != 45 || len(s.Calls())-before != 5 {
		t.Errorf("by keyset: %d in %d calls, %v", len(all), len(s.Calls())-before, err)
	}
	keyset.OrderBy = gitlab.Ptr("name")
	_, _, err = c.Projects.ListProjects(keyset)
	wantStatus(t, err, 405, "Keyset pagination is not yet available")
}

func TestWhoMayWhat(t *testing.T) {
	s, _ := shop(t, gitlabfake.Options{})
	s.AddProject(gitlabfake.Project{Path: "shop/public", Visibility: "public"})
	for _, name := range []string{"guest", "rita", "dev", "mia", "stranger"} {
		s.AddUser(gitlabfake.User{Username: name})
	}
	s.AddMember(cart, "guest", gitlabfake.Guest)
	s.AddMember("shop", "rita", gitlabfake.Reporter)
	s.AddMember("shop/backend", "dev", gitlabfake.Developer)
	s.AddMember(cart, "mia", gitlabfake.Maintainer)
	token := func(user string, scopes ...string) string {
		return s.AddToken(gitlabfake.Token{User: user, Name: user, Scopes: scopes})
	}
	s.AddProject(gitlabfake.Project{Path: "shop/bots"})
	s.Change(cart, func(p *gitlabfake.Project) { p.Protected["tag:v*"] = gitlabfake.Maintainer })
	revoked := token("mia")
	s.Revoke(revoked)

	see := func(c *gitlab.Client) error { _, _, err := c.Projects.GetProject(cart, nil); return err }
	code := func(c *gitlab.Client) error { _, _, err := c.Tags.ListTags(cart, nil); return err }
	branch := 0
	write := func(c *gitlab.Client) error {
		branch++
		_, _, err := c.Branches.CreateBranch(cart, &gitlab.CreateBranchOptions{Branch: gitlab.Ptr("b" + string(rune('0'+branch))), Ref: gitlab.Ptr("main")})
		return err
	}
	tag := func(c *gitlab.Client) error {
		_, _, err := c.Tags.CreateTag(cart, &gitlab.CreateTagOptions{TagName: gitlab.Ptr("v1"), Ref: gitlab.Ptr("main")})
		return err
	}
	public := func(c *gitlab.Client) error { _, _, err := c.Tags.ListTags("shop/public", nil); return err }
	self := func(c *gitlab.Client) error {
		_, _, err := c.PersonalAccessTokens.GetSinglePersonalAccessToken()
		return err
	}
	for _, one := range []struct {
		name, token string
		call        func(*gitlab.Client) error
		status      int
		words       string
	}{
		{"no token", "", see, 404, "404 Project Not Found"},
		{"no token writes", "", write, 401, "401 Unauthorized"},
		{"no token, public", "", public, 0, ""},
		{"no token, self", "", self, 401, ""},
		{"wrong token", "nonsense", see, 401, "401 Unauthorized"},
		{"revoked token", revoked, see, 401, "Token was revoked"},
		{"expired token", s.AddToken(gitlabfake.Token{User: "mia", Expires: time.Now().Add(-time.Hour)}), see, 401, "Token is expired"},
		{"a stranger", token("stranger"), see, 404, "404 Project Not Found"},
		{"a guest sees", token("guest"), see, 0, ""},
		{"a guest and code", token("guest"), code, 403, "403 Forbidden"},
		{"a reporter of the top group", token("rita"), code, 0, ""},
		{"a reporter writes", token("rita"), write, 403, "403 Forbidden"},
		{"a developer", token("dev"), write, 0, ""},
		{"read_api reads", token("dev", "read_api"), code, 0, ""},
		{"read_api writes", token("dev", "read_api"), write, 403, "insufficient_scope"},
		{"read_user", token("dev", "read_user"), see, 403, "insufficient_scope"},
		{"any token knows itself", token("dev", "read_user"), self, 0, ""},
		{"a protected tag", token("dev"), tag, 400, "protected"},
		{"a token of the project", s.AddBotToken(cart, gitlabfake.Developer, gitlabfake.Token{}), write, 0, ""},
		{"a token of another project", s.AddBotToken("shop/bots", gitlabfake.Owner, gitlabfake.Token{}), see, 404, ""},
		{"a token of the group", s.AddBotToken("shop", gitlabfake.Maintainer, gitlabfake.Token{}), tag, 0, ""},
	} {
		err := one.call(client(t, s, one.token))
		if one.status == 0 && err != nil {
			t.Errorf("%s: %v", one.name, err)
		} else if one.status != 0 {
			t.Run(one.name, func(t *testing.T) { wantStatus(t, err, one.status, one.words) })
		}
	}
	c := client(t, s, token("dev", "read_api", "read_user"))
	known := must[*gitlab.PersonalAccessToken](t)(c.PersonalAccessTokens.GetSinglePersonalAccessToken())
	if known.Name != "dev" || !slices.Equal(known.Scopes, []string{"read_api", "read_user"}) || !known.Active {
		t.Errorf("token: %+v", known)
	}
	if me := must[*gitlab.User](t)(c.Users.CurrentUser()); me.Username != "dev" {
		t.Errorf("user: %+v", me)
	}
	project := must[*gitlab.Project](t)(c.Projects.GetProject(cart, nil))
	if p := project.Permissions; p.ProjectAccess != nil || p.GroupAccess == nil || p.GroupAccess.AccessLevel != gitlab.DeveloperPermissions {
		t.Errorf("permissions: %+v", p)
	}
	if calls := s.Calls(); calls[len(calls)-1].Token != "dev" || calls[len(calls)-1].Route != "/projects/:id" {
		t.Errorf("journal: %+v", calls[len(calls)-1])
	}
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := shop(t, gitlabfake.Options{})
		tag := func(ctx context.Context, name string) error {
			_, _, err := c.Tags.CreateTag(cart, &gitlab.CreateTagOptions{TagName: &name, Ref: gitlab.Ptr("main")}, gitlab.WithContext(ctx))
			return err
		}
		faults := []gitlabfake.Fault{
			{Kind: gitlabfake.ServerError, Status: 503}, {Kind: gitlabfake.Refused}, {Kind: gitlabfake.Lost}, {Kind: gitlabfake.Hang},
			{Kind: gitlabfake.LostHang}, {Kind: gitlabfake.Limited, RetryAfter: 7}, {Kind: gitlabfake.LostError}, {},
		}
		s.SetFault(func(call gitlabfake.Call) gitlabfake.Fault {
			if call.Method == "POST" && call.Route == "/projects/:id/repository/tags" && call.Nth <= len(faults) {
				return faults[call.Nth-1]
			}
			return gitlabfake.Fault{}
		})
		short := func(name string) error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			return tag(ctx, name)
		}
		wantStatus(t, short("a"), 503, "")
		if err := short("b"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("refused: %v", err)
		}
		if err := short("c"); !errors.Is(err, io.EOF) {
			t.Errorf("lost: %v", err)
		}
		began := time.Now()
		if err := short("d"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("hang: %v after %v", err, time.Since(began))
		}
		if err := short("e"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("lost and hanging: %v", err)
		}
		err := short("f")
		wantStatus(t, err, 429, "")
		var limited *gitlab.ErrorResponse
		if errors.As(err, &limited) && limited.Response.Header.Get("Retry-After") != "7" {
			t.Errorf("retry after: %v", limited.Response.Header)
		}
		wantStatus(t, short("g"), 502, "")
		if err := short("h"); err != nil {
			t.Error(err)
		}
		if got := s.Tags(cart); !slices.Equal(got, []string{"c", "e", "g", "h"}) {
			t.Errorf("done: %v", got)
		}
		synctest.Wait() // the server learns a little later that a client gave up
		var kinds []gitlabfake.FaultKind
		var statuses []int
		for i, call := range s.Calls() {
			kinds, statuses = append(kinds, call.Fault), append(statuses, call.Status)
			if call.N != i+1 || !call.Done || !strings.Contains(call.Body, `"ref":"main"`) {
				t.Errorf("call: %+v", call)
			}
		}
		if !slices.Equal(statuses, []int{503, 0, 0, 0, 0, 429, 502, 201}) || kinds[2] != gitlabfake.Lost {
			t.Errorf("journal: %v, %v", statuses, kinds)
		}
	})
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := shop(t, gitlabfake.Options{RateLimit: 3})
		get := func() *http.Response { // GitLab's own client would wait by itself
			req, _ := http.NewRequestWithContext(t.Context(), "GET", s.APIURL()+"/version", nil)
			req.Header.Set("Authorization", "Bearer "+s.Token())
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp
		}
		for left := range 3 {
			if resp := get(); resp.StatusCode != 200 || resp.Header.Get("RateLimit-Remaining") != string(rune('2'-left)) {
				t.Errorf("call %d: %v", left+1, resp)
			}
		}
		time.Sleep(20 * time.Second)
		if resp := get(); resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "40" || s.Limits() != 1 {
			t.Errorf("one too many: %v, %d", resp, s.Limits())
		}
		time.Sleep(40 * time.Second)
		if resp := get(); resp.StatusCode != 200 {
			t.Errorf("in the next window: %v", resp)
		}
	})
}

// The fake over real sockets: a lost answer is a connection that closes.
func TestOverTheNetwork(t *testing.T) {
	s, _ := shop(t, gitlabfake.Options{URL: "http://127.0.0.1/git"})
	web := newTestServer(t, s)
	c, err := gitlab.NewClient(s.Token(), gitlab.WithBaseURL(web+"/git"), gitlab.WithoutRetries())
	if err != nil {
		t.Fatal(err)
	}
	must[*gitlab.Tag](t)(c.Tags.CreateTag(cart, &gitlab.CreateTagOptions{TagName: gitlab.Ptr("rel/v1.0"), Ref: gitlab.Ptr("main")}))
	if tag := must[*gitlab.Tag](t)(c.Tags.GetTag(cart, "rel/v1.0")); tag.Name != "rel/v1.0" {
		t.Errorf("tag: %+v", tag)
	}
	s.SetFault(func(gitlabfake.Call) gitlabfake.Fault { return gitlabfake.Fault{Kind: gitlabfake.Lost} })
	_, _, err = c.Tags.CreateTag(cart, &gitlab.CreateTagOptions{TagName: gitlab.Ptr("v2"), Ref: gitlab.Ptr("main")})
	var refused *gitlab.ErrorResponse
	if err == nil || errors.As(err, &refused) || !slices.Contains(s.Tags(cart), "v2") {
		t.Errorf("lost: %v, tags %v", err, s.Tags(cart))
	}
	resp, err := http.Get(web + "/git/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, _ := io.ReadAll(resp.Body)
	if !strings.Contains(string(page), `"rel/v1.0"`) {
		t.Errorf("page: %s", page)
	}
}
