package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"github.com/muster-release/muster/bot/chat"
)

// openTestDemo opens a demo in memory and starts it.
func openTestDemo(t *testing.T, f demoFlags) (*demo, context.Context) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	d, err := openDemo(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	d.app.Start(ctx)
	wait := d.colleagues(ctx)
	t.Cleanup(func() {
		cancel()
		wait()
		if err := d.app.Stop(); err != nil {
			t.Error(err)
		}
	})
	return d, ctx
}

// Whatever happens in a release, and on whatever terminal: nothing is wider than
// the screen, and what is redrawn fits into it.
func TestScreenFits(t *testing.T) {
	for _, size := range []struct{ width, height int }{{100, 45}, {60, 25}, {40, 16}} {
		t.Run(fmt.Sprintf("%dx%d", size.width, size.height), func(t *testing.T) {
			d, ctx := openTestDemo(t, demoFlags{speed: 60, to: "production", faults: []string{"checkoutservice=fail"}})
			s := newScreen(ctx, d, true, true)
			s.Update(tea.WindowSizeMsg{Width: size.width, Height: size.height})
			played := make(chan error, 1)
			go func() {
				_, err := d.play(ctx)
				played <- err
			}()
			for looks, over := 0, false; !over; looks++ {
				changed := d.world.Chat.Changed()
				s.Update(changedMsg{})
				s.Update(printedMsg{})
				view := s.View()
				if lines := strings.Count(view, "\n") + 1; lines > size.height {
					t.Fatalf("look %d takes %d lines:\n%s", looks, lines, view)
				}
				for _, m := range s.boards {
					for _, action := range m.Card.Actions {
						if !strings.Contains(ansi.Strip(view), "["+action.Command+"]") {
							t.Fatalf("look %d does not show %q:\n%s", looks, action.Command, view)
						}
					}
				}
				for line := range strings.SplitSeq(view+"\n"+strings.Join(s.pending, ""), "\n") {
					if ansi.StringWidth(line) > size.width {
						t.Fatalf("look %d: wider than the screen: %q", looks, line)
					}
				}
				select {
				case <-changed:
				case err := <-played:
					if err != nil {
						t.Fatal(err)
					}
					over = true
				case <-time.After(30 * time.Second):
					t.Fatal("nothing happens any more")
				}
			}
		})
	}
}

// What a person types is what is said, and Tab types what is proposed.
func TestScreenKeys(t *testing.T) {
	d, ctx := openTestDemo(t, demoFlags{speed: 1, to: "production"})
	s := newScreen(ctx, d, true, true)
	s.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
	press := func(keys ...tea.KeyMsg) {
		for _, k := range keys {
			s.Update(k)
		}
	}
	enter := tea.KeyMsg{Type: tea.KeyEnter}
	press(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(d.opening())}, enter, enter)
	deadline := time.After(30 * time.Second)
	for s.proposal == "" {
		changed := d.world.Chat.Changed()
		s.Update(changedMsg{})
		if s.proposal != "" {
			break
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatal("the plan was never shown")
		}
	}
	press(tea.KeyMsg{Type: tea.KeyTab}, enter)
	said := d.lines(me)
	if len(said) != 2 || said[0] != "plan all to production" || !strings.HasPrefix(said[1], "release ") {
		t.Errorf("said %q", said)
	}
	press(tea.KeyMsg{Type: tea.KeyCtrlC})
	if !s.left {
		t.Error("ctrl-c does not leave")
	}
}

func TestWaveItem(t *testing.T) {
	wave := func(symbols ...chat.Symbol) chat.Section {
		s := chat.Section{Heading: "Wave 1"}
		for i, symbol := range symbols {
			s.Items = append(s.Items, chat.Item{Symbol: symbol, Text: string(rune('a' + i))})
		}
		return s
	}
	for _, tt := range []struct {
		wave   chat.Section
		symbol chat.Symbol
		detail string
	}{
		{wave(chat.SymbolPending, chat.SymbolPending), chat.SymbolPending, "a, b"},
		{wave(chat.SymbolDone, chat.SymbolPending), chat.SymbolRunning, "1 of 2 · b"},
		{wave(chat.SymbolDone, chat.SymbolFailed, chat.SymbolRunning), chat.SymbolFailed, "1 of 3 · b, c"},
		{wave(chat.SymbolDone, chat.SymbolDone), chat.SymbolDone, "a, b"},
		{wave(chat.SymbolDone, chat.SymbolDone, chat.SymbolDone), chat.SymbolDone, "all 3"},
		{wave(chat.SymbolUndone), chat.SymbolUndone, "a"},
	} {
		got := waveItem(tt.wave)
		if got.Symbol != tt.symbol || got.Detail != tt.detail {
			t.Errorf("waveItem(%v) = %+v, want %q %q", tt.wave.Items, got, tt.symbol, tt.detail)
		}
	}
}
