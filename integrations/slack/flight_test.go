package slack

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAloneAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flights
		var asked atomic.Int64
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				got, err := alone(t.Context(), &f, "key", func() (string, error) {
					asked.Add(1)
					time.Sleep(time.Second)
					return "answer", nil
				})
				if got != "answer" || err != nil {
					t.Errorf("the answer is %q, %v", got, err)
				}
			})
		}
		all.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("it was asked %d times", n)
		}
		if len(f.under) != 0 {
			t.Errorf("%d questions are still under way", len(f.under))
		}
	})
}

// That somebody gives up says nothing to those who wait for the same, and nobody waits for
// longer than they want.
func TestAloneWhenSomebodyGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flights
		var all sync.WaitGroup
		ask := func(ctx context.Context) (int, error) {
			return alone(ctx, &f, "key", func() (int, error) {
				if !sleep(ctx, 10*time.Second) {
					return 0, context.Cause(ctx)
				}
				return 7, nil
			})
		}
		short := func(d time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			began := time.Now()
			if _, err := ask(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != d {
				t.Errorf("who gives up after %v gets %v after %v", d, err, time.Since(began))
			}
		}
		all.Go(func() { short(3 * time.Second) })
		synctest.Wait() // that one asks, the others wait
		all.Go(func() { short(2 * time.Second) })
		all.Go(func() {
			if got, err := ask(t.Context()); got != 7 || err != nil {
				t.Errorf("who waits gets %d, %v", got, err)
			}
		})
		all.Wait()
	})
}
