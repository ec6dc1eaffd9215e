package slack

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	slackgo "github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
)

// Workspace is a Slack workspace that the app is installed in. It is a chat.Poster and a
// chat.Directory. Its methods may be called concurrently.
type Workspace struct {
	o      Options
	api    *slackgo.Client
	http   *http.Client
	log    *slog.Logger
	budget *budget
	counts counts
	scopes scopesSeen
	held   heldViews

	mu       sync.Mutex
	self     *identity
	channels map[string]string // name without # → ID
	listed   moment            // when channels was read
	directs  map[string]string // user → channel of the direct message
	blind    bool              // the history scope is missing, and that was said
	people   directory
}

var (
	_ chat.Poster    = (*Workspace)(nil)
	_ chat.Directory = (*Workspace)(nil)
)

// identity is who the app is in the workspace.
type identity struct{ user, bot, team, enterprise string }

// counts are what Stats tells.
type counts struct{ calls, putOff, limited, looks atomic.Int64 }

// Stats are counted since the start.
type Stats struct {
	Calls   int64 // calls that went out
	PutOff  int64 // calls that the budget put off
	Limited int64 // calls that Slack refused with 429
	Waiting int   // messages that wait for their turn now
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
	w := &Workspace{
		o: o, http: o.HTTP, log: o.Log, budget: newBudget(),
		channels: make(map[string]string), directs: make(map[string]string), people: newDirectory(),
	}
	w.api = slackgo.New(o.BotToken, slackgo.OptionAPIURL(o.APIURL), slackgo.OptionHTTPClient(o.HTTP),
		slackgo.OptionAppLevelToken(o.AppToken), slackgo.OptionOnResponseHeaders(w.scopes.see))
	return w
}

// Stats returns what has been counted so far.
func (w *Workspace) Stats() Stats {
	return Stats{Calls: w.counts.calls.Load(), PutOff: w.counts.putOff.Load(), Limited: w.counts.limited.Load(), Waiting: w.budget.waitingNow()}
}

// identity asks once who the app is.
func (w *Workspace) identity(ctx context.Context) (identity, error) {
	w.mu.Lock()
	self := w.self
	w.mu.Unlock()
	if self != nil {
		return *self, nil
	}
	var answer *slackgo.AuthTestResponse
	err := w.look(ctx, method("auth.test", 4), "auth.test", func(ctx context.Context) (err error) {
		answer, err = w.api.AuthTestContext(ctx)
		return err
	})
	if err != nil {
		return identity{}, err
	}
	id := identity{answer.UserID, answer.BotID, answer.TeamID, answer.EnterpriseID}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.self = &id
	return id, nil
}
