package openapicheck_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-release/muster/integrations/jira/jirafake/openapicheck"
)

// A small description of the same form, written for this test.
const small = `{"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": {
	"/rest/api/3/thing/{id}": {"get": {
		"parameters": [{"in": "path", "name": "id", "required": true, "schema": {"type": "string"}}, {"in": "query", "name": "most", "schema": {"type": "integer"}}],
		"responses": {"200": {"description": "", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}}
	}, "put": {
		"parameters": [{"in": "path", "name": "id", "required": true, "schema": {"type": "string"}}],
		"requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
		"responses": {"204": {"description": "", "content": {"application/json": {"schema": {}}}}}
	}},
	"/rest/api/3/issue/{issueIdOrKey}/remotelink": {"get": {"responses": {"200": {"description": "", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}}}},
	"/rest/api/3/thing/best": {"get": {"responses": {"200": {"description": ""}}}}
}, "components": {"schemas": {
	"Thing": {"type": "object", "additionalProperties": false, "required": ["name"], "properties": {"name": {"type": "string"}, "when": {"type": "string", "format": "date-time"}}},
	"IssueBean": {"type": "object", "properties": {"fields": {"type": "object", "additionalProperties": {}}}},
	"IssueUpdateDetails": {"type": "object", "properties": {"fields": {"type": "object", "additionalProperties": {}}}},
	"EntityProperty": {"type": "object", "properties": {"value": {}}}, "FieldUpdateOperation": {"type": "object", "properties": {"set": {}}},
	"ChangeDetails": {"type": "object", "properties": {"from": {"type": "string"}, "fromString": {"type": "string"}, "to": {"type": "string"}, "toString": {"type": "string"}}},
	"IssueLink": {"type": "object", "required": ["inwardIssue", "outwardIssue", "type"], "properties": {}}
}}}`

type answers struct {
	status int
	body   string
}

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	header := http.Header{}
	if a.body != "" {
		header.Set("Content-Type", "application/json;charset=UTF-8")
	}
	return &http.Response{StatusCode: a.status, Header: header, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func TestChecker(t *testing.T) {
	file := filepath.Join(t.TempDir(), "small.json")
	if err := os.WriteFile(file, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		name, method, path, body string
		answer                   answers
		want                     string // part of the violation; empty: none
	}{
		{"fits", "GET", "/rest/api/3/thing/1?most=3", "", answers{200, `{"name": "a", "when": "2026-01-02T03:04:05.000+0000"}`}, ""},
		{"below a context path", "GET", "/jira/rest/api/3/thing/1", "", answers{200, `{"name": "a"}`}, ""},
		{"a literal goes before a variable", "GET", "/rest/api/3/thing/best", "", answers{200, `[]`}, ""},
		{"not of this API", "GET", "/rest/agile/1.0/board", "", answers{200, `{}`}, ""},
		{"an unknown operation", "DELETE", "/rest/api/3/thing/1", "", answers{204, ""}, "no such operation"},
		{"an unknown path", "GET", "/rest/api/3/thing/1/part", "", answers{200, "{}"}, "no such operation"},
		{"an unknown parameter", "GET", "/rest/api/3/thing/1?least=3", "", answers{200, `{"name": "a"}`}, `no parameter "least"`},
		{"a wrong parameter", "GET", "/rest/api/3/thing/1?most=all", "", answers{200, `{"name": "a"}`}, "the request"},
		{"a wrong time", "GET", "/rest/api/3/thing/1", "", answers{200, `{"name": "a", "when": "today"}`}, "the answer"},
		{"an unknown property", "GET", "/rest/api/3/thing/1", "", answers{200, `{"name": "a", "size": 3}`}, "size"},
		{"a missing property", "GET", "/rest/api/3/thing/1", "", answers{200, `{}`}, "name"},
		{"an unknown status", "GET", "/rest/api/3/thing/1", "", answers{202, `{}`}, "status is not supported"},
		{"a list of what is described", "GET", "/rest/api/3/issue/1/remotelink", "", answers{200, `[{"name": "a"}]`}, ""},
		{"one of what is described", "GET", "/rest/api/3/issue/1/remotelink", "", answers{200, `{"name": "a"}`}, ""},
		{"a list of something else", "GET", "/rest/api/3/issue/1/remotelink", "", answers{200, `[{"size": 3}]`}, "the answer"},
		{"too many calls", "GET", "/rest/api/3/thing/1", "", answers{429, `{}`}, ""},
		{"a body that fits", "PUT", "/rest/api/3/thing/1", `{"name": "a"}`, answers{204, ""}, ""},
		{"a body that does not", "PUT", "/rest/api/3/thing/1", `{"nam": "a"}`, answers{204, ""}, "the request"},
		{"no body", "PUT", "/rest/api/3/thing/1", "", answers{204, ""}, "the request"},
	} {
		t.Run(one.name, func(t *testing.T) {
			c, err := openapicheck.New(file)
			if err != nil {
				t.Fatal(err)
			}
			var body io.Reader
			if one.body != "" {
				body = strings.NewReader(one.body)
			}
			r, err := http.NewRequest(one.method, "https://jira.example"+one.path, body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			resp, err := c.Wrap(one.answer).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(resp.Body); string(got) != one.answer.body {
				t.Errorf("the answer became %q", got)
			}
			all := c.Violations()
			if one.want == "" && len(all) > 0 || one.want != "" && (len(all) == 0 || !strings.Contains(all[0], one.want)) {
				t.Errorf("violations %q, not %q", all, one.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := openapicheck.New(filepath.Join(t.TempDir(), "none.json")); err == nil {
		t.Error("a file that is not there was read")
	}
	file := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(small, `"inwardIssue", `, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openapicheck.New(file); err == nil || !strings.Contains(err.Error(), "exemption") {
		t.Errorf("an exemption that nobody needs: %v", err)
	}
}
