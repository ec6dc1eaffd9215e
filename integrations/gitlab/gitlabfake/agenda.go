package gitlabfake

import (
	"slices"
	"time"
)

// agenda is what will happen by itself: jobs that begin and end. One timer serves it all,
// and whoever takes the lock meanwhile does what is due.
type agenda struct {
	items  []appointment
	timer  *time.Timer
	at     time.Time // of the timer; zero: it is not set
	seq    int
	halted bool
}

type appointment struct {
	at  time.Time
	seq int
	do  func(now time.Time)
}

// add makes an appointment. Called with the lock held, as all of agenda.
func (a *agenda) add(at time.Time, do func(now time.Time)) {
	a.seq++
	i, _ := slices.BinarySearchFunc(a.items, at, func(x appointment, t time.Time) int {
		if x.at.After(t) {
			return 1
		}
		return -1 // equal ones stay in order
	})
	a.items = slices.Insert(a.items, i, appointment{at: at, seq: a.seq, do: do})
}

// advance does what is due, each at the time it was due.
func (a *agenda) advance(now time.Time) {
	for !a.halted && len(a.items) > 0 && !a.items[0].at.After(now) {
		next := a.items[0]
		a.items = a.items[1:]
		next.do(next.at)
	}
}

// arm sets the timer for what comes next.
func (a *agenda) arm(s *Server) {
	if a.halted || len(a.items) == 0 || a.items[0].at.Equal(a.at) {
		return
	}
	if a.timer != nil {
		a.timer.Stop()
	}
	a.at = a.items[0].at
	a.timer = time.AfterFunc(time.Until(a.at), func() {
		s.mu.Lock()
		s.agenda.at = time.Time{}
		s.agenda.advance(time.Now())
		s.leave()
	})
}

func (a *agenda) stop() {
	a.halted = true
	if a.timer != nil {
		a.timer.Stop()
	}
}
