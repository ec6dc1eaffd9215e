package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/store"
)

// meteredStore counts what is written, and notices damage.
type meteredStore struct {
	store.Store
	writes, failures atomic.Int64
	// damaged says that something was read that is not what was written. It stays:
	// damage does not mend itself, and the next start looks again.
	damaged atomic.Bool
}

func (s *meteredStore) View(ctx context.Context, fn func(store.Reader) error) error {
	err := s.Store.View(ctx, fn)
	s.look(err)
	return err
}

func (s *meteredStore) Update(ctx context.Context, fn func(store.Txn) error) error {
	err := s.Store.Update(ctx, fn)
	s.count(err)
	return err
}

func (s *meteredStore) Submit(fn func(store.Txn) error) <-chan error {
	answer, counted := s.Store.Submit(fn), make(chan error, 1)
	go func() {
		err := <-answer
		s.count(err)
		counted <- err
	}()
	return counted
}

func (s *meteredStore) count(err error) {
	s.look(err)
	s.writes.Add(1)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		s.failures.Add(1)
	}
}

func (s *meteredStore) look(err error) {
	if errors.Is(err, store.ErrCorrupt) {
		s.damaged.Store(true)
	}
}

// ages are how long messages had not shown what was known when they were brought up
// to date.
type ages struct{ *prometheus.HistogramVec }

func newAges() ages {
	return ages{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "muster_message_age_seconds",
		Help:    "For how long a message in the chat had not shown what was known, when it was brought up to date.",
		Buckets: []float64{.1, .25, .5, 1, 2, 3, 5, 10, 15, 30, 60, 300},
	}, []string{"urgency"})}
}

func (a ages) observe(u chat.Urgency, age time.Duration) {
	words := map[chat.Urgency]string{chat.Progressing: "progressing", chat.Settled: "settled", chat.Urgent: "urgent"}
	a.WithLabelValues(words[u]).Observe(age.Seconds())
}

func newRegistry(a *app) *prometheus.Registry {
	r := prometheus.NewRegistry()
	b := thisBuild()
	counter := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value)
	}
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		a.census,
		counter("muster_store_writes_total", "Transactions written to the store, or tried.", func() float64 { return float64(a.store.writes.Load()) }),
		counter("muster_store_write_failures_total", "Transactions that failed, conflicts not counted.", func() float64 { return float64(a.store.failures.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "muster_report_lag_seconds",
			Help: "For how long the chat, the tracker, the forge or the pager has not shown what is known.",
		}, a.lag),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "muster_events_waiting",
			Help: "Events of other systems that were taken and are not handled yet.",
		}, func() float64 {
			if a.intake == nil {
				return 0
			}
			return float64(a.intake.Waiting())
		}),
		a.ages,
		talkStats{a.talk},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "muster_build_info",
			Help:        "Always 1; the labels say which build this is.",
			ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.Go},
		}, func() float64 { return 1 }),
	)
	return r
}
