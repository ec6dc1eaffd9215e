package jira

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/muster-release/muster/playbooks/steps"
)

// form is what of a release issue the configuration shapes.
type form struct {
	labels     []template
	fields     map[string]template
	fixVersion template
	// moves are the names of transitions or statuses, by status of the release.
	moves map[string][]string
}

// statuses are those that steps.Issue has.
func statuses() []string {
	return []string{"planned", "waiting", "deploying", "held", "released", "failed", "aborted", "rolled back"}
}

// ours are fields that Muster fills in by itself.
func ours() []string {
	return []string{"summary", "description", "project", "issuetype", "issue type", "labels", "status", "comment", "fixversions", "fix version/s", "fix versions", "resolution"}
}

// newForm reads the templates and names of o, or says what is wrong with them.
func newForm(o Options) (form, error) {
	f := form{fields: map[string]template{}, moves: o.Transitions}
	for _, text := range o.Labels {
		t, err := newTemplate(text)
		if err != nil {
			return f, fmt.Errorf("jira: label %q: %w", text, err)
		}
		f.labels = append(f.labels, t)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Fields)) {
		if slices.Contains(ours(), strings.ToLower(name)) {
			return f, fmt.Errorf("jira: field %q: Muster fills that in by itself", name)
		}
		t, err := newTemplate(o.Fields[name])
		if err != nil {
			return f, fmt.Errorf("jira: field %q: %w", name, err)
		}
		f.fields[name] = t
	}
	var err error
	if f.fixVersion, err = newTemplate(o.FixVersion); err != nil {
		return f, fmt.Errorf("jira: fix version %q: %w", o.FixVersion, err)
	}
	for _, status := range slices.Sorted(maps.Keys(o.Transitions)) {
		if !slices.Contains(statuses(), status) {
			return f, fmt.Errorf("jira: transition of %q: a release is %s", status, strings.Join(statuses(), ", "))
		}
	}
	return f, nil
}

// template is text with names in braces.
type template []templatePart

type templatePart struct{ text, name string }

// names are what a template may ask for.
func names() []string {
	return []string{"run", "environment", "digest", "title", "status", "date", "modules"}
}

func newTemplate(text string) (template, error) {
	var t template
	for text != "" {
		at := strings.IndexAny(text, "{}")
		switch {
		case at < 0:
			return append(t, templatePart{text: text}), nil
		case at > 0:
			t, text = append(t, templatePart{text: text[:at]}), text[at:]
			continue
		case len(text) > 1 && text[1] == text[0]:
			t, text = append(t, templatePart{text: text[:1]}), text[2:]
			continue
		}
		name, rest, closed := strings.Cut(text[1:], "}")
		if text[0] == '}' || !closed {
			return nil, fmt.Errorf("a brace is open: write it twice if it is meant")
		}
		if !slices.Contains(names(), name) {
			return nil, fmt.Errorf("{%s} is unknown: there are {%s}", name, strings.Join(names(), "}, {"))
		}
		t, text = append(t, templatePart{name: name}), rest
	}
	return t, nil
}

// fill is the template's text for an issue. Made is when the issue was made, whose day the date
// is: what is filled in again later stays the same.
func (t template) fill(i *steps.Issue, made time.Time) string {
	var b strings.Builder
	for _, p := range t {
		b.WriteString(p.text)
		switch p.name {
		case "run":
			b.WriteString(i.Run)
		case "environment":
			b.WriteString(i.Environment)
		case "digest":
			b.WriteString(i.Digest)
		case "title":
			b.WriteString(i.Title)
		case "status":
			b.WriteString(i.Status)
		case "date":
			b.WriteString(made.UTC().Format(time.DateOnly))
		case "modules":
			for n, m := range i.Modules {
				if n > 0 {
					b.WriteString(", ")
				}
				b.WriteString(m.Name + " " + m.Version)
			}
		}
	}
	return b.String()
}
