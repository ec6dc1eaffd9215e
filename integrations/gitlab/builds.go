package gitlab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
)

const (
	// mostReports is how many jobs of a pipeline are asked for a build report.
	mostReports = 50
	// mostReport is how large a build report may be.
	mostReport = 64 << 10
	// mostVersions is how many tags are looked through for the version before, the highest first.
	mostVersions = 500
	// mostAncestors is of how many of these it is asked whether they came before.
	mostAncestors = 20
)

// Builds returns what came out of the pipeline of an event, see BuildsOf. Other events have none.
func (g *GitLab) Builds(ctx context.Context, e events.Event) ([]playbooks.BuildState, error) {
	id := number(e, "pipeline")
	if e.Kind != events.Pipeline || id == 0 {
		return nil, nil
	}
	return g.BuildsOf(ctx, e.Fields["project"], id)
}

// BuildsOf returns what came out of a pipeline: a build of each module of the catalog that lives in its project, or
// none as long as the pipeline is not over, or was cancelled. A pipeline for a tag builds the modules whose
// prefix the tag has, the longest that fits; one for the default branch or for one of Options.Branches builds all
// of the project. Others build nothing that is released: those of merge requests and of other branches, those that
// came from another pipeline, and those that the token's own account started, which deploy what
// was built.
//
// The version is that of the tag; else what the build report says; else one made from the commit as Go
// makes them, v1.4.1-0.20261124181239-abcdef123456, after the highest version among its ancestors
// (https://go.dev/ref/mod#pseudo-versions). A build report is a JSON object, with "version", "image", "digest"
// and "checksum" as far as the pipeline knows them, and "module" where it is of one module alone: an artifact of
// any job that succeeded. What it does not say of the image the project's container registry is asked for.
func (g *GitLab) BuildsOf(ctx context.Context, project string, pipeline int64) ([]playbooks.BuildState, error) {
	modules := g.modulesOf(project)
	if len(modules) == 0 {
		return nil, nil
	}
	p, err := g.readPipeline(ctx, project, pipeline)
	if err != nil {
		return nil, err
	}
	builds, err := g.isBuild(ctx, project, p)
	if err != nil || !builds {
		return nil, err
	}
	if p.Tag {
		modules = tagModules(modules, p.Ref)
	}
	if len(modules) == 0 {
		return nil, nil
	}
	b := &building{g: g, project: project, pipeline: p, state: playbooks.BuildFailed}
	status := p.Status
	if status == statusFailed {
		// A release that failed makes the commit's pipeline fail as well: see statusPrefix.
		s, err := g.stand(ctx, project, p)
		if err != nil {
			return nil, err
		}
		status = s.status
	}
	if status == statusSuccess {
		b.state = playbooks.BuildPassed
	}
	return b.all(ctx, modules)
}

// isBuild reports whether what a pipeline builds may be released.
func (g *GitLab) isBuild(ctx context.Context, project string, p *gl.Pipeline) (bool, error) {
	if p.Status != statusSuccess && p.Status != statusFailed {
		return false, nil
	}
	switch p.Source {
	case "merge_request_event", "external_pull_request_event", "parent_pipeline", "pipeline", "external", "security_orchestration_policy", "ondemand_dast_scan", "ondemand_dast_validation":
		return false, nil
	case "api", "trigger":
		me, err := g.me(ctx)
		if err != nil {
			return false, err
		}
		if p.User != nil && p.User.ID == me.ID {
			return false, nil
		}
	}
	if p.Tag {
		return true, nil
	}
	if g.options.Branches != nil && slices.Contains(g.options.Branches(), p.Ref) {
		return true, nil
	}
	of, err := g.readProject(ctx, project)
	return err == nil && of.DefaultBranch == p.Ref, err
}

// tagModules are the modules that a tag is of: those whose prefix is the longest that it has.
func tagModules(modules []*playbooks.Module, tag string) []*playbooks.Module {
	longest := -1
	var all []*playbooks.Module
	for _, m := range modules {
		n := len(m.TagPrefix)
		if !strings.HasPrefix(tag, m.TagPrefix) || n == len(tag) || n < longest {
			continue
		}
		if n > longest {
			longest, all = n, nil
		}
		all = append(all, m)
	}
	return all
}

// building collects what is known of the builds of one pipeline.
type building struct {
	g        *GitLab
	project  string
	pipeline *gl.Pipeline
	state    string
	reports  []buildReport
	commit   *gl.Commit // once it was read
}

func (b *building) all(ctx context.Context, modules []*playbooks.Module) ([]playbooks.BuildState, error) {
	if b.state == playbooks.BuildPassed {
		if err := b.readReports(ctx); err != nil {
			return nil, err
		}
	}
	tests, err := b.tests(ctx)
	if err != nil {
		return nil, err
	}
	coverage, _ := strconv.ParseFloat(b.pipeline.Coverage, 64)
	p := b.pipeline
	var all []playbooks.BuildState
	for _, m := range modules {
		report := b.report(m)
		version, err := b.version(ctx, m, report)
		if err != nil {
			return nil, err
		}
		build := playbooks.BuildState{
			Module: m.Name, Version: version, State: b.state, Link: b.g.page(b.project, fmt.Sprintf("pipelines/%d", p.ID)), Commit: p.SHA, Ref: p.Ref,
			At: atOr(atOr(time.Time{}, p.UpdatedAt), p.FinishedAt).UTC(), Image: report.Image, Digest: report.Digest, Checksum: report.Checksum,
			Tests: tests, Coverage: coverage,
		}
		if b.state == playbooks.BuildPassed && build.Digest == "" {
			if err := b.image(ctx, m, len(b.g.modulesOf(b.project)), &build); err != nil {
				return nil, err
			}
		}
		all = append(all, build)
	}
	return all, nil
}

// buildReport is what a pipeline says it built.
type buildReport struct {
	Module   string `json:"module"` // empty: every module of the project without a report of its own
	Version  string `json:"version"`
	Image    string `json:"image"`
	Digest   string `json:"digest"`
	Checksum string `json:"checksum"`
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// parseReport reads a build report. The error is for people.
func parseReport(data []byte) (buildReport, error) {
	var r buildReport
	if err := json.Unmarshal(data, &r); err != nil {
		return r, err
	}
	if name, digest, ok := strings.Cut(r.Image, "@"); ok {
		if r.Digest != "" && r.Digest != digest {
			return r, fmt.Errorf("the image has digest %q and the report %q", clip(digest, 80), clip(r.Digest, 80))
		}
		r.Image, r.Digest = name, digest
	}
	if r.Digest != "" && !digestForm.MatchString(r.Digest) {
		return r, fmt.Errorf("%q is no digest", clip(r.Digest, 80))
	}
	if slash := strings.LastIndexByte(r.Image, '/'); slash >= 0 { // a tag names nothing for good
		if colon := strings.IndexByte(r.Image[slash:], ':'); colon >= 0 {
			r.Image = r.Image[:slash+colon]
		}
	}
	for _, s := range []string{r.Module, r.Version, r.Image, r.Checksum} {
		if len(s) > 512 || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
			return r, fmt.Errorf("%q cannot be a name", clip(s, 80))
		}
	}
	return r, nil
}

// readReports looks for build reports in the artifacts of the jobs that succeeded, in their order.
// One that cannot be understood is logged and left out: it says nothing of what was built.
func (b *building) readReports(ctx context.Context) error {
	jobs, err := b.g.jobsOf(ctx, b.project, b.pipeline.ID)
	if err != nil {
		return err
	}
	slices.SortFunc(jobs, func(a, b *gl.Job) int { return int(a.ID - b.ID) })
	asked := 0
	for _, j := range jobs {
		archive := j.ArtifactsFile.Filename != "" || slices.ContainsFunc(j.Artifacts, func(a gl.JobArtifact) bool { return a.FileType == "archive" })
		if j.Status != statusSuccess || !archive {
			continue
		}
		if asked++; asked > mostReports {
			b.g.log.Warn("gitlab: not every job of a pipeline was asked for a build report", "project", b.project, "pipeline", b.pipeline.ID, "jobs", mostReports)
			return nil
		}
		name := b.g.options.BuildReport
		data, err := ask(ctx, b.g, fmt.Sprintf("read artifact %q of job %d of %q", name, j.ID, b.project), func(with ...gl.RequestOptionFunc) ([]byte, *gl.Response, error) {
			r, response, err := b.g.api.Jobs.DownloadSingleArtifactsFile(b.project, j.ID, pathEscape(name), with...)
			if err != nil {
				return nil, response, err
			}
			data, err := io.ReadAll(io.LimitReader(r, mostReport+1))
			return data, response, err
		})
		if isGone(err) || isPermanent(err) {
			continue // this job has none
		}
		if err != nil {
			return err
		}
		r, err := parseReport(bytes.TrimSpace(data))
		if len(data) > mostReport {
			err = fmt.Errorf("it is larger than %d KiB", mostReport>>10)
		}
		if err != nil {
			b.g.log.Warn("gitlab: a build report is left out", "project", b.project, "pipeline", b.pipeline.ID, "job", j.Name, "error", err)
			continue
		}
		b.reports = append(b.reports, r)
	}
	return nil
}

// report is what is said of a module: by a report of its own, or by those that are of all. What
// one does not say another may.
func (b *building) report(m *playbooks.Module) buildReport {
	own := slices.ContainsFunc(b.reports, func(r buildReport) bool { return r.Module == m.Name })
	var all buildReport
	for _, r := range b.reports {
		if r.Module == m.Name || r.Module == "" && !own {
			set(&all.Version, r.Version)
			if all.Image == "" || all.Image == r.Image {
				set(&all.Digest, r.Digest)
			}
			set(&all.Image, r.Image)
			set(&all.Checksum, r.Checksum)
		}
	}
	return all
}

func set(to *string, value string) {
	if *to == "" {
		*to = value
	}
}

// tests is what the tests came to, in words; empty where there were none.
func (b *building) tests(ctx context.Context) (string, error) {
	summary, err := ask(ctx, b.g, fmt.Sprintf("read the test summary of pipeline %d of %q", b.pipeline.ID, b.project), func(with ...gl.RequestOptionFunc) (*gl.PipelineTestReportSummary, *gl.Response, error) {
		return b.g.api.Pipelines.GetPipelineTestReportSummary(b.project, b.pipeline.ID, with...)
	})
	if isPermanent(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	t := summary.Total
	if t.Count == 0 {
		return "", nil
	}
	words := []string{fmt.Sprintf("%d passed", t.Success)}
	if failed := t.Failed + t.Error; failed > 0 {
		words = append(words, fmt.Sprintf("%d failed", failed))
	}
	if t.Skipped > 0 {
		words = append(words, fmt.Sprintf("%d skipped", t.Skipped))
	}
	return strings.Join(words, ", "), nil
}

// version is what the build of a module is called.
func (b *building) version(ctx context.Context, m *playbooks.Module, r buildReport) (string, error) {
	switch {
	case b.pipeline.Tag:
		return strings.TrimPrefix(b.pipeline.Ref, m.TagPrefix), nil
	case r.Version != "":
		return r.Version, nil
	}
	commit, err := b.theCommit(ctx)
	if err != nil {
		return "", err
	}
	before, err := b.g.versionBefore(ctx, b.project, m.TagPrefix, b.pipeline.SHA)
	if err != nil {
		return "", err
	}
	return pseudoVersion(before, *commit.CommittedDate, b.pipeline.SHA), nil
}

// theCommit is the commit that was built, with its date.
func (b *building) theCommit(ctx context.Context) (*gl.Commit, error) {
	if b.commit != nil {
		return b.commit, nil
	}
	what := fmt.Sprintf("read commit %q of %q", short(b.pipeline.SHA), b.project)
	c, err := ask(ctx, b.g, what, func(with ...gl.RequestOptionFunc) (*gl.Commit, *gl.Response, error) {
		return b.g.api.Commits.GetCommit(b.project, b.pipeline.SHA, nil, with...)
	})
	if err == nil && c.CommittedDate == nil {
		err = refuse("%s: it has no date", what)
	}
	if err != nil {
		return nil, err
	}
	b.commit = c
	return c, nil
}

// pseudoVersion names a commit after the version before it, which may lack the v that Go's have; empty:
// there is none.
func pseudoVersion(before string, at time.Time, commit string) string {
	with := before
	if before != "" && before[0] != 'v' {
		with = "v" + before
	}
	version := module.PseudoVersion(semver.Major(with), with, at.UTC(), commit[:min(len(commit), 12)])
	if with != before {
		version = version[1:]
	}
	return version
}

// versionBefore is the highest version that is tagged on an ancestor of a commit, not on itself; empty if there
// is none.
func (g *GitLab) versionBefore(ctx context.Context, project, prefix, commit string) (string, error) {
	o := gl.ListTagsOptions{OrderBy: gl.Ptr("updated"), Sort: gl.Ptr("desc")}
	if prefix != "" {
		o.Search = gl.Ptr("^" + prefix)
	}
	tags, _, err := pages(ctx, g, mostVersions, fmt.Sprintf("list tags of %q", project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.Tag, *gl.Response, error) {
		o := o
		o.ListOptions = page
		return g.api.Tags.ListTags(project, &o, with...)
	})
	if err != nil {
		return "", err
	}
	canonical := func(t *gl.Tag) string {
		version := strings.TrimPrefix(t.Name, prefix)
		if version != "" && version[0] != 'v' {
			version = "v" + version
		}
		// Go makes none after v1.2, which is no whole version.
		if c := semver.Canonical(version); c == "" || c != strings.TrimSuffix(version, semver.Build(version)) || module.IsPseudoVersion(version) {
			return ""
		}
		return version
	}
	tags = slices.DeleteFunc(tags, func(t *gl.Tag) bool {
		return t.Commit == nil || t.Commit.ID == commit || !strings.HasPrefix(t.Name, prefix) || canonical(t) == ""
	})
	slices.SortStableFunc(tags, func(a, b *gl.Tag) int { return -semver.Compare(canonical(a), canonical(b)) })
	for _, t := range tags[:min(len(tags), mostAncestors)] {
		base, err := ask(ctx, g, fmt.Sprintf("find where %q and %q part in %q", t.Name, short(commit), project), func(with ...gl.RequestOptionFunc) (*gl.Commit, *gl.Response, error) {
			return g.api.Repositories.MergeBase(project, &gl.MergeBaseOptions{Ref: &[]string{t.Commit.ID, commit}}, with...)
		})
		if err != nil && !isPermanent(err) {
			return "", err
		}
		if err == nil && base.ID == t.Commit.ID {
			return strings.TrimPrefix(t.Name, prefix), nil
		}
	}
	return "", nil
}

// image asks the project's container registry for the image of a build, which is tagged with its version or its commit.
// A registry that is off, or has nothing that fits, is no error.
func (b *building) image(ctx context.Context, m *playbooks.Module, modules int, build *playbooks.BuildState) error {
	all, _, err := pages(ctx, b.g, perPage, fmt.Sprintf("list container repositories of %q", b.project), func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.RegistryRepository, *gl.Response, error) {
		return b.g.api.ContainerRegistry.ListProjectRegistryRepositories(b.project, &gl.ListProjectRegistryRepositoriesOptions{ListOptions: page}, with...)
	})
	if isPermanent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	repository := choose(all, m.Name, build.Image, modules)
	if repository == nil {
		return nil
	}
	for _, name := range []string{build.Version, b.pipeline.Ref, b.pipeline.SHA, b.pipeline.SHA[:min(len(b.pipeline.SHA), 8)]} {
		if name == b.pipeline.Ref && !b.pipeline.Tag || !imageTag.MatchString(name) {
			continue // a branch moves on
		}
		tag, err := ask(ctx, b.g, fmt.Sprintf("read tag %q of container repository %q", name, repository.Path), func(with ...gl.RequestOptionFunc) (*gl.RegistryRepositoryTag, *gl.Response, error) {
			return b.g.api.ContainerRegistry.GetRegistryRepositoryTagDetail(b.project, repository.ID, name, with...)
		})
		if err != nil && !isPermanent(err) {
			return err
		}
		if err == nil && digestForm.MatchString(tag.Digest) {
			build.Image, build.Digest = repository.Location, tag.Digest
			return nil
		}
	}
	return nil
}

// imageTag is what tags of images look like: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
var imageTag = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// choose is the repository that a module's image is in: the one that the build report names, else the one that is
// called like the module, else the only one of a project with one module.
func choose(all []*gl.RegistryRepository, name, image string, modules int) *gl.RegistryRepository {
	for _, r := range all {
		if image != "" && r.Location == image {
			return r
		}
	}
	if image != "" {
		return nil // it is elsewhere
	}
	for _, r := range all {
		if r.Name == name {
			return r
		}
	}
	if len(all) == 1 && modules == 1 {
		return all[0]
	}
	return nil
}
