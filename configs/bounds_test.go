package configs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/muster-release/muster/configs"
)

// TestHostileFiles loads small files that would keep a parser busy for very
// long, or overflow its stack.
func TestHostileFiles(t *testing.T) {
	repeat := strings.Repeat
	laughs := "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	merges := "a0: &a0 {k: v}\n"
	for i := 1; i < 30; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, repeat(fmt.Sprintf("*a%d, ", i-1), 9))
		merges += fmt.Sprintf("a%d: &a%d {<<: [%s]}\n", i, i, repeat(fmt.Sprintf("*a%d, ", i-1), 9))
	}
	for name, content := range map[string]string{
		"deep brackets":      repeat("[", 1<<16),
		"deep braces":        repeat("{a: ", 1<<16),
		"deep dashes":        repeat("- ", 1<<16),
		"deep question":      repeat("? ", 1<<16),
		"deep indentation":   deepIndentation(1000),
		"many anchors":       repeat("&a ", 1<<16),
		"anchors in lines":   repeat("&a\n", 1<<16),
		"many tags":          repeat("!a ", 1<<16),
		"many keys":          manyKeys(100_000, "k%d: v\n"),
		"many keys, flow":    "{" + manyKeys(100_000, "\nk%d: v") + "}",
		"many missing":       "a:\n" + repeat("-\n", 1<<16),
		"many missing, flow": "{" + repeat("a,", 1<<16) + "}",
		"many keys, no text": manyKeys(100_000, "k%d:\n"),
		"many documents":     repeat("---\na: b\n", 100_000),
		"many ends":          repeat("a: b\n...\n", 100_000),
		"many tokens":        "a: [" + repeat("x,", 1<<20) + "]",
		"too large":          "# " + repeat("x", 17<<20),
		"billion laughs":     laughs,
		"billion merges":     merges,
		"itself":             "modules: &a [*a]\n",
		"null bytes":         repeat("\x00", 1<<16),
		"no text":            "\xff\xfe\x00",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			if _, err := loadText(content); err == nil {
				t.Error("no error")
			} else if len(err.Error()) > 100_000 {
				t.Errorf("%d bytes of errors", len(err.Error()))
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func deepIndentation(depth int) string {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, "%sa:\n", strings.Repeat(" ", i))
	}
	return b.String()
}

func manyKeys(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestManyProblems loads a large catalog in which nothing fits: all of it is
// reported, and looking for what was meant takes no noticeable time.
func TestManyProblems(t *testing.T) {
	content := strings.ReplaceAll(largeCatalog(2000, 10), "needs: [", "needs: [typo, mistake, ")
	start := time.Now()
	_, err := loadText(content)
	if problems := problemsOf(t, err); len(problems) != 4000 {
		t.Errorf("%d problems, want 4000", len(problems))
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestManyRules loads more rules and trains than there may be: that is said once for each, and holding
// rules against each other takes no noticeable time.
func TestManyRules(t *testing.T) {
	var b strings.Builder
	b.WriteString("environments: [{name: live}]\npeople: [{id: ann}]\naccess: [{who: [ann], role: admin}]\nserver: {gitlab: {url: 'http://localhost', token: 'file:token'}}\nrules:\n")
	for i := range 1002 {
		fmt.Fprintf(&b, "  - {name: r%d, on: gitlab tag, where: {tag: \"*%[1]d*\", project: a, commit: b}, do: signal}\n", i)
	}
	b.WriteString("trains:\n")
	for i := range 1002 {
		fmt.Fprintf(&b, "  - {name: t%d, schedule: \"0 0 29 2 %d\", zone: Europe/Berlin, to: live, as: ann}\n", i, i%7)
	}
	start := time.Now()
	_, err := configs.LoadFS(fstest.MapFS{"muster.yaml": {Data: []byte(b.String())}, "token": {Data: []byte("correct-horse")}}, "muster.yaml")
	var said []string
	for _, p := range problemsOf(t, err) {
		said = append(said, p.Message)
	}
	if want := []string{"there are more than 1000 rules", "there are more than 1000 trains"}; !slices.Equal(said, want) {
		t.Errorf("problems = %q, want %q", said, want)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func largeCatalog(modules, needs int) string {
	var b strings.Builder
	b.WriteString("environments: [{name: production}]\nmodules:\n")
	for i := range modules {
		fmt.Fprintf(&b, "  - name: module-%d\n    version: v1.%d.0\n    needs: [", i, i)
		for j := 1; j <= needs; j++ {
			fmt.Fprintf(&b, "module-%d, ", (i+j*7)%modules)
		}
		b.WriteString("]\n")
	}
	return b.String()
}

func BenchmarkLoad(b *testing.B) {
	for _, modules := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("modules=%d/needs=%d", modules, 10*modules), func(b *testing.B) {
			files := fstest.MapFS{"muster.yaml": {Data: []byte(largeCatalog(modules, 10))}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := configs.LoadFS(files, "muster.yaml"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "a", "[", "{", "- - -", "a: &a [*a]", "? a", "<<: *a", "%YAML 1.2\n---\n", "a: |\n  b\n", "a: !!str b",
		"environments: [{name: live, approvals: none}]\nmodules: [{name: a, needs: [b]}, {name: b, deploy: {in: {live: {strategy: {canary: [{share: 5, bake: 3d}]}}}}}]",
		"people: [{id: ann, handles: {x: y}}]\ngroups: [{name: g, members: [ann, g]}]\naccess: [{who: [everyone], role: admin}]",
		"server: {tokens: [{person: a, token: \"${X}\"}], url: \"http://x\", listen: :1}\ninclude: ['*.yaml', muster.yaml]",
		"server: {slack: {botToken: \"${X}\", appToken: \"file:x\", signingSecret: a, apiURL: \"http://[::1]:1/a\", connections: 3, channels: [\"#a\", C1, \"\"]}}\ngroups: [{name: g, slack: \"@a\"}, {slack: S1, members: []}]",
		"server: {gitlab: {url: \"https://x/a\", token: \"${X}\", signingSecret: \"file:x\", buildReport: a/b, record: [live]}, jira: {url: \"http://[::1]:1/a\", email: a@b, token: \"${X}\", project: AB, labels: [\"{run}\"], fields: {a: \"{{x}} {date}\"}, transitions: {rolled back: [a, b], held: c}, fixVersion: \"{\", indexLag: 5m, stories: {projects: [AB]}}}",
		"server: {pagerduty: {routingKey: \"${X}\", after: 1h, eventsURL: \"http://localhost:1\"}, alertmanager: {user: a, password: \"${X}\"}, registries: [{host: \"a:5000\", user: a, password: \"${X}\"}]}\ngroups: [{name: g, pagerduty: P1}]",
		"rules: [{name: a, on: gitlab tag, where: {tag: \"v*\"}, do: release, to: live, as: ann, modules: [a], channels: [\"#a\"]}, {name: b, on: alertmanager alert-firing, where: {label.x: y}, do: hold}, {name: c, on: tag, do: signal}]",
		"trains: [{name: a, schedule: \"*/5 0-7,9 1 JAN TUE/2\", zone: europe/berlin, to: live, departs: 2h, remind: [1h], late: run}, {name: b, schedule: \"TZ=\", zone: Local}, {name: c, schedule: \"@weekly\", zone: \"New York\"}, {name: d, schedule: \"0 0 30 2 *\"}]",
		"modules: [{name: a, source: \"git@a:b/c\", path: ../a, tagPrefix: a/, configPaths: [a/, b], onCall: P1, deploy: {tag: true, artifact: \"{verson}\", gates: [{coverage: {least: 80, drop: 1.5}}, jobs, {jobs: {names: [a]}}, {tests: {new: \"0\"}}], migration: {with: gitlab, params: {vars.a: \"{x\"}}}}]",
		"defaults: &d {gates: [{soak: 1h}, pipeline], tests: [{name: x}]}\nmodules: [{name: a, deploy: {<<: *d, targets: [a]}}]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		config, err := loadText(string(content))
		if (config == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", config, err)
		}
		if err == nil {
			return
		}
		for _, p := range problemsOf(t, err) {
			if p.File == "" || p.Message == "" || p.Line == 0 && p.Excerpt != "" {
				t.Errorf("problem without a place: %+v", p)
			}
		}
	})
}
