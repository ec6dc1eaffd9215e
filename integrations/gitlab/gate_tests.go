package gitlab

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// mostNames is how many failing tests an answer names.
const mostNames = 10

// report is what a pipeline's tests came to.
type testReport struct {
	count, failed int
	failing       map[string]bool // suite, class and name of each that failed
}

// readTests returns the test report of a pipeline; count is 0 where there is none. A suite that
// could not be read is an error text, for nobody knows what is in it.
func (g *GitLab) readTests(ctx context.Context, project string, pipeline int64) (r testReport, broken string, err error) {
	summary, err := ask(ctx, g, fmt.Sprintf("read the test summary of pipeline %d of %q", pipeline, project), func(with ...gl.RequestOptionFunc) (*gl.PipelineTestReportSummary, *gl.Response, error) {
		return g.api.Pipelines.GetPipelineTestReportSummary(project, pipeline, with...)
	})
	if err != nil {
		return r, "", err
	}
	for _, s := range summary.TestSuites {
		if s.SuiteError != nil && *s.SuiteError != "" {
			broken = fmt.Sprintf("the report of %s cannot be read: %s", s.Name, *s.SuiteError)
		}
	}
	r.count, r.failed = int(summary.Total.Count), int(summary.Total.Failed+summary.Total.Error)
	if r.failed == 0 {
		return r, broken, nil // the whole report, which can be large, would say nothing more
	}
	whole, err := ask(ctx, g, fmt.Sprintf("read the test report of pipeline %d of %q", pipeline, project), func(with ...gl.RequestOptionFunc) (*gl.PipelineTestReport, *gl.Response, error) {
		return g.api.Pipelines.GetPipelineTestReport(project, pipeline, with...)
	})
	if err != nil {
		return r, "", err
	}
	r.failing = failing(whole)
	return r, broken, nil
}

// failing are the tests of a report that failed.
func failing(r *gl.PipelineTestReport) map[string]bool {
	all := make(map[string]bool)
	for _, suite := range r.TestSuites {
		for _, t := range suite.TestCases {
			if t.Status != "failed" && t.Status != "error" {
				continue
			}
			name := suite.Name + ": "
			if t.Classname != "" && t.Classname != t.Name {
				name += t.Classname + " "
			}
			all[name+t.Name] = true
		}
	}
	return all
}

// tests passes when not too many tests fail.
func (a *asking) tests(ctx context.Context) (steps.GateAnswer, error) {
	mayBeNew, newGiven, err := a.number("new")
	if err != nil {
		return steps.GateAnswer{}, err
	}
	mayFail, totalGiven, err := a.number("total")
	if err != nil {
		return steps.GateAnswer{}, err
	}
	p, s, answer, err := a.built(ctx)
	if answer != nil || err != nil {
		return orNone(answer), err
	}
	evidence := pipelineEvidence(p, s.status)
	if !ended(s.status) {
		return notYet(fmt.Sprintf("%s: %s", a.name(), s.words(p.ID)), evidence), nil
	}
	report, broken, err := a.g.readTests(ctx, a.project, p.ID)
	switch {
	case err != nil:
		return steps.GateAnswer{}, err
	case broken != "":
		return no(fmt.Sprintf("%s: %s", a.name(), broken), evidence), nil
	case report.count == 0:
		return no(fmt.Sprintf("%s: pipeline %d reports no tests", a.name(), p.ID), evidence), nil
	}
	evidence.Name, evidence.Text = "tests", fmt.Sprintf("%d of %d failed", report.failed, report.count)
	if report.failed == 0 {
		return yes(fmt.Sprintf("%s: all %d tests passed or were skipped", a.name(), report.count), evidence), nil
	}
	if totalGiven && float64(report.failed) > mayFail {
		return no(fmt.Sprintf("%s: %d of %d tests failed, and %v may", a.name(), report.failed, report.count, mayFail),
			append([]playbooks.Evidence{evidence}, failedNames(slices.Sorted(maps.Keys(report.failing))))...), nil
	}
	if totalGiven && !newGiven {
		return yes(fmt.Sprintf("%s: %d of %d tests failed, and %v may", a.name(), report.failed, report.count, mayFail), evidence), nil
	}
	before, known, against, err := a.failedBefore(ctx)
	if err != nil {
		return steps.GateAnswer{}, err
	}
	fresh := make([]string, 0, len(report.failing))
	for name := range report.failing {
		if !before[name] {
			fresh = append(fresh, name)
		}
	}
	// Tests of one name fail as one, so none that is counted is forgotten.
	count := len(fresh)
	if !known {
		count = max(count, report.failed)
	}
	slices.Sort(fresh)
	text := fmt.Sprintf("%s: %d of %d tests failed, %d of them new (%s)", a.name(), report.failed, report.count, count, against)
	if float64(count) > mayBeNew {
		return no(text, evidence, failedNames(fresh)), nil
	}
	return yes(text, evidence), nil
}

func failedNames(all []string) playbooks.Evidence {
	text := ""
	for i, name := range all {
		if i == mostNames {
			text += fmt.Sprintf("\nand %d more", len(all)-i)
			break
		}
		if i > 0 {
			text += "\n"
		}
		text += clip(name, traceLine)
	}
	return playbooks.Evidence{Name: "failed", Text: text}
}

// failedBefore returns the tests that fail in what is live, and words for what is compared with.
// Where that is not known, every failure is new.
func (a *asking) failedBefore(ctx context.Context) (tests map[string]bool, known bool, words string, err error) {
	version, commit, err := a.live(ctx)
	switch {
	case isPermanent(err):
		return nil, false, "what is live cannot be compared with", nil
	case err != nil:
		return nil, false, "", err
	case version == "":
		return nil, false, "nothing is live there yet", nil
	}
	p, err := a.g.pipelineOf(ctx, a.project, commit, a.refOf(version))
	if err != nil {
		return nil, false, "", err
	}
	if p == nil {
		return nil, false, fmt.Sprintf("%s, which is live, has no pipeline any more", version), nil
	}
	report, broken, err := a.g.readTests(ctx, a.project, p.ID)
	switch {
	case err != nil:
		return nil, false, "", err
	case broken != "" || report.count == 0:
		return nil, false, fmt.Sprintf("%s, which is live, has no test report", version), nil
	}
	return report.failing, true, "compared with " + version + ", which is live", nil
}

// refOf is the ref that the pipeline of what is live has to be of: the same branch, or that
// version's own tag where the gate names this version's.
func (a *asking) refOf(version string) string {
	ref := a.Gate.Params["ref"]
	if ref == a.module.TagPrefix+a.Version {
		return a.module.TagPrefix + version
	}
	return ref
}

// coverage passes when enough is covered, and not much less than in what is live.
func (a *asking) coverage(ctx context.Context) (steps.GateAnswer, error) {
	least, leastGiven, err := a.number("least")
	if err != nil {
		return steps.GateAnswer{}, err
	}
	drop, dropGiven, err := a.number("drop")
	if err != nil {
		return steps.GateAnswer{}, err
	}
	if !leastGiven && !dropGiven {
		return steps.GateAnswer{}, refuse("gate coverage of %s: it says neither least nor drop", a.Module)
	}
	p, s, answer, err := a.built(ctx)
	if answer != nil || err != nil {
		return orNone(answer), err
	}
	evidence := pipelineEvidence(p, s.status)
	if !ended(s.status) {
		return notYet(fmt.Sprintf("%s: %s", a.name(), s.words(p.ID)), evidence), nil
	}
	covered, measured := percent(p.Coverage)
	if !measured {
		return no(fmt.Sprintf("%s: pipeline %d measured no coverage", a.name(), p.ID), evidence), nil
	}
	evidence.Name, evidence.Text = "coverage", points(covered)
	text := fmt.Sprintf("%s: %s covered", a.name(), points(covered))
	if leastGiven && covered < least {
		return no(fmt.Sprintf("%s, and %s is the least", text, points(least)), evidence), nil
	}
	if leastGiven {
		text += fmt.Sprintf(", at least %s asked for", points(least))
	}
	if !dropGiven {
		return yes(text, evidence), nil
	}
	version, commit, err := a.live(ctx)
	switch {
	case isPermanent(err):
		return no(fmt.Sprintf("%s, and what is live cannot be compared with: %v", text, err), evidence), nil
	case err != nil:
		return steps.GateAnswer{}, err
	case version == "":
		return yes(text+", and nothing is live there to compare with", evidence), nil
	}
	old, err := a.g.pipelineOf(ctx, a.project, commit, a.refOf(version))
	if err != nil {
		return steps.GateAnswer{}, err
	}
	if old == nil {
		return no(fmt.Sprintf("%s, and %s, which is live, has no pipeline to compare with", text, version), evidence), nil
	}
	before, measured := percent(old.Coverage)
	if !measured {
		return no(fmt.Sprintf("%s, and pipeline %d of %s, which is live, measured none to compare with", text, old.ID, version), evidence), nil
	}
	live := playbooks.Evidence{Name: "coverage of " + version, Text: points(before), Link: old.WebURL}
	text += fmt.Sprintf("; %s, which is live, has %s", version, points(before))
	const rounding = 1e-9
	if covered < before-drop-rounding {
		return no(fmt.Sprintf("%s, and %v points less are the most", text, drop), evidence, live), nil
	}
	return yes(text, evidence, live), nil
}

// percent reads a coverage as GitLab writes it, "81.50".
func percent(s string) (float64, bool) {
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil && v >= 0 && v <= 100
}

func points(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) + " %" }
