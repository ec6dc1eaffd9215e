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
	"slices"
	"strconv"
	"strings"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks/steps"
)

// CheckOptions say what Check looks at beside the tokens.
type CheckOptions struct {
	Channels []string // where something is to be posted
	Groups   []string // user groups that are approval groups
	// HTTPURL is where Slack delivers over HTTP, without /slack/events. Empty: nobody knows.
	HTTPURL string
}

// Check looks whether everything is in place in Slack. It posts nothing. It may take minutes,
// as long as ctx lets it, where there are many people.
func (w *Workspace) Check(ctx context.Context, o CheckOptions) []steps.Finding {
	c := &checking{w: w}
	if c.tokens(ctx, o) {
		for _, name := range o.Channels {
			c.channel(ctx, name)
		}
		for _, name := range o.Groups {
			c.group(ctx, name)
		}
	}
	c.socket(ctx)
	c.delivery(ctx, o.HTTPURL)
	if c.installed {
		c.people(ctx)
	}
	return c.found
}

type checking struct {
	w         *Workspace
	installed bool // the bot token is good
	listed    bool // the app's channels were read
	found     []steps.Finding
}

func (c *checking) good(format string, args ...any) {
	c.found = append(c.found, steps.Finding{OK: true, What: fmt.Sprintf(format, args...)})
}

func (c *checking) bad(fix, format string, args ...any) {
	c.found = append(c.found, steps.Finding{What: fmt.Sprintf(format, args...), Fix: fix})
}

// failed is bad, with what is to be done about an error that has nothing to do with the thing.
func (c *checking) failed(err error, fix, format string, args ...any) {
	switch {
	case code(err) == "missing_scope":
		fix = "add the scope under OAuth & Permissions, and install the app again"
	case !isPermanent(err) && !slices.Contains(tokenErrors, code(err)):
		fix = "see that this machine reaches " + c.w.o.APIURL + ", and try again"
	}
	c.bad(fix, "%s: %s", fmt.Sprintf(format, args...), strings.TrimPrefix(err.Error(), "slack: "))
}

// tokens looks at the bot token and at what it was granted.
func (c *checking) tokens(ctx context.Context, o CheckOptions) bool {
	var answer *slackgo.AuthTestResponse
	err := patiently(ctx, func() (err error) {
		answer, err = c.w.authTest(ctx)
		return err
	})
	if err != nil {
		c.failed(err, "install the app to the workspace, and copy the Bot User OAuth Token from OAuth & Permissions", "bot token")
		return false
	}
	c.installed = true
	c.good("the bot token is that of @%s in workspace %s (%s)", answer.User, answer.Team, answer.TeamID)
	granted := strings.FieldsFunc(answer.Header.Get("X-OAuth-Scopes"), func(r rune) bool { return r == ',' || r == ' ' })
	if len(granted) == 0 {
		c.bad("see that a proxy in front of "+c.w.o.APIURL+" passes the header X-OAuth-Scopes on", "Slack did not say which scopes are granted")
		return true
	}
	missing := false
	for _, s := range Scopes() {
		switch {
		case slices.Contains(granted, s.Name):
		case !s.Optional, s.Name == usergroupsRead && len(o.Groups) > 0:
			missing = true
			c.bad("add it under OAuth & Permissions, Scopes, Bot Token Scopes, and install the app again", "scope %s is missing: Muster needs it to %s", s.Name, s.For)
		case s.Name != usergroupsRead:
			c.good("scope %s is not granted, which is all right: Muster cannot %s, and may post it twice", s.Name, s.For)
		}
	}
	if !missing {
		c.good("all scopes that are needed are granted")
	}
	return true
}

// socket looks at the app token. Opening hands out an address; nothing connects to it.
func (c *checking) socket(ctx context.Context) {
	if c.w.o.AppToken == "" {
		return
	}
	err := c.w.do(ctx, method("apps.connections.open", 1), want{key: "check", urgency: chat.Urgent}, "open a Socket Mode connection", func(ctx context.Context) error {
		_, _, err := c.w.api.StartSocketModeContext(ctx)
		return err
	})
	if err != nil {
		fix := advice(code(err))
		if fix == "" {
			fix = "make an app-level token with the scope connections:write under Basic Information, and turn Socket Mode on"
		}
		if isPermanent(err) {
			c.bad(fix, "app token: %s", strings.TrimPrefix(err.Error(), "slack: "))
		} else {
			c.failed(err, fix, "app token")
		}
		return
	}
	c.good("the app token opens Socket Mode connections")
}

func (c *checking) channel(ctx context.Context, name string) {
	var id string
	err := patiently(ctx, func() (err error) {
		if id, err = c.w.channel(ctx, name); err == nil && id == name && !c.listed {
			err = c.w.listChannels(ctx) // an ID is taken as it is, so look whether the app is there
			c.listed = err == nil
		}
		return err
	})
	if err == nil && !c.w.in(id) {
		err = &failure{text: "slack: find channel " + name, err: errors.New("the app is not in it, or it is archived"), permanent: true}
	}
	if err != nil {
		c.failed(err, "type /invite @muster there", "channel %s", name)
		return
	}
	if id == name {
		c.good("the app is in channel %s", name)
		return
	}
	c.good("the app is in channel %s (%s)", name, id)
}

func (c *checking) group(ctx context.Context, name string) {
	people, strangers, err := c.w.Members(ctx, name)
	switch {
	case err != nil:
		c.failed(err, "name a user group of the workspace by its ID or as @handle", "user group %s", name)
	case len(people) == 0 && len(strangers) == 0:
		c.bad("add people to it in Slack", "user group %s has nobody in it", name)
	case len(people) == 0:
		c.bad("give them a handle or an address under people", "user group %s has nobody whom the configuration knows; its accounts: %s", name, strings.Join(strangers, ", "))
	case len(strangers) > 0:
		c.good("user group %s: %s; nobody's accounts, which count for nothing: %s", name, strings.Join(people, ", "), strings.Join(strangers, ", "))
	default:
		c.good("user group %s: %s", name, strings.Join(people, ", "))
	}
}

// delivery asks the server as Slack does when a URL is entered, to see that what is signed with
// the secret arrives and is answered. That the secret is the app's only Slack can prove.
func (c *checking) delivery(ctx context.Context, base string) {
	if base == "" || c.w.o.SigningSecret == "" {
		return
	}
	address := strings.TrimRight(base, "/") + "/slack/events"
	if err := c.w.challenge(ctx, address, rand.Text()); err != nil {
		c.bad("start muster serve with this configuration, and see that "+base+" leads there", "deliveries at %s: %v", address, err)
		return
	}
	c.good("%s takes what is signed with the signing secret; whether that is the app's Slack alone can prove: save the address under Event Subscriptions", address)
}

// challenge signs as https://docs.slack.dev/authentication/verifying-requests-from-slack says, and
// asks what https://docs.slack.dev/reference/events/url_verification does.
func (w *Workspace) challenge(ctx context.Context, address, challenge string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, callTime, fmt.Errorf("no answer within %v", callTime))
	defer cancel()
	body, err := json.Marshal(map[string]string{"type": "url_verification", "challenge": challenge})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("that is no address")
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(w.o.SigningSecret))
	fmt.Fprintf(mac, "v0:%s:%s", at, body)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Slack-Request-Timestamp", at)
	request.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	answer, err := w.http.Do(request)
	if err != nil {
		return unanswered(ctx, "nobody answers", err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	switch {
	case err != nil:
		return unanswered(ctx, "the answer breaks off", err)
	case answer.StatusCode == http.StatusUnauthorized:
		return errors.New("the signature was refused: the server has another signing secret, or another time")
	case answer.StatusCode != http.StatusOK || !bytes.Contains(said, []byte(challenge)):
		return fmt.Errorf("HTTP %d, and not the challenge", answer.StatusCode)
	}
	return nil
}

// people looks for accounts of everybody who might be asked, as many as there is time for.
func (c *checking) people(ctx context.Context) {
	var missing, several []string
	n, looked := 0, 0
	for _, p := range c.w.o.People() {
		if p.Handles[System] == "" && p.Email == "" {
			continue // not a person who talks, a nightly job for instance
		}
		if n++; ctx.Err() != nil {
			continue
		}
		var user, id, why string
		err := patiently(ctx, func() (err error) {
			if user, err = c.w.Handle(ctx, p.ID); err == nil && user != "" {
				id, why, err = c.w.Person(ctx, user)
			}
			return err
		})
		switch {
		case err != nil && ctx.Err() != nil:
			continue
		case err != nil:
			c.failed(err, "try again", "account of %s", p.ID)
			return
		case user == "":
			missing = append(missing, p.ID)
		case id != p.ID:
			several = append(several, fmt.Sprintf("%s (%s: %s)", p.ID, user, why))
		}
		looked++
	}
	const fix = "correct their handles or addresses under people, or leave these out for who is not in Slack"
	if len(missing) > 0 {
		c.bad(fix, "people without an account of their own: %s", strings.Join(missing, ", "))
	}
	if len(several) > 0 {
		c.bad(fix, "people whose account may do nothing: %s", strings.Join(several, ", "))
	}
	switch {
	case looked < n:
		c.good("%d of %d people were looked at: Slack lets no more be asked in this time", looked, n)
	case len(missing)+len(several) == 0 && n > 0:
		c.good("all %d people have an account", n)
	}
}
