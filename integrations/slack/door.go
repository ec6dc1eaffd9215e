package slack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	slackgo "github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/slack/blocks"
)

// Slack waits 3 seconds for an acknowledgement, and a trigger lives as long
// (https://docs.slack.dev/interactivity/handling-user-interaction). What comes late is
// shown to the person as a failure, so all that is done before it ends earlier.
const (
	patience = 2500 * time.Millisecond
	// grace is for a Host that is just noticing that its time is over.
	grace = 100 * time.Millisecond
	// replyPatience is for telling somebody that something went wrong.
	replyPatience = 10 * time.Second
)

var errLate = fmt.Errorf("slack: the time for the acknowledgement is over: %w", context.DeadlineExceeded)

// What a person is told when the line was not taken.
const (
	wordsNotSaved  = "That could not be saved, so nothing was done. Try again."
	wordsNotSure   = "Saving that took too long, and it is not certain whether it was taken. Look at how things are before you try again."
	wordsNotTaken  = "That cannot be taken. Nothing was done."
	wordsUnclear   = "What Slack sent could not be understood. Nothing was done."
	wordsTooLong   = "That is too long for a line. Nothing was done."
	wordsTypeAgain = "That took too long, so the form did not open. Nothing was done: type it again."
	wordsPressOnce = "That took too long, so the form did not open. Nothing was done: press it again."
	wordsMissing   = "Say it in a few words."
	titleNotTaken  = "Not done"
)

// Prefixes of the action_id of buttons, and callback_ids of modals.
const (
	actionDo     = "do:"
	actionAsk    = "ask:"
	callbackForm = "form:"
	callbackAsk  = "ask"
	callbackCard = "card"
	blockWords   = "words"
)

// door is where everything comes in, whichever way: what matters is handed to the host, which
// makes it durable, and only then acknowledged. It may be used concurrently.
//
// The context that its methods get ends when the time for the acknowledgement does. It is
// not cancelled before: Slack going away does not undo what a person did.
type door struct {
	host  Host
	open  func(ctx context.Context, triggerID string, v slackgo.ModalViewRequest) error
	reply func(ctx context.Context, reply, text string) error
	held  *heldViews
	log   *slog.Logger
}

func (w *Workspace) door(host Host) *door {
	return &door{host: host, open: w.openView, reply: w.replyText, held: &w.held, log: w.log}
}

// answer is the acknowledgement, and what is done after it.
type answer struct {
	again bool   // none: Slack is to send it again
	body  any    // nil: an empty one
	after func() // nil: nothing. It ends soon, by itself.
}

// event takes what came through the Events API.
func (d *door) event(ctx context.Context, payload []byte) answer {
	p, err := decodeEvent(payload, time.Now())
	switch {
	case err != nil:
		d.log.Warn("slack: an event was not taken, and is not asked for again", "err", err)
		return answer{}
	case p.limited:
		d.log.Warn("slack: there are too many events, and Slack holds some back for a minute")
		return answer{}
	case p.challenge != "":
		return answer{body: map[string]string{"challenge": p.challenge}}
	case p.event == nil:
		return answer{}
	}
	r := d.receive(ctx, *p.event)
	return answer{again: r.failed && !r.final, after: r.rest}
}

// command takes a slash command, decoded as its way in demands.
func (d *door) command(ctx context.Context, c commandPayload, err error) answer {
	switch {
	case err != nil:
		d.log.Warn("slack: a command was not taken", "err", err)
		if errors.Is(err, errLong) {
			return answer{body: onlyYou(wordsTooLong)}
		}
		return answer{body: onlyYou(wordsUnclear)}
	case c.probe:
		return answer{}
	}
	if open := d.form(ctx, c.event, c.trigger, wordsTypeAgain); open != nil {
		return answer{after: open}
	}
	r := d.receive(ctx, c.event)
	if r.failed {
		return answer{body: onlyYou(r.words), after: r.rest}
	}
	return answer{}
}

// interaction takes what people do with buttons, selects and modals.
func (d *door) interaction(ctx context.Context, payload []byte) answer {
	p, err := decodeInteraction(payload)
	if err != nil {
		d.log.Warn("slack: an interaction was not taken", "err", err)
		return answer{}
	}
	switch {
	case p.Type == "block_actions" && len(p.Actions) > 0:
		return d.press(ctx, p)
	case p.Type == "block_suggestion":
		return d.search(ctx, p)
	case p.Type == "view_submission" && p.View != nil:
		return d.submit(ctx, p)
	}
	return answer{}
}

// press takes a button.
func (d *door) press(ctx context.Context, p interactionPayload) answer {
	e, action := p.press(time.Now()), p.Actions[0]
	switch {
	case strings.HasPrefix(action.ActionID, actionDo) && action.Value != "":
		// Slack hands &, < and > back escaped (slackapi/bolt-python#513).
		e.Text = oneLine(unescape.Replace(action.Value))
		if p.View == nil { // a modal opens no other
			if open := d.form(ctx, e, p.TriggerID, wordsPressOnce); open != nil {
				return answer{after: open}
			}
		}
		r := d.receive(ctx, e)
		if !r.failed {
			return answer{}
		}
		return answer{after: func() {
			d.tell(ctx, e, r.words)
			r.wait()
		}}
	case strings.HasPrefix(action.ActionID, actionAsk):
		var ask struct{ Command, Ask, Label string }
		if err := json.Unmarshal([]byte(action.Value), &ask); err != nil || !strings.HasSuffix(ask.Command, "…") {
			d.log.Warn("slack: a button that asks for words does not hold what for", "action", action.ActionID)
			return answer{}
		}
		m := metadataOf(e)
		m.Command = ask.Command
		v := blocks.AskView(ask.Label, ask.Ask, ask.Command, m.String())
		return answer{after: func() { d.show(ctx, e, p.TriggerID, v, wordsPressOnce) }}
	}
	return answer{}
}

// form returns what opens the form for e, nil if e is to be carried out as it is.
func (d *door) form(ctx context.Context, e chat.Event, trigger, late string) func() {
	if trigger == "" {
		return nil
	}
	f := d.host.Form(ctx, e)
	if f == nil {
		return nil
	}
	m := metadataOf(e)
	m.Wait = f.Wait
	v := blocks.FormView(*f, m.String())
	return func() { d.show(ctx, e, trigger, v, late) }
}

// show opens a modal, and says so if it cannot.
func (d *door) show(ctx context.Context, e chat.Event, trigger string, v slackgo.ModalViewRequest, late string) {
	if err := d.open(ctx, trigger, v); err != nil {
		d.log.Error("slack: a form did not open", "form", v.CallbackID, "err", err)
		d.tell(ctx, e, late)
	}
}

// search answers a search in a form's input.
func (d *door) search(ctx context.Context, p interactionPayload) answer {
	var found []chat.Choice
	if p.View != nil && utf8.RuneCountInString(p.Value) <= maxLine {
		if form, ok := strings.CutPrefix(p.View.Callback, callbackForm); ok {
			found = d.host.Suggest(ctx, p.User.ID, form, p.BlockID, oneLine(p.Value))
		}
	}
	return answer{body: map[string]any{"options": blocks.Options(found)}}
}

// submit takes a modal that a person sent.
func (d *door) submit(ctx context.Context, p interactionPayload) answer {
	e, v, m := p.submission(time.Now()), p.View, p.View.metadata()
	closed := answer{body: slackgo.NewClearViewSubmissionResponse()}
	var state *slackgo.ViewState
	if len(v.State) > 0 && json.Unmarshal(v.State, &state) != nil {
		d.log.Warn("slack: the values of a form could not be read", "form", v.Callback)
		return v.refused(wordsUnclear)
	}
	values := map[string][]string{}
	if state != nil {
		values = blocks.Values(state)
	}
	done, release := closed, func() {}
	switch form, isForm := strings.CutPrefix(v.Callback, callbackForm); {
	case isForm:
		text, wrong := d.host.Fill(ctx, e.From, chat.Filled{Form: form, Values: values})
		if len(wrong) > 0 {
			return v.wrong(wrong)
		}
		e.Text = oneLine(text)
		if id := ident(v.ID); m.Wait != "" && id != "" {
			carried := m
			carried.Command, carried.Wait = "", ""
			e.Reply = replyView + id + " " + carried.String() // the answer is a modal, too
			wait := blocks.WaitView(cmp.Or(v.Title.Text, "Muster"), m.Wait)
			release = d.held.hold(id)
			done = answer{body: slackgo.NewUpdateViewSubmissionResponse(&wait), after: func() {
				time.Sleep(settle)
				release()
			}}
		}
	case v.Callback == callbackAsk:
		said := oneLine(strings.Join(values[blockWords], " "))
		before, complete := strings.CutSuffix(m.Command, "…")
		switch {
		case !complete:
			d.log.Warn("slack: a form that asks for words does not hold what for")
			return v.refused(wordsUnclear)
		case said == "":
			return v.wrong(map[string]string{blockWords: wordsMissing})
		case utf8.RuneCountInString(said) > maxLine:
			return v.wrong(map[string]string{blockWords: wordsTooLong})
		}
		e.Text = oneLine(before + said)
	case v.Callback == callbackCard && m.Command != "":
		e.Text = oneLine(m.Command)
	default:
		return closed
	}
	if r := d.receive(ctx, e); r.failed {
		release()
		a := v.refused(r.words)
		a.after = r.rest
		return a
	}
	return done
}

// wrong says below each input what is wrong with it. Slack drops the whole answer if it
// names what is no input of the modal, so that what remains goes below the first.
func (v viewPayload) wrong(wrong map[string]string) answer {
	inputs := v.inputs()
	if len(inputs) == 0 {
		return v.notice(sentences(wrong))
	}
	shown, rest := map[string]string{}, map[string]string{}
	for name, words := range wrong {
		if slices.Contains(inputs, name) {
			shown[name] = words
		} else {
			rest[name] = words
		}
	}
	if len(rest) > 0 {
		shown[inputs[0]] = strings.TrimSpace(shown[inputs[0]] + " " + sentences(rest))
	}
	return answer{body: slackgo.NewErrorsViewSubmissionResponse(shown)}
}

// refused says that nothing became of the modal. What was filled in stays where that can
// be.
func (v viewPayload) refused(words string) answer {
	return v.wrong(map[string]string{"": words})
}

func (v viewPayload) notice(words string) answer {
	view := blocks.WaitView(titleNotTaken, words)
	return answer{body: slackgo.NewUpdateViewSubmissionResponse(&view)}
}

// sentences are the values of m, in the order of its keys.
func sentences(m map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(m)) {
		b.WriteString(" " + m[key])
	}
	return strings.TrimSpace(b.String())
}

// receipt is what became of an event.
type receipt struct {
	failed bool
	final  bool   // it will never be taken
	words  string // for the person, if it failed
	rest   func() // nil, or waits for a Host that does not heed its deadline
}

func (r receipt) wait() {
	if r.rest != nil {
		r.rest()
	}
}

// receive hands e to the host. It is back in time for an acknowledgement even if the host is
// not.
func (d *door) receive(ctx context.Context, e chat.Event) receipt {
	done := make(chan error, 1)
	go func() { done <- d.host.Receive(ctx, e) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		late := time.NewTimer(grace)
		defer late.Stop()
		select {
		case err = <-done:
		case <-late.C:
			d.log.Error("slack: an event was not saved in time", "event", e.ID)
			return receipt{failed: true, words: wordsNotSure, rest: func() {
				if err := <-done; err != nil {
					d.log.Error("slack: an event was not saved", "event", e.ID, "err", err)
				}
			}}
		}
	}
	if err == nil {
		return receipt{}
	}
	d.log.Error("slack: an event was not saved", "event", e.ID, "err", err)
	var permanent interface{ Permanent() bool }
	switch {
	case errors.As(err, &permanent) && permanent.Permanent():
		return receipt{failed: true, final: true, words: wordsNotTaken}
	case errors.Is(err, context.DeadlineExceeded):
		return receipt{failed: true, words: wordsNotSure}
	}
	return receipt{failed: true, words: wordsNotSaved}
}

// tell says something to the person who did e.
func (d *door) tell(ctx context.Context, e chat.Event, words string) {
	if e.Reply == "" {
		return
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), replyPatience, errors.New("slack: no answer in time"))
	defer cancel()
	if err := d.reply(ctx, e.Reply, words); err != nil {
		d.log.Error("slack: somebody could not be told that nothing was done", "event", e.ID, "err", err)
	}
}

// onlyYou is the answer to a slash command that its sender alone sees.
func onlyYou(words string) any {
	return map[string]string{"response_type": "ephemeral", "text": words}
}
