package intake

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/events"
)

var (
	runForm    = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)
	digestForm = regexp.MustCompile(`^[0-9a-f]{6,64}$`)
)

// moved takes the move of a release issue as the answer of whoever moved it, if it is one. What
// does not count is explained, and moved back.
func (in *Intake) moved(ctx context.Context, e events.Event) error {
	moves := in.o.Sources[e.Source].Moves
	if moves == nil || e.Kind != events.IssueMoved {
		return nil
	}
	to, run, digest := e.Fields["to"], e.Fields["run"], e.Fields["digest"]
	var text string
	switch {
	case to == "":
		return nil
	case strings.EqualFold(to, moves.Approve):
		text = "approve %s %s"
	case strings.EqualFold(to, moves.Reject):
		text = "reject %s %s because moved to " + plain(to) + " in " + title(e.Source)
	default:
		return nil
	}
	if moves.Self != nil && moves.Self(e.From) {
		return nil
	}
	log := in.o.Log.With("source", e.Source, "issue", e.Fields["issue"], "run", run, "to", to)
	if e.Fact == "" {
		// All such answers would be one and the same. It is found by looking, with what tells it from others.
		log.Info("a move that cannot be told from others is left until it is found by looking")
		return nil
	}
	if !runForm.MatchString(run) {
		log.Warn("a release issue that was moved names no run")
		return nil
	}
	back := func(why string) error {
		log.Info("a release issue that was moved by hand is moved back", "why", why)
		call, cancel := calling(ctx)
		defer cancel()
		err := moves.MoveBack(call, e.Fields["issue"], e.Fields["from"], why)
		if isPermanent(err) {
			log.Warn("a release issue cannot be moved back", "error", err)
			return nil
		}
		return err
	}
	if !digestForm.MatchString(digest) {
		return back(fmt.Sprintf("Nothing was answered: the issue did not show which plan it is about. Say it in the chat: status %s", run))
	}
	call, cancel := calling(ctx)
	person, why, err := moves.People.Person(call, e.From)
	cancel()
	if err != nil {
		return err
	}
	if person == "" {
		if why == "" {
			why = "whoever moved it is nobody in the catalog."
		}
		return back("Nothing was answered: " + plain(why))
	}
	answer := in.o.Execute(ctx, bot.Line{
		By: person, From: e.From, Via: e.Source, Cause: "moved/" + e.Source + "/" + e.Fact,
		Text: fmt.Sprintf(text, run, digest[:min(len(digest), 8)]),
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case answer.Err == nil:
		log.Info("a release issue that was moved by hand is an answer", "person", person)
		return nil
	case !answer.Final():
		return answer.Err
	}
	return back(words(answer))
}

// words is what an answer says, for people who read plain text.
func words(a bot.Answer) string {
	card := a.Card.Plain()
	lines := []string{card.Text}
	for _, s := range card.Sections {
		if s.Text != "" {
			lines = append(lines, s.Text)
		}
		if s.Code != "" {
			lines = append(lines, s.Code)
		}
	}
	var try []string
	for _, action := range card.Actions {
		try = append(try, action.Command)
	}
	if len(try) > 0 {
		lines = append(lines, "In the chat, type: "+strings.Join(try, " | "))
	}
	return strings.Join(lines, "\n")
}

// title is how a system is called in a sentence.
func title(source string) string {
	if source == "" {
		return source
	}
	return strings.ToUpper(source[:1]) + source[1:]
}
