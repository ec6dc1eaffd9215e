package slackfake

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Help says which lines Do takes.
const Help = `U0001 #releases> /muster status       a slash command; people by ID or name
ann #releases> @muster status         a message; "ann dm>" is the direct message with the app
ann #releases/1700000000.000100> hi   a message in a thread
ann presses Approve on 1700000000.000100
ann searches modules cart             in the modal that is open
ann sends modules=cart,ledger environment=staging
ann closes                            the modal
ann deletes 1700000000.000100
page                                  everything, as text
help`

// Do carries out one line of a conversation, such as "ann #releases> /muster status", and
// returns what there is to say of it. A dialog that Slack would show is answered yes.
func (w *Workspace) Do(line string) (string, error) {
	line = strings.TrimSpace(line)
	switch line {
	case "":
		return "", nil
	case "help":
		return Help, nil
	case "page":
		return w.page(), nil
	}
	who, rest, _ := strings.Cut(line, " ")
	user := w.who(who)
	if user == "" {
		return "", fmt.Errorf("slackfake: there is no user %q; try help", who)
	}
	if where, text, found := strings.Cut(rest, ">"); found && !strings.Contains(where, " ") {
		channel, thread, _ := strings.Cut(where, "/")
		if channel == "dm" {
			channel = ""
		}
		return w.speak(user, channel, thread, strings.TrimSpace(text))
	}
	verb, what, _ := strings.Cut(rest, " ")
	switch verb {
	case "presses":
		i := strings.LastIndex(what, " on ")
		if i < 0 {
			return "", fmt.Errorf("slackfake: %q: want presses LABEL on TS", line)
		}
		ts := what[i+len(" on "):]
		m, found := w.Message("", ts)
		if !found {
			if m, found = w.anywhere(ts); !found {
				return "", fmt.Errorf("slackfake: there is no message %q", ts)
			}
		}
		d, err := w.PressConfirmed(user, m.Channel, ts, what[:i])
		return d.line(), err
	case "deletes":
		m, found := w.anywhere(what)
		if !found {
			return "", fmt.Errorf("slackfake: there is no message %q", what)
		}
		return "", w.Delete(user, m.Channel, what)
	case "searches", "sends", "closes":
		return w.modal(user, verb, what)
	}
	return "", fmt.Errorf("slackfake: %q is not understood; try help", line)
}

func (w *Workspace) speak(user, channel, thread, text string) (string, error) {
	if strings.HasPrefix(text, "/") {
		if thread != "" {
			return "", fmt.Errorf("slackfake: slash commands cannot be typed in threads")
		}
		d, err := w.Slash(user, channel, text)
		return d.line(), err
	}
	_, d, err := w.Say(user, channel, thread, text)
	return d.line(), err
}

func (w *Workspace) modal(user, verb, what string) (string, error) {
	open := w.Views(user)
	if len(open) == 0 {
		return "", fmt.Errorf("slackfake: %q has no modal open", user)
	}
	v := open[len(open)-1]
	switch verb {
	case "searches":
		block, typed, _ := strings.Cut(what, " ")
		options, d, err := w.Suggest(user, v.ID, block, typed)
		lines := []string{d.line()}
		for _, o := range options {
			lines = append(lines, "  "+o.Value+": "+o.Label)
		}
		return strings.Join(lines, "\n"), err
	case "closes":
		d, err := w.CloseView(user, v.ID)
		return d.line(), err
	}
	values := map[string][]string{}
	last := ""
	for word := range strings.FieldsSeq(what) {
		if block, value, found := strings.Cut(word, "="); found {
			last, values[block] = block, strings.Split(value, ",")
		} else if all := values[last]; len(all) > 0 {
			all[len(all)-1] += " " + word
		}
	}
	s, err := w.Submit(user, v.ID, values)
	lines := []string{s.Delivery.line()}
	for block, wrong := range s.Errors {
		lines = append(lines, "  "+block+": "+wrong)
	}
	if s.Trouble != "" {
		lines = append(lines, "  "+s.Trouble)
	}
	return strings.Join(lines, "\n"), err
}

func (d Delivery) line() string {
	switch {
	case d.N == 0:
		return ""
	case d.Acked:
		return fmt.Sprintf("  (%s acknowledged in %d ms)", d.Type, d.Latency.Milliseconds())
	}
	return fmt.Sprintf("  (%s not acknowledged: %s)", d.Type, d.Error)
}

func (w *Workspace) who(name string) string {
	for _, u := range w.Users() {
		if u.ID == name || u.Name == name {
			return u.ID
		}
	}
	return ""
}

func (w *Workspace) anywhere(ts string) (Message, bool) {
	for _, c := range w.Channels() {
		if m, found := w.Message(c.ID, ts); found {
			return m, true
		}
	}
	return Message{}, false
}

// page is everything there is to see, as text.
func (w *Workspace) page() string {
	var b strings.Builder
	for _, c := range w.Channels() {
		for _, m := range w.Messages(c.ID) {
			b.WriteString(w.entry(m))
		}
	}
	for _, u := range w.Users() {
		for _, m := range w.Ephemerals(u.ID) {
			b.WriteString(w.entry(m))
		}
		for _, v := range w.Views(u.ID) {
			b.WriteString(w.viewEntry(v))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (w *Workspace) entry(m Message) string {
	names := w.names()
	name := func(id string) string {
		if n := names[id]; n != "" {
			return n
		}
		return id
	}
	head := "#" + name(m.Channel)
	if strings.HasPrefix(m.Channel, "D") {
		head = "dm " + m.Channel
	}
	head += " " + m.TS
	if m.ThreadTS != "" && m.ThreadTS != m.TS {
		head += " below " + m.ThreadTS
	}
	head += " " + name(m.User)
	if m.EphemeralTo != "" {
		head += ", only for " + name(m.EphemeralTo)
	}
	if m.Edits > 0 {
		head += fmt.Sprintf(" (edited %d)", m.Edits)
	}
	return head + "\n    " + strings.ReplaceAll(w.Plain(m), "\n", "\n    ") + "\n"
}

func (w *Workspace) viewEntry(v View) string {
	return v.ID + ", open for " + w.names()[v.User] + "\n    " + strings.ReplaceAll(v.Plain(), "\n", "\n    ") + "\n"
}

// Watch writes messages and modals to out as they appear and change, until ctx ends.
func (w *Workspace) Watch(ctx context.Context, out io.Writer) error {
	seen := map[string]string{}
	show := func(key, text string) error {
		if seen[key] == text {
			return nil
		}
		seen[key] = text
		_, err := io.WriteString(out, text)
		return err
	}
	for {
		changed := w.Changed()
		for _, c := range w.Channels() {
			for _, m := range w.Messages(c.ID) {
				if err := show(m.Channel+m.TS, w.entry(m)); err != nil {
					return err
				}
			}
		}
		for _, u := range w.Users() {
			for _, m := range w.Ephemerals(u.ID) {
				if err := show(m.Channel+m.TS, w.entry(m)); err != nil {
					return err
				}
			}
			for _, v := range w.Views(u.ID) {
				if err := show(v.ID, w.viewEntry(v)); err != nil {
					return err
				}
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// Converse carries out the lines of in and writes what happens to out, until in ends or
// ctx does.
func (w *Workspace) Converse(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	out = &locked{out: out}
	var watching sync.WaitGroup
	watching.Go(func() { _ = w.Watch(ctx, out) })
	defer watching.Wait()
	defer cancel()
	lines := bufio.NewScanner(in)
	for ctx.Err() == nil && lines.Scan() {
		said, err := w.Do(lines.Text())
		if err != nil {
			said = strings.TrimPrefix(err.Error(), "slackfake: ")
		}
		if said != "" {
			fmt.Fprintln(out, said)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("slackfake: read conversation: %w", err)
	}
	return nil
}

// locked lets several write whole pieces.
type locked struct {
	mu  sync.Mutex
	out io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}
