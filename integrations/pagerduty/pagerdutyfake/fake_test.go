package pagerdutyfake_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/pagerduty/pagerdutyfake"
)

const key = "0123456789abcdef0123456789abcdef"

type world struct {
	*pagerdutyfake.PagerDuty
	t *testing.T
}

func newWorld(t *testing.T, o pagerdutyfake.Options) *world {
	o.Token = "t0ken"
	w := &world{pagerdutyfake.New(o), t}
	t.Cleanup(w.Close)
	return w
}

func (w *world) raw(ctx context.Context, method, path, body string) (*http.Response, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, "https://pagerduty.fake"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Token token=t0ken")
	resp, err := w.Client().Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	return resp, string(said), err
}

func (w *world) call(status int, method, path, body string) map[string]any {
	w.t.Helper()
	resp, said, err := w.raw(w.t.Context(), method, path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.StatusCode != status {
		w.t.Fatalf("%s %s: HTTP %d, not %d: %s", method, path, resp.StatusCode, status, said)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(said), &got); err != nil {
		w.t.Fatalf("%s: %v", said, err)
	}
	return got
}

func send(action, dedup string) string {
	return fmt.Sprintf(`{"routing_key":%q,"event_action":%q,"dedup_key":%q,"payload":{"summary":"s","source":"x","severity":"error"}}`, key, action, dedup)
}

func (w *world) stands(want ...pagerdutyfake.Status) {
	w.t.Helper()
	var got []pagerdutyfake.Status
	for _, i := range w.Incidents() {
		got = append(got, i.Status)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Fatalf("incidents are %v, want %v", got, want)
	}
}

func TestDeduplication(t *testing.T) {
	w := newWorld(t, pagerdutyfake.Options{})
	w.call(202, "POST", "/v2/enqueue", send("resolve", "a")) // nothing is open: dropped
	w.stands()
	w.call(202, "POST", "/v2/enqueue", send("trigger", "a"))
	w.call(202, "POST", "/v2/enqueue", send("trigger", "a"))
	w.call(202, "POST", "/v2/enqueue", send("trigger", "b"))
	w.stands("triggered", "triggered")
	w.call(202, "POST", "/v2/enqueue", send("acknowledge", "a"))
	w.call(202, "POST", "/v2/enqueue", send("trigger", "a"))
	w.stands("acknowledged", "triggered") // it stays taken up
	other := strings.Replace(send("resolve", "a"), key, strings.Repeat("f", 32), 1)
	w.call(202, "POST", "/v2/enqueue", other) // another integration's: dropped
	w.stands("acknowledged", "triggered")
	w.call(202, "POST", "/v2/enqueue", send("resolve", "a"))
	w.call(202, "POST", "/v2/enqueue", send("acknowledge", "a"))
	w.stands("resolved", "triggered")
	w.call(202, "POST", "/v2/enqueue", send("trigger", "a"))
	w.stands("resolved", "triggered", "triggered") // a new one
	if err := w.Acknowledge(3, "ann"); err != nil {
		t.Fatal(err)
	}
	if err := w.Resolve(3, "ann"); err != nil {
		t.Fatal(err)
	}
	if err := w.Resolve(3, "ann"); err == nil {
		t.Error("what is over was resolved")
	}
	if log := w.Incidents()[2].Log; len(log) != 3 || log[2].By != "ann" || log[2].Action != "resolve" {
		t.Errorf("the log is %+v", log)
	}
	if got := w.call(202, "POST", "/v2/enqueue", strings.Replace(send("trigger", "x"), `"dedup_key":"x",`, "", 1)); got["dedup_key"] == "" {
		t.Errorf("without a key the answer is %v", got)
	}
}

func TestInvalidEvents(t *testing.T) {
	w := newWorld(t, pagerdutyfake.Options{RoutingKeys: []string{key}})
	for body, says := range map[string]string{
		`{`: "JSON parse error",
		strings.Replace(send("trigger", "a"), key, "short", 1):                 "Length of 'routing_key' is incorrect (should be 32 characters)",
		strings.Replace(send("trigger", "a"), key, "", 1):                      "'routing_key' is missing or blank",
		strings.Replace(send("trigger", "a"), key, strings.Repeat("0", 32), 1): "Invalid routing key",
		send("explode", "a"):                      "'event_action' is not one of",
		send("resolve", ""):                       "'dedup_key' is missing or blank",
		send("trigger", strings.Repeat("ü", 256)): "'dedup_key' is too long",
		strings.Replace(send("trigger", "a"), `"s"`, `"`+strings.Repeat("s", 1025)+`"`, 1):        "'payload.summary' is too long",
		strings.Replace(send("trigger", "a"), `"summary":"s",`, "", 1):                            "'payload.summary' is missing",
		strings.Replace(send("trigger", "a"), `"source":"x"`, `"timestamp":"now"`, 1):             "'payload.source' is missing",
		strings.Replace(send("trigger", "a"), `"source":`, `"timestamp":"now","source":`, 1):      "'payload.timestamp' is not",
		strings.Replace(send("trigger", "a"), `"error"`, `"fatal"`, 1):                            "'payload.severity' is not one of",
		strings.Replace(send("trigger", "a"), `"payload"`, `"links":[{"text":"l"}],"payload"`, 1): "'links.href' is missing",
		`{"routing_key":"` + key + `","event_action":"trigger"}`:                                  "'payload' is missing",
	} {
		got := w.call(400, "POST", "/v2/enqueue", body)
		if all := fmt.Sprint(got["errors"]); !strings.Contains(all, says) {
			t.Errorf("%s: it says %s, want %q", body, all, says)
		}
	}
	w.stands()
	if resp, _, err := w.raw(t.Context(), "POST", "/v2/enqueue", strings.Replace(send("trigger", "a"), `"s"`, `"`+strings.Repeat("s", 512<<10)+`"`, 1)); err != nil || resp.StatusCode != 413 {
		t.Errorf("too large: %v %v", resp, err)
	}
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := &pagerdutyfake.Limit{Calls: 2, Window: time.Minute}
		w := newWorld(t, pagerdutyfake.Options{EventsLimit: limit, RESTLimit: limit})
		w.call(202, "POST", "/v2/enqueue", send("trigger", "a"))
		time.Sleep(20 * time.Second)
		w.call(202, "POST", "/v2/enqueue", send("trigger", "b"))
		w.call(429, "POST", "/v2/enqueue", send("trigger", "c"))
		w.call(200, "GET", "/abilities", "")
		w.call(200, "GET", "/users", "")
		time.Sleep(20 * time.Second)
		resp, said, err := w.raw(t.Context(), "GET", "/users", "")
		if err != nil || resp.StatusCode != 429 || resp.Header.Get("Ratelimit-Reset") != "40" || !strings.Contains(said, "2020") {
			t.Errorf("REST: %v %s %v", resp, said, err)
		}
		time.Sleep(20 * time.Second)
		w.call(202, "POST", "/v2/enqueue", send("trigger", "c"))
		w.call(429, "POST", "/v2/enqueue", send("trigger", "d"))
		w.stands("triggered", "triggered", "triggered")
	})
}

func TestSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, pagerdutyfake.Options{})
		now := time.Now()
		var shifts []pagerdutyfake.Shift
		for n := range 30 {
			u := w.AddUser(pagerdutyfake.User{Name: fmt.Sprintf("User %02d", n), Email: fmt.Sprintf("u%d@example.com", n)})
			shifts = append(shifts, pagerdutyfake.Shift{User: u.ID, Start: now, End: now.Add(time.Hour)})
		}
		s := w.AddSchedule(pagerdutyfake.Schedule{Name: "Shop", Shifts: shifts})
		w.AddSchedule(pagerdutyfake.Schedule{ID: "PALONE", Name: "Alone", Shifts: shifts[:1], Levels: []int{}})
		first := w.call(200, "GET", "/oncalls?schedule_ids[]="+s.ID+"&total=true", "")
		if all := first["oncalls"].([]any); len(all) != 25 || first["more"] != true || first["total"] != 30.0 {
			t.Errorf("the first page has %d, more %v, total %v", len(all), first["more"], first["total"])
		}
		one := first["oncalls"].([]any)[0].(map[string]any)["user"].(map[string]any)
		if one["type"] != "user_reference" || one["email"] != nil {
			t.Errorf("without include the user is %v", one)
		}
		second := w.call(200, "GET", "/oncalls?schedule_ids[]="+s.ID+"&offset=25&include[]=users", "")
		if all := second["oncalls"].([]any); len(all) != 5 || second["more"] != false || all[4].(map[string]any)["user"].(map[string]any)["email"] != "u29@example.com" {
			t.Errorf("the second page is %v", second)
		}
		if got := w.call(200, "GET", "/oncalls?schedule_ids[]=PALONE", ""); len(got["oncalls"].([]any)) != 0 {
			t.Errorf("a schedule without a policy has on-calls: %v", got)
		}
		if got := w.call(200, "GET", "/schedules/PALONE/users", ""); len(got["users"].([]any)) != 1 {
			t.Errorf("its users are %v", got)
		}
		time.Sleep(2 * time.Hour)
		if got := w.call(200, "GET", "/oncalls?schedule_ids[]="+s.ID, ""); len(got["oncalls"].([]any)) != 0 {
			t.Errorf("after the shift there is %v", got)
		}
		w.call(400, "GET", "/oncalls?limit=101", "")
		w.call(400, "GET", "/oncalls?since=yesterday", "")
		w.call(404, "GET", "/schedules/PNONE", "")
		w.call(404, "GET", "/schedules/PNONE/users", "")
		w.call(404, "GET", "/users/PNONE", "")
		w.call(404, "GET", "/nothing", "")
		if got := w.call(200, "GET", "/schedules?query=shop", ""); len(got["schedules"].([]any)) != 1 {
			t.Errorf("schedules are %v", got)
		}
		if got := w.call(200, "GET", "/users?query=u7@", ""); len(got["users"].([]any)) != 1 {
			t.Errorf("users are %v", got)
		}
		w.RemoveSchedule(s.ID)
		w.call(404, "GET", "/schedules/"+s.ID, "")
		w.SetToken("another")
		w.call(401, "GET", "/users", "")
	})
}

func TestFaults(t *testing.T) {
	for _, one := range []struct {
		fault  pagerdutyfake.Fault
		status int // 0: the connection breaks
		err    error
		made   int
	}{
		{pagerdutyfake.Fault{Kind: pagerdutyfake.ServerError}, 500, nil, 0},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.Unavailable}, 503, nil, 0},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.Limited, RetryAfter: 3}, 429, nil, 0},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.Refused}, 0, syscall.ECONNREFUSED, 0},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.Hang}, 0, context.DeadlineExceeded, 0},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.Lost}, 0, syscall.ECONNRESET, 1},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.LostHang}, 0, context.DeadlineExceeded, 1},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.LostError}, 504, nil, 1},
		{pagerdutyfake.Fault{Kind: pagerdutyfake.Hang, Delay: time.Hour}, 0, context.DeadlineExceeded, 0},
	} {
		t.Run(string(one.fault.Kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, pagerdutyfake.Options{})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				w.FailCall("POST /v2/enqueue", 1, one.fault)
				w.call(200, "GET", "/users", "")
				resp, _, err := w.raw(ctx, "POST", "/v2/enqueue", send("trigger", "a"))
				switch {
				case one.status == 0 && !errors.Is(err, one.err):
					t.Errorf("the error is %v", err)
				case one.status != 0 && (err != nil || resp.StatusCode != one.status):
					t.Errorf("it is %v, %v", resp, err)
				}
				if n := len(w.Incidents()); n != one.made {
					t.Errorf("%d incidents were made", n)
				}
				c := w.Calls()[1]
				if c.N != 2 || c.Route != "POST /v2/enqueue" || c.RouteN != 1 || c.Fault != one.fault.Kind || !c.Done || c.Status != one.status {
					t.Errorf("the journal says %+v", c)
				}
				w.call(202, "POST", "/v2/enqueue", send("trigger", "a"))
				w.stands("triggered")
			})
		})
	}
}

func TestOverSockets(t *testing.T) {
	w := newWorld(t, pagerdutyfake.Options{})
	s := httptest.NewServer(w.PagerDuty)
	defer s.Close()
	resp, err := s.Client().Post(s.URL+"/v2/enqueue", "application/json", strings.NewReader(send("trigger", "a")))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	w.FailCall("", 1, pagerdutyfake.Fault{Kind: pagerdutyfake.Lost})
	if _, err := s.Client().Post(s.URL+"/v2/enqueue", "application/json", strings.NewReader(send("resolve", "a"))); err == nil {
		t.Error("the connection did not break")
	}
	w.stands("resolved")
	w.SetDown(true)
	if _, err := s.Client().Post(s.URL+"/v2/enqueue", "application/json", strings.NewReader(send("trigger", "a"))); err == nil {
		t.Error("it answers while it is down")
	}
	w.stands("resolved")
}

// What Alertmanager really sends is taken, and closes what it opened.
func TestAlertmanagersEvents(t *testing.T) {
	folder := os.Getenv("MUSTER_PAYLOADS")
	if folder == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("MUSTER_PAYLOADS does not name the captured payloads")
		}
		t.Skip("MUSTER_PAYLOADS does not name the captured payloads")
	}
	w := newWorld(t, pagerdutyfake.Options{})
	for _, one := range []struct {
		file   string
		status pagerdutyfake.Status
	}{
		{"events_v2_trigger_from_alertmanager.json", pagerdutyfake.Triggered},
		{"events_v2_resolve_from_alertmanager.json", pagerdutyfake.Resolved},
	} {
		raw, err := os.ReadFile(filepath.Join(folder, "pagerduty", one.file))
		if err != nil {
			t.Fatal(err)
		}
		var captured struct {
			Method string          `json:"method"`
			URL    string          `json:"url"`
			Body   json.RawMessage `json:"body"`
		}
		if err := json.Unmarshal(raw, &captured); err != nil {
			t.Fatal(err)
		}
		w.call(202, captured.Method, captured.URL, string(captured.Body))
		w.stands(one.status)
	}
	i := w.Incidents()[0]
	if i.Source != "Alertmanager" || i.Severity != "error" || i.Details["num_firing"] != "1" || i.Client != "Alertmanager" || !strings.Contains(i.Summary, "TargetDown") {
		t.Errorf("the incident is %+v", i)
	}
}

func FuzzEnqueue(f *testing.F) {
	f.Add(send("trigger", "a"))
	f.Add(send("resolve", "a"))
	f.Add(`{"payload":{"custom_details":[]}}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		p := pagerdutyfake.New(pagerdutyfake.Options{})
		defer p.Close()
		rec := httptest.NewRecorder()
		p.ServeHTTP(rec, httptest.NewRequest("POST", "/v2/enqueue", strings.NewReader(body)))
		if accepted := rec.Code == 202; !accepted && rec.Code != 400 && rec.Code != 413 {
			t.Errorf("HTTP %d", rec.Code)
		}
		if rec.Code == 400 && len(p.Incidents()) != 0 {
			t.Error("what was refused had an effect")
		}
	})
}
