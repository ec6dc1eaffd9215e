// Package openapicheck holds what is sent to Jira Cloud, and what comes back, against
// Atlassian's OpenAPI description of /rest/api/3
// (developer.atlassian.com/cloud/jira/platform/swagger-v3.v3.json). It is for tests; the
// description is a file that whoever runs them has.
package openapicheck

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

const (
	prefix  = "/rest/api/3/"
	maxBody = 32 << 20
)

// Checker collects what does not fit. It may be used concurrently.
type Checker struct {
	doc   *openapi3.T
	paths []path

	mu         sync.Mutex
	violations []string
	checked    map[string]int
}

type path struct {
	name  string
	parts []string
	item  *openapi3.PathItem
}

// New reads a description. It takes about two seconds.
func New(file string) (*Checker, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("openapicheck: %w", err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return nil, fmt.Errorf("openapicheck: read %q: %w", file, err)
	}
	for _, a := range amendments() {
		if err := a.amend(doc); err != nil {
			return nil, fmt.Errorf("openapicheck: %q does not need an exemption any more (%s): %w", file, a.because, err)
		}
	}
	c := &Checker{doc: doc, checked: map[string]int{}}
	for name, item := range doc.Paths.Map() {
		if rest, is := strings.CutPrefix(name, prefix); is {
			c.paths = append(c.paths, path{name, strings.Split(rest, "/"), item})
		}
	}
	return c, nil
}

// Violations returns what did not fit so far, in order.
func (c *Checker) Violations() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.violations)
}

// Checked returns how many exchanges of each operation were held against the description,
// by method and path.
func (c *Checker) Checked() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]int, len(c.checked))
	for name, n := range c.checked {
		all[name] = n
	}
	return all
}

func (c *Checker) violate(r *http.Request, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.violations = append(c.violations, fmt.Sprintf("%s %s: %s", r.Method, r.URL.RequestURI(), fmt.Sprintf(format, args...)))
}

// Wrap checks everything under /rest/api/3 that goes through a transport, and changes
// nothing of it.
func (c *Checker) Wrap(next http.RoundTripper) http.RoundTripper { return &transport{c, next} }

type transport struct {
	c    *Checker
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	at := strings.Index(r.URL.EscapedPath(), prefix)
	if at < 0 {
		return t.next.RoundTrip(r)
	}
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(io.LimitReader(r.Body, maxBody))
		r.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("openapicheck: read a request: %w", err)
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	input := t.c.request(r, r.URL.EscapedPath()[at:], body)
	resp, err := t.next.RoundTrip(r)
	if err != nil || input == nil {
		return resp, err
	}
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("openapicheck: read an answer: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(got))
	t.c.response(r, input, resp, got)
	return resp, nil
}

// find is the operation of a request; of several that fit the one with the fewest variables.
func (c *Checker) find(method, escaped string) (*routers.Route, map[string]string) {
	var (
		found  *routers.Route
		values map[string]string
	)
	parts := strings.Split(strings.TrimPrefix(escaped, prefix), "/")
	for _, p := range c.paths {
		operation := p.item.GetOperation(method)
		if operation == nil || len(parts) != len(p.parts) {
			continue
		}
		v, fits := map[string]string{}, true
		for i, want := range p.parts {
			if strings.HasPrefix(want, "{") {
				plain, err := url.PathUnescape(parts[i])
				fits = fits && err == nil && plain != ""
				v[strings.Trim(want, "{}")] = plain
			} else if want != parts[i] {
				fits = false
			}
		}
		if fits && (found == nil || len(v) < len(values)) {
			found, values = &routers.Route{Spec: c.doc, Path: p.name, PathItem: p.item, Method: method, Operation: operation}, v
		}
	}
	return found, values
}

func options() *openapi3filter.Options {
	return &openapi3filter.Options{
		MultiError: true, IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true, SkipSettingDefaults: true,
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
		SchemaValidationOptions: []openapi3.SchemaValidationOption{
			openapi3.EnableFormatValidation(), openapi3.WithStringFormatValidator("date-time", openapi3.NewCallbackValidator(moment)),
		},
	}
}

// moment takes the description's own kind of time and Jira's, whose zone has no colon.
func moment(s string) error {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.000-0700"} {
		if _, err := time.Parse(layout, s); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%q is not a time as Jira writes it", s)
}

func (c *Checker) request(r *http.Request, escaped string, body []byte) *openapi3filter.RequestValidationInput {
	route, values := c.find(r.Method, escaped)
	if route == nil {
		c.violate(r, "the request: no such operation")
		return nil
	}
	c.mu.Lock()
	c.checked[route.Method+" "+route.Path]++
	c.mu.Unlock()
	seen := r.Clone(context.WithoutCancel(r.Context()))
	seen.Body, seen.ContentLength = nil, 0
	if body != nil {
		seen.Body, seen.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	input := &openapi3filter.RequestValidationInput{Request: seen, PathParams: values, Route: route, Options: options()}
	if err := openapi3filter.ValidateRequest(seen.Context(), input); err != nil {
		c.violate(r, "the request: %v", short(err))
	}
	// A parameter that is not described is ignored by Jira: somebody believed in it.
	for name := range r.URL.Query() {
		if route.Operation.Parameters.GetByInAndName("query", name) == nil {
			c.violate(r, "the request: there is no parameter %q", name)
		}
	}
	return input
}

func (c *Checker) response(r *http.Request, input *openapi3filter.RequestValidationInput, resp *http.Response, body []byte) {
	described := input.Route.Operation.Responses.Status(resp.StatusCode)
	if described == nil && undescribed(resp.StatusCode) {
		return
	}
	if len(body) == 0 && described != nil && bodiless(resp.StatusCode, described.Value) {
		return
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: resp.StatusCode, Header: resp.Header, Options: options()}
	out.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(context.WithoutCancel(r.Context()), out); err != nil {
		c.violate(r, "the answer, HTTP %d: %v", resp.StatusCode, short(err))
	}
}

// short cuts the schemas out of an error.
func short(err error) string {
	text := err.Error()
	if at := strings.Index(text, "\nSchema:"); at >= 0 {
		text = text[:at]
	}
	return strings.Join(strings.Fields(text), " ")
}
