package pagerduty

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	pd "github.com/PagerDuty/go-pagerduty"

	"github.com/muster-release/muster/playbooks/steps"
)

// What an event may have at the most. See https://developer.pagerduty.com/docs/send-alert-event for
// the characters; all of it may be 512 KB (https://developer.pagerduty.com/docs/events-api-v2-overview),
// of which details get a part that is not too long even where JSON takes six bytes for each character.
const (
	mostKey     = 255
	mostSummary = 1024
	mostDetail  = 8_000  // characters
	mostDetails = 60_000 // characters
)

var severities = []string{"critical", "error", "warning", "info"}

// Page implements steps.Pager with an event whose deduplication key is the page's: PagerDuty has at
// most one open incident for a key, so that a page may be sent again after any error. What becomes of
// an event that acknowledges or resolves where none is open: nothing.
//
// An error that is Permanent says in PagerDuty's words what it does not like; the same page is not
// taken the next time either.
func (p *PagerDuty) Page(ctx context.Context, page steps.Page) error {
	what := fmt.Sprintf("page %q", shorten(page.Key, 80))
	switch {
	case p.o.RoutingKey == "":
		return refuse("%s: there is no routing key", what)
	case page.Key == "":
		return refuse("page: there is no key that tells the incident from others")
	}
	e := pd.V2Event{RoutingKey: p.o.RoutingKey, Action: string(page.State), DedupKey: dedupKey(page.Key)}
	switch page.State {
	case steps.PageTriggered:
		p.describe(&e, page)
	case steps.PageAcknowledged, steps.PageResolved: // what they are about is known there already
	default:
		return refuse("%s: %q is no state of an incident", what, page.State)
	}
	err := p.call(ctx, what, eventsWait, func(ctx context.Context) error {
		_, err := p.api.ManageEventWithContext(ctx, &e)
		if h, _ := ctx.Value(heardKey{}).(*heard); h != nil && h.status/100 == 2 {
			return nil // it is accepted, whatever else is said
		}
		return err
	})
	if err == nil {
		p.log.Debug("a page was sent", "key", page.Key, "state", page.State, "class", page.Class)
	}
	return err
}

// describe fills in what an incident says.
func (p *PagerDuty) describe(e *pd.V2Event, page steps.Page) {
	e.Payload = &pd.V2Payload{
		Summary: shorten(cmp.Or(strings.Join(strings.Fields(page.Summary), " "), page.Key), mostSummary),
		Source:  p.o.Source, Severity: page.Severity, Component: page.Service, Group: page.Group, Class: page.Class,
	}
	if !slices.Contains(severities, page.Severity) {
		e.Payload.Severity = "error"
	}
	if !page.At.IsZero() {
		e.Payload.Timestamp = page.At.UTC().Format(time.RFC3339)
	}
	if details := fitting(page.Details); len(details) > 0 {
		e.Payload.Details = details
	}
	e.Client = "Muster"
	if u, err := url.Parse(page.Link); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
		e.ClientURL = page.Link
		e.Links = []any{map[string]string{"href": page.Link, "text": "The release in Muster"}}
	}
}

// fitting is as much of the details as goes into an event, in the order of their names.
func fitting(details map[string]string) map[string]string {
	fit := make(map[string]string, len(details))
	left := mostDetails
	for _, name := range slices.Sorted(maps.Keys(details)) {
		value := shorten(details[name], mostDetail)
		if left -= utf8.RuneCountInString(name) + utf8.RuneCountInString(value); left < 0 {
			break
		}
		fit[name] = value
	}
	return fit
}

// dedupKey is a page's key as PagerDuty takes it: a longer one is stood for by its hash, with its
// beginning for people.
func dedupKey(key string) string {
	if utf8.RuneCountInString(key) <= mostKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return string([]rune(key)[:mostKey-1-2*len(sum)]) + "-" + hex.EncodeToString(sum[:])
}
