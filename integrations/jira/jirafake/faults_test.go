package jirafake_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/jira/jirafake"
)

func TestFaults(t *testing.T) {
	body := object{"fields": object{"project": object{"key": "REL"}, "issuetype": object{"name": "Task"}, "summary": "s"}}
	for _, one := range []struct {
		fault  jirafake.Fault
		status int // 0: the connection breaks
		err    error
		made   int
		after  string // Retry-After
	}{
		{jirafake.Fault{Kind: jirafake.ServerError}, 500, nil, 0, ""},
		{jirafake.Fault{Kind: jirafake.Unavailable, RetryAfter: 7}, 503, nil, 0, "7"},
		{jirafake.Fault{Kind: jirafake.Limited, RetryAfter: 3}, 429, nil, 0, "3"},
		{jirafake.Fault{Kind: jirafake.Refused}, 0, syscall.ECONNREFUSED, 0, ""},
		{jirafake.Fault{Kind: jirafake.Hang}, 0, context.DeadlineExceeded, 0, ""},
		{jirafake.Fault{Kind: jirafake.Lost}, 0, syscall.ECONNRESET, 1, ""},
		{jirafake.Fault{Kind: jirafake.LostHang}, 0, context.DeadlineExceeded, 1, ""},
		{jirafake.Fault{Kind: jirafake.LostError}, 504, nil, 1, ""},
		{jirafake.Fault{Kind: jirafake.Hang, Delay: time.Hour}, 0, context.DeadlineExceeded, 0, ""},
	} {
		t.Run(string(one.fault.Kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, jirafake.Options{})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				w.call(200, "GET", "/myself", nil)
				w.FailCall("POST /issue", 1, one.fault)
				w.call(200, "GET", "/myself", nil)
				resp, _, err := w.raw(ctx, w.ann, "POST", "/issue", body)
				switch {
				case one.status == 0 && !errors.Is(err, one.err):
					t.Errorf("the error is %v", err)
				case one.status != 0 && (err != nil || resp.StatusCode != one.status || resp.Header.Get("Retry-After") != one.after):
					t.Errorf("it is %v, %v", resp, err)
				}
				if n := len(w.Issues()); n != one.made {
					t.Errorf("%d issues were made", n)
				}
				calls := w.Calls()
				c := calls[len(calls)-1]
				if c.N != 3 || c.Route != "POST /issue" || c.RouteN != 1 || c.User != "ann" || c.Fault != one.fault.Kind || !c.Done || c.Status != one.status {
					t.Errorf("the journal says %+v", c)
				}
				w.call(201, "POST", "/issue", body)
			})
		})
	}
}

func TestJournalAndFaultOfAll(t *testing.T) {
	w := newWorld(t, jirafake.Options{})
	w.create(nil)
	w.FailCall("", 2, jirafake.Fault{Kind: jirafake.ServerError})
	w.call(200, "GET", "/issue/REL-1?fields=summary", nil)
	w.call(500, "GET", "/issue/REL-1", nil)
	w.call(200, "GET", "/issue/REL-1", nil)
	c := w.Calls()[1]
	if c.N != 2 || c.Method != "GET" || c.Path != "/rest/api/3/issue/REL-1" || c.Query != "fields=summary" || c.Route != "GET /issue/{issue}" || c.Status != 200 || c.Answer == "" {
		t.Errorf("the journal says %+v", c)
	}
	if c := w.Calls()[0]; c.Body == "" || c.Status != 201 {
		t.Errorf("the journal says %+v", c)
	}
	w.SetFault(func(c jirafake.Call) jirafake.Fault {
		if c.Method == "GET" {
			return jirafake.Fault{Kind: jirafake.Unavailable}
		}
		return jirafake.Fault{}
	})
	if resp, said, err := w.raw(t.Context(), w.ann, "GET", "/myself", nil); err != nil || resp.StatusCode != 503 || said != "Service Unavailable" {
		t.Errorf("it is %v %q, %v", resp, said, err)
	}
	w.SetFault(nil)
	w.SetDown(true)
	if _, _, err := w.raw(t.Context(), w.ann, "GET", "/myself", nil); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("down, the error is %v", err)
	}
	w.SetDown(false)
	w.call(200, "GET", "/myself", nil)
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, jirafake.Options{Limit: &jirafake.Limit{Calls: 3, Window: time.Minute}})
		for range 3 {
			w.call(200, "GET", "/myself", nil)
			time.Sleep(5 * time.Second)
		}
		resp, _, err := w.raw(t.Context(), w.ann, "GET", "/myself", nil)
		w.do(err)
		if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "45" {
			t.Errorf("HTTP %d after %q", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
		w.callAs(w.bob, 200, "GET", "/myself", nil)
		time.Sleep(45 * time.Second)
		w.call(200, "GET", "/myself", nil)
		w.call(429, "GET", "/myself", nil)
		w.SetLimit(nil)
		w.call(200, "GET", "/myself", nil)
	})
}

// Over sockets it is the same, below a context path too.
func TestOverSockets(t *testing.T) {
	w := newWorld(t, jirafake.Options{Flavor: jirafake.DataCenter})
	s := httptest.NewServer(w.Jira)
	defer s.Close()
	w.do(w.SetBaseURL(s.URL + "/jira"))
	w.client = s.Client()
	key := w.create(nil)
	got := w.call(200, "GET", "/issue/"+key, nil)
	i, _ := w.Issue(key)
	w.same(got, "self", s.URL+"/jira/rest/api/2/issue/"+i.ID)
	w.FailCall("PUT /issue/{issue}", 1, jirafake.Fault{Kind: jirafake.Lost}) // a GET would be repeated by net/http
	if _, _, err := w.raw(t.Context(), w.ann, "PUT", "/issue/"+key, object{"fields": object{"summary": "changed"}}); err == nil {
		t.Error("the connection did not break")
	}
	if i, _ := w.Issue(key); i.Summary != "changed" {
		t.Error("it was not done")
	}
	resp, err := s.Client().Get(s.URL + "/jira/")
	w.do(err)
	resp.Body.Close()
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("the page: HTTP %d", resp.StatusCode)
	}
	for path, status := range map[string]int{"/rest/api/2/myself": 404, "/jira/rest/api/3/myself": 404, "/jira/rest/api/2/nothing": 404} {
		r, err := http.NewRequest("GET", s.URL+path, nil)
		w.do(err)
		w.authorise(r, w.ann)
		resp, err := s.Client().Do(r)
		w.do(err)
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s: HTTP %d", path, resp.StatusCode)
		}
	}
	r, err := w.Request("ann", "POST", "/rest/api/2/issue")
	w.do(err)
	if resp, err = s.Client().Do(r); err == nil {
		resp.Body.Close()
	}
	if err != nil || resp.StatusCode != 415 {
		t.Errorf("without a content type: %v %v", resp, err)
	}
}
