package gitlab

import (
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

func inCartFolder(m *playbooks.Module) { m.TagPrefix, m.Path = "cart/", "cart" }

func TestTagIsMadeOnce(t *testing.T) {
	eachWriteGoesWrong(t, yardOptions{module: inCartFolder}, func(y *yard) {
		o := y.order(playbooks.StepTag, "v1.0.0")
		o.Params = map[string]string{playbooks.ParamCommit: y.push("This")}
		y.push("And that")
		if r, attempts, err := y.carry(y.g.Tagger(), o); err != nil || r.Phase != steps.Succeeded {
			y.t.Errorf("after %d attempts: %+v, %v", attempts, r, err)
		}
	}, func(t *testing.T, y *yard) {
		tags := y.Tags(cart)
		if len(tags) != 1 || tags[0] != "cart/v1.0.0" || y.Head(cart, "cart/v1.0.0") == y.Head(cart, "main") {
			t.Errorf("tags: %q", tags)
		}
	})
}

func TestTag(t *testing.T) {
	inYard(t, yardOptions{module: inCartFolder}, func(t *testing.T, y *yard) {
		tagger, o := y.g.Tagger(), y.order(playbooks.StepTag, "v1.0.0")
		if _, err := tagger.Start(t.Context(), o); !isPermanent(err) || !strings.Contains(err.Error(), "nobody knows which commit it is") {
			t.Errorf("without a build: %v", err)
		}
		first := y.push("This")
		y.registered("v1.0.0", first, "main")
		for range 2 { // as often as you like
			r, err := tagger.Start(t.Context(), o)
			if err != nil || r.Phase != steps.Succeeded || r.Evidence[0].Link != "https://git.example.com/sub/"+cart+"/-/tags/cart/v1.0.0" {
				t.Errorf("start: %+v, %v", r, err)
			}
		}
		if r, err := tagger.Look(t.Context(), o); err != nil || r.Phase != steps.Succeeded {
			t.Errorf("look: %+v, %v", r, err)
		}

		// The name is taken.
		o.Params = map[string]string{playbooks.ParamCommit: y.push("That")}
		_, err := tagger.Start(t.Context(), o)
		if !isPermanent(err) {
			t.Fatal(err)
		}
		wantWords(t, err.Error(), `tag "cart/v1.0.0"`, first, o.Params[playbooks.ParamCommit])
		if r, err := tagger.Look(t.Context(), o); err != nil || r.Phase != steps.Failed {
			t.Errorf("look: %+v, %v", r, err)
		}

		// There is none, and after a while there never will be.
		o = y.order(playbooks.StepTag, "v1.0.1")
		if r, err := tagger.Look(t.Context(), o); err != nil || r.Phase != steps.Running || r.CheckAfter <= 0 {
			t.Errorf("look: %+v, %v", r, err)
		}
		time.Sleep(settledAfter)
		if r, err := tagger.Look(t.Context(), o); err != nil || r.Phase != steps.Absent {
			t.Errorf("look: %+v, %v", r, err)
		}
		if err := tagger.Stop(t.Context(), o); err != nil {
			t.Error(err)
		}

		// A project that is not to be seen is not one without the tag.
		y.module().Source = "shop/backend/other"
		if r, err := tagger.Look(t.Context(), o); !isPermanent(err) || r.Phase == steps.Absent {
			t.Errorf("look: %+v, %v", r, err)
		}
	})
}

// TestTagRaces lets somebody else make the tag in the moment that it is made.
func TestTagRaces(t *testing.T) {
	for _, same := range []bool{true, false} {
		inYard(t, yardOptions{module: inCartFolder}, func(t *testing.T, y *yard) {
			mine, theirs := y.push("This"), y.push("That")
			if same {
				theirs = mine
			}
			y.SetFault(func(c gitlabfake.Call) gitlabfake.Fault {
				if c.Method == "POST" {
					y.PushTag(cart, "ann", "cart/v1.0.0", theirs, "")
				}
				return gitlabfake.Fault{}
			})
			o := y.order(playbooks.StepTag, "v1.0.0")
			o.Params = map[string]string{playbooks.ParamCommit: mine}
			r, err := y.g.Tagger().Start(t.Context(), o)
			if same && (err != nil || r.Phase != steps.Succeeded) || !same && (!isPermanent(err) || !strings.Contains(err.Error(), theirs)) {
				t.Errorf("same %v: %+v, %v", same, r, err)
			}
		})
	}
}
