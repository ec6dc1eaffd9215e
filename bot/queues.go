package bot

import (
	"context"
	"sync"
	"time"
)

// queues does work side by side: what has the same key in order, one after the
// other, and no more than so many pieces at once.
type queues struct {
	slots chan struct{}
	work  sync.WaitGroup

	mu   sync.Mutex
	todo map[string][]func() // a key is there while somebody works on it
}

func newQueues(workers int) *queues {
	return &queues{slots: make(chan struct{}, workers), todo: make(map[string][]func())}
}

// add returns at once.
func (q *queues) add(key string, work func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	todo, busy := q.todo[key]
	q.todo[key] = append(todo, work)
	if !busy {
		q.work.Go(func() { q.drain(key) })
	}
}

// addAfter is add after some time, unless ctx ends before. It is called by work.
func (q *queues) addAfter(ctx context.Context, wait time.Duration, key string, work func()) {
	q.work.Go(func() {
		select {
		case <-time.After(wait):
			q.add(key, work)
		case <-ctx.Done():
		}
	})
}

func (q *queues) drain(key string) {
	for {
		q.mu.Lock()
		todo := q.todo[key]
		if len(todo) == 0 {
			delete(q.todo, key)
			q.mu.Unlock()
			return
		}
		q.todo[key] = todo[1:]
		q.mu.Unlock()
		q.slots <- struct{}{}
		todo[0]()
		<-q.slots
	}
}

// wait returns when nothing is left to do. Nothing new may be added meanwhile
// but by the work itself.
func (q *queues) wait() { q.work.Wait() }
