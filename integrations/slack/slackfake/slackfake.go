// Package slackfake is a Slack workspace in one process: people, channels, messages
// and modals on one side, Slack's Web API, Socket Mode and signed HTTP deliveries on the
// other. An app talks to it as it does to Slack, tests play the people.
//
// It is written from Slack's documentation (docs.slack.dev) and keeps its habits where they
// matter to an app: scopes, size limits, rate limits, short-lived triggers and response
// URLs, events that come again and interactions that do not. Where the documentation leaves
// something open the fake is the stricter one; such choices are said where they are made.
package slackfake

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Fixed names of the one workspace and of the app installed in it.
const (
	TeamID      = "T0FAKE001"
	TeamDomain  = "fake"
	ForeignTeam = "T0OTHER01" // where users of Slack Connect come from
	AppID       = "A0MUSTER1"
	BotUser     = "U0MUSTER1"
	BotID       = "B0MUSTER1"
	Host        = "slack.fake" // on a Network
)

// Options says how a workspace behaves. The zero value behaves as Slack does, with short
// pauses between redeliveries.
type Options struct {
	Listen string // address; empty: a free port of 127.0.0.1
	// Network, when set, is where the workspace is, at the host Host, and looks for the
	// app, instead of on the machine's own network.
	Network *Network
	// App is the base URL of the app; deliveries go there over HTTP. Empty: Socket Mode.
	App     string
	Bot     string // the bot's name; empty: "muster"
	Command string // the app's slash command; empty: "/muster"
	// Scopes are what the bot token was granted. Nil: AllScopes.
	Scopes []string
	// Events are the bot events that the app subscribed to. Nil: "app_mention" and
	// "message.im". Also known: "message.channels" and "message.groups".
	Events []string
	// NoTiers switches the rate limits off.
	NoTiers bool
	// RetryDelays are the pauses before an event is delivered again; nil: 50 ms, 150 ms and
	// 400 ms. Slack waits for almost nothing, then a minute, then five.
	RetryDelays     []time.Duration
	AckTimeout      time.Duration // 0: 3 s
	TriggerLife     time.Duration // 0: 3 s
	ResponseURLLife time.Duration // 0: 30 min
	ResponseURLUses int           // 0: 5
	PingInterval    time.Duration // of Socket Mode; 0: 5 s
	// ConnectionLife is after how long a Socket Mode connection is refreshed, WarnBefore
	// how much earlier that is announced (0: 10 s). A zero life is endless.
	ConnectionLife, WarnBefore time.Duration
	// Fault decides what goes wrong with a call; see Workspace.SetFault.
	Fault func(Call) Fault
	Log   *slog.Logger // nil: nothing is logged
}

// Workspace is the fake. Its methods may be called concurrently.
type Workspace struct {
	opts          Options
	base          string
	botToken      string
	appToken      string
	signingSecret string

	server   *http.Server
	listener *gate
	client   *http.Client
	stop     context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup // goroutines of deliveries and connections

	mu         sync.Mutex
	closed     bool
	app        string // base URL for HTTP delivery; empty: Socket Mode
	revoked    bool
	scopes     []string
	changed    chan struct{}
	lastSec    int64
	lastMicro  int64
	ids        int
	users      map[string]*User
	channels   map[string]*Channel
	groups     map[string]*Group
	messages   map[string][]*Message // by channel, oldest first
	ephemerals []*Message
	views      map[string]*View
	triggers   map[string]*trigger
	urls       map[string]*responseURL
	offered    map[string]string // label of an option by user, view, block and value
	deliveries []*Delivery
	lastEvent  *event
	calls      []Call
	fault      func(Call) Fault
	sockets    sockets
	tiers      tiers
	limited    int
}

// New starts a workspace.
func New(opts Options) (*Workspace, error) {
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:0"
	}
	if opts.Bot == "" {
		opts.Bot = "muster"
	}
	if opts.Command == "" {
		opts.Command = "/muster"
	}
	if opts.Scopes == nil {
		opts.Scopes = AllScopes()
	}
	if opts.Events == nil {
		opts.Events = []string{"app_mention", "message.im"}
	}
	if opts.RetryDelays == nil {
		opts.RetryDelays = []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond}
	}
	if opts.ResponseURLUses == 0 {
		opts.ResponseURLUses = 5
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{
		{&opts.AckTimeout, 3 * time.Second}, {&opts.TriggerLife, 3 * time.Second},
		{&opts.ResponseURLLife, 30 * time.Minute}, {&opts.PingInterval, 5 * time.Second},
		{&opts.WarnBefore, 10 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	client := &http.Client{Transport: &http.Transport{}}
	listen := func() (net.Listener, error) { return net.Listen("tcp", opts.Listen) }
	if opts.Network != nil {
		client = opts.Network.Client()
		listen = func() (net.Listener, error) { return opts.Network.Listen(Host) }
	}
	l, err := listen()
	if err != nil {
		return nil, fmt.Errorf("slackfake: listen on %q: %w", opts.Listen, err)
	}
	w := &Workspace{
		opts: opts, base: "http://" + l.Addr().String(), app: opts.App, fault: opts.Fault,
		botToken: "xoxb-" + secret(12), appToken: "xapp-1-" + AppID + "-" + secret(12), signingSecret: secret(16),
		listener: newGate(l), client: client, scopes: slices.Clone(opts.Scopes),
		changed: make(chan struct{}), users: map[string]*User{}, channels: map[string]*Channel{},
		groups: map[string]*Group{}, messages: map[string][]*Message{}, views: map[string]*View{},
		triggers: map[string]*trigger{}, urls: map[string]*responseURL{}, offered: map[string]string{},
		sockets: newSockets(), tiers: newTiers(),
	}
	w.stop, w.cancel = context.WithCancel(context.Background())
	w.users[BotUser] = &User{ID: BotUser, Name: opts.Bot, RealName: opts.Bot, Bot: true, Team: TeamID}
	w.server = &http.Server{Handler: w.handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(opts.Log.Handler(), slog.LevelDebug)}
	w.work.Go(func() { _ = w.server.Serve(w.listener) })
	return w, nil
}

// Close ends everything that is under way and waits for it. It may be called twice.
func (w *Workspace) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.dropSockets(func(*socket) bool { return true })
	err := w.server.Close()
	w.work.Wait()
	w.client.CloseIdleConnections()
	return err
}

// begin starts a goroutine that Close waits for; after Close it starts none.
func (w *Workspace) begin(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spawn(f)
}

// spawn is begin with the lock held.
func (w *Workspace) spawn(f func()) {
	if !w.closed {
		w.work.Go(f)
	}
}

// URL is the address of the page that shows the workspace.
func (w *Workspace) URL() string { return w.base + "/" }

// APIURL is the base of the Web API, with a slash at the end.
func (w *Workspace) APIURL() string { return w.base + "/api/" }

// BotToken is the app's bot token.
func (w *Workspace) BotToken() string { return w.botToken }

// AppToken is the app-level token, which opens Socket Mode connections.
func (w *Workspace) AppToken() string { return w.appToken }

// SigningSecret is what HTTP deliveries are signed with.
func (w *Workspace) SigningSecret() string { return w.signingSecret }

// DeliverHTTP sends what happens from now on to the app at a base URL.
func (w *Workspace) DeliverHTTP(base string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.app = base
}

// DeliverSocket sends what happens from now on through Socket Mode connections.
func (w *Workspace) DeliverSocket() { w.DeliverHTTP("") }

// Grant replaces the scopes of the bot token.
func (w *Workspace) Grant(scopes ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scopes = slices.Clone(scopes)
}

// Revoke makes the tokens void, as uninstalling the app does.
func (w *Workspace) Revoke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revoked = true
}

func secret(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
