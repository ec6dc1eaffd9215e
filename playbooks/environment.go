package playbooks

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// EnvironmentState is the fold of an environment's log: what spans the runs
// there. Apply alone changes it. It is not safe for concurrent use.
type EnvironmentState struct {
	Name    string
	Len     uint64
	Locks   map[Place]string // place → run
	Queue   []Waiting        // in the order of arrival
	Freezes []Freeze
	Live    map[Place]Live // what runs have verified

	causes map[string]bool // of freezes and their ends
}

// Waiting is a run's place in the queue for locks.
type Waiting struct {
	Run    string
	Since  Event
	Places []Place
}

// NewEnvironmentState returns the state before the first event.
func NewEnvironmentState(name string) *EnvironmentState {
	return &EnvironmentState{Name: name, Locks: make(map[Place]string), Live: make(map[Place]Live), causes: make(map[string]bool)}
}

// Caused reports whether a freeze, or the end of one, has that cause.
func (s *EnvironmentState) Caused(cause string) bool { return cause != "" && s.causes[cause] }

// Apply changes the state by one event of the environment's log; see Run.Apply.
func (s *EnvironmentState) Apply(e Event) error {
	switch e.Type {
	case EventEnqueued:
		s.Queue = append(s.Queue, Waiting{Run: e.Run, Since: e, Places: e.Locks})
	case EventLocked:
		for _, p := range e.Locks {
			if holder, taken := s.Locks[p]; taken && holder != e.Run {
				return fmt.Errorf("environment %q, event %d (%s): %v is locked by run %s", s.Name, s.Len+1, e.Type, p, holder)
			}
			s.Locks[p] = e.Run
		}
		s.leaveQueue(e.Run)
	case EventUnlocked:
		maps.DeleteFunc(s.Locks, func(_ Place, run string) bool { return run == e.Run })
		s.leaveQueue(e.Run)
	case EventFrozen:
		if e.Freeze == nil {
			return fmt.Errorf("environment %q, event %d (%s): says nothing of the freeze", s.Name, s.Len+1, e.Type)
		}
		s.unfreeze(e.Freeze.Module)
		s.Freezes = append(s.Freezes, *e.Freeze)
		s.causes[e.Cause] = true
	case EventUnfrozen:
		s.unfreeze(e.Module)
		s.causes[e.Cause] = true
	case EventLive:
		if e.Live == nil {
			return fmt.Errorf("environment %q, event %d (%s): says nothing of what is live", s.Name, s.Len+1, e.Type)
		}
		s.Live[e.Live.Place] = *e.Live
	case EventRefused:
	default:
		return fmt.Errorf("environment %q, event %d (%s): unknown type; a newer Muster wrote this log", s.Name, s.Len+1, e.Type)
	}
	s.Len++
	return nil
}

func (s *EnvironmentState) leaveQueue(run string) {
	s.Queue = slices.DeleteFunc(s.Queue, func(w Waiting) bool { return w.Run == run })
}

func (s *EnvironmentState) unfreeze(module string) {
	s.Freezes = slices.DeleteFunc(s.Freezes, func(f Freeze) bool { return f.Module == module })
}

// frozen returns the freeze that stands in the way of releasing modules now.
func (s *EnvironmentState) frozen(modules []string, now time.Time) *Freeze {
	for i := range s.Freezes {
		f := &s.Freezes[i]
		if f.Active(now) && (f.Module == "" || slices.Contains(modules, f.Module)) {
			return f
		}
	}
	return nil
}

// free reports whether run may take all places now: nobody else holds one, and
// nobody who came before is waiting for one.
func (s *EnvironmentState) free(run string, places []Place) bool {
	wanted := make(map[Place]bool, len(places))
	for _, p := range places {
		if holder, taken := s.Locks[p]; taken && holder != run {
			return false
		}
		wanted[p] = true
	}
	for _, w := range s.Queue {
		if w.Run == run {
			break
		}
		for _, p := range w.Places {
			if wanted[p] {
				return false
			}
		}
	}
	return true
}
