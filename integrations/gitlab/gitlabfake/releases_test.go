package gitlabfake_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
)

func TestReleases(t *testing.T) {
	s, c := shop(t, gitlabfake.Options{})
	create := func(tag, ref string) error {
		opts := &gitlab.CreateReleaseOptions{
			TagName: &tag, Name: gitlab.Ptr("Cart " + tag), Description: gitlab.Ptr("What is new"),
			Assets: &gitlab.ReleaseAssetsOptions{Links: []*gitlab.ReleaseAssetLinkOptions{{Name: gitlab.Ptr("REL-1"), URL: gitlab.Ptr("https://jira.example/REL-1")}}},
		}
		if ref != "" {
			opts.Ref = &ref
		}
		_, _, err := c.Releases.CreateRelease(cart, opts)
		return err
	}
	wantStatus(t, create("v1.0.0", ""), 422, "Ref is not specified")
	if err := create("v1.0.0", "main"); err != nil {
		t.Fatal(err)
	}
	if got := s.Tags(cart); !slices.Equal(got, []string{"v1.0.0"}) {
		t.Errorf("tags: %v", got)
	}
	wantStatus(t, create("v1.0.0", "main"), 409, "Release already exists")
	got := must[*gitlab.Release](t)(c.Releases.GetRelease(cart, "v1.0.0"))
	if got.Name != "Cart v1.0.0" || got.Commit.ID != s.Head(cart, "main") || len(got.Assets.Links) != 1 || got.Assets.Links[0].Name != "REL-1" {
		t.Errorf("release: %+v", got)
	}
	must[*gitlab.Release](t)(c.Releases.UpdateRelease(cart, "v1.0.0", &gitlab.UpdateReleaseOptions{Description: gitlab.Ptr("More")}))
	must[*gitlab.ReleaseLink](t)(c.ReleaseLinks.CreateReleaseLink(cart, "v1.0.0", &gitlab.CreateReleaseLinkOptions{Name: gitlab.Ptr("run"), URL: gitlab.Ptr("https://muster.example/1")}))
	_, _, err := c.ReleaseLinks.CreateReleaseLink(cart, "v1.0.0", &gitlab.CreateReleaseLinkOptions{Name: gitlab.Ptr("run"), URL: gitlab.Ptr("https://muster.example/2")})
	wantStatus(t, err, 400, "has already been taken")
	if all := s.Releases(cart); len(all) != 1 || all[0].Description != "More" || all[0].Links["run"] != "https://muster.example/1" || len(all[0].Links) != 2 {
		t.Errorf("releases: %+v", all)
	}
	_, _, err = c.Releases.GetRelease(cart, "v9")
	wantStatus(t, err, 404, "")
	if tag := must[*gitlab.Tag](t)(c.Tags.GetTag(cart, "v1.0.0")); tag.Release == nil || tag.Release.Description != "More" {
		t.Errorf("tag: %+v", tag)
	}
}

func TestDeploymentsAndEnvironments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := shop(t, gitlabfake.Options{})
		s.PushTag(cart, "", "v1", "main", "")
		opts := &gitlab.CreateProjectDeploymentOptions{
			Environment: gitlab.Ptr("production/eu"), Ref: gitlab.Ptr("v1"), SHA: gitlab.Ptr(s.Head(cart, "v1")), Tag: gitlab.Ptr(true), Status: gitlab.Ptr(gitlab.DeploymentStatusRunning),
		}
		first := must[*gitlab.Deployment](t)(c.Deployments.CreateProjectDeployment(cart, opts))
		time.Sleep(time.Minute)
		update := func(id int64, status gitlab.DeploymentStatusValue) error {
			_, _, err := c.Deployments.UpdateProjectDeployment(cart, id, &gitlab.UpdateProjectDeploymentOptions{Status: &status})
			return err
		}
		if err := update(first.ID, gitlab.DeploymentStatusSuccess); err != nil {
			t.Error(err)
		}
		wantStatus(t, update(first.ID, gitlab.DeploymentStatusSuccess), 400, "")
		wantStatus(t, update(first.ID, gitlab.DeploymentStatusRunning), 400, "cannot transition")
		opts.Status = gitlab.Ptr(gitlab.DeploymentStatusSuccess)
		if again := must[*gitlab.Deployment](t)(c.Deployments.CreateProjectDeployment(cart, opts)); again.ID != first.ID {
			t.Errorf("what is live was recorded twice: %d", again.ID)
		}
		opts.Status = gitlab.Ptr(gitlab.DeploymentStatusFailed)
		second := must[*gitlab.Deployment](t)(c.Deployments.CreateProjectDeployment(cart, opts))
		list := must[[]*gitlab.Deployment](t)(c.Deployments.ListProjectDeployments(cart, &gitlab.ListProjectDeploymentsOptions{
			Environment: gitlab.Ptr("production/eu"), OrderBy: gitlab.Ptr("id"), Sort: gitlab.Ptr("desc"),
		}))
		if len(list) != 2 || list[0].ID != second.ID || list[1].Status != "success" || list[1].Environment.Tier != "production" {
			t.Errorf("deployments: %+v", list)
		}
		after := time.Now()
		_, _, err := c.Deployments.ListProjectDeployments(cart, &gitlab.ListProjectDeploymentsOptions{UpdatedAfter: &after})
		wantStatus(t, err, 400, "must be paired")
		envs := must[[]*gitlab.Environment](t)(c.Environments.ListEnvironments(cart, &gitlab.ListEnvironmentsOptions{Name: gitlab.Ptr("production/eu")}))
		if len(envs) != 1 || envs[0].Slug != "production-eu" {
			t.Fatalf("environments: %+v", envs)
		}
		if env := must[*gitlab.Environment](t)(c.Environments.GetEnvironment(cart, envs[0].ID)); env.LastDeployment == nil || env.LastDeployment.ID != first.ID {
			t.Errorf("environment: %+v", env)
		}
		_, _, err = c.Environments.CreateEnvironment(cart, &gitlab.CreateEnvironmentOptions{Name: gitlab.Ptr("production/eu")})
		wantStatus(t, err, 400, "has already been taken")
		if env := must[*gitlab.Environment](t)(c.Environments.StopEnvironment(cart, envs[0].ID, nil)); env.State != "stopped" {
			t.Errorf("environment: %+v", env)
		}
		if got := s.Deployments(cart); len(got) != 2 || got[1].Status != "failed" || got[0].Ref != "v1" {
			t.Errorf("deployments: %+v", got)
		}
	})
}

func TestMergeRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := shop(t, gitlabfake.Options{})
		s.AddUser(gitlabfake.User{Username: "ann"})
		s.AddUser(gitlabfake.User{Username: "bob"})
		s.AddMember("shop", "ann", gitlabfake.Developer)
		s.Change(cart, func(p *gitlabfake.Project) { p.Approvals = 2 })
		work := s.Push(cart, gitlabfake.Commit{Branch: "f", User: "ann", Message: "Work", Files: map[string]string{"f": "f\n"}})
		ann := client(t, s, s.AddToken(gitlabfake.Token{User: "ann"}))
		opts := &gitlab.CreateMergeRequestOptions{Title: gitlab.Ptr("ABC-7 work"), SourceBranch: gitlab.Ptr("f"), TargetBranch: gitlab.Ptr("main")}
		m := must[*gitlab.MergeRequest](t)(ann.MergeRequests.CreateMergeRequest(cart, opts))
		if m.Author.Username != "ann" || m.SHA != work || m.State != "opened" || m.DetailedMergeStatus != "not_approved" {
			t.Errorf("merge request: %+v", m)
		}
		_, _, err := ann.MergeRequests.CreateMergeRequest(cart, opts)
		wantStatus(t, err, 409, "Another open merge request already exists for this source branch: !1")

		approvals := must[*gitlab.MergeRequestApprovals](t)(c.MergeRequestApprovals.GetConfiguration(cart, m.IID))
		if approvals.Approved || approvals.ApprovalsLeft != 2 {
			t.Errorf("approvals: %+v", approvals)
		}
		s.Approve(cart, m.IID, "bob")
		must[*gitlab.MergeRequestApprovals](t)(c.MergeRequestApprovals.ApproveMergeRequest(cart, m.IID, nil))
		approvals = must[*gitlab.MergeRequestApprovals](t)(c.MergeRequestApprovals.GetConfiguration(cart, m.IID))
		if !approvals.Approved || len(approvals.ApprovedBy) != 2 || approvals.ApprovedBy[0].User.Username != "bob" {
			t.Errorf("approvals: %+v", approvals)
		}

		asked := s.Comment(cart, m.IID, "ann", "/muster plan to staging", "")
		note := must[*gitlab.Note](t)(c.Discussions.AddMergeRequestDiscussionNote(cart, m.IID, asked, &gitlab.AddMergeRequestDiscussionNoteOptions{Body: gitlab.Ptr("Planning")}))
		must[*gitlab.Note](t)(c.Discussions.UpdateMergeRequestDiscussionNote(cart, m.IID, asked, note.ID, &gitlab.UpdateMergeRequestDiscussionNoteOptions{Body: gitlab.Ptr("Planned <!-- muster:1 -->")}))
		lasting := must[*gitlab.Note](t)(c.Notes.CreateMergeRequestNote(cart, m.IID, &gitlab.CreateMergeRequestNoteOptions{Body: gitlab.Ptr("The plan")}))
		_, _, err = ann.Notes.UpdateMergeRequestNote(cart, m.IID, lasting.ID, &gitlab.UpdateMergeRequestNoteOptions{Body: gitlab.Ptr("mine")})
		wantStatus(t, err, 403, "")
		discussions := must[[]*gitlab.Discussion](t)(c.Discussions.ListMergeRequestDiscussions(cart, m.IID, nil))
		if len(discussions) != 2 || discussions[0].ID != asked || discussions[0].IndividualNote || len(discussions[0].Notes) != 2 || !discussions[1].IndividualNote {
			t.Errorf("discussions: %+v", discussions)
		}
		var bodies []string
		for _, n := range s.Notes(cart, m.IID) {
			bodies = append(bodies, n.User+": "+n.Body)
		}
		if strings.Join(bodies, "; ") != "ann: /muster plan to staging; root: Planned <!-- muster:1 -->; root: The plan" {
			t.Errorf("notes: %v", bodies)
		}

		before := time.Now()
		time.Sleep(time.Second)
		_, _, err = ann.MergeRequests.AcceptMergeRequest(cart, m.IID, nil)
		wantStatus(t, err, 401, "") // main is protected
		merged := must[*gitlab.MergeRequest](t)(c.MergeRequests.AcceptMergeRequest(cart, m.IID, nil))
		if merged.State != "merged" || merged.MergeCommitSHA != s.Head(cart, "main") {
			t.Errorf("merged: %+v", merged)
		}
		if content, found := s.File(cart, "main", "f"); !found || content != "f\n" {
			t.Errorf("file: %q", content)
		}
		found := must[[]*gitlab.BasicMergeRequest](t)(c.MergeRequests.ListProjectMergeRequests(cart, &gitlab.ListProjectMergeRequestsOptions{
			State: gitlab.Ptr("merged"), UpdatedAfter: &before, TargetBranch: gitlab.Ptr("main"), SourceBranch: gitlab.Ptr("f"),
		}))
		if len(found) != 1 || found[0].IID != m.IID {
			t.Errorf("list: %v", found)
		}
		for _, sha := range []string{work, merged.MergeCommitSHA} {
			of := must[[]*gitlab.BasicMergeRequest](t)(c.Commits.ListMergeRequestsByCommit(cart, sha, nil))
			if len(of) != 1 || of[0].Title != "ABC-7 work" {
				t.Errorf("of commit %s: %v", sha, of)
			}
		}
		commits := must[[]*gitlab.Commit](t)(c.MergeRequests.GetMergeRequestCommits(cart, m.IID, nil))
		if len(commits) != 1 || commits[0].ID != work {
			t.Errorf("commits: %v", commits)
		}
	})
}

func TestContainerRegistry(t *testing.T) {
	s, c := shop(t, gitlabfake.Options{URL: "https://git.example:8443/sub"})
	digest := "sha256:" + strings.Repeat("ab", 32)
	s.PushImage(cart, "", "v1.0.0", digest)
	s.PushImage(cart, "migrations", "v1.0.0", digest)
	all := must[[]*gitlab.RegistryRepository](t)(c.ContainerRegistry.ListProjectRegistryRepositories(cart, nil))
	if len(all) != 2 || all[0].Location != "registry.git.example/"+cart || all[1].Path != cart+"/migrations" {
		t.Fatalf("repositories: %+v", all)
	}
	tags := must[[]*gitlab.RegistryRepositoryTag](t)(c.ContainerRegistry.ListRegistryRepositoryTags(cart, all[0].ID, nil))
	if len(tags) != 1 || tags[0].Digest != "" {
		t.Errorf("tags: %+v", tags)
	}
	tag := must[*gitlab.RegistryRepositoryTag](t)(c.ContainerRegistry.GetRegistryRepositoryTagDetail(cart, all[0].ID, "v1.0.0"))
	if tag.Digest != digest || tag.Location != "registry.git.example/"+cart+":v1.0.0" {
		t.Errorf("tag: %+v", tag)
	}
}

// Every address is one that the official client calls too.
func TestRoutesAreGitLabs(t *testing.T) {
	paths := gitlabfake.Paths()
	if len(paths) < 100 {
		t.Errorf("there are only %d routes", len(paths))
	}
	for _, one := range paths {
		_, path, _ := strings.Cut(one, " ")
		var segments []string
		for seg := range strings.SplitSeq(path, "/") {
			if strings.HasPrefix(seg, ":") || strings.HasPrefix(seg, "*") {
				seg = "1"
			}
			segments = append(segments, seg)
		}
		if _, found := gitlab.MatchRoute("/" + strings.Join(segments, "/")); !found {
			t.Errorf("the client knows no %s", one)
		}
	}
}

func TestProtectedAndMembers(t *testing.T) {
	s, c := shop(t, gitlabfake.Options{})
	s.Change(cart, func(p *gitlabfake.Project) { p.Protected["tag:v*"] = gitlabfake.NobodyMay })
	branches := must[[]*gitlab.ProtectedBranch](t)(c.ProtectedBranches.ListProtectedBranches(cart, nil))
	if len(branches) != 1 || branches[0].Name != "main" || branches[0].PushAccessLevels[0].AccessLevel != gitlab.MaintainerPermissions {
		t.Errorf("branches: %+v", branches)
	}
	tags := must[[]*gitlab.ProtectedTag](t)(c.ProtectedTags.ListProtectedTags(cart, nil))
	if len(tags) != 1 || tags[0].Name != "v*" || tags[0].CreateAccessLevels[0].AccessLevel != gitlab.NoPermissions {
		t.Errorf("tags: %+v", tags)
	}
	id := s.AddUser(gitlabfake.User{Username: "ann"})
	s.AddMember("shop", "ann", gitlabfake.Developer)
	member := must[*gitlab.ProjectMember](t)(c.ProjectMembers.GetInheritedProjectMember(cart, id))
	if member.AccessLevel != gitlab.DeveloperPermissions {
		t.Errorf("member: %+v", member)
	}
	_, _, err := c.ProjectMembers.GetProjectMember(cart, id+100)
	wantStatus(t, err, 404, "")
	users := must[[]*gitlab.User](t)(c.Users.ListUsers(&gitlab.ListUsersOptions{Username: gitlab.Ptr("ann")}))
	if len(users) != 1 || users[0].ID != id {
		t.Errorf("users: %v", users)
	}
}

func TestSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, gitlabfake.Options{})
		if err := s.Seed(nil); err != nil {
			t.Fatal(err)
		}
		c := client(t, s, s.Token())
		groups := must[[]*gitlab.Project](t)(c.Groups.ListGroupProjects("shop", nil))
		if len(groups) != 3 {
			t.Errorf("projects: %v", groups)
		}
		_, err := s.StartPipeline("shop/cart", "ann", "v1.0.0", nil, map[string]any{"version": "v1.0.0", "to": "production"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		pl := s.Pipelines("shop/cart")
		last := pl[len(pl)-1]
		if last.Status != "success" || last.Name != "production v1.0.0" || len(last.Jobs) != 3 || last.Jobs[2].Status != "manual" {
			t.Errorf("pipeline: %+v", last)
		}
		s.PlayJob(last.Pipeline, "deploy", "bob")
		time.Sleep(time.Minute)
		if pl = s.Pipelines("shop/cart"); pl[len(pl)-1].Jobs[2].Status != "success" {
			t.Errorf("pipeline: %+v", pl[len(pl)-1])
		}
	})
}
