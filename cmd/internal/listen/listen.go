// Package listen opens the address that a program serves at, and says for people why it cannot.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// At listens at HOST:PORT. Its errors are Explained.
func At(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, Explain(address, err)
	}
	return l, nil
}

// Explain says what is wrong with an address that the flag --listen has given, if that is what err is
// about; every other error it returns as it is.
func Explain(address string, err error) error {
	var failed *net.OpError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("the address %s is in use by another program: stop that one, or choose another with --listen", address)
	case errors.As(err, &failed) && failed.Op == "listen":
		return fmt.Errorf("the address %s cannot be listened at: %w", address, failed.Err)
	}
	return err
}
