package bot

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// backlog is how old the oldest item that nobody has read may be before all that
// waits is told in one.
const backlog = 10 * time.Minute

// backlogEntries is how many entries are told in one; every chat and tracker has
// a limit somewhere.
const backlogEntries = 50

// ledger is what a desk knows of a run's log up to an event. It is folded anew
// after a restart.
type ledger struct {
	seq     uint64
	askings askings
	notable []notable      // what may be worth telling and is not told everywhere
	absents map[string]int // by step: how often in a row it was never begun
	acted   time.Time      // when a person last did something
}

type notable struct {
	seq   uint64
	event playbooks.Event
	times int // how often in a row its step was never begun
}

// read brings the ledger up to a length of the log.
func (r *Reporters) read(ctx context.Context, d *desk, upTo uint64) error {
	l := &d.ledger
	if l.seq >= upTo {
		return nil
	}
	return r.o.Engine.Events(ctx, d.run, l.seq+1, func(seq uint64, e playbooks.Event) error {
		if seq > upTo {
			return nil
		}
		l.seq = seq
		if e.By != "" && e.Rule == "" {
			l.acted = e.Time
		}
		l.askings.apply(seq, &e)
		if times := l.failures(&e); isNotable(&e, times) {
			e.Status = nil
			l.notable = append(l.notable, notable{seq, e, times})
		}
		return nil
	})
}

// failures counts how often in a row, up to an event, its step was never begun.
func (l *ledger) failures(e *playbooks.Event) int {
	switch {
	case e.Type == playbooks.EventFailed && e.Absent:
		if l.absents == nil {
			l.absents = make(map[string]int)
		}
		l.absents[e.Step]++
		return l.absents[e.Step]
	case e.Type == playbooks.EventFailed, e.Type == playbooks.EventSucceeded, e.Type == playbooks.EventRetried && e.By != "":
		delete(l.absents, e.Step)
	}
	return l.absents[e.Step]
}

// isNotable leaves out what is noise: that steps start and succeed, as they
// should, and that a step which was never begun is tried once more. Times is how often
// in a row that was so.
func isNotable(e *playbooks.Event, times int) bool {
	switch e.Type {
	case playbooks.EventApproved, playbooks.EventUnapproved, playbooks.EventRejected, playbooks.EventExpired,
		playbooks.EventUnknown, playbooks.EventStalled, playbooks.EventSkipped, playbooks.EventConfirmed,
		playbooks.EventPaused, playbooks.EventResumed, playbooks.EventAborting, playbooks.EventAdopted,
		playbooks.EventAnnotated, playbooks.EventCompleted:
		return true
	case playbooks.EventCreated:
		return e.Reason != ""
	case playbooks.EventNoted:
		return times == 0 && strings.HasPrefix(e.Message, engine.LostAnswer)
	case playbooks.EventFailed:
		return e.Until.IsZero() || times <= 1
	case playbooks.EventRetried:
		return e.By != ""
	}
	return false
}

// entry is one thing that is told.
type entry struct {
	seq  uint64
	at   time.Time
	tone chat.Tone
	text string
	code string
}

// thread tells an event in a line, for people who talk.
func (r *Reporters) thread(ctx context.Context, p *picture, n notable) (entry, error) {
	e := &n.event
	who, what := bySpeaker(p.policy.Name(e.By), e.Rule), p.stepWords(e.Step)
	reason := onOneLine(e.Reason)
	because := ""
	if reason != "" && !strings.HasPrefix(reason, "rejected: ") { // that was told just before
		because = ": " + reason
	}
	out := entry{seq: n.seq, at: e.Time}
	tell := func(tone chat.Tone, format string, args ...any) {
		out.tone, out.text = tone, fmt.Sprintf(format, args...)
	}
	switch e.Type {
	case playbooks.EventCreated:
		tell(chat.Waiting, "%s releases in spite of a freeze%s", who, because)
	case playbooks.EventApproved:
		tell(chat.Good, "%s approved at %s", who, p.clock(e.Time))
	case playbooks.EventUnapproved:
		tell(chat.Waiting, "%s took the approval back", who)
	case playbooks.EventRejected:
		tell(chat.Bad, "%s rejected it%s", who, because)
	case playbooks.EventExpired:
		tell(chat.Waiting, "The approval by %s has expired", p.policy.Name(e.Person))
	case playbooks.EventNoted:
		tell(chat.Waiting, "%s: %s", sentence(what), onOneLine(e.Message))
	case playbooks.EventFailed:
		out.code = excerpt(e.Evidence)
		message := onOneLine(e.Message)
		switch step := p.step(e.Step); {
		case !e.Until.IsZero() && e.Absent && step != nil && !step.Kind.HasEffect():
			return entry{}, nil // it changes nothing, and is about to be repeated
		case !e.Until.IsZero() && e.Absent:
			tell(chat.Waiting, "%s: %s. It tries again (attempt %d)", sentence(what), strings.TrimRight(message, "."), e.Attempt+1)
		case !e.Until.IsZero():
			tell(chat.Waiting, "%s failed at attempt %d: %s. It tries again (attempt %d)", sentence(what), e.Attempt, strings.TrimRight(message, "."), e.Attempt+1)
		case n.times > 1:
			tell(chat.Bad, "%s failed: %s", sentence(what), message)
		default:
			tell(chat.Bad, "%s failed at attempt %d: %s", sentence(what), e.Attempt, message)
		}
	case playbooks.EventUnknown:
		tell(chat.Bad, "%s: nobody can tell whether it happened (%s)", sentence(what), onOneLine(e.Message))
	case playbooks.EventStalled:
		tell(chat.Waiting, "%s has stopped reporting", sentence(what))
	case playbooks.EventRetried:
		tell(chat.Neutral, "%s repeats: %s", who, what)
	case playbooks.EventSkipped:
		tell(chat.Waiting, "%s skipped: %s%s", who, what, strings.Replace(because, ": ", ", because ", 1))
	case playbooks.EventConfirmed:
		tell(chat.Neutral, "%s: %s", sentence(what), onOneLine(e.Message))
	case playbooks.EventPaused:
		tell(chat.Waiting, "%s paused the run%s", who, because)
	case playbooks.EventResumed:
		tell(chat.Neutral, "%s resumed the run", who)
	case playbooks.EventAborting:
		if e.Rollback {
			tell(chat.Waiting, "%s wants to roll back. It begins as soon as nothing runs any more", who)
		} else {
			tell(chat.Bad, "%s aborts the run%s", who, because)
		}
	case playbooks.EventAdopted:
		pb, err := r.shown(ctx, p, e.Digest)
		if err != nil {
			return out, err
		}
		if e.Rollback {
			tell(chat.Waiting, "The rollback begins: %s", moduleMoves(pb, 6))
		} else {
			tell(chat.Waiting, "The run follows plan %s now%s", pb.Digest.Short(), because)
		}
	case playbooks.EventAnnotated:
		tell(chat.Neutral, "%s notes: %s", who, onOneLine(e.Message))
	case playbooks.EventCompleted:
		tell(outcomeTone(e.Outcome), "%s after %s", sentence(outcomeWords(e.Outcome)), briefly(e.Time.Sub(p.began)))
	}
	return out, nil
}

func outcomeWords(o playbooks.Outcome) string {
	switch o {
	case playbooks.Succeeded:
		return "released"
	case playbooks.RolledBack:
		return "rolled back"
	}
	return string(o)
}

func outcomeTone(o playbooks.Outcome) chat.Tone {
	switch o {
	case playbooks.Succeeded:
		return chat.Good
	case playbooks.RolledBack:
		return chat.Waiting
	}
	return chat.Bad
}

// cursor is how far a journal is. Trying is written before an item is delivered:
// where it is above Seq, that may have happened and nobody knows.
type cursor struct {
	Seq    uint64 `json:"seq"` // of the last event that was told
	Trying uint64 `json:"trying,omitempty"`
}

// journal delivers what is notable once, in order. The number of an item is that
// of its last event, and marks it in the place where it is told.
type journal struct {
	key   string // of its cursor
	told  func(ctx context.Context, item uint64) (bool, error)
	tell  func(ctx context.Context, item uint64, entries []entry) error
	entry func(context.Context, notable) (entry, error)
}

// deliver tells everything that is pending. It is safe to repeat after any error.
func (r *Reporters) deliver(ctx context.Context, d *desk, j journal) (cursor, error) {
	var c cursor
	if _, err := r.scribe.read(ctx, j.key, &c); err != nil {
		return c, err
	}
	for {
		if c.Trying > c.Seq {
			call, cancel := calling(ctx)
			told, err := j.told(call, c.Trying)
			cancel()
			if err != nil {
				return c, err
			}
			if told {
				c.Seq = c.Trying
			}
			c.Trying = 0
		}
		entries, err := r.pending(ctx, d, j, c.Seq)
		if err != nil || len(entries) == 0 {
			return c, err
		}
		before := c.Seq
		if c, err = r.tell(ctx, j, c, entries); err != nil {
			return c, err
		}
		if c.Seq <= before {
			return c, fmt.Errorf("journal %q: telling entry %d did not move its cursor", j.key, before)
		}
	}
}

// pending returns the entries of the next item.
func (r *Reporters) pending(ctx context.Context, d *desk, j journal, after uint64) ([]entry, error) {
	var entries []entry
	for _, n := range d.ledger.notable {
		if n.seq <= after {
			continue
		}
		e, err := j.entry(ctx, n)
		if err != nil {
			return nil, err
		}
		if e.text == "" {
			continue
		}
		entries = append(entries, e)
		if time.Since(entries[0].at) < backlog || len(entries) == backlogEntries {
			break
		}
	}
	return entries, nil
}

// tell delivers one item.
func (r *Reporters) tell(ctx context.Context, j journal, c cursor, entries []entry) (cursor, error) {
	c.Trying = entries[len(entries)-1].seq
	if err := r.scribe.write(ctx, j.key, c); err != nil {
		return c, err
	}
	call, cancel := calling(ctx)
	err := j.tell(call, c.Trying, entries)
	cancel()
	switch {
	case err == nil:
		c.Seq = c.Trying
	case isPermanent(err) && !isGone(err):
		// It will be refused again, and must not keep back what comes after it.
		r.o.Log.Error("something could not be told", "journal", j.key, "item", c.Trying, "error", err)
		c.Seq = c.Trying
	case refused(err):
		c.Trying = 0
		if noted := r.scribe.write(ctx, j.key, c); noted != nil {
			return c, noted
		}
		return c, err
	default:
		return c, err
	}
	c.Trying = 0
	return c, r.scribe.write(ctx, j.key, c)
}

// threadJournal is the thread below a board.
func (r *Reporters) threadJournal(p *picture, board kept) journal {
	message := func(item uint64) chat.Message {
		return chat.Message{Key: fmt.Sprintf("event/%s/%d", p.run, item), Channel: board.Channel, Thread: board.Handle.ID, About: p.run, Urgency: chat.Settled}
	}
	return journal{
		key: cursorPrefix + p.run + "/chat/" + board.Channel,
		told: func(ctx context.Context, item uint64) (bool, error) {
			_, found, err := r.o.Chat.Find(ctx, message(item))
			return found, err
		},
		tell: func(ctx context.Context, item uint64, entries []entry) error {
			m := message(item)
			m.Card = p.entriesCard(entries)
			if m.Card.Tone == chat.Bad {
				m.Urgency = chat.Urgent
			}
			_, err := r.o.Chat.Post(ctx, m)
			return err
		},
		entry: func(ctx context.Context, n notable) (entry, error) { return r.thread(ctx, p, n) },
	}
}

// entriesCard is one entry, or a backlog in one message.
func (p *picture) entriesCard(entries []entry) chat.Card {
	if len(entries) == 1 {
		e := entries[0]
		card := chat.Card{Text: e.text, Tone: e.tone}
		if e.code != "" {
			card.Sections = []chat.Section{{Code: e.code}}
		}
		return card
	}
	first, last := entries[0], entries[len(entries)-1]
	card := chat.Card{Title: fmt.Sprintf("Meanwhile, from %s to %s", p.clock(first.at), p.clock(last.at)), Tone: last.tone}
	s := chat.Section{}
	var words []string
	for _, e := range entries {
		s.Items = append(s.Items, chat.Item{Symbol: toneSymbols[e.tone], Text: p.clock(e.at) + " " + e.text})
		words = append(words, e.text)
	}
	card.Text = card.Title + ": " + strings.Join(words, "; ")
	card.Sections = []chat.Section{s}
	return card
}

var toneSymbols = map[chat.Tone]chat.Symbol{
	chat.Good: chat.SymbolDone, chat.Waiting: chat.SymbolWaiting, chat.Bad: chat.SymbolFailed,
}

// forget drops what every journal has told up to an event.
func (l *ledger) forget(upTo uint64) {
	at := 0
	for at < len(l.notable) && l.notable[at].seq <= upTo {
		at++
	}
	l.notable = l.notable[at:]
}
