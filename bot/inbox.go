package bot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// The inbox's keys in the store.
//
//	bot/inbox/<system>/<event>    letter
const inboxPrefix = "bot/inbox/"

const (
	// keepAnswered is for how long an event that was answered is known. No chat
	// delivers anything again after that time.
	keepAnswered = 24 * time.Hour
	sweepEvery   = time.Hour
	// answerWithin is for how long an answer is offered to a chat that does not
	// take it.
	answerWithin = 10 * time.Minute
	// Workers of the two kinds of work: what is decided does not wait for what is
	// said about it. Who speaks mostly waits until it is their turn in a channel.
	deciders = 8
	speakers = 64
)

// letter is an event of the chat in the inbox: written down before it is
// acknowledged, then with what it came to, then without everything but the time at
// which it was answered. Fields may be added.
type letter struct {
	Number uint64      `json:"number,omitempty"` // rises in the order of arrival
	Event  *chat.Event `json:"event,omitempty"`
	// Command is what the line came to. It is kept before it is carried out, so
	// that after a crash the same is carried out again, which has no second effect.
	Command  *playbooks.Command `json:"command,omitempty"`
	Answered time.Time          `json:"answered,omitzero"`

	key   string
	again bool // an earlier process may have answered it

	began    time.Time // when it could not be decided for the first time
	failures int
}

// process is one call of Run.
type process struct {
	deciding, answering *queues
	ctx                 context.Context

	mu sync.Mutex
	// unknown has, by account, what is not decided because the chat cannot say just now who
	// that is. The first is tried again, and all others wait behind it.
	unknown map[string][]*letter
}

// behind puts a letter behind what its writer has said earlier and what waits, if there is
// anything.
func (p *process) behind(l *letter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := p.unknown[l.Event.From]
	if len(waiting) == 0 || waiting[0] == l {
		return false
	}
	if l.began.IsZero() {
		l.began = time.Now()
	}
	p.unknown[l.Event.From] = append(waiting, l)
	return true
}

// wait makes what its writer says from now on wait behind a letter.
func (p *process) wait(l *letter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.unknown[l.Event.From]) == 0 {
		p.unknown[l.Event.From] = []*letter{l}
	}
}

// next takes a letter out, and returns the one that waits behind it; nil: none does.
func (p *process) next(l *letter) *letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := p.unknown[l.Event.From]
	switch {
	case len(waiting) == 0 || waiting[0] != l:
		return nil
	case len(waiting) == 1:
		delete(p.unknown, l.Event.From)
		return nil
	}
	p.unknown[l.Event.From] = waiting[1:] // what is said meanwhile goes behind it
	return waiting[1]
}

// undeliverable is an event that can never be taken.
type undeliverable struct{ error }

func (undeliverable) Permanent() bool { return true }

// Receive takes an event of the chat. When it returns nil the event is durable
// and may be acknowledged; it is decided and answered by Run. An event that is
// delivered again, with the same ID, is the same event. After an error the
// event may be delivered again, unless the error is Permanent.
func (b *Bot) Receive(ctx context.Context, e chat.Event) error {
	if e.ID == "" || len(e.ID) > 512 {
		return undeliverable{fmt.Errorf("bot: receive: event ID %q: want 1 to 512 bytes", shortened(e.ID, 40))}
	}
	if len(e.Text) > MaxLine {
		e.Text = e.Text[:MaxLine+1] // enough to say that it is too long
	}
	key := inboxPrefix + url.PathEscape(b.o.System) + "/" + url.PathEscape(e.ID)
	b.mu.Lock()
	defer b.mu.Unlock()
	var l letter
	known, err := b.notebook().read(ctx, key, &l)
	if err != nil {
		return fmt.Errorf("bot: receive: %w", err)
	}
	if !known {
		// The clock orders events across restarts; within one process it is order itself.
		b.last = max(b.last+1, uint64(time.Now().UnixNano()))
		l = letter{Number: b.last, Event: &e}
		if err := b.notebook().write(ctx, key, l); err != nil {
			return fmt.Errorf("bot: receive: %w", err)
		}
	}
	l.key, l.again = key, known
	b.take(&l)
	return nil
}

func (b *Bot) notebook() notebook { return notebook{b.o.Logs} }

// take hands a letter to the workers, once, if there are any. The lock is held.
func (b *Bot) take(l *letter) {
	if b.running == nil || b.held[l.key] || !l.Answered.IsZero() {
		return
	}
	b.held[l.key] = true
	p := b.running
	p.deciding.add(l.Event.Channel, func() { b.decide(p, l) })
}

// Run carries out and answers what is in the inbox, first what an earlier
// process has left there, until ctx ends. Lines of one channel are carried out
// one after the other. It returns nil when ctx has ended and nothing is under way; any
// other error says that the inbox could not be read. It is called once at a time.
func (b *Bot) Run(ctx context.Context) error {
	p := &process{deciding: newQueues(deciders), answering: newQueues(speakers), ctx: ctx, unknown: make(map[string][]*letter)}
	b.mu.Lock()
	letters, err := b.unanswered(ctx)
	if err == nil {
		b.running, b.held = p, make(map[string]bool)
		for _, l := range letters {
			l.again = true
			b.last = max(b.last, l.Number)
			b.take(l)
		}
	}
	b.mu.Unlock()
	switch {
	case ctx.Err() != nil && err != nil:
		return nil
	case err != nil:
		return fmt.Errorf("bot: read the inbox: %w", err)
	}
	b.sweepUntil(ctx)
	b.mu.Lock()
	b.running = nil
	b.mu.Unlock()
	p.deciding.wait()
	p.answering.wait()
	return nil
}

// unanswered reads what was not answered, in the order of arrival. A letter that cannot
// be read is left where it is.
func (b *Bot) unanswered(ctx context.Context) ([]*letter, error) {
	var letters []*letter
	err := b.letters(ctx, func(l *letter) {
		if l.Answered.IsZero() && l.Event != nil {
			letters = append(letters, l)
		}
	})
	slices.SortFunc(letters, func(x, y *letter) int { return cmp.Compare(x.Number, y.Number) })
	return letters, err
}

func (b *Bot) letters(ctx context.Context, fn func(*letter)) error {
	for pair, err := range b.o.Logs.Keys(ctx, inboxPrefix+url.PathEscape(b.o.System)+"/") {
		if err != nil {
			return err
		}
		l := &letter{key: string(pair.Key)}
		if err := json.Unmarshal(pair.Value, l); err != nil {
			b.o.Log.Error("a letter in the inbox cannot be read", "key", l.key, "error", err)
			continue
		}
		fn(l)
	}
	return nil
}

// sweepUntil forgets, every now and then, what was answered long ago.
func (b *Bot) sweepUntil(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := b.sweep(ctx); err != nil && ctx.Err() == nil {
			b.o.Log.Warn("old letters could not be removed from the inbox", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (b *Bot) sweep(ctx context.Context) error {
	var old []string
	err := b.letters(ctx, func(l *letter) {
		if !l.Answered.IsZero() && time.Since(l.Answered) > keepAnswered {
			old = append(old, l.key)
		}
	})
	if err != nil {
		return err
	}
	return b.notebook().remove(ctx, old...)
}

// decide carries a letter's line out, and leaves the answer to others.
func (b *Bot) decide(p *process, l *letter) {
	if p.ctx.Err() != nil || p.behind(l) {
		return
	}
	line, err := b.line(p.ctx, l.Event)
	if err != nil {
		b.later(p, l, err)
		return
	}
	defer b.followUp(p, l)
	answer := b.execute(p.ctx, line, l.Command, func(ctx context.Context, cmd playbooks.Command) error {
		l.Command = &cmd
		return b.notebook().write(ctx, l.key, l)
	})
	if p.ctx.Err() != nil || errors.Is(answer.Err, engine.ErrStopped) {
		return // the next process finds out
	}
	b.reply(p, l, line.Run, answer.Card)
}

// reply says something to whoever wrote a letter, where they wait for it: below what they said or
// pressed, or to them alone.
func (b *Bot) reply(p *process, l *letter, run string, card chat.Card) {
	m := chat.Message{
		Key: "answer/" + b.cause(l.Event), Channel: l.Event.Channel, Thread: cmp.Or(l.Event.Thread, l.Event.Message), Reply: l.Event.Reply,
		About: run, Urgency: chat.Urgent, Card: card,
	}
	p.answering.add(cmp.Or(m.Reply, m.Channel), func() { b.answer(p, l, m, l.Event.From) })
}

// cause identifies an event of the chat among those of all doors.
func (b *Bot) cause(e *chat.Event) string { return b.o.System + "/" + e.ID }

// knowWithin is how long somebody has to wait at most whom the chat cannot name.
const knowWithin = 10 * time.Minute

// later puts a letter back whose writer the chat cannot name just now. What was
// said a long time ago is not done any more, as if it had been said only then.
func (b *Bot) later(p *process, l *letter, err error) {
	if p.ctx.Err() != nil {
		return
	}
	l.failures++
	b.o.Log.Warn("who said something is not known just now; it is tried again", "event", l.Event.ID, "error", err)
	if l.began.IsZero() {
		l.began = time.Now()
	}
	if time.Since(l.began) > knowWithin {
		b.reply(p, l, "", chat.Card{Text: "Nothing was done: the chat could not say who you are. Say it again.", Tone: chat.Bad})
		b.followUp(p, l)
		return
	}
	p.wait(l)
	p.deciding.addAfter(p.ctx, patience(l.failures), l.Event.Channel, func() { b.decide(p, l) })
}

// followUp lets be decided what waits behind a letter.
func (b *Bot) followUp(p *process, l *letter) {
	if next := p.next(l); next != nil {
		p.deciding.add(next.Event.Channel, func() { b.decide(p, next) })
	}
}

// line is what a person said, with what is known of them and of where they said
// it. An error says that it cannot be known just now who they are.
func (b *Bot) line(ctx context.Context, e *chat.Event) (Line, error) {
	call, cancel := calling(ctx)
	defer cancel()
	person, why, err := b.o.People.Person(call, e.From)
	if err != nil {
		return Line{}, err
	}
	line := Line{
		By: person, Stranger: why, From: e.From, Via: b.o.System,
		Cause: b.cause(e), Text: e.Text, Channel: e.Channel,
	}
	if thread := cmp.Or(e.Thread, e.Message); thread != "" && b.o.Threads != nil {
		line.Run, _ = b.o.Threads.RunOf(ctx, e.Channel, thread)
	}
	return line, nil
}

// answer posts an answer, once, and marks the letter as answered.
func (b *Bot) answer(p *process, l *letter, m chat.Message, from string) {
	if err := b.post(p.ctx, m, from, l.again); err != nil {
		if p.ctx.Err() != nil {
			return
		}
		b.o.Log.Error("an answer could not be posted, and is given up", "channel", m.Channel, "key", m.Key, "text", m.Card.Text, "error", err)
	}
	if err := b.notebook().write(p.ctx, l.key, letter{Answered: time.Now()}); err != nil {
		b.o.Log.Warn("an answer is posted, and that could not be noted: it is looked for after a restart", "key", l.key, "error", err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.held, l.key)
}

// post posts a message that may have been posted before, if look says so. It
// repeats what fails, and looks before it does, until a refusal is final or
// answerWithin is over. An answer for a person alone that cannot go where they
// wait for it goes to them directly.
func (b *Bot) post(ctx context.Context, m chat.Message, from string, look bool) error {
	began := time.Now()
	for failures := 0; ; {
		err := b.postOnce(ctx, m, look)
		switch {
		case err == nil, ctx.Err() != nil:
			return err
		case isGone(err) && m.Reply != "":
			return nil // they have closed it
		case isPermanent(err) && m.Reply != "":
			m.Reply, m.Channel, m.Thread, m.To = "", "", "", from
			continue
		case isGone(err) && m.Thread != "":
			m.Thread = "" // somebody deleted what was asked; the answer matters still
			continue
		case isPermanent(err):
			return err
		}
		wait, later := retryAfter(err)
		if !later { // to be put off is no failure
			failures++
			wait, look = patience(failures), true
		}
		wait = max(wait, time.Second)
		if time.Since(began)+wait > answerWithin {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (b *Bot) postOnce(ctx context.Context, m chat.Message, look bool) error {
	ctx, cancel := calling(ctx)
	defer cancel()
	if look {
		if _, found, err := b.o.Chat.Find(ctx, m); found || err != nil {
			return err
		}
	}
	_, err := b.o.Chat.Post(ctx, m)
	return err
}
