// Package chat is the port through which Muster talks to people: what a chat
// system must be able to do, in plain types. It knows no vendor, and decides nothing.
package chat

import (
	"context"
	"time"
)

// Message is what Muster says, or keeps saying: posted once, updated in place.
type Message struct {
	// Key identifies the message for ever: the same Key is never posted twice into
	// one channel. Adapters keep it in the message's metadata where they can.
	Key     string
	Channel string // "" with To set: a direct message
	To      string // person's handle in this chat, for direct messages
	Thread  string // ID of the root message; "" starts at top level
	// Reply, when set, comes from an Event: the card is for the person who did that
	// alone, and goes where the chat shows such answers. Where it cannot go there any
	// more the error is Permanent. A chat may have no way of finding such a message again;
	// its Find then reports that there is none.
	Reply string
	// About is what the message is about, a run for instance. A chat that takes only
	// so many messages a minute is fair between these.
	About   string
	Urgency Urgency
	Card    Card
}

// Urgency orders what waits for a chat that takes only so many messages a minute.
type Urgency int

const (
	// Progressing is how far things are. Only the latest state is of interest.
	Progressing Urgency = iota
	// Settled has to be true soon, and nobody waits for it: a request that was answered.
	Settled
	// Urgent is what a person waits for: a request, an answer, a failure.
	Urgent
)

// Card is a message's content. Its strings may hold marks: see Mention and At. Every adapter renders it as well as its system
// can; Text alone must carry the meaning, for notifications and screen readers.
// All strings are plain text, adapters escape them.
type Card struct {
	Text     string // the whole message in a line
	Title    string
	Tone     Tone
	Progress *Progress
	Sections []Section
	Actions  []Action
	Footer   string
	// Lasting names what the card keeps saying at its place: "plan/staging". A chat that is a
	// page, such as a merge request, keeps one message for each name there and updates it; others
	// take no notice. Empty: it is said once.
	Lasting string
}

// Tone colours a card.
type Tone string

const (
	Neutral Tone = ""
	Good    Tone = "good"
	Waiting Tone = "waiting"
	Bad     Tone = "bad"
)

// Progress is a bar.
type Progress struct {
	Done, Total int
	// Label begins with what is counted: "changes · about 17s to go". Phrases between
	// middle dots are not broken where that can be helped.
	Label string
}

// Section is a part of a card with an optional heading.
type Section struct {
	Heading string
	Text    string
	Fields  []Field // short facts side by side
	Items   []Item  // a list
	Code    string  // preformatted: a log excerpt
}

// Field is a named fact.
type Field struct{ Name, Value string }

// Item is one line of a list.
type Item struct {
	Symbol Symbol
	Text   string
	Row    []Symbol // the states of many things of one kind, such as the modules of a wave
	Detail string
}

// Symbol is a state in a list, drawn as each chat can.
type Symbol string

const (
	SymbolNone    Symbol = ""
	SymbolDone    Symbol = "done"
	SymbolRunning Symbol = "running"
	SymbolWaiting Symbol = "waiting"
	SymbolPending Symbol = "pending"
	SymbolFailed  Symbol = "failed"
	SymbolUnknown Symbol = "unknown"
	SymbolSkipped Symbol = "skipped"
	SymbolUndone  Symbol = "undone"
)

// Action is a button. Pressing it is the same as typing Command; Confirm, when
// set, is asked first.
type Action struct {
	Label   string
	Command string
	Style   Tone
	Confirm string
	// Ask, when set, is what the person has to say in words before Command is complete:
	// it ends in "…", which stands for them. A chat that cannot ask shows the
	// command, to be completed.
	Ask string
}

// Handle finds a posted message again. It is kept durably.
type Handle struct {
	Channel string `json:"channel"`
	ID      string `json:"id"`
}

// Poster posts and updates messages. After an error without Permanent() or
// RetryAfter() (see playbooks/steps) a post may have happened: Find before repeating it.
//
// A chat that takes only so many messages a minute refuses with RetryAfter() instead
// of keeping callers waiting: it is then their turn, with whatever is true by then.
type Poster interface {
	Post(ctx context.Context, m Message) (Handle, error)
	// Update makes a message look like m. An error that is Gone says that somebody deleted it.
	Update(ctx context.Context, h Handle, m Message) error
	// Find looks for a message by channel (or To) and Key.
	Find(ctx context.Context, m Message) (h Handle, found bool, err error)
}

// Gone is implemented by errors that say that a message does not exist any more.
type Gone interface{ Gone() bool }

// Event is something a person did in the chat. A line that was typed and a
// button that was pressed are both a line of the command language.
type Event struct {
	ID      string // of the delivery: the same however often it is delivered
	Time    time.Time
	From    string // the person's handle in this chat, established by the chat
	Channel string
	Thread  string // ID of the thread's root message, "" at top level
	Text    string // the command line, without a leading mention or slash command
	Message string // for a button: ID of the message it was on
	Reply   string // where an answer for this person alone goes, see Message; "": there is no such way
}
