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
	"github.com/muster-release/muster/integrations/slack"
	"github.com/muster-release/muster/playbooks"
)

// onlineTime is how long all questions to outside systems may take together.
const onlineTime = time.Minute

// checkOnline asks the outside systems that are configured whether they are as the
// configuration has them, and writes a line for each thing it looked at.
func checkOnline(ctx context.Context, out io.Writer, config *configs.Config) error {
	if config.Server.Slack == nil {
		_, err := fmt.Fprintln(out, "There is nothing to check online: no outside system is configured. For Slack see server: slack:.")
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, onlineTime, errors.New("it takes too long"))
	defer cancel()
	wrong := 0
	for _, f := range checkSlack(ctx, config) {
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
	if wrong == 0 {
		_, err := fmt.Fprintln(out, "Slack is as the configuration has it.")
		return err
	}
	if _, err := fmt.Fprintf(out, "%s to mend in Slack or in the configuration.\n", count(wrong, "thing")); err != nil {
		return err
	}
	return said{exitFailed}
}

func checkSlack(ctx context.Context, config *configs.Config) []slack.Finding {
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
		found = append(found, slack.Finding{
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
