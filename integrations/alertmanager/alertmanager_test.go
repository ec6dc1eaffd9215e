package alertmanager_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/integrations/alertmanager"
)

// intake keeps each event once, by its ID.
type intake struct {
	err  error
	seen map[string]bool
	all  []events.Event
}

func (in *intake) Take(ctx context.Context, all ...events.Event) error {
	if in.err != nil {
		return in.err
	}
	for _, e := range all {
		if !in.seen[e.ID] {
			if in.seen == nil {
				in.seen = map[string]bool{}
			}
			in.seen[e.ID] = true
			in.all = append(in.all, e)
		}
	}
	return nil
}

type final struct{}

func (final) Error() string   { return "never" }
func (final) Permanent() bool { return true }

func open(t testing.TB, o alertmanager.Options) *alertmanager.Alertmanager {
	t.Helper()
	a, err := alertmanager.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func deliver(h http.Handler, body string, change ...func(*http.Request)) int {
	r := httptest.NewRequest(http.MethodPost, "/alertmanager/webhook", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer s3cret")
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// delivery is a delivery of one alert, written after the documentation.
func delivery(status, startsAt, endsAt string) string {
	return fmt.Sprintf(`{
		"version": "4", "groupKey": "{}:{alertname=\"HighErrorRate\"}", "truncatedAlerts": 2, "status": %q, "receiver": "muster",
		"groupLabels": {"alertname": "HighErrorRate"}, "commonLabels": {"alertname": "HighErrorRate"}, "commonAnnotations": {},
		"externalURL": "https://alerts.example", "notification_reason": "something new",
		"alerts": [{
			"status": %q, "labels": {"alertname": "HighErrorRate", "severity": "critical", "module": "cart", "pod": "cart-7d"},
			"annotations": {"summary": "5 %% of requests fail"}, "startsAt": %q, "endsAt": %q,
			"generatorURL": "https://prometheus.example/graph?g0.expr=up", "fingerprint": "c0ffee00c0ffee00", "something": {"new": [1]}
		}]}`, status, status, startsAt, endsAt)
}

const (
	began = "2026-11-24T10:00:00.5Z"
	never = "0001-01-01T00:00:00Z"
)

func TestAnAlertFiresAndIsResolved(t *testing.T) {
	in := &intake{}
	h := open(t, alertmanager.Options{Token: "s3cret"}).Handler(in)
	for range 3 { // Alertmanager repeats what still fires
		if code := deliver(h, delivery("firing", began, never)); code != http.StatusNoContent {
			t.Fatalf("answered with %d", code)
		}
	}
	for range 2 {
		deliver(h, delivery("resolved", began, "2026-11-24T10:20:00Z"))
	}
	deliver(h, delivery("firing", "2026-11-24T11:00:00Z", never)) // once more
	if len(in.all) != 3 {
		t.Fatalf("%d events came in: %+v", len(in.all), in.all)
	}
	fired, resolved, again := in.all[0], in.all[1], in.all[2]
	if fired.Kind != events.AlertFiring || fired.Source != "alertmanager" || fired.Subject != "c0ffee00c0ffee00" || !fired.At.Equal(time.Date(2026, 11, 24, 10, 0, 0, 5e8, time.UTC)) {
		t.Errorf("the alert fires as %+v", fired)
	}
	for name, want := range map[string]string{
		"alert": "HighErrorRate", "severity": "critical", "summary": "5 % of requests fail", "fingerprint": "c0ffee00c0ffee00", "receiver": "muster",
		"label.module": "cart", "label.pod": "cart-7d", "label.alertname": "HighErrorRate", "label.severity": "critical", "truncated": "2",
	} {
		if fired.Fields[name] != want {
			t.Errorf("field %q is %q, not %q", name, fired.Fields[name], want)
		}
	}
	if fired.Link != "https://prometheus.example/graph?g0.expr=up" {
		t.Errorf("it leads to %q", fired.Link)
	}
	if resolved.Kind != events.AlertResolved || resolved.Subject != fired.Subject || !resolved.At.Equal(time.Date(2026, 11, 24, 10, 20, 0, 0, time.UTC)) {
		t.Errorf("the alert is resolved as %+v", resolved)
	}
	if again.Kind != events.AlertFiring || again.Fact == fired.Fact || fired.Fact == resolved.Fact {
		t.Errorf("it is not told apart: %q, %q, %q", fired.Fact, resolved.Fact, again.Fact)
	}
}

func TestWhoMayDeliver(t *testing.T) {
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	bearer := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", token) }
	}
	for _, one := range []struct {
		name string
		o    alertmanager.Options
		f    func(*http.Request)
		want int
	}{
		{"the token", alertmanager.Options{Token: "s3cret"}, bearer("Bearer s3cret"), 204},
		{"the token, in another case of the scheme", alertmanager.Options{Token: "s3cret"}, bearer("bearer s3cret"), 204},
		{"another token", alertmanager.Options{Token: "s3cret"}, bearer("Bearer s3cre"), 401},
		{"the token as a password", alertmanager.Options{Token: "s3cret"}, basic("muster", "s3cret"), 401},
		{"nothing", alertmanager.Options{Token: "s3cret"}, bearer(""), 401},
		{"user and password", alertmanager.Options{User: "am", Password: "pw"}, basic("am", "pw"), 204},
		{"another password", alertmanager.Options{User: "am", Password: "pw"}, basic("am", "pw2"), 401},
		{"another user", alertmanager.Options{User: "am", Password: "pw"}, basic("an", "pw"), 401},
		{"the password as a token", alertmanager.Options{User: "am", Password: "pw"}, bearer("Bearer pw"), 401},
		{"nobody is configured", alertmanager.Options{}, bearer("Bearer "), 401},
		{"nobody is configured, and nothing is given", alertmanager.Options{}, basic("", ""), 401},
	} {
		t.Run(one.name, func(t *testing.T) {
			in := &intake{}
			code := deliver(open(t, one.o).Handler(in), delivery("firing", began, never), one.f)
			if code != one.want || (len(in.all) == 1) != (one.want == 204) {
				t.Errorf("answered with %d, and %d events came in", code, len(in.all))
			}
		})
	}
	for _, o := range []alertmanager.Options{{Token: "t", User: "u", Password: "p"}, {User: "u"}, {Password: "p"}} {
		if _, err := alertmanager.New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

func TestNothingIsLoggedOfASecret(t *testing.T) {
	var said strings.Builder
	h := open(t, alertmanager.Options{Token: "s3cret", Log: slog.New(slog.NewTextHandler(&said, nil))}).Handler(&intake{})
	deliver(h, "{}", func(r *http.Request) { r.Header.Set("Authorization", "Bearer guessed-t0ken") })
	deliver(h, "{}")
	if said.Len() == 0 || strings.Contains(said.String(), "guessed") || strings.Contains(said.String(), "s3cret") {
		t.Errorf("the log says %q", said.String())
	}
}

func TestWhatIsAnswered(t *testing.T) {
	many := `{"version":"4","alerts":[` + strings.TrimSuffix(strings.Repeat(`{"status":"firing"},`, 1001), ",") + `]}`
	for _, one := range []struct {
		name, body string
		err        error
		want       int
	}{
		{"what is durable", delivery("firing", began, never), nil, 204},
		{"what could not be written down", delivery("firing", began, never), errors.New("disk full"), 503},
		{"what can never be taken", delivery("firing", began, never), final{}, 422},
		{"no alerts", `{"version": "4", "alerts": []}`, errors.New("not asked"), 204},
		{"a status that is unknown", `{"version": "4", "alerts": [{"status": "silenced"}]}`, errors.New("not asked"), 204},
		{"no JSON", `{`, nil, 400},
		{"another form", `{"version": "4", "alerts": 3}`, nil, 400},
		{"another version", `{"version": "5", "alerts": []}`, nil, 400},
		{"more alerts than anybody reads", many, nil, 400},
		{"too large", `{"version": "4", "x": "` + strings.Repeat("x", 5<<20) + `"}`, nil, 413},
	} {
		t.Run(one.name, func(t *testing.T) {
			if code := deliver(open(t, alertmanager.Options{Token: "s3cret"}).Handler(&intake{err: one.err}), one.body); code != one.want {
				t.Errorf("answered with %d, not %d", code, one.want)
			}
		})
	}
	h := open(t, alertmanager.Options{Token: "s3cret"}).Handler(&intake{})
	if code := deliver(h, "", func(r *http.Request) { r.Method = http.MethodGet }); code != http.StatusMethodNotAllowed {
		t.Errorf("a GET is answered with %d", code)
	}
}

func TestAlertsWithoutFingerprints(t *testing.T) {
	in := &intake{}
	h := open(t, alertmanager.Options{Token: "s3cret"}).Handler(in)
	deliver(h, `{"version": "4", "alerts": [
		{"status": "firing", "labels": {"alertname": "A", "pod": "1"}}, {"status": "firing", "labels": {"alertname": "A", "pod": "2"}},
		{"status": "firing", "labels": {"pod": "1", "alertname": "A"}}, {"status": "firing", "fingerprint": "../../etc", "labels": {}}]}`)
	if len(in.all) != 3 || in.all[0].Subject == in.all[1].Subject || strings.Contains(in.all[2].ID, "..") {
		t.Errorf("came in as %+v", in.all)
	}
}

func TestCapturedDeliveries(t *testing.T) {
	folder := os.Getenv("MUSTER_PAYLOADS")
	if folder == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("MUSTER_PAYLOADS names no captured payloads")
		}
		t.Skip("MUSTER_PAYLOADS names no captured payloads")
	}
	files, err := filepath.Glob(filepath.Join(folder, "alertmanager", "*.json"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d captured deliveries: %v", len(files), err)
	}
	in := &intake{}
	h := open(t, alertmanager.Options{Token: "s3cret"}).Handler(in)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var captured struct {
			Headers map[string]string
			Body    json.RawMessage
		}
		if err := json.Unmarshal(raw, &captured); err != nil {
			t.Fatal(err)
		}
		before := len(in.all)
		code := deliver(h, string(captured.Body), func(r *http.Request) { r.Header.Set("Authorization", captured.Headers["authorization"]) })
		if code != http.StatusNoContent || len(in.all) != before+1 {
			t.Fatalf("%s: answered with %d, and %d events came in", filepath.Base(file), code, len(in.all)-before)
		}
		e := in.all[before]
		if e.Fields["alert"] == "" || e.Fields["severity"] == "" || e.Fields["summary"] == "" || e.Fields["label.service"] != "checkout" || e.At.IsZero() {
			t.Errorf("%s: came in as %+v", filepath.Base(file), e)
		}
	}
}

// Whatever comes, an event that is handed on is whole and within bounds.
func FuzzDelivery(f *testing.F) {
	f.Add(delivery("firing", began, never))
	f.Add(delivery("resolved", began, "2026-11-24T10:20:00+02:00"))
	f.Add(`{"version": "4", "alerts": [{"status": "firing", "labels": {"": "x", "a": "\ud800"}, "startsAt": "9999-12-31T23:59:59Z"}]}`)
	f.Add(`{"version": "4", "alerts": [null, {}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		in := &intake{}
		code := deliver(open(t, alertmanager.Options{Token: "s3cret"}).Handler(in), body)
		if code != 204 && code != 400 && code != 413 {
			t.Errorf("answered with %d", code)
		}
		for _, e := range in.all {
			if e.ID == "" || len(e.ID) > 512 || e.Fact == "" || len(e.Fact) > 512 || e.Subject == "" || e.At.IsZero() || len(e.Fields) > 100 {
				t.Errorf("came in as %+v", e)
			}
			size := 0
			for name, value := range e.Fields {
				size += len(name) + len(value)
			}
			if size > 64<<10 {
				t.Errorf("its fields have %d bytes", size)
			}
		}
	})
}
