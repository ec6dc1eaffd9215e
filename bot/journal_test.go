package bot_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
)

// TestThread plays what can happen to a release and reads its thread.
func TestThread(t *testing.T) {
	step := func(id string) func(*playbooks.Command) { return func(c *playbooks.Command) { c.Step = id } }
	tests := map[string]struct {
		play func(n *newsroom, run string)
		want []string
	}{
		"people change their minds": {
			func(n *newsroom, run string) {
				n.approve(run, "lea")
				n.do(playbooks.CommandUnapprove, "lea", run)
				n.approve(run, "lou")
				n.do(playbooks.CommandPause, "lea", run, because("wait for the fair"))
				n.do(playbooks.CommandResume, "dev", run)
				n.do(playbooks.CommandAnnotate, "quinn", run, because("tested by hand"))
				n.do(playbooks.CommandAbort, "dev", run, because("not today"))
			},
			[]string{
				"Lea approved at 00:00", "Lea took the approval back", "Lou approved at 00:00", "Lea paused the run: wait for the fair",
				"Dev resumed the run", "Quinn notes: tested by hand", "Dev aborts the run: not today", "Aborted after ",
			},
		},
		"an answer expires": {
			func(n *newsroom, run string) {
				n.approve(run, "lea")
				time.Sleep(time.Hour)
			},
			[]string{"Lea approved at 00:00", "The approval by Lea has expired"},
		},
		"a step fails": {
			func(n *newsroom, run string) {
				n.world.Inject(local.Fault{Module: "api", Kind: local.Fail})
				n.approve(run, "lea", "quinn")
				n.until(run, playbooks.StatusHeld)
				n.world.Heal("api")
				n.do(playbooks.CommandRetry, "dev", run, step("deploy:api"))
				n.until(run, playbooks.Status(playbooks.Succeeded))
			},
			[]string{"Lea approved at 00:00", "Quinn approved at 00:00", "Deploy api v2.1.0 failed at attempt 1: ", "Dev repeats: deploy api v2.1.0", "Released after "},
		},
		"a step is skipped": {
			func(n *newsroom, run string) {
				n.world.Inject(local.Fault{Module: "web", Kind: local.Fail})
				n.approve(run, "lea", "quinn")
				n.until(run, playbooks.StatusHeld)
				n.do(playbooks.CommandSkip, "lea", run, step("deploy:web"), because("nobody uses it yet"))
				n.do(playbooks.CommandSkip, "lea", run, step("verify:web"), because("see above"))
				n.until(run, playbooks.Status(playbooks.Succeeded))
			},
			[]string{
				"Lea approved at 00:00", "Quinn approved at 00:00", "Deploy web v3.1.0 failed at attempt 1: ",
				"Lea skipped: deploy web v3.1.0, because nobody uses it yet", "Lea skipped: verify web, because see above", "Released after ",
			},
		},
		"it goes back": {
			func(n *newsroom, run string) {
				n.world.Inject(local.Fault{Module: "api", Kind: local.Fail})
				n.approve(run, "lea", "quinn")
				n.until(run, playbooks.StatusHeld)
				n.do(playbooks.CommandRollback, "lea", run)
				n.approve(run, "dev")
				n.until(run, playbooks.Status(playbooks.RolledBack))
			},
			[]string{
				"Lea approved at 00:00", "Quinn approved at 00:00", "Deploy api v2.1.0 failed at attempt 1: ", "Lea wants to roll back.",
				"The rollback begins: api v2.1.0 → v2.0.0 and db v1.1.0 → v1.0.0", "Dev approved at 00:0", "Rolled back after ",
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *newsroom) {
				test.play(n, n.mustRelease("production"))
				pause()
				got := n.thread("releases")
				if len(got) != len(test.want) {
					t.Fatalf("the thread is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
				}
				for i := range got {
					if !strings.HasPrefix(got[i], test.want[i]) {
						t.Errorf("line %d is %q, want %q", i+1, got[i], test.want[i])
					}
				}
			})
		})
	}
}

// TestUnknownStep loses sight of a step, and a person says how it ended.
func TestUnknownStep(t *testing.T) {
	inBubble(t, func(t *testing.T, n *newsroom) {
		for i := range n.catalog.Modules {
			n.catalog.Modules[i].Deploy = map[string]playbooks.Delivery{"": {Timeout: time.Minute}}
		}
		run := n.mustRelease("production")
		n.intercept(func(ctx context.Context, c local.Call) error {
			if c.System == "cluster" && strings.Contains(c.Key, "deploy:db") && c.Method != "Start" {
				return context.DeadlineExceeded
			}
			return nil
		})
		n.world.Inject(local.Fault{Module: "db", Kind: local.Lost})
		n.approve(run, "lea", "quinn")
		n.until(run, playbooks.StatusHeld)
		board := n.one("board/1", "releases").Card
		wantContains(t, "the board", drawn(board), "nobody can tell whether it happened", "confirm 1 deploy:db done", "confirm 1 deploy:db failed")
		n.intercept(unbroken)
		n.do(playbooks.CommandConfirm, "lea", run, func(c *playbooks.Command) { c.Step, c.Outcome = "deploy:db", playbooks.Succeeded })
		n.until(run, playbooks.Status(playbooks.Succeeded))
		wantContains(t, "the thread", strings.Join(n.thread("releases"), "\n"),
			"Deploy db v1.1.0: nobody can tell whether it happened", "Deploy db v1.1.0: Lea says that it succeeded")
	})
}

// TestFailureHasItsExcerpt shows the end of the logs below the line.
func TestFailureHasItsExcerpt(t *testing.T) {
	inBubble(t, func(t *testing.T, n *newsroom) {
		n.world.Inject(local.Fault{Module: "db", Kind: local.Fail})
		run := n.mustRelease("production")
		n.approve(run, "lea", "quinn")
		n.until(run, playbooks.StatusHeld)
		told := n.messages("event/")["releases"]
		wantContains(t, "the line", drawn(told[len(told)-1].Card), "Deploy db v1.1.0 failed", "│", "giving up", "exit status 1")
		comments := n.world.Tracker.Issues()[0].Comments
		last := comments[len(comments)-1]
		wantContains(t, "the comment", last.Text, "Deploy db v1.1.0 failed")
		wantContains(t, "its excerpt", last.Code, "giving up")
	})
}
