package jira_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/jira"
)

// TestDeliveredForEver has a signed delivery come again when the bot has forgotten that it carried the command out:
// nothing in it says when it was signed.
func TestDeliveredForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := offline(t, func(o *jira.Options) { o.HTTP = nil })
		d := new(desk)
		door := j.Handler(d, d)
		body := fmt.Sprintf(`{"timestamp":%d,"webhookEvent":"comment_created","issue":{"key":"ABC-7"},
			"comment":{"id":"4711","created":%q,"updated":%[2]q,"body":"/muster release cart to production","author":{"accountId":"ann"}}}`,
			time.Now().UnixMilli(), time.Now().UTC().Format("2006-01-02T15:04:05.000-0700"))
		if code := deliver(door, body); code != 204 {
			t.Errorf("answer %d, want 204", code)
		}
		if _, commands := d.took(); len(commands) != 1 {
			t.Fatalf("%d commands were taken, want one", len(commands))
		}
		for _, wait := range []time.Duration{48 * time.Hour, 365 * 24 * time.Hour} {
			time.Sleep(wait)
			forgetful := new(desk)
			if code := deliver(j.Handler(forgetful, forgetful), body, identified("another")); code != 204 {
				t.Errorf("answer %d, want 204", code)
			}
			if _, commands := forgetful.took(); len(commands) != 0 {
				t.Errorf("after %v the command is taken again: %+v", wait, commands)
			}
		}
	})
}
