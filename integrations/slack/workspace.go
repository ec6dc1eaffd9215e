package slack

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
)

// Workspace is a Slack workspace that the app is installed in. It is a chat.Poster and a
// chat.Directory. Its methods may be called concurrently; none of these two waits for
// its turn: what is too much for Slack's limits is refused with RetryAfter().
type Workspace struct {
	o      Options
	api    *slackgo.Client
	http   *http.Client
	log    *slog.Logger
	budget *budget
	counts counts
	held   heldViews
	people directory
	flying flights

	mu       sync.Mutex
	self     *identity
	channels map[string]string // name without # → ID
	listed   time.Time         // when channels was read
	directs  map[string]string // user → channel of the direct message
	blind    bool              // a history scope is missing, and that was said

	listing listing // by one at a time, see listChannels
}

var (
	_ chat.Poster    = (*Workspace)(nil)
	_ chat.Directory = (*Workspace)(nil)
)

// identity is who the app is in the workspace.
type identity struct{ user, bot, team, enterprise string }

// Stats are counted since the start.
type Stats struct {
	Calls   map[string]int64 // calls that went out, by method; "response_url" for answers there
	PutOff  int64            // calls that the budget put off
	Limited int64            // calls that Slack refused because there were too many
	Waiting int              // calls that wait for their turn now
}

// counts are what Stats tells.
type counts struct {
	putOff, limited atomic.Int64

	mu    sync.Mutex
	calls map[string]int64
}

func (c *counts) call(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[method]++
}

// Stats returns what has been counted so far.
func (w *Workspace) Stats() Stats {
	w.counts.mu.Lock()
	calls := maps.Clone(w.counts.calls)
	w.counts.mu.Unlock()
	return Stats{Calls: calls, PutOff: w.counts.putOff.Load(), Limited: w.counts.limited.Load(), Waiting: w.budget.waitingNow()}
}

// New returns a workspace. It makes no call yet.
func New(o Options) *Workspace {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{}
	}
	o.APIURL = cmp.Or(o.APIURL, DefaultAPIURL)
	client := *o.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token goes nowhere else
	w := &Workspace{
		o: o, http: &client, log: o.Log, budget: newBudget(),
		channels: make(map[string]string), directs: make(map[string]string),
	}
	w.counts.calls = make(map[string]int64)
	w.api = slackgo.New(o.BotToken, slackgo.OptionAPIURL(o.APIURL), slackgo.OptionHTTPClient(wire{&client}), slackgo.OptionAppLevelToken(o.AppToken))
	return w
}

// identity is who the app is. It is asked for once.
func (w *Workspace) identity(ctx context.Context) (identity, error) {
	w.mu.Lock()
	self := w.self
	w.mu.Unlock()
	if self != nil {
		return *self, nil
	}
	answer, err := w.authTest(ctx)
	if err != nil {
		return identity{}, err
	}
	id := identity{answer.UserID, answer.BotID, answer.TeamID, answer.EnterpriseID}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.self = &id
	return id, nil
}

// authTest asks Slack who the app is. The method takes hundreds of calls a minute.
func (w *Workspace) authTest(ctx context.Context) (answer *slackgo.AuthTestResponse, err error) {
	err = w.do(ctx, method("auth.test", 4), want{key: "auth.test", urgency: chat.Urgent}, "ask who the app is", func(ctx context.Context) (err error) {
		answer, err = w.api.AuthTestContext(ctx)
		return err
	})
	return answer, err
}
