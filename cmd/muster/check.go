package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/playbooks"
)

func newCheck() *cobra.Command {
	var path string
	var online bool
	c := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Find everything that is wrong with a configuration",
		Long: "Check reads the configuration and plans a release of everything to each environment,\n" +
			"offline. It lists every mistake and exits with 2 if there is one.\n\n" +
			"With --online it then asks the outside systems that are configured: do they take the\n" +
			"tokens, is everything there that the configuration names, may Muster do there what it\n" +
			"has to. It changes nothing, and exits with 1 if something is wrong.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := required(c, "config"); err != nil {
				return err
			}
			config, err := loadConfig(path)
			if err != nil {
				return err
			}
			plans, problems := planEverything(config)
			if len(problems) > 0 {
				return usageError{configError(path, &configs.Errors{Problems: problems})}
			}
			if _, err = fmt.Fprintln(c.OutOrStdout(), summary(path, config, plans)); err != nil || !online {
				return err
			}
			return checkOnline(c.Context(), c.OutOrStdout(), config)
		},
	}
	c.Flags().StringVar(&path, "config", "", "the configuration, a file or a folder")
	c.Flags().BoolVar(&online, "online", false, "ask the outside systems that are configured, too")
	return c
}

// notMistakes are reasons for having no plan of everything that say nothing
// against the configuration.
var notMistakes = []string{"nothing-to-release", "no-version"}

// planEverything plans a release of all modules to each environment. A mistake
// that shows in several environments is returned once.
func planEverything(config *configs.Config) (plans []*playbooks.Playbook, problems []configs.Problem) {
	for _, env := range config.Catalog.Environments {
		pb, err := playbooks.Compile(config.Catalog, playbooks.Request{Environment: env.Name, All: true}, playbooks.Facts{})
		var refused *playbooks.PlanError
		switch {
		case err == nil:
			plans = append(plans, pb)
		case errors.As(err, &refused):
			refused.Problems = slices.DeleteFunc(refused.Problems, func(p playbooks.Problem) bool {
				return slices.Contains(notMistakes, p.Code)
			})
			problems = append(problems, located(config, refused)...)
		default:
			problems = append(problems, config.Problem(err.Error(), "environments", env.Name))
		}
	}
	slices.SortStableFunc(problems, func(a, b configs.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	return plans, slices.Compact(problems)
}

// summary says in one paragraph what a good configuration holds.
func summary(path string, config *configs.Config, plans []*playbooks.Playbook) string {
	c := config.Catalog
	needs := 0
	for i := range c.Modules {
		needs += len(c.Modules[i].Needs)
	}
	names := make([]string, len(c.Environments))
	for i := range c.Environments {
		names[i] = c.Environments[i].Name
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s is good: %s", path, count(len(c.Modules), "module"))
	if needs > 0 {
		fmt.Fprintf(&b, " with %s", count(needs, "need"))
	}
	if waves := longest(plans); waves > 0 {
		fmt.Fprintf(&b, " in %s", count(waves, "wave"))
	}
	fmt.Fprintf(&b, "; %s (%s)", count(len(c.Environments), "environment"), strings.Join(names, ", "))
	if len(c.People) > 0 {
		people := "people"
		if len(c.People) == 1 {
			people = "person"
		}
		fmt.Fprintf(&b, "; %d %s in %s", len(c.People), people, count(len(c.Groups), "group"))
	}
	fmt.Fprintf(&b, "; read from %s.", count(len(config.Files), "file"))
	for _, env := range c.Environments {
		if env.Approvals == nil {
			fmt.Fprintf(&b, "\n%s says nothing about approvals, so nothing can be released there until it does: add rules, or approvals: none.", env.Name)
		}
	}
	if s := config.Server.Slack; s != nil && len(s.Channels) == 0 {
		for _, env := range c.Environments {
			if len(env.Channels) == 0 {
				fmt.Fprintf(&b, "\nReleases to %s are shown nowhere in Slack: it has no channels, and server: slack: has none for it.", env.Name)
			}
		}
	}
	return b.String()
}

func longest(plans []*playbooks.Playbook) int {
	waves := 0
	for _, pb := range plans {
		waves = max(waves, len(pb.Waves))
	}
	return waves
}
