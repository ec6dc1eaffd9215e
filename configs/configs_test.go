package configs_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/playbooks"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata")

// TestGolden loads the files of each archive and compares what comes of it with
// the archive's part "want": all problems, or the catalog. The part "env" holds
// environment variables; what is loaded is muster.yaml or, without one, everything.
func TestGolden(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			files, env, want := unpack(archive)
			got := load(files, env)
			if *update {
				archive.Files[want].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := string(archive.Files[want].Data); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func unpack(archive *txtar.Archive) (files fstest.MapFS, env map[string]string, want int) {
	files, env, want = fstest.MapFS{}, map[string]string{}, -1
	for i, f := range archive.Files {
		switch f.Name {
		case "want":
			want = i
		case "env":
			for line := range strings.Lines(string(f.Data)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				env[name] = value
			}
		default:
			files[f.Name] = &fstest.MapFile{Data: f.Data}
		}
	}
	if want < 0 {
		archive.Files = append(archive.Files, txtar.File{Name: "want"})
		want = len(archive.Files) - 1
	}
	return files, env, want
}

func load(files fstest.MapFS, env map[string]string) string {
	name := "."
	if _, ok := files["muster.yaml"]; ok {
		name = "muster.yaml"
	}
	config, err := configs.LoadFS(files, name, configs.WithEnv(lookupIn(env)))
	if err != nil {
		return err.Error() + "\n"
	}
	data, err := json.MarshalIndent(config.Catalog, "", "  ")
	if err != nil {
		return err.Error() + "\n"
	}
	s := config.Server
	out := fmt.Sprintf("%s\nserver: {%s %s %s %v %s}\n", data, s.Listen, s.Data, s.URL, s.Tokens, s.World)
	if s.Slack != nil {
		out += fmt.Sprintf("slack: %+v\n", *s.Slack)
	}
	if s.GitLab != nil {
		out += fmt.Sprintf("gitlab: %+v\n", *s.GitLab)
	}
	if s.Jira != nil {
		out += fmt.Sprintf("jira: %+v\n", *s.Jira)
	}
	if s.PagerDuty != nil {
		out += fmt.Sprintf("pagerduty: %+v\n", *s.PagerDuty)
	}
	if s.Alertmanager != nil {
		out += fmt.Sprintf("alertmanager: %+v\n", *s.Alertmanager)
	}
	if s.Registries != nil {
		out += fmt.Sprintf("registries: %+v\n", s.Registries)
	}
	return fmt.Sprintf("%sfiles: %v\n", out, config.Files)
}

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

// loadText loads one file, with an environment in which nothing is set.
func loadText(content string) (*configs.Config, error) {
	return configs.LoadFS(fstest.MapFS{"muster.yaml": {Data: []byte(content)}}, "muster.yaml",
		configs.WithEnv(lookupIn(nil)))
}

func TestSmallestCatalog(t *testing.T) {
	config, err := loadText(`cycles: together
environments:
  - name: production
modules:
  - name: cart
    version: v1.1.0
    needs: [redis]
  - name: redis
    version: v7.2.0
`)
	if err != nil {
		t.Fatal(err)
	}
	c := config.Catalog
	if c.Cycles != playbooks.ReleaseTogether || len(c.Modules) != 2 || len(c.Environments) != 1 {
		t.Fatalf("catalog = %+v", c)
	}
	want := playbooks.Need{Module: "redis", Kind: playbooks.NeedDeploy}
	if got := c.Modules[0].Needs; len(got) != 1 || got[0] != want {
		t.Errorf("needs = %+v, want %+v", got, want)
	}
	if c.Environments[0].Approvals != nil {
		t.Error("approvals were made up, and would let a release through")
	}
	if config.Server.Listen != configs.DefaultListen || config.Server.Data != configs.DefaultData {
		t.Errorf("server = %+v, want the defaults", config.Server)
	}
}

func TestExample(t *testing.T) {
	config, err := configs.Load("example.yaml", configs.WithEnv(lookupIn(nil)))
	if err != nil {
		t.Fatal(err)
	}
	c := config.Catalog
	if len(c.Modules) < 10 || len(c.Environments) != 2 {
		t.Errorf("%d modules and %d environments", len(c.Modules), len(c.Environments))
	}
	api := c.Modules[slices.IndexFunc(c.Modules, func(m playbooks.Module) bool { return m.Name == "api" })]
	in := api.Deploy["production"]
	if in.Strategy.Kind != playbooks.Canary || len(in.Gates) != 2 || in.Estimate != 4*time.Minute ||
		in.Params["namespace"] != "parcels" || in.Retries != 1 {
		t.Errorf("api in production = %+v", in)
	}
	if other := api.Deploy[""]; other.Strategy.Kind != "" || other.Gates != nil || other.Timeout != 10*time.Minute {
		t.Errorf("api elsewhere = %+v", other)
	}
}

// What the example shows behind a # works, too.
func TestExampleWithEverything(t *testing.T) {
	content, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?m)^( *)#([^ #\n])`).ReplaceAllString(string(content), "$1$2")
	files := fstest.MapFS{
		"muster.yaml":                  {Data: []byte(strings.ReplaceAll(shown, "/run/secrets/", "secrets/"))},
		"secrets/slack-signing-secret": {Data: []byte("correct-horse")},
		"secrets/ann-token":            {Data: []byte("correct-horse-battery-ann")},
	}
	config, err := configs.LoadFS(files, "muster.yaml", configs.WithEnv(func(name string) (string, bool) {
		special := map[string]string{
			"SLACK_BOT_TOKEN": "xoxb-correct-horse", "SLACK_APP_TOKEN": "xapp-correct-horse",
			"GITLAB_SIGNING_TOKEN":  "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
			"PAGERDUTY_ROUTING_KEY": "0123456789abcdef0123456789abcdef",
		}
		return cmp.Or(special[name], "correct-horse-battery"), true
	}))
	if err != nil {
		t.Fatal(err)
	}
	// Nothing is there to be set that the example does not show.
	server := reflect.ValueOf(config.Server)
	for i := range server.NumField() {
		part := reflect.Indirect(server.Field(i))
		if part.Kind() == reflect.Slice && part.Len() > 0 {
			part = part.Index(0)
		}
		if name := server.Type().Field(i).Name; name == "World" || name == "Alertmanager" {
			continue
		}
		if !part.IsValid() || part.IsZero() {
			t.Errorf("the example does not show %s", server.Type().Field(i).Name)
			continue
		}
		if part.Kind() != reflect.Struct {
			continue
		}
		for k := range part.NumField() {
			if part.Field(k).IsZero() {
				t.Errorf("the example does not show %s of %s", part.Type().Field(k).Name, part.Type())
			}
		}
	}
	c := config.Catalog
	if g := c.Groups; g[len(g)-2].From["slack"] != "@support" || g[len(g)-1].From["pagerduty"] != "PABC123" || g[len(g)-1].Members != nil {
		t.Errorf("groups = %+v", g)
	}
	if len(c.Rules) != 6 || len(c.Trains) != 1 || !c.Environments[1].OnlyRegistered {
		t.Errorf("rules = %+v, trains = %+v, environments = %+v", c.Rules, c.Trains, c.Environments)
	}
	pricing := c.Module("pricing").In("production")
	if !pricing.Tag || pricing.Deployer != "gitlab" || pricing.Migration.Params["with"] != "gitlab" || len(pricing.Gates) != 10 {
		t.Errorf("pricing in production = %+v", pricing)
	}
	if m := c.Module("tracking"); m.OnCall != "PABC123" || len(m.ConfigPaths) != 2 {
		t.Errorf("tracking = %+v", m)
	}
	if m := c.Module("simulator"); m.Path != "tools/simulator" || m.TagPrefix != "simulator/" {
		t.Errorf("simulator = %+v", m)
	}
}

func TestDemo(t *testing.T) {
	config, err := configs.LoadFS(configs.Demo(), ".")
	if err != nil {
		t.Fatal(err)
	}
	// From the manifests named in demo/muster.yaml.
	want := map[string]string{
		"adservice":             "",
		"cartservice":           "redis-cart",
		"checkoutservice":       "cartservice currencyservice emailservice paymentservice productcatalogservice shippingservice",
		"currencyservice":       "",
		"emailservice":          "",
		"frontend":              "adservice cartservice checkoutservice currencyservice productcatalogservice recommendationservice shippingservice",
		"loadgenerator":         "frontend",
		"paymentservice":        "",
		"productcatalogservice": "",
		"recommendationservice": "productcatalogservice",
		"redis-cart":            "",
		"shippingservice":       "",
	}
	got := make(map[string]string)
	for _, m := range config.Catalog.Modules {
		var needs []string
		for _, need := range m.Needs {
			needs = append(needs, need.Module)
		}
		slices.Sort(needs)
		got[m.Name] = strings.Join(needs, " ")
	}
	if !maps.Equal(got, want) {
		t.Errorf("needs = %v, want %v", got, want)
	}
	staging, production := config.Catalog.Environments[0], config.Catalog.Environments[1]
	if staging.Name != "staging" || !staging.Approvals.None {
		t.Errorf("staging = %+v", staging)
	}
	if p := production.Approvals; production.Limit != 4 || len(p.Rules) != 2 || !p.Distinct || !p.ExcludeRequester {
		t.Errorf("production = %+v", production)
	}
}

func TestProblemHasItsPlace(t *testing.T) {
	config, err := loadText("environments: [{name: live}]\nmodules:\n  - name: a\n    needs:\n      - {module: b}\n  - name: b\n    needs: [a]\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		want string
		path []string
	}{
		{"muster.yaml:3:11", []string{"modules", "a"}},
		{"muster.yaml:5:18", []string{"modules", "a", "needs", "b"}},
		{"muster.yaml:1:23", []string{"environments", "live"}},
	} {
		if got := config.Problem("what", test.path...).Position.String(); got != test.want {
			t.Errorf("the place of %v is %s, want %s", test.path, got, test.want)
		}
	}
	if got := config.Problem("what", "modules", "c").String(); got != "what" {
		t.Errorf("a module that does not exist has the problem %s", got)
	}
	got := config.Problem(`modules need each other in a circle: "a" → "b" → "a"`, "modules", "b", "needs", "a").String()
	want := `muster.yaml:7:13: modules need each other in a circle: "a" → "b" → "a"
    7 |     needs: [a]
      |             ^`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestGates(t *testing.T) {
	const gates = "environments: [{name: live}]\nmodules: [{name: a, deploy: {gates: [%s, {kind: %[1]s, params: {ref: main}}]}}]\n"
	if _, err := loadText(fmt.Sprintf(gates, "quality")); err == nil {
		t.Error("a kind of gate that nothing can ask was accepted")
	}
	config, err := loadText(fmt.Sprintf(gates, "pipeline"))
	if err != nil {
		t.Fatal(err)
	}
	if gates := config.Catalog.Modules[0].Deploy[""].Gates; len(gates) != 2 || gates[1].Params["ref"] != "main" {
		t.Errorf("gates = %+v", gates)
	}
}

func TestSlack(t *testing.T) {
	load := func(bot, app, signing string) (*configs.Config, error) {
		const content = `environments: [{name: live}]
server: {slack: {botToken: "${BOT}", appToken: "${APP}", signingSecret: "${SIGNING}"}}
`
		return configs.LoadFS(fstest.MapFS{"muster.yaml": {Data: []byte(content)}}, "muster.yaml",
			configs.WithEnv(lookupIn(map[string]string{"BOT": bot, "APP": app, "SIGNING": signing})))
	}
	config, err := load("xoxb-1-correct", "xapp-1-horse", "battery")
	if err != nil {
		t.Fatal(err)
	}
	s := config.Server.Slack
	if s.BotToken.Reveal() != "xoxb-1-correct" || s.AppToken.Reveal() != "xapp-1-horse" || s.SigningSecret.Reveal() != "battery" {
		t.Errorf("slack = %+v, with other secrets than were given", s)
	}
	if s.APIURL != "" || s.Connections != configs.DefaultConnections || s.Channels != nil {
		t.Errorf("slack = %+v, want the defaults", s)
	}
	const value = "hunter2"
	_, err = load("xapp-"+value, value, value+"\n")
	problems := problemsOf(t, err)
	if len(problems) != 3 {
		t.Errorf("%d problems, want one for each secret: %v", len(problems), err)
	}
	if strings.Contains(fmt.Sprintf("%+v", problems), value) {
		t.Errorf("problems show a secret: %+v", problems)
	}
	config, err = loadText("environments: [{name: live}]\n")
	if err != nil || config.Server.Slack != nil {
		t.Errorf("slack = %v, error %v; nothing was said about it", config.Server.Slack, err)
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	if _, err := configs.Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error = %v, want one that is fs.ErrNotExist", err)
	}
	_, err := configs.Load(dir)
	if problems := problemsOf(t, err); len(problems) != 1 || !strings.Contains(problems[0].Message, "holds no .yaml") {
		t.Errorf("problems of an empty folder: %v", err)
	}
}

func problemsOf(t *testing.T, err error) []configs.Problem {
	t.Helper()
	all, ok := errors.AsType[*configs.Errors](err)
	if !ok {
		t.Fatalf("error = %v, want *configs.Errors", err)
	}
	return all.Problems
}

// TestConfigMap reads a folder as Kubernetes mounts it: each file is a link
// into a hidden folder, which is a link itself.
func TestConfigMap(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write("..2026/a.yaml", "environments: [{name: live}]\nserver:\n  tokens:\n    - {person: ann, token: 'file:key'}\n")
	write("..2026/b.yml", "modules: [{name: a}]\npeople: [{id: ann}]\n")
	write("key", "hunter2-hunter2-hunter2\n")
	write("notes.txt", "not: [yaml")
	write("teams/web/c.yaml", "modules: [{name: b}]\n")
	link("..2026", "..data")
	link("..data/a.yaml", "a.yaml")
	link("..data/b.yml", "b.yml")
	link(".", "again.yaml")

	config, err := configs.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range config.Files {
		name, err := filepath.Rel(dir, f)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.ToSlash(name))
	}
	if want := []string{"a.yaml", "b.yml", "teams/web/c.yaml"}; !slices.Equal(names, want) {
		t.Errorf("files = %q, want %q", names, want)
	}
	if got := config.Server.Tokens[0].Token.Reveal(); got != "hunter2-hunter2-hunter2" {
		t.Errorf("token = %q", got)
	}
}
