// Package alone runs a fake as a program of its own, for an app that is pointed at it.
package alone

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Program runs a fake with the arguments of the command line until ctx is over. It prints what the
// app has to be told.
type Program func(ctx context.Context, args []string, out io.Writer) error

// Main is the main function of a program: it ends with SIGINT or SIGTERM. It does not return after an
// error.
func Main(p Program) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := p(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Flags returns the flags that every program has: --listen, the address of what is served there. The
// program adds its own and parses them.
func Flags(name, address, served string, out io.Writer) (flags *flag.FlagSet, listen *string) {
	flags = flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(out)
	return flags, flags.String("listen", address, served)
}

// Serve lets a fake answer who connects to l, until ctx is over, and closes l.
func Serve(ctx context.Context, l net.Listener, fake http.Handler) error {
	server := &http.Server{Handler: fake, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve at %q: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	err := server.Close()
	<-ended
	return err
}
