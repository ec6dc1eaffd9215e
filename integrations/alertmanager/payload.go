package alertmanager

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/integrations/calls"
)

const (
	// mostAlerts is how many alerts one delivery may have.
	mostAlerts = 1000
	// mostLabels is how many labels of an alert are taken, in the order of their names.
	mostLabels = 64
	// mostName, mostValue and mostSummary are in bytes.
	mostName    = 128
	mostValue   = 512
	mostSummary = 1000
)

// payload is version 4 of what the webhook receiver sends, as
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config describes it. What Muster has no
// use for, and what later versions add, is left out.
type payload struct {
	Version   string  `json:"version"`
	Receiver  string  `json:"receiver"`
	Truncated int     `json:"truncatedAlerts"`
	URL       string  `json:"externalURL"`
	Alerts    []alert `json:"alerts"`
}

type alert struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	Source      string            `json:"generatorURL"`
	Fingerprint string            `json:"fingerprint"`
}

// decode decodes a delivery: an event for each alert, and how many alerts Alertmanager left out.
func decode(body []byte, now time.Time) (all []events.Event, truncated int, err error) {
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, 0, fmt.Errorf("alertmanager: decode: %w", calls.Unquoted(err))
	}
	switch {
	case p.Version != "4":
		return nil, 0, errors.New("alertmanager: decode: it is not of version 4")
	case len(p.Alerts) > mostAlerts:
		return nil, 0, fmt.Errorf("alertmanager: decode: %d alerts are more than %d: set max_alerts in the receiver's webhook_config", len(p.Alerts), mostAlerts)
	}
	for i := range p.Alerts {
		if e, told := p.Alerts[i].event(&p, now); told {
			all = append(all, e)
		}
	}
	return all, max(p.Truncated, 0), nil
}

// event is the event of an alert. Alertmanager repeats what fires: by fingerprint and beginning, which
// stay, it is known again. An alert that fires once more has begun at another time.
func (a *alert) event(p *payload, now time.Time) (events.Event, bool) {
	e := events.Event{Source: System, Subject: a.fingerprint(), Link: link(a.Source, p.URL)}
	switch a.Status {
	case "firing":
		e.Kind, e.At = events.AlertFiring, a.StartsAt
	case "resolved":
		e.Kind, e.At = events.AlertResolved, a.EndsAt
	default:
		return e, false
	}
	e.Fact = fmt.Sprintf("%s %s %s", e.Kind, e.Subject, stamp(a.StartsAt))
	if e.Kind == events.AlertResolved {
		e.Fact += " " + stamp(a.EndsAt)
	}
	e.ID = strings.ReplaceAll(e.Fact, " ", "/")
	if e.At.IsZero() || e.At.Year() < 1970 || e.At.After(now) {
		e.At = now
	}
	e.At = e.At.UTC()
	e.Fields = map[string]string{"fingerprint": e.Subject}
	set := func(name, value string, most int) {
		if value = cut(value, most); value != "" {
			e.Fields[name] = value
		}
	}
	set("alert", a.Labels["alertname"], mostValue)
	set("severity", a.Labels["severity"], mostValue)
	set("receiver", p.Receiver, mostValue)
	set("summary", cmp.Or(a.Annotations["summary"], a.Annotations["description"], a.Annotations["message"]), mostSummary)
	if p.Truncated > 0 {
		set("truncated", strconv.Itoa(p.Truncated), mostValue)
	}
	names := slices.Sorted(maps.Keys(a.Labels))
	for _, name := range names[:min(len(names), mostLabels)] {
		if name != "" && len(name) <= mostName {
			set("label."+name, a.Labels[name], mostValue)
		}
	}
	return e, true
}

// fingerprint is what identifies the alert: Alertmanager's fingerprint, or where it sends none a digest of
// its labels.
func (a *alert) fingerprint() string {
	if f := a.Fingerprint; f != "" && len(f) <= mostName && strings.Trim(f, "0123456789abcdefABCDEF") == "" {
		return f
	}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		fmt.Fprintf(h, "%q=%q\n", name, a.Labels[name])
	}
	return "labels-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// stamp is a time as part of an identifier.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// link is where a person goes: to the expression, or else to Alertmanager.
func link(all ...string) string {
	for _, l := range all {
		if len(l) <= 2000 && (strings.HasPrefix(l, "https://") || strings.HasPrefix(l, "http://")) && utf8.ValidString(l) {
			return l
		}
	}
	return ""
}

// cut is the beginning of a text, in whole characters.
func cut(s string, most int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}
