package slack

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/chat"
)

// rush is a crowd that wants chat.update, for a time.
type rush struct {
	b   *budget
	end time.Time

	mu     sync.Mutex
	rand   *rand.Rand
	begun  []time.Time
	waited map[chat.Urgency][]time.Duration
	asked  map[string]int // by key, in vain
	work   sync.WaitGroup
}

func newRush(seed uint64, lasts time.Duration) *rush {
	return &rush{
		b: newBudget(), end: time.Now().Add(lasts), rand: rand.New(rand.NewPCG(seed, 7)),
		waited: make(map[chat.Urgency][]time.Duration), asked: make(map[string]int),
	}
}

func (r *rush) random(most time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(r.rand.Int64N(int64(most)))
}

// update asks until it is admitted, a little late each time, and makes a call that takes a
// moment.
func (r *rush) update(w want) {
	began := time.Now()
	for {
		done, wait := r.b.ask("chat.update", updateRate, w)
		if done == nil {
			r.mu.Lock()
			r.asked[w.key]++
			r.mu.Unlock()
			time.Sleep(wait + r.random(20*time.Millisecond))
			continue
		}
		now := time.Now()
		r.mu.Lock()
		r.begun = append(r.begun, now)
		r.waited[w.urgency] = append(r.waited[w.urgency], now.Sub(began))
		r.mu.Unlock()
		time.Sleep(50*time.Millisecond + r.random(200*time.Millisecond))
		done()
		return
	}
}

// board updates one message as often as it may.
func (r *rush) board(name string) {
	r.work.Go(func() {
		time.Sleep(r.random(3 * time.Second))
		for time.Now().Before(r.end) {
			r.update(want{name, name, chat.Progressing})
			time.Sleep(1400 * time.Millisecond)
		}
	})
}

// most is how many calls began in one minute, at most.
func (r *rush) most() int {
	slices.SortFunc(r.begun, time.Time.Compare)
	most, first := 0, 0
	for i, at := range r.begun {
		for at.Sub(r.begun[first]) > time.Minute {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func (r *rush) quantile(u chat.Urgency, q float64) time.Duration {
	all := slices.Sorted(slices.Values(r.waited[u]))
	if len(all) == 0 {
		return 0
	}
	return all[min(int(q*float64(len(all))), len(all)-1)]
}

// Ten boards that are updated all the time, and two copies of a request that are settled at once
// every minute: the limit holds, and all is in time. Something urgent now and then, which is
// at once, costs progress one turn.
func TestBudgetUnderLoad(t *testing.T) {
	for seed := range uint64(6) {
		failures := seed%2 == 1
		bound := 15 * time.Second
		if failures {
			bound += updateRate.every
		}
		t.Run(fmt.Sprintf("%d failures %v", seed, failures), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRush(seed, 20*time.Minute)
				for i := range 10 {
					r.board(fmt.Sprintf("board %d", i))
				}
				r.work.Go(func() {
					for round := 0; time.Now().Before(r.end); round++ {
						time.Sleep(time.Minute)
						about := fmt.Sprintf("board %d", round%10)
						for i := range 2 {
							r.work.Go(func() { r.update(want{fmt.Sprintf("copy %d of %d", i, round), about, chat.Settled}) })
						}
					}
				})
				r.work.Go(func() {
					for n := 0; failures && time.Now().Before(r.end); n++ {
						time.Sleep(time.Minute + r.random(time.Minute))
						r.update(want{fmt.Sprintf("failure %d", n), "board 3", chat.Urgent})
					}
				})
				r.work.Wait()
				if most := r.most(); most > 49 {
					t.Errorf("%d calls in a minute", most)
				}
				p50, p99 := r.quantile(chat.Progressing, .5), r.quantile(chat.Progressing, .99)
				settled, urgent := r.quantile(chat.Settled, 1), r.quantile(chat.Urgent, 1)
				t.Logf("%d calls, %d at most in a minute; progress waits %v, p99 %v; settled %v at most, urgent %v at most", len(r.begun), r.most(), p50, p99, settled, urgent)
				if p99 > bound || p50 < time.Second {
					t.Errorf("progress waits %v, p99 %v", p50, p99)
				}
				if settled > 3*time.Minute || settled == 0 {
					t.Errorf("what is settled waits %v", settled)
				}
				if urgent > 1500*time.Millisecond || failures != (urgent > 0) {
					t.Errorf("what is urgent waits %v", urgent)
				}
				if n := r.b.waitingNow(); n != 0 {
					t.Errorf("%d wait when all is done", n)
				}
			})
		})
	}
}

// Who was there before may have used up what Slack allows.
func TestBudgetBeginsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget()
		for name, r := range map[string]rate{"chat.update": updateRate, "C1": postRate} {
			if done, wait := b.ask(name, r, want{key: "k"}); done != nil || wait > r.every+promiseMargin {
				t.Errorf("%s: admitted, or put off by %v, at the very beginning", name, wait)
			}
		}
		time.Sleep(time.Minute)
		if done, _ := b.ask("C2", postRate, want{key: "k"}); done == nil {
			t.Error("a channel that was not written to before has to wait")
		}
	})
}

func TestBudgetForOneBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRush(1, 10*time.Minute)
		r.board("board")
		r.work.Wait()
		if worst := r.quantile(chat.Progressing, 1); worst > 1100*time.Millisecond { // and 1.4 s between: 2.5 s
			t.Errorf("a board alone waits %v", worst)
		}
		if most := r.most(); most > 49 || most < 35 {
			t.Errorf("%d updates in a minute", most)
		}
	})
}

// Promises are kept: who comes then has seldom to come again.
func TestBudgetPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRush(3, time.Hour)
		for i := range 30 {
			r.work.Go(func() { r.update(want{fmt.Sprint(i), fmt.Sprint(i), chat.Settled}) })
		}
		r.work.Wait()
		for key, n := range r.asked {
			if n > 3 {
				t.Errorf("%s asked %d times in vain", key, n)
			}
		}
		last := slices.MaxFunc(r.begun, time.Time.Compare).Sub(slices.MinFunc(r.begun, time.Time.Compare))
		if want := 26 * time.Minute / 45; last > want+10*time.Second {
			t.Errorf("30 updates take %v, the rate allows %v", last, want)
		}
	})
}

// warm returns a budget that has been there for a while.
func warm() *budget {
	b := newBudget()
	time.Sleep(time.Minute)
	return b
}

// A promise counts with turns being fair.
func TestBudgetPromisesAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := emptied(t)
		for i := range 5 {
			b.ask("chat.update", updateRate, want{fmt.Sprint("a", i), "a", chat.Settled})
			time.Sleep(time.Millisecond)
		}
		if _, wait := b.ask("chat.update", updateRate, want{"b", "b", chat.Settled}); wait > 3*updateRate.every+promiseMargin {
			t.Errorf("who has the second turn is to come in %v", wait)
		}
		if _, wait := b.ask("chat.update", updateRate, want{"a4", "a", chat.Settled}); wait < 5*updateRate.every {
			t.Errorf("who has the last of six turns is to come in %v", wait)
		}
	})
}

// emptied returns a budget that has no tokens.
func emptied(t *testing.T) *budget {
	t.Helper()
	b := warm()
	for i := range updateRate.burst {
		done, _ := b.ask("chat.update", updateRate, want{key: fmt.Sprint("before ", i), about: "before"})
		if done == nil {
			t.Fatal("a call is put off though there are tokens")
		}
		done()
	}
	return b
}

// admitted lets those come who wait, one each time that there is a token, and returns them
// in the order in which they are admitted.
func admitted(b *budget, waiting []want) (order []string) {
	for range 100 {
		for i, w := range waiting {
			if done, _ := b.ask("chat.update", updateRate, w); done != nil {
				done()
				order = append(order, w.key)
				waiting = slices.Delete(slices.Clone(waiting), i, i+1)
				break
			}
		}
		if len(waiting) == 0 {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	return order
}

func TestBudgetOrder(t *testing.T) {
	tests := []struct {
		name    string
		waiting []want
		later   []want // come after staleProgress
		want    []string
	}{
		{
			name:    "by urgency",
			waiting: []want{{"p", "1", chat.Progressing}, {"s", "2", chat.Settled}, {"u", "3", chat.Urgent}},
			want:    []string{"u", "p", "s"},
		},
		{
			name:    "in turn between runs",
			waiting: []want{{"a1", "a", chat.Settled}, {"a2", "a", chat.Settled}, {"a3", "a", chat.Settled}, {"b1", "b", chat.Settled}},
			want:    []string{"a1", "b1", "a2", "a3"},
		},
		{
			name:    "copies do not take the turn of their board",
			waiting: []want{{"a1", "a", chat.Settled}, {"b", "b", chat.Progressing}, {"a", "a", chat.Progressing}},
			want:    []string{"b", "a", "a1"},
		},
		{
			name:    "who was served last comes last",
			waiting: []want{{"x", "before", chat.Progressing}, {"y", "y", chat.Progressing}},
			want:    []string{"y", "x"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := emptied(t)
				for _, w := range test.waiting {
					if done, wait := b.ask("chat.update", updateRate, w); done != nil || wait <= 0 {
						t.Fatalf("%s: admitted, or to come again in %v", w.key, wait)
					}
					time.Sleep(time.Millisecond)
				}
				if got := admitted(b, test.waiting); !slices.Equal(got, test.want) {
					t.Errorf("order %q, want %q", got, test.want)
				}
			})
		})
	}
}

// While progress waits for long, something settled has a turn now and then, and what waited for
// long does not lose that by becoming settled.
func TestBudgetStaleProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := emptied(t)
		keep := func(ws []want) {
			for _, w := range ws {
				if done, _ := b.ask("chat.update", updateRate, w); done != nil {
					t.Fatalf("%s is admitted", w.key)
				}
			}
		}
		var boards []want
		for i := range 12 {
			boards = append(boards, want{fmt.Sprintf("p%02d", i), fmt.Sprint(i), chat.Progressing})
		}
		b.block("chat.update", updateRate, staleProgress+500*time.Millisecond)
		for range 9 {
			keep(boards)
			time.Sleep(staleProgress / 8)
		}
		b.mu.Lock()
		b.buckets["chat.update"].tokens = 0
		b.mu.Unlock()
		boards[11].urgency = chat.Settled
		copies := []want{{"s0", "s", chat.Settled}, {"s1", "s", chat.Settled}}
		got := admitted(b, append(copies, boards...))
		if len(got) != 14 {
			t.Fatalf("%d were admitted", len(got))
		}
		if i, j, k := slices.Index(got, "s0"), slices.Index(got, "s1"), slices.Index(got, "p11"); i < 0 || i > 11 || j < i || k < 10 {
			t.Errorf("the settled come at %d and %d, what became settled at %d: %q", i, j, k, got)
		}
	})
}

// Who does not come for the turn that was promised loses it, and who comes a little late
// does not.
func TestBudgetPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := emptied(t)
		_, first := b.ask("chat.update", updateRate, want{"first", "1", chat.Progressing})
		_, second := b.ask("chat.update", updateRate, want{"second", "2", chat.Progressing})
		if first > updateRate.every+promiseMargin || second <= first {
			t.Fatalf("promised in %v and %v", first, second)
		}
		time.Sleep(first + turnGrace - 10*time.Millisecond)
		if n := b.waitingNow(); n != 2 {
			t.Errorf("%d wait, want 2", n)
		}
		done, _ := b.ask("chat.update", updateRate, want{"first", "1", chat.Progressing})
		if done == nil {
			t.Error("who is a little late has lost the place")
		} else {
			done()
		}
		time.Sleep(turnGrace)
		if n := b.waitingNow(); n != 0 {
			t.Errorf("%d wait though nobody came", n)
		}
	})
}

func TestBudgetAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := emptied(t)
		b.ask("chat.update", updateRate, want{"absent", "1", chat.Urgent})
		began := time.Now()
		for {
			done, wait := b.ask("chat.update", updateRate, want{"present", "2", chat.Progressing})
			if done != nil {
				break
			}
			time.Sleep(wait)
		}
		if waited := time.Since(began); waited > 2*updateRate.every+turnGrace {
			t.Errorf("somebody waited %v behind one who never came", waited)
		}
	})
}

// A post begins a second after the one before has been answered, however long that took; other
// channels do not matter.
func TestBudgetPosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := warm()
		done, _ := b.ask("C1", postRate, want{key: "1"})
		if other, _ := b.ask("C2", postRate, want{key: "1"}); other == nil {
			t.Error("another channel has to wait")
		}
		time.Sleep(5 * time.Second)
		if second, wait := b.ask("C1", postRate, want{key: "2"}); second != nil || wait < postRate.every {
			t.Errorf("the second is admitted, or put off by %v, while the first is under way", wait)
		}
		done()
		ended := time.Now()
		second, wait := b.ask("C1", postRate, want{key: "2"})
		for second == nil {
			time.Sleep(wait)
			second, wait = b.ask("C1", postRate, want{key: "2"})
		}
		if apart := time.Since(ended); apart < 1050*time.Millisecond || apart > 1100*time.Millisecond {
			t.Errorf("the second begins %v after the first has ended", apart)
		}
	})
}

func TestBudgetBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := warm()
		b.block("chat.update", updateRate, 30*time.Second)
		done, wait := b.ask("chat.update", updateRate, want{"u", "1", chat.Urgent})
		if done != nil || wait < 30*time.Second {
			t.Fatalf("admitted, or put off by %v, while Slack wants nothing for 30s", wait)
		}
		time.Sleep(29 * time.Second)
		if done, _ := b.ask("chat.update", updateRate, want{"u", "1", chat.Urgent}); done != nil {
			t.Fatal("admitted before Slack wants it")
		}
		time.Sleep(1010 * time.Millisecond)
		if done, wait := b.ask("chat.update", updateRate, want{"u", "1", chat.Urgent}); done == nil {
			t.Fatalf("put off by %v though the time is over", wait)
		}
	})
}

// No tier is used up, whatever is asked.
func TestBudgetTiers(t *testing.T) {
	limits := map[int]int{1: 2, 2: 20, 3: 50, 4: 100}
	for tier, limit := range limits {
		synctest.Test(t, func(t *testing.T) {
			b, n := newBudget(), 0
			began := time.Now()
			for time.Since(began) < time.Minute {
				done, wait := b.ask("m", tierRates[tier], want{key: "k"})
				if done != nil {
					n++
					done()
					continue
				}
				time.Sleep(wait)
			}
			if n > limit*9/10 && tier > 1 || n > limit || n < limit/2 {
				t.Errorf("tier %d: %d calls in a minute", tier, n)
			}
		})
	}
}

// Thousands of channels do not pile up.
func TestBudgetForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := warm()
		for i := range 5 * mostRemembered {
			done, _ := b.ask(fmt.Sprint("channel ", i), postRate, want{key: "k", about: fmt.Sprint(i)})
			done()
			time.Sleep(2 * time.Second)
		}
		if n := len(b.buckets); n > mostRemembered+1 {
			t.Errorf("%d channels are remembered", n)
		}
		for i := range 2 * mostRemembered {
			done, _ := b.ask("chat.update", updateRate, want{key: "k", about: fmt.Sprint(i)})
			done()
			time.Sleep(2 * time.Second)
		}
		if n := len(b.buckets["chat.update"].served); n > mostRemembered {
			t.Errorf("%d parties are remembered", n)
		}
	})
}
