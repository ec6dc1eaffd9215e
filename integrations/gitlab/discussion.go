package gitlab

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/bot/chat"
)

// Discussions are the comments on merge requests and issues as a chat. A channel is such a page,
// "shop/api!12" or "shop/api#12"; a thread is a discussion, by GitLab's ID of it or that of a message in it;
// the ID of a message is that of the comment. There are neither direct messages nor answers for one person alone;
// both are refused. Its methods may be called concurrently.
type Discussions struct{ g *GitLab }

var _ chat.Poster = (*Discussions)(nil)

// Discussions returns the comments on this GitLab's merge requests and issues.
func (g *GitLab) Discussions() *Discussions { return &Discussions{g} }

// Post comments: in the discussion that the message names as its thread, and otherwise on its own. A
// card that is Lasting takes the place of the comment that has its name there already, and is never an answer
// in a discussion.
func (d *Discussions) Post(ctx context.Context, m chat.Message) (chat.Handle, error) {
	p, err := placeOf(m)
	if err != nil {
		return chat.Handle{}, err
	}
	if name := m.Card.Lasting; name != "" {
		// Two of one name at once would not see each other.
		release, err := d.g.in.lanes.enter(ctx, p.String()+" "+name)
		if err != nil {
			return chat.Handle{}, fmt.Errorf("gitlab: comment on %s: %w", p, err)
		}
		defer release()
		n, err := d.find(ctx, p, func(mark marker) bool { return mark.lasting == encodeMark(name) })
		if err != nil {
			return chat.Handle{}, err
		}
		if n != nil {
			h := chat.Handle{Channel: p.String(), ID: strconv.FormatInt(n.ID, 10)}
			return h, d.g.updateNote(ctx, p, n.ID, d.g.body(m))
		}
		m.Thread = ""
	}
	discussion := m.Thread
	if id, err := strconv.ParseInt(m.Thread, 10, 64); err == nil && len(m.Thread) < 20 {
		if discussion, err = d.g.discussionOf(ctx, p, id); err != nil {
			return chat.Handle{}, err
		}
	}
	n, err := d.g.createNote(ctx, p, discussion, d.g.body(m))
	if err != nil {
		return chat.Handle{}, err
	}
	if n.ID == 0 {
		return chat.Handle{}, fmt.Errorf("gitlab: comment on %s: the answer has no ID", p)
	}
	return chat.Handle{Channel: p.String(), ID: strconv.FormatInt(n.ID, 10)}, nil
}

// Update makes a comment look like m. GitLab notifies nobody of that but those who are newly mentioned.
func (d *Discussions) Update(ctx context.Context, h chat.Handle, m chat.Message) error {
	m.Channel = h.Channel
	p, err := placeOf(m)
	if err != nil {
		return err
	}
	id, err := strconv.ParseInt(h.ID, 10, 64)
	if err != nil {
		return refuse("edit comment %q on %s: that is no comment", clip(h.ID, 40), p)
	}
	return d.g.updateNote(ctx, p, id, d.g.body(m))
}

// Find looks for a comment of Muster's own account by the key that is hidden in it.
func (d *Discussions) Find(ctx context.Context, m chat.Message) (chat.Handle, bool, error) {
	p, err := placeOf(m)
	if err != nil {
		return chat.Handle{}, false, nil // nothing like that was ever posted
	}
	n, err := d.find(ctx, p, func(mark marker) bool { return mark.key == encodeMark(m.Key) })
	if err != nil || n == nil {
		return chat.Handle{}, false, err
	}
	return chat.Handle{Channel: p.String(), ID: strconv.FormatInt(n.ID, 10)}, true, nil
}

// find looks for a comment of our own by its marker.
func (d *Discussions) find(ctx context.Context, p place, fits func(marker) bool) (*gl.Note, error) {
	me, err := d.g.me(ctx)
	if err != nil {
		return nil, err
	}
	return d.g.findNote(ctx, p, func(n *gl.Note) bool {
		return n.Author.ID == me.ID && !n.System && fits(markerOf(n.Body))
	})
}

// placeOf refuses what is not for everybody who sees a page.
func placeOf(m chat.Message) (place, error) {
	switch p, ok := parsePlace(m.Channel); {
	case m.Reply != "":
		return place{}, refuse("answer somebody alone: comments are for all who see the page")
	case m.Channel == "":
		return place{}, refuse("send a direct message: there are none")
	case !ok:
		return place{}, refuse("comment on %q: that is neither a merge request nor an issue", clip(m.Channel, 200))
	default:
		return p, nil
	}
}

// marker is what identifies a message in its comment: an HTML comment in its last line, which
// nobody sees.
type marker struct{ key, lasting string }

const (
	markBegin = "<!-- muster:"
	markEnd   = " -->"
)

func (m marker) String() string {
	if m.lasting != "" {
		return markBegin + m.key + " " + m.lasting + markEnd
	}
	return markBegin + m.key + markEnd
}

func markerFor(m chat.Message) marker {
	mark := marker{key: encodeMark(m.Key)}
	if m.Card.Lasting != "" {
		mark.lasting = encodeMark(m.Card.Lasting)
	}
	return mark
}

// markerOf reads the marker of a comment; an empty one if there is none.
func markerOf(body string) marker {
	body = strings.TrimRightFunc(body, unicode.IsSpace)
	line := body[strings.LastIndexByte(body, '\n')+1:]
	inside, begins := strings.CutPrefix(line, markBegin)
	inside, ends := strings.CutSuffix(inside, markEnd)
	if !begins || !ends {
		return marker{}
	}
	key, lasting, _ := strings.Cut(inside, " ")
	return marker{key, lasting}
}

// mostMark is how long a key is that is written as it is.
const mostMark = 500

// encodeMark writes text so that it may stand in an HTML comment and has no blanks: letters, digits
// and some signs as they are, all else as in the path of a URL. An empty one is written as a dot, and
// of a very long one its digest.
func encodeMark(text string) string {
	switch {
	case text == "":
		return "."
	case len(text) > mostMark:
		return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text)))
	}
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("/_.:@", c) >= 0 && text != ".":
			b.WriteByte(c)
		case c == '-' && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// lanes let one at a time pass for each name, and some names share one.
type lanes [16]chan struct{}

func newLanes() (l lanes) {
	for i := range l {
		l[i] = make(chan struct{}, 1)
	}
	return l
}

// enter waits until nobody else is in the lane of a name, or ctx ends.
func (l *lanes) enter(ctx context.Context, name string) (release func(), err error) {
	h := fnv.New32a()
	h.Write([]byte(name))
	lane := l[h.Sum32()%uint32(len(l))]
	select {
	case lane <- struct{}{}:
		return func() { <-lane }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// commandWord begins a line that is a command.
const commandWord = "/muster"

// mostCommands is how many commands of one comment are carried out.
const mostCommands = 10

// commands are the lines of a comment that are commands, without the word that they begin with. Lines
// that are quoted, or within a block of code, are none.
func commands(text string) []string {
	var all []string
	fence := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if fence != "" {
			if rest := strings.TrimLeft(line, fence[:1]); rest == "" && len(line) >= len(fence) {
				fence = ""
			}
			continue
		}
		if opening := fenceOf(line); opening != "" {
			fence = opening
			continue
		}
		if len(line) < len(commandWord) || !strings.EqualFold(line[:len(commandWord)], commandWord) {
			continue
		}
		rest := line[len(commandWord):]
		if r, _ := utf8.DecodeRuneInString(rest); rest != "" && !unicode.IsSpace(r) {
			continue // another word
		}
		if len(all) == mostCommands {
			break
		}
		all = append(all, oneLine(rest))
	}
	return all
}

// fenceOf is the fence that a line opens a block of code with.
func fenceOf(line string) string {
	for _, c := range []string{"`", "~"} {
		rest := strings.TrimLeft(line, c)
		if n := len(line) - len(rest); n >= 3 && (c == "~" || !strings.Contains(rest, "`")) {
			return line[:n]
		}
	}
	return ""
}

// oneLine is text on one line, without chat's marks and without what nobody sees.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(chat.Plain(text), "\ufffd"))
	return strings.TrimSpace(text)
}
