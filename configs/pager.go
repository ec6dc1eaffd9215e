package configs

import (
	"strings"
	"time"
)

// The names of those who call people and who are told of alerts, in Group.From and in rules.
const (
	pagerdutySystem    = "pagerduty"
	alertmanagerSystem = "alertmanager"
)

// PagerDuty says how people on call are told, and who they are.
type PagerDuty struct {
	// RoutingKey is the integration key of the service that incidents belong to.
	RoutingKey Secret
	// Token is of PagerDuty's REST API, which knows the schedules; empty: nobody can be asked
	// who is on call.
	Token Secret
	// After is how long a release may wait for people before they are called, from a minute to a
	// day; 15 minutes where nothing is said.
	After time.Duration
	// EventsURL and APIURL are where PagerDuty's two interfaces are, without a slash at the end;
	// empty: at PagerDuty.
	EventsURL, APIURL string
}

const (
	defaultPageAfter = 15 * time.Minute
	minPageAfter     = time.Minute
	maxPageAfter     = 24 * time.Hour
)

// routingKeyLength is that of an integration key:
// https://developer.pagerduty.com/api-reference/368ae3d938c9e-send-an-event-to-pager-duty.
const routingKeyLength = 32

func (d *decoder) pagerduty(n *node) {
	s := &PagerDuty{After: defaultPageAfter}
	d.server.PagerDuty = s
	if n.kind != mapping {
		d.hide(n) // it may be one of the secrets
	}
	if !d.object(n, "the settings of PagerDuty",
		field{key: "routingKey", secret: true, decode: func(n *node) {
			s.RoutingKey = d.key(n)
			if value := s.RoutingKey.Reveal(); value != "" && len(value) != routingKeyLength {
				d.report(n.at, "it is the Integration Key of an Events API v2 integration", "%q wants %d characters", n.name, routingKeyLength)
			}
		}},
		field{key: "token", secret: true, decode: func(n *node) {
			d.schedules = true
			s.Token = d.key(n)
		}},
		field{key: "after", decode: func(n *node) { s.After = d.between(n, minPageAfter, maxPageAfter) }},
		field{key: "eventsURL", decode: func(n *node) { s.EventsURL = d.secure(n) }},
		field{key: "apiURL", decode: func(n *node) { s.APIURL = d.secure(n) }},
	) {
		return
	}
	d.require(n, "the settings of PagerDuty", "routingKey")
}

// schedule reads the ID of a schedule.
func (d *decoder) schedule(n *node) string {
	value := d.given(n, d.text(n))
	if value == "" || isPagerDutyID(value) {
		return value
	}
	hint := ""
	if id := value[strings.LastIndexAny(value, "/#")+1:]; isPagerDutyID(id) {
		hint = "did you mean " + quote(id) + "?"
	} else if guess := strings.ToUpper(value); isPagerDutyID(guess) {
		hint = "did you mean " + quote(guess) + "?"
	}
	d.report(n.at, hint, "%q is no ID of a schedule in PagerDuty: it is at the end of the schedule's address, such as PABC123", value)
	return ""
}

func isPagerDutyID(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// Alertmanager says how an Alertmanager shows that it is the one that may tell of
// alerts: by User and Password, or by Token.
type Alertmanager struct {
	User     string
	Password Secret
	Token    Secret
}

func (d *decoder) alertmanager(n *node) {
	s := &Alertmanager{}
	d.server.Alertmanager = s
	if n.kind != mapping {
		d.hide(n) // it may be one of the secrets
	}
	var user, password, token *node
	if !d.object(n, "the settings of Alertmanager",
		field{key: "user", decode: func(n *node) { user, s.User = n, d.user(n) }},
		field{key: "password", secret: true, decode: func(n *node) { password, s.Password = n, d.strong(n) }},
		field{key: "token", secret: true, decode: func(n *node) { token, s.Token = n, d.strong(n) }},
	) {
		return
	}
	switch {
	case token != nil && (user != nil || password != nil):
		d.report(n.at, "give user and password, or token", "Alertmanager shows only one of them")
	case token == nil && user == nil && password == nil:
		d.report(n.at, "give user and password, or token", "anybody could say that an alert fires")
	case token == nil:
		d.require(n, "the settings of Alertmanager", "user", "password")
	}
}

// user reads the name of an account, which basic authentication ends with a colon.
func (d *decoder) user(n *node) string {
	value := d.setting(n)
	switch {
	case value == "" && n.kind == text:
		if _, named := variable(n.text); !named {
			d.report(n.at, "", "%q is empty", n.name)
		}
	case strings.Contains(value, ":"):
		d.hide(n) // the password may be behind it
		d.report(n.at, "", "%q contains a colon", n.name)
	}
	return value
}
