package jira

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// versionGate passes when the version of the parameters holds the very stories that the change brings. It fails
// when something is in the version but not in the code, or in the code but not in the version. With
// component only those issues of the version count that are in it, with types only those types.
func (j *Jira) versionGate(ctx context.Context, q steps.GateQuery) (steps.GateAnswer, error) {
	a := asked{q}
	projects, version, components, types := j.projects(a), a.param("version"), a.list("component"), a.list("types")
	if version == "" {
		return failed("the gate %q does not name a version, so there is nothing to compare the code with", GateVersionCheck)
	}
	c, err := j.codeOf(ctx, q)
	if err != nil {
		return steps.GateAnswer{}, err
	}
	if c.partial != "" {
		return failed("not every story of %s %s can be known, so the version cannot be compared: %s", q.Module, q.Version, c.partial)
	}
	ids, err := j.versionIDs(ctx, projects, version)
	if err != nil {
		return steps.GateAnswer{}, err
	}
	if len(ids) == 0 {
		return failed("there is no version %q in %s: make it in Jira, with the stories of %s %s", version, strings.Join(projects, ", "), q.Module, q.Version)
	}
	jql := "fixVersion in (" + quoteAll(ids) + ")"
	if len(components) > 0 {
		in, wrong, err := j.inComponents(ctx, GateVersionCheck, projects, components)
		if err != nil || wrong != "" {
			return steps.GateAnswer{Phase: steps.Failed, Message: wrong}, err
		}
		jql += " AND " + in
	}
	planned, err := j.search(ctx, "search for the stories of version "+version, jql+" ORDER BY created ASC", storyFields(), mostFound)
	if isPermanent(err) {
		return failed("the search for the stories of version %q is refused, so the gate cannot tell: %v", version, err)
	}
	if err != nil {
		return steps.GateAnswer{}, err
	}
	if len(planned) == mostFound {
		return failed("version %q has more than the %d stories that are compared", version, mostFound)
	}
	// By their IDs, for a story may have had another key when the code was written.
	coded := map[string]bool{}
	for _, i := range c.issues {
		coded[i.ID] = true
	}
	planned = slices.DeleteFunc(planned, func(i issue) bool { return coded[i.ID] || !counts(&i, types) })
	uncoded, err := j.fresh(ctx, planned)
	if err != nil {
		return steps.GateAnswer{}, err
	}
	uncoded = slices.DeleteFunc(uncoded, func(i *issue) bool { return !i.inVersion(ids...) })
	return j.compare(q, c, uncoded, ids, projects, types, version), nil
}

func (j *Jira) compare(q steps.GateQuery, c *code, uncoded []*issue, ids, projects, types []string, name string) steps.GateAnswer {
	var unplanned, both []*issue
	for _, key := range c.keys {
		i := c.issues[key]
		if i == nil || !counts(i, types) {
			continue
		}
		project, _ := keyNumber(i.Key)
		switch {
		case !slices.Contains(projects, project):
		case i.inVersion(ids...):
			both = append(both, i)
		default:
			unplanned = append(unplanned, i)
		}
	}
	strange, _ := j.strangers(c)
	var wrong []string
	if len(uncoded) > 0 {
		wrong = append(wrong, fmt.Sprintf("in the version but not in the code: %s", j.keys(uncoded)))
	}
	if len(unplanned) > 0 {
		wrong = append(wrong, fmt.Sprintf("in the code but not in the version: %s", j.keys(unplanned)))
	}
	if len(strange) > 0 {
		wrong = append(wrong, fmt.Sprintf("in the code and unknown to Jira, or hidden from Muster: %s", listed(strange)))
	}
	if len(wrong) > 0 {
		return steps.GateAnswer{
			Phase: steps.Failed, Message: fmt.Sprintf("version %q is not what %s %s is: %s", name, q.Module, q.Version, strings.Join(wrong, "; ")),
			Evidence: evidence(halves(j.facts(uncoded), j.facts(unplanned))),
		}
	}
	return steps.GateAnswer{
		Phase: steps.Succeeded, Message: fmt.Sprintf("version %q and the code have the same %s", name, count(len(both), "story", "stories")),
		Evidence: evidence(j.facts(both)),
	}
}

// halves are two lists of evidence such that neither crowds the other out.
func halves(a, b []playbooks.Evidence) []playbooks.Evidence {
	n := max(mostEvidence/2, mostEvidence-len(b))
	return slices.Concat(a[:min(len(a), n)], b)
}

func (j *Jira) keys(all []*issue) string {
	keys := make([]string, len(all))
	for n, i := range all {
		keys[n] = i.Key
	}
	return listed(keys)
}
