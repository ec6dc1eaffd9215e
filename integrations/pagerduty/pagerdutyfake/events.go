package pagerdutyfake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// event is what is sent to POST /v2/enqueue.
type event struct {
	RoutingKey string `json:"routing_key"`
	Action     string `json:"event_action"`
	DedupKey   string `json:"dedup_key"`
	Client     string `json:"client"`
	ClientURL  string `json:"client_url"`
	Links      []Link `json:"links"`
	Payload    *struct {
		Summary   string         `json:"summary"`
		Source    string         `json:"source"`
		Severity  string         `json:"severity"`
		Timestamp string         `json:"timestamp"`
		Component string         `json:"component"`
		Group     string         `json:"group"`
		Class     string         `json:"class"`
		Details   map[string]any `json:"custom_details"`
	} `json:"payload"`
}

var (
	actions    = []string{"trigger", "acknowledge", "resolve"}
	severities = []string{"critical", "error", "warning", "info"}
)

// wrong lists what an event lacks; see developer.pagerduty.com/docs/send-alert-event.
func (e *event) wrong(keys []string) (errors []string) {
	bad := func(format string, args ...any) { errors = append(errors, fmt.Sprintf(format, args...)) }
	blank := func(name, value string) bool {
		if strings.TrimSpace(value) == "" {
			bad("'%s' is missing or blank", name)
			return true
		}
		return false
	}
	long := func(name, value string, most int) {
		if utf8.RuneCountInString(value) > most {
			bad("'%s' is too long (should be at most %d characters)", name, most)
		}
	}
	one := func(name, value string, of []string) {
		if !blank(name, value) && !slices.Contains(of, value) {
			bad("'%s' is not one of %s", name, strings.Join(of, ", "))
		}
	}
	switch {
	case blank("routing_key", e.RoutingKey):
	case len(e.RoutingKey) != 32:
		bad("Length of 'routing_key' is incorrect (should be 32 characters)")
	case len(keys) > 0 && !slices.Contains(keys, e.RoutingKey):
		bad("Invalid routing key")
	}
	one("event_action", e.Action, actions)
	long("dedup_key", e.DedupKey, 255)
	if e.Action == "acknowledge" || e.Action == "resolve" {
		blank("dedup_key", e.DedupKey)
		return errors
	}
	for _, l := range e.Links {
		blank("links.href", l.Href)
	}
	if e.Payload == nil {
		bad("'payload' is missing or blank")
		return errors
	}
	blank("payload.summary", e.Payload.Summary)
	long("payload.summary", e.Payload.Summary, 1024)
	blank("payload.source", e.Payload.Source)
	one("payload.severity", e.Payload.Severity, severities)
	if at := e.Payload.Timestamp; at != "" {
		_, err := time.Parse(time.RFC3339, at)
		if _, other := time.Parse("2006-01-02T15:04:05.999-0700", at); err != nil && other != nil {
			bad("'payload.timestamp' is not a time in ISO 8601")
		}
	}
	return errors
}

// take carries out an event. Called with the lock held.
func (p *PagerDuty) take(raw []byte) answer {
	if len(raw) > mostBody {
		return answer{Status: http.StatusRequestEntityTooLarge, Raw: "Request Entity Too Large"}
	}
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return answer{Status: http.StatusBadRequest, Body: object{
			"status": "Unrecognized object", "message": "Event object format is unrecognized", "errors": []string{"JSON parse error"},
		}}
	}
	if errors := e.wrong(p.keys); len(errors) > 0 {
		return answer{Status: http.StatusBadRequest, Body: object{"status": "invalid event", "message": "Event object is invalid", "errors": errors}}
	}
	if p.sent.Admit(e.RoutingKey) > 0 {
		return tooMany(true, 0)
	}
	if e.DedupKey == "" {
		e.DedupKey = fmt.Sprintf("%032x", p.id())
	}
	p.apply(&e)
	return answer{Status: http.StatusAccepted, Body: object{"status": "success", "message": "Event processed", "dedup_key": e.DedupKey}}
}

// apply opens an incident, or adds to the one that is open for the key. What is sent for a key
// of which none is open is dropped, unless it triggers. Called with the lock held.
func (p *PagerDuty) apply(e *event) {
	i := p.open(e.RoutingKey, e.DedupKey)
	now := time.Now()
	if i == nil {
		if e.Action != "trigger" {
			return
		}
		i = &Incident{
			Number: len(p.incidents) + 1, RoutingKey: e.RoutingKey, DedupKey: e.DedupKey, Status: Triggered, Summary: e.Payload.Summary,
			Source: e.Payload.Source, Severity: e.Payload.Severity, Component: e.Payload.Component, Group: e.Payload.Group, Class: e.Payload.Class,
			Details: e.Payload.Details, Client: e.Client, ClientURL: e.ClientURL, Links: e.Links, Created: now,
		}
		p.incidents = append(p.incidents, i)
	}
	line := Entry{Action: e.Action, Time: now}
	switch e.Action {
	case "trigger":
		line.Summary = e.Payload.Summary
	case "acknowledge":
		i.Status = Acknowledged
	case "resolve":
		i.Status = Resolved
	}
	i.Log = append(i.Log, line)
}

// open is the incident that is open for a key, nil if there is none. Called with the lock held.
func (p *PagerDuty) open(routing, dedup string) *Incident {
	for _, i := range p.incidents {
		if i.RoutingKey == routing && i.DedupKey == dedup && i.Status != Resolved {
			return i
		}
	}
	return nil
}
