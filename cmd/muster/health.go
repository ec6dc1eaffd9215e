package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthTime is how long a server may take to say how it is.
const healthTime = 5 * time.Second

func newHealth() *cobra.Command {
	var address string
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask a running server whether it is well",
		Long: "Health asks a server and exits with 0 if the answer is a good one, so that a container\n" +
			"needs no other program for its health check.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			u, err := url.Parse(address)
			if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return misuse("--url %s: want an address that begins with http:// or https://, such as %s", address, c.Flags().Lookup("url").DefValue)
			}
			answer, err := askHealth(c.Context(), u)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), answer)
			return err
		},
	}
	c.Flags().StringVar(&address, "url", "http://127.0.0.1:8080/healthz", "what to ask: /healthz (it lives) or /readyz (it works)")
	return c
}

// askHealth returns what a server answers, if it is well.
func askHealth(ctx context.Context, u *url.URL) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", fmt.Errorf("health: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	var failed *net.OpError
	var asking *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "", fmt.Errorf("%s gives no answer within %v", u.Host, healthTime)
	case errors.As(err, &failed) && failed.Op == "dial":
		return "", fmt.Errorf("nothing answers at %s: start `muster serve`, or name another with --url", u.Host)
	case errors.As(err, &asking):
		return "", fmt.Errorf("what answers at %s is no Muster: %w", u.Host, asking.Err)
	case err != nil:
		return "", fmt.Errorf("health: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return "", fmt.Errorf("health: %s: the answer broke off: %w", u.Host, err)
	}
	text := strings.TrimSpace(string(body))
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("health: %s answers %s: %s", u, resp.Status, text)
	}
	return text, nil
}
