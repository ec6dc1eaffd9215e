package bot

import (
	"errors"

	"github.com/muster-release/muster/playbooks/engine"
)

// Final reports whether an answer is the last word: the line was carried out, or is
// refused whenever it comes again. After any other the same line with the same Cause may be
// executed again, and finds out.
func (a Answer) Final() bool {
	return a.Err == nil || isPermanent(a.Err) || errors.Is(a.Err, engine.ErrNoRun) || errors.Is(a.Err, engine.ErrNoPlan)
}
