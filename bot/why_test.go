package bot_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// What a program is told when a line is about a run that is not there: that there is
// no such run, that nothing can be changed, or just that nothing waits.
func TestNothingUnderWay(t *testing.T) {
	config, err := configs.Load(filepath.Join("testdata", "conversations", "catalog.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, config.Catalog)
		say := func(line string) error {
			return r.bot.Execute(context.Background(), bot.Line{By: "ann", Via: "cli", Text: line}).Err
		}
		for _, line := range []string{"why 7", "pause 7", "status 7", "who 7", "rollback 7"} {
			if err := say(line); !errors.Is(err, engine.ErrNoRun) {
				t.Errorf("%s: %v, want it to wrap ErrNoRun", line, err)
			}
		}
		for _, line := range []string{"pause", "approve", "abort", "retry"} {
			var refusal *playbooks.Refusal
			if err := say(line); !errors.As(err, &refusal) {
				t.Errorf("%s: %v, want a refusal", line, err)
			}
		}
		if err := say("why"); err != nil {
			t.Errorf("why: %v", err)
		}
	})
}
