package jira_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/jira"
	"github.com/muster-release/muster/integrations/jira/jirafake"
	"github.com/muster-release/muster/playbooks/steps"
)

// answering is a Jira that always gives one answer.
type answering struct {
	status int
	header http.Header
	body   string
	err    error
	calls  *int
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.calls != nil {
		*a.calls++
	}
	if a.err != nil {
		return nil, a.err
	}
	h := a.header
	if h == nil {
		h = http.Header{}
	}
	return &http.Response{StatusCode: a.status, Header: h, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func plainOptions(transport http.RoundTripper) jira.Options {
	return jira.Options{
		URL: "https://jira.example", Email: "muster@example.com", Token: "s3cr3t-t0k3n", Project: "REL", IssueType: "Task", HTTP: &http.Client{Transport: transport},
	}
}

func TestWhatAnswersMean(t *testing.T) {
	const unknown, forGood = "unknown", "for good"
	for name, tc := range map[string]struct {
		answering
		want string // or how long to wait
		says string
	}{
		"messages":           {answering{status: 400, body: `{"errorMessages":["Nope."],"errors":{"summary":"Too long.","labels":"Bad."}}`}, forGood, "Nope.; labels: Bad.; summary: Too long. (HTTP 400)"},
		"no words":           {answering{status: 400, body: `<html>`}, forGood, "HTTP 400"},
		"a lot":              {answering{status: 400, body: `{"errorMessages":["` + strings.Repeat("ü", 5000) + `"]}`}, forGood, "üü… (HTTP 400)"},
		"forbidden":          {answering{status: 403, body: `{"errorMessages":["You may not."]}`}, forGood, "You may not."},
		"captcha":            {answering{status: 403, header: http.Header{"X-Authentication-Denied-Reason": {"CAPTCHA_CHALLENGE; login-url=https://x"}}}, unknown, "log in with it once"},
		"gone":               {answering{status: 404, body: `{"errorMessages":["Issue does not exist or you do not have permission to see it."]}`}, forGood, "Issue does not exist"},
		"conflict":           {answering{status: 409}, forGood, "HTTP 409"},
		"elsewhere":          {answering{status: 302, header: http.Header{"Location": {"https://login.example/?token=1"}}}, forGood, "leads to login.example"},
		"token":              {answering{status: 401, body: `{"message":"Client must be authenticated to access this resource."}`}, unknown, "the token is refused"},
		"too many":           {answering{status: 429, header: http.Header{"Retry-After": {"7"}}}, "7s", "too many calls"},
		"too many, no time":  {answering{status: 429}, "10s", "too many calls"},
		"too many, a date":   {answering{status: 429, header: http.Header{"Retry-After": {"Sat, 01 Jan 2000 00:01:00 GMT"}}}, "1m0s", "too many calls"},
		"too many, for ever": {answering{status: 429, header: http.Header{"Retry-After": {"999999999"}}}, "1h0m0s", "too many calls"},
		"broken":             {answering{status: 500}, unknown, "HTTP 500"},
		"proxy":              {answering{status: 503, header: http.Header{"Retry-After": {"7"}}}, unknown, "HTTP 503"},
		"timeout":            {answering{status: 408}, unknown, "HTTP 408"},
		"no answer":          {answering{err: errors.New("connection reset")}, unknown, "connection reset"},
		"not JSON":           {answering{status: 200, body: "<html>log in</html>"}, unknown, "not what Jira says"},
		"too large":          {answering{status: 200, body: `{"comments":"` + strings.Repeat("x", 17<<20) + `"}`}, unknown, "larger than 16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // it is midnight of 1 January 2000 UTC in there
				calls := 0
				tc.calls = &calls
				j, err := jira.New(plainOptions(tc.answering))
				if err != nil {
					t.Fatal(err)
				}
				err = j.Comment(t.Context(), "REL-1", steps.Comment{Marker: "1/1", Text: "x"})
				if tc.status == 200 {
					_, err = j.Commented(t.Context(), "REL-1", "1/1")
				}
				got := unknown
				if wait, later := retryAfter(err); later {
					got = wait.String()
				} else if permanent(err) {
					got = forGood
				}
				if err == nil || got != tc.want {
					t.Fatalf("%v means %s, want %s", err, got, tc.want)
				}
				wantAll(t, "the error", err.Error(), tc.says)
				if strings.Contains(err.Error(), "s3cr3t") || len(err.Error()) > 700 {
					t.Errorf("the error is %d bytes: %v", len(err.Error()), err)
				}
				if calls > 2 || calls > 1 && tc.status != 200 {
					t.Errorf("%d calls: something repeats them", calls)
				}
			})
		})
	}
}

func TestCallsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, jirafake.Options{})
		j := s.tracker()
		s.FailCall("", 1, jirafake.Fault{Kind: jirafake.Hang})
		began := time.Now()
		err := j.Comment(context.Background(), "REL-1", steps.Comment{Marker: "1/1", Text: "x"})
		if err == nil || permanent(err) || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		wantAll(t, "the error", fmt.Sprint(err), "no answer within 10s")
		s.SetDown(true)
		if wait, later := retryAfter(j.Comment(t.Context(), "REL-1", steps.Comment{Marker: "1/1", Text: "x"})); !later || wait == 0 {
			t.Error("a connection that is refused is not put off")
		}
	})
}

func TestWhoIsWho(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		j := s.tracker()
		_, err := j.Create(t.Context(), release("waiting"))
		s.must(err)
		for _, c := range s.Calls() {
			want := "/rest/api/3/"
			if s.flavor == jirafake.DataCenter {
				want = "/rest/api/2/"
			}
			if c.User != "muster" || !strings.HasPrefix(c.Path, want) {
				t.Errorf("%s %s as %q", c.Method, c.Path, c.User)
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*jira.Options)
		says   string
	}{
		"no URL":           {func(o *jira.Options) { o.URL = "jira.example" }, "URL"},
		"account in URL":   {func(o *jira.Options) { o.URL = "https://me:pass@jira.example" }, "address alone"},
		"no token":         {func(o *jira.Options) { o.Token = "" }, "no token"},
		"no email":         {func(o *jira.Options) { o.URL, o.Email = "https://x.atlassian.net", "" }, "email"},
		"no project":       {func(o *jira.Options) { o.Project = "Releases" }, `"Releases" is no key`},
		"no type":          {func(o *jira.Options) { o.IssueType = "" }, "type"},
		"instance":         {func(o *jira.Options) { o.Instance = "a b" }, `"a b"`},
		"edits":            {func(o *jira.Options) { o.Edits = "keep" }, `"keep"`},
		"field's template": {func(o *jira.Options) { o.Fields = map[string]string{"Target": "{env}"} }, "{env} is unknown"},
		"open brace":       {func(o *jira.Options) { o.Labels = []string{"a{run"} }, "open"},
		"closing brace":    {func(o *jira.Options) { o.FixVersion = "a}" }, "open"},
		"own field":        {func(o *jira.Options) { o.Fields = map[string]string{"Summary": "x"} }, "by itself"},
		"status":           {func(o *jira.Options) { o.Transitions = map[string][]string{"done": {"Done"}} }, `"done"`},
	} {
		t.Run(name, func(t *testing.T) {
			o := plainOptions(nil)
			tc.change(&o)
			_, err := jira.New(o)
			if err == nil {
				t.Fatal("it was taken")
			}
			wantAll(t, "the error", err.Error(), tc.says)
			if strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "pass") {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}
