// Package pagerdutyfake is a PagerDuty in one process: incidents that events open and close on one
// side, users and schedules on the other. An adapter talks to it as it does to PagerDuty, tests play
// the people.
//
// It is written from PagerDuty's documentation (developer.pagerduty.com/docs/events-api-v2-overview,
// developer.pagerduty.com/api-reference) and serves both APIs at one address: POST /v2/enqueue, and
// GET /abilities, /users, /users/{id}, /schedules, /schedules/{id}, /schedules/{id}/users and /oncalls.
// Where the documentation leaves something open the fake is the stricter one: an integration key that
// nobody made is refused, and so is a field that is too long.
//
// What it does not do: change events, images, orchestrations, services and teams, writing over REST,
// webhooks, grouping of alerts (an alert is an incident), escalation in time, and OAuth.
package pagerdutyfake

import (
	"context"
	"sync"

	"github.com/muster-release/muster/integrations/accidents"
)

// Options says how a PagerDuty behaves. The zero value takes every integration key of 32 characters,
// answers REST without a token to nobody, and has no limits.
type Options struct {
	// RoutingKeys are the integration keys that there are. Empty: any one of 32 characters.
	RoutingKeys []string
	// Token is what REST asks for. Empty: every token is refused.
	Token string
	// EventsLimit is how many events each integration key may send, RESTLimit how many calls the
	// token may make; nil: as many as it likes. PagerDuty's own are 120 and 960 a minute.
	EventsLimit, RESTLimit *Limit
	// Fault decides what goes wrong with a call; see PagerDuty.SetFault.
	Fault func(Call) Fault
}

// PagerDuty is the fake: an http.Handler with state, which serves the APIs, and at the root a page of
// all incidents. Calls come over an accidents.Line, whose methods are its own. They may be called
// concurrently. In a testing/synctest bubble it works when it was made there.
type PagerDuty struct {
	*wire
	cancel context.CancelFunc

	mu        sync.Mutex
	keys      []string
	token     string
	sent      *accidents.Meter[string] // events, by integration key
	spent     *accidents.Meter[string] // calls of REST, by token
	lastID    int
	users     []*User
	schedules []*Schedule
	incidents []*Incident
}

// New starts a PagerDuty without people and schedules.
func New(o Options) *PagerDuty {
	p := &PagerDuty{
		keys: o.RoutingKeys, token: o.Token, sent: accidents.NewMeter[string](o.EventsLimit), spent: accidents.NewMeter[string](o.RESTLimit),
	}
	stop, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.wire = accidents.New(stop, accidents.System{
		Lock: &p.mu, MostBody: mostBody, JSON: "application/json; charset=utf-8", Enter: p.enter, Refuse: ill,
	}, o.Fault)
	return p
}

// Close lets go whoever hangs in a call, and refuses all connections from now on. It may be called twice.
func (p *PagerDuty) Close() { p.cancel() }

// SetToken replaces the token of REST.
func (p *PagerDuty) SetToken(token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.token = token
}
