package calls

import (
	"sync"
	"time"
)

// mostKnown bounds what a Memory has.
const mostKnown = 10_000

// Memory is what a system has said, by what it was asked about, for as long as each answer counts. The
// zero value is empty. Its methods may be called concurrently.
type Memory[T any] struct {
	mu    sync.Mutex
	known map[string]known[T]
}

type known[T any] struct {
	value T
	until time.Time
}

// Get returns a value that still counts.
func (m *Memory[T]) Get(key string) (T, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.known[key]
	return k.value, ok && time.Now().Before(k.until)
}

// Put remembers a value for as long as it lasts. Where there are too many all are forgotten: whoever
// floods us makes us ask again.
func (m *Memory[T]) Put(key string, value T, lasts time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= mostKnown {
		m.known = make(map[string]known[T])
	}
	m.known[key] = known[T]{value, time.Now().Add(lasts)}
}
