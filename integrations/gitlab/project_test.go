package gitlab

import (
	"slices"
	"strings"
	"testing"

	"github.com/muster-release/muster/playbooks"
)

func TestProject(t *testing.T) {
	tests := []struct{ url, source, want string }{
		{"https://git.example.com", "shop/api", "shop/api"},
		{"https://git.example.com", "shop/backend/api", "shop/backend/api"},
		{"https://git.example.com", "/shop/api/", "shop/api"},
		{"https://git.example.com", "git.example.com/shop/api", "shop/api"},
		{"https://git.example.com", "Git.Example.Com/shop/api.git", "shop/api"},
		{"https://git.example.com", "https://git.example.com/shop/api.git", "shop/api"},
		{"https://git.example.com:8443", "git.example.com/shop/api", "shop/api"},
		{"https://git.example.com:8443", "git.example.com:8443/shop/api", "shop/api"},
		{"https://git.example.com/sub", "git.example.com/sub/shop/api", "shop/api"},
		{"https://git.example.com/sub", "git.example.com/shop/api", "shop/api"},
		{"https://git.example.com/sub/", "shop/api", "shop/api"},
		{"https://git.example.com/sub/api/v4", "git.example.com/sub/shop/api", "shop/api"},
		{"https://git.example.com", "github.com/shop/api", ""},
		{"https://git.example.com", "https://github.com/shop/api", ""},
		{"https://git.example.com", "other:8080/shop/api", ""},
		{"https://git.example.com", "my.group/api", "my.group/api"},
		{"https://git.example.com", "api", ""},
		{"https://git.example.com", "git.example.com/api", "api"},
		{"https://git.example.com", "", ""},
	}
	for _, tt := range tests {
		g := aloneAt(t, func(o *Options) { o.URL = tt.url })
		if got := g.project(tt.source); got != tt.want {
			t.Errorf("at %s, project(%q) = %q, want %q", tt.url, tt.source, got, tt.want)
		}
	}
}

func TestModulesOfProjects(t *testing.T) {
	catalog := &playbooks.Catalog{Modules: []playbooks.Module{
		{Name: "cart", Source: "shop/mono"}, {Name: "pay", Source: "git.example.com/Shop/Mono"}, {Name: "api", Source: "shop/api"},
		{Name: "elsewhere", Source: "github.com/shop/api"}, {Name: "nowhere"},
	}}
	g := aloneAt(t, func(o *Options) { o.Catalog = func() *playbooks.Catalog { return catalog } })
	if got, want := g.projects(), []string{"shop/mono", "shop/api"}; !slices.Equal(got, want) {
		t.Errorf("projects = %q, want %q", got, want)
	}
	var names []string
	for _, m := range g.modulesOf("shop/mono") {
		names = append(names, m.Name)
	}
	if want := []string{"cart", "pay"}; !slices.Equal(names, want) {
		t.Errorf("modules = %q, want %q", names, want)
	}
	for _, name := range []string{"elsewhere", "nowhere"} {
		if _, err := g.projectOf(catalog.Module(name)); !isPermanent(err) || !strings.Contains(err.Error(), name) {
			t.Errorf("project of %q: error %v, want a refusal that names it", name, err)
		}
	}
}

func TestNew(t *testing.T) {
	good := Options{URL: "https://git.example.com", Token: "glpat-secret", Catalog: func() *playbooks.Catalog { return nil }}
	tests := []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"no URL", func(o *Options) { o.URL = "" }, "https://"},
		{"no address", func(o *Options) { o.URL = "git.example.com" }, "https://"},
		{"another scheme", func(o *Options) { o.URL = "ftp://git.example.com" }, "https://"},
		{"with an account", func(o *Options) { o.URL = "https://a:hunter2@git.example.com" }, "without account"},
		{"no token", func(o *Options) { o.Token = "" }, "token"},
		{"no catalog", func(o *Options) { o.Catalog = nil }, "catalog"},
		{"a secret token for signing", func(o *Options) { o.SigningSecrets = []string{"hunter2"} }, "whsec_"},
		{"no base64", func(o *Options) { o.SigningSecrets = []string{"whsec_hunter2!"} }, "base64"},
		{"a short key", func(o *Options) { o.SigningSecrets = []string{"whsec_aHVudGVyMg=="} }, "base64"},
	}
	for _, tt := range tests {
		o := good
		tt.change(&o)
		_, err := New(o)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one that says %q", tt.name, err, tt.want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error holds a secret: %v", tt.name, err)
		}
	}
	if _, err := New(good); err != nil {
		t.Errorf("New: %v", err)
	}
}
