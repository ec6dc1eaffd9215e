package intake_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/bot/intake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
)

// page is a merge request: a card that lasts is one comment there, others are replies.
type page struct {
	chat.Poster
	lasting map[string]string // name → text
	replies []string
}

func (p *page) Post(_ context.Context, m chat.Message) (chat.Handle, error) {
	if m.Card.Lasting != "" {
		p.lasting[m.Channel+" "+m.Card.Lasting] = m.Card.Text
	} else {
		p.replies = append(p.replies, m.Card.Text)
	}
	return chat.Handle{Channel: m.Channel, ID: m.Key}, nil
}

func (p *page) Find(context.Context, chat.Message) (chat.Handle, bool, error) {
	return chat.Handle{}, false, nil
}

// lastingPlans gives plans the name that a bot gives them.
type lastingPlans struct{ chat.Poster }

func (p lastingPlans) Post(ctx context.Context, m chat.Message) (chat.Handle, error) {
	if strings.HasPrefix(m.Card.Text, "Plan ") {
		m.Card.Lasting = "plan/production"
	}
	return p.Poster.Post(ctx, m)
}

func TestPreview(t *testing.T) {
	catalog := shop()
	catalog.People = append(catalog.People, playbooks.Person{ID: "dev", Handles: map[string]string{"gitlab": "dev"}})
	catalog.Access = append(catalog.Access, playbooks.Access{Who: []string{"dev"}, Role: playbooks.Viewer})
	inHouse(t, catalog, func(t *testing.T, h *house) {
		p := &page{lasting: make(map[string]string)}
		logs := store.NewLogs(h.store)
		var b *bot.Bot
		var seen []chat.Event
		previews := intake.NewPreviews(logs, "gitlab", p, func(ctx context.Context, e chat.Event) error {
			seen = append(seen, e)
			return b.Receive(ctx, e)
		})
		b = bot.New(bot.Options{Engine: h.engine, Logs: logs, Chat: lastingPlans{previews}, System: "gitlab", Builds: h.registry, Zone: time.UTC})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		defer func() { cancel(); <-done }()
		say := func(id, text string) {
			t.Helper()
			if err := previews.Receive(t.Context(), chat.Event{ID: id, From: "dev", Channel: "shop/api!12", Thread: "t1", Text: text}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		changed := func(commit, state string) {
			t.Helper()
			err := previews.Changed(t.Context(), events.Event{
				Source: "gitlab", Kind: events.MergeRequest,
				Fields: map[string]string{"project": "shop/api", "number": "12", "action": "update", "commit": commit, "state": state},
			})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		changed("c0", "opened")
		say("1", "status")
		say("2", "plan nosuch to production")
		changed("c1", "opened")
		if len(seen) != 2 || len(p.lasting) != 0 || len(p.replies) != 2 {
			t.Fatalf("%d lines, %q, %q", len(seen), p.lasting, p.replies)
		}
		say("3", "plan db to production")
		say("4", "muster plan api@v1.9.0 to production") // takes the place of the first
		before := p.lasting["shop/api!12 plan/production"]
		changed("c2", "opened")
		changed("c2", "opened")
		if len(seen) != 6 || seen[4].ID != seen[5].ID || seen[4].From != "dev" || seen[4].Thread != "t1" || seen[4].Text != "muster plan api@v1.9.0 to production" {
			t.Fatalf("asked again is %+v", seen[4:])
		}
		if before == "" || p.lasting["shop/api!12 plan/production"] != before || len(p.replies) != 2 {
			t.Errorf("the preview is %q, was %q, and replied is %q", p.lasting, before, p.replies)
		}
		// What cannot be planned any more is said in its place.
		smaller := *catalog
		smaller.Modules = slices.DeleteFunc(slices.Clone(catalog.Modules), func(m playbooks.Module) bool { return m.Name == "api" || m.Name == "web" })
		h.engine.SetPolicy(playbooks.NewPolicy(&smaller))
		changed("c3", "opened")
		if got := p.lasting["shop/api!12 plan/production"]; !strings.Contains(got, "no plan yet") || len(p.replies) != 2 {
			t.Errorf("the preview says %q, and replied is %q", got, p.replies)
		}
		changed("c4", "merged")
		changed("c5", "merged")
		if len(seen) != 7 || h.keys("intake/preview/") != 0 {
			t.Errorf("a merge request that is over is asked about: %+v", seen[7:])
		}
	})
}
