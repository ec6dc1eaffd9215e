package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// colleague is somebody who approves what they are asked for, as people do:
// after a look at it.
type colleague struct {
	id      string
	looks   time.Duration // how long, at normal pace
	release string        // what they say to a release, and to a rollback
	back    string
}

var cast = []colleague{
	{id: "ann", looks: 3 * time.Second, release: "staging has been fine all morning", back: "customers first"},
	{id: "bob", looks: 4500 * time.Millisecond, release: "the tests are green", back: "we look at it tomorrow"},
}

// colleagues lets ann and bob answer until ctx ends. The function it returns
// waits for them.
func (d *demo) colleagues(ctx context.Context) (wait func()) {
	var group sync.WaitGroup
	for _, c := range cast {
		group.Go(func() { d.answer(ctx, c) })
	}
	return group.Wait
}

// answer reads what a colleague is asked in direct messages, and answers in the
// channel, where everybody sees it. What was answered before a restart is in the chat.
func (d *demo) answer(ctx context.Context, c colleague) {
	said := make(map[string]bool)
	for _, line := range d.lines(c.id) {
		said[line] = true
	}
	for {
		changed := d.world.Chat.Changed()
		for _, line := range d.asked(c) {
			if said[line] {
				continue
			}
			if !pause(ctx, d.pace(c.looks)) {
				return
			}
			if !slices.Contains(d.asked(c), line) {
				continue // somebody was faster, or it is off
			}
			said[line] = true
			if _, err := d.world.Chat.Say(c.id, d.channel, "", line); err != nil {
				return // the world is closed
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// asked returns the lines with which a colleague would answer what is asked of
// them now.
func (d *demo) asked(c colleague) []string {
	var lines []string
	for _, m := range d.world.Chat.Messages("@" + c.id) {
		for _, action := range m.Card.Actions {
			if m.Deleted || !strings.HasPrefix(action.Command, "approve ") {
				continue
			}
			remark := c.release
			if strings.Contains(m.Card.Title, "rollback") {
				remark = c.back
			}
			lines = append(lines, action.Command+" because "+remark)
		}
	}
	return lines
}

// lines is what somebody has said in the chat so far.
func (d *demo) lines(who string) []string {
	events, err := d.world.Chat.Events("")
	if err != nil {
		return nil // Events fails for a bad ID alone
	}
	var lines []string
	for _, e := range events {
		if e.From == who {
			lines = append(lines, e.Text)
		}
	}
	return lines
}

// pause waits, and reports false when ctx ends meanwhile.
func pause(ctx context.Context, t time.Duration) bool {
	select {
	case <-time.After(t):
		return true
	case <-ctx.Done():
		return false
	}
}

// say says something as the person at the terminal.
func (d *demo) say(line string) error {
	_, err := d.world.Chat.Say(me, d.channel, "", line)
	return err
}

// opening is the first line of the demo.
func (d *demo) opening() string { return "plan all to " + d.flags.to }

// stage is where a demo stands.
type stage struct {
	run     string // number of the newest run; empty: none yet
	over    bool
	status  playbooks.Status
	outcome playbooks.Outcome
	back    bool // it is on its way back
	told    bool // board and issue show the end
}

func (d *demo) stage(ctx context.Context) (stage, error) {
	newest, err := d.app.engine.History(ctx, 1)
	if err != nil || len(newest) == 0 {
		return stage{}, err
	}
	s := stage{run: newest[0].Run}
	err = d.app.engine.View(ctx, s.run, func(v engine.View) error {
		s.over, s.status, s.outcome, s.back = v.Run.Over(), v.Run.Status(), v.Run.Outcome, v.Run.RollingBack
		return nil
	})
	s.told = s.over && d.told(s.run)
	return s, err
}

// told reports whether the end of a run is on its board and in its issue, and
// nobody is asked anything about it any more.
func (d *demo) told(run string) bool {
	shown := func(m local.Posted) bool { return m.Key == boardKey(run) && !live(m) }
	asks := func(m local.Posted) bool {
		return strings.HasPrefix(m.Key, "request/"+run+"/") && len(m.Card.Actions) > 0 && !m.Deleted
	}
	messages := d.world.Chat.Messages("")
	if !slices.ContainsFunc(messages, shown) || slices.ContainsFunc(messages, asks) {
		return false
	}
	final := []string{"released", "failed", "aborted", "rolled back"}
	for _, issue := range d.world.Tracker.Issues() {
		if issue.Run == run {
			return slices.Contains(final, issue.Status)
		}
	}
	return false
}

func boardKey(run string) string { return "board/" + run }

// live reports whether a message is the board of a run that is not over: that
// has buttons.
func live(m local.Posted) bool {
	return strings.HasPrefix(m.Key, boardKey("")) && len(m.Card.Actions) > 0 && !m.Deleted
}

// play is what the person at the terminal does in an automatic demo: plan,
// release, and when something fails, ask why and roll back. It picks up wherever
// an earlier process was stopped, and returns when the story has ended.
func (d *demo) play(ctx context.Context) (stage, error) {
	for {
		changed := d.world.Chat.Changed()
		s, err := d.stage(ctx)
		if err != nil {
			return s, err
		}
		line := ""
		switch {
		case s.told:
			return s, nil
		case s.run == "":
			line = d.begin()
		case s.status == playbooks.StatusHeld && s.back:
			return s, nil
		case s.status == playbooks.StatusHeld:
			line = d.next("why "+s.run, "rollback "+s.run)
		}
		if line != "" {
			if !pause(ctx, d.pace(1500*time.Millisecond)) {
				return s, context.Cause(ctx)
			}
			if err := d.say(line); err != nil {
				return s, err
			}
			continue
		}
		select {
		case <-changed:
		case <-time.After(max(d.pace(500*time.Millisecond), 20*time.Millisecond)):
		case <-ctx.Done():
			return s, context.Cause(ctx)
		}
	}
}

// begin is the next line of a demo without a run; empty: there is an answer to
// wait for.
func (d *demo) begin() string {
	line := d.next(d.opening())
	if line != "" {
		return line
	}
	for _, m := range slices.Backward(d.world.Chat.Messages(d.channel)) {
		if command, ok := button(m.Card, "release "); ok && m.From == "" {
			return d.next(command)
		}
	}
	return ""
}

// next is the first of the lines that was not said yet, once what was said last
// has been answered.
func (d *demo) next(lines ...string) string {
	said := d.lines(me)
	for _, line := range lines {
		if slices.Contains(said, line) {
			continue
		}
		if d.answered() {
			return line
		}
		break
	}
	return ""
}

// answered reports whether Muster has answered the last line of the person at
// the terminal.
func (d *demo) answered() bool {
	key := ""
	for _, m := range d.world.Chat.Messages(d.channel) {
		switch {
		case m.From == me:
			key = "answer/" + localSystem + "/" + m.ID
		case m.Key == key:
			key = ""
		}
	}
	return key == ""
}

func button(c chat.Card, prefix string) (command string, ok bool) {
	for _, a := range c.Actions {
		if strings.HasPrefix(a.Command, prefix) {
			return a.Command, true
		}
	}
	return "", false
}

// verdict is the last word about an automatic demo, and the error that it ends
// with. A release that a fault has stopped has ended well when it was rolled back,
// unless the fault is one that Muster gets over by itself.
func (d *demo) verdict(s stage) (string, error) {
	faults := strings.Join(d.flags.faults, ", ")
	healing := len(d.flags.faults) > 0 && !slices.ContainsFunc(d.flags.faults, stops)
	switch {
	case s.outcome == playbooks.Succeeded && s.back:
		return fmt.Sprintf("Release %s was taken back.", s.run), nil
	case s.outcome == playbooks.Succeeded && healing:
		return fmt.Sprintf("Release %s met %s, got over it, and is complete.", s.run, faults), nil
	case s.outcome == playbooks.Succeeded:
		return fmt.Sprintf("Release %s is complete.", s.run), nil
	case s.outcome == playbooks.RolledBack && healing:
		return "", fmt.Errorf("demo: release %s should have got over %s, and was rolled back", s.run, faults)
	case s.outcome == playbooks.RolledBack && faults != "":
		return fmt.Sprintf("Release %s met %s and was rolled back, as it should be.", s.run, faults), nil
	case s.over:
		return "", fmt.Errorf("demo: release %s ended %s", s.run, s.outcome)
	}
	return "", fmt.Errorf("demo: release %s is %s, and a person has to decide", s.run, s.status)
}

// stops reports whether a fault is of a kind that stops a release. What brings
// a new version is tried once more by itself; a job is not.
func stops(word string) bool {
	f, err := local.ParseFault(word)
	if err != nil {
		return true
	}
	switch f.Kind {
	case local.Lost, local.Down:
		return false
	case local.Flaky:
		return !slices.Contains([]playbooks.StepKind{"", playbooks.StepDeploy, playbooks.StepCanary, playbooks.StepPromote}, f.Step)
	}
	return true
}
