package bot

import (
	"fmt"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// outcome says what a command on a run came to. It follows from the command and
// from how the run is now, so it can be said again after a crash.
func (c *call) outcome(v engine.View, cmd playbooks.Command) chat.Card {
	r, name := v.Run, v.Policy.Name(cmd.By)
	run := "run " + r.ID
	switch cmd.Kind {
	case playbooks.CommandStart:
		return chat.Card{Text: c.started(v), Tone: chat.Good}
	case playbooks.CommandApprove:
		return c.approved(v, cmd)
	case playbooks.CommandUnapprove:
		return chat.Card{Text: fmt.Sprintf("%s took the approval of %s back.%s", name, run, c.waits(v)), Tone: chat.Waiting}
	case playbooks.CommandReject:
		card := chat.Card{Text: fmt.Sprintf("%s rejected %s: %s. ", name, run, onOneLine(cmd.Reason)), Tone: chat.Bad}
		switch {
		case r.Outcome == playbooks.Rejected:
			card.Text += "It is over; nothing was changed."
		case r.Paused != nil:
			card.Text += "It is paused; what is deployed stays as it is."
			card.Actions = buttons("resume "+r.ID, "rollback "+r.ID, "abort "+r.ID)
		}
		return card
	case playbooks.CommandPause:
		card := chat.Card{Text: sentence(run) + " is paused. What runs is finished, nothing new begins.", Tone: chat.Waiting}
		card.Actions = buttons("resume " + r.ID)
		return card
	case playbooks.CommandResume:
		return chat.Card{Text: sentence(run) + " goes on." + c.waits(v), Tone: chat.Good}
	case playbooks.CommandAbort:
		return c.aborted(v)
	case playbooks.CommandRetry:
		what := "what failed"
		if s := r.Book.Lookup(cmd.Step); s != nil {
			what = stepWords(s)
		}
		return chat.Card{Text: fmt.Sprintf("%s tries again: %s.", sentence(run), what), Tone: chat.Good}
	case playbooks.CommandSkip:
		return chat.Card{Text: fmt.Sprintf("%s goes on without %s.", sentence(run), cmd.Step), Tone: chat.Waiting}
	case playbooks.CommandConfirm:
		card := chat.Card{Text: fmt.Sprintf("%s of %s counts as done.", cmd.Step, run), Tone: chat.Good}
		if cmd.Outcome == playbooks.Failed {
			card = chat.Card{Text: fmt.Sprintf("%s of %s counts as failed.", cmd.Step, run), Tone: chat.Waiting, Actions: buttons("retry "+r.ID+" "+cmd.Step, "why "+r.ID)}
		}
		return card
	case playbooks.CommandRollback:
		return c.goingBack(v)
	case playbooks.CommandAnnotate:
		return chat.Card{Text: "Noted in " + run + ".", Tone: chat.Good}
	}
	return chat.Card{Text: fmt.Sprintf("Done: %s of %s.", cmd.Kind, run)}
}

func (c *call) approved(v engine.View, cmd playbooks.Command) chat.Card {
	text := fmt.Sprintf("%s approved run %s, plan %s.", v.Policy.Name(cmd.By), v.Run.ID, cmd.Digest.Short())
	if waits := c.waits(v); waits != "" {
		return chat.Card{Text: text + waits, Tone: chat.Waiting}
	}
	if v.Run.Paused != nil {
		return chat.Card{Text: text + " Everybody has agreed; it is paused.", Tone: chat.Waiting, Actions: buttons("resume " + v.Run.ID)}
	}
	return chat.Card{Text: text + " Everybody has agreed, it goes on.", Tone: chat.Good}
}

func (c *call) aborted(v engine.View) chat.Card {
	card := chat.Card{Text: fmt.Sprintf("Run %s is aborted: what runs is stopped, nothing new begins.", v.Run.ID), Tone: chat.Bad}
	switch {
	case !v.Run.Touched():
		card.Text += " Nothing was changed."
	case !v.Run.RollingBack:
		card.Text += " What is deployed stays as it is."
		card.Actions = buttons("rollback " + v.Run.ID)
	}
	return card
}

// goingBack says what a live run takes back, whether it has begun to or not.
func (c *call) goingBack(v engine.View) chat.Card {
	card := chat.Card{Text: fmt.Sprintf("Run %s goes back as soon as nothing runs any more", v.Run.ID), Tone: chat.Waiting}
	back := v.Run.Book.Playbook
	if !v.Run.RollingBack {
		var err error
		if back, err = playbooks.CompileRollback(v.Run); err != nil {
			card.Text += "."
			return card
		}
	}
	card.Text += ": " + moduleMoves(back, 3) + "."
	if len(back.Approvals) > 0 {
		card.Text += " Somebody has to approve that first."
	}
	return card
}
