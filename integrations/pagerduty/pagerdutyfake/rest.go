package pagerdutyfake

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

func reference(kind, id, summary string) object {
	return object{
		"id": id, "type": kind + "_reference", "summary": summary,
		"self": "https://api.pagerduty.com/" + kind + "s/" + id, "html_url": "https://example.pagerduty.com/" + kind + "s/" + id,
	}
}

func (u *User) json() object {
	o := reference("user", u.ID, u.Name)
	o["type"], o["name"], o["email"], o["time_zone"], o["role"] = "user", u.Name, u.Email, "Etc/UTC", "user"
	return o
}

func (s *Schedule) json() object {
	o := reference("schedule", s.ID, s.Name)
	o["type"], o["name"], o["time_zone"] = "schedule", s.Name, "Etc/UTC"
	return o
}

func (p *PagerDuty) getAbilities(string, url.Values) answer {
	return answer{Status: http.StatusOK, Body: object{"abilities": []string{"manage_schedules", "teams"}}}
}

func (p *PagerDuty) getUsers(_ string, q url.Values) answer {
	all := []object{}
	for _, u := range p.users {
		if like := strings.ToLower(q.Get("query")); strings.Contains(strings.ToLower(u.Name+"\n"+u.Email), like) {
			all = append(all, u.json())
		}
	}
	return paged(q, "users", all)
}

func (p *PagerDuty) getUser(id string, _ url.Values) answer {
	u := p.user(id)
	if u == nil {
		return notFound
	}
	return answer{Status: http.StatusOK, Body: object{"user": u.json()}}
}

func (p *PagerDuty) getSchedules(_ string, q url.Values) answer {
	all := []object{}
	for _, s := range p.schedules {
		if strings.Contains(strings.ToLower(s.Name), strings.ToLower(q.Get("query"))) {
			all = append(all, s.json())
		}
	}
	return paged(q, "schedules", all)
}

func (p *PagerDuty) getSchedule(id string, _ url.Values) answer {
	s := p.schedule(id)
	if s == nil {
		return notFound
	}
	return answer{Status: http.StatusOK, Body: object{"schedule": s.json()}}
}

// span reads since and until: now where there is none.
func span(q url.Values) (since, until time.Time, wrong *answer) {
	since, until = time.Now(), time.Now()
	for name, t := range map[string]*time.Time{"since": &since, "until": &until} {
		if v := q.Get(name); v != "" {
			at, err := time.Parse(time.RFC3339, v)
			if err != nil {
				a := refuse(http.StatusBadRequest, 2004, "Invalid time values in 'since' and/or 'until' parameters")
				return since, until, &a
			}
			*t = at
		}
	}
	if until.Before(since) || until.Sub(since) > 92*24*time.Hour {
		a := refuse(http.StatusBadRequest, 2005, "Invalid Query Date Range")
		return since, until, &a
	}
	return since, until, nil
}

// within returns the shifts that overlap a time, from the first to the last.
func (s *Schedule) within(since, until time.Time) []Shift {
	var found []Shift
	for _, shift := range s.Shifts {
		if !shift.Start.After(until) && shift.End.After(since) {
			found = append(found, shift)
		}
	}
	slices.SortStableFunc(found, func(a, b Shift) int { return a.Start.Compare(b.Start) })
	return found
}

func (p *PagerDuty) getScheduleUsers(id string, q url.Values) answer {
	s := p.schedule(id)
	since, until, wrong := span(q)
	switch {
	case s == nil:
		return notFound
	case wrong != nil:
		return *wrong
	}
	users := []object{}
	seen := map[string]bool{}
	for _, shift := range s.within(since, until) {
		if u := p.user(shift.User); u != nil && !seen[u.ID] {
			seen[u.ID] = true
			users = append(users, u.json())
		}
	}
	return answer{Status: http.StatusOK, Body: object{"users": users}}
}

// getOnCalls lists who is on call for which policy: what no policy has is not there. With earliest
// only the first of each policy, level and user is.
func (p *PagerDuty) getOnCalls(_ string, q url.Values) answer {
	since, until, wrong := span(q)
	if wrong != nil {
		return *wrong
	}
	type onCall struct {
		level int
		body  object
	}
	var found []onCall
	seen := map[string]bool{}
	for _, s := range p.schedules {
		if ids := q["schedule_ids[]"]; len(ids) > 0 && !slices.Contains(ids, s.ID) {
			continue
		}
		for n, level := range s.Levels {
			policy := fmt.Sprintf("PPOL%s%d", s.ID, n)
			for _, shift := range s.within(since, until) {
				u := p.user(shift.User)
				if ids := q["user_ids[]"]; u == nil || len(ids) > 0 && !slices.Contains(ids, u.ID) {
					continue
				}
				key := fmt.Sprint(policy, level, u.ID)
				if q.Get("earliest") == "true" && seen[key] {
					continue
				}
				seen[key] = true
				user := reference("user", u.ID, u.Name)
				if slices.Contains(q["include[]"], "users") {
					user = u.json()
				}
				found = append(found, onCall{level, object{
					"escalation_policy": reference("escalation_policy", policy, "Policy of "+s.Name), "escalation_level": level,
					"schedule": reference("schedule", s.ID, s.Name), "user": user,
					"start": shift.Start.UTC().Format(time.RFC3339), "end": shift.End.UTC().Format(time.RFC3339),
				}})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b onCall) int { return cmp.Compare(a.level, b.level) })
	all := []object{}
	for _, f := range found {
		all = append(all, f.body)
	}
	return paged(q, "oncalls", all)
}
