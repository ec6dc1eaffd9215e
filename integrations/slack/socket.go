package slack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	slackgo "github.com/slack-go/slack"
)

const (
	defaultConnections = 2
	// mostConnections is how many Slack allows an app to have open.
	mostConnections = 10
	// mostPayloads is how many payloads are taken at once. More wait to be read.
	mostPayloads = 64
)

// Listen takes what Slack sends through connections that it opens (Socket Mode), until ctx
// ends and what has been read is done; it then returns nil. It never gives up by itself: a
// token that is refused may be replaced. An error says that it could not begin.
//
// https://docs.slack.dev/apis/events-api/using-socket-mode.
func (w *Workspace) Listen(ctx context.Context, host Host) error {
	if w.o.AppToken == "" {
		return errors.New("slack: listen: Socket Mode needs an app token (xapp-…) with the scope connections:write")
	}
	client := w.o.HTTP
	if client == nil {
		client = &http.Client{Timeout: openPatience}
	}
	apiURL := w.o.APIURL
	if apiURL == "" {
		apiURL = DefaultAPIURL
	}
	api := slackgo.New("", slackgo.OptionAppLevelToken(w.o.AppToken), slackgo.OptionAPIURL(apiURL), slackgo.OptionHTTPClient(client))
	l := &listener{
		door: w.door(host),
		open: func(ctx context.Context) (string, error) {
			_, address, err := api.StartSocketModeContext(ctx)
			return address, err
		},
		dialer: dialerLike(client),
		log:    w.log,
		pace:   slackPace,
		slots:  make(chan struct{}, mostPayloads),
	}
	l.listen(ctx, w.o.Connections)
	return nil
}

// pace is how patient a listener is.
type pace struct {
	apart  time.Duration // between the first openings, so that connections do not expire together
	least  time.Duration // before the second attempt to connect
	most   time.Duration // between attempts, and between those that a token is refused for
	steady time.Duration // how long a connection lives that counts as a good one
	silent time.Duration // without a sign of life a connection is dead
	ping   time.Duration // between our own signs of life
	drain  time.Duration // how long a connection is read on that has been replaced
}

// slackPace suits Slack, which pings every few seconds, and closes a connection about ten seconds
// after it has warned of that.
var slackPace = pace{
	apart:  15 * time.Second,
	least:  time.Second,
	most:   time.Minute,
	steady: 10 * time.Second,
	silent: 30 * time.Second,
	ping:   10 * time.Second,
	drain:  time.Minute,
}

const (
	// openPatience is how long a connection may take until Slack says hello.
	openPatience = 30 * time.Second
	// writePatience is how long a write may take before the connection is dead.
	writePatience = 5 * time.Second
	// maxFrame is how large a frame may be: a body as over HTTP, and what is around it.
	maxFrame = 2 * maxBody
)

// listener keeps connections open.
type listener struct {
	door   *door
	open   func(ctx context.Context) (address string, err error)
	dialer *websocket.Dialer
	log    *slog.Logger
	pace   pace
	slots  chan struct{} // one for each payload under way

	links sync.WaitGroup
}

func (l *listener) listen(ctx context.Context, connections int) {
	if connections <= 0 {
		connections = defaultConnections
	}
	var keepers sync.WaitGroup
	for i := range min(connections, mostConnections) {
		keepers.Go(func() { l.keep(ctx, time.Duration(i)*l.pace.apart) })
	}
	keepers.Wait()
	l.links.Wait()
}

// keep keeps one connection open until ctx ends.
func (l *listener) keep(ctx context.Context, wait time.Duration) {
	var old *link // is about to be closed by Slack, and still read
	for attempt := 0; sleep(ctx, wait); attempt++ {
		k, err := l.connect(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			wait = l.failed(attempt, err)
			continue
		}
		if old != nil {
			old.until(time.Now().Add(l.pace.drain))
			old = nil
		}
		up := time.Now()
		select {
		case <-k.ended:
		case <-k.leaving:
		}
		select {
		case <-k.leaving:
			old = k
		default:
		}
		if time.Since(up) >= l.pace.steady {
			attempt = 0
		}
		wait = l.backoff(attempt)
		switch {
		case ctx.Err() != nil:
			return
		case old == nil:
			l.log.Warn("slack: a connection ended", "err", k.err, "again_in", wait)
		case advice(k.reason) != "":
			wait = l.failed(attempt, refused(k.reason))
		case attempt == 0:
			wait = 0 // the replacement is there before the old one goes
		}
	}
}

// failed logs that there is no connection, and returns when to try again.
func (l *listener) failed(attempt int, err error) time.Duration {
	wait := l.backoff(attempt)
	var limited *slackgo.RateLimitedError
	if errors.As(err, &limited) {
		wait = max(wait, limited.RetryAfter)
	}
	if what := advice(code(err)); what != "" {
		wait = l.pace.most
		l.log.Error("slack: Slack refuses Socket Mode, so nothing comes in", "err", err, "do", what, "again_in", wait)
		return wait
	}
	l.log.Warn("slack: no connection", "err", err, "again_in", wait)
	return wait
}

// backoff doubles, and is spread so that what failed together does not come again
// together.
func (l *listener) backoff(attempt int) time.Duration {
	wait := l.pace.most
	if attempt < 30 {
		wait = min(wait, l.pace.least<<attempt)
	}
	return min(l.pace.most, wait+rand.N(wait/2+1))
}

// connect opens a connection, which is read from then on. It returns once Slack has said
// hello on it.
func (l *listener) connect(ctx context.Context) (*link, error) {
	opening, cancel := context.WithTimeoutCause(ctx, openPatience, errors.New("no hello in time"))
	defer cancel()
	address, err := l.open(opening)
	if err != nil {
		return nil, fmt.Errorf("slack: apps.connections.open: %w", err)
	}
	// The address holds a ticket, which is as good as a token for a moment: no error quotes it.
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "wss" && u.Scheme != "ws" {
		return nil, errors.New("slack: apps.connections.open: the address that came back is none")
	}
	conn, answer, err := l.dialer.DialContext(opening, address, nil)
	if err != nil {
		if answer != nil {
			return nil, fmt.Errorf("slack: connect to %q: HTTP %d: %w", u.Host, answer.StatusCode, err)
		}
		return nil, fmt.Errorf("slack: connect to %q: %w", u.Host, err)
	}
	k := newLink(l, conn)
	l.links.Go(func() { k.run(ctx) })
	select {
	case <-k.up:
		return k, nil
	case <-k.leaving:
		err = refused(k.reason)
	case <-k.ended:
		err = k.err
	case <-opening.Done():
		err = context.Cause(opening)
	}
	k.until(time.Now())
	return nil, fmt.Errorf("slack: connect to %q: %w", u.Host, err)
}

// refused is the reason that Slack gives for not keeping a connection.
type refused string

func (r refused) Error() string { return string(r) }

// code is Slack's word for what is wrong.
func code(err error) string {
	var answer slackgo.SlackErrorResponse
	var reason refused
	switch {
	case errors.As(err, &answer):
		return answer.Err
	case errors.As(err, &reason):
		return string(reason)
	}
	return ""
}

// advice is what to do about a refusal that does not pass by itself, empty for others.
// Codes of https://docs.slack.dev/reference/methods/apps.connections.open.
func advice(code string) string {
	switch code {
	case "invalid_auth", "not_authed", "token_revoked", "token_expired", "not_allowed_token_type":
		return "make an app-level token (xapp-…) with the scope connections:write on the app's Basic Information page, and configure it as slack.appToken"
	case "missing_scope", "no_permission", "access_denied":
		return "give the app-level token the scope connections:write"
	case "account_inactive", "app_uninstalled", "team_access_not_granted", "invalid_app_id":
		return "install the app in the workspace again"
	case "link_disabled", "socket_mode_not_enabled":
		return "turn Socket Mode on in the app's settings"
	}
	return ""
}

// dialerLike connects the way client does: through its proxy, trusting whom it trusts.
func dialerLike(client *http.Client) *websocket.Dialer {
	d := &websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: openPatience}
	t, ok := client.Transport.(*http.Transport)
	if !ok {
		return d
	}
	d.Proxy, d.NetDialContext = t.Proxy, t.DialContext
	if t.TLSClientConfig != nil {
		d.TLSClientConfig = t.TLSClientConfig.Clone()
		d.TLSClientConfig.NextProtos = slices.DeleteFunc(d.TLSClientConfig.NextProtos, func(p string) bool { return p == "h2" })
	}
	return d
}

// sleep waits, and says whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}
