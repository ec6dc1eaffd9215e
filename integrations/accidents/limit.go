package accidents

import "time"

// Limit is a rate limit: so many calls of one caller within a window that looks back from now.
type Limit struct {
	Calls      int
	Window     time.Duration
	RetryAfter time.Duration // what is said to who is refused, at least a second; 0: until the window has room
}

// Meter counts calls under a limit, per caller. It is not for concurrent use: a fake's is used with
// the lock of its System held.
type Meter[K comparable] struct {
	limit *Limit
	spent map[K][]time.Time
}

// NewMeter returns a meter that has counted nothing yet; with nil there is no limit.
func NewMeter[K comparable](l *Limit) *Meter[K] {
	return &Meter[K]{limit: l, spent: map[K][]time.Time{}}
}

// Admit counts a call, or returns how long the caller has to wait: 0 for not at all. Calls that have
// to wait are not counted.
func (m *Meter[K]) Admit(who K) time.Duration {
	if m.limit == nil {
		return 0
	}
	now := time.Now()
	var recent []time.Time
	for _, t := range m.spent[who] {
		if now.Sub(t) < m.limit.Window {
			recent = append(recent, t)
		}
	}
	if len(recent) < m.limit.Calls {
		m.spent[who] = append(recent, now)
		return 0
	}
	m.spent[who] = recent
	switch {
	case m.limit.RetryAfter > 0:
		return max(time.Second, m.limit.RetryAfter)
	case len(recent) == 0:
		return m.limit.Window
	}
	return recent[0].Add(m.limit.Window).Sub(now)
}
