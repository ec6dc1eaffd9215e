package configs

import (
	"strings"
	"unicode"
)

// slackSystem is Slack's name in Person.Handles and in Group.From.
const slackSystem = "slack"

// maxConnections is how many Socket Mode connections Slack allows an app:
// https://docs.slack.dev/apis/events-api/using-socket-mode.
const maxConnections = 10

// tokenKinds are what Slack's tokens begin with, by the key that wants them:
// https://docs.slack.dev/authentication/tokens.
var tokenKinds = map[string]struct{ prefix, where string }{
	"botToken": {"xoxb-", "it is the Bot User OAuth Token, under OAuth & Permissions"},
	"appToken": {"xapp-", "it is the App-Level Token, under Basic Information"},
}

func (d *decoder) slack(n *node) {
	s := &Slack{Connections: DefaultConnections}
	d.server.Slack = s
	if n.kind != mapping {
		d.hide(n) // it may be one of the tokens
	}
	var appToken, signingSecret, connections *node
	ok := d.object(n, "the settings of Slack",
		field{key: "botToken", secret: true, decode: func(n *node) { s.BotToken = d.slackToken(n) }},
		field{key: "appToken", secret: true, decode: func(n *node) {
			appToken = n
			s.AppToken = d.slackToken(n)
		}},
		field{key: "signingSecret", secret: true, decode: func(n *node) {
			signingSecret = n
			s.SigningSecret = d.secret(n)
			d.opaque(n, s.SigningSecret)
		}},
		field{key: "apiURL", decode: func(n *node) { s.APIURL = d.apiURL(n) }},
		field{key: "connections", decode: func(n *node) {
			connections = n
			s.Connections = d.integer(n, 1, maxConnections)
		}},
		field{key: "channels", decode: func(n *node) {
			s.Channels = d.texts(n)
			d.channels(n)
		}},
	)
	if !ok {
		return
	}
	d.require(n, "the settings of Slack", "botToken")
	switch {
	case appToken == nil && signingSecret == nil:
		d.report(n.at, "give appToken for Socket Mode, signingSecret for HTTP, or both", "nothing that happens in Slack could reach Muster")
	case appToken == nil && connections != nil:
		d.report(connections.at, "", `"connections" are those of Socket Mode, which needs appToken`)
	}
}

// slackToken reads a token and says if it is of another kind, but never what it is.
func (d *decoder) slackToken(n *node) Secret {
	token := d.secret(n)
	value := token.Reveal()
	if value == "" || !d.opaque(n, token) {
		return token
	}
	kind := tokenKinds[n.name]
	if strings.HasPrefix(value, kind.prefix) {
		return token
	}
	hint := kind.where
	for key, other := range tokenKinds {
		if strings.HasPrefix(value, other.prefix) {
			hint = "what is given here begins as " + key + " does"
		}
	}
	d.report(n.at, hint, "%q wants a token that begins with %s", n.name, kind.prefix)
	return token
}

// apiURL reads where the Web API is.
func (d *decoder) apiURL(n *node) string {
	value := d.secure(n)
	if value == "" {
		return ""
	}
	return value + "/"
}

// channels reports names that no channel of Slack has. A name says nothing to the
// planner, so only Slack cares.
func (d *decoder) channels(n *node) {
	for _, item := range n.items {
		if name := item.text; name != "" && !isChannel(name) {
			hint := ""
			if guess := "#" + strings.ToLower(strings.TrimLeft(name, "#")); isChannel(guess) {
				hint = "did you mean " + quote(guess) + "?"
			}
			d.report(item.at, hint, "%q is no channel of Slack: write its name as %q, or its ID such as C0123ABCD", name, "#name")
		}
	}
}

// isChannel reports whether s can be the name of a channel, behind a #, or its ID. Names have no
// capitals and none of a few signs, at most 80 characters:
// https://docs.slack.dev/reference/methods/conversations.create#naming.
func isChannel(s string) bool {
	name, named := strings.CutPrefix(s, "#")
	if !named {
		return isSlackID(s, "CG")
	}
	return name != "" && len([]rune(name)) <= 80 && !strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsUpper(r) || unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune("#@.,;:<>", r)
	})
}

// usergroup reads a user group: its ID, or @ and its handle.
func (d *decoder) usergroup(n *node) string {
	value := d.text(n)
	if value == "" {
		if n.kind == text {
			d.report(n.at, "", "%q is empty", n.name)
		}
		return ""
	}
	if isUsergroup(value) {
		return value
	}
	hint := ""
	if guess := "@" + strings.ToLower(value); isUsergroup(guess) {
		hint = "did you mean " + quote(guess) + "?"
	}
	d.report(n.at, hint, "%q is no user group: write its handle as %q, or its ID such as S0123ABCD", value, "@handle")
	return ""
}

func isUsergroup(s string) bool {
	handle, handled := strings.CutPrefix(s, "@")
	if !handled {
		return isSlackID(s, "S")
	}
	return handle != "" && len([]rune(handle)) <= maxNameLength && !strings.ContainsFunc(handle, func(r rune) bool {
		return unicode.IsUpper(r) || unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune("@#<>", r)
	})
}

// isSlackID reports whether s looks like an ID of Slack's that begins with one of the letters.
func isSlackID(s, letters string) bool {
	return len(s) > 1 && len(s) <= 40 && strings.Contains(letters, s[:1]) &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// checkSlack looks for what needs Slack and does not fit it.
func (d *decoder) checkSlack() {
	if d.server.Slack != nil {
		for _, n := range d.shownIn {
			d.channels(n)
		}
		return
	}
	for group, in := range d.rolls {
		if at, ok := in[slackSystem]; ok {
			d.report(at, "", "group %q has members in Slack, and there is no server: slack: to ask there", group)
		}
	}
}
