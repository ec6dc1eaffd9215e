package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/slack/slackfake"
	"github.com/muster-release/muster/playbooks"
)

// The people of the play, by their accounts: ann leads, bob tests, cleo releases.
const (
	slackAnn  = "UANN"
	slackBob  = "UBOB"
	slackCleo = "UCLEO"
)

// playFails is the one module of the play whose deployment fails at first.
const playFails = "cart"

// slackPlay is a release as people in Slack go through it, with everything that they can do
// there. It does what people do: they wait until they see something, and what Slack
// says did not work they do again.
type slackPlay struct {
	t        testing.TB
	fake     *slackfake.Workspace
	releases string // ID of the channel that has the board
	talk     string // ID of another one
	patience time.Duration
	poll     time.Duration
	// heal lets the deployment work that fails. Nil: none fails.
	heal func()
	// formPatience is how long somebody waits for a form that they asked for.
	formPatience time.Duration
	// outage is called when something was not acknowledged, and returns when it is
	// worth trying again. Nil: everything has to be acknowledged.
	outage func()

	events  []string // IDs of the events that have to be answered in public
	clicks  []playClick
	repeats int                 // what was done again because Slack said that it had not worked
	forms   int                 // how often the form had to be asked for
	orphans []slackfake.Message // have buttons that nobody takes away
}

// pressOrphans presses every button that stayed, and waits for the answers.
func (p *slackPlay) pressOrphans() {
	p.t.Helper()
	for _, m := range p.orphans {
		for _, b := range m.Buttons() {
			if strings.HasPrefix(b.ActionID, "do:") {
				p.click(b.Label, slackAnn, func() bool { return false }, func() (slackfake.Delivery, error) {
					return p.fake.PressConfirmed(slackAnn, m.Channel, m.TS, b.Label)
				})
			}
		}
	}
	p.until("an answer to every click", func() bool { all, _ := p.privately(); return all })
}

// playClick is what has to be answered to one person alone.
type playClick struct {
	what  string
	user  string
	url   int  // which of the user's response URLs it got
	acked bool // Slack said that it worked
}

// newSlackPlay sets the stage.
func newSlackPlay(t testing.TB, fake *slackfake.Workspace) *slackPlay {
	members := []string{slackfake.BotUser}
	for _, id := range []string{slackAnn, slackBob, slackCleo} {
		name := strings.ToLower(strings.TrimPrefix(id, "U"))
		members = append(members, fake.AddUser(slackfake.User{ID: id, Name: name, RealName: name}))
	}
	return &slackPlay{
		t: t, fake: fake, patience: 5 * time.Minute, poll: 250 * time.Millisecond, formPatience: 20 * time.Second,
		releases: fake.AddChannel(slackfake.Channel{Name: "releases", Members: members}),
		talk:     fake.AddChannel(slackfake.Channel{Name: "talk", Members: members}),
	}
}

// playCatalog is what the play is about.
const playCatalog = `
name: Corner shop
environments:
  - name: production
    channels: ["#releases"]
    approvals: {rules: [{group: leads}, {group: qa}]}
people:
  - {id: ann, name: Ann, handles: {slack: UANN}}
  - {id: bob, name: Bob, handles: {slack: UBOB}}
  - {id: cleo, name: Cleo, handles: {slack: UCLEO}}
groups:
  - {name: leads, members: [ann]}
  - {name: qa, members: [bob]}
access:
  - {who: [cleo], role: releaser}
  - {who: [ann, bob], role: viewer}
modules:
  - {name: redis, version: v7.4.1}
  - {name: cart, version: v2.0.0, needs: [redis]}
`

// until waits for something that people wait for.
func (p *slackPlay) until(what string, seen func() bool) {
	p.t.Helper()
	if !p.within(p.patience, seen) {
		p.t.Fatalf("nobody ever sees %s", what)
	}
}

func (p *slackPlay) within(patience time.Duration, seen func() bool) bool {
	for deadline := time.Now().Add(patience); !seen(); {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(p.poll)
	}
	return true
}

// click does something that is answered to the one who does it, until Slack says that it
// has worked or the effect is there. Try says false where there is nothing to click on.
func (p *slackPlay) click(what, user string, effect func() bool, try func() (slackfake.Delivery, error)) {
	p.t.Helper()
	tried := false
	for deadline := time.Now().Add(p.patience); ; {
		before := len(p.fake.ResponseURLs(user))
		d, err := try()
		switch {
		case err != nil && tried && effect(): // the button is gone, because it has worked
			return
		case err != nil && time.Now().After(deadline):
			p.t.Fatalf("%s: %s cannot: %v", what, user, err)
		case err != nil:
			time.Sleep(p.poll)
			continue
		}
		p.clicks = append(p.clicks, playClick{what, user, before, d.Acked})
		if d.Acked {
			return
		}
		if p.outage == nil {
			p.t.Fatalf("%s by %s was not acknowledged: %+v", what, user, d)
		}
		tried = true
		p.repeats++
		p.outage()
	}
}

// mention says something that is answered where it was said.
func (p *slackPlay) mention(user, channel, thread, text string) {
	p.t.Helper()
	_, d, err := p.fake.Say(user, channel, thread, text)
	if err != nil {
		p.t.Fatal(err)
	}
	p.events = append(p.events, d.ID)
	if d.Acked {
		return
	}
	if p.outage == nil {
		p.t.Fatalf("%q by %s was not acknowledged: %+v", text, user, d)
	}
	p.repeats++ // Slack does it
	p.outage()
}

// keyed are the messages of Muster's whose key begins like that.
func (p *slackPlay) keyed(channel, prefix string) []slackfake.Message {
	return slices.DeleteFunc(p.fake.Messages(channel), func(m slackfake.Message) bool {
		return m.Deleted || !strings.HasPrefix(messageKey(m), prefix)
	})
}

func messageKey(m slackfake.Message) string {
	if m.Metadata == nil {
		return ""
	}
	// The name of the installation follows.
	key, _ := m.Metadata.Payload["key"].(string)
	key, _, _ = strings.Cut(key, "@")
	return key
}

// board is the newest board. Ok is false if there is none.
func (p *slackPlay) board() (m slackfake.Message, ok bool) {
	boards := p.keyed(p.releases, "board/1")
	if len(boards) == 0 {
		return m, false
	}
	return boards[len(boards)-1], true
}

// alive are the boards and requests with buttons, wherever they are.
func (p *slackPlay) alive() (found []slackfake.Message) {
	for _, c := range p.fake.Channels() {
		for _, m := range p.keyed(c.ID, "") {
			if len(m.Buttons()) > 0 && messageKey(m) != "" && !strings.HasPrefix(messageKey(m), "answer/") {
				found = append(found, m)
			}
		}
	}
	return found
}

// told reports whether the release's threads tell something so many times.
func (p *slackPlay) told(words string, times int) func() bool {
	return func() bool {
		entries := make(map[string]bool) // those below a second board count once
		for _, m := range p.keyed(p.releases, "event/1/") {
			if strings.Contains(m.Text, words) {
				entries[messageKey(m)] = true
			}
		}
		return len(entries) >= times
	}
}

// pressOn presses a button of the newest message that has it.
func (p *slackPlay) pressOn(user string, messages []slackfake.Message, button string) (slackfake.Delivery, error) {
	for _, m := range slices.Backward(messages) {
		for _, b := range m.Buttons() {
			if b.Label == button || strings.HasPrefix(b.Value, button) && b.Value != "" {
				return p.fake.PressConfirmed(user, m.Channel, m.TS, b.Label)
			}
		}
	}
	return slackfake.Delivery{}, fmt.Errorf("there is no button %q", button)
}

// onBoard presses a button of the board.
func (p *slackPlay) onBoard(user, button string, effect func() bool) {
	p.t.Helper()
	p.click(button, user, effect, func() (slackfake.Delivery, error) {
		return p.pressOn(user, p.keyed(p.releases, "board/1"), button)
	})
	p.until("the effect of "+button, effect)
}

// plan fills in the form, until it shows the plan.
func (p *slackPlay) plan() {
	p.t.Helper()
	shows := func() (id string, ok bool) {
		for _, v := range p.fake.Views(slackCleo) {
			if v.CallbackID == "card" && strings.Contains(asJSON(v.Object), "Release ") {
				return v.ID, true
			}
		}
		return "", false
	}
	for range 10 {
		p.forms++
		if d, err := p.fake.Slash(slackCleo, p.talk, "release"); err != nil {
			p.t.Fatal(err)
		} else if !d.Acked {
			if p.outage == nil {
				p.t.Fatalf("the form was not acknowledged: %+v", d)
			}
			p.repeats++
			p.outage()
			continue
		}
		var form slackfake.View
		if !p.within(p.formPatience, func() bool {
			for _, v := range p.fake.Views(slackCleo) {
				if v.CallbackID == "form:release" {
					form = v
					return true
				}
			}
			return false
		}) {
			if p.outage != nil {
				p.outage()
			}
			continue // Muster has said to try again, or was killed before it could
		}
		sent := func() bool {
			if _, ok := shows(); ok {
				return true // it was taken, though Slack said that it was not
			}
			if _, d, err := p.fake.Suggest(slackCleo, form.ID, "modules", "all"); err != nil || !d.Acked {
				return false
			}
			s, err := p.fake.Submit(slackCleo, form.ID, map[string][]string{"modules": {"all"}, "environment": {"production"}})
			if err != nil {
				if _, ok := shows(); ok {
					return true
				}
				p.t.Fatalf("the form cannot be sent: %v", err)
			}
			return s.Delivery.Acked && s.Action == "update"
		}
		for !sent() {
			if p.outage == nil {
				p.t.Fatal("the form was not taken")
			}
			p.repeats++
			p.outage()
		}
		var id string
		p.until("the plan in the form", func() (ok bool) {
			id, ok = shows()
			return ok
		})
		if _, err := p.fake.CloseView(slackCleo, id); err != nil {
			p.t.Fatal(err)
		}
		return
	}
	p.t.Fatal("the form never opened")
}

func asJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// play plays from the plan to the end of the release.
func (p *slackPlay) play() {
	p.t.Helper()
	p.plan()
	p.click("plan", slackCleo, func() bool { return false }, func() (slackfake.Delivery, error) {
		return p.fake.Slash(slackCleo, p.talk, "plan all to production")
	})
	begun := func() bool { _, ok := p.board(); return ok }
	p.click("release", slackCleo, begun, func() (slackfake.Delivery, error) {
		return p.pressOn(slackCleo, p.fake.Ephemerals(slackCleo), "release ")
	})
	p.until("the board", begun)
	p.click("approve", slackAnn, p.told("Ann approved", 1), func() (slackfake.Delivery, error) {
		return p.pressOn(slackAnn, p.keyed(p.fake.DM(slackAnn), "request/1/"), "Approve")
	})
	p.until("that Ann approved", p.told("Ann approved", 1))
	board, _ := p.board()
	p.mention(slackAnn, p.releases, board.TS, "@muster unapprove")
	p.until("that Ann took it back", p.told("took the approval back", 1))
	p.mention(slackAnn, p.releases, board.TS, "@muster approve")
	p.until("that Ann approved again", p.told("Ann approved", 2))
	p.mention(slackAnn, "", "", "status")
	p.onBoard(slackCleo, "Pause", p.told("paused the run", 1))
	p.onBoard(slackCleo, "Resume", p.told("resumed the run", 1))
	p.click("approve", slackBob, p.told("Bob approved", 1), func() (slackfake.Delivery, error) {
		return p.pressOn(slackBob, p.keyed(p.releases, "request/1/"), "Approve")
	})
	p.until("that Bob approved", p.told("Bob approved", 1))
	if p.heal != nil {
		p.until("the failure", p.told("failed at attempt 1", 1))
		p.heal()
		p.onBoard(slackCleo, "Retry", p.told("Cleo repeats", 1))
	}
	p.until("the end", p.told("Released after", 1))
	p.until("the end on the board", func() bool {
		m, ok := p.board()
		return ok && len(m.Buttons()) == 0 && strings.Contains(m.Text, ": released")
	})
	p.until("the announcement", func() bool { return len(p.keyed(p.releases, "notify/1")) > 0 })
	p.until("an answer to every click", func() bool { once, _ := p.privately(); return once })
}

// privately reports whether every click that worked was answered, and how many answers came
// more often than once.
func (p *slackPlay) privately() (all bool, doubled int) {
	all = true
	uses := make(map[string][]int)
	for _, c := range p.clicks {
		if uses[c.user] == nil {
			uses[c.user] = p.fake.ResponseURLs(c.user)
		}
		used := uses[c.user][c.url]
		all = all && (used > 0 || !c.acked)
		doubled += max(used-1, 0)
	}
	return all, doubled
}

// playEffects is how often each thing that people did has to be in the log of the run.
var playEffects = map[string]int{
	"created ": 1, "approved ann": 2, "unapproved ann": 1, "paused cleo": 1, "resumed cleo": 1,
	"approved bob": 1, "retried cleo": 1, "completed succeeded": 1,
}

// playEntries is how often the release's thread has to tell each of it.
var playEntries = map[string]int{
	"Ann approved": 2, "took the approval back": 1, "paused the run": 1, "resumed the run": 1, "Bob approved": 1,
	"failed at attempt 1": 1, "Cleo repeats": 1, "Released after": 1,
}

// playResult is what there was too much of.
type playResult struct {
	boards   int // second boards
	messages int // messages that are there twice, boards included
	orphans  int // of those, what keeps its buttons
	doubled  int // private answers
}

// check finds everything that is wrong at the end of a play. What is there twice though
// nobody wanted it is counted.
func (p *slackPlay) check(log []playbooks.Event) (r playResult) {
	p.t.Helper()
	effects, outcome := make(map[string]int), playbooks.Outcome("")
	for _, e := range log {
		what := string(e.Type) + " " + e.By
		switch e.Type {
		case playbooks.EventCreated:
			what = "created "
		case playbooks.EventCompleted:
			outcome = e.Outcome
			what = "completed " + string(outcome)
		case playbooks.EventUnknown, playbooks.EventRejected, playbooks.EventSkipped, playbooks.EventAborting:
			p.t.Errorf("the run has %q by %q: %s", e.Type, e.By, e.Message)
			continue
		case playbooks.EventApproved, playbooks.EventUnapproved, playbooks.EventPaused, playbooks.EventResumed:
		case playbooks.EventRetried:
			if e.By == "" {
				continue // by itself
			}
		default:
			continue
		}
		effects[what]++
	}
	want, entries := maps.Clone(playEffects), maps.Clone(playEntries)
	if p.heal == nil {
		delete(want, "retried cleo")
		delete(entries, "failed at attempt 1")
		delete(entries, "Cleo repeats")
	}
	if !maps.Equal(effects, want) {
		p.t.Errorf("what people did has had the effects %v, want %v", effects, want)
	}
	for _, c := range p.fake.Channels() {
		times, alive := make(map[string]int), make(map[string][]slackfake.Message)
		for _, m := range p.fake.Messages(c.ID) {
			key := messageKey(m)
			if m.Bot && key == "" {
				p.t.Errorf("in %s Muster says something without a key: %s", c.ID, m.Text)
			}
			if key == "" || m.Deleted {
				continue
			}
			if times[key]++; times[key] == 2 {
				r.messages++
				if strings.HasPrefix(key, "board/") {
					r.boards++
				}
			}
			if len(m.Buttons()) > 0 && !strings.HasPrefix(key, "answer/") {
				alive[key] = append(alive[key], m)
			}
		}
		for key, messages := range alive {
			if len(messages) >= times[key] {
				p.t.Errorf("%s in %s still has buttons", key, c.ID)
			} else { // of one that is there twice, nobody knows the other
				p.orphans = append(p.orphans, messages...)
				r.orphans += len(messages)
			}
		}
		if c.ID == p.releases {
			for _, key := range []string{"board/1", "notify/1"} {
				if times[key] == 0 {
					p.t.Errorf("there is no %s", key)
				}
			}
		}
	}
	for words, times := range entries {
		if p.told(words, times+1)() || !p.told(words, times)() {
			p.t.Errorf("the thread does not tell %q %d times", words, times)
		}
	}
	for _, id := range p.events {
		answers := 0
		for _, c := range p.fake.Channels() {
			answers += len(p.keyed(c.ID, "answer/slack/event/"+id))
		}
		if answers == 0 {
			p.t.Errorf("event %s was never answered", id)
		}
	}
	answered, doubled := p.privately()
	if !answered {
		p.t.Errorf("a click was never answered: %+v", p.clicks)
	}
	r.doubled = doubled
	return r
}
