package bot_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// switchboard is a pager: it keeps incidents as a pager does, by key, and what was
// said to it.
type switchboard struct {
	mu    sync.Mutex
	heard []steps.Page
	down  bool
	lost  int // so many answers are lost from now on
}

func (s *switchboard) Page(_ context.Context, p steps.Page) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errors.New("the pager does not answer")
	}
	s.heard = append(s.heard, p)
	if s.lost > 0 {
		s.lost--
		return errors.New("the answer was lost")
	}
	return nil
}

// said lists "class state severity" of every page since the last time.
func (s *switchboard) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, p := range s.heard {
		all = append(all, p.Class+" "+string(p.State)+" "+p.Severity)
	}
	s.heard = nil
	return strings.Join(all, ", ")
}

func (s *switchboard) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// onCall runs a test in a newsroom that has a pager.
func onCall(t *testing.T, test func(*testing.T, *newsroom, *switchboard)) {
	synctest.Test(t, func(t *testing.T) {
		n, pager := newNewsroom(t), new(switchboard)
		n.equip = func(o *bot.ReporterOptions) { o.Pager, o.PageAfter = pager, 10*time.Minute }
		n.must(n.start())
		defer func() { n.end() }()
		test(t, n, pager)
	})
}

func TestNobodyCameInTime(t *testing.T) {
	onCall(t, func(t *testing.T, n *newsroom, pager *switchboard) {
		run := n.mustRelease("production")
		time.Sleep(9 * time.Minute)
		if got := pager.said(); got != "" {
			t.Errorf("after nine minutes people are called: %s", got)
		}
		n.do(playbooks.CommandApprove, "lea", run) // somebody is there, so it waits again
		time.Sleep(9 * time.Minute)
		if got := pager.said(); got != "" {
			t.Errorf("nine minutes after somebody came people are called: %s", got)
		}
		time.Sleep(2 * time.Minute)
		if got := pager.said(); got != "unattended trigger warning" {
			t.Errorf("after that people are called: %q", got)
		}
		time.Sleep(time.Hour)
		if got := pager.said(); got != "" {
			t.Errorf("they are called again: %s", got)
		}
		n.do(playbooks.CommandAnnotate, "lea", run, because("I look at it"))
		if got := pager.said(); got != "unattended acknowledge warning" {
			t.Errorf("when somebody has come the pager hears %q", got)
		}
		n.do(playbooks.CommandApprove, "quinn", run)
		n.do(playbooks.CommandApprove, "lea", run) // the first one has expired
		n.until(run, playbooks.Status(playbooks.Succeeded))
		if got := pager.said(); got != "unattended resolve info" {
			t.Errorf("in the end the pager hears %q", got)
		}
	})
}

// TestPauseOnPurpose calls nobody for a run that a person stopped, and somebody for one that a
// rule stopped.
func TestPauseOnPurpose(t *testing.T) {
	onCall(t, func(t *testing.T, n *newsroom, pager *switchboard) {
		run := n.mustRelease("production")
		n.do(playbooks.CommandPause, "lea", run)
		time.Sleep(time.Hour)
		if got := pager.said(); got != "" {
			t.Errorf("for a run that was paused people are called: %s", got)
		}
		n.do(playbooks.CommandResume, "lea", run)
		n.do(playbooks.CommandPause, "dev", run, func(c *playbooks.Command) { c.Rule = "hold-on-alert" })
		time.Sleep(time.Hour)
		if got := pager.said(); got != "unattended trigger warning" {
			t.Errorf("for a run that a rule has paused the pager hears %q", got)
		}
	})
}

// TestRollbackThatFails calls people at once, in the middle of an outage of the pager, across a
// restart and in spite of a lost answer: always about the same incident.
func TestRollbackThatFails(t *testing.T) {
	onCall(t, func(t *testing.T, n *newsroom, pager *switchboard) {
		n.world.Inject(local.Fault{Module: "api", Kind: local.Fail})
		run := n.mustRelease("production")
		n.do(playbooks.CommandApprove, "lea", run)
		n.do(playbooks.CommandApprove, "quinn", run)
		n.until(run, playbooks.StatusHeld)
		n.world.Inject(local.Fault{Module: "db", Step: playbooks.StepRollback, Kind: local.Fail})
		n.do(playbooks.CommandRollback, "lea", run)
		pager.set(func() { pager.down = true })
		n.do(playbooks.CommandApprove, "lea", run)
		for range 600 {
			time.Sleep(time.Second)
			if s, _ := n.status(run); s == playbooks.StatusHeld {
				break
			}
		}
		pager.set(func() { pager.down, pager.lost = false, 1 })
		n.restart()
		time.Sleep(3 * time.Minute)
		pager.mu.Lock()
		keys := make(map[string]bool)
		for _, p := range pager.heard {
			keys[p.Key] = true
			if p.Class != "rollback-failed" || p.State != steps.PageTriggered || p.Severity != "critical" || p.Service == "" || !strings.Contains(p.Details["what to type"], "retry 1") {
				t.Errorf("the pager hears %+v", p)
			}
		}
		if len(pager.heard) != 2 || len(keys) != 1 {
			t.Errorf("the pager heard %d pages about %d incidents, want the one whose answer was lost twice", len(pager.heard), len(keys))
		}
		pager.mu.Unlock()
	})
}
