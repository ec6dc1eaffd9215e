package slack

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// maxAge is how far the timestamp of a request may be from now, either way. What is
// recorded and sent again later than that is refused; sooner, its ID is known already.
const maxAge = 5 * time.Minute

// signed says whether Slack signed body at timestamp, a time about now, and if not
// why, for the log alone: who sent it must not learn which part was wrong.
//
// Version v0 of https://docs.slack.dev/authentication/verifying-requests-from-slack.
func signed(secret, timestamp, signature string, body []byte, now time.Time) (why string, ok bool) {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + timestamp + ":"))
	mac.Write(body)
	equal := hmac.Equal([]byte("v0="+hex.EncodeToString(mac.Sum(nil))), []byte(signature))
	sec, err := strconv.ParseInt(timestamp, 10, 64)
	age := now.Sub(time.Unix(sec, 0))
	switch {
	case secret == "":
		return "no signing secret is configured", false
	case err != nil || age > maxAge || age < -maxAge:
		return "its timestamp is more than 5 minutes away, or none", false
	case !equal:
		return "its signature is not the one of the signing secret", false
	}
	return "", true
}
