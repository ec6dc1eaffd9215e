package openapicheck

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Where the description is wrong or stricter than Jira, it is amended here, and nowhere
// else; besides, times are taken as Jira writes them (see moment).

// amendment is one exemption.
type amendment struct {
	because string
	amend   func(*openapi3.T) error
}

func amendments() []amendment {
	return []amendment{
		{"a change has null where a field was or is empty, as the documentation's own webhooks show", nullable("ChangeDetails", "from", "fromString", "to", "toString")},
		{"a value of any kind may be null: an issue has null in empty fields, and a field is emptied with null",
			anything("IssueBean.fields", "IssueUpdateDetails.fields", "EntityProperty.value", "FieldUpdateOperation.set")},
		{"the remote links of an issue are a list, unless a global ID is given, as the documentation's text says", listed("/rest/api/3/issue/{issueIdOrKey}/remotelink")},
		{"a link shows one of its ends, as the documentation's example of an issue does", optional("IssueLink", "inwardIssue", "outwardIssue")},
	}
}

func schema(doc *openapi3.T, name string) (*openapi3.Schema, error) {
	s := doc.Components.Schemas[name]
	if s == nil || s.Value == nil {
		return nil, fmt.Errorf("there is no schema %q", name)
	}
	return s.Value, nil
}

// nullable lets properties be null.
func nullable(name string, properties ...string) func(*openapi3.T) error {
	return func(doc *openapi3.T) error {
		s, err := schema(doc, name)
		if err != nil {
			return err
		}
		for _, p := range properties {
			if s.Properties[p] == nil || s.Properties[p].Value.Nullable {
				return fmt.Errorf("%s.%s may be null, or is gone", name, p)
			}
			s.Properties[p].Value.Nullable = true
		}
		return nil
	}
}

// anything lets null be a value where the description has no form for values.
func anything(names ...string) func(*openapi3.T) error {
	return func(doc *openapi3.T) error {
		for _, name := range names {
			object, property, _ := strings.Cut(name, ".")
			s, err := schema(doc, object)
			if err != nil {
				return err
			}
			p := s.Properties[property]
			if p == nil || p.Value == nil {
				return fmt.Errorf("there is no %s", name)
			}
			if more := p.Value.AdditionalProperties.Schema; more != nil {
				p = more
			}
			if p.Value.Type != nil || p.Value.Nullable {
				return fmt.Errorf("%s has a form", name)
			}
			p.Value.Nullable = true
		}
		return nil
	}
}

// listed lets the answer of a GET be a list of what is described.
func listed(path string) func(*openapi3.T) error {
	return func(doc *openapi3.T) error {
		item := doc.Paths.Value(path)
		if item == nil || item.Get == nil || item.Get.Responses.Status(http.StatusOK) == nil {
			return fmt.Errorf("there is no GET %s", path)
		}
		content := item.Get.Responses.Status(http.StatusOK).Value.Content.Get("application/json")
		if content == nil || content.Schema == nil || content.Schema.Value.Type.Is("array") {
			return fmt.Errorf("GET %s is a list", path)
		}
		list := openapi3.NewArraySchema()
		list.Items = content.Schema
		content.Schema = openapi3.NewSchemaRef("", &openapi3.Schema{AnyOf: openapi3.SchemaRefs{content.Schema, openapi3.NewSchemaRef("", list)}})
		return nil
	}
}

// optional lets properties be left out.
func optional(name string, properties ...string) func(*openapi3.T) error {
	return func(doc *openapi3.T) error {
		s, err := schema(doc, name)
		if err != nil {
			return err
		}
		var required []string
		for _, r := range s.Required {
			keep := true
			for _, p := range properties {
				keep = keep && p != r
			}
			if keep {
				required = append(required, r)
			}
		}
		if len(required)+len(properties) != len(s.Required) {
			return fmt.Errorf("%s does not require %q", name, properties)
		}
		s.Required = required
		return nil
	}
}

// undescribed are answers that every operation may give although only a few say so: not
// logged in, not allowed, too many calls, and what goes wrong inside or on the way. Search
// that was removed is described as if it were there.
func undescribed(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusGone, http.StatusUnsupportedMediaType, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// bodiless says whether an answer may be empty although JSON is described: with 204 and
// where the description has JSON of no particular form, as for a link that was created.
func bodiless(status int, described *openapi3.Response) bool {
	if status == http.StatusNoContent {
		return true
	}
	for _, content := range described.Content {
		if content.Schema != nil && content.Schema.Value != nil && !content.Schema.Value.IsEmpty() {
			return false
		}
	}
	return true
}
