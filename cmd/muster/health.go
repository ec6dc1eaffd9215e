package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newHealth() *cobra.Command {
	var url string
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask a running server whether it is well",
		Long: "Health asks a server and exits with 0 if the answer is a good one, so that a container\n" +
			"needs no other program for its health check.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			req, err := http.NewRequestWithContext(c.Context(), http.MethodGet, url, nil)
			if err != nil {
				return misuse("health: %w", err)
			}
			client := &http.Client{Timeout: 5 * time.Second}
			resp, err := client.Do(req)
			if err != nil {
				return fmt.Errorf("health: %w", err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
			text := strings.TrimSpace(string(body))
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("health: %s answers %s: %s", url, resp.Status, text)
			}
			_, errOut := fmt.Fprintln(c.OutOrStdout(), text)
			return errors.Join(err, errOut)
		},
	}
	c.Flags().StringVar(&url, "url", "http://127.0.0.1:8080/healthz", "what to ask: /healthz (it lives) or /readyz (it works)")
	return c
}
