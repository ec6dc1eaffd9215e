package pagerdutyfake

import (
	"fmt"
	"slices"
	"time"
)

// Status is where an incident stands.
type Status string

const (
	Triggered    Status = "triggered"
	Acknowledged Status = "acknowledged"
	Resolved     Status = "resolved"
)

// Incident is what an event opened. What later events of its key say is in its Log.
type Incident struct {
	Number     int // from 1
	RoutingKey string
	DedupKey   string
	Status     Status
	Summary    string
	Source     string
	Severity   string
	Component  string
	Group      string
	Class      string
	Details    map[string]any
	Client     string
	ClientURL  string
	Links      []Link
	Created    time.Time
	Log        []Entry
}

// Link is a link of an incident.
type Link struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// Entry is something that happened to an incident.
type Entry struct {
	Action  string // "trigger", "acknowledge", "resolve"
	By      string // somebody; empty: an event
	Time    time.Time
	Summary string // of a trigger
}

// User is somebody with an account.
type User struct {
	ID    string // empty: it gets one
	Name  string
	Email string
}

// Shift is a time for which somebody is on call.
type Shift struct {
	User       string // ID
	Start, End time.Time
}

// Schedule says who is on call when.
type Schedule struct {
	ID     string // empty: it gets one
	Name   string
	Shifts []Shift
	// Levels are the levels at which escalation policies have it, one policy for each. Nil: one
	// policy, at level 1. Empty but not nil: no policy has it, and then it has no on-calls.
	Levels []int
}

// id makes a new number. Called with the lock held.
func (p *PagerDuty) id() int {
	p.lastID++
	return p.lastID
}

// AddUser makes an account, and returns it with its ID.
func (p *PagerDuty) AddUser(u User) User {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.ID == "" {
		u.ID = fmt.Sprintf("PUSER%02d", p.id())
	}
	p.users = append(p.users, &u)
	return u
}

// AddSchedule makes a schedule, and returns it with its ID.
func (p *PagerDuty) AddSchedule(s Schedule) Schedule {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.ID == "" {
		s.ID = fmt.Sprintf("PSCHED%02d", p.id())
	}
	if s.Levels == nil {
		s.Levels = []int{1}
	}
	s.Shifts, s.Levels = slices.Clone(s.Shifts), slices.Clone(s.Levels)
	p.schedules = append(p.schedules, &s)
	return s
}

// SetShifts replaces the shifts of a schedule.
func (p *PagerDuty) SetShifts(schedule string, shifts ...Shift) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.schedule(schedule)
	if s == nil {
		return fmt.Errorf("pagerdutyfake: there is no schedule %q", schedule)
	}
	s.Shifts = slices.Clone(shifts)
	return nil
}

// RemoveSchedule takes a schedule away.
func (p *PagerDuty) RemoveSchedule(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.schedules = slices.DeleteFunc(p.schedules, func(s *Schedule) bool { return s.ID == id })
}

// Incidents returns all incidents, in the order in which they were opened.
func (p *PagerDuty) Incidents() []Incident {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Incident, len(p.incidents))
	for n, i := range p.incidents {
		all[n] = *i
		all[n].Log, all[n].Links = slices.Clone(i.Log), slices.Clone(i.Links)
	}
	return all
}

// Acknowledge lets somebody take an incident up in PagerDuty itself.
func (p *PagerDuty) Acknowledge(number int, by string) error {
	return p.act(number, by, "acknowledge", Acknowledged)
}

// Resolve lets somebody close an incident in PagerDuty itself.
func (p *PagerDuty) Resolve(number int, by string) error {
	return p.act(number, by, "resolve", Resolved)
}

func (p *PagerDuty) act(number int, by, action string, to Status) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if number < 1 || number > len(p.incidents) || p.incidents[number-1].Status == Resolved {
		return fmt.Errorf("pagerdutyfake: incident %d is not open", number)
	}
	i := p.incidents[number-1]
	i.Status = to
	i.Log = append(i.Log, Entry{Action: action, By: by, Time: time.Now()})
	return nil
}

// schedule and user find by ID, nil if there is none. Called with the lock held.
func (p *PagerDuty) schedule(id string) *Schedule {
	for _, s := range p.schedules {
		if s.ID == id {
			return s
		}
	}
	return nil
}

func (p *PagerDuty) user(id string) *User {
	for _, u := range p.users {
		if u.ID == id {
			return u
		}
	}
	return nil
}
