package main

import (
	"strings"
	"testing"

	"github.com/muster-release/muster/cmd/internal/alone/alonetest"
)

func TestRunAlone(t *testing.T) {
	const key = "fedcba9876543210fedcba9876543210"
	out := alonetest.Start(t, run, "--token", "t0ken", "--routing-key", key)
	page, schedule := out.Find(t, `page +(\S+)`), out.Find(t, `schedule +(\S+)`)
	event := `{"routing_key":"` + key + `","event_action":"trigger","dedup_key":"try","payload":{"summary":"It <burns>","source":"me","severity":"critical"}}`
	if status, got := alonetest.Do(t, "POST", page+"/v2/enqueue", nil, event); status != 202 {
		t.Errorf("the event: HTTP %d: %s", status, got)
	}
	if status, got := alonetest.Do(t, "POST", page+"/v2/enqueue", nil, strings.Replace(event, key, strings.Repeat("0", 32), 1)); status != 400 {
		t.Errorf("with another key: HTTP %d: %s", status, got)
	}
	if status, got := alonetest.Do(t, "GET", page+"/", nil, ""); status != 200 || !strings.Contains(got, "It &lt;burns&gt;") {
		t.Errorf("the page: HTTP %d: %s", status, got)
	}
	if status, got := alonetest.Do(t, "GET", page+"/oncalls?schedule_ids[]="+schedule+"&include[]=users", map[string]string{"Authorization": "Token token=t0ken"}, ""); status != 200 || !strings.Contains(got, "ann@boutique.example") || strings.Contains(got, "bob@") {
		t.Errorf("on call: HTTP %d: %s", status, got)
	}
	if status, _ := alonetest.Do(t, "GET", page+"/oncalls", map[string]string{"Authorization": "Token token=other"}, ""); status != 401 {
		t.Errorf("with another token: HTTP %d", status)
	}
}

func TestRefuses(t *testing.T) {
	alonetest.Refuses(t, run, []string{"--routing-key", "short"}, []string{"--listen", "nowhere:x"})
}

func TestTakenPort(t *testing.T) { alonetest.Taken(t, run) }
