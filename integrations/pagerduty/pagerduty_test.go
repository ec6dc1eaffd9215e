package pagerduty_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/pagerduty"
	"github.com/muster-release/muster/integrations/pagerduty/pagerdutyfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

const (
	key   = "0123456789abcdef0123456789abcdef"
	token = "s3cr3t-t0k3n"
)

// site is a PagerDuty and Muster's side of it.
type site struct {
	*pagerdutyfake.PagerDuty
	t    *testing.T
	o    pagerduty.Options
	pd   *pagerduty.PagerDuty
	ann  pagerdutyfake.User
	bob  pagerdutyfake.User
	shop pagerdutyfake.Schedule
}

// inBubble runs a test where ann is on call for an hour, and bob after her.
func inBubble(t *testing.T, f func(t *testing.T, s *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &site{PagerDuty: pagerdutyfake.New(pagerdutyfake.Options{RoutingKeys: []string{key}, Token: token}), t: t}
		t.Cleanup(s.Close)
		s.ann = s.AddUser(pagerdutyfake.User{Name: "Ann Moreau", Email: "ann@example.com"})
		s.bob = s.AddUser(pagerdutyfake.User{Name: "Bob Okafor", Email: "bob@example.com"})
		now := time.Now()
		s.shop = s.AddSchedule(pagerdutyfake.Schedule{Name: "Shop", Shifts: []pagerdutyfake.Shift{
			{User: s.ann.ID, Start: now, End: now.Add(time.Hour)}, {User: s.bob.ID, Start: now.Add(time.Hour), End: now.Add(2 * time.Hour)},
		}})
		s.o = pagerduty.Options{RoutingKey: key, Token: token, EventsURL: "https://events.example", APIURL: "https://api.example/", HTTP: s.Client()}
		s.open(func(*pagerduty.Options) {})
		f(t, s)
	})
}

func (s *site) open(change func(*pagerduty.Options)) {
	change(&s.o)
	s.pd = pagerduty.New(s.o)
}

func page(state steps.PageState) steps.Page {
	return steps.Page{
		Key: "muster/7/unattended", State: state, Summary: "Release 7 to production waits for people", Severity: "warning", Service: "cart",
		Group: "production", Class: "unattended", Details: map[string]string{"release": "7", "what to type": "why 7"},
		Link: "https://muster.example/runs/7", At: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
	}
}

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

func isGone(err error) bool {
	var g interface{ Gone() bool }
	return errors.As(err, &g) && g.Gone()
}

// retryAfter is when to come back, 0 if that is not said.
func retryAfter(err error) time.Duration {
	var r interface{ RetryAfter() time.Duration }
	if errors.As(err, &r) {
		return r.RetryAfter()
	}
	return 0
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// stands asserts where the incidents are, in the order in which they were opened.
func (s *site) stands(want ...pagerdutyfake.Status) {
	s.t.Helper()
	var got []pagerdutyfake.Status
	for _, i := range s.Incidents() {
		got = append(got, i.Status)
	}
	if !slices.Equal(got, want) {
		s.t.Fatalf("incidents are %v, want %v", got, want)
	}
}

func TestPage(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		for range 3 { // as often as it likes
			s.must(s.pd.Page(t.Context(), page(steps.PageTriggered)))
		}
		s.stands(pagerdutyfake.Triggered)
		i := s.Incidents()[0]
		if i.DedupKey != "muster/7/unattended" || i.Summary != "Release 7 to production waits for people" || i.Source != "muster" || i.Severity != "warning" ||
			i.Component != "cart" || i.Group != "production" || i.Class != "unattended" || i.Client != "Muster" || i.ClientURL != "https://muster.example/runs/7" ||
			fmt.Sprint(i.Details) != "map[release:7 what to type:why 7]" || len(i.Links) != 1 || i.Links[0].Href != "https://muster.example/runs/7" {
			t.Errorf("the incident is %+v", i)
		}
		s.must(s.pd.Page(t.Context(), page(steps.PageAcknowledged)))
		s.stands(pagerdutyfake.Acknowledged)
		s.must(s.pd.Page(t.Context(), page(steps.PageResolved)))
		s.must(s.pd.Page(t.Context(), page(steps.PageResolved)))
		s.stands(pagerdutyfake.Resolved)
		s.must(s.pd.Page(t.Context(), page(steps.PageTriggered)))
		s.stands(pagerdutyfake.Resolved, pagerdutyfake.Triggered)
		for _, c := range s.Calls() {
			if c.Header.Get("Authorization") != "" {
				t.Error("the token of the REST API went to the Events API")
			}
		}
	})
}

func TestPageFits(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.open(func(o *pagerduty.Options) {
			o.Source, o.EventsURL = "muster.example", "https://events.example/v2/enqueue"
		})
		long := page(steps.PageTriggered)
		long.Key, long.Summary, long.Severity, long.Link = strings.Repeat("ключ", 100), strings.Repeat("ü", 2000), "dreadful", "javascript:alert(1)"
		long.Details = map[string]string{}
		for n := range 100 {
			long.Details[fmt.Sprintf("detail %02d", n)] = strings.Repeat("\x01", 20_000)
		}
		s.must(s.pd.Page(t.Context(), long))
		other := long
		other.Key += "!"
		s.must(s.pd.Page(t.Context(), other))
		s.must(s.pd.Page(t.Context(), long)) // the same as the first
		s.stands(pagerdutyfake.Triggered, pagerdutyfake.Triggered)
		long.State = steps.PageResolved
		s.must(s.pd.Page(t.Context(), long))
		s.stands(pagerdutyfake.Resolved, pagerdutyfake.Triggered)
		i := s.Incidents()[0]
		if n := len([]rune(i.DedupKey)); n != 255 || !strings.HasPrefix(i.DedupKey, "ключ") {
			t.Errorf("the key has %d characters: %s", n, i.DedupKey)
		}
		if n := len([]rune(i.Summary)); n != 1024 || !strings.HasSuffix(i.Summary, "ü…") || i.Severity != "error" || i.Source != "muster.example" || len(i.Links) != 0 || i.ClientURL != "" {
			t.Errorf("%d characters, severity %s, source %s, links %v", n, i.Severity, i.Source, i.Links)
		}
		if len(i.Details) == 0 || len(i.Details) == 100 || i.Details["detail 00"] == nil {
			t.Errorf("%d details are left", len(i.Details))
		}
		empty := page(steps.PageTriggered)
		empty.Key, empty.Summary = "k", " \n"
		s.must(s.pd.Page(t.Context(), empty))
		if i := s.Incidents()[2]; i.Summary != "k" {
			t.Errorf("without a summary it says %q", i.Summary)
		}
	})
}

func TestPageRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.open(func(o *pagerduty.Options) { o.RoutingKey = "tooshort-s3cr3t" })
		err := s.pd.Page(t.Context(), page(steps.PageTriggered))
		if !isPermanent(err) || !strings.Contains(err.Error(), "Length of 'routing_key' is incorrect") || !strings.Contains(err.Error(), `page "muster/7/unattended"`) {
			t.Errorf("the error is %v", err)
		}
		calls := len(s.Calls())
		for _, p := range []steps.Page{{State: steps.PageTriggered}, {Key: "k", State: "shout"}} {
			if err := s.pd.Page(t.Context(), p); !isPermanent(err) {
				t.Errorf("%+v: the error is %v", p, err)
			}
		}
		s.open(func(o *pagerduty.Options) { o.RoutingKey = "" })
		if err := s.pd.Page(t.Context(), page(steps.PageTriggered)); !isPermanent(err) || !strings.Contains(err.Error(), "no routing key") {
			t.Errorf("without a key the error is %v", err)
		}
		if len(s.Calls()) != calls {
			t.Error("what cannot be right was sent")
		}
		s.stands()
	})
}

func TestPageFaults(t *testing.T) {
	for _, one := range []struct {
		fault pagerdutyfake.Fault
		says  string
		after time.Duration // RetryAfter
		is    error
	}{
		{pagerdutyfake.Fault{Kind: pagerdutyfake.ServerError}, "HTTP 500", 0, nil},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.Unavailable}, "HTTP 503", 0, nil},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.Limited}, "HTTP 429", 30 * time.Second, nil},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.Limited, RetryAfter: 7}, "HTTP 429", 7 * time.Second, nil},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.Refused}, "connection refused", 0, syscall.ECONNREFUSED},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.Hang}, "no answer within 10s", 0, nil},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.Lost}, "connection reset", 0, syscall.ECONNRESET},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.LostHang}, "no answer within 10s", 0, nil},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.LostError}, "HTTP 504", 0, nil},
	} {
		t.Run(string(one.fault.Kind), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *site) {
				s.FailCall("POST /v2/enqueue", 1, one.fault)
				err := s.pd.Page(t.Context(), page(steps.PageTriggered))
				if err == nil || isPermanent(err) || retryAfter(err) != one.after || !strings.Contains(err.Error(), one.says) || one.is != nil && !errors.Is(err, one.is) {
					t.Errorf("the error is %v, after %v", err, retryAfter(err))
				}
				if strings.Contains(fmt.Sprint(err), "events.example") || strings.Contains(fmt.Sprint(err), key) {
					t.Errorf("the error says too much: %v", err)
				}
				if n := len(s.Calls()); n != 1 {
					t.Errorf("%d calls were made", n)
				}
				s.must(s.pd.Page(t.Context(), page(steps.PageTriggered)))
				s.stands(pagerdutyfake.Triggered)
			})
		})
	}
	inBubble(t, func(t *testing.T, s *site) {
		s.FailCall("", 1, pagerdutyfake.Fault{Kind: pagerdutyfake.Hang})
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("Muster ends"))
		defer cancel()
		began := time.Now()
		if err := s.pd.Page(ctx, page(steps.PageTriggered)); err == nil || !strings.Contains(err.Error(), "Muster ends") || time.Since(began) != time.Second {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestOnCall(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		began := time.Now().UTC().Truncate(time.Second)
		first := func() string {
			t.Helper()
			duties, err := s.pd.OnCall(t.Context(), s.shop.ID)
			s.must(err)
			if len(duties) != 1 {
				t.Fatalf("on call are %+v", duties)
			}
			return fmt.Sprintf("%s <%s> +%v", duties[0].Name, duties[0].Email, duties[0].Until.Sub(began))
		}
		for range 5 {
			if got := first(); got != "Ann Moreau <ann@example.com> +1h0m0s" {
				t.Errorf("on call is %s", got)
			}
		}
		if n := len(s.Calls()); n != 1 {
			t.Errorf("PagerDuty was asked %d times within a minute", n)
		}
		if c := s.Calls()[0]; c.Header.Get("Authorization") != "Token token="+token || !strings.Contains(c.Query, "earliest=true") {
			t.Errorf("the call is %+v", c)
		}
		time.Sleep(time.Minute)
		first()
		if n := len(s.Calls()); n != 2 {
			t.Errorf("after a minute PagerDuty was asked %d times", n)
		}
		time.Sleep(time.Hour - time.Minute - 10*time.Second)
		first()
		time.Sleep(10 * time.Second) // less than a minute, but the shift is over
		if got := first(); got != "Bob Okafor <bob@example.com> +2h0m0s" {
			t.Errorf("after the shift on call is %s", got)
		}
		time.Sleep(time.Hour)
		if duties, err := s.pd.OnCall(t.Context(), s.shop.ID); err != nil || len(duties) != 0 {
			t.Errorf("when nobody is on call it is %v, %v", duties, err)
		}
	})
}

func TestOnCallOfMany(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		now := time.Now()
		shifts := []pagerdutyfake.Shift{{User: s.bob.ID, Start: now, End: now.Add(time.Hour)}}
		for n := range 150 {
			u := s.AddUser(pagerdutyfake.User{Name: fmt.Sprintf("User %03d", n), Email: fmt.Sprintf("u%d@example.com", n)})
			shifts = append(shifts, pagerdutyfake.Shift{User: u.ID, Start: now, End: now.Add(time.Hour)})
		}
		all := s.AddSchedule(pagerdutyfake.Schedule{Name: "All", Shifts: shifts, Levels: []int{2, 1}}) // each twice
		duties, err := s.pd.OnCall(t.Context(), all.ID)
		s.must(err)
		if len(duties) != 151 || duties[0].Name != "Bob Okafor" || duties[150].Name != "User 149" {
			t.Errorf("%d are on call", len(duties))
		}
		if n := len(s.Calls()); n != 4 {
			t.Errorf("it took %d calls", n)
		}
		alone := s.AddSchedule(pagerdutyfake.Schedule{Name: "For approvals only", Levels: []int{}, Shifts: shifts[:1]})
		duties, err = s.pd.OnCall(t.Context(), alone.ID)
		s.must(err)
		if len(duties) != 1 || duties[0].Email != "bob@example.com" || !duties[0].Until.IsZero() {
			t.Errorf("on call in a schedule that no policy has are %v", duties)
		}
	})
}

func TestOnCallErrors(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		for _, schedule := range []string{"PNONE", "", "../users", "Shop on call"} {
			if _, err := s.pd.OnCall(t.Context(), schedule); !isGone(err) || !isPermanent(err) {
				t.Errorf("%q: the error is %v", schedule, err)
			}
		}
		s.FailCall("GET /oncalls", 1, pagerdutyfake.Fault{Kind: pagerdutyfake.Limited})
		if _, err := s.pd.OnCall(t.Context(), s.shop.ID); retryAfter(err) != time.Minute {
			t.Errorf("the error is %v", err)
		}
		s.FailCall("GET /oncalls", 1, pagerdutyfake.Fault{Kind: pagerdutyfake.Limited, RetryAfter: 20})
		if _, err := s.pd.OnCall(t.Context(), s.shop.ID); retryAfter(err) != 20*time.Second {
			t.Errorf("the error is %v", err)
		}
		s.FailCall("GET /oncalls", 1, pagerdutyfake.Fault{Kind: pagerdutyfake.Unavailable})
		if _, err := s.pd.OnCall(t.Context(), s.shop.ID); err == nil || isPermanent(err) || isGone(err) || retryAfter(err) != 0 {
			t.Errorf("the error is %v", err)
		}
		if duties, err := s.pd.OnCall(t.Context(), s.shop.ID); err != nil || len(duties) != 1 {
			t.Errorf("an error was remembered: %v %v", duties, err)
		}
		s.open(func(o *pagerduty.Options) { o.Token = "wr0ng" })
		if _, err := s.pd.OnCall(t.Context(), s.shop.ID); err == nil || isPermanent(err) || !strings.Contains(err.Error(), "token is refused") || strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("with a wrong token the error is %v", err)
		}
		s.open(func(o *pagerduty.Options) { o.Token = "" })
		if _, err := s.pd.OnCall(t.Context(), s.shop.ID); !isPermanent(err) || isGone(err) {
			t.Errorf("without a token the error is %v", err)
		}
	})
}

func TestMembers(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		cy := s.AddUser(pagerdutyfake.User{Name: "Cy Young", Email: "cy@example.com"})
		dee := s.AddUser(pagerdutyfake.User{Name: "Dee Dee", Email: "dee@example.com"})
		eve := s.AddUser(pagerdutyfake.User{Name: "Eve Adams", Email: "eve@example.com"})
		now := time.Now()
		var shifts []pagerdutyfake.Shift
		for _, u := range []pagerdutyfake.User{s.ann, s.bob, cy, dee, eve} {
			shifts = append(shifts, pagerdutyfake.Shift{User: u.ID, Start: now, End: now.Add(time.Hour)})
		}
		s.must(s.SetShifts(s.shop.ID, shifts...))
		handle := func(v string) map[string]string { return map[string]string{pagerduty.System: v} }
		s.open(func(o *pagerduty.Options) {
			o.People = func() []playbooks.Person {
				return []playbooks.Person{
					{ID: "ann", Email: "Ann@Example.com"},
					{ID: "robert", Email: "bob@elsewhere.example", Handles: handle(s.bob.ID)},
					{ID: "notbob", Email: "bob@example.com", Handles: handle("PSOMEBODY")}, // has another account
					{ID: "cyrus", Handles: handle("CY@example.com")},
					{ID: "dee1", Email: "dee@example.com"}, {ID: "dee2", Email: "dee@example.com"},
					{ID: "nobody"},
				}
			}
		})
		people, strangers, err := s.pd.Members(t.Context(), s.shop.ID)
		s.must(err)
		slices.Sort(people)
		if fmt.Sprint(people) != "[ann cyrus robert]" || len(strangers) != 2 || !strings.HasPrefix(strangers[0], "Dee Dee") || !strings.HasPrefix(strangers[1], "Eve Adams") {
			t.Errorf("people are %v, strangers %v", people, strangers)
		}
		if _, _, err := s.pd.Members(t.Context(), "PNONE"); !isGone(err) {
			t.Errorf("the error is %v", err)
		}
	})
}

// A key goes nowhere but to PagerDuty, and PagerDuty's words do not bring it into an error.
func TestKeysStayWhereTheyAre(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		answer := &http.Response{}
		asked := 0
		s.open(func(o *pagerduty.Options) {
			o.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				asked++
				if strings.HasSuffix(r.URL.Host, "elsewhere.example") {
					t.Errorf("%s was asked", r.URL)
				}
				a := *answer
				a.Request = r
				return &a, nil
			})}
		})
		for _, one := range []struct {
			status int
			header http.Header
			body   string
			says   string
		}{
			{307, http.Header{"Location": {"https://elsewhere.example/"}}, "", "leads elsewhere"},
			{400, http.Header{"Content-Type": {"application/json"}}, `{"message":"bad ` + key + ` and ` + token + `","errors":"one"}`, "bad *** and ***; one"},
			{403, nil, `<html>`, "HTTP 403"},
			{500, nil, strings.Repeat("x", 5<<20), "larger than"},
		} {
			*answer = http.Response{StatusCode: one.status, Header: one.header, Body: http.NoBody}
			if one.body != "" {
				answer.Body = body{strings.NewReader(one.body)}
			}
			if answer.Header == nil {
				answer.Header = http.Header{}
			}
			err := s.pd.Page(t.Context(), page(steps.PageTriggered))
			if err == nil || !strings.Contains(err.Error(), one.says) || strings.Contains(err.Error(), key) || isPermanent(err) != (one.status < 500) {
				t.Errorf("HTTP %d: the error is %v", one.status, err)
			}
		}
		if asked != 4 {
			t.Errorf("%d requests were made", asked)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type body struct{ *strings.Reader }

func (body) Close() error { return nil }

func TestCheck(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.open(func(o *pagerduty.Options) {
			o.People = func() []playbooks.Person { return []playbooks.Person{{ID: "ann", Email: "ann@example.com"}} }
		})
		gap := s.AddSchedule(pagerdutyfake.Schedule{Name: "Gap"})
		now := time.Now()
		strange := s.AddSchedule(pagerdutyfake.Schedule{Name: "Strange", Shifts: []pagerdutyfake.Shift{{User: s.bob.ID, Start: now, End: now.Add(time.Hour)}}})
		check := func(want ...string) {
			t.Helper()
			found := s.pd.Check(t.Context(), []string{s.shop.ID, gap.ID, strange.ID, "PNONE"})
			if len(found) != len(want) {
				t.Fatalf("it found %d things: %+v", len(found), found)
			}
			for n, f := range found {
				mark := "- "
				if f.OK {
					mark = "+ "
				}
				if f.OK == (f.Fix != "") || !strings.Contains(mark+f.What, want[n]) {
					t.Errorf("it found %+v, want %q", f, want[n])
				}
			}
		}
		check("+ the routing key has the right form", "+ PagerDuty takes the token", "+ on call in schedule \""+s.shop.ID+"\": Ann Moreau until 1 Jan 01:00 UTC",
			"- nobody is on call", "not in the catalog: Bob Okafor", "- there is no schedule \"PNONE\"")
		s.stands() // nobody was paged
		s.open(func(o *pagerduty.Options) { o.Token, o.RoutingKey = "wr0ng", "wr0ng" })
		check("- the routing key has 5 characters", "- pagerduty: try the token: the token is refused")
		s.open(func(o *pagerduty.Options) { o.Token, o.RoutingKey = "", "" })
		check("- there is no routing key", "- there is no token")
		if found := s.pd.Check(t.Context(), nil); len(found) != 2 || !found[1].OK {
			t.Errorf("without schedules it found %+v", found)
		}
		s.open(func(o *pagerduty.Options) { o.Token, o.RoutingKey = token, key })
		s.SetDown(true)
		check("+ the routing key", "connection refused")
	})
}
