package bot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/muster-release/muster/bot/chat"
)

// callTime is the longest that one call of a chat or tracker may take.
const callTime = 20 * time.Second

// calling limits one call of a port.
func calling(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, callTime, fmt.Errorf("no answer within %v", callTime))
}

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

func isGone(err error) bool {
	var g chat.Gone
	return errors.As(err, &g) && g.Gone()
}

// retryAfter reports when a port that refused a call for now wants it again.
func retryAfter(err error) (time.Duration, bool) {
	var r interface{ RetryAfter() time.Duration }
	if errors.As(err, &r) {
		return r.RetryAfter(), true
	}
	return 0, false
}

// refused reports whether a call that failed certainly had no effect.
func refused(err error) bool {
	_, later := retryAfter(err)
	return later || isPermanent(err) || isGone(err)
}
