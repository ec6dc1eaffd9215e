// Package pagerduty is Muster's adapter for PagerDuty: it calls people through the Events API v2, and
// asks the REST API v2 who is on call. It decides nothing: what is sent, and how often, is asked of it.
package pagerduty

import (
	"cmp"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	pd "github.com/PagerDuty/go-pagerduty"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// System is PagerDuty's name in the handles of people and in where groups come from.
const System = "pagerduty"

// Where PagerDuty is, for accounts outside the EU. See
// https://developer.pagerduty.com/docs/rest-api-overview.
const (
	DefaultEventsURL = "https://events.pagerduty.com"
	DefaultAPIURL    = "https://api.pagerduty.com"
)

// Options are what a PagerDuty needs. Each half works without the other one.
type Options struct {
	// RoutingKey is the integration key that pages go to, of 32 characters. Empty: nobody is paged.
	RoutingKey string
	// Token is a key of the REST API; one that may only read is enough. Empty: nobody knows who is on call.
	Token string
	// EventsURL and APIURL say where PagerDuty is; empty: DefaultEventsURL and DefaultAPIURL. Accounts
	// in the EU have https://events.eu.pagerduty.com and https://api.eu.pagerduty.com.
	EventsURL, APIURL string
	// Source is what pages say they come from. Empty: "muster".
	Source string
	// People are those of the catalog. Nil: there are none.
	People func() []playbooks.Person
	HTTP   *http.Client // nil: one of its own
	Log    *slog.Logger // nil: nothing is logged
}

// PagerDuty calls people and knows who is on call. Its methods may be called concurrently.
type PagerDuty struct {
	o   Options
	api *pd.Client
	log *slog.Logger

	mu    sync.Mutex
	known map[string]known // who is on call, by schedule
}

var (
	_ steps.Pager = (*PagerDuty)(nil)
	_ steps.Rota  = (*PagerDuty)(nil)
)

// New returns a PagerDuty. It makes no call yet.
func New(o Options) *PagerDuty {
	o.EventsURL = strings.TrimSuffix(strings.TrimRight(cmp.Or(o.EventsURL, DefaultEventsURL), "/"), "/v2/enqueue")
	o.APIURL = strings.TrimRight(cmp.Or(o.APIURL, DefaultAPIURL), "/")
	o.Source = cmp.Or(o.Source, "muster")
	if o.People == nil {
		o.People = func() []playbooks.Person { return nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{}
	}
	client := *o.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // keys go nowhere else
	p := &PagerDuty{o: o, log: o.Log, known: make(map[string]known)}
	p.api = pd.NewClient(o.Token, pd.WithAPIEndpoint(o.APIURL), pd.WithV2EventsAPIEndpoint(o.EventsURL))
	p.api.HTTPClient = wire{&client}
	return p
}
