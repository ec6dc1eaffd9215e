package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/textinput"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
)

// show runs the demo on a terminal: what was said scrolls up and stays, the
// boards of live runs are redrawn in place below it, and below them one types. It
// plays by itself unless talk is set.
func (d *demo) show(ctx context.Context, in io.Reader, out io.Writer, talk, color bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := newScreen(ctx, d, talk, color)
	// The context is not the program's: it is to leave as it does for a key.
	p := tea.NewProgram(s, tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler())
	defer context.AfterFunc(ctx, func() { p.Send(leaveMsg{}) })()
	played := make(chan struct{})
	go func() {
		defer close(played)
		if talk {
			d.openTalk(ctx)
			return
		}
		end, err := d.play(ctx)
		if ctx.Err() == nil {
			p.Send(endMsg{end, err})
		}
	}()
	_, err := p.Run()
	cancel()
	<-played
	switch {
	case err != nil:
		return fmt.Errorf("demo: %w", err)
	case s.left:
		fmt.Fprintln(out, d.farewell())
		if !talk {
			return said{exitFailed}
		}
		return nil
	}
	return s.err
}

// openTalk says the first line of a conversation, unless it was said before.
func (d *demo) openTalk(ctx context.Context) {
	if len(d.lines(me)) == 0 && pause(ctx, time.Second) {
		_ = d.say(d.opening()) // fails when the world is closed alone
	}
}

type (
	changedMsg struct{} // of the chat
	printedMsg struct{} // what was to be printed is on the terminal
	leaveMsg   struct{}
	endMsg     struct {
		stage stage
		err   error
	}
)

// screen is the model of the terminal, in the words of bubbletea.
type screen struct {
	d     *demo
	ctx   context.Context
	feed  feed
	input textinput.Model
	talk  bool
	color bool

	width, height int
	boards        []local.Posted
	hint          string // what to do next
	proposal      string // the line that Tab types

	pending  []string // to be printed, in order
	printing bool
	ending   bool // quit once everything is printed
	left     bool // somebody wanted to go
	err      error
}

func newScreen(ctx context.Context, d *demo, talk, color bool) *screen {
	s := &screen{d: d, ctx: ctx, talk: talk, color: color, input: textinput.New()}
	s.feed = feed{chat: d.world.Chat, color: color}
	s.input.Prompt = me + " › "
	s.input.CharLimit = 400
	s.input.ShowSuggestions = true
	s.input.Focus()
	return s
}

// Init implements tea.Model.
func (s *screen) Init() tea.Cmd { return textinput.Blink }

// Update implements tea.Model.
func (s *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var more tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		first := s.width == 0
		s.width, s.height = msg.Width, msg.Height
		s.feed.width = msg.Width
		s.input.Width = max(msg.Width-len([]rune(s.input.Prompt))-1, 10)
		if first {
			s.greet()
			more = s.catchUp()
		}
	case changedMsg:
		more = s.catchUp()
	case printedMsg:
		s.printing = false
	case tea.KeyMsg:
		more = s.key(msg)
	case leaveMsg:
		s.left, s.ending = true, true
	case endMsg:
		more = s.catchUp()
		word := ""
		if s.err = msg.err; s.err == nil {
			word, s.err = s.d.verdict(msg.stage)
		}
		s.print("\n" + s.paint("1", word) + "\n")
		s.ending = true
	default:
		s.input, more = s.input.Update(msg)
	}
	return s, tea.Batch(s.flush(), more)
}

// print puts text in line for the scrollback.
func (s *screen) print(text string) {
	if strings.TrimSpace(text) != "" {
		s.pending = append(s.pending, text)
	}
}

// flush prints what is in line, one piece after the other, and leaves when that
// was the last.
func (s *screen) flush() tea.Cmd {
	switch {
	case s.printing:
		return nil
	case len(s.pending) > 0:
		text := strings.TrimSuffix(strings.Join(s.pending, ""), "\n")
		s.pending, s.printing = nil, true
		return tea.Sequence(tea.Println(text), func() tea.Msg { return printedMsg{} })
	case s.ending:
		return tea.Quit
	}
	return nil
}

// catchUp reads the chat and waits for the next change there.
func (s *screen) catchUp() tea.Cmd {
	changed := s.d.world.Chat.Changed()
	news, boards := s.feed.read()
	for _, text := range news {
		s.print(text)
	}
	s.boards = boards
	s.advise()
	return func() tea.Msg {
		select {
		case <-changed:
			return changedMsg{}
		case <-s.ctx.Done():
			return nil
		}
	}
}

func (s *screen) key(msg tea.KeyMsg) tea.Cmd {
	switch msg.Type {
	case tea.KeyCtrlC, tea.KeyCtrlD:
		s.left, s.ending = true, true
		return nil
	}
	if !s.talk {
		return nil
	}
	switch {
	case msg.Type == tea.KeyTab && s.input.Value() == "" && s.proposal != "":
		s.input.SetValue(s.proposal)
		s.input.CursorEnd()
		return nil
	case msg.Type == tea.KeyEnter:
		line := strings.TrimSpace(s.input.Value())
		s.input.Reset()
		switch line {
		case "":
		case "quit", "exit", "bye":
			s.left, s.ending = true, true
		default:
			if err := s.d.say(line); err != nil {
				s.err, s.ending = err, true
			}
		}
		return nil
	}
	var cmd tea.Cmd
	s.input, cmd = s.input.Update(msg)
	return cmd
}

func (s *screen) greet() {
	if s.d.resumed {
		s.feed.skip()
		s.dimly(s.d.welcomeBack(s.ctx))
		return
	}
	text := "Muster, with a cluster, a forge, a tracker and a chat inside it. Nothing here is real, and nothing leaves this program."
	if s.talk {
		text += " You are an engineer of Online Boutique, a shop made of twelve services, in " + s.d.channel + " with ann and bob. Type as you would in your team's chat; quit leaves."
	}
	s.dimly(text)
}

// dimly prints what is no part of the conversation.
func (s *screen) dimly(text string) {
	drawn := local.Render(chat.Card{Text: text}, s.width, false)
	for line := range strings.Lines(drawn) {
		s.print(s.paint("2", strings.TrimSuffix(line, "\n")) + "\n")
	}
}

// advise finds out what could be typed next.
func (s *screen) advise() {
	st, err := s.d.stage(s.ctx)
	if err != nil {
		return // it is asked again after the next change
	}
	n := st.run
	propose := func(line, hint string) { s.proposal, s.hint = line, hint }
	switch {
	case !s.talk:
		propose("", "It plays by itself. ctrl-c leaves.")
	case n == "":
		propose("", "")
		for _, m := range s.d.world.Chat.Messages(s.d.channel) {
			if line, ok := button(m.Card, "release "); ok {
				propose(line, "Tab types it: start the release. ann and bob will be asked first.")
			}
		}
	case st.over && !st.back && st.outcome == playbooks.Succeeded:
		propose("rollback "+n, "The release is over. Take it back with rollback, look at history, or leave with ctrl-c.")
	case st.over:
		propose("history", "It is over. Look at history, plan again, or leave with ctrl-c.")
	case st.status == playbooks.StatusHeld:
		propose("why "+n, "Something went wrong. Ask why, then retry or rollback.")
	case st.status == playbooks.StatusWaiting:
		propose("why", "ann and bob look at it and answer in a moment. Ask why, or status.")
	default:
		propose("why", "It goes by itself. Ask why, status or who; pause or roll back. help lists everything.")
	}
	if s.color { // or else it would look like something that was typed
		s.input.Placeholder = s.proposal
	}
	lines := []string{s.proposal, s.d.opening(), "status", "history", "help", "catalog"}
	for _, m := range s.boards {
		for _, a := range m.Card.Actions {
			lines = append(lines, a.Command)
		}
	}
	s.input.SetSuggestions(lines)
}

func (s *screen) paint(style, text string) string {
	if !s.color || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// View implements tea.Model.
func (s *screen) View() string {
	if s.width == 0 || s.ending && !s.printing && len(s.pending) == 0 {
		return ""
	}
	var below strings.Builder
	if s.talk {
		below.WriteString(s.input.View() + "\n")
	}
	hints := strings.Split(ansi.Wordwrap(s.hint, s.width, ""), "\n")
	for i := range hints {
		hints[i] = s.paint("2", ansi.Truncate(hints[i], s.width, "…"))
	}
	below.WriteString(strings.Join(hints, "\n"))
	// An empty line is above the boards and one is below them.
	room := s.height - strings.Count(below.String(), "\n") - 3
	board := s.drawBoards(min(max(s.height*2/3, 12), room))
	if board != "" {
		board += "\n"
	}
	return "\n" + board + below.String()
}

// drawBoards draws the live boards in so many lines at the most.
func (s *screen) drawBoards(most int) string {
	if len(s.boards) == 0 {
		return ""
	}
	share := most / len(s.boards)
	var b strings.Builder
	for _, m := range s.boards {
		b.WriteString(fit(m.Card, s.width, share, s.color))
	}
	return b.String()
}

// fit draws a board in so many lines at the most: as it is, or with a line for
// each wave, or cut. What one can do about it is never cut.
func fit(c chat.Card, width, most int, color bool) string {
	text := local.Render(c, width, color)
	if strings.Count(text, "\n") > most {
		text = squeezed(c, width, color)
	}
	if strings.Count(text, "\n") <= most {
		return text
	}
	actions := local.Render(chat.Card{Actions: c.Actions}, width, color)
	if len(c.Actions) == 0 {
		actions = ""
	}
	c.Actions = nil
	lines := strings.SplitAfter(strings.TrimSuffix(squeezed(c, width, color), "\n"), "\n")
	kept := min(max(most-strings.Count(actions, "\n")-1, 1), len(lines))
	cut := ""
	if kept < len(lines) {
		cut = fmt.Sprintf("  … %d more lines: status shows all\n", len(lines)-kept)
	}
	return strings.Join(lines[:kept], "") + cut + actions
}

// squeezed draws a board with one line for each wave. The parts are drawn one by
// one, so that what moves in one does not move the columns of another.
func squeezed(c chat.Card, width int, color bool) string {
	var waves chat.Section
	head := c
	head.Sections, head.Actions = nil, nil
	for _, s := range c.Sections {
		if isWave(s.Heading) {
			waves.Items = append(waves.Items, waveItem(s))
		} else {
			head.Sections = append(head.Sections, s)
		}
	}
	text := local.Render(head, width, color)
	if len(waves.Items) > 0 {
		text += local.Render(chat.Card{Sections: []chat.Section{waves}}, width, color)
	}
	if len(c.Actions) > 0 {
		text += local.Render(chat.Card{Actions: c.Actions}, width, color)
	}
	return text
}

func isWave(heading string) bool {
	return strings.HasPrefix(heading, "Wave ") || strings.HasPrefix(heading, "Going back") || heading == "Modules"
}

// urgent are the symbols in the order in which one of them stands for a wave.
var urgent = []chat.Symbol{
	chat.SymbolFailed, chat.SymbolUnknown, chat.SymbolRunning, chat.SymbolWaiting,
	chat.SymbolPending, chat.SymbolUndone, chat.SymbolSkipped, chat.SymbolDone,
}

func waveItem(s chat.Section) chat.Item {
	counts := make(map[chat.Symbol]int)
	var names, open []string
	for _, i := range s.Items {
		counts[i.Symbol]++
		names = append(names, i.Text)
		if i.Symbol != chat.SymbolDone && i.Symbol != chat.SymbolUndone && i.Symbol != chat.SymbolSkipped {
			open = append(open, i.Text)
		}
	}
	item := chat.Item{Text: s.Heading, Detail: strings.Join(names, ", ")}
	for _, symbol := range urgent {
		if counts[symbol] > 0 {
			item.Symbol = symbol
			break
		}
	}
	done := len(names) - len(open)
	switch {
	case done > 2 && len(open) == 0:
		item.Detail = fmt.Sprintf("all %d", done)
	case done > 0 && len(open) > 0:
		if item.Symbol == chat.SymbolPending {
			item.Symbol = chat.SymbolRunning
		}
		item.Detail = fmt.Sprintf("%d of %d · %s", done, len(names), strings.Join(open, ", "))
	}
	return item
}
