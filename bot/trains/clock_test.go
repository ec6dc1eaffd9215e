package trains

import (
	"testing"
	"time"
	_ "time/tzdata" // zones do not depend on the machine
)

func TestClock(t *testing.T) {
	for _, c := range []struct {
		name, schedule, zone, after string
		want                        []string
	}{
		{"every day", "30 2 * * *", "Europe/Berlin", "2026-07-01T00:00:00+02:00", []string{"2026-07-01T02:30:00+02:00", "2026-07-02T02:30:00+02:00"}},
		{"on Tuesdays", "0 14 * * TUE", "Europe/Berlin", "2026-11-24T14:00:00+01:00", []string{"2026-12-01T14:00:00+01:00"}},
		{"a reading that is left out", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"a reading that comes twice", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"every half hour through the change back", "*/30 * * * *", "Europe/Berlin", "2026-10-25T02:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T03:00:00+01:00", "2026-10-25T03:30:00+01:00"}},
		{"asked in the second of two hours", "15 2 * * *", "Europe/Berlin", "2026-10-25T02:10:00+01:00", []string{"2026-10-26T02:15:00+01:00"}},
		{"after the change to summer time", "0 9 * * *", "America/New_York", "2026-03-08T00:30:00-05:00", []string{"2026-03-08T09:00:00-04:00"}},
		{"half an hour's change", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+10:30", []string{"2026-10-04T02:45:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"a day that a zone left out", "0 12 * * *", "Pacific/Apia", "2011-12-29T13:00:00-10:00", []string{"2011-12-31T12:00:00+14:00"}},
		{"never", "0 0 30 2 *", "UTC", "2026-01-01T00:00:00Z", []string{""}},
	} {
		at, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		clock, err := newClock(c.schedule, c.zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			at = clock.next(at)
			got := at.Format(time.RFC3339)
			if at.IsZero() {
				got = ""
			}
			if got != want {
				t.Errorf("%s: got %s, want %s", c.name, got, want)
			}
		}
	}
}

// TestClockTicksOncePerReading walks through years of changes in many zones: ticks rise, and no
// reading of a wall's clock ticks twice.
func TestClockTicksOncePerReading(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Tehran", "America/St_Johns", "UTC"} {
		clock, err := newClock("17 */2 * * *", zone)
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]bool)
		at := time.Date(2014, 1, 1, 0, 0, 0, 0, time.UTC)
		days := make(map[string]int)
		for at.Year() < 2020 {
			next := clock.next(at)
			if !next.After(at) {
				t.Fatalf("%s: %v follows %v", zone, next, at)
			}
			at = next
			reading := at.Format("2006-01-02 15:04")
			if seen[reading] {
				t.Errorf("%s: %s ticks twice", zone, reading)
			}
			seen[reading] = true
			days[at.Format("2006-01-02")]++
		}
		for day, n := range days {
			if n != 12 && day > "2014-01-01" && day < "2019-12-31" {
				t.Errorf("%s: %d ticks on %s, want 12", zone, n, day)
			}
		}
	}
}

func TestClockRefuses(t *testing.T) {
	for _, c := range [][2]string{{"0 14 * *", "UTC"}, {"CRON_TZ=UTC 0 14 * * *", "UTC"}, {"0 14 * * *", "Nowhere/Else"}, {"61 14 * * *", "UTC"}} {
		if _, err := newClock(c[0], c[1]); err == nil {
			t.Errorf("%q in %q is taken", c[0], c[1])
		}
	}
}
