package gitlabfake

import (
	"net/http"
	"strings"
)

// routes is the whole API. Who needs which level is in docs.gitlab.com/user/permissions.
func routes() []route {
	var all []route
	add := func(method, path string, n need, call func(*request) (any, *problem)) {
		all = append(all, route{method, path, strings.Split(path, "/"), n, call})
	}
	const (
		get    = http.MethodGet
		post   = http.MethodPost
		put    = http.MethodPut
		remove = http.MethodDelete
	)
	user := need{kind: somebody, scope: "read_user"}
	sees := need{kind: readProject, level: Guest}
	reads := need{kind: readProject, level: Reporter}
	repo := need{kind: readProject, level: Reporter, scope: "read_repository"}
	comments := need{kind: writeProject, level: Reporter}
	works := need{kind: writeProject, level: Developer}
	leads := need{kind: writeProject, level: Maintainer}
	group := need{kind: readGroup, level: Guest}

	add(get, "version", user, (*request).getVersion)
	add(get, "metadata", user, (*request).getMetadata)
	add(get, "user", user, (*request).currentUser)
	add(get, "users", user, (*request).listUsers)
	add(get, "users/:user", user, (*request).getUser)
	add(get, "personal_access_tokens/self", need{kind: somebody, scope: "*"}, (*request).selfToken)
	for _, prefix := range []string{"", "projects/:id/", "groups/:id/"} {
		n := leads
		switch prefix {
		case "":
			n = need{kind: onlyAdmin}
		case "groups/:id/":
			n = need{kind: writeGroup, level: Owner}
		}
		add(get, prefix+"hooks", n, (*request).listHooks)
		add(post, prefix+"hooks", n, (*request).createHook)
		add(get, prefix+"hooks/:hook", n, of((*request).theHook, (*request).getHook))
		add(put, prefix+"hooks/:hook", n, of((*request).theHook, (*request).editHook))
		add(remove, prefix+"hooks/:hook", n, of((*request).theHook, (*request).deleteHook))
	}

	add(get, "groups", need{kind: anybody}, (*request).listGroups)
	add(get, "groups/:id", group, (*request).getGroup)
	add(get, "groups/:id/projects", group, (*request).groupProjects)
	add(get, "groups/:id/subgroups", group, (*request).subgroups)
	add(get, "groups/:id/descendant_groups", group, (*request).descendants)
	add(get, "groups/:id/merge_requests", group, (*request).groupMerges)
	add(get, "groups/:id/members", group, (*request).listMembers)
	add(get, "groups/:id/members/all", group, (*request).listAllMembers)
	add(get, "groups/:id/members/all/:user", group, (*request).getMember)
	add(get, "projects", need{kind: anybody}, (*request).listProjects)
	add(get, "projects/:id", sees, (*request).getProject)
	add(get, "projects/:id/members", sees, (*request).listMembers)
	add(get, "projects/:id/members/all", sees, (*request).listAllMembers)
	add(get, "projects/:id/members/all/:user", sees, (*request).getMember)
	add(get, "projects/:id/members/:user", sees, (*request).getMember)

	const r = "projects/:id/repository/"
	add(get, r+"tags", repo, (*request).listTags)
	add(post, r+"tags", works, (*request).createTag)
	add(get, r+"tags/:tag", repo, (*request).getTag)
	add(remove, r+"tags/:tag", leads, (*request).deleteTag)
	add(get, r+"branches", repo, (*request).listBranches)
	add(post, r+"branches", works, (*request).createBranch)
	add(get, r+"branches/:branch", repo, (*request).getBranch)
	add(remove, r+"branches/:branch", works, (*request).deleteBranch)
	add(get, r+"commits", repo, (*request).listCommits)
	add(post, r+"commits", works, (*request).createCommit)
	add(get, r+"commits/:sha", repo, of((*request).theCommit, (*request).getCommit))
	add(get, r+"commits/:sha/diff", repo, of((*request).theCommit, (*request).commitDiff))
	add(get, r+"commits/:sha/refs", repo, of((*request).theCommit, (*request).commitRefs))
	add(get, r+"commits/:sha/merge_requests", reads, of((*request).theCommit, (*request).commitMerges))
	add(get, r+"commits/:sha/statuses", reads, of((*request).theCommit, (*request).listStatuses))
	add(post, "projects/:id/statuses/:sha", works, (*request).setStatus)
	add(get, r+"compare", repo, (*request).compare)
	add(get, r+"merge_base", repo, (*request).mergeBase)
	add(get, r+"tree", repo, (*request).listTree)
	add(get, r+"files/:file", repo, (*request).getFile)
	add(get, r+"files/:file/raw", repo, (*request).rawFile)

	add(get, "projects/:id/protected_branches", leads, (*request).protectedBranches)
	add(get, "projects/:id/protected_tags", leads, (*request).protectedTags)

	const m = "projects/:id/merge_requests"
	add(get, m, reads, (*request).listMerges)
	add(post, m, works, (*request).createMerge)
	add(get, m+"/:merge", reads, of((*request).theMerge, (*request).getMerge))
	add(put, m+"/:merge", works, of((*request).theMerge, (*request).updateMerge))
	add(put, m+"/:merge/merge", works, of((*request).theMerge, (*request).acceptMerge))
	add(get, m+"/:merge/commits", reads, of((*request).theMerge, (*request).mergeCommits))
	add(get, m+"/:merge/diffs", reads, of((*request).theMerge, (*request).mergeDiffs))
	add(get, m+"/:merge/pipelines", reads, of((*request).theMerge, (*request).mergePipelines))
	add(get, m+"/:merge/approvals", reads, of((*request).theMerge, (*request).getApprovals))
	add(post, m+"/:merge/approve", works, of((*request).theMerge, (*request).approveMerge))
	add(post, m+"/:merge/unapprove", works, of((*request).theMerge, (*request).unapproveMerge))
	add(get, m+"/:merge/notes", reads, of((*request).theMerge, (*request).listNotes))
	add(post, m+"/:merge/notes", comments, of((*request).theMerge, (*request).createNote))
	add(get, m+"/:merge/notes/:note", reads, of((*request).theNote, (*request).getNote))
	add(put, m+"/:merge/notes/:note", comments, of((*request).theNote, (*request).updateNote))
	add(remove, m+"/:merge/notes/:note", comments, of((*request).theNote, (*request).deleteNote))
	add(get, m+"/:merge/discussions", reads, of((*request).theMerge, (*request).listDiscussions))
	add(post, m+"/:merge/discussions", comments, of((*request).theMerge, (*request).createDiscussion))
	add(get, m+"/:merge/discussions/:discussion", reads, of((*request).theDiscussion, (*request).getDiscussion))
	add(put, m+"/:merge/discussions/:discussion", comments, of((*request).theDiscussion, (*request).resolve))
	add(post, m+"/:merge/discussions/:discussion/notes", comments, of((*request).theDiscussion, (*request).reply))
	add(put, m+"/:merge/discussions/:discussion/notes/:note", comments, of((*request).theNote, (*request).updateNote))
	add(remove, m+"/:merge/discussions/:discussion/notes/:note", comments, of((*request).theNote, (*request).deleteNote))

	add(post, "projects/:id/pipeline", works, (*request).createPipeline)
	const p = "projects/:id/pipelines"
	add(get, p, reads, (*request).listPipelines)
	add(get, p+"/latest", reads, (*request).latestPipeline)
	add(get, p+"/:pipeline", reads, of((*request).thePipeline, (*request).getPipeline))
	add(get, p+"/:pipeline/variables", works, of((*request).thePipeline, (*request).pipelineVariables))
	add(get, p+"/:pipeline/test_report", reads, of((*request).thePipeline, (*request).testReport))
	add(get, p+"/:pipeline/test_report_summary", reads, of((*request).thePipeline, (*request).testSummary))
	add(get, p+"/:pipeline/jobs", reads, of((*request).thePipeline, (*request).pipelineJobs))
	add(get, p+"/:pipeline/bridges", reads, (*request).noBridges)
	add(post, p+"/:pipeline/cancel", works, of((*request).thePipeline, (*request).cancelPipeline))
	add(post, p+"/:pipeline/retry", works, of((*request).thePipeline, (*request).retryPipeline))
	const j = "projects/:id/jobs"
	add(get, j, reads, (*request).listJobs)
	add(get, j+"/artifacts/:ref/raw/*path", reads, (*request).refArtifact)
	add(get, j+"/:job", reads, of((*request).theJob, (*request).getJob))
	add(get, j+"/:job/trace", reads, of((*request).theJob, (*request).jobTrace))
	add(get, j+"/:job/artifacts/*path", reads, of((*request).theJob, (*request).jobArtifact))
	add(post, j+"/:job/play", works, of((*request).theJob, (*request).playJob))
	add(post, j+"/:job/cancel", works, of((*request).theJob, (*request).cancelOneJob))
	add(post, j+"/:job/retry", works, of((*request).theJob, (*request).retryJob))

	const e = "projects/:id/environments"
	add(get, e, reads, (*request).listEnvironments)
	add(post, e, works, (*request).createEnvironment)
	add(get, e+"/:environment", reads, of((*request).theEnvironment, (*request).getEnvironment))
	add(put, e+"/:environment", works, of((*request).theEnvironment, (*request).updateEnvironment))
	add(post, e+"/:environment/stop", works, of((*request).theEnvironment, (*request).stopEnvironment))
	const d = "projects/:id/deployments"
	add(get, d, reads, (*request).listDeployments)
	add(post, d, works, (*request).createDeployment)
	add(get, d+"/:deployment", reads, of((*request).theDeployment, (*request).getDeployment))
	add(put, d+"/:deployment", works, of((*request).theDeployment, (*request).updateDeployment))
	add(remove, d+"/:deployment", leads, of((*request).theDeployment, (*request).deleteDeployment))

	const rel = "projects/:id/releases"
	add(get, rel, reads, (*request).listReleases)
	add(post, rel, works, (*request).createRelease)
	add(get, rel+"/permalink/latest", reads, (*request).latestRelease)
	add(get, rel+"/:tag", reads, of((*request).theRelease, (*request).getRelease))
	add(put, rel+"/:tag", works, of((*request).theRelease, (*request).updateRelease))
	add(remove, rel+"/:tag", works, of((*request).theRelease, (*request).deleteRelease))
	add(get, rel+"/:tag/assets/links", reads, of((*request).theRelease, (*request).listLinks))
	add(post, rel+"/:tag/assets/links", works, of((*request).theRelease, (*request).createLink))
	add(get, rel+"/:tag/assets/links/:link", reads, (*request).getLink)
	add(put, rel+"/:tag/assets/links/:link", works, (*request).updateLink)
	add(remove, rel+"/:tag/assets/links/:link", works, (*request).deleteLink)
	const reg = "projects/:id/registry/repositories"
	add(get, reg, reads, (*request).listRegistries)
	add(get, reg+"/:registry/tags", reads, of((*request).theRegistry, (*request).listRegistryTags))
	add(get, reg+"/:registry/tags/:tag", reads, of((*request).theRegistry, (*request).getRegistryTag))
	return all
}
