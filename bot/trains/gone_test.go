package trains_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/muster-release/muster/playbooks"
)

// TestTrainThatComesBack was taken out of the configuration at its tick, and has missed nothing: it does not run
// when it is put back, at a time that nobody has named.
func TestTrainThatComesBack(t *testing.T) {
	for _, down := range []bool{false, true} {
		at(t, depot(func(c *playbooks.Catalog) { c.Trains[0].Late = playbooks.LateRun }), func(s *station) {
			with, without := s.catalog, *s.catalog
			without.Trains = nil
			change := func(c *playbooks.Catalog) {
				if down {
					s.catalog = c
					s.down(time.Minute)
				} else {
					s.engine.SetPolicy(playbooks.NewPolicy(c))
				}
				time.Sleep(time.Minute)
			}
			s.until("2000-01-03 13:00")
			change(&without)
			s.until("2000-01-05 03:00")
			change(with)
			time.Sleep(time.Hour)
			s.wantHears()
			if runs := s.runs(); len(runs) != 0 {
				t.Errorf("there are runs %q", runs)
			}
			s.until("2000-01-11 14:00")
			s.wantHears("Train weekly is release 1 to production; it departs at Tue 11 Jan 16:00 CET.")
		})
	}
}

// TestTrainThatIsPreparedTooLate gives people the time that they always have before it leaves.
func TestTrainThatIsPreparedTooLate(t *testing.T) {
	at(t, depot(), func(s *station) {
		s.liveErr(errors.New("nobody knows what is live"))
		s.until("2000-01-04 17:00")
		s.wantHears()
		s.liveErr(nil)
		time.Sleep(time.Minute)
		s.wantHears("Train weekly is release 1 to production; it departs at Tue 4 Jan 19:00 CET.")
		s.must(s.engine.Do(context.Background(), playbooks.Command{Kind: playbooks.CommandApprove, By: "lea", Run: "1"}))
		time.Sleep(time.Hour)
		if v := s.live1("cart"); v != "" {
			t.Errorf("cart %s is live before the train has left", v)
		}
	})
}

// TestMistakeOfOurs does not end Muster, nor hold other trains up.
func TestMistakeOfOurs(t *testing.T) {
	at(t, depot(), func(s *station) {
		s.liveErr(errMistake)
		s.until("2000-01-04 14:00")
		s.wantHears()
		s.liveErr(nil)
		time.Sleep(time.Minute)
		s.wantHears("Train weekly is release 1 to production")
	})
}
