package gitlab

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/integrations/calls"
)

const (
	// dotComRate is how many calls of its API GitLab.com takes in a minute from one user:
	// https://docs.gitlab.com/user/gitlab_com/rate_limits/
	dotComRate = 2000
	// ownRate is for all others. Their limit is off unless an administrator turns it on, and then has
	// 7,200 calls an hour if nobody has chosen another figure
	// (https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/): a quarter of an hour of
	// nothing but calls stays below that, and for what is beyond GitLab says when to come back.
	ownRate = 600
	// patience is how long a call waits for its turn. What would have to wait longer is refused.
	patience = 2 * time.Second
	// spare is what part of the calls that may come at once is kept for those that somebody waits
	// for: looking for what was missed leaves it.
	spare = 0.5
)

func defaultRate(host string) int {
	if strings.EqualFold(host, "gitlab.com") {
		return dotComRate
	}
	return ownRate
}

// limits keep the calls below what GitLab takes. A third of a minute's calls may come at once, the
// others evenly. GitLab counts some kinds of call for themselves, comments for instance; when it
// refuses these, only these rest.
type limits struct {
	perSecond float64
	burst     float64

	mu     sync.Mutex
	tokens float64
	at     time.Time            // when tokens were counted
	rest   map[string]time.Time // until when no call of a route is made; "" is for all
}

func newLimits(perMinute int) *limits {
	burst := max(1, float64(perMinute)/3)
	return &limits{perSecond: float64(perMinute) * 2 / 3 / 60, burst: burst, tokens: burst, rest: make(map[string]time.Time)}
}

var (
	errOwnLimit = errors.New("not its turn, for there were many calls")
	errResting  = errors.New("GitLab wants fewer calls (HTTP 429)")
)

type unhurriedKey struct{}

// unhurried makes a context for calls that nobody waits for: they wait as long as there are
// others, and leave them room.
func unhurried(ctx context.Context) context.Context {
	return context.WithValue(ctx, unhurriedKey{}, true)
}

// take waits for a request's turn, and refuses it where that takes long.
func (l *limits) take(r *http.Request) error {
	idle := r.Context().Value(unhurriedKey{}) != nil
	for {
		wait, taken, err := l.reserve(routeOf(r), time.Now(), idle)
		switch {
		case err != nil:
			return &calls.Later{Text: "gitlab", Wait: wait, Err: err}
		case wait <= 0:
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-r.Context().Done():
			timer.Stop()
			return &calls.Later{Text: "gitlab", Wait: max(wait, time.Second), Err: errOwnLimit}
		}
		if taken {
			return nil
		}
	}
}

// reserve takes a place in the row, and says how long it is till then. One who is idle takes none
// before there is room for others: it asks again after the wait.
func (l *limits) reserve(route string, now time.Time, idle bool) (wait time.Duration, taken bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range []string{"", route} {
		until, resting := l.rest[key]
		if resting && now.Before(until) {
			return until.Sub(now), false, errResting
		}
		delete(l.rest, key)
	}
	if !l.at.IsZero() {
		l.tokens = min(l.burst, l.tokens+now.Sub(l.at).Seconds()*l.perSecond)
	}
	l.at = now
	needed := 1.0
	if idle {
		needed = max(1, l.burst*spare)
	}
	if l.tokens < needed {
		wait = time.Duration((needed - l.tokens) / l.perSecond * float64(time.Second))
	}
	switch {
	case idle && wait > 0:
		return max(wait, time.Millisecond), false, nil
	case wait > patience:
		return wait, false, errOwnLimit
	}
	l.tokens--
	return wait, true, nil
}

// learn reads what GitLab says of its limits. Where it counts all calls of a user together it
// says how many are left; a refusal without such figures is about that kind of call alone.
func (l *limits) learn(r *http.Request, answer *http.Response) {
	refused := answer.StatusCode == http.StatusTooManyRequests
	left, err := strconv.Atoi(answer.Header.Get("RateLimit-Remaining"))
	counted := err == nil
	if !refused && (!counted || left > 0) {
		return
	}
	key := ""
	if refused && !counted {
		key = routeOf(r)
	}
	rest := restOf(answer.Header, 0)
	if rest == 0 && !refused {
		return
	}
	if rest == 0 {
		rest = refusedWait
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := time.Now().Add(rest); until.After(l.rest[key]) {
		l.rest[key] = until
	}
}

// restOf reads for how long GitLab wants to be left alone: Retry-After or, without one, RateLimit-Reset as Unix time
// (https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/#response-headers).
func restOf(h http.Header, otherwise time.Duration) time.Duration {
	if reset, err := strconv.ParseInt(h.Get("RateLimit-Reset"), 10, 64); err == nil && reset > 0 {
		otherwise = calls.Bounded(time.Until(time.Unix(reset, 0)))
	}
	return calls.Rest(h, otherwise)
}

// routeOf is what kind of call a request is: its method, and its path without what it names.
func routeOf(r *http.Request) string {
	_, path, _ := strings.Cut(r.URL.EscapedPath(), "/api/v4/")
	route, _ := gl.MatchRoute(path)
	return r.Method + " " + route.String()
}
