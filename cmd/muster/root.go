package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes, part of the command line's contract.
const (
	exitOK     = 0
	exitFailed = 1 // the thing asked for was tried and failed
	exitUsage  = 2 // what was asked for, or the configuration, makes no sense
)

// streams are the process's standard streams.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is a mistake in what was typed, or in the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func misuse(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// said is a failure that people have read about already.
type said struct{ code int }

func (s said) Error() string { return "see above" }

// run carries out a command line and returns the exit code.
func run(args []string, s streams) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	root := newRoot(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var done said
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &done):
		return done.code
	case errors.As(err, &usage):
		fmt.Fprintf(s.err, "muster: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(s.err, "muster: %v\n", err)
	return exitFailed
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "muster",
		Short: "Release coordination for many modules, in conversation",
		Long: "Muster knows your modules and what each one needs. It compiles a release playbook\n" +
			"from that, asks people, drives the deployment and keeps everyone informed.\n\n" +
			"Try it now, with nothing configured:\n\n  muster demo",
		Args:              noArguments,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		newDemo(), newPlan(), newCheck(), newDiscover(), newServe(),
		newAudit(), newHealth(), newVersion(),
	)
	return root
}

// flagError says what was wrong with a flag, without the words of what parsed it.
func flagError(c *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return misuse("%w; see %s --help", err, c.CommandPath())
	}
	f := invalid.GetFlag()
	want := "another value"
	switch f.Value.Type() {
	case "float64":
		want = "a number such as 10"
	case "int":
		want = "a whole number such as 10"
	case "duration":
		want = "a time such as 90s or 5m"
	case "bool":
		want = "true or false"
	}
	return misuse("--%s %s: want %s; see %s --help", f.Name, invalid.GetValue(), want, c.CommandPath())
}

// noArguments refuses arguments, with the commands there are.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !c.HasSubCommands() {
		return misuse("%s takes no arguments, found %q; see %s --help", c.CommandPath(), args[0], c.CommandPath())
	}
	c.SuggestionsMinimumDistance = 2
	hint := "see " + c.CommandPath() + " --help"
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %s %s?", c.CommandPath(), strings.Join(near, " or "))
	}
	return misuse("there is no command %q; %s", c.CommandPath()+" "+args[0], hint)
}

// required refuses a flag that was left out.
func required(c *cobra.Command, flags ...string) error {
	for _, name := range flags {
		if f := c.Flags().Lookup(name); f.Value.String() == "" {
			return misuse("--%s is missing: %s; see %s --help", name, f.Usage, c.CommandPath())
		}
	}
	return nil
}
