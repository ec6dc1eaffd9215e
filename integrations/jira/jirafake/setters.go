package jirafake

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func setSummary(_ *Jira, i *issue, value any) string {
	s, is := value.(string)
	switch {
	case !is:
		return "Operation value must be a string"
	case strings.TrimSpace(s) == "":
		return "You must specify a summary of the issue."
	case len([]rune(s)) > 255:
		return "Summary must be less than 255 characters."
	case strings.ContainsAny(s, "\r\n"):
		return "The summary is invalid because it contains newline characters."
	}
	i.summary = s
	return ""
}

func setType(_ *Jira, i *issue, value any) string {
	o, is := value.(Object)
	if is {
		for _, t := range i.project.types {
			if fits(o, t.id, t.name) {
				i.kind = t
				return ""
			}
		}
	}
	return "Specify a valid issue type"
}

func choose(from []choice, value any) (choice, bool) {
	o, _ := value.(Object)
	for _, c := range from {
		if o["id"] != nil && fmt.Sprint(o["id"]) == c.id || o["id"] == nil && o["name"] == c.name {
			return c, true
		}
	}
	return choice{}, false
}

func setPriority(_ *Jira, i *issue, value any) string {
	c, is := choose(priorities(), value)
	if !is {
		return "The priority selected is invalid."
	}
	i.priority = c.id
	return ""
}

func setResolution(_ *Jira, i *issue, value any) string {
	c, is := choose(resolutions(), value)
	if !is && value != nil {
		return "The resolution selected is invalid."
	}
	if i.resolution != c.id {
		i.resolution, i.resolved = c.id, time.Time{}
		if is {
			i.resolved = time.Now()
		}
	}
	return ""
}

func labelsOf(value any) ([]string, string) {
	all, is := value.([]any)
	if !is {
		return nil, "data was not an array"
	}
	labels := []string{}
	for _, one := range all {
		s, bad := labelOf(one)
		if bad != "" {
			return nil, bad
		}
		if !slices.Contains(labels, s) {
			labels = append(labels, s)
		}
	}
	slices.Sort(labels)
	return labels, ""
}

func labelOf(value any) (string, string) {
	s, is := value.(string)
	switch {
	case !is:
		return "", "string expected at index 0"
	case s == "" || strings.ContainsAny(s, " \t\r\n"):
		return "", fmt.Sprintf("The label '%s' contains spaces which is invalid.", s)
	case len([]rune(s)) > 255:
		return "", "The label exceeds the maximum length of 255 characters."
	}
	return s, ""
}

func setLabels(_ *Jira, i *issue, value any) string {
	if value == nil {
		value = []any{}
	}
	labels, bad := labelsOf(value)
	if bad == "" {
		i.labels = labels
	}
	return bad
}

func changeLabels(_ *Jira, i *issue, op string, value any) string {
	s, bad := labelOf(value)
	if bad != "" {
		return bad
	}
	i.labels = slices.DeleteFunc(i.labels, func(l string) bool { return l == s })
	if op == "add" {
		i.labels = append(i.labels, s)
		slices.Sort(i.labels)
	}
	return ""
}

func setDue(_ *Jira, i *issue, value any) string {
	s, is := value.(string)
	if value != nil && !is {
		return "Operation value must be a string"
	}
	if _, err := time.Parse(time.DateOnly, s); s != "" && err != nil {
		return fmt.Sprintf("Error parsing date string: %s", s)
	}
	i.due = s
	return ""
}

func setParent(j *Jira, i *issue, value any) string {
	o, _ := value.(Object)
	ref, _ := o["key"].(string)
	if id, is := o["id"].(string); is {
		ref = id
	}
	p := j.byRef(ref)
	if value != nil && (p == nil || p.id == i.id) {
		return "Could not find issue by id or key."
	}
	i.parent = 0
	if p != nil {
		i.parent = p.id
	}
	return ""
}
