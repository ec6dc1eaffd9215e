package bot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
)

// ReporterOptions are what Reporters need. Engine, Logs and Chat are required.
type ReporterOptions struct {
	Engine  *engine.Engine
	Logs    *store.Logs
	Chat    chat.Poster
	Tracker steps.Tracker // nil: there is none
	Forge   steps.Forge   // whose own pages show what is released; nil: there is none
	// Describe finds out what a playbook brings, as the engine's: it is asked again for what could
	// not be said when a plan was made. Nil: nobody knows.
	Describe func(context.Context, *playbooks.Catalog, *playbooks.Playbook)
	Pager    steps.Pager // calls people; nil: there is none
	// PageAfter is how long a release waits for people before it pages; 0: DefaultPageAfter.
	PageAfter time.Duration
	// System is the chat's name in Person.Handles. Who has no handle there gets no
	// direct messages.
	System   string
	People   chat.Directory // who is who in the chat; nil: Person.Handles says it
	Channels []string       // where releases to environments without channels of their own are shown
	Zone     *time.Location // of the times that people read; nil: the local one
	// Pace is the least time between two updates of one message; 0: 1 s.
	Pace time.Duration
	// Age, when set, is called for each message that was brought up to date, with for how
	// long it had not shown what was known.
	Age func(chat.Urgency, time.Duration)
	Log *slog.Logger
}

// Reporters make chat, tracker, forge and pager look like the runs. Each channel of an
// environment has a board for each run, updated in place, with what is noteworthy in its
// thread; who has to approve is asked; the tracker has a release issue, the forge
// deployments and releases, and people on call hear of what needs them.
//
// Everything follows from the run and from what is noted in the store, so an
// outage, a rate limit or a restart costs freshness alone: nothing is lost or said
// twice. The engine never waits for it. Methods may be called concurrently.
type Reporters struct {
	o      ReporterOptions
	scribe scribe
	chat   *lane
	lanes  []*lane // the chat's, and the tracker's if there is one

	mu     sync.Mutex
	newest int // as noted in the store; -1: not read yet

	finishing sync.Mutex // the lanes look at each other when they are done with a run
}

// lane is one outside system with its own workers, so that an outage of one
// does not hold up what is reported to the other.
type lane struct {
	name    string
	workers int
	agenda  *agenda
	// report brings everything up to date that can be, and leaves word on the desk
	// about the rest. It reports whether the run is over, as far as it has seen.
	report func(context.Context, *desk) (over bool, err error)
}

// NewReporters returns reporters that begin to work when Run is called.
func NewReporters(o ReporterOptions) *Reporters {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Zone == nil {
		o.Zone = time.Local
	}
	if o.People == nil {
		o.People = Handles{System: o.System, Policy: o.Engine.Policy}
	}
	o.Pace = cmp.Or(o.Pace, time.Second)
	o.PageAfter = cmp.Or(o.PageAfter, DefaultPageAfter)
	r := &Reporters{o: o, scribe: scribe{notebook{o.Logs}, o.Chat}, newest: -1}
	r.chat = &lane{name: "chat", workers: 4, agenda: newAgenda(o.Pace), report: r.reportChat}
	r.lanes = append(r.lanes, r.chat)
	if o.Tracker != nil {
		r.lanes = append(r.lanes, &lane{name: "tracker", workers: 2, agenda: newAgenda(o.Pace), report: r.reportTracker})
	}
	if o.Forge != nil {
		r.lanes = append(r.lanes, &lane{name: "forge", workers: 2, agenda: newAgenda(o.Pace), report: r.reportForge})
	}
	if o.Pager != nil {
		r.lanes = append(r.lanes, &lane{name: "pager", workers: 2, agenda: newAgenda(o.Pace), report: r.reportPager})
	}
	return r
}

// Changed says that a run has changed. It returns at once, and may be called
// before Run: it is the engine's Options.Changed.
func (r *Reporters) Changed(run string) {
	now := time.Now()
	for _, l := range r.lanes {
		l.agenda.mark(run, now)
	}
}

// Run reports until ctx ends, beginning with what an earlier process left
// undone. It returns nil then; any other error says that the notes could not be read
// in the beginning.
func (r *Reporters) Run(ctx context.Context) error {
	if err := r.begin(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("reporters: %w", err)
	}
	var group errgroup.Group
	for _, l := range r.lanes {
		for range l.workers {
			group.Go(func() error {
				for d := l.agenda.take(ctx); d != nil; d = l.agenda.take(ctx) {
					r.attend(ctx, l, d)
				}
				return nil
			})
		}
	}
	return group.Wait()
}

// Lag is for how long chat or tracker have not shown what is known.
func (r *Reporters) Lag() time.Duration {
	lag := time.Duration(0)
	for _, l := range r.lanes {
		lag = max(lag, l.agenda.lag())
	}
	return lag
}

// RunOf returns the run that a message, and with it its thread, is about.
func (r *Reporters) RunOf(ctx context.Context, channel, thread string) (run string, ok bool) {
	data, err := r.o.Logs.Get(ctx, threadKey(chat.Handle{Channel: channel, ID: thread}))
	if err != nil {
		r.o.Log.Warn("the run of a thread could not be read", "channel", channel, "error", err)
	}
	return string(data), err == nil && data != nil
}

// settled is noted of a run whose reports are not final: Len is how much of its
// log they showed completely when it last came to rest.
type settled struct {
	Len uint64 `json:"len,omitempty"`
}

func openKey(run, lane string) string { return openPrefix + run + "/" + lane }

// afterwards is how far apart the runs are looked at, after a restart, of which
// the reports were complete. What changed them without a trace in their log, such as a
// new catalog, is in no hurry, and the first minute belongs to people.
const afterwards = 100 * time.Millisecond

// begin marks the runs that there is something to report of.
func (r *Reporters) begin(ctx context.Context) error {
	newest := 0
	last, err := r.o.Engine.History(ctx, 1)
	if err != nil {
		return err
	}
	if len(last) > 0 {
		newest, _ = strconv.Atoi(last[0].Run)
	}
	if err := r.takeUp(ctx, newest); err != nil {
		return err
	}
	now := time.Now()
	later := now
	for _, l := range r.lanes {
		keys, err := r.scribe.keys(ctx, openPrefix)
		if err != nil {
			return err
		}
		for _, key := range keys {
			run, of := laneOf(key)
			if of != l.name {
				continue
			}
			fresh, err := r.complete(ctx, key, run)
			if err != nil {
				return err
			}
			if fresh {
				later = later.Add(afterwards)
				l.agenda.mark(run, later)
			} else {
				l.agenda.mark(run, now)
			}
		}
	}
	return nil
}

func laneOf(key string) (run, lane string) {
	run = key[len(openPrefix):]
	for i := range run {
		if run[i] == '/' {
			return run[:i], run[i+1:]
		}
	}
	return run, ""
}

// complete reports whether a run's log is no longer than what was reported.
func (r *Reporters) complete(ctx context.Context, key, run string) (bool, error) {
	var s settled
	if _, err := r.scribe.read(ctx, key, &s); err != nil || s.Len == 0 {
		return false, err
	}
	more := errors.New("there is more")
	err := r.o.Engine.Events(ctx, run, s.Len+1, func(uint64, playbooks.Event) error { return more })
	if errors.Is(err, more) {
		return false, nil
	}
	return err == nil, err
}

// takeUp notes, for the number of a run and all before it that are not noted
// yet, that there is something to report. From then on a restart does not forget them,
// even if they end before anybody has looked.
func (r *Reporters) takeUp(ctx context.Context, number int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number <= r.newest {
		return nil
	}
	newest := 0
	noted, err := r.scribe.read(ctx, newestKey, &newest)
	if err != nil {
		return err
	}
	var runs []string
	if !noted { // the first time on this store: what has ended before is history
		runs, newest = r.o.Engine.OpenRuns(), number
	}
	for ; newest < number; newest++ {
		runs = append(runs, strconv.Itoa(newest+1))
	}
	for batch := range slices.Chunk(runs, store.MaxTxnOps/4) {
		var sets []store.Set
		for _, run := range batch {
			for _, l := range r.lanes {
				sets = append(sets, store.Set{Key: openKey(run, l.name), Value: []byte("{}")})
			}
		}
		if err := r.o.Logs.Set(ctx, sets...); err != nil {
			return err
		}
	}
	if !noted || len(runs) > 0 {
		if err := r.scribe.write(ctx, newestKey, newest); err != nil {
			return err
		}
	}
	r.newest = newest
	return nil
}

// attend looks at a run for a lane and gives it back.
func (r *Reporters) attend(ctx context.Context, l *lane, d *desk) {
	d.begin()
	final, err := r.look(ctx, l, d)
	switch {
	case ctx.Err() != nil:
		// Whatever was under way is found out by the next process.
	case err != nil:
		r.o.Log.Warn("a run could not be reported on; it is tried again", "run", d.run, "lane", l.name, "error", err)
		d.undone = true
		d.failures++
		d.wait(time.Now().Add(patience(d.failures)))
	case final:
		l.agenda.forget(d)
		return
	default:
		d.failures, d.since = 0, time.Time{}
	}
	l.agenda.give(d, d.next)
}

func (r *Reporters) look(ctx context.Context, l *lane, d *desk) (final bool, err error) {
	number, err := strconv.Atoi(d.run)
	if err != nil {
		return true, nil // no run of the engine's
	}
	if err := r.takeUp(ctx, number); err != nil {
		return false, err
	}
	key := openKey(d.run, l.name)
	var was settled
	open, err := r.scribe.read(ctx, key, &was)
	if err != nil || !open {
		return err == nil, err
	}
	over, err := l.report(ctx, d)
	switch {
	case errors.Is(err, engine.ErrNoRun): // a number that was never used
		return true, r.finish(ctx, l, d.run)
	case err != nil || d.undone:
		return false, err
	case over && !d.open:
		return true, r.finish(ctx, l, d.run)
	case d.atRest && was.Len != d.ledger.seq:
		err = r.scribe.write(ctx, key, settled{d.ledger.seq})
	}
	return false, err
}

// finish forgets a run whose reports are final, all but the way from its threads to it.
// Its issue's key stays until all lanes are done: the board shows it.
func (r *Reporters) finish(ctx context.Context, l *lane, run string) error {
	r.finishing.Lock()
	defer r.finishing.Unlock()
	prefixes := prefixesOf(l.name, run)
	others := 0
	for _, other := range r.lanes {
		open, err := r.scribe.read(ctx, openKey(run, other.name), new(settled))
		if err != nil {
			return err
		}
		if open && other != l {
			others++
		}
	}
	var gone []string
	for _, prefix := range prefixes {
		keys, err := r.scribe.keys(ctx, prefix)
		if err != nil {
			return err
		}
		gone = append(gone, keys...)
	}
	if others == 0 {
		gone = append(gone, issuePrefix+run)
	}
	return r.scribe.remove(ctx, append(gone, openKey(run, l.name))...)
}

// desk is what a worker has in hand about one run. All of it can be lost.
type desk struct {
	run       string
	ledger    ledger
	resting   map[string]*resting
	stale     map[string]time.Time // by target: the oldest change that it does not show
	failures  int
	plan      planText
	described described

	// Of the look that is under way:
	since  time.Time // of the oldest change that nobody has looked at; zero: there is none
	undone bool      // something was put off
	open   bool      // all is shown, and there may be more to show later though the run has ended
	next   time.Time // when it is due, or the next look without a change; zero: never
	atRest bool      // nothing happens in the run until somebody or something wakes it
}

// resting is a target that failed.
type resting struct {
	until    time.Time
	urgency  chat.Urgency // of what was put off
	failures int
	refused  bool // for good, as it seems: nothing waits for it, but it is tried again
	later    bool // until a time that was named
}

func newDesk(run string) *desk {
	return &desk{run: run, resting: make(map[string]*resting), stale: make(map[string]time.Time)}
}

func (d *desk) begin() { d.undone, d.open, d.next, d.atRest = false, false, time.Time{}, false }

// wait makes sure that there is a look at a time.
func (d *desk) wait(until time.Time) {
	if d.next.IsZero() || until.Before(d.next) {
		d.next = until
	}
}

// patience is how long a target rests after so many failures in a row.
func patience(failures int) time.Duration { return time.Second << min(failures-1, 6) }

// refusedRest is how long a target is left alone that refused for good.
const refusedRest = 10 * time.Minute

// attempt calls fn for a target unless that has to rest, and reports whether it
// is up to date. Errors put off this target and no other. A target that a chat put off, which
// takes only so much, is tried again at once when it has become more urgent.
func (r *Reporters) attempt(ctx context.Context, d *desk, target string, urgency chat.Urgency, fn func() error) bool {
	now := time.Now()
	if stale := d.stale[target]; !d.since.IsZero() && (stale.IsZero() || d.since.Before(stale)) {
		d.stale[target] = d.since
	}
	rest := d.resting[target]
	if rest != nil && now.Before(rest.until) && !(rest.later && urgency > rest.urgency) {
		d.undone = d.undone || !rest.refused
		d.wait(rest.until)
		return false
	}
	err := fn()
	if err == nil {
		delete(d.resting, target)
		return true
	}
	if ctx.Err() != nil {
		d.undone = true
		return false
	}
	if rest == nil {
		rest = new(resting)
		d.resting[target] = rest
	}
	wait, later := retryAfter(err)
	if !later {
		rest.failures++ // to be put off is none
	}
	rest.later, rest.urgency = later, urgency
	rest.refused = !later && isPermanent(err)
	switch {
	case rest.refused:
		wait = refusedRest
	case !later:
		wait = patience(rest.failures)
	}
	level := slog.LevelWarn
	if later {
		level = slog.LevelDebug // as it should be where many want to say something
	}
	r.o.Log.Log(ctx, level, "a report did not get through", "run", d.run, "target", target, "again", wait.String(), "for good", rest.refused, "error", err)
	rest.until = time.Now().Add(wait)
	d.undone = d.undone || !rest.refused
	d.wait(rest.until)
	return false
}

// reportChat brings boards, requests and threads up to date.
func (r *Reporters) reportChat(ctx context.Context, d *desk) (over bool, err error) {
	var issue keptIssue
	if _, err := r.scribe.read(ctx, issuePrefix+d.run, &issue); err != nil {
		return false, err
	}
	p, card, err := lookAt(ctx, r, d.run, func(v engine.View) chat.Card { return boardCard(v, r.o.Zone, issue.Key) })
	if err != nil {
		return false, err
	}
	if err := r.read(ctx, d, p.len); err != nil {
		return false, err
	}
	channels, err := r.boardChannels(ctx, d.run, p.policy, p.environment)
	if err != nil {
		return false, err
	}
	told := p.len
	for _, channel := range channels {
		key, target := boardPrefix+d.run+"/"+channel, "board/"+channel
		var board kept
		if _, err := r.scribe.read(ctx, key, &board); err != nil {
			return false, err
		}
		was := board.Shown
		m := chat.Message{Key: "board/" + d.run, Channel: channel, About: d.run, Urgency: boardUrgency(board, card), Card: card}
		if r.attempt(ctx, d, target, m.Urgency, func() (err error) {
			board, err = r.scribe.show(ctx, key, d.run, "", m)
			return err
		}) {
			r.fresh(d, target, m.Urgency, board.Shown != was)
		}
		told = min(told, r.tellThread(ctx, d, p, m, board))
	}
	d.ledger.forget(told)
	if err := r.requests(ctx, d, p, channels); err != nil {
		return false, err
	}
	d.atRest = p.atRest
	if p.moving {
		d.wait(time.Now().Add(refresh * r.o.Pace))
	}
	return p.over, nil
}

// boardUrgency is that of a board which shows was. A run that has failed, paused, begun or ended
// since is what people wait to see, and so is a board that is not there.
func boardUrgency(was kept, card chat.Card) chat.Urgency {
	if !was.posted() || card.Tone != was.Tone {
		return chat.Urgent
	}
	return chat.Progressing
}

// fresh notes that a message shows the run as it was when the look began. Wrote
// says that it did not before.
func (r *Reporters) fresh(d *desk, target string, urgency chat.Urgency, wrote bool) {
	if since := d.stale[target]; wrote && !since.IsZero() && r.o.Age != nil {
		r.o.Age(urgency, time.Since(since))
	}
	delete(d.stale, target)
}

// refresh is how many paces apart a board is drawn while things move, so that its
// times stay true though nothing else changes.
const refresh = 10

// tellThread tells in a board's thread what is new, and returns up to which event
// everything is told. A thread whose root somebody deleted begins again below a new board.
func (r *Reporters) tellThread(ctx context.Context, d *desk, p *picture, m chat.Message, board kept) (told uint64) {
	if !board.posted() {
		return 0
	}
	r.attempt(ctx, d, "thread/"+m.Channel, chat.Settled, func() error {
		c, err := r.deliver(ctx, d, r.threadJournal(p, board))
		if isGone(err) {
			if board, err = r.scribe.again(ctx, boardPrefix+d.run+"/"+m.Channel, d.run, board, m); err == nil {
				c, err = r.deliver(ctx, d, r.threadJournal(p, board))
			}
		}
		told = c.Seq
		return err
	})
	return told
}
