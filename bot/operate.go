package bot

import (
	"context"
	"fmt"
	"strings"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

func operateCommands() []command {
	return []command{{
		name: "pause", verb: playbooks.VerbOperate,
		does:     "begin nothing new; what runs is finished",
		usage:    []string{"pause [RUN] [because REASON]"},
		examples: []string{"pause 12 because the database looks slow"},
		run:      (*call).pause,
	}, {
		name: "resume", also: []string{"continue"}, verb: playbooks.VerbOperate,
		does:     "go on with a paused run",
		usage:    []string{"resume [RUN] [because REASON]"},
		examples: []string{"resume 12"},
		run:      (*call).resume,
	}, {
		name: "abort", also: []string{"cancel", "stop"}, verb: playbooks.VerbAbort,
		does:     "stop a run for good; what is deployed stays",
		usage:    []string{"abort RUN [yes] [because REASON]"},
		examples: []string{"abort 12", "abort 12 yes because the wrong version was built"},
		run:      (*call).abort,
	}, {
		name: "retry", verb: playbooks.VerbOperate,
		does:     "try a failed step again, or all of them",
		usage:    []string{"retry [RUN] [STEP]"},
		examples: []string{"retry 12", "retry 12 deploy:cart"},
		run:      (*call).retry,
	}, {
		name: "skip", verb: playbooks.VerbSkip,
		does:     "go on as if a step had succeeded",
		usage:    []string{"skip RUN STEP [yes] because REASON"},
		examples: []string{"skip 12 test:cart because the suite is broken, not the cart"},
		run:      (*call).skip,
	}, {
		name: "confirm", verb: playbooks.VerbSkip,
		does:     "say how an unknown step ended, after a look",
		usage:    []string{"confirm RUN STEP done|failed"},
		examples: []string{"confirm 12 deploy:cart done"},
		run:      (*call).confirm,
	}, {
		name: "note", verb: playbooks.VerbView,
		does:     "leave a remark in a run's log",
		usage:    []string{"note RUN TEXT"},
		examples: []string{"note 12 the error rate was high before we began"},
		run:      (*call).note,
	}}
}

func (c *call) pause(ctx context.Context) (chat.Card, error) {
	return c.simple(ctx, playbooks.CommandPause, "Everything is paused already.", func(v engine.View) bool { return v.Run.Paused == nil })
}

func (c *call) resume(ctx context.Context) (chat.Card, error) {
	return c.simple(ctx, playbooks.CommandResume, "No run is paused.", func(v engine.View) bool { return v.Run.Paused != nil })
}

// simple is a command that needs to know no more than its run.
func (c *call) simple(ctx context.Context, kind playbooks.CommandKind, none string, fits func(engine.View) bool) (chat.Card, error) {
	run, err := c.meant(ctx, none, fits)
	if err != nil {
		return chat.Card{}, err
	}
	if err := c.noMore(); err != nil {
		return chat.Card{}, err
	}
	return c.carryOut(ctx, playbooks.Command{Kind: kind, Run: run, Reason: c.phrase.why()})
}

// check asks the rules about a command without carrying it out, so that nobody is asked
// to confirm what they may not do.
func (c *call) check(ctx context.Context, cmd playbooks.Command) error {
	cmd.By = c.line.By
	return c.view(ctx, cmd.Run, func(v engine.View) error {
		_, err := playbooks.Decide(v.Run, v.Policy, cmd, v.Now)
		return err
	})
}

// confirmed is what a person is asked before something that cannot be taken back.
func (c *call) confirmed(text, label, line string) chat.Card {
	if c.phrase.because {
		line += strings.TrimRight(" because "+c.phrase.reason, " ")
	}
	return chat.Card{
		Text: text, Tone: chat.Waiting, Footer: "Nothing has been done yet.",
		Actions: []chat.Action{{Label: label, Command: line, Style: chat.Bad}},
	}
}

// deliberate reads RUN [yes], which is all of a line that ends a run or takes it back.
func (c *call) deliberate(ctx context.Context) (run string, sure bool, err error) {
	sure = c.args.takeLast(yes)
	if run, err = c.need(ctx); err != nil {
		return "", false, err
	}
	return run, sure, c.noMore()
}

func (c *call) abort(ctx context.Context) (chat.Card, error) {
	run, sure, err := c.deliberate(ctx)
	if err != nil {
		return chat.Card{}, err
	}
	cmd := playbooks.Command{Kind: playbooks.CommandAbort, Run: run, Reason: c.phrase.why()}
	if sure {
		return c.carryOut(ctx, cmd)
	}
	if err := c.check(ctx, cmd); err != nil {
		return chat.Card{}, err
	}
	var card chat.Card
	err = c.view(ctx, run, func(v engine.View) error {
		text := fmt.Sprintf("Abort run %s to %s? Nothing has been changed yet.", run, v.Run.Environment)
		if v.Run.Touched() {
			done, total := effects(v.Run)
			text = fmt.Sprintf("Abort run %s to %s? It has made %d of %s. What runs is stopped, what is deployed stays.", run, v.Run.Environment, done, countOf(total, "change"))
		}
		card = c.confirmed(text, "Abort run "+run, "abort "+run+" "+yes)
		if v.Run.Touched() && !v.Run.RollingBack {
			card.Actions = append(card.Actions, chat.Action{Label: "Roll back instead", Command: "rollback " + run})
		}
		return nil
	})
	return card, err
}

func (c *call) retry(ctx context.Context) (chat.Card, error) {
	run, err := c.meant(ctx, "No step has failed.", func(v engine.View) bool { return len(v.Run.StuckSteps()) > 0 })
	if err != nil {
		return chat.Card{}, err
	}
	cmd := playbooks.Command{Kind: playbooks.CommandRetry, Run: run}
	if !c.args.empty() {
		if cmd.Step, err = c.stepOf(ctx, run, (*playbooks.Run).StuckSteps); err != nil {
			return chat.Card{}, err
		}
	}
	if err := c.noMore(); err != nil {
		return chat.Card{}, err
	}
	return c.carryOut(ctx, cmd)
}

// stepOf reads the step that the next word names.
func (c *call) stepOf(ctx context.Context, run string, likely func(*playbooks.Run) []*playbooks.Step) (string, error) {
	if c.args.empty() {
		return "", c.whichStep(ctx, run, likely)
	}
	w := c.args.next()
	id := ""
	err := c.view(ctx, run, func(v engine.View) error {
		var err error
		id, err = c.step(v.Run, w, likely(v.Run))
		return err
	})
	return id, err
}

// whichStep asks for the step that a line lacks.
func (c *call) whichStep(ctx context.Context, run string, likely func(*playbooks.Run) []*playbooks.Step) error {
	u := &unclear{text: fmt.Sprintf("Which step of run %s?", run), usage: c.command.usage, examples: c.examples(c.command)}
	err := c.view(ctx, run, func(v engine.View) error {
		for _, s := range likely(v.Run) {
			u.items = append(u.items, chat.Item{Symbol: chat.SymbolFailed, Text: s.ID, Detail: stepWords(s)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return u
}

// stuckStep reads a run and one of its stuck steps, and nothing after them.
func (c *call) stuckStep(ctx context.Context) (run, step string, err error) {
	if run, err = c.need(ctx); err != nil {
		return "", "", err
	}
	if step, err = c.stepOf(ctx, run, (*playbooks.Run).StuckSteps); err != nil {
		return "", "", err
	}
	return run, step, c.noMore()
}

func (c *call) skip(ctx context.Context) (chat.Card, error) {
	sure := c.args.takeLast(yes)
	run, step, err := c.stuckStep(ctx)
	if err != nil {
		return chat.Card{}, err
	}
	if c.phrase.why() == "" {
		return chat.Card{}, c.sayWhy("skip a step")
	}
	cmd := playbooks.Command{Kind: playbooks.CommandSkip, Run: run, Step: step, Reason: c.phrase.why()}
	if sure {
		return c.carryOut(ctx, cmd)
	}
	if err := c.check(ctx, cmd); err != nil {
		return chat.Card{}, err
	}
	text := fmt.Sprintf("Skip %s in run %s? What waits for it goes on as if it had succeeded.", step, run)
	return c.confirmed(text, "Skip "+shortened(step, 60), fmt.Sprintf("skip %s %s %s", run, step, yes)), nil
}

func (c *call) confirm(ctx context.Context) (chat.Card, error) {
	outcome := playbooks.Outcome("")
	switch {
	case c.args.takeLast("done"):
		outcome = playbooks.Succeeded
	case c.args.takeLast("failed"):
		outcome = playbooks.Failed
	default:
		return chat.Card{}, c.misused("How did it end? Look there, then say done or failed.")
	}
	run, step, err := c.stuckStep(ctx)
	if err != nil {
		return chat.Card{}, err
	}
	return c.carryOut(ctx, playbooks.Command{Kind: playbooks.CommandConfirm, Run: run, Step: step, Outcome: outcome, Reason: c.phrase.why()})
}

// note keeps the rest of the line as it was typed. In a run's thread it is about
// that run, also when it begins with another number.
func (c *call) note(ctx context.Context) (chat.Card, error) {
	run := c.line.Run
	if first := c.args.peek(); run == "" || strings.TrimPrefix(first.text, "#") == run || first.is("run") {
		var err error
		if run, err = c.need(ctx); err != nil {
			return chat.Card{}, err
		}
	}
	read := c.phrase.words[len(c.phrase.words)-len(c.args.words)-1]
	text := strings.TrimSpace(c.phrase.line[read.end:])
	if text == "" {
		return chat.Card{}, c.misused("What should be noted?")
	}
	return c.carryOut(ctx, playbooks.Command{Kind: playbooks.CommandAnnotate, Run: run, Reason: text})
}
