// Package slack is Muster's adapter for Slack: it posts and updates messages, takes in
// what people type and press, and knows who they are. It decides nothing: what comes in
// is authenticated, decoded and handed to a Host, which writes it down; only then is it
// acknowledged.
//
// Slack delivers either to an HTTP address (Handler) or through a connection that
// Muster opens (Listen, Socket Mode). Both lead through the same door.
package slack

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
)

// System is Slack's name in Person.Handles, in Group.From and in events.
const System = "slack"

// DefaultAPIURL is where Slack's Web API is.
const DefaultAPIURL = "https://slack.com/api/"

// Options are what a Workspace needs. BotToken and People are required.
type Options struct {
	BotToken string // xoxb-…
	// AppToken (xapp-…) is for Socket Mode. Empty: Listen is not possible.
	AppToken string
	// SigningSecret authenticates what comes over HTTP. Empty: Handler refuses everything.
	SigningSecret string
	// APIURL is where the Web API is, with a slash at the end; empty: DefaultAPIURL.
	APIURL string
	// Connections is how many Socket Mode connections are kept open; 0: 2. Slack
	// allows 10, and sends each payload through one of them.
	Connections int
	// People returns the people of the catalog, as it is now. Called often and concurrently.
	People func() []playbooks.Person
	// HTTP makes the calls. Nil: a client of its own.
	HTTP *http.Client
	Log  *slog.Logger
}

// Host is Muster's side of the conversation. Its methods may be called
// concurrently. All but Receive answer within a second.
type Host interface {
	// Receive takes what a person did. When it returns nil the event is durable, and
	// may be acknowledged. An event with an ID that is known already is the same event.
	// An error that is Permanent says that it can never be taken.
	Receive(ctx context.Context, e chat.Event) error
	// Form returns the form that a line opens where forms can be shown, nil if the line is
	// to be carried out as it is.
	Form(ctx context.Context, e chat.Event) *chat.Form
	// Suggest returns what fits what a person has typed so far into a Search input.
	Suggest(ctx context.Context, from, form, input, typed string) []chat.Choice
	// Fill turns a form that a person sent into a line of the command language, or says, by
	// name of the input, what is wrong with it.
	Fill(ctx context.Context, from string, f chat.Filled) (line string, wrong map[string]string)
}
