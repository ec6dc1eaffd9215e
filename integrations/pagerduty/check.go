package pagerduty

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/muster-release/muster/playbooks/steps"
)

// Check looks whether everything is in place in PagerDuty: the keys, and the schedules that the
// catalog names. It pages nobody, so that it cannot tell whether the routing key is taken.
func (p *PagerDuty) Check(ctx context.Context, schedules []string) []steps.Finding {
	found := []steps.Finding{p.checkKey()}
	switch {
	case p.o.Token != "":
		f := p.checkToken(ctx)
		if found = append(found, f); !f.OK {
			return found
		}
	case len(schedules) == 0:
		return append(found, steps.Finding{OK: true, What: "there is no token for the REST API, and nothing asks who is on call"})
	default:
		return append(found, steps.Finding{
			What: fmt.Sprintf("there is no token for the REST API, so nobody knows who is on call in %s", strings.Join(schedules, ", ")),
			Fix:  "make a read-only key under Integrations, API Access Keys, and give server: pagerduty: token",
		})
	}
	for _, s := range schedules {
		found = append(found, p.checkSchedule(ctx, s))
	}
	return found
}

func (p *PagerDuty) checkKey() steps.Finding {
	switch n := len(p.o.RoutingKey); n {
	case 0:
		return steps.Finding{What: "there is no routing key, so nobody is paged", Fix: "add an Events API v2 integration to a service, and give its key as server: pagerduty: routingKey"}
	case 32:
		return steps.Finding{OK: true, What: "the routing key has the right form; whether PagerDuty takes it cannot be tried without paging somebody"}
	default:
		return steps.Finding{
			What: fmt.Sprintf("the routing key has %d characters, and PagerDuty's have 32", n),
			Fix:  "copy the Integration Key of an Events API v2 integration; a key of the REST API is another thing",
		}
	}
}

func (p *PagerDuty) checkToken(ctx context.Context) steps.Finding {
	err := p.call(ctx, "try the token", restWait, func(ctx context.Context) error {
		_, err := p.api.ListAbilitiesWithContext(ctx)
		return err
	})
	var f *failure
	switch {
	case err == nil:
		return steps.Finding{OK: true, What: "PagerDuty takes the token"}
	case errors.As(err, &f) && f.status/100 == 4:
		return steps.Finding{What: err.Error(), Fix: "make a read-only key under Integrations, API Access Keys; accounts in the EU also need server: pagerduty: apiURL"}
	}
	return steps.Finding{What: err.Error(), Fix: "see that PagerDuty can be reached from here, and try again"}
}

func (p *PagerDuty) checkSchedule(ctx context.Context, schedule string) steps.Finding {
	duties, err := p.onCall(ctx, schedule)
	var f *failure
	switch {
	case errors.As(err, &f) && f.gone:
		return steps.Finding{What: fmt.Sprintf("there is no schedule %q", schedule), Fix: "take the last part of the schedule's address in PagerDuty, such as PI7DH85"}
	case err != nil:
		return steps.Finding{What: err.Error(), Fix: "see that the token may read schedules, and try again"}
	case len(duties) == 0:
		return steps.Finding{What: fmt.Sprintf("nobody is on call in schedule %q now", schedule), Fix: "fill the gap in the schedule"}
	}
	var names, strangers []string
	for _, d := range duties {
		name := d.Name
		if !d.Until.IsZero() {
			name += " until " + d.Until.Format("2 Jan 15:04 MST")
		}
		names = append(names, name)
		if p.person(d) == "" {
			strangers = append(strangers, fmt.Sprintf("%s, user %s", d.Name, d.id))
		}
	}
	what := fmt.Sprintf("on call in schedule %q: %s", schedule, strings.Join(names, ", "))
	if len(strangers) > 0 {
		return steps.Finding{
			What: what + "; not in the catalog: " + strings.Join(strangers, "; "),
			Fix:  "give the person who that is the same email, or the handle " + System + ": USER",
		}
	}
	return steps.Finding{OK: true, What: what}
}
