package bot

import (
	"context"
	"fmt"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

func rollbackCommands() []command {
	return []command{{
		name: "rollback", also: []string{"undo"}, verb: playbooks.VerbRollback,
		does:     "take back what a run has changed, in reverse order",
		usage:    []string{"rollback RUN [yes] [because REASON]"},
		examples: []string{"rollback 12"},
		run:      (*call).rollback,
	}}
}

// rollback takes a run back. Mostly somebody is asked to approve that before
// anything happens; where nobody is, the speaker confirms.
func (c *call) rollback(ctx context.Context) (chat.Card, error) {
	run, sure, err := c.deliberate(ctx)
	if err != nil {
		return chat.Card{}, err
	}
	cmd := playbooks.Command{Kind: playbooks.CommandRollback, Run: run, Reason: c.phrase.why()}
	over := false
	var back *playbooks.Playbook
	err = c.view(ctx, run, func(v engine.View) error {
		if over = v.Run.Over(); over {
			return nil
		}
		if _, err := playbooks.Decide(v.Run, v.Policy, c.asked(cmd), v.Now); err != nil {
			return err
		}
		var err error
		back, err = playbooks.CompileRollback(v.Run)
		return err
	})
	if err == nil && over {
		cmd.Kind, cmd.Run = playbooks.CommandStart, ""
		if back, err = c.b.o.Engine.PlanRollback(ctx, run); err == nil {
			cmd.Digest = back.Digest
			err = c.mayStart(back)
		}
	}
	if err != nil {
		return chat.Card{}, err
	}
	if len(back.Approvals) == 0 && !sure {
		text := fmt.Sprintf("Roll back run %s in %s? Nobody else is asked. What goes back: %s.", run, back.Environment, moduleMoves(back, 5))
		return c.confirmed(text, "Roll back run "+run, "rollback "+run+" "+yes), nil
	}
	if over {
		return c.start(ctx, cmd, back)
	}
	return c.carryOut(ctx, cmd)
}

// asked is the command as the speaker gives it.
func (c *call) asked(cmd playbooks.Command) playbooks.Command {
	cmd.By, cmd.Via, cmd.Cause = c.line.By, c.line.Via, c.line.Cause
	return cmd
}

// mayStart reports whether the speaker may roll back all that a plan takes back.
func (c *call) mayStart(back *playbooks.Playbook) error {
	if refusal := c.policy.May(c.line.By, playbooks.VerbRollback, back.Environment, moduleNames(back)...); refusal != nil {
		return refusal
	}
	return nil
}
