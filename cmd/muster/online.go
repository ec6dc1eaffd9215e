package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/gitlab"
	"github.com/muster-release/muster/integrations/jira"
	"github.com/muster-release/muster/integrations/pagerduty"
	"github.com/muster-release/muster/integrations/registry"
	"github.com/muster-release/muster/integrations/slack"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

// onlineTime is how long all questions to outside systems may take together.
const onlineTime = time.Minute

// checkOnline asks the outside systems that are configured whether they are as the
// configuration has them, and writes a line for each thing it looked at.
func checkOnline(ctx context.Context, out io.Writer, config *configs.Config) error {
	systems, err := onlineSystems(config)
	if err != nil {
		return err
	}
	if len(systems) == 0 {
		_, err := fmt.Fprintln(out, "There is nothing to check online: no outside system is configured. See server: in configs/example.yaml.")
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, onlineTime, errors.New("it takes too long"))
	defer cancel()
	total := 0
	for _, s := range systems {
		wrong := 0
		for _, f := range s.check(ctx) {
			line := "✓ " + f.What
			if !f.OK {
				wrong++
				line = "✗ " + f.What
				if f.Fix != "" {
					line += "; " + f.Fix
				}
			}
			if _, err := fmt.Fprintln(out, line); err != nil {
				return err
			}
		}
		last := s.name + " is as the configuration has it."
		if wrong > 0 {
			last = fmt.Sprintf("%s to mend in %s or in the configuration.", count(wrong, "thing"), s.name)
		}
		if _, err := fmt.Fprintln(out, last); err != nil {
			return err
		}
		total += wrong
	}
	if total > 0 {
		return said{exitFailed}
	}
	return nil
}

// onlineSystem is an outside system that can be asked.
type onlineSystem struct {
	name  string
	check func(context.Context) []steps.Finding
}

// onlineSystems are those of a configuration. What is logged on the way is in what is found.
func onlineSystems(config *configs.Config) ([]onlineSystem, error) {
	var all []onlineSystem
	server, quiet := &config.Server, slog.New(slog.DiscardHandler)
	catalog := func() *playbooks.Catalog { return config.Catalog }
	people := func() []playbooks.Person { return config.Catalog.People }
	if server.Slack != nil {
		all = append(all, onlineSystem{"Slack", func(ctx context.Context) []steps.Finding { return checkSlack(ctx, config) }})
	}
	if c := server.GitLab; c != nil {
		g, err := gitlab.New(gitlabOptions(c, catalog, nil, quiet))
		if err != nil {
			return nil, err
		}
		all = append(all, onlineSystem{"GitLab", func(ctx context.Context) []steps.Finding {
			return g.Check(ctx, gitlab.CheckOptions{ServerURL: server.URL})
		}})
	}
	if c := server.Jira; c != nil {
		j, err := jira.New(jiraOptions(c, catalog, nil, quiet))
		if err != nil {
			return nil, err
		}
		all = append(all, onlineSystem{"Jira", j.Check})
	}
	if c := server.PagerDuty; c != nil {
		p := pagerduty.New(pagerdutyOptions(c, people, nil, quiet))
		all = append(all, onlineSystem{"PagerDuty", func(ctx context.Context) []steps.Finding { return p.Check(ctx, schedules(config.Catalog)) }})
	}
	if len(server.Registries) > 0 {
		r := registry.New(registryOptions(server.Registries, catalog, nil, quiet))
		all = append(all, onlineSystem{"The image registry", r.Check})
	}
	return all, nil
}

// schedules are those of PagerDuty's that a catalog names.
func schedules(c *playbooks.Catalog) []string {
	named := make(map[string]bool)
	for i := range c.Groups {
		if from := c.Groups[i].From[pagerduty.System]; from != "" {
			named[from] = true
		}
	}
	for i := range c.Modules {
		if c.Modules[i].OnCall != "" {
			named[c.Modules[i].OnCall] = true
		}
	}
	return slices.Sorted(maps.Keys(named))
}

func checkSlack(ctx context.Context, config *configs.Config) []steps.Finding {
	c, s := config.Catalog, config.Server.Slack
	people := func() []playbooks.Person { return c.People }
	options := slack.CheckOptions{Channels: slices.Clone(s.Channels), Groups: usergroups(c)}
	for i := range c.Environments {
		for _, channel := range c.Environments[i].Channels {
			if !slices.Contains(options.Channels, channel) {
				options.Channels = append(options.Channels, channel)
			}
		}
	}
	if s.SigningSecret.Reveal() != "" {
		options.HTTPURL = config.Server.URL
	}
	// What is logged on the way is in what is found.
	found := slack.New(slackOptions(s, people, nil, slog.New(slog.DiscardHandler))).Check(ctx, options)
	if s.SigningSecret.Reveal() != "" && options.HTTPURL == "" {
		found = append(found, steps.Finding{
			What: "the signing secret cannot be tried: nobody knows where Slack's deliveries arrive",
			Fix:  "give server: url, or leave signingSecret out where Socket Mode is used",
		})
	}
	return found
}

// usergroups are those of Slack's that the groups of a catalog name.
func usergroups(c *playbooks.Catalog) []string {
	named := make(map[string]bool)
	for i := range c.Groups {
		if from := c.Groups[i].From[slack.System]; from != "" {
			named[from] = true
		}
	}
	return slices.Sorted(maps.Keys(named))
}
