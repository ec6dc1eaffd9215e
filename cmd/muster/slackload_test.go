package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/integrations/slack/blocks"
	"github.com/muster-release/muster/integrations/slack/slackfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store/mem"
)

// slackHouse is the whole of Muster with a Slack workspace and the embedded world, on a network
// of its own inside a synctest bubble: time is free there.
type slackHouse struct {
	t     *testing.T
	fake  *slackfake.Workspace
	world *local.World
	app   *app

	mu   sync.Mutex
	ages map[chat.Urgency][]time.Duration // of messages when they were brought up to date
}

func newSlackHouse(t *testing.T, catalog *playbooks.Catalog, takes func(steps.Order) time.Duration) *slackHouse {
	h := &slackHouse{t: t, ages: make(map[chat.Urgency][]time.Duration)}
	network := slackfake.NewNetwork()
	var err error
	if h.fake, err = slackfake.New(slackfake.Options{Network: network}); err != nil {
		t.Fatal(err)
	}
	for _, p := range catalog.People {
		h.fake.AddUser(slackfake.User{ID: p.Handles["slack"], Name: p.ID, RealName: p.Name})
	}
	members := []string{slackfake.BotUser}
	for _, p := range catalog.People {
		members = append(members, p.Handles["slack"])
	}
	for _, e := range catalog.Environments {
		for _, channel := range e.Channels {
			if !slices.ContainsFunc(h.fake.Channels(), func(c slackfake.Channel) bool { return "#"+c.Name == channel }) {
				h.fake.AddChannel(slackfake.Channel{Name: strings.TrimPrefix(channel, "#"), Members: members})
			}
		}
	}
	if h.world, err = local.Open("", local.Options{Takes: takes}); err != nil {
		t.Fatal(err)
	}
	config := &configs.Slack{
		BotToken: configs.NewSecret(h.fake.BotToken()), AppToken: configs.NewSecret(h.fake.AppToken()), APIURL: h.fake.APIURL(), Connections: 1,
	}
	log := slog.New(slog.DiscardHandler)
	talk := slackTalk(config, func() []playbooks.Person { return catalog.People }, network.Client(), log)
	h.app, err = newApp(t.Context(), appOptions{
		Catalog: catalog, Store: mem.New(mem.Options{}), World: h.world, Talk: talk, Log: log,
		Age: func(u chat.Urgency, age time.Duration) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.ages[u] = append(h.ages[u], age)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range catalog.Modules {
		m := &catalog.Modules[i]
		if err := h.world.Forge.SetBuild(playbooks.BuildState{Module: m.Name, Version: m.Version, State: "passed"}); err != nil {
			t.Fatal(err)
		}
	}
	h.app.Start(context.Background())
	time.Sleep(2 * time.Second)
	return h
}

func (h *slackHouse) close() {
	if err := h.app.Stop(); err != nil {
		h.t.Error(err)
	}
	if err := h.fake.Close(); err != nil {
		h.t.Error(err)
	}
}

// slash types a slash command, and returns what Muster answers.
func (h *slackHouse) slash(user, channel, text string) {
	h.t.Helper()
	if d, err := h.fake.Slash(user, h.channel(channel), text); err != nil || !d.Acked {
		h.t.Fatalf("%s types %q: %+v, %v", user, text, d, err)
	}
}

func (h *slackHouse) channel(name string) string {
	for _, c := range h.fake.Channels() {
		if "#"+c.Name == name {
			return c.ID
		}
	}
	h.t.Fatalf("there is no channel %s", name)
	return ""
}

// byKey finds the messages whose key begins like that, in a channel or, for "", anywhere.
func (h *slackHouse) byKey(channel, prefix string) []slackfake.Message {
	var found []slackfake.Message
	for _, c := range h.fake.Channels() {
		if channel != "" && "#"+c.Name != channel {
			continue
		}
		for _, m := range h.fake.Messages(c.ID) {
			if m.Metadata == nil || m.Deleted {
				continue
			}
			if key, _ := m.Metadata.Payload["key"].(string); strings.HasPrefix(key, prefix) {
				found = append(found, m)
			}
		}
	}
	return found
}

// approve presses Approve on the request of a run, in the person's own copy.
func (h *slackHouse) approve(user, run string) {
	h.t.Helper()
	for range 600 {
		for _, m := range h.byKey("", "request/"+run+"/") {
			if m.Channel != h.fake.DM(user) {
				continue
			}
			if d, err := h.fake.PressConfirmed(user, m.Channel, m.TS, "Approve"); err == nil {
				if !d.Acked {
					h.t.Fatalf("the click of %s was not acknowledged: %+v", user, d)
				}
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	h.t.Fatalf("%s never got a request of run %s", user, run)
}

func (h *slackHouse) ended(run string) bool {
	boards := h.boards(run)
	return len(boards) > 0 && !slices.ContainsFunc(boards, func(m slackfake.Message) bool { return !strings.Contains(m.Text, ": released") })
}

// percentile sorts ages.
func percentile(ages []time.Duration, p float64) time.Duration {
	if len(ages) == 0 {
		return 0
	}
	slices.Sort(ages)
	return ages[min(len(ages)-1, int(p*float64(len(ages))))]
}

// fleet is a catalog of environments with 200 modules each way: waves of ten, four people in
// each of the two groups that approve.
func fleet(modules, environments int) *playbooks.Catalog {
	c := &playbooks.Catalog{Name: "Fleet"}
	person := func(id string) string {
		c.People = append(c.People, playbooks.Person{ID: id, Name: strings.ToUpper(id[:1]) + id[1:], Handles: map[string]string{"slack": "U" + strings.ToUpper(id)}})
		return id
	}
	lead, qa := playbooks.Group{Name: "leads"}, playbooks.Group{Name: "qa"}
	for i := range 4 {
		lead.Members = append(lead.Members, person("lead"+strconv.Itoa(i)))
		qa.Members = append(qa.Members, person("qa"+strconv.Itoa(i)))
	}
	person("rita")
	c.Groups = []playbooks.Group{lead, qa}
	c.Access = []playbooks.Access{{Who: []string{"everyone"}, Role: playbooks.Viewer}, {Who: []string{"rita"}, Role: playbooks.Admin}}
	for i := range environments {
		c.Environments = append(c.Environments, playbooks.Environment{
			Name: fmt.Sprintf("env%d", i), Channels: []string{fmt.Sprintf("#releases-%d", i%2)}, Limit: 10,
			Approvals: &playbooks.ApprovalPolicy{
				Rules: []playbooks.ApprovalRule{{Group: "leads", Count: 1}, {Group: "qa", Count: 1}}, Distinct: true, ExcludeRequester: true,
			},
		})
	}
	for i := range modules {
		m := playbooks.Module{Name: fmt.Sprintf("module-%03d", i), Version: "v1.1.0", Deploy: map[string]playbooks.Delivery{"": {Estimate: 20 * time.Second}}}
		if i >= 10 {
			m.Needs = []playbooks.Need{
				{Module: fmt.Sprintf("module-%03d", i-10), Kind: playbooks.NeedDeploy, Reason: "calls it"},
				{Module: fmt.Sprintf("module-%03d", i/10*10-10), Kind: playbooks.NeedDeploy, Reason: "calls it"},
			}
		}
		c.Modules = append(c.Modules, m)
	}
	return c
}

func twentySeconds(o steps.Order) time.Duration {
	return 30*time.Second + time.Duration(len(o.Place.Module)*int(o.Place.Module[len(o.Place.Module)-1])%10)*time.Second
}

// TestSlackBoards measures how old what boards show becomes, while Slack's limits are enforced.
func TestSlackBoards(t *testing.T) {
	for _, test := range []struct {
		live int
		most time.Duration
	}{{1, 3 * time.Second}, {10, 15 * time.Second}} {
		t.Run(fmt.Sprintf("%d live", test.live), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newSlackHouse(t, fleet(200, test.live), twentySeconds)
				defer h.close()
				began := time.Now()
				var visible []time.Duration
				for i := range test.live {
					h.slash("URITA", "#releases-0", fmt.Sprintf("release all to env%d", i))
					time.Sleep(8 * time.Second)
					run := strconv.Itoa(i + 1)
					h.approve("ULEAD"+strconv.Itoa(i%4), run)
					visible = append(visible, h.visible(run, "Lead"+strconv.Itoa(i%4)+" approved"))
					time.Sleep(7 * time.Second)
					h.approve("UQA"+strconv.Itoa(i%4), run)
					time.Sleep(15 * time.Second)
				}
				for i := range test.live {
					run := strconv.Itoa(i + 1)
					for n := 0; !h.ended(run); n++ {
						if n > 3600 {
							t.Fatalf("run %s does not end: %v", run, h.boards(run)[0].Text)
						}
						time.Sleep(time.Second)
					}
					boards := h.boards(run)
					if len(boards) != 1 || boards[0].ThreadTS != "" && boards[0].ThreadTS != boards[0].TS {
						t.Errorf("run %s has %d boards", run, len(boards))
					}
				}
				took := time.Since(began)
				time.Sleep(2 * time.Minute)
				for _, m := range h.byKey("", "request/") {
					if len(m.Buttons()) > 0 {
						t.Errorf("a request has buttons still: %s", m.Text)
					}
				}
				if n := h.fake.Limits(); n > 0 {
					t.Errorf("Slack refused %d calls because there were too many", n)
				}
				h.mu.Lock()
				defer h.mu.Unlock()
				board := h.ages[chat.Progressing]
				p50, p99, worst := percentile(board, .5), percentile(board, .99), percentile(board, 1)
				t.Logf("%d live releases of 200 modules in %v: %d updates of boards, their age p50 %v, p99 %v, at most %v; settled %d, p99 %v; urgent %d, p99 %v; approvals visible after %v at most; %d calls",
					test.live, took, len(board), p50, p99, worst, len(h.ages[chat.Settled]), percentile(h.ages[chat.Settled], .99),
					len(h.ages[chat.Urgent]), percentile(h.ages[chat.Urgent], .99), slices.Max(visible), len(h.fake.Calls()))
				if p99 > test.most {
					t.Errorf("the age of boards is %v at p99, want %v at most", p99, test.most)
				}
				if slices.Max(visible) > 2*time.Second {
					t.Errorf("an approval is visible after %v, want 2s at most", slices.Max(visible))
				}
			})
		})
	}
}

// visible measures how long it takes until the channel shows something about a run.
func (h *slackHouse) visible(run, words string) time.Duration {
	began := time.Now()
	for time.Since(began) < time.Minute {
		for _, prefix := range []string{"request/" + run + "/", "event/" + run + "/", "board/" + run} {
			for _, m := range h.byKey("", prefix) {
				if !strings.HasPrefix(m.Channel, "D") && strings.Contains(h.fake.Plain(m), words) {
					return time.Since(began)
				}
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

// boards are those of a run.
func (h *slackHouse) boards(run string) []slackfake.Message {
	return slices.DeleteFunc(h.byKey("", "board/"+run), func(m slackfake.Message) bool {
		return !strings.HasPrefix(fmt.Sprint(m.Metadata.Payload["key"]), "board/"+run+"@")
	})
}

const (
	callDelay   = 150 * time.Millisecond // what a call of Slack takes
	sampleEvery = 100 * time.Millisecond
)

// passing is what a board says of the time alone, which is no news, and what an answer to status
// says in other words.
var passing = regexp.MustCompile(`(?m) · about\x{a0}.*\x{a0}to\x{a0}go$|^\*(elapsed|issue|asked by):\*.*\n`)

// watcher compares, ten times a second, what boards show with what they would show if they
// were drawn just then. It goes by nothing that the reporters say about themselves.
type watcher struct {
	h    *slackHouse
	runs []*watched
	ages []time.Duration // of all samples, of all runs that are not over and shown
	stop chan struct{}
	done sync.WaitGroup
}

type watched struct {
	id            string
	channel, ts   string // of its board
	shown, edited string // what it shows, and since which edit
	state         string
	truth         []showing // the oldest is what is shown
	over          bool
	samples       int
	known         int // samples in which the board is, word for word, what it was to show at some time
}

// showing is what a board was to show from a time on.
type showing struct {
	from time.Time
	text string
}

func (h *slackHouse) watch(runs int) *watcher {
	w := &watcher{h: h, stop: make(chan struct{})}
	for i := range runs {
		w.runs = append(w.runs, &watched{id: strconv.Itoa(i + 1)})
	}
	w.done.Go(func() {
		ticker := time.NewTicker(sampleEvery)
		defer ticker.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-ticker.C:
			}
			for _, run := range w.runs {
				if board, found := h.boardOf(run); found && !run.over {
					w.ages = append(w.ages, h.age(run, board))
				}
			}
		}
	})
	return w
}

func (w *watcher) end() []time.Duration {
	close(w.stop)
	w.done.Wait()
	for _, run := range w.runs {
		if run.known*4 < run.samples*3 {
			w.h.t.Errorf("what the board of run %s is to show is not known well: %d of %d samples", run.id, run.known, run.samples)
		}
	}
	return w.ages
}

func (h *slackHouse) boardOf(run *watched) (slackfake.Message, bool) {
	if run.ts == "" {
		if boards := h.boards(run.id); len(boards) > 0 {
			run.channel, run.ts = boards[0].Channel, boards[0].TS
		}
	}
	return h.fake.Message(run.channel, run.ts)
}

// age is for how long a board has not shown how its run stands.
func (h *slackHouse) age(run *watched, board slackfake.Message) time.Duration {
	now, state := time.Now(), h.state(run.id)
	run.samples++
	if state != run.state {
		run.state = state
		if text := h.drawn(run.id); len(run.truth) == 0 || run.truth[len(run.truth)-1].text != text {
			run.truth = append(run.truth, showing{now, text})
		}
	}
	if board.Edited != run.edited || run.shown == "" {
		run.edited, run.shown = board.Edited, passing.ReplaceAllString(slackfake.Plain(board), "")
	}
	latest := 0
	if slices.ContainsFunc(run.truth, func(truth showing) bool { return truth.text == run.shown }) {
		run.known++
	}
	for i, truth := range run.truth {
		// What came and went between two samples goes by the time at which it was drawn,
		// which makes it look older rather than younger.
		if truth.text == run.shown || !truth.from.After(board.Changed.Add(-callDelay)) {
			latest = i
		}
	}
	run.truth = run.truth[latest:]
	run.over = len(run.truth) == 1 && strings.Contains(board.Text, ": released")
	if len(run.truth) == 1 {
		return 0
	}
	return now.Sub(run.truth[1].from)
}

// state is all of a run that a board can show.
func (h *slackHouse) state(run string) string {
	var b strings.Builder
	err := h.app.engine.View(context.Background(), run, func(v engine.View) error {
		fmt.Fprint(&b, v.Run.Len, v.Run.Status())
		for _, s := range v.Run.RunningSteps() {
			fmt.Fprint(&b, v.Reports[s.ID].Progress, v.Reports[s.ID].Message)
		}
		return nil
	})
	if err != nil {
		h.t.Error(err)
	}
	return b.String()
}

// drawn is the board of a run as it would be drawn now.
func (h *slackHouse) drawn(run string) string {
	answer := h.app.bot.Execute(context.Background(), bot.Line{By: "rita", Via: "test", Text: "status " + run})
	if answer.Err != nil {
		h.t.Error(answer.Err)
	}
	data, err := json.Marshal(blocks.Message(answer.Card, nil).Blocks)
	if err != nil {
		h.t.Error(err)
	}
	var m slackfake.Message
	if err := json.Unmarshal(data, &m.Blocks); err != nil {
		h.t.Error(err)
	}
	return passing.ReplaceAllString(slackfake.Plain(m), "")
}

func (h *slackHouse) slow() {
	h.fake.SetFault(func(slackfake.Call) slackfake.Fault { return slackfake.Fault{Delay: callDelay} })
}

// TestSlackAges measures the age of boards as people see it.
func TestSlackAges(t *testing.T) {
	for _, test := range []struct {
		live  int
		apart time.Duration // between the approvals of two releases
		most  time.Duration
	}{{1, 0, 3 * time.Second}, {10, 5 * time.Second, 15 * time.Second}} {
		t.Run(fmt.Sprintf("%d live approved %v apart", test.live, test.apart), func(t *testing.T) {
			if test.live > 1 && testing.Short() {
				t.Skip("it takes some seconds")
			}
			synctest.Test(t, func(t *testing.T) {
				h := newSlackHouse(t, fleet(200, test.live), twentySeconds)
				defer h.close()
				h.slow()
				for i := range test.live {
					h.slash("URITA", "#releases-0", fmt.Sprintf("release all to env%d", i))
					time.Sleep(5 * time.Second)
				}
				w := h.watch(test.live)
				began := time.Now()
				var visible []time.Duration
				for i := range test.live {
					run := strconv.Itoa(i + 1)
					for _, who := range []string{"LEAD", "QA"} {
						visible = append(visible, h.approveSeen("U"+who+strconv.Itoa(i%4), run))
						time.Sleep(test.apart/2 + time.Duration(i*370)*time.Millisecond)
					}
				}
				for i := range test.live {
					run := strconv.Itoa(i + 1)
					for n := 0; len(h.boards(run)) != 1 || !strings.Contains(h.boards(run)[0].Text, ": released"); n++ {
						if n > 3600 {
							t.Fatalf("run %s does not end", run)
						}
						time.Sleep(time.Second)
					}
				}
				took := time.Since(began)
				ages := w.end()
				time.Sleep(2 * time.Minute)
				if n := h.fake.Limits(); n > 0 {
					t.Errorf("Slack refused %d calls because there were too many", n)
				}
				for _, m := range h.byKey("", "request/") {
					if len(m.Buttons()) > 0 {
						t.Errorf("a request has buttons still: %s", m.Text)
					}
				}
				for _, c := range h.fake.Channels() {
					for _, m := range h.fake.Messages(c.ID) {
						if c.IM == "" && m.Bot && m.ThreadTS != "" && m.ThreadTS != m.TS && strings.HasPrefix(fmt.Sprint(m.Metadata.Payload["key"]), "board/") {
							t.Errorf("a board is in a thread: %s", m.Text)
						}
					}
				}
				p99 := percentile(ages, .99)
				t.Logf("%d live for %v: age of boards p50 %v, p90 %v, p99 %v, at most %v; approvals visible p50 %v, at most %v; %d updates",
					test.live, took, percentile(ages, .5), percentile(ages, .9), p99, percentile(ages, 1), percentile(visible, .5), percentile(visible, 1), h.count("chat.update"))
				if p99 > test.most {
					t.Errorf("p99 %v, want %v at most", p99, test.most)
				}
				if most := percentile(visible, 1); most > 2*time.Second {
					t.Errorf("an approval is visible after %v, want 2s at most", most)
				}
			})
		})
	}
}

func (h *slackHouse) count(method string) int {
	n := 0
	for _, c := range h.fake.Calls() {
		if c.Method == method {
			n++
		}
	}
	return n
}

// approveSeen presses Approve in a person's own copy, and returns how long it takes from the
// press until the channel shows it.
func (h *slackHouse) approveSeen(user, run string) time.Duration {
	h.t.Helper()
	name := strings.TrimPrefix(user, "U")
	words := []string{name[:1] + strings.ToLower(name[1:]) + " approved", "@" + strings.ToLower(name) + " approved"}
	shown := func() bool {
		for _, prefix := range []string{"request/" + run + "/", "event/" + run + "/"} {
			for _, m := range h.byKey("", prefix) {
				text := h.fake.Plain(m)
				if !strings.HasPrefix(m.Channel, "D") && (strings.Contains(text, words[0]) || strings.Contains(text, words[1])) {
					return true
				}
			}
		}
		return false
	}
	if shown() {
		h.t.Fatalf("%s has approved run %s before", user, run)
	}
	for range 600 {
		for _, m := range h.byKey("", "request/"+run+"/") {
			if m.Channel != h.fake.DM(user) {
				continue
			}
			began := time.Now()
			if d, err := h.fake.PressConfirmed(user, m.Channel, m.TS, "Approve"); err != nil || !d.Acked {
				h.t.Fatalf("%s presses Approve: %+v, %v", user, d, err)
			}
			for !shown() && time.Since(began) < time.Minute {
				time.Sleep(10 * time.Millisecond)
			}
			return time.Since(began)
		}
		time.Sleep(100 * time.Millisecond)
	}
	h.t.Fatalf("%s never got a request of run %s", user, run)
	return 0
}

// While Slack is down for ten minutes a release that waits for nobody goes on to its end;
// then Slack shows it, soon, and each thing once.
func TestSlackDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newSlackHouse(t, fleet(60, 1), twentySeconds)
		defer h.close()
		h.slow()
		h.slash("URITA", "#releases-0", "release all to env0")
		h.approveSeen("ULEAD0", "1")
		h.approveSeen("UQA0", "1")
		time.Sleep(15 * time.Second)
		h.fake.SetDown(true)
		rita := func(line string) {
			if a := h.app.bot.Execute(t.Context(), bot.Line{By: "rita", Via: "test", Text: line}); a.Err != nil {
				t.Errorf("%s: %v", line, a.Err)
			}
		}
		for i := range 12 {
			time.Sleep(time.Second)
			rita(fmt.Sprintf("note 1 because of remark %d", i))
		}
		time.Sleep(10*time.Minute - 12*time.Second)
		if open := h.app.engine.OpenRuns(); len(open) > 0 {
			t.Errorf("runs %v wait for Slack", open)
		}
		if text := h.boards("1")[0].Text; strings.Contains(text, "released") {
			t.Fatalf("the board shows what it cannot know: %s", text)
		}
		h.fake.SetDown(false)
		back := time.Now()
		for time.Since(back) < 2*time.Minute && (!strings.Contains(h.boards("1")[0].Text, ": released") || !strings.Contains(h.thread("1"), "Released after")) {
			time.Sleep(100 * time.Millisecond)
		}
		took := time.Since(back)
		time.Sleep(time.Minute - min(took, time.Minute))
		for _, m := range h.byKey("", "request/1/") {
			if text := h.fake.Plain(m); len(m.Buttons()) > 0 || !strings.Contains(text, "Approved: release 1") {
				t.Errorf("a minute later a request is not true:\n%s", text)
			}
		}
		time.Sleep(10 * time.Minute)
		thread := h.thread("1")
		for i := range 12 {
			if n := len(regexp.MustCompile(fmt.Sprintf(`remark %d\b`, i)).FindAllString(thread, -1)); n != 1 {
				t.Errorf("remark %d is told %d times:\n%s", i, n, thread)
			}
		}
		seen := make(map[string]bool)
		for _, m := range h.byKey("", "") {
			key := fmt.Sprint(m.Channel, m.Metadata.Payload["key"])
			if seen[key] {
				t.Errorf("%s is there twice", key)
			}
			seen[key] = true
		}
		if n := len(h.byKey("", "event/1/")); n > 3 {
			t.Errorf("the backlog is told in %d messages:\n%s", n-2, thread) // two are older
		}
		t.Logf("board and thread are true %v after Slack is back", took)
		if took > time.Minute {
			t.Errorf("board and thread are true %v after Slack is back, want a minute at most", took)
		}
		if n := h.fake.Limits(); n > 0 {
			t.Errorf("Slack refused %d calls because there were too many", n)
		}
	})
}

func (h *slackHouse) thread(run string) string {
	var b strings.Builder
	for _, m := range h.byKey("", "event/"+run+"/") {
		b.WriteString(h.fake.Plain(m) + "\n")
	}
	return b.String()
}

// A board that somebody deletes is posted again, once.
func TestSlackBoardDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newSlackHouse(t, fleet(20, 1), twentySeconds)
		defer h.close()
		h.slow()
		h.slash("URITA", "#releases-0", "release all to env0")
		h.approveSeen("ULEAD0", "1")
		h.approveSeen("UQA0", "1")
		time.Sleep(10 * time.Second)
		boards := func() []slackfake.Message { return h.byKey("#releases-0", "board/1") }
		old := boards()
		if len(old) != 1 {
			t.Fatalf("there are %d boards", len(old))
		}
		if err := h.fake.Delete("URITA", old[0].Channel, old[0].TS); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for len(boards()) == 0 && time.Since(began) < time.Minute {
			time.Sleep(10 * time.Millisecond)
		}
		took := time.Since(began)
		time.Sleep(5 * time.Minute)
		all := boards()
		if len(all) != 1 || all[0].TS == old[0].TS || !strings.Contains(all[0].Text, ": released") {
			t.Fatalf("after a board was deleted there are %+v", all)
		}
		if !slices.ContainsFunc(h.byKey("", "event/1/"), func(m slackfake.Message) bool { return m.ThreadTS == all[0].TS }) {
			t.Errorf("nothing is told below the new board")
		}
		t.Logf("a new board is there %v after the old one was deleted", took)
		if took > 5*time.Second {
			t.Errorf("a new board is there after %v", took)
		}
	})
}
