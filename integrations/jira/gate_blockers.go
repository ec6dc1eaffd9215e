package jira

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-release/muster/playbooks/steps"
)

// blockersGate passes when no issue of the parameters' priorities is open in the version, or in the component, or
// in what jql finds. It fails otherwise: somebody has to decide, or to fix it. The search is one of Jira's index,
// so that a blocker that was written a moment ago may be missing.
func (j *Jira) blockersGate(ctx context.Context, q steps.GateQuery) (steps.GateAnswer, error) {
	a := asked{q}
	projects, version, components, more := j.projects(a), a.param("version"), a.list("component"), a.query("jql")
	if version == "" && len(components) == 0 && more == "" {
		return failed("the gate %q names neither a version nor a component nor jql, so there is nowhere to look for blockers", GateBlockers)
	}
	priorities, wrong, err := j.priorities(ctx, a)
	if err != nil || wrong != "" {
		return steps.GateAnswer{Phase: steps.Failed, Message: wrong}, err
	}
	var places, where []string
	if version != "" {
		ids, err := j.versionIDs(ctx, projects, version)
		if err != nil {
			return steps.GateAnswer{}, err
		}
		where = append(where, fmt.Sprintf("version %q", version))
		if len(ids) > 0 { // otherwise nobody has made it yet, and nothing is in it
			places = append(places, "fixVersion in ("+quoteAll(ids)+")")
		}
	}
	if len(components) > 0 {
		in, wrong, err := j.inComponents(ctx, GateBlockers, projects, components)
		if err != nil || wrong != "" {
			return steps.GateAnswer{Phase: steps.Failed, Message: wrong}, err
		}
		where = append(where, "component "+listed(components))
		places = append(places, in)
	}
	if more != "" {
		where = append(where, "what the gate's jql finds")
		places = append(places, "("+more+")")
	}
	text := strings.Join(where, " and ")
	if len(places) == 0 {
		return steps.GateAnswer{Phase: steps.Succeeded, Message: "no open blocker in " + text + ", which nobody has made yet"}, nil
	}
	jql := fmt.Sprintf("project in (%s) AND statusCategory != Done AND priority in (%s) AND (%s) ORDER BY created ASC",
		quoteAll(projects), quoteAll(priorities), strings.Join(places, " OR "))
	found, err := j.search(ctx, "search for blockers", jql, storyFields(), mostFound)
	if isPermanent(err) {
		return failed("the search for blockers is refused, so the gate cannot tell: %v", err)
	}
	if err != nil {
		return steps.GateAnswer{}, err
	}
	open, err := j.fresh(ctx, found)
	if err != nil {
		return steps.GateAnswer{}, err
	}
	open = slices.DeleteFunc(open, func(i *issue) bool { return i.status().Category.Key == "done" })
	if len(open) == 0 {
		return steps.GateAnswer{Phase: steps.Succeeded, Message: "no open blocker in " + text}, nil
	}
	number := count(len(open), "open blocker", "open blockers")
	if len(open) == mostFound {
		number = fmt.Sprintf("at least %d open blockers", mostFound)
	}
	return steps.GateAnswer{Phase: steps.Failed, Message: fmt.Sprintf("%s in %s: %s", number, text, j.standing(open)), Evidence: evidence(j.facts(open))}, nil
}

// priorities are the IDs of those that block. Jira refuses a search for one that there is not, and Jiras name them
// differently: it is enough if one of the usual names is there.
func (j *Jira) priorities(ctx context.Context, a asked) (ids []string, wrong string, err error) {
	var all []struct{ ID, Name string }
	if err := j.get(ctx, "list the priorities", "priority", nil, &all); err != nil {
		return nil, "", err
	}
	wanted := a.list("priority")
	usual := len(wanted) == 0
	if usual {
		wanted = []string{"Blocker", "Highest"}
	}
	var names, missing []string
	for _, p := range all {
		names = append(names, p.Name)
		if contains(wanted, p.Name) && ident(p.ID) != "" {
			ids = append(ids, p.ID)
		}
	}
	for _, w := range wanted {
		if !contains(names, w) {
			missing = append(missing, w)
		}
	}
	if len(missing) > 0 && (!usual || len(ids) == 0) {
		return nil, fmt.Sprintf("there is no priority %s: the gate %q may name %s", words(missing, ""), GateBlockers, words(names, "none")), nil
	}
	return ids, "", nil
}

// versionIDs are those of the versions of that name, one for each project that has it.
func (j *Jira) versionIDs(ctx context.Context, projects []string, name string) ([]string, error) {
	var ids []string
	for _, project := range projects {
		v, err := j.findVersion(ctx, project, name)
		if err != nil {
			return nil, err
		}
		if v != nil && ident(v.ID) != "" {
			ids = append(ids, v.ID)
		}
	}
	return ids, nil
}

// inComponents is JQL for what is in a component of those names, or what is wrong with the gate: a name that no
// project has.
func (j *Jira) inComponents(ctx context.Context, gate string, projects, names []string) (jql, wrong string, err error) {
	var ids []string
	missing := slices.Clone(names)
	for _, project := range projects {
		var all []struct{ ID, Name string }
		if err := j.get(ctx, "list the components of "+project, at("project", project, "components"), nil, &all); err != nil {
			return "", "", err
		}
		for _, c := range all {
			if contains(names, c.Name) && ident(c.ID) != "" {
				ids = append(ids, c.ID)
				missing = slices.DeleteFunc(missing, func(name string) bool { return strings.EqualFold(name, c.Name) })
			}
		}
	}
	if len(missing) > 0 {
		return "", fmt.Sprintf("there is no component %s in %s: name one that there is in the gate %q", listed(missing), strings.Join(projects, ", "), gate), nil
	}
	return "component in (" + quoteAll(ids) + ")", "", nil
}
