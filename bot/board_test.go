package bot_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var someDigest = regexp.MustCompile(`\b[0-9a-f]{8}\b`)

// goldenCard compares a card as it is drawn with a golden file. Digests are left out.
func goldenCard(t *testing.T, name string, card chat.Card) {
	t.Helper()
	got := drawn(card) + "\ntext: " + chat.Plain(card.Text) + "\n"
	for _, a := range card.Actions {
		got += fmt.Sprintf("button: %s = %s", a.Label, a.Command)
		if a.Confirm != "" {
			got += " (" + a.Confirm + ")"
		}
		got += "\n"
	}
	got = someDigest.ReplaceAllString(got, "0123abcd")
	path := filepath.Join("testdata", "cards", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

func (n *newsroom) approve(run string, people ...string) {
	n.t.Helper()
	for _, by := range people {
		n.do(playbooks.CommandApprove, by, run)
	}
}

// TestBoards draws the board in each state that a release can be in.
func TestBoards(t *testing.T) {
	board := func(t *testing.T, n *newsroom, name string) {
		t.Helper()
		goldenCard(t, name, n.one("board/1", "releases").Card)
	}
	scenes := map[string]func(t *testing.T, n *newsroom, run string){
		"waiting": func(t *testing.T, n *newsroom, run string) {
			n.approve(run, "lea")
			board(t, n, "waiting")
			n.do(playbooks.CommandPause, "lea", run, because("the auditors are here"))
			board(t, n, "paused")
			n.do(playbooks.CommandAbort, "dev", run)
			board(t, n, "aborted")
		},
		"rejected": func(t *testing.T, n *newsroom, run string) {
			n.do(playbooks.CommandReject, "quinn", run, because("the tests of api are red."))
			board(t, n, "rejected")
		},
		"running": func(t *testing.T, n *newsroom, run string) {
			n.approve(run, "lea", "quinn")
			time.Sleep(30 * time.Second)
			board(t, n, "running")
			n.until(run, playbooks.Status(playbooks.Succeeded))
			board(t, n, "released")
		},
		"failed": func(t *testing.T, n *newsroom, run string) {
			n.world.Inject(local.Fault{Module: "api", Kind: local.Fail})
			n.approve(run, "lea", "quinn")
			n.until(run, playbooks.StatusHeld)
			board(t, n, "held")
			n.do(playbooks.CommandRollback, "lea", run)
			n.until(run, playbooks.StatusWaiting)
			board(t, n, "rollback-asked")
			n.approve(run, "lea")
			time.Sleep(4 * time.Second)
			board(t, n, "rolling-back")
			n.until(run, playbooks.Status(playbooks.RolledBack))
			board(t, n, "rolled-back")
		},
		"unknown": func(t *testing.T, n *newsroom, run string) {
			n.world.Inject(local.Fault{Module: "web", Kind: local.Stuck})
			n.approve(run, "lea", "quinn")
			n.until(run, playbooks.StatusHeld)
			board(t, n, "stuck")
		},
	}
	for name, scene := range scenes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNewsroom(t)
				n.pace = 983 * time.Millisecond // never at the moment at which something happens
				for i := range n.catalog.Modules {
					m := &n.catalog.Modules[i]
					m.Deploy = map[string]playbooks.Delivery{"": {Estimate: 20 * time.Second, Params: map[string]string{"duration": "20s"}, Timeout: 2 * time.Minute}}
				}
				n.must(n.start())
				defer func() { n.end() }()
				scene(t, n, n.mustRelease("production"))
			})
		})
	}
}

// TestLargeBoard counts where a list would be too long for a phone.
func TestLargeBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t, local.Fault{Module: "m2-07", Kind: local.Fail})
		n.pace = 983 * time.Millisecond
		n.catalog.Modules = nil
		for wave := range 5 {
			for i := range 30 {
				m := playbooks.Module{Name: fmt.Sprintf("m%d-%02d", wave, i), Version: "v1"}
				m.Deploy = map[string]playbooks.Delivery{"": {Params: map[string]string{"duration": "20s"}}}
				if m.Name == "m2-07" {
					m.Deploy = map[string]playbooks.Delivery{"": {Params: map[string]string{"duration": "10s"}}}
				}
				if wave > 0 {
					m.Needs = []playbooks.Need{{Module: fmt.Sprintf("m%d-%02d", wave-1, i)}, {Module: fmt.Sprintf("m%d-00", wave-1)}}
				}
				n.catalog.Modules = append(n.catalog.Modules, m)
			}
		}
		n.must(n.start())
		defer func() { n.end() }()
		run := n.mustRelease("production")
		n.approve(run, "lea", "quinn")
		n.until(run, playbooks.StatusHeld)
		time.Sleep(30 * time.Second) // what runs comes to its end
		card := n.one("board/1", "releases").Card
		goldenCard(t, "large", card)
		if lines := strings.Count(drawn(card), "\n"); lines > 40 {
			t.Errorf("the board of 150 modules has %d lines", lines)
		}
	})
}

// TestTargets shows a module that goes to several targets once.
func TestTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t)
		n.catalog.Environments[1].Targets = []string{"eu", "us"}
		n.must(n.start())
		defer func() { n.end() }()
		run := n.mustRelease("production")
		n.approve(run, "lea", "quinn")
		n.until(run, playbooks.Status(playbooks.Succeeded))
		if board := n.board("releases"); strings.Count(board, "api") != 1 {
			t.Errorf("the board is\n%s", board)
		}
	})
}
