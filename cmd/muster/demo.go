package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// demoFlags are what `muster demo` was told.
type demoFlags struct {
	auto   bool
	faults []string
	data   string
	speed  float64
	to     string
	killAt string
}

func newDemo() *cobra.Command {
	f := demoFlags{speed: 1, to: "production"}
	c := &cobra.Command{
		Use:   "demo",
		Short: "See a whole release, in a world inside this program",
		Long: "Demo releases Online Boutique, a shop of twelve services, to a cluster that exists only\n" +
			"inside this program, with a chat, a tracker and a forge of the same kind. Two colleagues,\n" +
			"ann and bob, are there to approve.\n\n" +
			"On a terminal it is a conversation. With --auto, or where there is no terminal, it plays\n" +
			"by itself and exits with 0 when the release is complete. A release that a --fault stops is\n" +
			"explained and rolled back; that it was rolled back as it should is a 0, too.\n\n" +
			"A fault is MODULE=KIND, or MODULE/STEP=KIND. Kinds that stop a release: fail, unhealthy,\n" +
			"stuck, timeout. Kinds that Muster gets over by itself: flaky, lost, down; a release that\n" +
			"one of these alone has stopped is not as it should be, and a 1.",
		Example: "  muster demo\n" +
			"  muster demo --auto --speed 10\n" +
			"  muster demo --auto --fault checkoutservice=unhealthy\n" +
			"  muster demo --data /tmp/demo    # kill it, and start it again",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return runDemo(c, f) },
	}
	c.Flags().BoolVar(&f.auto, "auto", false, "play it without waiting for anybody")
	c.Flags().StringArrayVar(&f.faults, "fault", nil, "make something go wrong: MODULE=KIND; may be given several times")
	c.Flags().StringVar(&f.data, "data", "", "keep everything in this folder, and go on from there")
	c.Flags().Float64Var(&f.speed, "speed", f.speed, "how many times faster than normal it goes")
	c.Flags().StringVar(&f.to, "to", f.to, "the environment to release to")
	c.Flags().StringVar(&f.killAt, "kill-at", "", "for tests: end this process with SIGKILL at the n-th POINT:N, of intent, effect or post")
	_ = c.Flags().MarkHidden("kill-at")
	return c
}

func runDemo(c *cobra.Command, f demoFlags) (err error) {
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	out := c.OutOrStdout()
	width, isTerminal := terminal(out)
	talk := isTerminal && !f.auto && canType(c.InOrStdin())
	d, err := openDemo(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.app.Stop()) }()
	d.app.Start(ctx)
	finished := d.colleagues(ctx)
	defer finished() // after cancel, before Stop
	defer cancel()
	if isTerminal {
		return d.show(ctx, c.InOrStdin(), out, talk, os.Getenv("NO_COLOR") == "")
	}
	return d.plain(ctx, out, width)
}

// terminal reports whether w is a terminal that can be drawn on, and how wide a
// text for it should be.
func terminal(w io.Writer) (width int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return plainWidth, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return plainWidth, false
	}
	return width, os.Getenv("TERM") != "dumb"
}

// plainWidth is for pipes and files.
const plainWidth = 80

func canType(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// again is the command line that goes on with a demo.
func (f demoFlags) again() string {
	words := []string{"muster demo"}
	if f.auto {
		words = append(words, "--auto")
	}
	for _, fault := range f.faults {
		words = append(words, "--fault", fault)
	}
	if f.speed != 1 {
		words = append(words, "--speed", fmt.Sprint(f.speed))
	}
	if f.to != "production" {
		words = append(words, "--to", f.to)
	}
	return strings.Join(append(words, "--data", f.data), " ")
}

// welcomeBack says how things are in a world that was there before.
func (d *demo) welcomeBack(ctx context.Context) string {
	if s, err := d.stage(ctx); err == nil && s.over {
		return fmt.Sprintf("This release is over; remove %s or name another folder to see it again.", d.flags.data)
	}
	return "Going on where it was left."
}

// farewell says what became of a demo that was left early.
func (d *demo) farewell() string {
	if d.flags.data == "" {
		return "Left. This world was in memory and is gone; with --data DIR it would be kept."
	}
	return "Left. Nothing is lost: run the same command to go on.\n  " + d.flags.again()
}
