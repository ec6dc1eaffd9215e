package gitlab

import (
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// wrong returns what is to be mended, one a line, and what is well.
func wrong(found []steps.Finding) (bad, good string) {
	for _, f := range found {
		if f.OK != (f.Fix == "") {
			bad += "without a fix: "
		}
		if f.OK {
			good += f.What + "\n"
			continue
		}
		bad += f.What + " -> " + f.Fix + "\n"
	}
	return bad, good
}

func TestCheck(t *testing.T) {
	const server = "https://muster.example.com"
	hook := gitlabfake.Hook{URL: server + "/gitlab/webhook", Events: []string{"push", "tag_push", "note", "merge_requests", "pipeline", "job", "deployment", "releases"}}
	tags := func(m *playbooks.Module) {
		m.Deploy = map[string]playbooks.Delivery{"": {Deployer: System, Tag: true, Params: where}}
	}
	tests := []struct {
		name  string
		o     yardOptions
		spoil func(y *yard)
		bad   []string // one in each line
		good  []string
	}{
		{name: "all is well", spoil: func(y *yard) { y.AddHook(cart, hook) }, good: []string{
			"has version 18.5", "with the scope api", "project shop/backend/cart: Maintainer, default branch main", "can be started with variables", "tags like v1.2.3 can be made", "has its webhook",
		}},
		{name: "the hook of a group", o: yardOptions{level: gitlabfake.Owner}, spoil: func(y *yard) { y.AddHook("shop", hook) }, good: []string{"has its webhook"}},
		{name: "no hook", bad: []string{"has no webhook with the address https://muster.example.com/gitlab/webhook -> add a webhook"}},
		{name: "a hook that says little", spoil: func(y *yard) {
			y.AddHook(cart, gitlabfake.Hook{URL: hook.URL, Events: []string{"push", "tag_push", "note", "merge_requests", "job", "deployment"}})
		}, bad: []string{"brings no pipeline, release events"}},
		{name: "old", o: yardOptions{server: gitlabfake.Options{Version: "15.11.2"}}, spoil: func(y *yard) { y.AddHook(cart, hook) }, bad: []string{"has version 15.11, which is too old -> update GitLab to 16.3"}},
		{name: "without inputs", o: yardOptions{server: gitlabfake.Options{Version: "17.9.0-pre"}}, spoil: func(y *yard) { y.AddHook(cart, hook) }, good: []string{"knows no pipeline inputs"}},
		{name: "a developer", o: yardOptions{level: gitlabfake.Developer}, good: []string{"Developer, default branch main", "its webhooks are for maintainers to see"}},
		{name: "a reporter", o: yardOptions{level: gitlabfake.Reporter}, bad: []string{"the role Reporter is not enough -> give"}},
		{name: "not to be seen", spoil: func(y *yard) { y.module().Source = "shop/backend/wheel" }, bad: []string{"project shop/backend/wheel: read project"}},
		{name: "in no project of it", spoil: func(y *yard) { y.module().Source = "" }, bad: []string{`module cart is delivered by GitLab, and its source "" is no project of git.example.com`}},
		{name: "archived", spoil: func(y *yard) { y.Change(cart, func(p *gitlabfake.Project) { p.Archived = true }) }, bad: []string{"project shop/backend/cart is archived"}},
		{name: "nobody may set variables", spoil: func(y *yard) {
			y.AddHook(cart, hook)
			y.Change(cart, func(p *gitlabfake.Project) { p.VariablesRole = gitlabfake.NobodyMay })
		}, good: []string{"may not set pipeline variables (no_one_allowed), so pipelines get inputs alone"}},
		{name: "nobody may set variables that are wanted", o: yardOptions{params: map[string]string{"vars.COLOUR": "red"}}, spoil: func(y *yard) {
			y.AddHook(cart, hook)
			y.module().Deploy = map[string]playbooks.Delivery{"": {Deployer: System, Params: map[string]string{"vars.COLOUR": "red"}}}
			y.Change(cart, func(p *gitlabfake.Project) { p.VariablesRole = gitlabfake.Owner })
		}, bad: []string{"pipelines want the variables COLOUR, and the role Maintainer may set none (owner) -> make these inputs"}},
		{name: "nobody may set variables, and there are no inputs", o: yardOptions{server: gitlabfake.Options{Version: "17.4.0"}}, spoil: func(y *yard) {
			y.AddHook(cart, hook)
			y.Change(cart, func(p *gitlabfake.Project) { p.VariablesRole = gitlabfake.NobodyMay })
		}, bad: []string{"GitLab 17.4 knows no inputs"}},
		{name: "protected tags", spoil: func(y *yard) {
			y.AddHook(cart, hook)
			y.Change(cart, func(p *gitlabfake.Project) {
				p.Protected = map[string]gitlabfake.Level{"tag:v*": gitlabfake.Owner, "tag:w*": gitlabfake.NobodyMay}
			})
		}, bad: []string{"tags like v1.2.3 are protected as v*, and the role Maintainer may not create them"}},
		{name: "GitLab is down", spoil: func(y *yard) {
			y.SetFault(func(gitlabfake.Call) gitlabfake.Fault { return gitlabfake.Fault{Kind: gitlabfake.Refused} })
		}, bad: []string{"see that this machine reaches https://git.example.com/sub"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.o.module = tags
			inYard(t, test.o, func(t *testing.T, y *yard) {
				if test.spoil != nil {
					test.spoil(y)
				}
				bad, good := wrong(y.g.Check(t.Context(), CheckOptions{ServerURL: server}))
				lines := strings.Split(strings.TrimSuffix(bad, "\n"), "\n")
				if bad == "" {
					lines = nil
				}
				if len(lines) != len(test.bad) {
					t.Errorf("wrong:\n%s", bad)
				}
				wantWords(t, bad, test.bad...)
				wantWords(t, good, test.good...)
			})
		})
	}
}

func TestCheckLooksAtTheToken(t *testing.T) {
	inYard(t, yardOptions{}, func(t *testing.T, y *yard) {
		ask := func(token gitlabfake.Token) (bad, good string) {
			t.Helper()
			g, err := New(Options{URL: y.URL(), Token: y.AddBotToken("shop", gitlabfake.Developer, token), Catalog: func() *playbooks.Catalog { return y.catalog }, HTTP: y.Client()})
			if err != nil {
				t.Fatal(err)
			}
			return wrong(g.Check(t.Context(), CheckOptions{}))
		}
		bad, _ := ask(gitlabfake.Token{Scopes: []string{"read_api"}})
		wantWords(t, bad, "has the scopes read_api, and may write nothing")
		bad, _ = ask(gitlabfake.Token{Expires: time.Now().Add(72 * time.Hour)})
		wantWords(t, bad, "the token expires on", "renew it")
		bad, good := ask(gitlabfake.Token{Expires: time.Now().Add(90 * 24 * time.Hour)})
		wantWords(t, good, "the token lives until")
		if bad != "" {
			t.Errorf("wrong: %s", bad)
		}
		bad, _ = ask(gitlabfake.Token{Revoked: true})
		wantWords(t, bad, "the token is refused")
	})
}

// TestCheckIsPatient looks at many projects while GitLab takes few calls.
func TestCheckIsPatient(t *testing.T) {
	inYard(t, yardOptions{server: gitlabfake.Options{RateLimit: 20}}, func(t *testing.T, y *yard) {
		y.catalog.Modules = nil
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
			y.AddProject(gitlabfake.Project{Path: "shop/" + name})
			y.catalog.Modules = append(y.catalog.Modules, playbooks.Module{Name: name, Source: "shop/" + name})
		}
		bad, good := wrong(y.g.Check(t.Context(), CheckOptions{ServerURL: "https://muster.example.com"}))
		if strings.Count(bad, "has no webhook") != 10 || strings.Count(bad, "\n") != 10 || strings.Count(good, "default branch main") != 10 {
			t.Errorf("wrong:\n%s\nwell:\n%s", bad, good)
		}
	})
}
