package bot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// momentExamples are the forms that moment reads.
var momentExamples = []string{"2h", "18:00", "tomorrow 9:00", "monday 9:00", "2026-11-30"}

// moment reads a point in time to come: a duration (2h, 3d), a time of day
// (18:00: the next one), today, tomorrow, a day of the week or a date, each with a time of
// day or without, which means its beginning; or all of it as RFC 3339 has it. Times are those of now's zone.
func moment(words []string, now time.Time) (time.Time, error) {
	wrong := fmt.Errorf("%q is no time that I understand", strings.Join(words, " "))
	if len(words) == 0 || len(words) > 2 {
		return time.Time{}, wrong
	}
	first := strings.ToLower(words[0])
	if len(words) == 1 {
		if d, ok := duration(first); ok {
			return now.Add(d), nil
		}
		if clock, ok := timeOfDay(first); ok {
			return nextOf(now, onDay(now, 0, clock), 1), nil
		}
		if exact, err := time.Parse(time.RFC3339, words[0]); err == nil {
			return exact, nil
		}
	}
	clock := 0 * time.Second
	if len(words) == 2 {
		var ok bool
		if clock, ok = timeOfDay(words[1]); !ok {
			return time.Time{}, wrong
		}
	}
	if day, err := time.ParseInLocation(time.DateOnly, first, now.Location()); err == nil {
		return onDay(day, 0, clock), nil
	}
	switch first {
	case "today":
		return onDay(now, 0, clock), nil
	case "tomorrow":
		return onDay(now, 1, clock), nil
	}
	weekday := slices.IndexFunc(weekdays[:], func(name string) bool { return name == first || name[:3] == first })
	if weekday < 0 {
		return time.Time{}, wrong
	}
	ahead := (weekday - int(now.Weekday()) + 7) % 7
	return nextOf(now, onDay(now, ahead, clock), 7), nil
}

var weekdays = [...]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// onDay is a time of day so many days after that of now.
func onDay(now time.Time, days int, clock time.Duration) time.Time {
	return time.Date(now.Year(), now.Month(), now.Day()+days, int(clock.Hours()), int(clock.Minutes())%60, 0, 0, now.Location())
}

// nextOf is t, or what comes so many days later if t is over.
func nextOf(now, t time.Time, days int) time.Time {
	if !t.After(now) {
		return t.AddDate(0, 0, days)
	}
	return t
}

// maxDuration keeps a slip of the finger from freezing for longer than anybody
// remembers.
const maxDuration = 366 * 24 * time.Hour

// moment reads a TIME of a line; asks is the question that a wrong one is answered with.
func (c *call) moment(asks string) (time.Time, error) {
	var words []string
	for len(words) < 2 && !c.args.empty() && !c.args.peek().is("in") {
		words = append(words, c.args.next().text)
	}
	t, err := moment(words, c.now)
	if err != nil {
		return t, c.misused("%s %s.", asks, sentence(err.Error()))
	}
	return t, nil
}

func duration(s string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 366 {
			return time.Duration(n) * 24 * time.Hour, true
		}
		return 0, false
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d > 0 && d <= maxDuration
}

func timeOfDay(s string) (time.Duration, bool) {
	t, err := time.Parse("15:04", s)
	if err != nil {
		return 0, false
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, true
}
