package jira

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"strconv"
	"strings"
)

// issue is an issue as Jira hands it out. Fields are by ID, as far as they were asked for.
type issue struct {
	ID         string                     `json:"id"`
	Key        string                     `json:"key"`
	Fields     map[string]json.RawMessage `json:"fields"`
	Properties map[string]json.RawMessage `json:"properties"`
	Changelog  struct {
		Histories []history `json:"histories"`
	} `json:"changelog"` // if it was asked for
}

// read decodes a field into out. A field that is missing, null or of another form leaves it as it is.
func (i *issue) read(field string, out any) { _ = json.Unmarshal(i.Fields[field], out) }

// status is where the issue stands.
func (i *issue) status() status {
	var s status
	i.read("status", &s)
	return s
}

// status is a status of a workflow.
type status struct {
	Name     string `json:"name"`
	Category struct {
		Key string `json:"key"` // "new", "indeterminate", "done"
	} `json:"statusCategory"`
}

// getIssue reads an issue with the fields that are named, and the properties.
func (j *Jira) getIssue(ctx context.Context, key string, fields []string, properties ...string) (*issue, error) {
	query := url.Values{"fields": {strings.Join(fields, ",")}}
	if len(properties) > 0 {
		query.Set("properties", strings.Join(properties, ","))
	}
	var i issue
	if err := j.get(ctx, "read issue "+key, at("issue", key), query, &i); err != nil {
		return nil, err
	}
	return &i, nil
}

// pageSize is how many issues a search asks for at once.
const pageSize = 100

// search finds issues by JQL, most at the most, with the fields that are named. Jira's index lags: what
// changed just now may be missing, or be found as it was. More are further parts of the request.
//
// Cloud goes from page to page by a token, as
// https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-search/ says; its older
// search is gone.
func (j *Jira) search(ctx context.Context, what, jql string, fields []string, most int, more ...map[string]any) ([]issue, error) {
	var all []issue
	token := ""
	for len(all) < most {
		size := min(pageSize, most-len(all))
		body := map[string]any{"jql": jql, "fields": fields, "maxResults": size}
		for _, m := range more {
			maps.Copy(body, m)
		}
		path := "search/jql"
		if j.flavor == cloud {
			if token != "" {
				body["nextPageToken"] = token
			}
		} else {
			path, body["startAt"] = "search", len(all)
		}
		var page struct {
			Issues []issue `json:"issues"`
			Token  string  `json:"nextPageToken"`
			Total  int     `json:"total"`
		}
		if err := j.post(ctx, what, path, body, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Issues...)
		if j.flavor == cloud && (page.Token == "" || page.Token == token) || j.flavor == dataCenter && (len(page.Issues) == 0 || len(all) >= page.Total) {
			break
		}
		token = page.Token
	}
	return all[:min(len(all), most)], nil
}

// quote makes a string of JQL, as
// https://support.atlassian.com/jira-software-cloud/docs/search-for-issues-using-the-text-field/ wants
// it: everything in it is taken as it is.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ", "\r", " ").Replace(text) + `"`
}

// keyNumber splits a key into project and number: "REL-12". The number of what is no key is 0.
func keyNumber(key string) (project string, number int) {
	at := strings.LastIndexByte(key, '-')
	if at < 1 {
		return "", 0
	}
	n, err := strconv.Atoi(key[at+1:])
	if err != nil || n < 1 {
		return "", 0
	}
	return key[:at], n
}
