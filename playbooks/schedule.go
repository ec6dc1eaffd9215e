package playbooks

import (
	"math/rand/v2"
	"slices"
	"time"
)

// How much work NewBook puts into finding a good order: no more than this many
// tries, and fewer for large playbooks, where the longest chain is a good guide.
const (
	scheduleTries = 400
	scheduleWork  = 60_000 // steps played in all
)

// arrange decides what starts first under the playbook's limit. The longest
// chain first is a good rule, but with few places it leaves gaps; so the book plays the
// release by its estimates, shakes the order a little, and keeps what was
// quicker. The same playbook always gets the same order.
func (b *Book) arrange() {
	b.priority = b.Priorities()
	s := &schedule{book: b, limit: b.Limit, takes: make([]time.Duration, len(b.Steps))}
	var work time.Duration
	effects := 0
	for i := range b.Steps {
		s.takes[i] = b.Steps[i].estimate()
		if b.Steps[i].Kind.HasEffect() {
			work += s.takes[i]
			effects++
		}
	}
	if b.Limit <= 0 || effects <= b.Limit {
		return
	}
	bound := max(slices.Max(b.priority), work/time.Duration(b.Limit))
	best := b.priority
	shortest := s.play(best)
	rng := rand.New(rand.NewPCG(1, uint64(len(b.Steps))))
	tries := min(scheduleTries, scheduleWork/len(b.Steps))
	for try := range tries {
		if shortest <= bound {
			break
		}
		// Half of the tries start from the best so far, half from the chains.
		from, shake := best, 0.3
		if try%2 == 1 {
			from, shake = b.priority, 0.8
		}
		next := make([]time.Duration, len(from))
		for i, p := range from {
			next[i] = time.Duration(float64(p) * (1 + shake*(2*rng.Float64()-1)))
		}
		if length := s.play(next); length < shortest {
			best, shortest = next, length
		}
	}
	b.priority = best
}

// schedule plays a playbook by its estimates.
type schedule struct {
	book    *Book
	limit   int
	takes   []time.Duration
	waiting []int32
	ready   []int32 // steps with an effect that wait for a place
	running []underway
}

type underway struct {
	ends   time.Duration
	step   int32
	effect bool
}

// play returns how long the release takes when ready steps start in the order
// of priority.
func (s *schedule) play(priority []time.Duration) time.Duration {
	s.waiting, s.ready, s.running = s.waiting[:0], s.ready[:0], s.running[:0]
	for i := range s.book.Steps {
		s.waiting = append(s.waiting, int32(len(s.book.needs[i])))
	}
	now, busy := time.Duration(0), 0
	for i := range s.waiting {
		if s.waiting[i] == 0 {
			s.open(int32(i), now)
		}
	}
	for {
		for busy < s.limit && len(s.ready) > 0 {
			pick := 0
			for k := range s.ready {
				if priority[s.ready[k]] > priority[s.ready[pick]] {
					pick = k
				}
			}
			step := s.ready[pick]
			s.ready = slices.Delete(s.ready, pick, pick+1)
			s.running = append(s.running, underway{now + s.takes[step], step, true})
			busy++
		}
		if len(s.running) == 0 {
			return now
		}
		first := 0
		for k := range s.running {
			if s.running[k].ends < s.running[first].ends {
				first = k
			}
		}
		ended := s.running[first]
		s.running = slices.Delete(s.running, first, first+1)
		now = ended.ends
		if ended.effect {
			busy--
		}
		for _, d := range s.book.dependents[ended.step] {
			if s.waiting[d]--; s.waiting[d] == 0 {
				s.open(d, now)
			}
		}
	}
}

// open lets a step begin, or wait for a place if it has an effect.
func (s *schedule) open(step int32, now time.Duration) {
	if s.book.Steps[step].Kind.HasEffect() {
		s.ready = append(s.ready, step)
	} else {
		s.running = append(s.running, underway{now + s.takes[step], step, false})
	}
}
