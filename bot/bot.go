// Package bot is how people and Muster talk: the command language, the inbox of
// what was said, and the reporters that keep people informed.
//
// A line of the command language is the same whatever door it comes through. It
// is written down, then acknowledged, then decided, then answered. Who is
// speaking is established by the door; who may do what is decided by playbooks.
package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
)

// Threads knows which run a thread is about. Reporters are Threads.
type Threads interface {
	// RunOf returns the run that the thread under a message is about.
	RunOf(ctx context.Context, channel, thread string) (run string, ok bool)
}

// Options are what a Bot needs. Engine, Logs, Chat and System are required.
type Options struct {
	Engine *engine.Engine
	Logs   *store.Logs
	Chat   chat.Poster
	// System is the chat's name in Person.Handles, and the door's in events.
	System string
	// People knows who is who in the chat. Nil: Person.Handles says it.
	People chat.Directory
	// Threads finds the run that a line in a thread is about. Nil: none is.
	Threads Threads
	// Here says which modules a channel is about, such as a merge request: a line there that
	// wants a plan and names no module means those. Nil: no channel is about any.
	Here func(ctx context.Context, channel string) ([]playbooks.ModuleRef, error)
	// Builds lists the versions there are. Nil: nothing is known of them.
	Builds steps.Builds
	// Timetable knows the release trains. Nil: none runs.
	Timetable Timetable
	// Rota knows who is on call. Nil: nobody knows.
	Rota steps.Rota
	// Reload reads the configuration again and puts it in force, or keeps the old
	// one and says why. Nil: that is not possible.
	Reload func(ctx context.Context) (summary string, err error)
	// Zone is that of the times people type and read; nil: the local one.
	Zone *time.Location
	Log  *slog.Logger
}

// Bot understands lines, carries them out and answers. Its methods may be
// called concurrently.
type Bot struct {
	o        Options
	commands []command

	mu      sync.Mutex
	running *process        // nil: Run is not running
	held    map[string]bool // keys of the letters that process has
	last    uint64          // number of the newest letter
}

// New returns a bot that takes lines at once, and answers those of the chat once
// Run is called.
func New(o Options) *Bot {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Zone == nil {
		o.Zone = time.Local
	}
	if o.People == nil {
		o.People = Handles{System: o.System, Policy: o.Engine.Policy}
	}
	return &Bot{o: o, commands: commands()}
}

// Line is a line of the command language, and all that is known of where it
// comes from.
type Line struct {
	By string // id of the person who speaks; empty: the door knows nobody by that name
	// Stranger says, where By is empty, why the speaker may not act here, in a
	// sentence for them. Empty: they are not in the catalog.
	Stranger string
	From     string // what the door calls the speaker
	Via      string // the door: "chat", "slack", "http", "gitlab", "clock"
	Rule     string // what speaks for By, where that is a rule or a train; empty: By does
	// Cause identifies the delivery. Whatever a line does, it does once for each
	// Cause. Empty: each Execute is a delivery of its own.
	Cause string
	Run   string // the run that the line is about if it names none; empty: none
	// Channel is where it was said; empty: nowhere that a chat has.
	Channel string
	Text    string
}

// Answer is what Muster says to a line.
type Answer struct {
	Card chat.Card
	Err  error // why the line came to nothing; nil when it was carried out
}

// Final reports whether an answer is the last word: the line was carried out, or is
// refused whenever it comes again. After any other the same line with the same Cause may be
// executed again, and finds out.
func (a Answer) Final() bool {
	return a.Err == nil || isPermanent(a.Err) || errors.Is(a.Err, engine.ErrNoRun) || errors.Is(a.Err, engine.ErrNoPlan)
}

// Execute carries out a line and says what came of it. An Answer whose Err wraps
// engine.ErrStopped, or that comes after ctx has ended, is no last word: the same line
// with the same Cause finds out.
func (b *Bot) Execute(ctx context.Context, l Line) Answer {
	return b.execute(ctx, l, nil, nil)
}

// execute is Execute for a line that may have been taken up before. Keep, unless
// nil, makes durable what the line comes to before that is done; kept is what
// it came to earlier.
func (b *Bot) execute(ctx context.Context, l Line, kept *playbooks.Command, keep func(context.Context, playbooks.Command) error) (answer Answer) {
	c := &call{b: b, line: l, policy: b.o.Engine.Policy(), now: time.Now().In(b.o.Zone), keep: keep}
	defer func() {
		// A line that is written down comes again after a crash, so a mistake of
		// ours must not end the program.
		if r := recover(); r != nil {
			b.o.Log.Error("a line could not be carried out", "line", shortened(l.Text, 200), "cause", l.Cause, "panic", r, "stack", string(debug.Stack()))
			err := fmt.Errorf("that went wrong inside Muster, and is logged with %q", l.Cause)
			answer = Answer{Card: c.refusal(err), Err: err}
		}
	}()
	var card chat.Card
	var err error
	if kept != nil {
		card, err = c.do(ctx, *kept)
	} else {
		card, err = c.understand(ctx)
	}
	if err != nil {
		card = c.refusal(err)
	}
	return Answer{Card: card, Err: err}
}

// call is one line that is being carried out.
type call struct {
	b       *Bot
	line    Line
	phrase  phrase
	args    args
	command *command
	policy  *playbooks.Policy
	now     time.Time // in the zone of the people
	keep    func(context.Context, playbooks.Command) error
}

// understand finds out which command a line is, and runs it.
func (c *call) understand(ctx context.Context) (chat.Card, error) {
	if c.policy.Person(c.line.By) == nil {
		return chat.Card{}, c.stranger()
	}
	if c.line.Rule != "" {
		c.phrase = split(c.line.Text)
	} else {
		var err error
		if c.phrase, err = parse(c.line.Text); err != nil {
			return chat.Card{}, err
		}
	}
	c.args = args{c.phrase.words}
	name := c.args.next()
	if name.text == "" {
		return c.help(ctx)
	}
	if c.command = c.b.command(name.text); c.command == nil {
		return chat.Card{}, c.unknownCommand(name)
	}
	return c.command.run(c, ctx)
}

// carryOut is the way from a line to what it does. What the line came to is
// kept first: carried out again after a crash, it is the same command on the same run.
func (c *call) carryOut(ctx context.Context, cmd playbooks.Command) (chat.Card, error) {
	cmd.By, cmd.Via, cmd.Rule, cmd.Cause = c.line.By, c.line.Via, c.line.Rule, c.line.Cause
	if c.keep != nil {
		if err := c.keep(ctx, cmd); err != nil {
			return chat.Card{}, fmt.Errorf("%w: %w", engine.ErrNotSaved, err)
		}
	}
	return c.do(ctx, cmd)
}

// do hands a command to the engine. It is safe to repeat.
func (c *call) do(ctx context.Context, cmd playbooks.Command) (chat.Card, error) {
	switch cmd.Kind {
	case playbooks.CommandStart:
		run, err := c.b.o.Engine.Start(ctx, cmd)
		if err != nil {
			return chat.Card{}, err
		}
		cmd.Run = run
	case playbooks.CommandFreeze, playbooks.CommandUnfreeze:
		if err := c.b.o.Engine.Freeze(ctx, cmd); err != nil {
			return chat.Card{}, err
		}
		return c.frozen(cmd), nil
	default:
		if err := c.b.o.Engine.Do(ctx, cmd); err != nil {
			return chat.Card{}, err
		}
	}
	var card chat.Card
	err := c.b.o.Engine.View(ctx, cmd.Run, func(v engine.View) error {
		card = c.outcome(v, cmd)
		return nil
	})
	if err != nil && !errors.Is(err, engine.ErrStopped) {
		c.b.o.Log.Warn("a command was carried out, and the run cannot be shown", "run", cmd.Run, "error", err)
		card, err = chat.Card{Text: fmt.Sprintf("Done: %s of run %s.", cmd.Kind, cmd.Run)}, nil
	}
	return card, err
}
