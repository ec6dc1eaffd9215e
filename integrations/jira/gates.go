package jira

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/muster-release/muster/integrations/calls"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// Kinds of gate that this adapter answers.
const (
	GateStories      = "stories"       // every story of the change has a status that is allowed
	GateBlockers     = "blockers"      // no blocker is open in a version or component
	GateVersionCheck = "version-check" // a version and the code have the same stories
)

const (
	// mostEvidence is how many pieces of evidence an answer has.
	mostEvidence = 8
	// lookSoon is when to look again at what people still have to do. Events make it sooner.
	lookSoon = time.Minute
	// mostFound is how many issues a gate's search counts.
	mostFound = 500
)

// Gates returns what answers the gates of this Jira, by kind. Each answers with the issues that it rests on.
// A parameter that is missing or names nothing fails the gate, in words: it is the configuration that is wrong
// then, and nothing passes by mistake.
func (j *Jira) Gates() map[string]steps.Gater {
	return map[string]steps.Gater{GateStories: gate(j.storiesGate), GateBlockers: gate(j.blockersGate), GateVersionCheck: gate(j.versionGate)}
}

// gate is a steps.Gater.
type gate func(context.Context, steps.GateQuery) (steps.GateAnswer, error)

func (g gate) Check(ctx context.Context, q steps.GateQuery) (steps.GateAnswer, error) {
	return g(ctx, q)
}

func failed(format string, args ...any) (steps.GateAnswer, error) {
	return steps.GateAnswer{Phase: steps.Failed, Message: fmt.Sprintf(format, args...)}, nil
}

// asked are the parameters of a gate.
type asked struct{ q steps.GateQuery }

// param is a parameter with what stands in braces filled in: {version}, {module}, {environment}, {run}.
func (a asked) param(name string) string {
	return a.filled(name, func(s string) string { return s })
}

// query is a parameter that is JQL. What is filled in cannot end the string that it stands in.
func (a asked) query(name string) string {
	return a.filled(name, strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`).Replace)
}

func (a asked) filled(name string, safe func(string) string) string {
	return strings.TrimSpace(strings.NewReplacer(
		"{version}", safe(a.q.Version), "{module}", safe(a.q.Module), "{environment}", safe(a.q.Environment), "{run}", safe(a.q.Run),
	).Replace(a.q.Gate.Params[name]))
}

// list is a parameter with several values, with commas between them.
func (a asked) list(name string) []string {
	var all []string
	for part := range strings.SplitSeq(a.param(name), ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

// projects are those that a gate looks at: the ones that it names, or else those of stories, or else that of release
// issues.
func (j *Jira) projects(a asked) []string {
	if named := a.list("project"); len(named) > 0 {
		return named
	}
	if len(j.o.StoryProjects) > 0 {
		return j.o.StoryProjects
	}
	return []string{j.o.Project}
}

// code is what the code says of stories: those that its commits and merge requests name.
type code struct {
	keys    []string
	issues  map[string]*issue // those that Jira knows, by the key that the code names
	unknown []string          // keys that it does not
	partial string            // why not all is known; empty: it is
}

// codeOf reads the stories of a module's change, as they are now.
func (j *Jira) codeOf(ctx context.Context, q steps.GateQuery) (*code, error) {
	if j.o.Changes == nil {
		return nil, refuse("gate %q: nothing is configured that knows what %s %s brings", q.Gate.Kind, q.Module, q.Version)
	}
	changes, err := j.o.Changes(ctx, q.Environment, q.Module, q.Version)
	if err != nil {
		return nil, fmt.Errorf("jira: gate %q: ask what %s %s brings: %w", q.Gate.Kind, q.Module, q.Version, err)
	}
	c := &code{partial: changes.Unknown}
	for _, s := range changes.Stories {
		if !slices.Contains(c.keys, s.Key) {
			c.keys = append(c.keys, s.Key)
		}
	}
	if c.partial == "" && changes.More > 0 {
		c.partial = fmt.Sprintf("there are %d more commits than are looked at", changes.More)
	}
	if c.issues, err = j.issues(ctx, c.keys); err != nil {
		return nil, err
	}
	for _, key := range c.keys {
		if c.issues[key] == nil {
			c.unknown = append(c.unknown, key)
		}
	}
	return c, nil
}

// strangers are unknown keys that are certainly keys: those of a project of stories, or of one that others
// of the change are in. The rest only looks like keys ("UTF-8").
func (j *Jira) strangers(c *code) (certain, doubtful []string) {
	known := slices.Clone(j.o.StoryProjects)
	for _, i := range c.issues {
		project, _ := keyNumber(i.Key)
		known = append(known, project)
	}
	for _, key := range c.unknown {
		if project, _ := keyNumber(key); slices.Contains(known, project) {
			certain = append(certain, key)
		} else {
			doubtful = append(doubtful, key)
		}
	}
	return certain, doubtful
}

// storiesGate passes when every story of the change has a status of parameter allowed; without that one that
// is done for Jira. Types, when given, are the only types of issue that count. It is not yet passed while people can
// still move stories, and fails when it cannot know all of them.
func (j *Jira) storiesGate(ctx context.Context, q steps.GateQuery) (steps.GateAnswer, error) {
	a := asked{q}
	c, err := j.codeOf(ctx, q)
	if err != nil {
		return steps.GateAnswer{}, err
	}
	if c.partial != "" {
		return failed("not every story of %s %s can be known: %s", q.Module, q.Version, c.partial)
	}
	allowed, types := a.list("allowed"), a.list("types")
	var open, good []*issue
	for _, key := range c.keys {
		i := c.issues[key]
		switch {
		case i == nil || !counts(i, types):
		case isAllowed(i.status(), allowed):
			good = append(good, i)
		default:
			open = append(open, i)
		}
	}
	strange, doubtful := j.strangers(c)
	if len(strange) > 0 {
		return steps.GateAnswer{
			Phase: steps.Failed, Message: fmt.Sprintf("the code names %s, which Jira does not know or does not show to Muster", count(len(strange), "story", "stories")+": "+listed(strange)),
			Evidence: evidence(j.facts(open), j.facts(good)),
		}, nil
	}
	answer := steps.GateAnswer{Phase: steps.Succeeded, Evidence: evidence(j.facts(open), j.facts(good))}
	switch {
	case len(open) > 0:
		answer.Phase, answer.CheckAfter = steps.Running, lookSoon
		answer.Message = fmt.Sprintf("%s of %d not %s yet: %s", count(len(open), "story", "stories"), len(open)+len(good), words(allowed, "done"), j.standing(open))
	case len(good) == 0:
		answer.Message = "the change names no story"
	default:
		answer.Message = fmt.Sprintf("%s, all %s", count(len(good), "story", "stories"), words(allowed, "done"))
	}
	if len(doubtful) > 0 {
		answer.Message += "; no issue for Jira, so left out: " + listed(doubtful)
	}
	return answer, nil
}

// counts reports whether an issue is of one of the types; all are where none is named.
func counts(i *issue, types []string) bool {
	var kind struct{ Name string }
	i.read("issuetype", &kind)
	return len(types) == 0 || contains(types, kind.Name)
}

func isAllowed(s status, allowed []string) bool {
	if len(allowed) == 0 {
		return s.Category.Key == "done"
	}
	return contains(allowed, s.Name)
}

// contains reports whether a name is among others; in which case does not matter.
func contains(all []string, name string) bool {
	return slices.ContainsFunc(all, func(one string) bool { return strings.EqualFold(one, name) })
}

// facts are issues as evidence: key, status, title and link.
func (j *Jira) facts(all []*issue) []playbooks.Evidence {
	facts := make([]playbooks.Evidence, 0, min(len(all), mostEvidence))
	for _, i := range all[:min(len(all), mostEvidence)] {
		s := j.storyOf(i)
		facts = append(facts, playbooks.Evidence{Name: s.Key, Text: calls.Clip(strings.TrimSpace(s.Status+": "+oneLine(s.Title, 120)), 200), Link: s.Link})
	}
	return facts
}

// evidence is as much of several lists, one after the other, as an answer may have.
func evidence(lists ...[]playbooks.Evidence) []playbooks.Evidence {
	all := slices.Concat(lists...)
	return all[:min(len(all), mostEvidence)]
}

// standing says where issues stand, grouped by status.
func (j *Jira) standing(all []*issue) string {
	by := map[string][]string{}
	for _, i := range all {
		by[i.status().Name] = append(by[i.status().Name], i.Key)
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%s (%s)", listed(by[name]), name))
	}
	return strings.Join(parts, ", ")
}

// listed names the first of many.
func listed(all []string) string {
	const most = 6
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:most-1], ", "), len(all)-most+1)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// words are names with "or" between them, or what stands for none.
func words(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, " or ")
}
