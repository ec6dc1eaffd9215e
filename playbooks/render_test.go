package playbooks_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/playbooks"
)

var update = flag.Bool("update", false, "write the golden files anew")

var writers = map[string]func(io.Writer, *playbooks.Playbook) error{
	"txt": playbooks.WriteText, "mermaid": playbooks.WriteMermaid, "dot": playbooks.WriteDot,
}

func golden(t *testing.T, name string, have []byte) {
	t.Helper()
	file := filepath.Join("testdata", "plans", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, have, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s differs; -update writes it anew. Have:\n%s", file, have)
	}
}

func TestGoldenPlans(t *testing.T) {
	both := []string{"eu", "us"}
	boutique := graphCatalog(t, "testdata/graphs/microservices-online-boutique.json")
	boutique.Environments[0].Approvals = &playbooks.ApprovalPolicy{Rules: []playbooks.ApprovalRule{{Group: "release-managers", Count: 1}}}
	circle := shop()
	circle.Cycles = playbooks.ReleaseTogether
	circle.Modules[2].Needs = needs("cart")
	tests := []struct {
		name  string
		c     *playbooks.Catalog
		req   playbooks.Request
		facts playbooks.Facts
		kinds []string
	}{
		{"boutique", boutique, everything, playbooks.Facts{Known: []string{"production"}, Live: live("production", []string{""}, "adservice=v0.9.0", "redis-cart=v1.0.0", "frontend=v0.9.1")}, []string{"txt", "mermaid", "dot"}},
		{"shop", shop(), request("cart", "redis", "protocol", "reports"), playbooks.Facts{
			At: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), Known: []string{"staging", "production"},
			Live: append(live("staging", []string{""}, "cart=v1.1.0", "redis=v7.1.0", "protocol=v2.0.0", "reports=v1.0.0"),
				live("production", both, "cart=v1.0.0", "redis=v7.0.0", "protocol=v1.9.0", "frontend=v2.9.0", "ads=v0.8.0")...),
			Freezes: []playbooks.Freeze{{Module: "redis", By: "ana", Reason: "moving house"}},
		}, []string{"txt"}},
		{"circle", circle, everything, playbooks.Facts{}, []string{"txt"}},
		{"jupyterlab", graphCatalog(t, "testdata/graphs/jupyterlab.json"), everything, playbooks.Facts{}, []string{"txt"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pb := mustCompile(t, test.c, test.req, test.facts)
			for _, kind := range test.kinds {
				var out bytes.Buffer
				if err := writers[kind](&out, pb); err != nil {
					t.Fatal(err)
				}
				golden(t, test.name+"."+kind, out.Bytes())
			}
		})
	}
}

// TestHostileNames has names that try to leave their place in each format.
func TestHostileNames(t *testing.T) {
	const evil = "x\"];\nevil --> m0 <script>`#quot; \\\" \x1b[31m\u202e"
	c := &playbooks.Catalog{Environments: []playbooks.Environment{{Name: "production"}}, Modules: []playbooks.Module{
		{Name: evil, Version: evil, Needs: []playbooks.Need{{Module: "a", Kind: playbooks.NeedDeploy, Reason: evil}}}, {Name: "a", Version: "v1"},
	}}
	pb := mustCompile(t, c, everything, playbooks.Facts{})
	for kind, write := range writers {
		var out bytes.Buffer
		if err := write(&out, pb); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if strings.ContainsAny(text, "\x1b\u202e") {
			t.Errorf("%s: control characters get through:\n%s", kind, text)
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(strings.TrimSpace(line), "evil") {
				t.Errorf("%s: a name begins a line:\n%s", kind, text)
			}
		}
		switch kind {
		case "mermaid":
			if strings.ContainsAny(strings.ReplaceAll(text, "<br/>", ""), "<`\\") || strings.Count(text, `"`) != 8 {
				t.Errorf("mermaid:\n%s", text)
			}
		case "dot":
			unescaped := strings.NewReplacer(`\\`, "", `\"`, "").Replace(text)
			if strings.Count(unescaped, `"`) != 8 {
				t.Errorf("dot:\n%s", text)
			}
		}
	}
}

func TestTextStaysCompact(t *testing.T) {
	c := largeCatalog(200)
	for i := range c.Modules {
		c.Modules[i].Irreversible = true
	}
	var out bytes.Buffer
	if err := playbooks.WriteText(&out, mustCompile(t, c, everything, playbooks.Facts{})); err != nil {
		t.Fatal(err)
	}
	longest := 0
	for line := range strings.Lines(out.String()) {
		longest = max(longest, len(line))
	}
	waves := strings.Count(out.String(), "\nWave ")
	if lines := strings.Count(out.String(), "\n"); lines > 200+2*waves+20 || longest > 260 {
		t.Errorf("%d lines for 200 modules in %d waves, the longest has %d bytes", lines, waves, longest)
	}
	if !strings.Contains(out.String(), "the same for") {
		t.Error("200 warnings of a kind are not folded")
	}
}

func ExampleWriteText() {
	c := &playbooks.Catalog{
		Environments: []playbooks.Environment{{Name: "production", Approvals: &playbooks.ApprovalPolicy{Rules: []playbooks.ApprovalRule{{Group: "sre", Count: 1}}}}},
		Modules: []playbooks.Module{
			{Name: "cart", Version: "v1.1.0", Needs: []playbooks.Need{{Module: "redis", Reason: "keeps the carts"}}},
			{Name: "redis", Version: "v7.2.0"},
		},
	}
	pb, err := playbooks.Compile(c, playbooks.Request{Environment: "production", All: true}, playbooks.Facts{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := playbooks.WriteText(os.Stdout, pb); err != nil {
		fmt.Println(err)
	}
	// Output:
	// Release of 2 modules to production, in 2 waves
	// playbook 50e4968f · 8 steps · a failure holds everything
	// A module begins when all that it comes after is live and healthy.
	//
	// Wave 1
	//   redis  v7.2.0
	//
	// Wave 2
	//   cart   v1.1.0  after redis (keeps the carts)
	//
	// Asked: 1 of sre (an answer holds for 24h)
	//
	// digest 50e4968f07045a75db3fbac4897f05bf3354aa5c0b5a4d3463d23853f3b0b5e0
}
