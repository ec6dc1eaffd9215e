package bot

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
)

// manyVersions is how many versions are listed.
const manyVersions = 10

func (c *call) versions(ctx context.Context) (chat.Card, error) {
	m, err := c.oneModule()
	if err != nil {
		return chat.Card{}, err
	}
	where := make(map[string][]string) // version → places
	var live []string
	for i := range c.policy.Catalog().Environments {
		env := &c.policy.Catalog().Environments[i]
		if c.maySeePlace(env.Name, m.Name) != nil {
			continue
		}
		err := c.b.o.Engine.Environment(ctx, env.Name, func(state *playbooks.EnvironmentState) {
			for _, place := range c.policy.Catalog().Places(env, m) {
				if l, ok := state.Live[place]; ok && l.Version != "" {
					name := strings.TrimSpace(env.Name + " " + place.Target)
					where[l.Version] = append(where[l.Version], name)
					live = append(live, fmt.Sprintf("%s has %s", name, l.Version))
				}
			}
		})
		if err != nil {
			return chat.Card{}, err
		}
	}
	card := chat.Card{Text: m.Name + ": Muster has not released it yet."}
	if len(live) > 0 {
		card.Text = fmt.Sprintf("%s: %s.", m.Name, enumerate(live, 4, "and"))
	}
	if c.b.o.Builds == nil {
		return card, nil
	}
	builds, err := c.b.o.Builds.Versions(ctx, m.Name, manyVersions)
	if err != nil {
		return chat.Card{}, fmt.Errorf("versions of %q: %w", m.Name, err)
	}
	if len(builds) == 0 {
		card.Text += " No builds of it are known."
		return card, nil
	}
	section := chat.Section{Heading: "Built, the newest first"}
	for _, build := range builds {
		item := chat.Item{Symbol: buildSymbol(build.State), Text: build.Version, Detail: buildWords(&build, c.now.Location())}
		if places := where[build.Version]; len(places) > 0 {
			item.Detail += ", live in " + enumerate(places, 4, "and")
		}
		section.Items = append(section.Items, item)
	}
	card.Sections = append(card.Sections, section)
	return card, nil
}

// buildWords says what is known of a build: its state, what it was made of, what came out.
func buildWords(b *playbooks.BuildState, zone *time.Location) string {
	words := []string{b.State}
	if b.Commit != "" {
		of := "of " + b.Commit[:min(len(b.Commit), 8)]
		if b.Ref != "" && b.Ref != b.Version {
			of += " (" + b.Ref + ")"
		}
		words = append(words, of)
	}
	if !b.At.IsZero() {
		words = append(words, b.At.In(zone).Format("2 Jan 15:04"))
	}
	if b.Tests != "" {
		words = append(words, b.Tests)
	}
	if b.Coverage > 0 {
		words = append(words, fmt.Sprintf("%.1f %% covered", b.Coverage))
	}
	switch {
	case b.Digest != "":
		words = append(words, "image "+abbreviated(b.Digest))
	case b.Checksum != "":
		words = append(words, "checksum "+abbreviated(b.Checksum))
	}
	return onOneLine(strings.Join(words, ", "))
}

// abbreviated is enough of a digest to compare by eye.
func abbreviated(digest string) string {
	algorithm, sum, found := strings.Cut(digest, ":")
	if !found {
		return algorithm[:min(len(algorithm), 12)]
	}
	return algorithm + ":" + sum[:min(len(sum), 12)]
}

func buildSymbol(state string) chat.Symbol {
	switch state {
	case "passed":
		return chat.SymbolDone
	case "failed":
		return chat.SymbolFailed
	case "running":
		return chat.SymbolRunning
	}
	return chat.SymbolUnknown
}
