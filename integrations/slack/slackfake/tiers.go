package slackfake

import (
	"maps"
	"slices"
	"time"
)

// Slack's rate limits (docs.slack.dev/apis/web-api/rate-limits), per method and workspace:
// a call is refused if as many calls as the tier allows were accepted within the last
// minute; refused calls do not count. Slack's words are "20+ per minute" and the like, so
// nobody may rely on more.
const (
	window = time.Minute
	// tier1 is "1+ per minute" with "a small amount of burst behavior"; this much burst is
	// the fake's own choice: ten connections of Socket Mode, twice over.
	tier1 = 20
	tier2 = 20
	tier3 = 50
	tier4 = 100
	// Posting has a limit of its own: "one message per second per channel", and "several
	// hundred messages per minute" in a workspace.
	postsPerMinute = 300
	authPerMinute  = 300 // auth.test: "hundreds of requests per minute"
	// A post is refused if the one before it into the same channel was accepted less than a
	// second before, with this much grace for the way here. There is no burst. Who waits a
	// second from one answer to the next post is never refused.
	postInterval = time.Second
	postGrace    = 10 * time.Millisecond
)

var perMinute = map[string]int{
	"auth.test": authPerMinute, "apps.connections.open": tier1,
	"chat.postMessage": postsPerMinute, "chat.update": tier3, "chat.delete": tier3, "chat.postEphemeral": tier4,
	"conversations.open": tier3, "conversations.info": tier3, "conversations.list": tier2, "users.conversations": tier2,
	"conversations.history": tier3, "conversations.replies": tier3,
	"users.info": tier4, "users.lookupByEmail": tier3, "usergroups.list": tier2, "usergroups.users.list": tier2,
	"views.open": tier4, "views.update": tier4, "team.info": tier3,
}

// tiers remembers when calls were accepted.
type tiers struct {
	calls map[string][]time.Time // by method, within the last window
	posts map[string]time.Time   // by channel: the last one
}

func newTiers() tiers { return tiers{calls: map[string][]time.Time{}, posts: map[string]time.Time{}} }

// admit accepts a call, or says how long to wait.
func (t *tiers) admit(now time.Time, method, channel string) (wait time.Duration) {
	if method == "chat.postMessage" {
		if since := now.Sub(t.posts[channel]); since < postInterval-postGrace {
			return postInterval - since
		}
	}
	recent := slices.DeleteFunc(t.calls[method], func(at time.Time) bool { return now.Sub(at) >= window })
	t.calls[method] = recent
	if limit := perMinute[method]; len(recent) >= limit {
		return window - now.Sub(recent[len(recent)-limit])
	}
	t.calls[method] = append(recent, now)
	if method == "chat.postMessage" {
		t.posts[channel] = now
		if len(t.posts) > 10_000 {
			maps.DeleteFunc(t.posts, func(_ string, at time.Time) bool { return now.Sub(at) > postInterval })
		}
	}
	return 0
}
