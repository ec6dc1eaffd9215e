package slack

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/muster-release/muster/bot/chat"
)

// Slack's limits (https://docs.slack.dev/apis/web-api/rate-limits). Of a minute's calls some
// are kept back, so that jitter on the way never brings too many into one minute.
var (
	// chat.update is tier 3, 50 a minute: never more than 4+45 are sent in one.
	updateRate = rate{burst: 4, every: time.Minute / 45, cold: true}
	// chat.postMessage takes one a second for each channel, counted from when the one
	// before has been answered.
	postRate  = rate{burst: 1, every: 1050 * time.Millisecond, afterEnd: true, cold: true}
	tierRates = map[int]rate{
		2: {burst: 4, every: time.Minute / 14},
		3: {burst: 8, every: time.Minute / 36},
		4: {burst: 20, every: time.Minute / 70},
	}
)

// How long something may wait before it goes before what is usually more urgent.
const (
	staleProgress = 7 * time.Second
	staleSettled  = 30 * time.Second
	// turnGrace is for how long a turn is kept for who does not come.
	turnGrace = 2 * time.Second
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
// 429 corrects it.
type budget struct {
	began time.Time

	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	rate    rate
	tokens  float64
	filled  time.Time // when tokens was true
	under   int       // calls that are under way, of an afterEnd
	blocked time.Time // Slack wants no call before
	waiting map[string]*waiter
	served  map[string]time.Time // by what it was about
}

type waiter struct {
	want
	asked    time.Time
	promised time.Time
}

func newBudget() *budget { return &budget{began: time.Now(), buckets: make(map[string]*bucket)} }

func (b *budget) bucket(name string, r rate) *bucket {
	q := b.buckets[name]
	if q == nil {
		q = &bucket{rate: r, tokens: float64(r.burst), filled: b.began, waiting: make(map[string]*waiter), served: make(map[string]time.Time)}
		if r.cold {
			q.tokens = 0
		}
		b.buckets[name] = q
	}
	return q
}

// ask admits a call, and wants done to be called when it has ended; or it returns nil, and in
// how long to ask again.
func (b *budget) ask(name string, r rate, w want) (done func(), wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	q := b.bucket(name, r)
	q.refill(now)
	me := q.waiting[w.key]
	if me == nil {
		me = &waiter{asked: now}
		q.waiting[w.key] = me
	}
	me.want, me.promised = w, now
	ahead := q.ahead(me, now)
	if now.After(q.blocked) && float64(ahead+1) <= q.tokens {
		delete(q.waiting, w.key)
		q.tokens--
		q.serve(w.about, now)
		q.under++
		return func() { b.end(q) }, 0
	}
	missing := float64(ahead+1) - q.tokens
	wait = time.Duration(missing * float64(q.rate.every))
	if q.rate.afterEnd && q.under == 0 {
		wait -= now.Sub(q.filled) // the next one is on its way already
	}
	wait = max(wait, q.blocked.Sub(now), 0) + 5*time.Millisecond
	me.promised = now.Add(wait)
	return nil, wait
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
	q := b.bucket(name, r)
	if until := time.Now().Add(wait); until.After(q.blocked) {
		q.blocked = until
	}
}

// ahead counts who goes before a waiter, and forgets who did not come for their turn.
func (q *bucket) ahead(me *waiter, now time.Time) int {
	n := 0
	for key, w := range q.waiting {
		switch {
		case w == me:
		case now.Sub(w.promised) > turnGrace:
			delete(q.waiting, key)
		case q.compare(w, me, now) < 0:
			n++
		}
	}
	return n
}

// compare orders those who wait: by class; then fairly, who was served longest ago; then by who
// asked first.
func (q *bucket) compare(x, y *waiter, now time.Time) int {
	return cmp.Or(
		cmp.Compare(x.class(now), y.class(now)),
		q.served[x.about].Compare(q.served[y.about]),
		x.asked.Compare(y.asked),
		cmp.Compare(x.key, y.key),
	)
}

func (w *waiter) class(now time.Time) int {
	waited := now.Sub(w.asked)
	switch {
	case w.urgency == chat.Urgent:
		return 0
	case w.urgency == chat.Progressing && waited > staleProgress, w.urgency == chat.Settled && waited > staleSettled:
		return 1
	case w.urgency == chat.Settled:
		return 2
	}
	return 3
}

// mostServed is how many things are remembered to be fair between.
const mostServed = 1000

func (q *bucket) serve(about string, now time.Time) {
	if len(q.served) >= mostServed {
		names := make([]string, 0, len(q.served))
		for name := range q.served {
			names = append(names, name)
		}
		slices.SortFunc(names, func(x, y string) int { return q.served[x].Compare(q.served[y]) })
		for _, name := range names[:mostServed/2] {
			delete(q.served, name)
		}
	}
	q.served[about] = now
}

// waitingNow counts those who have been put off.
func (b *budget) waitingNow() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, q := range b.buckets {
		n += len(q.waiting)
	}
	return n
}
