package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/local"
)

// plain plays the demo by itself, for pipes and files: only what is new, without
// colour.
func (d *demo) plain(ctx context.Context, out io.Writer, width int) error {
	p := &plainPrinter{out: out, feed: feed{chat: d.world.Chat, width: width}, shown: make(map[string]chat.Card)}
	p.feed.ended = p.ended
	if d.resumed {
		p.feed.skip()
		p.print(d.welcomeBack(ctx) + "\n")
	}
	played := make(chan error, 1)
	var end stage
	go func() {
		var err error
		end, err = d.play(ctx)
		played <- err
	}()
	for {
		changed := d.world.Chat.Changed()
		p.catchUp()
		select {
		case <-changed:
		case err := <-played:
			p.catchUp()
			if p.err == nil && ctx.Err() != nil {
				p.print("\n" + d.farewell() + "\n")
				return said{exitFailed}
			}
			if err != nil {
				return err
			}
			word, err := d.verdict(end)
			if word != "" {
				p.print("\n" + word + "\n")
			}
			if err == nil {
				err = p.err
			}
			return err
		}
	}
}

// plainPrinter remembers what it has shown of each board.
type plainPrinter struct {
	out   io.Writer
	feed  feed
	shown map[string]chat.Card
	begun bool
	err   error
}

func (p *plainPrinter) print(text string) {
	if !p.begun {
		text = strings.TrimLeft(text, "\n")
		p.begun = p.begun || text != ""
	}
	if _, err := io.WriteString(p.out, text); err != nil && p.err == nil {
		p.err = fmt.Errorf("demo: write: %w", err)
	}
}

// ended is the last that is printed of a board: what has changed since it was
// printed, and how it ended.
func (p *plainPrinter) ended(m local.Posted) string {
	text := ""
	if before, known := p.shown[m.ID]; known {
		text = changes(before, m.Card)
	}
	delete(p.shown, m.ID)
	return text + "\n" + local.Render(m.Card, p.feed.width, false)
}

// catchUp prints what is new. A board is printed as a whole when the run's
// status is another one, and else in lines about what has changed.
func (p *plainPrinter) catchUp() {
	news, boards := p.feed.read()
	for _, text := range news {
		p.print(text)
	}
	for _, m := range boards {
		before, known := p.shown[m.ID]
		p.shown[m.ID] = m.Card
		if known {
			p.print(changes(before, m.Card))
		}
		if known && before.Title == m.Card.Title {
			continue
		}
		card := m.Card
		card.Actions = nil
		p.print("\n" + squeezed(card, p.feed.width, false))
	}
}
