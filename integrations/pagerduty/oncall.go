package pagerduty

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	pd "github.com/PagerDuty/go-pagerduty"

	"github.com/muster-release/muster/playbooks/steps"
)

const (
	// knowOnCall is for how long an answer about who is on call counts.
	knowOnCall = time.Minute
	// mostKnown bounds what is remembered.
	mostKnown = 1000
	// onPage is how many on-calls are asked for at once, 100 at the most; mostPages bounds how
	// often. See https://developer.pagerduty.com/docs/pagination.
	onPage    = 100
	mostPages = 20
)

// known is who was on call when PagerDuty was asked.
type known struct {
	duties []duty
	until  time.Time
}

// duty is somebody who is on call.
type duty struct {
	id    string // of the user
	level uint   // of escalation; 0: no policy asks for it
	steps.Duty
}

// scheduleForm is what the ID of a schedule looks like.
var scheduleForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// OnCall implements steps.Rota. A schedule is given by its ID, the last part of its address in
// PagerDuty: "PI7DH85". Who is called first comes first. An answer may be a minute old, but never
// names somebody whose shift is over.
//
// PagerDuty's on-calls are those of escalation policies. A schedule that none has is asked itself, which
// does not say until when.
func (p *PagerDuty) OnCall(ctx context.Context, schedule string) ([]steps.Duty, error) {
	found, err := p.onCall(ctx, schedule)
	if err != nil {
		return nil, err
	}
	var all []steps.Duty
	for _, d := range found {
		all = append(all, d.Duty)
	}
	return all, nil
}

func (p *PagerDuty) onCall(ctx context.Context, schedule string) ([]duty, error) {
	what := fmt.Sprintf("ask who is on call in schedule %q", schedule)
	switch {
	case p.o.Token == "":
		return nil, refuse("%s: there is no token for the REST API", what)
	case !scheduleForm.MatchString(schedule):
		err := refuse("%s: that is no ID of a schedule; it is the last part of the schedule's address, such as PI7DH85", what)
		err.gone = true
		return nil, err
	}
	p.mu.Lock()
	k, ok := p.known[schedule]
	p.mu.Unlock()
	if ok && time.Now().Before(k.until) {
		return k.duties, nil
	}
	duties, err := p.listOnCalls(ctx, what, schedule)
	if err == nil && len(duties) == 0 {
		duties, err = p.listUsers(ctx, what, schedule)
	}
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(duties, func(a, b duty) int {
		return cmp.Or(cmp.Compare(a.level, b.level), cmp.Compare(a.Name, b.Name), cmp.Compare(a.id, b.id))
	})
	k = known{duties, time.Now().Add(knowOnCall)}
	for _, d := range duties {
		if !d.Until.IsZero() && d.Until.Before(k.until) {
			k.until = d.Until
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= mostKnown {
		clear(p.known)
	}
	p.known[schedule] = k
	return duties, nil
}

// listOnCalls asks for the on-calls of a schedule. Somebody who is on call for several policies is
// there once. See https://developer.pagerduty.com/api-reference, List all of the on-calls.
func (p *PagerDuty) listOnCalls(ctx context.Context, what, schedule string) ([]duty, error) {
	byUser := make(map[string]duty)
	o := pd.ListOnCallOptions{ScheduleIDs: []string{schedule}, Includes: []string{"users"}, Earliest: true, Limit: onPage}
	for range mostPages {
		var page *pd.ListOnCallsResponse
		err := p.call(ctx, what, restWait, func(ctx context.Context) (err error) {
			page, err = p.api.ListOnCallsWithContext(ctx, o)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, c := range page.OnCalls {
			d := dutyOf(c.User)
			d.level = c.EscalationLevel
			if end, err := time.Parse(time.RFC3339, c.End); err == nil {
				d.Until = end.UTC()
			}
			if was, twice := byUser[d.id]; twice {
				d.level = min(d.level, was.level)
				if d.Until.IsZero() || was.Until.IsZero() {
					d.Until = time.Time{} // always, for one of them
				} else if was.Until.After(d.Until) {
					d.Until = was.Until
				}
			}
			if d.id != "" {
				byUser[d.id] = d
			}
		}
		if !page.More {
			return slices.Collect(maps.Values(byUser)), nil
		}
		o.Offset += onPage
	}
	return nil, fmt.Errorf("pagerduty: %s: there are more than %d on-calls", what, mostPages*onPage)
}

// listUsers asks the schedule itself who is on call now. See https://developer.pagerduty.com/api-reference,
// List users on call.
func (p *PagerDuty) listUsers(ctx context.Context, what, schedule string) ([]duty, error) {
	now := time.Now().UTC()
	o := pd.ListOnCallUsersOptions{Since: now.Format(time.RFC3339), Until: now.Add(time.Second).Format(time.RFC3339)}
	var users []pd.User
	err := p.call(ctx, what, restWait, func(ctx context.Context) (err error) {
		users, err = p.api.ListOnCallUsersWithContext(ctx, schedule, o)
		return err
	})
	var duties []duty
	for _, u := range users {
		if u.ID != "" {
			duties = append(duties, dutyOf(u))
		}
	}
	return duties, err
}

func dutyOf(u pd.User) duty {
	return duty{id: u.ID, Duty: steps.Duty{Name: cmp.Or(u.Name, u.Summary), Email: u.Email}}
}

// Members returns the people of the catalog who are on call in a schedule, and by name and ID those
// who are nobody in it. Somebody is found by the handle that they have for PagerDuty, a user's ID or
// address there, or else by their address; where several claim the same, it is nobody. An error that is
// Gone says that there is no such schedule.
func (p *PagerDuty) Members(ctx context.Context, schedule string) (people, strangers []string, err error) {
	duties, err := p.onCall(ctx, schedule)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range duties {
		if id := p.person(d); id == "" {
			strangers = append(strangers, fmt.Sprintf("%s (%s)", d.Name, d.id))
		} else if !slices.Contains(people, id) {
			people = append(people, id)
		}
	}
	return people, strangers, nil
}

// person is who in the catalog somebody on call is, empty if nobody or more than one.
func (p *PagerDuty) person(d duty) string {
	var byHandle, byAddress []string
	for _, one := range p.o.People() {
		switch handle := one.Handles[System]; {
		case handle == d.id, handle != "" && strings.EqualFold(handle, d.Email):
			byHandle = append(byHandle, one.ID)
		case handle == "" && d.Email != "" && strings.EqualFold(one.Email, d.Email):
			byAddress = append(byAddress, one.ID)
		}
	}
	if len(byHandle) == 0 {
		byHandle = byAddress
	}
	if len(byHandle) != 1 {
		return ""
	}
	return byHandle[0]
}
