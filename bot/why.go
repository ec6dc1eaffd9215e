package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

func (c *call) why(ctx context.Context) (chat.Card, error) {
	if c.args.empty() && c.line.Run == "" {
		if open, err := c.open(ctx); err != nil {
			return chat.Card{}, err
		} else if len(open) == 0 {
			return chat.Card{Text: "No release is under way, so nothing waits.", Actions: buttons("history")}, nil
		}
	}
	run, err := c.meant(ctx, "", func(engine.View) bool { return true })
	if err != nil {
		return chat.Card{}, err
	}
	step := ""
	if !c.args.empty() {
		if step, err = c.stepOf(ctx, run, (*playbooks.Run).StuckSteps); err != nil {
			return chat.Card{}, err
		}
	}
	if err := c.noMore(); err != nil {
		return chat.Card{}, err
	}
	var card chat.Card
	err = c.view(ctx, run, func(v engine.View) error {
		card = c.whyCard(v, step)
		return nil
	})
	return card, err
}

// mostReasons is how many things that a run waits for are listed.
const mostReasons = 10

func (c *call) whyCard(v engine.View, step string) chat.Card {
	run := "Run " + v.Run.ID
	waits := playbooks.Explain(v.Run, v.Environment, v.Policy, step, v.Now)
	switch {
	case v.Run.Over():
		return chat.Card{Text: fmt.Sprintf("%s is over: %s. It waits for nothing.", run, statusOf(v.Run)), Actions: buttons("history " + v.Run.ID)}
	case len(waits) == 0 && step != "":
		return chat.Card{Text: fmt.Sprintf("%s: %s waits for nothing.", run, stepWords(v.Run.Book.Lookup(step))), Tone: chat.Good}
	case len(waits) == 0:
		return chat.Card{Text: run + " waits for nothing.", Tone: chat.Good}
	}
	resorts := lastResorts(waits)
	waits = slices.DeleteFunc(waits, isLastResort)
	card := chat.Card{}
	times := calendar{c.now.Location(), v.Now}
	// The first has the title. Where several simply run, none of them is the reason.
	listed := waits
	if len(waits) > 1 && simplyRuns(v.Run, waits[0]) {
		card.Text = fmt.Sprintf("%s goes on: %s.", run, countOf(len(waits), "step")+" at work")
	} else if len(waits) > 0 {
		card.Text = fmt.Sprintf("%s: %s.", run, strings.TrimRight(waitWords(v, waits[0]), "."))
		listed = waits[1:]
		if more := c.moreOf(v, times, waits[0]); more != "" {
			card.Sections = append(card.Sections, chat.Section{Text: sentence(more) + "."})
		}
	}
	var items []chat.Item
	for _, w := range listed {
		items = append(items, chat.Item{Symbol: symbolOfWait(v.Run, w), Text: sentence(waitWords(v, w)), Detail: c.moreOf(v, times, w)})
	}
	if len(items) > 0 {
		card.Sections = append(card.Sections, chat.Section{Items: atMost(items, mostReasons)})
	}
	if behind := pending(v.Run); behind > 0 && step == "" {
		card.Sections = append(card.Sections, chat.Section{Text: countOf(behind, "more step") + " behind."})
	}
	var words []string
	for _, w := range waits {
		if len(w.Who) > 0 {
			card.Tone = chat.Waiting // for somebody, not just for time to pass
		}
		for _, line := range w.Words {
			if !slices.Contains(words, line) {
				words = append(words, line)
			}
		}
	}
	c.offer(&card, words)
	card.Footer = strings.Join(resorts, "\n")
	return card
}

// moreOf says since when something waits, until when, and whom to ask.
func (c *call) moreOf(v engine.View, times calendar, w playbooks.Wait) string {
	more := spanWords(v, times, w)
	if len(w.Who) > 0 {
		more = strings.TrimPrefix(more+"; ask "+enumerate(w.Who, 6, "or"), "; ")
	}
	return more
}

// simplyRuns reports whether a wait is for a step that runs as it should.
func simplyRuns(r *playbooks.Run, w playbooks.Wait) bool {
	s := r.Book.Lookup(w.Step)
	if s == nil || s.Kind == playbooks.StepApproval {
		return false
	}
	p := r.Progress(s.ID)
	return p.State == playbooks.Running && !p.Stalled
}

func symbolOfWait(r *playbooks.Run, w playbooks.Wait) chat.Symbol {
	if simplyRuns(r, w) {
		return chat.SymbolRunning
	}
	return chat.SymbolWaiting
}

// pending counts the steps that have not begun.
func pending(r *playbooks.Run) int {
	n := 0
	for i := range r.Steps {
		if s := r.Steps[i].State; s == playbooks.Pending || s == "" {
			n++
		}
	}
	return n
}

// WaitsOf returns what says, of a run, what stands between it and going on, by the one explainer
// that every door asks, and whether it is over.
func WaitsOf(e *engine.Engine) func(ctx context.Context, run string) (waits []playbooks.Wait, over bool, err error) {
	return func(ctx context.Context, run string) (waits []playbooks.Wait, over bool, err error) {
		err = e.View(ctx, run, func(v engine.View) error {
			waits, over = playbooks.Explain(v.Run, v.Environment, v.Policy, "", v.Now), v.Run.Over()
			return nil
		})
		return waits, over, err
	}
}
