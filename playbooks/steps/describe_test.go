package steps_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// archive knows the changes of some modules by heart.
type archive map[string]playbooks.Changes

func (a archive) Changes(_ context.Context, q steps.ChangesQuery) (playbooks.Changes, error) {
	c, ok := a[q.Module.Name]
	switch {
	case q.Module.Name == "broken":
		panic("no such thing")
	case !ok:
		return c, errors.New("the forge does not answer")
	}
	c.From = q.From.Version
	return c, nil
}

type librarian struct{ err error }

func (l librarian) Stories(_ context.Context, keys []string) ([]playbooks.Story, error) {
	var all []playbooks.Story
	for _, key := range keys {
		all = append(all, playbooks.Story{Key: key, Title: "about " + key, Status: "Done"})
	}
	return all, l.err
}

func (librarian) StoryKeys(text string) []string {
	var keys []string
	for word := range strings.FieldsSeq(text) {
		if strings.HasPrefix(word, "SHOP-") {
			keys = append(keys, word)
		}
	}
	return keys
}

func TestDescribe(t *testing.T) {
	synctest.Test(t, testDescribe)
}

func testDescribe(t *testing.T) {
	catalog := &playbooks.Catalog{Modules: []playbooks.Module{
		{Name: "cart", Source: "shop/cart"}, {Name: "mail", Source: "shop/mail"}, {Name: "broken", Source: "shop/broken"}, {Name: "redis"},
	}}
	plan := func() *playbooks.Playbook {
		return &playbooks.Playbook{Modules: []playbooks.PlannedModule{
			{Name: "broken", Version: "v2"}, {Name: "cart", Version: "v2", From: []playbooks.From{{Target: "eu"}, {Target: "us", Version: "v1"}}},
			{Name: "mail", Version: "v2"}, {Name: "redis", Version: "v7"},
		}}
	}
	history := archive{"cart": {
		Commits:       []playbooks.Commit{{Title: "SHOP-2 tidy"}},
		MergeRequests: []playbooks.MergeRequest{{Title: "SHOP-1 keep carts", Branch: "SHOP-2 and SHOP-1"}},
	}}
	pb := plan()
	steps.Describe(history, librarian{}, nil)(t.Context(), catalog, pb)
	cart := pb.Modules[1].Changes
	if cart == nil || cart.From != "v1" || cart.To != "v2" || len(cart.Stories) != 2 || cart.Stories[0].Key != "SHOP-1" || cart.Unknown != "" {
		t.Errorf("the cart's changes are %+v", cart)
	}
	if mail := pb.Modules[2].Changes; mail == nil || !strings.Contains(mail.Unknown, "the forge does not answer") {
		t.Errorf("the mail's changes are %+v", mail)
	}
	if broken := pb.Modules[0].Changes; broken == nil || !strings.Contains(broken.Unknown, "a port broke") {
		t.Errorf("the changes of what breaks are %+v", broken)
	}
	if pb.Modules[3].Changes != nil {
		t.Error("something is said of a module without a source")
	}
	pb = plan()
	steps.Describe(history, librarian{errors.New("the tracker is down")}, nil)(t.Context(), catalog, pb)
	if cart := pb.Modules[1].Changes; len(cart.Commits) != 1 || !strings.Contains(cart.Unknown, "SHOP-1 SHOP-2") || !strings.Contains(cart.Unknown, "the tracker is down") {
		t.Errorf("without the tracker the changes are %+v", cart)
	}
}
