package playbooks_test

import (
	"strings"
	"testing"

	"github.com/muster-release/muster/playbooks"
)

// Where a need was found is shown where nobody gave a reason, and moves no digest.
func TestSourcesOfNeeds(t *testing.T) {
	plain, sourced := shop(), shop()
	for i := range sourced.Modules {
		for k := range sourced.Modules[i].Needs {
			plain.Modules[i].Needs[k].Reason = ""
			n := &sourced.Modules[i].Needs[k]
			n.Reason, n.Source = "", "go.mod:12"
		}
	}
	want, have := mustCompile(t, plain, everything, playbooks.Facts{}), mustCompile(t, sourced, everything, playbooks.Facts{})
	if want.Digest != have.Digest {
		t.Error("where a need was found moves the digest")
	}
	var text strings.Builder
	if err := playbooks.WriteText(&text, have); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "(go.mod:12)") || !strings.Contains(encode(t, have), "must be live and healthy first (go.mod:12)") {
		t.Errorf("the plan does not say where its needs were found:\n%s", text.String())
	}

	for i := range sourced.Modules {
		for k := range sourced.Modules[i].Needs {
			sourced.Modules[i].Needs[k].Reason = "somebody knows why"
		}
	}
	if raw := encode(t, mustCompile(t, sourced, everything, playbooks.Facts{})); strings.Contains(raw, "go.mod:12") || !strings.Contains(raw, "somebody knows why") {
		t.Error("a reason that somebody gave does not come first")
	}
}
