package intake

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// workers is how many subjects are handled at the same time.
const workers = 16

// entry is an event in a line. What it says stays in the store until it is its turn.
type entry struct {
	number          uint64
	key             string // of known
	source, subject string
}

// line is what waits for one subject, oldest first. It is a queue, and no line of the
// command language, which is a bot.Line. It is in its source's ready list, or somebody works on its
// first entry, or it waits for a timer.
type line struct {
	source   *source
	name     string
	waiting  []*entry
	failures int       // of the first entry, in a row
	began    time.Time // when it failed first
}

// source is a system whose events wait. While it does not answer, all of them do.
type source struct {
	ready    []*line
	failures int
	until    time.Time
}

// add puts an event into its line, once.
func (in *Intake) add(e *entry) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.held[e.number] {
		return
	}
	in.held[e.number] = true
	name := e.source + "\x00" + e.subject
	l := in.lines[name]
	if l == nil {
		s := in.sources[e.source]
		if s == nil {
			s = new(source)
			in.sources[e.source] = s
		}
		l = &line{source: s, name: name}
		in.lines[name] = l
		s.ready = append(s.ready, l)
	}
	l.waiting = append(l.waiting, e)
	token(in.wake)
}

// next takes a line whose first event may be handled now, and else says how long there will
// be none; 0: until something happens.
func (in *Intake) next() (*line, *entry, time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	var oldest *source
	var wait time.Duration
	for _, s := range in.sources {
		if len(s.ready) == 0 {
			continue
		}
		if left := time.Until(s.until); left > 0 {
			if wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		if oldest == nil || s.ready[0].waiting[0].number < oldest.ready[0].waiting[0].number {
			oldest = s
		}
	}
	if oldest == nil {
		return nil, nil, wait
	}
	l := oldest.ready[0]
	oldest.ready = oldest.ready[1:]
	return l, l.waiting[0], 0
}

// dispatch hands lines to workers until ctx ends, and waits for them.
func (in *Intake) dispatch(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	slots := make(chan struct{}, workers)
	for ctx.Err() == nil {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		l, first, wait := in.next()
		if l != nil {
			work.Go(func() {
				defer func() { <-slots }()
				in.settle(ctx, l, in.handle(ctx, first))
			})
			continue
		}
		<-slots
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-in.wake:
		case <-timer:
		case <-ctx.Done():
		}
	}
}

// unanswered is the error of a system that did not say what is true: others of its events
// will not fare better.
type unanswered struct{ error }

func (u unanswered) Unwrap() error { return u.error }

// The longest waits before something is tried again.
const (
	restSource = time.Minute
	restLine   = time.Minute
	restBusy   = time.Hour // whatever a system says that is too busy
)

// patience is the wait after so many failures in a row, at least 1.
func patience(failures int, most time.Duration) time.Duration {
	return min(time.Second<<min(failures-1, 10), most)
}

// settle takes the first entry out of a line unless an error says that it is to be handled
// again, and decides when the line goes on.
func (in *Intake) settle(ctx context.Context, l *line, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	defer token(in.wake)
	if err != nil && ctx.Err() != nil {
		l.source.ready = slices.Insert(l.source.ready, 0, l) // for the next Run, or process
		return
	}
	if err == nil {
		l.failures, l.began = 0, time.Time{}
		delete(in.held, l.waiting[0].number)
		l.waiting = l.waiting[1:]
		if len(l.waiting) == 0 {
			delete(in.lines, l.name)
			return
		}
		l.source.ready = append(l.source.ready, l)
		return
	}
	wait, later := retryAfter(err)
	wait = min(wait, restBusy)
	origin := errors.As(err, new(unanswered))
	if !later {
		l.failures++
		if l.began.IsZero() {
			l.began = time.Now()
		}
		wait = patience(l.failures, restLine)
	}
	wait = max(wait, time.Second)
	if origin {
		pause := wait
		if !later {
			l.source.failures++
			pause = patience(l.source.failures, restSource)
		}
		if until := time.Now().Add(pause); until.After(l.source.until) {
			l.source.until = until
		}
		if later {
			// It is the system that is to be left alone, and not this event that is odd.
			l.source.ready = slices.Insert(l.source.ready, 0, l)
			return
		}
	}
	time.AfterFunc(wait, func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		l.source.ready = append(l.source.ready, l)
		token(in.wake)
	})
}

// answered notes that a system says what is true.
func (in *Intake) answered(e *entry) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.sources[e.source].failures = 0
}

// failing is for how long the first event of a line could not be handled.
func (in *Intake) failing(e *entry) time.Duration {
	in.mu.Lock()
	defer in.mu.Unlock()
	l := in.lines[e.source+"\x00"+e.subject]
	if l == nil || l.began.IsZero() {
		return 0
	}
	return time.Since(l.began)
}
