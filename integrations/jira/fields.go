package jira

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-release/muster/integrations/calls"
)

// field is a field of Jira's issues.
type field struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Schema struct {
		Type   string `json:"type"`
		Items  string `json:"items"`
		Custom string `json:"custom"`
	} `json:"schema"`
}

// allFields are the fields that there are. They are read once.
func (j *Jira) allFields(ctx context.Context) ([]field, error) {
	j.mu.Lock()
	known := j.fields
	j.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var all []field
	if err := j.get(ctx, "list the fields", "field", nil, &all); err != nil {
		return nil, err
	}
	if all == nil {
		all = []field{}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fields, j.fieldsAt = all, time.Now()
	return all, nil
}

// fieldNamed finds a field by ID or by name, in which case does not matter. A field that was made
// since the fields were read is found a minute later.
func (j *Jira) fieldNamed(ctx context.Context, name string) (field, error) {
	for _, again := range []bool{false, true} {
		if again {
			j.mu.Lock()
			old := time.Since(j.fieldsAt) > time.Minute
			if old {
				j.fields = nil
			}
			j.mu.Unlock()
			if !old {
				break
			}
		}
		all, err := j.allFields(ctx)
		if err != nil {
			return field{}, err
		}
		var found []field
		for _, f := range all {
			if f.ID == name {
				return f, nil
			}
			if strings.EqualFold(f.Name, name) {
				found = append(found, f)
			}
		}
		if len(found) == 1 {
			return found[0], nil
		}
		if len(found) > 1 {
			ids := make([]string, len(found))
			for i, f := range found {
				ids[i] = f.ID
			}
			return field{}, refuse("field %q: there are several of that name: name it by its ID, one of %s", name, strings.Join(ids, ", "))
		}
	}
	return field{}, refuse("field %q: there is none of that name or ID", name)
}

// value is what a field is set to so that it says text. Several values of a list are
// separated by commas. Nil empties the field.
func (j *Jira) value(f field, text string) (any, error) {
	text = strings.TrimSpace(tidy(text))
	if text == "" {
		return nil, nil
	}
	if f.Schema.Type == "array" {
		var all []any
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			v, err := j.single(f, f.Schema.Items, part)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
		return all, nil
	}
	return j.single(f, f.Schema.Type, text)
}

func (j *Jira) single(f field, kind, text string) (any, error) {
	switch kind {
	case "string":
		if f.Schema.Type != "string" {
			return strings.Join(strings.Fields(text), "-"), nil // of a list of labels, which have no blanks
		}
		if strings.HasSuffix(f.Schema.Custom, ":textarea") || f.ID == "environment" {
			return j.body(paragraphs(text)), nil
		}
		return calls.Clip(strings.ReplaceAll(text, "\n", " "), 255), nil
	case "number":
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, refuse("field %q: %q is no number", f.Name, text)
		}
		return n, nil
	case "date", "datetime":
		return text, nil
	case "option":
		return map[string]any{"value": text}, nil
	case "priority", "version", "component", "resolution", "group":
		return map[string]any{"name": text}, nil
	case "user":
		if j.flavor == cloud {
			return map[string]any{"accountId": text}, nil
		}
		return map[string]any{"name": text}, nil
	}
	return nil, refuse("field %q: Muster cannot fill in fields of type %q", f.Name, kind)
}

// says reports whether a field's value as Jira hands it out is what want would make it. Jira tells more of
// a value than is sent.
func says(current json.RawMessage, want any) bool {
	data, err := json.Marshal(want)
	if err != nil {
		return false
	}
	if n, is := want.(node); is && n.Type == "doc" {
		return meaningOf(current) == meaningOf(data)
	}
	if _, is := want.(string); is {
		return meaningOf(current) == meaningOf(data) && (len(current) == 0 || current[0] == '"')
	}
	var is, ought any
	if len(current) > 0 && json.Unmarshal(current, &is) != nil {
		return false
	}
	return json.Unmarshal(data, &ought) == nil && within(ought, is)
}

// within reports whether all of ought is in is.
func within(ought, is any) bool {
	switch ought := ought.(type) {
	case map[string]any:
		m, fits := is.(map[string]any)
		if !fits {
			return false
		}
		for k, v := range ought {
			if !within(v, m[k]) {
				return false
			}
		}
		return true
	case []any:
		l, _ := is.([]any)
		if len(l) != len(ought) {
			return false
		}
		for _, v := range ought {
			if !slices.ContainsFunc(l, func(one any) bool { return within(v, one) }) {
				return false
			}
		}
		return true
	}
	if text, fits := is.(string); fits {
		return text == ought
	}
	return is == ought
}
