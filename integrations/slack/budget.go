package slack

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/muster-release/muster/bot/chat"
)

// Slack's limits (https://docs.slack.dev/apis/web-api/rate-limits), by method and workspace. Of
// a minute's calls some are kept back, so that jitter on the way never brings too many into
// one minute: burst and what comes back in a minute stay below the tier together.
var (
	// chat.update is tier 3, 50 a minute: never more than 3+46 are sent in one.
	updateRate = rate{burst: 3, every: time.Minute / 46, cold: true}
	// chat.postMessage takes one a second for each channel. It is counted from when the one
	// before was answered, so that no network brings two closer.
	postRate  = rate{burst: 1, every: 1050 * time.Millisecond, afterEnd: true, cold: true}
	tierRates = [...]rate{
		1: {burst: 1, every: time.Minute},
		2: {burst: 4, every: time.Minute / 14},
		3: {burst: 8, every: time.Minute / 37},
		4: {burst: 20, every: time.Minute / 70},
	}
)

const (
	// staleProgress: progress that waits longer goes before what is Settled.
	staleProgress = time.Second
	// settledTurn: while stale progress waits, it leaves every so manieth turn to something
	// Settled. Ten boards then have their turn within 15 s, and three copies of a request
	// every minute.
	settledTurn = 14
	// overdueSettled is when something Settled goes before all progress.
	overdueSettled = 30 * time.Minute
	// turnGrace is for how long a turn is kept for who does not come.
	turnGrace = 2 * time.Second
	// promiseMargin is added to a promise, so that the turn has come when it ends.
	promiseMargin = 5 * time.Millisecond
	// mostRemembered bounds what is remembered of channels, and of what was served when.
	mostRemembered = 1000
)

// rate is how often a method may be called: burst calls at once, and one more each time
// that every is over, counted from the end of the call before if afterEnd.
type rate struct {
	burst    int
	every    time.Duration
	afterEnd bool
	// cold begins as if all had been used up just before the start: an earlier process may
	// have done that.
	cold bool
}

// want is a call that somebody would like to make. Who asks again with the same key keeps
// their place.
type want struct {
	key     string
	about   string
	urgency chat.Urgency
}

// budget says who may call Slack when. Nobody is kept waiting: a call is admitted at once, or
// put off until it is likely its turn. It lives in memory alone; after a restart Slack's own
// 429 corrects it. It may be used concurrently.
type budget struct {
	began time.Time

	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	rate    rate
	tokens  float64
	filled  time.Time // when tokens was true
	under   int       // calls under way
	blocked time.Time // Slack wants no call before
	waiting map[string]*waiter
	served  map[party]time.Time
	turns   int // see count
}

// party is what turns are fair between. What is more urgent about a run does not take the turns
// of its board.
type party struct {
	about   string
	urgency chat.Urgency
}

type waiter struct {
	want
	asked    time.Time
	promised time.Time
	progress bool // it was Progressing when it asked first
}

func newBudget() *budget { return &budget{began: time.Now(), buckets: make(map[string]*bucket)} }

// ask admits a call, and wants done to be called when it has ended; or it returns nil, and in
// how long to ask again.
func (b *budget) ask(name string, r rate, w want) (done func(), wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	q := b.bucket(name, r, now)
	me := q.waiting[w.key]
	if me == nil {
		me = &waiter{asked: now, progress: w.urgency == chat.Progressing}
		q.waiting[w.key] = me
	}
	me.want, me.promised = w, now
	turn := q.turnOf(me, now)
	if q.rate.burst > 1 && me.class(now) == classSettled && q.turns < settledTurn-1 {
		turn++ // one call stays for progress, which may come at any moment
	}
	if !now.Before(q.blocked) && float64(turn) <= q.tokens {
		q.serve(me, now)
		return func() { b.end(q) }, 0
	}
	wait = q.until(turn)
	if q.rate.afterEnd && q.under == 0 {
		wait -= now.Sub(q.filled)
	}
	wait = max(wait, q.blocked.Sub(now), 0) + promiseMargin
	me.promised = now.Add(wait)
	return nil, wait
}

// bucket returns a bucket as it is now. The lock is held.
func (b *budget) bucket(name string, r rate, now time.Time) *bucket {
	q := b.buckets[name]
	if q == nil {
		if len(b.buckets) >= mostRemembered {
			b.tidy(now)
		}
		q = &bucket{rate: r, tokens: float64(r.burst), filled: b.began, waiting: make(map[string]*waiter), served: make(map[party]time.Time)}
		if r.cold {
			q.tokens = 0
		}
		b.buckets[name] = q
	}
	q.refill(now)
	return q
}

// tidy forgets buckets that are as good as new.
func (b *budget) tidy(now time.Time) {
	for name, q := range b.buckets {
		q.refill(now)
		q.forget(now)
		if q.under == 0 && len(q.waiting) == 0 && q.tokens >= float64(q.rate.burst) && !now.Before(q.blocked) {
			delete(b.buckets, name)
		}
	}
}

// refill adds what time has brought.
func (q *bucket) refill(now time.Time) {
	most := float64(q.rate.burst)
	switch {
	case q.tokens >= most:
	case q.rate.afterEnd:
		if q.under > 0 || now.Sub(q.filled) < q.rate.every {
			return // filled is the end of the last call
		}
		q.tokens = most
	default:
		q.tokens = min(most, q.tokens+float64(now.Sub(q.filled))/float64(q.rate.every))
	}
	q.filled = now
}

// serve gives somebody their turn.
func (q *bucket) serve(me *waiter, now time.Time) {
	delete(q.waiting, me.key)
	q.tokens--
	q.under++
	q.turns = me.count(q.turns)
	if len(q.served) >= mostRemembered {
		q.forgetServed()
	}
	q.served[me.party()] = now
}

func (b *budget) end(q *bucket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q.under--
	if q.rate.afterEnd {
		q.filled = time.Now()
	}
}

// block keeps everything away for as long as Slack says.
func (b *budget) block(name string, r rate, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	q := b.bucket(name, r, now)
	if until := now.Add(wait); until.After(q.blocked) {
		q.blocked = until
	}
}

// until is how long it takes from now until so many turns have come.
func (q *bucket) until(turn int) time.Duration {
	return max(0, time.Duration((float64(turn)-q.tokens)*float64(q.rate.every)))
}

// turnOf is the turn, counted from one, that a waiter has if everybody comes for theirs. What
// waits becomes more urgent on the way.
func (q *bucket) turnOf(me *waiter, now time.Time) int {
	q.forget(now)
	line, turns := q.line(), q.turns
	for turn := 1; ; turn++ {
		i := goes(line, now.Add(q.until(turn)), turns)
		if line[i] == me {
			return turn
		}
		turns = line[i].count(turns)
		line = slices.Delete(line, i, i+1)
	}
}

// goes is the index of who goes at a time. Line is in fair order.
func goes(line []*waiter, at time.Time, turns int) int {
	first := [...]int{-1, -1, -1, -1, -1}
	for i, w := range line {
		if c := w.class(at); first[c] < 0 {
			first[c] = i
		}
	}
	if turns >= settledTurn-1 && first[classSettled] >= 0 {
		first[classStale] = -1
	}
	i := slices.IndexFunc(first[:], func(i int) bool { return i >= 0 })
	return first[i]
}

// count says how turns go on when it is the waiter's turn: up to the next of something Settled
// they rise. What is urgent takes its turn from what is Settled, not from progress.
func (w *waiter) count(turns int) int {
	switch w.urgency {
	case chat.Progressing:
		return min(turns+1, settledTurn-1)
	case chat.Settled:
		return 0
	}
	return max(turns-(settledTurn-1), -2*settledTurn)
}

// The classes of those who wait, in the order in which they go.
const (
	classUrgent  = iota
	classOverdue // Settled that waits for too long
	classStale   // Progressing that waits for long
	classSettled
	classFresh // Progressing
)

func (w *waiter) class(now time.Time) int {
	waited := now.Sub(w.asked)
	switch {
	case w.urgency == chat.Urgent:
		return classUrgent
	case w.urgency == chat.Settled && waited > overdueSettled:
		return classOverdue
	case w.progress && waited > staleProgress:
		return classStale // and it is not put back by having become more urgent
	case w.urgency == chat.Settled:
		return classSettled
	case waited > staleProgress:
		return classStale
	}
	return classFresh
}

func (w *waiter) party() party { return party{w.about, w.urgency} }

// line is who waits, in fair order: each party has a turn before one has its second, first
// who was served longest ago, then who asked first.
func (q *bucket) line() []*waiter {
	line := slices.SortedFunc(maps.Values(q.waiting), func(x, y *waiter) int {
		return cmp.Or(x.asked.Compare(y.asked), cmp.Compare(x.key, y.key))
	})
	round := make(map[*waiter]int, len(line))
	turns := make(map[party]int)
	for _, w := range line {
		round[w] = turns[w.party()]
		turns[w.party()]++
	}
	slices.SortStableFunc(line, func(x, y *waiter) int {
		return cmp.Or(cmp.Compare(round[x], round[y]), q.served[x.party()].Compare(q.served[y.party()]))
	})
	return line
}

// forget takes those out of the line who did not come for their turn.
func (q *bucket) forget(now time.Time) {
	for key, w := range q.waiting {
		if now.Sub(w.promised) > turnGrace {
			delete(q.waiting, key)
		}
	}
}

// forgetServed forgets the older half of who was served.
func (q *bucket) forgetServed() {
	parties := make([]party, 0, len(q.served))
	for p := range q.served {
		parties = append(parties, p)
	}
	slices.SortFunc(parties, func(x, y party) int { return q.served[x].Compare(q.served[y]) })
	for _, p := range parties[:len(parties)/2] {
		delete(q.served, p)
	}
}

// waitingNow counts those who have been put off and may still come.
func (b *budget) waitingNow() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, n := time.Now(), 0
	for _, q := range b.buckets {
		q.forget(now)
		n += len(q.waiting)
	}
	return n
}
