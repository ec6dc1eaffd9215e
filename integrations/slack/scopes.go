package slack

// Scope is a permission of the app's bot token, see https://docs.slack.dev/reference/scopes.
type Scope struct {
	Name     string
	For      string // what Muster does with it
	Optional bool   // without it, For is what is missing
}

// Scopes are all that Muster uses. The app's manifest asks for those that are not optional.
func Scopes() []Scope {
	return []Scope{
		{Name: "chat:write", For: "post boards, requests and answers, and update them"},
		{Name: "commands", For: "take /muster"},
		{Name: "app_mentions:read", For: "hear @muster in channels"},
		{Name: "im:history", For: "hear direct messages, and find its own there"},
		{Name: "im:write", For: "open direct messages with those who are asked"},
		{Name: "users:read", For: "see that somebody is deactivated, a bot, a guest, or of another workspace"},
		{Name: "users:read.email", For: "know people by their address"},
		{Name: "channels:read", For: "find the public channels that it is in by their names"},
		{Name: "groups:read", For: "find the private channels that it is in by their names"},
		{Name: usergroupsRead, For: "take a user group as an approval group", Optional: true},
		{Name: "channels:history", For: "find a message again whose answer from Slack was lost, in public channels", Optional: true},
		{Name: "groups:history", For: "find a message again whose answer from Slack was lost, in private channels", Optional: true},
	}
}

// usergroupsRead is needed as soon as a user group is an approval group.
const usergroupsRead = "usergroups:read"
