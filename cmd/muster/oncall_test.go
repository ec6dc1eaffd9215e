package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/pagerduty/pagerdutyfake"
	"github.com/muster-release/muster/playbooks"
)

// alert delivers what Alertmanager would, and returns the status of the answer.
func (s *story) alert(token, status, module, fingerprint string, since time.Time) int {
	body, err := json.Marshal(map[string]any{
		"version": "4", "groupKey": "{}:{}", "status": status, "receiver": "muster", "groupLabels": map[string]string{}, "commonLabels": map[string]string{},
		"commonAnnotations": map[string]string{}, "externalURL": "http://alerts.example", "truncatedAlerts": 0, "somethingNew": true,
		"alerts": []any{map[string]any{
			"status": status, "labels": map[string]string{"alertname": "TooManyErrors", "severity": "critical", "module": module},
			"annotations": map[string]string{"summary": "one in ten requests fails"}, "startsAt": since, "endsAt": time.Time{}, "generatorURL": "http://prometheus.example", "fingerprint": fingerprint,
		}},
	})
	s.must(err)
	r := httptest.NewRequest(http.MethodPost, "/alertmanager/webhook", bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.knock(w, r)
	return w.Code
}

// TestAlertHoldsARelease is an alert on what is being released, and on what depends on it: it
// stops the run once, the thread says why, and a person goes on.
func TestAlertHoldsARelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t)
		s.config.Server.Alertmanager = &configs.Alertmanager{Token: configs.NewSecret("a-token-of-alertmanager")}
		s.config.Catalog.Rules = []playbooks.Rule{{Name: "alert-holds", Source: "alertmanager", Kind: "alert-firing", Do: playbooks.RuleHold, As: "robot"}}
		s.start()
		defer s.stop()
		if !s.develop() {
			return
		}
		if a := s.say("ann", "release cart@v1.4.0 to production"); a.Err != nil {
			t.Fatal(a.Err)
		}
		time.Sleep(time.Minute)
		began := time.Now()
		if code := s.alert("somebody-elses-token", "firing", "web", "f1", began); code != http.StatusUnauthorized {
			t.Errorf("an alert by nobody is answered with %d", code)
		}
		time.Sleep(time.Minute)
		if status, _ := s.status(); status != playbooks.StatusWaiting {
			t.Fatalf("an alert by nobody makes the run %s", status)
		}
		for range 3 { // web needs cart, and Alertmanager repeats itself
			if code := s.alert("a-token-of-alertmanager", "firing", "web", "f1", began); code/100 != 2 {
				t.Fatalf("an alert is answered with %d", code)
			}
			time.Sleep(time.Minute)
		}
		if status, why := s.status(); status != playbooks.StatusPaused || !strings.Contains(why, "alert-holds") {
			t.Fatalf("the run is %s: %s", status, why)
		}
		pauses := 0
		s.must(s.app.engine.Events(t.Context(), "1", 1, func(_ uint64, e playbooks.Event) error {
			if e.Type == playbooks.EventPaused {
				pauses++
			}
			return nil
		}))
		if said := s.said(); pauses != 1 || !strings.Contains(said, "TooManyErrors fires: one in ten requests fails") {
			t.Errorf("%d pauses, and the channel hears\n%s", pauses, said)
		}
		s.alert("a-token-of-alertmanager", "resolved", "web", "f1", began)
		time.Sleep(time.Minute)
		if status, _ := s.status(); status != playbooks.StatusPaused {
			t.Errorf("when it is over the run is %s by itself", status)
		}
		if a := s.say("bob", "resume 1"); a.Err != nil {
			t.Errorf("resume: %v", a.Err)
		}
		time.Sleep(5 * time.Minute)
		if status, why := s.status(); status != playbooks.StatusWaiting {
			t.Errorf("after that the run is %s: %s", status, why)
		}
	})
}

// TestWhoIsOnCallIsPagedAndMayApprove lets a release wait: the pager rings once, for one
// incident, and an answer of whoever is on call, who is in the group that is asked, resolves it.
func TestWhoIsOnCallIsPagedAndMayApprove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const key = "0123456789abcdef0123456789abcdef"
		pager := pagerdutyfake.New(pagerdutyfake.Options{RoutingKeys: []string{key}, Token: "a-token-of-pagerduty"})
		defer pager.Close()
		s := newStory(t)
		onCall := pager.AddUser(pagerdutyfake.User{Name: "Bob", Email: "bob@shop.example"})
		schedule := pager.AddSchedule(pagerdutyfake.Schedule{Name: "shop", Shifts: []pagerdutyfake.Shift{{User: onCall.ID, Start: time.Now().Add(-time.Hour), End: time.Now().Add(240 * time.Hour)}}})
		s.pager = pager.Client().Transport
		s.config.Server.PagerDuty = &configs.PagerDuty{
			RoutingKey: configs.NewSecret(key), Token: configs.NewSecret("a-token-of-pagerduty"), After: 15 * time.Minute,
			EventsURL: "http://127.0.0.3", APIURL: "http://127.0.0.3",
		}
		c := s.config.Catalog
		c.Groups = []playbooks.Group{{Name: "leads", From: map[string]string{"pagerduty": schedule.ID}}}
		c.Modules[0].OnCall = schedule.ID
		for i := range c.People {
			if c.People[i].ID == "bob" {
				c.People[i].Email = "bob@shop.example"
			}
		}
		s.start()
		defer s.stop()
		if !s.develop() {
			return
		}
		if a := s.say("ann", "oncall cart"); a.Err != nil || !strings.Contains(a.Card.Text, "Bob") {
			t.Errorf("oncall says %q, %v", a.Card.Text, a.Err)
		}
		if a := s.say("ann", "release cart@v1.4.0 to production"); a.Err != nil {
			t.Fatal(a.Err)
		}
		time.Sleep(10 * time.Minute)
		if all := pager.Incidents(); len(all) != 0 {
			t.Errorf("after ten minutes there are %+v", all)
		}
		time.Sleep(2 * time.Hour)
		all := pager.Incidents()
		if len(all) != 1 || all[0].Status != "triggered" {
			t.Fatalf("after two hours there are %+v", all)
		}
		if a := s.say("bob", "approve 1"); a.Err != nil {
			t.Fatalf("bob, who is on call: %v", a.Err)
		}
		s.wait("the incident is resolved", time.Hour, func() bool { return pager.Incidents()[0].Status == "resolved" })
		if all := pager.Incidents(); len(all) != 1 {
			t.Errorf("there are %+v", all)
		}
	})
}

// TestTrainLeavesThroughGitLab lets the clock release what was built.
func TestTrainLeavesThroughGitLab(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t)
		s.config.Catalog.Rules = nil
		s.config.Catalog.Trains = []playbooks.Train{{
			Name: "nightly", Schedule: "0 3 * * *", Zone: "UTC", Environment: "production", Lead: time.Hour, Remind: []time.Duration{30 * time.Minute}, As: "robot",
		}}
		s.start()
		defer s.stop()
		if !s.develop() {
			return
		}
		s.must(s.jira.Move("ann", "SHOP-1", "Ready for release", nil))
		s.wait("the train boards", 4*time.Hour, func() bool { status, _ := s.status(); return status == playbooks.StatusWaiting })
		if a := s.say("ann", "trains"); a.Err != nil || !strings.Contains(a.Card.Sections[0].Items[0].Detail, "release 1 departs at") {
			t.Errorf("trains says %+v, %v", a.Card, a.Err)
		}
		if a := s.say("bob", "approve 1"); a.Err != nil {
			t.Fatal(a.Err)
		}
		time.Sleep(20 * time.Minute)
		if tags := s.gitlab.Tags("shop/cart"); len(tags) != 0 {
			t.Errorf("before the departure there are tags: %v", tags)
		}
		s.wait("everything is as it should be", 3*time.Hour, func() bool { return len(s.wrong()) == 0 })
		for _, w := range s.wrong() {
			t.Error(w)
		}
		if said := s.said(); !strings.Contains(said, "Train nightly is release 1") {
			t.Errorf("the channel hears\n%s", said)
		}
	})
}
