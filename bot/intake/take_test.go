package intake_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store/mem"
)

// One event that many deliver at once is written down once, and nobody is told that it is
// durable before it is.
func TestTakenAtOnce(t *testing.T) {
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging")), func(t *testing.T, h *house) {
		h.forge.set(func() { h.forge.err = errDown })
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				batch := []events.Event{tag("shop/api", "v1.4.0"), tag("shop/api", fmt.Sprintf("v1.4.%d", i%3)), tag("shop/api", "v1.4.0")}
				if i%2 == 1 {
					slices.Reverse(batch)
				}
				if err := h.in.Take(t.Context(), batch...); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if n := h.keys("intake/event/"); n != 3 {
			t.Errorf("%d events are kept, want 3", n)
		}
		if n := h.keys("intake/known/"); n != 3 {
			t.Errorf("%d events are known, want 3", n)
		}
	})
}

// A write whose answer is lost is an error for whoever delivers, and no second event when
// it is delivered again.
func TestTakenThoughTheAnswerWasLost(t *testing.T) {
	for _, fault := range []mem.Fault{mem.LostAnswer, mem.LostWrite, mem.DiskFull} {
		inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging")), func(t *testing.T, h *house) {
			synctest.Wait()
			f := func(int) mem.Fault { return fault }
			h.fault.Store(&f)
			if err := h.in.Take(t.Context(), tag("shop/api", "v1.4.0")); err == nil {
				t.Error("it is taken though it is not known to be kept")
			}
			h.fault.Store(nil)
			h.take(tag("shop/api", "v1.4.0"))
			time.Sleep(time.Minute)
			h.wantRuns("api@v1.4.0 to staging")
		})
	}
}

func TestTakeRefuses(t *testing.T) {
	with := func(change func(*events.Event)) events.Event {
		e := tag("shop/api", "v1.4.0")
		change(&e)
		return e
	}
	long := strings.Repeat("x", 1000)
	inHouse(t, shop(), func(t *testing.T, h *house) {
		for name, e := range map[string]events.Event{
			"no ID":          with(func(e *events.Event) { e.ID = "" }),
			"a long ID":      with(func(e *events.Event) { e.ID = long }),
			"no source":      with(func(e *events.Event) { e.Source = "" }),
			"no kind":        with(func(e *events.Event) { e.Kind = "" }),
			"a long subject": with(func(e *events.Event) { e.Subject = long }),
			"a long fact":    with(func(e *events.Event) { e.Fact = long }),
			"many fields": with(func(e *events.Event) {
				for i := range 300 {
					e.Fields[fmt.Sprint(i)] = "x"
				}
			}),
			"large fields": with(func(e *events.Event) {
				for i := range 200 {
					e.Fields[fmt.Sprint(i)] = strings.Repeat("x", 4096)
				}
			}),
		} {
			err := h.in.Take(t.Context(), tag("shop/db", "v1.0.0"), e)
			var final interface{ Permanent() bool }
			if !errors.As(err, &final) || !final.Permanent() || len(err.Error()) > 300 {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := h.keys("intake/known/"); n != 0 {
			t.Errorf("%d events are known of refused deliveries", n)
		}
		h.take(with(func(e *events.Event) { e.Fields["message"] = strings.Repeat("é", 1<<20) }))
	})
}

func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Without a rule nobody would have to be asked, and nothing would wait.
		h := newHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging")))
		h.backlog = 10
		h.start()
		defer func() { h.stop() }()
		h.forge.set(func() { h.forge.err = errDown })
		for i := range 10 {
			h.take(tag("shop/api", fmt.Sprint("v", i)))
		}
		for range 2 {
			err := h.in.Take(t.Context(), tag("shop/api", "v11"))
			var later interface{ RetryAfter() time.Duration }
			if !errors.As(err, &later) || later.RetryAfter() != time.Minute || !strings.Contains(err.Error(), "10 events wait") {
				t.Errorf("one too many: %v", err)
			}
			h.take(tag("shop/api", "v3")) // it is there already
			h.restart()
		}
		h.forge.set(func() { h.forge.err = nil })
		time.Sleep(10 * time.Minute)
		h.take(tag("shop/api", "v11"))
		synctest.Wait()
		if n := h.keys("intake/event/"); n != 0 {
			t.Errorf("%d events wait", n)
		}
	})
}

// Events of one subject come one after the other, in the order of arrival, also over a restart;
// others do not wait for them.
func TestOrder(t *testing.T) {
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleIgnore, "")), func(t *testing.T, h *house) {
		var mu sync.Mutex
		var order []string
		h.forge.confirm = func(e events.Event) (events.Event, bool, error) {
			mu.Lock()
			defer mu.Unlock()
			if e.Subject == "stuck" {
				return e, false, errDown
			}
			order = append(order, e.Subject+e.Fields["tag"])
			return e, true, nil
		}
		stuck := tag("shop/api", "v0")
		stuck.Subject = "stuck"
		h.forge.set(func() { h.forge.err = errDown })
		h.take(stuck)
		for i := range 10 {
			e := tag("shop/api", fmt.Sprint(i))
			e.Subject = fmt.Sprint("s", i%2, " ")
			h.take(e)
		}
		h.restart()
		h.forge.set(func() { h.forge.err = nil })
		time.Sleep(10 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		even, odd := []string{}, []string{}
		for _, s := range order {
			if rest, ok := strings.CutPrefix(s, "s0 "); ok {
				even = append(even, rest)
			} else {
				odd = append(odd, strings.TrimPrefix(s, "s1 "))
			}
		}
		if strings.Join(even, "") != "02468" || strings.Join(odd, "") != "13579" {
			t.Errorf("the order is %q", order)
		}
		if n := h.keys("intake/event/"); n != 1 {
			t.Errorf("%d events wait, want the one that is stuck", n)
		}
	})
}

// What was handled is known for three days, without what it said, and then forgotten.
func TestForgets(t *testing.T) {
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleRelease, "staging")), func(t *testing.T, h *house) {
		e := tag("shop/api", "v1.4.0")
		e.Fields["message"] = strings.Repeat("x", 1000)
		h.take(e)
		time.Sleep(70 * time.Hour)
		h.forge.set(func() { h.forge.confirms = 0 })
		h.take(e)
		synctest.Wait()
		h.forge.set(func() {
			if h.forge.confirms != 0 {
				t.Error("an event that was handled is handled again")
			}
		})
		if n := h.keys("intake/known/"); n != 2 {
			t.Errorf("%d are known, want the delivery and the fact", n)
		}
		time.Sleep(4 * time.Hour)
		if n := h.keys("intake/known/"); n != 0 {
			t.Errorf("%d are known after more than three days", n)
		}
		h.take(e)
		time.Sleep(time.Minute)
		h.wantRuns("api@v1.4.0 to staging") // the fact is known for longer
		time.Sleep(31 * 24 * time.Hour)
		if n := h.keys("intake/fact/"); n != 0 {
			t.Errorf("%d facts are known after more than a month", n)
		}
	})
}

// An event that breaks Muster is given up, and does not end it.
func TestPanic(t *testing.T) {
	inHouse(t, shop(rule("tags", "gitlab tag", playbooks.RuleIgnore, "")), func(t *testing.T, h *house) {
		h.forge.confirm = func(e events.Event) (events.Event, bool, error) { panic("a mistake of ours") }
		h.take(tag("shop/api", "v1.4.0"))
		h.wantLog("a mistake of ours")
		if n := h.keys("intake/event/"); n != 0 {
			t.Errorf("%d events wait", n)
		}
	})
}
