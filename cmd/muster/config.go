package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/muster-release/muster/bot/web"
	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
)

// loadConfig reads the configuration. What is wrong with it is a mistake of use.
func loadConfig(path string) (*configs.Config, error) {
	config, err := configs.Load(path)
	if err == nil {
		return config, nil
	}
	return nil, usageError{configError(path, err)}
}

// mistakes are a configs.Errors as people read it: how many, and then each with
// its excerpt.
type mistakes struct {
	path string
	*configs.Errors
}

func (m mistakes) Error() string {
	return fmt.Sprintf("%s has %s\n\n%s", m.path, count(len(m.Problems), "mistake"), problemText(m.Problems))
}

func (m mistakes) Unwrap() error { return m.Errors }

// configError says everything that is wrong with a configuration.
func configError(path string, err error) error {
	var all *configs.Errors
	if !errors.As(err, &all) {
		return err
	}
	return mistakes{path, all}
}

// problemText sets problems one below the other, with an empty line in between
// where they have excerpts.
func problemText(problems []configs.Problem) string {
	var b strings.Builder
	for i, p := range problems {
		switch {
		case i > 0 && (p.Excerpt != "" || problems[i-1].Excerpt != ""):
			b.WriteString("\n\n")
		case i > 0:
			b.WriteString("\n")
		}
		b.WriteString(p.String())
	}
	return b.String()
}

func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

// configSource is the configuration in force, and the way to a newer one.
type configSource struct {
	path    string
	current atomic.Pointer[configs.Config]
	builds  *local.Forge // of the embedded world; nil: there is none
}

func (s *configSource) tokens() []web.Token {
	var tokens []web.Token
	for _, t := range s.current.Load().Server.Tokens {
		tokens = append(tokens, web.Token{Person: t.Person, Secret: t.Token.Reveal()})
	}
	return tokens
}

// reload reads the configuration again. After an error the old one is in force.
func (s *configSource) reload() (*playbooks.Catalog, string, error) {
	config, err := configs.Load(s.path)
	if err != nil {
		return nil, "", configError(s.path, err)
	}
	if err := s.publish(config.Catalog); err != nil {
		return nil, "", err
	}
	before := s.current.Swap(config).Server
	now := config.Server
	c := config.Catalog
	summary := fmt.Sprintf("%s, %s and %s are in force", count(len(c.Modules), "module"), count(len(c.Environments), "environment"), count(len(now.Tokens), "token"))
	var fixed []string
	for _, setting := range []struct {
		name    string
		changed bool
	}{{"listen", before.Listen != now.Listen}, {"data", before.Data != now.Data}, {"world", before.World != now.World}, {"slack", !configs.Equal(before.Slack, now.Slack)},
		{"gitlab", !configs.Equal(before.GitLab, now.GitLab)}, {"jira", !configs.Equal(before.Jira, now.Jira)}, {"pagerduty", !configs.Equal(before.PagerDuty, now.PagerDuty)},
		{"alertmanager", !configs.Equal(before.Alertmanager, now.Alertmanager)}, {"registries", !configs.Equal(before.Registries, now.Registries)}} {
		if setting.changed {
			fixed = append(fixed, "server: "+setting.name)
		}
	}
	if len(fixed) > 0 {
		summary += "; restart Muster for what has changed in " + strings.Join(fixed, " and ")
	}
	return c, summary, nil
}

// publish lets the embedded forge have built what the catalog names.
func (s *configSource) publish(c *playbooks.Catalog) error {
	if s.builds == nil {
		return nil
	}
	for i := range c.Modules {
		m := &c.Modules[i]
		if m.Version == "" {
			continue
		}
		if err := s.builds.SetBuild(playbooks.BuildState{Module: m.Name, Version: m.Version, State: "passed"}); err != nil {
			return err
		}
	}
	return nil
}
