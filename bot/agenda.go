package bot

import (
	"context"
	"sync"
	"time"
)

// agenda says which runs are to be looked at, and when. Changes of a run
// coalesce: however many there are, it has one appointment. A run is in the hands of one
// worker at a time, and rests for the pace between two looks.
type agenda struct {
	pace time.Duration
	news chan struct{} // holds one signal: there may be something to take

	mu   sync.Mutex
	runs map[string]*appointment
}

type appointment struct {
	desk  *desk
	due   time.Time // zero: after the next change
	rest  time.Time // not before
	since time.Time // of the oldest change that is not shown; zero: all is
	// changed is the time of the oldest change since the last look, shown or not.
	changed time.Time
	taken   bool
	again   bool // it changed while it was taken
}

func newAgenda(pace time.Duration) *agenda {
	return &agenda{pace: pace, news: make(chan struct{}, 1), runs: make(map[string]*appointment)}
}

func (a *agenda) signal() {
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// mark asks for a look at a run at a time, or as soon as it has rested. It does
// not block.
func (a *agenda) mark(run string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.runs[run]
	if p == nil {
		p = &appointment{desk: newDesk(run)}
		a.runs[run] = p
	}
	if p.changed.IsZero() || at.Before(p.changed) {
		p.changed = at
	}
	if p.taken {
		p.again = true
		return
	}
	if p.since.IsZero() || at.Before(p.since) {
		p.since = at
	}
	if at.Before(p.rest) {
		at = p.rest
	}
	if p.due.IsZero() || at.Before(p.due) {
		p.due = at
		a.signal()
	}
}

// take waits until a run is due and hands it out. It returns nil when ctx ends.
func (a *agenda) take(ctx context.Context) *desk {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		d, wait := a.first(time.Now())
		if d != nil {
			return d
		}
		timer.Reset(wait)
		select {
		case <-a.news:
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// first takes the run that has been due longest, or says when to ask again.
func (a *agenda) first(now time.Time) (*desk, time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var first *appointment
	waiting := 0
	for _, p := range a.runs {
		if p.taken || p.due.IsZero() {
			continue
		}
		waiting++
		if first == nil || p.due.Before(first.due) {
			first = p
		}
	}
	if first == nil {
		return nil, time.Hour
	}
	if wait := first.due.Sub(now); wait > 0 {
		return nil, wait
	}
	if waiting > 1 {
		a.signal() // somebody else has to mind the others
	}
	first.taken, first.due = true, time.Time{}
	if first.desk.since.IsZero() { // or the last look did not get far enough to see it
		first.desk.since = first.changed
	}
	first.changed = time.Time{}
	return first.desk, 0
}

// give hands a run back after a look. Next is when to look again without a
// change, zero for never.
func (a *agenda) give(d *desk, next time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.runs[d.run]
	now := time.Now()
	p.rest = now.Add(a.pace)
	p.due = next
	if p.again || !next.IsZero() && next.Before(p.rest) {
		p.due = p.rest
	}
	if !d.undone {
		p.since = time.Time{}
		if p.again {
			p.since = now
		}
	}
	p.taken, p.again = false, false
	if !p.due.IsZero() {
		a.signal()
	}
}

// lag is how long ago the oldest change was that is not shown.
func (a *agenda) lag() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, lag := time.Now(), time.Duration(0)
	for _, p := range a.runs {
		if !p.since.IsZero() {
			lag = max(lag, now.Sub(p.since))
		}
	}
	return lag
}

// forget drops a run of which nothing is left to report.
func (a *agenda) forget(d *desk) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.runs, d.run)
}
