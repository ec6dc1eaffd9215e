package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
)

// Train is what people see of a release train.
type Train struct {
	Name        string
	Environment string
	Next        time.Time // its next tick; zero: it has none
	Lead        time.Duration
	Departs     time.Time // of the candidate that waits; zero: none does
	Run         string    // of the last tick; empty: none was started
	Last        time.Time // the last tick; zero: there was none yet
	Why         string    // why Run is empty
	Left        []string  // what the last tick left behind, with the reason
}

// Timetable knows the release trains.
type Timetable interface {
	Trains(ctx context.Context) ([]Train, error)
}

func dutyCommands() []command {
	return []command{{
		name: "trains", also: []string{"train"}, verb: playbooks.VerbView,
		does:     "show the releases that leave by the clock, and what waits to depart",
		usage:    []string{"trains"},
		examples: []string{"trains"},
		run:      (*call).trains,
	}, {
		name: "oncall", also: []string{"on-call"}, verb: playbooks.VerbView,
		does:     "say who is on call for a module",
		usage:    []string{"oncall MODULE"},
		examples: []string{"oncall cart"},
		run:      (*call).oncall,
	}}
}

func (c *call) trains(ctx context.Context) (chat.Card, error) {
	if err := c.noMore(); err != nil {
		return chat.Card{}, err
	}
	var trains []Train
	if c.b.o.Timetable != nil {
		var err error
		if trains, err = c.b.o.Timetable.Trains(ctx); err != nil {
			return chat.Card{}, fmt.Errorf("trains: %w", err)
		}
	}
	trains = slices.DeleteFunc(trains, func(t Train) bool { return c.maySeePlace(t.Environment) != nil })
	if len(trains) == 0 {
		return chat.Card{Text: "No train runs. The configuration has them under trains:."}, nil
	}
	card := chat.Card{Text: fmt.Sprintf("%s.", countOf(len(trains), "train"))}
	section := chat.Section{}
	for _, t := range trains {
		item := chat.Item{Symbol: chat.SymbolPending, Text: t.Name + " to " + t.Environment, Detail: "never leaves: its schedule has no such day"}
		if !t.Next.IsZero() {
			item.Detail = "next at " + c.when(t.Next)
			if t.Lead > 0 {
				item.Detail += ", departs " + briefly(t.Lead) + " later"
			}
		}
		switch {
		case !t.Departs.IsZero() && t.Run != "":
			item.Symbol = chat.SymbolWaiting
			item.Detail = fmt.Sprintf("release %s departs at %s; %s", t.Run, c.when(t.Departs), item.Detail)
		case t.Run != "":
			item.Detail = fmt.Sprintf("release %s left at %s; %s", t.Run, c.when(t.Last), item.Detail)
		case t.Why != "":
			item.Detail = fmt.Sprintf("stayed at %s: %s; %s", c.when(t.Last), t.Why, item.Detail)
		}
		section.Items = append(section.Items, item)
		for _, left := range t.Left {
			section.Items = append(section.Items, chat.Item{Symbol: chat.SymbolSkipped, Text: "left behind: " + left})
		}
	}
	card.Sections = append(card.Sections, section)
	return card, nil
}

// when writes a time for the people of the chat.
func (c *call) when(t time.Time) string {
	return t.In(c.now.Location()).Format("Mon 2 Jan 15:04 MST")
}

func (c *call) oncall(ctx context.Context) (chat.Card, error) {
	m, err := c.oneModule()
	if err != nil {
		return chat.Card{}, err
	}
	if m.OnCall == "" {
		return chat.Card{Text: fmt.Sprintf("Nobody is on call for %s: the configuration names no schedule, as onCall:.", m.Name)}, nil
	}
	if c.b.o.Rota == nil {
		return chat.Card{}, errors.New("no pager is configured that knows who is on call; see server: pagerduty: token")
	}
	duties, err := c.b.o.Rota.OnCall(ctx, m.OnCall)
	if err != nil {
		return chat.Card{}, fmt.Errorf("on call for %s: %w", m.Name, err)
	}
	if len(duties) == 0 {
		return chat.Card{Text: fmt.Sprintf("Nobody is on call for %s now: its schedule %s has a gap.", m.Name, m.OnCall), Tone: chat.Waiting}, nil
	}
	var names []string
	for _, d := range duties {
		name := d.Name
		if name == "" {
			name = d.Email
		}
		// Who is a person of the catalog is called as everywhere.
		for i := range c.policy.Catalog().People {
			if p := &c.policy.Catalog().People[i]; p.Email != "" && p.Email == d.Email {
				name = mention(c.policy, p.ID)
			}
		}
		if !d.Until.IsZero() {
			name += " until " + c.when(d.Until)
		}
		names = append(names, name)
	}
	return chat.Card{Text: fmt.Sprintf("On call for %s: %s.", m.Name, enumerate(names, 6, "and"))}, nil
}
