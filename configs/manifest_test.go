package configs_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
)

// slackManifest has the keys of a Slack app's manifest that ours uses; Slack refuses others:
// https://docs.slack.dev/reference/app-manifest.
type slackManifest struct {
	Metadata struct {
		Major int `yaml:"major_version"`
		Minor int `yaml:"minor_version"`
	} `yaml:"_metadata"`
	Display struct {
		Name        string `yaml:"name"`
		Description string `yaml:"description"`
		Color       string `yaml:"background_color"`
	} `yaml:"display_information"`
	Features struct {
		Bot struct {
			Name   string `yaml:"display_name"`
			Online bool   `yaml:"always_online"`
		} `yaml:"bot_user"`
		Home struct {
			Tab      bool `yaml:"home_tab_enabled"`
			Messages bool `yaml:"messages_tab_enabled"`
			ReadOnly bool `yaml:"messages_tab_read_only_enabled"`
		} `yaml:"app_home"`
		Commands []struct {
			Command     string `yaml:"command"`
			Description string `yaml:"description"`
			Hint        string `yaml:"usage_hint"`
			Escape      bool   `yaml:"should_escape"`
			URL         string `yaml:"url"`
		} `yaml:"slash_commands"`
	} `yaml:"features"`
	OAuth struct {
		Scopes struct {
			Bot []string `yaml:"bot"`
		} `yaml:"scopes"`
	} `yaml:"oauth_config"`
	Settings struct {
		Events struct {
			URL string   `yaml:"request_url"`
			Bot []string `yaml:"bot_events"`
		} `yaml:"event_subscriptions"`
		Interactivity struct {
			Enabled bool   `yaml:"is_enabled"`
			URL     string `yaml:"request_url"`
			Options string `yaml:"message_menu_options_url"`
		} `yaml:"interactivity"`
		Org        bool `yaml:"org_deploy_enabled"`
		SocketMode bool `yaml:"socket_mode_enabled"`
		Rotation   bool `yaml:"token_rotation_enabled"`
	} `yaml:"settings"`
}

func readManifest(t *testing.T, content string) slackManifest {
	t.Helper()
	var m slackManifest
	if err := yaml.UnmarshalWithOptions([]byte(content), &m, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return m
}

func manifestFile(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("slack-app-manifest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestSlackManifest(t *testing.T) {
	content := manifestFile(t)
	m := readManifest(t, content)
	if n := utf8.RuneCountInString(m.Display.Name); n == 0 || n > 35 {
		t.Errorf("the name has %d characters, and Slack takes 35", n)
	}
	if n := utf8.RuneCountInString(m.Display.Description); n == 0 || n > 140 {
		t.Errorf("the description has %d characters, and Slack takes 140", n)
	}
	if f := m.Features; f.Bot.Name != "muster" || !f.Bot.Online || !f.Home.Messages || f.Home.ReadOnly ||
		len(f.Commands) != 1 || f.Commands[0].Command != "/muster" || f.Commands[0].Description == "" || f.Commands[0].Escape {
		t.Errorf("features = %+v", f)
	}
	s := m.Settings
	if want := []string{"app_mention", "message.im"}; !slices.Equal(s.Events.Bot, want) {
		t.Errorf("events = %q, want %q", s.Events.Bot, want)
	}
	if !s.Interactivity.Enabled || !s.SocketMode || s.Org || s.Rotation {
		t.Errorf("settings = %+v", s)
	}
	scope := regexp.MustCompile(`^ +(?:# )?- ([a-z_]+:[a-z:.]+|commands)( # .+)?$`)
	var named []string
	for line := range strings.Lines(content) {
		if found := scope.FindStringSubmatch(strings.TrimRight(line, "\n")); found != nil {
			named = append(named, found[1])
			if found[2] == "" {
				t.Errorf("nobody says what the scope %s is for", found[1])
			}
		}
	}
	for _, name := range m.OAuth.Scopes.Bot {
		if !slices.Contains(named, name) {
			t.Errorf("the scope %s does not look like one", name)
		}
	}
	if optional := len(named) - len(m.OAuth.Scopes.Bot); optional < 1 {
		t.Errorf("%d optional scopes are mentioned", optional)
	}
}

// The manifest says how it becomes one for HTTP, with all that is optional. That must be one, too.
func TestSlackManifestForHTTP(t *testing.T) {
	commented := regexp.MustCompile(`(?m)^( +)# ((?:url|request_url|message_menu_options_url): |- [a-z]+:)`)
	content := commented.ReplaceAllString(manifestFile(t), "$1$2")
	content = strings.ReplaceAll(content, "socket_mode_enabled: true", "socket_mode_enabled: false")
	m := readManifest(t, content)
	const host = "https://muster.example.com/slack/"
	s := m.Settings
	if s.SocketMode || m.Features.Commands[0].URL != host+"commands" || s.Events.URL != host+"events" ||
		s.Interactivity.URL != host+"interactions" || s.Interactivity.Options != host+"interactions" {
		t.Errorf("addresses are missing: %+v, %+v", m.Features.Commands, s)
	}
	before := len(readManifest(t, manifestFile(t)).OAuth.Scopes.Bot)
	scopes := m.OAuth.Scopes.Bot
	if len(scopes) <= before {
		t.Errorf("scopes = %q, want the optional ones as well", scopes)
	}
	slices.Sort(scopes)
	if len(slices.Compact(scopes)) != len(m.OAuth.Scopes.Bot) {
		t.Errorf("a scope stands there twice: %q", scopes)
	}
}
