package slack

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// CheckOptions say what Check looks at beside the tokens.
type CheckOptions struct {
	Channels []string // where something is to be posted
	Groups   []string // user groups that are approval groups
	// HTTPURL is where Slack delivers, without /slack/events. Empty: it delivers through
	// Socket Mode.
	HTTPURL string
}

// Finding is one thing that was looked at.
type Finding struct {
	OK   bool
	What string
	Fix  string // what to change, and where; empty if it is OK
}

// Check looks whether everything is in place in Slack. It posts nothing.
func (w *Workspace) Check(ctx context.Context, o CheckOptions) []Finding {
	c := &checking{w: w}
	if !c.tokens(ctx) {
		return c.found
	}
	c.scopes(o)
	c.socket(ctx)
	for _, name := range o.Channels {
		c.channel(ctx, name)
	}
	for _, name := range o.Groups {
		c.group(ctx, name)
	}
	c.people(ctx)
	c.delivery(ctx, o.HTTPURL)
	return c.found
}

type checking struct {
	w     *Workspace
	found []Finding
}

func (c *checking) good(format string, args ...any) {
	c.found = append(c.found, Finding{OK: true, What: fmt.Sprintf(format, args...)})
}

func (c *checking) bad(fix, format string, args ...any) {
	c.found = append(c.found, Finding{What: fmt.Sprintf(format, args...), Fix: fix})
}

func (c *checking) tokens(ctx context.Context) bool {
	self, err := c.w.identity(ctx)
	if err != nil {
		fix := "see that this machine reaches " + c.w.o.APIURL
		if isPermanent(err) {
			fix = "install the app to the workspace, and copy the Bot User OAuth Token from OAuth & Permissions"
		}
		c.bad(fix, "the bot token: %v", err)
		return false
	}
	c.good("the bot token is that of user %s in workspace %s", self.user, self.team)
	return true
}

func (c *checking) scopes(o CheckOptions) {
	var missing []string
	for _, s := range Scopes() {
		switch has := c.w.scopes.has(s.Name); {
		case has:
		case !s.Optional, s.Name == "usergroups:read" && len(o.Groups) > 0:
			missing = append(missing, s.Name)
			c.bad("add "+s.Name+" under OAuth & Permissions, Scopes, and install the app again", "scope %s is missing, to %s", s.Name, s.For)
		case strings.HasSuffix(s.Name, ":history"):
			c.good("scope %s is not granted, so Muster cannot %s: that message may be posted twice", s.Name, s.For)
		}
	}
	if len(missing) == 0 {
		c.good("all scopes that are needed are granted")
	}
}

func (c *checking) socket(ctx context.Context) {
	if c.w.o.AppToken == "" {
		return
	}
	err := c.w.look(ctx, method("apps.connections.open", 2), "open a Socket Mode connection", func(ctx context.Context) error {
		_, _, err := c.w.api.StartSocketModeContext(ctx)
		return err
	})
	if err != nil {
		c.bad("make an app-level token with the scope connections:write under Basic Information, and switch Socket Mode on", "the app token: %v", err)
		return
	}
	c.good("the app token opens Socket Mode connections")
}

func (c *checking) channel(ctx context.Context, name string) {
	id, err := c.w.channel(ctx, name)
	if err == nil && id == name { // an ID is taken as it is, so look whether the app is in it
		if err = c.w.listChannels(ctx); err == nil && !c.w.in(id) {
			err = errors.New("the app is not in it")
		}
	}
	if err != nil {
		c.bad("type /invite @muster there", "channel %s: %v", name, err)
		return
	}
	c.good("the app is in channel %s (%s)", name, id)
}

func (w *Workspace) in(channel string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range w.channels {
		if id == channel {
			return true
		}
	}
	return false
}

func (c *checking) group(ctx context.Context, name string) {
	people, strangers, err := c.w.Members(ctx, name)
	switch {
	case err != nil:
		c.bad("name a user group of the workspace by its ID or as @handle, and grant usergroups:read", "user group %s: %v", name, err)
	case len(people) == 0:
		c.bad("give them a handle or an address under people", "user group %s has nobody whom the configuration knows; its accounts: %s", name, strings.Join(strangers, ", "))
	case len(strangers) > 0:
		c.good("user group %s: %s; nobody's accounts, which count for nothing: %s", name, strings.Join(people, ", "), strings.Join(strangers, ", "))
	default:
		c.good("user group %s: %s", name, strings.Join(people, ", "))
	}
}

// people looks for accounts of everybody who might be asked.
func (c *checking) people(ctx context.Context) {
	var missing []string
	n := 0
	for _, p := range c.w.o.People() {
		if p.Handles[System] == "" && p.Email == "" {
			continue // not a person who talks, a nightly job for instance
		}
		n++
		user, err := c.w.Handle(ctx, p.ID)
		if err == nil && user != "" {
			var id string
			if id, _, err = c.w.Person(ctx, user); err == nil && id != p.ID {
				user = ""
			}
		}
		if err != nil {
			c.bad("try again", "person %s: %v", p.ID, err)
			return
		}
		if user == "" {
			missing = append(missing, p.ID)
		}
	}
	if len(missing) > 0 {
		c.bad("correct their handles or addresses under people, or leave out who is not in Slack", "without an account of their own: %s", strings.Join(missing, ", "))
		return
	}
	c.good("%d people have an account", n)
}

// delivery asks the server as Slack does when a URL is entered, to see that what is signed with
// the secret arrives and is answered. That the secret is the app's only Slack can prove.
func (c *checking) delivery(ctx context.Context, base string) {
	if base == "" || c.w.o.SigningSecret == "" {
		return
	}
	address := strings.TrimRight(base, "/") + "/slack/events"
	challenge := rand.Text()
	if err := c.w.challenge(ctx, address, challenge); err != nil {
		c.bad("start muster serve with this configuration, and see that "+base+" leads there", "deliveries at %s: %v", address, err)
		return
	}
	c.good("%s takes what is signed with the signing secret; save the URL under Event Subscriptions and Slack proves that the secret is the app's", address)
}

func (w *Workspace) challenge(ctx context.Context, address, challenge string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, callTime, fmt.Errorf("no answer within %v", callTime))
	defer cancel()
	body, err := json.Marshal(map[string]string{"type": "url_verification", "challenge": challenge})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(w.o.SigningSecret))
	fmt.Fprintf(mac, "v0:%s:%s", at, body)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Slack-Request-Timestamp", at)
	request.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	answer, err := w.http.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	switch {
	case err != nil:
		return err
	case answer.StatusCode == http.StatusUnauthorized:
		return errors.New("the signature was refused: the server has another signing secret, or another time")
	case answer.StatusCode != http.StatusOK || !bytes.Contains(said, []byte(challenge)):
		return fmt.Errorf("HTTP %d, and not the challenge", answer.StatusCode)
	}
	return nil
}

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}
