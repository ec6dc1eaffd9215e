package trains

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// clock says when a train ticks: a schedule by the clock on the wall of a zone.
type clock struct {
	schedule cron.Schedule
	zone     *time.Location
}

// newClock reads a schedule of cron's five fields: https://pkg.go.dev/github.com/robfig/cron/v3#hdr-CRON_Expression_Format.
func newClock(schedule, zone string) (clock, error) {
	if strings.Contains(schedule, "TZ=") {
		return clock{}, fmt.Errorf("schedule %q: the zone is a setting of its own", schedule)
	}
	s, err := cron.ParseStandard(schedule)
	if err != nil {
		return clock{}, fmt.Errorf("schedule %q: %w", schedule, err)
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return clock{}, fmt.Errorf("schedule %q: %w", schedule, err)
	}
	return clock{s, location}, nil
}

// next is the first tick after a time; zero if there is none. Each reading of the wall's clock
// ticks once: one that the change to summer time leaves out ticks as if the clock had not been
// changed yet, one that the change back shows twice ticks the first time.
func (c clock) next(after time.Time) time.Time {
	wall := after.In(c.zone)
	// The schedule runs on a clock that is never changed, so that it skips and repeats nothing.
	reading := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), time.UTC)
	// One that the change has just shown for the second time maps to a time before after.
	for {
		reading = c.schedule.Next(reading)
		if reading.IsZero() {
			return reading
		}
		if at := c.at(reading); at.After(after) {
			return at
		}
	}
}

// at is when the clock on the wall shows a reading.
func (c clock) at(reading time.Time) time.Time {
	// Changes are hours apart from noon to noon at least, so that one of the offsets around is
	// that of before, and one that of after.
	const around = 6 * time.Hour
	offset := func(t time.Time) time.Duration {
		_, seconds := t.In(c.zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	guess := reading.Add(-offset(reading))
	before := reading.Add(-offset(guess.Add(-around)))
	after := reading.Add(-offset(guess.Add(around)))
	for _, t := range [...]time.Time{before, after} {
		if offset(t) == reading.Sub(t) {
			return t.In(c.zone)
		}
	}
	return before.In(c.zone)
}
