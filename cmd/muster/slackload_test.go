package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/integrations/slack/slackfake"
	"github.com/muster-release/muster/playbooks"
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
		return m.Metadata.Payload["key"] != "board/"+run
	})
}
