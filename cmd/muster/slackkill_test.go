package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/integrations/slack/slackfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/bolt"
)

// slackKills are where the program is killed during a play: at the first such point since each of
// its starts, in the order in which the play comes by.
var slackKills = map[string][]string{
	"form": {
		"calling/views.open", "called/views.open", "arrived/view", "durable/view", "calling/views.update", "called/views.update",
		"arrived/slash", "durable/slash", "calling/response_url", "called/response_url",
	},
	"board": {
		"arrived/press", "durable/press", "deciding", "calling/response_url", "called/chat.postMessage/board", "calling/chat.postMessage/request",
		"called/chat.postMessage/request", "calling/chat.update", "called/chat.update",
	},
	"thread": {
		"arrived/event", "durable/event", "deciding", "calling/chat.postMessage/answer", "called/chat.postMessage/answer",
		"calling/chat.postMessage/event", "called/chat.postMessage/event", "called/chat.update", "called/chat.postMessage/notify",
	},
}

// TestSlackKill kills the real program with SIGKILL in the middle of every kind of exchange with
// Slack, and starts it again. What was acknowledged is done, once; what was not, people or Slack do
// again, and it is done once, too. Nothing public is there twice.
func TestSlackKill(t *testing.T) {
	var mu sync.Mutex
	kills, repeats, doubled := make(map[string]int), 0, 0
	var plays sync.WaitGroup
	for _, way := range []string{"socket", "http"} {
		for scene, points := range slackKills {
			plays.Go(func() {
				t.Run(way+"/"+scene, func(t *testing.T) {
					s := newMortalServer(t, way, points)
					p := s.play
					p.play()
					p.until("that nothing waits for people any more", func() bool { return len(p.alive()) == 0 })
					time.Sleep(2 * time.Second) // for whatever would still be said
					s.stop()
					r := p.check(logOf(t, s.data))
					if r.messages > 0 || r.orphans > 0 {
						t.Errorf("%d messages are there twice, %d of them boards", r.messages, r.boards)
					}
					if r.doubled > len(s.killed) {
						t.Errorf("%d private answers came twice, with %d kills", r.doubled, len(s.killed))
					}
					checkOnce(t, s.data)
					if want := len(points); len(s.killed) != want {
						t.Errorf("it was killed %d times, want %d: %v", len(s.killed), want, s.killed)
					}
					mu.Lock()
					defer mu.Unlock()
					for _, point := range s.killed {
						kills[point]++
					}
					repeats += p.repeats
					doubled += r.doubled
				})
			})
		}
	}
	plays.Wait()
	total := 0
	for _, n := range kills {
		total += n
	}
	var points strings.Builder
	for _, point := range slices.Sorted(maps.Keys(kills)) {
		fmt.Fprintf(&points, "\n%s %d", point, kills[point])
	}
	t.Logf("%d kills in 6 releases; %d times something was not acknowledged and done again; %d private answers came twice; by point:%s", total, repeats, doubled, points.String())
}

// mortalServer is `muster serve`, as a process that is started again each time that it dies.
type mortalServer struct {
	t      *testing.T
	play   *slackPlay
	fake   *slackfake.Workspace
	way    string
	config string
	data   string
	points []string

	killed []string // where it has died
	done   sync.WaitGroup

	mu      sync.Mutex
	process *os.Process
	ready   bool
	over    bool
	output  []string
}

func newMortalServer(t *testing.T, way string, points []string) *mortalServer {
	t.Helper()
	fake, err := slackfake.New(slackfake.Options{
		RetryDelays: []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &mortalServer{t: t, fake: fake, way: way, config: filepath.Join(dir, "muster.yaml"), data: filepath.Join(dir, "data"), points: points}
	t.Cleanup(func() {
		s.stop()
		if err := fake.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the program said, after %v:\n%s", s.killed, strings.Join(s.output, "\n"))
		}
	})
	s.play = newSlackPlay(t, fake)
	s.play.patience, s.play.poll, s.play.formPatience = 40*time.Second, 20*time.Millisecond, 3*time.Second
	s.play.outage = s.back
	entrance := "appToken: file:app"
	if way == "http" {
		entrance = "signingSecret: file:signing"
	}
	for name, data := range map[string]string{
		"muster.yaml": playCatalog + "server:\n  world: local\n  slack: {botToken: file:bot, " + entrance + ", apiURL: \"" + fake.APIURL() + "\"}\n",
		"bot":         fake.BotToken(), "app": fake.AppToken(), "signing": fake.SigningSecret(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.done.Go(s.live)
	s.back()
	return s
}

// live starts the program until it is stopped.
func (s *mortalServer) live() {
	for {
		args := []string{"serve", "--config", s.config, "--data", s.data, "--listen", "127.0.0.1:0"}
		at := ""
		if n := len(s.killed); n < len(s.points) {
			at = s.points[n]
			args = append(args, "--kill-at", at+":1")
		}
		err := s.run(args)
		s.mu.Lock()
		s.ready = false
		over := s.over
		s.mu.Unlock()
		var exit *exec.ExitError
		switch {
		case over && (err == nil || at != ""):
			return
		case at != "" && errors.As(err, &exit) && exit.ExitCode() == -1:
			s.killed = append(s.killed, at)
		default:
			s.t.Errorf("the program, to be killed at %q, ended: %v", at, err)
			return
		}
	}
}

var serving = regexp.MustCompile(`msg="muster serves" address=(\S+)`)

// run is one life of the program.
func (s *mortalServer) run(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	cmd := muster(ctx, s.t, args...)
	out, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return nil
	}
	err = cmd.Start()
	s.process = cmd.Process
	s.mu.Unlock()
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		s.mu.Lock()
		s.output = append(s.output, line)
		if m := serving.FindStringSubmatch(line); m != nil {
			s.ready = true
			if s.way == "http" {
				s.fake.DeliverHTTP("http://" + m[1])
			}
		}
		s.mu.Unlock()
	}
	return cmd.Wait()
}

// back returns when Slack reaches the program again.
func (s *mortalServer) back() {
	time.Sleep(100 * time.Millisecond) // it may be dying just now
	s.play.until("that Muster is back", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.over || s.ready && (s.way == "http" || s.fake.Connections() > 0)
	})
}

// stop ends the program for good.
func (s *mortalServer) stop() {
	s.mu.Lock()
	if !s.over {
		s.over = true
		if s.process != nil {
			_ = s.process.Signal(syscall.SIGTERM) // it may be dead already
		}
	}
	s.mu.Unlock()
	s.done.Wait()
}

// logOf reads the log of the first release, and verifies all logs.
func logOf(t *testing.T, data string) (events []playbooks.Event) {
	t.Helper()
	checkLogs(t, data)
	b, err := bolt.Open(filepath.Join(data, storeFile), bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for rec, err := range store.NewLogs(b).Read(t.Context(), "run/1", 1) {
		var e playbooks.Event
		if err == nil {
			err = json.Unmarshal(rec.Data, &e)
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// checkOnce finds deployments that were begun twice.
func checkOnce(t *testing.T, data string) {
	t.Helper()
	world, err := local.ReadJournals(filepath.Join(data, worldFolder))
	if err != nil {
		t.Fatal(err)
	}
	begun := make(map[string]int)
	for _, e := range world.Cluster {
		if e.Kind == local.EntryStarted {
			begun[e.Step]++
		}
	}
	if len(begun) != 2 {
		t.Errorf("%d modules were deployed, want 2: %v", len(begun), begun)
	}
	for step, times := range begun {
		if times != 1 {
			t.Errorf("%s was begun %d times", step, times)
		}
	}
}
