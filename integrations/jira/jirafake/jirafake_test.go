package jirafake_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/andygrunwald/go-jira"

	"github.com/muster-release/muster/integrations/jira/jirafake"
	"github.com/muster-release/muster/integrations/jira/jirafake/openapicheck"
)

// world is a Jira with ann, bob and muster's own account, and the project REL.
type world struct {
	*jirafake.Jira
	t      *testing.T
	cloud  bool
	client *http.Client
	ann    jirafake.User
	bob    jirafake.User
}

type object = map[string]any

// checker is made once: reading the description takes a moment.
var checker = func() func(t *testing.T) *openapicheck.Checker {
	var made *openapicheck.Checker
	return func(t *testing.T) *openapicheck.Checker {
		path := os.Getenv("MUSTER_JIRA_OPENAPI")
		if path == "" || made != nil {
			return made
		}
		var err error
		if made, err = openapicheck.New(path); err != nil {
			t.Fatal(err)
		}
		return made
	}
}()

func TestOpenAPIIsChecked(t *testing.T) {
	if os.Getenv("MUSTER_JIRA_OPENAPI") != "" {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("MUSTER_JIRA_OPENAPI names no description: nothing was checked against it")
	}
	t.Skip("MUSTER_JIRA_OPENAPI names no description")
}

func newWorld(t *testing.T, opts jirafake.Options) *world {
	t.Helper()
	j, err := jirafake.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	w := &world{Jira: j, t: t, cloud: opts.Flavor != jirafake.DataCenter, client: j.Client()}
	w.ann = j.AddUser(jirafake.User{Name: "ann", DisplayName: "Ann Moreau"})
	w.bob = j.AddUser(jirafake.User{Name: "bob", DisplayName: "Bob Okafor"})
	w.do(j.AddProject(jirafake.Project{Key: "REL", Name: "Releases", Components: []string{"cart", "web"}, Versions: []string{"1.0", "1.1"}, Workflow: jirafake.ReleaseWorkflow()}))
	w.do(j.AddProject(jirafake.Project{Key: "SHOP", Name: "Shop"}))
	if c := checker(t); c != nil && w.cloud {
		before := len(c.Violations())
		w.client.Transport = c.Wrap(w.client.Transport)
		t.Cleanup(func() {
			for _, v := range c.Violations()[before:] {
				t.Error(v)
			}
		})
	}
	return w
}

func both(t *testing.T, f func(t *testing.T, w *world)) {
	for _, flavor := range []jirafake.Flavor{jirafake.Cloud, jirafake.DataCenter} {
		t.Run(string(flavor), func(t *testing.T) { f(t, newWorld(t, jirafake.Options{Flavor: flavor})) })
	}
}

func (w *world) do(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) api(path string) string {
	if w.cloud {
		return "/rest/api/3" + path
	}
	return "/rest/api/2" + path
}

func (w *world) authorise(r *http.Request, u jirafake.User) {
	if w.cloud {
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Email+":"+u.Token)))
	} else {
		r.Header.Set("Authorization", "Bearer "+u.Token)
	}
}

// raw makes a call by plain HTTP.
func (w *world) raw(ctx context.Context, u jirafake.User, method, path string, body any) (*http.Response, string, error) {
	w.t.Helper()
	var sent io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		w.do(err)
		sent = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, w.URL()+w.api(path), sent)
	w.do(err)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	w.authorise(r, u)
	resp, err := w.client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp, string(got), err
}

// call makes a call as ann that must have a status, and returns the answer.
func (w *world) call(status int, method, path string, body any) object {
	w.t.Helper()
	return w.callAs(w.ann, status, method, path, body)
}

func (w *world) callAs(u jirafake.User, status int, method, path string, body any) object {
	w.t.Helper()
	resp, got, err := w.raw(w.t.Context(), u, method, path, body)
	w.do(err)
	if resp.StatusCode != status {
		w.t.Fatalf("%s %s: HTTP %d, not %d: %s", method, path, resp.StatusCode, status, got)
	}
	if got == "" {
		return nil
	}
	var o any
	w.do(json.Unmarshal([]byte(got), &o))
	switch o := o.(type) {
	case object:
		return o
	case []any:
		return object{"list": o}
	}
	return nil
}

// at finds a value in an answer: "fields.status.name", "issues.0.key".
func at(o any, path string) any {
	for part := range strings.SplitSeq(path, ".") {
		switch in := o.(type) {
		case object:
			o = in[part]
		case []any:
			var n int
			if json.Unmarshal([]byte(part), &n) != nil || n >= len(in) {
				return nil
			}
			o = in[n]
		default:
			return nil
		}
	}
	return o
}

func (w *world) same(o any, path string, want any) {
	w.t.Helper()
	if n, is := want.(int); is {
		want = float64(n)
	}
	got, _ := json.Marshal(at(o, path))
	wanted, _ := json.Marshal(want)
	if !bytes.Equal(got, wanted) {
		w.t.Errorf("%s is %s, not %s", path, got, wanted)
	}
}

func doc(text string) object {
	return object{"type": "doc", "version": 1, "content": []any{object{"type": "paragraph", "content": []any{object{"type": "text", "text": text}}}}}
}

func (w *world) rich(text string) any {
	if w.cloud {
		return doc(text)
	}
	return text
}

func (w *world) create(fields object) string {
	w.t.Helper()
	all := object{"project": object{"key": "REL"}, "issuetype": object{"name": "Release"}, "summary": "Release 1"}
	for k, v := range fields {
		all[k] = v
	}
	return w.call(201, "POST", "/issue", object{"fields": all})["key"].(string)
}

// keys are those that a query finds, in order.
func (w *world) keys(jql string) string {
	w.t.Helper()
	path := "/search"
	if w.cloud {
		path = "/search/jql"
	}
	var keys []string
	for _, i := range w.call(200, "POST", path, object{"jql": jql, "fields": []string{"summary"}})["issues"].([]any) {
		keys = append(keys, i.(object)["key"].(string))
	}
	return strings.Join(keys, " ")
}

// The library that the adapter is built on talks to both.
func TestGoJira(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		auth := &http.Client{Transport: authed{w, w.ann}}
		c, err := jira.NewClient(auth, w.URL())
		w.do(err)
		r, err := c.NewRequest("POST", w.api("/issue"), object{"fields": object{
			"project": object{"key": "REL"}, "issuetype": object{"name": "Task"}, "summary": "Release 7", "description": w.rich("what is in it"),
			"labels": []string{"muster-7"}, "fixVersions": []any{object{"name": "1.0"}},
		}})
		w.do(err)
		var made jira.Issue
		_, err = c.Do(r, &made)
		w.do(err)
		if made.Key != "REL-1" {
			t.Fatalf("made %q", made.Key)
		}
		r, err = c.NewRequest("GET", w.api("/issue/REL-1?fields=summary,status,labels,fixVersions"), nil)
		w.do(err)
		var got jira.Issue
		_, err = c.Do(r, &got)
		w.do(err)
		if got.Fields.Summary != "Release 7" || got.Fields.Status.Name != "Planned" || got.Fields.Labels[0] != "muster-7" || got.Fields.FixVersions[0].Name != "1.0" {
			t.Errorf("got %+v", got.Fields)
		}
		if i, _ := w.Issue("REL-1"); i.Description != "what is in it" || i.Reporter != "ann" {
			t.Errorf("it is %+v", i)
		}
	})
}

type authed struct {
	w *world
	u jirafake.User
}

func (a authed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	a.w.authorise(r, a.u)
	return a.w.client.Transport.RoundTrip(r)
}

func wait(t *testing.T, w *world) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w.do(w.Settle(ctx))
}
