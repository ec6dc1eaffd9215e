package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/playbooks"
)

// planFlags are what `muster plan` was told.
type planFlags struct {
	config, to, output, diff, data string
	all                            bool
}

// planFormats are the values of --output.
var planFormats = []string{"text", "json", "mermaid", "dot"}

func newPlan() *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use:   "plan --config FILE --to ENV (MODULE[@VERSION]... | --all)",
		Short: "Show what a release would do, without touching anything",
		Long: "Plan compiles a playbook from the configuration alone: it asks no other system and\n" +
			"changes nothing. What is live in an environment is therefore not known to it.",
		Example: "  muster plan --config muster.yaml --to production cart@v1.2.0 redis\n" +
			"  muster plan --config muster.yaml --to production --all -o json > before.json\n" +
			"  muster plan --config muster.yaml --to production --all --diff before.json",
		RunE: func(c *cobra.Command, args []string) error { return plan(c, f, args) },
	}
	c.Flags().StringVar(&f.config, "config", "", "the configuration, a file or a folder")
	c.Flags().StringVar(&f.to, "to", "", "the environment to release to")
	c.Flags().BoolVar(&f.all, "all", false, "release every module of the catalog")
	c.Flags().StringVarP(&f.output, "output", "o", "text", "how to show it: "+strings.Join(planFormats, ", "))
	c.Flags().StringVar(&f.diff, "diff", "", "show what differs from an earlier -o json, or from a run in --data")
	c.Flags().StringVar(&f.data, "data", "", "the data folder of a stopped server, for --diff RUN")
	return c
}

func plan(c *cobra.Command, f planFlags, args []string) error {
	if err := required(c, "config", "to"); err != nil {
		return err
	}
	switch {
	case f.all && len(args) > 0:
		return misuse("plan: --all names every module already; leave out %s", strings.Join(args, " "))
	case !f.all && len(args) == 0:
		return misuse("plan: which modules? Name them as MODULE or MODULE@VERSION, or say --all")
	case !slices.Contains(planFormats, f.output):
		return misuse("plan: --output %q: want one of %s", f.output, strings.Join(planFormats, ", "))
	case f.diff != "" && c.Flags().Changed("output"):
		return misuse("plan: --diff is for people and has no --output")
	}
	request := playbooks.Request{Environment: f.to, All: f.all}
	for _, arg := range args {
		name, version, versioned := strings.Cut(arg, "@")
		if name == "" || versioned && version == "" {
			return misuse("plan: %q: want MODULE or MODULE@VERSION", arg)
		}
		request.Modules = append(request.Modules, playbooks.ModuleRef{Name: name, Version: version})
	}
	config, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	pb, err := playbooks.Compile(config.Catalog, request, playbooks.Facts{})
	if err != nil {
		return planError(config, err)
	}
	if f.diff != "" {
		before, err := earlier(c, f)
		if err != nil {
			return err
		}
		_, err = io.WriteString(c.OutOrStdout(), playbooks.DiffPlans(before, pb).String())
		return err
	}
	return writePlan(c.OutOrStdout(), f.output, pb)
}

func writePlan(w io.Writer, format string, pb *playbooks.Playbook) error {
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(pb)
	case "mermaid":
		return playbooks.WriteMermaid(w, pb)
	case "dot":
		return playbooks.WriteDot(w, pb)
	}
	return playbooks.WriteText(w, pb)
}

// earlier finds what --diff compares with: a file, or else the number of a run.
func earlier(c *cobra.Command, f planFlags) (*playbooks.Playbook, error) {
	data, err := os.ReadFile(f.diff)
	if err == nil {
		pb := new(playbooks.Playbook)
		if err := json.Unmarshal(data, pb); err != nil {
			return nil, misuse("plan: --diff %s: it is no plan, make one with -o json: %w", f.diff, err)
		}
		if err := pb.Check(); err != nil {
			return nil, misuse("plan: --diff %s: it was changed, or is no whole plan: %w", f.diff, err)
		}
		return pb, nil
	}
	run, notRun := strconv.Atoi(f.diff)
	switch {
	case notRun != nil || run <= 0 || !errors.Is(err, fs.ErrNotExist):
		return nil, misuse("plan: --diff: want a plan that -o json has written, or the number of a run: %w", err)
	case f.data == "":
		return nil, misuse("plan: --diff %d: say with --data in which folder run %d is kept", run, run)
	}
	a, err := openArchive(f.data)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	return a.playbook(c.Context(), strconv.Itoa(run))
}

// planError says why there is no plan, with the place in the configuration where
// that can be said.
func planError(config *configs.Config, err error) error {
	var refused *playbooks.PlanError
	if !errors.As(err, &refused) {
		return fmt.Errorf("plan: %w", err)
	}
	problems := located(config, refused)
	title := "there is no plan"
	if refused.Environment != "" {
		title += " for " + strconv.Quote(refused.Environment)
	}
	return usageError{fmt.Errorf("%s: %s\n\n%s", title, count(len(problems), "problem"), problemText(problems))}
}

// located gives each problem of a plan its place in the configuration.
func located(config *configs.Config, refused *playbooks.PlanError) []configs.Problem {
	problems := make([]configs.Problem, len(refused.Problems))
	for i, p := range refused.Problems {
		problems[i] = config.Problem(p.String(), place(config.Catalog, p)...)
	}
	return problems
}

// place is the way to what a problem is about, for configs.Config.Problem.
func place(c *playbooks.Catalog, p playbooks.Problem) []string {
	m := c.Module(p.Module)
	if m == nil {
		return nil
	}
	switch p.Code {
	case "cycle":
		for _, cycle := range playbooks.Cycles(c) {
			if cycle[0] == m.Name {
				return []string{"modules", m.Name, "needs", cycle[1]}
			}
		}
	case "constraint":
		for _, need := range m.Needs {
			if need.Constraint != "" && strings.Contains(p.Message, need.Module+" "+need.Constraint) {
				return []string{"modules", m.Name, "needs", need.Module}
			}
		}
	}
	return []string{"modules", m.Name}
}
