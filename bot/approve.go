package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// askedPeople are those who may use a command that no verb is needed for.
const askedPeople = "the people who are asked"

func approveCommands() []command {
	return []command{{
		name: "approve", also: []string{"lgtm"}, access: askedPeople,
		does:     "say yes to exactly what was shown",
		usage:    []string{"approve [RUN] [DIGEST]"},
		examples: []string{"approve 12", "approve 12 4f2a91c0"},
		run:      (*call).approve,
	}, {
		name: "unapprove", also: []string{"revoke"}, access: "whoever approved, until the steps begin",
		does:     "take your approval back",
		usage:    []string{"unapprove [RUN]"},
		examples: []string{"unapprove 12"},
		run:      (*call).unapprove,
	}, {
		name: "reject", also: []string{"veto"}, access: askedPeople + ", and whoever asked for the release",
		does:     "say no; a run that has changed nothing ends",
		usage:    []string{"reject [RUN] because REASON"},
		examples: []string{"reject 12 because the load test failed"},
		run:      (*call).reject,
	}}
}

// answerable reports whether a run waits for the speaker's answer.
func (c *call) answerable(v engine.View) bool {
	return slices.ContainsFunc(v.Run.OpenApprovals(), func(a *playbooks.Approval) bool {
		return slices.Contains(wantedNow(v, a).people, c.line.By)
	})
}

func (c *call) approve(ctx context.Context) (chat.Card, error) {
	run, digest, err := c.shown(ctx, c.answerable)
	if err != nil {
		return chat.Card{}, err
	}
	return c.carryOut(ctx, playbooks.Command{Kind: playbooks.CommandApprove, Run: run, Digest: digest})
}

func (c *call) reject(ctx context.Context) (chat.Card, error) {
	if c.phrase.why() == "" {
		return chat.Card{}, c.sayWhy("reject a release")
	}
	run, digest, err := c.shown(ctx, func(v engine.View) bool {
		return c.answerable(v) || v.Run.By == c.line.By && len(v.Run.OpenApprovals()) > 0
	})
	if err != nil {
		return chat.Card{}, err
	}
	return c.carryOut(ctx, playbooks.Command{Kind: playbooks.CommandReject, Run: run, Digest: digest, Reason: c.phrase.why()})
}

// shown reads [RUN] [DIGEST]: the run that is answered, and the plan that the
// speaker saw, which is the present one if they do not say.
func (c *call) shown(ctx context.Context, fits func(engine.View) bool) (run string, digest playbooks.Digest, err error) {
	if w := c.args.peek(); len(c.args.words) == 1 && isDigest(w.text) && !c.exists(ctx, w.text) {
		fits = func(v engine.View) bool { _, ok := v.Run.Shown(strings.ToLower(w.text)); return ok }
		c.args.next()
		run, err = c.meant(ctx, "Nothing waits for your answer.", fits)
		c.args.words = []word{w}
	} else {
		run, err = c.meant(ctx, "Nothing waits for your answer.", fits)
	}
	if err != nil {
		return "", digest, err
	}
	prefix := c.args.next().text
	if err := c.noMore(); err != nil {
		return "", digest, err
	}
	if prefix == "" {
		err = c.view(ctx, run, func(v engine.View) error {
			digest = v.Run.Book.Digest
			return nil
		})
		return run, digest, err
	}
	digest, err = c.digest(ctx, run, prefix)
	return run, digest, err
}

// exists reports whether there is a run with that number.
func (c *call) exists(ctx context.Context, run string) bool {
	return isNumber(run) && c.b.o.Engine.View(ctx, run, func(engine.View) error { return nil }) == nil
}

// digest finds the plan that somebody was shown by its first digits: one of the
// run, or any that was kept.
func (c *call) digest(ctx context.Context, run, prefix string) (playbooks.Digest, error) {
	var digest playbooks.Digest
	if !isDigest(prefix) {
		return digest, c.misused("%q is no digest of a plan.", shortened(prefix, 60))
	}
	prefix = strings.ToLower(prefix)
	err := c.view(ctx, run, func(v engine.View) error {
		if strings.HasPrefix(v.Run.Book.Digest.String(), prefix) {
			digest = v.Run.Book.Digest
		} else if book, ok := v.Run.Shown(prefix); ok {
			digest = book.Digest
		}
		return nil
	})
	if err != nil || !digest.IsZero() {
		return digest, err
	}
	pb, err := c.b.o.Engine.FindPlan(ctx, prefix)
	if errors.Is(err, engine.ErrNoPlan) {
		return digest, &unclear{text: fmt.Sprintf("Run %s has never shown a plan %s. Your answer was not counted.", run, prefix), try: []string{"status " + run}}
	}
	if err != nil {
		return digest, err
	}
	return pb.Digest, nil
}

func (c *call) unapprove(ctx context.Context) (chat.Card, error) {
	run, err := c.meant(ctx, "You have given no approval that could be taken back.", func(v engine.View) bool {
		return slices.ContainsFunc(v.Run.Grants, func(g playbooks.Grant) bool { return g.Person == c.line.By && g.Ended == "" })
	})
	if err != nil {
		return chat.Card{}, err
	}
	if err := c.noMore(); err != nil {
		return chat.Card{}, err
	}
	return c.carryOut(ctx, playbooks.Command{Kind: playbooks.CommandUnapprove, Run: run})
}
