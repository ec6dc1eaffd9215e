package gitlab

import (
	"slices"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/playbooks"
)

// TestVersionsThatNobodyToldOf finds versions by their tags, each module's own in a project
// with several, and their builds by the pipelines of the tags or of the commits they name.
func TestVersionsThatNobodyToldOf(t *testing.T) {
	inYard(t, yardOptions{
		pipeline: &gitlabfake.Definition{On: []string{"push"}, Jobs: []gitlabfake.Job{{Name: "build", Duration: time.Minute, Coverage: 80}}},
		module:   func(m *playbooks.Module) { m.TagPrefix = "cart/" },
	}, func(t *testing.T, y *yard) {
		y.catalog.Modules = append(y.catalog.Modules, playbooks.Module{Name: "tools", Source: cart, TagPrefix: "cart/tools/"})
		commit := y.Push(cart, gitlabfake.Commit{Message: "one", User: "ann", Files: map[string]string{"a": "1"}})
		time.Sleep(5 * time.Minute)
		for _, tag := range []string{"cart/v1.9.0", "cart/v1.10.0", "cart/tools/v3.0.0", "cart/nonsense", "v7.0.0", "cart/1.2.0"} {
			y.PushTag(cart, "ann", tag, commit, "")
		}
		got, err := y.g.Tagged(t.Context(), "cart", 10)
		if want := []string{"v1.10.0", "v1.9.0", "1.2.0"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("cart is tagged %v, %v, want %v", got, err, want)
		}
		if got, err := y.g.Tagged(t.Context(), "tools", 10); err != nil || !slices.Equal(got, []string{"v3.0.0"}) {
			t.Errorf("tools is tagged %v, %v", got, err)
		}
		if got, err := y.g.Tagged(t.Context(), "cart", 1); err != nil || !slices.Equal(got, []string{"v1.10.0"}) {
			t.Errorf("one tag is %v, %v", got, err)
		}
		b, found, err := y.g.BuildOf(t.Context(), "cart", "v1.10.0")
		if err != nil || !found || b.Version != "v1.10.0" || b.Commit != commit || b.State != playbooks.BuildPassed || b.Coverage != 80 {
			t.Errorf("the build is %+v, %v, %v", b, found, err)
		}
		if b, found, err := y.g.BuildOf(t.Context(), "cart", "v4.0.0"); err != nil || found {
			t.Errorf("of a version that has no tag there is %+v, %v, %v", b, found, err)
		}
		other := y.Push(cart, gitlabfake.Commit{Branch: "more", Message: "two", User: "ann", Files: map[string]string{"a": "2"}})
		y.PushTag(cart, "ann", "cart/v1.11.0", other, "")
		if b, found, err := y.g.BuildOf(t.Context(), "cart", "v1.11.0"); err != nil || found {
			t.Errorf("of a pipeline that runs there is %+v, %v, %v", b, found, err)
		}
	})
}
