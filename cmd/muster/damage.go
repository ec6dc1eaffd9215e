package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/muster-release/muster/store"
)

// damagedLogs are the names of logs that are not what was written. It is a
// store.ErrCorrupt.
type damagedLogs []string

func (d damagedLogs) Error() string {
	const most = 5
	switch {
	case len(d) == 1:
		return "the log " + d[0] + " is not what was written"
	case len(d) > most:
		return fmt.Sprintf("the logs %s and %d more are not what was written", strings.Join(d[:most], ", "), len(d)-most)
	}
	last := len(d) - 1
	return fmt.Sprintf("the logs %s and %s are not what was written", strings.Join(d[:last], ", "), d[last])
}

func (damagedLogs) Unwrap() error { return store.ErrCorrupt }

// verifyLogs computes the hashes of all that Muster would go on with: the logs of
// the environments and of the runs that are not over. What is over can wait for
// `muster audit verify`, however much it is.
func verifyLogs(ctx context.Context, logs *store.Logs, openRuns []string) error {
	var names []string
	for head, err := range logs.List(ctx, "env/") {
		if err != nil {
			return err
		}
		names = append(names, head.Log)
	}
	for _, run := range openRuns {
		names = append(names, "run/"+run)
	}
	var damaged damagedLogs
	for _, name := range names {
		head, err := logs.Verify(ctx, name)
		switch {
		case errors.Is(err, store.ErrCorrupt), err == nil && head.Len == 0: // a run has a first event
			damaged = append(damaged, name)
		case err != nil:
			return err
		}
	}
	if damaged == nil {
		return nil
	}
	return damaged
}
