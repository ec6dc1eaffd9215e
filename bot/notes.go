package bot

import (
	"context"
	"fmt"
	"strings"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

func notesCommands() []command {
	return []command{{
		name: "notes", also: []string{"changelog"}, verb: playbooks.VerbView,
		does:     "show what a release brings, by module: stories, merge requests, commits",
		usage:    []string{"notes RUN", "notes DIGEST"},
		examples: []string{"notes 12"},
		run:      (*call).notes,
	}}
}

// notesLines is how many changes are listed before they are counted.
const notesLines = 60

func (c *call) notes(ctx context.Context) (chat.Card, error) {
	if len(c.args.words) == 1 && isDigest(c.args.peek().text) {
		pb, err := c.b.o.Engine.FindPlan(ctx, c.args.next().text)
		if err != nil {
			return chat.Card{}, err
		}
		if refusal := c.maySeePlace(pb.Environment, moduleNames(pb)...); refusal != nil {
			return chat.Card{}, refusal
		}
		return notesCard("Plan "+pb.Digest.Short(), pb), nil
	}
	run, err := c.named(ctx)
	if err != nil {
		return chat.Card{}, err
	}
	if run == "" {
		return chat.Card{}, c.misused("The notes of which release?")
	}
	if err := c.noMore(); err != nil {
		return chat.Card{}, err
	}
	var card chat.Card
	err = c.view(ctx, run, func(v engine.View) error {
		card = notesCard(runTitle(v.Run), v.Run.Forward().Book.Playbook)
		return nil
	})
	return card, err
}

// notesCard tells what a playbook brings.
func notesCard(title string, pb *playbooks.Playbook) chat.Card {
	notes := playbooks.NewReleaseNotes(pb)
	card := chat.Card{Text: fmt.Sprintf("%s: what is new in %s.", title, countOf(len(notes.Modules), "module"))}
	left := notesLines
	for i := range notes.Modules {
		m := &notes.Modules[i]
		if left <= 0 {
			card.Sections = append(card.Sections, chat.Section{Text: fmt.Sprintf("… and %s more", countOf(len(notes.Modules)-i, "module"))})
			break
		}
		section := chat.Section{Heading: strings.TrimSpace(m.Module + " " + m.Version)}
		if m.From != "" {
			section.Heading += ", since " + m.From
		}
		for _, g := range m.Groups {
			for _, note := range g.Notes {
				var refs []string
				for _, r := range note.Refs {
					refs = append(refs, r.Name)
				}
				section.Items = append(section.Items, chat.Item{Symbol: noteSymbol(g.Kind), Text: onOneLine(note.Text), Detail: strings.Join(refs, ", ")})
			}
		}
		section.Items = atMost(section.Items, left)
		left -= len(section.Items)
		switch {
		case m.Unknown != "":
			section.Text = m.Unknown
		case len(section.Items) == 0:
			section.Text = "Nothing is known of what changed."
		}
		card.Sections = append(card.Sections, section)
	}
	return card
}

// newsLines are release notes as plain text, a change a line. Modules of which nothing is known
// are left out.
func newsLines(notes playbooks.ReleaseNotes) []string {
	var lines []string
	for i := range notes.Modules {
		m := &notes.Modules[i]
		if len(m.Groups) == 0 {
			continue
		}
		lines = append(lines, fmt.Sprintf("New in %s %s:", m.Module, m.Version))
		for _, g := range m.Groups {
			for _, note := range g.Notes {
				var refs []string
				for _, r := range note.Refs {
					refs = append(refs, r.Name)
				}
				lines = append(lines, fmt.Sprintf("- %s: %s (%s)", noteWords[g.Kind], onOneLine(note.Text), strings.Join(refs, ", ")))
			}
		}
	}
	if len(lines) > finalNews {
		lines = append(lines[:finalNews], fmt.Sprintf("… and %d more lines, in the releases of the forge", len(lines)-finalNews))
	}
	return lines
}

// finalNews is how many lines of notes the report at the end has.
const finalNews = 150

var noteWords = map[playbooks.ChangeKind]string{
	playbooks.Breaking: "breaking", playbooks.Feature: "feature", playbooks.Fix: "fix", playbooks.OtherChange: "change",
}

// noteSymbol marks what breaks something; all else is just told.
func noteSymbol(kind playbooks.ChangeKind) chat.Symbol {
	if kind == playbooks.Breaking {
		return chat.SymbolFailed
	}
	return chat.SymbolNone
}

// newsKeys is how many stories are named before they are counted.
const newsKeys = 4

// newsWords says in a few words what a module brings; nothing where that is not known.
func newsWords(c *playbooks.Changes) string {
	if c == nil {
		return ""
	}
	var parts []string
	if n := len(c.Commits) + c.More; n > 0 {
		words := countOf(n, "commit")
		if len(c.Authors) > 0 {
			words += " by " + enumerate(c.Authors, 3, "and")
		}
		parts = append(parts, words)
	}
	var keys []string
	for i := range c.Stories {
		keys = append(keys, c.Stories[i].Key)
	}
	if len(keys) > 0 {
		parts = append(parts, enumerate(keys, newsKeys, "and"))
	}
	if c.Unknown != "" {
		parts = append(parts, onOneLine(c.Unknown))
	}
	return strings.Join(parts, "; ")
}

// moveAndNews is what a module's line of a plan says of it.
func moveAndNews(m *playbooks.PlannedModule) string {
	if news := newsWords(m.Changes); news != "" {
		return m.Move() + ": " + news
	}
	return m.Move()
}

// configChanges are the configuration files that a plan changes.
func configChanges(pb *playbooks.Playbook) []chat.Section {
	var items []chat.Item
	for i := range pb.Modules {
		m := &pb.Modules[i]
		if m.Changes == nil {
			continue
		}
		for _, f := range m.Changes.Config {
			state := f.State
			if state == "" {
				state = fmt.Sprintf("+%d −%d lines", f.Added, f.Removed)
			}
			items = append(items, chat.Item{Text: m.Name + ": " + f.Path, Detail: state})
		}
	}
	if len(items) == 0 {
		return nil
	}
	return []chat.Section{{Heading: "Configuration that changes", Items: atMost(items, requestWarnings)}}
}
