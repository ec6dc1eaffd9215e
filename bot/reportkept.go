package bot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/store"
)

// The reporters' keys in the store. Those of a run go when its reports are final, but
// for bot/thread.
//
//	bot/newest                           number of the newest run that is reported on
//	bot/open/<run>/<lane>                settled, there while the reports are not final
//	bot/board/<run>/<channel>            kept, of the board
//	bot/request/<run>/<seq>/in/<channel> kept, of one copy of an approval request
//	bot/request/<run>/<seq>/to/<person>  kept, of a copy for one person
//	bot/issue/<run>                      keptIssue
//	bot/cursor/<run>/<lane>/<channel>    cursor
//	bot/notify/<run>/<step>/<channel>    kept, of the announcement
//	bot/forge/<run>/<module>/…           digest of what the forge shows of it
//	bot/page/<run>/<class>               keptPage, there while the incident is open
//	bot/thread/<channel>/<message>       the run that the message is about
const (
	newestKey      = "bot/newest"
	openPrefix     = "bot/open/"
	boardPrefix    = "bot/board/"
	requestPrefix  = "bot/request/"
	issuePrefix    = "bot/issue/"
	cursorPrefix   = "bot/cursor/"
	announcePrefix = "bot/notify/"
	forgePrefix    = "bot/forge/"
	pagePrefix     = "bot/page/"
	threadPrefix   = "bot/thread/"
)

// lanePrefixes are what each lane notes of a run, besides its cursors.
var lanePrefixes = map[string][]string{
	"chat": {boardPrefix, requestPrefix, announcePrefix}, "forge": {forgePrefix}, "pager": {pagePrefix},
}

func prefixesOf(lane, run string) []string {
	prefixes := []string{cursorPrefix + run + "/" + lane + "/"}
	for _, prefix := range lanePrefixes[lane] {
		prefixes = append(prefixes, prefix+run+"/")
	}
	return slices.Clip(prefixes)
}

func threadKey(h chat.Handle) string {
	return threadPrefix + url.PathEscape(h.Channel) + "/" + url.PathEscape(h.ID)
}

// kept is what is remembered of a message that is kept true. It is written
// before the message is posted, without a Handle: that says to look for the message
// before it is posted again.
type kept struct {
	Channel string      `json:"channel,omitempty"`
	To      string      `json:"to,omitempty"`
	Person  string      `json:"person,omitempty"` // id of who To is
	Copy    int         `json:"copy,omitempty"`   // how many before it were deleted by people
	Handle  chat.Handle `json:"handle,omitzero"`
	Shown   string      `json:"shown,omitempty"` // digest of its card
	Tone    chat.Tone   `json:"tone,omitempty"`  // of that card
}

func (k kept) posted() bool { return k.Handle != chat.Handle{} }

// message is m as it is posted for k. A message that somebody deleted is posted
// again under a key of its own.
func (k kept) message(m chat.Message) chat.Message {
	if k.Copy > 0 {
		m.Key += "/" + strconv.Itoa(k.Copy+1)
	}
	return m
}

func cardDigest(c chat.Card) string {
	data, _ := json.Marshal(c) // strings and numbers alone: it cannot fail
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// scribe posts messages and keeps them true.
type scribe struct {
	notebook
	chat chat.Poster
}

// show makes the message that is noted at key look like m, and posts it where it
// is not there. It is safe to repeat after any error: a message is posted once, and
// once more each time that somebody has deleted it.
func (s scribe) show(ctx context.Context, key, run, person string, m chat.Message) (kept, error) {
	var k kept
	noted, err := s.read(ctx, key, &k)
	if err != nil {
		return k, err
	}
	if noted && !k.posted() {
		if k, err = s.search(ctx, key, run, k, m); err != nil {
			return k, err
		}
	}
	shown := cardDigest(m.Card)
	if k.posted() {
		if k.Shown == shown {
			return k, nil
		}
		err := s.update(ctx, k.Handle, m)
		if err == nil {
			k.Shown, k.Tone = shown, m.Card.Tone
			return k, s.write(ctx, key, k)
		}
		if !isGone(err) {
			return k, err
		}
		k.Copy, k.Handle, noted = k.Copy+1, chat.Handle{}, false
	}
	k.Channel, k.To, k.Person, k.Shown = m.Channel, m.To, person, ""
	if !noted {
		if err := s.write(ctx, key, k); err != nil {
			return k, err
		}
	}
	call, cancel := calling(ctx)
	defer cancel()
	h, err := s.chat.Post(call, k.message(m))
	if err != nil {
		return k, err
	}
	k.Handle, k.Shown, k.Tone = h, shown, m.Card.Tone
	return k, s.found(ctx, key, run, k)
}

// search looks for a message whose posting was begun, and whose answer nobody got.
func (s scribe) search(ctx context.Context, key, run string, k kept, m chat.Message) (kept, error) {
	call, cancel := calling(ctx)
	defer cancel()
	h, there, err := s.chat.Find(call, k.message(m))
	if err != nil || !there {
		return k, err
	}
	k.Handle = h
	return k, s.found(ctx, key, run, k)
}

// found notes a message together with the run that it is about.
func (s scribe) found(ctx context.Context, key, run string, k kept) error {
	return s.write(ctx, key, k, store.Set{Key: threadKey(k.Handle), Value: []byte(run)})
}

func (s scribe) update(ctx context.Context, h chat.Handle, m chat.Message) error {
	call, cancel := calling(ctx)
	defer cancel()
	return s.chat.Update(call, h, m)
}

// again posts a message that is known to be deleted.
func (s scribe) again(ctx context.Context, key, run string, k kept, m chat.Message) (kept, error) {
	k.Copy, k.Handle, k.Shown = k.Copy+1, chat.Handle{}, ""
	if err := s.write(ctx, key, k); err != nil {
		return k, err
	}
	return s.show(ctx, key, run, k.Person, m)
}
