package intake

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/store"
)

// How large an event may be. What is there to be compared is refused when it is longer, what
// is there to be read is cut.
const (
	maxName   = 512
	maxFact   = 400       // part of an ID where the event is found by looking
	repeats   = time.Hour // between two deliveries of an alert that fires of which both count
	maxText   = 2 << 10
	maxFields = 256
	maxEvent  = 128 << 10
)

// known is what stays of an event, so that it is known when it is delivered again. Fields
// may be added.
type known struct {
	Number uint64    `json:"number,omitempty"` // of the event, while it is not handled
	Done   time.Time `json:"done,omitzero"`
}

// undeliverable is an event that can never be taken.
type undeliverable struct{ error }

func (undeliverable) Permanent() bool { return true }

// full is the answer where too many events wait.
type full struct{ waiting int }

func (f full) Error() string {
	return fmt.Sprintf("intake: %d events wait to be handled, which is as many as may wait; nothing was taken, deliver it again later", f.waiting)
}

func (full) RetryAfter() time.Duration { return time.Minute }

// limited is an event within the limits of its size.
func limited(e events.Event) (events.Event, error) {
	for _, n := range []struct {
		what, value string
		least, most int
	}{{"source", e.Source, 1, 64}, {"kind", string(e.Kind), 1, 64}, {"ID", e.ID, 1, maxName}, {"subject", e.Subject, 0, maxName}, {"fact", e.Fact, 0, maxFact}} {
		if len(n.value) > n.most || len(n.value) < n.least {
			return e, undeliverable{fmt.Errorf("intake: take: event %q of %q: its %s has %d bytes, want %d to %d",
				cut(e.ID, 40), cut(e.Source, 40), n.what, len(n.value), n.least, n.most)}
		}
	}
	if len(e.Fields) > maxFields {
		return e, undeliverable{fmt.Errorf("intake: take: event %q of %q: %d fields are more than %d", cut(e.ID, 40), e.Source, len(e.Fields), maxFields)}
	}
	e.From, e.By, e.Link = cut(e.From, maxText), cut(e.By, maxText), cut(e.Link, maxText)
	fields, size := make(map[string]string, len(e.Fields)), len(e.From)+len(e.By)+len(e.Link)
	for name, value := range e.Fields {
		value = cut(value, maxText)
		size += len(name) + len(value)
		if value != "" {
			fields[name] = value
		}
	}
	if size > maxEvent {
		return e, undeliverable{fmt.Errorf("intake: take: event %q of %q: %d bytes are more than %d", cut(e.ID, 40), e.Source, size, maxEvent)}
	}
	e.Fields = fields
	if year := e.At.Year(); e.At.IsZero() || year < 1970 || year > 9999 {
		e.At = time.Now() // a time that cannot be, or none
	}
	return e, nil
}

// cut is the beginning of a text, in whole characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

func knownKey(source, id string) string {
	return knownPrefix + url.PathEscape(source) + "/" + url.PathEscape(id)
}

func eventKey(number uint64) string { return fmt.Sprintf("%s%020d", eventPrefix, number) }

// lookID is the ID of an event that was found by looking, if it has no other.
func lookID(kind events.Kind, fact string) string { return "look/" + string(kind) + "/" + fact }

// repeated reports whether an event that was handled is news when it comes again: somebody says
// that an alert fires still.
func (k *known) repeated(e *events.Event) bool {
	return !k.Done.IsZero() && e.Kind == events.AlertFiring && time.Since(k.Done) > repeats
}

// flight is an event that somebody is writing down.
type flight struct {
	key    string
	number uint64
	event  events.Event
	done   chan struct{}
	err    error // once done is closed
}

// Take implements events.Intake. Events that are taken at the same time share the commits of
// the store. Where too many events wait to be handled the error has RetryAfter(); where an
// event breaks the limits of size it is Permanent. Nothing was taken then. After any other error,
// such as one of the store, events may be taken again, which is what whoever sends them does.
//
// An alert that fires and is delivered again counts as one more event an hour after it was
// handled: that is how it is known to fire still. The same release is not held twice because of it.
func (in *Intake) Take(ctx context.Context, all ...events.Event) error {
	todo := make([]events.Event, len(all))
	for i, e := range all {
		var err error
		if todo[i], err = limited(e); err != nil {
			return err
		}
	}
	for len(todo) > 0 {
		mine, others := in.claim(todo)
		err := in.write(ctx, mine)
		in.land(mine, err)
		if err != nil {
			return err
		}
		todo = nil
		for _, f := range others {
			select {
			case <-f.done:
			case <-ctx.Done():
				return fmt.Errorf("intake: take: %w", context.Cause(ctx))
			}
			if f.err != nil {
				todo = append(todo, f.event)
			}
		}
	}
	return nil
}

// claim divides events into those that nobody is writing, which are the caller's now, and the
// flights of the others.
func (in *Intake) claim(all []events.Event) (mine, others []*flight) {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := uint64(time.Now().UnixNano())
	for _, e := range all {
		key := knownKey(e.Source, e.ID)
		f := in.flights[key]
		if f == nil {
			// The clock orders events across restarts; within one process it is order itself.
			in.last = max(in.last+1, now)
			f = &flight{key: key, number: in.last, event: e, done: make(chan struct{})}
			in.flights[key] = f
			mine = append(mine, f)
			continue
		}
		if !slices.Contains(mine, f) { // and not the same event twice
			others = append(others, f)
		}
	}
	return mine, others
}

// land ends flights.
func (in *Intake) land(mine []*flight, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, f := range mine {
		delete(in.flights, f.key)
		f.err = err
		close(f.done)
	}
}

// Bounds of one transaction, which two writes for each event have to fit into.
const (
	batchEvents = 32
	batchBytes  = 256 << 10
)

// write makes those of the flights durable that are not known yet.
func (in *Intake) write(ctx context.Context, mine []*flight) error {
	var fresh []*flight
	for _, f := range mine {
		data, err := in.o.Logs.Get(ctx, f.key)
		if err != nil {
			return fmt.Errorf("intake: take: %w", err)
		}
		if data == nil {
			fresh = append(fresh, f)
			continue
		}
		var k known
		if err := json.Unmarshal(data, &k); err != nil {
			return fmt.Errorf("intake: key %q: %w", f.key, err)
		}
		if k.repeated(&f.event) {
			fresh = append(fresh, f)
		} else if k.Done.IsZero() {
			// Nobody may have been told that it is there: the answer of its writing was lost.
			in.add(&entry{number: k.Number, key: f.key, source: f.event.Source, subject: subject(&f.event)})
		}
	}
	if err := in.reserve(len(fresh)); err != nil {
		return err
	}
	defer in.reserve(-len(fresh))
	bodies := make([][]byte, len(fresh))
	for i, f := range fresh {
		var err error
		if bodies[i], err = json.Marshal(&f.event); err != nil {
			return undeliverable{fmt.Errorf("intake: take: event %q: %w", f.event.ID, err)}
		}
	}
	type batch struct {
		flights []*flight
		answer  <-chan error
	}
	var batches []batch
	for rest := fresh; len(rest) > 0; {
		var sets []store.Set
		n, size := 0, 0
		for ; n < len(rest) && n < batchEvents && size < batchBytes; n++ {
			f, body := rest[n], bodies[n]
			size += len(body) + len(f.key)
			sets = append(sets,
				store.Set{Key: f.key, Value: []byte(`{"number":` + strconv.FormatUint(f.number, 10) + `}`)},
				store.Set{Key: eventKey(f.number), Value: body})
		}
		// What is submitted is waited for, whatever becomes of ctx: it has happened.
		batches = append(batches, batch{rest[:n], in.o.Logs.Submit(nil, sets)})
		rest, bodies = rest[n:], bodies[n:]
	}
	var failed error
	for _, b := range batches {
		if err := <-b.answer; err != nil {
			failed = fmt.Errorf("intake: take: %w", err)
			continue
		}
		for _, f := range b.flights {
			in.add(&entry{number: f.number, key: f.key, source: f.event.Source, subject: subject(&f.event)})
		}
	}
	return failed
}

// reserve makes room for events that are about to be written, or gives it back.
func (in *Intake) reserve(n int) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if waiting := len(in.held) + in.taking; n > 0 && waiting+n > in.o.Backlog {
		return full{waiting}
	}
	in.taking += n
	return nil
}

// subject is what an event is one after the other with. One without is with itself alone.
func subject(e *events.Event) string {
	if e.Subject == "" {
		return "event " + e.ID
	}
	return "subject " + e.Subject
}

// load puts into the lines what an earlier process has left, in the order of arrival.
func (in *Intake) load(ctx context.Context) error {
	for pair, err := range in.o.Logs.Keys(ctx, eventPrefix) {
		if err != nil {
			return err
		}
		number, err := strconv.ParseUint(strings.TrimPrefix(string(pair.Key), eventPrefix), 10, 64)
		var e events.Event
		if err == nil {
			err = json.Unmarshal(pair.Value, &e)
		}
		if err != nil {
			in.o.Log.Error("an event that was taken cannot be read, and is left where it is", "key", string(pair.Key), "error", err)
			continue
		}
		in.last = max(in.last, number)
		in.add(&entry{number: number, key: knownKey(e.Source, e.ID), source: e.Source, subject: subject(&e)})
	}
	return nil
}
