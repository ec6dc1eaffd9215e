package jira

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/muster-release/muster/integrations/calls"
	"github.com/muster-release/muster/playbooks/steps"
)

const (
	// mostText is how large a description or comment may be: Jira's limit is 32,767 characters
	// (https://support.atlassian.com/jira-cloud-administration/docs/limits/, on Data Center the setting
	// jira.text.field.character.limit). How Cloud counts a document is not documented, so that all of its
	// JSON is counted here.
	mostText = 32000
	// mostTable is how much of that the table of modules may take. What is beyond stands below it in a
	// shorter form.
	mostTable = 16000
	// mostState is how much the sentences on how things stand may take.
	mostState = 6000
	// cellItems is how many merge requests or stories stand in a cell.
	cellItems = 5
)

// description says all of a release that its issue shows.
func (j *Jira) description(i *steps.Issue) document {
	d := paragraphs(calls.Clip(i.Description, mostState))
	if facts := factsOf(i); len(facts.rows) > 0 {
		d = append(d, facts)
	}
	d = append(d, j.modules(i)...)
	var end document
	if i.Digest != "" {
		end = append(end, plain(planLine+i.Digest))
	}
	end = append(end, paragraph{{text: "Muster keeps this issue as the release is. The label " + j.label(i.Run) + " marks it.", small: true}})
	if i.Plan == "" {
		return append(d, end...)
	}
	return j.fit(append(d, heading{3, "Plan"}), i.Plan, end, false)
}

// factsOf is the table of what is known about the release. The digest of the plan stands at the end of
// the description.
func factsOf(i *steps.Issue) table {
	known := []string{"environment", "asked by", "because", "began", "ended", "outcome", "modules"}
	rank := func(name string) int {
		if at := slices.Index(known, name); at >= 0 {
			return at
		}
		return len(known)
	}
	var t table
	names := slices.SortedFunc(maps.Keys(i.Fields), func(a, b string) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a, b)) })
	for _, name := range names {
		if name != "plan" && i.Fields[name] != "" {
			t.rows = append(t.rows, []paragraph{{{text: name, strong: true}}, plain(calls.Clip(i.Fields[name], 1000))})
		}
	}
	return t
}

// modules is the table of modules; those for which there is no room follow line by line.
func (j *Jira) modules(i *steps.Issue) document {
	if len(i.Modules) == 0 {
		return nil
	}
	t := table{head: []string{"Module", "From", "To", "Merge requests", "Stories"}}
	room := mostTable - j.size(document{t})
	var rest []string
	for n := range i.Modules {
		m := &i.Modules[n]
		row := j.moduleRow(m)
		if room -= j.size(document{table{rows: [][]paragraph{row}}}); room < 0 || len(rest) > 0 {
			rest = append(rest, fmt.Sprintf("%s  %s → %s", m.Name, cmp.Or(m.From, "new"), m.Version))
			continue
		}
		t.rows = append(t.rows, row)
	}
	d := document{heading{3, "Modules"}}
	if len(t.rows) > 0 {
		d = append(d, t)
	}
	if len(rest) > 0 {
		most := 8000
		text := strings.Join(rest, "\n")
		if len(text) > most {
			text = text[:strings.LastIndexByte(text[:most], '\n')]
			text += fmt.Sprintf("\n… and %d more", len(rest)-strings.Count(text, "\n")-1)
		}
		d = append(d, plain(fmt.Sprintf("And %d more, in short:", len(rest))), preformatted(text))
	}
	return d
}

func (j *Jira) moduleRow(m *steps.IssueModule) []paragraph {
	row := []paragraph{plain(m.Name), plain(cmp.Or(m.From, "new")), plain(m.Version), nil, nil}
	c := m.Changes
	if c == nil {
		return row
	}
	var requests, stories paragraph
	for n, r := range c.MergeRequests {
		if n == cellItems {
			requests = append(requests, span{text: fmt.Sprintf("and %d more\n", len(c.MergeRequests)-n)})
			break
		}
		requests = append(requests, span{text: fmt.Sprintf("!%d", r.Number), link: r.Link}, span{text: " " + oneLine(r.Title, 80) + "\n"})
	}
	if c.Unknown != "" {
		requests = append(requests, span{text: "not all is known: " + oneLine(c.Unknown, 200) + "\n"})
	}
	for n, s := range c.Stories {
		if n == cellItems {
			stories = append(stories, span{text: fmt.Sprintf("and %d more\n", len(c.Stories)-n)})
			break
		}
		link := s.Link
		if s.Status == "" {
			link = "" // nobody knows it
		}
		stories = append(stories, span{text: s.Key, link: link}, span{text: strings.TrimRight(" "+oneLine(s.Title, 80), " ") + "\n"})
	}
	row[3], row[4] = untailed(requests), untailed(stories)
	return row
}

// untailed takes the line end off the last span.
func untailed(p paragraph) paragraph {
	if len(p) > 0 {
		p[len(p)-1].text = strings.TrimSuffix(p[len(p)-1].text, "\n")
	}
	return p
}

func oneLine(text string, most int) string {
	return calls.Clip(strings.Join(strings.Fields(text), " "), most)
}

// fit puts preformatted text between two parts, and as much of it as there is room for: its
// beginning, or its end where tail says so.
func (j *Jira) fit(before document, code string, after document, tail bool) document {
	code = strings.TrimRight(code, "\n")
	whole := slices.Concat(before, document{preformatted(code)}, after)
	if j.size(whole) <= mostText {
		return whole
	}
	lines := strings.Split(code, "\n")
	with := func(n int) document {
		words := fmt.Sprintf("Jira has no room for more: %d of %d lines are left out", len(lines)-n, len(lines))
		kept, note := lines[:n], "The end is missing. "+words+"."
		if tail {
			kept, note = lines[len(lines)-n:], "The beginning is missing. "+words+"."
		}
		return slices.Concat(before, document{preformatted(strings.Join(kept, "\n")), plain(note)}, after)
	}
	low, high := 0, len(lines)
	for low < high {
		if mid := (low + high + 1) / 2; j.size(with(mid)) <= mostText {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return with(low)
}
